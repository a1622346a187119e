//! A webhook: who is told of which changes, where, and on what terms; and the table in which
//! events wait (`docs/format/outbox.md`).

use super::{Catalog, Column, Table};
use crate::{
    config::units::{format_duration, format_size, parse_duration, parse_size},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Lsn, Oid, TableId},
    pgtype::PgType,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

/// The table of events that wait.
pub const OUTBOX: TableId = Oid(9940);
/// Its schema, which has no name: no statement finds it.
const OUTBOX_SCHEMA: Oid = Oid(9941);

/// A webhook as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its oid.
    pub id: Oid,
    /// The database whose changes it tells of.
    pub database: Oid,
    /// Its name, unique in the database.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// The table whose changes it tells of; none: every table's.
    pub table: Option<TableId>,
    /// What it tells of.
    pub events: BTreeSet<EventKind>,
    /// Which rows it tells of; none: all.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// Where events go.
    pub url: String,
    /// What they are signed with, the newest first.
    pub secrets: Vec<SigningSecret>,
    /// Whether events are sent.
    pub status: Status,
    /// Why it is paused.
    #[serde(default)]
    pub reason: Option<String>,
    /// 16 random hex digits, part of the ids of its events.
    pub stamp: String,
    /// `WITH (…)` as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// When it was created: microseconds since 1970.
    pub created_micros: i64,
}

/// What rows must be like to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// An expression over the row, as SQL text.
    pub text: String,
    /// The columns that it reads.
    pub columns: Vec<ColumnId>,
}

/// A secret that signatures are made with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// `whsec_` and base64.
    pub text: String,
    /// Until when it is still used after another took its place: microseconds since 1970.
    #[serde(default)]
    pub until_micros: Option<i64>,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret(until {:?})", self.until_micros)
    }
}

/// Whether events are recorded and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Both.
    Enabled,
    /// Neither: somebody said DISABLE.
    Disabled,
    /// Recorded, and sent once the endpoint answers again: it failed too often.
    Paused,
}

impl Status {
    /// As SQL shows it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Paused => "paused",
        }
    }
}

/// What a webhook can ask to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the event of its name")]
pub enum EventKind {
    Insert,
    Update,
    Delete,
    Truncate,
    Ddl,
    IndexBuilt,
    RecallBelowTarget,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::Ddl,
        Self::IndexBuilt,
        Self::RecallBelowTarget,
    ];

    /// As SQL and payloads write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Ddl => "ddl",
            Self::IndexBuilt => "index_built",
            Self::RecallBelowTarget => "recall_below_target",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// What of rows a payload carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// All columns.
    All,
    /// Those of the primary key; all where there is none.
    Keys,
    /// None: only how many rows there were.
    Nothing,
}

/// A webhook's options with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What of new rows is told.
    pub rows: Carried,
    /// What of rows that are gone is told.
    pub old_rows: Carried,
    /// Rows in one event.
    pub rows_max: usize,
    /// Bytes of one event's rows, after which it is closed.
    pub bytes_max: usize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// After so many attempts an event is a dead letter.
    pub attempts_max: u32,
    /// The first pause after a failed attempt.
    pub backoff_min: Duration,
    /// The longest.
    pub backoff_max: Duration,
    /// After so many dead letters in a row the webhook is paused; 0: never.
    pub pause_after: u32,
    /// How often the endpoint of a paused webhook is tried.
    pub probe_every: Duration,
    /// Events that may wait.
    pub outbox_events_max: usize,
    /// Bytes of events that may wait.
    pub outbox_bytes_max: u64,
    /// Dead letters that are kept.
    pub dead_letters_max: usize,
    /// How long the old secret is used beside a new one.
    pub secret_overlap: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            rows: Carried::All,
            old_rows: Carried::Keys,
            rows_max: 100,
            bytes_max: 256 << 10,
            timeout: Duration::from_secs(15),
            attempts_max: 12,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            pause_after: 3,
            probe_every: Duration::from_secs(60),
            outbox_events_max: 100_000,
            outbox_bytes_max: 256 << 20,
            dead_letters_max: 1000,
            secret_overlap: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The names of the options.
pub const OPTIONS: [&str; 14] = [
    "rows",
    "old_rows",
    "rows_max",
    "bytes_max",
    "timeout",
    "attempts_max",
    "backoff_min",
    "backoff_max",
    "pause_after",
    "probe_every",
    "outbox_events_max",
    "outbox_bytes_max",
    "dead_letters_max",
    "secret_overlap",
];

