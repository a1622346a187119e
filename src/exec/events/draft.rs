//! One record of the log becomes events: who is told of it, and what.
//!
//! The same record gives the same events in the same order, so that what was stored of it already can
//! be passed over.

use super::{
    Committed,
    audience::{Audience, Open},
    named::Named,
    payload::{Envelope, Rendered, quoted},
    told::Told,
};
use crate::{
    catalog::{
        Catalog, Change, Table, Webhook,
        webhook::{Carried, EventKind, OUTBOX},
    },
    error::{Error, Result},
    exec::table::column_specs,
    ids::{Lsn, Oid, RowId},
    storage::{
        columns::{ColumnSpec, batch_of, columns_of},
        segment::{Segment, SegmentStore},
        table::TableState,
        wal::TableChange,
    },
};
use arrow::array::{Array as _, BooleanArray, RecordBatch};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::Arc,
};

/// So many rows are looked at together.
const ROWS: usize = 4096;

/// Who knows which rows satisfy a condition: that is SQL's business.
#[async_trait]
pub trait Judge: fmt::Debug + Send + Sync {
    /// Which rows, columns in the order of the table's, satisfy a webhook's condition. What the
    /// names mean is what `names` says.
    ///
    /// # Errors
    /// Those of the condition.
    async fn judge(
        &self,
        webhook: &Arc<Webhook>,
        table: &Arc<Table>,
        names: &Arc<Catalog>,
        rows: &RecordBatch,
    ) -> Result<BooleanArray>;
}

/// An event that has no place in the outbox yet.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) webhook: Arc<Webhook>,
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) commit: Lsn,
    pub(super) payload: String,
    /// How many rows could not be told of, in an event of kind `gap`.
    pub(super) lost: u64,
}

/// Where drafts go.
#[async_trait]
pub(super) trait Tray: Send {
    async fn put(&mut self, draft: Draft) -> Result<()>;
}

/// Makes events of a record.
pub(super) struct Drafter<'a> {
    committed: &'a Committed,
    judge: &'a dyn Judge,
    segments: &'a SegmentStore,
    tray: &'a mut dyn Tray,
    /// Events so far, by webhook.
    ordinals: HashMap<Oid, u64>,
}

/// Rows of one kind, columns in the order of the table's.
struct Chunk<'a> {
    rows: &'a RecordBatch,
    /// By row: the old row whose place it took, in the told batch.
    replaces: Vec<Option<usize>>,
}

impl<'a> Drafter<'a> {
    pub(super) fn new(
        committed: &'a Committed,
        judge: &'a dyn Judge,
        segments: &'a SegmentStore,
        tray: &'a mut dyn Tray,
    ) -> Self {
        Self { committed, judge, segments, tray, ordinals: HashMap::new() }
    }

    /// Puts all events of the record on the tray.
    pub(super) async fn run(mut self) -> Result<()> {
        if !self.committed.record.catalog.is_empty() {
            self.names().await?;
        }
        let committed = self.committed;
        for change in &committed.record.tables {
            let Some(table) = committed.after.table(change.table) else { continue };
            if change.table == OUTBOX || committed.after.is_temporary(table.schema) {
                continue;
            }
            self.table(change, table).await?;
        }
        Ok(())
    }

    /// Those who were there before the record: it is not told to those that it creates.
    fn is_told(&self, webhook: &Webhook) -> bool {
        self.committed.before.webhook(webhook.id).is_some()
    }

    async fn put(
        &mut self,
        webhook: &Arc<Webhook>,
        kind: &'static str,
        table: Option<&Table>,
        (rest, lost): (&str, u64),
    ) -> Result<()> {
        let ordinal = self.ordinals.entry(webhook.id).or_default();
        let commit = self.committed.record.lsn;
        let id = format!("evt_{}_{commit}_{ordinal}", webhook.stamp);
        *ordinal += 1;
        let record = &self.committed.record;
        let envelope = Envelope {
            webhook,
            names: &self.committed.after,
            table,
            commit: commit.0,
            micros: record.time_micros,
        };
        let payload = envelope.seal(&id, kind, rest);
        let webhook = Arc::clone(webhook);
        self.tray.put(Draft { webhook, id, kind, commit, payload, lost }).await
    }

