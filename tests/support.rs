//! What the end-to-end tests share: projects in temporary folders, rows as comparable text, and the ways in which one
//! value can be computed. It holds no expectations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::prelude::{CsvReadOptions, SessionContext};
use kpi::compile::{Cell, breakdown};
use kpi::diagnostic::render_text;
use kpi::engine::{Engine, EngineOptions, KpiOutcome, Question, RunOptions, RunReport};
use kpi::model::Kpi;
use kpi::survey::AsOf;

/// Runs a future. Plans of KPIs over KPIs nest deeply, and a debug build needs much stack for each level.
pub fn block_on<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    const STACK: usize = 64 << 20;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_stack_size(STACK).enable_all().build().unwrap();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let running = thread.spawn_scoped(scope, || runtime.block_on(future)).unwrap();
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A project as it is on a day.
pub async fn open(project: &Path, as_of: Option<NaiveDate>) -> Engine {
    let as_of = as_of.map(AsOf::end_of);
    let options = EngineOptions { project: project.to_owned(), as_of, ..EngineOptions::default() };
    Engine::open(&options).await.unwrap()
}

/// What `kpi check` says of a project.
pub fn mistakes(engine: &Engine) -> String {
    render_text(&engine.diagnostics(), engine.sources(), false)
}

/// Computes and publishes everything.
pub async fn run(engine: &Engine) -> Result<RunReport, kpi::error::Error> {
    engine.run(&RunOptions::default(), &|_| {}).await
}

/// Computes everything, whatever has changed, and publishes it.
pub async fn run_anew(engine: &Engine) -> Result<RunReport, kpi::error::Error> {
    engine.run(&RunOptions { force: true, ..RunOptions::default() }, &|_| {}).await
}

/// Writes the files of a project.
pub fn write_files(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_folder(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

/// What `kpi doctor` says of the machine, which is another one tomorrow, replaced by a word.
pub fn without_machine(text: &str) -> String {
    const OF_THE_MACHINE: [&str; 9] = [
        "  query memory:",
        "  threads:",
        "  results:",
        "  spill folder:",
        "    \"memory_bytes\":",
        "    \"output_free_bytes\":",
        "    \"temporary\":",
        "    \"temporary_free_bytes\":",
        "    \"threads\":",
    ];
    let line = |line: &str| match OF_THE_MACHINE.iter().find(|beginning| line.starts_with(**beginning)) {
        Some(beginning) => format!("{beginning} [MACHINE]\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Rows as text. Doubles keep all their digits, NULL is empty.
#[derive(Debug, Clone)]
pub struct Rows {
    pub names: Vec<String>,
    pub types: Vec<DataType>,
    pub cells: Vec<Vec<String>>,
}

impl Rows {
    pub fn of(batch: &RecordBatch) -> Rows {
        let options = FormatOptions::default();
        let columns: Vec<Vec<String>> = (batch.columns().iter())
            .map(|column| {
                let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
                let text = |row| if column.is_null(row) { String::new() } else { formatter.value(row).to_string() };
                (0..batch.num_rows()).map(text).collect()
            })
            .collect();
        Rows {
            names: batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
            types: batch.schema().fields().iter().map(|field| field.data_type().clone()).collect(),
            cells: (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column[row].clone()).collect())
                .collect(),
        }
    }

    pub fn index(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.names))
    }

    /// Some of the columns, sorted by `keys`.
    pub fn select(&self, names: &[String], keys: &[String]) -> Rows {
        let indexes: Vec<usize> = names.iter().map(|name| self.index(name)).collect();
        let keys: Vec<usize> = keys.iter().map(|name| self.index(name)).collect();
        let mut rows: Vec<&Vec<String>> = self.cells.iter().collect();
        rows.sort_by_key(|row| keys.iter().map(|key| &row[*key]).collect::<Vec<_>>());
        Rows {
            names: names.to_vec(),
            types: indexes.iter().map(|index| self.types[*index].clone()).collect(),
            cells: rows.iter().map(|row| indexes.iter().map(|index| row[*index].clone()).collect()).collect(),
        }
    }

    pub fn retain(mut self, keep: impl Fn(&dyn Fn(&str) -> String) -> bool) -> Rows {
        let names = self.names.clone();
        self.cells.retain(|row| {
            let cell = |name: &str| row[names.iter().position(|known| known == name).unwrap()].clone();
            keep(&cell)
        });
        self
    }

    /// Where other rows first differ; doubles may differ by 1e-9 of their size, everything else not at all.
    pub fn difference(&self, other: &Rows) -> Option<String> {
        if self.cells.len() != other.cells.len() {
            return Some(format!("{} rows and {} rows\n{self}\n{other}", self.cells.len(), other.cells.len()));
        }
        for (left, right) in self.cells.iter().zip(&other.cells) {
            for (index, (one, two)) in left.iter().zip(right).enumerate() {
                if one != two && !(self.types[index].is_floating() && are_near(one, two)) {
                    return Some(format!("`{}` is {one:?} and {two:?}\n{left:?}\n{right:?}", self.names[index]));
                }
            }
        }
        None
    }
}

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.names.join(","))?;
        self.cells.iter().take(20).try_for_each(|row| writeln!(f, "{}", row.join(",")))
    }
}

