//! Data files that cannot be used: what reaches them fails, whether it needs them or not, and everything else runs.

use super::Project;

const DEFINITIONS: &str = "\
project: shop
---
table: accounts
source: accounts.csv
primary_key: account_id
---
table: orders
source: orders.csv
time: day
columns: {day: {type: date}, amount: {type: integer}}
joins: {account: {table: accounts, on: account_id}}
dimensions: {region: account.region}
---
table: visits
source: visits.csv
time: day
columns: {account_id: {tests: [{relationship: accounts}]}}
---
table: calls
source: calls.csv
time: day
---
kpi: revenue
tags: [money]
from: orders
value: sum(amount)
by: [region]
---
kpi: orders
from: orders
value: count(*)
---
kpi: visits
from: visits
value: count(*)
---
kpi: calls
tags: [money]
from: calls
value: count(*)
---
kpi: calls_per_visit
value: calls / visits
---
table: plans
source: plans.csv
time: month
---
kpi: planned_calls
from: calls
value: count(*)
better: higher
target: {table: plans}
---
kpi: calls_as_planned
from: calls
value: count(*)
better: higher
target: {kpi: planned_calls}
---
kpi: calls_growth
value: calls / previous(calls) - 1
";

fn project() -> Project {
    Project::new(&[
        ("kpis/shop.yaml", DEFINITIONS),
        (
            "kpis/regions.sql",
            "/* ---\ntable: regions\ntime: day\n--- */\nSELECT day, region FROM orders JOIN accounts USING (account_id)\n",
        ),
        ("kpis/regions.yaml", "kpi: regions\nfrom: regions\nvalue: count(distinct region)\n"),
        ("data/accounts.csv", "account_id,region\n1,north\n2,south\n"),
        ("data/orders.csv", "day,account_id,amount\n2025-01-05,1,10\n2025-02-05,2,20\n"),
        ("data/visits.csv", "day,account_id\n2025-01-05,1\n2025-02-05,2\n"),
        ("data/plans.csv", "month,value\n2025-01-01,1\n2025-02-01,3\n"),
        ("data/calls.csv", "day\n2025-01-05\n2025-02-05\n"),
    ])
}

#[test]
fn what_needs_no_unusable_file_runs() {
    let mut project = project();
    project.kpi(&["run", "--as-of", "2025-02-28", "--quiet"], 0);
    let before = project.published();
    project.write("data/accounts.csv", "account_id,region\n1,north,x\n");
    project.append("data/calls.csv", "2025-02-06\n");
    project.append("data/orders.csv", "2025-02-06,1,5\n");
    project.kpi(&["plan", "--as-of", "2025-02-28"], 0);
    project.kpi(&["run", "--as-of", "2025-02-28", "--fail-fast", "--quiet"], 1);
    project.kpi(&["run", "--as-of", "2025-02-28"], 6);
    let after = project.published();
    for kpi in ["revenue", "orders", "visits", "calls_per_visit", "regions"] {
        let name = format!("{kpi}.parquet");
        assert!(before[&name] == after[&name], "`{kpi}` is as it was");
    }
    assert!(before["calls.parquet"] != after["calls.parquet"]);
    // So does what has its targets there, and what is measured by that.
    let plans = project.path("data/plans.csv");
    std::fs::write(&plans, "").unwrap();
    project.kpi(&["run", "calls", "planned_calls", "calls_as_planned", "--as-of", "2025-02-28", "--quiet"], 6);
    project.kpi(&["show", "planned_calls", "--as-of", "2025-02-28"], 1);
    std::fs::write(&plans, "month,value\n2025-01-01,1\n2025-02-01,3\n").unwrap();
    // What is asked for by name or tag and cannot be used is not left out in silence.
    project.kpi(&["run", "tag:money", "--as-of", "2025-02-28", "--quiet"], 6);
    project.kpi(&["run", "revenue", "--as-of", "2025-02-28"], 2);
    project.kpi(&["test"], 2);
    project.write("data/accounts.csv", "account_id,region\n1,north\n2,south\n");
    project.kpi(&["run", "--as-of", "2025-02-28", "--dry-run", "--quiet"], 0);
    project.kpi(&["retry"], 0);
    project.expect("unusable");
}
