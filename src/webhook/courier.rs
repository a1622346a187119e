//! One webhook's letters in their order, one request at a time.
//!
//! ```text
//!   Sending ──2xx──> the next letter
//!      │ ──other──> a pause, twice as long each time and less a random part, then the same letter
//!      │              '──attempts_max──> a dead letter, then the next
//!      │ ──pause_after dead letters in a row, or 410──> Paused
//!   Paused ──every probe_every: the same letter once──2xx──> Sending
//!   Stopped   until somebody enables the webhook
//! ```

use super::{
    history::{Attempt, History},
    letter::{Endpoint, Going, Letter, Letters, Report},
    sender::{Answer, Sender},
};
use crate::{clock::SharedClock, telemetry::Metrics};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a courier rests when letters cannot be read.
const REST: Duration = Duration::from_secs(1);

/// Sends a webhook's letters.
#[derive(Debug)]
pub struct Courier {
    /// Where letters wait.
    pub letters: Arc<dyn Letters>,
    /// To whom they go; changes as the webhook does.
    pub endpoint: watch::Receiver<Endpoint>,
    /// What sends them.
    pub sender: Sender,
    /// What was done lately.
    pub history: Arc<History>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Time and chance.
    pub clock: SharedClock,
}

/// What to do with a letter after an attempt.
enum Next {
    Letter,
    Again,
}

/// What a courier remembers between letters.
#[derive(Debug, Default)]
struct Mood {
    /// Attempts at the present letter.
    attempts: u32,
    /// Dead letters in a row.
    deaths: u32,
    /// Paused, before the catalog says so.
    is_paused: bool,
}

impl Courier {
    /// Sends letters until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut mood = Mood::default();
        let mut behind = None;
        let mut ready: VecDeque<Letter> = VecDeque::new();
        loop {
            if self.endpoint.has_changed().unwrap_or(false) {
                // Whoever altered the webhook, or resumed it, means it to be tried anew.
                mood = Mood::default();
            }
            let to = self.endpoint.borrow_and_update().clone();
            if to.going == Going::Stopped {
                if self.endpoint.changed().await.is_err() {
                    return;
                }
                self.endpoint.mark_changed();
                continue;
            }
            if let Some(letter) = ready.front() {
                let letter = letter.clone();
                if let Next::Letter = self.attempt(&letter, &to, &mut mood).await {
                    behind = Some(letter.place);
                    ready.pop_front();
                    mood.attempts = 0;
                }
                continue;
            }
            tokio::select! {
                next = self.letters.next(to.webhook, behind) => match next {
                    Ok(letters) => ready.extend(letters),
                    Err(error) => {
                        tracing::warn!(webhook = %to.name, %error, "letters cannot be read");
                        self.clock.sleep(REST).await;
                    }
                },
                changed = self.endpoint.changed() => match changed {
                    Ok(()) => self.endpoint.mark_changed(),
                    Err(_) => return,
                },
            }
        }
    }

    /// Sends a letter once, and waits as long as it takes before anything else may be sent.
    async fn attempt(&mut self, letter: &Letter, to: &Endpoint, mood: &mut Mood) -> Next {
        mood.attempts += 1;
        let (begun, started) = (self.clock.now_micros(), self.clock.elapsed());
        let answer = self.sender.send(letter, to).await;
        let took = self.clock.elapsed().saturating_sub(started);
        self.metrics.webhook_attempt_seconds.observe(took.as_secs_f64());
        let mut attempt = Attempt {
            id: Arc::clone(&letter.id),
            kind: Arc::clone(&letter.kind),
            commit: letter.commit,
            created_micros: letter.created_micros,
            attempts: mood.attempts,
            attempted_micros: begun,
            took_micros: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            status: None,
            error: None,
        };
        let is_paused = mood.is_paused || to.going == Going::Paused;
        let (error, retry_after) = match answer {
            Answer::Taken(status) => {
                attempt.status = Some(status);
                self.count("delivered");
                self.history.delivered(to.webhook, attempt);
                if is_paused {
                    self.letters.report(to.webhook, Report::Resume).await;
                }
                self.letters.report(to.webhook, Report::Delivered { place: letter.place }).await;
                *mood = Mood::default();
                return Next::Letter;
            }
            Answer::Failed { status, error, retry_after } => {
                attempt.status = status;
                (error, retry_after)
            }
            Answer::Gone => {
                attempt.status = Some(410);
                let reason = "the endpoint answered 410: it wants no more events";
                if !is_paused {
                    self.pause(to, mood, reason).await;
                }
                (reason.to_owned(), None)
            }
        };
        self.count("failed");
        let is_paused = is_paused || mood.is_paused;
        tracing::debug!(webhook = %to.name, event = %letter.id, attempts = mood.attempts, %error, "a delivery failed");
        attempt.error = Some(error.clone());
        self.history.failed(to.webhook, attempt);
        if is_paused {
            self.rest(to.probe_every).await;
            return Next::Again;
        }
        if mood.attempts < to.attempts_max {
            self.rest(self.backoff(to, mood.attempts, retry_after)).await;
            return Next::Again;
        }
        self.count("dead");
        tracing::warn!(webhook = %to.name, event = %letter.id, attempts = mood.attempts, %error, "an event is a dead letter");
        let (place, attempts) = (letter.place, mood.attempts);
        self.history.gave_up(to.webhook);
        let report = Report::Dead { place, attempts, error: error.clone() };
        self.letters.report(to.webhook, report).await;
        mood.deaths += 1;
        if to.pause_after > 0 && mood.deaths >= to.pause_after {
            self.pause(to, mood, &error).await;
        }
        Next::Letter
    }

    async fn pause(&self, to: &Endpoint, mood: &mut Mood, reason: &str) {
        mood.is_paused = true;
        tracing::warn!(webhook = %to.name, reason, "a webhook is paused");
        self.letters.report(to.webhook, Report::Pause { reason: reason.to_owned() }).await;
    }

    /// Waits, but not over a change of the webhook.
    async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = self.clock.sleep(pause) => {}
            changed = self.endpoint.changed() => match changed {
                Ok(()) => self.endpoint.mark_changed(),
                Err(_) => self.clock.sleep(pause).await,
            },
        }
    }

    /// Between half of a pause and all of it, so that those who failed together return apart.
    fn backoff(&self, to: &Endpoint, attempts: u32, retry_after: Option<Duration>) -> Duration {
        let (least, most) = to.backoff;
        let pause = least.saturating_mul(2_u32.saturating_pow(attempts - 1)).min(most);
        let half = pause / 2;
        let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        let pause = half + Duration::from_micros(self.clock.random() % span);
        pause.max(retry_after.unwrap_or_default().min(most))
    }

    fn count(&self, outcome: &str) {
        self.metrics.webhook_attempts.with_label_values(&[outcome]).inc();
    }
}
