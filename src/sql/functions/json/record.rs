//! Objects of json as rows of columns: `json_to_record`, `jsonb_to_recordset` and their kin. Each makes a list
//! of rows.

use crate::{
    error::{Error, Result},
    pgtype::{
        PgType,
        input::ColumnBuilder,
        json::records::{Fields, record, records},
    },
    sql::{
        error::from_arrow,
        functions::{call::Arguments, lists},
    },
};
use arrow::{
    array::{Array, ArrayRef, ListArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::DataType,
};
use std::sync::Arc;

/// One row of an object, as NULL makes one of nothing but NULL.
pub(crate) fn one(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |text, fields| {
        Ok(vec![match text {
            Some(text) => record(text, fields)?,
            None => vec![None; fields.len()],
        }])
    })
}

/// A row for each object of an array.
pub(crate) fn set_of_json(args: &Arguments<'_>) -> Result<ArrayRef> {
    set(args, "json_to_recordset")
}

/// The same of jsonb.
pub(crate) fn set_of_jsonb(args: &Arguments<'_>) -> Result<ArrayRef> {
    set(args, "jsonb_to_recordset")
}

fn set(args: &Arguments<'_>, name: &str) -> Result<ArrayRef> {
    rows(args, |text, fields| match text {
        Some(text) => records(text, fields, name),
        None => Ok(Vec::new()),
    })
}

fn rows(
    args: &Arguments<'_>,
    one: impl Fn(Option<&str>, &[(String, PgType)]) -> Result<Vec<Fields>>,
) -> Result<ArrayRef> {
    let missing = || Error::internal("records are a list of rows");
    let PgType::Array(element) = args.result else { return Err(missing()) };
    let fields = element.fields().ok_or_else(missing)?;
    let style = args.context.style();
    let mut columns: Vec<ColumnBuilder> =
        fields.iter().map(|(_, kind)| ColumnBuilder::new(kind, &style)).collect();
    let documents = args.text(0);
    let mut lengths = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let text = documents.is_valid(row).then(|| documents.value(row));
        let made = one(text, fields)?;
        lengths.push(made.len());
        for made in made {
            for (column, text) in columns.iter_mut().zip(made) {
                match text {
                    Some(text) => column.push_text(&text)?,
                    None => column.push_null()?,
                }
            }
        }
    }
    let DataType::Struct(shape) = element.arrow() else { return Err(missing()) };
    let columns = columns.iter_mut().map(ColumnBuilder::finish).collect();
    let structs = StructArray::try_new(shape, columns, None).map_err(from_arrow)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = NullBuffer::new_valid(args.rows);
    let field = lists::field(args.result)?;
    Ok(Arc::new(ListArray::new(field, offsets, Arc::new(structs), Some(nulls))))
}
