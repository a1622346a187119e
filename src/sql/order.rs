//! ORDER BY around a set operation, LIMIT and OFFSET.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Place, build},
        coerce::Reason,
        error::from_datafusion,
        expression::binary,
        subquery::ordering,
        tokens::fold,
        typed::{Rows, Typed},
    },
};
use arrow::datatypes::DataType;
use datafusion::{
    common::{Column, ScalarValue},
    functions_window::rank::rank_udwf,
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, Operator, WindowFrame, WindowFunctionDefinition,
        expr::{Cast, Sort as SortExpr, WindowFunction, WindowFunctionParams},
    },
    sql::sqlparser::ast::{self, Spanned},
};

impl Binder<'_> {
    /// ORDER BY around a set operation: by output columns alone.
    pub(super) fn order_rows(&mut self, rows: Rows, order: &[ast::OrderByExpr]) -> Result<Rows> {
        if order.is_empty() {
            return Ok(rows);
        }
        let mut sorts = Vec::new();
        for by in order {
            let column = match &by.expr {
                ast::Expr::Identifier(ident) => {
                    let name = fold(ident);
                    rows.columns.iter().position(|column| column.name == name)
                }
                ast::Expr::Value(value) => match &value.value {
                    ast::Value::Number(digits, _) => digits
                        .parse::<usize>()
                        .ok()
                        .and_then(|n| n.checked_sub(1))
                        .filter(|n| *n < rows.columns.len()),
                    _ => None,
                },
                _ => None,
            };
            let Some(column) = column else {
                let error = Error::unsupported(
                    "ORDER BY of a UNION, INTERSECT, EXCEPT or VALUES takes output columns",
                )
                .hint("Order by a column's name or number, or put the query into FROM.");
                return Err(self.at(error, by.expr.span()));
            };
            sorts.push(sort(Expr::Column(rows.columns[column].column.clone()), &by.options));
        }
        let plan = build(LogicalPlanBuilder::from(rows.plan).sort(sorts))?;
        Ok(Rows { plan, ..rows })
    }

    pub(crate) fn limited(&mut self, rows: Rows, query: &ast::Query) -> Result<Rows> {
        let (mut fetch, mut skip) = (None, None);
        match &query.limit_clause {
            Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                fetch = limit.as_ref();
                skip = offset.as_ref().map(|offset| &offset.value);
            }
            Some(ast::LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    "LIMIT #,# syntax is not supported",
                )
                .hint("Use separate LIMIT and OFFSET clauses."));
            }
            None => {}
        }
        let one = Typed::literal(ScalarValue::Int64(Some(1)), PgType::Int8);
        let mut fetch = match fetch {
            Some(limit) => Some(self.row_count(limit, "LIMIT")?),
            None => None,
        };
        if let Some(clause) = &query.fetch {
            if clause.percent {
                return Err(Error::unsupported("FETCH … PERCENT is not supported"));
            }
            fetch = Some(match &clause.quantity {
                Some(quantity) => self.row_count(quantity, "LIMIT")?,
                None => one,
            });
        }
        let skip = match skip {
            Some(skip) => Some(self.row_count(skip, "OFFSET")?),
            None => None,
        };
        let has_ties = query.fetch.as_ref().is_some_and(|clause| clause.with_ties);
        if let (Some(count), true) = (&fetch, has_ties) {
            return self.with_ties(rows, count.clone(), skip);
        }
        let is_null = |count: &Option<Typed>| count.as_ref().is_none_or(Typed::is_null);
        if is_null(&fetch) && is_null(&skip) {
            return Ok(rows);
        }
        let plan = build(LogicalPlanBuilder::from(rows.plan).limit_by_expr(
            skip.filter(|count| !count.is_null()).map(|count| count.expr),
            fetch.filter(|count| !count.is_null()).map(|count| count.expr),
        ))?;
        Ok(Rows { plan, ..rows })
    }

    /// As many rows as are wanted, and those that tie with the last: rows by whose rank there are not
    /// enough before them.
    fn with_ties(&mut self, rows: Rows, count: Typed, skip: Option<Typed>) -> Result<Rows> {
        let (plan, sorts) = ordering(rows.plan);
        if sorts.is_empty() {
            let what = "WITH TIES cannot be specified without ORDER BY clause";
            return Err(Error::new(SqlState::SYNTAX_ERROR, what));
        }
        let rank = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(rank_udwf()),
            params: WindowFunctionParams {
                args: Vec::new(),
                partition_by: Vec::new(),
                order_by: sorts.clone(),
                window_frame: WindowFrame::new(Some(false)),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        let name = rank.schema_name().to_string();
        let plan = LogicalPlanBuilder::window_plan(plan, [rank]).map_err(from_datafusion)?;
        let rank = Expr::Column(Column::new_unqualified(name));
        let rank = Expr::Cast(Cast::new(Box::new(rank), DataType::Int64));
        let last = match &skip {
            Some(skip) => binary(count.expr, Operator::Plus, skip.expr.clone()),
            None => count.expr,
        };
        let plan = LogicalPlanBuilder::from(plan).filter(binary(rank, Operator::LtEq, last));
        let plan = plan.and_then(|plan| plan.sort(sorts));
        let plan = plan.and_then(|plan| plan.limit_by_expr(skip.map(|skip| skip.expr), None));
        let columns = rows.columns.iter().map(|column| Expr::Column(column.column.clone()));
        let plan = build(plan.and_then(|plan| plan.project(columns)))?;
        Ok(Rows { plan, ..rows })
    }

    fn row_count(&mut self, expr: &ast::Expr, clause: &'static str) -> Result<Typed> {
        let outer = std::mem::take(&mut self.scopes);
        let typed = self.in_place(Place::plain(clause), |binder| binder.expr(expr));
        self.scopes = outer;
        let typed = typed.map_err(|error| match error.state() {
            SqlState::UNDEFINED_COLUMN => Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("argument of {clause} must not contain variables"),
            ),
            _ => error,
        })?;
        let typed = self.coerce(typed, &PgType::Int8, Reason::Assignment)?;
        if let Expr::Literal(ScalarValue::Int64(Some(count)), _) = &typed.expr
            && *count < 0
        {
            let state = if clause == "LIMIT" {
                SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE
            } else {
                SqlState::INVALID_ROW_COUNT_IN_OFFSET_CLAUSE
            };
            return Err(Error::new(state, format!("{clause} must not be negative")));
        }
        Ok(typed)
    }
}

