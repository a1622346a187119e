//! How the answers of a run leave.
//!
//! A run answers up to 16 askers, and each of them has work for the threads that serve clients:
//! rows to write, the next statement to read. Were all told at once, whoever asks for a row then
//! would stand behind all of them. So while the next run computes, and nobody's next text would run
//! any sooner, they are told a few at a time; when nothing computes, at once.

use super::job::Reply;
use crate::error::{Error, Result};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{collections::VecDeque, sync::Arc, thread::JoinHandle, time::Duration};

/// So many leave together: whoever asks for a row meanwhile waits for what is done for them.
const TOGETHER: usize = 4;
/// Between those and the next; several times what it takes to serve them.
const PAUSE_MAX: Duration = Duration::from_millis(4);

/// Hands answers out. Those that are left when it is dropped leave at once.
pub(super) struct Answers {
    line: Arc<Line>,
    thread: Option<JoinHandle<()>>,
}

struct Line {
    state: Mutex<State>,
    changed: Condvar,
    pause_max: Duration,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Reply>,
    /// After those that leave together.
    pause: Duration,
    is_closed: bool,
}

impl Answers {
    pub(super) fn start() -> Result<Self> {
        Self::with(PAUSE_MAX)
    }

    fn with(pause_max: Duration) -> Result<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let line = Arc::new(Line { state, changed, pause_max });
        let thread = std::thread::Builder::new()
            .name("nearlake-answers".to_owned())
            .spawn({
                let line = Arc::clone(&line);
                move || line.hand_out()
            })
            .map_err(|error| Error::internal("cannot start a thread").source(error))?;
        Ok(Self { line, thread: Some(thread) })
    }

    /// Replies leave within so long, or sooner.
    pub(super) fn hand_out(&self, replies: Vec<Reply>, within: Duration) {
        if replies.len() <= TOGETHER {
            replies.into_iter().for_each(Reply::send);
            return;
        }
        let mut state = self.line.state.lock();
        state.waiting.extend(replies);
        let times = u32::try_from(state.waiting.len().div_ceil(TOGETHER)).unwrap_or(u32::MAX);
        state.pause = (within / times).min(self.line.pause_max);
        self.line.changed.notify_one();
    }

    /// Nothing computes any more: whoever is left is told now.
    pub(super) fn hurry(&self) {
        let mut state = self.line.state.lock();
        if !state.waiting.is_empty() {
            state.pause = Duration::ZERO;
            self.line.changed.notify_one();
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        {
            let mut state = self.line.state.lock();
            state.is_closed = true;
            state.pause = Duration::ZERO;
            self.line.changed.notify_one();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Line {
    fn hand_out(&self) {
        let mut state = self.state.lock();
        loop {
            let count = state.waiting.len().min(TOGETHER);
            if count > 0 {
                let next: Vec<Reply> = state.waiting.drain(..count).collect();
                MutexGuard::unlocked(&mut state, || next.into_iter().for_each(Reply::send));
                let pause = state.pause;
                if !pause.is_zero() {
                    self.changed.wait_for(&mut state, pause);
                }
            } else if state.is_closed {
                return;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::job::Answer;
    use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

    const HOUR: Duration = Duration::from_secs(3600);

    fn replies(count: u8) -> (Vec<Reply>, Vec<Receiver<Result<Answer>>>) {
        (0..count)
            .map(|n| {
                let (to, answer) = oneshot::channel();
                (Reply { to, answer: Answer::Scores(vec![f32::from(n)]) }, answer)
            })
            .unzip()
    }

    #[test]
    fn few_leave_on_the_spot() {
        let answers = Answers::start().unwrap();
        let (replies, mut told) = replies(4);
        answers.hand_out(replies, Duration::from_secs(3600));
        assert!(told.iter_mut().all(|answer| answer.try_recv().is_ok()));
    }

    /// Answers whose first are told and whose others wait for an hour.
    fn begun() -> (Answers, Vec<Receiver<Result<Answer>>>) {
        let answers = Answers::with(HOUR).unwrap();
        let (replies, mut told) = replies(200);
        answers.hand_out(replies, HOUR * 200);
        let mut others = told.split_off(TOGETHER);
        assert!(all_told(told));
        let is_waiting =
            |answer: &mut Receiver<_>| matches!(answer.try_recv(), Err(TryRecvError::Empty));
        assert!(others.iter_mut().all(is_waiting));
        (answers, others)
    }

    fn all_told(told: Vec<Receiver<Result<Answer>>>) -> bool {
        told.into_iter().all(|answer| answer.blocking_recv().is_ok())
    }

    #[test]
    fn many_leave_in_their_order_and_each_gets_its_own() {
        let answers = Answers::start().unwrap();
        let (replies, told) = replies(30);
        answers.hand_out(replies, Duration::from_millis(30));
        for (n, answer) in told.into_iter().enumerate() {
            match answer.blocking_recv().unwrap().unwrap() {
                Answer::Scores(scores) => assert_eq!(scores, [n as f32]),
                Answer::Vectors(_) => unreachable!("scores were sent"),
            }
        }
    }

    #[test]
    fn the_rest_leaves_when_nothing_computes_any_more() {
        let (answers, others) = begun();
        answers.hurry();
        assert!(all_told(others));
    }

    #[test]
    fn nobody_is_left_waiting_when_it_ends() {
        let (answers, others) = begun();
        drop(answers);
        assert!(all_told(others));
    }
}
