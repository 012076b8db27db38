//! Charts made of letters: a line drawn with dots, bars, and a line of little blocks.
//!
//! They show the shape; what counts exactly is in the table. A missing value is a gap and never a zero.

use unicode_width::UnicodeWidthStr;

use super::grid::cut;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    /// One for each label of the axis.
    pub values: Vec<Option<f64>>,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    pub labels: Vec<String>,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Line,
    Bar,
    Spark,
}

impl Form {
    pub const ALL: [(&'static str, Form); 3] = [("line", Form::Line), ("bar", Form::Bar), ("spark", Form::Spark)];

    pub fn named(word: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, form)| form)
    }
}

/// Shows a number beside the axis.
pub type Format<'a> = &'a dyn Fn(f64) -> String;

/// More lines than these nobody tells apart.
const LINES_AT_MOST: usize = 6;
const COLORS: [&str; LINES_AT_MOST] = ["36", "33", "32", "35", "31", "34"];

/// Draws a chart as wide and high as the window lets it, with colors where those can be seen.
pub fn draw(chart: &Chart, form: Form, (width, height): (usize, usize), format: Format, is_colored: bool) -> String {
    match form {
        Form::Line => line(chart, width, height.saturating_sub(6).clamp(5, 16), format, is_colored),
        Form::Bar => bars(chart, width, format),
        Form::Spark => sparks(chart, width, format),
    }
}

fn paint(text: &str, color: usize, is_colored: bool) -> String {
    match is_colored {
        true => format!("\u{1b}[{}m{text}\u{1b}[0m", COLORS[color % COLORS.len()]),
        false => text.to_owned(),
    }
}

/// Where values lie; a line that does not move still has a place.
fn range(chart: &Chart, with_zero: bool) -> Option<(f64, f64)> {
    let values = chart.series.iter().flat_map(|series| series.values.iter().flatten().copied());
    let values = values.filter(|value| value.is_finite());
    let (mut low, mut high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return None;
    }
    if with_zero {
        (low, high) = (low.min(0.0), high.max(0.0));
    }
    if low == high {
        let room = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
        (low, high) = (low - room, high + room);
    }
    Some((low, high))
}

/// A line with eight dots to a letter: two across, four down.
fn line(chart: &Chart, width: usize, height: usize, format: Format, is_colored: bool) -> String {
    let Some((low, high)) = range(chart, false) else { return "no values to draw\n".to_owned() };
    let shown = &chart.series[..chart.series.len().min(LINES_AT_MOST)];
    let marks: Vec<String> = [high, (low + high) / 2.0, low].into_iter().map(format).collect();
    let margin = marks.iter().map(|mark| mark.width()).max().unwrap_or(0);
    let across = width.saturating_sub(margin + 3).clamp(8, 120);
    let (dots_across, dots_down) = (across * 2, height * 4);
    // For each letter the dots, and the series that drew last.
    let mut canvas = vec![(0_u8, 0_usize); across * height];
    let count = chart.labels.len().max(1);
    let x_of = |index: usize| if count == 1 { 0 } else { index * (dots_across - 1) / (count - 1) };
    let y_of = |value: f64| {
        let part = (value - low) / (high - low);
        ((1.0 - part) * (dots_down - 1) as f64).round().clamp(0.0, (dots_down - 1) as f64) as usize
    };
    for (color, series) in shown.iter().enumerate() {
        let mut before: Option<(usize, usize)> = None;
        for (index, value) in series.values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                before = None;
                continue;
            };
            let here = (x_of(index), y_of(value));
            for (x, y) in between(before.unwrap_or(here), here) {
                let cell = &mut canvas[(y / 4) * across + x / 2];
                *cell = (cell.0 | dot(x % 2, y % 4), color);
            }
            before = Some(here);
        }
    }
    let mut text = String::new();
    for row in 0..height {
        let mark = match row {
            0 => &marks[0],
            row if row == height / 2 => &marks[1],
            row if row + 1 == height => &marks[2],
            _ => "",
        };
        let cells: String = canvas[row * across..(row + 1) * across]
            .iter()
            .map(|(dots, color)| {
                let letter = char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' ').to_string();
                if *dots == 0 { " ".to_owned() } else { paint(&letter, *color, is_colored) }
            })
            .collect();
        let cells = cells.trim_end();
        text.push_str(&format!("{}{mark} ┤{cells}\n", " ".repeat(margin - mark.width())));
    }
    text.push_str(&axis(chart, margin, across));
    text.push_str(&legend(chart, shown.len(), is_colored));
    text
}

