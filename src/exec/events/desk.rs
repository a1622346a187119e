//! What waits for each webhook: the outbox without its payloads, in memory.

use crate::{
    catalog::webhook::Terms,
    ids::{Oid, RowId},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::Notify;

/// So many waiting events are shown.
const SHOWN_MAX: usize = 1000;

/// An event in the outbox, without its payload.
#[derive(Debug, Clone)]
pub struct Brief {
    /// Its row.
    pub place: RowId,
    /// Its id.
    pub id: Arc<str>,
    /// What it tells of.
    pub kind: &'static str,
    /// The commit that it tells of.
    pub commit: u64,
    /// When it was written: microseconds since 1970.
    pub created_micros: i64,
    /// The length of its payload.
    pub bytes: u64,
    /// Of a dead letter: how often it was sent.
    pub attempts: u32,
    /// Of a dead letter: what the last attempt met.
    pub error: Option<Arc<str>>,
}

/// What waits for a webhook, to be looked at.
#[derive(Debug, Clone, Default)]
pub struct DeskView {
    /// The first of the events that wait.
    pub waiting: Vec<Brief>,
    /// How many wait.
    pub waiting_count: usize,
    /// Bytes of their payloads.
    pub waiting_bytes: u64,
    /// Dead letters, the oldest first.
    pub dead: Vec<Brief>,
    /// Events lost since the start.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Desk {
    waiting: VecDeque<Brief>,
    dead: VecDeque<Brief>,
    /// Events and bytes that wait, or will once they are written.
    events: usize,
    bytes: u64,
    lost: u64,
    arrived: Arc<Notify>,
}

/// The desks of all webhooks.
#[derive(Debug, Default)]
pub(super) struct Desks(Mutex<HashMap<Oid, Desk>>);

/// What all desks hold together.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Totals {
    pub(super) waiting: usize,
    pub(super) bytes: u64,
    pub(super) dead: usize,
    pub(super) oldest_micros: Option<i64>,
}

impl Desks {
    fn with<T>(&self, webhook: Oid, work: impl FnOnce(&mut Desk) -> T) -> T {
        work(self.0.lock().entry(webhook).or_default())
    }

    pub(super) fn view(&self, webhook: Oid) -> DeskView {
        self.with(webhook, |desk| DeskView {
            waiting: desk.waiting.iter().take(SHOWN_MAX).cloned().collect(),
            waiting_count: desk.waiting.len(),
            waiting_bytes: desk.bytes,
            dead: desk.dead.iter().cloned().collect(),
            lost: desk.lost,
        })
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for desk in self.0.lock().values() {
            totals.waiting += desk.waiting.len();
            totals.bytes += desk.bytes;
            totals.dead += desk.dead.len();
            let oldest = desk.waiting.front().map(|brief| brief.created_micros);
            totals.oldest_micros = totals.oldest_micros.into_iter().chain(oldest).min();
        }
        totals
    }

    /// Makes room for an event, if there is. After an overflow (`is_open` gap) there is none before
    /// a tenth of the desk is free again.
    pub(super) fn reserve(
        &self,
        webhook: Oid,
        bytes: u64,
        terms: &Terms,
        is_gap_open: bool,
    ) -> bool {
        self.with(webhook, |desk| {
            let (events_max, bytes_max) = match is_gap_open {
                false => (terms.outbox_events_max, terms.outbox_bytes_max),
                true => (
                    terms.outbox_events_max.saturating_mul(9) / 10,
                    terms.outbox_bytes_max.saturating_mul(9) / 10,
                ),
            };
            let fits = desk.events < events_max.max(1) && desk.bytes + bytes <= bytes_max;
            if fits {
                desk.events += 1;
                desk.bytes += bytes;
            }
            fits
        })
    }

    pub(super) fn lose(&self, webhook: Oid, events: u64) {
        self.with(webhook, |desk| desk.lost += events);
    }

    /// An event was written; room was made for it.
    pub(super) fn arrive(&self, webhook: Oid, brief: Brief) {
        let arrived = self.with(webhook, |desk| {
            desk.waiting.push_back(brief);
            Arc::clone(&desk.arrived)
        });
        arrived.notify_one();
    }

    /// An event that is there already, and needs room however full it is.
    pub(super) fn squeeze(&self, webhook: Oid, bytes: u64) {
        self.with(webhook, |desk| {
            desk.events += 1;
            desk.bytes += bytes;
        });
    }

    /// An event does not wait any more.
    pub(super) fn remove(&self, webhook: Oid, place: RowId) -> Option<Brief> {
        self.with(webhook, |desk| {
            let at = desk.waiting.binary_search_by_key(&place, |brief| brief.place).ok()?;
            let brief = desk.waiting.remove(at)?;
            desk.events = desk.events.saturating_sub(1);
            desk.bytes = desk.bytes.saturating_sub(brief.bytes);
            Some(brief)
        })
    }

    pub(super) fn bury(&self, webhook: Oid, brief: Brief) {
        self.with(webhook, |desk| desk.dead.push_back(brief));
    }

    /// The dead letters beyond a number, the oldest.
    pub(super) fn too_many_dead(&self, webhook: Oid, most: usize) -> Vec<Brief> {
        self.with(webhook, |desk| {
            let surplus = desk.dead.len().saturating_sub(most);
            desk.dead.drain(..surplus).collect()
        })
    }

    /// Takes dead letters: that of an id, or all.
    pub(super) fn exhume(&self, webhook: Oid, event: Option<&str>) -> Vec<Brief> {
        self.with(webhook, |desk| {
            let is_meant = |brief: &Brief| event.is_none_or(|id| &*brief.id == id);
            let (taken, left): (VecDeque<Brief>, _) = desk.dead.drain(..).partition(is_meant);
            desk.dead = left;
            taken.into()
        })
    }

    /// Takes the dead letter of a row.
    pub(super) fn exhume_at(&self, webhook: Oid, place: RowId) {
        self.with(webhook, |desk| desk.dead.retain(|brief| brief.place != place));
    }

    /// Forgets a webhook; the places of all its rows.
    pub(super) fn clear(&self, webhook: Oid) -> Vec<RowId> {
        let desk = self.0.lock().remove(&webhook).unwrap_or_default();
        desk.waiting.iter().chain(&desk.dead).map(|brief| brief.place).collect()
    }

    pub(super) fn webhooks(&self) -> Vec<Oid> {
        self.0.lock().keys().copied().collect()
    }

    /// The first events behind a place, as many as may be read together, and what tells of more.
    pub(super) fn behind(
        &self,
        webhook: Oid,
        place: Option<u64>,
        (events_max, bytes_max): (usize, u64),
    ) -> (Vec<Brief>, Arc<Notify>) {
        self.with(webhook, |desk| {
            let from = place
                .map_or(0, |place| desk.waiting.partition_point(|brief| brief.place.0 <= place));
            let mut bytes = 0;
            let fits = |brief: &&Brief| {
                let is_first = bytes == 0;
                bytes += brief.bytes.max(1);
                is_first || bytes <= bytes_max
            };
            let briefs = desk.waiting.iter().skip(from).take(events_max).take_while(fits);
            (briefs.cloned().collect(), Arc::clone(&desk.arrived))
        })
    }
}
