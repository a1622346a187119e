//! Correlated subqueries as joins, for those that DataFusion leaves standing.
//!
//! A subquery is asked once for each row around it; its answer depends on the columns that it
//! takes from there. So the distinct values of those columns (the *domain*) are pushed down into
//! the subquery's plan, where they take the place of the outer columns, and the answers are joined
//! back to the rows around (Neumann and Kemper, *Unnesting Arbitrary Queries*, 2015):
//!
//! ```text
//! Projection: a.x, (SELECT count(*) …)      Projection: a.x, subquery
//!   FROM a                             =>     Left Join: a.x IS NOT DISTINCT FROM outer:x
//!                                               FROM a
//!                                               Aggregate: groupBy=[outer:x], count(*)
//!                                                 …
//!                                                   Cross Join: Distinct a.x as outer:x
//! ```
//!
//! Where a subquery asks for the nearest rows of a table it becomes a search for each outer row
//! instead (`apply/nearest.rs`).

pub(super) mod applies;
mod nearest;

pub(crate) use applies::outer_columns;

use crate::{
    error::{Error, Result},
    sql::{
        binder::{Binder, build},
        error::from_datafusion,
        expression::binary,
        functions::call::call,
        nearest_join::NearestJoin,
    },
};
use applies::{Applies, Apply};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    catalog::cte_worktable::CteWorkTable,
    common::{
        Column, JoinType, NullEquality, ScalarValue, TableReference,
        tree_node::{Transformed, TreeNode},
    },
    datasource::provider_as_source,
    functions::core::coalesce,
    functions_window::row_number::row_number_udwf,
    logical_expr::{
        Case, Distinct, Expr, Extension, Join, LogicalPlan, LogicalPlanBuilder, Operator,
        RecursiveQuery, SubqueryAlias, UserDefinedLogicalNodeCore, WindowFrame,
        WindowFunctionDefinition,
        expr::{Cast, Sort as SortExpr, WindowFunction, WindowFunctionParams},
    },
};
use std::{collections::HashMap, sync::Arc};

impl Binder<'_> {
    /// Binds expressions over a plan; the plan with the values of their subqueries beside.
    pub(crate) fn with_subqueries<T>(
        &mut self,
        plan: LogicalPlan,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(LogicalPlan, T, Vec<Apply>)> {
        self.applies.push(Applies { level: self.scopes.len(), all: Vec::new() });
        let made = bind(self);
        let applies = self.applies.pop().map(|applies| applies.all).unwrap_or_default();
        let made = made?;
        let mut plan = plan;
        for apply in &applies {
            plan = self.joined_back(plan, apply)?;
        }
        Ok((plan, made, applies))
    }

    /// Whether a subquery here can be joined to the rows around it.
    pub(crate) fn collects_subqueries(&self) -> bool {
        self.applies.last().is_some_and(|applies| applies.level == self.scopes.len())
    }

    /// A column that will hold the value of a subquery of one row and one column.
    pub(crate) fn collect_subquery(&mut self, plan: LogicalPlan) -> Expr {
        let column = self.qualifier("subquery");
        if let Some(applies) = self.applies.last_mut() {
            applies.all.push(Apply { plan, column: column.clone() });
        }
        Expr::Column(Column::new_unqualified(column))
    }

    fn joined_back(&mut self, left: LogicalPlan, apply: &Apply) -> Result<LogicalPlan> {
        let inner = apply.plan.clone();
        let value = inner
            .schema()
            .columns()
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal("a subquery has a column"))?;
        let value = Expr::Column(value).alias(&apply.column);
        self.lateral(left, inner, vec![value], JoinType::Left)
    }

    /// The left rows, each with what the right plan gives for it.
    pub(crate) fn lateral(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        columns: Vec<Expr>,
        kind: JoinType,
    ) -> Result<LogicalPlan> {
        let outer: Vec<Column> = outer_columns(&right)
            .into_iter()
            .filter(|column| left.schema().has_column(column))
            .collect();
        let always = || Expr::Literal(ScalarValue::Boolean(Some(true)), None);
        if outer.is_empty() {
            let right = build(LogicalPlanBuilder::from(right).project(columns))?;
            return build(LogicalPlanBuilder::from(left).join_on(right, kind, [always()]));
        }
        if let Some(joined) = self.nearest_join(&left, &right, &columns, kind)? {
            return Ok(joined);
        }
        let names: HashMap<Column, String> = outer
            .iter()
            .map(|column| (column.clone(), self.qualifier(&format!("outer:{}", column.name))))
            .collect();
        let exprs: Vec<Expr> =
            outer.iter().map(|column| Expr::Column(column.clone()).alias(&names[column])).collect();
        let plan = LogicalPlanBuilder::from(left.clone()).project(exprs);
        let plan = build(plan.and_then(LogicalPlanBuilder::distinct))?;
        let domain = Domain { plan, names, found: None, work: None };
        let right = domain.push(self, &right)?;
        let mut kept: Vec<Expr> = domain.columns();
        kept.extend(columns);
        let right = build(LogicalPlanBuilder::from(right).project(kept))?;
        let on: Vec<Expr> = outer
            .iter()
            .map(|column| {
                let inner = domain.column(column);
                binary(Expr::Column(column.clone()), Operator::IsNotDistinctFrom, inner)
            })
            .collect();
        build(LogicalPlanBuilder::from(left).join_on(right, kind, on))
    }
}

