//! `kpi ls`: the KPIs that there are, without computing any.

use comfy_table::{Attribute, Cell};
use kpi::compile::breakdown;
use kpi::engine::{Engine, EngineOptions};
use kpi::error::{Error, Result};
use kpi::model::{Better, Kpi, Model, is_approximate};
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, print_json, skipped_json, tell_skipped};
use crate::args::LsArguments;
use crate::printer::Printer;
use crate::table::{Column, table};

pub async fn ls(options: &EngineOptions, arguments: &LsArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let model = engine.model();
    let is_wanted = |kpi: &&Kpi| arguments.tags.is_empty() || arguments.tags.iter().any(|tag| kpi.tags.contains(tag));
    let kpis: Vec<&Kpi> = model.defined().map(AsRef::as_ref).filter(is_wanted).collect();
    if kpis.is_empty() && !arguments.tags.is_empty() {
        let mut tags: Vec<&str> = model.defined().flat_map(|kpi| kpi.tags.iter().map(String::as_str)).collect();
        tags.sort_unstable();
        tags.dedup();
        return Err(Error::config(format!("no KPI has the tag `{}`", arguments.tags.join("` or `")))
            .with_hint(format!("the tags are {}", tags.join(", "))));
    }
    // Nothing is known of the tags of a KPI that is skipped.
    let skipped = if arguments.tags.is_empty() { model.skipped.as_slice() } else { &[] };
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
        printer.data(table(printer, &columns, rows))?;
        tell_skipped(printer, skipped);
    }
    let mistakes = engine.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).count();
    if mistakes > 0 {
        let mistakes = count(mistakes, "mistake");
        printer.warning(format_args!("{mistakes} in the definitions; what has one is not listed, see `kpi check`"));
    }
    Ok(0)
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
    json!({
        "kpi": kpi.name,
        "label": kpi.label,
        "description": kpi.description,
        "unit": kpi.unit,
        "better": better(kpi.better),
        "grains": grains(kpi),
        "dimension_sets": kpi.dimension_sets,
        "required_dimensions": kpi.required_dimensions,
        "has_target": kpi.target.is_some(),
        "is_approximate": is_approximate(model, &kpi.name),
        "owner": kpi.owner,
        "tags": kpi.tags,
        "file": kpi.file.display().to_string(),
    })
}

/// The word of the definitions.
pub(super) fn better(better: Better) -> &'static str {
    match better {
        Better::Higher => "higher",
        Better::Lower => "lower",
        Better::Within => "within",
        Better::None => "none",
    }
}
