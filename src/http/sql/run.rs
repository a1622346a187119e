//! Runs the statements of a request one after the other, and tells what they give as it comes.
//!
//! Several statements are one transaction, unless they say otherwise, as in a text that comes by
//! the other wire. The first fault ends the request.

use super::{parameters, value::RowWriter};
use crate::{
    clock::SharedClock,
    error::{Error, ErrorKind, Result, SqlState},
    pgtype::style::Style,
    session::{
        Canceller, Engine, Event as Told, Notice, Outcome, OutputColumn, Rows, Session, Start,
        Statement, TransactionStatus,
    },
};
use futures::StreamExt;
use serde_json::Value;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// Rows are handed on in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// A piece of an answer.
pub(super) enum Event {
    /// A statement gives rows of these columns.
    Columns(Arc<[OutputColumn]>),
    /// Some of them: JSON arrays with commas between them.
    Rows(Vec<u8>),
    /// A statement is done.
    Done(Done),
    /// A statement failed, and with it the request.
    Failed(Box<Failed>),
    /// All are done.
    End,
}

/// The end of a statement.
pub(super) struct Done {
    /// `SELECT 3`; `None` for the empty statement.
    pub(super) tag: Option<String>,
    /// The rows that it gave and that are in the answer.
    pub(super) rows: u64,
    /// Whether there are more.
    pub(super) is_truncated: bool,
    pub(super) notices: Vec<Notice>,
    pub(super) took: Duration,
}

/// What went wrong, and where.
pub(super) struct Failed {
    pub(super) error: Error,
    /// Which statement, from 0.
    pub(super) statement: usize,
    pub(super) notices: Vec<Notice>,
}

/// What an answer may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Rows of each result.
    pub(super) rows: u64,
    /// Bytes of rows altogether.
    pub(super) bytes: usize,
}

/// What is to be run.
pub(super) struct Statements {
    pub(super) text: String,
    pub(super) parameters: Vec<Value>,
    pub(super) read_only: bool,
    pub(super) limits: Limits,
    pub(super) clock: SharedClock,
    pub(super) stopping: CancellationToken,
}

/// The client does not want the rest.
struct Gone;

/// Why a statement ended early.
enum Ended {
    Gone,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Statements {
    /// Runs them in a session that begins and ends here.
    pub(super) async fn run(self, engine: &Arc<Engine>, start: Start, sender: Sender<Event>) {
        let mut session = match engine.session(start) {
            Ok(session) => session,
            Err(error) => {
                engine.count_error(error.state());
                let _ = sender.send(failure(error, 0, Vec::new())).await;
                return;
            }
        };
        if self.read_only {
            session.forbid_writes();
        }
        let (canceller, stopping) = (session.canceller(), &self.stopping);
        let client = Client { engine, canceller, stopping, sender };
        self.run_all(&mut session, &client).await;
        session.close().await;
    }

    async fn run_all(&self, session: &mut Session, client: &Client<'_>) {
        let statements = match session.parse(&self.text) {
            Ok(statements) => statements,
            Err(error) => return client.fail(session, error, 0).await,
        };
        let count = statements.len();
        if count > 1 && !self.parameters.is_empty() {
            let error = Error::new(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            )
            .hint("Send statements with params one by one.");
            return client.fail(session, error, 0).await;
        }
        if count > 1 {
            session.begin_implicit_block();
        }
        let mut bytes_left = self.limits.bytes;
        let statements: Vec<Option<Statement>> = match count {
            0 => vec![None],
            _ => statements.into_iter().map(Some).collect(),
        };
        for (place, statement) in statements.into_iter().enumerate() {
            let is_last = place + 1 >= count;
            let ran = self.run_one(session, client, statement, is_last, &mut bytes_left).await;
            match ran {
                Ok(()) => {}
                Err(Ended::Gone) => return,
                Err(Ended::Failed(error)) => return client.fail(session, error, place).await,
            }
        }
        if session.status() != TransactionStatus::Idle {
            let error = Error::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "the transaction was left open and is rolled back",
            )
            .hint("A request is a session of its own: end its transaction in the same request.");
            return client.fail(session, error, count.saturating_sub(1)).await;
        }
        let _ = client.send(Event::End).await;
    }

