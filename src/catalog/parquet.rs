//! Parquet files as a table. Files that contradict each other are named.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::exec_datafusion_err;
use datafusion::datasource::file_format::parquet::{ParquetFormat, transform_schema_to_view};
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::object_store;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::errors::ParquetError;
use tokio::runtime::Handle;

use super::files::{Found, InputFile, listing_url, locations, unreadable};
use super::unchanged::Unchanged;
use super::{Format, Source, SourceError, SourceOptions, waiting};
use crate::location::{Location, Stores, explain_store_error, open_file};

pub(super) fn open(stores: Stores, found: Found, options: &SourceOptions) -> Result<Source, SourceError> {
    let schema = schemas_agree(&stores, &found.files)?;
    let (locations, ending) = locations(&found, &options.partitions)?;
    let format = ParquetFormat::default();
    // Texts as DataFusion itself would infer them, which reads them fastest.
    let schema = if format.force_view_types() { transform_schema_to_view(&schema) } else { schema };
    let listing = ListingOptions::new(Arc::new(format))
        .with_file_extension(ending)
        .with_table_partition_cols(options.partitions.clone());
    let config =
        ListingTableConfig::new_with_multi_paths(locations).with_listing_options(listing).with_schema(Arc::new(schema));
    let table = ListingTable::try_new(config).map_err(|error| SourceError::unreadable(error.strip_backtrace()))?;
    Ok(Source {
        provider: Arc::new(Unchanged::new(table, found.files.clone())),
        files: found.files,
        format: Format::Parquet,
        suggested_types: Vec::new(),
        empty_columns: Vec::new(),
        stores,
    })
}

/// Files that this process has written, each with all of these columns.
///
/// # Errors
/// Where a path is none.
pub fn parquet_files(paths: &[PathBuf], schema: SchemaRef) -> DataFusionResult<Arc<dyn TableProvider>> {
    let unusable = |error: SourceError| match error {
        SourceError::Absent(message) | SourceError::Unreadable { message, .. } => exec_datafusion_err!("{message}"),
        SourceError::Storage(error) => DataFusionError::External(Box::new(error)),
    };
    let locations = paths
        .iter()
        .map(|path| listing_url(&path.clone().into(), false).map_err(unusable))
        .collect::<DataFusionResult<_>>()?;
    let listing = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(locations).with_listing_options(listing).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Reads every footer, so that a broken file, or one whose column has another type, is named before anything runs.
/// Answers with the columns of all files together: one that only some files have is NULL in the others.
fn schemas_agree(stores: &Stores, files: &[InputFile]) -> Result<Schema, SourceError> {
    let mut known: Vec<(Arc<Schema>, &InputFile)> = Vec::new();
    for (file, schema) in files.iter().zip(read_schemas(stores, files)?) {
        for (other, other_file) in &known {
            for field in schema.fields() {
                let Some((_, before)) = other.column_with_name(field.name()) else { continue };
                if before.data_type() != field.data_type() {
                    return Err(SourceError::unreadable(format!(
                        "column `{}` is {} in `{}` and {} in `{}`",
                        field.name(),
                        before.data_type(),
                        other_file.location,
                        field.data_type(),
                        file.location
                    ))
                    .with_hint("write the files anew with one schema, or move the odd ones to a table of their own"));
                }
            }
        }
        if !known.iter().any(|(other, _)| other == &schema) {
            known.push((schema, file));
        }
    }
    // What writers note about their files says nothing about the columns, and need not agree; nor is a column another one
    // because a file has a NULL in it and those before had none.
    let plain = |field: &FieldRef| field.as_ref().clone().with_metadata(HashMap::new()).with_nullable(true);
    let schemas = known.iter().map(|(schema, _)| Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()));
    Schema::try_merge(schemas).map_err(|error| SourceError::unreadable(error.to_string()))
}

/// How much of some files a few columns take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnSizes {
    pub row_groups: usize,
    /// Of the columns asked for, compressed.
    pub bytes: u64,
}

