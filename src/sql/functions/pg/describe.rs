//! What things are, as SQL text: `format_type`, `pg_get_indexdef`, `pg_get_constraintdef` and kin.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{self, Bool, Int4, Object, Oid as AnyOid, Oids, Text},
    },
};
use crate::{
    catalog::{
        Relation,
        pg::{
            deparse,
            functions::{KnownFunction, known},
            names::quote_ident,
        },
    },
    error::Result,
    ids::Oid,
    pgtype::RegKind,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("format_type", &[AnyOid, Int4], Text, format_type).nullable(),
    // What the catalogs hold of an expression is its text.
    Function::new("pg_get_expr", &[Text, AnyOid, Bool], Text, |call| {
        Ok(call.text(0).map(str::to_owned).into())
    })
    .optional_last(1),
    Function::new("pg_get_indexdef", &[Object(RegKind::Class), Int4, Bool], Text, indexdef)
        .optional_last(2),
    Function::new("pg_get_constraintdef", &[AnyOid, Bool], Text, |call| {
        let oid = call.oid(0, RegKind::Class)?;
        Ok(deparse::constraint(&call.scope, oid).into())
    })
    .optional_last(1),
    Function::new("pg_get_viewdef", &[Object(RegKind::Class), Bool], Text, viewdef)
        .optional_last(1),
    Function::new("pg_get_ruledef", &[AnyOid, Bool], Text, ruledef).optional_last(1),
    Function::new("pg_get_userbyid", &[AnyOid], Kind::Name, |call| {
        let oid = call.oid(0, RegKind::Role)?;
        let unknown = || format!("unknown (OID={oid})");
        Ok(call.catalog.role(oid).map_or_else(unknown, |role| role.name.clone()).into())
    }),
    Function::new("pg_get_function_arguments", &[Object(RegKind::Proc)], Text, |call| {
        Ok(function(call)?.map(|f| arguments(call, f, true)).into())
    }),
    Function::new("pg_get_function_identity_arguments", &[Object(RegKind::Proc)], Text, |call| {
        Ok(function(call)?.map(|f| arguments(call, f, false)).into())
    }),
    Function::new("pg_get_function_result", &[Object(RegKind::Proc)], Text, |call| {
        Ok(function(call)?.map(|f| returns(call, f)).into())
    }),
    Function::new("pg_get_function_arg_default", &[Object(RegKind::Proc), Int4], Text, nothing),
    Function::new("pg_get_function_sqlbody", &[Object(RegKind::Proc)], Text, nothing),
    Function::new("pg_get_functiondef", &[Object(RegKind::Proc)], Text, functiondef),
    Function::new("oidvectortypes", &[Oids], Text, |call| {
        let Value::Ints(oids) = call.value(0) else { return Ok(Value::Null) };
        let name = |&oid: &i64| type_name(call, u32::try_from(oid).map_or(Oid(0), Oid));
        Ok(oids.iter().map(name).collect::<Vec<_>>().join(", ").into())
    }),
    // There is nothing of the kind: no partitions, triggers and extended statistics.
    Function::new("pg_get_partkeydef", &[Object(RegKind::Class)], Text, nothing),
    Function::new("pg_get_partition_constraintdef", &[Object(RegKind::Class)], Text, nothing),
    Function::new("pg_get_triggerdef", &[AnyOid, Bool], Text, nothing).optional_last(1),
    Function::new("pg_get_statisticsobjdef", &[AnyOid], Text, nothing),
    Function::new("pg_get_statisticsobjdef_columns", &[AnyOid], Text, nothing),
    Function::new("pg_get_serial_sequence", &[Text, Text], Text, serial_sequence),
    Function::new("pg_describe_object", &[AnyOid, AnyOid, Int4], Text, describe_object),
];

