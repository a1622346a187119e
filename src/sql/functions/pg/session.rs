//! The session and its settings: `current_schema`, `version`, `current_setting`, `set_config`.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{Bool, Name, Names, Text, Timestamptz},
    },
};
use crate::{
    catalog::pg::{SERVER_VERSION, SERVER_VERSION_NUM},
    error::{Error, Result, SqlState},
    ids::Oid,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("version", &[], Text, |_| Ok(version().into())),
    Function::new("current_database", &[], Name, |c| Ok(c.context.database_name().into())),
    Function::new("current_catalog", &[], Name, |c| Ok(c.context.database_name().into())),
    Function::new("current_user", &[], Name, |c| Ok(c.context.user_name().into())),
    Function::new("current_role", &[], Name, |c| Ok(c.context.user_name().into())),
    Function::new("user", &[], Name, |c| Ok(c.context.user_name().into())),
    Function::new("session_user", &[], Name, |c| Ok(c.context.session_user_name().into())),
    Function::new("current_schema", &[], Name, |call| {
        let schemas = names(call, &call.context.explicit_path());
        Ok(schemas.into_iter().next().into())
    }),
    Function::new("current_schemas", &[Bool], Names, |call| {
        let with_implicit = call.bool(0) == Some(true);
        let context = call.context;
        let path = if with_implicit { context.search_path() } else { context.explicit_path() };
        Ok(names(call, &path).into())
    }),
    Function::new("current_setting", &[Text, Bool], Text, current_setting).optional_last(1),
    Function::new("set_config", &[Text, Text, Bool], Text, set_config).volatile().nullable(),
    Function::new("transaction_timestamp", &[], Timestamptz, |c| {
        Ok(c.context.transaction_micros().into())
    }),
    Function::new("statement_timestamp", &[], Timestamptz, |c| {
        Ok(c.context.statement_micros().into())
    }),
    Function::new("clock_timestamp", &[], Timestamptz, |c| Ok(c.context.clock_micros().into()))
        .volatile(),
];

/// `PostgreSQL 18.0 (Nearlake 0.1.0) on x86_64-linux`: clients read the number behind the first
/// word.
pub(super) fn version() -> String {
    format!(
        "PostgreSQL {SERVER_VERSION} (Nearlake {}) on {}-{}, 64-bit",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS
    )
}

/// The names of schemas.
fn names(call: &Call<'_>, path: &[Oid]) -> Vec<String> {
    let schema = |&oid: &Oid| call.catalog.schema(oid).map(|schema| schema.name.clone());
    path.iter().filter_map(schema).collect()
}

fn current_setting(call: &Call<'_>) -> Result<Value<'static>> {
    let name = call.text(0).unwrap_or_default();
    if let Some(value) = call.context.setting(name) {
        return Ok(value.into());
    }
    match name.to_ascii_lowercase().as_str() {
        "server_version" => return Ok(SERVER_VERSION.into()),
        "server_version_num" => return Ok(SERVER_VERSION_NUM.to_string().into()),
        _ if call.bool(1) == Some(true) => return Ok(Value::Null),
        _ => {}
    }
    Err(Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    ))
}

fn set_config(call: &Call<'_>) -> Result<Value<'static>> {
    let Some(name) = call.text(0) else {
        return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name"));
    };
    // NULL is the empty text.
    let value = call.text(1).unwrap_or_default();
    let local = call.bool(2).unwrap_or(false);
    Ok(call.context.set_setting(name, value, local)?.into())
}
