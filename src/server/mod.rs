//! PostgreSQL's wire protocol, version 3: bytes in, bytes out. Nothing else knows it, and what a
//! statement means is not known here.
//!
//! [`Server`] listens and gives each client a task:
//!
//! ```text
//!   serve                    the task: the greeting (startup, authenticate), then one message after the other
//!   query, extended, copy    what a message asks for becomes calls of a session
//!   connection               what all of them need of a client; portal: what it has bound
//!   rows, response           answers become messages;           message: bytes become messages
//!   watch                    a client that goes away cancels its statement
//!   wire                     the socket and both buffers;   listen: where clients come in
//!   shared, fault            what connections share; how they end badly
//! ```
//!
//! `wire` promises that no more memory is taken than bytes have come, and that whoever makes rows waits
//! for whoever reads them.

mod authenticate;
mod cancel;
mod connection;
mod copy;
mod extended;
mod fault;
mod listen;
mod message;
mod options;
mod portal;
mod query;
mod response;
mod rows;
mod serve;
mod shared;
mod startup;
mod watch;
mod wire;

pub use options::Options;
pub use shared::Counters;

use crate::{error::Result, session::Engine};
use cancel::Registry;
use listen::{LocalListener, cannot_listen};
use shared::Shared;
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use wire::Socket;

/// How long to wait before accepting again after the system refused, for want of descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a cancelled statement has to notice it when the server goes down.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// A listener for PostgreSQL's clients, and the connections that it accepted.
pub struct Server {
    listener: TcpListener,
    local: Option<LocalListener>,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens at `address`; port 0 picks a free one, see [`Server::local_addr`].
    ///
    /// # Errors
    /// 55006 when something else listens there, 58030 when the system refuses otherwise, 22023
    /// when an option is out of bounds.
    pub async fn bind(address: SocketAddr, options: Options, engine: Arc<Engine>) -> Result<Self> {
        options.check()?;
        let refused = |error| cannot_listen(&address.to_string(), "--pg-listen", error);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let local = options.unix_socket.as_deref().map(LocalListener::bind).transpose()?;
        Ok(Self {
            address: listener.local_addr().map_err(refused)?,
            listener,
            local,
            shared: Arc::new(Shared {
                engine,
                counters: Arc::default(),
                registry: Registry::default(),
                mock_key: crate::scram::secret(),
                stopping: CancellationToken::new(),
                slots: Arc::new(Semaphore::new(options.connections_max)),
                options,
            }),
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The counters, which go on counting while the server runs.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves until `shutdown`, then ends in steps:
    ///
    /// 1. nobody is accepted any more, and idle connections are told 57P01;
    /// 2. statements may finish until `shutdown_grace` is over;
    /// 3. what still runs is cancelled;
    /// 4. whoever does not notice within five seconds is cut off.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, local, shared, .. } = self;
        let clock = Arc::clone(&shared.options.clock);
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        shared.options.tune(&socket);
                        accept(&mut tasks, &shared, Box::new(socket), Some(peer));
                    }
                    Err(error) => refused(&error, &shared).await,
                },
                accepted = LocalListener::accept(local.as_ref()) => match accepted {
                    Ok(socket) => accept(&mut tasks, &shared, socket, None),
                    Err(error) => refused(&error, &shared).await,
                },
                Some(ended) = tasks.join_next() => report(ended),
            }
        }
        drop((listener, local));

        shared.stopping.cancel();
        let grace = clock.sleep(shared.options.shutdown_grace);
        if !all_ended(&mut tasks, grace).await {
            shared.registry.cancel_all();
            if !all_ended(&mut tasks, clock.sleep(LAST_GRACE)).await {
                warn!(connections = tasks.len(), "connections cut off");
                tasks.shutdown().await;
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

fn accept(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    socket: Box<dyn Socket>,
    peer: Option<SocketAddr>,
) {
    let counters = &shared.counters;
    counters.connections_total.fetch_add(1, Relaxed);
    let open = Open::new(Arc::clone(counters));
    // Cancel requests and clients that are still authenticating need room beside the sessions;
    // beyond that a flood is dropped before it costs anything.
    if open.connections > shared.options.connections_max.saturating_mul(2).saturating_add(16) {
        counters.connections_refused_total.fetch_add(1, Relaxed);
        return;
    }
    let shared = Arc::clone(shared);
    tasks.spawn(async move {
        serve::serve(socket, peer, shared).await;
        drop(open);
    });
}

/// Counts a connection as open while it lives, also when its task panics.
struct Open {
    counters: Arc<Counters>,
    connections: usize,
}

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        let before = counters.connections_open.fetch_add(1, Relaxed);
        let connections = usize::try_from(before).unwrap_or(usize::MAX).saturating_add(1);
        Self { counters, connections }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.connections_open.fetch_sub(1, Relaxed);
    }
}

async fn refused(error: &io::Error, shared: &Shared) {
    warn!(%error, "could not accept a connection");
    shared.options.clock.sleep(ACCEPT_PAUSE).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(failure) = ended
        && failure.is_panic()
    {
        error!(%failure, "a connection panicked; the others go on");
    }
}

/// Whether every task ended before `deadline`.
async fn all_ended(tasks: &mut JoinSet<()>, deadline: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = async { while let Some(ended) = tasks.join_next().await { report(ended) } } => true,
        () = deadline => false,
    }
}
