//! The stairs down to the core: the declarations of the bridge, and a safe face for each of its
//! objects. The one file with `unsafe`; the bridge's own types do not leave it.
//!
//! Failure crosses by value and becomes an [`Error`] here.

#![expect(unsafe_code, reason = "the bridge to C++, and Send and Sync for its objects")]
#![expect(unreachable_pub, unused_qualifications, reason = "cxx generates it so")]

use super::options::IndexOptions;
use crate::{
    error::{Error, Result, SqlState},
    ids::{RowId, RowSet},
    vector::Metric,
};
use cxx::{SharedPtr, UniquePtr};
use std::fmt;

#[cxx::bridge(namespace = "nearlake")]
mod bridge {
    #[derive(Debug)]
    struct Status {
        code: u8,
        message: String,
    }
    struct Options {
        metric: u8,
        dims: u32,
        posting_target: u32,
        posting_max: u32,
        posting_min: u32,
        spill: bool,
        spill_lambda: f32,
        seed: u64,
    }
    struct Request {
        k: u32,
        recall_target: f32,
        probes_min: u32,
        below: u64,
    }
    struct Hit {
        row: u64,
        distance: f32,
    }
    struct Hits {
        status: Status,
        hits: Vec<Hit>,
        probes: u32,
        scanned: u64,
    }
    /// What a step of upkeep does.
    #[derive(Debug)]
    enum Task {
        None = 0,
        Rebuild = 1,
        Refine = 2,
        Scrub = 3,
    }
    struct Work {
        task: Task,
        posting: u32,
    }
    /// What a verifier counted.
    #[derive(Debug)]
    struct Verified {
        status: Status,
        entries: u64,
        dead: u64,
        placed: u64,
        misplaced: u64,
        outside: u64,
        compared: u64,
        untrue: u64,
        estimates: u64,
        unbounded: u64,
        largest: u32,
        overfull: u32,
        faults: Vec<String>,
    }
    struct ChangedPosting {
        posting: u32,
        kind: u8,
        chunk: SharedPtr<Chunk>,
    }
    struct MadeVersion {
        status: Status,
        value: SharedPtr<Version>,
    }
    struct MadeChunk {
        status: Status,
        value: SharedPtr<Chunk>,
    }
    struct MadeChange {
        status: Status,
        value: UniquePtr<Change>,
    }
    struct MadeRebuild {
        status: Status,
        value: UniquePtr<Rebuild>,
    }
    struct MadeVerifier {
        status: Status,
        value: UniquePtr<Verifier>,
    }
    struct RebuildCounts {
        checked: u64,
        moved: u64,
    }
    struct MadeSearch {
        status: Status,
        value: UniquePtr<Search>,
    }
    struct MadeBuilder {
        status: Status,
        value: UniquePtr<Builder>,
    }
    struct MadeCalibrator {
        status: Status,
        value: UniquePtr<Calibrator>,
    }

