//! Statements about the session: transactions, settings, cursors, prepared statements, channels,
//! upkeep. Parsed by hand.

use crate::{
    error::{Error, Result, SqlState},
    sql::{
        cursor::Cursor,
        named::TypeName,
        statement::{Ast, Read, Statement},
        tokens::Source,
        typed::bare,
        utility::{Direction, Discard, Isolation, ObjectKind, SetValue, TransactionModes, Utility},
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::sync::Arc;

/// A statement by its first word.
pub(crate) fn statement(source: &Arc<Source>, cursor: &mut Cursor<'_>, read: Read) -> Result<Ast> {
    let start = cursor.clone();
    let word = cursor.word().unwrap_or_default();
    cursor.skip();
    let utility = match word.as_str() {
        "BEGIN" => {
            let _ = cursor.accept("WORK") || cursor.accept("TRANSACTION");
            Utility::Begin(transaction_modes(cursor)?)
        }
        "START" => {
            cursor.expect("TRANSACTION")?;
            Utility::Begin(transaction_modes(cursor)?)
        }
        "COMMIT" | "END" => {
            if cursor.accept("PREPARED") {
                return Err(start.unsupported("two-phase commit"));
            }
            Utility::Commit { chain: chain(cursor)? }
        }
        "ROLLBACK" | "ABORT" => rollback(&start, cursor)?,
        "SAVEPOINT" => Utility::Savepoint(cursor.identifier()?),
        "RELEASE" => {
            cursor.accept("SAVEPOINT");
            Utility::Release(cursor.identifier()?)
        }
        "SET" => set(cursor)?,
        "RESET" => match setting_name(cursor)? {
            name if name == "all" => Utility::Reset(None),
            name => Utility::Reset(Some(name)),
        },
        "SHOW" => match setting_name(cursor)? {
            name if name == "all" => Utility::Show(None),
            name => Utility::Show(Some(name)),
        },
        "DISCARD" => Utility::Discard(
            match cursor.accept_one(&["ALL", "PLANS", "SEQUENCES", "TEMPORARY", "TEMP"]) {
                Some("ALL") => Discard::All,
                Some("PLANS") => Discard::Plans,
                Some("SEQUENCES") => Discard::Sequences,
                Some(_) => Discard::Temp,
                None => return Err(cursor.unexpected()),
            },
        ),
        "DECLARE" => return declare(cursor, read),
        "FETCH" | "MOVE" => fetch(cursor, word == "MOVE")?,
        "CLOSE" => {
            Utility::Close(if cursor.accept("ALL") { None } else { Some(cursor.identifier()?) })
        }
        "PREPARE" => prepare(source, cursor, read)?,
        "EXECUTE" => {
            let name = cursor.identifier()?;
            let arguments = if cursor.sees_token(&Token::LParen) {
                cursor.parenthesised(|cursor| Ok(cursor.expression()?.0))?
            } else {
                Vec::new()
            };
            return Ok(Ast::Execute { name, arguments });
        }
        "DEALLOCATE" => {
            cursor.accept("PREPARE");
            let all = cursor.accept("ALL");
            Utility::Deallocate(if all { None } else { Some(cursor.identifier()?) })
        }
        "LISTEN" => Utility::Listen(cursor.identifier()?),
        "UNLISTEN" => {
            let all = cursor.accept_token(&Token::Mul);
            Utility::Unlisten(if all { None } else { Some(cursor.identifier()?) })
        }
        "NOTIFY" => {
            let channel = cursor.identifier()?;
            let comma = cursor.accept_token(&Token::Comma);
            let payload = if comma { cursor.string()? } else { String::new() };
            Utility::Notify { channel, payload }
        }
        "LOCK" => lock(cursor)?,
        "VACUUM" | "ANALYZE" | "ANALYSE" => vacuum(cursor, word == "VACUUM")?,
        "CLUSTER" => {
            cursor.accept("VERBOSE");
            let table = if cursor.is_done() { None } else { Some(cursor.name()?) };
            if cursor.accept("USING") {
                cursor.identifier()?;
            }
            Utility::Cluster { table }
        }
        "CHECKPOINT" => Utility::Checkpoint,
        "DO" => do_block(&start, cursor)?,
        "CALL" | "LOAD" => return Err(start.unsupported(&word)),
        _ => return Err(start.unexpected()),
    };
    Ok(Ast::Utility(Box::new(utility)))
}

fn chain(cursor: &mut Cursor<'_>) -> Result<bool> {
    let _ = cursor.accept("WORK") || cursor.accept("TRANSACTION");
    if cursor.accept("AND NO CHAIN") {
        return Ok(false);
    }
    Ok(cursor.accept("AND CHAIN"))
}

fn rollback(start: &Cursor<'_>, cursor: &mut Cursor<'_>) -> Result<Utility> {
    if cursor.accept("PREPARED") {
        return Err(start.unsupported("two-phase commit"));
    }
    let _ = cursor.accept("WORK") || cursor.accept("TRANSACTION");
    if cursor.accept("TO") {
        cursor.accept("SAVEPOINT");
        return Ok(Utility::RollbackTo(cursor.identifier()?));
    }
    Ok(Utility::Rollback { chain: chain(cursor)? })
}

fn transaction_modes(cursor: &mut Cursor<'_>) -> Result<TransactionModes> {
    let mut modes = TransactionModes::default();
    loop {
        if cursor.accept("ISOLATION LEVEL") {
            let level = cursor.accept_one(&[
                "SERIALIZABLE",
                "REPEATABLE READ",
                "READ COMMITTED",
                "READ UNCOMMITTED",
            ]);
            modes.isolation = Some(match level {
                Some("SERIALIZABLE") => Isolation::Serializable,
                Some("REPEATABLE READ") => Isolation::RepeatableRead,
                Some("READ COMMITTED") => Isolation::ReadCommitted,
                Some(_) => Isolation::ReadUncommitted,
                None => return Err(cursor.unexpected()),
            });
        } else if cursor.accept("READ ONLY") {
            modes.read_only = Some(true);
        } else if cursor.accept("READ WRITE") {
            modes.read_only = Some(false);
        } else if cursor.accept("NOT DEFERRABLE") {
            modes.deferrable = Some(false);
        } else if cursor.accept("DEFERRABLE") {
            modes.deferrable = Some(true);
        } else {
            return Ok(modes);
        }
        cursor.accept_token(&Token::Comma);
    }
}

/// The name of a setting, in lower case; the standard's words under PostgreSQL's names.
fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    for (words, name) in [
        ("TIME ZONE", "timezone"),
        ("TRANSACTION ISOLATION LEVEL", "transaction_isolation"),
        ("SESSION AUTHORIZATION", "session_authorization"),
    ] {
        if cursor.accept(words) {
            return Ok(name.to_owned());
        }
    }
    let mut name = cursor.identifier()?;
    while cursor.accept_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    Ok(name.to_lowercase())
}

/// `SET …`: settings, the transaction's modes, the role.
fn set(cursor: &mut Cursor<'_>) -> Result<Utility> {
    if cursor.accept("SESSION CHARACTERISTICS AS TRANSACTION") {
        return Ok(Utility::SetTransaction { modes: transaction_modes(cursor)?, session: true });
    }
    let local = cursor.accept("LOCAL");
    if !local && cursor.sees("SESSION") && !cursor.sees("SESSION AUTHORIZATION") {
        cursor.skip();
    }
    if cursor.accept("TRANSACTION") {
        if cursor.sees("SNAPSHOT") {
            return Err(cursor.unsupported("SET TRANSACTION SNAPSHOT"));
        }
        return Ok(Utility::SetTransaction { modes: transaction_modes(cursor)?, session: false });
    }
    if cursor.accept("CONSTRAINTS") {
        // No constraint is deferrable: they are checked at once already.
        if !cursor.accept("ALL") {
            cursor.list(Cursor::name)?;
        }
        if cursor.accept_one(&["DEFERRED", "IMMEDIATE"]).is_none() {
            return Err(cursor.unexpected());
        }
        return Ok(Utility::SetConstraints);
    }
    if cursor.accept("TIME ZONE") {
        let value = match cursor.accept_one(&["LOCAL", "DEFAULT"]) {
            Some(_) => SetValue::Default,
            None if cursor.accept("INTERVAL") => SetValue::Values(vec![interval_zone(cursor)?]),
            None => SetValue::Values(vec![cursor.value()?]),
        };
        return Ok(Utility::Set { name: "timezone".into(), value, local });
    }
    if cursor.accept("NAMES") {
        let value = set_value(cursor)?;
        return Ok(Utility::Set { name: "client_encoding".into(), value, local });
    }
    for (words, name) in [
        ("SESSION AUTHORIZATION", "session_authorization"),
        ("ROLE", "role"),
        ("SCHEMA", "search_path"),
        ("XML OPTION", "xmloption"),
    ] {
        let mut ahead = cursor.clone();
        if ahead.accept(words) && !ahead.sees_token(&Token::Eq) && !ahead.sees("TO") {
            *cursor = ahead;
            let value = set_value(cursor)?;
            return Ok(Utility::Set { name: name.into(), value, local });
        }
    }
    let name = setting_name(cursor)?;
    if !cursor.accept_token(&Token::Eq) {
        cursor.expect("TO")?;
    }
    Ok(Utility::Set { name, value: set_value(cursor)?, local })
}

/// `INTERVAL '+02:00' HOUR TO MINUTE`
fn interval_zone(cursor: &mut Cursor<'_>) -> Result<String> {
    let zone = cursor.string()?;
    if cursor.accept("HOUR") && cursor.accept("TO") {
        cursor.expect("MINUTE")?;
    }
    Ok(zone)
}

pub(super) fn set_value(cursor: &mut Cursor<'_>) -> Result<SetValue> {
    if cursor.accept("DEFAULT") {
        return Ok(SetValue::Default);
    }
    Ok(SetValue::Values(cursor.list(Cursor::value)?))
}

fn declare(cursor: &mut Cursor<'_>, read: Read) -> Result<Ast> {
    let name = cursor.identifier()?;
    let (mut binary, mut scroll, mut hold) = (false, None, false);
    loop {
        if cursor.accept("BINARY") {
            binary = true;
        } else if cursor.accept("NO SCROLL") {
            scroll = Some(false);
        } else if cursor.accept("SCROLL") {
            scroll = Some(true);
        } else if !(cursor.accept("INSENSITIVE") || cursor.accept("ASENSITIVE")) {
            break;
        }
    }
    cursor.expect("CURSOR")?;
    if cursor.accept("WITH HOLD") {
        hold = true;
    } else {
        cursor.accept("WITHOUT HOLD");
    }
    cursor.expect("FOR")?;
    let query = match read(&Arc::new(cursor.source().clone()), cursor.rest())? {
        Ast::Query(query) => query,
        _ => return Err(Error::new(SqlState::SYNTAX_ERROR, "DECLARE CURSOR takes a query")),
    };
    Ok(Ast::Declare { name, query, scroll, hold, binary })
}

/// `FETCH [direction] [FROM|IN] cursor`.
fn fetch(cursor: &mut Cursor<'_>, moves: bool) -> Result<Utility> {
    let is_count = |cursor: &Cursor<'_>| {
        matches!(
            cursor.peek().map(|t| &t.token),
            Some(Token::Number(..) | Token::Minus | Token::Plus)
        )
    };
    let count = |cursor: &mut Cursor<'_>| -> Result<Option<i64>> {
        if is_count(cursor) { cursor.integer().map(Some) } else { Ok(None) }
    };
    let word = cursor.word();
    // A cursor may bear any of these names: they are directions only before something more.
    let alone = {
        let mut ahead = cursor.clone();
        ahead.skip();
        ahead.is_done()
    };
    let direction = match word.as_deref() {
        _ if alone => Direction::Forward(1),
        None => Direction::Forward(cursor.integer()?),
        Some(word) => {
            let before = cursor.clone();
            cursor.skip();
            match word {
                "NEXT" => Direction::Forward(1),
                "PRIOR" => Direction::Forward(-1),
                "FIRST" => Direction::Absolute(1),
                "LAST" => Direction::Absolute(-1),
                "ABSOLUTE" => Direction::Absolute(cursor.integer()?),
                "RELATIVE" => Direction::Relative(cursor.integer()?),
                "ALL" => Direction::ForwardAll,
                "FORWARD" if cursor.accept("ALL") => Direction::ForwardAll,
                "FORWARD" => Direction::Forward(count(cursor)?.unwrap_or(1)),
                "BACKWARD" if cursor.accept("ALL") => Direction::BackwardAll,
                "BACKWARD" => Direction::Forward(-count(cursor)?.unwrap_or(1)),
                _ => {
                    *cursor = before;
                    Direction::Forward(1)
                }
            }
        }
    };
    let _ = cursor.accept("FROM") || cursor.accept("IN");
    Ok(Utility::Fetch { cursor: cursor.identifier()?, direction, moves })
}

