//! Comparisons of bit strings and sparse vectors: of the bytes that columns carry, whose order is
//! that of the values.

use crate::{error::Result, sql::functions::call::Arguments};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array};
use std::{cmp::Ordering, sync::Arc};

/// `sparsevec_cmp(a, b)`: -1, 0 or 1.
pub(crate) fn compare(args: &Arguments<'_>) -> Result<ArrayRef> {
    let orders = orders(args).map(|order| order.map(|order| order as i32));
    Ok(Arc::new(orders.collect::<Int32Array>()))
}

fn orders<'a>(args: &'a Arguments<'_>) -> impl Iterator<Item = Option<Ordering>> + 'a {
    let (a, b) = (args.arrays[0].as_binary::<i32>(), args.arrays[1].as_binary::<i32>());
    a.iter().zip(b).map(|(a, b)| Some(a?.cmp(b?)))
}

macro_rules! comparisons {
    ($($name:ident, $what:literal: $test:expr;)*) => {$(
        #[doc = $what]
        pub(crate) fn $name(args: &Arguments<'_>) -> Result<ArrayRef> {
            let test: fn(Ordering) -> bool = $test;
            Ok(Arc::new(orders(args).map(|order| order.map(test)).collect::<BooleanArray>()))
        }
    )*};
}

comparisons! {
    equal, "`a = b`.": Ordering::is_eq;
    not_equal, "`a <> b`.": Ordering::is_ne;
    less, "`a < b`.": Ordering::is_lt;
    less_or_equal, "`a <= b`.": Ordering::is_le;
    greater, "`a > b`.": Ordering::is_gt;
    greater_or_equal, "`a >= b`.": Ordering::is_ge;
}
