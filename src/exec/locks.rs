//! Locks of transactions, in memory, since one process writes: rows and keys exclusive, tables
//! shared for rows and exclusive for their shape.
//!
//! A transaction that must wait queues behind those that came first. Before it waits the graph
//! of who waits for whom is searched; the one that would close a circle gets 40P01 instead.
//! All locks of a transaction are released together at its end.

use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    ids::{Oid, RowId, TableId},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// A transaction, as the locks know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

impl TransactionId {
    /// A number that no transaction of this process has had.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What can be locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A table: shared for DML, exclusive for DDL.
    Table(TableId),
    /// A committed row that is being changed.
    Row(TableId, RowId),
    /// A value of a unique key, by its hash: two rows of one hash only wait needlessly.
    Key(Oid, u64),
    /// A name that is being given or taken, in a schema.
    Name(Oid, String),
    /// `pg_advisory_lock`.
    Advisory(i64),
}

/// Whether others may hold the lock too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With others that share.
    Shared,
    /// Alone.
    Exclusive,
}

/// Whether a lock was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// At once: what a statement has read still holds.
    AtOnce,
    /// After waiting: what was read may be of the past.
    AfterWait,
}

/// The locks of one node.
#[derive(Debug)]
pub struct Locks {
    table: Mutex<Table>,
    clock: SharedClock,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Target, Entry>,
    held: HashMap<TransactionId, HashSet<Target>>,
    waiting: HashMap<TransactionId, Target>,
}

#[derive(Debug, Default)]
struct Entry {
    holders: Vec<(TransactionId, Mode)>,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    owner: TransactionId,
    mode: Mode,
    granted: oneshot::Sender<()>,
}

impl Locks {
    /// No lock is held.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), clock })
    }

    /// Takes a lock for a transaction, waiting at most `timeout` (none: without end).
    ///
    /// # Errors
    /// 40P01 when waiting would close a circle, 55P03 when the time is up.
    pub async fn acquire(
        &self,
        owner: TransactionId,
        target: Target,
        mode: Mode,
        timeout: Option<Duration>,
    ) -> Result<Granted> {
        let granted = {
            let mut table = self.table.lock();
            if table.try_grant(owner, &target, mode) {
                return Ok(Granted::AtOnce);
            }
            if table.would_deadlock(owner, &target, mode) {
                return Err(Error::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                    .detail(format!(
                        "Transaction {} waits for {target}, whose holder waits for it.",
                        owner.0
                    ))
                    .hint("Try the transaction again."));
            }
            table.enqueue(owner, &target, mode)
        };

        let mut place = Place { locks: self, owner, target: &target, in_queue: true };
        let waited = match timeout {
            None => granted.await.is_ok(),
            Some(limit) => tokio::select! {
                granted = granted => granted.is_ok(),
                () = self.clock.sleep(limit) => false,
            },
        };
        if waited {
            place.in_queue = false;
            return Ok(Granted::AfterWait);
        }
        drop(place);
        if self.holds(owner, &target, mode) {
            return Ok(Granted::AfterWait);
        }
        Err(Error::new(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout")
            .detail(format!("The lock on {target} is held by another transaction.")))
    }

    /// Takes a lock only if it is free; tells whether it was.
    pub fn try_acquire(&self, owner: TransactionId, target: &Target, mode: Mode) -> bool {
        self.table.lock().try_grant(owner, target, mode)
    }

    /// Releases one lock of a transaction; tells whether it was held.
    pub fn release(&self, owner: TransactionId, target: &Target) -> bool {
        let mut table = self.table.lock();
        let held = table.held.get_mut(&owner).is_some_and(|held| held.remove(target));
        if held {
            table.leave(owner, target);
        }
        held
    }

    /// Releases everything that a transaction holds.
    pub fn release_all(&self, owner: TransactionId) {
        let mut table = self.table.lock();
        for target in table.held.remove(&owner).unwrap_or_default() {
            table.leave(owner, &target);
        }
    }

    /// How many locks are held, by all.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.lock().held.values().map(HashSet::len).sum()
    }

    fn holds(&self, owner: TransactionId, target: &Target, mode: Mode) -> bool {
        let table = self.table.lock();
        table.entries.get(target).is_some_and(|entry| {
            entry.holders.iter().any(|&(o, m)| o == owner && (m == mode || m == Mode::Exclusive))
        })
    }
}

