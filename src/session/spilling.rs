//! Where queries put what does not fit into memory: a folder of this process below the system's temporary one.
//!
//! Its name says whose it is, so that what a killed process left is taken away by the next one on the same machine. What is in
//! the folder is DataFusion's business.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use crate::machine::{host, is_known_dead};

const PREFIX: &str = "kpi-spill-";

/// The folder of this process. The first time it is asked for, those of dead processes go.
pub(super) fn folder() -> PathBuf {
    static SWEPT: Once = Once::new();
    let temporary = std::env::temp_dir();
    SWEPT.call_once(|| sweep(&temporary));
    temporary.join(name_of(std::process::id()))
}

/// Takes away the folder of this process with all that is in it. For the end of a program; whatever still runs fails.
pub fn clear_spilled() {
    // What cannot be deleted now goes when another process starts.
    let _ = fs::remove_dir_all(std::env::temp_dir().join(name_of(std::process::id())));
}

fn name_of(process: u32) -> String {
    let host: String = host().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    format!("{PREFIX}{host}-{process}")
}

fn sweep(temporary: &Path) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.rsplit_once('-')?.1.parse::<u32>().ok());
        // A name of another machine is not the one that this process would have been given here.
        let is_ours = |process: &u32| name.to_str() == Some(name_of(*process).as_str());
        if process.filter(is_ours).is_some_and(is_known_dead) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_left_goes() {
        let temporary = tempfile::tempdir().unwrap();
        let dead = u32::MAX;
        let names =
            [name_of(dead), name_of(std::process::id()), format!("{PREFIX}elsewhere-{dead}"), "mine".to_owned()];
        for name in &names {
            fs::create_dir(temporary.path().join(name)).unwrap();
            fs::write(temporary.path().join(name).join("rows"), "x").unwrap();
        }
        sweep(temporary.path());
        let is_left = names.map(|name| temporary.path().join(name).exists());
        assert_eq!(is_left, [false, true, true, true]);
    }
}
