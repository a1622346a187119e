//! What of an index is far, and how it comes near before a search asks for it.
//!
//! A search of coded vectors waits for the scan parts of the postings that it looks at, and then for few
//! records: the scan parts are what is brought. Short vectors are not coded, and their chunks are read
//! whole. No more is brought than there is room for.

use super::{
    Index,
    posting::{Chunk, Part},
    store::Want,
};
use crate::error::Result;
use std::sync::Arc;

/// Vectors of at least so many dimensions are coded: kCodedDims of spfresh/include/spfresh/options.h.
const CODED_DIMS_MIN: u32 = 64;
/// So many bytes are asked for in one round, about.
const ROUND_BYTES: u64 = 8 << 20;

impl Index {
    /// How many chunks its postings have, and of how many of them what a search reads first is far.
    #[must_use]
    pub fn chunks(&self) -> (usize, usize) {
        (self.all_chunks().count(), self.far_chunks().count())
    }

    /// Reads what is far and what searches read first into memory, until that is full. How many chunks
    /// were read.
    ///
    /// # Errors
    /// XX001 when an object is damaged, and what the store fails with.
    pub async fn bring_near(&self) -> Result<usize> {
        let far: Vec<Arc<Chunk>> = self.far_chunks().cloned().collect();
        let records = !self.is_coded();
        let mut brought = 0;
        while brought < far.len() {
            // What others read meanwhile takes room too, so that it is looked at every round.
            let room = self.0.store.get().map_or(0, |store| store.room(records)).min(ROUND_BYTES);
            let mut bytes = 0;
            let fits = far[brought..].iter().take_while(|chunk| {
                bytes += if records { chunk.bytes() } else { u64::from(chunk.len(Part::Scan)) };
                bytes <= room
            });
            let wants: Vec<Want> =
                fits.map(|chunk| Want { chunk: Arc::clone(chunk), records }).collect();
            if wants.is_empty() {
                break;
            }
            brought += wants.len();
            self.fetch_parts(wants).await?;
        }
        Ok(brought)
    }

    fn is_coded(&self) -> bool {
        self.0.options.dims >= CODED_DIMS_MIN
    }

    fn all_chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.0.postings.iter().flat_map(|(_, posting)| &posting.chunks)
    }

    fn far_chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        let is_near = |chunk: &Chunk| match self.is_coded() {
            true => chunk.is_resident(),
            false => chunk.resident_len().1 == chunk.len(Part::Records),
        };
        self.all_chunks().filter(move |chunk| !is_near(chunk))
    }
}
