//! `kpi test`, and what failed tests mean for `kpi run`.

use super::Project;

const PROJECT: &str = "project: shop\ncurrency: EUR\n";

/// Orders with a test of each kind, all of which the rows pass.
const ORDERS: &str = "\
table: orders
source: orders.csv
primary_key: order_id
time: ordered_on
joins:
  account: {table: accounts, on: account_id}
columns:
  order_id: {tests: [unique]}
  status: {tests: [{accepted: [paid, open, cancelled], severity: warn}]}
  amount: {type: \"decimal(12,2)\", tests: [not_null, {min: 0}, {max: 1000, severity: warn}]}
  account_id: {tests: [{relationship: accounts}]}
dimensions:
  region: account.region
tests:
  - {name: paid after ordered, condition: paid_on >= ordered_on}
  - {unique: [account_id, ordered_on], where: status = 'paid', severity: warn}
  - {condition: account.region <> 'Nowhere'}
freshness: {column: ordered_on, warn: 1 day, error: 3 days}
---
table: accounts
source: accounts.csv
primary_key: account_id
time: since
";

const KPIS: &str = "\
kpi: revenue
label: Revenue
from: orders
where: status = 'paid'
value: sum(amount)
by: [region]
tests:
  - name: only paid orders count
    given:
      orders:
        - {ordered_on: 2025-01-05, account_id: 1, status: paid, amount: 10.10}
        - {ordered_on: 2025-01-31, account_id: 2, status: paid, amount: 20}
        - {ordered_on: 2025-01-31, account_id: 1, status: open, amount: 40}
      accounts:
        - {account_id: 1, region: North}
    expect:
      - {period_start: 2025-01-01, value: 30.10, n: 2, is_complete: true}
      - {period_start: 2025-01-01, region: North, value: 10.1}
      - {period_start: 2025-01-01, region: null, value: 20}
  - assert: value BETWEEN 0 AND 1000
---
kpi: accounts_seen
label: Accounts
from: accounts
value: count(*)
";

const ORDER_ROWS: &str = "\
order_id,account_id,ordered_on,paid_on,status,amount
1,1,2025-01-05,2025-01-06,paid,100.50
2,2,2025-01-25,,open,50
3,1,2025-03-30,2025-03-31,paid,300
";

const ACCOUNT_ROWS: &str = "account_id,region,since\n1,North,2025-01-01\n2,,2025-03-31\n";

fn shop() -> Project {
    Project::new(&[
        ("kpis/project.yaml", PROJECT),
        ("kpis/sales/tables.yaml", ORDERS),
        ("kpis/sales/kpis.yaml", KPIS),
        ("data/orders.csv", ORDER_ROWS),
        ("data/accounts.csv", ACCOUNT_ROWS),
    ])
}

/// One row that breaks each test of the data.
const BAD_ROWS: &str = "\
3,9,2025-03-30,2025-03-29,lost,-1
,1,2025-03-30,2025-03-31,paid,2000
5,,2025-03-30,,open,
";

#[test]
fn test_says_that_all_passed() {
    let mut project = shop();
    project.kpi(&["test", "--as-of", "2025-03-31"], 0);
    project.kpi(&["test", "--as-of", "2025-03-31", "revenue", "--only", "given"], 0);
    project.kpi(&["test", "--as-of", "2025-03-31", "table:accounts"], 0);
    project.kpi(&["test", "--as-of", "2025-03-31", "tag:sales", "--only", "data", "--json"], 0);
    project.kpi(&["test", "revenu"], 2);
    project.kpi(&["test", "orders"], 2);
    project.kpi(&["test", "table:order"], 2);
    project.kpi(&["test", "tag:finance"], 2);
    project.expect("test");
}

#[test]
fn test_shows_the_rows_that_failed() {
    let mut project = shop();
    project.append("data/orders.csv", BAD_ROWS);
    project.kpi(&["test", "--as-of", "2025-04-01"], 1);
    project.kpi(&["test", "--as-of", "2025-03-31", "table:orders", "--json"], 1);
    project.expect("test_failed");
}

#[test]
fn test_shows_what_was_expected_beside_what_came_out() {
    let mut project = shop();
    project.replace("kpis/sales/kpis.yaml", "value: 30.10, n: 2, is", "value: 30.11, n: 3, is");
    project.replace("kpis/sales/kpis.yaml", "region: null, value: 20}", "region: South, value: 20}");
    project.kpi(&["test", "revenue", "--only", "given"], 1);
    project.kpi(&["test", "revenue", "--only", "given", "--json"], 1);
    project.replace("kpis/sales/kpis.yaml", "value: 30.11", "value: 30.11, sum_cost: 1");
    project.kpi(&["test", "--only", "given"], 2);
    project.expect("test_given_failed");
}

/// Tests on given rows need no data; tests of the data say that there is none.
#[test]
fn test_runs_without_data() {
    let mut project = shop();
    std::fs::remove_dir_all(project.path("data")).unwrap();
    project.kpi(&["test"], 0);
    project.append(
        "kpis/sales/kpis.yaml",
        "---\nkpi: won\nfrom: orders\nwhere: is_won\nvalue: count(*)\n\
         tests: [{given: {orders: [{ordered_on: 2025-01-05}]}, expect: [{period_start: 2025-01-01, value: 1}]}]\n",
    );
    project.kpi(&["test", "--only", "given"], 1);
    project.expect("test_without_data");
}

/// A value that cannot be read breaks the tests that look at it and no others.
#[test]
fn a_test_that_cannot_run_has_failed() {
    let mut project = shop();
    project.append("data/orders.csv", "4,1,2025-03-31,2025-03-31,paid,much\n");
    project.kpi(&["test", "--as-of", "2025-03-31", "table:orders"], 1);
    project.expect("test_broken");
}

#[test]
fn run_withholds_what_reads_a_table_with_a_failed_test() {
    let mut project = shop();
    project.append("data/orders.csv", BAD_ROWS);
    project.kpi(&["run", "--as-of", "2025-03-31"], 6);
    assert_eq!(project.published().into_keys().collect::<Vec<_>>(), ["accounts_seen.parquet", "kpi_values.parquet"]);
    project.kpi(&["run", "--as-of", "2025-03-31", "revenue", "--json"], 1);
    project.expect("run_tests_failed");
}

#[test]
fn run_withholds_results_that_are_not_as_asserted() {
    let mut project = shop();
    project.replace("kpis/sales/kpis.yaml", "BETWEEN 0 AND 1000", "BETWEEN 0 AND 200");
    project.kpi(&["run", "--as-of", "2025-03-31", "--quiet"], 6);
    project.replace(
        "kpis/sales/kpis.yaml",
        "- assert: value BETWEEN 0 AND 200",
        "- {assert: value < 200, severity: warn}",
    );
    project.kpi(&["run", "--as-of", "2025-03-31"], 0);
    project.expect("run_assert_failed");
}

/// Late data has an exit code of its own, unless something else is wrong as well.
#[test]
fn run_keeps_late_data_back() {
    let mut project = shop();
    project.kpi(&["run", "--as-of", "2025-04-01"], 0);
    project.kpi(&["run", "--as-of", "2025-04-03"], 3);
    project.kpi(&["run", "--as-of", "2025-04-03", "revenue", "--json"], 3);
    project.kpi(&["run", "--as-of", "2025-04-03", "--fail-fast"], 3);
    project.append("data/orders.csv", "4,1,2025-03-30,2025-03-31,paid,-5\n");
    project.kpi(&["run", "--as-of", "2025-04-03"], 6);
    project.expect("run_late");
}

/// What the tests found stays with the results in the log.
#[test]
fn run_keeps_the_outcome_of_tests() {
    let mut project = shop();
    project.replace("data/orders.csv", ",300\n", ",3000\n");
    project.replace("kpis/sales/kpis.yaml", "AND 1000", "AND 5000");
    project.kpi(&["run", "--as-of", "2025-03-31"], 0);
    let logs = std::fs::read_dir(project.path("out/_kpi/log")).unwrap().map(|entry| entry.unwrap().path());
    let log = std::fs::read_to_string(logs.max().unwrap()).unwrap();
    let record: serde_json::Value = serde_json::from_str(&log).unwrap();
    let audits = record["kpis"]["revenue"]["audit"].as_array().unwrap();
    let found: Vec<String> = (audits.iter().filter(|audit| audit["name"] == "tests"))
        .map(|audit| format!("{}: {}", audit["status"].as_str().unwrap(), audit["detail"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            "passed: 9 of `orders` passed",
            "warned: `orders`: `amount` is at most 1000: 1 of 3 rows (kpis/sales/tables.yaml:10), \
             such as order_id = 3, amount = 3000.00",
            "passed: 1 of `revenue` passed",
        ]
    );
    project.expect("run_tests_warned");
}

/// A failed test reaches everything above its table: derived tables, KPIs over them, KPIs over those. All else is published.
#[test]
fn run_withholds_what_stands_on_a_table_at_any_distance() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", PROJECT),
        (
            "kpis/tables.yaml",
            "table: users\nsource: users.csv\nprimary_key: user_id\ntime: since\ncolumns:\n  \
             manager: {tests: [{relationship: users}]}\n  team: {tests: [{accepted: [north, south]}]}\n\
             ---\ntable: visits\nsource: visits.csv\ntime: day\njoins: {visitor: {table: users, on: user_id}}\n",
        ),
        (
            "kpis/teams.sql",
            "/* ---\ntable: teams\ntime: since\ntests: [{unique: team}]\n--- */\n\
             SELECT team, min(since) AS since FROM users GROUP BY team\n",
        ),
        (
            "kpis/kpis.yaml",
            "kpi: teams_founded\nfrom: teams\nvalue: count(*)\n\
             ---\nkpi: growth\nvalue: teams_founded / previous(teams_founded)\n\
             ---\nkpi: visits_by_team\nfrom: visits\nvalue: count(*)\nby: [visitor.team]\n\
             ---\nkpi: visits\nfrom: visits\nvalue: count(*)\n",
        ),
        (
            "data/users.csv",
            "user_id,manager,team,since\n1,,north,2025-01-05\n2,1,south,2025-02-05\n3,7,south,2025-02-28\n",
        ),
        ("data/visits.csv", "visit_id,user_id,day\n1,1,2025-01-05\n2,2,2025-02-28\n"),
    ]);
    project.kpi(&["test", "--as-of", "2025-02-28"], 1);
    project.kpi(&["run", "--as-of", "2025-02-28"], 6);
    project.replace("kpis/tables.yaml", "relationship: users", "relationship: users, severity: warn");
    project.kpi(&["run", "--as-of", "2025-02-28"], 0);
    project.expect("run_tests_above");
}

