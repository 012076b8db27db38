//! How time and memory of `kpi run` grow: with rows, with KPIs, with files, with groups; and how long the program takes to start
//! with many definitions.
//!
//! ```sh
//! cargo bench --bench growth                     # up to ten million rows, three rounds
//! cargo bench --bench growth -- 100000000 1 rows # up to a hundred million, and this table only
//! ```
//!
//! One thing grows in each table, the others stay. Every line is `kpi run` from nothing but the last ones, each a process of
//! its own, in turns with the others of its table.

mod data;
mod measure;
mod random;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use data::{make_part, part};
use measure::{Program, in_turns, kpi, table, touch};

/// What a project asks of how much.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    files: usize,
    kpis: usize,
    /// The members of the dimension of its KPIs.
    groups: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.replace('_', "").parse().ok()).collect();
    let words = arguments.into_iter().filter(|word| word.replace('_', "").parse::<usize>().is_err()).collect();
    let most = numbers.first().copied().unwrap_or(10_000_000);
    let asked = Asked { words, rounds: numbers.get(1).copied().unwrap_or(3).max(1) };
    let usual = Size { rows: most.min(10_000_000), files: 36, kpis: 60, groups: 50 };
    let million = 1_000_000;

    let rows = [million, 10 * million, 100 * million].into_iter().filter(|rows| *rows <= most);
    asked.grown("rows", rows.map(|rows| (format!("{} million rows", rows / million), Size { rows, ..usual })));
    let kpis = [10, 100, 1_000];
    asked.grown("KPIs", kpis.into_iter().map(|kpis| (format!("{kpis} KPIs"), Size { kpis, ..usual })));
    let files = [1, 36, 1_000];
    asked.grown("files", files.into_iter().map(|files| (format!("{files} files"), Size { files, ..usual })));
    let groups = [10, 1_000, 100_000, million];
    let of = |groups| (format!("{groups} groups a month"), Size { kpis: 8, groups, ..usual });
    asked.grown("groups", groups.into_iter().map(of));

    asked.definitions(Size { rows: million, kpis: 1_000, ..usual });
}

/// Which tables are made, and how.
struct Asked {
    /// The names of the tables; all where there are none.
    words: Vec<String>,
    rounds: usize,
}

impl Asked {
    fn is_asked(&self, table: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| word == table)
    }

    /// Runs projects of several sizes in turns.
    fn grown(&self, what: &str, sizes: impl Iterator<Item = (String, Size)>) {
        if !self.is_asked(what) {
            return;
        }
        println!("\ngrowing: {what}; {} rounds after one to warm up", self.rounds);
        let mut programs = Vec::new();
        for (name, size) in sizes {
            let folder = project(size);
            programs.push(Program::new(name, kpi(&folder, &["run", "--quiet"]), &folder, &["out"]));
        }
        in_turns(&mut programs, self.rounds);
        print!("{}", table(&programs, None));
    }

    /// Commands over many definitions.
    fn definitions(&self, size: Size) {
        if !self.is_asked("definitions") {
            return;
        }
        let Size { rows, kpis, .. } = size;
        println!(
            "\n{kpis} definitions, {rows} rows: commands that read no rows, and a run after a file of 36 was written again"
        );
        let folder = project(size);
        let mut programs = vec![
            Program::new("kpi run", kpi(&folder, &["run", "--quiet"]), &folder, &["out"]),
            Program::new("kpi check", kpi(&folder, &["check"]), &folder, &[]),
            Program::new("kpi ls", kpi(&folder, &["ls"]), &folder, &[]),
            Program::new("kpi run, nothing changed", kpi(&folder, &["run", "--quiet"]), &folder, &[]),
            Program::new("kpi run, one file of 36 changed", kpi(&folder, &["run", "--quiet"]), &folder, &[])
                .prepared(|folder| touch(&part(&folder.join("data"), 17))),
        ];
        in_turns(&mut programs, self.rounds);
        print!("{}", table(&programs, Some(rows)));
    }
}

/// The folder of a project, which is made if it is not there; projects with the same rows in as many files share them.
fn project(size: Size) -> PathBuf {
    let Size { rows, files, kpis, groups } = size;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let data = target.join(format!("growth-data-{rows}-{files}"));
    let folder = target.join(format!("growth-{rows}-{files}-{kpis}-{groups}"));
    if !data.join("done").exists() {
        println!("making {rows} interactions in {}", data.display());
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(data.join("interactions")).expect("the folder of the data can be made");
        (0..files).for_each(|file| make_part(&data, rows, file, files));
        fs::write(data.join("done"), "").expect("the mark can be written");
    }
    fs::create_dir_all(folder.join("kpis")).expect("the folder of the project can be made");
    let link = folder.join("data");
    if !link.exists() {
        std::os::unix::fs::symlink(&data, &link).expect("the data can be linked");
    }
    fs::write(folder.join("kpis/growth.yaml"), definitions(kpis, groups)).expect("definitions can be written");
    folder
}

/// Sums, ratios and distinct counts at three grains, each with a condition of its own.
fn definitions(kpis: usize, groups: usize) -> String {
    let mut yaml = format!(
        "project: growth\n---\ntable: interactions\nsource: interactions\ntime: ts\n\
         dimensions:\n  group: account_id % {groups}\n"
    );
    let values = ["count(*)", "sum(amount)", "sum(handle_seconds) / count(*)", "max(handle_seconds)"];
    for index in 0..kpis {
        let value = if index % 8 == 7 { "count(DISTINCT account_id)" } else { values[index % values.len()] };
        let grain = ["month", "week", "day"][index / 8 % 3];
        let grain = if groups > 1_000 { "month" } else { grain };
        let by = if index % 2 == 0 { "[group]" } else { "[channel]" };
        let _ = write!(
            yaml,
            "---\nkpi: kpi_{index}\nfrom: interactions\nwhere: handle_seconds > {}\nvalue: {value}\ngrains: [{grain}]\nby: {by}\n",
            index % 97
        );
    }
    yaml
}