fn prepare(source: &Arc<Source>, cursor: &mut Cursor<'_>, read: Read) -> Result<Utility> {
    if cursor.sees("TRANSACTION") {
        return Err(cursor.unsupported("two-phase commit"));
    }
    let name = cursor.identifier()?;
    let types = if cursor.sees_token(&Token::LParen) {
        // A parameter is of a type alone, whatever modifier stands behind it.
        let types = cursor.parenthesised(Cursor::type_name)?;
        let bare = |name| match name {
            TypeName::Known(kind) => TypeName::Known(bare(&kind)),
            named @ TypeName::Named { .. } => named,
        };
        types.into_iter().map(bare).collect()
    } else {
        Vec::new()
    };
    cursor.expect("AS")?;
    let tokens = cursor.rest();
    let statement = Statement::of_tokens(source, tokens, read)?;
    Ok(Utility::Prepare { name, types, statement: Arc::new(statement) })
}

fn lock(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.accept("TABLE");
    let tables = cursor.list(Cursor::name)?;
    let mut mode = "ACCESS EXCLUSIVE".to_owned();
    if cursor.accept("IN") {
        mode = match cursor.accept_one(&[
            "ACCESS SHARE",
            "ROW SHARE",
            "ROW EXCLUSIVE",
            "SHARE UPDATE EXCLUSIVE",
            "SHARE ROW EXCLUSIVE",
            "SHARE",
            "EXCLUSIVE",
            "ACCESS EXCLUSIVE",
        ]) {
            Some(mode) => mode.to_owned(),
            None => return Err(cursor.unexpected()),
        };
        cursor.expect("MODE")?;
    }
    let wait = !cursor.accept("NOWAIT");
    Ok(Utility::Lock { tables, mode, wait })
}

