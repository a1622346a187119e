//! The simple protocol: a text of several statements, results as text, one transaction unless
//! the text says otherwise.

use super::{
    connection::Connection, fault::Fault, message::Format, response, rows::Cursor, watch::watched,
};
use crate::{
    error::{Error, SqlState},
    session::{Outcome, Statement},
};
use pgwire::messages::response::EmptyQueryResponse;

impl Connection {
    /// Runs the statements of a text until one fails.
    pub(super) async fn query(&mut self, sql: &str) -> Result<(), Fault> {
        self.statements.remove("");
        self.portals.remove("");
        let statements = self.session.parse(sql)?;
        if statements.is_empty() {
            self.wire.send(&EmptyQueryResponse::new())?;
            return Ok(());
        }
        if statements.len() > 1 {
            self.session.begin_implicit_block();
        }
        let mut statements = statements.into_iter().peekable();
        while let Some(statement) = statements.next() {
            let tag = self.run_statement(statement).await?;
            // The client learns that a statement is done when nothing can undo it any more.
            if statements.peek().is_none() {
                self.commit().await?;
            }
            self.complete(tag)?;
            self.end_portals();
        }
        Ok(())
    }

    /// Runs one statement up to its command tag; `None` for the empty statement.
    async fn run_statement(&mut self, statement: Statement) -> Result<Option<String>, Fault> {
        let Self { wire, session, canceller, .. } = self;
        let prepared = watched(wire, canceller, session.prepare(Some(statement), &[])).await?;
        if !prepared.parameters().is_empty() {
            let message = "there is no parameter $1";
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message).into());
        }
        match watched(wire, canceller, session.execute(&prepared, Vec::new())).await? {
            Outcome::Empty => Ok(None),
            Outcome::Done(tag) => Ok(Some(tag)),
            Outcome::Rows(rows) => {
                wire.send(&response::row_description(&rows.columns, |_| Format::Text))?;
                let mut cursor = Cursor::new(rows, Vec::new());
                let style = session.style();
                let sent = cursor.send(wire, canceller, &style, None).await?;
                Ok(Some(cursor.tag(sent.rows)))
            }
            Outcome::CopyIn(copy) => self.copy_in(*copy).await.map(Some),
            Outcome::CopyOut(copy) => self.copy_out(copy).await.map(Some),
        }
    }
}
