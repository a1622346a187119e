//! Names and oids: `to_regclass` and kin, `quote_ident` and kin, `parse_ident`.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{Bool, Object, Text, Texts},
    },
};
use crate::{
    catalog::pg::names::{parts, quote_ident, quote_literal},
    error::{Error, Result, SqlState},
    pgtype::{PgType, RegKind, cast::parse_text},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("to_regclass", &[Text], Object(RegKind::Class), |c| find(c, RegKind::Class)),
    Function::new("pg_input_is_valid", &[Text, Text], Bool, |call| {
        Ok(input_error(call)?.is_none().into())
    }),
    Function::new("to_regtype", &[Text], Object(RegKind::Type), |c| find(c, RegKind::Type)),
    Function::new("to_regproc", &[Text], Object(RegKind::Proc), |c| find(c, RegKind::Proc)),
    Function::new("to_regprocedure", &[Text], Object(RegKind::Proc), |c| find(c, RegKind::Proc)),
    Function::new("to_regoper", &[Text], Object(RegKind::Operator), |c| find(c, RegKind::Operator)),
    Function::new("to_regoperator", &[Text], Object(RegKind::Operator), |c| {
        find(c, RegKind::Operator)
    }),
    Function::new("to_regnamespace", &[Text], Object(RegKind::Namespace), |c| {
        find(c, RegKind::Namespace)
    }),
    Function::new("to_regrole", &[Text], Object(RegKind::Role), |c| find(c, RegKind::Role)),
    // What casts from text and to text are, by PostgreSQL's names.
    Function::new("regclassin", &[Text], Object(RegKind::Class), |c| read(c, RegKind::Class)),
    Function::new("regtypein", &[Text], Object(RegKind::Type), |c| read(c, RegKind::Type)),
    Function::new("regprocin", &[Text], Object(RegKind::Proc), |c| read(c, RegKind::Proc)),
    Function::new("regoperatorin", &[Text], Object(RegKind::Operator), |c| {
        read(c, RegKind::Operator)
    }),
    Function::new("regnamespacein", &[Text], Object(RegKind::Namespace), |c| {
        read(c, RegKind::Namespace)
    }),
    Function::new("regrolein", &[Text], Object(RegKind::Role), |c| read(c, RegKind::Role)),
    Function::new("regclassout", &[Object(RegKind::Class)], Text, |c| write(c, RegKind::Class)),
    Function::new("regtypeout", &[Object(RegKind::Type)], Text, |c| write(c, RegKind::Type)),
    Function::new("regprocout", &[Object(RegKind::Proc)], Text, |c| write(c, RegKind::Proc)),
    Function::new("regoperatorout", &[Object(RegKind::Operator)], Text, |c| {
        write(c, RegKind::Operator)
    }),
    Function::new("regnamespaceout", &[Object(RegKind::Namespace)], Text, |c| {
        write(c, RegKind::Namespace)
    }),
    Function::new("regroleout", &[Object(RegKind::Role)], Text, |c| write(c, RegKind::Role)),
    Function::new("quote_ident", &[Text], Text, |call| {
        Ok(call.text(0).map(|text| quote_ident(text).into_owned()).into())
    })
    .immutable(),
    Function::new("quote_literal", &[Text], Text, |call| {
        Ok(call.text(0).map(quote_literal).into())
    })
    .immutable(),
    Function::new("quote_nullable", &[Text], Text, |call| {
        Ok(call.text(0).map_or_else(|| "NULL".to_owned(), quote_literal).into())
    })
    .immutable()
    .nullable(),
    Function::new("parse_ident", &[Text, Bool], Texts, parse_ident).optional_last(1).immutable(),
];

fn find(call: &Call<'_>, kind: RegKind) -> Result<Value<'static>> {
    let name = call.text(0).unwrap_or_default();
    match call.scope.find(kind, name) {
        Ok(found) => Ok(found.into()),
        // What is no name, or more than one thing's, is nothing's.
        Err(_) => Ok(Value::Null),
    }
}

/// Why the first argument is no value of the type that the second names.
fn input_error(call: &Call<'_>) -> Result<Option<Error>> {
    let kind = PgType::parse(call.text(1).unwrap_or_default())?;
    let text = call.text(0).unwrap_or_default();
    Ok(parse_text(&kind, text, &call.context.style()).err())
}

fn read(call: &Call<'_>, kind: RegKind) -> Result<Value<'static>> {
    Ok(call.oid(0, kind)?.into())
}

fn write(call: &Call<'_>, kind: RegKind) -> Result<Value<'static>> {
    Ok(call.scope.text(kind, call.oid(0, kind)?).into())
}

fn parse_ident(call: &Call<'_>) -> Result<Value<'static>> {
    let text = call.text(0).unwrap_or_default();
    let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let names = parts(text)
        .map_err(|_| invalid(format!("string is not a valid identifier: \"{text}\"")))?;
    let starts_badly = |name: &&String| name.starts_with(|c: char| c.is_ascii_digit());
    if !text.contains('"') && names.iter().any(|name| starts_badly(&name)) {
        return Err(invalid(format!("string is not a valid identifier: \"{text}\"")));
    }
    Ok(names.into())
}
