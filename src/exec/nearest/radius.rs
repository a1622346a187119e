//! How far rows may be at most and must be at least: `WHERE v <-> q < 0.5` beside ORDER BY of the same
//! distance.

use crate::exec::{constant::value_of, topk::Neighbour};
use arrow::{array::AsArray, compute::cast, datatypes::DataType, datatypes::Float64Type};
use datafusion::{common::Result, physical_expr::PhysicalExpr};
use std::{cmp::Ordering, sync::Arc};

/// A bound of the distance.
#[derive(Debug)]
pub(super) struct Radius {
    /// The distance: an expression without columns.
    pub(super) distance: Arc<dyn PhysicalExpr>,
    /// Whether rows at just this distance are wanted.
    pub(super) inclusive: bool,
}

impl Radius {
    /// Of rows found, nearest first, those that are within.
    pub(super) fn within(&self, found: Vec<Neighbour>) -> Result<Vec<Neighbour>> {
        self.keep(found, Ordering::Less)
    }

    /// Of rows found, nearest first, those that are beyond.
    pub(super) fn beyond(&self, found: Vec<Neighbour>) -> Result<Vec<Neighbour>> {
        self.keep(found, Ordering::Greater)
    }

    /// Those whose distance compares so with the bound. To NULL nothing compares.
    fn keep(&self, mut found: Vec<Neighbour>, side: Ordering) -> Result<Vec<Neighbour>> {
        let bound = cast(&value_of(&self.distance)?, &DataType::Float64)?;
        let Some(bound) = bound.as_primitive::<Float64Type>().iter().next().flatten() else {
            return Ok(Vec::new());
        };
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
        Ok(found)
    }
}
