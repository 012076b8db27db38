//! Properties that hold for any data and any definition, tried on random ones.
//!
//! Each seed makes a project: facts over two years with gaps, NULLs, orphans, decimals, doubles and changes of the clock;
//! a dimension table; KPIs of random aggregates, filters, dimensions, grains, fills, and arithmetic over them. Every
//! published value is compared with one worked out here, row by row and without any SQL, and the ways to compute a value
//! with each other. `KPI_LAW_SEEDS=n` tries n seeds, `KPI_LAW_SEED=n` one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Weekday};
use chrono_tz::Tz;
use kpi::engine::{KpiOutcome, RunReport};
use kpi::generate::Random;
use kpi::time::{Calendar, Grain};

use crate::support::{
    Published, Rows, Values, are_near, block_on, difference, differences_from_scratch, mistakes, open, read_published,
    read_values, run, run_anew, ways_that_differ, write_files, write_parquet,
};

#[test]
fn laws_hold_on_random_projects() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("KPI_LAW_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KPI_LAW_SEEDS").unwrap_or(4)).collect(),
    };
    let mut failures = String::new();
    block_on(async {
        let mut waiting = seeds.into_iter();
        let mut running = tokio::task::JoinSet::new();
        loop {
            while running.len() < 2
                && let Some(seed) = waiting.next()
            {
                running.spawn(async move { (seed, check(seed).await) });
            }
            let Some(checked) = running.join_next().await else { break };
            let (seed, broken) = checked.unwrap();
            broken.iter().for_each(|law| writeln!(failures, "KPI_LAW_SEED={seed}: {law}\n").unwrap());
        }
    });
    assert!(failures.is_empty(), "{failures}");
}

/// The laws that the project of a seed breaks.
async fn check(seed: u64) -> Vec<String> {
    let world = World::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("first");
    world.write(&project, &Writing { is_parquet: world.is_parquet, parts: 1, has_dimensions: true }).await;
    let engine = open(&project, Some(world.as_of)).await;
    let said = mistakes(&engine);
    if !said.is_empty() {
        return vec![said];
    }
    let report = match run(&engine).await {
        Ok(report) => report,
        Err(error) => return vec![error.to_string()],
    };
    let mut broken = world.wrong_values(&project, &report);
    broken.extend(parts_that_do_not_add_up(&world, &project, &report));
    broken.extend(ways_that_differ(&engine, &project, &Published::by(&report), 5).await);
    broken.extend(second_run(&world, &project).await);
    broken.extend(other_files_without_dimensions(&world, folder.path(), &project, &report).await);
    broken.extend(changes_that_are_missed(seed, folder.path()).await);
    broken
}

// ---- The laws.

/// Running again over the same files publishes the same bytes. Doubles are added in the order in which threads bring them,
/// so that their sums may differ in the last digits.
async fn second_run(world: &World, project: &Path) -> Vec<String> {
    let names = || -> Vec<String> {
        let folder = fs::read_dir(project.join("out/published")).unwrap().map(|entry| entry.unwrap().path());
        let files = folder.filter(|path| path.extension().is_some_and(|ending| ending == "parquet"));
        files.map(|path| path.file_stem().unwrap().display().to_string()).collect()
    };
    let read = |name: &String| {
        let bytes = fs::read(project.join(format!("out/published/{name}.parquet"))).unwrap();
        (name.clone(), (bytes, Rows::of(&read_published(project, name))))
    };
    let before: BTreeMap<_, _> = names().iter().map(read).collect();
    let engine = open(project, Some(world.as_of)).await;
    run_anew(&engine).await.unwrap();
    let after: BTreeMap<_, _> = names().iter().map(read).collect();
    let mut broken = Vec::new();
    for (name, (bytes, rows)) in &before {
        let Some((bytes_after, rows_after)) = after.get(name) else {
            broken.push(format!("a second run did not publish {name}"));
            continue;
        };
        let is_exact = match name.as_str() {
            "kpi_values" => world.order.iter().all(|name| !world.adds_doubles(name)),
            name => !world.adds_doubles(name),
        };
        match rows.difference(rows_after) {
            Some(difference) => broken.push(format!("a second run gave another {name}: {difference}")),
            None if is_exact && bytes != bytes_after => broken.push(format!("a second run wrote {name} differently")),
            None => {}
        }
    }
    broken
}

/// Whatever changes between runs, the values are those of a run over everything from scratch.
async fn changes_that_are_missed(seed: u64, folder: &Path) -> Vec<String> {
    let mut world = World::new(seed);
    let mut random = Random::new(seed ^ 0x5eed);
    let random = &mut random;
    let project = folder.join("changing");
    world.write(&project, &Writing { is_parquet: false, parts: 3, has_dimensions: true }).await;
    let mut broken = Vec::new();
    let mut did = "nothing";
    for step in 0..8 {
        let scratch = folder.join(format!("scratch {step}"));
        let differences = differences_from_scratch(&project, &scratch, world.as_of).await;
        broken.extend(differences.into_iter().map(|found| format!("after {did}: {found}")));
        let table = pick(random, &["facts", "others"]);
        let part = |index: u64| project.join(format!("data/{table}/part-{index}.csv"));
        did = match random.below(11) {
            0 => {
                fs::write(part(10 + step), csv_of(facts(random).iter().take(40))).unwrap();
                "a new file"
            }
            1 => {
                fs::write(part(random.below(3)), csv_of(facts(random).iter().take(30))).unwrap();
                "a file with other rows"
            }
            2..=5 => {
                // Lake files hold a few days each.
                let few = of_few_days(random, &world.facts[table]);
                fs::write(part(20 + random.below(3)), csv_of(few.iter())).unwrap();
                "a file of a few days"
            }
            6 => {
                let days = random.between(-40, 90);
                world.as_of += chrono::TimeDelta::days(days);
                "another day"
            }
            7 => {
                // At least one stays.
                let _ = fs::remove_file(part(1 + random.below(2)));
                "a file less"
            }
            8 => {
                let (region, _) = world.things.get_mut("k2").unwrap();
                *region = Some(format!("region {step}"));
                fs::write(project.join("data/things.csv"), world.things()).unwrap();
                "another dimension table"
            }
            9 => {
                let name = pick(random, &world.order);
                if let KpiShape::Aggregate { condition: own, .. } = &mut world.kpis.get_mut(&name).unwrap().shape {
                    *own = Some(condition(random, 1));
                }
                fs::write(project.join("kpis/project.yaml"), world.definitions(true)).unwrap();
                "another definition"
            }
            _ => "nothing",
        };
    }
    broken
}

