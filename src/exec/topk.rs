//! The k nearest rows, exactly: distances to every row of some groups, the best kept in a heap.
//!
//! The order is PostgreSQL's of `ORDER BY distance`: numbers, then NaN, then NULL; rows that tie
//! come by row id. Where something else is to decide between rows that tie, all those that tie with
//! the k-th are kept.

use crate::{
    error::Result,
    ids::{RowId, RowSet},
    index,
    pgtype::vector::different_dimensions,
    sql::functions::{
        points::{Point, Points},
        vector::Vectors,
    },
    storage::{columns::ColumnSpec, table::Group},
    vector::{Metric, Space},
};
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

impl Neighbour {
    /// How its distance sorts beside another's, whatever their rows.
    #[must_use]
    pub fn nearness(&self, other: &Self) -> Ordering {
        match (self.distance, other.distance) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

impl Ord for Neighbour {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nearness(other).then(self.row.cmp(&other.row))
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
    /// Beside the k, those as near as the k-th; `None` where these are not wanted.
    tied: Option<Vec<Neighbour>>,
}

impl TopK {
    /// Nothing yet.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new(), tied: None }
    }

    /// Nothing yet; all rows that tie with the k-th will be kept.
    #[must_use]
    pub fn with_ties(k: usize) -> Self {
        Self { tied: Some(Vec::new()), ..Self::new(k) }
    }

    /// Offers a row. Every NaN counts the same, whatever its sign, and so does every zero.
    pub fn offer(&mut self, distance: Option<f64>, row: RowId) {
        let distance = distance.map(|d| if d.is_nan() { f64::NAN } else { d + 0.0 });
        let neighbour = Neighbour { distance, row };
        if self.heap.len() < self.k {
            self.heap.push(neighbour);
            return;
        }
        let Some(mut worst) = self.heap.peek_mut() else { return };
        if neighbour >= *worst {
            if let Some(tied) = &mut self.tied
                && neighbour.nearness(&worst) == Ordering::Equal
            {
                tied.push(neighbour);
            }
            return;
        }
        let left = std::mem::replace(&mut *worst, neighbour);
        drop(worst);
        let (Some(tied), Some(worst)) = (&mut self.tied, self.heap.peek()) else { return };
        if left.nearness(worst) == Ordering::Equal {
            tied.push(left);
        } else {
            tied.clear();
        }
    }

    /// How far the k-th is; `None` while fewer were found, or where it has no distance.
    #[must_use]
    pub fn kth(&self) -> Option<f64> {
        self.heap.peek().filter(|_| self.is_full())?.distance
    }

    /// Whether k rows were found.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.heap.len() >= self.k
    }

    /// The rows, nearest first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Neighbour> {
        let mut rows = self.heap.into_sorted_vec();
        if let Some(mut tied) = self.tied {
            rows.append(&mut tied);
            rows.sort_unstable();
        }
        rows
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

/// Offers every allowed row of a group from a row on.
///
/// # Errors
/// Those of reading, and 22000 when dimensions differ.
pub async fn scan_group(
    group: &Group,
    column: &ColumnSpec,
    allowed: &RowSet,
    first: RowId,
    query: &Query,
    top: &mut TopK,
) -> Result<()> {
    let columns = group.columns(std::slice::from_ref(column)).await?;
    let points = Points::new(query.space, &columns[0])?;
    let rows = group.row_ids();
    let wanted = allowed.iter_within(first.max(group.first_row()), group.end_row());
    let wanted = wanted.filter_map(|row| Some((rows.position(row)?, row)));
    offer_rows(&points, wanted, query, top)
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
    if let (Points::Vector(vectors), Some(wanted)) = (points, query.dense())
        && let Some(values) = vectors.rows_of(wanted.len())
    {
        offer_all(vectors, values, rows, (query.metric, wanted), top);
        return Ok(());
    }
    let mut room = Vec::new();
    for (place, row) in rows {
        top.offer(query.distance(points, place, &mut room)?, row);
    }
    Ok(())
}

/// Offers rows of vectors of one length, measured together.
fn offer_all(
    vectors: &Vectors<'_, f32>,
    values: &[f32],
    rows: impl Iterator<Item = (usize, RowId)>,
    (metric, wanted): (Metric, &[f32]),
    top: &mut TopK,
) {
    let (mut places, mut measured) = (Vec::new(), Vec::new());
    for (place, row) in rows {
        if vectors.is_null(place) {
            top.offer(None, row);
        } else {
            places.push(u32::try_from(place).expect("a group is small"));
            measured.push(row);
        }
    }
    let mut distances = vec![0.0; places.len()];
    index::distances_at(metric, wanted, values, &places, &mut distances);
    for (row, distance) in measured.into_iter().zip(distances) {
        top.offer(Some(distance), row);
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

    #[test]
    fn all_that_tie_with_the_last_are_kept_and_no_others() {
        let kept = |k: usize, offered: &[f64]| {
            let mut top = TopK::with_ties(k);
            for (row, &distance) in (0..).zip(offered) {
                top.offer(Some(distance), RowId(row));
            }
            top.into_sorted().iter().map(|n| n.row.0).collect::<Vec<u64>>()
        };
        assert_eq!(kept(2, &[3.0, 1.0, 3.0, 3.0, 2.0]), [1, 4]);
        assert_eq!(kept(2, &[3.0, 1.0, 3.0, 3.0, 4.0]), [1, 0, 2, 3]);
        assert_eq!(kept(1, &[2.0, 2.0, 1.0, 1.0, 2.0]), [2, 3]);
        assert_eq!(kept(3, &[2.0, 2.0, 2.0, 2.0, 1.0]), [4, 0, 1, 2, 3]);
        assert_eq!(kept(1, &[0.0, -0.0]), [0, 1]);
        assert_eq!(kept(9, &[2.0, 1.0]), [1, 0]);
    }
}
