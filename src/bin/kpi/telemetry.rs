//! A run as a trace for an OpenTelemetry collector, over OTLP with HTTP: a span for the run, below it one for each step of a
//! KPI, and an event for each other step. Part of builds with the feature `otlp`, at work where the environment
//! names a collector.
//!
//! Where it goes is said by OpenTelemetry's own variables. Metrics and logs are not sent: those are for `--metrics` and
//! `--log-format`. A collector that cannot be reached costs a run nothing but a
//! warning.

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use kpi::error::{Error, Result};
use kpi::store::{ManifestEvent, Status as StepStatus};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

/// How long the end of a run may wait for the collector.
const PATIENCE: Duration = Duration::from_secs(5);

/// The trace of a run, if anybody wants one.
#[derive(Clone)]
pub struct Telemetry(Option<Arc<Trace>>);

struct Trace {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// Holds the span of the run.
    run: Context,
    failure: Failure,
}

/// Why the trace does not arrive, as far as that is known; a request that succeeds after others makes good for them.
type Failure = Arc<Mutex<Option<String>>>;

impl Telemetry {
    /// Begins the span of a run, where the environment names a collector.
    pub fn from_environment() -> Telemetry {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let says = |name: &str, word: &str| env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case(word));
        let is_asked = is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        if !is_asked || says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
            return Telemetry(None);
        }
        let failure = Failure::default();
        // What stands in a header of the first address is not meant for another.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let client = Client { http: http.unwrap_or_default(), runtime: Handle::current(), failure: failure.clone() };
        let exporter = SpanExporter::builder().with_http().with_http_client(client).with_protocol(Protocol::HttpBinary);
        let mut resource = Resource::builder().build();
        let named = resource.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
        if named.is_none_or(|name| name.starts_with("unknown_service")) {
            resource = Resource::builder().with_service_name("kpi").build();
        }
        let mut provider = SdkTracerProvider::builder().with_resource(resource);
        let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        let protocol = protocols.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        match exporter.build() {
            _ if protocol.as_ref().is_some_and(|protocol| protocol != "http/protobuf") => {
                let asked = protocol.unwrap_or_default();
                note(&failure, format!("`{asked}` is asked for, and kpi speaks `http/protobuf` only"));
            }
            Ok(exporter) => provider = provider.with_batch_exporter(exporter),
            Err(error) => note(&failure, error.to_string()),
        }
        let provider = provider.build();
        let tracer = provider.tracer("kpi");
        let run = tracer.start_with_context("kpi run", &caller());
        let run = Context::new().with_span(run);
        Telemetry(Some(Arc::new(Trace { provider, tracer, run, failure })))
    }

    /// Adds a step of the run.
    pub fn event(&self, event: &ManifestEvent) {
        let Some(trace) = &self.0 else { return };
        let ended = chrono::DateTime::parse_from_rfc3339(&event.ts).map_or_else(|_| SystemTime::now(), Into::into);
        let name = word(&event.phase);
        let failed = event.error.as_ref().or(event.reason.as_ref());
        let failed = failed.filter(|_| matches!(event.status, StepStatus::Failed | StepStatus::Withheld));
        let attributes = [
            Some(KeyValue::new("kpi.run_id", event.run_id.clone())),
            Some(KeyValue::new("kpi.status", word(&event.status))),
            event.kpi.clone().map(|kpi| KeyValue::new("kpi.name", kpi)),
            event.rows.map(|rows| KeyValue::new("kpi.rows", i64::try_from(rows).unwrap_or(i64::MAX))),
            event.reason.clone().map(|reason| KeyValue::new("kpi.reason", reason)),
            event.error.clone().map(|error| KeyValue::new("kpi.error", error)),
        ];
        let attributes: Vec<KeyValue> = attributes.into_iter().flatten().collect();
        match (&event.kpi, event.elapsed_ms) {
            (None, None) => trace.run.span().add_event_with_timestamp(name, ended, attributes),
            (_, elapsed) => {
                let elapsed = Duration::from_millis(elapsed.unwrap_or_default());
                let began = ended.checked_sub(elapsed).unwrap_or(ended);
                let name = event.kpi.as_ref().map_or(name.clone(), |kpi| format!("{name} {kpi}"));
                let step = trace.tracer.span_builder(name).with_start_time(began).with_attributes(attributes);
                let mut step = step.start_with_context(&trace.tracer, &trace.run);
                if let Some(failed) = failed {
                    step.set_status(Status::error(failed.clone()));
                }
                step.end_with_timestamp(ended);
            }
        }
    }

    /// Ends the span of the run, and brings everything to the collector.
    ///
    /// # Errors
    /// `Storage` where it did not take the trace.
    pub async fn end(&self, project: &str, version: Option<u64>, exit_code: u8) -> Result<()> {
        let Some(trace) = self.0.clone() else { return Ok(()) };
        let span = trace.run.span();
        span.set_attribute(KeyValue::new("kpi.project", project.to_owned()));
        span.set_attribute(KeyValue::new("kpi.exit_code", i64::from(exit_code)));
        if let Some(version) = version {
            span.set_attribute(KeyValue::new("kpi.version", i64::try_from(version).unwrap_or(i64::MAX)));
        }
        if exit_code != 0 {
            span.set_status(Status::error(format!("exit code {exit_code}")));
        }
        span.end();
        let (provider, failure) = (trace.provider.clone(), trace.failure.clone());
        let shut_down = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(PATIENCE)).await;
        if let Ok(Err(error)) = shut_down {
            note(&failure, error.to_string());
        }
        let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed {
            Some(reason) => {
                let error = Error::storage("the trace of this run could not be sent").with_context("reason", reason);
                Err(error.with_hint("look at `OTEL_EXPORTER_OTLP_ENDPOINT`; the run itself is not affected"))
            }
            None => Ok(()),
        }
    }
}

/// The span of whoever started this program, as schedulers hand it over.
fn caller() -> Context {
    let parent = env::var("TRACEPARENT").unwrap_or_default();
    let state = env::var("TRACESTATE").unwrap_or_default();
    let carried: HashMap<String, String> = [("traceparent".into(), parent), ("tracestate".into(), state)].into();
    TraceContextPropagator::new().extract_with_context(&Context::new(), &carried)
}

/// The word that manifests have for a phase or a status.
fn word(named: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(named).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

/// Keeps the first reason: what follows mostly follows from it.
fn note(failure: &Failure, reason: String) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
}

/// Sends requests from whatever thread the exporter works on.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    failure: Failure,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            let request = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let answer = request.timeout(PATIENCE).send().await.map_err(reqwest::Error::without_url)?;
            let status = answer.status();
            let body = answer.bytes().await.map_err(reqwest::Error::without_url)?;
            Ok::<_, reqwest::Error>((status, body))
        });
        let answer = match sending.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                note(&self.failure, causes(&error));
                return Err(Box::new(error));
            }
            Err(error) => return Err(Box::new(error)),
        };
        let (status, body) = answer;
        match status.is_success() {
            true => drop(self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()),
            false => note(&self.failure, format!("the collector answered {status}")),
        }
        Ok(Response::builder().status(status).body(body)?)
    }
}

/// An error with those behind it, which have the words that help.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
