//! `generate_series` of integers.

use crate::{
    error::{Error, Result, SqlState},
    sql::{
        error::from_arrow,
        functions::{
            call::{Arguments, integers},
            lists::field,
        },
    },
};
use arrow::{
    array::{ArrayRef, Int64Array, ListArray},
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
};
use std::sync::Arc;

/// The most rows that one call of `generate_series` makes: its list is held in memory.
pub(in crate::sql::functions) const SERIES_MAX: usize = 50_000_000;

/// After so many rows a series looks whether it is still wanted.
const CHECK_EVERY: i128 = 1 << 16;

/// A series that is longer.
pub(in crate::sql::functions) fn series_too_long() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("generate_series makes at most {SERIES_MAX} rows"),
    )
}

/// `generate_series(start, stop, [step])` of integers.
pub(crate) fn series(args: &Arguments<'_>) -> Result<ArrayRef> {
    let columns = args.arrays.iter().map(integers).collect::<Result<Vec<_>>>()?;
    let mut lengths = Vec::with_capacity(args.rows);
    let mut valid = Vec::with_capacity(args.rows);
    let mut values: Vec<i64> = Vec::new();
    for row in 0..args.rows {
        if args.is_null(row) {
            lengths.push(0);
            valid.push(false);
            continue;
        }
        let (start, stop) = (columns[0].value(row), columns[1].value(row));
        let step = columns.get(2).map_or(1, |steps| steps.value(row));
        if step == 0 {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "step size cannot equal zero",
            ));
        }
        let span = (i128::from(stop) - i128::from(start)) / i128::from(step);
        let empty = if step > 0 { start > stop } else { start < stop };
        let count = if empty { 0 } else { span + 1 };
        if usize::try_from(count).map_or(true, |count| count + values.len() > SERIES_MAX) {
            return Err(series_too_long());
        }
        let before = values.len();
        let mut value = Some(start);
        for at in 0..count {
            if at % CHECK_EVERY == 0 {
                args.context.check_cancelled()?;
            }
            values.extend(value);
            value = value.and_then(|value| value.checked_add(step));
        }
        lengths.push(values.len() - before);
        valid.push(true);
    }
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    let field = field(args.result)?;
    let values = cast(&values, field.data_type()).map_err(from_arrow)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::new(field, offsets, values, Some(NullBuffer::from(valid)))))
}
