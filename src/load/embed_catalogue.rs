//! The build script: lists the files below `kpis/` for the binary, which carries the bundled catalogue with it.
//!
//! It writes one Rust expression, a slice of (path, text), and reads nothing of what the files say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let catalogue = root.join("kpis");
    let mut files = Vec::new();
    collect(&catalogue, &mut files);
    // A program without its catalogue would say so only to whoever includes it.
    assert!(!files.is_empty(), "there are no definitions in {}", catalogue.display());
    files.sort();
    let mut list = "&[\n".to_owned();
    for file in &files {
        let name = file.strip_prefix(&catalogue).expect("it lies below").to_string_lossy().replace('\\', "/");
        let _ = writeln!(list, "    ({name:?}, include_str!({:?})),", file.display().to_string());
    }
    list.push_str("]\n");
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("catalogue.rs");
    fs::write(&target, list).expect("the build folder can be written");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    // Of folders as well, so that a new file is seen.
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder).expect("the folder of definitions can be listed") {
        let path = entry.expect("its entries can be read").path();
        let is_definition = path.extension().is_some_and(|ending| ending == "yaml" || ending == "sql");
        if path.is_dir() {
            collect(&path, files);
        } else if is_definition {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
}
