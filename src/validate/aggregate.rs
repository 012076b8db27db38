//! KPIs over a table: its time, filter, dimensions and value, each typed against the rows; how rows come to periods.
//!
//! What a KPI makes of its rows before they are aggregated is checked in `subject`. A definition whose keys do not go together is
//! refused here, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;

use super::expression::{Language, Namespace, Parsed, Unresolved, list, resolve};
use super::kpis::{Context, Shaped, as_dimension, dimension, reserved};
use super::length::length;
use super::measures::{measured_schema, take_measures};
use super::subject::{self, Subjected};
use super::tables::State;
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::model::{
    Aggregate, At, ComputedColumn, JoinPath, Measure, Placement, ROWS, Shape, Stock, Subject, Value, Window,
};
use crate::spec::{CountOn, Fill, KpiSpec, Spanned};
use crate::time::Grain;

pub(super) fn aggregate(
    context: &Context,
    spec: &KpiSpec,
    table: &Spanned<String>,
    grains: &[Grain],
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    misplaced_keys(spec, problems);
    match table_state(context, table, problems) {
        Ok(()) => {}
        Err(shaped) => return shaped,
    }
    let table_name = table.value.as_str();
    let mut rows = Rows::of(context, table_name);
    let default_time = context.table_specs.get(table_name).and_then(|table| table.time.as_ref());
    let time_text = spec.stock.as_ref().map(|stock| &stock.from).or(spec.time.as_ref()).or(default_time);
    let time = match time_text {
        Some(time) => rows.time(time, if spec.stock.is_some() { "`from`" } else { "`time`" }, problems),
        None => {
            problems.add(
                Diagnostic::error(
                    "missing-key",
                    format!("KPI `{}` has no `time`, and table `{table_name}` has none either", spec.kpi.value),
                )
                .at(spec.kpi.span)
                .hint("name the date or timestamp that places a row in a period, such as `time: created_at`"),
            );
            None
        }
    };
    let condition = spec.condition.as_ref().and_then(|condition| rows.condition(condition, "`where`", problems));
    let placement = placement(&mut rows, spec, grains, problems);
    let mut dimensions = BTreeMap::new();
    let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
    let built_in = subject::built_in_dimension(spec);
    for name in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
        if built_in.as_ref().is_some_and(|(built_in, _)| *built_in == name.value) {
            continue;
        }
        match dimension(context, table_name, &name) {
            Ok(dimension) => {
                dimensions.insert(name.value.clone(), dimension);
            }
            Err(Unresolved::Missing { table }) => rows.missing = Some(table),
            Err(Unresolved::Mistake(diagnostic)) => problems.add(as_dimension(context, *diagnostic, &name, table_name)),
            Err(Unresolved::Elsewhere) => return Shaped::Broken,
        }
    }
    let subjected = subject::subject(&mut rows, spec, time.as_ref(), &placement, grains, problems);
    if let Some(missing) = rows.missing {
        return match context.tables.states.get(&missing) {
            Some(State::Absent(reason)) => Shaped::Skipped(format!("table `{missing}` has no data: {reason}")),
            Some(State::Ready(_) | State::Broken) | None => Shaped::Broken,
        };
    }
    let (Some((time, time_type)), Some(subjected), Some(placement)) = (time, subjected, placement) else {
        return Shaped::Broken;
    };
    let Subjected { subject, value, value_type, measures, value_span, further_joins } = subjected;
    let mut joins = rows.joins;
    joins.extend(further_joins);
    if let Some((name, dimension)) = built_in {
        dimensions.insert(name.to_owned(), dimension);
    }
    finer_than_table(context, table_name, grains, spec, problems);
    problems.is_number(&value_type, value_span);
    if problems.count() > before {
        return Shaped::Broken;
    }
    let of_entity = |name: &&String| {
        spec.columns.get(name).is_some() || spec.per.iter().any(|per| per.items().iter().any(|key| key.value == **name))
    };
    if let Some(name) = dimensions.keys().find(of_entity) {
        let place = spec.columns.iter().find(|(column, _)| column.value == *name).map(|(column, _)| column.span);
        problems.add(
            Diagnostic::error(
                "reserved-name",
                format!("`{name}` is a dimension of this KPI and tells of an entity as well"),
            )
            .at(place.or(spec.per.as_ref().map(|per| per.span)).unwrap_or(value_span))
            .hint("give the column another name, or leave the dimension out"),
        );
        return Shaped::Broken;
    }
    let is_count = |expression: &Expr| match expression {
        Expr::Column(column) => {
            measures.iter().any(|measure| measure.name == column.name && measure.function.is_count())
        }
        _ => false,
    };
    let ratio = typing::ratio(&value);
    let observations = match &ratio {
        Some((_, denominator)) if is_count(denominator) => denominator.clone(),
        _ => Expr::Column(Column::from_name(ROWS)),
    };
    // A conversion that counts in its own period is placed by its own time.
    let (time, time_type) = match &subject {
        Subject::Conversions(conversions)
            if spec.count_on.as_ref().is_some_and(|on| on.value == CountOn::Conversion) =>
        {
            subject::conversion_time(conversions)
        }
        _ => (time, time_type),
    };
    let time_name = time_text.map(|time| time.value.clone()).unwrap_or_default();
    let aggregate = Aggregate {
        table: table_name.to_owned(),
        time,
        time_type,
        time_name,
        joins,
        condition,
        placement,
        subject,
        measures,
        value: Value { expression: value, ratio, observations },
        dimensions,
        fill_zero: spec.fill.as_ref().is_some_and(|fill| fill.value == Fill::Zero),
    };
    let built_in = subject::built_in_dimension(spec).map(|(name, _)| name);
    let taken = aggregate.dimensions.keys().find(|name| built_in != Some(name.as_str()) && aggregate.takes(name));
    if let Some(name) = taken {
        let name = Spanned::new(name.clone(), value_span);
        problems.add(reserved(&name, &format!("under `dimensions` in table `{table_name}`")));
        return Shaped::Broken;
    }
    Shaped::Ready(Shape::Aggregate(Box::new(aggregate)), value_type)
}

