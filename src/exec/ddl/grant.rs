//! GRANT and REVOKE on objects.

use super::Ddl;
use crate::{
    catalog::{
        Catalog, Change, Relation,
        privileges::{AccessItem, AccessList, Class, EVERYBODY, Grants, Object, Privileges},
    },
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    sql::utility::{Grant, GrantOn, Granted},
};
use std::{collections::BTreeMap, sync::Arc};

const GRANTED_NOTHING: SqlState = SqlState::new(b"01007");
const REVOKED_NOTHING: SqlState = SqlState::new(b"01006");
pub(super) const INVALID_GRANT: SqlState = SqlState::new(b"0LP01");

/// How a list changes: what a GRANT or a REVOKE says beside on what.
pub(super) struct Said<'s> {
    pub(super) revoke: bool,
    pub(super) options_only: bool,
    pub(super) with_option: bool,
    pub(super) cascade: bool,
    pub(super) grantees: &'s [Oid],
}

impl Ddl<'_> {
    pub(super) async fn grant(&mut self, grant: &Grant) -> Result<&'static str> {
        let tag = if grant.revoke { "REVOKE" } else { "GRANT" };
        self.transaction.check_writable(tag)?;
        if let Some(grantor) = &grant.grantor
            && self.role(grantor)?.id != self.user()
        {
            return Err(Error::unsupported("grantor must be current user"));
        }
        let grantees = self.grantees(&grant.roles, grant.with_option)?;
        let said = Said {
            revoke: grant.revoke,
            options_only: grant.options_only,
            with_option: grant.with_option,
            cascade: grant.cascade,
            grantees: &grantees,
        };
        for object in self.objects(&grant.on)? {
            // Others that grant on it come one after the other.
            self.lock_name(object, "access list").await?;
            self.grant_on(object, &grant.on, &grant.privileges, &said)?;
        }
        Ok(tag)
    }

    /// Roles by name; [`EVERYBODY`] for PUBLIC.
    pub(super) fn grantees(&mut self, names: &[String], with_option: bool) -> Result<Vec<Oid>> {
        let mut grantees = Vec::with_capacity(names.len());
        for name in names {
            let is_public = name == "public";
            if is_public && with_option {
                let message = "grant options can only be granted to roles";
                return Err(Error::new(INVALID_GRANT, message));
            }
            grantees.push(if is_public { EVERYBODY } else { self.role(name)?.id });
        }
        Ok(grantees)
    }

    /// The objects that a statement names.
    fn objects(&mut self, on: &GrantOn) -> Result<Vec<Oid>> {
        let mut objects = Vec::new();
        match on {
            GrantOn::Tables(names) | GrantOn::Sequences(names) => {
                for name in names {
                    let found = self.find(name)?;
                    if found.is_none() && self.is_system(name) {
                        return Err(Error::unsupported(format!(
                            "privileges on \"{}\", which is the system's, are not supported",
                            name.name
                        ))
                        .hint("Everybody may read the catalogs, but for passwords."));
                    }
                    objects.push(grantable(&self.expect(name)?, on)?);
                }
            }
            GrantOn::Schemas(names) => {
                for name in names {
                    objects.push(self.schema_named(name)?.id);
                }
            }
            GrantOn::Databases(names) => {
                for name in names {
                    objects.push(self.database(name)?.id);
                }
            }
            GrantOn::Types(names) => {
                for name in names {
                    objects.push(self.grantable_type(name)?);
                }
            }
            GrantOn::AllIn(class, names) => {
                for name in names {
                    let schema = self.schema_named(name)?.id;
                    self.check_any(schema, Privileges::USAGE)?;
                    objects.extend(all_in(&self.catalog(), *class, schema));
                }
            }
        }
        Ok(objects)
    }

    fn grant_on(
        &mut self,
        id: Oid,
        on: &GrantOn,
        privileges: &[Granted],
        said: &Said<'_>,
    ) -> Result<()> {
        let catalog = self.catalog();
        let object = catalog.object(id).ok_or_else(|| Error::internal("an object that is gone"))?;
        let wanted = self.wanted(&object, on, privileges)?;
        let columns = columns_of(&catalog, &object, privileges)?;
        let mut grants = catalog
            .grants(id)
            .map_or_else(|| Grants { id, ..Grants::default() }, |grants| Grants::clone(grants));
        let (grantor, held) = self.grantor(&catalog, &object, wanted, None)?;
        if !wanted.is_empty() {
            let is_all = privileges.iter().any(|granted| granted.privilege.is_none());
            let allowed = self.allowed((wanted, held), is_all, (&object.name, None), said);
            let mut list = object.list().into_owned();
            change_list(&mut list, allowed, (grantor, object.owner), said)?;
            grants.list = Some(list);
            // What is revoked of the whole is revoked of each column, too.
            let of_columns = allowed.common(Class::Column.all());
            if said.revoke && !of_columns.is_empty() {
                for list in grants.columns.values_mut() {
                    change_list(list, of_columns, (grantor, object.owner), said)?;
                }
            }
        }
        for (column, wanted, is_all) in columns {
            let (grantor, held) = self.grantor(&catalog, &object, wanted, Some(column))?;
            let name = catalog.column_name(id, column).unwrap_or_default();
            let shown = (&*object.name, Some(name.as_str()));
            let allowed = self.allowed((wanted, held), is_all, shown, said);
            let list = grants.columns.entry(column).or_default();
            change_list(list, allowed, (grantor, object.owner), said)?;
        }
        grants.columns.retain(|_, list| !list.is_empty());
        self.transaction.change([Change::Grants(Arc::new(grants))]);
        Ok(())
    }

    /// What a statement wants of an object as a whole.
    fn wanted(
        &self,
        object: &Object<'_>,
        on: &GrantOn,
        privileges: &[Granted],
    ) -> Result<Privileges> {
        let mut wanted = Privileges::NONE;
        for granted in privileges.iter().filter(|granted| granted.columns.is_empty()) {
            let Some(privilege) = granted.privilege else { return Ok(object.class.all()) };
            wanted = wanted.and(privilege);
        }
        let unknown = wanted.without(object.class.all());
        let Some((_, _, word)) = unknown.each().next() else { return Ok(wanted) };
        // ON TABLE is how sequences were named once.
        let was_table = object.class == Class::Sequence && matches!(on, GrantOn::Tables(_));
        if was_table && unknown.without(Class::Relation.all()).is_empty() {
            let name = &object.name;
            self.env.context.notice(Error::new(
                SqlState::new(b"01000"),
                format!("sequence \"{name}\" only supports USAGE, SELECT, and UPDATE privileges"),
            ));
            return Ok(wanted.without(unknown));
        }
        let all = Class::Relation.all().and(Class::Sequence.all());
        let is_none_of_relations = matches!(on, GrantOn::Tables(_)) && !all.contains(unknown);
        Err(invalid(word, if is_none_of_relations { "relation" } else { object.class.word() }))
    }

    /// In whose name it is granted, and what that one may grant: the owner's, who may all, or one of
    /// those that whoever says so stands for.
    fn grantor(
        &self,
        catalog: &Catalog,
        object: &Object<'_>,
        wanted: Privileges,
        column: Option<ColumnId>,
    ) -> Result<(Oid, Privileges)> {
        let user = self.user();
        let all = Class::all(if column.is_some() { Class::Column } else { object.class });
        if catalog.has_privileges_of(user, object.owner) {
            return Ok((object.owner, all));
        }
        let (list, of_column) = (object.list(), column.and_then(|column| object.column(column)));
        let options = |role: Oid| {
            let is_it = |other| other == role;
            let own = of_column.map_or(Privileges::NONE, |list| list.options(is_it));
            list.options(is_it).and(own).common(all)
        };
        let inherited = catalog.roles_above(user, |membership| membership.inherit);
        let candidates: Vec<Oid> = std::iter::once(user).chain(inherited).collect();
        let count = |role: Oid| options(role).common(wanted).each().count();
        // The first of those that may grant most of it.
        let most = candidates.iter().map(|role| count(*role)).max().unwrap_or(0);
        let best = candidates.into_iter().find(|role| count(*role) == most).unwrap_or(user);
        let held = options(best);
        let has_any = !catalog.held(user, object).is_empty()
            || object.granted_columns().any(|c| !catalog.held_on(user, object, c).is_empty());
        if held.is_empty() && !has_any {
            return Err(object.denied());
        }
        Ok((best, held))
    }

    /// What of it may be granted; a warning says of what may not.
    fn allowed(
        &self,
        (wanted, held): (Privileges, Privileges),
        is_all: bool,
        (name, column): (&str, Option<&str>),
        said: &Said<'_>,
    ) -> Privileges {
        let allowed = wanted.common(held);
        let how = match (allowed.is_empty(), allowed == wanted || is_all) {
            (true, _) => "no privileges",
            (false, false) => "not all privileges",
            (false, true) => return allowed,
        };
        let (state, done) = match said.revoke {
            true => (REVOKED_NOTHING, "could be revoked"),
            false => (GRANTED_NOTHING, "were granted"),
        };
        let thing = match column {
            Some(column) => format!("column \"{column}\" of relation \"{name}\""),
            None => format!("\"{name}\""),
        };
        self.env.context.notice(Error::new(state, format!("{how} {done} for {thing}")));
        allowed
    }
}

