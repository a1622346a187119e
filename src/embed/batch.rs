//! Texts of many sessions in one run.
//!
//! A few workers run models, so many that while the answers of one run leave another computes, and so
//! few that the copies of a model, one for each of them, can be borne. The node's cores are shared out
//! among them, so that computing never takes more than its share of the machine. While runs compute,
//! others gather; the next takes as many texts of one model as it may, from whoever waits.
//!
//! What runs is a piece of a text, and a run takes so many pieces: a text of a thousand pieces takes
//! its turns like a load of a thousand texts; the pieces of a run go by length, so that little is
//! padding. Whoever stopped waiting is passed over. What fails, fails for its asker alone: where a run
//! of several askers does, each runs again by itself.

use super::{
    Asked, Options,
    answers::Answers,
    job::{Job, Made, Piece, Reply, guarded},
    model::Loaded,
    waiting::{Chosen, Key, Waiting, key},
};
use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    ids::Oid,
    telemetry::Metrics,
};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// Between askers and workers.
pub(super) struct Shared {
    pub(super) waiting: Mutex<Waiting>,
    /// There may be something for a worker to do.
    pub(super) changed: Condvar,
    pub(super) options: Options,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: SharedClock,
    pub(super) answers: Answers,
}

impl Shared {
    /// The models in memory.
    pub(super) fn loaded(&self) -> Vec<Oid> {
        let waiting = self.waiting.lock();
        let mut oids: Vec<Oid> = waiting.loaded.iter().flatten().map(|(id, _)| *id).collect();
        oids.sort_unstable();
        oids.dedup();
        oids
    }
}

/// Who runs models.
pub(super) struct Worker {
    shared: Arc<Shared>,
    number: usize,
    /// The one that was used last comes last.
    models: Vec<(Key, Loaded)>,
}

/// A piece of a run: whose it is.
#[derive(Clone)]
struct Item {
    job: Arc<Job>,
    piece: Piece,
}

impl Item {
    fn text(&self) -> &str {
        &self.job.texts[self.piece.place][self.piece.range.clone()]
    }
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Self {
        Self { shared, number, models: Vec::new() }
    }

    /// Runs what comes until all is over.
    pub(super) fn work(mut self) {
        while let Some(chosen) = self.next() {
            self.run(chosen);
        }
    }

    /// Waits for something to do; none when all is over.
    fn next(&self) -> Option<Chosen> {
        let mut waiting = self.shared.waiting.lock();
        loop {
            if waiting.is_closed {
                return None;
            }
            let chosen = waiting.choose(self.number, &self.shared.options);
            if !chosen.is_empty() {
                return Some(chosen);
            }
            if waiting.is_idle() {
                self.shared.answers.hurry();
            }
            self.shared.changed.wait(&mut waiting);
        }
    }

    /// Runs some texts of some jobs, and answers those that are done.
    fn run(&mut self, chosen: Chosen) {
        let began = self.shared.clock.elapsed();
        let jobs: Vec<Arc<Job>> = chosen.iter().map(|(job, _)| Arc::clone(job)).collect();
        match self.model(&jobs[0].model) {
            Ok(()) => self.run_loaded(chosen),
            Err(error) => {
                self.shared.metrics.embed_failures.inc();
                jobs.iter().for_each(|job| job.fail(again(&error)));
            }
        }
        let took = self.shared.clock.elapsed().saturating_sub(began);
        self.shared.metrics.embed_run_seconds.observe(took.as_secs_f64());
        self.shared.waiting.lock().end(self.number);
        let replies: Vec<Reply> = jobs.iter().filter_map(|job| job.reply_if_done()).collect();
        // Whoever is told within half of the next run has asked again before that ends.
        self.shared.answers.hand_out(replies, took / 2);
    }

    /// Takes pieces of jobs, gives back the jobs that have more, and runs the pieces on the model that
    /// was used last.
    fn run_loaded(&mut self, chosen: Chosen) {
        let (mut items, mut cut) = (Vec::new(), 0);
        for (job, pieces) in chosen {
            match job.take(pieces, &self.models.last().expect("a model is there").1, &mut cut) {
                Ok(pieces) => {
                    let item = |piece| Item { job: Arc::clone(&job), piece };
                    items.extend(pieces.into_iter().map(item));
                }
                Err(error) => {
                    self.shared.metrics.embed_failures.inc();
                    job.fail(error);
                }
            }
            if job.pieces_min() > 0 {
                self.shared.waiting.lock().give_back(job);
                self.shared.changed.notify_all();
            }
        }
        self.shared.metrics.embed_truncated.inc_by(cut);
        self.shared.metrics.embed_run_texts.observe(items.len() as f64);
        items.sort_by_key(|item| item.piece.tokens);
        if let Err(error) = self.compute(&items) {
            self.retry_alone(&items, &error);
        }
    }

