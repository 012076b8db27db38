//! What there is to ask about, as text: tables, columns, functions.

use comfy_table::Cell;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Documentation;
use kpi::catalog::PERIODS;
use kpi::diagnostic::nearest;
use kpi::error::{Error, Result};
use kpi::model::Origin;
use kpi::query::{LAST, QuerySession, RESULTS, sql_type};
use kpi::report::KPI_VALUES;

use crate::commands::count;
use crate::printer::Printer;
use crate::table::{Column, table as laid_out};

/// All tables, by what they come from. Results are counted, not listed: there is one for each KPI.
pub fn tables(session: &QuerySession, printer: &Printer) -> String {
    let model = session.engine().model();
    let mut lines: Vec<Vec<Cell>> = Vec::new();
    let mut results = 0;
    for (index, (schema, tables)) in session.tables().into_iter().enumerate() {
        if schema == RESULTS {
            results = tables.iter().filter(|table| *table != KPI_VALUES).count();
            continue;
        }
        for table in tables.iter().filter(|table| *table != LAST) {
            let name = if index == 0 { table.clone() } else { format!("{schema}.{table}") };
            let about = match (index, model.tables.get(table)) {
                (0, Some(known)) => match &known.origin {
                    Origin::Files { source, opened, .. } => format!("{source} ({})", count(opened.files.len(), "file")),
                    Origin::Query { tables } => {
                        format!("a query over {}", tables.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
                    }
                },
                (0, None) if table == KPI_VALUES => "all published values".to_owned(),
                (0, None) if table == PERIODS => "the project's calendar".to_owned(),
                (0, None) => "made in this session".to_owned(),
                _ => "what the project defines".to_owned(),
            };
            let columns = model.tables.get(table).filter(|_| index == 0).map(|table| table.schema.fields().len());
            let columns = columns.map(|columns| columns.to_string()).unwrap_or_default();
            lines.push(vec![Cell::new(name), Cell::new(columns), Cell::new(about)]);
        }
    }
    let columns = [("Table", Column::Word), ("Columns", Column::Number), ("What it is", Column::Text(20))];
    let mut text = laid_out(printer, &columns, lines);
    match results {
        0 => text.push_str("\nno results are published yet\n"),
        some => text.push_str(&format!("\n{RESULTS}: {} published, as `{RESULTS}.NAME`\n", count(some, "KPI"))),
    }
    text
}

/// The columns of a table, and what else is known of it.
///
/// # Errors
/// `Config` where there is no such table.
pub async fn table(session: &QuerySession, name: &str, printer: &Printer) -> Result<String> {
    let name = name.trim().trim_matches(['"', '\'']);
    let found = session.table(name).await;
    let found = match found {
        Some(found) => Some(found),
        None => session.table(&format!("\"{name}\"")).await,
    };
    let Some(found) = found else {
        let tables = session.tables();
        let names = tables.iter().enumerate().flat_map(|(index, (schema, tables))| {
            tables.iter().map(move |table| if index == 0 { table.clone() } else { format!("{schema}.{table}") })
        });
        let names: Vec<String> = names.collect();
        let error = Error::config(format!("there is no table `{name}`"));
        return Err(match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint("`\\d` lists the tables"),
        });
    };
    let mut text = columns(&found.schema(), printer);
    let Some(known) = session.engine().model().tables.get(name) else { return Ok(text) };
    let mut line = |words: String| text.push_str(&format!("{words}\n"));
    line(String::new());
    if !known.primary_key.is_empty() {
        line(format!("primary key: {}", known.primary_key.join(", ")));
    }
    if let Some(time) = &known.time {
        line(format!("time: {time}"));
    }
    if let Origin::Files { source, opened, .. } = &known.origin {
        line(format!("source: {source} ({})", count(opened.files.len(), "file")));
    }
    for (name, join) in &known.joins {
        let on: Vec<String> = join.on.iter().map(|(here, there)| format!("{here} = {there}")).collect();
        line(format!("join {name}: {} on {}", join.table, on.join(" and ")));
    }
    let readers: Vec<&str> = (session.engine().model().defined())
        .filter(|kpi| kpi.reads.contains_key(name))
        .map(|kpi| kpi.name.as_str())
        .collect();
    match readers.len() {
        0 => {}
        1..=12 => line(format!("read by: {}", readers.join(", "))),
        more => line(format!("read by {more} KPIs, such as {}", readers[..8].join(", "))),
    }
    Ok(text)
}

fn columns(schema: &SchemaRef, printer: &Printer) -> String {
    let lines = schema.fields().iter().map(|field| {
        let is_nullable = if field.is_nullable() { "" } else { "never missing" };
        vec![Cell::new(field.name()), Cell::new(sql_type(field.data_type())), Cell::new(is_nullable)]
    });
    let columns = [("Column", Column::Word), ("Type", Column::Word), ("", Column::Word)];
    laid_out(printer, &columns, lines.collect())
}

/// The functions whose names hold a word, or all of one whose name it is.
///
/// # Errors
/// `Config` where no name holds it.
pub fn functions(session: &QuerySession, word: &str, printer: &Printer) -> Result<String> {
    let word = word.trim().trim_end_matches("()").to_lowercase();
    let all = session.functions();
    if let Some(Some(known)) = all.get(&word) {
        return Ok(one(known));
    }
    let lines: Vec<Vec<Cell>> = (all.iter())
        .filter(|(name, _)| name.contains(&word))
        .map(|(name, known)| {
            let takes = known.as_ref().map(|known| known.syntax_example.as_str()).unwrap_or_default();
            vec![Cell::new(name), Cell::new(takes)]
        })
        .collect();
    if lines.is_empty() {
        let error = Error::config(format!("no function has `{word}` in its name"));
        return Err(match nearest(&word, all.keys().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint("`\\f` lists them"),
        });
    }
    Ok(laid_out(printer, &[("Function", Column::Word), ("As", Column::Text(20))], lines))
}

fn one(known: &Documentation) -> String {
    let mut text = format!("{}\n\n{}\n", known.syntax_example, known.description.trim());
    for (name, about) in known.arguments.iter().flatten() {
        text.push_str(&format!("\n  {name}: {}", about.trim()));
    }
    if known.arguments.as_ref().is_some_and(|arguments| !arguments.is_empty()) {
        text.push('\n');
    }
    if let Some(example) = &known.sql_example {
        let example = example.trim().trim_start_matches("```sql").trim_end_matches("```").trim();
        text.push_str(&format!("\n{example}\n"));
    }
    text
}
