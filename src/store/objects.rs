//! Results in an object store, below a prefix.
//!
//! A finished upload is durable and appears whole; conditional creation is the store's own. There are no locks and no
//! appending: the manifest is uploaded again as it grows. Retries and timeouts are those of the store's client.

use std::fmt;
use std::sync::Arc;

use datafusion::object_store::path::{Path, PathPart};
use datafusion::object_store::{self, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use futures::TryStreamExt;
use futures::future::{BoxFuture, FutureExt};

use super::files::{Bytes, Created, Files, Listed, Lock, Traits};
use crate::error::{Error, Result};
use crate::location::{Remote, explain_store_error};

pub(crate) struct ObjectFiles {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What the prefix is called outside of its store.
    place: Option<Remote>,
}

impl fmt::Debug for ObjectFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's client knows credentials.
        f.debug_struct("ObjectFiles").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ObjectFiles {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        ObjectFiles { objects, prefix, place: None }
    }

    /// The same with a URL, for messages.
    pub(crate) fn shown_as(self, place: Remote) -> Self {
        ObjectFiles { place: Some(place), ..self }
    }

    fn resolve(&self, path: &str) -> Path {
        path.split('/').fold(self.prefix.clone(), |folder, part| folder.join(PathPart::from(part)))
    }

    fn failed(&self, action: &str, path: &str, source: object_store::Error) -> Error {
        explain_store_error(action, self.locate(path), source)
    }
}

impl Files for ObjectFiles {
    fn locate(&self, path: &str) -> String {
        let key = self.resolve(path);
        self.place.as_ref().map_or_else(|| key.to_string(), |place| place.with_key(&key).to_string())
    }

    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        async move {
            let fetch = async { self.objects.get(&self.resolve(path)).await?.bytes().await };
            match fetch.await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.failed("read", path, error)),
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>> {
        async move {
            match self.objects.list_with_delimiter(Some(&self.resolve(folder))).await {
                Ok(found) => Ok(found
                    .objects
                    .into_iter()
                    .filter_map(|object| {
                        let modified = Some(object.last_modified.into());
                        Some(Listed { name: object.location.filename()?.to_string(), bytes: object.size, modified })
                    })
                    .collect()),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(self.failed("list", folder, error)),
            }
        }
        .boxed()
    }

    fn list_below<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>> {
        async move {
            let below = self.resolve(folder);
            let listed = self.objects.list(Some(&below)).try_collect::<Vec<ObjectMeta>>().await;
            let name = |object: &ObjectMeta| Some(object.location.as_ref().strip_prefix(below.as_ref())?.to_owned());
            match listed {
                Ok(found) => Ok(found
                    .into_iter()
                    .filter_map(|object| {
                        let name = format!("{folder}{}", name(&object)?);
                        Some(Listed { name, bytes: object.size, modified: Some(object.last_modified.into()) })
                    })
                    .collect()),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(self.failed("list", folder, error)),
            }
        }
        .boxed()
    }

    fn create<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created>> {
        async move {
            match self.objects.put_opts(&self.resolve(path), bytes.into(), PutMode::Create.into()).await {
                Ok(_) => Ok(Created::Done),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(Created::Taken)
                }
                Err(error) => Err(self.failed("create", path, error)),
            }
        }
        .boxed()
    }

    fn replace<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>> {
        async move {
            match self.objects.put(&self.resolve(path), bytes.into()).await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failed("write", path, error)),
            }
        }
        .boxed()
    }

    fn extend<'a>(&'a self, path: &'a str, whole: &'a [u8], _from: usize) -> BoxFuture<'a, Result<()>> {
        self.replace(path, whole.to_vec().into())
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            match self.objects.delete(&self.resolve(path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failed("delete", path, error)),
            }
        }
        .boxed()
    }

    fn lock<'a>(&'a self, _path: &'a str) -> BoxFuture<'a, Result<Lock>> {
        async { Ok(Lock(None)) }.boxed()
    }

    fn traits(&self) -> Traits {
        Traits { extends_cheaply: false, creates_exclusively: false }
    }
}
