//! Types as the views of information_schema describe them.

use super::View;
use crate::{ids::Oid, pgtype::PgType};

/// The name of the schema in which a type lies.
pub(super) fn type_schema<'v>(view: Option<&'v View>, kind: &PgType) -> &'v str {
    let Some(view) = view else { return "pg_catalog" };
    if crate::pgtype::is_of_extension(kind.oid()) {
        return view.vector_schema_name();
    }
    let made = view.catalog.type_(Oid(kind.element().oid()));
    made.map_or("pg_catalog", |made| view.schema_name(made.schema))
}

/// The standard's name of a type without its modifier; arrays and ours have no such name.
pub(super) fn data_type(kind: &PgType) -> String {
    match kind {
        PgType::Array(_) | PgType::Int2vector | PgType::Oidvector => "ARRAY".to_owned(),
        PgType::Vector(_) | PgType::Halfvec(_) | PgType::Sparsevec(_) | PgType::Enum(_) => {
            "USER-DEFINED".to_owned()
        }
        kind => kind.standard_name().to_owned(),
    }
}

/// How many characters a value may have.
pub(super) fn maximum_length(kind: &PgType) -> Option<i64> {
    match kind {
        PgType::Varchar(length) => length.map(i64::from),
        PgType::Bpchar(length) => Some(length.map_or(1, i64::from)),
        PgType::Bit(length) | PgType::Varbit(length) => length.map(i64::from),
        _ => None,
    }
}

/// How many bytes a value may have: four a character, and at most 1 GiB.
pub(super) fn octet_length(kind: &PgType) -> Option<i64> {
    let is_text = kind.is_textual() && !matches!(kind, PgType::Name | PgType::Unknown);
    is_text.then(|| maximum_length(kind).map_or(1 << 30, |length| length * 4))
}

/// Precision, its radix, and scale.
pub(super) fn numeric(kind: &PgType) -> Option<(Option<i64>, i64, Option<i64>)> {
    match kind {
        PgType::Int2 => Some((Some(16), 2, Some(0))),
        PgType::Int4 => Some((Some(32), 2, Some(0))),
        PgType::Int8 => Some((Some(64), 2, Some(0))),
        PgType::Float4 => Some((Some(24), 2, None)),
        PgType::Float8 => Some((Some(53), 2, None)),
        PgType::Numeric(modifier) => {
            Some((modifier.map(|(p, _)| p.into()), 10, modifier.map(|(_, s)| s.into())))
        }
        _ => None,
    }
}
