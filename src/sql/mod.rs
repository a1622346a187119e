//! Text in, bound statements out; nothing is read and nothing is run.
//!
//! [`parse()`] splits a message into statements ([`Statement`]). [`bind`] gives names and types to
//! one of them and makes a [`Bound`]: a query as DataFusion's logical plan, a change of rows as
//! plans whose rows storage can take as they are, anything else as a typed [`Utility`]. Everything
//! from outside enters through two traits: [`Context`], what a statement may know of its session,
//! and [`Relations`], how a table becomes a source that can be scanned.
//!
//! One query's way: `parse.rs` (tokens, operators glued as PostgreSQL reads them) →
//! `query.rs`, `select.rs` and `from.rs` (FROM, WHERE, GROUP BY … over a scope of named, typed columns) →
//! `expression.rs` (operators, casts and functions chosen by PostgreSQL's rules, in
//! `operators.rs`, `coerce.rs`, `functions/`) → `push_down.rs`, at optimisation, which makes
//! ORDER BY distance LIMIT k one node ([`nearest::Nearest`]). Where it stands for each row of another
//! plan, `apply.rs` has made a join of it ([`nearest_join::NearestJoin`]).
//!
//! The binder makes DataFusion's expressions itself instead of leaving it to DataFusion's SQL
//! planner: PostgreSQL chooses operators and functions by types that Arrow does not have (an
//! untyped literal, `name`, `regclass`, `json`), and each error wants its place in the text.

mod apply;
mod bind;
mod binder;
mod calls;
mod coerce;
mod collation;
mod commands;
mod computed;
mod condition;
mod cursor;
mod ddl;
mod dml;
mod domains;
mod embedding;
pub mod error;
mod expression;
mod form;
mod from;
pub mod functions;
mod generated;
mod group;
mod items;
mod named;
mod names;
pub mod near;
pub mod nearest;
pub mod nearest_join;
mod needs;
mod operators;
mod order;
mod parse;
pub mod piecemeal;
mod plan;
mod push_down;
mod query;
mod reshape;
mod sample;
mod select;
mod statement;
mod subquery;
mod tokens;
mod typed;
pub mod utility;
mod with;

use crate::{
    catalog::{Catalog, Table, pg::SystemRelation},
    embed::Embedding,
    error::{Error, Result},
    ids::{ColumnId, Oid, TableId},
    pgtype::{PgType, copy::CopyOptions, style::Style},
};
use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::logical_expr::TableSource;
use parking_lot::Mutex;
use std::{fmt, sync::Arc};

pub use crate::catalog::pg::{ActivityRow, SettingRow};
pub use bind::{bind, bind_arguments, bind_given};
pub use calls::model::MODEL_SETTING;
pub use coerce::is_assignable;
pub use condition::condition_columns;
pub use domains::check_domain;
pub use embedding::with_named_models;
pub use form::Form;
pub use generated::{check_generated, generated_kind, generated_sources};
pub use needs::{Needs, Refusal};
pub use parse::{check_expression, parse};
pub use plan::Plan;
pub use push_down::optimizer_rules;
pub use statement::Statement;
pub use utility::Utility;

/// The name of the hidden column that holds a row's number, for UPDATE and DELETE.
pub const ROW_COLUMN: &str = "__row";

