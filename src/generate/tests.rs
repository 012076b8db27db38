//! The laws that generated data keeps, checked by SQL over the files as any user would read them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;

/// Data of the size that a repository can hold, made once for all tests.
struct Sample {
    summary: GenerateSummary,
    context: SessionContext,
    runtime: tokio::runtime::Runtime,
    _folder: TempDir,
}

const ACCOUNTS: u64 = 400;

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let summary = generate(&GenerateOptions::new(ACCOUNTS, 1, folder.path()), &mut |_, _| {}).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let context = runtime.block_on(open(folder.path()));
        Sample { summary, context, runtime, _folder: folder }
    })
}

async fn open(out: &Path) -> SessionContext {
    let context = SessionContext::new();
    for table in Tables::NAMES {
        let path = |ending: &str| out.join(format!("{table}{ending}")).display().to_string();
        let csv = CsvReadOptions::new().schema_infer_max_records(100_000);
        let registered = match *table {
            _ if out.join(table).is_dir() => {
                context.register_parquet(*table, path("/"), ParquetReadOptions::default()).await
            }
            "process_runs" => {
                let csv = csv.file_extension(".csv.gz").file_compression_type(FileCompressionType::GZIP);
                context.register_csv(*table, path(".csv.gz"), csv).await
            }
            "campaign_costs" => context.register_csv(*table, path(".csv"), csv.delimiter(b';')).await,
            _ => context.register_csv(*table, path(".csv"), csv).await,
        };
        registered.unwrap();
    }
    context
}

/// The one number that a query over the sample returns; NULL is NaN.
fn number(sql: &str) -> f64 {
    let sample = sample();
    let query = async { sample.context.sql(sql).await?.collect().await };
    let batches = sample.runtime.block_on(query).unwrap_or_else(|error| panic!("{sql}\n{error}"));
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap_or_else(|| panic!("no row: {sql}"));
    let value = cast(batch.column(0), &DataType::Float64).unwrap();
    value.as_primitive::<Float64Type>().iter().next().flatten().unwrap_or(f64::NAN)
}

/// How many rows of a table satisfy a condition.
fn count(table: &str, condition: &str) -> f64 {
    number(&format!("SELECT count(*) FROM {table} WHERE {condition}"))
}

fn assert_none(table: &str, condition: &str) {
    assert_eq!(count(table, condition), 0.0, "rows of {table} with {condition}");
}

#[test]
fn every_table_has_rows_and_unique_keys() {
    for table in &sample().summary.tables {
        let key = match table.name {
            "opportunity_stage_history" => "history_id".to_owned(),
            "web_sessions" => "session_id".to_owned(),
            "survey_responses" => "response_id".to_owned(),
            "gl_balances" => "gl_id".to_owned(),
            "process_runs" => "run_id".to_owned(),
            "activities" | "opportunities" => format!("{}y_id", table.name.trim_end_matches("ies")),
            name => format!("{}_id", name.trim_end_matches('s')),
        };
        assert!(table.rows > 0, "{} is empty", table.name);
        let counts = format!("SELECT count(DISTINCT {key}) FROM {}", table.name);
        assert_eq!(number(&counts), table.rows as f64, "{}", table.name);
        assert!(number(&format!("SELECT count(updated_at) + count(is_deleted) FROM {}", table.name)) > 0.0);
    }
    assert_eq!(sample().summary.tables[0].rows, ACCOUNTS);
}

