//! What an enumeration says of itself: its first label, its last, those between two. Only the type of the
//! argument counts, which is mostly NULL.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{Enum, PgType, enumeration::Label},
    sql::functions::call::Arguments,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, Int64Builder, ListBuilder, PrimitiveArray},
    datatypes::{DataType, Int64Type},
};
use std::sync::Arc;

/// `enum_first(anyenum)`
pub(crate) fn first(args: &Arguments<'_>) -> Result<ArrayRef> {
    one(args, <[Label]>::first)
}

/// `enum_last(anyenum)`
pub(crate) fn last(args: &Arguments<'_>) -> Result<ArrayRef> {
    one(args, <[Label]>::last)
}

fn one(args: &Arguments<'_>, choose: fn(&[Label]) -> Option<&Label>) -> Result<ArrayRef> {
    let made = of(&args.kinds[0])?;
    let label = choose(made.labels()).ok_or_else(|| {
        let message = format!("enum {} contains no values", args.kinds[0]);
        Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
    })?;
    Ok(Arc::new(Int64Array::from(vec![label.place; args.rows])))
}

/// `enum_range(anyenum)`
pub(crate) fn all(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = of(&args.kinds[0])?;
    lists(args, |_, _| made.labels().iter())
}

/// `enum_range(anyenum, anyenum)`: from one to the other, from the first and to the last where one is NULL.
pub(crate) fn between(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = of(&args.kinds[0])?;
    let bound = |values: &PrimitiveArray<Int64Type>, row: usize| {
        values.is_valid(row).then(|| values.value(row))
    };
    lists(args, |args, row| {
        let from = bound(args.arrays[0].as_primitive(), row);
        let to = bound(args.arrays[1].as_primitive(), row);
        made.labels().iter().filter(move |label| {
            from.is_none_or(|from| label.place >= from) && to.is_none_or(|to| label.place <= to)
        })
    })
}

fn lists<'l, I: Iterator<Item = &'l Label>>(
    args: &Arguments<'_>,
    labels: impl Fn(&Arguments<'_>, usize) -> I,
) -> Result<ArrayRef> {
    let DataType::List(field) = args.result.arrow() else {
        return Err(Error::internal("a range of labels is an array"));
    };
    let mut lists = ListBuilder::new(Int64Builder::new()).with_field(field);
    for row in 0..args.rows {
        labels(args, row).for_each(|label| lists.values().append_value(label.place));
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn of(kind: &PgType) -> Result<&Enum> {
    match kind {
        PgType::Enum(made) => Ok(made),
        other => Err(Error::internal(format!("{other} is no enumeration"))),
    }
}
