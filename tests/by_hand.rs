//! Every KPI of the catalogue against the same KPI written by hand: plain SQL over the raw files in `data/`, with
//! DataFusion's own readers and functions and none of ours. `tests/catalogue` holds the queries, one for each KPI at its
//! first grain, and some more by a dimension; what columns a query has beside `period_start` and `value` is what it is by.
//! The session is ours in one respect: it has the guards against DataFusion's mistakes, which have tests of their own.
//!
//! The queries follow the formulas of the field, not the definitions in `kpis/`. Nothing here says who is wrong where two
//! values differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::common::config::CsvOptions;
use datafusion::common::parsers::CompressionTypeVariant::{self, GZIP};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use kpi::compile::breakdown;
use kpi::engine::{Engine, EngineOptions};
use kpi::execute::{KpiResult, execute_all};
use kpi::plan::plan;
use kpi::session::{self, SessionOptions};
use kpi::survey::{AsOf, survey};
use kpi::time::Grain;

use crate::support::{Rows, Values, block_on, copy_folder, query, read_values};

/// The last day of the data: everything that ended by then is complete.
const AS_OF: NaiveDate = NaiveDate::from_ymd_opt(2025, 12, 31).unwrap();

#[test]
fn every_kpi_of_the_catalogue_agrees_with_sql_by_hand() {
    let compared = block_on(async {
        let engine = open(root()).await;
        compare_all(engine, raw_tables(&root().join("data")).await).await
    });
    let catalogue = fs::read_to_string(folder().join("kpis.txt")).unwrap();
    let catalogue: BTreeSet<String> = catalogue.lines().map(str::to_owned).collect();
    assert_eq!(catalogue.len(), 106);
    let overall: BTreeSet<String> = compared.into_iter().filter(|query| !query.contains('.')).collect();
    assert_eq!(overall, catalogue);
}

/// The data as it is has little at the edges of windows, late in the evening, deleted or missing. Queries that mistake
/// any of that agree with it all the same; over data that `tests/catalogue/shaken` made worse they do not.
#[test]
fn they_agree_on_worse_data_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    copy_folder(&root().join("kpis"), &project.join("kpis"));
    block_on(async {
        let raw = raw_tables(&root().join("data")).await;
        shake(&raw, &root().join("data"), &project.join("data")).await;
        let engine = open(project).await;
        compare_all(engine, raw_tables(&project.join("data")).await).await
    });
}

async fn open(project: &Path) -> Engine {
    let options = EngineOptions {
        project: project.to_owned(),
        session: one_thread(),
        as_of: Some(AsOf::end_of(AS_OF)),
        ..Default::default()
    };
    Engine::open(&options).await.unwrap()
}

/// The queries that were compared, by the names of their files.
async fn compare_all(engine: Engine, raw: SessionContext) -> BTreeSet<String> {
    let asked = queries().into_iter().map(|file| {
        let raw = raw.clone();
        tokio::spawn(async move { (name_of(&file), query(&raw, &fs::read_to_string(&file).unwrap()).await) })
    });
    let mut by_hand = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        let (name, rows) = asked.await.unwrap();
        let rows = rows.unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_dimension = |name: &&String| !["period_start", "value"].contains(&name.as_str());
        let by: Vec<String> = rows.names.iter().filter(is_dimension).cloned().collect();
        by_hand.push((name, by, rows));
    }
    let computed = compute(&engine, by_hand.iter().map(|(name, by, _)| (kpi_of(name), by))).await;
    let (mut compared, mut differences) = (BTreeSet::new(), String::new());
    for (name, by, rows) in by_hand {
        match compare(&engine, &computed, kpi_of(&name), &by, rows) {
            Ok(()) => drop(compared.insert(name)),
            Err(difference) => differences += &format!("---- {name} {}\n{difference}\n", breakdown(&by)),
        }
    }
    assert!(differences.is_empty(), "{differences}");
    compared
}

