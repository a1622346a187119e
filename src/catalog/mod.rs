//! Names: an immutable picture of every database, schema, table, index, sequence, view and role,
//! swapped whole. A statement takes one `Arc<Catalog>` and keeps it.
//!
//! A change is a value ([`Change`]): the whole new object, or its end. A transaction collects
//! changes, the log carries them, and [`Catalog::with`] makes the next picture of them; applying
//! a change twice is the same as once.

mod domain;
mod index;
mod model;
pub mod pg;
pub mod privileges;
mod relation;
mod role;
mod table;
mod temporary;
mod user_type;
pub mod webhook;

pub use domain::{Domain, DomainCheck};
pub use index::{
    CODE_BITS_OPTION, Index, IndexKind, RECALL_TARGET, RECALL_TARGET_OPTION, SPILL_OPTION,
};
pub use model::Model;
pub use privileges::{Grants, Membership, Privileges};
pub use relation::{Relation, Sequence, View};
pub use role::Role;
pub use table::{
    Column, ColumnModel, Constraint, ConstraintKind, Identity, OnCommit, Replacement, Table,
    nearest,
};
pub use temporary::{PG_TEMP, schema_in_session, temporary_schema};
pub use user_type::{UserType, no_type};
pub use webhook::Webhook;

use crate::{
    error::{Error, SqlState},
    ids::{FIRST_OID, IndexId, Lsn, Oid, TableId},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The initial role.
pub const POSTGRES_ROLE: Oid = Oid(10);
/// The initial database.
pub const POSTGRES_DATABASE: Oid = Oid(5);
/// The schema of PostgreSQL's own relations, types and functions.
pub const PG_CATALOG: Oid = Oid(11);
/// The schema where tables go that name none.
pub const PUBLIC: Oid = Oid(2200);
/// The standard's views of the catalog.
pub const INFORMATION_SCHEMA: Oid = Oid(13000);

/// The picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    version: u64,
    next_oid: Oid,
    databases: BTreeMap<Oid, Arc<Database>>,
    roles: BTreeMap<Oid, Arc<Role>>,
    schemas: BTreeMap<Oid, Arc<Schema>>,
    tables: BTreeMap<TableId, Arc<Table>>,
    indexes: BTreeMap<IndexId, Arc<Index>>,
    sequences: BTreeMap<Oid, Arc<Sequence>>,
    views: BTreeMap<Oid, Arc<View>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    types: BTreeMap<Oid, Arc<UserType>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    domains: BTreeMap<Oid, Arc<Domain>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    webhooks: BTreeMap<Oid, Arc<Webhook>>,
    /// The commit with which webhooks began; events are told of those behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_since: Option<Lsn>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<Oid, Arc<Model>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    grants: BTreeMap<Oid, Arc<Grants>>,
}

/// A database: schemas that see each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its oid.
    pub id: Oid,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// Extensions that were created: name and schema.
    #[serde(default)]
    pub extensions: BTreeMap<String, Oid>,
    /// `ALTER DATABASE … SET`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// `COMMENT ON DATABASE`.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A schema: a space of names in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its oid.
    pub id: Oid,
    /// The database; `None` for those that every database has.
    pub database: Option<Oid>,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// `COMMENT ON SCHEMA`.
    #[serde(default)]
    pub comment: Option<String>,
}

/// One change of the catalog: an object as it is from now on, or its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each names the object it puts or drops, or its value")]
pub enum Change {
    Database(Arc<Database>),
    DropDatabase(Oid),
    Role(Arc<Role>),
    DropRole(Oid),
    Schema(Arc<Schema>),
    DropSchema(Oid),
    Table(Arc<Table>),
    DropTable(TableId),
    Index(Arc<Index>),
    DropIndex(IndexId),
    Sequence(Arc<Sequence>),
    SequenceValue {
        sequence: Oid,
        last: Option<i64>,
    },
    DropSequence(Oid),
    View(Arc<View>),
    DropView(Oid),
    Type(Arc<UserType>),
    DropType(Oid),
    Domain(Arc<Domain>),
    DropDomain(Oid),
    Webhook(Arc<Webhook>),
    DropWebhook(Oid),
    Model(Arc<Model>),
    DropModel(Oid),
    /// They go with their object.
    Grants(Arc<Grants>),
}

