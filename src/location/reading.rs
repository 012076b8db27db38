//! Files as bytes, wherever they lie, for those who read them themselves: headers of CSV, footers of Parquet.
//!
//! Reading blocks. It belongs on threads that may wait (`spawn_blocking`), inside a runtime that drives the stores' clients.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, OnceLock};

use datafusion::object_store::path::Path as Key;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use super::{Bytes, Location, Stores, store_of};

/// A file that is open.
#[derive(Debug)]
pub enum OpenedFile {
    Local(File),
    Remote(RemoteFile),
}

/// Opens a file of which is known how long it is.
///
/// # Errors
/// Where it cannot be opened. An object is only asked for once it is read.
pub fn open_file(stores: &Stores, location: &Location, bytes: u64) -> io::Result<OpenedFile> {
    match location {
        Location::Local(path) => File::open(path).map(OpenedFile::Local),
        Location::Remote(remote) => {
            let store = store_of(stores, remote).map_err(io::Error::other)?;
            let key = remote.object_key().map_err(io::Error::other)?;
            let handle = Handle::try_current().map_err(io::Error::other)?;
            Ok(OpenedFile::Remote(RemoteFile { store, key, bytes, handle, tail: Arc::default() }))
        }
    }
}

impl OpenedFile {
    /// The bytes from the beginning on.
    ///
    /// # Errors
    /// Where the file cannot be read from its beginning.
    pub fn into_bytes(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            OpenedFile::Local(file) => Box::new(file),
            OpenedFile::Remote(file) => Box::new(Ranges { file, position: 0, at_hand: Bytes::new() }),
        })
    }
}

impl Length for OpenedFile {
    fn len(&self) -> u64 {
        match self {
            OpenedFile::Local(file) => Length::len(file),
            OpenedFile::Remote(file) => file.bytes,
        }
    }
}

impl ChunkReader for OpenedFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(match self {
            OpenedFile::Local(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                Box::new(io::BufReader::new(file))
            }
            OpenedFile::Remote(file) => Box::new(Ranges { file: file.clone(), position: start, at_hand: Bytes::new() }),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            OpenedFile::Local(file) => file.get_bytes(start, length),
            OpenedFile::Remote(file) => {
                file.range(start, length).map_err(|error| ParquetError::External(Box::new(error)))
            }
        }
    }
}

/// An object that is read part by part.
#[derive(Clone)]
pub struct RemoteFile {
    store: Arc<dyn ObjectStore>,
    key: Key,
    bytes: u64,
    handle: Handle,
    tail: Arc<OnceLock<Bytes>>,
}

/// The end of an object is read at once: who asks for the length of a footer asks for the footer next.
const TAIL: u64 = 64 << 10;

impl std::fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The store knows credentials.
        f.debug_struct("RemoteFile").field("key", &self.key).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl RemoteFile {
    fn range(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = (start + length as u64).min(self.bytes);
        if start >= end {
            return Ok(Bytes::new());
        }
        let beginning = self.bytes.saturating_sub(TAIL);
        if start < beginning {
            return self.ask(start, end);
        }
        let tail = match self.tail.get() {
            Some(tail) => tail,
            None => {
                let tail = self.ask(beginning, self.bytes)?;
                self.tail.get_or_init(|| tail)
            }
        };
        // An object that is shorter by now gives less than it was said to have.
        let part = |place: u64| usize::try_from(place - beginning).map_or(tail.len(), |place| place.min(tail.len()));
        Ok(tail.slice(part(start)..part(end)))
    }

    fn ask(&self, start: u64, end: u64) -> io::Result<Bytes> {
        self.handle.block_on(self.store.get_range(&self.key, start..end)).map_err(io::Error::other)
    }
}

/// An object as a stream, of which some megabytes are at hand.
struct Ranges {
    file: RemoteFile,
    position: u64,
    at_hand: Bytes,
}

/// A request takes as long as reading so much.
const AT_ONCE: usize = 4 << 20;

impl Read for Ranges {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at_hand.is_empty() {
            self.at_hand = self.file.range(self.position, AT_ONCE)?;
            self.position += self.at_hand.len() as u64;
        }
        let count = buffer.len().min(self.at_hand.len());
        buffer[..count].copy_from_slice(&self.at_hand.split_to(count));
        Ok(count)
    }
}
