//! Webhooks over HTTP: routes, and nothing of what they mean.
//!
//! ```text
//!   GET    /v1/webhooks                     POST   /v1/webhooks
//!   GET    /v1/webhooks/{name}              PATCH  /v1/webhooks/{name}        DELETE
//!   POST   /v1/webhooks/{name}/test         POST   /v1/webhooks/{name}/rotate_secret
//!   POST   /v1/webhooks/{name}/replay       POST   /v1/webhooks/{name}/forget
//!   GET    /v1/webhooks/{name}/deliveries
//! ```

use super::{
    Api,
    body::Sent,
    namespaces::{Answer, Asked, At, By, Shared, answer},
};
use crate::namespaces::{DeadLetters, Deliveries, NewWebhook, WebhookAction, WebhookPatch};
use axum::{
    Extension, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// The routes.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/webhooks", get(list).post(create))
        .route("/v1/webhooks/{name}", get(show).patch(update).delete(remove))
        .route("/v1/webhooks/{name}/test", post(test))
        .route("/v1/webhooks/{name}/rotate_secret", post(rotate))
        .route("/v1/webhooks/{name}/replay", post(replay))
        .route("/v1/webhooks/{name}/forget", post(forget))
        .route("/v1/webhooks/{name}/deliveries", get(deliveries))
}

/// A body that says nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn list(State(api): Shared, Extension(caller): By) -> Answer<impl Serialize> {
    answer(json!({ "webhooks": api.namespaces.webhooks(&caller).await? }))
}

async fn create(
    State(api): Shared,
    Extension(caller): By,
    sent: Sent<NewWebhook>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.create_webhook(&caller, &sent.value).await?)
}

async fn show(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.webhook(&caller, &name).await?)
}

async fn update(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<WebhookPatch>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.update_webhook(&caller, &name, &sent.value).await?)
}

async fn remove(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.act_on_webhook(&caller, &name, WebhookAction::Drop).await?)
}

async fn test(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    _: Sent<Nothing>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.act_on_webhook(&caller, &name, WebhookAction::Test).await?)
}

async fn rotate(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    _: Sent<Nothing>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.act_on_webhook(&caller, &name, WebhookAction::RotateSecret).await?)
}

async fn replay(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<DeadLetters>,
) -> Answer<impl Serialize> {
    api.namespaces.dead_letters(&caller, &name, "REPLAY", &sent.value).await?;
    answer(json!({ "status": "OK" }))
}

async fn forget(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<DeadLetters>,
) -> Answer<impl Serialize> {
    api.namespaces.dead_letters(&caller, &name, "FORGET", &sent.value).await?;
    answer(json!({ "status": "OK" }))
}

async fn deliveries(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    Asked(asked): Asked<Deliveries>,
) -> Answer<impl Serialize> {
    answer(json!({
        "deliveries": api.namespaces.webhook_deliveries(&caller, &name, &asked).await?
    }))
}
