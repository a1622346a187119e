//! What somebody asks of a model: texts, of which pieces run, and what is made of these.

use super::{Asked, Embedding, model::Loaded};
use crate::error::{Error, Result};
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
    /// The texts' places, by length; those before `next` are in pieces.
    order: Vec<usize>,
    next: usize,
    /// Pieces that have not run yet.
    ready: VecDeque<Piece>,
    /// What those gave that have, by the place of their text, until it is all there.
    made: HashMap<usize, Vec<Option<Part>>>,
    /// How many texts are done.
    pub(super) finished: usize,
    vectors: Vec<Option<Embedding>>,
    scores: Vec<f32>,
    reply: Option<oneshot::Sender<Result<Answer>>>,
    _room: OwnedSemaphorePermit,
}

impl Job {
    /// A job, and where its answer will come; the room is given back when it is over.
    pub(super) fn new(
        model: Asked,
        (query, texts): (Option<Arc<str>>, Vec<Arc<str>>),
        room: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<Answer>>) {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| texts[at].len());
        let (reply, answer) = oneshot::channel();
        let job = Self {
            model,
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
        (job, answer)
    }

    pub(super) fn is_question(&self) -> bool {
        self.texts.len() <= QUESTION_TEXTS_MAX
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    pub(super) fn fail(&mut self, error: Error) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(error));
        }
    }

    /// How many pieces there are to run, as far as is known: a text has at least one.
    pub(super) fn pieces_min(&self) -> usize {
        self.ready.len() + self.order.len() - self.next
    }

    /// Up to so many pieces, of texts that are prepared as it takes; adds to `cut` the texts that were
    /// cut.
    pub(super) fn take(
        &mut self,
        most: usize,
        model: &Loaded,
        cut: &mut u64,
    ) -> Result<Vec<Piece>> {
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
    pub(super) fn keep(&mut self, piece: &Piece, made: Made, model: &Loaded) {
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

    /// The reply, once every text has run.
    pub(super) fn reply_if_done(&mut self) -> Option<Reply> {
        if self.finished < self.texts.len() {
            return None;
        }
        let to = self.reply.take()?;
        let answer = if self.query.is_some() {
            Answer::Scores(std::mem::take(&mut self.scores))
        } else {
            Answer::Vectors(self.vectors.drain(..).flatten().collect())
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
