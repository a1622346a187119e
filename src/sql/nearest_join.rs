//! `NearestJoin`, the logical node: for each outer row the rows of a table whose vectors are nearest to
//! what that row asks for.
//!
//! For every outer row it promises what [`Nearest`](super::nearest::Nearest) promises for one query:
//! exactly min(k, matching rows) rows, nearest first, and those of one outer row after those of
//! another, in the order of the outer rows. The table is an input, so that whoever optimises a plan
//! sees the types of its columns, and which of them are wanted; it is not read as a whole.

use super::near::{Bound, DISTANCE_COLUMN, Near};
use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue, TableReference},
    logical_expr::{
        Expr, Extension, Filter, LogicalPlan, UserDefinedLogicalNodeCore,
        expr::Sort as SortExpr,
        utils::{conjunction, split_conjunction},
    },
};
use std::{cmp::Ordering, fmt, sync::Arc};

/// Each outer row with its nearest rows of a table.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NearestJoin {
    /// The outer rows.
    pub outer: LogicalPlan,
    /// The table's rows, and of its columns those that come out.
    pub rows: LogicalPlan,
    /// Which rows; its expressions are over the outer columns, but for the filters, which are over
    /// both inputs.
    pub near: Near,
    /// How many of the nearest rows are passed over, for each outer row.
    pub skip: Option<Expr>,
    /// How many rows follow, at most.
    pub fetch: Expr,
    /// What orders rows at the same distance, over both inputs.
    pub further: Vec<SortExpr>,
    /// For a left join: the column that tells whether there is a row at all. An outer row without one
    /// comes once, with NULL in the table's columns.
    pub found: Option<String>,
    /// The outer columns, the table's, [`DISTANCE_COLUMN`], and `found`.
    pub schema: DFSchemaRef,
}

impl NearestJoin {
    /// What comes out of a join of some inputs.
    ///
    /// # Errors
    /// When two of the columns have the same name.
    pub fn schema_of(
        outer: &LogicalPlan,
        rows: &LogicalPlan,
        found: Option<&String>,
    ) -> Result<DFSchemaRef> {
        let owned = |(qualifier, field): (Option<&TableReference>, &Arc<Field>)| {
            (qualifier.cloned(), Arc::clone(field))
        };
        let mut fields: Vec<_> = outer.schema().iter().map(owned).collect();
        fields.extend(rows.schema().iter().map(owned).map(|(qualifier, field)| {
            let is_nullable = field.is_nullable() || found.is_some();
            (qualifier, Arc::new(field.as_ref().clone().with_nullable(is_nullable)))
        }));
        fields.push((None, Arc::new(Field::new(DISTANCE_COLUMN, DataType::Float64, true))));
        let told = found.map(|found| (None, Arc::new(Field::new(found, DataType::Boolean, false))));
        fields.extend(told);
        let metadata = rows.schema().metadata().clone();
        Ok(Arc::new(DFSchema::new_with_metadata(fields, metadata)?))
    }

    /// How many outer columns there are.
    fn outer_width(&self) -> usize {
        self.outer.schema().fields().len()
    }

    /// The values of LIMIT and OFFSET, once they are known; no LIMIT is `None`.
    ///
    /// # Errors
    /// When one is not known yet.
    pub fn counts(&self) -> Result<(i64, Option<i64>)> {
        let count = |expr: &Expr| match expr.clone().unalias() {
            Expr::Literal(ScalarValue::Int64(count), _) => Ok(count),
            other => Err(DataFusionError::Plan(format!("{other} is not known yet"))),
        };
        let skip = self.skip.as_ref().map(count).transpose()?.flatten();
        Ok((skip.unwrap_or(0), count(&self.fetch)?))
    }

    /// A filter above that is about outer columns alone sinks below: who is not wanted is not
    /// searched for.
    ///
    /// # Errors
    /// When the inputs do not make a join again.
    pub fn sunk(&self, filter: &Filter) -> Result<Option<LogicalPlan>> {
        let schema = self.outer.schema();
        let is_outer = |expr: &&Expr| {
            !expr.is_volatile() && expr.column_refs().iter().all(|c| schema.has_column(c))
        };
        let (outer, others): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(&filter.predicate).into_iter().partition(is_outer);
        let Some(sinking) = conjunction(outer.into_iter().cloned()) else { return Ok(None) };
        let outer = Filter::try_new(sinking, Arc::new(self.outer.clone()))?;
        let node = Self { outer: LogicalPlan::Filter(outer), ..self.clone() };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(Some(match conjunction(others.into_iter().cloned()) {
            Some(rest) => LogicalPlan::Filter(Filter::try_new(rest, Arc::new(plan))?),
            None => plan,
        }))
    }
}

impl fmt::Debug for NearestJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

impl PartialOrd for NearestJoin {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for NearestJoin {
    fn name(&self) -> &str {
        "NearestJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.outer, &self.rows]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let mut all = vec![self.near.query.clone(), self.fetch.clone()];
        all.extend(self.skip.clone());
        all.extend(self.near.bounds().map(|bound| bound.distance.clone()));
        all.extend(self.further.iter().map(|sort| sort.expr.clone()));
        all.extend(self.near.filters.iter().cloned());
        all
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NearestJoin: ")?;
        self.near.fmt_order(f)?;
        write!(f, " {} k={}", self.near.query, self.fetch)?;
        if let Some(skip) = &self.skip {
            write!(f, " behind {skip}")?;
        }
        if !self.further.is_empty() {
            let further: Vec<String> = self.further.iter().map(ToString::to_string).collect();
            write!(f, " then by [{}]", further.join(", "))?;
        }
        self.near.fmt_conditions(f)?;
        f.write_str(if self.found.is_some() { " or none" } else { "" })
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let lost = || DataFusionError::Internal("a join lost an input or an expression".to_owned());
        let [outer, rows] = <[LogicalPlan; 2]>::try_from(inputs).map_err(|_| lost())?;
        let mut exprs = exprs.into_iter().map(|expr| expr.unalias());
        let mut next = || exprs.next().ok_or_else(lost);
        let (query, fetch) = (next()?, next()?);
        let skip = self.skip.as_ref().map(|_| next()).transpose()?;
        let mut bound = |bound: &Option<Bound>| {
            let bound = bound.as_ref().map(|bound| {
                Ok::<_, DataFusionError>(Bound { distance: next()?, inclusive: bound.inclusive })
            });
            bound.transpose()
        };
        let (within, beyond) = (bound(&self.near.within)?, bound(&self.near.beyond)?);
        let sorted = |sort: &SortExpr| Ok(SortExpr { expr: next()?, ..sort.clone() });
        let further = self.further.iter().map(sorted).collect::<Result<_>>()?;
        let filters = exprs.collect();
        let schema = Self::schema_of(&outer, &rows, self.found.as_ref())?;
        let near = Near { query, within, beyond, filters, ..self.near.clone() };
        Ok(Self { outer, rows, near, fetch, skip, further, schema, ..self.clone() })
    }

    fn necessary_children_exprs(&self, wanted: &[usize]) -> Option<Vec<Vec<usize>>> {
        let (outer_width, width) = (self.outer_width(), self.rows.schema().fields().len());
        let outer = wanted.iter().copied().filter(|&at| at < outer_width).collect();
        let rows = wanted.iter().filter_map(|at| at.checked_sub(outer_width));
        Some(vec![outer, rows.filter(|&at| at < width).collect()])
    }
}
