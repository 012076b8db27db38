//! Files and folders that a query names in quotes: `SELECT * FROM 'exports/deals.parquet'`, or a URL of an object store.
//!
//! A name without a slash, a dot or a star is never taken for a file. Schemas are looked up at each statement, since files
//! change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use datafusion::catalog::{TableProvider, UrlTableFactory};
use datafusion::common::{DataFusionError, Result, plan_datafusion_err, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableConfigExt, ListingTableUrl,
};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;

use super::listed::{Listed, holds_an_array};
use super::unreadable::with_files;
use crate::catalog::{self, Source, SourceError, SourceOptions, is_csv};
use crate::error::Error;
use crate::location::Location;
use crate::validate::rows_as_they_seem;
use url::Url;

/// Opens what looks like a path or a URL.
#[derive(Default)]
pub(super) struct Files {
    /// How to come by the session, which has this, and which may be gone.
    pub(super) session: OnceLock<Box<dyn Fn() -> Option<SessionState> + Send + Sync>>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

#[async_trait]
impl UrlTableFactory for Files {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let name = as_path(name);
        let name = name.as_str();
        if !looks_like_a_file(name) && !Path::new(name).is_dir() {
            return Ok(None);
        }
        let Some(state) = self.session.get().and_then(|session| session()) else {
            return plan_err!("the session is gone");
        };
        let (place, url) = place_of(name)?;
        let opened = async {
            if is_csv(name) && !name.to_ascii_lowercase().ends_with(".csv") {
                // Such as `.tsv`, which DataFusion does not know.
                return seen(csv_source(&state, &place, name, &SourceOptions::default()).await?);
            }
            let config = ListingTableConfig::new(url.clone());
            let config = match ending_of_lines(name) {
                Some(ending) => config.with_listing_options(
                    ListingOptions::new(Arc::new(JsonFormat::default())).with_file_extension(ending),
                ),
                None => config.infer_options(&state).await?,
            };
            let config = config.infer_partitions_from_path(&state).await?;
            if let Some(options) = config.options.as_ref().filter(|options| options.format.get_ext().starts_with("csv"))
            {
                let partitions = options.table_partition_cols.clone();
                let options = SourceOptions { partitions, ..SourceOptions::default() };
                return seen(csv_source(&state, &place, name, &options).await?);
            }
            let has_arrays = holds_an_array(&state, &place, name).await;
            let config = with_whole_inference(config, has_arrays);
            let config = config.infer_schema(&state).await?;
            if config.file_schema.as_ref().is_some_and(|schema| schema.fields().is_empty()) {
                return plan_err!("`{name}` has no columns");
            }
            let table = Arc::new(Listed::new(ListingTable::try_new(config)?, name, !has_arrays));
            // Whole numbers of few bits get many, as in the tables of a project.
            let rows = rows_as_they_seem(table, &[])?;
            Ok(Arc::new(ViewTable::new(rows, None)) as Arc<dyn TableProvider>)
        };
        opened.await.map(Some).map_err(|error| with_files(explained(name, error), &[name.to_owned()]))
    }
}

fn seen(source: Source) -> Result<Arc<dyn TableProvider>> {
    let rows = rows_as_they_seem(source.provider, &source.suggested_types)?;
    Ok(Arc::new(ViewTable::new(rows, None)))
}

