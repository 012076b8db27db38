//! Many processes at one output folder, while readers look at everything that is published.

use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use kpi::store::Store;

use super::killed::{command, project, run, stamp, stamp_of};
use super::rounds;
use crate::support::{Rows, block_on, read_published};

/// Waits until they have ended, and says how.
fn exit_codes(children: Vec<Child>) -> Vec<Option<i32>> {
    children.into_iter().map(|mut child| child.wait().unwrap().code()).collect()
}

/// Ends the watching, also where an assertion fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks until it is told to stop: versions never go back, and are never of two stamps.
fn watch(project: &Path, is_over: &AtomicBool) -> u64 {
    let store = Store::open_local(&project.join("out")).unwrap();
    let (mut version, mut stamp, mut looks) = (0, 0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let head = block_on(store.head()).unwrap().unwrap();
        let found = stamp_of(&store, &head);
        assert!(head.version >= version && found >= stamp, "{found} after {stamp}, {} after {version}", head.version);
        (version, stamp) = (head.version, found);
        // Who opens the copy by its path finds one at any time.
        assert!(!Rows::of(&read_published(project, "kpi_values")).cells.is_empty());
        looks += 1;
    }
    looks
}

#[test]
fn runs_started_together_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let project = project(folder.path());
    stamp(&project, 1);
    run(&project);
    let is_over = AtomicBool::new(false);
    let looks = AtomicU64::new(0);
    let mut refused = 0;
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| looks.store(watch(&project, &is_over), Ordering::Relaxed));
        for next in 2..2 + rounds(4) {
            stamp(&project, next);
            // Those that wait publish nothing twice; those that do not say that another is at work.
            let mut children = Vec::new();
            for number in 0..8 {
                let arguments: &[&str] = if number % 2 == 0 { &["run", "--wait", "5m"] } else { &["run"] };
                children.push(command(&project, arguments).spawn().unwrap());
                sleep(Duration::from_millis(7));
            }
            let codes = exit_codes(children);
            refused += codes.iter().filter(|code| **code == Some(5)).count();
            let waited = codes.iter().step_by(2).all(|code| *code == Some(0));
            assert!(waited && codes.iter().all(|code| matches!(code, Some(0 | 5))), "{codes:?}");
        }
    });
    assert!(refused > 0, "nobody was ever in the way of another");
    let store = Store::open_local(&project.join("out")).unwrap();
    let head = block_on(store.head()).unwrap().unwrap();
    assert_eq!(stamp_of(&store, &head), 1 + rounds(4));
    assert_eq!(head.version, 1 + rounds(4), "each stamp is published once");
    assert!(looks.load(Ordering::Relaxed) > 0);
}
