//! A line about what runs, after a second and only where somebody watches: rows, bytes, and what is left.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use kpi::query::Measured;
use kpi::report::format_number;

use crate::commands::shown_bytes;
use crate::printer::Printer;

/// Who is done sooner sees nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_millis(200);

pub struct Watch {
    printer: Printer,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Watch {
    pub fn new(printer: Printer) -> Watch {
        Watch { printer, started: Instant::now(), bar: None }
    }

    /// Until it is time to show something.
    pub async fn tick(&self) {
        let wait = if self.bar.is_none() { PATIENCE.saturating_sub(self.started.elapsed()).max(BEAT) } else { BEAT };
        tokio::time::sleep(wait).await;
    }

    pub fn show(&mut self, measured: Option<Measured>) {
        if self.started.elapsed() < PATIENCE {
            return;
        }
        let elapsed = self.started.elapsed();
        let bar = self.bar.get_or_insert_with(|| self.printer.progress());
        bar.set_message(measured.map(|measured| words(&measured, elapsed)).unwrap_or_default());
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clear();
    }
}

fn words(measured: &Measured, elapsed: Duration) -> String {
    let number = |number: u64| format_number(Some(number as f64), None, None);
    let rows = match measured.total_rows {
        Some(total) if total >= measured.rows && total > 0 => {
            format!("{} of {} rows read", number(measured.rows), number(total))
        }
        _ if measured.rows > 0 => format!("{} rows read", number(measured.rows)),
        _ => return "planning".to_owned(),
    };
    let bytes = if measured.bytes > 0 { format!(", {}", shown_bytes(measured.bytes)) } else { String::new() };
    let left = measured.part().filter(|part| *part > 0.02 && *part < 1.0).map(|part| {
        let left = elapsed.as_secs_f64() * (1.0 - part) / part;
        format!(", about {} left", time(left))
    });
    format!("{rows}{bytes}{}", left.unwrap_or_default())
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{:.0} s", seconds.max(1.0)),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}
