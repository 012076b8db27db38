//! Results in a folder of this machine.
//!
//! `object_store` does not wait for the disk, so the steps that must survive a power cut are made here from the standard
//! library: write a temporary file, flush it, give it its name, flush the folder. Folders are made when something is
//! first written, never by looking.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};

use super::files::{Bytes, Created, Files, Listed, Lock, Traits};
use super::unique;
use crate::error::{Error, Result};

/// How long to wait for another process that publishes or creates at this moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// A folder. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LocalFiles {
    root: PathBuf,
    /// Off in tests, to act like a mount that has no hard links.
    hard_links: bool,
}

impl LocalFiles {
    pub(crate) fn new(root: &Path) -> Self {
        LocalFiles { root: root.to_path_buf(), hard_links: true }
    }

    #[cfg(test)]
    pub(crate) fn without_hard_links(root: &Path) -> Self {
        LocalFiles { root: root.to_path_buf(), hard_links: false }
    }

    fn resolve(&self, path: &str) -> PathBuf {
        path.split('/').fold(self.root.clone(), |folder, part| folder.join(part))
    }

    fn blocking<'a, T: Send + 'static>(
        &self,
        path: &'a str,
        work: impl FnOnce(&LocalFiles, &Path) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'a, Result<T>> {
        let files = self.clone();
        async move {
            // Paths also come from records, which others may have written: none may lead out of the folder.
            if path.split('/').any(|part| matches!(part, "" | "." | "..") || part.contains('\\')) {
                return Err(Error::storage(format!("`{path}` is not a path of a result store")));
            }
            let target = files.resolve(path);
            match tokio::task::spawn_blocking(move || work(&files, &target)).await {
                Ok(result) => result,
                Err(panic) => Err(Error::internal("work on a file broke off").with_source(panic)),
            }
        }
        .boxed()
    }
}

impl Files for LocalFiles {
    fn locate(&self, path: &str) -> String {
        self.resolve(path).display().to_string()
    }

    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        self.blocking(path, |_, target| match fs::read(target) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", target, error)),
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>> {
        self.blocking(folder, |_, target| match list_folder(target) {
            Ok(listed) => Ok(listed),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed("list", target, error)),
        })
    }

    fn list_below<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>> {
        let name = folder.to_owned();
        self.blocking(folder, move |_, target| {
            let mut all = Vec::new();
            match list_tree(target, &name, &mut all) {
                Ok(()) => Ok(all),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(failed("list", target, error)),
            }
        })
    }

    fn create<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created>> {
        self.blocking(path, move |files, target| {
            let temporary = write_temporary(target, &bytes)?;
            let named = name_if_free(files, &temporary, target);
            // Gone already if it was renamed.
            let _ = fs::remove_file(&temporary);
            let created = named?;
            flush_parent(target)?;
            Ok(created)
        })
    }

    fn replace<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>> {
        self.blocking(path, move |_, target| {
            let temporary = write_temporary(target, &bytes)?;
            if let Err(error) = fs::rename(&temporary, target) {
                let _ = fs::remove_file(&temporary);
                return Err(failed("replace", target, error));
            }
            flush_parent(target)
        })
    }

    fn extend<'a>(&'a self, path: &'a str, whole: &'a [u8], from: usize) -> BoxFuture<'a, Result<()>> {
        let added = whole[from.min(whole.len())..].to_vec();
        self.blocking(path, move |_, target| {
            let write = || -> io::Result<()> {
                let mut file = OpenOptions::new().append(true).open(target)?;
                file.write_all(&added)?;
                file.sync_data()
            };
            write().map_err(|error| failed("write", target, error))
        })
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        let belongs_to_run = path.starts_with("data/");
        self.blocking(path, move |_, target| {
            match fs::remove_file(target) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed("delete", target, error)),
            }
            // A run's own folder goes with its last file. Folders that others may use at this moment stay.
            if let (true, Some(folder)) = (belongs_to_run, target.parent()) {
                let _ = fs::remove_dir(folder);
            }
            Ok(())
        })
    }

    fn lock<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Lock>> {
        self.blocking(path, |_, target| {
            make_folders(parent(target))?;
            Ok(Lock(lock_file(target)?))
        })
    }

    fn traits(&self) -> Traits {
        Traits { extends_cheaply: true, creates_exclusively: true }
    }
}

