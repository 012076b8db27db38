//! `CREATE EXTERNAL TABLE`: what DataFusion makes of it, without its traps.
//!
//! A code of CSV such as 007 stays a text, as in CSV in quotes. What a table reads is looked up anew by each statement: files that
//! are gone, or that have other columns by now, are refused and never read as if nothing had happened.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::ViewTable;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::listing::{ListingTable, ListingTableConfig};
use datafusion::datasource::listing_table_factory::ListingTableFactory;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{CreateExternalTable, Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::files::{as_path, csv_source, place_of};
use super::listed::Listed;
use crate::catalog::{CsvOptions, SourceOptions, is_csv};
use crate::diagnostic::nearest;
use crate::error::Error;
use crate::validate::rows_as_they_seem;

/// Makes tables of files.
#[derive(Debug, Default)]
pub(super) struct ExternalTables;

/// The words that statements have for what files hold.
pub(super) const FORMATS: [&str; 4] = ["CSV", "JSON", "PARQUET", "ARROW"];

#[async_trait]
impl TableProviderFactory for ExternalTables {
    async fn create(&self, state: &dyn Session, create: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let mut create = create.clone();
        if create.file_type == "JSON" && !create.options.keys().any(|name| name.ends_with("schema_infer_max_rec")) {
            // What only a late line has is no less there.
            create.options.insert("format.schema_infer_max_rec".to_owned(), i64::MAX.to_string());
        }
        create.locations.iter_mut().for_each(|location| *location = as_path(location));
        let tables = opened(state, &create).await?;
        Ok(Arc::new(External { create, schema: tables.rows.schema(), tables }))
    }
}

/// A table as its files are now.
#[derive(Debug)]
struct Tables {
    rows: Arc<dyn TableProvider>,
    /// Where new rows go.
    files: Arc<dyn TableProvider>,
}

async fn opened(state: &dyn Session, create: &CreateExternalTable) -> Result<Tables> {
    let made = ListingTableFactory::new().create(state, create).await?;
    let (Some(listing), Some(state)) =
        (made.downcast_ref::<ListingTable>(), state.as_any().downcast_ref::<SessionState>())
    else {
        return Ok(Tables { rows: made.clone(), files: made });
    };
    let name = create.locations.join("`, `");
    if listing.options().format.downcast_ref::<CsvFormat>().is_none() {
        refuse_unknown(state, listing, create).await?;
        return Ok(Tables { rows: Arc::new(Listed::new(listing.clone(), &name, true)), files: made });
    }
    if !create.schema.fields().is_empty() {
        refuse_other_order(state, listing, create).await?;
        return Ok(Tables { rows: Arc::new(Listed::new(listing.clone(), &name, true)), files: made });
    }
    let types = types_of(state, listing, create).await?;
    typed(listing, &name, &types)
}

/// How the files are written, where they are named and written as those of a project's tables may be.
fn plain(state: &SessionState, listing: &ListingTable, create: &CreateExternalTable) -> Option<SourceOptions> {
    let format = listing.options().format.downcast_ref::<CsvFormat>()?;
    let is_said = |name: &String| {
        let name = name.to_ascii_lowercase();
        ["delimiter", "quote", "has_header"].contains(&name.strip_prefix("format.").unwrap_or(&name))
    };
    let is_named = |name: &String| is_csv(name) || Path::new(name).extension().is_none();
    let has_header = format.has_header().unwrap_or(state.config_options().catalog.has_header);
    let is_plain = has_header && create.options.keys().all(is_said) && create.locations.iter().all(is_named);
    let csv = CsvOptions { delimiter: Some(format.delimiter()), quote: format.quote(), ..CsvOptions::default() };
    let partitions = listing.options().table_partition_cols.clone();
    (is_plain && create.locations.len() == 1).then_some(SourceOptions { csv, partitions })
}

/// What the columns look like: as those of a project's tables do, or as DataFusion guesses.
async fn types_of(
    state: &SessionState,
    listing: &ListingTable,
    create: &CreateExternalTable,
) -> Result<Vec<(String, DataType)>> {
    match (plain(state, listing, create), create.locations.as_slice()) {
        (Some(options), [location]) => {
            let (place, _) = place_of(location)?;
            Ok(csv_source(state, &place, location, &options).await?.suggested_types)
        }
        _ => {
            let schema = listing.schema();
            let types = schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone()));
            Ok(types.collect())
        }
    }
}

