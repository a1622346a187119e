//! The only door to time and to chance, so that a test can own both.

use parking_lot::Mutex;
use rand::{RngCore, SeedableRng, rngs::SmallRng};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A source of time, waiting and chance, shared by a whole node.
pub type SharedClock = Arc<dyn Clock>;

/// What a node asks of the world outside: the time, to wait, and to be surprised.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Microseconds since 1970-01-01 00:00 UTC.
    fn now_micros(&self) -> i64;
    /// Time since the clock was made; never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// 64 random bits. Not for secrets.
    fn random(&self) -> u64;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    random: Mutex<SmallRng>,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn shared() -> SharedClock {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        Arc::new(Self { start: Instant::now(), random: Mutex::new(SmallRng::from_os_rng()) })
    }
}

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> u64 {
        self.random.lock().next_u64()
    }
}

/// A clock of a simulation: time passes only when someone sleeps, chance comes from a seed.
#[derive(Debug)]
pub struct SeededClock {
    state: Arc<Mutex<(i64, SmallRng)>>,
    start_micros: i64,
}

impl SeededClock {
    /// A clock whose whole future follows from `seed`.
    #[must_use]
    pub fn shared(seed: u64) -> SharedClock {
        let start_micros = 1_795_000_000_000_000;
        let state = Arc::new(Mutex::new((start_micros, SmallRng::seed_from_u64(seed))));
        Arc::new(Self { state, start_micros })
    }
}

impl Clock for SeededClock {
    fn now_micros(&self) -> i64 {
        self.state.lock().0
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now_micros() - self.start_micros).unwrap_or(0))
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            tokio::task::yield_now().await;
            state.lock().0 += i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        })
    }

    fn random(&self) -> u64 {
        self.state.lock().1.next_u64()
    }
}
