//! How soon a session answers: `kpi repl` beside the shells of DataFusion and DuckDB, each in a terminal of its own.
//!
//! ```sh
//! DATAFUSION_CLI=datafusion-cli DUCKDB=duckdb cargo bench --bench shell               # ten million rows, five rounds
//! cargo bench --bench shell -- 1000000 3                                              # a million rows, `kpi` alone
//! ```
//!
//! Keys are typed into a pseudo-terminal and the screen is read; a time ends with the output that shows it. Least, middle and
//! greatest of all rounds, in milliseconds; a dash where a shell does not do it within a minute, does not stop within ten
//! seconds, which ends its round, or was done with the statement within two, before it was interrupted. What a shell takes while a statement runs undisturbed is not measured here.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A program that answers SQL in a terminal.
struct Shell {
    name: &'static str,
    command: Vec<String>,
    /// What the last line of the screen is when it waits.
    prompts: &'static [&'static str],
    measured: Vec<[Option<Duration>; MEASURED.len()]>,
}

/// What is measured, in this order.
const MEASURED: [&str; 10] = [
    "first prompt",
    "first answer, from the start",
    "Tab to the completion shown",
    "SELECT * of all rows, to the next prompt",
    "one row of a million groups, to the next prompt",
    "Ctrl-C to the prompt: count",
    "Ctrl-C to the prompt: join",
    "Ctrl-C to the prompt: groups",
    "Ctrl-C to the prompt: window",
    "Ctrl-C to the prompt: sort",
];

/// Statements that take long, to be given up.
const LONG: [&str; 5] = [
    "SELECT count(*) FROM 'rows.parquet' a CROSS JOIN 'rows.parquet' b WHERE a.id + b.id < 0;",
    "SELECT count(*) FROM 'rows.parquet' a JOIN 'rows.parquet' b ON a.bucket = b.bucket WHERE a.id + b.id < 0;",
    "SELECT count(*) FROM (SELECT a.id * 20 + b.id AS x, count(*) AS n FROM 'rows.parquet' a CROSS JOIN (SELECT id FROM 'rows.parquet' LIMIT 20) b GROUP BY 1) t;",
    "SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY a.bucket ORDER BY a.customer, b.id) AS r FROM 'rows.parquet' a CROSS JOIN (SELECT id FROM 'rows.parquet' LIMIT 20) b) t;",
    "SELECT max(x) FROM (SELECT a.customer AS x FROM 'rows.parquet' a CROSS JOIN (SELECT id FROM 'rows.parquet' LIMIT 20) b ORDER BY a.customer, a.amount, b.id OFFSET 10) t;",
];

const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.replace('_', "").parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(10_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(5).max(1);
    let folder = tempfile::tempdir().expect("a folder can be made");
    make_rows(folder.path(), rows);

    let kpi = env!("CARGO_BIN_EXE_kpi");
    let mut shells = vec![Shell::new("kpi", vec![kpi.to_owned(), "repl".to_owned()], &["kpi>"])];
    let peers: [(&str, &str, &[&str]); 2] = [
        ("datafusion-cli", "DATAFUSION_CLI", &[">", ">  \\? for help, \\q to quit"]),
        ("duckdb", "DUCKDB", &["D", "memory D"]),
    ];
    for (name, variable, prompts) in peers {
        if let Ok(program) = std::env::var(variable) {
            shells.push(Shell::new(name, vec![program], prompts));
        }
    }
    for round in 0..=rounds {
        for shell in &mut shells {
            let measured = shell.measure(folder.path());
            // The first round warms up.
            if round > 0 {
                shell.measured.push(measured);
            }
        }
    }
    print!("{}", table(&shells, rows));
}

fn make_rows(folder: &Path, rows: usize) {
    let sql = format!(
        "COPY (SELECT value AS id, value % 1000 AS bucket, value * 0.37 AS amount, 'customer ' || (value % 100000) AS customer \
         FROM generate_series(1, {rows})) TO 'rows.parquet'"
    );
    let status = Command::new(env!("CARGO_BIN_EXE_kpi")).args(["sql", "-c", &sql]).current_dir(folder).status();
    assert!(status.expect("kpi starts").success());
}

