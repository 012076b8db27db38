//! The promises of the store, each kept under faults that are put in at [`Files`], by racing threads, and by processes
//! that die at named points.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::memory::InMemory;
use futures::future::{BoxFuture, FutureExt};

use super::files::{Bytes, Created, Listed, Lock, Traits};
use super::*;
use crate::error::ErrorKind;

// ---- helpers: tiny results, whole runs, places ----

fn table(values: &[i64]) -> (SchemaRef, Vec<RecordBatch>) {
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap();
    (schema, vec![batch])
}

fn values(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// A result whose inputs are its value: different values are different work.
async fn candidate(run: &mut Run, kpi: &str, value: i64) -> Result<Candidate> {
    let (schema, batches) = table(&[value, value]);
    let staged = run.stage(kpi, &schema, &batches).await?;
    Ok(Candidate {
        staged,
        fingerprint: "definition".into(),
        input_digest: value.to_string(),
        audit: vec![],
        headline: None,
        basis: None,
    })
}

async fn commit_in(mut run: Run, kpis: &[(&str, i64)], removals: &[&str]) -> Result<CommitOutcome> {
    let mut commit = Commit { removals: removals.iter().map(|kpi| kpi.to_string()).collect(), ..Commit::default() };
    for (kpi, value) in kpis {
        commit.candidates.push(candidate(&mut run, kpi, *value).await?);
    }
    run.commit(commit).await
}

async fn run(store: &Store, kpis: &[(&str, i64)]) -> Result<CommitOutcome> {
    commit_in(store.begin(unleased()).await?, kpis, &[]).await
}

/// One row of each KPI, as a table over the version.
fn total() -> Summary<'static> {
    Summary {
        name: "kpi_values".into(),
        fingerprint: "total".into(),
        schema: table(&[]).0,
        build: Box::new(|rows| Ok(rows.slice(0, 1))),
    }
}

fn unleased() -> RunInfo {
    RunInfo { without_lease: true, ..leased() }
}

fn leased() -> RunInfo {
    RunInfo { program: "0.1.0".into(), as_of: Some("2025-01-31".into()), ..RunInfo::default() }
}

fn store(files: impl Files + 'static) -> Store {
    Store { files: Arc::new(files) }
}

/// All KPIs of the newest version, with every row checked to be of one piece.
async fn visible(store: &Store) -> Vec<(String, i64)> {
    let Some(head) = store.head().await.unwrap() else { return Vec::new() };
    let mut seen = Vec::new();
    for kpi in head.kpis.keys() {
        let rows = values(&store.read_kpi(&head, kpi).await.unwrap().unwrap());
        if kpi == "kpi_values" {
            seen.push((kpi.clone(), rows.iter().sum()));
            continue;
        }
        assert!(rows.iter().all(|value| *value == rows[0]), "a torn result: {rows:?}");
        seen.push((kpi.clone(), rows[0]));
    }
    seen
}

fn named(kpis: &[(&str, i64)]) -> Vec<(String, i64)> {
    kpis.iter().map(|(kpi, value)| (kpi.to_string(), *value)).collect()
}

/// The plain copies are exactly the KPIs of the newest version.
async fn assert_published(store: &Store) {
    let head = store.head().await.unwrap().unwrap();
    let mut copies = store.files.list("published").await.unwrap();
    copies.retain(|file| file.name.ends_with(".parquet"));
    assert_eq!(copies.len(), head.kpis.len(), "{copies:?}");
    for (kpi, entry) in &head.kpis {
        let copy = store.files.read(&format!("published/{kpi}.parquet")).await.unwrap().unwrap();
        assert_eq!(blake3::hash(&copy).to_hex().as_str(), entry.files[0].blake3, "copy of {kpi}");
    }
}

const IN_MEMORY: &str = "objects in memory";

/// Every kind of place, the folder of which lives as long as the guard.
fn places() -> Vec<(&'static str, Store, Option<tempfile::TempDir>)> {
    let folder = || tempfile::tempdir().unwrap();
    let (a, b, c) = (folder(), folder(), folder());
    let prefix = || object_store::path::Path::from("some/prefix");
    let disk = LocalFileSystem::new_with_prefix(c.path()).unwrap();
    vec![
        ("local", store(LocalFiles::new(&a.path().join("out"))), Some(a)),
        ("local without hard links", store(LocalFiles::without_hard_links(&b.path().join("out"))), Some(b)),
        ("objects on disk", Store::open_objects(Arc::new(disk), prefix()), Some(c)),
        (IN_MEMORY, Store::open_objects(Arc::new(InMemory::new()), prefix()), None),
    ]
}

fn local() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_local(&folder.path().join("out")).unwrap();
    (folder, store)
}

fn committed(outcome: CommitOutcome) -> LogRecord {
    match outcome {
        CommitOutcome::Committed { record, unpublished: None } => record,
        other => panic!("not committed: {other:?}"),
    }
}

// ---- one writer ----

#[tokio::test]
async fn what_is_committed_is_read_back_everywhere() {
    for (place, store, _guard) in places() {
        assert!(store.head().await.unwrap().is_none(), "{place}");
        let first = committed(run(&store, &[("a", 1), ("b", 2)]).await.unwrap());
        assert_eq!((first.version, first.parent), (1, None));
        let second = committed(run(&store, &[("b", 3)]).await.unwrap());
        assert_eq!((second.version, second.parent), (2, Some(1)));
        assert_eq!((second.kpis["a"].committed_in, second.kpis["b"].committed_in), (1, 2), "{place}");
        assert_eq!(visible(&store).await, named(&[("a", 1), ("b", 3)]), "{place}");
        assert_eq!(store.record(1).await.unwrap().unwrap(), first, "old versions stay as they are");
        assert!(store.read_kpi(&first, "nothing").await.unwrap().is_none());
        assert_published(&store).await;

        let removing = store.begin(unleased()).await.unwrap();
        let third = committed(commit_in(removing, &[], &["a"]).await.unwrap());
        assert_eq!(third.removed, ["a"]);
        assert_eq!(visible(&store).await, named(&[("b", 3)]), "{place}");
        assert_published(&store).await;
    }
}

