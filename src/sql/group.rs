//! GROUP BY, and the aggregates over its groups.

use crate::{
    error::{Error, Result, SqlState},
    ids::ColumnId,
    sql::{
        binder::{Binder, Place, build},
        computed::{renamed, replace},
        items::Item,
        order::kept_order,
        tokens::fold,
        typed::ScopeColumn,
    },
};
use datafusion::{
    common::{Column, ScalarValue},
    functions_aggregate::count::count_udaf,
    logical_expr::{
        Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder,
        expr::{AggregateFunction, AggregateFunctionParams, Alias, Sort as SortExpr},
    },
    sql::sqlparser::ast::{self, GroupByExpr},
};
use std::collections::{HashMap, HashSet};

/// GROUP BY.
pub(super) struct Grouping {
    pub(super) exprs: Vec<Expr>,
    /// Columns that have one value in each group.
    pub(super) along: Vec<Expr>,
    pub(super) is_grouped: bool,
}

impl Binder<'_> {
    pub(super) fn grouping(&mut self, group_by: &GroupByExpr, items: &[Item]) -> Result<Grouping> {
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
                    ast::Expr::Rollup(_) | ast::Expr::Cube(_) | ast::Expr::GroupingSets(_) => {
                        let sets = binder.grouping_sets(expr, items)?;
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

    /// The sets that ROLLUP, CUBE and GROUPING SETS stand for, one within another where so written.
    fn grouping_sets(&mut self, expr: &ast::Expr, items: &[Item]) -> Result<Vec<Vec<Expr>>> {
        let bound = |binder: &mut Self, set: &[ast::Expr]| {
            set.iter().map(|expr| binder.group_expr(expr, items)).collect::<Result<Vec<_>>>()
        };
        let all = |binder: &mut Self, sets: &[Vec<ast::Expr>]| {
            sets.iter().map(|set| bound(binder, set)).collect::<Result<Vec<_>>>()
        };
        Ok(match expr {
            ast::Expr::Rollup(sets) => rollup(&all(self, sets)?),
            ast::Expr::Cube(sets) => cube(&all(self, sets)?)?,
            ast::Expr::GroupingSets(sets) => {
                let mut made = Vec::new();
                for set in sets {
                    match set.as_slice() {
                        [ast::Expr::Function(function)] => match parts_of_sets(function) {
                            // sqlparser reads ROLLUP within as a call.
                            Some((name, parts)) => {
                                let parts = all(self, &parts)?;
                                match name {
                                    Sets::Rollup => made.extend(rollup(&parts)),
                                    Sets::Cube => made.extend(cube(&parts)?),
                                }
                            }
                            None => made.push(bound(self, set)?),
                        },
                        [
                            inner @ (ast::Expr::Rollup(_)
                            | ast::Expr::Cube(_)
                            | ast::Expr::GroupingSets(_)),
                        ] => {
                            made.extend(self.grouping_sets(inner, items)?);
                        }
                        set => made.push(bound(self, set)?),
                    }
                }
                made
            }
            other => vec![vec![self.group_expr(other, items)?]],
        })
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
    pub(super) fn functional_keys(&self, grouped: &[Expr]) -> Vec<Expr> {
        let Some(scope) = self.scopes.last() else { return Vec::new() };
        let mut more = Vec::new();
        let tables: HashSet<_> =
            scope.iter().filter_map(|c| Some((c.table.clone(), c.origin?.0))).collect();
        for (alias, id) in tables {
            let Some(table) = self.catalog.table(id) else { continue };
            let Some((_, key)) = table.primary_key() else { continue };
            let of_table =
                |c: &&ScopeColumn| c.table == alias && c.origin.is_some_and(|(t, _)| t == id);
            let is_grouped = |column: &ColumnId| {
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

    pub(super) fn aggregate(
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
        check_groupings(&aggregates, &columns)?;
        let mut aggregates = renamed(aggregates, &mut taken, &mut columns);
        if used.is_empty() && aggregates.is_empty() {
            // HAVING by itself makes one group of all rows; DataFusion wants something to count.
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            let rows =
                AggregateFunction::new_udf(count_udaf(), vec![one], false, None, vec![], None);
            aggregates.push(Expr::AggregateFunction(rows).alias("rows"));
        }
        let order = kept_order(&plan);
        if !order.is_empty() {
            aggregates = aggregates.into_iter().map(|made| in_order(made, &order)).collect();
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
}

/// GROUPING asks about what is grouped by.
fn check_groupings(aggregates: &[Expr], grouped: &HashMap<Expr, Expr>) -> Result<()> {
    for aggregate in aggregates {
        let Expr::AggregateFunction(function) = aggregate else { continue };
        if function.func.name() == GROUPING
            && !function.params.args.iter().all(|arg| grouped.contains_key(arg))
        {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                "arguments to GROUPING must be grouping expressions of the associated query level",
            ));
        }
    }
    Ok(())
}

/// The name of the function that tells which of its arguments a row is not grouped by.
const GROUPING: &str = "grouping";

/// All, all but the last, and so on down to none.
fn rollup(parts: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=parts.len()).rev().map(|count| parts[..count].concat()).collect()
}

/// Every choice among the parts.
fn cube(parts: &[Vec<Expr>]) -> Result<Vec<Vec<Expr>>> {
    if parts.len() > CUBE_MAX {
        return Err(Error::new(
            SqlState::STATEMENT_TOO_COMPLEX,
            format!("CUBE is limited to {CUBE_MAX} elements"),
        ));
    }
    let choices = (0..1_u32 << parts.len()).rev();
    Ok(choices
        .map(|choice| {
            // The first part is the highest bit, so that the sets come as PostgreSQL has them.
            let chosen = parts.iter().rev().enumerate().filter(|(bit, _)| (choice >> bit) & 1 == 1);
            let mut chosen: Vec<_> = chosen.map(|(_, part)| part.clone()).collect();
            chosen.reverse();
            chosen.concat()
        })
        .collect())
}

/// As in PostgreSQL.
const CUBE_MAX: usize = 12;

enum Sets {
    Rollup,
    Cube,
}

/// `ROLLUP (a, (b, c))` where it was read as a call.
fn parts_of_sets(function: &ast::Function) -> Option<(Sets, Vec<Vec<ast::Expr>>)> {
    let sets = match function.name.to_string().to_ascii_lowercase().as_str() {
        "rollup" => Sets::Rollup,
        "cube" => Sets::Cube,
        _ => return None,
    };
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let part = |arg: &ast::FunctionArg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Tuple(parts))) => {
            Some(parts.clone())
        }
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(one)) => Some(vec![one.clone()]),
        _ => None,
    };
    Some((sets, list.args.iter().map(part).collect::<Option<_>>()?))
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

/// An aggregate that shows the order of its values takes them in that of the rows, unless it has one of
/// its own.
fn in_order(made: Expr, order: &[SortExpr]) -> Expr {
    match made {
        Expr::Alias(alias) => {
            let expr = Box::new(in_order(*alias.expr, order));
            Expr::Alias(Alias { expr, ..alias })
        }
        Expr::AggregateFunction(made)
            if made.params.order_by.is_empty()
                && !made.params.distinct
                && matches!(made.func.name(), "array_agg" | "string_agg") =>
        {
            // It is known by the name that it has without.
            let name = Expr::AggregateFunction(made.clone()).schema_name().to_string();
            let order_by = order.to_vec();
            let params = AggregateFunctionParams { order_by, ..made.params };
            Expr::AggregateFunction(AggregateFunction { params, ..made }).alias(name)
        }
        other => other,
    }
}
