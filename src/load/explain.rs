//! What the YAML parser says, in the words of somebody who wrote SQL into a YAML file.
//!
//! The parser speaks of block mappings and simple keys, and often of the place where it gave up and not of the mistake.
//! This module looks at the lines around that place for the usual mistakes. It never decides whether something is a
//! mistake, and what it does not recognize it passes on as the parser said it.

use serde_saphyr::Error;

use crate::diagnostic::{Diagnostic, FileId, Span};

/// The diagnostic for a document that could not be parsed. `start` is where the document lies in its file.
pub(super) fn explain(file: FileId, document: &str, start: usize, error: &Error) -> Diagnostic {
    let mut error = error.without_snippet();
    let location = error.location();
    while let Error::AliasError { error: inside, .. } = error {
        error = inside.without_snippet();
    }
    let offset = location.map_or(0, |location| byte_offset(document, location.line(), location.column()));
    let said = match error {
        Error::ExternalMessage { msg, .. } | Error::Message { msg, .. } => msg.clone(),
        other => {
            let text = other.to_string();
            text.rfind(" at line ").map_or(text.clone(), |place| text[..place].to_owned())
        }
    };
    let explanation = recognize(document, offset, error, &said);
    let span = Span { file, start: start + explanation.at, end: start + explanation.at + explanation.length };
    let mut diagnostic = Diagnostic::error("yaml-syntax", explanation.message).at(span);
    diagnostic.hint = explanation.hint;
    diagnostic
}

/// What is wrong, where, and what to write instead.
struct Explanation {
    at: usize,
    length: usize,
    message: String,
    hint: Option<String>,
}

fn recognize(document: &str, offset: usize, error: &Error, said: &str) -> Explanation {
    let text = Text { document, offset };
    match error {
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            return text.here("the document is too large or nested too deeply", "split it into several documents");
        }
        Error::MergeKeyNotAllowed { .. } => {
            return text.here("merge keys (`<<`) are not part of the language", "write the keys out");
        }
        Error::MultipleDocuments { .. } => {
            return text.here("a second document starts here", "the header of a `.sql` file is one document");
        }
        Error::UnknownAnchor { .. } => return text.special_character(),
        Error::InvalidScalar { .. } | Error::InvalidBinaryBase64 { .. } | Error::UnsupportedTag { .. } => {
            return text.here("a tag such as `!!int` does not fit the value", "leave the tag out");
        }
        _ => {}
    }
    let has = |words: &str| said.contains(words);
    if has("tab") && !has("quot") {
        return text.tab();
    }
    if has("mapping values are not allowed") {
        return text.colon();
    }
    if has("did not find expected key") {
        return text.key_expected();
    }
    if has("simple key") {
        let message = "this line has no `:`";
        return text.line(message, "write `key: value`, and indent the further lines of a value, or start it with `|`");
    }
    if has("multiline quoted scalar") || has("unclosed quote") || has("document indicator") {
        return text.open_quote();
    }
    if has("after single-quoted") || has("after double-quoted") {
        let message = "text follows the closing quote";
        return text.here(message, "a value that starts with a quote ends with it; write SQL in a block behind `|`");
    }
    if has("unexpected character") || has("anchor or alias") {
        return text.special_character();
    }
    if has("bracket") || has("flow") || has("illegal placement of ':'") {
        return text.bracket(said);
    }
    if has("block sequence entries") {
        let message = "a list of `-` items cannot start on the line of its key";
        return text.here(message, "put each `- item` on a line of its own below the key");
    }
    if has("expected '-'") {
        return text.line("a list item was expected", "start the line with `- `, or indent it as the key above");
    }
    if has("scanning a block scalar") {
        let message = "text follows `|` or `>` on the same line";
        return text.here(message, "start the text on the next line, indented");
    }
    if has("comment intercepting") {
        let message = "` #` starts a comment in the middle of a value";
        return text.here(message, "put the value in a block behind `|`, where `#` is text");
    }
    if has("comments must be separated") {
        return text.here("`#` follows directly behind a value", "put a space in front of `#`");
    }
    if has("escape") {
        let message = "this is no escape that YAML knows";
        return text.here(message, "use single quotes, where a backslash is text, or write `\\\\`");
    }
    if has("recursion limit") {
        return text.here("the document is nested too deeply", "write it flatter");
    }
    if has("indent") {
        return text.line("this line's indentation fits no line above", "align it with the keys that it belongs to");
    }
    text.here(format!("invalid YAML: {said}"), QUOTE_HINT)
}

/// The document and the place where the parser gave up.
struct Text<'t> {
    document: &'t str,
    offset: usize,
}

const QUOTE_HINT: &str = "put the value in double quotes, or in a block: `key: |` with the text indented below";