/// The object of a relation's name, if it is one that the statement is about.
fn grantable(relation: &Relation, on: &GrantOn) -> Result<Oid> {
    let wrong = |what: &str| {
        let message = format!("\"{}\" is {what}", relation.name());
        Error::new(SqlState::WRONG_OBJECT_TYPE, message)
    };
    match (relation, on) {
        (Relation::Index(_) | Relation::Key(..), _) => Err(wrong("an index")),
        (Relation::Sequence(_), _) => Ok(relation.id()),
        (_, GrantOn::Sequences(_)) => Err(wrong("not a sequence")),
        _ => Ok(relation.id()),
    }
}

/// The relations of a kind in a schema.
fn all_in(catalog: &Catalog, class: Class, schema: Oid) -> Vec<Oid> {
    if class == Class::Sequence {
        let here = catalog.sequences().filter(|sequence| sequence.schema == schema);
        return here.map(|sequence| sequence.id).collect();
    }
    let tables = catalog.tables().filter(|table| table.schema == schema).map(|table| table.id);
    let views = catalog.views().filter(|view| view.schema == schema).map(|view| view.id);
    tables.chain(views).collect()
}

/// What a statement wants of single columns, and whether that is all there is.
fn columns_of(
    catalog: &Catalog,
    object: &Object<'_>,
    privileges: &[Granted],
) -> Result<Vec<(ColumnId, Privileges, bool)>> {
    let mut wanted: BTreeMap<ColumnId, (Privileges, bool)> = BTreeMap::new();
    for granted in privileges.iter().filter(|granted| !granted.columns.is_empty()) {
        if object.class != Class::Relation {
            let message = "column privileges are only valid for relations";
            return Err(Error::new(INVALID_GRANT, message));
        }
        let all = Class::Column.all();
        let privilege = granted.privilege.unwrap_or(all);
        if let Some((_, _, word)) = privilege.without(all).each().next() {
            return Err(invalid(word, "column"));
        }
        for name in &granted.columns {
            let column = catalog.column_named(object.id, name).ok_or_else(|| {
                let relation = &object.name;
                let message =
                    format!("column \"{name}\" of relation \"{relation}\" does not exist");
                Error::new(SqlState::UNDEFINED_COLUMN, message)
            })?;
            let entry = wanted.entry(column).or_default();
            *entry = (entry.0.and(privilege), entry.1 || granted.privilege.is_none());
        }
    }
    Ok(wanted.into_iter().map(|(column, (wanted, is_all))| (column, wanted, is_all)).collect())
}

pub(super) fn invalid(word: &str, kind: &str) -> Error {
    Error::new(INVALID_GRANT, format!("invalid privilege type {word} for {kind}"))
}

/// Grants or revokes for each of the grantees.
pub(super) fn change_list(
    list: &mut AccessList,
    privileges: Privileges,
    (grantor, owner): (Oid, Oid),
    said: &Said<'_>,
) -> Result<()> {
    for &grantee in said.grantees {
        if !said.revoke {
            let options = if said.with_option { privileges } else { Privileges::NONE };
            let item = AccessItem { grantee, grantor, privileges, options };
            if list.goes_back(&item, owner) {
                let message = "grant options cannot be granted back to your own grantor";
                return Err(Error::new(INVALID_GRANT, message));
            }
            list.grant(item);
            continue;
        }
        let (only, cascade) = (said.options_only, said.cascade);
        list.revoke((grantee, grantor), owner, privileges, only, cascade)
            .map_err(|_| dependent_privileges())?;
    }
    Ok(())
}

pub(super) fn dependent_privileges() -> Error {
    Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, "dependent privileges exist")
        .hint("Use CASCADE to revoke them too.")
}