    /// Changes of names: DDL, and indexes that were built.
    async fn names(&mut self) -> Result<()> {
        let committed = self.committed;
        let (before, after) = (&committed.before, &committed.after);
        let changes: Vec<Change> = serde_json::from_slice(&self.committed.record.catalog)
            .map_err(|error| Error::corrupt("the log", format!("catalog changes: {error}")))?;
        let named: Vec<Named> =
            changes.iter().filter_map(|c| Named::of(c, before, after)).collect();
        for webhook in after.webhooks() {
            if !self.is_told(webhook) {
                continue;
            }
            let concerns = |named: &&Named| match (webhook.table, named.table) {
                _ if named.database.is_some_and(|database| database != webhook.database) => false,
                (None, _) => true,
                (Some(own), table) => table == Some(own),
            };
            let concerned: Vec<&Named> = named.iter().filter(concerns).collect();
            let own = webhook.table.unwrap_or_default();
            if webhook.wants(EventKind::Ddl, own) && !concerned.is_empty() {
                let all: Vec<String> = concerned.iter().map(|named| named.json()).collect();
                let rest = format!("\"changes\":[{}]", all.join(","));
                let table = webhook.table.and_then(|id| after.table(id)).cloned();
                self.put(webhook, EventKind::Ddl.word(), table.as_deref(), (&rest, 0)).await?;
            }
            if !webhook.wants(EventKind::IndexBuilt, own) {
                continue;
            }
            for named in concerned.iter().filter(|named| named.is_built_index) {
                let rest = format!("\"index\":{}", quoted(&named.bare));
                let table = named.table.and_then(|id| after.table(id)).cloned();
                let kind = EventKind::IndexBuilt.word();
                self.put(webhook, kind, table.as_deref(), (&rest, 0)).await?;
            }
        }
        Ok(())
    }

    /// Whether a column's replacement took its place: then every row was written anew, and nobody
    /// changed any.
    fn is_switch(&self, table: &Table) -> bool {
        let (before, after) = (&self.committed.before, &self.committed.after);
        let columns = before.table(table.id).map(|before| before.columns.as_slice());
        columns.unwrap_or_default().iter().any(|old| {
            let (Some(coming), Some(new)) = (&old.replacement, table.column(&old.name)) else {
                return false;
            };
            after.table(coming.values).is_none()
                && new.generated.as_ref() == Some(&coming.generated)
                && new.models == coming.models
                && (&new.generated, &new.models) != (&old.generated, &old.models)
        })
    }

    /// Changes of one table's rows.
    async fn table(&mut self, change: &TableChange, table: &Arc<Table>) -> Result<()> {
        let names = Arc::clone(&self.committed.after);
        let specs = column_specs(table)?;
        let specs = specs.as_slice();
        let mut audiences = Vec::new();
        for webhook in names.webhooks_of(table).filter(|webhook| self.is_told(webhook)) {
            audiences.push(Audience::new(webhook, table)?);
        }
        if audiences.is_empty() || change.truncate && self.is_switch(table) {
            return Ok(());
        }
        if change.truncate {
            for audience in audiences.iter().filter(|a| a.wants(EventKind::Truncate)) {
                let kind = EventKind::Truncate.word();
                self.put(&audience.webhook, kind, Some(table), ("", 0)).await?;
            }
        }
        let told = Told::of(change, table, specs)?;
        self.deleted(change, &told, (table, specs), &mut audiences).await?;
        self.added(change, &told, (table, specs), &mut audiences).await?;
        for audience in &mut audiences {
            for (kind, open) in std::mem::take(&mut audience.open) {
                self.close(&audience.webhook, kind, table, open).await?;
            }
            if let Some((lost, error)) = audience.failed.take() {
                let rest = format!(
                    "\"reason\":\"condition\",\"error\":{},\"lost\":{{\"rows\":{lost}}}",
                    quoted(error.message())
                );
                self.put(&audience.webhook, "gap", Some(table), (&rest, lost)).await?;
            }
        }
        Ok(())
    }

