//! Who may change names: the owner of a thing, whoever has what its owner has, a superuser.

use super::Ddl;
use crate::{
    catalog::{
        Change, Relation, Role, Table,
        privileges::{AccessList, Class, Grants, Privileges, not_owner},
    },
    error::{Error, Result, SqlState},
    ids::Oid,
    sql::utility::RoleOptions,
};
use std::{collections::BTreeMap, sync::Arc};

impl Ddl<'_> {
    pub(super) fn user(&self) -> Oid {
        self.env.context.user()
    }

    /// Refuses whoever is not as good as the owner of a thing.
    pub(super) fn check_owner(&mut self, owner: Oid, what: &str, name: &str) -> Result<()> {
        let user = self.user();
        match self.catalog().has_privileges_of(user, owner) {
            true => Ok(()),
            false => Err(not_owner(what, name)),
        }
    }

    /// Refuses whoever does not own a relation. An index is its table's owner's.
    pub(super) fn check_owns(&mut self, relation: &Relation) -> Result<()> {
        let catalog = self.catalog();
        let (owner, what) = match relation {
            Relation::Table(table) => (table.owner, "table"),
            Relation::View(view) => (view.owner, "view"),
            Relation::Sequence(sequence) => (sequence.owner, "sequence"),
            Relation::Key(table, _) => (table.owner, "index"),
            Relation::Index(index) => {
                (catalog.table(index.table).map_or(Oid(0), |table| table.owner), "index")
            }
        };
        self.check_owner(owner, what, relation.name())
    }

    pub(super) fn check_owns_table(&mut self, table: &Table) -> Result<()> {
        self.check_owner(table.owner, "table", &table.name)
    }

    /// The same for DROP: the owner of its schema may drop a relation, too.
    pub(super) fn check_may_drop(&mut self, relation: &Relation) -> Result<()> {
        let (user, catalog) = (self.user(), self.catalog());
        let schema = catalog.schema(catalog.schema_of(relation));
        if schema.is_some_and(|schema| catalog.has_privileges_of(user, schema.owner)) {
            return Ok(());
        }
        self.check_owns(relation)
    }

    /// Refuses whoever holds none of some privileges on an object.
    pub(super) fn check_any(&mut self, object: Oid, privileges: Privileges) -> Result<()> {
        let user = self.user();
        self.catalog().check_any(user, object, privileges)
    }

    /// Refuses whoever may not make objects in a schema.
    pub(super) fn check_creates_in(&mut self, schema: Oid) -> Result<()> {
        self.check_any(schema, Privileges::CREATE)
    }

    /// Refuses whoever may not make schemas in the session's database.
    pub(super) fn check_creates_schemas(&mut self) -> Result<()> {
        self.check_any(self.env.context.database(), Privileges::CREATE)
    }

    /// Refuses whoever may have no temporary relations.
    pub(super) fn check_makes_temporary(&mut self) -> Result<()> {
        let database = self.env.context.database();
        self.check_any(database, Privileges::TEMPORARY).map_err(|_| {
            let name = self.env.context.database_name();
            let message =
                format!("permission denied to create temporary tables in database \"{name}\"");
            Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        })
    }

    /// The role that OWNER TO names: one that whoever says so may become, and that may make things
    /// where the thing is.
    pub(super) fn new_owner(&mut self, name: &str, schema: Option<Oid>) -> Result<Arc<Role>> {
        let (role, user) = (self.role(name)?, self.user());
        let catalog = self.catalog();
        if !catalog.may_become(user, role.id) {
            let message = format!("must be able to SET ROLE \"{}\"", role.name);
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        if let Some(schema) = schema
            && !catalog.is_superuser(user)
        {
            catalog.check_any(role.id, schema, Privileges::CREATE)?;
        }
        Ok(role)
    }

    /// What was granted on an object by its owner, or to it, is the new owner's.
    pub(super) fn hand_over_grants(&mut self, object: Oid, from: Oid, to: Oid) {
        let Some(grants) = self.catalog().grants(object).cloned() else { return };
        let mut grants = Grants::clone(&grants);
        grants.lists_mut().for_each(|list| list.replace(from, to));
        self.transaction.change([Change::Grants(Arc::new(grants))]);
    }

    /// What ALTER DEFAULT PRIVILEGES says of a new object, if it says something.
    pub(super) fn grants_of_new(
        &mut self,
        object: Oid,
        class: Class,
        owner: Oid,
        schema: Option<Oid>,
    ) -> Option<Change> {
        let catalog = self.catalog();
        let role = catalog.role(owner)?;
        let said = |schema: Option<Oid>| role.default_privileges_of(class, schema);
        let everywhere = said(None);
        let here = schema.and_then(|schema| said(Some(schema)));
        if everywhere.is_none() && here.is_none() {
            return None;
        }
        let mut list = everywhere.cloned().unwrap_or_else(|| class.initial(owner));
        here.into_iter().flat_map(AccessList::items).for_each(|item| list.grant(*item));
        let list = list.sorted();
        (list != class.initial(owner).sorted()).then(|| {
            let grants = Grants { id: object, list: Some(list), columns: BTreeMap::new() };
            Change::Grants(Arc::new(grants))
        })
    }

    /// Refuses whoever may not make databases.
    pub(super) fn check_makes_databases(&mut self, what: &str) -> Result<()> {
        let (user, catalog) = (self.user(), self.catalog());
        match catalog.role(user).is_some_and(|role| role.superuser || role.create_database) {
            true => Ok(()),
            false => Err(refused(what)),
        }
    }

    /// Refuses whoever may not make roles.
    pub(super) fn check_makes_roles(&mut self, what: &str) -> Result<()> {
        let (user, catalog) = (self.user(), self.catalog());
        match catalog.role(user).is_some_and(|role| role.superuser || role.create_role) {
            true => Ok(()),
            false => Err(refused(what).detail(format!(
                "Only roles with the CREATEROLE attribute may {}.",
                what.replace("create role", "create roles")
            ))),
        }
    }

    /// Refuses whoever may not change a role: to do so takes CREATEROLE, and to be its administrator.
    pub(super) fn check_administers(&mut self, role: &Role, what: &str) -> Result<()> {
        let (user, catalog) = (self.user(), self.catalog());
        if catalog.is_superuser(user) {
            return Ok(());
        }
        let makes_roles = catalog.role(user).is_some_and(|role| role.create_role);
        if !role.superuser && makes_roles && catalog.administers(user, role.id) {
            return Ok(());
        }
        let detail = match role.superuser {
            true => format!(
                "Only roles with the SUPERUSER attribute may {what}s with the SUPERUSER attribute."
            ),
            false => format!(
                "Only roles with the CREATEROLE attribute and the ADMIN option on role \"{}\" may {} this role.",
                role.name,
                what.trim_end_matches(" role")
            ),
        };
        Err(refused(what).detail(detail))
    }

    /// Refuses to give others what one does not have.
    pub(super) fn check_may_give(&mut self, options: &RoleOptions, what: &str) -> Result<()> {
        let (user, catalog) = (self.user(), self.catalog());
        let Some(own) = catalog.role(user).filter(|own| !own.superuser) else { return Ok(()) };
        let lacks = if options.superuser.is_some() {
            "SUPERUSER"
        } else if options.create_database.is_some() && !own.create_database {
            "CREATEDB"
        } else {
            return Ok(());
        };
        Err(refused(what).detail(format!(
            "Only roles with the {lacks} attribute may {what}s with the {lacks} attribute."
        )))
    }
}

fn refused(what: &str) -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to {what}"))
}
