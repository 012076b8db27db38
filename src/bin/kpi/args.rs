//! What may be typed, and how it becomes the library's options.
//!
//! Wrong words end here, with clap's exit code 2. Whether a KPI exists is not known here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use kpi::days::DayRanges;
use kpi::engine::{EngineOptions, Question};
use kpi::error::{self, Error};
use kpi::session::SessionOptions;
use kpi::survey::AsOf;
use kpi::time::Grain;

use crate::repl::Mode;

/// KPIs from definitions in YAML and SQL, computed over Parquet and CSV files and published as whole versions
#[derive(Debug, Parser)]
#[command(
    name = "kpi",
    version,
    before_help = "Example: kpi init sample && cd sample && kpi run",
    after_help = "Exit codes: 0 done, 1 a KPI or a test failed, 2 wrong usage or definitions, 3 late data,\n\
                  4 storage, disk or memory, 5 another run was first, 6 published in part,\n\
                  101 a mistake in kpi, 130 and 143 interrupted",
    max_term_width = 100
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArguments {
    /// The folder that holds kpis/; without it the nearest one upward from here
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Look from the end of this day instead of now
    #[arg(long, global = true, value_name = "DATE", value_parser = day)]
    pub as_of: Option<NaiveDate>,
    /// Another value for a setting of the project, this time; may come several times
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Memory that queries may use, such as 8GB; beyond it they spill to disk [default: two thirds of the machine's]
    #[arg(long, global = true, value_name = "SIZE", value_parser = bytes)]
    pub memory_limit: Option<usize>,
    /// Threads that queries use [default: one per core]
    #[arg(long, alias = "threads", global = true, value_name = "N", value_parser = threads)]
    pub jobs: Option<usize>,
    /// Notes, warnings and errors for people, or one JSON object a line for programs
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// No progress and no notes, only results, warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    /// With a time, a level, the run's id, and each step of a run
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compute KPIs, audit them and publish them together
    #[command(before_help = "Example: kpi run tag:sales close_rate")]
    Run(RunArguments),
    /// Show what a run would do now: what has changed, which KPIs share a scan, and what each scan reads
    #[command(before_help = "Example: kpi plan tag:sales")]
    Plan(PlanArguments),
    /// List the versions that runs have published, the newest first
    #[command(before_help = "Example: kpi history close_rate")]
    History(HistoryArguments),
    /// Show what differs between two versions: values, and the definitions and files that made them other ones
    #[command(before_help = "Example: kpi diff 41 42 close_rate")]
    Diff(DiffArguments),
    /// Publish again what an earlier version had, as a new version
    #[command(before_help = "Example: kpi rollback 41")]
    Rollback(RollbackArguments),
    /// Compute what the last run was asked for and did not publish
    #[command(before_help = "Example: kpi retry")]
    Retry(RetryArguments),
    /// Show which files no version needs any more, and delete them if asked
    #[command(before_help = "Example: kpi clean --keep 30 --yes")]
    Clean(CleanArguments),
    /// Show every mistake in the definitions, and advice where there is none, without reading data beyond its columns
    #[command(before_help = "Example: kpi check")]
    Check(CheckArguments),
    /// Look at the tables at hand: which KPIs they support, which they almost support, and what is missing
    #[command(before_help = "Example: kpi doctor")]
    Doctor(DoctorArguments),
    /// Run the tests beside the definitions: of KPIs on given rows, and of the data
    #[command(before_help = "Example: kpi test close_rate table:orders")]
    Test(TestArguments),
    /// List the KPIs
    #[command(before_help = "Example: kpi ls tag:sales")]
    Ls(LsArguments),
    /// Print the glossary of the project: objectives, and everything that the definitions say of each KPI, as Markdown
    #[command(before_help = "Example: kpi docs -o GLOSSARY.md")]
    Docs(DocsArguments),
    /// Compute one KPI now and print it; nothing is published
    #[command(before_help = "Example: kpi show close_rate --by channel --grain month --since 2025-01-01")]
    Show(ShowArguments),
    /// Run SQL over tables, results, files and KPIs; or print the SQL that computes a KPI
    #[command(
        before_help = "Example: kpi sql -c \"SELECT * FROM kpi('close_rate', by => 'channel')\" --format csv\n         \
                       kpi sql -f checks.sql --param since=2025-01-01\n         \
                       kpi sql close_rate --by channel --grain month"
    )]
    Sql(SqlArguments),
    /// Ask one question after the other: SQL, and commands such as \kpi close_rate by region
    #[command(before_help = "Example: kpi repl")]
    Repl(ReplArguments),
    /// Write a small project that runs at once
    #[command(before_help = "Example: kpi init sample")]
    Init(InitArguments),
    /// Write a made-up CRM of any size, to try things on: twenty tables, three years, always the same
    #[command(before_help = "Example: kpi generate --accounts 1000 --seed 7 --out data")]
    Generate(GenerateArguments),
    /// Print the JSON Schema of definition files, for editors
    #[command(
        before_help = "Example: kpi schema > kpis/schema.json",
        after_help = "An editor with the YAML language server completes and checks while you write, if a file begins with\n\
                      # yaml-language-server: $schema=schema.json\n\
                      (the path is relative to the file)"
    )]
    Schema,
}

