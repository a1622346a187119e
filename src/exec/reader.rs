//! Reads columns of a table's rows in the shape that a plan wants.

use super::failure::external;
use crate::{
    ids::RowId,
    storage::{
        columns::ColumnSpec,
        table::{Group, TableState},
    },
};
use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array},
    compute::FilterBuilder,
    datatypes::SchemaRef,
};
use datafusion::common::Result;
use std::sync::Arc;

/// Which columns are read, and what shape they are given.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    schema: SchemaRef,
    specs: Vec<ColumnSpec>,
    /// Where in the schema the row id goes.
    row_column: Vec<usize>,
}

impl Reader {
    /// Reads the columns at `projection` of a table's columns followed by the row id.
    pub(super) fn new(
        schema: &SchemaRef,
        specs: &[ColumnSpec],
        projection: &[usize],
        with_rows: bool,
    ) -> Self {
        let is_row = |place: &usize| with_rows && projection[*place] == specs.len();
        let row_column = (0..projection.len()).filter(is_row).collect();
        let specs = projection.iter().filter_map(|&i| specs.get(i).cloned()).collect();
        Self { schema: Arc::clone(schema), specs, row_column }
    }

    /// The columns that come out.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The live rows of a group, in order.
    pub(super) async fn group(&self, group: &Group) -> Result<RecordBatch> {
        let columns = group.columns(&self.specs).await.map_err(external)?;
        let rows = || UInt64Array::from_iter_values(group.row_ids().iter().map(|row| row.0));
        let columns = self.with_ids(columns, rows);
        let Some(mask) = group.live_mask() else { return self.batch(columns, group.len()) };
        // Rows that are gone may lack what a column asks of those that are there.
        let live = FilterBuilder::new(&BooleanArray::new(mask, None)).optimize().build();
        let columns = columns.iter().map(|column| live.filter(column));
        self.batch(columns.collect::<Result<_, _>>()?, live.count())
    }

    /// Some rows in the order given.
    pub(super) async fn take(&self, rows: &TableState, ids: &[RowId]) -> Result<RecordBatch> {
        let taken = rows.take(ids, &self.specs).await.map_err(external)?;
        let id_column = || UInt64Array::from_iter_values(ids.iter().map(|row| row.0));
        self.batch(self.with_ids(taken.columns().to_vec(), id_column), ids.len())
    }

    fn with_ids(&self, mut columns: Vec<ArrayRef>, ids: impl Fn() -> UInt64Array) -> Vec<ArrayRef> {
        for &place in &self.row_column {
            columns.insert(place, Arc::new(ids()));
        }
        columns
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