#[test]
fn every_foreign_key_resolves_but_the_orphans() {
    const KEYS: [(&str, &str, &str); 10] = [
        (
            "account_id",
            "accounts",
            "contacts opportunities subscriptions campaign_members activities cases survey_responses",
        ),
        ("contact_id", "contacts", "campaign_members activities cases survey_responses"),
        ("lead_id", "leads", "opportunities campaign_members web_sessions activities"),
        ("opportunity_id", "opportunities", "opportunity_stage_history orders activities"),
        ("order_id", "orders", "order_items"),
        ("product_id", "products", "leads order_items subscriptions campaigns cases survey_responses process_runs"),
        (
            "campaign_id",
            "campaigns",
            "leads opportunities orders campaign_costs campaign_members web_sessions activities",
        ),
        ("case_id", "cases", "activities survey_responses"),
        ("user_id", "users", "activities survey_responses quotas process_runs"),
        ("owner_id", "users", "accounts leads opportunities orders cases"),
    ];
    const RENAMED: [(&str, &str, &str); 8] = [
        ("accounts", "acquisition_campaign_id", "campaigns.campaign_id"),
        ("accounts", "referred_by_account_id", "accounts.account_id"),
        ("leads", "referred_by_account_id", "accounts.account_id"),
        ("leads", "converted_account_id", "accounts.account_id"),
        ("leads", "converted_opportunity_id", "opportunities.opportunity_id"),
        ("subscriptions", "renewed_by_subscription_id", "subscriptions.subscription_id"),
        ("users", "manager_id", "users.user_id"),
        ("orders", "account_id", "accounts.account_id"),
    ];
    let dangling = |table: &str, column: &str, target: &str, key: &str| {
        number(&format!(
            "SELECT count(*) FROM {table} t WHERE t.{column} IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM {target} k WHERE k.{key} = t.{column})"
        ))
    };
    for (column, target, tables) in KEYS {
        let key = if column == "owner_id" { "user_id" } else { column };
        for table in tables.split(' ') {
            assert_eq!(dangling(table, column, target, key), 0.0, "{table}.{column}");
        }
    }
    for (table, column, target) in RENAMED {
        let (target, key) = target.split_once('.').unwrap();
        let orphans = dangling(table, column, target, key);
        if table == "orders" {
            assert!((1.0..10.0).contains(&orphans), "{orphans} orphans");
        } else {
            assert_eq!(orphans, 0.0, "{table}.{column}");
        }
    }
    assert_none(
        "leads l JOIN opportunities o ON l.converted_opportunity_id = o.opportunity_id",
        "o.lead_id <> l.lead_id",
    );
    assert_none("cases c JOIN contacts p USING (contact_id)", "c.account_id <> p.account_id");
}

#[test]
fn stamps_are_in_order() {
    for (early, late) in [
        ("created_at", "first_response_at"),
        ("first_response_at", "mql_at"),
        ("mql_at", "sal_at"),
        ("sal_at", "sql_at"),
        ("sql_at", "converted_at"),
        ("created_at", "disqualified_at"),
        ("sql_at", "disqualified_at"),
        ("created_at", "updated_at"),
    ] {
        assert_none("leads", &format!("{early} > {late}"));
    }
    assert_none("leads", "converted_at IS NOT NULL AND disqualified_at IS NOT NULL");
    assert_none(
        "leads",
        "converted_at IS NOT NULL AND (converted_account_id IS NULL OR converted_opportunity_id IS NULL)",
    );
    assert_none("cases", "first_response_at < created_at OR closed_at < first_response_at OR reopened_at > closed_at");
    assert_none("cases", "(status = 'closed') <> (closed_at IS NOT NULL)");
    assert_none("survey_responses", "responded_at < sent_at OR (score IS NOT NULL AND responded_at IS NULL)");
    assert_none("campaign_members", "first_responded_at < added_at");
    assert_none("web_sessions", "goal_completed_at < started_at OR (goal_name IS NULL) <> (goal_completed_at IS NULL)");
    assert_none("subscriptions", "end_date < start_date OR term_end_date <= start_date OR end_date > term_end_date");
    assert_none(
        "subscriptions s JOIN subscriptions n ON s.renewed_by_subscription_id = n.subscription_id",
        "n.start_date <> s.term_end_date",
    );
    assert_none("users", "end_date < start_date");
    assert_none("accounts", "referenceable_until < referenceable_since");
    assert_none("process_runs", "completed_at < started_at OR units_defective > units_inspected");
}

