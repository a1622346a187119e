//! `has_…_privilege`, `pg_has_role`, `acldefault`: what the catalog knows of who may do what.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{self, Any, Bool, Object, Text},
    },
};
use crate::{
    catalog::{
        self, Privileges,
        pg::access_texts,
        privileges::{Class, EVERYBODY},
    },
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::RegKind,
};

const ROLE: Kind = Object(RegKind::Role);
const RELATION: Kind = Object(RegKind::Class);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("has_table_privilege", &[ROLE, RELATION, Text], Bool, |call| {
        let (role, relation) = (role(call, 3)?, call.relation(call.nth_last(1))?);
        let asked = asked(call, Class::Relation, &["RULE"])?;
        of_object(call, role, relation, &asked)
    })
    .optional_first(1),
    Function::new("has_any_column_privilege", &[ROLE, RELATION, Text], Bool, |call| {
        let (role, relation) = (role(call, 3)?, call.relation(call.nth_last(1))?);
        let asked = asked(call, Class::Column, &[])?;
        let columns = call.catalog.columns_of(relation);
        let has_any = |asked: &Asked| {
            columns.iter().any(|(column, _)| has_on_column(call, role, relation, *column, *asked))
        };
        let Some(_) = call.catalog.object(relation) else { return Ok(Value::Null) };
        Ok(asked.iter().any(has_any).into())
    })
    .optional_first(1),
    Function::new("has_sequence_privilege", &[ROLE, RELATION, Text], Bool, |call| {
        let (role, sequence) = (role(call, 3)?, call.relation(call.nth_last(1))?);
        let asked = asked(call, Class::Sequence, &[])?;
        if let Some(other) = call.catalog.object(sequence).filter(|o| o.class != Class::Sequence) {
            let message = format!("\"{}\" is not a sequence", other.name);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        of_object(call, role, sequence, &asked)
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
            let asked = asked(call, Class::Schema, &[])?;
            of_object(call, role, schema, &asked)
        },
    )
    .optional_first(1),
    Function::new("has_database_privilege", &[ROLE, Any, Text], Bool, of_database)
        .optional_first(1),
    Function::new("has_function_privilege", &[ROLE, Object(RegKind::Proc), Text], Bool, |call| {
        open(call, call.nth_last(1), RegKind::Proc, "EXECUTE")
    })
    .optional_first(1),
    Function::new("has_type_privilege", &[ROLE, Object(RegKind::Type), Text], Bool, |call| {
        let kind = call.oid(call.nth_last(1), RegKind::Type)?;
        if call.catalog.object(kind).is_some_and(|object| object.class == Class::Type) {
            let asked = asked(call, Class::Type, &[])?;
            return of_object(call, role(call, 3)?, kind, &asked);
        }
        open(call, call.nth_last(1), RegKind::Type, "USAGE")
    })
    .optional_first(1),
    Function::new("has_language_privilege", &[ROLE, Any, Text], Bool, |call| {
        words(call, &["USAGE"])?;
        Ok(true.into())
    })
    .optional_first(1),
    Function::new("has_tablespace_privilege", &[ROLE, Any, Text], Bool, |call| {
        words(call, &["CREATE"])?;
        Ok(true.into())
    })
    .optional_first(1),
    Function::new("has_parameter_privilege", &[ROLE, Text, Text], Bool, |call| {
        words(call, &["SET", "ALTER SYSTEM"])?;
        Ok(call.catalog.is_superuser(role(call, 3)?).into())
    })
    .optional_first(1),
    Function::new("pg_has_role", &[ROLE, ROLE, Text], Bool, |call| {
        let role = role(call, 3)?;
        let other = call.oid(call.nth_last(1), RegKind::Role)?;
        let has = |(word, with_option): &(&str, bool)| match *word {
            _ if *with_option => call.catalog.administers(role, other),
            "USAGE" => call.catalog.has_privileges_of(role, other),
            "SET" => call.catalog.may_become(role, other),
            _ => call.catalog.is_superuser(role) || call.catalog.is_member(role, other),
        };
        Ok(words(call, &["MEMBER", "USAGE", "SET"])?.iter().any(has).into())
    })
    .optional_first(1),
    Function::new("acldefault", &[Text, Kind::Oid], Kind::Texts, |call| {
        let owner = call.oid(1, RegKind::Role)?;
        let class = match call.text(0) {
            Some("r") => Class::Relation,
            Some("s") => Class::Sequence,
            Some("d") => Class::Database,
            Some("n") => Class::Schema,
            Some("c") => Class::Column,
            Some(other) => return Ok(default_of_others(call.catalog, other, owner)),
            None => return Ok(Value::Null),
        };
        Ok(access_texts(call.catalog, &class.initial(owner)).into())
    }),
];

/// The access lists of what everybody may use.
fn default_of_others(catalog: &catalog::Catalog, kind: &str, owner: Oid) -> Value<'static> {
    let name = catalog.role(owner).map_or("", |role| &role.name);
    let (everybody, own) = match kind {
        "f" => ("X", "X"),
        "F" | "S" => ("", "U"),
        "p" => ("", "sA"),
        "l" | "T" => ("U", "U"),
        "t" => ("", "C"),
        "L" => ("", "rw"),
        _ => return Value::Null,
    };
    let public = (!everybody.is_empty()).then(|| format!("={everybody}/{name}"));
    let own = format!("{name}={own}/{name}");
    public.into_iter().chain([own]).collect::<Vec<_>>().into()
}

