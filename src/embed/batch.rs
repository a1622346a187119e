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
//! its turns like a load of a thousand texts. Whoever stopped waiting is passed over. What fails, fails for its asker alone: where a run of
//! several askers does, each runs again by itself.

use super::{
    Asked, Embedding, Options,
    cache::Recent,
    model::{Loaded, check_bytes},
};
use crate::{
    clock::SharedClock,
    error::{Error, Result},
    ids::Oid,
    telemetry::Metrics,
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Up to so many texts are a question.
const QUESTION_TEXTS_MAX: usize = 8;
/// Only texts up to this size are remembered.
const REMEMBERED_BYTES_MAX: usize = 2 << 10;
/// So many runs of questions before one of loads.
const QUESTIONS_IN_A_ROW: usize = 3;

/// What is asked of a model.
#[derive(Debug)]
pub(super) enum Ask {
    Embed(Vec<Arc<str>>),
    Rerank { query: Arc<str>, documents: Vec<Arc<str>> },
}

/// What it gives.
#[derive(Debug)]
pub(super) enum Answer {
    Vectors(Vec<Embedding>),
    Scores(Vec<f32>),
}

/// The scores of an answer to [`Ask::Rerank`].
pub(super) fn scores(answer: Answer) -> Vec<f32> {
    match answer {
        Answer::Scores(scores) => scores,
        Answer::Vectors(_) => Vec::new(),
    }
}

/// The queue, and the thread behind it.
pub(super) struct Batcher {
    shared: Arc<Shared>,
    /// A room of their own, so that loads never keep questions out.
    room_of_questions: Arc<Semaphore>,
    room_of_loads: Arc<Semaphore>,
    recent: Recent,
    options: Options,
    metrics: Arc<Metrics>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Between askers and the thread.
#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    loaded: Mutex<Vec<Oid>>,
}

#[derive(Default)]
struct Inbox {
    jobs: Vec<Job>,
    is_closed: bool,
}

/// The vector of a piece, and how many tokens that has.
type Part = (Vec<f32>, usize);

/// One asker's texts.
struct Job {
    model: Asked,
    texts: Vec<Arc<str>>,
    /// The query whose documents the texts are.
    query: Option<Arc<str>>,
    /// The texts' places, by length; those before `next` are in pieces.
    order: Vec<usize>,
    next: usize,
    /// Pieces that have not run yet.
    ready: VecDeque<Piece>,
    /// What those gave that have, by the place of their text, until it is all there.
    made: HashMap<usize, Vec<Option<Part>>>,
    /// How many texts are done.
    finished: usize,
    vectors: Vec<Option<Embedding>>,
    scores: Vec<f32>,
    reply: Option<oneshot::Sender<Result<Answer>>>,
    _room: OwnedSemaphorePermit,
}

impl Batcher {
    pub(super) fn start(
        options: Options,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Result<Self> {
        // Tokenizing is a fiftieth of the work; its own threads would come on top of the budget.
        tokenizers::utils::parallelism::set_parallelism(false);
        let shared = Arc::new(Shared::default());
        let runs = Runs {
            shared: Arc::clone(&shared),
            options: options.clone(),
            metrics: Arc::clone(&metrics),
            clock,
            waiting: VecDeque::new(),
            models: Vec::new(),
            questions_in_a_row: 0,
        };
        let thread = std::thread::Builder::new()
            .name("nearlake-embed".to_owned())
            .stack_size(16 << 20)
            .spawn(move || runs.work())
            .map_err(|error| Error::internal("cannot start a thread").source(error))?;
        Ok(Self {
            shared,
            room_of_questions: Arc::new(Semaphore::new(options.queue_texts_max)),
            room_of_loads: Arc::new(Semaphore::new(options.queue_texts_max)),
            recent: Recent::new(options.cache_bytes_max),
            options,
            metrics,
            thread: Some(thread),
        })
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
        self.metrics
            .embed_cache
            .with_label_values(&["hit"])
            .inc_by((texts.len() - missing.len()) as u64);
        self.metrics.embed_cache.with_label_values(&["miss"]).inc_by(missing.len() as u64);
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
        for part in texts.chunks(self.options.queue_texts_max) {
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
        let wanted = u32::try_from(texts.len().min(self.options.queue_texts_max)).unwrap_or(1);
        let is_question = texts.len() <= QUESTION_TEXTS_MAX;
        let room = if is_question { &self.room_of_questions } else { &self.room_of_loads };
        let room = Arc::clone(room).acquire_many_owned(wanted).await;
        let room = room.map_err(|_| stopping())?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| texts[at].len());
        let (reply, answer) = oneshot::channel();
        let job = Job {
            model: model.clone(),
            vectors: vec![None; texts.len()],
            scores: vec![0.0; texts.len()],
            texts,
            query,
            order,
            next: 0,
            ready: VecDeque::new(),
            made: HashMap::new(),
            finished: 0,
            reply: Some(reply),
            _room: room,
        };
        {
            let mut inbox = self.shared.inbox.lock();
            if inbox.is_closed {
                return Err(stopping());
            }
            inbox.jobs.push(job);
            self.shared.arrived.notify_one();
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    pub(super) fn loaded(&self) -> Vec<Oid> {
        self.shared.loaded.lock().clone()
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.inbox.lock().is_closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A run is over soon; it must not outlive the node.
            let _ = thread.join();
        }
    }
}

fn stopping() -> Error {
    Error::new(crate::error::SqlState::ADMIN_SHUTDOWN, "the server is shutting down")
}

impl Job {
    fn is_question(&self) -> bool {
        self.texts.len() <= QUESTION_TEXTS_MAX
    }

    /// Whether nobody waits for it any more.
    fn is_over(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn fail(&mut self, error: Error) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(error));
        }
    }

    /// How many pieces there are to run, as far as is known: a text has at least one.
    fn pieces_min(&self) -> usize {
        self.ready.len() + self.order.len() - self.next
    }

    /// Up to so many pieces, of texts that are prepared as it takes; adds to `cut` the texts that were
    /// cut.
    fn take(&mut self, most: usize, model: &Loaded, cut: &mut u64) -> Result<Vec<Piece>> {
        while self.ready.len() < most && self.next < self.order.len() {
            let place = self.order[self.next];
            self.next += 1;
            let text = &self.texts[place];
            let prepared = guarded(|| match &self.query {
                Some(query) => model.prepare_pair(query, text),
                None => model.prepare(text),
            })?;
            *cut += u64::from(prepared.is_cut);
            if prepared.pieces.is_empty() {
                // It is made of what no tokenizer sees.
                self.vectors[place] = Some(model.combined(&[]).into());
                self.finished += 1;
                continue;
            }
            self.made.insert(place, vec![None; prepared.pieces.len()]);
            let pieces = prepared.pieces.into_iter().enumerate();
            self.ready.extend(pieces.map(|(number, (range, tokens))| Piece {
                place,
                number,
                range,
                tokens,
            }));
        }
        Ok(self.ready.drain(..most.min(self.ready.len())).collect())
    }

    /// Keeps what a piece gave, and the vector of its text once that is whole.
    fn keep(&mut self, piece: &Piece, made: Made, model: &Loaded) {
        match made {
            Made::Score(score) => {
                self.made.remove(&piece.place);
                self.scores[piece.place] = score;
                self.finished += 1;
            }
            Made::Vector(vector) => {
                let Some(parts) = self.made.get_mut(&piece.place) else { return };
                parts[piece.number] = Some((vector, piece.tokens));
                if parts.iter().any(Option::is_none) {
                    return;
                }
                let parts: Vec<_> =
                    self.made.remove(&piece.place).into_iter().flatten().flatten().collect();
                self.vectors[piece.place] = Some(model.combined(&parts).into());
                self.finished += 1;
            }
        }
    }

    /// Answers when every text has run.
    fn answer_if_done(&mut self) {
        if self.finished < self.texts.len() {
            return;
        }
        if let Some(reply) = self.reply.take() {
            let answer = if self.query.is_some() {
                Answer::Scores(std::mem::take(&mut self.scores))
            } else {
                Answer::Vectors(self.vectors.drain(..).flatten().collect())
            };
            let _ = reply.send(Ok(answer));
        }
    }
}

/// The thread's own.
struct Runs {
    shared: Arc<Shared>,
    options: Options,
    metrics: Arc<Metrics>,
    clock: SharedClock,
    waiting: VecDeque<Job>,
    /// The one that was used last comes last.
    models: Vec<((Oid, u64), Loaded)>,
    questions_in_a_row: usize,
}

/// A piece of a text: the text's place, which of its pieces it is, and how many tokens it has.
#[derive(Debug, Clone)]
struct Piece {
    place: usize,
    number: usize,
    range: Range<usize>,
    tokens: usize,
}

/// What a piece gives.
enum Made {
    Vector(Vec<f32>),
    Score(f32),
}

/// A piece of a run: whose it is.
#[derive(Debug, Clone)]
struct Item {
    job: usize,
    piece: Piece,
}

impl Runs {
    fn work(mut self) {
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
        for &(at, _) in chosen {
            self.waiting[at].answer_if_done();
        }
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

/// Foreign code runs here: its panics are errors.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Error::internal(format!("a model panicked: {text}")))
    })
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
