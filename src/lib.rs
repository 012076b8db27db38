//! KPIs from definitions in YAML and SQL, computed by embedded Apache DataFusion and published as whole versions.
//!
//! This page is the map of the source tree; the language and its meaning are described in `README.md`. People use the
//! program `kpi`, which is a thin user of this library. To see the whole story at once, read [`engine`] first.
//!
//! # The path of a KPI
//!
//! ```text
//! files below kpis/  --load-->  spec  --validate-->  model  --compile, plan-->  LogicalPlan  --execute-->  Arrow rows
//!                                          ^                                        ^                          |
//!                                    session, catalog                            survey                audit, store, report
//! ```
//!
//! [`load`] reads what was written, [`validate`] finds out what is meant, [`compile`] says it in DataFusion's terms,
//! [`plan`] lets many KPIs share few scans, [`execute`] runs that, and the result is audited and published in one step.
//! Stages are functions and own the type that they return. Whoever holds a [`model::Kpi`] need not check anything again.
//!
//! # Floors
//!
//! A module imports from its own floor and from those below it, never upward and never in a circle; `tests/layers.rs`
//! holds it to that.
//!
//! | floor | modules | what they have | what is deliberately absent |
//! |---|---|---|---|
//! | 0 | [`error`], [`secrets`], [`diagnostic`], [`time`], [`days`], [`machine`] | failures and what they must not say, mistakes with a place, calendar arithmetic, sets of days, the machine at hand | DataFusion; the clock |
//! | 1 | [`functions`], [`cube`], [`frames`], [`location`], [`spec`], [`load`] | SQL functions, operators for many cells and for many frames at once, paths and object stores, the language as types, reading files | whether a name exists; only `load` knows YAML |
//! | 2 | [`session`], [`catalog`] | DataFusion's settings; files as raw rows | casts, renames and filters, which are a table's definition |
//! | 3 | [`model`], [`validate`] | names resolved, expressions typed, joins proven | values; nothing is read beyond schemas |
//! | 4 | [`compile`] | one KPI, one grain, one set of dimensions as a plan | where the rows come from, which is left open |
//! | 5 | [`plan`] | which periods a change of the data touches, which KPIs share a pass, and which the same rows | any influence on a value |
//! | 6 | [`execute`], [`survey`], [`profile`] | queries that run; which days the data covers, what tables hold | publishing |
//! | 7 | [`audit`], [`testing`], [`materialize`], [`report`], [`store`], [`generate`] | judging, encoding, showing, keeping; sample data | computing |
//! | 8 | [`engine`] | all of it, in order | decisions about what a value means |
//! | 9 | [`query`] | SQL over a project, and KPIs in it | changes to definitions and results |
//! | 10 | the program, `src/bin/kpi` | words, tables, colors, exit codes | computing; only its printer prints |
//!
//! Further rules, tested where a test can see them: the library never prints; SQL is never glued together from strings,
//! but parsed, resolved and typed against the real schemas, and the SQL that people see is written from the plan; mistakes
//! in a user's files are [`diagnostic::Diagnostic`]s, collected and shown all at once, while an [`error::Error`] is a
//! failure of the tool or of the data and ends what was being done.
//!
//! # Where things are added
//!
//! - A **shape** of KPI: a variant of [`model::Shape`], its keys in [`spec`], its rules in [`validate`], a file in [`compile`].
//! - An **object store**: how it is opened, in [`location`]'s `stores`.
//! - A **table format**: a file in [`catalog`] that gives a `TableProvider`.
//! - An **output format**: an encoder in [`materialize`], which is pure.
//! - A **function that a pass computes**: how its groups are kept and brought together, in [`cube`]; `plan` says which take part.
//! - A **function that levels and windows walk through**: how it is added and taken away again, in [`frames`].
//! - A **SQL function**: in [`functions`], which registers all of them in one place.
//! - A piece of **advice**: a function in [`validate`]'s `advice`.
//! - A kind of **test**: its keys in [`spec`], its rules in [`validate`], how it is counted in [`testing`].
//! - A **command**: a file in `src/bin/kpi/commands`, and a variant in `args.rs`.
//!
//! # Embedding
//!
//! ```no_run
//! use kpi::engine::{Engine, EngineOptions, Question, RunOptions};
//!
//! # async fn example() -> kpi::error::Result<()> {
//! let engine = Engine::open(&EngineOptions { project: "crm".into(), ..Default::default() }).await?;
//! for mistake in engine.diagnostics() {
//!     // What has a mistake is left out; everything else can be asked.
//!     eprintln!("{}: {}", mistake.code, mistake.message);
//! }
//!
//! // One KPI, computed now; nothing is published.
//! let question = Question { kpi: "close_rate".into(), by: vec!["region".into()], ..Default::default() };
//! let answer = engine.show(&question).await?;
//! println!("{} rows of {:?}", answer.rows.num_rows(), answer.schema);
//!
//! // All KPIs, audited and published together.
//! let report = engine.run(&RunOptions::default(), &|progress| eprintln!("{progress:?}")).await?;
//! println!("version {:?} in {}", report.version, report.output);
//! # Ok(())
//! # }
//! ```

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

// Floor 0: words that everybody uses.
pub mod days;
pub mod diagnostic;
pub mod error;
pub mod machine;
pub mod secrets;
pub mod time;

// Floor 1: what was written.
pub mod cube;
pub mod frames;
pub mod functions;
pub mod load;
pub mod location;
pub mod spec;

// Floor 2: where the data lives.
pub mod catalog;
pub mod session;

// Floor 3: what is meant.
pub mod model;
pub mod validate;

// Floor 4: one KPI as a plan.
pub mod compile;

// Floor 5: many KPIs, few scans.
pub mod plan;

// Floor 6: queries that run.
pub mod execute;
pub mod profile;
pub mod survey;

// Floor 7: results out.
pub mod audit;
pub mod generate;
pub mod materialize;
pub mod report;
pub mod store;
pub mod testing;

// Floor 8: the whole pipeline. Read this one first.
pub mod engine;

// Floor 9: questions that nobody has defined.
pub mod query;
