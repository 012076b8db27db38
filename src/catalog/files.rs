//! From the `source` of a table to the files behind it: one file, a folder, or a glob, on this machine or in an object store.
//!
//! Names that begin with `.` or `_` are not data (`_SUCCESS`, `.part.crc`). All files of a table have one format. Looking
//! blocks, so it belongs on threads that may wait.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::object_store::{self, ObjectMeta, ObjectStoreExt};
use futures::TryStreamExt;
use tokio::runtime::Handle;

use super::{Format, SourceError};
use crate::location::{Location, Remote, Stores, explain_store_error, store_of};

/// One file of a table, with what tells whether it changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    pub location: Location,
    pub bytes: u64,
    pub modified: Option<SystemTime>,
    /// What an object store calls this state of it.
    pub etag: Option<String>,
}

/// The files of a source, before any of them is opened.
pub(super) struct Found {
    pub files: Vec<InputFile>,
    pub format: Format,
    pub compression: FileCompressionType,
    /// The common ending, such as `.csv.gz`.
    pub ending: String,
    /// The folder that Hive partitions are counted from.
    pub folder: Option<Location>,
    /// Files below that folder that are left out for their names, where they are known.
    hidden: Vec<Location>,
}

const ENDINGS: [(&str, Format, FileCompressionType); 6] = [
    (".parquet", Format::Parquet, FileCompressionType::UNCOMPRESSED),
    (".csv", Format::Csv, FileCompressionType::UNCOMPRESSED),
    (".csv.gz", Format::Csv, FileCompressionType::GZIP),
    (".csv.zst", Format::Csv, FileCompressionType::ZSTD),
    (".tsv", Format::Csv, FileCompressionType::UNCOMPRESSED),
    (".txt", Format::Csv, FileCompressionType::UNCOMPRESSED),
];

/// Whether a source names CSV files, as far as its name tells.
pub fn is_csv(source: &str) -> bool {
    ending_of(source).is_some_and(|(_, format, _)| format == Format::Csv)
}

/// The files that a source names, which lies at a place.
pub(super) fn find(stores: &Stores, location: &Location, source: &str) -> Result<Found, SourceError> {
    match location {
        Location::Local(path) => find_here(path, source),
        Location::Remote(remote) => find_in_store(stores, remote, source),
    }
}

fn find_here(path: &Path, source: &str) -> Result<Found, SourceError> {
    let is_glob = source.contains(GLOB);
    let mut paths = Vec::new();
    let mut folder = None;
    if is_glob {
        let pattern = path.to_string_lossy().into_owned();
        let matches = glob::glob(&pattern)
            .map_err(|error| SourceError::unreadable(format!("`{source}` is no valid pattern: {}", error.msg)))?;
        for entry in matches {
            let path = entry.map_err(|error| unreadable(error.path().display(), error.error()))?;
            if path.is_dir() { walk(&path, &mut paths, &mut Vec::new())? } else { paths.push(path) }
        }
    } else {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                SourceError::Absent(format!("there is no `{}`", path.display()))
            }
            _ => unreadable(path.display(), &error),
        })?;
        if metadata.is_dir() {
            walk(path, &mut paths, &mut Vec::new())?;
            folder = Some(path.to_owned());
        } else {
            paths.push(path.to_owned());
        }
    }
    let is_named = !is_glob && folder.is_none();
    paths.retain(|path| is_named || ending_of(&path.to_string_lossy()).is_some());
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let metadata = fs::metadata(&path).map_err(|error| unreadable(path.display(), &error))?;
        if !metadata.is_file() {
            // Opening a pipe waits for somebody who writes into it.
            return Err(SourceError::unreadable(format!("`{}` is no regular file", path.display()))
                .with_hint("take it away, or name the files that belong to the table"));
        }
        // Opening shows at once what a permission forbids, by the file's name.
        fs::File::open(&path).map_err(|error| unreadable(path.display(), &error))?;
        let (bytes, modified) = (metadata.len(), metadata.modified().ok());
        files.push(InputFile { location: Location::Local(path), bytes, modified, etag: None });
    }
    if files.is_empty() {
        return Err(without_files(path.display(), is_glob));
    }
    Ok(Found { folder: folder.map(Location::Local), ..describe(files)? })
}