impl Terms {
    /// The terms that options ask for.
    ///
    /// # Errors
    /// 22023 for an option that there is not, or a value out of its bounds.
    pub fn of(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut terms = Self::default();
        for (name, value) in options {
            terms.set(name, value).map_err(|why| why.into_error(name, value))?;
        }
        if terms.backoff_min > terms.backoff_max {
            let message = "backoff_min is longer than backoff_max";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        Ok(terms)
    }

    /// Refuses a name that no option has.
    ///
    /// # Errors
    /// 22023.
    pub fn check_name(name: &str) -> Result<()> {
        match OPTIONS.contains(&name) {
            true => Ok(()),
            false => Err(Wrong::Name.into_error(name, "")),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Wrong> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let ms = Duration::from_millis;
        match name {
            "rows" => self.rows = carried(value)?,
            "old_rows" => self.old_rows = carried(value)?,
            "rows_max" => self.rows_max = count(value, 1, 10_000)?,
            "bytes_max" => self.bytes_max = usize_of(size(value, 1 << 10, 16 << 20)?),
            "timeout" => self.timeout = time(value, ms(100), ms(60_000))?,
            "attempts_max" => self.attempts_max = count(value, 1, 1000)?,
            "backoff_min" => self.backoff_min = time(value, ms(10), DAY)?,
            "backoff_max" => self.backoff_max = time(value, ms(10), DAY)?,
            "pause_after" => self.pause_after = count(value, 0, 1000)?,
            "probe_every" => self.probe_every = time(value, ms(100), DAY)?,
            "outbox_events_max" => self.outbox_events_max = count(value, 1, 10_000_000)?,
            "outbox_bytes_max" => self.outbox_bytes_max = size(value, 64 << 10, 64 << 30)?,
            "dead_letters_max" => self.dead_letters_max = count(value, 1, 1_000_000)?,
            "secret_overlap" => self.secret_overlap = time(value, Duration::ZERO, 30 * DAY)?,
            _ => return Err(Wrong::Name),
        }
        Ok(())
    }
}

/// What is wrong with an option.
enum Wrong {
    Name,
    Value(String),
}

impl Wrong {
    fn into_error(self, name: &str, value: &str) -> Error {
        match self {
            Self::Value(why) => Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid value for option \"{name}\": \"{value}\" {why}"),
            ),
            Self::Name => {
                let message = format!("unrecognized webhook option \"{name}\"");
                let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
                match super::nearest(name, OPTIONS.into_iter()) {
                    Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                    None => error.hint(format!("There are {}.", OPTIONS.join(", "))),
                }
            }
        }
    }
}

fn carried(value: &str) -> Result<Carried, Wrong> {
    match value {
        "all" => Ok(Carried::All),
        "keys" => Ok(Carried::Keys),
        "none" => Ok(Carried::Nothing),
        _ => Err(Wrong::Value("is not all, keys or none".into())),
    }
}

fn count<T: TryFrom<u64>>(value: &str, least: u64, most: u64) -> Result<T, Wrong> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Wrong::Value(format!("is not between {least} and {most}")))
}

fn size(value: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    let bytes = parse_size(value).map_err(Wrong::Value)?;
    if !(least..=most).contains(&bytes) {
        let (least, most) = (format_size(least), format_size(most));
        return Err(Wrong::Value(format!("is not between {least} and {most}")));
    }
    Ok(bytes)
}

