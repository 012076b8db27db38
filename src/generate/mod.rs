//! A made-up CRM: three years of a software company with all twenty tables, as large as you like, always the same.
//!
//! [`generate`] writes Parquet and CSV files such as a company would export them from its CRM, its web analytics, its
//! telephony and its books. The same options give the same bytes on every machine: nothing depends on the clock, the
//! order of a hash map or the system's mathematics library. Memory is bounded however many accounts there are.
//!
//! The company sells a platform with add-ons, support, devices and training from New York; timestamps are UTC. Leads come
//! through ten channels, some become accounts and deals, won deals become orders and contracts, contracts renew or end,
//! customers open cases and answer surveys. Some things happen that a good report should find; `stories.rs` holds their dates
//! and sizes. The same page is written beside the data:
//!
#![doc = include_str!("stories.md")]
//!
//! What is deliberately absent: names, addresses or texts of people; currencies other than the dollar; tables for other
//! businesses.

mod accounts;
mod activities;
mod calendar;
mod company;
mod finance;
mod marketing;
mod random;
mod revenue;
mod sales;
mod service;
mod stories;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{Datelike, NaiveDate};

use self::accounts::Account;
use self::calendar::{Calendar, Day};
use self::company::Company;
use self::finance::Ledger;
use self::marketing::{Campaigns, KnownCustomers};
use self::tables::Tables;
use self::write::{Id, cannot_write};
use crate::error::{Error, Result};

pub use self::random::Random;
pub use self::write::GeneratedTable;

/// What to generate, and where.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// How many rows `accounts` gets; all tables grow with it.
    pub accounts: u64,
    /// Another seed gives other data of the same kind.
    pub seed: u64,
    /// A folder that is empty, absent, or was made by an earlier call.
    pub out: PathBuf,
    /// How many months the data covers.
    pub months: u32,
    /// The first day of the first month.
    pub first_month: NaiveDate,
}