#[derive(Debug, Default, Args)]
pub struct RunArguments {
    /// Names of KPIs, tag:NAME for all with a tag, objective:NAME for all that serve it; without any, all of them
    #[arg(value_name = "KPI|tag:NAME|objective:NAME")]
    pub select: Vec<String>,
    #[command(flatten)]
    pub days: DaysArguments,
    /// Do what this plan says, which `kpi plan --json` wrote; refuse if anything that it rests on has changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["select", "force", "start", "end"])]
    pub plan: Option<PathBuf>,
    /// Publish nothing if any KPI fails
    #[arg(long)]
    pub fail_fast: bool,
    /// Publish all KPIs that do not fail, as without a word
    #[arg(long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// Publish nothing, and show which values would change
    #[arg(long, conflicts_with = "metrics")]
    pub dry_run: bool,
    /// Stop after so long, as with Ctrl-C; such as 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// While another run is at work, wait at most this long; such as 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Write what came of the run to this file, for the textfile collector of Prometheus
    #[arg(long, value_name = "FILE", value_parser = metrics_file)]
    pub metrics: Option<PathBuf>,
    /// Compute also what an earlier run has published and nothing has changed since
    #[arg(long, conflicts_with_all = ["start", "end"])]
    pub force: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Days whose periods are computed in any case.
#[derive(Debug, Default, Args)]
pub struct DaysArguments {
    /// Compute also the periods from this day on, though nothing has changed
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub start: Option<NaiveDate>,
    /// Compute also the periods up to this day, though nothing has changed
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub end: Option<NaiveDate>,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Names of KPIs, tag:NAME for all with a tag, objective:NAME for all that serve it; without any, all of them
    #[arg(value_name = "KPI|tag:NAME|objective:NAME")]
    pub select: Vec<String>,
    #[command(flatten)]
    pub days: DaysArguments,
    /// As if everything had changed
    #[arg(long, conflicts_with_all = ["start", "end"])]
    pub force: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Only versions that brought this KPI, with its values then
    pub kpi: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub limit: usize,
    /// Print the versions as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The earlier version
    pub from: u64,
    /// The later version
    pub to: u64,
    /// Only these KPIs, with all their values that differ
    #[arg(value_name = "KPI")]
    pub kpis: Vec<String>,
    /// Print the differences as JSON, all values among them
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The version to go back to
    pub version: u64,
}

#[derive(Debug, Args)]
pub struct RetryArguments {
    /// Publish nothing if any KPI fails; without it the others are published
    #[arg(long)]
    pub fail_fast: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CleanArguments {
    /// Keep only so many of the newest versions; without it all stay
    #[arg(long, value_name = "N")]
    pub keep: Option<u64>,
    /// How old a file must be, such as 30d or 36h; never less than 24 hours
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = age)]
    pub older_than: Duration,
    /// Delete what is shown
    #[arg(long)]
    pub yes: bool,
    /// Print the files as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Show all advice, with what to do about it
    #[arg(long)]
    pub advice: bool,
    /// Print the mistakes and all advice as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print the examination as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TestArguments {
    /// Names of KPIs, tag:NAME for all with a tag, objective:NAME for all that serve it, table:NAME for the data of a
    /// table; without any, everything
    #[arg(value_name = "KPI|tag:NAME|objective:NAME|table:NAME")]
    pub select: Vec<String>,
    /// Only tests on given rows, or only those of the data
    #[arg(long, value_name = "KIND")]
    pub only: Option<Kind>,
    /// Print the outcomes as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// On given rows; they need no data
    Given,
    /// Of the data, and of the results computed from it
    Data,
}