#[test]
fn deals_go_through_contiguous_stages() {
    let history = "(SELECT h.*, lead(entered_at) OVER visits AS next_entered, lag(stage) OVER visits AS previous, \
                   row_number() OVER visits AS place FROM opportunity_stage_history h \
                   WINDOW visits AS (PARTITION BY opportunity_id ORDER BY entered_at)) v";
    assert_none(history, "next_entered IS NOT NULL AND (exited_at IS NULL OR exited_at <> next_entered)");
    assert_none(history, "next_entered IS NULL AND exited_at IS NOT NULL");
    assert_none(history, "place = 1 AND stage <> 'discovery' OR stage = previous OR exited_at <= entered_at");
    assert_none(history, "stage = 'closed_won' AND previous <> 'negotiation'");
    assert!(count(history, "stage = 'discovery' AND place > 1") > 20.0, "some deals fall back");

    let last =
        format!("opportunities o JOIN {history} ON o.opportunity_id = v.opportunity_id AND v.next_entered IS NULL");
    assert_none(&last, "o.stage <> v.stage OR o.amount <> v.amount OR o.close_date <> v.close_date");
    let first = format!("opportunities o JOIN {history} ON o.opportunity_id = v.opportunity_id AND v.place = 1");
    assert_eq!(count(&first, "o.created_at = v.entered_at"), count("opportunities", "true"));
    assert_none(
        "opportunities",
        "is_won AND NOT is_closed OR is_closed AND (amount IS NULL OR close_date > '2025-12-31')",
    );
    let closed = "arrow_cast(to_local_time(v.entered_at AT TIME ZONE 'America/New_York'), 'Date32')";
    assert_none(&last, &format!("o.is_closed AND {closed} <> o.close_date"));
}

#[test]
fn nothing_happens_after_the_end_or_at_night() {
    let stamps = [
        ("accounts", "created_at"),
        ("leads", "created_at first_response_at mql_at sal_at sql_at disqualified_at converted_at"),
        ("opportunities", "created_at"),
        ("opportunity_stage_history", "entered_at exited_at"),
        ("activities", "started_at"),
        ("web_sessions", "started_at goal_completed_at"),
        ("campaign_members", "added_at first_responded_at"),
        ("cases", "created_at first_response_at closed_at reopened_at"),
        ("survey_responses", "sent_at responded_at"),
        ("process_runs", "started_at completed_at"),
    ];
    for (table, columns) in stamps {
        for column in columns.split(' ').chain(["updated_at"]) {
            assert_none(table, &format!("{column} >= '2026-01-01T05:00:00Z'"));
        }
    }
    for (table, column) in [("orders", "order_date"), ("subscriptions", "end_date"), ("campaigns", "end_date")] {
        assert_none(table, &format!("{column} > '2025-12-31'"));
    }
    let hour = |column: &str| format!("date_part('hour', to_local_time({column} AT TIME ZONE 'America/New_York'))");
    for (table, column) in [("activities", "started_at"), ("leads", "created_at"), ("web_sessions", "started_at")] {
        assert_none(table, &format!("{} < 5", hour(column)));
        assert!(count(table, &format!("{} >= 19", hour(column))) > 0.0, "{table}: evenings are on the next UTC day");
    }
    let month = "to_char(to_local_time(started_at AT TIME ZONE 'America/New_York'), '%Y-%m')";
    for table in ["activities", "web_sessions"] {
        let root = sample()._folder.path().join(table);
        let mut months: Vec<String> = folders(&root).into_keys().map(|path| path[6..13].to_owned()).collect();
        months.sort();
        assert_eq!((months.len(), months[0].as_str(), months[35].as_str()), (36, "2023-01", "2025-12"));
        let folder = root.join("month=2025-03").display().to_string() + "/";
        let sample = sample();
        let options = ParquetReadOptions::default();
        let name = format!("{table}_march");
        sample.runtime.block_on(sample.context.register_parquet(&name, folder, options)).unwrap();
        assert_none(&name, &format!("{month} <> '2025-03'"));
    }
}