/// The total is the same whatever a KPI is broken down by, and however its rows lie in files.
async fn other_files_without_dimensions(world: &World, folder: &Path, first: &Path, report: &RunReport) -> Vec<String> {
    let second = folder.join("second");
    world.write(&second, &Writing { is_parquet: !world.is_parquet, parts: 3, has_dimensions: false }).await;
    let engine = open(&second, Some(world.as_of)).await;
    run(&engine).await.unwrap();
    let overall = |project: &Path, kpi: &str| {
        let columns =
            ["grain", "period_start", "value", "numerator", "denominator", "n", "is_complete"].map(str::to_owned);
        let rows = Rows::of(&read_published(project, kpi)).retain(|column| column("breakdown") == "overall");
        rows.select(&columns, &columns[..2])
    };
    let mut broken = Vec::new();
    for name in Published::by(report).names {
        if let Some(difference) = overall(first, &name).difference(&overall(&second, &name)) {
            broken.push(format!("{name}: the total differs without dimensions and with other files: {difference}"));
        }
    }
    broken
}

/// Sums and counts of members add up to the total, those of days to months and years; a ratio is the ratio of the sums.
fn parts_that_do_not_add_up(world: &World, project: &Path, report: &RunReport) -> Vec<String> {
    let mut broken = Vec::new();
    for name in Published::by(report).names {
        let KpiShape::Aggregate { value, grains, .. } = &world.kpis[&name].shape else { continue };
        if !value.measures().iter().all(|measure| measure.is_additive()) {
            continue;
        }
        let rows = Rows::of(&read_published(project, &name));
        let [grain, period, breakdown, value_column, numerator, denominator] =
            ["grain", "period_start", "breakdown", "value", "numerator", "denominator"]
                .map(|column| rows.index(column));
        let columns = match value {
            Value::One(_) => vec![value_column],
            Value::Ratio(..) => vec![numerator, denominator],
            Value::Difference(..) | Value::OneMinusRatio(..) | Value::Percentage(..) => continue,
        };
        // By grain and breakdown, then by period: the sums of the columns; NULL counts as nothing.
        let mut sums: BTreeMap<(&str, &str), BTreeMap<NaiveDate, Vec<f64>>> = BTreeMap::new();
        for row in &rows.cells {
            let periods = sums.entry((&row[grain], &row[breakdown])).or_default();
            let sum = periods.entry(row[period].parse().unwrap()).or_insert_with(|| vec![0.0; columns.len()]);
            columns.iter().zip(sum).for_each(|(column, sum)| *sum += row[*column].parse::<f64>().unwrap_or(0.0));
        }
        for ((grain, breakdown), parts) in &sums {
            let Some(total) = sums.get(&(*grain, "overall")) else { continue };
            if !same_sums(parts, total) {
                broken
                    .push(format!("{name} by {grain}: {breakdown} does not add up to the total: {parts:?} {total:?}"));
            }
        }
        for (finer, coarser) in grains.iter().flat_map(|finer| grains.iter().map(move |coarser| (*finer, *coarser))) {
            if finer >= coarser || finer == Grain::Week {
                continue;
            }
            for breakdown in sums.keys().map(|(_, breakdown)| *breakdown).collect::<BTreeSet<_>>() {
                let mut rolled: BTreeMap<NaiveDate, Vec<f64>> = BTreeMap::new();
                for (period, parts) in &sums[&(finer.name(), breakdown)] {
                    let period = world.calendar.period_start(*period, coarser).unwrap();
                    let sum = rolled.entry(period).or_insert_with(|| vec![0.0; columns.len()]);
                    sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
                }
                let whole = &sums[&(coarser.name(), breakdown)];
                if !same_sums(&rolled, whole) {
                    broken.push(format!("{name}: {finer}s do not add up to {coarser}s: {rolled:?} {whole:?}"));
                }
            }
        }
    }
    broken
}

fn same_sums(one: &BTreeMap<NaiveDate, Vec<f64>>, other: &BTreeMap<NaiveDate, Vec<f64>>) -> bool {
    let near = |one: &[f64], other: &[f64]| {
        one.iter().zip(other).all(|(one, other)| are_near(&one.to_string(), &other.to_string()))
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && near(one.1, other.1))
}

// ---- A random project.

