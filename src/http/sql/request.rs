//! What may be asked, and within which bounds.

use super::super::refusal::Refusal;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// Rows of a result where nobody says otherwise, in an answer that is one document.
const ROWS: u64 = 1000;
/// Bytes of rows of such an answer where nobody says otherwise, and at most.
const BYTES: usize = 8 << 20;
const BYTES_MAX: usize = 64 << 20;
/// The longest time that a statement may be given.
const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// As many as the other wire takes.
const PARAMS_MAX: usize = 65_535;

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    /// One statement, or several with semicolons between them.
    pub(super) sql: String,
    /// The values of `$1`, `$2` …
    #[serde(default)]
    pub(super) params: Vec<Value>,
    /// The most rows of each result.
    max_rows: Option<u64>,
    /// The most bytes of rows in the answer.
    max_bytes: Option<usize>,
    /// How long each statement may take.
    pub(super) timeout_ms: Option<u64>,
    /// Whether nothing may be written, whatever the statements say.
    #[serde(default)]
    pub(super) read_only: bool,
    /// The database.
    pub(super) database: Option<String>,
    /// Whether the answer comes in lines while it is made.
    #[serde(default)]
    pub(super) stream: bool,
}

impl SqlRequest {
    /// Refuses what is out of bounds.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let invalid = |message: String| Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        if self.params.len() > PARAMS_MAX {
            return invalid(format!("more than {PARAMS_MAX} params"));
        }
        if self.timeout_ms.is_some_and(|limit| !(1..=TIMEOUT_MS_MAX).contains(&limit)) {
            return invalid(format!("timeout_ms must be between 1 and {TIMEOUT_MS_MAX}"));
        }
        if !self.stream && self.max_bytes.is_some_and(|limit| limit > BYTES_MAX) {
            return invalid(format!(
                "max_bytes must be at most {BYTES_MAX}; with \"stream\": true there is no limit"
            ));
        }
        Ok(())
    }

    /// The most rows of each result.
    pub(super) fn rows_max(&self) -> u64 {
        self.max_rows.unwrap_or(if self.stream { u64::MAX } else { ROWS })
    }

    /// The most bytes of rows in the answer.
    pub(super) fn bytes_max(&self) -> usize {
        self.max_bytes.unwrap_or(if self.stream { usize::MAX } else { BYTES })
    }
}
