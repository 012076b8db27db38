//! The commands of a session: their names, what they take, their help with examples, what completes them, and what they do,
//! in one table.
//!
//! A command is known by its beginning where no other begins like that. What is behind its name is its own affair.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use datafusion::arrow::datatypes::DataType;
use futures::FutureExt;
use futures::future::BoxFuture;
use kpi::diagnostic::nearest;
use kpi::engine::Answer;
use kpi::error::{Error, Result};
use kpi::query::{Failure, Written, read_parameter};
use kpi::report::format_number;

use super::ask::{last_periods, read_question};
use super::chart::{self, Form};
use super::output::{Encoder, FileSink, Mode, no_format};
use super::shell::{Shell, text_of};
use super::shown::{Last, refuse_repeated_names, rows};
use super::{charted, described, editor, explained};
use crate::commands::show::as_table;
use crate::table::{Column, table};

/// What a command takes, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// A KPI, then dimensions, grains and words.
    Question,
    Table,
    Function,
    Command,
    File,
    Mode,
    OnOff,
    Sql,
}

pub struct Command {
    pub name: &'static str,
    /// Another word for it.
    pub alias: Option<&'static str>,
    pub arguments: &'static str,
    pub about: &'static str,
    pub examples: &'static [&'static str],
    pub takes: Takes,
    run: Run,
}

type Outcome = std::result::Result<(), Failure>;
type Run = for<'a> fn(&'a mut Shell, &'a str) -> BoxFuture<'a, Outcome>;

