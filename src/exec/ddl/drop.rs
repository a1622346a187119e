//! DROP.

use super::{Ddl, table::owned_sequences};
use crate::{
    catalog::{Catalog, Change, ConstraintKind, Database, POSTGRES_ROLE, Relation, Table},
    error::{Error, Result, SqlState},
    exec::commit::changed_meanwhile,
    ids::Oid,
    pgtype::PgType,
    sql::utility::{Drop, Name, ObjectKind},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn drop_objects(&mut self, statement: &Drop) -> Result<String> {
        let word = word(statement.object);
        self.transaction.check_writable(&format!("DROP {word}"))?;
        if statement.concurrently && (statement.names.len() > 1 || statement.cascade) {
            let what = if statement.cascade { "CASCADE" } else { "dropping multiple objects" };
            let message = format!("DROP INDEX CONCURRENTLY does not support {what}");
            return Err(Error::unsupported(message));
        }
        for name in &statement.names {
            match statement.object {
                ObjectKind::Schema => self.drop_schema(name, statement).await?,
                ObjectKind::Database => self.drop_database(name, statement)?,
                ObjectKind::Role => self.drop_role(name, statement)?,
                ObjectKind::Extension => self.drop_extension(name, statement)?,
                ObjectKind::Type => self.drop_type(name, statement).await?,
                ObjectKind::Domain => self.drop_domain(name, statement).await?,
                ObjectKind::Table | ObjectKind::View | ObjectKind::Index | ObjectKind::Sequence => {
                    self.drop_relation(name, statement).await?
                }
                _ if statement.if_exists => self.skipping(&word.to_lowercase(), &name.name),
                _ => {
                    let what = word.to_lowercase();
                    return Err(Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("{what} \"{name}\" does not exist"),
                    ));
                }
            }
        }
        Ok(format!("DROP {word}"))
    }

    async fn drop_relation(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        let what = word(statement.object).to_lowercase();
        let Some(relation) = self.find(name)? else {
            if statement.if_exists {
                self.skipping(&what, &name.name);
                return Ok(());
            }
            let state = match statement.object {
                ObjectKind::Index => SqlState::UNDEFINED_OBJECT,
                _ => SqlState::UNDEFINED_TABLE,
            };
            return Err(Error::new(state, format!("{what} \"{name}\" does not exist")));
        };
        if is_of(statement.object, &relation) {
            self.check_may_drop(&relation)?;
        }
        match (statement.object, relation) {
            (ObjectKind::Table, Relation::Table(table)) => {
                let table = self.lock_table(&table).await?;
                self.drop_table(&table, statement.cascade)
            }
            (ObjectKind::View, Relation::View(view)) => {
                self.transaction.change([Change::DropView(view.id)]);
                Ok(())
            }
            (ObjectKind::Index, Relation::Index(index)) => {
                let table = self.catalog().table(index.table).cloned();
                if let Some(table) = table {
                    self.lock_table(&table).await?;
                }
                self.transaction.change([Change::DropIndex(index.id)]);
                Ok(())
            }
            (ObjectKind::Index, Relation::Key(table, place)) => {
                let id = table.constraints[place].id;
                let mut table = Table::clone(&*self.lock_table(&table).await?);
                let place = table.constraints.iter().position(|constraint| constraint.id == id);
                let Some(place) = place else {
                    return Err(changed_meanwhile());
                };
                let constraint = &table.constraints[place];
                if !matches!(constraint.kind, ConstraintKind::Unique { index_only: true, .. }) {
                    let name = &constraint.name;
                    return Err(Error::new(
                        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                        format!(
                            "cannot drop index {name} because constraint {name} on table {} \
                             requires it",
                            table.name
                        ),
                    )
                    .hint(format!(
                        "You can drop constraint {name} on table {} instead.",
                        table.name
                    )));
                }
                table.constraints.remove(place);
                self.transaction.change([Change::Table(Arc::new(table))]);
                Ok(())
            }
            (ObjectKind::Sequence, Relation::Sequence(sequence)) => {
                if sequence.owned_by.is_some() && !statement.cascade {
                    return Err(Error::new(
                        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                        format!(
                            "cannot drop sequence {} because other objects depend on it",
                            sequence.name
                        ),
                    )
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                if let Some((table, column)) = sequence.owned_by
                    && let Some(table) = self.catalog().table(table).cloned()
                {
                    let mut table = Table::clone(&*self.lock_table(&table).await?);
                    if table.columns.iter().all(|kept| kept.id != column) {
                        return Err(changed_meanwhile());
                    }
                    let owner = super::table::column_mut(&mut table, column);
                    (owner.sequence, owner.default) = (None, None);
                    self.transaction.change([Change::Table(Arc::new(table))]);
                }
                self.transaction.change([Change::DropSequence(sequence.id)]);
                Ok(())
            }
            (_, other) => Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{}\" is not {} {what}", other.name(), article(&what)),
            )),
        }
    }

    fn drop_table(&mut self, table: &Arc<Table>, cascade: bool) -> Result<()> {
        let views = self.views_naming(table);
        let catalog = self.catalog();
        let referring: Vec<Arc<Table>> = referring(&catalog, table.id).cloned().collect();
        if !cascade && (!views.is_empty() || !referring.is_empty()) {
            let dependent = match (views.first(), referring.first()) {
                (Some(view), _) => format!("view {} depends on table {}", view.name, table.name),
                (None, Some(other)) => {
                    format!("a foreign key of table {} depends on table {}", other.name, table.name)
                }
                (None, None) => String::new(),
            };
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop table {} because other objects depend on it", table.name),
            )
            .detail(dependent)
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let mut changes: Vec<Change> = views.iter().map(|view| Change::DropView(view.id)).collect();
        for other in referring {
            let mut other = Table::clone(&other);
            other.constraints.retain(|constraint| !refers_to(&constraint.kind, table.id));
            changes.push(Change::Table(Arc::new(other)));
        }
        changes.extend(catalog.indexes_of(table.id).map(|index| Change::DropIndex(index.id)));
        let sequences = owned_sequences(&catalog, table.id);
        changes.extend(sequences.map(|sequence| Change::DropSequence(sequence.id)));
        changes.push(Change::DropTable(table.id));
        self.transaction.change(changes);
        Ok(())
    }

    async fn drop_schema(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        let database = self.env.context.database();
        let catalog = self.catalog();
        let Some(schema) = catalog.schema_named(database, &name.name).cloned() else {
            if statement.if_exists {
                self.skipping("schema", &name.name);
                return Ok(());
            }
            return self.schema_named(&name.name).map(drop);
        };
        if schema.database.is_none() {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop schema {} because it is required by the database system",
                    schema.name
                ),
            ));
        }
        self.check_owner(schema.owner, "schema", &schema.name)?;
        let tables: Vec<Arc<Table>> =
            catalog.tables().filter(|table| table.schema == schema.id).cloned().collect();
        let views = catalog.views().filter(|view| view.schema == schema.id);
        let sequences = catalog.sequences().filter(|sequence| sequence.schema == schema.id);
        let others: Vec<Change> = views
            .map(|view| Change::DropView(view.id))
            .chain(sequences.map(|sequence| Change::DropSequence(sequence.id)))
            .collect();
        let types: Vec<_> =
            catalog.types().filter(|made| made.schema == schema.id).cloned().collect();
        let domains: Vec<_> =
            catalog.domains().filter(|domain| domain.schema == schema.id).cloned().collect();
        let has_types = !types.is_empty() || !domains.is_empty();
        let is_empty = tables.is_empty() && others.is_empty() && !has_types;
        if !statement.cascade && !is_empty {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop schema {} because other objects depend on it", schema.name),
            )
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for table in tables {
            let table = self.lock_table(&table).await?;
            self.drop_table(&table, true)?;
        }
        self.transaction.change(others);
        for domain in domains {
            self.drop_found_domain(&domain, true).await?;
        }
        for made in types {
            self.drop_user_type(&made, true).await?;
        }
        self.transaction.change([Change::DropSchema(schema.id)]);
        Ok(())
    }

    fn drop_database(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        if statement.if_exists && self.catalog().database_named(&name.name).is_none() {
            self.skipping("database", &name.name);
            return Ok(());
        }
        let database = self.database(&name.name)?;
        self.check_owner(database.owner, "database", &database.name)?;
        if database.id == self.env.context.database() {
            return Err(Error::new(
                SqlState::OBJECT_IN_USE,
                "cannot drop the currently open database",
            ));
        }
        let connected =
            self.env.context.activity().iter().filter(|row| row.database == database.id).count();
        if connected > 0 {
            return Err(Error::new(
                SqlState::OBJECT_IN_USE,
                format!("database \"{}\" is being accessed by other users", database.name),
            )
            .detail(format!("There are {connected} other sessions using the database.")));
        }
        let catalog = self.catalog();
        let own: Vec<Oid> = catalog
            .schemas()
            .filter(|schema| schema.database == Some(database.id))
            .map(|schema| schema.id)
            .collect();
        let tables = catalog.tables().filter(|table| own.contains(&table.schema));
        let mut changes = Vec::new();
        for table in tables {
            changes.extend(catalog.indexes_of(table.id).map(|index| Change::DropIndex(index.id)));
            changes.push(Change::DropTable(table.id));
        }
        let views = catalog.views().filter(|view| own.contains(&view.schema));
        changes.extend(views.map(|view| Change::DropView(view.id)));
        let sequences = catalog.sequences().filter(|sequence| own.contains(&sequence.schema));
        changes.extend(sequences.map(|sequence| Change::DropSequence(sequence.id)));
        let types = catalog.types().filter(|made| own.contains(&made.schema));
        changes.extend(types.map(|made| Change::DropType(made.id())));
        let domains = catalog.domains().filter(|domain| own.contains(&domain.schema));
        changes.extend(domains.map(|domain| Change::DropDomain(domain.id)));
        changes.extend(own.into_iter().map(Change::DropSchema));
        changes.push(Change::DropDatabase(database.id));
        self.transaction.change(changes);
        Ok(())
    }

    fn drop_role(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        if statement.if_exists && self.catalog().role_named(&name.name).is_none() {
            self.skipping("role", &name.name);
            return Ok(());
        }
        let role = self.role(&name.name)?;
        self.check_administers(&role, "drop role")?;
        if role.id == self.env.context.user() {
            return Err(Error::new(SqlState::OBJECT_IN_USE, "current user cannot be dropped"));
        }
        if role.id == POSTGRES_ROLE {
            let message = format!(
                "cannot drop role {} because it is required by the database system",
                role.name
            );
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
        }
        self.check_idle(&role)?;
        self.transaction.change([Change::DropRole(role.id)]);
        Ok(())
    }

    fn drop_extension(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        let catalog = self.catalog();
        let database = catalog
            .database(self.env.context.database())
            .ok_or_else(|| Error::internal("a session without a database"))?;
        if !database.extensions.contains_key(&name.name) {
            if statement.if_exists {
                self.skipping("extension", &name.name);
                return Ok(());
            }
            return Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("extension \"{}\" does not exist", name.name),
            ));
        }
        let is_vector = |kind: &PgType| {
            let element = if let PgType::Array(element) = kind { element } else { kind };
            matches!(element, PgType::Vector(_) | PgType::Halfvec(_) | PgType::Sparsevec(_))
        };
        let uses = |table: &&Arc<Table>| table.columns.iter().any(|column| is_vector(&column.kind));
        if let Some(table) = catalog.tables().find(uses) {
            let own = table.columns.iter().find(|column| is_vector(&column.kind));
            let kind = own.map_or(String::new(), |column| column.kind.typname());
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop extension {} because other objects depend on it", name.name),
            )
            .detail(format!(
                "table {} depends on type {}",
                table.name,
                kind.trim_start_matches('_')
            ))
            .hint("Drop the columns first."));
        }
        self.check_owner(database.owner, "extension", &name.name)?;
        let mut database = Database::clone(database);
        database.extensions.remove(&name.name);
        self.transaction.change([Change::Database(Arc::new(database))]);
        Ok(())
    }
}