impl Table {
    fn try_grant(&mut self, owner: TransactionId, target: &Target, mode: Mode) -> bool {
        let entry = self.entries.entry(target.clone()).or_default();
        let own = entry.holders.iter().position(|&(holder, _)| holder == owner);
        if let Some(own) = own
            && (entry.holders[own].1 == Mode::Exclusive || mode == Mode::Shared)
        {
            return true;
        }
        // One that holds a share already may pass those who wait: they wait for it.
        let queue_passed = own.is_some() || entry.queue.is_empty();
        if !queue_passed || !entry.admits(owner, mode) {
            return false;
        }
        entry.grant(owner, mode);
        self.held.entry(owner).or_default().insert(target.clone());
        true
    }

    fn enqueue(
        &mut self,
        owner: TransactionId,
        target: &Target,
        mode: Mode,
    ) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        let entry = self.entries.entry(target.clone()).or_default();
        let waiter = Waiter { owner, mode, granted };
        // A share that is to be made exclusive goes first: nobody behind it can go before it.
        if entry.holders.iter().any(|&(holder, _)| holder == owner) {
            entry.queue.push_front(waiter);
        } else {
            entry.queue.push_back(waiter);
        }
        self.waiting.insert(owner, target.clone());
        receiver
    }

    /// Whether someone that `owner` would wait for waits, by however many others, for `owner`.
    fn would_deadlock(&self, owner: TransactionId, target: &Target, mode: Mode) -> bool {
        let mut seen = HashSet::new();
        let mut stack = self.blockers(owner, target, mode);
        while let Some(blocker) = stack.pop() {
            if blocker == owner {
                return true;
            }
            if !seen.insert(blocker) {
                continue;
            }
            if let Some(target) = self.waiting.get(&blocker)
                && let Some(entry) = self.entries.get(target)
                && let Some(waiter) = entry.queue.iter().find(|waiter| waiter.owner == blocker)
            {
                stack.extend(self.blockers(blocker, target, waiter.mode));
            }
        }
        false
    }

    fn blockers(&self, owner: TransactionId, target: &Target, mode: Mode) -> Vec<TransactionId> {
        let Some(entry) = self.entries.get(target) else { return Vec::new() };
        let conflicts = |other: Mode| mode == Mode::Exclusive || other == Mode::Exclusive;
        let holders = entry.holders.iter().map(|&(holder, mode)| (holder, mode));
        let ahead = entry.queue.iter().take_while(|waiter| waiter.owner != owner);
        holders
            .chain(ahead.map(|waiter| (waiter.owner, waiter.mode)))
            .filter(|&(other, other_mode)| other != owner && conflicts(other_mode))
            .map(|(other, _)| other)
            .collect()
    }

    /// One holder less; those who waited and can go, go.
    fn leave(&mut self, owner: TransactionId, target: &Target) {
        if let Some(entry) = self.entries.get_mut(target) {
            entry.holders.retain(|&(holder, _)| holder != owner);
        }
        self.wake(target);
    }

    fn wake(&mut self, target: &Target) {
        let Some(entry) = self.entries.get_mut(target) else { return };
        while let Some(first) = entry.queue.front()
            && entry.admits(first.owner, first.mode)
        {
            let waiter = entry.queue.pop_front().expect("the queue has a front");
            self.waiting.remove(&waiter.owner);
            entry.grant(waiter.owner, waiter.mode);
            self.held.entry(waiter.owner).or_default().insert(target.clone());
            // A waiter that gave up meanwhile holds the lock until its transaction ends.
            let _ = waiter.granted.send(());
        }
        if entry.holders.is_empty() && entry.queue.is_empty() {
            self.entries.remove(target);
        }
    }
}

