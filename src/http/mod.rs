//! The sidecar: health, metrics and the JSON API of namespaces over HTTP. Only this room knows axum.
//!
//! ```text
//!   GET /livez      the process answers
//!   GET /healthz    nothing is broken that only a restart could mend
//!   GET /readyz     statements can be served now
//!   GET /metrics    Prometheus' text format
//!   GET /           the console, and its parts under /console
//!   POST /v1/sql    statements in a session of their own
//!   /v1/webhooks    webhooks
//!   /v1, /v2        namespaces
//! ```
//!
//! A request passes [`listener`] (connections, TLS), `request` (its id, span and time), `cors` (pages of
//! other sites), `gate` (who asks) and `rate` (how often), `body` (JSON in and out); what fails becomes a
//! `refusal`.

mod body;
mod console;
mod cors;
mod gate;
mod health;
mod linger;
mod listener;
mod metrics;
mod namespaces;
mod options;
mod rate;
mod refusal;
mod request;
mod sql;
#[cfg(test)]
mod tests;
mod webhooks;

use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    namespaces::Namespaces,
    session::Engine,
    telemetry::Metrics,
};
use axum::{
    Router,
    http::{StatusCode, Uri, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
pub use health::{Check, Checks, Fault};
pub use listener::Connections;
pub use options::Options;
use refusal::Refusal;
use std::{fmt, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What clients may ask, for tools that read it.
const OPENAPI: &str = include_str!("openapi.json");

/// What the sidecar shows.
#[derive(Clone)]
pub struct State {
    /// Who knows how the node does.
    pub checks: Arc<dyn Checks>,
    /// What the node counted.
    pub metrics: Arc<Metrics>,
    /// What the JSON API serves; nothing of it where this is `None`.
    pub api: Option<Arc<Api>>,
    /// Time.
    pub clock: SharedClock,
}

/// What the JSON API serves.
#[derive(Debug)]
pub struct Api {
    namespaces: Arc<Namespaces>,
    engine: Arc<Engine>,
    clock: SharedClock,
    options: Options,
    room: body::Room,
    sql: sql::Desk,
    rate: Option<rate::Rate>,
    known: gate::Known,
}

impl Api {
    /// Over the namespaces of an engine.
    #[must_use]
    pub fn new(
        namespaces: Arc<Namespaces>,
        engine: Arc<Engine>,
        clock: SharedClock,
        options: Options,
    ) -> Arc<Self> {
        let rate = options.rate_max.map(|max| rate::Rate::new(max, Arc::clone(&clock)));
        Arc::new(Self {
            namespaces,
            engine,
            clock,
            room: body::Room::new(options.body_bytes_max),
            rate,
            sql: sql::Desk::default(),
            known: gate::Known::default(),
            options,
        })
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// A sidecar that listens. It answers until [`Sidecar::stop`].
#[derive(Debug)]
pub struct Sidecar {
    address: SocketAddr,
    connections: Arc<Connections>,
    stopping: CancellationToken,
    task: JoinHandle<()>,
    api: Option<Arc<Api>>,
}

impl Sidecar {
    /// Listens on `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// 58030 when the address cannot be had.
    pub async fn start(address: SocketAddr, state: State, options: &Options) -> Result<Self> {
        let taken = |error: std::io::Error| {
            Error::new(SqlState::IO_ERROR, format!("cannot listen on {address} for HTTP: {error}"))
                .hint("Choose another address with --http-listen; port 0 picks a free one.")
                .source(error)
        };
        let tcp = TcpListener::bind(address).await.map_err(taken)?;
        let address = tcp.local_addr().map_err(taken)?;
        let (stopping, connections) = (CancellationToken::new(), Arc::<Connections>::default());
        let (clock, api) = (Arc::clone(&state.clock), state.api.clone());
        let shared = listener::Shared::new(
            router(state, options),
            options,
            clock,
            Arc::clone(&connections),
            stopping.clone(),
        );
        let task = tokio::spawn(listener::Listener { tcp, shared }.run());
        Ok(Self { address, connections, stopping, task, api })
    }

    /// What its connections went through; it goes on counting while the sidecar runs.
    #[must_use]
    pub fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.connections)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and ends with the last answer that is on its way, or with `grace`.
    pub async fn stop(mut self, grace: impl Future<Output = ()>) {
        self.stopping.cancel();
        tokio::select! {
            ended = &mut self.task => if let Err(error) = ended {
                tracing::error!(%error, "the HTTP task failed");
            },
            () = grace => {
                tracing::warn!("requests over HTTP were cut off");
                self.task.abort();
            }
        }
        if let Some(api) = &self.api {
            api.sql.stop().await;
        }
    }
}

fn router(state: State, options: &Options) -> Router {
    let every = request::Every {
        metrics: Arc::clone(&state.metrics),
        clock: Arc::clone(&state.clock),
        time_max: options.request_time_max,
    };
    let mut health = Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready));
    let mut metrics = Router::new().route("/metrics", get(metrics::render));
    if let Some(api) = &state.api {
        let gate = |is_open| {
            middleware::from_fn_with_state((Arc::clone(api), is_open), gate::pass_unless_open)
        };
        health = health.route_layer(gate(options.open_health));
        metrics = metrics.route_layer(gate(options.open_metrics));
    }
    let api = state.api.clone().map_or_else(Router::new, api_router);
    health
        .merge(metrics)
        .with_state(state)
        .merge(console::router())
        .merge(api)
        .route("/openapi.json", get(openapi))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(every, request::take))
}

/// What is asked of data. Whoever asks is known before it is looked at what for.
fn api_router(api: Arc<Api>) -> Router {
    namespaces::routes()
        .merge(webhooks::routes())
        .merge(sql::routes())
        .route("/v1/{*rest}", any(nowhere))
        .route("/v2/{*rest}", any(nowhere))
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), gate::pass))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), cors::allow))
        .layer(middleware::from_fn(body::compressed))
        .with_state(api)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn nowhere(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn no_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method")
}