#[tokio::test]
async fn looking_makes_no_folder() {
    let (folder, store) = local();
    assert!(store.head().await.unwrap().is_none());
    assert!(store.runs().await.unwrap().is_empty());
    assert!(!store.repair_published().await.unwrap());
    assert!(!folder.path().join("out").exists());
}

#[tokio::test]
async fn a_result_without_rows_keeps_its_schema() {
    let (_folder, store) = local();
    let mut run = store.begin(leased()).await.unwrap();
    let (schema, _) = table(&[]);
    let staged = run.stage("a", &schema, &[]).await.unwrap();
    let candidate = Candidate {
        staged,
        fingerprint: "f".into(),
        input_digest: "i".into(),
        audit: vec![],
        headline: None,
        basis: None,
    };
    let record = committed(run.commit(Commit { candidates: vec![candidate], ..Commit::default() }).await.unwrap());
    let batches = store.read_kpi(&record, "a").await.unwrap().unwrap();
    assert_eq!((batches.len(), batches[0].num_rows(), batches[0].schema()), (1, 0, schema));
}

#[tokio::test]
async fn an_abandoned_run_leaves_its_manifest_and_nothing_else() {
    let (folder, store) = local();
    let mut run = store.begin(leased()).await.unwrap();
    let id = run.id().to_string();
    candidate(&mut run, "a", 1).await.unwrap();
    run.abandon("the test says so").await;
    assert!(store.head().await.unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path().join("out/data/a")).unwrap().count(), 0);
    assert!(!folder.path().join("out/_kpi/lease.json").exists());
    let last = store.manifest(&id).await.unwrap().unwrap().events.pop().unwrap();
    assert_eq!((last.status, last.reason.as_deref()), (Status::Abandoned, Some("the test says so")));
}

#[tokio::test]
async fn a_kpi_staged_again_replaces_its_candidate() {
    let (folder, store) = local();
    let mut run = store.begin(leased()).await.unwrap();
    candidate(&mut run, "a", 1).await.unwrap();
    let again = candidate(&mut run, "a", 2).await.unwrap();
    committed(run.commit(Commit { candidates: vec![again], ..Commit::default() }).await.unwrap());
    assert_eq!(visible(&store).await, named(&[("a", 2)]));
    let runs = fs::read_dir(folder.path().join("out/data/a")).unwrap();
    let files: Vec<_> = runs.flat_map(|run| fs::read_dir(run.unwrap().path()).unwrap()).collect();
    assert_eq!(files.len(), 1, "the first candidate is gone");
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let (_folder, store) = local();
    let mut run = store.begin(leased()).await.unwrap();
    let (schema, batches) = table(&[1]);
    for name in ["", "..", "a/b", "a\\b", ".a", "a b", "ä"] {
        let error = run.stage(name, &schema, &batches).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}");
    }
    assert!(store.files.read("data/../../secret").await.is_err());
}

#[test]
fn the_wire_format_is_stable() {
    let entry = Entry {
        files: vec![DataFile {
            path: "data/a/r/part-0.parquet".into(),
            bytes: 10,
            rows: 2,
            blake3: "00ff".into(),
            groups: vec!["aa".into()],
        }],
        fingerprint: "f".into(),
        input_digest: "i".into(),
        as_of: Some("2025-01-31".into()),
        rows: 2,
        audit: vec![Audit { name: "grain_is_unique".into(), status: AuditStatus::Passed, detail: None }],
        headline: None,
        basis: Some("b".into()),
        committed_in: 3,
    };
    let input = Input {
        table: "deals".into(),
        path: "deals.parquet".into(),
        bytes: 7,
        modified: Some("2025-01-01T00:00:00Z".into()),
        etag: None,
        version: None,
        rows: Some(1),
        covers: BTreeMap::from([("time".into(), "2025".into())]),
    };
    let record = LogRecord {
        format_version: FORMAT_VERSION,
        version: 3,
        commit_id: "c".into(),
        run_id: "r".into(),
        parent: Some(2),
        created_at: "2025-02-01T00:00:00.000Z".into(),
        program: "0.1.0".into(),
        as_of: Some("2025-01-31".into()),
        kpis: [("a".to_string(), entry)].into(),
        removed: vec![],
        inputs: vec![input],
        restores: None,
    };
    let compact = serde_json::to_string(&record).unwrap();
    assert_eq!(
        compact,
        concat!(
            r#"{"format_version":1,"version":3,"commit_id":"c","run_id":"r","parent":2,"#,
            r#""created_at":"2025-02-01T00:00:00.000Z","program":"0.1.0","as_of":"2025-01-31","#,
            r#""kpis":{"a":{"files":[{"path":"data/a/r/part-0.parquet","bytes":10,"rows":2,"blake3":"00ff","groups":["aa"]}],"#,
            r#""fingerprint":"f","input_digest":"i","as_of":"2025-01-31","rows":2,"#,
            r#""audit":[{"name":"grain_is_unique","status":"passed"}],"basis":"b","committed_in":3}},"#,
            r#""inputs":[{"table":"deals","path":"deals.parquet","bytes":7,"modified":"2025-01-01T00:00:00Z","rows":1,"#,
            r#""covers":{"time":"2025"}}]}"#
        )
    );
    assert_eq!(LogRecord::from_json(compact.as_bytes(), "here").unwrap(), record);
}