    async fn run_one(
        &self,
        session: &mut Session,
        client: &Client<'_>,
        statement: Option<Statement>,
        is_last: bool,
        bytes_left: &mut usize,
    ) -> Result<(), Ended> {
        let begun = self.clock.elapsed();
        let prepared = client.watch(session.prepare(statement, &[])).await?;
        let style = session.style();
        let values = parameters::parameters(prepared.parameters(), &self.parameters, &style)?;
        let (mut rows, mut is_truncated) = (0, false);
        let tag = match client.watch(session.execute(&prepared, values)).await? {
            Outcome::Empty => None,
            Outcome::Done(tag) => Some(tag),
            Outcome::Rows(given) => {
                let tag = given.tag.clone();
                let style = session.style();
                (rows, is_truncated) = self.send(client, given, &style, bytes_left).await?;
                Some(tag.text(rows))
            }
            Outcome::CopyIn(copy) => {
                copy.undo(session);
                return Err(no_copy("INSERT … SELECT * FROM unnest($1, …)").into());
            }
            Outcome::CopyOut(_) => return Err(no_copy("SELECT with \"stream\": true").into()),
        };
        // The client learns that it is done when nothing can undo it any more.
        if is_last {
            client.watch(session.commit_implicit()).await?;
        }
        let (notices, took) = (notices(session), self.clock.elapsed().saturating_sub(begun));
        client.send(Event::Done(Done { tag, rows, is_truncated, notices, took })).await?;
        Ok(())
    }

    /// Hands on the rows of a result; how many, and whether there are more.
    async fn send(
        &self,
        client: &Client<'_>,
        given: Rows,
        style: &Style,
        bytes_left: &mut usize,
    ) -> Result<(u64, bool), Ended> {
        let Rows { columns, mut stream, .. } = given;
        client.send(Event::Columns(Arc::clone(&columns))).await?;
        let (mut count, mut piece) = (0, Vec::new());
        let is_truncated = 'rows: loop {
            let Some(batch) = client.watch(stream.next()).await else { break false };
            let batch = batch?;
            let writer = RowWriter::new(&columns, &batch, style)?;
            for row in 0..batch.num_rows() {
                let before = piece.len();
                if before > 0 {
                    piece.push(b',');
                }
                writer.row(row, &mut piece)?;
                let size = piece.len() - before;
                if count >= self.limits.rows || size > *bytes_left {
                    piece.truncate(before);
                    break 'rows true;
                }
                *bytes_left -= size;
                count += 1;
                if piece.len() >= PIECE_BYTES {
                    client.send(Event::Rows(std::mem::take(&mut piece))).await?;
                }
            }
        };
        if !piece.is_empty() {
            client.send(Event::Rows(piece)).await?;
        }
        Ok((count, is_truncated))
    }
}

/// Who waits for the answer.
struct Client<'s> {
    engine: &'s Engine,
    canceller: Canceller,
    stopping: &'s CancellationToken,
    sender: Sender<Event>,
}

impl Client<'_> {
    /// Waits for `work`, and cancels it when the client goes away meanwhile, or the server stops.
    async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.sender.closed() => {}
            () = self.stopping.cancelled() => {}
        }
        self.canceller.cancel();
        work.await
    }

    /// Waits until the client has room for it.
    async fn send(&self, event: Event) -> Result<(), Gone> {
        tokio::select! {
            sent = self.sender.send(event) => sent.map_err(|_| Gone),
            () = self.stopping.cancelled() => Err(Gone),
        }
    }

    async fn fail(&self, session: &mut Session, error: Error, statement: usize) {
        session.fail();
        self.engine.count_error(error.state());
        match error.kind() {
            ErrorKind::Internal | ErrorKind::Corrupt => tracing::error!(?error, "a request failed"),
            _ => tracing::debug!(?error, "a request failed"),
        }
        let _ = self.send(failure(error, statement, notices(session))).await;
    }
}

fn failure(error: Error, statement: usize, notices: Vec<Notice>) -> Event {
    Event::Failed(Box::new(Failed { error, statement, notices }))
}

/// What the session has to say beside results.
fn notices(session: &mut Session) -> Vec<Notice> {
    let told = session.take_events().into_iter();
    told.filter_map(|event| match event {
        Told::Notice(notice) => Some(notice),
        Told::Parameter(..) | Told::Deallocate(_) => None,
    })
    .collect()
}

fn no_copy(instead: &str) -> Error {
    Error::unsupported("COPY is not supported over HTTP")
        .hint(format!("Use {instead}, or COPY over the PostgreSQL protocol."))
}
