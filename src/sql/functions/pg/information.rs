//! The helpers of `information_schema`: what a type's modifier says.

use super::declare::{
    Function,
    Kind::{Int4, Oid as AnyOid, Text},
};
use crate::pgtype::{PgType, RegKind, precision};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::of_type("_pg_char_max_length", |kind| match kind {
        PgType::Varchar(length) => length.map(i64::from),
        PgType::Bpchar(length) => Some(length.map_or(1, i64::from)),
        PgType::Bit(length) | PgType::Varbit(length) => length.map(i64::from),
        _ => None,
    }),
    Function::of_type("_pg_char_octet_length", |kind| match kind {
        PgType::Varchar(Some(length)) | PgType::Bpchar(Some(length)) => {
            Some(i64::from(*length) * 4)
        }
        PgType::Bpchar(None) => Some(4),
        PgType::Varchar(None) | PgType::Text => Some(1 << 30),
        _ => None,
    }),
    Function::of_type("_pg_numeric_precision", |kind| match kind {
        PgType::Int2 => Some(16),
        PgType::Int4 => Some(32),
        PgType::Int8 => Some(64),
        PgType::Float4 => Some(24),
        PgType::Float8 => Some(53),
        PgType::Numeric(modifier) => modifier.map(|(precision, _)| precision.into()),
        _ => None,
    }),
    Function::of_type("_pg_numeric_precision_radix", |kind| match kind {
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Float4 | PgType::Float8 => Some(2),
        PgType::Numeric(_) => Some(10),
        _ => None,
    }),
    Function::of_type("_pg_numeric_scale", |kind| match kind {
        PgType::Int2 | PgType::Int4 | PgType::Int8 => Some(0),
        PgType::Numeric(modifier) => modifier.map(|(_, scale)| scale.into()),
        _ => None,
    }),
    Function::of_type("_pg_datetime_precision", precision::of_second),
    Function::new("_pg_interval_type", &[AnyOid, Int4], Text, |call| {
        let oid = call.oid(0, RegKind::Type)?;
        let typmod = call.int(1).and_then(|typmod| i32::try_from(typmod).ok()).unwrap_or(-1);
        let kind = PgType::from_oid(oid.0, typmod);
        Ok(kind.and_then(|kind| kind.qualifier()?.interval_type()).into())
    })
    .immutable(),
];
