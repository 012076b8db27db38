//! From the text of an expression to SQL whose every name is resolved.
//!
//! Names are looked up here rather than by DataFusion, because a definition's names are more than columns: dimensions,
//! predicates, paths through joins, settings, other KPIs. What comes out is ordinary SQL over qualified columns, which
//! DataFusion then types. Mistakes carry the place of the word itself, also inside quoted or block scalars.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned as _,
    Statement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan, Token, TokenWithSpan, Tokenizer};

use crate::diagnostic::{Diagnostic, Sources, Span, nearest};
use crate::functions::ZONED;
use crate::model::{JoinPath, join_alias};
use crate::spec::{SettingValue, Spanned, line_column_to_char, source_span};

/// An expression as parsed, with its text for placing mistakes.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    pub sql: SqlExpr,
    pub text: Spanned<String>,
}

/// An expression over qualified columns, and the joins that it needs.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub sql: SqlExpr,
    pub joins: BTreeSet<JoinPath>,
}

/// What parsing needs to know of the project.
pub(super) struct Language<'a> {
    pub sources: &'a Sources,
    pub settings: &'a BTreeMap<String, SettingValue>,
    pub time_zone: &'a str,
    /// All functions that an expression may call, in lower case.
    pub functions: &'a BTreeSet<String>,
    /// Those of them that bring many rows together.
    pub aggregates: &'a BTreeSet<String>,
}

/// The names that a table offers to expressions.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub table: String,
    pub columns: Vec<String>,
    pub dimensions: BTreeMap<String, Parsed>,
    pub predicates: BTreeMap<String, Parsed>,
    /// Join name to table name.
    pub joins: BTreeMap<String, String>,
}

/// The names of all tables, by table. A table that is absent or broken is not in it.
pub(super) type Namespace = BTreeMap<String, Names>;

/// Why a name could not be resolved.
pub(super) enum Unresolved {
    /// A mistake, to report.
    Mistake(Box<Diagnostic>),
    /// The named table has no data, or its own mistakes are already reported.
    Missing { table: String },
    /// The mistake lies in another definition, which reports it itself.
    Elsewhere,
}

impl From<Diagnostic> for Unresolved {
    fn from(diagnostic: Diagnostic) -> Self {
        Unresolved::Mistake(Box::new(diagnostic))
    }
}

/// Longer expressions are made by programs, and deep ones end the parser's stack.
const TOKENS_AT_MOST: usize = 4_000;

