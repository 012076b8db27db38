//! A failed query in terms of the user's files: the line with the value that does not fit, or the file that is damaged.

use std::collections::BTreeSet;

use super::Engine;
use crate::catalog;
use crate::error::{Error, ErrorKind};
use crate::model::{Kpi, Model, Origin};
use crate::survey::tables_of;

impl Engine {
    /// A failed query in terms of the user's files: the value that does not fit its column's type, with its line.
    pub(super) async fn explain(&self, kpi: &Kpi, error: Error) -> Error {
        explain(self.model(), &tables_of(self.model(), kpi), error).await
    }
}

/// The same for some tables.
pub(super) async fn explain(model: &Model, tables: &BTreeSet<String>, error: Error) -> Error {
    // Only what could not be read has a place in a file.
    let text = error.to_string();
    let signs = [
        "Cast error",
        "Cannot cast",
        "Parser error",
        "Error parsing",
        "cannot read",
        "Parquet",
        "invalid UTF-8",
        "too large to store",
    ];
    let is_unread = signs.iter().any(|sign| text.contains(sign));
    if error.kind() != ErrorKind::Execution || !is_unread {
        return error;
    }
    for table in tables.iter().filter_map(|name| model.tables.get(name)) {
        let Origin::Files { opened, csv, texts, .. } = &table.origin else { continue };
        // Reading everything again is only worth it where the format is what failed.
        if error.message().contains("Parquet")
            && let Some((file, reason)) = catalog::find_broken_file(opened).await
        {
            return Error::execution(format!("`{file}` is damaged: {reason}"))
                .with_hint("export the file again; its beginning and end are right, and something between is not")
                .with_source(error);
        }
        if text.contains("invalid UTF-8")
            && let Some((file, line)) = catalog::find_line_that_is_no_text(opened).await
        {
            return Error::execution(format!("line {line} of `{file}` is not UTF-8"))
                .with_hint("export the file as UTF-8, or mend the line")
                .with_source(error);
        }
        for text in texts {
            let fits = text.clone();
            let broken = catalog::find_broken_value(opened, csv, &text.column, move |value| fits.fits(value)).await;
            if let Some(broken) = broken {
                let place = format!("line {} of `{}`", broken.line, broken.file);
                return Error::execution(format!(
                    "{place}: `{}` in column `{}` is no {}",
                    broken.value, text.column, text.name
                ))
                .with_hint(format!(
                    "mend the line, or change the type, `format` or `null_values` of the column in table `{}`",
                    table.name
                ))
                .with_source(error);
            }
        }
    }
    error
}
