//! Texts of many sessions in one run.
//!
//! One thread runs models, one run at a time, so that computing never takes more than its share of
//! the machine. While a run computes, others gather; the next takes as many texts of one model as
//! it may, from whoever waits:
//!
//! - *Questions*, a few texts each, go first; but of four runs at least one is for the others.
//! - *Loads*, many texts each, take turns. Their texts run by length, so that little is padding.
//!
//! What runs is a piece of a text, and a run takes so many pieces: a text of a thousand pieces takes
//! its turns like a load of a thousand texts. Whoever stopped waiting is passed over. What fails, fails
//! for its asker alone: where a run of several askers does, each runs again by itself.

use super::{
    Asked, Options,
    answers::Answers,
    job::{Job, Made, Piece, Reply, guarded},
    model::Loaded,
};
use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    ids::Oid,
    telemetry::Metrics,
};
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, sync::Arc};

/// So many runs of questions before one of loads.
const QUESTIONS_IN_A_ROW: usize = 3;

/// Between askers and the thread.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) arrived: Condvar,
    /// The models in memory.
    pub(super) loaded: Mutex<Vec<Oid>>,
}

/// What arrived and was not taken in yet.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) jobs: Vec<Job>,
    pub(super) is_closed: bool,
}

/// The thread's own.
pub(super) struct Runs {
    shared: Arc<Shared>,
    options: Options,
    metrics: Arc<Metrics>,
    clock: SharedClock,
    answers: Answers,
    waiting: VecDeque<Job>,
    /// The one that was used last comes last.
    models: Vec<((Oid, u64), Loaded)>,
    questions_in_a_row: usize,
}

/// A piece of a run: whose it is.
#[derive(Debug, Clone)]
struct Item {
    job: usize,
    piece: Piece,
}

impl Runs {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: Options,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Result<Self> {
        Ok(Self {
            shared,
            options,
            metrics,
            clock,
            answers: Answers::start()?,
            waiting: VecDeque::new(),
            models: Vec::new(),
            questions_in_a_row: 0,
        })
    }

    /// Runs what arrives until the queue is closed.
    pub(super) fn work(mut self) {
        while self.take_in() {
            let chosen = self.choose();
            if !chosen.is_empty() {
                self.run(&chosen);
            }
            self.waiting.retain(|job| !job.is_over());
            self.count();
        }
    }

    /// Takes what has arrived, and waits when there is nothing to do; false when all is over.
    fn take_in(&mut self) -> bool {
        let mut inbox = self.shared.inbox.lock();
        while self.waiting.is_empty() && inbox.jobs.is_empty() && !inbox.is_closed {
            self.answers.hurry();
            self.shared.arrived.wait(&mut inbox);
        }
        self.waiting.extend(inbox.jobs.drain(..));
        !inbox.is_closed
    }

