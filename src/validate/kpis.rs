//! From `kpi:` documents to KPIs: values taken apart into aggregates, dimensions and targets checked, inputs ordered.
//!
//! A value is one expression; what is stored are the aggregates inside it, so that the value can be computed again at any
//! grain and for any dimensions. A shape that this version does not have yet is refused here by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::execution::SessionState;
use datafusion::functions::expr_fn::nullif;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned as _, Value as SqlValue,
    ValueWithSpan,
};

use super::expression::{self, Language, Order, Parsed, Unresolved, list, resolve, walk};
use super::tables::{State, Tables};
use super::{Problems, not_yet, typing};
use crate::diagnostic::{Diagnostic, nearest};
use crate::load::LoadedDocument;
use crate::model::{
    Aggregate, Arithmetic, Better, Dimension, Goal, Input, Kpi, Measure, MeasureFunction, Previous, Project, ROWS,
    Shape, Skipped, Target, Value, input_rows, measure_expression,
};
use crate::spec::{Fill, KpiSpec, Spanned, TableSpec, TargetSpec};
use crate::time::Grain;

/// What the checks of KPIs share.
pub(super) struct Context<'a> {
    pub state: &'a SessionState,
    pub language: &'a Language<'a>,
    pub project: &'a Project,
    pub tables: &'a Tables,
    pub table_specs: &'a BTreeMap<String, &'a TableSpec>,
    /// KPIs whose mistakes are reported already.
    pub broken_kpis: &'a BTreeSet<String>,
}

/// What became of a `kpi:` document.
enum Outcome {
    Ready(Box<Kpi>),
    Skipped(String),
    Broken,
}

/// Checks every KPI, inputs first. Returns them in that order, with those that lack data.
pub(super) fn kpis(
    context: &Context,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) -> (Vec<Arc<Kpi>>, Vec<Skipped>) {
    let order = in_dependency_order(context, specs, problems);
    let mut ready: BTreeMap<String, Arc<Kpi>> = BTreeMap::new();
    let mut ordered = Vec::new();
    let mut skipped: BTreeMap<String, String> = BTreeMap::new();
    for name in order {
        let (document, spec) = specs[&name];
        check_words(context, spec, specs, problems);
        match kpi(context, document, spec, &ready, &skipped, problems) {
            Outcome::Ready(kpi) => {
                let kpi = Arc::new(*kpi);
                ordered.push(kpi.clone());
                ready.insert(name, kpi);
            }
            Outcome::Skipped(reason) => {
                skipped.insert(name, reason);
            }
            Outcome::Broken => {}
        }
    }
    let ordered = prepare_inputs(context, ordered);
    (ordered, skipped.into_iter().map(|(kpi, reason)| Skipped { kpi, reason }).collect())
}

/// Gives the inputs of arithmetic the dimensions that it asks for, and every KPI its fingerprint.
fn prepare_inputs(context: &Context, ordered: Vec<Arc<Kpi>>) -> Vec<Arc<Kpi>> {
    let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kpi in ordered.iter().rev() {
        let mut names: BTreeSet<String> = kpi.dimension_sets.iter().flatten().cloned().collect();
        names.extend(asked.get(&kpi.name).into_iter().flatten().cloned());
        for input in kpi.inputs() {
            asked.entry(input.to_owned()).or_default().extend(names.iter().cloned());
        }
    }
    let mut ready: BTreeMap<String, Arc<Kpi>> = BTreeMap::new();
    let mut prepared = Vec::with_capacity(ordered.len());
    for kpi in ordered {
        let mut kpi = kpi.as_ref().clone();
        if let Shape::Aggregate(aggregate) = &mut kpi.shape {
            for name in asked.get(&kpi.name).into_iter().flatten() {
                let span = crate::diagnostic::Span { file: crate::diagnostic::FileId(0), start: 0, end: 0 };
                // It was checked with the KPI that asks for it.
                if let Ok(dimension) = dimension(context, &aggregate.table, &Spanned::new(name.clone(), span)) {
                    aggregate.dimensions.insert(name.clone(), dimension);
                }
            }
        }
        kpi.fingerprint = fingerprint(context, &kpi, &ready);
        let kpi = Arc::new(kpi);
        ready.insert(kpi.name.clone(), kpi.clone());
        prepared.push(kpi);
    }
    prepared
}

/// Column names of results, and the word for what has no dimension: no dimension can be called so.
const RESULT_COLUMNS: [&str; 16] = [
    "kpi",
    "grain",
    "period_start",
    "period_end",
    "breakdown",
    "members",
    "value",
    "numerator",
    "denominator",
    "n",
    "rows",
    "target",
    "status",
    "is_complete",
    "is_ripe",
    "overall",
];

fn reserved(name: &Spanned<String>, place: &str) -> Diagnostic {
    let letters =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' });
    let plain: String = letters.collect();
    Diagnostic::error(
        "reserved-name",
        format!("`{}` cannot be the name of a dimension: results have a column of that name", name.value),
    )
    .at(name.span)
    .hint(format!("give it another name {place}, such as `my_{}: {}`", plain.trim_matches('_'), name.value))
}

/// The dimension called `name` for KPIs over `table`; also for names that no definition lists, as `--by` may ask.
pub(super) fn dimension(context: &Context, table: &str, name: &Spanned<String>) -> Result<Dimension, Unresolved> {
    if RESULT_COLUMNS.contains(&name.value.to_lowercase().as_str()) || name.contains([',', '"']) {
        return Err(reserved(name, &format!("under `dimensions` in table `{table}`")).into());
    }
    let parsed = context.language.parse(name).map_err(Unresolved::Mistake)?;
    if !matches!(parsed.sql, SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_)) {
        return Err(Diagnostic::error(
            "not-a-dimension",
            format!("`{}` is no dimension but an expression", name.value),
        )
        .at(name.span)
        .hint(format!("give it a name under `dimensions` in table `{table}`"))
        .into());
    }
    let resolved = resolve(context.language, &context.tables.namespace, table, &parsed)?;
    let schema = context.tables.joined_schema(table, &resolved.joins).ok_or(Unresolved::Elsewhere)?;
    let (expression, data_type) =
        typing::plan(context.state, resolved.sql, &schema).map_err(|error| typing::mistake(&error).at(name.span))?;
    Ok(Dimension { expression, data_type, joins: resolved.joins })
}

