//! The rows that an UPDATE, a DELETE or ON CONFLICT DO UPDATE changes, as their plans give them.

use super::{snapshot::Snapshot, write::to_storage};
use crate::{
    catalog::Table,
    error::{Error, Result},
    ids::RowId,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::{concat, concat_batches, filter, filter_record_batch},
    datatypes::{Field, Schema, SchemaRef, UInt64Type},
};
use roaring::RoaringTreemap;
use std::sync::Arc;

/// Rows that change: their ids, and the whole new rows.
#[derive(Debug)]
pub struct Changed {
    /// The old rows.
    pub ids: RoaringTreemap,
    /// The same in the order of the new rows.
    pub order: Vec<RowId>,
    /// The new rows, as storage keeps them.
    pub rows: RecordBatch,
    /// What came along with them, column by column.
    pub along: Vec<ArrayRef>,
}

impl Changed {
    /// Reads `__row` and new rows; of several new rows for one old row the first counts.
    ///
    /// # Errors
    /// When a column is not of its type: a fault of the plan.
    pub fn collect(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Self> {
        Self::beyond(&RoaringTreemap::new(), batches, schema)
    }

    /// The same for rows that come after others were changed, which count no more.
    ///
    /// # Errors
    /// When a column is not of its type: a fault of the plan.
    pub fn beyond(
        done: &RoaringTreemap,
        batches: &[RecordBatch],
        schema: &SchemaRef,
    ) -> Result<Self> {
        let mut ids = RoaringTreemap::new();
        let mut order = Vec::new();
        let (mut kept, mut along) = (Vec::new(), Vec::new());
        let width = 1 + schema.fields().len();
        for batch in batches {
            let rows = batch.column(0).as_primitive::<UInt64Type>();
            let mut is_first = |&id: &u64| {
                let first = !done.contains(id) && ids.insert(id);
                order.extend(first.then_some(RowId(id)));
                Some(first)
            };
            let first: BooleanArray = rows.values().iter().map(&mut is_first).collect();
            let new = to_storage(schema, &batch.columns()[1..width], batch.num_rows())?;
            kept.push(filter_record_batch(&new, &first).map_err(fault)?);
            let more = batch.columns()[width..].iter().map(|column| filter(column, &first));
            along.push(more.collect::<Result<Vec<_>, _>>().map_err(fault)?);
        }
        let rows = concat_batches(schema, &kept).map_err(fault)?;
        let columns = along.first().map_or(0, Vec::len);
        let together = |column: usize| {
            let parts: Vec<&dyn Array> = along.iter().map(|batch| batch[column].as_ref()).collect();
            concat(&parts).map_err(fault)
        };
        let along = (0..columns).map(together).collect::<Result<_>>()?;
        Ok(Self { ids, order, rows, along })
    }

    /// Leaves out rows that are no longer there: an earlier part of the statement changed them.
    ///
    /// # Errors
    /// None that can happen.
    pub fn keep_live(&mut self, snapshot: &Snapshot, table: &Table) -> Result<()> {
        let there = snapshot.table(table.id);
        let live: BooleanArray = self.order.iter().map(|&id| Some(there.is_live(id))).collect();
        self.order.retain(|&id| there.is_live(id));
        self.ids = self.order.iter().map(|id| id.0).collect();
        self.rows = filter_record_batch(&self.rows, &live).map_err(fault)?;
        for column in &mut self.along {
            *column = filter(column, &live).map_err(fault)?;
        }
        Ok(())
    }

    /// Rows with what they were before and what came along, as RETURNING reads them.
    ///
    /// # Errors
    /// When they are not of one length: a fault of the plan.
    pub fn beside(&self, rows: &RecordBatch, old: &[ArrayRef]) -> Result<RecordBatch> {
        with_columns(rows, old.iter().chain(&self.along))
    }
}

/// Rows with more columns behind.
///
/// # Errors
/// When they are not of one length: a fault of the plan.
pub fn with_columns<'c>(
    rows: &RecordBatch,
    more: impl Iterator<Item = &'c ArrayRef>,
) -> Result<RecordBatch> {
    let mut fields = rows.schema().fields().to_vec();
    let mut columns = rows.columns().to_vec();
    for (at, column) in more.enumerate() {
        let kind = column.data_type().clone();
        fields.push(Arc::new(Field::new(format!("more{at}"), kind, true)));
        columns.push(Arc::clone(column));
    }
    to_storage(&Arc::new(Schema::new(fields)), &columns, rows.num_rows())
}

fn fault(error: arrow::error::ArrowError) -> Error {
    Error::internal("changed rows").source(error)
}