const GLOB: [char; 3] = ['*', '?', '['];

fn without_files(place: impl std::fmt::Display, is_glob: bool) -> SourceError {
    let what = if is_glob { "matches no data file" } else { "holds no data files" };
    SourceError::Absent(format!("`{place}` {what} (.parquet, .csv, .csv.gz, .csv.zst, .tsv, .txt)"))
}

fn find_in_store(stores: &Stores, remote: &Remote, source: &str) -> Result<Found, SourceError> {
    let store = store_of(stores, remote)?;
    let handle = Handle::try_current().map_err(|error| SourceError::unreadable(error.to_string()))?;
    let failed = |action: &str, error| SourceError::from(explain_store_error(action, remote, error));
    let file = |object: ObjectMeta| InputFile {
        location: Location::Remote(remote.with_key(&object.location)),
        bytes: object.size,
        modified: Some(object.last_modified.into()),
        etag: object.e_tag,
    };
    let is_glob = !remote.is_web() && remote.key().contains(GLOB);
    if !is_glob && !remote.key().is_empty() {
        match handle.block_on(store.head(&remote.object_key()?)) {
            Ok(object) => return describe(vec![file(object)]),
            Err(object_store::Error::NotFound { .. }) if remote.is_web() => {
                return Err(SourceError::Absent(format!("there is no `{remote}`")));
            }
            // What it names may be a prefix.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed("look at", error)),
        }
    }
    if remote.is_web() {
        return Err(SourceError::unreadable(format!("`{remote}` names no file, and a web server has no list of them"))
            .with_hint("name one file"));
    }
    // A list is asked for by whole names.
    let before_glob = remote.key().split(GLOB).next().unwrap_or_default();
    let prefix = match is_glob {
        true => before_glob.rsplit_once('/').map_or("", |(prefix, _)| prefix),
        false => remote.key(),
    };
    let prefix = if prefix.is_empty() { None } else { Some(object_key(prefix)?) };
    let listing = store.list(prefix.as_ref()).try_collect::<Vec<ObjectMeta>>();
    let listed = match handle.block_on(listing) {
        Ok(listed) => listed,
        Err(object_store::Error::NotFound { source, .. }) => {
            let path = remote.key().to_owned();
            return Err(failed("list", object_store::Error::NotFound { path, source }));
        }
        Err(error) => return Err(failed("list", error)),
    };
    let around = match is_glob {
        true => Around::Glob(pattern(remote.key(), source)?),
        false => Around::Folder(remote.key()),
    };
    let (mut files, mut hidden) = (Vec::new(), Vec::new());
    for object in listed {
        let key = object.location.as_ref();
        match around.holds(key) {
            Some(true) if ending_of(key).is_some() => files.push(file(object)),
            Some(false) => hidden.push(file(object).location),
            Some(true) | None => {}
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(without_files(remote, is_glob));
    }
    let folder = (!is_glob).then(|| Location::Remote(remote.clone()));
    Ok(Found { folder, hidden, ..describe(files)? })
}

fn object_key(key: &str) -> Result<object_store::path::Path, SourceError> {
    object_store::path::Path::parse(key)
        .map_err(|error| SourceError::unreadable(format!("`{key}` is no name that an object can have: {error}")))
}

fn pattern(key: &str, source: &str) -> Result<glob::Pattern, SourceError> {
    glob::Pattern::new(key)
        .map_err(|error| SourceError::unreadable(format!("`{source}` is no valid pattern: {}", error.msg)))
}

/// What a source names in a store.
enum Around<'a> {
    Folder(&'a str),
    Glob(glob::Pattern),
}

impl Around<'_> {
    /// Whether an object is part of it; `false` where it would be but for its name.
    fn holds(&self, key: &str) -> Option<bool> {
        let is_seen = |below: &str| !below.split('/').any(|part| part.starts_with(['.', '_']));
        match self {
            Around::Folder("") => Some(is_seen(key)),
            Around::Folder(folder) => key.strip_prefix(folder)?.strip_prefix('/').map(is_seen),
            Around::Glob(pattern) => {
                let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
                // As on a disk, a folder that matches is taken with all below it.
                let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
                let mut matching = ends.filter(|end| pattern.matches_with(&key[..*end], options));
                matching.next().map(|end| is_seen(key[end..].trim_start_matches('/')))
            }
        }
    }
}

