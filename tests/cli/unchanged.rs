//! What has not changed is not computed again, and everything that may have is.

use std::fs;

use super::Project;

/// One run after each change of a kind: what is computed is what may have another value, and nothing else.
#[test]
fn only_what_may_have_changed_is_computed() {
    let mut project = Project::shop();
    let run = ["run", "--as-of", "2025-04-30"];
    project.kpi(&["plan", "--as-of", "2025-04-30"], 0);
    project.kpi(&run, 0);
    let first = project.published();
    project.kpi(&["plan", "--as-of", "2025-04-30"], 0);
    project.kpi(&run, 0);
    assert_eq!(project.published(), first);
    // Other words about a KPI are no other values, and are shown.
    project.replace("kpis/sales/orders.yaml", "label: Revenue\n", "label: Turnover\n");
    project.append("kpis/service/cases.yaml", "description: Whatever somebody asked us.\n");
    project.kpi(&["plan", "--as-of", "2025-04-30"], 0);
    project.kpi(&run, 0);
    // A file of one table.
    project.append("data/cases.csv", "5,2025-04-01\n");
    project.kpi(&["plan", "--as-of", "2025-04-30", "--json"], 0);
    project.kpi(&run, 0);
    // One definition, and what is made of it.
    project.replace("kpis/sales/orders.yaml", "value: sum(amount)", "value: sum(amount) + 0");
    project.kpi(&run, 0);
    // A test that values must pass.
    project.append("kpis/service/cases.yaml", "tests:\n  - assert: value < 100\n");
    project.kpi(&run, 0);
    // Another day.
    project.kpi(&["run", "--as-of", "2025-05-01"], 0);
    project.kpi(&["run", "--as-of", "2025-05-01", "cases", "--json"], 0);
    project.kpi(&["run", "--as-of", "2025-05-01", "--force"], 0);
    project.expect("unchanged");
}

#[test]
fn results_that_somebody_deleted_are_computed_again() {
    let mut project = Project::published_shop();
    let before = project.published();
    fs::remove_dir_all(project.path("out/data/revenue")).unwrap();
    fs::remove_file(project.path("out/published/cases.parquet")).unwrap();
    project.kpi(&["plan"], 0);
    project.kpi(&["run"], 0);
    assert_eq!(project.published(), before);
    project.expect("unchanged_deleted");
}

/// What somebody deleted keeps nothing else from being published: the plain copy has it still, and where that is gone too, the
/// KPI is taken away until it is computed again.
#[test]
fn values_that_are_gone_do_not_keep_others_from_being_published() {
    let mut project = Project::published_shop();
    fs::remove_dir_all(project.path("out/data/cases")).unwrap();
    project.append("data/orders.csv", "7,2025-03-30,shop,10\n");
    project.kpi(&["run", "revenue"], 0);
    assert!(project.published().contains_key("cases.parquet"));
    fs::remove_file(project.path("out/published/cases.parquet")).unwrap();
    project.append("data/orders.csv", "8,2025-03-30,shop,10\n");
    project.kpi(&["run", "revenue"], 0);
    assert!(!project.published().contains_key("cases.parquet"));
    project.kpi(&["run"], 0);
    assert!(project.published().contains_key("cases.parquet"));
    project.expect("unchanged_lost");
}

