//! The text of queries: read with their settings, the tables that they name, and where in the file a word of them stands.
//!
//! What a query gives is not looked at here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Query as SqlQuery, SetExpr, Statement as SqlStatement, Visit, Visitor, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::expression::{Language, UNREPEATABLE, list, swallowing_comparison, write_zone};
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, Span};
use crate::spec::{Spanned, TableSpec, line_column_to_char, source_span};

/// What DataFusion does not like about a query, at its place.
pub(super) fn invalid_query(language: &Language, query: &Spanned<String>, error: &DataFusionError) -> Diagnostic {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| {
        let char_at = |location: datafusion::common::Location| {
            line_column_to_char(&query.value, location.line as usize, location.column as usize)
        };
        let text = &language.sources.get(query.span.file).text;
        let (start, end) = (char_at(span.start), char_at(span.end));
        source_span(text, query.span, &query.value, start, end.max(start + 1))
    });
    Diagnostic::error("invalid-query", format!("the query is not valid: {}", typing::message(error)))
        .at(span.unwrap_or(query.span))
}

/// A function in a query that answers differently at each run.
pub(super) fn unrepeatable(plan: &LogicalPlan) -> Option<String> {
    let mut found = None;
    let visited = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| match part {
                Expr::ScalarFunction(call)
                    if UNREPEATABLE.contains(&call.name())
                        || call.func.signature().volatility == Volatility::Volatile =>
                {
                    found = Some(call.name().to_owned());
                    Ok(TreeNodeRecursion::Stop)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    });
    visited.ok().and(found)
}

pub(super) fn parse_query(language: &Language, query: &Spanned<String>, problems: &mut Problems) -> Option<Statement> {
    let mut statements = problems.take(language.parse_statements(query))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(mut sql @ SqlStatement::Query(_)), true) => {
            let mut swallowing = None;
            let _: ControlFlow<()> = visit_expressions_mut(&mut sql, |expression| {
                swallowing = swallowing.take().or_else(|| swallowing_comparison(expression));
                if let SqlExpr::Function(function) = expression {
                    write_zone(function, language.time_zone);
                }
                ControlFlow::Continue(())
            });
            if let Some(word) = writing_word(&sql) {
                let place = place_of_word(language, query, word).unwrap_or(query.span);
                problems.add(not_a_query().at(place));
                return None;
            }
            if let Some(mistake) = swallowing {
                problems.add(mistake.at(find_word(language, query, "DISTINCT")));
                return None;
            }
            Some(Statement::Statement(Box::new(sql)))
        }
        _ => {
            let first = query.value.split_whitespace().next().unwrap_or_default();
            problems.add(not_a_query().at(find_word(language, query, first)));
            None
        }
    }
}

fn not_a_query() -> Diagnostic {
    Diagnostic::error("not-a-query", "a definition holds one SELECT and nothing else")
        .hint("write `SELECT ... FROM ...`; a definition only reads")
}

/// Where a word of SQL stands in a query, whatever texts and names in quotes say.
fn place_of_word(language: &Language, query: &Spanned<String>, word: &str) -> Option<Span> {
    let tokens = Tokenizer::new(&GenericDialect {}, &query.value).tokenize_with_location().ok()?;
    let is_it = |token: &Token| matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word));
    let found = tokens.iter().find(|token| is_it(&token.token))?.span.start;
    let start = line_column_to_char(&query.value, found.line as usize, found.column as usize);
    let file = &language.sources.get(query.span.file).text;
    Some(source_span(file, query.span, &query.value, start, start + word.chars().count()))
}

/// The word by which a part of a query would write something.
fn writing_word(statement: &SqlStatement) -> Option<&'static str> {
    struct Writing;

    impl Visitor for Writing {
        type Break = &'static str;

        fn pre_visit_query(&mut self, query: &SqlQuery) -> ControlFlow<&'static str> {
            word(&query.body).map_or(ControlFlow::Continue(()), ControlFlow::Break)
        }
    }

    fn word(body: &SetExpr) -> Option<&'static str> {
        match body {
            SetExpr::Select(select) => select.into.is_some().then_some("INTO"),
            SetExpr::SetOperation { left, right, .. } => word(left).or_else(|| word(right)),
            SetExpr::Insert(_) => Some("INSERT"),
            SetExpr::Update(_) => Some("UPDATE"),
            SetExpr::Delete(_) => Some("DELETE"),
            SetExpr::Merge(_) => Some("MERGE"),
            SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => None,
        }
    }

    match statement.visit(&mut Writing) {
        ControlFlow::Break(word) => Some(word),
        ControlFlow::Continue(()) => None,
    }
}

pub(super) fn used_tables(context: &SessionContext, statement: &Statement) -> BTreeSet<String> {
    let references = context.state().resolve_table_references(statement).unwrap_or_default();
    references.into_iter().map(|reference| reference.table().to_owned()).collect()
}

/// The place of a word in a query; the query's own place where it cannot be found.
pub(super) fn find_word(language: &Language, query: &Spanned<String>, word: &str) -> Span {
    let text = &query.value;
    let Some(at) = word_in(text, word) else { return query.span };
    let start = text[..at].chars().count();
    let file = &language.sources.get(query.span.file).text;
    source_span(file, query.span, text, start, start + word.chars().count())
}

/// Where a word stands in a text and is not part of a longer one.
pub(super) fn word_in(text: &str, word: &str) -> Option<usize> {
    let is_letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !is_letter(text[..*at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next()))
}

/// Derived tables, each behind the derived tables that it reads. Those in a cycle are reported and left out.
pub(super) fn in_dependency_order<'a>(
    context: &SessionContext,
    language: &Language,
    specs: &BTreeMap<String, &'a TableSpec>,
    problems: &mut Problems,
) -> Vec<(String, &'a TableSpec)> {
    let mut waiting: BTreeMap<String, (&TableSpec, BTreeSet<String>)> = BTreeMap::new();
    for (name, spec) in specs {
        let Some(query) = &spec.query else { continue };
        // What cannot be read is reported with its table.
        let statement = language.parse_statements(query).ok().and_then(|mut statements| statements.pop());
        let statement = statement.map(|statement| Statement::Statement(Box::new(statement)));
        let used = statement.map(|statement| used_tables(context, &statement)).unwrap_or_default();
        let used = used.into_iter().filter(|used| specs.get(used).is_some_and(|spec| spec.query.is_some())).collect();
        waiting.insert(name.clone(), (spec, used));
    }
    let mut ordered = Vec::new();
    while let Some(name) = waiting
        .iter()
        .find(|(_, (_, used))| used.iter().all(|used| !waiting.contains_key(used)))
        .map(|(name, _)| name.clone())
    {
        if let Some((spec, _)) = waiting.remove(&name) {
            ordered.push((name, spec));
        }
    }
    for (name, (spec, used)) in &waiting {
        problems.add(
            Diagnostic::error(
                "cycle",
                format!("table `{name}` is made from itself, through {}", list(used.iter().map(String::as_str))),
            )
            .at(spec.table.span)
            .hint("a query reads other tables only; leave one of them out"),
        );
    }
    ordered
}
