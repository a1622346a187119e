//! ORDER BY distance LIMIT k for each outer row becomes a [`NearestJoin`].
//!
//! ```text
//! Limit: k                                    Projection: outer…, …, __distance
//!   Sort: distance                              NearestJoin: t.v <-> outer:v k filters=[a = outer:a]
//!     Projection: …, t.v <-> outer(v) as distance   =>
//!       Filter: a = outer(a)                      the outer rows
//!         TableScan: t                            TableScan: t
//! ```
//!
//! What is recognised is what `push_down.rs` recognises of a sort by itself; all else is numbered
//! within each value of the domain. Where nothing but names stands between the outer rows and the
//! LIMIT, these rows themselves are joined, in their order; else the distinct values of the columns
//! that the subquery takes, as for every other subquery.

use super::Domain;
use crate::{
    catalog::Table,
    error::{Error, Result},
    sql::{
        binder::{Binder, build},
        error::from_datafusion,
        near::{Bound, Near},
        nearest_join::NearestJoin,
        push_down::{Descent, Search, Side, Step, computed, descend, search, take_bound},
    },
};
use datafusion::{
    common::{Column, JoinType, tree_node::TreeNode},
    logical_expr::{
        Case, Expr, Extension, Limit, LogicalPlan, LogicalPlanBuilder, Projection, TableScan,
        Volatility, expr::Sort as SortExpr,
    },
};
use std::{collections::HashMap, sync::Arc};

/// A LIMIT over one table's distance to something of the outer row.
struct Form<'p> {
    steps: Vec<Step<'p>>,
    scan: &'p TableScan,
    table: Arc<Table>,
    search: Search,
    /// The distance, in terms of the scan's columns.
    order: Expr,
    further: Vec<SortExpr>,
    filters: Vec<Expr>,
    within: Option<Bound>,
    beyond: Option<Bound>,
    skip: Option<Expr>,
    fetch: Expr,
}

impl Binder<'_> {
    /// The outer rows in their order, each with its nearest; `None` where the right plan is more
    /// than such a LIMIT under names.
    pub(super) fn nearest_join(
        &mut self,
        left: &LogicalPlan,
        right: &LogicalPlan,
        columns: &[Expr],
        kind: JoinType,
    ) -> Result<Option<LogicalPlan>> {
        let is_search = match limit_under(right) {
            Some(limit) => Form::of(self, limit)?.is_some(),
            None => false,
        };
        if !is_search || !matches!(kind, JoinType::Inner | JoinType::Left) {
            return Ok(None);
        }
        let outer = left.schema().columns();
        let mut names = HashMap::new();
        let mut exprs = Vec::new();
        for column in &outer {
            let name = self.qualifier(&format!("outer:{}", column.name));
            exprs.push(Expr::Column(column.clone()).alias(&name));
            names.insert(column.clone(), name);
        }
        let plan = build(LogicalPlanBuilder::from(left.clone()).project(exprs))?;
        let found = (kind == JoinType::Left).then(|| self.qualifier("outer:found"));
        let domain = Domain { plan, names, found, work: None };
        let Some(plan) = domain.nearest_under(self, right)? else { return Ok(None) };
        let mut kept: Vec<Expr> = outer
            .into_iter()
            .map(|column| domain.column(&column).alias_qualified(column.relation, column.name))
            .collect();
        kept.extend_from_slice(columns);
        build(LogicalPlanBuilder::from(plan).project(kept)).map(Some)
    }
}

impl Domain {
    /// The search below projections and aliases.
    fn nearest_under(
        &self,
        binder: &Binder<'_>,
        plan: &LogicalPlan,
    ) -> Result<Option<LogicalPlan>> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = self.nearest_under(binder, &projection.input)?;
                input.map(|input| self.project(input, projection, None)).transpose()
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.nearest_under(binder, &alias.input)?;
                input.map(|input| self.alias(input, alias)).transpose()
            }
            LogicalPlan::Limit(limit) => self.nearest(binder, limit),
            _ => Ok(None),
        }
    }

    /// LIMIT within each value, where it asks for the nearest rows of a table.
    pub(super) fn nearest(
        &self,
        binder: &Binder<'_>,
        limit: &Limit,
    ) -> Result<Option<LogicalPlan>> {
        if self.work.is_some() {
            return Ok(None);
        }
        let Some(form) = Form::of(binder, limit)? else { return Ok(None) };
        let rows = LogicalPlan::TableScan(form.scan.clone());
        let bound = |bound: Option<Bound>| {
            let within = |bound: Bound| {
                let distance = self.within(&bound.distance)?;
                Ok::<_, Error>(Bound { distance, inclusive: bound.inclusive })
            };
            bound.map(within).transpose()
        };
        // Columns whose names do not go together stay apart in a join of another kind.
        let Ok(schema) = NearestJoin::schema_of(&self.plan, &rows, self.found.as_ref()) else {
            return Ok(None);
        };
        let near = Near {
            table: form.table,
            source: Arc::clone(&form.scan.source),
            name: form.scan.table_name.clone(),
            column: form.search.column,
            metric: form.search.metric,
            query: self.within(&form.search.query)?,
            within: bound(form.within)?,
            beyond: bound(form.beyond)?,
            filters: self.all_within(&form.filters)?,
        };
        let node = NearestJoin {
            outer: self.plan.clone(),
            rows,
            near,
            skip: form.skip,
            fetch: form.fetch,
            further: self.sorts_within(&form.further)?,
            found: self.found.clone(),
            schema,
        };
        let mut plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        // The distance is there already where the lowest projection computes it.
        let mut distance = Some(&form.order);
        for step in form.steps.iter().rev() {
            plan = match step {
                Step::Projection(projection) => self.project(plan, projection, distance)?,
                Step::Alias(alias) => self.alias(plan, alias)?,
            };
            distance = None;
        }
        let mut exprs = self.columns();
        exprs.extend(limit.input.schema().columns().into_iter().map(Expr::Column));
        build(LogicalPlanBuilder::from(plan).project(exprs)).map(Some)
    }

    /// A projection of the subquery's plan, over rows that carry the domain's columns, and perhaps
    /// the distance.
    pub(super) fn project(
        &self,
        input: LogicalPlan,
        projection: &Projection,
        distance: Option<&Expr>,
    ) -> Result<LogicalPlan> {
        let mut exprs = self.columns();
        for (place, expr) in projection.expr.iter().enumerate() {
            let (qualifier, field) = projection.schema.qualified_field(place);
            let made = match distance {
                Some(distance) => computed(expr, distance, qualifier.cloned(), field.name())
                    .map_err(from_datafusion)?,
                None => expr.clone(),
            };
            let made = self.where_found(self.within(&made)?);
            exprs.push(match (&made, made == *expr) {
                (_, true) | (Expr::Alias(_), _) => made,
                _ => made.alias_qualified(qualifier.cloned(), field.name()),
            });
        }
        build(LogicalPlanBuilder::from(input).project(exprs))
    }

    /// An expression that is NULL where no row was found, as its columns are.
    fn where_found(&self, expr: Expr) -> Expr {
        let Some(found) = &self.found else { return expr };
        match expr {
            Expr::Alias(mut alias) => {
                *alias.expr = self.where_found(*alias.expr);
                Expr::Alias(alias)
            }
            Expr::Column(column) if !self.names.values().any(|name| *name == column.name) => {
                Expr::Column(column)
            }
            expr => Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(
                    Box::new(Expr::Column(Column::new_unqualified(found))),
                    Box::new(expr),
                )],
                else_expr: None,
            }),
        }
    }
}

