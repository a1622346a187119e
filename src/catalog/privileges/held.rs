//! What a role may do with an object.

use super::{AccessItem, AccessList, Class, EVERYBODY, Grants, Privileges};
use crate::{
    catalog::{
        Catalog, INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_ROLE, Relation, pg,
        temporary::is_temporary,
    },
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
};
use std::{borrow::Cow, collections::BTreeSet};

/// Relations of the system that tell what not everybody should know.
const CLOSED: [&str; 2] = ["pg_authid", "pg_shadow"];

/// An object as rights see it.
#[derive(Debug, Clone)]
pub struct Object<'c> {
    /// Its oid.
    pub id: Oid,
    /// What one may do with it.
    pub class: Class,
    /// Its word in messages: `view`.
    pub word: &'static str,
    /// Its name.
    pub name: Cow<'c, str>,
    /// Whose it is.
    pub owner: Oid,
    grants: Option<&'c Grants>,
}

impl Object<'_> {
    /// Its access list where one was made, `None` while it is as it began.
    #[must_use]
    pub fn granted(&self) -> Option<&AccessList> {
        self.grants.and_then(|grants| grants.list.as_ref())
    }

    /// The access list that catalogs show: `None` for one that says nothing beyond its kind.
    #[must_use]
    pub fn shown(&self) -> Option<Cow<'_, AccessList>> {
        match self.granted() {
            Some(list) => Some(Cow::Borrowed(list)),
            None if self.is_temporary() => None,
            None => (!self.opened().is_empty()).then(|| self.list()),
        }
    }

    /// Its access list.
    #[must_use]
    pub fn list(&self) -> Cow<'_, AccessList> {
        if let Some(list) = self.granted() {
            return Cow::Borrowed(list);
        }
        let mut list = self.class.initial(self.owner);
        list.grant(AccessItem::new(EVERYBODY, self.owner, self.opened()));
        Cow::Owned(list)
    }

    fn is_temporary(&self) -> bool {
        self.class == Class::Schema && is_temporary(&self.name)
    }

    /// What everybody may do from the beginning with this one, though not with others of its kind:
    /// look at the catalog, and find what is in the schemas that are always there.
    fn opened(&self) -> Privileges {
        // Whatever role a session acts as, its temporary relations are at hand.
        if self.is_temporary() {
            return Class::Schema.all();
        }
        let is_open = match self.class {
            Class::Relation => pg::relation(self.id).is_some() && !CLOSED.contains(&&*self.name),
            Class::Schema => {
                [PG_CATALOG, INFORMATION_SCHEMA].contains(&self.id) || self.name == "public"
            }
            _ => false,
        };
        match self.class {
            Class::Schema if is_open => Privileges::USAGE,
            _ if is_open => Privileges::SELECT,
            _ => Privileges::NONE,
        }
    }

    /// The columns on which something was granted.
    pub fn granted_columns(&self) -> impl Iterator<Item = ColumnId> {
        self.grants.into_iter().flat_map(|grants| grants.columns.keys().copied())
    }

    /// The access list of a column.
    #[must_use]
    pub fn column(&self, column: ColumnId) -> Option<&AccessList> {
        self.grants.and_then(|grants| grants.columns.get(&column))
    }

    /// Refuses what is not held.
    ///
    /// # Errors
    /// 42501.
    pub fn denied(&self) -> Error {
        denied(self.word, &self.name)
    }
}

