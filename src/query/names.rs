//! What a session has names for: the project's tables, tables of the session's own, published results, and definitions.
//!
//! The project's tables stand beside those that a session makes and cannot be replaced or dropped by it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::TableType;
use datafusion::prelude::SessionContext;

use super::definitions::Definitions;
use super::results::Results;
use super::{DEFINITIONS, RESULTS};
use crate::engine::Engine;
use crate::report::KPI_VALUES;

/// The schemas of a session over a project, in the one catalog that there is.
pub(super) fn catalogs(
    engine: &Arc<Engine>,
    own: &Arc<MemorySchemaProvider>,
    results: &Arc<Results>,
) -> Result<Arc<dyn CatalogProviderList>> {
    let names = engine.context().state().config_options().catalog.clone();
    let home = Home { project: project_tables(engine.context()), own: own.clone(), results: results.clone() };
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(&names.default_schema, Arc::new(home))?;
    catalog.register_schema(RESULTS, results.clone())?;
    catalog.register_schema(DEFINITIONS, Arc::new(Definitions::new(engine.clone())))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(names.default_catalog, Arc::new(catalog));
    Ok(Arc::new(catalogs))
}

/// The schema in which the engine's session has the tables.
fn project_tables(context: &SessionContext) -> Arc<dyn SchemaProvider> {
    let names = context.state().config_options().catalog.clone();
    let catalog = context.catalog(&names.default_catalog);
    let schema = catalog.and_then(|catalog| catalog.schema(&names.default_schema));
    schema.unwrap_or_else(|| Arc::new(MemorySchemaProvider::new()))
}

/// The schema that names without a schema mean.
struct Home {
    project: Arc<dyn SchemaProvider>,
    own: Arc<MemorySchemaProvider>,
    results: Arc<Results>,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table_names()).finish()
    }
}

impl Home {
    /// The table over all results, where there is one.
    fn values(&self) -> Option<String> {
        self.results.table_exist(KPI_VALUES).then(|| KPI_VALUES.to_owned())
    }

    fn is_projects(&self, name: &str) -> bool {
        self.project.table_exist(name)
    }
}

#[async_trait]
impl SchemaProvider for Home {
    fn table_names(&self) -> Vec<String> {
        let names: BTreeSet<String> =
            self.project.table_names().into_iter().chain(self.own.table_names()).chain(self.values()).collect();
        names.into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = self.project.table(name).await? {
            return Ok(Some(table));
        }
        match self.own.table(name).await? {
            None if name == KPI_VALUES => self.results.table(name).await,
            table => Ok(table),
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        match name {
            KPI_VALUES if !self.is_projects(name) && !self.own.table_exist(name) => Ok(Some(TableType::Base)),
            _ => self.table(name).await.map(|table| table.map(|table| table.table_type())),
        }
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.is_projects(&name) {
            true => exec_err!("`{name}` is a table of the project; choose another name"),
            false => self.own.register_table(name, table),
        }
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.is_projects(name) {
            true => exec_err!("`{name}` is a table of the project; only its definition can take it away"),
            false => self.own.deregister_table(name),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.is_projects(name) || self.own.table_exist(name)
    }
}
