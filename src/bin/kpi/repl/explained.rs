//! One number explained: what moved it since the period before, what it means, and the SQL behind it.
//!
//! The contributions come from the library; here they are laid out.

use comfy_table::Cell;
use kpi::engine::{Adding, Breakdown, Contributions, Question};
use kpi::error::Error;
use kpi::model::Project;
use kpi::query::Failure;
use kpi::report::{format_number, format_period, glossary_of};

use super::ask::{read_period, read_question};
use super::shell::Shell;
use crate::printer::Printer;
use crate::table::{Column, table};

/// Explains the number that a line names: `close_rate by region 2025-03`.
pub async fn explain(shell: &mut Shell, rest: &str) -> Result<(), Failure> {
    let session = shell.session().await?;
    let calendar = session.engine().model().project.calendar.clone();
    // A word with a year in it is a period, and so is the quarter behind it.
    let is_period = |word: &&str| {
        let plain = word.trim_start_matches("FY").trim_start_matches('Q');
        plain.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let (periods, words): (Vec<&str>, Vec<&str>) = rest.split_whitespace().partition(|word| is_period(word));
    let asked = read_question(&words.join(" "))?;
    if asked.last.is_some() || asked.question.since.is_some() {
        return Err(Error::config("an explanation is of one period").with_hint(PERIODS).into());
    }
    let mut question = asked.question;
    let day = match periods.join(" ").as_str() {
        "" => None,
        text => {
            let no_period = || Error::config(format!("`{text}` is no period")).with_hint(PERIODS);
            let (day, grain) = read_period(text, &calendar).ok_or_else(no_period)?;
            if let (Some(asked), Some(meant)) = (question.grain, grain)
                && asked != meant
            {
                return Err(Error::config(format!("`{text}` is a {meant}, and not a {asked}")).into());
            }
            question.grain = question.grain.or(grain);
            Some(day)
        }
    };
    let asked = question.clone();
    let (found, sql) = shell
        .ask(move |engine| async move {
            let found = engine.contributions(&asked, day).await?;
            let question = Question { grain: Some(found.grain), since: None, by: asked.by.clone(), ..asked };
            let sql = engine.sql(&question).await?;
            Ok((found, sql))
        })
        .await?;
    let model = session.engine().model();
    let told = Told::of(&found, &model.project);
    let mut text = told.headline();
    found.breakdowns.iter().for_each(|breakdown| text.push_str(&told.groups(breakdown, &shell.printer)));
    text.push_str("\n── definition ──\n");
    text.push_str(&definition(&glossary_of(model, &[&found.kpi])));
    text.push_str(&format!("\n── SQL ──\n{sql}\n"));
    Ok(shell.screen().put(text)?)
}

/// How periods are written.
const PERIODS: &str = "write a month as 2025-03, a quarter as 2025-Q1, a week as 2025-W09, a year as 2025, or any day of it as 2025-03-31";

/// What the glossary says of a KPI, for a terminal: without the signs of Markdown.
fn definition(section: &str) -> String {
    let mut text = String::new();
    for line in section.lines().filter(|line| !line.starts_with("###")) {
        match line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")).and_then(|line| line.split_once(" | ")) {
            Some((name, told)) => {
                let told = told.replace('`', "").replace("\\|", "|").replace("<br>", "; ");
                text.push_str(&format!("{name:14}  {told}\n"));
            }
            // The empty head of the table, and the line below it.
            None if line.starts_with('|') => {}
            None => text.push_str(&format!("{line}\n")),
        }
    }
    format!("{}\n", text.trim())
}

/// Groups that an explanation names.
const GROUPS_AT_MOST: usize = 10;

/// A number beside the one before, in the words of its project.
struct Told<'a> {
    found: &'a Contributions,
    project: &'a Project,
    /// The names of both periods.
    now: String,
    before: String,
}

