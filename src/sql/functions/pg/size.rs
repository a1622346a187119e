//! Sizes: what relations and databases take in the store.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{self, Any, Int8, Object, Text},
    },
};
use crate::{
    catalog::Relation,
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::RegKind,
};

const RELATION: Kind = Object(RegKind::Class);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("pg_relation_size", &[RELATION, Text], Int8, |call| {
        // Only the main fork has bytes.
        match call.text(1) {
            None | Some("main") => sized(call, own),
            Some("fsm" | "vm" | "init") => Ok(0_i64.into()),
            Some(_) => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "invalid fork name")
                .hint("Valid fork names are \"main\", \"fsm\", \"vm\", and \"init\".")),
        }
    })
    .optional_last(1)
    .volatile(),
    Function::new("pg_table_size", &[RELATION], Int8, |call| sized(call, own)).volatile(),
    Function::new("pg_indexes_size", &[RELATION], Int8, |call| sized(call, of_indexes)).volatile(),
    Function::new("pg_total_relation_size", &[RELATION], Int8, |call| {
        sized(call, |call, oid| own(call, oid) + of_indexes(call, oid))
    })
    .volatile(),
    Function::new("pg_database_size", &[Any], Int8, database_size).volatile(),
    Function::new("pg_tablespace_size", &[Any], Int8, |call| {
        let tables = call.catalog.tables().map(|table| table.id);
        Ok(total(call, tables.chain(call.catalog.indexes().map(|index| index.id))).into())
    })
    .volatile(),
    Function::new("pg_size_pretty", &[Int8], Text, |call| Ok(call.int(0).map(pretty).into()))
        .immutable(),
    Function::new("pg_size_bytes", &[Text], Int8, |call| {
        call.text(0).map(bytes_of).transpose().map(Into::into)
    })
    .immutable(),
    Function::new("pg_relation_filenode", &[RELATION], Kind::Oid, |call| {
        let oid = call.relation(0)?;
        let is_stored = matches!(call.catalog.relation(oid), Some(found) if !matches!(found, Relation::View(_)));
        Ok(is_stored.then_some(oid).into())
    }),
];

/// The bytes of a relation by some measure; NULL where there is no such relation.
fn sized(call: &Call<'_>, measure: fn(&Call<'_>, Oid) -> i64) -> Result<Value<'static>> {
    let oid = call.relation(0)?;
    let is_known = crate::catalog::pg::names::relation_name(call.catalog, oid).is_some();
    Ok(is_known.then(|| measure(call, oid)).into())
}

fn own(call: &Call<'_>, oid: Oid) -> i64 {
    i64::try_from(call.context.relation_size(oid)).unwrap_or(i64::MAX)
}

fn of_indexes(call: &Call<'_>, oid: Oid) -> i64 {
    total(call, call.catalog.indexes_of(oid).map(|index| index.id))
}

fn total(call: &Call<'_>, relations: impl Iterator<Item = Oid>) -> i64 {
    relations.map(|oid| own(call, oid)).fold(0, i64::saturating_add)
}

fn database_size(call: &Call<'_>) -> Result<Value<'static>> {
    let database = match call.value(0) {
        Value::Text(name) => call.catalog.database_named(name).map(|d| d.id).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )
        })?,
        _ => call.oid(0, RegKind::Class)?,
    };
    let here = |schema: Oid| {
        call.catalog.schema(schema).is_some_and(|schema| schema.database == Some(database))
    };
    let tables = call.catalog.tables().filter(|t| here(t.schema)).map(|table| table.id);
    let indexes = call.catalog.indexes().filter(|i| here(i.schema)).map(|index| index.id);
    Ok(total(call, tables.chain(indexes)).into())
}

/// As PostgreSQL does: a unit is kept until the number would pass 10240 of it, halves round up.
fn pretty(mut size: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let round = |half: i64| if half < 0 { (half - 1) / 2 } else { (half + 1) / 2 };
    if size.abs() < 10 * 1024 {
        return format!("{size} {}", UNITS[0]);
    }
    // From here on the size is kept doubled, to round by its last bit.
    size /= 512;
    let mut unit = 1;
    while unit + 1 < UNITS.len() && round(size).abs() >= 10 * 1024 {
        size /= 1024;
        unit += 1;
    }
    format!("{} {}", round(size), UNITS[unit])
}

/// What [`pretty`] wrote, and any number with a unit; a fraction is rounded.
fn bytes_of(text: &str) -> Result<i64> {
    const UNITS: [&str; 7] = ["bytes", "kb", "mb", "gb", "tb", "pb", "b"];
    let invalid =
        || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid size: \"{text}\""));
    let given = text.trim();
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    let mut end = given.find(|c| !is_of_number(c)).unwrap_or(given.len());
    // An exponent, unless that is a unit's.
    if let Some(rest) = given[end..].strip_prefix(['e', 'E']) {
        let sign = usize::from(rest.starts_with(['+', '-']));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        end += if digits > 0 { 1 + sign + digits } else { 0 };
    }
    let (number, unit) = (&given[..end], given[end..].trim().to_ascii_lowercase());
    let (digits, scale) = decimal(number).ok_or_else(invalid)?;
    let place = match unit.as_str() {
        "" | "b" => 0,
        unit => UNITS.iter().position(|known| *known == unit).ok_or_else(|| {
            invalid().detail(format!("Invalid size unit: \"{}\".", given[end..].trim())).hint(
                "Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".",
            )
        })?,
    };
    let too_large = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
    let ten = |power: u32| 10_i128.checked_pow(power);
    let bytes = digits.checked_mul(1024_i128.pow(u32::try_from(place).unwrap_or(0)));
    let bytes = match u32::try_from(scale) {
        // Rounded, halves away from zero; what has more places than that is nothing.
        Ok(places) => bytes.map(|bytes| {
            let unit = ten(places).unwrap_or(i128::MAX);
            let half = unit / 2;
            if bytes < 0 {
                bytes.saturating_sub(half) / unit
            } else {
                bytes.saturating_add(half) / unit
            }
        }),
        Err(_) => bytes.and_then(|bytes| bytes.checked_mul(ten(scale.unsigned_abs())?)),
    };
    bytes.and_then(|bytes| i64::try_from(bytes).ok()).ok_or_else(too_large)
}

/// A number as its digits and how many of them stand behind the point.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    if !has_digits || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Twenty digits behind the point are more than any unit makes a byte of.
    let fraction = &fraction[..fraction.len().min(20)];
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, i32::try_from(fraction.len()).ok()? - i32::from(exponent)))
}
