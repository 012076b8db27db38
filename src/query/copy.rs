//! `COPY ... TO` one file of this machine: it is there as a whole, or as it was before.
//!
//! DataFusion writes where it is told, and what was there is gone as soon as it begins. So it is told another name beside it.
//! Folders of files, and objects in stores, are written where they are named; a store shows an object only once it is whole.

use std::path::Path;

use datafusion::logical_expr::LogicalPlan;

use crate::error::Result;
use crate::location::{Replacement, cannot_write, is_url};

/// The plan, writing beside the file that it names, and that file, if it names one.
///
/// # Errors
/// `Config` where something else than a file has that name; `Storage` where no file can be written there. Both before anything
/// runs.
pub(super) fn beside(plan: LogicalPlan) -> Result<(LogicalPlan, Option<Replacement>)> {
    let LogicalPlan::Copy(mut copy) = plan else { return Ok((plan, None)) };
    if let Some(compression) = compression(&copy.output_url) {
        // Without that a file would be named `.gz` and be none.
        let is_said = copy.options.keys().any(|name| name.ends_with("compression"));
        let takes_one = ["csv", "json"].contains(&copy.file_type.get_ext().as_str());
        if takes_one && !is_said {
            copy.options.insert("format.compression".to_owned(), compression.to_owned());
        }
    }
    let path = Path::new(&copy.output_url);
    let is_folder = copy.output_url.ends_with(['/', '\\']) || path.is_dir() || !copy.partition_by.is_empty();
    if is_url(&copy.output_url) || is_folder || path.extension().is_none() {
        return Ok((LogicalPlan::Copy(copy), None));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| cannot_write(path, error))?;
    }
    let (replacement, _) = Replacement::of(path)?;
    copy.output_url = replacement.temporary().to_string_lossy().into_owned();
    Ok((LogicalPlan::Copy(copy), Some(replacement)))
}

/// The compression that the ending of a name says.
fn compression(name: &str) -> Option<&'static str> {
    const ENDINGS: [(&str, &str); 4] = [(".gz", "gzip"), (".zst", "zstd"), (".bz2", "bzip2"), (".xz", "xz")];
    ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, compression)| *compression)
}
