//! One turn of the post: what is to be written, and its one commit.

use super::Post;
use crate::{
    catalog::{Webhook, webhook::OUTBOX},
    error::Result,
    exec::{
        commit::{Commit, TableCommit},
        events::{
            desk::Brief,
            outbox::{self, Entry, Kept},
            payload::Envelope,
        },
    },
    ids::{Lsn, Oid, RowId},
};
use roaring::RoaringTreemap;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::oneshot;

/// A turn with so many events, or bytes of them, is written at once.
const ENTRIES_MAX: usize = 1000;
const BYTES_MAX: usize = 4 << 20;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Turn {
    entries: Vec<Entry>,
    bytes: usize,
    deletes: RoaringTreemap,
    gaps: HashMap<Oid, Gap>,
    answers: Vec<(oneshot::Sender<Result<u64>>, Result<u64>)>,
}

/// Events of a webhook that had no room.
#[derive(Debug)]
struct Gap {
    webhook: Arc<Webhook>,
    first: Lsn,
    last: Lsn,
    events: u64,
    /// As it was written last.
    id: Option<Arc<str>>,
    /// Where it stands in the outbox: as an event, and as a dead letter.
    places: Option<(RowId, RowId)>,
    is_dirty: bool,
    is_open: bool,
}

impl Turn {
    pub(super) fn add(&mut self, entry: Entry) {
        self.bytes += entry.payload.len();
        self.entries.push(entry);
    }

    pub(super) fn delete(&mut self, place: RowId) {
        self.deletes.insert(place.0);
    }

    pub(super) fn answer(&mut self, reply: oneshot::Sender<Result<u64>>, done: Result<u64>) {
        self.answers.push((reply, done));
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX
    }

    /// A webhook is gone, with what was to be written for it.
    pub(super) fn forget(&mut self, webhook: Oid) {
        self.entries.retain(|entry| entry.webhook != webhook);
        self.gaps.remove(&webhook);
    }

    pub(super) fn is_gap_open(&self, webhook: Oid) -> bool {
        self.gaps.get(&webhook).is_some_and(|gap| gap.is_open)
    }

    /// The next event that has no room begins another gap.
    pub(super) fn close_gap(&mut self, webhook: Oid) {
        if let Some(gap) = self.gaps.get_mut(&webhook) {
            gap.is_open = false;
        }
    }

    /// Whether a gap began with it.
    pub(super) fn widen_gap(&mut self, webhook: &Arc<Webhook>, commit: Lsn, events: u64) -> bool {
        if let Some(gap) = self.gaps.get_mut(&webhook.id).filter(|gap| gap.is_open) {
            gap.last = commit;
            gap.events += events;
            gap.is_dirty = true;
            return false;
        }
        let gap = Gap {
            webhook: Arc::clone(webhook),
            first: commit,
            last: commit,
            events,
            id: None,
            places: None,
            is_dirty: true,
            is_open: true,
        };
        // One that was closed and is not written yet loses nothing: it is written first.
        self.gaps.insert(webhook.id, gap);
        true
    }
}

impl Post {
    /// Writes the turn, if there is anything in it.
    pub(super) async fn write(&mut self) -> Result<()> {
        self.write_gaps();
        let moves =
            self.cursor != self.stored && (self.is_cursor_due() || !self.turn.entries.is_empty());
        if self.turn.entries.is_empty() && self.turn.deletes.is_empty() && !moves {
            self.answer_all();
            return Ok(());
        }
        let cursor = self.cursor;
        let mut entries = self.turn.entries.clone();
        let mut deletes = self.turn.deletes.clone();
        if moves {
            entries.push(cursor.entry(self.parts.clock.now_micros()));
            deletes.extend(self.cursor_row.map(|row| row.0));
        }
        let mut table = TableCommit::new(OUTBOX);
        if !entries.is_empty() {
            table.rows.push(outbox::batch(&entries)?);
        }
        table.deletes = deletes;
        self.parts.committer.commit(Commit { tables: vec![table], ..Commit::default() }).await?;
        // Nobody else inserts there, so these are the last rows.
        let end = self.parts.states.snapshot().table(OUTBOX).next_row().0;
        let first = end - entries.len() as u64;
        self.turn.entries.clear();
        self.turn.bytes = 0;
        self.turn.deletes.clear();
        for (entry, place) in entries.into_iter().zip(first..) {
            self.written(entry, RowId(place));
        }
        if moves {
            self.stored = cursor;
            self.stored_at = self.parts.clock.elapsed();
            self.has_news = cursor.partial > 0;
            self.events.stored_up_to(cursor.lsn);
        }
        self.answer_all();
        Ok(())
    }

