//! Loading as a whole: what is read, what is reported, and that no file can break it.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::diagnostic::render_text;
use crate::spec::{Better, SettingValue};

/// Compares what `run` says of a project of one file with the `.stderr` beside the file, for all files of a folder.
/// `KPI_UPDATE_EXPECTED=1` writes what was said instead.
pub(crate) fn check_fixtures(folder: &Path, run: impl Fn(&Path) -> String) {
    let mut fixtures: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    fixtures.retain(|path| is_definition(path));
    fixtures.sort();
    assert!(!fixtures.is_empty(), "no fixtures in {}", folder.display());
    let update = std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1");
    let mut different = String::new();
    for fixture in fixtures {
        let project = tempfile::tempdir().unwrap();
        let definitions = project.path().join("kpis");
        fs::create_dir(&definitions).unwrap();
        fs::copy(&fixture, definitions.join(fixture.file_name().unwrap())).unwrap();
        let said = run(project.path());
        let expected = fixture.with_extension("stderr");
        if update {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            different.push_str(&format!("\n---- {} said\n{said}", fixture.display()));
        }
    }
    assert!(different.is_empty(), "look, then accept with KPI_UPDATE_EXPECTED=1{different}");
}

#[test]
fn mistakes_are_reported_as_written_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    check_fixtures(&folder, |project| {
        let loaded = load(project).unwrap();
        render_text(&loaded.diagnostics, &loaded.sources, false)
    });
}

/// A project of the given files.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_one(text: &str) -> LoadedProject {
    let folder = project(&[("kpis/x.yaml", text)]);
    load(folder.path()).unwrap()
}

/// The text in the file at a span.
fn at(loaded: &LoadedProject, span: Span) -> &str {
    &loaded.sources.get(span.file).text[span.start..span.end]
}

