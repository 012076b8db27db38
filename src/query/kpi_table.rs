//! A KPI as a table: the rows that `kpi show` computes, with all columns that published rows have.
//!
//! They are computed when a query reads them, not when it is planned or explained. What the query asks of `period_start`
//! limits what is computed, and changes no value.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, ScalarValue, project_schema};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use futures::stream;

use crate::compile::PERIOD_START;
use crate::engine::{Engine, Question};
use crate::time::from_epoch_days;

/// The rows that answer a question.
#[derive(Clone)]
pub(super) struct KpiTable {
    pub(super) engine: Arc<Engine>,
    pub(super) question: Question,
    pub(super) schema: SchemaRef,
}

impl fmt::Debug for KpiTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Question { kpi, by, grain, since } = &self.question;
        write!(f, "kpi {kpi}")?;
        if !by.is_empty() {
            write!(f, " by {}", by.join(", "))?;
        }
        if let Some(grain) = grain {
            write!(f, ", {grain}")?;
        }
        since.map_or(Ok(()), |since| write!(f, ", since {since}"))
    }
}

#[async_trait]
impl TableProvider for KpiTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Rows of earlier periods may come all the same.
        let support = |filter: &&Expr| match first_day(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = self.clone();
        rows.question.since = filters.iter().filter_map(first_day).chain(rows.question.since).max();
        Ok(Arc::new(KpiExec::new(rows, projection)?))
    }
}

/// The first day that a condition lets through, if it is one about where periods start.
fn first_day(filter: &Expr) -> Option<NaiveDate> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let Expr::Column(column) = left.as_ref() else { return None };
    let Expr::Literal(ScalarValue::Date32(Some(day)), _) = right.as_ref() else { return None };
    let begins = matches!(op, Operator::GtEq | Operator::Gt | Operator::Eq);
    from_epoch_days(*day).filter(|_| begins && column.name == PERIOD_START)
}

/// Computes the rows once they are read.
#[derive(Debug)]
struct KpiExec {
    table: KpiTable,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl KpiExec {
    fn new(table: KpiTable, projection: Option<&Vec<usize>>) -> Result<KpiExec> {
        let schema = project_schema(&table.schema, projection)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(KpiExec { table, projection: projection.cloned(), properties: Arc::new(properties) })
    }
}

impl DisplayAs for KpiExec {
    fn fmt_as(&self, form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match form {
            DisplayFormatType::TreeRender => write!(f, "{:?}", self.table),
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "KpiExec: {:?}", self.table),
        }
    }
}

impl ExecutionPlan for KpiExec {
    fn name(&self) -> &'static str {
        "KpiExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (table, projection) = (self.table.clone(), self.projection.clone());
        let rows = stream::once(async move {
            let rows = table.compute().await?;
            match projection {
                Some(projection) => Ok(rows.project(&projection)?),
                None => Ok(rows),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.properties.eq_properties.schema().clone(), rows)))
    }
}

impl KpiTable {
    async fn compute(&self) -> Result<RecordBatch> {
        let KpiTable { engine, question, schema } = self;
        let answer = engine.show(question).await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let columns = schema.fields().iter().map(|field| {
            let column = answer.rows.column_by_name(field.name());
            let column = column.filter(|column| column.data_type() == field.data_type());
            column.cloned().ok_or_else(|| {
                let (kpi, name, data_type) = (&question.kpi, field.name(), field.data_type());
                DataFusionError::Internal(format!("the rows of `{kpi}` have no `{name}` of type {data_type}"))
            })
        });
        Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<_>>>()?)?)
    }
}
