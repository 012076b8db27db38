//! Why a value is what it is: the value of one period beside that of the period before, and what each group brings to the
//! change.
//!
//! Contributions are shown only where they add up to the change, which is checked on the values themselves: groups of a
//! sum bring their own change; groups of a ratio bring what their own ratio changed (rate) and what their weight changed
//! (mix). Of anything else, such as a median, the groups are shown with their own changes and no contribution.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Answer, Engine, Question};
use crate::compile::{DENOMINATOR, NUMERATOR, PERIOD_START, VALUE};
use crate::error::{Error, Result};
use crate::execute::{result_column, result_column_as};
use crate::model::Kpi;
use crate::time::{Grain, from_epoch_days};

/// What a KPI was in one period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    pub value: Option<f64>,
    /// Of a ratio.
    pub numerator: Option<f64>,
    pub denominator: Option<f64>,
}

/// A value beside the one before, and where the change comes from.
#[derive(Debug, Clone)]
pub struct Contributions {
    pub kpi: Arc<Kpi>,
    pub grain: Grain,
    pub period: NaiveDate,
    pub before: NaiveDate,
    /// Overall; nothing where the KPI must not be asked without dimensions, or has no rows for the period.
    pub standing: Option<Standing>,
    pub standing_before: Option<Standing>,
    pub is_complete: bool,
    pub breakdowns: Vec<Breakdown>,
}

/// The groups of one set of dimensions.
#[derive(Debug, Clone)]
pub struct Breakdown {
    pub dimensions: Vec<String>,
    pub adding: Adding,
    /// What moved most comes first.
    pub groups: Vec<Group>,
}

/// How the groups make up the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adding {
    /// Values add up.
    Values,
    /// Numerators and denominators add up.
    Ratio,
    /// Neither does.
    No,
    /// There is no whole to compare them with: nothing was there before, or the KPI has no value without dimensions.
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The members, divided by commas.
    pub members: String,
    pub now: Standing,
    pub before: Standing,
    /// What it brings to the change of the whole.
    pub contribution: Option<f64>,
    /// The part of it that comes from the group's own ratio; the rest comes from its weight.
    pub rate: Option<f64>,
}

impl Group {
    pub fn mix(&self) -> Option<f64> {
        Some(self.contribution? - self.rate?)
    }
}

impl Engine {
    /// What a KPI was in the period that a day lies in, beside the period before; without a day, in the last complete one
    /// that has a value.
    ///
    /// # Errors
    /// As [`Engine::show`], and `Config` where there is no value to explain.
    pub async fn contributions(&self, question: &Question, day: Option<NaiveDate>) -> Result<Contributions> {
        let kpi = self.find(&question.kpi)?.clone();
        let overall = Question { by: kpi.required_dimensions.clone(), since: None, ..question.clone() };
        let overall = self.show(&overall).await?;
        let grain = overall.cell.grain;
        let calendar = &self.model().project.calendar;
        let rows = Rows::of(&overall)?;
        let period = match day {
            Some(day) => calendar.period_start(day, grain),
            None => rows.last_complete(),
        };
        let none = || {
            Error::config(format!("`{}` has no value to explain", kpi.name))
                .with_hint(format!("`kpi show {}` shows the periods that it has", kpi.name))
        };
        let period = period.filter(|period| rows.has(*period)).ok_or_else(none)?;
        let before = calendar.shift(period, grain, -1).ok_or_else(none)?;
        let alone =
            |period| if kpi.required_dimensions.is_empty() { rows.at(period).into_values().next() } else { None };
        let (standing, standing_before) = (alone(period), alone(before));

        let mut breakdowns = Vec::new();
        let sets = if question.by.is_empty() { kpi.dimension_sets.clone() } else { vec![question.by.clone()] };
        for set in sets.into_iter().filter(|set| !set.is_empty()) {
            let asked = Question { by: set.clone(), grain: Some(grain), since: Some(before), ..question.clone() };
            let answer = self.show(&asked).await?;
            let rows = Rows::of(&answer)?;
            let whole = standing.zip(standing_before);
            breakdowns.push(breakdown(set, rows.at(period), rows.at(before), whole));
        }
        let is_complete = rows.is_complete(period);
        Ok(Contributions { kpi, grain, period, before, standing, standing_before, is_complete, breakdowns })
    }
}

