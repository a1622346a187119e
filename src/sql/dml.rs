//! INSERT, UPDATE, DELETE and COPY FROM: plans whose rows storage can take as they are.

use crate::{
    catalog::{Column as TableColumn, Identity, Table},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::PgType,
    sql::{
        ConflictAction, CopyDirection, Delete, Hidden, Insert, OnConflict, Plan, ROW_COLUMN,
        Returning, Slot, Update,
        bind::refuse_duplicates,
        binder::{Binder, Place, build},
        coerce::{Reason, bare},
        from::offered,
        functions::{call::call, pg},
        generated::{refuse_copy, refuse_value},
        parse::parse_expression,
        query::one_row,
        tokens::{Overriding, fold},
        typed::{Hiding, Rows, ScopeColumn, Typed, unique},
        utility::Name,
    },
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::{
        Column, ScalarValue,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, expr::Cast},
    sql::sqlparser::{
        ast::{self, Spanned},
        tokenizer::Span,
    },
};
use std::{collections::HashSet, sync::Arc};

impl Binder<'_> {
    // INSERT.

    pub(crate) fn insert(&mut self, insert: &ast::Insert) -> Result<Insert> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT takes a table's name"));
        };
        if insert.overwrite
            || insert.or.is_some()
            || insert.replace_into
            || !insert.assignments.is_empty()
        {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "this form of INSERT is not SQL"));
        }
        let table = self.table(&self.object_name(name)?)?;
        let targets = self.targets(&table, &insert.columns)?;
        let place = insert.insert_token.0.span.start;
        self.overriding = self.source.and_then(|source| source.overriding(place));
        let source = match &insert.source {
            None => self.default_values(&table)?,
            Some(query) => {
                self.insert_source(&table, &targets, query, !insert.columns.is_empty())?
            }
        };
        let alias = insert.table_alias.as_ref().map(|alias| fold(&alias.alias));
        let on_conflict = match &insert.on {
            Some(ast::OnInsert::OnConflict(on)) => {
                Some(self.on_conflict(&table, alias.as_deref(), on)?)
            }
            Some(_) => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "ON DUPLICATE KEY is not SQL")
                    .hint("Use ON CONFLICT … DO UPDATE."));
            }
            None => None,
        };
        let list = insert.returning.as_deref();
        let returning = self.returning(&table, alias.as_deref(), list, &[])?;
        let source = Plan::new(source);
        Ok(Insert { table, source, on_conflict, returning, parameters: self.parameter_types() })
    }

    /// The columns that an INSERT names, or all.
    fn targets(&self, table: &Table, columns: &[ast::ObjectName]) -> Result<Vec<ColumnId>> {
        if columns.is_empty() {
            return Ok(table.columns.iter().map(|column| column.id).collect());
        }
        let mut targets = Vec::new();
        for column in columns {
            let name = self.object_name(column)?.name;
            let id = table.expect_column(&name).map_err(|error| self.at(error, column.span()))?.id;
            if targets.contains(&id) {
                let error = Error::new(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column \"{name}\" specified more than once"),
                );
                return Err(self.at(error, column.span()));
            }
            targets.push(id);
        }
        Ok(targets)
    }

    fn insert_source(
        &mut self,
        table: &Arc<Table>,
        targets: &[ColumnId],
        query: &ast::Query,
        named: bool,
    ) -> Result<LogicalPlan> {
        let kinds: Vec<PgType> = targets
            .iter()
            .filter_map(|id| table.column_by_id(*id))
            .map(|column| column.kind.clone())
            .collect();
        let plain = query.with.is_none()
            && query.order_by.is_none()
            && query.limit_clause.is_none()
            && query.fetch.is_none();
        if let (ast::SetExpr::Values(values), true) = (query.body.as_ref(), plain) {
            return self.insert_values(table, targets, values, named);
        }
        let rows = self.query(query, Some(&kinds))?;
        self.check_width(rows.columns.len(), targets.len(), named, query.span())?;
        let targets = &targets[..rows.columns.len()];
        for id in targets {
            self.refuse_generated(table, *id)?;
        }
        let given = rows
            .columns
            .iter()
            .map(|c| Typed::new(Expr::Column(c.column.clone()), c.kind.clone()))
            .collect();
        self.whole_rows(table, rows.plan, targets, given)
    }

    /// `VALUES` of an INSERT: each value is of its column, DEFAULT among them.
    fn insert_values(
        &mut self,
        table: &Arc<Table>,
        targets: &[ColumnId],
        values: &ast::Values,
        named: bool,
    ) -> Result<LogicalPlan> {
        let mut table_rows: Vec<Vec<Expr>> = Vec::with_capacity(values.rows.len());
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut kinds: Vec<PgType> = Vec::new();
        for row in &values.rows {
            let row = &row.content;
            if row.len() != width {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    "VALUES lists must all be the same length",
                ));
            }
            let span = row.first().map_or(Span::empty(), |expr| expr.span());
            self.check_width(row.len(), targets.len(), named, span)?;
            let mut cells = Vec::with_capacity(row.len());
            kinds.clear();
            for (expr, id) in row.iter().zip(targets) {
                let column = column_of(table, *id)?;
                let typed = if is_default(expr) {
                    self.default(table, column)?
                } else {
                    self.refuse_generated(table, *id)?;
                    let typed =
                        self.in_place(Place::plain("VALUES"), |binder| binder.expr(expr))?;
                    self.assign(typed, column)?
                };
                cells.push(exact(typed, &column.kind));
                kinds.push(column.kind.clone());
            }
            table_rows.push(cells);
        }
        if let [row] = table_rows.as_mut_slice() {
            let cells = std::mem::take(row).into_iter().zip(kinds);
            let given = cells.map(|(cell, kind)| Typed::new(cell, kind)).collect();
            return self.whole_rows(table, one_row(), &targets[..width], given);
        }
        let plan = build(LogicalPlanBuilder::values(table_rows))?;
        let given = plan
            .schema()
            .columns()
            .into_iter()
            .zip(kinds)
            .map(|(column, kind)| Typed::new(Expr::Column(column), kind))
            .collect();
        self.whole_rows(table, plan, &targets[..width], given)
    }

    fn check_width(&self, given: usize, targets: usize, named: bool, span: Span) -> Result<()> {
        let message = if given > targets {
            "INSERT has more expressions than target columns"
        } else if given < targets && named {
            "INSERT has more target columns than expressions"
        } else {
            return Ok(());
        };
        Err(self.at(Error::new(SqlState::SYNTAX_ERROR, message), span))
    }

    fn default_values(&mut self, table: &Arc<Table>) -> Result<LogicalPlan> {
        self.whole_rows(table, one_row(), &[], Vec::new())
    }

    /// Rows of the table from what is given of them.
    fn whole_rows(
        &mut self,
        table: &Arc<Table>,
        plan: LogicalPlan,
        targets: &[ColumnId],
        given: Vec<Typed>,
    ) -> Result<LogicalPlan> {
        let exprs = self.full_row(table, targets, given)?;
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        self.with_generated(table, plan, 0)
    }

    /// An expression for each column of the table: what is given, else the default.
    fn full_row(
        &mut self,
        table: &Arc<Table>,
        targets: &[ColumnId],
        given: Vec<Typed>,
    ) -> Result<Vec<Expr>> {
        let mut exprs = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let is_ignored = column.identity.is_some() && self.overriding == Some(Overriding::User);
            let place = targets.iter().position(|id| *id == column.id && !is_ignored);
            let typed = match place.and_then(|at| given.get(at)) {
                Some(typed) => self.assign(typed.clone(), column)?,
                None => self.default(table, column)?,
            };
            exprs.push(exact(typed, &column.kind).alias(&column.name));
        }
        Ok(exprs)
    }

    /// A value for a column.
    fn assign(&mut self, typed: Typed, column: &TableColumn) -> Result<Typed> {
        let kind = typed.kind.clone();
        let position = typed.position;
        self.coerce(typed, &column.kind, Reason::Assignment).map_err(|error| {
            if error.state() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            let error = Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" is of type {} but expression is of type {}",
                    column.name,
                    bare(&column.kind),
                    bare(&kind)
                ),
            )
            .hint("You will need to rewrite or cast the expression.");
            super::coerce::at(error, position)
        })
    }

    /// The value of a column that the statement is silent about.
    pub(crate) fn default(&mut self, table: &Table, column: &TableColumn) -> Result<Typed> {
        if let Some(sequence) = column.sequence
            && (column.identity.is_some() || column.default.is_none())
        {
            let next = self.next_value(sequence)?;
            return self.coerce(next, &column.kind, Reason::Assignment);
        }
        // What is generated is computed once the rest of the row is there.
        let Some(text) = column.default.as_ref().filter(|_| column.generated.is_none()) else {
            let null = ScalarValue::try_from(&column.kind.arrow())
                .map_err(super::error::from_datafusion)?;
            return Ok(Typed::literal(null, column.kind.clone()));
        };
        let expr = parse_expression(text)?;
        let typed = self.apart(|binder| {
            let place = Place::plain("DEFAULT expressions");
            binder.in_place(place, |binder| binder.expr(&expr))
        })?;
        self.assign(typed, column).map_err(|error| {
            error.context(format!("default of column \"{}\" of \"{}\"", column.name, table.name))
        })
    }

    /// `nextval` of a sequence that a column owns.
    fn next_value(&mut self, sequence: Oid) -> Result<Typed> {
        let function = self.system_functions.get("nextval").cloned();
        let function = match function {
            Some(function) => function,
            None => pg::functions(self.context)
                .into_iter()
                .find(|function| function.name() == "nextval")
                .ok_or_else(|| Error::internal("there is no nextval"))?,
        };
        let oid = Expr::Literal(ScalarValue::UInt32(Some(sequence.0)), None);
        Ok(Typed::new(call(function, vec![oid]), PgType::Int8))
    }

    fn refuse_generated(&self, table: &Table, id: ColumnId) -> Result<()> {
        let column = column_of(table, id)?;
        let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
        refuse_value(column, message)?;
        if column.identity != Some(Identity::Always) || self.overriding.is_some() {
            return Ok(());
        }
        Err(Error::new(
            SqlState::new(b"428C9"),
            format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
        )
        .detail(format!(
            "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
            column.name
        ))
        .hint("Use OVERRIDING SYSTEM VALUE to override."))
    }

    // ON CONFLICT.

    fn on_conflict(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&str>,
        on: &ast::OnConflict,
    ) -> Result<OnConflict> {
        let constraint = match &on.conflict_target {
            None => None,
            Some(ast::ConflictTarget::Columns(columns)) => Some(self.key_of(table, columns)?),
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                let name = self.object_name(name)?.name;
                let key = table.keys().find(|(key, _)| key.name == name);
                let Some((key, _)) = key else {
                    return Err(Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "constraint \"{name}\" for table \"{}\" does not exist",
                            table.name
                        ),
                    ));
                };
                Some(key.id)
            }
        };
        let action = match &on.action {
            ast::OnConflictAction::DoNothing => ConflictAction::Nothing,
            ast::OnConflictAction::DoUpdate(update) => {
                if constraint.is_none() {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                    )
                    .hint("For example, ON CONFLICT (column_name)."));
                }
                self.conflict_update(table, alias, update)?
            }
        };
        Ok(OnConflict { constraint, action })
    }

    fn key_of(&self, table: &Table, columns: &[ast::Ident]) -> Result<Oid> {
        let mut wanted = HashSet::new();
        for ident in columns {
            let column =
                table.expect_column(&fold(ident)).map_err(|error| self.at(error, ident.span))?;
            wanted.insert(column.id);
        }
        let matches = |key: &[ColumnId]| {
            key.len() == wanted.len() && key.iter().all(|id| wanted.contains(id))
        };
        table.keys().find(|(_, key)| matches(key)).map(|(key, _)| key.id).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            )
        })
    }

    fn conflict_update(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&str>,
        update: &ast::DoUpdate,
    ) -> Result<ConflictAction> {
        let mut fields: Vec<Field> =
            table.columns.iter().map(|column| column.kind.field(&column.name, true)).collect();
        fields.push(Field::new(ROW_COLUMN, DataType::UInt64, false));
        for column in &table.columns {
            fields.push(column.kind.field(&format!("excluded.{}", column.name), true));
        }
        let (input, plan) = self.slot(Arc::new(Schema::new(fields)), "conflict")?;
        let visible = alias.unwrap_or(&table.name);
        let places = plan.schema().columns();
        let width = table.columns.len();
        let mut scope = Vec::new();
        for (offset, name) in [(0, visible), (width + 1, "excluded")] {
            for (at, column) in table.columns.iter().enumerate() {
                scope.push(ScopeColumn {
                    table: Some(name.to_owned()),
                    schema: None,
                    name: column.name.clone(),
                    kind: column.kind.clone(),
                    expr: Expr::Column(places[offset + at].clone()),
                    origin: None,
                    // A bare name is the table's, never the excluded row's.
                    hidden: if offset == 0 { Hiding::Not } else { Hiding::Merged },
                });
            }
        }
        let row = Expr::Column(places[width].clone());
        self.scopes.push(scope);
        let made = self.changed_row(
            table,
            visible,
            (plan, row),
            &update.assignments,
            update.selection.as_ref(),
            &[],
        );
        self.scopes.pop();
        let (plan, changed) = made?;
        Ok(ConflictAction::Update { input, plan: Plan::new(plan), changed })
    }

    /// `__row` and the whole new row, of rows that a condition lets through, and behind it what
    /// comes along for RETURNING. The scope is there.
    fn changed_row(
        &mut self,
        table: &Arc<Table>,
        visible: &str,
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
            self.with_subqueries(plan, |binder| binder.assignments(table, assignments))?;
        let mut exprs = vec![row.alias(ROW_COLUMN)];
        let mut taken = HashSet::from([ROW_COLUMN.to_owned()]);
        for column in &table.columns {
            let expr = match new.iter().find(|(id, _)| *id == column.id) {
                Some((_, typed)) => exact(typed.clone(), &column.kind),
                None => {
                    let old = self.scopes.last().and_then(|scope| {
                        scope
                            .iter()
                            .find(|c| c.table.as_deref() == Some(visible) && c.name == column.name)
                    });
                    old.map(|column| column.expr.clone())
                        .ok_or_else(|| Error::internal("a row's old column is in sight"))?
                }
            };
            exprs.push(expr.alias(unique(&mut taken, &column.name)));
        }
        for column in along {
            exprs.push(column.expr.clone().alias(unique(&mut taken, &column.name)));
        }
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        let plan = self.with_generated(table, plan, 1)?;
        let generated = table.columns.iter().filter(|column| column.generated.is_some());
        let changed = new.into_iter().map(|(id, _)| id).chain(generated.map(|column| column.id));
        Ok((plan, changed.collect()))
    }

    /// SET: columns and their new values.
    fn assignments(
        &mut self,
        table: &Arc<Table>,
        assignments: &[ast::Assignment],
    ) -> Result<Vec<(ColumnId, Typed)>> {
        let mut new: Vec<(ColumnId, Typed)> = Vec::new();
        let mut put = |binder: &mut Self, name: &ast::ObjectName, value: Value<'_>| {
            let parts: Vec<&ast::Ident> =
                name.0.iter().filter_map(|part| part.as_ident()).collect();
            // `SET t.a = 1` is an error in PostgreSQL, whose first part would be the column.
            let Some(ident) = parts.first() else {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "SET takes a column's name"));
            };
            let column =
                table.expect_column(&fold(ident)).map_err(|error| binder.at(error, ident.span))?;
            if new.iter().any(|(id, _)| *id == column.id) {
                let error = Error::new(
                    SqlState::SYNTAX_ERROR,
                    format!("multiple assignments to same column \"{}\"", column.name),
                );
                return Err(binder.at(error, ident.span));
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
                        ast::Expr::Tuple(values) if values.len() == names.len() => {
                            for (name, value) in names.iter().zip(values) {
                                put(self, name, Value::Expr(value))?;
                            }
                        }
                        ast::Expr::Subquery(query) => {
                            for (at, name) in names.iter().enumerate() {
                                let one = self.column_of_query(query, at, names.len())?;
                                put(self, name, Value::Typed(one))?;
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

    // UPDATE and DELETE.

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
        let (plan, row) = self.target_with(&table, alias.as_ref(), from)?;
        let along = self.along(update.returning.is_some());
        let made = self.changed_row(
            &table,
            &visible,
            (plan, row),
            &update.assignments,
            update.selection.as_ref(),
            &along,
        );
        self.scopes.pop();
        let (source, changed) = made?;
        let list = update.returning.as_deref();
        let (returning, source) = self.returning_along(&table, &visible, list, &along, source)?;
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
        let (mut plan, row) = self.target_with(&table, alias.as_ref(), using)?;
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
        let (returning, source) = self.returning_along(&table, &visible, list, &along, source)?;
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
    fn target_with(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&ast::TableAlias>,
        from: &[ast::TableWithJoins],
    ) -> Result<(LogicalPlan, Expr)> {
        let visible = alias.map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let qualifier = self.qualifier(&visible);
        let rows = self.scan(table, Hidden::RowId, &qualifier)?;
        let (mut plan, mut columns) = offered(rows, alias, &visible, None, table.id)?;
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
        let (plan, row) = self.target_with(table, alias, &[])?;
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
                sorts.push(super::query::sort(typed.expr, &by.options));
            }
            plan = build(LogicalPlanBuilder::from(plan).sort(sorts))?;
        }
        let plan = build(LogicalPlanBuilder::from(plan).project([row.alias(ROW_COLUMN)]))?;
        let rows = Rows { plan, columns: Vec::new() };
        Ok(self.limited(rows, query)?.plan)
    }

    // RETURNING.

    /// What FROM or USING offers beside the table whose rows change, for RETURNING.
    fn along(&self, wanted: bool) -> Vec<ScopeColumn> {
        let scope = self.scopes.last().filter(|_| wanted).map_or(&[][..], Vec::as_slice);
        let own = scope.iter().position(|column| column.name == ROW_COLUMN);
        let others = own.map_or(&[][..], |own| &scope[own + 1..]);
        others.iter().filter(|column| column.hidden != Hiding::System).cloned().collect()
    }

    /// RETURNING over changed rows and the columns that come along at the end of `source`, which
    /// keeps those of them that RETURNING names.
    fn returning_along(
        &mut self,
        table: &Arc<Table>,
        visible: &str,
        list: Option<&[ast::SelectItem]>,
        along: &[ScopeColumn],
        source: LogicalPlan,
    ) -> Result<(Option<Returning>, LogicalPlan)> {
        let places = source.schema().columns();
        let own = places.len() - along.len();
        let kinds = source.schema().fields()[own..].iter().map(|field| field.data_type().clone());
        let along: Vec<Along> = along.iter().cloned().zip(kinds).collect();
        let returning = self.returning(table, Some(visible), list, &along)?;
        let Some(made) = returning.as_ref().filter(|_| !along.is_empty()) else {
            return Ok((returning, source));
        };
        let used = named_columns(made.plan.logical())?;
        let fields = made.input.schema().fields();
        let is_used = |at: usize| used.contains(fields[fields.len() - along.len() + at].name());
        let kept: Vec<usize> = (0..along.len()).filter(|&at| is_used(at)).collect();
        if kept.len() == along.len() {
            return Ok((returning, source));
        }
        let exprs = (0..own).chain(kept.iter().map(|at| own + at));
        let exprs: Vec<Expr> = exprs.map(|at| Expr::Column(places[at].clone())).collect();
        let source = build(LogicalPlanBuilder::from(source).project(exprs))?;
        let along: Vec<Along> = kept.into_iter().map(|at| along[at].clone()).collect();
        Ok((self.returning(table, Some(visible), list, &along)?, source))
    }

    /// RETURNING over changed rows and what comes along with them.
    fn returning(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&str>,
        list: Option<&[ast::SelectItem]>,
        along: &[Along],
    ) -> Result<Option<Returning>> {
        let Some(list) = list else { return Ok(None) };
        let mut taken = HashSet::new();
        let mut fields = Vec::with_capacity(table.columns.len() + along.len());
        for column in &table.columns {
            fields.push(column.kind.field(&unique(&mut taken, &column.name), true));
        }
        for (column, kind) in along {
            fields.push(Field::new(unique(&mut taken, &column.name), kind.clone(), true));
        }
        let (input, plan) = self.slot(Arc::new(Schema::new(fields)), &table.name)?;
        let visible = alias.unwrap_or(&table.name);
        let places = plan.schema().columns();
        let mut scope = row_scope(table, visible, &places);
        for ((column, _), place) in along.iter().zip(&places[table.columns.len()..]) {
            scope.push(ScopeColumn { expr: Expr::Column(place.clone()), ..column.clone() });
        }
        let outer = std::mem::take(&mut self.scopes);
        self.scopes.push(scope);
        let rows = self.returned(plan, list);
        self.scopes = outer;
        let rows = self.settle_rows(rows?)?;
        let (plan, columns) = self.output(rows)?;
        Ok(Some(Returning { input, plan: Plan::new(plan), columns }))
    }

    // Slots.

    pub(crate) fn slot(&mut self, schema: SchemaRef, name: &str) -> Result<(Slot, LogicalPlan)> {
        let (slot, source) = self.relations.slot(schema);
        let qualifier = self.qualifier(name);
        let plan = build(LogicalPlanBuilder::scan(qualifier.as_str(), source, None))?;
        Ok((slot, plan))
    }

    // COPY FROM.

    pub(crate) fn copy_in(
        &mut self,
        name: &Name,
        columns: &[String],
        predicate: Option<&ast::Expr>,
    ) -> Result<CopyDirection> {
        let table = self.table(name)?;
        refuse_duplicates(columns.iter().map(String::as_str))?;
        let ids: Vec<ColumnId> = if columns.is_empty() {
            let given = table.columns.iter().filter(|column| column.generated.is_none());
            given.map(|column| column.id).collect()
        } else {
            columns
                .iter()
                .map(|name| table.expect_column(name).map(|c| c.id))
                .collect::<Result<_>>()?
        };
        let sent = ids.iter().map(|id| column_of(&table, *id)).collect::<Result<Vec<_>>>()?;
        sent.iter().try_for_each(|column| refuse_copy(column))?;
        let fields: Vec<Field> = sent.iter().map(|c| c.kind.field(&c.name, true)).collect();
        let kinds: Vec<PgType> = sent.iter().map(|c| c.kind.clone()).collect();
        let (input, plan) = self.slot(Arc::new(Schema::new(fields)), &table.name)?;
        let given = plan
            .schema()
            .columns()
            .into_iter()
            .zip(kinds)
            .map(|(column, kind)| Typed::new(Expr::Column(column), kind))
            .collect();
        let mut rows = self.whole_rows(&table, plan, &ids, given)?;
        if let Some(condition) = predicate {
            let scope = row_scope(&table, &table.name, &rows.schema().columns());
            self.scopes.push(scope);
            let place = Place::plain("COPY FROM WHERE conditions");
            let condition = self.in_place(place, |binder| binder.boolean(condition, "WHERE"));
            self.scopes.pop();
            let condition = condition?;
            if has_subquery(&condition)? {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "cannot use subquery in COPY FROM WHERE condition",
                ));
            }
            let used = condition.column_refs();
            let is_used = |column: &&TableColumn| {
                column.generated.is_some() && used.iter().any(|used| used.name == column.name)
            };
            if let Some(column) = table.columns.iter().find(is_used) {
                return Err(Error::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "generated columns are not supported in COPY FROM WHERE conditions",
                )
                .detail(format!("Column \"{}\" is a generated column.", column.name)));
            }
            rows = build(LogicalPlanBuilder::from(rows).filter(condition))?;
        }
        Ok(CopyDirection::In { table, columns: ids, input, rows: Plan::new(rows) })
    }
}

