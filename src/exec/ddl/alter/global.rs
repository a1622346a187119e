//! ALTER DATABASE, ROLE and EXTENSION.

use super::super::Ddl;
use crate::{
    catalog::{Change, Database, POSTGRES_ROLE, Role, pg::VECTOR_VERSION},
    error::{Error, Result, SqlState},
    sql::utility::{AlterDatabase, AlterRole, SetValue},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(in crate::exec::ddl) fn alter_database(
        &mut self,
        name: &str,
        action: &AlterDatabase,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER DATABASE")?;
        let mut database = Database::clone(&*self.database(name)?);
        self.check_owner(database.owner, "database", name)?;
        match action {
            AlterDatabase::Rename(to) => {
                self.check_makes_databases("rename database")?;
                if self.catalog().database_named(to).is_some() {
                    return Err(Error::new(
                        SqlState::DUPLICATE_DATABASE,
                        format!("database \"{to}\" already exists"),
                    ));
                }
                database.name.clone_from(to);
            }
            AlterDatabase::Owner(owner) => {
                self.check_makes_databases("change owner of database")?;
                let owner = self.new_owner(owner, None)?.id;
                self.hand_over_grants(database.id, database.owner, owner);
                database.owner = owner;
            }
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

    pub(in crate::exec::ddl) fn alter_role(
        &mut self,
        name: &str,
        action: &AlterRole,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER ROLE")?;
        let mut role = Role::clone(&*self.role(name)?);
        let is_own = role.id == self.env.context.user() && alters_itself(action);
        if !is_own {
            self.check_administers(&role, "alter role")?;
        }
        if let AlterRole::Options(options) = action {
            self.check_may_give(options, "alter role")?;
        }
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
                if role.id == POSTGRES_ROLE && options.superuser == Some(false) {
                    let message = "permission denied to alter role";
                    return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                        .detail("The bootstrap superuser must have the SUPERUSER attribute."));
                }
                role.superuser = options.superuser.unwrap_or(role.superuser);
                role.login = options.login.unwrap_or(role.login);
                role.inherit = options.inherit.unwrap_or(role.inherit);
                role.create_role = options.create_role.unwrap_or(role.create_role);
                role.create_database = options.create_database.unwrap_or(role.create_database);
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

    pub(in crate::exec::ddl) fn alter_extension(
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

/// Whether a role may say that of itself: its password and its settings.
fn alters_itself(action: &AlterRole) -> bool {
    match action {
        AlterRole::Options(options) => {
            let attributes = [
                options.superuser,
                options.login,
                options.inherit,
                options.create_role,
                options.create_database,
            ];
            attributes.iter().all(Option::is_none)
        }
        AlterRole::Set { .. } | AlterRole::Reset(_) => true,
        _ => false,
    }
}
