//! DDL: statements that change names. Each locks what it names, looks it up in the newest catalog
//! that its transaction may see, and adds changes to the transaction; nothing is visible to others
//! before COMMIT.

mod alter;
mod api_key;
mod create;
mod default_access;
mod domain;
mod drop;
mod grant;
mod index;
mod kept;
mod membership;
mod model;
mod object;
mod owned;
mod reindex;
mod rights;
mod table;
mod user_type;
mod webhook;

use super::{
    commit::changed_meanwhile,
    insert::lock_table,
    locks::{Mode, Target},
    snapshot::Snapshot,
    transaction::Transaction,
    write::Env,
};
use crate::{
    catalog::{
        Catalog, Change, INFORMATION_SCHEMA, PG_CATALOG, PG_TEMP, Privileges, Relation, Schema,
        Table, pg, schema_in_session, temporary_schema,
    },
    error::{Error, Result, SqlState},
    ids::Oid,
    sql::utility::{Name, Utility},
};
use std::sync::Arc;

/// What a DDL statement works with.
#[expect(missing_debug_implementations, reason = "a callback has none")]
pub struct Ddl<'a> {
    /// How its plans run, and the session.
    pub env: &'a Env,
    /// The transaction that it changes.
    pub transaction: &'a mut Transaction,
    /// Shows the session what the transaction sees, so that expressions bind to it.
    see: &'a (dyn Fn(Arc<Snapshot>) + Sync),
}

impl<'a> Ddl<'a> {
    /// For one statement.
    pub fn new(
        env: &'a Env,
        transaction: &'a mut Transaction,
        see: &'a (dyn Fn(Arc<Snapshot>) + Sync),
    ) -> Self {
        Self { env, transaction, see }
    }

    /// Runs a statement; its command tag, or `None` when it is not DDL.
    ///
    /// # Errors
    /// Whatever the statement meets.
    pub async fn run(&mut self, statement: &Utility) -> Result<Option<String>> {
        let tag = match statement {
            Utility::CreateTable(create) => return self.create_table(create).await.map(Some),
            Utility::AlterTable(alter) => self.alter_table(alter).await?,
            Utility::AlterIndex { name, if_exists, action } => {
                self.alter_index(name, *if_exists, action).await?
            }
            Utility::AlterView { name, if_exists, action } => {
                self.alter_view(name, *if_exists, action).await?
            }
            Utility::AlterSequence { name, if_exists, action } => {
                self.alter_sequence(name, *if_exists, action).await?
            }
            Utility::AlterSchema { name, action } => self.alter_schema(name, action).await?,
            Utility::AlterDatabase { name, action } => self.alter_database(name, action)?,
            Utility::AlterRole { name, action } => self.alter_role(name, action)?,
            Utility::AlterExtension { name, version } => {
                self.alter_extension(name, version.as_deref())?
            }
            Utility::Drop(drop) => return self.drop_objects(drop).await.map(Some),
            Utility::CreateIndex(create) => self.create_index(create).await?,
            Utility::Reindex { object, name, .. } => self.reindex(*object, name.as_ref()).await?,
            Utility::CreateExtension { name, if_not_exists, schema } => {
                self.create_extension(name, *if_not_exists, schema.as_deref())?
            }
            Utility::CreateSchema { name, if_not_exists, owner } => {
                self.create_schema(name.as_deref(), *if_not_exists, owner.as_deref()).await?
            }
            Utility::CreateDatabase { name, options } => {
                self.create_database(name, options).await?
            }
            Utility::CreateRole { name, options } => self.create_role(name, options).await?,
            Utility::DropApiKey { name, if_exists } => self.drop_api_key(name, *if_exists).await?,
            Utility::DropWebhook { names, if_exists } => {
                self.drop_webhooks(names, *if_exists).await?
            }
            Utility::DropModel { name, if_exists } => self.drop_model(name, *if_exists).await?,
            Utility::CreateSequence { name, if_not_exists, options } => {
                self.create_sequence_statement(name, *if_not_exists, options).await?
            }
            Utility::CreateView(view) => self.create_view(view).await?,
            Utility::CreateType { name, labels } => self.create_type(name, labels).await?,
            Utility::AlterType { name, action } => self.alter_type(name, action).await?,
            Utility::CreateDomain(create) => self.create_domain(create).await?,
            Utility::AlterDomain { name, action } => self.alter_domain(name, action).await?,
            Utility::Comment { object, name, column, comment } => {
                self.comment(*object, name, column.as_deref(), comment.as_deref()).await?
            }
            Utility::Grant(grant) => self.grant(grant).await?,
            Utility::GrantRole(grant) => self.grant_role(grant).await?,
            Utility::AlterDefaultPrivileges(alter) => self.alter_default_privileges(alter)?,
            Utility::ReassignOwned { from, to } => self.reassign_owned(from, to).await?,
            Utility::DropOwned { roles, cascade } => self.drop_owned(roles, *cascade).await?,
            Utility::Truncate { tables, restart_identity, cascade } => {
                self.truncate(tables, *restart_identity, *cascade).await?
            }
            _ => return Ok(None),
        };
        Ok(Some(tag.to_owned()))
    }

