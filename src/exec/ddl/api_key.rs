//! Keys of HTTP clients, which belong to roles and go with them.

use super::Ddl;
use crate::{
    catalog::{Change, Role},
    error::{Error, Result, SqlState},
    ids::Oid,
};
use std::sync::Arc;

impl Ddl<'_> {
    /// Adds the hash of a key to a role.
    ///
    /// # Errors
    /// 42501 for whoever is no superuser, 42704 without such a role, 42710 when the name is taken.
    pub async fn create_api_key(&mut self, name: &str, role: &str, hash: String) -> Result<()> {
        self.transaction.check_writable("CREATE API KEY")?;
        self.check_superuser("create API key")?;
        let role = self.role(role)?;
        self.lock_name(Oid(1), &role.name).await?;
        self.lock_name(Oid(2), name).await?;
        if self.owner_of_api_key(name).is_some() {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("API key \"{name}\" already exists"),
            ));
        }
        let mut role = Role::clone(&*self.role(&role.name)?);
        role.api_keys.insert(name.to_owned(), hash);
        self.transaction.change([Change::Role(Arc::new(role))]);
        Ok(())
    }

    pub(super) async fn drop_api_key(
        &mut self,
        name: &str,
        if_exists: bool,
    ) -> Result<&'static str> {
        self.transaction.check_writable("DROP API KEY")?;
        self.check_superuser("drop API key")?;
        self.lock_name(Oid(2), name).await?;
        let Some(owner) = self.owner_of_api_key(name) else {
            let missing = Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("API key \"{name}\" does not exist"),
            );
            if !if_exists {
                return Err(missing);
            }
            self.skipping("API key", name);
            return Ok("DROP API KEY");
        };
        self.lock_name(Oid(1), &owner.name).await?;
        let mut role = Role::clone(&*self.role(&owner.name)?);
        role.api_keys.remove(name);
        self.transaction.change([Change::Role(Arc::new(role))]);
        Ok("DROP API KEY")
    }

    fn owner_of_api_key(&mut self, name: &str) -> Option<Arc<Role>> {
        self.catalog().roles().find(|role| role.api_keys.contains_key(name)).cloned()
    }

    pub(in crate::exec::ddl) fn check_superuser(&mut self, what: &str) -> Result<()> {
        let user = self.env.context.user();
        if self.catalog().role(user).is_some_and(|role| role.superuser) {
            return Ok(());
        }
        Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to {what}"))
            .detail("Only superusers may."))
    }
}
