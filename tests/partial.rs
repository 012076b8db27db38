//! The law of data that is there in part: what is left of the catalogue without some tables and columns has the values that
//! it has with all of them, and what is skipped says what is gone.
//!
//! The data is generated anew for each seed, and what is taken away is drawn at random.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use kpi::engine::{Engine, Question};
use kpi::generate::{GenerateOptions, generate};

use crate::support::{Rows, block_on, copy_folder, mistakes, open, write_files};

#[test]
fn without_some_tables_and_columns_the_rest_stays_as_it_is() {
    let seeds: u64 = std::env::var("KPI_LAW_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 1..=seeds {
        let folder = tempfile::tempdir().unwrap();
        let (whole, partial) = (folder.path().join("whole"), folder.path().join("partial"));
        for project in [&whole, &partial] {
            write_files(project, &[("kpis/project.yaml", "project: law\ntime_zone: America/New_York\ninclude: crm\n")]);
        }
        generate(&GenerateOptions::new(40, seed, whole.join("data")), &mut |_, _| {}).unwrap();
        copy_folder(&whole.join("data"), &partial.join("data"));
        let mut luck = Luck(seed);
        let gone = take_away(&partial.join("data"), &mut luck);
        block_on(async {
            let as_of = NaiveDate::from_ymd_opt(2025, 12, 31);
            let (whole, partial) = (open(&whole, as_of).await, open(&partial, as_of).await);
            assert_eq!(mistakes(&partial), "", "seed {seed} without {gone:?}");
            compare(&whole, &partial, &gone, &mut luck, seed).await;
        });
    }
}

async fn compare(whole: &Engine, partial: &Engine, gone: &BTreeSet<String>, luck: &mut Luck, seed: u64) {
    let what = format!("seed {seed} without {gone:?}");
    // Indices wait for targets, which the project has not, whatever is gone.
    let without_targets: BTreeSet<&str> = whole.model().skipped.iter().map(|skipped| skipped.kpi.as_str()).collect();
    for skipped in partial.model().skipped.iter().filter(|skipped| !without_targets.contains(skipped.kpi.as_str())) {
        let names = skipped.needs.iter().flat_map(|(table, need)| match need.is_absent {
            true => vec![table.clone()],
            false => need.columns.iter().map(|column| format!("{table}.{column}")).collect(),
        });
        let names: Vec<String> = names.collect();
        assert!(!names.is_empty() && names.iter().all(|name| gone.contains(name)), "{what}: {}", skipped.reason);
    }
    let kpis: Vec<&String> =
        partial.model().kpis.values().filter(|kpi| kpi.variant_of.is_none()).map(|kpi| &kpi.name).collect();
    assert!(partial.model().skipped.len() > 1 && kpis.len() > 10, "{what}: the choice shows nothing");
    let mut compared = 0;
    for _ in 0..8 {
        let kpi = &partial.model().kpis[kpis[luck.below(kpis.len())]];
        let by = kpi.dimension_sets[luck.below(kpi.dimension_sets.len())].clone();
        let question = Question { kpi: kpi.name.clone(), by: by.clone(), grain: None, since: None };
        let (one, other) = (whole.show(&question).await, partial.show(&question).await);
        match (one, other) {
            (Ok(one), Ok(other)) => {
                let (one, other) = (Rows::of(&one.rows), Rows::of(&other.rows));
                let difference = one.difference(&other);
                assert_eq!(difference, None, "{what}: `{}` by {by:?}", kpi.name);
                compared += 1;
            }
            (Err(one), Err(other)) => assert_eq!(one.message(), other.message(), "{what}: `{}`", kpi.name),
            (one, other) => panic!("{what}: `{}` by {by:?}: {:?} and {:?}", kpi.name, one.err(), other.err()),
        }
    }
    assert!(compared >= 4, "{what}: only {compared} values were compared");
}

/// Deletes a table and columns of others. Gives back their names.
fn take_away(data: &Path, luck: &mut Luck) -> BTreeSet<String> {
    let mut tables: Vec<PathBuf> = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.retain(|path| path.extension().is_none_or(|ending| ending == "csv"));
    tables.sort();
    let mut gone = BTreeSet::new();
    let absent = tables.remove(luck.below(tables.len()));
    gone.insert(table_name(&absent));
    match absent.is_dir() {
        true => fs::remove_dir_all(&absent).unwrap(),
        false => fs::remove_file(&absent).unwrap(),
    }
    for _ in 0..5 {
        let table = &tables[luck.below(tables.len())];
        let files = files(table);
        let columns = columns(&files[0]);
        // What tells whether a row counts has a default.
        let columns: Vec<String> =
            columns.into_iter().filter(|name| !name.starts_with("is_de") && name != "is_duplicate").collect();
        let column = &columns[luck.below(columns.len())];
        if columns.len() > 1 {
            files.iter().for_each(|file| without_column(file, column));
            gone.insert(format!("{}.{column}", table_name(table)));
        }
    }
    gone
}

fn table_name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn files(table: &Path) -> Vec<PathBuf> {
    if table.is_file() {
        return vec![table.to_owned()];
    }
    let mut found: Vec<PathBuf> =
        fs::read_dir(table).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect();
    found.sort();
    found
}

fn columns(file: &Path) -> Vec<String> {
    if file.extension().is_some_and(|ending| ending == "csv") {
        let text = fs::read_to_string(file).unwrap();
        let separator = separator(&text);
        return text.lines().next().unwrap().split(separator).map(str::to_owned).collect();
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    reader.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn separator(text: &str) -> char {
    if text.lines().next().unwrap().contains(';') { ';' } else { ',' }
}

fn without_column(file: &Path, column: &str) {
    if file.extension().is_some_and(|ending| ending == "csv") {
        let text = fs::read_to_string(file).unwrap();
        let separator = separator(&text) as u8;
        let mut reader = csv::ReaderBuilder::new().delimiter(separator).has_headers(false).from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let Some(index) = rows[0].iter().position(|name| name == column) else { return };
        let mut writer = csv::WriterBuilder::new().delimiter(separator).from_path(file).unwrap();
        for row in rows {
            writer.write_record(row.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, cell)| cell)).unwrap();
        }
        writer.flush().unwrap();
        return;
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let Ok(index) = schema.index_of(column) else { return };
    let rest: Vec<usize> = (0..schema.fields().len()).filter(|at| *at != index).collect();
    let batches: Vec<_> = reader.build().unwrap().map(|batch| batch.unwrap().project(&rest).unwrap()).collect();
    let schema = std::sync::Arc::new(schema.project(&rest).unwrap());
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), schema, None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

/// Numbers that look random, the same for each seed (the last steps of the generator splitmix64).
struct Luck(u64);

impl Luck {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
