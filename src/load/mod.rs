//! From the files below `kpis/` to what was written in them, with every mistake at its place.
//!
//! A broken file, document or key is a diagnostic; the rest still loads. A project that includes the bundled catalogue has
//! its definitions as well, as the project's own documents change them. Nothing here knows whether a name exists or an
//! expression makes sense: that is `validate`. Only this module knows YAML.

mod bundled;
mod deserialize;
mod document;
mod explain;
mod include;
mod settings;
mod sql_file;
mod tree;
mod yaml;

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, FileId, Sources, Span};
use crate::error::{Error, Result};
use crate::spec::{Document, Spanned};
use bundled::Catalogue;
use tree::{Entry, Node};

pub use settings::override_settings;

/// Everything that could be read of a project, and what could not.
#[derive(Debug, Clone)]
pub struct LoadedProject {
    /// The folder that holds `kpis/`, or the folder of definitions itself where that was named.
    pub root: PathBuf,
    pub sources: Sources,
    /// In the order of the files' paths and of the documents in each file.
    pub documents: Vec<LoadedDocument>,
    /// Documents of which only kind and name are known. Whoever refers to one does not deserve a second complaint.
    pub broken: Vec<BrokenDocument>,
    pub diagnostics: Vec<Diagnostic>,
}

impl LoadedProject {
    /// A project without a single definition.
    pub fn empty(root: &Path) -> LoadedProject {
        let root = root.to_owned();
        let (sources, documents) = (Sources::default(), Vec::new());
        LoadedProject { root, sources, documents, broken: Vec::new(), diagnostics: Vec::new() }
    }
}

/// One document that could be read, perhaps without the keys that had mistakes.
#[derive(Debug, Clone)]
pub struct LoadedDocument {
    pub file: FileId,
    /// The first folder below `kpis/`, if the file lies in one.
    pub folder_tag: Option<String>,
    /// The place of the document's name, such as that of `close_rate` in `kpi: close_rate`.
    pub span: Span,
    pub document: Document,
    /// Top-level keys that had mistakes and were left out, under the names they should have. That one of them is missing
    /// needs no second diagnostic.
    pub taken_out: Vec<String>,
    /// Whether it is a definition of the included catalogue that the project does not change.
    pub is_included: bool,
}

/// A document with mistakes that left nothing to work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenDocument {
    pub kind: DocumentKind,
    pub name: String,
}

/// What a document's first key says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    Project,
    Objective,
    Table,
    Kpi,
}

impl DocumentKind {
    pub fn key(self) -> &'static str {
        match self {
            DocumentKind::Project => "project",
            DocumentKind::Objective => "objective",
            DocumentKind::Table => "table",
            DocumentKind::Kpi => "kpi",
        }
    }

    pub fn in_words(self) -> &'static str {
        match self {
            DocumentKind::Project => "project",
            DocumentKind::Table => "table",
            DocumentKind::Kpi => "KPI",
            DocumentKind::Objective => "objective",
        }
    }

    fn from_key(key: &str) -> Option<Self> {
        let all = [DocumentKind::Project, DocumentKind::Objective, DocumentKind::Table, DocumentKind::Kpi];
        all.into_iter().find(|kind| kind.key() == key)
    }
}

/// Larger files hold data, not definitions.
const FILE_BYTES_AT_MOST: u64 = 1 << 20;
/// Deeper folders than people make.
const FOLDERS_AT_MOST: usize = 16;

