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
    workers: Vec<Has>,
    /// Each model as it was read last.
    latest: Vec<Key>,
}

/// What a worker has.
#[derive(Clone, Default)]
struct Has {
    /// The models in memory.
    loaded: Vec<Key>,
    /// The model that it runs or reads.
    running: Option<Key>,
    /// Models that it could not read although another has them.
    refused: Vec<Key>,
    questions_in_a_row: usize,
}

/// The jobs of a run with the number of pieces that each may bring.
pub(super) type Chosen = Vec<(Arc<Job>, usize)>;

/// What a worker is to do next.
pub(super) enum Next {
    Run(Chosen),
    /// To read a model that another has, with no job in hand.
    Read(Asked),
    Wait,
}

impl Waiting {
    pub(super) fn new(workers: usize) -> Self {
        Self { jobs: VecDeque::new(), workers: vec![Has::default(); workers], latest: Vec::new() }
    }

    /// Adds what was asked.
    pub(super) fn add(&mut self, jobs: impl IntoIterator<Item = Arc<Job>>) {
        self.jobs.extend(jobs);
    }

    /// Takes back what has pieces left: a question before the others, but what is longer than a run takes
    /// its turns.
    pub(super) fn give_back(&mut self, job: Arc<Job>, options: &Options) {
        match job.is_question() && job.pieces_min() <= options.run_texts_max {
            true => self.jobs.push_front(job),
            false => self.jobs.push_back(job),
        }
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.jobs.clear();
    }

    /// A worker's run is over.
    pub(super) fn end(&mut self, worker: usize) {
        self.workers[worker].running = None;
    }

    /// Whether no model runs.
    pub(super) fn is_idle(&self) -> bool {
        self.workers.iter().all(|worker| worker.running.is_none())
    }

    /// These models a worker has in memory.
    pub(super) fn set_loaded(&mut self, worker: usize, models: Vec<Key>) {
        self.workers[worker].loaded = models;
    }

    /// A worker could not read a model that another has.
    pub(super) fn refuse(&mut self, worker: usize, model: Key) {
        self.workers[worker].refused.push(model);
    }

    /// The models in memory, each once.
    pub(super) fn loaded(&self) -> Vec<Oid> {
        let all = self.workers.iter().flat_map(|worker| &worker.loaded);
        let mut oids: Vec<Oid> = all.map(|(id, _)| *id).collect();
        oids.sort_unstable();
        oids.dedup();
        oids
    }

    /// A worker has read a model.
    pub(super) fn read(&mut self, model: Key) {
        self.latest.retain(|(id, _)| *id != model.0);
        self.latest.push(model);
    }

    /// Whether a model was read as something else since, and nobody waits for what it was.
    pub(super) fn is_stale(&self, model: Key) -> bool {
        let is_other = |(id, fingerprint): &Key| *id == model.0 && *fingerprint != model.1;
        self.latest.iter().any(is_other) && !self.jobs.iter().any(|job| key(&job.model) == model)
    }

    fn others(&self, worker: usize) -> impl Iterator<Item = &Has> {
        self.workers.iter().enumerate().filter(move |(at, _)| *at != worker).map(|(_, has)| has)
    }

    /// What a worker is to do next, which begins.
    pub(super) fn choose(&mut self, worker: usize, options: &Options) -> Next {
        self.jobs.retain(|job| !job.is_over());
        let mut known: Vec<(Key, bool)> = Vec::new();
        let mut first = [None; 2];
        for (at, job) in self.jobs.iter().enumerate() {
            let place = &mut first[usize::from(job.is_question())];
            let key = key(&job.model);
            if place.is_some() {
                continue;
            }
            let is_for = match known.iter().find(|(known, _)| *known == key) {
                Some((_, is_for)) => *is_for,
                None => {
                    let is_for = self.is_for(worker, key, options.run_texts_max);
                    known.push((key, is_for));
                    is_for
                }
            };
            if is_for {
                *place = Some(at);
            }
        }
        let in_a_row = self.workers[worker].questions_in_a_row;
        let (first, is_question) = match first {
            [None, None] => return Next::Wait,
            [Some(load), None] => (load, false),
            [Some(load), Some(_)] if in_a_row >= QUESTIONS_IN_A_ROW => (load, false),
            [_, Some(question)] => (question, true),
        };
        let model = &self.jobs[first].model;
        let key = key(model);
        let is_elsewhere = self.others(worker).any(|other| other.loaded.contains(&key));
        let has = &mut self.workers[worker];
        has.running = Some(key);
        if is_elsewhere && !has.loaded.contains(&key) {
            return Next::Read(model.clone());
        }
        has.refused.retain(|refused| *refused != key);
        has.questions_in_a_row = if is_question { has.questions_in_a_row + 1 } else { 0 };
        Next::Run(self.gather(first, options.run_texts_max))
    }