impl Told<'_> {
    fn of<'a>(found: &'a Contributions, project: &'a Project) -> Told<'a> {
        let period = |start| format_period(start, found.grain, &project.calendar);
        Told { found, project, now: period(found.period), before: period(found.before) }
    }

    fn value(&self, value: Option<f64>) -> String {
        format_number(value, self.found.kpi.unit.as_deref(), self.project.currency.as_deref())
    }

    /// Changes of shares are points of a hundred.
    fn change(&self, change: Option<f64>) -> String {
        let Some(change) = change else { return String::new() };
        if self.found.kpi.unit.as_deref() == Some("percent") {
            let points = format!("{:+.2}", change * 100.0).replace("-0.00", "0.00").replace("+0.00", "0.00");
            return format!("{points} pp");
        }
        format!("{}{}", if change > 0.0 { "+" } else { "" }, self.value(Some(change)))
    }

    /// The number, what it is made of, and the one before.
    fn headline(&self) -> String {
        let Contributions { kpi, standing, standing_before, is_complete, .. } = self.found;
        let open = if *is_complete { "" } else { ", still open" };
        let mut text = format!("{} ({}), {}{open}\n", kpi.label, kpi.name, self.now);
        let Some(standing) = standing else { return text };
        let plain = |number| format_number(Some(number), None, None);
        let parts = standing.numerator.zip(standing.denominator);
        let parts = parts.map(|(numerator, denominator)| format!(" = {} / {}", plain(numerator), plain(denominator)));
        let earlier = standing_before.and_then(|standing| standing.value);
        let moved = standing.value.zip(earlier).map(|(value, earlier)| value - earlier);
        let moved = moved.map(|moved| format!(", {}", self.change(Some(moved))));
        text.push_str(&format!(
            "{}{}; {}: {}{}\n",
            self.value(standing.value),
            parts.unwrap_or_default(),
            self.before,
            self.value(earlier),
            moved.unwrap_or_default()
        ));
        text
    }

    /// The groups of one set of dimensions; those that moved little are put together.
    fn groups(&self, breakdown: &Breakdown, printer: &Printer) -> String {
        let (told, last): (&str, &[&str]) = match breakdown.adding {
            Adding::Values => ("what each group brings to the change", &["Contribution"]),
            Adding::Ratio => (
                "what each group brings to the change: by its own ratio (rate) and by its weight (mix)",
                &["Contribution", "Rate", "Mix"],
            ),
            Adding::No => ("each group by itself: their values do not add up to the whole", &["Change"]),
            Adding::Unknown => ("each group by itself", &["Change"]),
        };
        let name = breakdown.dimensions.join(", ");
        let numbers = [self.before.as_str(), self.now.as_str()].into_iter().chain(last.iter().copied());
        let mut columns = vec![(name.as_str(), Column::Word)];
        columns.extend(numbers.map(|name| (name, Column::Number)));
        let rows = breakdown.groups.iter().take(GROUPS_AT_MOST).map(|group| {
            let mut cells = vec![group.members.clone(), self.value(group.before.value), self.value(group.now.value)];
            match breakdown.adding {
                Adding::Values => cells.push(self.change(group.contribution)),
                Adding::Ratio => {
                    cells.extend([group.contribution, group.rate, group.mix()].map(|part| self.change(part)));
                }
                Adding::No | Adding::Unknown => {
                    let own = group.now.value.zip(group.before.value).map(|(now, before)| now - before);
                    cells.push(self.change(own));
                }
            }
            cells.into_iter().map(Cell::new).collect()
        });
        let mut text = format!("\nBy {name}: {told}\n{}", table(printer, &columns, rows.collect()));
        let rest = breakdown.groups.get(GROUPS_AT_MOST..).unwrap_or_default();
        if !rest.is_empty() {
            let sum: Option<f64> = rest.iter().map(|group| group.contribution).sum();
            let sum = sum.map(|sum| format!(", together {}", self.change(Some(sum)))).unwrap_or_default();
            text.push_str(&format!("and {} more{sum}\n", rest.len()));
        }
        text
    }
}
