//! What couriers did lately, for people to look at: forgotten at a restart.

use crate::ids::Oid;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// So many deliveries of a webhook are remembered.
const DELIVERED_MAX: usize = 200;

/// What is remembered of a letter.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The event.
    pub id: Arc<str>,
    /// What it tells of.
    pub kind: Arc<str>,
    /// The commit that it tells of.
    pub commit: u64,
    /// When it was written: microseconds since 1970.
    pub created_micros: i64,
    /// How often it was sent.
    pub attempts: u32,
    /// When the last attempt began.
    pub attempted_micros: i64,
    /// How long that took.
    pub took_micros: i64,
    /// What the endpoint answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What is remembered of a webhook.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// The letter that is being sent, once an attempt failed.
    pub current: Option<Attempt>,
    /// Letters that arrived, the newest last.
    pub delivered: VecDeque<Attempt>,
    /// How many arrived since the start.
    pub delivered_count: u64,
    /// How many attempts failed since the start.
    pub failed_count: u64,
    /// What the last failed attempt met.
    pub last_error: Option<String>,
}

/// What couriers did lately.
#[derive(Debug, Default)]
pub struct History {
    tracks: Mutex<HashMap<Oid, Track>>,
}

impl History {
    /// What is remembered of a webhook.
    #[must_use]
    pub fn track(&self, webhook: Oid) -> Track {
        self.tracks.lock().get(&webhook).cloned().unwrap_or_default()
    }

    /// Forgets webhooks that are gone.
    pub fn retain(&self, is_there: impl Fn(Oid) -> bool) {
        self.tracks.lock().retain(|&webhook, _| is_there(webhook));
    }

    /// A letter arrived.
    pub(super) fn delivered(&self, webhook: Oid, attempt: Attempt) {
        let mut tracks = self.tracks.lock();
        let track = tracks.entry(webhook).or_default();
        track.current = None;
        track.delivered_count += 1;
        if track.delivered.len() == DELIVERED_MAX {
            track.delivered.pop_front();
        }
        track.delivered.push_back(attempt);
    }

    /// An attempt failed.
    pub(super) fn failed(&self, webhook: Oid, attempt: Attempt) {
        let mut tracks = self.tracks.lock();
        let track = tracks.entry(webhook).or_default();
        track.failed_count += 1;
        track.last_error.clone_from(&attempt.error);
        track.current = Some(attempt);
    }

    /// A letter was given up.
    pub(super) fn gave_up(&self, webhook: Oid) {
        if let Some(track) = self.tracks.lock().get_mut(&webhook) {
            track.current = None;
        }
    }
}
