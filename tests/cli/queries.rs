//! SQL, and the commands of a session, as scripts run them: through pipes, with files and parameters.

use std::io::Write;
use std::process::Stdio;

use super::Project;

/// A script in a file, with what it says on both streams.
fn script(project: &mut Project, text: &str, more: &[&str], exit_code: i32) {
    project.write("script.sql", text);
    let mut arguments = vec!["sql", "-f", "script.sql"];
    arguments.extend(more);
    project.kpi(&arguments, exit_code);
}

#[test]
fn statements_over_tables_results_definitions_and_kpis() {
    let mut project = Project::published_shop();
    let text = r#"
-- A project's table, typed and filtered as its definition says.
SELECT order_id, ordered_on, channel, amount FROM orders WHERE amount > 60 ORDER BY order_id;
-- KPIs as tables: with dimensions, grains, their parts, and joined with each other and with tables.
SELECT period_start, channel, value, sum_amount, is_complete FROM kpi('revenue', by => 'channel', grain => 'month')
 WHERE period_start >= '2025-02-01';
SELECT r.period_start, r.value AS revenue, c.value AS cases, r.value / c.value AS per_case
  FROM kpi('revenue') r JOIN kpi('cases') c USING (period_start) ORDER BY 1;
SELECT kpi, count(*) AS values, count(DISTINCT members) AS members FROM kpi_values GROUP BY kpi ORDER BY kpi;
SELECT period_start, breakdown, channel, value, status FROM results.revenue WHERE grain = 'quarter';
SELECT o.order_id, o.amount / k.value AS share
  FROM orders o JOIN kpi('revenue') k ON o.ordered_on >= k.period_start AND o.ordered_on < k.period_end
 WHERE k.period_start = DATE '2025-01-01' ORDER BY 1;
SELECT kpi, label, shape, unit, better, grains, breakdowns, tables FROM definitions.kpis ORDER BY kpi;
SELECT * FROM definitions.targets;
SELECT * FROM definitions.tables;
SELECT table_schema, table_name, table_type FROM information_schema.tables
 WHERE table_schema = 'public' ORDER BY table_name;
FROM orders WHERE channel IS NULL;
-- What a session makes stays in it, and the project's own cannot be touched.
CREATE TABLE notes AS VALUES (1, 'x'), (2, NULL);
CREATE VIEW monthly AS SELECT * FROM kpi('revenue', grain => 'quarter');
SELECT period_start, value FROM monthly;
SELECT * FROM notes;
EXPLAIN SELECT value FROM kpi('revenue') LIMIT 1;
"#;
    script(&mut project, text, &[], 0);
    project.expect("sql_statements");
}

