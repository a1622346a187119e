//! How often a live query is answered again: never so often that it costs more than its part of the
//! machine, and of the store.

use crate::clock::SharedClock;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Of the machine's cores, one part in so many may be spent.
pub(super) const CPU_PARTS: u32 = 100;
/// The shortest rest.
const REST_MIN: Duration = Duration::from_millis(10);
/// From the store not more is read a second than this.
const STORE_BYTES_PER_SECOND: u64 = 1 << 20;
/// No turn until the present one is over.
const NEVER: u64 = u64::MAX;

/// One turn at a time; after each a rest, as long as it takes for the turn to have been cheap.
#[derive(Debug)]
pub(super) struct Pace {
    clock: SharedClock,
    cores: u32,
    /// When the next turn may begin, in microseconds of the clock.
    due: AtomicU64,
}

/// A turn that has begun.
#[derive(Debug)]
pub(super) struct Turn(Duration);

impl Pace {
    /// For a machine of so many cores.
    pub(super) fn new(clock: SharedClock, cores: usize) -> Self {
        let cores = u32::try_from(cores).unwrap_or(u32::MAX).clamp(1, CPU_PARTS);
        Self { clock, cores, due: AtomicU64::new(0) }
    }

    /// Offers the next turn, if it is time for one, to whoever comes first: whether `taken` took it.
    pub(super) fn offer(&self, taken: impl FnOnce() -> bool) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        if self.now() < due {
            return false;
        }
        let (won, lost) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.due.compare_exchange(due, NEVER, won, lost).is_err() {
            return false;
        }
        let is_taken = taken();
        if !is_taken {
            self.due.store(due, Ordering::Relaxed);
        }
        is_taken
    }

    /// The work of a turn begins.
    pub(super) fn begin(&self) -> Turn {
        Turn(self.clock.elapsed())
    }

    /// The work is done, and took so many bytes from the store: the rest begins.
    pub(super) fn rest(&self, turn: Turn, store_bytes: u64) {
        let worked = self.clock.elapsed().saturating_sub(turn.0);
        let read = Duration::from_secs(store_bytes / STORE_BYTES_PER_SECOND);
        let rest = (worked * (CPU_PARTS / self.cores)).max(read).max(REST_MIN);
        let rest = u64::try_from(rest.as_micros()).unwrap_or(NEVER);
        self.due.store(self.now().saturating_add(rest), Ordering::Relaxed);
    }

    /// A random number.
    pub(super) fn random(&self) -> u64 {
        self.clock.random()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(NEVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;

    /// Works whenever it may, each time between one and a hundred milliseconds: of the time of one
    /// core, the share that the work took, and the turns.
    async fn spent(cores: usize, store_bytes: u64) -> (f64, u32) {
        let clock = SeededClock::shared(7);
        let pace = Pace::new(std::sync::Arc::clone(&clock), cores);
        let (mut worked, mut turns) = (Duration::ZERO, 0);
        while clock.elapsed() < Duration::from_secs(600) {
            if pace.offer(|| true) {
                let turn = pace.begin();
                assert!(!pace.offer(|| true), "one turn at a time");
                let work = Duration::from_millis(1 + clock.random() % 100);
                clock.sleep(work).await;
                worked += work;
                turns += 1;
                pace.rest(turn, store_bytes);
            }
            clock.sleep(Duration::from_millis(1)).await;
        }
        (worked.as_secs_f64() / clock.elapsed().as_secs_f64(), turns)
    }

    #[tokio::test]
    async fn the_work_takes_a_hundredth_of_the_machine_and_no_more() {
        for cores in [1_u8, 2, 8, 64] {
            let (share, turns) = spent(cores.into(), 0).await;
            let budget = f64::from(cores) / 100.0;
            // A rest of whole multiples of the work, so that with many cores less is spent.
            assert!(share <= budget, "{cores} cores: {share}");
            assert!(share >= budget / 2.0, "{cores} cores: {share} in {turns} turns");
        }
    }

    #[tokio::test]
    async fn the_store_is_read_at_its_pace() {
        let (_, turns) = spent(64, 10 << 20).await;
        assert!((50..=61).contains(&turns), "600 MiB in 600 s, 10 a turn: {turns}");
    }

    #[tokio::test]
    async fn a_turn_that_nobody_takes_stays_due() {
        let clock = SeededClock::shared(7);
        let pace = Pace::new(std::sync::Arc::clone(&clock), 2);
        assert!(!pace.offer(|| false));
        assert!(pace.offer(|| true));
        pace.rest(pace.begin(), 0);
        assert!(!pace.offer(|| true), "the shortest rest is a rest");
        clock.sleep(REST_MIN).await;
        assert!(pace.offer(|| true));
    }
}
