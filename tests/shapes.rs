//! Laws of the shapes that look at more than one row: levels, entities, windows, conversions, funnels, cohorts.
//!
//! Each seed makes a project of random events and stays, and KPIs of every shape with random settings. Every published value is
//! worked out here once more, row by row and without any SQL; the ways to compute a value are compared with each other; and
//! what must hold between KPIs is looked at: retention and churn are 1 together, a window of one period is the KPI itself,
//! filters commute. `KPI_LAW_SEEDS=n` tries n seeds, `KPI_LAW_SEED=n` one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Days, Months, NaiveDate, Weekday};
use kpi::engine::KpiOutcome;
use kpi::generate::Random;
use kpi::time::{Calendar, Grain};

use crate::support::{
    Published, Rows, Values, block_on, difference, differences_from_scratch, mistakes, open, read_published,
    read_values, run, ways_that_differ, write_files,
};

#[test]
fn shapes_are_what_they_say_on_random_projects() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("KPI_LAW_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KPI_LAW_SEEDS").unwrap_or(2)).collect(),
    };
    let mut failures = String::new();
    block_on(async {
        let mut running = tokio::task::JoinSet::new();
        for seed in seeds {
            if running.len() >= 2 {
                note(&mut failures, running.join_next().await);
            }
            running.spawn(async move { (seed, check(seed).await) });
        }
        while let Some(checked) = running.join_next().await {
            note(&mut failures, Some(checked));
        }
    });
    assert!(failures.is_empty(), "{failures}");
}

type Checked = Result<(u64, Vec<String>), tokio::task::JoinError>;

fn note(failures: &mut String, checked: Option<Checked>) {
    let Some(checked) = checked else { return };
    let (seed, broken) = checked.unwrap();
    broken.iter().for_each(|law| writeln!(failures, "KPI_LAW_SEED={seed}: {law}\n").unwrap());
}

/// The laws that the project of a seed breaks.
async fn check(seed: u64) -> Vec<String> {
    let world = World::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    world.write(project);
    let engine = open(project, Some(world.as_of)).await;
    let said = mistakes(&engine);
    if !said.is_empty() {
        return vec![said];
    }
    let report = match run(&engine).await {
        Ok(report) => report,
        Err(error) => return vec![error.to_string()],
    };
    let mut broken = Vec::new();
    for (name, outcome) in &report.kpis {
        let Some(shape) = world.kpis.get(name) else { continue };
        if matches!(outcome, KpiOutcome::Published { .. }) {
            broken.extend(wrong_values(&world, project, name, shape));
        } else if !shape.values(&world, Grain::Year.min(shape.grains[0]), &[]).is_empty() {
            broken.push(format!("{name} was not published: {outcome:?}\n{}", shape.yaml));
        }
    }
    let published = Published::by(&report);
    broken.extend(broken_algebra(project, &published.names));
    broken.extend(ways_that_differ(&engine, project, &published, 4).await);
    broken.extend(changes_that_are_missed(world, seed, project).await);
    broken
}

/// Whatever changes between runs, the values are those of a run over everything from scratch.
async fn changes_that_are_missed(mut world: World, seed: u64, project: &Path) -> Vec<String> {
    let mut random = Random::new(seed ^ 0x5eed);
    let random = &mut random;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut broken = Vec::new();
    for step in 0..3 {
        let did = match random.below(5) {
            0 => {
                let index = random.below(world.events.len() as u64) as usize;
                world.events.remove(index);
                "an event less"
            }
            1 | 2 => {
                let at = pick(random, &world.events).at + random.between(0, 3) * 86_400 * 20;
                let id = 1_000 + step;
                let event = Event { id, at, ..pick(random, &world.events) };
                if random.below(2) == 0 {
                    world.events.push(event)
                } else {
                    world.follows.push(event)
                }
                "an event more"
            }
            3 => {
                let index = random.below(world.stays.len() as u64) as usize;
                world.stays[index] = stay(random);
                "another stay"
            }
            _ => {
                world.as_of = world.as_of + Days::new(40) - Days::new(random.below(60));
                "another day"
            }
        };
        world.write(project);
        let scratch = elsewhere.path().join(format!("scratch {step}"));
        let differences = differences_from_scratch(project, &scratch, world.as_of).await;
        broken.extend(differences.into_iter().map(|found| format!("after {did}: {found}")));
    }
    broken
}

fn wrong_values(world: &World, project: &Path, name: &str, shape: &Kpi) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = Rows::of(&read_published(project, name));
    for (grain, set) in shape.grains.iter().flat_map(|grain| shape.sets.iter().map(move |set| (*grain, set))) {
        let asked: Vec<&str> = shape.built_in.into_iter().chain(set.iter().copied()).collect();
        let breakdown = if asked.is_empty() { "overall".to_owned() } else { asked.join(", ") };
        let found = rows.clone().retain(|column| column("grain") == grain.name() && column("breakdown") == breakdown);
        let expected = shape.values(world, grain, set);
        if let Some(difference) = difference(&expected, &read_values(&found, &asked)) {
            wrong.push(format!("{name} by {grain} {breakdown}: {difference}\n{}", shape.yaml));
        }
    }
    wrong
}

