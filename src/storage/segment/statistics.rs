//! The smallest and greatest value of each column of each row group.
//!
//! They are kept for types whose order in Arrow is their order in SQL, as one Arrow batch in the side
//! object: a row for each row group, columns `c1.min`, `c1.max`, ….

use crate::{
    error::Result,
    ids::ColumnId,
    pgtype::PgType,
    storage::columns::{ColumnSpec, array_bytes, column_name},
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, new_null_array},
    compute::{SortOptions, concat, sort_to_indices, take},
    datatypes::{Field, Schema},
};
use std::sync::Arc;

/// The smallest and the greatest value, arrays of length 1, where they are kept.
pub(super) type Bounds = Option<(ArrayRef, ArrayRef)>;

/// Longer texts get no minimum and maximum.
const TEXT_BYTES: usize = 64;

/// The names of a column's minima and maxima in the statistics.
pub(super) fn names(column: ColumnId) -> (String, String) {
    let name = column_name(column);
    (format!("{name}.min"), format!("{name}.max"))
}

/// Types whose order in Arrow is their order in SQL: not floats, whose zeros differ in Arrow only.
fn is_ordered(kind: &PgType) -> bool {
    use PgType as T;
    let is_number =
        matches!(kind, T::Int2 | T::Int4 | T::Int8 | T::Numeric(_) | T::Oid | T::Enum(_));
    let is_time = matches!(kind, T::Date | T::Time(_) | T::Timestamp(_) | T::Timestamptz(_));
    let is_text = matches!(kind, T::Text | T::Varchar(_) | T::Name);
    is_number || is_time || is_text || matches!(kind, T::Bool | T::Uuid)
}

/// The bounds of a column; none where all values are NULL, or one is too long to keep.
pub(super) fn bounds(kind: &PgType, array: &ArrayRef) -> Result<Bounds> {
    if !is_ordered(kind) || array.null_count() == array.len() {
        return Ok(None);
    }
    let extreme = |descending| -> Result<ArrayRef> {
        let options = SortOptions { descending, nulls_first: false };
        Ok(take(array, &sort_to_indices(array, Some(options), Some(1))?, None)?)
    };
    let (min, max) = (extreme(false)?, extreme(true)?);
    let is_short = |bound: &ArrayRef| array_bytes(bound) <= TEXT_BYTES as u64;
    Ok((is_short(&min) && is_short(&max)).then_some((min, max)))
}

/// The bounds of all row groups, each by column, as one batch; `None` where there are none.
pub(super) fn batch(columns: &[ColumnSpec], groups: &[&[Bounds]]) -> Result<Option<RecordBatch>> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (at, column) in columns.iter().enumerate() {
        if groups.iter().all(|group| group[at].is_none()) {
            continue;
        }
        let kind = column.kind.arrow();
        let unknown = new_null_array(&kind, 1);
        let (min, max): (Vec<&dyn Array>, Vec<&dyn Array>) = groups
            .iter()
            .map(|group| match &group[at] {
                Some((min, max)) => (min.as_ref(), max.as_ref()),
                None => (unknown.as_ref(), unknown.as_ref()),
            })
            .unzip();
        let (min_name, max_name) = names(column.id);
        for (name, bounds) in [(min_name, min), (max_name, max)] {
            fields.push(Field::new(name, kind.clone(), true));
            arrays.push(concat(&bounds)?);
        }
    }
    if arrays.is_empty() {
        return Ok(None);
    }
    Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?))
}
