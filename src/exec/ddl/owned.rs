//! What a role owns and was granted: REASSIGN OWNED hands it over, DROP OWNED gives it up, DROP ROLE
//! asks that there is nothing left.

use super::Ddl;
use crate::{
    catalog::{
        Catalog, Change, Database, Domain, Model, Role, Schema, Sequence, Table, UserType, View,
        Webhook, privileges::Grants,
    },
    error::{Error, Result, SqlState},
    ids::Oid,
    sql::utility::{Drop, Name, ObjectKind},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn reassign_owned(
        &mut self,
        from: &[String],
        to: &str,
    ) -> Result<&'static str> {
        self.transaction.check_writable("REASSIGN OWNED")?;
        let user = self.user();
        let to = self.role(to)?.id;
        for name in from {
            let from = self.role(name)?;
            let catalog = self.catalog();
            for role in [from.id, to] {
                if !catalog.has_privileges_of(user, role) {
                    let message = "permission denied to reassign objects";
                    return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
                }
            }
            let tables: Vec<Arc<Table>> =
                catalog.tables().filter(|table| table.owner == from.id).cloned().collect();
            for table in tables {
                self.lock_table(&table).await?;
            }
            let (catalog, database) = (self.catalog(), self.env.context.database());
            self.transaction.change(handed_over(&catalog, database, from.id, to));
            let objects: Vec<Oid> = catalog.all_grants().map(|grants| grants.id).collect();
            for id in objects {
                let is_own = catalog.object(id).is_some_and(|object| object.owner == from.id);
                if is_own && is_here(&catalog, database, id) {
                    self.hand_over_grants(id, from.id, to);
                }
            }
        }
        Ok("REASSIGN OWNED")
    }

    pub(super) async fn drop_owned(
        &mut self,
        roles: &[String],
        cascade: bool,
    ) -> Result<&'static str> {
        self.transaction.check_writable("DROP OWNED")?;
        let user = self.user();
        for name in roles {
            let role = self.role(name)?;
            if !self.catalog().has_privileges_of(user, role.id) {
                let message = "permission denied to drop objects";
                return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            self.drop_owned_by(role.id, cascade).await?;
            self.forget_grants_to(role.id);
        }
        Ok("DROP OWNED")
    }

    /// Schemas and what is in them first, then what lies in the schemas of others.
    async fn drop_owned_by(&mut self, role: Oid, cascade: bool) -> Result<()> {
        let database = self.env.context.database();
        for object in [
            ObjectKind::View,
            ObjectKind::Table,
            ObjectKind::Sequence,
            ObjectKind::Domain,
            ObjectKind::Type,
            ObjectKind::Schema,
        ] {
            let catalog = self.catalog();
            let named = |schema: Oid, name: &str| {
                let schema = catalog.schema(schema).filter(|s| s.database == Some(database))?;
                Some(Name { schema: Some(schema.name.clone()), name: name.to_owned(), position: 0 })
            };
            let names: Vec<Name> = match object {
                ObjectKind::View => {
                    let own = catalog.views().filter(|view| view.owner == role);
                    own.filter_map(|view| named(view.schema, &view.name)).collect()
                }
                ObjectKind::Table => {
                    let own = catalog.tables().filter(|table| table.owner == role);
                    own.filter_map(|table| named(table.schema, &table.name)).collect()
                }
                ObjectKind::Sequence => {
                    let own = catalog.sequences().filter(|s| s.owner == role);
                    own.filter_map(|sequence| named(sequence.schema, &sequence.name)).collect()
                }
                ObjectKind::Domain => {
                    let own = catalog.domains().filter(|domain| domain.owner == role);
                    own.filter_map(|domain| named(domain.schema, &domain.name)).collect()
                }
                ObjectKind::Type => {
                    let own = catalog.types().filter(|made| made.owner == role);
                    own.filter_map(|made| named(made.schema, made.name())).collect()
                }
                _ => {
                    let own = catalog.schemas().filter(|schema| schema.owner == role);
                    let own = own.filter(|schema| schema.database == Some(database));
                    own.map(|s| Name { schema: None, name: s.name.clone(), position: 0 }).collect()
                }
            };
            for name in names {
                let names = vec![name];
                let concurrently = false;
                // Some may have gone with others.
                let is_there = match &names[0] {
                    Name { schema: None, name, .. } => {
                        self.catalog().schema_named(database, name).is_some()
                    }
                    // One that is gone is passed over by IF EXISTS.
                    _ if matches!(object, ObjectKind::Type | ObjectKind::Domain) => true,
                    name => self.find(name)?.is_some(),
                };
                if is_there {
                    let drop = Drop { object, names, if_exists: true, cascade, concurrently };
                    self.drop_objects(&drop).await?;
                }
            }
        }
        let catalog = self.catalog();
        let webhooks = catalog.webhooks();
        let own = webhooks.filter(|webhook| (webhook.owner, webhook.database) == (role, database));
        self.transaction.change(own.map(|webhook| Change::DropWebhook(webhook.id)));
        Ok(())
    }

    fn forget_grants_to(&mut self, role: Oid) {
        let catalog = self.catalog();
        let database = self.env.context.database();
        let mut changes = Vec::new();
        for grants in catalog.all_grants().filter(|grants| grants.names(role)) {
            let Some(object) = catalog.object(grants.id) else { continue };
            if !is_here(&catalog, database, grants.id) || object.owner == role {
                continue;
            }
            let mut grants = Grants::clone(grants);
            grants.lists_mut().for_each(|list| list.forget(role, object.owner));
            changes.push(Change::Grants(Arc::new(grants)));
        }
        for other in catalog.roles() {
            let is_named = |said: &crate::catalog::privileges::DefaultAccess| {
                other.id == role || said.list.names(role)
            };
            if !other.default_access.iter().any(is_named) {
                continue;
            }
            let mut other = Role::clone(other);
            if other.id == role {
                other.default_access.clear();
            }
            let owner = other.id;
            other.default_access.iter_mut().for_each(|said| said.list.forget(role, owner));
            other.forget_idle_defaults();
            changes.push(Change::Role(Arc::new(other)));
        }
        self.transaction.change(changes);
    }

    /// Refuses to drop a role on which something depends.
    pub(super) fn check_idle(&mut self, role: &Role) -> Result<()> {
        let dependent = dependent(&self.catalog(), role.id);
        if dependent.is_empty() {
            return Ok(());
        }
        let message =
            format!("role \"{}\" cannot be dropped because some objects depend on it", role.name);
        Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .detail(dependent.join("\n")))
    }
}