impl Default for Catalog {
    /// What a new data folder holds: the role and the database `postgres`.
    fn default() -> Self {
        let owner = POSTGRES_ROLE;
        let schema = |id: Oid, database, name: &str, comment: &str| {
            let name = name.to_owned();
            let comment = Some(comment.to_owned());
            (id, Arc::new(Schema { id, database, name, owner, comment }))
        };
        let postgres = Database {
            id: POSTGRES_DATABASE,
            name: "postgres".into(),
            owner,
            extensions: BTreeMap::new(),
            settings: BTreeMap::new(),
            comment: Some("default administrative connection database".into()),
        };
        let role = Role {
            superuser: true,
            login: true,
            create_role: true,
            create_database: true,
            ..Role::new(owner, "postgres")
        };
        Self {
            version: 0,
            next_oid: FIRST_OID,
            databases: [(POSTGRES_DATABASE, Arc::new(postgres))].into(),
            roles: [(owner, Arc::new(role))].into(),
            schemas: [
                schema(PG_CATALOG, None, "pg_catalog", "system catalog schema"),
                schema(INFORMATION_SCHEMA, None, "information_schema", "the standard's views"),
                schema(PUBLIC, Some(POSTGRES_DATABASE), "public", "standard public schema"),
            ]
            .into(),
            tables: BTreeMap::new(),
            indexes: BTreeMap::new(),
            sequences: BTreeMap::new(),
            views: BTreeMap::new(),
            types: BTreeMap::new(),
            domains: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            told_since: None,
            models: BTreeMap::new(),
            grants: BTreeMap::new(),
        }
        .skipping_type_oids()
    }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $one:ident, $many:ident: $kind:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $one(&self, id: Oid) -> Option<&Arc<$kind>> {
            self.$many.get(&id)
        }

        /// All of them, by oid.
        pub fn $many(&self) -> impl Iterator<Item = &Arc<$kind>> {
            self.$many.values()
        }
    )*};
}

impl Catalog {
    accessors! {
        /// The database of an oid.
        database, databases: Database;
        /// The role of an oid.
        role, roles: Role;
        /// The schema of an oid.
        schema, schemas: Schema;
        /// The table of an oid.
        table, tables: Table;
        /// The index of an oid.
        index, indexes: Index;
        /// The sequence of an oid.
        sequence, sequences: Sequence;
        /// The view of an oid.
        view, views: View;
        /// The type of an oid, if a user made it.
        type_, types: UserType;
        /// The domain of an oid.
        domain, domains: Domain;
        /// The webhook of an oid.
        webhook, webhooks: Webhook;
        /// The model of an oid.
        model, models: Model;
    }

    /// What was granted on an object and its columns, if ever something was.
    #[must_use]
    pub fn grants(&self, id: Oid) -> Option<&Arc<Grants>> {
        self.grants.get(&id)
    }

    /// All that was granted, by the oids of objects.
    pub fn all_grants(&self) -> impl Iterator<Item = &Arc<Grants>> {
        self.grants.values()
    }

    /// Grows with every change: two pictures of one version are the same.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The oid to use for the next new object.
    #[must_use]
    pub fn next_oid(&self) -> Oid {
        self.next_oid
    }

    /// The database of a name.
    #[must_use]
    pub fn database_named(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases().find(|database| database.name == name)
    }

    /// The role of a name.
    #[must_use]
    pub fn role_named(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles().find(|role| role.name == name)
    }

    /// The schema of a name, as seen from a database.
    #[must_use]
    pub fn schema_named(&self, database: Oid, name: &str) -> Option<&Arc<Schema>> {
        self.schemas()
            .find(|schema| schema.name == name && schema.database.is_none_or(|d| d == database))
    }

    /// The relation of a name in a schema.
    #[must_use]
    pub fn relation_named(&self, schema: Oid, name: &str) -> Option<Relation> {
        let table = |table: &&Arc<Table>| table.schema == schema && table.name == name;
        if let Some(table) = self.tables().find(table) {
            return Some(Relation::Table(Arc::clone(table)));
        }
        if let Some(view) = self.views().find(|view| view.schema == schema && view.name == name) {
            return Some(Relation::View(Arc::clone(view)));
        }
        if let Some(index) = self.indexes().find(|i| i.schema == schema && i.name == name) {
            return Some(Relation::Index(Arc::clone(index)));
        }
        if let Some(sequence) = self.sequences().find(|s| s.schema == schema && s.name == name) {
            return Some(Relation::Sequence(Arc::clone(sequence)));
        }
        self.tables().filter(|table| table.schema == schema).find_map(|table| {
            let is_key = |c: &Constraint| {
                let key = ConstraintKind::is_key(&c.kind);
                key && c.name == name
            };
            let place = table.constraints.iter().position(is_key)?;
            Some(Relation::Key(Arc::clone(table), place))
        })
    }

