//! The names of objects in a store, for completion: those that continue a URL which somebody types.
//!
//! A store is asked once for each answer. Whoever asks says how long to wait.

use std::path::PathBuf;

use datafusion::object_store::path::Path as Key;
use futures::TryFutureExt;

use super::complete::{Candidate, can_be_typed, holds_data};
use crate::error::Result;
use crate::location::{Location, Stores, explain_store_error, store_of};

/// The stores of a session.
#[derive(Debug, Clone)]
pub struct Objects {
    pub(super) stores: Stores,
}

impl Objects {
    /// What stands below a URL, up to the next slash: `s3://lake/exports/or` may go on as `orders.parquet` or `orders/`.
    ///
    /// # Errors
    /// `Config` where it is the URL of no store, `Storage` where the store does not answer.
    pub async fn fitting(&self, url: &str) -> Result<Vec<Candidate>> {
        let (folder, begun) = url.rsplit_once('/').unwrap_or((url, ""));
        let Location::Remote(remote) = Location::parse(folder, &Location::from(PathBuf::new()))? else {
            return Ok(Vec::new());
        };
        if remote.is_web() {
            // A web server has files and no lists.
            return Ok(Vec::new());
        }
        let store = store_of(&self.stores, &remote)?;
        let key = remote.object_key()?;
        let listed = store
            .list_with_delimiter(Some(&key))
            .map_err(|error| explain_store_error("cannot look at", &remote, error))
            .await?;
        let last = |key: &Key| key.filename().unwrap_or_default().to_owned();
        let folders = listed.common_prefixes.iter().map(|key| Candidate::new(format!("{}/", last(key)), "folder"));
        let files = listed.objects.iter().map(|object| Candidate::new(last(&object.location), "file"));
        let files = files.filter(|file| holds_data(&file.text));
        let mut fitting: Vec<Candidate> =
            folders.chain(files).filter(|one| one.text.starts_with(begun) && can_be_typed(&one.text)).collect();
        fitting.sort();
        Ok(fitting)
    }
}
