//! Keys of unique constraints: a hash for each row, and the rows of a hash.
//!
//! A hash only narrows the search: rows with equal keys have equal hashes, and whoever asks
//! compares the values of what comes back. Rows that are not yet in segments are found through
//! `KeyRuns`, the others through the blocks of their segment (`segment/keys.rs`). How values
//! become bytes and bytes a hash is part of the format: `docs/format/keys.md`.

use super::columns::ColumnSpec;
use crate::{
    error::{Error, Result},
    ids::{ColumnId, Oid, RowId},
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int16Type,
        Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
        TimeUnit, TimestampMicrosecondType, UInt32Type,
    },
};
use std::{ops::Range, sync::Arc};
use twox_hash::XxHash64;

/// The seed of every hash.
const SEED: u64 = 0;
/// Stands for NULL where NULL equals NULL.
const NULL: u8 = 0xff;
/// A run of this length is not merged any more.
const RUN_ENTRIES_MAX: usize = 1 << 16;

/// The columns of one unique constraint, in the order of its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// The constraint.
    pub constraint: Oid,
    /// Its columns.
    pub columns: Vec<ColumnId>,
    /// Whether NULL equals NULL.
    pub nulls_not_distinct: bool,
}

impl KeySpec {
    /// One in which NULL equals nothing.
    #[must_use]
    pub fn new(constraint: Oid, columns: Vec<ColumnId>) -> Self {
        Self { constraint, columns, nulls_not_distinct: false }
    }

    /// The hash of each row's key, from its columns in the order of the constraint; `None` where it
    /// equals no other.
    pub(super) fn hashes(&self, columns: &[ArrayRef]) -> Vec<Option<u64>> {
        key_hashes(columns, self.nulls_not_distinct)
    }

    /// The key's columns out of those of the table.
    pub(super) fn specs(&self, columns: &[ColumnSpec]) -> Result<Vec<ColumnSpec>> {
        let find = |id: &ColumnId| columns.iter().find(|spec| spec.id == *id).cloned();
        self.columns.iter().map(find).collect::<Option<_>>().ok_or_else(|| {
            Error::internal(format!("constraint {} names a column that is gone", self.constraint))
        })
    }
}

/// The hash of each row's key, from its columns in the order of the constraint; `None` where one
/// of them is NULL, unless NULL equals NULL.
#[must_use]
pub fn key_hashes(columns: &[ArrayRef], nulls_not_distinct: bool) -> Vec<Option<u64>> {
    let rows = columns.first().map_or(0, |column| column.len());
    let mut key = Vec::new();
    (0..rows)
        .map(|row| {
            key.clear();
            for column in columns {
                let is_null = column.is_null(row) || *column.data_type() == DataType::Null;
                match (is_null, nulls_not_distinct) {
                    (false, _) => canonical(column, row, &mut key),
                    (true, true) => key.push(NULL),
                    (true, false) => return None,
                }
            }
            Some(XxHash64::oneshot(SEED, &key))
        })
        .collect()
}

/// Appends the bytes that all values equal to this one have in common.
///
/// A type without such bytes appends none: its values all look alike, which is slow, not wrong.
fn canonical(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let mut int = |value: i64| out.extend(value.to_le_bytes());
    match array.data_type() {
        DataType::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        DataType::Int16 => int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => int(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::Date32 => int(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Time64(TimeUnit::Microsecond) => {
            int(array.as_primitive::<Time64MicrosecondType>().value(row));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            int(array.as_primitive::<TimestampMicrosecondType>().value(row));
        }
        DataType::Float16 => {
            float(array.as_primitive::<Float16Type>().value(row).to_f64(), out);
        }
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into(), out),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(..) => {
            out.extend(array.as_primitive::<Decimal128Type>().value(row).to_le_bytes());
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            // As PostgreSQL compares them: a month is 30 days, a day 24 hours.
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let days = i128::from(value.months) * 30 + i128::from(value.days);
            let nanoseconds = days * 86_400_000_000_000 + i128::from(value.nanoseconds);
            out.extend(nanoseconds.to_le_bytes());
        }
        DataType::Utf8 => {
            // `character(n)` does not tell trailing blanks; the other types compare afterwards.
            let value = array.as_string::<i32>().value(row).trim_end_matches(' ');
            sized(value.as_bytes(), out);
        }
        DataType::Binary => sized(array.as_binary::<i32>().value(row), out),
        DataType::FixedSizeBinary(_) => out.extend(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => elements(&array.as_list::<i32>().value(row), out),
        DataType::FixedSizeList(..) => elements(&array.as_fixed_size_list().value(row), out),
        _ => {}
    }
}

fn float(value: f64, out: &mut Vec<u8>) {
    // Zero has one sign, and all that is not a number is equal.
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = if value.is_nan() { 0x7ff8 << 48 } else { value.to_bits() };
    out.extend(bits.to_le_bytes());
}

fn sized(value: &[u8], out: &mut Vec<u8>) {
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value);
}

fn elements(values: &dyn Array, out: &mut Vec<u8>) {
    out.extend((values.len() as u64).to_le_bytes());
    for row in 0..values.len() {
        out.push(u8::from(values.is_valid(row)));
        if values.is_valid(row) {
            canonical(values, row, out);
        }
    }
}

/// The hashes of rows that are not yet in segments, in sorted runs that are never changed.
///
/// Neighbouring runs of similar length are merged as in a binary counter, so that a row costs
/// O(log n) copies and a lookup O(log n) binary searches. Every state of a table has its own list of
/// runs and shares the runs themselves, so that an older state keeps finding what it contains.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyRuns {
    runs: Vec<Arc<[(u64, RowId)]>>,
}

