//! Rows as text in columns, fitted to the width of a window: numbers to the right, long text cut, columns left out from the
//! middle where not all of them fit.
//!
//! What is cut or left out is counted, so that it can be said. A value never breaks a line and never moves the cursor.

use crate::printer::visible;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How columns are set.
#[derive(Debug, Clone)]
pub struct Layout {
    columns: Vec<Column>,
    /// Columns that are not shown, and in front of which shown one they would be.
    left_out: Option<(usize, usize)>,
    /// Whether a text was cut.
    is_cut: bool,
    /// Whether columns are as wide as there was room for, and not as their values are.
    is_fitted: bool,
}

#[derive(Debug, Clone)]
struct Column {
    index: usize,
    name: String,
    width: usize,
    is_number: bool,
    /// Of a text a part says something; of a date it would say something else.
    can_be_cut: bool,
}

/// Between two columns.
const GAP: usize = 2;
/// No text is cut to less.
const LEAST: usize = 8;
const CUT: char = '…';

impl Layout {
    /// As wide as the rows are.
    pub fn whole(schema: &SchemaRef, batches: &[RecordBatch]) -> Layout {
        let columns = schema.fields().iter().enumerate().map(|(index, field)| {
            let name = visible(field.name());
            let values = batches.iter().flat_map(|batch| {
                let width = |cells: Cells| (0..batch.num_rows()).map(|row| cells.text(row).width()).max();
                Cells::of(batch.column(index)).and_then(width)
            });
            let width = values.max().unwrap_or(0).max(name.width());
            Column {
                index,
                name,
                width,
                is_number: is_number(field.data_type()),
                can_be_cut: is_text(field.data_type()),
            }
        });
        Layout { columns: columns.collect(), left_out: None, is_cut: false, is_fitted: false }
    }

    /// Fitted to a window: texts are cut, the longest first, and where that is not enough columns are left out.
    pub fn fitted(schema: &SchemaRef, batches: &[RecordBatch], window: usize) -> Layout {
        let mut layout = Layout::whole(schema, batches);
        let texts = |column: &&mut Column| column.can_be_cut && column.width > LEAST;
        while layout.width() > window {
            let excess = layout.width() - window;
            let Some(widest) = layout.columns.iter_mut().filter(texts).max_by_key(|column| column.width) else { break };
            let width = widest.width;
            let next = layout.columns.iter().filter(|column| column.can_be_cut && column.width < width);
            let next = next.map(|column| column.width).max().unwrap_or(LEAST).max(LEAST);
            let same = layout.columns.iter().filter(|column| column.can_be_cut && column.width == width).count();
            // All of the longest shrink alike.
            let less = excess.div_ceil(same).min(width - next.min(width - 1));
            for column in layout.columns.iter_mut().filter(|column| column.can_be_cut && column.width == width) {
                column.width = width.saturating_sub(less).max(LEAST);
            }
            layout.is_cut = true;
        }
        layout.leave_out(window);
        layout.is_fitted = true;
        layout
    }

    fn width(&self) -> usize {
        let sign = if self.left_out.is_some() { 1 + GAP } else { 0 };
        self.columns.iter().map(|column| column.width + GAP).sum::<usize>().saturating_sub(GAP) + sign
    }

    /// Keeps columns from both ends in turn, as many as there is room for: the first say what a row is, the last are often
    /// results.
    fn leave_out(&mut self, window: usize) {
        let all = self.columns.len();
        if self.width() > window && all > 1 {
            let (mut front, mut back, mut used) = (0, 0, 1);
            while front + back < all {
                let next = if front <= back { front } else { all - 1 - back };
                used += self.columns[next].width + GAP;
                if used > window && front > 0 {
                    break;
                }
                if front <= back { front += 1 } else { back += 1 }
            }
            self.columns.drain(front..all - back);
            self.left_out = Some((front, all - front - back)).filter(|(_, count)| *count > 0);
        }
        if let [only] = self.columns.as_mut_slice()
            && only.can_be_cut
            && only.width > window
        {
            only.width = window.max(1);
            self.is_cut = true;
        }
    }

    /// How many columns are not shown.
    pub fn left_out(&self) -> usize {
        self.left_out.map_or(0, |(_, count)| count)
    }

    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The names of the columns and a line below them.
    fn header(&self, is_bold: bool) -> String {
        let names = self.line(|column| self.set(&column.name, column), "…");
        let rule = self.line(|column| "─".repeat(column.width), "─");
        let names = names.trim_end();
        if is_bold { format!("\u{1b}[1m{names}\u{1b}[0m\n{rule}\n") } else { format!("{names}\n{rule}\n") }
    }

