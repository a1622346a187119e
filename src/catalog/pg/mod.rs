//! What clients ask about the catalog: the relations of `pg_catalog` and `information_schema`, as
//! data.
//!
//! Every relation has the columns of PostgreSQL 18 ([`SystemRelation`], from `facts/shapes.tsv`).
//! Its rows are made when it is read: of the picture of names ([`Catalog`]), of what PostgreSQL
//! itself reports about types, functions and operators (the other `facts/*.tsv`), and of what only
//! the running server knows ([`Live`]). A relation of which Nearlake has no rows (triggers,
//! publications, foreign tables …) is there, and empty.

mod access;
mod attribute;
mod builders;
mod class;
mod constraint;
pub mod deparse;
mod domains;
mod extension;
mod facts;
pub mod functions;
mod index;
mod information_schema;
mod models;
pub mod names;
mod objects;
mod roles;
mod routines;
pub(crate) mod rows;
mod sequence;
mod settings;
mod shape;
mod standard_types;
mod stat;
mod text_search;
mod types;
mod user_types;
mod views;
mod webhooks;

pub use access::{access_list, access_texts};
pub use shape::{SystemColumn, SystemRelation, lookup, relation, relations};
pub use webhooks::{DeliveryRow, WebhookStat};

use super::{Catalog, Database, PUBLIC, Schema};
use crate::ids::{ColumnId, Oid};
use std::{fmt::Debug, sync::Arc};

/// The version of PostgreSQL whose catalogs these are: `server_version`.
pub const SERVER_VERSION: &str = "18.0";
/// The same as a number: `server_version_num`.
pub const SERVER_VERSION_NUM: i32 = 180_000;
/// The version of pgvector whose types, operators and functions there are.
pub const VECTOR_VERSION: &str = "0.8.5";

/// From where a relation is seen.
#[derive(Debug, Clone)]
pub struct View {
    /// The picture of names.
    pub catalog: Arc<Catalog>,
    /// The database of the session: only its schemas are seen.
    pub database: Oid,
    /// The role of the session.
    pub user: Oid,
    /// What only the running server knows.
    pub live: Arc<dyn Live>,
}

/// What only the running server knows, asked for when a relation needs it.
pub trait Live: Debug + Send + Sync {
    /// Every setting as the session has it.
    fn settings(&self) -> Vec<SettingRow>;
    /// Every session.
    fn activity(&self) -> Vec<ActivityRow>;
    /// The bytes that a table or an index takes in the store.
    fn relation_size(&self, relation: Oid) -> u64;
    /// The rows that a table holds now.
    fn live_rows(&self, table: Oid) -> u64;
    /// What is known of the recall of indexes.
    fn recall(&self) -> Vec<RecallRow>;
    /// The builds of indexes that are under way.
    fn builds(&self) -> Vec<BuildRow>;
    /// Whether an index can be searched: it is not while it is built in the background.
    fn is_built(&self, index: Oid) -> bool;
    /// How a webhook does.
    fn webhook(&self, _webhook: Oid) -> WebhookStat {
        WebhookStat::default()
    }
    /// What waits for a webhook, what was given up, and what was delivered lately.
    fn deliveries(&self, _webhook: Oid) -> Vec<DeliveryRow> {
        Vec::new()
    }
    /// The session's prepared statements.
    fn prepared(&self) -> Vec<PreparedRow> {
        Vec::new()
    }
    /// Its cursors.
    fn cursors(&self) -> Vec<CursorRow> {
        Vec::new()
    }
    /// What statements cost.
    fn statements(&self) -> Vec<StatementRow>;
    /// How far columns are whose vectors models make.
    fn embedding(&self) -> Vec<EmbeddingRow> {
        Vec::new()
    }
    /// The models that are in memory.
    fn loaded_models(&self) -> Vec<Oid> {
        Vec::new()
    }
}

/// A row of `pg_prepared_statements`. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRow {
    /// Its name.
    pub name: String,
    /// PREPARE as it was written, or what a message of the protocol had.
    pub statement: Arc<str>,
    /// When.
    pub prepared_at: i64,
    /// The types of its parameters.
    pub parameters: Vec<Oid>,
    /// The types of its result's columns; `None` where it gives none.
    pub results: Option<Vec<Oid>>,
    /// Whether PREPARE made it.
    pub from_sql: bool,
}

/// A row of `pg_cursors`. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// Its name.
    pub name: String,
    /// DECLARE as it was written.
    pub statement: Arc<str>,
    /// Whether it outlives its transaction.
    pub is_holdable: bool,
    /// Whether it goes back.
    pub is_scrollable: bool,
    /// When it was opened.
    pub created_at: i64,
}

/// A row of `nearlake_stat_statements`: what statements of one form cost.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementRow {
    /// The role that ran them.
    pub user: Oid,
    /// The database that they ran in.
    pub database: Oid,
    /// The number of the form.
    pub form: i64,
    /// The form: the text without its constants.
    pub text: Arc<str>,
    /// `select`, `insert` …
    pub kind: &'static str,
    /// How many came to their end.
    pub calls: i64,
    /// How many failed.
    pub errors: i64,
    /// Rows that they gave or changed.
    pub rows: i64,
    /// The time that all took together, in milliseconds.
    pub total_ms: f64,
    /// The shortest.
    pub min_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The mean.
    pub mean_ms: f64,
    /// The standard deviation.
    pub deviation_ms: f64,
    /// When the last one ended; microseconds since 1970.
    pub last_call_micros: i64,
}

