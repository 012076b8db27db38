//! Parquet files as a table. Files that contradict each other are named.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::exec_datafusion_err;
use datafusion::datasource::file_format::parquet::{ParquetFormat, transform_schema_to_view};
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::Result as DataFusionResult;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use datafusion::prelude::SessionContext;

use super::files::{Found, InputFile, location, locations, unreadable};
use super::{Format, Source, SourceError, SourceOptions};

pub(super) async fn open(
    _context: &SessionContext,
    found: Found,
    options: &SourceOptions,
) -> Result<Source, SourceError> {
    let schema = schemas_agree(&found.files)?;
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
        provider: Arc::new(table),
        files: found.files,
        format: Format::Parquet,
        suggested_types: Vec::new(),
        empty_columns: Vec::new(),
    })
}

/// Files that this process has written, each with all of these columns.
///
/// # Errors
/// Where a path is none.
pub fn parquet_files(paths: &[PathBuf], schema: SchemaRef) -> DataFusionResult<Arc<dyn TableProvider>> {
    let unusable = |error: SourceError| match error {
        SourceError::Absent(message) | SourceError::Unreadable { message, .. } => exec_datafusion_err!("{message}"),
    };
    let locations =
        paths.iter().map(|path| location(path, false).map_err(unusable)).collect::<DataFusionResult<_>>()?;
    let listing = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(locations).with_listing_options(listing).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Reads every footer, so that a broken file, or one whose column has another type, is named before anything runs.
/// Answers with the columns of all files together: one that only some files have is NULL in the others.
fn schemas_agree(files: &[InputFile]) -> Result<Schema, SourceError> {
    let mut known: Vec<(Arc<Schema>, &InputFile)> = Vec::new();
    for file in files {
        let schema = read_schema(file)?;
        for (other, other_file) in &known {
            for field in schema.fields() {
                let Some((_, before)) = other.column_with_name(field.name()) else { continue };
                if before.data_type() != field.data_type() {
                    return Err(SourceError::unreadable(format!(
                        "column `{}` is {} in `{}` and {} in `{}`",
                        field.name(),
                        before.data_type(),
                        other_file.path.display(),
                        field.data_type(),
                        file.path.display()
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
pub fn column_sizes(source: &Source, files: &[&InputFile], columns: &[String]) -> Option<ColumnSizes> {
    if source.format != Format::Parquet {
        return None;
    }
    let mut sizes = ColumnSizes::default();
    for file in files {
        let opened = std::fs::File::open(&file.path).ok()?;
        let footer = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).ok()?;
        for row_group in footer.metadata().row_groups() {
            sizes.row_groups += 1;
            for chunk in row_group.columns() {
                if chunk.column_path().parts().first().is_some_and(|name| columns.contains(name)) {
                    sizes.bytes += u64::try_from(chunk.compressed_size()).unwrap_or(0);
                }
            }
        }
    }
    Some(sizes)
}

/// The first file that cannot be read to its end, and why. Reads everything, so only for files that already failed.
pub fn find_broken_file(source: &Source) -> Option<(PathBuf, String)> {
    if source.format != Format::Parquet {
        return None;
    }
    source.files.iter().find_map(|file| {
        let reason = read_whole(&file.path).err()?;
        Some((file.path.clone(), reason))
    })
}

fn read_whole(path: &Path) -> Result<(), String> {
    let opened = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|builder| builder.build());
    let mut reader = reader.map_err(|error| error.to_string())?;
    reader.try_for_each(|rows| rows.map(drop)).map_err(|error| error.to_string())
}

fn read_schema(file: &InputFile) -> Result<Arc<Schema>, SourceError> {
    let opened = std::fs::File::open(&file.path).map_err(|error| unreadable(&file.path, &error))?;
    let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default()).map_err(|error| {
        SourceError::unreadable(format!("`{}` is no readable Parquet file: {error}", file.path.display()))
            .with_hint("export the file again; it may have been cut short")
    })?;
    Ok(metadata.schema().clone())
}