/// Reads all definition files of a project: those below `<project_dir>/kpis`, or, where there is no such folder, below
/// `project_dir` itself.
///
/// # Errors
/// Only if there is no such folder, or it cannot be listed. All else is among the diagnostics.
pub fn load(project_dir: &Path) -> Result<LoadedProject> {
    let definitions = definitions_folder(project_dir)?;
    let mut diagnostics = Vec::new();
    let mut sources = Sources::default();
    let mut walk = Walk { project_dir, visited: HashSet::new(), files: Vec::new(), refused: Vec::new() };
    walk.folder(&definitions, 0)?;
    let Walk { mut files, refused, .. } = walk;
    files.sort();

    let mut own = Parts::default();
    for path in &files {
        let shown = path.strip_prefix(project_dir).unwrap_or(path);
        match read_text(path) {
            Ok(text) => {
                let file = sources.add(shown, text);
                let folder_tag = folder_tag(path, &definitions);
                read_file(file, &sources.get(file).text, is_sql(path), folder_tag, &mut own, &mut diagnostics);
            }
            Err(message) => diagnostics.push(unreadable(&mut sources, shown, message)),
        }
    }
    for (path, message) in refused {
        let shown = path.strip_prefix(project_dir).unwrap_or(&path);
        diagnostics.push(unreadable(&mut sources, shown, message));
    }
    let Parts { documents: own, broken: mut broken_documents } = own;
    let written = match include::included(&own) {
        Some(catalogue) => {
            let included = documents_of(catalogue, &mut sources, &mut diagnostics);
            include::combine(included, own, &mut broken_documents, &mut diagnostics)
        }
        None => {
            include::without_catalogue(&own, &mut diagnostics);
            own
        }
    };
    let mut documents = Vec::with_capacity(written.len());
    for written in written {
        match understand(written, &sources, &mut diagnostics) {
            Understood::Document(document) => documents.push(*document),
            Understood::Broken(document) => broken_documents.push(document),
            Understood::Nothing => {}
        }
    }
    if documents.is_empty() && diagnostics.is_empty() {
        let message = format!("there are no definitions in `{}`", definitions.display());
        let hint = "write a file such as `kpis/sales.yaml`, or start from an example with `kpi init DIR`";
        diagnostics.push(Diagnostic::error("empty-project", message).hint(hint));
    }
    Ok(LoadedProject { root: project_dir.to_owned(), sources, documents, broken: broken_documents, diagnostics })
}

/// The documents of a catalogue that the binary carries.
fn documents_of(catalogue: Catalogue, sources: &mut Sources, diagnostics: &mut Vec<Diagnostic>) -> Vec<Written> {
    let mut parts = Parts::default();
    for (path, text) in catalogue.files {
        let file = sources.add(format!("{}:{path}", catalogue.name), *text);
        let path = Path::new(path);
        read_file(file, text, is_sql(path), folder_tag(path, Path::new("")), &mut parts, diagnostics);
    }
    // Its files are tested when it is built.
    debug_assert_eq!(parts.broken, []);
    let mut documents = parts.documents;
    documents.iter_mut().for_each(|document| document.stems_from_catalogue = true);
    documents
}

#[derive(Default)]
struct Parts {
    documents: Vec<Written>,
    broken: Vec<BrokenDocument>,
}

/// A document as a tree, before it is read into the types of `spec`.
#[derive(Debug, Clone)]
struct Written {
    file: FileId,
    folder_tag: Option<String>,
    root: Node,
    /// The query behind the header, in a `.sql` file.
    query: Option<Span>,
    stems_from_catalogue: bool,
    /// Whether the project changes what stems from the catalogue.
    is_changed: bool,
}

impl Written {
    fn is(&self, kind: DocumentKind) -> bool {
        self.first().is_some_and(|entry| entry.key == kind.key())
    }

    /// What it is and what it is called, if both can be told.
    fn name(&self) -> Option<(DocumentKind, String)> {
        let first = self.first()?;
        Some((DocumentKind::from_key(&first.key)?, first.node.scalar()?.to_owned()))
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.root.entries().iter().find(|entry| entry.key == key && !entry.taken_out)
    }

    fn first(&self) -> Option<&Entry> {
        self.root.entries().iter().find(|entry| !entry.taken_out)
    }
}