/// Whether the table is there and can be used; a name that does not exist is reported.
pub(super) fn table_state(context: &Context, table: &Spanned<String>, problems: &mut Problems) -> Result<(), Shaped> {
    match context.tables.states.get(&table.value) {
        Some(State::Ready(_)) => Ok(()),
        Some(State::Absent(reason)) => Err(Shaped::Skipped(format!("table `{}` has no data: {reason}", table.value))),
        Some(State::Broken) => Err(Shaped::Broken),
        None => {
            let diagnostic =
                Diagnostic::error("unknown-table", format!("there is no table `{}`", table.value)).at(table.span);
            let known = || context.table_specs.keys().map(String::as_str);
            problems.add(match nearest(&table.value, known()) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None if context.table_specs.is_empty() => {
                    diagnostic.hint(format!("describe it: `table: {}` with its `source`", table.value))
                }
                None => diagnostic.hint(format!("the tables are {}", list(known()))),
            });
            Err(Shaped::Broken)
        }
    }
}

/// The rows of a table, as expressions of a definition see them.
pub(super) struct Rows<'a> {
    pub context: &'a Context<'a>,
    pub table: &'a str,
    /// Joins that the expressions looked at so far need.
    pub joins: BTreeSet<JoinPath>,
    /// A table behind a join that has no data.
    pub missing: Option<String>,
}

impl<'a> Rows<'a> {
    pub fn of(context: &'a Context<'a>, table: &'a str) -> Self {
        Rows { context, table, joins: BTreeSet::new(), missing: None }
    }

    /// An expression that looks at one row; `what` is the key that it stands in.
    pub fn expression(
        &mut self,
        text: &Spanned<String>,
        what: &str,
        problems: &mut Problems,
    ) -> Option<(Expr, DataType)> {
        let parsed = problems.take(self.context.language.parse(text))?;
        if let Some(diagnostic) = self.context.language.aggregate_in_row(&parsed, what) {
            problems.add(diagnostic);
            return None;
        }
        self.typed(&parsed, &self.context.tables.namespace, &Further::default(), problems)
            .map(|(expression, data_type, _)| (expression, data_type))
    }

    /// A condition on one row.
    pub fn condition(&mut self, text: &Spanned<String>, what: &str, problems: &mut Problems) -> Option<Expr> {
        let (expression, data_type) = self.expression(text, what, problems)?;
        problems.is_condition(&data_type, text).then_some(expression)
    }

