//! What is sent, to whom on what terms, and what became of it.

use super::secret::Secret;
use crate::{error::Result, ids::Oid};
use async_trait::async_trait;
use std::{fmt, sync::Arc, time::Duration};
use url::Url;

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its place in the outbox: those of one webhook are sent in this order.
    pub place: u64,
    /// What tells it from every other event; the same however often it is sent.
    pub id: Arc<str>,
    /// What it tells of.
    pub kind: Arc<str>,
    /// The commit that it tells of.
    pub commit: u64,
    /// When it was written: microseconds since 1970.
    pub created_micros: i64,
    /// The body as it is signed and sent.
    pub payload: Arc<str>,
}

/// Whether letters are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// As they come.
    Sending,
    /// Not before the endpoint answers again.
    Paused,
    /// Not at all.
    Stopped,
}

/// To whom letters go, and on what terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The webhook.
    pub webhook: Oid,
    /// Its name, for the log.
    pub name: String,
    /// Where.
    pub url: Url,
    /// What letters are signed with, each until its time: microseconds since 1970.
    pub secrets: Vec<(Secret, Option<i64>)>,
    /// Whether letters are sent.
    pub going: Going,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// After so many attempts a letter is dead.
    pub attempts_max: u32,
    /// The first pause after a failed attempt, and the longest.
    pub backoff: (Duration, Duration),
    /// After so many dead letters in a row the webhook is paused; 0: never.
    pub pause_after: u32,
    /// How often the endpoint of a paused webhook is tried.
    pub probe_every: Duration,
}

/// What a courier reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A letter arrived.
    Delivered {
        /// Which.
        place: u64,
    },
    /// A letter was given up.
    Dead {
        /// Which.
        place: u64,
        /// How often it was sent.
        attempts: u32,
        /// What the last attempt met.
        error: String,
    },
    /// The endpoint does not answer: sending is paused.
    Pause {
        /// Why.
        reason: String,
    },
    /// It answers again.
    Resume,
}

/// Where letters wait, and where couriers report.
#[async_trait]
pub trait Letters: fmt::Debug + Send + Sync {
    /// Some letters of a webhook behind a place, in order; waits until there is one.
    ///
    /// # Errors
    /// Those of the store.
    async fn next(&self, webhook: Oid, behind: Option<u64>) -> Result<Vec<Letter>>;

    /// Takes a report; waits while there are too many.
    async fn report(&self, webhook: Oid, report: Report);
}