fn time(value: &str, least: Duration, most: Duration) -> Result<Duration, Wrong> {
    let duration = parse_duration(value).map_err(Wrong::Value)?;
    if !(least..=most).contains(&duration) {
        let (least, most) = (format_duration(least), format_duration(most));
        return Err(Wrong::Value(format!("is not between {least} and {most}")));
    }
    Ok(duration)
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Webhook {
    /// Its options with their defaults.
    ///
    /// # Errors
    /// 22023.
    pub fn terms(&self) -> Result<Terms> {
        Terms::of(&self.options)
    }

    /// Whether it is told of a kind of event of a table.
    #[must_use]
    pub fn wants(&self, kind: EventKind, table: TableId) -> bool {
        let of_table = self.table.is_none_or(|own| own == table);
        of_table && self.events.contains(&kind) && self.status != Status::Disabled
    }

    /// The columns whose old values it needs of rows that are deleted or replaced.
    fn old_columns(&self, table: &Table) -> BTreeSet<ColumnId> {
        let old_rows = self.terms().map_or(Carried::All, |terms| terms.old_rows);
        let mut columns = carried_columns(old_rows, table);
        columns.extend(self.condition.iter().flat_map(|condition| &condition.columns));
        columns
    }
}

/// The columns that are carried of a table's rows.
#[must_use]
pub fn carried_columns(carried: Carried, table: &Table) -> BTreeSet<ColumnId> {
    match (carried, table.primary_key()) {
        (Carried::Nothing, _) => BTreeSet::new(),
        (Carried::Keys, Some((_, columns))) => columns.iter().copied().collect(),
        (Carried::Keys, None) | (Carried::All, _) => table.columns.iter().map(|c| c.id).collect(),
    }
}

impl Catalog {
    /// Whether anybody is to be told of anything.
    #[must_use]
    pub fn has_webhooks(&self) -> bool {
        !self.webhooks.is_empty()
    }

    /// The commit with which webhooks began.
    #[must_use]
    pub fn told_since(&self) -> Option<Lsn> {
        self.told_since
    }

    /// A commit changed the names from `before` to these: webhooks begin with it, or end.
    pub fn begin_telling(&mut self, before: &Self, lsn: Lsn) {
        match (before.has_webhooks(), self.has_webhooks()) {
            (false, true) => self.told_since = Some(lsn),
            (_, false) => self.told_since = None,
            _ => {}
        }
    }

    /// The webhook of a name in a database.
    #[must_use]
    pub fn webhook_named(&self, database: Oid, name: &str) -> Option<&Arc<Webhook>> {
        self.webhooks().find(|webhook| webhook.database == database && webhook.name == name)
    }

    /// The webhooks that may be told of a table's rows.
    pub fn webhooks_of(&self, table: &Table) -> impl Iterator<Item = &Arc<Webhook>> {
        let database = self.schema(table.schema).and_then(|schema| schema.database);
        let id = table.id;
        self.webhooks().filter(move |webhook| {
            Some(webhook.database) == database && webhook.table.is_none_or(|own| own == id)
        })
    }

    /// The columns whose old values are told when rows of a table are deleted or replaced; `None`
    /// when nobody is told of that.
    #[must_use]
    pub fn told_old_columns(&self, table: &Table) -> Option<BTreeSet<ColumnId>> {
        if !self.has_webhooks() || self.is_temporary(table.schema) {
            return None;
        }
        let wants = |webhook: &&Arc<Webhook>| {
            webhook.wants(EventKind::Update, table.id) || webhook.wants(EventKind::Delete, table.id)
        };
        let mut wanted = self.webhooks_of(table).filter(wants).peekable();
        wanted.peek()?;
        Some(wanted.flat_map(|webhook| webhook.old_columns(table)).collect())
    }
}

/// The columns of the outbox, in order.
pub const OUTBOX_COLUMNS: [(&str, PgType); 10] = [
    ("webhook", PgType::Int8),
    ("id", PgType::Text),
    ("kind", PgType::Text),
    ("commit", PgType::Int8),
    ("created", PgType::Int8),
    ("state", PgType::Int4),
    ("attempts", PgType::Int4),
    ("error", PgType::Text),
    ("bytes", PgType::Int8),
    ("payload", PgType::Text),
];

/// The table of events that wait.
pub(super) fn outbox() -> Arc<Table> {
    let columns = OUTBOX_COLUMNS.into_iter().zip(1..);
    let columns = columns.map(|((name, kind), id)| Column::new(ColumnId(id), name, kind));
    Arc::new(Table {
        id: OUTBOX,
        schema: OUTBOX_SCHEMA,
        name: "outbox".into(),
        owner: super::POSTGRES_ROLE,
        columns: columns.collect(),
        next_column: ColumnId(11),
        constraints: Vec::new(),
        options: BTreeMap::new(),
        on_commit: None,
        comment: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(name: &str, value: &str) -> Result<Terms> {
        Terms::of(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn options_have_bounds() {
        assert_eq!(terms("timeout", "2s").unwrap().timeout, Duration::from_secs(2));
        assert_eq!(terms("rows", "keys").unwrap().rows, Carried::Keys);
        for (name, value) in
            [("timeout", "1d"), ("timeout", "soon"), ("rows", "some"), ("rows_max", "0")]
        {
            let error = terms(name, value).unwrap_err();
            assert_eq!(error.state(), SqlState::INVALID_PARAMETER_VALUE, "{name} {value}");
        }
        let misspelt = terms("timeot", "2s").unwrap_err();
        assert_eq!(misspelt.fields().hint.as_deref(), Some("did you mean \"timeout\"?"));
    }

    #[test]
    fn every_option_is_known() {
        for name in OPTIONS {
            let error = terms(name, "?").unwrap_err();
            assert!(error.message().starts_with("invalid value"), "{error}");
        }
    }

    #[test]
    fn no_statement_finds_the_outbox() {
        let catalog = Catalog::default();
        assert!(catalog.schema(OUTBOX_SCHEMA).is_none());
    }
}