    /// The relation of an oid.
    #[must_use]
    pub fn relation(&self, id: Oid) -> Option<Relation> {
        let table = || self.table(id).cloned().map(Relation::Table);
        let view = || self.view(id).cloned().map(Relation::View);
        let index = || self.index(id).cloned().map(Relation::Index);
        let sequence = || self.sequence(id).cloned().map(Relation::Sequence);
        let key = || {
            self.tables().find_map(|table| {
                let place = table.constraints.iter().position(|c| c.id == id && c.kind.is_key())?;
                Some(Relation::Key(Arc::clone(table), place))
            })
        };
        table().or_else(view).or_else(index).or_else(sequence).or_else(key)
    }

    /// The indexes of a table.
    pub fn indexes_of(&self, table: TableId) -> impl Iterator<Item = &Arc<Index>> {
        self.indexes().filter(move |index| index.table == table)
    }

    /// The first relation of that name along a search path of schemas.
    #[must_use]
    pub fn resolve(&self, path: &[Oid], name: &str) -> Option<Relation> {
        path.iter().find_map(|&schema| self.relation_named(schema, name))
    }

    /// What a change would put its object in the place of, as the change that puts it as it is
    /// here; `None` where there is none, and for a change that puts nothing.
    #[must_use]
    pub fn replaced_by(&self, change: &Change) -> Option<Change> {
        match change {
            Change::Database(new) => self.database(new.id).cloned().map(Change::Database),
            Change::Role(new) => self.role(new.id).cloned().map(Change::Role),
            Change::Schema(new) => self.schema(new.id).cloned().map(Change::Schema),
            Change::Table(new) => self.table(new.id).cloned().map(Change::Table),
            Change::Index(new) => self.index(new.id).cloned().map(Change::Index),
            Change::View(new) => self.view(new.id).cloned().map(Change::View),
            Change::Type(new) => self.type_(new.id()).cloned().map(Change::Type),
            Change::Domain(new) => self.domain(new.id).cloned().map(Change::Domain),
            Change::Webhook(new) => self.webhook(new.id).cloned().map(Change::Webhook),
            Change::Model(new) => self.model(new.id).cloned().map(Change::Model),
            Change::Grants(new) => self.grants(new.id).cloned().map(Change::Grants),
            // Its value is nothing that a definition is made from.
            Change::Sequence(new) => self.sequence(new.id).map(|sequence| {
                Change::Sequence(Arc::new(Sequence { last: None, ..Sequence::clone(sequence) }))
            }),
            _ => None,
        }
    }

