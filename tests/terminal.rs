//! A session as somebody has it who sits in front of it: keys are typed into a pseudo-terminal, and what stands on its
//! screen is compared, line by line.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

use crate::readme::rewrite;
use crate::stores::server::{Quirk, Server};
use crate::support::write_files;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";
const CTRL_U: &str = "\x15";
const TAB: &str = "\t";
const UP: &str = "\x1b[A";
const ENTER: &str = "\r";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const PROMPT: &str = "kpi>";

/// A terminal with a program in it.
struct Terminal {
    folder: TempDir,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    child: Box<dyn Child + Send + Sync>,
}

struct Options<'a> {
    size: (u16, u16),
    variables: &'a [(&'a str, &'a str)],
    arguments: &'a [&'a str],
    files: &'a [(&'a str, &'a str)],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { size: (100, 30), variables: &[("PAGER", "cat")], arguments: &["repl"], files: &[] }
    }
}

const FILES: [(&str, &str); 3] = [
    ("kpis/project.yaml", "project: shop\ncurrency: EUR\n"),
    (
        "kpis/sales/orders.yaml",
        "table: orders\nsource: orders.csv\nprimary_key: order_id\ntime: ordered_on\n\
         columns:\n  ordered_on: {type: date}\n  amount: {type: \"decimal(12,2)\"}\n\
         ---\nkpi: revenue\nlabel: Revenue\nfrom: orders\nvalue: sum(amount)\nunit: currency\nby: [channel]\n\
         grains: [month, quarter]\n",
    ),
    (
        "data/orders.csv",
        "order_id,ordered_on,channel,amount\n1,2025-01-05,web,100.50\n2,2025-01-25,shop,50\n3,2025-02-05,web,200\n\
         4,2025-03-05,,12.25\n5,2025-03-31,web,300\n",
    ),
];

