//! Whose texts run next.
//!
//! - *Questions*, a few texts each, go first; but of four runs at least one is for the others.
//! - *Loads*, many texts each, take turns.
//!
//! A job waits here as long as it has pieces that nobody has taken. While a worker takes some, the job
//! is the worker's alone.

use super::{Asked, Options, job::Job};
use crate::ids::Oid;
use std::{collections::VecDeque, sync::Arc};

/// So many runs of questions before one of loads.
const QUESTIONS_IN_A_ROW: usize = 3;

/// A model as it is at present.
pub(super) type Key = (Oid, u64);

pub(super) fn key(model: &Asked) -> Key {
    (model.id, model.fingerprint)
}

/// What waits, and what the workers have.
pub(super) struct Waiting {
    jobs: VecDeque<Arc<Job>>,
    questions_in_a_row: usize,
    /// Of each worker, the models that it has in memory.
    pub(super) loaded: Vec<Vec<Key>>,
    /// Of each worker, the model that it runs or reads.
    running: Vec<Option<Key>>,
    pub(super) is_closed: bool,
}

/// The jobs of a run with the number of pieces that each may bring.
pub(super) type Chosen = Vec<(Arc<Job>, usize)>;

impl Waiting {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            questions_in_a_row: 0,
            loaded: vec![Vec::new(); workers],
            running: vec![None; workers],
            is_closed: false,
        }
    }

    /// Adds what was asked.
    pub(super) fn add(&mut self, job: Arc<Job>) {
        self.jobs.push_back(job);
    }

    /// Takes back what has pieces left: a load after the others, a question before them.
    pub(super) fn give_back(&mut self, job: Arc<Job>) {
        match job.is_question() {
            true => self.jobs.push_front(job),
            false => self.jobs.push_back(job),
        }
    }

    /// Nothing runs any more, and nobody waits.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.jobs.clear();
    }

    /// A worker's run is over.
    pub(super) fn end(&mut self, worker: usize) {
        self.running[worker] = None;
    }

    /// Whether no model runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    /// The jobs of the next run of a worker, which begins; none when there is nothing for it to do.
    pub(super) fn choose(&mut self, worker: usize, options: &Options) -> Chosen {
        self.jobs.retain(|job| !job.is_over());
        let first_of = |question: bool| {
            let mut jobs = self.jobs.iter();
            jobs.position(|job| {
                job.is_question() == question && self.is_for(worker, job, options.run_texts_max)
            })
        };
        let (question, load) = (first_of(true), first_of(false));
        let (first, question) = match (question, load) {
            (Some(first), None) => (first, true),
            (Some(first), _) if self.questions_in_a_row < QUESTIONS_IN_A_ROW => (first, true),
            (_, Some(first)) => (first, false),
            (None, None) => return Vec::new(),
        };
        self.questions_in_a_row = if question { self.questions_in_a_row + 1 } else { 0 };
        let chosen = self.gather(first, question, options.run_texts_max);
        self.running[worker] = Some(key(&chosen[0].0.model));
        chosen
    }

    /// Whether a worker should run a job. It reads a model that another has only where that one has
    /// more to do than one run.
    fn is_for(&self, worker: usize, job: &Job, run_texts_max: usize) -> bool {
        let key = key(&job.model);
        let mut known = self.loaded.iter().flatten().chain(self.running.iter().flatten());
        if self.loaded[worker].contains(&key) || known.all(|other| *other != key) {
            return true;
        }
        let like = self.jobs.iter().filter(|other| is_like(other, job));
        like.map(|other| other.pieces_min()).sum::<usize>() > run_texts_max
    }

    /// Takes out the first job and others like it, as many as fit.
    fn gather(&mut self, first: usize, question: bool, mut room: usize) -> Chosen {
        let lead = self.jobs.remove(first).expect("the place was found");
        let pieces = room.min(lead.pieces_min());
        room -= pieces;
        let mut chosen = vec![(lead, pieces)];
        let jobs = std::mem::take(&mut self.jobs);
        for job in jobs {
            if room == 0 || job.is_question() != question || !is_like(&job, &chosen[0].0) {
                self.jobs.push_back(job);
                continue;
            }
            let pieces = room.min(job.pieces_min());
            room -= pieces;
            chosen.push((job, pieces));
        }
        chosen
    }
}

/// Whether two jobs can run together.
fn is_like(job: &Job, other: &Job) -> bool {
    key(&job.model) == key(&other.model) && job.query == other.query
}
