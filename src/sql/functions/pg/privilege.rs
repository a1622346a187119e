//! `has_…_privilege`: a superuser may do everything, an owner everything with their own, and
//! everybody may read the catalog and use `public`.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{self, Any, Bool, Object, Text},
    },
};
use crate::{
    catalog::{
        PG_CATALOG,
        pg::{names::relation_name, relation},
    },
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::RegKind,
};

const ROLE: Kind = Object(RegKind::Role);
const RELATION: Kind = Object(RegKind::Class);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("has_table_privilege", &[ROLE, RELATION, Text], Bool, |call| {
        of_relation(call, call.nth_last(1), TABLE)
    })
    .optional_first(1),
    Function::new("has_any_column_privilege", &[ROLE, RELATION, Text], Bool, |call| {
        of_relation(call, call.nth_last(1), COLUMN)
    })
    .optional_first(1),
    Function::new("has_sequence_privilege", &[ROLE, RELATION, Text], Bool, |call| {
        of_relation(call, call.nth_last(1), SEQUENCE)
    })
    .optional_first(1),
    Function::new("has_column_privilege", &[ROLE, RELATION, Any, Text], Bool, of_column)
        .optional_first(1),
    Function::new(
        "has_schema_privilege",
        &[ROLE, Object(RegKind::Namespace), Text],
        Bool,
        |call| {
            let role = role(call, 3)?;
            let schema = call.oid(call.nth_last(1), RegKind::Namespace)?;
            let asked = asked(call, &["CREATE", "USAGE"])?;
            let Some(found) = call.catalog.schema(schema) else { return Ok(Value::Null) };
            let is_open = asked.iter().all(|privilege| *privilege == "USAGE");
            Ok((may(call, role, found.owner) || is_open).into())
        },
    )
    .optional_first(1),
    Function::new("has_database_privilege", &[ROLE, Any, Text], Bool, of_database)
        .optional_first(1),
    Function::new("has_function_privilege", &[ROLE, Object(RegKind::Proc), Text], Bool, |call| {
        open(call, call.nth_last(1), RegKind::Proc, &["EXECUTE"])
    })
    .optional_first(1),
    Function::new("has_type_privilege", &[ROLE, Object(RegKind::Type), Text], Bool, |call| {
        open(call, call.nth_last(1), RegKind::Type, &["USAGE"])
    })
    .optional_first(1),
    Function::new("has_language_privilege", &[ROLE, Any, Text], Bool, |call| {
        asked(call, &["USAGE"])?;
        Ok(true.into())
    })
    .optional_first(1),
    Function::new("has_tablespace_privilege", &[ROLE, Any, Text], Bool, |call| {
        asked(call, &["CREATE"])?;
        Ok(true.into())
    })
    .optional_first(1),
    Function::new("has_parameter_privilege", &[ROLE, Text, Text], Bool, |call| {
        asked(call, &["SET", "ALTER SYSTEM"])?;
        Ok(is_superuser(call, role(call, 3)?).into())
    })
    .optional_first(1),
    Function::new("pg_has_role", &[ROLE, ROLE, Text], Bool, |call| {
        let role = role(call, 3)?;
        let other = call.oid(call.nth_last(1), RegKind::Role)?;
        asked(call, &["MEMBER", "USAGE", "SET"])?;
        Ok((role == other || is_superuser(call, role)).into())
    })
    .optional_first(1),
    // Nothing was ever granted to others: the defaults stand.
    Function::new("acldefault", &[Text, Kind::Oid], Kind::Texts, |call| {
        let owner = call.oid(1, RegKind::Role)?;
        let name = call.catalog.role(owner).map_or("", |role| &role.name);
        let rights = match call.text(0) {
            Some("r") => ("", "arwdDxtm"),
            Some("s" | "S") => ("", "rwU"),
            Some("d") => ("Tc", "CTc"),
            Some("f" | "F") => ("X", "X"),
            Some("l" | "T") => ("U", "U"),
            Some("n") => ("", "UC"),
            Some("t") => ("", "C"),
            Some("L") => ("", "rw"),
            Some("c") => return Ok(Value::Texts(Vec::new())),
            _ => return Ok(Value::Null),
        };
        let public = (!rights.0.is_empty()).then(|| format!("={}/{name}", rights.0));
        let own = format!("{name}={}/{name}", rights.1);
        Ok(public.into_iter().chain([own]).collect::<Vec<_>>().into())
    }),
];

