//! KPIs that are one query: a SELECT that names `period`, the dimensions and `value`.
//!
//! The engine places the period: `period(order_date)` becomes the period of the grain that is asked. A dimension that is not
//! asked for is left out of SELECT and GROUP BY, so that one query answers every breakdown. What the query does otherwise is
//! its own affair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart,
    Query as SqlQuery, Select, SelectItem, SetExpr, Statement as SqlStatement, Value, VisitMut, VisitorMut,
};
use futures::FutureExt;
use std::ops::ControlFlow;

use super::expression::{Order, as_meant, walk};
use super::kpis::{Context, RESULT_COLUMNS, Shaped, reserved};
use super::queries::{find_word, invalid_query, parse_query, unrepeatable, used_tables};
use super::tables::State;
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, nearest};
use crate::functions::{calendar_arguments, local_date, period_start};
use crate::model::{DENOMINATOR, Dimension, NUMERATOR, OBSERVATIONS, PERIOD_START, Query, QueryPlans, Shape, VALUE};
use crate::session;
use crate::spec::{KpiSpec, Spanned};
use crate::time::Grain;

/// The column and the function that place a row in its period.
const PERIOD: &str = "period";
/// With so many dimensions every combination of them is prepared.
const COMBINED_AT_MOST: usize = 3;

pub(super) fn query(
    context: &Context,
    spec: &KpiSpec,
    sql: &Spanned<String>,
    grains: &[Grain],
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    misplaced_keys(spec, problems);
    let Some(statement) = parse_query(context.language, sql, problems) else { return Shaped::Broken };
    let tables = used_tables(context.session, &statement);
    for name in &tables {
        match context.tables.states.get(name) {
            Some(State::Ready(_)) => {}
            Some(State::Absent(reason)) => return Shaped::Skipped(format!("table `{name}` has no data: {reason}")),
            Some(State::Broken) => return Shaped::Broken,
            None => {
                let diagnostic = Diagnostic::error("unknown-table", format!("there is no table `{name}`"))
                    .at(find_word(context.language, sql, name));
                problems.add(match nearest(name, context.table_specs.keys().map(String::as_str)) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic.hint("a KPI reads the project's tables"),
                });
                return Shaped::Broken;
            }
        }
    }
    let Some(parts) = parts(context, spec, sql, &statement, problems) else { return Shaped::Broken };
    if let (Some(minimum), false) = (&spec.minimum_n, parts.has_observations) {
        problems.add(
            Diagnostic::error(
                "query-columns",
                "`minimum_n` needs the number of observations, and the query has no `n`",
            )
            .at(minimum.span)
            .hint("add it to the query, such as `count(*) AS n`"),
        );
    }
    for dimension in &parts.dimensions {
        if RESULT_COLUMNS.contains(&dimension.to_lowercase().as_str()) || dimension.contains([',', '"']) {
            let place = find_word(context.language, sql, dimension);
            let plain = dimension.to_lowercase().replace([',', '"'], "_");
            let reserved = reserved(&Spanned::new(dimension.clone(), place), "in the query");
            problems.add(reserved.hint(format!("give it another name in the query: `{dimension} AS my_{plain}`")));
        }
    }
    let known = |name: &Spanned<String>| parts.dimensions.contains(&name.value);
    let wanted: Vec<Spanned<String>> = spec.by.iter().flatten().flat_map(|set| set.items()).collect();
    for name in wanted.iter().chain(spec.required_dimensions.iter().flatten()).filter(|name| !known(name)) {
        let diagnostic =
            Diagnostic::error("unknown-dimension", format!("the query names no dimension `{}`", name.value))
                .at(name.span);
        problems.add(match nearest(&name.value, parts.dimensions.iter().map(String::as_str)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("its dimensions are the columns of its SELECT beside `period` and `value`"),
        });
    }
    if problems.count() > before {
        return Shaped::Broken;
    }
    match prepared(context, spec, sql, &parts, tables, grains) {
        Ok((query, value_type)) => {
            problems.is_number(&value_type, sql.span);
            match problems.count() > before {
                true => Shaped::Broken,
                false => Shaped::Ready(Shape::Query(Box::new(query)), value_type),
            }
        }
        Err(diagnostic) => {
            problems.add(*diagnostic);
            Shaped::Broken
        }
    }
}