const EXAMPLE: &str = r#"project: crm
time_zone: America/New_York
week_starts: monday
fiscal_year_starts: 1
settings: {retention_days: 365, rate: 1.10, word: "a", flag: true}
---
table: opportunities
source: opportunities/*.parquet
partitioned_by: {month: date}
primary_key: [opportunity_id, month]
columns:
  amount: {type: "decimal(18,2)"}
  close_date: {type: date, format: "%d/%m/%Y"}
joins:
  account: {table: accounts, on: account_id}
  owner: {table: users, on: owner_id = user_id}
dimensions:
  region: account.region
  one: 1
  size: {expression: CASE WHEN amount < 10000 THEN 'small' ELSE 'large' END, label: Size}
predicates:
  open: NOT is_closed
where: true
freshness: {column: updated_at}
---
kpi: close_rate
label: Sales closing rate
from: opportunities
where: is_closed
value: |
  count(*) FILTER (WHERE is_won)
    / count(*)
better: higher
by: [region, channel, owner.team, [region, channel]]
grains: [month, quarter]
target: {value: 0.25, warn: 0.22, critical: 0, from: 2025-01-01}
tags: []
window: 365 days
---
kpi: simple
target: 3
value: 1
"#;

#[test]
fn the_language_is_read() {
    let loaded = load_one(EXAMPLE);
    assert_eq!(render_text(&loaded.diagnostics, &loaded.sources, false), "");
    let [first, second, third, fourth] = loaded.documents.as_slice() else { panic!("{:?}", loaded.documents) };
    let (Document::Project(crm), Document::Table(table)) = (&first.document, &second.document) else { panic!() };
    assert_eq!(crm.fiscal_year_starts.as_ref().map(|month| month.value), Some(1));
    let settings: Vec<SettingValue> = crm.settings.iter().map(|(_, value)| value.value.clone()).collect();
    let expected = [
        SettingValue::Integer(365),
        SettingValue::Number(1.10),
        SettingValue::Text("a".to_owned()),
        SettingValue::Boolean(true),
    ];
    assert_eq!(settings, expected);

    assert_eq!(table.condition.as_ref().map(|text| text.value.as_str()), Some("true"));
    assert_eq!(table.primary_key.as_ref().unwrap().items().len(), 2);
    assert_eq!(table.joins.names().collect::<Vec<_>>(), ["account", "owner"]);
    assert_eq!(table.dimensions.get("one").unwrap().expression, "1");
    let size = table.dimensions.get("size").unwrap();
    assert_eq!(at(&loaded, size.expression_span.unwrap()), size.expression);
    assert_eq!(at(&loaded, table.joins.0[1].0.span), "owner");
    assert_eq!(at(&loaded, table.joins.0[1].1.span), "{table: users, on: owner_id = user_id}");

    let (Document::Kpi(rate), Document::Kpi(simple)) = (&third.document, &fourth.document) else { panic!() };
    assert_eq!(at(&loaded, third.span), "close_rate");
    assert_eq!(rate.value.as_ref().unwrap().value, "count(*) FILTER (WHERE is_won)\n  / count(*)\n");
    assert_eq!(at(&loaded, rate.value.as_ref().unwrap().span), "count(*) FILTER (WHERE is_won)\n    / count(*)");
    assert_eq!(rate.better.as_ref().unwrap().value, Better::Higher);
    let by = rate.by.as_ref().unwrap();
    assert_eq!(at(&loaded, by[3].span), "[region, channel]");
    assert_eq!(at(&loaded, by[3].items()[1].span), "channel");
    let target = rate.target.as_ref().unwrap();
    assert_eq!((target.value.value, target.critical.as_ref().unwrap().value), (Some(0.25), 0.0));
    assert_eq!(target.from.as_ref().unwrap().value, "2025-01-01");
    assert_eq!(rate.window.as_ref().unwrap().value, "365 days");
    assert_eq!(simple.target.as_ref().unwrap().value.value, Some(3.0));
    assert_eq!(simple.value.as_ref().unwrap().value, "1");
}

/// A code such as `007` or an amount such as `1.50` is not what YAML makes of it.
#[test]
fn values_of_given_rows_keep_their_text() {
    let project = tempfile::tempdir().unwrap();
    let text = "kpi: a\ntests:\n  - given: {t: [{a: 007, b: 1.50, c: null, d: '', e: yes, f: 2025-01-05, g: }]}\n";
    fs::create_dir(project.path().join("kpis")).unwrap();
    fs::write(project.path().join("kpis/a.yaml"), text).unwrap();
    let loaded = load(project.path()).unwrap();
    let Document::Kpi(kpi) = &loaded.documents[0].document else { panic!("{loaded:?}") };
    let given = kpi.tests.as_ref().unwrap()[0].given.as_ref().unwrap();
    let values = given.get("t").unwrap()[0].iter().map(|(_, value)| value.value.0.as_deref());
    let expected = [Some("007"), Some("1.50"), None, Some(""), Some("yes"), Some("2025-01-05"), None];
    assert_eq!(values.collect::<Vec<_>>(), expected);
}

#[test]
fn values_keep_their_places_however_they_are_written() {
    for (written, value) in [
        ("größe", "größe"),
        ("'it''s'", "it's"),
        ("\"a \\\"b\\\" é\"", "a \"b\" é"),
        ("{not: text}", ""),
        ("a\n  b", "a b"),
        ("a\r\n  b", "a b"),
        ("0x1F", "0x1F"),
        ("1.10", "1.10"),
        ("TRUE", "TRUE"),
        ("2025-01-01", "2025-01-01"),
        ("012", "012"),
        ("1_000", "1_000"),
        ("1e999", ".inf"),
        ("99999999999999999999999", "99999999999999999999999"),
        ("no", "no"),
    ] {
        let loaded = load_one(&format!("# é\r\nkpi: a\r\nlabel: {written}\r\nowner: x\r\n"));
        let Document::Kpi(kpi) = &loaded.documents[0].document else { panic!() };
        match &kpi.label {
            Some(label) => assert_eq!((at(&loaded, label.span), label.value.as_str()), (written, value)),
            None => {
                assert_eq!(at(&loaded, loaded.diagnostics[0].span.unwrap()), written);
                assert_eq!(loaded.documents[0].taken_out, ["label"]);
            }
        }
        assert_eq!(at(&loaded, kpi.owner.as_ref().unwrap().span), "x");
    }
}

#[test]
fn an_alias_has_the_place_of_what_it_stands_for() {
    let loaded = load_one("kpi: &name a\nlabel: *name\ntags: &list [x, y]\nguardrails: *list\n");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let Document::Kpi(kpi) = &loaded.documents[0].document else { panic!() };
    assert_eq!(kpi.label.as_ref().unwrap().span, kpi.kpi.span);
    assert_eq!(at(&loaded, kpi.guardrails.as_ref().unwrap()[1].span), "y");
}

#[test]
fn sql_files_hold_a_header_and_a_query() {
    let text = "/* ---\r\ntable: größe\r\nprimary_key: id\r\n--- */\r\n\r\nSELECT 'é'\r\nFROM x\r\n";
    let folder = project(&[("kpis/sales/deep/x.SQL", text)]);
    let loaded = load(folder.path()).unwrap();
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let [document] = loaded.documents.as_slice() else { panic!() };
    let Document::Table(table) = &document.document else { panic!() };
    assert_eq!(document.folder_tag.as_deref(), Some("sales"));
    assert_eq!(at(&loaded, document.span), "größe");
    let query = table.query.as_ref().unwrap();
    assert_eq!((query.value.as_str(), at(&loaded, query.span)), ("SELECT 'é'\r\nFROM x", "SELECT 'é'\r\nFROM x"));
}

