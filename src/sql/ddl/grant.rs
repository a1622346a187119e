//! GRANT and REVOKE: of privileges on objects, and of roles. ALTER DEFAULT PRIVILEGES, and what becomes
//! of all that a role owns.

use crate::{
    catalog::privileges::{Class, Privileges},
    error::{Error, Result, SqlState},
    sql::{
        cursor::Cursor,
        utility::{
            DefaultPrivileges, Grant, GrantOn, GrantRole, Granted, MembershipOption, Utility,
        },
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Kinds of objects that everybody may use, whatever is granted.
const OPEN: [&str; 9] = [
    "FUNCTION",
    "PROCEDURE",
    "ROUTINE",
    "LANGUAGE",
    "TABLESPACE",
    "LARGE OBJECT",
    "PARAMETER",
    "FOREIGN SERVER",
    "FOREIGN DATA WRAPPER",
];

pub(super) fn grant(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let revoke = cursor.accept_one(&["GRANT", "REVOKE"]) == Some("REVOKE");
    if is_of_roles(cursor) {
        return grant_role(cursor, revoke);
    }
    let options_only = revoke && cursor.accept("GRANT OPTION FOR");
    let privileges = privileges(cursor)?;
    cursor.expect("ON")?;
    let on = on(cursor)?;
    let rest = to(cursor, revoke)?;
    let grantor = grantor(cursor)?;
    let cascade = revoke && cascades(cursor);
    let Grantees { roles, with_option } = rest;
    let grant =
        Grant { revoke, options_only, privileges, on, roles, with_option, grantor, cascade };
    Ok(Utility::Grant(grant))
}

/// `ALTER DEFAULT PRIVILEGES [FOR ROLE …] [IN SCHEMA …] GRANT … ON TABLES TO …`
pub(super) fn default_privileges(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("ALTER DEFAULT PRIVILEGES")?;
    let (mut owners, mut schemas) = (Vec::new(), Vec::new());
    loop {
        if cursor.accept("FOR ROLE") || cursor.accept("FOR USER") {
            owners = cursor.list(Cursor::identifier)?;
        } else if cursor.accept("IN SCHEMA") {
            schemas = cursor.list(Cursor::identifier)?;
        } else {
            break;
        }
    }
    let Some(word) = cursor.accept_one(&["GRANT", "REVOKE"]) else {
        return Err(cursor.unexpected());
    };
    let revoke = word == "REVOKE";
    let options_only = revoke && cursor.accept("GRANT OPTION FOR");
    let privileges = privileges(cursor)?;
    cursor.expect("ON")?;
    let class = match cursor.accept_one(&["TABLES", "SEQUENCES", "TYPES", "SCHEMAS"]) {
        Some("TABLES") => Class::Relation,
        Some("SEQUENCES") => Class::Sequence,
        Some("TYPES") => Class::Type,
        Some(_) => Class::Schema,
        None => {
            let what = format!("default privileges on {}", cursor.word().unwrap_or_default());
            return Err(cursor
                .here(Error::unsupported(format!("{} are not supported", what.to_lowercase())))
                .hint("Everybody may use functions."));
        }
    };
    let Grantees { roles, with_option } = to(cursor, revoke)?;
    let cascade = revoke && cascades(cursor);
    Ok(Utility::AlterDefaultPrivileges(DefaultPrivileges {
        owners,
        schemas,
        class,
        revoke,
        options_only,
        privileges,
        roles,
        with_option,
        cascade,
    }))
}

/// `REASSIGN OWNED BY … TO …`
pub(super) fn reassign_owned(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("REASSIGN OWNED BY")?;
    let from = cursor.list(Cursor::identifier)?;
    cursor.expect("TO")?;
    Ok(Utility::ReassignOwned { from, to: cursor.identifier()? })
}

/// `DROP OWNED BY … [CASCADE]`, behind DROP.
pub(super) fn drop_owned(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let roles = cursor.list(Cursor::identifier)?;
    Ok(Utility::DropOwned { roles, cascade: cascades(cursor) })
}

/// Whether the statement has no ON: it grants roles.
fn is_of_roles(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    while !ahead.is_done() {
        if ahead.sees("ON") {
            return false;
        }
        if ahead.sees("TO") || ahead.sees("FROM") {
            return true;
        }
        ahead.skip();
    }
    false
}

fn privileges(cursor: &mut Cursor<'_>) -> Result<Vec<Granted>> {
    cursor.list(|cursor| {
        let position = cursor.position();
        let word = cursor.identifier()?;
        let privilege = if word == "all" {
            cursor.accept("PRIVILEGES");
            None
        } else {
            let unknown = || {
                let message = format!("unrecognized privilege type \"{word}\"");
                Error::new(SqlState::SYNTAX_ERROR, message).at(position)
            };
            Some(Privileges::of_word(&word).ok_or_else(unknown)?)
        };
        let is_of_columns = cursor.sees_token(&Token::LParen);
        let columns = if is_of_columns { cursor.identifiers()? } else { Vec::new() };
        Ok(Granted { privilege, columns })
    })
}

/// The objects, behind ON.
fn on(cursor: &mut Cursor<'_>) -> Result<GrantOn> {
    if cursor.accept("ALL") {
        let class = match cursor.accept_one(&["TABLES", "SEQUENCES"]) {
            Some("TABLES") => Class::Relation,
            Some(_) => Class::Sequence,
            None => return Err(open(cursor)),
        };
        cursor.expect("IN SCHEMA")?;
        return Ok(GrantOn::AllIn(class, cursor.list(Cursor::identifier)?));
    }
    if let Some(word) = OPEN.iter().find(|word| cursor.sees(word)) {
        let mut ahead = cursor.clone();
        ahead.accept(word);
        // A table may have such a name.
        if !(ahead.sees("TO") || ahead.sees("FROM") || ahead.sees_token(&Token::Comma)) {
            return Err(open(cursor));
        }
    }
    Ok(if cursor.accept("SEQUENCE") {
        GrantOn::Sequences(cursor.list(Cursor::name)?)
    } else if cursor.accept("SCHEMA") {
        GrantOn::Schemas(cursor.list(Cursor::identifier)?)
    } else if cursor.accept("DATABASE") {
        GrantOn::Databases(cursor.list(Cursor::identifier)?)
    } else if is_of_types(cursor) {
        cursor.skip();
        GrantOn::Types(cursor.list(Cursor::name)?)
    } else {
        cursor.accept("TABLE");
        GrantOn::Tables(cursor.list(Cursor::name)?)
    })
}

/// `TYPE …` or `DOMAIN …`, rather than a table of that name.
fn is_of_types(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.accept_one(&["TYPE", "DOMAIN"]).is_some()
        && !(ahead.sees("TO") || ahead.sees("FROM") || ahead.sees_token(&Token::Comma))
}

fn open(cursor: &Cursor<'_>) -> Error {
    let word = cursor.word().unwrap_or_default().to_lowercase();
    let message = format!("privileges on {word} are not supported");
    cursor.here(Error::unsupported(message)).hint("Everybody may use functions.")
}

struct Grantees {
    roles: Vec<String>,
    with_option: bool,
}

/// To or from whom.
fn to(cursor: &mut Cursor<'_>, revoke: bool) -> Result<Grantees> {
    cursor.expect(if revoke { "FROM" } else { "TO" })?;
    let roles = cursor.list(|cursor| {
        cursor.accept("GROUP");
        cursor.identifier()
    })?;
    let with_option = !revoke && cursor.accept("WITH GRANT OPTION");
    Ok(Grantees { roles, with_option })
}

fn grantor(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept("GRANTED BY") { cursor.identifier().map(Some) } else { Ok(None) }
}

fn cascades(cursor: &mut Cursor<'_>) -> bool {
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    cascade
}

/// `GRANT role, … TO member, … [WITH ADMIN OPTION]`, `REVOKE [ADMIN OPTION FOR] role, … FROM …`
fn grant_role(cursor: &mut Cursor<'_>, revoke: bool) -> Result<Utility> {
    let mut options = Vec::new();
    if revoke {
        let words = ["ADMIN OPTION FOR", "INHERIT OPTION FOR", "SET OPTION FOR"];
        let taken = cursor.accept_one(&words);
        options.extend(taken.and_then(|words| option_of(words, false)));
    }
    let roles = cursor.list(Cursor::identifier)?;
    cursor.expect(if revoke { "FROM" } else { "TO" })?;
    let members = cursor.list(|cursor| {
        cursor.accept("GROUP");
        cursor.identifier()
    })?;
    if !revoke && cursor.accept("WITH") {
        options = cursor.list(|cursor| {
            let Some(word) = cursor.accept_one(&["ADMIN", "INHERIT", "SET"]) else {
                return Err(cursor.unexpected());
            };
            let value = match cursor.accept("OPTION") {
                true => true,
                false => cursor.boolean().ok_or_else(|| cursor.unexpected())?,
            };
            option_of(word, value).ok_or_else(|| cursor.unexpected())
        })?;
    }
    let grantor = grantor(cursor)?;
    let cascade = revoke && cascades(cursor);
    Ok(Utility::GrantRole(GrantRole { revoke, roles, members, options, grantor, cascade }))
}

fn option_of(words: &str, value: bool) -> Option<(MembershipOption, bool)> {
    let option = match words.split(' ').next()? {
        "ADMIN" => MembershipOption::Admin,
        "INHERIT" => MembershipOption::Inherit,
        "SET" => MembershipOption::Set,
        _ => return None,
    };
    Some((option, value))
}
