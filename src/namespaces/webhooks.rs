//! Webhooks for clients that speak JSON: requests become the SQL of webhooks, with all its checks, in one
//! transaction; answers are rows of its views.

use super::{
    Caller, Namespaces,
    fault::{Answer, Fault, FaultKind},
    names::{literal, quoted},
    shape::Shape,
    work::{Done, Rows},
};
use crate::{error::SqlState, pgtype::style::Style, sql::functions::json::build::texts};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// So many deliveries are told where nobody says, and at most.
const DELIVERIES: u32 = 100;
const DELIVERIES_MAX: u32 = 10_000;
/// A name that cannot be any webhook's would only be cut.
const NAME_BYTES_MAX: usize = 63;

/// A webhook that is to be created.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    name: String,
    /// None, and no namespace either: of the whole database.
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    schema: Option<String>,
    /// The table that is a namespace of this name.
    #[serde(default)]
    namespace: Option<String>,
    events: Vec<String>,
    #[serde(default)]
    condition: Option<String>,
    url: String,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    options: Map<String, Value>,
}

/// What of a webhook is to change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    status: Option<Going>,
    /// With it goes the condition, unless there is another.
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    condition: Option<String>,
    /// A null resets an option.
    #[serde(default)]
    options: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Going {
    Enabled,
    Disabled,
}

/// Which dead letters are meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// None: all of them.
    #[serde(default)]
    event_id: Option<String>,
}

/// Which deliveries are told.
#[derive(Debug, Default, Deserialize)]
pub struct Deliveries {
    /// `pending`, `delivered` or `dead`.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// What is done to a webhook by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the statement of its name")]
pub enum WebhookAction {
    Drop,
    Test,
    RotateSecret,
}

impl Namespaces {
    /// Creates a webhook: it as it is then, with its secret.
    ///
    /// # Errors
    /// Those of CREATE WEBHOOK.
    pub async fn create_webhook(&self, caller: &Caller, new: &NewWebhook) -> Answer<Value> {
        let of = match (&new.namespace, &new.schema, &new.table) {
            (None, None, None) => "DATABASE".to_owned(),
            (None, None, Some(table)) => format!("TABLE {}", name_of(table)?),
            (None, Some(schema), Some(table)) => {
                format!("TABLE {}.{}", name_of(schema)?, name_of(table)?)
            }
            (None, Some(_), None) => return Err(Fault::invalid("schema: there is no table")),
            (Some(namespace), None, None) => {
                format!("TABLE {}", Shape::existing(&self.engine.catalog(), namespace)?.sql())
            }
            (Some(_), ..) => {
                return Err(Fault::invalid("namespace does not go with table and schema"));
            }
        };
        let name = name_of(&new.name)?;
        let when = when(&new.events, new.condition.as_deref())?;
        let mut text = format!("CREATE WEBHOOK {name} ON {of} {when} TO {}", text_of(&new.url)?);
        let mut options = settings(&new.options)?;
        options.extend(new.secret.iter().map(|secret| ("secret".to_owned(), Some(secret.clone()))));
        let options: Vec<String> = options
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .map(|(name, value)| Ok(format!("{} = {}", quoted(name), text_of(value)?)))
            .collect::<Answer<_>>()?;
        if !options.is_empty() {
            let _ = write!(text, " WITH ({})", options.join(", "));
        }
        let made = self.statements(caller, vec![text, described(&new.name)?]).await?;
        let [secret, webhook] = made.as_slice() else { return Err(nothing()) };
        let mut webhook = webhook.first().cloned().ok_or_else(nothing)?;
        let secret = secret.first().and_then(|row| row.get("secret")).cloned();
        webhook.insert("secret".to_owned(), secret.unwrap_or_default());
        Ok(webhook.into())
    }

    /// Every webhook of the database.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn webhooks(&self, caller: &Caller) -> Answer<Vec<Value>> {
        let text = "SELECT * FROM pg_catalog.nearlake_webhooks ORDER BY webhook";
        let mut read = self.statements(caller, vec![text.to_owned()]).await?;
        Ok(read.pop().unwrap_or_default().into_iter().map(Value::Object).collect())
    }