// ---- what lies on disk is not what was left there ----

#[tokio::test]
async fn the_hint_may_be_anything() {
    let (folder, store) = local();
    for value in 1..=4 {
        run(&store, &[("a", value)]).await.unwrap();
    }
    let hint = folder.path().join("out/_kpi/latest");
    assert_eq!(fs::read_to_string(&hint).unwrap(), "4\n");
    for wrong in ["1\n", "3", "0\n", "99\n", "", "nonsense", "-1"] {
        fs::write(&hint, wrong).unwrap();
        assert_eq!(store.head().await.unwrap().unwrap().version, 4, "{wrong:?}");
    }
    fs::remove_file(&hint).unwrap();
    assert_eq!(store.head().await.unwrap().unwrap().version, 4);
    // Old records may be cleaned away, and strangers may lie about.
    for name in ["00000000000000000001.json", "00000000000000000002.json"] {
        fs::remove_file(folder.path().join("out/_kpi/log").join(name)).unwrap();
    }
    fs::write(folder.path().join("out/_kpi/log/.00000000000000000009.json.x.tmp"), "{").unwrap();
    fs::write(folder.path().join("out/_kpi/log/notes.json"), "{").unwrap();
    fs::write(&hint, "1\n").unwrap();
    assert_eq!(store.head().await.unwrap().unwrap().version, 4);
}

#[tokio::test]
async fn a_torn_manifest_is_read_as_far_as_it_goes() {
    let (folder, store) = local();
    let mut run = store.begin(leased()).await.unwrap();
    let id = run.id().to_string();
    run.event(&ManifestEvent::new(Phase::Execute, Status::Done).kpi("a").rows(3)).await.unwrap();
    let path = folder.path().join("out/_kpi/runs").join(format!("{id}.jsonl"));
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"phase\":\"lunch\",\"status\":\"eaten\"}\n{\"ts\":\"2025-");
    fs::write(&path, text).unwrap();

    let manifest = store.manifest(&id).await.unwrap().unwrap();
    assert_eq!(manifest.unreadable_lines, 1);
    let phases: Vec<_> = manifest.events.iter().map(|event| event.phase).collect();
    assert_eq!(phases, [Phase::Run, Phase::Execute, Phase::Unknown], "a newer program's phase is no obstacle");
    assert_eq!(manifest.events[0].start.as_ref().unwrap().program, "0.1.0");
    assert!(manifest.events[..2].iter().all(|event| event.run_id == id && event.ts.ends_with('Z')));
    assert_eq!(store.runs().await.unwrap(), [id]);
    assert!(store.manifest("nobody").await.unwrap().is_none());
}

#[tokio::test]
async fn records_of_the_future_are_refused() {
    let (folder, store) = local();
    run(&store, &[("a", 1)]).await.unwrap();
    let next = folder.path().join("out").join(log::record_path(2));
    fs::write(&next, r#"{"format_version": 2, "everything": "else"}"#).unwrap();
    let error = store.head().await.unwrap_err();
    assert!(error.message().contains("format version 2"), "{error}");
    assert!(error.hint().unwrap().contains("newer `kpi`"));
    assert!(store.begin(leased()).await.is_err(), "and nothing is written on top of it");

    fs::write(&next, "{").unwrap();
    assert!(store.head().await.unwrap_err().message().contains("damaged"));
    fs::copy(folder.path().join("out").join(log::record_path(1)), &next).unwrap();
    assert!(store.head().await.unwrap_err().message().contains("holds version 1"));
}

#[tokio::test]
async fn a_record_with_a_byte_changed_is_refused() {
    let (folder, store) = local();
    run(&store, &[("a", 1)]).await.unwrap();
    let path = folder.path().join("out").join(log::record_path(1));
    let whole = fs::read(&path).unwrap();
    let original = store.head().await.unwrap().unwrap();
    for (place, byte) in whole.iter().enumerate() {
        let mut changed = whole.clone();
        changed[place] = if *byte == b'1' { b'2' } else { b'1' };
        fs::write(&path, &changed).unwrap();
        match store.head().await {
            // The name of the checksum itself was changed; everything else is as it was.
            Ok(head) => assert_eq!(head.as_ref(), Some(&original), "{}", String::from_utf8_lossy(&changed)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Storage),
        }
    }
    fs::write(&path, &whole).unwrap();
    // Whoever writes it anew in another form cannot change it unseen either.
    let other_form = String::from_utf8(whole.clone()).unwrap().replace('\n', "\r\n");
    fs::write(&path, other_form.replace("\"rows\": 2", "\"rows\": 3")).unwrap();
    let error = store.head().await.unwrap_err();
    assert!(error.to_string().contains("its checksum does not fit"), "{error}");
    // One without a checksum is as old as those of the first versions of kpi.
    let text = String::from_utf8(whole).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("checksum")).map(|line| format!("{line}\n")).collect();
    fs::write(&path, without).unwrap();
    assert_eq!(visible(&store).await, named(&[("a", 1)]));
}

#[tokio::test]
async fn data_that_changed_is_not_read() {
    let (folder, store) = local();
    let record = committed(run(&store, &[("a", 1)]).await.unwrap());
    let path = folder.path().join("out").join(&record.kpis["a"].files[0].path);
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    // The plain copy has the same rows, as long as it is the same file.
    let copy = folder.path().join("out/published/a.parquet");
    assert!(store.read_kpi(&record, "a").await.unwrap().is_some());
    fs::write(&copy, &bytes).unwrap();
    assert!(store.read_kpi(&record, "a").await.unwrap_err().message().contains("not the file that was written"));
    fs::remove_file(&path).unwrap();
    assert!(store.read_kpi(&record, "a").await.unwrap_err().message().contains("missing"));
    fs::write(&copy, &whole).unwrap();
    assert!(store.read_kpi(&record, "a").await.unwrap().is_some());
}

