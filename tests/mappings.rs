//! The bundled catalogue over the exports of others, through the real binary: what `kpi init --from` writes, over small
//! made-up exports with all the traps, and projects over real data sets where those are at hand.
//!
//! A project here is narrowed to the breakdowns that are compared, since every further one takes time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::catalogue::{Expected, compare, kpi, read_expected, root};
use crate::support::{copy_folder, write_files};

#[test]
fn exports_of_salesforce_give_the_values_worked_out_by_hand() {
    let project = tempfile::tempdir().unwrap();
    let project = &project.path().join("crm");
    init(project, "salesforce");
    let queries = block(&project.join("data/README.md"), "soql");
    let fields = queries.lines().map(|query| {
        let (fields, object) = query.strip_prefix("SELECT ").unwrap().split_once(" FROM ").unwrap();
        (object.to_owned(), fields.split(", ").map(str::to_owned).collect())
    });
    write_exports(project, "salesforce", &fields.collect());
    // The one setting that somebody has to look up.
    let compared = run_and_compare(project, "salesforce", &["--as-of", "2025-04-30", "--set", "automated_user=005AU"]);
    assert_eq!(compared, 102);
}

#[test]
fn exports_of_hubspot_give_the_values_worked_out_by_hand() {
    let project = tempfile::tempdir().unwrap();
    let project = &project.path().join("crm");
    init(project, "hubspot");
    let lists = block(&project.join("data/README.md"), "properties");
    let properties = lists.lines().map(|list| {
        let (file, properties) = list.split_once(": ").unwrap();
        (file.to_owned(), properties.split(", ").map(str::to_owned).collect())
    });
    write_exports(project, "hubspot", &properties.collect());
    assert_eq!(run_and_compare(project, "hubspot", &["--as-of", "2025-04-30"]), 80);
}

/// The program lists the files by name, and a file that is not listed would be forgotten in silence.
#[test]
fn every_file_of_a_template_is_written() {
    for crm in ["salesforce", "hubspot"] {
        let project = tempfile::tempdir().unwrap();
        let project = project.path().join("crm");
        init(&project, crm);
        let template = root().join("src/bin/kpi/template").join(crm);
        let (mut written, expected) = (texts(&project, &project), texts(&template, &template));
        // What every project gets.
        written.retain(|path, _| !path.ends_with(".gitignore") && !path.ends_with("schema.json"));
        assert_eq!(Vec::from_iter(written.keys()), Vec::from_iter(expected.keys()), "{crm}");
        assert!(written == expected, "{crm}: a text differs");
    }
}

