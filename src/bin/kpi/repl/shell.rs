//! What a session does with one statement or command after the other, whether somebody types them or a script holds them.
//!
//! Rows go to standard output, everything else to standard error. A statement that fails is told, and the session is as it
//! was.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{SchemaRef, UInt64Type};
use futures::FutureExt;
use futures::future::BoxFuture;
use kpi::diagnostic::{FileId, Sources};
use kpi::engine::{Engine, EngineOptions};
use kpi::error::{Error, ErrorKind, Result};
use kpi::query::{End, Failure, Piece, QuerySession, Running, Script, Step, Written, read_parameter, read_script};
use kpi::session::clear_spilled;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::commands;
use super::output::{Encoder, FileSink, Mode};
use super::progress::Watch;
use super::screen::Screen;
use super::shown::{Last, Shown, Target, is_count, is_plan, refuse_repeated_names, repeated_name, rows};
use super::vocabulary::{self, Shared};
use crate::commands::count;
use crate::printer::Printer;
use crate::signals::{TERMINATED, interrupt, signal};

/// How results are shown.
#[derive(Debug, Clone)]
pub struct Settings {
    pub mode: Mode,
    pub timing: bool,
    pub pager: bool,
    /// Rows that a table for people fetches at most; 0 for all.
    pub rows: usize,
}

/// So many rows are fetched for people, unless they ask for more.
const ROWS_FOR_PEOPLE: usize = 10_000;
/// Scripts that read scripts that read scripts.
const NESTED_AT_MOST: usize = 16;
/// How long the end of a statement is waited for.
const END: Duration = Duration::from_millis(150);

/// The project, which may still be being opened.
enum Project {
    Opening(JoinHandle<Result<QuerySession>>),
    Open(Arc<QuerySession>),
}

pub struct Shell {
    pub printer: Printer,
    pub settings: Settings,
    /// Whether somebody sits in front of it.
    pub is_interactive: bool,
    pub options: EngineOptions,
    project: Option<Project>,
    pub runtime: Handle,
    pub last: Option<Last>,
    /// The text of the statement before.
    pub statement: Option<String>,
    /// The file that holds the result of a script.
    output: Option<PathBuf>,
    has_written: bool,
    /// What `-o` wrote, until it is put in its place.
    file: Option<FileSink>,
    pub names: Shared,
    /// What the next line begins with.
    pub draft: Option<String>,
    pub is_over: bool,
    nested: usize,
    /// Parameters from before the project was there.
    parameters: Vec<String>,
}

/// What came of one statement or command.
type Outcome = std::result::Result<(), Failure>;

impl Shell {
    pub fn new(printer: Printer, options: EngineOptions, runtime: Handle, is_interactive: bool) -> Shell {
        let names: Shared = Arc::new(Mutex::new(Default::default()));
        let opening = opening(options.clone(), runtime.clone(), names.clone(), is_interactive);
        Shell {
            printer,
            settings: Settings { mode: Mode::Table, timing: false, pager: is_interactive, rows: ROWS_FOR_PEOPLE },
            is_interactive,
            options,
            project: Some(Project::Opening(opening)),
            runtime,
            last: None,
            statement: None,
            output: None,
            has_written: false,
            file: None,
            names,
            draft: None,
            is_over: false,
            nested: 0,
            parameters: Vec::new(),
        }
    }

    pub fn write_to(&mut self, file: Option<PathBuf>) {
        self.output = file;
    }

    /// Gives parameters their values, as `--param` has them.
    ///
    /// # Errors
    /// `Config` where one is not written as it should be, or given twice.
    pub fn set_parameters(&mut self, parameters: &[String]) -> Result<()> {
        let mut names = Vec::new();
        for parameter in parameters {
            let (name, _) = read_parameter(parameter)?;
            if names.contains(&name) {
                return Err(Error::config(format!("the parameter `{name}` is given twice")));
            }
            names.push(name);
        }
        self.parameters.extend(parameters.iter().cloned());
        Ok(())
    }

