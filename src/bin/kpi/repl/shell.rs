//! What a session does with one statement or command after the other, whether somebody types them or a script holds them.
//!
//! Rows go to standard output, everything else to standard error. A statement that fails is told, and the session is as it
//! was.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef, UInt64Type};
use kpi::diagnostic::{FileId, Sources};
use kpi::engine::{Engine, EngineOptions};
use kpi::error::{Error, ErrorKind, Result};
use kpi::query::{End, Failure, Piece, QuerySession, Running, Script, Step, Written, read_parameter, read_script};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::commands;
use super::grid::{self, Layout};
use super::output::{Encoder, FileSink, Mode};
use super::pager::Pager;
use super::progress::Watch;
use super::vocabulary::{self, Shared};
use crate::commands::count;
use crate::printer::{Printer, visible_lines};

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

/// The last result, to be looked at again.
#[derive(Debug, Clone)]
pub struct Last {
    pub schema: SchemaRef,
    pub rows: Vec<RecordBatch>,
    /// Whether there were more rows than these.
    pub is_cut: bool,
}

impl Last {
    pub fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }
}

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
    runtime: Handle,
    pub last: Option<Last>,
    /// The text of the statement before.
    pub statement: Option<String>,
    /// The file that holds the result of a script.
    output: Option<PathBuf>,
    has_written: bool,
    pub vocabulary: Shared,
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
        let vocabulary: Shared = Arc::new(Mutex::new(Default::default()));
        let opening = opening(options.clone(), runtime.clone(), vocabulary.clone(), is_interactive);
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
            vocabulary,
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
    /// `Config` where one is not written as it should be.
    pub fn set_parameters(&mut self, parameters: &[String]) -> Result<()> {
        for parameter in parameters {
            read_parameter(parameter)?;
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
            None => opening(self.options.clone(), self.runtime.clone(), self.vocabulary.clone(), self.is_interactive),
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
            *self.vocabulary.lock().unwrap_or_else(PoisonError::into_inner) = gathered;
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
        match unclosed(name, text, &script) {
            Some(failure) if code == 0 && !self.is_over => {
                self.tell(&failure);
                failure.exit_code()
            }
            _ => code,
        }
    }

    /// Whether something was written, if that was asked.
    ///
    /// # Errors
    /// `Config` where the file of `-o` got no rows, since none gave any.
    pub fn has_output(&self) -> Result<()> {
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
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut shown: Option<Shown> = None;
        let mut first = None;
        let is_cut = loop {
            let step = tokio::select! {
                biased;
                _ = &mut interrupted => {
                    progress.clear();
                    return Err(self.give_up(running, &session).await);
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
        let rest = if is_cut { Some(running) } else { None };
        if let Some(rest) = rest {
            // What was not asked for any more.
            let _ = tokio::time::timeout(END, rest.end()).await;
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
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupted => {
                    progress.clear();
                    work.abort();
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
                    return Err(Error::config("the file of `-o` holds one result, and there is a second one")
                        .with_hint("write one statement that gives rows, or `COPY (...) TO 'file'` for each"));
                }
                Target::File(FileSink::create(path)?, Encoder::new(mode, &schema))
            }
            None if !gives_rows => Target::Nothing,
            None if is_for_people => Target::Screen,
            None => {
                if !mode.is_text() && self.has_written {
                    return Err(Error::config(format!(
                        "one {} holds one result, and there is a second one",
                        mode.name()
                    ))
                    .with_hint("write one statement that gives rows, or `COPY (...) TO 'file'` for each"));
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
        Ok(Shown { schema, target, kept: Vec::new(), count: 0, keeps })
    }

    /// Shows what was fetched, and keeps it for the next look.
    fn show(&mut self, shown: Shown, is_stopped: bool, word: &str, session: &QuerySession) -> Result<()> {
        let Shown { schema, target, kept, count: rows, keeps } = shown;
        let is_screen = matches!(target, Target::Screen);
        match target {
            Target::Nothing | Target::Screen => {}
            Target::Output(encoder) => {
                self.printer.data(encoder.finish()?)?;
                self.has_written = true;
            }
            Target::File(mut sink, encoder) => {
                sink.write(&encoder.finish()?)?;
                sink.finish()?;
                self.has_written = true;
            }
        }
        if is_count(word, &schema) {
            let written = kept.first().map_or(0, |batch| batch.column(0).as_primitive::<UInt64Type>().value(0));
            self.printer.note(format_args!("{} written", self::rows(written as usize)));
            return Ok(());
        }
        if schema.fields().is_empty() {
            if self.is_interactive {
                self.printer.note("done");
            }
            return Ok(());
        }
        if is_screen && is_plan(word, &schema) {
            return self.show_plan(&kept);
        }
        if !self.is_interactive {
            return Ok(());
        }
        let is_cut = is_stopped || keeps.is_some_and(|keeps| rows > keeps);
        let last = Last { schema: schema.clone(), rows: kept, is_cut };
        if is_screen {
            self.screen(&last, false)?;
            self.footer(&last);
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
                self::rows(last.count())
            ))),
            false => session.keep_last(&schema, last.rows.clone())?,
        }
        self.last = Some(last);
        Ok(())
    }

    fn show_plan(&self, rows: &[RecordBatch]) -> Result<()> {
        let mut text = String::new();
        for batch in rows {
            let (kinds, plans) = (grid::Cells::of(batch.column(0)), batch.column(1));
            let plans = plans.as_string_opt::<i32>();
            for row in 0..batch.num_rows() {
                let kind = kinds.as_ref().map(|kinds| kinds.text(row)).unwrap_or_default();
                let plan = visible_lines(plans.map_or("", |plans| plans.value(row)));
                text.push_str(&format!("{kind}\n{}\n", plan.trim_end()));
            }
        }
        self.put(text)
    }

    /// Puts a text on the screen, in the pager where it is longer than that.
    pub fn put(&self, text: String) -> Result<()> {
        let (_, height) = self.printer.window();
        let is_long = text.lines().count() + 2 > height;
        match Pager::of_environment().filter(|_| self.settings.pager && self.is_interactive && is_long) {
            Some(pager) if pager.show(&text) => Ok(()),
            _ => self.printer.data(text),
        }
    }

    /// Shows rows to people: fitted to the window, or whole in the pager where there are more than it has lines, or
    /// somebody wants `all`.
    pub fn screen(&self, last: &Last, all: bool) -> Result<()> {
        let (width, height) = self.printer.window();
        let Last { schema, rows, .. } = last;
        let count = last.count();
        let is_bold = self.printer.colors_data();
        let is_vertical = self.settings.mode == Mode::Vertical;
        let vertical = |window: Option<usize>| {
            let mut before = 0;
            let mut text = String::new();
            let mut is_cut = false;
            for batch in rows {
                let (records, has_cut) = grid::records(batch, before, window);
                text.push_str(&records);
                is_cut |= has_cut;
                before += batch.num_rows();
            }
            if is_cut {
                self.printer.note("long texts are cut; `\\last` shows them whole");
            }
            text
        };
        let lines = if is_vertical { count * (schema.fields().len() + 1) } else { count + 2 };
        if !all && lines + 3 <= height {
            let text = match is_vertical {
                true => vertical(Some(width)),
                false => {
                    let layout = Layout::fitted(schema, rows, width);
                    self.tell_cut(&layout, schema.fields().len());
                    layout.header(is_bold) + &rows.iter().map(|batch| layout.rows(batch)).collect::<String>()
                }
            };
            return self.printer.data(text);
        }
        let pager = Pager::of_environment().filter(|_| self.settings.pager && self.is_interactive);
        if let Some(pager) = pager {
            let whole = match is_vertical {
                true => vertical(None),
                false => {
                    let layout = Layout::whole(schema, rows);
                    layout.header(is_bold) + &rows.iter().map(|batch| layout.rows(batch)).collect::<String>()
                }
            };
            if pager.show(&whole) {
                return Ok(());
            }
        }
        if is_vertical {
            return self.printer.data(vertical(if all { None } else { Some(width) }));
        }
        let layout = if all { Layout::whole(schema, rows) } else { Layout::fitted(schema, rows, width) };
        let mut text = layout.header(is_bold);
        if all {
            rows.iter().for_each(|batch| text.push_str(&layout.rows(batch)));
            return self.printer.data(text);
        }
        self.tell_cut(&layout, schema.fields().len());
        // The beginning and the end, with a sign for what lies between.
        let room = height.saturating_sub(6).max(4);
        let (front, back) = (room.div_ceil(2), room / 2);
        let whole = datafusion::arrow::compute::concat_batches(schema, rows)
            .map_err(|error| Error::internal("rows could not be put together").with_source(error))?;
        text.push_str(&layout.rows(&whole.slice(0, front.min(count))));
        if count > front + back {
            text.push_str(&format!("⋮ {} between; `\\last` shows all\n", self::rows(count - front - back)));
        }
        let back = back.min(count - front.min(count));
        text.push_str(&layout.rows(&whole.slice(count - back, back)));
        self.printer.data(text)
    }

    fn tell_cut(&self, layout: &Layout, columns: usize) {
        let words = match (layout.left_out(), layout.is_cut()) {
            (0, false) => return,
            (0, true) => "long texts are cut; `\\last` shows them whole".to_owned(),
            (some, _) => {
                format!("{some} of {} left out; `\\last` or `\\mode vertical` shows them", count(columns, "column"))
            }
        };
        self.printer.note(words);
    }

    pub fn footer(&self, last: &Last) {
        let rows = rows(last.count());
        match last.is_cut {
            true => self.printer.note(format_args!("the first {rows}; `\\rows 0` fetches all")),
            false => self.printer.note(rows),
        }
    }

    /// Gives rows that no statement gave as those of a statement are given.
    pub fn give(&mut self, schema: &SchemaRef, rows: RecordBatch) -> Result<()> {
        let mut shown = self.shown(schema.clone(), "kpi")?;
        shown.add(rows, &self.printer)?;
        match shown.target {
            Target::Nothing | Target::Screen => {}
            Target::Output(encoder) => self.printer.data(encoder.finish()?)?,
            Target::File(mut sink, encoder) => {
                sink.write(&encoder.finish()?)?;
                sink.finish()?;
            }
        }
        self.has_written = true;
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
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::config(format!("`{}` cannot be read", path.display())).with_source(error))?;
        self.nested += 1;
        let name = path.display().to_string();
        let script = read_script(&text);
        let mut sources = Sources::default();
        let file = sources.add(&name, text.as_str());
        let mut outcome = Ok(());
        for piece in &script.pieces {
            outcome = Box::pin(self.run_piece(&sources, file, piece)).await;
            if outcome.is_err() || self.is_over {
                break;
            }
        }
        self.nested -= 1;
        match unclosed(&name, &text, &script) {
            Some(failure) if outcome.is_ok() && !self.is_over => Err(failure),
            _ => outcome,
        }
    }
}

/// A comment that nothing closes hides what stands behind it. A text that nothing closes is part of a statement, which says so
/// itself.
fn unclosed(name: &str, text: &str, script: &Script) -> Option<Failure> {
    let End::Quoted(at) = script.end else { return None };
    let is_in_a_statement = script.pieces.last().is_some_and(|piece| piece.range().contains(&at));
    (!is_in_a_statement).then(|| {
        let end = text[at..].find('\n').map_or(text.len(), |line| at + line);
        Written::new(name, text, at..end).mistake(
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
    vocabulary: Shared,
    is_interactive: bool,
) -> JoinHandle<Result<QuerySession>> {
    // Where statements run there is room for plans that nest deeply.
    runtime.clone().spawn(async move {
        let session = QuerySession::open(Arc::new(open(&options).await?), runtime)?;
        if is_interactive {
            // Without a look at the results only their names are not known yet.
            let _ = session.look_at_results().await;
            let gathered = vocabulary::gather(&session).await;
            *vocabulary.lock().unwrap_or_else(PoisonError::into_inner) = gathered;
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

/// What comes of the rows of a statement.
struct Shown {
    schema: SchemaRef,
    target: Target,
    kept: Vec<RecordBatch>,
    count: usize,
    /// How many rows are kept; `None` for all.
    keeps: Option<usize>,
}

enum Target {
    /// For people, once all rows are there.
    Screen,
    /// As they come, to standard output.
    Output(Encoder),
    File(FileSink, Encoder),
    Nothing,
}

impl Shown {
    fn is_screen(&self) -> bool {
        matches!(self.target, Target::Screen)
    }

    /// Whether more rows are wanted.
    fn add(&mut self, rows: RecordBatch, printer: &Printer) -> Result<bool> {
        let room = self.keeps.map_or(usize::MAX, |keeps| keeps.saturating_sub(self.count));
        self.count += rows.num_rows();
        if room > 0 && rows.num_rows() > 0 {
            self.kept.push(rows.slice(0, rows.num_rows().min(room)));
        }
        match &mut self.target {
            Target::Screen => return Ok(rows.num_rows() <= room),
            Target::Nothing => {}
            Target::Output(encoder) => printer.data(encoder.add(rows)?)?,
            Target::File(sink, encoder) => sink.write(&encoder.add(rows)?)?,
        }
        Ok(true)
    }
}

/// Whether what a statement gives is only how many rows it wrote somewhere.
fn is_count(word: &str, schema: &SchemaRef) -> bool {
    let [count] = schema.fields().as_ref() else { return false };
    matches!(word, "copy" | "insert") && count.name() == "count" && count.data_type() == &DataType::UInt64
}

/// A name that two columns have.
fn repeated_name(schema: &SchemaRef) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    schema.fields().iter().map(|field| field.name().as_str()).find(|name| !seen.insert(*name))
}

/// Readers of such a file find only one of them.
pub fn refuse_repeated_names(schema: &SchemaRef) -> Result<()> {
    match repeated_name(schema) {
        Some(name) => Err(Error::config(format!("two columns are named `{name}`"))
            .with_hint("give each column a name of its own, as in `SELECT a.x AS a_x`")),
        None => Ok(()),
    }
}

/// Whether it is what EXPLAIN gives, which is drawn in lines of its own.
fn is_plan(word: &str, schema: &SchemaRef) -> bool {
    word == "explain" && schema.fields().iter().map(|field| field.name().as_str()).eq(["plan_type", "plan"])
}

fn first_word(text: &str) -> String {
    let words = kpi::query::words::words(text);
    let first = words.iter().find(|word| word.kind != kpi::query::words::WordKind::Comment);
    first.map(|word| text[word.range.clone()].to_lowercase()).unwrap_or_default()
}

pub fn rows(number: usize) -> String {
    count(number, "row")
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