pub const COMMANDS: [Command; 20] = [
    Command {
        name: "kpi",
        alias: None,
        arguments: "NAME [by DIMENSION, ...] [GRAIN] [last N GRAINS | since DAY]",
        about: "Compute a KPI and show it",
        examples: &[
            "\\kpi close_rate",
            "\\kpi close_rate by region last 12 months",
            "\\kpi mrr monthly since 2025-01-01",
        ],
        takes: Takes::Question,
        run: |shell, rest| show_kpi(shell, rest).boxed(),
    },
    Command {
        name: "explain",
        alias: None,
        arguments: "NAME [by DIMENSION] [PERIOD]",
        about: "Explain a number: what it means, what it reads, its SQL, and which groups moved it since the period before",
        examples: &["\\explain close_rate", "\\explain close_rate 2025-03", "\\explain close_rate by region 2025-03"],
        takes: Takes::Question,
        run: |shell, rest| explained::explain(shell, rest).boxed(),
    },
    Command {
        name: "chart",
        alias: None,
        arguments: "[line | bar | spark] [NAME ... as in \\kpi]",
        about: "Draw a KPI, or without a name the last result: its first column across, its numbers up",
        examples: &[
            "\\chart close_rate last 24 months",
            "\\chart bar close_rate by region last 1 month",
            "\\chart spark",
        ],
        takes: Takes::Question,
        run: |shell, rest| draw(shell, rest).boxed(),
    },
    Command {
        name: "kpis",
        alias: Some("ls"),
        arguments: "[WORD]",
        about: "List the KPIs, or those with a word in their name, label or tags",
        examples: &["\\kpis", "\\kpis churn"],
        takes: Takes::Nothing,
        run: |shell, rest| list_kpis(shell, rest).boxed(),
    },
    Command {
        name: "d",
        alias: Some("tables"),
        arguments: "[TABLE]",
        about: "List the tables, or the columns of one with its key, its joins and the KPIs that read it",
        examples: &["\\d", "\\d opportunities", "\\d results.close_rate"],
        takes: Takes::Table,
        run: |shell, rest| describe(shell, rest).boxed(),
    },
    Command {
        name: "f",
        alias: Some("functions"),
        arguments: "[FUNCTION or part of its name]",
        about: "List the functions, or say what one takes and does",
        examples: &["\\f date", "\\f date_trunc"],
        takes: Takes::Function,
        run: |shell, rest| functions(shell, rest).boxed(),
    },
    Command {
        name: "plan",
        alias: None,
        arguments: "[analyze] STATEMENT",
        about: "Show how a statement would run; with `analyze` run it and show what each step took",
        examples: &["\\plan SELECT count(*) FROM orders", "\\plan analyze SELECT * FROM kpi('close_rate')"],
        takes: Takes::Sql,
        run: |shell, rest| plan(shell, rest).boxed(),
    },
    Command {
        name: "last",
        alias: None,
        arguments: "",
        about: "Show the last result again, whole and uncut; it is also the table `_`",
        examples: &["\\last", "FROM _ WHERE value > 0.5;"],
        takes: Takes::Nothing,
        run: |shell, _| async { Ok(last(shell)?) }.boxed(),
    },
    Command {
        name: "save",
        alias: None,
        arguments: "FILE",
        about: "Save the last result by the ending of the file: csv, json, jsonl, md, parquet, arrow or txt; .sql saves the \
                last statement",
        examples: &["\\save rates.csv", "\\save rates.parquet", "\\save rates.sql"],
        takes: Takes::File,
        run: |shell, rest| async move { Ok(save(shell, rest)?) }.boxed(),
    },
    Command {
        name: "read",
        alias: Some("i"),
        arguments: "FILE",
        about: "Do what a file holds: statements and commands",
        examples: &["\\read checks.sql"],
        takes: Takes::File,
        run: |shell, rest| read(shell, rest).boxed(),
    },
    Command {
        name: "edit",
        alias: Some("e"),
        arguments: "[FILE]",
        about: "Write in $EDITOR, beginning with the last statement or a file; what comes back stands in the next line",
        examples: &["\\edit", "\\edit checks.sql"],
        takes: Takes::File,
        run: |shell, rest| async move { Ok(edit(shell, rest)?) }.boxed(),
    },
    Command {
        name: "mode",
        alias: None,
        arguments: "[table | vertical | csv | json | jsonl | markdown]",
        about: "How results are written; without a word say how",
        examples: &["\\mode vertical", "\\mode csv"],
        takes: Takes::Mode,
        run: |shell, rest| async move { Ok(mode(shell, rest)?) }.boxed(),
    },
    Command {
        name: "rows",
        alias: None,
        arguments: "[N]",
        about: "How many rows a table for people fetches at most; 0 for all",
        examples: &["\\rows 0", "\\rows 10000"],
        takes: Takes::Nothing,
        run: |shell, rest| async move { Ok(fetched(shell, rest)?) }.boxed(),
    },
    Command {
        name: "timing",
        alias: None,
        arguments: "[on | off]",
        about: "Say how long each statement took, and when its first rows were there",
        examples: &["\\timing on"],
        takes: Takes::OnOff,
        run: |shell, rest| {
            async move {
                shell.settings.timing = switch("timing", rest, shell.settings.timing)?;
                shell.printer.note(format_args!("timing is {}", on_off(shell.settings.timing)));
                Ok(())
            }
            .boxed()
        },
    },
    Command {
        name: "pager",
        alias: None,
        arguments: "[on | off]",
        about: "Show what is longer than the window in $KPI_PAGER, $PAGER or less",
        examples: &["\\pager off"],
        takes: Takes::OnOff,
        run: |shell, rest| {
            async move {
                shell.settings.pager = switch("pager", rest, shell.settings.pager)?;
                shell.printer.note(format_args!("the pager is {}", on_off(shell.settings.pager)));
                Ok(())
            }
            .boxed()
        },
    },
    Command {
        name: "set",
        alias: None,
        arguments: "[NAME VALUE | NAME:TYPE VALUE | NAME]",
        about: "Give the parameter $NAME of statements a value, take it away, or list all; a type is text, int, float, \
                decimal, date, timestamp or bool",
        examples: &[
            "\\set since 2025-01-01",
            "\\set code:text 007",
            "SELECT * FROM orders WHERE order_date >= $since;",
        ],
        takes: Takes::Nothing,
        run: |shell, rest| set(shell, rest).boxed(),
    },
    Command {
        name: "mistakes",
        alias: None,
        arguments: "",
        about: "Show the mistakes in the definitions, as `kpi check` does",
        examples: &["\\mistakes"],
        takes: Takes::Nothing,
        run: |shell, _| mistakes(shell).boxed(),
    },
    Command {
        name: "reload",
        alias: None,
        arguments: "",
        about: "Read the definitions and the files of the tables again; tables and parameters of the session stay",
        examples: &["\\reload"],
        takes: Takes::Nothing,
        run: |shell, _| {
            async move {
                shell.reload().await?;
                shell.printer.note("the project is read again");
                Ok(())
            }
            .boxed()
        },
    },
    Command {
        name: "help",
        alias: Some("?"),
        arguments: "[COMMAND]",
        about: "List the commands, or show one with examples",
        examples: &["\\help kpi"],
        takes: Takes::Command,
        run: |shell, rest| async move { Ok(help(shell, rest)?) }.boxed(),
    },
    Command {
        name: "quit",
        alias: Some("exit"),
        arguments: "",
        about: "Leave, as Ctrl-D does",
        examples: &[],
        takes: Takes::Nothing,
        run: |shell, _| {
            async move {
                shell.is_over = true;
                Ok(())
            }
            .boxed()
        },
    },
];