struct World {
    calendar: Calendar,
    as_of: NaiveDate,
    is_parquet: bool,
    /// Rows by table.
    facts: BTreeMap<&'static str, Vec<Fact>>,
    /// Region and size by key.
    things: BTreeMap<String, (Option<String>, Option<i64>)>,
    kpis: BTreeMap<String, KpiDefinition>,
    /// Inputs first.
    order: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Fact {
    /// Seconds since 1970-01-01 UTC.
    at: Option<i64>,
    day: Option<NaiveDate>,
    cents: Option<i64>,
    weight: Option<f64>,
    units: Option<i64>,
    flag: Option<bool>,
    category: Option<String>,
    key: Option<String>,
}

struct Writing {
    is_parquet: bool,
    parts: usize,
    has_dimensions: bool,
}

struct KpiDefinition {
    shape: KpiShape,
    sets: Vec<Vec<&'static str>>,
}

enum KpiShape {
    Aggregate {
        table: &'static str,
        time: &'static str,
        condition: Option<Condition>,
        value: Value,
        fill: bool,
        grains: Vec<Grain>,
    },
    Arithmetic {
        operation: Operation,
        inputs: Vec<String>,
        grains: Vec<Grain>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Minus,
    Divide,
    Coalesced,
    Growth,
    YearAgo,
    /// What is looked back at may be another table, which ends on another day.
    Before,
}

#[derive(Debug, Clone)]
enum Value {
    One(Measure),
    Ratio(Measure, Measure),
    Difference(Measure, Measure),
    OneMinusRatio(Measure, Measure),
    Percentage(Measure, Measure),
}

#[derive(Debug, Clone)]
struct Measure {
    function: &'static str,
    column: &'static str,
    condition: Option<Condition>,
}

#[derive(Debug, Clone)]
enum Condition {
    Flag,
    CategoryIs(&'static str),
    UnitsAbove(i64),
    Region(&'static str),
    SizeAbove(i64),
    CategoryMissing,
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

const DIMENSIONS: [&str; 5] = ["category", "flag", "region", "thing.size", "parity"];

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let random = &mut random;
        let zones = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"];
        let calendar = Calendar {
            time_zone: pick(random, &zones).parse().unwrap(),
            week_starts: pick(random, &[Weekday::Mon, Weekday::Sun, Weekday::Sat]),
            fiscal_year_starts: pick(random, &[1, 1, 4, 2, 11]),
        };
        let as_of = pick(random, &[day(2025, 12, 31), day(2025, 12, 31), day(2025, 6, 15), day(2026, 3, 1)]);
        let keys = ["k1", "k2", "k3", "k4", "k5"];
        let thing = |random: &mut Random| {
            (
                maybe(random, 20, |random| pick(random, &["north", "south"]).to_owned()),
                maybe(random, 20, |random| random.between(0, 3)),
            )
        };
        let things = keys.iter().map(|key| ((*key).to_owned(), thing(random))).collect();
        let facts = ["facts", "others"].into_iter().map(|table| (table, facts(random))).collect();
        let mut world = World {
            calendar,
            as_of,
            is_parquet: chance(random, 50),
            facts,
            things,
            kpis: BTreeMap::new(),
            order: vec![],
        };
        for index in 0..random.between(5, 7) {
            world.add(format!("kpi_{index}"), aggregate(random));
        }
        for index in 0..random.between(2, 4) {
            let inputs: Vec<String> = (0..2).map(|_| pick(random, &world.order)).collect();
            let looks_back_a_year = inputs.iter().any(|input| world.looks_back_a_year(input));
            world.add(format!("over_{index}"), arithmetic(random, inputs, looks_back_a_year));
        }
        world
    }

    fn looks_back_a_year(&self, name: &str) -> bool {
        match &self.kpis[name].shape {
            KpiShape::Aggregate { .. } => false,
            KpiShape::Arithmetic { operation, inputs, .. } => {
                matches!(operation, Operation::YearAgo) || inputs.iter().any(|input| self.looks_back_a_year(input))
            }
        }
    }

    fn add(&mut self, name: String, definition: KpiDefinition) {
        self.order.push(name.clone());
        self.kpis.insert(name, definition);
    }

    /// The definitions, as a file.
    fn definitions(&self, has_dimensions: bool) -> String {
        let weekday = format!("{:?}", self.calendar.week_starts);
        let weekday =
            ["monday", "saturday", "sunday"].into_iter().find(|name| name.starts_with(&weekday.to_lowercase()));
        let mut yaml = format!(
            "project: random\ntime_zone: {}\nweek_starts: {}\nfiscal_year_starts: {}\n",
            self.calendar.time_zone,
            weekday.unwrap(),
            self.calendar.fiscal_year_starts
        );
        for table in self.facts.keys() {
            write!(
                yaml,
                "---\ntable: {table}\nsource: {table}\ntime: at\ncolumns:\n  at: {{type: timestamp}}\n  day: {{type: date}}\n  \
                 amount: {{type: \"decimal(10,2)\"}}\n  weight: {{type: double}}\n  units: {{type: integer}}\n  flag: {{type: boolean}}\n  \
                 category: {{type: text}}\n  key: {{type: text}}\njoins:\n  thing: {{table: things, on: key}}\n\
                 dimensions:\n  region: thing.region\n  parity: units % 2\n"
            )
            .unwrap();
        }
        yaml.push_str("---\ntable: things\nsource: things.csv\nprimary_key: key\ncolumns:\n  size: {type: integer}\n");
        for name in &self.order {
            yaml.push_str(&self.kpis[name].yaml(name, has_dimensions));
        }
        yaml
    }

    fn things(&self) -> String {
        let mut things = "key,region,size\n".to_owned();
        for (key, (region, size)) in &self.things {
            writeln!(things, "{key},{},{}", text(region), text(size)).unwrap();
        }
        things
    }

    async fn write(&self, project: &Path, writing: &Writing) {
        let definitions = self.definitions(writing.has_dimensions);
        write_files(project, &[("kpis/project.yaml", &definitions), ("data/things.csv", &self.things())]);
        for (table, facts) in &self.facts {
            for part in 0..writing.parts {
                // Dealt out and turned around, so that nothing depends on the order of rows.
                let csv = csv_of(facts.iter().rev().skip(part).step_by(writing.parts));
                let path = project.join(format!("data/{table}/part-{part}.csv"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, csv).unwrap();
                if writing.is_parquet && writing.parts == 1 {
                    write_parquet(&path, &path.with_extension("parquet")).await;
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }
}

fn csv_of<'a>(facts: impl Iterator<Item = &'a Fact>) -> String {
    let mut csv = "at,day,amount,weight,units,flag,category,key\n".to_owned();
    facts.for_each(|fact| csv.push_str(&fact.csv()));
    csv
}

impl KpiDefinition {
    fn grains(&self) -> &[Grain] {
        match &self.shape {
            KpiShape::Aggregate { grains, .. } | KpiShape::Arithmetic { grains, .. } => grains,
        }
    }

    fn yaml(&self, name: &str, has_dimensions: bool) -> String {
        let mut yaml = format!("---\nkpi: {name}\n");
        match &self.shape {
            KpiShape::Aggregate { table, time, condition, value, fill, .. } => {
                writeln!(yaml, "from: {table}\ntime: {time}\nvalue: {}", value.sql()).unwrap();
                condition.iter().for_each(|condition| writeln!(yaml, "where: {}", condition.sql()).unwrap());
                if *fill {
                    yaml.push_str("fill: zero\n");
                }
            }
            KpiShape::Arithmetic { operation, inputs, .. } => {
                let (one, two) = (&inputs[0], &inputs[1]);
                let value = match operation {
                    Operation::Minus => format!("{one} - {two}"),
                    Operation::Divide => format!("{one} / {two}"),
                    Operation::Coalesced => format!("coalesce({one}, 0) + coalesce({two}, 0)"),
                    Operation::Growth => format!("{one} / previous({one}) - 1"),
                    Operation::YearAgo => format!("{one} - previous({two}, 1 year)"),
                    Operation::Before => format!("{one} - previous({two})"),
                };
                writeln!(yaml, "value: {value}").unwrap();
            }
        }
        let grains: Vec<&str> = self.grains().iter().map(|grain| grain.name()).collect();
        writeln!(yaml, "grains: [{}]", grains.join(", ")).unwrap();
        if has_dimensions && !self.sets.is_empty() {
            let sets: Vec<String> = self.sets.iter().map(|set| format!("[{}]", set.join(", "))).collect();
            writeln!(yaml, "by: [{}]", sets.join(", ")).unwrap();
        }
        yaml
    }
}

/// Rows of a few days, near others in time or a few weeks away.
fn of_few_days(random: &mut Random, others: &[Fact]) -> Vec<Fact> {
    let near = pick(random, others).day.unwrap_or(day(2024, 12, 15));
    let first = near + chrono::TimeDelta::days(random.between(-40, 40));
    let length = pick(random, &[1, 3, 31]);
    let mut rows: Vec<Fact> = facts(random).into_iter().take(random.between(1, 25) as usize).collect();
    for fact in &mut rows {
        let moved = first + chrono::TimeDelta::days(random.between(0, length));
        fact.at = fact.at.map(|_| moved.and_hms_opt(random.below(24) as u32, 0, 0).unwrap().and_utc().timestamp());
        fact.day = fact.day.map(|_| moved);
    }
    rows
}

fn facts(random: &mut Random) -> Vec<Fact> {
    let start = day(2024, 1, 1).and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    // A few months in which anything happens, so that there are gaps; around changes of the clock more than elsewhere.
    let months: Vec<i64> = (0..random.between(4, 9)).map(|_| random.between(0, 23)).chain([2, 9]).collect();
    let count = random.between(60, 160);
    let fact = |random: &mut Random| {
        let seconds = pick(random, &months) * 2_630_000 + random.between(0, 2_630_000);
        // Near a midnight of UTC, of New York, of Kolkata, or anywhere.
        let seconds = match random.below(4) {
            0 => seconds / 86_400 * 86_400 + pick(random, &[0, -1, 4 * 3_600, 5 * 3_600 - 1, 66_600]),
            _ => seconds,
        };
        Fact {
            at: maybe(random, 4, |_| start + seconds),
            day: maybe(random, 4, |random| {
                DateTime::from_timestamp(start + seconds + random.between(0, 400_000), 0).unwrap().date_naive()
            }),
            cents: maybe(random, 12, |random| random.between(-5_000, 99_999)),
            weight: maybe(random, 12, |random| random.uniform(-2.0, 10.0)),
            units: maybe(random, 12, |random| random.between(-2, 6)),
            flag: maybe(random, 15, |random| chance(random, 50)),
            category: maybe(random, 15, |random| pick(random, &["a", "b", "c"]).to_owned()),
            key: maybe(random, 15, |random| pick(random, &["k1", "k2", "k3", "k4", "k5", "k9"]).to_owned()),
        }
    };
    (0..count).map(|_| fact(random)).collect()
}

impl Fact {
    fn csv(&self) -> String {
        let at = self.at.map(|at| DateTime::from_timestamp(at, 0).unwrap().format("%Y-%m-%dT%H:%M:%S").to_string());
        let sign = |cents: i64| if cents < 0 { "-" } else { "" };
        let amount = self.cents.map(|c| format!("{}{}.{:02}", sign(c), c.abs() / 100, c.abs() % 100));
        format!(
            "{},{},{},{},{},{},{},{}\n",
            text(&at),
            text(&self.day),
            text(&amount),
            text(&self.weight),
            text(&self.units),
            text(&self.flag),
            text(&self.category),
            text(&self.key)
        )
    }
}

fn text<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(T::to_string).unwrap_or_default()
}

fn aggregate(random: &mut Random) -> KpiDefinition {
    let grains = match random.below(5) {
        0 => vec![Grain::Day, Grain::Month, Grain::Year],
        1 => vec![Grain::Week, Grain::Month],
        2 => vec![Grain::Month, Grain::Quarter, Grain::Year],
        3 => vec![Grain::Quarter],
        _ => vec![Grain::Month],
    };
    let sets = sets(random);
    let one = measure(random);
    let value = match random.below(7) {
        0 => Value::Ratio(one, measure(random)),
        1 => Value::Ratio(additive(random), additive(random)),
        2 => Value::Difference(one, measure(random)),
        3 => Value::OneMinusRatio(one, measure(random)),
        4 => Value::Percentage(one, measure(random)),
        5 => Value::One(additive(random)),
        _ => Value::One(one),
    };
    let shape = KpiShape::Aggregate {
        table: pick(random, &["facts", "facts", "others"]),
        time: pick(random, &["at", "at", "at", "day"]),
        condition: maybe(random, 50, |random| condition(random, 2)),
        value,
        // Filled days of two years are many.
        fill: !grains.contains(&Grain::Day) && chance(random, 40),
        grains,
    };
    KpiDefinition { shape, sets }
}

fn sets(random: &mut Random) -> Vec<Vec<&'static str>> {
    let mut sets = Vec::new();
    for _ in 0..random.below(3) {
        let mut set = vec![pick(random, &DIMENSIONS)];
        let second = pick(random, &DIMENSIONS);
        if chance(random, 40) && second != set[0] {
            set.push(second);
        }
        let is_known = |known: &Vec<&str>| known.len() == set.len() && set.iter().all(|name| known.contains(name));
        if !sets.iter().any(is_known) {
            sets.push(set);
        }
    }
    sets
}

fn arithmetic(random: &mut Random, inputs: Vec<String>, looks_back_a_year: bool) -> KpiDefinition {
    let operation = pick(
        random,
        &[
            Operation::Minus,
            Operation::Divide,
            Operation::Coalesced,
            Operation::Growth,
            Operation::YearAgo,
            Operation::Before,
        ],
    );
    let grains = match operation {
        Operation::YearAgo => vec![Grain::Month, Grain::Quarter],
        // A year is no whole number of weeks.
        _ if !looks_back_a_year && chance(random, 50) => vec![Grain::Week, Grain::Quarter],
        _ => vec![Grain::Month],
    };
    KpiDefinition { shape: KpiShape::Arithmetic { operation, inputs, grains }, sets: sets(random) }
}

fn additive(random: &mut Random) -> Measure {
    let (function, column) =
        pick(random, &[("count", "*"), ("count", "amount"), ("sum", "amount"), ("sum", "units"), ("sum", "weight")]);
    Measure { function, column, condition: maybe(random, 60, |random| condition(random, 1)) }
}

fn measure(random: &mut Random) -> Measure {
    if chance(random, 50) {
        return additive(random);
    }
    let (function, column) = pick(
        random,
        &[
            ("count_distinct", "category"),
            ("count_distinct", "key"),
            ("count_distinct", "units"),
            ("min", "units"),
            ("max", "weight"),
            ("min", "amount"),
            ("avg", "amount"),
            ("avg", "units"),
            ("median", "units"),
            ("median", "amount"),
            ("percentile", "weight"),
            ("middle", "units"),
        ],
    );
    Measure { function, column, condition: maybe(random, 60, |random| condition(random, 1)) }
}

fn condition(random: &mut Random, depth: u32) -> Condition {
    let deeper = |random: &mut Random| Box::new(condition(random, depth - 1));
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => Condition::Flag,
        1 => Condition::CategoryIs(pick(random, &["a", "b", "c"])),
        2 => Condition::UnitsAbove(random.between(-1, 4)),
        3 => Condition::Region(pick(random, &["north", "south"])),
        4 => Condition::SizeAbove(random.between(0, 2)),
        5 => Condition::CategoryMissing,
        6 => Condition::Not(deeper(random)),
        7 => Condition::And(deeper(random), deeper(random)),
        _ => Condition::Or(deeper(random), deeper(random)),
    }
}

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn chance(random: &mut Random, percent: u64) -> bool {
    random.below(100) < percent
}

fn maybe<T>(random: &mut Random, percent_without: u64, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    if chance(random, percent_without) { None } else { Some(value(random)) }
}

fn pick<T: Clone>(random: &mut Random, among: &[T]) -> T {
    among[random.below(among.len() as u64) as usize].clone()
}

impl Value {
    fn measures(&self) -> Vec<&Measure> {
        match self {
            Value::One(one) => vec![one],
            Value::Ratio(one, two)
            | Value::Difference(one, two)
            | Value::OneMinusRatio(one, two)
            | Value::Percentage(one, two) => vec![one, two],
        }
    }

