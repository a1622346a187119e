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
mod bound;
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
    ids::Oid,
    pgtype::style::Style,
};
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::TableSource;
use std::{fmt, sync::Arc};

pub use crate::catalog::pg::{ActivityRow, SettingRow};
pub use bind::{bind, bind_arguments, bind_given};
pub use bound::{
    Bound, ConflictAction, Copy, CopyDirection, Delete, Insert, LockWait, Locking, Merge,
    MergeAction, MergeKind, OnConflict, OutputColumn, Part, QUESTIONS_MAX, Query, Question,
    QuestionText, Returning, Slot, Update, With,
};
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
    /// A random number of at least 0 and below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    fn random_unit(&self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }
    /// The first of so many numbers in a row: at least this one, and above all that were given before.
    fn ascending(&self, at_least: u64, count: u64) -> u64;
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
    /// The channels that the session listens to.
    fn listening_channels(&self) -> Vec<String> {
        Vec::new()
    }
    /// How full the room is for what listeners have not taken yet, from 0 to 1.
    fn notification_queue_usage(&self) -> f64 {
        0.0
    }
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

#[cfg(test)]
mod tests;