/// What a test expects is asked like any question: other dimensions than those published, other grains, rows of a query.
#[test]
fn given_rows_go_the_whole_way() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", "project: shop\ntime_zone: America/New_York\nsettings: {large: 100}\n"),
        (
            "kpis/tables.yaml",
            "table: orders\nsource: orders\npartitioned_by: {year: integer}\nprimary_key: order_id\ntime: placed_at\n\
             csv: {null_values: [n/a]}\ncolumns:\n  placed_at: {from: at, type: timestamp, format: \"%d/%m/%Y %H:%M\"}\n  \
             size: {expression: \"CASE WHEN CAST(amount AS DOUBLE) > {{ large }} THEN 'large' ELSE 'small' END\"}\n\
             where: NOT is_test\n",
        ),
        (
            "kpis/days.sql",
            "/* ---\ntable: days\ntime: day\n--- */\n\
             SELECT local_date(placed_at, 'America/New_York') AS day, sum(amount) AS amount FROM orders GROUP BY 1\n",
        ),
        (
            "kpis/kpis.yaml",
            "kpi: revenue\nfrom: orders\nvalue: sum(amount)\ngrains: [month, day]\ntests:\n  \
             - name: local days, words for no value, computed columns, the standard filter\n    given:\n      orders:\n        \
             - {order_id: 007, at: 01/02/2025 03:00, amount: 150.5, is_test: false, year: 2025}\n        \
             - {order_id: 008, at: 01/02/2025 12:00, amount: n/a, is_test: false, year: 2025}\n        \
             - {order_id: 009, at: 01/02/2025 12:00, amount: 999, is_test: true, year: 2025}\n    \
             expect:\n      - {period_start: 2025-01-01, value: 150.5}\n      \
             - {period_start: 2025-01-01, size: large, order_id: \"007\", value: 150.5}\n      \
             - {grain: day, period_start: 2025-01-31, year: 2025, value: 150.5}\n      \
             - {period_start: 2025-02-01, value: null, n: 1}\n\
             ---\nkpi: best_day\nfrom: days\nvalue: max(amount)\nfill: zero\ntests:\n  \
             - name: through the query\n    given: {orders: [{at: 05/01/2025 12:00, amount: 5, is_test: false}]}\n    \
             expect: [{period_start: 2025-01-01, value: 5}]\n  \
             - name: in the place of the query\n    given: {days: [{day: 2025-01-05, amount: 7}, {day: 2025-01-06, amount: 8}]}\n    \
             as_of: 2025-03-31\n    expect: [{period_start: 2025-01-01, value: 8}, {period_start: 2025-03-01, value: null, n: 0}]\n",
        ),
        ("data/orders/year=2024/a.csv", "order_id,at,amount,is_test\n001,31/12/2024 10:00,1.5,false\n"),
    ]);
    project.kpi(&["check"], 0);
    project.kpi(&["test", "--only", "given"], 0);
    std::fs::remove_dir_all(project.path("data")).unwrap();
    project.kpi(&["test", "--only", "given"], 0);
    project.expect("test_given");
}