/// What is judged by other values, or waits. It is only compared with a run from scratch.
const FURTHER: &str = "\
---
kpi: waiting
from: events
value: sum(units)
ripens: 45 days
grains: [week, month]
by: [category]
better: higher
target: {kpi: looked_at, warn: 0.9, critical: 0.5}
---
kpi: waiting_later
value: waiting - previous(waiting, 2 weeks)
grains: [week]
by: [category]
---
kpi: since_new_year
value: waiting / start_of(waiting, year)
grains: [month]
---
kpi: filled
from: events
value: count(*)
fill: zero
grains: [day, month]
by: [category]
---
kpi: filled_growth
value: filled / previous(filled, 1 month) - 1
grains: [month]
by: [category]
---
kpi: both
composite: {waiting: 1, ratio_to_reach: 2}
better: higher
grains: [month]
by: [category]
---
kpi: ratio_to_reach
value: ratio
better: higher
target: 2
grains: [month]
by: [category]
";

/// What must hold between the KPIs of every project.
fn broken_algebra(project: &Path, names: &BTreeSet<String>) -> Vec<String> {
    let read = |name: &str| {
        // A window of an open period reaches back behind its start.
        let rows = Rows::of(&read_published(project, name)).retain(|column| column("is_complete") == "true");
        let columns = ["grain", "period_start", "breakdown", "category", "value"].map(str::to_owned);
        rows.select(&columns, &columns[..4])
    };
    let has = |wanted: &[&str]| wanted.iter().all(|name| names.contains(*name));
    let mut broken = Vec::new();
    if has(&["retention", "churn"]) {
        for (retention, churn) in read("retention").cells.iter().zip(&read("churn").cells) {
            let sum = retention[4].parse::<f64>().unwrap_or(0.5) + churn[4].parse::<f64>().unwrap_or(0.5);
            if (sum - 1.0).abs() > 1e-9 || retention[..4] != churn[..4] {
                broken.push(format!("retention and churn are not 1 together: {retention:?} {churn:?}"));
            }
        }
    }
    for (one, other) in
        [("narrow_then_wide", "wide_then_narrow"), ("narrowed_itself", "narrowed_input"), ("month_window", "months")]
    {
        if !has(&[one, other]) {
            continue;
        }
        if let Some(difference) = read(one).difference(&read(other)) {
            broken.push(format!("{one} and {other} differ: {difference}"));
        }
    }
    broken
}

// ---- A random project.

struct World {
    calendar: Calendar,
    as_of: NaiveDate,
    events: Vec<Event>,
    follows: Vec<Event>,
    stays: Vec<Stay>,
    kpis: BTreeMap<String, Kpi>,
}

#[derive(Debug, Clone)]
struct Event {
    id: i64,
    entity: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    at: i64,
    units: Option<i64>,
    category: Option<String>,
}

#[derive(Debug, Clone)]
struct Stay {
    entity: Option<String>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    units: Option<i64>,
    category: Option<String>,
}

/// A KPI as written, and its values as worked out by hand.
struct Kpi {
    yaml: String,
    grains: Vec<Grain>,
    sets: Vec<Vec<&'static str>>,
    built_in: Option<&'static str>,
    values: Reckoning,
}

type Groups<'a, T> = BTreeMap<Key, Vec<&'a T>>;
type Key = (NaiveDate, Members);
type Members = Vec<Option<String>>;
type Reckoning = Box<dyn Fn(&World, Grain, &[&str]) -> Values + Send + Sync>;
/// By member and entity: the period in which it begins, and those in which it is active.
type Lives<'a> = BTreeMap<(Members, &'a String), (NaiveDate, BTreeSet<NaiveDate>)>;

