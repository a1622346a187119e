//! Values of sequences: given from memory, reserved durably in blocks, so that after a crash some
//! may be skipped and none is given twice.

use crate::{
    catalog::{Change, Sequence},
    error::{Error, Result, SqlState},
    exec::{
        commit::{Commit, Committer},
        state::States,
    },
    ids::Oid,
};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::HashMap, sync::Arc};

/// How many values one reservation covers.
const BLOCK: i64 = 32;

/// The sequences of a node.
#[derive(Debug)]
pub(super) struct Sequences {
    states: Arc<States>,
    committer: Committer,
    entries: Mutex<HashMap<Oid, Arc<Entry>>>,
}

/// One sequence. Held while its next values are reserved, which others of it wait for.
type Entry = Mutex<Option<Given>>;

#[derive(Debug, Clone, Copy)]
struct Given {
    /// The value given last; `None` before the first.
    last: Option<i64>,
    /// How many more may be given before the next reservation.
    reserved: i64,
}

impl Sequences {
    /// None given yet since the start.
    #[must_use]
    pub(super) fn new(states: Arc<States>, committer: Committer) -> Self {
        Self { states, committer, entries: Mutex::default() }
    }

    /// The next value of a sequence that the statement sees as `sequence`.
    ///
    /// # Errors
    /// 2200H at its end, and those of the commit that reserves.
    pub(super) fn next(&self, sequence: &Sequence) -> Result<i64> {
        let entry = self.entry(sequence.id);
        let mut entry = held(&entry);
        let committed = self.committed(sequence.id);
        let given = entry.unwrap_or_else(|| Given {
            last: committed.as_ref().map_or(sequence.last, |sequence| sequence.last),
            reserved: 0,
        });
        let value = following(sequence, given.last)?;
        if given.reserved > 0 || committed.is_none() {
            // One that is not committed yet is reserved with its transaction.
            *entry = Some(Given { last: Some(value), reserved: (given.reserved - 1).max(0) });
            return Ok(value);
        }
        let mut ahead = value;
        let mut count = 0;
        while count < BLOCK - 1
            && let Ok(next) = following(sequence, Some(ahead))
            && (next > ahead) == (sequence.increment > 0)
        {
            ahead = next;
            count += 1;
        }
        self.reserve(sequence.id, Some(ahead))?;
        *entry = Some(Given { last: Some(value), reserved: count });
        Ok(value)
    }

    /// `setval`: the next value follows `value`, or is it where it was not `called`.
    ///
    /// # Errors
    /// 22003 out of bounds, and those of the commit.
    pub(super) fn set(&self, sequence: &Sequence, value: i64, called: bool) -> Result<i64> {
        if !(sequence.min..=sequence.max).contains(&value) {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!(
                    "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                    sequence.name, sequence.min, sequence.max
                ),
            ));
        }
        let last = if called { Some(value) } else { value.checked_sub(sequence.increment) };
        let entry = self.entry(sequence.id);
        let mut entry = held(&entry);
        if self.committed(sequence.id).is_some() {
            self.reserve(sequence.id, last)?;
        }
        *entry = Some(Given { last, reserved: 0 });
        Ok(value)
    }

    /// A transaction is about to commit changes: new sequences among them are at what was given.
    pub(super) fn carry(&self, changes: &mut [Change]) {
        for change in changes {
            if let Change::Sequence(sequence) = change
                && self.committed(sequence.id).is_none()
                && let Some(given) = *held(&self.entry(sequence.id))
            {
                Arc::make_mut(sequence).last = given.last;
            }
        }
    }

    /// Forgets what was given: the sequence is gone, if its transaction commits.
    pub(super) fn forget(&self, sequence: Oid) {
        *held(&self.entry(sequence)) = None;
    }

    fn entry(&self, sequence: Oid) -> Arc<Entry> {
        Arc::clone(self.entries.lock().entry(sequence).or_default())
    }

    fn committed(&self, sequence: Oid) -> Option<Arc<Sequence>> {
        self.states.snapshot().catalog.sequence(sequence).cloned()
    }

    /// Writes `last` durably. Called from a plan, so it waits without giving up its thread's turn.
    fn reserve(&self, sequence: Oid, last: Option<i64>) -> Result<()> {
        let changes = vec![Change::SequenceValue { sequence, last }];
        let commit = Commit { changes, ..Commit::default() };
        let committer = self.committer.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(committer.commit(commit)).map(drop)
        })
    }
}

/// Waits for its turn at a sequence. Whoever has it may be waiting for a commit: a thread that
/// waits here leaves its other tasks to another one, so that the commit can end.
fn held(entry: &Entry) -> MutexGuard<'_, Option<Given>> {
    entry.try_lock().unwrap_or_else(|| tokio::task::block_in_place(|| entry.lock()))
}

fn following(sequence: &Sequence, last: Option<i64>) -> Result<i64> {
    let Some(last) = last else { return Ok(sequence.start) };
    match last.checked_add(sequence.increment) {
        Some(next) if (sequence.min..=sequence.max).contains(&next) => Ok(next),
        _ if sequence.cycle && sequence.increment > 0 => Ok(sequence.min),
        _ if sequence.cycle => Ok(sequence.max),
        _ => {
            let (bound, limit) = if sequence.increment > 0 {
                ("maximum", sequence.max)
            } else {
                ("minimum", sequence.min)
            };
            Err(Error::new(
                SqlState::new(b"2200H"),
                format!(
                    "nextval: reached {bound} value of sequence \"{}\" ({limit})",
                    sequence.name
                ),
            ))
        }
    }
}
