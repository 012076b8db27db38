//! The definitions of a project as pages in Markdown: a glossary that tells everything of each KPI, and a short table.
//!
//! Written from the model alone, so it holds whatever the data says. Links lead to headings by the anchors that GitHub and
//! most other renderers give them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{format_benchmark, format_number};
use crate::compile::breakdown;
use crate::model::{
    Better, Goal, Kpi, MeasureFunction, Model, Objective, Placement, Shape, Subject, Target, TargetForm,
};
use crate::time::Grain;

/// What KPIs without a tag stand under.
const WITHOUT_AREA: &str = "other";

/// Everything that the definitions say of the KPIs, with the objectives that they serve and what is skipped.
pub fn glossary(model: &Model, kpis: &[&Kpi]) -> String {
    let areas = areas(kpis);
    let page = Page { model, anchors: anchors(model, &areas) };
    let mut text = format!("# KPIs of {}\n", plain(&model.project.name));
    if let Some(description) = &model.project.description {
        let _ = write!(text, "\n{}\n", plain(description));
    }
    text.push_str("\n## Contents\n\n");
    if !model.objectives.is_empty() {
        let _ = writeln!(text, "- [Objectives](#{})", page.anchor(&Heading::Objectives));
    }
    for (area, kpis) in &areas {
        let links: Vec<String> = kpis.iter().map(|kpi| page.link(&kpi.name)).collect();
        let _ = writeln!(text, "- [{area}](#{}): {}", page.anchor(&Heading::Area(area)), links.join(", "));
    }
    if !model.objectives.is_empty() {
        text.push_str(&page.objectives(kpis));
    }
    for (area, kpis) in &areas {
        let _ = write!(text, "\n## {area}\n");
        kpis.iter().for_each(|kpi| text.push_str(&page.section(kpi)));
    }
    if !model.skipped.is_empty() {
        text.push_str("\n## Without data here\n\n");
        for skipped in &model.skipped {
            let _ = writeln!(text, "- `{}`: {}", skipped.kpi, plain(&skipped.reason));
        }
    }
    text
}

/// Everything that the definitions say of some KPIs, each by itself.
pub fn glossary_of(model: &Model, kpis: &[&Kpi]) -> String {
    let page = Page { model, anchors: anchors(model, &[("", kpis.to_vec())]) };
    let sections: Vec<String> = kpis.iter().map(|kpi| page.section(kpi)).collect();
    sections.concat().trim_start().to_owned()
}

/// The KPIs in a table for each area: name, label, formula, unit and the grain that people are shown.
pub fn short_glossary(kpis: &[&Kpi]) -> String {
    let mut parts = Vec::new();
    for (area, kpis) in areas(kpis) {
        let mut part = format!("**{area}**\n\n| KPI | label | formula | unit | grain |\n|---|---|---|---|---|\n");
        for kpi in kpis {
            let grain = kpi.grains.first().copied().unwrap_or(Grain::Month);
            let formula = kpi.formula.as_deref().unwrap_or_default();
            let cells = [&format!("`{}`", kpi.name), &kpi.label, formula, kpi.unit.as_deref().unwrap_or_default()];
            let cells: Vec<String> = cells.into_iter().map(cell).collect();
            let _ = writeln!(part, "| {} | {grain} |", cells.join(" | "));
        }
        parts.push(part);
    }
    parts.join("\n")
}

/// How a KPI comes about, in one word.
pub fn shape_word(kpi: &Kpi) -> &'static str {
    let aggregate = match &kpi.shape {
        Shape::Aggregate(aggregate) => aggregate,
        Shape::Arithmetic(_) => return "arithmetic",
        Shape::Composite(_) => return "index",
        Shape::Query(_) => return "query",
    };
    match (&aggregate.subject, &aggregate.placement) {
        (Subject::Conversions(_), _) => return "conversion",
        (Subject::Funnel(_), _) => return "funnel",
        (Subject::Cohorts(_), _) => return "cohort",
        (_, Placement::Boundaries(_)) => return "retention",
        (_, Placement::Stock(_)) => return "level",
        (_, Placement::Window(_)) => return "window",
        (Subject::Entities(_), Placement::Event) => return "entities",
        (Subject::Rows, Placement::Event) => {}
    }
    match aggregate.measures.as_slice() {
        _ if aggregate.value.ratio.is_some() => "ratio",
        [only] => match only.function {
            MeasureFunction::Sum => "sum",
            MeasureFunction::Count | MeasureFunction::CountDistinct | MeasureFunction::ApproxDistinct => "count",
            MeasureFunction::Median
            | MeasureFunction::PercentileCont(_)
            | MeasureFunction::PercentileDisc(_)
            | MeasureFunction::ApproxMedian
            | MeasureFunction::ApproxPercentileCont(_) => "percentile",
            _ => "aggregate",
        },
        _ => "aggregate",
    }
}