impl Kpi {
    fn values(&self, world: &World, grain: Grain, set: &[&str]) -> Values {
        (self.values)(world, grain, set)
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed.wrapping_add(77_000));
        let random = &mut random;
        let zones = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata"];
        let calendar = Calendar {
            time_zone: pick(random, &zones).parse().unwrap(),
            week_starts: pick(random, &[Weekday::Mon, Weekday::Sun]),
            fiscal_year_starts: pick(random, &[1, 1, 4]),
        };
        let mut world = World {
            calendar,
            as_of: pick(random, &[day(2025, 12, 31), day(2025, 6, 15), day(2026, 3, 1)]),
            events: events(random),
            follows: events(random),
            stays: (0..random.between(30, 60)).map(|_| stay(random)).collect(),
            kpis: BTreeMap::new(),
        };
        for (name, kpi) in kpis(random) {
            world.kpis.insert(name, kpi);
        }
        world
    }

    fn write(&self, project: &Path) {
        let weekday = if self.calendar.week_starts == Weekday::Sun { "sunday" } else { "monday" };
        let mut yaml = format!(
            "project: random\ntime_zone: {}\nweek_starts: {weekday}\nfiscal_year_starts: {}\n",
            self.calendar.time_zone, self.calendar.fiscal_year_starts
        );
        for table in ["events", "follows"] {
            write!(
                yaml,
                "---\ntable: {table}\nsource: {table}\ntime: at\nprimary_key: id\ncolumns:\n  at: {{type: timestamp}}\n  \
                 units: {{type: integer}}\n  entity: {{type: text}}\n  category: {{type: text}}\n"
            )
            .unwrap();
        }
        yaml.push_str(
            "---\ntable: stays\nsource: stays\ncolumns:\n  begins: {type: date}\n  ends: {type: date}\n  \
             units: {type: integer}\n  entity: {type: text}\n  category: {type: text}\n",
        );
        for (name, kpi) in &self.kpis {
            let grains: Vec<&str> = kpi.grains.iter().map(|grain| grain.name()).collect();
            let by: Vec<String> =
                kpi.sets.iter().filter(|set| !set.is_empty()).map(|set| format!("[{}]", set.join(", "))).collect();
            write!(yaml, "---\nkpi: {name}\n{}grains: [{}]\nby: [{}]\n", kpi.yaml, grains.join(", "), by.join(", "))
                .unwrap();
        }
        yaml.push_str(FURTHER);
        // A file for each month, as lakes have them.
        let mut files = BTreeMap::from([("kpis/project.yaml".to_owned(), yaml)]);
        for (table, events) in [("events", &self.events), ("follows", &self.follows)] {
            let mut months: BTreeMap<String, Vec<Event>> = BTreeMap::new();
            for event in events {
                let month = DateTime::from_timestamp(event.at, 0).unwrap().format("%Y-%m").to_string();
                months.entry(month).or_default().push(event.clone());
            }
            files.extend(months.iter().map(|(month, events)| (format!("data/{table}/{month}.csv"), csv(events))));
        }
        for stay in &self.stays {
            let Stay { entity, from, to, units, category } = stay;
            let month = from.map_or("none".to_owned(), |from| from.format("%Y-%m").to_string());
            let file = files.entry(format!("data/stays/{month}.csv"));
            let file = file.or_insert_with(|| "entity,begins,ends,units,category\n".to_owned());
            writeln!(file, "{},{},{},{},{}", text(entity), text(from), text(to), text(units), text(category)).unwrap();
        }
        write_changed(project, &files);
    }

    fn day_of(&self, event: &Event) -> NaiveDate {
        DateTime::from_timestamp(event.at, 0).unwrap().with_timezone(&self.calendar.time_zone).date_naive()
    }

    fn start(&self, day: NaiveDate, grain: Grain) -> NaiveDate {
        self.calendar.period_start(day, grain).unwrap()
    }

    fn last_day_of(&self, start: NaiveDate, grain: Grain) -> NaiveDate {
        self.calendar.period_end(start, grain).unwrap().pred_opt().unwrap()
    }

    /// The periods from the first day to the last.
    fn periods(&self, days: Option<(NaiveDate, NaiveDate)>, grain: Grain) -> Vec<NaiveDate> {
        let Some((first, last)) = days else { return vec![] };
        let mut periods = vec![self.start(first, grain)];
        while let Some(next) = self.calendar.period_end(*periods.last().unwrap(), grain).filter(|next| *next <= last) {
            periods.push(next);
        }
        periods
    }

    /// The days that events cover, up to the day looked from.
    fn covered(&self, events: &[Event]) -> Option<(NaiveDate, NaiveDate)> {
        let days: BTreeSet<NaiveDate> =
            events.iter().map(|event| self.day_of(event)).filter(|day| *day <= self.as_of).collect();
        Some((*days.first()?, *days.last()?))
    }

    /// The days that stays cover: their ends are something that happened as well.
    fn covered_by_stays(&self) -> Option<(NaiveDate, NaiveDate)> {
        let begins: BTreeSet<NaiveDate> =
            self.stays.iter().filter_map(|stay| stay.from).filter(|day| *day <= self.as_of).collect();
        let ends = self.stays.iter().filter_map(|stay| stay.to).filter(|day| *day <= self.as_of).max();
        Some((*begins.first()?, (*begins.last()?).max(ends.unwrap_or(NaiveDate::MIN))))
    }
}

/// Writes files whose content is another one, and takes away tables' files that are no longer there.
fn write_changed(project: &Path, files: &BTreeMap<String, String>) {
    for table in ["events", "follows", "stays"] {
        for file in fs::read_dir(project.join("data").join(table)).into_iter().flatten() {
            let name = format!("data/{table}/{}", file.unwrap().file_name().display());
            if !files.contains_key(&name) {
                fs::remove_file(project.join(name)).unwrap();
            }
        }
    }
    for (name, content) in files {
        if fs::read_to_string(project.join(name)).ok().as_ref() != Some(content) {
            write_files(project, &[(name, content)]);
        }
    }
}

fn events(random: &mut Random) -> Vec<Event> {
    let start = day(2024, 6, 1).and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    let months: Vec<i64> = (0..6).map(|_| random.between(0, 18)).collect();
    let count = random.between(40, 90);
    (0..count)
        .map(|id| {
            let seconds = pick(random, &months) * 2_630_000 + random.between(0, 2_630_000);
            // Many at the same instants, so that there are ties, and some around midnight.
            let seconds = match random.below(3) {
                0 => seconds / 604_800 * 604_800 + pick(random, &[0, -1, 4 * 3_600, 66_600]),
                1 => seconds / 86_400 * 86_400,
                _ => seconds,
            };
            Event {
                id,
                entity: maybe(random, 12, |random| pick(random, &["e1", "e2", "e3", "e4", "e5", "e6"]).to_owned()),
                at: start + seconds,
                units: maybe(random, 12, |random| random.between(-2, 9)),
                category: maybe(random, 15, |random| pick(random, &["a", "b"]).to_owned()),
            }
        })
        .collect()
}

fn stay(random: &mut Random) -> Stay {
    let from = day(2024, 6, 1) + Days::new(random.below(560));
    let length = pick(random, &[0, 1, 30, 31, 45, 90, 200, 400]);
    let to = if length == 30 { self::day(2025, 1, 1).max(from) } else { from + Days::new(length) };
    Stay {
        entity: maybe(random, 8, |random| pick(random, &["e1", "e2", "e3", "e4", "e5", "e6", "e7"]).to_owned()),
        from: maybe(random, 5, |_| from),
        to: maybe(random, 30, |_| to),
        units: maybe(random, 10, |random| random.between(0, 50)),
        category: maybe(random, 15, |random| pick(random, &["a", "b"]).to_owned()),
    }
}