/// Files of a few days each: what is computed are the periods that they touch.
#[test]
fn only_the_periods_that_files_touch_are_computed() {
    let definitions = "\
project: shop
---
table: orders
source: orders
time: ordered_on
columns: {amount: {type: \"decimal(10,2)\"}}
dimensions: {channel: channel}
---
kpi: revenue
from: orders
value: sum(amount)
grains: [day, month, year]
by: [channel]
---
kpi: orders
from: orders
value: count(*)
fill: zero
grains: [month]
by: [channel]
---
kpi: growth
value: revenue / previous(revenue) - 1
grains: [month]
---
kpi: revenue_of_30_days
from: orders
value: sum(amount)
window: 30 days
grains: [day]
---
kpi: first_orders
from: orders
per: customer
cohort: {by: month, ages: 2}
value: count(*) FILTER (WHERE active)
grains: [month]
";
    let month = |month: u32, amount: u32| {
        format!("ordered_on,channel,customer,amount\n2025-{month:02}-03,web,a,{amount}\n2025-{month:02}-20,shop,b,10\n")
    };
    let mut project = Project::new(&[("kpis/shop.yaml", definitions)]);
    let file = |month: u32| format!("data/orders/2025-{month:02}.csv");
    (1..=6).for_each(|index| project.write(&file(index), month(index, 20)));
    let run = ["run", "--as-of", "2025-06-30"];
    project.kpi(&run, 0);
    // Other rows in a month that is over.
    project.write(&file(3), month(3, 25));
    project.kpi(&["plan", "--as-of", "2025-06-30"], 0);
    project.kpi(&run, 0);
    // A month more, with a member that no month had.
    project.write(&file(7), month(7, 30).replace("shop", "fair"));
    let run = ["run", "--as-of", "2025-07-31"];
    project.kpi(&["plan", "--as-of", "2025-07-31", "revenue", "--json"], 0);
    project.kpi(&run, 0);
    project.kpi(&["show", "orders", "--by", "channel", "--as-of", "2025-07-31"], 0);
    // A day on which nothing was written.
    project.kpi(&["run", "--as-of", "2025-08-01"], 0);
    project.kpi(&["show", "revenue", "--grain", "month", "--as-of", "2025-08-01"], 0);
    project.expect("unchanged_periods");
}

/// A table that is a query is made once, whoever reads it, and a plan says so.
#[test]
fn a_derived_table_is_made_once() {
    let definitions = "\
project: shop
---
table: orders
source: orders.csv
time: ordered_on
---
kpi: customers
from: contracts
stock: {from: begins, to: ends}
value: count(DISTINCT customer)
grains: [month]
---
kpi: new_contracts
from: contracts
value: count(*)
grains: [month]
";
    let contracts = "\
/* ---
table: contracts
time: begins
--- */
SELECT customer, min(ordered_on) AS begins, max(ordered_on) AS ends FROM paid GROUP BY customer
";
    let paid =
        "/* ---\ntable: paid\ntime: ordered_on\n--- */\nSELECT customer, ordered_on FROM orders WHERE amount > 0\n";
    let payments = "\
/* ---
kpi: payments
label: Payments of those who stayed
grains: [month]
--- */
SELECT period(ordered_on) AS period, count(*) AS value
FROM paid
WHERE customer IN (SELECT customer FROM contracts WHERE ends > begins)
GROUP BY ALL
";
    let orders = "\
customer,ordered_on,amount
a,2025-01-03,10
a,2025-03-20,10
b,2025-01-10,5
b,2025-02-10,5
c,2025-02-01,0
d,2025-03-05,20
";
    let mut project = Project::new(&[
        ("kpis/shop.yaml", definitions),
        ("kpis/contracts.sql", contracts),
        ("kpis/paid.sql", paid),
        ("kpis/payments.sql", payments),
        ("data/orders.csv", orders),
    ]);
    project.kpi(&["plan", "--as-of", "2025-03-31"], 0);
    project.kpi(&["run", "--as-of", "2025-03-31"], 0);
    project.kpi(&["show", "customers", "--as-of", "2025-03-31"], 0);
    project.kpi(&["plan", "--as-of", "2025-03-31", "--force", "customers", "--json"], 0);
    project.expect("derived");
}

/// A KPI that could not be published last time is tried again each time.
#[test]
fn what_failed_is_tried_again() {
    let mut project = Project::published_shop();
    project.append("data/orders.csv", "7,2025-04-30,shop,much\n");
    project.kpi(&["run"], 6);
    project.kpi(&["run"], 6);
    project.replace("data/orders.csv", "7,2025-04-30,shop,much\n", "7,2025-04-30,shop,7\n");
    project.kpi(&["run"], 0);
    project.expect("unchanged_failed");
}

/// A KPI that is no longer defined goes, although nothing is left to compute.
#[test]
fn what_is_no_longer_defined_is_taken_away() {
    let mut project = Project::published_shop();
    let definitions = fs::read_to_string(project.path("kpis/sales/orders.yaml")).unwrap();
    let (others, _) = definitions.rsplit_once("---\nkpi: growth").unwrap();
    project.write("kpis/sales/orders.yaml", others);
    project.kpi(&["plan"], 0);
    project.kpi(&["run"], 0);
    let names: Vec<String> = project.published().into_keys().collect();
    assert_eq!(names, ["cases.parquet", "kpi_values.parquet", "revenue.parquet", "web_share.parquet"]);
    project.kpi(&["run"], 0);
    project.expect("unchanged_removed");
}
