//! CREATE and ALTER WEBHOOK, which show a secret once, and orders that do not wait for the
//! transaction's end; and what conditions of webhooks mean.

use super::{Engine, Outcome, OutputColumn, Rows, RowsTag, Session, Start};
use crate::{
    catalog::{
        Catalog, Table, Webhook,
        pg::{DeliveryRow, WebhookStat},
    },
    error::{Error, Result, SqlState},
    exec::{
        ddl::Ddl,
        events::{Brief, Events, Judge, Order},
        rows_stream,
        snapshot::Snapshot,
        write::{over_rows, to_storage},
    },
    ids::Oid,
    pgtype::PgType,
    sql::{
        Plan, Slot,
        utility::{AlterWebhook, Utility},
    },
    webhook::Attempt,
};
use arrow::{
    array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch, StringArray},
    compute::concat,
    datatypes::Schema,
};
use async_trait::async_trait;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The one column of what shows a secret.
pub(super) fn column() -> OutputColumn {
    OutputColumn { name: "secret".to_owned(), kind: PgType::Text, table: 0, column: 0 }
}

impl Session {
    /// Runs CREATE or ALTER WEBHOOK.
    pub(super) async fn webhook(
        &mut self,
        statement: &Utility,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        if let Utility::AlterWebhook { name, if_exists, action } = statement
            && let Some(order) = order(action)
        {
            return self.order(name, *if_exists, order, cancel).await;
        }
        self.open_transaction();
        let env = self.env(Vec::new(), cancel.clone());
        let context = Arc::clone(&self.context);
        let see = move |snapshot| context.see(snapshot);
        let transaction = self.transaction.as_mut().expect("a statement has a transaction");
        let mark = transaction.mark();
        let mut ddl = Ddl::new(&env, transaction, &see);
        let (done, tag, shows) = match statement {
            Utility::CreateWebhook(create) => {
                (ddl.create_webhook(create).await, "CREATE WEBHOOK", true)
            }
            Utility::AlterWebhook { name, if_exists, action } => {
                let shows = matches!(action, AlterWebhook::RotateSecret);
                (ddl.alter_webhook(name, *if_exists, action).await, "ALTER WEBHOOK", shows)
            }
            _ => return Err(Error::internal("a statement about no webhook")),
        };
        let secret = match done {
            Ok(secret) => secret,
            Err(error) => {
                transaction.undo_to(mark);
                return Err(error);
            }
        };
        if !shows {
            return Ok(Outcome::Done(tag.to_owned()));
        }
        let columns: Arc<[OutputColumn]> = [column()].into();
        let array: ArrayRef = Arc::new(secret.into_iter().map(Some).collect::<StringArray>());
        let schema = Arc::new(Schema::new(vec![PgType::Text.field("secret", false)]));
        let batch = RecordBatch::try_new(schema, vec![array])
            .map_err(|error| Error::internal("a secret").source(error))?;
        let tag = RowsTag::Fixed(tag.to_owned());
        Ok(Outcome::Rows(Rows::new(columns, rows_stream(vec![batch]), tag)))
    }

    /// Orders take effect at once, whatever becomes of the transaction; so they want none.
    async fn order(
        &mut self,
        name: &str,
        if_exists: bool,
        order: impl FnOnce(Oid) -> Order,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        if self.in_block() {
            return Err(Error::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "TEST, REPLAY and FORGET cannot run inside a transaction block",
            ));
        }
        self.open_transaction();
        let env = self.env(Vec::new(), cancel.clone());
        let context = Arc::clone(&self.context);
        let see = move |snapshot| context.see(snapshot);
        let transaction = self.transaction.as_mut().expect("a statement has a transaction");
        transaction.check_writable("ALTER WEBHOOK")?;
        let found = Ddl::new(&env, transaction, &see).own_webhook(name, if_exists)?;
        if let Some(webhook) = found {
            let events = Arc::clone(self.engine.states.events());
            tokio::select! {
                done = events.order(order(webhook.id)) => done?,
                () = cancel.cancelled() => return Err(crate::exec::run::cancelled()),
            };
        }
        Ok(Outcome::Done("ALTER WEBHOOK".to_owned()))
    }
}

/// How a webhook does, for its view.
pub(super) fn stat(events: &Events, webhook: Oid) -> WebhookStat {
    let (desk, track) = (events.desk(webhook), events.history().track(webhook));
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    WebhookStat {
        waiting: signed(desk.waiting_count as u64),
        waiting_bytes: signed(desk.waiting_bytes),
        oldest: desk.waiting.first().map(|brief| brief.created_micros),
        dead: signed(desk.dead.len() as u64),
        delivered: signed(track.delivered_count),
        failed: signed(track.failed_count),
        lost: signed(desk.lost),
        last_delivered: track.delivered.back().map(|attempt| attempt.attempted_micros),
        last_error: track.last_error,
    }
}

