//! How often a key may ask: so many requests a second in the long run, and a second's worth at once.
//!
//! The generic cell rate algorithm: of each key only one time is kept, the one at which all that it
//! asked for is paid. A request pays `1 / rate`; who is more than a second ahead of the clock waits.

use crate::clock::SharedClock;
use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};

/// How far ahead of the clock a key may be: what it may ask at once.
const BURST: Duration = Duration::from_secs(1);
/// Above this many keys, those are forgotten that have paid; a key that is forgotten has all its
/// burst again.
const KEYS_MAX: usize = 10_000;

/// The hash of what a client bears.
pub(super) type Key = [u8; 32];

/// The times of all keys.
#[derive(Debug)]
pub(super) struct Rate {
    each: Duration,
    clock: SharedClock,
    paid: Mutex<HashMap<Key, Duration>>,
}

impl Rate {
    /// So many requests a second for each key.
    pub(super) fn new(rate_max: u32, clock: SharedClock) -> Self {
        let each = Duration::from_secs(1) / rate_max.max(1);
        Self { each, clock, paid: Mutex::default() }
    }

    /// Lets a request pass, or says how long its client should wait.
    pub(super) fn take(&self, key: Key) -> Result<(), Duration> {
        let now = self.clock.elapsed();
        let mut paid = self.paid.lock();
        if paid.len() >= KEYS_MAX {
            paid.retain(|_, &mut at| at > now);
            if paid.len() >= KEYS_MAX && !paid.contains_key(&key) {
                return Err(BURST);
            }
        }
        let at = paid.entry(key).or_insert(now);
        let next = (*at).max(now) + self.each;
        match next.checked_sub(now + BURST.max(self.each)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *at = next;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;

    #[tokio::test]
    async fn a_second_of_requests_may_come_at_once_and_then_as_many_as_are_paid() {
        let clock = SeededClock::shared(1);
        let rate = Rate::new(10, SharedClock::clone(&clock));
        let (one, other) = ([1; 32], [2; 32]);

        let passed = (0..20).filter(|_| rate.take(one).is_ok()).count();
        assert_eq!(passed, 10);
        assert_eq!(rate.take(one), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(other), Ok(()));

        clock.sleep(Duration::from_millis(250)).await;
        let passed = (0..20).filter(|_| rate.take(one).is_ok()).count();
        assert_eq!(passed, 2);
    }

    #[tokio::test]
    async fn keys_that_have_paid_are_forgotten() {
        let clock = SeededClock::shared(1);
        let rate = Rate::new(1, SharedClock::clone(&clock));
        let key = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            key
        };
        for number in 0..KEYS_MAX {
            assert_eq!(rate.take(key(number)), Ok(()));
        }
        assert!(rate.take(key(KEYS_MAX)).is_err());
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(rate.take(key(KEYS_MAX)), Ok(()));
        assert_eq!(rate.paid.lock().len(), 1);
    }
}
