//! When an index whose upkeep or build failed is tried again: later each time.

use crate::ids::IndexId;
use std::{collections::HashMap, time::Duration};

/// The pause after a first failure; it doubles with each, up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The indexes with which it failed the last time. Bounded by the indexes there are.
#[derive(Debug, Default)]
pub(super) struct Retries(HashMap<IndexId, Failure>);

#[derive(Debug)]
struct Failure {
    times: u32,
    again_at: Duration,
}

impl Retries {
    /// Whether it is time for an index.
    pub(super) fn is_due(&self, id: IndexId, now: Duration) -> bool {
        self.0.get(&id).is_none_or(|failure| failure.again_at <= now)
    }

    /// It failed. How long it is left alone.
    pub(super) fn failed(&mut self, id: IndexId, now: Duration) -> Duration {
        let failure = self.0.entry(id).or_insert(Failure { times: 0, again_at: now });
        let pause = FIRST.saturating_mul(1 << failure.times.min(16)).min(LONGEST);
        failure.times += 1;
        failure.again_at = now + pause;
        pause
    }

    /// It went well.
    pub(super) fn succeeded(&mut self, id: IndexId) {
        self.0.remove(&id);
    }

    /// When the next of these indexes is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.values().map(|failure| failure.again_at).min()
    }

    /// Forgets indexes that are no more.
    pub(super) fn keep(&mut self, is_there: impl Fn(IndexId) -> bool) {
        self.0.retain(|&id, _| is_there(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_a_success() {
        let (mut retries, id) = (Retries::default(), crate::ids::Oid(7));
        let mut now = Duration::ZERO;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert!(retries.is_due(id, now));
            assert_eq!(retries.failed(id, now), Duration::from_secs(seconds));
            assert!(!retries.is_due(id, now));
            now = retries.next().unwrap();
        }
        retries.succeeded(id);
        assert!(retries.is_due(id, now) && retries.next().is_none());
    }
}
