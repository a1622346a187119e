//! Google Cloud Storage as far as Nearlake uses it: the XML API, in memory, on a port of its own.
//!
//! ```text
//!   PUT    /bucket/object         x-goog-if-generation-match: 0 is create-if-absent, else 412
//!   GET    /bucket/object         Range: bytes=a-b
//!   DELETE /bucket/object
//!   GET    /bucket?list-type=2&prefix=…        in pages
//! ```
//!
//! It can be slow, refuse, and do what it is told without saying so.

use crate::clock::{SharedClock, SystemClock};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// How many objects one page of a listing has: few, so that tests see several pages.
const PAGE: usize = 3;

/// A running fake; it ends when dropped.
#[derive(Debug)]
pub(crate) struct FakeGcs {
    /// Where it listens: the endpoint to give to a store.
    pub(crate) url: String,
    /// What goes wrong; may be changed at any time.
    pub(crate) knobs: Arc<Knobs>,
    server: JoinHandle<()>,
}

/// What goes wrong. 0: never.
#[derive(Debug, Default)]
pub(crate) struct Knobs {
    /// Every so many requests are refused with 503.
    pub(crate) refuse_every: AtomicU64,
    /// Every so many requests are done, and answered with 503 all the same.
    pub(crate) lose_answer_every: AtomicU64,
    /// How long every request takes.
    pub(crate) latency_ms: AtomicU64,
    /// How many requests there were.
    pub(crate) requests: AtomicU64,
}

impl FakeGcs {
    /// Listens on a free port. Any bucket exists and is empty.
    pub(crate) async fn start() -> Self {
        let knobs = Arc::new(Knobs::default());
        let gate = Gate { knobs: Arc::clone(&knobs), clock: SystemClock::shared() };
        let app = Router::new()
            .route("/{bucket}", routing::get(list))
            .route("/{bucket}/{*name}", routing::any(object))
            .layer(DefaultBodyLimit::max(1 << 30))
            .layer(middleware::from_fn_with_state(gate, pass))
            .with_state(Arc::new(Buckets::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, knobs, server }
    }
}

impl Drop for FakeGcs {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Objects by bucket and name.
#[derive(Default)]
struct Buckets {
    objects: Mutex<BTreeMap<(String, String), Object>>,
    generation: AtomicU64,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    generation: u64,
    written: String,
}

#[derive(Clone)]
struct Gate {
    knobs: Arc<Knobs>,
    clock: SharedClock,
}

/// Lets a request through, or not, or swallows the answer.
async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Gate { knobs, clock } = gate;
    let count = knobs.requests.fetch_add(1, Relaxed) + 1;
    let strikes = |every: &AtomicU64| match every.load(Relaxed) {
        0 => false,
        every => count.is_multiple_of(every),
    };
    clock.sleep(Duration::from_millis(knobs.latency_ms.load(Relaxed))).await;
    if strikes(&knobs.refuse_every) {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
    }
    let answer = next.run(request).await;
    if strikes(&knobs.lose_answer_every) {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "DoneButNotSaid");
    }
    answer
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, format!("<?xml version='1.0'?><Error><Code>{code}</Code></Error>")).into_response()
}

async fn object(
    State(buckets): State<Arc<Buckets>>,
    Path(place): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut objects = buckets.objects.lock();
    let found = objects.get(&place).cloned();
    match (method, found) {
        (Method::PUT, found) => {
            let wanted = headers.get("x-goog-if-generation-match");
            let present = found.map_or(0, |object| object.generation).to_string();
            if wanted.is_some_and(|wanted| *wanted != *present) {
                return refuse(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            }
            let generation = buckets.generation.fetch_add(1, Relaxed) + 1_700_000_000_000_000;
            let written = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            let object = Object { bytes: body, generation, written };
            let answer = described(&object);
            objects.insert(place, object);
            answer
        }
        (Method::DELETE, Some(_)) => {
            objects.remove(&place);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET | Method::HEAD, Some(object)) => read(&object, &headers),
        (_, None) => refuse(StatusCode::NOT_FOUND, "NoSuchKey"),
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn described(object: &Object) -> Response {
    let generation = object.generation.to_string();
    let modified = chrono::DateTime::parse_from_rfc3339(&object.written).unwrap().to_rfc2822();
    let headers = [
        ("x-goog-generation", generation.clone()),
        ("etag", format!("\"{generation}\"")),
        ("last-modified", modified.replace("+0000", "GMT")),
    ];
    (headers, ()).into_response()
}

fn read(object: &Object, headers: &HeaderMap) -> Response {
    let mut answer = described(object);
    let length = object.bytes.len();
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap());
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        *answer.body_mut() = object.bytes.clone().into();
        return answer;
    };
    let (start, end) = match first.parse::<usize>() {
        Ok(start) => (start, last.parse().map_or(length, |last: usize| (last + 1).min(length))),
        Err(_) => (length.saturating_sub(last.parse().unwrap()), length),
    };
    if start >= end {
        return refuse(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
    }
    let range = format!("bytes {start}-{}/{length}", end - 1);
    answer.headers_mut().insert(header::CONTENT_RANGE, range.parse().unwrap());
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    *answer.body_mut() = object.bytes.slice(start..end).into();
    answer
}

async fn list(
    State(buckets): State<Arc<Buckets>>,
    Path(bucket): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let asked = |name: &str| query.get(name).cloned().unwrap_or_default();
    let (prefix, after) = (asked("prefix"), asked("continuation-token").max(asked("start-after")));
    let objects = buckets.objects.lock();
    let mut found = objects.iter().filter(|((place, name), _)| {
        *place == bucket && name.starts_with(&prefix) && *name > after
    });
    let mut body = "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult>".to_string();
    let mut last = "";
    for ((_, name), object) in found.by_ref().take(PAGE) {
        let Object { bytes, generation, written } = object;
        write!(
            body,
            "<Contents><Key>{}</Key><Generation>{generation}</Generation>\
             <LastModified>{written}</LastModified><ETag>\"{generation}\"</ETag>\
             <Size>{}</Size></Contents>",
            escaped(name),
            bytes.len()
        )
        .unwrap();
        last = name;
    }
    if found.next().is_some() {
        write!(body, "<NextContinuationToken>{}</NextContinuationToken>", escaped(last)).unwrap();
    }
    body.push_str("</ListBucketResult>");
    ([(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

fn escaped(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;")
}
