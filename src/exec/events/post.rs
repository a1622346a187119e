//! The post: the one task that writes the outbox.
//!
//! Each turn it takes what there is (records, reports of couriers, orders, alarms), and writes all that
//! follows from it in one commit: new events with the cursor, and the end of old ones. So the cursor says
//! exactly what is stored. What a failed turn did not write is done again in the next.

mod counter;
mod courier;
mod turn;

use super::{
    Committed, Events, Judge, Order, Orders,
    committed::Taken,
    draft::{Draft, Drafter, Tray},
    outbox::{self, Cursor, Found, Kept},
};
use crate::{
    catalog::{Catalog, Change, Webhook, webhook::OUTBOX},
    clock::SharedClock,
    error::{Error, ErrorKind, Result},
    exec::{commit::Committer, state::States},
    ids::{Lsn, Oid, RowId},
    storage::{manifest::Manifest, segment::SegmentStore, store::Store, wal},
    telemetry::Metrics,
    webhook::{Report, Sender, address::Reach},
};
use async_trait::async_trait;
use courier::{Couriers, Mail};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;
use turn::Turn;

/// So many reports may wait; then couriers do.
const REPORTS_MAX: usize = 1024;
/// How often the post looks around when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long reports are collected before they are written.
const COLLECT: Duration = Duration::from_millis(20);
/// How long it rests after a failure.
const REST: Duration = Duration::from_secs(1);
/// How far the stored cursor may lie behind, in time, while nobody is told of anything.
const CURSOR_EVERY: Duration = Duration::from_secs(5);

/// Where the log begins that a start finds: the manifest's place, and the names there.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The log up to here is in the manifest.
    pub lsn: Lsn,
    /// The names of then.
    pub names: Arc<Catalog>,
}

impl Origin {
    /// That of the manifest from which a start began.
    ///
    /// # Errors
    /// XX001 when its names cannot be read.
    pub fn of(manifest: &Manifest) -> Result<Self> {
        let names = match &manifest.catalog {
            serde_json::Value::Null => Catalog::default(),
            names => serde_json::from_value(names.clone())
                .map_err(|error| Error::corrupt(manifest.path().as_str(), error))?,
        };
        Ok(Self { lsn: manifest.lsn, names: Arc::new(names) })
    }
}

/// What the post works with.
#[derive(Debug)]
pub struct Parts {
    /// The pictures, where [`Events`] are.
    pub states: Arc<States>,
    /// Who commits.
    pub committer: Committer,
    /// Where large transactions wrote their rows.
    pub segments: SegmentStore,
    /// Where the log is.
    pub store: Store,
    /// Who knows what conditions mean.
    pub judge: Arc<dyn Judge>,
    /// Where webhooks may go.
    pub reach: Reach,
    /// Where couriers run.
    pub io: Handle,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Time and chance.
    pub clock: SharedClock,
}

/// The post, to be run by the node.
#[derive(Debug)]
pub struct Post {
    parts: Parts,
    events: Arc<Events>,
    orders: Orders,
    reports: mpsc::Receiver<(Oid, Report)>,
    couriers: Couriers,
    /// Records that were taken and not yet looked at.
    pending: VecDeque<Committed>,
    /// Whether records were left to the log.
    is_lost: bool,
    /// How far the log was looked at: in memory, and as it is stored.
    cursor: Cursor,
    stored: Cursor,
    stored_at: Duration,
    cursor_row: Option<RowId>,
    /// Whether commits of others were looked at since the cursor was stored.
    has_news: bool,
    /// The names after a record, for reading the log behind it.
    origin: Origin,
    turn: Turn,
}

impl Post {
    /// For a node. Nothing happens before it runs.
    ///
    /// # Errors
    /// When there is one already, or no client for requests.
    pub fn new(parts: Parts, origin: Origin) -> Result<Self> {
        let events = Arc::clone(parts.states.events());
        let twice = || Error::internal("events have a post already");
        let orders = events.taken.lock().take().ok_or_else(twice)?;
        events.reach.set(parts.reach).map_err(|_| twice())?;
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let requests = Sender::new(parts.reach, Arc::clone(&parts.clock))?;
        let mail = Mail::new(Arc::clone(&parts.states), sender);
        let couriers = Couriers::new(mail, requests, &parts);
        Ok(Self {
            events,
            orders,
            reports,
            couriers,
            pending: VecDeque::new(),
            is_lost: false,
            cursor: Cursor::default(),
            stored: Cursor::default(),
            stored_at: Duration::ZERO,
            cursor_row: None,
            has_news: false,
            origin,
            turn: Turn::default(),
            parts,
        })
    }

