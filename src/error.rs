//! The failures of the tool itself: a store that does not answer, a query that breaks, a lost race.
//!
//! Mistakes in a user's files are not errors in this sense; they are [`crate::diagnostic::Diagnostic`]s, collected and
//! shown all at once. An [`Error`] ends what was being done, keeps its source, and knows the exit code that it deserves. What
//! it says holds no credentials; its source may, so that only [`Error`]'s own words are to be shown.

use std::fmt;

use crate::secrets::without_secrets;

/// A failure, with what was being done, what to do next, and the cause underneath.
///
/// The kind decides the exit code of the binary (see [`ErrorKind::exit_code`]).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The cause of an [`Error`], in the words of whoever has to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request or the definitions are wrong; nothing ran.
    Config,
    /// A file, folder, object store, disk or memory limit refused.
    Storage,
    /// A definition could not be turned into a query.
    Plan,
    /// A query failed while it ran, mostly because of the data.
    Execution,
    /// Another run holds the lease, or committed first.
    Conflict,
    /// The user or the system asked the run to stop.
    Interrupted,
    /// A mistake in `kpi` itself.
    Internal,
}

impl ErrorKind {
    /// The process exit code that this kind stands for.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Execution => 1,
            ErrorKind::Config | ErrorKind::Plan => 2,
            ErrorKind::Storage => 4,
            ErrorKind::Conflict => 5,
            ErrorKind::Internal => 101,
            ErrorKind::Interrupted => 130,
        }
    }
}

impl Error {
    /// A failure of the given kind; the message names the thing, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = without_secrets(&message.into()).into_owned();
        Error { kind, message, hint: None, context: Vec::new(), source: None }
    }

    /// The request or the definitions are wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Config, message)
    }

    /// A file or store refused.
    pub fn storage(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Storage, message)
    }

    /// A query failed while it ran.
    pub fn execution(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Execution, message)
    }

    /// A mistake in `kpi` itself: a promise between two stages was broken.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// The next action, shown behind `hint:`.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A named value that helps to find the cause, such as the path.
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((key, without_secrets(&value.to_string()).into_owned()));
        self
    }

    /// The cause underneath.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure once more, for something else that it stops; without the source, which cannot be copied.
    pub fn again(&self) -> Self {
        Error {
            kind: self.kind,
            message: self.message.clone(),
            hint: self.hint.clone(),
            context: self.context.clone(),
            source: None,
        }
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What the cause says, where the message does not say it already.
    pub fn cause(&self) -> Option<String> {
        let source = self.source.as_ref()?;
        let text = match source.downcast_ref::<Error>() {
            Some(error) => error.message.clone(),
            None => without_secrets(&source.to_string()).into_owned(),
        };
        let innermost = text.rsplit("\ncaused by\n").next().unwrap_or(&text).trim();
        (!self.message.contains(innermost)).then(|| text.trim_end().to_owned())
    }

    pub fn context(&self) -> &[(&'static str, String)] {
        &self.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (key, value) in &self.context {
            write!(f, "\n  {key}: {value}")?;
        }
        if let Some(cause) = self.cause() {
            write!(f, "\n  cause: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The result of everything that can fail for a reason outside the user's definitions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
