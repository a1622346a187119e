//! Plans in, Arrow batches out; and the one door through which committed state changes.
//!
//! ```text
//! a query     run ─> table, nearest (over a snapshot) ─> batches
//! a change    insert, update, merge ─> transaction (a private buffer) ─> commit ─> the log ─> apply ─> state
//! a start     recovery: manifest ─> replay of the log ─────────────────────────────> apply ─> state
//! meanwhile   maintenance: checkpoint, compaction, collection; upkeep: indexes; events: what webhooks are told
//! ```

pub mod apply;
mod bounded;
pub mod build;
pub mod changed;
pub mod checkpoint;
pub mod commit;
mod constant;
pub mod ddl;
pub mod embedding;
mod errand;
pub mod events;
mod failure;
mod in_order;
pub mod insert;
pub mod kept;
mod key_lookup;
pub mod keys;
pub mod locks;
pub mod maintenance;
pub mod meetings;
pub mod merge;
pub mod nearest;
pub mod neighbours;
mod parameter;
pub mod pressure;
mod reader;
pub mod recall;
pub mod recovery;
pub mod relations;
mod retry;
mod reuse;
mod rows;
pub mod run;
pub mod snapshot;
pub mod spill;
pub mod state;
pub mod supervise;
pub mod table;
pub mod targets;
pub mod topk;
pub mod transaction;
pub mod update;
pub mod upkeep;
mod values;
pub mod verify;
pub mod with;
pub mod write;

use arrow::array::RecordBatch;

/// Batches that are at hand as a stream.
#[must_use]
pub fn rows_stream(batches: Vec<RecordBatch>) -> run::RowStream {
    Box::pin(futures::stream::iter(batches.into_iter().map(Ok)))
}