    fn sql(&self) -> String {
        match self {
            Value::One(one) => one.sql(),
            Value::Ratio(one, two) => format!("{} / {}", one.sql(), two.sql()),
            Value::Difference(one, two) => format!("{} - {}", one.sql(), two.sql()),
            Value::OneMinusRatio(one, two) => format!("1 - {} / {}", one.sql(), two.sql()),
            Value::Percentage(one, two) => format!("{} / {} * 100", one.sql(), two.sql()),
        }
    }
}

impl Measure {
    fn is_additive(&self) -> bool {
        matches!(self.function, "count" | "sum")
    }

    fn sql(&self) -> String {
        let call = match self.function {
            "count_distinct" => format!("count(DISTINCT {})", self.column),
            "percentile" => format!("percentile_cont(0.9) WITHIN GROUP (ORDER BY {})", self.column),
            "middle" => format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {} DESC)", self.column),
            function => format!("{function}({})", self.column),
        };
        match &self.condition {
            Some(condition) => format!("{call} FILTER (WHERE {})", condition.sql()),
            None => call,
        }
    }
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Condition::Flag => "flag".into(),
            Condition::CategoryIs(category) => format!("category = '{category}'"),
            Condition::UnitsAbove(units) => format!("units > {units}"),
            Condition::Region(region) => format!("region = '{region}'"),
            Condition::SizeAbove(size) => format!("thing.size > {size}"),
            Condition::CategoryMissing => "category IS NULL".into(),
            Condition::Not(one) => format!("NOT ({})", one.sql()),
            Condition::And(one, two) => format!("({}) AND ({})", one.sql(), two.sql()),
            Condition::Or(one, two) => format!("({}) OR ({})", one.sql(), two.sql()),
        }
    }
}