    /// Rows that are gone, and that none took the place of.
    async fn deleted(
        &mut self,
        change: &TableChange,
        told: &Told,
        (table, specs): (&Arc<Table>, &[ColumnSpec]),
        audiences: &mut [Audience],
    ) -> Result<()> {
        if !audiences.iter().any(|audience| audience.wants(EventKind::Delete)) {
            return Ok(());
        }
        let Some(rows) = &told.rows else {
            // They were deleted while the webhook was being created; their values are not known.
            let gone = change.deletes.iter().filter(|&row| row < change.first_row.0).count();
            let known = |a: &&mut Audience| {
                a.wants(EventKind::Delete) && a.webhook.condition.is_none() && gone > 0
            };
            for audience in audiences.iter_mut().filter(known) {
                audience.open.entry(EventKind::Delete).or_default().count = gone;
            }
            return Ok(());
        };
        for first in (0..rows.num_rows()).step_by(ROWS) {
            let part = rows.slice(first, ROWS.min(rows.num_rows() - first));
            let mut rendered = Rendered::new(table, specs, part.columns());
            for audience in audiences.iter_mut().filter(|a| a.wants(EventKind::Delete)) {
                let Some(mask) = self.mask(audience, table, &part).await else { continue };
                rendered.make(&audience.old)?;
                for at in (0..part.num_rows()).filter(|&at| told.is_deleted(first + at)) {
                    if !is_set(mask.as_ref(), at) {
                        continue;
                    }
                    let old = audience.old_json(&rendered, at);
                    let row = if old.is_empty() { old } else { format!("{{{old}}}") };
                    self.add(audience, EventKind::Delete, table, &row).await?;
                }
            }
        }
        Ok(())
    }

    /// New rows, some of which took the places of others.
    async fn added(
        &mut self,
        change: &TableChange,
        told: &Told,
        (table, specs): (&Arc<Table>, &[ColumnSpec]),
        audiences: &mut [Audience],
    ) -> Result<()> {
        let kinds = [EventKind::Insert, EventKind::Update];
        if !audiences.iter().any(|a| kinds.iter().any(|&kind| a.wants(kind))) {
            return Ok(());
        }
        let old_columns = told.rows.as_ref().map_or(&[][..], RecordBatch::columns);
        let mut old = Rendered::new(table, specs, old_columns);
        let mut next = 0;
        if !change.segments.is_empty() {
            let mut opened = Vec::new();
            for meta in &change.segments {
                opened.push(Arc::new(Segment::open(self.segments, meta.clone()).await?));
            }
            let own = change.deletes.iter().filter_map(|row| row.checked_sub(change.first_row.0));
            let rows = TableState::empty().append_segments(&opened).delete(&own.collect());
            next = rows.next_row().0;
            for group in rows.groups() {
                let columns = group.columns(specs).await?;
                let all = batch_of(specs, columns, group.len())?;
                let (ids, mask) = (group.row_ids(), group.live_mask());
                let live: BooleanArray = match mask {
                    Some(mask) => BooleanArray::new(mask, None),
                    None => BooleanArray::from(vec![true; group.len()]),
                };
                let rows = arrow::compute::filter_record_batch(&all, &live)?;
                let offsets: Vec<u64> = ids
                    .iter()
                    .zip(live.iter())
                    .filter(|(_, live)| *live == Some(true))
                    .map(|(RowId(offset), _)| offset)
                    .collect();
                self.chunks(&rows, &offsets, (told, &mut old), (table, specs), audiences).await?;
            }
        }
        if let Some(batch) = &change.rows {
            let rows = batch_of(specs, columns_of(batch, specs)?, batch.num_rows())?;
            let offsets: Vec<u64> = (next..).take(rows.num_rows()).collect();
            self.chunks(&rows, &offsets, (told, &mut old), (table, specs), audiences).await?;
        }
        Ok(())
    }

