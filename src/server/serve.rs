//! One client from its first byte to its last. After the greeting, messages are taken one by one;
//! an error in one of the extended protocol's is followed by silence until Sync:
//!
//! ```text
//!            greet                 message, error of a simple query
//!  accepted ───────> ready <──────────────────────────┐
//!     │                │ ──────────────────────────────┘
//!     │ fatal          │ error in Parse, Bind, …          Sync
//!     v                v                      ┌──────────────────────> ready
//!   closed         skipping until Sync ───────┘
//! ```

use super::{
    authenticate,
    cancel::Registration,
    connection::Connection,
    fault::Fault,
    message::{Frame, Message},
    response,
    shared::Shared,
    startup,
    wire::{Socket, Wire},
};
use crate::{
    error::{Error, SqlState},
    scram,
    session::{Canceller, Session, Start, TransactionStatus},
};
use bytes::Bytes;
use pgwire::messages::startup::{BackendKeyData, ParameterStatus, SecretKey};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

/// Serves one client to its end.
pub(super) async fn serve(socket: Box<dyn Socket>, peer: Option<SocketAddr>, shared: Arc<Shared>) {
    let clock = Arc::clone(&shared.options.clock);
    let (counters, is_local) = (Arc::clone(&shared.counters), peer.is_none());
    let mut wire = Wire::new(socket, is_local, counters, Arc::clone(&clock));
    let greeting = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => Err(Fault::Fatal(stopping())),
        greeting = greet(&mut wire, peer, &shared) => greeting,
        () = clock.sleep(shared.options.authentication_timeout) => {
            let message = "canceling authentication due to timeout";
            Err(Fault::Fatal(Error::new(SqlState::QUERY_CANCELED, message)))
        }
    };
    let (wire, ended) = match greeting {
        Ok(None) => (wire, Ok(())),
        Ok(Some(greeted)) => {
            let mut connection = greeted.connection(wire, Arc::clone(&shared));
            let ended = connection.run().await;
            connection.session.close().await;
            (connection.wire, ended)
        }
        Err(fault) => {
            shared.counters.connections_refused_total.fetch_add(1, Relaxed);
            (wire, Err(fault))
        }
    };
    end(wire, ended, &shared).await;
}

/// Tells the client why, where it is still there.
async fn end(mut wire: Wire, ended: Result<(), Fault>, shared: &Shared) {
    match ended {
        Ok(()) => {}
        Err(Fault::Gone(error)) => debug!(%error, "a client went away"),
        Err(Fault::Error(error) | Fault::Fatal(error)) => {
            debug!(state = %error.state(), %error, "a connection was ended");
            shared.counters.errors_total.fetch_add(1, Relaxed);
            shared.engine.count_error(error.state());
            if wire.send(&response::fatal(&error)).is_ok() {
                wire.close().await;
            }
        }
    }
}

fn stopping() -> Error {
    Error::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

/// A session that has been announced to its client.
struct Greeted {
    session: Session,
    canceller: Canceller,
    registration: Registration,
    slot: OwnedSemaphorePermit,
}

impl Greeted {
    fn connection(self, wire: Wire, shared: Arc<Shared>) -> Connection {
        Connection {
            shared,
            wire,
            session: self.session,
            canceller: self.canceller,
            statements: HashMap::new(),
            portals: HashMap::new(),
            _registration: self.registration,
            _slot: self.slot,
        }
    }
}

/// Negotiates, authenticates and opens a session; `None` when the client did not want one.
async fn greet(
    wire: &mut Wire,
    peer: Option<SocketAddr>,
    shared: &Shared,
) -> Result<Option<Greeted>, Fault> {
    let Some(startup) = startup::negotiate(wire, shared).await? else { return Ok(None) };
    authenticate::authenticate(wire, shared, &startup.role).await?;
    let slot = Arc::clone(&shared.slots).try_acquire_owned().map_err(|_| {
        Fault::Fatal(Error::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"))
    })?;

    let process_id = shared.registry.process_id();
    let session = shared.engine.session(Start {
        role: startup.role,
        database: startup.database,
        parameters: startup.parameters,
        process_id,
        client: peer,
    })?;
    for (name, value) in session.parameters() {
        wire.send(&ParameterStatus::new(name.to_owned(), value))?;
    }
    let key = match startup.version {
        startup::VERSION_3_2 => Bytes::copy_from_slice(&scram::secret::<32>()),
        _ => Bytes::copy_from_slice(&scram::secret::<4>()),
    };
    wire.send(&BackendKeyData::new(process_id, SecretKey::Bytes(key.clone())))?;
    let canceller = session.canceller();
    let registration = shared.registry.register(process_id, key, canceller.clone());
    debug!(process_id, ?peer, "session opened");
    Ok(Some(Greeted { session, canceller, registration, slot }))
}

impl Connection {
    /// Takes messages until the client says goodbye.
    async fn run(&mut self) -> Result<(), Fault> {
        let large = self.shared.options.message_bytes_max;
        let stopping_token = self.shared.stopping.clone();
        let mut skipping = false;
        // Whether the client was told that the next message may come, and has sent none since.
        let mut rests = true;
        self.ready().await?;
        loop {
            let idle = self.session.idle_limit();
            let clock = Arc::clone(&self.shared.options.clock);
            let too_long = async {
                match idle {
                    Some((limit, error)) => {
                        clock.sleep(limit).await;
                        error
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(too_long);
            let frame = loop {
                let may_tell = rests && self.session.status() == TransactionStatus::Idle;
                tokio::select! {
                    biased;
                    () = stopping_token.cancelled() => return Err(Fault::Fatal(stopping())),
                    error = &mut too_long => return Err(Fault::Fatal(error)),
                    frame = self.wire.frame(|kind| Frame::bytes_max(kind, large)) => break frame?,
                    () = self.session.is_told(), if may_tell => self.tell_notifications()?,
                }
                tokio::select! {
                    biased;
                    () = stopping_token.cancelled() => return Err(Fault::Fatal(stopping())),
                    error = &mut too_long => return Err(Fault::Fatal(error)),
                    flushed = self.wire.flush() => flushed?,
                }
            };
            let Some(frame) = frame else { return Ok(()) };
            if skipping && !frame.is_sync() && !frame.is_terminate() {
                continue;
            }
            let is_extended = frame.is_extended();
            skipping = false;
            rests = frame.is_answered_by_ready();
            match self.take(frame).await {
                Ok(Step::Next) => {}
                Ok(Step::Goodbye) => return Ok(()),
                Err(Fault::Error(error)) => {
                    self.fail(&error).await?;
                    match is_extended {
                        true => skipping = true,
                        false => self.ready().await?,
                    }
                    rests = !skipping;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<Step, Fault> {
        match frame.message()? {
            Message::Query(sql) => {
                self.query(&sql).await?;
                self.ready().await?;
            }
            Message::Parse { name, sql, types } => self.parse(name, &sql, &types).await?,
            Message::Bind(bind) => self.bind(bind)?,
            Message::Describe(target) => self.describe(&target)?,
            Message::Execute { portal, rows_max } => self.execute(portal, rows_max).await?,
            Message::Close(target) => self.close(&target)?,
            Message::Flush => self.wire.flush().await?,
            Message::Sync => {
                self.commit().await?;
                self.end_portals();
                self.ready().await?;
            }
            Message::Terminate => return Ok(Step::Goodbye),
            // The rest of a COPY that failed; its sender has not read the error yet.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {}
        }
        self.wire.relieve().await?;
        Ok(Step::Next)
    }
}

enum Step {
    Next,
    Goodbye,
}
