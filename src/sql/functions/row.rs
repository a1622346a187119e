//! Rows made of values.

use crate::{
    error::{Error, Result},
    sql::{error::from_arrow, functions::call::Arguments},
};
use arrow::{
    array::{ArrayRef, StructArray},
    compute::cast,
    datatypes::DataType,
};
use std::sync::Arc;

/// `ROW(a, b)`
pub(crate) fn make(args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = args.result.arrow() else {
        return Err(Error::internal("a row is a struct"));
    };
    if fields.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(args.rows, None)));
    }
    let columns = args
        .arrays
        .iter()
        .zip(&fields)
        .map(|(array, field)| cast(array, field.data_type()).map_err(from_arrow))
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields, columns, None).map_err(from_arrow)?))
}
