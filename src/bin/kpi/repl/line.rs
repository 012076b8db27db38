//! The line that is being typed: what completes it, how it is colored, when it is whole, and what a function takes.
//!
//! The only part of the program that knows the line editor.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use kpi::query::complete::{Candidate, Completion, Vocabulary, complete, files, matching};
use kpi::query::words::{WordKind, words};
use kpi::query::{End, Piece, read_script};
use kpi::time::Grain;
use rustyline::completion::{Completer, Pair};
use rustyline::config::{CompletionType, Configurer};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, Config, Context, Editor, Helper, KeyCode, KeyEvent, Modifiers};
use tokio::runtime::Handle;

use super::commands::{COMMANDS, Takes, find};
use super::history;
use super::output::Mode;
use super::vocabulary::Shared;
use crate::printer::visible;

const PROMPT: &str = "kpi> ";
const PROMPT_COLORED: &str = "\u{1b}[1;36mkpi>\u{1b}[0m ";

/// What came of waiting for a line.
pub enum Typed {
    /// One statement or command, or several.
    Text(String),
    /// Ctrl-C: the line is thrown away.
    Nothing,
    /// Ctrl-D.
    End,
}

/// The editor of lines, with what was typed before.
pub struct Line {
    editor: Editor<Assistant, DefaultHistory>,
    history: Option<PathBuf>,
    is_colored: bool,
}

impl Line {
    /// # Errors
    /// Where the terminal cannot be used.
    pub fn open(names: Shared, runtime: Handle, is_colored: bool) -> Result<Line, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .max_history_size(10_000)?
            .tab_stop(4)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant { names, runtime, is_colored }));
        editor.set_color_mode(if is_colored { rustyline::ColorMode::Forced } else { rustyline::ColorMode::Disabled });
        // A line more without running what is there.
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
        let history = history::file();
        if let Some(file) = &history {
            // A first session has none.
            let _ = editor.load_history(file);
        }
        Ok(Line { editor, history, is_colored })
    }

    /// Waits until something whole is typed.
    pub fn read(&mut self, draft: Option<&str>) -> Result<Typed, ReadlineError> {
        let prompt = (PROMPT, if self.is_colored { PROMPT_COLORED } else { PROMPT });
        let line = self.editor.readline_with_initial(&prompt, (draft.unwrap_or_default(), ""));
        match line {
            Ok(text) => {
                self.remember(&text);
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(error),
        }
    }

    fn remember(&mut self, text: &str) {
        if text.trim().is_empty() || history::has_secret(text) {
            return;
        }
        let is_new = self.editor.add_history_entry(text.trim_end()).unwrap_or(false);
        if let Some(file) = self.history.as_ref().filter(|_| is_new) {
            // Who cannot write there only forgets.
            let _ = self.editor.append_history(file);
        }
    }
}

/// How long a store is waited for while somebody looks at a line.
const PATIENCE: Duration = Duration::from_secs(2);

struct Assistant {
    names: Shared,
    runtime: Handle,
    is_colored: bool,
}

impl Assistant {
    fn with<T>(&self, ask: impl FnOnce(&Vocabulary) -> T) -> T {
        ask(&self.names.lock().unwrap_or_else(PoisonError::into_inner).vocabulary)
    }