/// Each of them is told by itself; the exit code is that of the first.
#[test]
fn bad_statements_are_told_at_their_place() {
    let mut project = Project::published_shop();
    let text = r#"SELECT amout FROM orders;
SELECT o.chanel
  FROM orders AS o;
SELECT * FROM order;
SELECT * FROM ordrs;
SELECT * FROM results.revenu;
SELECT * FROM kpi('revenu');
SELECT * FROM kpi();
SELECT * FROM kpi('revenue', by => 'chanel');
SELECT * FROM kpi('revenue', grain => 'moth');
SELECT * FROM kpi('revenue', grain => 'day');
SELECT * FROM kpi('revenue', since => 'soon');
SELECT * FROM kpi('revenue', 'month');
SELECT * FROM kpi(revenue, graim => 'month');
SELECT sum(amount FROM orders;
SELECT FROM WHERE;
SELECT dat_trunc('month', ordered_on) FROM orders;
SELECT date_trunc(1, 2, 3);
SELECT channel, sum(amount) FROM orders;
SELECT 1 / 0;
SELECT CAST('x' AS INT);
SELECT * FROM 'nothing.parquet';
SELECT * FROM 'script.sql';
SELECT * FROM 'ftp://example.com/x.csv';
SELECT * FROM orders WHERE amount > $least;
DROP TABLE orders;
CREATE OR REPLACE TABLE orders AS VALUES (1);
INSERT INTO orders VALUES (1, '2025-01-01', 'web', 1);
DELETE FROM orders;
DELETE FROM periods;
INSERT INTO definitions.mistakes VALUES ('error', 'x', 'x', 'x', 'x', 1, 1);
SELECT * FROM _;
\kpi revenu
\kpi revenue by
\kpi revenue last 3 fortnights
\kip revenue
\mode tabel
\explain revenue 2031-01
\explain revenue 2025-13
\explain revenue month 2025-Q1
\explain revenue last 3 months
\read nothing.sql
\set x:dat 1
SELECT 'it is still here';
SELECT 'open
"#;
    script(&mut project, text, &["--continue-on-error"], 2);
    project.expect("sql_bad");
}

#[test]
fn the_first_failure_ends_a_script() {
    let mut project = Project::published_shop();
    script(&mut project, "SELECT 1 AS a;\nSELECT 1 / 0;\nSELECT 2 AS a;\n", &[], 1);
    script(&mut project, "SELECT 1 / 0;\nSELECT b;\nSELECT 2 AS a;\n", &["--continue-on-error"], 1);
    script(&mut project, "SELECT 1 AS a;\n\\quit\nSELECT b;\n", &[], 0);
    project.kpi(&["sql", "-c", "SELECT 1 AS a", "-c", "SELECT 2 AS b; SELECT c", "-c", "SELECT 3"], 2);
    project.kpi(&["sql", "-f", "nothing.sql"], 2);
    project.kpi(&["sql"], 2);
    project.kpi(&["sql", "-c", ""], 0);
    project.expect("sql_scripts");
}

#[test]
fn rows_come_in_every_format() {
    let mut project = Project::published_shop();
    let sql = "SELECT period_start, channel, value, n, is_complete FROM kpi('revenue', by => 'channel') LIMIT 3";
    for format in ["table", "vertical", "csv", "json", "jsonl", "markdown"] {
        project.kpi(&["sql", "-c", sql, "--format", format], 0);
    }
    for format in ["csv", "json", "jsonl", "markdown", "table", "vertical"] {
        project.kpi(&["sql", "-c", "SELECT 1 AS a WHERE false", "--format", format], 0);
    }
    for file in ["rows.csv", "rows.json", "rows.jsonl", "rows.parquet", "rows.arrow"] {
        project.kpi(&["sql", "-c", sql, "-o", file], 0);
        project.kpi(&["sql", "-c", &format!("SELECT * FROM '{file}'")], 0);
    }
    project.kpi(&["sql", "-c", "SELECT 1; SELECT 2", "-o", "two.csv"], 2);
    project.kpi(&["sql", "-c", "SELECT 1 AS a", "-o", "nowhere/rows.csv"], 4);
    project.kpi(&["sql", "-c", "SELECT 'NaN'::DOUBLE AS a", "--format", "json"], 1);
    project.expect("sql_formats");
}

#[test]
fn files_are_read_and_written() {
    let mut project = Project::published_shop();
    project.write("more/deals.csv", "deal,amount\n1,2.5\n2,\n");
    project.write("more/codes.csv", "code,day\n007,2025-01-31\n012,\n");
    project.write("more/deals.json", "{\"deal\": 3}\n{\"deal\": 4}\n");
    let text = r#"
SELECT * FROM 'more/deals.csv';
SELECT * FROM 'more/deals.json';
SELECT count(*) AS rows FROM 'data/ord*.csv';
COPY (SELECT * FROM kpi('revenue', by => 'channel')) TO 'more/revenue.parquet';
SELECT count(*) AS rows, sum(value) AS revenue FROM 'more/revenue.parquet' WHERE is_complete;
COPY orders TO 'more/orders' STORED AS CSV PARTITIONED BY (channel);
CREATE EXTERNAL TABLE deals STORED AS CSV LOCATION 'more/deals.csv' OPTIONS ('format.has_header' 'true');
SELECT deal, amount * 2 AS twice FROM deals;
DESCRIBE deals;
SELECT * FROM 'more/codes.csv';
"#;
    script(&mut project, text, &[], 0);
    assert!(project.path("more/orders/channel=web").is_dir());
    project.expect("sql_files");
}

#[test]
fn parameters_have_the_type_that_they_are_used_as() {
    let mut project = Project::published_shop();
    project.write("data/codes.csv", "code,name\n007,Bond\n7,Seven\n");
    let text = r#"
SELECT order_id FROM orders WHERE ordered_on >= $since AND amount > $least ORDER BY order_id;
SELECT period_start, value FROM kpi($name, since => $since);
SELECT name FROM 'data/codes.csv' WHERE code = $code;
SELECT arrow_typeof($since) AS since, arrow_typeof($code) AS code, arrow_typeof($least) AS least, arrow_typeof($day) AS day;
\set since 2025-03-31
SELECT count(*) AS rows FROM orders WHERE ordered_on >= $since;
\set
"#;
    let given =
        ["--param", "since=2025-03-01", "--param", "least=12.5", "--param", "code=007", "--param", "name=revenue"];
    let more: Vec<&str> = given.iter().copied().chain(["--param", "day:date=2025-01-31"]).collect();
    script(&mut project, text, &more, 0);
    project.kpi(&["sql", "-c", "SELECT * FROM orders WHERE ordered_on > $since", "--param", "since=soon"], 2);
    project.kpi(&["sql", "-c", "SELECT 1", "--param", "since:day=1"], 2);
    project.kpi(&["sql", "-c", "SELECT 1", "--param", "since"], 2);
    // What is given stays a value, whatever it looks like.
    project.kpi(&["sql", "-c", "SELECT $x AS x", "--param", "x='; DROP TABLE orders; --"], 0);
    project.expect("sql_parameters");
}

#[test]
fn commands_of_a_session_in_a_script() {
    let mut project = Project::published_shop();
    project.write("inner.sql", "SELECT 'from the inner file' AS a;\n\\kpis case\n");
    project.write("circle.sql", "\\read circle.sql\n");
    let text = r#"
\kpi revenue by channel last 2 months
\kpi growth monthly since 2025-02
\explain revenue 2025-03
\explain web_share 2025-03
\explain revenue 2025-Q1
\explain revenue by channel 2025 Q1
\chart revenue
\chart bar revenue by channel last 1 month
\chart spark revenue by channel
\d
\d orders
\f date_bin
\kpis
\read inner.sql
\mode csv
\kpi cases last 1 quarter
\help explain
\help
\mistakes
\plan SELECT count(*) FROM orders
"#;
    // The SQL that is shown holds the day.
    script(&mut project, text, &["--as-of", "2025-04-15"], 0);
    script(&mut project, "\\read circle.sql\n", &[], 2);
    script(&mut project, "\\last\n", &[], 2);
    script(&mut project, "\\edit\n", &[], 2);
    project.expect("sql_commands");
}

#[test]
fn a_script_may_come_from_standard_input() {
    let mut project = Project::published_shop();
    for arguments in [&["repl"][..], &["sql", "-f", "-"]] {
        let mut command = project.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let text = "SELECT count(*) AS orders FROM orders;\n\\timing off\nSELECT nothing;\nSELECT 2;\n";
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        project.record(arguments, &output);
        assert_eq!(output.status.code(), Some(2));
    }
    project.expect("sql_input");
}

/// Without a project there are still files.
#[test]
fn statements_need_no_project() {
    let mut project = Project::new(&[("deals.csv", "deal,amount\n1,2.5\n2,4\n")]);
    project.kpi(&["sql", "-c", "SELECT sum(amount) AS amount FROM 'deals.csv'"], 0);
    project.kpi(&["sql", "-c", "SELECT * FROM kpi('close_rate')"], 2);
    project.kpi(&["sql", "-c", "SELECT * FROM kpi_values"], 2);
    project.kpi(&["sql", "--project", "elsewhere", "-c", "SELECT 1"], 2);
    project.expect("sql_without_project");
}

/// What concerns the mistake is left out, and everything else can be asked.
#[test]
fn a_project_with_mistakes_can_be_asked() {
    let mut project = Project::shop();
    project.replace("kpis/service/cases.yaml", "value: count(*)", "value: cuont(*)");
    project.kpi(
        &["sql", "-c", "SELECT count(*) AS rows FROM kpi('revenue'); SELECT code, message FROM definitions.mistakes"],
        0,
    );
    project.kpi(&["sql", "-c", "SELECT * FROM kpi('cases')"], 2);
    project.expect("sql_mistakes");
}

/// Once, a text of many lines moved the cursor, and a name could color the screen.
#[test]
fn values_do_not_speak_to_the_terminal() {
    let mut project = Project::new(&[]);
    let sql = "SELECT E'a\\nb' AS lines, chr(27) || '[31mred' AS color, '' AS nothing, NULL AS missing, 'é漢' AS wide, 1 AS n";
    for format in ["table", "vertical", "csv"] {
        project.kpi(&["sql", "-c", sql, "--format", format], 0);
    }
    project.expect("sql_control_characters");
}

/// Each of these was wrong once: cut cells of later rows, a comment that nothing closes, a second result in one file, a file
/// that nobody wrote, a mark at the beginning of a file, columns that are called as those of a plan.
#[test]
fn nothing_is_lost_or_passed_over_in_silence() {
    let mut project = Project::published_shop();
    let sql = "SELECT CASE WHEN value = 5000 THEN repeat('long ', 5) ELSE 'x' END AS text, value FROM generate_series(1, 5000)";
    let output = project.command(&["sql", "-c", sql]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("long long long long long    5000\n"), "{}", &text[text.len() - 200..]);
    script(&mut project, "SELECT 1 AS a; /* SELECT 1 / 0;\n", &[], 2);
    script(&mut project, "/* SELECT 1 / 0", &[], 2);
    script(&mut project, "\u{feff}SELECT 1 AS a;\n", &[], 0);
    project.kpi(&["sql", "-c", "SELECT 1 AS plan_type, 2 AS plan"], 0);
    project.kpi(&["sql", "-c", "CREATE TABLE t AS SELECT 1 AS a", "-o", "none.csv"], 2);
    project.kpi(&["sql", "-c", "\\kpi revenue last 1 quarter", "-o", "revenue.csv"], 0);
    project.kpi(&["sql", "-c", "SELECT value, sum_amount FROM 'revenue.csv'"], 0);
    project.kpi(&["sql", "-c", "SELECT nothing; SELECT 1 AS a", "-o", "second.csv", "--continue-on-error"], 2);
    assert!(project.path("second.csv").exists());
    project.kpi(&["sql", "-c", "SELECT 1 AS a; SELECT 2 AS b", "-o", "both.csv"], 2);
    assert!(!project.path("both.csv").exists());
    project.kpi(&["sql", "-c", "SELECT 1 AS a; SELECT 2 AS b", "--format", "json"], 2);
    // What only a late line has.
    project.write("late.jsonl", "{\"a\":1}\n".repeat(1_500) + "{\"a\":2.5,\"b\":\"late\"}\n");
    project.kpi(&["sql", "-c", "SELECT max(a) AS a, max(b) AS b FROM 'late.jsonl'"], 0);
    let sql = "CREATE EXTERNAL TABLE t STORED AS JSON LOCATION 'late.jsonl'; SELECT max(a) AS a, max(b) AS b FROM t";
    project.kpi(&["sql", "-c", sql], 0);
    // Whole numbers of few bits.
    let sql = "COPY (SELECT CAST(2000000000 AS INT) AS p) TO 'small.parquet'; SELECT p * 3 AS p FROM 'small.parquet'";
    project.kpi(&["sql", "-c", sql], 0);
    let output = project.command(&["sql", "-c", "SELECT 1; SELECT 2", "--format", "parquet"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    project.kpi(&["sql", "-c", "SELECT CAST(chr(27) || '[31mX' AS INT)"], 1);
    project.kpi(&["sql", "-c", "\\chart bar"], 2);
    project.write("a[1].csv", "n\n1\n");
    project.write("many/one.json", "[{\"n\": 1}, {\"n\": 2}]");
    project.write("many/two.json", "[{\"n\": 3}]");
    project.kpi(&["sql", "-c", "SELECT sum(n) AS s FROM 'many/*.json'; SELECT n FROM 'a[1].csv'"], 0);
    project.expect("sql_once_wrong");
}

/// Whoever reads the first rows of many does not wait for the others.
#[test]
fn a_reader_that_goes_away_ends_the_statement() {
    let project = Project::published_shop();
    let mut command =
        project.command(&["sql", "-c", "SELECT value FROM generate_series(1, 100000000000)", "--format", "csv"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 8];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Files of CSV are read as those of tables are: columns are not mixed up, and a code keeps its zeros or is refused.
#[test]
fn csv_files_are_read_as_those_of_tables() {
    let mut project = Project::new(&[]);
    project.write("mixed/1.csv", "a,b\n1,100\n");
    project.write("mixed/2.csv", "b,a\n200,2\n");
    project.write("codes/1.csv", "code\n1\n");
    project.write("codes/2.csv", "code\n007\n");
    let late: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    project.write("late.csv", format!("code\n{late}007\n"));
    project.write("ragged.csv", "a,b\n1,2\n3\n");
    project.write("grows/1.csv", "n\n1\n");
    project.write("tabs.tsv", "a\tb\n1\t2\n");
    project.write("other.dat", "n,m\n1,2\n");
    project.write("semicolons.csv", "code;n\n007;1,5\n");
    project.write("plain/x=1/1.csv", "a\n10\n");
    project.write("plain/x=2/1.csv", "a\n20\n");
    for (sql, code) in [
        ("SELECT sum(a), sum(b) FROM 'mixed/*.csv'", 2),
        ("SELECT sum(a), sum(b) FROM 'mixed'", 2),
        ("SELECT code FROM 'codes/' ORDER BY code", 0),
        ("SELECT count(*) AS n FROM 'late.csv' WHERE code = 7", 1),
        ("SELECT * FROM 'ragged.csv'", 2),
        ("SELECT x, sum(a) AS a FROM 'plain' GROUP BY x ORDER BY x", 0),
        // A table of such files is no other, unless somebody says what its columns are.
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'codes/'; SELECT code FROM t ORDER BY code", 0),
        ("CREATE EXTERNAL TABLE t (code INT) STORED AS CSV LOCATION 'codes/'; SELECT code FROM t ORDER BY code", 0),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'semicolons.csv' OPTIONS ('format.delimiter' ';'); FROM t", 0),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'none.csv'", 2),
        (
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'plain/'; SELECT x, sum(a) AS a FROM t GROUP BY x ORDER BY x",
            0,
        ),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'codes/' OPTIONS ('format.comment' '#'); FROM t", 1),
        ("CREATE EXTERNAL TABLE t (b INT, a INT) STORED AS CSV LOCATION 'mixed/1.csv'; FROM t", 2),
        ("CREATE EXTERNAL TABLE t (x INT, y INT) STORED AS CSV LOCATION 'mixed/1.csv'; FROM t", 0),
        (
            "SET datafusion.catalog.has_header = false; CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'codes/1.csv'; FROM t",
            0,
        ),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'other.dat'; FROM t", 0),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'mixed/1.csv'; INSERT INTO t VALUES (1, 2)", 2),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'grows/'; INSERT INTO t VALUES (2); FROM t ORDER BY n", 0),
        // Not everybody divides by commas.
        ("FROM 'semicolons.csv'", 0),
        ("FROM 'tabs.tsv'", 0),
        ("FROM 'many/*/*.parquet'", 2),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'codes/'; DROP TABLE t; FROM t", 2),
    ] {
        project.kpi(&["sql", "-c", sql], code);
    }
    project.expect("sql_csv");
}

/// What was there stays as it was until all is written.
#[test]
fn a_copy_is_whole_or_not_at_all() {
    let mut project = Project::new(&[("old.csv", "old\n")]);
    project.kpi(&["sql", "-c", "COPY (SELECT 1 / (1 - value) AS a FROM generate_series(0, 3)) TO 'old.csv'"], 1);
    assert_eq!(std::fs::read_to_string(project.path("old.csv")).unwrap(), "old\n");
    project.kpi(&["sql", "-c", "COPY (SELECT 1 AS a) TO '/proc/x.csv'"], 4);
    project.kpi(&["sql", "-c", "COPY (SELECT 1 AS a) TO 'old.csv'"], 0);
    assert_eq!(std::fs::read_to_string(project.path("old.csv")).unwrap(), "a\n1\n");
    project.kpi(&["sql", "-c", "COPY (SELECT 1 AS a) TO 'new/one.parquet'; FROM 'new/one.parquet'"], 0);
    let names = std::fs::read_dir(project.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".tmp")));
    // What is called compressed is.
    for name in ["one.csv.gz", "one.json.zst"] {
        let kind = if name.contains("csv") { "CSV" } else { "JSON" };
        project.kpi(&["sql", "-c", &format!("COPY (SELECT 1 AS a) TO '{name}' STORED AS {kind}; FROM '{name}'")], 0);
        let marks: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];
        let bytes = std::fs::read(project.path(name)).unwrap();
        assert!(marks.iter().any(|mark| bytes.starts_with(mark)), "{name}");
    }
    project.kpi(&["sql", "-c", "COPY (SELECT 2 AS a) TO 'ONE.CSV.GZ'; FROM 'ONE.CSV.GZ'"], 0);
    // A folder that has files would have those of both.
    let parts = "COPY (SELECT value AS a, value % 2 AS x FROM generate_series(1, 4)) TO 'parts/' STORED AS PARQUET \
                 PARTITIONED BY (x)";
    project.kpi(&["sql", "-c", parts], 0);
    project.kpi(&["sql", "-c", parts], 2);
    project.kpi(&["sql", "-c", "SELECT count(*) AS n FROM 'parts'"], 0);
    project.kpi(&["sql", "-c", "COPY (SELECT 1 AS a) TO '/dev/full' STORED AS CSV"], 2);
    project.kpi(&["sql", "-c", "COPY (SELECT [1] AS a) TO 'lists.csv'"], 1);
    project.kpi(&["sql", "-c", "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO 'old.csv'"], 2);
    project.expect("sql_copy");
}

