//! Lists that grow by rows: vectors, and the ends of arrays.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::vector::Element,
};
use arrow::{
    array::{ArrayRef, FixedSizeListArray, ListArray, NullBufferBuilder, PrimitiveArray},
    buffer::OffsetBuffer,
    datatypes::DataType,
};
use std::sync::Arc;

/// Dense vectors, one behind the other.
#[derive(Debug)]
pub(super) struct Dense<T> {
    pub(super) values: Vec<T>,
    pub(super) dims: Option<u16>,
    pub(super) rows: Rows,
}

impl<T: Element> Dense<T> {
    pub(super) fn new(dims: Option<u16>) -> Self {
        Self { values: Vec::new(), dims, rows: Rows::new() }
    }

    pub(super) fn push_null(&mut self) -> Result<()> {
        // A list of fixed length has values under its NULLs too.
        let more = usize::from(self.dims.unwrap_or(0));
        self.values.resize(self.values.len() + more, T::ZERO);
        self.rows.push(self.values.len(), false)
    }

    /// Appends what a reader reads; nothing where it fails.
    pub(super) fn push(
        &mut self,
        read: impl FnOnce(Option<u16>, &mut Vec<T>) -> Result<usize>,
    ) -> Result<()> {
        let start = self.values.len();
        if let Err(error) = read(self.dims, &mut self.values) {
            self.values.truncate(start);
            return Err(error);
        }
        self.rows.push(self.values.len(), true)
    }

    pub(super) fn finish(&mut self, data_type: &DataType) -> ArrayRef {
        let values = std::mem::take(&mut self.values);
        let values: ArrayRef = Arc::new(PrimitiveArray::<T::Arrow>::from_iter_values(values));
        list_array(data_type, values, &mut self.rows)
    }
}

/// The ends of the rows of a list, and which of them are NULL.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn push(&mut self, end: usize, valid: bool) -> Result<()> {
        let end = i32::try_from(end).map_err(|_| {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many elements in one batch of rows")
        })?;
        self.offsets.push(end);
        self.nulls.append(valid);
        Ok(())
    }
}

pub(super) fn list_array(data_type: &DataType, values: ArrayRef, rows: &mut Rows) -> ArrayRef {
    let Rows { offsets, mut nulls } = std::mem::replace(rows, Rows::new());
    let nulls = nulls.finish();
    match data_type {
        DataType::FixedSizeList(field, length) => {
            Arc::new(FixedSizeListArray::new(Arc::clone(field), *length, values, nulls))
        }
        DataType::List(field) => {
            let offsets = OffsetBuffer::new(offsets.into());
            Arc::new(ListArray::new(Arc::clone(field), offsets, values, nulls))
        }
        other => unreachable!("{other} is no list"),
    }
}
