//! Settings of a session: what SET, SHOW, RESET, `set_config` and `pg_settings` know.
//!
//! Every setting is declared once, in [`SETTINGS`]. One that PostgreSQL has and that changes
//! nothing here takes only the values under which that is true; the others are refused.

use crate::{
    catalog::nearest,
    error::{Error, Result, SqlState},
    sql::SettingRow,
    telemetry,
};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

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
pub(super) const LOG_FILTER: &str = "nearlake.log_filter";

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
        Kind::Only(&["ISO, MDY", "ISO", "ISO,MDY", "ISO, DMY", "ISO, YMD", "iso, mdy", "iso"]),
        "How dates are written: always ISO.",
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

/// The values of one session.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Counts the changes: what was derived from the values holds as long as it stays.
    generation: u64,
    /// What RESET goes back to: the start packet's, the role's, the database's.
    start: HashMap<Cow<'static, str>, String>,
    session: Given,
    /// What the running transaction set; goes with it or becomes the session's.
    transaction: Given,
    local: Given,
}

/// What was set; `None` where a RESET took it back to what the session started with.
type Given = HashMap<Cow<'static, str>, Option<String>>;

impl Settings {
    /// Sets what the session starts with.
    ///
    /// # Errors
    /// 42704, 22023, 55P02.
    pub fn start_with(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = check(name, value)?;
        self.generation += 1;
        self.start.insert(name, value);
        Ok(())
    }

    /// The same number means the same values.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// SET and SET LOCAL. Gives back the value as SHOW would.
    ///
    /// # Errors
    /// 42704, 22023, 55P02.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> Result<String> {
        let (name, value) = check(name, value)?;
        self.generation += 1;
        if local {
            self.local.insert(name, Some(value.clone()));
        } else {
            self.local.remove(&name);
            self.transaction.insert(name, Some(value.clone()));
        }
        Ok(value)
    }

    /// RESET, or SET … TO DEFAULT.
    ///
    /// # Errors
    /// 42704, 55P02.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let known = match find(name) {
            Some(setting) => {
                check(name, setting.default)?;
                Cow::Borrowed(setting.name)
            }
            None if name.contains('.') => Cow::Owned(name.to_ascii_lowercase()),
            None => return Err(unknown(name)),
        };
        self.generation += 1;
        self.local.remove(&known);
        self.transaction.insert(known, None);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.generation += 1;
        let own = |name| ["role", "session_authorization"].contains(&name);
        let resettable = |setting: &&Setting| {
            matches!(setting.who, Who::User | Who::Superuser) && !own(setting.name)
        };
        for setting in SETTINGS.iter().filter(resettable) {
            self.transaction.insert(Cow::Borrowed(setting.name), None);
        }
        self.local.clear();
    }

    fn reset_value(&self, name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        let default = || find(&lower).map(|setting| setting.default.to_owned());
        self.start.get(lower.as_str()).cloned().or_else(default)
    }

    /// The value of a setting; `None` where there is none such.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let lower = lower(name);
        let known = || find(&lower).map(|setting| setting.default);
        // A name of one's own that was set once stays known: the empty text.
        let once = || self.latest(&lower).map(|_| "");
        self.given(&lower).or_else(known).or_else(once)
    }

    /// What a setting was set to, by the session or by what it started with; `None` where the
    /// value built in holds.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        let lower = lower(name);
        match self.latest(&lower) {
            Some(Some(value)) => Some(value),
            _ => self.start.get(lower.as_ref()).map(String::as_str),
        }
    }

    /// What the last SET or RESET of a name said.
    fn latest(&self, lower: &str) -> Option<Option<&str>> {
        [&self.local, &self.transaction, &self.session]
            .into_iter()
            .find_map(|values| values.get(lower).map(Option::as_deref))
    }

    /// The value of a setting that is declared.
    #[must_use]
    pub fn known(&self, name: &'static str) -> &str {
        self.value(name).expect("a declared setting has a value")
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &'static str) -> bool {
        self.known(name) == "on"
    }

    /// A number in the setting's own unit.
    #[must_use]
    pub fn number(&self, name: &'static str) -> i64 {
        digits(self.known(name)).unwrap_or(0)
    }

    /// A time in milliseconds; `None` where 0 says that there is none.
    #[must_use]
    pub fn duration(&self, name: &'static str) -> Option<Duration> {
        u64::try_from(self.number(name)).ok().filter(|&ms| ms > 0).map(Duration::from_millis)
    }

    /// What binding a statement depends on: how names are found and literals are read.
    #[must_use]
    pub fn binding(&self) -> Arc<str> {
        let names = [
            "search_path",
            "timezone",
            "datestyle",
            "intervalstyle",
            "bytea_output",
            crate::sql::MODEL_SETTING,
        ];
        names.map(|name| self.known(name)).join("\0").into()
    }

    /// The transaction ends: what it set stays if it committed.
    pub fn end_transaction(&mut self, committed: bool) {
        if self.local.is_empty() && self.transaction.is_empty() {
            return;
        }
        self.generation += 1;
        self.local.clear();
        let set = std::mem::take(&mut self.transaction);
        if committed {
            self.session.extend(set);
        }
    }

    /// Every setting as `pg_settings` shows it.
    #[must_use]
    pub fn rows(&self) -> Vec<SettingRow> {
        SETTINGS.iter().map(|setting| self.row(setting)).collect()
    }

    fn row(&self, setting: &Setting) -> SettingRow {
        let (vartype, unit, min, max, words) = match setting.kind {
            Kind::Bool => ("bool", "", None, None, None),
            Kind::Int(unit, min, max) => {
                ("integer", unit, Some(min.to_string()), Some(max.to_string()), None)
            }
            Kind::Real(min, max) => {
                ("real", "", Some(min.to_string()), Some(max.to_string()), None)
            }
            Kind::Enum(words) => ("enum", "", None, None, Some(words)),
            Kind::Text | Kind::TimeZone | Kind::Only(_) => ("string", "", None, None, None),
        };
        let value = self.known(setting.name);
        SettingRow {
            name: display_name(setting.name).to_owned(),
            setting: value.to_owned(),
            unit: (!unit.is_empty()).then(|| unit.to_owned()),
            category: if setting.name.contains('.') { "Customized Options" } else { "Settings" }
                .to_owned(),
            short_desc: setting.about.to_owned(),
            context: match setting.who {
                Who::User => "user",
                Who::Superuser => "superuser",
                Who::Internal => "internal",
                Who::Postmaster => "postmaster",
            }
            .to_owned(),
            vartype: vartype.to_owned(),
            source: if value == setting.default { "default" } else { "session" }.to_owned(),
            min_val: min,
            max_val: max,
            enumvals: words.map(|words| words.iter().map(|&word| word.to_owned()).collect()),
            boot_val: Some(setting.default.to_owned()),
            reset_val: self.reset_value(setting.name),
        }
    }
}

