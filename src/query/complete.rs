//! What could be typed next in a statement: tables, columns by alias, functions with their signatures, keywords, and inside
//! `kpi(...)` the KPIs with their dimensions and grains; names of files inside quotes.
//!
//! It works on names that were gathered before, so that an answer takes no look at data or stores; only the names of local files
//! are looked up. A statement need not be right, or finished.

use std::collections::BTreeMap;
use std::path::Path;

use super::words::{KEYWORDS, Word, WordKind, words};
use super::{ARGUMENTS, KPI_FUNCTION, LAST};
use crate::location::is_url;
use crate::time::Grain;

/// The names that there are.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// Tables without a schema, with columns and their types.
    pub tables: BTreeMap<String, Vec<(String, String)>>,
    /// Tables of other schemas.
    pub schemas: BTreeMap<String, BTreeMap<String, Vec<(String, String)>>>,
    /// Functions with what they take.
    pub functions: BTreeMap<String, String>,
    pub kpis: BTreeMap<String, KpiNames>,
}

/// What belongs to a KPI.
#[derive(Debug, Clone, Default)]
pub struct KpiNames {
    pub label: String,
    pub dimensions: Vec<String>,
    pub grains: Vec<Grain>,
    /// The columns of its rows, with their types.
    pub columns: Vec<(String, String)>,
}

/// Something that fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// What takes the place of what was typed.
    pub text: String,
    /// What it is, in a few words.
    pub about: String,
}

impl Candidate {
    pub fn new(text: impl Into<String>, about: impl Into<String>) -> Candidate {
        Candidate { text: text.into(), about: about.into() }
    }
}

/// What fits at a place, and where the text begins whose place it takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    pub start: usize,
    pub candidates: Vec<Candidate>,
    /// A URL that the names of objects may go on with; see [`Objects`](super::Objects).
    pub url: Option<String>,
}

/// What could stand at `at` in a text of SQL, of which the statement that begins last counts.
pub fn complete(vocabulary: &Vocabulary, text: &str, at: usize) -> Completion {
    let all = words(text);
    let begins = all.iter().rfind(|word| word.range.end <= at && &text[word.range.clone()] == ";");
    let begins = begins.map_or(0, |word| word.range.end);
    let ends = all.iter().find(|word| word.range.start >= at && &text[word.range.clone()] == ";");
    let ends = ends.map_or(text.len(), |word| word.range.start);
    let of_statement = |word: &&Word| word.range.start >= begins && word.range.end <= ends;
    let statement: Vec<Word> = all.iter().filter(of_statement).cloned().collect();
    let place = Place { vocabulary, text, at, words: &statement };
    place.complete()
}

/// The columns that a relation has, and how statements call it.
struct Relation {
    /// Its alias, or its name.
    name: String,
    columns: Vec<(String, String)>,
}

struct Place<'a> {
    vocabulary: &'a Vocabulary,
    text: &'a str,
    at: usize,
    /// The words of the statement, also those behind the place.
    words: &'a [Word],
}

