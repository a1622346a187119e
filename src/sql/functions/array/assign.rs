//! Arrays with some of their elements replaced: what `SET a[2] = x` makes.

use crate::{
    error::{Error, Result, SqlState},
    sql::{
        error::from_arrow,
        functions::{
            call::Arguments,
            lists::{Picker, list, range},
        },
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::concat,
    datatypes::Int32Type,
};

/// The most elements that an array may have, as in PostgreSQL.
const ELEMENTS_MAX: i64 = 134_217_727;

fn no_subscript() -> Error {
    let what = "array subscript in assignment must not be null";
    Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, what)
}

/// Checks where elements are put: arrays begin at 1 here.
fn check(first: i64, last: i64, length: usize) -> Result<()> {
    let next = i64::try_from(length).unwrap_or(i64::MAX) + 1;
    // An empty array would begin where its first element is put.
    if first < 1 || (length == 0 && first > 1) {
        return Err(Error::unsupported("arrays that do not begin at 1 are not supported")
            .hint("Assign to the whole array."));
    }
    if last.max(next) > ELEMENTS_MAX {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})"),
        ));
    }
    Ok(())
}

fn place(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// `array[index] = value`: behind the end there are NULLs up to the value.
pub(crate) fn element(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let indexes = args.arrays[1].as_primitive::<Int32Type>();
    let values = concat(&[lists.values().as_ref(), args.arrays[2].as_ref()]).map_err(from_arrow)?;
    let behind = lists.values().len();
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if indexes.is_null(row) {
            return Err(no_subscript());
        }
        let range = if lists.is_null(row) { 0..0 } else { range(lists, row) };
        let index = i64::from(indexes.value(row));
        check(index, index, range.len())?;
        let at = place(index - 1);
        let mut places: Vec<Option<usize>> = range.map(Some).collect();
        places.resize(places.len().max(at + 1), None);
        places[at] = Some(behind + row);
        picker.push(places)?;
    }
    picker.finish(&values, args.result)
}

/// `array[lower:upper] = array`
pub(crate) fn slice(args: &Arguments<'_>) -> Result<ArrayRef> {
    slices(args, true)
}

/// `array[:upper] = array`, `array[lower:] = array`: what is left out is the array's own bound.
pub(crate) fn open_slice(args: &Arguments<'_>) -> Result<ArrayRef> {
    slices(args, false)
}

fn slices(args: &Arguments<'_>, both: bool) -> Result<ArrayRef> {
    let (lists, parts) = (list(&args.arrays[0]), list(&args.arrays[3]));
    let bounds = [1, 2].map(|at| args.arrays[at].as_primitive::<Int32Type>());
    let values = concat(&[lists.values().as_ref(), parts.values().as_ref()]).map_err(from_arrow)?;
    let behind = lists.values().len();
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if both && bounds.iter().any(|bound| bound.is_null(row)) {
            return Err(no_subscript());
        }
        // NULL replaces nothing.
        if parts.is_null(row) {
            match lists.is_null(row) {
                true => picker.push_null(),
                false => picker.push(range(lists, row).map(Some))?,
            }
            continue;
        }
        let old = if lists.is_null(row) { 0..0 } else { range(lists, row) };
        let part = range(parts, row);
        if old.is_empty() && !both {
            return Err(Error::new(
                SqlState::ARRAY_SUBSCRIPT_ERROR,
                "array slice subscript must provide both boundaries",
            )
            .detail("When assigning to a slice of an empty array value, slice boundaries must be fully specified."));
        }
        let length = i64::try_from(old.len()).unwrap_or(i64::MAX);
        let bound = |at: usize, own: i64| match bounds[at].is_null(row) {
            true => own,
            false => i64::from(bounds[at].value(row)),
        };
        let (first, last) = (bound(0, 1), bound(1, length));
        if first > last {
            if first == last + 1 && !old.is_empty() {
                picker.push(old.map(Some))?;
                continue;
            }
            let what = "upper bound cannot be less than lower bound";
            return Err(Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, what));
        }
        check(first, last, old.len())?;
        let wanted = place(last - first + 1);
        if part.len() < wanted {
            return Err(Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "source array too small"));
        }
        let mut places: Vec<Option<usize>> = old.map(Some).collect();
        places.resize(places.len().max(place(last)), None);
        for (offset, from) in part.take(wanted).enumerate() {
            places[place(first - 1) + offset] = Some(behind + from);
        }
        picker.push(places)?;
    }
    picker.finish(&values, args.result)
}
