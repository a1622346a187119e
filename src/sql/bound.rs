//! Statements whose names are known: what there is to run.

use super::{
    plan::Plan,
    utility::{self, Utility},
};
use crate::{
    catalog::Table,
    ids::{ColumnId, Oid, TableId},
    pgtype::{PgType, copy::CopyOptions},
};
use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use parking_lot::Mutex;
use std::sync::Arc;

/// A statement whose names and types are known.
#[derive(Debug)]
pub enum Bound {
    /// SELECT, VALUES, TABLE.
    Query(Query),
    /// EXPLAIN of a query or a change of rows.
    Explain {
        /// What to tell.
        options: utility::ExplainOptions,
        /// The statement.
        query: Box<Bound>,
    },
    /// INSERT.
    Insert(Insert),
    /// UPDATE.
    Update(Update),
    /// DELETE.
    Delete(Delete),
    /// MERGE.
    Merge(Merge),
    /// A statement with changes of rows in its WITH.
    With(With),
    /// COPY.
    Copy(Copy),
    /// Everything else.
    Utility(Utility),
}

impl Bound {
    /// The types of the parameters `$1`, `$2` …
    #[must_use]
    pub fn parameters(&self) -> &[PgType] {
        match self {
            Self::Query(query) => &query.parameters,
            Self::Explain { query, .. } => query.parameters(),
            Self::Insert(insert) => &insert.parameters,
            Self::Update(update) => &update.parameters,
            Self::Delete(delete) => &delete.parameters,
            Self::Merge(merge) => &merge.parameters,
            Self::With(with) => with.main.parameters(),
            Self::Copy(_) | Self::Utility(_) => &[],
        }
    }

    /// The columns of the rows that the client gets; `None` where it gets none. (EXPLAIN, SHOW
    /// and FETCH answer rows too: whoever runs them knows which.)
    #[must_use]
    pub fn columns(&self) -> Option<&[OutputColumn]> {
        match self {
            Self::Query(query) => Some(&query.columns),
            Self::Insert(Insert { returning, .. })
            | Self::Update(Update { returning, .. })
            | Self::Delete(Delete { returning, .. })
            | Self::Merge(Merge { returning, .. }) => {
                returning.as_ref().map(|returning| returning.columns.as_slice())
            }
            Self::With(with) => with.main.columns(),
            Self::Explain { .. } | Self::Copy(_) | Self::Utility(_) => None,
        }
    }
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// The plan, not optimised. Its columns have the Arrow types of `columns`, in that order.
    pub plan: Arc<Plan>,
    /// What the client sees.
    pub columns: Vec<OutputColumn>,
    /// The types of `$1`, `$2` …
    pub parameters: Vec<PgType>,
    /// The tables that are read.
    pub tables: Vec<TableId>,
    /// `FOR UPDATE`, `FOR SHARE` …
    pub locking: Option<Locking>,
    /// What it asks of models whatever its rows are; more than [`QUESTIONS_MAX`] are not all told.
    pub questions: Vec<Question>,
}

/// So many questions of a query are asked before it runs.
pub const QUESTIONS_MAX: usize = 8;

/// A text of which the vector is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name of the model.
    pub model: String,
    /// The text.
    pub text: QuestionText,
}

/// Where the text of a question is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionText {
    /// In the statement.
    Known(Arc<str>),
    /// In a parameter: its number.
    Parameter(usize),
}

/// `FOR UPDATE` and kin: rows of one table are locked before they are read.
#[derive(Debug, Clone)]
pub struct Locking {
    /// The table whose rows are locked.
    pub table: Arc<Table>,
    /// Yields the `__row` of each row that the query's FROM and WHERE let through.
    pub rows: Arc<Plan>,
    /// Shared with other readers that lock.
    pub shared: bool,
    /// What to do when another transaction holds a row.
    pub wait: LockWait,
}

/// What a statement does when a lock is held by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockWait {
    /// Waits.
    Wait,
    /// 55P03.
    NoWait,
    /// Leaves the row out.
    SkipLocked,
}

/// A column of a result, as RowDescription tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PgType,
    /// The table it comes from unchanged; 0 where it is computed.
    pub table: u32,
    /// Its number there.
    pub column: i16,
}

/// A statement with changes of rows in its WITH. All of it sees the same picture.
#[derive(Debug)]
pub struct With {
    /// The changes, in the order of the text.
    pub parts: Vec<Part>,
    /// The statement behind WITH, whose answer the client gets: a query or a change of rows.
    pub main: Box<Bound>,
    /// The parts that it reads.
    pub reads: Vec<usize>,
}

/// A change of rows in WITH.
#[derive(Debug)]
pub struct Part {
    /// INSERT, UPDATE, DELETE or MERGE.
    pub change: Bound,
    /// Where the rest of the statement reads what RETURNING gives.
    pub rows: Option<Slot>,
    /// The parts that it reads, all before it.
    pub reads: Vec<usize>,
}

/// INSERT.
#[derive(Debug)]
pub struct Insert {
    /// Where rows go.
    pub table: Arc<Table>,
    /// One output column per table column, in table order, of the column's Arrow type, defaults
    /// filled in. NOT NULL, CHECK and keys are for whoever runs it.
    pub source: Arc<Plan>,
    /// What a row does that meets one of equal key.
    pub on_conflict: Option<OnConflict>,
    /// `RETURNING …`.
    pub returning: Option<Returning>,
    /// The types of `$1`, `$2` …
    pub parameters: Vec<PgType>,
}

