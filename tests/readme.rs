//! README.md says nothing that is not so: its definitions pass `kpi check`, its sessions show what the program prints, and
//! its tables have every key, code, column and command that there is. The catalogue in it, and the glossary in `kpis/README.md`,
//! are what the definitions say.
//!
//! Blocks of one chapter are one project: `yaml` and `sql` blocks are its definitions and `csv` blocks its data. A chapter
//! without definitions is about the project in this repository, beside which its `csv` blocks lie. A `console` block is run, command by command, and a `diff`
//! block is applied to the file that it names. `fragment` blocks are only for reading, and `slow` ones are run only when
//! expected output is rewritten by `KPI_UPDATE_EXPECTED=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use kpi::error::ErrorKind;
use kpi::spec::schema::json_schema;

use crate::support::without_machine;

#[test]
fn definitions_pass_the_check() {
    for chapter in chapters().iter().filter(|chapter| chapter.has_definitions()) {
        let project = chapter.project();
        let (output, code) = run(project.path(), "kpi check");
        assert_eq!(code, Some(0), "the definitions in `{}`:\n{output}", chapter.title);
    }
}

/// Changes README.md as it is now: others may be writing it anew at the same time.
pub fn rewrite(change: impl FnOnce(String) -> String) {
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap();
    fs::write(path(), change(read(&path()))).unwrap();
}

#[cfg(unix)]
#[test]
fn sessions_show_what_the_program_prints() {
    let is_update = std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1");
    let mut different = String::new();
    let mut changes = Vec::new();
    for chapter in chapters().iter().filter(|chapter| chapter.blocks.iter().any(|block| block.is("console"))) {
        let project = chapter.project();
        for block in &chapter.blocks {
            if block.is("diff") {
                apply(&project.path().join(block.words[1]), block);
            } else if block.is("console") && (is_update || !block.is("slow")) {
                let printed = session(project.path(), &block.text);
                if without_seconds(&without_machine(&printed)) != without_seconds(&without_machine(&block.text)) {
                    let (line, text) = (block.line, &block.text);
                    different.push_str(&format!("\n--- line {line}:\n{text}+++ printed:\n{printed}"));
                    changes.push((text.clone(), printed));
                }
            }
        }
    }
    if is_update {
        rewrite(|text| changes.iter().fold(text, |text, (before, printed)| text.replacen(before, printed, 1)));
    } else {
        assert!(different.is_empty(), "look, then accept with KPI_UPDATE_EXPECTED=1{different}");
    }
}

