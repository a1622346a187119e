//! The sidecar: health, metrics and the JSON API of namespaces over HTTP. Only this room knows axum.
//!
//! ```text
//!   GET /livez      the process answers
//!   GET /healthz    nothing is broken that only a restart could mend
//!   GET /readyz     statements can be served now
//!   GET /metrics    Prometheus' text format
//!   /v1/webhooks    webhooks
//!   /v1, /v2        namespaces: gate (who asks), body (JSON in and out), refusal (what fails)
//! ```

mod body;
mod gate;
mod health;
mod metrics;
mod namespaces;
mod refusal;
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
        let stopping = CancellationToken::new();
        let served = axum::serve(listener, router(state))
            .with_graceful_shutdown(stopping.clone().cancelled_owned());
        let task = tokio::spawn(served.into_future());
        Ok(Self { address, stopping, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and ends with the last answer that is on its way, or with `grace`.
    pub async fn stop(self, grace: impl Future<Output = ()>) {
        self.stopping.cancel();
        let ended = tokio::select! {
            ended = self.task => ended,
            () = grace => {
                tracing::warn!("requests over HTTP were cut off");
                return;
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the HTTP listener failed"),
            Err(error) => tracing::error!(%error, "the HTTP task failed"),
        }
    }
}

fn router(state: State) -> Router {
    let api = state.api.clone().map_or_else(Router::new, namespaces::router);
    Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::render))
        .with_state(state)
        .merge(api)
}
