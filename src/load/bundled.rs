//! The catalogue that the binary carries: the files of `kpis/`, as they were when it was built.
//!
//! They are text here; nothing is read.

/// Path below `kpis/` and text of each definition file, in the order of their paths.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// The names by which projects include catalogues.
pub(super) const NAMES: [&str; 1] = ["crm"];

/// The files of a catalogue.
pub(super) fn catalogue(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    NAMES.contains(&name).then_some(FILES)
}
