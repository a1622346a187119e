//! Dense vectors in columns, of single or of half precision: declared dimensions make a fixed-size
//! list, none a list.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::vector::{Element, check_expected},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, PrimitiveArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::DataType,
};
use std::sync::Arc;

/// The vectors of a column.
#[derive(Debug)]
pub struct Vectors<'a, T: Element> {
    array: &'a ArrayRef,
    values: &'a [T],
    layout: Layout<'a>,
}

#[derive(Debug)]
enum Layout<'a> {
    Fixed { dims: usize, offset: usize },
    Listed(&'a [i32]),
}

impl<'a, T: Element> Vectors<'a, T> {
    /// The vectors of an array of their type.
    ///
    /// # Errors
    /// An internal error where the array holds something else.
    pub fn new(array: &'a ArrayRef) -> Result<Self> {
        let elements = |values: &'a ArrayRef| {
            let values = values.as_primitive_opt::<T::Arrow>();
            let values = values.map(|values| -> &'a [T] { values.values() });
            values
                .ok_or_else(|| Error::internal(format!("{} is no {}", array.data_type(), T::NAME)))
        };
        match array.data_type() {
            DataType::FixedSizeList(_, dims) => {
                let list = array.as_fixed_size_list();
                let dims = usize::try_from(*dims).unwrap_or(0);
                let values = elements(list.values())?;
                Ok(Self { array, values, layout: Layout::Fixed { dims, offset: 0 } })
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let values = elements(list.values())?;
                Ok(Self { array, values, layout: Layout::Listed(list.value_offsets()) })
            }
            other => Err(Error::internal(format!("{other} is no vector"))),
        }
    }

    /// A row's vector; `None` where it is NULL.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&'a [T]> {
        if self.array.is_null(row) {
            return None;
        }
        Some(match &self.layout {
            Layout::Fixed { dims, offset } => {
                let start = (offset + row) * dims;
                &self.values[start..start + dims]
            }
            Layout::Listed(offsets) => {
                let bound = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
                &self.values[bound(row)..bound(row + 1)]
            }
        })
    }

    /// The elements of all rows, one behind the other, where each has so many; those of a NULL may be
    /// anything.
    #[must_use]
    pub fn rows_of(&self, wanted: usize) -> Option<&'a [T]> {
        match self.layout {
            Layout::Fixed { dims, offset: 0 } if dims == wanted => Some(self.values),
            _ => None,
        }
    }

    /// Whether a row is NULL.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.array.is_empty()
    }
}

/// Makes a column of vectors.
#[derive(Debug)]
pub(crate) struct Builder<T: Element> {
    dims: Option<u16>,
    values: Vec<T>,
    ends: Vec<i32>,
    nulls: Vec<bool>,
}

impl<T: Element> Builder<T> {
    pub(crate) fn new(dims: Option<u16>) -> Self {
        Self { dims, values: Vec::new(), ends: vec![0], nulls: Vec::new() }
    }

    pub(crate) fn push(&mut self, vector: &[T]) -> Result<()> {
        check_expected(self.dims, vector.len())?;
        self.values.extend_from_slice(vector);
        self.close(true)
    }

    pub(crate) fn push_null(&mut self) {
        let dims = self.dims.map_or(0, usize::from);
        self.values.resize(self.values.len() + dims, T::ZERO);
        let end = self.ends.last().copied().unwrap_or(0);
        self.ends.push(end.saturating_add(i32::from(self.dims.map_or(0, u16::cast_signed))));
        self.nulls.push(false);
    }

    fn close(&mut self, valid: bool) -> Result<()> {
        let end = i32::try_from(self.values.len()).map_err(|_| {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many elements in one batch of rows")
        })?;
        self.ends.push(end);
        self.nulls.push(valid);
        Ok(())
    }

    pub(crate) fn finish(self) -> ArrayRef {
        let values: ArrayRef = Arc::new(PrimitiveArray::<T::Arrow>::from_iter_values(self.values));
        let nulls = Some(NullBuffer::from(self.nulls));
        match T::kind(self.dims).arrow() {
            DataType::FixedSizeList(field, dims) => {
                Arc::new(FixedSizeListArray::new(field, dims, values, nulls))
            }
            DataType::List(field) => {
                let offsets = OffsetBuffer::new(self.ends.into());
                Arc::new(ListArray::new(field, offsets, values, nulls))
            }
            other => unreachable!("a vector is not carried by {other}"),
        }
    }
}