/// What people type who come from other shells, and what does it here.
const HABITS: [(&[&str], &str); 8] = [
    (
        &["x", "maximum_column_width", "width"],
        "`\\mode vertical` shows one column to a line, `\\last` shows texts whole",
    ),
    (&["dt", "dn", "dv", "databases", "schema", "show"], "`\\d` lists the tables, `\\d TABLE` the columns of one"),
    (&["df", "manual"], "`\\f` lists the functions, `\\f FUNCTION` says what one takes"),
    (
        &["o", "out", "output", "once", "copy", "w", "write"],
        "`\\save FILE` writes the last result, `COPY (SELECT ...) TO 'file'` all rows of a query",
    ),
    (&["pset", "format"], "`\\mode` says how results are written"),
    (&["timer"], "`\\timing on` says how long each statement took"),
    (&["history", "g"], "Ctrl-R searches what was typed before, and the arrow keys go through it"),
    (&["connect", "open", "conninfo"], "start `kpi repl --project FOLDER` for another project"),
];

/// The command that a word means: by its name, its alias, or the beginning of one name only.
pub fn find(word: &str) -> Result<&'static Command> {
    let word = word.to_lowercase();
    if let Some(command) = COMMANDS.iter().find(|command| command.name == word || command.alias == Some(word.as_str()))
    {
        return Ok(command);
    }
    let begin: Vec<&Command> =
        COMMANDS.iter().filter(|command| !word.is_empty() && command.name.starts_with(&word)).collect();
    match begin.as_slice() {
        [only] => Ok(only),
        [] => {
            let error = Error::config(format!("there is no command `\\{word}`"));
            if let Some((_, instead)) = HABITS.iter().find(|(words, _)| words.contains(&word.as_str())) {
                return Err(error.with_hint(*instead));
            }
            Err(match nearest(&word, COMMANDS.iter().map(|command| command.name)) {
                Some(near) => error.with_hint(format!("did you mean `\\{near}`?")),
                None => error.with_hint("`\\help` lists them"),
            })
        }
        several => {
            let names: Vec<String> = several.iter().map(|command| format!("`\\{}`", command.name)).collect();
            Err(Error::config(format!("`\\{word}` may be {}", names.join(" or "))))
        }
    }
}

/// Does what a line with a command says.
pub async fn run(shell: &mut Shell, line: &str) -> Outcome {
    let line = line.trim_start_matches(['\\', '.']);
    let end = line.find(|letter: char| letter.is_whitespace() || letter == ';').unwrap_or(line.len());
    let command = find(&line[..end])?;
    // People end lines with a semicolon here as well.
    (command.run)(shell, line[end..].trim().trim_end_matches(';').trim_end()).await
}

/// What a question is answered with: all periods, or the last ones where it says so.
async fn answer(shell: &mut Shell, rest: &str) -> Result<Answer> {
    let asked = read_question(rest)?;
    let question = asked.question;
    let mut answer = shell.ask(move |engine| async move { engine.show(&question).await }).await?;
    if let Some(last) = asked.last {
        let session = shell.session().await?;
        answer.rows = last_periods(&answer, last, &session.engine().model().project.calendar)?;
    }
    Ok(answer)
}

async fn show_kpi(shell: &mut Shell, rest: &str) -> Outcome {
    let answer = answer(shell, rest).await?;
    let session = shell.session().await?;
    if shell.is_for_people() {
        let text = as_table(&shell.printer, &answer, session.engine().model())?;
        shell.screen().put(text)?;
    } else {
        shell.give(&answer.schema, answer.rows.clone())?;
    }
    Ok(shell.keep(answer.schema, vec![answer.rows]).await?)
}