#[tokio::test]
async fn folders_that_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let mut places = vec![file.join("out")];
    if cfg!(target_os = "linux") {
        places.push(PathBuf::from("/proc/kpi-output"));
    }
    for path in places {
        let error = match Store::open_local(&path) {
            Ok(store) => store.begin(leased()).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

// ---- the lease ----

#[tokio::test]
async fn a_lease_keeps_others_out_and_says_who_holds_it() {
    let (_folder, store) = local();
    let first = store.begin(leased()).await.unwrap();
    let error = store.begin(leased()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = error.to_string();
    for part in [first.id(), &std::process::id().to_string(), "lease.json"] {
        assert!(text.contains(part), "{text}");
    }
    // Correctness does not rest on it.
    committed(run(&store, &[("a", 1)]).await.unwrap());
    drop(first);
    let second = store.begin(leased()).await.expect("a dropped run keeps nobody out");
    committed(commit_in(second, &[("b", 2)], &[]).await.unwrap());
    assert!(store.files.read("_kpi/lease.json").await.unwrap().is_none(), "given back");
}

#[tokio::test]
async fn leases_of_other_hosts_expire() {
    let (_folder, store) = local();
    let hour = chrono::TimeDelta::hours(1);
    let put = async |json: Vec<u8>| store.files.replace("_kpi/lease.json", json.into()).await.unwrap();
    put(lease::foreign_lease(Utc::now() + hour)).await;
    let error = store.begin(leased()).await.unwrap_err();
    assert!(error.to_string().contains("`elsewhere.example`"), "{error}");
    for gone in [lease::foreign_lease(Utc::now() - hour), b"{\"holder\":".to_vec(), vec![]] {
        put(gone).await;
        store.begin(leased()).await.unwrap().finish().await;
    }
}

// ---- several writers ----

#[tokio::test]
async fn disjoint_runs_are_both_committed() {
    for (place, store, _guard) in places() {
        run(&store, &[("a", 1), ("b", 1)]).await.unwrap();
        let mine = store.begin(unleased()).await.unwrap();
        run(&store, &[("b", 2)]).await.unwrap();
        run(&store, &[("b", 3)]).await.unwrap();
        let record = committed(commit_in(mine, &[("a", 9)], &[]).await.unwrap());
        assert_eq!((record.version, record.parent), (4, Some(3)));
        assert_eq!(visible(&store).await, named(&[("a", 9), ("b", 3)]), "{place}");
        assert_published(&store).await;
    }
}

#[tokio::test]
async fn the_same_work_is_committed_once() {
    let (folder, store) = local();
    let (mine, partly) = (store.begin(unleased()).await.unwrap(), store.begin(unleased()).await.unwrap());
    let (my_id, partly_id) = (mine.id().to_string(), partly.id().to_string());
    let theirs = committed(run(&store, &[("a", 1)]).await.unwrap());
    match commit_in(mine, &[("a", 1)], &[]).await.unwrap() {
        CommitOutcome::AlreadyThere { record, unpublished: None } => assert_eq!(record, theirs),
        other => panic!("{other:?}"),
    }
    assert!(!folder.path().join("out/data/a").join(my_id).exists(), "mine is dropped");
    // What only one of them did is still committed, beside the other's result.
    let record = committed(commit_in(partly, &[("a", 1), ("b", 2)], &[]).await.unwrap());
    assert_eq!(record.kpis["a"], theirs.kpis["a"]);
    assert!(!folder.path().join("out/data/a").join(&partly_id).exists());
    assert!(folder.path().join("out/data/b").join(&partly_id).exists());
}

#[tokio::test]
async fn different_work_on_one_kpi_is_a_lost_race() {
    type Side = (&'static [(&'static str, i64)], &'static [&'static str]);
    let contests: [(Side, Side); 3] = [
        ((&[("a", 2), ("c", 2)], &[]), (&[("a", 3)], &[])),
        ((&[("a", 2)], &[]), (&[], &["a"])),
        ((&[], &["a"]), (&[("a", 3)], &[])),
    ];
    for ((mine, my_removals), (theirs, their_removals)) in contests {
        let (folder, store) = local();
        run(&store, &[("a", 1), ("b", 1)]).await.unwrap();
        let my_run = store.begin(unleased()).await.unwrap();
        let my_id = my_run.id().to_string();
        let their_run = store.begin(unleased()).await.unwrap();
        let winner = committed(commit_in(their_run, theirs, their_removals).await.unwrap());
        match commit_in(my_run, mine, my_removals).await.unwrap() {
            CommitOutcome::Lost { by, contested } => assert_eq!((by, contested), (winner.clone(), vec!["a".into()])),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.head().await.unwrap().unwrap(), winner);
        assert!(!folder.path().join("out/data/c").join(my_id).exists(), "the loser tidies up");
    }
}

#[tokio::test]
async fn the_table_over_all_kpis_is_built_for_the_version_that_is_committed() {
    let (folder, store) = local();
    let commit = async |mut run: Run, kpi: &str, value: i64| {
        let candidates = vec![candidate(&mut run, kpi, value).await.unwrap()];
        committed(run.commit(Commit { candidates, summary: Some(total()), ..Commit::default() }).await.unwrap())
    };
    let (one, two) = (store.begin(unleased()).await.unwrap(), store.begin(unleased()).await.unwrap());
    commit(one, "a", 1).await;
    commit(two, "b", 10).await;
    assert_eq!(visible(&store).await, named(&[("a", 1), ("b", 10), ("kpi_values", 11)]));
    assert_published(&store).await;
    // The same values again: nothing to build.
    let again = commit(store.begin(unleased()).await.unwrap(), "a", 1).await;
    assert_eq!(again.kpis["kpi_values"].committed_in, 2);
    let kept = fs::read_dir(folder.path().join("out/data/kpi_values")).unwrap();
    assert_eq!(kept.count(), 2);
}