#[test]
fn files_are_found_in_order_and_hidden_ones_skipped() {
    let folder = project(&[
        ("kpis/b.yml", "kpi: b"),
        ("kpis/a/z.yaml", "kpi: z"),
        ("kpis/a.yaml", "kpi: a\n---\nkpi: a2"),
        ("kpis/.hidden.yaml", "kpi: hidden"),
        ("kpis/.git/x.yaml", "kpi: hidden"),
        ("kpis/notes.md", "kpi: note"),
        ("other.yaml", "kpi: outside"),
    ]);
    let loaded = load(folder.path()).unwrap();
    let names: Vec<&str> = loaded.documents.iter().map(|document| at(&loaded, document.span)).collect();
    assert_eq!(names, ["z", "a", "a2", "b"]);
    let paths: Vec<PathBuf> = loaded.sources.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, ["kpis/a/z.yaml", "kpis/a.yaml", "kpis/b.yml"].map(PathBuf::from));
    assert_eq!(loaded.documents[0].folder_tag.as_deref(), Some("a"));
    assert_eq!(loaded.documents[1].folder_tag, None);
}

#[test]
fn the_folder_of_definitions_may_be_named_itself() {
    let folder = project(&[("a.yaml", "kpi: a"), ("sales/b.yaml", "kpi: b")]);
    let loaded = load(folder.path()).unwrap();
    assert_eq!(loaded.root, folder.path());
    let tags: Vec<Option<&str>> = loaded.documents.iter().map(|document| document.folder_tag.as_deref()).collect();
    assert_eq!(tags, [None, Some("sales")]);
}

