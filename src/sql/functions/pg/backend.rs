//! The server and its backends: process numbers, transactions, encodings, advisory locks.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{
            self, Bool, Float8, Int4, Int4s, Int8, Name, Oid as AnyOid, Text, Timestamptz, Void,
            Xid,
        },
    },
};
use crate::{
    catalog::temporary_schema,
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::RegKind,
    sql::AdvisoryLock,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("pg_backend_pid", &[], Int4, |c| Ok(c.context.process_id().into())),
    Function::new("pg_postmaster_start_time", &[], Timestamptz, started),
    Function::new("pg_conf_load_time", &[], Timestamptz, started),
    Function::new("pg_is_in_recovery", &[], Bool, |_| Ok(false.into())),
    Function::new("txid_current", &[], Int8, |c| Ok(transaction(c).into())),
    Function::new("pg_current_xact_id", &[], Int8, |c| Ok(transaction(c).into())),
    Function::new("txid_current_if_assigned", &[], Int8, |_| Ok(Value::Null)),
    Function::new("pg_current_xact_id_if_assigned", &[], Int8, |_| Ok(Value::Null)),
    Function::new("age", &[Xid], Int4, |_| Ok(0.into())),
    Function::new("pg_cancel_backend", &[Int4], Bool, |call| {
        let process = call.int(0).and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
        Ok(call.context.cancel_backend(process)?.into())
    })
    .volatile(),
    Function::new("nearlake_stat_statements_reset", &[], Void, |call| {
        let user = call.catalog.role(call.context.user());
        if !user.is_some_and(|role| role.superuser) {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "permission denied for function nearlake_stat_statements_reset",
            ));
        }
        call.context.forget_statements();
        Ok(Value::Null)
    })
    .volatile(),
    Function::new("pg_terminate_backend", &[Int4, Int8], Bool, |_| {
        Err(Error::unsupported("pg_terminate_backend is not supported")
            .hint("pg_cancel_backend stops what a session runs."))
    })
    .optional_last(1)
    .volatile(),
    Function::new("pg_blocking_pids", &[Int4], Int4s, |_| Ok(Value::Ints(Vec::new()))),
    Function::new("pg_my_temp_schema", &[], AnyOid, |call| {
        Ok(own_temporary_schema(call).map_or(0, |id| id.0).into())
    }),
    Function::new("pg_is_other_temp_schema", &[AnyOid], Bool, |call| {
        let schema = call.int(0).and_then(|id| u32::try_from(id).ok()).map(Oid);
        let is_temporary = schema.is_some_and(|id| call.context.catalog().is_temporary(id));
        Ok((is_temporary && schema != own_temporary_schema(call)).into())
    }),
    Function::new("pg_tablespace_location", &[AnyOid], Text, |_| Ok("".into())),
    Function::new("inet_server_addr", &[], Text, |_| Ok(Value::Null)),
    Function::new("inet_server_port", &[], Int4, |call| {
        Ok(call.context.setting("port").and_then(|port| port.parse::<i32>().ok()).into())
    }),
    Function::new("inet_client_addr", &[], Text, |call| {
        Ok(own(call).and_then(|session| session.client_address).into())
    }),
    Function::new("inet_client_port", &[], Int4, |call| {
        Ok(own(call).and_then(|session| session.client_port).into())
    }),
    Function::new("getdatabaseencoding", &[], Name, |_| Ok("UTF8".into())),
    Function::new("pg_client_encoding", &[], Name, |call| {
        Ok(call.context.setting("client_encoding").unwrap_or_else(|| "UTF8".to_owned()).into())
    }),
    Function::new("pg_encoding_to_char", &[Int4], Name, |call| {
        let place = call.int(0).and_then(|number| usize::try_from(number).ok());
        Ok(place.and_then(|place| ENCODINGS.get(place).copied()).unwrap_or("").into())
    })
    .immutable(),
    Function::new("pg_char_to_encoding", &[Name], Int4, |call| {
        let plain = |name: &str| name.to_ascii_uppercase().replace(['-', '_'], "");
        let name = plain(call.text(0).unwrap_or_default());
        let place = ENCODINGS.iter().position(|encoding| plain(encoding) == name);
        Ok(place.and_then(|place| i32::try_from(place).ok()).unwrap_or(-1).into())
    })
    .immutable(),
    Function::new("pg_notify", &[Text, Text], Void, |call| {
        call.context.notify(call.text(0).unwrap_or_default(), call.text(1).unwrap_or_default())?;
        Ok(Value::Null)
    })
    .volatile()
    .nullable(),
    Function::new("pg_notification_queue_usage", &[], Float8, |call| {
        Ok(Value::Float(call.context.notification_queue_usage()))
    })
    .volatile(),
    Function::new("pg_jit_available", &[], Bool, |_| Ok(false.into())),
    Function::new("row_security_active", &[RELATION], Bool, |_| Ok(false.into())),
    Function::new("pg_stat_get_numscans", &[AnyOid], Int8, |_| Ok(0_i64.into())),
    Function::new("pg_stat_get_live_tuples", &[AnyOid], Int8, |call| {
        let rows = call.context.live_rows(call.relation(0)?);
        Ok(i64::try_from(rows).unwrap_or(i64::MAX).into())
    }),
    Function::new("pg_stat_get_dead_tuples", &[AnyOid], Int8, |_| Ok(0_i64.into())),
    Function::new("pg_stat_get_last_vacuum_time", &[AnyOid], Timestamptz, |_| Ok(Value::Null)),
    Function::new("pg_stat_get_last_analyze_time", &[AnyOid], Timestamptz, |_| Ok(Value::Null)),
    Function::new("pg_stat_get_last_autovacuum_time", &[AnyOid], Timestamptz, |_| Ok(Value::Null)),
    Function::new("pg_stat_get_last_autoanalyze_time", &[AnyOid], Timestamptz, |_| Ok(Value::Null)),
    Function::new("pg_relation_is_publishable", &[RELATION], Bool, |call| {
        let oid = call.relation(0)?;
        let exists = crate::catalog::pg::names::relation_name(call.catalog, oid).is_some();
        // There are no publications.
        Ok(exists.then_some(false).into())
    }),
    Function::new("pg_relation_is_updatable", &[RELATION, Bool], Int4, |call| {
        // 8 INSERT, 4 UPDATE, 16 DELETE.
        let is_table = call.catalog.table(call.relation(0)?).is_some();
        Ok(i32::from(is_table).saturating_mul(28).into())
    }),
    Function::new("pg_column_is_updatable", &[RELATION, Int4, Bool], Bool, |call| {
        Ok(call.catalog.table(call.relation(0)?).is_some().into())
    }),
    // One key of 64 bits or two of 32.
    Function::new("pg_advisory_lock", LOCK, Void, |c| lock(c, SESSION)).optional_last(1).volatile(),
    Function::new("pg_advisory_lock_shared", LOCK, Void, |c| lock(c, SHARED))
        .optional_last(1)
        .volatile(),
    Function::new("pg_advisory_xact_lock", LOCK, Void, |c| lock(c, TRANSACTION))
        .optional_last(1)
        .volatile(),
    Function::new("pg_advisory_xact_lock_shared", LOCK, Void, |c| {
        lock(c, AdvisoryLock { shared: true, ..TRANSACTION })
    })
    .optional_last(1)
    .volatile(),
    Function::new("pg_try_advisory_lock", LOCK, Bool, |c| try_lock(c, SESSION))
        .optional_last(1)
        .volatile(),
    Function::new("pg_try_advisory_lock_shared", LOCK, Bool, |c| try_lock(c, SHARED))
        .optional_last(1)
        .volatile(),
    Function::new("pg_try_advisory_xact_lock", LOCK, Bool, |c| try_lock(c, TRANSACTION))
        .optional_last(1)
        .volatile(),
    Function::new("pg_try_advisory_xact_lock_shared", LOCK, Bool, |c| {
        try_lock(c, AdvisoryLock { shared: true, ..TRANSACTION })
    })
    .optional_last(1)
    .volatile(),
    Function::new("pg_advisory_unlock", LOCK, Bool, |c| unlock(c, false))
        .optional_last(1)
        .volatile(),
    Function::new("pg_advisory_unlock_shared", LOCK, Bool, |c| unlock(c, true))
        .optional_last(1)
        .volatile(),
    Function::new("pg_advisory_unlock_all", &[], Void, |call| {
        call.context.advisory_unlock_all();
        Ok(Value::Null)
    })
    .volatile(),
];