fn misplaced_keys(spec: &KpiSpec, problems: &mut Problems) {
    for (key, span) in [
        ("from", spec.from.as_ref().map(|key| key.span)),
        ("time", spec.time.as_ref().map(|key| key.span)),
        ("where", spec.condition.as_ref().map(|key| key.span)),
        ("value", spec.value.as_ref().map(|key| key.span)),
        ("fill", spec.fill.as_ref().map(|key| key.span)),
        ("window", spec.window.as_ref().map(|key| key.span)),
        ("to_date", spec.to_date.as_ref().map(|key| key.span)),
        ("stock", spec.stock.as_ref().map(|key| key.span)),
        ("at", spec.at.as_ref().map(|key| key.span)),
        ("per", spec.per.as_ref().map(|key| key.span)),
        ("conversion", spec.conversion.as_ref().map(|key| key.span)),
        ("count_on", spec.count_on.as_ref().map(|key| key.span)),
        ("funnel", spec.funnel.as_ref().map(|key| key.span)),
        ("cohort", spec.cohort.as_ref().map(|key| key.span)),
        ("columns", spec.columns.iter().next().map(|(name, _)| name.span)),
        ("inputs", spec.inputs.iter().next().map(|(name, _)| name.span)),
        ("composite", spec.composite.iter().next().map(|(name, _)| name.span)),
    ] {
        let Some(span) = span else { continue };
        problems.add(
            Diagnostic::error("misplaced-key", format!("`{key}` has no meaning beside a query, which says it itself"))
                .at(span)
                .hint("write it into the query, or write the KPI without one"),
        );
    }
}

/// A query taken apart.
struct Parts {
    query: SqlQuery,
    /// The names of its columns that are dimensions, in order.
    dimensions: Vec<String>,
    has_ratio: bool,
    has_observations: bool,
}

fn parts(
    context: &Context,
    spec: &KpiSpec,
    sql: &Spanned<String>,
    statement: &Statement,
    problems: &mut Problems,
) -> Option<Parts> {
    let refuse = |message: &str, hint: &str| Diagnostic::error("query-columns", message).at(sql.span).hint(hint);
    let Statement::Statement(statement) = statement else { return None };
    let SqlStatement::Query(query) = statement.as_ref() else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else {
        problems.add(refuse(
            "the query of a KPI is one SELECT, and this is several put together",
            "write `SELECT ... FROM (...) AS rows GROUP BY ...` around them",
        ));
        return None;
    };
    let mut names = Vec::new();
    for item in &select.projection {
        match name_of(item) {
            Some(name) => names.push(name),
            None => {
                problems.add(refuse(
                    &format!("`{item}` has no name"),
                    "name every column, such as `count(*) AS value`; `*` does not say which are dimensions",
                ));
                return None;
            }
        }
    }
    for needed in [PERIOD, VALUE] {
        if !names.iter().any(|name| name == needed) {
            problems.add(refuse(
                &format!("the query has no column `{needed}`"),
                "such as `SELECT period(order_date) AS period, region, sum(amount) AS value FROM orders GROUP BY ALL`",
            ));
            return None;
        }
    }
    let mut query = query.as_ref().clone();
    let mut placed = 0;
    for_each_period(&mut query, &mut |_| placed += 1);
    if placed == 0 {
        problems.add(
            Diagnostic::error("query-columns", "the query does not place its rows in periods")
                .at(find_word(context.language, sql, PERIOD))
                .hint("write `period(order_date) AS period`: the engine puts in the grain that is asked"),
        );
        return None;
    }
    let has = |name: &str| names.iter().any(|known| known == name);
    if has(NUMERATOR) != has(DENOMINATOR) {
        let (there, missing) = if has(NUMERATOR) { (NUMERATOR, DENOMINATOR) } else { (DENOMINATOR, NUMERATOR) };
        problems.add(refuse(
            &format!("the query has a column `{there}` and no `{missing}`"),
            "name both sides of the ratio, or neither",
        ));
        return None;
    }
    let (has_ratio, has_observations) = (has(NUMERATOR) && has(DENOMINATOR), has(OBSERVATIONS));
    let of_result = [PERIOD, VALUE, NUMERATOR, DENOMINATOR, OBSERVATIONS];
    let dimensions: Vec<String> = names.iter().filter(|name| !of_result.contains(&name.as_str())).cloned().collect();
    let required = super::kpis::names(&spec.required_dimensions);
    if dimensions.iter().any(|name| !required.contains(name)) && !groups_plainly(select) {
        problems.add(refuse(
            "no dimension can be left out of this query: it does not group by a plain GROUP BY alone",
            "aggregate with `GROUP BY ALL`, and put DISTINCT, OVER and grouping sets into a table (a `.sql` file); or make \
             all its dimensions `required_dimensions`",
        ));
        return None;
    }
    Some(Parts { query, dimensions, has_ratio, has_observations })
}

