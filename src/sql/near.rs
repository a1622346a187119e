//! `Near`: which rows of a table are sought by their distance, to what, and under which conditions.
//! One search has it, and a join that searches for each outer row.

use crate::{catalog::Table, ids::ColumnId, vector::Metric};
use datafusion::{
    common::TableReference,
    logical_expr::{Expr, TableSource},
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The column in which distances come out.
pub const DISTANCE_COLUMN: &str = "__distance";

/// How far rows may be at most, or at least.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bound {
    /// The distance: an expression without the table's columns.
    pub distance: Expr,
    /// Whether rows at just this distance are wanted.
    pub inclusive: bool,
}

/// Rows of a table by their distance to a vector.
#[derive(Clone)]
pub struct Near {
    /// The table.
    pub table: Arc<Table>,
    /// Its rows, under all of its columns.
    pub source: Arc<dyn TableSource>,
    /// The qualifier of these columns.
    pub name: TableReference,
    /// The vector column.
    pub column: ColumnId,
    /// What nearness means.
    pub metric: Metric,
    /// The vector that rows are to be near to: an expression without the table's columns.
    pub query: Expr,
    /// Rows farther than this are left out.
    pub within: Option<Bound>,
    /// Rows nearer than this are left out, and do not count.
    pub beyond: Option<Bound>,
    /// What rows must meet, all of it.
    pub filters: Vec<Expr>,
}

impl Near {
    /// The bounds that there are.
    pub fn bounds(&self) -> impl Iterator<Item = &Bound> {
        self.within.iter().chain(&self.beyond)
    }

    /// The table, its column and the operator that orders its rows.
    pub(super) fn fmt_order(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.table.column_by_id(self.column).map_or("?", |column| &column.name);
        write!(f, "{}.{column} {}", self.table.name, self.metric.operator())
    }

    /// The bounds and filters.
    pub(super) fn fmt_conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Bound { distance, inclusive }) = &self.within {
            write!(f, " within{}{distance}", if *inclusive { "<=" } else { "<" })?;
        }
        if let Some(Bound { distance, inclusive }) = &self.beyond {
            write!(f, " beyond{}{distance}", if *inclusive { ">=" } else { ">" })?;
        }
        if !self.filters.is_empty() {
            let filters: Vec<String> = self.filters.iter().map(ToString::to_string).collect();
            write!(f, " filters=[{}]", filters.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_order(f)?;
        write!(f, " {}", self.query)?;
        self.fmt_conditions(f)
    }
}

impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        self.table.id == other.table.id
            && (&self.name, self.column, self.metric) == (&other.name, other.column, other.metric)
            && (&self.query, &self.filters) == (&other.query, &other.filters)
            && (&self.within, &self.beyond) == (&other.within, &other.beyond)
    }
}

impl Eq for Near {}

impl Hash for Near {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.table.id, &self.name, self.column, self.metric).hash(state);
        (&self.query, &self.filters, &self.within, &self.beyond).hash(state);
    }
}
