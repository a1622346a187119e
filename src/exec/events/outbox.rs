//! The rows of the outbox (`docs/format/outbox.md`).

use super::desk::Brief;
use crate::{
    catalog::webhook::OUTBOX_COLUMNS,
    error::{Error, Result},
    ids::{ColumnId, Lsn, Oid, RowId},
    storage::{
        columns::{ColumnSpec, batch_of},
        table::TableState,
    },
};
use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{Int32Type, Int64Type},
};
use std::sync::Arc;

/// The kind of the row that is the cursor.
const CURSOR: &str = "cursor";
/// Every kind of event.
const KINDS: [&str; 10] = [
    "insert",
    "update",
    "delete",
    "truncate",
    "ddl",
    "index_built",
    "recall_below_target",
    "gap",
    "test",
    CURSOR,
];

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Waiting = 0,
    Dead = 1,
    Cursor = 2,
}

/// A row that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) webhook: Oid,
    pub(super) kept: Kept,
    /// Its place is known once it is written.
    pub(super) brief: Brief,
    pub(super) payload: Arc<str>,
}

/// How far the log was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    /// Everything up to this commit.
    pub(super) lsn: Lsn,
    /// So many events of the commit behind it.
    pub(super) partial: u64,
}

impl Cursor {
    pub(super) fn entry(self, now: i64) -> Entry {
        let brief = Brief {
            place: RowId(0),
            id: "".into(),
            kind: CURSOR,
            commit: self.lsn.0,
            created_micros: now,
            bytes: 0,
            attempts: u32::try_from(self.partial).unwrap_or(u32::MAX),
            error: None,
        };
        Entry { webhook: Oid(0), kept: Kept::Cursor, brief, payload: "".into() }
    }
}

/// What a row was found to be.
#[derive(Debug)]
pub(super) enum Found {
    Event(Oid, Kept, Brief),
    Cursor(RowId, Cursor),
}

fn specs() -> Vec<ColumnSpec> {
    let ids = (1..).map(ColumnId);
    let columns = ids.zip(OUTBOX_COLUMNS);
    columns.map(|(id, (_, kind))| ColumnSpec::new(id, kind)).collect()
}

/// Rows as storage keeps them.
pub(super) fn batch(entries: &[Entry]) -> Result<RecordBatch> {
    fn longs(entries: &[Entry], value: impl Fn(&Entry) -> i64) -> ArrayRef {
        Arc::new(entries.iter().map(|entry| Some(value(entry))).collect::<Int64Array>())
    }
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let ints = |value: &dyn Fn(&Entry) -> i32| -> ArrayRef {
        Arc::new(entries.iter().map(|entry| Some(value(entry))).collect::<Int32Array>())
    };
    let texts = |value: &dyn Fn(&Entry) -> Option<String>| -> ArrayRef {
        Arc::new(entries.iter().map(value).collect::<StringArray>())
    };
    let columns = vec![
        longs(entries, |entry| entry.webhook.0.into()),
        texts(&|entry| Some(entry.brief.id.to_string())),
        texts(&|entry| Some(entry.brief.kind.to_owned())),
        longs(entries, |entry| signed(entry.brief.commit)),
        longs(entries, |entry| entry.brief.created_micros),
        ints(&|entry| entry.kept as i32),
        ints(&|entry| i32::try_from(entry.brief.attempts).unwrap_or(i32::MAX)),
        texts(&|entry| entry.brief.error.as_deref().map(str::to_owned)),
        longs(entries, |entry| signed(entry.brief.bytes)),
        texts(&|entry| Some(entry.payload.to_string())),
    ];
    batch_of(&specs(), columns, entries.len())
}

/// Every row, in order, without payloads.
pub(super) async fn scan(rows: &TableState) -> Result<Vec<Found>> {
    let mut specs = specs();
    specs.pop();
    let mut found = Vec::new();
    for group in rows.groups() {
        let columns = group.columns(&specs).await?;
        let (ids, mask) = (group.row_ids(), group.live_mask());
        for at in 0..group.len() {
            if mask.as_ref().is_none_or(|mask| mask.value(at)) {
                found.push(row(&columns, at, ids.row(at))?);
            }
        }
    }
    Ok(found)
}

fn row(columns: &[ArrayRef], at: usize, place: RowId) -> Result<Found> {
    let damaged = || Error::corrupt("the outbox of webhooks", format!("row {place}"));
    let long = |column: usize| columns[column].as_primitive::<Int64Type>().value(at);
    let int = |column: usize| columns[column].as_primitive::<Int32Type>().value(at);
    let text = |column: usize| columns[column].as_string::<i32>().value(at);
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| damaged());
    let attempts = u32::try_from(int(6)).map_err(|_| damaged())?;
    let kept = match int(5) {
        0 => Kept::Waiting,
        1 => Kept::Dead,
        2 => {
            let cursor = Cursor { lsn: Lsn(unsigned(long(3))?), partial: attempts.into() };
            return Ok(Found::Cursor(place, cursor));
        }
        _ => return Err(damaged()),
    };
    let kind = KINDS.into_iter().find(|kind| *kind == text(2)).ok_or_else(damaged)?;
    let brief = Brief {
        place,
        id: text(1).into(),
        kind,
        commit: unsigned(long(3))?,
        created_micros: long(4),
        bytes: unsigned(long(8))?,
        attempts,
        error: columns[7].is_valid(at).then(|| text(7).into()),
    };
    let webhook = u32::try_from(long(0)).map_err(|_| damaged())?;
    Ok(Found::Event(Oid(webhook), kept, brief))
}

/// The payloads of rows, in the order given.
pub(super) async fn payloads(rows: &TableState, places: &[RowId]) -> Result<Vec<Arc<str>>> {
    let payload = specs().pop().expect("the outbox has columns");
    let taken = rows.take(places, &[payload]).await?;
    let texts = taken.column(0).as_string::<i32>();
    Ok((0..places.len()).map(|at| Arc::from(texts.value(at))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_come_back_as_they_were_written() {
        let brief = Brief {
            place: RowId(0),
            id: "evt_1".into(),
            kind: "insert",
            commit: 7,
            created_micros: 99,
            bytes: 2,
            attempts: 3,
            error: Some("no".into()),
        };
        let entry = Entry { webhook: Oid(5), kept: Kept::Dead, brief, payload: "{}".into() };
        let cursor = Cursor { lsn: Lsn(8), partial: 2 };
        let rows = TableState::empty().append(&batch(&[entry, cursor.entry(1)]).unwrap());

        let found = scan(&rows).await.unwrap();
        assert!(matches!(&found[0], Found::Event(Oid(5), Kept::Dead, brief)
            if &*brief.id == "evt_1" && brief.attempts == 3 && brief.bytes == 2));
        assert!(matches!(&found[1], Found::Cursor(RowId(1), found) if *found == cursor));
        let texts = payloads(&rows, &[RowId(0)]).await.unwrap();
        assert_eq!(&*texts[0], "{}");
    }
}