    /// A webhook.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn webhook(&self, caller: &Caller, name: &str) -> Answer<Value> {
        let mut read = self.statements(caller, vec![described(name)?]).await?;
        let webhook = read.pop().unwrap_or_default().into_iter().next();
        webhook.map(Value::Object).ok_or_else(|| missing(name))
    }

    /// Changes a webhook, all of it or nothing; it as it is then.
    ///
    /// # Errors
    /// Those of ALTER WEBHOOK.
    pub async fn update_webhook(
        &self,
        caller: &Caller,
        name: &str,
        patch: &WebhookPatch,
    ) -> Answer<Value> {
        let alter = |clause: String| -> Answer<String> {
            Ok(format!("ALTER WEBHOOK {} {clause}", name_of(name)?))
        };
        let mut texts: Vec<String> = Vec::new();
        if let Some(url) = &patch.url {
            texts.push(alter(format!("TO {}", text_of(url)?))?);
        }
        match (&patch.events, &patch.condition) {
            (Some(events), condition) => texts.push(alter(when(events, condition.as_deref())?)?),
            (None, Some(_)) => {
                return Err(Fault::invalid("condition: say the events too"));
            }
            (None, None) => {}
        }
        for (option, value) in settings(&patch.options)? {
            texts.push(alter(match value {
                Some(value) => format!("SET ({} = {})", quoted(&option), text_of(&value)?),
                None => format!("RESET ({})", quoted(&option)),
            })?);
        }
        texts.extend(match patch.status {
            Some(Going::Enabled) => Some(alter("ENABLE".to_owned())?),
            Some(Going::Disabled) => Some(alter("DISABLE".to_owned())?),
            None => None,
        });
        let mut now = name;
        if let Some(to) = &patch.name {
            texts.push(alter(format!("RENAME TO {}", name_of(to)?))?);
            now = to;
        }
        if texts.is_empty() {
            return Err(Fault::invalid("the body names nothing that is to change"));
        }
        texts.push(described(now)?);
        let mut read = self.statements(caller, texts).await?;
        let webhook = read.pop().unwrap_or_default().into_iter().next();
        webhook.map(Value::Object).ok_or_else(|| missing(now))
    }

    /// Drops or tests a webhook or gives it another secret; what that shows.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn act_on_webhook(
        &self,
        caller: &Caller,
        name: &str,
        action: WebhookAction,
    ) -> Answer<Value> {
        let name = name_of(name)?;
        let text = match action {
            WebhookAction::Drop => format!("DROP WEBHOOK {name}"),
            WebhookAction::Test => format!("ALTER WEBHOOK {name} TEST"),
            WebhookAction::RotateSecret => format!("ALTER WEBHOOK {name} ROTATE SECRET"),
        };
        let mut done = self.statements(caller, vec![text]).await?;
        let shown = done.pop().unwrap_or_default().into_iter().next();
        let mut shown = shown.unwrap_or_default();
        shown.insert("status".to_owned(), "OK".into());
        Ok(shown.into())
    }

    /// Sends dead letters again (`REPLAY`), or forgets them (`FORGET`).
    ///
    /// # Errors
    /// When there is no such webhook, or no such dead letter.
    pub async fn dead_letters(
        &self,
        caller: &Caller,
        name: &str,
        verb: &'static str,
        which: &DeadLetters,
    ) -> Answer<()> {
        let which = match &which.event_id {
            Some(event) => text_of(event)?,
            None => "ALL".to_owned(),
        };
        let text = format!("ALTER WEBHOOK {} {verb} {which}", name_of(name)?);
        self.statements(caller, vec![text]).await.map(drop)
    }

    /// What waits for a webhook, what was given up, and what was delivered lately.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn webhook_deliveries(
        &self,
        caller: &Caller,
        name: &str,
        which: &Deliveries,
    ) -> Answer<Vec<Value>> {
        let limit = which.limit.unwrap_or(DELIVERIES);
        if !(1..=DELIVERIES_MAX).contains(&limit) {
            return Err(Fault::invalid(format!("limit must be between 1 and {DELIVERIES_MAX}")));
        }
        let state = match which.state.as_deref() {
            None => String::new(),
            Some(state @ ("pending" | "delivered" | "dead")) => {
                format!("AND state = {}", literal(state))
            }
            Some(_) => return Err(Fault::invalid("state is pending, delivered or dead")),
        };
        let text = format!(
            "SELECT * FROM pg_catalog.nearlake_webhook_deliveries WHERE webhook = {} {state} LIMIT {limit}",
            text_of(name)?
        );
        let read = self.statements(caller, vec![described(name)?, text]).await?;
        let [webhook, deliveries] = read.as_slice() else { return Err(nothing()) };
        if webhook.is_empty() {
            return Err(missing(name));
        }
        Ok(deliveries.iter().cloned().map(Value::Object).collect())
    }

    /// Runs statements in one transaction; the rows of each.
    async fn statements(
        &self,
        caller: &Caller,
        texts: Vec<String>,
    ) -> Answer<Vec<Vec<Map<String, Value>>>> {
        let mut work = self.pool.work(&caller.role).await?;
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            let done = work.run(text.into(), None).await.map_err(by_state)?;
            all.push(match done {
                Done::Rows(rows) => objects(&rows)?,
                Done::Changed(_) => Vec::new(),
            });
        }
        work.commit().await.map_err(by_state)?;
        Ok(all)
    }
}

