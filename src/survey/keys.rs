//! Whether what must be unique is unique in the data: the keys that joins go by, the rows of histories, and targets.
//!
//! It says what is wrong with an example and mends nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Column, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, min};
use datafusion::functions_window::expr_fn::lag;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, lit};
use datafusion::prelude::SessionContext;

use super::ascending::is_ascending;
use super::{date, partners};
use crate::compile::{PERIOD_START, column, day_of, joined_rows, period_of};
use crate::error::{Error, Result};
use crate::execute::{collect, query_error};
use crate::model::{Goal, Model, Target, TargetTable, Validity, below};
use crate::time::Grain;

/// What a join finds its rows by: the primary key of a table, or the keys and the validity of a history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partner {
    pub table: String,
    pub history: Option<(Vec<String>, Validity)>,
}

/// Where the joins of `kpis` lead whose declared key is no key in the data, or whose history overlaps, each with an example;
/// also those that could not be read.
///
/// Such a join would count rows twice, so whatever joins there must not be published.
pub async fn broken_keys(context: &SessionContext, model: &Model, kpis: &BTreeSet<String>) -> BTreeMap<Partner, Error> {
    let reached: BTreeSet<Partner> = below(model, kpis).into_iter().flat_map(|kpi| partners(model, kpi)).collect();
    let mut broken = BTreeMap::new();
    for partner in reached {
        let (found, hint) = match &partner.history {
            None => (
                repeated_key(context, model, &partner.table).await,
                "mend the data, or make one row of each key in a derived table and join to that".to_owned(),
            ),
            Some((keys, validity)) => (
                overlap(context, model, &partner.table, keys, validity).await,
                format!(
                    "mend the data: a row ends (`{}`) where the next one begins (`{}`)",
                    validity.to, validity.from
                ),
            ),
        };
        match found {
            Ok(None) => {}
            Ok(Some(reason)) => {
                let error = Error::execution(format!("a join would count rows twice: {reason}")).with_hint(hint);
                broken.insert(partner, error);
            }
            Err(error) => {
                broken.insert(partner, error);
            }
        }
    }
    broken
}

/// Two rows of a history that are valid at the same time, in words. Of several overlaps one lies between rows that follow
/// each other.
async fn overlap(
    context: &SessionContext,
    model: &Model,
    name: &str,
    keys: &[String],
    validity: &Validity,
) -> Result<Option<String>> {
    let of = |name: &str, column: &str| Expr::Column(Column::new(Some(TableReference::bare(name)), column));
    let keys_of: Vec<Expr> = keys.iter().map(|key| of(name, key)).collect();
    let (from, to) = (of(name, &validity.from), of(name, &validity.to));
    let order: Vec<Sort> = [&from, &to].map(|column| column.clone().sort(true, false)).to_vec();
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let has_key = keys_of.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
        let is_ever_valid = from.clone().lt(to.clone()).or(to.clone().is_null()).and(from.clone().is_not_null());
        let before = |column: &Expr| {
            lag(column.clone(), Some(1), None).partition_by(keys_of.clone()).order_by(order.clone()).build()
        };
        let windows = vec![before(&from)?.alias("#from"), before(&to)?.alias("#to")];
        let both = [validity.from.as_str(), validity.to.as_str()].map(|column| of(name, column));
        let columns = keys_of.iter().cloned().chain([column("#from"), column("#to")]).chain(both);
        joined_rows(model, name, &BTreeSet::new(), None, false)?
            .filter(has_key.and(is_ever_valid))?
            .window(windows)?
            .filter(column("#from").is_not_null().and(column("#to").is_null().or(column("#to").gt(from.clone()))))?
            .sort(keys_of.iter().cloned().map(|key| key.sort(true, false)).chain(order.clone()))?
            .limit(0, Some(1))?
            .project(columns)?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
    let texts = first_row(rows);
    let (of_keys, times) = texts.split_at(keys.len().min(texts.len()));
    let during = |from: &str, to: &str| match to {
        "" => format!("from {from} on"),
        to => format!("from {from} to {to}"),
    };
    let both: Vec<String> = times.chunks_exact(2).map(|times| during(&times[0], &times[1])).collect();
    let example: Vec<String> = keys.iter().zip(of_keys).map(|(key, value)| format!("{key} = {value}")).collect();
    Ok(Some(format!("`{name}` has rows with {} that overlap, {}", example.join(" and "), both.join(" and "))))
}

