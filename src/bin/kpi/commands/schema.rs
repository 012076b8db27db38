//! `kpi schema`: what an editor needs to complete and check definitions.

use kpi::error::Result;
use kpi::spec::schema::json_schema;

use super::print_json;
use crate::printer::Printer;

pub fn schema(printer: &Printer) -> Result<u8> {
    print_json(printer, &json_schema())?;
    Ok(0)
}
