//! ORDER BY distance LIMIT k becomes [`Nearest`].
//!
//! ```text
//! Sort: distance, fetch=k                Projection: …, __distance
//!   Projection: …, v <-> q as distance     Nearest: t.v <-> k=k filters=[a = 1]
//!     Filter: a = 1                   =>
//!       TableScan: t
//! ```
//!
//! The rule runs after DataFusion's own, when LIMIT (with OFFSET added) has become the sort's
//! fetch and filters have sunk as far as they can. It is a ladder: whatever is not just this form
//! stays as it is, and is exact and slower.
//!
//! Of LIMIT with OFFSET the search itself leaves out what comes before the page, since it may know
//! already which rows these are.
//!
//! Under a cursor ([`Piecemeal`]) a sort of all rows becomes a search for all of them, which goes on as
//! far as it is read.
//!
//! Further sort keys decide between rows at the same distance: the sort stays above a search that
//! gives all rows that tie with the k-th. A filter that bounds the distance from above becomes the
//! search's radius: of the k nearest those within it are the answer. One that bounds it from below has
//! the search go on behind the rows that are nearer: the next page of a list.
//!
//! The same form under LATERAL, once for each outer row, is recognised when the query is bound
//! (`apply/nearest.rs`); here filters of the outer rows sink below that join.

use crate::{
    catalog::Table,
    ids::ColumnId,
    sql::{
        functions::distance::as_distance,
        near::{Bound, DISTANCE_COLUMN, Near},
        nearest::{ALL, Nearest},
        nearest_join::NearestJoin,
        piecemeal::Piecemeal,
    },
    vector::Metric,
};
use datafusion::{
    common::{
        Column, DataFusionError, Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        BinaryExpr, Expr, Extension, FetchType, Filter, Limit, LogicalPlan, LogicalPlanBuilder,
        Operator, Projection, SkipType, Sort, SubqueryAlias, TableScan, TableSource,
        expr::Sort as SortExpr, utils::split_conjunction_owned,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};
use std::{fmt, sync::Arc};

/// Tells the table of a source; `None` for sources that are no tables.
pub(crate) type TableOf = fn(&Arc<dyn TableSource>) -> Option<Arc<Table>>;

/// The rules to append to DataFusion's.
#[must_use]
pub fn optimizer_rules(table_of: TableOf) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![Arc::new(PushDown { table_of }), Arc::new(SinkFilters)]
}

/// The rule for filters above a [`NearestJoin`]. What has sunk DataFusion pushes further in its next
/// pass.
#[derive(Debug)]
struct SinkFilters;

impl OptimizerRule for SinkFilters {
    fn name(&self) -> &str {
        "sink_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let sunk = match filter.input.as_ref() {
            // What leaves columns out is no hindrance.
            LogicalPlan::Projection(projection)
                if matches!(projection.input.as_ref(), LogicalPlan::Extension(_))
                    && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
            {
                let predicate = below_projection(filter.predicate.clone(), projection)?;
                let below = Filter::try_new(predicate, Arc::clone(&projection.input))?;
                let over = |input| {
                    let (exprs, schema) = (projection.expr.clone(), Arc::clone(&projection.schema));
                    let again = Projection::try_new_with_schema(exprs, Arc::new(input), schema)?;
                    Ok::<_, DataFusionError>(LogicalPlan::Projection(again))
                };
                sunk(&below)?.map(over).transpose()?
            }
            _ => sunk(filter)?,
        };
        Ok(match sunk {
            Some(sunk) => Transformed::yes(sunk),
            None => Transformed::no(plan),
        })
    }
}

/// A filter of a [`NearestJoin`], of which something can sink.
fn sunk(filter: &Filter) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Extension(Extension { node }) = filter.input.as_ref() else {
        return Ok(None);
    };
    match node.as_any().downcast_ref::<NearestJoin>() {
        Some(join) => join.sunk(filter),
        None => Ok(None),
    }
}

/// The rule.
struct PushDown {
    table_of: TableOf,
}

