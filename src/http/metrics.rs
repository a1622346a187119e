//! `/metrics`, for Prometheus to read.

use super::State;
use axum::{
    extract,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

pub(super) async fn render(extract::State(state): extract::State<State>) -> Response {
    // What the checks find is among the metrics.
    state.checks.checks().await;
    match state.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