/// Computes KPIs at their first grains and for the dimensions asked only, in one go, as a run does.
async fn compute<'a>(
    engine: &Engine,
    asked: impl Iterator<Item = (&'a str, &'a Vec<String>)>,
) -> BTreeMap<String, Result<Rows, String>> {
    let mut sets: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
    asked.for_each(|(kpi, by)| sets.entry(kpi).or_default().push(by.clone()));
    let mut model = engine.model().clone();
    let names: BTreeSet<String> =
        sets.keys().map(|name| (*name).to_owned()).filter(|name| model.kpis.contains_key(name)).collect();
    for (name, sets) in sets {
        if let Some(kpi) = model.kpis.get_mut(name) {
            let mut cut = kpi.as_ref().clone();
            cut.grains.truncate(1);
            cut.dimension_sets = sets;
            *kpi = Arc::new(cut);
        }
    }
    let survey = survey(engine.context(), &model, &names, engine.as_of(), &Default::default()).await;
    let plan = plan(&model, Some(&names), &BTreeMap::new());
    let outcomes = execute_all(engine.context(), &model, &plan, engine.as_of().day, &survey.extents).await;
    let as_text = |result: kpi::error::Result<KpiResult>| match result {
        Ok(result) => Ok(Rows::of(&result.rows)),
        Err(error) => Err(error.to_string()),
    };
    outcomes.into_iter().map(|(name, result)| (name, as_text(result))).collect()
}

/// Where the values of a query and of its KPI differ.
fn compare(
    engine: &Engine,
    computed: &BTreeMap<String, Result<Rows, String>>,
    kpi: &str,
    by: &[String],
    rows: Rows,
) -> Result<(), String> {
    let definition = engine.model().kpis.get(kpi).ok_or("there is no such KPI")?;
    if let Some(missing) = definition.required_dimensions.iter().find(|name| !by.contains(name)) {
        return Err(format!("the query lacks the column `{missing}`"));
    }
    let grain = definition.grains[0];
    let set: Vec<&str> = by.iter().map(String::as_str).collect();
    let found = computed[kpi].clone()?.retain(|column| {
        column("breakdown") == breakdown(by) && column("grain") == grain.name() && column("is_complete") == "true"
    });
    let found = values(found, &set)?;
    let mut expected = values(rows, &set)?;
    // A query groups the rows of the period that is still running as those of any other.
    expected.retain(|(start, _), _| ends_by(*start, grain, AS_OF));
    difference(&expected, &found)?;
    if expected.is_empty() { Err("there is no value".to_owned()) } else { Ok(()) }
}

/// Where there is a value; a period without one and no period at all mean the same here.
fn values(mut rows: Rows, by: &[&str]) -> Result<Values, String> {
    let (period, value) = (rows.index("period_start"), rows.index("value"));
    // `date_trunc` makes an instant of a day.
    rows.cells.iter_mut().for_each(|row| row[period].truncate(10));
    rows.cells.retain(|row| !row[value].is_empty());
    let values = read_values(&rows, by);
    if values.len() < rows.cells.len() {
        return Err("a period and member has more than one row".to_owned());
    }
    Ok(values)
}

fn difference(expected: &Values, found: &Values) -> Result<(), String> {
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut differences = keys.iter().filter_map(|key| {
        let [by_hand, by_kpi] = [expected, found].map(|values| values.get(key).copied().flatten());
        let is_same = match (by_hand, by_kpi) {
            (Some(one), Some(two)) => (one - two).abs() <= 1e-9 * one.abs().max(two.abs()),
            (one, two) => one == two,
        };
        let (start, members) = key;
        (!is_same).then(|| format!("{start} {members:?}: by hand {by_hand:?}, the KPI has {by_kpi:?}"))
    });
    let first: Vec<String> = differences.by_ref().take(5).collect();
    match first.len() + differences.count() {
        0 => Ok(()),
        count => Err(format!("{count} of {} values differ\n{}", keys.len(), first.join("\n"))),
    }
}

fn ends_by(start: NaiveDate, grain: Grain, day: NaiveDate) -> bool {
    let end = match grain {
        Grain::Day => start + chrono::Days::new(1),
        Grain::Week => start + chrono::Days::new(7),
        Grain::Month => start + chrono::Months::new(1),
        Grain::Quarter => start + chrono::Months::new(3),
        Grain::Year => start + chrono::Months::new(12),
    };
    end <= day + chrono::Days::new(1)
}