pub fn are_near(one: &str, two: &str) -> bool {
    match (one.parse::<f64>(), two.parse::<f64>()) {
        (Ok(one), Ok(two)) => (one - two).abs() <= 1e-9 * one.abs().max(two.abs()).max(1.0),
        _ => false,
    }
}

/// The rows of a published table.
pub fn read_published(project: &Path, name: &str) -> RecordBatch {
    let path = project.join(format!("out/published/{name}.parquet"));
    let file = fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// Writes the rows of a CSV file as Parquet; the types are what the values look like.
pub async fn write_parquet(csv: &Path, target: &Path) {
    let ending = format!(".{}", csv.extension().unwrap().display());
    let options = CsvReadOptions::new().file_extension(&ending);
    let frame = SessionContext::new().read_csv(csv.to_str().unwrap(), options).await.unwrap();
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    frame.write_parquet(target.to_str().unwrap(), options, None).await.unwrap();
}

/// Every grain of a KPI with every set of its dimensions.
pub fn cells(kpi: &Kpi) -> Vec<Cell> {
    let sets = |grain| kpi.dimension_sets.iter().map(move |set| Cell { grain, dimensions: set.clone() });
    kpi.grains.iter().flat_map(|grain| sets(*grain)).collect()
}

/// The same session without rewriting of logical plans, but for the rules without which `coalesce` and `DISTINCT` cannot
/// run at all.
pub fn without_optimizer(context: &SessionContext) -> SessionContext {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(SimplifyExpressions::new()), Arc::new(ReplaceDistinctWithAggregate::new())];
    let builder = SessionStateBuilder::new_from_existing(context.state()).with_optimizer_rules(rules);
    SessionContext::new_with_state(builder.build())
}

pub async fn query(context: &SessionContext, sql: &str) -> Result<Rows, String> {
    let failed = |error: datafusion::error::DataFusionError| format!("{}\n{sql}", error.strip_backtrace());
    let frame = context.sql(sql).await.map_err(failed)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(failed)?;
    let schema = batches.first().map_or(schema, |batch| batch.schema());
    Ok(Rows::of(&concat_batches(&schema, &batches).unwrap()))
}

/// What a run published, and whether every KPI could be computed.
pub struct Published {
    pub names: BTreeSet<String>,
    pub is_whole: bool,
}

impl Published {
    pub fn by(report: &RunReport) -> Published {
        let is_published = |outcome: &KpiOutcome| matches!(outcome, KpiOutcome::Published { .. });
        let names = report.kpis.iter().filter(|(_, outcome)| is_published(outcome)).map(|(name, _)| name.clone());
        let has_failed = |outcome: &KpiOutcome| matches!(outcome, KpiOutcome::Failed { .. });
        Published { names: names.collect(), is_whole: !report.kpis.iter().any(|(_, outcome)| has_failed(outcome)) }
    }
}

/// Every way to compute a KPI gives what was published: fused and alone, as the plan and as the SQL shown, optimized and
/// not. Returns what differs. Only every `step`th cell is looked at.
pub async fn ways_that_differ(engine: &Engine, project: &Path, published: &Published, step: usize) -> Vec<String> {
    let mut differences = Vec::new();
    // Where a file holds a value that does not fit, only a plan that leaves its column out can run.
    let plain = published.is_whole.then(|| without_optimizer(engine.context()));
    let names = &published.names;
    let mut number = 0;
    let unoptimized = match &plain {
        Some(plain) => fused_without_optimizer(engine, plain, names).await,
        None => Vec::new(),
    };
    for name in names {
        let kpi = engine.model().kpis[name].clone();
        let all = Rows::of(&read_published(project, name));
        match unoptimized.iter().find(|(known, _)| known == name) {
            Some((_, Ok(rows))) => {
                if let Some(difference) = all.difference(rows) {
                    differences.push(format!("{name}: published and without the optimizer: {difference}"));
                }
            }
            Some((_, Err(error))) => differences.push(format!("{name}: without the optimizer: {error}")),
            None if plain.is_some() => differences.push(format!("{name}: not computed without the optimizer")),
            None => {}
        }
        for cell in cells(&kpi) {
            number += 1;
            if number % step != 0 {
                continue;
            }
            let place = format!("{name} by {} {}", cell.grain, breakdown(&cell.dimensions));
            for difference in cell_differences(engine, plain.as_ref(), &all, name, &cell).await {
                differences.push(format!("{place}: {difference}"));
            }
        }
    }
    differences
}