impl<'t> Text<'t> {
    fn at(&self, at: usize, length: usize, message: impl Into<String>, hint: impl Into<String>) -> Explanation {
        Explanation { at, length, message: message.into(), hint: Some(hint.into()) }
    }

    fn here(&self, message: impl Into<String>, hint: impl Into<String>) -> Explanation {
        let length = self.document[self.offset..].chars().next().map_or(0, char::len_utf8);
        self.at(self.offset, length, message, hint)
    }

    /// A mistake that the whole line shares.
    fn line(&self, message: impl Into<String>, hint: impl Into<String>) -> Explanation {
        let (start, line) = self.current_line();
        let indentation = line.len() - line.trim_start().len();
        self.at(start + indentation, line.trim().len(), message, hint)
    }

    /// The line of the place: where it starts and its text.
    fn current_line(&self) -> (usize, &'t str) {
        self.line_at(self.offset)
    }

    fn line_at(&self, offset: usize) -> (usize, &'t str) {
        let start = self.document[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.document[offset..].find('\n').map_or(self.document.len(), |newline| offset + newline);
        (start, &self.document[start..end])
    }

    /// The nearest line above that says anything.
    fn line_above(&self, start: usize) -> Option<(usize, &'t str)> {
        let mut start = start;
        while start > 0 {
            let (above, line) = self.line_at(start - 1);
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                return Some((above, line));
            }
            start = above;
        }
        None
    }

    fn tab(&self) -> Explanation {
        let message = "a tab cannot indent a line in YAML";
        let hint = "indent with spaces";
        let (start, _) = self.current_line();
        let mut at = start;
        for line in self.document[start..].split_inclusive('\n') {
            let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
            if let Some(tab) = line[..indentation].find('\t') {
                return self.at(at + tab, 1, message, hint);
            }
            at += line.len();
        }
        self.here("a tab is not allowed here", "write spaces instead")
    }

    /// A `:` where no key can be.
    fn colon(&self) -> Explanation {
        let (start, line) = self.current_line();
        if let Some((_, value_at)) = key_and_value(line)
            && start + value_at <= self.offset
        {
            return self.here("`: ` inside a value starts a new key", QUOTE_HINT);
        }
        let Some((above_start, above)) = self.line_above(start) else {
            return self.here("`:` is not expected here", QUOTE_HINT);
        };
        let indentation = |line: &str| line.len() - line.trim_start().len();
        if let Some(colon) = colon_without_space(above) {
            return self.at(above_start + colon, 1, "a space is missing behind `:`", "write `key: value`");
        }
        if key_and_value(above).is_some() && indentation(line) > indentation(above) {
            let message = "this line is indented more than the key above, which has its value already";
            return self.line(message, "start it at the same column as the key above");
        }
        if !above.contains(':') {
            let length = above.trim().len();
            let at = above_start + indentation(above);
            return self.at(at, length, "this line has no `:`", "write `key: value`");
        }
        self.here("`:` is not expected here", QUOTE_HINT)
    }

    fn key_expected(&self) -> Explanation {
        let (start, line) = self.current_line();
        if let Some((_, value_at)) = key_and_value(line) {
            let value = &line[value_at..];
            let at = start + value_at;
            if at <= self.offset && value.starts_with("{{") {
                let message = "a value cannot start with `{{`, because YAML reads `{` as a mapping";
                return self.at(at, 2, message, "put the whole value in double quotes: `\"{{ name }} ...\"`");
            }
            if at <= self.offset
                && let Some(bracket) = value.chars().next().filter(|first| matches!(first, '[' | '{'))
            {
                let kind = if bracket == '[' { "list" } else { "mapping" };
                let message =
                    format!("text follows a value that starts with `{bracket}`, which YAML reads as a {kind}");
                return self.at(at, 1, message, QUOTE_HINT);
            }
        }
        self.line("this line's indentation fits no line above", "align it with the keys that it belongs to")
    }

    /// The parser finds the end of the file; the mistake is where the quote was opened.
    fn open_quote(&self) -> Explanation {
        let (mut start, mut line) = self.current_line();
        loop {
            let value_at = key_and_value(line).map_or(line.len() - line.trim_start().len(), |(_, at)| at);
            let value = &line[value_at..];
            if let Some(quote) = value.chars().next().filter(|first| matches!(first, '\'' | '"'))
                && start + value_at <= self.offset
            {
                let hint = match quote {
                    '\'' => "close it with `'`; a quote inside is written `''`",
                    _ => "close it with `\"`; a quote inside is written `\\\"`",
                };
                return self.at(start + value_at, value.trim_end().len(), "the quote is never closed", hint);
            }
            match self.line_above(start) {
                Some(above) => (start, line) = above,
                None => return self.here("a quote is never closed", "close it, or put the text in a block behind `|`"),
            }
        }
    }