impl<'p> Form<'p> {
    /// The form of a LIMIT, if it is this one.
    fn of(binder: &Binder<'_>, limit: &'p Limit) -> Result<Option<Self>> {
        let skip = limit.skip.as_deref();
        let Some(fetch) = limit.fetch.as_deref().filter(|fetch| is_count(fetch)) else {
            return Ok(None);
        };
        if !skip.is_none_or(is_count) {
            return Ok(None);
        }
        // A projection above the sort only hides its keys.
        let mut input = limit.input.as_ref();
        if let LogicalPlan::Projection(projection) = input
            && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)))
        {
            input = &projection.input;
        }
        let LogicalPlan::Sort(sort) = input else { return Ok(None) };
        // Nearest first and NULL last.
        let nearest_first = sort.expr.first().is_some_and(|key| key.asc && !key.nulls_first);
        if sort.fetch.is_some() || !nearest_first {
            return Ok(None);
        }
        let Some(descent) = descend(&sort.input, &sort.expr).map_err(from_datafusion)? else {
            return Ok(None);
        };
        let Descent { steps, scan, keys, mut filters } = descent;
        filters.extend(scan.filters.iter().cloned());
        let Some((order, further)) = keys.split_first() else { return Ok(None) };
        let is_plain = |expr: &Expr| !expr.is_volatile() && !has_correlated_query(expr);
        if scan.fetch.is_some() || !filters.iter().chain(further).all(is_plain) {
            return Ok(None);
        }
        let Some(table) = binder.table_of(scan) else { return Ok(None) };
        let Some(search) = search(order, &table, is_given) else { return Ok(None) };
        let within = take_bound(&mut filters, order, Side::Above, is_given);
        let beyond = take_bound(&mut filters, order, Side::Below, is_given);
        let further = further.iter().zip(&sort.expr[1..]);
        let further =
            further.map(|(expr, sort)| SortExpr { expr: expr.clone(), ..sort.clone() }).collect();
        Ok(Some(Self {
            steps,
            scan,
            table,
            search,
            order: order.clone(),
            further,
            filters,
            within,
            beyond,
            skip: skip.cloned(),
            fetch: fetch.clone(),
        }))
    }
}

/// The LIMIT below names and what is computed of each row.
fn limit_under(plan: &LogicalPlan) -> Option<&Limit> {
    match plan {
        LogicalPlan::Projection(projection) => limit_under(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => limit_under(&alias.input),
        LogicalPlan::Limit(limit) => Some(limit),
        _ => None,
    }
}

/// Whether a number of rows is known when the plan is made: made of what is written there and of
/// parameters.
pub(super) fn is_count(expr: &Expr) -> bool {
    let is_other = expr.exists(|part| {
        Ok(match part {
            Expr::Literal(..) | Expr::Placeholder(_) | Expr::Cast(_) | Expr::BinaryExpr(_) => false,
            Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
            _ => true,
        })
    });
    !is_other.unwrap_or(true)
}

/// Whether an expression is the same for all rows of the table, and is there.
fn is_given(expr: &Expr) -> bool {
    if let Expr::Literal(value, _) = expr {
        return !value.is_null();
    }
    let is_of_row = expr.exists(|part| Ok(matches!(part, Expr::Column(_)))).unwrap_or(true);
    !is_of_row && !expr.is_volatile() && !has_correlated_query(expr)
}

/// Whether it holds a query that is not one value for all.
fn has_correlated_query(expr: &Expr) -> bool {
    let has = expr.exists(|part| {
        Ok(match part {
            Expr::ScalarSubquery(query) => !query.outer_ref_columns.is_empty(),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
            _ => false,
        })
    });
    has.unwrap_or(true)
}
