//! Data that is there in part: tables without files, files without columns, columns without values.

use super::Project;

const DEFINITIONS: &str = "\
table: accounts
source: accounts.csv
missing_columns: skip
primary_key: account_id
columns:
  account_id: {type: text}
  region: {type: text}
  segment: {type: text, from: Segment__c}
  is_deleted: {type: boolean, default: false}
where: NOT is_deleted
---
table: visits
source: visits.csv
missing_columns: skip
primary_key: visit_id
time: seen_at
columns:
  visit_id: {type: text}
  seen_at: {type: timestamp}
---
table: refunds
source: refunds.csv
missing_files: empty
columns:
  refunded_on: {type: date}
  amount: {type: \"decimal(18,2)\"}
---
table: deals
source: deals.csv
missing_columns: skip
primary_key: deal_id
time: closed_on
columns:
  deal_id: {type: text, tests: [not_null]}
  account_id: {type: text}
  closed_on: {type: date}
  amount: {type: \"decimal(18,2)\", default: 0}
  cost: {type: \"decimal(18,2)\", tests: [not_null]}
  is_won: {type: boolean}
  is_deleted: {type: boolean, default: false}
  note: {type: text}
  margin: {expression: CAST(amount AS DOUBLE) - CAST(cost AS DOUBLE)}
  updated_at: {type: timestamp}
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  segment: account.segment
where: NOT is_deleted
freshness: {column: updated_at, error: 1 day}
---
kpi: revenue
from: deals
where: is_won
value: sum(amount)
by: [region, segment, [region, segment]]
---
kpi: noted
from: deals
value: count(note)
---
kpi: margin
from: deals
value: sum(margin) / sum(amount)
---
kpi: visits
from: visits
value: count(*)
---
kpi: revenue_per_visit
value: revenue / visits
---
kpi: revenue_share
value: revenue / total(revenue)
by: [region, segment]
---
kpi: day_amount
from: deal_days
value: sum(amount)
---
kpi: day_cost
from: deal_days
value: sum(cost)
---
kpi: won_deals
from: won
value: count(*)
by: [region, cost_class]
---
kpi: won_cost
from: won
value: sum(cost)
";

const WON: &str = "\
/* ---
table: won
time: closed_on
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  cost_class: CASE WHEN cost > 100 THEN 'high' ELSE 'low' END
--- */
SELECT closed_on, account_id, amount, cost FROM deals WHERE is_won
";

const DEAL_DAYS: &str = "\
/* ---
table: deal_days
missing_columns: skip
time: closed_on
columns:
  cost: {type: double}
--- */
SELECT closed_on, amount FROM deals
UNION ALL
SELECT refunded_on, -amount FROM refunds
";

#[test]
fn what_lacks_files_or_columns_is_left_out_and_told() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", "project: small\n"),
        ("kpis/deals.yaml", DEFINITIONS),
        ("kpis/deal_days.sql", DEAL_DAYS),
        ("kpis/won.sql", WON),
        ("data/accounts.csv", "account_id,region\na,north\nb,south\n"),
        (
            "data/deals.csv",
            "deal_id,account_id,closed_on,amount,is_won,note\n1,a,2025-01-05,10.5,true,\n2,b,2025-02-05,4,true,\n\
             3,,2025-02-05,,true,\n4,,2025-03-05,5,true,\n",
        ),
    ]);
    project.kpi(&["check"], 0);
    project.kpi(&["run"], 0);
    project.kpi(&["show", "revenue", "--by", "region"], 0);
    project.kpi(&["show", "revenue", "--by", "segment"], 2);
    project.kpi(&["show", "won_deals", "--by", "region"], 0);
    project.kpi(&["show", "won_deals", "--by", "cost_class"], 2);
    project.kpi(&["show", "won_deals", "--by", "cost"], 2);
    project.kpi(&["test"], 0);
    project.kpi(&["doctor"], 0);
    project.kpi(&["doctor", "--json"], 0);
    // With the column and the table all of it works.
    project.write("data/accounts.csv", "account_id,region,Segment__c\na,north,big\nb,south,small\n");
    project.write("data/visits.csv", "visit_id,seen_at\n1,2025-01-05T12:00:00Z\n");
    project.kpi(&["check"], 0);
    // Strict again: what is not there is a mistake.
    project.replace("kpis/deals.yaml", "source: deals.csv\nmissing_columns: skip", "source: deals.csv");
    project.kpi(&["check"], 2);
    project.expect("lacking");
}