    /// Whether a worker should run jobs of a model. One that another has it reads only where there is
    /// more to do than one run.
    fn is_for(&self, worker: usize, model: Key, run_texts_max: usize) -> bool {
        let has = &self.workers[worker];
        let is_with = |other: &Has| other.running == Some(model) || other.loaded.contains(&model);
        if has.loaded.contains(&model) || !self.others(worker).any(is_with) {
            return true;
        }
        if has.refused.contains(&model) {
            return false;
        }
        let mut jobs = self.jobs.iter().filter(|job| key(&job.model) == model);
        let Some(first) = jobs.next() else { return false };
        let mut pieces = first.pieces_min();
        pieces > run_texts_max
            || jobs.any(|job| {
                pieces += job.pieces_min();
                pieces > run_texts_max || !is_like(job, first)
            })
    }

    /// Takes out the first job and others like it, as many as fit.
    fn gather(&mut self, first: usize, mut room: usize) -> Chosen {
        let lead = self.jobs.remove(first).expect("the place was found");
        let pieces = room.min(lead.pieces_min());
        room -= pieces;
        let mut chosen = vec![(lead, pieces)];
        for job in std::mem::take(&mut self.jobs) {
            if room == 0 || !is_like(&job, &chosen[0].0) {
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
    key(&job.model) == key(&other.model)
        && job.query == other.query
        && job.is_question() == other.is_question()
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
            self.waiting.add([Arc::new(job)]);
            self.askers.push(asker);
        }

        /// Model and number of texts of the next run, which is over at once and takes nothing of a
        /// load. A model that is to be read first is there at once.
        fn run(&mut self, worker: usize) -> Option<(u32, usize)> {
            let options = Options::default();
            let chosen = match self.waiting.choose(worker, &options) {
                Next::Wait => return None,
                Next::Read(model) => {
                    self.waiting.set_loaded(worker, vec![key(&model)]);
                    return self.run(worker);
                }
                Next::Run(chosen) => chosen,
            };
            let model = &chosen[0].0.model;
            let told = (model.id.0, chosen.iter().map(|(_, pieces)| pieces).sum());
            self.waiting.set_loaded(worker, vec![key(model)]);
            self.waiting.end(worker);
            for (job, _) in chosen.into_iter().filter(|(job, _)| !job.is_question()) {
                self.waiting.give_back(job, &options);
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
        assert!(matches!(room.waiting.choose(0, &Options::default()), Next::Run(_)));
        (0..16).for_each(|_| room.ask(1, 1));
        assert_eq!(room.run(1), None);
        room.waiting.end(0);
        room.waiting.set_loaded(0, vec![(Oid(1), 1)]);
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
    fn who_cannot_read_a_copy_leaves_the_jobs_to_the_other() {
        let mut room = Room::new();
        room.waiting.set_loaded(0, vec![(Oid(1), 1)]);
        room.ask(1, 100);
        let next = room.waiting.choose(1, &Options::default());
        assert!(matches!(next, Next::Read(model) if model.id == Oid(1)));
        room.waiting.refuse(1, (Oid(1), 1));
        room.waiting.end(1);
        assert_eq!(room.run(1), None);
        assert_eq!(room.run(0), Some((1, 16)));
        // Once nobody has it, whoever reads it tells what is wrong.
        room.waiting.set_loaded(0, Vec::new());
        assert!(matches!(room.waiting.choose(1, &Options::default()), Next::Run(_)));
    }

    #[test]
    fn a_question_longer_than_a_run_takes_its_turns() {
        let mut room = Room::new();
        room.ask(1, 8);
        room.ask(1, 1);
        let Next::Run(chosen) = room.waiting.choose(0, &Options::default()) else {
            panic!("a run")
        };
        assert_eq!(chosen.len(), 2);
        let options = Options { run_texts_max: 4, ..Options::default() };
        chosen.into_iter().for_each(|(job, _)| room.waiting.give_back(job, &options));
        let Next::Run(chosen) = room.waiting.choose(0, &options) else { panic!("a run") };
        let texts: Vec<usize> = chosen.iter().map(|(job, _)| job.texts.len()).collect();
        assert_eq!(texts, [1, 8]);
    }

    #[test]
    fn a_model_that_was_read_anew_is_stale_as_it_was() {
        let mut room = Room::new();
        for model in [(Oid(1), 1), (Oid(2), 1), (Oid(1), 2)] {
            room.waiting.read(model);
        }
        assert!(room.waiting.is_stale((Oid(1), 1)));
        assert!(!room.waiting.is_stale((Oid(1), 2)));
        assert!(!room.waiting.is_stale((Oid(2), 1)));
        room.ask(1, 1);
        assert!(!room.waiting.is_stale((Oid(1), 1)));
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