fn describe(files: Vec<InputFile>) -> Result<Found, SourceError> {
    let first = files[0].location.to_string();
    let Some((ending, format, compression)) = ending_of(&first) else {
        return Err(SourceError::unreadable(format!("`{first}` has no ending that kpi knows"))
            .with_hint("name it .parquet, .csv, .csv.gz or .csv.zst"));
    };
    let is_other = |file: &&InputFile| ending_of(&file.location.to_string()).is_none_or(|(other, ..)| other != ending);
    if let Some(other) = files.iter().find(is_other) {
        return Err(SourceError::unreadable(format!(
            "one table has files of one kind, but there are `{first}` and `{}`",
            other.location
        ))
        .with_hint(format!("name one kind with a glob such as `*{ending}`")));
    }
    Ok(Found { files, format, compression, ending: ending.to_owned(), folder: None, hidden: Vec::new() })
}

fn ending_of(name: &str) -> Option<(&'static str, Format, FileCompressionType)> {
    let name = name.rsplit(['/', std::path::MAIN_SEPARATOR]).next()?.to_lowercase();
    ENDINGS.into_iter().filter(|(ending, ..)| name.ends_with(ending)).max_by_key(|(ending, ..)| ending.len())
}

/// The files below a folder. Links are followed; `around` are the folders that they led to on the way here.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>, around: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let failed = |error| unreadable(folder.display(), &error);
    if around.is_empty() {
        around.push(fs::canonicalize(folder).map_err(failed)?);
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        let path = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if !path.is_dir() {
            paths.push(path);
        } else if is_link {
            let target = fs::canonicalize(&path).map_err(failed)?;
            if around.iter().any(|around| around.starts_with(&target)) {
                return Err(SourceError::unreadable(format!(
                    "the link `{}` leads back to where it stands",
                    path.display()
                ))
                .with_hint("take it away; its rows would count again and again"));
            }
            around.push(target);
            walk(&path, paths, around)?;
            around.pop();
        } else {
            walk(&path, paths, around)?;
        }
    }
    Ok(())
}

pub(super) fn unreadable(place: impl std::fmt::Display, error: &std::io::Error) -> SourceError {
    // What a store answered is told as such.
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<crate::error::Error>()) {
        return SourceError::Storage(error.again());
    }
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "allow the user that runs kpi to read it",
        _ => "check the file and the disk it lies on",
    };
    SourceError::unreadable(format!("`{place}` cannot be read: {error}")).with_hint(hint)
}

/// The locations that DataFusion lists, and the ending that it must look for there: exactly the files found; or the folder
/// where Hive partitions must be seen, if it then reads the same files.
pub(super) fn locations(
    found: &Found,
    partitions: &[(String, DataType)],
) -> Result<(Vec<ListingTableUrl>, String), SourceError> {
    match &found.folder {
        _ if partitions.is_empty() => {
            // DataFusion compares endings by case; the files are chosen already.
            let files = found.files.iter().map(|file| listing_url(&file.location, false));
            Ok((files.collect::<Result<_, _>>()?, String::new()))
        }
        Some(folder) => {
            listed_as_found(found, folder, partitions)?;
            Ok((vec![listing_url(folder, true)?], found.ending.clone()))
        }
        None => Err(SourceError::unreadable("`partitioned_by` needs a `source` that is a folder")
            .with_hint("name the folder that holds the `name=value` folders")),
    }
}