fn kpi(
    context: &Context,
    document: &LoadedDocument,
    spec: &KpiSpec,
    ready: &BTreeMap<String, Arc<Kpi>>,
    skipped: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Outcome {
    let before = problems.count();
    let later = spec.later_keys();
    for (key, span) in &later {
        problems.add(not_yet(key, *span));
    }
    if let Some(query) = &spec.query {
        problems.add(not_yet("a KPI as a `.sql` file", query.span));
    }
    let grains = grains(spec, problems);
    let target = spec.target.as_ref().and_then(|target| self::target(spec, target, problems));
    if !later.is_empty() || spec.query.is_some() {
        return Outcome::Broken;
    }
    let Some(value) = &spec.value else {
        if context.broken_kpis.contains(&spec.kpi.value) {
            return Outcome::Broken;
        }
        problems.add(
            Diagnostic::error("missing-key", format!("KPI `{}` has no `value`", spec.kpi.value))
                .at(spec.kpi.span)
                .hint("write what it is, such as `value: count(*)` or `value: sum(amount)`"),
        );
        return Outcome::Broken;
    };
    let Some(parsed) = problems.take(context.language.parse(value)) else { return Outcome::Broken };
    let shaped = match &spec.from {
        Some(table) => aggregate(context, spec, table, &parsed, problems),
        None => arithmetic(context, spec, &parsed, &grains, ready, skipped, problems),
    };
    let (shape, value_type) = match shaped {
        Shaped::Ready(shape, value_type) => (shape, value_type),
        Shaped::Skipped(reason) => return Outcome::Skipped(reason),
        Shaped::Broken => return Outcome::Broken,
    };
    if problems.count() > before || context.broken_kpis.contains(&spec.kpi.value) {
        return Outcome::Broken;
    }
    let required: Vec<String> = names(&spec.required_dimensions);
    let dimension_sets = dimension_sets(spec, &required);
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.trim().to_owned());
    let mut tags: Vec<String> = document.folder_tag.iter().cloned().chain(names(&spec.tags)).collect();
    tags.dedup();
    let kpi = Kpi {
        name: spec.kpi.value.clone(),
        label: text(&spec.label).unwrap_or_else(|| spec.kpi.value.replace('_', " ")),
        description: text(&spec.description),
        formula: text(&spec.formula),
        unit: text(&spec.unit),
        better: spec.better.as_ref().map_or(Better::None, |better| better.value),
        owner: text(&spec.owner),
        tags,
        file: context.language.sources.get(document.file).path.clone(),
        shape,
        dimension_sets,
        required_dimensions: required,
        grains,
        target,
        minimum_n: spec.minimum_n.as_ref().map(|minimum| minimum.value),
        value_type,
        fingerprint: String::new(),
    };
    Outcome::Ready(Box::new(kpi))
}

enum Shaped {
    Ready(Shape, DataType),
    Skipped(String),
    Broken,
}