impl Language<'_> {
    /// Reads one SQL expression.
    pub fn parse(&self, text: &Spanned<String>) -> Result<Parsed, Box<Diagnostic>> {
        let dialect = GenericDialect {};
        let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
            let place = self.place(text, SqlSpan::new(error.location, error.location));
            let message = format!("this is no SQL expression: {}", lower_first(&error.message));
            Box::new(Diagnostic::error("sql-syntax", message).at(place))
        })?;
        if tokens.len() > TOKENS_AT_MOST {
            return Err(Box::new(
                Diagnostic::error(
                    "sql-syntax",
                    format!("the expression has {} words, which is too long", tokens.len()),
                )
                .at(text.span)
                .hint("put a long list of values into a table and join to it"),
            ));
        }
        let tokens = self.write_settings(text, tokens)?;
        let tokens = quote_lengths(tokens);
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let sql = parser
            .parse_expr()
            .map_err(|error| Box::new(self.syntax_error("this is no SQL expression", text, &error.to_string())))?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            return Err(Box::new(
                Diagnostic::error(
                    "sql-syntax",
                    format!("this is no SQL expression: `{}` was not expected here", next.token),
                )
                .at(self.place(text, next.span))
                .hint(behind_an_expression(text, &next.token)),
            ));
        }
        Ok(Parsed { sql, text: text.clone() })
    }

    /// Reads the statements of a query, with the values of settings written in.
    pub fn parse_statements(&self, text: &Spanned<String>) -> Result<Vec<Statement>, Box<Diagnostic>> {
        const CLAIM: &str = "the query cannot be read";
        let dialect = GenericDialect {};
        let tokens = Tokenizer::new(&dialect, text)
            .tokenize_with_location()
            .map_err(|error| Box::new(self.syntax_error(CLAIM, text, &error.to_string())))?;
        let tokens = self.write_settings(text, tokens)?;
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        parser.parse_statements().map_err(|error| Box::new(self.syntax_error(CLAIM, text, &error.to_string())))
    }

    /// The place in the file of a place in the expression.
    pub fn place(&self, text: &Spanned<String>, span: SqlSpan) -> Span {
        if span.start.line == 0 {
            return text.span;
        }
        let position =
            |location: Location| line_column_to_char(&text.value, location.line as usize, location.column as usize);
        let (start, end) = (position(span.start), position(span.end));
        let file = &self.sources.get(text.span.file).text;
        source_span(file, text.span, &text.value, start, end.max(start + 1))
    }

    /// A text that is no SQL, such as a length of time, with its settings written in.
    pub fn with_settings(&self, text: &Spanned<String>) -> Result<Spanned<String>, Diagnostic> {
        let mut written = String::new();
        let mut rest = text.value.as_str();
        while let Some((front, behind)) = rest.split_once("{{") {
            let Some((name, behind)) = behind.split_once("}}") else { break };
            let name = name.trim();
            let Some(value) = self.settings.get(name) else { return Err(self.unknown_setting(name).at(text.span)) };
            written.push_str(front);
            written.push_str(&match value {
                SettingValue::Boolean(value) => value.to_string(),
                SettingValue::Integer(value) => value.to_string(),
                SettingValue::Number(value) => value.to_string(),
                SettingValue::Text(value) => value.clone(),
                SettingValue::Nothing => return Err(without_value(name).at(text.span)),
            });
            rest = behind;
        }
        Ok(Spanned::new(written + rest, text.span))
    }

    fn unknown_setting(&self, name: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error("unknown-setting", format!("there is no setting `{name}`"));
        match nearest(name, self.settings.keys().map(String::as_str)) {
            Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
            None => diagnostic.hint(format!("declare it in the project: `settings: {{{name}: ...}}`")),
        }
    }

    /// Puts the value of each `{{ name }}` in its place.
    fn write_settings(
        &self,
        text: &Spanned<String>,
        tokens: Vec<TokenWithSpan>,
    ) -> Result<Vec<TokenWithSpan>, Box<Diagnostic>> {
        let mut written = Vec::with_capacity(tokens.len());
        let significant: Vec<usize> =
            (0..tokens.len()).filter(|index| !matches!(tokens[*index].token, Token::Whitespace(_))).collect();
        let token = |position: usize| significant.get(position).map(|index| &tokens[*index].token);
        let mut position = 0;
        let mut index = 0;
        while index < tokens.len() {
            while position < significant.len() && significant[position] < index {
                position += 1;
            }
            let opens = significant.get(position) == Some(&index)
                && token(position) == Some(&Token::LBrace)
                && token(position + 1) == Some(&Token::LBrace);
            if !opens {
                written.push(tokens[index].clone());
                index += 1;
                continue;
            }
            let at = |position: usize| tokens[significant[position]].span;
            let (Some(Token::Word(word)), Some(Token::RBrace), Some(Token::RBrace)) =
                (token(position + 2), token(position + 3), token(position + 4))
            else {
                return Err(Box::new(
                    Diagnostic::error("sql-syntax", "a setting is written `{{ name }}`")
                        .at(self.place(text, at(position))),
                ));
            };
            let Some(value) = self.settings.get(&word.value) else {
                return Err(Box::new(self.unknown_setting(&word.value).at(self.place(text, at(position + 2)))));
            };
            let span = SqlSpan::new(at(position).start, at(position + 4).end);
            written.push(TokenWithSpan::new(setting_token(value), span));
            index = significant[position + 4] + 1;
        }
        Ok(written)
    }

    /// A complaint of the parser at its place in the file.
    pub fn syntax_error(&self, claim: &str, text: &Spanned<String>, message: &str) -> Diagnostic {
        let message = message.trim_start_matches("sql parser error: ");
        let (what, place) = match message.rsplit_once(" at Line: ") {
            Some((what, place)) => (what, read_place(place)),
            None => (message, None),
        };
        let span = match place {
            Some(location) => self.place(text, SqlSpan::new(location, end_of_word(text, location))),
            // The parser gives no place for the end of the text.
            None => Span { start: text.span.end.saturating_sub(1), ..text.span },
        };
        let what = what.replace("found: EOF", "but the expression ends here");
        let what = what.replace("recursion limit exceeded", "it is nested too deeply");
        Diagnostic::error("sql-syntax", format!("{claim}: {}", lower_first(&what))).at(span)
    }

    /// The first aggregate in an expression that looks at one row at a time, as a mistake; `what` is the key it stands in.
    pub fn aggregate_in_row(&self, parsed: &Parsed, what: &str) -> Option<Diagnostic> {
        let found = self.aggregates_in(&parsed.sql).into_iter().next()?;
        let name = found.name.to_string().to_lowercase();
        let message = format!("`{name}` brings rows together, but {what} looks at one row at a time");
        let diagnostic =
            Diagnostic::error("misplaced-aggregate", message).at(self.place(&parsed.text, found.name.span()));
        Some(diagnostic.hint("compute it in a derived table (a `.sql` file) and join to that"))
    }

    /// The first aggregate inside an aggregate or its filter, as a mistake.
    pub fn nested_aggregate(&self, parsed: &Parsed) -> Option<Diagnostic> {
        let outer = self.aggregates_in(&parsed.sql);
        let inner = outer.iter().find_map(|function| {
            let mut parts: Vec<&SqlExpr> = function.filter.iter().map(|filter| filter.as_ref()).collect();
            parts.extend(function.within_group.iter().map(|order| &order.expr));
            if let FunctionArguments::List(list) = &function.args {
                parts.extend(list.args.iter().filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)) => Some(sql),
                    _ => None,
                }));
            }
            parts.into_iter().find_map(|part| self.aggregates_in(part).into_iter().next())
        })?;
        let name = inner.name.to_string().to_lowercase();
        Some(
            Diagnostic::error("nested-aggregate", format!("the aggregate `{name}` stands inside an aggregate"))
                .at(self.place(&parsed.text, inner.name.span()))
                .hint("compute the inner one in a derived table (a `.sql` file)"),
        )
    }

    /// The aggregates in an expression, outer ones first.
    pub fn aggregates_in(&self, sql: &SqlExpr) -> Vec<Function> {
        let mut found = Vec::new();
        // Nothing is changed and no visit fails.
        let _ = walk(&mut sql.clone(), Order::WholeFirst, &mut |sql| {
            if let SqlExpr::Function(function) = sql
                && self.is_aggregate(function)
                && function.over.is_none()
            {
                found.push(function.clone());
            }
            Ok(())
        });
        found
    }

    fn is_aggregate(&self, function: &Function) -> bool {
        self.aggregates.contains(&function.name.to_string().to_lowercase())
    }
}

