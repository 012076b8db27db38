//! From the `source` of a table to the files behind it: one file, a folder, or a glob.
//!
//! Names that begin with `.` or `_` are not data (`_SUCCESS`, `.part.crc`). All files of a table have one format.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::ListingTableUrl;

use super::{Format, SourceError};

/// One file of a table, with what tells whether it changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub modified: Option<SystemTime>,
}

/// The files of a source, before any of them is opened.
pub(super) struct Found {
    pub files: Vec<InputFile>,
    pub format: Format,
    pub compression: FileCompressionType,
    /// The common ending, such as `.csv.gz`.
    pub ending: String,
    /// The folder that Hive partitions are counted from.
    pub folder: Option<PathBuf>,
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
    ending_of(Path::new(source)).is_some_and(|(_, format, _)| format == Format::Csv)
}

pub(super) fn find(data: &Path, source: &str) -> Result<Found, SourceError> {
    if let Some((scheme, _)) = source.split_once("://") {
        return Err(SourceError::unreadable(format!("`{scheme}://` sources are not in this version of kpi"))
            .with_hint("copy the files below the project's `data` folder"));
    }
    let is_glob = source.contains(['*', '?', '[']);
    let path = data.join(source);
    let mut paths = Vec::new();
    let mut folder = None;
    if is_glob {
        let pattern = path.to_string_lossy().into_owned();
        let matches = glob::glob(&pattern)
            .map_err(|error| SourceError::unreadable(format!("`{source}` is no valid pattern: {}", error.msg)))?;
        for entry in matches {
            let path = entry.map_err(|error| unreadable(error.path(), error.error()))?;
            if path.is_dir() { walk(&path, &mut paths)? } else { paths.push(path) }
        }
    } else {
        let metadata = fs::metadata(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                SourceError::Absent(format!("there is no `{}`", path.display()))
            }
            _ => unreadable(&path, &error),
        })?;
        if metadata.is_dir() {
            walk(&path, &mut paths)?;
            folder = Some(path.clone());
        } else {
            paths.push(path.clone());
        }
    }
    let is_named = !is_glob && folder.is_none();
    paths.retain(|path| is_named || ending_of(path).is_some());
    paths.sort();
    if paths.is_empty() {
        let what = if is_glob { "matches no data file" } else { "holds no data files" };
        return Err(SourceError::Absent(format!("`{}` {what} (.parquet, .csv, .csv.gz, .csv.zst)", path.display())));
    }
    describe(paths, folder)
}

fn describe(paths: Vec<PathBuf>, folder: Option<PathBuf>) -> Result<Found, SourceError> {
    let first = &paths[0];
    let Some((ending, format, compression)) = ending_of(first) else {
        return Err(SourceError::unreadable(format!("`{}` has no ending that kpi knows", first.display()))
            .with_hint("name it .parquet, .csv, .csv.gz or .csv.zst"));
    };
    if let Some(other) = paths.iter().find(|path| ending_of(path).is_none_or(|(other, ..)| other != ending)) {
        return Err(SourceError::unreadable(format!(
            "one table has files of one kind, but there are `{}` and `{}`",
            first.display(),
            other.display()
        ))
        .with_hint(format!("name one kind with a glob such as `*{ending}`")));
    }
    let mut files = Vec::with_capacity(paths.len());
    for path in &paths {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        // Opening shows at once what a permission forbids, by the file's name.
        fs::File::open(path).map_err(|error| unreadable(path, &error))?;
        files.push(InputFile { path: path.clone(), bytes: metadata.len(), modified: metadata.modified().ok() });
    }
    Ok(Found { files, format, compression, ending: ending.to_owned(), folder })
}

fn ending_of(path: &Path) -> Option<(&'static str, Format, FileCompressionType)> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    ENDINGS.into_iter().filter(|(ending, ..)| name.ends_with(ending)).max_by_key(|(ending, ..)| ending.len())
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() { walk(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "allow the user that runs kpi to read it",
        _ => "check the file and the disk it lies on",
    };
    SourceError::unreadable(format!("`{}` cannot be read: {error}", path.display())).with_hint(hint)
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
            let files = found.files.iter().map(|file| location(&file.path, false));
            Ok((files.collect::<Result<_, _>>()?, String::new()))
        }
        Some(folder) => {
            listed_as_found(found, folder, partitions)?;
            Ok((vec![location(folder, true)?], found.ending.clone()))
        }
        None => Err(SourceError::unreadable("`partitioned_by` needs a `source` that is a folder")
            .with_hint("name the folder that holds the `name=value` folders")),
    }
}

/// A path as DataFusion names it.
pub(super) fn location(path: &Path, is_folder: bool) -> Result<ListingTableUrl, SourceError> {
    let has_parents = path.components().any(|part| part == std::path::Component::ParentDir);
    // DataFusion takes no `..`; links are left as they are where they can be.
    let whole = if has_parents { fs::canonicalize(path) } else { std::path::absolute(path) };
    let path = whole.map_err(|error| unreadable(path, &error))?;
    let url = if is_folder { url::Url::from_directory_path(&path) } else { url::Url::from_file_path(&path) };
    let url = url.map_err(|()| SourceError::unreadable(format!("`{}` is no usable path", path.display())))?;
    ListingTableUrl::try_new(url, None).map_err(|error| SourceError::unreadable(error.strip_backtrace()))
}

/// DataFusion lists a partitioned folder by rules of its own. A file that only one side would read is named.
fn listed_as_found(found: &Found, folder: &Path, partitions: &[(String, DataType)]) -> Result<(), SourceError> {
    if let Some(hidden) = hidden_file(folder, &found.ending, false)? {
        return Err(SourceError::unreadable(format!(
            "`{}` lies in a partitioned folder, where names that begin with `.` or `_` cannot be left out",
            hidden.display()
        ))
        .with_hint("move it out of the folder, or rename it if it belongs to the table"));
    }
    for file in &found.files {
        let path = file.path.display();
        if !file.path.to_string_lossy().ends_with(&found.ending) {
            return Err(SourceError::unreadable(format!("the ending of `{path}` is not in lower case")).with_hint(
                format!("rename it to end in `{}`; in a partitioned folder endings are compared by case", found.ending),
            ));
        }
        let folders = file.path.strip_prefix(folder).ok().and_then(Path::parent).map(Path::components);
        let mut folders = folders.into_iter().flatten().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let is_in_place = |(name, _): &(String, DataType)| {
            folders.next().is_some_and(|part| part.split_once('=').is_some_and(|(key, _)| key == name))
        };
        if !partitions.iter().all(is_in_place) {
            let names: Vec<String> = partitions.iter().map(|(name, _)| format!("{name}=...")).collect();
            return Err(SourceError::unreadable(format!("`{path}` does not lie in `{}`", names.join("/")))
                .with_hint("move it into the folder of its partition, or out of the source"));
        }
    }
    Ok(())
}

/// The first file with the ending that `walk` leaves out for its name or that of a folder around it.
fn hidden_file(folder: &Path, ending: &str, is_hidden: bool) -> Result<Option<PathBuf>, SourceError> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
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