/// Threads with a runtime each, as processes would be, and a reader that must only ever see whole versions.
#[test]
fn racing_threads_lose_nothing_and_double_nothing() {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }
    let folder = tempfile::tempdir().unwrap();
    for files in [LocalFiles::new(&folder.path().join("x")), LocalFiles::without_hard_links(&folder.path().join("y"))] {
        let store = store(files);
        let writing = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let writers: Vec<_> = ["a", "b", "c"]
                .into_iter()
                .map(|kpi| {
                    let store = &store;
                    scope.spawn(move || {
                        block_on(async {
                            for value in 0..8 {
                                // Each has a KPI of its own, and all do the same work on a shared one.
                                let kpis = [(kpi, value), ("shared", 0)];
                                committed(run(store, &kpis[..if value == 0 { 2 } else { 1 }]).await.unwrap());
                            }
                        })
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                block_on(async {
                    let (mut newest, mut copy_was_seen) = (0, false);
                    while writing.load(Ordering::Relaxed) {
                        visible(&store).await;
                        let version = store.head().await.unwrap().map_or(0, |head| head.version);
                        assert!(version >= newest, "versions never go back");
                        newest = version;
                        // Who opens the plain copy finds one, and all of it.
                        match store.files.read("published/a.parquet").await.unwrap() {
                            Some(copy) => {
                                assert_eq!(stage::decode(copy).unwrap()[0].num_rows(), 2);
                                copy_was_seen = true;
                            }
                            None => assert!(!copy_was_seen, "a plain copy vanished"),
                        }
                    }
                })
            });
            let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            writing.store(false, Ordering::Relaxed);
            reader.join().unwrap();
            results.into_iter().for_each(|result| result.unwrap());
        });
        block_on(async {
            assert_eq!(visible(&store).await, named(&[("a", 7), ("b", 7), ("c", 7), ("shared", 0)]));
            assert_eq!(store.head().await.unwrap().unwrap().version, 24, "one version per commit");
            assert_published(&store).await;
        });
    }
}

#[test]
fn racing_for_one_kpi_has_one_winner_per_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_local(folder.path()).unwrap();
    let barrier = std::sync::Barrier::new(4);
    let race = |value: i64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let run = store.begin(unleased()).await.unwrap();
            barrier.wait();
            commit_in(run, &[("a", value)], &[]).await.unwrap()
        })
    };
    let outcomes: Vec<CommitOutcome> = std::thread::scope(|scope| {
        let race = &race;
        // Two do the same work.
        let writers: Vec<_> = [1, 1, 2, 3].into_iter().map(|value| scope.spawn(move || race(value))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let winners = outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed { .. })).count();
    assert_eq!(winners, 1, "{outcomes:?}");
}

// ---- plain copies ----

#[tokio::test]
async fn copies_that_were_lost_or_never_made_are_repaired() {
    let (folder, store) = local();
    run(&store, &[("a", 1), ("b", 1)]).await.unwrap();
    assert!(!store.repair_published().await.unwrap(), "all in place");
    let published = folder.path().join("out/published");
    fs::write(published.join("mine.txt"), "not ours").unwrap();
    fs::remove_file(published.join("a.parquet")).unwrap();
    assert!(store.repair_published().await.unwrap());
    assert_published(&store).await;
    fs::write(published.join("_version"), "{").unwrap();
    assert!(store.repair_published().await.unwrap());
    fs::remove_dir_all(&published).unwrap();
    store.begin(leased()).await.unwrap().finish().await;
    assert_published(&store).await;
    assert!(!published.join("mine.txt").exists());
}

#[tokio::test]
async fn copies_that_cannot_be_made_do_not_undo_the_commit() {
    let (folder, store) = local();
    run(&store, &[("a", 1)]).await.unwrap();
    let published = folder.path().join("out/published");
    fs::remove_dir_all(&published).unwrap();
    fs::write(&published, "in the way").unwrap();
    match run(&store, &[("a", 2)]).await.unwrap() {
        CommitOutcome::Committed { record, unpublished: Some(error) } => {
            assert_eq!((record.version, error.kind()), (2, ErrorKind::Storage));
        }
        other => panic!("{other:?}"),
    }
    fs::remove_file(&published).unwrap();
    assert!(store.repair_published().await.unwrap());
    assert_published(&store).await;
}

// ---- faults ----

/// A place with a flaw.
#[derive(Debug)]
struct FaultyFiles {
    files: Arc<dyn Files>,
    fault: Fault,
    /// Operations so far; of commits, for [`Fault::LosesCommit`].
    count: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Fails the k-th operation, before or after its effect, once or from then on.
    FailsAt { at: u64, after_effect: bool, for_good: bool },
    /// Gives no answer to the first commit, which arrives or not.
    LosesCommit { arrives: bool },
    /// Takes every conditional write.
    IgnoresConditions,
}

impl FaultyFiles {
    fn around(store: &Store, fault: Fault) -> Arc<Self> {
        Arc::new(FaultyFiles { files: store.files.clone(), count: AtomicU64::new(0), fault })
    }

    fn as_store(self: &Arc<Self>) -> Store {
        Store { files: self.clone() }
    }

