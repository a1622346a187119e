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
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// How many values one reservation covers.
const BLOCK: i64 = 32;

/// The sequences of a node.
#[derive(Debug)]
pub(super) struct Sequences {
    states: Arc<States>,
    committer: Committer,
    given: Mutex<HashMap<Oid, Given>>,
}

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
        Self { states, committer, given: Mutex::default() }
    }

    /// The next value of a sequence that the statement sees as `sequence`.
    ///
    /// # Errors
    /// 2200H at its end, and those of the commit that reserves.
    pub(super) fn next(&self, sequence: &Sequence) -> Result<i64> {
        let committed = self.states.snapshot().catalog.sequence(sequence.id).cloned();
        let mut given = self.given.lock();
        let entry = given.entry(sequence.id).or_insert(Given { last: sequence.last, reserved: 0 });
        let value = following(sequence, entry.last)?;
        if entry.reserved > 0 || committed.is_none() {
            // One that is not committed yet is reserved with its transaction.
            entry.last = Some(value);
            entry.reserved = (entry.reserved - 1).max(0);
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
        self.reserve(committed.as_deref().unwrap_or(sequence), ahead)?;
        *entry = Given { last: Some(value), reserved: count };
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
        let mut given = self.given.lock();
        if self.states.snapshot().catalog.sequence(sequence.id).is_some() {
            self.reserve(sequence, last.unwrap_or(value))?;
        }
        given.insert(sequence.id, Given { last, reserved: 0 });
        Ok(value)
    }

    /// A transaction is about to commit changes: sequences among them keep what was given.
    pub(super) fn carry(&self, changes: &mut [Change]) {
        let given = self.given.lock();
        for change in changes {
            if let Change::Sequence(sequence) = change
                && let Some(given) = given.get(&sequence.id)
                && given.last != sequence.last
            {
                *change = Change::Sequence(Arc::new(Sequence {
                    last: given.last,
                    ..Sequence::clone(sequence)
                }));
            }
        }
    }

    /// Forgets what was given: the sequence was restarted or is gone.
    pub(super) fn forget(&self, sequence: Oid) {
        self.given.lock().remove(&sequence);
    }

    /// Writes `last` durably. Called from a plan, so it waits without giving up its thread's turn.
    fn reserve(&self, sequence: &Sequence, last: i64) -> Result<()> {
        let reserved = Sequence { last: Some(last), ..sequence.clone() };
        let changes = vec![Change::Sequence(Arc::new(reserved))];
        let commit = Commit { changes, ..Commit::default() };
        let committer = self.committer.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(committer.commit(commit)).map(drop)
        })
    }
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
