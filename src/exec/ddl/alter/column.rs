//! ALTER TABLE: what changes one column.

use super::super::{Ddl, kept::names_word};
use crate::{
    catalog::{Change, Column, ConstraintKind, Index, IndexKind, Replacement, Table},
    error::{Error, Result, SqlState},
    exec::{
        embedding::{Lot, replacing},
        relations::Sources,
        update,
        write::{over_rows, quote},
    },
    ids::{ColumnId, RowId},
    pgtype::{self, PgType, style::Style},
    sql::{self, Bound, utility::ColumnDefinition},
};
use arrow::array::{Array, RecordBatch, RecordBatchOptions, new_null_array};
use std::sync::Arc;

/// A new column of vectors is made within its statement where there are no more rows; else a worker
/// makes it, while the table is free.
const EMBEDDED_ROWS_MAX: u64 = 256;

/// From now on a worker adds what models make where it is missing.
pub(super) fn complete_embedding(table: &mut Table) {
    table.options.entry("embedding".to_owned()).or_insert_with(|| "inline".to_owned());
}

impl Ddl<'_> {
    /// ADD COLUMN: rows that are there already get the default's value of now.
    pub(super) async fn add_column_with_value(
        &mut self,
        table: &mut Table,
        definition: &ColumnDefinition,
    ) -> Result<()> {
        let sequence = self.add_column(table, definition).await?;
        let is_owned = sequence.is_some();
        self.transaction.change(sequence.map(|s| Change::Sequence(Arc::new(s))));
        let rows = self.transaction.snapshot().table(table.id).live_rows();
        let mut column = table.columns.last().expect("a column was added").clone();
        if is_owned && rows > 0 {
            return Err(Error::unsupported(
                "adding a serial or identity column to a table that has rows is not supported",
            )
            .hint("Create a new table with the column and copy the rows."));
        }
        let catalog = self.catalog();
        let domain = column.domain.and_then(|id| catalog.domain(id));
        let of_domain = domain
            .map(|domain| catalog.default_of_domain(domain).unwrap_or_else(|| "NULL".to_owned()));
        let default = column.default.clone().or(of_domain.filter(|_| rows > 0));
        if let Some(default) = default.filter(|_| !is_owned && column.generated.is_none()) {
            // Bound against the table as it was: a default names no column.
            let before = Arc::new(Table {
                columns: table.columns[..table.columns.len() - 1].to_vec(),
                ..table.clone()
            });
            let kind = match domain {
                Some(domain) => catalog.domain_text(domain),
                None => catalog.type_text(&column.kind),
            };
            column.missing = self.value_of(&before, &default, (&column.kind, &kind)).await?;
        }
        if column.generated.is_some() {
            let is_later = !column.models.is_empty()
                && !column.not_null
                && !self.catalog().is_temporary(table.schema)
                && (rows > EMBEDDED_ROWS_MAX || table.defers_embedding());
            if is_later {
                complete_embedding(table);
            }
            self.put(table);
            self.check_expressions(&Arc::new(table.clone()))?;
            if is_later {
                self.notice(format!(
                    "the values of column \"{}\" are made later; nearlake_stat_embedding tells how \
                     far that is",
                    column.name
                ));
                return Ok(());
            }
            return self.compute_again(table, &column.name).await;
        }
        if column.not_null && column.missing.is_none() && rows > 0 {
            return Err(Error::new(
                SqlState::NOT_NULL_VIOLATION,
                format!(
                    "column \"{}\" of relation \"{}\" contains null values",
                    column.name, table.name
                ),
            )
            .column(&column.name));
        }
        *table.columns.last_mut().expect("a column was added") = column;
        self.put(table);
        self.check_expressions(&Arc::new(table.clone()))
    }

    /// Writes each row anew, so that it has the value that its generated column has now.
    pub(super) async fn compute_again(&mut self, table: &Table, column: &str) -> Result<()> {
        self.update_all(table, column, "DEFAULT").await
    }

    /// Writes each row anew with another value of a column.
    pub(super) async fn update_all(
        &mut self,
        table: &Table,
        column: &str,
        value: &str,
    ) -> Result<()> {
        self.update_rows(table, &format!("{} = {value}", quote(column))).await
    }

    /// Changes rows as UPDATE does: `SET` and what follows.
    pub(super) async fn update_rows(&mut self, table: &Table, set: &str) -> Result<()> {
        if self.transaction.snapshot().table(table.id).live_rows() == 0 {
            return Ok(());
        }
        self.see_own_names();
        let schema = self.catalog().schema(table.schema).map(|schema| schema.name.clone());
        let schema = schema.ok_or_else(|| Error::internal("a table without a schema"))?;
        let text = format!("UPDATE {}.{} SET {set}", quote(&schema), quote(&table.name));
        let statement = sql::parse(&text)?.remove(0);
        let bound = sql::bind(&statement, &self.env.context, &Sources, &[])?;
        let (Bound::Update(statement), _) = bound else {
            return Err(Error::internal("an UPDATE is none"));
        };
        let env = self.env.on(self.transaction.snapshot());
        update::update(&statement, &env, self.transaction).await.map(drop)
    }

    /// `SET EXPRESSION`. What models make takes long: then the column only remembers what it is to
    /// become, and a worker makes it so.
    pub(super) async fn set_expression(
        &mut self,
        table: &mut Table,
        name: &str,
        expression: &str,
    ) -> Result<()> {
        let found = table.expect_column(name)?.clone();
        if found.generated.is_none() {
            return Err(no_generated(table, name));
        }
        let mut changed =
            Column { generated: Some(expression.to_owned()), replacement: None, ..found.clone() };
        self.settle_models(&mut changed).await?;
        let place = table.position(found.id).expect("the column was found in this table");
        table.columns[place] = changed.clone();
        if changed.models.is_empty() && found.models.is_empty() {
            self.put(table);
            self.check_expressions(&Arc::new(table.clone()))?;
            return self.compute_again(table, name).await;
        }
        // Another replacement that was on its way is given up.
        let given_up = found.replacement.as_ref().map(|given_up| given_up.values);
        self.transaction.change(given_up.map(Change::DropTable));
        self.see_own_names();
        let context = Arc::clone(&self.env.context);
        let made = sql::generated_kind(table, &changed, &context, &Sources)?;
        let kind = match (&found.kind, made) {
            (PgType::Vector(Some(_)), PgType::Vector(Some(dims))) => PgType::Vector(Some(dims)),
            (PgType::Halfvec(Some(_)), PgType::Vector(Some(dims))) => PgType::Halfvec(Some(dims)),
            _ => found.kind.clone(),
        };
        let replacement = Replacement {
            generated: changed.generated.clone().unwrap_or_default(),
            kind,
            models: changed.models,
            values: self.fresh_oid(),
        };
        let new = replacing::replaced(table, &found, &replacement);
        self.check_expressions(&Arc::new(new.clone()))?;
        if found.generated.as_ref() == Some(&replacement.generated)
            && found.models == replacement.models
        {
            table.columns[place] = Column { replacement: None, ..found };
            self.put(table);
            return Ok(());
        }
        if new.columns[place].kind != found.kind {
            self.refuse_read_by_webhooks(table, name, "alter type of")?;
        }
        let in_key = table.keys().any(|(_, columns)| columns.contains(&found.id));
        if in_key && new.columns[place].id != found.id {
            return Err(Error::unsupported(format!(
                "changing the type of column \"{name}\", which is in a key, is not supported"
            ))
            .hint("Drop the key first."));
        }
        if self.transaction.snapshot().table(table.id).live_rows() == 0 {
            *table = new;
            self.follow(table, found.id, place);
            self.put(table);
            return Ok(());
        }
        let values = replacing::values_table(table, &found, &replacement.kind, replacement.values);
        let replacement = Some(Box::new(replacement));
        let key = (found.id, values.id);
        table.columns[place] = Column { replacement, ..found };
        self.transaction.change([Change::Table(Arc::new(values))]);
        self.put(table);
        if self.catalog().is_temporary(table.schema) {
            // No worker sees it.
            let now = Arc::new(table.clone());
            let env = self.env.on(self.transaction.snapshot());
            let (transaction, see) = (&mut *self.transaction, self.see);
            let lot = Lot { table: &now, env: &env, transaction, see };
            replacing::change_over(key, RowId(0), lot).await?;
            *table = Table::clone(self.catalog().table(table.id).expect("it was changed over"));
            return Ok(());
        }
        self.notice(format!(
            "column \"{name}\" keeps its values until all new ones are made; \
             nearlake_stat_embedding tells how far that is"
        ));
        Ok(())
    }

    /// Indexes of a column of an empty table follow it to its new number.
    fn follow(&mut self, table: &Table, from: ColumnId, place: usize) {
        let to = table.columns[place].id;
        if to == from {
            return;
        }
        let catalog = self.catalog();
        let mut changes = Vec::new();
        for index in catalog.indexes_of(table.id) {
            if let IndexKind::Vector { column, metric, include } = &index.kind
                && *column == from
            {
                let (metric, include) = (*metric, include.clone());
                let kind = IndexKind::Vector { column: to, metric, include };
                changes.push(Change::DropIndex(index.id));
                let index = Index { id: self.transaction.fresh_oid(), kind, ..Index::clone(index) };
                changes.push(Change::Index(Arc::new(index)));
            }
        }
        self.transaction.change(changes);
    }

    /// The value of a default as text; `None` is NULL.
    pub(in crate::exec::ddl) async fn value_of(
        &mut self,
        table: &Arc<Table>,
        default: &str,
        (kind, name): (&PgType, &str),
    ) -> Result<Option<String>> {
        self.see_own_names();
        let text = format!("({default})::{name}");
        let context = Arc::clone(&self.env.context);
        let (slot, plan) = over_rows(table, &text, &context)?;
        let schema = Arc::clone(slot.schema());
        let nothing = schema.fields().iter().map(|f| new_null_array(f.data_type(), 1)).collect();
        let nullable = arrow::datatypes::Schema::new(
            schema
                .fields()
                .iter()
                .map(|f| f.as_ref().clone().with_nullable(true))
                .collect::<Vec<_>>(),
        );
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(nullable), nothing, &options)
            .map_err(|error| Error::internal("a row of nothing").source(error))?;
        slot.fill([row]);
        let (_, batches) = self.env.run.collect(&plan, &[]).await?;
        let value = batches.first().map(|batch| Arc::clone(batch.column(0)));
        let value = value.ok_or_else(|| Error::internal("a default without a value"))?;
        if value.is_null(0) {
            return Ok(None);
        }
        pgtype::cast::text_of(kind, &value, 0, &Style::default())
    }

    pub(in crate::exec::ddl) fn drop_column(
        &mut self,
        table: &mut Table,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let Some(column) = table.column(name).cloned() else {
            if if_exists {
                self.skipping("column", name);
                return Ok(());
            }
            return table.expect_column(name).map(drop);
        };
        let views = self.views_naming(table);
        if !views.is_empty() && !cascade {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop column {name} of table {} because other objects depend on it",
                    table.name
                ),
            )
            .detail(format!("view {} may depend on it", views[0].name))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let generated: Vec<String> = generated_from(table, name).map(|c| c.name.clone()).collect();
        if !generated.is_empty() && !cascade {
            let depends = |other: &String| {
                let table = &table.name;
                format!("column {other} of table {table} depends on column {name} of table {table}")
            };
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop column {name} of table {} because other objects depend on it",
                    table.name
                ),
            )
            .detail(generated.iter().map(depends).collect::<Vec<_>>().join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for other in &generated {
            let message = format!("drop cascades to column {other} of table {}", table.name);
            self.env.context.notice(Error::new(SqlState::new(b"00000"), message));
            self.drop_column(table, other, false, true)?;
        }
        let webhooks = self.webhooks_reading(table.id, column.id);
        if let Some(webhook) = webhooks.first().filter(|_| !cascade) {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop column {name} of table {} because other objects depend on it",
                    table.name
                ),
            )
            .detail(format!("webhook {} depends on column {name}", webhook.name))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        self.transaction.change(webhooks.iter().map(|webhook| Change::DropWebhook(webhook.id)));
        self.transaction.change(views.iter().map(|view| Change::DropView(view.id)));
        let uses = |kind: &ConstraintKind| match kind {
            ConstraintKind::PrimaryKey { columns }
            | ConstraintKind::Unique { columns, .. }
            | ConstraintKind::ForeignKey { columns, .. } => columns.contains(&column.id),
            ConstraintKind::Check { expression } => names_word(expression, name),
        };
        table.constraints.retain(|constraint| !uses(&constraint.kind));
        table.columns.retain(|other| other.id != column.id);
        let indexes: Vec<Change> = self
            .catalog()
            .indexes_of(table.id)
            .filter(|index| match &index.kind {
                IndexKind::Vector { column: id, .. } => *id == column.id,
                IndexKind::Recorded { keys, .. } => keys.iter().any(|key| names_word(key, name)),
            })
            .map(|index| Change::DropIndex(index.id))
            .collect();
        self.transaction.change(indexes);
        self.transaction.change(column.sequence.map(Change::DropSequence));
        self.put(table);
        Ok(())
    }

    /// Expressions are kept as text, so that a column that they name cannot take another name.
    pub(super) fn refuse_named_in_checks(
        &mut self,
        table: &Table,
        column: &str,
        verb: &str,
    ) -> Result<()> {
        self.refuse_read_by_webhooks(table, column, verb)?;
        if let Some(other) = generated_from(table, column).next() {
            return Err(Error::unsupported(format!(
                "cannot {verb} column \"{column}\" since generated column \"{}\" uses it",
                other.name
            ))
            .hint("Drop the generated column first and add it again afterwards."));
        }
        for constraint in &table.constraints {
            if let ConstraintKind::Check { expression } = &constraint.kind
                && names_word(expression, column)
            {
                return Err(Error::unsupported(format!(
                    "cannot {verb} column \"{column}\" since constraint \"{}\" uses it",
                    constraint.name
                ))
                .hint("Drop the constraint first and add it again afterwards."));
            }
        }
        Ok(())
    }
}

/// The generated columns whose expressions name a column.
pub(super) fn generated_from<'t>(
    table: &'t Table,
    name: &'t str,
) -> impl Iterator<Item = &'t Column> {
    let uses = move |column: &&Column| {
        let coming = column.replacement.iter().map(|replacement| &replacement.generated);
        let mut expressions = column.generated.iter().chain(coming);
        column.name != name && expressions.any(|expression| names_word(expression, name))
    };
    table.columns.iter().filter(uses)
}

pub(super) fn refuse_generated(table: &Table, id: ColumnId, instead: Option<&str>) -> Result<()> {
    let Some(column) = table.column_by_id(id).filter(|column| column.generated.is_some()) else {
        return Ok(());
    };
    let error = Error::new(
        SqlState::SYNTAX_ERROR,
        format!("column \"{}\" of relation \"{}\" is a generated column", column.name, table.name),
    );
    Err(match instead {
        Some(word) => error.hint(format!("Use ALTER TABLE ... ALTER COLUMN ... {word} instead.")),
        None => error,
    })
}

pub(super) fn no_generated(table: &Table, column: &str) -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("column \"{column}\" of relation \"{}\" is not a generated column", table.name),
    )
}
