//! What a KPI makes of the rows of its table before they are aggregated: entities, conversions, steps of a funnel, cohorts;
//! and its value over that.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::logical_expr::Expr;

use super::aggregate::{Further, Rows, fields, over_measures, table_state, with_bare_columns};
use super::expression::{Names, Namespace, Parsed, Unresolved, list, resolve};
use super::joins::Family;
use super::kpis::Context;
use super::length::within;
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::model::{
    ACTIVE, AGE, AGES, CLOSING, CONVERSION, CONVERSION_TIME, Cohorts, ComputedColumn, Conversions, Dimension, Entities,
    Funnel, JoinPath, Measure, OPENING, Placement, REACHED, STEP, STEPS, Subject, Within, boundary_column,
};
use crate::spec::{ConversionSpec, KpiSpec, Pairs, Spanned, StepSpec};
use crate::time::Grain;

/// The subject of a KPI, with its value over it.
pub(super) struct Subjected {
    pub subject: Subject,
    pub value: Expr,
    pub value_type: DataType,
    pub measures: Vec<Measure>,
    pub value_span: Span,
    pub further_joins: BTreeSet<JoinPath>,
}

/// The dimension that a shape brings with it.
pub(super) fn built_in_dimension(spec: &KpiSpec) -> Option<(&'static str, Dimension)> {
    let (name, relation, data_type) = match (&spec.funnel, &spec.cohort) {
        (Some(_), _) => (STEP, STEPS, DataType::Utf8),
        (None, Some(_)) => (AGE, AGES, DataType::Int64),
        (None, None) => return None,
    };
    let expression = Expr::Column(Column::new(Some(TableReference::bare(relation)), name));
    Some((name, Dimension { expression, data_type, joins: BTreeSet::new() }))
}

pub(super) fn subject(
    rows: &mut Rows,
    spec: &KpiSpec,
    time: Option<&(Expr, DataType)>,
    placement: &Option<Placement>,
    grains: &[Grain],
    problems: &mut Problems,
) -> Option<Subjected> {
    let value = value_text(rows.context, spec, problems)?;
    let parsed = problems.take(rows.context.language.parse(&value))?;
    if let Some(conversion) = &spec.conversion {
        return conversions(rows, conversion, time, &parsed, problems);
    }
    if let Some(steps) = &spec.funnel {
        return funnel(rows, spec, steps, &parsed, problems);
    }
    if spec.per.is_some() {
        return of_entities(rows, spec, placement, grains, &parsed, problems);
    }
    let mut measures = Vec::new();
    let namespace = &rows.context.tables.namespace;
    let (expression, data_type) = rows.aggregates(&parsed, namespace, &Further::default(), &mut measures, problems)?;
    Some(subjected(Subject::Rows, (expression, data_type), measures, &parsed))
}

fn subjected(
    subject: Subject,
    (value, value_type): (Expr, DataType),
    measures: Vec<Measure>,
    parsed: &Parsed,
) -> Subjected {
    Subjected { subject, value, value_type, measures, value_span: parsed.text.span, further_joins: BTreeSet::new() }
}

/// The value as written, or what the shape is asked for most.
fn value_text(context: &Context, spec: &KpiSpec, problems: &mut Problems) -> Option<Spanned<String>> {
    if let Some(value) = &spec.value {
        return Some(value.clone());
    }
    // Keys that do not go together are reported already, and so is a shape that could not be read.
    let do_not_fit = (spec.funnel.is_some() && spec.conversion.is_some())
        || (spec.cohort.is_some() && spec.per.is_none())
        || context.broken_kpis.contains(&spec.kpi.value);
    if do_not_fit {
        return None;
    }
    if let Some(funnel) = &spec.funnel {
        return Some(Spanned::new(format!("count(*) FILTER (WHERE {REACHED}) / count(*)"), funnel.span));
    }
    if let Some(cohort) = &spec.cohort {
        return Some(Spanned::new(format!("count(*) FILTER (WHERE {ACTIVE}) / count(*)"), cohort.span));
    }
    if let Some(conversion) = &spec.conversion {
        return Some(Spanned::new("count(*) FILTER (WHERE converted) / count(*)".to_owned(), conversion.span));
    }
    problems.add(
        Diagnostic::error("missing-key", format!("KPI `{}` has no `value`", spec.kpi.value))
            .at(spec.kpi.span)
            .hint("write what it is, such as `value: count(*)` or `value: sum(amount)`"),
    );
    None
}

