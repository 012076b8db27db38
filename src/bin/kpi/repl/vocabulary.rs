//! The names that completion offers, gathered from a session when they may have changed.
//!
//! Gathering reads no data and asks no store: what has to be read to be known is left out. The names of objects are asked for
//! when somebody types a URL.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Documentation;
use kpi::compile::{PERIOD_END, PERIOD_START};
use kpi::model::Kpi;
use kpi::query::complete::{KpiNames, Vocabulary};
use kpi::query::{DEFINITIONS, Objects, QuerySession, RESULTS, sql_type};
use kpi::report::KPI_VALUES;

/// What the line editor knows of a session.
#[derive(Default)]
pub struct Names {
    pub vocabulary: Vocabulary,
    /// Whom to ask for the names of objects, once the session is there.
    pub objects: Option<Objects>,
}

/// Shared with the line editor.
pub type Shared = Arc<Mutex<Names>>;

type Columns = Vec<(String, String)>;

pub async fn gather(session: &QuerySession) -> Names {
    let model = session.engine().model();
    let kpis: BTreeMap<String, KpiNames> = model.defined().map(|kpi| (kpi.name.clone(), names_of(kpi))).collect();
    let mut vocabulary = Vocabulary { kpis, functions: functions(session), ..Vocabulary::default() };
    for (index, (schema, tables)) in session.tables().into_iter().enumerate() {
        let mut found = BTreeMap::new();
        for table in tables {
            let columns = match schema.as_str() {
                RESULTS => vocabulary.kpis.get(&table).map(|kpi| kpi.columns.clone()).unwrap_or_default(),
                _ if table == KPI_VALUES => columns_of(&kpi::report::kpi_values_schema()),
                DEFINITIONS => known(session, &format!("{DEFINITIONS}.{table}")).await,
                _ => known(session, &format!("\"{schema}\".\"{table}\"")).await,
            };
            found.insert(table, columns);
        }
        // The first is the one that needs no name.
        if index == 0 {
            vocabulary.tables = found;
        } else {
            vocabulary.schemas.insert(schema, found);
        }
    }
    Names { vocabulary, objects: Some(session.objects()) }
}

async fn known(session: &QuerySession, name: &str) -> Columns {
    session.table(name).await.map(|table| columns_of(&table.schema())).unwrap_or_default()
}

fn columns_of(schema: &SchemaRef) -> Columns {
    schema.fields().iter().map(|field| (field.name().clone(), sql_type(field.data_type()))).collect()
}

fn names_of(kpi: &Kpi) -> KpiNames {
    let mut dimensions: Vec<String> = Vec::new();
    for name in kpi.dimension_sets.iter().flatten() {
        if !dimensions.contains(name) {
            dimensions.push(name.clone());
        }
    }
    let text = |name: &str| (name.to_owned(), "VARCHAR".to_owned());
    let typed = |name: &str, data_type: &str| (name.to_owned(), data_type.to_owned());
    let mut columns: Columns = vec![text("kpi"), text("grain"), typed(PERIOD_START, "DATE"), typed(PERIOD_END, "DATE")];
    columns.push(text("breakdown"));
    columns.extend(dimensions.iter().map(|name| typed(name, "")));
    columns.push(typed("value", &sql_type(&kpi.value_type)));
    columns.extend(["numerator", "denominator", "target"].map(|name| typed(name, "DOUBLE")));
    columns.extend([
        typed("n", "BIGINT"),
        text("status"),
        typed("is_complete", "BOOLEAN"),
        typed("is_ripe", "BOOLEAN"),
    ]);
    columns.extend(kpi.stored().into_iter().map(|(name, data_type)| typed(&name, &sql_type(&data_type))));
    KpiNames { label: kpi.label.clone(), dimensions, grains: kpi.grains.clone(), columns }
}

/// Functions with what they take, as their documentation has it.
fn functions(session: &QuerySession) -> BTreeMap<String, String> {
    let takes = |known: Option<Documentation>| known.map(|known| known.syntax_example).unwrap_or_default();
    session.functions().into_iter().map(|(name, known)| (name, takes(known))).collect()
}
