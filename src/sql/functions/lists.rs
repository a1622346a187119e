//! What arrays are to functions: lists of Arrow, row by row a range of their elements.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, cast::from_text, string::TooLong},
    sql::{error::from_arrow, functions::call::Arguments},
};
use arrow::{
    array::{ArrayRef, AsArray, ListArray, StringArray, UInt32Array, new_null_array},
    buffer::{NullBuffer, OffsetBuffer},
    compute::take,
    datatypes::{DataType, FieldRef},
};
use std::{ops::Range, sync::Arc};

pub(super) fn field(result: &PgType) -> Result<FieldRef> {
    match result.arrow() {
        DataType::List(field) => Ok(field),
        _ => Err(Error::internal("an array is a list")),
    }
}

pub(super) fn list(array: &ArrayRef) -> &ListArray {
    array.as_list::<i32>()
}

/// The places of a row's elements among all of them.
pub(super) fn range(list: &ListArray, row: usize) -> Range<usize> {
    let bound = |at: usize| usize::try_from(list.value_offsets()[at]).unwrap_or(0);
    bound(row)..bound(row + 1)
}

pub(super) fn index(at: usize) -> Result<u32> {
    u32::try_from(at).map_err(|_| {
        Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "array size exceeds the maximum allowed")
    })
}

/// Lists made of picked places of some values.
pub(super) struct Picker {
    places: Vec<Option<u32>>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Picker {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), lengths: Vec::new(), valid: Vec::new() }
    }

    pub(super) fn push(&mut self, places: impl IntoIterator<Item = Option<usize>>) -> Result<()> {
        let before = self.places.len();
        for place in places {
            self.places.push(place.map(index).transpose()?);
        }
        self.lengths.push(self.places.len() - before);
        self.valid.push(true);
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    pub(super) fn finish(self, values: &ArrayRef, result: &PgType) -> Result<ArrayRef> {
        let places = UInt32Array::from(self.places);
        let values = take(values, &places, None).map_err(from_arrow)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let nulls = NullBuffer::from(self.valid);
        Ok(Arc::new(ListArray::new(field(result)?, offsets, values, Some(nulls))))
    }
}

/// Lists of texts as a list of another type: for functions whose elements are made as text.
pub(super) fn texts_as(
    rows: Vec<Option<Vec<Option<String>>>>,
    result: &PgType,
    args: &Arguments<'_>,
) -> Result<ArrayRef> {
    let PgType::Array(element) = result else { return Err(Error::internal("an array is wanted")) };
    let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().map_or(0, Vec::len)).collect();
    let valid: Vec<bool> = rows.iter().map(Option::is_some).collect();
    let texts: ArrayRef = Arc::new(rows.into_iter().flatten().flatten().collect::<StringArray>());
    let values = match element.as_ref() {
        PgType::Text | PgType::Json | PgType::Jsonb => texts,
        kind => from_text(kind, &texts, &args.context.style(), TooLong::Refuse)?,
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::new(field(result)?, offsets, values, Some(NullBuffer::from(valid)))))
}

/// A column of nothing but NULL.
pub(super) fn nulls(args: &Arguments<'_>) -> ArrayRef {
    new_null_array(&args.result.arrow(), args.rows)
}
