//! `kpi generate`: a made-up CRM to try things on, as large as wanted.

use comfy_table::Cell;
use kpi::error::Result;
use kpi::generate::{GenerateOptions, generate as write_tables};

use super::count;
use crate::args::GenerateArguments;
use crate::printer::Printer;
use crate::table::{Column, table};

pub fn generate(arguments: &GenerateArguments, printer: &Printer) -> Result<u8> {
    let options = GenerateOptions::new(arguments.accounts, arguments.seed, &arguments.out);
    let progress = printer.progress();
    let summary =
        write_tables(&options, &mut |table, rows| progress.set_message(format!("`{table}`: {}", grouped(rows))));
    progress.finish_and_clear();
    let summary = summary?;

    let columns =
        [("Table", Column::Word), ("Rows", Column::Number), ("Files", Column::Number), ("Bytes", Column::Number)];
    let rows = summary.tables.iter().map(|table| {
        let numbers = [table.rows, table.files, table.bytes].map(|number| Cell::new(grouped(number)));
        std::iter::once(Cell::new(table.name)).chain(numbers).collect()
    });
    printer.data(table(printer, &columns, rows.collect()))?;
    let rows = summary.tables.iter().map(|table| table.rows).sum::<u64>();
    let tables = count(summary.tables.len(), "table");
    printer.note(format_args!("\nwrote {tables} with {} rows to `{}`", grouped(rows), arguments.out.display()));
    Ok(0)
}

fn grouped(number: u64) -> String {
    kpi::report::format_number(Some(number as f64), None, None)
}