/// Whether DataFusion takes a plan's correlation in EXISTS and IN: in its filters alone.
pub(crate) fn is_filtered(plan: &LogicalPlan) -> bool {
    let exprs_refer = |exprs: &[Expr]| exprs.iter().any(refers);
    match plan {
        LogicalPlan::Filter(filter) => is_filtered(&filter.input),
        LogicalPlan::Projection(projection) => {
            !exprs_refer(&projection.expr) && is_filtered(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_filtered(&alias.input),
        other => outer_columns(other).is_empty(),
    }
}

fn refers(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..)))).unwrap_or(false)
}

/// The distinct values of the outer columns, or the outer rows themselves, on their way down a
/// subquery's plan.
struct Domain {
    plan: LogicalPlan,
    /// The name that each outer column has in it.
    names: HashMap<Column, String>,
    /// In a left join of the outer rows: the column that tells whether one has found anything.
    found: Option<String>,
    /// In the step of a recursion: the work table that carries the values, and its new scan.
    work: Option<(String, LogicalPlan)>,
}

impl Domain {
    fn columns(&self) -> Vec<Expr> {
        let mut names: Vec<&String> = self.names.values().collect();
        names.sort();
        names.extend(&self.found);
        names.into_iter().map(|name| Expr::Column(Column::new_unqualified(name))).collect()
    }

    /// An outer column within it.
    fn column(&self, outer: &Column) -> Expr {
        Expr::Column(Column::new_unqualified(&self.names[outer]))
    }

    /// An expression with the domain's columns in the place of the outer ones.
    fn within(&self, expr: &Expr) -> Result<Expr> {
        let within = expr.clone().transform(|part| {
            Ok(match &part {
                Expr::OuterReferenceColumn(_, column) => match self.names.get(column) {
                    Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
                    None => Transformed::no(part),
                },
                _ => Transformed::no(part),
            })
        });
        Ok(within.map_err(from_datafusion)?.data)
    }

