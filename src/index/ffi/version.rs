//! Versions of the index, and the changes that lead from one to the next.

use super::{
    bridge::{self, Task},
    checked,
    chunk::Chunk,
    options::options,
};
use crate::{
    error::{Error, Result},
    index::options::IndexOptions,
};
use cxx::SharedPtr;
use std::fmt;

/// One immutable picture of the index.
#[derive(Clone)]
pub(in crate::index) struct Version(pub(super) SharedPtr<bridge::Version>);

impl Version {
    pub(in crate::index) fn empty(wanted: &IndexOptions) -> Result<Self> {
        Self::made(bridge::version_empty(&options(wanted)))
    }

    pub(in crate::index) fn open(bytes: &[u8]) -> Result<Self> {
        Self::made(bridge::version_open(bytes))
    }

    /// What the core made.
    pub(super) fn made(made: bridge::MadeVersion) -> Result<Self> {
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(in crate::index) fn serialize(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        checked(bridge::version_serialize(&self.0, &mut bytes))?;
        Ok(bytes)
    }

    pub(in crate::index) fn insert(&self, rows: &[u64], vectors: &[f32]) -> Result<Change> {
        Change::made(bridge::version_insert(&self.0, rows, vectors))
    }

    /// With what a sibling has beyond `base`, of which both were made by inserts alone.
    pub(in crate::index) fn merge(&self, base: &Self, sibling: &Self) -> Result<Self> {
        Self::made(bridge::version_merge(&self.0, &base.0, &sibling.0))
    }

    /// The same when all was inserted that its centroids were trained for.
    pub(in crate::index) fn loaded(&self) -> Result<Self> {
        Self::made(bridge::version_loaded(&self.0))
    }

    /// All postings, those that are near to each other mostly near in the order too.
    pub(in crate::index) fn order(&self) -> Result<Vec<u32>> {
        let mut postings = Vec::new();
        checked(bridge::version_order(&self.0, &mut postings))?;
        Ok(postings)
    }

    /// What a posting wants by its size.
    pub(in crate::index) fn next_work(&self) -> Option<(Task, u32)> {
        wanted(&bridge::version_next_work(&self.0))
    }

    /// What is worth doing when nothing else is to be done.
    pub(in crate::index) fn next_tending(&self) -> Option<(Task, u32)> {
        wanted(&bridge::version_next_tending(&self.0))
    }

    pub(in crate::index) fn has_place(&self, vector: &[f32]) -> bool {
        bridge::version_has_place(&self.0, vector)
    }

    pub(in crate::index) fn in_use(&self, posting: u32) -> bool {
        bridge::version_in_use(&self.0, posting)
    }

    pub(in crate::index) fn entries_of(&self, posting: u32) -> u32 {
        bridge::version_entries_of(&self.0, posting)
    }

    pub(in crate::index) fn dims(&self) -> u32 {
        bridge::version_dims(&self.0)
    }

    pub(in crate::index) fn stride(&self) -> u32 {
        self.0.stride()
    }

    pub(in crate::index) fn postings(&self) -> u32 {
        self.0.postings()
    }

    pub(in crate::index) fn capacity(&self) -> u32 {
        self.0.capacity()
    }

    pub(in crate::index) fn entries(&self) -> u64 {
        self.0.entries()
    }

    pub(in crate::index) fn calibrated_entries(&self) -> u64 {
        self.0.calibrated_entries()
    }

    pub(in crate::index) fn wants_calibration(&self) -> bool {
        self.0.wants_calibration()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("postings", &self.postings())
            .field("entries", &self.entries())
            .finish()
    }
}

fn wanted(work: &bridge::Work) -> Option<(Task, u32)> {
    (work.task != Task::None).then_some((work.task, work.posting))
}

/// What becomes of one posting's chunks.
#[derive(Debug)]
pub(in crate::index) enum PostingChange {
    Append(u32, Chunk),
    Replace(u32, Option<Chunk>),
    Remove(u32),
}

/// A new version, and what it makes of the postings.
#[derive(Debug)]
pub(in crate::index) struct Change {
    pub(in crate::index) version: Version,
    pub(in crate::index) postings: Vec<PostingChange>,
    pub(in crate::index) left_out: Vec<u64>,
}

impl Change {
    pub(super) fn made(made: bridge::MadeChange) -> Result<Self> {
        checked(made.status)?;
        let change = made.value;
        let postings = (0..bridge::change_postings(&change))
            .map(|at| {
                let changed = bridge::change_posting(&change, at);
                let chunk = (!changed.chunk.is_null()).then(|| Chunk(changed.chunk));
                match (changed.kind, chunk) {
                    (0, Some(chunk)) => Ok(PostingChange::Append(changed.posting, chunk)),
                    (1, chunk) => Ok(PostingChange::Replace(changed.posting, chunk)),
                    (2, None) => Ok(PostingChange::Remove(changed.posting)),
                    _ => Err(Error::internal("the index made a change that is none")),
                }
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            version: Version(bridge::change_version(&change)),
            postings,
            left_out: bridge::change_left_out(&change).to_vec(),
        })
    }
}
