//! Where texts go in to wait for their model: how many may, and which need not since their vectors are
//! known.

use super::{
    Asked, Embedding, Options,
    batch::{Shared, Worker, stopping},
    cache::Recent,
    job::{Answer, Ask, Job, QUESTION_TEXTS_MAX},
    model::check_bytes,
};
use crate::{
    clock::SharedClock,
    error::{Error, Result},
    ids::Oid,
    telemetry::Metrics,
};
use std::{fmt, sync::Arc, thread::JoinHandle};
use tokio::sync::Semaphore;

/// Only texts up to this size are remembered.
const REMEMBERED_BYTES_MAX: usize = 2 << 10;

/// Where texts wait, and the workers behind it.
pub(super) struct Queue {
    shared: Arc<Shared>,
    /// A room of their own, so that loads never keep questions out.
    room_of_questions: Arc<Semaphore>,
    room_of_loads: Arc<Semaphore>,
    recent: Recent,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn start(
        options: Options,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Result<Self> {
        // Tokenizing is a fiftieth of the work; its own threads would come on top of the budget.
        tokenizers::utils::parallelism::set_parallelism(false);
        let shared = Arc::new(Shared::new(options, metrics, clock)?);
        let options = &shared.options;
        let mut queue = Self {
            room_of_questions: Arc::new(Semaphore::new(options.queue_texts_max)),
            room_of_loads: Arc::new(Semaphore::new(options.queue_texts_max)),
            recent: Recent::new(options.cache_bytes_max),
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        for number in 0..shared.options.workers() {
            let worker = Worker::new(Arc::clone(&shared), number);
            let on_thread_start = shared.options.on_thread_start;
            let thread = std::thread::Builder::new()
                .name("nearlake-embed".to_owned())
                .stack_size(16 << 20)
                .spawn(move || {
                    on_thread_start();
                    worker.work();
                });
            let started =
                thread.map_err(|error| Error::internal("cannot start a thread").source(error))?;
            queue.threads.push(started);
        }
        Ok(queue)
    }

    pub(super) async fn embed(
        &self,
        model: &Asked,
        texts: Vec<Arc<str>>,
    ) -> Result<Vec<Embedding>> {
        let remembers = |text: &Arc<str>| text.len() <= REMEMBERED_BYTES_MAX;
        if texts.len() > QUESTION_TEXTS_MAX || !texts.iter().all(remembers) {
            return self.run(model, texts).await;
        }
        let mut vectors: Vec<Option<Embedding>> = texts
            .iter()
            .map(|text| self.recent.vector(model.id, model.fingerprint, text))
            .collect();
        let missing: Vec<usize> = (0..texts.len()).filter(|&at| vectors[at].is_none()).collect();
        self.shared
            .metrics
            .embed_cache
            .with_label_values(&["hit"])
            .inc_by((texts.len() - missing.len()) as u64);
        self.shared.metrics.embed_cache.with_label_values(&["miss"]).inc_by(missing.len() as u64);
        if !missing.is_empty() {
            let asked = missing.iter().map(|&at| Arc::clone(&texts[at])).collect();
            for (&at, vector) in missing.iter().zip(self.run(model, asked).await?) {
                self.recent.keep(model.id, model.fingerprint, &texts[at], &vector);
                vectors[at] = Some(vector);
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }

    async fn run(&self, model: &Asked, texts: Vec<Arc<str>>) -> Result<Vec<Embedding>> {
        // More than the queue holds goes in by parts.
        let mut vectors = Vec::with_capacity(texts.len());
        for part in texts.chunks(self.shared.options.queue_texts_max) {
            match self.ask(model, Ask::Embed(part.to_vec())).await? {
                Answer::Vectors(more) => vectors.extend(more),
                Answer::Scores(_) => return Err(Error::internal("scores are no vectors")),
            }
        }
        Ok(vectors)
    }

    /// Waits for room, then for the answer.
    pub(super) async fn ask(&self, model: &Asked, ask: Ask) -> Result<Answer> {
        let (query, texts) = match ask {
            Ask::Embed(texts) => (None, texts),
            Ask::Rerank { query, documents } => (Some(query), documents),
        };
        if texts.is_empty() {
            return Ok(if query.is_some() {
                Answer::Scores(Vec::new())
            } else {
                Answer::Vectors(Vec::new())
            });
        }
        texts.iter().try_for_each(|text| check_bytes(text))?;
        let wanted =
            u32::try_from(texts.len().min(self.shared.options.queue_texts_max)).unwrap_or(1);
        let is_question = texts.len() <= QUESTION_TEXTS_MAX;
        let room = if is_question { &self.room_of_questions } else { &self.room_of_loads };
        let room = Arc::clone(room).acquire_many_owned(wanted).await;
        let room = room.map_err(|_| stopping())?;
        let (job, answer) = Job::new(model.clone(), (query, texts), room, &self.shared.metrics);
        self.shared.ask(job)?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    pub(super) fn loaded(&self) -> Vec<Oid> {
        self.shared.loaded()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A run is over soon; it must not outlive the node.
            let _ = thread.join();
        }
    }
}

/// The scores of an answer to [`Ask::Rerank`].
pub(super) fn scores(answer: Answer) -> Vec<f32> {
    match answer {
        Answer::Scores(scores) => scores,
        Answer::Vectors(_) => Vec::new(),
    }
}
