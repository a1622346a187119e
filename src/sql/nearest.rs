//! `Nearest`, the logical node: the rows of a table whose vectors are nearest to one, under
//! filters.
//!
//! The node promises exactly min(k, matching rows) rows, less those that it is to skip, nearest
//! first; rows without a vector come last, as NULL sorts. Whether an index finds them is the
//! business of whoever runs it.

use super::near::{Bound, DISTANCE_COLUMN, Near};
use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{
        DFSchema, DFSchemaRef, Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, TableScan, UserDefinedLogicalNodeCore},
};
use std::{cmp::Ordering, fmt, sync::Arc};

/// How many rows are wanted where it is all of them, a few at a time.
pub const ALL: usize = usize::MAX;

/// The nearest rows of a table.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Nearest {
    /// Which rows; its expressions are without columns, but for the filters, which are over those
    /// of the table.
    pub near: Near,
    /// How many rows; [`ALL`] in pieces.
    pub k: usize,
    /// Of the k nearest, how many do not come out: those of the pages before.
    pub skip: usize,
    /// Whether all rows that tie with the k-th are wanted too, for a sort above to decide.
    pub ties: bool,
    /// The columns of the table that come out.
    pub projection: Vec<usize>,
    /// The projected columns, then [`DISTANCE_COLUMN`].
    pub schema: DFSchemaRef,
}

impl Nearest {
    /// The node in the place of a scan of the same rows.
    ///
    /// # Errors
    /// When the scan's columns do not make a schema.
    pub fn new(
        scan: &TableScan,
        near: Near,
        (skip, k): (usize, usize),
        ties: bool,
    ) -> Result<Self> {
        let projection = match &scan.projection {
            Some(projection) => projection.clone(),
            None => (0..scan.source.schema().fields().len()).collect(),
        };
        let mut fields: Vec<_> = scan
            .projected_schema
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
            .collect();
        fields.push((None, Arc::new(Field::new(DISTANCE_COLUMN, DataType::Float64, true))));
        let schema = DFSchema::new_with_metadata(fields, scan.projected_schema.metadata().clone())?;
        Ok(Self { near, k, skip, ties, projection, schema: Arc::new(schema) })
    }
}

impl fmt::Debug for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

impl PartialOrd for Nearest {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for Nearest {
    fn name(&self) -> &str {
        "Nearest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// What stands alone: the query, the bounds, and the subqueries in filters. The filters themselves are over
    /// the columns of the source, which is no input, and are as simple as they get when the node
    /// is made.
    fn expressions(&self) -> Vec<Expr> {
        let mut alone = vec![self.near.query.clone()];
        alone.extend(self.near.bounds().map(|bound| bound.distance.clone()));
        for filter in &self.near.filters {
            let _ = filter.apply(|part| {
                if let Expr::ScalarSubquery(_) = part {
                    alone.push(part.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        alone
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nearest: ")?;
        self.near.fmt_order(f)?;
        match self.k {
            ALL => f.write_str(" k=all")?,
            k => write!(f, " k={k}")?,
        }
        f.write_str(if self.ties { " and ties" } else { "" })?;
        if self.skip > 0 {
            write!(f, " skip={}", self.skip)?;
        }
        self.near.fmt_conditions(f)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter().map(|expr| expr.unalias());
        let query = exprs.next().unwrap_or_else(|| self.near.query.clone());
        let mut bound = |bound: &Bound| Bound {
            distance: exprs.next().unwrap_or_else(|| bound.distance.clone()),
            inclusive: bound.inclusive,
        };
        let within = self.near.within.as_ref().map(&mut bound);
        let beyond = self.near.beyond.as_ref().map(&mut bound);
        let mut put_back = |part: Expr| match part {
            Expr::ScalarSubquery(_) => Ok(Transformed::yes(exprs.next().unwrap_or(part))),
            _ => Ok(Transformed::no(part)),
        };
        let filters = self
            .near
            .filters
            .iter()
            .map(|filter| Ok(filter.clone().transform_down(&mut put_back)?.data))
            .collect::<Result<_>>()?;
        let near = Near { query, within, beyond, filters, ..self.near.clone() };
        Ok(Self { near, ..self.clone() })
    }
}
