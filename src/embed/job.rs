//! What somebody asks of a model: texts, of which pieces run, and what is made of these.

use super::{Asked, Embedding, model::Loaded};
use crate::{
    error::{Error, Result},
    telemetry::Metrics,
};
use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Up to so many texts are a question.
pub(super) const QUESTION_TEXTS_MAX: usize = 8;

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

/// The vector of a piece, and how many tokens that has.
type Part = (Vec<f32>, usize);

/// One asker's texts.
pub(super) struct Job {
    pub(super) model: Asked,
    pub(super) texts: Vec<Arc<str>>,
    /// The query whose documents the texts are.
    pub(super) query: Option<Arc<str>>,
    progress: Mutex<Progress>,
    _room: OwnedSemaphorePermit,
}

/// How far a job is.
struct Progress {
    /// The texts' places, by length; those before `next` are in pieces.
    order: Vec<usize>,
    next: usize,
    /// Pieces that nobody has taken yet.
    ready: VecDeque<Piece>,
    /// What those gave that have run, by the place of their text, until it is all there.
    made: HashMap<usize, Vec<Option<Part>>>,
    vectors: Vec<Option<Embedding>>,
    scores: Vec<f32>,
    left: Left,
    reply: Option<oneshot::Sender<Result<Answer>>>,
}

/// How many texts are left, as the metrics have it too.
struct Left {
    texts: usize,
    waiting: IntGauge,
    done: IntCounter,
}

impl Left {
    fn new(texts: usize, metrics: &Metrics) -> Self {
        let waiting = metrics.embed_waiting_texts.clone();
        waiting.add(i64::try_from(texts).unwrap_or(i64::MAX));
        Self { texts, waiting, done: metrics.embed_texts.clone() }
    }

    /// One is done. A job that failed has none left.
    fn finish_one(&mut self) {
        if self.texts > 0 {
            self.texts -= 1;
            self.waiting.dec();
            self.done.inc();
        }
    }

    fn give_up(&mut self) {
        self.waiting.sub(i64::try_from(self.texts).unwrap_or(i64::MAX));
        self.texts = 0;
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Job {
    /// A job, and where its answer will come; the room is given back when it is over.
    pub(super) fn new(
        model: Asked,
        (query, texts): (Option<Arc<str>>, Vec<Arc<str>>),
        room: OwnedSemaphorePermit,
        metrics: &Metrics,
    ) -> (Self, oneshot::Receiver<Result<Answer>>) {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| texts[at].len());
        let (reply, answer) = oneshot::channel();
        let progress = Progress {
            order,
            next: 0,
            ready: VecDeque::new(),
            made: HashMap::new(),
            vectors: vec![None; texts.len()],
            scores: vec![0.0; texts.len()],
            left: Left::new(texts.len(), metrics),
            reply: Some(reply),
        };
        (Self { model, texts, query, progress: Mutex::new(progress), _room: room }, answer)
    }

    pub(super) fn is_question(&self) -> bool {
        self.texts.len() <= QUESTION_TEXTS_MAX
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.progress.lock().reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Tells its asker, unless that has been told before.
    pub(super) fn fail(&self, error: Error) -> bool {
        let reply = {
            let mut progress = self.progress.lock();
            progress.left.give_up();
            progress.reply.take()
        };
        let is_first = reply.is_some();
        if let Some(reply) = reply {
            let _ = reply.send(Err(error));
        }
        is_first
    }

    /// How many pieces there are to take, as far as is known: a text has at least one.
    pub(super) fn pieces_min(&self) -> usize {
        let progress = self.progress.lock();
        progress.ready.len() + progress.order.len() - progress.next
    }

    /// Up to so many pieces, of texts that are prepared as it takes; adds to `cut` the texts that were
    /// cut. One at a time takes pieces of a job; others may keep theirs meanwhile.
    pub(super) fn take(&self, most: usize, model: &Loaded, cut: &mut u64) -> Result<Vec<Piece>> {
        loop {
            let place = {
                let progress = &mut *self.progress.lock();
                if progress.ready.len() >= most || progress.next == progress.order.len() {
                    let count = most.min(progress.ready.len());
                    return Ok(progress.ready.drain(..count).collect());
                }
                progress.next += 1;
                progress.order[progress.next - 1]
            };
            let text = &self.texts[place];
            let prepared = guarded(|| match &self.query {
                Some(query) => model.prepare_pair(query, text),
                None => model.prepare(text),
            })?;
            *cut += u64::from(prepared.is_cut);
            let progress = &mut *self.progress.lock();
            if prepared.pieces.is_empty() {
                // It is made of what no tokenizer sees.
                progress.vectors[place] = Some(model.combined(&[]).into());
                progress.left.finish_one();
                continue;
            }
            progress.made.insert(place, vec![None; prepared.pieces.len()]);
            let pieces = prepared.pieces.into_iter().enumerate();
            progress.ready.extend(pieces.map(|(number, (range, tokens))| Piece {
                place,
                number,
                range,
                tokens,
            }));
        }
    }

    /// Keeps what a piece gave, and the vector of its text once that is whole.
    pub(super) fn keep(&self, piece: &Piece, made: Made, model: &Loaded) {
        let progress = &mut *self.progress.lock();
        match made {
            Made::Score(score) => {
                progress.made.remove(&piece.place);
                progress.scores[piece.place] = score;
                progress.left.finish_one();
            }
            Made::Vector(vector) => {
                let Some(parts) = progress.made.get_mut(&piece.place) else { return };
                parts[piece.number] = Some((vector, piece.tokens));
                if parts.iter().any(Option::is_none) {
                    return;
                }
                let parts: Vec<_> =
                    progress.made.remove(&piece.place).into_iter().flatten().flatten().collect();
                progress.vectors[piece.place] = Some(model.combined(&parts).into());
                progress.left.finish_one();
            }
        }
    }

    /// The reply, once every text has run.
    pub(super) fn reply_if_done(&self) -> Option<Reply> {
        let progress = &mut *self.progress.lock();
        if progress.left.texts > 0 {
            return None;
        }
        let to = progress.reply.take()?;
        let answer = if self.query.is_some() {
            Answer::Scores(std::mem::take(&mut progress.scores))
        } else {
            Answer::Vectors(progress.vectors.drain(..).flatten().collect())
        };
        Some(Reply { to, answer })
    }
}

/// An answer, and who waits for it.
pub(super) struct Reply {
    pub(super) to: oneshot::Sender<Result<Answer>>,
    pub(super) answer: Answer,
}

impl Reply {
    pub(super) fn send(self) {
        // Who stopped waiting needs none.
        let _ = self.to.send(Ok(self.answer));
    }
}

/// A piece of a text: the text's place, which of its pieces it is, and how many tokens it has.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) place: usize,
    pub(super) number: usize,
    pub(super) range: Range<usize>,
    pub(super) tokens: usize,
}

/// What a piece gives.
pub(super) enum Made {
    Vector(Vec<f32>),
    Score(f32),
}

/// Foreign code runs here: its panics are errors.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Error::internal(format!("a model panicked: {text}")))
    })
}