    /// The head and all rows.
    pub fn text(&self, batches: &[RecordBatch], is_bold: bool) -> String {
        self.header(is_bold) + &batches.iter().map(|batch| self.rows(batch)).collect::<String>()
    }

    pub fn rows(&self, batch: &RecordBatch) -> String {
        let cells: Vec<Option<Cells>> =
            self.columns.iter().map(|column| Cells::of(batch.column(column.index))).collect();
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let mut column = 0;
            let line = self.line(
                |shown| {
                    let value = cells[column].as_ref().map(|cells| cells.text(row)).unwrap_or_default();
                    column += 1;
                    self.set(&value, shown)
                },
                "…",
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn set(&self, text: &str, column: &Column) -> String {
        set(text, column.width, column.is_number, self.is_fitted && column.can_be_cut)
    }

    fn line(&self, mut cell: impl FnMut(&Column) -> String, sign: &str) -> String {
        let mut parts: Vec<String> = Vec::with_capacity(self.columns.len() + 1);
        for (position, column) in self.columns.iter().enumerate() {
            if self.left_out.is_some_and(|(at, _)| at == position) {
                parts.push(sign.to_owned());
            }
            parts.push(cell(column));
        }
        if self.left_out.is_some_and(|(at, _)| at >= self.columns.len()) {
            parts.push(sign.to_owned());
        }
        parts.join(&" ".repeat(GAP))
    }
}

/// A value in so much room; one that needs more keeps it, unless it may be cut.
fn set(text: &str, width: usize, to_the_right: bool, can_be_cut: bool) -> String {
    let own = text.width();
    let blanks = " ".repeat(width.saturating_sub(own));
    match () {
        () if own > width && can_be_cut => {
            let cut = cut(text, width);
            let blanks = " ".repeat(width.saturating_sub(cut.width()));
            format!("{cut}{blanks}")
        }
        () if to_the_right => format!("{blanks}{text}"),
        () => format!("{text}{blanks}"),
    }
}

/// As much of a text as there is room for, with a sign at its end.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for letter in text.chars() {
        let own = letter.width().unwrap_or(0);
        if used + own > width {
            break;
        }
        cut.push(letter);
        used += own;
    }
    cut.push(CUT);
    cut
}

/// Rows one after the other, a line for each column, and whether a text was cut to the width of a window.
pub fn records(batch: &RecordBatch, rows_before: usize, window: Option<usize>) -> (String, bool) {
    let fields = batch.schema_ref().fields();
    let names: Vec<String> = fields.iter().map(|field| visible(field.name())).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let cells: Vec<Option<Cells>> = batch.columns().iter().map(|column| Cells::of(column)).collect();
    let room = window.map(|window| window.saturating_sub(width + GAP).max(LEAST));
    let (mut text, mut is_cut) = (String::new(), false);
    for row in 0..batch.num_rows() {
        text.push_str(&format!("── row {} ──\n", rows_before + row + 1));
        for ((name, cells), field) in names.iter().zip(&cells).zip(fields) {
            let mut value = cells.as_ref().map(|cells| cells.text(row)).unwrap_or_default();
            if let Some(room) = room.filter(|room| value.width() > *room && is_text(field.data_type())) {
                value = cut(&value, room);
                is_cut = true;
            }
            let line = format!("{}{}{value}", set(name, width, false, false), " ".repeat(GAP));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    (text, is_cut)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_string() || other.is_binary() || other.is_nested(),
    }
}

pub fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_numeric(),
        other => other.is_numeric(),
    }
}

/// The texts of a column.
pub struct Cells<'a> {
    formatter: ArrayFormatter<'a>,
    array: &'a dyn Array,
}

/// What stands for a missing value.
pub const NULL: &str = "NULL";

const OPTIONS: FormatOptions<'static> =
    FormatOptions::new().with_null(NULL).with_display_error(false).with_duration_format(DurationFormat::ISO8601);

impl<'a> Cells<'a> {
    pub fn of(array: &'a dyn Array) -> Option<Cells<'a>> {
        Some(Cells { formatter: ArrayFormatter::try_new(array, &OPTIONS).ok()?, array })
    }

    pub fn text(&self, row: usize) -> String {
        if self.array.is_null(row) {
            return NULL.to_owned();
        }
        // A date that no calendar has is shown as what it is.
        visible(&self.formatter.value(row).try_to_string().unwrap_or_else(|_| "(no such date)".to_owned()))
    }
}
