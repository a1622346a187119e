//! Casts that Arrow lacks or does differently: every type to and from text, rounding and ranges of
//! numbers, dates and times in the session's zone, vectors and arrays, json.

mod times;

pub(crate) use times::{date_micros, micros_date, times_with_zone};

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType, RegKind,
        cast::{from_text, to_text},
        sparsevec,
        string::TooLong,
        style::Style,
        vector::{Element, check_dims, check_element, check_expected, narrow},
    },
    sql::functions::{
        bit,
        call::Arguments,
        vector::{Builder, Vectors},
    },
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Float64Array, GenericListArray,
        Int64Array, ListArray, PrimitiveArray, StringArray, UInt32Array, new_null_array,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Decimal128Type, Float32Type, Float64Type},
};
use datafusion::logical_expr::Volatility;
use half::f16;
use std::sync::Arc;

/// A cast that the user wrote.
pub(crate) fn explicit(args: &Arguments<'_>) -> Result<ArrayRef> {
    cast(args, TooLong::Cut)
}

/// A cast that an operator, a function or a column asks for.
pub(crate) fn assignment(args: &Arguments<'_>) -> Result<ArrayRef> {
    cast(args, TooLong::Refuse)
}

/// Whether a cast gives the same in every session.
pub(crate) fn volatility(from: &PgType, to: &PgType) -> Volatility {
    let plain = |kind: &PgType| {
        matches!(
            kind,
            PgType::Bool
                | PgType::Int2
                | PgType::Int4
                | PgType::Int8
                | PgType::Float4
                | PgType::Float8
                | PgType::Numeric(_)
                | PgType::Text
                | PgType::Varchar(_)
                | PgType::Bpchar(_)
                | PgType::Name
                | PgType::Uuid
                | PgType::Vector(_)
                | PgType::Halfvec(_)
                | PgType::Sparsevec(_)
                | PgType::Bit(_)
                | PgType::Varbit(_)
                | PgType::Json
                | PgType::Jsonb
                | PgType::Tsvector
                | PgType::Tsquery
        )
    };
    // What depends on no zone.
    let wall = |kind: &PgType| {
        matches!(kind, PgType::Date | PgType::Time(_) | PgType::Timestamp(_) | PgType::Interval(_))
    };
    let timeless = match (from, to) {
        (PgType::Timetz(_), PgType::Timetz(_) | PgType::Time(_)) => true,
        (PgType::Timestamptz(_), PgType::Timestamptz(_)) => true,
        _ => wall(from) && wall(to),
    };
    if timeless || plain(from) && plain(to) { Volatility::Immutable } else { Volatility::Stable }
}

fn cast(args: &Arguments<'_>, too_long: TooLong) -> Result<ArrayRef> {
    convert(&args.arrays[0], &args.kinds[0], args.result, &args.context.style(), too_long)
}

