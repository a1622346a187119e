//! Subqueries that wait to be joined to the rows around them.

use datafusion::{
    common::Column,
    logical_expr::{Expr, LogicalPlan},
};

/// A subquery of one row and one column that is to be joined to the rows around it.
#[derive(Debug, Clone)]
pub(crate) struct Apply {
    pub(super) plan: LogicalPlan,
    /// The column of the rows around that holds its value.
    pub(crate) column: String,
}

impl Apply {
    /// The columns that the subquery takes from around it.
    pub(crate) fn outer(&self) -> Vec<Expr> {
        outer_columns(&self.plan).into_iter().map(Expr::Column).collect()
    }
}

/// Subqueries of the expressions over one plan.
#[derive(Debug, Default)]
pub(crate) struct Applies {
    /// How many scopes there are where they may be collected.
    pub(super) level: usize,
    pub(super) all: Vec<Apply>,
}

/// The columns that a plan takes from around it.
pub(crate) fn outer_columns(plan: &LogicalPlan) -> Vec<Column> {
    plan.all_out_ref_exprs()
        .into_iter()
        .filter_map(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Some(column),
            _ => None,
        })
        .collect()
}
