//! The k nearest rows, exactly: distances to every row of some groups, the best kept in a heap.
//!
//! The order is PostgreSQL's of `ORDER BY distance`: numbers, then NaN, then NULL; rows that tie
//! come by row id.

use super::failure::external;
use crate::{
    error::{Error, Result, SqlState},
    ids::{RowId, RowSet},
    index,
    storage::{columns::ColumnSpec, table::Group},
    vector::Metric,
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::Float32Type,
};
use datafusion::common::Result as DataFusionResult;
use std::{cmp::Ordering, collections::BinaryHeap};

/// A row and how far it is: `None` where its vector is NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The distance, as the operator gives it.
    pub distance: Option<f64>,
    /// The row.
    pub row: RowId,
}

impl Eq for Neighbour {}

impl Ord for Neighbour {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_distance = match (self.distance, other.distance) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        by_distance.then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The k nearest so far.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    heap: BinaryHeap<Neighbour>,
}

impl TopK {
    /// Nothing yet.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Offers a row. Every NaN counts the same, whatever its sign.
    pub fn offer(&mut self, distance: Option<f64>, row: RowId) {
        let distance = distance.map(|d| if d.is_nan() { f64::NAN } else { d });
        let neighbour = Neighbour { distance, row };
        if self.heap.len() < self.k {
            self.heap.push(neighbour);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && neighbour < *worst
        {
            *worst = neighbour;
        }
    }

    /// Whether k rows were found.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.heap.len() >= self.k
    }

    /// The rows, nearest first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec()
    }
}

/// What is searched for: a vector by a metric; `None` where the query's vector is NULL.
#[derive(Debug, Clone)]
pub struct Query {
    /// What nearness means.
    pub metric: Metric,
    /// The vector.
    pub vector: Option<Vec<f32>>,
}

/// Offers every allowed row of a group.
///
/// # Errors
/// Those of reading, and 22000 when dimensions differ.
pub async fn scan_group(
    group: &Group,
    column: &ColumnSpec,
    allowed: &RowSet,
    query: &Query,
    top: &mut TopK,
) -> DataFusionResult<()> {
    let columns = group.columns(std::slice::from_ref(column)).await.map_err(external)?;
    let vectors = Vectors::new(&columns[0]);
    let rows = group.row_ids();
    let wanted = (0..group.len()).map(|place| (place, rows.row(place)));
    let wanted = wanted.filter(|&(_, row)| allowed.contains(row));
    offer_rows(&vectors, wanted, query, top).map_err(external)
}

/// Offers some rows of a column of vectors.
///
/// # Errors
/// 22000 when dimensions differ.
pub fn offer_rows(
    vectors: &Vectors<'_>,
    rows: impl Iterator<Item = (usize, RowId)>,
    query: &Query,
    top: &mut TopK,
) -> Result<()> {
    let mut distance = [0.0];
    for (place, row) in rows {
        let distance = match (vectors.get(place), &query.vector) {
            (Some(vector), Some(wanted)) => {
                if vector.len() != wanted.len() {
                    return Err(different_dimensions(vector.len(), wanted.len()));
                }
                index::distances(query.metric, wanted, vector, &mut distance);
                Some(distance[0])
            }
            _ => None,
        };
        top.offer(distance, row);
    }
    Ok(())
}

/// pgvector's words for two vectors that do not go together.
#[must_use]
pub fn different_dimensions(left: usize, right: usize) -> Error {
    Error::new(SqlState::DATA_EXCEPTION, format!("different vector dimensions {left} and {right}"))
}

/// A column of vectors, with or without declared dimensions.
#[derive(Debug)]
pub struct Vectors<'a> {
    array: &'a ArrayRef,
    values: &'a [f32],
    shape: Shape<'a>,
}

#[derive(Debug)]
enum Shape<'a> {
    Fixed(usize),
    Offsets(&'a [i32]),
}

impl<'a> Vectors<'a> {
    /// The vectors of an array of `PgType::Vector`.
    #[must_use]
    pub fn new(array: &'a ArrayRef) -> Self {
        if let Some(fixed) = array.as_fixed_size_list_opt() {
            let dims = usize::try_from(fixed.value_length()).expect("dimensions are positive");
            let values = fixed.values().as_primitive::<Float32Type>().values();
            return Self { array, values, shape: Shape::Fixed(dims) };
        }
        let list = array.as_list::<i32>();
        let values = list.values().as_primitive::<Float32Type>().values();
        Self { array, values, shape: Shape::Offsets(list.value_offsets()) }
    }

    /// The vector at a place; `None` where it is NULL.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&'a [f32]> {
        if self.array.is_null(place) {
            return None;
        }
        match &self.shape {
            Shape::Fixed(dims) => self.values.get(place * dims..(place + 1) * dims),
            Shape::Offsets(offsets) => {
                let offset = |i: usize| usize::try_from(offsets[i]).expect("offsets are positive");
                self.values.get(offset(place)..offset(place + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_before_nan_and_nan_before_null() {
        let mut top = TopK::new(4);
        let offered = [None, Some(-f64::NAN), Some(2.0), Some(1.0), Some(2.0), None];
        for (row, distance) in (0..).zip(offered) {
            top.offer(distance, RowId(row));
        }
        let rows: Vec<u64> = top.into_sorted().iter().map(|n| n.row.0).collect();
        assert_eq!(rows, [3, 2, 4, 1]);
    }
}