impl Shell {
    fn new(name: &'static str, command: Vec<String>, prompts: &'static [&'static str]) -> Shell {
        Shell { name, command, prompts, measured: Vec::new() }
    }

    fn measure(&self, folder: &Path) -> [Option<Duration>; MEASURED.len()] {
        let mut all = [None; MEASURED.len()];
        let started = Instant::now();
        let mut terminal = Terminal::open(&self.command, folder);
        let is_waiting = |screen: &str| self.prompts.contains(&last_line(screen));
        all[0] = terminal.until(started, is_waiting);
        terminal.keys("SELECT 6 * 7 AS answer;\r");
        all[1] = terminal.until(started, |screen| screen.contains("42") && is_waiting(screen));

        terminal.clear();
        terminal.keys("SELECT date_tru");
        terminal.until(Instant::now(), |screen| screen.contains("date_tru"));
        let typed = Instant::now();
        terminal.keys("\t");
        all[2] = terminal.until_within(typed, Duration::from_secs(3), |screen| screen.contains("date_trunc"));
        // Away with the line.
        terminal.keys("\x03");
        terminal.until_within(Instant::now(), Duration::from_secs(3), is_waiting);

        for (index, sql) in [
            (3, "SELECT * FROM 'rows.parquet';"),
            (4, "SELECT max(n) FROM (SELECT id % 1000000 AS g, count(*) AS n FROM 'rows.parquet' GROUP BY 1) t;"),
        ] {
            terminal.clear();
            let typed = Instant::now();
            terminal.keys(&format!("{sql}\r"));
            // First the statement is on the screen, then its answer below it.
            let end = &sql[sql.len() - 12..];
            terminal.until_within(typed, Duration::from_secs(2), |screen| screen.contains(end));
            all[index] = terminal.until(typed, is_waiting);
        }
        for (index, sql) in LONG.iter().enumerate() {
            terminal.clear();
            terminal.keys(&format!("{sql}\r"));
            std::thread::sleep(Duration::from_secs(2));
            // What is done by then cannot be interrupted.
            if is_waiting(&terminal.screen.lock().unwrap().screen().contents()) {
                continue;
            }
            let interrupted = Instant::now();
            terminal.keys("\x03");
            all[5 + index] = terminal.until_within(interrupted, Duration::from_secs(10), is_waiting);
            if all[5 + index].is_none() {
                break;
            }
        }
        all
    }
}

/// A terminal with a program in it.
struct Terminal {
    // Held, so that the terminal stays open.
    _master: Box<dyn MasterPty + Send>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    screen: Arc<Mutex<vt100::Parser>>,
    child: Box<dyn Child + Send + Sync>,
}

impl Terminal {
    fn open(command: &[String], folder: &Path) -> Terminal {
        let pair = native_pty_system()
            .openpty(PtySize { rows: 30, cols: 200, pixel_width: 0, pixel_height: 0 })
            .expect("there is a terminal");
        let mut builder = CommandBuilder::new(&command[0]);
        builder.args(&command[1..]);
        builder.cwd(folder);
        for (name, value) in [("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("PAGER", "cat"), ("DUCKDB_PAGER", "cat")]
        {
            builder.env(name, value);
        }
        builder.env("HOME", folder);
        builder.env("XDG_STATE_HOME", folder.join("state"));
        let child = pair.slave.spawn_command(builder).expect("the program starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("the terminal can be read");
        let keys = Arc::new(Mutex::new(pair.master.take_writer().expect("the terminal takes keys")));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(30, 200, 0)));
        let (shown, answers) = (screen.clone(), keys.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                // Terminals say which colors they have, what they are, and where the cursor is, to programs that ask.
                if text.contains("\x1b]11;?") {
                    let _ = answers.lock().unwrap().write_all(b"\x1b]11;rgb:0000/0000/0000\x1b\\");
                }
                if text.contains("\x1b[c") {
                    let _ = answers.lock().unwrap().write_all(b"\x1b[?62c");
                }
                let mut screen = shown.lock().unwrap();
                screen.process(&bytes[..count]);
                if text.contains("\x1b[6n") {
                    let (row, column) = screen.screen().cursor_position();
                    let _ = answers.lock().unwrap().write_all(format!("\x1b[{};{}R", row + 1, column + 1).as_bytes());
                }
            }
        });
        Terminal { _master: pair.master, keys, screen, child }
    }

    fn keys(&self, keys: &str) {
        let mut writer = self.keys.lock().unwrap();
        writer.write_all(keys.as_bytes()).expect("the terminal takes keys");
        writer.flush().expect("the terminal takes keys");
    }

    /// An empty screen; the keys for that are not the same everywhere.
    fn clear(&mut self) {
        self.screen.lock().unwrap().process(b"\x1b[2J\x1b[H");
    }

    fn until(&mut self, since: Instant, is_so: impl Fn(&str) -> bool) -> Option<Duration> {
        self.until_within(since, PATIENCE, is_so)
    }

    /// How long it took until the screen was so.
    fn until_within(&mut self, since: Instant, most: Duration, is_so: impl Fn(&str) -> bool) -> Option<Duration> {
        while since.elapsed() < most {
            if is_so(&self.screen.lock().unwrap().screen().contents()) {
                return Some(since.elapsed());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        None
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_line(screen: &str) -> &str {
    screen.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

fn table(shells: &[Shell], rows: usize) -> String {
    let mut text = format!("\n{rows} rows; ms: least / middle / greatest\n{:<50}", "");
    shells.iter().for_each(|shell| text.push_str(&format!("{:>28}", shell.name)));
    text.push('\n');
    for (index, what) in MEASURED.iter().enumerate() {
        text.push_str(&format!("{what:<50}"));
        for shell in shells {
            let mut times: Vec<Duration> = shell.measured.iter().filter_map(|all| all[index]).collect();
            times.sort();
            let shown = match times.as_slice() {
                [] => "-".to_owned(),
                times => {
                    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
                    format!("{} / {} / {}", ms(times[0]), ms(times[times.len() / 2]), ms(times[times.len() - 1]))
                }
            };
            text.push_str(&format!("{shown:>28}"));
        }
        text.push('\n');
    }
    text
}
