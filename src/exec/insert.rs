//! INSERT and COPY FROM: rows are checked, their keys locked and compared, and laid into the
//! transaction's buffer; rows that meet others of equal key go the way of ON CONFLICT.

use super::{
    keys::{KeyValues, UniqueKey},
    locks::{Mode, Target},
    snapshot::Snapshot,
    transaction::{Isolation, Transaction},
    write::{Env, RowChecks, Written, returned, storage_schema, to_storage},
};
use crate::{
    catalog::{Constraint, Table},
    error::{Error, Result, SqlState},
    ids::{Oid, RowId},
    sql::{ConflictAction, Insert, OnConflict, Plan, Slot},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array},
    compute::{concat, concat_batches, filter, filter_record_batch, take_record_batch},
    datatypes::{Field, Schema, SchemaRef, UInt64Type},
};
use futures::StreamExt;
use roaring::RoaringTreemap;
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
    let conflict = statement.on_conflict.as_ref();
    let mut inserter = Inserter::new(&statement.table, conflict, env, transaction).await?;
    let (_, mut source) = env.run.stream(&statement.source, &env.parameters).await?;
    let mut written = Vec::new();
    while let Some(batch) = source.next().await {
        let rows = inserter.push(&batch?, env, transaction).await?;
        if statement.returning.is_some() {
            written.extend(rows);
        }
    }
    let returned = returned(statement.returning.as_ref(), &written, env, transaction).await?;
    Ok(Written { rows: inserter.rows, returned })
}

/// Takes rows of one statement into a table, batch by batch.
#[derive(Debug)]
pub struct Inserter {
    table: Arc<Table>,
    schema: SchemaRef,
    checks: RowChecks,
    keys: Vec<UniqueKey>,
    conflict: Option<Conflict>,
    /// Rows that this statement updated already: a second time is an error.
    updated: HashSet<RowId>,
    /// How many rows were written.
    pub rows: u64,
}