    unsafe extern "C++" {
        include!("bridge.h");

        #[namespace = "spfresh"]
        type Version;
        #[namespace = "spfresh"]
        type Chunk;
        #[namespace = "spfresh"]
        type Change;
        #[namespace = "spfresh"]
        type Rebuild;
        #[namespace = "spfresh"]
        type Search;
        #[namespace = "spfresh"]
        type Builder;
        #[namespace = "spfresh"]
        type Calibrator;
        #[namespace = "spfresh"]
        type Verifier;

        fn check_options(options: &Options) -> Status;
        fn distances(metric: u8, query: &[f32], vectors: &[f32], out: &mut [f64]);
        fn distances_at(metric: u8, query: &[f32], vectors: &[f32], at: &[u32], out: &mut [f64]);
        fn kernel_target() -> &'static str;

        fn chunk_parse(bytes: &[u8], stride: u32) -> MadeChunk;
        fn chunk_with_records(chunk: &Chunk, bytes: &[u8]) -> MadeChunk;
        fn chunk_without_records(chunk: &Chunk) -> MadeChunk;
        fn chunk_join(first: &Chunk, second: &Chunk) -> MadeChunk;
        fn chunk_scan_bytes(chunk: &Chunk) -> &[u8];
        fn chunk_record_bytes(chunk: &Chunk) -> &[u8];
        fn chunk_words(chunk: &Chunk, out: &mut Vec<u64>) -> Status;
        #[cxx_name = "has_records"]
        fn chunk_has_records(self: &Chunk) -> bool;
        #[cxx_name = "size"]
        fn chunk_size(self: &Chunk) -> u32;

        fn version_empty(options: &Options) -> MadeVersion;
        fn version_open(bytes: &[u8]) -> MadeVersion;
        fn version_serialize(version: &Version, out: &mut Vec<u8>) -> Status;
        fn version_insert(version: &Version, rows: &[u64], vectors: &[f32]) -> MadeChange;
        fn version_merge(version: &Version, base: &Version, sibling: &Version) -> MadeVersion;
        fn version_loaded(version: &Version) -> MadeVersion;
        fn version_order(version: &Version, postings: &mut Vec<u32>) -> Status;
        fn version_next_work(version: &Version) -> Work;
        fn version_next_tending(version: &Version) -> Work;
        fn version_has_place(version: &Version, vector: &[f32]) -> bool;
        fn version_in_use(version: &Version, posting: u32) -> bool;
        fn version_entries_of(version: &Version, posting: u32) -> u32;
        fn version_dims(version: &Version) -> u32;
        fn stride(self: &Version) -> u32;
        fn postings(self: &Version) -> u32;
        fn capacity(self: &Version) -> u32;
        fn entries(self: &Version) -> u64;
        fn calibrated_entries(self: &Version) -> u64;
        #[cxx_name = "WantsCalibration"]
        fn wants_calibration(self: &Version) -> bool;

        fn change_version(change: &Change) -> SharedPtr<Version>;
        fn change_postings(change: &Change) -> usize;
        fn change_posting(change: &Change, at: usize) -> ChangedPosting;
        fn change_left_out(change: &Change) -> &[u64];

        fn rebuild_begin(version: &SharedPtr<Version>, task: Task, posting: u32) -> MadeRebuild;
        fn rebuild_own(rebuild: &Rebuild, postings: &mut Vec<u32>) -> Status;
        fn rebuild_add_own(rebuild: Pin<&mut Rebuild>, chunk: &Chunk, live: &[u8]) -> Status;
        fn rebuild_plan(rebuild: Pin<&mut Rebuild>, neighbours: &mut Vec<u32>) -> Status;
        fn rebuild_add_neighbour(
            rebuild: Pin<&mut Rebuild>,
            posting: u32,
            chunk: &Chunk,
            live: &[u8],
        ) -> Status;
        fn rebuild_finish(rebuild: Pin<&mut Rebuild>) -> MadeChange;
        fn rebuild_counts(rebuild: &Rebuild) -> RebuildCounts;

        fn search_begin(
            version: &SharedPtr<Version>,
            query: &[f32],
            request: &Request,
        ) -> MadeSearch;
        fn search_next(search: Pin<&mut Search>, most: u32, postings: &mut Vec<u32>) -> Status;
        fn search_score(search: Pin<&mut Search>, chunk: &Chunk) -> Status;
        fn search_score_allowed(
            search: Pin<&mut Search>,
            chunk: &Chunk,
            base: u64,
            words: &[u64],
        ) -> Status;
        fn search_score_scan(search: Pin<&mut Search>, chunk: &Chunk, number: u32) -> Status;
        fn search_score_scan_allowed(
            search: Pin<&mut Search>,
            chunk: &Chunk,
            number: u32,
            base: u64,
            words: &[u64],
        ) -> Status;
        fn search_wanted(search: Pin<&mut Search>, numbers: &mut Vec<u32>) -> Status;
        fn search_score_records(search: Pin<&mut Search>, chunk: &Chunk, number: u32) -> Status;
        #[cxx_name = "PassOver"]
        fn pass_over(self: Pin<&mut Search>, entries: u32);
        fn scanned(self: &Search) -> u64;
        fn seen(self: &Search) -> u64;
        fn visible(self: &Search) -> u64;
        fn wants_all_records(self: &Search) -> bool;
        #[cxx_name = "Needed"]
        fn needed(self: &Search) -> u32;
        fn search_hits(search: &Search) -> Hits;

        fn builder_begin(options: &Options, rows: u64, sample: &[f32]) -> MadeBuilder;
        fn builder_train(builder: Pin<&mut Builder>, threads: u32, more: &mut bool) -> Status;
        fn builder_trained(builder: &Builder) -> f32;
        fn builder_version(builder: &Builder) -> MadeVersion;

        fn calibrator_begin(version: &SharedPtr<Version>) -> MadeCalibrator;
        fn calibrator_sample_postings(calibrator: &Calibrator, postings: &mut Vec<u32>) -> Status;
        fn calibrator_wanted(calibrator: &Calibrator) -> usize;
        fn calibrator_add_sample(calibrator: Pin<&mut Calibrator>, chunk: &Chunk) -> Status;
        fn calibrator_add_posting(
            calibrator: Pin<&mut Calibrator>,
            posting: u32,
            chunk: &Chunk,
            live: &[u8],
        ) -> Status;
        fn calibrator_finish(calibrator: Pin<&mut Calibrator>) -> MadeVersion;

        fn verifier_begin(version: &SharedPtr<Version>) -> MadeVerifier;
        fn verifier_add_chunk(
            verifier: Pin<&mut Verifier>,
            posting: u32,
            chunk: &Chunk,
            live: &[u8],
        ) -> Status;
        fn verifier_compare(
            verifier: Pin<&mut Verifier>,
            chunk: &Chunk,
            entry: u32,
            vector: &[f32],
            query: &[f32],
        ) -> Status;
        fn verifier_found(verifier: &Verifier) -> Verified;
    }
}