#[test]
fn the_same_options_make_the_same_bytes() {
    let run = |seed: u64| {
        let folder = tempfile::tempdir().unwrap();
        let summary = generate(&GenerateOptions::new(60, seed, folder.path()), &mut |_, _| {}).unwrap();
        (folders(folder.path()), summary)
    };
    let (first, summary) = run(7);
    assert_eq!((first.clone(), summary.clone()), run(7));
    let (other, _) = run(8);
    assert_ne!(first["leads/2024.parquet"], other["leads/2024.parquet"]);
    let files: u64 = summary.tables.iter().map(|table| table.files).sum();
    assert_eq!(files + 1, first.len() as u64, "the note is the only other file");
    let bytes: u64 = summary.tables.iter().map(|table| table.bytes).sum();
    let note = String::from_utf8(first["GENERATED.md"].clone()).unwrap();
    assert_eq!(bytes + note.len() as u64, first.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    assert!(note.contains("kpi generate --accounts 60 --seed 7 --out DIR"), "{note}");
    assert!(note.contains("| accounts | 60 | 1 |") && note.contains("A manager leaves"), "{note}");
}

/// Every file below a folder with its bytes.
fn folders(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(root).unwrap().display().to_string().replace('\\', "/");
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

#[test]
fn only_folders_of_its_own_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = |accounts, months| GenerateOptions { months, ..GenerateOptions::new(accounts, 1, folder.path()) };
    generate(&options(5, 14), &mut |_, _| {}).unwrap();
    assert!(folder.path().join("orders/2024.parquet").exists());
    generate(&options(5, 2), &mut |_, _| {}).unwrap();
    assert!(!folder.path().join("orders/2024.parquet").exists(), "files of the earlier run are gone");

    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("thesis.txt"), "years of work").unwrap();
    let error = generate(&GenerateOptions::new(5, 1, foreign.path()), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("holds other files"), "{error}");
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);

    let below_a_file = foreign.path().join("thesis.txt").join("data");
    let error = generate(&GenerateOptions::new(5, 1, below_a_file), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
}

#[test]
fn options_without_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = GenerateOptions::new(1, 1, folder.path().join("data"));
    for options in [
        GenerateOptions { accounts: 0, ..good.clone() },
        GenerateOptions { months: 0, ..good.clone() },
        GenerateOptions { months: 1000, ..good.clone() },
        GenerateOptions { first_month: NaiveDate::from_ymd_opt(2024, 2, 3).unwrap(), ..good.clone() },
    ] {
        let error = generate(&options, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.hint().is_some());
    }
    assert!(!good.out.exists(), "nothing was written");
    for (accounts, months, year, month) in [(1, 1, 2024, 2), (3, 7, 2019, 11), (2, 50, 2024, 7)] {
        let first_month = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
        let options = GenerateOptions { accounts, months, first_month, ..good.clone() };
        generate(&options, &mut |_, _| {}).unwrap();
    }
}

#[test]
fn progress_counts_up_to_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = BTreeMap::new();
    let options = GenerateOptions { months: 3, ..GenerateOptions::new(10, 1, folder.path()) };
    let summary = generate(&options, &mut |table, rows| {
        let before = last.insert(table.to_owned(), rows).unwrap_or(0);
        assert!(before <= rows);
    })
    .unwrap();
    assert!(summary.tables.iter().all(|table| last[table.name] == table.rows));
}

#[test]
fn the_sample_is_small_but_not_silly() {
    let bytes: u64 = sample().summary.tables.iter().map(|table| table.bytes).sum();
    assert!(bytes < 2_600_000, "{bytes} bytes");
    let least_a_month = |table: &str, column: &str, condition: &str| {
        number(&format!(
            "SELECT min(n) FROM (SELECT date_trunc('month', {column}) AS month, count(*) AS n FROM {table} \
             WHERE {condition} AND {column} < '2026-01-01' GROUP BY 1)"
        ))
    };
    assert!(least_a_month("activities", "started_at", "true") > 200.0);
    assert!(least_a_month("leads", "created_at", "true") >= 18.0);
    let won = least_a_month("opportunities", "close_date", "is_won");
    assert!(won >= 8.0, "{won}");
    assert!(least_a_month("cases", "created_at", "true") > 25.0);
    assert!(least_a_month("survey_responses", "responded_at", "true") > 5.0);
}

#[test]
fn the_books_agree_with_the_orders() {
    let orders = "orders o JOIN order_items i USING (order_id) WHERE o.status = 'completed' AND NOT o.is_deleted";
    let revenue = number("SELECT sum(movement_amount) FROM gl_balances WHERE gl_class = 'revenue'");
    assert!((revenue - number(&format!("SELECT sum(net_amount) FROM {orders}"))).abs() < 0.01);
    let goods = number("SELECT sum(movement_amount) FROM gl_balances WHERE gl_class = 'cogs'");
    let known = number(&format!("SELECT sum(cost_amount) FROM {orders}"));
    assert!(known < goods && known > 0.97 * goods, "lines without cost still cost something");
    let campaigns = number("SELECT sum(movement_amount) FROM gl_balances WHERE cost_center = 'campaigns'");
    let spent = number("SELECT sum(TRY_CAST(amount AS DOUBLE)) FROM campaign_costs WHERE NOT is_deleted");
    assert!((campaigns - spent).abs() < 0.01);
    let deals = number(
        "SELECT count(*) FROM (SELECT o.opportunity_id, max(p.amount) AS amount, sum(i.net_amount) AS net FROM orders o \
         JOIN order_items i USING (order_id) JOIN opportunities p USING (opportunity_id) \
         WHERE o.status = 'completed' GROUP BY 1) WHERE amount <> net",
    );
    assert_eq!(deals, 0.0, "a won deal's amount is what its order says");
    assert!(number("SELECT count(DISTINCT period_end) FROM gl_balances") == 36.0);
}

