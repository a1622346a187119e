//! `Piecemeal`, the logical node that says that rows are wanted a few at a time, and perhaps not all
//! of them: what a cursor puts on top of its query. It changes no row.
//!
//! Below it ORDER BY distance without LIMIT becomes a search that goes on as it is read
//! (`push_down.rs`). Where it finds nothing of the kind it does nothing.

use datafusion::{
    common::{DFSchemaRef, DataFusionError, Result},
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore},
};
use std::{cmp::Ordering, fmt};

/// A query whose rows are wanted a few at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Piecemeal {
    /// The query.
    pub input: LogicalPlan,
}

impl PartialOrd for Piecemeal {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for Piecemeal {
    fn name(&self) -> &str {
        "Piecemeal"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Piecemeal")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.into_iter().next();
        let missing = || DataFusionError::Internal("piecemeal of nothing".to_owned());
        Ok(Self { input: input.ok_or_else(missing)? })
    }
}
