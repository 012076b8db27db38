//! CSV files as a table of texts, with the type that each column looks like.
//!
//! The raw rows are text, and the table's definition casts them: so a value that does not fit is found by name instead of
//! breaking the reader, and an id such as `007` keeps its zeros. All files of a table must have the same header.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use chrono::{NaiveDate, NaiveDateTime};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::object_store;

use super::files::{Found, InputFile, locations, unreadable};
use super::unchanged::Unchanged;
use super::{Format, Source, SourceError, SourceOptions, waiting};
use crate::location::{Location, OpenedFile, Stores, explain_store_error, open_file};

/// How CSV files are written.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// A comma, or a tab in `.tsv` files, where nothing else is said.
    pub delimiter: Option<u8>,
    pub quote: u8,
    /// Words that mean "no value", beside the empty one.
    pub null_values: Vec<String>,
}

impl CsvOptions {
    fn delimiter_in(&self, file: &Location) -> u8 {
        let is_tabbed = file.to_string().to_ascii_lowercase().ends_with(".tsv");
        self.delimiter.unwrap_or(if is_tabbed { b'\t' } else { b',' })
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { delimiter: None, quote: b'"', null_values: Vec::new() }
    }
}

/// How many rows of the first and the last file are looked at to see what a column holds.
const ROWS_LOOKED_AT: usize = 10_000;

pub(super) fn open(stores: Stores, found: Found, options: &SourceOptions) -> Result<Source, SourceError> {
    let names = common_header(&stores, &found, &options.csv)?;
    let guesses = look_at(&stores, &found, &options.csv, &names)?;
    let suggested_types = names.iter().cloned().zip(guesses.iter().map(Guess::data_type)).collect();
    let unseen = names.iter().zip(&guesses).filter(|(_, guess)| !guess.seen);
    let empty_columns = unseen.map(|(name, _)| name.clone()).collect();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8View, true)).collect();

    let (locations, ending) = locations(&found, &options.partitions)?;
    let delimiter = found.files.first().map_or(b',', |file| options.csv.delimiter_in(&file.location));
    let format = CsvFormat::default()
        .with_has_header(true)
        .with_delimiter(delimiter)
        .with_quote(options.csv.quote)
        // A line break inside quotes must not cut a row; the price is that one file is read by one core.
        .with_newlines_in_values(true)
        .with_file_compression_type(found.compression);
    let listing = ListingOptions::new(Arc::new(format))
        .with_file_extension(ending)
        .with_table_partition_cols(options.partitions.clone());
    let config = ListingTableConfig::new_with_multi_paths(locations)
        .with_listing_options(listing)
        .with_schema(Arc::new(Schema::new(fields)));
    let table = ListingTable::try_new(config).map_err(|error| SourceError::unreadable(error.strip_backtrace()))?;
    Ok(Source {
        provider: Arc::new(Unchanged::new(table, found.files.clone())),
        files: found.files,
        format: Format::Csv,
        suggested_types,
        empty_columns,
        stores,
    })
}

/// The header that all files share. Rows are read by position, so another order in one file would mix columns up.
fn common_header(stores: &Stores, found: &Found, options: &CsvOptions) -> Result<Vec<String>, SourceError> {
    let mut common: Option<(Vec<String>, &InputFile)> = None;
    for file in &found.files {
        let names = header(stores, file, found.compression, options)?;
        match &common {
            None => common = Some((names, file)),
            Some((expected, first)) if *expected != names => {
                return Err(SourceError::unreadable(format!(
                    "the headers of `{}` and `{}` differ: `{}` and `{}`",
                    first.location,
                    file.location,
                    expected.join(","),
                    names.join(",")
                ))
                .with_hint("give all files of a table the same columns in the same order, or make them two tables"));
            }
            Some(_) => {}
        }
    }
    Ok(common.map(|(names, _)| names).unwrap_or_default())
}

fn header(
    stores: &Stores,
    file: &InputFile,
    compression: FileCompressionType,
    options: &CsvOptions,
) -> Result<Vec<String>, SourceError> {
    let mut reader = reader(stores, file, compression, options)?;
    let record = reader.byte_headers().map_err(|error| broken(stores, file, compression, error))?;
    let mut names = Vec::new();
    for (index, name) in record.iter().enumerate() {
        let name = if index == 0 { name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name) } else { name };
        let name = std::str::from_utf8(name).map_err(|_| {
            SourceError::unreadable(format!("the header of `{}` is not UTF-8", file.location))
                .with_hint("save the file as UTF-8")
        })?;
        if names.iter().any(|known| known == name) {
            return Err(SourceError::unreadable(format!("`{}` has two columns `{name}`", file.location))
                .with_hint("give each column a name of its own in the header"));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(SourceError::unreadable(format!("`{}` is empty; it has no header", file.location))
            .with_hint("a CSV file begins with a line of column names"));
    }
    Ok(names)
}