#[test]
fn there_is_some_dirt_but_not_much() {
    for (table, condition, low, high) in [
        ("leads", "is_duplicate", 0.01, 0.06),
        ("leads", "lead_source <> lower(lead_source)", 0.004, 0.03),
        ("leads", "is_deleted", 0.001, 0.02),
        ("leads", "mql_at IS NULL AND sql_at IS NOT NULL", 0.0005, 0.02),
        ("order_items", "cost_amount IS NULL", 0.002, 0.02),
        ("opportunities", "amount IS NULL", 0.0005, 0.02),
        ("opportunities", "NOT is_closed AND close_date <= '2025-12-31'", 0.0005, 0.05),
        ("orders", "status = 'cancelled'", 0.005, 0.05),
        ("orders", "order_type = 'credit'", 0.01, 0.06),
        ("cases", "account_id IS NULL", 0.003, 0.03),
        ("activities", "is_deleted", 0.001, 0.01),
        ("accounts", "name LIKE 'TEST %'", 0.002, 0.02),
        ("campaign_costs", "cost_type = '-'", 0.005, 0.08),
    ] {
        let share = count(table, condition) / count(table, "true");
        assert!((low..high).contains(&share), "{table} with {condition}: {share}");
    }
}

#[test]
fn story_of_the_manager_who_left() {
    assert_eq!(count("users", "role = 'sales_manager' AND region = 'Midwest' AND end_date = '2025-06-27'"), 1.0);
    let rate = |condition: &str| {
        number(&format!(
            "SELECT avg(CAST(is_won AS INT)) FROM opportunities JOIN accounts USING (account_id) \
             WHERE is_closed AND type <> 'renewal' AND {condition}"
        ))
    };
    let quarter = "close_date >= '2025-07-01' AND close_date < '2025-10-01'";
    let story = rate(&format!("region = 'Midwest' AND {quarter}"));
    let elsewhere = rate(&format!("region <> 'Midwest' AND {quarter}"));
    let before = rate("region = 'Midwest' AND close_date < '2025-07-01'");
    assert!(story < before / 2.0 && story < elsewhere / 2.0, "{story} after {before}, elsewhere {elsewhere}");
}

#[test]
fn story_of_more_and_worse_leads() {
    let paid = "lower(lead_source) = 'paid_ads' AND NOT is_duplicate";
    let leads = |span: &str| count("leads", &format!("{paid} AND {span}"));
    let (before, after) = ("created_at < '2025-01-01' AND created_at >= '2024-01-01'", "created_at >= '2025-01-01'");
    assert!(leads(after) > 2.0 * leads(before));
    let qualified = |span: &str| leads(&format!("{span} AND mql_at IS NOT NULL")) / leads(span);
    assert!(qualified("created_at >= '2025-07-01'") < 0.6 * qualified(before));
    let spent = |year: &str| {
        number(&format!(
            "SELECT sum(TRY_CAST(amount AS DOUBLE)) FROM campaign_costs JOIN campaigns c USING (campaign_id) \
             WHERE c.channel = 'paid_ads' AND cost_date LIKE '%/{year}'"
        ))
    };
    assert!(spent("2025") > 1.6 * spent("2024"));
}

