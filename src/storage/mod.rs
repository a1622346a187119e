//! Bytes that last.
//!
//! A commit becomes a record of the log (`wal`), durable before anyone hears of it. What the log
//! says is applied to memory (`memtable`, `deletes`) and, at a checkpoint, written as immutable
//! objects (`segment`, `compact`); a new manifest (`manifest`) names every object that is live and
//! how much of the log it contains, and what nobody names any more is deleted (`gc`). A start reads
//! the newest manifest and the log behind it, after it has shut out every older writer (`fence`,
//! `lock`).
//!
//! ```text
//!   table, memtable, segment, columns, keys, deletes, compact      rows
//!   wal, manifest, fence, pins, gc                                 what is committed, what is live
//!   store, paths, cache, local, lock                               named bytes
//! ```
//!
//! Everything stands on one [`store::Store`], and nothing here knows SQL or what a vector means.
//! An object is written once; only the number of the newest manifest changes what is true.

pub mod cache;
pub mod columns;
pub mod compact;
pub mod deletes;
pub mod fence;
pub mod gc;
pub mod keys;
pub mod local;
pub mod lock;
pub mod manifest;
pub mod memtable;
pub mod paths;
pub mod pins;
pub mod reads;
pub mod segment;
pub mod store;
pub mod table;
pub mod wal;

#[cfg(test)]
#[path = "../../tests/it/support/conformance.rs"]
mod conformance;
#[cfg(test)]
#[path = "../../tests/it/support/faults.rs"]
pub(crate) mod faults;