fn csv(events: &[Event]) -> String {
    let mut csv = "id,entity,at,units,category\n".to_owned();
    for Event { id, entity, at, units, category } in events {
        let at = DateTime::from_timestamp(*at, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ");
        writeln!(csv, "{id},{},{at},{},{}", text(entity), text(units), text(category)).unwrap();
    }
    csv
}

fn text<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(T::to_string).unwrap_or_default()
}

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn maybe<T>(random: &mut Random, percent_without: u64, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    if random.below(100) < percent_without { None } else { Some(value(random)) }
}

fn pick<T: Clone>(random: &mut Random, among: &[T]) -> T {
    among[random.below(among.len() as u64) as usize].clone()
}

// ---- The KPIs, each with its values worked out without SQL.

fn kpis(random: &mut Random) -> Vec<(String, Kpi)> {
    let mut kpis: Vec<(String, Kpi)> = Vec::new();
    let grains = |random: &mut Random| {
        pick(random, &[vec![Grain::Month], vec![Grain::Week, Grain::Quarter], vec![Grain::Month, Grain::Year]])
    };
    let sets = || vec![vec![], vec!["category"]];
    let mut add = |name: &str, yaml: String, grains: Vec<Grain>, built_in, values: Reckoning| {
        kpis.push((name.to_owned(), Kpi { yaml, grains, sets: sets(), built_in, values }));
    };

    for (name, value) in
        [("level_rows", "count(*)"), ("level_units", "sum(units)"), ("level_entities", "count(DISTINCT entity)")]
    {
        let at_start = random.below(3) == 0;
        let at = if at_start { "at: start\n" } else { "" };
        let yaml = format!("from: stays\nstock: {{from: begins, to: ends}}\n{at}value: {value}\n");
        let of = move |stays: &[&Stay]| stays_are_worth(value, stays);
        add(
            name,
            yaml,
            grains(random),
            None,
            Box::new(move |world, grain, set| {
                let groups = levels(world, grain, set, at_start);
                groups.into_iter().map(|(key, stays)| (key, of(&stays))).collect()
            }),
        );
    }
    for (name, value) in [
        ("retention", "count(*) FILTER (WHERE opening AND closing) / count(*) FILTER (WHERE opening)"),
        ("churn", "count(*) FILTER (WHERE opening AND NOT closing) / count(*) FILTER (WHERE opening)"),
        ("net_retention", "sum(closing.units) FILTER (WHERE opening) / sum(opening.units)"),
        ("newcomers", "count(*) FILTER (WHERE closing AND NOT opening)"),
    ] {
        let yaml = format!(
            "from: stays\nstock: {{from: begins, to: ends}}\nper: entity\ncolumns: {{units: sum(units)}}\nvalue: {value}\n"
        );
        let grains = vec![Grain::Month, Grain::Quarter];
        add(name, yaml, grains, None, Box::new(move |world, grain, set| boundaries(world, grain, set, name)));
    }

    let least = random.between(1, 3);
    let length = pick(
        random,
        &[
            Window::Days(28),
            Window::Days(90),
            Window::Months(2),
            Window::Months(12),
            Window::All,
            Window::ToDate(Grain::Year),
        ],
    );
    for window in [None, Some(length)] {
        let name = if window.is_some() { "repeaters_of_window" } else { "repeaters" };
        let key = window.map(Window::yaml).unwrap_or_default();
        let yaml = format!(
            "from: events\nper: entity\ncolumns: {{events: count(*), total: sum(units)}}\n{key}value: sum(total) FILTER (WHERE events >= {least}) / count(*)\n"
        );
        let grains = if window == Some(Window::ToDate(Grain::Year)) { vec![Grain::Month] } else { grains(random) };
        add(
            name,
            yaml,
            grains,
            None,
            Box::new(move |world, grain, set| {
                let groups = placed(world, &world.events, grain, set, window);
                groups.into_iter().filter_map(|(key, events)| Some((key, repeaters(&events, least)?))).collect()
            }),
        );
    }
    for (name, value) in [
        ("window_units", "sum(units)"),
        ("window_entities", "count(DISTINCT entity)"),
        ("window_ratio", "sum(units) / count(units)"),
        ("window_largest", "max(units)"),
    ] {
        let window = pick(
            random,
            &[
                Window::Days(7),
                Window::Days(60),
                Window::Months(3),
                Window::All,
                Window::ToDate(Grain::Quarter),
                Window::ToDate(Grain::Year),
            ],
        );
        let yaml = format!("from: events\n{}value: {value}\n", window.yaml());
        add(
            name,
            yaml,
            vec![Grain::Month],
            None,
            Box::new(move |world, grain, set| {
                let groups = placed(world, &world.events, grain, set, Some(window));
                groups.into_iter().map(|(key, events)| (key, events_are_worth(value, &events))).collect()
            }),
        );
    }
    let simple = |window: Option<Window>| -> Reckoning {
        Box::new(move |world, grain, set| {
            let groups = placed(world, &world.events, grain, set, window);
            groups
                .into_iter()
                .map(|(key, events)| (key, events_are_worth("sum(units) / count(units)", &events)))
                .collect()
        })
    };
    add("ratio", "from: events\nvalue: sum(units) / count(units)\n".into(), vec![Grain::Month], None, simple(None));
    let over = Window::Months(pick(random, &[2, 5]));
    add("window_of_ratio", format!("value: ratio\n{}", over.yaml()), vec![Grain::Month], None, simple(Some(over)));

    // Filters commute: on the KPI itself, on an input, on all inputs, in either order.
    let narrow: fn(&Event) -> bool = |event| event.units.is_some_and(|units| units > 1);
    let count_of = |filter: fn(&Event) -> bool| -> Reckoning {
        Box::new(move |world, grain, set| {
            let events: Vec<Event> = world.events.iter().filter(|event| filter(event)).cloned().collect();
            let groups = placed(world, &events, grain, set, None);
            groups.into_iter().map(|(key, events)| (key, Some(events.len() as f64))).collect()
        })
    };
    let both: fn(&Event) -> bool = |event| {
        event.units.is_some_and(|units| units > 1) && event.entity.as_deref().is_some_and(|entity| entity < "e4")
    };
    let months = || vec![Grain::Month];
    add("all_events", "from: events\nvalue: count(*)\n".into(), months(), None, count_of(|_| true));
    add("some_events", "from: events\nwhere: units > 1\nvalue: count(*)\n".into(), months(), None, count_of(narrow));
    add(
        "few_events",
        "from: events\nwhere: entity < 'e4'\nvalue: count(*)\n".into(),
        months(),
        None,
        count_of(|event| event.entity.as_deref().is_some_and(|entity| entity < "e4")),
    );
    add(
        "narrow_then_wide",
        "value: narrow\ninputs: {narrow: {kpi: some_events, where: entity < 'e4'}}\n".into(),
        months(),
        None,
        count_of(both),
    );
    add("wide_then_narrow", "value: few_events\nwhere: units > 1\n".into(), months(), None, count_of(both));
    add(
        "narrowed_itself",
        "from: events\nwhere: units > 1 AND entity < 'e4'\nvalue: count(*)\n".into(),
        months(),
        None,
        count_of(both),
    );
    add(
        "narrowed_input",
        "value: narrow\ninputs: {narrow: {kpi: all_events, where: units > 1 AND entity < 'e4'}}\n".into(),
        months(),
        None,
        count_of(both),
    );

    let within = pick(random, &[0, 1, 7, 30, 400]).max(1);
    let keys = format!(
        "from: events\nconversion: {{from: follows, entity: entity, within: {within} days, columns: {{units: sum(units), events: count(*)}}}}\n"
    );
    for (name, value) in [
        ("converted", "count(*) FILTER (WHERE converted) / count(*)"),
        ("converted_units", "sum(conversion.units)"),
        ("converted_events", "sum(conversion.events) / count(*)"),
        ("converted_later", "avg(days_between(at, conversion.time))"),
    ] {
        let placed_by = match random.below(4) {
            0 => PlacedBy::Conversion,
            1 => PlacedBy::Window(Window::Days(60)),
            _ => PlacedBy::Base,
        };
        let key = match placed_by {
            PlacedBy::Base => String::new(),
            PlacedBy::Conversion => "count_on: conversion\n".into(),
            PlacedBy::Window(window) => window.yaml(),
        };
        add(
            name,
            format!("{keys}{key}value: {value}\n"),
            grains(random),
            None,
            Box::new(move |world, grain, set| conversions(world, grain, set, name, within, placed_by)),
        );
    }

    add("steps", "from: events\nfunnel: [{step: seen}, {step: wanted, where: units > 1}, {step: bought, where: category = 'a'}, {step: back, where: units > 5}]\n".into(),
        months(), Some("step"), Box::new(funnel));

    let ages = random.between(0, 6);
    let by = pick(random, &[Grain::Month, Grain::Quarter]);
    add(
        "cohort_of_events",
        format!(
            "from: events\nper: entity\ncolumns: {{total: sum(units)}}\ncohort: {{by: {by}, ages: {ages}}}\nvalue: count(*) FILTER (WHERE active) / count(*)\n"
        ),
        vec![by],
        Some("age"),
        Box::new(move |world, grain, set| cohort_of_events(world, grain, set, ages)),
    );
    add(
        "cohort_of_stays",
        format!("from: stays\nstock: {{from: begins, to: ends}}\nper: entity\ncohort: {{by: {by}, ages: {ages}}}\n"),
        vec![by],
        Some("age"),
        Box::new(move |world, grain, set| cohort_of_stays(world, grain, set, ages)),
    );

    add(
        "share",
        "value: all_events / total(all_events)\n".into(),
        months(),
        None,
        Box::new(|world, grain, set| {
            let parts = placed(world, &world.events, grain, set, None);
            let whole = placed(world, &world.events, grain, &[], None);
            parts
                .into_iter()
                .map(|(key, events)| {
                    let all = whole[&(key.0, vec![])].len() as f64;
                    let share = events.len() as f64 / all;
                    (key, Some(share))
                })
                .collect()
        }),
    );
    add(
        "months",
        "from: events\nwhere: units >= -9\nvalue: count(*)\n".into(),
        months(),
        None,
        count_of(|event| event.units.is_some()),
    );
    add(
        "month_window",
        "from: events\nwhere: units >= -9\nvalue: count(*)\nwindow: 1 month\n".into(),
        months(),
        None,
        Box::new(|world, grain, set| {
            let events: Vec<Event> = world.events.iter().filter(|event| event.units.is_some()).cloned().collect();
            let groups = placed(world, &events, grain, set, Some(Window::Months(1)));
            groups.into_iter().map(|(key, events)| (key, Some(events.len() as f64))).collect()
        }),
    );
    // What is looked back to from an open period is looked at on as early a day.
    let window = Window::Days(pick(random, &[10, 45]));
    add(
        "window_change",
        "value: coalesce(looked_at, 0) - coalesce(previous(looked_at), 0)\n".into(),
        months(),
        None,
        Box::new(move |world, grain, set| {
            let units = |events: &[&Event]| events_are_worth("sum(units)", events);
            let now = placed(world, &world.events, grain, set, Some(window));
            let then = |last: NaiveDate| {
                let in_window = (window.first(world, last), last);
                let mut groups: BTreeMap<Members, Vec<&Event>> = BTreeMap::new();
                for event in &world.events {
                    if (in_window.0..=in_window.1).contains(&world.day_of(event)) {
                        groups.entry(members(&event.category, set)).or_default().push(event);
                    }
                }
                groups
            };
            let covered = world.covered(&world.events);
            let mut values = Values::new();
            for period in world.periods(covered, grain) {
                let last = world.last_day_of(period, grain).min(covered.unwrap().1);
                let earlier = world.calendar.shift(period, grain, -1).unwrap();
                let end = world.last_day_of(earlier, grain);
                let is_open = world.last_day_of(period, grain) > world.as_of;
                let day = if is_open { (earlier + (last - period)).min(end) } else { end };
                let is_there = covered.unwrap().0 < period || earlier >= world.start(covered.unwrap().0, grain);
                let before = if is_there { then(day) } else { BTreeMap::new() };
                let all: BTreeSet<Members> = now
                    .keys()
                    .filter(|(known, _)| *known == period)
                    .map(|(_, member)| member.clone())
                    .chain(before.keys().cloned())
                    .collect();
                for member in all {
                    let one = now.get(&(period, member.clone())).and_then(|events| units(events)).unwrap_or(0.0);
                    let two = before.get(&member).and_then(|events| units(events)).unwrap_or(0.0);
                    values.insert((period, member), Some(one - two));
                }
            }
            values
        }),
    );
    add(
        "looked_at",
        format!("from: events\n{}value: sum(units)\n", window.yaml()),
        months(),
        None,
        Box::new(move |world, grain, set| {
            let groups = placed(world, &world.events, grain, set, Some(window));
            groups.into_iter().map(|(key, events)| (key, events_are_worth("sum(units)", &events))).collect()
        }),
    );
    add(
        "level_change",
        "value: coalesce(level_now, 0) - coalesce(previous(level_now), 0)\n".into(),
        months(),
        None,
        Box::new(|world, grain, set| {
            let covered = world.covered_by_stays();
            let on = |day: NaiveDate| {
                let mut counts: BTreeMap<Members, f64> = BTreeMap::new();
                for stay in world.stays.iter().filter(|stay| is_there(stay, day)) {
                    *counts.entry(members(&stay.category, set)).or_default() += 1.0;
                }
                counts
            };
            let mut values = Values::new();
            for (index, period) in world.periods(covered, grain).into_iter().enumerate() {
                let last = world.last_day_of(period, grain).min(covered.unwrap().1);
                let earlier = world.calendar.shift(period, grain, -1).unwrap();
                let end = world.last_day_of(earlier, grain);
                let is_open = world.last_day_of(period, grain) > world.as_of;
                let day = if is_open { (earlier + (last - period)).min(end) } else { end };
                let (now, before) = (on(last), if index > 0 { on(day) } else { BTreeMap::new() });
                let all: BTreeSet<&Members> = now.keys().chain(before.keys()).collect();
                for member in all {
                    let of = |counts: &BTreeMap<Members, f64>| counts.get(member).copied().unwrap_or(0.0);
                    values.insert((period, member.clone()), Some(of(&now) - of(&before)));
                }
            }
            values
        }),
    );
    add(
        "level_now",
        "from: stays\nstock: {from: begins, to: ends}\nvalue: count(*)\n".into(),
        months(),
        None,
        Box::new(|world, grain, set| {
            levels(world, grain, set, false).into_iter().map(|(key, stays)| (key, Some(stays.len() as f64))).collect()
        }),
    );
    kpis
}

