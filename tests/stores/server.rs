//! An object store of a few operations, as S3 and Google's XML interface speak them, and a web server that answers ranges:
//! for trials on this machine. It checks no signatures and keeps everything in memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server that lives as long as the process.
#[derive(Clone)]
pub struct Server {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By bucket and key, with the number of the write that made it.
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    writes: u64,
    /// Method and path of each request.
    requests: Vec<String>,
    quirk: Quirk,
}

/// What the server does wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quirk {
    #[default]
    None,
    /// It takes a write although the object is there.
    IgnoresConditions,
    /// It knows none of the credentials.
    Refuses,
    /// It fails every third request for a while, as stores under load do.
    IsBusy,
}

impl Server {
    pub fn start(quirk: Quirk) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { quirk, ..State::default() }));
        let server = Server { port, state: state.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                // A client that goes away ends its connection only.
                std::thread::spawn(move || while answer(&stream, &state).is_some() {});
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.writes += 1;
        let write = state.writes;
        state.objects.insert(name.to_owned(), (bytes.to_vec(), write));
    }

    /// All objects, by bucket and key.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.lock().unwrap();
        state.objects.iter().map(|(name, (bytes, _))| (name.clone(), bytes.clone())).collect()
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn answer(stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let request = read(&mut BufReader::new(stream.try_clone().ok()?))?;
    let (status, headers, body) = handle(&request, &mut state.lock().unwrap());
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in &headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let length = body.len();
    if !headers.iter().any(|(name, _)| *name == "Content-Length") {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head.push_str("\r\n");
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()?;
    if request.method != "HEAD" {
        stream.write_all(&body).ok()?;
    }
    stream.flush().ok()
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    Some(Request { method, path: decoded(path).trim_start_matches('/').to_owned(), query, headers, body })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(|digit| char::from(*digit)).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            b'+' => b' ',
            other => *other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

type Answer = (&'static str, Vec<(&'static str, String)>, Vec<u8>);

fn handle(request: &Request, state: &mut State) -> Answer {
    let Request { method, path, query, headers, body } = request;
    state.requests.push(format!("{method} {path}"));
    match state.quirk {
        Quirk::Refuses => return error("403 Forbidden", "InvalidAccessKeyId"),
        Quirk::IsBusy if state.requests.len().is_multiple_of(3) => return error("503 Slow Down", "SlowDown"),
        _ => {}
    }
    let is_bucket = !path.contains('/');
    match method.as_str() {
        "GET" if is_bucket && query.contains_key("list-type") => list(path, query, state),
        "POST" if query.contains_key("delete") => {
            let text = String::from_utf8_lossy(body);
            let mut deleted = String::new();
            for part in text.split("<Key>").skip(1) {
                let key = part.split("</Key>").next().unwrap_or_default();
                state.objects.remove(&format!("{path}/{}", unescaped(key)));
                let _ = write!(deleted, "<Deleted><Key>{key}</Key></Deleted>");
            }
            ("200 OK", vec![], format!("<DeleteResult>{deleted}</DeleteResult>").into_bytes())
        }
        "PUT" => {
            let is_conditional = headers.get("if-none-match").is_some_and(|condition| condition == "*")
                || headers.get("x-goog-if-generation-match").is_some_and(|generation| generation == "0");
            if is_conditional && state.objects.contains_key(path) && state.quirk != Quirk::IgnoresConditions {
                return error("412 Precondition Failed", "PreconditionFailed");
            }
            state.writes += 1;
            state.objects.insert(path.clone(), (body.clone(), state.writes));
            ("200 OK", tags(state.writes), vec![])
        }
        "DELETE" => {
            state.objects.remove(path);
            ("204 No Content", vec![], vec![])
        }
        "GET" | "HEAD" => {
            let Some((bytes, write)) = state.objects.get(path) else { return error("404 Not Found", "NoSuchKey") };
            let mut headers_out = tags(*write);
            headers_out.push(("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT".into()));
            let Some(range) = headers.get("range").and_then(|range| range.strip_prefix("bytes=")) else {
                headers_out.push(("Content-Length", bytes.len().to_string()));
                return ("200 OK", headers_out, bytes.clone());
            };
            let (start, end) = range.split_once('-').unwrap();
            let (start, end) = match (start.parse::<usize>(), end.parse::<usize>()) {
                (Ok(start), Ok(end)) => (start, (end + 1).min(bytes.len())),
                (Ok(start), Err(_)) => (start, bytes.len()),
                (Err(_), Ok(last)) => (bytes.len().saturating_sub(last), bytes.len()),
                (Err(_), Err(_)) => (0, bytes.len()),
            };
            let part = bytes[start..end].to_vec();
            headers_out.push(("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len())));
            headers_out.push(("Content-Length", part.len().to_string()));
            ("206 Partial Content", headers_out, part)
        }
        _ => error("405 Method Not Allowed", "MethodNotAllowed"),
    }
}

fn tags(write: u64) -> Vec<(&'static str, String)> {
    vec![("ETag", format!("\"{write}\"")), ("x-goog-generation", write.to_string())]
}

fn error(status: &'static str, code: &str) -> Answer {
    (status, vec![], format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>").into_bytes())
}

fn list(bucket: &str, query: &BTreeMap<String, String>, state: &State) -> Answer {
    let prefix = query.get("prefix").map_or("", String::as_str);
    let delimiter = query.get("delimiter").filter(|delimiter| !delimiter.is_empty());
    let mut contents = String::new();
    let mut prefixes: Vec<String> = Vec::new();
    for (name, (bytes, write)) in &state.objects {
        let Some(key) = name.strip_prefix(&format!("{bucket}/")).filter(|key| key.starts_with(prefix)) else {
            continue;
        };
        if let Some(end) = delimiter.and_then(|delimiter| key[prefix.len()..].find(delimiter.as_str())) {
            let common = key[..prefix.len() + end + 1].to_owned();
            if !prefixes.contains(&common) {
                prefixes.push(common);
            }
            continue;
        }
        let _ = write!(
            contents,
            "<Contents><Key>{}</Key><Size>{}</Size><LastModified>2025-01-01T00:00:00.000Z</LastModified>\
             <ETag>\"{write}\"</ETag></Contents>",
            escaped(key),
            bytes.len()
        );
    }
    let prefixes: String = prefixes
        .iter()
        .map(|prefix| format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(prefix)))
        .collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>\
         {contents}{prefixes}</ListBucketResult>"
    );
    ("200 OK", vec![("Content-Type", "application/xml".into())], body.into_bytes())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
