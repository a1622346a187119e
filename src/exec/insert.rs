//! INSERT and COPY FROM: rows are checked, their keys locked and compared, and laid into the
//! transaction's buffer; rows that meet others of equal key go the way of ON CONFLICT.

use super::{
    changed::{Changed, with_columns},
    keys::UniqueKey,
    locks::{Mode, Target},
    meetings::{self, Meetings, check_keys},
    snapshot::Snapshot,
    transaction::{Isolation, Transaction},
    write::{Env, RowChecks, Written, returned, storage_schema, to_storage},
};
use crate::{
    catalog::Table,
    error::{Error, Result, SqlState},
    ids::RowId,
    sql::{ConflictAction, Insert, OnConflict, Plan, Slot},
};
use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array, new_null_array},
    compute::{filter_record_batch, take, take_record_batch},
    datatypes::SchemaRef,
};
use futures::StreamExt;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Runs an INSERT.
///
/// # Errors
/// 23502, 23505, 23514, 21000, those of locks, and those of the source.
pub async fn insert(
    statement: &Insert,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Written> {
    transaction.check_writable("INSERT")?;
    let picture = env.picture(transaction);
    let conflict = statement.on_conflict.as_ref();
    let mut inserter = Inserter::new(&statement.table, conflict, env, transaction).await?;
    inserter.old = statement.returning.as_ref().map_or_else(Vec::new, |made| made.old.clone());
    let (_, mut source) = env.run.stream(&statement.source, &env.parameters).await?;
    let mut written = Vec::new();
    while let Some(batch) = source.next().await {
        let rows = inserter.push(&batch?, env, transaction).await?;
        if statement.returning.is_some() {
            written.extend(rows);
        }
    }
    let returned = returned(statement.returning.as_ref(), &written, picture, env).await?;
    Ok(Written { rows: inserter.rows, returned })
}

/// Takes rows of one statement into a table, batch by batch.
#[derive(Debug)]
pub struct Inserter {
    table: Arc<Table>,
    schema: SchemaRef,
    checks: RowChecks,
    /// Those that ON CONFLICT names come first.
    keys: Vec<UniqueKey>,
    conflict: Option<Conflict>,
    /// The first own row of the transaction, by ordinal, that this statement wrote.
    first: u64,
    /// The places of the columns whose old values are given back behind the rows that were written.
    old: Vec<usize>,
    /// How many rows were written.
    pub rows: u64,
}

/// ON CONFLICT, as the inserter needs it.
#[derive(Debug)]
struct Conflict {
    /// At how many of the keys rows may meet others.
    keys: usize,
    update: Option<(Slot, Arc<Plan>)>,
}

/// What becomes of the first rows of a batch. A row that meets one which an earlier row of the
/// batch is to update is of the next lot: it meets what that update leaves.
struct Lot {
    /// Of each row whether it is inserted.
    fresh: Vec<bool>,
    updates: Vec<Met>,
}

/// A row of a batch and the row that it is to update.
type Met = (usize, RowId);

impl Inserter {
    /// Locks the table for DML and prepares its checks.
    ///
    /// # Errors
    /// 40P01, 55P03, and those of binding.
    pub async fn new(
        table: &Arc<Table>,
        conflict: Option<&OnConflict>,
        env: &Env,
        transaction: &Transaction,
    ) -> Result<Self> {
        lock_table(table, Mode::Shared, env, transaction).await?;
        let mut keys = UniqueKey::of(table)?;
        let conflict = conflict.map(|conflict| {
            let named =
                |key: &UniqueKey| conflict.constraint.is_none_or(|id| id == key.constraint.id);
            keys.sort_by_key(|key| !named(key));
            Conflict {
                keys: keys.iter().filter(|key| named(key)).count(),
                update: match &conflict.action {
                    ConflictAction::Nothing => None,
                    ConflictAction::Update { input, plan, .. } => {
                        Some((input.clone(), plan.clone()))
                    }
                },
            }
        });
        let first = match &env.shared {
            Some(seen) => seen.table(table.id).next_row().0 - seen.first_own_row(table.id).0,
            None => transaction.own_rows(table.id).map_or(0, |rows| rows.next_row().0),
        };
        Ok(Self {
            table: Arc::clone(table),
            schema: storage_schema(table),
            checks: RowChecks::new(table, &env.context)?,
            keys,
            conflict,
            first,
            old: Vec::new(),
            rows: 0,
        })
    }

    /// Takes rows in table order. Gives back those that were written.
    ///
    /// # Errors
    /// 23502, 23505, 23514, 21000, 40001 and those of locks.
    pub async fn push(
        &mut self,
        rows: &RecordBatch,
        env: &Env,
        transaction: &mut Transaction,
    ) -> Result<Vec<RecordBatch>> {
        let rows = to_storage(&self.schema, rows.columns(), rows.num_rows())?;
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        self.checks.check(&rows, env).await?;
        let mut written = Vec::new();
        if self.keys.is_empty() {
            self.rows += rows.num_rows() as u64;
            transaction.insert(&self.table, rows.clone());
            written.push(rows);
        } else {
            let (mut done, mut next) = (0, rows.num_rows());
            while done < rows.num_rows() {
                let some = rows.slice(done, next.min(rows.num_rows() - done));
                let (taken, new) = self.push_lot(&some, env, transaction).await?;
                written.push(new);
                done += taken;
                // Where lots are short it is vain to look far ahead.
                next = taken * 2;
            }
        }
        env.spill.spill(&self.table, transaction).await?;
        Ok(written)
    }

    /// Takes as many rows as can be taken at once; how many, and what was written.
    async fn push_lot(
        &mut self,
        rows: &RecordBatch,
        env: &Env,
        transaction: &mut Transaction,
    ) -> Result<(usize, RecordBatch)> {
        let claimed = self.conflict.as_ref().map_or(0, |conflict| match conflict.update {
            Some(_) => conflict.keys,
            None => 0,
        });
        let meetings =
            meetings::meet(&self.table, &self.keys, claimed, rows, env, transaction).await?;
        let Lot { fresh, updates } = self.sort_out(rows, &meetings, transaction)?;
        let taken = fresh.len();
        let rows = rows.slice(0, taken);
        let inserted = filtered(&rows, &fresh)?;
        if inserted.num_rows() > 0 {
            self.rows += inserted.num_rows() as u64;
            transaction.insert(&self.table, inserted.clone());
        }
        let none = |&place: &usize| {
            new_null_array(inserted.column(place).data_type(), inserted.num_rows())
        };
        let none: Vec<ArrayRef> = self.old.iter().map(none).collect();
        let inserted = with_columns(&inserted, none.iter())?;
        if updates.is_empty() {
            return Ok((taken, inserted));
        }
        let (changed, old) =
            self.update(&rows, &updates, &meetings.snapshot, env, transaction).await?;
        self.rows += changed.rows.num_rows() as u64;
        let replaced = with_columns(&changed.rows, old.iter())?;
        Ok((taken, in_order(&fresh, &inserted, &updates, (&changed.order, &replaced))?))
    }

    /// The rows that meet none, and which row must update which.
    fn sort_out(
        &self,
        rows: &RecordBatch,
        meetings: &Meetings,
        transaction: &mut Transaction,
    ) -> Result<Lot> {
        let first_own = meetings.snapshot.first_own_row(self.table.id);
        let mut lot = Lot { fresh: Vec::with_capacity(rows.num_rows()), updates: Vec::new() };
        let mut inserted: Vec<HashSet<&[u8]>> = vec![HashSet::new(); self.keys.len()];
        let mut updated = HashSet::new();
        'rows: for row in 0..rows.num_rows() {
            for (place, (key, meeting)) in self.keys.iter().zip(&meetings.keys).enumerate() {
                let existing = meeting.existing[row];
                let values = &meeting.values;
                let is_repeated =
                    values.is_some(row) && inserted[place].contains(values.bytes(row));
                if existing.is_none() && !is_repeated {
                    continue;
                }
                let conflict = self.conflict.as_ref().filter(|conflict| place < conflict.keys);
                let Some(conflict) = conflict else {
                    return Err(key.violation(&self.table, rows, row));
                };
                if let Some(existing) = existing.filter(|&existing| existing < first_own) {
                    self.check_visible(existing, transaction)?;
                }
                match (&conflict.update, existing) {
                    (None, _) => {}
                    (Some(_), Some(existing)) => {
                        if existing.0 >= first_own.0 + self.first {
                            return Err(second_time());
                        }
                        if !updated.insert(existing) {
                            break 'rows;
                        }
                        lot.updates.push((row, existing));
                    }
                    (Some(_), None) => return Err(second_time()),
                }
                lot.fresh.push(false);
                continue 'rows;
            }
            for (inserted, meeting) in inserted.iter_mut().zip(&meetings.keys) {
                if meeting.values.is_some(row) {
                    inserted.insert(meeting.values.bytes(row));
                }
            }
            lot.fresh.push(true);
        }
        Ok(lot)
    }

    /// DO UPDATE: each pair is a row that was to be inserted and the row that it met.
    async fn update(
        &mut self,
        rows: &RecordBatch,
        updates: &[Met],
        snapshot: &Snapshot,
        env: &Env,
        transaction: &mut Transaction,
    ) -> Result<(Changed, Vec<ArrayRef>)> {
        let (input, plan) = self
            .conflict
            .as_ref()
            .and_then(|conflict| conflict.update.clone())
            .expect("rows update only under DO UPDATE");
        let ids: Vec<RowId> = updates.iter().map(|&(_, existing)| existing).collect();
        let specs = super::table::column_specs(&self.table)?;
        let old = snapshot.table(self.table.id).take(&ids, &specs).await?;
        let places: UInt64Array = updates.iter().map(|&(row, _)| row as u64).collect();
        let excluded = take_record_batch(rows, &places)
            .map_err(|error| Error::internal("excluded rows").source(error))?;
        let row_column: ArrayRef = Arc::new(UInt64Array::from_iter_values(ids.iter().map(|r| r.0)));
        let mut columns = old.columns().to_vec();
        columns.push(row_column);
        columns.extend(excluded.columns().iter().cloned());
        input.fill([to_storage(input.schema(), &columns, ids.len())?]);
        let (_, batches) = env.run.collect(&plan, &env.parameters).await?;
        input.fill([]);

        let changed = Changed::collect(&batches, &self.schema)?;
        self.checks.check(&changed.rows, env).await?;
        // A changed key is checked with the old rows out of the way.
        transaction.delete(&self.table, snapshot.first_own_row(self.table.id), &changed.ids);
        check_keys(&self.table, &self.keys, &changed.rows, env, transaction).await?;
        if snapshot.catalog().told_old_columns(&self.table).is_some() {
            let first_own = snapshot.first_own_row(self.table.id);
            transaction.replacing(&self.table, first_own, &changed.order);
        }
        transaction.insert(&self.table, changed.rows.clone());
        let place_of: HashMap<RowId, u64> = ids.into_iter().zip(0..).collect();
        let places = changed.order.iter().map(|id| place_of[id]);
        let places = UInt64Array::from_iter_values(places);
        let before = |&place: &usize| take(old.column(place), &places, None);
        let before = self.old.iter().map(before).collect::<Result<_, _>>();
        let before = before.map_err(|error| Error::internal("replaced rows").source(error))?;
        Ok((changed, before))
    }

    /// Under REPEATABLE READ a row that the transaction cannot see keeps none out.
    fn check_visible(&self, committed: RowId, transaction: &mut Transaction) -> Result<()> {
        if transaction.isolation() != Isolation::RepeatableRead {
            return Ok(());
        }
        let seen = transaction.snapshot().committed_state().table(self.table.id);
        if seen.is_live(committed) { Ok(()) } else { Err(concurrent_update()) }
    }
}

