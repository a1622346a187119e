//! Locks, in memory, since one process writes: rows and keys, tables shared for rows and exclusive
//! for their shape, names, and what `pg_advisory_lock` is asked for.
//!
//! A lock belongs to a session or to its transaction; those of one session never stand in each
//! other's way. Whoever must wait queues behind those that came first. Before it waits the graph
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

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A transaction, as the locks know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

impl TransactionId {
    /// A number that no transaction of this process has had.
    #[must_use]
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A session, as the locks know it: it waits for one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party(u64);

impl Party {
    /// One that no session of this process has been.
    #[must_use]
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whose a lock is, and so for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The session.
    pub party: Party,
    /// Its transaction, at whose end the lock goes; `None`: it stays until it is given back as
    /// often as it was taken.
    pub transaction: Option<TransactionId>,
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
    /// It was held already.
    Before,
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
    held: HashMap<Owner, HashSet<Target>>,
    waiting: HashMap<Party, Target>,
}

#[derive(Debug, Default)]
struct Entry {
    holds: Vec<Hold>,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Hold {
    owner: Owner,
    mode: Mode,
    /// How often a session took it.
    count: u32,
}

#[derive(Debug)]
struct Waiter {
    owner: Owner,
    mode: Mode,
    granted: oneshot::Sender<()>,
}

impl Locks {
    /// No lock is held.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), clock })
    }

    /// Takes a lock, waiting at most `timeout` (none: without end).
    ///
    /// # Errors
    /// 40P01 when waiting would close a circle, 55P03 when the time is up.
    pub async fn acquire(
        &self,
        owner: Owner,
        target: Target,
        mode: Mode,
        timeout: Option<Duration>,
    ) -> Result<Granted> {
        let mut granted = {
            let mut table = self.table.lock();
            if let Some(granted) = table.try_grant(owner, &target, mode) {
                return Ok(granted);
            }
            if table.would_deadlock(owner.party, &target, mode) {
                return Err(Error::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                    .detail(format!("It waits for {target}, whose holder waits for it."))
                    .hint("Try the transaction again."));
            }
            table.enqueue(owner, &target, mode)
        };

        let mut place = Place { locks: self, owner, target: &target, mode, in_queue: true };
        let waited = match timeout {
            None => (&mut granted).await.is_ok(),
            Some(limit) => tokio::select! {
                biased;
                granted = &mut granted => granted.is_ok(),
                () = self.clock.sleep(limit) => granted.try_recv().is_ok(),
            },
        };
        if waited {
            place.in_queue = false;
            return Ok(Granted::AfterWait);
        }
        Err(Error::new(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout")
            .detail(format!("The lock on {target} is held by another transaction.")))
    }

    /// Takes a lock only if it is free.
    pub fn try_acquire(&self, owner: Owner, target: &Target, mode: Mode) -> Option<Granted> {
        self.table.lock().try_grant(owner, target, mode)
    }

    /// Whether another session holds a lock.
    #[must_use]
    pub fn is_taken(&self, party: Party, target: &Target) -> bool {
        let table = self.table.lock();
        let entry = table.entries.get(target);
        entry.is_some_and(|entry| entry.holds.iter().any(|hold| hold.owner.party != party))
    }

    /// Gives a lock back once; tells whether it was held.
    pub fn release(&self, owner: Owner, target: &Target, mode: Mode) -> bool {
        self.table.lock().give_back(owner, target, mode)
    }

    /// Releases everything that an owner holds.
    pub fn release_all(&self, owner: Owner) {
        let mut table = self.table.lock();
        for target in table.held.remove(&owner).unwrap_or_default() {
            if let Some(entry) = table.entries.get_mut(&target) {
                entry.holds.retain(|hold| hold.owner != owner);
            }
            table.wake(&target);
        }
    }

    /// How many locks are held, by all.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.lock().held.values().map(HashSet::len).sum()
    }
}

impl Table {
    fn try_grant(&mut self, owner: Owner, target: &Target, mode: Mode) -> Option<Granted> {
        let entry = self.entries.entry(target.clone()).or_default();
        if owner.transaction.is_some() && entry.covers(mode, |other| other == owner) {
            return Some(Granted::Before);
        }
        if !entry.covers(mode, |other| other.party == owner.party) {
            // One that holds a share already may pass those who wait: they wait for it.
            let passes_queue = entry.is_held_by(owner.party) || entry.queue.is_empty();
            if !passes_queue || !entry.admits(owner.party, mode) {
                return None;
            }
        }
        entry.grant(owner, mode);
        self.held.entry(owner).or_default().insert(target.clone());
        Some(Granted::AtOnce)
    }