/// What to do about a word behind a complete expression.
fn behind_an_expression(text: &str, token: &Token) -> &'static str {
    let is_query = text.trim_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case("select "));
    match token {
        _ if is_query => "write only what stands between SELECT and FROM; the table is `from`, the condition `where`",
        Token::Word(word) if word.value.eq_ignore_ascii_case("as") => "leave the name out; it is the definition's own",
        _ => "write one expression; text stands in single quotes, names with blanks in double quotes",
    }
}

/// The end of the word that begins at a place, so that all of it is marked.
fn end_of_word(text: &str, start: Location) -> Location {
    let start_of_word = line_column_to_char(text, start.line as usize, start.column as usize);
    let letters = text.chars().skip(start_of_word).take_while(|letter| letter.is_alphanumeric() || *letter == '_');
    Location::new(start.line, start.column + letters.count() as u64)
}

fn read_place(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn setting_token(value: &SettingValue) -> Token {
    match value {
        SettingValue::Boolean(value) => Token::make_keyword(if *value { "TRUE" } else { "FALSE" }),
        SettingValue::Integer(value) => Token::Number(value.to_string(), false),
        SettingValue::Number(value) => Token::Number(format!("{value:?}"), false),
        SettingValue::Text(value) => Token::SingleQuotedString(value.clone()),
        SettingValue::Nothing => Token::make_keyword("NULL"),
    }
}

/// `previous(x, 1 year)` is how people write a length; SQL wants it in quotes.
fn quote_lengths(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const UNITS: [&str; 10] =
        ["day", "days", "week", "weeks", "month", "months", "quarter", "quarters", "year", "years"];
    let mut written: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if let Token::Word(word) = &token.token
            && UNITS.contains(&word.value.to_lowercase().as_str())
        {
            let before = written.iter().rposition(|token| !matches!(token.token, Token::Whitespace(_)));
            if let Some(index) = before
                && index + 1 < written.len()
                && let Token::Number(count, _) = &written[index].token
            {
                let text = format!("{count} {}", word.value.to_lowercase());
                let span = SqlSpan::new(written[index].span.start, token.span.end);
                written.truncate(index);
                written.push(TokenWithSpan::new(Token::SingleQuotedString(text), span));
                continue;
            }
        }
        written.push(token);
    }
    written
}

