//! Text to vectors: models that run inside the server.
//!
//! ```text
//!  a statement ─┐
//!  a statement ─┼─> queue (bounded) ─> two workers: runs of one model ─> vectors, each to its asker
//!  upkeep      ─┘  queue.rs, waiting.rs    batch.rs, model.rs, runtime.rs      answers.rs
//! ```
//!
//! - [`spec`]: what a model is, as the catalog keeps it.
//! - [`files`]: the folder of a model: which files make its vectors, and their checksums.
//! - [`hub`]: models by name, fetched into a folder.
//! - `runtime`: finds ONNX Runtime and loads it, once, when a model is first used.
//! - `model`: one model in memory; the only file that knows fastembed.
//! - `queue`: where texts go in to wait for their model; `waiting`: whose run next; `job`: the texts of
//!   one asker, piece by piece.
//! - `batch`: texts of many sessions in one run; `answers`: how what a run made leaves.
//! - `cache`: vectors of texts that were asked for lately.
//!
//! Nothing here runs on the threads that serve clients: asking is a future, models have threads
//! of their own, as many as the node may spend, none of which spins. A text becomes the same vector in
//! whatever company it is asked for, up to the rounding of single precision.

mod answers;
mod batch;
mod cache;
pub mod files;
pub mod hub;
mod job;
mod model;
mod queue;
mod runtime;
pub mod spec;
mod waiting;

pub use hub::Hub;
pub use spec::{Normalize, Overflow, Pooling, Purpose, Spec};

use crate::{clock::SharedClock, error::Result, ids::Oid, telemetry::Metrics};
use job::Ask;
use queue::Queue;
use std::{path::PathBuf, sync::Arc};

/// A vector of a model's.
pub type Embedding = Arc<[f32]>;

/// The bounds of what models may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where ONNX Runtime is: its library, or a folder that holds it.
    pub runtime: Option<PathBuf>,
    /// How many threads compute.
    pub threads: usize,
    /// Called by each thread that runs models as it begins: those that compute are made by them.
    pub on_thread_start: fn(),
    /// How many texts of questions may wait, and how many of loads; who brings more waits before the
    /// queue.
    pub queue_texts_max: usize,
    /// How many texts one run takes.
    pub run_texts_max: usize,
    /// How many tokens one run takes, padding included.
    pub run_tokens_max: usize,
    /// How many models stay in memory; each once, or where more is asked of it than one run does, once
    /// for each of two.
    pub models_max: usize,
    /// How many bytes the vectors of texts that were asked for lately may take.
    pub cache_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            runtime: None,
            threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            on_thread_start: || {},
            queue_texts_max: 16_384,
            run_texts_max: 16,
            run_tokens_max: 16_384,
            models_max: 4,
            cache_bytes_max: 32 << 20,
        }
    }
}

impl Options {
    /// How many runs there are at a time: while the answers of one leave another computes. More would
    /// take more copies of a model.
    fn workers(&self) -> usize {
        self.threads.clamp(1, 2)
    }

    /// Of the threads, each run's share.
    fn threads_of_a_run(&self) -> usize {
        (self.threads / self.workers()).max(1)
    }
}

/// A model that is asked: which, and what it is at present.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its oid.
    pub id: Oid,
    /// What its vectors follow from, as one number: with another they may be others.
    pub fingerprint: u64,
    /// Its name, for messages.
    pub name: String,
    /// What it is.
    pub spec: Arc<Spec>,
}

/// The models of a node.
#[derive(Debug)]
pub struct Embedder {
    queue: Queue,
}

impl Embedder {
    /// Starts with no model in memory.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(options: Options, metrics: Arc<Metrics>, clock: SharedClock) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { queue: Queue::start(options, metrics, clock)? }))
    }

    /// The vectors of texts, in their order. Dropping the future takes back what has not run yet.
    ///
    /// # Errors
    /// 58P01 where the runtime or a file is missing, XX001 for files that are damaged, 55000 for
    /// files that have changed, 54000 for a text that is too long, 42809 for a model of another
    /// purpose.
    pub async fn embed(&self, model: &Asked, texts: Vec<Arc<str>>) -> Result<Vec<Embedding>> {
        model.spec.expect(Purpose::Embedding, &model.name)?;
        self.queue.embed(model, texts).await
    }

    /// How well documents answer a query, in their order: the model's logits, more is better.
    ///
    /// # Errors
    /// Those of [`Embedder::embed`].
    pub async fn rerank(
        &self,
        model: &Asked,
        query: Arc<str>,
        documents: Vec<Arc<str>>,
    ) -> Result<Vec<f32>> {
        model.spec.expect(Purpose::Reranking, &model.name)?;
        self.queue.ask(model, Ask::Rerank { query, documents }).await.map(queue::scores)
    }

    /// Which models are in memory.
    #[must_use]
    pub fn loaded(&self) -> Vec<Oid> {
        self.queue.loaded()
    }
}