#[test]
fn the_catalogue_is_as_the_definitions_say() {
    const BEGIN: &str = "<!-- the catalogue -->\n";
    const END: &str = "<!-- end of the catalogue -->";
    let is_update = std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1");
    let printed = |command: &str| {
        let (text, code) = run(root(), command);
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let (short, whole) = (printed("kpi docs --short"), printed("kpi docs"));
    let text = read(&path());
    let start = text.find(BEGIN).expect("README.md has the catalogue") + BEGIN.len();
    let end = start + text[start..].find(END).expect("the catalogue ends");
    let glossary = root().join("kpis/README.md");
    if is_update {
        let before = text[start..end].to_owned();
        rewrite(|text| text.replacen(&before, &format!("\n{short}\n"), 1));
        fs::write(glossary, whole).unwrap();
    } else {
        assert!(
            text[start..end].trim() == short.trim(),
            "accept the catalogue in README.md with KPI_UPDATE_EXPECTED=1"
        );
        assert!(read(&glossary) == whole, "accept kpis/README.md with KPI_UPDATE_EXPECTED=1");
    }
}

#[test]
fn every_key_is_in_the_reference() {
    let headings = BTreeMap::from([
        ("ProjectSpec", "`project`"),
        ("LongInclude", "`include`"),
        ("ObjectiveSpec", "`objective`"),
        ("TableSpec", "`table`"),
        ("CsvSpec", "`csv`"),
        ("ColumnSpec", "`columns`"),
        ("JoinSpec", "`joins`"),
        ("LongDimension", "`dimensions`"),
        ("FreshnessSpec", "`freshness`"),
        ("KpiSpec", "`kpi`"),
        ("LongTarget", "`target`"),
        ("LongColumnTest", "`tests` of a column"),
        ("RowTestSpec", "`tests` of a table"),
        ("KpiTestSpec", "`tests` of a KPI"),
        ("BenchmarkSpec", "`benchmarks`"),
        ("StockSpec", "`stock`"),
        ("ConversionSpec", "`conversion`"),
        ("StepSpec", "`funnel`"),
        ("CohortSpec", "`cohort`"),
        ("InputSpec", "`inputs`"),
        ("LongPart", "`composite`"),
    ]);
    let schema = json_schema();
    for (definition, schema) in schema["definitions"].as_object().unwrap() {
        let Some(properties) = schema["properties"].as_object() else { continue };
        let heading = headings.get(definition.as_str());
        let heading = heading.unwrap_or_else(|| panic!("{definition} has no heading in README.md"));
        let known = first_cells(&below(heading));
        for (key, property) in properties {
            assert!(known.contains(key), "`{key}` is not in the table below {heading}");
            if property["description"].as_str().unwrap_or_default().contains("Not in this version") {
                let later = below("Not in this version");
                assert!(later.contains(&format!("`{key}`")), "`{key}` is not in the list of what is not there yet");
            }
        }
        let written: BTreeSet<String> = properties.keys().cloned().collect();
        let gone: Vec<&String> = known.difference(&written).collect();
        assert!(gone.is_empty(), "{gone:?} below {heading} are no keys");
    }
}

#[test]
fn every_code_is_explained() {
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs") {
                let text = read(&path);
                let code = text.split("\nmod tests {").next().unwrap_or_default();
                let markers = [
                    ("Diagnostic::error(", "Diagnostics"),
                    ("Diagnostic::warning(", "Diagnostics"),
                    (".code = ", "Diagnostics"),
                    ("Diagnostic::advice(", "Advice"),
                ];
                for (marker, heading) in markers {
                    let behind = code.split(marker).skip(1).filter_map(|behind| behind.trim_start().strip_prefix('"'));
                    let codes = behind.filter_map(|behind| Some(behind.split_once('"')?.0.to_owned()));
                    used.entry(heading).or_default().extend(codes);
                }
            }
        }
    }
    for (heading, used) in used {
        assert_eq!(first_cells(&below(heading)), used, "the codes in README.md below {heading}, and those in src");
    }
}

#[test]
fn every_column_of_the_results_is_explained() {
    let explained = first_cells(&below("Columns of results"));
    for field in kpi::report::kpi_values_schema().fields() {
        assert!(explained.contains(field.name()) || field.name() == "members", "`{}`", field.name());
    }
}

#[test]
fn every_command_and_exit_code_is_explained() {
    let (help, _) = run(root(), "kpi --help");
    let commands = help.split("Commands:\n").nth(1).and_then(|text| text.split("\n\n").next()).unwrap_or_default();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let explained = below("Commands");
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        assert!(explained.contains(&format!("| `kpi {command}")), "`kpi {command}` is not explained");
    }
    let codes = below("Exit codes");
    use ErrorKind::*;
    for kind in [Config, Storage, Plan, Execution, Conflict, Interrupted, Internal] {
        assert!(codes.contains(&format!("| {}", kind.exit_code())), "{kind:?}");
    }
}

#[test]
fn links_lead_somewhere() {
    let text = read(&path());
    for (name, text) in [("README.md", &text), ("kpis/README.md", &read(&root().join("kpis/README.md")))] {
        let anchors = anchors(text);
        for link in text.split("](#").skip(1).filter_map(|link| link.split(')').next()) {
            assert!(anchors.contains(link), "#{link} in {name}");
        }
    }
    let chapters = text.lines().filter_map(|line| line.strip_prefix("## ")).filter(|chapter| *chapter != "Contents");
    for chapter in chapters {
        assert!(text.contains(&format!("- [{chapter}](#")), "`{chapter}` is not in the contents");
    }
}

