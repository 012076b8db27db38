//! A run as OpenTelemetry collectors see it: what the program sends to one, and what becomes of a run when there is none.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::write_files;

const DEFINITIONS: &str = "\
project: shop
---
table: orders
source: orders.csv
time: day
columns: {day: {type: date}, amount: {type: integer}}
---
kpi: revenue
from: orders
value: sum(amount)
---
kpi: broken
from: orders
value: sum(amount)
tests: [{name: enough, assert: value >= 100}]
";

fn run(endpoint: &str, others: &[(&str, &str)]) -> std::process::Output {
    let project = tempfile::tempdir().unwrap();
    let files = [("kpis/shop.yaml", DEFINITIONS), ("data/orders.csv", "day,amount\n2025-01-05,7\n")];
    write_files(project.path(), &files);
    let mut command = Command::new(env!("CARGO_BIN_EXE_kpi"));
    let inherited = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("OTEL_"));
    let proxies = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(str::to_owned);
    for name in inherited.chain(proxies) {
        command.env_remove(name);
    }
    command
        .args(["run", "--as-of", "2025-01-31"])
        .current_dir(project.path())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20do-not-tell")
        .env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .envs(others.iter().copied())
        .output()
        .unwrap()
}

/// Takes one request, and gives its first line, its headers and its body.
fn collect(listener: &TcpListener, answer: &str) -> (String, BTreeMap<String, String>, Vec<u8>) {
    // Without a trace this would wait for ever.
    let deadline = Instant::now() + Duration::from_secs(60);
    listener.set_nonblocking(true).unwrap();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "nobody sent a trace: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_nonblocking(false).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line().split_once(": ") {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    (first, headers, body)
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

#[test]
fn a_run_is_told_to_a_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collecting = std::thread::spawn(move || collect(&listener, "200 OK"));
    let output = run(&endpoint, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(!stderr.contains("trace") && !stderr.contains("do-not-tell"), "{stderr}");

    let (first, headers, body) = collecting.join().unwrap();
    assert_eq!(first, "POST /v1/traces HTTP/1.1");
    assert_eq!(headers["authorization"], "Bearer do-not-tell");
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(attributes(&resource.attributes)["service.name"], "kpi");
    let spans: Vec<&Span> =
        request.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans).collect();
    let of =
        |name: &str| *spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no `{name}`: {spans:?}"));

    // The span of the run hangs below the one of whoever started it.
    let whole = of("kpi run");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&whole.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&whole.parent_span_id), "b7ad6b7169203331");
    let said = attributes(&whole.attributes);
    assert_eq!(
        (said["kpi.project"].as_str(), said["kpi.exit_code"].as_str(), said["kpi.version"].as_str()),
        ("shop", "6", "1")
    );
    assert_eq!(whole.status.as_ref().unwrap().message, "exit code 6");
    assert!(whole.events.iter().any(|event| event.name == "commit"), "{:?}", whole.events);
    let withheld = of("audit broken");
    assert_eq!(withheld.parent_span_id, whole.span_id);
    assert!(withheld.status.as_ref().unwrap().message.contains("enough"), "{withheld:?}");

    let step = of("stage revenue");
    assert_eq!(step.parent_span_id, whole.span_id);
    assert!(step.start_time_unix_nano >= whole.start_time_unix_nano.saturating_sub(1_000_000_000));
    assert!(
        step.start_time_unix_nano <= step.end_time_unix_nano && step.end_time_unix_nano <= whole.end_time_unix_nano
    );
    let said = attributes(&step.attributes);
    assert_eq!(
        (said["kpi.name"].as_str(), said["kpi.rows"].as_str(), said["kpi.status"].as_str()),
        ("revenue", "1", "done")
    );
}

#[test]
fn a_collector_that_is_not_there_costs_a_warning() {
    // Nobody listens where somebody did a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&endpoint, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("warning: the trace of this run could not be sent"), "{stderr}");
    assert!(stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && !stderr.contains("do-not-tell"), "{stderr}");
}

#[test]
fn a_collector_that_refuses_and_a_name_of_ones_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collecting = std::thread::spawn(move || collect(&listener, "400 Bad Request"));
    let output = run(&endpoint, &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=nightly,team=data")]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("the collector answered 400 Bad Request"), "{stderr}");
    let (_, _, body) = collecting.join().unwrap();
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let named = attributes(&request.resource_spans[0].resource.as_ref().unwrap().attributes);
    assert_eq!((named["service.name"].as_str(), named["team"].as_str()), ("nightly", "data"));

    let output = run("http://127.0.0.1:1", &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("`grpc` is asked for, and kpi speaks `http/protobuf` only"), "{stderr}");
}
