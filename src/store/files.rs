//! The few operations that the protocol needs of the place where results live.
//!
//! Everything above this file speaks of paths below the output folder, with `/` between their parts. What differs
//! between a local folder and an object store is behind [`Files`]; tests put failures in exactly here. Nothing copies or
//! renames an object into place to commit it: creating a file that was not there is the only commit.

use std::fmt;
use std::fs;
use std::time::SystemTime;

use futures::future::BoxFuture;

use crate::error::{Error, Result};
pub(crate) use crate::location::Bytes;

/// A place to keep files. An operation that returned `Ok` survives a power cut.
///
/// An operation that returned an error may or may not have had its effect: callers look before they decide.
pub(crate) trait Files: fmt::Debug + Send + Sync {
    /// A path of the store as a person would write it, for messages and for readers such as DataFusion.
    fn locate(&self, path: &str) -> String;

    /// The whole file, or `None` if there is no such file.
    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>>;

    /// Names and sizes of the files directly in a folder, in no order; none if there is no such folder.
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>>;

    /// All files below a folder, named by their whole paths; none if there is no such folder.
    fn list_below<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>>;

    /// Makes a file that must not be there yet. Others see nothing or the whole, and of several that create the same
    /// path at the same time exactly one gets [`Created::Done`].
    fn create<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created>>;

    /// Makes or replaces a file. Others see the old whole or the new whole.
    fn replace<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>>;

    /// Makes a file that holds the first `from` bytes of `whole` hold all of it.
    fn extend<'a>(&'a self, path: &'a str, whole: &'a [u8], from: usize) -> BoxFuture<'a, Result<()>>;

    /// Removes a file; one that is not there is fine.
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Keeps other processes out until the lock is dropped, where the place knows locks that end with their process.
    fn lock<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Lock>>;

    /// What the place is good at.
    fn traits(&self) -> Traits;
}

/// What is different from place to place and is felt above.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Adding a line to a file costs a line, not the file.
    pub(crate) extends_cheaply: bool,
    /// [`Files::create`] is known to refuse an existing file; elsewhere a run tries it out first.
    pub(crate) creates_exclusively: bool,
}

/// What is to be said of a place whose [`Files::create`] took a file that was there.
pub(crate) fn ignores_conditions() -> Error {
    Error::storage("the object store ignores conditional writes, so results are not safe in it")
        .with_hint("enable them (`If-None-Match` on PUT), or choose a store that has them")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// When it was written, if the place knows.
    pub(crate) modified: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    Done,
    /// There was such a file already. It may be our own, from an attempt whose answer was lost.
    Taken,
}

/// Held until dropped. Empty where the place has no locks; nothing may be wrong without it, only slower or repaired later.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "closing the file releases the lock")] pub(crate) Option<fs::File>);
