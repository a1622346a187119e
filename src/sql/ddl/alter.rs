//! ALTER.

use super::{
    alter_table, domain, grant,
    relation::alter_relation,
    role::{owner, role_options},
    sequence::sequence_options,
    user_type, webhook,
};
use crate::{
    error::Result,
    sql::{
        commands,
        cursor::Cursor,
        utility::{AlterDatabase, AlterModel, AlterRole, AlterSequence, SetValue, Utility},
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;

/// From ALTER on.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Utility> {
    if cursor.sees("ALTER DEFAULT PRIVILEGES") {
        return grant::default_privileges(cursor);
    }
    cursor.expect("ALTER")?;
    let start = cursor.clone();
    let word = cursor.word().unwrap_or_default();
    cursor.skip();
    Ok(match word.as_str() {
        "TABLE" => alter_table::alter_table(cursor)?,
        "INDEX" => {
            let if_exists = cursor.if_exists();
            let name = cursor.name()?;
            Utility::AlterIndex { name, if_exists, action: alter_relation(cursor)? }
        }
        "VIEW" => {
            let if_exists = cursor.if_exists();
            let name = cursor.name()?;
            Utility::AlterView { name, if_exists, action: alter_relation(cursor)? }
        }
        "SEQUENCE" => {
            let if_exists = cursor.if_exists();
            let name = cursor.name()?;
            let is_relation = ["RENAME", "OWNER", "SET"].iter().any(|word| cursor.sees(word));
            let action = if is_relation {
                AlterSequence::Relation(alter_relation(cursor)?)
            } else {
                let (options, restart) = sequence_options(cursor)?;
                AlterSequence::Options { options, restart }
            };
            Utility::AlterSequence { name, if_exists, action }
        }
        "EMBEDDING" => {
            cursor.expect("MODEL")?;
            let if_exists = cursor.if_exists();
            Utility::AlterModel {
                name: cursor.identifier()?,
                if_exists,
                action: alter_model(cursor)?,
            }
        }
        "SCHEMA" => {
            Utility::AlterSchema { name: cursor.identifier()?, action: alter_relation(cursor)? }
        }
        "DATABASE" => {
            let name = cursor.identifier()?;
            let action = if cursor.accept("RENAME TO") {
                AlterDatabase::Rename(cursor.identifier()?)
            } else if cursor.accept("OWNER TO") {
                AlterDatabase::Owner(owner(cursor)?)
            } else if cursor.accept("SET") {
                let (name, value) = assignment(cursor)?;
                AlterDatabase::Set { name, value }
            } else if cursor.accept("RESET") {
                AlterDatabase::Reset(reset(cursor)?)
            } else {
                return Err(cursor.unexpected());
            };
            Utility::AlterDatabase { name, action }
        }
        "ROLE" | "USER" => {
            let name = owner(cursor)?;
            if cursor.accept("IN DATABASE") {
                return Err(start.unsupported("ALTER ROLE … IN DATABASE"));
            }
            let action = if cursor.accept("RENAME TO") {
                AlterRole::Rename(cursor.identifier()?)
            } else if cursor.accept("SET") {
                let (name, value) = assignment(cursor)?;
                AlterRole::Set { name, value }
            } else if cursor.accept("RESET") {
                AlterRole::Reset(reset(cursor)?)
            } else {
                cursor.accept("WITH");
                let options = role_options(cursor)?;
                let memberships = [&options.in_roles, &options.members, &options.admins];
                if memberships.iter().any(|names| !names.is_empty()) {
                    return Err(start
                        .unsupported("ALTER ROLE with members")
                        .hint("GRANT and REVOKE take roles into others and out of them."));
                }
                AlterRole::Options(options)
            };
            Utility::AlterRole { name, action }
        }
        "EXTENSION" => {
            let name = cursor.identifier()?;
            cursor.expect("UPDATE")?;
            let version = if cursor.accept("TO") { Some(cursor.value()?) } else { None };
            Utility::AlterExtension { name, version }
        }
        "TYPE" => user_type::alter(cursor)?,
        "DOMAIN" => domain::alter(cursor)?,
        "WEBHOOK" => webhook::alter(cursor)?,
        "" => return Err(start.unexpected()),
        other => return Err(start.unsupported(&format!("ALTER {other}"))),
    })
}

fn alter_model(cursor: &mut Cursor<'_>) -> Result<AlterModel> {
    Ok(if cursor.accept("SET") {
        AlterModel::Set(cursor.options()?)
    } else if cursor.accept("ACCEPT FILES") {
        AlterModel::AcceptFiles
    } else if cursor.accept("RENAME TO") {
        AlterModel::Rename(cursor.identifier()?)
    } else if cursor.accept("OWNER TO") {
        AlterModel::Owner(owner(cursor)?)
    } else {
        return Err(cursor.unexpected());
    })
}

fn assignment(cursor: &mut Cursor<'_>) -> Result<(String, SetValue)> {
    let mut name = cursor.identifier()?;
    while cursor.accept_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    if !cursor.accept_token(&Token::Eq) {
        cursor.expect("TO")?;
    }
    Ok((name, commands::set_value(cursor)?))
}

fn reset(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    Ok(if cursor.accept("ALL") { None } else { Some(cursor.identifier()?) })
}
