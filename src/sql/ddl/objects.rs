//! Statements that name objects by their kind: DROP, COMMENT, TRUNCATE.

use super::{grant, webhook};
use crate::{
    error::{Error, Result, SqlState},
    sql::{
        cursor::Cursor,
        utility::{Drop, Name, ObjectKind, Utility},
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;

pub(super) fn drop_objects(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("DROP")?;
    if cursor.accept("API KEY") {
        let if_exists = cursor.if_exists();
        return Ok(Utility::DropApiKey { name: cursor.identifier()?, if_exists });
    }
    if cursor.accept("WEBHOOK") {
        return webhook::drop(cursor);
    }
    if cursor.accept("EMBEDDING MODEL") {
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        if cursor.sees("CASCADE") {
            return Err(cursor
                .unsupported("DROP EMBEDDING MODEL … CASCADE")
                .hint("Give the columns that use it another expression, or drop them, first."));
        }
        cursor.accept("RESTRICT");
        return Ok(Utility::DropModel { name, if_exists });
    }
    if cursor.accept("OWNED BY") {
        return grant::drop_owned(cursor);
    }
    let start = cursor.clone();
    let Some(object) = object_kind(cursor) else {
        return Err(match cursor.word() {
            Some(word) => start.unsupported(&format!("DROP {word}")),
            None => start.unexpected(),
        });
    };
    let concurrently = object == ObjectKind::Index && cursor.accept("CONCURRENTLY");
    let if_exists = cursor.if_exists();
    let names = cursor.list(|cursor| {
        let name = cursor.name()?;
        if object == ObjectKind::Function && cursor.sees_token(&Token::LParen) {
            cursor.group()?;
        }
        Ok(name)
    })?;
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    if cursor.accept("WITH") {
        cursor.options()?;
    }
    Ok(Utility::Drop(Drop { object, names, if_exists, cascade, concurrently }))
}

pub(super) fn comment(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("COMMENT ON")?;
    let start = cursor.clone();
    let (object, name, column) = if cursor.accept("COLUMN") {
        let position = cursor.position();
        let mut parts = vec![cursor.identifier()?];
        while cursor.accept_token(&Token::Period) {
            parts.push(cursor.identifier()?);
        }
        let column = parts.pop();
        let Some(name) = parts.pop() else {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "column name must be qualified").at(position)
            );
        };
        (ObjectKind::Column, Name { schema: parts.pop(), name, position }, column)
    } else if cursor.accept("CONSTRAINT") {
        let constraint = cursor.identifier()?;
        cursor.expect("ON")?;
        (ObjectKind::Constraint, cursor.name()?, Some(constraint))
    } else if let Some(object) = object_kind(cursor) {
        (object, cursor.name()?, None)
    } else {
        return Err(start.unsupported(&format!("COMMENT ON {}", start.word().unwrap_or_default())));
    };
    cursor.expect("IS")?;
    let comment = if cursor.accept("NULL") { None } else { Some(cursor.string()?) };
    Ok(Utility::Comment { object, name, column, comment })
}

pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("TRUNCATE")?;
    cursor.accept("TABLE");
    let tables = cursor.list(|cursor| {
        cursor.accept("ONLY");
        let name = cursor.name()?;
        cursor.accept_token(&Token::Mul);
        Ok(name)
    })?;
    let restart_identity = cursor.accept("RESTART IDENTITY");
    if !restart_identity {
        cursor.accept("CONTINUE IDENTITY");
    }
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    Ok(Utility::Truncate { tables, restart_identity, cascade })
}

const KINDS: [(&str, ObjectKind); 14] = [
    ("TABLE", ObjectKind::Table),
    ("VIEW", ObjectKind::View),
    ("INDEX", ObjectKind::Index),
    ("SEQUENCE", ObjectKind::Sequence),
    ("SCHEMA", ObjectKind::Schema),
    ("DATABASE", ObjectKind::Database),
    ("ROLE", ObjectKind::Role),
    ("USER", ObjectKind::Role),
    ("EXTENSION", ObjectKind::Extension),
    ("MATERIALIZED VIEW", ObjectKind::MaterializedView),
    ("TYPE", ObjectKind::Type),
    ("DOMAIN", ObjectKind::Domain),
    ("FUNCTION", ObjectKind::Function),
    ("PROCEDURE", ObjectKind::Function),
];

fn object_kind(cursor: &mut Cursor<'_>) -> Option<ObjectKind> {
    KINDS.iter().find(|(words, _)| cursor.accept(words)).map(|&(_, kind)| kind)
}
