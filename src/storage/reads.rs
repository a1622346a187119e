//! What one statement read: parts that were near, and parts that were not.
//!
//! A part is what is asked for at once: a column of a row group, a page of vectors or a block of keys
//! that lies decoded in memory, a chunk of a posting, a range of an object. It is near when it is in
//! memory or in the range cache, on this machine's disk too, and far when the store has to be asked, be
//! it a folder.
//!
//! Whoever is to be counted does its work [within](Reads::within) its counters, and everything below
//! finds them there, so that no reader hands them down. They do not follow into other tasks by
//! themselves: who begins one takes [`Reads::current`] along (exec/errand.rs).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

tokio::task_local! {
    static CURRENT: Arc<Reads>;
}

/// Counters of one statement.
#[derive(Debug, Default)]
pub struct Reads {
    near: AtomicU64,
    far: AtomicU64,
}

impl Reads {
    /// Those that count what the running task reads, if any do.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Does a work whose reads count here.
    pub fn within<F: Future>(self: Arc<Self>, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// The same for a step that does not wait.
    pub fn within_step<T>(self: &Arc<Self>, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(Arc::clone(self), step)
    }

    /// What was counted up to now.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        ReadCounts { near: self.near.load(Relaxed), far: self.far.load(Relaxed) }
    }
}

/// How many parts were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// That were near.
    pub near: u64,
    /// That were not.
    pub far: u64,
}

impl ReadCounts {
    /// Of all of them, the share that was near; all of it where nothing was read.
    #[must_use]
    pub fn near_share(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        match self.near + self.far {
            0 => 1.0,
            all => self.near as f64 / all as f64,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { near: self.near + other.near, far: self.far + other.far }
    }
}

/// So many parts were found near.
pub fn near(parts: usize) {
    let _ = CURRENT.try_with(|reads| reads.near.fetch_add(parts as u64, Relaxed));
}

/// So many were not.
pub fn far(parts: usize) {
    let _ = CURRENT.try_with(|reads| reads.far.fetch_add(parts as u64, Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_counts_its_own_reads_alone() {
        let (mine, other) = (Arc::new(Reads::default()), Arc::new(Reads::default()));
        near(5);
        let work = async {
            near(2);
            tokio::task::yield_now().await;
            far(1);
            other.within_step(|| near(1));
        };
        let elsewhere = Arc::clone(&other).within(async { far(3) });
        tokio::join!(Arc::clone(&mine).within(work), elsewhere);
        assert!(Reads::current().is_none());
        assert_eq!(mine.counts(), ReadCounts { near: 2, far: 1 });
        assert_eq!(other.counts(), ReadCounts { near: 1, far: 3 });
        assert_eq!(mine.counts().and(other.counts()).near_share(), 3.0 / 7.0);
        assert_eq!(ReadCounts::default().near_share(), 1.0);
    }
}