/// Resolves the names of row-level SQL: columns, dimensions, predicates and paths through joins of `table`.
pub(super) fn resolve(
    language: &Language,
    namespace: &Namespace,
    table: &str,
    parsed: &Parsed,
) -> Result<Resolved, Unresolved> {
    resolve_inside(language, namespace, table, parsed, &mut Vec::new())
}

/// Resolves the definition of a dimension or predicate: its own name inside means the column of that name.
pub(super) fn resolve_definition(
    language: &Language,
    namespace: &Namespace,
    table: &str,
    name: &str,
    parsed: &Parsed,
) -> Result<Resolved, Unresolved> {
    resolve_inside(language, namespace, table, parsed, &mut vec![(table.to_owned(), name.to_owned())])
}

fn resolve_inside(
    language: &Language,
    namespace: &Namespace,
    table: &str,
    parsed: &Parsed,
    within: &mut Vec<(String, String)>,
) -> Result<Resolved, Unresolved> {
    let mut resolver = Resolver { language, namespace, text: &parsed.text, joins: BTreeSet::new(), within };
    let sql = resolver.rewrite(parsed.sql.clone(), table, &[])?;
    Ok(Resolved { sql, joins: resolver.joins })
}

struct Resolver<'a, 'w> {
    language: &'a Language<'a>,
    namespace: &'a Namespace,
    text: &'a Spanned<String>,
    joins: BTreeSet<JoinPath>,
    /// The definitions being written out, so that one cannot contain itself.
    within: &'w mut Vec<(String, String)>,
}

impl Resolver<'_, '_> {
    fn rewrite(&mut self, mut sql: SqlExpr, table: &str, path: &[String]) -> Result<SqlExpr, Unresolved> {
        check_functions(self.language, self.text, &mut sql)?;
        rewrite_names(&mut sql, &mut |parts: &[Ident]| self.look_up(parts, table, path))?;
        Ok(sql)
    }