    async fn perhaps<T>(&self, operation: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let Fault::FailsAt { at, after_effect, for_good } = self.fault else { return operation.await };
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        match count == at || for_good && count > at {
            false => operation.await,
            true => no_answer(operation, after_effect).await,
        }
    }
}

async fn no_answer<T>(operation: impl Future<Output = Result<T>> + Send, arrives: bool) -> Result<T> {
    if arrives {
        let _ = operation.await;
    }
    Err(Error::storage("a fault was put in here"))
}

impl Files for FaultyFiles {
    fn create<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created>> {
        match self.fault {
            Fault::LosesCommit { arrives }
                if path.starts_with("_kpi/log/") && self.count.fetch_add(1, Ordering::Relaxed) == 0 =>
            {
                no_answer(self.files.create(path, bytes), arrives).boxed()
            }
            Fault::IgnoresConditions => self.files.replace(path, bytes).map(|it| it.map(|()| Created::Done)).boxed(),
            Fault::FailsAt { .. } | Fault::LosesCommit { .. } => self.perhaps(self.files.create(path, bytes)).boxed(),
        }
    }
    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        self.perhaps(self.files.read(path)).boxed()
    }
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>> {
        self.perhaps(self.files.list(folder)).boxed()
    }
    fn list_below<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>>> {
        self.perhaps(self.files.list_below(folder)).boxed()
    }
    fn replace<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<()>> {
        self.perhaps(self.files.replace(path, bytes)).boxed()
    }
    fn extend<'a>(&'a self, path: &'a str, whole: &'a [u8], from: usize) -> BoxFuture<'a, Result<()>> {
        self.perhaps(self.files.extend(path, whole, from)).boxed()
    }
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        self.perhaps(self.files.delete(path)).boxed()
    }
    fn lock<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Lock>> {
        self.perhaps(self.files.lock(path)).boxed()
    }
    fn locate(&self, path: &str) -> String {
        self.files.locate(path)
    }
    fn traits(&self) -> Traits {
        self.files.traits()
    }
}

/// One run as the engine would do it: a lease, a new value, a removed KPI, the table over all.
async fn busy_run(store: &Store) -> Result<CommitOutcome> {
    let mut run = store.begin(leased()).await?;
    let head = run.parent().cloned();
    let candidates = vec![candidate(&mut run, "a", 2).await?, candidate(&mut run, "b", 2).await?];
    let removals = head.filter(|head| head.kpis.contains_key("old")).map(|_| "old".to_string());
    let commit =
        Commit { candidates, removals: removals.into_iter().collect(), summary: Some(total()), ..Commit::default() };
    run.commit(commit).await
}

#[tokio::test]
async fn every_fault_at_every_operation_leaves_a_whole_version() {
    let before = named(&[("a", 1), ("old", 1)]);
    let after = named(&[("a", 2), ("b", 2), ("kpi_values", 4)]);
    for (after_effect, for_good) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut operations = vec![];
        for at in 0.. {
            let fault = Fault::FailsAt { at, after_effect, for_good };
            let mut was_hit = false;
            // What the other two places do differently lies below the faults.
            for (place, store, _guard) in places().into_iter().filter(|it| matches!(it.0, "local" | IN_MEMORY)) {
                run(&store, &[("a", 1), ("old", 1)]).await.unwrap();
                let faulty = FaultyFiles::around(&store, fault);
                let outcome = busy_run(&faulty.as_store()).await;
                let count = faulty.count.load(Ordering::Relaxed);
                was_hit |= count > at;
                operations.push(count);

                let seen = visible(&store).await;
                let is_committed = seen == after;
                assert!(is_committed || seen == before, "{place}, {fault:?}: {seen:?}");
                match &outcome {
                    Ok(CommitOutcome::Committed { .. }) => assert!(is_committed, "{place}, {fault:?}"),
                    Ok(other) => panic!("{place}, {fault:?}: {other:?}"),
                    // Only a store that stays away can hide a commit that arrived.
                    Err(_) => assert!(!is_committed || for_good, "{place}, {fault:?}"),
                }

                let repeated = busy_run(&store).await.unwrap();
                assert!(matches!(repeated, CommitOutcome::Committed { unpublished: None, .. }), "{repeated:?}");
                assert_eq!(visible(&store).await, after, "{place}, {fault:?}");
                assert_published(&store).await;
            }
            if !was_hit {
                break;
            }
        }
        assert!(operations.into_iter().max().unwrap() > 30, "the faults were really among the operations of a run");
    }
}

/// The copies of a version that was never published whole must not pass for those of the next, even if that brings back
/// the very content which the marker knew before.
#[tokio::test]
async fn a_result_that_returns_to_an_earlier_value_is_published_again() {
    for at in 0..60 {
        let store = Store::open_objects(Arc::new(InMemory::new()), object_store::path::Path::default());
        run(&store, &[("a", 1), ("b", 1)]).await.unwrap();
        let fault = Fault::FailsAt { at, after_effect: true, for_good: true };
        let _ = run(&FaultyFiles::around(&store, fault).as_store(), &[("a", 2), ("b", 2)]).await;
        // Built on the log alone, so that nothing is repaired on the way.
        let mut head = store.head().await.unwrap().unwrap();
        let first = store.record(1).await.unwrap().unwrap();
        (head.parent, head.version, head.kpis) = (Some(head.version), head.version + 1, first.kpis);
        store.files.create(&log::record_path(head.version), head.to_json().unwrap().into()).await.unwrap();
        store.repair_published().await.unwrap();
        assert_published(&store).await;
    }
}

