//! Connections: accepted while there is room, encrypted or not, and ended when their client takes too
//! long to say what it wants.
//!
//! Where there is a certificate, the first byte tells what a client speaks: a handshake begins with one
//! that no request begins with. So one port serves both, as the Postgres port does.

use super::{Options, linger::Lingering};
use crate::{clock::SharedClock, tls::Encryption};
use axum::{Router, body::Body, extract::Request, http::header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a client may take over a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a client may take over the head of a request, and between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(20);
/// How many headers a request may have, and how long its head may be.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long to wait before accepting again after the system refused.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After so long without a word a client is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long an answer may wait for a client that does not read.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// The first byte of every handshake.
const HANDSHAKE: u8 = 0x16;

/// What the connections went through, since the start.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that are open.
    pub open: AtomicU64,
    /// Those that were accepted.
    pub accepted_total: AtomicU64,
    /// Those that were turned away since there were too many.
    pub refused_total: AtomicU64,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// A listener and what it serves.
pub(super) struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) shared: Arc<Shared>,
}

/// What connections have in common.
pub(super) struct Shared {
    router: Router,
    encryption: Encryption,
    clock: SharedClock,
    slots: Arc<Semaphore>,
    connections: Arc<Connections>,
    stopping: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        router: Router,
        options: &Options,
        clock: SharedClock,
        connections: Arc<Connections>,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            router,
            encryption: options.encryption.clone(),
            clock,
            slots: Arc::new(Semaphore::new(options.connections_max)),
            connections,
            stopping,
        })
    }
}

impl Listener {
    /// Serves until it is told to stop, and until the last answer is on its way.
    pub(super) async fn run(self) {
        let Self { tcp, shared } = self;
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = shared.stopping.cancelled() => break,
                accepted = tcp.accept() => match accepted {
                    Ok((socket, peer)) => accept(&mut tasks, &shared, socket, peer),
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection over HTTP");
                        shared.clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(tcp);
        while tasks.join_next().await.is_some() {}
    }
}

fn accept(tasks: &mut JoinSet<()>, shared: &Arc<Shared>, socket: TcpStream, peer: SocketAddr) {
    shared.connections.accepted_total.fetch_add(1, Relaxed);
    let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned() else {
        shared.connections.refused_total.fetch_add(1, Relaxed);
        if shared.encryption.identity().is_none() {
            // A new socket has room for it; a client that is gone need not hear it.
            let _ = socket.try_write(&plain_answer(
                "503 Service Unavailable",
                "too many connections; try again",
            ));
        }
        return;
    };
    // Answers are written whole, and none should wait for more to say.
    let _ = socket.set_nodelay(true);
    // Who neither reads nor says that he is there makes room for others.
    let kept = SockRef::from(&socket);
    let _ = kept.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let _ = kept.set_tcp_user_timeout(Some(UNREAD_MAX));
    let shared = Arc::clone(shared);
    tasks.spawn(async move {
        shared.connections.open.fetch_add(1, Relaxed);
        if let Err(error) = serve(socket, peer, &shared).await {
            tracing::debug!(%peer, error, "a connection over HTTP ended");
        }
        shared.connections.open.fetch_sub(1, Relaxed);
        drop(slot);
    });
}

/// Serves one client to its end.
async fn serve(socket: TcpStream, peer: SocketAddr, shared: &Shared) -> Result<(), String> {
    let Some(identity) = shared.encryption.identity() else {
        return converse(socket, peer, shared).await;
    };
    let certified = identity.current();
    let accepted = tokio::select! {
        accepted = async {
            let mut first = [0];
            if socket.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
                return io::Result::Ok(Accepted::Plain(socket));
            }
            let acceptor = TlsAcceptor::from(Arc::clone(&certified.http));
            Ok(Accepted::Encrypted(Box::new(acceptor.accept(socket).await?)))
        } => accepted.map_err(|error| error.to_string())?,
        () = shared.clock.sleep(HANDSHAKE_MAX) => return Err("no handshake in time".into()),
        () = shared.stopping.cancelled() => return Ok(()),
    };
    match accepted {
        Accepted::Encrypted(socket) => converse(*socket, peer, shared).await,
        Accepted::Plain(socket) if !shared.encryption.is_required() => {
            converse(socket, peer, shared).await
        }
        Accepted::Plain(socket) => {
            let answer = plain_answer("403 Forbidden", "this port speaks HTTPS only");
            let _ = socket.try_write(&answer);
            Err("it was not encrypted".into())
        }
    }
}

enum Accepted {
    Plain(TcpStream),
    Encrypted(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Answers requests until the client, or the node, is done.
async fn converse<S>(socket: S, peer: SocketAddr, shared: &Shared) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let waits = request.headers().contains_key(header::EXPECT);
        let clock = SharedClock::clone(&shared.clock);
        let mut request: Request =
            request.map(|body| Body::new(Lingering::new(body, waits, clock)));
        request.extensions_mut().insert(Peer(peer));
        shared.router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(|error| error.to_string())
}

/// An answer to a client that is not let in, which says so in the form of every refusal.
fn plain_answer(status: &str, message: &str) -> Vec<u8> {
    let body = serde_json::json!({ "status": "error", "error": message }).to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
