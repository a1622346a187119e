//! Arrays: made, joined, cut, looked into, and written as text.

pub(crate) mod assign;
pub(crate) mod quantified;
pub(crate) mod reshape;
pub(crate) mod series;

use crate::{
    error::Result,
    pgtype::{PgType, cast::to_text},
    sql::{
        Context,
        error::from_arrow,
        functions::{
            call::{Arguments, Body, Call, call},
            lists::{Picker, field, index, list, range},
        },
    },
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, StringArray, UInt32Array,
        make_comparator, new_empty_array,
    },
    buffer::OffsetBuffer,
    compute::{SortOptions, concat as concat_arrays, interleave, take},
    datatypes::Int32Type,
};
use datafusion::logical_expr::{Expr, Volatility};
use std::{cmp::Ordering, sync::Arc};

/// `ARRAY[…]`
pub(crate) fn make(args: &Arguments<'_>) -> Result<ArrayRef> {
    let field = field(args.result)?;
    let width = args.arrays.len();
    let values = if width == 0 {
        new_empty_array(field.data_type())
    } else {
        let arrays: Vec<&dyn Array> = args.arrays.iter().map(AsRef::as_ref).collect();
        let order: Vec<(usize, usize)> =
            (0..args.rows).flat_map(|row| (0..width).map(move |column| (column, row))).collect();
        interleave(&arrays, &order).map_err(from_arrow)?
    };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, args.rows));
    Ok(Arc::new(ListArray::new(field, offsets, values, None)))
}

/// `array[index]`: NULL outside.
pub(crate) fn subscript(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let indexes = args.arrays[1].as_primitive::<Int32Type>();
    let first = i64::from(!matches!(args.kinds[0], PgType::Int2vector | PgType::Oidvector));
    let places = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let range = range(lists, row);
        match usize::try_from(i64::from(indexes.value(row)) - first) {
            Ok(offset) if offset < range.len() => Ok(Some(index(range.start + offset)?)),
            _ => Ok(None),
        }
    });
    let places = places.collect::<Result<UInt32Array>>()?;
    take(lists.values(), &places, None).map_err(from_arrow)
}

/// `array[lower:upper]`
pub(crate) fn slice(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let lower = args.arrays[1].as_primitive::<Int32Type>();
    let upper = args.arrays[2].as_primitive::<Int32Type>();
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if lists.is_null(row) {
            picker.push_null();
            continue;
        }
        let range = range(lists, row);
        let length = i64::try_from(range.len()).unwrap_or(i64::MAX);
        let from = if lower.is_null(row) { 1 } else { i64::from(lower.value(row)).max(1) };
        let to = if upper.is_null(row) { length } else { i64::from(upper.value(row)).min(length) };
        let offset = |n: i64| range.start + usize::try_from(n).unwrap_or(0);
        picker.push((from..=to).map(|n| Some(offset(n - 1))))?;
    }
    picker.finish(lists.values(), args.result)
}

/// Two columns of lists over one column of values: the second's places come behind the first's.
fn together(a: &ListArray, b: &ListArray) -> Result<(ArrayRef, usize)> {
    let values = concat_arrays(&[a.values().as_ref(), b.values().as_ref()]).map_err(from_arrow)?;
    Ok((values, a.values().len()))
}

/// `array || array`: NULL joins nothing.
pub(crate) fn concat(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (a, b) = (list(&args.arrays[0]), list(&args.arrays[1]));
    let (values, behind) = together(a, b)?;
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if a.is_null(row) && b.is_null(row) {
            picker.push_null();
            continue;
        }
        let first = if a.is_null(row) { 0..0 } else { range(a, row) };
        let second = if b.is_null(row) { 0..0 } else { range(b, row) };
        picker.push(first.chain(second.map(|at| at + behind)).map(Some))?;
    }
    picker.finish(&values, args.result)
}