async fn cell_differences(
    engine: &Engine,
    plain: Option<&SessionContext>,
    all: &Rows,
    name: &str,
    cell: &Cell,
) -> Vec<String> {
    let mut differences = Vec::new();
    let question = Question { kpi: name.to_owned(), by: cell.dimensions.clone(), grain: Some(cell.grain), since: None };
    let (grain, breakdown) = (cell.grain.name(), breakdown(&cell.dimensions));
    let fused = all.clone().retain(|column| column("grain") == grain && column("breakdown") == breakdown);
    let keys: Vec<String> = ["period_start".to_owned()].into_iter().chain(cell.dimensions.iter().cloned()).collect();

    let shown = match engine.show(&question).await {
        Ok(answer) => Rows::of(&answer.rows),
        Err(error) => return vec![format!("show: {error}")],
    };
    let columns = shown.names.clone();
    let shown = shown.select(&columns, &keys);
    if let Some(difference) = fused.select(&columns, &keys).difference(&shown) {
        differences.push(format!("published and shown: {difference}"));
    }
    let sql = match engine.sql(&question).await {
        Ok(sql) => sql,
        Err(error) => return vec![format!("sql: {error}")],
    };
    let optimized = Some((engine.context(), "the SQL shown"));
    let contexts = optimized.into_iter().chain(plain.map(|plain| (plain, "the SQL shown, not optimized")));
    for (context, word) in contexts {
        match query(context, &sql).await {
            Err(error) => differences.push(format!("{word}: {error}")),
            Ok(rows) => {
                let columns = rows.names.clone();
                let expected = shown.select(&columns, &keys);
                if let Some(difference) = expected.difference(&rows.select(&columns, &keys)) {
                    differences.push(format!("{word}: {difference}\n{sql}"));
                }
            }
        }
    }
    differences
}

/// How a run over a project that has results differs from one over a copy that has none.
pub async fn differences_from_scratch(project: &Path, scratch: &Path, as_of: NaiveDate) -> Vec<String> {
    let engine = open(project, Some(as_of)).await;
    let report = run(&engine).await.unwrap();
    for part in ["kpis", "data"] {
        copy_folder(&project.join(part), &scratch.join(part));
    }
    let engine = open(scratch, Some(as_of)).await;
    let from_scratch = run(&engine).await.unwrap();
    let mut differences = Vec::new();
    for (name, outcome) in &from_scratch.kpis {
        let now = report.kpis.iter().find(|(other, _)| other == name);
        if now.is_none_or(|(_, now)| now.is_up_to_date() != outcome.is_up_to_date()) {
            differences.push(format!("{name}: {now:?}, and from scratch {outcome:?}"));
        } else if outcome.is_up_to_date() {
            let [now, then] = [project, scratch].map(|project| Rows::of(&read_published(project, name)));
            let difference = now.difference(&then);
            differences.extend(difference.map(|found| format!("{name} is not as from scratch: {found}")));
        }
    }
    differences
}

/// The results of a run whose plans are executed as compiled.
async fn fused_without_optimizer(
    engine: &Engine,
    plain: &SessionContext,
    names: &BTreeSet<String>,
) -> Vec<(String, Result<Rows, String>)> {
    let model = engine.model();
    let survey = kpi::survey::survey(engine.context(), model, names, engine.as_of(), &Default::default()).await;
    let plan = kpi::plan::plan(model, Some(names), &BTreeMap::new());
    let outcomes = kpi::execute::execute_all(plain, model, &plan, engine.as_of().day, &survey.extents).await;
    let as_text = |result: Result<kpi::execute::KpiResult, kpi::error::Error>| match result {
        Ok(result) => Ok(Rows::of(&result.rows)),
        Err(error) => Err(error.to_string()),
    };
    outcomes.into_iter().map(|(name, result)| (name, as_text(result))).collect()
}

/// A period and its members, and what a KPI is worth there.
pub type Values = BTreeMap<(NaiveDate, Vec<Option<String>>), Option<f64>>;

/// The values in published rows.
pub fn read_values(rows: &Rows, set: &[&str]) -> Values {
    let members: Vec<usize> = set.iter().map(|name| rows.index(name)).collect();
    let (period, value) = (rows.index("period_start"), rows.index("value"));
    let member = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    (rows.cells.iter())
        .map(|row| {
            let members = members.iter().map(|index| member(&row[*index])).collect();
            ((row[period].parse().unwrap(), members), row[value].parse().ok())
        })
        .collect()
}

/// Where published values differ from those worked out by hand.
pub fn difference(expected: &Values, found: &Values) -> Option<String> {
    for key in expected.keys().chain(found.keys()) {
        match (expected.get(key), found.get(key)) {
            (Some(None), Some(None)) => {}
            (Some(Some(one)), Some(Some(two))) if are_near(&one.to_string(), &two.to_string()) => {}
            (one, two) => return Some(format!("{key:?} is {one:?} by hand and {two:?} published")),
        }
    }
    None
}
