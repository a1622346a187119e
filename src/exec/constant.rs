//! Expressions without columns have a value as soon as a plan runs: a parameter's, a literal's, or what
//! is computed of these.

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::Schema,
};
use datafusion::{common::Result, physical_expr::PhysicalExpr};
use std::sync::Arc;

/// A row without columns.
pub(super) fn one_row() -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?)
}

/// The value of an expression without columns, as an array of length 1.
pub(super) fn value_of(expr: &Arc<dyn PhysicalExpr>) -> Result<ArrayRef> {
    expr.evaluate(&one_row()?)?.into_array(1)
}