/// A test of the elements of two lists.
fn sets(
    args: &Arguments<'_>,
    test: impl Fn(&[usize], &[usize], &dyn Fn(usize, usize) -> bool) -> bool,
) -> Result<ArrayRef> {
    let (a, b) = (list(&args.arrays[0]), list(&args.arrays[1]));
    let (values, behind) = together(a, b)?;
    let compare = make_comparator(&values, &values, SortOptions::default()).map_err(from_arrow)?;
    // NULL is equal to nothing.
    let equal = |x: usize, y: usize| {
        values.is_valid(x) && values.is_valid(y) && compare(x, y) == Ordering::Equal
    };
    let rows = (0..args.rows).map(|row| {
        (!args.is_null(row)).then(|| {
            let first: Vec<usize> = range(a, row).collect();
            let second: Vec<usize> = range(b, row).map(|at| at + behind).collect();
            test(&first, &second, &equal)
        })
    });
    Ok(Arc::new(rows.collect::<BooleanArray>()))
}

/// `array @> array`
pub(crate) fn contains(args: &Arguments<'_>) -> Result<ArrayRef> {
    sets(args, |whole, part, equal| part.iter().all(|&p| whole.iter().any(|&w| equal(w, p))))
}

/// `array && array`
pub(crate) fn overlaps(args: &Arguments<'_>) -> Result<ArrayRef> {
    sets(args, |a, b, equal| a.iter().any(|&x| b.iter().any(|&y| equal(x, y))))
}

/// `array_length(array, dimension)`
pub(crate) fn length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let dimension = args.arrays[1].as_primitive::<Int32Type>();
    let rows = (0..args.rows).map(|row| {
        let length = range(lists, row).len();
        (!args.is_null(row) && dimension.value(row) == 1 && length > 0)
            .then(|| i32::try_from(length).unwrap_or(i32::MAX))
    });
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `cardinality(array)`
pub(crate) fn cardinality(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let rows = (0..args.rows).map(|row| {
        lists.is_valid(row).then(|| i32::try_from(range(lists, row).len()).unwrap_or(i32::MAX))
    });
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `array_ndims(array)`
pub(crate) fn dimensions(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let rows = (0..args.rows)
        .map(|row| (lists.is_valid(row) && !range(lists, row).is_empty()).then_some(1));
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `array_append(array, element)`; a NULL array is empty.
pub(crate) fn append(args: &Arguments<'_>) -> Result<ArrayRef> {
    one_more(args, 0, 1, false)
}

/// `array_prepend(element, array)`
pub(crate) fn prepend(args: &Arguments<'_>) -> Result<ArrayRef> {
    one_more(args, 1, 0, true)
}

fn one_more(args: &Arguments<'_>, array: usize, element: usize, front: bool) -> Result<ArrayRef> {
    let lists = list(&args.arrays[array]);
    let values = concat_arrays(&[lists.values().as_ref(), args.arrays[element].as_ref()])
        .map_err(from_arrow)?;
    let behind = lists.values().len();
    let mut picker = Picker::new();
    for row in 0..args.rows {
        let old = if lists.is_null(row) { 0..0 } else { range(lists, row) };
        let one = std::iter::once(behind + row);
        if front {
            picker.push(one.chain(old).map(Some))?;
        } else {
            picker.push(old.chain(one).map(Some))?;
        }
    }
    picker.finish(&values, args.result)
}

/// Which elements are the one that is given: NULL is like NULL.
fn alike(args: &Arguments<'_>) -> Result<impl Fn(usize, usize) -> bool + use<>> {
    let values = Arc::clone(list(&args.arrays[0]).values());
    let element = Arc::clone(&args.arrays[1]);
    let compare = make_comparator(&values, &element, SortOptions::default()).map_err(from_arrow)?;
    Ok(move |at: usize, row: usize| match (values.is_valid(at), element.is_valid(row)) {
        (true, true) => compare(at, row) == Ordering::Equal,
        (a, b) => a == b,
    })
}

/// `array_remove(array, element)`
pub(crate) fn remove(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let alike = alike(args)?;
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if lists.is_null(row) {
            picker.push_null();
        } else {
            picker.push(range(lists, row).filter(|&at| !alike(at, row)).map(Some))?;
        }
    }
    picker.finish(lists.values(), args.result)
}

/// `array_position(array, element)`
pub(crate) fn position(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let alike = alike(args)?;
    let rows = (0..args.rows).map(|row| {
        let found = lists.is_valid(row).then(|| range(lists, row).position(|at| alike(at, row)));
        found.flatten().and_then(|at| i32::try_from(at + 1).ok())
    });
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `array_positions(array, element)`
pub(crate) fn positions(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let alike = alike(args)?;
    let rows: Vec<Option<Vec<Option<i32>>>> = (0..args.rows)
        .map(|row| {
            lists.is_valid(row).then(|| {
                let found = range(lists, row).enumerate().filter(|(_, at)| alike(*at, row));
                found.map(|(n, _)| i32::try_from(n + 1).ok()).collect()
            })
        })
        .collect();
    Ok(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)))
}

