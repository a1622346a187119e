//! CREATE DOMAIN and ALTER DOMAIN.

use super::{relation::alter_relation, table::default};
use crate::{
    error::{Error, Result, SqlState},
    sql::{
        collation::check_collation,
        cursor::Cursor,
        utility::{AlterDomain, CreateDomain, Utility},
    },
};

/// After `CREATE DOMAIN`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let name = cursor.name()?;
    cursor.accept("AS");
    let base = cursor.type_name()?;
    let mut domain =
        CreateDomain { name, base, not_null: false, default: None, checks: Vec::new() };
    let mut nullable = None;
    while !cursor.is_done() {
        let place = cursor.clone();
        let twice = |what: &str| place.here(Error::new(SqlState::SYNTAX_ERROR, what.to_owned()));
        if cursor.accept("COLLATE") {
            check_collation(&cursor.name()?.name)?;
            continue;
        }
        if cursor.accept("DEFAULT") {
            if domain.default.is_some() {
                return Err(twice("multiple default expressions"));
            }
            domain.default = Some(default(cursor)?);
            continue;
        }
        let name = if cursor.accept("CONSTRAINT") { Some(cursor.identifier()?) } else { None };
        if cursor.accept("CHECK") {
            domain.checks.push((name, cursor.expression_in_parentheses()?));
            if cursor.accept("NO INHERIT") {
                let message = "check constraints for domains cannot be marked NO INHERIT";
                return Err(place.here(Error::new(SqlState::new(b"42P17"), message)));
            }
            continue;
        }
        let refuses = match cursor.accept_one(&["NOT NULL", "NULL"]) {
            Some(word) => word == "NOT NULL",
            None if ["UNIQUE", "PRIMARY KEY", "REFERENCES"]
                .iter()
                .any(|word| cursor.sees(word)) =>
            {
                let what = cursor.word().unwrap_or_default().to_lowercase();
                let message = format!("{what} constraints not possible for domains");
                return Err(place.here(Error::new(SqlState::SYNTAX_ERROR, message)));
            }
            None => return Err(cursor.unexpected()),
        };
        if nullable.is_some_and(|nullable: bool| nullable == refuses) {
            return Err(twice("conflicting NULL/NOT NULL constraints"));
        }
        nullable = Some(!refuses);
        domain.not_null = refuses;
    }
    Ok(Utility::CreateDomain(domain))
}

/// After `ALTER DOMAIN`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let name = cursor.name()?;
    let start = cursor.clone();
    let action = if cursor.accept("SET DEFAULT") {
        AlterDomain::SetDefault(cursor.expression()?.1)
    } else if cursor.accept("DROP DEFAULT") {
        AlterDomain::DropDefault
    } else if cursor.accept("SET NOT NULL") {
        AlterDomain::SetNotNull
    } else if cursor.accept("DROP NOT NULL") {
        AlterDomain::DropNotNull
    } else if cursor.accept("DROP CONSTRAINT") {
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        if !cursor.accept("CASCADE") {
            cursor.accept("RESTRICT");
        }
        AlterDomain::DropConstraint { name, if_exists }
    } else if cursor.accept("RENAME CONSTRAINT") {
        let from = cursor.identifier()?;
        cursor.expect("TO")?;
        AlterDomain::RenameConstraint { from, to: cursor.identifier()? }
    } else if cursor.accept("ADD") {
        let name = if cursor.accept("CONSTRAINT") { Some(cursor.identifier()?) } else { None };
        if name.is_none() && cursor.accept("NOT NULL") {
            AlterDomain::SetNotNull
        } else {
            cursor.expect("CHECK")?;
            let expression = cursor.expression_in_parentheses()?;
            if cursor.sees("NOT VALID") {
                return Err(cursor
                    .unsupported("NOT VALID")
                    .hint("Leave it out: the values that are there are looked at."));
            }
            AlterDomain::AddCheck { name, expression }
        }
    } else if cursor.sees("VALIDATE CONSTRAINT") {
        return Err(start.unsupported("VALIDATE CONSTRAINT"));
    } else {
        AlterDomain::Placed(alter_relation(cursor)?)
    };
    Ok(Utility::AlterDomain { name, action })
}