/// One passing fault at the commit itself is not even noticed.
#[tokio::test]
async fn a_lost_answer_of_the_commit_is_found_out() {
    for arrives in [true, false] {
        for (place, calm, _guard) in places() {
            let shaky = FaultyFiles::around(&calm, Fault::LosesCommit { arrives });
            let record = committed(run(&shaky.as_store(), &[("a", 1)]).await.unwrap());
            assert_eq!(calm.head().await.unwrap().unwrap(), record, "{place}");
            assert_eq!(record.version, 1, "committed once");
        }
    }
}

/// A store that takes every conditional write would let two runs overwrite each other.
#[tokio::test]
async fn a_store_without_conditional_writes_is_refused() {
    let memory = Store::open_objects(Arc::new(InMemory::new()), object_store::path::Path::default());
    let careless = FaultyFiles::around(&memory, Fault::IgnoresConditions);
    let error = careless.as_store().begin(leased()).await.unwrap_err();
    assert!(error.message().contains("conditional writes"), "{error}");
}

// ---- going back, and clearing away ----

async fn restored(store: &Store, version: u64) -> LogRecord {
    let earlier = store.record(version).await.unwrap().unwrap();
    let (record, unpublished) = store.begin(leased()).await.unwrap().restore(&earlier).await.unwrap();
    assert!(unpublished.is_none());
    record
}

#[tokio::test]
async fn an_earlier_version_comes_back_as_a_new_one() {
    for (place, store, _guard) in places() {
        run(&store, &[("a", 1), ("old", 1), ("same", 1)]).await.unwrap();
        commit_in(store.begin(unleased()).await.unwrap(), &[("a", 2), ("b", 2)], &["old"]).await.unwrap();
        // A run that began before must not undo what it has not seen.
        let behind = store.begin(unleased()).await.unwrap();
        let record = restored(&store, 1).await;
        assert_eq!((record.version, record.restores, record.parent), (3, Some(1), Some(2)), "{place}");
        assert_eq!(record.removed, ["b"], "{place}");
        assert_eq!(record.kpis["same"].committed_in, 1, "{place}: it never changed");
        assert_eq!(visible(&store).await, named(&[("a", 1), ("old", 1), ("same", 1)]), "{place}");
        assert_published(&store).await;
        let lost = commit_in(behind, &[("a", 5)], &[]).await.unwrap();
        assert!(matches!(lost, CommitOutcome::Lost { .. }), "{place}: {lost:?}");
        run(&store, &[("a", 6)]).await.unwrap();
        assert_eq!(visible(&store).await, named(&[("a", 6), ("old", 1), ("same", 1)]), "{place}");
    }
}

/// What a look in eight days would find.
async fn needless_in_eight_days(store: &Store, keep: Option<u64>) -> Cleaned {
    let then = std::time::SystemTime::now() + std::time::Duration::from_secs(8 * 24 * 60 * 60);
    clean::find(&*store.files, &CleanOptions { keep, ..CleanOptions::default() }, then).await.unwrap()
}

#[tokio::test]
async fn only_what_no_version_names_is_cleared_away() {
    for (place, store, _guard) in places() {
        run(&store, &[("a", 1), ("b", 1)]).await.unwrap();
        run(&store, &[("a", 2)]).await.unwrap();
        let mut dead = store.begin(unleased()).await.unwrap();
        candidate(&mut dead, "a", 3).await.unwrap();
        drop(dead);
        let now = store.find_needless(&CleanOptions::default()).await.unwrap();
        assert_eq!(now, Cleaned::default(), "{place}: all of it is young");

        let found = needless_in_eight_days(&store, None).await;
        assert_eq!((found.versions.len(), found.files.len()), (0, 1), "{place}: {found:?}");
        store.delete_needless(found).await.unwrap();
        assert_eq!(needless_in_eight_days(&store, None).await, Cleaned::default(), "{place}");
        let first = store.record(1).await.unwrap().unwrap();
        assert!(store.has_files(&first.kpis["a"]).await.unwrap(), "{place}: version 1 is still there");

        // With it goes only what it alone names: `b` is still the one of version 1.
        let found = needless_in_eight_days(&store, Some(1)).await;
        assert_eq!(found.versions, [1], "{place}");
        assert!(found.files[0].0.starts_with("_kpi/log/"), "{place}: the record goes first, {found:?}");
        store.delete_needless(found).await.unwrap();
        assert_eq!(visible(&store).await, named(&[("a", 2), ("b", 1)]), "{place}");
        assert_eq!(store.record(1).await.unwrap(), None, "{place}");
        assert!(!store.has_files(&first.kpis["a"]).await.unwrap(), "{place}");
        run(&store, &[("a", 3)]).await.unwrap();
        assert_eq!(store.head().await.unwrap().unwrap().version, 3, "{place}");
        assert_published(&store).await;
    }
}