/// KPIs by their first tag, which is their folder; those without one last.
fn areas<'a>(kpis: &[&'a Kpi]) -> Vec<(&'a str, Vec<&'a Kpi>)> {
    let mut areas: BTreeMap<(bool, &str), Vec<&Kpi>> = BTreeMap::new();
    for kpi in kpis {
        let tag = kpi.tags.first().map(String::as_str);
        areas.entry((tag.is_none(), tag.unwrap_or(WITHOUT_AREA))).or_default().push(kpi);
    }
    areas.into_iter().map(|((_, area), kpis)| (area, kpis)).collect()
}

/// A heading that something links to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Heading<'a> {
    Objectives,
    Area(&'a str),
    Kpi(&'a str),
}

/// The anchors of all headings, in the order in which they stand on the page: one that is taken gets a number.
fn anchors<'a>(model: &'a Model, areas: &[(&'a str, Vec<&'a Kpi>)]) -> BTreeMap<Heading<'a>, String> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut free = |text: &str| {
        let anchor = anchor_of(text);
        let count = taken.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
    };
    free(&format!("KPIs of {}", model.project.name));
    free("Contents");
    let mut anchors = BTreeMap::new();
    if !model.objectives.is_empty() {
        anchors.insert(Heading::Objectives, free("Objectives"));
    }
    for (area, kpis) in areas {
        anchors.insert(Heading::Area(area), free(area));
        for kpi in kpis {
            anchors.insert(Heading::Kpi(&kpi.name), free(&kpi.label));
        }
    }
    anchors
}

/// As GitHub makes it: letters and digits in lower case, dashes for blanks, nothing for the rest.
fn anchor_of(heading: &str) -> String {
    let letters = heading.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let letters = letters.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter => (letter.is_alphanumeric() || "-_".contains(letter)).then_some(letter),
    });
    letters.collect()
}

struct Page<'a> {
    model: &'a Model,
    anchors: BTreeMap<Heading<'a>, String>,
}

