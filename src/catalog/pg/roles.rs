//! Roles: `pg_authid`, `pg_roles`, `pg_user` and kin.

use super::{SystemRelation, View, rows::Rows};
use crate::{
    catalog::{POSTGRES_ROLE, Role},
    error::Result,
    ids::Oid,
};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;

/// The roles, as columns that start with `rol`.
fn rows<'r>(relation: &'static SystemRelation, roles: &'r [&'r Role]) -> Rows<'r, &'r Role> {
    Rows::of(relation, roles)
        .set("oid", |role| role.id)
        .set("rolname", |role| role.name.as_str())
        .set("rolsuper", |role| role.superuser)
        .set("rolinherit", |role| role.inherit)
        .set("rolcreaterole", |role| may_make(role, role.create_role))
        .set("rolcreatedb", |role| may_make(role, role.create_database))
        .set("rolcanlogin", |role| role.login)
        .set("rolreplication", |_| false)
        .set("rolbypassrls", |role| role.superuser)
        .set("rolconnlimit", |_| -1)
}

/// The initial role is older than these attributes.
fn may_make(role: &Role, said: bool) -> bool {
    said || role.id == POSTGRES_ROLE
}

fn all(view: &View) -> Vec<&Role> {
    view.catalog.roles().map(|role| &**role).collect()
}

/// Every role; the password's verifier is shown to superusers alone.
pub(super) fn pg_authid(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let sees = view.catalog.role(view.user).is_some_and(|role| role.superuser);
    rows(relation, &all(view))
        .set("rolpassword", |role| role.verifier.as_deref().filter(|_| sees))
        .finish()
}

/// Every role, without its password.
pub(super) fn pg_roles(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    rows(relation, &all(view))
        .set("rolpassword", |_| "********")
        .set("rolconfig", |role| config(&role.settings))
        .finish()
}

/// The roles that may connect: `pg_user` and, for its few other columns, `pg_shadow`.
pub(super) fn pg_user(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let logins: Vec<_> = all(view).into_iter().filter(|role| role.login).collect();
    Rows::of(relation, &logins)
        .set("usename", |role| role.name.as_str())
        .set("usesysid", |role| role.id)
        .set("usecreatedb", |role| may_make(role, role.create_database))
        .set("usesuper", |role| role.superuser)
        .set("userepl", |_| false)
        .set("usebypassrls", |role| role.superuser)
        .set("passwd", |_| "********")
        .set("useconfig", |role| config(&role.settings))
        .finish()
}

/// The roles that may not connect.
pub(super) fn pg_group(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let groups: Vec<_> = all(view).into_iter().filter(|role| !role.login).collect();
    Rows::of(relation, &groups)
        .set("groname", |role| role.name.as_str())
        .set("grosysid", |role| role.id)
        .set("grolist", |role| {
            view.catalog.members(role.id).map(|(member, _)| member).collect::<Vec<Oid>>()
        })
        .finish()
}

/// The keys of HTTP clients, by name; what they are nobody knows any more.
pub(super) fn nearlake_api_keys(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let roles = view.catalog.roles();
    let keys: Vec<(&str, &str)> = roles
        .flat_map(|role| role.api_keys.keys().map(|key| (key.as_str(), role.name.as_str())))
        .collect();
    Rows::of(relation, &keys).set("name", |(key, _)| *key).set("role", |(_, role)| *role).finish()
}

/// `ALTER ROLE … SET` and `ALTER DATABASE … SET`.
pub(super) fn pg_db_role_setting(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let databases = view.catalog.databases().map(|d| (d.id, Oid(0), &d.settings));
    let roles = view.catalog.roles().map(|role| (Oid(0), role.id, &role.settings));
    let set: Vec<_> =
        databases.chain(roles).filter(|(.., settings)| !settings.is_empty()).collect();
    Rows::of(relation, &set)
        .set("setdatabase", |(database, ..)| *database)
        .set("setrole", |(_, role, _)| *role)
        .set("setconfig", |(.., settings)| config(settings))
        .finish()
}

fn config(settings: &BTreeMap<String, String>) -> Option<Vec<String>> {
    super::class::reloptions(settings)
}