/// A row is tested with the row of a history that was valid at its own time.
#[test]
fn a_test_looks_into_a_history_at_the_time_of_its_row() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", PROJECT),
        (
            "kpis/tables.yaml",
            "table: orders\nsource: orders.csv\nprimary_key: order_id\ntime: day\njoins:\n  \
             account: {table: accounts, on: account_id, valid: [valid_from, valid_to]}\n\
             tests: [{name: no orders of closed accounts, condition: account.state <> 'closed'}]\n\
             ---\ntable: accounts\nsource: accounts.csv\n",
        ),
        ("kpis/kpis.yaml", "kpi: orders\nfrom: orders\nvalue: count(*)\n"),
        ("data/orders.csv", "order_id,account_id,day\n1,1,2025-01-05\n2,1,2025-02-01\n3,2,2025-02-05\n"),
        (
            "data/accounts.csv",
            "account_id,state,valid_from,valid_to\n1,open,2025-01-01,2025-02-01\n1,closed,2025-02-01,\n2,open,2025-01-01,\n",
        ),
    ]);
    project.kpi(&["test"], 1);
    project.replace("kpis/tables.yaml", "time: day\n", "");
    project.replace("kpis/kpis.yaml", "from: orders\n", "from: orders\ntime: day\n");
    project.kpi(&["check"], 2);
    project.expect("test_history");
}
