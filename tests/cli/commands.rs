//! Each command as it should be used.

use std::fs;
use std::process::Stdio;

use super::Project;

/// A table that is not there yet, and a KPI over it.
const LEADS: &str = "\
table: leads
source: leads/*.csv
---
kpi: new_leads
from: leads
time: created_on
value: count(*)
";

/// KPIs whose definitions say all that can be said.
const DOCUMENTED: &str = "\
objective: growth
label: Grow
description: Sell more,
  every year.
owner: ceo
---
objective: web
under: growth
---
objective: service
---
objective: idle
---
table: orders
source: orders.csv
primary_key: order_id
time: ordered_on
columns: {ordered_on: {type: date}, amount: {type: \"decimal(12,2)\"}}
dimensions: {channel: channel}
---
table: plans
source: orders.csv
time: ordered_on
columns: {ordered_on: {type: date}, value: {from: amount, type: double}}
---
kpi: orders
label: Orders
description: How many | orders there were.
formula: Orders | of the period
from: orders
value: count(*)
unit: orders
better: higher
by: [channel]
grains: [month, quarter]
target: {table: plans, warn: 0.9, critical: 0.5, form: plan}
guardrails: [web_share, hidden]
owner: sales-ops
review: weekly
objective: service
decides: Whether to hire.
avoids: Carts.
tests:
  - assert: value > 0
---
kpi: web_share
label: Share of the web (%)
from: orders
value: count(*) FILTER (WHERE channel = 'web') / count(*)
unit: percent
better: higher
by: [channel, [channel, order_id]]
target:
  value: 0.7
  warn: 0.6
  critical: 0.5
  form: growth
  baseline: 0.55
  owner: web-lead
  from: 2025-01-01
  until: 2025-12-31
minimum_grain: month
benchmarks:
  - {value: 0.8, source: Survey of shops, sector: retail, as_of: 2024-12-31}
  - {value: 0.6, source: Another survey}
objective: web
review: monthly
---
kpi: order_size
label: Orders
from: orders
value: sum(amount) / count(*)
unit: currency
better: within
target: {between: [50, 200], until: 2025-12-31}
objective: growth
---
kpi: largest_order
from: orders
value: max(amount)
unit: currency
better: lower
target: {kpi: order_size, warn: 1.5}
---
kpi: growth
label: Growth
value: orders / previous(orders) - 1 + 0 * hidden
unit: percent
objective: growth
tests:
  - assert: value > -1
---
kpi: hidden
from: orders
value: count(*)
hide: true
";

#[test]
fn run_shows_the_scorecard_and_publishes() {
    let mut project = Project::shop();
    project.write("kpis/sales/leads.yaml", LEADS);
    project.kpi(&["run"], 0);
    let names: Vec<String> = project.published().into_keys().collect();
    assert_eq!(
        names,
        ["cases.parquet", "growth.parquet", "kpi_values.parquet", "revenue.parquet", "web_share.parquet"]
    );
    project.kpi(&["run", "tag:service", "web_share", "--quiet"], 0);
    project.append("data/orders.csv", "7,2025-04-30,shop,1\n8,2025-01-31,web,1\n");
    project.kpi(&["run"], 0);
    project.kpi(&["run", "revenue", "--json"], 0);
    project.kpi(&["run", "revenu"], 2);
    project.kpi(&["run", "tag:marketing"], 2);
    project.expect("run");
}

/// A KPI that has no overall value, one without a complete period, and rows without a time.
#[test]
fn run_explains_what_has_no_value() {
    let mut project = Project::shop();
    project.append(
        "kpis/service/cases.yaml",
        "---\nkpi: revenue_by_channel\nfrom: orders\nvalue: sum(amount)\nby: [channel]\n\
         required_dimensions: [channel]\ngrains: [month]\n\
         ---\nkpi: cases_per_year\nfrom: cases\nvalue: count(*)\ngrains: [year]\n",
    );
    project.append("data/cases.csv", "5,\n");
    project.kpi(&["run"], 0);
    project.expect("run_without_value");
}

#[test]
fn run_says_what_failed_and_publishes_the_rest() {
    let mut project = Project::published_shop();
    let before = project.published();
    project.append("data/orders.csv", "7,2025-04-30,shop,much\n");
    project.kpi(&["run", "--fail-fast"], 1);
    assert_eq!(project.published(), before);
    project.append("data/cases.csv", "5,2025-04-01\n");
    project.kpi(&["run"], 6);
    let after = project.published();
    let has_changed: Vec<&String> = after.keys().filter(|name| after[*name] != before[*name]).collect();
    assert_eq!(has_changed, ["cases.parquet", "kpi_values.parquet", "web_share.parquet"]);
    project.kpi(&["run", "--json"], 6);
    project.expect("run_in_part");
}

#[test]
fn check_counts_and_explains() {
    let mut project = Project::shop();
    project.write("kpis/sales/leads.yaml", LEADS);
    project.kpi(&["check"], 0);
    project.replace("kpis/sales/orders.yaml", "sum(amount)", "sum(amuont)");
    project.kpi(&["check"], 2);
    project.kpi(&["check", "--json"], 2);
    project.kpi(&["check", "--color", "always"], 2);
    project.kpi(&["ls"], 0);
    project.expect("check");
}

/// A little advice is shown by place, much of it by its kind, and all of it where it is asked for.
#[test]
fn check_advises() {
    let mut project = Project::shop();
    project.kpi(&["check", "--advice"], 0);
    project.kpi(&["check", "--quiet"], 0);
    let more: String =
        (1..=16).map(|number| format!("---\nkpi: more_{number}\nfrom: cases\nvalue: count(*)\n")).collect();
    project.append("kpis/service/cases.yaml", &more);
    project.kpi(&["check"], 0);
    let all = project.command(&["check", "--advice"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&all.stdout).matches("[incomplete-definition]").count(), 20);
    let json = project.command(&["check", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["advice"], &json["errors"]), (&22.into(), &0.into()));
    let told = json["diagnostics"].as_array().unwrap();
    assert!(told.len() == 22 && told.iter().all(|told| told["severity"] == "advice" && told["hint"].is_string()));
    // As long as there is a mistake, it is what counts.
    project.append("kpis/service/cases.yaml", "---\nkpi: broken\nfrom: cases\nvalue: cout(*)\n");
    project.kpi(&["check", "--advice"], 2);
    project.expect("check_advice");
}

#[test]
fn ls_lists() {
    let mut project = Project::shop();
    project.write("kpis/sales/leads.yaml", LEADS);
    project.kpi(&["ls"], 0);
    project.kpi(&["ls", "tag:service"], 0);
    project.kpi(&["ls", "--json"], 0);
    project.kpi(&["ls", "tag:marketing"], 2);
    project.kpi(&["ls", "revenue"], 0);
    project.kpi(&["ls", "revenu"], 2);
    project.expect("ls");
}

/// The glossary of a project that has everything a definition can say.
#[test]
fn docs_tell_what_is_defined() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", "project: shop\ndescription: Sells | and repairs.\ncurrency: EUR\n"),
        ("kpis/sales/orders.yaml", DOCUMENTED),
        ("kpis/leads.yaml", LEADS),
        ("data/orders.csv", super::ORDER_ROWS),
    ]);
    let page = project.kpi(&["docs"], 0);
    project.kpi(&["docs", "--short"], 0);
    project.kpi(&["docs", "orders"], 0);
    project.kpi(&["docs", "-o", "GLOSSARY.md"], 0);
    assert_eq!(fs::read_to_string(project.path("GLOSSARY.md")).unwrap(), page);
    project.kpi(&["docs", "tag:marketing"], 2);
    project.expect("docs");
}

/// With an objective goes what serves its parts.
#[test]
fn objectives_select() {
    let mut project = Project::new(&[
        ("kpis/project.yaml", "project: shop\ncurrency: EUR\n"),
        ("kpis/sales/orders.yaml", DOCUMENTED),
        ("data/orders.csv", super::ORDER_ROWS),
    ]);
    project.kpi(&["ls", "objective:growth"], 0);
    project.kpi(&["ls", "objective:service", "web_share"], 0);
    project.kpi(&["ls", "objective:groth"], 2);
    project.kpi(&["ls", "objective:idle"], 2);
    project.kpi(&["run", "objective:service"], 0);
    project.kpi(&["test", "objective:growth"], 0);
    project.kpi(&["test", "objective:idle"], 2);
    let json = project.command(&["ls", "--json", "web_share"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let kpi = &json["kpis"][0];
    assert_eq!(kpi["objective"], "web");
    assert_eq!(kpi["target_form"], "growth");
    assert_eq!(kpi["benchmarks"][0]["as_of"], "2024-12-31");
    assert_eq!(
        (&kpi["minimum_grain"], &kpi["review"], &kpi["shape"]),
        (&"month".into(), &"monthly".into(), &"ratio".into())
    );
    project.expect("objectives");
}

#[test]
fn show_in_every_format() {
    let mut project = Project::shop();
    project.kpi(&["show", "revenue"], 0);
    project.kpi(&["show", "revenue", "--by", "channel", "--grain", "quarter"], 0);
    project.kpi(&["show", "web_share", "--since", "2025-03-15"], 0);
    project.kpi(&["show", "growth", "--limit", "2", "--color", "always"], 0);
    project.kpi(&["show", "revenue", "--format", "csv"], 0);
    project.kpi(&["show", "web_share", "--format", "json", "--as-of", "2025-02-28"], 0);
    project.kpi(&["show", "cases", "--format", "markdown"], 0);
    project.kpi(&["show", "cases", "-o", "cases.csv"], 0);
    assert!(fs::read_to_string(project.path("cases.csv")).unwrap().starts_with("kpi,grain,period_start,"));
    project.kpi(&["show", "cases", "-o", "cases.parquet"], 0);
    assert!(fs::read(project.path("cases.parquet")).unwrap().starts_with(b"PAR1"));
    assert!(!project.path("out").exists(), "`show` publishes nothing");
    project.expect("show");
}

#[test]
fn an_approximate_value_says_so() {
    let mut project = Project::shop();
    project.write(
        "kpis/sales/channels.yaml",
        "kpi: channels\nfrom: orders\nvalue: approx_distinct(channel)\n---\nkpi: growth_of_channels\n\
         value: channels - previous(channels)\n---\nkpi: middle\nfrom: orders\nvalue: median(amount)\n",
    );
    project.kpi(&["show", "channels", "--as-of", "2025-03-31"], 0);
    project.kpi(&["show", "growth_of_channels", "--as-of", "2025-03-31"], 0);
    project.kpi(&["show", "middle", "--as-of", "2025-03-31"], 0);
    project.kpi(&["sql", "middle", "--as-of", "2025-03-31"], 0);
    let list: serde_json::Value = serde_json::from_str(&project.kpi(&["ls", "--json"], 0)).unwrap();
    let kpis = list["kpis"].as_array().unwrap().iter();
    let approximate: Vec<&str> =
        kpis.filter(|kpi| kpi["is_approximate"] == true).map(|kpi| kpi["kpi"].as_str().unwrap()).collect();
    assert_eq!(approximate, ["channels", "growth_of_channels"]);
    project.transcript = project.transcript.split("$ kpi ls --json").next().unwrap().to_owned();
    project.expect("approximate");
}

/// A setting has another value for one command; a run says so in its manifest.
#[test]
fn settings_can_be_overridden() {
    let mut project = Project::shop();
    project.replace(
        "kpis/project.yaml",
        "currency: EUR\n",
        "currency: EUR\nsettings: {large_from: 100, share: 0.5, word: web, is_strict: true}\n",
    );
    project.write(
        "kpis/sales/large.yaml",
        "kpi: large\nfrom: large_orders\nwhere: \"channel = {{ word }} AND {{ is_strict }}\"\n\
         value: \"sum(amount) * {{ share }}\"\n",
    );
    project.write(
        "kpis/sales/large_orders.sql",
        "/* ---\ntable: large_orders\ntime: ordered_on\n--- */\nSELECT * FROM orders WHERE amount >= {{ large_from }}\n",
    );
    let until = ["--as-of", "2025-03-31"];
    let mut show = |settings: &[&str], code| {
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        project.kpi(&["show", "large"].into_iter().chain(until).chain(set).collect::<Vec<_>>(), code);
    };
    show(&[], 0);
    show(&["large_from=200.5", "share=1"], 0);
    show(&["word=shop", "large_from=1", "large_from=50"], 0);
    show(&["large_form=200"], 2);
    show(&["large_from=many"], 2);
    show(&["is_strict=yes"], 2);
    show(&["share=nan"], 2);
    show(&["share"], 2);
    project.kpi(&["run", "large", "--as-of", "2025-03-31", "--set", "share=0.25", "--set", "word=shop,web"], 1);
    project.kpi(&["run", "large", "--as-of", "2025-03-31", "--set", "share=0.25"], 0);
    let runs = fs::read_dir(project.path("out/_kpi/runs")).unwrap().flatten();
    let manifests: Vec<String> = runs.map(|run| fs::read_to_string(run.path()).unwrap()).collect();
    assert!(manifests.iter().any(|text| text.contains(r#""settings":{"share":"0.25"}"#)), "{manifests:?}");
    project.expect("settings");
}

#[test]
fn show_explains_what_cannot_be_asked() {
    let mut project = Project::shop();
    project.kpi(&["show", "revenu"], 2);
    project.kpi(&["show", "revenue", "--by", "chanel"], 2);
    project.kpi(&["show", "revenue", "--grain", "week"], 2);
    project.kpi(&["show", "revenue", "--grain", "fortnight"], 2);
    project.kpi(&["show", "revenue", "--since", "yesterday"], 2);
    project.kpi(&["show", "revenue", "-o", "data/orders.csv/revenue.csv"], 4);
    project.kpi(&["show", "revenue", "--memory-limit", "plenty"], 2);
    project
        .append("kpis/service/cases.yaml", "---\nkpi: loyalty\nfrom: cases\nvalue: count(*)\nminimum_grain: quarter\n");
    project
        .append("kpis/service/cases.yaml", "---\nkpi: loyalty_doubled\nvalue: 2 * loyalty\ngrains: [year, quarter]\n");
    project.kpi(&["show", "loyalty", "--grain", "month"], 2);
    project.kpi(&["show", "loyalty_doubled", "--grain", "day"], 2);
    project.expect("show_refused");
}

#[test]
fn sql_can_be_read() {
    let mut project = Project::shop();
    project.kpi(&["sql", "revenue", "--by", "channel", "--as-of", "2025-04-30"], 0);
    project.kpi(&["sql", "growth", "--since", "2025-02-01", "--as-of", "2025-04-30"], 0);
    project.expect("sql");
}

#[test]
fn init_makes_a_project_that_runs() {
    let mut project = Project::new(&[]);
    project.kpi(&["init", "sample"], 0);
    project.kpi(&["init", "sample"], 2);
    project.kpi(&["--project", "sample", "check"], 0);
    project.kpi(&["--project", "sample", "run"], 0);
    project.kpi(&["--project", "sample", "show", "revenue", "--by", "region", "--limit", "6"], 0);
    project.kpi(&["init", "sample/README.md"], 4);
    project.expect("init");
}

#[test]
fn the_project_is_found_from_below() {
    let project = Project::shop();
    let output = project.command(&["check"]).current_dir(project.path("kpis/sales")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("2 tables, 4 KPIs, 0 errors, 0 warnings"), "{said}");
}

#[test]
fn generate_writes_tables() {
    let project = Project::new(&[]);
    let output = project.command(&["generate", "--accounts", "20", "--seed", "3", "--out", "data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("opportunities"));
    assert!(project.path("data").is_dir());
    let output = project.command(&["generate", "--out", "/dev/null"]).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn schema_is_json_schema() {
    let project = Project::new(&[]);
    let output = project.command(&["schema"]).output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
}

#[test]
fn help_begins_with_an_example() {
    let mut project = Project::new(&[]);
    project.kpi(&[], 0);
    for command in ["run", "plan", "check", "ls", "show", "sql", "init", "generate", "schema"] {
        let help = project.kpi(&[command, "-h"], 0);
        assert!(help.starts_with(&format!("Example: kpi {command}")), "{help}");
    }
    project.kpi(&["sho"], 2);
    project.kpi(&["run", "--fail-fas"], 2);
    project.expect("help");
}

/// A reader that goes away is no failure, and says nothing.
#[test]
fn a_closed_pipe_ends_quietly() {
    let project = Project::shop();
    let mut child =
        project.command(&["show", "revenue"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

/// Results that cannot be written are a failure, and not a short file that looks whole.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let mut project = Project::shop();
    for arguments in [["show", "revenue"].as_slice(), &["check"], &["run"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = project.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        project.record(arguments, &output);
        assert_eq!(output.status.code(), Some(4));
    }
    project.expect("full_standard_output");
}