/// Reads the documents of one file.
fn read_file(
    file: FileId,
    text: &str,
    is_sql: bool,
    folder_tag: Option<String>,
    project: &mut Parts,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if !is_sql {
        for place in yaml::documents(text) {
            read_document(file, text, place, None, &folder_tag, project, diagnostics);
        }
        return;
    }
    match sql_file::split(file, text) {
        Ok((header, query)) => {
            let query = Span { file, start: query.start, end: query.end };
            read_document(file, text, header, Some(query), &folder_tag, project, diagnostics);
        }
        Err(missing) => diagnostics.push(*missing),
    }
}

fn read_document(
    file: FileId,
    text: &str,
    place: Range<usize>,
    query: Option<Span>,
    folder_tag: &Option<String>,
    project: &mut Parts,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let written = &text[place.clone()];
    let mistakes = diagnostics.len();
    let Some(root) = yaml::parse(file, text, place.clone(), diagnostics) else {
        project.broken.extend(guess_name(written));
        if query.is_some() && diagnostics.len() == mistakes {
            let span = Span { file, start: place.start.saturating_sub(3), end: place.start };
            let mistake = Diagnostic::error("missing-header", "the header is empty").at(span);
            diagnostics.push(mistake.hint("write a line `table: name` or `kpi: name` between `/* ---` and `--- */`"));
        }
        return;
    };
    let folder_tag = folder_tag.clone();
    let written = Written { file, folder_tag, root, query, stems_from_catalogue: false, is_changed: false };
    project.documents.push(written);
}

enum Understood {
    Document(Box<LoadedDocument>),
    Broken(BrokenDocument),
    Nothing,
}

fn understand(written: Written, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Understood {
    let Written { file, folder_tag, root, query, stems_from_catalogue, is_changed } = written;
    match document::read(root, diagnostics) {
        document::Read::Document { document, span, taken_out } => {
            let mut document = *document;
            if let Some(query) = query {
                attach_query(&mut document, &sources.get(query.file).text, query, span, diagnostics);
            }
            let is_included = stems_from_catalogue && !is_changed;
            Understood::Document(Box::new(LoadedDocument { file, folder_tag, span, document, taken_out, is_included }))
        }
        document::Read::Broken(broken) => Understood::Broken(broken),
        document::Read::Nothing => Understood::Nothing,
    }
}

fn attach_query(document: &mut Document, text: &str, query: Span, name: Span, diagnostics: &mut Vec<Diagnostic>) {
    if query.start == query.end {
        let mistake = Diagnostic::error("missing-key", "there is no query behind the header").at(name);
        diagnostics.push(mistake.hint("write one SELECT behind `--- */`"));
        return;
    }
    let query = Some(Spanned::new(text[query.start..query.end].to_owned(), query));
    match document {
        Document::Table(table) => table.query = query,
        Document::Kpi(kpi) => kpi.query = query,
        Document::Project(_) => diagnostics.push(without_query("project", "a project", name)),
        Document::Objective(_) => diagnostics.push(without_query("objective", "an objective", name)),
    }
}

fn without_query(kind: &str, with_article: &str, name: Span) -> Diagnostic {
    let message = format!("a `.sql` file holds a table or a KPI, not {with_article}");
    let hint = format!("write the {kind} into a file that ends in `.yaml`");
    Diagnostic::error("unknown-document", message).at(name).hint(hint)
}

/// The kind and name of a document that is no YAML, from the first line that looks like them.
fn guess_name(document: &str) -> Option<BrokenDocument> {
    document.lines().find_map(|line| {
        let (key, name) = line.split_once(':')?;
        let kind = DocumentKind::from_key(key.trim())?;
        let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!name.is_empty()).then_some(BrokenDocument { kind, name })
    })
}

