//! Whether keys are seen to be unique without remembering them: each is larger than the one before it, as the tables of
//! customers, users or products are mostly written.
//!
//! It only ever says "yes, surely". Keys in another order may be unique all the same; to find that out is for others.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::TryStreamExt;

/// Whether the rows of a plan come in stretches within which each is larger than the one before it, and which do not
/// overlap: then no two rows are alike. It ends with the first row that is not larger.
///
/// # Errors
/// As DataFusion reads the rows.
pub(super) async fn is_ascending(context: &SessionContext, plan: LogicalPlan) -> Result<bool> {
    let physical = DataFrame::new(context.state(), plan).create_physical_plan().await?;
    let schema = physical.schema();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = Arc::new(RowConverter::new(fields.collect())?);
    let streams = execute_stream_partitioned(physical, context.task_ctx())?;
    let looks = streams.into_iter().map(|stream| SpawnedTask::spawn(stretches(stream, converter.clone())));
    let looks: Vec<SpawnedTask<_>> = looks.collect();
    let mut all = Vec::new();
    for look in looks {
        let found = look.await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
        let Some(found) = found? else { return Ok(false) };
        all.extend(found);
    }
    all.sort();
    Ok(all.windows(2).all(|pair| pair[0].1 < pair[1].0))
}

/// The first and the last key of a stretch.
type Stretch = (OwnedRow, OwnedRow);

/// The ascending stretches of a stream, as few as there can be; `None` where a row is not larger than the one before it
/// within a batch.
async fn stretches(
    mut stream: SendableRecordBatchStream,
    converter: Arc<RowConverter>,
) -> Result<Option<Vec<Stretch>>> {
    let mut found: Vec<Stretch> = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        if batch.num_rows() == 0 {
            continue;
        }
        let Some((first, last)) = stretch(&batch, &converter)? else { return Ok(None) };
        match found.last_mut() {
            // Batches of one file follow each other.
            Some((_, end)) if *end < first => *end = last,
            _ => found.push((first, last)),
        }
    }
    Ok(Some(found))
}

fn stretch(batch: &RecordBatch, converter: &RowConverter) -> Result<Option<Stretch>> {
    let rows = converter.convert_columns(batch.columns())?;
    let ascends = (1..rows.num_rows()).all(|row| rows.row(row - 1) < rows.row(row));
    Ok(ascends.then(|| (rows.row(0).owned(), rows.row(rows.num_rows() - 1).owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::datasource::MemTable;

    async fn says(partitions: &[&[&[(i64, &str)]]]) -> bool {
        let batch = |rows: &&[(i64, &str)]| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
            RecordBatch::try_from_iter([("a", numbers), ("b", texts)]).unwrap()
        };
        let partitions: Vec<Vec<RecordBatch>> =
            partitions.iter().map(|batches| batches.iter().map(batch).collect()).collect();
        let table = MemTable::try_new(partitions[0][0].schema(), partitions).unwrap();
        let context = SessionContext::new();
        let plan = context.read_table(Arc::new(table)).unwrap().into_unoptimized_plan();
        is_ascending(&context, plan).await.unwrap()
    }

    #[tokio::test]
    async fn only_what_ascends_is_surely_unique() {
        assert!(says(&[&[&[(1, "a"), (1, "b"), (2, "a")], &[(2, "b")]], &[&[(5, "")], &[]]]).await);
        assert!(says(&[&[&[(5, "a")], &[(1, "a"), (2, "a")]]]).await, "files in another order");
        assert!(says(&[&[&[]]]).await, "nothing is there twice");
        assert!(!says(&[&[&[(1, "a"), (1, "a")]]]).await, "twice in a batch");
        assert!(!says(&[&[&[(1, "a")], &[(1, "a")]]]).await, "twice in two batches");
        assert!(!says(&[&[&[(1, "a"), (3, "a")]], &[&[(2, "a")]]]).await, "stretches overlap, so nobody knows");
        assert!(!says(&[&[&[(1, "a"), (3, "a")]], &[&[(3, "a"), (4, "a")]]]).await, "twice in two partitions");
        assert!(!says(&[&[&[(2, "a"), (1, "a")]]]).await, "another order, so nobody knows");
    }
}
