//! One call of a function: its arguments, and where it is made.

use crate::{
    catalog::{Catalog, pg::names::Scope},
    error::{Error, Result},
    ids::Oid,
    pgtype::RegKind,
    sql::Context,
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{
        DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, UInt32Type, UInt64Type,
    },
};
use datafusion::error::DataFusionError;
use std::{borrow::Cow, sync::Arc};

pub(super) use crate::catalog::pg::rows::Value;

/// One call: its arguments, and where it is made.
pub(super) struct Call<'c> {
    pub(super) name: &'static str,
    /// How names are resolved.
    pub(super) scope: Scope<'c>,
    /// The picture of names.
    pub(super) catalog: &'c Arc<Catalog>,
    /// The session.
    pub(super) context: &'c dyn Context,
    pub(super) values: Vec<Value<'c>>,
}

impl<'c> Call<'c> {
    /// How many arguments there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument of a place as it is.
    pub(super) fn value(&self, place: usize) -> &Value<'c> {
        self.values.get(place).unwrap_or(&Value::Null)
    }

    /// The place counted from the last argument.
    pub(super) fn nth_last(&self, back: usize) -> usize {
        (self.len() - 1).saturating_sub(back)
    }

    pub(super) fn text(&self, place: usize) -> Option<&str> {
        match self.value(place) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, place: usize) -> Option<i64> {
        match self.value(place) {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn bool(&self, place: usize) -> Option<bool> {
        match self.value(place) {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The oid of an argument; a name is looked up, and must be there.
    pub(super) fn oid(&self, place: usize, kind: RegKind) -> Result<Oid> {
        match self.value(place) {
            Value::Int(number) => Ok(u32::try_from(*number).map_or(Oid(0), Oid)),
            Value::Text(name) => self.scope.expect(kind, name),
            _ => Err(Error::internal(format!("{} wants an oid", self.name))),
        }
    }

    /// The oid of a relation.
    pub(super) fn relation(&self, place: usize) -> Result<Oid> {
        self.oid(place, RegKind::Class)
    }
}

/// Our error on its way through DataFusion.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The value of a row.
pub(super) fn read(array: &ArrayRef, row: usize) -> Result<Value<'_>> {
    use DataType as D;
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
    Ok(match array.data_type() {
        D::Null => Value::Null,
        D::Boolean => Value::Bool(array.as_boolean().value(row)),
        D::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        D::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        D::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        D::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        D::UInt64 => {
            let value = array.as_primitive::<UInt64Type>().value(row);
            Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
        }
        D::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
        D::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        D::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).into(),
        D::Utf8 => Value::Text(array.as_string::<i32>().value(row).into()),
        D::LargeUtf8 => text(array.as_string::<i64>().value(row)),
        D::Utf8View => text(array.as_string_view().value(row)),
        D::List(_) => list(&array.as_list::<i32>().value(row))?,
        other => {
            return Err(Error::internal(format!("an argument of type {other} is not read")));
        }
    })
}

/// A list as one value: texts or numbers, without NULLs.
fn list(items: &ArrayRef) -> Result<Value<'static>> {
    if *items.data_type() == DataType::Utf8 {
        let texts = items.as_string::<i32>();
        return Ok(Value::Texts(texts.iter().flatten().map(str::to_owned).collect()));
    }
    if !items.data_type().is_integer() {
        return Ok(Value::Texts(Vec::new()));
    }
    let numbers = cast(items, &DataType::Int64)
        .map_err(|error| Error::internal("a list of numbers").source(error))?;
    Ok(Value::Ints(numbers.as_primitive::<Int64Type>().iter().flatten().collect()))
}