const TABLE: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "MAINTAIN",
    "RULE",
];
const COLUMN: &[&str] = &["SELECT", "INSERT", "UPDATE", "REFERENCES"];
const SEQUENCE: &[&str] = &["USAGE", "SELECT", "UPDATE"];

/// The role that is asked about: the first argument if there are `all` of them.
fn role(call: &Call<'_>, all: usize) -> Result<Oid> {
    if call.len() == all { call.oid(0, RegKind::Role) } else { Ok(call.context.user()) }
}

/// The privileges that the last argument names.
fn asked(call: &Call<'_>, known: &[&'static str]) -> Result<Vec<&'static str>> {
    let text = call.text(call.nth_last(0)).unwrap_or_default();
    text.split(',')
        .map(|word| {
            let upper = word.trim().to_ascii_uppercase();
            let bare = upper.strip_suffix(" WITH GRANT OPTION").unwrap_or(&upper);
            let bare = bare.strip_suffix(" WITH ADMIN OPTION").unwrap_or(bare);
            known.iter().copied().find(|privilege| *privilege == bare).ok_or_else(|| {
                let message = format!("unrecognized privilege type: \"{}\"", word.trim());
                Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
            })
        })
        .collect()
}

fn is_superuser(call: &Call<'_>, role: Oid) -> bool {
    call.catalog.role(role).is_some_and(|role| role.superuser)
}

fn may(call: &Call<'_>, role: Oid, owner: Oid) -> bool {
    role == owner || is_superuser(call, role)
}

fn of_relation(call: &Call<'_>, place: usize, known: &[&'static str]) -> Result<Value<'static>> {
    let role = role(call, 3)?;
    let oid = call.relation(place)?;
    let asked = asked(call, known)?;
    let Some(found) = relation_name(call.catalog, oid) else { return Ok(Value::Null) };
    let is_read = relation(oid).is_some() && asked.iter().all(|privilege| *privilege == "SELECT");
    Ok((may(call, role, found.owner) || is_read).into())
}

fn of_column(call: &Call<'_>) -> Result<Value<'static>> {
    let role = role(call, 4)?;
    let oid = call.relation(call.nth_last(2))?;
    asked(call, COLUMN)?;
    let Some(found) = relation_name(call.catalog, oid) else { return Ok(Value::Null) };
    if let Some(table) = call.catalog.table(oid) {
        match call.value(call.nth_last(1)) {
            Value::Text(name) => drop(table.expect_column(name)?),
            Value::Int(number) => {
                let id = i16::try_from(*number).map(ColumnId);
                if id.is_ok_and(|id| table.column_by_id(id).is_none()) {
                    return Ok(Value::Null);
                }
            }
            _ => return Ok(Value::Null),
        }
    }
    Ok((may(call, role, found.owner) || found.schema == PG_CATALOG).into())
}

fn of_database(call: &Call<'_>) -> Result<Value<'static>> {
    let role = role(call, 3)?;
    let asked = asked(call, &["CREATE", "CONNECT", "TEMPORARY", "TEMP"])?;
    let database = match call.value(call.nth_last(1)) {
        Value::Text(name) => Some(call.catalog.database_named(name).ok_or_else(|| {
            let message = format!("database \"{name}\" does not exist");
            Error::new(SqlState::INVALID_CATALOG_NAME, message)
        })?),
        _ => call.catalog.database(call.oid(call.nth_last(1), RegKind::Class)?),
    };
    let Some(database) = database else { return Ok(Value::Null) };
    let is_open = asked.iter().all(|privilege| *privilege != "CREATE");
    Ok((may(call, role, database.owner) || is_open).into())
}

/// What everybody may use, if it is there.
fn open(
    call: &Call<'_>,
    place: usize,
    kind: RegKind,
    known: &[&'static str],
) -> Result<Value<'static>> {
    call.oid(place, kind)?;
    asked(call, known)?;
    Ok(true.into())
}
