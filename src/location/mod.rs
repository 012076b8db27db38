//! Where files lie: at a path of this machine, or in an object store under a URL.
//!
//! `s3://bucket/key`, `gs://bucket/key`, `az://container/key`, `abfss://container@account.dfs.core.windows.net/key` and
//! `https://host/path`. `stores` opens the stores with the credentials of the environment, `reading` reads files from wherever
//! they lie. Nothing here knows tables or results, and no credential is ever part of a location.

mod profile;
mod reading;
mod replacement;
mod stores;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use datafusion::object_store::PutPayload;
use datafusion::object_store::path::Path as Key;
use url::Url;

pub use self::reading::{OpenedFile, open_file};
pub use self::replacement::{Replacement, cannot_write, replace_file};
pub use self::stores::{EnvironmentStores, Stores, explain_store_error, no_stores, store_of};
use crate::error::{Error, Result};

/// The bytes of a file, as stores hand them out.
pub type Bytes = <PutPayload as IntoIterator>::Item;

/// A file, a folder or a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A path of this machine.
    Local(PathBuf),
    /// An object, or whatever lies below a prefix.
    Remote(Remote),
}

/// A place in an object store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Remote {
    /// Which store: scheme, bucket or container, host.
    root: String,
    /// What lies there, as the store names it, without a slash at either end.
    key: String,
}

/// The schemes of object stores that results can lie in.
const STORES: [&str; 6] = ["s3", "s3a", "gs", "az", "abfs", "abfss"];

impl Location {
    /// What a text of a definition names, where relative paths start at `base`.
    ///
    /// # Errors
    /// `Config` where it is a URL that no store is known for, or one that has more than a place in it.
    pub fn parse(text: &str, base: &Location) -> Result<Location> {
        if is_url(text) {
            return Remote::parse(text).map(Location::Remote);
        }
        Ok(match base {
            // What is checked is what is opened: `..` is taken from the words, whatever links there are on the way.
            Location::Local(base) => Location::Local(plain_path(&base.join(text))),
            Location::Remote(base) => Location::Remote(base.join(text)?),
        })
    }

    /// A name below it; the parts of the name are divided by `/`.
    pub fn join(&self, name: &str) -> Location {
        match self {
            Location::Local(path) => Location::Local(path.join(name)),
            Location::Remote(remote) => Location::Remote(remote.below(name)),
        }
    }

    /// How it is named from a place around it; `None` where it lies elsewhere.
    pub fn below(&self, around: &Location) -> Option<String> {
        match (self, around) {
            (Location::Local(path), Location::Local(around)) => {
                let whole =
                    |path: &Path| std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| plain_path(&path));
                whole(path).strip_prefix(whole(around)).ok().map(|name| name.display().to_string())
            }
            (Location::Remote(remote), Location::Remote(around)) if remote.root == around.root => {
                let rest = remote.key.strip_prefix(around.key.as_str())?;
                match rest.strip_prefix('/') {
                    Some(name) => Some(name.to_owned()),
                    None if around.key.is_empty() || rest.is_empty() => Some(rest.to_owned()),
                    None => None,
                }
            }
            _ => None,
        }
    }

    /// The path, if it is one of this machine.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Location::Local(path) => Some(path),
            Location::Remote(_) => None,
        }
    }

    /// Whether results can be kept there: a web server offers its files to readers only.
    pub fn is_writable(&self) -> bool {
        match self {
            Location::Local(_) => true,
            Location::Remote(remote) => !remote.is_web(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => path.display().fmt(f),
            Location::Remote(remote) => remote.fmt(f),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.root),
            key => write!(f, "{}/{key}", self.root),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Location::Local(path)
    }
}

/// Whether a host's name means the machine that this runs on, whose network nobody else hears.
fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// A path without `.` and `..`.
pub fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain }
}