fn aggregate(
    context: &Context,
    spec: &KpiSpec,
    table: &Spanned<String>,
    value: &Parsed,
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    match context.tables.states.get(&table.value) {
        Some(State::Ready(_)) => {}
        Some(State::Absent(reason)) => {
            return Shaped::Skipped(format!("table `{}` has no data: {reason}", table.value));
        }
        Some(State::Broken) => return Shaped::Broken,
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
            return Shaped::Broken;
        }
    }
    let table_name = table.value.as_str();
    let mut joins = BTreeSet::new();
    let mut missing: Option<String> = None;
    // Every part is looked at, so that all mistakes come at once.
    let mut row_level =
        |parsed: Option<Parsed>, problems: &mut Problems| -> Option<(Expr, DataType, Spanned<String>)> {
            let parsed = parsed?;
            let resolved = match resolve(context.language, &context.tables.namespace, table_name, &parsed) {
                Err(Unresolved::Missing { table }) => {
                    missing = Some(table);
                    return None;
                }
                other => problems.resolved(other)?,
            };
            let schema = context.tables.joined_schema(table_name, &resolved.joins)?;
            let typed = typing::plan(context.state, resolved.sql, &schema);
            let (expression, data_type) = problems.planned(typed, parsed.text.span)?;
            joins.extend(resolved.joins);
            Some((expression, data_type, parsed.text))
        };

    let default_time = context.table_specs.get(table_name).and_then(|table| table.time.as_ref());
    let time = match spec.time.as_ref().or(default_time) {
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
        Some(time) => {
            let parsed = one_row(context, problems.take(context.language.parse(time)), "`time`", problems);
            row_level(parsed, problems).and_then(|(expression, data_type, text)| match data_type {
                DataType::Date32 | DataType::Timestamp(_, _) => Some((expression, data_type)),
                other => {
                    problems.add(
                        Diagnostic::error("wrong-type", format!("`time` is a date or timestamp, but `{}` is {}", text.value, typing::type_name(&other)))
                            .at(text.span)
                            .hint(format!("give it a type in table `{table_name}`: `columns: {{{}: {{type: date}}}}`, with a `format` if need be", text.value)),
                    );
                    None
                }
            })
        }
    };
    let condition = spec.condition.as_ref().and_then(|condition| {
        let parsed = one_row(context, problems.take(context.language.parse(condition)), "`where`", problems);
        let (expression, data_type, text) = row_level(parsed, problems)?;
        problems.is_condition(&data_type, &text).then_some(expression)
    });
    let value_expression = match context.language.nested_aggregate(value) {
        Some(diagnostic) => {
            problems.add(diagnostic);
            None
        }
        None => row_level(Some(value.clone()), problems),
    };

    let mut dimensions = BTreeMap::new();
    let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
    for name in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
        match dimension(context, table_name, &name) {
            Ok(dimension) => {
                dimensions.insert(name.value.clone(), dimension);
            }
            Err(Unresolved::Missing { table }) => missing = Some(table),
            Err(Unresolved::Mistake(diagnostic)) => problems.add(as_dimension(context, *diagnostic, &name, table_name)),
            Err(Unresolved::Elsewhere) => return Shaped::Broken,
        }
    }
    if let Some(missing) = missing {
        return match context.tables.states.get(&missing) {
            Some(State::Absent(reason)) => Shaped::Skipped(format!("table `{missing}` has no data: {reason}")),
            Some(State::Ready(_) | State::Broken) | None => Shaped::Broken,
        };
    }
    let (Some((time, time_type)), Some((value_expression, _, text))) = (time, value_expression) else {
        return Shaped::Broken;
    };
    let Some(schema) = context.tables.joined_schema(table_name, &joins) else { return Shaped::Broken };
    let taken = match take_measures(value_expression, &schema) {
        Ok(taken) => taken,
        Err(diagnostic) => {
            problems.add(diagnostic.at(text.span));
            return Shaped::Broken;
        }
    };
    let (expression, measures) = taken;
    let columns = measures.iter().map(|measure| (measure.name.as_str(), measure.data_type.clone()));
    let measured = measured_schema(columns.chain([(ROWS, DataType::Int64)]));
    let Some(data_type) = problems.planned(typing::type_of(&expression, &measured), text.span) else {
        return Shaped::Broken;
    };
    if !is_number(&data_type) {
        problems.add(
            Diagnostic::error(
                "wrong-type",
                format!("a value is a number, but this is {}", typing::type_name(&data_type)),
            )
            .at(text.span)
            .hint(not_a_number(&data_type)),
        );
    }
    if problems.count() > before {
        return Shaped::Broken;
    }
    if let Some(name) = dimensions.keys().find(|name| measures.iter().any(|measure| measure.name == **name)) {
        let name = Spanned::new(name.clone(), text.span);
        problems.add(reserved(&name, &format!("under `dimensions` in table `{table_name}`")));
        return Shaped::Broken;
    }
    let counts = |expression: &Expr| match expression {
        Expr::Column(column) => measures.iter().any(|measure| {
            measure.name == column.name
                && matches!(measure.function, MeasureFunction::Count | MeasureFunction::CountDistinct)
        }),
        _ => false,
    };
    let ratio = typing::ratio(&expression);
    let observations = match &ratio {
        Some((_, denominator)) if counts(denominator) => denominator.clone(),
        _ => Expr::Column(Column::from_name(ROWS)),
    };
    let time_name = spec.time.as_ref().or(default_time).map(|time| time.value.clone()).unwrap_or_default();
    let aggregate = Aggregate {
        table: table_name.to_owned(),
        time,
        time_type,
        time_name,
        joins,
        condition,
        measures,
        value: Value { expression, ratio, observations },
        dimensions,
        fill_zero: spec.fill.as_ref().is_some_and(|fill| fill.value == Fill::Zero),
    };
    Shaped::Ready(Shape::Aggregate(Box::new(aggregate)), data_type)
}

/// The expression, unless it holds an aggregate where only one row is looked at.
fn one_row(context: &Context, parsed: Option<Parsed>, what: &str, problems: &mut Problems) -> Option<Parsed> {
    let parsed = parsed?;
    match context.language.aggregate_in_row(&parsed, what) {
        Some(diagnostic) => {
            problems.add(diagnostic);
            None
        }
        None => Some(parsed),
    }
}

/// A mistake in a `by` list is about dimensions, not about columns.
fn as_dimension(context: &Context, mut diagnostic: Diagnostic, name: &Spanned<String>, table: &str) -> Diagnostic {
    if diagnostic.code == "unknown-column" {
        diagnostic.code = "unknown-dimension";
        diagnostic.message = format!("`{table}` has no dimension `{}`", name.value);
        let names = context.tables.namespace.get(table);
        let declared = || names.into_iter().flat_map(|names| names.dimensions.keys()).map(String::as_str);
        let is_precise = |hint: &String| hint.starts_with("did you mean") || hint.contains("is a join");
        if !diagnostic.hint.as_ref().is_some_and(is_precise) && declared().next().is_some() {
            diagnostic.hint = Some(format!("its dimensions are {}; any column works as well", list(declared())));
        }
    }
    diagnostic
}

fn not_a_number(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "count the rows where it holds: `count(*) FILTER (WHERE ...)`",
        DataType::Date32 | DataType::Timestamp(_, _) => "count days or hours with `days_between` or `hours_between`",
        _ => "count rows or values: `count(*)` or `count(DISTINCT ...)`",
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn measured_schema<'a>(columns: impl Iterator<Item = (&'a str, DataType)>) -> DFSchema {
    let fields: Vec<Field> = columns.map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    DFSchema::try_from(Schema::new(fields)).expect("measure names are unique")
}

