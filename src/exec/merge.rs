//! MERGE: pairs of rows, sorted by what is to be done with them, go the ways of INSERT, UPDATE and
//! DELETE. What is deleted and replaced goes before anything new comes, so that a key may pass from
//! row to row. A row of the table is touched once.

use super::{
    changed::{Changed, with_columns},
    insert::{Inserter, lock_table},
    keys::UniqueKey,
    locks::Mode,
    snapshot::Snapshot,
    table::column_specs,
    transaction::Transaction,
    update::{Rules, are_held, portion},
    write::{Env, Written, old_columns, returned, storage_schema, to_storage},
};
use crate::{
    error::{Error, Result, SqlState},
    ids::RowId,
    sql::{Merge, MergeAction, MergeKind},
};
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array},
    compute::filter_record_batch,
    datatypes::{Int32Type, Schema, UInt64Type},
};
use futures::StreamExt;
use roaring::RoaringTreemap;
use std::sync::Arc;

/// Runs a MERGE.
///
/// # Errors
/// 21000 for a row that would change twice, 23502, 23505, 23514, 40001, those of locks, and those of
/// expressions.
pub async fn merge(statement: &Merge, env: &Env, transaction: &mut Transaction) -> Result<Written> {
    transaction.check_writable("MERGE")?;
    lock_table(&statement.table, Mode::Shared, env, transaction).await?;
    let rules = Rules::of(&statement.table, &statement.changed, env, transaction)?;
    let mark = transaction.mark();
    let (picture, (rows, written)) = loop {
        let picture = env.picture(transaction);
        let merging = Merging { statement, rules: &rules, env, here: env.on(Arc::clone(&picture)) };
        if let Some(done) = merging.run(&picture, transaction).await? {
            break (picture, done);
        }
        transaction.undo_to(mark.clone());
    };
    let returned = returned(statement.returning.as_ref(), &written, picture, env).await?;
    Ok(Written { rows, returned })
}

/// One attempt at a MERGE.
struct Merging<'m> {
    statement: &'m Merge,
    rules: &'m Rules,
    env: &'m Env,
    /// The same in the picture that the statement sees.
    here: Env,
}

/// What actions make of some pairs.
#[derive(Default)]
struct Made {
    gone: Vec<Changed>,
    replaced: Vec<Changed>,
    new: Vec<RecordBatch>,
}

