//! ALTER DEFAULT PRIVILEGES: what is granted on objects that are not there yet.

use super::{
    Ddl,
    grant::{INVALID_GRANT, Said, change_list, invalid},
};
use crate::{
    catalog::{
        Change, Role,
        privileges::{Class, Privileges},
    },
    error::{Error, Result, SqlState},
    sql::utility::DefaultPrivileges,
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) fn alter_default_privileges(
        &mut self,
        alter: &DefaultPrivileges,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER DEFAULT PRIVILEGES")?;
        let user = self.user();
        let mut owners = Vec::new();
        for name in &alter.owners {
            owners.push(self.role(name)?.id);
        }
        if owners.is_empty() {
            owners.push(user);
        }
        let mut schemas = Vec::new();
        for name in &alter.schemas {
            schemas.push(Some(self.schema_named(name)?.id));
        }
        if alter.class == Class::Schema && !schemas.is_empty() {
            let message = "cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS";
            return Err(Error::new(INVALID_GRANT, message));
        }
        if schemas.is_empty() {
            schemas.push(None);
        }
        let grantees = self.grantees(&alter.roles, alter.with_option)?;
        let said = Said {
            revoke: alter.revoke,
            options_only: alter.options_only,
            with_option: alter.with_option,
            cascade: alter.cascade,
            grantees: &grantees,
        };
        let mut wanted = Privileges::NONE;
        for granted in &alter.privileges {
            if !granted.columns.is_empty() {
                let message = "default privileges cannot be set for columns";
                return Err(Error::new(INVALID_GRANT, message));
            }
            wanted = wanted.and(granted.privilege.unwrap_or(alter.class.all()));
        }
        if let Some((_, _, word)) = wanted.without(alter.class.all()).each().next() {
            let kind = if alter.class == Class::Relation { "relation" } else { alter.class.word() };
            return Err(invalid(word, kind));
        }
        for owner in owners {
            let catalog = self.catalog();
            let Some(role) = catalog.role(owner) else { continue };
            if !catalog.has_privileges_of(user, owner) {
                let message = "permission denied to change default privileges";
                return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            let mut role = Role::clone(role);
            for schema in &schemas {
                let list = role.default_privileges_mut(alter.class, *schema);
                change_list(list, wanted, (owner, owner), &said)?;
                *list = std::mem::take(list).sorted();
            }
            role.forget_idle_defaults();
            self.transaction.change([Change::Role(Arc::new(role))]);
        }
        Ok("ALTER DEFAULT PRIVILEGES")
    }
}