const RELATION: Kind = Kind::Object(RegKind::Class);
const LOCK: &[Kind] = &[Int8, Int4];
const SESSION: AdvisoryLock =
    AdvisoryLock { key: 0, shared: false, transaction: false, wait: true };
const SHARED: AdvisoryLock = AdvisoryLock { shared: true, ..SESSION };
const TRANSACTION: AdvisoryLock = AdvisoryLock { transaction: true, ..SESSION };

/// PostgreSQL's encodings, by number.
const ENCODINGS: [&str; 42] = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

/// The session itself among all.
fn own_temporary_schema(call: &Call<'_>) -> Option<Oid> {
    let name = temporary_schema(call.context.process_id());
    let catalog = call.context.catalog();
    catalog.schema_named(call.context.database(), &name).map(|schema| schema.id)
}

fn own(call: &Call<'_>) -> Option<crate::catalog::pg::ActivityRow> {
    let id = call.context.process_id();
    call.context.activity().into_iter().find(|session| session.process_id == id)
}

/// The oldest session began when the server was there.
fn started(call: &Call<'_>) -> Result<Value<'static>> {
    let oldest = call.context.activity().iter().map(|session| session.backend_start).min();
    Ok(oldest.unwrap_or_else(|| call.context.transaction_micros()).into())
}

/// A number that grows with every transaction: PostgreSQL's is of 64 bits too.
fn transaction(call: &Call<'_>) -> i64 {
    call.context.transaction_micros()
}

/// The key of a lock: two numbers are the halves of one.
fn key(call: &Call<'_>) -> Result<i64> {
    let first = call.int(0).unwrap_or_default();
    let Some(second) = call.int(1) else { return Ok(first) };
    let out_of_range = |_| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range");
    let first = i32::try_from(first).map_err(out_of_range)?;
    Ok((i64::from(first) << 32) | (second & 0xffff_ffff))
}

fn lock(call: &Call<'_>, kind: AdvisoryLock) -> Result<Value<'static>> {
    call.context.advisory_lock(AdvisoryLock { key: key(call)?, ..kind })?;
    Ok(Value::Null)
}

fn try_lock(call: &Call<'_>, kind: AdvisoryLock) -> Result<Value<'static>> {
    let taken =
        call.context.advisory_lock(AdvisoryLock { key: key(call)?, wait: false, ..kind })?;
    Ok(taken.into())
}

fn unlock(call: &Call<'_>, shared: bool) -> Result<Value<'static>> {
    let held = call.context.advisory_unlock(key(call)?, shared);
    if !held {
        let name = if shared { "ShareLock" } else { "ExclusiveLock" };
        let warning = SqlState::new(b"01000");
        call.context.notice(Error::new(warning, format!("you don't own a lock of type {name}")));
    }
    Ok(held.into())
}