/// The rows of a batch that are marked.
fn filtered(rows: &RecordBatch, marked: &[bool]) -> Result<RecordBatch> {
    if marked.iter().all(|&marked| marked) {
        return Ok(rows.clone());
    }
    filter_record_batch(rows, &BooleanArray::from(marked.to_vec()))
        .map_err(|error| Error::internal("rows of an insert").source(error))
}

/// Inserted and changed rows in the order in which the statement gave them.
fn in_order(
    fresh: &[bool],
    inserted: &RecordBatch,
    updates: &[Met],
    (order, replaced): (&[RowId], &RecordBatch),
) -> Result<RecordBatch> {
    let place_of: HashMap<RowId, usize> =
        order.iter().enumerate().map(|(place, &id)| (id, place)).collect();
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(fresh.len());
    let (mut next, mut updates) = (0, updates.iter().peekable());
    for (row, &is_fresh) in fresh.iter().enumerate() {
        if is_fresh {
            places.push((0, next));
            next += 1;
        } else if let Some((_, id)) = updates.next_if(|(at, _)| *at == row) {
            // WHERE may have kept it from changing.
            places.extend(place_of.get(id).map(|&place| (1, place)));
        }
    }
    arrow::compute::interleave_record_batch(&[inserted, replaced], &places)
        .map_err(|error| Error::internal("rows of an insert").source(error))
}

/// Locks a table.
///
/// # Errors
/// 40P01, 55P03, 57014.
pub async fn lock_table(
    table: &Table,
    mode: Mode,
    env: &Env,
    transaction: &Transaction,
) -> Result<()> {
    env.lock(Target::Table(table.id), mode, transaction).await.map(drop)
}

/// Locks a row that is committed; own rows need no lock.
///
/// # Errors
/// 40P01, 55P03, 57014.
pub async fn lock_row(
    table: &Table,
    row: RowId,
    mode: Mode,
    snapshot: &Snapshot,
    env: &Env,
    transaction: &Transaction,
) -> Result<()> {
    if row >= snapshot.first_own_row(table.id) {
        return Ok(());
    }
    env.lock(Target::Row(table.id, row), mode, transaction).await.map(drop)
}

/// What REPEATABLE READ tells when another was first.
#[must_use]
pub fn concurrent_update() -> Error {
    Error::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not serialize access due to concurrent update",
    )
    .hint("Try the transaction again.")
}

fn second_time() -> Error {
    Error::new(
        SqlState::CARDINALITY_VIOLATION,
        "ON CONFLICT DO UPDATE command cannot affect row a second time",
    )
    .hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate \
         constrained values.",
    )
}