// ---- The same values, worked out without SQL.

impl World {
    fn wrong_values(&self, project: &Path, report: &RunReport) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, outcome) in &report.kpis {
            let definition = &self.kpis[name];
            if !matches!(outcome, KpiOutcome::Published { .. }) {
                if !self.has_nothing(name) {
                    wrong.push(format!("{name} was not published: {outcome:?}"));
                }
                continue;
            }
            let rows = Rows::of(&read_published(project, name));
            let sets: Vec<Vec<&str>> = [vec![]].into_iter().chain(definition.sets.iter().cloned()).collect();
            for (grain, set) in definition.grains().iter().flat_map(|grain| sets.iter().map(move |set| (*grain, set))) {
                let breakdown = if set.is_empty() { "overall".to_owned() } else { set.join(", ") };
                let found =
                    rows.clone().retain(|column| column("grain") == grain.name() && column("breakdown") == breakdown);
                let expected = self.values(name, grain, set);
                let found = read_values(&found, set);
                if let Some(difference) = difference(&expected, &found) {
                    wrong.push(format!("{name} by {grain} {breakdown}: {difference}\n{}", definition.yaml(name, true)));
                }
            }
        }
        wrong
    }

    fn adds_doubles(&self, name: &str) -> bool {
        match &self.kpis[name].shape {
            KpiShape::Aggregate { value, .. } => {
                value.measures().iter().any(|measure| measure.function == "sum" && measure.column == "weight")
            }
            KpiShape::Arithmetic { inputs, .. } => inputs.iter().any(|input| self.adds_doubles(input)),
        }
    }

    /// Whether no row counts for a KPI, or for one below it.
    fn has_nothing(&self, name: &str) -> bool {
        match &self.kpis[name].shape {
            KpiShape::Aggregate { .. } => self.values(name, Grain::Year, &[]).is_empty(),
            KpiShape::Arithmetic { inputs, .. } => inputs.iter().any(|input| self.has_nothing(input)),
        }
    }

    fn values(&self, name: &str, grain: Grain, set: &[&str]) -> Values {
        match &self.kpis[name].shape {
            KpiShape::Aggregate { .. } => self.aggregate_values(name, grain, set, NaiveDate::MIN, self.as_of),
            KpiShape::Arithmetic { operation, inputs, .. } => {
                let (one, two, back) = operation.sides(inputs, grain);
                let mut right = self.values(two, grain, set);
                // An open period is compared with as many days of the earlier one.
                if back > 0
                    && let Some((start, last)) = self.days_so_far(name, grain, back)
                {
                    right.retain(|(period, _), _| *period != start);
                    right.extend(self.values_of_days(two, grain, set, start, last));
                }
                let mut values = self.together(*operation, inputs, grain, self.values(one, grain, set), right);
                let last =
                    self.reach(one).max(self.reach(two)).and_then(|last| self.calendar.period_start(last, grain));
                values.retain(|(period, _), _| back == 0 || last.is_none_or(|last| *period <= last));
                values
            }
        }
    }

    /// The values of the period that begins on `start`, where only its days up to `last` count.
    fn values_of_days(&self, name: &str, grain: Grain, set: &[&str], start: NaiveDate, last: NaiveDate) -> Values {
        match &self.kpis[name].shape {
            KpiShape::Aggregate { .. } => self.aggregate_values(name, grain, set, start, last),
            KpiShape::Arithmetic { operation, inputs, .. } => {
                let (one, two, back) = operation.sides(inputs, grain);
                let left = self.values_of_days(one, grain, set, start, last);
                let (start, last) = self.days_before((start, last), grain, back);
                let right = self.values_of_days(two, grain, set, start, last);
                self.together(*operation, inputs, grain, left, right)
            }
        }
    }

    /// Both sides of an operation, the right one moved to the periods that it is compared with.
    fn together(&self, operation: Operation, inputs: &[String], grain: Grain, left: Values, right: Values) -> Values {
        let (one, two, back) = operation.sides(inputs, grain);
        let later = |period| self.calendar.shift(period, grain, back).unwrap();
        let right: Values =
            right.into_iter().map(|((period, members), value)| ((later(period), members), value)).collect();
        let keys: BTreeSet<_> = left.keys().chain(right.keys()).cloned().collect();
        let value = |key: &(NaiveDate, Vec<Option<String>>)| {
            let one = left.get(key).copied().unwrap_or_else(|| self.missing(one, grain, key.0, 0));
            let two = right.get(key).copied().unwrap_or_else(|| self.missing(two, grain, key.0, back));
            operation.apply(one, two)
        };
        keys.into_iter().map(|key| (key.clone(), value(&key))).collect()
    }

    /// The values of an aggregate, where only some days count.
    fn aggregate_values(&self, name: &str, grain: Grain, set: &[&str], first: NaiveDate, last: NaiveDate) -> Values {
        let KpiShape::Aggregate { table, time, condition, value, fill, .. } = &self.kpis[name].shape else {
            panic!("{name} is no aggregate");
        };
        let mut groups: BTreeMap<(NaiveDate, Vec<Option<String>>), Vec<&Fact>> = BTreeMap::new();
        for fact in &self.facts[table] {
            let day = self.day_of(fact, time).filter(|day| (first..=last.min(self.as_of)).contains(day));
            let Some(day) = day else { continue };
            if condition.as_ref().is_none_or(|condition| condition.holds(self, fact) == Some(true)) {
                let period = self.calendar.period_start(day, grain).unwrap();
                let members = set.iter().map(|name| self.member(fact, name)).collect();
                groups.entry((period, members)).or_default().push(fact);
            }
        }
        if *fill {
            let members: BTreeSet<Vec<Option<String>>> = match set.is_empty() {
                true => BTreeSet::from([vec![]]),
                false => groups.keys().map(|(_, members)| members.clone()).collect(),
            };
            let is_asked = |period: &NaiveDate| first == NaiveDate::MIN || *period == first;
            for period in self.periods(name, grain).into_iter().filter(is_asked) {
                for members in &members {
                    groups.entry((period, members.clone())).or_default();
                }
            }
        }
        groups.into_iter().map(|(key, facts)| (key, value.of(self, &facts))).collect()
    }

    /// The days of an earlier period that the running one is compared with: as many as that has had.
    fn days_so_far(&self, name: &str, grain: Grain, back: i64) -> Option<(NaiveDate, NaiveDate)> {
        let last = self.reach(name)?;
        let open = self.calendar.period_start(last, grain)?;
        let end = self.calendar.period_end(open, grain)?.pred_opt()?;
        (end > self.as_of).then(|| self.days_before((open, last), grain, back))
    }

    fn days_before(&self, days: (NaiveDate, NaiveDate), grain: Grain, back: i64) -> (NaiveDate, NaiveDate) {
        let start = self.calendar.shift(days.0, grain, -back).unwrap();
        let end = self.calendar.period_end(start, grain).unwrap().pred_opt().unwrap();
        (start, (start + (days.1 - days.0)).min(end))
    }

    /// What an input is worth where it has no row: nothing, or what its definition fills with where its data covers it.
    fn missing(&self, name: &str, grain: Grain, period: NaiveDate, back: i64) -> Option<f64> {
        let KpiShape::Aggregate { value, fill: true, .. } = &self.kpis[name].shape else { return None };
        let period = self.calendar.shift(period, grain, -back)?;
        self.periods(name, grain).contains(&period).then(|| value.of(self, &[]))?
    }

    /// The last day that the rows behind a KPI reach.
    fn reach(&self, name: &str) -> Option<NaiveDate> {
        match &self.kpis[name].shape {
            KpiShape::Aggregate { .. } => self.days(name).last().copied(),
            KpiShape::Arithmetic { operation, inputs, .. } => {
                let (one, two, _) = operation.sides(inputs, Grain::Month);
                Some(self.reach(one)?.max(self.reach(two)?))
            }
        }
    }

    /// The days on which the table of an aggregate has rows.
    fn days(&self, name: &str) -> BTreeSet<NaiveDate> {
        let KpiShape::Aggregate { table, time, .. } = &self.kpis[name].shape else { panic!("{name} is no aggregate") };
        let days = self.facts[table].iter().filter_map(|fact| self.day_of(fact, time));
        days.filter(|day| *day <= self.as_of).collect()
    }

    /// The periods that the rows of an aggregate's table cover.
    fn periods(&self, name: &str, grain: Grain) -> BTreeSet<NaiveDate> {
        let days = self.days(name);
        let (Some(first), Some(last)) = (days.first(), days.last()) else { return BTreeSet::new() };
        let covered = first.iter_days().take_while(|day| day <= last);
        covered.map(|day| self.calendar.period_start(day, grain).unwrap()).collect()
    }

    fn day_of(&self, fact: &Fact, time: &str) -> Option<NaiveDate> {
        let zone: Tz = self.calendar.time_zone;
        match time {
            "at" => Some(DateTime::from_timestamp(fact.at?, 0)?.with_timezone(&zone).date_naive()),
            _ => fact.day,
        }
    }

    fn member(&self, fact: &Fact, dimension: &str) -> Option<String> {
        let thing = fact.key.as_ref().and_then(|key| self.things.get(key));
        match dimension {
            "category" => fact.category.clone(),
            "flag" => fact.flag.map(|flag| flag.to_string()),
            "region" => thing?.0.clone(),
            "thing.size" => thing?.1.map(|size| size.to_string()),
            "parity" => fact.units.map(|units| (units % 2).to_string()),
            other => panic!("{other}"),
        }
    }
}