/// The columns of a mapping, each an expression over aggregates of the rows.
fn columns(
    rows: &mut Rows,
    written: &Pairs<Spanned<String>>,
    measures: &mut Vec<Measure>,
    problems: &mut Problems,
) -> Option<Vec<ComputedColumn>> {
    let before = problems.count();
    let mut columns: Vec<ComputedColumn> = Vec::new();
    for (name, text) in written.iter() {
        let Some(parsed) = problems.take(rows.context.language.parse(text)) else { continue };
        let namespace = &rows.context.tables.namespace;
        let found = rows.aggregates(&parsed, namespace, &Further::default(), measures, problems);
        if let Some((expression, data_type)) = found {
            columns.push(ComputedColumn { name: name.value.clone(), expression, data_type });
        }
    }
    (problems.count() == before).then_some(columns)
}

fn of_entities(
    rows: &mut Rows,
    spec: &KpiSpec,
    placement: &Option<Placement>,
    grains: &[Grain],
    value: &Parsed,
    problems: &mut Problems,
) -> Option<Subjected> {
    let before = problems.count();
    let per = spec.per.as_ref()?;
    let mut keys: Vec<(String, Expr, DataType)> = Vec::new();
    for text in per.items() {
        if let Some((expression, data_type)) = rows.expression(&text, "`per`", problems) {
            keys.push((text.value.clone(), expression, data_type));
        }
    }
    let mut inner = Vec::new();
    let columns = columns(rows, &spec.columns, &mut inner, problems);
    let cohort = match &spec.cohort {
        Some(cohort) => Some(cohort_by(cohort, grains, spec, problems)?),
        None => None,
    };
    let (columns, placement) = (columns?, placement.as_ref()?);
    if problems.count() > before {
        return None;
    }
    let is_compared = matches!(placement, Placement::Boundaries(_)) && cohort.is_none();

    // What the value may name: the keys, the columns, and what the shape adds.
    let mut own: Vec<(String, DataType)> =
        keys.iter().map(|(name, _, data_type)| (name.clone(), data_type.clone())).collect();
    if is_compared {
        own.extend([OPENING, CLOSING].map(|name| (name.to_owned(), DataType::Boolean)));
    } else {
        own.extend(fields(&columns));
    }
    if cohort.is_some() {
        own.push((ACTIVE.to_owned(), DataType::Boolean));
        own.push((AGE.to_owned(), DataType::Int64));
    }
    let mut seen = BTreeSet::new();
    for (name, _) in keys
        .iter()
        .map(|(name, _, data_type)| (name, data_type))
        .chain(columns.iter().map(|computed| (&computed.name, &computed.data_type)))
    {
        let is_reserved = [OPENING, CLOSING, ACTIVE, AGE, "rows", "period_start"].contains(&name.as_str());
        if is_reserved
            || !seen.insert(name.clone())
            || inner.iter().any(|measure| measure.name == *name && !is_plain(&columns, name))
        {
            let span = spec
                .columns
                .iter()
                .find(|(written, _)| written.value == *name)
                .map_or(per.span, |(written, _)| written.span);
            problems.add(
                Diagnostic::error("reserved-name", format!("`{name}` means two things in this KPI"))
                    .at(span)
                    .hint("give the column another name"),
            );
            return None;
        }
    }
    let table = format!("per {}", keys.iter().map(|(name, _, _)| name.as_str()).collect::<Vec<_>>().join(", "));
    let mut names =
        Names { table: table.clone(), columns: own.iter().map(|(name, _)| name.clone()).collect(), ..Names::default() };
    let mut namespace = Namespace::new();
    let mut schema = relation(&table, &own);
    if is_compared {
        for boundary in [OPENING, CLOSING] {
            let columns = fields(&columns);
            let target = format!("{boundary} of {table}");
            names.joins.insert(boundary.to_owned(), target.clone());
            let column_names = columns.iter().map(|(name, _)| name.clone()).collect();
            namespace.insert(target, Names { table: boundary.to_owned(), columns: column_names, ..Names::default() });
            schema = problems.planned(schema.join(&relation(boundary, &columns)), value.text.span)?;
        }
    }
    namespace.insert(table.clone(), names);

    if let Some(diagnostic) = rows.context.language.nested_aggregate(value) {
        problems.add(diagnostic);
        return None;
    }
    let resolved = resolve(rows.context.language, &namespace, &table, value);
    let resolved = problems.resolved(resolved.map_err(|error| match error {
        Unresolved::Mistake(mistake) => Unresolved::Mistake(Box::new(of_value(*mistake, spec, &columns, is_compared))),
        other => other,
    }))?;
    let typed = typing::plan(rows.context.state, resolved.sql, &schema);
    let (expression, _) = problems.planned(typed, value.text.span)?;
    let mut measures = Vec::new();
    let typed = over_measures(expression, &schema, &mut measures, value.text.span, problems)?;
    with_bare_columns(&mut measures, |column| match &column.relation {
        Some(relation) if is_compared && [OPENING, CLOSING].contains(&relation.table()) => {
            boundary_column(relation.table(), &column.name)
        }
        _ => column.name.clone(),
    });
    let entities =
        Entities { keys: keys.into_iter().map(|(name, key, _)| (name, key)).collect(), measures: inner, columns };
    let subject = match cohort {
        Some((by, ages)) => Subject::Cohorts(Cohorts { entities, by, ages }),
        None => Subject::Entities(entities),
    };
    Some(subjected(subject, typed, measures, value))
}