    /// A date or timestamp of a row.
    pub fn time(&mut self, text: &Spanned<String>, what: &str, problems: &mut Problems) -> Option<(Expr, DataType)> {
        if let Some(diagnostic) = self.history_in_time(text, what) {
            problems.add(diagnostic);
            return None;
        }
        let (expression, data_type) = self.expression(text, what, problems)?;
        match data_type {
            DataType::Date32 | DataType::Timestamp(_, _) => Some((expression, data_type)),
            other => {
                let table = self.table;
                problems.add(
                    Diagnostic::error(
                        "wrong-type",
                        format!(
                            "{what} is a date or timestamp, but `{}` is {}",
                            text.value,
                            typing::type_name(&other)
                        ),
                    )
                    .at(text.span)
                    .hint(format!(
                        "give it a type in table `{table}`: `columns: {{{}: {{type: date}}}}`, with a `format` if need be",
                        text.value
                    )),
                );
                None
            }
        }
    }

    /// A history behind a time, as a mistake: it needs a time itself. What cannot be read is reported with the rest.
    fn history_in_time(&self, text: &Spanned<String>, what: &str) -> Option<Diagnostic> {
        let tables = &self.context.tables;
        let parsed = self.context.language.parse(text).ok()?;
        let resolved = resolve(self.context.language, &tables.namespace, self.table, &parsed).ok()?;
        let path = resolved.joins.iter().find(|path| tables.is_history(self.table, path))?;
        let path = path.join(".");
        let message = format!("the history `{path}` is read at the time of a row, so it cannot say what {what} is");
        let diagnostic = Diagnostic::error("history-in-time", message).at(text.span);
        Some(diagnostic.hint(format!("name a date or timestamp of `{}`, or one behind another join", self.table)))
    }

    /// An expression over aggregates of the rows: arithmetic over measures, which are added to those that are there.
    pub fn aggregates(
        &mut self,
        parsed: &Parsed,
        namespace: &Namespace,
        further: &Further,
        measures: &mut Vec<Measure>,
        problems: &mut Problems,
    ) -> Option<(Expr, DataType)> {
        if let Some(diagnostic) = self.context.language.nested_aggregate(parsed) {
            problems.add(diagnostic);
            return None;
        }
        let (expression, _, schema) = self.typed(parsed, namespace, further, problems)?;
        over_measures(expression, &schema, measures, parsed.text.span, problems)
    }

    fn typed(
        &mut self,
        parsed: &Parsed,
        namespace: &Namespace,
        further: &Further,
        problems: &mut Problems,
    ) -> Option<(Expr, DataType, DFSchema)> {
        let resolved = match resolve(self.context.language, namespace, self.table, parsed) {
            Err(Unresolved::Missing { table }) => {
                self.missing = Some(table);
                return None;
            }
            other => problems.resolved(other)?,
        };
        let joins: BTreeSet<JoinPath> = resolved.joins.into_iter().filter(|path| !further.is_relation(path)).collect();
        let mut schema = self.context.tables.joined_schema(self.table, &joins)?;
        for relation in &further.relations {
            schema = problems.planned(schema.join(relation), parsed.text.span)?;
        }
        let typed = typing::plan(self.context.state, resolved.sql, &schema);
        let (expression, data_type) = problems.planned(typed, parsed.text.span)?;
        self.joins.extend(joins);
        Some((expression, data_type, schema))
    }
}

/// Relations beside the rows of a table, such as a base event's conversions.
#[derive(Default)]
pub(super) struct Further {
    pub names: Vec<&'static str>,
    pub relations: Vec<DFSchema>,
}

impl Further {
    fn is_relation(&self, path: &JoinPath) -> bool {
        path.first().is_some_and(|first| self.names.contains(&first.as_str()))
    }
}

/// Takes the aggregates out of a typed expression, and types what is left.
pub(super) fn over_measures(
    expression: Expr,
    schema: &DFSchema,
    measures: &mut Vec<Measure>,
    span: Span,
    problems: &mut Problems,
) -> Option<(Expr, DataType)> {
    let expression = match take_measures(expression, schema, measures) {
        Ok(expression) => expression,
        Err(diagnostic) => {
            problems.add(diagnostic.at(span));
            return None;
        }
    };
    let columns = measures.iter().map(|measure| (measure.name.as_str(), measure.data_type.clone()));
    let measured = measured_schema(columns.chain([(ROWS, DataType::Int64)]));
    let data_type = problems.planned(typing::type_of(&expression, &measured), span)?;
    Some((expression, data_type))
}