/// What waits for a webhook, what was given up, and what was delivered lately.
pub(super) fn deliveries(events: &Events, webhook: Oid) -> Vec<DeliveryRow> {
    let (desk, track) = (events.desk(webhook), events.history().track(webhook));
    let brief = |brief: &Brief, state| DeliveryRow {
        id: brief.id.to_string(),
        kind: brief.kind.to_owned(),
        commit: brief.commit,
        state,
        attempts: brief.attempts,
        created: brief.created_micros,
        attempted: None,
        took_micros: None,
        status: None,
        error: brief.error.as_deref().map(str::to_owned),
        bytes: Some(brief.bytes),
    };
    let attempt = |attempt: &Attempt, state| DeliveryRow {
        id: attempt.id.to_string(),
        kind: attempt.kind.to_string(),
        commit: attempt.commit,
        state,
        attempts: attempt.attempts,
        created: attempt.created_micros,
        attempted: Some(attempt.attempted_micros),
        took_micros: Some(attempt.took_micros),
        status: attempt.status,
        error: attempt.error.clone(),
        bytes: None,
    };
    let delivered = track.delivered.iter().map(|done| attempt(done, "delivered"));
    let waiting = desk.waiting.iter().map(|waits| match &track.current {
        Some(current) if current.id == waits.id => {
            DeliveryRow { bytes: Some(waits.bytes), ..attempt(current, "pending") }
        }
        _ => brief(waits, "pending"),
    });
    let dead = desk.dead.iter().map(|letter| brief(letter, "dead"));
    delivered.chain(waiting).chain(dead).collect()
}

/// What an action orders, where it is one.
fn order(action: &AlterWebhook) -> Option<impl FnOnce(Oid) -> Order + use<>> {
    let action = action.clone();
    let is_order =
        matches!(action, AlterWebhook::Test | AlterWebhook::Replay(_) | AlterWebhook::Forget(_));
    is_order.then_some(move |webhook| match action {
        AlterWebhook::Replay(event) => Order::Replay { webhook, event },
        AlterWebhook::Forget(event) => Order::Forget { webhook, event },
        _ => Order::Test { webhook },
    })
}

/// What conditions mean: each is a plan over rows that are handed in, made when it is first asked
/// for and made anew when names change.
#[derive(Debug)]
pub struct Conditions {
    engine: Arc<Engine>,
    plans: Mutex<HashMap<Oid, Planned>>,
}

struct Planned {
    webhook: Arc<Webhook>,
    version: u64,
    session: Session,
    slot: Slot,
    plan: Arc<Plan>,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planned({}, {})", self.webhook.name, self.version)
    }
}

impl Conditions {
    /// Those of an engine's webhooks.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(Self { engine, plans: Mutex::default() })
    }

    /// Plans a condition as its owner would, in the webhook's database.
    fn plan(
        &self,
        webhook: &Arc<Webhook>,
        table: &Arc<Table>,
        names: &Arc<Catalog>,
    ) -> Result<Planned> {
        let condition = webhook.condition.as_ref();
        let condition = condition.ok_or_else(|| Error::internal("no condition to plan"))?;
        let missing = || Error::new(SqlState::UNDEFINED_OBJECT, "its owner or database is gone");
        let role = names.role(webhook.owner).ok_or_else(missing)?;
        let database = names.database(webhook.database).ok_or_else(missing)?;
        let session = self.engine.session(Start {
            role: role.name.clone(),
            database: database.name.clone(),
            parameters: vec![("application_name".to_owned(), "webhooks".to_owned())],
            // No client's: those count up from 1.
            process_id: i32::try_from(webhook.id.0).map_or(0, |id| -id),
            client: None,
        })?;
        session.context.see(Arc::new(Snapshot::of_names(Arc::clone(names))));
        let context = session.context();
        let (slot, plan) = over_rows(table, &format!("({})", condition.text), &context)?;
        let (webhook, version) = (Arc::clone(webhook), names.version());
        Ok(Planned { webhook, version, session, slot, plan })
    }
}

#[async_trait]
impl Judge for Conditions {
    async fn judge(
        &self,
        webhook: &Arc<Webhook>,
        table: &Arc<Table>,
        names: &Arc<Catalog>,
        rows: &RecordBatch,
    ) -> Result<BooleanArray> {
        let mut plans = self.plans.lock().await;
        plans.retain(|&id, _| names.webhook(id).is_some());
        let is_good = |planned: &Planned| {
            planned.version == names.version() && planned.webhook.condition == webhook.condition
        };
        if !plans.get(&webhook.id).is_some_and(is_good) {
            plans.remove(&webhook.id);
            plans.insert(webhook.id, self.plan(webhook, table, names)?);
        }
        let planned = plans.get_mut(&webhook.id).expect("it was planned");
        let run = planned.session.env(Vec::new(), CancellationToken::new()).run;
        // Of an old row only some columns are known; the others are NULL.
        let fields = planned.slot.schema().fields().iter();
        let fields: Vec<_> =
            fields.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(fields));
        planned.slot.fill([to_storage(&schema, rows.columns(), rows.num_rows())?]);
        let answered = run.collect(&planned.plan, &[]).await;
        planned.slot.fill([]);
        let (_, answers) = answered?;
        let parts: Vec<&dyn arrow::array::Array> =
            answers.iter().map(|answer| answer.column(0).as_ref()).collect();
        let whole = match parts.is_empty() {
            true => return Ok(BooleanArray::from(vec![false; rows.num_rows()])),
            false => concat(&parts).map_err(|error| Error::internal("answers").source(error))?,
        };
        if whole.len() != rows.num_rows() {
            return Err(Error::internal("a condition gave more or fewer answers than rows"));
        }
        Ok(whole.as_boolean().clone())
    }
}
