//! The stairs down to the core: the declarations of the bridge, and a safe face for each of its objects.
//! The one file with `unsafe`; the bridge's own types stay in it and its folder, but for plain ones.
//!
//! ```text
//!   version     an immutable picture of the index       chunk       the entries of a posting
//!   search      one search                              rebuild     postings that are made anew
//!   builder     a bulk build                            calibrator  the stop rule learns
//!   verifier    everything is counted                   distance    without an index
//!   threads     what of the system only C reaches
//! ```
//!
//! Failure crosses by value and becomes an [`Error`] here.

#![expect(unsafe_code, reason = "the bridge to C++, and Send and Sync for its objects")]
#![expect(unreachable_pub, unused_qualifications, reason = "cxx generates it so")]

#[forbid(unsafe_code)]
mod builder;
#[forbid(unsafe_code)]
mod calibrator;
#[forbid(unsafe_code)]
mod chunk;
#[forbid(unsafe_code)]
mod distance;
#[forbid(unsafe_code)]
mod options;
#[forbid(unsafe_code)]
mod rebuild;
#[forbid(unsafe_code)]
mod search;
#[forbid(unsafe_code)]
mod threads;
#[forbid(unsafe_code)]
mod verifier;
#[forbid(unsafe_code)]
mod version;

use crate::error::{Error, Result, SqlState};
pub(super) use bridge::{Task, Verified};
pub(super) use builder::Builder;
pub(super) use calibrator::Calibrator;
pub(super) use chunk::Chunk;
pub(super) use distance::{distances, distances_at, kernel_target};
pub(super) use options::check_options;
pub(super) use rebuild::Rebuild;
pub(super) use search::{Request, Search};
pub use threads::set_thread_slice;
pub(super) use verifier::Verifier;
pub(super) use version::{Change, PostingChange, Version};

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
        spill: u8,
        spill_lambda: f32,
        code_bits: u32,
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
        fn search_next_likely(
            search: Pin<&mut Search>,
            depth: f32,
            most: u32,
            postings: &mut Vec<u32>,
        ) -> Status;
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
        fn search_hits(search: &Search) -> Hits;

        fn builder_sample_rows(options: &Options, rows: u64, bytes: u64) -> u64;
        fn builder_begin(options: &Options, rows: u64, sample_rows: u64) -> MadeBuilder;
        fn builder_add_sample(builder: Pin<&mut Builder>, vectors: &[f32]) -> Status;
        fn builder_start(builder: Pin<&mut Builder>) -> Status;
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

        fn set_thread_slice(nanos: u64) -> i32;
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