    /// After a run that failed: each asker's pieces by themselves, so that only the guilty one fails.
    fn retry_alone(&mut self, items: &[Item], error: &Error) {
        let mut jobs: Vec<&Arc<Job>> = items.iter().map(|item| &item.job).collect();
        jobs.sort_unstable_by_key(|job| Arc::as_ptr(job));
        jobs.dedup_by(|job, before| Arc::ptr_eq(job, before));
        for job in &jobs {
            let is_own = |item: &&Item| Arc::ptr_eq(&item.job, job);
            let own: Vec<Item> = items.iter().filter(is_own).cloned().collect();
            let failed = if jobs.len() > 1 { self.compute(&own).err() } else { Some(again(error)) };
            if let Some(error) = failed {
                self.shared.metrics.embed_failures.inc();
                job.fail(error);
            }
        }
    }

    /// Computes pieces, the shortest first, and puts what they give with their jobs: all of it, or
    /// nothing. Looks between any two goes whether somebody still waits.
    fn compute(&mut self, items: &[Item]) -> Result<()> {
        let options = &self.shared.options;
        let model = &mut self.models.last_mut().expect("a model is there").1;
        let mut made: Vec<(&Item, Made)> = Vec::with_capacity(items.len());
        let mut rest: Vec<&Item> = items.iter().collect();
        loop {
            if self.shared.waiting.lock().is_closed {
                return Err(stopping());
            }
            rest.retain(|item| !item.job.is_over());
            let Some(first) = rest.first() else { break };
            let most = if model.is_alone() { 1 } else { options.run_texts_max };
            let fits = |count: usize| {
                count <= most
                    && (count == 1
                        || count * rest[count - 1].piece.tokens <= options.run_tokens_max)
            };
            let count = (1..=rest.len()).take_while(|&count| fits(count)).last().unwrap_or(1);
            let run: Vec<&str> = rest[..count].iter().map(|item| item.text()).collect();
            let gave: Vec<Made> = match &first.job.query {
                Some(query) => {
                    let scores = guarded(|| model.scores(query, &run))?;
                    scores.into_iter().map(Made::Score).collect()
                }
                None => {
                    let vectors = guarded(|| model.vectors(&run))?;
                    vectors.into_iter().map(Made::Vector).collect()
                }
            };
            made.extend(rest.drain(..count).zip(gave));
        }
        for (item, made) in made {
            item.job.keep(&item.piece, made, model);
        }
        Ok(())
    }

    /// Makes a model the one that was used last: it is in memory, or is read now.
    fn model(&mut self, asked: &Asked) -> Result<()> {
        let key = key(asked);
        if let Some(place) = self.models.iter().position(|(known, _)| *known == key) {
            let model = self.models.remove(place);
            self.models.push(model);
            return Ok(());
        }
        // What it was before is not asked for again.
        self.models.retain(|((id, _), _)| *id != asked.id);
        while self.models.len() >= self.shared.options.models_max {
            self.models.remove(0);
        }
        let began = self.shared.clock.elapsed();
        let loaded = guarded(|| Loaded::load(asked, &self.shared.options));
        if let Ok(model) = loaded {
            let took = self.shared.clock.elapsed().saturating_sub(began);
            tracing::info!(model = asked.name, ?took, "model is in memory");
            self.models.push((key, model));
            self.tell_loaded();
            return Ok(());
        }
        self.tell_loaded();
        loaded.map(drop)
    }

    fn tell_loaded(&self) {
        let keys = self.models.iter().map(|(key, _)| *key).collect();
        self.shared.waiting.lock().loaded[self.number] = keys;
        let count = self.shared.loaded().len();
        self.shared.metrics.embed_models.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

pub(super) fn stopping() -> Error {
    Error::new(SqlState::ADMIN_SHUTDOWN, "the server is shutting down")
}

/// The same error once more, for another asker.
fn again(error: &Error) -> Error {
    let mut copy = Error::new(error.state(), error.message());
    let fields = error.fields();
    if let Some(detail) = &fields.detail {
        copy = copy.detail(detail);
    }
    if let Some(hint) = &fields.hint {
        copy = copy.hint(hint);
    }
    copy
}