impl fmt::Debug for PushDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushDown")
    }
}

impl OptimizerRule for PushDown {
    fn name(&self) -> &str {
        "nearest_push_down"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Limit(limit) => match self.page(limit)? {
                Some(page) => Ok(Transformed::new(page, true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(plan)),
            },
            // Only a sort that keeps k rows.
            LogicalPlan::Sort(sort @ Sort { fetch: Some(k), .. }) => {
                match self.pushed(sort, (0, *k))? {
                    Some(pushed) => Ok(Transformed::new(pushed, true, TreeNodeRecursion::Jump)),
                    None => Ok(Transformed::no(plan)),
                }
            }
            LogicalPlan::Extension(Extension { node }) => {
                let Some(piecemeal) = node.as_any().downcast_ref::<Piecemeal>() else {
                    return Ok(Transformed::no(plan));
                };
                // Further keys want all rows of a distance together.
                let all = |sort: &Sort| match sort {
                    Sort { fetch: None, expr, .. } if expr.len() == 1 => {
                        self.pushed(sort, (0, ALL))
                    }
                    _ => Ok(None),
                };
                match at_sort(&piecemeal.input, &all)? {
                    Some(pushed) => Ok(Transformed::new(pushed, true, TreeNodeRecursion::Jump)),
                    None => Ok(Transformed::no(plan)),
                }
            }
            _ => Ok(Transformed::no(plan)),
        }
    }
}

/// What stands between the sort and the scan, from above.
pub(super) enum Step<'p> {
    Projection(&'p Projection),
    Alias(&'p SubqueryAlias),
}

impl PushDown {
    /// LIMIT with OFFSET over the rows of one sort.
    fn page(&self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let (SkipType::Literal(skip @ 1..), FetchType::Literal(Some(fetch))) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(None);
        };
        let page = |sort: &Sort| match sort {
            Sort { fetch: Some(k), expr, .. } if expr.len() == 1 && *k == skip + fetch => {
                self.pushed(sort, (skip, *k))
            }
            _ => Ok(None),
        };
        let Some(input) = at_sort(&limit.input, &page)? else { return Ok(None) };
        let page = Limit { skip: None, fetch: limit.fetch.clone(), input: Arc::new(input) };
        Ok(Some(LogicalPlan::Limit(page)))
    }

    /// The search in the place of a sort: for the k nearest rows but those that are skipped.
    fn pushed(&self, sort: &Sort, (skip, k): (usize, usize)) -> Result<Option<LogicalPlan>> {
        // Nearest first and NULL last.
        let [key, further @ ..] = sort.expr.as_slice() else { return Ok(None) };
        if further.iter().any(|key| key.expr.is_volatile()) || k == 0 || !key.asc || key.nulls_first
        {
            return Ok(None);
        }
        let Some(Descent { steps, scan, keys, filters }) = descend(&sort.input, [key])? else {
            return Ok(None);
        };
        let [order] = keys.as_slice() else { return Ok(None) };
        // A scan that was cut short has lost rows that may be nearer.
        if scan.fetch.is_some() {
            return Ok(None);
        }
        let Some(table) = (self.table_of)(&scan.source) else { return Ok(None) };
        let Some(search) = search(order, &table, is_constant) else { return Ok(None) };
        let mut all = filters;
        for filter in &scan.filters {
            if !all.contains(filter) {
                all.push(filter.clone());
            }
        }
        // A filter that answers anew for each row must see each row once, in its turn.
        if all.iter().any(Expr::is_volatile) {
            return Ok(None);
        }
        let within = take_bound(&mut all, order, Side::Above, is_constant);
        let beyond = take_bound(&mut all, order, Side::Below, is_constant);
        let Search { column, metric, query } = search;
        let (source, name) = (Arc::clone(&scan.source), scan.table_name.clone());
        let near =
            Near { table, source, name, column, metric, query, within, beyond, filters: all };
        let node = Nearest::new(scan, near, (skip, k), !further.is_empty())?;
        let nearest = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let rows = rebuild(nearest, scan, &steps, order)?;
        if further.is_empty() {
            return Ok(Some(rows));
        }
        Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(rows), ..sort.clone() })))
    }
}