/// A privilege that is asked about, and whether it is the right to grant it on.
type Asked = (Privileges, bool);

/// The role that is asked about: the first argument if there are `all` of them.
fn role(call: &Call<'_>, all: usize) -> Result<Oid> {
    if call.len() < all {
        return Ok(call.context.user());
    }
    match call.text(0) {
        Some("public") => Ok(EVERYBODY),
        _ => call.oid(0, RegKind::Role),
    }
}

/// The words of the last argument, each with whether it goes on with WITH GRANT OPTION.
fn words(call: &Call<'_>, known: &[&'static str]) -> Result<Vec<(&'static str, bool)>> {
    let text = call.text(call.nth_last(0)).unwrap_or_default();
    text.split(',')
        .map(|word| {
            let upper = word.trim().to_ascii_uppercase();
            let option = [" WITH GRANT OPTION", " WITH ADMIN OPTION"];
            let bare = option.iter().find_map(|option| upper.strip_suffix(option));
            let found = known.iter().find(|known| **known == bare.unwrap_or(&upper));
            found.map(|known| (*known, bare.is_some())).ok_or_else(|| {
                let message = format!("unrecognized privilege type: \"{}\"", word.trim());
                Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
            })
        })
        .collect()
}

/// The privileges that the last argument names; `gone` are words that mean nothing any more.
fn asked(call: &Call<'_>, class: Class, gone: &[&'static str]) -> Result<Vec<Asked>> {
    let mut known: Vec<&'static str> = class.all().each().map(|(_, _, word)| word).collect();
    if class == Class::Database {
        known.push("TEMP");
    }
    known.extend(gone);
    let words = words(call, &known)?;
    let privilege =
        |(word, with_option)| (Privileges::of_word(word).unwrap_or(Privileges::NONE), with_option);
    Ok(words.into_iter().map(privilege).collect())
}

/// Whether a role has one of the privileges on an object; NULL where there is no such object.
fn of_object(call: &Call<'_>, role: Oid, object: Oid, asked: &[Asked]) -> Result<Value<'static>> {
    let Some(_) = call.catalog.object(object) else { return Ok(Value::Null) };
    Ok(asked.iter().any(|asked| has(call, role, object, *asked)).into())
}

fn has(call: &Call<'_>, role: Oid, object: Oid, (privilege, with_option): Asked) -> bool {
    let Some(object) = call.catalog.object(object) else { return false };
    let held = match with_option {
        false => call.catalog.held(role, &object),
        true => call.catalog.grantable(role, &object),
    };
    !privilege.is_empty() && held.contains(privilege)
}

fn has_on_column(
    call: &Call<'_>,
    role: Oid,
    relation: Oid,
    column: ColumnId,
    asked: Asked,
) -> bool {
    let (privilege, with_option) = asked;
    let Some(object) = call.catalog.object(relation) else { return false };
    has(call, role, relation, asked)
        || match with_option {
            false => call.catalog.held_on(role, &object, column).contains(privilege),
            true => call.catalog.grantable_on(role, &object, column).contains(privilege),
        }
}

fn of_column(call: &Call<'_>) -> Result<Value<'static>> {
    let role = role(call, 4)?;
    let relation = call.relation(call.nth_last(2))?;
    let asked = asked(call, Class::Column, &[])?;
    let Some(object) = call.catalog.object(relation) else { return Ok(Value::Null) };
    let column = match call.value(call.nth_last(1)) {
        Value::Text(name) => call.catalog.column_named(relation, name).ok_or_else(|| {
            let message =
                format!("column \"{name}\" of relation \"{}\" does not exist", object.name);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })?,
        Value::Int(number) => {
            let column = match call.catalog.table(relation) {
                Some(table) => table.column_numbered(*number).map(|column| column.id),
                None => i16::try_from(*number).map(ColumnId).ok(),
            };
            let is_there = |id: &ColumnId| call.catalog.column_name(relation, *id).is_some();
            match column.filter(is_there) {
                Some(column) => column,
                None => return Ok(Value::Null),
            }
        }
        _ => return Ok(Value::Null),
    };
    let has = |asked: &Asked| has_on_column(call, role, relation, column, *asked);
    Ok(asked.iter().any(has).into())
}

fn of_database(call: &Call<'_>) -> Result<Value<'static>> {
    let role = role(call, 3)?;
    let asked = asked(call, Class::Database, &[])?;
    let database = match call.value(call.nth_last(1)) {
        Value::Text(name) => {
            let found = call.catalog.database_named(name).ok_or_else(|| {
                let message = format!("database \"{name}\" does not exist");
                Error::new(SqlState::INVALID_CATALOG_NAME, message)
            })?;
            found.id
        }
        _ => call.oid(call.nth_last(1), RegKind::Class)?,
    };
    of_object(call, role, database, &asked)
}

/// What everybody may use, if it is there.
fn open(
    call: &Call<'_>,
    place: usize,
    kind: RegKind,
    word: &'static str,
) -> Result<Value<'static>> {
    call.oid(place, kind)?;
    words(call, &[word])?;
    Ok(true.into())
}
