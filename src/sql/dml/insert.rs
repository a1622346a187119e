//! INSERT, and what a row does that meets another.

use super::{column_of, exact, images::Known, is_default};
use crate::{
    catalog::{Identity, Privileges, Table},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::PgType,
    sql::{
        ConflictAction, Insert, OnConflict, Plan, ROW_COLUMN,
        binder::{Binder, Place, build},
        generated::refuse_value,
        needs::Mention,
        query::one_row,
        tokens::fold,
        typed::{Hiding, ScopeColumn, Typed},
    },
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::{
        ast::{self, Spanned},
        tokenizer::Span,
    },
};
use std::{collections::HashSet, sync::Arc};

impl Binder<'_> {
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
        let mention = self.needs.mention(table.id, Privileges::INSERT);
        let place = insert.insert_token.0.span.start;
        self.overriding = self.source.and_then(|source| source.overriding(place));
        let source = match &insert.source {
            None => self.default_values(&table)?,
            Some(query) => {
                let is_named = !insert.columns.is_empty();
                self.insert_source((&table, mention), &targets, query, is_named)?
            }
        };
        let alias = insert.table_alias.as_ref().map(|alias| fold(&alias.alias));
        let on_conflict = match &insert.on {
            Some(ast::OnInsert::OnConflict(on)) => {
                Some(self.on_conflict((&table, mention), alias.as_deref(), on)?)
            }
            Some(_) => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "ON DUPLICATE KEY is not SQL")
                    .hint("Use ON CONFLICT … DO UPDATE."));
            }
            None => None,
        };
        let list = insert.returning.as_deref();
        let known = match &on_conflict {
            Some(OnConflict { action: ConflictAction::Update { .. }, .. }) => Known::Upserted,
            _ => Known::Inserted,
        };
        let returning = self.returning((&table, mention), (alias.as_deref(), known), list, &[])?;
        let source = Plan::new(source);
        Ok(Insert { table, source, on_conflict, returning, parameters: self.parameter_types() })
    }

    /// The columns that an INSERT names, or all.
    pub(super) fn targets(
        &self,
        table: &Table,
        columns: &[ast::ObjectName],
    ) -> Result<Vec<ColumnId>> {
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
        (table, mention): (&Arc<Table>, Mention),
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
            return self.insert_values((table, mention), targets, values, named);
        }
        let rows = self.query(query, Some(&kinds))?;
        self.check_width(rows.columns.len(), targets.len(), named, query.span())?;
        let targets = &targets[..rows.columns.len()];
        self.needs.insert(mention, targets.iter().copied());
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
        (table, mention): (&Arc<Table>, Mention),
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
        self.needs.insert(mention, targets[..width].iter().copied());
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

    pub(super) fn check_width(
        &self,
        given: usize,
        targets: usize,
        named: bool,
        span: Span,
    ) -> Result<()> {
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
    pub(super) fn whole_rows(
        &mut self,
        table: &Arc<Table>,
        plan: LogicalPlan,
        targets: &[ColumnId],
        given: Vec<Typed>,
    ) -> Result<LogicalPlan> {
        let exprs = self.full_row(table, targets, given)?;
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        self.with_generated(table, plan, 0, None)
    }

    pub(super) fn refuse_generated(&self, table: &Table, id: ColumnId) -> Result<()> {
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

    fn on_conflict(
        &mut self,
        (table, mention): (&Arc<Table>, Mention),
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
        // Whether a row of this key is there can be told from what comes of it.
        let key = table.keys().find(|(key, _)| Some(key.id) == constraint);
        if let Some((_, columns)) = key {
            self.needs.select(mention, columns.iter().copied());
        }
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
                self.conflict_update((table, mention), alias, update)?
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
        (table, mention): (&Arc<Table>, Mention),
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
        // The row that was to be inserted may be looked at by whoever gave it.
        self.needs.offer(mention, &scope, table.columns.iter().map(|column| column.id));
        self.scopes.push(scope);
        let made = self.changed_row(
            (table, mention),
            (visible, Some("excluded")),
            (plan, row),
            &update.assignments,
            update.selection.as_ref(),
            &[],
        );
        self.scopes.pop();
        let (plan, changed) = made?;
        Ok(ConflictAction::Update { input, plan: Plan::new(plan), changed })
    }
}