/// The first row as texts; NULL is empty.
fn first_row(rows: &RecordBatch) -> Vec<String> {
    let text = |column: &ArrayRef| {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()).ok()?;
        Some(formatter.value(0).to_string())
    };
    rows.columns().iter().filter_map(text).collect()
}

/// The KPIs whose table of targets has several rows for one period and member, each with an example; also those whose
/// targets could not be read. One of them would be the target, and nobody could say which.
pub async fn repeated_targets(
    context: &SessionContext,
    model: &Model,
    kpis: &BTreeSet<String>,
) -> BTreeMap<String, Error> {
    let mut broken = BTreeMap::new();
    for kpi in below(model, kpis) {
        let Some(Target { goal: Goal::Table { table, .. }, .. }) = &kpi.target else { continue };
        let grain = kpi.grains.first().copied().unwrap_or(Grain::Month);
        let error = match repeated_target(context, model, table, grain).await {
            Ok(None) => continue,
            Ok(Some(day)) => Error::execution(format!(
                "`{}` has several targets of `{}` for one period and member, such as the period from {day}",
                table.table, kpi.name
            ))
            .with_hint("leave one row for each period and member"),
            Err(error) => error,
        };
        broken.insert(kpi.name.clone(), error);
    }
    broken
}

/// The first period that has several targets for a member.
async fn repeated_target(
    context: &SessionContext,
    model: &Model,
    table: &TargetTable,
    first_grain: Grain,
) -> Result<Option<NaiveDate>> {
    let calendar = &model.project.calendar;
    let own = |name: &str| Expr::Column(Column::new(Some(TableReference::bare(table.table.as_str())), name));
    let grains: Vec<Grain> = if table.has_grain { Grain::ALL.to_vec() } else { vec![first_grain] };
    for grain in grains {
        let plan = || -> datafusion::common::Result<LogicalPlan> {
            let is_asked = if table.has_grain { own("grain").eq(lit(grain.name())) } else { lit(true) };
            let period = period_of(day_of(&table.time, &table.time_type, calendar), grain, calendar);
            let mut groups = vec![period.alias(PERIOD_START)];
            groups.extend(table.dimensions.iter().map(|name| own(name)));
            joined_rows(model, &table.table, &BTreeSet::new(), None, false)?
                .filter(table.time.clone().is_not_null().and(is_asked))?
                .aggregate(groups, vec![count(lit(1_i64)).alias("rows")])?
                .filter(column("rows").gt(lit(1_i64)))?
                .aggregate(Vec::<Expr>::new(), vec![min(column(PERIOD_START)).alias("first")])?
                .build()
        };
        let rows = collect(context, plan().map_err(query_error)?).await?.1;
        if let Some(day) = date(&rows, 0)? {
            return Ok(Some(day));
        }
    }
    Ok(None)
}

/// A key that several rows of a table have, in words.
async fn repeated_key(context: &SessionContext, model: &Model, name: &str) -> Result<Option<String>> {
    let table = model.tables.get(name).ok_or_else(|| Error::internal(format!("no table `{name}`")))?;
    let keys: Vec<Expr> =
        table.primary_key.iter().map(|key| Expr::Column(Column::new(Some(TableReference::bare(name)), key))).collect();
    let has_key = keys.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
    let with_keys = || joined_rows(model, name, &BTreeSet::new(), None, false)?.filter(has_key.clone());
    let only_keys = with_keys().and_then(|rows| rows.project(keys.clone())?.build()).map_err(query_error)?;
    if is_ascending(context, only_keys).await.map_err(query_error)? {
        return Ok(None);
    }
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        with_keys()?
            .aggregate(keys.clone(), vec![count(lit(1_i64)).alias("rows")])?
            .filter(column("rows").gt(lit(1_i64)))?
            .sort(vec![column("rows").sort(false, false)])?
            .limit(0, Some(1))?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
    let texts = first_row(rows);
    let example: Vec<String> =
        table.primary_key.iter().zip(&texts).map(|(key, value)| format!("{key} = {value}")).collect();
    let times = texts.last().cloned().unwrap_or_default();
    Ok(Some(format!(
        "`{name}` has {times} rows with {}, but `{}` is its primary key",
        example.join(" and "),
        table.primary_key.join(", ")
    )))
}