    /// The session over the project, once that is open.
    ///
    /// # Errors
    /// As the project cannot be opened; the next one who asks tries again.
    pub async fn session(&mut self) -> Result<Arc<QuerySession>> {
        let opening = match self.project.take() {
            Some(Project::Open(session)) => {
                self.project = Some(Project::Open(session.clone()));
                return Ok(session);
            }
            Some(Project::Opening(opening)) => opening,
            None => opening(self.options.clone(), self.runtime.clone(), self.names.clone(), self.is_interactive),
        };
        let session = self.until_interrupted(opening, Watch::new(self.printer)).await?;
        let session = Arc::new(session.map_err(broken_off)??);
        self.tell_mistakes(session.engine());
        for parameter in std::mem::take(&mut self.parameters) {
            let (name, value) = read_parameter(&parameter)?;
            session.set_parameter(name, Some(value));
        }
        self.project = Some(Project::Open(session.clone()));
        Ok(session)
    }

    fn tell_mistakes(&self, engine: &Engine) {
        let mistakes = engine.diagnostics().iter().filter(|mistake| mistake.is_error()).count();
        if mistakes > 0 {
            self.printer.warning(format_args!(
                "the definitions have {}; what they concern is left out; `kpi check` shows them",
                count(mistakes, "mistake")
            ));
        }
    }

    /// Reads the project again.
    ///
    /// # Errors
    /// As the project cannot be opened; then the session stays as it is.
    pub async fn reload(&mut self) -> Result<()> {
        let session = self.session().await?;
        let options = self.options.clone();
        let opening = self.runtime.spawn(async move { open(&options).await });
        let engine = self.until_interrupted(opening, Watch::new(self.printer)).await?.map_err(broken_off)??;
        self.tell_mistakes(&engine);
        let session = Arc::new(session.reopened(Arc::new(engine))?);
        let _ = session.look_at_results().await;
        self.project = Some(Project::Open(session.clone()));
        self.gather(&session).await;
        Ok(())
    }

    /// Gathers the names that completion offers.
    async fn gather(&self, session: &QuerySession) {
        if self.is_interactive {
            let gathered = vocabulary::gather(session).await;
            *self.names.lock().unwrap_or_else(PoisonError::into_inner) = gathered;
        }
    }

    /// Does everything that a text holds; stops at the first failure unless `goes_on`.
    ///
    /// # Returns
    /// The exit code of the first failure, or 0.
    pub async fn run_text(&mut self, name: &str, text: &str, goes_on: bool) -> u8 {
        let script = read_script(text);
        let (mut sources, mut code) = (Sources::default(), 0);
        let file = sources.add(name, text);
        for piece in &script.pieces {
            if self.is_over {
                break;
            }
            if let Err(failure) = self.run_piece(&sources, file, piece).await {
                self.tell(&failure);
                let own = failure.exit_code();
                code = if code == 0 { own } else { code };
                // Who interrupts wants an end.
                if !goes_on || own == ErrorKind::Interrupted.exit_code() {
                    break;
                }
            }
        }
        match unclosed(&sources, file, &script) {
            Some(failure) if code == 0 && !self.is_over => {
                self.tell(&failure);
                failure.exit_code()
            }
            _ => code,
        }
    }