    /// From here on the session binds to the names as this statement leaves them.
    fn see_own_names(&mut self) {
        (self.see)(self.transaction.snapshot());
    }

    /// The names as the transaction sees them.
    fn catalog(&mut self) -> Arc<Catalog> {
        self.transaction.catalog()
    }

    fn fresh_oid(&self) -> Oid {
        self.transaction.fresh_oid()
    }

    async fn lock(&self, target: Target, mode: Mode) -> Result<()> {
        self.env.lock(target, mode, self.transaction).await.map(drop)
    }

    /// Locks a name that is to be given, and takes a fresh look at what is there.
    async fn lock_name(&mut self, schema: Oid, name: &str) -> Result<()> {
        self.lock(Target::Name(schema, name.to_owned()), Mode::Exclusive).await?;
        self.transaction.start_statement();
        Ok(())
    }

    /// Locks a table against all other statements, and gives it as it is then.
    async fn lock_table(&mut self, table: &Table) -> Result<Arc<Table>> {
        lock_table(table, Mode::Exclusive, self.env, self.transaction).await?;
        self.transaction.start_statement();
        if self.transaction.is_behind(table.id) {
            return Err(changed_meanwhile());
        }
        self.catalog().table(table.id).cloned().ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("relation \"{}\" does not exist", table.name),
            )
        })
    }

    /// The schema in which a new object of this name goes.
    async fn schema_for(&mut self, name: &Name) -> Result<Arc<Schema>> {
        let catalog = self.catalog();
        let schema = match &name.schema {
            Some(schema) if schema == PG_TEMP => self.temporary_schema().await?,
            Some(schema) => self.schema_named(schema)?,
            None => {
                let first = self.env.context.explicit_path().into_iter().next();
                let schema = first.and_then(|id| catalog.schema(id).cloned());
                schema.ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_SCHEMA_NAME,
                        "no schema has been selected to create in",
                    )
                })?
            }
        };
        if [PG_CATALOG, INFORMATION_SCHEMA].contains(&schema.id) {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to create \"{}.{}\"", schema.name, name.name),
            )
            .detail("System catalog modifications are currently disallowed."));
        }
        if schema.is_temporary() && schema.name != temporary_schema(self.env.context.process_id()) {
            return Err(Error::new(
                SqlState::INVALID_TABLE_DEFINITION,
                "cannot create relations in temporary schemas of other sessions",
            ));
        }
        self.check_creates_in(schema.id)?;
        Ok(schema)
    }

    /// The session's temporary schema, which its first relation makes.
    async fn temporary_schema(&mut self) -> Result<Arc<Schema>> {
        let (database, owner) = (self.env.context.database(), self.env.context.user());
        let name = temporary_schema(self.env.context.process_id());
        if let Some(schema) = self.catalog().schema_named(database, &name) {
            return Ok(Arc::clone(schema));
        }
        self.check_makes_temporary()?;
        let id = self.fresh_oid();
        let schema = Arc::new(Schema { id, database: Some(database), name, owner, comment: None });
        self.transaction.change([Change::Schema(Arc::clone(&schema))]);
        Ok(schema)
    }

    fn schema_named(&mut self, name: &str) -> Result<Arc<Schema>> {
        let database = self.env.context.database();
        let name = &*schema_in_session(name, self.env.context.process_id());
        self.catalog().schema_named(database, name).cloned().ok_or_else(|| {
            Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
        })
    }

    /// The relation of a name, if there is one.
    fn find(&mut self, name: &Name) -> Result<Option<Relation>> {
        let catalog = self.catalog();
        match &name.schema {
            Some(schema) => {
                let database = self.env.context.database();
                let schema = schema_in_session(schema, self.env.context.process_id());
                let Some(schema) = catalog.schema_named(database, &schema) else { return Ok(None) };
                self.check_any(schema.id, Privileges::USAGE)?;
                Ok(catalog.relation_named(schema.id, &name.name))
            }
            None => Ok(catalog.resolve(&self.env.context.search_path(), &name.name)),
        }
    }

    /// The relation of a name, or 42P01.
    fn expect(&mut self, name: &Name) -> Result<Relation> {
        if let Some(relation) = self.find(name)? {
            return Ok(relation);
        }
        let path = self.env.context.search_path();
        let error = self.catalog().no_relation(&path, &name.name, &name.to_string());
        Err(if name.position > 0 { error.at(name.position) } else { error })
    }

    /// Whether a name stands for a relation of the system.
    fn is_system(&self, name: &Name) -> bool {
        pg::lookup(name.schema.as_deref().unwrap_or("pg_catalog"), &name.name).is_some()
    }

    fn expect_table(&mut self, name: &Name) -> Result<Arc<Table>> {
        self.expect(name)?.into_table()
    }

    /// What `IF EXISTS` says of a thing that is not there.
    fn skipping(&self, what: &str, name: &str) {
        let message = format!("{what} \"{name}\" does not exist, skipping");
        self.env.context.notice(Error::new(SqlState::new(b"00000"), message));
    }

    /// What `IF NOT EXISTS` says of a thing that is there.
    fn exists_already(&self, state: SqlState, what: &str, name: &str) {
        self.env
            .context
            .notice(Error::new(state, format!("{what} \"{name}\" already exists, skipping")));
    }

    fn notice(&self, message: impl Into<String>) {
        self.env.context.notice(Error::new(SqlState::new(b"00000"), message));
    }

    /// A name for an object that was given none: `items_embedding_idx`, with a number where that
    /// is taken.
    fn free_name(&mut self, schema: Oid, base: &str, taken: &[String]) -> String {
        let catalog = self.catalog();
        let is_free = |name: &str| {
            catalog.relation_named(schema, name).is_none() && !taken.iter().any(|t| t == name)
        };
        let mut name = base.to_owned();
        let mut number = 0;
        while !is_free(&name) {
            number += 1;
            name = format!("{base}{number}");
        }
        name
    }

    /// Refuses a name that is taken.
    fn refuse_taken(&mut self, schema: Oid, name: &str) -> Result<()> {
        match self.catalog().relation_named(schema, name) {
            None => Ok(()),
            Some(_) => Err(Error::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            )),
        }
    }
}

/// The parts of a name of an object that was given none, shortened to what a name may have.
fn joined_name(table: &str, columns: &str, suffix: &str) -> String {
    let parts = [table, columns, suffix];
    let whole: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut name = whole.join("_");
    if name.len() > 63 {
        let rest = suffix.len() + 2;
        let keep = (63 - rest) / 2;
        let cut = |text: &str| -> String {
            let end = (0..=keep.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
            text[..end.unwrap_or(0)].to_owned()
        };
        name = format!("{}_{}_{suffix}", cut(table), cut(columns));
    }
    name
}
