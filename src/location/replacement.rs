//! A file of this machine that is replaced as a whole, or stays as it was.
//!
//! It is written beside its place, under a name that ends in `.tmp`, and then put there with the permissions of the one before.
//! A process that is killed in between leaves that one behind, and so does an object store's client with a name of its own that
//! begins like that. Results have a store of their own and do not come through here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Two files for one place are never the same file.
static NUMBER: AtomicU64 = AtomicU64::new(0);

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
        // A link stays one, and what it leads to is replaced.
        let path = match path.is_symlink() {
            true => fs::canonicalize(path).map_err(|error| cannot_write(path, error))?,
            false => path.to_owned(),
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        // What somebody else put there is neither followed nor emptied.
        let file = File::options().write(true).create_new(true).open(&temporary);
        let file = file.map_err(|error| cannot_write(&path, error))?;
        Ok((Replacement { path, temporary, is_done: false }, file))
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
        let permitted = match fs::metadata(&self.path) {
            Ok(before) => fs::set_permissions(&self.temporary, before.permissions()),
            Err(_) => Ok(()),
        };
        let put = permitted.and_then(|()| fs::rename(&self.temporary, &self.path));
        put.map_err(|error| cannot_write(&self.path, error))?;
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_and_permissions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        replace_file(&link, b"after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        drop(Replacement::of(&file).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