/// The files of a folder as they lie there, in a session that has none of our functions.
async fn raw_tables(data: &Path) -> SessionContext {
    let context = session::open(&one_thread()).unwrap();
    let known = SessionContext::new().state();
    for name in context.state().scalar_functions().keys() {
        if !known.scalar_functions().contains_key(name) {
            context.deregister_udf(name);
        }
    }
    for table in tables(data) {
        let (name, place) = (table.name.as_str(), table.path.to_str().unwrap());
        let frame = match table.csv {
            None => context.read_parquet(place, ParquetReadOptions::default()).await.unwrap(),
            Some((delimiter, compression)) => {
                let options = CsvReadOptions::new()
                    .delimiter(delimiter)
                    .file_extension(if compression == GZIP { ".csv.gz" } else { ".csv" })
                    .file_compression_type(compression.into());
                context.read_csv(place, options).await.unwrap()
            }
        };
        // Many queries read the same files: once is enough.
        context.register_table(name, frame.cache().await.unwrap().into_view()).unwrap();
    }
    context
}

/// Writes the files of `data` anew, as the queries in `shaken` change them.
async fn shake(raw: &SessionContext, data: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for table in tables(data) {
        let target = target.join(table.path.file_name().unwrap());
        let query = folder().join("shaken").join(format!("{}.sql", table.name));
        let options = DataFrameWriteOptions::new().with_single_file_output(true);
        match (fs::read_to_string(query), table.csv) {
            (Err(_), None) => copy_folder(&table.path, &target),
            (Err(_), Some(_)) => drop(fs::copy(&table.path, &target).unwrap()),
            (Ok(query), None) => {
                // All rows go where the first file of the folder was.
                let first = first_file(&table.path);
                let target = target.join(first.strip_prefix(&table.path).unwrap());
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                let frame = raw.sql(&query).await.unwrap();
                frame.write_parquet(target.to_str().unwrap(), options, None).await.unwrap();
            }
            (Ok(query), Some((delimiter, compression))) => {
                let format =
                    CsvOptions::default().with_has_header(true).with_delimiter(delimiter).with_compression(compression);
                let frame = raw.sql(&query).await.unwrap();
                frame.write_csv(target.to_str().unwrap(), options, Some(format)).await.unwrap();
            }
        }
    }
}

/// The tests run beside others, and what they query is small.
fn one_thread() -> SessionOptions {
    SessionOptions { threads: Some(1), ..SessionOptions::default() }
}

/// A file, or a folder of Parquet files.
struct Table {
    name: String,
    path: PathBuf,
    /// Delimiter and compression.
    csv: Option<(u8, CompressionTypeVariant)>,
}

fn tables(data: &Path) -> Vec<Table> {
    let table = |path: PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let csv = if path.is_dir() {
            None
        } else if file.ends_with(".csv.gz") {
            Some((b',', GZIP))
        } else if file.ends_with(".csv") {
            let is_foreign = fs::read_to_string(&path).unwrap().lines().next().unwrap().contains(';');
            Some((if is_foreign { b';' } else { b',' }, CompressionTypeVariant::UNCOMPRESSED))
        } else {
            return None;
        };
        Some(Table { name: file.split('.').next().unwrap().to_owned(), path, csv })
    };
    fs::read_dir(data).unwrap().filter_map(|entry| table(entry.unwrap().path())).collect()
}

fn first_file(folder: &Path) -> PathBuf {
    let first = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    if first.is_dir() { first_file(&first) } else { first }
}

fn name_of(file: &Path) -> String {
    file.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The queries `close_rate` and `close_rate.by_region` are both about `close_rate`.
fn kpi_of(name: &str) -> &str {
    name.split('.').next().unwrap()
}

fn queries() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "sql")).collect();
    files.sort();
    files
}

fn folder() -> PathBuf {
    root().join("tests/catalogue")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
