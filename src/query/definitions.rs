//! What the project defines, as tables: `definitions.kpis`, `definitions.tables`, and what belongs to them.
//!
//! They say what is meant; values are elsewhere. A KPI without data here is among them, with what it lacks.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::TableType;

use crate::compile::breakdown;
use crate::engine::Engine;
use crate::model::{Goal, Kpi, Origin};
use crate::report::shape_word;
use crate::time::{Grain, to_epoch_days};

/// What a column of these tables holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Texts,
    Whole,
    Number,
    Day,
    Flag,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(Option<String>),
    Texts(Vec<String>),
    Whole(Option<i64>),
    Number(Option<f64>),
    Day(Option<i32>),
    Flag(bool),
}

/// A table: its name, what it holds, its columns, and how its rows are found.
struct Definition {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    rows: fn(&Engine) -> Vec<Vec<Cell>>,
}

const TABLES: [Definition; 7] = [
    Definition {
        name: "columns",
        columns: &[("table", Kind::Text), ("column", Kind::Text), ("data_type", Kind::Text)],
        rows: columns,
    },
    Definition {
        name: "dimensions",
        columns: &[("kpi", Kind::Text), ("breakdown", Kind::Text), ("dimensions", Kind::Texts)],
        rows: dimensions,
    },
    Definition {
        name: "joins",
        columns: &[
            ("table", Kind::Text),
            ("join", Kind::Text),
            ("to_table", Kind::Text),
            ("on", Kind::Texts),
            ("is_history", Kind::Flag),
        ],
        rows: joins,
    },
    Definition {
        name: "kpis",
        columns: &[
            ("kpi", Kind::Text),
            ("label", Kind::Text),
            ("shape", Kind::Text),
            ("formula", Kind::Text),
            ("unit", Kind::Text),
            ("better", Kind::Text),
            ("grains", Kind::Texts),
            ("breakdowns", Kind::Texts),
            ("required_dimensions", Kind::Texts),
            ("inputs", Kind::Texts),
            ("tables", Kind::Texts),
            ("stored", Kind::Texts),
            ("has_target", Kind::Flag),
            ("owner", Kind::Text),
            ("objective", Kind::Text),
            ("decides", Kind::Text),
            ("guardrails", Kind::Texts),
            ("tags", Kind::Texts),
            ("description", Kind::Text),
            ("avoids", Kind::Text),
            ("is_ready", Kind::Flag),
            ("lacks", Kind::Text),
            ("file", Kind::Text),
            ("line", Kind::Whole),
        ],
        rows: kpis,
    },
    Definition {
        name: "mistakes",
        columns: &[
            ("severity", Kind::Text),
            ("code", Kind::Text),
            ("message", Kind::Text),
            ("hint", Kind::Text),
            ("file", Kind::Text),
            ("line", Kind::Whole),
            ("column", Kind::Whole),
        ],
        rows: mistakes,
    },
    Definition {
        name: "tables",
        columns: &[
            ("table", Kind::Text),
            ("kind", Kind::Text),
            ("source", Kind::Text),
            ("files", Kind::Whole),
            ("bytes", Kind::Whole),
            ("primary_key", Kind::Texts),
            ("time", Kind::Text),
            ("freshness", Kind::Text),
            ("reads", Kind::Texts),
        ],
        rows: tables,
    },
    Definition {
        name: "targets",
        columns: &[
            ("kpi", Kind::Text),
            ("form", Kind::Text),
            ("value", Kind::Number),
            ("low", Kind::Number),
            ("high", Kind::Number),
            ("warn", Kind::Number),
            ("critical", Kind::Number),
            ("looked_up_in", Kind::Text),
            ("owner", Kind::Text),
            ("from", Kind::Day),
            ("until", Kind::Day),
        ],
        rows: targets,
    },
];

/// The schema of definitions.
pub(super) struct Definitions {
    engine: Arc<Engine>,
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Definitions")
    }
}

impl Definitions {
    pub(super) fn new(engine: Arc<Engine>) -> Definitions {
        Definitions { engine }
    }
}

#[async_trait]
impl SchemaProvider for Definitions {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = TABLES.iter().find(|table| table.name == name) else { return Ok(None) };
        let rows = batch(table, (table.rows)(&self.engine))?;
        Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.iter().any(|table| table.name == name)
    }
}