fn nothing(_: &Call<'_>) -> Result<Value<'static>> {
    Ok(Value::Null)
}

fn format_type(call: &Call<'_>) -> Result<Value<'static>> {
    let Value::Int(_) = call.value(0) else { return Ok(Value::Null) };
    let oid = call.oid(0, RegKind::Type)?;
    if oid == Oid(0) {
        return Ok("-".into());
    }
    let typmod = call.int(1).map(|typmod| i32::try_from(typmod).unwrap_or(-1));
    Ok(call.scope.type_name(oid, typmod).unwrap_or_else(|| "???".to_owned()).into())
}

fn type_name(call: &Call<'_>, oid: Oid) -> String {
    call.scope.type_name(oid, None).unwrap_or_else(|| "???".to_owned())
}

fn indexdef(call: &Call<'_>) -> Result<Value<'static>> {
    let oid = call.relation(0)?;
    let number = call.int(1).map_or(0, |number| i32::try_from(number).unwrap_or(0));
    Ok(match deparse::index_column(&call.scope, oid, number) {
        Some(definition) => definition.into(),
        // A column that the index does not have.
        None if number != 0 && deparse::index(&call.scope, oid).is_some() => "".into(),
        None => Value::Null,
    })
}

fn viewdef(call: &Call<'_>) -> Result<Value<'static>> {
    let oid = call.relation(0)?;
    Ok(call.catalog.view(oid).map(|view| deparse::view(view)).into())
}

fn ruledef(call: &Call<'_>) -> Result<Value<'static>> {
    let oid = call.oid(0, RegKind::Class)?;
    let definition = call.catalog.view(oid).map(|view| {
        let name = call.scope.class(oid).unwrap_or_default();
        format!(
            "CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {name} DO INSTEAD {}",
            deparse::view(view)
        )
    });
    Ok(definition.into())
}

fn function(call: &Call<'_>) -> Result<Option<&'static KnownFunction>> {
    Ok(known(call.oid(0, RegKind::Proc)?))
}

/// The arguments of a function as CREATE FUNCTION lists them.
fn arguments(call: &Call<'_>, function: &KnownFunction, with_defaults: bool) -> String {
    let all = function.all_arguments.as_ref().unwrap_or(&function.arguments);
    let mode = |place: usize| match &function.modes {
        Some(modes) => modes.get(place).map_or("i", String::as_str),
        None => "i",
    };
    let inputs = (0..all.len()).filter(|&place| mode(place) != "o" && mode(place) != "t").count();
    let first_default = inputs - usize::try_from(function.defaults).unwrap_or(0).min(inputs);
    let mut input = 0;
    let mut shown = Vec::new();
    for (place, &kind) in all.iter().enumerate() {
        let prefix = match mode(place) {
            "t" => continue,
            "o" => "OUT ",
            "b" => "INOUT ",
            "v" => "VARIADIC ",
            _ => "",
        };
        let name = function.names.as_ref().and_then(|names| names.get(place));
        let name = name
            .filter(|name| !name.is_empty())
            .map_or_else(String::new, |name| format!("{} ", quote_ident(name)));
        let is_default = with_defaults && mode(place) != "o" && input >= first_default;
        input += usize::from(mode(place) != "o");
        let default = if is_default { " DEFAULT NULL" } else { "" };
        shown.push(format!("{prefix}{name}{}{default}", type_name(call, kind)));
    }
    shown.join(", ")
}

/// What a function returns.
fn returns(call: &Call<'_>, function: &KnownFunction) -> String {
    let is_table = |modes: &Vec<String>| modes.iter().any(|mode| mode == "t");
    if let (Some(all), Some(modes)) =
        (&function.all_arguments, function.modes.as_ref().filter(|modes| is_table(modes)))
    {
        let names = function.names.iter().flatten();
        let columns = all.iter().zip(modes).zip(names).filter(|((_, mode), _)| *mode == "t");
        let columns = columns.map(|((&kind, _), name)| format!("{name} {}", type_name(call, kind)));
        return format!("TABLE({})", columns.collect::<Vec<_>>().join(", "));
    }
    let set = if function.returns_set { "SETOF " } else { "" };
    format!("{set}{}", type_name(call, function.returns))
}

/// The functions that there are belong to the server.
fn functiondef(call: &Call<'_>) -> Result<Value<'static>> {
    let definition = function(call)?.map(|f| {
        let schema = call.catalog.schema(f.schema(&call.scope)).map_or("", |schema| &schema.name);
        let volatility = match f.volatility {
            "i" => " IMMUTABLE",
            "s" => " STABLE",
            _ => "",
        };
        let strict = if f.strict { " STRICT" } else { "" };
        format!(
            "CREATE OR REPLACE FUNCTION {schema}.{}({})\n RETURNS {}\n LANGUAGE internal\n\
             {volatility}{strict}\nAS $function${}$function$\n",
            quote_ident(f.name),
            arguments(call, f, true),
            returns(call, f),
            f.name
        )
    });
    Ok(definition.into())
}

fn serial_sequence(call: &Call<'_>) -> Result<Value<'static>> {
    let relation = call.relation(0)?;
    let column = call.text(1).unwrap_or_default();
    let Some(table) = call.catalog.table(relation) else { return Ok(Value::Null) };
    let sequence = table.expect_column(column)?.sequence;
    let Some(sequence) = sequence.and_then(|id| call.catalog.sequence(id)) else {
        return Ok(Value::Null);
    };
    let schema = call.catalog.schema(sequence.schema).map_or("", |schema| &schema.name);
    Ok(format!("{}.{}", quote_ident(schema), quote_ident(&sequence.name)).into())
}

/// What an entry of `pg_depend` speaks of, in English.
fn describe_object(call: &Call<'_>) -> Result<Value<'static>> {
    let (class, object) = (call.oid(0, RegKind::Class)?, call.oid(1, RegKind::Class)?);
    let column = call.int(2).unwrap_or(0);
    let scope = &call.scope;
    Ok(match class.0 {
        1259 => relation(call, object, column).into(),
        1247 => scope.type_name(object, None).map(|name| format!("type {name}")).into(),
        1255 => known(object)
            .map(|f| {
                let types: Vec<_> = f.arguments.iter().map(|&t| type_name(call, t)).collect();
                format!("function {}({})", f.name, types.join(","))
            })
            .into(),
        2615 => call.catalog.schema(object).map(|s| format!("schema {}", s.name)).into(),
        1262 => call.catalog.database(object).map(|d| format!("database {}", d.name)).into(),
        1260 => call.catalog.role(object).map(|role| format!("role {}", role.name)).into(),
        2617 => format!("operator {}", scope.text(RegKind::Operator, object)).into(),
        3079 => "extension vector".into(),
        2606 => constraint(call, object).into(),
        _ => Value::Null,
    })
}

fn relation(call: &Call<'_>, oid: Oid, column: i64) -> Option<String> {
    let name = call.scope.class(oid)?;
    let kind = match call.catalog.relation(oid) {
        Some(Relation::View(_)) => "view",
        Some(Relation::Sequence(_)) => "sequence",
        Some(Relation::Index(_) | Relation::Key(..)) => "index",
        Some(Relation::Table(_)) | None => "table",
    };
    if column == 0 {
        return Some(format!("{kind} {name}"));
    }
    let column = call.catalog.table(oid)?.column_numbered(column)?.name.clone();
    Some(format!("column {column} of {kind} {name}"))
}

fn constraint(call: &Call<'_>, oid: Oid) -> Option<String> {
    call.catalog.tables().find_map(|table| {
        let constraint = table.constraints.iter().find(|constraint| constraint.id == oid)?;
        let name = call.scope.class(table.id)?;
        Some(format!("constraint {} on table {name}", constraint.name))
    })
}