/// What there is not is 404, what there is already 409.
fn by_state(fault: Fault) -> Fault {
    let kind = match fault.state {
        Some(SqlState::UNDEFINED_OBJECT) => FaultKind::NotFound,
        Some(SqlState::DUPLICATE_OBJECT) => FaultKind::Conflict,
        _ => fault.kind,
    };
    Fault { kind, ..fault }
}

fn missing(name: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("webhook \"{name}\" does not exist"))
}

fn nothing() -> Fault {
    Fault::new(FaultKind::Internal, "a statement gave no rows")
}

/// A name as SQL writes it.
fn name_of(name: &str) -> Answer<String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(Fault::invalid(format!("name: it has 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(quoted(name))
}

/// The name of an option, which is quoted later.
fn checked_name(name: &str) -> Answer<String> {
    name_of(name).map(|_| name.to_owned())
}

/// A text as SQL writes it.
fn text_of(text: &str) -> Answer<String> {
    if text.contains('\0') {
        return Err(Fault::invalid("a text holds a character of code 0"));
    }
    Ok(literal(text))
}

fn described(name: &str) -> Answer<String> {
    let name = text_of(name)?;
    Ok(format!("SELECT * FROM pg_catalog.nearlake_webhooks WHERE webhook = {name}"))
}

/// `WHEN (…) WHERE …`
fn when(events: &[String], condition: Option<&str>) -> Answer<String> {
    if events.is_empty() {
        return Err(Fault::invalid("events: there is none"));
    }
    let events = events.iter().map(|event| name_of(event)).collect::<Answer<Vec<_>>>()?;
    let mut text = format!("WHEN ({})", events.join(", "));
    if let Some(condition) = condition {
        // In parentheses and on lines of its own it cannot reach further: the parser refuses what is
        // no expression.
        let _ = write!(text, " WHERE (\n{}\n)", checked(condition)?);
    }
    Ok(text)
}

/// A condition is SQL; it must be one expression and nothing else.
fn checked(condition: &str) -> Answer<&str> {
    crate::sql::check_expression(condition).map_err(|error| Fault::from(error).of("condition"))?;
    Ok(condition)
}

/// Options as texts; `None` resets one.
fn settings(options: &Map<String, Value>) -> Answer<Vec<(String, Option<String>)>> {
    let text = |value: &Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(Fault::invalid("options are texts and numbers")),
    };
    options.iter().map(|(name, value)| Ok((checked_name(name)?, text(value)?))).collect()
}

/// Rows as JSON objects.
fn objects(rows: &Rows) -> Answer<Vec<Map<String, Value>>> {
    let mut all = Vec::new();
    for batch in &rows.batches {
        let mut made = vec![Map::new(); batch.num_rows()];
        for (column, array) in rows.columns.iter().zip(batch.columns()) {
            let values = texts(array, &column.kind, &Style::default())?;
            for (row, text) in made.iter_mut().zip(values) {
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                row.insert(column.name.clone(), value);
            }
        }
        all.append(&mut made);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_one_expression() {
        assert!(checked("price < 10 AND embedding <=> '[1,0]' < 0.2").is_ok());
        for bad in ["", "1 = 1) TO 'https://other' --", "a; DROP TABLE t", "a /* ", "SELECT 1"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_quoted_whatever_they_are() {
        assert_eq!(name_of("a\"b").unwrap(), "\"a\"\"b\"");
        assert!(name_of("").is_err());
        assert!(name_of("a\0").is_err());
    }
}