/// Takes the aggregates out of a value: what is left is arithmetic over their columns.
fn take_measures(value: Expr, schema: &DFSchema) -> Result<(Expr, Vec<Measure>), Diagnostic> {
    let mut measures: Vec<Measure> = Vec::new();
    let mut mistake: Option<Diagnostic> = None;
    let taken = value.transform_down(|node| {
        let Expr::AggregateFunction(call) = &node else { return Ok(Transformed::no(node)) };
        match measure_of(call, &mut measures, schema) {
            Ok(replacement) => Ok(Transformed::new(replacement, true, TreeNodeRecursion::Jump)),
            Err(diagnostic) => {
                mistake.get_or_insert(diagnostic);
                Ok(Transformed::new(node, false, TreeNodeRecursion::Stop))
            }
        }
    });
    let taken = taken.map_err(|error| typing::mistake(&error))?.data;
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    if measures.is_empty() {
        return Err(Diagnostic::error("not-an-aggregate", "a value is made of aggregates, and here is none")
            .hint("say how rows come together, such as `sum(amount)`, `count(*)` or `avg(score)`"));
    }
    let loose = taken.column_refs().into_iter().find(|column| column.relation.is_some()).cloned();
    if let Some(column) = loose {
        return Err(Diagnostic::error("not-an-aggregate", format!("`{}` stands outside an aggregate", column.name))
            .hint(format!(
                "a period has many rows; say which value is meant, such as `sum({0})` or `max({0})`",
                column.name
            )));
    }
    Ok((taken, measures))
}

fn measure_of(call: &AggregateFunction, measures: &mut Vec<Measure>, schema: &DFSchema) -> Result<Expr, Diagnostic> {
    let parameters = &call.params;
    let name = call.func.name().to_lowercase();
    let (distinct, filter) = (parameters.distinct, parameters.filter.as_deref().cloned());
    let argument = parameters.args.first().cloned();
    if let Some(inner) = argument
        .iter()
        .chain(&filter)
        .find(|inner| inner.exists(|node| Ok(matches!(node, Expr::AggregateFunction(_)))).unwrap_or(false))
        && inner.exists(|node| Ok(matches!(node, Expr::AggregateFunction(_)))).unwrap_or(false)
    {
        return Err(Diagnostic::error("nested-aggregate", "an aggregate stands inside an aggregate")
            .hint("compute the inner one in a derived table (a `.sql` file)"));
    }
    let mut add = |function, argument: Option<Expr>| measure(measures, function, argument, filter.clone(), schema);
    match name.as_str() {
        "count" if distinct && parameters.args.len() == 1 => add(MeasureFunction::CountDistinct, argument),
        "count" if !distinct => match argument {
            None => add(MeasureFunction::Count, None),
            Some(Expr::Literal(value, _)) if !value.is_null() => add(MeasureFunction::Count, None),
            #[allow(deprecated)]
            Some(Expr::Wildcard { .. }) => add(MeasureFunction::Count, None),
            argument if parameters.args.len() == 1 => add(MeasureFunction::Count, argument),
            _ => Err(Diagnostic::error("wrong-value", "`count` takes one expression or `*`")),
        },
        "count" => Err(Diagnostic::error("wrong-value", "`count(DISTINCT ...)` takes one expression")
            .hint("put several columns together, such as `count(DISTINCT concat_ws('|', a, b))`")),
        "sum" if !distinct => add(MeasureFunction::Sum, argument),
        "min" => add(MeasureFunction::Min, argument),
        "max" => add(MeasureFunction::Max, argument),
        "avg" if !distinct => {
            let (sum, count) = (add(MeasureFunction::Sum, argument.clone())?, add(MeasureFunction::Count, argument)?);
            Ok(true_ratio(sum, count))
        }
        "sum" | "avg" => Err(Diagnostic::error(
            "distinct-sum",
            format!("`{name}(DISTINCT ...)` leaves equal values out, which is no sum of rows"),
        )
        .hint("make one row of each thing in a derived table (a `.sql` file), and aggregate that")),
        _ => {
            Err(Diagnostic::error("not-yet-supported", format!("the aggregate `{name}` is not in this version of kpi"))
                .hint("it has sum, count, count(DISTINCT ...), min, max and avg, each with `FILTER (WHERE ...)`"))
        }
    }
}

fn true_ratio(numerator: Expr, denominator: Expr) -> Expr {
    cast(numerator, DataType::Float64) / nullif(cast(denominator, DataType::Float64), lit(0.0))
}

/// Adds a measure, or finds the same one; returns its column.
fn measure(
    measures: &mut Vec<Measure>,
    function: MeasureFunction,
    argument: Option<Expr>,
    filter: Option<Expr>,
    schema: &DFSchema,
) -> Result<Expr, Diagnostic> {
    let same = measures
        .iter()
        .find(|known| known.function == function && known.argument == argument && known.filter == filter);
    if let Some(same) = same {
        return Ok(Expr::Column(Column::from_name(&same.name)));
    }
    let expression = measure_expression(function, argument.clone(), None);
    let data_type = typing::type_of(&expression, schema)
        .map_err(|error| Diagnostic::error("wrong-type", typing::message(&error)))?;
    let mut name = measure_name(function, argument.as_ref(), filter.as_ref());
    let taken = |name: &str| name == ROWS || measures.iter().any(|known| known.name == name);
    if taken(&name) {
        name = (2..).map(|index| format!("{name}_{index}")).find(|name| !taken(name)).unwrap_or(name);
    }
    let column = Expr::Column(Column::from_name(&name));
    measures.push(Measure { name, function, argument, filter, data_type });
    Ok(column)
}

/// A readable column name, such as `count_is_won` or `sum_net_amount`.
fn measure_name(function: MeasureFunction, argument: Option<&Expr>, filter: Option<&Expr>) -> String {
    const LONGEST: usize = 40;
    let function = match function {
        MeasureFunction::Sum => "sum",
        MeasureFunction::Count => "count",
        MeasureFunction::CountDistinct => "count_distinct",
        MeasureFunction::Min => "min",
        MeasureFunction::Max => "max",
    };
    let mut words = vec![function.to_owned()];
    for expression in argument.into_iter().chain(filter) {
        let columns: BTreeSet<&str> = expression.column_refs().into_iter().map(|column| column.name.as_str()).collect();
        words.extend(columns.into_iter().map(str::to_owned));
        words.extend(texts(expression));
    }
    let name: String = words.join("_").to_lowercase();
    let name: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    name.chars().take(LONGEST).collect::<String>().trim_end_matches('_').to_owned()
}

