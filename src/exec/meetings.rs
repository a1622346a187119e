//! What rows that are about to be written meet: rows of equal key.
//!
//! A row is met only when no other transaction is at work on it: whoever deletes it may free its
//! key. While a statement waits for such a row it keeps no key of its own rows back from the one
//! that it waits for; then it looks again.

use super::{
    keys::{KeyValues, UniqueKey},
    locks::{Granted, Mode, Target},
    snapshot::Snapshot,
    transaction::Transaction,
    write::Env,
};
use crate::{
    catalog::Table,
    error::Result,
    ids::{Oid, RowId},
};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;

/// What some rows meet. Their keys are locked, and so the keys that were free stay so.
#[derive(Debug)]
pub struct Meetings {
    /// The picture in which the rows were met.
    pub snapshot: Snapshot,
    /// Key by key.
    pub keys: Vec<Meeting>,
}

/// What some rows meet at one key.
#[derive(Debug)]
pub struct Meeting {
    /// The key of each row.
    pub values: KeyValues,
    /// The row that each row meets.
    pub existing: Vec<Option<RowId>>,
}

/// Locks the keys of rows and finds what they meet. The rows that are met at the first `claimed`
/// keys are locked too, for they are to be changed.
///
/// # Errors
/// 40P01, 55P03, 57014, and those of reading.
pub async fn meet(
    table: &Table,
    keys: &[UniqueKey],
    claimed: usize,
    rows: &RecordBatch,
    env: &Env,
    transaction: &Transaction,
) -> Result<Meetings> {
    let values: Vec<KeyValues> = keys.iter().map(|key| key.values(rows)).collect::<Result<_>>()?;
    let mut locked: Vec<(Oid, u64)> = Vec::new();
    loop {
        for (key, values) in keys.iter().zip(&values) {
            key.lock(values, &mut locked, env, transaction).await?;
        }
        // Taken after the locks: whoever held them has committed or is gone.
        let snapshot = transaction.newest();
        let mut existing = Vec::with_capacity(keys.len());
        for (key, values) in keys.iter().zip(&values) {
            existing.push(key.existing(table, values, &snapshot).await?);
        }

        let met = met(table, &existing, claimed, &snapshot);
        let mut busy = Vec::new();
        for (&row, &mode) in &met {
            let target = Target::Row(table.id, row);
            match transaction.locks().try_acquire(transaction.owner(), &target, mode) {
                None => busy.push((target, mode)),
                granted => leave_shared(&target, mode, granted, transaction),
            }
        }
        if busy.is_empty() {
            // Before it was found free a row may have gone.
            let are_live = || {
                let committed = transaction.newest().committed_state().table(table.id);
                met.keys().all(|&row| committed.is_live(row))
            };
            if met.is_empty() || are_live() {
                let meeting = |(values, existing)| Meeting { values, existing };
                let keys = values.into_iter().zip(existing).map(meeting).collect();
                return Ok(Meetings { snapshot, keys });
            }
        }
        for (constraint, hash) in locked.drain(..) {
            let target = Target::Key(constraint, hash);
            transaction.locks().release(transaction.owner(), &target, Mode::Exclusive);
        }
        for (target, mode) in busy {
            let granted = env.lock(target.clone(), mode, transaction).await?;
            leave_shared(&target, mode, Some(granted), transaction);
        }
    }
}

/// The committed rows that are met, and how each is to be locked. Of the keys at which a row meets
/// others the first one decides what becomes of it.
fn met(
    table: &Table,
    existing: &[Vec<Option<RowId>>],
    claimed: usize,
    snapshot: &Snapshot,
) -> BTreeMap<RowId, Mode> {
    let first_own = snapshot.first_own_row(table.id);
    let mut met = BTreeMap::new();
    for row in 0..existing.first().map_or(0, Vec::len) {
        let first = existing.iter().enumerate().find_map(|(key, rows)| Some((key, rows[row]?)));
        let Some((key, id)) = first.filter(|&(_, id)| id < first_own) else { continue };
        if key < claimed {
            met.insert(id, Mode::Exclusive);
        } else {
            met.entry(id).or_insert(Mode::Shared);
        }
    }
    met
}

/// A share was taken only to see that the row is free.
fn leave_shared(target: &Target, mode: Mode, granted: Option<Granted>, transaction: &Transaction) {
    if mode == Mode::Shared && granted != Some(Granted::Before) {
        transaction.locks().release(transaction.owner(), target, mode);
    }
}

/// Locks the keys of rows that are about to be written; none of them may be met.
///
/// # Errors
/// 23505, and those of [`meet`].
pub async fn check_keys(
    table: &Table,
    keys: &[UniqueKey],
    rows: &RecordBatch,
    env: &Env,
    transaction: &Transaction,
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let meetings = meet(table, keys, 0, rows, env, transaction).await?;
    for (key, meeting) in keys.iter().zip(&meetings.keys) {
        let repeated = key.repeated(&meeting.values);
        let is_met = |row: &usize| repeated[*row].is_some() || meeting.existing[*row].is_some();
        if let Some(row) = (0..rows.num_rows()).find(is_met) {
            return Err(key.violation(table, rows, row));
        }
    }
    Ok(())
}
