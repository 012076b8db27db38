//! The catalogue that the binary carries: the files of `kpis/`, as they were when it was built.
//!
//! They are text here; nothing is read.

/// Path below `kpis/` and text of each definition file, in the order of their paths.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// The names by which projects include catalogues.
pub(super) const NAMES: [&str; 1] = ["crm"];

/// A catalogue of the binary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Catalogue {
    pub name: &'static str,
    /// Path and text of each file.
    pub files: &'static [(&'static str, &'static str)],
}

/// The catalogue of a name.
pub(super) fn catalogue(name: &str) -> Option<Catalogue> {
    NAMES.into_iter().find(|known| *known == name).map(|name| Catalogue { name, files: FILES })
}