/// A sort key: NULL is greater than everything.
pub(crate) fn sort(expr: Expr, options: &ast::OrderByOptions) -> SortExpr {
    let asc = options.asc.unwrap_or(true);
    SortExpr::new(expr, asc, options.nulls_first.unwrap_or(!asc))
}

/// The order in which a plan gives its rows, as far as its columns tell it: of what is above a sort and keeps
/// its order, as a subquery in FROM does. What collects such rows is to have them in that order, although
/// DataFusion sorts nothing that nobody asks to be sorted.
pub(super) fn kept_order(plan: &LogicalPlan) -> Vec<SortExpr> {
    match plan {
        LogicalPlan::Sort(sort) => sort.expr.clone(),
        LogicalPlan::Limit(limit) => kept_order(&limit.input),
        LogicalPlan::Filter(filter) => kept_order(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => {
            let places = alias.input.schema().columns();
            let shown = |expr: &Expr| match expr {
                Expr::Column(column) => places.iter().position(|place| place == column),
                _ => None,
            };
            seen(&kept_order(&alias.input), plan, shown)
        }
        LogicalPlan::Projection(projection) => {
            let is_it = |made: &Expr, expr: &Expr| match made {
                Expr::Alias(alias) => *alias.expr == *expr,
                made => made == expr,
            };
            let shown = |expr: &Expr| projection.expr.iter().position(|made| is_it(made, expr));
            seen(&kept_order(&projection.input), plan, shown)
        }
        _ => Vec::new(),
    }
}

/// The keys of an order that a plan's columns show, up to the first that they do not.
fn seen(
    order: &[SortExpr],
    plan: &LogicalPlan,
    shown: impl Fn(&Expr) -> Option<usize>,
) -> Vec<SortExpr> {
    let columns = plan.schema().columns();
    let key = |sort: &SortExpr| {
        let expr = Expr::Column(columns[shown(&sort.expr)?].clone());
        Some(SortExpr { expr, ..sort.clone() })
    };
    order.iter().map_while(key).collect()
}
