//! CREATE of tables, views, sequences, schemas, databases, roles, extensions.

use super::{
    Ddl,
    table::{put_table, table_options},
};
use crate::{
    catalog::{
        Change, Database, Relation, Role, Schema, Sequence, Table, View,
        privileges::{Class, Grants, Privileges},
    },
    error::{Error, Result, SqlState},
    exec::{
        insert::Inserter,
        relations::Sources,
        run::RowStream,
        write::{RowChecks, over_rows},
    },
    ids::{ColumnId, Oid},
    scram,
    sql::{
        self,
        utility::{ColumnDefinition, CreateTable, CreateView, Name, RoleOptions, SequenceOptions},
    },
};
use futures::StreamExt;
use std::{collections::BTreeMap, sync::Arc};

impl Ddl<'_> {
    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<String> {
        self.transaction.check_writable("CREATE TABLE")?;
        let tag = if create.query.is_some() { "SELECT 0" } else { "CREATE TABLE" };
        let schema = self.schema_for(&create.name).await?;
        if create.on_commit.is_some() && !schema.is_temporary() {
            return Err(Error::new(
                SqlState::INVALID_TABLE_DEFINITION,
                "ON COMMIT can only be used on temporary tables",
            ));
        }
        self.lock_name(schema.id, &create.name.name).await?;
        if self.catalog().relation_named(schema.id, &create.name.name).is_some() {
            if create.if_not_exists {
                self.exists_already(SqlState::DUPLICATE_TABLE, "relation", &create.name.name);
                let tag = if create.query.is_some() { "CREATE TABLE AS" } else { tag };
                return Ok(tag.to_owned());
            }
            self.refuse_taken(schema.id, &create.name.name)?;
        }
        self.refuse_row_type(schema.id, &create.name.name)?;
        let mut table = Table {
            id: self.fresh_oid(),
            schema: schema.id,
            name: create.name.name.clone(),
            owner: self.env.context.user(),
            columns: Vec::new(),
            next_column: ColumnId(1),
            constraints: Vec::new(),
            options: table_options(&create.options)?,
            on_commit: create.on_commit.unwrap_or_default(),
            comment: None,
        };
        let mut sequences = Vec::new();
        for like in &create.like {
            sequences.extend(self.like(&mut table, like).await?);
        }
        for column in &create.columns {
            sequences.extend(self.add_column(&mut table, column).await?);
        }
        if let Some(query) = &create.query {
            for output in &query.query.columns {
                let column = ColumnDefinition {
                    name: output.name.clone(),
                    kind: output.kind.clone().into(),
                    not_null: false,
                    default: None,
                    serial: false,
                    identity: None,
                    generated: None,
                };
                self.add_column(&mut table, &column).await?;
            }
        }
        for constraint in &create.constraints {
            self.add_constraint(&mut table, constraint).await?;
        }
        let granted = self.grants_of_new(table.id, Class::Relation, table.owner, Some(schema.id));
        self.transaction.change(put_table(table.clone(), sequences));
        self.transaction.change(granted);
        self.check_expressions(&Arc::new(table.clone()))?;
        match &create.query {
            Some(query) if query.with_data => {
                let (_, rows) =
                    self.env.run.stream(&query.query.plan, &self.env.parameters).await?;
                let count = self.fill(&Arc::new(table), rows).await?;
                Ok(format!("SELECT {count}"))
            }
            Some(_) => Ok("CREATE TABLE AS".to_owned()),
            None => Ok(tag.to_owned()),
        }
    }

    /// Defaults and checks must bind from the beginning.
    pub(super) fn check_expressions(&mut self, table: &Arc<Table>) -> Result<()> {
        let context = Arc::clone(&self.env.context);
        self.see_own_names();
        RowChecks::new(table, &context)?;
        sql::check_generated(table, &context, &Sources)?;
        let catalog = self.catalog();
        for column in &table.columns {
            if let Some(default) = &column.default {
                let cast = format!("({default})::{}", catalog.type_text(&column.kind));
                over_rows(table, &cast, &context)?;
            }
        }
        Ok(())
    }

    async fn fill(&mut self, table: &Arc<Table>, mut rows: RowStream) -> Result<u64> {
        let mut inserter = Inserter::new(table, None, self.env, self.transaction).await?;
        while let Some(batch) = rows.next().await {
            inserter.push(&batch?, self.env, self.transaction).await?;
        }
        Ok(inserter.rows)
    }

    /// `LIKE other`.
    async fn like(
        &mut self,
        table: &mut Table,
        like: &sql::utility::Like,
    ) -> Result<Vec<Sequence>> {
        let other = self.expect_table(&like.table)?;
        self.check_any(other.id, Privileges::SELECT)?;
        let mut sequences = Vec::new();
        for column in &other.columns {
            let definition = ColumnDefinition {
                name: column.name.clone(),
                kind: self.type_of_column(&column.kind, column.domain),
                not_null: column.not_null,
                default: column
                    .default
                    .clone()
                    .filter(|_| like.defaults && column.identity.is_none()),
                serial: false,
                identity: column
                    .identity
                    .filter(|_| like.identity)
                    .map(|identity| (identity, SequenceOptions::default())),
                generated: column.generated.clone().filter(|_| like.generated),
            };
            sequences.extend(self.add_column(table, &definition).await?);
            if like.comments
                && let Some(new) = table.columns.last_mut()
            {
                new.comment.clone_from(&column.comment);
            }
        }
        for constraint in &other.constraints {
            let wanted = match constraint.kind {
                crate::catalog::ConstraintKind::Check { .. } => like.constraints,
                crate::catalog::ConstraintKind::ForeignKey { .. } => false,
                _ => like.indexes,
            };
            if wanted && let Some(copied) = copied_constraint(&other, constraint) {
                self.add_constraint(table, &copied).await?;
            }
        }
        Ok(sequences)
    }

    pub(super) async fn create_view(&mut self, create: &CreateView) -> Result<&'static str> {
        self.transaction.check_writable("CREATE VIEW")?;
        let schema = self.schema_for(&create.name).await?;
        self.lock_name(schema.id, &create.name.name).await?;
        let existing = self.catalog().relation_named(schema.id, &create.name.name);
        let (id, owner) = match existing {
            Some(Relation::View(view)) if create.or_replace => {
                self.check_owner(view.owner, "view", &view.name)?;
                (view.id, view.owner)
            }
            Some(_) => {
                self.refuse_taken(schema.id, &create.name.name)?;
                return Err(Error::internal("a name was taken and is free"));
            }
            None => {
                self.refuse_row_type(schema.id, &create.name.name)?;
                let (id, owner) = (self.fresh_oid(), self.env.context.user());
                let granted = self.grants_of_new(id, Class::Relation, owner, Some(schema.id));
                self.transaction.change(granted);
                (id, owner)
            }
        };
        let view = View {
            id,
            schema: schema.id,
            name: create.name.name.clone(),
            owner,
            columns: create.columns.clone(),
            query: create.query.clone(),
            path: create.path.clone(),
            comment: None,
        };
        self.transaction.change([Change::View(Arc::new(view))]);
        Ok("CREATE VIEW")
    }

    pub(super) async fn create_sequence_statement(
        &mut self,
        name: &Name,
        if_not_exists: bool,
        options: &SequenceOptions,
    ) -> Result<&'static str> {
        self.transaction.check_writable("CREATE SEQUENCE")?;
        let schema = self.schema_for(name).await?;
        self.lock_name(schema.id, &name.name).await?;
        if if_not_exists && self.catalog().relation_named(schema.id, &name.name).is_some() {
            self.exists_already(SqlState::DUPLICATE_TABLE, "relation", &name.name);
            return Ok("CREATE SEQUENCE");
        }
        self.refuse_taken(schema.id, &name.name)?;
        let mut sequence = self.new_sequence(schema.id, &name.name, options).await?;
        sequence.owned_by = self.owner_column(options, sequence.owner)?;
        let (id, owner) = (sequence.id, sequence.owner);
        let granted = self.grants_of_new(id, Class::Sequence, owner, Some(schema.id));
        self.transaction.change([Change::Sequence(Arc::new(sequence))]);
        self.transaction.change(granted);
        Ok("CREATE SEQUENCE")
    }

    /// `OWNED BY table.column`.
    pub(super) fn owner_column(
        &mut self,
        options: &SequenceOptions,
        owner: Oid,
    ) -> Result<Option<(Oid, ColumnId)>> {
        match &options.owned_by {
            Some(Some((table, column))) => {
                let table = self.expect_table(table)?;
                if table.owner != owner {
                    return Err(Error::new(
                        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "sequence must have same owner as table it is linked to",
                    ));
                }
                Ok(Some((table.id, table.expect_column(column)?.id)))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn create_schema(
        &mut self,
        name: Option<&str>,
        if_not_exists: bool,
        owner: Option<&str>,
    ) -> Result<&'static str> {
        self.transaction.check_writable("CREATE SCHEMA")?;
        let name = name.or(owner).unwrap_or_default();
        if name.starts_with("pg_") {
            return Err(Error::new(
                SqlState::RESERVED_NAME,
                format!("unacceptable schema name \"{name}\""),
            )
            .detail("The prefix \"pg_\" is reserved for system schemas."));
        }
        self.check_creates_schemas()?;
        let database = self.env.context.database();
        self.lock_name(database, name).await?;
        if self.catalog().schema_named(database, name).is_some() {
            if if_not_exists {
                self.exists_already(SqlState::DUPLICATE_SCHEMA, "schema", name);
                return Ok("CREATE SCHEMA");
            }
            return Err(Error::new(
                SqlState::DUPLICATE_SCHEMA,
                format!("schema \"{name}\" already exists"),
            ));
        }
        let owner = match owner {
            Some(owner) => self.new_owner(owner, None)?.id,
            None => self.env.context.user(),
        };
        let (id, is_public, name) = (self.fresh_oid(), name == "public", name.to_owned());
        let schema = Schema { id, database: Some(database), name, owner, comment: None };
        self.transaction.change([Change::Schema(Arc::new(schema))]);
        let granted = self.grants_of_new(id, Class::Schema, owner, None);
        // One that is made anew is closed as any other.
        let closed = || {
            let list = Some(Class::Schema.initial(owner));
            Change::Grants(Arc::new(Grants { id, list, ..Grants::default() }))
        };
        self.transaction.change(granted.or_else(|| is_public.then(closed)));
        Ok("CREATE SCHEMA")
    }

    pub(super) async fn create_database(
        &mut self,
        name: &str,
        options: &[(String, String)],
    ) -> Result<&'static str> {
        self.transaction.check_writable("CREATE DATABASE")?;
        self.check_makes_databases("create database")?;
        self.lock_name(Oid(0), name).await?;
        if self.catalog().database_named(name).is_some() {
            return Err(Error::new(
                SqlState::DUPLICATE_DATABASE,
                format!("database \"{name}\" already exists"),
            ));
        }
        let mut owner = self.env.context.user();
        for (option, value) in options {
            match option.to_ascii_lowercase().as_str() {
                "owner" => owner = self.new_owner(value, None)?.id,
                "encoding"
                    if ["utf8", "utf-8", "unicode"]
                        .contains(&value.to_ascii_lowercase().as_str()) => {}
                "template" if ["template0", "template1"].contains(&value.as_str()) => {}
                "lc_collate" | "lc_ctype" | "locale" | "connection_limit" | "allow_connections" => {
                }
                _ => {
                    return Err(Error::unsupported(format!(
                        "option {option} = {value} of CREATE DATABASE is not supported"
                    ))
                    .hint("Databases are UTF-8 and begin empty."));
                }
            }
        }
        let id = self.fresh_oid();
        let database = Database {
            id,
            name: name.to_owned(),
            owner,
            extensions: BTreeMap::new(),
            settings: BTreeMap::new(),
            comment: None,
        };
        self.transaction.change([Change::Database(Arc::new(database))]);
        let public = Schema {
            id: self.fresh_oid(),
            database: Some(id),
            name: "public".to_owned(),
            owner,
            comment: Some("standard public schema".to_owned()),
        };
        self.transaction.change([Change::Schema(Arc::new(public))]);
        Ok("CREATE DATABASE")
    }

    pub(super) async fn create_role(
        &mut self,
        name: &str,
        options: &RoleOptions,
    ) -> Result<&'static str> {
        self.transaction.check_writable("CREATE ROLE")?;
        self.check_makes_roles("create role")?;
        self.check_may_give(options, "create role")?;
        if name.starts_with("pg_") || name == "public" || name == "none" {
            return Err(Error::new(
                SqlState::RESERVED_NAME,
                format!("role name \"{name}\" is reserved"),
            ));
        }
        self.lock_name(Oid(1), name).await?;
        if self.catalog().role_named(name).is_some() {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("role \"{name}\" already exists"),
            ));
        }
        let role = Role {
            superuser: options.superuser.unwrap_or(false),
            login: options.login.unwrap_or(false),
            verifier: self.verifier(options).flatten(),
            inherit: options.inherit.unwrap_or(true),
            create_role: options.create_role.unwrap_or(false),
            create_database: options.create_database.unwrap_or(false),
            ..Role::new(self.fresh_oid(), name)
        };
        let role = Arc::new(role);
        self.transaction.change([Change::Role(Arc::clone(&role))]);
        self.first_memberships(&role, options).await?;
        Ok("CREATE ROLE")
    }

    /// The verifier of a role's new password; `Some(None)` takes the password away.
    pub(super) fn verifier(&self, options: &RoleOptions) -> Option<Option<String>> {
        options.password.as_ref().map(|password| {
            password.as_ref().map(|password| {
                if scram::Verifier::parse(password).is_some() {
                    return password.clone();
                }
                let context = &self.env.context;
                let salt: Vec<u8> = (0..2).flat_map(|_| context.random().to_le_bytes()).collect();
                let iterations = context.setting("scram_iterations");
                let iterations = iterations.and_then(|text| text.parse().ok()).unwrap_or(4096);
                scram::scram_verifier(password, &salt, iterations)
            })
        })
    }

    pub(super) fn role(&mut self, name: &str) -> Result<Arc<Role>> {
        let name = match name.to_ascii_lowercase().as_str() {
            "current_user" | "current_role" => self.env.context.user_name(),
            "session_user" => self.env.context.session_user_name(),
            _ => name.to_owned(),
        };
        self.catalog().role_named(&name).cloned().ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
        })
    }

    pub(super) fn create_extension(
        &mut self,
        name: &str,
        if_not_exists: bool,
        schema: Option<&str>,
    ) -> Result<&'static str> {
        self.transaction.check_writable("CREATE EXTENSION")?;
        let known = ["vector", "plpgsql"].contains(&name);
        if !known || name == "plpgsql" && !if_not_exists {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("extension \"{name}\" is not available"),
            )
            .hint("The available extension is vector."));
        }
        let database = self.env.context.database();
        let catalog = self.catalog();
        let database = catalog
            .database(database)
            .ok_or_else(|| Error::internal("a session without a database"))?;
        if database.extensions.contains_key(name) || name == "plpgsql" {
            if if_not_exists {
                self.exists_already(SqlState::DUPLICATE_OBJECT, "extension", name);
                return Ok("CREATE EXTENSION");
            }
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("extension \"{name}\" already exists"),
            ));
        }
        let schema = match schema {
            Some(schema) => self.schema_named(schema)?.id,
            None => {
                let path = self.env.context.explicit_path();
                path.first().copied().unwrap_or(crate::catalog::PUBLIC)
            }
        };
        self.check_creates_schemas().map_err(|_| {
            let message = format!("permission denied to create extension \"{name}\"");
            Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .hint("Must have CREATE privilege on current database to create this extension.")
        })?;
        let mut database = Database::clone(database);
        database.extensions.insert(name.to_owned(), schema);
        self.transaction.change([Change::Database(Arc::new(database))]);
        Ok("CREATE EXTENSION")
    }
}

/// A constraint of a table as another table would be given it.
fn copied_constraint(
    table: &Table,
    constraint: &crate::catalog::Constraint,
) -> Option<sql::utility::TableConstraint> {
    use crate::{catalog::ConstraintKind as Kind, sql::utility::TableConstraintKind as Wanted};
    let names = |columns: &[ColumnId]| -> Vec<String> {
        columns.iter().filter_map(|&id| Some(table.column_by_id(id)?.name.clone())).collect()
    };
    let (name, kind) = match &constraint.kind {
        Kind::PrimaryKey { columns } => (None, Wanted::PrimaryKey { columns: names(columns) }),
        Kind::Unique { columns, nulls_not_distinct, .. } => {
            let columns = names(columns);
            (None, Wanted::Unique { columns, nulls_not_distinct: *nulls_not_distinct })
        }
        Kind::Check { expression } => {
            (Some(constraint.name.clone()), Wanted::Check { expression: expression.clone() })
        }
        Kind::ForeignKey { .. } => return None,
    };
    Some(sql::utility::TableConstraint { name, kind })
}
