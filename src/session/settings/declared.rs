//! The declarations of all settings.

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// on, off and their spellings.
    Bool,
    /// A whole number, with a unit (`ms`, `kB` or none) and bounds.
    Int(&'static str, i64, i64),
    /// A number with bounds.
    Real(f64, f64),
    /// One of some words.
    Enum(&'static [&'static str]),
    /// Any text.
    Text,
    /// A time zone.
    TimeZone,
    /// How dates are written, and the order of day and month.
    DateStyle,
    /// Only this value: others would ask for what Nearlake does not do.
    Only(&'static [&'static str]),
}

/// Who may change a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Any session, for itself.
    User,
    /// A session of a superuser, for itself or, where the setting says so, for the node.
    Superuser,
    /// Nobody: it tells a fact.
    Internal,
    /// Whoever starts the server.
    Postmaster,
}

/// The declaration of a setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name, in PostgreSQL's spelling.
    pub name: &'static str,
    /// The value built in.
    pub default: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Who may change it.
    pub who: Who,
    /// Whether the client is told of every change (ParameterStatus).
    pub reported: bool,
    /// What it does.
    pub about: &'static str,
}

const fn user(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting { name, default, kind, who: Who::User, reported: false, about }
}

const fn superuser(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting { name, default, kind, who: Who::Superuser, reported: false, about }
}

const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting { name, default, kind, who: Who::User, reported: true, about }
}

const fn fact(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { name, default, kind: Kind::Text, who: Who::Internal, reported: false, about }
}

const fn told(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { name, default, kind: Kind::Text, who: Who::Internal, reported: true, about }
}

const ISOLATION: Kind =
    Kind::Enum(&["read committed", "repeatable read", "read uncommitted", "serializable"]);
const LEVELS: Kind = Kind::Enum(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
]);
const MS: Kind = Kind::Int("ms", 0, i32::MAX as i64);

/// The setting that is the node's and not the session's.
pub(in crate::session) const LOG_FILTER: &str = "nearlake.log_filter";

