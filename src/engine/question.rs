//! One KPI, computed for a question and published nowhere; and the SQL of it.
//!
//! What a run would not publish is not shown either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::DefaultDialect;

use super::Engine;
use super::inputs::Inputs;
use crate::audit::{NOT_EMPTY, audit};
use crate::compile::{Bounds, Cell, Compiler, Members, TableLeaves, Way, result_plan, shown_plan};
use crate::days::DayRanges;
use crate::error::{Error, Result};
use crate::execute::{self, query_error};
use crate::model::{Earlier, Kpi, Model, Placement, Shape, Subject, Window};
use crate::store::AuditStatus;
use crate::survey::{FileDays, Survey, broken_keys, repeated_targets, survey};
use crate::time::Grain;

/// What `kpi show` and `kpi sql` are asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub kpi: String,
    /// Dimensions, columns or paths through joins.
    pub by: Vec<String>,
    /// Default: the first that the KPI names.
    pub grain: Option<Grain>,
    /// The first day of interest; the period that it lies in is the first one shown.
    pub since: Option<NaiveDate>,
}

/// The values asked for, with all columns that published rows have.
#[derive(Debug, Clone)]
pub struct Answer {
    pub kpi: Arc<Kpi>,
    pub cell: Cell,
    pub schema: SchemaRef,
    pub rows: RecordBatch,
}

impl Engine {
    /// Computes a KPI and publishes nothing.
    ///
    /// # Errors
    /// `Config` where the question cannot be answered, else as the query fails.
    pub async fn show(&self, question: &Question) -> Result<Answer> {
        let Prepared { model, kpi, cell, survey, since, bounds } = self.prepare(question).await?;
        // In a test, tables that are not given are empty, and mean it.
        if let Some(error) = self.without_rows(&model, &kpi, &survey).filter(|_| !self.as_of.is_all_known) {
            return Err(error);
        }
        let plans = |way| -> Result<Vec<(Cell, LogicalPlan)>> {
            let leaves = TableLeaves { model: &model, bounds: bounds.clone(), way, rows: None };
            let extents = &survey.extents;
            let compiler = Compiler { model: &model, leaves: &leaves, extents, days: None, members: &Members::new() };
            let plan = result_plan(&compiler, &kpi, &cell, None).map_err(query_error)?;
            let plan = match since {
                Some(since) => crate::compile::since(plan, since).map_err(query_error)?,
                None => plan,
            };
            Ok(vec![(cell.clone(), plan)])
        };
        let result = execute::compute(&self.context, &kpi, plans).await;
        let result = match result {
            Ok(result) => result,
            Err(error) => return Err(self.explain(&kpi, error).await),
        };
        // What a run would not publish is not shown either.
        let audits = audit(&result, None, result.rows.num_rows(), None)?;
        let failure = audits.iter().find(|audit| audit.status == AuditStatus::Failed && audit.name != NOT_EMPTY);
        if let Some(failure) = failure {
            let detail = failure.detail.clone().unwrap_or_default();
            return Err(Error::execution(format!("`{}` cannot be shown: {}: {detail}", kpi.name, failure.name)));
        }
        Ok(Answer { kpi, cell, schema: result.schema, rows: result.rows })
    }

    /// The columns that the answer to a question has; the data is not looked at.
    ///
    /// # Errors
    /// `Config` where the question cannot be answered.
    pub fn columns_of(&self, question: &Question) -> Result<SchemaRef> {
        self.refuse_unsound_project()?;
        let (model, kpi, cell) = self.understand(question)?;
        let bounds = Bounds { days: DayRanges::all(), until: self.as_of.day };
        let leaves = TableLeaves { model: &model, bounds, way: Way::Joins, rows: None };
        let extents = BTreeMap::new();
        let compiler =
            Compiler { model: &model, leaves: &leaves, extents: &extents, days: None, members: &Members::new() };
        let plan = result_plan(&compiler, &kpi, &cell, None).map_err(query_error)?;
        Ok(execute::published_schema(plan.schema().inner()))
    }