/// A name as a path, where it begins with `~/` for the folder at home or with `file://`.
pub(super) fn as_path(name: &str) -> String {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let path = match (name.strip_prefix("~/"), name.strip_prefix("file://")) {
        (Some(rest), _) => home().map(|home| home.join(rest)),
        (_, Some(_)) => Url::parse(name).ok().and_then(|url| url.to_file_path().ok()),
        _ => None,
    };
    path.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

/// A table has a plain name.
fn looks_like_a_file(name: &str) -> bool {
    name.contains(['/', '.', '*', '\\'])
}

/// What only a late line of JSON has is no less there, so all of them say what the columns are.
fn with_whole_inference(mut config: ListingTableConfig, has_arrays: bool) -> ListingTableConfig {
    if let Some(options) = &mut config.options
        && let Some(json) = options.format.downcast_ref::<JsonFormat>()
    {
        let mut json_options = json.options().clone();
        json_options.schema_infer_max_rec = Some(usize::MAX);
        json_options.newline_delimited &= !has_arrays;
        options.format = Arc::new(JsonFormat::default().with_options(json_options));
    }
    config
}

/// Where a name leads, from the folder that one is in.
pub(super) fn place_of(name: &str) -> Result<(Location, ListingTableUrl)> {
    let here = Location::Local(std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")));
    // What no store is known for is refused here, with what there is instead.
    let place = Location::parse(name, &here).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let url = match &place {
        Location::Local(path) if !name.contains(['*', '?', '[']) && !path.exists() => {
            return plan_err!("there is no file `{name}`");
        }
        // What is there is meant, also where its name looks like a pattern.
        Location::Local(path) if path.exists() => {
            let folder = if path.is_dir() { "/" } else { "" };
            let url = Url::from_file_path(path).map_err(|()| plan_datafusion_err!("`{name}` is no path"))?;
            let url = Url::parse(&format!("{url}{folder}")).map_err(|error| DataFusionError::External(error.into()))?;
            ListingTableUrl::try_new(url, None)?
        }
        Location::Local(path) => ListingTableUrl::parse(path.to_string_lossy())?,
        Location::Remote(_) => ListingTableUrl::parse(name)?,
    };
    Ok((place, url))
}

/// CSV files, read as those of a project's tables are: all with the same columns, and what looks like a number and is a code, such
/// as 007, stays a text.
pub(super) async fn csv_source(
    state: &SessionState,
    place: &Location,
    name: &str,
    options: &SourceOptions,
) -> Result<Source> {
    let context = SessionContext::new_with_state(state.clone());
    // What is there is meant, also where its name looks like a pattern.
    let is_there = place.as_path().is_some_and(Path::exists);
    let source = if is_there { name.replace(['*', '?', '[', ']'], "_") } else { name.to_owned() };
    let mut opened = catalog::open(&context, place, &source, options).await;
    if options.csv.delimiter.is_none() && opened.as_ref().map_or(true, |source| source.suggested_types.len() < 2) {
        // Not everybody divides by commas. What gives several columns everywhere is meant.
        for delimiter in [b';', b'\t', b'|'] {
            let mut options = options.clone();
            options.csv.delimiter = Some(delimiter);
            let divided = catalog::open(&context, place, &source, &options).await;
            if let Some(divided) = divided.ok().filter(|divided| divided.suggested_types.len() > 1) {
                opened = Ok(divided);
                break;
            }
        }
    }
    opened.map_err(|error| {
        let error = match error {
            SourceError::Absent(_) => Error::config(format!("there is no file at `{name}`")),
            SourceError::Unreadable { message, hint } => match hint {
                Some(hint) => Error::config(message).with_hint(hint),
                None => Error::config(message),
            },
            SourceError::Storage(error) => error,
        };
        DataFusionError::External(Box::new(error))
    })
}

/// The ending of a file that says that it holds an object to a line, and that DataFusion does not know.
fn ending_of_lines(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    [".jsonl", ".ndjson"].into_iter().find(|ending| name.ends_with(ending))
}

fn explained(name: &str, error: DataFusionError) -> DataFusionError {
    let text = error.strip_backtrace();
    if text.to_lowercase().contains("no files found")
        || text.contains("at least one file")
        || text.contains("No files exist")
        || text.contains("No files for table")
    {
        let error = Error::config(format!("there is no file at `{name}`"));
        let error = match name.split_once('*') {
            Some((front, rest)) if rest.contains('/') && !name.contains("**") => {
                let last = name.rsplit('/').next().unwrap_or_default();
                error.with_hint(format!("`*` reaches into one folder only, `{front}**/{last}` into all below"))
            }
            _ => error,
        };
        return DataFusionError::External(Box::new(error));
    }
    if text.contains("No file_format found")
        || text.contains("Unable to find factory")
        || text.contains("infer file extension")
        || text.contains("FileFormat")
    {
        return DataFusionError::Plan(format!(
            "what `{name}` holds cannot be told from its ending; it may be .parquet, .csv, .json, .jsonl or .arrow"
        ));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_urls_of_this_machine() {
        assert_eq!(as_path("file:///tmp/a%20b.csv"), "/tmp/a b.csv");
        assert_eq!(as_path("s3://lake/a.csv"), "s3://lake/a.csv");
        assert!(!as_path("~/a.csv").starts_with('~'));
    }
}
