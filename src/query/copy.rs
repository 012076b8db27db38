//! `COPY ... TO` one file of this machine: it is there as a whole, or as it was before, and compressed where its name says so.
//!
//! DataFusion writes where it is told, and what was there is gone as soon as it begins. So it is told another name beside it.
//! Folders of files, and objects in stores, are written where they are named; a store shows an object only once it is whole.

use std::path::{Path, PathBuf};

use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::sql::parser::CopyToStatement;
use futures::StreamExt;

use super::files::as_path;
use crate::error::{Error, Result};
use crate::location::{Location, Replacement, Stores, cannot_write, is_url, store_of};

/// The plan, writing beside the file that it names, and that file, if it names one.
///
/// # Errors
/// `Config` where something else than a file has that name; `Storage` where no file can be written there. Both before anything
/// runs.
pub(super) async fn beside(plan: LogicalPlan, stores: &Stores) -> Result<(LogicalPlan, Option<Replacement>)> {
    let LogicalPlan::Copy(mut copy) = plan else { return Ok((plan, None)) };
    copy.output_url = as_path(&copy.output_url);
    compress_as_named(&mut copy);
    let path = Path::new(&copy.output_url);
    let is_folder = copy.output_url.ends_with(['/', '\\']) || path.is_dir() || !copy.partition_by.is_empty();
    let is_odd = path.exists() && !path.is_file() && !path.is_dir();
    if is_url(&copy.output_url) || is_folder || path.extension().is_none() && !is_odd {
        if is_folder || path.extension().is_none() {
            refuse_a_full_folder(&copy.output_url, stores).await?;
        }
        return Ok((LogicalPlan::Copy(copy), None));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| cannot_write(path, error))?;
    }
    let (replacement, _) = Replacement::of(path)?;
    copy.output_url = replacement.temporary().to_string_lossy().into_owned();
    Ok((LogicalPlan::Copy(copy), Some(replacement)))
}

/// Files that are there already would be read together with those that are written, so that a script that runs twice doubles its
/// rows.
async fn refuse_a_full_folder(name: &str, stores: &Stores) -> Result<()> {
    let is_full = match Location::parse(name, &Location::from(PathBuf::from(".")))? {
        Location::Local(path) => std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        Location::Remote(place) => {
            let key = place.object_key()?;
            // A store that does not answer will say so when it is written to.
            match store_of(stores, &place) {
                Ok(store) => store.list(Some(&key)).next().await.is_some_and(|found| found.is_ok()),
                Err(_) => false,
            }
        }
    };
    match is_full {
        true => Err(Error::config(format!("there are files in `{name}` already"))
            .with_hint("name another folder, or take them away: they would be read together with the new ones")),
        false => Ok(()),
    }
}

/// A file that is named `.gz` is one, also where no option says so. Parquet and Arrow compress inside.
fn compress_as_named(copy: &mut CopyTo) {
    let name = copy.output_url.to_ascii_lowercase();
    let named = COMPRESSIONS.iter().find(|(ending, _)| name.ends_with(ending));
    let is_said = copy.options.keys().any(|option| option.ends_with("compression"));
    if let Some((_, compression)) = named.filter(|_| !is_said)
        && ["csv", "json"].contains(&copy.file_type.get_ext().as_str())
    {
        copy.options.insert("format.compression".to_owned(), (*compression).to_owned());
    }
}

/// What a name such as `deals.csv.gz` says of what is written, where the statement does not. DataFusion looks at `.gz` alone.
pub(super) fn store_as_named(copy: &mut CopyToStatement) {
    let name = copy.target.to_ascii_lowercase();
    let plain = COMPRESSIONS.iter().find_map(|(ending, _)| name.strip_suffix(ending));
    if copy.stored_as.is_none()
        && let Some((_, format)) = plain.and_then(|plain| plain.rsplit_once('.'))
        && ["csv", "json"].contains(&format)
    {
        copy.stored_as = Some(format.to_ascii_uppercase());
    }
}

/// Endings of names, and what DataFusion calls the compression.
const COMPRESSIONS: [(&str, &str); 4] = [(".gz", "gzip"), (".zst", "zstd"), (".bz2", "bzip2"), (".xz", "xz")];