    /// A value whose first character means something to YAML.
    fn special_character(&self) -> Explanation {
        let character = self.document[self.offset..].chars().next().unwrap_or(' ');
        let (start, line) = self.current_line();
        let value_at = key_and_value(line).map(|(_, at)| at);
        if value_at.is_some_and(|at| line[at..].starts_with(['{', '[']) && start + at < self.offset) {
            return self.key_expected();
        }
        let starts_value = value_at.is_some_and(|at| start + at == self.offset);
        match character {
            '*' | '&' => {
                let kind = if character == '*' { "the name of an anchor" } else { "an anchor" };
                self.here(format!("a value cannot start with `{character}`, which YAML reads as {kind}"), QUOTE_HINT)
            }
            _ if starts_value => self.here(format!("a value cannot start with `{character}`"), QUOTE_HINT),
            _ => self.here(format!("`{}` is not allowed here", character.escape_default()), QUOTE_HINT),
        }
    }

    /// Something is wrong between brackets; the one that is open is the likeliest place.
    fn bracket(&self, said: &str) -> Explanation {
        if said.contains("misplaced") || said.contains("mismatched") {
            return self.here("this bracket closes none that is open", "remove it, or open the list or mapping before");
        }
        let here = self.document[self.offset..].starts_with(['[', '{']);
        match open_bracket(&self.document[..self.offset + usize::from(here)]) {
            Some((at, bracket)) => {
                let close = if bracket == '[' { ']' } else { '}' };
                let what = if bracket == '[' { "list" } else { "mapping" };
                let hint = format!("close it with `{close}`; SQL with commas, colons or brackets inside needs quotes");
                self.at(at, 1, format!("the {what} that starts here is not closed properly"), hint)
            }
            None => self.here("this does not fit into the list or mapping around it", QUOTE_HINT),
        }
    }
}

/// The key of a line such as `- key: value`, and where its value starts.
fn key_and_value(line: &str) -> Option<(&str, usize)> {
    let mut key_at = line.len() - line.trim_start().len();
    while let Some(item) = line[key_at..].strip_prefix("- ") {
        key_at += 2 + item.len() - item.trim_start().len();
    }
    let colon = key_at + line[key_at..].find(": ")?;
    let value = &line[colon + 1..];
    let value_at = colon + 1 + value.len() - value.trim_start().len();
    (!line[value_at..].trim().is_empty()).then_some((&line[key_at..colon], value_at))
}

/// Where the colon of `key:value` is.
fn colon_without_space(line: &str) -> Option<usize> {
    let word_end = line.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ' ')?;
    let mut behind = line[word_end..].chars();
    (word_end > 0 && behind.next() == Some(':') && behind.next().is_some_and(|next| !next.is_whitespace()))
        .then_some(word_end)
}

/// The innermost bracket that is open at the end of a text, quotes and comments left aside.
fn open_bracket(text: &str) -> Option<(usize, char)> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut before = ' ';
    let mut in_comment = false;
    for (at, character) in text.char_indices() {
        match (character, quote) {
            ('\n', _) => in_comment = false,
            _ if in_comment => {}
            (_, Some(opened)) if character == opened => quote = None,
            (_, Some(_)) => {}
            // In the middle of a word a quote is an apostrophe.
            ('\'' | '"', None) if matches!(before, ' ' | '[' | '{' | ',' | '\n') => quote = Some(character),
            ('#', None) if matches!(before, ' ' | '\n') => in_comment = true,
            ('[' | '{', None) => open.push((at, character)),
            (']' | '}', None) => {
                open.pop();
            }
            _ => {}
        }
        before = character;
    }
    open.pop()
}

