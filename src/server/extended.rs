//! The extended protocol: a statement is prepared once (Parse), given values (Bind), and run
//! (Execute), perhaps a few rows at a time. Nothing is committed before Sync.

use super::{
    connection::{Connection, unknown_statement},
    fault::Fault,
    message::{Bind, Format, Target, utf8, violation},
    portal::{Portal, State},
    response,
    rows::{Cursor, format_of},
    watch::watched,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, input::ColumnBuilder, style::Style},
    session::{Outcome, Prepared, TransactionStatus},
};
use arrow::array::ArrayRef;
use bytes::Bytes;
use pgwire::messages::{
    data::{NoData, ParameterDescription},
    extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended},
};
use std::{collections::HashMap, sync::Arc};

/// The oid of the type `unknown`: whoever declares it leaves the choice to the server.
const UNKNOWN_OID: u32 = 705;

impl Connection {
    pub(super) async fn parse(
        &mut self,
        name: String,
        sql: &str,
        types: &[u32],
    ) -> Result<(), Fault> {
        match name.as_str() {
            "" => drop(self.statements.remove("")),
            name if self.statements.contains_key(name) => {
                return Err(Error::new(
                    SqlState::DUPLICATE_PREPARED_STATEMENT,
                    format!("prepared statement \"{name}\" already exists"),
                )
                .into());
            }
            _ => self.check_room(named(&self.statements), Held::Statements)?,
        }
        let mut statements = self.session.parse(sql)?;
        if statements.len() > 1 {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            )
            .into());
        }
        let types = types.iter().map(|&oid| self.declared(oid)).collect::<Result<Vec<_>>>()?;
        let Self { wire, session, canceller, .. } = self;
        let prepared = watched(wire, canceller, session.prepare(statements.pop(), &types)).await?;
        if !name.is_empty() {
            self.session.holds(&name, &prepared);
        }
        self.statements.insert(name, prepared);
        self.wire.send(&ParseComplete::new())?;
        Ok(())
    }

    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), Fault> {
        let prepared = self.statement(&bind.statement)?;
        match bind.portal.as_str() {
            "" => drop(self.portals.remove("")),
            portal if self.portals.contains_key(portal) => {
                let message = format!("cursor \"{portal}\" already exists");
                return Err(Error::new(SqlState::DUPLICATE_CURSOR, message).into());
            }
            _ => self.check_room(named(&self.portals), Held::Portals)?,
        }
        check_counts(&bind, &prepared)?;
        let style = self.session.style();
        let values = self
            .session
            .parameter_types(&prepared)
            .iter()
            .zip(&bind.parameters)
            .enumerate()
            .map(|(index, (kind, value))| {
                let format = format_of(&bind.parameter_formats, index);
                parameter(kind, format, value.as_ref(), &style).map_err(|error| {
                    let portal = match bind.portal.as_str() {
                        "" => "unnamed portal".to_owned(),
                        name => format!("portal \"{name}\""),
                    };
                    error.context(format!("{portal} parameter ${}", index + 1))
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let state = State::Bound(values);
        self.portals.insert(bind.portal, Portal { prepared, formats: bind.result_formats, state });
        self.wire.send(&BindComplete::new())?;
        Ok(())
    }

    pub(super) fn describe(&mut self, target: &Target) -> Result<(), Fault> {
        match target {
            Target::Statement(name) => {
                let prepared = self.statement(name)?;
                let types = prepared.parameters().iter().map(PgType::oid).collect();
                self.wire.send(&ParameterDescription::new(types))?;
                self.describe_columns(&prepared, &[])?;
            }
            Target::Portal(name) => {
                let Some(portal) = self.portals.get(name) else {
                    let columns = self.session.cursor_columns(name);
                    let columns = columns.ok_or_else(|| unknown_portal(name))?;
                    let format = |column| format_of(&[], column);
                    self.wire.send(&response::row_description(&columns, format))?;
                    return Ok(());
                };
                let (prepared, formats) = (Arc::clone(&portal.prepared), portal.formats.clone());
                self.describe_columns(&prepared, &formats)?;
            }
        }
        Ok(())
    }

    fn describe_columns(&mut self, prepared: &Prepared, formats: &[Format]) -> Result<()> {
        match prepared.columns() {
            Some(columns) => {
                let format = |column| format_of(formats, column);
                self.wire.send(&response::row_description(columns, format))
            }
            None => self.wire.send(&NoData::new()),
        }
    }

    pub(super) async fn execute(
        &mut self,
        name: String,
        rows_max: Option<u64>,
    ) -> Result<(), Fault> {
        // Taken out while it runs: an error drops it, and with it the query behind it.
        let portal = self.portals.remove(&name).ok_or_else(|| unknown_portal(&name))?;
        let Portal { prepared, formats, state } = portal;
        let state = match state {
            State::Bound(values) => self.start(&prepared, &formats, values, rows_max).await?,
            State::Open(cursor) => self.resume(cursor, rows_max).await?,
            State::Exhausted(cursor) => {
                self.complete(Some(cursor.tag(0)))?;
                State::Exhausted(cursor)
            }
            State::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
                return Err(Error::new(state, message).into());
            }
        };
        self.portals.insert(name, Portal { prepared, formats, state });
        Ok(())
    }

    /// Runs a portal for the first time.
    async fn start(
        &mut self,
        prepared: &Arc<Prepared>,
        formats: &[Format],
        values: Vec<ArrayRef>,
        rows_max: Option<u64>,
    ) -> Result<State, Fault> {
        let Self { wire, session, canceller, .. } = self;
        let before = session.status();
        let tag = match watched(wire, canceller, session.execute(prepared, values)).await? {
            Outcome::Rows(rows) => {
                let cursor = Box::new(Cursor::new(rows, formats.to_vec()));
                return self.resume(cursor, rows_max).await;
            }
            Outcome::Empty => None,
            Outcome::Done(tag) => Some(tag),
            Outcome::CopyIn(copy) => Some(self.copy_in(*copy).await?),
            Outcome::CopyOut(copy) => Some(self.copy_out(copy).await?),
        };
        self.complete(tag)?;
        // COMMIT and ROLLBACK end the other portals; an implicit transaction goes on until Sync.
        if before != TransactionStatus::Idle {
            self.end_portals();
        }
        Ok(State::Done)
    }

    /// Sends the next rows of a portal.
    async fn resume(
        &mut self,
        mut cursor: Box<Cursor>,
        rows_max: Option<u64>,
    ) -> Result<State, Fault> {
        let style = self.session.style();
        let sent = cursor.send(&mut self.wire, &self.canceller, &style, rows_max).await?;
        if sent.is_suspended {
            self.tell_events()?;
            self.wire.send(&PortalSuspended::new())?;
            return Ok(State::Open(cursor));
        }
        self.complete(Some(cursor.tag(sent.rows)))?;
        Ok(State::Exhausted(cursor))
    }

    /// Closing what does not exist is no error.
    pub(super) fn close(&mut self, target: &Target) -> Result<(), Fault> {
        match target {
            Target::Statement(name) => {
                self.session.lets_go(name);
                drop(self.statements.remove(name));
            }
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        self.wire.send(&CloseComplete::new())?;
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>> {
        self.statements.get(name).cloned().ok_or_else(|| unknown_statement(name))
    }

    /// The type that a client declared for a parameter; `None` leaves it to the server.
    fn declared(&mut self, oid: u32) -> Result<Option<PgType>> {
        match oid {
            0 | UNKNOWN_OID => Ok(None),
            oid => self.session.type_of_oid(oid).map(Some).ok_or_else(|| {
                let message = format!("type with OID {oid} does not exist");
                Error::new(SqlState::UNDEFINED_OBJECT, message)
            }),
        }
    }

    fn check_room(&self, count: usize, what: Held) -> Result<()> {
        let options = &self.shared.options;
        let (max, what, hint) = match what {
            Held::Statements => (
                options.statements_max,
                "prepared statements",
                "Close some, for instance with DEALLOCATE ALL, or lower the size of the driver's \
                 statement cache.",
            ),
            Held::Portals => {
                (options.portals_max, "portals", "Close some, or end the transaction.")
            }
        };
        if count < max {
            return Ok(());
        }
        let message = format!("too many {what}: a connection has at most {max}");
        Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).hint(hint))
    }
}

/// How many there are beside the unnamed one, which has its place in any case.
fn named<T>(held: &HashMap<String, T>) -> usize {
    held.len() - usize::from(held.contains_key(""))
}

enum Held {
    Statements,
    Portals,
}

fn check_counts(bind: &Bind, prepared: &Prepared) -> Result<()> {
    let (given, formats) = (bind.parameters.len(), bind.parameter_formats.len());
    if formats > 1 && formats != given {
        return Err(violation(format!(
            "bind message has {formats} parameter formats but {given} parameters"
        )));
    }
    let required = prepared.parameters().len();
    if given != required {
        return Err(violation(format!(
            "bind message supplies {given} parameters, but prepared statement \"{}\" requires \
             {required}",
            bind.statement
        )));
    }
    let (formats, columns) = (bind.result_formats.len(), prepared.columns().map_or(0, <[_]>::len));
    if formats > 1 && formats != columns {
        return Err(violation(format!(
            "bind message has {formats} result formats but query has {columns} columns"
        )));
    }
    Ok(())
}

/// A value as an array of one row.
fn parameter(
    kind: &PgType,
    format: Format,
    value: Option<&Bytes>,
    style: &Style,
) -> Result<ArrayRef> {
    let mut column = ColumnBuilder::new(kind, style);
    match (value, format) {
        (None, _) => column.push_null()?,
        (Some(value), Format::Text) => column.push_text(text(value)?)?,
        (Some(value), Format::Binary) => column.push_binary(value)?,
    }
    Ok(column.finish())
}

/// Text may hold every character but the one that PostgreSQL cannot store.
fn text(value: &[u8]) -> Result<&str> {
    if value.contains(&0) {
        return Err(Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    utf8(value)
}

fn unknown_portal(name: &str) -> Error {
    Error::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}