/// A mistake in a value over entities, in words that lead back to the definition.
fn of_value(mut mistake: Diagnostic, spec: &KpiSpec, columns: &[ComputedColumn], is_compared: bool) -> Diagnostic {
    let name = mistake.message.split('`').nth(1).unwrap_or_default().to_owned();
    let boundary =
        mistake.message.split('`').nth(3).filter(|name| [OPENING, CLOSING].contains(name)).map(str::to_owned);
    let is_near = mistake.hint.as_ref().is_some_and(|hint| hint.starts_with("did you mean"));
    match (mistake.code, boundary) {
        ("unknown-join", Some(boundary)) => {
            mistake.message =
                format!("there is no `{boundary}` here: only a `stock` without `at` is read at both ends");
            mistake.hint = Some(match spec.stock {
                Some(_) => "leave `at` out to compare both ends, or name the column without it".into(),
                None => "add `stock: {from: ..., to: ...}` with the days between which a row is there".into(),
            });
        }
        ("unknown-column", _) if is_compared && columns.iter().any(|column| column.name == name) => {
            mistake.message = format!("`{name}` is there twice: at the start and at the end of the period");
            mistake.hint = Some(format!("write `opening.{name}` or `closing.{name}`"));
        }
        ("unknown-column", _) if !is_near => {
            let known = list(columns.iter().map(|column| column.name.as_str()));
            let aggregate = format!("such as `columns: {{{name}: sum({name})}}`");
            mistake.message = format!("the value looks at entities, and those have no `{name}`");
            mistake.hint = Some(match columns.is_empty() {
                true => format!("say what is meant of all rows of an entity, {aggregate}"),
                false => format!("they have {known}; add what is meant of all rows of an entity, {aggregate}"),
            });
        }
        _ => {}
    }
    mistake
}

/// Whether a column is nothing but the measure of the same name.
fn is_plain(columns: &[ComputedColumn], name: &str) -> bool {
    columns.iter().any(|computed| {
        computed.name == name && matches!(&computed.expression, Expr::Column(column) if column.name == name)
    })
}

fn relation(name: &str, columns: &[(String, DataType)]) -> DFSchema {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect();
    DFSchema::try_from_qualified_schema(TableReference::bare(name), &Schema::new(fields))
        .unwrap_or_else(|_| DFSchema::empty())
}

fn cohort_by(
    cohort: &Spanned<crate::spec::CohortSpec>,
    grains: &[Grain],
    spec: &KpiSpec,
    problems: &mut Problems,
) -> Option<(Grain, i64)> {
    /// A year of days.
    const AGES_AT_MOST: u64 = 366;
    let Ok(by) = cohort.by.parse::<Grain>() else {
        let diagnostic =
            Diagnostic::error("unknown-grain", format!("there is no grain `{}`", cohort.by.value)).at(cohort.by.span);
        problems.add(match nearest(&cohort.by, Grain::ALL.map(Grain::name)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("the grains are day, week, month, quarter and year"),
        });
        return None;
    };
    if cohort.ages.value > AGES_AT_MOST {
        problems.add(
            Diagnostic::error("wrong-value", format!("`ages` goes up to {AGES_AT_MOST}"))
                .at(cohort.ages.span)
                .hint("such as `ages: 12`; a longer `by` needs fewer of them"),
        );
        return None;
    }
    if let Some(other) = grains.iter().find(|grain| **grain != by) {
        problems.add(
            Diagnostic::error(
                "cohort-grain",
                format!("these cohorts are by {by}, and their ages count {by}s, so they cannot be read by {other}"),
            )
            .at(spec
                .grains
                .iter()
                .flatten()
                .find(|grain| grain.value == other.name())
                .map_or(cohort.by.span, |grain| grain.span))
            .hint(format!("write `grains: [{by}]`, or make a second KPI with `by: {other}`")),
        );
        return None;
    }
    Some((by, i64::try_from(cohort.ages.value).unwrap_or(0)))
}

