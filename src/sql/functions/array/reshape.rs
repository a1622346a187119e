//! Arrays filled, cut short, turned round, sorted and shuffled.

use crate::{
    error::{Error, Result, SqlState},
    sql::{
        error::from_arrow,
        functions::{
            call::Arguments,
            lists::{Picker, index, list, range},
        },
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, make_comparator},
    compute::SortOptions,
    datatypes::Int32Type,
};

/// The most elements that `array_fill` makes, as PostgreSQL's arrays hold at most.
const ELEMENTS_MAX: i32 = 134_217_727;

/// `array_fill(element, dimensions, [lower bounds])`
pub(crate) fn fill(args: &Arguments<'_>) -> Result<ArrayRef> {
    let value = &args.arrays[0];
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if args.arrays[1..].iter().any(|array| array.is_null(row)) {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "dimension array or low bound array cannot be null",
            ));
        }
        if args.arrays.len() > 2 && one_of(args, 2, row)?.is_some_and(|bound| bound != 1) {
            return Err(Error::unsupported("arrays that do not begin at 1 are not supported"));
        }
        let count = one_of(args, 1, row)?.unwrap_or(0);
        if !(0..=ELEMENTS_MAX).contains(&count) {
            let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let count = usize::try_from(count).unwrap_or(0);
        picker.push(std::iter::repeat_n(Some(row), count))?;
    }
    picker.finish(value, args.result)
}

/// The one element of an array of dimensions or bounds; nothing where it is empty.
fn one_of(args: &Arguments<'_>, at: usize, row: usize) -> Result<Option<i32>> {
    let lists = list(&args.arrays[at]);
    let places = range(lists, row);
    if places.len() > 1 {
        return Err(Error::unsupported("arrays of more than one dimension are not supported")
            .hint("Store one array per row, or use jsonb."));
    }
    let values = lists.values().as_primitive::<Int32Type>();
    match places.into_iter().next() {
        Some(at) if values.is_null(at) => {
            Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "dimension values cannot be null"))
        }
        Some(at) => Ok(Some(values.value(at))),
        None => Ok(None),
    }
}

/// `trim_array(array, n)`: without its last n elements.
pub(crate) fn trim(args: &Arguments<'_>) -> Result<ArrayRef> {
    let counts = args.arrays[1].as_primitive::<Int32Type>();
    picked(args, |row, places| {
        let length = places.len();
        let cut = usize::try_from(counts.value(row)).ok().filter(|&cut| cut <= length);
        let cut = cut.ok_or_else(|| {
            Error::new(
                SqlState::ARRAY_SUBSCRIPT_ERROR,
                format!("number of elements to trim must be between 0 and {length}"),
            )
        })?;
        places.truncate(length - cut);
        Ok(())
    })
}

/// `array_reverse(array)`
pub(crate) fn reverse(args: &Arguments<'_>) -> Result<ArrayRef> {
    picked(args, |_, places| {
        places.reverse();
        Ok(())
    })
}

/// `array_sort(array, [descending, [nulls first]])`
pub(crate) fn sort(args: &Arguments<'_>) -> Result<ArrayRef> {
    let flag = |at: usize, row: usize| args.arrays.get(at).map(|a| a.as_boolean().value(row));
    let values = list(&args.arrays[0]).values();
    let order = |descending, nulls_first| {
        make_comparator(values, values, SortOptions { descending, nulls_first }).map_err(from_arrow)
    };
    picked(args, |row, places| {
        let descending = flag(1, row).unwrap_or(false);
        let compare = order(descending, flag(2, row).unwrap_or(descending))?;
        places.sort_by(|&a, &b| compare(a, b));
        Ok(())
    })
}

/// `array_shuffle(array)`
pub(crate) fn shuffle(args: &Arguments<'_>) -> Result<ArrayRef> {
    picked(args, |_, places| {
        let all = places.len();
        draw(args, places, all);
        Ok(())
    })
}

/// `array_sample(array, n)`: n elements, each drawn once.
pub(crate) fn sample(args: &Arguments<'_>) -> Result<ArrayRef> {
    let counts = args.arrays[1].as_primitive::<Int32Type>();
    picked(args, |row, places| {
        let length = places.len();
        let count = usize::try_from(counts.value(row)).ok().filter(|&count| count <= length);
        let count = count.ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("sample size must be between 0 and {length}"),
            )
        })?;
        draw(args, places, count);
        places.truncate(count);
        Ok(())
    })
}

/// Draws the first "count" places by Fisher and Yates.
fn draw(args: &Arguments<'_>, places: &mut [usize], count: usize) {
    for at in 0..count {
        let left = places.len() - at;
        let random = u128::from(args.context.random()) * left as u128;
        // The high half of the product: even over what is left, but for 2^-64 of it.
        places.swap(at, at + usize::try_from(random >> 64).unwrap_or(0));
    }
}

/// The elements of each array in another order, or not all of them.
fn picked(
    args: &Arguments<'_>,
    change: impl Fn(usize, &mut Vec<usize>) -> Result<()>,
) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if args.is_null(row) {
            picker.push_null();
            continue;
        }
        let mut places: Vec<usize> = range(lists, row).collect();
        change(row, &mut places)?;
        picker.push(places.into_iter().map(Some))?;
    }
    index(lists.values().len())?;
    picker.finish(lists.values(), args.result)
}

/// `array_dims(array)`
pub(crate) fn dims(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let length = range(list(&args.arrays[0]), row).len();
        Ok((length > 0).then(|| format!("[1:{length}]")))
    })
}