#[tokio::test]
async fn a_run_at_work_and_the_newest_version_are_never_cleared_away() {
    let (_folder, store) = local();
    run(&store, &[("a", 1)]).await.unwrap();
    for (keep, hours) in [(None, 1), (Some(0), 48)] {
        let older_than = std::time::Duration::from_secs(hours * 60 * 60);
        let error = store.find_needless(&CleanOptions { keep, older_than }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    let found = needless_in_eight_days(&store, Some(1)).await;
    assert_eq!(found, Cleaned::default(), "{found:?}");
    // A record that cannot be read may name anything.
    run(&store, &[("a", 2)]).await.unwrap();
    let first = "_kpi/log/00000000000000000001.json";
    let whole = store.files.read(first).await.unwrap().unwrap();
    store.files.replace(first, Bytes::from_static(b"{")).await.unwrap();
    let then = std::time::SystemTime::now() + std::time::Duration::from_secs(8 * 24 * 60 * 60);
    assert!(clean::find(&*store.files, &CleanOptions::default(), then).await.is_err());
    // Nor does anybody know what one has named that is missing.
    store.files.replace(first, whole).await.unwrap();
    run(&store, &[("a", 3)]).await.unwrap();
    store.files.delete("_kpi/log/00000000000000000002.json").await.unwrap();
    let error = clean::find(&*store.files, &CleanOptions::default(), then).await.unwrap_err();
    assert!(error.message().contains("version 2 is missing"), "{error}");
}

// ---- trying out ----

#[tokio::test]
async fn a_place_is_tried_out_without_a_trace() {
    for (place, store, _guard) in places() {
        assert_eq!(store.probe().await.unwrap().version, None, "{place}");
        run(&store, &[("a", 1)]).await.unwrap();
        let before: Vec<String> = store.files.list_below("_kpi").await.unwrap().into_iter().map(|it| it.name).collect();
        let probe = store.probe().await.unwrap();
        assert_eq!(probe.version, Some(1), "{place}");
        assert!(probe.clock_apart.is_none_or(|apart| apart < CLOCK_TOLERANCE), "{place}");
        let after: Vec<String> = store.files.list_below("_kpi").await.unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(before, after, "{place}");
    }
    let memory = Store::open_objects(Arc::new(InMemory::new()), object_store::path::Path::default());
    let careless = FaultyFiles::around(&memory, Fault::IgnoresConditions);
    let error = careless.as_store().probe().await.unwrap_err();
    assert!(error.message().contains("conditional writes"), "{error}");
    assert!(memory.files.list_below("_kpi").await.unwrap().is_empty(), "nothing stays behind");
}

// ---- processes that die ----

/// The child of the test below: a run in the folder that the environment names. By itself it does nothing.
#[tokio::test]
async fn crash_child() {
    if let Ok(folder) = std::env::var("KPI_TEST_CRASH_FOLDER") {
        busy_run(&Store::open_local(folder.as_ref()).unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_process_that_dies_at_any_point_is_followed_by_one_that_mends() {
    let points = [
        ("before_stage", false),
        ("after_stage", false),
        ("before_commit", false),
        ("after_commit", true),
        ("before_publish", true),
        ("between_publish", true),
        ("after_publish", true),
    ];
    for (point, is_committed) in points {
        let (folder, store) = local();
        run(&store, &[("a", 1), ("old", 1)]).await.unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash_child"])
            .env("KPI_TEST_CRASH_FOLDER", folder.path().join("out"))
            .env("KPI_FAILPOINT", format!("{point}:abort"))
            .output()
            .unwrap();
        assert!(!child.status.success(), "{point} was never reached");

        let after = named(&[("a", 2), ("b", 2), ("kpi_values", 4)]);
        let before = named(&[("a", 1), ("old", 1)]);
        assert_eq!(visible(&store).await, if is_committed { after.clone() } else { before }, "{point}");
        // The dead child's lease is in nobody's way, where processes can be seen.
        if !cfg!(target_os = "linux") {
            store.files.delete("_kpi/lease.json").await.unwrap();
        }
        store.begin(leased()).await.unwrap().finish().await;
        assert_published(&store).await;
        busy_run(&store).await.unwrap();
        assert_eq!(visible(&store).await, after, "{point}");
        let versions = store.head().await.unwrap().unwrap().version;
        assert_eq!(versions, if is_committed { 3 } else { 2 }, "nothing doubled after {point}");
    }
}

/// The child of the test below: commits one after the other, without asking whether others are at work.
#[tokio::test]
async fn racing_child() {
    let Ok(folder) = std::env::var("KPI_TEST_RACE_FOLDER") else { return };
    let kpi = std::env::var("KPI_TEST_RACE_KPI").unwrap();
    let store = Store::open_local(folder.as_ref()).unwrap();
    for value in 1..=RACED_COMMITS {
        committed(run(&store, &[(&kpi, value)]).await.unwrap());
    }
}

const RACED_COMMITS: i64 = 25;

/// Processes, each with a KPI of its own, and a reader beside them.
#[tokio::test]
async fn racing_processes_lose_nothing_and_double_nothing() {
    let (folder, store) = local();
    let kpis: Vec<String> = (0..8).map(|number| format!("kpi_{number}")).collect();
    let mut children: Vec<_> = kpis
        .iter()
        .map(|kpi| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "store::tests::racing_child"]).stdout(std::process::Stdio::null());
            child.env("KPI_TEST_RACE_FOLDER", folder.path().join("out")).env("KPI_TEST_RACE_KPI", kpi);
            child.spawn().unwrap()
        })
        .collect();
    let mut newest: Vec<(String, i64)> = Vec::new();
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        let seen = visible(&store).await;
        for (kpi, value) in &newest {
            let now = seen.iter().find(|(known, _)| known == kpi);
            assert!(now.is_some_and(|(_, now)| now >= value), "`{kpi}` went back from {value} to {now:?}");
        }
        newest = seen;
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let all: Vec<(&str, i64)> = kpis.iter().map(|kpi| (kpi.as_str(), RACED_COMMITS)).collect();
    assert_eq!(visible(&store).await, named(&all));
    // Each commit is a version of its own, built on the one before, and each brings one result.
    let head = store.head().await.unwrap().unwrap();
    assert_eq!(head.version, 8 * RACED_COMMITS as u64);
    for version in 1..=head.version {
        let record = store.record(version).await.unwrap().unwrap();
        assert_eq!(record.parent, Some(version - 1).filter(|parent| *parent > 0));
        assert_eq!(record.kpis.values().filter(|entry| entry.committed_in == version).count(), 1);
    }
    store.repair_published().await.unwrap();
    assert_published(&store).await;
}