async fn draw(shell: &mut Shell, rest: &str) -> Outcome {
    let (first, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (form, rest) = match Form::named(&first.to_lowercase()) {
        Some(form) => (Some(form), behind.trim()),
        None => (None, rest),
    };
    let is_colored = shell.printer.colors_data();
    if rest.is_empty() {
        let last = shell.last.clone().ok_or_else(nothing_yet)?;
        if last.is_cut {
            let error = Error::config("the last result was cut, so a chart of it would show only its beginning");
            return Err(error.with_hint("run it again after `\\rows 0`, or with fewer rows").into());
        }
        let chart = charted::of_rows(&last.schema, &last.rows)?;
        let format = |value: f64| format_number(Some(value), None, None);
        let text = chart::draw(&chart, form.unwrap_or(Form::Line), shell.printer.window(), &format, is_colored);
        return Ok(shell.printer.data(text)?);
    }
    let answer = answer(shell, rest).await?;
    let session = shell.session().await?;
    let project = &session.engine().model().project;
    let chart = charted::of_answer(&answer, &project.calendar)?;
    let (unit, currency) = (answer.kpi.unit.as_deref(), project.currency.as_deref());
    let format = |value: f64| format_number(Some(value), unit, currency);
    // One period is no line.
    let natural = if chart.labels.len() < 2 { Form::Bar } else { Form::Line };
    let text = chart::draw(&chart, form.unwrap_or(natural), shell.printer.window(), &format, is_colored);
    shell.printer.data(format!("{} ({})\n{text}", answer.kpi.label, answer.kpi.name))?;
    Ok(shell.keep(answer.schema, vec![answer.rows]).await?)
}

async fn list_kpis(shell: &mut Shell, rest: &str) -> Outcome {
    let session = shell.session().await?;
    let word = rest.to_lowercase();
    let has_word = |text: &str| text.to_lowercase().contains(&word);
    let kpis = session.engine().model().defined().filter(|kpi| {
        word.is_empty() || has_word(&kpi.name) || has_word(&kpi.label) || kpi.tags.iter().any(|tag| has_word(tag))
    });
    let lines: Vec<Vec<comfy_table::Cell>> = kpis
        .map(|kpi| {
            let dimensions: Vec<&str> =
                kpi.dimension_sets.iter().filter(|set| set.len() == 1).map(|set| set[0].as_str()).collect();
            let grains: Vec<&str> = kpi.grains.iter().map(|grain| grain.name()).collect();
            [
                kpi.name.clone(),
                kpi.label.clone(),
                kpi.unit.clone().unwrap_or_default(),
                grains.join(", "),
                dimensions.join(", "),
            ]
            .map(comfy_table::Cell::new)
            .to_vec()
        })
        .collect();
    let count = lines.len();
    let columns = [
        ("KPI", Column::Word),
        ("Label", Column::Text(12)),
        ("Unit", Column::Word),
        ("Grains", Column::Text(6)),
        ("By", Column::Text(10)),
    ];
    if count > 0 {
        shell.screen().put(table(&shell.printer, &columns, lines))?;
    }
    shell.printer.note(crate::commands::count(count, "KPI"));
    Ok(())
}

async fn describe(shell: &mut Shell, rest: &str) -> Outcome {
    let session = shell.session().await?;
    let text = match rest {
        "" => {
            session.look_at_results().await?;
            described::tables(&session, &shell.printer)
        }
        name => described::table(&session, name, &shell.printer).await?,
    };
    Ok(shell.screen().put(text)?)
}

async fn functions(shell: &mut Shell, rest: &str) -> Outcome {
    let session = shell.session().await?;
    Ok(shell.screen().put(described::functions(&session, rest, &shell.printer)?)?)
}

async fn plan(shell: &mut Shell, rest: &str) -> Outcome {
    let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (explain, statement) = match word.to_lowercase().as_str() {
        "analyze" => ("EXPLAIN ANALYZE", behind),
        _ => ("EXPLAIN", rest),
    };
    let last = || shell.statement.clone();
    let statement = match statement.trim() {
        "" => last().ok_or_else(|| Error::config("there is no statement to plan yet"))?,
        statement => statement.to_owned(),
    };
    let text = format!("{explain} {statement}");
    let end = text.len();
    // It is drawn for people, whatever rows are written as.
    let mode = std::mem::replace(&mut shell.settings.mode, Mode::Table);
    let outcome = shell.run_statement(Written::new("the statement", &text, 0..end)).await;
    shell.settings.mode = mode;
    outcome
}

fn nothing_yet() -> Error {
    Error::config("there is no result yet")
}

fn last(shell: &mut Shell) -> Result<()> {
    let last = shell.last.clone().ok_or_else(nothing_yet)?;
    shell.screen().show(&last, true)?;
    shell.screen().footer(&last);
    Ok(())
}

/// A path as people type it: perhaps in quotes, perhaps from their home.
fn path(text: &str) -> Result<PathBuf> {
    let text = text.trim().trim_matches('\'').trim_matches('"');
    if text.is_empty() {
        return Err(Error::config("which file?"));
    }
    Ok(match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(text),
    })
}

