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
    waiting::{Chosen, Key, Next, Waiting, key},
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
    /// Askers hold this lock alone, which nobody keeps: workers may have to wait for a core.
    inbox: Mutex<Inbox>,
    changed: Condvar,
    waiting: Mutex<Waiting>,
    pub(super) options: Options,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: SharedClock,
    answers: Answers,
}

#[derive(Default)]
struct Inbox {
    jobs: Vec<Arc<Job>>,
    /// How often there came something for a worker to look at.
    changes: u64,
    is_closed: bool,
}

impl Shared {
    pub(super) fn new(options: Options, metrics: Arc<Metrics>, clock: SharedClock) -> Result<Self> {
        Ok(Self {
            inbox: Mutex::default(),
            changed: Condvar::new(),
            waiting: Mutex::new(Waiting::new(options.workers())),
            answers: Answers::start()?,
            options,
            metrics,
            clock,
        })
    }

    /// Adds what was asked.
    pub(super) fn ask(&self, job: Job) -> Result<()> {
        let mut inbox = self.inbox.lock();
        if inbox.is_closed {
            return Err(stopping());
        }
        inbox.jobs.push(Arc::new(job));
        self.tell(&mut inbox);
        Ok(())
    }

    /// Workers end, and nobody is answered any more.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox.lock();
        inbox.is_closed = true;
        inbox.jobs.clear();
        self.tell(&mut inbox);
        drop(inbox);
        self.waiting.lock().clear();
    }

    /// The models in memory.
    pub(super) fn loaded(&self) -> Vec<Oid> {
        self.waiting.lock().loaded()
    }

    fn tell(&self, inbox: &mut Inbox) {
        inbox.changes += 1;
        self.changed.notify_all();
    }

    fn tell_others(&self) {
        self.tell(&mut self.inbox.lock());
    }

    fn is_closed(&self) -> bool {
        self.inbox.lock().is_closed
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

    /// Waits for something to run; none when all is over.
    fn next(&mut self) -> Option<Chosen> {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut waiting = shared.waiting.lock();
            let changes = {
                let mut inbox = shared.inbox.lock();
                if inbox.is_closed {
                    return None;
                }
                waiting.add(inbox.jobs.drain(..));
                inbox.changes
            };
            self.models.retain(|(key, _)| !waiting.is_stale(*key));
            waiting.set_loaded(self.number, self.keys());
            match waiting.choose(self.number, &shared.options) {
                Next::Run(chosen) => return Some(chosen),
                Next::Read(model) => {
                    drop(waiting);
                    let read = self.model(&model);
                    let mut waiting = shared.waiting.lock();
                    if let Err(error) = read {
                        tracing::warn!(%error, model = model.name, "a second copy cannot be read");
                        waiting.refuse(self.number, key(&model));
                    }
                    waiting.end(self.number);
                }
                Next::Wait => {
                    if waiting.is_idle() {
                        shared.answers.hurry();
                    }
                    drop(waiting);
                    let mut inbox = shared.inbox.lock();
                    if inbox.changes == changes {
                        shared.changed.wait(&mut inbox);
                    }
                }
            }
        }
    }

    /// Runs some texts of some jobs, and answers those that are done.
    fn run(&mut self, chosen: Chosen) {
        let began = self.shared.clock.elapsed();
        let jobs: Vec<Arc<Job>> = chosen.iter().map(|(job, _)| Arc::clone(job)).collect();
        match self.model(&jobs[0].model) {
            Ok(()) => self.run_loaded(chosen),
            Err(error) => jobs.iter().for_each(|job| self.fail(job, again(&error))),
        }
        let took = self.shared.clock.elapsed().saturating_sub(began);
        self.shared.metrics.embed_run_seconds.observe(took.as_secs_f64());
        self.shared.waiting.lock().end(self.number);
        let replies: Vec<Reply> = jobs.iter().filter_map(|job| job.reply_if_done()).collect();
        // Whoever is told within half of the next run has asked again before that ends.
        self.shared.answers.hand_out(replies, took / 2);
    }

    fn fail(&self, job: &Job, error: Error) {
        if job.fail(error) {
            self.shared.metrics.embed_failures.inc();
        }
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
                Err(error) => self.fail(&job, error),
            }
            if job.pieces_min() > 0 {
                self.shared.waiting.lock().give_back(job, &self.shared.options);
                self.shared.tell_others();
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
                self.fail(job, error);
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
            if self.shared.is_closed() {
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
            self.shared.waiting.lock().read(key);
            self.tell_loaded();
            return Ok(());
        }
        self.tell_loaded();
        loaded.map(drop)
    }

    fn keys(&self) -> Vec<Key> {
        self.models.iter().map(|(key, _)| *key).collect()
    }

    fn tell_loaded(&self) {
        let count = {
            let mut waiting = self.shared.waiting.lock();
            waiting.set_loaded(self.number, self.keys());
            waiting.loaded().len()
        };
        self.shared.metrics.embed_models.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.shared.tell_others();
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
