//! Projects whose tables and results lie in object stores, through the program itself: the values are those of the same
//! project on a disk, and nothing that is written holds a credential.
//!
//! Two small servers of these tests stand for S3 and Google, and a web server. Where they can be installed, real servers take
//! part: moto for S3 and Azurite for Azure.

pub mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::object_store::path::Path as Key;
use datafusion::object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use futures::TryStreamExt;
use kpi::location::Bytes;
use tempfile::TempDir;

use crate::support::{block_on, write_files};
use server::{Quirk, Server};

/// What no file, message or manifest may hold.
const SECRET: &str = "a-very-secret-key-0123456789";

/// The key of Azurite's account, which its documentation names.
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn holds_a_secret(text: &str) -> bool {
    text.contains(SECRET) || text.contains(AZURITE_KEY)
}

const TABLES: &str = "table: accounts
source: accounts.csv
primary_key: account_id
---
table: orders
source: orders
partitioned_by: {month: text}
joins:
  account: {table: accounts, on: account_id}
time: ordered_on
columns:
  account_id: {type: integer}
  ordered_on: {type: date}
  amount: {type: 'decimal(12,2)'}
dimensions:
  region: account.region
---
table: rates
source: RATES
time: day
columns:
  day: {type: date}
---
kpi: revenue
from: orders
value: sum(amount)
grains: [month, day]
by: [region]
---
kpi: buyers
from: orders
value: count(DISTINCT account_id)
grains: [month]
by: [region]
---
kpi: rate
from: rates
value: avg(rate)
grains: [month]
";

/// Files below `data`, by name.
fn data() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let accounts = "account_id,region\n1,North\n2,South & East\n3,North\n";
    files.insert("accounts.csv".to_owned(), accounts.as_bytes().to_vec());
    for month in 1..=3 {
        let rows: String = (1..=20).map(|day| format!("{},2025-0{month}-{day:02},{day}.5{month}\n", day % 4)).collect();
        let name = format!("orders/month=2025-0{month}/part one.csv");
        files.insert(name, format!("account_id,ordered_on,amount\n{rows}").into_bytes());
    }
    files
}

const RATES: &str = "day,rate\n2025-01-31,1.5\n2025-02-28,2.5\n2025-03-31,4\n";

/// A place for a project's data and results, and what the program has to be told to reach it.
struct Place {
    name: &'static str,
    /// Of a bucket, without a slash at its end.
    url: String,
    environment: Vec<(&'static str, String)>,
    store: Box<dyn ObjectStore>,
}

impl Place {
    fn put(&self, name: &str, bytes: &[u8]) {
        let payload = PutPayload::from(bytes.to_vec());
        block_on(async { self.store.put(&Key::parse(name).unwrap(), payload).await }).unwrap();
    }