    fn count(&self) {
        let left: usize = self.waiting.iter().map(|job| job.texts.len() - job.finished).sum();
        self.metrics.embed_waiting_texts.set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    /// The jobs of the next run with the number of pieces that each may bring.
    fn choose(&mut self) -> Vec<(usize, usize)> {
        self.waiting.retain(|job| !job.is_over());
        let has = |question: bool| self.waiting.iter().any(|job| job.is_question() == question);
        let question = has(true) && (self.questions_in_a_row < QUESTIONS_IN_A_ROW || !has(false));
        self.questions_in_a_row = if question { self.questions_in_a_row + 1 } else { 0 };
        if !question && let Some(first) = self.waiting.iter().position(|job| !job.is_question()) {
            // It takes its turn now, and is the last of the next round.
            let job = self.waiting.remove(first).expect("the place was found");
            self.waiting.push_back(job);
            let last = self.waiting.len() - 1;
            return self.gather(last, question);
        }
        match self.waiting.iter().position(|job| job.is_question() == question) {
            Some(first) => self.gather(first, question),
            None => Vec::new(),
        }
    }

    /// Pieces of the first job and of others like it, as many as fit.
    fn gather(&self, first: usize, question: bool) -> Vec<(usize, usize)> {
        let lead = &self.waiting[first];
        let mut room = self.options.run_texts_max;
        let mut chosen = Vec::new();
        let others = (0..self.waiting.len()).filter(|&at| at != first);
        for at in std::iter::once(first).chain(others) {
            let job = &self.waiting[at];
            let is_like = job.is_question() == question
                && (job.model.id, job.model.fingerprint) == (lead.model.id, lead.model.fingerprint)
                && job.query == lead.query;
            if !is_like || room == 0 {
                continue;
            }
            let pieces = room.min(job.pieces_min());
            room -= pieces;
            chosen.push((at, pieces));
        }
        chosen
    }

    /// Runs some texts of some jobs, and answers those that are done.
    fn run(&mut self, chosen: &[(usize, usize)]) {
        let began = self.clock.elapsed();
        let asked = self.waiting[chosen[0].0].model.clone();
        let place = match self.model(&asked) {
            Ok(place) => place,
            Err(error) => {
                self.metrics.embed_failures.inc();
                for &(job, _) in chosen {
                    self.waiting[job].fail(again(&error));
                }
                return;
            }
        };
        let (mut items, mut cut) = (Vec::new(), 0);
        let finished: usize = chosen.iter().map(|&(at, _)| self.waiting[at].finished).sum();
        for &(at, pieces) in chosen {
            let job = &mut self.waiting[at];
            match job.take(pieces, &self.models[place].1, &mut cut) {
                Ok(pieces) => items.extend(pieces.into_iter().map(|piece| Item { job: at, piece })),
                Err(error) => {
                    self.metrics.embed_failures.inc();
                    job.fail(error);
                }
            }
        }
        self.metrics.embed_truncated.inc_by(cut);
        items.sort_by_key(|item| item.piece.tokens);
        if let Err(error) = self.compute(place, &items) {
            self.retry_alone(place, &items, &error);
        }
        let now: usize = chosen.iter().map(|&(at, _)| self.waiting[at].finished).sum();
        self.metrics.embed_texts.inc_by((now - finished) as u64);
        self.metrics.embed_run_texts.observe(items.len() as f64);
        let took = self.clock.elapsed().saturating_sub(began);
        self.metrics.embed_run_seconds.observe(took.as_secs_f64());
        // Last, so that whoever has an answer finds it counted.
        self.count();
        let done = |&(at, _): &(usize, usize)| self.waiting[at].reply_if_done();
        let replies: Vec<Reply> = chosen.iter().filter_map(done).collect();
        // Whoever is told within half of the next run has asked again before that ends.
        self.answers.hand_out(replies, took / 2);
    }

    /// After a run that failed: each asker's pieces by themselves, so that only the guilty one fails.
    fn retry_alone(&mut self, place: usize, items: &[Item], error: &Error) {
        let mut jobs: Vec<usize> = items.iter().map(|item| item.job).collect();
        jobs.sort_unstable();
        jobs.dedup();
        for job in jobs.iter().copied() {
            let own: Vec<Item> = items.iter().filter(|item| item.job == job).cloned().collect();
            let failed =
                if jobs.len() > 1 { self.compute(place, &own).err() } else { Some(again(error)) };
            if let Some(error) = failed {
                self.metrics.embed_failures.inc();
                self.waiting[job].fail(error);
            }
        }
    }

    /// Computes pieces, the shortest first, and puts what they give with their jobs: all of it, or
    /// nothing. Looks between any two goes whether somebody still waits.
    fn compute(&mut self, place: usize, items: &[Item]) -> Result<()> {
        let mut made: Vec<(&Item, Made)> = Vec::with_capacity(items.len());
        let mut rest: Vec<&Item> = items.iter().collect();
        loop {
            if self.shared.inbox.lock().is_closed {
                return Err(stopping());
            }
            rest.retain(|item| !self.waiting[item.job].is_over());
            let Some(first) = rest.first() else { break };
            let model = &mut self.models[place].1;
            let most = if model.is_alone() { 1 } else { self.options.run_texts_max };
            let fits = |count: usize| {
                count <= most
                    && (count == 1
                        || count * rest[count - 1].piece.tokens <= self.options.run_tokens_max)
            };
            let count = (1..=rest.len()).take_while(|&count| fits(count)).last().unwrap_or(1);
            let text = |item: &&Item| {
                &self.waiting[item.job].texts[item.piece.place][item.piece.range.clone()]
            };
            let run: Vec<&str> = rest[..count].iter().map(text).collect();
            let gave: Vec<Made> = match &self.waiting[first.job].query {
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
            self.waiting[item.job].keep(&item.piece, made, &self.models[place].1);
        }
        Ok(())
    }

    /// A model in memory, read now if it is not there yet.
    fn model(&mut self, asked: &Asked) -> Result<usize> {
        let key = (asked.id, asked.fingerprint);
        if let Some(place) = self.models.iter().position(|(known, _)| *known == key) {
            let model = self.models.remove(place);
            self.models.push(model);
            return Ok(self.models.len() - 1);
        }
        // What it was before is not asked for again.
        self.models.retain(|((id, _), _)| *id != asked.id);
        while self.models.len() >= self.options.models_max {
            self.models.remove(0);
        }
        let began = self.clock.elapsed();
        let loaded = guarded(|| Loaded::load(asked, &self.options));
        if let Ok(model) = loaded {
            let took = self.clock.elapsed().saturating_sub(began);
            tracing::info!(model = asked.name, ?took, "model is in memory");
            self.models.push((key, model));
            self.tell_loaded();
            return Ok(self.models.len() - 1);
        }
        self.tell_loaded();
        loaded.map(|_| 0)
    }

    fn tell_loaded(&self) {
        let keys: Vec<Oid> = self.models.iter().map(|((id, _), _)| *id).collect();
        self.metrics.embed_models.set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        *self.shared.loaded.lock() = keys;
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