// SAFETY: version.h promises that const methods may run concurrently and that nothing else touches a
// version; the bridge declares only functions that take it by shared reference, which are const in
// C++. It owns memory alone, nothing bound to a thread.
unsafe impl Send for bridge::Version {}
// SAFETY: as above.
unsafe impl Sync for bridge::Version {}
// SAFETY: chunk.h promises that a chunk is immutable after construction; the bridge declares only
// functions that take it by shared reference. It owns memory alone.
unsafe impl Send for bridge::Chunk {}
// SAFETY: as above.
unsafe impl Sync for bridge::Chunk {}
// SAFETY: a change is plain memory and shared pointers to versions and chunks, whose counts are atomic;
// it is owned by one UniquePtr and used by one thread at a time.
unsafe impl Send for bridge::Change {}
// SAFETY: rebuild.h asks for one thread at a time, not for the same one, and `&mut` gives that. It owns
// memory and a shared pointer to a version.
unsafe impl Send for bridge::Rebuild {}
// SAFETY: as for Rebuild, by search.h. Its const methods change nothing.
unsafe impl Send for bridge::Search {}
// SAFETY: as above.
unsafe impl Sync for bridge::Search {}
// SAFETY: as for Rebuild, by build.h.
unsafe impl Send for bridge::Builder {}
// SAFETY: its const methods change nothing.
unsafe impl Sync for bridge::Builder {}
// SAFETY: as for Rebuild, by calibrate.h.
unsafe impl Send for bridge::Calibrator {}
// SAFETY: its const methods change nothing.
unsafe impl Sync for bridge::Calibrator {}
// SAFETY: as for Rebuild, by verify.h.
unsafe impl Send for bridge::Verifier {}
// SAFETY: its const methods change nothing.
unsafe impl Sync for bridge::Verifier {}

