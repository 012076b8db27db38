//! Rows and texts in front of people: fitted to the window, or whole in the pager where there are more than the window has lines.
//!
//! What is cut or left out is said. Nothing here is for programs.

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use kpi::error::{Error, Result};

use super::grid::{self, Layout};
use super::pager::Pager;
use super::shown::{Last, rows};
use crate::commands::count;
use crate::printer::{Printer, visible_lines};

/// The window, and how somebody wants to see rows in it.
pub struct Screen {
    pub printer: Printer,
    /// One column to a line.
    pub is_vertical: bool,
    /// Whether a pager may be used.
    pub has_pager: bool,
}

/// Lines of a table that are its head.
const HEAD: usize = 2;
/// Lines of the window that something else takes: what is said below a table, and the next prompt.
const LINES_BESIDE: usize = 3;
const CUT: &str = "long texts are cut; `\\last` shows them whole";

impl Screen {
    fn pager(&self) -> Option<Pager> {
        Pager::of_environment().filter(|_| self.has_pager)
    }

    /// Puts a text on the screen, in the pager where it is longer than that.
    pub fn put(&self, text: String) -> Result<()> {
        let (_, height) = self.printer.window();
        let is_long = text.lines().count() + 2 > height;
        match self.pager().filter(|_| is_long) {
            Some(pager) if pager.show(&text) => Ok(()),
            _ => self.printer.data(text),
        }
    }

    /// Shows rows: fitted to the window, or whole in the pager where there are more than it has lines, or somebody wants `all`.
    pub fn show(&self, last: &Last, all: bool) -> Result<()> {
        if self.is_vertical { self.records(last, all) } else { self.table(last, all) }
    }

    fn records(&self, last: &Last, all: bool) -> Result<()> {
        let (width, height) = self.printer.window();
        let fits = last.count() * (last.schema.fields().len() + 1) + LINES_BESIDE <= height;
        if (all || !fits)
            && let Some(pager) = self.pager()
            && pager.show(&records(&last.rows, None).0)
        {
            return Ok(());
        }
        let (text, is_cut) = records(&last.rows, if all { None } else { Some(width) });
        if is_cut {
            self.printer.note(CUT);
        }
        self.printer.data(text)
    }

    fn table(&self, last: &Last, all: bool) -> Result<()> {
        let (width, height) = self.printer.window();
        let Last { schema, rows: batches, .. } = last;
        let (count, is_bold) = (last.count(), self.printer.colors_data());
        let fits = HEAD + count + LINES_BESIDE <= height;
        if all || !fits {
            let whole = || Layout::whole(schema, batches).text(batches, is_bold);
            if let Some(pager) = self.pager()
                && pager.show(&whole())
            {
                return Ok(());
            }
            if all {
                return self.printer.data(whole());
            }
        }
        let layout = Layout::fitted(schema, batches, width);
        self.tell_cut(&layout, schema.fields().len());
        if fits {
            return self.printer.data(layout.text(batches, is_bold));
        }
        // The beginning and the end, with a sign for what lies between.
        let between = 1;
        let room = height.saturating_sub(HEAD + between + LINES_BESIDE).max(4);
        let (front, back) = (room.div_ceil(2).min(count), room / 2);
        let back = back.min(count - front);
        let unfit = |error| Error::internal("rows could not be put together").with_source(error);
        let all = concat_batches(schema, batches).map_err(unfit)?;
        let mut text = layout.text(&[all.slice(0, front)], is_bold);
        if count > front + back {
            text.push_str(&format!("⋮ {} between; `\\last` shows all\n", rows(count - front - back)));
        }
        text.push_str(&layout.rows(&all.slice(count - back, back)));
        self.printer.data(text)
    }

    fn tell_cut(&self, layout: &Layout, columns: usize) {
        match (layout.left_out(), layout.is_cut()) {
            (0, false) => {}
            (0, true) => self.printer.note(CUT),
            (some, _) => self.printer.note(format_args!(
                "{some} of {} left out; `\\last` or `\\mode vertical` shows them",
                count(columns, "column")
            )),
        }
    }

    /// How many rows there were.
    pub fn footer(&self, last: &Last) {
        let rows = rows(last.count());
        match last.is_cut {
            true => self.printer.note(format_args!("the first {rows}; `\\rows 0` fetches all")),
            false => self.printer.note(rows),
        }
    }

    /// What EXPLAIN gives, drawn in lines of its own.
    pub fn plan(&self, batches: &[RecordBatch]) -> Result<()> {
        let mut text = String::new();
        for batch in batches {
            let kinds = grid::Cells::of(batch.column(0));
            let plans = batch.column(1).as_string_opt::<i32>();
            for row in 0..batch.num_rows() {
                let kind = kinds.as_ref().map(|kinds| kinds.text(row)).unwrap_or_default();
                let plan = visible_lines(plans.map_or("", |plans| plans.value(row)));
                text.push_str(&format!("{kind}\n{}\n", plan.trim_end()));
            }
        }
        self.put(text)
    }
}

/// Rows one after the other, and whether a text was cut.
fn records(batches: &[RecordBatch], window: Option<usize>) -> (String, bool) {
    let (mut text, mut is_cut, mut before) = (String::new(), false, 0);
    for batch in batches {
        let (records, has_cut) = grid::records(batch, before, window);
        text.push_str(&records);
        is_cut |= has_cut;
        before += batch.num_rows();
    }
    (text, is_cut)
}