/// Who does not have a privilege.
#[must_use]
pub fn denied(word: &str, name: &str) -> Error {
    let message = format!("permission denied for {word} {name}");
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

/// Who does what only an owner may.
#[must_use]
pub fn not_owner(word: &str, name: &str) -> Error {
    let message = format!("must be owner of {word} {name}");
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

impl Catalog {
    /// An object of an oid, if it is of a kind on which something can be granted.
    #[must_use]
    pub fn object(&self, id: Oid) -> Option<Object<'_>> {
        let object = |class, word, name, owner| {
            Some(Object {
                id,
                class,
                word,
                name,
                owner,
                grants: self.grants(id).map(AsRef::as_ref),
            })
        };
        if let Some(system) = pg::relation(id) {
            return object(Class::Relation, "table", system.name.into(), POSTGRES_ROLE);
        }
        if let Some(table) = self.table(id) {
            return object(Class::Relation, "table", (&*table.name).into(), table.owner);
        }
        if let Some(view) = self.view(id) {
            return object(Class::Relation, "view", (&*view.name).into(), view.owner);
        }
        if let Some(sequence) = self.sequence(id) {
            return object(Class::Sequence, "sequence", (&*sequence.name).into(), sequence.owner);
        }
        if let Some(schema) = self.schema(id) {
            return object(Class::Schema, "schema", (&*schema.name).into(), schema.owner);
        }
        if let Some(made) = self.type_(id) {
            return object(Class::Type, "type", made.name().into(), made.owner);
        }
        if let Some(domain) = self.domain(id) {
            return object(Class::Type, "type", (&*domain.name).into(), domain.owner);
        }
        let database = self.database(id)?;
        object(Class::Database, "database", (&*database.name).into(), database.owner)
    }

    /// What a role may do with an object: all of it, or what was granted to it, to roles it inherits
    /// from and to everybody.
    #[must_use]
    pub fn held(&self, role: Oid, object: &Object<'_>) -> Privileges {
        if self.is_superuser(role) {
            return object.class.all();
        }
        let roles = self.standing_for(role);
        object.list().held(|grantee| roles.contains(&grantee))
    }

    /// What a role may do with a column beyond what it may with the whole.
    #[must_use]
    pub fn held_on(&self, role: Oid, object: &Object<'_>, column: ColumnId) -> Privileges {
        let Some(list) = object.column(column) else { return Privileges::NONE };
        let roles = self.standing_for(role);
        list.held(|grantee| roles.contains(&grantee))
    }

    /// What a role may grant on: all of what is its own.
    #[must_use]
    pub fn grantable(&self, role: Oid, object: &Object<'_>) -> Privileges {
        if self.has_privileges_of(role, object.owner) {
            return object.class.all();
        }
        let roles = self.standing_for(role);
        object.list().options(|grantee| roles.contains(&grantee))
    }

    /// The same of a column, beyond what it may of the whole.
    #[must_use]
    pub fn grantable_on(&self, role: Oid, object: &Object<'_>, column: ColumnId) -> Privileges {
        let Some(list) = object.column(column) else { return Privileges::NONE };
        let roles = self.standing_for(role);
        list.options(|grantee| roles.contains(&grantee))
    }

    /// Refuses a role that may do none of some things with an object.
    ///
    /// # Errors
    /// 42501.
    pub fn check_any(&self, role: Oid, object: Oid, privileges: Privileges) -> Result<()> {
        if self.is_superuser(role) {
            return Ok(());
        }
        let Some(object) = self.object(object) else { return Ok(()) };
        match self.held(role, &object).common(privileges).is_empty() {
            true => Err(object.denied()),
            false => Ok(()),
        }
    }

    /// The roles whose grants count for a role: itself, those that it inherits from, everybody.
    fn standing_for(&self, role: Oid) -> BTreeSet<Oid> {
        let mut roles = self.roles_above(role, |membership| membership.inherit);
        roles.extend([role, EVERYBODY]);
        roles
    }

    /// Whether a role may do something with a relation, or with a column of it.
    #[must_use]
    pub fn concerns(&self, role: Oid, relation: Oid) -> bool {
        if self.is_superuser(role) {
            return true;
        }
        let Some(object) = self.object(relation) else { return false };
        let is_held = |column| !self.held_on(role, &object, column).is_empty();
        self.has_privileges_of(role, object.owner)
            || !self.held(role, &object).is_empty()
            || object.granted_columns().any(is_held)
    }

    /// The same, where the role may look into the schema of the relation, too.
    #[must_use]
    pub fn sees(&self, role: Oid, relation: Oid) -> bool {
        let schema = self.relation(relation).map(|relation| self.schema_of(&relation));
        let is_reached =
            schema.is_none_or(|schema| self.check_any(role, schema, Privileges::USAGE).is_ok());
        is_reached && self.concerns(role, relation)
    }

    /// 42501 for a relation.
    #[must_use]
    pub fn denied(&self, relation: Oid) -> Error {
        self.object(relation).map_or_else(|| denied("relation", ""), |object| object.denied())
    }

    /// The columns of a relation, by number and name.
    pub fn columns_of(&self, relation: Oid) -> Vec<(ColumnId, &str)> {
        if let Some(system) = pg::relation(relation) {
            return (1..).map(ColumnId).zip(system.columns.iter().map(|c| c.name)).collect();
        }
        if let Some(table) = self.table(relation) {
            return table.columns.iter().map(|column| (column.id, &*column.name)).collect();
        }
        let view = self.view(relation).into_iter();
        let names = view.flat_map(|view| view.columns.iter().map(|(name, _)| &**name));
        (1..).map(ColumnId).zip(names).collect()
    }

    /// The number of a relation's column.
    #[must_use]
    pub fn column_named(&self, relation: Oid, name: &str) -> Option<ColumnId> {
        let columns = self.columns_of(relation);
        columns.into_iter().find(|(_, other)| *other == name).map(|(id, _)| id)
    }

    /// The name of a relation's column.
    #[must_use]
    pub fn column_name(&self, relation: Oid, column: ColumnId) -> Option<String> {
        let columns = self.columns_of(relation);
        columns.into_iter().find(|(id, _)| *id == column).map(|(_, name)| name.to_owned())
    }

    /// The schema in which a relation lies.
    #[must_use]
    pub fn schema_of(&self, relation: &Relation) -> Oid {
        match relation {
            Relation::Table(table) | Relation::Key(table, _) => table.schema,
            Relation::View(view) => view.schema,
            Relation::Sequence(sequence) => sequence.schema,
            Relation::Index(index) => index.schema,
        }
    }
}
