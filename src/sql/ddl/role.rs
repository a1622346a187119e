//! Roles, and what they may.

use crate::{
    error::{Error, Result},
    sql::{cursor::Cursor, utility::RoleOptions},
};

pub(super) fn role_options(cursor: &mut Cursor<'_>) -> Result<RoleOptions> {
    let mut options = RoleOptions::default();
    while let Some(word) = cursor.word() {
        cursor.skip();
        match word.as_str() {
            "SUPERUSER" => options.superuser = Some(true),
            "NOSUPERUSER" => options.superuser = Some(false),
            "LOGIN" => options.login = Some(true),
            "NOLOGIN" => options.login = Some(false),
            "ENCRYPTED" => {
                cursor.expect("PASSWORD")?;
                options.password = Some(Some(cursor.string()?));
            }
            "PASSWORD" => {
                let none = cursor.accept("NULL");
                options.password = Some(if none { None } else { Some(cursor.string()?) });
            }
            "INHERIT" => options.inherit = Some(true),
            "NOINHERIT" => options.inherit = Some(false),
            "CREATEROLE" => options.create_role = Some(true),
            "NOCREATEROLE" => options.create_role = Some(false),
            "CREATEDB" => options.create_database = Some(true),
            "NOCREATEDB" => options.create_database = Some(false),
            "IN" => {
                let _ = cursor.accept("ROLE") || cursor.accept("GROUP");
                options.in_roles.extend(cursor.list(Cursor::identifier)?);
            }
            "ROLE" | "USER" => options.members.extend(cursor.list(Cursor::identifier)?),
            "ADMIN" => options.admins.extend(cursor.list(Cursor::identifier)?),
            // There is no replication and no security of rows that they could be about.
            "REPLICATION" | "NOREPLICATION" | "BYPASSRLS" | "NOBYPASSRLS" => {}
            "CONNECTION" => {
                cursor.expect("LIMIT")?;
                cursor.integer()?;
            }
            "VALID" => {
                cursor.expect("UNTIL")?;
                return Err(cursor.unsupported("VALID UNTIL"));
            }
            _ => {
                return Err(cursor.here(Error::unsupported(format!(
                    "role option {} is not supported",
                    word.to_lowercase()
                ))));
            }
        }
    }
    Ok(options)
}

/// A role's name; `current_user` and kin stay as they are written.
pub(super) fn owner(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.identifier()
}