impl Merging<'_> {
    /// How many rows were touched, and those that RETURNING asks for. Nothing when all is to be done
    /// anew.
    async fn run(
        &self,
        picture: &Snapshot,
        transaction: &mut Transaction,
    ) -> Result<Option<(u64, Vec<RecordBatch>)>> {
        let Merge { table, source, .. } = self.statement;
        let mut inserter = match self.has(MergeKind::Insert) {
            true => Some(Inserter::new(table, None, self.env, transaction).await?),
            false => None,
        };
        let (_, source) = self.here.run.stream(source, &self.env.parameters).await?;
        let mut source = source.fuse();
        let (mut touched, mut written) = (RoaringTreemap::new(), Vec::new());
        let whole = self.is_whole()?;
        while let Some(found) = portion(&mut source, whole, &self.env.run).await? {
            let ids = once_each(&touched, found.batches())?;
            if !are_held(table, &ids, picture, self.env, transaction).await? {
                return Ok(None);
            }
            if self.env.shared.is_some() {
                let now = transaction.snapshot().table(table.id);
                if !ids.iter().all(|id| now.is_live(RowId(id))) {
                    return Err(second_time());
                }
            }
            let made = self.made(found.batches()).await?;
            written.extend(self.write(made, &ids, &mut inserter, picture, transaction).await?);
            touched |= ids;
        }
        let inserted = inserter.map_or(0, |inserter| inserter.rows);
        Ok(Some((touched.len() + inserted, written)))
    }

    fn has(&self, kind: MergeKind) -> bool {
        self.statement.actions.iter().any(|action| action.kind == kind)
    }

    /// Whether a key may pass from row to row, so that all pairs must be known before any is written.
    fn is_whole(&self) -> Result<bool> {
        let passes = self.has(MergeKind::Delete) && self.has(MergeKind::Insert);
        Ok(self.rules.changes_keys() || passes && !UniqueKey::of(&self.statement.table)?.is_empty())
    }

    /// Runs the actions' plans, each over its pairs.
    async fn made(&self, pairs: &[RecordBatch]) -> Result<Made> {
        let (schema, nothing) = (storage_schema(&self.statement.table), Arc::new(Schema::empty()));
        let mut made = Made::default();
        for (action, number) in self.statement.actions.iter().zip(0..) {
            let its = pairs_of(action, number, pairs)?;
            if its.is_empty() {
                continue;
            }
            action.input.fill(its);
            let ran = self.here.run.collect(&action.plan, &self.env.parameters).await;
            action.input.fill([]);
            let (_, batches) = ran?;
            match action.kind {
                MergeKind::Insert => made.new.extend(batches),
                MergeKind::Update => made.replaced.push(Changed::collect(&batches, &schema)?),
                MergeKind::Delete => made.gone.push(Changed::collect(&batches, &nothing)?),
            }
        }
        Ok(made)
    }

    /// The places of the columns whose old values RETURNING reads.
    fn old(&self) -> &[usize] {
        self.statement.returning.as_ref().map_or(&[], |returning| &returning.old)
    }

    /// Lays what was made into the transaction; what RETURNING gets of it.
    async fn write(
        &self,
        made: Made,
        ids: &RoaringTreemap,
        inserter: &mut Option<Inserter>,
        picture: &Snapshot,
        transaction: &mut Transaction,
    ) -> Result<Vec<RecordBatch>> {
        let table = &self.statement.table;
        let is_asked = self.statement.returning.is_some();
        let mut written = Vec::new();
        for gone in made.gone.iter().filter(|_| is_asked) {
            let rows = picture.table(table.id).take(&gone.order, &column_specs(table)?).await?;
            let old: Vec<ArrayRef> =
                self.old().iter().map(|&place| Arc::clone(rows.column(place))).collect();
            written.push(gone.beside(&rows, &old)?);
        }
        for replaced in &made.replaced {
            self.rules.check(&replaced.rows, self.env).await?;
        }
        transaction.delete(table, picture.first_own_row(table.id), ids);
        for replaced in &made.replaced {
            self.rules.put(table, replaced, picture, self.env, transaction).await?;
            if is_asked {
                let returning = self.statement.returning.as_ref();
                let old = old_columns(returning, table, &replaced.order, picture).await?;
                written.push(replaced.beside(&replaced.rows, &old)?);
            }
        }
        if let Some(inserter) = inserter {
            let schema = storage_schema(table);
            for new in made.new {
                let (rows, along) = new.columns().split_at(table.columns.len());
                let rows = to_storage(&schema, rows, new.num_rows())?;
                inserter.push(&rows, self.env, transaction).await?;
                if is_asked {
                    let none = |&place: &usize| {
                        new_null_array(rows.column(place).data_type(), new.num_rows())
                    };
                    let old: Vec<ArrayRef> = self.old().iter().map(none).collect();
                    written.push(with_columns(&rows, old.iter().chain(along))?);
                }
            }
        }
        self.env.spill.spill(table, transaction).await?;
        Ok(written)
    }
}

/// The pairs of an action, as its plan reads them.
fn pairs_of(action: &MergeAction, number: i32, pairs: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let mut its = Vec::new();
    for batch in pairs {
        let numbers = batch.column(0).as_primitive::<Int32Type>().iter();
        let is_its: BooleanArray = numbers.map(|of| Some(of == Some(number))).collect();
        if is_its.true_count() > 0 {
            let batch = filter_record_batch(batch, &is_its)
                .map_err(|error| Error::internal("pairs of a merge").source(error))?;
            its.push(to_storage(action.input.schema(), &batch.columns()[1..], batch.num_rows())?);
        }
    }
    Ok(its)
}

/// The rows of the table in some pairs, none of which may come again.
fn once_each(before: &RoaringTreemap, pairs: &[RecordBatch]) -> Result<RoaringTreemap> {
    let mut ids = RoaringTreemap::new();
    for id in pairs.iter().flat_map(|batch| batch.column(1).as_primitive::<UInt64Type>()).flatten()
    {
        if before.contains(id) || !ids.insert(id) {
            return Err(second_time());
        }
    }
    Ok(ids)
}

fn second_time() -> Error {
    let message = "MERGE command cannot affect row a second time";
    Error::new(SqlState::CARDINALITY_VIOLATION, message)
        .hint("Ensure that not more than one source row matches any one target row.")
}
