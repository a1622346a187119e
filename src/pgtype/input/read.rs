//! Values that are read in a way of their own: texts by their type, names for oids, arrays in binary.

use super::ColumnBuilder;
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType, RegKind, array,
        faults::{bad_binary, take},
        integer, json, jsonpath,
        string::{self, TooLong},
        style::Style,
    },
    text::{Configuration, Document, Query},
};
use arrow::array::{FixedSizeBinaryBuilder, StringBuilder};

pub(super) fn append_text(
    builder: &mut StringBuilder,
    kind: &PgType,
    text: &str,
    too_long: TooLong,
) -> Result<()> {
    match kind {
        PgType::Char => builder.append_value(string::parse_char(text)),
        PgType::Name => builder.append_value(string::name(text)),
        PgType::Varchar(Some(limit)) => {
            builder.append_value(string::varchar(text, *limit, too_long)?);
        }
        PgType::Bpchar(Some(length)) => {
            builder.append_value(string::bpchar(text, *length, too_long)?);
        }
        PgType::Json => {
            json::validate(text)?;
            builder.append_value(text);
        }
        PgType::Jsonb => builder.append_value(json::normalise(text)?),
        PgType::Jsonpath => builder.append_value(jsonpath::normalise(text)?),
        PgType::Tsvector => builder.append_value(Document::parse(text)?.to_string()),
        PgType::Tsquery => builder.append_value(Query::parse(text)?.to_string()),
        PgType::Record | PgType::Composite(_) => {
            return Err(Error::unsupported(
                "input of anonymous composite types is not implemented",
            ));
        }
        _ => builder.append_value(text),
    }
    Ok(())
}

pub(super) fn append_uuid(builder: &mut FixedSizeBinaryBuilder, uuid: &[u8; 16]) -> Result<()> {
    builder.append_value(uuid).map_err(|error| Error::internal("a uuid has 16 bytes").source(error))
}

/// Reads an oid or a name that stands for one.
pub(super) fn parse_name(kind: RegKind, text: &str, style: &Style) -> Result<u32> {
    if text == "-" || (text == "0" && kind == RegKind::Operator) {
        return Ok(0);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return integer::parse_oid(text, "oid");
    }
    if let Some(oid) = style.names.as_ref().and_then(|names| names.oid(kind, text)) {
        return Ok(oid);
    }
    let (state, thing) = match kind {
        RegKind::Class => (SqlState::UNDEFINED_TABLE, "relation"),
        RegKind::Type => match PgType::parse(text) {
            Ok(found) => return Ok(found.oid()),
            Err(_) => (SqlState::UNDEFINED_OBJECT, "type"),
        },
        RegKind::Proc => (SqlState::UNDEFINED_FUNCTION, "function"),
        RegKind::Namespace => (SqlState::INVALID_SCHEMA_NAME, "schema"),
        RegKind::Role => (SqlState::UNDEFINED_OBJECT, "role"),
        RegKind::Config => {
            let name = text.strip_prefix("pg_catalog.").unwrap_or(text);
            match Configuration::named(name) {
                Some(found) => return Ok(found.oid()),
                None => (SqlState::UNDEFINED_OBJECT, "text search configuration"),
            }
        }
        RegKind::Operator => {
            return Err(Error::new(
                SqlState::UNDEFINED_FUNCTION,
                format!("operator does not exist: {text}"),
            ));
        }
    };
    Err(Error::new(state, format!("{thing} \"{text}\" does not exist")))
}

/// Reads the binary form of an array into its elements.
pub(super) fn read_list(element: &mut ColumnBuilder, mut bytes: &[u8]) -> Result<()> {
    let invalid = |message: &str| Error::new(SqlState::INVALID_BINARY_REPRESENTATION, message);
    let bytes = &mut bytes;
    let dimensions = i32::from_be_bytes(take(bytes)?);
    let flags = i32::from_be_bytes(take(bytes)?);
    let oid = u32::from_be_bytes(take(bytes)?);
    if dimensions < 0 {
        return Err(invalid(&format!("invalid number of dimensions: {dimensions}")));
    }
    if !(0..=1).contains(&flags) {
        return Err(invalid("invalid array flags"));
    }
    let expected = element.kind.oid();
    if oid != expected {
        let name = |oid: u32| {
            PgType::from_oid(oid, -1).map_or_else(|| "???".to_owned(), |kind| kind.to_string())
        };
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "binary data has array element type {oid} ({}) instead of expected {expected} ({})",
                name(oid),
                name(expected)
            ),
        ));
    }
    if dimensions > 1 {
        return Err(array::too_deep());
    }
    let length = if dimensions == 0 {
        0
    } else {
        let length = i32::from_be_bytes(take(bytes)?);
        let _lower_bound: [u8; 4] = take(bytes)?;
        usize::try_from(length).map_err(|_| {
            Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "array size exceeds the maximum allowed (134217727)",
            )
        })?
    };
    for _ in 0..length {
        let size = i32::from_be_bytes(take(bytes)?);
        if size == -1 {
            element.push_null()?;
            continue;
        }
        let (value, rest) = usize::try_from(size)
            .ok()
            .and_then(|size| bytes.split_at_checked(size))
            .ok_or_else(|| invalid("insufficient data left in message"))?;
        element.push_binary(value)?;
        *bytes = rest;
    }
    if bytes.is_empty() { Ok(()) } else { Err(bad_binary()) }
}