/// The byte of a line and column as the parser counts them: from 1, in characters.
fn byte_offset(document: &str, line: u64, column: u64) -> usize {
    let mut rest = document;
    for _ in 1..line {
        match rest.find(['\n', '\r']) {
            // `\r\n` is one break, a lone `\r` is one as well.
            Some(at) if rest[at..].starts_with("\r\n") => rest = &rest[at + 2..],
            Some(at) => rest = &rest[at + 1..],
            None => return document.len(),
        }
    }
    let start = document.len() - rest.len();
    let mark = if start == 0 && rest.starts_with('\u{feff}') { 1 } else { 0 };
    let skip = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX).saturating_add(mark);
    start + rest.char_indices().nth(skip).map_or(rest.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::super::tree::shorten;
    use super::super::yaml::parse;
    use crate::diagnostic::Sources;

    /// The place (as the text there) and the message of the only mistake of a document.
    #[track_caller]
    fn check(document: &str, place: &str, message: &str) {
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", document);
        let mut diagnostics = Vec::new();
        parse(file, document, 0..document.len(), &mut diagnostics);
        assert_eq!(diagnostics.len(), 1, "{document:?} {diagnostics:?}");
        let span = diagnostics[0].span.unwrap();
        let found = document.get(span.start..span.end).unwrap_or("outside");
        assert_eq!((shorten(found).as_str(), diagnostics[0].message.as_str()), (place, message), "{document:?}");
        assert!(diagnostics[0].hint.is_some(), "{document:?}");
    }

    #[test]
    fn usual_mistakes_are_explained() {
        let quote = "the quote is never closed";
        let list = "the list that starts here is not closed properly";
        let mapping = "the mapping that starts here is not closed properly";
        let deeper = "this line is indented more than the key above, which has its value already";
        let indentation = "this line's indentation fits no line above";
        let no_colon = "this line has no `:`";
        let template = "a value cannot start with `{{`, because YAML reads `{` as a mapping";
        for (document, place, message) in [
            ("kpi: a\n\tb: c\n", "\t", "a tab cannot indent a line in YAML"),
            ("kpi: a\nvalue: |\n\ta\n", "\t", "a tab cannot indent a line in YAML"),
            ("value: sum(x) FILTER (WHERE a = 'b: c')\n", ":", "`: ` inside a value starts a new key"),
            ("a: b: c\n", ":", "`: ` inside a value starts a new key"),
            ("value: {{ x }} + 1\n", "{{", template),
            ("value: {{ x }} * 2\n", "{{", template),
            ("value: {{ x }}\n", "{ x }", template),
            ("where: [a] = 1\n", "[", "text follows a value that starts with `[`, which YAML reads as a list"),
            ("v: *a\n", "*", "a value cannot start with `*`, which YAML reads as the name of an anchor"),
            ("v: * a\n", "*", "a value cannot start with `*`, which YAML reads as the name of an anchor"),
            ("v: & b\n", "&", "a value cannot start with `&`, which YAML reads as an anchor"),
            ("é: %x\n", "%", "a value cannot start with `%`"),
            ("v: @x\n", "@", "a value cannot start with `@`"),
            ("v: `x`\n", "`", "a value cannot start with ```"),
            ("v: \"a\nw: 1\n", "\"a", quote),
            ("v: 'a\r\nw: 1\r\n", "'a", quote),
            ("v: 'a''b\n", "'a''b", quote),
            ("v: \"a", "\"a", quote),
            ("a: 1\n b: 2\n", "b: 2", deeper),
            ("v: count(*)\n  where: b\n", "where: b", deeper),
            ("a:\n    b: 1\n  c: 2\n", "c: 2", indentation),
            ("a\nb: 1\n", "a", no_colon),
            ("a: 1\nb\nc: 1\n", "b", no_colon),
            ("a:b\nc: d\n", ":", "a space is missing behind `:`"),
            ("by: [1, 2\nb: 1\n", "[", list),
            ("by: [1, 2", "[", list),
            ("a: {x: 1\nb: 1\n", "{", mapping),
            ("a: {x: 1}}\n", "}", "this bracket closes none that is open"),
            ("a: 'x' || y\n", "|", "text follows the closing quote"),
            ("a: \"\\q\"\n", "\"", "this is no escape that YAML knows"),
            ("- a\nb: 1\n", "b: 1", "a list item was expected"),
            ("a: - b\n", "-", "a list of `-` items cannot start on the line of its key"),
            ("a: |x\n  b\n", "|", "text follows `|` or `>` on the same line"),
            ("<<: {a: 1}\n", "<", "merge keys (`<<`) are not part of the language"),
            ("a: !!int x\n", "x", "a tag such as `!!int` does not fit the value"),
            ("v: a # c: d\n  b\n", "#", "` #` starts a comment in the middle of a value"),
            ("a: x\nb: 'z'#c\n", "#", "`#` follows directly behind a value"),
            ("where: a = 'x #1'\n", "#", "` #` starts a comment, so the value ends inside a quoted text"),
            ("[a]: b\n", "[a]", "a key must be a word, not a list"),
            ("k: 1\nk: 2\n", "k", "the key `k` is written twice"),
        ] {
            check(document, place, message);
        }
    }

    #[test]
    fn bombs_and_deep_nesting_are_refused() {
        check(&format!("x: {}{}", "[".repeat(20_000), "]".repeat(20_000)), "[", "the document is nested too deeply");
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, below) in ["b", "c", "d", "e", "f", "g"].iter().zip(["a", "b", "c", "d", "e", "f"]) {
            bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{below}"); 9].join(",")));
        }
        check(&bomb, "*", "the document is too large or nested too deeply");
    }
}
