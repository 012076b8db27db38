//! A file of this machine that is replaced as a whole, or stays as it was.
//!
//! It is written beside its place, under a name that says so, and then put there. A process that is killed in between leaves
//! that one behind. Results have a store of their own and do not come through here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that is being written. Dropping it before it is put in its place leaves what was there.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    is_done: bool,
}

impl Replacement {
    /// Makes the empty file that is written first.
    ///
    /// # Errors
    /// `Config` where something else than a file has that name; `Storage` where none can be written there.
    pub fn of(path: &Path) -> Result<(Replacement, File)> {
        if path.exists() && !path.is_file() {
            return Err(Error::config(format!("`{}` is there, and no file", path.display())));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(|error| cannot_write(path, error))?;
        Ok((Replacement { path: path.to_owned(), temporary, is_done: false }, file))
    }

    /// Where to write.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// `Storage` where that cannot be done.
    pub fn put(mut self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).map_err(|error| cannot_write(&self.path, error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Puts a whole text in the place of a file.
///
/// # Errors
/// As [`Replacement::of`].
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let (replacement, mut file) = Replacement::of(path)?;
    std::io::Write::write_all(&mut file, bytes).map_err(|error| cannot_write(path, error))?;
    replacement.put()
}

/// That a file of this machine could not be written.
pub fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::storage(format!("`{}` cannot be written", path.display()))
        .with_hint("choose another place, or make room there")
        .with_source(error)
}
