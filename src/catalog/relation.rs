//! What a relation's name can stand for. Tables and indexes have files of their own.

use super::{Index, Table};
use crate::{
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid, TableId},
    pgtype::PgType,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A sequence. `last` is what was reserved durably: after a crash values between may be skipped,
/// never given twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its oid.
    pub id: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// The column that owns it, with which it goes.
    pub owned_by: Option<(TableId, ColumnId)>,
    /// The type of its values: smallint, integer or bigint.
    pub kind: PgType,
    /// The first value.
    pub start: i64,
    /// From one value to the next.
    pub increment: i64,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
    /// Whether it begins anew at its end.
    pub cycle: bool,
    /// The last value reserved; `None` before the first.
    pub last: Option<i64>,
}

/// A view: a query with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its oid.
    pub id: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// Column names and types.
    pub columns: Vec<(String, PgType)>,
    /// The query, as SQL text.
    pub query: String,
    /// The schemas in which the query's names are looked up, as they were when it was written;
    /// nothing for views that are older than this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Oid>,
    /// `COMMENT ON VIEW`.
    #[serde(default)]
    pub comment: Option<String>,
}

/// What a relation's name can stand for.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A table of rows.
    Table(Arc<Table>),
    /// A view.
    View(Arc<View>),
    /// A sequence.
    Sequence(Arc<Sequence>),
    /// An index (of its table).
    Index(Arc<Index>),
    /// The index of a key: the table and the place of the constraint.
    Key(Arc<Table>, usize),
}

impl Relation {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
            Self::Sequence(sequence) => &sequence.name,
            Self::Index(index) => &index.name,
            Self::Key(table, place) => &table.constraints[*place].name,
        }
    }

    /// Its oid.
    #[must_use]
    pub fn id(&self) -> Oid {
        match self {
            Self::Table(table) => table.id,
            Self::View(view) => view.id,
            Self::Sequence(sequence) => sequence.id,
            Self::Index(index) => index.id,
            Self::Key(table, place) => table.constraints[*place].id,
        }
    }

    /// The table, or 42809 when the name stands for something else.
    ///
    /// # Errors
    /// 42809.
    pub fn into_table(self) -> Result<Arc<Table>> {
        match self {
            Self::Table(table) => Ok(table),
            other => Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{}\" is not a table", other.name()),
            )),
        }
    }
}