impl KeyRuns {
    /// The runs with rows from `first` on added.
    pub(crate) fn with(&self, first: RowId, hashes: &[Option<u64>]) -> Self {
        let rows = (first.0..).map(RowId);
        let mut run: Vec<_> =
            hashes.iter().zip(rows).filter_map(|(hash, row)| Some(((*hash)?, row))).collect();
        if run.is_empty() {
            return self.clone();
        }
        run.sort_unstable();
        let mut runs = self.runs.clone();
        while let Some(last) = runs.last()
            && last.len() <= run.len().saturating_mul(2)
            && last.len() + run.len() <= RUN_ENTRIES_MAX
        {
            run = merged(last, &run);
            runs.pop();
        }
        runs.push(run.into());
        Self { runs }
    }

    /// The runs without the rows of a range.
    pub(crate) fn without(&self, rows: &Range<RowId>) -> Self {
        let keep = |run: &Arc<[(u64, RowId)]>| -> Option<Arc<[(u64, RowId)]>> {
            if !run.iter().any(|(_, row)| rows.contains(row)) {
                return Some(Arc::clone(run));
            }
            let kept: Arc<[_]> =
                run.iter().filter(|(_, row)| !rows.contains(row)).copied().collect();
            (!kept.is_empty()).then_some(kept)
        };
        Self { runs: self.runs.iter().filter_map(keep).collect() }
    }

    /// The rows with a hash.
    pub(crate) fn rows(&self, hash: u64) -> impl Iterator<Item = RowId> + '_ {
        self.runs.iter().flat_map(move |run| {
            let first = run.partition_point(|entry| entry.0 < hash);
            run[first..].iter().take_while(move |entry| entry.0 == hash).map(|entry| entry.1)
        })
    }
}

fn merged(a: &[(u64, RowId)], b: &[(u64, RowId)]) -> Vec<(u64, RowId)> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let next = if x <= y { a.next() } else { b.next() };
        all.extend(next.copied());
    }
    all.extend(a.chain(b).copied());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};

    #[test]
    fn equal_values_have_equal_hashes() {
        let hash = |array: ArrayRef| key_hashes(&[array], false)[0];
        assert_eq!(
            hash(Arc::new(Int32Array::from(vec![7]))),
            hash(Arc::new(Int64Array::from(vec![7])))
        );
        assert_eq!(
            hash(Arc::new(Float64Array::from(vec![0.0]))),
            hash(Arc::new(Float64Array::from(vec![-0.0])))
        );
        assert_eq!(
            hash(Arc::new(Float64Array::from(vec![f64::NAN]))),
            hash(Arc::new(Float64Array::from(vec![-f64::NAN])))
        );
        assert_eq!(
            hash(Arc::new(StringArray::from(vec!["a"]))),
            hash(Arc::new(StringArray::from(vec!["a  "])))
        );
        assert_eq!(hash(Arc::new(Int32Array::from(vec![None]))), None);
    }

    #[test]
    fn hashes_are_those_of_the_format() {
        // docs/format/keys.md: the worked example.
        let columns: [ArrayRef; 2] =
            [Arc::new(Int32Array::from(vec![1])), Arc::new(StringArray::from(vec!["ab"]))];
        let bytes = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b'];
        assert_eq!(key_hashes(&columns, false), [Some(XxHash64::oneshot(0, &bytes))]);
    }

    #[test]
    fn runs_find_every_row_and_stay_few() {
        let mut runs = KeyRuns::default();
        for row in 0..10_000 {
            runs = runs.with(RowId(row), &[Some(row % 100), None]);
        }
        assert!(runs.runs.len() <= 15, "{} runs", runs.runs.len());
        assert_eq!(runs.rows(42).count(), 100);

        let fewer = runs.without(&(RowId(0)..RowId(5_000)));
        assert_eq!(fewer.rows(42).count(), 50);
        assert!(fewer.rows(42).all(|row| row.0 >= 5_000 && row.0 % 100 == 42));
        assert_eq!(runs.rows(42).count(), 100);
    }
}
