//! Queries: set operations and VALUES. SELECT itself is in `select.rs`, WITH in `with.rs`, ORDER BY and
//! LIMIT around them in `order.rs`.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Place, build},
        error::from_datafusion,
        typed::{Rows, RowsColumn, Typed},
        with,
    },
};
use datafusion::{
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::{
        ast::{self, SetExpr, SetOperator, SetQuantifier, Spanned},
        tokenizer::Span,
    },
};
use std::{collections::HashMap, sync::Arc};

impl Binder<'_> {
    /// A query. `expected` are the types that its columns are for, where that is known (INSERT).
    pub(crate) fn query(
        &mut self,
        query: &ast::Query,
        expected: Option<&[PgType]>,
    ) -> Result<Rows> {
        self.deeper(|binder| {
            binder.ctes.push(HashMap::new());
            let result = binder.query_here(query, expected);
            binder.ctes.pop();
            result
        })
    }

    fn query_here(&mut self, query: &ast::Query, expected: Option<&[PgType]>) -> Result<Rows> {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                if with::has_changes(&cte.query) {
                    let error = Error::new(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        "WITH clause containing a data-modifying statement must be at the top level",
                    );
                    return Err(self.at(error, cte.alias.name.span));
                }
                self.bind_cte(cte, with.recursive)?;
            }
        }
        if !query.pipe_operators.is_empty() || query.for_clause.is_some() {
            return Err(Error::unsupported("this clause is not supported"));
        }
        let order: &[ast::OrderByExpr] = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(ast::OrderByKind::Expressions(order)) => order,
            Some(ast::OrderByKind::All(_)) => {
                return Err(Error::unsupported("ORDER BY ALL is not supported"));
            }
            None => &[],
        };
        let mut body = query.body.as_ref();
        while let SetExpr::Query(inner) = body {
            if inner.with.is_some()
                || inner.order_by.is_some()
                || inner.limit_clause.is_some()
                || inner.fetch.is_some()
            {
                break;
            }
            body = inner.body.as_ref();
        }
        let rows = match body {
            SetExpr::Select(select) => self.select(select, order, expected)?,
            other => {
                let rows = self.set_expr(other, expected)?;
                self.order_rows(rows, order)?
            }
        };
        self.limited(rows, query)
    }

    pub(super) fn set_expr(&mut self, body: &SetExpr, expected: Option<&[PgType]>) -> Result<Rows> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], expected),
            SetExpr::Query(query) => self.query(query, expected),
            SetExpr::Values(values) => {
                let rows: Vec<&[ast::Expr]> =
                    values.rows.iter().map(|row| row.content.as_slice()).collect();
                self.values(&rows, expected)
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => self
                .deeper(|binder| binder.set_operation(left, *op, *set_quantifier, right, expected)),
            SetExpr::Table(table) => {
                let Some(name) = &table.table_name else {
                    return Err(Error::new(SqlState::SYNTAX_ERROR, "TABLE needs a name"));
                };
                let mut parts = Vec::new();
                parts.extend(table.schema_name.iter().map(|s| ast::Ident::new(s.clone())));
                parts.push(ast::Ident::new(name.clone()));
                self.whole_table(&ast::ObjectName::from(parts))
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Error::unsupported("a change of rows is not supported in this place")
                    .hint("Put it into the WITH of the whole statement, or send it by itself."))
            }
        }
    }

    fn set_operation(
        &mut self,
        left: &SetExpr,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
        expected: Option<&[PgType]>,
    ) -> Result<Rows> {
        let name = match op {
            SetOperator::Union => "UNION",
            SetOperator::Except | SetOperator::Minus => "EXCEPT",
            SetOperator::Intersect => "INTERSECT",
        };
        let span = right.span();
        let left = self.set_expr(left, expected)?;
        let right = self.set_expr(right, expected)?;
        if left.columns.len() != right.columns.len() {
            let error = Error::new(
                SqlState::SYNTAX_ERROR,
                format!("each {name} query must have the same number of columns"),
            );
            return Err(self.at(error, span));
        }
        let kinds = left
            .columns
            .iter()
            .zip(&right.columns)
            .map(|(a, b)| {
                let both = [a, b].map(|c| Typed {
                    position: self.position(span),
                    ..Typed::new(Expr::Column(c.column.clone()), c.kind.clone())
                });
                self.common_type(name, &both)
            })
            .collect::<Result<Vec<_>>>()?;
        let left = self.cast_rows(left, &kinds, name)?;
        let left = self.named_columns(left)?;
        let right = self.cast_rows(right, &kinds, name)?;
        let right = self.named_as(right, &left)?;
        let all = matches!(quantifier, SetQuantifier::All);
        let columns = left.columns.clone();
        let builder = LogicalPlanBuilder::from(left.plan);
        let plan = match op {
            SetOperator::Union if all => build(builder.union(right.plan))?,
            SetOperator::Union => build(builder.union_distinct(right.plan))?,
            SetOperator::Intersect => LogicalPlanBuilder::intersect(
                builder.build().map_err(from_datafusion)?,
                right.plan,
                all,
            )
            .map_err(from_datafusion)?,
            SetOperator::Except | SetOperator::Minus => LogicalPlanBuilder::except(
                builder.build().map_err(from_datafusion)?,
                right.plan,
                all,
            )
            .map_err(from_datafusion)?,
        };
        // What comes out of several tables is no table's column.
        let columns = columns
            .into_iter()
            .zip(plan.schema().columns())
            .map(|(column, place)| RowsColumn { column: place, origin: None, ..column })
            .collect();
        Ok(Rows { plan, columns })
    }

    /// `VALUES (…), (…)`.
    pub(crate) fn values(
        &mut self,
        rows: &[&[ast::Expr]],
        expected: Option<&[PgType]>,
    ) -> Result<Rows> {
        let width = rows.first().map_or(0, |row| row.len());
        let mut columns: Vec<Vec<Typed>> =
            (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
        for row in rows {
            if row.len() != width {
                let span = row.first().map_or(Span::empty(), |expr| expr.span());
                let error =
                    Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length");
                return Err(self.at(error, span));
            }
            for (at, expr) in row.iter().enumerate() {
                let typed = self.in_place(Place::plain("VALUES"), |binder| binder.expr(expr))?;
                columns[at].push(typed);
            }
        }
        let mut kinds = Vec::with_capacity(width);
        let mut cells: Vec<std::vec::IntoIter<Expr>> = Vec::with_capacity(width);
        for (at, column) in columns.into_iter().enumerate() {
            let all_unknown = column.iter().all(Typed::is_unknown);
            let kind = match expected.and_then(|kinds| kinds.get(at)) {
                Some(kind) if all_unknown => kind.clone(),
                _ => self.common_type("VALUES", &column)?,
            };
            let cast = column
                .into_iter()
                .map(|typed| {
                    let typed = self.shaped(typed, &kind)?;
                    Ok(typed.expr)
                })
                .collect::<Result<Vec<_>>>()?;
            kinds.push(kind);
            cells.push(cast.into_iter());
        }
        let table: Vec<Vec<Expr>> =
            rows.iter().map(|_| cells.iter_mut().filter_map(Iterator::next).collect()).collect();
        let plan = build(LogicalPlanBuilder::values(table))?;
        let columns = kinds
            .into_iter()
            .enumerate()
            .zip(plan.schema().columns())
            .map(|((at, kind), column)| RowsColumn {
                name: format!("column{}", at + 1),
                kind,
                column,
                origin: None,
            })
            .collect();
        Ok(Rows { plan, columns })
    }
}

/// A plan that makes one row of no columns.
pub(crate) fn one_row() -> LogicalPlan {
    LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation {
        produce_one_row: true,
        schema: Arc::new(datafusion::common::DFSchema::empty()),
    })
}