    async fn chunks(
        &mut self,
        rows: &RecordBatch,
        offsets: &[u64],
        (told, old): (&Told, &mut Rendered<'_>),
        table: (&Arc<Table>, &[ColumnSpec]),
        audiences: &mut [Audience],
    ) -> Result<()> {
        for first in (0..rows.num_rows()).step_by(ROWS) {
            let len = ROWS.min(rows.num_rows() - first);
            let replaces = offsets[first..first + len].iter();
            let replaces = replaces.map(|offset| told.replaced.get(offset).copied()).collect();
            let chunk = Chunk { rows: &rows.slice(first, len), replaces };
            self.chunk(&chunk, old, table, audiences).await?;
        }
        Ok(())
    }

    async fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        old: &mut Rendered<'_>,
        (table, specs): (&Arc<Table>, &[ColumnSpec]),
        audiences: &mut [Audience],
    ) -> Result<()> {
        let mut new = Rendered::new(table, specs, chunk.rows.columns());
        let kind_of = |at: usize| match chunk.replaces[at] {
            Some(_) => EventKind::Update,
            None => EventKind::Insert,
        };
        for audience in audiences {
            let wanted: Vec<usize> =
                (0..chunk.rows.num_rows()).filter(|&at| audience.wants(kind_of(at))).collect();
            if wanted.is_empty() {
                continue;
            }
            let Some(mask) = self.mask(audience, table, chunk.rows).await else { continue };
            new.make(&audience.rows)?;
            if chunk.replaces.iter().any(Option::is_some) {
                old.make(&audience.old)?;
            }
            for at in wanted.into_iter().filter(|&at| is_set(mask.as_ref(), at)) {
                let mut row = match chunk.replaces[at] {
                    Some(origin) => audience.old_json(old, origin),
                    None => String::new(),
                };
                if audience.terms.rows != Carried::Nothing {
                    let comma = if row.is_empty() { "" } else { "," };
                    let _ = write!(row, "{comma}\"new\":{}", new.row(at, &audience.rows));
                }
                if !row.is_empty() {
                    row = format!("{{{row}}}");
                }
                self.add(audience, kind_of(at), table, &row).await?;
            }
        }
        Ok(())
    }

    /// Which rows an audience is told of; `None`: its condition failed.
    async fn mask(
        &mut self,
        audience: &mut Audience,
        table: &Arc<Table>,
        rows: &RecordBatch,
    ) -> Option<Option<BooleanArray>> {
        if audience.webhook.condition.is_none() {
            return Some(None);
        }
        match self.judge.judge(&audience.webhook, table, &self.committed.after, rows).await {
            Ok(mask) => Some(Some(mask)),
            Err(error) => {
                let lost = audience.failed.as_ref().map_or(0, |(lost, _)| *lost);
                let webhook = &audience.webhook.name;
                tracing::warn!(%webhook, table = %table.name, %error, "a webhook's condition failed");
                audience.failed = Some((lost + rows.num_rows() as u64, error));
                None
            }
        }
    }

    /// Adds a row to an event, and closes it when it is full.
    async fn add(
        &mut self,
        audience: &mut Audience,
        kind: EventKind,
        table: &Table,
        row: &str,
    ) -> Result<()> {
        let open = audience.open.entry(kind).or_default();
        let is_full = open.count > 0
            && (open.count >= audience.terms.rows_max
                || open.rows.len() + row.len() > audience.terms.bytes_max);
        if is_full {
            let full = std::mem::take(open);
            self.close(&audience.webhook, kind, table, full).await?;
        }
        let open = audience.open.entry(kind).or_default();
        if open.count > 0 && !row.is_empty() {
            open.rows.push(',');
        }
        open.rows.push_str(row);
        open.count += 1;
        Ok(())
    }

    async fn close(
        &mut self,
        webhook: &Arc<Webhook>,
        kind: EventKind,
        table: &Table,
        open: Open,
    ) -> Result<()> {
        let mut rest = format!("\"count\":{}", open.count);
        if !open.rows.is_empty() {
            let _ = write!(rest, ",\"rows\":[{}]", open.rows);
        }
        self.put(webhook, kind.word(), Some(table), (&rest, 0)).await
    }
}

fn is_set(mask: Option<&BooleanArray>, at: usize) -> bool {
    mask.is_none_or(|mask| mask.is_valid(at) && mask.value(at))
}
