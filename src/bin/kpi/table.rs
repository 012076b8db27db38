//! Tables for people: a header, a rule and rows, numbers to the right.
//!
//! On a narrow terminal words wrap and numbers never do. What goes into the cells is decided by the commands.

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets,
};

use crate::printer::{Printer, visible_lines};

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// To the left, wrapped between words where the terminal is narrow, but kept at least so wide.
    Text(u16),
    /// To the left, never wrapped.
    Word,
    /// To the right, never wrapped.
    Number,
}

/// The widest table for people.
const WIDTH_AT_MOST: u16 = 100;

/// Lays out rows under a header. Lines end without spaces.
pub fn table(printer: &Printer, columns: &[(&str, Column)], rows: Vec<Vec<Cell>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for component in [TableComponent::HeaderLines, TableComponent::MiddleHeaderIntersections] {
        table.set_style(component, '─');
    }
    table.set_header(columns.iter().map(|(name, _)| Cell::new(name).add_attribute(Attribute::Bold)));
    if printer.is_terminal() {
        // Asked before the table is told not to look at the terminal.
        let width = table.width().unwrap_or(WIDTH_AT_MOST).min(WIDTH_AT_MOST);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    } else {
        // Programs that read it line by line want whole rows.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.force_no_tty();
    if printer.colors_data() {
        table.enforce_styling();
    }
    // A value of the data may hold what moves the cursor.
    let shown = |cell: Cell| match visible_lines(&cell.content()) {
        text if text == cell.content() => cell,
        text => Cell::new(text),
    };
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(shown).collect::<Vec<_>>()));
    let last = columns.len().saturating_sub(1);
    for (index, (_, kind)) in columns.iter().enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding((0, if index == last { 0 } else { 2 }));
        column.set_constraint(match kind {
            Column::Text(least) => ColumnConstraint::LowerBoundary(Width::Fixed(*least)),
            Column::Word | Column::Number => ColumnConstraint::ContentWidth,
        });
        if *kind == Column::Number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}
