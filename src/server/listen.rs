//! The places where clients come in: a TCP port, and a file for those of this machine.

use super::{options::Options, wire::Socket};
use crate::error::{Error, Result, SqlState};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::{TcpStream, UnixListener};
use tracing::{info, warn};

/// The socket file that local clients use instead of TCP; removed when the server ends.
pub(super) struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalListener {
    pub(super) fn bind(path: &Path) -> Result<Self> {
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
    pub(super) async fn accept(this: Option<&Self>) -> io::Result<Box<dyn Socket>> {
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
    pub(super) fn tune(&self, socket: &TcpStream) {
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

/// A place that cannot be had, and what to do about it.
pub(super) fn cannot_listen(place: &str, flag: &str, error: io::Error) -> Error {
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