fn save(shell: &mut Shell, rest: &str) -> Result<()> {
    let path = path(rest)?;
    let is_sql = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("sql"));
    if is_sql {
        let statement = shell.statement.clone().ok_or_else(|| Error::config("there is no statement yet"))?;
        let mut sink = FileSink::create(&path)?;
        sink.write(format!("{};\n", statement.trim_end()).as_bytes())?;
        sink.finish()?;
        shell.printer.note(format_args!("the statement is in `{}`", path.display()));
        return Ok(());
    }
    let mode = Mode::of_file(&path).ok_or_else(|| {
        no_format(&path)
            .with_hint("it may be .csv, .json, .jsonl, .md, .parquet, .arrow, .txt, or .sql for the statement")
    })?;
    let Last { schema, rows: batches, is_cut } = shell.last.clone().ok_or_else(nothing_yet)?;
    if is_cut {
        return Err(Error::config("the last result was cut, so a file of it would lack rows").with_hint(format!(
            "`COPY (SELECT ...) TO '{}'` writes all of them, or run it again after `\\rows 0`",
            path.display()
        )));
    }
    if matches!(mode, Mode::Parquet | Mode::Arrow) {
        refuse_repeated_names(&schema)?;
    }
    let mut sink = FileSink::create(&path)?;
    let mut encoder = Encoder::new(mode, &schema);
    let mut count = 0;
    for batch in batches {
        count += batch.num_rows();
        sink.write(&encoder.add(batch)?)?;
    }
    sink.write(&encoder.finish()?)?;
    sink.finish()?;
    shell.printer.note(format_args!("{} in `{}`", rows(count), path.display()));
    Ok(())
}

async fn read(shell: &mut Shell, rest: &str) -> Outcome {
    let path = path(rest)?;
    shell.read(&path).await
}

fn edit(shell: &mut Shell, rest: &str) -> Result<()> {
    if !shell.is_interactive {
        return Err(Error::config("nobody is there to edit"));
    }
    let begun = match rest {
        "" => shell.statement.as_ref().map(|statement| format!("{statement};\n")).unwrap_or_default(),
        _ => text_of(&path(rest)?)?,
    };
    let written = editor::edit(&begun)?;
    shell.draft = Some(written.trim_end().to_owned()).filter(|text| !text.is_empty());
    Ok(())
}

fn mode(shell: &mut Shell, rest: &str) -> Result<()> {
    if rest.is_empty() {
        shell.printer.note(format_args!("the mode is {}", shell.settings.mode.name()));
        return Ok(());
    }
    let word = rest.to_lowercase();
    let all = Mode::value_variants().iter().copied();
    let is_offered = !shell.is_interactive;
    let names = || all.clone().filter(move |mode| is_offered || mode.is_text()).map(Mode::name);
    let known = all.clone().find(|mode| mode.name() == word);
    let mode = known.ok_or_else(|| {
        let error = Error::config(format!("there is no mode `{rest}`"));
        match nearest(&word, names()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint(format!("it is one of {}", names().collect::<Vec<_>>().join(", "))),
        }
    })?;
    if shell.is_interactive && !mode.is_text() {
        return Err(Error::config(format!("{} is nothing to look at", mode.name()))
            .with_hint(format!("`\\save FILE.{}` writes the last result so", mode.name())));
    }
    shell.settings.mode = mode;
    shell.printer.note(format_args!("the mode is {}", mode.name()));
    Ok(())
}