    /// The SQL that DataFusion runs for a KPI, over the tables by their names.
    ///
    /// # Errors
    /// `Config` where the question cannot be answered, else as the survey of the data fails.
    pub async fn sql(&self, question: &Question) -> Result<String> {
        let Prepared { model, kpi, cell, survey, since, bounds } = self.prepare(question).await?;
        let leaves = TableLeaves { model: &model, bounds, way: Way::Names, rows: None };
        let compiler =
            Compiler { model: &model, leaves: &leaves, extents: &survey.extents, days: None, members: &Members::new() };
        let plan = shown_plan(&compiler, &kpi, &cell, since).map_err(query_error)?;
        let dialect = DefaultDialect {};
        let statement = Unparser::new(&dialect).plan_to_sql(&plan).map_err(query_error)?;
        let options = sqlformat::FormatOptions { uppercase: Some(true), ..Default::default() };
        Ok(sqlformat::format(&statement.to_string(), &sqlformat::QueryParams::None, &options))
    }

    /// What a question means, and what must be known of the data before it is answered.
    async fn prepare(&self, question: &Question) -> Result<Prepared> {
        self.refuse_unsound_project()?;
        let (model, kpi, cell) = self.understand(question)?;
        let survey = self.look_at(&model, &kpi).await?;
        let since = self.first_period(&model, question, &cell);
        let days = since.filter(|_| !looks_back(&model, &kpi)).map_or_else(DayRanges::all, DayRanges::since);
        let bounds = Bounds { days, until: self.as_of.day };
        Ok(Prepared { model, kpi, cell, survey, since, bounds })
    }

    /// The model, the KPI and the cell that a question means.
    fn understand(&self, question: &Question) -> Result<(Model, Arc<Kpi>, Cell)> {
        let kpi = self.find(&question.kpi)?;
        // Its target, a breakdown or a test may be lacking.
        if let Some(unusable) = self.validated.unusable.get(&kpi.name) {
            return Err(Error::execution(format!("`{}` cannot be shown: {}", kpi.name, unusable.reason))
                .with_hint("`kpi check` shows what is wrong with them"));
        }
        let grain = question.grain.or(kpi.grains.first().copied()).unwrap_or(Grain::Month);
        if let Some((name, minimum)) = minimum_grain(self.model(), kpi).filter(|(_, minimum)| grain < *minimum) {
            let whose = if name == kpi.name { "it".to_owned() } else { format!("`{name}`") };
            return Err(Error::config(format!(
                "`{}` says nothing by {grain}: {whose} has `minimum_grain: {minimum}`",
                kpi.name
            ))
            .with_hint(format!("ask for `--grain {minimum}`")));
        }
        if let Some(finest) = kpi.grains.iter().min().filter(|finest| grain < **finest) {
            return Err(Error::config(format!(
                "`{}` is not meant to be read by {grain}; its finest grain is {finest}",
                kpi.name
            ))
            .with_hint(format!("ask for `--grain {finest}`, or add {grain} to its `grains`")));
        }
        if let Some(reason) = why_not_at(self.model(), kpi, grain) {
            return Err(Error::config(reason).with_hint("ask for one of the grains that it names"));
        }
        let mut by: Vec<String> = Vec::new();
        question.by.iter().for_each(|name| {
            if !by.contains(name) {
                by.push(name.clone())
            }
        });
        let missing: Vec<&str> = (kpi.required_dimensions.iter().map(String::as_str))
            .filter(|name| !by.iter().any(|known| known == name))
            .collect();
        if !missing.is_empty() && question.by.is_empty() {
            // Without a word from the user, the dimensions that it must have are the ones meant.
            by.extend(missing.iter().map(|name| (*name).to_owned()));
        } else if !missing.is_empty() {
            let all: Vec<&str> = missing.iter().copied().chain(by.iter().map(String::as_str)).collect();
            return Err(Error::config(format!("`{}` must not be asked without {}", kpi.name, missing.join(", ")))
                .with_hint(format!("add `--by {}`", all.join(","))));
        }
        let mut model = self.validated.with_dimensions(&self.context, kpi, &by).map_err(|(message, hint)| {
            let error = Error::config(message);
            match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })?;
        let mut asked = model.kpis[&kpi.name].as_ref().clone();
        asked.dimension_sets = vec![by.clone()];
        let asked = Arc::new(asked);
        model.kpis.insert(asked.name.clone(), asked.clone());
        Ok((model, asked, Cell { grain, dimensions: by }))
    }

