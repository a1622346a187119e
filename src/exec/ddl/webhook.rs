//! CREATE, ALTER and DROP WEBHOOK.

use super::Ddl;
use crate::{
    catalog::{
        Change, Table, Webhook,
        webhook::{Condition, EventKind, OUTBOX, SigningSecret, Status, Terms},
    },
    error::{Error, Result, SqlState},
    exec::relations::Sources,
    ids::{ColumnId, TableId},
    sql::{
        self,
        utility::{AlterWebhook, CreateWebhook, WebhookOf},
    },
    webhook::{
        address::check_url,
        secret::{self, Secret},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// So many webhooks there may be: each has a task, a desk in memory and a connection.
const WEBHOOKS_MAX: usize = 1000;
/// The option by which a webhook is given a secret that others know already.
const SECRET: &str = "secret";
/// The secrets that are used at a time: a new one, and the one before it.
const SECRETS_MAX: usize = 2;

impl Ddl<'_> {
    /// Creates a webhook; its secret, which is shown this once. `None`: there is one already.
    ///
    /// # Errors
    /// 42501, 42710, 22023, and those of its condition.
    pub async fn create_webhook(&mut self, create: &CreateWebhook) -> Result<Option<String>> {
        self.transaction.check_writable("CREATE WEBHOOK")?;
        let database = self.env.context.database();
        let table = match &create.of {
            WebhookOf::Table(name) => Some(self.expect_table(name)?),
            WebhookOf::Database(name) => {
                self.check_own_database(name.as_deref())?;
                None
            }
        };
        if let Some(table) = &table {
            self.check_owner(table.owner, "table", &table.name)?;
            if self.catalog().is_temporary(table.schema) {
                return Err(Error::unsupported("webhooks on temporary tables are not supported"));
            }
        }
        self.lock_name(OUTBOX, &create.name).await?;
        // Whoever is writing to the table ends first, and does not tell; all who come later do.
        let table = match table {
            Some(table) => Some(self.lock_table(&table).await?),
            None => None,
        };
        let catalog = self.catalog();
        if catalog.webhook_named(database, &create.name).is_some() {
            if create.if_not_exists {
                self.exists_already(SqlState::DUPLICATE_OBJECT, "webhook", &create.name);
                return Ok(None);
            }
            let message = format!("webhook \"{}\" already exists", create.name);
            return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
        }
        if catalog.webhooks().count() >= WEBHOOKS_MAX {
            let message = format!("there are {WEBHOOKS_MAX} webhooks already");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let mut options = options_of(&create.options)?;
        let secret = match options.remove(SECRET) {
            Some(given) => Secret::parse(&given).map(|_| given)?,
            None => secret::fresh(),
        };
        Terms::of(&options)?;
        check_url(&create.url, self.transaction.events().reach())?;
        let condition =
            self.condition(table.as_ref(), &create.events, create.condition.as_deref())?;
        let webhook = Webhook {
            id: self.fresh_oid(),
            database,
            name: create.name.clone(),
            owner: self.env.context.user(),
            table: table.map(|table| table.id),
            events: create.events.iter().copied().collect(),
            condition,
            url: create.url.clone(),
            secrets: vec![SigningSecret { text: secret.clone(), until_micros: None }],
            status: Status::Enabled,
            reason: None,
            stamp: format!("{:016x}", self.env.context.random()),
            options,
            created_micros: self.env.context.clock_micros(),
        };
        self.transaction.change([Change::Webhook(Arc::new(webhook))]);
        Ok(Some(secret))
    }

    /// Alters a webhook; the secret that it is given, which is shown this once.
    ///
    /// # Errors
    /// 42704, 42501, 22023, and those of a condition.
    pub async fn alter_webhook(
        &mut self,
        name: &str,
        if_exists: bool,
        action: &AlterWebhook,
    ) -> Result<Option<String>> {
        self.transaction.check_writable("ALTER WEBHOOK")?;
        self.lock_name(OUTBOX, name).await?;
        let Some(found) = self.own_webhook(name, if_exists)? else { return Ok(None) };
        let mut webhook = Webhook::clone(&found);
        let mut shown = None;
        match action {
            AlterWebhook::Rename(to) => {
                self.lock_name(OUTBOX, to).await?;
                if self.catalog().webhook_named(webhook.database, to).is_some() {
                    let message = format!("webhook \"{to}\" already exists");
                    return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
                }
                webhook.name.clone_from(to);
            }
            AlterWebhook::Owner(owner) => webhook.owner = self.new_owner(owner, None)?.id,
            AlterWebhook::SetOptions(options) => {
                webhook.options.extend(options_of(options)?);
                Terms::of(&webhook.options)?;
            }
            AlterWebhook::ResetOptions(names) => {
                for name in names {
                    Terms::check_name(name)?;
                    webhook.options.remove(name);
                }
                Terms::of(&webhook.options)?;
            }
            AlterWebhook::Enable => (webhook.status, webhook.reason) = (Status::Enabled, None),
            AlterWebhook::Disable => (webhook.status, webhook.reason) = (Status::Disabled, None),
            AlterWebhook::RotateSecret => {
                let fresh = secret::fresh();
                let overlap = webhook.terms()?.secret_overlap.as_micros();
                let overlap = i64::try_from(overlap).unwrap_or(i64::MAX);
                let until = self.env.context.clock_micros().saturating_add(overlap);
                for old in &mut webhook.secrets {
                    old.until_micros = Some(old.until_micros.map_or(until, |u| u.min(until)));
                }
                let secret = SigningSecret { text: fresh.clone(), until_micros: None };
                webhook.secrets.insert(0, secret);
                webhook.secrets.truncate(SECRETS_MAX);
                shown = Some(fresh);
            }
            AlterWebhook::Url(url) => {
                check_url(url, self.transaction.events().reach())?;
                webhook.url.clone_from(url);
            }
            AlterWebhook::Events { events, condition } => {
                let table = webhook.table.and_then(|id| self.catalog().table(id).cloned());
                let table = match table {
                    Some(table) => Some(self.lock_table(&table).await?),
                    None => None,
                };
                webhook.condition = self.condition(table.as_ref(), events, condition.as_deref())?;
                webhook.events = events.iter().copied().collect();
            }
            AlterWebhook::Test | AlterWebhook::Replay(_) | AlterWebhook::Forget(_) => {
                return Err(Error::internal("an order is no change of names"));
            }
        }
        self.transaction.change([Change::Webhook(Arc::new(webhook))]);
        Ok(shown)
    }

    pub(super) async fn drop_webhooks(
        &mut self,
        names: &[String],
        if_exists: bool,
    ) -> Result<&'static str> {
        self.transaction.check_writable("DROP WEBHOOK")?;
        for name in names {
            self.lock_name(OUTBOX, name).await?;
            if let Some(webhook) = self.own_webhook(name, if_exists)? {
                self.transaction.change([Change::DropWebhook(webhook.id)]);
            }
        }
        Ok("DROP WEBHOOK")
    }

    /// The webhook of a name, which the user must own.
    ///
    /// # Errors
    /// 42704, 42501.
    pub fn own_webhook(&mut self, name: &str, if_exists: bool) -> Result<Option<Arc<Webhook>>> {
        let database = self.env.context.database();
        let catalog = self.catalog();
        let Some(webhook) = catalog.webhook_named(database, name).cloned() else {
            if if_exists {
                self.skipping("webhook", name);
                return Ok(None);
            }
            let message = format!("webhook \"{name}\" does not exist");
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        };
        self.check_owner(webhook.owner, "webhook", name)?;
        Ok(Some(webhook))
    }

    /// A database is told of in its own sessions only.
    fn check_own_database(&mut self, name: Option<&str>) -> Result<()> {
        let own = self.env.context.database();
        if let Some(name) = name
            && self.database(name)?.id != own
        {
            return Err(Error::unsupported("a webhook on another database is not supported")
                .hint("Connect to that database."));
        }
        let catalog = self.catalog();
        let database =
            catalog.database(own).ok_or_else(|| Error::internal("a session without a database"))?;
        self.check_owner(database.owner, "database", &database.name)
    }

    /// A condition, bound to its table.
    fn condition(
        &mut self,
        table: Option<&Arc<Table>>,
        events: &[EventKind],
        text: Option<&str>,
    ) -> Result<Option<Condition>> {
        let rows = [EventKind::Insert, EventKind::Update, EventKind::Delete];
        let Some(text) = text else { return Ok(None) };
        let Some(table) = table else {
            return Err(Error::unsupported("a condition over the tables of a database")
                .hint("Create a webhook on the table that the condition is about."));
        };
        if !events.iter().any(|event| rows.contains(event)) {
            let message = "a condition wants insert, update or delete among the events";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        self.see_own_names();
        let columns = sql::condition_columns(table, text, &self.env.context, &Sources)?;
        Ok(Some(Condition { text: text.to_owned(), columns }))
    }

    /// The webhooks whose conditions read a column.
    pub(super) fn webhooks_reading(
        &mut self,
        table: TableId,
        column: ColumnId,
    ) -> Vec<Arc<Webhook>> {
        let reads = |webhook: &&Arc<Webhook>| {
            let condition = webhook.condition.as_ref();
            webhook.table == Some(table)
                && condition.is_some_and(|condition| condition.columns.contains(&column))
        };
        self.catalog().webhooks().filter(reads).cloned().collect()
    }

    /// Conditions are kept as text, so that a column that they read stays as it is.
    pub(super) fn refuse_read_by_webhooks(
        &mut self,
        table: &Table,
        column: &str,
        verb: &str,
    ) -> Result<()> {
        let Some(id) = table.column(column).map(|column| column.id) else { return Ok(()) };
        match self.webhooks_reading(table.id, id).first() {
            None => Ok(()),
            Some(webhook) => Err(Error::unsupported(format!(
                "cannot {verb} column \"{column}\" since webhook \"{}\" uses it",
                webhook.name
            ))
            .hint("Drop the webhook first and create it again afterwards.")),
        }
    }
}

/// Options by their names.
fn options_of(options: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut names = BTreeSet::new();
    if let Some((name, _)) = options.iter().find(|(name, _)| !names.insert(name)) {
        let message = format!("parameter \"{name}\" specified more than once");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(options.iter().cloned().collect())
}