/// Why stored bytes could not be read is told without the object's name; the caller knows it.
fn checked(status: bridge::Status) -> Result<()> {
    let state = match status.code {
        0 => return Ok(()),
        1 => SqlState::DATA_EXCEPTION,
        2 => SqlState::DATA_CORRUPTED,
        4 => SqlState::OUT_OF_MEMORY,
        _ => SqlState::INTERNAL_ERROR,
    };
    Err(Error::new(state, status.message))
}

/// What the core calls a metric between vectors.
fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::L2 => 0,
        Metric::InnerProduct => 1,
        Metric::Cosine => 2,
        Metric::L1 => 3,
        Metric::Hamming | Metric::Jaccard => unreachable!("{metric} is between bit strings"),
    }
}

fn options(options: &IndexOptions) -> bridge::Options {
    bridge::Options {
        metric: metric_code(options.metric),
        dims: options.dims,
        posting_target: options.posting_target,
        posting_max: options.posting_max,
        posting_min: options.posting_min,
        spill: options.spill,
        spill_lambda: options.spill_lambda,
        seed: options.seed,
    }
}

pub(super) fn check_options(wanted: &IndexOptions) -> Result<()> {
    checked(bridge::check_options(&options(wanted)))
}

/// `vectors` holds `out.len()` vectors as long as `query`; the caller has checked it.
pub(super) fn distances(metric: Metric, query: &[f32], vectors: &[f32], out: &mut [f64]) {
    assert_eq!(Some(vectors.len()), query.len().checked_mul(out.len()));
    bridge::distances(metric_code(metric), query, vectors, out);
}

/// `vectors` holds vectors as long as `query`; `at` and `out` are of one length.
pub(super) fn distances_at(
    metric: Metric,
    query: &[f32],
    vectors: &[f32],
    at: &[u32],
    out: &mut [f64],
) {
    let rows = vectors.len().checked_div(query.len()).unwrap_or(0);
    assert_eq!(at.len(), out.len());
    assert!(at.iter().all(|&row| (row as usize) < rows));
    if rows > 0 {
        bridge::distances_at(metric_code(metric), query, vectors, at, out);
    }
}

/// Which instructions the kernels use here.
pub(super) fn kernel_target() -> &'static str {
    bridge::kernel_target()
}

/// The chunk of a posting: entries as bytes.
#[derive(Clone)]
pub(super) struct Chunk(SharedPtr<bridge::Chunk>);

