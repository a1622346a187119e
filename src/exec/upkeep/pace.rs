//! When there is time to spare for what only makes an index better: while clients ask for little, and
//! then for one part in ten.

use crate::{clock::SharedClock, telemetry::Metrics};
use std::{sync::Arc, time::Duration};

/// Fewer transactions and searches a second than this are little.
const QUIET_PER_SECOND: f64 = 5.0;
/// For how long clients are watched before it is said again whether they ask for little.
const WATCHED: Duration = Duration::from_secs(1);
/// After a piece of work that took some time, so many times as long is rested.
const RESTS: u32 = 9;

/// Watches what clients do.
#[derive(Debug)]
pub(super) struct Pace {
    metrics: Arc<Metrics>,
    clock: SharedClock,
    since: Duration,
    seen: u64,
    is_quiet: bool,
    free_at: Duration,
}

impl Pace {
    pub(super) fn new(metrics: Arc<Metrics>, clock: SharedClock) -> Self {
        let since = clock.elapsed();
        Self { metrics, clock, since, seen: 0, is_quiet: false, free_at: since }
    }

    /// Whether there is time to spare now.
    pub(super) fn is_free(&mut self) -> bool {
        let now = self.clock.elapsed();
        let watched = now.saturating_sub(self.since);
        if watched >= WATCHED {
            let asked = self.asked();
            let more = u32::try_from(asked.saturating_sub(self.seen)).unwrap_or(u32::MAX);
            self.is_quiet = f64::from(more) < QUIET_PER_SECOND * watched.as_secs_f64();
            (self.since, self.seen) = (now, asked);
        }
        self.is_quiet && now >= self.free_at && self.metrics.statements_running.get() == 0
    }

    /// A piece of work took from this time until now.
    pub(super) fn worked_since(&mut self, begun: Duration) {
        let now = self.clock.elapsed();
        self.free_at = now + now.saturating_sub(begun) * RESTS;
    }

    /// How long to wait before asking again.
    pub(super) fn wait(&self) -> Duration {
        let now = self.clock.elapsed();
        self.free_at.max(self.since + WATCHED).saturating_sub(now)
    }

    /// How often clients wanted something so far.
    fn asked(&self) -> u64 {
        let transactions = ["commit", "rollback"]
            .map(|outcome| self.metrics.transactions.with_label_values(&[outcome]).get());
        let searches = ["index", "filtered", "exact"]
            .map(|strategy| self.metrics.searches.with_label_values(&[strategy]).get());
        transactions.into_iter().chain(searches).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;

    #[tokio::test]
    async fn there_is_time_to_spare_when_clients_ask_for_little() {
        let (metrics, clock) = (Arc::new(Metrics::default()), SeededClock::shared(1));
        let mut pace = Pace::new(Arc::clone(&metrics), Arc::clone(&clock));
        assert!(!pace.is_free(), "nothing is known yet");
        clock.sleep(WATCHED).await;
        assert!(pace.is_free());

        let begun = pace.clock.elapsed();
        clock.sleep(Duration::from_millis(100)).await;
        pace.worked_since(begun);
        assert!(!pace.is_free(), "it rests");
        clock.sleep(pace.wait()).await;
        assert!(pace.is_free());

        metrics.statements_running.inc();
        assert!(!pace.is_free());
        metrics.statements_running.dec();
        metrics.transactions.with_label_values(&["commit"]).inc_by(20);
        clock.sleep(WATCHED).await;
        assert!(!pace.is_free(), "clients are busy");
        clock.sleep(WATCHED).await;
        assert!(pace.is_free());
    }
}
