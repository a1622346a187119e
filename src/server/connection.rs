//! A client that is let in, and what every message of it may need: its session, what it has prepared, and
//! what it is told beside answers.

use super::{
    cancel::Registration,
    fault::Fault,
    message::{Frame, Message, violation},
    portal::Portal,
    response,
    shared::Shared,
    watch::watched,
    wire::Wire,
};
use crate::{
    error::{Error, ErrorKind, SqlState},
    session::{Canceller, Event, Notification, Prepared, Session, TransactionStatus},
};
use pgwire::messages::{
    response::{CommandComplete, EmptyQueryResponse, NotificationResponse},
    startup::ParameterStatus,
};
use std::{
    collections::HashMap,
    io,
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
    /// As long as it lives, the client can be cancelled,
    pub(super) _registration: Registration,
    /// and there is one place less for others.
    pub(super) _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// Says that the next message may come.
    pub(super) async fn ready(&mut self) -> Result<(), Fault> {
        self.tell_events()?;
        self.tell_notifications()?;
        self.wire.send(&response::ready(self.session.status()))?;
        Ok(self.wire.flush().await?)
    }

    /// Undoes what the message did, and says why.
    pub(super) async fn fail(&mut self, error: &Error) -> Result<(), Fault> {
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

    /// Says that a statement is done.
    pub(super) fn complete(&mut self, tag: Option<String>) -> Result<(), Error> {
        self.tell_events()?;
        match tag {
            Some(tag) => self.wire.send(&CommandComplete::new(tag)),
            None => self.wire.send(&EmptyQueryResponse::new()),
        }
    }

    /// Tells the client what came on channels that it listens to.
    pub(super) fn tell_notifications(&mut self) -> Result<(), Error> {
        for Notification { process_id, channel, payload } in self.session.take_notifications() {
            let (channel, payload) = (channel.to_string(), payload.to_string());
            self.wire.send(&NotificationResponse::new(process_id, channel, payload))?;
        }
        Ok(())
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

pub(super) fn unknown_statement(name: &str) -> Error {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}
