//! UPDATE, DELETE, and the rows that a locking query lets through.

use super::{exact, images::Known, is_default};
use crate::{
    catalog::{Column as TableColumn, Identity, Privileges, Table},
    error::{Error, Result, SqlState},
    ids::ColumnId,
    sql::{
        Delete, Hidden, Plan, ROW_COLUMN, Update,
        binder::{Binder, Place, build},
        cursor::Cursor,
        from::offered,
        generated::{KnownRow, Replaced, refuse_value},
        needs::Mention,
        subquery::row_of,
        tokens::fold,
        typed::{Rows, ScopeColumn, Typed, unique},
    },
};
use datafusion::{
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::ast::{self, Spanned},
};
use std::{collections::HashSet, sync::Arc};

impl Binder<'_> {
    /// `__row` and the whole new row, of rows that a condition lets through, and behind it what
    /// comes along for RETURNING. The scope is there; `proposed` is the name of a row in it that was
    /// to be inserted.
    pub(super) fn changed_row(
        &mut self,
        (table, mention): (&Arc<Table>, Mention),
        (visible, proposed): (&str, Option<&str>),
        (mut plan, row): (LogicalPlan, Expr),
        assignments: &[ast::Assignment],
        selection: Option<&ast::Expr>,
        along: &[ScopeColumn],
    ) -> Result<(LogicalPlan, Vec<ColumnId>)> {
        if let Some(condition) = selection {
            let place = Place::filter("WHERE");
            let (joined, condition, _) = self.with_subqueries(plan, |binder| {
                binder.in_place(place, |binder| binder.boolean(condition, "WHERE"))
            })?;
            plan = build(LogicalPlanBuilder::from(joined).filter(condition))?;
        }
        let (plan, new, _) =
            self.with_subqueries(plan, |binder| binder.assignments(table, visible, assignments))?;
        let mut exprs = vec![row.alias(ROW_COLUMN)];
        let mut taken = HashSet::from([ROW_COLUMN.to_owned()]);
        for column in &table.columns {
            let expr = match new.iter().find(|(id, _)| *id == column.id) {
                Some((_, typed)) => {
                    let typed = self.for_column(typed.clone(), column)?;
                    exact(typed, &column.kind)
                }
                None => self.old_value(visible, column)?,
            };
            exprs.push(expr.alias(unique(&mut taken, &column.name)));
        }
        for column in along {
            exprs.push(column.expr.clone().alias(unique(&mut taken, &column.name)));
        }
        let set: Vec<ColumnId> = new.iter().map(|(id, _)| *id).collect();
        self.needs.update(mention, set.iter().copied());
        let mut replaced = Replaced { set, known: Vec::new() };
        // What models make is made anew only where no row has it already.
        if table.columns.iter().any(|column| !column.models.is_empty()) {
            let proposed = proposed.map(|name| (name, false));
            for (name, is_old) in [(visible, true)].into_iter().chain(proposed) {
                let mut values = Vec::new();
                for column in &table.columns {
                    let Some(value) = self.value_in_sight(name, column) else { continue };
                    let name = unique(&mut taken, &column.name);
                    exprs.push(value.alias(&name));
                    values.push((column.id, name));
                }
                replaced.known.push(KnownRow { values, is_old });
            }
        }
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        let plan = self.with_generated(table, plan, 1, Some(&replaced))?;
        let generated = table.columns.iter().filter(|column| column.generated.is_some());
        let changed = new.into_iter().map(|(id, _)| id).chain(generated.map(|column| column.id));
        Ok((plan, changed.collect()))
    }

    /// The value that a column had.
    fn old_value(&self, visible: &str, column: &TableColumn) -> Result<Expr> {
        self.value_in_sight(visible, column)
            .ok_or_else(|| Error::internal("a row's old column is in sight"))
    }

    /// The value of a column in a row that the scope offers under a name.
    fn value_in_sight(&self, row: &str, column: &TableColumn) -> Option<Expr> {
        let is_it = |c: &&ScopeColumn| c.table.as_deref() == Some(row) && c.name == column.name;
        let found = self.scopes.last().and_then(|scope| scope.iter().find(is_it));
        found.map(|column| column.expr.clone())
    }

    /// SET: columns and their new values.
    fn assignments(
        &mut self,
        table: &Arc<Table>,
        visible: &str,
        assignments: &[ast::Assignment],
    ) -> Result<Vec<(ColumnId, Typed)>> {
        let mut new: Vec<(ColumnId, Typed)> = Vec::new();
        // Columns of which parts are assigned: each part to what the one before made.
        let mut in_parts: Vec<ColumnId> = Vec::new();
        let mut put = |binder: &mut Self, name: &ast::ObjectName, value: Value<'_>| {
            let parts: Vec<&ast::Ident> =
                name.0.iter().filter_map(|part| part.as_ident()).collect();
            // `SET t.a = 1` is an error in PostgreSQL, whose first part would be the column.
            let Some(ident) = parts.first() else {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "SET takes a column's name"));
            };
            let column =
                table.expect_column(&fold(ident)).map_err(|error| binder.at(error, ident.span))?;
            let subscripts = binder.subscripts(ident)?;
            if let Some(subscripts) = &subscripts {
                let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
                refuse_value(column, message)?;
                let before = new.iter().position(|(id, _)| *id == column.id);
                let old = match before {
                    Some(at) if in_parts.contains(&column.id) => new.remove(at).1,
                    Some(_) => return Err(binder.at(assigned_twice(column), ident.span)),
                    None => {
                        let old = binder.old_value(visible, column)?;
                        Typed::new(old, column.kind.clone())
                    }
                };
                let part = match value {
                    Value::Typed(typed) => typed,
                    Value::Expr(value) => {
                        binder.in_place(Place::plain("UPDATE"), |binder| binder.expr(value))?
                    }
                };
                let typed = binder.replaced_part(column, old, subscripts, part, ident.span)?;
                in_parts.push(column.id);
                new.push((column.id, typed));
                return Ok(());
            }
            if new.iter().any(|(id, _)| *id == column.id) {
                return Err(binder.at(assigned_twice(column), ident.span));
            }
            let typed = match value {
                Value::Expr(expr) if is_default(expr) => binder.default(table, column)?,
                Value::Expr(expr) => {
                    let message =
                        format!("column \"{}\" can only be updated to DEFAULT", column.name);
                    refuse_value(column, message)?;
                    if column.identity == Some(Identity::Always) {
                        return Err(Error::new(
                            SqlState::new(b"428C9"),
                            format!("column \"{}\" can only be updated to DEFAULT", column.name),
                        )
                        .detail(format!(
                            "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                            column.name
                        )));
                    }
                    let typed =
                        binder.in_place(Place::plain("UPDATE"), |binder| binder.expr(expr))?;
                    binder.assign(typed, column)?
                }
                Value::Typed(typed) => {
                    let message =
                        format!("column \"{}\" can only be updated to DEFAULT", column.name);
                    refuse_value(column, message)?;
                    binder.assign(typed, column)?
                }
            };
            new.push((column.id, typed));
            Ok(())
        };
        for assignment in assignments {
            match &assignment.target {
                ast::AssignmentTarget::ColumnName(name) => {
                    put(self, name, Value::Expr(&assignment.value))?;
                }
                ast::AssignmentTarget::Tuple(names) => {
                    let mut value = &assignment.value;
                    while let ast::Expr::Nested(inner) = value {
                        value = inner;
                    }
                    match value {
                        ast::Expr::Subquery(query) => {
                            for (at, name) in names.iter().enumerate() {
                                let one = self.column_of_query(query, at, names.len())?;
                                put(self, name, Value::Typed(one))?;
                            }
                        }
                        row if row_of(row).is_some_and(|row| row.len() == names.len()) => {
                            let values = row_of(row).unwrap_or_default();
                            for (name, value) in names.iter().zip(&values) {
                                put(self, name, Value::Expr(value))?;
                            }
                        }
                        single if names.len() == 1 => put(self, &names[0], Value::Expr(single))?,
                        _ => {
                            let error = Error::new(
                                SqlState::SYNTAX_ERROR,
                                "number of columns does not match number of values",
                            );
                            return Err(self.at(error, assignment.value.span()));
                        }
                    }
                }
            }
        }
        Ok(new)
    }

    /// The subscripts that were written behind a column of SET.
    fn subscripts(&self, ident: &ast::Ident) -> Result<Option<Vec<ast::AccessExpr>>> {
        let Some(source) = self.source else { return Ok(None) };
        let Some(tokens) = source.subscripts(ident.span.start) else { return Ok(None) };
        let mut cursor = Cursor::new(source, tokens);
        let (whole, _) = cursor.expression()?;
        cursor.finish()?;
        match whole {
            ast::Expr::CompoundFieldAccess { access_chain, .. } => Ok(Some(access_chain)),
            _ => Err(Error::internal("subscripts stand behind a column")),
        }
    }

    /// One column of `(SELECT a, b …)`, as a subquery of its own.
    fn column_of_query(&mut self, query: &ast::Query, at: usize, width: usize) -> Result<Typed> {
        let mut one = query.clone();
        let ast::SetExpr::Select(select) = one.body.as_mut() else {
            return Err(Error::unsupported("SET (…) = (…) takes a plain SELECT"));
        };
        if select.projection.len() != width {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "number of columns does not match number of values",
            ));
        }
        select.projection = vec![select.projection[at].clone()];
        self.scalar_subquery(&one)
    }

    pub(crate) fn update(&mut self, update: &ast::Update) -> Result<Update> {
        if update.or.is_some() || update.limit.is_some() || !update.order_by.is_empty() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "UPDATE takes neither ORDER BY nor LIMIT",
            ));
        }
        let (table, alias) = self.target(&update.table)?;
        let visible = alias.as_ref().map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let from: &[ast::TableWithJoins] = match &update.from {
            Some(
                ast::UpdateTableFromKind::AfterSet(from)
                | ast::UpdateTableFromKind::BeforeSet(from),
            ) => from,
            None => &[],
        };
        let mention = self.needs.mention(table.id, Privileges::UPDATE);
        let (plan, row) = self.target_with((&table, mention), alias.as_ref(), from)?;
        let along = self.along(update.returning.is_some());
        let made = self.changed_row(
            (&table, mention),
            (&visible, None),
            (plan, row),
            &update.assignments,
            update.selection.as_ref(),
            &along,
        );
        self.scopes.pop();
        let (source, changed) = made?;
        let list = update.returning.as_deref();
        let (returning, source) = self.returning_along(
            (&table, mention),
            (&visible, Known::Updated),
            list,
            &along,
            source,
        )?;
        let source = Plan::new(source);
        Ok(Update { table, source, changed, returning, parameters: self.parameter_types() })
    }

    pub(crate) fn delete(&mut self, delete: &ast::Delete) -> Result<Delete> {
        if !delete.order_by.is_empty() || delete.limit.is_some() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "DELETE takes neither ORDER BY nor LIMIT",
            )
            .hint("Use DELETE … WHERE key IN (SELECT key … ORDER BY … LIMIT …)."));
        }
        let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) =
            &delete.from;
        let [one] = tables.as_slice() else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "DELETE takes one table"));
        };
        let (table, alias) = self.target(one)?;
        let visible = alias.as_ref().map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let using: &[ast::TableWithJoins] = delete.using.as_deref().unwrap_or(&[]);
        let mention = self.needs.mention(table.id, Privileges::DELETE);
        let (mut plan, row) = self.target_with((&table, mention), alias.as_ref(), using)?;
        if let Some(condition) = &delete.selection {
            let filtered = self.with_subqueries(plan, |binder| {
                binder.in_place(Place::filter("WHERE"), |binder| binder.boolean(condition, "WHERE"))
            });
            let (joined, condition, _) = filtered?;
            plan = build(LogicalPlanBuilder::from(joined).filter(condition))?;
        }
        let along = self.along(delete.returning.is_some());
        self.scopes.pop();
        let mut exprs = vec![row.alias(ROW_COLUMN)];
        let mut taken = HashSet::from([ROW_COLUMN.to_owned()]);
        for column in &along {
            exprs.push(column.expr.clone().alias(unique(&mut taken, &column.name)));
        }
        let source = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        let list = delete.returning.as_deref();
        let (returning, source) = self.returning_along(
            (&table, mention),
            (&visible, Known::Deleted),
            list,
            &along,
            source,
        )?;
        let source = Plan::new(source);
        Ok(Delete { table, source, returning, parameters: self.parameter_types() })
    }

    fn target(
        &self,
        target: &ast::TableWithJoins,
    ) -> Result<(Arc<Table>, Option<ast::TableAlias>)> {
        let ast::TableFactor::Table { name, alias, .. } = &target.relation else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "a change of rows takes a table"));
        };
        Ok((self.table(&self.object_name(name)?)?, alias.clone()))
    }

    /// The table with its rows' numbers, joined with the rest of FROM. Its scope is pushed.
    pub(super) fn target_with(
        &mut self,
        (table, mention): (&Arc<Table>, Mention),
        alias: Option<&ast::TableAlias>,
        from: &[ast::TableWithJoins],
    ) -> Result<(LogicalPlan, Expr)> {
        let visible = alias.map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let qualifier = self.qualifier(&visible);
        let rows = self.scan(table, Hidden::RowId, &qualifier)?;
        let (mut plan, mut columns) = offered(rows, alias, &visible, None, table.id)?;
        self.needs.offer(mention, &columns, table.columns.iter().map(|column| column.id));
        let row = columns
            .iter()
            .find(|column| column.name == ROW_COLUMN)
            .map(|column| column.expr.clone())
            .ok_or_else(|| Error::internal("a table's source has row numbers where asked"))?;
        if !from.is_empty() {
            let (more, others) = self.parts_of_from(from)?;
            plan = build(LogicalPlanBuilder::from(plan).cross_join(more))?;
            columns.extend(others);
        }
        self.scopes.push(columns);
        Ok((plan, row))
    }

    /// The rows that a locking query lets through, as numbers.
    pub(crate) fn rows_to_lock(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&ast::TableAlias>,
        select: &ast::Select,
        query: &ast::Query,
        limited: bool,
    ) -> Result<LogicalPlan> {
        let mention = self.needs.mention(table.id, Privileges::UPDATE);
        let (plan, row) = self.target_with((table, mention), alias, &[])?;
        let made = self.locked_plan(plan, row, select, query, limited);
        self.scopes.pop();
        made
    }

    fn locked_plan(
        &mut self,
        mut plan: LogicalPlan,
        row: Expr,
        select: &ast::Select,
        query: &ast::Query,
        limited: bool,
    ) -> Result<LogicalPlan> {
        if let Some(condition) = &select.selection {
            let place = Place::filter("WHERE");
            let (joined, condition, _) = self.with_subqueries(plan, |binder| {
                binder.in_place(place, |binder| binder.boolean(condition, "WHERE"))
            })?;
            plan = build(LogicalPlanBuilder::from(joined).filter(condition))?;
        }
        if let (true, Some(order)) = (limited, &query.order_by)
            && let ast::OrderByKind::Expressions(order) = &order.kind
        {
            let mut sorts = Vec::new();
            for by in order {
                let typed =
                    self.in_place(Place::plain("ORDER BY"), |binder| binder.expr(&by.expr))?;
                sorts.push(crate::sql::order::sort(typed.expr, &by.options));
            }
            plan = build(LogicalPlanBuilder::from(plan).sort(sorts))?;
        }
        let plan = build(LogicalPlanBuilder::from(plan).project([row.alias(ROW_COLUMN)]))?;
        let rows = Rows { plan, columns: Vec::new() };
        Ok(self.limited(rows, query)?.plan)
    }
}

fn assigned_twice(column: &TableColumn) -> Error {
    let what = format!("multiple assignments to same column \"{}\"", column.name);
    Error::new(SqlState::SYNTAX_ERROR, what)
}

enum Value<'v> {
    Expr(&'v ast::Expr),
    Typed(Typed),
}
