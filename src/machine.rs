//! The machine that this process runs on: its name, which processes live on it, and how much room its disks have.
//!
//! What cannot be found out is said to be unknown, never guessed.

use std::fs;
use std::path::Path;

/// The name of this machine; of containers each has its own.
pub fn host() -> String {
    let named = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| fs::read_to_string(path).ok());
    let named = named.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok());
    named.map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_string())
}

/// Whether there is no process of this number on this machine any more. Where processes cannot be seen, nobody knows.
pub fn is_known_dead(process: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new("/proc").join(process.to_string()).exists()
}

/// How many bytes this user may still write where a path lies, or would lie.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
pub fn free_space(_path: &Path) -> Option<u64> {
    None
}

/// Bytes of memory that this process may use: the least of the machine's and of what the control groups allow in which it runs.
pub fn memory() -> Option<usize> {
    let number = |text: String| text.trim().parse::<usize>().ok();
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
    });
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let around = Path::new(own.trim_start_matches('/')).ancestors();
    let limits = around.map(|group| Path::new("/sys/fs/cgroup").join(group).join("memory.max"));
    // Of the first version of control groups, where they are still in use.
    let limits = limits.chain(["/sys/fs/cgroup/memory/memory.limit_in_bytes".into()]);
    limits.filter_map(|limit| fs::read_to_string(limit).ok().and_then(number)).chain(total).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen() {
        assert!(!host().is_empty());
        assert!(!is_known_dead(std::process::id()));
        if cfg!(target_os = "linux") {
            assert!(is_known_dead(u32::MAX));
            assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
        }
        if cfg!(unix) {
            assert!(["/nowhere/at/all", "nowhere"].iter().all(|path| free_space(Path::new(path)) > Some(0)));
        }
    }
}