fn kpis(engine: &Engine) -> Vec<Vec<Cell>> {
    let model = engine.model();
    let Some(table) = TABLES.iter().find(|table| table.name == "kpis") else { return Vec::new() };
    let known = |row: &mut [Cell], column: &str, text: &str| {
        if let Some(index) = table.columns.iter().position(|(name, _)| *name == column) {
            row[index] = Cell::Text(Some(text.to_owned()));
        }
    };
    let ready = model.defined().map(|kpi| ready_kpi(kpi));
    let skipped = model.skipped.iter().map(|skipped| {
        let mut row = empty_row(table);
        known(&mut row, "kpi", &skipped.kpi);
        known(&mut row, "lacks", &skipped.reason);
        row
    });
    let mut rows: Vec<Vec<Cell>> = ready.chain(skipped).collect();
    rows.sort_by(|one, other| name_of(one).cmp(name_of(other)));
    rows
}

fn name_of(row: &[Cell]) -> &str {
    match row.first() {
        Some(Cell::Text(Some(name))) => name,
        _ => "",
    }
}

/// A row of a table in which nothing is known.
fn empty_row(table: &Definition) -> Vec<Cell> {
    let empty = |kind: &Kind| match kind {
        Kind::Text => Cell::Text(None),
        Kind::Texts => Cell::Texts(Vec::new()),
        Kind::Whole => Cell::Whole(None),
        Kind::Number => Cell::Number(None),
        Kind::Day => Cell::Day(None),
        Kind::Flag => Cell::Flag(false),
    };
    table.columns.iter().map(|(_, kind)| empty(kind)).collect()
}

fn ready_kpi(kpi: &Kpi) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::Text(text.clone());
    let word = |word: &str| Cell::Text(Some(word.to_owned()));

    vec![
        word(&kpi.name),
        word(&kpi.label),
        word(shape_word(kpi)),
        text(&kpi.formula),
        text(&kpi.unit),
        word(kpi.better.name()),
        Cell::Texts(kpi.grains.iter().map(|grain| Grain::name(*grain).to_owned()).collect()),
        Cell::Texts(kpi.dimension_sets.iter().map(|set| breakdown(set)).collect()),
        Cell::Texts(kpi.required_dimensions.clone()),
        Cell::Texts(kpi.inputs().into_iter().map(str::to_owned).collect()),
        Cell::Texts(kpi.reads.keys().cloned().collect()),
        Cell::Texts(kpi.stored().into_iter().map(|(name, _)| name).collect()),
        Cell::Flag(kpi.target.is_some()),
        text(&kpi.owner),
        text(&kpi.objective),
        text(&kpi.decides),
        Cell::Texts(kpi.guardrails.clone()),
        Cell::Texts(kpi.tags.clone()),
        text(&kpi.description),
        text(&kpi.avoids),
        Cell::Flag(true),
        Cell::Text(None),
        word(&kpi.file.display().to_string()),
        Cell::Whole(i64::try_from(kpi.line).ok()),
    ]
}

fn dimensions(engine: &Engine) -> Vec<Vec<Cell>> {
    let sets = engine.model().defined().flat_map(|kpi| kpi.dimension_sets.iter().map(move |set| (kpi, set)));
    let row = |(kpi, set): (&Arc<Kpi>, &Vec<String>)| {
        vec![Cell::Text(Some(kpi.name.clone())), Cell::Text(Some(breakdown(set))), Cell::Texts(set.clone())]
    };
    sets.map(row).collect()
}

fn tables(engine: &Engine) -> Vec<Vec<Cell>> {
    let tables = engine.model().tables.values().map(|table| {
        let (kind, source, files, bytes, reads) = match &table.origin {
            Origin::Files { source, opened, .. } => {
                let bytes: u64 = opened.files.iter().map(|file| file.bytes).sum();
                ("files", Some(source.clone()), Some(opened.files.len()), i64::try_from(bytes).ok(), Vec::new())
            }
            Origin::Query { tables } => ("query", None, None, None, tables.iter().cloned().collect()),
        };
        vec![
            Cell::Text(Some(table.name.clone())),
            Cell::Text(Some(kind.to_owned())),
            Cell::Text(source),
            Cell::Whole(files.and_then(|files| i64::try_from(files).ok())),
            Cell::Whole(bytes),
            Cell::Texts(table.primary_key.clone()),
            Cell::Text(table.time.clone()),
            Cell::Text(table.freshness.clone()),
            Cell::Texts(reads),
        ]
    });
    tables.collect()
}

fn columns(engine: &Engine) -> Vec<Vec<Cell>> {
    let tables = engine.model().tables.values();
    let columns = tables.flat_map(|table| table.schema.fields().iter().map(move |field| (table, field)));
    let row = |(table, field): (&Arc<crate::model::Table>, &Arc<Field>)| {
        let words = [table.name.clone(), field.name().clone(), field.data_type().to_string()];
        words.into_iter().map(|word| Cell::Text(Some(word))).collect()
    };
    columns.map(row).collect()
}