/// Whether a dimension can be taken out of SELECT and GROUP BY, and what is left is the value of the whole.
fn groups_plainly(select: &Select) -> bool {
    let is_plain = match &select.group_by {
        GroupByExpr::All(modifiers) => modifiers.is_empty(),
        GroupByExpr::Expressions(groups, modifiers) => {
            let is_set =
                |group: &SqlExpr| matches!(group, SqlExpr::GroupingSets(_) | SqlExpr::Rollup(_) | SqlExpr::Cube(_));
            !groups.is_empty() && modifiers.is_empty() && !groups.iter().any(is_set)
        }
    };
    let mut has_window = false;
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) = item {
            // Nothing is changed and no visit fails.
            let _ = walk(&mut expr.clone(), Order::WholeFirst, &mut |sql| {
                has_window |= matches!(sql, SqlExpr::Function(function) if function.over.is_some());
                Ok(())
            });
        }
    }
    is_plain && !has_window && select.distinct.is_none()
}

fn name_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(as_meant(alias)),
        SelectItem::UnnamedExpr(SqlExpr::Identifier(name)) => Some(as_meant(name)),
        SelectItem::UnnamedExpr(SqlExpr::CompoundIdentifier(parts)) => parts.last().map(as_meant),
        _ => None,
    }
}

/// Visits every call of `period(...)`, also in parts of the query.
fn for_each_period(query: &mut SqlQuery, visit: &mut dyn FnMut(&mut SqlExpr)) {
    struct Periods<'f> {
        visit: &'f mut dyn FnMut(&mut SqlExpr),
    }
    impl VisitorMut for Periods<'_> {
        type Break = ();
        fn post_visit_expr(&mut self, sql: &mut SqlExpr) -> ControlFlow<()> {
            if let SqlExpr::Function(function) = sql
                && function.name.to_string().eq_ignore_ascii_case(PERIOD)
            {
                (self.visit)(sql);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Periods { visit });
}