/// What puts a base event into a period.
#[derive(Debug, Clone, Copy)]
enum PlacedBy {
    Base,
    Conversion,
    Window(Window),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Window {
    Days(u64),
    Months(u32),
    All,
    ToDate(Grain),
}

impl Window {
    fn yaml(self) -> String {
        match self {
            Window::Days(days) => format!("window: {days} days\n"),
            Window::Months(months) => format!("window: {months} months\n"),
            Window::All => "window: all\n".into(),
            Window::ToDate(unit) => format!("to_date: {unit}\n"),
        }
    }

    /// The first day of a window that ends with a day.
    fn first(self, world: &World, last: NaiveDate) -> NaiveDate {
        match self {
            Window::Days(days) => last - Days::new(days - 1),
            Window::Months(months) => last.succ_opt().unwrap() - Months::new(months),
            Window::All => NaiveDate::MIN,
            Window::ToDate(unit) => world.start(last, unit),
        }
    }
}

fn members(category: &Option<String>, set: &[&str]) -> Members {
    set.iter().map(|_| category.clone()).collect()
}

/// Events in the periods in which they count, by member.
fn placed<'a>(
    world: &World,
    events: &'a [Event],
    grain: Grain,
    set: &[&str],
    window: Option<Window>,
) -> Groups<'a, Event> {
    // How far the data reaches is said of the table, whatever the filter.
    let covered = world.covered(&world.events);
    let mut groups: Groups<Event> = BTreeMap::new();
    for period in world.periods(covered, grain) {
        let end = world.last_day_of(period, grain);
        let (first, last) = match window {
            None => (period, end.min(world.as_of)),
            Some(window) => {
                let last = end.min(covered.unwrap().1);
                (window.first(world, last), last)
            }
        };
        for event in events.iter().filter(|event| (first..=last).contains(&world.day_of(event))) {
            groups.entry((period, members(&event.category, set))).or_default().push(event);
        }
    }
    groups
}

