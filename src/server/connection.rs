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
    Fault, Shared, authenticate,
    cancel::Registration,
    extended::Portal,
    message::{Frame, Message, violation},
    response, startup,
    wire::{Socket, Wire},
};
use crate::{
    error::{Error, ErrorKind, SqlState},
    scram,
    session::{Canceller, Event, Prepared, Session, Start, TransactionStatus},
};
use bytes::Bytes;
use pgwire::messages::startup::{BackendKeyData, ParameterStatus, SecretKey};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, error};

/// A client that is let in.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) session: Session,
    pub(super) canceller: Canceller,
    /// Prepared statements by name; the unnamed one has the empty name.
    pub(super) statements: HashMap<String, Arc<Prepared>>,
    /// Portals of the transaction by name; likewise.
    pub(super) portals: HashMap<String, Portal>,
    _registration: Registration,
    _slot: OwnedSemaphorePermit,
}

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
            let frame = tokio::select! {
                biased;
                () = stopping_token.cancelled() => return Err(Fault::Fatal(stopping())),
                error = too_long => return Err(Fault::Fatal(error)),
                frame = self.wire.frame(|kind| Frame::bytes_max(kind, large)) => frame?,
            };
            let Some(frame) = frame else { return Ok(()) };
            if skipping && !frame.is_sync() && !frame.is_terminate() {
                continue;
            }
            let is_extended = frame.is_extended();
            skipping = false;
            match self.take(frame).await {
                Ok(Step::Next) => {}
                Ok(Step::Goodbye) => return Ok(()),
                Err(Fault::Error(error)) => {
                    self.fail(&error).await?;
                    match is_extended {
                        true => skipping = true,
                        false => self.ready().await?,
                    }
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

    /// Says that the next message may come.
    async fn ready(&mut self) -> Result<(), Fault> {
        self.tell_events()?;
        self.wire.send(&response::ready(self.session.status()))?;
        Ok(self.wire.flush().await?)
    }

    /// Undoes what the message did, and says why.
    async fn fail(&mut self, error: &Error) -> Result<(), Fault> {
        self.session.fail();
        self.portals.clear();
        match error.kind() {
            ErrorKind::Internal | ErrorKind::Corrupt => error!(?error, "a statement failed"),
            _ => debug!(?error, "a statement failed"),
        }
        // What the failed statement had to say comes first; nothing of it can fail it again.
        let _ = self.tell_events();
        self.shared.counters.errors_total.fetch_add(1, Relaxed);
        self.shared.engine.count_error(error.state());
        self.wire.send(&response::error(error))?;
        Ok(self.wire.flush().await?)
    }

    /// Ends the implicit transaction, if there is one.
    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        let Self { wire, session, canceller, .. } = self;
        Ok(watched(wire, canceller, session.commit_implicit()).await?)
    }

    /// Portals die with their transaction.
    pub(super) fn end_portals(&mut self) {
        if self.session.status() == TransactionStatus::Idle {
            self.portals.clear();
        }
    }

    /// Tells the client what the session has to say beside results.
    ///
    /// # Errors
    /// 26000 when the statement named a prepared statement that is not here.
    pub(super) fn tell_events(&mut self) -> Result<(), Error> {
        let mut unknown = None;
        for event in self.session.take_events() {
            match event {
                Event::Notice(notice) => {
                    self.wire.send(&response::notice(notice.severity, &notice.message))?;
                }
                Event::Parameter(name, value) => {
                    self.wire.send(&ParameterStatus::new(name.to_string(), value))?;
                }
                Event::Deallocate(None) => self.statements.clear(),
                Event::Deallocate(Some(name)) => {
                    if self.statements.remove(&name).is_none() {
                        unknown = Some(unknown_statement(&name));
                    }
                }
            }
        }
        unknown.map_or(Ok(()), Err)
    }

    /// The next message of a client that is asked for data.
    pub(super) async fn data(&mut self) -> Result<Message, Fault> {
        let large = self.shared.options.message_bytes_max;
        let frame = tokio::select! {
            biased;
            stopped = self.canceller.stopped() => return Err(stopped.into()),
            frame = self.wire.frame(|kind| Frame::bytes_max(kind, large)) => frame?,
        };
        let Some(frame) = frame else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        let kind = frame.kind;
        match frame.message()? {
            message @ (Message::CopyData(_)
            | Message::CopyDone
            | Message::CopyFail(_)
            | Message::Flush
            | Message::Sync) => Ok(message),
            Message::Terminate => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
            _ => Err(violation(format!(
                "unexpected message type 0x{kind:02X} during COPY from stdin"
            ))
            .into()),
        }
    }
}

enum Step {
    Next,
    Goodbye,
}

pub(super) fn unknown_statement(name: &str) -> Error {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

/// Waits for `work`, and cancels it when the client goes away meanwhile. Work that is ready at
/// once costs no look at the socket.
pub(super) async fn watched<T>(
    wire: &mut Wire,
    canceller: &Canceller,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = wire.vanished() => {}
    }
    debug!("the client vanished; its statement is cancelled");
    canceller.cancel();
    work.await
}
