//! Large transactions write their rows as segments before they commit, so that memory holds only
//! the last of them; the log then names the segments.

use super::{table::column_specs, transaction::Transaction};
use crate::{
    catalog::Table,
    error::Result,
    storage::{compact::flush, segment::SegmentStore},
};

/// Where and when a transaction's rows are written before it commits.
#[derive(Debug, Clone)]
pub struct Spill {
    /// Where.
    pub segments: SegmentStore,
    /// From how many bytes on.
    pub bytes_max: u64,
}

impl Spill {
    /// Writes the transaction's rows of a table if they are too many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn spill(&self, table: &Table, transaction: &mut Transaction) -> Result<()> {
        if transaction.buffered_bytes(table.id) <= self.bytes_max {
            return Ok(());
        }
        let Some(rows) = transaction.own_rows(table.id).cloned() else { return Ok(()) };
        let flushed = flush(&self.segments, &rows, &column_specs(table)?).await?;
        transaction.replace_own_rows(table.id, flushed.apply(&rows));
        Ok(())
    }
}
