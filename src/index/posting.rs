//! Postings: which chunks each has, and where the chunks' bytes are.
//!
//! A chunk is immutable and has two parts: its scan part, which tells its rows and what a scan reads,
//! and its records, some seven times as large, of which a search wants few. Both are in memory from
//! its birth; once a checkpoint that names it is durable ([`Index::adopt`](super::Index::adopt)) either
//! may be taken away, the records first, and is then read from its object when it is wanted.

use super::ffi;
use crate::{
    error::{Error, Result},
    ids::RowId,
};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

/// The bit of an entry's word that marks the second copy of a row.
pub(super) const SPILLED: u64 = 1 << 63;
/// Rows are below this.
pub(super) const ROW_END: u64 = 1 << 60;

/// Entries up to which a chunk in memory grows by being copied, so that single-row inserts do not
/// leave a chunk each.
const JOIN_MAX: u32 = 32;

/// The row of an entry's word.
pub(super) fn row_of(word: u64) -> RowId {
    RowId(word & (ROW_END - 1))
}

/// A byte for each entry of a chunk: 0 for one whose row is dead.
pub(super) fn live_of(
    chunk: &ffi::Chunk,
    live: &(dyn Fn(RowId) -> bool + Sync),
) -> Result<Vec<u8>> {
    Ok(chunk.words()?.into_iter().map(|word| u8::from(live(row_of(word)))).collect())
}

/// A stored object, and how many bytes it has.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) len: u64,
    /// What keeps it from being collected until a manifest names it.
    _hold: Option<Hold>,
}

/// Keeps an object from being collected while it lives.
pub type Hold = Arc<dyn Any + Send + Sync>;

impl Object {
    pub(super) fn new(name: String, len: u64, hold: Option<Hold>) -> Self {
        Self { name, len, _hold: hold }
    }
}

/// The two parts of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Scan,
    Records,
}

/// Where a part of a chunk is stored.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) object: Arc<Object>,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// Where the two parts of a chunk are stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) scan: Location,
    pub(super) records: Location,
}

impl Stored {
    pub(super) fn part(&self, part: Part) -> &Location {
        match part {
            Part::Scan => &self.scan,
            Part::Records => &self.records,
        }
    }
}

/// A run of entries of a posting.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Of which posting.
    posting: u32,
    entries: u32,
    scan_len: u32,
    records_len: u32,
    /// What its rows have in common, as far as it was told; for ever, since rows never change.
    summary: OnceLock<Box<[u8]>>,
    state: Mutex<State>,
}

/// Resident with its records, or stored.
#[derive(Debug)]
struct State {
    /// With its records or without.
    resident: Option<ffi::Chunk>,
    stored: Option<Box<Stored>>,
    /// Whether the parts were asked for since the cache last came by.
    scan_used: bool,
    records_used: bool,
}