/// The texts that an expression compares with: what tells `stage = 'won'` from `stage = 'lost'`.
fn texts(expression: &Expr) -> Vec<String> {
    let mut texts = Vec::new();
    let visited = expression.apply(|node| {
        if let Expr::Literal(value, _) = node
            && let Some(Some(text)) = value.try_as_str()
        {
            texts.push(text.to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if visited.is_err() { Vec::new() } else { texts }
}

fn arithmetic(
    context: &Context,
    spec: &KpiSpec,
    value: &Parsed,
    grains: &[Grain],
    ready: &BTreeMap<String, Arc<Kpi>>,
    skipped: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    for (key, span) in [
        ("where", spec.condition.as_ref().map(|key| key.span)),
        ("time", spec.time.as_ref().map(|key| key.span)),
        ("fill", spec.fill.as_ref().map(|key| key.span)),
    ] {
        if let Some(span) = span {
            problems.add(
                Diagnostic::error(
                    "misplaced-key",
                    format!("`{key}` needs a `from`; arithmetic over KPIs reads no rows"),
                )
                .at(span)
                .hint(format!("put `{key}` into the KPIs that the value names")),
            );
        }
    }
    let uses = match inputs_of(context, value) {
        Ok(uses) => uses,
        Err(diagnostic) => {
            problems.add(*diagnostic);
            return Shaped::Broken;
        }
    };
    let mut inputs: Vec<Input> = Vec::new();
    for used in &uses.inputs {
        let name = used.kpi.value.as_str();
        if let Some(reason) = skipped.get(name) {
            return Shaped::Skipped(format!("it needs `{name}`, and {reason}"));
        }
        if !ready.contains_key(name) {
            // Unknown names are reported when the order is made; broken ones where they stand.
            return Shaped::Broken;
        }
        for (looker, previous) in offsets(&used.input, ready) {
            for grain in grains.iter().filter(|grain| previous.periods(**grain).is_none()) {
                let length = describe(previous);
                let message = match looker {
                    None => format!("{length} is no whole number of {grain}s, and this KPI has the grain {grain}"),
                    Some(looker) => format!(
                        "`{looker}` looks back {length}, which is no whole number of {grain}s, and this KPI has the grain {grain}"
                    ),
                };
                let hint = match looker {
                    None => "leave the length out for the period before, or leave the grain out",
                    Some(_) => "leave the grain out",
                };
                problems.add(Diagnostic::error("offset-not-whole", message).at(used.kpi.span).hint(hint));
            }
        }
        if !inputs.contains(&used.input) {
            inputs.push(used.input.clone());
        }
    }
    if inputs.is_empty() {
        problems.add(
            Diagnostic::error("no-input", "the value names no KPI, and there is no `from`")
                .at(value.text.span)
                .hint("add `from:` with the table to aggregate, or name KPIs in the value"),
        );
        return Shaped::Broken;
    }
    let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
    for name in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
        for input in &inputs {
            shares_dimension(context, &ready[&input.kpi], &name, ready, problems);
        }
    }
    for input in &inputs {
        let missing: Vec<&str> = (ready[&input.kpi].required_dimensions.iter().map(String::as_str))
            .filter(|name| !spec.required_dimensions.iter().flatten().any(|own| own.value == *name))
            .collect();
        if !missing.is_empty() {
            problems.add(
                Diagnostic::error(
                    "required-dimension",
                    format!("`{}` must not be asked without {}", input.kpi, list(missing.iter().copied())),
                )
                .at(value.text.span)
                .hint(format!("add `required_dimensions: [{}]`", missing.join(", "))),
            );
        }
    }
    // Inputs stand beside dimensions and row counts in one query, so their names must differ from those.
    let dimensions: Vec<String> = spec.by.iter().flatten().flat_map(|set| set.items()).map(|name| name.value).collect();
    let row_counts: Vec<String> = inputs.iter().map(|input| input_rows(&input.name)).collect();
    let is_taken = |name: &String| {
        ["before", "period_start", ROWS].contains(&name.as_str())
            || dimensions.contains(name)
            || row_counts.contains(name)
    };
    if let Some(input) = inputs.iter().find(|input| is_taken(&input.name)) {
        problems.add(
            Diagnostic::error("reserved-name", format!("`{}` means two things in this KPI", input.name))
                .at(value.text.span)
                .hint("give the KPI, or the dimension of that name, another name"),
        );
        return Shaped::Broken;
    }
    let columns = inputs.iter().map(|input| (input.name.as_str(), ready[&input.kpi].value_type.clone()));
    let schema = measured_schema(columns);
    let Some((expression, data_type)) =
        problems.planned(typing::plan(context.state, uses.sql, &schema), value.text.span)
    else {
        return Shaped::Broken;
    };
    if !is_number(&data_type) {
        problems.add(
            Diagnostic::error(
                "wrong-type",
                format!("a value is a number, but this is {}", typing::type_name(&data_type)),
            )
            .at(value.text.span)
            .hint(not_a_number(&data_type)),
        );
    }
    if problems.count() > before {
        return Shaped::Broken;
    }
    let ratio = typing::ratio(&expression);
    let observations = match &ratio {
        // A rate has as many observations as its denominator.
        Some((_, Expr::Column(denominator))) => input_rows(&denominator.name),
        _ => ROWS.to_owned(),
    };
    let observations = Expr::Column(Column::from_name(observations));
    let arithmetic = Arithmetic { inputs, value: Value { expression, ratio, observations } };
    Shaped::Ready(Shape::Arithmetic(arithmetic), data_type)
}

/// How far an input looks back, and how far those below it do, with their names.
fn offsets<'a>(input: &Input, ready: &'a BTreeMap<String, Arc<Kpi>>) -> Vec<(Option<&'a str>, Previous)> {
    let mut found: Vec<(Option<&str>, Previous)> = input.previous.iter().map(|previous| (None, *previous)).collect();
    if let Some(kpi) = ready.get(&input.kpi)
        && let Shape::Arithmetic(arithmetic) = &kpi.shape
    {
        let below = arithmetic.inputs.iter().flat_map(|below| offsets(below, ready));
        found.extend(below.map(|(looker, previous)| (Some(looker.unwrap_or(&kpi.name)), previous)));
    }
    found
}

fn describe(previous: Previous) -> String {
    match previous {
        Previous::Period => "one period".into(),
        Previous::Length { count: 1, unit } => format!("1 {unit}"),
        Previous::Length { count, unit } => format!("{count} {unit}s"),
    }
}

/// Every input of a KPI must know a dimension for it to mean something.
fn shares_dimension(
    context: &Context,
    kpi: &Kpi,
    name: &Spanned<String>,
    ready: &BTreeMap<String, Arc<Kpi>>,
    problems: &mut Problems,
) {
    match &kpi.shape {
        Shape::Aggregate(aggregate) => match dimension(context, &aggregate.table, name) {
            Ok(_) => {}
            Err(Unresolved::Mistake(mistake)) => {
                let mistake = as_dimension(context, *mistake, name, &aggregate.table);
                let mut diagnostic = Diagnostic::error(
                    "dimension-not-shared",
                    format!("`{}` cannot be broken down by `{}`: {}", kpi.name, name.value, mistake.message),
                )
                .at(name.span);
                diagnostic.hint = mistake.hint;
                problems.add(diagnostic);
            }
            Err(Unresolved::Missing { .. } | Unresolved::Elsewhere) => {}
        },
        Shape::Arithmetic(arithmetic) => {
            for input in &arithmetic.inputs {
                shares_dimension(context, &ready[&input.kpi], name, ready, problems);
            }
        }
    }
}

/// One use of a KPI in a value.
struct Use {
    kpi: Spanned<String>,
    input: Input,
}

struct Uses {
    inputs: Vec<Use>,
    /// The value over the inputs' column names.
    sql: SqlExpr,
}

/// Takes the KPIs out of an arithmetic value.
fn inputs_of(context: &Context, value: &Parsed) -> Result<Uses, Box<Diagnostic>> {
    struct Collect<'a> {
        context: &'a Context<'a>,
        value: &'a Parsed,
        inputs: Vec<Use>,
    }
    impl Collect<'_> {
        fn place(&self, span: datafusion::sql::sqlparser::tokenizer::Span) -> crate::diagnostic::Span {
            self.context.language.place(&self.value.text, span)
        }

        fn column(&mut self, name: &Ident, previous: Option<Previous>) -> SqlExpr {
            let kpi = Spanned::new(name.value.clone(), self.place(name.span));
            let column = match previous {
                None => name.value.clone(),
                Some(Previous::Period) => format!("previous_{}", name.value),
                Some(Previous::Length { count, unit }) => format!("previous_{}_{count}_{unit}", name.value),
            };
            self.inputs.push(Use { kpi, input: Input { name: column.clone(), kpi: name.value.clone(), previous } });
            SqlExpr::Identifier(Ident { value: column, quote_style: Some('"'), span: name.span })
        }

        fn function(&mut self, function: &Function) -> Result<Option<SqlExpr>, Unresolved> {
            let name = function.name.to_string().to_lowercase();
            let place = self.place(function.name.span());
            match name.as_str() {
                "previous" => previous_call(self, function, place).map(Some).map_err(Unresolved::Mistake),
                "total" | "start_of" => Err(not_yet(&name, place).into()),
                "sum" | "count" | "min" | "max" | "avg" => Err(Diagnostic::error(
                    "missing-from",
                    format!("`{name}` aggregates rows, but this KPI has no `from`"),
                )
                .at(place)
                .hint("add `from:` with the table, or leave the aggregate out and name KPIs")
                .into()),
                _ => Ok(None),
            }
        }
    }
    let mut collect = Collect { context, value, inputs: Vec::new() };
    let mut sql = value.sql.clone();
    let outcome = walk(&mut sql, Order::WholeFirst, &mut |sql| {
        let replacement = match sql {
            SqlExpr::Function(function) => collect.function(function)?,
            SqlExpr::Identifier(name) if name.quote_style != Some('"') => {
                let name = name.clone();
                Some(collect.column(&name, None))
            }
            SqlExpr::CompoundIdentifier(_) => {
                return Err(Diagnostic::error("unknown-kpi", format!("`{sql}` is no KPI"))
                    .at(collect.place(sql.span()))
                    .hint("without a `from`, names in the value are KPIs; columns need a `from`")
                    .into());
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            *sql = replacement;
        }
        Ok(())
    });
    if let Err(Unresolved::Mistake(diagnostic)) = outcome {
        return Err(diagnostic);
    }
    let inputs = collect.inputs;
    // Functions of the arithmetic itself, such as `coalesce`, are checked like any other.
    let parsed = Parsed { sql: sql.clone(), text: value.text.clone() };
    let names = expression::Names {
        columns: inputs.iter().map(|used| used.input.name.clone()).collect(),
        ..expression::Names::default()
    };
    let namespace = expression::Namespace::from([(String::new(), names)]);
    if let Err(Unresolved::Mistake(diagnostic)) = resolve(context.language, &namespace, "", &parsed) {
        return Err(diagnostic);
    }
    return Ok(Uses { inputs, sql });

    fn previous_call(
        collect: &mut Collect,
        function: &Function,
        place: crate::diagnostic::Span,
    ) -> Result<SqlExpr, Box<Diagnostic>> {
        let usage = || {
            Box::new(
                Diagnostic::error(
                    "wrong-value",
                    "`previous` takes a KPI, and a length of time if it is not the period before",
                )
                .at(place)
                .hint("such as `previous(total_revenue)` or `previous(total_revenue, 1 year)`"),
            )
        };
        let FunctionArguments::List(arguments) = &function.args else { return Err(usage()) };
        let arguments: Vec<&SqlExpr> = arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)) => Some(sql),
                _ => None,
            })
            .collect();
        match arguments.as_slice() {
            [SqlExpr::Identifier(name)] => Ok(collect.column(name, Some(Previous::Period))),
            [
                SqlExpr::Identifier(name),
                SqlExpr::Value(ValueWithSpan { value: SqlValue::SingleQuotedString(length), .. }),
            ] => {
                let previous = read_length(length).ok_or_else(usage)?;
                Ok(collect.column(name, Some(previous)))
            }
            _ => Err(usage()),
        }
    }
}

