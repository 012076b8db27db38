//! Mistakes in definitions, each with the message that an analyst gets.
//!
//! Each file of `tests/diagnostics/check` joins a project of three sound tables and three KPIs, unless it brings a `project:` of
//! its own, and is checked together with them; what is said stands in the `.txt` beside it. `KPI_UPDATE_EXPECTED=1` writes these
//! files; look at each message as somebody who does not know how kpi works: is the caret on the word that is wrong, and
//! does the hint say what to write? Mistakes of YAML itself are the business of `load`, whose fixtures lie one folder up.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

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
---
kpi: order_count
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics/check");
    let mut fixtures: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    fixtures.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "sql"));
    fixtures.sort();
    assert!(!fixtures.is_empty());
    let is_update = std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1");
    let mut different = String::new();
    block_on(async {
        for fixture in fixtures {
            let said = check(&fixture).await;
            let expected = fixture.with_extension("txt");
            if is_update {
                fs::write(expected, said).unwrap();
            } else if fs::read_to_string(expected).unwrap_or_default() != said {
                writeln!(different, "\n---- {}\n{said}", fixture.file_name().unwrap().display()).unwrap();
            }
        }
    });
    assert!(different.is_empty(), "look, then accept with KPI_UPDATE_EXPECTED=1{different}");
}

async fn check(fixture: &Path) -> String {
    let text = fs::read_to_string(fixture).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = format!("kpis/{}", fixture.file_name().unwrap().display());
    write_files(
        folder.path(),
        &[
            (&name, text.as_str()),
            ("kpis/zz_tables.yaml", TABLES),
            ("kpis/zz_query.sql", QUERY),
            ("data/orders.csv", ORDERS),
            ("data/accounts.csv", "account_id,region,owner_id,order_date\na1,north,u1,2025-01-01\n"),
            ("data/users.csv", "user_id,team\nu1,east\n"),
        ],
    );
    if !text.starts_with("project:") {
        write_files(folder.path(), &[("kpis/project.yaml", PROJECT)]);
    }
    let engine = open(folder.path(), None).await;
    let said = mistakes(&engine);
    assert!(!said.is_empty(), "{} has no mistake", fixture.display());
    said.replace(&folder.path().display().to_string(), "<project>")
}
