//! The floors of the source tree, as the crate's documentation draws them: nothing is imported upward or in a circle, and
//! some knowledge has one home.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: [&[&str]; 10] = [
    &["days", "diagnostic", "error", "machine", "secrets", "time"],
    &["cube", "frames", "functions", "load", "location", "spec"],
    &["catalog", "session"],
    &["model", "validate"],
    &["compile"],
    &["plan"],
    &["execute", "profile", "survey"],
    &["audit", "generate", "materialize", "report", "store", "testing"],
    &["engine"],
    &["query"],
];

#[test]
fn nothing_is_imported_upward() {
    let mut wrong = Vec::new();
    for file in library() {
        for imported in file.imports() {
            if floor(&imported) > floor(&file.module) {
                wrong.push(format!("{}: `{}` imports `{imported}`", file.path.display(), file.module));
            }
        }
    }
    assert!(wrong.is_empty(), "imports from a floor above:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_imported_in_a_circle() {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in library() {
        imports.entry(file.module.clone()).or_default().extend(file.imports());
    }
    // Takes away what imports nothing any more, until only circles are left.
    loop {
        let bottom: Vec<String> =
            imports.iter().filter(|(_, imported)| imported.is_empty()).map(|(module, _)| module.clone()).collect();
        if bottom.is_empty() {
            break;
        }
        for module in bottom {
            imports.remove(&module);
            imports.values_mut().for_each(|imported| {
                imported.remove(&module);
            });
        }
    }
    assert!(imports.is_empty(), "these modules need each other: {imports:?}");
}

#[test]
fn every_module_has_a_floor_and_says_what_it_is() {
    let declared = read(&root().join("src/lib.rs"));
    let modules: BTreeSet<&str> =
        declared.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let known: BTreeSet<&str> = FLOORS.iter().flat_map(|floor| floor.iter().copied()).collect();
    assert_eq!(modules, known, "`FLOORS` and the modules of src/lib.rs");
    for file in library().into_iter().chain(program()) {
        assert!(file.text.starts_with("//! "), "{} does not open with what it is", file.path.display());
    }
}

/// Each rule: words that only some files may use, and which files those are.
#[test]
fn some_knowledge_has_one_home() {
    let in_program = |path: &str| path.starts_with("src/bin/kpi/");
    type Rule<'a> = (&'a [&'a str], &'a dyn Fn(&str) -> bool, &'a str);
    let rules: [Rule; 5] = [
        (&["serde_saphyr"], &|path| path.starts_with("src/load/"), "only `load` knows YAML"),
        (&["clap::", "comfy_table::", "indicatif::"], &in_program, "only the program knows words and colors"),
        (
            &["println!", "eprintln!", "print!(", "eprint!(", "dbg!("],
            // A build script talks to cargo by printing.
            &|path| path == "src/load/embed_catalogue.rs",
            "the printer writes, nobody prints",
        ),
        (
            &["io::stdout", "io::stderr", "stdout()", "stderr()"],
            &|path| path == "src/bin/kpi/printer.rs",
            "only the printer writes to the terminal",
        ),
        (&[".sql(\"", ".sql(&format!"], &|_| false, "SQL is never glued together from strings"),
    ];
    let mut wrong = Vec::new();
    for file in library().into_iter().chain(program()) {
        let path = file.path.to_string_lossy().replace('\\', "/");
        for (number, line) in file.code() {
            for (words, is_allowed, reason) in &rules {
                if words.iter().any(|word| line.contains(word)) && !is_allowed(&path) {
                    wrong.push(format!("{path}:{number}: {reason}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn floor(module: &str) -> usize {
    let floor = FLOORS.iter().position(|modules| modules.contains(&module));
    floor.unwrap_or_else(|| panic!("`{module}` has no floor; give it one in tests/layers.rs and src/lib.rs"))
}

struct SourceFile {
    /// From the root of the repository.
    path: PathBuf,
    /// The first part of its path below `src`.
    module: String,
    text: String,
}

impl SourceFile {
    /// Numbered lines without comments, documentation and tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| *line != "mod tests {");
        lines
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The other modules of the library that it names.
    fn imports(&self) -> BTreeSet<String> {
        let is_letter = |letter: &char| letter.is_ascii_lowercase() || *letter == '_';
        let mut found = BTreeSet::new();
        for (_, line) in self.code() {
            assert!(!line.contains("crate::{"), "{}: one `use` for each module", self.path.display());
            for behind in line.split("crate::").skip(1) {
                let module: String = behind.chars().take_while(is_letter).collect();
                found.insert(module);
            }
        }
        found.remove("");
        found.remove(&self.module);
        found
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of the library, without `lib.rs`, which names everything, and without those that hold tests only.
fn library() -> Vec<SourceFile> {
    files().into_iter().filter(|file| file.module != "bin" && file.module != "lib").collect()
}

fn program() -> Vec<SourceFile> {
    files().into_iter().filter(|file| file.module == "bin").collect()
}

fn files() -> Vec<SourceFile> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && path.file_stem().unwrap() != "tests" {
                let below = path.strip_prefix(root().join("src")).unwrap().with_extension("");
                let module = below.iter().next().unwrap().to_string_lossy().into_owned();
                let text = read(&path);
                found.push(SourceFile { path: path.strip_prefix(root()).unwrap().to_owned(), module, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}