impl Chunk {
    pub(super) fn parse(bytes: &[u8], stride: u32) -> Result<Self> {
        let made = bridge::chunk_parse(bytes, stride);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// This chunk with its records, read from its second part.
    pub(super) fn with_records(&self, bytes: &[u8]) -> Result<Self> {
        let made = bridge::chunk_with_records(&self.0, bytes);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(super) fn without_records(&self) -> Result<Self> {
        let made = bridge::chunk_without_records(&self.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(super) fn has_records(&self) -> bool {
        self.0.chunk_has_records()
    }

    pub(super) fn join(&self, next: &Self) -> Result<Self> {
        let made = bridge::chunk_join(&self.0, &next.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// Its first part: what it is of, its rows, and what a scan reads.
    pub(super) fn scan_bytes(&self) -> &[u8] {
        bridge::chunk_scan_bytes(&self.0)
    }

    /// Its second part; nothing without records.
    pub(super) fn record_bytes(&self) -> &[u8] {
        bridge::chunk_record_bytes(&self.0)
    }

    pub(super) fn entries(&self) -> u32 {
        self.0.chunk_size()
    }

    /// The posting whose centroid its entries are coded by, as its header names it (docs/format/posting.md).
    pub(super) fn posting(&self) -> u32 {
        let named = self.scan_bytes().get(16..).and_then(<[u8]>::first_chunk);
        u32::from_le_bytes(*named.expect("a chunk has a header"))
    }

    /// The rows, with [`SPILLED`](super::posting::SPILLED) on the second copies.
    pub(super) fn words(&self) -> Result<Vec<u64>> {
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

/// What becomes of one posting's chunks.
#[derive(Debug)]
pub(super) enum PostingChange {
    Append(u32, Chunk),
    Replace(u32, Option<Chunk>),
    Remove(u32),
}

/// A new version, and what it makes of the postings.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) version: Version,
    pub(super) postings: Vec<PostingChange>,
    pub(super) left_out: Vec<u64>,
}

impl Change {
    fn made(made: bridge::MadeChange) -> Result<Self> {
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

pub(super) use bridge::{Task, Verified};

/// One immutable picture of the index.
#[derive(Clone)]
pub(super) struct Version(SharedPtr<bridge::Version>);

impl Version {
    pub(super) fn empty(wanted: &IndexOptions) -> Result<Self> {
        Self::made(bridge::version_empty(&options(wanted)))
    }

    pub(super) fn open(bytes: &[u8]) -> Result<Self> {
        Self::made(bridge::version_open(bytes))
    }

    fn made(made: bridge::MadeVersion) -> Result<Self> {
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(super) fn serialize(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        checked(bridge::version_serialize(&self.0, &mut bytes))?;
        Ok(bytes)
    }

    pub(super) fn insert(&self, rows: &[u64], vectors: &[f32]) -> Result<Change> {
        Change::made(bridge::version_insert(&self.0, rows, vectors))
    }

    /// With what a sibling has beyond `base`, of which both were made by inserts alone.
    pub(super) fn merge(&self, base: &Self, sibling: &Self) -> Result<Self> {
        Self::made(bridge::version_merge(&self.0, &base.0, &sibling.0))
    }

    /// The same when all was inserted that its centroids were trained for.
    pub(super) fn loaded(&self) -> Result<Self> {
        Self::made(bridge::version_loaded(&self.0))
    }

    /// All postings, those that are near to each other mostly near in the order too.
    pub(super) fn order(&self) -> Result<Vec<u32>> {
        let mut postings = Vec::new();
        checked(bridge::version_order(&self.0, &mut postings))?;
        Ok(postings)
    }

    /// What a posting wants by its size.
    pub(super) fn next_work(&self) -> Option<(Task, u32)> {
        wanted(&bridge::version_next_work(&self.0))
    }

    /// What is worth doing when nothing else is to be done.
    pub(super) fn next_tending(&self) -> Option<(Task, u32)> {
        wanted(&bridge::version_next_tending(&self.0))
    }

    pub(super) fn has_place(&self, vector: &[f32]) -> bool {
        bridge::version_has_place(&self.0, vector)
    }

    pub(super) fn in_use(&self, posting: u32) -> bool {
        bridge::version_in_use(&self.0, posting)
    }

    pub(super) fn entries_of(&self, posting: u32) -> u32 {
        bridge::version_entries_of(&self.0, posting)
    }

    pub(super) fn dims(&self) -> u32 {
        bridge::version_dims(&self.0)
    }

    pub(super) fn stride(&self) -> u32 {
        self.0.stride()
    }

    pub(super) fn postings(&self) -> u32 {
        self.0.postings()
    }

    pub(super) fn capacity(&self) -> u32 {
        self.0.capacity()
    }

    pub(super) fn entries(&self) -> u64 {
        self.0.entries()
    }

    pub(super) fn calibrated_entries(&self) -> u64 {
        self.0.calibrated_entries()
    }

    pub(super) fn wants_calibration(&self) -> bool {
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

/// Postings being made anew.
pub(super) struct Rebuild(UniquePtr<bridge::Rebuild>);

impl Rebuild {
    pub(super) fn begin(version: &Version, task: Task, posting: u32) -> Result<Self> {
        let made = bridge::rebuild_begin(&version.0, task, posting);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// The postings that are made anew: their chunks are wanted first.
    pub(super) fn own(&self) -> Result<Vec<u32>> {
        let mut postings = Vec::new();
        checked(bridge::rebuild_own(&self.0, &mut postings))?;
        Ok(postings)
    }

    pub(super) fn add_own(&mut self, chunk: &Chunk, live: &[u8]) -> Result<()> {
        checked(bridge::rebuild_add_own(self.0.pin_mut(), &chunk.0, live))
    }

    pub(super) fn plan(&mut self) -> Result<Vec<u32>> {
        let mut neighbours = Vec::new();
        checked(bridge::rebuild_plan(self.0.pin_mut(), &mut neighbours))?;
        Ok(neighbours)
    }

    pub(super) fn add_neighbour(&mut self, posting: u32, chunk: &Chunk, live: &[u8]) -> Result<()> {
        checked(bridge::rebuild_add_neighbour(self.0.pin_mut(), posting, &chunk.0, live))
    }

    /// The change, and how many entries were looked at and moved for it.
    pub(super) fn finish(mut self) -> Result<(Change, bridge::RebuildCounts)> {
        let change = Change::made(bridge::rebuild_finish(self.0.pin_mut()))?;
        Ok((change, bridge::rebuild_counts(&self.0)))
    }
}

/// What a search asks of the core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) k: u32,
    pub(super) recall_target: f32,
    pub(super) probes_min: u32,
    pub(super) below: RowId,
}

/// What the core found.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) hits: Vec<(RowId, f32)>,
    pub(super) probes: u32,
    pub(super) scanned: u64,
}

/// One search.
pub(super) struct Search(UniquePtr<bridge::Search>);

impl Search {
    pub(super) fn begin(version: &Version, query: &[f32], request: Request) -> Result<Self> {
        let wanted = bridge::Request {
            k: request.k,
            recall_target: request.recall_target,
            probes_min: request.probes_min,
            below: request.below.0,
        };
        let made = bridge::search_begin(&version.0, query, &wanted);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(super) fn next(&mut self, most: u32, postings: &mut Vec<u32>) -> Result<()> {
        checked(bridge::search_next(self.0.pin_mut(), most, postings))
    }

    pub(super) fn score(&mut self, chunk: &Chunk, allowed: Option<&RowSet>) -> Result<()> {
        let search = self.0.pin_mut();
        checked(match allowed {
            None => bridge::search_score(search, &chunk.0),
            Some(rows) => bridge::search_score_allowed(search, &chunk.0, rows.base(), rows.words()),
        })
    }

    /// A chunk without its records, which is known by `number` from now on.
    pub(super) fn score_scan(
        &mut self,
        chunk: &Chunk,
        number: u32,
        allowed: Option<&RowSet>,
    ) -> Result<()> {
        let search = self.0.pin_mut();
        checked(match allowed {
            None => bridge::search_score_scan(search, &chunk.0, number),
            Some(rows) => {
                let (base, words) = (rows.base(), rows.words());
                bridge::search_score_scan_allowed(search, &chunk.0, number, base, words)
            }
        })
    }

    /// So many entries of postings that were named may not be found, as is known without them.
    pub(super) fn pass_over(&mut self, entries: u32) {
        self.0.pin_mut().pass_over(entries);
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        let Self(search) = self;
        Seen { scanned: search.scanned(), entries: search.seen(), visible: search.visible() }
    }

    /// The numbers of the chunks whose records are wanted next.
    pub(super) fn wanted(&mut self) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        checked(bridge::search_wanted(self.0.pin_mut(), &mut numbers))?;
        Ok(numbers)
    }

    pub(super) fn score_records(&mut self, chunk: &Chunk, number: u32) -> Result<()> {
        checked(bridge::search_score_records(self.0.pin_mut(), &chunk.0, number))
    }

    /// Whether chunks are of no use without their records.
    pub(super) fn wants_all_records(&self) -> bool {
        self.0.wants_all_records()
    }

    /// How many postings it would have taken, had the answer been known.
    pub(super) fn needed(&self) -> u32 {
        self.0.needed()
    }

    pub(super) fn answer(&self) -> Result<Answer> {
        let hits = bridge::search_hits(&self.0);
        checked(hits.status)?;
        Ok(Answer {
            hits: hits.hits.iter().map(|hit| (RowId(hit.row), hit.distance)).collect(),
            probes: hits.probes,
            scanned: hits.scanned,
        })
    }
}

/// Entries that a search has come by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Those that were scored.
    pub(super) scanned: u64,
    /// All, those that were passed over too.
    pub(super) entries: u64,
    /// Of these, about how many may be found.
    pub(super) visible: u64,
}

/// A bulk build.
pub(super) struct Builder(UniquePtr<bridge::Builder>);

impl Builder {
    pub(super) fn begin(wanted: &IndexOptions, rows: u64, sample: &[f32]) -> Result<Self> {
        let made = bridge::builder_begin(&options(wanted), rows, sample);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// Does a part of the training on so many threads; whether there is more.
    pub(super) fn train(&mut self, threads: usize) -> Result<bool> {
        let (threads, mut more) = (u32::try_from(threads).unwrap_or(u32::MAX), false);
        checked(bridge::builder_train(self.0.pin_mut(), threads, &mut more))?;
        Ok(more)
    }

    pub(super) fn trained(&self) -> f32 {
        bridge::builder_trained(&self.0)
    }

    /// The trained centroids, without an entry.
    pub(super) fn version(&self) -> Result<Version> {
        Version::made(bridge::builder_version(&self.0))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("trained", &self.trained()).finish()
    }
}

/// A calibration of the stop rule.
pub(super) struct Calibrator(UniquePtr<bridge::Calibrator>);

impl Calibrator {
    pub(super) fn begin(version: &Version) -> Result<Self> {
        let made = bridge::calibrator_begin(&version.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(super) fn sample_postings(&self) -> Result<Vec<u32>> {
        let mut postings = Vec::new();
        checked(bridge::calibrator_sample_postings(&self.0, &mut postings))?;
        Ok(postings)
    }

    pub(super) fn wanted(&self) -> usize {
        bridge::calibrator_wanted(&self.0)
    }

    pub(super) fn add_sample(&mut self, chunk: &Chunk) -> Result<()> {
        checked(bridge::calibrator_add_sample(self.0.pin_mut(), &chunk.0))
    }

    pub(super) fn add_posting(&mut self, posting: u32, chunk: &Chunk, live: &[u8]) -> Result<()> {
        checked(bridge::calibrator_add_posting(self.0.pin_mut(), posting, &chunk.0, live))
    }

    pub(super) fn finish(mut self) -> Result<Version> {
        Version::made(bridge::calibrator_finish(self.0.pin_mut()))
    }
}

/// A count of all that an index is made of.
pub(super) struct Verifier(UniquePtr<bridge::Verifier>);

impl Verifier {
    pub(super) fn begin(version: &Version) -> Result<Self> {
        let made = bridge::verifier_begin(&version.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(super) fn add_chunk(&mut self, posting: u32, chunk: &Chunk, live: &[u8]) -> Result<()> {
        checked(bridge::verifier_add_chunk(self.0.pin_mut(), posting, &chunk.0, live))
    }

    pub(super) fn compare(
        &mut self,
        chunk: &Chunk,
        entry: u32,
        vector: &[f32],
        query: &[f32],
    ) -> Result<()> {
        let chunk = &chunk.0;
        checked(bridge::verifier_compare(self.0.pin_mut(), chunk, entry, vector, query))
    }

    pub(super) fn found(&self) -> Result<Verified> {
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