/// A location as DataFusion names it.
pub(super) fn listing_url(location: &Location, is_folder: bool) -> Result<ListingTableUrl, SourceError> {
    let url = match location {
        Location::Local(path) => file_url(path, is_folder)?,
        Location::Remote(remote) => {
            let mut url = remote.url()?;
            if is_folder {
                url.set_path(&format!("{}/", url.path().trim_end_matches('/')));
            }
            url
        }
    };
    ListingTableUrl::try_new(url, None).map_err(|error| SourceError::unreadable(error.strip_backtrace()))
}

fn file_url(path: &Path, is_folder: bool) -> Result<url::Url, SourceError> {
    let has_parents = path.components().any(|part| part == std::path::Component::ParentDir);
    // DataFusion takes no `..`; links are left as they are where they can be.
    let whole = if has_parents { fs::canonicalize(path) } else { std::path::absolute(path) };
    let path = whole.map_err(|error| unreadable(path.display(), &error))?;
    let url = if is_folder { url::Url::from_directory_path(&path) } else { url::Url::from_file_path(&path) };
    url.map_err(|()| SourceError::unreadable(format!("`{}` is no usable path", path.display())))
}

/// DataFusion lists a partitioned folder by rules of its own. A file that only one side would read is named.
fn listed_as_found(found: &Found, folder: &Location, partitions: &[(String, DataType)]) -> Result<(), SourceError> {
    let hidden = match folder {
        Location::Local(folder) => hidden_file(folder, &found.ending, false)?.map(Location::Local),
        Location::Remote(_) => found.hidden.iter().find(|file| file.to_string().ends_with(&found.ending)).cloned(),
    };
    if let Some(hidden) = hidden {
        return Err(SourceError::unreadable(format!(
            "`{hidden}` lies in a partitioned folder, where names that begin with `.` or `_` cannot be left out"
        ))
        .with_hint("move it out of the folder, or rename it if it belongs to the table"));
    }
    for file in &found.files {
        let path = &file.location;
        if !path.to_string().ends_with(&found.ending) {
            return Err(SourceError::unreadable(format!("the ending of `{path}` is not in lower case")).with_hint(
                format!("rename it to end in `{}`; in a partitioned folder endings are compared by case", found.ending),
            ));
        }
        let below = path.below(folder).unwrap_or_default();
        let mut folders = below.split(['/', std::path::MAIN_SEPARATOR]);
        folders.next_back();
        for (name, data_type) in partitions {
            let value = folders.next().and_then(|part| part.split_once('=')).filter(|(key, _)| key == name);
            let Some((_, value)) = value else {
                let names: Vec<String> = partitions.iter().map(|(name, _)| format!("{name}=...")).collect();
                return Err(SourceError::unreadable(format!("`{path}` does not lie in `{}`", names.join("/")))
                    .with_hint("move it into the folder of its partition, or out of the source"));
            };
            if ScalarValue::try_from_string(decoded(value), data_type).is_err() {
                let hint = match value {
                    // What Hive writes for rows that have none.
                    "__HIVE_DEFAULT_PARTITION__" => {
                        "give its rows a value, move it out of the source, or make it `text`"
                    }
                    _ => "rename the folder, move it out of the source, or change the type in `partitioned_by`",
                };
                let message = format!("`{path}`: `{value}` is not of the type that `{name}` has in `partitioned_by`");
                return Err(SourceError::unreadable(message).with_hint(hint));
            }
        }
    }
    Ok(())
}

/// A name of a folder without the `%` that stand for letters which paths cannot have.
fn decoded(value: &str) -> String {
    let query = format!("={}", value.replace('+', "%2B").replace('&', "%26"));
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.map(|(_, value)| value.into_owned()).next().unwrap_or_default()
}

/// The first file with the ending that `walk` leaves out for its name or that of a folder around it.
fn hidden_file(folder: &Path, ending: &str, is_hidden: bool) -> Result<Option<PathBuf>, SourceError> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder.display(), &error))? {
        let entry = entry.map_err(|error| unreadable(folder.display(), &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_hidden = is_hidden || name.starts_with(['.', '_']);
        let path = entry.path();
        if path.is_dir() {
            if let Some(hidden) = hidden_file(&path, ending, is_hidden)? {
                return Ok(Some(hidden));
            }
        } else if is_hidden && name.ends_with(ending) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
