//! Keeps the tasks of a node going: one that panics is begun anew, since what it did would else be done
//! no more until the process ends, and nobody would see why.

use crate::{clock::SharedClock, telemetry::Metrics};
use futures::FutureExt as _;
use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The rest before a task is begun anew; it doubles with each panic, up to the longest.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// Watches over tasks.
#[derive(Debug, Clone)]
pub struct Supervisor {
    clock: SharedClock,
    metrics: Arc<Metrics>,
}

impl Supervisor {
    /// With a node's clock and metrics.
    #[must_use]
    pub fn new(clock: SharedClock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics }
    }

    /// Runs a task until it ends by itself; after a panic it is begun anew, unless it was to stop.
    pub async fn keep<F: Future<Output = ()>>(
        self,
        task: &'static str,
        stop: CancellationToken,
        begin: impl Fn() -> F,
    ) {
        let mut rest = REST;
        // What a task leaves behind is published pictures, each of them whole.
        while let Err(panic) = AssertUnwindSafe(begin()).catch_unwind().await {
            self.metrics.task_panics.with_label_values(&[task]).inc();
            tracing::error!(task, panic = said(panic.as_ref()), again_in = ?rest, "a task panicked");
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(rest) => {}
            }
            rest = (rest * 2).min(REST_MAX);
        }
    }
}

/// What a panic said.
pub(super) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_task_that_panics_is_begun_anew() {
        let metrics = Arc::new(Metrics::default());
        let supervisor = Supervisor::new(SeededClock::shared(1), Arc::clone(&metrics));
        let begun = AtomicUsize::new(0);

        let task = || async { assert!(begun.fetch_add(1, Ordering::Relaxed) == 2, "not yet") };
        supervisor.keep("upkeep", CancellationToken::new(), task).await;

        assert_eq!(begun.load(Ordering::Relaxed), 3);
        assert_eq!(metrics.task_panics.with_label_values(&["upkeep"]).get(), 2);
    }
}