impl Entry {
    fn admits(&self, owner: TransactionId, mode: Mode) -> bool {
        self.holders
            .iter()
            .all(|&(holder, held)| holder == owner || (held, mode) == (Mode::Shared, Mode::Shared))
    }

    fn grant(&mut self, owner: TransactionId, mode: Mode) {
        match self.holders.iter_mut().find(|(holder, _)| *holder == owner) {
            Some(own) => own.1 = mode,
            None => self.holders.push((owner, mode)),
        }
    }
}

/// A place in a queue, left when the wait ends for whatever reason.
struct Place<'a> {
    locks: &'a Locks,
    owner: TransactionId,
    target: &'a Target,
    in_queue: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.in_queue {
            return;
        }
        let mut table = self.locks.table.lock();
        table.waiting.remove(&self.owner);
        if let Some(entry) = table.entries.get_mut(self.target) {
            entry.queue.retain(|waiter| waiter.owner != self.owner);
        }
        table.wake(self.target);
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(table) => write!(f, "relation {table}"),
            Self::Row(table, row) => write!(f, "row {row} of relation {table}"),
            Self::Key(constraint, _) => write!(f, "a key value of constraint {constraint}"),
            Self::Name(_, name) => write!(f, "the name \"{name}\""),
            Self::Advisory(key) => write!(f, "advisory lock {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    const A: TransactionId = TransactionId(1);
    const B: TransactionId = TransactionId(2);
    const C: TransactionId = TransactionId(3);

    fn row(n: u64) -> Target {
        Target::Row(Oid(1), RowId(n))
    }

    async fn exclusive(locks: &Locks, owner: TransactionId, target: Target) -> Result<Granted> {
        locks.acquire(owner, target, Mode::Exclusive, None).await
    }

    #[tokio::test]
    async fn a_waiter_goes_when_the_holder_ends() {
        let locks = Locks::new(SystemClock::shared());
        exclusive(&locks, A, row(1)).await.unwrap();
        assert_eq!(exclusive(&locks, A, row(1)).await.unwrap(), Granted::AtOnce);

        let waiting = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move { exclusive(&locks, B, row(1)).await }
        });
        while locks.table.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        locks.release_all(A);

        assert_eq!(waiting.await.unwrap().unwrap(), Granted::AfterWait);
        locks.release_all(B);
        assert_eq!(locks.held(), 0);
        assert!(locks.table.lock().entries.is_empty());
    }

    #[tokio::test]
    async fn the_one_that_closes_a_circle_is_told() {
        let locks = Locks::new(SystemClock::shared());
        for (owner, n) in [(A, 1), (B, 2), (C, 3)] {
            exclusive(&locks, owner, row(n)).await.unwrap();
        }
        let wait = |owner, n| {
            let locks = Arc::clone(&locks);
            tokio::spawn(async move { exclusive(&locks, owner, row(n)).await })
        };
        let first = wait(A, 2);
        let second = wait(B, 3);
        while locks.table.lock().waiting.len() < 2 {
            tokio::task::yield_now().await;
        }

        let error = exclusive(&locks, C, row(1)).await.unwrap_err();
        assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);

        locks.release_all(C);
        second.await.unwrap().unwrap();
        locks.release_all(B);
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_wait_ends_with_its_time_and_leaves_no_trace() {
        let locks = Locks::new(SystemClock::shared());
        let shared = |owner| locks.acquire(owner, row(1), Mode::Shared, None);
        shared(A).await.unwrap();
        shared(B).await.unwrap();

        let limit = Some(Duration::from_millis(5));
        let error = locks.acquire(C, row(1), Mode::Exclusive, limit).await.unwrap_err();
        assert_eq!(error.state(), SqlState::LOCK_NOT_AVAILABLE);
        assert!(locks.try_acquire(C, &row(1), Mode::Shared));
        assert!(!locks.try_acquire(C, &row(1), Mode::Exclusive));
    }
}