    /// Surveys the data behind one KPI, and refuses joins that would count rows twice.
    async fn look_at(&self, model: &Model, kpi: &Kpi) -> Result<Survey> {
        let names = BTreeSet::from([kpi.name.clone()]);
        let mut survey = survey(&self.context, model, &names, self.as_of, &self.known_days().await).await;
        survey.failed.extend(repeated_targets(&self.context, model, &names).await);
        let broken = broken_keys(&self.context, model, &names).await;
        match std::mem::take(&mut survey.failed).into_values().chain(broken.into_values()).next() {
            Some(error) => Err(self.explain(kpi, error).await),
            None => Ok(survey),
        }
    }

    /// What the last run has found of the files, if there was one.
    async fn known_days(&self) -> FileDays {
        // A question is answered without it, only later.
        let Ok(store) = self.store() else { return FileDays::default() };
        let head = store.head().await.ok().flatten();
        head.map(|head| Inputs::known_days(self.model(), &head)).unwrap_or_default()
    }

    fn first_period(&self, model: &Model, question: &Question, cell: &Cell) -> Option<NaiveDate> {
        model.project.calendar.period_start(question.since?, cell.grain)
    }
}

/// Whether a KPI needs rows in front of the periods asked for.
fn looks_back(model: &Model, kpi: &Kpi) -> bool {
    let is_found = match &kpi.shape {
        // The members to fill are those of all periods; whoever first appeared did so long ago.
        Shape::Aggregate(aggregate) => {
            aggregate.fill_zero
                || aggregate.placement != Placement::Event
                || matches!(aggregate.subject, Subject::Cohorts(_) | Subject::Conversions(_))
        }
        Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().any(|input| input.earlier.is_some()),
        Shape::Composite(_) | Shape::Query(_) => false,
    };
    is_found || kpi.inputs().iter().any(|input| model.kpis.get(*input).is_some_and(|below| looks_back(model, below)))
}

/// The coarsest `minimum_grain` of a KPI and those below it, and whose it is.
fn minimum_grain<'a>(model: &'a Model, kpi: &'a Kpi) -> Option<(&'a str, Grain)> {
    let name = kpi.variant_of.as_ref().unwrap_or(&kpi.name);
    let own = kpi.minimum_grain.map(|grain| (name.as_str(), grain));
    let below = kpi.value_inputs().into_iter().filter_map(|input| minimum_grain(model, model.kpis.get(input)?));
    // Its own is told where one below is no coarser.
    below.chain(own).max_by_key(|(_, grain)| *grain)
}

/// Why a KPI, or one below it, cannot be read at a grain that no definition names.
fn why_not_at(model: &Model, kpi: &Kpi, grain: Grain) -> Option<String> {
    let name = kpi.variant_of.as_ref().unwrap_or(&kpi.name);
    let offset = || format!("`{name}` looks back by a length that is no whole number of {grain}s");
    let own = match &kpi.shape {
        Shape::Aggregate(aggregate) => match (&aggregate.placement, &aggregate.subject) {
            (_, Subject::Cohorts(cohorts)) if cohorts.by != grain => {
                Some(format!("`{name}` has cohorts by {} and cannot be read by {grain}", cohorts.by))
            }
            (Placement::Window(Window::ToDate(unit)), _) if *unit < grain => {
                Some(format!("`{name}` adds up the {unit} to date, which is shorter than a {grain}"))
            }
            _ => None,
        },
        Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().find_map(|input| match input.earlier? {
            Earlier::Previous(previous) => previous.periods(grain).is_none().then(offset),
            Earlier::StartOf(unit) => (unit < grain).then(offset),
        }),
        Shape::Composite(_) | Shape::Query(_) => None,
    };
    own.or_else(|| kpi.inputs().iter().find_map(|input| why_not_at(model, model.kpis.get(*input)?, grain)))
}

/// A question ready to be compiled.
struct Prepared {
    model: Model,
    kpi: Arc<Kpi>,
    cell: Cell,
    survey: Survey,
    since: Option<NaiveDate>,
    bounds: Bounds,
}
