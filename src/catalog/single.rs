//! One file of a table by itself: a plan over the table, made into the same plan over that file.
//!
//! What a plan is for is not known here.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::files::listing_url;
use crate::location::Location;

/// A plan with all other files left out; `None` where the plan has no scan that reads the file, or several scans.
///
/// # Errors
/// As DataFusion puts plans together.
pub fn over_file(plan: &Arc<dyn ExecutionPlan>, file: &Location) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Ok(url) = listing_url(file, false) else { return Ok(None) };
    let (mut scans, mut found) = (0, 0);
    let only = plan.clone().transform_down(|node| {
        let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
        scans += 1;
        let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else {
            return Ok(Transformed::no(node));
        };
        // A file may lie in several groups, cut into ranges; their number stays, as others have counted on it.
        let only = |group: &FileGroup| {
            let files = group.iter().filter(|part| part.object_meta.location == *url.prefix());
            FileGroup::new(files.cloned().collect())
        };
        let groups: Vec<FileGroup> = config.file_groups.iter().map(only).collect();
        found += usize::from(groups.iter().any(|group| !group.is_empty()));
        let config = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
    })?;
    Ok((scans == 1 && found == 1).then_some(only.data))
}
