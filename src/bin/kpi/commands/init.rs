//! `kpi init`: a small project that runs at once: two tables, four KPIs, two years of made-up orders. Or, with `--from`, the
//! definitions that make tables of the bundled catalogue out of the exports of a CRM, without any data.
//!
//! The definitions are the files of `template/`; the made-up data follows from a few lines of arithmetic, the same every time.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use chrono::{Days, NaiveDate};
use kpi::error::{Error, Result};
use kpi::spec::schema::json_schema;

use crate::args::{Crm, InitArguments};
use crate::printer::Printer;
use crate::template::{HUBSPOT, SALESFORCE, SHOP};

pub fn init(arguments: &InitArguments, printer: &Printer) -> Result<u8> {
    let folder = &arguments.folder;
    refuse_if_in_use(folder)?;
    let files = match arguments.from {
        None => SHOP,
        Some(Crm::Salesforce) => SALESFORCE,
        Some(Crm::Hubspot) => HUBSPOT,
    };
    for (name, text) in files {
        write(&folder.join(name), text)?;
    }
    write(&folder.join("kpis/schema.json"), &format!("{:#}\n", json_schema()))?;
    let place = folder.display();
    match arguments.from {
        None => {
            write(&folder.join("data/customers.csv"), &customers())?;
            write(&folder.join("data/orders.csv"), &orders())?;
            write(&folder.join(".gitignore"), "out/\n")?;
            printer.note(format_args!(
                "made a project in `{place}` with 2 tables and 4 KPIs; next:\n  cd {place}\n  kpi run\n  kpi show revenue --by region"
            ));
        }
        Some(_) => {
            // The one file of data that people write themselves stays under version control.
            write(&folder.join(".gitignore"), "out/\ndata/*.csv\n!data/deal_stages.csv\n")?;
            printer.note(format_args!(
                "made a project in `{place}`; next:\n  put the exports into {place}/data, as its README.md says\n  cd {place}\n  kpi doctor"
            ));
        }
    }
    Ok(0)
}

/// A folder may be there already, but only an empty one, or one that was just put under version control.
fn refuse_if_in_use(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Error::storage(format!("`{}` cannot be used", folder.display()))
                .with_hint("name a folder that is empty or does not exist yet")
                .with_source(error));
        }
    };
    if entries.flatten().any(|entry| entry.file_name() != ".git") {
        return Err(Error::config(format!("`{}` is not empty", folder.display()))
            .with_hint("name a folder that is empty or does not exist yet"));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).map_err(|error| {
        Error::storage(format!("`{}` cannot be written", path.display()))
            .with_hint("check the permissions of the folder and the room on the disk")
            .with_source(error)
    })
}

const CUSTOMERS: u64 = 40;
const ORDERS: u64 = 1_100;
const DAYS: u64 = 731;

fn customers() -> String {
    let mut text = "customer_id,region,customer_since\n".to_owned();
    for id in 1..=CUSTOMERS {
        let region = ["north", "south", "west"][(scatter(id) % 3) as usize];
        let _ = writeln!(text, "{id},{region},{}", day(scatter(id + CUSTOMERS) % 365));
    }
    text
}

fn orders() -> String {
    let mut text = "order_id,customer_id,ordered_on,channel,amount,status\n".to_owned();
    for id in 1..=ORDERS {
        let luck = |question: u64| scatter(id * 8 + question);
        // Orders come closer together as the shop grows.
        let placed = DAYS - 1 - (ORDERS - id) * (ORDERS - id + 2 * ORDERS) * (DAYS - 1) / (3 * ORDERS * ORDERS);
        let channel = if luck(1) % 100 < 55 + placed * 20 / DAYS { "web" } else { "counter" };
        let pence = 900 + luck(2) % 6_000 + if channel == "web" { luck(3) % 4_000 } else { 0 };
        let cancelled = if channel == "web" { luck(4) % 100 < 8 } else { luck(4) % 100 < 2 };
        let status = if cancelled { "cancelled" } else { "paid" };
        let customer = luck(5) % CUSTOMERS + 1;
        let _ = writeln!(text, "{id},{customer},{},{channel},{}.{:02},{status}", day(placed), pence / 100, pence % 100);
    }
    text
}

/// The days of 2024 and 2025, from 0.
fn day(number: u64) -> NaiveDate {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap_or_default();
    first.checked_add_days(Days::new(number)).unwrap_or(first)
}

/// A number that looks random and depends on nothing else (the last steps of the generator splitmix64).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