/// A column that no file has would be NULL in every row.
async fn refuse_unknown(state: &SessionState, listing: &ListingTable, create: &CreateExternalTable) -> Result<()> {
    let partitions = &listing.options().table_partition_cols;
    let declared = create.schema.fields().iter().map(|field| field.name());
    let declared: Vec<&String> =
        declared.filter(|name| !partitions.iter().any(|(partition, _)| partition == *name)).collect();
    if declared.is_empty() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    for place in listing.table_paths() {
        let schema = listing.options().infer_schema(state, place).await?;
        known.extend(schema.fields().iter().map(|field| field.name().clone()));
    }
    let Some(unknown) = declared.into_iter().find(|name| !known.contains(*name)) else { return Ok(()) };
    let error = Error::config(format!("the files have no column `{unknown}`"));
    let error = match nearest(unknown, known.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint("leave the columns out, and they are those of the files"),
    };
    Err(DataFusionError::External(Box::new(error)))
}

/// Columns of CSV are found by their place. One that the header has at another place is not what somebody meant.
async fn refuse_other_order(state: &SessionState, listing: &ListingTable, create: &CreateExternalTable) -> Result<()> {
    let (Some(options), [location]) = (plain(state, listing, create), create.locations.as_slice()) else {
        return Ok(());
    };
    let (place, _) = place_of(location)?;
    let Ok(source) = csv_source(state, &place, location, &options).await else { return Ok(()) };
    let header: Vec<&String> = source.suggested_types.iter().map(|(name, _)| name).collect();
    let partitions = &options.partitions;
    let declared = create.schema.fields().iter().map(|field| field.name());
    let declared = declared.filter(|name| !partitions.iter().any(|(partition, _)| partition == *name));
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let moved = declared.enumerate().find(|(place, name)| {
        header.iter().any(|known| same(known, name)) && !header.get(*place).is_some_and(|known| same(known, name))
    });
    match moved {
        None => Ok(()),
        Some((_, name)) => {
            let names: Vec<&str> = header.iter().map(|name| name.as_str()).collect();
            let error = Error::config(format!("the files have `{name}` at another place"))
                .with_hint(format!("columns of CSV are found by their place: write them as {}", names.join(", ")));
            Err(DataFusionError::External(Box::new(error)))
        }
    }
}

/// Rows that are read as texts and typed then.
fn typed(listing: &ListingTable, name: &str, types: &[(String, DataType)]) -> Result<Tables> {
    let partitions = &listing.options().table_partition_cols;
    let with_types = |type_of: &dyn Fn(&Field) -> DataType| {
        let schema = listing.schema();
        let own = schema.fields().iter().filter(|field| !partitions.iter().any(|(name, _)| name == field.name()));
        let fields = own.map(|field| Field::new(field.name(), type_of(field), true));
        let config = ListingTableConfig::new_with_multi_paths(listing.table_paths().clone())
            .with_listing_options(listing.options().clone())
            .with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        ListingTable::try_new(config)
    };
    let texts = Listed::new(with_types(&|_| DataType::Utf8View)?, name, true);
    let rows = ViewTable::new(rows_as_they_seem(Arc::new(texts), types)?, None);
    let schema = rows.schema();
    let files = with_types(&|field| {
        let known = schema.field_with_name(field.name()).map(Field::data_type);
        known.unwrap_or(field.data_type()).clone()
    })?;
    Ok(Tables { rows: Arc::new(rows), files: Arc::new(files) })
}

/// A table that looks its files up again when it is read.
#[derive(Debug)]
struct External {
    create: CreateExternalTable,
    schema: SchemaRef,
    /// As they were when the table was made.
    tables: Tables,
}

#[async_trait]
impl TableProvider for External {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.tables.rows.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let now = opened(state, &self.create).await?.rows;
        let columns = |schema: &SchemaRef| -> Vec<(String, DataType)> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        if columns(&now.schema()) != columns(&self.schema) {
            let error = Error::config(format!("the files of `{}` have other columns by now", self.create.name))
                .with_hint("make the table again, with `CREATE OR REPLACE EXTERNAL TABLE`");
            return Err(DataFusionError::External(Box::new(error)));
        }
        now.scan(state, projection, filters, limit).await
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        how: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.tables.files.insert_into(state, input, how).await
    }
}