/// `array_replace(array, from, to)`
pub(crate) fn replace(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let alike = alike(args)?;
    let values =
        concat_arrays(&[lists.values().as_ref(), args.arrays[2].as_ref()]).map_err(from_arrow)?;
    let behind = lists.values().len();
    let mut picker = Picker::new();
    for row in 0..args.rows {
        if lists.is_null(row) {
            picker.push_null();
        } else {
            let new =
                range(lists, row).map(|at| Some(if alike(at, row) { behind + row } else { at }));
            picker.push(new)?;
        }
    }
    picker.finish(&values, args.result)
}

/// `unnest(array)`: the list is the set.
pub(crate) fn unnest(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    Ok(Arc::new(ListArray::new(
        field(args.result)?,
        lists.offsets().clone(),
        Arc::clone(lists.values()),
        lists.nulls().cloned(),
    )))
}

/// `array_to_string(array, separator, [null])`
pub(crate) fn to_string(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = list(&args.arrays[0]);
    let element = match &args.kinds[0] {
        PgType::Array(element) => (**element).clone(),
        PgType::Oidvector => PgType::Oid,
        _ => PgType::Int2,
    };
    // Output forms, not casts: a boolean is `t`.
    let style = args.context.style();
    let texts = to_text(&element, lists.values(), &style)?;
    let texts: &StringArray = texts.as_string();
    let separators = args.text(1);
    let nulls = args.arrays.get(2).map(|array| array.as_string::<i32>());
    let rows = (0..args.rows).map(|row| {
        if lists.is_null(row) || separators.is_null(row) {
            return None;
        }
        let null = nulls.filter(|nulls| nulls.is_valid(row)).map(|nulls| nulls.value(row));
        let parts: Vec<&str> = range(lists, row)
            .filter_map(|at| {
                if texts.is_null(at) {
                    null
                } else {
                    Some(match (&element, texts.value(at)) {
                        (PgType::Bool, "true") => "t",
                        (PgType::Bool, "false") => "f",
                        (_, text) => text,
                    })
                }
            })
            .collect();
        Some(parts.join(separators.value(row)))
    });
    Ok(Arc::new(rows.collect::<StringArray>()))
}

/// `string_to_array(text, separator, [null])`
pub(crate) fn of_string(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, separators) = (args.text(0), args.text(1));
    let nulls = args.arrays.get(2).map(|array| array.as_string::<i32>());
    let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new())
        .with_field(field(&PgType::Text.array())?);
    for row in 0..args.rows {
        if texts.is_null(row) {
            builder.append_null();
            continue;
        }
        let text = texts.value(row);
        let null = nulls.filter(|nulls| nulls.is_valid(row)).map(|nulls| nulls.value(row));
        let parts: Vec<String> = if text.is_empty() {
            Vec::new()
        } else if separators.is_null(row) {
            text.chars().map(String::from).collect()
        } else if separators.value(row).is_empty() {
            vec![text.to_owned()]
        } else {
            text.split(separators.value(row)).map(str::to_owned).collect()
        };
        for part in parts {
            builder.values().append_option((null != Some(part.as_str())).then_some(part));
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// 1, 2 … as long as the longest of some lists: WITH ORDINALITY.
pub(crate) fn ordinals(lists: Vec<Expr>, context: &Arc<dyn Context>) -> Expr {
    let body: Body = |args| {
        let lists: Vec<&ListArray> = args.arrays.iter().map(list).collect();
        let rows: Vec<Option<Vec<Option<i64>>>> = (0..args.rows)
            .map(|row| {
                let longest =
                    lists.iter().filter(|l| l.is_valid(row)).map(|l| range(l, row).len()).max();
                Some((1..=i64::try_from(longest.unwrap_or(0)).unwrap_or(0)).map(Some).collect())
            })
            .collect();
        Ok(Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(rows)))
    };
    let kinds = vec![PgType::Text.array(); lists.len()];
    call(
        Call::udf("ordinality", kinds, PgType::Int8.array(), Volatility::Immutable, body, context),
        lists,
    )
}
