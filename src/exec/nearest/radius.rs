//! How far rows may be at most and must be at least: `WHERE v <-> q < 0.5` beside ORDER BY of the same
//! distance.

use crate::exec::topk::Neighbour;
use arrow::{
    array::{Array, AsArray, Float64Array, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use datafusion::{common::Result, physical_expr::PhysicalExpr};
use std::{cmp::Ordering, sync::Arc};

/// A bound of the distance.
#[derive(Debug)]
pub(super) struct Radius {
    /// The distance: an expression over the outer row.
    pub(super) distance: Arc<dyn PhysicalExpr>,
    /// Whether rows at just this distance are wanted.
    pub(super) inclusive: bool,
}

/// A bound, for some outer rows.
#[derive(Debug)]
pub(super) struct Edges {
    pub(super) distances: Float64Array,
    inclusive: bool,
}

/// A bound, for one outer row. To NULL nothing compares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    distance: Option<f64>,
    inclusive: bool,
}

impl Radius {
    /// Where it lies for some outer rows.
    pub(super) fn edges(&self, outer: &RecordBatch) -> Result<Edges> {
        let distances = self.distance.evaluate(outer)?.into_array(outer.num_rows())?;
        let distances = cast(&distances, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
        Ok(Edges { distances, inclusive: self.inclusive })
    }
}

impl Edges {
    /// That of one of the rows.
    pub(super) fn at(&self, row: usize) -> Edge {
        let distance = self.distances.is_valid(row).then(|| self.distances.value(row));
        Edge { distance, inclusive: self.inclusive }
    }
}

impl Edge {
    /// What two bounds have in common that are the same.
    pub(super) fn bits(self) -> (Option<u64>, bool) {
        (self.distance.map(f64::to_bits), self.inclusive)
    }

    /// Of rows found, nearest first, those that are within.
    pub(super) fn within(self, found: Vec<Neighbour>) -> Vec<Neighbour> {
        self.keep(found, Ordering::Less)
    }

    /// Of rows found, nearest first, those that are beyond.
    pub(super) fn beyond(self, found: Vec<Neighbour>) -> Vec<Neighbour> {
        self.keep(found, Ordering::Greater)
    }

    /// Those whose distance compares so with the bound.
    fn keep(self, mut found: Vec<Neighbour>, side: Ordering) -> Vec<Neighbour> {
        let Some(bound) = self.distance else { return Vec::new() };
        // NaN is above all numbers and equals itself.
        let order = |distance: f64| match distance.partial_cmp(&bound) {
            Some(order) => order,
            None => distance.is_nan().cmp(&bound.is_nan()),
        };
        found.retain(|neighbour| match neighbour.distance.map(order) {
            Some(Ordering::Equal) => self.inclusive,
            Some(order) => order == side,
            None => false,
        });
        found
    }
}