/// ON CONFLICT, as the inserter needs it.
#[derive(Debug)]
struct Conflict {
    constraint: Option<Oid>,
    update: Option<(Slot, Arc<Plan>)>,
}

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
        let conflict = conflict.map(|conflict| Conflict {
            constraint: conflict.constraint,
            update: match &conflict.action {
                ConflictAction::Nothing => None,
                ConflictAction::Update { input, plan, .. } => Some((input.clone(), plan.clone())),
            },
        });
        Ok(Self {
            table: Arc::clone(table),
            schema: storage_schema(table),
            checks: RowChecks::new(table, &env.context)?,
            keys: UniqueKey::of(table)?,
            conflict,
            updated: HashSet::new(),
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
        let meetings = self.meetings(&rows, env, transaction).await?;
        let mut written = Vec::new();

        let (fresh, updates) = self.sort_out(&rows, &meetings)?;
        let inserted = filtered(&rows, &fresh)?;
        if inserted.num_rows() > 0 {
            self.rows += inserted.num_rows() as u64;
            transaction.insert(&self.table, inserted.clone());
        }
        if updates.is_empty() {
            written.push(inserted);
        } else {
            let snapshot = meetings.snapshot.as_ref().expect("rows met others in a snapshot");
            let changed = self.update(&rows, &updates, snapshot, env, transaction).await?;
            self.rows += changed.rows.num_rows() as u64;
            written.push(in_order(&fresh, &inserted, &updates, &changed)?);
        }
        env.spill.spill(&self.table, transaction).await?;
        Ok(written)
    }

    /// Locks the keys of rows and finds what they meet.
    async fn meetings(
        &self,
        rows: &RecordBatch,
        env: &Env,
        transaction: &Transaction,
    ) -> Result<Meetings> {
        let mut meetings = Meetings { keys: Vec::new(), snapshot: None };
        if self.keys.is_empty() {
            return Ok(meetings);
        }
        let values: Vec<KeyValues> =
            self.keys.iter().map(|key| key.values(rows)).collect::<Result<_>>()?;
        for (key, values) in self.keys.iter().zip(&values) {
            key.lock(values, env, transaction).await?;
        }
        // Taken after the locks: whoever held them has committed or is gone.
        let newest = transaction.newest();
        for (key, values) in self.keys.iter().zip(&values) {
            meetings.keys.push(Meeting {
                existing: key.existing(&self.table, values, &newest).await?,
                repeated: key.repeated(values),
            });
        }
        meetings.snapshot = Some(newest);
        Ok(meetings)
    }

    /// The rows that meet none, and which row must update which.
    fn sort_out(&self, rows: &RecordBatch, meetings: &Meetings) -> Result<(Vec<bool>, Vec<Met>)> {
        let mut fresh = vec![true; rows.num_rows()];
        let mut updates = Vec::new();
        for row in 0..rows.num_rows() {
            for (key, meeting) in self.keys.iter().zip(&meetings.keys) {
                // An earlier row of the batch that is left out is met by none.
                let repeated = meeting.repeated[row].is_some_and(|earlier| fresh[earlier]);
                let existing = meeting.existing[row];
                if existing.is_none() && !repeated {
                    continue;
                }
                let Some(conflict) = self.conflict_of(&key.constraint) else {
                    return Err(key.violation(&self.table, rows, row));
                };
                fresh[row] = false;
                match (&conflict.update, existing) {
                    (None, _) => {}
                    (Some(_), Some(existing)) => updates.push((row, existing)),
                    (Some(_), None) => return Err(second_time()),
                }
                break;
            }
        }
        Ok((fresh, updates))
    }

    fn conflict_of(&self, constraint: &Constraint) -> Option<&Conflict> {
        let conflict = self.conflict.as_ref()?;
        conflict.constraint.is_none_or(|id| id == constraint.id).then_some(conflict)
    }

    /// DO UPDATE: each pair is a row that was to be inserted and the row that it met.
    async fn update(
        &mut self,
        rows: &RecordBatch,
        updates: &[Met],
        snapshot: &Snapshot,
        env: &Env,
        transaction: &mut Transaction,
    ) -> Result<Changed> {
        let (input, plan) = self
            .conflict
            .as_ref()
            .and_then(|conflict| conflict.update.clone())
            .expect("rows update only under DO UPDATE");
        for &(_, existing) in updates {
            if !self.updated.insert(existing) {
                return Err(second_time());
            }
        }
        self.check_visible(updates, snapshot, transaction)?;
        for &(_, existing) in updates {
            lock_row(&self.table, existing, snapshot, env, transaction).await?;
        }

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
        transaction.insert(&self.table, changed.rows.clone());
        Ok(changed)
    }

    /// Under REPEATABLE READ a row that the transaction cannot see must not be changed.
    fn check_visible(
        &self,
        updates: &[Met],
        newest: &Snapshot,
        transaction: &mut Transaction,
    ) -> Result<()> {
        if transaction.isolation() != Isolation::RepeatableRead {
            return Ok(());
        }
        let first_own = newest.first_own_row(self.table.id);
        let seen = transaction.snapshot();
        let committed = seen.committed_state().table(self.table.id);
        let unseen = updates.iter().any(|&(_, id)| id < first_own && !committed.is_live(id));
        if unseen { Err(concurrent_update()) } else { Ok(()) }
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
    changed: &Changed,
) -> Result<RecordBatch> {
    let place_of: HashMap<RowId, usize> =
        changed.order.iter().enumerate().map(|(place, &id)| (id, place)).collect();
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
    arrow::compute::interleave_record_batch(&[inserted, &changed.rows], &places)
        .map_err(|error| Error::internal("rows of an insert").source(error))
}

/// A row of a batch and the row that it is to update.
type Met = (usize, RowId);

/// What rows of a batch meet, key by key.
#[derive(Debug)]
struct Meetings {
    keys: Vec<Meeting>,
    snapshot: Option<Snapshot>,
}

#[derive(Debug)]
struct Meeting {
    existing: Vec<Option<RowId>>,
    repeated: Vec<Option<usize>>,
}

/// Rows that change: their ids, and the whole new rows.
#[derive(Debug)]
pub struct Changed {
    /// The old rows.
    pub ids: RoaringTreemap,
    /// The same in the order of the new rows.
    pub order: Vec<RowId>,
    /// The new rows, as storage keeps them.
    pub rows: RecordBatch,
    /// What came along with them, column by column.
    pub along: Vec<ArrayRef>,
}

impl Changed {
    /// Reads `__row` and new rows; of several new rows for one old row the first counts.
    ///
    /// # Errors
    /// When a column is not of its type: a fault of the plan.
    pub fn collect(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Self> {
        let mut ids = RoaringTreemap::new();
        let mut order = Vec::new();
        let (mut kept, mut along) = (Vec::new(), Vec::new());
        let width = 1 + schema.fields().len();
        for batch in batches {
            let rows = batch.column(0).as_primitive::<UInt64Type>();
            let mut is_first = |&id: &u64| {
                let first = ids.insert(id);
                order.extend(first.then_some(RowId(id)));
                Some(first)
            };
            let first: BooleanArray = rows.values().iter().map(&mut is_first).collect();
            let new = to_storage(schema, &batch.columns()[1..width], batch.num_rows())?;
            kept.push(filter_record_batch(&new, &first).map_err(fault)?);
            let more = batch.columns()[width..].iter().map(|column| filter(column, &first));
            along.push(more.collect::<Result<Vec<_>, _>>().map_err(fault)?);
        }
        let rows = concat_batches(schema, &kept).map_err(fault)?;
        let columns = along.first().map_or(0, Vec::len);
        let together = |column: usize| {
            let parts: Vec<&dyn Array> = along.iter().map(|batch| batch[column].as_ref()).collect();
            concat(&parts).map_err(fault)
        };
        let along = (0..columns).map(together).collect::<Result<_>>()?;
        Ok(Self { ids, order, rows, along })
    }

    /// Leaves out rows that are no longer there: an earlier part of the statement changed them.
    ///
    /// # Errors
    /// None that can happen.
    pub fn keep_live(&mut self, snapshot: &Snapshot, table: &Table) -> Result<()> {
        let there = snapshot.table(table.id);
        let live: BooleanArray = self.order.iter().map(|&id| Some(there.is_live(id))).collect();
        self.order.retain(|&id| there.is_live(id));
        self.ids = self.order.iter().map(|id| id.0).collect();
        self.rows = filter_record_batch(&self.rows, &live).map_err(fault)?;
        for column in &mut self.along {
            *column = filter(column, &live).map_err(fault)?;
        }
        Ok(())
    }

    /// Rows with what came along, as RETURNING reads them.
    ///
    /// # Errors
    /// When both are not of one length: a fault of the plan.
    pub fn beside(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut fields = rows.schema().fields().to_vec();
        let mut columns = rows.columns().to_vec();
        for (at, column) in self.along.iter().enumerate() {
            let kind = column.data_type().clone();
            fields.push(Arc::new(Field::new(format!("along{at}"), kind, true)));
            columns.push(Arc::clone(column));
        }
        to_storage(&Arc::new(Schema::new(fields)), &columns, rows.num_rows())
    }
}

fn fault(error: arrow::error::ArrowError) -> Error {
    Error::internal("changed rows").source(error)
}

/// Locks and checks the keys of rows that are about to be written.
///
/// # Errors
/// 23505, and those of locks.
pub async fn check_keys(
    table: &Table,
    keys: &[UniqueKey],
    rows: &RecordBatch,
    env: &Env,
    transaction: &Transaction,
) -> Result<()> {
    for key in keys {
        let values = key.values(rows)?;
        key.lock(&values, env, transaction).await?;
        if let Some(row) = key.repeated(&values).iter().position(Option::is_some) {
            return Err(key.violation(table, rows, row));
        }
        let existing = key.existing(table, &values, &transaction.newest()).await?;
        if let Some(row) = existing.iter().position(Option::is_some) {
            return Err(key.violation(table, rows, row));
        }
    }
    Ok(())
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
    lock(Target::Table(table.id), mode, env, transaction).await.map(drop)
}

/// Locks a row that is committed; own rows need no lock. Tells whether it had to wait.
///
/// # Errors
/// 40P01, 55P03, 57014.
pub async fn lock_row(
    table: &Table,
    row: RowId,
    snapshot: &Snapshot,
    env: &Env,
    transaction: &Transaction,
) -> Result<bool> {
    if row >= snapshot.first_own_row(table.id) {
        return Ok(false);
    }
    lock(Target::Row(table.id, row), Mode::Exclusive, env, transaction).await
}

async fn lock(target: Target, mode: Mode, env: &Env, transaction: &Transaction) -> Result<bool> {
    let locks = transaction.locks();
    if locks.try_acquire(transaction.id(), &target, mode) {
        return Ok(false);
    }
    tokio::select! {
        granted = locks.acquire(transaction.id(), target, mode, env.lock_timeout) => {
            granted.map(|granted| granted == super::locks::Granted::AfterWait)
        }
        () = env.run.cancel().cancelled() => Err(super::run::cancelled()),
    }
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
