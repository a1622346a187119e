//! What people at the counter want: reports of couriers, orders of sessions, alarms, numbers.

use super::{Post, webhook_of};
use crate::{
    catalog::{
        Change, Webhook,
        webhook::{EventKind, OUTBOX, Status},
    },
    error::{Error, ErrorKind, Result, SqlState},
    exec::{
        commit::{Base, Commit},
        events::{
            Alarm, Order,
            desk::Brief,
            draft::Draft,
            outbox::{self, Entry, Kept},
            payload::{Envelope, quoted},
        },
    },
    ids::{Lsn, Oid, RowId},
    webhook::Report,
};
use std::sync::Arc;

/// So many reports are taken in one turn.
const REPORTS_MAX: usize = 1000;

impl Post {
    pub(super) async fn take_reports(&mut self) {
        for _ in 0..REPORTS_MAX {
            let Ok((webhook, report)) = self.reports.try_recv() else { return };
            self.report(webhook, report).await;
        }
    }

    pub(super) async fn report(&mut self, webhook: Oid, report: Report) {
        match report {
            Report::Delivered { place } => {
                if self.events.desks.remove(webhook, RowId(place)).is_some() {
                    self.turn.delete(RowId(place));
                }
            }
            Report::Dead { place, attempts, error } => {
                if let Err(failed) = self.bury(webhook, RowId(place), attempts, &error).await {
                    // It waits on, and is tried again after the next start.
                    tracing::error!(error = %failed, "a dead letter cannot be written");
                }
            }
            Report::Pause { reason } => {
                self.set_status(webhook, Status::Paused, Some(reason)).await
            }
            Report::Resume => self.set_status(webhook, Status::Enabled, None).await,
        }
    }

    /// An event becomes a dead letter.
    async fn bury(&mut self, webhook: Oid, place: RowId, attempts: u32, error: &str) -> Result<()> {
        let rows = self.parts.states.snapshot().table(OUTBOX);
        let payload = outbox::payloads(&rows, &[place]).await?.remove(0);
        let Some(brief) = self.events.desks.remove(webhook, place) else { return Ok(()) };
        let brief = Brief { attempts, error: Some(error.into()), ..brief };
        self.turn.delete(place);
        self.turn.add(Entry { webhook, kept: Kept::Dead, brief, payload });
        Ok(())
    }