    /// The picture after some changes. Oids of new objects move `next_oid` up.
    #[must_use]
    pub fn with<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut next = self.clone();
        for change in changes {
            // Names mean the same whatever value a sequence is at.
            next.version += u64::from(!matches!(change, Change::SequenceValue { .. }));
            next.apply(change);
        }
        next.skipping_type_oids()
    }

    fn apply(&mut self, change: &Change) {
        if let Change::DropDatabase(id)
        | Change::DropSchema(id)
        | Change::DropTable(id)
        | Change::DropSequence(id)
        | Change::DropView(id)
        | Change::DropType(id)
        | Change::DropDomain(id) = change
        {
            self.grants.remove(id);
        }
        fn put<T>(map: &mut BTreeMap<Oid, Arc<T>>, next: &mut Oid, id: Oid, value: &Arc<T>) {
            *next = Oid(next.0.max(id.0 + 1));
            map.insert(id, Arc::clone(value));
        }
        // Types may have changed since the change was made.
        let current = match change {
            Change::Table(table) => Some(Change::Table(self.with_current_types(table))),
            Change::View(view) => Some(Change::View(self.view_with_current_types(view))),
            Change::Domain(domain) => {
                let base = self.current(&domain.base);
                Some(Change::Domain(Arc::new(Domain { base, ..Domain::clone(domain) })))
            }
            _ => None,
        };
        let change = current.as_ref().unwrap_or(change);
        let next = &mut self.next_oid;
        match change {
            Change::Database(database) => put(&mut self.databases, next, database.id, database),
            Change::Role(role) => {
                let memberships = role.member_of.iter().map(|m| m.id.0 + 1).max().unwrap_or(0);
                *next = Oid(next.0.max(memberships));
                put(&mut self.roles, next, role.id, role);
            }
            Change::Schema(schema) => put(&mut self.schemas, next, schema.id, schema),
            Change::Table(table) => {
                let constraints = table.constraints.iter().map(|c| c.id.0 + 1).max().unwrap_or(0);
                *next = Oid(next.0.max(constraints));
                put(&mut self.tables, next, table.id, table);
            }
            Change::Index(index) => put(&mut self.indexes, next, index.id, index),
            Change::Sequence(sequence) => {
                // A definition says nothing of the value of a sequence that is there already.
                let last = self.sequences.get(&sequence.id).map_or(sequence.last, |s| s.last);
                let sequence = Arc::new(Sequence { last, ..Sequence::clone(sequence) });
                put(&mut self.sequences, next, sequence.id, &sequence);
            }
            Change::SequenceValue { sequence, last } => {
                if let Some(known) = self.sequences.get_mut(sequence) {
                    Arc::make_mut(known).last = *last;
                }
            }
            Change::View(view) => put(&mut self.views, next, view.id, view),
            Change::Type(made) => {
                *next = Oid(next.0.max(made.last_oid().0 + 1));
                put(&mut self.types, next, made.id(), made);
            }
            Change::Domain(domain) => {
                *next = Oid(next.0.max(domain.last_oid().0 + 1));
                put(&mut self.domains, next, domain.id, domain);
            }
            Change::Webhook(webhook) => {
                put(&mut self.webhooks, next, webhook.id, webhook);
                self.tables.entry(webhook::OUTBOX).or_insert_with(webhook::outbox);
            }
            Change::Model(model) => put(&mut self.models, next, model.id, model),
            Change::Grants(grants) => put(&mut self.grants, next, grants.id, grants),
            Change::DropDatabase(id) => {
                self.databases.remove(id);
                self.webhooks.retain(|_, webhook| webhook.database != *id);
            }
            Change::DropRole(id) => {
                self.roles.remove(id);
                for role in self.roles.values_mut() {
                    if role.member_of.iter().any(|membership| membership.role == *id) {
                        Arc::make_mut(role).member_of.retain(|membership| membership.role != *id);
                    }
                }
            }
            Change::DropSchema(id) => {
                self.schemas.remove(id);
                for role in self.roles.values_mut() {
                    if role.default_access.iter().any(|said| said.schema == Some(*id)) {
                        let said = &mut Arc::make_mut(role).default_access;
                        said.retain(|said| said.schema != Some(*id));
                    }
                }
            }
            Change::DropTable(id) => {
                self.tables.remove(id);
                self.webhooks.retain(|_, webhook| webhook.table != Some(*id));
            }
            Change::DropIndex(id) => drop(self.indexes.remove(id)),
            Change::DropSequence(id) => drop(self.sequences.remove(id)),
            Change::DropView(id) => drop(self.views.remove(id)),
            Change::DropType(id) => drop(self.types.remove(id)),
            Change::DropDomain(id) => drop(self.domains.remove(id)),
            Change::DropWebhook(id) => drop(self.webhooks.remove(id)),
            Change::DropModel(id) => drop(self.models.remove(id)),
        }
        if let Change::Type(made) = change {
            self.spread(made.id());
        }
    }

    /// The first hundred oids of ours belong to the types that Nearlake brings.
    fn skipping_type_oids(mut self) -> Self {
        self.next_oid = Oid(self.next_oid.0.max(FIRST_OID.0 + 100));
        self
    }

    /// An error for a relation that is not there, with the nearest name that is.
    #[must_use]
    pub fn no_relation(&self, path: &[Oid], name: &str, shown: &str) -> Error {
        let error =
            Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
        let here = |schema: &Oid| path.contains(schema);
        let tables = self.tables().filter(|t| here(&t.schema)).map(|t| t.name.as_str());
        let views = self.views().filter(|v| here(&v.schema)).map(|v| v.name.as_str());
        match nearest(name, tables.chain(views)) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    }
}