    /// The names of objects that go on with a URL. A store that does not answer soon has none.
    fn objects(&self, url: &str) -> Vec<Candidate> {
        let objects = self.names.lock().unwrap_or_else(PoisonError::into_inner).objects.clone();
        let Some(objects) = objects else { return Vec::new() };
        let asked = async { tokio::time::timeout(PATIENCE, objects.fitting(url)).await };
        match self.runtime.block_on(asked) {
            Ok(Ok(names)) => names,
            // The statement will say why.
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

impl Helper for Assistant {}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_whole = is_farewell(text)
            || match read_script(text).end {
                End::Complete => true,
                // Nothing was typed at all, or only blanks.
                End::Open | End::Quoted(_) => text.trim().is_empty(),
            };
        Ok(if is_whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// What people type who look for the way out, or for help.
pub fn is_farewell(text: &str) -> bool {
    matches!(text.trim().trim_end_matches(';').trim_end().to_lowercase().as_str(), "exit" | "quit" | "help")
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Completion { start, mut candidates, url } = self.with(|vocabulary| completed(vocabulary, line, at));
        if let Some(url) = url {
            candidates = self.objects(&url);
        }
        let width = candidates.iter().map(|candidate| candidate.text.chars().count()).max().unwrap_or(0);
        let pair = |Candidate { text, about }: Candidate| {
            // A name may hold anything, also what moves the cursor.
            let shown = visible(&text);
            let display = match about.as_str() {
                "" => shown,
                about => format!("{shown:width$}  {}", shortened(about)),
            };
            Pair { display, replacement: text }
        };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

fn shortened(about: &str) -> String {
    const LONGEST: usize = 60;
    let line = about.lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// What fits in a line: in SQL as the library says, in commands as their table says.
fn completed(vocabulary: &Vocabulary, line: &str, at: usize) -> Completion {
    let before = &line[..at];
    let Some(Piece::Command(range)) =
        read_script(before).pieces.pop().filter(|piece| piece.range().end == before.trim_end().len())
    else {
        return complete(vocabulary, line, at);
    };
    let command = &before[range.start..];
    let name_end = command.find(char::is_whitespace);
    let Some(name_end) = name_end else {
        let all = COMMANDS
            .iter()
            .map(|known| Candidate::new(format!("{}{}", &command[..1], known.name), known.about))
            .collect();
        return matching(range.start, command, all);
    };
    let Ok(known) = find(command[1..name_end].trim()) else { return Completion::default() };
    let rest_start = range.start + name_end + (command[name_end..].len() - command[name_end..].trim_start().len());
    let rest = &before[rest_start.min(before.len())..];
    let divides = |letter: char| letter.is_whitespace() || letter == ',';
    let word_start = rest.char_indices().rfind(|(_, letter)| divides(*letter));
    let word_start = word_start.map_or(0, |(at, letter)| at + letter.len_utf8());
    let (start, word) = (rest_start + word_start, &rest[word_start..]);
    let plain = |names: Vec<&str>| names.into_iter().map(|name| Candidate::new(name, "")).collect::<Vec<_>>();
    match known.takes {
        Takes::Nothing => Completion::default(),
        Takes::Question => matching(start, word, of_question(vocabulary, known.name, &rest[..word_start])),
        Takes::Table => {
            let own = vocabulary.tables.keys().map(|name| Candidate::new(name, ""));
            let others = vocabulary.schemas.iter().flat_map(|(schema, tables)| {
                tables.keys().map(move |name| Candidate::new(format!("{schema}.{name}"), ""))
            });
            matching(start, word, own.chain(others).collect())
        }
        Takes::Function => {
            let names = vocabulary.functions.iter().map(|(name, takes)| Candidate::new(name, takes)).collect();
            matching(start, word, names)
        }
        Takes::Command => {
            let names = COMMANDS.iter().map(|command| Candidate::new(command.name, command.about)).collect();
            matching(start, word, names)
        }
        // Commands read and write files of this machine.
        Takes::File => Completion { url: None, ..files(rest_start, rest) },
        Takes::Mode => matching(start, word, plain(Mode::texts().map(Mode::name).collect())),
        Takes::OnOff => matching(start, word, plain(vec!["on", "off"])),
        Takes::Sql => complete(vocabulary, line, at),
    }
}

/// The next word of a question about a KPI.
fn of_question(vocabulary: &Vocabulary, command: &str, before: &str) -> Vec<Candidate> {
    let words: Vec<&str> = before.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let is_form = |word: &&&str| matches!(**word, "line" | "bar" | "spark");
    let begins = if command == "chart" && words.first().filter(is_form).is_some() { &words[1..] } else { &words[..] };
    let Some(kpi) = begins.first() else {
        let forms = ["line", "bar", "spark"].map(|form| Candidate::new(form, "form"));
        let forms = forms.into_iter().filter(|_| command == "chart" && words.is_empty());
        let kpis = vocabulary.kpis.iter().map(|(name, kpi)| Candidate::new(name, &kpi.label));
        return kpis.chain(forms).collect();
    };
    let known = vocabulary.kpis.get(*kpi);
    let last = begins.last().copied().unwrap_or_default().to_lowercase();
    let grains = || {
        let grains = known.map_or(&Grain::ALL[..], |kpi| kpi.grains.as_slice());
        grains.iter().map(|grain| Candidate::new(grain.name(), "grain"))
    };
    let is_listing = before.trim_end().ends_with(',') || last == "and";
    match last.as_str() {
        "by" | "per" => dimensions(known).chain(grains()).collect(),
        _ if is_listing => dimensions(known).chain(grains()).collect(),
        "last" => ["12", "24", "4", "1"].map(|number| Candidate::new(number, "")).into(),
        "since" | "from" => Vec::new(),
        number if number.parse::<u32>().is_ok() => {
            grains().map(|grain| Candidate::new(format!("{}s", grain.text), "")).collect()
        }
        _ => ["by", "last", "since"].map(|word| Candidate::new(word, "")).into_iter().chain(grains()).collect(),
    }
}

fn dimensions(kpi: Option<&kpi::query::complete::KpiNames>) -> impl Iterator<Item = Candidate> + use<> {
    let names = kpi.map(|kpi| kpi.dimensions.clone()).unwrap_or_default();
    names.into_iter().map(|name| Candidate::new(name, "dimension"))
}

/// What a function takes, shown behind its bracket and never typed.
struct Signature(String);

impl Hint for Signature {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Signature;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<Signature> {
        if at != line.len() || !line.ends_with('(') {
            return None;
        }
        let front = &line[..at - 1];
        let start = front.char_indices().rfind(|(_, letter)| !letter.is_alphanumeric() && *letter != '_');
        let start = start.map_or(0, |(at, letter)| at + letter.len_utf8());
        let name = front.get(start..)?.to_lowercase();
        let takes = self.with(|vocabulary| vocabulary.functions.get(&name).cloned())?;
        let (_, inside) = takes.split_once('(')?;
        Some(Signature(format!(" {inside}")))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.is_colored {
            return Cow::Borrowed(line);
        }
        Cow::Owned(colored(line))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.is_colored {
            true => Cow::Owned(format!("\u{1b}[2m{hint}\u{1b}[0m")),
            false => Cow::Borrowed(hint),
        }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.is_colored
    }
}

/// The line with colors for what its words are.
fn colored(line: &str) -> String {
    let is_command = line.trim_start().starts_with(['\\', '.']);
    let mut text = String::with_capacity(line.len() * 2);
    let mut at = 0;
    for word in words(line) {
        text.push_str(&line[at..word.range.start]);
        let style = match word.kind {
            WordKind::Keyword if !is_command => Some("1;34"),
            WordKind::Text | WordKind::QuotedName => Some("32"),
            WordKind::Number => Some("36"),
            WordKind::Comment => Some("2"),
            WordKind::Parameter => Some("35"),
            WordKind::Keyword | WordKind::Name | WordKind::Sign => None,
        };
        let shown = &line[word.range.clone()];
        match style {
            Some(style) => text.push_str(&format!("\u{1b}[{style}m{shown}\u{1b}[0m")),
            None => text.push_str(shown),
        }
        at = word.range.end;
    }
    text.push_str(&line[at..]);
    text
}