/// The measures of a KPI over computed rows, whose columns have no relation any more.
pub(super) fn with_bare_columns(measures: &mut [Measure], bare: impl Fn(&Column) -> String) {
    let strip = |expression: Expr| {
        let stripped = expression.transform(|node| match node {
            Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::from_name(bare(&column))))),
            other => Ok(Transformed::no(other)),
        });
        // Nothing in it fails.
        stripped.map(|stripped| stripped.data)
    };
    for measure in measures {
        measure.arguments = measure.arguments.drain(..).filter_map(|argument| strip(argument).ok()).collect();
        measure.filter = measure.filter.take().and_then(|filter| strip(filter).ok());
    }
}

/// Computed columns as fields of a schema.
pub(super) fn fields(columns: &[ComputedColumn]) -> Vec<(String, DataType)> {
    columns.iter().map(|computed| (computed.name.clone(), computed.data_type.clone())).collect()
}

/// How rows come to periods.
fn placement(rows: &mut Rows, spec: &KpiSpec, grains: &[Grain], problems: &mut Problems) -> Option<Placement> {
    if let Some(stock) = &spec.stock {
        let to = match &stock.to {
            Some(to) => Some(rows.time(to, "`to`", problems)?),
            None => None,
        };
        let at = spec.at.as_ref().map(|at| at.value);
        let stock = Stock { to, at: at.unwrap_or(At::End) };
        let is_compared = spec.per.is_some() && at.is_none() && spec.cohort.is_none();
        return Some(if is_compared { Placement::Boundaries(stock) } else { Placement::Stock(stock) });
    }
    match window(rows.context.language, spec, grains, problems) {
        Ok(Some(window)) => Some(Placement::Window(window)),
        Ok(None) => Some(Placement::Event),
        Err(()) => None,
    }
}

/// The window that a definition asks for.
pub(super) fn window(
    language: &Language,
    spec: &KpiSpec,
    grains: &[Grain],
    problems: &mut Problems,
) -> Result<Option<Window>, ()> {
    let mut told = |diagnostic: Diagnostic| {
        problems.add(diagnostic);
        Err(())
    };
    match (&spec.window, &spec.to_date) {
        (None, None) => Ok(None),
        (Some(_), Some(to_date)) => told(
            Diagnostic::error("misplaced-key", "`window` and `to_date` say two things about the same days")
                .at(to_date.span)
                .hint("leave one of them out"),
        ),
        (Some(window), None) if window.value == "all" => Ok(Some(Window::All)),
        (Some(window), None) => match length(language, window, "window") {
            Ok(length) => Ok(Some(Window::Trailing(length))),
            Err(diagnostic) => told(diagnostic),
        },
        (None, Some(to_date)) => {
            let Ok(unit) = to_date.parse::<Grain>() else {
                return told(
                    Diagnostic::error("unknown-grain", format!("there is no grain `{}`", to_date.value))
                        .at(to_date.span)
                        .hint("such as `to_date: year`"),
                );
            };
            match grains.iter().find(|grain| **grain > unit) {
                Some(grain) => told(
                    Diagnostic::error(
                        "grain-too-coarse",
                        format!(
                            "a {grain} is longer than the {unit} that is added up, and this KPI has the grain {grain}"
                        ),
                    )
                    .at(to_date.span)
                    .hint(format!("leave the grain {grain} out, or add up a longer period")),
                ),
                None => Ok(Some(Window::ToDate(unit))),
            }
        }
    }
}

/// A grain below that of the table's rows: a month's balance says nothing of a day.
fn finer_than_table(context: &Context, table: &str, grains: &[Grain], spec: &KpiSpec, problems: &mut Problems) {
    let Some(finest) = context.tables.grains.get(table) else { return };
    let Some(finer) = grains.iter().find(|grain| *grain < finest) else { return };
    problems.add(
        Diagnostic::error(
            "grain-too-fine",
            format!("a row of `{table}` stands for a whole {finest}, and this KPI has the grain {finer}"),
        )
        .at(spec
            .grains
            .iter()
            .flatten()
            .find(|grain| grain.value == finer.name())
            .map_or(spec.kpi.span, |grain| grain.span))
        .hint(format!("leave the grain {finer} out")),
    );
}