/// The declaration of a name, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Setting>> =
        LazyLock::new(|| SETTINGS.iter().map(|setting| (setting.name, setting)).collect());
    BY_NAME.get(lower(name).as_ref()).copied()
}

/// Names are the same in upper and lower case.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The name as PostgreSQL tells it to clients.
#[must_use]
pub fn display_name(name: &str) -> &str {
    match name {
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        "timezone" => "TimeZone",
        other => other,
    }
}

/// A setting's value in its unit, as SHOW writes it: `30s`, `64MB`.
#[must_use]
pub fn shown(name: &str, value: &str) -> String {
    let Some(Setting { kind: Kind::Int(unit, ..), .. }) = find(name) else {
        return value.to_owned();
    };
    let units: &[(&str, i64)] = match *unit {
        "ms" => &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)],
        "kB" => &[("GB", 1 << 20), ("MB", 1 << 10), ("kB", 1)],
        "8kB" => &[("MB", 128)],
        "B" => &[("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)],
        _ => return value.to_owned(),
    };
    let number: i64 = digits(value).unwrap_or(0);
    if number <= 0 {
        return value.to_owned();
    }
    units
        .iter()
        .find(|(_, size)| number % size == 0)
        .map_or_else(|| value.to_owned(), |(unit, size)| format!("{}{unit}", number / size))
}

/// Whether a role may change a setting.
///
/// # Errors
/// 42501.
pub(super) fn check_may_change(name: &str, is_superuser: bool) -> Result<()> {
    match find(name) {
        Some(Setting { who: Who::Superuser, name, .. }) if !is_superuser => Err(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied to set parameter \"{name}\""),
        )),
        _ => Ok(()),
    }
}

