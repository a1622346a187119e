//! ALTER.

use super::{
    Ddl,
    table::{duplicate_column, no_constraint, table_options},
};
use crate::{
    catalog::{
        Change, Column, ConstraintKind, Database, Index, IndexKind, Relation, Role, Schema,
        Sequence, Table, View, pg::VECTOR_VERSION,
    },
    error::{Error, Result, SqlState},
    exec::{
        relations::Sources,
        update,
        write::{over_rows, quote},
    },
    ids::{ColumnId, Oid},
    pgtype::{self, PgType, output::Style},
    sql::{
        self, Bound,
        utility::{
            AlterDatabase, AlterRelation, AlterRole, AlterSequence, AlterTable, AlterTableAction,
            ColumnDefinition, Name, SetValue,
        },
    },
};
use arrow::array::{Array, RecordBatch, RecordBatchOptions, new_null_array};
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
                self.lock_name(table.schema, to).await?;
                self.refuse_taken(table.schema, to)?;
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
                let found = table.expect_column(column)?.clone();
                if found.generated.is_none() {
                    return Err(no_generated(table, column));
                }
                column_mut(table, found.id).generated = Some(expression.clone());
                self.put(table);
                self.check_expressions(&Arc::new(table.clone()))?;
                self.compute_again(table, column).await?;
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
                column_mut(table, found.id).generated = None;
                self.put(table);
            }
            AlterTableAction::AlterType { column, kind, using } => {
                self.alter_type(table, column, kind, using.as_deref())?;
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
                if [schema, table.schema].iter().any(|&id| self.catalog().is_temporary(id)) {
                    return Err(Error::new(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        "cannot move objects into or out of temporary schemas",
                    ));
                }
                self.lock_name(schema, &table.name).await?;
                self.refuse_taken(schema, &table.name)?;
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
                table.owner = self.role(owner)?.id;
                self.put(table);
            }
            AlterTableAction::SetOptions(options) => {
                table.options.extend(table_options(options)?);
                self.put(table);
            }
            AlterTableAction::ResetOptions(names) => {
                for name in names {
                    table.options.remove(&name.to_ascii_lowercase());
                }
                self.put(table);
            }
        }
        Ok(())
    }

    /// ADD COLUMN: rows that are there already get the default's value of now.
    async fn add_column_with_value(
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
        if let Some(default) = column.default.clone().filter(|_| !is_owned) {
            // Bound against the table as it was: a default names no column.
            let before = Arc::new(Table {
                columns: table.columns[..table.columns.len() - 1].to_vec(),
                ..table.clone()
            });
            column.missing = self.value_of(&before, &default, &column.kind).await?;
        }
        if column.generated.is_some() {
            self.put(table);
            self.check_expressions(&Arc::new(table.clone()))?;
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
    async fn compute_again(&mut self, table: &Table, column: &str) -> Result<()> {
        if self.transaction.snapshot().table(table.id).live_rows() == 0 {
            return Ok(());
        }
        self.see_own_names();
        let schema = self.catalog().schema(table.schema).map(|schema| schema.name.clone());
        let schema = schema.ok_or_else(|| Error::internal("a table without a schema"))?;
        let (schema, name, column) = (quote(&schema), quote(&table.name), quote(column));
        let text = format!("UPDATE {schema}.{name} SET {column} = DEFAULT");
        let statement = sql::parse(&text)?.remove(0);
        let Bound::Update(statement) = sql::bind(&statement, &self.env.context, &Sources, &[])?
        else {
            return Err(Error::internal("an UPDATE is none"));
        };
        let env = self.env.on(self.transaction.snapshot());
        update::update(&statement, &env, self.transaction).await.map(drop)
    }

    /// The value of a default as text; `None` is NULL.
    async fn value_of(
        &mut self,
        table: &Arc<Table>,
        default: &str,
        kind: &PgType,
    ) -> Result<Option<String>> {
        let text = format!("({default})::{kind}");
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

    fn drop_column(
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

    pub(super) fn views_naming(&mut self, table: &Table) -> Vec<Arc<View>> {
        let catalog = self.catalog();
        let names = |view: &&Arc<View>| names_word(&view.query, &table.name);
        catalog.views().filter(names).cloned().collect()
    }

    /// Expressions are kept as text, so that a column that they name cannot take another name.
    fn refuse_named_in_checks(&self, table: &Table, column: &str, verb: &str) -> Result<()> {
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

    /// Only changes that leave every stored value as it is.
    fn alter_type(
        &mut self,
        table: &mut Table,
        name: &str,
        kind: &PgType,
        using: Option<&str>,
    ) -> Result<()> {
        let column = table.expect_column(name)?.clone();
        if let Some(other) = generated_from(table, name).next() {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot alter type of a column used by a generated column",
            )
            .detail(format!("Column \"{name}\" is used by generated column \"{}\".", other.name)));
        }
        let widens = match (&column.kind, kind) {
            (from, to) if from == to => true,
            (PgType::Varchar(_) | PgType::Text, PgType::Text | PgType::Varchar(None)) => true,
            (PgType::Varchar(Some(from)), PgType::Varchar(Some(to))) => to >= from,
            _ => false,
        };
        let is_empty = self.transaction.snapshot().table(table.id).live_rows() == 0;
        if !(widens && using.is_none() || is_empty) {
            return Err(Error::unsupported(format!(
                "changing column \"{name}\" from {} to {kind} is not supported",
                column.kind
            ))
            .hint("Add a column of the new type, fill it by UPDATE, drop the old one, rename."));
        }
        if is_empty && !widens {
            // A new number, so that nothing of the old type is ever read under it.
            let mut changed = Column { kind: kind.clone(), ..column.clone() };
            changed.id = table.next_column;
            table.next_column.0 += 1;
            let in_key = table.keys().any(|(_, columns)| columns.contains(&column.id));
            let catalog = self.catalog();
            let indexed = catalog.indexes_of(table.id).next().is_some();
            if in_key || indexed {
                return Err(Error::unsupported(format!(
                    "changing the type of column \"{name}\", which is in a key or an index, is not \
                     supported"
                ))
                .hint("Drop the key or the index first."));
            }
            *column_mut(table, column.id) = changed;
        } else {
            column_mut(table, column.id).kind = kind.clone();
        }
        self.put(table);
        self.check_expressions(&Arc::new(table.clone()))
    }

    pub(super) async fn alter_index(
        &mut self,
        name: &Name,
        if_exists: bool,
        action: &AlterRelation,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER INDEX")?;
        let relation = match self.find(name)? {
            None if if_exists => {
                self.skipping("relation", &name.name);
                return Ok("ALTER INDEX");
            }
            None => self.expect(name)?,
            Some(relation) => relation,
        };
        match (relation, action) {
            (Relation::Index(index), AlterRelation::Rename(to)) => {
                self.lock_name(index.schema, to).await?;
                self.refuse_taken(index.schema, to)?;
                let index = Index { name: to.clone(), ..Index::clone(&index) };
                self.transaction.change([Change::Index(Arc::new(index))]);
            }
            (Relation::Key(table, place), AlterRelation::Rename(to)) => {
                let mut table = Table::clone(&*self.lock_table(&table).await?);
                let from = table.constraints[place].name.clone();
                self.rename_constraint(&mut table, &from, to)?;
            }
            (Relation::Index(index), AlterRelation::SetOptions(options)) => {
                let mut index = Index::clone(&index);
                index.options.extend(super::index::index_options(&index.method, options)?);
                self.transaction.change([Change::Index(Arc::new(index))]);
            }
            (Relation::Index(index), AlterRelation::ResetOptions(names)) => {
                let mut index = Index::clone(&index);
                index.options.retain(|option, _| !names.contains(option));
                self.transaction.change([Change::Index(Arc::new(index))]);
            }
            (Relation::Index(_) | Relation::Key(..), _) => {
                return Err(Error::unsupported("this form of ALTER INDEX is not supported")
                    .hint("An index belongs to its table's owner and schema."));
            }
            (other, _) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is not an index", other.name()),
                ));
            }
        }
        Ok("ALTER INDEX")
    }

    pub(super) async fn alter_view(
        &mut self,
        name: &Name,
        if_exists: bool,
        action: &AlterRelation,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER VIEW")?;
        let mut view = match self.find(name)? {
            None if if_exists => {
                self.skipping("relation", &name.name);
                return Ok("ALTER VIEW");
            }
            Some(Relation::View(view)) => View::clone(&view),
            Some(other) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is not a view", other.name()),
                ));
            }
            None => return self.expect(name).map(|_| "ALTER VIEW"),
        };
        let placed = self.altered(view.schema, &view.name, view.owner, action).await?;
        (view.schema, view.name, view.owner) = placed;
        self.transaction.change([Change::View(Arc::new(view))]);
        Ok("ALTER VIEW")
    }

    /// The schema, name and owner of a relation after a change of them.
    async fn altered(
        &mut self,
        schema: Oid,
        name: &str,
        owner: Oid,
        action: &AlterRelation,
    ) -> Result<(Oid, String, Oid)> {
        match action {
            AlterRelation::Rename(to) => {
                self.lock_name(schema, to).await?;
                self.refuse_taken(schema, to)?;
                Ok((schema, to.clone(), owner))
            }
            AlterRelation::SetSchema(to) => {
                let to = self.schema_named(to)?.id;
                self.lock_name(to, name).await?;
                self.refuse_taken(to, name)?;
                Ok((to, name.to_owned(), owner))
            }
            AlterRelation::Owner(owner) => Ok((schema, name.to_owned(), self.role(owner)?.id)),
            AlterRelation::SetOptions(_) | AlterRelation::ResetOptions(_) => {
                Err(Error::unsupported("options of this kind of relation are not supported"))
            }
        }
    }

    pub(super) async fn alter_sequence(
        &mut self,
        name: &Name,
        if_exists: bool,
        action: &AlterSequence,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER SEQUENCE")?;
        let mut sequence = match self.find(name)? {
            None if if_exists => {
                self.skipping("relation", &name.name);
                return Ok("ALTER SEQUENCE");
            }
            Some(Relation::Sequence(sequence)) => Sequence::clone(&sequence),
            Some(other) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is not a sequence", other.name()),
                ));
            }
            None => return self.expect(name).map(|_| "ALTER SEQUENCE"),
        };
        match action {
            AlterSequence::Relation(action) => {
                let placed =
                    self.altered(sequence.schema, &sequence.name, sequence.owner, action).await?;
                (sequence.schema, sequence.name, sequence.owner) = placed;
            }
            AlterSequence::Options { options, restart } => {
                sequence.increment = options.increment.unwrap_or(sequence.increment);
                sequence.min = options.min.flatten().unwrap_or(sequence.min);
                sequence.max = options.max.flatten().unwrap_or(sequence.max);
                sequence.start = options.start.unwrap_or(sequence.start);
                sequence.cycle = options.cycle.unwrap_or(sequence.cycle);
                if options.owned_by.is_some() {
                    sequence.owned_by = self.owner_column(options)?;
                }
                let restart = restart.map(|to| to.unwrap_or(sequence.start));
                if let Some(value) = restart {
                    self.env.context.set_value(sequence.id, value, false)?;
                    sequence.last = value.checked_sub(sequence.increment);
                }
            }
        }
        self.transaction.change([Change::Sequence(Arc::new(sequence))]);
        Ok("ALTER SEQUENCE")
    }

    pub(super) async fn alter_schema(
        &mut self,
        name: &str,
        action: &AlterRelation,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER SCHEMA")?;
        let mut schema = Schema::clone(&*self.schema_named(name)?);
        let Some(database) = schema.database else {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for schema {name}"),
            ));
        };
        match action {
            AlterRelation::Rename(to) => {
                self.lock_name(database, to).await?;
                if self.catalog().schema_named(database, to).is_some() {
                    return Err(Error::new(
                        SqlState::DUPLICATE_SCHEMA,
                        format!("schema \"{to}\" already exists"),
                    ));
                }
                schema.name.clone_from(to);
            }
            AlterRelation::Owner(owner) => schema.owner = self.role(owner)?.id,
            _ => return Err(Error::unsupported("this form of ALTER SCHEMA is not supported")),
        }
        self.transaction.change([Change::Schema(Arc::new(schema))]);
        Ok("ALTER SCHEMA")
    }

    pub(super) fn alter_database(
        &mut self,
        name: &str,
        action: &AlterDatabase,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER DATABASE")?;
        let mut database = Database::clone(&*self.database(name)?);
        match action {
            AlterDatabase::Rename(to) => {
                if self.catalog().database_named(to).is_some() {
                    return Err(Error::new(
                        SqlState::DUPLICATE_DATABASE,
                        format!("database \"{to}\" already exists"),
                    ));
                }
                database.name.clone_from(to);
            }
            AlterDatabase::Owner(owner) => database.owner = self.role(owner)?.id,
            AlterDatabase::Set { name, value } => match value {
                SetValue::Default => drop(database.settings.remove(&name.to_ascii_lowercase())),
                SetValue::Values(values) => {
                    database.settings.insert(name.to_ascii_lowercase(), values.join(", "));
                }
            },
            AlterDatabase::Reset(Some(name)) => {
                database.settings.remove(&name.to_ascii_lowercase());
            }
            AlterDatabase::Reset(None) => database.settings.clear(),
        }
        self.transaction.change([Change::Database(Arc::new(database))]);
        Ok("ALTER DATABASE")
    }

    pub(super) fn database(&mut self, name: &str) -> Result<Arc<Database>> {
        self.catalog().database_named(name).cloned().ok_or_else(|| {
            Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )
        })
    }

    pub(super) fn alter_role(&mut self, name: &str, action: &AlterRole) -> Result<&'static str> {
        self.transaction.check_writable("ALTER ROLE")?;
        let mut role = Role::clone(&*self.role(name)?);
        match action {
            AlterRole::Rename(to) => {
                if self.catalog().role_named(to).is_some() {
                    return Err(Error::new(
                        SqlState::DUPLICATE_OBJECT,
                        format!("role \"{to}\" already exists"),
                    ));
                }
                role.name.clone_from(to);
            }
            AlterRole::Options(options) => {
                role.superuser = options.superuser.unwrap_or(role.superuser);
                role.login = options.login.unwrap_or(role.login);
                if let Some(verifier) = self.verifier(options) {
                    role.verifier = verifier;
                }
            }
            AlterRole::Set { name, value } => match value {
                SetValue::Default => drop(role.settings.remove(&name.to_ascii_lowercase())),
                SetValue::Values(values) => {
                    role.settings.insert(name.to_ascii_lowercase(), values.join(", "));
                }
            },
            AlterRole::Reset(Some(name)) => drop(role.settings.remove(&name.to_ascii_lowercase())),
            AlterRole::Reset(None) => role.settings.clear(),
        }
        self.transaction.change([Change::Role(Arc::new(role))]);
        Ok("ALTER ROLE")
    }

    pub(super) fn alter_extension(
        &mut self,
        name: &str,
        version: Option<&str>,
    ) -> Result<&'static str> {
        let database = self.env.context.database();
        let catalog = self.catalog();
        let there = catalog.database(database).is_some_and(|d| d.extensions.contains_key(name));
        if !there {
            return Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("extension \"{name}\" does not exist"),
            ));
        }
        if version.is_some_and(|version| version != VECTOR_VERSION) {
            return Err(Error::unsupported(format!(
                "extension \"{name}\" has version {VECTOR_VERSION} and no other"
            )));
        }
        let message =
            format!("version \"{VECTOR_VERSION}\" of extension \"{name}\" is already installed");
        self.notice(message);
        Ok("ALTER EXTENSION")
    }
}

pub(super) fn column_mut(table: &mut Table, id: ColumnId) -> &mut Column {
    let column = table.columns.iter_mut().find(|column| column.id == id);
    column.expect("the column was found in this table")
}

/// The generated columns whose expressions name a column.
fn generated_from<'t>(table: &'t Table, name: &'t str) -> impl Iterator<Item = &'t Column> {
    let uses = move |column: &&Column| {
        column.name != name
            && column.generated.as_ref().is_some_and(|expression| names_word(expression, name))
    };
    table.columns.iter().filter(uses)
}

fn refuse_generated(table: &Table, id: ColumnId, instead: Option<&str>) -> Result<()> {
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

fn no_generated(table: &Table, column: &str) -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("column \"{column}\" of relation \"{}\" is not a generated column", table.name),
    )
}

/// Whether an expression's text names an identifier.
fn names_word(expression: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    expression.split(|c: char| !is_part(c)).any(|word| word.eq_ignore_ascii_case(name))
}