#[test]
fn story_of_the_team_short_of_people() {
    let quarter = "c.created_at >= '2024-10-01' AND c.created_at < '2025-01-01'";
    let median = |condition: &str| {
        number(&format!(
            "SELECT median(date_part('epoch', c.first_response_at - c.created_at)) FROM cases c \
             JOIN users u ON c.owner_id = u.user_id WHERE c.origin IN ('email', 'web') AND {condition}"
        ))
    };
    let west = "u.team = 'Support West'";
    assert!(median(&format!("{west} AND {quarter}")) > 3.0 * median(&format!("{west} AND NOT ({quarter})")));
    let satisfied = |condition: &str| {
        number(&format!(
            "SELECT avg(CASE WHEN r.score >= 4 THEN 1.0 ELSE 0.0 END) FROM survey_responses r \
             JOIN cases c USING (case_id) JOIN users u ON c.owner_id = u.user_id \
             WHERE r.survey_type = 'csat' AND r.score IS NOT NULL AND {condition}"
        ))
    };
    let (story, usual) =
        (satisfied(&format!("{west} AND {quarter}")), satisfied(&format!("{west} AND NOT ({quarter})")));
    let elsewhere = satisfied(&format!("NOT ({west}) AND {quarter}"));
    assert!(
        usual > 0.75 && story < usual - 0.3 && story < elsewhere - 0.3,
        "{story}, usually {usual}, elsewhere {elsewhere}"
    );
}

#[test]
fn story_of_the_price_rise() {
    let value = |from: &str, until: &str| {
        number(&format!(
            "SELECT CAST(sum(net_amount) AS DOUBLE) / count(DISTINCT CASE WHEN order_type <> 'credit' THEN order_id END) \
             FROM orders JOIN order_items USING (order_id) \
             WHERE status = 'completed' AND order_date >= '{from}' AND order_date < '{until}'"
        ))
    };
    let (before, after) = (value("2023-07-01", "2024-07-01"), value("2024-07-01", "2025-07-01"));
    assert!(after > 1.1 * before, "{before} to {after}");
    let lost = |from: &str, until: &str| {
        number(&format!(
            "SELECT avg(CASE WHEN renewed_by_subscription_id IS NULL THEN 1.0 ELSE 0.0 END) FROM subscriptions \
             WHERE (end_date IS NULL OR end_date >= term_end_date) AND term_end_date >= '{from}' AND term_end_date < '{until}'"
        ))
    };
    let (before, after) = (lost("2023-07-01", "2024-07-01"), lost("2024-07-01", "2025-07-01"));
    assert!(after > 1.2 * before, "{before} to {after}");
    let share = |condition: &str| {
        count("subscriptions", &format!("cancel_reason = 'price' AND {condition}"))
            / count("subscriptions", &format!("cancel_reason IS NOT NULL AND {condition}"))
    };
    let story = "end_date >= '2024-07-01' AND end_date < '2025-07-01'";
    assert!(share(story) > 1.5 * share(&format!("NOT ({story})")));
}

#[test]
fn story_of_the_product_that_came_apart() {
    let defects = |product: &str, from: &str| {
        number(&format!(
            "SELECT CAST(sum(units_defective) AS DOUBLE) / sum(units_inspected) FROM process_runs \
             JOIN products USING (product_id) WHERE name = '{product}' AND started_at >= '{from}'"
        ))
    };
    assert!(defects("Edge Gateway", "2025-10-01") > 0.07);
    assert!(defects("Edge Sensor Kit", "2025-10-01") < 0.02);
    let incidents = |product: &str, year: &str| {
        let condition = format!("name = '{product}' AND date_part('year', created_at) = {year}");
        count("cases JOIN products USING (product_id)", &condition)
    };
    let growth = |product: &str| incidents(product, "2025") / incidents(product, "2024");
    let (gateway, sensors) = (growth("Edge Gateway"), growth("Edge Sensor Kit"));
    assert!(gateway > 1.3 * sensors, "{gateway}, sensors {sensors}");
    let promoters = |condition: &str| {
        number(&format!(
            "SELECT avg(CASE WHEN score >= 9 THEN 1.0 WHEN score <= 6 THEN -1.0 ELSE 0.0 END) FROM survey_responses \
             JOIN products USING (product_id) WHERE survey_type = 'nps' AND score IS NOT NULL AND {condition}"
        ))
    };
    let year = "sent_at >= '2025-05-01'";
    let (gateway, others) = (
        promoters(&format!("name = 'Edge Gateway' AND {year}")),
        promoters(&format!("name <> 'Edge Gateway' AND {year}")),
    );
    assert!(gateway < others - 0.2, "{gateway}, others {others}");
}
