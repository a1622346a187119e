//! What every request goes through, whatever it asks: it gets an id, a span, a time within which it is
//! answered, and is counted.
//!
//! The id is the client's (`x-request-id`) where it sends a sensible one, or a new one; it stands in the
//! answer and in every line that is logged meanwhile. A `traceparent` makes the span part of the
//! client's trace.

use super::{listener::Peer, refusal::Refusal};
use crate::{
    clock::SharedClock,
    telemetry::{Metrics, Traceparent},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tracing::Instrument as _;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id is not taken over.
const ID_BYTES_MAX: usize = 128;

/// What all requests need.
#[derive(Clone)]
pub(super) struct Every {
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: SharedClock,
    pub(super) time_max: Duration,
}

/// Takes a request through.
pub(super) async fn take(State(every): State<Every>, request: Request, next: Next) -> Response {
    let Every { metrics, clock, time_max } = every;
    let begun = clock.elapsed();
    let id = id(request.headers()).unwrap_or_else(|| new_id(&clock));
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    // A line of the log at whatever level bears what its span says.
    let span = tracing::error_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        route,
        trace = tracing::field::Empty,
        traceparent = tracing::field::Empty,
        peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0)),
    );
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    if let Some(parent) = parent.and_then(Traceparent::parse) {
        parent.adopt(&span);
    }

    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone());
    let mut response = tokio::select! {
        answer = answer => answer.unwrap_or_else(|_| {
            tracing::error!(parent: &span, "a request panicked; the others go on");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the server").into_response()
        }),
        () = clock.sleep(time_max) => {
            // It may have been done: who repeats it has to know that.
            let message = "the request took too long and was given up; what it wrote may be there";
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, message).into_response()
        }
    };

    let (status, took) = (response.status(), clock.elapsed().saturating_sub(begun));
    metrics.http_request_seconds.with_label_values(&[route.as_str()]).observe(took.as_secs_f64());
    let class = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics.http_requests.with_label_values(&[route.as_str(), class]).inc();
    tracing::debug!(parent: &span, status = status.as_u16(), ?took, "answered");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's id, if a log can bear it.
fn id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let is_sensible = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic());
    is_sensible.then(|| id.clone())
}

fn new_id(clock: &SharedClock) -> HeaderValue {
    let id = format!("{:016x}{:016x}", clock.random(), clock.random());
    HeaderValue::try_from(id).expect("digits are a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_a_log_can_bear_is_kept() {
        let with = |value: &[u8]| {
            let headers = [(REQUEST_ID, HeaderValue::from_bytes(value).unwrap())];
            id(&headers.into_iter().collect()).is_some()
        };
        assert!(with(b"7f1c-22:a/b"));
        assert!(!with(b""));
        assert!(!with(b"two words"));
        assert!(!with(b"\xff\xfe"));
        assert!(!with(&[b'a'; 129]));
    }
}
