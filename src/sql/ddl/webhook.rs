//! CREATE, ALTER and DROP WEBHOOK.

use crate::{
    catalog::{nearest, webhook::EventKind},
    error::{Error, Result, SqlState},
    sql::{
        cursor::Cursor,
        utility::{AlterWebhook, CreateWebhook, Utility, WebhookOf},
    },
};

/// `CREATE WEBHOOK [IF NOT EXISTS] name ON {table | DATABASE [name]} WHEN (event, …) [WHERE condition]
/// TO 'url' [WITH (…)]`, from its name on.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.identifier()?;
    cursor.expect("ON")?;
    let of = if cursor.accept("DATABASE") {
        let is_named = !cursor.sees("WHEN");
        WebhookOf::Database(if is_named { Some(cursor.identifier()?) } else { None })
    } else {
        cursor.accept("TABLE");
        WebhookOf::Table(cursor.name()?)
    };
    cursor.expect("WHEN")?;
    let (events, condition) = what(cursor)?;
    cursor.expect("TO")?;
    let url = cursor.string()?;
    let options = if cursor.accept("WITH") { cursor.options()? } else { Vec::new() };
    Ok(Utility::CreateWebhook(CreateWebhook {
        name,
        if_not_exists,
        of,
        events,
        condition,
        url,
        options,
    }))
}

/// `(event, …) [WHERE condition]`
fn what(cursor: &mut Cursor<'_>) -> Result<(Vec<EventKind>, Option<String>)> {
    let events = cursor.parenthesised(event)?;
    let condition = if cursor.accept("WHERE") { Some(cursor.expression()?.1) } else { None };
    Ok((events, condition))
}

fn event(cursor: &mut Cursor<'_>) -> Result<EventKind> {
    let at = cursor.clone();
    let word = cursor.identifier()?;
    EventKind::from_word(&word).ok_or_else(|| {
        let words = || EventKind::ALL.iter().map(|kind| kind.word());
        let message = format!("unrecognized webhook event \"{word}\"");
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
        at.here(match nearest(&word, words()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error.hint(format!("There are {}.", words().collect::<Vec<_>>().join(", "))),
        })
    })
}

/// `ALTER WEBHOOK [IF EXISTS] name …`, from its name on.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let if_exists = cursor.if_exists();
    let name = cursor.identifier()?;
    let action = if cursor.accept("RENAME TO") {
        AlterWebhook::Rename(cursor.identifier()?)
    } else if cursor.accept("OWNER TO") {
        AlterWebhook::Owner(super::role::owner(cursor)?)
    } else if cursor.accept("SET") {
        AlterWebhook::SetOptions(cursor.options()?)
    } else if cursor.accept("RESET") {
        AlterWebhook::ResetOptions(cursor.identifiers()?)
    } else if cursor.accept("ENABLE") {
        AlterWebhook::Enable
    } else if cursor.accept("DISABLE") {
        AlterWebhook::Disable
    } else if cursor.accept("ROTATE SECRET") {
        AlterWebhook::RotateSecret
    } else if cursor.accept("TO") {
        AlterWebhook::Url(cursor.string()?)
    } else if cursor.accept("WHEN") {
        let (events, condition) = what(cursor)?;
        AlterWebhook::Events { events, condition }
    } else if cursor.accept("TEST") {
        AlterWebhook::Test
    } else if cursor.accept("REPLAY") {
        AlterWebhook::Replay(one_or_all(cursor)?)
    } else if cursor.accept("FORGET") {
        AlterWebhook::Forget(one_or_all(cursor)?)
    } else {
        return Err(cursor.unexpected());
    };
    Ok(Utility::AlterWebhook { name, if_exists, action })
}

/// `'event id'` or ALL.
fn one_or_all(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept("ALL") { Ok(None) } else { cursor.string().map(Some) }
}

/// `DROP WEBHOOK [IF EXISTS] name, …`, from its name on.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let if_exists = cursor.if_exists();
    let names = cursor.list(Cursor::identifier)?;
    Ok(Utility::DropWebhook { names, if_exists })
}
