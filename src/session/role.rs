//! Whom a session stands for, and as whom it acts: SET SESSION AUTHORIZATION and SET ROLE, and what
//! says the same in other words (`set_config`, the start packet, ALTER ROLE … SET role).

use super::{context::SessionContext, settings::Settings};
use crate::{
    catalog::{Catalog, Role},
    error::{Error, Result, SqlState},
    ids::Oid,
    sql::Context,
};

const ACTS_AS: &str = "role";
const STANDS_FOR: &str = "session_authorization";

/// The settings by which a session becomes another role's.
pub(super) fn role_setting(name: &str) -> Option<&'static str> {
    [ACTS_AS, STANDS_FOR].into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

/// The role that a value of such a setting names.
fn named(value: &str) -> Option<&str> {
    Some(value).filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("none"))
}

/// Refuses a role that the one who logs in may not be from the start.
///
/// # Errors
/// 22023, 42501.
pub(super) fn check_start(catalog: &Catalog, login: &Role, name: &str, value: &str) -> Result<()> {
    let Some((setting, role)) = role_setting(name).zip(named(value)) else { return Ok(()) };
    let role_id = known(catalog, role)?;
    let may = match setting {
        STANDS_FOR => login.superuser || login.id == role_id,
        _ => catalog.may_become(login.id, role_id),
    };
    if may { Ok(()) } else { Err(denied(setting, role)) }
}

fn known(catalog: &Catalog, role: &str) -> Result<Oid> {
    catalog.role_named(role).map(|role| role.id).ok_or_else(|| {
        let message = format!("role \"{role}\" does not exist");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    })
}

fn denied(setting: &str, role: &str) -> Error {
    let what = if setting == STANDS_FOR { "set session authorization" } else { "set role" };
    let message = format!("permission denied to {what} \"{role}\"");
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

impl SessionContext {
    /// Becomes another role's session, or its own again.
    ///
    /// # Errors
    /// 22023, 42501.
    pub(super) fn set_role(&self, setting: &'static str, value: &str, local: bool) -> Result<()> {
        let role = named(value);
        if let Some(role) = role {
            let role_id = known(&self.catalog(), role)?;
            let may = match setting {
                STANDS_FOR => self.may_stand_for(role_id),
                _ => self.may_become(role_id),
            };
            if !may {
                return Err(denied(setting, role));
            }
        }
        self.change_settings(|settings| {
            if setting == STANDS_FOR {
                settings.set(ACTS_AS, "none", local)?;
            }
            let unset = if setting == STANDS_FOR { "" } else { "none" };
            settings.set(setting, role.unwrap_or(unset), local).map(drop)
        })
    }

    /// The role that was set, or that the session stands for, or that logged in.
    pub(super) fn acting(&self, settings: &Settings) -> Oid {
        let (names, catalog) = ([ACTS_AS, STANDS_FOR], self.catalog());
        let known = |name| catalog.role_named(named(settings.known(name))?).map(|role| role.id);
        names.into_iter().find_map(known).unwrap_or(self.login())
    }

    /// That of whoever logged in, or any where that one is a superuser.
    fn may_stand_for(&self, role: Oid) -> bool {
        role == self.login() || self.catalog().is_superuser(self.login())
    }

    /// One that the session stands for, or that is open to that one.
    fn may_become(&self, role: Oid) -> bool {
        let catalog = self.catalog();
        let stands_for = self.with_settings(|settings| {
            let name = settings.known(STANDS_FOR);
            catalog.role_named(name).map_or(self.login(), |role| role.id)
        });
        catalog.may_become(stands_for, role)
    }
}