    fn look_up(&mut self, parts: &[Ident], table: &str, path: &[String]) -> Result<SqlExpr, Unresolved> {
        let Some(names) = self.namespace.get(table) else {
            return Err(Unresolved::Missing { table: table.to_owned() });
        };
        match parts {
            [] => Err(Unresolved::Elsewhere),
            [name] => self.look_up_here(name, names, path),
            [first, rest @ ..] => {
                if let Some((join, target)) = find(first, names.joins.iter()) {
                    let path: JoinPath = path.iter().chain([join]).cloned().collect();
                    self.joins.extend((1..=path.len()).map(|length| path[..length].to_vec()));
                    return self.look_up(rest, target, &path);
                }
                if path.is_empty() && first.value.eq_ignore_ascii_case(&names.table) {
                    return self.look_up(rest, table, path);
                }
                Err(self.unknown_join(first, names).into())
            }
        }
    }

    fn look_up_here(&mut self, name: &Ident, names: &Names, path: &[String]) -> Result<SqlExpr, Unresolved> {
        let definition = find(name, names.dimensions.iter()).or_else(|| find(name, names.predicates.iter()));
        if let Some((found, parsed)) = definition {
            let key = (names.table.clone(), found.clone());
            if !self.within.contains(&key) {
                let parsed = parsed.clone();
                self.within.push(key);
                // A mistake inside is reported where that definition stands.
                let inner = self.rewrite_elsewhere(&parsed, &names.table, path);
                self.within.pop();
                return Ok(SqlExpr::Nested(Box::new(inner?)));
            }
        }
        let Some((column, ())) = find(name, names.columns.iter().map(|column| (column, ()))) else {
            if definition.is_some() && self.within.len() > 1 {
                let through: Vec<&str> = self.within.iter().map(|(_, name)| name.as_str()).collect();
                return Err(Diagnostic::error(
                    "cycle",
                    format!("`{}` is made from itself, through {}", name.value, list(through.into_iter())),
                )
                .at(self.text.span)
                .into());
            }
            return Err(self.unknown_column(name, names).into());
        };
        let relation = if path.is_empty() { names.table.clone() } else { join_alias(path) };
        Ok(SqlExpr::CompoundIdentifier(vec![
            Ident { value: relation, quote_style: Some('"'), span: name.span },
            Ident { value: column.clone(), quote_style: Some('"'), span: name.span },
        ]))
    }

    fn rewrite_elsewhere(&mut self, parsed: &Parsed, table: &str, path: &[String]) -> Result<SqlExpr, Unresolved> {
        self.rewrite(parsed.sql.clone(), table, path).map_err(|problem| match problem {
            // No single definition has the mistake of a cycle.
            Unresolved::Mistake(diagnostic) if diagnostic.code == "cycle" => Unresolved::Mistake(diagnostic),
            Unresolved::Mistake(_) => Unresolved::Elsewhere,
            other => other,
        })
    }

    fn unknown_column(&self, name: &Ident, names: &Names) -> Diagnostic {
        let diagnostic = Diagnostic::error(
            "unknown-column",
            format!("there is no column, dimension or predicate `{}` in `{}`", name.value, names.table),
        )
        .at(self.language.place(self.text, name.span));
        if names.joins.contains_key(&name.value) {
            return diagnostic.hint(format!("`{0}` is a join; write `{0}.` and a column behind it", name.value));
        }
        let known = || {
            let definitions = names.dimensions.keys().chain(names.predicates.keys());
            names.columns.iter().chain(definitions).map(String::as_str)
        };
        match nearest(&name.value, known()) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None if name.quote_style == Some('"') => {
                diagnostic.hint(format!("a text stands in single quotes: `'{}'`", name.value))
            }
            None => diagnostic.hint(format!("`{}` has {}", names.table, list(known()))),
        }
    }

    fn unknown_join(&self, name: &Ident, names: &Names) -> Diagnostic {
        let diagnostic = Diagnostic::error("unknown-join", format!("`{}` has no join `{}`", names.table, name.value))
            .at(self.language.place(self.text, name.span));
        match nearest(&name.value, names.joins.keys().map(String::as_str)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None if names.joins.is_empty() => diagnostic.hint(format!(
                "declare it in table `{}`: `joins: {{{}: {{table: ..., on: ...}}}}`",
                names.table, name.value
            )),
            None => diagnostic.hint(format!("its joins are {}", list(names.joins.keys().map(String::as_str)))),
        }
    }
}