fn fetched(shell: &mut Shell, rest: &str) -> Result<()> {
    if !rest.is_empty() {
        let number = rest.replace(['_', ','], "").parse();
        shell.settings.rows = number.map_err(|_| Error::config(format!("`{rest}` is no number of rows")))?;
    }
    match shell.settings.rows {
        0 => shell.printer.note("all rows are fetched"),
        number => shell.printer.note(format_args!("at most {} are fetched", rows(number))),
    }
    Ok(())
}

fn switch(name: &str, word: &str, now: bool) -> Result<bool> {
    match word.to_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        "" => Ok(!now),
        _ => Err(Error::config(format!("`\\{name}` is on or off, and not `{word}`"))),
    }
}

fn on_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

async fn set(shell: &mut Shell, rest: &str) -> Outcome {
    let session = shell.session().await?;
    if rest.is_empty() {
        let parameters = session.parameters();
        for (name, parameter) in &parameters {
            let word = parameter.data_type.as_ref().map(type_word).unwrap_or_default();
            shell.printer.data(format!("{name}{word} = {}\n", parameter.text))?;
        }
        if parameters.is_empty() {
            shell.printer.note("no parameter has a value");
        }
        return Ok(());
    }
    let first = rest.split_whitespace().next().unwrap_or_default();
    match rest.split_once(char::is_whitespace) {
        Some((name, value)) if !first.contains('=') => {
            let value = value.trim();
            let text = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
            let (name, value) = read_parameter(&format!("{name}={text}"))?;
            session.set_parameter(name, Some(value));
        }
        _ if first.contains('=') => {
            let (name, value) = read_parameter(rest)?;
            session.set_parameter(name, Some(value));
        }
        _ => session.set_parameter(rest.to_owned(), None),
    }
    Ok(())
}

fn type_word(data_type: &DataType) -> String {
    let known = kpi::query::TYPES.iter().find(|(_, known)| known == data_type);
    known.map(|(word, _)| format!(":{word}")).unwrap_or_default()
}

async fn mistakes(shell: &mut Shell) -> Outcome {
    let session = shell.session().await?;
    let engine = session.engine();
    let diagnostics = engine.diagnostics();
    match diagnostics.len() {
        0 => shell.printer.note("the definitions have no mistakes"),
        _ => shell.printer.diagnostics(&diagnostics, engine.sources()),
    }
    Ok(())
}

fn help(shell: &mut Shell, rest: &str) -> Result<()> {
    let mut text = String::new();
    if rest.is_empty() {
        text.push_str("SQL ends with a semicolon. A command begins with a backslash and ends with its line.\n\n");
        let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0) + 1;
        for command in &COMMANDS {
            let name = format!("\\{}", command.name);
            text.push_str(&format!("{name:width$}  {}\n", command.about));
        }
        text.push_str(
            "\nSELECT * FROM kpi('close_rate', by => 'region', grain => 'month');   a KPI as a table\n\
             SELECT * FROM results.close_rate;                                    as it was published last\n\
             SELECT * FROM definitions.kpis;                                      what is defined\n\
             SELECT * FROM 'exports/deals.parquet';                               a file, or a URL\n\n\
             Tab completes, Ctrl-R searches what was typed before, Ctrl-C interrupts, Ctrl-D leaves.\n\
             `\\help kpi` shows one command with examples.\n",
        );
        return shell.screen().put(text);
    }
    let command = find(rest.trim_start_matches('\\'))?;
    text.push_str(&format!("\\{} {}\n{}\n", command.name, command.arguments, command.about));
    if let Some(alias) = command.alias {
        text.push_str(&format!("The same: \\{alias}\n"));
    }
    if !command.examples.is_empty() {
        text.push('\n');
    }
    command.examples.iter().for_each(|example| text.push_str(&format!("  {example}\n")));
    shell.screen().put(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_habit_is_answered() {
        for (words, hint) in HABITS {
            for word in words {
                let error = find(word).err().unwrap_or_else(|| panic!("`\\{word}` does something else"));
                assert_eq!(error.hint(), Some(hint), "{word}");
            }
        }
    }
}
