//! `COPY ... TO` one file of this machine: it is there as a whole, or as it was before.
//!
//! DataFusion writes where it is told, and what was there is gone as soon as it begins. So it is told another name beside it.
//! Folders of files, and objects in stores, are written where they are named; a store shows an object only once it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use datafusion::logical_expr::LogicalPlan;

use crate::error::{Error, Result};
use crate::location::is_url;

/// A file that is being written beside the one that it is to be.
pub(super) struct CopyTarget {
    path: PathBuf,
    temporary: PathBuf,
    is_done: bool,
}

impl CopyTarget {
    /// The plan, writing beside the file that it names, if it names one.
    ///
    /// # Errors
    /// `Storage` where no file can be written there, before anything runs.
    pub(super) fn of(plan: LogicalPlan) -> Result<(LogicalPlan, Option<CopyTarget>)> {
        let LogicalPlan::Copy(mut copy) = plan else { return Ok((plan, None)) };
        let path = PathBuf::from(&copy.output_url);
        let is_folder = copy.output_url.ends_with(['/', '\\']) || path.is_dir() || !copy.partition_by.is_empty();
        let Some(ending) = path.extension().and_then(|ending| ending.to_str()) else {
            return Ok((LogicalPlan::Copy(copy), None));
        };
        if is_url(&copy.output_url) || is_folder {
            return Ok((LogicalPlan::Copy(copy), None));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.{ending}", std::process::id()));
        let cannot_write = |error: std::io::Error| {
            Error::storage(format!("`{}` cannot be written", path.display()))
                .with_hint("choose another place, or make room there")
                .with_source(error)
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(cannot_write)?;
        }
        fs::File::create(&temporary).map_err(cannot_write)?;
        copy.output_url = temporary.to_string_lossy().into_owned();
        Ok((LogicalPlan::Copy(copy), Some(CopyTarget { path, temporary, is_done: false })))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// `Storage` where that cannot be done.
    pub(super) fn finish(mut self) -> Result<()> {
        fs::rename(&self.temporary, &self.path)
            .map_err(|error| Error::storage(format!("`{}` cannot be written", shown(&self.path))).with_source(error))?;
        self.is_done = true;
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Drop for CopyTarget {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