fn events_are_worth(value: &str, events: &[&Event]) -> Option<f64> {
    let units: Vec<i64> = events.iter().filter_map(|event| event.units).collect();
    let sum = || (!units.is_empty()).then(|| units.iter().sum::<i64>() as f64);
    match value {
        "sum(units)" => sum(),
        "max(units)" => units.iter().max().map(|units| *units as f64),
        "sum(units) / count(units)" => Some(sum()? / units.len() as f64),
        "count(DISTINCT entity)" => {
            Some(events.iter().filter_map(|event| event.entity.as_ref()).collect::<BTreeSet<_>>().len() as f64)
        }
        other => panic!("{other}"),
    }
}

/// `None` where there is no entity at all, and so no row.
fn repeaters(events: &[&Event], least: i64) -> Option<Option<f64>> {
    let mut by_entity: BTreeMap<&String, Vec<&&Event>> = BTreeMap::new();
    for event in events {
        if let Some(entity) = &event.entity {
            by_entity.entry(entity).or_default().push(event);
        }
    }
    if by_entity.is_empty() {
        return None;
    }
    let totals: Vec<i64> = by_entity
        .values()
        .filter(|events| events.len() as i64 >= least)
        .filter_map(|events| events.iter().filter_map(|event| event.units).reduce(|one, other| one + other))
        .collect();
    Some((!totals.is_empty()).then(|| totals.iter().sum::<i64>() as f64 / by_entity.len() as f64))
}