/// A row of `nearlake_stat_embedding`: a column whose vectors models make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingRow {
    /// Its table.
    pub table: Oid,
    /// The column.
    pub column: ColumnId,
    /// When its vectors are made: `inline`, `deferred`, or all anew: `replacing`.
    pub phase: &'static str,
    /// The rows of the table.
    pub rows_total: i64,
    /// Those that wait for their vectors.
    pub rows_pending: i64,
    /// Those whose vectors cannot be made.
    pub rows_failed: i64,
    /// Why, of the last that failed.
    pub last_error: Option<String>,
}

/// A row of `pg_stat_progress_create_index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRow {
    /// The session that waits for it; 0: none does.
    pub process_id: i32,
    /// The table.
    pub table: Oid,
    /// The index; 0 while nobody else can see it.
    pub index: Oid,
    /// `CREATE INDEX`, `CREATE INDEX CONCURRENTLY` or `REINDEX`.
    pub command: &'static str,
    /// What is being done.
    pub phase: &'static str,
    /// The table's size in blocks of 8 KiB.
    pub blocks_total: i64,
    /// Those that were read.
    pub blocks_done: i64,
    /// The table's live rows.
    pub tuples_total: i64,
    /// Those that are in the index.
    pub tuples_done: i64,
}

/// A row of `nearlake_stat_recall`: what is known of searches of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct RecallRow {
    /// The index that answered them.
    pub index: Oid,
    /// How many of the rows their filters left.
    pub band: &'static str,
    /// The share of the true nearest rows that they were to find.
    pub target: f64,
    /// The share that they found; `None` while too few are known.
    pub measured: Option<f64>,
    /// Where the interval of 95 percent confidence begins.
    pub low: Option<f64>,
    /// Where it ends.
    pub high: Option<f64>,
    /// How many were answered a second time.
    pub samples: i64,
}

/// A row of `pg_settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingRow {
    /// Its name.
    pub name: String,
    /// Its value in this session.
    pub setting: String,
    /// What a number counts: `ms`, `kB` …
    pub unit: Option<String>,
    /// The chapter it belongs to.
    pub category: String,
    /// What it does.
    pub short_desc: String,
    /// Who may change it when: `user`, `superuser`, `postmaster`, `internal` …
    pub context: String,
    /// `bool`, `integer`, `real`, `string` or `enum`.
    pub vartype: String,
    /// The least value of a number.
    pub min_val: Option<String>,
    /// The greatest value of a number.
    pub max_val: Option<String>,
    /// The words that an enum takes.
    pub enumvals: Option<Vec<String>>,
    /// The value built in.
    pub boot_val: Option<String>,
    /// The value that RESET goes back to.
    pub reset_val: Option<String>,
    /// Where the value comes from: `default`, `session`, `client` …
    pub source: String,
}

/// A row of `pg_stat_activity`: a session. Times are microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityRow {
    /// The database it is connected to.
    pub database: Oid,
    /// The name of that.
    pub database_name: String,
    /// Its number: what `pg_backend_pid()` tells.
    pub process_id: i32,
    /// Its role.
    pub user: Oid,
    /// The name of that.
    pub user_name: String,
    /// `application_name`.
    pub application_name: String,
    /// The client's address; none on a socket of the machine itself.
    pub client_address: Option<String>,
    /// The client's port.
    pub client_port: Option<i32>,
    /// When it began.
    pub backend_start: i64,
    /// When its transaction began.
    pub transaction_start: Option<i64>,
    /// When its statement began.
    pub query_start: Option<i64>,
    /// When its state last changed.
    pub state_change: Option<i64>,
    /// `active`, `idle`, `idle in transaction` …
    pub state: String,
    /// The text of its last statement.
    pub query: String,
}

impl View {
    /// The database, by oid.
    fn database(&self) -> Option<&Arc<Database>> {
        self.catalog.database(self.database)
    }

    /// The name of the database: `table_catalog` of the standard's views.
    fn database_name(&self) -> &str {
        self.database().map_or("", |database| &database.name)
    }

    /// Whether objects of a schema belong to this database.
    fn sees(&self, schema: Oid) -> bool {
        self.catalog
            .schema(schema)
            .is_some_and(|schema| schema.database.is_none_or(|database| database == self.database))
    }

    /// Whether the standard's views show a relation: where the session's role may do something with it.
    fn shows(&self, relation: Oid) -> bool {
        self.catalog.concerns(self.user, relation)
    }

    /// The schemas of this database.
    fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.catalog.schemas().filter(|schema| self.sees(schema.id))
    }

    /// The name of a schema.
    fn schema_name(&self, schema: Oid) -> &str {
        self.catalog.schema(schema).map_or("", |schema| &schema.name)
    }

    /// The name of a role.
    fn role_name(&self, role: Oid) -> &str {
        self.catalog.role(role).map_or("", |role| &role.name)
    }

    /// The name of the schema in which the vector type lies.
    fn vector_schema_name(&self) -> &str {
        self.schema_name(self.vector_schema())
    }

    /// The schema in which the vector type lies: that of the extension, else `public`.
    fn vector_schema(&self) -> Oid {
        names::vector_schema(&self.catalog, self.database)
    }
}

/// The schema in which the vector type lies when nothing else is known.
const VECTOR_SCHEMA: Oid = PUBLIC;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
