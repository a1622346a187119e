//! The k nearest rows, exactly: distances to every row of some groups, the best kept in a heap.
//!
//! The order is PostgreSQL's of `ORDER BY distance`: numbers, then NaN, then NULL; rows that tie
//! come by row id.

use super::failure::external;
use crate::{
    error::Result,
    ids::{RowId, RowSet},
    index,
    pgtype::vector::different_dimensions,
    sql::functions::points::{Point, Points},
    storage::{columns::ColumnSpec, table::Group},
    vector::{Metric, Space},
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

/// What is searched for: a point by a metric; `None` where the query's point is NULL.
#[derive(Debug, Clone)]
pub struct Query {
    /// What points are.
    pub space: Space,
    /// What nearness means.
    pub metric: Metric,
    /// The point.
    pub point: Option<Point<'static>>,
}

impl Query {
    /// The point, if it is a dense vector: what an index can be asked for.
    #[must_use]
    pub fn dense(&self) -> Option<&[f32]> {
        self.point.as_ref().and_then(Point::dense)
    }

    /// The distance of rows that lie in a column, by which it is offered.
    ///
    /// # Errors
    /// 22000 when dimensions differ.
    fn distance(
        &self,
        points: &Points<'_>,
        place: usize,
        room: &mut Vec<f32>,
    ) -> Result<Option<f64>> {
        let Some(point) = &self.point else { return Ok(None) };
        let Some(wanted) = point.dense() else { return points.distance(self.metric, place, point) };
        room.clear();
        let vector = match points {
            Points::Vector(vectors) => vectors.row(place),
            _ => points.append_dense(place, room).then_some(room.as_slice()),
        };
        let Some(vector) = vector else { return Ok(None) };
        if vector.len() != wanted.len() {
            return Err(different_dimensions(self.space.name(), vector.len(), wanted.len()));
        }
        let mut distance = [0.0];
        index::distances(self.metric, wanted, vector, &mut distance);
        Ok(Some(distance[0]))
    }
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
    let points = Points::new(query.space, &columns[0]).map_err(external)?;
    let rows = group.row_ids();
    let wanted = (0..group.len()).map(|place| (place, rows.row(place)));
    let wanted = wanted.filter(|&(_, row)| allowed.contains(row));
    offer_rows(&points, wanted, query, top).map_err(external)
}

/// Offers some rows of a column of points.
///
/// # Errors
/// 22000 when dimensions differ.
pub fn offer_rows(
    points: &Points<'_>,
    rows: impl Iterator<Item = (usize, RowId)>,
    query: &Query,
    top: &mut TopK,
) -> Result<()> {
    let mut room = Vec::new();
    for (place, row) in rows {
        top.offer(query.distance(points, place, &mut room)?, row);
    }
    Ok(())
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