fn look_at(stores: &Stores, found: &Found, options: &CsvOptions, names: &[String]) -> Result<Vec<Guess>, SourceError> {
    let mut guesses = vec![Guess::default(); names.len()];
    let ends = [found.files.first(), found.files.last().filter(|_| found.files.len() > 1)];
    for file in ends.into_iter().flatten() {
        let mut reader = reader(stores, file, found.compression, options)?;
        let mut record = ByteRecord::new();
        for _ in 0..ROWS_LOOKED_AT {
            if !reader.read_byte_record(&mut record).map_err(|error| broken(stores, file, found.compression, error))? {
                break;
            }
            for (guess, value) in guesses.iter_mut().zip(record.iter()) {
                let text = String::from_utf8_lossy(value);
                if !text.is_empty() && !options.null_values.iter().any(|null| *null == text) {
                    guess.see(text.trim());
                }
            }
        }
    }
    Ok(guesses)
}

/// The type that texts look like; none where there are none.
pub(super) fn guess<'a>(texts: impl Iterator<Item = &'a str>) -> Option<DataType> {
    let mut guess = Guess::default();
    texts.for_each(|text| guess.see(text));
    guess.seen.then(|| guess.data_type())
}

/// What the values of a column could still be. Text is always left.
#[derive(Debug, Clone)]
struct Guess {
    seen: bool,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate {
    Boolean,
    Integer,
    Double,
    Date,
    Timestamp,
}

impl Default for Guess {
    fn default() -> Self {
        use Candidate::*;
        Guess { seen: false, candidates: vec![Boolean, Integer, Double, Date, Timestamp] }
    }
}

impl Guess {
    fn see(&mut self, text: &str) {
        self.seen = true;
        self.candidates.retain(|candidate| candidate.fits(text));
    }