    /// Puts the file of `-o` in its place, once all is done.
    ///
    /// # Errors
    /// `Config` where it got no rows, since none gave any; `Storage` where it cannot be put there.
    pub fn put_output(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            return file.finish();
        }
        match &self.output {
            Some(path) if !self.has_written => {
                Err(Error::config(format!("no statement gave rows, so there is no `{}`", path.display())))
            }
            _ => Ok(()),
        }
    }

    async fn run_piece(&mut self, sources: &Sources, file: FileId, piece: &Piece) -> Outcome {
        match piece {
            Piece::Command(range) => commands::run(self, &sources.get(file).text[range.clone()]).await,
            Piece::Statement(range) => {
                let written = Written::part(sources, file, range.clone());
                self.statement = Some(written.text.clone());
                self.run_statement(written).await
            }
        }
    }

    pub fn tell(&self, failure: &Failure) {
        match failure {
            Failure::Mistake(mistake, sources) => self.printer.diagnostics(std::slice::from_ref(mistake), sources),
            Failure::Failed(error) if error.kind() == ErrorKind::Interrupted && self.is_interactive => {
                self.printer.note(error.message());
            }
            Failure::Failed(error) => self.printer.error(error),
        }
    }

    /// Runs one statement and shows what it gives.
    pub async fn run_statement(&mut self, written: Written) -> Outcome {
        let session = self.session().await?;
        let started = Instant::now();
        let word = first_word(&written.text);
        let mut running = session.run(written);
        let mut progress = Watch::new(self.printer);
        let mut stopped = pin!(self.stop());
        let mut shown: Option<Shown> = None;
        let mut first = None;
        let is_cut = loop {
            let step = tokio::select! {
                biased;
                code = &mut stopped => {
                    progress.clear();
                    let failure = self.give_up(running, &session).await;
                    end_if_terminated(code);
                    return Err(failure);
                }
                step = running.next() => step,
                () = progress.tick() => {
                    progress.show(running.measure());
                    continue;
                }
            };
            match step {
                None => break false,
                Some(Err(failure)) => return Err(failure),
                Some(Ok(Step::Columns(schema))) => shown = Some(self.shown(schema, &word)?),
                Some(Ok(Step::Rows(rows))) => {
                    first.get_or_insert_with(|| started.elapsed());
                    let Some(shown) = &mut shown else { continue };
                    if !shown.is_screen() {
                        progress.clear();
                    }
                    if !shown.add(rows, &self.printer)? {
                        break true;
                    }
                    if self.printer.is_reader_gone() {
                        self.is_over = true;
                        return Ok(());
                    }
                }
            }
        };
        progress.clear();
        if is_cut {
            // What was not asked for any more.
            let _ = tokio::time::timeout(END, running.end()).await;
        }
        let elapsed = started.elapsed();
        if let Some(shown) = shown {
            self.show(shown, is_cut, &word, &session)?;
        }
        if self.settings.timing {
            let first = first.map(|first| format!(", the first rows after {}", seconds(first))).unwrap_or_default();
            self.printer.note(format_args!("{}{first}", seconds(elapsed)));
        }
        if !matches!(word.as_str(), "select" | "from" | "with" | "values" | "explain" | "show" | "describe") {
            self.gather(&session).await;
        }
        Ok(())
    }

    /// Waits for what ends a statement. A session at a terminal leaves SIGTERM to the system, between statements as well.
    fn stop(&self) -> BoxFuture<'static, u8> {
        if self.is_interactive { interrupt().boxed() } else { signal().boxed() }
    }

    /// Ends a statement. What cannot be ended at once goes on by itself until its step is done.
    async fn give_up(&self, running: Running, session: &Arc<QuerySession>) -> Failure {
        let ended = async {
            running.end().await;
            // Its parts run in tasks of their own, which end one after the other.
            while session.reserved() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let words = match tokio::time::timeout(END, ended).await {
            Ok(()) => "interrupted",
            Err(_) => "interrupted; what it was doing right now still takes a moment",
        };
        Error::new(ErrorKind::Interrupted, words).into()
    }

    /// Waits for work, unless somebody interrupts it.
    async fn until_interrupted<T>(
        &self,
        work: JoinHandle<T>,
        mut progress: Watch,
    ) -> Result<std::result::Result<T, tokio::task::JoinError>> {
        let mut work = pin!(work);
        let mut stopped = pin!(self.stop());
        loop {
            tokio::select! {
                biased;
                code = &mut stopped => {
                    progress.clear();
                    work.abort();
                    end_if_terminated(code);
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
                }
                done = &mut work => {
                    progress.clear();
                    return Ok(done);
                }
                () = progress.tick() => progress.show(None),
            }
        }
    }

    /// Asks the engine something, where statements run.
    ///
    /// # Errors
    /// As the answer fails, or `Interrupted`.
    pub async fn ask<T, F>(&mut self, question: impl FnOnce(Arc<Engine>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let session = self.session().await?;
        let work = self.runtime.spawn(question(session.engine().clone()));
        match self.until_interrupted(work, Watch::new(self.printer)).await? {
            Ok(answer) => answer,
            Err(error) => Err(Error::internal("the computation broke off").with_source(error)),
        }
    }

    fn shown(&mut self, schema: SchemaRef, word: &str) -> Result<Shown> {
        let mode = self.settings.mode;
        let gives_rows = !schema.fields().is_empty() && !is_count(word, &schema);
        let is_for_people = mode.is_for_people() && (self.is_interactive || is_plan(word, &schema));
        let target = match &self.output {
            Some(_) if !gives_rows => Target::Nothing,
            Some(path) => {
                if self.has_written {
                    self.file = None;
                    return Err(Error::config("the file of `-o` holds one result, and there is a second one")
                        .with_hint("write one statement that gives rows, or `COPY (...) TO 'file'` for each"));
                }
                Target::File(FileSink::create(path)?, Encoder::new(mode, &schema))
            }
            None if !gives_rows => Target::Nothing,
            None if is_for_people => Target::Screen,
            None => {
                // Two arrays, one behind the other, are no JSON.
                let holds_one = !mode.is_text() || mode == Mode::Json && !self.is_interactive;
                if holds_one && self.has_written {
                    return Err(Error::config(format!(
                        "one {} holds one result, and there is a second one",
                        mode.name()
                    ))
                    .with_hint(
                        "write one statement that gives rows, or choose `jsonl`, or `COPY (...) TO 'file'` for each",
                    ));
                }
                if !mode.is_text() && self.printer.is_terminal() {
                    return Err(Error::config(format!("{} is nothing to look at on a terminal", mode.name()))
                        .with_hint("write it to a file, as with `\\save FILE`, or redirect standard output"));
                }
                Target::Output(Encoder::new(mode, &schema))
            }
        };
        if gives_rows && matches!(mode, Mode::Parquet | Mode::Arrow) {
            refuse_repeated_names(&schema)?;
        }
        let keeps = match (self.is_interactive, self.settings.rows) {
            (false, _) if is_plan(word, &schema) || !gives_rows => None,
            (false, _) => Some(0),
            (true, 0) => None,
            (true, rows) => Some(rows),
        };
        Ok(Shown::new(schema, target, keeps))
    }

    /// Shows what was fetched, and keeps it for the next look.
    fn show(&mut self, shown: Shown, is_stopped: bool, word: &str, session: &QuerySession) -> Result<()> {
        let Shown { schema, target, kept, count, keeps } = shown;
        let is_screen = matches!(target, Target::Screen);
        self.finish(target)?;
        if is_count(word, &schema) {
            let written = kept.first().map_or(0, |batch| batch.column(0).as_primitive::<UInt64Type>().value(0));
            let done = match word {
                "update" => "changed",
                "delete" => "deleted",
                _ => "written",
            };
            self.printer.note(format_args!("{} {done}", rows(written as usize)));
            return Ok(());
        }
        if schema.fields().is_empty() {
            if self.is_interactive {
                self.printer.note("done");
            }
            return Ok(());
        }
        if is_screen && is_plan(word, &schema) {
            return self.screen().plan(&kept);
        }
        if !self.is_interactive {
            return Ok(());
        }
        let is_cut = is_stopped || keeps.is_some_and(|keeps| count > keeps);
        let last = Last { schema: schema.clone(), rows: kept, is_cut };
        if is_screen {
            self.screen().show(&last, false)?;
            self.screen().footer(&last);
        }
        let repeated = repeated_name(&schema);
        match is_cut {
            _ if repeated.is_some() => {
                session.forget_last(repeated.map(|name| {
                    format!("two columns of the last result are named `{name}`; give each a name of its own")
                }))
            }
            true => session.forget_last(Some(format!(
                "the last result was cut after {}; `\\rows 0` fetches all of the next one",
                rows(last.count())
            ))),
            false => session.keep_last(&schema, last.rows.clone())?,
        }
        self.last = Some(last);
        Ok(())
    }

    /// What people look at.
    pub fn screen(&self) -> Screen {
        let Settings { mode, pager, .. } = self.settings;
        Screen { printer: self.printer, is_vertical: mode == Mode::Vertical, has_pager: pager && self.is_interactive }
    }

    /// Gives rows that no statement gave as those of a statement are given.
    pub fn give(&mut self, schema: &SchemaRef, rows: RecordBatch) -> Result<()> {
        let mut shown = self.shown(schema.clone(), "kpi")?;
        shown.add(rows, &self.printer)?;
        self.finish(shown.target)?;
        Ok(())
    }

    /// Writes what is not written yet. A file waits for the end of the script, in which nothing may fail and no second result come.
    fn finish(&mut self, target: Target) -> Result<()> {
        self.has_written |= !matches!(target, Target::Nothing | Target::Screen);
        self.file = target.finish(&self.printer)?.or(self.file.take());
        Ok(())
    }

    /// Whether rows are shown to people.
    pub fn is_for_people(&self) -> bool {
        self.settings.mode.is_for_people() && self.output.is_none()
    }

    /// Keeps rows that no statement gave as the last result.
    pub async fn keep(&mut self, schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<()> {
        if self.is_interactive {
            let session = self.session().await?;
            session.keep_last(&schema, rows.clone())?;
            self.last = Some(Last { schema, rows, is_cut: false });
        }
        Ok(())
    }

    /// Does what a file holds.
    pub async fn read(&mut self, path: &Path) -> Outcome {
        if self.nested >= NESTED_AT_MOST {
            let error = Error::config(format!("`{}` is read by a file that it reads", path.display()));
            return Err(error.into());
        }
        let text = text_of(path)?;
        self.nested += 1;
        let script = read_script(&text);
        let mut sources = Sources::default();
        let file = sources.add(path, text);
        let mut outcome = Ok(());
        for piece in &script.pieces {
            outcome = Box::pin(self.run_piece(&sources, file, piece)).await;
            if outcome.is_err() || self.is_over {
                break;
            }
        }
        self.nested -= 1;
        match unclosed(&sources, file, &script) {
            Some(failure) if outcome.is_ok() && !self.is_over => Err(failure),
            _ => outcome,
        }
    }
}

/// Whoever terminates a script wants no further statement; what the last one had begun to write is gone by now.
fn end_if_terminated(code: u8) {
    if code == TERMINATED {
        clear_spilled();
        std::process::exit(code.into());
    }
}

/// A comment that nothing closes hides what stands behind it. A text that nothing closes is part of a statement, which says so
/// itself.
fn unclosed(sources: &Sources, file: FileId, script: &Script) -> Option<Failure> {
    let End::Quoted(at) = script.end else { return None };
    let is_in_a_statement = script.pieces.last().is_some_and(|piece| piece.range().contains(&at));
    let text = &sources.get(file).text;
    (!is_in_a_statement).then(|| {
        let end = text[at..].find('\n').map_or(text.len(), |line| at + line);
        Written::part(sources, file, at..end).mistake(
            "the comment is not closed",
            None,
            Some("close it with `*/`".to_owned()),
        )
    })
}

/// Opens the project while the first line is typed, and tells the line editor its names as soon as they are known.
fn opening(
    options: EngineOptions,
    runtime: Handle,
    names: Shared,
    is_interactive: bool,
) -> JoinHandle<Result<QuerySession>> {
    // Where statements run there is room for plans that nest deeply.
    runtime.clone().spawn(async move {
        let session = QuerySession::open(Arc::new(open(&options).await?), runtime)?;
        if is_interactive {
            // Without a look at the results only their names are not known yet.
            let _ = session.look_at_results().await;
            let gathered = vocabulary::gather(&session).await;
            *names.lock().unwrap_or_else(PoisonError::into_inner) = gathered;
        }
        Ok(session)
    })
}

fn broken_off(error: tokio::task::JoinError) -> Error {
    Error::internal("opening the project broke off").with_source(error)
}

/// Opens the project, or nothing at all where there is none around and nobody named one.
async fn open(options: &EngineOptions) -> Result<Engine> {
    match options.project.join("kpis").is_dir() || options.project != Path::new(".") {
        true => Engine::open(options).await,
        false => Engine::without_project(options).await,
    }
}

/// What a file of statements holds.
///
/// # Errors
/// `Config` where it is none, or holds no text.
pub fn text_of(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::config(format!("`{}` cannot be read", path.display())).with_source(error))?;
    Ok(without_mark(&text))
}

/// What comes from standard input.
///
/// # Errors
/// `Config` where that cannot be read, or is no text.
pub fn text_of_input() -> Result<String> {
    let text = std::io::read_to_string(std::io::stdin())
        .map_err(|error| Error::config("standard input cannot be read").with_source(error))?;
    Ok(without_mark(&text))
}

/// Some editors begin a text with a sign that says how its letters are written.
fn without_mark(text: &str) -> String {
    text.trim_start_matches('\u{feff}').to_owned()
}

fn first_word(text: &str) -> String {
    let words = kpi::query::words::words(text);
    let first = words.iter().find(|word| word.kind != kpi::query::words::WordKind::Comment);
    first.map(|word| text[word.range.clone()].to_lowercase()).unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