/// The query planned for every grain and every set of dimensions that it can be asked for.
fn prepared(
    context: &Context,
    spec: &KpiSpec,
    sql: &Spanned<String>,
    parts: &Parts,
    tables: BTreeSet<String>,
    grains: &[Grain],
) -> Result<(Query, DataType), Box<Diagnostic>> {
    let invalid = |error| Box::new(invalid_query(context.language, sql, &error));
    let schemas = tables.iter().filter_map(|name| Some((name.as_str(), context.tables.ready(name)?.schema.clone())));
    let by_name = session::without_rows(context.session, schemas).map_err(invalid)?;
    let finest = grains.iter().min().copied().unwrap_or(Grain::Month);
    let mut plans = BTreeMap::new();
    let mut dimensions = BTreeMap::new();
    let mut value_type = DataType::Float64;
    for set in sets(spec, &parts.dimensions) {
        for grain in Grain::ALL.into_iter().filter(|grain| *grain >= finest) {
            let asked = asked(context, &parts.query, grain, &set);
            let plan = |session: &SessionContext| -> Result<LogicalPlan, Box<Diagnostic>> {
                let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(asked.clone()))));
                let state = session.state();
                // Every table is at hand, so nothing is waited for.
                let planned = state.statement_to_plan(statement).now_or_never().ok_or_else(|| {
                    Box::new(Diagnostic::error("invalid-query", "the query cannot be planned at once").at(sql.span))
                })?;
                let plan = planned.map_err(invalid)?;
                if let Some(function) = unrepeatable(&plan) {
                    return Err(Box::new(
                        Diagnostic::error("not-repeatable", format!("`{function}` gives another answer at each run"))
                            .at(find_word(context.language, sql, &function))
                            .hint("a KPI must be computed again with the same result; use a column instead"),
                    ));
                }
                Ok(plan)
            };
            let rows = session::with_types(context.state, plan(context.session)?).map_err(invalid)?;
            for (name, field) in rows.schema().fields().iter().map(|field| (field.name(), field)) {
                if name == PERIOD && !matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(_, _)) {
                    return Err(Box::new(
                        Diagnostic::error(
                            "wrong-type",
                            format!("`period` is a date, but this is {}", typing::type_name(field.data_type())),
                        )
                        .at(sql.span)
                        .hint("write `period(order_date) AS period`"),
                    ));
                }
                if name == VALUE {
                    value_type = field.data_type().clone();
                }
                if set.contains(name) {
                    let expression = Expr::Column(Column::from_name(name));
                    let dimension =
                        Dimension { expression, data_type: field.data_type().clone(), joins: BTreeSet::new() };
                    dimensions.insert(name.clone(), dimension);
                }
            }
            let finished = |plan: LogicalPlan| finished(plan).map(Arc::new).map_err(invalid);
            let plans_of_grain = QueryPlans { rows: finished(rows)?, by_name: finished(plan(&by_name)?)? };
            plans.insert((grain, set.clone()), plans_of_grain);
        }
    }
    let Parts { has_ratio, has_observations, .. } = *parts;
    Ok((Query { tables, dimensions, plans, has_ratio, has_observations }, value_type))
}

