//! What a client is told when its request fails: a status and `{"status": "error", "error": …}`.

use crate::namespaces::{Fault, FaultKind};
use axum::{
    Json,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::time::Duration;

/// Tells clients not to try again what will fail again, or may have been done.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A request that failed.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// After how many seconds it may pass.
    retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let is_busy =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self { status, message: message.into(), retry_after: is_busy.then_some(1) }
    }

    /// A key asked more often than it may.
    pub(super) fn too_often(wait: Duration) -> Self {
        let refusal =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "this key asks too often; try again");
        Self { retry_after: Some(wait.as_secs() + 1), ..refusal }
    }
}

/// The status code of a fault.
pub(super) fn status(fault: &Fault) -> StatusCode {
    match fault.kind {
        FaultKind::Invalid => StatusCode::BAD_REQUEST,
        FaultKind::Shape => StatusCode::UNPROCESSABLE_ENTITY,
        FaultKind::Denied => StatusCode::FORBIDDEN,
        FaultKind::NotFound => StatusCode::NOT_FOUND,
        FaultKind::Conflict => StatusCode::CONFLICT,
        FaultKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        FaultKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        FaultKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        if fault.kind == FaultKind::Internal {
            tracing::error!(%fault, "a request failed");
        }
        Self::new(status(&fault), fault.message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "status": "error", "error": self.message }));
        let mut response = (self.status, body).into_response();
        if matches!(self.status, StatusCode::NOT_IMPLEMENTED | StatusCode::GATEWAY_TIMEOUT) {
            response.headers_mut().insert(SHOULD_RETRY, "false".parse().expect("it is ASCII"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
