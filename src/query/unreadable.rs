//! Files that turn out to be damaged while they are read: which ones a message has to name.
//!
//! DataFusion says what is wrong inside, and not where.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Error;

/// So many files are named.
const NAMED: usize = 3;

/// An error of what files hold, with their names. Any other stays as it is.
pub(super) fn with_files(error: DataFusionError, files: &[String]) -> DataFusionError {
    let reason = match error.find_root() {
        DataFusionError::ParquetError(inner) => inner.to_string(),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::JsonError(text)
            | ArrowError::CsvError(text)
            | ArrowError::ParquetError(text)
            | ArrowError::IpcError(text) => text.clone(),
            _ => return error,
        },
        _ => return error,
    };
    let names = match files {
        [] => return error,
        [only] => format!("`{only}`"),
        several => {
            let shown: Vec<String> = several.iter().take(NAMED).map(|file| format!("`{file}`")).collect();
            let more = several.len() - shown.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("one of {}{more}", shown.join(", "))
        }
    };
    const LAYERS: [&str; 3] = ["Parquet error: ", "Arrow: ", "Json error: "];
    let mut reason = reason.lines().next().unwrap_or_default();
    while let Some(inner) = LAYERS.iter().find_map(|layer| reason.strip_prefix(layer)) {
        reason = inner;
    }
    DataFusionError::External(Box::new(Error::execution(format!("{names} cannot be read: {reason}"))))
}

/// The files that a plan reads, as people would name them from where they are.
pub(super) fn files_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut files = Vec::new();
    gather(plan, &mut files);
    files.sort();
    files.dedup();
    files
}

fn gather(plan: &Arc<dyn ExecutionPlan>, files: &mut Vec<String>) {
    let scan = plan.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref());
    if let Some(scan) = scan {
        let scan: &FileScanConfig = scan;
        let store = scan.object_store_url.as_str();
        let here = std::env::current_dir().unwrap_or_default();
        for file in scan.file_groups.iter().flat_map(|group| group.files()) {
            let key = file.object_meta.location.as_ref();
            files.push(match store.strip_prefix("file://") {
                Some(_) => {
                    let path = Path::new("/").join(key);
                    path.strip_prefix(&here).unwrap_or(&path).display().to_string()
                }
                None => format!("{store}{key}"),
            });
        }
    }
    plan.children().into_iter().for_each(|child| gather(child, files));
}