/// Whether an object is of a database, or the database itself.
fn is_here(catalog: &Catalog, database: Oid, id: Oid) -> bool {
    let in_schema = |schema: Oid| {
        catalog.schema(schema).is_some_and(|s| s.database.is_none_or(|own| own == database))
    };
    let of_type = catalog.type_(id).map(|made| made.schema);
    let schema = of_type.or_else(|| catalog.domain(id).map(|domain| domain.schema));
    match catalog.relation(id).map(|relation| catalog.schema_of(&relation)).or(schema) {
        Some(schema) => in_schema(schema),
        None => catalog.database(id).is_some() || in_schema(id) || catalog.schema(id).is_none(),
    }
}

/// All that a role owns in a database, with another owner; databases wherever one is.
fn handed_over(catalog: &Catalog, database: Oid, from: Oid, to: Oid) -> Vec<Change> {
    let in_here = |schema: Oid| {
        catalog.schema(schema).is_some_and(|schema| schema.database == Some(database))
    };
    let mut changes = Vec::new();
    for t in catalog.tables().filter(|t| t.owner == from && in_here(t.schema)) {
        changes.push(Change::Table(Arc::new(Table { owner: to, ..Table::clone(t) })));
    }
    for v in catalog.views().filter(|v| v.owner == from && in_here(v.schema)) {
        changes.push(Change::View(Arc::new(View { owner: to, ..View::clone(v) })));
    }
    for s in catalog.sequences().filter(|s| s.owner == from && in_here(s.schema)) {
        changes.push(Change::Sequence(Arc::new(Sequence { owner: to, ..Sequence::clone(s) })));
    }
    for t in catalog.types().filter(|t| t.owner == from && in_here(t.schema)) {
        changes.push(Change::Type(Arc::new(UserType { owner: to, ..UserType::clone(t) })));
    }
    for d in catalog.domains().filter(|d| d.owner == from && in_here(d.schema)) {
        changes.push(Change::Domain(Arc::new(Domain { owner: to, ..Domain::clone(d) })));
    }
    for s in catalog.schemas().filter(|s| s.owner == from && s.database == Some(database)) {
        changes.push(Change::Schema(Arc::new(Schema { owner: to, ..Schema::clone(s) })));
    }
    for d in catalog.databases().filter(|d| d.owner == from) {
        changes.push(Change::Database(Arc::new(Database { owner: to, ..Database::clone(d) })));
    }
    for w in catalog.webhooks().filter(|w| w.owner == from && w.database == database) {
        changes.push(Change::Webhook(Arc::new(Webhook { owner: to, ..Webhook::clone(w) })));
    }
    for m in catalog.models().filter(|m| m.owner == from) {
        changes.push(Change::Model(Arc::new(Model { owner: to, ..Model::clone(m) })));
    }
    changes
}

/// What there is of a role, in the words of DROP ROLE.
fn dependent(catalog: &Catalog, role: Oid) -> Vec<String> {
    let mut all = Vec::new();
    let mut owned = |what: &str, name: &str| all.push(format!("owner of {what} {name}"));
    catalog.tables().filter(|t| t.owner == role).for_each(|t| owned("table", &t.name));
    catalog.views().filter(|v| v.owner == role).for_each(|v| owned("view", &v.name));
    catalog.sequences().filter(|s| s.owner == role).for_each(|s| owned("sequence", &s.name));
    catalog.types().filter(|t| t.owner == role).for_each(|t| owned("type", t.name()));
    catalog.domains().filter(|d| d.owner == role).for_each(|d| owned("type", &d.name));
    catalog.schemas().filter(|s| s.owner == role).for_each(|s| owned("schema", &s.name));
    catalog.databases().filter(|d| d.owner == role).for_each(|d| owned("database", &d.name));
    catalog.webhooks().filter(|w| w.owner == role).for_each(|w| owned("webhook", &w.name));
    catalog.models().filter(|m| m.owner == role).for_each(|m| owned("embedding model", &m.name));
    for grants in catalog.all_grants().filter(|grants| grants.names(role)) {
        let object = catalog.object(grants.id).filter(|object| object.owner != role);
        all.extend(object.map(|o| format!("privileges for {} {}", o.word, o.name)));
    }
    for other in catalog.roles() {
        let said = &other.default_access;
        let is_named = other.id == role && !said.is_empty();
        if is_named || said.iter().any(|said| said.list.names(role)) {
            all.push(format!("privileges for default privileges of role {}", other.name));
        }
        for membership in other.member_of.iter().filter(|m| m.grantor == role) {
            let into = catalog.role(membership.role).map_or("", |role| &role.name);
            all.push(format!("privileges for membership of role {} in role {into}", other.name));
        }
    }
    all
}
