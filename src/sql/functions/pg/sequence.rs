//! `nextval`, `currval`, `lastval`, `setval`.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{self, Bool, Int8, Object},
    },
};
use crate::{
    catalog::Privileges,
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::RegKind,
};

const SEQUENCE: Kind = Object(RegKind::Class);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("nextval", &[SEQUENCE], Int8, |call| {
        let sequence = sequence(call)?;
        allowed(call, sequence, Privileges::USAGE.and(Privileges::UPDATE))?;
        Ok(call.context.next_value(sequence)?.into())
    })
    .volatile(),
    Function::new("currval", &[SEQUENCE], Int8, |call| {
        let sequence = sequence(call)?;
        allowed(call, sequence, Privileges::USAGE.and(Privileges::SELECT))?;
        Ok(call.context.current_value(sequence)?.into())
    })
    .volatile(),
    Function::new("lastval", &[], Int8, |call| {
        let (sequence, value) = call.context.last_value()?;
        allowed(call, sequence, Privileges::USAGE.and(Privileges::SELECT))?;
        Ok(value.into())
    })
    .volatile(),
    Function::new("setval", &[SEQUENCE, Int8, Bool], Int8, |call| {
        let value = call.int(1).unwrap_or_default();
        let called = call.bool(2).unwrap_or(true);
        let sequence = sequence(call)?;
        allowed(call, sequence, Privileges::UPDATE)?;
        Ok(call.context.set_value(sequence, value, called)?.into())
    })
    .optional_last(1)
    .volatile(),
    Function::new("pg_sequence_last_value", &[SEQUENCE], Int8, |call| {
        let sequence = sequence(call)?;
        if allowed(call, sequence, Privileges::USAGE.and(Privileges::SELECT)).is_err() {
            return Ok(Value::Null);
        }
        let sequence = call.catalog.sequence(sequence);
        Ok(sequence.and_then(|sequence| sequence.last).into())
    })
    .volatile(),
];

/// Refuses a role that may do none of some things with a sequence.
fn allowed(call: &Call<'_>, sequence: Oid, privileges: Privileges) -> Result<()> {
    call.catalog.check_any(call.context.user(), sequence, privileges)
}

/// The sequence that an argument names.
fn sequence(call: &Call<'_>) -> Result<Oid> {
    let oid = call.relation(0)?;
    if call.catalog.sequence(oid).is_some() {
        return Ok(oid);
    }
    let name = call.scope.class(oid).unwrap_or_else(|| oid.to_string());
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot open relation \"{name}\""))
        .detail("This operation is not supported for what is no sequence."))
}
