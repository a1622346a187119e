//! PostgreSQL's wire protocol, version 3: bytes in, bytes out. Nothing else knows it, and what a
//! statement means is not known here.
//!
//! [`Server`] listens and gives each client a task. A task negotiates and authenticates
//! (`startup`, `authenticate`), then turns messages (`message`) into calls of a session
//! (`connection`, `query`, `extended`, `copy`) and its answers into messages (`rows`, `response`).
//! `wire` holds the socket and both buffers: it promises that no more memory is taken than bytes
//! have come, and that whoever makes rows waits for whoever reads them.

mod authenticate;
mod cancel;
mod connection;
mod copy;
mod extended;
mod message;
mod options;
mod query;
mod response;
mod rows;
mod startup;
mod wire;

pub use options::Options;

use crate::{
    error::{Error, Result, SqlState},
    session::Engine,
};
use cancel::Registry;
use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
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

/// What the connections of a server have in common.
pub(in crate::server) struct Shared {
    engine: Arc<Engine>,
    options: Options,
    counters: Arc<Counters>,
    registry: Registry,
    /// One permit for each session that may be open.
    slots: Arc<Semaphore>,
    /// For verifiers of roles that do not exist.
    mock_key: [u8; 32],
    /// Cancelled when connections have to go.
    stopping: CancellationToken,
}

/// What went through a server since it was bound.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open, whether or not they are authenticated.
    pub connections_open: AtomicU64,
    /// Connections that were accepted.
    pub connections_total: AtomicU64,
    /// Connections that were turned away: too many, or not authenticated.
    pub connections_refused_total: AtomicU64,
    /// Bytes that clients sent.
    pub received_bytes_total: AtomicU64,
    /// Bytes that clients were sent.
    pub sent_bytes_total: AtomicU64,
    /// Messages that clients sent after they were let in.
    pub messages_total: AtomicU64,
    /// Errors that clients were told.
    pub errors_total: AtomicU64,
    /// Cancel requests whose key was right.
    pub cancels_total: AtomicU64,
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

/// A message, or a connection, that did not end well.
#[derive(Debug)]
pub(in crate::server) enum Fault {
    /// The client is told; the connection goes on.
    Error(Error),
    /// The client is told; the connection ends.
    Fatal(Error),
    /// Nobody is there to be told.
    Gone(io::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
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
        connection::serve(socket, peer, shared).await;
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

fn cannot_listen(place: &str, flag: &str, error: io::Error) -> Error {
    let (state, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            SqlState::OBJECT_IN_USE,
            format!("Another server uses it. Stop that one, or choose another place with {flag}."),
        ),
        io::ErrorKind::PermissionDenied => (
            SqlState::IO_ERROR,
            format!("Choose a place that this user may use with {flag}; a port above 1023, say."),
        ),
        _ => (SqlState::IO_ERROR, format!("Choose a place of this machine with {flag}.")),
    };
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        _ => error.to_string(),
    };
    Error::new(state, format!("could not listen on {place} ({flag}): {reason}"))
        .hint(hint)
        .source(error)
}

/// The socket file that local clients use instead of TCP; removed when the server ends.
struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalListener {
    fn bind(path: &Path) -> Result<Self> {
        let refused = |error| cannot_listen(&path.display().to_string(), "--pg-socket", error);
        // A server that was killed leaves its file behind; one that lives answers.
        let stale = std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if stale {
            std::fs::remove_file(path).map_err(refused)?;
        }
        let listener = UnixListener::bind(path).map_err(refused)?;
        info!(path = %path.display(), "listening on a socket file");
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Waits for ever where there is no such listener.
    async fn accept(this: Option<&Self>) -> io::Result<Box<dyn Socket>> {
        match this {
            Some(this) => Ok(Box::new(this.listener.accept().await?.0)),
            None => std::future::pending().await,
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            warn!(%error, path = %self.path.display(), "could not remove the socket file");
        }
    }
}

impl Options {
    /// Small answers leave at once, and a peer whose machine went away is noticed.
    fn tune(&self, socket: &TcpStream) {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(self.keepalive_idle)
            .with_interval(self.keepalive_idle / 6);
        let reference = socket2::SockRef::from(socket);
        let tuned = socket
            .set_nodelay(true)
            .and_then(|()| reference.set_tcp_keepalive(&keepalive))
            .and_then(|()| tune_user_timeout(&reference, self.unacknowledged_max));
        if let Err(error) = tuned {
            warn!(%error, "could not tune a socket");
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn tune_user_timeout(socket: &socket2::SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn tune_user_timeout(_: &socket2::SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}