/// The period under the name that results have.
fn finished(plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    let columns: Vec<Expr> = (plan.schema().iter())
        .map(|(qualifier, field)| {
            let own = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match field.name().as_str() {
                PERIOD => cast(own, DataType::Date32).alias(PERIOD_START),
                name => own.alias(name),
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan)
        .alias("query")?
        .project(columns.into_iter().map(unqualified).collect::<Vec<_>>())?
        .build()
}

/// The same expression over the columns of the query, whatever they are called inside it.
fn unqualified(expression: Expr) -> Expr {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let bare = |node: Expr| match node {
        Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
        other => Transformed::no(other),
    };
    let fallback = expression.clone();
    expression.transform(|node| Ok(bare(node))).map_or(fallback, |bare| bare.data)
}

/// Every set of dimensions that is prepared: all combinations of few, else those that the definition names.
fn sets(spec: &KpiSpec, dimensions: &[String]) -> BTreeSet<BTreeSet<String>> {
    let mut sets = BTreeSet::from([BTreeSet::new(), dimensions.iter().cloned().collect()]);
    if dimensions.len() <= COMBINED_AT_MOST {
        for name in dimensions {
            let with: Vec<BTreeSet<String>> =
                sets.iter().map(|set: &BTreeSet<String>| set.iter().cloned().chain([name.clone()]).collect()).collect();
            sets.extend(with);
        }
        return sets;
    }
    let required: BTreeSet<String> = spec.required_dimensions.iter().flatten().map(|name| name.value.clone()).collect();
    sets.insert(required.clone());
    for set in spec.by.iter().flatten() {
        sets.insert(set.items().into_iter().map(|name| name.value).chain(required.iter().cloned()).collect());
    }
    sets.extend(dimensions.iter().map(|name| BTreeSet::from([name.clone()])));
    sets
}

/// The query at a grain, without the dimensions that are not asked for.
fn asked(context: &Context, query: &SqlQuery, grain: Grain, dimensions: &BTreeSet<String>) -> SqlQuery {
    let mut query = query.clone();
    let calendar = &context.project.calendar;
    for_each_period(&mut query, &mut |sql| {
        let SqlExpr::Function(function) = sql else { return };
        let FunctionArguments::List(list) = &mut function.args else { return };
        let text = |text: &str| unnamed(SqlExpr::Value(Value::SingleQuotedString(text.to_owned()).into()));
        list.args.push(text(calendar.time_zone.name()));
        let mut outer = function.clone();
        function.name = named(local_date().name());
        let mut arguments = vec![unnamed(SqlExpr::Function(function.clone())), text(grain.name())];
        arguments.extend(calendar_arguments(calendar, grain).into_iter().map(|argument| match argument.try_as_str() {
            Some(word) => text(word.unwrap_or_default()),
            None => unnamed(SqlExpr::Value(Value::Number(argument.to_string(), false).into())),
        }));
        outer.name = named(period_start().name());
        if let FunctionArguments::List(list) = &mut outer.args {
            list.args = arguments;
        }
        *sql = SqlExpr::Function(outer);
    });
    query.order_by = None;
    if let SetExpr::Select(select) = query.body.as_mut() {
        leave_out(select, dimensions);
    }
    query
}

/// Leaves dimensions out of SELECT, and what groups by them out of GROUP BY.
fn leave_out(select: &mut Select, kept: &BTreeSet<String>) {
    let of_result = [PERIOD, VALUE, NUMERATOR, DENOMINATOR, OBSERVATIONS];
    let is_kept = |item: &SelectItem| {
        name_of(item).is_some_and(|name| of_result.contains(&name.as_str()) || kept.contains(&name))
    };
    let items = select.projection.clone();
    let expression = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => Some(expr.clone()),
        _ => None,
    };
    if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
        for group in groups.iter_mut() {
            // A number is the column at that place, which may be another one soon.
            if let SqlExpr::Value(value) = group
                && let Value::Number(number, _) = &value.value
                && let Some(item) =
                    number.to_string().parse::<usize>().ok().and_then(|place| items.get(place.wrapping_sub(1)))
                && let Some(expression) = expression(item)
            {
                *group = expression;
            }
        }
        let is_left_out = |group: &SqlExpr| {
            items.iter().filter(|item| !is_kept(item)).any(|item| {
                let (of_group, of_item) = (last_name(group), expression(item).as_ref().and_then(last_name));
                let by_name = of_group.is_some() && (of_group == of_item || of_group == name_of(item));
                by_name || expression(item).as_ref() == Some(group)
            })
        };
        groups.retain(|group| !is_left_out(group));
    }
    select.projection.retain(is_kept);
}

/// The column that an expression is nothing but, whatever is written in front of it.
fn last_name(sql: &SqlExpr) -> Option<String> {
    match sql {
        SqlExpr::Identifier(name) => Some(name.value.to_lowercase()),
        SqlExpr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.to_lowercase()),
        _ => None,
    }
}

fn named(name: &str) -> ObjectName {
    ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))])
}

fn unnamed(sql: SqlExpr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(sql))
}