/// `ON CONFLICT …`.
#[derive(Debug)]
pub struct OnConflict {
    /// The key that rows may meet at; `None`: any.
    pub constraint: Option<Oid>,
    /// What then.
    pub action: ConflictAction,
}

/// What an inserted row does that meets another.
#[derive(Debug)]
pub enum ConflictAction {
    /// It is left out.
    Nothing,
    /// The other changes.
    Update {
        /// The old row's columns, `__row`, then the columns that were to be inserted, each under
        /// the name `excluded.<column>`.
        input: Slot,
        /// `__row`, then the whole new row in table order, of those that WHERE lets through.
        plan: Arc<Plan>,
        /// The columns that SET names.
        changed: Vec<ColumnId>,
    },
}

/// UPDATE.
#[derive(Debug)]
pub struct Update {
    /// Whose rows change.
    pub table: Arc<Table>,
    /// `__row`, then the whole new row in table order. With FROM a row may come more than once:
    /// any one of them counts.
    pub source: Arc<Plan>,
    /// The columns that SET names.
    pub changed: Vec<ColumnId>,
    /// `RETURNING …`, over the new rows.
    pub returning: Option<Returning>,
    /// The types of `$1`, `$2` …
    pub parameters: Vec<PgType>,
}

/// DELETE.
#[derive(Debug)]
pub struct Delete {
    /// Whose rows go.
    pub table: Arc<Table>,
    /// `__row`; with USING a row may come more than once.
    pub source: Arc<Plan>,
    /// `RETURNING …`, over the old rows.
    pub returning: Option<Returning>,
    /// The types of `$1`, `$2` …
    pub parameters: Vec<PgType>,
}

/// MERGE.
#[derive(Debug)]
pub struct Merge {
    /// Whose rows change.
    pub table: Arc<Table>,
    /// The number of the action that takes a pair of rows, then what the actions read: `__row`, NULL
    /// where the table has none for a row of the source, and columns of both.
    pub source: Arc<Plan>,
    /// What is done.
    pub actions: Vec<MergeAction>,
    /// The columns that SET names.
    pub changed: Vec<ColumnId>,
    /// `RETURNING …`, over the new rows and those that are gone.
    pub returning: Option<Returning>,
    /// The types of `$1`, `$2` …
    pub parameters: Vec<PgType>,
}

/// What a WHEN does with the pairs of rows that it takes.
#[derive(Debug)]
pub struct MergeAction {
    /// Which way.
    pub kind: MergeKind,
    /// Those pairs: what `source` gives, but for the number.
    pub input: Slot,
    /// What is written, and behind it what comes along for RETURNING.
    pub plan: Arc<Plan>,
}

/// How a WHEN changes the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeKind {
    /// The plan gives whole rows, as that of INSERT does.
    Insert,
    /// It gives `__row` and whole new rows, as that of UPDATE does.
    Update,
    /// It gives `__row`.
    Delete,
}

/// `RETURNING …`: a projection of changed rows.
#[derive(Debug)]
pub struct Returning {
    /// The changed rows, in table order, with what they were before and what comes along.
    pub input: Slot,
    /// The projection of them, in the order of the slot's rows.
    pub plan: Arc<Plan>,
    /// What the client sees.
    pub columns: Vec<OutputColumn>,
    /// The places of those columns of the table whose old values stand behind the rows.
    pub old: Vec<usize>,
}

/// COPY.
#[derive(Debug)]
pub struct Copy {
    /// Which way.
    pub direction: CopyDirection,
    /// Format and its details.
    pub options: CopyOptions,
    /// The server's file on the other side; `None`: the client.
    pub file: Option<String>,
}

impl Copy {
    /// Whether rows come in.
    #[must_use]
    pub fn is_in(&self) -> bool {
        matches!(self.direction, CopyDirection::In { .. })
    }
}

/// Which way a COPY goes.
#[derive(Debug)]
pub enum CopyDirection {
    /// FROM STDIN.
    In {
        /// Where rows go.
        table: Arc<Table>,
        /// The columns that the client sends, in its order.
        columns: Vec<ColumnId>,
        /// The sent columns.
        input: Slot,
        /// The whole rows that they become, in table order, defaults filled in.
        rows: Arc<Plan>,
    },
    /// TO STDOUT.
    Out {
        /// What is sent.
        query: Query,
    },
}

/// Batches that a plan will read and that only exist once another plan has run.
#[derive(Debug, Clone)]
pub struct Slot {
    schema: SchemaRef,
    batches: Arc<Mutex<Arc<[RecordBatch]>>>,
}

impl Slot {
    /// An empty slot.
    #[must_use]
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, batches: Arc::default() }
    }

    /// The schema of its batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Puts the batches in which the next run of the plan reads.
    pub fn fill(&self, batches: impl Into<Arc<[RecordBatch]>>) {
        *self.batches.lock() = batches.into();
    }

    /// The batches.
    #[must_use]
    pub fn batches(&self) -> Arc<[RecordBatch]> {
        Arc::clone(&self.batches.lock())
    }
}