/// A column of one type as another.
pub(crate) fn convert(
    array: &ArrayRef,
    from: &PgType,
    to: &PgType,
    style: &Style,
    too_long: TooLong,
) -> Result<ArrayRef> {
    use PgType as T;
    if array.null_count() == array.len() {
        return Ok(new_null_array(&to.arrow(), array.len()));
    }
    match (from, to) {
        (T::Vector(_), T::Vector(dims)) => dense_to_dense::<f32, f32>(array, *dims),
        (T::Vector(_), T::Halfvec(dims)) => dense_to_dense::<f32, f16>(array, *dims),
        (T::Halfvec(_), T::Vector(dims)) => dense_to_dense::<f16, f32>(array, *dims),
        (T::Halfvec(_), T::Halfvec(dims)) => dense_to_dense::<f16, f16>(array, *dims),
        (T::Vector(_), T::Array(_)) => dense_to_array::<f32>(array),
        (T::Halfvec(_), T::Array(_)) => dense_to_array::<f16>(array),
        (T::Vector(_), T::Sparsevec(dims)) => dense_to_sparse::<f32>(array, *dims),
        (T::Halfvec(_), T::Sparsevec(dims)) => dense_to_sparse::<f16>(array, *dims),
        (T::Sparsevec(_), T::Vector(dims)) => sparse_to_dense::<f32>(array, *dims),
        (T::Sparsevec(_), T::Halfvec(dims)) => sparse_to_dense::<f16>(array, *dims),
        (T::Sparsevec(_), T::Sparsevec(dims)) => sparse_to_sparse(array, *dims),
        (T::Array(element), T::Vector(dims)) => array_to_dense::<f32>(array, element, *dims, style),
        (T::Array(element), T::Halfvec(dims)) => {
            array_to_dense::<f16>(array, element, *dims, style)
        }
        (T::Array(element), T::Sparsevec(dims)) => array_to_sparse(array, element, *dims, style),
        (T::Bit(_) | T::Varbit(_), T::Bit(_) | T::Varbit(_)) => {
            bit::resized(array, to.bit_length(), too_long)
        }
        // A length that is not said is 1.
        (T::Int4 | T::Int8, T::Bit(length)) => bit::of_integers(array, length.unwrap_or(1)),
        (T::Bit(_), T::Int4) => {
            let whole: ArrayRef = Arc::new(bit::to_integers(array, "integer", 32)?);
            arrow(&whole, to)
        }
        (T::Bit(_), T::Int8) => Ok(Arc::new(bit::to_integers(array, "bigint", 64)?)),
        (T::Array(a), T::Array(b)) => elements(array, a, b, style, too_long),
        (T::Int2vector, T::Array(b)) => elements(array, &T::Int2, b, style, too_long),
        (T::Oidvector, T::Array(b)) => elements(array, &T::Oid, b, style, too_long),
        // What pads a `character(n)` is no part of its text.
        (T::Bpchar(_), T::Interval(Some(_))) => {
            times::intervals(&to_text(from, array, style)?, to, style)
        }
        (T::Bpchar(_), to) if !matches!(to, T::Bpchar(_)) => {
            from_text(to, &to_text(from, array, style)?, style, too_long)
        }
        (T::Text | T::Varchar(_) | T::Name, T::Interval(Some(_))) => {
            times::intervals(array, to, style)
        }
        (from, to) if from.is_textual() || matches!(from, T::Char) => {
            from_text(to, array, style, too_long)
        }
        (
            T::Jsonb,
            T::Bool | T::Int2 | T::Int4 | T::Int8 | T::Float4 | T::Float8 | T::Numeric(_),
        ) => json_scalar(array, to, style),
        (T::Json | T::Jsonb, T::Json | T::Jsonb) => from_text(to, array, style, too_long),
        (_, to) if to.is_textual() => {
            let texts = to_text(from, array, style)?;
            if matches!(to, T::Text | T::Varchar(None)) {
                Ok(texts)
            } else {
                from_text(to, &texts, style, too_long)
            }
        }
        (T::Numeric(_), T::Int2 | T::Int4 | T::Int8) => {
            // Arrow cuts digits off; a cast to a whole decimal rounds them.
            let whole = arrow(array, &T::Numeric(Some((38, 0))))?;
            arrow(&whole, to)
        }
        (T::Float4 | T::Float8, T::Int2 | T::Int4 | T::Int8) => float_to_integer(array, to),
        (T::Float4 | T::Float8, T::Numeric(_)) => {
            float_to_numeric(array, from, to, style, too_long)
        }
        (T::Numeric(_), T::Float4 | T::Float8) => {
            from_text(to, &to_text(from, array, style)?, style, too_long)
        }
        (T::Bool, T::Int4) => arrow(array, to),
        (T::Int4, T::Bool) => arrow(array, to),
        (T::Int4, T::Char) => {
            let bytes = array.as_primitive::<arrow::datatypes::Int32Type>().iter().map(|n| {
                n.map(|n| u8::try_from(n).map(|byte| char::from(byte).to_string()))
                    .transpose()
                    .map_err(|_| {
                        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "\"char\" out of range")
                    })
            });
            Ok(Arc::new(bytes.collect::<Result<StringArray>>()?))
        }
        (
            T::Date
            | T::Time(_)
            | T::Timetz(_)
            | T::Timestamp(_)
            | T::Timestamptz(_)
            | T::Interval(_),
            _,
        ) => times::convert(array, from, to, style),
        (_, T::Int2 | T::Int4 | T::Int8 | T::Oid | T::Reg(_) | T::Float4 | T::Numeric(_)) => {
            arrow(array, to)
        }
        _ => arrow(array, to),
    }
}

/// Arrow's cast, which rounds decimals half away from zero as PostgreSQL does; its faults as ranges.
fn arrow(array: &ArrayRef, to: &PgType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &to.arrow(), &options).map_err(|error| match to {
        PgType::Numeric(modifier) => {
            let (precision, scale) = modifier.unwrap_or(crate::pgtype::NUMERIC_ANY);
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}.",
                i16::from(precision) - i16::from(scale)
            ))
        }
        PgType::Int2 | PgType::Int4 | PgType::Int8 => out_of_range(to),
        PgType::Oid | PgType::Reg(_) => Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "OID out of range"),
        PgType::Float4 => Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"),
        _ => crate::sql::error::from_arrow(error),
    })
}