/// SET and RESET of [`LOG_FILTER`], which hold for the whole node and at once.
pub(super) fn set_log_filter(filter: Option<&str>, local: bool) -> Result<()> {
    if local {
        return Err(Error::unsupported(format!("{LOG_FILTER} cannot be set for a transaction"))
            .hint("It is the whole node's: SET it, and RESET it afterwards."));
    }
    telemetry::set_log_filter(filter)
}

/// A name and a value, checked and in their canonical spelling.
fn check(name: &str, value: &str) -> Result<(Cow<'static, str>, String)> {
    let Some(setting) = find(name) else {
        // A class of one's own is free to use, as in PostgreSQL; ours are not.
        let class = name.split_once('.').map(|(class, _)| class.to_ascii_lowercase());
        return match class.as_deref() {
            Some("nearlake" | "hnsw" | "ivfflat") | None => Err(unknown(name)),
            Some(_) => Ok((Cow::Owned(name.to_ascii_lowercase()), value.to_owned())),
        };
    };
    let shown = display_name(setting.name);
    if setting.name == LOG_FILTER {
        return Err(Error::unsupported(format!("{LOG_FILTER} cannot be set for a session"))
            .hint("It is the whole node's: SET it as a superuser, or configure log_filter."));
    }
    if !matches!(setting.who, Who::User | Who::Superuser) {
        return Err(Error::new(
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
            format!("parameter \"{shown}\" cannot be changed"),
        ));
    }
    let invalid = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{shown}\": \"{value}\""),
        )
    };
    let canonical = match setting.kind {
        Kind::Bool => if truth(value).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("parameter \"{shown}\" requires a Boolean value"),
            )
        })? {
            "on"
        } else {
            "off"
        }
        .to_owned(),
        Kind::Int(unit, min, max) => {
            let number = quantity(value, unit).ok_or_else(invalid)?;
            if i32::try_from(number).is_err() {
                return Err(invalid().hint("Value exceeds integer range."));
            }
            bounded(shown, number, (min, max), unit)?.to_string()
        }
        Kind::Real(min, max) => {
            let number: f64 = value.trim().parse().map_err(|_| invalid())?;
            if !(min..=max).contains(&number) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!(
                        "{number} is outside the valid range for parameter \"{shown}\" ({min} .. {max})"
                    ),
                ));
            }
            number.to_string()
        }
        Kind::Enum(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
            Some(word) => (*word).to_owned(),
            None => {
                let hint = format!("Available values: {}.", words.join(", "));
                return Err(invalid().hint(hint));
            }
        },
        Kind::Text => value.to_owned(),
        Kind::TimeZone => time_zone(value).map(|zone| zone.name().to_owned()).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid value for parameter \"TimeZone\": \"{value}\""),
            )
        })?,
        Kind::Only(words) => {
            let plain = value.trim().trim_matches(['\'', '"']);
            let same = |word: &&&str| {
                word.eq_ignore_ascii_case(plain)
                    || (**word == "on" && truth(plain) == Some(true))
                    || (**word == "off" && truth(plain) == Some(false))
            };
            if !words.iter().any(|word| same(&word)) {
                return Err(Error::unsupported(format!(
                    "parameter \"{shown}\" cannot be set to \"{value}\""
                ))
                .hint(format!("{} The value is \"{}\".", setting.about, setting.default)));
            }
            setting.default.to_owned()
        }
    };
    Ok((Cow::Borrowed(setting.name), canonical))
}

fn bounded(shown: &str, number: i64, (min, max): (i64, i64), unit: &str) -> Result<i64> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    let with_unit = |number: i64| match unit {
        "" => number.to_string(),
        unit => format!("{number} {unit}"),
    };
    Err(Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "{} is outside the valid range for parameter \"{shown}\" ({} .. {})",
            with_unit(number),
            with_unit(min),
            with_unit(max)
        ),
    ))
}

fn digits(value: &str) -> Option<i64> {
    value.parse().ok()
}

