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
        coerce::Reason,
        error::from_datafusion,
        names::output_name,
        query::sort,
        tokens::fold,
        typed::{Hiding, Rows, RowsColumn, ScopeColumn, Typed, unique},
    },
};
use datafusion::{
    common::{
        Column, NullHandling, ScalarValue, UnnestOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    functions_aggregate::count::count_udaf,
    logical_expr::{
        Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder,
        expr::{AggregateFunction, Sort as SortExpr},
    },
    sql::sqlparser::ast::{self, GroupByExpr, SelectItem, Spanned},
};
use std::collections::{HashMap, HashSet};

/// A column of the SELECT list.
struct Item {
    name: String,
    typed: Typed,
    origin: Option<(crate::ids::TableId, crate::ids::ColumnId)>,
}

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
                sorts.push(sort(typed.expr, &by.options));
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

    /// The SELECT list, `*` expanded.
    fn items(&mut self, list: &[SelectItem], expected: Option<&[PgType]>) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in list {
            match item {
                SelectItem::UnnamedExpr(expr) => self.item(expr, None, expected, &mut items)?,
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.item(expr, Some(fold(alias)), expected, &mut items)?;
                }
                SelectItem::Wildcard(_) => {
                    let Some(scope) = self.scopes.last().filter(|scope| !scope.is_empty()) else {
                        return Err(Error::new(
                            SqlState::SYNTAX_ERROR,
                            "SELECT * with no tables specified is not valid",
                        ));
                    };
                    items.extend(scope.iter().filter(|c| c.hidden == Hiding::Not).map(star));
                }
                SelectItem::QualifiedWildcard(kind, _) => {
                    let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(Error::unsupported("expanding a row value is not supported"));
                    };
                    let span = name.span();
                    let name = self.object_name(name)?;
                    let scopes = &self.scopes;
                    let found: Vec<Item> = scopes
                        .last()
                        .into_iter()
                        .flatten()
                        .filter(|c| c.hidden != Hiding::System)
                        .filter(|c| c.table.as_ref() == Some(&name.name))
                        .map(star)
                        .collect();
                    if found.is_empty() {
                        let error = Error::new(
                            SqlState::UNDEFINED_TABLE,
                            format!("missing FROM-clause entry for table \"{}\"", name.name),
                        );
                        return Err(self.at(error, span));
                    }
                    items.extend(found);
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::new(SqlState::SYNTAX_ERROR, "a column has one alias"));
                }
            }
        }
        Ok(items)
    }

    fn item(
        &mut self,
        expr: &ast::Expr,
        alias: Option<String>,
        expected: Option<&[PgType]>,
        items: &mut Vec<Item>,
    ) -> Result<()> {
        let typed = self.expr(expr)?;
        // An untyped literal or parameter takes the type that it is for.
        let typed = match expected.and_then(|kinds| kinds.get(items.len())) {
            Some(kind) if typed.is_unknown() => self.coerce(typed, kind, Reason::Assignment)?,
            // A parameter that nothing tells the type of is text.
            _ if typed.is_unknown() && typed.untyped().is_none() => self.settle(typed)?,
            _ => typed,
        };
        let origin = match &typed.expr {
            Expr::Column(column) => self
                .scopes
                .last()
                .and_then(|scope| {
                    scope.iter().find(|c| matches!(&c.expr, Expr::Column(other) if other == column))
                })
                .and_then(|column| column.origin),
            _ => None,
        };
        let name = alias.unwrap_or_else(|| output_name(expr));
        items.push(Item { name, typed, origin });
        Ok(())
    }

    /// An expression of ORDER BY, GROUP BY or DISTINCT ON: an output column by name or number, or
    /// an expression over FROM's columns.
    fn order_expr(&mut self, expr: &ast::Expr, items: &[Item]) -> Result<(Typed, Option<usize>)> {
        if let Some(place) = self.output_number(expr, items, self.place.clause)? {
            return Ok((items[place].typed.clone(), Some(place)));
        }
        if let ast::Expr::Identifier(ident) = expr {
            let name = fold(ident);
            let mut named = items.iter().enumerate().filter(|(_, item)| item.name == name);
            if let Some((place, item)) = named.next() {
                if named.any(|(_, other)| other.typed.expr != item.typed.expr) {
                    let error = Error::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("ORDER BY \"{name}\" is ambiguous"),
                    );
                    return Err(self.at(error, ident.span));
                }
                return Ok((item.typed.clone(), Some(place)));
            }
        }
        let typed = self.expr(expr)?;
        Ok((self.settle(typed)?, None))
    }

    fn output_number(
        &self,
        expr: &ast::Expr,
        items: &[Item],
        clause: &str,
    ) -> Result<Option<usize>> {
        let ast::Expr::Value(value) = expr else { return Ok(None) };
        let ast::Value::Number(digits, _) = &value.value else { return Ok(None) };
        match digits.parse::<usize>() {
            Ok(number) if (1..=items.len()).contains(&number) => Ok(Some(number - 1)),
            _ => {
                let error = Error::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    format!("{clause} position {digits} is not in select list"),
                );
                Err(self.at(error, value.span))
            }
        }
    }

    fn grouping(&mut self, group_by: &GroupByExpr, items: &[Item]) -> Result<Grouping> {
        let GroupByExpr::Expressions(exprs, modifiers) = group_by else {
            return Err(Error::unsupported("GROUP BY ALL is not supported"));
        };
        if !modifiers.is_empty() {
            return Err(Error::unsupported("this form of GROUP BY is not supported"));
        }
        let place = Place::plain("GROUP BY");
        self.in_place(place, |binder| {
            let mut grouping =
                Grouping { exprs: Vec::new(), along: Vec::new(), is_grouped: !exprs.is_empty() };
            for expr in exprs {
                match expr {
                    ast::Expr::Rollup(sets) => {
                        let sets = binder.flat(sets, items)?;
                        grouping.exprs.push(Expr::GroupingSet(GroupingSet::Rollup(sets)));
                    }
                    ast::Expr::Cube(sets) => {
                        let sets = binder.flat(sets, items)?;
                        grouping.exprs.push(Expr::GroupingSet(GroupingSet::Cube(sets)));
                    }
                    ast::Expr::GroupingSets(sets) => {
                        let sets = sets
                            .iter()
                            .map(|set| set.iter().map(|e| binder.group_expr(e, items)).collect())
                            .collect::<Result<Vec<Vec<Expr>>>>()?;
                        grouping.exprs.push(Expr::GroupingSet(GroupingSet::GroupingSets(sets)));
                    }
                    ast::Expr::Tuple(parts) => {
                        for part in parts {
                            grouping.exprs.push(binder.group_expr(part, items)?);
                        }
                    }
                    other => grouping.exprs.push(binder.group_expr(other, items)?),
                }
            }
            Ok(grouping)
        })
    }

    fn flat(&mut self, sets: &[Vec<ast::Expr>], items: &[Item]) -> Result<Vec<Expr>> {
        sets.iter().flatten().map(|expr| self.group_expr(expr, items)).collect()
    }

    /// RETURNING's list over a plan.
    pub(crate) fn returned(&mut self, plan: LogicalPlan, list: &[SelectItem]) -> Result<Rows> {
        let (plan, items, _) = self.with_subqueries(plan, |binder| {
            binder.in_place(Place::plain("RETURNING"), |binder| binder.items(list, None))
        })?;
        self.project(plan, items, Vec::new(), Vec::new(), None)
    }

    /// GROUP BY looks among FROM's columns first, then among output names.
    fn group_expr(&mut self, expr: &ast::Expr, items: &[Item]) -> Result<Expr> {
        if let Some(place) = self.output_number(expr, items, "GROUP BY")? {
            return Ok(items[place].typed.expr.clone());
        }
        if let ast::Expr::Identifier(ident) = expr {
            let found = self.column(std::slice::from_ref(ident));
            match found {
                Err(error) if error.state() == SqlState::UNDEFINED_COLUMN => {
                    let name = fold(ident);
                    return match items.iter().find(|item| item.name == name) {
                        Some(item) => Ok(item.typed.expr.clone()),
                        None => Err(error),
                    };
                }
                found => return Ok(found?.expr),
            }
        }
        let typed = self.expr(expr)?;
        Ok(self.settle(typed)?.expr)
    }

    /// Columns of tables whose whole primary key is grouped by: they have one value in a group.
    fn functional_keys(&self, grouped: &[Expr]) -> Vec<Expr> {
        let Some(scope) = self.scopes.last() else { return Vec::new() };
        let mut more = Vec::new();
        let tables: HashSet<_> =
            scope.iter().filter_map(|c| Some((c.table.clone(), c.origin?.0))).collect();
        for (alias, id) in tables {
            let Some(table) = self.catalog.table(id) else { continue };
            let Some((_, key)) = table.primary_key() else { continue };
            let of_table =
                |c: &&ScopeColumn| c.table == alias && c.origin.is_some_and(|(t, _)| t == id);
            let is_grouped = |column: &crate::ids::ColumnId| {
                scope.iter().filter(of_table).any(|c| {
                    c.origin.is_some_and(|(_, other)| other == *column) && grouped.contains(&c.expr)
                })
            };
            if key.iter().all(is_grouped) {
                let rest = scope.iter().filter(of_table).map(|c| c.expr.clone());
                more.extend(rest.filter(|expr| !grouped.contains(expr)));
            }
        }
        more
    }

    fn aggregate(
        &mut self,
        plan: LogicalPlan,
        grouping: &Grouping,
        aggregates: Vec<Expr>,
        all: &mut [Expr],
    ) -> Result<LogicalPlan> {
        let mut groups: Vec<Expr> = Vec::new();
        for expr in &grouping.exprs {
            if !groups.contains(expr) {
                groups.push(expr.clone());
            }
        }
        // Of the columns that come along with a key, only those that are used.
        let mut used = groups;
        for column in &grouping.along {
            let Expr::Column(name) = column else { continue };
            if all.iter().any(|expr| expr.column_refs().contains(name)) {
                used.push(column.clone());
            }
        }
        let mut columns = HashMap::new();
        let mut taken = HashSet::new();
        for expr in used.iter().flat_map(grouped_exprs) {
            let column = match expr {
                Expr::Column(column) => column.clone(),
                other => Column::new_unqualified(other.schema_name().to_string()),
            };
            taken.insert(column.name.clone());
            columns.insert(expr.clone(), Expr::Column(column));
        }
        let mut aggregates = renamed(aggregates, &mut taken, &mut columns);
        if used.is_empty() && aggregates.is_empty() {
            // HAVING by itself makes one group of all rows; DataFusion wants something to count.
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            let rows =
                AggregateFunction::new_udf(count_udaf(), vec![one], false, None, vec![], None);
            aggregates.push(Expr::AggregateFunction(rows).alias("rows"));
        }
        let plan = build(LogicalPlanBuilder::from(plan).aggregate(used, aggregates))?;
        replace(all, &columns)?;
        let schema = plan.schema();
        for expr in all.iter() {
            for column in expr.column_refs() {
                if !schema.has_column(column) {
                    let shown = self.shown(column);
                    return Err(Error::new(
                        SqlState::GROUPING_ERROR,
                        format!(
                            "column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function"
                        ),
                    ));
                }
            }
        }
        Ok(plan)
    }

    /// A column of FROM as it is known to the user.
    fn shown(&self, column: &Column) -> String {
        let mut scope = self.scopes.iter().rev().flatten();
        let found = scope.find(|c| matches!(&c.expr, Expr::Column(other) if other == column));
        match found {
            Some(ScopeColumn { table: Some(table), name, .. }) => format!("{table}.{name}"),
            Some(ScopeColumn { name, .. }) => name.clone(),
            None => column.name.clone(),
        }
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

/// GROUP BY.
struct Grouping {
    exprs: Vec<Expr>,
    /// Columns that have one value in each group.
    along: Vec<Expr>,
    is_grouped: bool,
}

fn star(column: &ScopeColumn) -> Item {
    Item {
        name: column.name.clone(),
        typed: Typed::new(column.expr.clone(), column.kind.clone()),
        origin: column.origin,
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

/// The outermost parts of expressions that are of a kind, each once.
fn collect(all: &[Expr], wanted: impl Fn(&Expr) -> bool) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in all {
        expr.apply(|part| {
            if wanted(part) {
                if !found.contains(part) {
                    found.push(part.clone());
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(from_datafusion)?;
    }
    Ok(found)
}

/// Parts of expressions by the columns that hold them now.
fn replace(all: &mut [Expr], columns: &HashMap<Expr, Expr>) -> Result<()> {
    for expr in all {
        let replaced = expr.clone().transform_down(|part| {
            Ok(match columns.get(&part) {
                Some(column) => Transformed::new(column.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        });
        *expr = replaced.map_err(from_datafusion)?.data;
    }
    Ok(())
}

/// Computed expressions under names of their own: those of one name (two casts of one column
/// inside) get numbers.
fn renamed(
    exprs: Vec<Expr>,
    taken: &mut HashSet<String>,
    columns: &mut HashMap<Expr, Expr>,
) -> Vec<Expr> {
    exprs
        .into_iter()
        .map(|expr| {
            let own = expr.schema_name().to_string();
            let name = unique(taken, &own);
            let column = Expr::Column(Column::new_unqualified(name.clone()));
            columns.insert(expr.clone(), column);
            if name == own { expr } else { expr.alias(name) }
        })
        .collect()
}

fn grouped_exprs(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::GroupingSet(GroupingSet::Rollup(exprs) | GroupingSet::Cube(exprs)) => {
            exprs.iter().collect()
        }
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().flatten().collect(),
        other => vec![other],
    }
}