    fn all_within(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.within(expr)).collect()
    }

    fn sorts_within(&self, sorts: &[SortExpr]) -> Result<Vec<SortExpr>> {
        sorts
            .iter()
            .map(|sort| Ok(SortExpr { expr: self.within(&sort.expr)?, ..sort.clone() }))
            .collect()
    }

    fn is_of(&self, expr: &Expr) -> bool {
        expr.exists(|part| {
            Ok(matches!(part, Expr::OuterReferenceColumn(_, column) if self.names.contains_key(column)))
        })
        .unwrap_or(false)
    }

    /// Whether a plan takes columns of the domain, or carries them already.
    fn concerns(&self, plan: &LogicalPlan) -> bool {
        outer_columns(plan).iter().any(|column| self.names.contains_key(column))
            || self.is_carried(plan)
    }

    fn is_carried(&self, plan: &LogicalPlan) -> bool {
        let Some((work, _)) = &self.work else { return false };
        plan.exists(|node| {
            Ok(matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == work))
        })
        .unwrap_or(false)
    }

    /// The plan for every value of the domain at once: its columns, and the domain's beside.
    fn push(&self, binder: &mut Binder<'_>, plan: &LogicalPlan) -> Result<LogicalPlan> {
        if !self.concerns(plan) {
            if self.work.is_some() {
                return Err(unsupported());
            }
            return build(LogicalPlanBuilder::from(self.plan.clone()).cross_join(plan.clone()));
        }
        match plan {
            LogicalPlan::TableScan(_) => match &self.work {
                Some((_, scan)) => Ok(scan.clone()),
                None => Err(unsupported()),
            },
            LogicalPlan::Filter(filter) => {
                let input = self.push(binder, &filter.input)?;
                build(LogicalPlanBuilder::from(input).filter(self.within(&filter.predicate)?))
            }
            LogicalPlan::Projection(projection) => {
                let input = self.push(binder, &projection.input)?;
                self.project(input, projection, None)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.push(binder, &alias.input)?;
                self.alias(input, alias)
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let input = self.push(binder, &sort.input)?;
                let sorts = self.sorts_within(&sort.expr)?;
                build(LogicalPlanBuilder::from(input).sort(sorts))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.push(binder, input)?;
                build(LogicalPlanBuilder::from(input).distinct())
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.push(binder, &unnest.input)?;
                let columns = unnest.exec_columns.clone();
                let options = unnest.options.clone();
                build(LogicalPlanBuilder::from(input).unnest_columns_with_options(columns, options))
            }
            LogicalPlan::Aggregate(aggregate) => self.push_aggregate(binder, aggregate),
            LogicalPlan::Window(window) => {
                let input = self.push(binder, &window.input)?;
                let offset = window.input.schema().fields().len();
                let windows = window
                    .window_expr
                    .iter()
                    .map(|expr| Ok(self.partitioned(self.within(expr)?)))
                    .collect::<Result<Vec<_>>>()?;
                let mut exprs = self.columns();
                exprs.extend(window.input.schema().columns().into_iter().map(Expr::Column));
                for (place, made) in windows.iter().enumerate() {
                    let name = window.schema.field(offset + place).name();
                    exprs.push(computed(made).alias(name));
                }
                let plan =
                    LogicalPlanBuilder::window_plan(input, windows).map_err(from_datafusion)?;
                build(LogicalPlanBuilder::from(plan).project(exprs))
            }
            LogicalPlan::Limit(limit) => match self.nearest(binder, limit)? {
                Some(joined) => Ok(joined),
                None => self.push_limit(binder, limit),
            },
            LogicalPlan::Extension(extension) => self.push_search(binder, extension),
            LogicalPlan::Join(join) => self.push_join(binder, join),
            LogicalPlan::Union(union) => {
                let mut all: Option<LogicalPlanBuilder> = None;
                for input in &union.inputs {
                    let pushed = self.push(binder, input)?;
                    let mut exprs = self.columns();
                    for (column, field) in
                        input.schema().columns().into_iter().zip(union.schema.fields())
                    {
                        exprs.push(Expr::Column(column).alias(field.name()));
                    }
                    let pushed = build(LogicalPlanBuilder::from(pushed).project(exprs))?;
                    all = Some(match all {
                        None => LogicalPlanBuilder::from(pushed),
                        Some(all) => all.union(pushed).map_err(from_datafusion)?,
                    });
                }
                all.ok_or_else(unsupported)?.build().map_err(from_datafusion)
            }
            LogicalPlan::RecursiveQuery(query) => self.push_recursion(binder, query),
            _ => Err(unsupported()),
        }
    }

    /// Rows that carry the domain's columns, the subquery's own under its alias.
    fn alias(&self, input: LogicalPlan, alias: &SubqueryAlias) -> Result<LogicalPlan> {
        let mut exprs = self.columns();
        for place in 0..alias.schema.fields().len() {
            let (qualifier, field) = alias.input.schema().qualified_field(place);
            let (_, shown) = alias.schema.qualified_field(place);
            let column = Expr::Column(Column::from((qualifier, field)));
            exprs.push(column.alias_qualified(Some(alias.alias.clone()), shown.name()));
        }
        build(LogicalPlanBuilder::from(input).project(exprs))
    }

    /// A window function within each value of the domain.
    fn partitioned(&self, expr: Expr) -> Expr {
        match expr {
            Expr::WindowFunction(mut window) => {
                window.params.partition_by.extend(self.columns());
                Expr::WindowFunction(window)
            }
            other => other,
        }
    }

    /// A group for each value; where there were no groups, a row even where nothing was counted.
    fn push_aggregate(
        &self,
        binder: &mut Binder<'_>,
        aggregate: &datafusion::logical_expr::Aggregate,
    ) -> Result<LogicalPlan> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(unsupported());
        }
        let input = self.push(binder, &aggregate.input)?;
        let names: Vec<_> = aggregate
            .schema
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()))
            .collect();
        let renamed = |exprs: &[Expr], offset: usize| {
            exprs
                .iter()
                .enumerate()
                .map(|(place, expr)| {
                    let made = self.within(expr)?;
                    let (qualifier, name) = &names[offset + place];
                    Ok(match made == *expr {
                        true => made,
                        false => made.unalias().alias_qualified(qualifier.clone(), name),
                    })
                })
                .collect::<Result<Vec<Expr>>>()
        };
        let mut groups = self.columns();
        groups.extend(renamed(&aggregate.group_expr, 0)?);
        let aggregates = renamed(&aggregate.aggr_expr, aggregate.group_expr.len())?;
        let plan = build(LogicalPlanBuilder::from(input).aggregate(groups, aggregates))?;
        if !aggregate.group_expr.is_empty() {
            return Ok(plan);
        }
        let (plan, on) = self.set_aside(plan)?;
        let all = LogicalPlanBuilder::from(self.plan.clone()).join_on(plan, JoinType::Left, on);
        let mut exprs = self.columns();
        for (expr, (qualifier, name)) in aggregate.aggr_expr.iter().zip(&names) {
            let column = Expr::Column(Column::new(qualifier.clone(), name));
            exprs.push(if is_count(expr) {
                let zero = Expr::Literal(ScalarValue::Int64(Some(0)), None);
                let counted = Case {
                    expr: None,
                    when_then_expr: vec![(
                        Box::new(Expr::IsNotNull(Box::new(column.clone()))),
                        Box::new(column),
                    )],
                    else_expr: Some(Box::new(zero)),
                };
                Expr::Case(counted).alias_qualified(qualifier.clone(), name)
            } else {
                column
            });
        }
        build(all.and_then(|all| all.project(exprs)))
    }

    /// The plan with the domain's columns under other names, and what joins them to the first.
    fn set_aside(&self, plan: LogicalPlan) -> Result<(LogicalPlan, Vec<Expr>)> {
        let mut exprs = Vec::new();
        let mut on = Vec::new();
        for column in plan.schema().columns() {
            let is_own =
                column.relation.is_none() && self.names.values().any(|name| *name == column.name);
            if is_own {
                let other = format!("{}'", column.name);
                on.push(binary(
                    Expr::Column(column.clone()),
                    Operator::IsNotDistinctFrom,
                    Expr::Column(Column::new_unqualified(&other)),
                ));
                exprs.push(Expr::Column(column).alias(other));
            } else {
                exprs.push(Expr::Column(column));
            }
        }
        Ok((build(LogicalPlanBuilder::from(plan).project(exprs))?, on))
    }

    /// LIMIT within each value: rows are numbered in their order.
    fn push_limit(
        &self,
        binder: &mut Binder<'_>,
        limit: &datafusion::logical_expr::Limit,
    ) -> Result<LogicalPlan> {
        let (skip, fetch) = (limit.skip.as_deref(), limit.fetch.as_deref());
        if !skip.into_iter().chain(fetch).all(nearest::is_count) {
            return Err(unsupported());
        }
        // A projection above the sort only hides its keys.
        let (input, order) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => (sort.input.as_ref(), sort.expr.as_slice()),
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
            {
                match projection.input.as_ref() {
                    LogicalPlan::Sort(sort) => (sort.input.as_ref(), sort.expr.as_slice()),
                    _ => (limit.input.as_ref(), &[][..]),
                }
            }
            other => (other, &[][..]),
        };
        let input = self.push(binder, input)?;
        let order_by = self.sorts_within(order)?;
        let window_frame = WindowFrame::new((!order_by.is_empty()).then_some(false));
        let numbered = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            params: WindowFunctionParams {
                args: Vec::new(),
                partition_by: self.columns(),
                order_by,
                window_frame,
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        // The rows behind OFFSET are counted from 1.
        let zero = || Expr::Literal(ScalarValue::Int64(Some(0)), None);
        let mut row = Expr::Cast(Cast::new(Box::new(computed(&numbered)), DataType::Int64));
        if let Some(skip) = skip {
            let skip = call(coalesce(), vec![skip.clone(), zero()]);
            row = binary(row, Operator::Minus, skip);
        }
        let plan =
            LogicalPlanBuilder::window_plan(input, [numbered.clone()]).map_err(from_datafusion)?;
        let mut condition = binary(row.clone(), Operator::Gt, zero());
        if let Some(fetch) = fetch {
            // LIMIT NULL is none.
            let last = binary(row, Operator::LtEq, fetch.clone());
            condition = condition.and(fetch.clone().is_null().or(last));
        }
        let mut exprs = self.columns();
        exprs.extend(limit.input.schema().columns().into_iter().map(Expr::Column));
        let plan = LogicalPlanBuilder::from(plan).filter(condition);
        build(plan.and_then(|plan| plan.project(exprs)))
    }

    /// A search for each row of a subquery of its own: that subquery's rows carry the values.
    fn push_search(&self, binder: &mut Binder<'_>, extension: &Extension) -> Result<LogicalPlan> {
        let join = extension.node.as_any().downcast_ref::<NearestJoin>().ok_or_else(unsupported)?;
        let outer = self.push(binder, &join.outer)?;
        let exprs = self.all_within(&join.expressions())?;
        let join = join.with_exprs_and_inputs(exprs, vec![outer, join.rows.clone()]);
        let node = Arc::new(join.map_err(from_datafusion)?);
        Ok(LogicalPlan::Extension(Extension { node }))
    }

    fn push_join(&self, binder: &mut Binder<'_>, join: &Join) -> Result<LogicalPlan> {
        let equal = match join.null_equality {
            NullEquality::NullEqualsNothing => Operator::Eq,
            NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
        };
        let mut on: Vec<Expr> =
            join.on.iter().map(|(a, b)| binary(a.clone(), equal, b.clone())).collect();
        on.extend(join.filter.clone());
        let (in_left, in_right) = (self.concerns(&join.left), self.concerns(&join.right));
        let in_on = on.iter().any(|expr| self.is_of(expr));
        let mut on = self.all_within(&on)?;
        let (mut left, mut right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
        match (join.join_type, in_left, in_right) {
            // One side has the values, and no row of it is made up by the join.
            (JoinType::Inner, false, true) => right = self.push(binder, &join.right)?,
            (JoinType::Inner | JoinType::Left, true, false)
            | (JoinType::Inner | JoinType::Left, false, false) => {
                debug_assert!(in_left || in_on, "the join concerns the domain");
                left = self.push(binder, &join.left)?;
            }
            (JoinType::Right, false, _) if !in_left => right = self.push(binder, &join.right)?,
            (JoinType::Inner | JoinType::Left, _, true) => {
                left = self.push(binder, &join.left)?;
                let (aside, same) = self.set_aside(self.push(binder, &join.right)?)?;
                right = aside;
                on.extend(same);
            }
            _ => return Err(unsupported()),
        }
        let builder = LogicalPlanBuilder::from(left);
        if on.is_empty() && join.join_type == JoinType::Inner {
            return build(builder.cross_join(right));
        }
        build(builder.join_on(right, join.join_type, on))
    }

    /// A recursion whose rows carry their value of the domain from step to step.
    fn push_recursion(
        &self,
        binder: &mut Binder<'_>,
        query: &RecursiveQuery,
    ) -> Result<LogicalPlan> {
        if self.work.is_some() {
            return Err(unsupported());
        }
        let start = self.push(binder, &query.static_term)?;
        let mut exprs = self.columns();
        exprs.extend(query.static_term.schema().columns().into_iter().map(Expr::Column));
        let start = build(LogicalPlanBuilder::from(start).project(exprs.clone()))?;
        let name = binder.qualifier(&query.name);
        let fields: Vec<Field> = start
            .schema()
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), field.data_type().clone(), true))
            .collect();
        let work = Arc::new(CteWorkTable::new(&name, Arc::new(Schema::new(fields))));
        let scan = build(LogicalPlanBuilder::scan(name.as_str(), provider_as_source(work), None))?;
        // The carried columns stand bare, the others under the name that the step knows.
        let own: Vec<Expr> = scan
            .schema()
            .columns()
            .into_iter()
            .map(|column| {
                let carried = self.names.values().any(|name| *name == column.name);
                let relation = (!carried).then(|| TableReference::bare(query.name.as_str()));
                let shown = column.name.clone();
                Expr::Column(column).alias_qualified(relation, shown)
            })
            .collect();
        let scan = build(LogicalPlanBuilder::from(scan).project(own))?;
        let carrier = Domain {
            plan: self.plan.clone(),
            names: self.names.clone(),
            found: None,
            work: Some((query.name.clone(), scan)),
        };
        let step = carrier.push(binder, &query.recursive_term)?;
        let mut exprs = self.columns();
        exprs.extend(query.recursive_term.schema().columns().into_iter().map(Expr::Column));
        let step = build(LogicalPlanBuilder::from(step).project(exprs))?;
        let start = binder.without_labels(start)?;
        let step = binder.without_labels(step)?;
        build(LogicalPlanBuilder::from(start).to_recursive_query(name, step, query.is_distinct))
    }
}

/// The column that a plan below computes.
fn computed(expr: &Expr) -> Expr {
    Expr::Column(Column::new_unqualified(expr.schema_name().to_string()))
}

fn is_count(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_count(&alias.expr),
        Expr::AggregateFunction(function) => function.func.name() == "count",
        _ => false,
    }
}

fn unsupported() -> Error {
    Error::unsupported("this correlated subquery is not supported")
        .hint("Rewrite it as a join, or take the outer column out of it.")
}
