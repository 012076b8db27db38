//! `kpi ls`: the KPIs that there are, without computing any.

use comfy_table::{Attribute, Cell};
use kpi::compile::breakdown;
use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use kpi::model::{Benchmark, Kpi, Model, is_approximate};
use kpi::report::{format_benchmark, shape_word};
use kpi::time::Grain;
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, print_json, skipped_json, tell_skipped};
use crate::args::LsArguments;
use crate::printer::Printer;
use crate::table::{Column, table};

pub async fn ls(options: &EngineOptions, arguments: &LsArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let model = engine.model();
    let selected = match arguments.select.as_slice() {
        [] => model.defined().map(|kpi| kpi.name.clone()).collect(),
        words => engine.select(words)?,
    };
    let kpis: Vec<&Kpi> = selected.iter().filter_map(|name| model.kpis.get(name)).map(AsRef::as_ref).collect();
    // Nothing is known of the tags of a KPI that is skipped.
    let skipped = if arguments.select.is_empty() { model.skipped.as_slice() } else { &[] };
    if arguments.json {
        let list: Value = kpis.iter().map(|kpi| kpi_json(model, kpi)).collect();
        let report = json!({ "schema_version": SCHEMA_VERSION, "kpis": list, "skipped": skipped_json(skipped) });
        print_json(printer, &report)?;
    } else {
        let columns = [
            ("Name", Column::Word),
            ("Label", Column::Text(9)),
            ("Unit", Column::Word),
            ("Grains", Column::Text(9)),
            ("Dimensions", Column::Text(9)),
            ("Owner", Column::Word),
            ("Tags", Column::Text(9)),
        ];
        let mut rows: Vec<Vec<Cell>> = kpis.iter().map(|kpi| line(kpi)).collect();
        rows.extend(skipped.iter().map(|skipped| {
            let cell = |text| Cell::new(text).add_attribute(Attribute::Dim);
            vec![cell(skipped.kpi.as_str()), cell("(skipped)")]
        }));
        let mut text = table(printer, &columns, rows);
        let named = kpis.iter().filter(|kpi| arguments.select.contains(&kpi.name));
        text.push_str(&benchmarks(named, model.project.currency.as_deref()));
        printer.data(text)?;
        tell_skipped(printer, skipped);
    }
    let mistakes = engine.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).count();
    if mistakes > 0 {
        let mistakes = count(mistakes, "mistake");
        printer.warning(format_args!("{mistakes} in the definitions; what has one is not listed, see `kpi check`"));
    }
    Ok(0)
}

/// A line for each benchmark of the KPIs.
fn benchmarks<'a>(kpis: impl Iterator<Item = &'a &'a Kpi>, currency: Option<&str>) -> String {
    let mut text = String::new();
    for kpi in kpis {
        for benchmark in &kpi.benchmarks {
            let benchmark = format_benchmark(benchmark, kpi.unit.as_deref(), currency);
            text.push_str(&format!("\nBenchmark of {}: {benchmark}", kpi.name));
        }
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn line(kpi: &Kpi) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::new(text.as_deref().unwrap_or_default());
    vec![
        Cell::new(&kpi.name),
        Cell::new(&kpi.label),
        text(&kpi.unit),
        Cell::new(grains(kpi).join(", ")),
        Cell::new(dimensions(kpi).join(", ")),
        text(&kpi.owner),
        Cell::new(kpi.tags.join(", ")),
    ]
}

fn grains(kpi: &Kpi) -> Vec<&'static str> {
    kpi.grains.iter().map(|grain| grain.name()).collect()
}

/// The sets as `--by` takes them, without the empty one.
fn dimensions(kpi: &Kpi) -> Vec<String> {
    let sets = kpi.dimension_sets.iter().filter(|set| !set.is_empty());
    sets.map(|set| if set.len() == 1 { breakdown(set) } else { format!("[{}]", breakdown(set)) }).collect()
}

fn kpi_json(model: &Model, kpi: &Kpi) -> Value {
    let benchmark = |benchmark: &Benchmark| {
        let Benchmark { value, source, as_of, sector } = benchmark;
        json!({ "value": value, "source": source, "as_of": as_of.map(|day| day.to_string()), "sector": sector })
    };
    let benchmarks: Vec<Value> = kpi.benchmarks.iter().map(benchmark).collect();
    json!({
        "kpi": kpi.name,
        "label": kpi.label,
        "description": kpi.description,
        "formula": kpi.formula,
        "shape": shape_word(kpi),
        "unit": kpi.unit,
        "better": kpi.better.name(),
        "grains": grains(kpi),
        "minimum_grain": kpi.minimum_grain.map(Grain::name),
        "dimension_sets": kpi.dimension_sets,
        "required_dimensions": kpi.required_dimensions,
        "has_target": kpi.target.is_some(),
        "target_form": kpi.target.as_ref().map(|target| target.form.name()),
        "benchmarks": benchmarks,
        "is_approximate": is_approximate(model, &kpi.name),
        "owner": kpi.owner,
        "review": kpi.review.map(Grain::rhythm),
        "objective": kpi.objective,
        "decides": kpi.decides,
        "guardrails": kpi.guardrails,
        "tags": kpi.tags,
        "file": kpi.file.display().to_string(),
        "line": kpi.line,
    })
}