    fn data_type(&self) -> DataType {
        match self.candidates.first() {
            Some(candidate) if self.seen => candidate.data_type(),
            _ => DataType::Utf8View,
        }
    }
}

impl Candidate {
    fn fits(self, text: &str) -> bool {
        match self {
            Candidate::Boolean => matches!(text.to_ascii_lowercase().as_str(), "true" | "false"),
            Candidate::Integer => text.parse::<i64>().is_ok() && !is_code(text),
            Candidate::Double => {
                // A double would change the last digits of a whole number that is too long for an integer, as ids can be.
                let is_exact = text.contains(['.', 'e', 'E']) || text.parse::<i64>().is_ok();
                is_exact && text.parse::<f64>().is_ok_and(f64::is_finite) && !is_code(text)
            }
            Candidate::Date => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() && text.len() == 10,
            Candidate::Timestamp => is_timestamp(text),
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Candidate::Boolean => DataType::Boolean,
            Candidate::Integer => DataType::Int64,
            Candidate::Double => DataType::Float64,
            Candidate::Date => DataType::Date32,
            Candidate::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// Digits that are a code rather than a number: a leading zero (`007`), or a plus as in a telephone number.
pub fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.starts_with('+') || (digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
}

fn is_timestamp(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok()
        || ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M"]
            .iter()
            .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok())
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// The first value of a column that does not fit its type, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenValue {
    pub file: Location,
    pub line: u64,
    pub value: String,
}

/// Looks for the first value of `column` that `fits` refuses, reading the files in order.
pub async fn find_broken_value(
    source: &Source,
    options: &CsvOptions,
    column: &str,
    fits: impl Fn(&str) -> bool + Send + 'static,
) -> Option<BrokenValue> {
    let (stores, files, options, column) =
        (source.stores.clone(), source.files.clone(), options.clone(), column.to_owned());
    waiting(move || Ok(files.iter().find_map(|file| broken_value(&stores, file, &options, &column, &fits))))
        .await
        .ok()
        .flatten()
}

/// The first line that is no text in UTF-8, of any column.
pub async fn find_line_that_is_no_text(source: &Source) -> Option<(Location, u64)> {
    let (stores, files) = (source.stores.clone(), source.files.clone());
    let of_file = move |file: &InputFile| {
        let mut lines = BufReader::new(bytes_of(&stores, file, compression_of(file)).ok()?);
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            number += 1;
            if std::str::from_utf8(&line).is_err() {
                return Some((file.location.clone(), number));
            }
        }
    };
    waiting(move || Ok(files.iter().find_map(of_file))).await.ok().flatten()
}

fn compression_of(file: &InputFile) -> FileCompressionType {
    let name = file.location.to_string().to_lowercase();
    match name.rsplit('.').next() {
        Some("gz") => FileCompressionType::GZIP,
        Some("zst") => FileCompressionType::ZSTD,
        _ => FileCompressionType::UNCOMPRESSED,
    }
}

fn broken_value(
    stores: &Stores,
    file: &InputFile,
    options: &CsvOptions,
    column: &str,
    fits: &impl Fn(&str) -> bool,
) -> Option<BrokenValue> {
    let compression = compression_of(file);
    let mut reader = reader(stores, file, compression, options).ok()?;
    let index = reader.headers().ok()?.iter().position(|name| name.trim_start_matches('\u{feff}') == column)?;
    for record in reader.into_records() {
        let Ok(record) = record else { break };
        let Some(value) = record.get(index) else { continue };
        let is_null = value.is_empty() || options.null_values.iter().any(|null| null == value);
        if !is_null && !fits(value.trim()) {
            let line = record.position().map_or(0, |position| line_of(stores, file, compression, position));
            return Some(BrokenValue { file: file.location.clone(), line, value: value.to_owned() });
        }
    }
    None
}

fn reader(
    stores: &Stores,
    file: &InputFile,
    compression: FileCompressionType,
    options: &CsvOptions,
) -> Result<Reader<Box<dyn Read>>, SourceError> {
    let bytes = bytes_of(stores, file, compression)?;
    Ok(ReaderBuilder::new().delimiter(options.delimiter_in(&file.location)).quote(options.quote).from_reader(bytes))
}

fn bytes_of(stores: &Stores, file: &InputFile, compression: FileCompressionType) -> Result<Box<dyn Read>, SourceError> {
    let failed = |error: std::io::Error| unreadable(&file.location, &error);
    let opened = open_file(stores, &file.location, file.bytes).and_then(OpenedFile::into_bytes).map_err(failed)?;
    Ok(if compression == FileCompressionType::GZIP {
        Box::new(flate2::read::MultiGzDecoder::new(opened))
    } else if compression == FileCompressionType::ZSTD {
        Box::new(zstd::Decoder::new(opened).map_err(failed)?)
    } else {
        Box::new(opened)
    })
}

/// The line of a row behind the header. With Windows' line ends the reader counts a line once the next one has begun.
fn line_of(stores: &Stores, file: &InputFile, compression: FileCompressionType, position: &::csv::Position) -> u64 {
    let mut beginning = Vec::new();
    // A file that can no longer be read has lines all the same.
    let _ = bytes_of(stores, file, compression).map(|bytes| bytes.take(1 << 16).read_to_end(&mut beginning));
    let end = beginning.iter().position(|byte| *byte == b'\n');
    position.line() + u64::from(end.is_some_and(|end| end > 0 && beginning[end - 1] == b'\r'))
}

fn broken(stores: &Stores, file: &InputFile, compression: FileCompressionType, error: ::csv::Error) -> SourceError {
    let (place, text) = (&file.location, error.to_string());
    let unreadable = SourceError::unreadable(format!("`{place}` cannot be read: {text}"));
    match error.into_kind() {
        ::csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, |position| line_of(stores, file, compression, position));
            SourceError::unreadable(format!(
                "line {line} of `{place}` has {len} values where the header has {expected_len}"
            ))
            .with_hint("mend the line; a value that holds the delimiter or a quote must stand in quotes")
        }
        ::csv::ErrorKind::Io(error) => match error.downcast::<object_store::Error>() {
            Ok(answer) => explain_store_error("read", place, answer).into(),
            Err(_) => unreadable,
        },
        _ => unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> DataType {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.see(value));
        guess.data_type()
    }

    #[test]
    fn columns_are_what_their_values_look_like() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(guess(&["1", "-2"]), DataType::Int64);
        assert_eq!(guess(&["1", "2.5"]), DataType::Float64);
        assert_eq!(guess(&["true", "False"]), DataType::Boolean);
        assert_eq!(guess(&["2025-01-31"]), DataType::Date32);
        assert_eq!(guess(&["2025-01-31", "2025-01-31 10:00:00"]), utc);
        assert_eq!(guess(&["2025-01-31T10:00:00Z"]), utc);
        assert_eq!(guess(&["007", "12"]), DataType::Utf8View, "a code keeps its zeros");
        assert_eq!(guess(&["0.5", "0"]), DataType::Float64);
        assert_eq!(guess(&["123456789012345678901"]), DataType::Utf8View, "a double would change its digits");
        assert_eq!(guess(&["31/01/2025"]), DataType::Utf8View);
        assert_eq!(guess(&[]), DataType::Utf8View);
        assert_eq!(guess(&["NaN"]), DataType::Utf8View);
    }
}