/// What stands for a sort below what projects its rows, under the same projections.
fn at_sort(
    plan: &LogicalPlan,
    replace: &dyn Fn(&Sort) -> Result<Option<LogicalPlan>>,
) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(input) = at_sort(&projection.input, replace)? else { return Ok(None) };
            let (exprs, schema) = (projection.expr.clone(), Arc::clone(&projection.schema));
            let again = Projection::try_new_with_schema(exprs, Arc::new(input), schema)?;
            Ok(Some(LogicalPlan::Projection(again)))
        }
        LogicalPlan::Sort(sort) => replace(sort),
        _ => Ok(None),
    }
}

/// A scan below a sort.
pub(super) struct Descent<'p> {
    pub(super) steps: Vec<Step<'p>>,
    pub(super) scan: &'p TableScan,
    /// The sort's keys in terms of the scan's columns.
    pub(super) keys: Vec<Expr>,
    /// What filters between them ask, in terms of the scan's columns.
    pub(super) filters: Vec<Expr>,
}

/// From a sort by some keys down to the scan.
pub(super) fn descend<'p>(
    input: &'p LogicalPlan,
    keys: impl IntoIterator<Item = &'p SortExpr>,
) -> Result<Option<Descent<'p>>> {
    let mut steps = Vec::new();
    let mut keys: Vec<Expr> = keys.into_iter().map(|key| key.expr.clone()).collect();
    let mut filters: Vec<Expr> = Vec::new();
    let mut plan = input;
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => {
                let below = |expr| below_projection(expr, projection);
                keys = keys.into_iter().map(below).collect::<Result<_>>()?;
                filters = filters.into_iter().map(below).collect::<Result<_>>()?;
                steps.push(Step::Projection(projection));
                &projection.input
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = |expr| below_alias(expr, alias);
                keys = keys.into_iter().map(below).collect::<Result<_>>()?;
                filters = filters.into_iter().map(below).collect::<Result<_>>()?;
                steps.push(Step::Alias(alias));
                &alias.input
            }
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                filters.extend(split_conjunction_owned(predicate.clone()));
                input
            }
            LogicalPlan::TableScan(scan) => {
                return Ok(Some(Descent { steps, scan, keys, filters }));
            }
            _ => return Ok(None),
        };
    }
}

/// An expression over a projection's output as one over its input.
fn below_projection(expr: Expr, projection: &Projection) -> Result<Expr> {
    let below = expr.transform_up(|part| {
        if let Expr::Column(column) = &part
            && let Some(place) = projection.schema.maybe_index_of_column(column)
        {
            return Ok(Transformed::yes(projection.expr[place].clone().unalias_nested().data));
        }
        Ok(Transformed::no(part))
    });
    Ok(below?.data)
}

/// An expression over an alias's output as one over its input.
fn below_alias(expr: Expr, alias: &SubqueryAlias) -> Result<Expr> {
    let below = expr.transform_up(|part| {
        if let Expr::Column(column) = &part
            && let Some(place) = alias.schema.maybe_index_of_column(column)
        {
            let (qualifier, field) = alias.input.schema().qualified_field(place);
            return Ok(Transformed::yes(Expr::Column(Column::from((qualifier, field)))));
        }
        Ok(Transformed::no(part))
    });
    Ok(below?.data)
}

pub(super) struct Search {
    pub(super) column: ColumnId,
    pub(super) metric: Metric,
    pub(super) query: Expr,
}

/// The search that an order asks for: between a vector column and what is given.
pub(super) fn search(
    order: &Expr,
    table: &Table,
    is_given: impl Fn(&Expr) -> bool,
) -> Option<Search> {
    let (space, metric, left, right) = as_distance(order)?;
    let (column, query) = match (left, right) {
        (Expr::Column(column), query) if is_given(query) => (column, query),
        (query, Expr::Column(column)) if is_given(query) => (column, query),
        _ => return None,
    };
    let column = table.column(&column.name)?;
    (column.kind.space() == Some(space)).then(|| Search {
        column: column.id,
        metric,
        query: query.clone(),
    })
}