fn breakdown(
    dimensions: Vec<String>,
    now: BTreeMap<Members, Standing>,
    before: BTreeMap<Members, Standing>,
    whole: Option<(Standing, Standing)>,
) -> Breakdown {
    let mut names: Vec<&Members> = now.keys().chain(before.keys()).collect();
    names.sort();
    names.dedup();
    let of = |standings: &BTreeMap<Members, Standing>, name: &Members| standings.get(name).copied().unwrap_or_default();
    let pairs: Vec<Pair> = names.into_iter().map(|name| (name, of(&now, name), of(&before, name))).collect();
    let adding = whole.map_or(Adding::Unknown, |whole| adding(&pairs, whole));
    let group = |(name, now, before): Pair| {
        let (contribution, rate) = match (adding, whole) {
            (Adding::Values, Some(_)) => (Some(now.value.unwrap_or(0.0) - before.value.unwrap_or(0.0)), None),
            (Adding::Ratio, Some((whole, whole_before))) => of_ratio(&now, &before, &whole, &whole_before).unzip(),
            _ => (None, None),
        };
        Group { members: shown(name), now, before, contribution, rate }
    };
    let mut groups: Vec<Group> = pairs.into_iter().map(group).collect();
    let moved = |group: &Group| {
        let own = group.now.value.unwrap_or(0.0) - group.before.value.unwrap_or(0.0);
        group.contribution.unwrap_or(own).abs()
    };
    groups.sort_by(|one, other| moved(other).total_cmp(&moved(one)).then_with(|| one.members.cmp(&other.members)));
    Breakdown { dimensions, adding, groups }
}

/// The members of a group, one for each dimension; the one whose name is missing is none.
type Members = Vec<Option<String>>;

/// The members of a group, what it is now, and what it was before.
type Pair<'a> = (&'a Members, Standing, Standing);

/// For people.
fn shown(members: &Members) -> String {
    members.iter().map(|member| member.as_deref().unwrap_or("(none)")).collect::<Vec<_>>().join(", ")
}

/// How the groups make up the whole, in both periods.
fn adding(groups: &[Pair], (whole, whole_before): (Standing, Standing)) -> Adding {
    let sum = |of: &dyn Fn(&Pair) -> Option<f64>| -> f64 { groups.iter().filter_map(of).sum() };
    // Large amounts may cancel out: what is near is measured by what was added.
    let same = |of: &dyn Fn(&Pair) -> Option<f64>, whole: Option<f64>| {
        let size: f64 = groups.iter().filter_map(of).map(f64::abs).sum();
        (sum(of) - whole.unwrap_or(0.0)).abs() <= 1e-9 * size.max(1e-9)
    };
    let has_ratio = whole.denominator.is_some() && whole_before.denominator.is_some();
    if has_ratio
        && same(&|(_, now, _)| now.numerator, whole.numerator)
        && same(&|(_, now, _)| now.denominator, whole.denominator)
        && same(&|(_, _, before)| before.numerator, whole_before.numerator)
        && same(&|(_, _, before)| before.denominator, whole_before.denominator)
        && [whole, whole_before].iter().all(is_own_ratio)
    {
        return Adding::Ratio;
    }
    let adds_up = whole.value.is_some()
        && same(&|(_, now, _)| now.value, whole.value)
        && same(&|(_, _, before)| before.value, whole_before.value);
    if adds_up { Adding::Values } else { Adding::No }
}

/// Whether the value is what the numerator is to the denominator; it may be more than that.
fn is_own_ratio(standing: &Standing) -> bool {
    let Standing { value: Some(value), numerator: Some(numerator), denominator: Some(denominator) } = *standing else {
        return false;
    };
    denominator != 0.0 && (numerator / denominator - value).abs() <= 1e-9 * value.abs().max(1e-9)
}

/// What a group brings to the change of a ratio, and the part of that which its own ratio brings. With weights `w`, ratios
/// `r` of the group and `R` of the whole before: `w1 (r1 - R) - w0 (r0 - R)`, of which `w1 (r1 - r0)` is the ratio's own.
fn of_ratio(now: &Standing, before: &Standing, whole: &Standing, whole_before: &Standing) -> Option<(f64, f64)> {
    let parts = |of: &Standing| (of.numerator.unwrap_or(0.0), of.denominator.unwrap_or(0.0));
    let ((n1, d1), (n0, d0)) = (parts(now), parts(before));
    let (all1, all0, ratio_before) = (whole.denominator?, whole_before.denominator?, whole_before.value?);
    let contribution = (n1 - ratio_before * d1) / all1 - (n0 - ratio_before * d0) / all0;
    // Who was not there before, or is not any more, has no ratio that could have changed.
    let rate = if d1 == 0.0 || d0 == 0.0 { 0.0 } else { d1 / all1 * (n1 / d1 - n0 / d0) };
    Some((contribution, rate))
}

/// The rows of an answer, by period and group.
struct Rows {
    groups: BTreeMap<NaiveDate, BTreeMap<Members, Standing>>,
    complete: BTreeMap<NaiveDate, bool>,
}