    /// Everything below a prefix, by its name there.
    fn below(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        block_on(async {
            let listed: Vec<_> = self.store.list(Some(&Key::from(prefix))).try_collect().await.unwrap();
            let mut files = BTreeMap::new();
            for object in listed {
                let name = object.location.as_ref()[prefix.len() + 1..].to_owned();
                let bytes = self.store.get(&object.location).await.unwrap().bytes().await.unwrap();
                files.insert(name, bytes.to_vec());
            }
            files
        })
    }
}

fn s3(name: &'static str, endpoint: &str) -> Place {
    let environment = vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", "kpi-tests".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let builder = object_store::aws::AmazonS3Builder::new()
        .with_url("s3://lake")
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_access_key_id("kpi-tests")
        .with_secret_access_key(SECRET)
        .with_region("us-east-1");
    Place { name, url: "s3://lake".into(), environment, store: Box::new(builder.build().unwrap()) }
}

fn google(endpoint: &str) -> Place {
    let key = format!(
        r#"{{"gcs_base_url":"{endpoint}","disable_oauth":true,"client_email":"","private_key":"{SECRET}","private_key_id":""}}"#
    );
    let options = object_store::ClientOptions::new().with_allow_http(true);
    let builder = object_store::gcp::GoogleCloudStorageBuilder::new()
        .with_url("gs://lake")
        .with_service_account_key(&key)
        .with_client_options(options);
    let environment = vec![("GOOGLE_SERVICE_ACCOUNT_KEY", key)];
    Place { name: "gs", url: "gs://lake".into(), environment, store: Box::new(builder.build().unwrap()) }
}

fn azure(port: u16) -> Place {
    let (account, endpoint) = ("devstoreaccount1", format!("http://127.0.0.1:{port}/devstoreaccount1"));
    let builder = object_store::azure::MicrosoftAzureBuilder::new()
        .with_container_name("lake")
        .with_account(account)
        .with_access_key(AZURITE_KEY)
        .with_endpoint(endpoint.clone())
        .with_allow_http(true);
    let environment = vec![
        ("AZURE_STORAGE_ACCOUNT_NAME", account.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY.to_owned()),
        ("AZURE_STORAGE_ENDPOINT", endpoint),
    ];
    Place { name: "azure", url: "az://lake".into(), environment, store: Box::new(builder.build().unwrap()) }
}

/// A folder with a project, and how the program runs in it.
struct Project {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Project {
    fn new(data: &str, output: &str, rates: &str, environment: &[(&'static str, String)]) -> Project {
        let folder = tempfile::tempdir().unwrap();
        let allowed =
            if rates.starts_with("http") { format!("allowed_locations: [\"{rates}\"]\n") } else { String::new() };
        let project = format!("project: lake\ndata: {data}\noutput: {output}\n{allowed}");
        let tables = TABLES.replace("RATES", rates);
        write_files(folder.path(), &[("kpis/project.yaml", &project), ("kpis/lake.yaml", &tables)]);
        Project { folder, environment: environment.to_vec() }
    }

    fn kpi(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kpi"));
        command.args(arguments).args(["--as-of", "2025-04-15"]).current_dir(self.folder.path());
        command.env_clear().env("HOME", self.folder.path()).envs(self.environment.iter().cloned());
        let output = command.output().unwrap();
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!holds_a_secret(&text), "a credential is shown by {arguments:?}: {text}");
        }
        output
    }

    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let output = self.kpi(arguments);
        let (data, notes) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{data}\n{notes}");
        (data, notes)
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.kpi(arguments);
        let (data, notes) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{data}\n{notes}");
        notes
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The plain copies that the same project leaves on a disk.
fn published_on_disk(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let project = Project::new("../data", "../out", "rates.csv", &[]);
    for (name, bytes) in
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).chain([("rates.csv", RATES.as_bytes())])
    {
        let path = project.folder.path().join("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    project.succeeds(&["run"]);
    let folder = project.folder.path().join("out/published");
    let copies = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    copies
        .filter(|path| path.extension().is_some_and(|ending| ending == "parquet"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect()
}

/// Everything that a place promises, from the first run to going back.
fn a_project_works_at(place: &Place) {
    let name = place.name;
    let web = Server::start(Quirk::None);
    web.put("rates/rates.csv", RATES.as_bytes());
    let mut files = data();
    for (name, bytes) in &files {
        place.put(&format!("exports/{name}"), bytes);
    }
    let url = &place.url;
    let rates = format!("{}/rates/rates.csv", web.url());
    let project = Project::new(&format!("{url}/exports"), &format!("{url}/some/results"), &rates, &place.environment);

    let (scorecard, notes) = project.succeeds(&["run"]);
    assert!(scorecard.contains("revenue"), "{name}: {scorecard}");
    assert!(
        notes.contains("published version 1: 3 KPIs") && notes.contains(&format!("{url}/some/results")),
        "{name}: {notes}"
    );
    same_as_on_disk(place, &files, "at first");
    let (_, notes) = project.succeeds(&["run"]);
    assert!(notes.contains("nothing has changed since version 1"), "{name}: {notes}");
    let (doctor, _) = project.succeeds(&["doctor"]);
    assert!(doctor.contains("keeps two runs apart; version 1"), "{name}: {doctor}");

    // One object is written again, and only its month is computed.
    let march = "orders/month=2025-03/part one.csv".to_owned();
    let more = [files[&march].as_slice(), b"2,2025-03-21,1000\n"].concat();
    place.put(&format!("exports/{march}"), &more);
    files.insert(march, more);
    let (plan, _) = project.succeeds(&["plan"]);
    assert!(plan.contains("2025-03-01"), "{name}: {plan}");
    let (_, notes) = project.succeeds(&["run"]);
    assert!(notes.contains("2 KPIs computed in part"), "{name}: {notes}");
    same_as_on_disk(place, &files, "after a change");

    let (difference, _) = project.succeeds(&["diff", "1", "2", "revenue"]);
    assert!(difference.contains("part one.csv") && difference.contains("month 2025-03"), "{name}: {difference}");
    project.succeeds(&["rollback", "1"]);
    same_as_on_disk(place, &data(), "back again");
    let (history, _) = project.succeeds(&["history"]);
    assert!(history.contains("as version 1"), "{name}: {history}");
    project.succeeds(&["run"]);
    same_as_on_disk(place, &files, "and forth");
    project.succeeds(&["clean", "--keep", "1", "--yes"]);
    let (shown, _) = project.succeeds(&["show", "revenue", "--format", "csv"]);
    assert!(shown.contains("2025-03"), "{name}: {shown}");

    questions_are_answered(place, &project, &rates);

    for (file, bytes) in place.below("some") {
        assert!(!holds_a_secret(&text(&bytes)), "{name}: a credential is in {file}");
    }
}

/// Files of the place, of a web server and of the results, by their URLs; and one that is written.
fn questions_are_answered(place: &Place, project: &Project, rates: &str) {
    let url = &place.url;
    let answer = |sql: &str| project.succeeds(&["sql", "-c", sql, "--format", "csv"]).0;
    let one = format!("{url}/exports/orders/month=2025-01/part one.csv");
    let name = place.name;
    assert_eq!(answer(&format!("SELECT count(*) AS n, sum(amount) AS s FROM '{one}'")), "n,s\n20,220.2\n", "{name}");
    let months = format!("SELECT month, count(*) AS n FROM '{url}/exports/orders/' GROUP BY month ORDER BY month");
    assert_eq!(answer(&months), "month,n\n2025-01,20\n2025-02,20\n2025-03,21\n", "{name}");
    assert_eq!(answer(&format!("SELECT sum(rate) AS s FROM '{rates}'")), "s\n8.0\n", "{name}");
    let published = "SELECT r.value = k.value AS same FROM results.buyers r JOIN kpi('buyers') k USING (period_start) \
                     WHERE r.breakdown = 'overall'";
    assert_eq!(answer(published), "same\ntrue\ntrue\ntrue\n", "{name}");
    let written = format!("{url}/written/revenue.parquet");
    answer(&format!("COPY (SELECT * FROM kpi('revenue', grain => 'month')) TO '{written}'"));
    let again =
        format!("CREATE EXTERNAL TABLE w STORED AS PARQUET LOCATION '{written}'; SELECT sum(value) AS s FROM w");
    assert_eq!(answer(&again), "s\n1661.20\n", "{name}");
    let notes = project.fails(&["sql", "-c", &format!("SELECT * FROM '{url}/exports/nothing.parquet'")], 2);
    assert!(notes.contains("there is no file at"), "{name}: {notes}");
}

fn same_as_on_disk(place: &Place, files: &BTreeMap<String, Vec<u8>>, when: &str) {
    let expected = published_on_disk(files);
    let mut found = place.below("some/results/published");
    found.retain(|name, _| name.ends_with(".parquet"));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{}, {when}", place.name);
    for (name, bytes) in &expected {
        let same = rows(&found[name]) == rows(bytes);
        assert!(same, "{}, {when}: {name} has other rows than on a disk", place.name);
    }
}

/// All rows of a Parquet file, however they are cut into groups.
fn rows(bytes: &[u8]) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(|rows| rows.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

#[test]
fn a_project_lives_in_a_store_that_speaks_s3() {
    a_project_works_at(&s3("s3", &Server::start(Quirk::None).url()));
}

#[test]
fn a_project_lives_in_a_store_that_speaks_googles_language() {
    a_project_works_at(&google(&Server::start(Quirk::None).url()));
}

#[test]
fn a_store_that_is_busy_now_and_then_is_asked_again() {
    a_project_works_at(&s3("busy", &Server::start(Quirk::IsBusy).url()));
}

#[test]
fn a_store_that_overwrites_what_is_there_is_refused() {
    let server = Server::start(Quirk::IgnoresConditions);
    let place = s3("careless", &server.url());
    for (name, bytes) in data() {
        place.put(&name, &bytes);
    }
    place.put("rates.csv", RATES.as_bytes());
    let project = Project::new("s3://lake", "s3://lake/out", "rates.csv", &place.environment);
    let notes = project.fails(&["run"], 4);
    assert!(notes.contains("ignores conditional writes"), "{notes}");
    project.fails(&["doctor"], 4);
    assert!(
        !server.objects().keys().any(|name| name.contains("_kpi/log/") || name.contains("published")),
        "nothing is published"
    );
}

#[test]
fn who_is_refused_or_reaches_nobody_is_told() {
    let server = Server::start(Quirk::Refuses);
    let place = s3("closed", &server.url());
    let project = Project::new("s3://lake", "../out", "rates.csv", &place.environment);
    let notes = project.fails(&["run"], 4);
    assert!(
        notes.contains("kpis/lake.yaml:2:9") && notes.contains("cannot look at `s3://lake/accounts.csv`"),
        "{notes}"
    );
    assert!(notes.contains("error: what tables read cannot be reached, so nothing ran"), "{notes}");
    for command in [&["check"][..], &["show", "revenue"], &["sql", "revenue"], &["doctor"], &["docs"], &["test"]] {
        project.fails(command, 4);
    }

    let mut forbidden = place.environment.clone();
    forbidden.retain(|(name, _)| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    forbidden.push(("AWS_EC2_METADATA_DISABLED", "true".into()));
    let project = Project::new("s3://lake", "../out", "rates.csv", &forbidden);
    let notes = project.fails(&["run"], 4);
    assert!(notes.contains("there are no credentials") && notes.contains("AWS_PROFILE"), "{notes}");

    let google = [("NO_GCE_CHECK", "true".to_owned()), ("HOME", "/nowhere".to_owned())];
    let project = Project::new("gs://lake", "../out", "rates.csv", &google);
    let notes = project.fails(&["run"], 4);
    assert!(notes.contains("there are no credentials") && notes.contains("gcloud auth"), "{notes}");

    let open = Server::start(Quirk::None);
    let project = Project::new("s3://lake", "../out", "rates.csv", &s3("open", &open.url()).environment);
    let notes = project.fails(&["run"], 2);
    assert!(notes.contains("`s3://lake/orders` holds no data files"), "{notes}");
}

#[test]
fn a_definition_reads_what_its_project_allows() {
    let web = Server::start(Quirk::None);
    web.put("rates/rates.csv", RATES.as_bytes());
    let project = Project::new("../data", "../out", "rates.csv", &[]);
    let tables = |source: &str| {
        let table = format!(
            "table: rates\nsource: {source}\ntime: day\n---\nkpi: rate\nfrom: rates\nvalue: avg(rate)\ngrains: [month]\n"
        );
        fs::write(project.folder.path().join("kpis/lake.yaml"), table).unwrap();
    };
    fs::write(project.folder.path().join("secret.csv"), RATES).unwrap();
    fs::create_dir(project.folder.path().join("data")).unwrap();
    for source in ["../secret.csv", "/etc/hostname", &format!("{}/rates/rates.csv", web.url()), "data/../../secret.csv"]
    {
        tables(source);
        let notes = project.fails(&["run"], 2);
        assert!(notes.contains("forbidden-location") && notes.contains("allowed_locations"), "{source}: {notes}");
    }
    assert!(web.take_requests().is_empty(), "nobody was asked");
    let allowed = format!("project: lake\nallowed_locations: [.., \"{}/rates\"]\n", web.url());
    fs::write(project.folder.path().join("kpis/project.yaml"), allowed).unwrap();
    for source in ["../secret.csv", &format!("{}/rates/rates.csv", web.url())] {
        tables(source);
        project.succeeds(&["run"]);
    }
    for (source, words) in [
        ("ftp://example.com/a.csv", "is no place that kpi knows"),
        ("s3://key:secret@lake/a.csv", "has credentials in it"),
        ("https://example.com/a.csv?sig=abc", "has more than a path"),
    ] {
        tables(&format!("\"{source}\""));
        let notes = project.fails(&["run"], 2);
        assert!(notes.contains("wrong-location") && notes.contains(words), "{source}: {notes}");
    }
}

/// Links can lead out of what a project allows, or back to where they stand.
#[cfg(unix)]
#[test]
fn links_lead_neither_out_nor_round() {
    use std::os::unix::fs::symlink;
    let project = Project::new("../data", "../out", "rates.csv", &[]);
    let folder = project.folder.path();
    let table =
        "table: rates\nsource: rates\ntime: day\n---\nkpi: rate\nfrom: rates\nvalue: sum(rate)\ngrains: [month]\n";
    write_files(folder, &[("kpis/lake.yaml", table), ("data/rates/a.csv", RATES), ("outside/b.csv", RATES)]);
    let link = folder.join("data/rates/link");
    for (target, words) in [
        ("../rates", "leads back to where it stands"),
        ("../../outside", "outside of `data`"),
        ("../../data", "leads back to where it stands"),
    ] {
        symlink(target, &link).unwrap();
        let notes = project.fails(&["run"], 2);
        assert!(notes.contains(words), "{target}: {notes}");
        fs::remove_file(&link).unwrap();
    }
    symlink("a.csv", folder.join("data/rates/b.csv")).unwrap();
    let notes = project.fails(&["run"], 2);
    assert!(notes.contains("are one file"), "{notes}");
    fs::remove_file(folder.join("data/rates/b.csv")).unwrap();
    // Allowed, and each row counts once.
    symlink("../../outside", &link).unwrap();
    fs::write(folder.join("kpis/project.yaml"), "project: lake\nallowed_locations: [../outside]\n").unwrap();
    project.succeeds(&["run"]);
    let (shown, _) = project.succeeds(&["show", "rate", "--format", "csv"]);
    assert!(shown.contains("2025-01-01,2025-02-01,overall,3"), "{shown}");
}

/// While the project's document has a mistake, nobody knows where anything is meant to lie: nothing is taken from the usual
/// places, and nothing is done there.
#[test]
fn a_mistake_in_the_project_stops_every_command() {
    let project = Project::new("../data", "../out", "rates.csv", &[]);
    let folder = project.folder.path();
    let table =
        "table: rates\nsource: rates.csv\ntime: day\n---\nkpi: rate\nfrom: rates\nvalue: sum(rate)\ngrains: [month]\n";
    write_files(folder, &[("kpis/lake.yaml", table), ("data/rates.csv", RATES)]);
    project.succeeds(&["run"]);
    project.succeeds(&["run", "--force"]);
    let versions = || fs::read_dir(folder.join("out/_kpi/log")).unwrap().count();
    let before = versions();
    for wrong in
        ["outptu: ../out2", "data: s3://key:secret@lake", "output: s3://res/k?X-Amz-Signature=abc", "time_zone: Mars"]
    {
        fs::write(folder.join("kpis/project.yaml"), format!("project: lake\n{wrong}\n")).unwrap();
        for command in [
            &["run"][..],
            &["plan"],
            &["show", "rate"],
            &["sql", "rate"],
            &["history"],
            &["diff", "1", "2"],
            &["rollback", "1"],
            &["retry"],
            &["clean", "--keep", "1", "--yes"],
            &["doctor"],
            &["check"],
            &["test"],
        ] {
            project.fails(command, 2);
        }
    }
    assert_eq!(versions(), before);
}

/// A path beside a project whose data lies in a store.
#[test]
fn local_files_stand_beside_data_in_a_store() {
    let server = Server::start(Quirk::None);
    let place = s3("s3", &server.url());
    for (name, bytes) in data() {
        place.put(&name, &bytes);
    }
    let project = Project::new("s3://lake", "../out", "../reference/rates.csv", &place.environment);
    write_files(project.folder.path(), &[("reference/rates.csv", RATES)]);
    assert!(project.fails(&["run"], 2).contains("forbidden-location"));
    fs::write(
        project.folder.path().join("kpis/project.yaml"),
        "project: lake\ndata: s3://lake\nallowed_locations: [../reference]\n",
    )
    .unwrap();
    project.succeeds(&["run"]);
    let (_, notes) = project.succeeds(&["run"]);
    assert!(notes.contains("nothing has changed"), "{notes}");
}

#[test]
fn variables_that_no_client_can_use_are_named() {
    let variables: [(&str, &str, &str); 3] = [
        ("AWS_ENDPOINT_URL", "127.0.0.1:5000", "no address"),
        ("AWS_ACCESS_KEY_ID", "AKIA\r", "control character"),
        ("AWS_ENDPOINT_URL", "http://example.com", "unencrypted"),
    ];
    for (name, value, words) in variables {
        let mut environment = s3("s3", "http://127.0.0.1:9").environment;
        environment.retain(|(known, _)| *known != name);
        environment.push((name, value.to_owned()));
        let project = Project::new("../data", "s3://lake/out", "rates.csv", &environment);
        let notes = project.fails(&["history"], 4);
        assert!(notes.contains(words), "{name}={value}: {notes}");
    }
}

/// A server of its own, ended with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder below the target folder, where test servers are installed once.
fn installed(name: &str, install: impl FnOnce(&Path) -> bool) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers").join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join("done");
    if !done.exists() && install(&folder) {
        fs::write(&done, "").unwrap();
    }
    done.exists().then_some(folder)
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_up(port: u16) -> bool {
    (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
}

fn moto() -> Option<PathBuf> {
    let install = |folder: &Path| {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))
            && succeeds(Command::new(folder.join("venv/bin/pip")).args(["install", "--quiet", "moto[server]==5.2.5"]))
    };
    let folder = installed("moto", install);
    if folder.is_none() {
        eprintln!("not tested: moto could not be installed with python3 and pip");
    }
    folder.map(|folder| folder.join("venv/bin"))
}

fn quietly(command: &mut Command) -> Child {
    Child(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap())
}

#[test]
fn a_project_lives_in_moto() {
    let Some(programs) = moto() else { return };
    let port = free_port();
    let _moto = quietly(Command::new(programs.join("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]));
    assert!(is_up(port), "moto does not answer");
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut bucket = Command::new(programs.join("python"));
    bucket.args(["-c", "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='PUT'))"]);
    assert!(succeeds(bucket.arg(format!("{endpoint}/lake"))), "a bucket can be made");
    a_project_works_at(&s3("moto", &endpoint));

    let project = Project::new("s3://nowhere", "../out", "rates.csv", &s3("moto", &endpoint).environment);
    let notes = project.fails(&["run"], 4);
    assert!(notes.contains("NoSuchBucket") && notes.contains("there is no such bucket"), "{notes}");
}

/// Who does not know the certificate of a server is told so; who does talks to it as to every other.
#[test]
fn a_project_lives_behind_tls() {
    let Some(programs) = moto() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/certificate.py");
    assert!(succeeds(Command::new(programs.join("python")).arg(script).args([&key, &certificate])));
    let port = free_port();
    let mut command = Command::new(programs.join("moto_server"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string(), "-s", "-c"]).arg(&certificate).arg("-k").arg(&key);
    let _moto = quietly(&mut command);
    assert!(is_up(port), "moto does not answer");

    let endpoint = format!("https://localhost:{port}");
    let pem = fs::read(&certificate).unwrap();
    let client =
        object_store::ClientOptions::new().with_root_certificate(object_store::Certificate::from_pem(&pem).unwrap());
    let builder = object_store::aws::AmazonS3Builder::new()
        .with_url("s3://lake")
        .with_endpoint(&endpoint)
        .with_client_options(client)
        .with_access_key_id("kpi-tests")
        .with_secret_access_key(SECRET)
        .with_region("us-east-1");
    let mut place = Place { store: Box::new(builder.build().unwrap()), ..s3("tls", &endpoint) };
    let mut bucket = Command::new(programs.join("python"));
    bucket.args(["-c", "import sys, ssl, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='PUT'), context=ssl.create_default_context(cafile=sys.argv[2]))"]);
    assert!(succeeds(bucket.arg(format!("{endpoint}/lake")).arg(&certificate)), "a bucket can be made");

    let project = Project::new("s3://lake", "../out", "rates.csv", &place.environment);
    let notes = project.fails(&["run"], 4);
    assert!(notes.contains("certificate") && notes.contains("SSL_CERT_FILE"), "{notes}");
    place.environment.push(("SSL_CERT_FILE", certificate.display().to_string()));
    a_project_works_at(&place);
}

#[test]
fn a_project_lives_in_azurite() {
    let install = |folder: &Path| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(folder).arg("azurite@3.37.0");
        succeeds(&mut npm)
    };
    let Some(folder) = installed("azurite", install) else {
        eprintln!("not tested: Azurite could not be installed with npm");
        return;
    };
    let port = free_port();
    let mut command = Command::new(folder.join("node_modules/.bin/azurite-blob"));
    command.args(["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]).current_dir(&folder);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _azurite = Child(command.spawn().unwrap());
    assert!(is_up(port), "Azurite does not answer");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/container.py");
    let mut container = Command::new("python3");
    container.arg(script).args(["devstoreaccount1", AZURITE_KEY, "lake"]);
    container.arg(format!("http://127.0.0.1:{port}/devstoreaccount1"));
    assert!(succeeds(&mut container), "a container can be made");
    a_project_works_at(&azure(port));
}