/// `VACUUM [(options)] [FULL] [FREEZE] [VERBOSE] [ANALYZE] [tables]`, `ANALYZE [VERBOSE] [tables]`.
fn vacuum(cursor: &mut Cursor<'_>, vacuum: bool) -> Result<Utility> {
    let (mut full, mut analyze) = (false, false);
    if cursor.sees_token(&Token::LParen) {
        cursor.parenthesised(|cursor| {
            let name = cursor.identifier()?;
            let on = cursor.boolean();
            if on.is_none()
                && !(cursor.sees_token(&Token::Comma) || cursor.sees_token(&Token::RParen))
            {
                cursor.value()?;
            }
            match name.as_str() {
                "full" => full = on.unwrap_or(true),
                "analyze" | "analyse" => analyze = on.unwrap_or(true),
                _ => {}
            }
            Ok(())
        })?;
    }
    while let Some(word) = cursor.accept_one(&["FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"]) {
        full |= word == "FULL";
        analyze |= word.starts_with("ANALY");
    }
    let tables = if cursor.is_done() {
        Vec::new()
    } else {
        cursor.list(|cursor| {
            let name = cursor.name()?;
            if cursor.sees_token(&Token::LParen) {
                cursor.identifiers()?;
            }
            Ok(name)
        })?
    };
    Ok(match vacuum {
        true => Utility::Vacuum { tables, full, analyze },
        false => Utility::Analyze { tables },
    })
}