fn out_of_range(to: &PgType) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{to} out of range"))
}

/// Rounds half to even, as the processor does and PostgreSQL with it.
fn float_to_integer(array: &ArrayRef, to: &PgType) -> Result<ArrayRef> {
    let floats = cast_with_options(array, &DataType::Float64, &CastOptions::default())
        .map_err(crate::sql::error::from_arrow)?;
    let floats: &Float64Array = floats.as_primitive::<Float64Type>();
    let (least, most) = match to {
        PgType::Int2 => (f64::from(i16::MIN), f64::from(i16::MAX) + 1.0),
        PgType::Int4 => (f64::from(i32::MIN), f64::from(i32::MAX) + 1.0),
        _ => (-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0),
    };
    let whole = floats.iter().map(|value| {
        value
            .map(|value| {
                let rounded = value.round_ties_even();
                if rounded >= least && rounded < most {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "within the bounds of the type"
                    )]
                    let whole = rounded as i64;
                    Ok(whole)
                } else {
                    Err(out_of_range(to))
                }
            })
            .transpose()
    });
    let whole: ArrayRef = Arc::new(whole.collect::<Result<Int64Array>>()?);
    arrow(&whole, to)
}

/// Fifteen digits of a double, six of a single: what PostgreSQL's cast keeps.
fn float_to_numeric(
    array: &ArrayRef,
    from: &PgType,
    to: &PgType,
    style: &Style,
    too_long: TooLong,
) -> Result<ArrayRef> {
    let digits = if matches!(from, PgType::Float4) { 5 } else { 14 };
    let floats = cast_with_options(array, &DataType::Float64, &CastOptions::default())
        .map_err(crate::sql::error::from_arrow)?;
    let texts: StringArray = floats
        .as_primitive::<Float64Type>()
        .iter()
        .map(|value| value.map(|value| format!("{value:.digits$e}")))
        .collect();
    let texts: ArrayRef = Arc::new(texts);
    from_text(to, &texts, style, too_long)
}

fn json_scalar(array: &ArrayRef, to: &PgType, style: &Style) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>().iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        let kind = match text.trim_start().as_bytes().first() {
            Some(b't' | b'f') if *to == PgType::Bool => return Ok(Some(text.to_owned())),
            Some(b'-' | b'0'..=b'9') if *to != PgType::Bool => return Ok(Some(text.to_owned())),
            Some(b'n') => return Ok(None),
            Some(b'"') => "string",
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b't' | b'f') => "boolean",
            _ => "numeric",
        };
        Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("cannot cast jsonb {kind} to type {to}"),
        ))
    });
    let texts: ArrayRef = Arc::new(texts.collect::<Result<StringArray>>()?);
    let numbers = from_text(&PgType::Numeric(None), &texts, style, TooLong::Refuse);
    match to {
        PgType::Bool | PgType::Numeric(_) => from_text(to, &texts, style, TooLong::Refuse),
        _ => convert(&numbers?, &PgType::Numeric(None), to, style, TooLong::Refuse),
    }
}

fn elements(
    array: &ArrayRef,
    from: &PgType,
    to: &PgType,
    style: &Style,
    too_long: TooLong,
) -> Result<ArrayRef> {
    let list: &ListArray = array.as_list::<i32>();
    let values = convert(list.values(), from, to, style, too_long)?;
    let DataType::List(field) = to.clone().array().arrow() else {
        return Err(Error::internal("an array is a list"));
    };
    Ok(Arc::new(GenericListArray::new(
        field,
        list.offsets().clone(),
        values,
        list.nulls().cloned(),
    )))
}

/// Dense vectors of another element, or in the layout of other dimensions, which they must have.
fn dense_to_dense<T: Element, U: Element>(array: &ArrayRef, dims: Option<u16>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(array)?;
    let mut builder = Builder::<U>::new(dims);
    let mut made = Vec::new();
    for row in 0..array.len() {
        match vectors.row(row) {
            Some(vector) => {
                check_expected(dims, vector.len())?;
                made.clear();
                for x in vector {
                    made.push(narrow(x.real())?);
                }
                builder.push(&made)?;
            }
            None => builder.push_null(),
        }
    }
    Ok(builder.finish())
}

fn dense_to_array<T: Element>(array: &ArrayRef) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(array)?;
    let rows = (0..array.len()).map(|row| {
        vectors.row(row).map(|values| values.iter().map(|x| Some(x.real())).collect::<Vec<_>>())
    });
    Ok(Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows)))
}