/// A number with or without a unit, in the setting's unit.
fn quantity(value: &str, unit: &str) -> Option<i64> {
    let value = value.trim();
    let end = value.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (number, suffix) = value.split_at(end);
    let number: f64 = number.trim().parse().ok()?;
    let sizes: &[(&str, f64)] = match unit {
        "ms" => {
            &[("us", 0.001), ("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6), ("d", 8.64e7)]
        }
        "B" => &[("B", 1.0), ("kB", 1024.0), ("MB", 1_048_576.0), ("GB", 1_073_741_824.0)],
        "kB" => &[
            ("B", 1.0 / 1024.0),
            ("kB", 1.0),
            ("MB", 1024.0),
            ("GB", 1_048_576.0),
            ("TB", 1_073_741_824.0),
        ],
        "8kB" => &[("kB", 0.125), ("MB", 128.0), ("GB", 131_072.0)],
        _ => &[],
    };
    let factor =
        if suffix.is_empty() { 1.0 } else { sizes.iter().find(|(name, _)| *name == suffix)?.1 };
    let scaled = (number * factor).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked against the bounds of i64")]
    (scaled.abs() < 9e18).then_some(scaled as i64)
}

fn truth(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Some(true),
        "off" | "false" | "no" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// A time zone by its name, in any case.
#[must_use]
pub fn time_zone(name: &str) -> Option<chrono_tz::Tz> {
    let name = name.trim().trim_matches('\'');
    match name.to_ascii_lowercase().as_str() {
        "utc" | "gmt" | "z" | "zulu" | "0" | "+00" | "+00:00" | "default" | "local" => {
            Some(chrono_tz::UTC)
        }
        _ => chrono_tz::TZ_VARIANTS.into_iter().find(|zone| zone.name().eq_ignore_ascii_case(name)),
    }
}

fn unknown(name: &str) -> Error {
    let error = Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    );
    let lower = name.to_ascii_lowercase();
    match nearest(&lower, SETTINGS.iter().map(|setting| setting.name)) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

/// 42704 for a setting that there is not, as SHOW tells it.
#[must_use]
pub fn no_setting(name: &str) -> Error {
    unknown(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_told_as_postgres_does() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("statement_timeout", "2s", false).unwrap(), "2000");
        assert_eq!(shown("statement_timeout", settings.known("statement_timeout")), "2s");
        assert_eq!(settings.set("enable_indexscan", "false", false).unwrap(), "off");
        assert_eq!(settings.set("TimeZone", "europe/berlin", false).unwrap(), "Europe/Berlin");
        let message = |result: Result<String>| result.unwrap_err().message().to_owned();
        assert_eq!(
            message(settings.set("hnsw.ef_search", "0", false)),
            "0 is outside the valid range for parameter \"hnsw.ef_search\" (1 .. 1000)"
        );
        let error = settings.set("statement_timout", "1", false).unwrap_err();
        assert_eq!(error.fields().hint.as_deref(), Some("did you mean \"statement_timeout\"?"));
        assert_eq!(settings.set("app.user", "7", false).unwrap(), "7");
    }

    #[test]
    fn a_reset_goes_back_to_the_start_and_gives_nothing() {
        let mut settings = Settings::default();
        assert_eq!(settings.given("nearlake.recall_target"), None);
        settings.set("nearlake.recall_target", "0.95", false).unwrap();
        assert_eq!(settings.given("nearlake.recall_target"), Some("0.95"));
        settings.reset("nearlake.recall_target").unwrap();
        assert_eq!(settings.given("nearlake.recall_target"), None);
        assert_eq!(settings.known("nearlake.recall_target"), "0.95");

        settings.set("app.user", "7", false).unwrap();
        settings.reset("app.user").unwrap();
        assert_eq!(settings.value("app.user"), Some(""));

        let mut settings = Settings::default();
        settings.start_with("nearlake.recall_target", "0.8").unwrap();
        settings.set("nearlake.recall_target", "0.9", true).unwrap();
        settings.reset("NEARLAKE.recall_target").unwrap();
        assert_eq!(settings.given("nearlake.recall_target"), Some("0.8"));
    }

    #[test]
    fn what_a_transaction_set_goes_with_it() {
        let mut settings = Settings::default();
        settings.set("application_name", "a", false).unwrap();
        settings.end_transaction(true);
        settings.set("application_name", "b", false).unwrap();
        settings.set("application_name", "c", true).unwrap();
        assert_eq!(settings.known("application_name"), "c");
        settings.end_transaction(false);
        assert_eq!(settings.known("application_name"), "a");
    }
}