fn is_there(stay: &Stay, day: NaiveDate) -> bool {
    stay.from.is_some_and(|from| from <= day) && stay.to.is_none_or(|to| to > day)
}

fn levels<'a>(world: &'a World, grain: Grain, set: &[&str], at_start: bool) -> Groups<'a, Stay> {
    let covered = world.covered_by_stays();
    let mut groups: Groups<Stay> = BTreeMap::new();
    for period in world.periods(covered, grain) {
        let day = match at_start {
            true => period.pred_opt().unwrap(),
            false => world.last_day_of(period, grain).min(covered.unwrap().1),
        };
        for stay in world.stays.iter().filter(|stay| is_there(stay, day)) {
            groups.entry((period, members(&stay.category, set))).or_default().push(stay);
        }
    }
    groups
}

fn stays_are_worth(value: &str, stays: &[&Stay]) -> Option<f64> {
    let units: Vec<i64> = stays.iter().filter_map(|stay| stay.units).collect();
    match value {
        "count(*)" => Some(stays.len() as f64),
        "sum(units)" => (!units.is_empty()).then(|| units.iter().sum::<i64>() as f64),
        "count(DISTINCT entity)" => {
            Some(stays.iter().filter_map(|stay| stay.entity.as_ref()).collect::<BTreeSet<_>>().len() as f64)
        }
        other => panic!("{other}"),
    }
}

fn boundaries(world: &World, grain: Grain, set: &[&str], name: &str) -> Values {
    let covered = world.covered_by_stays();
    let mut values = Values::new();
    for period in world.periods(covered, grain) {
        let before = period.pred_opt().unwrap();
        let end = world.last_day_of(period, grain).min(covered.unwrap().1);
        // By member and entity: the units at the start and at the end, where the entity is there.
        type Ends = (Option<Vec<i64>>, Option<Vec<i64>>);
        let mut entities: BTreeMap<Members, BTreeMap<&String, Ends>> = BTreeMap::new();
        for stay in &world.stays {
            let Some(entity) = &stay.entity else { continue };
            let there = (is_there(stay, before), is_there(stay, end));
            if there == (false, false) {
                continue;
            }
            let ends = entities.entry(members(&stay.category, set)).or_default().entry(entity).or_default();
            for (is_there, units) in [(there.0, &mut ends.0), (there.1, &mut ends.1)] {
                if is_there {
                    units.get_or_insert_default().extend(stay.units);
                }
            }
        }
        for (member, ends) in entities {
            let count = |wanted: fn(&Ends) -> bool| ends.values().filter(|ends| wanted(ends)).count() as f64;
            let opening = count(|(opening, _)| opening.is_some());
            let sum =
                |units: &mut dyn Iterator<Item = &Vec<i64>>| units.flatten().copied().reduce(|one, other| one + other);
            let value = match name {
                "retention" => (opening > 0.0)
                    .then(|| count(|(opening, closing)| opening.is_some() && closing.is_some()) / opening),
                "churn" => (opening > 0.0)
                    .then(|| count(|(opening, closing)| opening.is_some() && closing.is_none()) / opening),
                "newcomers" => Some(count(|(opening, closing)| opening.is_none() && closing.is_some())),
                _ => {
                    let closing = sum(&mut ends
                        .values()
                        .filter(|(opening, _)| opening.is_some())
                        .filter_map(|(_, closing)| closing.as_ref()));
                    let opening = sum(&mut ends.values().filter_map(|(opening, _)| opening.as_ref()));
                    match (closing, opening) {
                        (Some(closing), Some(opening)) if opening != 0 => Some(closing as f64 / opening as f64),
                        _ => None,
                    }
                }
            };
            values.insert((period, member), value);
        }
    }
    values
}