/// The labels below: the first, one in the middle and the last, as far as there is room.
fn axis(chart: &Chart, margin: usize, across: usize) -> String {
    let indent = " ".repeat(margin + 2);
    let rule = format!("{}└{}\n", " ".repeat(margin + 1), "─".repeat(across));
    let (Some(first), Some(last)) = (chart.labels.first(), chart.labels.last()) else { return rule };
    let middle = chart.labels.get(chart.labels.len() / 2).filter(|_| chart.labels.len() > 2);
    let gap = across.saturating_sub(first.width() + last.width());
    let labels = match middle {
        _ if chart.labels.len() == 1 => first.clone(),
        Some(middle) if gap > middle.width() + 4 => {
            let left = (across.saturating_sub(middle.width()) / 2).saturating_sub(first.width());
            let right = gap - left - middle.width();
            format!("{first}{}{middle}{}{last}", " ".repeat(left), " ".repeat(right))
        }
        _ => format!("{first}{}{last}", " ".repeat(gap.max(1))),
    };
    format!("{rule}{indent}{labels}\n")
}

fn legend(chart: &Chart, shown: usize, is_colored: bool) -> String {
    if chart.series.len() < 2 {
        return String::new();
    }
    let names = chart.series[..shown]
        .iter()
        .enumerate()
        .map(|(color, series)| paint(&format!("● {}", series.name), color, is_colored));
    let names = names.collect::<Vec<_>>().join("  ");
    match chart.series.len() - shown {
        0 => format!("{names}\n"),
        more => format!("{names}  and {more} more that are not drawn\n"),
    }
}

fn dot(x: usize, y: usize) -> u8 {
    const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    DOTS[x][y]
}

/// All dots from one to the other.
fn between((x0, y0): (usize, usize), (x1, y1): (usize, usize)) -> Vec<(usize, usize)> {
    let steps = x0.abs_diff(x1).max(y0.abs_diff(y1)).max(1);
    let at = |from: usize, to: usize, step: usize| {
        let part = step as f64 / steps as f64;
        (from as f64 + (to as f64 - from as f64) * part).round() as usize
    };
    (0..=steps).map(|step| (at(x0, x1, step), at(y0, y1, step))).collect()
}

/// A bar for each label, or for each label and series. Bars below zero go to the left.
fn bars(chart: &Chart, width: usize, format: Format) -> String {
    let Some((low, high)) = range(chart, true) else { return "no values to draw\n".to_owned() };
    let mut rows: Vec<(String, Option<f64>)> = Vec::new();
    for (index, label) in chart.labels.iter().enumerate() {
        for series in &chart.series {
            let name = if chart.series.len() == 1 { label.clone() } else { format!("{label} {}", series.name) };
            rows.push((name, series.values.get(index).copied().flatten()));
        }
    }
    let names = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0).min(width / 3);
    let values: Vec<String> = rows.iter().map(|(_, value)| value.map_or("-".to_owned(), format)).collect();
    let numbers = values.iter().map(|value| value.width()).max().unwrap_or(0);
    let room = width.saturating_sub(names + numbers + 4).clamp(8, 100);
    let left = (room as f64 * (-low / (high - low))).round() as usize;
    let mut text = String::new();
    for ((name, value), number) in rows.iter().zip(&values) {
        let finite = value.filter(|value| value.is_finite()).unwrap_or(0.0);
        let size = (finite / (high - low) * room as f64).clamp(-(room as f64), room as f64);
        let bar = match size {
            size if size >= 0.0 => format!("{}{}", " ".repeat(left), blocks(size)),
            size => {
                let length = ((-size).round() as usize).min(left);
                format!("{}{}", " ".repeat(left - length), "█".repeat(length))
            }
        };
        let name = cut(name, names);
        let blanks = " ".repeat(names - name.width());
        text.push_str(format!("{name}{blanks}  {}{number}  {bar}", " ".repeat(numbers - number.width())).trim_end());
        text.push('\n');
    }
    text
}

/// So many blocks, to an eighth of one.
fn blocks(size: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (size * 8.0).round() as usize;
    // What is there at all is seen.
    let eighths = if size > 0.0 { eighths.max(1) } else { eighths };
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// Each series in one line: its name, little blocks, its first and last value.
fn sparks(chart: &Chart, width: usize, format: Format) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let names = chart.series.iter().map(|series| series.name.width()).max().unwrap_or(0).min(width / 3);
    let mut text = String::new();
    for series in &chart.series {
        let Some((low, high)) = range(&Chart { labels: Vec::new(), series: vec![series.clone()] }, false) else {
            continue;
        };
        let room = width.saturating_sub(names + 30).max(10);
        // The newest ones count most.
        let values = &series.values[series.values.len().saturating_sub(room)..];
        let blocks: String = values
            .iter()
            .map(|value| match value {
                Some(value) if !value.is_finite() => ' ',
                Some(value) => STEPS[(((value - low) / (high - low)) * 7.0).round().clamp(0.0, 7.0) as usize],
                None => ' ',
            })
            .collect();
        let name = cut(&series.name, names);
        let ends = [values.iter().flatten().next(), values.iter().flatten().next_back()];
        let ends: Vec<String> = ends.into_iter().flatten().map(|value| format(*value)).collect();
        text.push_str(&format!("{name}{}  {blocks}  {}\n", " ".repeat(names - name.width()), ends.join(" → ")));
    }
    if text.is_empty() { "no values to draw\n".to_owned() } else { text }
}