/// A table's columns under a name, as a plan offers them.
pub(crate) fn row_scope(table: &Table, visible: &str, places: &[Column]) -> Vec<ScopeColumn> {
    let columns = table.columns.iter().zip(places);
    columns
        .map(|(column, place)| ScopeColumn {
            table: Some(visible.to_owned()),
            schema: None,
            name: column.name.clone(),
            kind: column.kind.clone(),
            expr: Expr::Column(place.clone()),
            origin: Some((table.id, column.id)),
            hidden: Hiding::Not,
        })
        .collect()
}

pub(crate) fn has_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))
    })
    .map_err(super::error::from_datafusion)
}

enum Value<'v> {
    Expr(&'v ast::Expr),
    Typed(Typed),
}

/// A column of FROM or USING, with the type that it has in the plan.
type Along = (ScopeColumn, DataType);

/// The names of the columns that a plan's expressions name, without their tables.
fn named_columns(plan: &LogicalPlan) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = part {
                    names.insert(column.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(super::error::from_datafusion)?;
    Ok(names)
}

fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

fn column_of(table: &Table, id: ColumnId) -> Result<&TableColumn> {
    table.column_by_id(id).ok_or_else(|| Error::internal("a target is a column of its table"))
}

/// The value in the very layout of its column.
pub(crate) fn exact(typed: Typed, kind: &PgType) -> Expr {
    if typed.kind.arrow() == kind.arrow() {
        return typed.expr;
    }
    Expr::Cast(Cast::new(Box::new(typed.expr), kind.arrow()))
}
