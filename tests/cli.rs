//! The program as people and scripts see it: exit code, standard output and standard error of each command.
//!
//! Each test leaves a transcript that is compared with `tests/cli/<name>.txt`. `KPI_UPDATE_EXPECTED=1 cargo test` writes
//! these files anew; the diff is the review. Times, run ids and the temporary folder are replaced by words in brackets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::without_machine;

mod bad_input;
mod commands;
mod lacking;
mod queries;
mod signals;
mod testing;
mod unchanged;
mod unusable;
mod versions;

/// A project in a folder of its own, and the transcript of what was run in it.
struct Project {
    folder: TempDir,
    transcript: String,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Project {
        let project = Project { folder: tempfile::tempdir().unwrap(), transcript: String::new() };
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    /// Two tables and four KPIs without a mistake.
    fn shop() -> Project {
        Project::new(&[
            ("kpis/project.yaml", PROJECT),
            ("kpis/sales/orders.yaml", ORDERS),
            ("kpis/service/cases.yaml", CASES),
            ("data/orders.csv", ORDER_ROWS),
            ("data/cases.csv", CASE_ROWS),
        ])
    }

    /// The shop after its first run.
    fn published_shop() -> Project {
        let project = Project::shop();
        let output = project.command(&["run"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        let before = fs::read_to_string(self.path(name)).unwrap();
        self.write(name, before + text);
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let before = fs::read_to_string(self.path(name)).unwrap();
        assert!(before.contains(from), "`{name}` has no `{from}`");
        self.write(name, before.replace(from, to));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kpi"));
        command.args(arguments).current_dir(self.folder.path());
        command.env_remove("NO_COLOR").env_remove("COLUMNS").env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the program, adds what it said to the transcript, and gives back its standard output.
    fn kpi(&mut self, arguments: &[&str], exit_code: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        self.record(arguments, &output);
        assert_eq!(output.status.code(), Some(exit_code), "{}", self.transcript);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn record(&mut self, arguments: &[&str], output: &Output) {
        let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
        let mut text = format!("$ kpi {}\nexit code: {code}\n", arguments.join(" "));
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                text.push_str(&format!("--- {name}\n{}", String::from_utf8_lossy(bytes)));
                if !bytes.ends_with(b"\n") {
                    text.push_str("[no end of line]\n");
                }
            }
        }
        self.transcript.push_str(&self.without_chance(&text));
        self.transcript.push('\n');
    }

    /// What differs from run to run, replaced by words.
    fn without_chance(&self, text: &str) -> String {
        let folder = self.folder.path().canonicalize().unwrap();
        let text = text.replace(&folder.display().to_string(), "[PROJECT]");
        let text = text.replace(&self.folder.path().display().to_string(), "[PROJECT]");
        let text = between(&text, " (", " s)\n", "[SECONDS]");
        let text = between(&text, "\"elapsed_seconds\": ", ",", "[SECONDS]");
        let text = between(&text, "\"run_id\": \"", "\"", "[RUN]");
        let text = ["fingerprint", "input_digest", "commit_id"]
            .iter()
            .fold(text, |text, name| between(&text, &format!("\"{name}\": \""), "\"", "[DIGEST]"));
        let text = if text.contains("\nLimits\n") || text.contains("\"memory_bytes\"") {
            without_machine(&text)
        } else {
            text
        };
        let text = shaped(&text, "0000-00-00 00:00", "[DATE AND TIME.]");
        between(&between(&text, "of run ", ":", "[RUN]"), "run ", " published all", "[RUN]")
    }

    /// The plain copies that readers open, by name.
    fn published(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.path("out/published")).into_iter().flatten().flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "parquet"));
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
    }

    /// Compares the transcript with `tests/cli/<name>.txt`.
    fn expect(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(format!("{name}.txt"));
        if std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| !value.is_empty()) {
            fs::write(&path, self.transcript.trim_end().to_owned() + "\n").unwrap();
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            expected.trim_end() == self.transcript.trim_end(),
            "differs from `{}`; KPI_UPDATE_EXPECTED=1 writes it anew\n--- expected\n{expected}\n--- now\n{}",
            path.display(),
            self.transcript
        );
    }
}

/// Replaces what has the shape of another text, with any digits for its digits, by a word of the same length or less.
fn shaped(text: &str, shape: &str, word: &str) -> String {
    let is_like = |candidate: &[u8]| {
        candidate.len() == shape.len()
            && candidate.iter().zip(shape.bytes()).all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                other => *byte == other,
            })
    };
    let bytes = text.as_bytes();
    let mut replaced = String::new();
    let mut from = 0;
    for at in text.char_indices().map(|(at, _)| at) {
        if at >= from && is_like(&bytes[at..(at + shape.len()).min(bytes.len())]) {
            replaced.push_str(&text[from..at]);
            replaced.push_str(word);
            from = at + shape.len();
        }
    }
    replaced + &text[from..]
}

/// Replaces numbers and names between two texts on one line.
fn between(text: &str, before: &str, behind: &str, word: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(before) {
        let (front, back) = rest.split_at(start + before.len());
        replaced.push_str(front);
        rest = back;
        let Some(end) = rest.find(behind) else { break };
        if rest[..end].chars().all(|letter| !letter.is_whitespace()) {
            replaced.push_str(word);
            rest = &rest[end..];
        }
    }
    replaced + rest
}

const PROJECT: &str = "\
project: shop
currency: EUR
";

const ORDERS: &str = "\
table: orders
source: orders.csv
primary_key: order_id
time: ordered_on
columns:
  ordered_on: {type: date}
  amount: {type: \"decimal(12,2)\"}
dimensions:
  channel: channel
---
kpi: revenue
label: Revenue
from: orders
value: sum(amount)
unit: currency
better: higher
by: [channel]
grains: [month, quarter]
target: {value: 250, warn: 200}
owner: sales-ops
---
kpi: web_share
label: Share of orders from the web
from: orders
value: count(*) FILTER (WHERE channel = 'web') / count(*)
unit: percent
grains: [month]
---
kpi: growth
label: Growth against the month before
value: revenue / previous(revenue) - 1
unit: percent
grains: [month]
";

const CASES: &str = "\
table: cases
source: cases.csv
primary_key: case_id
time: opened_on
---
kpi: cases
label: Cases
from: cases
value: count(*)
unit: cases
better: lower
grains: [month]
";

const ORDER_ROWS: &str = "\
order_id,ordered_on,channel,amount
1,2025-01-05,web,100.50
2,2025-01-25,shop,50
3,2025-02-05,web,200
4,2025-03-05,,12.25
5,2025-03-31,web,300
6,2025-04-02,web,10
";

const CASE_ROWS: &str = "\
case_id,opened_on
1,2025-01-10
2,2025-02-28
3,2025-03-01
4,2025-03-31
";