/// From which side a filter bounds the distance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

/// Takes the filter out that bounds the distance from a side; a second one stays.
pub(super) fn take_bound(
    filters: &mut Vec<Expr>,
    order: &Expr,
    side: Side,
    is_given: impl Fn(&Expr) -> bool,
) -> Option<Bound> {
    let bound = |filter: &Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
        let (distance, op) = match (**left == *order, **right == *order) {
            (true, false) => (right, *op),
            (false, true) => (left, op.swap()?),
            _ => return None,
        };
        let (of, inclusive) = match op {
            Operator::Lt | Operator::LtEq => (Side::Above, op == Operator::LtEq),
            Operator::Gt | Operator::GtEq => (Side::Below, op == Operator::GtEq),
            _ => return None,
        };
        let is_bound = of == side && is_given(distance);
        is_bound.then(|| Bound { distance: distance.as_ref().clone(), inclusive })
    };
    let (place, bound) =
        filters.iter().enumerate().find_map(|(place, filter)| Some((place, bound(filter)?)))?;
    filters.remove(place);
    Some(bound)
}

/// Whether an expression is the same for all rows and is there.
fn is_constant(expr: &Expr) -> bool {
    if let Expr::Literal(value, _) = expr {
        return !is_null(value);
    }
    let inner = expr.exists(|part| {
        Ok(match part {
            Expr::Column(_) | Expr::OuterReferenceColumn(..) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    });
    !expr.is_volatile() && !inner.unwrap_or(true)
}

fn is_null(value: &ScalarValue) -> bool {
    value.is_null()
}

/// The steps once more, over the node.
fn rebuild(
    nearest: LogicalPlan,
    scan: &TableScan,
    steps: &[Step<'_>],
    order: &Expr,
) -> Result<LogicalPlan> {
    let mut plan = nearest;
    // The distance is there already where the lowest projection computes it.
    let mut has_distance = true;
    for step in steps.iter().rev() {
        plan = match step {
            Step::Projection(projection) => {
                let mut exprs = Vec::with_capacity(projection.expr.len());
                for (place, expr) in projection.expr.iter().enumerate() {
                    let (qualifier, field) = projection.schema.qualified_field(place);
                    exprs.push(if has_distance {
                        computed(expr, order, qualifier.cloned(), field.name())?
                    } else {
                        expr.clone()
                    });
                }
                has_distance = false;
                LogicalPlanBuilder::from(plan).project(exprs)?.build()?
            }
            Step::Alias(alias) => {
                if has_distance {
                    plan = without_distance(plan, scan)?;
                    has_distance = false;
                }
                LogicalPlanBuilder::from(plan).alias(alias.alias.clone())?.build()?
            }
        };
    }
    if has_distance { without_distance(plan, scan) } else { Ok(plan) }
}

/// An expression with the node's column in the place of the distance.
pub(super) fn computed(
    expr: &Expr,
    order: &Expr,
    qualifier: Option<datafusion::common::TableReference>,
    name: &str,
) -> Result<Expr> {
    let replaced = expr.clone().transform_down(|part| {
        Ok(if part == *order {
            let column = Expr::Column(Column::new_unqualified(DISTANCE_COLUMN));
            Transformed::new(column, true, TreeNodeRecursion::Jump)
        } else {
            Transformed::no(part)
        })
    })?;
    if !replaced.transformed || matches!(replaced.data, Expr::Alias(_)) {
        return Ok(replaced.data);
    }
    Ok(replaced.data.alias_qualified(qualifier, name))
}

fn without_distance(plan: LogicalPlan, scan: &TableScan) -> Result<LogicalPlan> {
    let columns = scan.projected_schema.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