fn list_folder(folder: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file that vanished between the two looks is not listed.
        let Ok(metadata) = entry.metadata() else { continue };
        // A name that is not Unicode is none of ours.
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            listed.push(Listed { name, bytes: metadata.len(), modified: metadata.modified().ok() });
        }
    }
    Ok(listed)
}

/// The files of a folder and of those in it. Links are not followed: what they lead to is none of ours.
fn list_tree(folder: &Path, name: &str, listed: &mut Vec<Listed>) -> io::Result<()> {
    let files = list_folder(folder)?;
    listed.extend(files.into_iter().map(|file| Listed { name: format!("{name}/{}", file.name), ..file }));
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let (true, Ok(inner)) = (is_folder, entry.file_name().into_string()) {
            match list_tree(&entry.path(), &format!("{name}/{inner}"), listed) {
                // It vanished between the two looks.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// Writes and flushes a file beside the target, so that giving it its name stays within one file system.
fn write_temporary(target: &Path, bytes: &[u8]) -> Result<PathBuf> {
    make_folders(parent(target))?;
    let name = target.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let temporary = target.with_file_name(format!(".{name}.{}.tmp", unique::token()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed("write", target, error)
    })?;
    Ok(temporary)
}

/// A hard link is the one way of naming a whole file that fails if the name is taken, on every system.
fn name_if_free(files: &LocalFiles, temporary: &Path, target: &Path) -> Result<Created> {
    let linked = if files.hard_links { fs::hard_link(temporary, target) } else { Err(ErrorKind::Unsupported.into()) };
    match linked {
        Ok(()) => Ok(Created::Done),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Taken),
        Err(error) if has_no_hard_links(&error) => name_under_lock(files, temporary, target),
        Err(error) => Err(failed("create", target, error)),
    }
}

/// What mounts answer that do not know hard links at all. Passing troubles must not count, since two ways of creating
/// used side by side would not exclude each other.
fn has_no_hard_links(error: &io::Error) -> bool {
    // EPERM and EOPNOTSUPP of Linux, the latter also under the number of macOS.
    error.kind() == ErrorKind::Unsupported || (cfg!(unix) && matches!(error.raw_os_error(), Some(1 | 45 | 95)))
}

fn name_under_lock(files: &LocalFiles, temporary: &Path, target: &Path) -> Result<Created> {
    let lock_path = files.root.join("_kpi").join("create.lock");
    make_folders(parent(&lock_path))?;
    let Some(_lock) = lock_file(&lock_path)? else {
        return Err(Error::storage(format!("`{}` offers neither hard links nor file locks", files.root.display()))
            .with_hint("put the output folder on a local disk or into an object store"));
    };
    match target.try_exists() {
        Ok(true) => Ok(Created::Taken),
        Ok(false) => {
            fs::rename(temporary, target).map(|()| Created::Done).map_err(|error| failed("create", target, error))
        }
        Err(error) => Err(failed("create", target, error)),
    }
}

/// The lock goes with the open file, so it ends with its process, however that ends. `None` where there are no locks.
fn lock_file(path: &Path) -> Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(|error| failed("open", path, error))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::storage(format!("`{}` stayed locked by another process", path.display()))
                    .with_hint("let that process end, then run again"));
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// Makes missing folders from the top down, each flushed into the one above it.
fn make_folders(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    make_folders(parent(folder))?;
    match fs::create_dir(folder) {
        Ok(()) => flush_parent(folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(failed("make the folder", folder, error)),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// A new name is safe only when the folder that holds it is.
fn flush_parent(path: &Path) -> Result<()> {
    // Other systems flush names with the files, and have no way to open a folder.
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = match parent(path) {
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(()),
        // Some network mounts cannot flush folders, and need not.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        Err(error) => Err(failed("flush the folder", folder, error)),
    }
}

fn failed(action: &str, path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room on the disk, then run again; the results of earlier runs are untouched")
        }
        ErrorKind::PermissionDenied => Some("allow this user to write there, or choose another output folder"),
        ErrorKind::ReadOnlyFilesystem => Some("choose an output folder on a file system that can be written"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            Some("a file is in the way of a folder, or a folder in the way of a file; choose another output folder")
        }
        ErrorKind::NotFound => Some("a folder above it cannot be made, or vanished; choose another output folder"),
        _ => None,
    };
    let error = Error::storage(format!("cannot {action} `{}`", path.display())).with_source(source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