/// Files of many rows are written piece by piece.
#[test]
fn a_file_holds_all_rows_however_many() {
    let project = Project::new(&[("parts/x=1/1.csv", "a\n10\n"), ("parts/x=2/1.csv", "a\n20\n")]);
    let succeeds = |arguments: &[&str]| {
        let output = project.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let sql = "SELECT value, 'text ' || value AS text FROM generate_series(1, 700000)";
    for name in ["all.parquet", "all.arrow", "all.csv", "all.jsonl", "all.json"] {
        succeeds(&["sql", "-c", sql, "-o", name]);
        let sql = format!("SELECT count(*), sum(value), count(DISTINCT text) FROM '{name}'");
        assert_eq!(
            succeeds(&["sql", "-c", &sql, "--format", "csv"]).lines().last(),
            Some("700000,245000350000,700000")
        );
    }
    // A dictionary for each batch would be refused by the format.
    succeeds(&["sql", "-c", "SELECT x, sum(a) AS a FROM 'parts' GROUP BY x ORDER BY x", "-o", "parts.arrow"]);
    let sql = "SELECT x, a FROM 'parts.arrow' ORDER BY x";
    assert_eq!(succeeds(&["sql", "-c", sql, "--format", "csv"]), "x,a\n1,10\n2,20\n");
    for name in ["none.parquet", "none.arrow"] {
        succeeds(&["sql", "-c", "SELECT 1 AS a WHERE false", "-o", name]);
        assert_eq!(succeeds(&["sql", "-c", &format!("SELECT * FROM '{name}'"), "--format", "csv"]), "a\n");
    }
}

/// DataFusion says what is wrong inside, and not in which file.
#[test]
fn damaged_files_are_named() {
    let mut project = Project::new(&[("bad.json", "[{\"a\":1},{\"a\":")]);
    project.write("cut.parquet", "PAR1 this was cut somewhere");
    // A footer of that length overflows in a reader that was built with checks, and is refused by others. Once, the panic was
    // an empty result.
    project.write("none.parquet", "PAR1 nothing PAR1");
    let output = project.command(&["sql", "-c", "FROM 'none.parquet'"]).output().unwrap();
    assert!(matches!(output.status.code(), Some(1 | 101)) && output.stdout.is_empty());
    project.write("some.parquet", "PAR1 this is none");
    project.write("lines/one.jsonl", "{\"a\":1}\n".repeat(2_000));
    project.write("lines/two.jsonl", "{\"a\":1}\n".repeat(2_000) + "{\"a\":");
    for sql in [
        "FROM 'bad.json'",
        "FROM 'cut.parquet'",
        "SELECT sum(a) AS a FROM 'lines/*.jsonl'",
        "CREATE EXTERNAL TABLE t STORED AS JSON LOCATION 'lines/two.jsonl'; SELECT sum(a) FROM t",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'some.parquet'",
    ] {
        project.kpi(&["sql", "-c", sql], 1);
    }
    project.expect("sql_damaged");
}

/// What people type who come from other shells is done, or answered with what does it here.
#[test]
fn commands_of_other_shells_are_known() {
    let mut project = Project::published_shop();
    project.write("other.sql", ".mode csv\nSELECT .5 AS half;\n.tables\n");
    project.kpi(&["sql", "-f", "other.sql"], 0);
    for command in ["\\dt", "\\x", ".schema orders", "\\copy orders to 'x.csv'", "\\timer on", "\\unheard"] {
        project.kpi(&["sql", "-c", command], 2);
    }
    project.kpi(&["sql", "-c", "SELECT 1 AS a", "-o", "a.tsv"], 2);
    project.expect("sql_habits");
}

#[test]
fn odd_statements_have_their_answers() {
    let mut project = Project::published_shop();
    project.kpi(&["sql", "-c", "-- a comment\nSELECT NULL AS nothing, 1 AS one", "--format", "json"], 0);
    for sql in [
        "SELECT FROM orders",
        "SELECT count(*) FROM orders TABLESAMPLE BERNOULLI (1)",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT 1 AS a, 2 AS a",
    ] {
        project.kpi(&["sql", "-c", sql], 2);
    }
    let sql = "CREATE TABLE t AS VALUES (1), (2); INSERT INTO t VALUES (3); SELECT count(*) AS n FROM t";
    project.kpi(&["sql", "-c", sql, "--format", "csv"], 0);
    let sql = "COPY (SELECT 1 AS amount) TO 'amounts.parquet'; \
               CREATE EXTERNAL TABLE t (amuont INT) STORED AS PARQUET LOCATION 'amounts.parquet'";
    project.kpi(&["sql", "-c", sql], 2);
    project.kpi(&["sql", "-c", "SELECT $a AS a", "--param", "a=1", "--param", "a=2"], 2);
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'results' ORDER BY 1";
    project.kpi(&["sql", "-c", sql], 0);
    project.kpi(&["sql", "-c", "PREPARE next AS SELECT $1 + 1 AS next; EXECUTE next(41)"], 0);
    project
        .kpi(&["sql", "-c", "SELECT a.*, b.* FROM orders a JOIN orders b USING (order_id)", "-o", "twice.parquet"], 2);
    project.kpi(&["sql", "-c", "SELECT * FROM kpi('revenue', by => $by)"], 2);
    project.kpi(&["sql", "-c", "SELECT $d AS d", "--param", "d:decimal=0.12345678901234567"], 0);
    project
        .kpi(&["sql", "-c", "SELECT count(*) AS n FROM orders WHERE amount >= $least", "--param", "least=200.001"], 0);
    project.expect("sql_odd");
}

/// Once, the threads of statements had too little room for plans that nest deeply.
#[test]
fn kpis_over_kpis_are_explained() {
    let project = Project::new(&[]);
    let root = env!("CARGO_MANIFEST_DIR");
    let output =
        project.command(&["sql", "--project", root, "-c", "\\explain revenue_growth_rate 2025-Q3"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("2025 Q3") && text.contains("── SQL ──"), "{text}");
}

/// What a session puts between the operators so that they can be ended is no part of what it tells of them.
#[test]
fn what_was_measured_is_told_of_the_plan_as_it_is() {
    let project = Project::new(&[("one.csv", "a,b\n1,2\n3,4\n")]);
    let sql = "SELECT a, sum(b) FROM 'one.csv' WHERE a > 1 GROUP BY a";
    let shape = |explain: &str| -> Vec<String> {
        let sql = format!("SET datafusion.explain.format = 'indent'; {explain} {sql}");
        let output = project.command(&["sql", "-c", &sql]).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let operators = text.lines().filter(|line| line.contains("Exec"));
        operators.map(|line| line.split(':').next().unwrap().split(", metrics").next().unwrap().to_owned()).collect()
    };
    let analyzed = shape("EXPLAIN ANALYZE");
    assert!(analyzed.len() > 3, "{analyzed:?}");
    assert_eq!(analyzed, shape("EXPLAIN"));
}