#[test]
fn a_folder_without_definitions_is_an_error_with_a_hint() {
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path().to_owned(), empty.path().join("nowhere")] {
        let error = load(&path).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
        assert!(error.hint().unwrap().contains("kpi init DIR"));
    }
    let folder = project(&[("kpis/a.yaml", "# nothing yet\n---\n")]);
    let loaded = load(folder.path()).unwrap();
    assert_eq!(loaded.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["empty-project"]);
    assert!(load(&folder.path().join("kpis/a.yaml")).unwrap_err().message().contains("is a file"));
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other() {
    let folder = project(&[("kpis/good.yaml", "kpi: good"), ("kpis/large.yaml", &"# x\n".repeat(300_000))]);
    fs::write(folder.path().join("kpis/latin.yaml"), b"kpi: a\nlabel: gr\xf6\xdfer\n").unwrap();
    fs::create_dir(folder.path().join("kpis/folder.yaml")).unwrap();
    let loaded = load(folder.path()).unwrap();
    assert_eq!(loaded.documents.len(), 1);
    let text = render_text(&loaded.diagnostics, &loaded.sources, false);
    assert_eq!(
        text,
        "\
error[unreadable-file]: cannot read `kpis/large.yaml`: it is larger than 1 MiB, which is too large for definitions
--> kpis/large.yaml
 = hint: definition files are small, readable text files

error[unreadable-file]: cannot read `kpis/latin.yaml`: line 2 is not UTF-8
--> kpis/latin.yaml
 = hint: save the file as UTF-8
"
    );
}

#[cfg(unix)]
#[test]
fn links_stay_inside_the_project() {
    use std::os::unix::fs::symlink;
    let outside = project(&[("secret.yaml", "kpi: secret")]);
    let folder = project(&[("kpis/a.yaml", "kpi: a"), ("shared/b.yaml", "kpi: b")]);
    let kpis = folder.path().join("kpis");
    symlink(outside.path(), kpis.join("out")).unwrap();
    symlink(outside.path().join("secret.yaml"), kpis.join("secret.yaml")).unwrap();
    symlink(folder.path().join("shared"), kpis.join("shared")).unwrap();
    symlink(&kpis, kpis.join("circle")).unwrap();
    symlink(kpis.join("nowhere"), kpis.join("broken.yaml")).unwrap();
    let loaded = load(folder.path()).unwrap();
    let names: Vec<&str> = loaded.documents.iter().map(|document| at(&loaded, document.span)).collect();
    assert_eq!(names, ["a", "b"]);
    let mut messages: Vec<&str> = loaded.diagnostics.iter().map(|d| d.message.as_str()).collect();
    messages.sort();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[0].starts_with("cannot read `kpis/broken.yaml`: the link leads nowhere"));
    assert_eq!(messages[1], "cannot read `kpis/out`: the link leads out of the project");
    assert_eq!(messages[2], "cannot read `kpis/secret.yaml`: the link leads out of the project");
}

#[test]
fn what_is_known_of_broken_documents_is_kept() {
    let text = "table: orders\nsource: 'x\n---\nkpi: a\nvalue: [1] + 2\n---\nkpi: b\nvlaue: 1\n---\nkpi: [c]\n";
    let loaded = load_one(text);
    let broken: Vec<(DocumentKind, &str)> = loaded.broken.iter().map(|b| (b.kind, b.name.as_str())).collect();
    assert_eq!(broken, [(DocumentKind::Table, "orders"), (DocumentKind::Kpi, "a")]);
    assert_eq!(loaded.documents.len(), 1);
    assert_eq!(loaded.documents[0].taken_out, ["vlaue", "value"]);
}

#[test]
fn a_file_full_of_mistakes_ends_soon() {
    let mut text = "kpi: a\n".to_owned();
    for number in 0..5_000 {
        text.push_str(&format!("key_{number}: {number}\n"));
    }
    let loaded = load_one(&text);
    assert_eq!(loaded.diagnostics.len(), 51);
    assert_eq!(loaded.diagnostics[50].code, "too-many-mistakes");
}

/// A linear congruential generator: the same files in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