/// A few names for a message, in backticks.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Finds a name exactly, or without regard to case where only one fits.
fn find<'a, V>(name: &Ident, mut among: impl Iterator<Item = (&'a String, V)> + Clone) -> Option<(&'a String, V)> {
    if let Some(exact) = among.clone().find(|(known, _)| **known == name.value) {
        return Some(exact);
    }
    if name.quote_style.is_some() {
        return None;
    }
    let found = among.find(|(known, _)| known.eq_ignore_ascii_case(&name.value))?;
    among.all(|(known, _)| !known.eq_ignore_ascii_case(&name.value)).then_some(found)
}

/// Replaces every identifier by what `look_up` makes of it.
fn rewrite_names(
    sql: &mut SqlExpr,
    look_up: &mut dyn FnMut(&[Ident]) -> Result<SqlExpr, Unresolved>,
) -> Result<(), Unresolved> {
    // What replaces a name is complete, so it is not walked again.
    walk(sql, Order::PartsFirst, &mut |sql| {
        let parts = match sql {
            SqlExpr::Identifier(name) => vec![name.clone()],
            SqlExpr::CompoundIdentifier(parts) => parts.clone(),
            _ => return Ok(()),
        };
        *sql = look_up(&parts)?;
        Ok(())
    })
}

/// The parser takes whatever stands behind `IS DISTINCT FROM` for its right side, also the conditions behind an `AND`: what
/// is meant by it would be something else, in silence.
pub(super) fn swallowing_comparison(sql: &SqlExpr) -> Option<Diagnostic> {
    let (SqlExpr::IsDistinctFrom(left, right) | SqlExpr::IsNotDistinctFrom(left, right)) = sql else { return None };
    let SqlExpr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } = right.as_ref() else { return None };
    let not = if matches!(sql, SqlExpr::IsNotDistinctFrom(..)) { "NOT " } else { "" };
    let message = format!("`{left} IS {not}DISTINCT FROM` would be compared with all that stands behind it");
    let hint = format!("put the comparison into parentheses: `({left} IS {not}DISTINCT FROM ...) AND ...`");
    Some(Diagnostic::error("sql-syntax", message).hint(hint))
}

/// Whether an expression is visited before or behind its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    WholeFirst,
    PartsFirst,
}

fn without_value(setting: &str) -> Diagnostic {
    let hint = format!("write it into the project: `settings: {{{setting}: ...}}`, or say `--set {setting}=...`");
    Diagnostic::error("unknown-setting", format!("the setting `{setting}` has no value")).hint(hint)
}

