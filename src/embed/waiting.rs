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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        embed::{
            Spec,
            job::Answer,
            spec::{Normalize, Overflow, Pooling, Purpose},
        },
        error::Result,
        telemetry::Metrics,
    };
    use tokio::sync::{Semaphore, oneshot::Receiver};

    /// What waits for two workers, and whoever asked.
    struct Room {
        waiting: Waiting,
        metrics: Metrics,
        askers: Vec<Receiver<Result<Answer>>>,
    }

    impl Room {
        fn new() -> Self {
            let (waiting, metrics) = (Waiting::new(2), Metrics::default());
            Self { waiting, metrics, askers: Vec::new() }
        }

        fn ask(&mut self, model: u32, texts: usize) {
            let spec = Spec {
                purpose: Purpose::Embedding,
                folder: "/models".into(),
                hub: None,
                file: "model.onnx".to_owned(),
                pooling: Pooling::Mean,
                normalize: Normalize::L2,
                max_length: 256,
                dims: 384,
                overflow: Overflow::Error,
                files: Vec::new(),
            };
            let model = Asked {
                id: Oid(model),
                fingerprint: 1,
                name: format!("model {model}"),
                spec: Arc::new(spec),
            };
            let texts = (0..texts).map(|n| format!("text {n}").into()).collect();
            let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let (job, asker) = Job::new(model, (None, texts), room, &self.metrics);
            self.waiting.add(Arc::new(job));
            self.askers.push(asker);
        }

        /// Model and number of texts of the next run, which is over at once and takes nothing of a
        /// load.
        fn run(&mut self, worker: usize) -> Option<(u32, usize)> {
            let chosen = self.waiting.choose(worker, &Options::default());
            let (first, _) = chosen.first()?;
            let told = (first.model.id.0, chosen.iter().map(|(_, pieces)| pieces).sum());
            self.waiting.loaded[worker].push(key(&first.model));
            self.waiting.end(worker);
            for (job, _) in chosen {
                if !job.is_question() {
                    self.waiting.give_back(job);
                }
            }
            Some(told)
        }
    }

    #[test]
    fn a_run_takes_texts_of_one_model_from_whoever_waits() {
        let mut room = Room::new();
        for _ in 0..20 {
            room.ask(1, 1);
            room.ask(2, 1);
        }
        let runs: Vec<_> = std::iter::from_fn(|| room.run(0)).collect();
        assert_eq!(runs, [(1, 16), (2, 16), (1, 4), (2, 4)]);
    }

    #[test]
    fn questions_go_first_but_of_four_runs_one_is_a_loads() {
        let mut room = Room::new();
        room.ask(1, 1000);
        (0..160).for_each(|_| room.ask(2, 1));
        let models: Vec<u32> = (0..8).map(|_| room.run(0).unwrap().0).collect();
        assert_eq!(models, [2, 2, 2, 1, 2, 2, 2, 1]);
    }

    #[test]
    fn loads_take_turns() {
        let mut room = Room::new();
        room.ask(1, 1000);
        room.ask(2, 1000);
        let models: Vec<u32> = (0..4).map(|_| room.run(0).unwrap().0).collect();
        assert_eq!(models, [1, 2, 1, 2]);
    }

    #[test]
    fn a_second_copy_of_a_model_is_for_more_than_one_run() {
        let mut room = Room::new();
        room.ask(1, 1);
        // While the first reads it.
        assert_eq!(room.waiting.choose(0, &Options::default()).len(), 1);
        (0..16).for_each(|_| room.ask(1, 1));
        assert_eq!(room.run(1), None);
        room.waiting.end(0);
        room.waiting.loaded[0].push((Oid(1), 1));
        assert_eq!(room.run(1), None);
        room.ask(1, 1);
        assert_eq!(room.run(1), Some((1, 16)));
        // Now both have it.
        room.ask(1, 1);
        assert_eq!(room.run(1), Some((1, 2)));
        // Another is free to be read.
        room.ask(2, 1);
        assert_eq!(room.run(1), Some((2, 1)));
    }

    #[test]
    fn whoever_stopped_waiting_is_passed_over_and_counted_no_more() {
        let mut room = Room::new();
        room.ask(1, 3);
        room.ask(1, 2);
        assert_eq!(room.metrics.embed_waiting_texts.get(), 5);
        room.askers.remove(0);
        assert_eq!(room.run(0), Some((1, 2)));
        assert_eq!(room.metrics.embed_waiting_texts.get(), 0);
    }
}