    fn enqueue(&mut self, owner: Owner, target: &Target, mode: Mode) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        let entry = self.entries.entry(target.clone()).or_default();
        let waiter = Waiter { owner, mode, granted };
        // A share that is to be made exclusive goes first: nobody behind it can go before it.
        if entry.is_held_by(owner.party) {
            entry.queue.push_front(waiter);
        } else {
            entry.queue.push_back(waiter);
        }
        self.waiting.insert(owner.party, target.clone());
        receiver
    }

    /// Whether someone that `party` would wait for waits, by however many others, for `party`.
    fn would_deadlock(&self, party: Party, target: &Target, mode: Mode) -> bool {
        let mut seen = HashSet::new();
        let mut stack = self.blockers(party, target, mode);
        while let Some(blocker) = stack.pop() {
            if blocker == party {
                return true;
            }
            if !seen.insert(blocker) {
                continue;
            }
            if let Some(target) = self.waiting.get(&blocker)
                && let Some(entry) = self.entries.get(target)
                && let Some(waiter) =
                    entry.queue.iter().find(|waiter| waiter.owner.party == blocker)
            {
                stack.extend(self.blockers(blocker, target, waiter.mode));
            }
        }
        false
    }

    fn blockers(&self, party: Party, target: &Target, mode: Mode) -> Vec<Party> {
        let Some(entry) = self.entries.get(target) else { return Vec::new() };
        let conflicts = |other: Mode| mode == Mode::Exclusive || other == Mode::Exclusive;
        let holders = entry.holds.iter().map(|hold| (hold.owner.party, hold.mode));
        // One that holds a share goes before those who wait.
        let queued = if entry.is_held_by(party) { 0 } else { entry.queue.len() };
        let ahead = entry.queue.iter().take(queued).map(|w| (w.owner.party, w.mode));
        let ahead = ahead.take_while(|&(other, _)| other != party);
        holders
            .chain(ahead)
            .filter(|&(other, other_mode)| other != party && conflicts(other_mode))
            .map(|(other, _)| other)
            .collect()
    }

    fn give_back(&mut self, owner: Owner, target: &Target, mode: Mode) -> bool {
        let Some(entry) = self.entries.get_mut(target) else { return false };
        let place = entry.holds.iter().position(|hold| hold.owner == owner && hold.mode == mode);
        let Some(place) = place else { return false };
        entry.holds[place].count -= 1;
        if entry.holds[place].count > 0 {
            return true;
        }
        entry.holds.swap_remove(place);
        if !entry.holds.iter().any(|hold| hold.owner == owner)
            && let Some(held) = self.held.get_mut(&owner)
        {
            held.remove(target);
            if held.is_empty() {
                self.held.remove(&owner);
            }
        }
        self.wake(target);
        true
    }

    /// Those who waited and can go, go.
    fn wake(&mut self, target: &Target) {
        let Some(entry) = self.entries.get_mut(target) else { return };
        while let Some(first) = entry.queue.front()
            && entry.admits(first.owner.party, first.mode)
        {
            let waiter = entry.queue.pop_front().expect("the queue has a front");
            self.waiting.remove(&waiter.owner.party);
            entry.grant(waiter.owner, waiter.mode);
            self.held.entry(waiter.owner).or_default().insert(target.clone());
            // A waiter that gives up meanwhile gives it back.
            let _ = waiter.granted.send(());
        }
        if entry.holds.is_empty() && entry.queue.is_empty() {
            self.entries.remove(target);
        }
    }
}

impl Entry {
    fn is_held_by(&self, party: Party) -> bool {
        self.holds.iter().any(|hold| hold.owner.party == party)
    }

    /// Whether what some owners hold is as much as `mode`.
    fn covers(&self, mode: Mode, is_one: impl Fn(Owner) -> bool) -> bool {
        let enough = |held: Mode| held == Mode::Exclusive || mode == Mode::Shared;
        self.holds.iter().any(|hold| is_one(hold.owner) && enough(hold.mode))
    }

    fn admits(&self, party: Party, mode: Mode) -> bool {
        let both_share = |held: Mode| (held, mode) == (Mode::Shared, Mode::Shared);
        self.holds.iter().all(|hold| hold.owner.party == party || both_share(hold.mode))
    }

    fn grant(&mut self, owner: Owner, mode: Mode) {
        match self.holds.iter_mut().find(|hold| (hold.owner, hold.mode) == (owner, mode)) {
            Some(own) => own.count += 1,
            None => self.holds.push(Hold { owner, mode, count: 1 }),
        }
    }
}

