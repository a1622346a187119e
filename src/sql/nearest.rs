//! `Nearest`, the logical node: the rows of a table whose vectors are nearest to one, under
//! filters.
//!
//! The node promises exactly min(k, matching rows) rows, nearest first; rows without a vector
//! come last, as NULL sorts. Whether an index finds them is the business of whoever runs it.

use crate::{catalog::Table, ids::ColumnId, vector::Metric};
use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{
        DFSchema, DFSchemaRef, Result, TableReference,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, TableScan, TableSource, UserDefinedLogicalNodeCore},
};
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The column that the node adds: how far a row is from the query.
pub const DISTANCE_COLUMN: &str = "__distance";

/// How many rows are wanted where it is all of them, a few at a time.
pub const ALL: usize = usize::MAX;

/// How far rows may be at most, or at least.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bound {
    /// The distance: an expression without columns.
    pub distance: Expr,
    /// Whether rows at just this distance are wanted.
    pub inclusive: bool,
}

/// The nearest rows of a table.
#[derive(Clone)]
pub struct Nearest {
    /// The table.
    pub table: Arc<Table>,
    /// The vector column.
    pub column: ColumnId,
    /// What nearness means.
    pub metric: Metric,
    /// The vector that rows are to be near to: an expression without columns.
    pub query: Expr,
    /// How many rows; [`ALL`] in pieces.
    pub k: usize,
    /// Whether all rows that tie with the k-th are wanted too, for a sort above to decide.
    pub ties: bool,
    /// Rows farther than this are left out.
    pub within: Option<Bound>,
    /// Rows nearer than this are left out, and do not count.
    pub beyond: Option<Bound>,
    /// What rows must meet, all of it, over the columns of `source` under `name`.
    pub filters: Vec<Expr>,
    /// The columns of `source` that come out.
    pub projection: Vec<usize>,
    /// The rows.
    pub source: Arc<dyn TableSource>,
    /// The qualifier of the columns.
    pub name: TableReference,
    /// The projected columns, then [`DISTANCE_COLUMN`].
    pub schema: DFSchemaRef,
}

impl Nearest {
    /// The node in the place of a scan.
    ///
    /// # Errors
    /// When the scan's columns do not make a schema.
    pub fn new(
        scan: &TableScan,
        table: Arc<Table>,
        column: ColumnId,
        metric: Metric,
        query: Expr,
        k: usize,
        filters: Vec<Expr>,
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
        Ok(Self {
            table,
            column,
            metric,
            query,
            k,
            ties: false,
            within: None,
            beyond: None,
            filters,
            projection,
            source: Arc::clone(&scan.source),
            name: scan.table_name.clone(),
            schema: Arc::new(schema),
        })
    }

    fn column_name(&self) -> &str {
        self.table.column_by_id(self.column).map_or("?", |column| &column.name)
    }
}

impl fmt::Debug for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

impl PartialEq for Nearest {
    fn eq(&self, other: &Self) -> bool {
        self.table.id == other.table.id
            && (self.column, self.metric, self.k) == (other.column, other.metric, other.k)
            && (self.ties, &self.within, &self.beyond) == (other.ties, &other.within, &other.beyond)
            && (&self.query, &self.filters) == (&other.query, &other.filters)
            && (&self.projection, &self.name) == (&other.projection, &other.name)
    }
}

impl Eq for Nearest {}

impl PartialOrd for Nearest {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl Hash for Nearest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.table.id.hash(state);
        self.column.hash(state);
        self.metric.hash(state);
        self.query.hash(state);
        self.k.hash(state);
        self.ties.hash(state);
        self.within.hash(state);
        self.beyond.hash(state);
        self.filters.hash(state);
        self.projection.hash(state);
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
        let mut alone = vec![self.query.clone()];
        let bounds = self.within.iter().chain(&self.beyond);
        alone.extend(bounds.map(|bound| bound.distance.clone()));
        for filter in &self.filters {
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
        write!(
            f,
            "Nearest: {}.{} {} ",
            self.table.name,
            self.column_name(),
            self.metric.operator(),
        )?;
        match self.k {
            ALL => f.write_str("k=all")?,
            k => write!(f, "k={k}")?,
        }
        if self.ties {
            f.write_str(" and ties")?;
        }
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

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter().map(|expr| expr.unalias());
        let query = exprs.next().unwrap_or_else(|| self.query.clone());
        let mut bound = |bound: &Bound| Bound {
            distance: exprs.next().unwrap_or_else(|| bound.distance.clone()),
            inclusive: bound.inclusive,
        };
        let within = self.within.as_ref().map(&mut bound);
        let beyond = self.beyond.as_ref().map(&mut bound);
        let mut put_back = |part: Expr| match part {
            Expr::ScalarSubquery(_) => Ok(Transformed::yes(exprs.next().unwrap_or(part))),
            _ => Ok(Transformed::no(part)),
        };
        let filters = self
            .filters
            .iter()
            .map(|filter| Ok(filter.clone().transform_down(&mut put_back)?.data))
            .collect::<Result<_>>()?;
        Ok(Self { query, within, beyond, filters, ..self.clone() })
    }
}
