//! What a session holds from one statement to the next, as `pg_prepared_statements` and `pg_cursors` show
//! it: the session changes it, and plans look at it while they run.

use super::{Prepared, Session};
use crate::{
    catalog::pg::{CursorRow, PreparedRow},
    ids::Oid,
    pgtype::PgType,
    sql::Context as _,
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// Prepared statements and cursors by name.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Those of PREPARE and those of the protocol may have the same names.
    prepared: Mutex<BTreeMap<(String, bool), PreparedRow>>,
    cursors: Mutex<BTreeMap<String, CursorRow>>,
}

impl Held {
    pub(super) fn prepared(&self) -> Vec<PreparedRow> {
        self.prepared.lock().values().cloned().collect()
    }

    pub(super) fn cursors(&self) -> Vec<CursorRow> {
        self.cursors.lock().values().cloned().collect()
    }

    /// A cursor is open.
    pub(super) fn open(&self, cursor: CursorRow) {
        self.cursors.lock().insert(cursor.name.clone(), cursor);
    }

    /// Only these cursors are left.
    pub(super) fn retain_cursors(&self, is_left: impl Fn(&str) -> bool) {
        self.cursors.lock().retain(|name, _| is_left(name));
    }
}

impl Session {
    /// A statement is prepared under a name: by PREPARE, or by a message of the protocol.
    pub(super) fn hold(&self, name: &str, prepared: &Prepared, text: Arc<str>, from_sql: bool) {
        let oid = |kind: &PgType| Oid(kind.oid());
        let row = PreparedRow {
            name: name.to_owned(),
            statement: text,
            prepared_at: self.context.statement_micros(),
            parameters: prepared.parameters().iter().map(oid).collect(),
            results: prepared
                .columns()
                .map(|columns| columns.iter().map(|column| oid(&column.kind)).collect()),
            from_sql,
        };
        self.context.held.prepared.lock().insert((row.name.clone(), from_sql), row);
    }

    /// The transport holds a statement that a message prepared.
    pub fn holds(&self, name: &str, prepared: &Prepared) {
        self.hold(name, prepared, prepared.text().into(), false);
    }

    /// One that a message prepared is gone.
    pub fn lets_go(&self, name: &str) {
        self.forgets(Some(name), false);
    }

    /// A prepared statement is gone; `None`: all of them.
    pub(super) fn forgets(&self, name: Option<&str>, from_sql: bool) {
        let mut prepared = self.context.held.prepared.lock();
        match name {
            Some(name) => drop(prepared.remove(&(name.to_owned(), from_sql))),
            None => prepared.clear(),
        }
    }
}