#[derive(Debug, Args)]
pub struct LsArguments {
    /// Names of KPIs, tag:NAME for all with a tag, objective:NAME for all that serve it; without any, all of them
    #[arg(value_name = "KPI|tag:NAME|objective:NAME")]
    pub select: Vec<String>,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DocsArguments {
    /// Names of KPIs, tag:NAME for all with a tag, objective:NAME for all that serve it; without any, the whole project
    #[arg(value_name = "KPI|tag:NAME|objective:NAME")]
    pub select: Vec<String>,
    /// Only a table for each area: names, formulas, units
    #[arg(long)]
    pub short: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct QuestionArguments {
    /// The KPI's name
    pub kpi: String,
    /// Break it down by dimensions, columns, or paths through joins such as account.region
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub by: Vec<String>,
    /// day, week, month, quarter or year [default: the first that the KPI names]
    #[arg(long, value_parser = grain)]
    pub grain: Option<Grain>,
    /// Begin with the period that this day lies in
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub since: Option<NaiveDate>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["kpi", "command", "file"]))]
pub struct SqlArguments {
    /// The KPI whose SQL is printed
    #[arg(conflicts_with_all = ["command", "file"])]
    pub kpi: Option<String>,
    /// Run these statements, divided by semicolons; may come several times
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    pub command: Vec<String>,
    /// Run what this file holds, behind all of -c; - for standard input; may come several times
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// A value for $NAME in statements, of the type that it is used as, or of a given one as in since:date=2025-01-31
    #[arg(long, value_name = "NAME[:TYPE]=VALUE", conflicts_with = "kpi")]
    pub param: Vec<String>,
    /// How to write rows [default: by the ending of FILE, else table]
    #[arg(long, conflicts_with = "kpi")]
    pub format: Option<Mode>,
    /// Write the rows to this file instead of standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "kpi")]
    pub output: Option<PathBuf>,
    /// Do not stop at the first statement that fails; the exit code is still that of the first failure
    #[arg(long, conflicts_with = "kpi")]
    pub continue_on_error: bool,
    /// Break the KPI down by dimensions, columns, or paths through joins such as account.region
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "kpi")]
    pub by: Vec<String>,
    /// day, week, month, quarter or year [default: the first that the KPI names]
    #[arg(long, value_parser = grain, requires = "kpi")]
    pub grain: Option<Grain>,
    /// Begin with the period that this day lies in
    #[arg(long, value_name = "DATE", value_parser = day, requires = "kpi")]
    pub since: Option<NaiveDate>,
}

#[derive(Debug, Args)]
pub struct ReplArguments {
    /// A value for $NAME in statements, as in kpi sql
    #[arg(long, value_name = "NAME[:TYPE]=VALUE")]
    pub param: Vec<String>,
    /// How to write rows [default: table]
    #[arg(long)]
    pub format: Option<Mode>,
    /// Leave out what $XDG_CONFIG_HOME/kpi/replrc says to do first
    #[arg(long)]
    pub no_init: bool,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    #[command(flatten)]
    pub question: QuestionArguments,
    /// How to write the values [default: by the ending of FILE, else table]
    #[arg(long)]
    pub format: Option<Format>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// At most so many rows, the newest ones
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    Csv,
    Json,
    Markdown,
    Parquet,
}

#[derive(Debug, Args)]
pub struct InitArguments {
    /// A folder that is empty or does not exist yet
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Definitions for the exports of a CRM, over the bundled catalogue, instead of the small project
    #[arg(long, value_name = "CRM")]
    pub from: Option<Crm>,
}

/// A CRM whose exports there are definitions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Crm {
    Salesforce,
    Hubspot,
}

