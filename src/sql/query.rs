//! Queries: WITH, set operations, VALUES, ORDER BY and LIMIT around them. SELECT itself is in
//! `select.rs`.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Cte, Place, build},
        coerce::{Reason, bare},
        error::from_datafusion,
        functions::call::call,
        tokens::fold,
        typed::{Rows, RowsColumn, Typed, unique},
        with,
    },
};
use arrow::datatypes::{Field, Schema};
use datafusion::{
    catalog::cte_worktable::CteWorkTable,
    common::{Column, ScalarValue},
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, expr::Sort as SortExpr},
    sql::sqlparser::{
        ast::{self, SetExpr, SetOperator, SetQuantifier, Spanned},
        tokenizer::Span,
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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

    /// A part of WITH.
    pub(crate) fn bind_cte(&mut self, cte: &ast::Cte, recursive: bool) -> Result<()> {
        let name = fold(&cte.alias.name);
        self.refuse_known_cte(&name, cte.alias.name.span)?;
        let names: Vec<String> =
            cte.alias.columns.iter().map(|column| fold(&column.name)).collect();
        let rows = match cte.query.body.as_ref() {
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right }
                if recursive && mentions(&cte.query, &name) =>
            {
                self.recursive(&name, &names, left, right, *set_quantifier)?
            }
            _ => {
                let rows = self.query(&cte.query, None)?;
                let rows = self.settle_rows(rows)?;
                rename_cte(rows, &names, &name)?
            }
        };
        if let Some(frame) = self.ctes.last_mut() {
            frame.insert(name, Cte { rows: Some(rows), part: None });
        }
        Ok(())
    }

    /// 42712 for a name that this WITH has already.
    pub(crate) fn refuse_known_cte(&self, name: &str, span: Span) -> Result<()> {
        if !self.ctes.last().is_some_and(|frame| frame.contains_key(name)) {
            return Ok(());
        }
        let error = Error::new(
            SqlState::DUPLICATE_ALIAS,
            format!("WITH query name \"{name}\" specified more than once"),
        );
        Err(self.at(error, span))
    }

    /// `WITH RECURSIVE name AS (start UNION [ALL] step)`.
    fn recursive(
        &mut self,
        name: &str,
        names: &[String],
        start: &SetExpr,
        step: &SetExpr,
        quantifier: SetQuantifier,
    ) -> Result<Rows> {
        let start = self.set_expr(start, None)?;
        let start = self.settle_rows(start)?;
        let start = rename_cte(start, names, name)?;
        // The work table's name is the plan's alone: two recursions may share SQL's.
        let table = self.qualifier(name);
        let start = self.named_columns(start)?;
        let start = self.unlabelled(start)?;
        let schema = Schema::new(
            start
                .columns
                .iter()
                .map(|c| Field::new(&c.column.name, c.kind.arrow(), true))
                .collect::<Vec<_>>(),
        );
        let work = Arc::new(CteWorkTable::new(&table, Arc::new(schema)));
        let scan = build(LogicalPlanBuilder::scan(table.as_str(), provider_as_source(work), None))?;
        let columns = start
            .columns
            .iter()
            .map(|column| RowsColumn {
                column: Column::new(Some(table.as_str()), &column.column.name),
                ..column.clone()
            })
            .collect();
        let mut frame = HashMap::new();
        let rows = Some(Rows { plan: scan, columns });
        frame.insert(name.to_owned(), Cte { rows, part: None });
        self.ctes.push(frame);
        let kinds: Vec<PgType> = start.columns.iter().map(|column| column.kind.clone()).collect();
        let step = self.set_expr(step, Some(&kinds));
        self.ctes.pop();
        let step = self.cast_rows(step?, &kinds, "UNION")?;
        let step = self.named_as(step, &start)?;
        let step = self.unlabelled(step)?;
        let distinct = !matches!(quantifier, SetQuantifier::All);
        let plan = build(LogicalPlanBuilder::from(start.plan.clone()).to_recursive_query(
            table.clone(),
            step.plan,
            distinct,
        ))?;
        Ok(Rows { plan, columns: start.columns })
    }

    fn set_expr(&mut self, body: &SetExpr, expected: Option<&[PgType]>) -> Result<Rows> {
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

    /// ORDER BY around a set operation: by output columns alone.
    fn order_rows(&mut self, rows: Rows, order: &[ast::OrderByExpr]) -> Result<Rows> {
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
            if clause.with_ties || clause.percent {
                return Err(Error::unsupported("FETCH … WITH TIES is not supported"));
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

    // Shapes of rows.

    /// Columns that are still untyped become text.
    pub(crate) fn settle_rows(&mut self, rows: Rows) -> Result<Rows> {
        if rows.columns.iter().all(|column| column.kind != PgType::Unknown) {
            return Ok(rows);
        }
        let columns = rows.columns.into_iter().map(|column| match column.kind {
            PgType::Unknown => RowsColumn { kind: PgType::Text, ..column },
            _ => column,
        });
        Ok(Rows { plan: rows.plan, columns: columns.collect() })
    }

    /// Columns as other types.
    pub(crate) fn cast_rows(&mut self, rows: Rows, kinds: &[PgType], what: &str) -> Result<Rows> {
        let same = rows.columns.iter().zip(kinds).all(|(column, kind)| column.kind == *kind);
        if same {
            return Ok(rows);
        }
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        let mut taken = HashSet::new();
        for (column, kind) in rows.columns.into_iter().zip(kinds) {
            let typed = Typed::new(Expr::Column(column.column.clone()), column.kind.clone());
            let typed = self.shaped(typed, kind).map_err(|_| {
                Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "{what} types {} and {} cannot be matched",
                        bare(&column.kind),
                        bare(kind)
                    ),
                )
            })?;
            let name = unique(&mut taken, &column.name);
            exprs.push(typed.expr.alias(&name));
            columns.push(RowsColumn {
                column: Column::new_unqualified(name),
                kind: kind.clone(),
                ..column
            });
        }
        let plan = build(LogicalPlanBuilder::from(rows.plan).project(exprs))?;
        Ok(Rows { plan, columns })
    }

    /// Columns without qualifiers, each name there once.
    pub(crate) fn named_columns(&mut self, rows: Rows) -> Result<Rows> {
        let mut taken = HashSet::new();
        let names: Vec<String> = rows.columns.iter().map(|c| unique(&mut taken, &c.name)).collect();
        project_as(rows, &names)
    }

    /// Columns whose fields say nothing but their Arrow type: both parts of a recursion must be
    /// alike in all that a field says.
    fn unlabelled(&mut self, rows: Rows) -> Result<Rows> {
        let plan = self.without_labels(rows.plan)?;
        Ok(Rows { plan, ..rows })
    }

    /// The plan with fields that say nothing but their Arrow type.
    pub(crate) fn without_labels(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let exprs: Vec<Expr> = plan
            .schema()
            .iter()
            .map(|(qualifier, field)| {
                let kind = PgType::of_field(field);
                let plain = self
                    .own("plain", vec![kind.clone()], kind, |args| Ok(Arc::clone(&args.arrays[0])));
                let column = Expr::Column(Column::from((qualifier, field)));
                call(plain, vec![column]).alias(field.name())
            })
            .collect();
        build(LogicalPlanBuilder::from(plan).project(exprs))
    }

    /// Columns under the names of another's.
    fn named_as(&mut self, rows: Rows, other: &Rows) -> Result<Rows> {
        let names: Vec<String> = other.columns.iter().map(|c| c.column.name.clone()).collect();
        project_as(rows, &names)
    }
}