impl Condition {
    fn holds(&self, world: &World, fact: &Fact) -> Option<bool> {
        match self {
            Condition::Flag => fact.flag,
            Condition::CategoryIs(category) => fact.category.as_ref().map(|found| found == category),
            Condition::UnitsAbove(units) => fact.units.map(|found| found > *units),
            Condition::Region(region) => world.member(fact, "region").map(|found| found == *region),
            Condition::SizeAbove(size) => {
                world.member(fact, "thing.size").map(|found| found.parse::<i64>().unwrap() > *size)
            }
            Condition::CategoryMissing => Some(fact.category.is_none()),
            Condition::Not(one) => one.holds(world, fact).map(|holds| !holds),
            Condition::And(one, two) => match (one.holds(world, fact), two.holds(world, fact)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(one, two) => match (one.holds(world, fact), two.holds(world, fact)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

impl Value {
    fn of(&self, world: &World, facts: &[&Fact]) -> Option<f64> {
        let divide = |one: Option<f64>, two: Option<f64>| Some(one? / two.filter(|two| *two != 0.0)?);
        match self {
            Value::One(one) => one.of(world, facts),
            Value::Ratio(one, two) => divide(one.of(world, facts), two.of(world, facts)),
            Value::Difference(one, two) => Some(one.of(world, facts)? - two.of(world, facts)?),
            Value::OneMinusRatio(one, two) => Some(1.0 - divide(one.of(world, facts), two.of(world, facts))?),
            Value::Percentage(one, two) => Some(divide(one.of(world, facts), two.of(world, facts))? * 100.0),
        }
    }
}

impl Measure {
    /// An empty list of facts is a period without rows that was filled: its sums are 0.
    fn of(&self, world: &World, facts: &[&Fact]) -> Option<f64> {
        let counts =
            |fact: &&&Fact| self.condition.as_ref().is_none_or(|condition| condition.holds(world, fact) == Some(true));
        let counted: Vec<&&Fact> = facts.iter().filter(counts).collect();
        let mut numbers: Vec<f64> = counted.iter().filter_map(|fact| fact.number(self.column)).collect();
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().saturating_sub(1);
        match self.function {
            "count" if self.column == "*" => Some(counted.len() as f64),
            "count" => Some(numbers.len() as f64),
            "count_distinct" => {
                let texts = counted.iter().filter_map(|fact| match self.column {
                    "category" => fact.category.clone(),
                    "key" => fact.key.clone(),
                    _ => fact.units.map(|units| units.to_string()),
                });
                Some(texts.collect::<BTreeSet<String>>().len() as f64)
            }
            "sum" if facts.is_empty() => Some(0.0),
            "sum" if numbers.is_empty() => None,
            "sum" => Some(numbers.iter().sum()),
            "avg" if numbers.is_empty() => None,
            "avg" => Some(numbers.iter().sum::<f64>() / numbers.len() as f64),
            "median" | "percentile" | "middle" if numbers.is_empty() => None,
            "median" => Some((numbers[last / 2] + numbers[last.div_ceil(2)]) / 2.0),
            "percentile" => {
                let (below, rest) = (last * 9 / 10, last * 9 % 10);
                let above = numbers[(below + 1).min(last)];
                Some(numbers[below] + (above - numbers[below]) * rest as f64 / 10.0)
            }
            // Of an even number the greater one of the two in the middle, as it is counted from the greatest on.
            "middle" => Some(numbers[numbers.len() / 2]),
            "min" => numbers.into_iter().reduce(f64::min),
            "max" => numbers.into_iter().reduce(f64::max),
            other => panic!("{other}"),
        }
    }
}

impl Fact {
    fn number(&self, column: &str) -> Option<f64> {
        match column {
            "amount" => self.cents.map(|cents| cents as f64 / 100.0),
            "weight" => self.weight,
            "units" => self.units.map(|units| units as f64),
            _ => None,
        }
    }
}

impl Operation {
    /// The left and the right input, and how many periods the right one lies back.
    fn sides(self, inputs: &[String], grain: Grain) -> (&str, &str, i64) {
        match self {
            Operation::Minus | Operation::Divide | Operation::Coalesced => (&inputs[0], &inputs[1], 0),
            Operation::Growth => (&inputs[0], &inputs[0], 1),
            Operation::Before => (&inputs[0], &inputs[1], 1),
            Operation::YearAgo => (&inputs[0], &inputs[1], if grain == Grain::Month { 12 } else { 4 }),
        }
    }

    fn apply(self, one: Option<f64>, two: Option<f64>) -> Option<f64> {
        let ratio = || Some(one? / two.filter(|two| *two != 0.0)?);
        match self {
            Operation::Minus | Operation::YearAgo | Operation::Before => Some(one? - two?),
            Operation::Divide => ratio(),
            Operation::Coalesced => Some(one.unwrap_or(0.0) + two.unwrap_or(0.0)),
            Operation::Growth => Some(ratio()? - 1.0),
        }
    }
}
