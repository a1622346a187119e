//! Chunks: what the core reads of postings and makes for them.

use super::{bridge, checked};
use crate::error::Result;
use cxx::SharedPtr;
use std::fmt;

/// The chunk of a posting: entries as bytes.
#[derive(Clone)]
pub(in crate::index) struct Chunk(pub(super) SharedPtr<bridge::Chunk>);

impl Chunk {
    pub(in crate::index) fn parse(bytes: &[u8], stride: u32) -> Result<Self> {
        let made = bridge::chunk_parse(bytes, stride);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// This chunk with its records, read from its second part.
    pub(in crate::index) fn with_records(&self, bytes: &[u8]) -> Result<Self> {
        let made = bridge::chunk_with_records(&self.0, bytes);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(in crate::index) fn without_records(&self) -> Result<Self> {
        let made = bridge::chunk_without_records(&self.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(in crate::index) fn has_records(&self) -> bool {
        self.0.chunk_has_records()
    }

    pub(in crate::index) fn join(&self, next: &Self) -> Result<Self> {
        let made = bridge::chunk_join(&self.0, &next.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// Its first part: what it is of, its rows, and what a scan reads.
    pub(in crate::index) fn scan_bytes(&self) -> &[u8] {
        bridge::chunk_scan_bytes(&self.0)
    }

    /// Its second part; nothing without records.
    pub(in crate::index) fn record_bytes(&self) -> &[u8] {
        bridge::chunk_record_bytes(&self.0)
    }

    pub(in crate::index) fn entries(&self) -> u32 {
        self.0.chunk_size()
    }

    /// The posting whose centroid its entries are coded by, as its header names it (docs/format/posting.md).
    pub(in crate::index) fn posting(&self) -> u32 {
        let named = self.scan_bytes().get(16..).and_then(<[u8]>::first_chunk);
        u32::from_le_bytes(*named.expect("a chunk has a header"))
    }

    /// The rows, with [`SPILLED`](crate::index::posting::SPILLED) on the second copies.
    pub(in crate::index) fn words(&self) -> Result<Vec<u64>> {
        let mut words = Vec::new();
        checked(bridge::chunk_words(&self.0, &mut words))?;
        Ok(words)
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("entries", &self.entries()).finish()
    }
}
