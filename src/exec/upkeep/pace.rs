//! How much of a core upkeep takes for what can wait: a part of it at all times, more of it while
//! clients ask for little.

use crate::{clock::SharedClock, telemetry::Metrics};
use std::{sync::Arc, time::Duration};

/// Fewer transactions and searches a second than this are little.
const QUIET_PER_SECOND: f64 = 5.0;
/// For how long clients are watched before it is said again whether they ask for little.
const WATCHED: Duration = Duration::from_secs(1);

/// After a piece of work that took some time, so many times as long is rested.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rests {
    pub(super) busy: u32,
    pub(super) quiet: u32,
    /// Before the first piece, so that a start is about what clients ask for.
    pub(super) first: Duration,
}

/// Says when the next piece of one kind of work is due.
#[derive(Debug)]
pub(super) struct Pace {
    metrics: Arc<Metrics>,
    rests: Rests,
    /// Clients were last looked at then, and had asked so often by then.
    since: Duration,
    seen: u64,
    is_quiet: bool,
    free_at: Duration,
}

impl Pace {
    pub(super) fn new(metrics: Arc<Metrics>, clock: &SharedClock, rests: Rests) -> Self {
        let since = clock.elapsed();
        Self { metrics, rests, since, seen: 0, is_quiet: false, free_at: since + rests.first }
    }

    /// When the next piece may begin.
    pub(super) fn free_at(&self) -> Duration {
        self.free_at
    }

    /// A piece of work began and ended.
    pub(super) fn worked(&mut self, begun: Duration, now: Duration) {
        self.watch(now);
        let is_quiet = self.is_quiet && self.metrics.statements_running.get() == 0;
        let rests = if is_quiet { self.rests.quiet } else { self.rests.busy };
        self.free_at = now + now.saturating_sub(begun) * rests;
    }

    fn watch(&mut self, now: Duration) {
        let watched = now.saturating_sub(self.since);
        if watched >= WATCHED {
            let asked = self.asked();
            let more = u32::try_from(asked.saturating_sub(self.seen)).unwrap_or(u32::MAX);
            self.is_quiet = f64::from(more) < QUIET_PER_SECOND * watched.as_secs_f64();
            (self.since, self.seen) = (now, asked);
        }
    }

    /// How often clients wanted something so far.
    fn asked(&self) -> u64 {
        let transactions = ["commit", "rollback"]
            .map(|outcome| self.metrics.transactions.with_label_values(&[outcome]).get());
        let searches = ["index", "filtered", "lazy", "exact"]
            .map(|strategy| self.metrics.searches.with_label_values(&[strategy]).get());
        transactions.into_iter().chain(searches).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;

    #[test]
    fn work_that_can_wait_goes_on_while_clients_are_busy_and_faster_while_they_are_not() {
        let (metrics, clock) = (Arc::new(Metrics::default()), SeededClock::shared(1));
        let seconds = Duration::from_secs_f64;
        let rests = Rests { busy: 9, quiet: 1, first: seconds(7.0) };
        let mut pace = Pace::new(Arc::clone(&metrics), &clock, rests);
        assert_eq!(pace.free_at(), seconds(7.0));

        pace.worked(seconds(0.0), seconds(0.1));
        assert_eq!(pace.free_at(), seconds(1.0), "nothing is known yet");
        pace.worked(seconds(1.0), seconds(1.1));
        assert_eq!(pace.free_at(), seconds(1.2), "nobody asks");
        metrics.searches.with_label_values(&["lazy"]).inc_by(20);
        pace.worked(seconds(2.0), seconds(2.1));
        assert_eq!(pace.free_at(), seconds(3.0), "clients search");
        pace.worked(seconds(3.0), seconds(3.2));
        assert_eq!(pace.free_at(), seconds(3.4), "they do no more");
        metrics.statements_running.inc();
        pace.worked(seconds(4.0), seconds(4.2));
        assert_eq!(pace.free_at(), seconds(6.0), "a statement runs");
    }
}
