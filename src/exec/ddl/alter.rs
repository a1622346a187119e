//! ALTER.

mod column;
mod column_type;
mod global;
mod relation;

use self::column::{complete_embedding, no_generated, refuse_generated};
use super::{
    Ddl,
    kept::names_word,
    table::{column_mut, duplicate_column, no_constraint, owned_sequences, table_options},
};
use crate::{
    catalog::{Change, Column, Database, Index, Relation, Sequence, Table, View},
    error::{Error, Result, SqlState},
    exec::write::quote,
    sql::utility::{AlterRelation, AlterSequence, AlterTable, AlterTableAction, Name},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn alter_table(&mut self, alter: &AlterTable) -> Result<&'static str> {
        self.transaction.check_writable("ALTER TABLE")?;
        let relation = match self.find(&alter.name)? {
            None if alter.if_exists => {
                self.skipping("relation", &alter.name.name);
                return Ok("ALTER TABLE");
            }
            None => self.expect(&alter.name)?,
            Some(relation) => relation,
        };
        self.check_owns(&relation)?;
        let table = match relation {
            Relation::Table(table) => table,
            // PostgreSQL lets ALTER TABLE rename and move other relations too.
            other => return self.alter_other(&other, &alter.name, &alter.actions).await,
        };
        let mut table = Table::clone(&*self.lock_table(&table).await?);
        for action in &alter.actions {
            self.alter_action(&mut table, action).await?;
        }
        Ok("ALTER TABLE")
    }

    async fn alter_other(
        &mut self,
        relation: &Relation,
        name: &Name,
        actions: &[AlterTableAction],
    ) -> Result<&'static str> {
        for action in actions {
            let action = match action {
                AlterTableAction::RenameTable { to } => AlterRelation::Rename(to.clone()),
                AlterTableAction::Owner(owner) => AlterRelation::Owner(owner.clone()),
                AlterTableAction::SetSchema(schema) => AlterRelation::SetSchema(schema.clone()),
                _ => {
                    return Err(Error::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("\"{}\" is not a table", relation.name()),
                    ));
                }
            };
            match relation {
                Relation::View(_) => self.alter_view(name, false, &action).await?,
                Relation::Sequence(_) => {
                    self.alter_sequence(name, false, &AlterSequence::Relation(action)).await?
                }
                _ => self.alter_index(name, false, &action).await?,
            };
        }
        Ok("ALTER TABLE")
    }

    fn put(&mut self, table: &Table) {
        self.transaction.change([Change::Table(Arc::new(table.clone()))]);
    }

    async fn alter_action(&mut self, table: &mut Table, action: &AlterTableAction) -> Result<()> {
        match action {
            AlterTableAction::AddColumn { column, constraints, if_not_exists } => {
                if *if_not_exists && table.column(&column.name).is_some() {
                    let message = format!(
                        "column \"{}\" of relation \"{}\" already exists, skipping",
                        column.name, table.name
                    );
                    self.env.context.notice(Error::new(SqlState::DUPLICATE_COLUMN, message));
                    return Ok(());
                }
                self.add_column_with_value(table, column).await?;
                for constraint in constraints {
                    self.add_checked_constraint(table, constraint).await?;
                }
            }
            AlterTableAction::DropColumn { column, if_exists, cascade } => {
                self.drop_column(table, column, *if_exists, *cascade)?;
            }
            AlterTableAction::RenameColumn { from, to } => {
                if table.column(to).is_some() {
                    return Err(duplicate_column(to, &table.name));
                }
                let id = table.expect_column(from)?.id;
                self.refuse_named_in_checks(table, from, "rename")?;
                column_mut(table, id).name.clone_from(to);
                self.put(table);
            }
            AlterTableAction::RenameTable { to } => {
                self.check_creates_in(table.schema)?;
                self.lock_name(table.schema, to).await?;
                self.refuse_taken(table.schema, to)?;
                self.refuse_taken_by_type(table.schema, to)?;
                table.name.clone_from(to);
                self.put(table);
            }
            AlterTableAction::RenameConstraint { from, to } => {
                self.rename_constraint(table, from, to)?;
            }
            AlterTableAction::SetNotNull(column) => {
                let id = table.expect_column(column)?.id;
                let test = format!("{} IS NOT NULL", quote(column));
                self.check_rows(table, &test, || {
                    Error::new(
                        SqlState::NOT_NULL_VIOLATION,
                        format!(
                            "column \"{column}\" of relation \"{}\" contains null values",
                            table.name
                        ),
                    )
                    .column(column)
                })
                .await?;
                column_mut(table, id).not_null = true;
                self.put(table);
            }
            AlterTableAction::DropNotNull(column) => {
                let id = table.expect_column(column)?.id;
                if table.primary_key().is_some_and(|(_, key)| key.contains(&id)) {
                    return Err(Error::new(
                        SqlState::INVALID_TABLE_DEFINITION,
                        format!("column \"{column}\" is in a primary key"),
                    ));
                }
                column_mut(table, id).not_null = false;
                self.put(table);
            }
            AlterTableAction::SetDefault { column, default } => {
                let id = table.expect_column(column)?.id;
                refuse_generated(table, id, Some("SET EXPRESSION"))?;
                column_mut(table, id).default = Some(default.clone());
                self.put(table);
                self.check_expressions(&Arc::new(table.clone()))?;
            }
            AlterTableAction::DropDefault(column) => {
                let id = table.expect_column(column)?.id;
                refuse_generated(table, id, Some("DROP EXPRESSION"))?;
                column_mut(table, id).default = None;
                self.put(table);
            }
            AlterTableAction::AddIdentity { column, identity, options } => {
                let mut changed: Column = table.expect_column(column)?.clone();
                refuse_generated(table, changed.id, None)?;
                let sequence = self.owned_sequence(table, &mut changed, options).await?;
                changed.identity = Some(*identity);
                let id = changed.id;
                *column_mut(table, id) = changed;
                self.transaction.change([Change::Sequence(Arc::new(sequence))]);
                self.put(table);
            }
            AlterTableAction::DropIdentity { column, if_exists } => {
                let found = table.expect_column(column)?.clone();
                let Some(_) = found.identity else {
                    if *if_exists {
                        return Ok(());
                    }
                    return Err(Error::new(
                        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                        format!(
                            "column \"{column}\" of relation \"{}\" is not an identity column",
                            table.name
                        ),
                    ));
                };
                let changed = column_mut(table, found.id);
                (changed.identity, changed.default, changed.sequence) = (None, None, None);
                self.transaction.change(found.sequence.map(Change::DropSequence));
                self.put(table);
            }
            AlterTableAction::SetExpression { column, expression } => {
                self.set_expression(table, column, expression).await?;
            }
            AlterTableAction::DropExpression { column, if_exists } => {
                let found = table.expect_column(column)?.clone();
                if found.generated.is_none() {
                    let error = no_generated(table, column);
                    if !if_exists {
                        return Err(error);
                    }
                    let message = format!("{}, skipping", error.message());
                    self.env.context.notice(Error::new(SqlState::new(b"00000"), message));
                    return Ok(());
                }
                let given_up = found.replacement.map(|given_up| Change::DropTable(given_up.values));
                self.transaction.change(given_up);
                let changed = column_mut(table, found.id);
                (changed.generated, changed.replacement) = (None, None);
                changed.models.clear();
                self.put(table);
            }
            AlterTableAction::AlterType { column, kind, using } => {
                let domain = self.domain_named(kind).map(|domain| domain.id);
                let kind = (&self.kind_of(kind).await?, domain);
                self.alter_column_type(table, column, kind, using.as_deref()).await?;
            }
            AlterTableAction::AddConstraint(constraint) => {
                self.add_checked_constraint(table, constraint).await?;
            }
            AlterTableAction::DropConstraint { name, if_exists, cascade: _ } => {
                let Some(place) = table.constraints.iter().position(|c| c.name == *name) else {
                    if *if_exists {
                        self.skipping("constraint", name);
                        return Ok(());
                    }
                    return Err(no_constraint(table, name));
                };
                table.constraints.remove(place);
                self.put(table);
            }
            AlterTableAction::SetSchema(schema) => {
                let schema = self.schema_named(schema)?.id;
                self.check_creates_in(schema)?;
                if [schema, table.schema].iter().any(|&id| self.catalog().is_temporary(id)) {
                    return Err(Error::new(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        "cannot move objects into or out of temporary schemas",
                    ));
                }
                self.lock_name(schema, &table.name).await?;
                self.refuse_taken(schema, &table.name)?;
                self.refuse_taken_by_type(schema, &table.name)?;
                table.schema = schema;
                let indexes: Vec<Change> = self
                    .catalog()
                    .indexes_of(table.id)
                    .map(|index| Change::Index(Arc::new(Index { schema, ..Index::clone(index) })))
                    .collect();
                self.transaction.change(indexes);
                self.put(table);
            }
            AlterTableAction::Owner(owner) => {
                let owner = self.new_owner(owner, Some(table.schema))?.id;
                self.hand_over_grants(table.id, table.owner, owner);
                table.owner = owner;
                self.put(table);
                self.hand_over_sequences(table);
            }
            AlterTableAction::SetOptions(options) => {
                table.options.extend(table_options(options)?);
                self.put(table);
            }
            AlterTableAction::ResetOptions(names) => {
                let was_completed = table.completes_embedding();
                for name in names {
                    table.options.remove(&name.to_ascii_lowercase());
                }
                // Rows that wait for their vectors still get them.
                if was_completed && table.columns.iter().any(|column| !column.models.is_empty()) {
                    complete_embedding(table);
                }
                self.put(table);
            }
        }
        Ok(())
    }

    /// The sequences of its columns have a table's owner.
    fn hand_over_sequences(&mut self, table: &Table) {
        let (catalog, owner) = (self.catalog(), table.owner);
        for sequence in owned_sequences(&catalog, table.id) {
            self.hand_over_grants(sequence.id, sequence.owner, owner);
            let sequence = Sequence { owner, ..Sequence::clone(sequence) };
            self.transaction.change([Change::Sequence(Arc::new(sequence))]);
        }
    }

    pub(super) fn views_naming(&mut self, table: &Table) -> Vec<Arc<View>> {
        let catalog = self.catalog();
        let schema = catalog.schema(table.schema).map_or("", |schema| &schema.name);
        // A view that names no schema finds what its path leads to first.
        let leads_to_it = |view: &View| {
            view.path.is_empty()
                || names_word(&view.query, schema)
                || catalog.resolve(&view.path, &table.name).is_some_and(|r| r.id() == table.id)
        };
        let names = |view: &&Arc<View>| names_word(&view.query, &table.name) && leads_to_it(view);
        catalog.views().filter(names).cloned().collect()
    }

    fn rename_constraint(&mut self, table: &mut Table, from: &str, to: &str) -> Result<()> {
        if table.constraints.iter().any(|constraint| constraint.name == to) {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("constraint \"{to}\" for relation \"{}\" already exists", table.name),
            ));
        }
        let found = table.constraints.iter_mut().find(|constraint| constraint.name == from);
        match found {
            None => Err(no_constraint(table, from)),
            Some(constraint) => {
                to.clone_into(&mut constraint.name);
                self.put(table);
                Ok(())
            }
        }
    }

    pub(super) fn database(&mut self, name: &str) -> Result<Arc<Database>> {
        self.catalog().database_named(name).cloned().ok_or_else(|| {
            Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )
        })
    }
}
