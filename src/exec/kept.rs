//! Rows that are kept in memory, within the memory that plans have.

use super::run::RowStream;
use crate::{error::Result, sql::error::from_datafusion};
use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::StreamExt;
use std::sync::Arc;

/// Batches, and the memory that is reserved for them.
#[derive(Debug)]
pub struct Kept {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Kept {
    /// None yet.
    #[must_use]
    pub fn new(memory: &Arc<dyn MemoryPool>) -> Self {
        let memory = MemoryConsumer::new("kept rows").register(memory);
        Self { batches: Vec::new(), memory }
    }

    /// All that a stream has.
    ///
    /// # Errors
    /// 53200, and those of the stream.
    pub async fn all(memory: &Arc<dyn MemoryPool>, mut stream: RowStream) -> Result<Self> {
        let mut kept = Self::new(memory);
        while let Some(batch) = stream.next().await {
            kept.push(batch?)?;
        }
        Ok(kept)
    }

    /// Keeps one more.
    ///
    /// # Errors
    /// 53200 when it is one too many.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.memory.try_grow(bytes(&batch)).map_err(from_datafusion)?;
        self.batches.push(batch);
        Ok(())
    }

    /// The rows.
    #[must_use]
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The rows as a stream.
    #[must_use]
    pub fn into_stream(self) -> RowStream {
        let Self { batches, memory } = self;
        Box::pin(futures::stream::iter(batches).map(move |batch| {
            memory.shrink(bytes(&batch).min(memory.size()));
            Ok(batch)
        }))
    }
}

/// What the rows of a batch take, which may be a part of larger buffers.
fn bytes(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(of).sum()
}