fn funnel(
    rows: &mut Rows,
    spec: &KpiSpec,
    steps: &Spanned<Vec<Spanned<StepSpec>>>,
    value: &Parsed,
    problems: &mut Problems,
) -> Option<Subjected> {
    let before = problems.count();
    // A step that could not be read is reported already.
    let is_read = !rows.context.broken_kpis.contains(&spec.kpi.value);
    if steps.value.len() < 2 && is_read {
        problems.add(
            Diagnostic::error("wrong-value", "a funnel has two steps or more")
                .at(steps.span)
                .hint("such as `funnel: [{step: created}, {step: qualified, where: sql_at IS NOT NULL}]`"),
        );
        return None;
    }
    let mut found: Vec<(String, Option<Expr>)> = Vec::new();
    for step in &steps.value {
        let name = &step.step;
        if found.iter().any(|(known, _)| *known == name.value) {
            problems.add(
                Diagnostic::error("duplicate-name", format!("there are two steps `{}`", name.value))
                    .at(name.span)
                    .hint("rename one of them"),
            );
        }
        if step.condition.is_none() && !found.is_empty() && is_read {
            problems.add(
                Diagnostic::error("missing-key", format!("step `{}` has no `where`", name.value))
                    .at(name.span)
                    .hint("only the first step can do without: every row takes it"),
            );
        }
        let condition = step.condition.as_ref().map(|text| rows.condition(text, "a step", problems));
        found.push((name.value.clone(), condition.flatten()));
    }
    if problems.count() > before {
        return None;
    }
    let mut measures = Vec::new();
    let columns = vec![(REACHED.to_owned(), DataType::Boolean)];
    let beside = Beside { name: STEPS, columns, short: (REACHED, "steps.reached") };
    let typed = with_relation(rows, &beside, value, &mut measures, problems)?;
    Some(subjected(Subject::Funnel(Funnel { steps: found }), typed, measures, value))
}

/// A relation beside the rows of a table, as a value may name it.
struct Beside {
    name: &'static str,
    columns: Vec<(String, DataType)>,
    /// A short name, and what it stands for.
    short: (&'static str, &'static str),
}

/// The value over the rows of a table with a relation beside them.
fn with_relation(
    rows: &mut Rows,
    beside: &Beside,
    value: &Parsed,
    measures: &mut Vec<Measure>,
    problems: &mut Problems,
) -> Option<(Expr, DataType)> {
    let Beside { name, columns, short: (short, meaning) } = beside;
    let mut namespace = rows.context.tables.namespace.clone();
    let meaning = Spanned::new((*meaning).to_owned(), value.text.span);
    let meaning = problems.take(rows.context.language.parse(&meaning))?;
    let target = format!("{name} of {}", rows.table);
    let own = namespace.get_mut(rows.table)?;
    if own.joins.contains_key(*name) {
        problems.add(
            Diagnostic::error(
                "reserved-name",
                format!("`{name}` means two things here: a join of `{}` is called so", rows.table),
            )
            .at(value.text.span)
            .hint(format!("give the join of `{}` another name", rows.table)),
        );
        return None;
    }
    own.joins.insert((*name).to_owned(), target.clone());
    own.predicates.insert((*short).to_owned(), meaning);
    own.dimensions.remove(*short);
    let column_names = columns.iter().map(|(name, _)| name.clone()).collect();
    namespace.insert(target, Names { table: (*name).to_owned(), columns: column_names, ..Names::default() });
    let further = Further { names: vec![*name], relations: vec![relation(name, columns)] };
    rows.aggregates(value, &namespace, &further, measures, problems)
}

