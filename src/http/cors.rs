//! Pages of other sites (CORS). A browser lets a page read an answer only if that says so, and asks
//! before it sends what a form could not. Nothing is said to a site that is not among
//! [`Options::origins`](super::Options::origins), and that list is empty unless someone fills it.

use super::Api;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use std::sync::Arc;

/// What a page may send beside what every page may.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, content-encoding, traceparent, x-request-id";
/// What a page may read of an answer's head.
const EXPOSED: &str = "retry-after, x-request-id";
/// For how many seconds a browser need not ask again.
const MAX_AGE: &str = "600";

/// Answers what browsers ask before a request, and tells them who may read an answer.
pub(super) async fn allow(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if api.options.origins.is_empty() {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|origin| is_listed(&api.options.origins, origin));
    let asks_before = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&allowed, asks_before) {
        (Some(_), true) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
            response
        }
        _ => next.run(request).await,
    };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    response
}

/// Whether a site is among those that may.
pub(super) fn is_listed(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
}