impl Chunk {
    /// A chunk that is in memory alone.
    pub(super) fn new(resident: ffi::Chunk) -> Arc<Self> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a chunk is below 4 GiB");
        Arc::new(Self {
            posting: resident.posting(),
            entries: resident.entries(),
            scan_len: len(resident.scan_bytes()),
            records_len: len(resident.record_bytes()),
            summary: OnceLock::new(),
            state: Mutex::new(State {
                resident: Some(resident),
                stored: None,
                scan_used: true,
                records_used: true,
            }),
        })
    }

    /// A chunk of a posting that is stored.
    pub(super) fn at(
        posting: u32,
        stored: Stored,
        entries: u32,
        summary: Option<Box<[u8]>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            posting,
            entries,
            scan_len: stored.scan.len,
            records_len: stored.records.len,
            summary: summary.map(OnceLock::from).unwrap_or_default(),
            state: Mutex::new(State {
                resident: None,
                stored: Some(Box::new(stored)),
                scan_used: false,
                records_used: false,
            }),
        })
    }

    /// This chunk and the next as one, when both are in memory alone.
    fn joined(&self, next: &Self) -> Result<Option<Arc<Self>>> {
        if self.is_stored() || next.is_stored() {
            return Ok(None);
        }
        let (Some(first), Some(second)) = (self.resident(), next.resident()) else {
            return Ok(None);
        };
        Ok(Some(Self::new(first.join(&second)?)))
    }

    /// Whether a chunk that was read can be it.
    pub(super) fn is_like(&self, read: &ffi::Chunk) -> bool {
        (self.posting, self.entries) == (read.posting(), read.entries())
    }

    /// How many entries it has.
    pub(super) fn entries(&self) -> u32 {
        self.entries
    }

    /// How many bytes a part has, in memory and stored.
    pub(super) fn len(&self, part: Part) -> u32 {
        match part {
            Part::Scan => self.scan_len,
            Part::Records => self.records_len,
        }
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.scan_len) + u64::from(self.records_len)
    }

    /// What its rows have in common, if it is known.
    pub(super) fn summary(&self) -> Option<&[u8]> {
        self.summary.get().map(|summary| &**summary)
    }

    /// What its rows have in common, told for the first time.
    pub(super) fn summarize(&self, summary: Box<[u8]>) {
        // Whoever was first told the same.
        let _ = self.summary.set(summary);
    }

    /// What is in memory: all of it, or its scan part.
    pub(super) fn resident(&self) -> Option<ffi::Chunk> {
        let mut state = self.state.lock();
        state.scan_used = true;
        state.records_used = true;
        state.resident.clone()
    }

    /// Whether its scan part, at least, is in memory; asking is no use of it.
    pub(super) fn is_resident(&self) -> bool {
        self.state.lock().resident.is_some()
    }

    /// Which bytes of it are in memory, by part; asking is no use of them.
    pub(super) fn resident_len(&self) -> (u32, u32) {
        match &self.state.lock().resident {
            None => (0, 0),
            Some(chunk) if chunk.has_records() => (self.scan_len, self.records_len),
            Some(_) => (self.scan_len, 0),
        }
    }

    /// Where it is stored.
    pub(super) fn stored(&self) -> Option<Stored> {
        self.state.lock().stored.as_deref().cloned()
    }

    /// Whether it is stored.
    pub(super) fn is_stored(&self) -> bool {
        self.state.lock().stored.is_some()
    }

    /// It is now stored here.
    pub(super) fn store(&self, stored: Stored) {
        self.state.lock().stored = Some(Box::new(stored));
    }

    /// It was read, with its records or without. The parts that no other reader had brought.
    pub(super) fn fill(&self, read: &ffi::Chunk) -> Vec<Part> {
        let mut state = self.state.lock();
        let (had_scan, had_records) =
            state.resident.as_ref().map_or((false, false), |chunk| (true, chunk.has_records()));
        let mut new = Vec::new();
        if !had_scan {
            new.push(Part::Scan);
            state.scan_used = true;
        }
        if read.has_records() && !had_records {
            new.push(Part::Records);
            state.records_used = true;
        }
        if !new.is_empty() {
            state.resident = Some(read.clone());
        }
        new
    }

    /// Takes a part out of memory if it is stored and was not used since the last call; without the
    /// scan part, records are of no use. Whether it is out.
    pub(super) fn evict(&self, part: Part) -> bool {
        let mut state = self.state.lock();
        let has_part =
            state.resident.as_ref().is_some_and(|chunk| part == Part::Scan || chunk.has_records());
        let used = match part {
            Part::Scan => std::mem::take(&mut state.scan_used),
            Part::Records => std::mem::take(&mut state.records_used),
        };
        if !has_part {
            return true;
        }
        if state.stored.is_none() || used {
            return false;
        }
        // Where there is no memory for what is left of it, all of it goes.
        state.resident = match part {
            Part::Scan => None,
            Part::Records => state.resident.as_ref().and_then(|chunk| chunk.without_records().ok()),
        };
        true
    }
}

/// The chunks of one posting.
#[derive(Debug, Default, Clone)]
pub(super) struct Posting {
    pub(super) chunks: Vec<Arc<Chunk>>,
}

impl Posting {
    fn append(&mut self, chunk: ffi::Chunk) -> Result<()> {
        if let Some(last) = self.chunks.last()
            && last.entries + chunk.entries() <= JOIN_MAX
            && !last.is_stored()
            && let Some(resident) = last.resident()
        {
            let joined = Chunk::new(resident.join(&chunk)?);
            *self.chunks.last_mut().expect("there is a last one") = joined;
            return Ok(());
        }
        self.chunks.push(Chunk::new(chunk));
        Ok(())
    }

    /// The same for a posting that is being loaded: chunks in memory grow twofold, so that each
    /// entry is copied few times.
    fn load(&mut self, chunk: ffi::Chunk) -> Result<()> {
        self.chunks.push(Chunk::new(chunk));
        while let [.., before, last] = self.chunks.as_slice()
            && before.entries < 2 * last.entries
            && let Some(joined) = before.joined(last)?
        {
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(joined);
        }
        Ok(())
    }

    /// The same with all chunks at the end that are in memory alone as one.
    fn tidied(&self) -> Result<Option<Self>> {
        let mut chunks = self.chunks.clone();
        while let [.., before, last] = chunks.as_slice()
            && let Some(joined) = before.joined(last)?
        {
            chunks.truncate(chunks.len() - 2);
            chunks.push(joined);
        }
        Ok((chunks.len() < self.chunks.len()).then_some(Self { chunks }))
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
    pub(super) fn apply(&mut self, changes: Vec<ffi::PostingChange>) -> Result<()> {
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

    /// Appends the chunks of an insert to postings that are being loaded.
    pub(super) fn load(&mut self, changes: Vec<ffi::PostingChange>) -> Result<()> {
        for change in changes {
            let ffi::PostingChange::Append(id, chunk) = change else {
                return Err(Error::internal("an insert changed more than it adds"));
            };
            Arc::make_mut(self.slot(id).get_or_insert_default()).load(chunk)?;
        }
        Ok(())
    }

    /// Makes the chunks of each posting that are in memory alone one.
    pub(super) fn tidy(&mut self) -> Result<()> {
        let ids: Vec<u32> = self.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(posting) =
                self.get(id).map(|posting| posting.tidied()).transpose()?.flatten()
            {
                self.set(id, Some(posting));
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