/// What a statement may know of its session. Functions keep the `Arc`, so that a plan that is run
/// again asks anew.
pub trait Context: fmt::Debug + Send + Sync {
    /// The names that the running statement sees, its transaction's own changes included.
    fn catalog(&self) -> Arc<Catalog>;
    /// The session's database.
    fn database(&self) -> Oid;
    /// Its name.
    fn database_name(&self) -> String;
    /// The role that rights are checked for.
    fn user(&self) -> Oid;
    /// Its name.
    fn user_name(&self) -> String;
    /// The name of the role that connected.
    fn session_user_name(&self) -> String;
    /// The schemas that exist, in the order in which a bare name is looked up: `pg_catalog` first
    /// unless the setting names it elsewhere.
    fn search_path(&self) -> Vec<Oid>;
    /// The same without what the setting does not name; the first is where new tables go.
    fn explicit_path(&self) -> Vec<Oid>;
    /// The value of a setting; `None` where there is none such.
    fn setting(&self, name: &str) -> Option<String>;
    /// Sets a setting, for the transaction alone where `local`. Gives back the value as SHOW
    /// would.
    ///
    /// # Errors
    /// 42704 unknown setting, 22023 a value it does not take, 55P02.
    fn set_setting(&self, name: &str, value: &str, local: bool) -> Result<String>;
    /// Every setting, for `pg_settings`.
    fn settings(&self) -> Vec<SettingRow>;
    /// `nextval`.
    ///
    /// # Errors
    /// 2200H at the sequence's end, 25006 in a read-only transaction.
    fn next_value(&self, sequence: Oid) -> Result<i64>;
    /// `currval`; 55000 before the session's first `nextval`.
    ///
    /// # Errors
    /// 55000.
    fn current_value(&self, sequence: Oid) -> Result<i64>;
    /// `lastval`, and the sequence that gave it.
    ///
    /// # Errors
    /// 55000 before the session's first `nextval`.
    fn last_value(&self) -> Result<(Oid, i64)>;
    /// `setval`.
    ///
    /// # Errors
    /// 22003 out of the sequence's bounds.
    fn set_value(&self, sequence: Oid, value: i64, called: bool) -> Result<i64>;
    /// When the transaction began: microseconds since 1970.
    fn transaction_micros(&self) -> i64;
    /// When the statement arrived.
    fn statement_micros(&self) -> i64;
    /// Now.
    fn clock_micros(&self) -> i64;
    /// 64 random bits.
    fn random(&self) -> u64;
    /// The session's time zone.
    fn time_zone(&self) -> chrono_tz::Tz;
    /// How values become text.
    fn style(&self) -> Style;
    /// The number of this backend.
    fn process_id(&self) -> i32;
    /// Every backend, for `pg_stat_activity`.
    fn activity(&self) -> Vec<ActivityRow>;
    /// Bytes that a relation takes.
    fn relation_size(&self, relation: Oid) -> u64;
    /// Rows that are alive, about.
    fn live_rows(&self, table: Oid) -> u64;
    /// Asks an index some queries, and compares its answers with those of reading every row.
    ///
    /// # Errors
    /// 42809 for what is no vector index, 0A000 for one that is not searched, 55000 for one that is
    /// being built, 57014.
    fn measure_recall(&self, index: Oid, k: usize, queries: usize) -> Result<MeasuredRecall>;
    /// Forgets what statements cost.
    fn forget_statements(&self);
    /// Checks an index against its table.
    ///
    /// # Errors
    /// 42809 for what is no vector index, 0A000 for one
    /// that is not searched, 55000 for one that is being built, 57014.
    fn verify_index(&self, index: Oid) -> Result<Vec<IndexCheck>>;
    /// The vectors of texts by a model, which the catalog of the running statement has.
    ///
    /// # Errors
    /// 42704 for a model that is gone, 57014, and those of the model.
    fn embed(&self, _model: &str, _texts: Vec<Arc<str>>) -> Result<Vec<Embedding>> {
        Err(Error::unsupported("models cannot be asked here"))
    }
    /// How well documents answer a query, by a model.
    ///
    /// # Errors
    /// Those of [`Context::embed`].
    fn rerank(
        &self,
        _model: &str,
        _query: Arc<str>,
        _documents: Vec<Arc<str>>,
    ) -> Result<Vec<f32>> {
        Err(Error::unsupported("models cannot be asked here"))
    }
    /// Cancels another backend's statement; whether there was one.
    ///
    /// # Errors
    /// 42501 where it is another role's.
    fn cancel_backend(&self, process_id: i32) -> Result<bool>;
    /// Asked by functions that take long.
    ///
    /// # Errors
    /// 57014 when the statement was cancelled.
    fn check_cancelled(&self) -> Result<()> {
        Ok(())
    }
    /// Takes an advisory lock; false when it is held by another and the request does not wait.
    ///
    /// # Errors
    /// 55P03, 40P01, 57014 while waiting.
    fn advisory_lock(&self, request: AdvisoryLock) -> Result<bool>;
    /// Gives a session's advisory lock back; whether it was held.
    fn advisory_unlock(&self, key: i64, shared: bool) -> bool;
    /// Gives all of them back.
    fn advisory_unlock_all(&self);
    /// `pg_notify`.
    ///
    /// # Errors
    /// 22023 when the channel or the payload is too long.
    fn notify(&self, channel: &str, payload: &str) -> Result<()>;
    /// Tells the client something that is no error. A state of class 01 or 22 is a warning.
    fn notice(&self, notice: Error);
}

/// One thing that `nearlake_verify_index` checked.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexCheck {
    /// What.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub measured: f64,
    /// What it may be.
    pub bound: f64,
    /// More of what was found.
    pub detail: String,
}

/// How much of the true answers an index found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredRecall {
    /// The share that it was to find.
    pub target: f64,
    /// The share that it found; `None` where there was nothing to ask for.
    pub recall: Option<f64>,
    /// Where the interval of 95 percent confidence begins.
    pub low: Option<f64>,
    /// Where it ends.
    pub high: Option<f64>,
    /// How many queries it was asked.
    pub samples: i64,
    /// How many of them were those of clients.
    pub live_samples: i64,
}

/// An advisory lock that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdvisoryLock {
    /// The number that the application gave it.
    pub key: i64,
    /// Held together with other shared holders.
    pub shared: bool,
    /// Given back at the transaction's end rather than the session's.
    pub transaction: bool,
    /// Wait for it.
    pub wait: bool,
}

/// How a relation becomes a source that can be scanned. Sources find their snapshot when they
/// run, so that a bound plan serves until the catalog changes.
pub trait Relations {
    /// The source of a table's rows.
    fn table(&self, table: &Arc<Table>, hidden: Hidden) -> Arc<dyn TableSource>;
    /// The source of a relation of `pg_catalog` or `information_schema`.
    fn system(&self, relation: &'static SystemRelation) -> Arc<dyn TableSource>;
    /// A source that yields what its slot is filled with before the plan runs.
    fn slot(&self, schema: SchemaRef) -> (Slot, Arc<dyn TableSource>);
}

/// Which hidden columns a table's source appends to the table's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hidden {
    /// None.
    None,
    /// [`ROW_COLUMN`], UInt64.
    RowId,
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

#[cfg(test)]
mod tests;