/// A name as SQL understands it: in lower case unless it is quoted.
pub(super) fn as_meant(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// The columns that an expression over the columns of one table names, as it writes them.
pub(super) fn names_in(sql: &SqlExpr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Nothing is changed and no visit fails.
    let _ = walk(&mut sql.clone(), Order::WholeFirst, &mut |sql| {
        match sql {
            SqlExpr::Identifier(name) => drop(found.insert(name.value.clone())),
            SqlExpr::CompoundIdentifier(parts) => found.extend(parts.last().map(|name| name.value.clone())),
            _ => {}
        }
        Ok(())
    });
    found
}

/// Visits every expression inside an expression, until one is a mistake.
///
/// One function for all visits: each visitor of its own would compile the whole grammar of SQL once more.
pub(super) fn walk(
    sql: &mut SqlExpr,
    order: Order,
    visit: &mut dyn FnMut(&mut SqlExpr) -> Result<(), Unresolved>,
) -> Result<(), Unresolved> {
    struct Walk<'f> {
        order: Order,
        visit: &'f mut dyn FnMut(&mut SqlExpr) -> Result<(), Unresolved>,
    }
    impl Walk<'_> {
        fn step(&mut self, order: Order, sql: &mut SqlExpr) -> ControlFlow<Unresolved> {
            match self.order == order {
                true => (self.visit)(sql).map_or_else(ControlFlow::Break, ControlFlow::Continue),
                false => ControlFlow::Continue(()),
            }
        }
    }
    impl VisitorMut for Walk<'_> {
        type Break = Unresolved;
        fn pre_visit_expr(&mut self, sql: &mut SqlExpr) -> ControlFlow<Unresolved> {
            self.step(Order::WholeFirst, sql)
        }
        fn post_visit_expr(&mut self, sql: &mut SqlExpr) -> ControlFlow<Unresolved> {
            self.step(Order::PartsFirst, sql)
        }
    }
    match sql.visit(&mut Walk { order, visit }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => Err(problem),
    }
}

/// Every function exists and gives the same answer at each run; zones are written in; there are no subqueries, and no
/// comparison takes in what stands behind it.
fn check_functions(language: &Language, text: &Spanned<String>, sql: &mut SqlExpr) -> Result<(), Unresolved> {
    walk(sql, Order::WholeFirst, &mut |sql| match sql {
        SqlExpr::Function(function) => match check_function(language, text, function) {
            Some(diagnostic) => Err(diagnostic.into()),
            None => {
                write_zone(function, language.time_zone);
                Ok(())
            }
        },
        SqlExpr::Subquery(_) | SqlExpr::Exists { .. } | SqlExpr::InSubquery { .. } => {
            Err(Diagnostic::error("subquery", "an expression holds no query of its own")
                .at(language.place(text, sql.span()))
                .hint("make the query a derived table (a `.sql` file) and join to it")
                .into())
        }
        sql => match swallowing_comparison(sql) {
            Some(mistake) => Err(mistake.at(text.span).into()),
            None => Ok(()),
        },
    })
}

/// Functions that answer differently at each run, in lower case.
pub(super) const UNREPEATABLE: [&str; 10] = [
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "today",
    "random",
    "rand",
    "uuid",
    "version",
    "current_user",
];

fn check_function(language: &Language, text: &Spanned<String>, function: &Function) -> Option<Diagnostic> {
    let name = function.name.to_string().to_lowercase();
    let place = language.place(text, function.name.span());
    if UNREPEATABLE.contains(&name.as_str()) {
        return Some(
            Diagnostic::error("not-repeatable", format!("`{name}` gives another answer at each run"))
                .at(place)
                .hint("a KPI must be computed again with the same result; use a column or a setting"),
        );
    }
    if function.over.is_some() {
        return Some(
            Diagnostic::error("window-function", "a window function (`OVER`) has no place in an expression")
                .at(place)
                .hint("compute it in a derived table (a `.sql` file)"),
        );
    }
    if language.functions.contains(&name) {
        return None;
    }
    let diagnostic = Diagnostic::error("unknown-function", format!("there is no function `{name}`")).at(place);
    Some(match nearest(&name, language.functions.iter().map(String::as_str)) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint("the functions are those of DataFusion's SQL, and local_date, days_between, hours_between, minutes_between, seconds_between"),
    })
}

/// `local_date(x)` means the project's zone; the SQL says so.
pub(super) fn write_zone(function: &mut Function, time_zone: &str) {
    let name = function.name.to_string().to_lowercase();
    let Some((_, arguments)) = ZONED.iter().find(|(zoned, _)| *zoned == name) else { return };
    if let FunctionArguments::List(list) = &mut function.args
        && list.args.len() == *arguments
    {
        let zone = SqlExpr::Value(Value::SingleQuotedString(time_zone.to_owned()).into());
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(zone)));
    }
}
