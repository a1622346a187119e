//! Webhooks and what they deliver: `nearlake_webhooks`, `nearlake_webhook_deliveries`. Secrets are
//! not among it.

use super::{SystemRelation, View, rows::Rows};
use crate::{
    catalog::{Table, Webhook},
    error::Result,
};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// How a webhook does. Counts are since the start, times microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WebhookStat {
    /// Events that wait.
    pub waiting: i64,
    /// Bytes of them.
    pub waiting_bytes: i64,
    /// When the first of them was written.
    pub oldest: Option<i64>,
    /// Dead letters.
    pub dead: i64,
    /// Deliveries.
    pub delivered: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Events lost.
    pub lost: i64,
    /// When the last delivery was.
    pub last_delivered: Option<i64>,
    /// What the last failed attempt met.
    pub last_error: Option<String>,
}

/// An event on its way, or at its end. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRow {
    /// The event.
    pub id: String,
    /// What it tells of.
    pub kind: String,
    /// The commit that it tells of.
    pub commit: u64,
    /// `pending`, `delivered`, `dead`.
    pub state: &'static str,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was written.
    pub created: i64,
    /// When the last attempt began.
    pub attempted: Option<i64>,
    /// How long that took.
    pub took_micros: Option<i64>,
    /// What the endpoint answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The length of the payload.
    pub bytes: Option<u64>,
}

fn all(view: &View) -> Vec<&Arc<Webhook>> {
    view.catalog.webhooks().filter(|webhook| webhook.database == view.database).collect()
}

/// Whether a webhook is the session's: where another's tells, and of what, is not for everybody.
fn is_own(view: &View, webhook: &Webhook) -> bool {
    view.catalog.has_privileges_of(view.user, webhook.owner)
}

/// The webhooks of the database.
pub(super) fn nearlake_webhooks(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let table = |webhook: &Webhook| -> Option<&Arc<Table>> { view.catalog.table(webhook.table?) };
    let rows: Vec<(&Arc<Webhook>, WebhookStat)> =
        all(view).into_iter().map(|webhook| (webhook, view.live.webhook(webhook.id))).collect();
    let now = |webhook: &Webhook| i32::try_from(webhook.secrets.len()).unwrap_or(i32::MAX);
    Rows::of(relation, &rows)
        .set("oid", |(webhook, _)| webhook.id)
        .set("webhook", |(webhook, _)| webhook.name.as_str())
        .set("schemaname", |(webhook, _)| table(webhook).map(|t| view.schema_name(t.schema)))
        .set("relname", |(webhook, _)| table(webhook).map(|table| table.name.as_str()))
        .set("owner", |(webhook, _)| view.role_name(webhook.owner))
        .set("events", |(webhook, _)| -> Vec<String> {
            webhook.events.iter().map(|event| event.word().to_owned()).collect()
        })
        .set("condition", |(webhook, _)| {
            let condition = webhook.condition.as_ref().filter(|_| is_own(view, webhook));
            condition.map(|condition| condition.text.as_str())
        })
        .set("url", |(webhook, _)| {
            if is_own(view, webhook) { webhook.url.as_str() } else { "<insufficient privilege>" }
        })
        .set("status", |(webhook, _)| webhook.status.word())
        .set("reason", |(w, _)| w.reason.as_deref().filter(|_| is_own(view, w)))
        .set("options", |(webhook, _)| {
            let options = super::class::reloptions(&webhook.options);
            options.filter(|_| is_own(view, webhook))
        })
        .set("secrets", |(webhook, _)| now(webhook))
        .set("waiting", |(_, stat)| stat.waiting)
        .set("waiting_bytes", |(_, stat)| stat.waiting_bytes)
        .set("oldest", |(_, stat)| stat.oldest)
        .set("dead", |(_, stat)| stat.dead)
        .set("delivered", |(_, stat)| stat.delivered)
        .set("failed", |(_, stat)| stat.failed)
        .set("lost", |(_, stat)| stat.lost)
        .set("last_delivered", |(_, stat)| stat.last_delivered)
        .set("last_error", |(w, stat)| stat.last_error.as_deref().filter(|_| is_own(view, w)))
        .set("created", |(webhook, _)| webhook.created_micros)
        .finish()
}

/// Events that wait (the first of them), dead letters, and the latest that were delivered.
pub(super) fn nearlake_webhook_deliveries(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let rows: Vec<(&Arc<Webhook>, DeliveryRow)> = all(view)
        .into_iter()
        .filter(|webhook| is_own(view, webhook))
        .flat_map(|webhook| {
            let deliveries = view.live.deliveries(webhook.id);
            deliveries.into_iter().map(move |delivery| (webhook, delivery))
        })
        .collect();
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "a duration needs no more than 53 bits")]
    let ms = |micros: i64| micros as f64 / 1000.0;
    Rows::of(relation, &rows)
        .set("webhook", |(webhook, _)| webhook.name.as_str())
        .set("event_id", |(_, row)| row.id.as_str())
        .set("type", |(_, row)| row.kind.as_str())
        .set("commit", |(_, row)| signed(row.commit))
        .set("state", |(_, row)| row.state)
        .set("attempts", |(_, row)| i64::from(row.attempts))
        .set("created", |(_, row)| row.created)
        .set("attempted", |(_, row)| row.attempted)
        .set("duration_ms", |(_, row)| row.took_micros.map(ms))
        .set("status", |(_, row)| row.status.map(i64::from))
        .set("error", |(_, row)| row.error.as_deref())
        .set("bytes", |(_, row)| row.bytes.map(signed))
        .finish()
}
