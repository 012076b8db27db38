//! Mistakes in definitions, each with the message that an analyst gets.
//!
//! Each file of `tests/diagnostics/check` joins a project of three sound tables and three KPIs, unless it brings a `project:` of
//! its own, and is checked together with them; what is said stands in the `.txt` beside it. `KPI_UPDATE_EXPECTED=1` writes these
//! files; look at each message as somebody who does not know how kpi works: is the caret on the word that is wrong, and
//! does the hint say what to write? Files of `tests/diagnostics/advice` have no mistake, join the tables alone, and get the
//! advice that stands beside them, as it looks from the end of 2025. Mistakes of YAML itself are the business of `load`, whose fixtures lie one folder up.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use kpi::diagnostic::render_lines;
use tempfile::TempDir;

use crate::support::{block_on, mistakes, open, write_files};

const PROJECT: &str = "project: shop\nsettings: {retention_days: 365}\n";

const TABLES: &str = r#"table: orders
source: orders.csv
primary_key: order_id
time: order_date
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
predicates:
  paid: status = 'paid'
---
table: accounts
source: accounts.csv
primary_key: account_id
joins:
  owner: {table: users, on: owner_id = user_id}
---
table: users
source: users.csv
primary_key: user_id
"#;

const KPIS: &str = r#"kpi: order_count
from: orders
value: count(*)
---
kpi: revenue
from: orders
value: sum(amount)
"#;

const QUERY: &str = r#"/* ---
kpi: order_gap
--- */
SELECT period(order_date) AS period, channel, max(amount) - min(amount) AS value
FROM orders
GROUP BY ALL
"#;

const ORDERS: &str = "order_id,order_date,placed_at,account_id,channel,status,amount,is_gift\n\
                      o1,2025-01-01,2025-01-01 10:00:00,a1,web,paid,10.5,false\n";

#[test]
fn every_mistake_is_told_as_written_beside_it() {
    compare("tests/diagnostics/check", |fixture| {
        let folder = project(fixture, &[("kpis/zz_kpis.yaml", KPIS), ("kpis/zz_query.sql", QUERY)]);
        let said = block_on(async { mistakes(&open(folder.path(), None).await) });
        assert!(!said.is_empty(), "{} has no mistake", fixture.display());
        said.replace(&folder.path().display().to_string(), "<project>")
    });
}

#[test]
fn every_piece_of_advice_is_told_as_written_beside_it() {
    compare("tests/diagnostics/advice", |fixture| {
        let folder = project(fixture, &[]);
        let engine = block_on(open(folder.path(), None));
        assert_eq!(mistakes(&engine), "", "{}", fixture.display());
        let advice = engine.advice(NaiveDate::from_ymd_opt(2025, 12, 31));
        let lines = render_lines(&advice, engine.sources()).into_iter();
        lines.map(|(line, hint)| format!("{line}\n  {}\n", hint.expect("advice says what to do"))).collect()
    });
}

/// What ended and what is old depends on the day, so without one nothing is said of it.
#[test]
fn without_a_day_no_advice_depends_on_days() {
    let folder = project(&root().join("tests/diagnostics/advice/days.yaml"), &[]);
    block_on(async {
        let advice = open(folder.path(), None).await.advice(None);
        let told: Vec<&str> = advice.iter().map(|advice| advice.message.as_str()).collect();
        assert!(told.contains(&"a benchmark of `ended` does not say from when it is"), "{told:?}");
        assert!(!told.iter().any(|told| told.contains("ended on") || told.contains("two years")), "{told:?}");
    });
}

/// What a project includes others wrote; that its guardrails are not here is news of this project.
#[test]
fn what_is_included_gets_no_advice_on_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let data = root().join("data");
    let project = format!(
        "project: mine\ndata: {}\ninclude: {{catalogue: crm, kpis: [new_leads, close_rate]}}\n",
        data.display()
    );
    write_files(folder.path(), &[("kpis/project.yaml", project.as_str())]);
    let engine = block_on(open(folder.path(), None));
    assert_eq!(mistakes(&engine), "");
    let told: Vec<(&str, String)> =
        engine.advice(None).into_iter().map(|advice| (advice.code, advice.message)).collect();
    assert!(matches!(told.as_slice(), [("volume-without-quality", said)] if said.contains("`new_leads`")), "{told:?}");
}

fn compare(folder: &str, say: fn(&Path) -> String) {
    let folder = root().join(folder);
    let mut fixtures: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    fixtures.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "sql"));
    fixtures.sort();
    assert!(!fixtures.is_empty());
    let is_update = std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1");
    let mut different = String::new();
    for fixture in fixtures {
        let said = say(&fixture);
        let expected = fixture.with_extension("txt");
        if is_update {
            fs::write(expected, said).unwrap();
        } else if fs::read_to_string(expected).unwrap_or_default() != said {
            writeln!(different, "\n---- {}\n{said}", fixture.file_name().unwrap().display()).unwrap();
        }
    }
    assert!(different.is_empty(), "look, then accept with KPI_UPDATE_EXPECTED=1{different}");
}

/// The fixture in a project of its own, with the tables and what else there is.
fn project(fixture: &Path, others: &[(&str, &str)]) -> TempDir {
    let text = fs::read_to_string(fixture).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = format!("kpis/{}", fixture.file_name().unwrap().display());
    write_files(
        folder.path(),
        &[
            (&name, text.as_str()),
            ("kpis/zz_tables.yaml", TABLES),
            ("data/orders.csv", ORDERS),
            ("data/accounts.csv", "account_id,region,owner_id,order_date\na1,north,u1,2025-01-01\n"),
            ("data/users.csv", "user_id,team\nu1,east\n"),
        ],
    );
    if !text.starts_with("project:") {
        write_files(folder.path(), &[("kpis/project.yaml", PROJECT)]);
    }
    write_files(folder.path(), others);
    folder
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