/// Whether a text is a URL rather than a path.
pub fn is_url(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

impl Remote {
    fn parse(text: &str) -> Result<Remote> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_web = matches!(scheme.as_str(), "http" | "https");
        if !is_web && !STORES.contains(&scheme.as_str()) {
            return Err(Error::config(format!("`{scheme}://` is no place that kpi knows"))
                .with_hint("name a folder, or a URL that begins with s3://, gs://, az://, abfss:// or https://"));
        }
        let no_url = || Error::config(format!("`{scheme}://{}` is no URL", authority.rsplit('@').next().unwrap_or("")));
        let root = Url::parse(&format!("{scheme}://{authority}")).map_err(|_| no_url())?;
        let host = root.host_str().filter(|host| !host.is_empty()).ok_or_else(no_url)?;
        let is_container = scheme.starts_with("abfs");
        if root.password().is_some() || (!root.username().is_empty() && !is_container) {
            return Err(Error::config(format!("the URL of `{host}` has credentials in it"))
                .with_hint("leave them out of the definitions; kpi takes them from the environment"));
        }
        if is_container && root.username().is_empty() {
            return Err(Error::config(format!("`{scheme}://{host}` names no container"))
                .with_hint(format!("write `{scheme}://CONTAINER@{host}/...`")));
        }
        if scheme == "http" && !is_this_machine(host) {
            return Err(Error::config(format!("`http://{host}` sends what it holds unencrypted"))
                .with_hint(format!("write `https://{host}`")));
        }
        let is_asked = path.split(['/']).any(|part| part.split_once('?').is_some_and(|(_, query)| query.contains('=')));
        if is_asked || is_web && path.contains(['?', '#']) {
            return Err(Error::config(format!("the URL of `{host}` has more than a path"))
                .with_hint("name the file itself; a signed or computed address changes, and may hold a credential"));
        }
        let key = match is_web {
            // As a browser shows it, so that it is written as a browser shows it.
            true => Key::from_url_path(path).map(|key| key.to_string()).map_err(|_| no_url())?,
            false => path.to_owned(),
        };
        let remote = Remote { root: root.as_str().trim_end_matches('/').to_owned(), key: String::new() };
        remote.join(&key)
    }

    /// What a relative name means here.
    fn join(&self, name: &str) -> Result<Remote> {
        let parts = name.trim_matches('/').split('/');
        if parts.clone().any(|part| matches!(part, "." | "..")) || name.contains("//") {
            return Err(Error::config(format!("`{name}` has `.`, `..` or nothing between slashes"))
                .with_hint("an object store has names, not folders; write the name as the store has it"));
        }
        Ok(self.below(name.trim_matches('/')))
    }

    fn below(&self, name: &str) -> Remote {
        let key = match (self.key.as_str(), name) {
            (key, "") => key.to_owned(),
            ("", name) => name.to_owned(),
            (key, name) => format!("{key}/{name}"),
        };
        Remote { root: self.root.clone(), key }
    }

    /// The same store, another object.
    pub fn with_key(&self, key: &Key) -> Remote {
        Remote { root: self.root.clone(), key: key.to_string() }
    }

    /// What it is called in its store.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same for the store's client.
    ///
    /// # Errors
    /// `Config` where no store can have such a name.
    pub fn object_key(&self) -> Result<Key> {
        Key::parse(&self.key).map_err(|source| Error::config(format!("`{self}` is no usable name")).with_source(source))
    }

    /// Whether a web server has it, which offers single files and no lists.
    pub fn is_web(&self) -> bool {
        self.root.starts_with("http")
    }

    /// The URL of the store alone.
    ///
    /// # Errors
    /// `Internal`, since it was one when it was read.
    pub fn store_url(&self) -> Result<Url> {
        Url::parse(&self.root)
            .map_err(|source| Error::internal(format!("`{}` is no URL", self.root)).with_source(source))
    }

    /// The URL, with what a URL cannot hold encoded.
    ///
    /// # Errors
    /// As [`Remote::store_url`].
    pub fn url(&self) -> Result<Url> {
        let mut url = self.store_url()?;
        let no_parts = || Error::internal(format!("`{}` has no path", self.root));
        url.path_segments_mut().map_err(|()| no_parts())?.clear().extend(self.key.split('/'));
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Location> {
        Location::parse(text, &Location::Local("/project/data".into()))
    }

    fn shown(text: &str) -> String {
        match parsed(text) {
            Ok(location) => location.to_string(),
            Err(error) => format!("{}; {}", error.message(), error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn locations_are_shown_as_they_are_written() {
        for text in [
            "s3://bucket",
            "s3://bucket/a/b.parquet",
            "s3://bucket/region=EU west/x+y%z é.parquet",
            "gs://bucket/2025-??/*.csv",
            "gs://bucket/2025-0?/region=EU/*.csv",
            "az://container/a",
            "abfss://container@account.dfs.core.windows.net/a/b",
            "https://example.com/a b.csv",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("S3://bucket/a/"), "s3://bucket/a");
        assert_eq!(shown("https://example.com/a%20b.csv"), "https://example.com/a b.csv");
        assert_eq!(shown("rates.csv"), "/project/data/rates.csv");
        assert_eq!(shown("/exports/rates.csv"), "/exports/rates.csv");
    }

    #[test]
    fn what_is_no_location_is_told() {
        let told = |text: &str, words: &str| assert!(shown(text).contains(words), "{text}: {}", shown(text));
        told("ftp://example.com/a", "`ftp://` is no place that kpi knows");
        told("s3:///a", "is no URL");
        told("s3://key:secret@bucket/a", "has credentials in it");
        told("https://user@example.com/a", "has credentials in it");
        told("abfss://account.dfs.core.windows.net/a", "names no container");
        told("http://example.com/a.csv", "write `https://example.com`");
        told("https://example.com/a.csv?sig=x", "has more than a path");
        told("s3://bucket/a/../b", "`..`");
        told("s3://bucket/a?X-Amz-Signature=SECRET", "has more than a path");
        assert!(!shown("s3://key:secret@bucket/a").contains("secret"));
    }

    #[test]
    fn names_are_told_from_the_place_around_them() {
        let data = parsed("s3://bucket/lake").unwrap();
        let file = Location::parse("crm/a.parquet", &data).unwrap();
        assert_eq!(file.to_string(), "s3://bucket/lake/crm/a.parquet");
        assert_eq!(file.below(&data).as_deref(), Some("crm/a.parquet"));
        assert_eq!(data.join("crm").join("a.parquet"), file);
        for elsewhere in ["s3://bucket/lakeside/a", "s3://other/lake/a", "/lake/a"] {
            assert_eq!(parsed(elsewhere).unwrap().below(&data), None, "{elsewhere}");
        }
        let all = parsed("s3://bucket").unwrap();
        assert_eq!(file.below(&all).as_deref(), Some("lake/crm/a.parquet"));
        assert!(Location::parse("../other", &data).is_err());
    }

    /// Whatever is written: no panic, and what is taken for a place can be asked of a store and is read again as it is shown.
    #[test]
    fn odd_texts_are_places_or_mistakes() {
        const PIECES: [&str; 24] = [
            "s3", "gs", "az", "abfss", "https", "http", "://", ":", "/", "//", "..", ".", "@", "?", "=", "#", "%2e",
            "%", "é", "\u{0}", "*", "[", "bucket", "a b",
        ];
        let mut state = 42_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut places = 0;
        for _ in 0..50_000 {
            let beginning = ["", "s3://bucket/", "https://host/", "abfss://a@host/"][random(4)];
            let rest: String = (0..random(9)).map(|_| PIECES[random(PIECES.len())]).collect();
            let text = format!("{beginning}{rest}");
            crate::secrets::without_secrets(&text);
            let Ok(location) = parsed(&text) else { continue };
            let Location::Remote(remote) = &location else { continue };
            places += 1;
            assert!(remote.url().is_ok(), "{text}");
            if let Ok(key) = remote.object_key() {
                assert_eq!(Key::from_url_path(remote.url().unwrap().path()).unwrap(), key, "{text}");
            }
            // Percent signs of a web server's names are written once more.
            if !remote.is_web() {
                assert_eq!(parsed(&location.to_string()).unwrap(), location, "{text}");
            }
        }
        assert!(places > 1_000, "{places}");
    }

    #[test]
    fn a_url_means_the_same_object() {
        let Location::Remote(remote) = parsed("s3://bucket/region=EU west/x+y%z é.parquet").unwrap() else { panic!() };
        let url = remote.url().unwrap();
        assert_eq!(Key::from_url_path(url.path()).unwrap(), remote.object_key().unwrap());
        assert_eq!(remote.object_key().unwrap().as_ref(), "region=EU west/x+y%z é.parquet");
    }
}