fn conversions(world: &World, grain: Grain, set: &[&str], name: &str, within: u64, placed_by: PlacedBy) -> Values {
    let seen = |event: &&Event| world.day_of(event) <= world.as_of;
    let mut credited: BTreeMap<i64, Vec<&Event>> = BTreeMap::new();
    for follow in world.follows.iter().filter(seen) {
        let Some(entity) = &follow.entity else { continue };
        let before = world
            .events
            .iter()
            .filter(seen)
            .filter(|event| event.entity.as_ref() == Some(entity) && event.at <= follow.at);
        // The last one; of several at the same instant that with the last key.
        let Some(base) = before.max_by_key(|event| (event.at, event.id)) else { continue };
        if world.day_of(follow) <= world.day_of(base) + Days::new(within) {
            credited.entry(base.id).or_default().push(follow);
        }
    }
    let mut groups: Groups<Event> = BTreeMap::new();
    for event in world.events.iter().filter(seen) {
        let first = credited.get(&event.id).and_then(|follows| follows.iter().map(|follow| follow.at).min());
        let day = match (placed_by, first) {
            (PlacedBy::Base, _) => world.day_of(event),
            (PlacedBy::Conversion, Some(at)) => world.day_of(&Event { at, ..event.clone() }),
            (PlacedBy::Conversion, None) | (PlacedBy::Window(_), _) => continue,
        };
        groups.entry((world.start(day, grain), members(&event.category, set))).or_default().push(event);
    }
    if let PlacedBy::Window(window) = placed_by {
        groups = placed(world, &world.events, grain, set, Some(window));
    }
    let value = |events: &[&Event]| {
        let of = |event: &&&Event| credited.get(&event.id);
        let count = events.len() as f64;
        match name {
            "converted" => Some(events.iter().filter_map(|event| of(&event)).count() as f64 / count),
            "converted_events" => Some(
                events.iter().filter_map(|event| of(&event)).map(|follows| follows.len() as f64).sum::<f64>() / count,
            ),
            "converted_units" => {
                let units = events.iter().filter_map(|event| of(&event)).flatten().filter_map(|follow| follow.units);
                units.reduce(|one, other| one + other).map(|units| units as f64)
            }
            _ => {
                let days: Vec<i64> = (events.iter())
                    .filter_map(|event| Some((event, of(&event)?.iter().map(|follow| follow.at).min()?)))
                    .map(|(event, at)| {
                        (world.day_of(&Event { at, ..(*event).clone() }) - world.day_of(event)).num_days()
                    })
                    .collect();
                (!days.is_empty()).then(|| days.iter().sum::<i64>() as f64 / days.len() as f64)
            }
        }
    };
    groups.into_iter().map(|(key, events)| (key, value(&events))).collect()
}

fn funnel(world: &World, grain: Grain, set: &[&str]) -> Values {
    let conditions: [fn(&Event) -> bool; 4] = [
        |_| true,
        |event| event.units.is_some_and(|units| units > 1),
        |event| event.category.as_deref() == Some("a"),
        |event| event.units.is_some_and(|units| units > 5),
    ];
    let reached = |event: &Event, step: usize| conditions[step..].iter().any(|condition| condition(event));
    let mut values = Values::new();
    for ((period, member), events) in placed(world, &world.events, grain, set, None) {
        for (step, name) in ["seen", "wanted", "bought", "back"].into_iter().enumerate() {
            let could: Vec<&&Event> = events.iter().filter(|event| step == 0 || reached(event, step - 1)).collect();
            if could.is_empty() {
                continue;
            }
            let took = could.iter().filter(|event| reached(event, step)).count() as f64;
            let key = [Some(name.to_owned())].into_iter().chain(member.clone()).collect();
            values.insert((period, key), Some(took / could.len() as f64));
        }
    }
    values
}

/// Shares of entities that are active at each age, from the periods in which each is active and the one in which it begins.
fn cohorts(world: &World, by: Grain, ages: i64, last: Option<NaiveDate>, entities: Lives) -> Values {
    let Some(last) = last.map(|last| world.start(last, by)) else { return Values::new() };
    let mut counts: BTreeMap<Key, (f64, f64)> = BTreeMap::new();
    for ((member, _), (begins, active)) in entities {
        for age in 0..=ages {
            let then = world.calendar.shift(begins, by, age).unwrap();
            if then > last {
                break;
            }
            let key = [Some(age.to_string())].into_iter().chain(member.clone()).collect();
            let (is_active, all) = counts.entry((begins, key)).or_default();
            *all += 1.0;
            *is_active += f64::from(u8::from(active.contains(&then)));
        }
    }
    counts.into_iter().map(|(key, (active, all))| (key, Some(active / all))).collect()
}

fn cohort_of_events(world: &World, by: Grain, set: &[&str], ages: i64) -> Values {
    let mut entities: Lives = BTreeMap::new();
    for event in world.events.iter().filter(|event| world.day_of(event) <= world.as_of) {
        let Some(entity) = &event.entity else { continue };
        let period = world.start(world.day_of(event), by);
        let known = entities.entry((members(&event.category, set), entity)).or_insert((period, BTreeSet::new()));
        known.0 = known.0.min(period);
        known.1.insert(period);
    }
    cohorts(world, by, ages, world.covered(&world.events).map(|(_, last)| last), entities)
}

fn cohort_of_stays(world: &World, by: Grain, set: &[&str], ages: i64) -> Values {
    let covered = world.covered_by_stays();
    let mut entities: Lives = BTreeMap::new();
    for stay in &world.stays {
        let (Some(entity), Some(from)) = (&stay.entity, stay.from) else { continue };
        if from > world.as_of || stay.to.is_some_and(|to| to <= from) {
            continue;
        }
        let period = world.start(from, by);
        let known = entities.entry((members(&stay.category, set), entity)).or_insert((period, BTreeSet::new()));
        known.0 = known.0.min(period);
        for period in world.periods(covered, by) {
            if is_there(stay, world.last_day_of(period, by).min(covered.unwrap().1)) {
                known.1.insert(period);
            }
        }
    }
    cohorts(world, by, ages, covered.map(|(_, last)| last), entities)
}