impl Page<'_> {
    fn anchor<'s>(&'s self, heading: &Heading<'s>) -> &'s str {
        self.anchors.get(heading).map_or("", String::as_str)
    }

    /// The label of a KPI, with a link where it is on the page. One that nobody sees has its name only.
    fn link(&self, name: &str) -> String {
        let shown = self.model.kpis.get(name).map(|kpi| kpi.variant_of.as_ref().unwrap_or(&kpi.name));
        let kpi = shown.and_then(|name| self.model.kpis.get(name));
        match (kpi, kpi.and_then(|kpi| self.anchors.get(&Heading::Kpi(&kpi.name)))) {
            (Some(kpi), Some(anchor)) => {
                format!("[{}](#{anchor})", plain(&kpi.label).replace('[', "\\[").replace(']', "\\]"))
            }
            (Some(kpi), None) => format!("`{}`", kpi.name),
            (None, _) => format!("`{name}`"),
        }
    }

    /// The tree of objectives with the KPIs under each, and behind it what serves none.
    fn objectives(&self, kpis: &[&Kpi]) -> String {
        let mut text = "\n## Objectives\n\n".to_owned();
        let roots = self.model.objectives.values().filter(|objective| objective.under.is_none());
        roots.for_each(|objective| self.objective(objective, 0, kpis, &mut text));
        let is_known =
            |kpi: &&&Kpi| kpi.objective.as_ref().is_some_and(|name| self.model.objectives.contains_key(name));
        let others: Vec<String> = kpis.iter().filter(|kpi| !is_known(kpi)).map(|kpi| self.link(&kpi.name)).collect();
        if !others.is_empty() {
            let _ = writeln!(text, "- without an objective: {}", others.join(", "));
        }
        text
    }

    fn objective(&self, objective: &Objective, depth: usize, kpis: &[&Kpi], text: &mut String) {
        let indent = "  ".repeat(depth);
        let _ = write!(text, "{indent}- **{}**", plain(&objective.label));
        if let Some(owner) = &objective.owner {
            let _ = write!(text, " ({})", plain(owner));
        }
        if let Some(description) = &objective.description {
            let _ = write!(text, ": {}", plain(description));
        }
        text.push('\n');
        let serving: Vec<String> = (kpis.iter())
            .filter(|kpi| kpi.objective.as_ref() == Some(&objective.name))
            .map(|kpi| self.link(&kpi.name))
            .collect();
        if !serving.is_empty() {
            let _ = writeln!(text, "{indent}  - {}", serving.join(", "));
        }
        let parts = self.model.objectives.values().filter(|part| part.under.as_ref() == Some(&objective.name));
        parts.for_each(|part| self.objective(part, depth + 1, kpis, text));
    }

    fn section(&self, kpi: &Kpi) -> String {
        let mut text = format!("\n### {}\n\n", plain(&kpi.label));
        if let Some(description) = &kpi.description {
            let _ = write!(text, "{}\n\n", plain(description));
        }
        text.push_str("| | |\n|---|---|\n");
        for (name, says) in self.rows(kpi).into_iter().filter(|(_, says)| !says.is_empty()) {
            let _ = writeln!(text, "| {name} | {} |", cell(&says));
        }
        text
    }

    /// What is known of a KPI, by name; what is empty is not said.
    fn rows(&self, kpi: &Kpi) -> Vec<(&'static str, String)> {
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let links = |names: Vec<&str>| names.into_iter().map(|name| self.link(name)).collect::<Vec<_>>();
        let objective = kpi.objective.as_ref().map(|name| {
            self.model.objectives.get(name).map_or_else(|| name.clone(), |objective| objective.label.clone())
        });
        let (unit, currency) = (kpi.unit.as_deref(), self.model.project.currency.as_deref());
        let benchmarks: Vec<String> =
            kpi.benchmarks.iter().map(|benchmark| format_benchmark(benchmark, unit, currency)).collect();
        let made_of = kpi.value_inputs().into_iter().map(|name| self.link(name));
        // Variants of one KPI are shown as the KPI.
        let made_of = made_of.fold(Vec::new(), |mut links: Vec<String>, link| {
            if !links.contains(&link) {
                links.push(link);
            }
            links
        });
        let sets = kpi.dimension_sets.iter().filter(|set| !set.is_empty());
        let sets: Vec<String> =
            sets.map(|set| if set.len() == 1 { breakdown(set) } else { format!("[{}]", breakdown(set)) }).collect();
        let mut grains = kpi.grains.iter().map(|grain| grain.name()).collect::<Vec<_>>().join(", ");
        if let Some(minimum) = kpi.minimum_grain {
            let _ = write!(grains, "; never finer than {minimum}");
        }
        let reads: Vec<String> = (kpi.reads.iter())
            .map(|(table, columns)| {
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                format!("`{table}`: {}", columns.join(", "))
            })
            .collect();
        vec![
            ("name", format!("`{}`", kpi.name)),
            ("formula", said(&kpi.formula)),
            ("unit", said(&kpi.unit)),
            ("better", better(kpi.better).to_owned()),
            ("decides", said(&kpi.decides)),
            ("objective", objective.unwrap_or_default()),
            ("target", kpi.target.as_ref().map(|target| self.target(kpi, target)).unwrap_or_default()),
            ("benchmarks", benchmarks.join("\n")),
            ("guardrails", links(kpi.guardrails.iter().map(String::as_str).collect()).join(", ")),
            ("avoids", said(&kpi.avoids)),
            ("owner", said(&kpi.owner)),
            ("review", kpi.review.map(Grain::rhythm).unwrap_or_default().to_owned()),
            ("grains", grains),
            ("broken down by", sets.join(", ")),
            ("shape", shape_word(kpi).to_owned()),
            ("made of", made_of.join(", ")),
            ("reads", reads.join("\n")),
            ("defined in", format!("{}:{}", kpi.file.display(), kpi.line)),
        ]
    }

    /// The target in words: its form and value, how far it may be missed, where it comes from, whose it is, and when it holds.
    fn target(&self, kpi: &Kpi, target: &Target) -> String {
        let (unit, currency) = (kpi.unit.as_deref(), self.model.project.currency.as_deref());
        let number = |value: f64| format_number(Some(value), unit, currency);
        let share = |value: f64| format!("{} of it", format_number(Some(value), Some("percent"), None));
        let (what, warn, critical) = match &target.goal {
            Goal::Value { value, warn, critical } => (number(*value), warn.map(number), critical.map(number)),
            Goal::Between { low, high } => (format!("{} to {}", number(*low), number(*high)), None, None),
            Goal::Kpi { kpi, warn, critical } => (self.link(kpi), warn.map(share), critical.map(share)),
            Goal::Table { table, warn, critical } => {
                (format!("the values in table `{}`", table.table), warn.map(share), critical.map(share))
            }
        };
        let what = match target.form {
            TargetForm::Floor => format!("floor: {what}"),
            TargetForm::Ceiling => format!("ceiling: {what}"),
            TargetForm::Band => format!("band: {what}"),
            TargetForm::Plan => format!("plan: {what}"),
            TargetForm::Growth => format!("growth: {what}"),
        };
        let days = match (target.from, target.until) {
            (Some(from), Some(until)) => Some(format!("{from} to {until}")),
            (Some(from), None) => Some(format!("from {from} on")),
            (None, Some(until)) => Some(format!("until {until}")),
            (None, None) => None,
        };
        let parts = [
            Some(what),
            warn.map(|warn| format!("at risk as far as {warn}")),
            critical.map(|critical| format!("critical beyond {critical}")),
            target.baseline.map(|baseline| format!("set out from {}", number(baseline))),
            target.owner.as_ref().map(|owner| format!("owner {owner}")),
            days,
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// Without a way that is good there is nothing to say.
fn better(better: Better) -> &'static str {
    match better {
        Better::None => "",
        way => way.name(),
    }
}

/// Text that people wrote, on one line. They may write Markdown; what looks like HTML would vanish.
fn plain(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let in_parts = one_line.split('`').enumerate();
    let parts = in_parts.map(|(index, part)| if index % 2 == 0 { part.replace('<', "\\<") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`")
}

/// Text in a cell of a table; line breaks stay.
fn cell(text: &str) -> String {
    let lines: Vec<String> = text.trim().lines().map(plain).collect();
    lines.join("<br>").replace('|', "\\|")
}
