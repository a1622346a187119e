//! Statements with changes of rows in their WITH.
//!
//! All parts see the picture that was there when the statement began, and hear of each other by
//! their RETURNING rows alone. What the main statement reads runs before it; a part that nothing
//! reads runs after it, the last one first. A part that meets a row which another transaction
//! changed meanwhile makes the whole statement start over.

use super::{
    insert, merge,
    transaction::{Isolation, Transaction},
    update,
    write::{Env, Written, to_storage},
};
use crate::{
    error::{Error, Result, SqlState},
    sql::{Bound, With},
};
use arrow::array::RecordBatch;
use std::{collections::BTreeSet, sync::Arc};

/// What the main statement did.
#[derive(Debug)]
pub enum Ran {
    /// It was a query: its rows.
    Rows(Vec<RecordBatch>),
    /// It changed rows.
    Wrote(Written),
}

/// Runs all parts, each once and to its end.
///
/// # Errors
/// Those of the parts; nothing of any of them stays then.
pub async fn run(with: &With, env: &Env, transaction: &mut Transaction) -> Result<Ran> {
    let mark = transaction.mark();
    loop {
        let picture = transaction.snapshot();
        let env = Env { shared: Some(Arc::clone(&picture)), ..env.on(picture) };
        let ran = once(with, &env, transaction).await;
        for slot in with.parts.iter().filter_map(|part| part.rows.as_ref()) {
            slot.fill([]);
        }
        let Err(error) = ran else { return ran };
        transaction.undo_to(mark.clone());
        let is_stale = error.state() == SqlState::SERIALIZATION_FAILURE
            && transaction.isolation() == Isolation::ReadCommitted;
        if !is_stale {
            return Err(error);
        }
        transaction.start_statement();
    }
}

async fn once(with: &With, env: &Env, transaction: &mut Transaction) -> Result<Ran> {
    let mut done = BTreeSet::new();
    run_parts(with, needed(with, &with.reads), &mut done, env, transaction).await?;
    let ran = match with.main.as_ref() {
        Bound::Query(query) => Ran::Rows(env.run.collect(&query.plan, &env.parameters).await?.1),
        change => Ran::Wrote(write(change, env, transaction).await?),
    };
    for part in (0..with.parts.len()).rev() {
        run_parts(with, needed(with, &[part]), &mut done, env, transaction).await?;
    }
    Ok(ran)
}

/// Some parts and those that they read, in the order of the text: a part reads earlier ones.
fn needed(with: &With, parts: &[usize]) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut waiting = parts.to_vec();
    while let Some(part) = waiting.pop() {
        if all.insert(part) {
            waiting.extend_from_slice(&with.parts[part].reads);
        }
    }
    all
}

async fn run_parts(
    with: &With,
    parts: BTreeSet<usize>,
    done: &mut BTreeSet<usize>,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<()> {
    for part in parts {
        if !done.insert(part) {
            continue;
        }
        let part = &with.parts[part];
        let written = write(&part.change, env, transaction).await?;
        if let (Some(slot), Some(batches)) = (&part.rows, written.returned) {
            let rows = batches
                .iter()
                .map(|batch| to_storage(slot.schema(), batch.columns(), batch.num_rows()))
                .collect::<Result<Vec<_>>>()?;
            slot.fill(rows);
        }
    }
    Ok(())
}

/// Runs a change of rows.
///
/// # Errors
/// Those of INSERT, UPDATE, DELETE and MERGE.
pub async fn write(change: &Bound, env: &Env, transaction: &mut Transaction) -> Result<Written> {
    let (kind, written) = match change {
        Bound::Insert(insert) => ("insert", insert::insert(insert, env, transaction).await?),
        Bound::Update(update) => ("update", update::update(update, env, transaction).await?),
        Bound::Delete(delete) => ("delete", update::delete(delete, env, transaction).await?),
        Bound::Merge(merge) => ("merge", merge::merge(merge, env, transaction).await?),
        _ => return Err(Error::internal("not a change of rows")),
    };
    env.run.metrics().rows_written.with_label_values(&[kind]).inc_by(written.rows);
    Ok(written)
}