    fn written(&mut self, entry: Entry, place: RowId) {
        let brief = Brief { place, ..entry.brief };
        let gap = self.turn.gaps.get_mut(&entry.webhook);
        let gap = gap.filter(|gap| gap.id.as_ref() == Some(&brief.id));
        match (entry.kept, gap) {
            (Kept::Waiting, Some(gap)) => gap.places = Some((place, place)),
            (Kept::Dead, Some(gap)) => {
                gap.places = gap.places.map(|(event, _)| (event, place));
            }
            _ => {}
        }
        match entry.kept {
            Kept::Waiting => self.events.desks.arrive(entry.webhook, brief),
            Kept::Dead => {
                self.events.desks.bury(entry.webhook, brief);
                let webhook = super::webhook_of(&self.parts.states, entry.webhook);
                let most = webhook.and_then(|webhook| webhook.terms().ok());
                let most = most.map_or(usize::MAX, |terms| terms.dead_letters_max);
                for forgotten in self.events.desks.too_many_dead(entry.webhook, most) {
                    self.turn.delete(forgotten.place);
                }
            }
            Kept::Cursor => self.cursor_row = Some(place),
        }
    }

    /// Writes down gaps that grew: the event and its dead letter are written anew.
    fn write_gaps(&mut self) {
        let now = self.parts.clock.now_micros();
        let state = self.parts.states.snapshot();
        let dirty = self.turn.gaps.values_mut().filter(|gap| gap.is_dirty);
        let mut entries = Vec::new();
        let mut gone = Vec::new();
        for gap in dirty {
            gap.is_dirty = false;
            let (webhook, first, last) = (&gap.webhook, gap.first.0, gap.last.0);
            gone.extend(gap.places.take().map(|places| (webhook.id, places)));
            let id = format!("evt_{}_{first}_g{last}", webhook.stamp);
            let envelope =
                Envelope { webhook, names: &state.catalog, table: None, commit: last, micros: now };
            let rest = format!(
                "\"reason\":\"overflow\",\"lost\":{{\"events\":{},\"first_commit\":{first},\"last_commit\":{last}}}",
                gap.events
            );
            let payload: Arc<str> = envelope.seal(&id, "gap", &rest).into();
            let id: Arc<str> = id.into();
            gap.id = Some(Arc::clone(&id));
            let brief = Brief {
                place: RowId(0),
                id,
                kind: "gap",
                commit: last,
                created_micros: now,
                bytes: payload.len() as u64,
                attempts: 0,
                error: None,
            };
            let dead = Brief { error: Some("the outbox was full".into()), ..brief.clone() };
            let entry = |kept, brief| Entry {
                webhook: webhook.id,
                kept,
                brief,
                payload: Arc::clone(&payload),
            };
            entries.push(entry(Kept::Waiting, brief));
            entries.push(entry(Kept::Dead, dead));
        }
        for (webhook, (event, dead)) in gone {
            self.events.desks.remove(webhook, event);
            self.events.desks.exhume_at(webhook, dead);
            self.turn.delete(event);
            self.turn.delete(dead);
        }
        for entry in entries {
            if entry.kept == Kept::Waiting {
                self.events.desks.squeeze(entry.webhook, entry.brief.bytes);
            }
            self.turn.add(entry);
        }
    }

    fn answer_all(&mut self) {
        for (reply, done) in self.turn.answers.drain(..) {
            let _ = reply.send(done);
        }
    }
}
