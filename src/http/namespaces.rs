//! The JSON API of namespaces: routes, and nothing of what they mean.
//!
//! ```text
//!   GET    /v1/namespaces                              POST   /v2/namespaces/{name}
//!   GET    /v1/namespaces/{name}/schema     POST       DELETE /v2/namespaces/{name}
//!   PATCH  /v1/namespaces/{name}/metadata              POST   /v2/namespaces/{name}/query
//!   GET    /v1/namespaces/{name}/hint_cache_warm       POST   /v2/namespaces/{name}/explain_query
//!   POST   /v1/namespaces/{name}/_debug/recall         GET    /v2/namespaces/{name}/metadata
//!   GET    /v1/namespaces/{name}/operations/{token}    POST   /v2/namespaces/{name}/async
//!   GET    /v1/namespaces/{name}/config     PUT, POST
//!   GET    /openapi.json                               POST   /v1/embed
//! ```

use super::{
    Api,
    body::{self, Sent},
    refusal::{self, Refusal},
};
use crate::namespaces::{Caller, Config, Embed, List, MetadataPatch, Query, Recall, Start, Write};
use axum::{
    Extension, Json, Router,
    extract::{FromRequestParts, Path, Query as UrlQuery, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/embed", post(embed))
        .route("/v1/namespaces", get(list))
        .route("/v1/namespaces/{name}/schema", get(schema).post(update_schema).put(update_schema))
        .route("/v1/namespaces/{name}/config", get(config).post(configure).put(configure))
        .route("/v1/namespaces/{name}/metadata", patch(update_metadata).get(metadata))
        .route("/v1/namespaces/{name}/hint_cache_warm", get(warm))
        .route("/v1/namespaces/{name}/_debug/recall", post(recall))
        .route("/v1/namespaces/{name}/operations/{token}", get(operation))
        .route("/v2/namespaces/{name}", delete(remove).post(write))
        .route("/v2/namespaces/{name}/query", post(query))
        .route("/v2/namespaces/{name}/explain_query", post(explain))
        .route("/v2/namespaces/{name}/metadata", get(metadata))
        .route("/v2/namespaces/{name}/async", post(start))
}

/// What a request gives.
pub(super) type Answer<T> = Result<Json<T>, Refusal>;

/// Parts of the address, or a refusal that says what is wrong with them.
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(at) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
        Ok(Self(at))
    }
}

/// The query string; names that mean nothing here are left alone, as clients send some.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let UrlQuery(asked) = UrlQuery::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
        Ok(Self(asked))
    }
}

pub(super) type Shared = State<Arc<Api>>;
pub(super) type By = Extension<Caller>;

pub(super) fn answer<T: Serialize>(value: T) -> Answer<T> {
    Ok(Json(value))
}

async fn embed(
    State(api): Shared,
    Extension(caller): By,
    sent: Sent<Embed>,
) -> Answer<impl Serialize> {
    let Sent { value, .. } = sent;
    answer(Box::pin(api.namespaces.embed(&caller, value)).await?)
}

async fn list(
    State(api): Shared,
    Extension(caller): By,
    Asked(asked): Asked<List>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.list(&caller, &asked)?)
}

async fn write(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Write>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.write(&caller, &name, sent.value).await?)
}

async fn remove(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    api.namespaces.delete(&caller, &name).await?;
    answer(json!({ "status": "OK" }))
}

async fn query(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Value>,
) -> Result<Response, Refusal> {
    let body = &sent.value;
    if body.get("queries").is_some() {
        let multi = read(body)?;
        let answer = api.namespaces.multi_query(&caller, &name, &multi).await?;
        return Ok(Json(answer).into_response());
    }
    let query: Query = read(body)?;
    Ok(Json(api.namespaces.query(&caller, &name, &query).await?).into_response())
}

async fn explain(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Query>,
) -> Answer<impl Serialize> {
    let plan = api.namespaces.explain_query(&caller, &name, &sent.value).await?;
    answer(json!({ "plan_text": plan }))
}

fn read<'v, T: serde::Deserialize<'v>>(value: &'v Value) -> Result<T, Refusal> {
    T::deserialize(value).map_err(|error| body::shape(&error))
}

async fn schema(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.schema(&caller, &name)?)
}

async fn update_schema(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Map<String, Value>>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.update_schema(&caller, &name, &sent.value).await?)
}

async fn config(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.config(&caller, &name)?)
}

async fn configure(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Config>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.configure(&caller, &name, &sent.value).await?)
}

async fn metadata(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.metadata(&caller, &name)?)
}

async fn update_metadata(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<MetadataPatch>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.update_metadata(&caller, &name, &sent.value).await?)
}

async fn warm(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.warm(&caller, &name)?)
}

async fn recall(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Recall>,
) -> Answer<impl Serialize> {
    answer(api.namespaces.recall(&caller, &name, &sent.value).await?)
}

async fn start(
    State(api): Shared,
    Extension(caller): By,
    At(name): At<String>,
    sent: Sent<Start>,
) -> Answer<impl Serialize> {
    answer(json!({ "token": api.namespaces.start(&caller, &name, &sent.value)? }))
}

async fn operation(
    State(api): Shared,
    At((name, token)): At<(String, String)>,
) -> Answer<impl Serialize> {
    let status = |fault: &crate::namespaces::Fault| refusal::status(fault).as_u16();
    answer(api.namespaces.operation(&name, &token, status)?)
}
