//! Verification: all that an index is made of is counted and compared.

use super::{
    bridge::{self, Verified},
    checked,
    chunk::Chunk,
    version::Version,
};
use crate::error::Result;
use cxx::UniquePtr;
use std::fmt;

/// A count of all that an index is made of.
pub(in crate::index) struct Verifier(UniquePtr<bridge::Verifier>);

impl Verifier {
    pub(in crate::index) fn begin(version: &Version) -> Result<Self> {
        let made = bridge::verifier_begin(&version.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(in crate::index) fn add_chunk(
        &mut self,
        posting: u32,
        chunk: &Chunk,
        live: &[u8],
    ) -> Result<()> {
        checked(bridge::verifier_add_chunk(self.0.pin_mut(), posting, &chunk.0, live))
    }

    pub(in crate::index) fn compare(
        &mut self,
        chunk: &Chunk,
        entry: u32,
        vector: &[f32],
        query: &[f32],
    ) -> Result<()> {
        let chunk = &chunk.0;
        checked(bridge::verifier_compare(self.0.pin_mut(), chunk, entry, vector, query))
    }

    pub(in crate::index) fn found(&self) -> Result<Verified> {
        let mut found = bridge::verifier_found(&self.0);
        let landed = bridge::Status { code: 0, message: String::new() };
        checked(std::mem::replace(&mut found.status, landed))?;
        Ok(found)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}
