//! What must never be printed, and texts from which it was taken.
//!
//! Every message of an [`crate::error::Error`] passes here: clients of object stores put whole addresses into theirs.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

/// A text that cannot print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text, for the one that it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

const HIDDEN: &str = "***";

/// Variables of the environment that hold credentials.
const VARIABLES: [&str; 16] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_API_KEY",
];

/// The values of those variables that are set.
fn known() -> &'static [String] {
    static KNOWN: OnceLock<Vec<String>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let set = VARIABLES.into_iter().filter_map(|name| std::env::var(name).ok());
        // What is shorter than that is no credential, and may be part of any word.
        set.filter(|value| value.len() >= 8).collect()
    })
}

/// A text without the credentials of the environment, without those within URLs, and without what URLs are asked with, which
/// may be signed.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for secret in known() {
        if shown.contains(secret.as_str()) {
            shown = Cow::Owned(shown.replace(secret.as_str(), HIDDEN));
        }
    }
    match shown.contains("://") {
        true => Cow::Owned(without_those_in_urls(&shown)),
        false => shown,
    }
}

fn without_those_in_urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, url) = rest.split_at(start + 3);
        shown.push_str(before);
        let end = url.find(|c: char| c.is_whitespace() || "`'\"<>)".contains(c)).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        let authority_end = url.find('/').unwrap_or(url.len());
        let (authority, path) = url.split_at(authority_end);
        match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, _)), host)) => shown.push_str(&format!("{user}:{HIDDEN}@{host}")),
            _ => shown.push_str(authority),
        }
        match path.split_once('?') {
            // A glob has question marks as well, and no `=` behind them.
            Some((path, query)) if query.contains('=') => shown.push_str(&format!("{path}?{HIDDEN}")),
            _ => shown.push_str(path),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_what_may_be_secret() {
        let text = "GET https://a.blob.core.windows.net/c/x?sv=2024&sig=abc%3D failed; see s3://key:secret@bucket/x and \
                    `s3://bucket/2025-0?.csv`";
        let shown = without_secrets(text);
        assert_eq!(
            shown,
            "GET https://a.blob.core.windows.net/c/x?*** failed; see s3://key:***@bucket/x and `s3://bucket/2025-0?.csv`"
        );
        assert!(matches!(without_secrets("nothing to hide"), Cow::Borrowed(_)));
        assert_eq!(
            without_secrets("abfss://container@a.dfs.core.windows.net/x"),
            "abfss://container@a.dfs.core.windows.net/x"
        );
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("open sesame".into());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.reveal(), "open sesame");
    }
}