fn project_as(rows: Rows, names: &[String]) -> Result<Rows> {
    let done = rows
        .columns
        .iter()
        .zip(names)
        .all(|(c, name)| c.column.relation.is_none() && c.column.name == *name)
        && rows.plan.schema().fields().len() == rows.columns.len();
    if done {
        return Ok(rows);
    }
    let exprs: Vec<Expr> = rows
        .columns
        .iter()
        .zip(names)
        .map(|(column, name)| Expr::Column(column.column.clone()).alias(name))
        .collect();
    let plan = build(LogicalPlanBuilder::from(rows.plan).project(exprs))?;
    let columns = rows
        .columns
        .into_iter()
        .zip(names)
        .map(|(column, name)| RowsColumn {
            column: Column::new_unqualified(name.clone()),
            ..column
        })
        .collect();
    Ok(Rows { plan, columns })
}

/// Columns under the names that an alias gives them.
pub(crate) fn rename(rows: Rows, names: &[String], alias: &str) -> Result<Rows> {
    if names.len() > rows.columns.len() {
        return Err(Error::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            format!(
                "table \"{alias}\" has {} columns available but {} columns specified",
                rows.columns.len(),
                names.len()
            ),
        ));
    }
    let mut columns = rows.columns;
    for (column, name) in columns.iter_mut().zip(names) {
        column.name.clone_from(name);
    }
    Ok(Rows { plan: rows.plan, columns })
}

/// The rows of a part of WITH under the names that it gives its columns.
pub(crate) fn rename_cte(rows: Rows, names: &[String], name: &str) -> Result<Rows> {
    let columns = rows.columns.len();
    if names.len() <= columns {
        return rename(rows, names, name);
    }
    let given = names.len();
    Err(Error::new(
        SqlState::INVALID_COLUMN_REFERENCE,
        format!(
            "WITH query \"{name}\" has {columns} columns available but {given} columns specified"
        ),
    ))
}

/// A sort key: NULL is greater than everything.
pub(crate) fn sort(expr: Expr, options: &ast::OrderByOptions) -> SortExpr {
    let asc = options.asc.unwrap_or(true);
    SortExpr::new(expr, asc, options.nulls_first.unwrap_or(!asc))
}

/// Whether a query names a relation.
pub(crate) fn mentions(query: &ast::Query, name: &str) -> bool {
    // Its own text tells: a name that is only a column's costs no more than a work table.
    let text = query.to_string().to_lowercase();
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && !part(after)
    })
}

/// A plan that makes one row of no columns.
pub(crate) fn one_row() -> LogicalPlan {
    LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation {
        produce_one_row: true,
        schema: Arc::new(datafusion::common::DFSchema::empty()),
    })
}
