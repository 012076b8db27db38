//! Entity by entity: the rows of each entity are brought together first, and the value is made of what comes out.
//!
//! An entity is looked at within each member: by region, it is what its rows in that region make it, as if there were no
//! others. Rows without an entity belong to nobody and are left out.

use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};

use super::aggregate::{key_names, keys, with_columns};
use super::placement::{aggregates, place};
use super::table::{TableLeaves, dimension_keys};
use super::{Cell, Request, column};
use crate::model::{Aggregate, CLOSING, Entities, OPENING, Placement, boundary_column};

pub(super) fn plan(
    leaves: &TableLeaves,
    aggregate: &Aggregate,
    entities: &Entities,
    request: &Request,
) -> Result<LogicalPlanBuilder> {
    let each = one_by_one(leaves, aggregate, entities, request)?.alias("entities")?;
    together(each, aggregate, request.cell)
}

/// One row for each period, member and entity: `period_start`, the dimensions, the entity's keys and columns by name; of two
/// boundaries whether it is there at each, and its columns at each.
pub(super) fn one_by_one(
    leaves: &TableLeaves,
    aggregate: &Aggregate,
    entities: &Entities,
    request: &Request,
) -> Result<LogicalPlanBuilder> {
    let mut all = dimension_keys(aggregate, request.cell)?;
    all.entity = entities.keys.clone();
    let counted = leaves.counted(aggregate, all, &entities.measures, request)?;
    let placed = place(counted, request.placement, leaves.periods(request))?;
    let mut columns = keys(request.cell);
    columns.extend(entities.keys.iter().map(|(name, _)| column(name)));
    match request.placement {
        Placement::Boundaries(_) => {
            for boundary in [OPENING, CLOSING] {
                columns.push(column(boundary).gt(lit(0_i64)).alias(boundary));
                for computed in &entities.columns {
                    let at = with_columns(&computed.expression, |name| Some(column(&boundary_column(boundary, name))))?;
                    columns.push(at.alias(boundary_column(boundary, &computed.name)));
                }
            }
        }
        Placement::Event | Placement::Window(_) | Placement::Stock(_) => {
            columns.extend(entities.columns.iter().map(|computed| computed.expression.clone().alias(&computed.name)));
        }
    }
    placed.project(columns)
}

/// The aggregates of a KPI over rows that have its period, dimensions and columns by name.
pub(super) fn together(rows: LogicalPlanBuilder, aggregate: &Aggregate, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let groups: Vec<Expr> = key_names(cell).map(|name| column(name).alias(name)).collect();
    rows.aggregate(groups, aggregates(&aggregate.measures))
}