/// `<dir>/kpis`, or `<dir>` where it holds definitions itself.
fn definitions_folder(project_dir: &Path) -> Result<PathBuf> {
    let definitions = project_dir.join("kpis");
    if definitions.is_dir() {
        return Ok(definitions);
    }
    if project_dir.is_file() {
        return Err(Error::config(format!("`{}` is a file, not a project folder", project_dir.display()))
            .with_hint("name the folder that holds `kpis/`"));
    }
    let holds_definitions =
        project_dir.is_dir() && list(project_dir)?.iter().any(|(path, _)| is_definition(path) && path.is_file());
    if holds_definitions {
        return Ok(project_dir.to_owned());
    }
    let message = match project_dir.is_dir() {
        true => format!("there is no folder `{}`", definitions.display()),
        false => format!("there is no folder `{}`", project_dir.display()),
    };
    Err(Error::config(message).with_hint("name the folder that holds `kpis/`, or start a project with `kpi init DIR`"))
}

struct Walk<'p> {
    project_dir: &'p Path,
    /// Folders seen, by their true path, so that links cannot lead in circles.
    visited: HashSet<PathBuf>,
    files: Vec<PathBuf>,
    refused: Vec<(PathBuf, String)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<()> {
        let true_path = fs::canonicalize(folder)
            .map_err(|error| Error::storage(format!("cannot open `{}`", folder.display())).with_source(error))?;
        if !self.visited.insert(true_path) {
            return Ok(());
        }
        for (path, is_link) in list(folder)? {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if is_link && let Err(message) = self.check_link(&path) {
                self.refused.push((path, message));
                continue;
            }
            if path.is_dir() {
                if depth >= FOLDERS_AT_MOST {
                    self.refused.push((path, format!("folders are nested more than {FOLDERS_AT_MOST} deep")));
                } else if let Err(error) = self.folder(&path, depth + 1) {
                    self.refused.push((path, error.to_string()));
                }
            } else if is_definition(&path) {
                self.files.push(path);
            }
        }
        Ok(())
    }

    /// Links may point to other places of the project, not out of it.
    fn check_link(&self, path: &Path) -> std::result::Result<(), String> {
        let target = fs::canonicalize(path).map_err(|error| format!("the link leads nowhere: {error}"))?;
        let project = fs::canonicalize(self.project_dir).map_err(|error| error.to_string())?;
        if target.starts_with(project) { Ok(()) } else { Err("the link leads out of the project".to_owned()) }
    }
}

/// What a folder holds, and whether each is a link.
fn list(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let failed =
        |error: std::io::Error| Error::storage(format!("cannot list `{}`", folder.display())).with_source(error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_link = entry.file_type().map_err(failed)?.is_symlink();
        found.push((entry.path(), is_link));
    }
    found.sort();
    Ok(found)
}

fn is_definition(path: &Path) -> bool {
    is_sql(path) || has_ending(path, "yaml") || has_ending(path, "yml")
}

fn is_sql(path: &Path) -> bool {
    has_ending(path, "sql")
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

fn folder_tag(path: &Path, definitions: &Path) -> Option<String> {
    let mut components = path.strip_prefix(definitions).ok()?.components();
    let first = components.next()?;
    components.next()?;
    Some(first.as_os_str().to_string_lossy().into_owned())
}

/// The text of a file, or why it cannot be had.
fn read_text(path: &Path) -> std::result::Result<String, String> {
    let in_words = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    // A pipe or a device would wait for ever.
    if !fs::metadata(path).map_err(in_words)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(in_words)?;
    file.take(FILE_BYTES_AT_MOST + 1).read_to_end(&mut bytes).map_err(in_words)?;
    if bytes.len() as u64 > FILE_BYTES_AT_MOST {
        return Err("it is larger than 1 MiB, which is too large for definitions".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        format!("line {} is not UTF-8", line + 1)
    })
}

fn unreadable(sources: &mut Sources, shown: &Path, message: String) -> Diagnostic {
    let file = sources.add(shown, "");
    let hint = match message.as_str() {
        _ if message.ends_with("is not UTF-8") => "save the file as UTF-8",
        "the link leads out of the project" => "copy the file into the project",
        _ => "definition files are small, readable text files",
    };
    Diagnostic::error("unreadable-file", format!("cannot read `{}`: {message}", shown.display()))
        .at(Span { file, start: 0, end: 0 })
        .hint(hint)
}

#[cfg(test)]
mod tests;
