//! Where queries put what does not fit into memory: a folder of this process below the system's temporary one.
//!
//! While the process lives it holds a lock in that folder, whatever machine or container it runs in. So what a killed process
//! left is known, and taken away by the next one. What else is in the folder is DataFusion's business; nothing outside of it
//! is ever touched.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

const PREFIX: &str = "kpi-spill-";
const LOCK: &str = "in_use";

/// Between making a folder and locking it somebody else may look.
const YOUNGEST: Duration = Duration::from_secs(60);

/// The folder of this process, and the file whose lock says that it lives.
struct SpillFolder {
    path: PathBuf,
    _lock: File,
}

static FOLDER: OnceLock<Option<SpillFolder>> = OnceLock::new();

/// The folder of this process; `None` where none can be made, which matters to nobody before something spills. The first time
/// it is asked for, those of dead processes go.
pub(super) fn folder() -> Option<PathBuf> {
    let make = || {
        let temporary = std::env::temp_dir();
        sweep(&temporary, YOUNGEST);
        SpillFolder::make(&temporary).ok()
    };
    FOLDER.get_or_init(make).as_ref().map(|folder| folder.path.clone())
}

/// Takes away the folder of this process with all that is in it. For the end of a program; whatever still runs fails.
pub fn clear_spilled() {
    if let Some(Some(folder)) = FOLDER.get() {
        // What cannot be deleted now goes when another process starts.
        let _ = fs::remove_dir_all(&folder.path);
    }
}

impl SpillFolder {
    fn make(temporary: &Path) -> io::Result<SpillFolder> {
        let chance = blake3::hash(format!("{} {:?}", std::process::id(), std::time::SystemTime::now()).as_bytes());
        let path = temporary.join(format!("{PREFIX}{}", &chance.to_hex()[..16]));
        fs::create_dir(&path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        Ok(SpillFolder { path, _lock: lock })
    }
}

/// Takes away the folders whose processes are gone. What cannot be locked, or not be looked at, is left alone.
fn sweep(temporary: &Path, youngest: Duration) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let is_spill_folder = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_old = |lock: &File| {
            let modified = lock.metadata().and_then(|known| known.modified()).ok();
            modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age >= youngest)
        };
        if is_spill_folder
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && is_old(&lock)
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_left_goes() {
        let temporary = tempfile::tempdir().unwrap();
        let alive = SpillFolder::make(temporary.path()).unwrap();
        // Its lock is let go at once.
        let dead = SpillFolder::make(temporary.path()).unwrap().path;
        fs::write(dead.join("rows"), "x").unwrap();
        let foreign = ["kpi-spill-without-a-lock", "mine"].map(|name| temporary.path().join(name));
        foreign.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        sweep(temporary.path(), YOUNGEST);
        assert!(dead.exists(), "it may have been made in this moment");
        sweep(temporary.path(), Duration::ZERO);
        assert!(!dead.exists());
        assert!(alive.path.exists() && foreign.iter().all(|folder| folder.exists()));
    }
}
