//! Upkeep: postings are made anew, from their own entries and their neighbours'.

use super::{
    bridge::{self, Task},
    checked,
    chunk::Chunk,
    version::{Change, Version},
};
use crate::error::Result;
use cxx::UniquePtr;

/// Postings being made anew.
pub(in crate::index) struct Rebuild(UniquePtr<bridge::Rebuild>);

impl Rebuild {
    pub(in crate::index) fn begin(version: &Version, task: Task, posting: u32) -> Result<Self> {
        let made = bridge::rebuild_begin(&version.0, task, posting);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// The postings that are made anew: their chunks are wanted first.
    pub(in crate::index) fn own(&self) -> Result<Vec<u32>> {
        let mut postings = Vec::new();
        checked(bridge::rebuild_own(&self.0, &mut postings))?;
        Ok(postings)
    }

    pub(in crate::index) fn add_own(&mut self, chunk: &Chunk, live: &[u8]) -> Result<()> {
        checked(bridge::rebuild_add_own(self.0.pin_mut(), &chunk.0, live))
    }

    pub(in crate::index) fn plan(&mut self) -> Result<Vec<u32>> {
        let mut neighbours = Vec::new();
        checked(bridge::rebuild_plan(self.0.pin_mut(), &mut neighbours))?;
        Ok(neighbours)
    }

    pub(in crate::index) fn add_neighbour(
        &mut self,
        posting: u32,
        chunk: &Chunk,
        live: &[u8],
    ) -> Result<()> {
        checked(bridge::rebuild_add_neighbour(self.0.pin_mut(), posting, &chunk.0, live))
    }

    /// The change, and how many entries were looked at and moved for it.
    pub(in crate::index) fn finish(mut self) -> Result<(Change, bridge::RebuildCounts)> {
        let change = Change::made(bridge::rebuild_finish(self.0.pin_mut()))?;
        Ok((change, bridge::rebuild_counts(&self.0)))
    }
}