/// Whether a relation is of the kind that a statement drops.
fn is_of(object: ObjectKind, relation: &Relation) -> bool {
    matches!(
        (object, relation),
        (ObjectKind::Table, Relation::Table(_))
            | (ObjectKind::View, Relation::View(_))
            | (ObjectKind::Index, Relation::Index(_) | Relation::Key(..))
            | (ObjectKind::Sequence, Relation::Sequence(_))
    )
}

/// The tables with a foreign key to a table, but itself.
pub(super) fn referring(catalog: &Catalog, table: Oid) -> impl Iterator<Item = &Arc<Table>> {
    let refers = move |other: &&Arc<Table>| {
        let any = other.constraints.iter().any(|constraint| refers_to(&constraint.kind, table));
        other.id != table && any
    };
    catalog.tables().filter(refers)
}

fn refers_to(kind: &ConstraintKind, table: Oid) -> bool {
    matches!(kind, ConstraintKind::ForeignKey { references, .. } if *references == table)
}

fn word(object: ObjectKind) -> &'static str {
    match object {
        ObjectKind::Table => "TABLE",
        ObjectKind::View => "VIEW",
        ObjectKind::Index => "INDEX",
        ObjectKind::Sequence => "SEQUENCE",
        ObjectKind::Schema => "SCHEMA",
        ObjectKind::Database => "DATABASE",
        ObjectKind::Role => "ROLE",
        ObjectKind::Extension => "EXTENSION",
        ObjectKind::Column => "COLUMN",
        ObjectKind::Constraint => "CONSTRAINT",
        ObjectKind::MaterializedView => "MATERIALIZED VIEW",
        ObjectKind::Type => "TYPE",
        ObjectKind::Domain => "DOMAIN",
        ObjectKind::Function => "FUNCTION",
        ObjectKind::System => "SYSTEM",
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }
}