/// A place in a queue, left when the wait ends for whatever reason.
struct Place<'a> {
    locks: &'a Locks,
    owner: Owner,
    target: &'a Target,
    mode: Mode,
    in_queue: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.in_queue {
            return;
        }
        let mut table = self.locks.table.lock();
        let table = &mut *table;
        let is_own = |waiter: &Waiter| waiter.owner == self.owner && waiter.mode == self.mode;
        let place =
            table.entries.get(self.target).and_then(|entry| entry.queue.iter().position(is_own));
        match place {
            Some(place) => {
                table.waiting.remove(&self.owner.party);
                if let Some(entry) = table.entries.get_mut(self.target) {
                    entry.queue.remove(place);
                }
                table.wake(self.target);
            }
            // It was granted when nobody waited for it any more.
            None => drop(table.give_back(self.owner, self.target, self.mode)),
        }
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

    const A: Owner = transaction(1);
    const B: Owner = transaction(2);
    const C: Owner = transaction(3);

    const fn transaction(n: u64) -> Owner {
        Owner { party: Party(n), transaction: Some(TransactionId(n)) }
    }

    /// The session of a transaction.
    fn session(owner: Owner) -> Owner {
        Owner { transaction: None, ..owner }
    }

    fn row(n: u64) -> Target {
        Target::Row(Oid(1), RowId(n))
    }

    async fn exclusive(locks: &Locks, owner: Owner, target: Target) -> Result<Granted> {
        locks.acquire(owner, target, Mode::Exclusive, None).await
    }

    async fn until_waiting(locks: &Locks, count: usize) {
        while locks.table.lock().waiting.len() < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_waiter_goes_when_the_holder_ends() {
        let locks = Locks::new(SystemClock::shared());
        exclusive(&locks, A, row(1)).await.unwrap();
        assert_eq!(exclusive(&locks, A, row(1)).await.unwrap(), Granted::Before);

        let waiting = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move { exclusive(&locks, B, row(1)).await }
        });
        until_waiting(&locks, 1).await;
        assert!(locks.is_taken(B.party, &row(1)));
        locks.release_all(A);

        assert_eq!(waiting.await.unwrap().unwrap(), Granted::AfterWait);
        locks.release_all(B);
        assert_eq!(locks.held(), 0);
        assert!(locks.table.lock().entries.is_empty());
    }

    #[tokio::test]
    async fn the_one_that_closes_a_circle_is_told() {
        let locks = Locks::new(SystemClock::shared());
        // What a session holds by itself closes a circle as well as what its transaction holds.
        for (owner, n) in [(A, 1), (session(B), 2), (C, 3)] {
            exclusive(&locks, owner, row(n)).await.unwrap();
        }
        let wait = |owner, n| {
            let locks = Arc::clone(&locks);
            tokio::spawn(async move { exclusive(&locks, owner, row(n)).await })
        };
        let first = wait(A, 2);
        let second = wait(B, 3);
        until_waiting(&locks, 2).await;

        let error = exclusive(&locks, C, row(1)).await.unwrap_err();
        assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);

        locks.release_all(C);
        second.await.unwrap().unwrap();
        locks.release_all(B);
        locks.release_all(session(B));
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_share_that_is_made_exclusive_waits_for_holders_alone() {
        let locks = Locks::new(SystemClock::shared());
        for owner in [A, C] {
            locks.acquire(owner, row(1), Mode::Shared, None).await.unwrap();
        }
        let wait = |owner| {
            let locks = Arc::clone(&locks);
            tokio::spawn(async move { exclusive(&locks, owner, row(1)).await })
        };
        let behind = wait(B);
        until_waiting(&locks, 1).await;
        let upgrade = wait(A);
        until_waiting(&locks, 2).await;

        locks.release_all(C);
        upgrade.await.unwrap().unwrap();
        locks.release_all(A);
        behind.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_a_session_took_twice_it_gives_back_twice() {
        let locks = Locks::new(SystemClock::shared());
        let own = session(A);
        for owner in [own, own, A] {
            exclusive(&locks, owner, row(1)).await.unwrap();
        }
        locks.acquire(own, row(1), Mode::Shared, None).await.unwrap();
        assert!(locks.try_acquire(B, &row(1), Mode::Shared).is_none());

        assert!(locks.release(own, &row(1), Mode::Exclusive));
        assert!(locks.release(own, &row(1), Mode::Exclusive));
        assert!(!locks.release(own, &row(1), Mode::Exclusive));
        assert!(locks.try_acquire(B, &row(1), Mode::Shared).is_none());
        locks.release_all(A);
        assert!(locks.try_acquire(B, &row(1), Mode::Exclusive).is_none());
        assert_eq!(locks.try_acquire(B, &row(1), Mode::Shared), Some(Granted::AtOnce));

        assert!(locks.release(own, &row(1), Mode::Shared));
        locks.release_all(B);
        assert_eq!(locks.held(), 0);
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
        assert!(locks.try_acquire(C, &row(1), Mode::Shared).is_some());
        assert!(locks.try_acquire(C, &row(1), Mode::Exclusive).is_none());
    }
}