/// Every setting, by name.
pub const SETTINGS: &[Setting] = &[
    reported("application_name", "", Kind::Text, "The name that the application gives itself."),
    user("bytea_output", "hex", Kind::Enum(&["hex", "escape"]), "How bytea is written."),
    user("check_function_bodies", "on", Kind::Bool, "Accepted: there are no function bodies."),
    reported(
        "client_encoding",
        "UTF8",
        Kind::Only(&["UTF8", "UTF-8", "UNICODE", "SQL_ASCII"]),
        "The client's encoding: always UTF-8.",
    ),
    user("client_min_messages", "notice", LEVELS, "The least severe message that is sent."),
    user(
        "constraint_exclusion",
        "partition",
        Kind::Enum(&["partition", "on", "off"]),
        "Accepted: tables have no partitions.",
    ),
    reported(
        "datestyle",
        "ISO, MDY",
        Kind::DateStyle,
        "How dates are written, and in which order day and month are read.",
    ),
    fact("data_checksums", "on", "Every unit that is read carries a checksum."),
    user("default_table_access_method", "heap", Kind::Only(&["heap"]), "The table access method."),
    user("default_tablespace", "", Kind::Only(&[""]), "There are no tablespaces."),
    user(
        "default_text_search_config",
        "pg_catalog.english",
        Kind::Text,
        "The text search configuration.",
    ),
    user(
        "default_transaction_deferrable",
        "off",
        Kind::Only(&["off"]),
        "Transactions never defer.",
    ),
    user(
        "default_transaction_isolation",
        "read committed",
        ISOLATION,
        "The isolation of new transactions.",
    ),
    reported(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "Whether new transactions only read.",
    ),
    user("enable_bitmapscan", "on", Kind::Bool, "Accepted: there are no bitmap scans."),
    user("enable_hashagg", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_hashjoin", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_incremental_sort", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_indexonlyscan", "on", Kind::Bool, "Accepted: there are no index-only scans."),
    user("enable_indexscan", "on", Kind::Bool, "Whether a vector index is used; off is exact."),
    user("enable_material", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_memoize", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_mergejoin", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_nestloop", "on", Kind::Bool, "Accepted: the planner chooses."),
    user("enable_seqscan", "on", Kind::Bool, "Accepted: a scan is used where no index serves."),
    user("enable_sort", "on", Kind::Bool, "Accepted: the planner chooses."),
    user(
        "extra_float_digits",
        "1",
        Kind::Int("", -15, 3),
        "How many digits of floats are written.",
    ),
    user(
        "hnsw.ef_search",
        "40",
        Kind::Int("", 1, 1000),
        "Raises the least number of postings that a search reads; never lowers its recall target.",
    ),
    user(
        "hnsw.iterative_scan",
        "off",
        Kind::Enum(&["off", "relaxed_order", "strict_order"]),
        "Accepted: a search always goes on until LIMIT rows are found.",
    ),
    user(
        "hnsw.max_scan_tuples",
        "20000",
        Kind::Int("", 1, i32::MAX as i64),
        "Accepted: a search is never cut short.",
    ),
    user(
        "hnsw.scan_mem_multiplier",
        "1",
        Kind::Real(1.0, 1000.0),
        "Accepted: a search is never cut short.",
    ),
    user("idle_in_transaction_session_timeout", "0", MS, "How long a transaction may idle."),
    user("idle_session_timeout", "0", MS, "How long a session may idle."),
    reported("in_hot_standby", "off", Kind::Only(&["off"]), "Whether this is a reader only."),
    told("integer_datetimes", "on", "Times are whole microseconds."),
    reported(
        "intervalstyle",
        "postgres",
        Kind::Enum(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "How intervals are written.",
    ),
    user(
        "ivfflat.iterative_scan",
        "off",
        Kind::Enum(&["off", "relaxed_order"]),
        "Accepted: a search always goes on until LIMIT rows are found.",
    ),
    user(
        "ivfflat.max_probes",
        "32768",
        Kind::Int("", 1, 32768),
        "Accepted: a search is never cut short.",
    ),
    user(
        "ivfflat.probes",
        "1",
        Kind::Int("", 1, 32768),
        "Raises the least number of postings that a search reads; never lowers its recall target.",
    ),
    user("jit", "off", Kind::Bool, "Accepted: there is no just-in-time compiler."),
    fact("lc_collate", "C", "Text sorts by its bytes."),
    fact("lc_ctype", "C.UTF-8", "Characters are Unicode's."),
    user("lc_messages", "C", Kind::Text, "Messages are English."),
    user("lc_monetary", "C", Kind::Text, "The locale of money."),
    user("lc_numeric", "C", Kind::Text, "The locale of numbers."),
    user("lc_time", "C", Kind::Text, "The locale of dates."),
    user("lock_timeout", "0", MS, "How long a statement waits for a lock."),
    superuser(
        "log_min_duration_statement",
        "-1",
        Kind::Int("ms", -1, i32::MAX as i64),
        "From which duration on a statement is logged.",
    ),
    superuser(
        "log_parameter_max_length",
        "0",
        Kind::Int("B", -1, i32::MAX as i64),
        "How much of each parameter the log shows; -1 is all of it, 0 nothing.",
    ),
    user(
        "maintenance_work_mem",
        "262144",
        Kind::Int("kB", 64, i32::MAX as i64),
        "The memory of a build of an index beyond its centroids; at least 32MB are taken.",
    ),
    fact("max_connections", "100", "How many sessions there may be."),
    fact("max_identifier_length", "63", "The bytes of a name."),
    fact("max_index_keys", "32", "The columns of a key."),
    user(
        "max_parallel_workers_per_gather",
        "2",
        Kind::Int("", 0, 1024),
        "Accepted: queries use the node's own workers.",
    ),
    user(
        "max_parallel_maintenance_workers",
        "2",
        Kind::Int("", 0, 1024),
        "How many threads beside its own a build of an index has, up to one for each core.",
    ),
    superuser(
        LOG_FILTER,
        "info",
        Kind::Text,
        "Which events the node logs: a level, or target=level pairs. Of the whole node, at once.",
    ),
    superuser(
        "nearlake.log_slow_plan",
        "off",
        Kind::Bool,
        "Whether the plan of a statement stands in the log beside it.",
    ),
    user(
        "nearlake.embedding_model",
        "",
        Kind::Text,
        "The model of calls of embed() that name none.",
    ),
    user(
        "nearlake.recall_target",
        "0.95",
        Kind::Real(0.5, 1.0),
        "The share of true neighbours that a search aims at, whatever its index says; 1 is exact.",
    ),
    user(
        "password_encryption",
        "scram-sha-256",
        Kind::Only(&["scram-sha-256"]),
        "How passwords are kept.",
    ),
    user(
        "plan_cache_mode",
        "auto",
        Kind::Enum(&["auto", "force_generic_plan", "force_custom_plan"]),
        "Accepted: the planner chooses.",
    ),
    user("random_page_cost", "4", Kind::Real(0.0, 1e300), "Accepted: costs are measured."),
    user("role", "none", Kind::Text, "The role that the session acts as."),
    user("row_security", "on", Kind::Bool, "Accepted: there are no row policies."),
    reported(
        "scram_iterations",
        "4096",
        Kind::Int("", 1, i32::MAX as i64),
        "Rounds of a new password's hash.",
    ),
    reported("search_path", "\"$user\", public", Kind::Text, "Where a bare name is looked up."),
    fact("segment_size", "131072", "Blocks of a file."),
    user("seq_page_cost", "1", Kind::Real(0.0, 1e300), "Accepted: costs are measured."),
    told("server_encoding", "UTF8", "The server's encoding."),
    told(
        "server_version",
        crate::catalog::pg::SERVER_VERSION,
        "The version of PostgreSQL that is spoken.",
    ),
    fact("server_version_num", "180000", "The same as a number."),
    user("session_authorization", "", Kind::Text, "The role that the session stands for."),
    user("session_replication_role", "origin", Kind::Only(&["origin"]), "There are no triggers."),
    reported(
        "standard_conforming_strings",
        "on",
        Kind::Only(&["on"]),
        "A backslash is a backslash.",
    ),
    user("statement_timeout", "0", MS, "How long a statement may run."),
    user("synchronize_seqscans", "on", Kind::Bool, "Accepted: scans go by row id."),
    user(
        "synchronous_commit",
        "on",
        Kind::Only(&["on", "local", "remote_write", "remote_apply"]),
        "A commit is always durable.",
    ),
    user(
        "temp_buffers",
        "1024",
        Kind::Int("8kB", 100, i32::MAX as i64),
        "Accepted: temporary tables are kept like all others.",
    ),
    reported("timezone", "UTC", Kind::TimeZone, "The zone of times that are read and written."),
    user("transaction_deferrable", "off", Kind::Only(&["off"]), "Transactions never defer."),
    user(
        "transaction_isolation",
        "read committed",
        ISOLATION,
        "The isolation of this transaction.",
    ),
    user("transaction_read_only", "off", Kind::Bool, "Whether this transaction only reads."),
    user("transform_null_equals", "off", Kind::Only(&["off"]), "`= NULL` is never true."),
    fact("wal_level", "replica", "What the log holds."),
    user(
        "work_mem",
        "4096",
        Kind::Int("kB", 64, i32::MAX as i64),
        "Accepted: queries share the node's memory budget.",
    ),
    user("xmlbinary", "base64", Kind::Enum(&["base64", "hex"]), "Accepted: there is no xml."),
    user(
        "xmloption",
        "content",
        Kind::Enum(&["content", "document"]),
        "Accepted: there is no xml.",
    ),
];