/// The files below a folder, by path, with their texts.
fn texts(folder: &Path, top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(texts(&path, top)),
            false => {
                let name = path.strip_prefix(top).unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// A period of 365 days once was one of 365 months, and an item without a period stopped all contracts.
#[test]
fn periods_of_hubspot_are_read_in_every_unit() {
    let project = tempfile::tempdir().unwrap();
    let project = &project.path().join("crm");
    init(project, "hubspot");
    for file in ["deals", "companies", "deal_stages"] {
        let from = root().join("tests/projects/hubspot/data").join(format!("{file}.csv"));
        if from.exists() {
            fs::copy(from, project.join("data").join(format!("{file}.csv"))).unwrap();
        }
    }
    let items: String = [("1", "P12M"), ("2", "P1Y6M"), ("3", "P52W"), ("4", "P365D"), ("5", "")]
        .map(|(id, period)| format!("{id},Platform,801,1,10,10,1,annually,2024-01-01,{period},1,300\n"))
        .concat();
    let header = "hs_object_id,name,hs_product_id,quantity,price,amount,hs_cost_of_goods_sold,recurringbillingfrequency,\
                  hs_recurring_billing_start_date,hs_recurring_billing_period,hs_mrr,Associated Deal IDs\n";
    let kpi_text = "kpi: term_days\nfrom: subscriptions\nvalue: max(days_between(start_date, end_date))\n\
                    by: [subscription_id]\n";
    write_files(project, &[("data/line_items.csv", &format!("{header}{items}")), ("kpis/terms.yaml", kpi_text)]);
    let arguments =
        ["show", "term_days", "--by", "subscription_id", "--grain", "year", "--as-of", "2025-04-30", "--format", "csv"];
    let (code, output) = kpi(project, &arguments);
    assert_eq!(code, Some(0), "{output}");
    let column = |line: &str, index: usize| line.split(',').nth(index).unwrap_or_default().to_owned();
    let lines: Vec<&str> = output.lines().collect();
    let place = |name: &str| lines[0].split(',').position(|column| column == name).unwrap();
    let (id, value) = (place("subscription_id"), place("value"));
    let days: Vec<(String, String)> = lines[1..]
        .iter()
        .map(|line| (column(line, id), column(line, value)))
        .filter(|(id, _)| !id.is_empty())
        .collect();
    let expected = [("1", "366"), ("2", "547"), ("3", "364"), ("4", "365"), ("5", "")];
    let expected = expected.map(|(id, days)| (id.to_owned(), days.to_owned()));
    assert_eq!(days.iter().map(|(id, days)| (id.clone(), days.replace(".0", ""))).collect::<Vec<_>>(), expected);
    let (code, output) = kpi(project, &["show", "active_customers", "--as-of", "2025-04-30"]);
    assert_eq!(code, Some(0), "{output}");
}

/// Somebody who begins has few exports or none; what is there has no mistake, and gives what it can.
#[test]
fn templates_are_right_without_data_and_with_little() {
    for (crm, files) in
        [("salesforce", ["Opportunity", "Account", "User"]), ("hubspot", ["deals", "companies", "owners"])]
    {
        let project = tempfile::tempdir().unwrap();
        let project = &project.path().join("crm");
        init(project, crm);
        let (code, output) = kpi(project, &["check"]);
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("0 errors, 0 warnings"), "{output}");
        let data = root().join("tests/projects").join(crm).join("data");
        for file in files {
            fs::copy(data.join(format!("{file}.csv")), project.join("data").join(format!("{file}.csv"))).unwrap();
        }
        let (code, output) = kpi(project, &["show", "close_rate", "--grain", "quarter", "--as-of", "2025-03-31"]);
        assert_eq!(code, Some(0), "{output}");
        let expected = if crm == "salesforce" { "60.0 %" } else { "66.7 %" };
        assert!(output.contains(expected), "{output}");
    }
}

#[test]
fn the_deals_of_maven_crm_fit_the_catalogue() {
    real_data("maven_crm_catalogue", "maven_crm", 80);
}

#[test]
fn the_leads_of_olist_fit_the_catalogue() {
    real_data("olist_funnel_catalogue", "olist_full", 169);
}

#[test]
fn the_orders_of_olist_fit_the_catalogue() {
    real_data("olist_orders_catalogue", "olist_sample", 218);
}

#[test]
fn the_invoices_of_online_retail_fit_the_catalogue() {
    real_data("online_retail_catalogue", "online_retail_ii", 116);
}

/// A text that is a literal in some rows and from a file in others has one type when it runs. A query that lacks a declared
/// column told another one before, and whatever grouped or filtered by it failed.
#[test]
fn a_query_that_lacks_columns_has_the_types_with_which_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let orders = "\
        /* ---\ntable: orders\ntime: day\nmissing_columns: skip\ncolumns:\n  currency: {type: text}\n--- */\n\
        SELECT id, day, kind FROM deals\n";
    let definitions = "project: shop\n---\ntable: deals\nsource: deals.csv\nprimary_key: id\ncolumns:\n  \
        kind: {expression: \"CASE WHEN kind = 'New' THEN 'first' ELSE lower(kind) END\"}\n---\n\
        kpi: orders\nfrom: orders\nvalue: count(*) FILTER (WHERE kind <> 'credit')\n";
    let data = "id,kind,day\n1,New,2025-01-01\n2,Credit,2025-01-02\n";
    write_files(
        folder.path(),
        &[("kpis/shop.yaml", definitions), ("kpis/orders.sql", orders), ("data/deals.csv", data)],
    );
    let (code, output) = kpi(folder.path(), &["show", "orders", "--format", "csv", "--as-of", "2025-01-31"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("orders,month,2025-01-01,2025-02-01,overall,1,"), "{output}");
}

fn init(project: &Path, crm: &str) {
    let folder = project.to_str().unwrap();
    let (code, output) = kpi(Path::new("."), &["init", folder, "--from", crm]);
    assert_eq!(code, Some(0), "{output}");
}

/// The text of the only block of this kind in a Markdown file.
fn block(file: &Path, kind: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Writes the exports with those columns alone that the template's README asks for.
fn write_exports(project: &Path, crm: &str, wanted: &BTreeMap<String, Vec<String>>) {
    let exports = root().join("tests/projects").join(crm).join("data");
    let there = fs::read_dir(&exports).unwrap().map(|entry| entry.unwrap().path());
    let there = BTreeSet::from_iter(there.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()));
    assert_eq!(there, wanted.keys().cloned().collect());
    for (file, columns) in wanted {
        let mut reader = csv::Reader::from_path(exports.join(format!("{file}.csv"))).unwrap();
        let header = reader.headers().unwrap().clone();
        let place = |column: &String| header.iter().position(|name| name == column);
        let places: Vec<usize> =
            columns.iter().map(|column| place(column).unwrap_or_else(|| panic!("{file} has no {column}"))).collect();
        let mut writer = csv::Writer::from_path(project.join("data").join(format!("{file}.csv"))).unwrap();
        writer.write_record(columns).unwrap();
        for row in reader.records() {
            let row = row.unwrap();
            writer.write_record(places.iter().map(|place| &row[*place])).unwrap();
        }
    }
}

fn real_data(project_name: &str, data_name: &str, count: usize) {
    let data = root().join("../shared/data").join(data_name);
    // The data of others is not in the repository; who has it can insist that it is used.
    if !data.is_dir() {
        assert!(std::env::var_os("KPI_REAL_DATA").is_none(), "there is no `{}`", data.display());
        eprintln!("nothing was compared: there is no `{}`", data.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    copy_folder(&root().join("tests/projects").join(project_name).join("kpis"), &project.join("kpis"));
    let file = project.join("kpis/project.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("data: DATA", &format!("data: {}", data.display()));
    fs::write(&file, text).unwrap();
    assert_eq!(run_and_compare(project, project_name, &[]), count);
}

/// Runs the KPIs for which there are expected values, and compares all of those.
fn run_and_compare(project: &Path, project_name: &str, options: &[&str]) -> usize {
    let expected = read_expected(&root().join("tests/projects").join(project_name).join("expected.csv"));
    fs::write(project.join("kpis/narrowed.yaml"), narrowed(project, &expected)).unwrap();
    let kpis = BTreeSet::from_iter(expected.iter().map(|row| row.kpi.as_str()));
    let arguments: Vec<&str> = ["run"].into_iter().chain(kpis).chain(options.iter().copied()).collect();
    let (code, output) = kpi(project, &arguments);
    assert_eq!(code, Some(0), "{output}");
    compare(project, &expected.iter().collect::<Vec<_>>())
}

/// Changes the breakdowns of the KPIs to those that are compared, where the project does not change them itself.
fn narrowed(project: &Path, expected: &[Expected]) -> String {
    let mut breakdowns: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in expected {
        let of_kpi = breakdowns.entry(&row.kpi).or_default();
        of_kpi.extend((row.breakdown != "overall").then_some(row.breakdown.as_str()));
    }
    let own = fs::read_to_string(project.join("kpis/tables/files.yaml")).unwrap_or_default();
    breakdowns.retain(|kpi, _| !own.contains(&format!("kpi: {kpi}\n")));
    let document = |(kpi, by): (&&str, &BTreeSet<&str>)| {
        format!("kpi: {kpi}\noverride: merge\nby: [{}]\n", by.iter().copied().collect::<Vec<_>>().join(", "))
    };
    breakdowns.iter().map(document).collect::<Vec<_>>().join("---\n")
}