    /// Works until it is told to stop; then what was delivered by then is written down.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Err(error) = self.open().await {
            tracing::error!(%error, "the outbox of webhooks cannot be read");
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.parts.clock.sleep(REST) => {}
            }
        }
        while !stop.is_cancelled() {
            self.attend();
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                report = self.reports.recv() => report,
                order = self.orders.recv() => {
                    if let Some((order, reply)) = order {
                        self.order(order, reply).await;
                    }
                    None
                }
                () = self.events.ready.notified() => None,
                () = self.parts.clock.sleep(LOOK_EVERY) => None,
            };
            if let Some((webhook, report)) = first {
                self.report(webhook, report).await;
                self.parts.clock.sleep(COLLECT).await;
            }
            self.take_reports().await;
            while let Ok((order, reply)) = self.orders.try_recv() {
                self.order(order, reply).await;
            }
            let looked = self.look().await;
            // What was committed before an event counts when it is sent: another secret, another URL.
            self.attend();
            let worked = match looked {
                Ok(()) => self.write().await,
                failed => failed,
            };
            if let Err(error) = worked {
                tracing::error!(%error, "webhooks wait");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.parts.clock.sleep(REST) => {}
                }
            }
            self.count();
        }
        self.couriers.stop().await;
        self.take_reports().await;
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "some deliveries will be repeated after the next start");
        }
    }

    /// Finds what the outbox holds, and where the log was left.
    async fn open(&mut self) -> Result<()> {
        let state = self.parts.states.snapshot();
        self.cursor_row = None;
        self.stored = Cursor::default();
        for webhook in self.events.desks.webhooks() {
            self.events.desks.clear(webhook);
        }
        for found in outbox::scan(&state.table(OUTBOX)).await? {
            match found {
                Found::Cursor(place, cursor) => {
                    (self.cursor_row, self.stored) = (Some(place), cursor);
                }
                Found::Event(webhook, Kept::Dead, brief) => self.events.desks.bury(webhook, brief),
                Found::Event(webhook, _, brief) => {
                    self.events.desks.squeeze(webhook, brief.bytes);
                    self.events.desks.arrive(webhook, brief);
                }
            }
        }
        self.cursor = self.stored;
        match state.catalog.told_since() {
            Some(since) if since > self.cursor.lsn => self.begin(since),
            Some(_) => {}
            None => self.begin(state.lsn),
        }
        self.is_lost = self.cursor.lsn < state.lsn;
        if self.is_lost {
            tracing::info!(from = %self.cursor.lsn, to = %state.lsn, "webhooks read the log");
        }
        Ok(())
    }

    /// Nobody is told of what happened before.
    fn begin(&mut self, since: Lsn) {
        self.cursor = Cursor { lsn: since, partial: 0 };
        self.stored = self.cursor;
        self.events.stored_up_to(since);
    }

    /// Follows what the catalog says of webhooks.
    fn attend(&mut self) {
        let state = self.parts.states.snapshot();
        if let Some(since) = state.catalog.told_since()
            && since > self.cursor.lsn
            && self.pending.is_empty()
        {
            self.begin(since);
            self.origin = Origin { lsn: state.lsn, names: Arc::clone(&state.catalog) };
        }
        for gone in self.couriers.attend(&state.catalog, &self.events) {
            for place in self.events.desks.clear(gone) {
                self.turn.delete(place);
            }
            self.turn.forget(gone);
        }
    }

    /// Looks at what was committed.
    async fn look(&mut self) -> Result<()> {
        match self.events.tail.take() {
            Taken::Records(records) => self.pending.extend(records),
            Taken::Lost => {
                self.is_lost = true;
                self.pending.clear();
            }
        }
        if self.is_lost {
            self.read_log().await?;
            self.is_lost = false;
        }
        while let Some(committed) = self.pending.pop_front() {
            if let Err(error) = self.tell(&committed).await {
                self.pending.push_front(committed);
                return Err(error);
            }
        }
        let alarms: Vec<_> = self.events.alarms.lock().drain(..).collect();
        for alarm in alarms {
            self.alarm(&alarm);
        }
        Ok(())
    }

    /// Reads what was left to the log.
    async fn read_log(&mut self) -> Result<()> {
        let end = self.parts.states.snapshot().lsn;
        let from = self.origin.lsn.min(self.cursor.lsn);
        let mut replay = wal::read(&self.parts.store, from, end).await?;
        while let Some(record) = replay.next().await? {
            let before = Arc::clone(&self.origin.names);
            if record.lsn > self.origin.lsn {
                self.origin.lsn = record.lsn;
                if !record.catalog.is_empty() {
                    let changes: Vec<Change> =
                        serde_json::from_slice(&record.catalog).map_err(|error| {
                            Error::corrupt("the log", format!("catalog changes: {error}"))
                        })?;
                    self.origin.names = Arc::new(before.with(&changes));
                }
            }
            let after = Arc::clone(&self.origin.names);
            self.tell(&Committed { record, before, after }).await?;
        }
        Ok(())
    }

    /// Makes the events of a record, unless it was looked at before.
    async fn tell(&mut self, committed: &Committed) -> Result<()> {
        let lsn = committed.record.lsn;
        if lsn > self.cursor.lsn {
            let own = |table: &wal::TableChange| table.table == OUTBOX;
            let is_own =
                committed.record.catalog.is_empty() && committed.record.tables.iter().all(own);
            if !is_own && committed.before.has_webhooks() {
                self.draft(committed).await?;
                self.has_news = true;
            }
            self.cursor = Cursor { lsn, partial: 0 };
        }
        if lsn >= self.origin.lsn {
            self.origin = Origin { lsn, names: Arc::clone(&committed.after) };
        }
        Ok(())
    }

    async fn draft(&mut self, committed: &Committed) -> Result<()> {
        let (judge, segments) = (Arc::clone(&self.parts.judge), self.parts.segments.clone());
        let mut desk = Slots { post: self, seen: 0 };
        let drafted = Drafter::new(committed, judge.as_ref(), &segments, &mut desk).run().await;
        match drafted {
            // What cannot be read now will not be read later; the log must not wait for it.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal) => {
                tracing::error!(commit = %committed.record.lsn, %error, "a commit cannot be told of");
                for webhook in committed.after.webhooks() {
                    self.lose(webhook, committed.record.lsn, 1);
                }
                Ok(())
            }
            drafted => drafted,
        }
    }

    /// Writes the cursor when it has been still for long.
    fn is_cursor_due(&self) -> bool {
        let waited = self.parts.clock.elapsed().saturating_sub(self.stored_at);
        self.has_news && self.cursor != self.stored && waited >= CURSOR_EVERY
    }

    async fn order(&mut self, order: Order, reply: oneshot::Sender<Result<u64>>) {
        let done = self.carry_out(&order).await;
        self.turn.answer(reply, done);
    }
}

/// Where drafts become events of a turn, past those that are stored already.
struct Slots<'a> {
    post: &'a mut Post,
    seen: u64,
}

#[async_trait]
impl Tray for Slots<'_> {
    async fn put(&mut self, draft: Draft) -> Result<()> {
        self.seen += 1;
        if self.seen <= self.post.cursor.partial {
            return Ok(());
        }
        self.post.admit(draft);
        self.post.cursor.partial += 1;
        if self.post.turn.is_full() {
            // The cursor stands before this commit and counts what is there of it: the lsn that is
            // stored is the one before, since this one's is set at its end.
            self.post.write().await?;
        }
        Ok(())
    }
}

/// The webhook of an oid, by now.
fn webhook_of(states: &States, id: Oid) -> Option<Arc<Webhook>> {
    states.snapshot().catalog.webhook(id).cloned()
}
