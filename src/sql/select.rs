//! SELECT: what FROM offers, filtered, grouped, computed, made distinct and ordered.
//!
//! Expressions are bound over FROM's columns with aggregates, window functions and set-returning
//! functions inside them. The plan is then built from below, and each step replaces what it has
//! computed by a column: grouping, windows, sets, the SELECT list.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Place, SetColumn, build},
        computed::{collect, replace},
        error::from_datafusion,
        items::Item,
        order::sort,
        tokens::fold,
        typed::{Rows, RowsColumn, unique},
    },
};
use datafusion::{
    common::{Column, NullHandling, UnnestOptions},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, expr::Sort as SortExpr},
    sql::sqlparser::ast::{self, SelectItem},
};
use std::collections::{HashMap, HashSet};

impl Binder<'_> {
    pub(crate) fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        expected: Option<&[PgType]>,
    ) -> Result<Rows> {
        refuse(select)?;
        let (plan, columns) = self.parts_of_from(&select.from)?;
        self.scopes.push(columns);
        let sets = std::mem::take(&mut self.sets);
        let windows = std::mem::take(&mut self.windows);
        for ast::NamedWindowDefinition(name, definition) in &select.named_window {
            if let ast::NamedWindowExpr::WindowSpec(spec) = definition {
                self.windows.insert(fold(name), spec.clone());
            }
        }
        let result = self.select_over(plan, select, order, expected);
        self.scopes.pop();
        self.sets = sets;
        self.windows = windows;
        result
    }

    fn select_over(
        &mut self,
        mut plan: LogicalPlan,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        expected: Option<&[PgType]>,
    ) -> Result<Rows> {
        if let Some(condition) = &select.selection {
            let place = Place::filter("WHERE");
            let (joined, condition, _) = self.with_subqueries(plan, |binder| {
                binder.in_place(place, |binder| binder.boolean(condition, "WHERE"))
            })?;
            plan = build(LogicalPlanBuilder::from(joined).filter(condition))?;
        }
        let list =
            Place { clause: "SELECT", aggregates: true, windows: true, sets: true, filter: false };
        let (joined, made, applies) = self.with_subqueries(plan, |binder| {
            let items =
                binder.in_place(list, |binder| binder.items(&select.projection, expected))?;
            let grouping = binder.grouping(&select.group_by, &items)?;
            let having = match &select.having {
                Some(having) => {
                    let place = Place { aggregates: true, ..Place::plain("HAVING") };
                    Some(binder.in_place(place, |binder| binder.boolean(having, "HAVING"))?)
                }
                None => None,
            };
            let mut on = Vec::new();
            if let Some(ast::Distinct::On(exprs)) = &select.distinct {
                for expr in exprs {
                    on.push(binder.order_expr(expr, &items)?.0);
                }
            }
            // A sort key is an output column, or an expression that travels beside them.
            let mut sorts: Vec<SortExpr> = Vec::new();
            for by in order {
                let (typed, _) = binder
                    .in_place(Place { clause: "ORDER BY", ..list }, |binder| {
                        binder.order_expr(&by.expr, &items)
                    })?;
                // A row is sorted by its fields; what DISTINCT sorts by is a column as it stands.
                let keys = match (select.distinct.is_some(), binder.fields_of(&typed)) {
                    (false, Some(fields)) => fields,
                    _ => vec![typed],
                };
                for key in keys {
                    let key = if select.distinct.is_some() { key } else { binder.ordered(key) };
                    sorts.push(sort(key.expr, &by.options));
                }
            }
            Ok((items, grouping, having, on, sorts))
        })?;
        let (mut items, mut grouping, having, on, mut sorts) = made;
        plan = joined;

        let mut all: Vec<Expr> = items.iter().map(|item| item.typed.expr.clone()).collect();
        let item_count = all.len();
        all.extend(sorts.iter().map(|sort| sort.expr.clone()));
        all.extend(on.iter().map(|typed| typed.expr.clone()));
        let on_start = item_count + sorts.len();
        all.extend(having);
        let set_start = all.len();
        all.extend(self.sets.iter().map(|set| set.list.clone()));

        let aggregates = collect(&all, |expr| matches!(expr, Expr::AggregateFunction(_)))?;
        if !aggregates.is_empty() || grouping.is_grouped || select.having.is_some() {
            grouping.along = self.functional_keys(&grouping.exprs);
            // A subquery over what is grouped by has one value in a group.
            for apply in &applies {
                let outer = apply.outer();
                if outer.iter().all(|e| grouping.exprs.contains(e) || grouping.along.contains(e)) {
                    let column = Column::new_unqualified(&apply.column);
                    grouping.along.push(Expr::Column(column));
                }
            }
            plan = self.aggregate(plan, &grouping, aggregates, &mut all)?;
        }
        if select.having.is_some() {
            let having = all.remove(set_start - 1);
            plan = build(LogicalPlanBuilder::from(plan).filter(having))?;
        }
        let set_start = if select.having.is_some() { set_start - 1 } else { set_start };

        let windows = collect(&all, |expr| matches!(expr, Expr::WindowFunction(_)))?;
        if !windows.is_empty() {
            let mut names = HashMap::new();
            for window in &windows {
                let name = window.schema_name().to_string();
                names.insert(window.clone(), Expr::Column(Column::new_unqualified(name)));
            }
            plan = LogicalPlanBuilder::window_plan(plan, windows).map_err(from_datafusion)?;
            replace(&mut all, &names)?;
        }
        let lists = all.split_off(set_start);
        if !lists.is_empty() {
            plan = self.unnest_sets(plan, lists)?;
        }
        let on_exprs = all.split_off(on_start);
        let sort_exprs = all.split_off(item_count);
        for (item, expr) in items.iter_mut().zip(all) {
            item.typed.expr = expr;
        }
        for (sort, expr) in sorts.iter_mut().zip(sort_exprs) {
            sort.expr = expr;
        }
        self.project(plan, items, sorts, on_exprs, select.distinct.as_ref())
    }

    /// RETURNING's list over a plan.
    pub(crate) fn returned(&mut self, plan: LogicalPlan, list: &[SelectItem]) -> Result<Rows> {
        let (plan, items, _) = self.with_subqueries(plan, |binder| {
            binder.in_place(Place::plain("RETURNING"), |binder| binder.items(list, None))
        })?;
        self.project(plan, items, Vec::new(), Vec::new(), None)
    }

    /// Set-returning functions side by side: the lists beside all columns, unnested together.
    fn unnest_sets(&mut self, plan: LogicalPlan, lists: Vec<Expr>) -> Result<LogicalPlan> {
        let sets = std::mem::take(&mut self.sets);
        let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.extend(lists.into_iter().zip(&sets).map(|(list, set)| list.alias(&set.name)));
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        unnest(plan, &sets, false)
    }

    fn project(
        &mut self,
        plan: LogicalPlan,
        items: Vec<Item>,
        sorts: Vec<SortExpr>,
        on: Vec<Expr>,
        distinct: Option<&ast::Distinct>,
    ) -> Result<Rows> {
        let mut taken = HashSet::new();
        let mut columns = Vec::with_capacity(items.len());
        let mut exprs = Vec::with_capacity(items.len());
        let mut places: HashMap<Expr, Expr> = HashMap::new();
        for item in items {
            let name = unique(&mut taken, &item.name);
            let column = Column::new_unqualified(name.clone());
            places.entry(item.typed.expr.clone()).or_insert_with(|| Expr::Column(column.clone()));
            exprs.push(item.typed.expr.alias(&name));
            columns.push(RowsColumn {
                name: item.name,
                kind: item.typed.kind,
                column,
                origin: item.origin,
            });
        }
        match distinct {
            Some(ast::Distinct::On(_)) => {
                let leads = sorts.iter().take(on.len()).all(|sort| on.contains(&sort.expr));
                if !leads {
                    return Err(Error::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    ));
                }
                let sorts = (!sorts.is_empty()).then_some(sorts);
                let plan = build(LogicalPlanBuilder::from(plan).distinct_on(on, exprs, sorts))?;
                let columns = columns
                    .into_iter()
                    .zip(plan.schema().columns())
                    .map(|(c, column)| RowsColumn { column, ..c })
                    .collect();
                return Ok(Rows { plan, columns });
            }
            Some(ast::Distinct::Distinct) => {
                let plan = LogicalPlanBuilder::from(plan)
                    .project(exprs)
                    .and_then(LogicalPlanBuilder::distinct);
                let mut plan = build(plan)?;
                if !sorts.is_empty() {
                    let sorts = sorts
                        .into_iter()
                        .map(|sort| match places.get(&sort.expr) {
                            Some(column) => Ok(SortExpr { expr: column.clone(), ..sort }),
                            None => Err(Error::new(
                                SqlState::INVALID_COLUMN_REFERENCE,
                                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                            )),
                        })
                        .collect::<Result<Vec<_>>>()?;
                    plan = build(LogicalPlanBuilder::from(plan).sort(sorts))?;
                }
                return Ok(Rows { plan, columns });
            }
            _ => {}
        }
        if sorts.is_empty() {
            let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
            return Ok(Rows { plan, columns });
        }
        let visible = exprs.len();
        let sorts: Vec<SortExpr> = sorts
            .into_iter()
            .map(|sort| {
                let column = places.entry(sort.expr.clone()).or_insert_with(|| {
                    let name = unique(&mut taken, "sort");
                    exprs.push(sort.expr.clone().alias(&name));
                    Expr::Column(Column::new_unqualified(name))
                });
                SortExpr { expr: column.clone(), ..sort }
            })
            .collect();
        let hidden = exprs.len() > visible;
        let plan = LogicalPlanBuilder::from(plan).project(exprs).and_then(|plan| plan.sort(sorts));
        let mut plan = build(plan)?;
        if hidden {
            let shown: Vec<Expr> = columns.iter().map(|c| Expr::Column(c.column.clone())).collect();
            plan = build(LogicalPlanBuilder::from(plan).project(shown))?;
        }
        Ok(Rows { plan, columns })
    }
}

/// What SELECT of other databases has.
fn refuse(select: &ast::Select) -> Result<()> {
    let what = if select.into.is_some() {
        "SELECT INTO"
    } else if select.top.is_some() {
        "TOP"
    } else if select.qualify.is_some() {
        "QUALIFY"
    } else if !select.lateral_views.is_empty() {
        "LATERAL VIEW"
    } else if select.prewhere.is_some() || !select.connect_by.is_empty() {
        "this clause"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!("{what} is not supported"))
        .hint("Use CREATE TABLE … AS, LIMIT or a subquery."))
}

/// The lists as rows.
pub(crate) fn unnest(plan: LogicalPlan, sets: &[SetColumn], outer: bool) -> Result<LogicalPlan> {
    let columns = sets.iter().map(|set| Column::new_unqualified(set.name.clone())).collect();
    let null_handling =
        if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
    let options = UnnestOptions { null_handling, ..UnnestOptions::default() };
    build(LogicalPlanBuilder::from(plan).unnest_columns_with_options(columns, options))
}