#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// How many accounts the company knows; everything else grows with it
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub accounts: u64,
    /// Another seed gives other data of the same kind
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// A folder that is empty, does not exist yet, or holds what an earlier call wrote
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl GlobalArguments {
    /// The project and the session that were asked for.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            project: self.project.clone().unwrap_or_else(nearest_project),
            session: SessionOptions { memory_limit: self.memory_limit, threads: self.jobs },
            as_of: self.as_of.map(AsOf::end_of),
            settings: self.set.iter().cloned().collect(),
        }
    }
}

impl DaysArguments {
    /// # Errors
    /// `Config` where the last day lies before the first.
    pub fn days(&self) -> error::Result<DayRanges> {
        match (self.start, self.end) {
            (None, None) => Ok(DayRanges::none()),
            (Some(start), Some(end)) if end < start => {
                Err(Error::config(format!("`--end {end}` lies before `--start {start}`")))
            }
            (start, end) => Ok(DayRanges::of(start.unwrap_or(NaiveDate::MIN), end.unwrap_or(NaiveDate::MAX))),
        }
    }
}

impl SqlArguments {
    pub fn question(&self) -> Question {
        let kpi = self.kpi.clone().unwrap_or_default();
        Question { kpi, by: self.by.clone(), grain: self.grain, since: self.since }
    }
}

impl QuestionArguments {
    pub fn question(&self) -> Question {
        Question { kpi: self.kpi.clone(), by: self.by.clone(), grain: self.grain, since: self.since }
    }
}

/// The folder with `kpis/` in it, from here upward.
fn nearest_project() -> PathBuf {
    let here = PathBuf::from(".");
    if here.join("kpis").is_dir() {
        return here;
    }
    let Ok(absolute) = std::env::current_dir() else { return here };
    absolute.ancestors().find(|folder| folder.join("kpis").is_dir()).map_or(here, Path::to_path_buf)
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write `name=value`, such as `large_from=200`".to_owned()),
    }
}

fn day(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "write a day as 2025-01-31".to_owned())
}

fn grain(text: &str) -> Result<Grain, String> {
    let names = Grain::ALL.map(Grain::name).join(", ");
    text.parse().map_err(|()| format!("it is one of {names}"))
}

/// A file that can be replaced, in a folder that is there: at the end of a run it would be too late to find out.
fn metrics_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match path.metadata() {
        Ok(there) if !there.is_file() => Err("it is there, and no file".to_owned()),
        _ if path.file_name().is_none() => Err("name a file".to_owned()),
        _ if folder.is_some_and(|folder| !folder.is_dir()) => Err("there is no such folder".to_owned()),
        _ => Ok(path),
    }
}

/// `90s`, `30m` or `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    const YEAR: u64 = 366 * 24 * 3600;
    let wrong = || "write a time as 90s, 30m or 2h, of at most a year".to_owned();
    let text = text.trim();
    let seconds = match text.char_indices().next_back() {
        Some((end, 's')) => (&text[..end], 1),
        Some((end, 'm')) => (&text[..end], 60),
        Some((end, 'h')) => (&text[..end], 3600),
        _ => return Err(wrong()),
    };
    let number: u64 = seconds.0.trim().parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds.1)
        .filter(|seconds| (1..=YEAR).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// More threads than this only wait for each other.
fn threads(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        number @ ..=256 => Ok(number),
        _ => Err("write a number up to 256".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a number from 1 on".to_owned())
}

/// `30d` or `36h`.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "write an age as 30d or 36h".to_owned();
    let text = text.trim();
    let (number, hours) = match text.strip_suffix('d') {
        Some(days) => (days, 24),
        None => (text.strip_suffix('h').ok_or_else(wrong)?, 1),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(hours * 3600).map(Duration::from_secs).ok_or_else(wrong)
}

/// `8GB`, `512MiB`, `1.5g` or plain bytes.
fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || "write a size as 512MB or 8GB".to_owned();
    let text = text.trim();
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| wrong())?;
    let unit = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        "tib" => f64::from(1 << 30) * 1024.0,
        _ => return Err(wrong()),
    };
    let size = number * unit;
    // With less, operators fail before they could spill.
    if size < 1e6 { Err("queries need 1MB at least".to_owned()) } else { Ok(size as usize) }
}