impl Terminal {
    fn open(options: &Options) -> Terminal {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &FILES);
        write_files(folder.path(), options.files);
        Terminal::open_in(folder, options)
    }

    fn open_in(folder: TempDir, options: &Options) -> Terminal {
        let project = folder.path().to_owned();
        Terminal::open_at(&project, folder, options)
    }

    /// A session in one folder, with a home of its own in another.
    fn open_at(project: &Path, folder: TempDir, options: &Options) -> Terminal {
        let (columns, lines) = options.size;
        let size = PtySize { rows: lines, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kpi"));
        command.args(options.arguments);
        command.cwd(project);
        for name in ["LESS", "KPI_PAGER", "PAGER", "VISUAL", "EDITOR", "RUST_BACKTRACE", "COLUMNS", "LINES"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("NO_COLOR", "1");
        command.env("HOME", folder.path());
        command.env("XDG_STATE_HOME", folder.path().join("state"));
        command.env("XDG_CONFIG_HOME", folder.path().join("config"));
        options.variables.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let mut output = pair.master.try_clone_reader().unwrap();
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let mut terminal = Terminal { folder, master: pair.master, keys, screen, child };
        terminal.until("the prompt", |screen| last_line(screen) == PROMPT);
        terminal
    }

    /// Types keys and does not wait.
    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a line and waits until the next one can be typed.
    fn line(&mut self, line: &str) -> String {
        self.keys("\x0c");
        self.until("a clean screen", |screen| screen.trim() == PROMPT);
        self.keys(line);
        self.keys(ENTER);
        self.until("an answer", |screen| {
            let lines: Vec<&str> = screen.lines().collect();
            lines.len() > 1 && lines.last() == Some(&PROMPT)
        })
    }

    fn screen(&self) -> String {
        let text = self.screen.lock().unwrap().screen().contents();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Waits until the screen is as it should be, and stays so for a moment.
    fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                std::thread::sleep(Duration::from_millis(60));
                let later = self.screen();
                if later == screen {
                    return screen;
                }
            }
            assert!(started.elapsed() < PATIENCE, "no {what}; on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    fn until_shown(&mut self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    fn resize(&mut self, columns: u16, lines: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(lines, columns);
        self.master.resize(PtySize { rows: lines, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Leaves, and gives back the exit code.
    fn leave(mut self) -> (TempDir, u32) {
        self.keys(CTRL_D);
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (self.folder, status.exit_code());
            }
            assert!(started.elapsed() < PATIENCE, "it does not end; on the screen:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(15));
        }
    }
}

fn last_line(screen: &str) -> &str {
    screen.lines().last().unwrap_or_default()
}

/// Without the line with the version.
fn expect(screen: &str, expected: &str) {
    let expected = expected.trim_matches('\n');
    assert!(screen == expected, "--- expected\n{expected}\n--- on the screen\n{screen}");
}

#[test]
fn a_session_from_the_first_prompt_to_the_last() {
    let mut terminal = Terminal::open(&Options::default());
    let banner = terminal.screen();
    expect(&banner, &format!("kpi {}. \\help shows what there is, Ctrl-D leaves.\nkpi>", env!("CARGO_PKG_VERSION")));
    let screen = terminal.line("SELECT order_id, channel, amount FROM orders WHERE order_id < 5;");
    expect(
        &screen,
        "
kpi> SELECT order_id, channel, amount FROM orders WHERE order_id < 5;
order_id  channel  amount
────────  ───────  ──────
       1  web      100.50
       2  shop      50.00
       3  web      200.00
       4  NULL      12.25
4 rows
kpi>",
    );
    let screen = terminal.line("\\kpi revenue by channel last 2 months");
    expect(
        &screen,
        "
kpi> \\kpi revenue by channel last 2 months
Revenue (revenue) by month and channel

Period    channel        Value   n
──────────────────────────────────
2025-02   web       200.00 EUR   1
2025-03   (none)     12.25 EUR   1
2025-03   web       300.00 EUR   1
kpi>",
    );
    // What was shown can be asked again.
    let screen = terminal.line("FROM _ WHERE channel = 'web' AND is_complete;");
    assert!(screen.contains("2 rows\n"), "{screen}");
    // A mistake is told at its place, and the session goes on.
    let screen = terminal.line("SELECT amout FROM orders;");
    expect(
        &screen,
        "
kpi> SELECT amout FROM orders;
error[invalid-query]: there is no column `amout`
 --> the statement:1:8
  |
1 | SELECT amout FROM orders;
  |        ^^^^^
  |
  = hint: did you mean `amount`?

kpi>",
    );
    let screen = terminal.line("CREATE TABLE mine AS SELECT 1 AS a;");
    assert!(screen.contains("\ndone\n"), "{screen}");
    let screen = terminal.line("SELECT a FROM mine;");
    assert!(screen.contains("1 row"), "{screen}");
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn a_statement_of_several_lines_is_one_line_to_edit() {
    let mut terminal = Terminal::open(&Options::default());
    terminal.keys("SELECT 1 AS a,\r'x;\r' AS b\r;\r");
    let screen = terminal.until_shown("1 row");
    assert!(screen.contains("kpi> SELECT 1 AS a,\n'x;\n' AS b\n;\na  b\n─  ───\n1  x;⏎\n1 row"), "{screen}");
    // All of it comes back.
    terminal.keys("\x0c");
    terminal.until("a clean screen", |screen| screen.trim() == PROMPT);
    terminal.keys(UP);
    terminal.until("all lines", |screen| screen == "kpi> SELECT 1 AS a,\n'x;\n' AS b\n;");
    terminal.keys(CTRL_C);
    terminal.until("a new prompt", |screen| last_line(screen) == PROMPT);
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn tab_completes_what_fits() {
    let mut terminal = Terminal::open(&Options::default());
    // Once the project is open its names are known.
    terminal.line("SELECT 1;");
    for (typed, completed) in [
        ("SELECT * FROM ord", "SELECT * FROM orders"),
        (
            "SELECT o.ordered FROM orders o\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D",
            "SELECT o.ordered_on FROM orders o",
        ),
        ("SELECT * FROM kpi('rev", "SELECT * FROM kpi('revenue"),
        ("SELECT * FROM kpi('revenue', by => 'ch", "SELECT * FROM kpi('revenue', by => 'channel"),
        ("SELECT * FROM kpi('revenue', gr", "SELECT * FROM kpi('revenue', grain =>"),
        ("SELECT * FROM 'data/or", "SELECT * FROM 'data/orders.csv"),
        ("SELECT date_tr", "SELECT date_trunc( precision, expression)"),
        ("\\exp", "\\explain"),
        ("\\kpi rev", "\\kpi revenue"),
        ("\\kpi revenue by ch", "\\kpi revenue by channel"),
        ("\\mode ver", "\\mode vertical"),
        ("\\d ord", "\\d orders"),
        ("\\read data/ord", "\\read data/orders.csv"),
    ] {
        terminal.keys("\x0c");
        terminal.until("a clean screen", |screen| screen.trim() == PROMPT);
        terminal.keys(typed);
        terminal.keys(TAB);
        terminal.until(completed, |screen| screen == format!("kpi> {completed}"));
        terminal.keys("\x05");
        terminal.keys(CTRL_U);
    }
    // A blank of several bytes once ended the session.
    terminal.keys("\x0c");
    terminal.keys("\\kpi a\u{a0}\t\x05");
    terminal.keys(CTRL_U);
    // Where several fit they are listed, with what they are.
    terminal.keys("\x0c");
    terminal.keys("\\kpi revenue by ");
    terminal.keys(TAB);
    let screen = terminal.until_shown("dimension");
    assert!(screen.contains("channel  dimension  month    grain      quarter  grain"), "{screen}");
    terminal.keys(CTRL_C);
    terminal.until("a new prompt", |screen| last_line(screen) == PROMPT);
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn tab_completes_the_names_of_objects() {
    let server = Server::start(Quirk::None);
    for name in ["exports/orders.csv", "exports/orders/part 1.csv", "exports/readme.txt", "external.csv"] {
        server.put(&format!("lake/{name}"), b"order_id,amount\n1,10.5\n2,20\n");
    }
    let endpoint = server.url();
    let mut terminal = Terminal::open(&Options {
        variables: &[
            ("PAGER", "cat"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ACCESS_KEY_ID", "kpi-tests"),
            ("AWS_SECRET_ACCESS_KEY", "kpi-tests"),
            ("AWS_REGION", "us-east-1"),
        ],
        ..Options::default()
    });
    terminal.line("SELECT 1;");
    terminal.keys("\x0c");
    terminal.until("a clean screen", |screen| screen.trim() == PROMPT);
    terminal.keys("SELECT * FROM 's3://lake/exp");
    terminal.keys(TAB);
    terminal.until_shown("'s3://lake/exports/");
    terminal.keys("o");
    terminal.keys(TAB);
    let screen = terminal.until_shown("folder");
    assert!(screen.contains("orders.csv  file") && screen.contains("orders/     folder"), "{screen}");
    terminal.keys(".");
    terminal.keys(TAB);
    terminal.until("the name", |screen| last_line(screen) == "kpi> SELECT * FROM 's3://lake/exports/orders.csv");
    terminal.keys("';");
    terminal.keys(ENTER);
    let screen = terminal.until_shown("2 rows");
    assert!(screen.contains("       2    20.0") || screen.contains("       2      20"), "{screen}");
    // A store that refuses, or is none, has no names and takes nothing away.
    terminal.keys("\x0c");
    terminal.until("a clean screen", |screen| screen.trim() == PROMPT);
    terminal.keys("SELECT * FROM 's4://lake/");
    terminal.keys(TAB);
    terminal.keys("x");
    terminal.until("the same line", |screen| screen == "kpi> SELECT * FROM 's4://lake/x");
    terminal.keys(CTRL_C);
    terminal.until("a new prompt", |screen| last_line(screen) == PROMPT);
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn ctrl_c_ends_the_statement_and_not_the_session() {
    let mut terminal = Terminal::open(&Options::default());
    terminal.line("SELECT 1;");
    for sql in [
        "SELECT count(*) FROM generate_series(1, 100000000000);",
        "SELECT count(*) FROM generate_series(1, 3000000) a JOIN generate_series(1, 3000000) b ON a.value % 10 = b.value % 10;",
        "SELECT max(value) FROM (SELECT value FROM generate_series(1, 200000000) ORDER BY value % 1000003 LIMIT 100000000);",
        "EXPLAIN ANALYZE SELECT count(*) FROM generate_series(1, 3000000) a JOIN generate_series(1, 3000000) b ON a.value % 10 = b.value % 10;",
    ] {
        terminal.keys("\x0c");
        terminal.until("a clean screen", |screen| screen.trim() == PROMPT);
        terminal.keys(sql);
        terminal.keys(ENTER);
        // After a second somebody sees that something is going on.
        terminal.until("progress", |screen| screen.contains("rows read") || screen.contains("planning"));
        terminal.keys(CTRL_C);
        let screen = terminal.until("an end", |screen| last_line(screen) == PROMPT);
        assert!(screen.contains("interrupted"), "{screen}");
    }
    let screen = terminal.line("SELECT 42 AS answer;");
    assert!(screen.contains("\n    42\n1 row"), "{screen}");
    // While a line is typed it throws away the line.
    terminal.keys("SELECT nonsense");
    terminal.keys(CTRL_C);
    terminal.until("a new prompt", |screen| last_line(screen) == PROMPT);
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn what_was_typed_is_there_in_the_next_session_without_secrets() {
    let mut terminal = Terminal::open(&Options::default());
    terminal.line("SELECT 'first' AS a;");
    terminal.line("SELECT 'password=hunter2' AS a;");
    terminal.line("SELECT 'second' AS a;");
    let (folder, _) = terminal.leave();
    let kept = fs::read_to_string(folder.path().join("state/kpi/history")).unwrap();
    assert!(kept.contains("first") && kept.contains("second") && !kept.contains("hunter2"), "{kept}");
    assert!(!folder.path().join(".history").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("state/kpi"), mode("state/kpi/history")), (0o700, 0o600));
    }
    let mut terminal = Terminal::open_in(folder, &Options::default());
    terminal.keys(CTRL_R);
    terminal.keys("fir");
    terminal.until_shown("SELECT 'first' AS a;");
    terminal.keys(ENTER);
    let screen = terminal.until_shown("1 row");
    assert!(screen.contains("first\n1 row"), "{screen}");
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn results_fit_the_window() {
    let wide = "SELECT 1 AS number, repeat('long text ', 20) AS first, repeat('x', 60) AS second, 12345678 AS last;";
    let mut terminal = Terminal::open(&Options { size: (60, 20), ..Options::default() });
    let screen = terminal.line(wide);
    assert!(screen.contains("long texts are cut; `\\last` shows them whole"), "{screen}");
    assert!(screen.contains("…") && screen.contains("12345678"), "{screen}");
    // Another window, another width.
    terminal.resize(100, 20);
    let screen = terminal.line("SELECT repeat('y', 90) AS y, 7 AS n;");
    assert!(screen.contains(&"y".repeat(90)), "{screen}");
    // Columns for which there is no room are counted.
    terminal.resize(60, 20);
    let many: Vec<String> = (1..=30).map(|number| format!("{number}000 AS column_{number}")).collect();
    let screen = terminal.line(&format!("SELECT {};", many.join(", ")));
    assert!(screen.contains("columns left out; `\\last` or `\\mode vertical` shows them"), "{screen}");
    assert!(screen.contains("column_1 ") && screen.contains("column_30"), "{screen}");
    // More rows than lines, without a pager: the beginning and the end.
    let screen = terminal.line("SELECT value FROM generate_series(1, 500);");
    assert!(screen.contains("⋮ 486 rows between; `\\last` shows all"), "{screen}");
    assert!(screen.contains("\n  500\n500 rows\n"), "{screen}");
    let screen = terminal.line("\\mode vertical");
    assert!(screen.contains("the mode is vertical"), "{screen}");
    let screen = terminal.line("SELECT 1 AS one, 'two' AS second;");
    assert!(screen.contains("── row 1 ──\none     1\nsecond  two\n1 row"), "{screen}");
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn what_is_longer_than_the_window_goes_to_the_pager() {
    let options = Options { variables: &[("PAGER", "less")], ..Options::default() };
    let mut terminal = Terminal::open(&options);
    terminal.keys("SELECT value, value * 2 AS twice FROM generate_series(1, 500);\r");
    let screen = terminal.until("the first page", |screen| last_line(screen) == ":");
    assert!(screen.lines().next().is_some_and(|line| line.starts_with("value  twice")), "{screen}");
    terminal.keys("G");
    let screen = terminal.until_shown("(END)");
    assert!(screen.contains("  500   1000"), "{screen}");
    // Ctrl-C inside it is its own affair.
    terminal.keys(CTRL_C);
    // It throws away what was typed before it has seen that.
    std::thread::sleep(Duration::from_millis(500));
    terminal.keys("q");
    let screen = terminal.until("a new prompt", |screen| last_line(screen) == PROMPT);
    assert!(screen.contains("500 rows"), "{screen}");
    // A program that is not there is no reason to see nothing.
    let (folder, _) = terminal.leave();
    let options = Options { variables: &[("PAGER", "no-such-program")], ..Options::default() };
    let mut terminal = Terminal::open_in(folder, &options);
    terminal.keys("SELECT value FROM generate_series(1, 500);\r");
    let screen = terminal.until_shown("500 rows");
    assert!(screen.contains("rows between"), "{screen}");
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn a_cut_result_is_never_taken_for_the_whole() {
    let mut terminal = Terminal::open(&Options::default());
    terminal.line("\\rows 10");
    let screen = terminal.line("SELECT value FROM generate_series(1, 1000000000);");
    assert!(screen.contains("the first 10 rows; `\\rows 0` fetches all"), "{screen}");
    let screen = terminal.line("SELECT sum(value) FROM _;");
    assert!(screen.contains("the last result was cut after 10 rows"), "{screen}");
    let screen = terminal.line("\\save cut.csv");
    assert!(screen.contains("the last result was cut, so a file of it would lack rows"), "{screen}");
    let screen = terminal.line("\\chart");
    assert!(screen.contains("the last result was cut, so a chart of it"), "{screen}");
    let screen = terminal.line("\\last");
    assert!(screen.contains("the first 10 rows"), "{screen}");
    terminal.line("SELECT value FROM generate_series(1, 10);");
    let screen = terminal.line("SELECT sum(value) AS s FROM _;");
    assert!(screen.contains("\n55\n1 row"), "{screen}");
    let (folder, _) = terminal.leave();
    assert!(!folder.path().join("cut.csv").exists());
}

#[test]
fn results_and_statements_are_saved_and_read_again() {
    let editor = "printf 'SELECT 7 AS edited;' >";
    let options = Options {
        variables: &[("PAGER", "cat"), ("EDITOR", "./editor.sh")],
        files: &[("editor.sh", &format!("#!/bin/sh\ngrep -q 'AS a' \"$1\" && {editor} \"$1\"\n"))],
        ..Options::default()
    };
    let mut terminal = Terminal::open(&options);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = terminal.folder.path().join("editor.sh");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    terminal.line("SELECT 1 AS a, 'x' AS b;");
    for file in ["rows.csv", "rows.parquet", "rows.jsonl", "rows.md"] {
        let screen = terminal.line(&format!("\\save {file}"));
        assert!(screen.contains(&format!("1 row in `{file}`")), "{screen}");
    }
    let screen = terminal.line("\\save last.sql");
    assert!(screen.contains("the statement is in `last.sql`"), "{screen}");
    let screen = terminal.line("FROM 'rows.parquet';");
    assert!(screen.contains("\n1  x\n1 row"), "{screen}");
    let screen = terminal.line("\\read last.sql");
    assert!(screen.contains("\n1  x\n1 row"), "{screen}");
    // What the editor leaves stands in the next line.
    terminal.keys("\x0c");
    terminal.keys("\\edit\r");
    terminal.until("the edited line", |screen| last_line(screen) == "kpi> SELECT 7 AS edited;");
    terminal.keys(ENTER);
    let screen = terminal.until_shown("1 row");
    assert!(screen.contains("     7\n1 row"), "{screen}");
    let (folder, _) = terminal.leave();
    assert_eq!(read(folder.path(), "rows.csv"), "a,b\n1,x\n");
    assert_eq!(read(folder.path(), "rows.jsonl"), "{\"a\":1,\"b\":\"x\"}\n");
    assert_eq!(read(folder.path(), "last.sql"), "SELECT 1 AS a, 'x' AS b;\n");
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Whoever looks for the way out finds it, and help as well.
#[test]
fn plain_words_lead_out_and_to_help() {
    let mut terminal = Terminal::open(&Options { size: (100, 50), ..Options::default() });
    let screen = terminal.line("help");
    assert!(screen.contains("\\explain"), "{screen}");
    terminal.keys("exit\r");
    let started = Instant::now();
    while terminal.child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "{}", terminal.screen());
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// Definitions and files change while a session lives.
/// Once, files that were gone were read as no rows, and columns in another order as each other.
#[test]
fn files_that_change_under_a_session_are_told() {
    let more = [("one.csv", "a,b\n1,2\n"), ("lines.jsonl", "{\"a\":1}\n"), ("many/1.csv", "n\n1\n")];
    let mut terminal = Terminal::open(&Options { files: &more, ..Options::default() });
    let folder = terminal.folder.path().to_owned();
    for (name, format, location) in
        [("one", "CSV", "one.csv"), ("lines", "JSON", "lines.jsonl"), ("many", "CSV", "many/")]
    {
        terminal.line(&format!("CREATE EXTERNAL TABLE {name} STORED AS {format} LOCATION '{location}';"));
    }
    terminal.line("CREATE VIEW seen AS SELECT * FROM 'lines.jsonl';");
    assert!(terminal.line("SELECT count(*) AS n, sum(a) AS a FROM one;").contains("1  1\n1 row"));
    fs::write(folder.join("one.csv"), "b,a\n20,10\n").unwrap();
    assert!(terminal.line("SELECT a FROM one;").contains("the files of `one` have other columns by now"));
    fs::write(folder.join("one.csv"), "a,b\n10,20\n").unwrap();
    assert!(terminal.line("SELECT a FROM one;").contains("10\n1 row"));
    // What is new is read.
    fs::write(folder.join("many/2.csv"), "n\n2\n").unwrap();
    assert!(terminal.line("SELECT sum(n) AS n FROM many;").contains("3\n1 row"));
    // What is gone is not nothing.
    fs::remove_file(folder.join("lines.jsonl")).unwrap();
    for table in ["lines", "seen"] {
        let screen = terminal.line(&format!("SELECT count(*) AS n FROM {table};"));
        assert!(screen.contains("there is no file at `"), "{screen}");
    }
    fs::write(folder.join("data/orders.csv"), "order_id,ordered_on,channel,amount\n1,2025-01-05,web,1\n").unwrap();
    for question in ["SELECT count(*) FROM orders;", "\\kpi revenue", "SELECT * FROM kpi('revenue');"] {
        let screen = terminal.line(question);
        assert!(screen.contains("data/orders.csv` has changed since it was opened"), "{screen}");
    }
    terminal.line("\\reload");
    assert!(terminal.line("SELECT count(*) AS n FROM orders;").contains("1\n1 row"));
    fs::remove_file(folder.join("data/orders.csv")).unwrap();
    assert!(terminal.line("SELECT count(*) FROM orders;").contains("or is gone"));
    assert_eq!(terminal.leave().1, 0);
}

/// Once, only the first of several lines that came at once was read.
#[test]
fn lines_that_come_at_once_are_all_read() {
    let mut terminal = Terminal::open(&Options::default());
    terminal.keys("SELECT 'one' AS p;\rSELECT 'two' AS q;\r\\timing on\rSELECT 'three' AS r;\r");
    terminal.until("all answers", |screen| {
        ["one\n1 row", "two\n1 row", "timing is on", "three\n1 row"].iter().all(|text| screen.contains(text))
            && last_line(screen) == PROMPT
    });
    assert_eq!(terminal.leave().1, 0);
}

#[test]
fn the_project_can_be_read_again() {
    let mut terminal = Terminal::open(&Options::default());
    terminal.line("CREATE TABLE mine AS SELECT 1 AS a;");
    terminal.line("SET datafusion.execution.batch_size = 77;");
    let more = "\n---\nkpi: orders_placed\nlabel: Orders\nfrom: orders\nvalue: count(*)\ngrains: [month]\n";
    let file = terminal.folder.path().join("kpis/sales/orders.yaml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before + more).unwrap();
    let screen = terminal.line("SELECT count(*) AS n FROM kpi('orders_placed');");
    assert!(screen.contains("there is no KPI `orders_placed`"), "{screen}");
    let screen = terminal.line("\\reload");
    assert!(screen.contains("the project is read again"), "{screen}");
    let screen = terminal.line("SELECT count(*) AS n FROM kpi('orders_placed') CROSS JOIN mine;");
    assert!(screen.contains("\n3\n1 row"), "{screen}");
    let screen = terminal.line("SHOW datafusion.execution.batch_size;");
    assert!(screen.contains("77"), "{screen}");
    // A broken definition is told, and the rest goes on.
    fs::write(&file, "kpi: [").unwrap();
    let screen = terminal.line("\\reload");
    assert!(screen.contains("the definitions have"), "{screen}");
    let screen = terminal.line("SELECT a FROM mine;");
    assert!(screen.contains("1 row"), "{screen}");
    assert_eq!(terminal.leave().1, 0);
}

/// Before the first prompt what a file of the user's own says is done.
#[test]
fn a_session_begins_as_its_user_wants() {
    let files = [("config/kpi/replrc", "\\timing on\n\\nonsense\n\\set least 100\n")];
    let mut terminal = Terminal::open(&Options { files: &files, ..Options::default() });
    // A line that fails keeps no other from being done.
    terminal.until_shown("there is no command `\\nonsense`");
    let screen = terminal.line("SELECT order_id FROM orders WHERE amount > $least;");
    assert!(screen.contains("3 rows\n") && screen.contains(" s, the first rows after "), "{screen}");
    let (folder, _) = terminal.leave();
    let options = Options { arguments: &["repl", "--no-init"], ..Options::default() };
    let mut terminal = Terminal::open_in(folder, &options);
    let screen = terminal.line("SELECT order_id FROM orders WHERE amount > $least;");
    assert!(screen.contains("`$least` has no value"), "{screen}");
    assert_eq!(terminal.leave().1, 0);
}

/// Colors are for people who want them: keywords in the line, names of columns, mistakes.
#[test]
fn colors_are_seen_unless_somebody_does_not_want_them() {
    let options = Options { variables: &[("PAGER", "cat"), ("NO_COLOR", "")], ..Options::default() };
    let mut terminal = Terminal::open(&options);
    terminal.line("SELECT 'x' AS a;");
    let colored = |terminal: &Terminal, text: &str| {
        let screen = terminal.screen.lock().unwrap();
        let screen = screen.screen();
        let (lines, columns) = screen.size();
        let row = (0..lines).find(|row| screen.contents_between(*row, 0, *row, columns).contains(text)).unwrap();
        let at = screen.contents_between(row, 0, row, columns).find(text).unwrap();
        let cell = screen.cell(row, u16::try_from(at).unwrap()).unwrap();
        (cell.bold(), cell.fgcolor())
    };
    assert_eq!(colored(&terminal, "SELECT"), (true, vt100::Color::Idx(4)));
    assert_eq!(colored(&terminal, "'x'"), (false, vt100::Color::Idx(2)));
    assert_eq!(terminal.leave().1, 0);
    let mut terminal = Terminal::open(&Options::default());
    terminal.line("SELECT 'x' AS a;");
    assert_eq!(colored(&terminal, "SELECT"), (false, vt100::Color::Default));
    assert_eq!(terminal.leave().1, 0);
}

/// The sessions in README.md are typed in, and the screen is what stands there; `KPI_UPDATE_EXPECTED=1` writes it anew.
#[test]
fn the_session_in_the_readme_is_what_is_on_the_screen() {
    const BEGIN: &str = "```repl\n";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).unwrap();
    let start = text.find(BEGIN).unwrap() + BEGIN.len();
    let end = start + text[start..].find("```\n").unwrap();
    let options = Options { size: (200, 120), ..Options::default() };
    let mut terminal = Terminal::open_at(root, tempfile::tempdir().unwrap(), &options);
    let mut shown = String::new();
    for part in text[start..end].split("kpi> ").skip(1) {
        let screen = terminal.line(part.lines().next().unwrap());
        let screen = screen.strip_suffix(PROMPT).unwrap().trim_end();
        // What is long stands there up to a line of dots.
        match part.lines().position(|line| line == "...") {
            Some(lines) => {
                screen.lines().take(lines).for_each(|line| shown.push_str(&format!("{line}\n")));
                shown.push_str("...\n\n");
            }
            None => shown.push_str(&format!("{screen}\n\n")),
        }
    }
    let shown = shown.trim_end().to_owned() + "\n";
    assert_eq!(terminal.leave().1, 0);
    if std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1") {
        rewrite(|now| now.replacen(&text[start..end], &shown, 1));
    } else {
        expect(shown.trim_end(), &text[start..end]);
    }
}

/// Every command has a line in README.md, and every line there is a command.
#[test]
fn the_readme_has_every_command() {
    let mut terminal = Terminal::open(&Options { size: (160, 60), ..Options::default() });
    let screen = terminal.line("\\help");
    let first_word = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let known: Vec<String> = screen.lines().filter(|line| line.starts_with('\\')).filter_map(first_word).collect();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let lines = readme.lines().filter_map(|line| line.strip_prefix("| `\\"));
    let written: Vec<String> =
        lines.filter_map(|line| line.split([' ', '`']).next().map(|name| format!("\\{name}"))).collect();
    assert_eq!(known, written);
    assert_eq!(terminal.leave().1, 0);
}