    /// Pauses a webhook or lets it go on, unless somebody else decided meanwhile.
    async fn set_status(&mut self, id: Oid, status: Status, reason: Option<String>) {
        let Some(webhook) = webhook_of(&self.parts.states, id) else { return };
        let expected = match status {
            Status::Paused => Status::Enabled,
            _ => Status::Paused,
        };
        if webhook.status != expected {
            return;
        }
        tracing::info!(webhook = %webhook.name, status = status.word(), "a webhook's endpoint was judged");
        let was = Some(Change::Webhook(Arc::clone(&webhook)));
        let change =
            Change::Webhook(Arc::new(Webhook { status, reason, ..Webhook::clone(&webhook) }));
        let bases = vec![Base { change: change.clone(), was }];
        let commit = Commit { changes: vec![change], bases, ..Commit::default() };
        match self.parts.committer.commit(commit).await {
            Ok(_) => {}
            // Somebody altered it: what they said counts.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => {
                tracing::error!(webhook = %webhook.name, %error, "a webhook cannot be paused or resumed");
            }
        }
    }

    /// Gives an event its room, or counts it in a gap.
    pub(super) fn admit(&mut self, draft: Draft) {
        if webhook_of(&self.parts.states, draft.webhook.id).is_none() {
            return;
        }
        self.parts.metrics.webhook_events.with_label_values(&[draft.kind]).inc();
        if draft.lost > 0 {
            self.events.desks.lose(draft.webhook.id, draft.lost);
            self.parts.metrics.webhook_events_lost.inc_by(draft.lost);
        }
        let Ok(terms) = draft.webhook.terms() else { return };
        let (id, bytes) = (draft.webhook.id, draft.payload.len() as u64);
        let is_gap_open = self.turn.is_gap_open(id);
        if !self.events.desks.reserve(id, bytes, &terms, is_gap_open) {
            self.lose(&draft.webhook, draft.commit, 1);
            return;
        }
        self.turn.close_gap(id);
        let brief = Brief {
            place: RowId(0),
            id: draft.id.into(),
            kind: draft.kind,
            commit: draft.commit.0,
            created_micros: self.parts.clock.now_micros(),
            bytes,
            attempts: 0,
            error: None,
        };
        let payload = draft.payload.into();
        self.turn.add(Entry { webhook: id, kept: Kept::Waiting, brief, payload });
    }

    /// Counts events that are not told, in the webhook's gap.
    pub(super) fn lose(&mut self, webhook: &Arc<Webhook>, commit: Lsn, events: u64) {
        self.events.desks.lose(webhook.id, events);
        self.parts.metrics.webhook_events_lost.inc_by(events);
        if self.turn.widen_gap(webhook, commit, events) {
            tracing::warn!(webhook = %webhook.name, %commit, "the outbox of a webhook is full: events are lost");
        }
    }

    /// An event that no commit made.
    fn aside(&mut self, webhook: &Arc<Webhook>, kind: &'static str, letter: char, rest: &str) {
        let state = self.parts.states.snapshot();
        let random = self.parts.clock.random();
        let id = format!("evt_{}_{}_{letter}{random:016x}", webhook.stamp, state.lsn);
        let envelope = Envelope {
            webhook,
            names: &state.catalog,
            table: webhook.table.and_then(|table| state.catalog.table(table)).map(|table| &**table),
            commit: state.lsn.0,
            micros: self.parts.clock.now_micros(),
        };
        let payload = envelope.seal(&id, kind, rest);
        let webhook = Arc::clone(webhook);
        self.admit(Draft { webhook, id, kind, commit: state.lsn, payload, lost: 0 });
    }

    /// Tells of recall that fell below its target.
    pub(super) fn alarm(&mut self, alarm: &Alarm) {
        let catalog = Arc::clone(&self.parts.states.snapshot().catalog);
        let Some(index) = catalog.index(alarm.index) else { return };
        let Some(table) = catalog.table(index.table) else { return };
        let (measured, low, high) = alarm.measured;
        let rest = format!(
            "\"index\":{},\"filter\":{},\"target\":{:.3},\"measured\":{measured:.4},\"low\":{low:.4},\"high\":{high:.4},\"samples\":{}",
            quoted(&index.name),
            quoted(alarm.filter),
            alarm.target,
            alarm.samples
        );
        let kind = EventKind::RecallBelowTarget;
        for webhook in catalog.webhooks_of(table).filter(|webhook| webhook.wants(kind, table.id)) {
            self.aside(webhook, kind.word(), 'r', &rest);
        }
    }

    pub(super) async fn carry_out(&mut self, order: &Order) -> Result<u64> {
        let (Order::Test { webhook: id }
        | Order::Replay { webhook: id, .. }
        | Order::Forget { webhook: id, .. }) = order;
        let webhook = webhook_of(&self.parts.states, *id).ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_OBJECT, "the webhook does not exist any more")
        })?;
        let event = match order {
            Order::Test { .. } => {
                self.aside(&webhook, "test", 't', "");
                return Ok(1);
            }
            Order::Replay { event, .. } | Order::Forget { event, .. } => event.as_deref(),
        };
        let dead = self.events.desks.exhume(*id, event);
        if let (Some(event), true) = (event, dead.is_empty()) {
            let message = format!("webhook \"{}\" has no dead letter \"{event}\"", webhook.name);
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message)
                .hint("nearlake_webhook_deliveries lists them, with state dead."));
        }
        let count = dead.len() as u64;
        if matches!(order, Order::Replay { .. }) {
            self.send_again(&webhook, dead).await?;
        } else {
            dead.iter().for_each(|brief| self.turn.delete(brief.place));
        }
        Ok(count)
    }

    /// Dead letters wait again, behind those that wait.
    async fn send_again(&mut self, webhook: &Arc<Webhook>, dead: Vec<Brief>) -> Result<()> {
        let rows = self.parts.states.snapshot().table(OUTBOX);
        let places: Vec<RowId> = dead.iter().map(|brief| brief.place).collect();
        let payloads = match outbox::payloads(&rows, &places).await {
            Ok(payloads) => payloads,
            Err(error) => {
                dead.into_iter().for_each(|brief| self.events.desks.bury(webhook.id, brief));
                return Err(error);
            }
        };
        for (brief, payload) in dead.into_iter().zip(payloads) {
            self.turn.delete(brief.place);
            self.events.desks.squeeze(webhook.id, brief.bytes);
            let brief = Brief { attempts: 0, error: None, ..brief };
            self.turn.add(Entry { webhook: webhook.id, kept: Kept::Waiting, brief, payload });
        }
        Ok(())
    }

    /// Tells the metrics how the outbox does.
    pub(super) fn count(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (metrics, totals) = (&self.parts.metrics, self.events.desks.totals());
        metrics.webhook_queue.set(gauge(totals.waiting as u64));
        metrics.webhook_queue_bytes.set(gauge(totals.bytes));
        metrics.webhook_dead_letters.set(gauge(totals.dead as u64));
        let now = self.parts.clock.now_micros();
        let age = totals.oldest_micros.map_or(0, |oldest| now.saturating_sub(oldest));
        metrics.webhook_queue_age_seconds.set(age.max(0) / 1_000_000);
        let state = self.parts.states.snapshot();
        let paused = |webhook: &&Arc<Webhook>| webhook.status == Status::Paused;
        metrics.webhooks_paused.set(gauge(state.catalog.webhooks().filter(paused).count() as u64));
        let lag = match state.catalog.has_webhooks() {
            true => state.lsn.0.saturating_sub(self.cursor.lsn.0),
            false => 0,
        };
        metrics.webhook_lag_commits.set(gauge(lag));
    }
}