fn dense_to_sparse<T: Element>(array: &ArrayRef, dims: Option<u32>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(array)?;
    let rows = (0..array.len()).map(|row| {
        let Some(vector) = vectors.row(row) else { return Ok(None) };
        let dense: Vec<f32> = vector.iter().map(|x| x.real()).collect();
        Ok(Some(sparsevec::of_elements(&dense, dims)?.carried()))
    });
    Ok(Arc::new(BinaryArray::from_iter(rows.collect::<Result<Vec<_>>>()?)))
}

fn sparse_to_dense<T: Element>(array: &ArrayRef, dims: Option<u16>) -> Result<ArrayRef> {
    let mut builder = Builder::<T>::new(dims);
    for carried in array.as_binary::<i32>() {
        let Some(carried) = carried else {
            builder.push_null();
            continue;
        };
        let found = sparsevec::dims(carried) as usize;
        check_dims::<T>(found)?;
        check_expected(dims, found)?;
        let mut dense = vec![T::ZERO; found];
        for (index, value) in sparsevec::entries(carried) {
            dense[index as usize] = narrow(value)?;
        }
        builder.push(&dense)?;
    }
    Ok(builder.finish())
}

fn sparse_to_sparse(array: &ArrayRef, dims: Option<u32>) -> Result<ArrayRef> {
    for carried in array.as_binary::<i32>().iter().flatten() {
        sparsevec::check_expected(dims, sparsevec::dims(carried))?;
    }
    Ok(Arc::clone(array))
}

/// Hands on the elements of each array as reals.
fn each_array(
    array: &ArrayRef,
    element: &PgType,
    style: &Style,
    mut take: impl FnMut(Option<&[f32]>) -> Result<()>,
) -> Result<()> {
    let list: &ListArray = array.as_list::<i32>();
    let values = convert(list.values(), element, &PgType::Float4, style, TooLong::Refuse)?;
    let values = values.as_primitive::<Float32Type>();
    for row in 0..list.len() {
        if list.is_null(row) {
            take(None)?;
            continue;
        }
        let (start, end) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
        let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        if range.clone().any(|at| values.is_null(at)) {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "array must not contain nulls",
            ));
        }
        take(Some(&values.values()[range]))?;
    }
    Ok(())
}

fn array_to_dense<T: Element>(
    array: &ArrayRef,
    element: &PgType,
    dims: Option<u16>,
    style: &Style,
) -> Result<ArrayRef> {
    let mut builder = Builder::<T>::new(dims);
    let mut made = Vec::new();
    each_array(array, element, style, |values| {
        let Some(values) = values else {
            builder.push_null();
            return Ok(());
        };
        check_dims::<T>(values.len())?;
        check_expected(dims, values.len())?;
        made.clear();
        for &value in values {
            let value = narrow(value)?;
            check_element::<T>(value)?;
            made.push(value);
        }
        builder.push(&made)
    })?;
    Ok(builder.finish())
}

fn array_to_sparse(
    array: &ArrayRef,
    element: &PgType,
    dims: Option<u32>,
    style: &Style,
) -> Result<ArrayRef> {
    let mut made = BinaryBuilder::new();
    each_array(array, element, style, |values| {
        match values {
            Some(values) => made.append_value(sparsevec::of_elements(values, dims)?.carried()),
            None => made.append_null(),
        }
        Ok(())
    })?;
    Ok(Arc::new(made.finish()))
}

/// The oids that names stand for, of an array.
pub(crate) fn names_to_oids(
    array: &ArrayRef,
    kind: RegKind,
    names: &crate::catalog::pg::names::Scope<'_>,
) -> Result<ArrayRef> {
    let list: &ListArray = array.as_list::<i32>();
    let texts = list.values().as_string::<i32>();
    let oids = texts
        .iter()
        .map(|text| text.map(|text| names.expect(kind, text).map(|oid| oid.0)).transpose())
        .collect::<Result<UInt32Array>>()?;
    let DataType::List(field) = PgType::Reg(kind).array().arrow() else {
        return Err(Error::internal("an array is a list"));
    };
    Ok(Arc::new(ListArray::new(
        field,
        list.offsets().clone(),
        Arc::new(oids),
        list.nulls().cloned(),
    )))
}

/// What a decimal's digits are, for functions that compute with them.
pub(crate) fn decimal(array: &ArrayRef) -> (&PrimitiveArray<Decimal128Type>, i8) {
    let scale = match array.data_type() {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    };
    (array.as_primitive::<Decimal128Type>(), scale)
}
