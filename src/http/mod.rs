//! The sidecar: health, metrics and the JSON API of namespaces over HTTP. Only this room knows axum.
//!
//! ```text
//!   GET /livez      the process answers
//!   GET /healthz    nothing is broken that only a restart could mend
//!   GET /readyz     statements can be served now
//!   GET /metrics    Prometheus' text format
//!   /v1/webhooks    webhooks
//!   GET /            the console, and its parts under /console
//!   POST /v1/sql    statements in a session of their own
//!   /v1, /v2        namespaces: gate (who asks), body (JSON in and out), refusal (what fails)
//! ```

mod body;
mod console;
mod gate;
mod health;
mod metrics;
mod namespaces;
mod refusal;
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
use axum::{Router, routing::get};
pub use health::{Check, Checks, Fault};
use std::{fmt, future::IntoFuture as _, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What the sidecar shows.
#[derive(Clone)]
pub struct State {
    /// Who knows how the node does.
    pub checks: Arc<dyn Checks>,
    /// What the node counted.
    pub metrics: Arc<Metrics>,
    /// What the JSON API serves; nothing of it where this is `None`.
    pub api: Option<Arc<Api>>,
}

/// What the JSON API serves.
#[derive(Debug)]
pub struct Api {
    namespaces: Arc<Namespaces>,
    engine: Arc<Engine>,
    clock: SharedClock,
    room: body::Room,
    sql: sql::Desk,
    known: gate::Known,
}

impl Api {
    /// Over the namespaces of an engine.
    #[must_use]
    pub fn new(namespaces: Arc<Namespaces>, engine: Arc<Engine>, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            namespaces,
            engine,
            clock,
            room: body::Room::default(),
            sql: sql::Desk::default(),
            known: gate::Known::default(),
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
    stopping: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
    api: Option<Arc<Api>>,
}

impl Sidecar {
    /// Listens on `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// 58030 when the address cannot be had.
    pub async fn start(address: SocketAddr, state: State) -> Result<Self> {
        let taken = |error: std::io::Error| {
            Error::new(SqlState::IO_ERROR, format!("cannot listen on {address} for HTTP: {error}"))
                .hint("Choose another address with --http-listen; port 0 picks a free one.")
                .source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let (stopping, api) = (CancellationToken::new(), state.api.clone());
        let served = axum::serve(listener, router(state))
            .with_graceful_shutdown(stopping.clone().cancelled_owned());
        let task = tokio::spawn(served.into_future());
        Ok(Self { address, stopping, task, api })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and ends with the last answer that is on its way, or with `grace`.
    pub async fn stop(self, grace: impl Future<Output = ()>) {
        self.stopping.cancel();
        tokio::select! {
            ended = self.task => match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the HTTP listener failed"),
                Err(error) => tracing::error!(%error, "the HTTP task failed"),
            },
            () = grace => tracing::warn!("requests over HTTP were cut off"),
        }
        if let Some(api) = &self.api {
            api.sql.stop().await;
        }
    }
}

fn router(state: State) -> Router {
    let api = state.api.clone().map_or_else(Router::new, |api| {
        namespaces::router(Arc::clone(&api)).merge(sql::router(api))
    });
    Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::render))
        .with_state(state)
        .merge(console::router())
        .merge(api)
}