fn joins(engine: &Engine) -> Vec<Vec<Cell>> {
    let joins = engine.model().tables.values().flat_map(|table| table.joins.iter().map(move |join| (table, join)));
    let row = |(table, (name, join)): (&Arc<crate::model::Table>, (&String, &crate::model::Join))| {
        vec![
            Cell::Text(Some(table.name.clone())),
            Cell::Text(Some(name.clone())),
            Cell::Text(Some(join.table.clone())),
            Cell::Texts(join.on.iter().map(|(here, there)| format!("{here} = {there}")).collect()),
            Cell::Flag(join.valid.is_some()),
        ]
    };
    joins.map(row).collect()
}

fn targets(engine: &Engine) -> Vec<Vec<Cell>> {
    let kpis = engine.model().defined().filter_map(|kpi| Some((kpi, kpi.target.as_ref()?)));
    let row = |(kpi, target): (&Arc<Kpi>, &crate::model::Target)| {
        let (value, low, high, warn, critical, place) = match &target.goal {
            Goal::Value { value, warn, critical } => (Some(*value), None, None, *warn, *critical, None),
            Goal::Between { low, high } => (None, Some(*low), Some(*high), None, None, None),
            Goal::Kpi { kpi, warn, critical } => (None, None, None, *warn, *critical, Some(kpi.clone())),
            Goal::Table { table, warn, critical } => (None, None, None, *warn, *critical, Some(table.table.clone())),
        };
        vec![
            Cell::Text(Some(kpi.name.clone())),
            Cell::Text(Some(target.form.name().to_owned())),
            Cell::Number(value),
            Cell::Number(low),
            Cell::Number(high),
            Cell::Number(warn),
            Cell::Number(critical),
            Cell::Text(place),
            Cell::Text(target.owner.clone()),
            Cell::Day(target.from.map(to_epoch_days)),
            Cell::Day(target.until.map(to_epoch_days)),
        ]
    };
    kpis.map(row).collect()
}

fn mistakes(engine: &Engine) -> Vec<Vec<Cell>> {
    let sources = engine.sources();
    let rows = engine.diagnostics().into_iter().map(|mistake| {
        let position = mistake.span.map(|span| sources.position(span.file, span.start));
        vec![
            Cell::Text(Some(mistake.severity.name().to_owned())),
            Cell::Text(Some(mistake.code.to_owned())),
            Cell::Text(Some(mistake.message)),
            Cell::Text(mistake.hint),
            Cell::Text(mistake.span.map(|span| sources.get(span.file).path.display().to_string())),
            Cell::Whole(position.and_then(|position| i64::try_from(position.line).ok())),
            Cell::Whole(position.and_then(|position| i64::try_from(position.column).ok())),
        ]
    });
    rows.collect()
}

fn schema_of(table: &Definition) -> SchemaRef {
    let data_type = |kind: Kind| match kind {
        Kind::Text => DataType::Utf8,
        Kind::Texts => DataType::new_list(DataType::Utf8, true),
        Kind::Whole => DataType::Int64,
        Kind::Number => DataType::Float64,
        Kind::Day => DataType::Date32,
        Kind::Flag => DataType::Boolean,
    };
    let fields = table.columns.iter().map(|(name, kind)| Field::new(*name, data_type(*kind), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch(table: &Definition, rows: Vec<Vec<Cell>>) -> Result<RecordBatch> {
    let columns = table.columns.iter().enumerate().map(|(index, (_, kind))| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        column(*kind, cells)
    });
    Ok(RecordBatch::try_new(schema_of(table), columns.collect())?)
}

fn column<'a>(kind: Kind, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    match kind {
        Kind::Text => {
            let text = |cell: &'a Cell| if let Cell::Text(text) = cell { text.as_deref() } else { None };
            Arc::new(cells.map(text).collect::<StringArray>())
        }
        Kind::Texts => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for cell in cells {
                if let Cell::Texts(texts) = cell {
                    texts.iter().for_each(|text| lists.values().append_value(text));
                }
                lists.append(true);
            }
            Arc::new(lists.finish())
        }
        Kind::Whole => {
            let number = |cell: &Cell| if let Cell::Whole(number) = cell { *number } else { None };
            Arc::new(cells.map(number).collect::<Int64Array>())
        }
        Kind::Number => {
            let number = |cell: &Cell| if let Cell::Number(number) = cell { *number } else { None };
            Arc::new(cells.map(number).collect::<Float64Array>())
        }
        Kind::Day => {
            let day = |cell: &Cell| if let Cell::Day(day) = cell { *day } else { None };
            Arc::new(cells.map(day).collect::<Date32Array>())
        }
        Kind::Flag => {
            let flag = |cell: &Cell| Some(matches!(cell, Cell::Flag(true)));
            Arc::new(cells.map(flag).collect::<BooleanArray>())
        }
    }
}