#[test]
fn no_text_can_break_loading() {
    let pieces = [
        "\n", "\r\n", "\t", " ", "  ", ":", ": ", "- ", "---\n", "...\n", "'", "\"", "[", "]", "{", "}", "{{", "|",
        ">", "#", " #", "&a ", "*a", "!!int ", "%", "@", "`", ",", "?", "<<: ", "~", "é", "日", "\u{feff}", "\0", "\\",
        "/*", "*/", "--- */", "\u{2028}", "\u{85}", "kpi: ", "\\u00", "|2\n", ">-\n",
    ];
    let sql = format!("/* ---\n{}--- */\nSELECT 1\n", &EXAMPLE[EXAMPLE.find("kpi: close").unwrap()..]);
    let mut random = Random(7);
    for round in 0..1_000 {
        let is_sql = round % 4 == 0;
        let mut text = if is_sql { sql.clone() } else { EXAMPLE.to_owned() };
        for _ in 0..=random.below(4) {
            let mut from = random.below(text.len() + 1);
            while !text.is_char_boundary(from) {
                from -= 1;
            }
            let mut to = (from + random.below(12)).min(text.len());
            while !text.is_char_boundary(to) {
                to += 1;
            }
            match random.below(3) {
                0 => text.replace_range(from..to, ""),
                1 => text.insert_str(from, pieces[random.below(pieces.len())]),
                _ => text.replace_range(from..to, pieces[random.below(pieces.len())]),
            }
        }
        let mut sources = Sources::default();
        let file = sources.add("x", text.as_str());
        let mut parts = Parts::default();
        let mut diagnostics = Vec::new();
        read_file(file, &text, is_sql, None, &mut parts, &mut diagnostics);
        render_text(&diagnostics, &sources, false);
        crate::diagnostic::to_json(&diagnostics, &sources);
        for span in diagnostics.iter().filter_map(|d| d.span).chain(parts.documents.iter().map(|d| d.root.span)) {
            assert!(span.start <= span.end && span.end <= text.len(), "{span:?} in {text:?}");
            assert!(text.get(span.start..span.end).is_some(), "{span:?} splits a character of {text:?}");
        }
    }
}

#[test]
fn places_in_sql_lead_back_to_the_file() {
    let sql = "sum(größe) FILTER (WHERE art = 'é') / nullif(count(b), 0)";
    for written in [
        sql.to_owned(),
        format!("\"{sql}\""),
        format!("'{}'", sql.replace('\'', "''")),
        format!("|\n  {}\n", sql.replace(" / ", "\n    / ")),
        format!(">-\n  {}\n\n", sql.replace(" / ", "\n  / ")),
        format!("{}\n", sql.replace(' ', "\n   ")),
        format!("\"{}\"", sql.replace("ö", "\\xf6").replace(" / ", " \\\n    / ")),
        format!("|2-\r\n  {}\r\n", sql.replace(" / ", "\r\n  / ")),
        format!("\n    {sql}\n"),
        format!("&anchor !!str {sql} # comment"),
    ] {
        let loaded = load_one(&format!("kpi: ä\nvalue: {written}\nlabel: x\n"));
        assert!(loaded.diagnostics.is_empty(), "{written:?} {:?}", loaded.diagnostics);
        let Document::Kpi(kpi) = &loaded.documents[0].document else { panic!() };
        let value = kpi.value.as_ref().unwrap();
        let text = &loaded.sources.get(value.span.file).text;
        for word in ["sum", "FILTER", "art", "nullif", "b", "0"] {
            let start = value.value[..value.value.find(word).unwrap()].chars().count();
            let end = start + word.chars().count();
            let span = crate::spec::source_span(text, value.span, &value.value, start, end);
            assert_eq!(at(&loaded, span), word, "{written:?}");
        }
    }
}

/// The KPI or table of a project that includes the catalogue.
fn kpi<'p>(project: &'p LoadedProject, name: &str) -> &'p crate::spec::KpiSpec {
    let found = project.documents.iter().find_map(|document| match &document.document {
        Document::Kpi(kpi) if kpi.kpi.value == name => Some(kpi),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("there is no KPI `{name}`"))
}

fn table<'p>(project: &'p LoadedProject, name: &str) -> &'p crate::spec::TableSpec {
    let found = project.documents.iter().find_map(|document| match &document.document {
        Document::Table(table) if table.table.value == name => Some(table),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("there is no table `{name}`"))
}