impl Rows {
    fn of(answer: &Answer) -> Result<Rows> {
        let rows = &answer.rows;
        let typed = |name: &str, data_type: DataType| result_column_as(rows, name, &data_type);
        let start = typed(PERIOD_START, DataType::Date32)?;
        let is_complete = typed("is_complete", DataType::Boolean)?;
        let numbers = [VALUE, NUMERATOR, DENOMINATOR].map(|name| typed(name, DataType::Float64));
        let [value, numerator, denominator] = numbers;
        let (value, numerator, denominator) = (value?, numerator?, denominator?);
        let options = FormatOptions::new().with_null("(none)");
        let members = answer
            .cell
            .dimensions
            .iter()
            .map(|name| ArrayFormatter::try_new(result_column(rows, name)?.as_ref(), &options).map_err(unfit));
        let members = members.collect::<Result<Vec<_>>>()?;
        let columns =
            answer.cell.dimensions.iter().map(|name| result_column(rows, name)).collect::<Result<Vec<_>>>()?;
        let mut found = Rows { groups: BTreeMap::new(), complete: BTreeMap::new() };
        for row in 0..rows.num_rows() {
            let Some(period) = from_epoch_days(start.as_primitive::<Date32Type>().value(row)) else { continue };
            let number =
                |column: &dyn Array| column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row));
            let standing =
                Standing { value: number(&value), numerator: number(&numerator), denominator: number(&denominator) };
            let name = columns.iter().zip(&members);
            let name =
                name.map(|(column, member)| column.is_valid(row).then(|| member.value(row).to_string())).collect();
            found.groups.entry(period).or_default().insert(name, standing);
            let complete = is_complete.is_valid(row) && is_complete.as_boolean().value(row);
            found.complete.insert(period, complete);
        }
        Ok(found)
    }

    fn at(&self, period: NaiveDate) -> BTreeMap<Members, Standing> {
        self.groups.get(&period).cloned().unwrap_or_default()
    }

    fn has(&self, period: NaiveDate) -> bool {
        self.groups.contains_key(&period)
    }

    fn is_complete(&self, period: NaiveDate) -> bool {
        self.complete.get(&period).copied().unwrap_or(false)
    }

    /// The last one with a value that is complete, or else the last one with a value.
    fn last_complete(&self) -> Option<NaiveDate> {
        let has_value = |period: &&NaiveDate| self.at(**period).values().any(|standing| standing.value.is_some());
        let periods = || self.groups.keys().rev().filter(has_value);
        periods().find(|period| self.is_complete(**period)).or_else(|| periods().next()).copied()
    }
}

fn unfit(error: datafusion::arrow::error::ArrowError) -> Error {
    Error::internal("the result cannot be looked at").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(numerator: f64, denominator: f64) -> Standing {
        Standing { value: Some(numerator / denominator), numerator: Some(numerator), denominator: Some(denominator) }
    }

    fn named(groups: &[(&str, Standing)]) -> BTreeMap<Members, Standing> {
        groups.iter().map(|(name, standing)| (vec![Some((*name).to_owned())], *standing)).collect()
    }

    /// 30 of 100 to 24 of 120; worked out by hand.
    #[test]
    fn contributions_to_a_ratio_add_up_to_its_change() {
        let now = named(&[("east", ratio(12.0, 40.0)), ("west", ratio(12.0, 60.0)), ("new", ratio(0.0, 20.0))]);
        let before = named(&[("east", ratio(20.0, 50.0)), ("west", ratio(10.0, 50.0))]);
        let found = breakdown(vec!["region".into()], now, before, Some((ratio(24.0, 120.0), ratio(30.0, 100.0))));
        assert_eq!(found.adding, Adding::Ratio);
        let parts: BTreeMap<&str, (f64, f64)> = (found.groups.iter())
            .map(|group| (group.members.as_str(), (group.contribution.unwrap(), group.rate.unwrap())))
            .collect();
        let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-12, "{one} is not {other}");
        // east: (12 - 0.3 * 40) / 120 - (20 - 0.3 * 50) / 100; its ratio went from 0.4 to 0.3 with a weight of a third.
        near(parts["east"].0, -0.05);
        near(parts["east"].1, -0.1 / 3.0);
        near(parts["west"].0, (12.0 - 18.0) / 120.0 + 0.05);
        near(parts["west"].1, 0.0);
        near(parts["new"].0, -0.05);
        near(parts["new"].1, 0.0);
        near(parts.values().map(|(contribution, _)| contribution).sum(), -0.1);
    }

    #[test]
    fn what_does_not_add_up_has_no_contributions() {
        let of = |value: f64| Standing { value: Some(value), ..Standing::default() };
        let groups = |one: f64, other: f64| named(&[("a", of(one)), ("b", of(other))]);
        let found = breakdown(vec!["x".into()], groups(3.0, 4.0), groups(1.0, 1.0), Some((of(7.0), of(2.0))));
        assert_eq!(found.adding, Adding::Values);
        assert_eq!(found.groups[0].contribution, Some(3.0));
        let found = breakdown(vec!["x".into()], groups(3.0, 4.0), groups(1.0, 1.0), Some((of(4.0), of(1.0))));
        assert_eq!((found.adding, found.groups[0].contribution), (Adding::No, None));
    }
}
