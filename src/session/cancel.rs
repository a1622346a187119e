//! Stopping a statement: from another connection, from a vanished client, by a deadline.

use crate::{
    error::{Error, SqlState},
    exec::run::cancelled,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Stops the statement that its session runs; harmless when none runs.
#[derive(Debug, Clone, Default)]
pub struct Canceller(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    token: CancellationToken,
    timed_out: bool,
}

impl Canceller {
    /// Stops the running statement: it fails with 57014.
    pub fn cancel(&self) {
        self.0.lock().token.cancel();
    }

    /// A statement begins: what came before does not stop it.
    pub(super) fn renew(&self) -> CancellationToken {
        let mut running = self.0.lock();
        *running = Running::default();
        running.token.clone()
    }

    /// What the running statement watches.
    pub(super) fn token(&self) -> CancellationToken {
        self.0.lock().token.clone()
    }

    /// The running statement's time is up.
    pub(super) fn time_out(&self) {
        let mut running = self.0.lock();
        running.timed_out = true;
        running.token.cancel();
    }

    /// Waits until the running statement is stopped, and tells why it was.
    pub async fn stopped(&self) -> Error {
        self.token().cancelled().await;
        self.reason(cancelled())
    }

    /// The error of a stopped statement with its true reason.
    pub(super) fn reason(&self, error: Error) -> Error {
        if error.state() == SqlState::QUERY_CANCELED && self.0.lock().timed_out {
            return Error::new(
                SqlState::QUERY_CANCELED,
                "canceling statement due to statement timeout",
            );
        }
        error
    }
}
