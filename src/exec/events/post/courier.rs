//! The couriers of all webhooks: there is one for each, as long as the catalog has it.

use super::Parts;
use crate::{
    catalog::{
        Catalog, Webhook,
        webhook::{OUTBOX, Status},
    },
    clock::SharedClock,
    error::{Error, Result, SqlState},
    exec::{
        events::{Events, outbox},
        state::States,
    },
    ids::{Oid, RowId},
    telemetry::Metrics,
    webhook::{Courier, Endpoint, Going, Letter, Letters, Report, Sender, secret::Secret},
};
use async_trait::async_trait;
use std::{collections::HashMap, sync::Arc};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// So many letters, and bytes of them, are read at a time.
const LETTERS_MAX: usize = 64;
const LETTERS_BYTES_MAX: u64 = 4 << 20;

/// Where couriers fetch letters and report.
#[derive(Debug)]
pub(super) struct Mail {
    states: Arc<States>,
    reports: mpsc::Sender<(Oid, Report)>,
}

impl Mail {
    pub(super) fn new(states: Arc<States>, reports: mpsc::Sender<(Oid, Report)>) -> Arc<Self> {
        Arc::new(Self { states, reports })
    }
}

#[async_trait]
impl Letters for Mail {
    async fn next(&self, webhook: Oid, behind: Option<u64>) -> Result<Vec<Letter>> {
        loop {
            let limits = (LETTERS_MAX, LETTERS_BYTES_MAX);
            let (briefs, arrived) = self.states.events().desks.behind(webhook, behind, limits);
            if briefs.is_empty() {
                arrived.notified().await;
                continue;
            }
            let places: Vec<RowId> = briefs.iter().map(|brief| brief.place).collect();
            let rows = self.states.snapshot().table(OUTBOX);
            let payloads = outbox::payloads(&rows, &places).await?;
            let letters = briefs.into_iter().zip(payloads);
            return Ok(letters
                .map(|(brief, payload)| Letter {
                    place: brief.place.0,
                    id: brief.id,
                    kind: brief.kind.into(),
                    commit: brief.commit,
                    created_micros: brief.created_micros,
                    payload,
                })
                .collect());
        }
    }

    async fn report(&self, webhook: Oid, report: Report) {
        // When nobody listens the node stops, and what is not reported is sent again.
        let _ = self.reports.send((webhook, report)).await;
    }
}

/// A courier on its way.
#[derive(Debug)]
struct Walking {
    endpoint: watch::Sender<Endpoint>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Couriers {
    mail: Arc<Mail>,
    sender: Sender,
    io: Handle,
    metrics: Arc<Metrics>,
    clock: SharedClock,
    walking: HashMap<Oid, Walking>,
    /// The version of the catalog that was attended to.
    version: Option<u64>,
}

impl Couriers {
    pub(super) fn new(mail: Arc<Mail>, sender: Sender, parts: &Parts) -> Self {
        Self {
            mail,
            sender,
            io: parts.io.clone(),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            walking: HashMap::new(),
            version: None,
        }
    }

    /// Follows the catalog; the webhooks that are gone.
    pub(super) fn attend(&mut self, catalog: &Catalog, events: &Events) -> Vec<Oid> {
        if self.version == Some(catalog.version()) {
            return Vec::new();
        }
        self.version = Some(catalog.version());
        for webhook in catalog.webhooks() {
            match endpoint(webhook) {
                Ok(endpoint) => self.follow(endpoint, events),
                Err(error) => {
                    tracing::error!(webhook = %webhook.name, %error, "a webhook cannot be used");
                }
            }
        }
        let is_gone = |id: &Oid| catalog.webhook(*id).is_none();
        let mut gone: Vec<Oid> = self.walking.keys().copied().filter(is_gone).collect();
        for id in &gone {
            if let Some(courier) = self.walking.remove(id) {
                courier.stop.cancel();
            }
        }
        gone.extend(events.desks.webhooks().into_iter().filter(is_gone));
        events.history.retain(|id| !is_gone(&id));
        gone.sort_unstable();
        gone.dedup();
        gone
    }

    fn follow(&mut self, endpoint: Endpoint, events: &Events) {
        if let Some(courier) = self.walking.get(&endpoint.webhook) {
            courier.endpoint.send_if_modified(|known| {
                let is_new = *known != endpoint;
                *known = endpoint;
                is_new
            });
            return;
        }
        let (id, stop) = (endpoint.webhook, CancellationToken::new());
        let (sender, receiver) = watch::channel(endpoint);
        let courier = Courier {
            letters: Arc::clone(&self.mail) as Arc<dyn Letters>,
            endpoint: receiver,
            sender: self.sender.clone(),
            history: Arc::clone(&events.history),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
        };
        let task = self.io.spawn(courier.run(stop.clone()));
        self.walking.insert(id, Walking { endpoint: sender, stop, task });
    }

    /// Ends all of them, where they are.
    pub(super) async fn stop(&mut self) {
        for courier in self.walking.values() {
            courier.stop.cancel();
        }
        for (_, courier) in self.walking.drain() {
            if let Err(error) = courier.task.await {
                tracing::error!(%error, "a courier failed");
            }
        }
    }
}

/// A webhook as its courier sees it.
fn endpoint(webhook: &Webhook) -> Result<Endpoint> {
    let terms = webhook.terms()?;
    let invalid = |error: url::ParseError| {
        Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("its URL is not valid: {error}"))
    };
    let mut secrets = Vec::new();
    for secret in &webhook.secrets {
        secrets.push((Secret::parse(&secret.text)?, secret.until_micros));
    }
    Ok(Endpoint {
        webhook: webhook.id,
        name: webhook.name.clone(),
        url: Url::parse(&webhook.url).map_err(invalid)?,
        secrets,
        going: match webhook.status {
            Status::Enabled => Going::Sending,
            Status::Paused => Going::Paused,
            Status::Disabled => Going::Stopped,
        },
        timeout: terms.timeout,
        attempts_max: terms.attempts_max,
        backoff: (terms.backoff_min, terms.backoff_max),
        pause_after: terms.pause_after,
        probe_every: terms.probe_every,
    })
}
