//! `kpi init`: a small project that runs at once.

use kpi::error::{Error, Result};

use crate::args::InitArguments;
use crate::printer::Printer;

pub fn init(_arguments: &InitArguments, _printer: &Printer) -> Result<u8> {
    Err(Error::internal("not yet"))
}