/// Reads `1 year` or `3 months`.
fn read_length(text: &str) -> Option<Previous> {
    let (count, unit) = text.trim().split_once(char::is_whitespace)?;
    let unit = unit.trim();
    let unit: Grain = unit.strip_suffix('s').unwrap_or(unit).parse().ok()?;
    let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
    Some(Previous::Length { count, unit })
}

/// KPI names, inputs first. Unknown inputs and cycles are reported.
fn in_dependency_order(
    context: &Context,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut uses: BTreeMap<&str, Vec<Spanned<String>>> = BTreeMap::new();
    for (name, (_, spec)) in specs {
        let value =
            spec.value.as_ref().filter(|_| spec.from.is_none() && spec.query.is_none() && spec.later_keys().is_empty());
        let inputs = value
            .and_then(|value| context.language.parse(value).ok())
            .and_then(|parsed| inputs_of(context, &parsed).ok())
            .map(|uses| uses.inputs.into_iter().map(|used| used.kpi).collect())
            .unwrap_or_default();
        uses.insert(name, inputs);
    }
    for input in uses.values().flatten() {
        if !specs.contains_key(&input.value) && !context.broken_kpis.contains(&input.value) {
            let diagnostic =
                Diagnostic::error("unknown-kpi", format!("there is no KPI `{}`", input.value)).at(input.span);
            problems.add(match nearest(&input.value, specs.keys().map(String::as_str)) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => diagnostic.hint("without a `from`, names in the value are KPIs; columns need a `from`"),
            });
        }
    }
    let mut ordered: Vec<String> = Vec::new();
    let mut reported = BTreeSet::new();
    for name in specs.keys() {
        visit(name, &uses, &mut Vec::new(), &mut ordered, &mut reported, problems);
    }
    ordered
}