impl GenerateOptions {
    /// Three years up to the end of 2025: the span in which the stories happen.
    pub fn new(accounts: u64, seed: u64, out: impl Into<PathBuf>) -> GenerateOptions {
        let first_month = NaiveDate::from_ymd_opt(2023, 1, 1).unwrap_or_default();
        GenerateOptions { accounts, seed, out: out.into(), months: 36, first_month }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateSummary {
    pub tables: Vec<GeneratedTable>,
}

/// Generates the data. `progress` hears now and then how many rows a table has so far.
///
/// Files that an earlier call left in `out` are replaced; a folder with anything else in it is refused.
///
/// # Errors
/// Of kind `Config` for options that make no sense or a folder that is not ours, of kind `Storage` when files cannot be
/// written.
pub fn generate(options: &GenerateOptions, progress: &mut dyn FnMut(&str, u64)) -> Result<GenerateSummary> {
    check(options)?;
    prepare_folder(&options.out)?;
    let calendar = Calendar::new(options.first_month, options.months);
    let mut tables = Tables::new(&options.out, options.accounts, options.months);
    let mut random = Random::stream(options.seed, stream(Area::Company, 0));
    let company = Company::found(&mut tables, &calendar, &mut random, options.accounts)?;
    let (campaigns, costs) = Campaigns::plan(&mut tables, &calendar, &mut random, options.accounts)?;
    let ledger = Ledger::new(&company, costs);
    let customers = KnownCustomers::default();
    let mut world =
        World { accounts: options.accounts, calendar, tables, company, campaigns, ledger, customers, visitors: 0 };

    for index in 0..options.accounts {
        let mut random = Random::stream(options.seed, stream(Area::Account, index));
        accounts::live(&mut world, &mut random, index)?;
        if index % 512 == 0 {
            world.tables.report(progress);
        }
    }
    let new_accounts = accounts::new_accounts(options.accounts) as f64;
    for number in world.calendar.first.0..=world.calendar.last.0 {
        let (day, random) = (Day(number), &mut Random::stream(options.seed, stream(Area::Day, number as u64)));
        marketing::stray_leads(&mut world, random, day, new_accounts)?;
        marketing::anonymous_visits(&mut world, random, day)?;
        service::anonymous_cases(&mut world, random, day)?;
        service::process_runs(&mut world, random, day)?;
        if number % 32 == 0 {
            world.tables.report(progress);
        }
    }
    let mut random = Random::stream(options.seed, stream(Area::Books, 0));
    revenue::orphans(&mut world, &mut random)?;
    finance::quotas(&mut world, &mut random)?;
    finance::trial_balance(&mut world, &mut random)?;
    world.tables.report(progress);

    let summary = GenerateSummary { tables: world.tables.finish(&world.calendar)? };
    write_note(&options.out, &describe(options, &summary))?;
    Ok(summary)
}

/// Everything that the areas share.
struct World {
    accounts: u64,
    calendar: Calendar,
    tables: Tables,
    company: Company,
    campaigns: Campaigns,
    ledger: Ledger,
    customers: KnownCustomers,
    visitors: u64,
}

impl World {
    /// Who looks after the account on the day: its owner, or a colleague when the owner is not there.
    fn owner(&self, random: &mut Random, account: &Account, day: Day) -> Id {
        if self.company.works_on(account.owner, day) {
            account.owner
        } else {
            self.company.representative(random, account.region, day)
        }
    }

    fn new_visitor(&mut self) -> Id {
        self.visitors += 1;
        Id { prefix: "V", number: self.visitors }
    }

    /// Somebody who visited the web site not long ago.
    fn known_visitor(&mut self, random: &mut Random) -> Id {
        let recent = self.visitors.min(self.accounts + 100);
        Id { prefix: "V", number: self.visitors - random.below(recent).min(self.visitors.saturating_sub(1)) }
    }
}

/// The parts that draw from streams of their own.
enum Area {
    Company,
    Account,
    Day,
    Books,
}

fn stream(area: Area, number: u64) -> u64 {
    number * 4
        + match area {
            Area::Company => 0,
            Area::Account => 1,
            Area::Day => 2,
            Area::Books => 3,
        }
}

const MOST_MONTHS: u32 = 240;
const NOTE: &str = "GENERATED.md";
const NOTE_START: &str = "# Generated data";

fn check(options: &GenerateOptions) -> Result<()> {
    if options.accounts == 0 {
        return Err(Error::config("`0` accounts would be no data").with_hint("ask for at least one account"));
    }
    if options.months == 0 || options.months > MOST_MONTHS {
        return Err(Error::config(format!("the generator cannot cover `{}` months", options.months))
            .with_hint(format!("ask for 1 to {MOST_MONTHS} months")));
    }
    let year = options.first_month.year();
    if options.first_month.day() != 1 || !(1980..=2200).contains(&year) {
        return Err(Error::config(format!("`{}` cannot be the first month", options.first_month))
            .with_hint("give the first day of a month between 1980 and 2200"));
    }
    Ok(())
}

/// Makes the folder and removes what an earlier call wrote into it.
fn prepare_folder(out: &Path) -> Result<()> {
    fs::create_dir_all(out).map_err(|source| cannot_write(out, source))?;
    let is_empty = fs::read_dir(out).map_err(|source| cannot_write(out, source))?.next().is_none();
    let is_ours = fs::read_to_string(out.join(NOTE)).is_ok_and(|note| note.starts_with(NOTE_START));
    if !is_empty && !is_ours {
        return Err(Error::config(format!("the folder `{}` holds other files", out.display()))
            .with_hint("choose an empty or new folder; only a folder that the generator made is written again"));
    }
    // From here on the folder is known as ours, even if the run does not come to its end.
    write_note(out, &format!("{NOTE_START}\n\nThe generation did not finish: run it again.\n"))?;
    for table in Tables::NAMES {
        for file in [format!("{table}.csv"), format!("{table}.csv.gz")] {
            remove(out.join(file), |path| fs::remove_file(path))?;
        }
        remove(out.join(table), |path| fs::remove_dir_all(path))?;
    }
    Ok(())
}

fn remove(path: PathBuf, remove: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    match remove(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(cannot_write(&path, source)),
        _ => Ok(()),
    }
}

fn write_note(out: &Path, text: &str) -> Result<()> {
    let path = out.join(NOTE);
    fs::write(&path, text).map_err(|source| cannot_write(&path, source))
}

/// The page beside the data: how it was made, what is there, and what to look for.
fn describe(options: &GenerateOptions, summary: &GenerateSummary) -> String {
    let rows: u64 = summary.tables.iter().map(|table| table.rows).sum();
    let last = Day(options.first_month.to_epoch_days()).add_months(options.months) + -1;
    let mut text = format!(
        "{NOTE_START}\n\nMade by\n\n```sh\nkpi generate --accounts {} --seed {} --out DIR\n```\n\n\
         {} months from {} to {} (days of America/New_York), {rows} rows. The same command makes the same bytes. \
         All people and companies are made up.\n\n| table | rows | files |\n|---|---:|---:|\n",
        options.accounts,
        options.seed,
        options.months,
        options.first_month,
        last.date(),
    );
    for table in &summary.tables {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {} | {} |", table.name, table.rows, table.files);
    }
    text + FORMATS + "\n" + include_str!("stories.md")
}

const FORMATS: &str = "
Timestamps are UTC, dates are days in New York. `activities` and `web_sessions` lie in one folder for each month in New
York. `campaign_costs.csv` comes from another tool: semicolons, dates as `31/12/2025`, `-` for no value.
";
