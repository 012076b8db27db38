//! Programs that take turns, each as a process of its own: wall time, processor time, peak memory.
//!
//! Processor time and memory need GNU time. It knows nothing of what the programs do, but how `kpi` is called.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

/// Lets each program run once to warm up, and so many times more.
pub fn in_turns(programs: &mut [Program], rounds: usize) {
    for round in 0..=rounds {
        for program in &mut *programs {
            let measured = program.run();
            if round > 0 {
                program.measured.push(measured);
            }
        }
    }
}

/// One of the programs that take turns.
pub struct Program {
    name: String,
    command: Command,
    folder: PathBuf,
    /// What it writes; taken away before each round.
    outputs: Vec<&'static str>,
    /// What is done before each round and not measured.
    preparation: fn(&Path),
    measured: Vec<Measured>,
}

/// One run of a program.
pub struct Measured {
    wall_seconds: f64,
    processor_seconds: Option<f64>,
    peak_megabytes: Option<f64>,
}

impl Program {
    /// A program that runs in a folder.
    pub fn new(name: impl Into<String>, command: Command, folder: &Path, outputs: &[&'static str]) -> Program {
        Program {
            name: name.into(),
            command,
            folder: folder.to_owned(),
            outputs: outputs.to_vec(),
            preparation: |_| {},
            measured: Vec::new(),
        }
    }

    pub fn prepared(self, preparation: fn(&Path)) -> Program {
        Program { preparation, ..self }
    }

    fn run(&self) -> Measured {
        let folder = &self.folder;
        (self.preparation)(folder);
        for output in &self.outputs {
            // It may not be there yet.
            let _ = fs::remove_dir_all(folder.join(output));
        }
        let times = folder.join("times");
        let mut command = if Path::new("/usr/bin/time").exists() {
            let mut command = Command::new("/usr/bin/time");
            command.args(["-f", "%U %S %M", "-o"]).arg(&times).arg(self.command.get_program());
            command
        } else {
            Command::new(self.command.get_program())
        };
        command.args(self.command.get_args()).current_dir(folder).stdout(Stdio::null());
        let started = Instant::now();
        let status = command.status().expect("the program starts");
        let wall_seconds = started.elapsed().as_secs_f64();
        assert!(status.success(), "{}: {status}", self.name);
        let numbers: Vec<f64> = fs::read_to_string(&times)
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let _ = fs::remove_file(&times);
        let (processor_seconds, peak_megabytes) = match numbers.as_slice() {
            [user, system, kilobytes] => (Some(user + system), Some(kilobytes / 1024.0)),
            _ => (None, None),
        };
        Measured { wall_seconds, processor_seconds, peak_megabytes }
    }

    fn median(&self, number: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        let mut numbers: Vec<f64> = self.measured.iter().filter_map(number).collect();
        numbers.sort_by(f64::total_cmp);
        let middle = numbers.len() / 2;
        match numbers.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(numbers[middle]),
            _ => Some((numbers[middle - 1] + numbers[middle]) / 2.0),
        }
    }
}

/// A call of `kpi` in a folder. It runs from the end of 2025 where it does not say from when.
pub fn kpi(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kpi"));
    command.args(arguments).current_dir(folder);
    if arguments.first() == Some(&"run") && !arguments.contains(&"--as-of") {
        command.args(["--as-of", "2025-12-31"]);
    }
    command
}

/// Makes a file look as if it was written again.
pub fn touch(file: &Path) {
    let file = fs::File::options().append(true).open(file).expect("the file is there");
    file.set_modified(SystemTime::now()).expect("its time can be set");
}

/// Medians of each program, beside the first one; rows by second where all of them read as many.
pub fn table(programs: &[Program], rows: Option<usize>) -> String {
    let wall = |program: &Program| program.median(|measured| Some(measured.wall_seconds)).unwrap_or(f64::NAN);
    let baseline = wall(&programs[0]);
    let number = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let mut text = format!(
        "\n{:<32} {:>8} {:>16} {:>8} {:>8} {:>12} {:>8}\n",
        "medians", "wall s", "fastest-slowest", "cpu s", "peak MB", "rows/s", "x first"
    );
    for program in programs {
        let mut walls: Vec<f64> = program.measured.iter().map(|measured| measured.wall_seconds).collect();
        walls.sort_by(f64::total_cmp);
        let spread = format!("{:.2}-{:.2}", walls[0], walls[walls.len() - 1]);
        let _ = writeln!(
            text,
            "{:<32} {:>8.2} {:>16} {:>8} {:>8} {:>12} {:>8.2}",
            program.name,
            wall(program),
            spread,
            number(program.median(|measured| measured.processor_seconds), 2),
            number(program.median(|measured| measured.peak_megabytes), 0),
            number(rows.map(|rows| rows as f64 / wall(program)), 0),
            wall(program) / baseline
        );
    }
    text
}