fn visit(
    name: &str,
    uses: &BTreeMap<&str, Vec<Spanned<String>>>,
    path: &mut Vec<String>,
    ordered: &mut Vec<String>,
    reported: &mut BTreeSet<String>,
    problems: &mut Problems,
) {
    if ordered.iter().any(|done| done == name) || reported.contains(name) {
        return;
    }
    path.push(name.to_owned());
    for input in uses.get(name).into_iter().flatten() {
        if let Some(start) = path.iter().position(|step| *step == input.value) {
            let cycle = &path[start..];
            if !cycle.iter().any(|step| reported.contains(step)) {
                let round: Vec<&str> = cycle.iter().map(String::as_str).chain([input.value.as_str()]).collect();
                problems.add(
                    Diagnostic::error("cycle", format!("these KPIs need each other: {}", round.join(" -> ")))
                        .at(input.span)
                        .hint("a KPI cannot be computed from itself; leave one of them out"),
                );
                reported.extend(cycle.iter().cloned());
            }
        } else if uses.contains_key(input.value.as_str()) {
            visit(&input.value, uses, path, ordered, reported, problems);
        }
    }
    path.pop();
    if !reported.contains(name) {
        ordered.push(name.to_owned());
    }
}

fn grains(spec: &KpiSpec, problems: &mut Problems) -> Vec<Grain> {
    let Some(written) = &spec.grains else { return vec![Grain::Month] };
    let mut grains = Vec::new();
    for word in written {
        match word.parse::<Grain>() {
            Ok(grain) if grains.contains(&grain) => {}
            Ok(grain) => grains.push(grain),
            Err(()) => {
                let diagnostic =
                    Diagnostic::error("unknown-grain", format!("there is no grain `{}`", word.value)).at(word.span);
                problems.add(match nearest(&word.value, Grain::ALL.map(Grain::name)) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic.hint("the grains are day, week, month, quarter and year"),
                });
            }
        }
    }
    if written.is_empty() {
        problems.add(
            Diagnostic::error("wrong-value", "`grains` is empty")
                .at(spec.kpi.span)
                .hint("such as `grains: [month, quarter]`"),
        );
    }
    grains
}

