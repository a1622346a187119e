//! Points of any space in columns, and how far they are from one that is searched for.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        sparsevec::Sparse,
        vector::{Element as _, different_dimensions},
    },
    sql::functions::{
        bit,
        dense::{check_same, distance},
        sparsevec,
        vector::Vectors,
    },
    vector::{Metric, Space},
};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use half::f16;
use std::borrow::Cow;

/// A column of points.
#[derive(Debug)]
pub enum Points<'a> {
    /// Vectors of single precision.
    Vector(Vectors<'a, f32>),
    /// Vectors of half precision.
    Halfvec(Vectors<'a, f16>),
    /// Sparse vectors, as columns carry them.
    Sparsevec(&'a BinaryArray),
    /// Bit strings, as columns carry them.
    Bit(&'a BinaryArray),
}

/// A point by itself, ready to be compared with many.
#[derive(Debug, Clone, PartialEq)]
pub enum Point<'a> {
    /// A dense vector, of either precision.
    Dense(Cow<'a, [f32]>),
    /// A sparse vector.
    Sparse(Sparse),
    /// A bit string, as a column carries it.
    Bits(Cow<'a, [u8]>),
}

impl Point<'_> {
    /// The same, owning what it is made of.
    #[must_use]
    pub fn into_owned(self) -> Point<'static> {
        match self {
            Self::Dense(values) => Point::Dense(Cow::Owned(values.into_owned())),
            Self::Sparse(vector) => Point::Sparse(vector),
            Self::Bits(bits) => Point::Bits(Cow::Owned(bits.into_owned())),
        }
    }

    /// How many dimensions, or bits.
    #[must_use]
    pub fn dims(&self) -> usize {
        match self {
            Self::Dense(values) => values.len(),
            Self::Sparse(vector) => vector.dims as usize,
            Self::Bits(bits) => crate::pgtype::bit::length(bits),
        }
    }

    /// The elements of a dense vector.
    #[must_use]
    pub fn dense(&self) -> Option<&[f32]> {
        match self {
            Self::Dense(values) => Some(values),
            _ => None,
        }
    }
}

impl<'a> Points<'a> {
    /// The points of an array of the type of a space.
    ///
    /// # Errors
    /// An internal error where the array holds something else.
    pub fn new(space: Space, array: &'a ArrayRef) -> Result<Self> {
        let bytes = || {
            array.as_binary_opt::<i32>().ok_or_else(|| {
                Error::internal(format!("{} is no {}", array.data_type(), space.name()))
            })
        };
        Ok(match space {
            Space::Vector => Self::Vector(Vectors::new(array)?),
            Space::Halfvec => Self::Halfvec(Vectors::new(array)?),
            Space::Sparsevec => Self::Sparsevec(bytes()?),
            Space::Bit => Self::Bit(bytes()?),
        })
    }

    /// A row's point; `None` where it is NULL.
    #[must_use]
    pub fn point(&self, row: usize) -> Option<Point<'a>> {
        let bytes = |array: &'a BinaryArray| array.is_valid(row).then(|| array.value(row));
        Some(match self {
            Self::Vector(vectors) => Point::Dense(Cow::Borrowed(vectors.row(row)?)),
            Self::Halfvec(vectors) => {
                Point::Dense(vectors.row(row)?.iter().map(|x| x.real()).collect())
            }
            Self::Sparsevec(array) => Point::Sparse(Sparse::of_carried(bytes(array)?)),
            Self::Bit(array) => Point::Bits(Cow::Borrowed(bytes(array)?)),
        })
    }

    /// Appends the elements of a row's dense vector; false where it is NULL or not dense.
    pub fn append_dense(&self, row: usize, out: &mut Vec<f32>) -> bool {
        match self {
            Self::Vector(vectors) => vectors.row(row).map(|v| out.extend_from_slice(v)).is_some(),
            Self::Halfvec(vectors) => {
                vectors.row(row).map(|v| out.extend(v.iter().map(|x| x.real()))).is_some()
            }
            _ => false,
        }
    }

    /// How far a row's point is from another; `None` where it is NULL.
    ///
    /// # Errors
    /// 22000 where the two do not go together.
    pub fn distance(&self, metric: Metric, row: usize, to: &Point<'_>) -> Result<Option<f64>> {
        let bytes = |array: &'a BinaryArray| array.is_valid(row).then(|| array.value(row));
        Ok(Some(match (self, to) {
            (Self::Vector(vectors), Point::Dense(to)) => {
                let Some(vector) = vectors.row(row) else { return Ok(None) };
                check_same(vector, to)?;
                distance(metric, vector, to)
            }
            (Self::Halfvec(vectors), Point::Dense(to)) => {
                let Some(vector) = vectors.row(row) else { return Ok(None) };
                check_same(vector, to)?;
                distance(metric, vector, to)
            }
            (Self::Sparsevec(array), Point::Sparse(to)) => {
                let Some(vector) = bytes(array) else { return Ok(None) };
                let dims = crate::pgtype::sparsevec::dims(vector);
                if dims != to.dims {
                    let (left, right) = (dims as usize, to.dims as usize);
                    return Err(different_dimensions("sparsevec", left, right));
                }
                sparsevec::distance(metric, vector, to)
            }
            (Self::Bit(array), Point::Bits(to)) => {
                let Some(bits) = bytes(array) else { return Ok(None) };
                let (left, right) =
                    (crate::pgtype::bit::length(bits), crate::pgtype::bit::length(to));
                if left != right {
                    return Err(Error::new(
                        SqlState::DATA_EXCEPTION,
                        format!("different bit lengths {left} and {right}"),
                    ));
                }
                bit::distance(metric, bits, to)
            }
            _ => return Err(Error::internal("a distance between points of two spaces")),
        }))
    }
}