const CORNERS: &str = "\
project: corners
---
table: deals
source: deals.csv
missing_columns: skip
time: day
columns:
  day: {type: date}
  kind: {type: text, from: type, default: none}
  raw_kind: {type: text, from: type}
  region: {expression: upper(region_code), type: text, default: none}
  big: {expression: upper(Name), type: text}
  is_won: {type: boolean}
  product: {type: text}
---
table: orders
source: orders
missing_files: empty
columns:
  day: {type: date, format: '%d/%m/%Y'}
---
table: refunds
source: refunds.csv
time: day
columns:
  day: {type: date}
---
kpi: of_no_kind
from: deals
value: count(*) FILTER (WHERE kind = 'none')
---
kpi: of_no_region
from: deals
value: count(*) FILTER (WHERE region = 'none')
---
kpi: raw_kinds
from: deals
value: count(raw_kind)
---
kpi: named
from: deals
value: count(big)
---
kpi: wins
from: wins
value: count(*)
---
kpi: visits
from: visits
value: count(*)
---
kpi: refunds
from: refunds
value: count(*)
";

/// Names of a query that are names of tables, and defaults of what others read as well.
#[test]
fn what_is_read_is_told_whatever_it_is_called() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", CORNERS),
        (
            "kpis/wins.sql",
            "/* ---\ntable: wins\ntime: day\n--- */\n\
             WITH deals AS (SELECT id, day FROM deals WHERE is_won) SELECT id, day FROM deals\n",
        ),
        (
            "kpis/visits.sql",
            "/* ---\ntable: visits\ntime: day\n--- */\nSELECT orders.day FROM deals AS orders WHERE orders.is_won\n",
        ),
        (
            "kpis/by_product.sql",
            "/* ---\nkpi: deals_by_product\nby: [name, product]\n--- */\n\
             SELECT period(day) AS period, name, product, count(*) AS value FROM deals GROUP BY 1, name, product\n",
        ),
        ("data/deals.csv", "id,day,name\n1,2025-01-01,a\n2,2025-01-02,\n"),
        ("data/refunds.csv", "id,day\n1,2025-01-01\n2,2025-02-35\n"),
    ]);
    project.kpi(&["check"], 0);
    for kpi in ["of_no_kind", "of_no_region", "named", "deals_by_product"] {
        project.kpi(&["show", kpi], 0);
    }
    project.kpi(&["doctor"], 1);
    project.expect("lacking_corners");
}

/// An included KPI without rows is skipped; one whose data cannot be read has failed.
#[test]
fn what_is_included_and_cannot_be_read_has_failed() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", "project: q\ninclude: {catalogue: crm, kpis: [close_rate]}\n"),
        ("kpis/deals.yaml", "table: opportunities\noverride: merge\nsource: deals.csv\n"),
        (
            "data/deals.csv",
            "opportunity_id,close_date,stage,is_won,is_closed,created_at,amount\n\
             1,2025-01-05,won,true,true,2025-01-01T00:00:00Z,5\n2,2025-02-35,won,true,true,2025-01-01T00:00:00Z,5\n",
        ),
    ]);
    project.kpi(&["run"], 1);
    project.expect("included_unreadable");
}

/// Its old values stay published, so a run that cannot make new ones must not end well. Lines end as Windows ends them.
#[test]
fn what_had_values_and_lacks_its_column_now_is_withheld() {
    let definitions = "project: q\n---\ntable: deals\nsource: deals.csv\nmissing_columns: skip\ntime: day\n\
                       columns: {day: {type: date}, cost: {type: double}}\n---\n\
                       kpi: deals\nfrom: deals\nvalue: count(*)\n---\nkpi: cost\nfrom: deals\nvalue: sum(cost)\n";
    let mut project = Project::new(&[
        ("kpis/project.yaml", definitions),
        ("data/deals.csv", "id,day,cost\r\n1,2025-01-01,5\r\n2,2025-02-01,6\r\n"),
    ]);
    project.kpi(&["run"], 0);
    project.write("data/deals.csv", "id,day\r\n1,2025-01-01\r\n2,2025-02-01\r\n");
    project.kpi(&["run"], 6);
    project.write("data/deals.csv", "id,day,cost\r\n1,2025-01-01,5\r\n2,2025-02-35,6\r\n");
    project.kpi(&["show", "deals"], 1);
    project.write("data/deals.csv", "id,day,cost\r\n1,2025-01-01,5\r\n2\r\n");
    project.kpi(&["check"], 2);
    project.expect("lapsed");
}
