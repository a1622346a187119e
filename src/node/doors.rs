//! The doors: PostgreSQL's protocol, and HTTP.

use super::{checks::NodeChecks, ground::Ground, setup::Setup};
use crate::{
    config::{Config, Tls},
    error::Result,
    http::{self, Api, Sidecar},
    namespaces::Namespaces,
    server::{self, Counters, Server},
    session::Engine,
    tls::{Encryption, Identity},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The doors, open.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) encryption: Encryption,
    pub(super) pg_addr: SocketAddr,
    pub(super) counters: Arc<Counters>,
    pub(super) stop_server: CancellationToken,
    pub(super) server: JoinHandle<()>,
    pub(super) namespaces: Arc<Namespaces>,
    pub(super) sidecar: Sidecar,
}

impl Doors {
    pub(super) async fn open(setup: &Setup, ground: &Ground, engine: &Arc<Engine>) -> Result<Self> {
        let Setup { config, clock, metrics, .. } = setup;
        let encryption = encryption(config)?;
        let options = server::Options {
            connections_max: config.max_connections,
            authentication_timeout: config.auth_timeout,
            shutdown_grace: config.shutdown_timeout,
            encryption: encryption.clone(),
            clock: Arc::clone(clock),
            ..server::Options::default()
        };
        let server = Server::bind(config.pg_listen, options, Arc::clone(engine)).await?;
        let (pg_addr, counters) = (server.local_addr(), server.counters());
        let stop_server = CancellationToken::new();
        let server = tokio::spawn(server.run(stop_server.clone()));

        let namespaces = Namespaces::new(Arc::clone(engine), Arc::clone(clock));
        let options = http_options(config, &encryption);
        let api = Api::new(
            Arc::clone(&namespaces),
            Arc::clone(engine),
            Arc::clone(clock),
            options.clone(),
        );
        let (store, writer) = (ground.store.clone(), ground.writer);
        let state = http::State {
            checks: NodeChecks::new(store, Arc::clone(engine), Arc::clone(metrics), writer),
            metrics: Arc::clone(metrics),
            api: Some(api),
            clock: Arc::clone(clock),
        };
        let sidecar = Sidecar::start(config.http_listen, state, &options).await?;
        Ok(Self { encryption, pg_addr, counters, stop_server, server, namespaces, sidecar })
    }
}

/// What clients find that ask for encryption, on both ports.
fn encryption(config: &Config) -> Result<Encryption> {
    let read = |cert, key| Identity::read(cert, key).map(Arc::new);
    Ok(match config.tls() {
        Tls::Off => Encryption::None,
        Tls::Offered { cert, key } => Encryption::Offered(read(cert, key)?),
        Tls::Required { cert, key } => Encryption::Required(read(cert, key)?),
    })
}

fn http_options(config: &Config, encryption: &Encryption) -> http::Options {
    let http = &config.http;
    http::Options {
        encryption: encryption.clone(),
        open_health: http.open_health,
        open_metrics: http.open_metrics,
        origins: http.origins.clone(),
        rate_max: (http.rate_limit > 0).then_some(http.rate_limit),
        request_time_max: http.timeout,
        connections_max: http.max_connections,
        body_bytes_max: usize::try_from(http.max_body).unwrap_or(usize::MAX),
    }
}