#[test]
fn an_included_definition_is_changed_key_by_key() {
    let project = load_one(
        "project: x\ninclude: crm\nsettings: {renewal_days: 7}\n---\n\
         kpi: campaign_cost\noverride: merge\nrename: spend\nlabel: Spend\ntarget: 5\nby:\n---\n\
         table: campaign_costs\noverride: merge\nsource: costs.csv\ncolumns: {amount: {from: Betrag}, cost_type: }\n\
         predicates: {large: amount > 5}\n---\n\
         table: customer_periods\noverride: merge\nsource: customers.csv\n---\n\
         kpi: new_leads\noverride: replace\nvalue: spend\n",
    );
    assert_eq!(render_text(&project.diagnostics, &project.sources, false), "");
    let spend = kpi(&project, "spend");
    assert_eq!(spend.label.as_ref().map(|label| label.value.as_str()), Some("Spend"));
    assert_eq!(spend.from.as_ref().map(|from| from.value.as_str()), Some("campaign_costs"), "the catalogue's stays");
    assert!(spend.by.is_none(), "nothing behind the key takes it away");
    // What refers to it follows, in expressions as in lists.
    let value = |name: &str| kpi(&project, name).value.as_ref().map(|value| value.value.clone()).unwrap_or_default();
    assert_eq!(value("cost_per_lead"), "spend / campaign_leads");
    let guardrails = kpi(&project, "campaign_revenue").guardrails.iter().flatten().map(|name| name.value.as_str());
    assert!(guardrails.into_iter().any(|name| name == "spend"));
    assert_eq!(value("new_leads"), "spend");
    assert!(kpi(&project, "new_leads").label.is_none(), "replaced as a whole");

    let costs = table(&project, "campaign_costs");
    assert_eq!(costs.source.as_ref().map(|source| source.value.as_str()), Some("costs.csv"));
    assert!(costs.csv.is_none(), "how the catalogue's files are written does not hold for others");
    let amount = costs.columns.get("amount").unwrap();
    assert_eq!(amount.from.as_ref().map(|from| from.value.as_str()), Some("Betrag"));
    assert_eq!(amount.data_type.as_ref().map(|name| name.value.as_str()), Some("decimal(18,2)"));
    assert!(costs.columns.get("cost_date").unwrap().format.is_none());
    assert!(costs.columns.get("cost_type").is_none());
    assert!(costs.predicates.get("large").is_some() && costs.joins.get("campaign").is_some());
    let periods = table(&project, "customer_periods");
    assert!(periods.query.is_none() && !periods.dimensions.is_empty());

    let project_spec = project.documents.iter().find_map(|document| match &document.document {
        Document::Project(project) => Some(project),
        _ => None,
    });
    let settings = &project_spec.unwrap().settings;
    assert_eq!(settings.get("renewal_days").map(|value| value.value.clone()), Some(SettingValue::Integer(7)));
    assert!(settings.get("customer_gap_days").is_some());
    assert!(project_spec.unwrap().time_zone.is_none(), "the calendar is the project's own");
}

/// Once, one name was changed after the other: a swap made two KPIs into one.
#[test]
fn new_names_are_given_at_once() {
    let rename = |old: &str, new: &str| format!("---\nkpi: {old}\noverride: merge\nrename: {new}\n");
    let swapped = [rename("gross_profit", "total_revenue"), rename("total_revenue", "gross_profit")];
    let chained = [rename("total_revenue", "gross_profit"), rename("gross_profit", "margin")];
    for (renames, expected) in [(swapped, "total_revenue / gross_profit"), (chained, "margin / gross_profit")] {
        let [first, second] = &renames;
        for text in [format!("{first}{second}"), format!("{second}{first}")] {
            let project = load_one(&format!("project: x\ninclude: crm\n{text}"));
            let rate = kpi(&project, "gross_margin_rate").value.as_ref().map(|value| value.value.as_str());
            assert_eq!(rate, Some(expected), "{text}");
        }
    }
}

