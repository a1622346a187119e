//! CREATE TYPE and ALTER TYPE.

use super::relation::alter_relation;
use crate::{
    error::Result,
    pgtype::enumeration::Position,
    sql::{
        cursor::Cursor,
        utility::{AlterType, Utility},
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;

const OF_COMPOSITES: [&str; 4] =
    ["ADD ATTRIBUTE", "DROP ATTRIBUTE", "ALTER ATTRIBUTE", "RENAME ATTRIBUTE"];

/// After `CREATE TYPE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let name = cursor.name()?;
    let start = cursor.clone();
    let others = |what: &str| {
        start.unsupported(what).hint(
            "CREATE TYPE … AS ENUM (…) makes an enumeration; columns or json keep what has fields.",
        )
    };
    if !cursor.accept("AS") {
        let what = if cursor.is_done() { "a type without a definition" } else { "a base type" };
        return Err(others(what));
    }
    if cursor.sees_token(&Token::LParen) {
        return Err(others("a composite type"));
    }
    if cursor.sees("RANGE") {
        return Err(others("a range type"));
    }
    cursor.expect("ENUM")?;
    cursor.expect_token(&Token::LParen)?;
    let mut labels = Vec::new();
    if !cursor.accept_token(&Token::RParen) {
        labels = cursor.list(Cursor::string)?;
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(Utility::CreateType { name, labels })
}

/// After `ALTER TYPE`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let name = cursor.name()?;
    let start = cursor.clone();
    let action = if cursor.accept("ADD VALUE") {
        let if_not_exists = cursor.if_not_exists();
        let label = cursor.string()?;
        let position = if cursor.accept("BEFORE") {
            Position::Before(cursor.string()?)
        } else if cursor.accept("AFTER") {
            Position::After(cursor.string()?)
        } else {
            Position::Last
        };
        AlterType::AddValue { label, if_not_exists, position }
    } else if cursor.accept("RENAME VALUE") {
        let from = cursor.string()?;
        cursor.expect("TO")?;
        AlterType::RenameValue { from, to: cursor.string()? }
    } else if OF_COMPOSITES.iter().any(|words| cursor.sees(words)) {
        return Err(start.unsupported("ALTER TYPE of a composite type"));
    } else {
        AlterType::Placed(alter_relation(cursor)?)
    };
    Ok(Utility::AlterType { name, action })
}