/// What links to the headings of a page are called; one that is taken gets a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let letters = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = letters.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter => Some(letter).filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)),
        });
        kept.collect()
    };
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
    let numbered = headings.map(|anchor| {
        let count = taken.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
    });
    numbered.collect()
}

/// The words in backticks in the first column of the tables in a text.
fn first_cells(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// What stands between a heading and the next one.
fn below(heading: &str) -> String {
    let text = read(&path());
    let mut lines =
        text.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading || !line.starts_with('#'));
    assert!(lines.next().is_some(), "README.md has no heading {heading}");
    lines.take_while(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// A part of README.md behind a heading of the second level.
struct Chapter {
    title: String,
    blocks: Vec<Block>,
}

struct Block {
    /// What stands behind the opening fence.
    words: Vec<&'static str>,
    text: String,
    line: usize,
}

impl Block {
    fn is(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    fn is_definition(&self) -> bool {
        (self.is("yaml") && !self.is("fragment")) || (self.is("sql") && self.text.starts_with("/*"))
    }
}

impl Chapter {
    fn has_definitions(&self) -> bool {
        self.blocks.iter().any(Block::is_definition)
    }

    /// The project that the chapter is about, in a folder of its own.
    fn project(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if !self.has_definitions() {
            copy(&root().join("kpis"), &folder.path().join("kpis"));
            copy(&root().join("data"), &folder.path().join("data"));
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let path = match block.words.as_slice() {
                ["csv", path] => (*path).to_owned(),
                [ending, ..] if block.is_definition() => format!("kpis/{index}.{ending}"),
                _ => continue,
            };
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &block.text).unwrap();
        }
        folder
    }
}

fn chapters() -> Vec<Chapter> {
    let text: &'static str = read(&path()).leak();
    let mut chapters = vec![Chapter { title: String::new(), blocks: Vec::new() }];
    let mut open: Option<Block> = None;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let chapter = chapters.last_mut().unwrap();
        match (line.strip_prefix("```"), &mut open) {
            (Some(words), None) => {
                let words = words.split_whitespace().collect();
                open = Some(Block { words, text: String::new(), line: index + 2 });
            }
            (Some(_), Some(_)) => chapter.blocks.extend(open.take()),
            (None, Some(block)) => block.text.push_str(line),
            (None, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    chapters.push(Chapter { title: title.trim().to_owned(), blocks: Vec::new() });
                }
            }
        }
    }
    chapters
}

/// The session again, with what the program prints now.
fn session(folder: &Path, text: &str) -> String {
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    let mut printed = Vec::new();
    for command in commands {
        let (output, _) = run(folder, command);
        printed.push(format!("$ {command}\n{output}"));
    }
    printed.join("\n")
}

/// Both streams of a command, and its exit code.
fn run(folder: &Path, command: &str) -> (String, Option<i32>) {
    let program = Path::new(env!("CARGO_BIN_EXE_kpi"));
    let mut arguments = arguments_of(command).into_iter();
    assert_eq!(arguments.next().as_deref(), Some("kpi"), "`{command}`: only `kpi` is run");
    let output =
        Command::new(program).args(arguments).current_dir(folder).env_remove("RUST_BACKTRACE").output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    (format!("{}\n", lines.join("\n").trim_end()), output.status.code())
}

/// The words of a command; between double quotes blanks belong to them.
fn arguments_of(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for letter in command.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            letter => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// How long something took is never the same.
fn without_seconds(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rfind(" (") {
        Some(start) if line.ends_with(" s)") => &line[..start],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// Replaces the lines that a block takes away by those that it adds.
fn apply(path: &Path, block: &Block) {
    let side =
        |sign: &str| block.text.lines().filter_map(|line| line.strip_prefix(sign)).collect::<Vec<_>>().join("\n");
    let (before, text) = (side("-"), read(path));
    assert!(text.contains(&before), "line {}: {} has no `{before}`", block.line, path.display());
    fs::write(path, text.replacen(&before, &side("+"), 1)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn path() -> PathBuf {
    root().join("README.md")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
