//! SQL over a project: its tables, its published results, its definitions, files named in the query, and KPIs themselves.
//!
//! A session keeps what its statements make: tables, views and settings. A statement runs on a runtime of its own choice, so
//! that whoever waits for it stays able to act: to show how far it is, or to give it up. Nothing here prints, and nothing
//! that a statement does reaches the project's definitions or its results.

pub mod complete;
mod copy;
mod definitions;
mod external;
mod files;
mod interruption;
mod kpi_function;
mod kpi_table;
mod listed;
mod meter;
mod mistakes;
mod names;
mod objects;
mod parameters;
mod refused;
mod results;
mod script;
mod types;
mod unreadable;
pub mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{DynamicFileCatalog, MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::config::Dialect;
use datafusion::common::format::ExplainFormat;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{DdlStatement, Documentation, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::copy::{beside, store_as_named};
use self::external::{ExternalTables, FORMATS};
use self::files::Files;
use self::interruption::{Interruption, PutGates, interruptible, without_gates};
use self::kpi_function::KpiRelations;
pub use self::kpi_function::{ARGUMENTS, KPI_FUNCTION};
pub use self::meter::{Measured, Meter};
pub use self::mistakes::{Failure, Written};
use self::mistakes::{Known, failure, or_failure};
pub use self::objects::Objects;
use self::parameters::with_parameters;
pub use self::parameters::{Parameter, Parameters, TYPES, read_parameter};
use self::refused::{refuse, refuse_words, writes};
use self::results::Results;
pub use self::script::{End, Piece, Script, read_script};
pub use self::types::sql_type;
use self::unreadable::{files_of, with_files};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::location::Replacement;

/// The schema of published results.
pub const RESULTS: &str = "results";
/// The schema of what the project defines.
pub const DEFINITIONS: &str = "definitions";
/// The table that holds the last result, where a session keeps one.
pub const LAST: &str = "_";

/// Statements over one project, one after the other.
pub struct QuerySession {
    engine: Arc<Engine>,
    context: SessionContext,
    /// Tables that statements made.
    own: Arc<MemorySchemaProvider>,
    parameters: Arc<RwLock<Parameters>>,
    /// Why there is no table of the last result, where that has a reason.
    without_last: RwLock<Option<String>>,
    results: Arc<Results>,
    runtime: Handle,
}

/// What a statement gives, in this order: its columns, once, and then its rows.
#[derive(Debug)]
pub enum Step {
    /// No columns where a statement gives no rows, such as `CREATE TABLE`.
    Columns(SchemaRef),
    Rows(RecordBatch),
}

/// A statement that runs. Dropping it ends it.
pub struct Running {
    steps: mpsc::Receiver<std::result::Result<Step, Failure>>,
    task: JoinHandle<()>,
    meter: Arc<OnceLock<Meter>>,
    interruption: Interruption,
    /// Whether the last step was seen.
    is_over: bool,
}

impl Running {
    /// What comes next; nothing once all is there, or it has failed.
    pub async fn next(&mut self) -> Option<std::result::Result<Step, Failure>> {
        let step = self.steps.recv().await;
        if step.is_none() && !self.is_over {
            // Steps also end where the task breaks off, and then they are not all. Who stops waiting here can wait again.
            let ended = (&mut self.task).await;
            self.is_over = true;
            if let Err(error) = ended {
                let broken = Error::internal("the statement broke off, so its rows are not all there");
                return Some(Err(broken.with_source(error).into()));
            }
        }
        step
    }

    /// How far it is, once it is planned.
    pub fn measure(&self) -> Option<Measured> {
        self.meter.get().map(Meter::measure)
    }

    /// Ends it, and waits until nothing of it is left.
    pub async fn end(mut self) {
        self.interruption.interrupt();
        self.task.abort();
        // Whoever waits to hand over rows stops waiting.
        self.steps.close();
        if !self.is_over {
            let _ = (&mut self.task).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.interruption.interrupt();
        self.task.abort();
    }
}

impl QuerySession {
    /// A session over a project, whose statements run on `runtime`.
    ///
    /// # Errors
    /// `Internal` where DataFusion refuses a name.
    pub fn open(engine: Arc<Engine>, runtime: Handle) -> Result<QuerySession> {
        QuerySession::with_own(engine, runtime, Arc::new(MemorySchemaProvider::new()), Parameters::new(), None)
    }

    fn with_own(
        engine: Arc<Engine>,
        runtime: Handle,
        own: Arc<MemorySchemaProvider>,
        parameters: Parameters,
        config: Option<SessionConfig>,
    ) -> Result<QuerySession> {
        let internal = |error: datafusion::common::DataFusionError| {
            Error::internal("the session could not be made").with_source(error)
        };
        let parameters = Arc::new(RwLock::new(parameters));
        let files = Arc::new(Files::default());
        let results = Arc::new(Results::new(engine.clone()));
        let catalogs = names::catalogs(&engine, &own, &results).map_err(internal)?;
        let catalogs = Arc::new(DynamicFileCatalog::new(catalogs, files.clone()));
        let state = engine.context().state();
        let config = config.unwrap_or_else(|| {
            let mut config = state.config().clone().with_create_default_catalog_and_schema(false);
            config.options_mut().explain.format = ExplainFormat::Tree;
            config
        });
        let mut factories = state.table_factories().clone();
        for format in FORMATS {
            factories.insert(format.to_owned(), Arc::new(ExternalTables));
        }
        let rules = state.physical_optimizers().iter().cloned().chain([Arc::new(PutGates) as _]).collect();
        let state = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_catalog_list(catalogs)
            .with_physical_optimizer_rules(rules)
            .with_table_factories(factories)
            .build();
        let context = SessionContext::new_with_state(state);
        let weak = context.state_weak_ref();
        let state = move || weak.upgrade().map(|state| state.read().clone());
        let _ = files.session.set(Box::new(state));
        let relations = KpiRelations { engine: engine.clone(), parameters: parameters.clone() };
        context.register_relation_planner(Arc::new(relations)).map_err(internal)?;
        Ok(QuerySession { engine, context, own, parameters, without_last: RwLock::new(None), results, runtime })
    }

    /// The same session over the project as it is read now. Tables that statements made stay, and so do parameters and settings;
    /// views read what they were made over.
    ///
    /// # Errors
    /// As [`QuerySession::open`].
    pub fn reopened(&self, engine: Arc<Engine>) -> Result<QuerySession> {
        let config = self.context.state().config().clone();
        QuerySession::with_own(engine, self.runtime.clone(), self.own.clone(), self.parameters(), Some(config))
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    pub fn parameters(&self) -> Parameters {
        self.parameters.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the `$name` of statements a value, or takes it away.
    pub fn set_parameter(&self, name: String, value: Option<Parameter>) {
        let mut parameters = self.parameters.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => parameters.insert(name, value),
            None => parameters.remove(&name),
        };
    }

    /// Keeps the rows of the last statement as the table `_`.
    ///
    /// # Errors
    /// `Internal` where the rows do not have these columns.
    pub fn keep_last(&self, schema: &SchemaRef, rows: Vec<RecordBatch>) -> Result<()> {
        let internal = |error| Error::internal("the last result cannot be kept").with_source(error);
        let table = MemTable::try_new(schema.clone(), vec![rows]).map_err(internal)?;
        self.forget_last(None);
        self.own.register_table(LAST.to_owned(), Arc::new(table)).map_err(internal)?;
        Ok(())
    }

    /// Forgets them; `why` is told to whoever asks for the table.
    pub fn forget_last(&self, why: Option<String>) {
        let _ = self.own.deregister_table(LAST);
        *self.without_last.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The stores that its URLs lead to.
    pub fn objects(&self) -> Objects {
        Objects { stores: self.context.runtime_env().object_store_registry.clone() }
    }

    /// Looks at which results are published now, so that their names are known.
    ///
    /// # Errors
    /// As the store of results cannot be read.
    pub async fn look_at_results(&self) -> Result<()> {
        self.results.look().await.map_err(crate::execute::query_error)
    }

    /// A table by its name, if there is one.
    pub async fn table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.context.table_provider(name).await.ok()
    }

    /// The schemas with their tables, as far as they are known without a look at the store of results.
    pub fn tables(&self) -> Vec<(String, Vec<String>)> {
        let state = self.context.state();
        let names = &state.config_options().catalog;
        let Some(catalog) = self.context.catalog(&names.default_catalog) else { return Vec::new() };
        let mut schemas: Vec<String> = catalog.schema_names();
        schemas.sort_by_key(|name| (*name != names.default_schema, name.clone()));
        let tables = |schema: &String| {
            let mut tables = catalog.schema(schema).map(|schema| schema.table_names()).unwrap_or_default();
            tables.sort();
            tables
        };
        schemas.into_iter().map(|schema| (schema.clone(), tables(&schema))).collect()
    }

    /// Every function by its name in small letters, also by its other names, with what is known of it.
    pub fn functions(&self) -> BTreeMap<String, Option<Documentation>> {
        let state = self.context.state();
        let window = state.window_functions().iter().map(|(name, known)| (name, known.documentation()));
        let aggregate = state.aggregate_functions().iter().map(|(name, known)| (name, known.documentation()));
        let scalar = state.scalar_functions().iter().map(|(name, known)| (name, known.documentation()));
        // The last one of a name stays.
        let all = window.chain(aggregate).chain(scalar);
        all.map(|(name, known)| (name.to_lowercase(), known.cloned())).collect()
    }

    fn known(&self) -> Known {
        let home = self.context.state().config_options().catalog.default_schema.clone();
        let tables = self.tables().into_iter().flat_map(|(schema, tables)| {
            let is_home = schema == home;
            tables.into_iter().map(move |table| if is_home { table } else { format!("{schema}.{table}") })
        });
        Known {
            has_results: self.results.is_any(),
            tables: tables.collect(),
            functions: self.functions().into_keys().collect(),
        }
    }

    /// Bytes that statements hold now.
    pub fn reserved(&self) -> usize {
        self.context.runtime_env().memory_pool.reserved()
    }

    /// Begins a statement.
    pub fn run(self: &Arc<Self>, written: Written) -> Running {
        let (sender, steps) = mpsc::channel(2);
        let meter = Arc::new(OnceLock::new());
        let interruption = Interruption::default();
        let (session, watched, gates) = (self.clone(), meter.clone(), interruption.clone());
        let task = self.runtime.spawn(async move {
            if let Err(failure) = session.work(&written, &sender, &watched, gates).await {
                // Whoever asked may be gone.
                let _ = sender.send(Err(failure)).await;
            }
        });
        Running { steps, task, meter, interruption, is_over: false }
    }

    /// Plans a statement and runs it to its end, or until nobody waits for its rows any more.
    async fn work(
        &self,
        written: &Written,
        sender: &mpsc::Sender<std::result::Result<Step, Failure>>,
        meter: &OnceLock<Meter>,
        interruption: Interruption,
    ) -> std::result::Result<(), Failure> {
        let state = self.context.state();
        self.results.forget();
        let failed = |error| self.failure(error, written);
        let mut statement = state.sql_to_statement(&written.sql(), &Dialect::Generic).map_err(failed)?;
        refuse_words(&statement, written)?;
        if let Statement::CopyTo(copy) = &mut statement {
            store_as_named(copy);
        }
        if written.text.to_ascii_lowercase().contains("information_schema") {
            // Results are among the tables, as far as the store can be asked.
            let _ = self.results.look().await;
        }
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        let plan = or_failure(with_parameters(plan, &self.parameters()), written)?;
        refuse(&plan, self, written)?;
        let stores = self.context.runtime_env().object_store_registry.clone();
        let (plan, replacement) = beside(plan, &stores).await?;
        // What is explained is shown as it is, without gates.
        let is_gated = match &plan {
            LogicalPlan::Explain(_) => false,
            LogicalPlan::Analyze(analyze) => analyze.format == ExplainFormat::Indent,
            _ => true,
        };
        let is_analyzed = is_gated && matches!(plan, LogicalPlan::Analyze(_));
        let writes = writes(&plan);
        let named = match &plan {
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(create)) => create.locations.clone(),
            _ => Vec::new(),
        };
        let planned = async {
            // Some statements are done by then.
            let frame = self.context.execute_logical_plan(plan).await?;
            frame.create_physical_plan().await
        };
        let planned = if is_gated { interruptible(interruption, planned).await } else { planned.await };
        let physical = planned.map_err(|error| failed(with_files(error, &named)))?;
        let _ = meter.set(Meter::of(&physical));
        // A writer's complaints are not about the files that are read.
        let plan = physical.clone();
        let failed = |error| {
            let files = if writes { Vec::new() } else { files_of(&plan) };
            self.failure(with_files(error, &files), written)
        };
        if sender.send(Ok(Step::Columns(physical.schema()))).await.is_err() {
            return Ok(());
        }
        let mut rows = execute_stream(physical, self.context.task_ctx()).map_err(failed)?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            let batch = if is_analyzed { without_gates(&batch).map_err(failed)? } else { batch };
            if sender.send(Ok(Step::Rows(batch))).await.is_err() {
                return Ok(());
            }
        }
        Ok(replacement.map_or(Ok(()), Replacement::put)?)
    }

    /// Whether a name means a table of the project.
    fn is_project_table(&self, name: &TableReference) -> bool {
        name.schema().is_none_or(|schema| schema == self.context.state().config_options().catalog.default_schema)
            && self.engine.context().table_exist(TableReference::bare(name.table())).unwrap_or(false)
    }

    fn failure(&self, error: datafusion::common::DataFusionError, written: &Written) -> Failure {
        let failure = failure(error, written, &self.known());
        let is_about_last =
            matches!(&failure, Failure::Mistake(mistake, _) if mistake.message == "there is no table `_`");
        let why = self.without_last.read().unwrap_or_else(PoisonError::into_inner).clone();
        match failure {
            Failure::Mistake(mut mistake, sources) if is_about_last => {
                mistake.hint = Some(why.unwrap_or_else(|| "there is no result yet to look at again".to_owned()));
                Failure::Mistake(mistake, sources)
            }
            other => other,
        }
    }
}
