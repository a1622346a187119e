//! Postings: which chunks each has, and where the chunks' bytes are.
//!
//! A chunk is immutable. It is in memory from its birth; once a checkpoint that names it is durable
//! ([`Index::adopt`](super::Index::adopt)) its memory may be taken away, and it is then read from its
//! object when it is wanted. Its rows stay in memory: they tell, without a read, whether a search
//! may find anything in it and how much of it is dead.

use super::ffi;
use crate::ids::{RowId, RowSet};
use parking_lot::Mutex;
use std::sync::Arc;

/// The bit of an entry's word that marks the second copy of a row.
pub(super) const SPILLED: u64 = 1 << 63;
/// Rows are below this.
pub(super) const ROW_END: u64 = 1 << 60;

/// Entries up to which a chunk in memory grows by being copied, so that single-row inserts do not
/// leave a chunk each.
const JOIN_MAX: usize = 32;

/// The row of an entry's word.
pub(super) fn row_of(word: u64) -> RowId {
    RowId(word & (ROW_END - 1))
}

/// A stored object, and how many bytes it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) len: u64,
}

/// Where a chunk is stored.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) object: Arc<Object>,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// A run of entries of a posting.
#[derive(Debug)]
pub(super) struct Chunk {
    words: Box<[u64]>,
    bytes: u32,
    state: Mutex<State>,
}

/// Always resident or stored.
#[derive(Debug)]
struct State {
    resident: Option<ffi::Chunk>,
    stored: Option<Location>,
    /// Whether it was asked for since the cache last came by.
    used: bool,
}

impl Chunk {
    /// A chunk that is in memory alone.
    pub(super) fn new(resident: ffi::Chunk) -> Arc<Self> {
        let bytes = u32::try_from(resident.bytes().len()).expect("a chunk is below 4 GiB");
        Arc::new(Self {
            words: resident.words().into(),
            bytes,
            state: Mutex::new(State { resident: Some(resident), stored: None, used: true }),
        })
    }

    /// A chunk that is stored.
    pub(super) fn at(location: Location, words: Box<[u64]>) -> Arc<Self> {
        let bytes = location.len;
        let state = State { resident: None, stored: Some(location), used: false };
        Arc::new(Self { words, bytes, state: Mutex::new(state) })
    }

    /// A word for each entry.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many bytes it has, in memory and stored.
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// How many entries it has.
    pub(super) fn entries(&self) -> u32 {
        u32::try_from(self.words.len()).expect("a chunk is below 4 GiB")
    }

    /// What is in memory.
    pub(super) fn resident(&self) -> Option<ffi::Chunk> {
        let mut state = self.state.lock();
        state.used = true;
        state.resident.clone()
    }

    /// Whether it is in memory; asking is no use of it.
    pub(super) fn is_resident(&self) -> bool {
        self.state.lock().resident.is_some()
    }

    /// Where it is stored.
    pub(super) fn stored(&self) -> Option<Location> {
        self.state.lock().stored.clone()
    }

    /// It is now stored here.
    pub(super) fn store(&self, location: Location) {
        self.state.lock().stored = Some(location);
    }

    /// It was read. False when another reader was first.
    pub(super) fn fill(&self, resident: ffi::Chunk) -> bool {
        let mut state = self.state.lock();
        state.used = true;
        let is_first = state.resident.is_none();
        state.resident = Some(resident);
        is_first
    }

    /// Takes it out of memory if it is stored and was not used since the last call. Whether it is out.
    pub(super) fn evict(&self) -> bool {
        let mut state = self.state.lock();
        if state.stored.is_none() || std::mem::take(&mut state.used) {
            return state.resident.is_none();
        }
        state.resident = None;
        true
    }

    /// Whether any of its rows may be found.
    pub(super) fn any_visible(&self, allowed: Option<&RowSet>, below: RowId) -> bool {
        self.words.iter().any(|&word| {
            let row = row_of(word);
            row < below && allowed.is_none_or(|rows| rows.contains(row))
        })
    }

    /// A byte for each entry: 0 for one whose row is dead.
    pub(super) fn live(&self, live: &(dyn Fn(RowId) -> bool + Sync)) -> Vec<u8> {
        self.words.iter().map(|&word| u8::from(live(row_of(word)))).collect()
    }
}

/// The chunks of one posting.
#[derive(Debug, Default, Clone)]
pub(super) struct Posting {
    pub(super) chunks: Vec<Arc<Chunk>>,
}

impl Posting {
    fn append(&mut self, chunk: ffi::Chunk) -> crate::error::Result<()> {
        if let Some(last) = self.chunks.last()
            && last.words.len() + chunk.words().len() <= JOIN_MAX
            && last.stored().is_none()
            && let Some(resident) = last.resident()
        {
            let joined = Chunk::new(resident.join(&chunk)?);
            *self.chunks.last_mut().expect("there is a last one") = joined;
            return Ok(());
        }
        self.chunks.push(Chunk::new(chunk));
        Ok(())
    }
}

const PAGE: usize = 64;
type Page = Vec<Option<Arc<Posting>>>;

/// The postings by their ids: a persistent array, whose copies share pages.
#[derive(Debug, Default, Clone)]
pub(super) struct Postings {
    pages: Vec<Arc<Page>>,
}

impl Postings {
    pub(super) fn get(&self, id: u32) -> Option<&Arc<Posting>> {
        self.pages.get(id as usize / PAGE)?.get(id as usize % PAGE)?.as_ref()
    }

    /// The chunks of a posting; none where it is empty.
    pub(super) fn chunks(&self, id: u32) -> &[Arc<Chunk>] {
        self.get(id).map_or(&[], |posting| &posting.chunks)
    }

    /// All, by ascending id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Posting>)> {
        self.pages.iter().enumerate().flat_map(|(page, postings)| {
            postings.iter().enumerate().filter_map(move |(at, posting)| {
                let id = u32::try_from(page * PAGE + at).expect("ids are u32");
                posting.as_ref().map(|posting| (id, posting))
            })
        })
    }

    pub(super) fn set(&mut self, id: u32, posting: Option<Posting>) {
        *self.slot(id) = posting.map(Arc::new);
    }

    /// Makes the core's changes.
    pub(super) fn apply(&mut self, changes: Vec<ffi::PostingChange>) -> crate::error::Result<()> {
        for change in changes {
            match change {
                ffi::PostingChange::Append(id, chunk) => {
                    Arc::make_mut(self.slot(id).get_or_insert_default()).append(chunk)?;
                }
                ffi::PostingChange::Replace(id, chunk) => {
                    let chunks = chunk.into_iter().map(Chunk::new).collect();
                    self.set(id, Some(Posting { chunks }));
                }
                ffi::PostingChange::Remove(id) => self.set(id, None),
            }
        }
        Ok(())
    }

    fn slot(&mut self, id: u32) -> &mut Option<Arc<Posting>> {
        let (page, at) = (id as usize / PAGE, id as usize % PAGE);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || Arc::new(vec![None; PAGE]));
        }
        &mut Arc::make_mut(&mut self.pages[page])[at]
    }
}
