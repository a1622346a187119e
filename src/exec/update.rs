//! UPDATE and DELETE: the rows that the statement finds are locked, then replaced or deleted.
//!
//! A row that another transaction changed while this one waited for it is not what the statement
//! saw: under READ COMMITTED the statement runs again on a fresh snapshot, its locks kept; under
//! REPEATABLE READ it fails with 40001.

use super::{
    changed::Changed,
    insert::{concurrent_update, lock_row, lock_table},
    kept::Kept,
    keys::UniqueKey,
    locks::{Mode, Target},
    meetings::check_keys,
    run::{RowStream, Run},
    snapshot::Snapshot,
    table::column_specs,
    transaction::{Isolation, Transaction},
    write::{Env, RowChecks, Written, old_columns, returned, storage_schema},
};
use crate::{
    catalog::Table,
    error::{Error, Result, SqlState},
    ids::{ColumnId, RowId},
    sql::{Delete, LockWait, Locking, Update},
};
use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Schema, UInt64Type},
};
use futures::{StreamExt, stream::Fuse};
use roaring::RoaringTreemap;
use std::sync::Arc;

/// Runs an UPDATE.
///
/// # Errors
/// 23502, 23505, 23514, 40001, those of locks, and those of expressions.
pub async fn update(
    statement: &Update,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Written> {
    transaction.check_writable("UPDATE")?;
    let table = &statement.table;
    lock_table(table, Mode::Shared, env, transaction).await?;
    let rules = Rules::of(table, &statement.changed, env, transaction)?;
    let mark = transaction.mark();
    let (picture, (rows, new)) = loop {
        let picture = env.picture(transaction);
        if let Some(done) = replace(statement, &rules, &picture, env, transaction).await? {
            break (picture, done);
        }
        transaction.undo_to(mark.clone());
    };
    let returned = returned(statement.returning.as_ref(), &new, picture, env).await?;
    Ok(Written { rows, returned })
}

/// What rows must obey that take the places of others.
pub(super) struct Rules {
    checks: RowChecks,
    /// The keys that the statement changes.
    keys: Vec<UniqueKey>,
    /// Whether webhooks are told which row took the place of which.
    is_told: bool,
}

impl Rules {
    /// The rules of a table, some columns of which change.
    pub(super) fn of(
        table: &Arc<Table>,
        changed: &[ColumnId],
        env: &Env,
        transaction: &mut Transaction,
    ) -> Result<Self> {
        let touched = |place: &usize| changed.contains(&table.columns[*place].id);
        let mut keys = UniqueKey::of(table)?;
        keys.retain(|key| key.places.iter().any(touched));
        let is_told = transaction.catalog().told_old_columns(table).is_some();
        Ok(Self { checks: RowChecks::new(table, &env.context)?, keys, is_told })
    }

    /// Whether a key changes.
    pub(super) fn changes_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks new rows by themselves.
    pub(super) async fn check(&self, rows: &RecordBatch, env: &Env) -> Result<()> {
        self.checks.check(rows, env).await
    }

    /// Lays new rows into the transaction, once the old ones are out of the way.
    pub(super) async fn put(
        &self,
        table: &Table,
        changed: &Changed,
        snapshot: &Snapshot,
        env: &Env,
        transaction: &mut Transaction,
    ) -> Result<()> {
        check_keys(table, &self.keys, &changed.rows, env, transaction).await?;
        if self.is_told {
            transaction.replacing(table, snapshot.first_own_row(table.id), &changed.order);
        }
        transaction.insert(table, changed.rows.clone());
        Ok(())
    }
}

/// Replaces rows as they are found, in the snapshot as it was; how many, and the new ones where
/// RETURNING asks for them. Only a change of keys is done as a whole: a key may go from row to row.
/// Nothing when all is to be done anew.
async fn replace(
    statement: &Update,
    rules: &Rules,
    snapshot: &Arc<Snapshot>,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Option<(u64, Vec<RecordBatch>)>> {
    let table = &statement.table;
    let schema = storage_schema(table);
    let here = env.on(Arc::clone(snapshot));
    let (_, source) = here.run.stream(&statement.source, &env.parameters).await?;
    let mut source = source.fuse();
    let (mut replaced, mut new) = (RoaringTreemap::new(), Vec::new());
    let whole = rules.changes_keys();
    while let Some(found) = portion(&mut source, whole, &env.run).await? {
        let changed = Changed::beyond(&replaced, found.batches(), &schema)?;
        let Some(changed) = settled(table, changed, snapshot, env, transaction).await? else {
            return Ok(None);
        };
        rules.check(&changed.rows, env).await?;
        transaction.delete(table, snapshot.first_own_row(table.id), &changed.ids);
        rules.put(table, &changed, snapshot, env, transaction).await?;
        env.spill.spill(table, transaction).await?;
        if statement.returning.is_some() {
            let returning = statement.returning.as_ref();
            let old = old_columns(returning, table, &changed.order, snapshot).await?;
            new.push(changed.beside(&changed.rows, &old)?);
        }
        replaced |= changed.ids;
    }
    Ok(Some((replaced.len(), new)))
}

/// The next batch of a stream, or all that are left.
pub(super) async fn portion(
    source: &mut Fuse<RowStream>,
    whole: bool,
    run: &Run,
) -> Result<Option<Kept>> {
    let mut found = Kept::new(run.memory());
    while let Some(batch) = source.next().await {
        found.push(batch?)?;
        if !whole {
            break;
        }
    }
    Ok((!found.batches().is_empty()).then_some(found))
}

/// Runs a DELETE.
///
/// # Errors
/// 40001, those of locks, and those of expressions.
pub async fn delete(
    statement: &Delete,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Written> {
    transaction.check_writable("DELETE")?;
    let table = &statement.table;
    lock_table(table, Mode::Shared, env, transaction).await?;
    let nothing = Arc::new(Schema::empty());
    let (snapshot, gone) = loop {
        let snapshot = env.picture(transaction);
        let here = env.on(Arc::clone(&snapshot));
        let (_, batches) = here.run.collect(&statement.source, &env.parameters).await?;
        let gone = Changed::collect(&batches, &nothing)?;
        if let Some(gone) = settled(table, gone, &snapshot, env, transaction).await? {
            break (snapshot, gone);
        }
    };
    let mut old = Vec::new();
    if statement.returning.is_some() {
        // By themselves they come in the order of the table, else as they were joined.
        let rows: Vec<RowId> = match gone.along.is_empty() {
            true => gone.ids.iter().map(RowId).collect(),
            false => gone.order.clone(),
        };
        let rows = snapshot.table(table.id).take(&rows, &column_specs(table)?).await?;
        old.push(gone.beside(&rows, &[])?);
    }
    transaction.delete(table, snapshot.first_own_row(table.id), &gone.ids);
    let returned = returned(statement.returning.as_ref(), &old, snapshot, env).await?;
    Ok(Written { rows: gone.ids.len(), returned })
}

/// Locks the rows of a change and leaves out those that another part of the statement changed
/// already; nothing when the change must be computed anew, because another transaction was first.
async fn settled(
    table: &Table,
    mut changed: Changed,
    snapshot: &Snapshot,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Option<Changed>> {
    if !are_held(table, &changed.ids, snapshot, env, transaction).await? {
        return Ok(None);
    }
    if env.shared.is_some() {
        changed.keep_live(&transaction.snapshot(), table)?;
    }
    Ok(Some(changed))
}

/// Locks rows that are to change; false when the change must be computed anew, because another
/// transaction was first.
pub(super) async fn are_held(
    table: &Table,
    ids: &RoaringTreemap,
    snapshot: &Snapshot,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<bool> {
    if lock_rows(table, ids, Mode::Exclusive, snapshot, env, transaction).await? {
        return Ok(true);
    }
    // Parts of one statement start over together.
    match env.shared {
        Some(_) => Err(concurrent_update()),
        None => start_over(transaction).map(|()| false),
    }
}

/// `SELECT … FOR UPDATE` and FOR SHARE: locks the rows that the query will read, and gives the
/// picture that it reads them in: with SKIP LOCKED one without the rows that others hold.
///
/// # Errors
/// 40001, 55P03 and those of locks.
pub async fn lock_for_reading(
    locking: &Locking,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Arc<Snapshot>> {
    let table = &locking.table;
    lock_table(table, Mode::Shared, env, transaction).await?;
    let mode = if locking.shared { Mode::Shared } else { Mode::Exclusive };
    let mut skipped = RoaringTreemap::new();
    loop {
        let mut snapshot = transaction.snapshot();
        if !skipped.is_empty() {
            snapshot = Arc::new(snapshot.without(table.id, &skipped));
        }
        let here = env.on(Arc::clone(&snapshot));
        let (_, batches) = here.run.collect(&locking.rows, &env.parameters).await?;
        let ids = row_ids(&batches);
        let held = match locking.wait {
            LockWait::Wait => RoaringTreemap::new(),
            LockWait::NoWait | LockWait::SkipLocked => {
                held_by_others(table, &ids, mode, &snapshot, transaction)
            }
        };
        if locking.wait == LockWait::NoWait && !held.is_empty() {
            return Err(Error::new(
                SqlState::LOCK_NOT_AVAILABLE,
                format!("could not obtain lock on row in relation \"{}\"", table.name),
            ));
        }
        if !held.is_empty() {
            // LIMIT then takes others.
            skipped |= held;
        } else if lock_rows(table, &ids, mode, &snapshot, env, transaction).await? {
            return Ok(snapshot);
        } else {
            skipped.clear();
            start_over(transaction)?;
        }
    }
}

/// Locks those rows that can be locked at once; gives the others.
fn held_by_others(
    table: &Table,
    ids: &RoaringTreemap,
    mode: Mode,
    snapshot: &Snapshot,
    transaction: &Transaction,
) -> RoaringTreemap {
    let first_own = snapshot.first_own_row(table.id).0;
    let is_held = |&id: &u64| {
        let target = Target::Row(table.id, RowId(id));
        transaction.locks().try_acquire(transaction.owner(), &target, mode).is_none()
    };
    ids.iter().take_while(|&id| id < first_own).filter(is_held).collect()
}

/// The rows of the first column.
fn row_ids(batches: &[RecordBatch]) -> RoaringTreemap {
    let mut ids = RoaringTreemap::new();
    for batch in batches {
        ids.extend(batch.column(0).as_primitive::<UInt64Type>().values().iter().copied());
    }
    ids
}

/// Locks rows; false when one of them is no longer what the snapshot shows.
async fn lock_rows(
    table: &Table,
    ids: &RoaringTreemap,
    mode: Mode,
    snapshot: &Snapshot,
    env: &Env,
    transaction: &Transaction,
) -> Result<bool> {
    for id in ids {
        lock_row(table, RowId(id), mode, snapshot, env, transaction).await?;
    }
    let newest = transaction.newest();
    if newest.committed_state().lsn == snapshot.committed_state().lsn {
        return Ok(true);
    }
    let committed = newest.committed_state().table(table.id);
    let first_own = snapshot.first_own_row(table.id).0;
    Ok(ids.iter().take_while(|&id| id < first_own).all(|id| committed.is_live(RowId(id))))
}

/// A fresh snapshot under READ COMMITTED, 40001 under REPEATABLE READ.
fn start_over(transaction: &mut Transaction) -> Result<()> {
    match transaction.isolation() {
        Isolation::ReadCommitted => {
            transaction.start_statement();
            Ok(())
        }
        Isolation::RepeatableRead => Err(concurrent_update()),
    }
}