/// In a document of the project the names are the project's, wherever it stands.
#[test]
fn own_words_are_not_renamed() {
    let rename = "---\nkpi: gross_profit\noverride: merge\nrename: their_profit\n";
    let own = "---\nkpi: gross_profit\nfrom: orders\nvalue: sum(amount)\n";
    let rate = "---\nkpi: gross_margin_rate\noverride: merge\nvalue: gross_profit / total_revenue\n";
    for text in [format!("{rename}{own}{rate}"), format!("{rate}{own}{rename}")] {
        let project = load_one(&format!("project: x\ninclude: crm\n{text}"));
        assert_eq!(render_text(&project.diagnostics, &project.sources, false), "", "{text}");
        let rate = kpi(&project, "gross_margin_rate").value.as_ref().map(|value| value.value.as_str());
        assert_eq!(rate, Some("gross_profit / total_revenue"), "{text}");
        assert!(kpi(&project, "gross_profit").from.is_some() && kpi(&project, "their_profit").value.is_some());
    }
}

/// A mistake beside the name of the catalogue is told, and nothing else is told because of it.
#[test]
fn a_mistake_beside_the_catalogue_keeps_it_in() {
    let text = "project: x\ninclude: {catalogue: crm, kpi: [close_rate]}\n---\nkpi: close_rate\noverride: merge\ntarget: 0.5\n";
    let project = load_one(text);
    assert_eq!(project.diagnostics.len(), 1);
    assert!(kpi(&project, "close_rate").value.is_some());
}

/// A definition of the project must not give the numbers of the catalogue's.
#[test]
fn of_two_definitions_with_one_name_there_is_none() {
    let project = load_one("project: x\ninclude: crm\n---\nkpi: close_rate\nfrom: deals\nvalue: count(*)\n");
    assert_eq!(project.diagnostics.len(), 1);
    assert_eq!(project.broken, [BrokenDocument { kind: DocumentKind::Kpi, name: "close_rate".into() }]);
    let has_one =
        |document: &LoadedDocument| matches!(&document.document, Document::Kpi(kpi) if kpi.kpi.value == "close_rate");
    assert!(!project.documents.iter().any(has_one));
}

#[test]
fn tables_of_targets_can_be_filled_with_own_ones() {
    let own = "---\ntable: stage_targets\noverride: merge\nsource: mine.csv\n";
    let project = load_one(&format!("project: x\ninclude: crm\n{own}"));
    assert_eq!(render_text(&project.diagnostics, &project.sources, false), "");
    assert_eq!(table(&project, "stage_targets").source.as_ref().map(|source| source.value.as_str()), Some("mine.csv"));
}

#[test]
fn what_changes_nothing_is_a_mistake() {
    for (text, code, hint) in [
        ("project: x\n---\nkpi: a\noverride: merge\nvalue: 1\n", "nothing-to-override", "include: crm"),
        ("project: x\ninclude: crn\n", "unknown-value", "did you mean `crm`?"),
        ("project: x\ninclude: crm\nsettings: {customer_dayz: 9}\n", "unknown-setting", "`customer_days`"),
        ("project: x\ninclude: crm\nsettings: {customer_days: nine}\n", "wrong-type", "the number `365` there"),
        ("project: x\ninclude: crm\n---\nkpi: new_leeds\noverride: merge\n", "nothing-to-override", "`new_leads`"),
        ("project: x\ninclude: crm\n---\nkpi: new_leads\nvalue: 1\n", "duplicate-name", "override: merge"),
        ("project: x\ninclude: crm\n---\nkpi: new_leads\noverride: partly\n", "unknown-value", "`merge` or `replace`"),
        (
            "project: x\ninclude: crm\n---\nkpi: new_leads\noverride: merge\nlabel: A\n---\nkpi: new_leads\noverride: merge\n",
            "duplicate-name",
            "into one document",
        ),
    ] {
        let project = load_one(text);
        let said = render_text(&project.diagnostics, &project.sources, false);
        assert!(said.contains(code) && said.contains(hint), "{text}\n{said}");
        assert_eq!(project.diagnostics.len(), 1, "{said}");
    }
}