impl<'a> Place<'a> {
    fn word(&self, index: usize) -> &'a str {
        self.words.get(index).map_or("", |word| &self.text[word.range.clone()])
    }

    fn is(&self, index: usize, word: &str) -> bool {
        self.word(index).eq_ignore_ascii_case(word)
    }

    fn complete(&self) -> Completion {
        // The word that is being typed, if there is one, and how many stand in front of it.
        let touched = self.words.iter().position(|word| word.range.start < self.at && self.at <= word.range.end);
        let typed = touched.filter(|index| match self.words[*index].kind {
            WordKind::Sign | WordKind::Number => false,
            WordKind::Text => self.at < self.words[*index].range.end || self.words[*index].is_open,
            WordKind::Comment => true,
            _ => true,
        });
        let before = typed.unwrap_or_else(|| self.words.iter().filter(|word| word.range.end <= self.at).count());
        let start = typed.map_or(self.at, |index| self.words[index].range.start);
        let prefix = &self.text[start..self.at];
        match typed.map(|index| self.words[index].kind) {
            Some(WordKind::Comment | WordKind::Parameter) => Completion::default(),
            Some(WordKind::Text) => self.in_text(before, start + 1, &prefix[1..]),
            _ => self.in_sql(before, start, prefix),
        }
    }

    /// The call of `kpi` that a place lies in: where its name stands.
    fn call(&self, before: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for index in (0..before).rev() {
            match self.word(index) {
                ")" => depth += 1,
                "(" if depth == 0 => {
                    return index.checked_sub(1).filter(|name| self.is(*name, KPI_FUNCTION));
                }
                "(" => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// The KPI that a call names.
    fn called(&self, call: usize) -> Option<&'a KpiNames> {
        self.vocabulary.kpis.get(self.word(call + 2).trim_matches('\''))
    }

    fn in_text(&self, before: usize, start: usize, prefix: &str) -> Completion {
        let Some(call) = self.call(before) else {
            let names_files = ["from", "join", "location", "to", "copy", "table", ","];
            let last = before.checked_sub(1).map_or("", |last| self.word(last)).to_ascii_lowercase();
            return match names_files.contains(&last.as_str()) {
                true => files(start, prefix),
                false => Completion::default(),
            };
        };
        if before == call + 2 {
            let kpis = self.vocabulary.kpis.iter().map(|(name, kpi)| Candidate::new(name, &kpi.label));
            return matching(start, prefix, kpis.collect());
        }
        // `by => ['region', '`: the word in front of the last `=>`.
        let argument =
            (call..before).rev().find(|index| self.word(*index) == "=>").and_then(|index| index.checked_sub(1));
        let kpi = self.called(call);
        match argument.map(|index| self.word(index).to_ascii_lowercase()).as_deref() {
            Some("by") => {
                let (start, prefix) = match prefix.rfind(',') {
                    Some(comma) => {
                        let rest = &prefix[comma + 1..];
                        let blanks = rest.len() - rest.trim_start().len();
                        (start + comma + 1 + blanks, rest.trim_start())
                    }
                    None => (start, prefix),
                };
                let dimensions = kpi.map(|kpi| kpi.dimensions.as_slice()).unwrap_or_default();
                matching(start, prefix, dimensions.iter().map(|name| Candidate::new(name, "dimension")).collect())
            }
            Some("grain") => {
                let grains = kpi.map_or(&Grain::ALL[..], |kpi| kpi.grains.as_slice());
                matching(start, prefix, grains.iter().map(|grain| Candidate::new(grain.name(), "grain")).collect())
            }
            _ => Completion::default(),
        }
    }

    fn in_sql(&self, before: usize, start: usize, prefix: &str) -> Completion {
        let last = before.checked_sub(1).map_or("", |last| self.word(last));
        if last == "." || prefix == "." {
            let owner = before.checked_sub(2).map_or("", |owner| self.word(owner));
            return matching(start, prefix, self.below(owner));
        }
        if self.call(before).is_some() && matches!(last, "," | "(") {
            if last == "(" {
                let kpis = self.vocabulary.kpis.iter();
                let kpis = kpis.map(|(name, kpi)| Candidate::new(format!("'{name}'"), &kpi.label));
                return matching(start, &format!("'{prefix}"), kpis.collect());
            }
            let names = ARGUMENTS.iter().map(|(name, about)| Candidate::new(format!("{name} => "), *about));
            return matching(start, prefix, names.collect());
        }
        let lower = last.to_ascii_lowercase();
        if ["from", "join", "into", "table", "describe", "desc", "update", "lateral"].contains(&lower.as_str())
            || (last == "," && self.is_in_from(before))
        {
            return matching(start, prefix, self.tables());
        }
        if lower == "as" {
            return Completion::default();
        }
        let mut candidates = Vec::new();
        let relations = self.relations();
        if relations.is_empty() && !prefix.is_empty() {
            // What is read is not said yet.
            for (table, columns) in &self.vocabulary.tables {
                let about = |data_type: &str| format!("{data_type} of {table}");
                let columns = columns.iter();
                candidates
                    .extend(columns.map(|(name, data_type)| Candidate::new(quoted_if_needed(name), about(data_type))));
            }
        }
        for relation in relations {
            let columns = relation.columns.iter();
            candidates.extend(columns.map(|(name, data_type)| Candidate::new(quoted_if_needed(name), data_type)));
            candidates.push(Candidate::new(quoted_if_needed(&relation.name), "table"));
        }
        let mut seen = std::collections::BTreeSet::new();
        candidates.retain(|candidate| seen.insert(candidate.text.clone()));
        if !prefix.is_empty() {
            let functions = self.vocabulary.functions.iter();
            candidates.extend(functions.map(|(name, takes)| Candidate::new(format!("{name}("), takes)));
        }
        let is_small = prefix.chars().next().is_some_and(char::is_lowercase);
        let keyword =
            |word: &&str| Candidate::new(if is_small { word.to_ascii_lowercase() } else { (*word).to_owned() }, "");
        candidates.extend(KEYWORDS.iter().map(keyword));
        matching(start, prefix, candidates)
    }

    /// Whether the last clause that began is FROM.
    fn is_in_from(&self, before: usize) -> bool {
        const CLAUSES: [&str; 9] = ["select", "from", "where", "group", "order", "having", "limit", "on", "window"];
        let last = (0..before).rev().find(|index| CLAUSES.iter().any(|clause| self.is(*index, clause)));
        last.is_some_and(|index| self.is(index, "from"))
    }

    fn tables(&self) -> Vec<Candidate> {
        let own = self.vocabulary.tables.keys().map(|name| Candidate::new(quoted_if_needed(name), "table"));
        let schemas = self.vocabulary.schemas.keys().map(|name| Candidate::new(format!("{name}."), "schema"));
        let function = Candidate::new(format!("{KPI_FUNCTION}('"), "the rows of a KPI");
        own.chain(schemas).chain([function]).filter(|candidate| candidate.text != LAST).collect()
    }

    /// What stands behind `name.`: columns of a table or an alias, or tables of a schema.
    fn below(&self, name: &str) -> Vec<Candidate> {
        let plain = name.trim_matches('"');
        let columns = |columns: &[(String, String)]| -> Vec<Candidate> {
            columns.iter().map(|(name, data_type)| Candidate::new(quoted_if_needed(name), data_type)).collect()
        };
        if let Some(relation) = self.relations().iter().find(|relation| relation.name.eq_ignore_ascii_case(plain)) {
            return columns(&relation.columns);
        }
        if let Some(tables) = self.vocabulary.schemas.get(plain) {
            return tables.keys().map(|name| Candidate::new(quoted_if_needed(name), "table")).collect();
        }
        self.vocabulary.tables.get(plain).map(|table| columns(table)).unwrap_or_default()
    }

    /// What the statement reads, wherever in it.
    fn relations(&self) -> Vec<Relation> {
        let mut relations = Vec::new();
        let mut index = 0;
        while index < self.words.len() {
            let begins = self.is(index, "from") || self.is(index, "join");
            index += 1;
            if !begins {
                continue;
            }
            while let Some((relation, next)) = self.relation(index) {
                relations.push(relation);
                index = next;
                if self.word(index) != "," {
                    break;
                }
                index += 1;
            }
        }
        relations
    }

    /// A table with its alias that begins here, and what comes behind it.
    fn relation(&self, mut index: usize) -> Option<(Relation, usize)> {
        let word = self.words.get(index)?;
        let mut name = match word.kind {
            WordKind::Name => self.word(index).to_lowercase(),
            WordKind::QuotedName => self.word(index).trim_matches('"').to_owned(),
            _ => return None,
        };
        let mut columns = self.vocabulary.tables.get(&name).cloned().unwrap_or_default();
        index += 1;
        if name == KPI_FUNCTION && self.word(index) == "(" {
            if let Some(kpi) = self.called(index - 1) {
                name = self.word(index + 1).trim_matches('\'').to_owned();
                columns = kpi.columns.clone();
            }
            let mut depth = 0_usize;
            while index < self.words.len() {
                match self.word(index) {
                    "(" => depth += 1,
                    ")" => depth -= 1,
                    _ => {}
                }
                index += 1;
                if depth == 0 {
                    break;
                }
            }
        } else if self.word(index) == "." {
            let table = self.word(index + 1).trim_matches('"').to_owned();
            columns =
                self.vocabulary.schemas.get(&name).and_then(|tables| tables.get(&table)).cloned().unwrap_or_default();
            name = table;
            index += 2;
        }
        if self.is(index, "as") {
            index += 1;
        }
        // What is being typed right here is no alias yet.
        let alias = self.words.get(index).filter(|word| word.range.end < self.at || word.range.start >= self.at);
        if alias.is_some_and(|word| matches!(word.kind, WordKind::Name | WordKind::QuotedName)) {
            name = self.word(index).trim_matches('"').to_owned();
            index += 1;
        }
        Some((Relation { name, columns }, index))
    }
}

/// A name that DataFusion would take for another one without quotes.
fn quoted_if_needed(name: &str) -> String {
    let is_plain = name.chars().all(|letter| letter.is_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit());
    if is_plain && !super::words::is_keyword(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Those that begin with what was typed, in their order.
pub fn matching(start: usize, prefix: &str, candidates: Vec<Candidate>) -> Completion {
    let prefix = prefix.to_lowercase();
    let begins = |candidate: &Candidate| {
        let text = candidate.text.to_lowercase();
        text.starts_with(&prefix)
            || text.trim_start_matches(['"', '\'']).starts_with(prefix.trim_start_matches(['"', '\'']))
    };
    Completion { start, candidates: candidates.into_iter().filter(begins).collect(), url: None }
}

/// Whether a file may hold rows or statements, by its name.
pub(super) fn holds_data(name: &str) -> bool {
    const ENDINGS: [&str; 10] = ["parquet", "csv", "json", "jsonl", "ndjson", "arrow", "gz", "zst", "sql", "tsv"];
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// Whether a name can stand in quotes as it is. One that holds a control character would speak to the terminal.
pub(super) fn can_be_typed(name: &str) -> bool {
    !name.contains(|letter: char| letter.is_control() || letter == '\'')
}

/// Files and folders of this machine that begin with a path; of a URL only what to ask its store.
pub fn files(start: usize, prefix: &str) -> Completion {
    if is_url(prefix) {
        let name = prefix.rfind('/').map_or(0, |slash| slash + 1);
        return Completion { start: start + name, candidates: Vec::new(), url: Some(prefix.to_owned()) };
    }
    let (folder, name) =
        prefix.rsplit_once('/').map_or(("", prefix), |(folder, name)| (&prefix[..=folder.len()], name));
    let looked_in = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let Ok(entries) = std::fs::read_dir(looked_in) else { return Completion::default() };
    let mut found: Vec<Candidate> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let own = entry.file_name().into_string().ok()?;
            let is_folder = entry.path().is_dir();
            let is_shown = !own.starts_with('.') || name.starts_with('.');
            let fits = is_shown && can_be_typed(&own) && own.starts_with(name) && (is_folder || holds_data(&own));
            fits.then(|| match is_folder {
                true => Candidate::new(format!("{own}/"), "folder"),
                false => Candidate::new(own, "file"),
            })
        })
        .collect();
    found.sort();
    Completion { start: start + folder.len(), candidates: found, url: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let columns = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "Utf8".to_owned())).collect();
        let kpi = KpiNames {
            label: "Close rate".into(),
            dimensions: vec!["region".into(), "rep".into()],
            grains: vec![Grain::Month, Grain::Year],
            columns: columns(&["period_start", "region", "value"]),
        };
        Vocabulary {
            tables: BTreeMap::from([
                ("orders".to_owned(), columns(&["order_id", "account_id", "Amount"])),
                ("accounts".to_owned(), columns(&["account_id", "region"])),
            ]),
            schemas: BTreeMap::from([(
                "results".to_owned(),
                BTreeMap::from([("close_rate".to_owned(), columns(&["value"]))]),
            )]),
            functions: BTreeMap::from([("date_trunc".to_owned(), "date_trunc(precision, expression)".to_owned())]),
            kpis: BTreeMap::from([("close_rate".to_owned(), kpi)]),
        }
    }

    /// `|` is where the cursor stands.
    fn fits(text: &str) -> Vec<String> {
        let at = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let completion = complete(&vocabulary(), &text, at);
        completion.candidates.into_iter().map(|candidate| candidate.text).collect()
    }

    #[test]
    fn what_fits_depends_on_the_place() {
        for (text, expected) in [
            ("SELECT * FROM o|", vec!["orders"]),
            ("SELECT * FROM r|", vec!["results."]),
            ("SELECT * FROM results.|", vec!["close_rate"]),
            ("SELECT * FROM orders o JOIN acc|", vec!["accounts"]),
            ("SELECT * FROM orders, acc|", vec!["accounts"]),
            ("SELECT o.| FROM orders o", vec!["order_id", "account_id", "\"Amount\""]),
            ("SELECT o.am| FROM orders AS o", vec!["\"Amount\""]),
            ("SELECT regi| FROM accounts", vec!["region"]),
            ("SELECT account_|", vec!["account_id"]),
            ("SELECT date_t|", vec!["date_trunc("]),
            ("sel|", vec!["select"]),
            ("SELECT 1; SEL|", vec!["SELECT"]),
            ("SELECT * FROM kpi(|", vec!["'close_rate'"]),
            ("SELECT * FROM kpi('cl|", vec!["close_rate"]),
            ("SELECT * FROM kpi('close_rate', |", vec!["by => ", "grain => ", "since => "]),
            ("SELECT * FROM kpi('close_rate', by => '|", vec!["region", "rep"]),
            ("SELECT * FROM kpi('close_rate', by => 'region, re|", vec!["region", "rep"]),
            ("SELECT * FROM kpi('close_rate', by => ['region', 'rep|", vec!["rep"]),
            ("SELECT * FROM kpi('close_rate', grain => 'm|')", vec!["month"]),
            ("SELECT k.v| FROM kpi('close_rate') k", vec!["value"]),
            (
                "SELECT k.| FROM kpi('close_rate', by => 'region') AS k JOIN accounts a",
                vec!["period_start", "region", "value"],
            ),
            ("SELECT a.re| FROM kpi('close_rate') k JOIN accounts a ON true", vec!["region"]),
            ("SELECT 'x|", vec![]),
            ("SELECT -- o|", vec![]),
            ("SELECT x AS o|", vec![]),
        ] {
            assert_eq!(fits(text), expected, "{text}");
        }
    }

    /// Wherever the cursor stands in whatever text.
    #[test]
    fn nothing_that_is_typed_is_too_strange() {
        let text = "SELECT é.\"a b\", $x, 'ü' FROM kpi('close_rate', by => ['region']) k, orders; -- ö\n\\kpi 'x /* ";
        for (at, _) in text.char_indices() {
            complete(&vocabulary(), text, at);
            complete(&vocabulary(), &text[..at], at);
        }
    }
}
