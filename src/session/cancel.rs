//! Stopping a statement: from another connection, from a vanished client, by a deadline.

use crate::{
    clock::SharedClock,
    error::{Error, SqlState},
    exec::run::cancelled,
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Stops the statement that its session runs; harmless when none runs.
#[derive(Debug, Clone, Default)]
pub struct Canceller(Arc<Mutex<Stop>>);

/// What one statement watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    timed_out: Arc<AtomicBool>,
}

impl Canceller {
    /// Stops the running statement: it fails with 57014.
    pub fn cancel(&self) {
        self.running().token.cancel();
    }

    /// A statement begins: what came before does not stop it.
    pub(super) fn renew(&self) -> Stop {
        let stop = Stop::default();
        self.resume(&stop);
        stop
    }

    /// A statement is taken up again.
    fn resume(&self, stop: &Stop) {
        *self.0.lock() = stop.clone();
    }

    /// What the running statement watches.
    pub(super) fn token(&self) -> CancellationToken {
        self.running().token
    }

    fn running(&self) -> Stop {
        self.0.lock().clone()
    }

    /// Waits until the running statement is stopped, and tells why it was.
    pub async fn stopped(&self) -> Error {
        let running = self.running();
        running.token.cancelled().await;
        running.reason(cancelled())
    }
}

impl Stop {
    /// What stops.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The error of a stopped statement with its true reason.
    pub(super) fn reason(&self, error: Error) -> Error {
        if error.state() == SqlState::QUERY_CANCELED && self.timed_out.load(Ordering::Acquire) {
            return Error::new(
                SqlState::QUERY_CANCELED,
                "canceling statement due to statement timeout",
            );
        }
        error
    }
}

/// A statement while its client takes its rows, perhaps with pauses in which the session does
/// other things: only while it goes on does its time run, and does a request to cancel mean it.
#[derive(Debug)]
pub struct Pace {
    canceller: Canceller,
    stop: Stop,
    limit: Option<(Duration, SharedClock)>,
    deadline: Mutex<Option<Deadline>>,
}

/// A deadline that is called off when it is dropped.
#[derive(Debug)]
struct Deadline(tokio::task::AbortHandle);

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pace {
    /// Begins with the statement that `canceller` was renewed for.
    pub(super) fn begin(
        canceller: Canceller,
        stop: Stop,
        limit: Option<(Duration, SharedClock)>,
    ) -> Self {
        let pace = Self { canceller, stop, limit, deadline: Mutex::new(None) };
        pace.start();
        pace
    }

    /// Goes on.
    pub fn resume(&self) {
        self.canceller.resume(&self.stop);
        if self.deadline.lock().is_none() {
            self.start();
        }
    }

    /// Pauses, or is at its end.
    pub fn pause(&self) {
        *self.deadline.lock() = None;
    }

    fn start(&self) {
        let Some((limit, clock)) = &self.limit else { return };
        let (wait, stop) = (clock.sleep(*limit), self.stop.clone());
        let task = tokio::spawn(async move {
            wait.await;
            stop.timed_out.store(true, Ordering::Release);
            stop.token.cancel();
        });
        *self.deadline.lock() = Some(Deadline(task.abort_handle()));
    }
}
