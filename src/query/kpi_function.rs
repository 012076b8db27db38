//! `kpi('close_rate', by => 'region', grain => 'month')` in FROM: what it asks, and what is wrong with it.
//!
//! Nothing is computed here.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::NaiveDate;
use datafusion::common::{DataFusionError, Diagnostic as Note, Result, Span as Place, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, Spanned, TableFactor, Value, ValueWithSpan,
};

use super::kpi_table::KpiTable;
use super::parameters::{Parameters, without_value};
use crate::engine::{Engine, Question};
use crate::time::Grain;

/// The function's name.
pub const KPI_FUNCTION: &str = "kpi";

/// The words before `=>`.
pub const ARGUMENTS: [(&str, &str); 3] = [
    ("by", "dimensions, columns or paths through joins: 'region' or ['region', 'account.segment']"),
    ("grain", "'day', 'week', 'month', 'quarter' or 'year'"),
    ("since", "begin with the period that this day lies in: '2025-01-01'"),
];

/// Puts rows in the place of the function.
pub(super) struct KpiRelations {
    pub(super) engine: Arc<Engine>,
    pub(super) parameters: Arc<RwLock<Parameters>>,
}

impl fmt::Debug for KpiRelations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KpiRelations")
    }
}

impl RelationPlanner for KpiRelations {
    fn plan_relation(&self, relation: TableFactor, _: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        if let TableFactor::Table { name, sample: Some(_), .. } = &relation {
            let hint = "`WHERE random() < 0.1` takes about a tenth of the rows";
            return Err(refused("a sample of a table cannot be taken".into(), Some(hint.into()), place(name.span())));
        }
        let TableFactor::Table { name, args: Some(arguments), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if !name.to_string().eq_ignore_ascii_case(KPI_FUNCTION) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let question = self.question(&arguments.args, place(name.span()))?;
        let schema = self.engine.columns_of(&question).map_err(|error| {
            let first = arguments.args.first().and_then(|argument| place(argument.span()));
            refused(error.message().to_owned(), error.hint().map(in_sql), first)
        })?;
        let table = KpiTable { engine: self.engine.clone(), question, schema };
        let table_name = TableReference::bare(table.question.kpi.clone());
        let plan = LogicalPlanBuilder::scan(table_name, provider_as_source(Arc::new(table)), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// A hint for the command line in the words of the function.
fn in_sql(hint: &str) -> String {
    let hint = hint.replace("`--grain ", "`grain => ");
    match hint.split_once("`--by ") {
        Some((front, rest)) => match rest.split_once('`') {
            Some((names, behind)) => {
                let names: Vec<String> = names.split(',').map(|name| format!("'{name}'")).collect();
                format!("{front}`by => [{}]`{behind}", names.join(", "))
            }
            None => hint,
        },
        None => hint,
    }
}

fn place(span: datafusion::sql::sqlparser::tokenizer::Span) -> Option<Place> {
    Place::try_from_sqlparser_span(span)
}

/// A mistake at a place of the query.
fn refused(message: String, hint: Option<String>, place: Option<Place>) -> DataFusionError {
    let mut note = Note::new_error(message.clone(), place);
    if let Some(hint) = hint {
        note.add_help(hint, None);
    }
    DataFusionError::Diagnostic(Box::new(note), Box::new(DataFusionError::Plan(message)))
}

impl KpiRelations {
    fn question(&self, arguments: &[FunctionArg], function: Option<Place>) -> Result<Question> {
        let mut question = Question::default();
        for (index, argument) in arguments.iter().enumerate() {
            let at = place(argument.span());
            let (name, value) = match argument {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    (name.value.to_lowercase(), value)
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if index == 0 => ("name".to_owned(), value),
                _ => {
                    return Err(refused(
                        format!("`{argument}` is no argument of `kpi`"),
                        Some(
                            "write `kpi('close_rate', by => 'region', grain => 'month', since => '2025-01-01')`".into(),
                        ),
                        at,
                    ));
                }
            };
            let text = |value: &SqlExpr| {
                if let SqlExpr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = value
                    && self.text(value).is_none()
                {
                    let error = without_value(name.trim_start_matches('$'));
                    return Err(refused(error.message().to_owned(), error.hint().map(str::to_owned), at));
                }
                self.text(value).ok_or_else(|| {
                    let hint = "write a text in single quotes, or a parameter such as `$name`";
                    refused(format!("`{value}` is no text for `{name}`"), Some(hint.into()), at)
                })
            };
            match name.as_str() {
                "name" => question.kpi = text(value)?,
                "by" => {
                    let values = match value {
                        SqlExpr::Array(array) => array.elem.iter().map(text).collect::<Result<Vec<_>>>()?,
                        other => vec![text(other)?],
                    };
                    let names = values.iter().flat_map(|value| value.split(','));
                    question.by = names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
                }
                "grain" => {
                    let word = text(value)?;
                    let grain = word.to_lowercase().parse::<Grain>().map_err(|()| {
                        let names = Grain::ALL.map(Grain::name).join(", ");
                        refused(format!("there is no grain `{word}`"), Some(format!("it is one of {names}")), at)
                    })?;
                    question.grain = Some(grain);
                }
                "since" => {
                    let word = text(value)?;
                    let day = NaiveDate::parse_from_str(word.trim(), "%Y-%m-%d").map_err(|_| {
                        refused(format!("`{word}` is no day"), Some("write a day as '2025-01-31'".into()), at)
                    })?;
                    question.since = Some(day);
                }
                other => {
                    let names = ARGUMENTS.map(|(name, _)| name);
                    let hint = match crate::diagnostic::nearest(other, names) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("it has {}", names.join(", ")),
                    };
                    return Err(refused(format!("`kpi` has no argument `{other}`"), Some(hint), at));
                }
            }
        }
        if question.kpi.is_empty() {
            return Err(refused(
                "`kpi` needs the name of a KPI".into(),
                Some("write `kpi('close_rate')`".into()),
                function,
            ));
        }
        Ok(question)
    }

    /// The text of a literal, a typed literal such as `DATE '2025-01-31'`, or a parameter.
    fn text(&self, value: &SqlExpr) -> Option<String> {
        match value {
            SqlExpr::Value(ValueWithSpan { value, .. }) => match value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                Value::DollarQuotedString(text) => Some(text.value.clone()),
                Value::Placeholder(name) => {
                    let parameters = self.parameters.read().unwrap_or_else(PoisonError::into_inner);
                    parameters.get(name.trim_start_matches('$')).map(|parameter| parameter.text.clone())
                }
                _ => None,
            },
            SqlExpr::TypedString(typed) => match &typed.value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
            // A word without quotes is what people type first.
            SqlExpr::Identifier(word) if word.quote_style.is_none() => Some(word.value.clone()),
            SqlExpr::Nested(inner) => self.text(inner),
            _ => None,
        }
    }
}