fn conversions(
    rows: &mut Rows,
    written: &Spanned<ConversionSpec>,
    time: Option<&(Expr, DataType)>,
    value: &Parsed,
    problems: &mut Problems,
) -> Option<Subjected> {
    let before = problems.count();
    let context = rows.context;
    let base_key: Vec<String> =
        context.tables.ready(rows.table).map(|table| table.primary_key.clone()).unwrap_or_default();
    if base_key.is_empty() {
        problems.add(
            Diagnostic::error(
                "missing-key",
                format!("events of `{}` at the same time have no order: the table has no `primary_key`", rows.table),
            )
            .at(written.span)
            .hint(format!(
                "write `primary_key:` in table `{}`; of events at the same time the last key converts",
                rows.table
            )),
        );
    }
    match table_state(context, &written.from, problems) {
        Ok(()) => {}
        Err(super::kpis::Shaped::Skipped(_)) => {
            rows.missing = Some(written.from.value.clone());
            return None;
        }
        Err(_) => return None,
    }
    let (here, there) = match written.entity.split_once('=') {
        Some((here, there)) => (here.trim(), there.trim()),
        None => (written.entity.trim(), written.entity.trim()),
    };
    let part = |text: &str| Spanned::new(text.to_owned(), written.entity.span);
    let base_entity = rows.expression(&part(here), "`entity`", problems);

    let mut after = Rows::of(context, &written.from.value);
    let default_time = context.table_specs.get(&written.from.value).and_then(|table| table.time.as_ref());
    let after_time = match written.time.as_ref().or(default_time) {
        Some(text) => after.time(text, "`time`", problems),
        None => {
            problems.add(
                Diagnostic::error(
                    "missing-key",
                    format!("the conversion has no `time`, and table `{}` has none either", written.from.value),
                )
                .at(written.span)
                .hint("name the date or timestamp of the conversion, such as `time: order_date`"),
            );
            None
        }
    };
    let condition = written.condition.as_ref().and_then(|text| after.condition(text, "`where`", problems));
    let entity = after.expression(&part(there), "`entity`", problems);
    let mut inner = Vec::new();
    let columns = columns(&mut after, &written.columns, &mut inner, problems);
    let within = match within(context.language, &written.within, "within") {
        Ok(within) => Some(within),
        Err(diagnostic) => {
            problems.add(diagnostic);
            None
        }
    };
    if after.missing.is_some() {
        rows.missing = after.missing;
    }
    let (Some((base_entity, base_type)), Some((entity, entity_type)), Some((after_time, after_type))) =
        (base_entity, entity, after_time)
    else {
        return None;
    };
    if Family::of(&base_type).is_none() || Family::of(&base_type) != Family::of(&entity_type) {
        let (base, other) = (typing::type_name(&base_type), typing::type_name(&entity_type));
        problems.add(
            Diagnostic::error(
                "join-types",
                format!(
                    "`{here}` is {base} and `{there}` of `{}` is {other}, which cannot be the same entity",
                    written.from.value
                ),
            )
            .at(written.entity.span)
            .hint("give both the same `type` under `columns`"),
        );
    }
    if let Some((name, _)) = written.columns.iter().find(|(name, _)| name.value == CONVERSION_TIME) {
        problems.add(
            Diagnostic::error("reserved-name", "`conversion.time` is the time of the first conversion")
                .at(name.span)
                .hint("give the column another name"),
        );
    }
    let ((base_time, base_time_type), columns, within) = (time?.clone(), columns?, within?);
    let conversions = Conversions {
        base_time,
        base_time_type,
        base_entity,
        base_key,
        table: written.from.value.clone(),
        joins: after.joins,
        time: after_time,
        time_type: after_type,
        condition,
        entity,
        within,
        measures: inner,
        columns,
    };
    if conversions.is_by_day() && matches!(within, Within::Seconds(_)) {
        problems.add(
            Diagnostic::error(
                "wrong-value",
                "hours need the time of day on both sides, and one of these times is a date",
            )
            .at(written.within.span)
            .hint("write days, such as `within: 1 day`"),
        );
    }
    if problems.count() > before {
        return None;
    }
    let mut columns = vec![(CONVERSION_TIME.to_owned(), conversions.order_type())];
    columns.extend(fields(&conversions.columns));
    let mut measures = Vec::new();
    let beside = Beside { name: CONVERSION, columns, short: ("converted", "conversion.time IS NOT NULL") };
    let typed = with_relation(rows, &beside, value, &mut measures, problems)?;
    Some(subjected(Subject::Conversions(Box::new(conversions)), typed, measures, value))
}

/// The time of a conversion as it stands beside its base event, and its type.
pub(super) fn conversion_time(conversions: &Conversions) -> (Expr, DataType) {
    let time = Expr::Column(Column::new(Some(TableReference::bare(CONVERSION)), CONVERSION_TIME));
    (time, conversions.order_type())
}
