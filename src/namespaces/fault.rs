//! What goes wrong with a request, in a client's terms.

use crate::error::{Error, ErrorKind, SqlState};
use std::fmt;

/// What a client can make of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The request is wrong in what it asks.
    Invalid,
    /// The request is not of the expected shape.
    Shape,
    /// Nobody may do this here.
    Denied,
    /// The namespace, or the operation, does not exist.
    NotFound,
    /// Others were in the way, however often it was tried.
    Conflict,
    /// Too much is going on; later it works.
    Busy,
    /// Nearlake cannot do this.
    Unsupported,
    /// The store is away, or memory is short; later it works.
    Unavailable,
    /// A fault of ours.
    Internal,
}

/// A request that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the client can make of it.
    pub kind: FaultKind,
    /// The reason, in a sentence.
    pub message: String,
    /// The condition behind it, where SQL raised one.
    pub(super) state: Option<SqlState>,
}

/// What a request gives.
pub type Answer<T> = Result<T, Fault>;

impl Fault {
    /// A fault of a kind.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), state: None }
    }

    /// What the request asks is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Invalid, message)
    }

    /// What the request asks is not to be had.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unsupported, message)
    }

    /// The same fault of something: `filters: …`.
    pub(super) fn of(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Whether the same request may pass when it is tried once more: another one was first, or
    /// changed the table that this one had looked at.
    pub(super) fn is_passing(&self) -> bool {
        let overtaken = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::UNDEFINED_OBJECT,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::DUPLICATE_TABLE,
            SqlState::DUPLICATE_COLUMN,
            SqlState::DUPLICATE_OBJECT,
            SqlState::DUPLICATE_SCHEMA,
        ];
        self.kind == FaultKind::Conflict
            || self.state.is_some_and(|state| overtaken.contains(&state))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::about(&error)
    }
}

impl Fault {
    /// What a client can make of an error of SQL.
    #[must_use]
    pub fn about(error: &Error) -> Self {
        let kind = match (error.kind(), error.state()) {
            (_, SqlState::FEATURE_NOT_SUPPORTED) => FaultKind::Unsupported,
            (_, SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::INSUFFICIENT_PRIVILEGE) => {
                FaultKind::Denied
            }
            (_, SqlState::TOO_MANY_CONNECTIONS | SqlState::CONFIGURATION_LIMIT_EXCEEDED) => {
                FaultKind::Busy
            }
            (ErrorKind::Invalid | ErrorKind::NotFound, _) => FaultKind::Invalid,
            (ErrorKind::Conflict, _) => FaultKind::Conflict,
            (ErrorKind::Unavailable | ErrorKind::Fenced, _) => FaultKind::Unavailable,
            _ => FaultKind::Internal,
        };
        let mut message = error.message().to_owned();
        if let Some(detail) = &error.fields().detail {
            message = format!("{message}: {detail}");
        }
        Self { kind, message, state: Some(error.state()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
