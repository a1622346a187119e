//! What the log carries of rows that are deleted or replaced, for webhooks: gathered before the commit,
//! where the rows are still there, and taken out of the record when its events are drafted.

use crate::{
    catalog::{Change, Table},
    error::{Error, Result, SqlState},
    exec::{state::States, table::column_specs},
    ids::{RowId, TableId},
    storage::{
        columns::{ColumnSpec, batch_bytes, batch_of, columns_of},
        wal::{TOLD_NEW, TOLD_ROW, TableChange},
    },
};
use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, UInt64Array},
    compute::concat_batches,
    datatypes::{Schema, UInt64Type},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// So many rows are read at a time.
const ROWS: usize = 8192;
/// So many bytes of old values one table's part of a record may carry.
const BYTES_MAX: u64 = 256 << 20;

/// What webhooks are told of rows that a transaction takes away; `None` when none of them asks. Each
/// row comes with the place of the one that takes its place.
///
/// # Errors
/// 54000 when it is too much for one record.
pub(in crate::exec) async fn told(
    gone: &BTreeMap<RowId, Option<u64>>,
    table: TableId,
    changes: &[Change],
    states: &States,
) -> Result<Option<RecordBatch>> {
    let state = states.snapshot();
    let catalog = match changes.is_empty() {
        true => Arc::clone(&state.catalog),
        false => Arc::new(state.catalog.with(changes)),
    };
    let Some(entry) = catalog.table(table) else { return Ok(None) };
    let Some(columns) = catalog.told_old_columns(entry) else { return Ok(None) };
    let specs: Vec<ColumnSpec> =
        column_specs(entry)?.into_iter().filter(|spec| columns.contains(&spec.id)).collect();
    let rows = state.table(table);
    let gone: Vec<(RowId, Option<u64>)> = gone.iter().map(|(&row, &new)| (row, new)).collect();
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for portion in gone.chunks(ROWS) {
        let ids: Vec<RowId> = portion.iter().map(|(row, _)| *row).collect();
        let batch = rows.take(&ids, &specs).await?;
        bytes += batch_bytes(&batch);
        if bytes > BYTES_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "webhooks are told of the old rows of \"{}\", and these are too many for one \
                     transaction",
                    entry.name
                ),
            )
            .hint("Change fewer rows at a time, or set old_rows = keys for the webhook."));
        }
        batches.push(with_places(&batch, portion)?);
    }
    let Some(first) = batches.first() else { return Ok(None) };
    concat_batches(&first.schema(), &batches)
        .map(Some)
        .map_err(|error| Error::internal("old rows").source(error))
}

fn with_places(batch: &RecordBatch, rows: &[(RowId, Option<u64>)]) -> Result<RecordBatch> {
    let ids = UInt64Array::from_iter_values(rows.iter().map(|(row, _)| row.0));
    let new: UInt64Array = rows.iter().map(|(_, new)| *new).collect();
    let field = |name, array: &UInt64Array, nullable| {
        Arc::new(arrow::datatypes::Field::new(name, array.data_type().clone(), nullable))
    };
    let mut fields = vec![field(TOLD_ROW, &ids, false), field(TOLD_NEW, &new, true)];
    fields.extend(batch.schema().fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(new)];
    columns.extend(batch.columns().iter().cloned());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::internal("old rows").source(error))
}

/// What a record carries of rows that are no more.
pub(super) struct Told {
    /// Columns in the order of the table's; those that are not carried are NULL.
    pub(super) rows: Option<RecordBatch>,
    /// By the offset of a new row: the old row whose place it took.
    pub(super) replaced: HashMap<u64, usize>,
    deleted: Vec<bool>,
}

impl Told {
    pub(super) fn of(change: &TableChange, table: &Table, specs: &[ColumnSpec]) -> Result<Self> {
        let Some(told) = &change.told else {
            return Ok(Self { rows: None, replaced: HashMap::new(), deleted: Vec::new() });
        };
        let damaged = || Error::corrupt("the log", format!("old rows of table {}", table.id));
        told.column_by_name(TOLD_ROW).ok_or_else(damaged)?;
        let new = told.column_by_name(TOLD_NEW).ok_or_else(damaged)?;
        let new = new.as_primitive_opt::<UInt64Type>().ok_or_else(damaged)?;
        let places = new.iter().enumerate();
        let replaced = places.filter_map(|(at, new)| Some((new?, at))).collect();
        let deleted = new.iter().map(|new| new.is_none()).collect();
        // A column that the record lacks is NULL, whatever it was in older rows.
        let bare: Vec<ColumnSpec> =
            specs.iter().map(|spec| ColumnSpec::new(spec.id, spec.kind.clone())).collect();
        let rows = batch_of(&bare, columns_of(told, &bare)?, told.num_rows())?;
        Ok(Self { rows: Some(rows), replaced, deleted })
    }

    pub(super) fn is_deleted(&self, at: usize) -> bool {
        self.deleted.get(at).copied().unwrap_or_default()
    }
}