/// Keys that do not go together in a KPI over a table.
fn misplaced_keys(spec: &KpiSpec, problems: &mut Problems) {
    let stock = spec.stock.as_ref().map(|key| key.span);
    let per = spec.per.as_ref().map(|key| key.span);
    let conversion = spec.conversion.as_ref().map(|key| key.span);
    let funnel = spec.funnel.as_ref().map(|key| key.span);
    let cohort = spec.cohort.as_ref().map(|key| key.span);
    let window = spec.window.as_ref().map(|key| key.span).or(spec.to_date.as_ref().map(|key| key.span));
    let columns = spec.columns.iter().next().map(|(name, _)| name.span);
    let at = spec.at.as_ref().map(|key| key.span);
    let time = spec.time.as_ref().map(|key| key.span);
    let fill = spec.fill.as_ref().map(|key| key.span);
    let count_on = spec.count_on.as_ref().map(|key| key.span);
    let inputs = spec.inputs.iter().next().map(|(name, _)| name.span);
    let composite = spec.composite.iter().next().map(|(name, _)| name.span);
    let rules: [(Option<Span>, bool, &str, &str); 17] = [
        (inputs, true, "`inputs` are other KPIs, but this one reads a table", "leave `from` out, or `inputs`"),
        (
            composite,
            true,
            "`composite` weighs other KPIs, but this one reads a table",
            "leave `from` out, or `composite`",
        ),
        (
            at,
            stock.is_none(),
            "`at` says when a level is read, but this KPI has no `stock`",
            "add `stock: {from: ..., to: ...}`, or leave `at` out",
        ),
        (
            columns,
            per.is_none(),
            "`columns` are computed for each entity, but this KPI has no `per`",
            "add `per:` with what tells the entities apart",
        ),
        (count_on, conversion.is_none(), "`count_on` needs a `conversion`", "leave it out"),
        (
            cohort,
            per.is_none(),
            "a cohort is made of entities, but this KPI has no `per`",
            "add `per:` with what tells the entities apart, such as `per: account_id`",
        ),
        (
            time,
            stock.is_some(),
            "a level is there between `from` and `to` of its `stock`, so it has no `time`",
            "leave `time` out",
        ),
        (
            window,
            stock.is_some(),
            "a level is read at one instant and never added up over time",
            "leave the window out, or count events instead of a `stock`",
        ),
        (
            conversion,
            stock.is_some(),
            "a conversion follows an event, and a `stock` is none",
            "leave `stock` or `conversion` out",
        ),
        (funnel, stock.is_some(), "a funnel counts events, and a `stock` is none", "leave `stock` or `funnel` out"),
        (
            conversion,
            per.is_some(),
            "`conversion` looks at events one by one, `per` brings them together",
            "leave one of them out; `columns` of the conversion bring the conversions of an event together",
        ),
        (
            funnel,
            per.is_some(),
            "`funnel` looks at rows one by one, `per` brings them together",
            "make one row of each entity in a derived table (a `.sql` file) first",
        ),
        (
            funnel,
            conversion.is_some(),
            "`funnel` and `conversion` make different things of the same rows",
            "leave one of them out",
        ),
        (at, cohort.is_some(), "a cohort reads levels at the end of each age", "leave `at` out"),
        (window, cohort.is_some(), "a cohort looks at one age at a time and not at a window", "leave the window out"),
        (
            fill,
            cohort.is_some() || funnel.is_some(),
            "`fill` would add members that cannot be",
            "leave `fill` out; where nobody is active or went on, the share is 0 anyway",
        ),
        (
            window,
            spec.count_on.is_some(),
            "a conversion in its own period is not counted again in later ones",
            "leave the window or `count_on` out",
        ),
    ];
    for (key, is_wrong, message, hint) in rules {
        if let (Some(place), true) = (key, is_wrong) {
            problems.add(Diagnostic::error("misplaced-key", message).at(place).hint(hint));
        }
    }
}