fn target(spec: &KpiSpec, target: &Spanned<TargetSpec>, problems: &mut Problems) -> Option<Target> {
    let before = problems.count();
    let better = spec.better.as_ref().map(|better| better.value);
    let mut date = |text: &Option<Spanned<String>>| {
        let text = text.as_ref()?;
        let date: Option<NaiveDate> = text.parse().ok();
        if date.is_none() {
            problems.add(
                Diagnostic::error("wrong-value", format!("`{}` is no date", text.value))
                    .at(text.span)
                    .hint("write it as 2025-01-31"),
            );
        }
        date
    };
    let (from, until) = (date(&target.from), date(&target.until));
    let goal = match (&target.between, target.value.value, better) {
        (Some(band), None, Some(Better::Within)) => match band.value.as_slice() {
            [low, high] if low <= high => Some(Goal::Between { low: *low, high: *high }),
            _ => {
                problems.add(
                    Diagnostic::error("wrong-value", "`between` is a list of two numbers, the lower first")
                        .at(band.span)
                        .hint("such as `between: [0.2, 0.4]`"),
                );
                None
            }
        },
        (Some(band), _, _) => {
            problems.add(
                Diagnostic::error("wrong-value", "`between` goes with `better: within` and without `value`")
                    .at(band.span)
                    .hint("for a band write `better: within`, else a `value` instead of `between`"),
            );
            None
        }
        (None, Some(value), Some(better @ (Better::Higher | Better::Lower))) => {
            let (warn, critical) = (target.warn.as_ref(), target.critical.as_ref());
            let in_order = |nearer: f64, farther: f64| match better {
                Better::Higher => nearer >= farther,
                _ => nearer <= farther,
            };
            let mut last = value;
            for (key, bound) in [("warn", warn), ("critical", critical)] {
                let Some(bound) = bound else { continue };
                if !in_order(last, bound.value) {
                    problems.add(
                        Diagnostic::error(
                            "wrong-value",
                            format!("`{key}: {}` lies on the good side of {last}", bound.value),
                        )
                        .at(bound.span)
                        .hint("from the target away: value, then warn, then critical"),
                    );
                }
                last = bound.value;
            }
            Some(Goal::Value {
                value,
                warn: warn.map(|warn| warn.value),
                critical: critical.map(|critical| critical.value),
            })
        }
        (None, Some(_), _) => {
            problems.add(
                Diagnostic::error("missing-key", "a target needs `better: higher` or `better: lower` beside it")
                    .at(target.span)
                    .hint("for a band write `better: within` and `target: {between: [low, high]}`"),
            );
            None
        }
        (None, None, _) => {
            problems.add(
                Diagnostic::error("missing-key", "a target has a `value`, or `between` for a band")
                    .at(target.span)
                    .hint("such as `target: 0.25` or `target: {value: 0.25, warn: 0.22}`"),
            );
            None
        }
    };
    (problems.count() == before).then_some(Target { goal: goal?, from, until })
}

fn dimension_sets(spec: &KpiSpec, required: &[String]) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = vec![required.to_vec()];
    for set in spec.by.iter().flatten() {
        let mut names: Vec<String> = required.to_vec();
        for name in set.items() {
            if !names.contains(&name.value) {
                names.push(name.value);
            }
        }
        let is_known =
            |known: &Vec<String>| known.len() == names.len() && names.iter().all(|name| known.contains(name));
        if !sets.iter().any(is_known) {
            sets.push(names);
        }
    }
    sets
}

fn names(list: &Option<Vec<Spanned<String>>>) -> Vec<String> {
    list.iter().flatten().map(|name| name.value.clone()).collect()
}

/// Words that have a fixed list, and names of other KPIs.
fn check_words(
    context: &Context,
    spec: &KpiSpec,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) {
    const RHYTHMS: [&str; 5] = ["daily", "weekly", "monthly", "quarterly", "yearly"];
    if let Some(review) = &spec.review
        && !RHYTHMS.contains(&review.as_str())
    {
        let diagnostic =
            Diagnostic::error("unknown-value", format!("there is no review rhythm `{}`", review.value)).at(review.span);
        problems.add(match nearest(review, RHYTHMS) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("it is daily, weekly, monthly, quarterly or yearly"),
        });
    }
    for guardrail in spec.guardrails.iter().flatten() {
        if !specs.contains_key(&guardrail.value) && !context.broken_kpis.contains(&guardrail.value) {
            let mut diagnostic =
                Diagnostic::error("unknown-kpi", format!("there is no KPI `{}`", guardrail.value)).at(guardrail.span);
            diagnostic.hint = Some(match nearest(guardrail, specs.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "guardrails are names of KPIs; `kpi ls` lists them".into(),
            });
            problems.add(diagnostic);
        }
    }
}

/// What a value depends on, as a digest. Labels and descriptions are not in it.
fn fingerprint(context: &Context, kpi: &Kpi, ready: &BTreeMap<String, Arc<Kpi>>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut put = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(b"\0");
    };
    // Raised when a version of kpi computes the same definition differently.
    put("meaning 1");
    put(&format!("{:?}", context.project.calendar));
    put(&format!("{:?} {:?} {:?}", kpi.grains, kpi.dimension_sets, kpi.required_dimensions));
    put(&format!("{:?} {:?} {:?} {:?}", kpi.target, kpi.better, kpi.minimum_n, kpi.unit));
    match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let every_join =
                aggregate.joins.iter().chain(aggregate.dimensions.values().flat_map(|dimension| &dimension.joins));
            let paths: BTreeSet<_> = every_join.cloned().chain([vec![]]).collect();
            for path in &paths {
                if let Some(table) = context.tables.table_at(&aggregate.table, path) {
                    put(&format!("{} {} {:?} {:?}", table.name, table.fingerprint, path, table.freshness));
                }
                if let Some((last, before)) = path.split_last()
                    && let Some(from) = context.tables.table_at(&aggregate.table, before)
                {
                    put(&format!("{:?}", from.joins.get(last)));
                }
            }
            put(&format!("{} {:?} {}", aggregate.time, aggregate.condition, aggregate.fill_zero));
            aggregate.measures.iter().for_each(|measure| put(&format!("{measure:?}")));
            aggregate.dimensions.iter().for_each(|(name, dimension)| put(&format!("{name} {}", dimension.expression)));
            put(&aggregate.value.expression.to_string());
        }
        Shape::Arithmetic(arithmetic) => {
            for input in &arithmetic.inputs {
                put(&format!("{input:?}"));
                put(ready.get(&input.kpi).map_or("", |kpi| kpi.fingerprint.as_str()));
            }
            put(&arithmetic.value.expression.to_string());
        }
    }
    hasher.finalize().to_hex().to_string()
}