/// `DO $$ … $$`: there is no PL/pgSQL, but tools guard CREATE EXTENSION with one.
fn do_block(start: &Cursor<'_>, cursor: &mut Cursor<'_>) -> Result<Utility> {
    if cursor.accept("LANGUAGE") {
        cursor.identifier()?;
    }
    let body = cursor.string()?.to_lowercase();
    if cursor.accept("LANGUAGE") {
        cursor.identifier()?;
    }
    let mut words =
        body.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        if word == "create" && words.clone().next() == Some("extension") {
            let names = words.skip(1).skip_while(|w| ["if", "not", "exists"].contains(w));
            if let Some(name) = names.into_iter().next() {
                return Ok(Utility::CreateExtension {
                    name: name.to_owned(),
                    if_not_exists: true,
                    schema: None,
                });
            }
            break;
        }
    }
    Err(start.unsupported("DO").hint("Run the block's statements one by one."))
}

/// `REINDEX [(options)] {INDEX|TABLE|SCHEMA|DATABASE|SYSTEM} [CONCURRENTLY] [name]`. Options: VERBOSE,
/// TABLESPACE, CONCURRENTLY.
pub(super) fn reindex(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("REINDEX")?;
    let mut concurrently = false;
    if cursor.sees_token(&Token::LParen) {
        let options = cursor.parenthesised(|cursor| {
            let name = cursor.identifier()?;
            let ends = cursor.sees_token(&Token::Comma) || cursor.sees_token(&Token::RParen);
            Ok((name, if ends { "on".to_owned() } else { cursor.value()? }))
        })?;
        for (option, value) in options {
            match option.to_ascii_lowercase().as_str() {
                "concurrently" => concurrently = !["off", "false", "0"].contains(&&*value),
                "verbose" => {}
                "tablespace" => return Err(cursor.unsupported("TABLESPACE")),
                _ => {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!("unrecognized REINDEX option \"{option}\""),
                    ));
                }
            }
        }
    }
    let object = match cursor.accept_one(&["INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM"]) {
        Some("INDEX") => ObjectKind::Index,
        Some("TABLE") => ObjectKind::Table,
        Some("SCHEMA") => ObjectKind::Schema,
        Some("DATABASE") => ObjectKind::Database,
        Some(_) => ObjectKind::System,
        None => return Err(cursor.unexpected()),
    };
    concurrently |= cursor.accept("CONCURRENTLY");
    let may_be_bare = matches!(object, ObjectKind::Database | ObjectKind::System);
    let name = if may_be_bare && cursor.is_done() { None } else { Some(cursor.name()?) };
    Ok(Utility::Reindex { object, name, concurrently })
}