/// What the footers of some files of a table say of some columns. `None` where the format has no footers, or one cannot be
/// read.
pub async fn column_sizes(source: &Source, files: &[&InputFile], columns: &[String]) -> Option<ColumnSizes> {
    if source.format != Format::Parquet {
        return None;
    }
    let (stores, columns) = (source.stores.clone(), columns.to_vec());
    let files: Vec<InputFile> = files.iter().map(|file| (*file).clone()).collect();
    let of_footers = move || -> Result<ColumnSizes, SourceError> {
        let mut sizes = ColumnSizes::default();
        for footer in each(&files, |file| footer(&stores, file))? {
            for row_group in footer.metadata().row_groups() {
                sizes.row_groups += 1;
                for chunk in row_group.columns() {
                    if chunk.column_path().parts().first().is_some_and(|name| columns.contains(name)) {
                        sizes.bytes += u64::try_from(chunk.compressed_size()).unwrap_or(0);
                    }
                }
            }
        }
        Ok(sizes)
    };
    waiting(of_footers).await.ok()
}

/// The first file that cannot be read to its end, and why. Reads everything, so only for files that already failed.
pub async fn find_broken_file(source: &Source) -> Option<(Location, String)> {
    if source.format != Format::Parquet {
        return None;
    }
    let (stores, files) = (source.stores.clone(), source.files.clone());
    let look = move || {
        let broken = files.iter().find_map(|file| Some((file.location.clone(), read_whole(&stores, file).err()?)));
        Ok(broken)
    };
    waiting(look).await.ok().flatten()
}

fn read_whole(stores: &Stores, file: &InputFile) -> Result<(), String> {
    let opened = open_file(stores, &file.location, file.bytes).map_err(|error| error.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|builder| builder.build());
    let mut reader = reader.map_err(|error| error.to_string())?;
    reader.try_for_each(|rows| rows.map(drop)).map_err(|error| error.to_string())
}

fn read_schemas(stores: &Stores, files: &[InputFile]) -> Result<Vec<SchemaRef>, SourceError> {
    each(files, |file| {
        footer(stores, file).map(|footer| footer.schema().clone()).map_err(|error| match error {
            SourceError::Unreadable { message, hint: None } => {
                SourceError::unreadable(format!("`{}` is no readable Parquet file: {message}", file.location))
                    .with_hint("export the file again; it may have been cut short")
            }
            other => other,
        })
    })
}

fn footer(stores: &Stores, file: &InputFile) -> Result<ArrowReaderMetadata, SourceError> {
    let opened = open_file(stores, &file.location, file.bytes).map_err(|error| unreadable(&file.location, &error))?;
    ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default()).map_err(|error| match error {
        // What a store answered says nothing about the file.
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => match error.downcast::<object_store::Error>() {
                Ok(answer) => explain_store_error("read", &file.location, answer).into(),
                Err(error) => unreadable(&file.location, &error),
            },
            Err(error) => SourceError::unreadable(error.to_string()),
        },
        other => SourceError::unreadable(other.to_string()),
    })
}

/// How many answers of a store are waited for at once.
const AT_ONCE: usize = 32;

/// Looks into each file, those of a store side by side.
fn each<T: Send>(
    files: &[InputFile],
    look: impl Fn(&InputFile) -> Result<T, SourceError> + Sync,
) -> Result<Vec<T>, SourceError> {
    let is_near = files.iter().all(|file| file.location.as_path().is_some());
    if is_near || files.len() < 2 {
        return files.iter().map(look).collect();
    }
    let Ok(handle) = Handle::try_current() else { return files.iter().map(look).collect() };
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Result<T, SourceError>)> {
        // The clients of stores wait inside the runtime.
        let _inside = handle.enter();
        let turns =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|file| *file < files.len()));
        turns.map(|file| (file, look(&files[file]))).collect()
    };
    let mut found: Vec<(usize, Result<T, SourceError>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(files.len())).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    found.sort_by_key(|(file, _)| *file);
    found.into_iter().map(|(_, found)| found).collect()
}
