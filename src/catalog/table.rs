//! A table: its columns, its keys, its options.

use crate::{
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid, TableId},
    pgtype::PgType,
    vector::Metric,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A table as the catalog knows it. Rows are the storage's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its oid, for ever.
    pub id: TableId,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// Its columns in order; a dropped one is gone, and its number is not used again.
    pub columns: Vec<Column>,
    /// The number of the next column to be added.
    pub next_column: ColumnId,
    /// Keys and checks.
    pub constraints: Vec<Constraint>,
    /// `WITH (…)`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// `ON COMMIT` of a temporary table; none: rows are preserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_commit: Option<OnCommit>,
    /// `COMMENT ON TABLE`.
    #[serde(default)]
    pub comment: Option<String>,
}

/// What the end of a transaction does to a temporary table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCommit {
    /// Its rows go.
    DeleteRows,
    /// It goes.
    Drop,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What its values are stored under.
    pub id: ColumnId,
    /// Its number in the table (attnum), where that is no longer its id: values of another type are
    /// stored under another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i16>,
    /// Its name.
    pub name: String,
    /// Its type with modifier.
    pub kind: PgType,
    /// The domain whose rules its values obey; its type is that of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Oid>,
    /// Whether NULL is refused.
    #[serde(default)]
    pub not_null: bool,
    /// `DEFAULT`, as SQL text.
    #[serde(default)]
    pub default: Option<String>,
    /// `GENERATED ALWAYS AS (…) STORED`: the expression, as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// The models that its expression asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ColumnModel>,
    /// What its expression is being replaced by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Box<Replacement>>,
    /// `GENERATED … AS IDENTITY`; the default is then the sequence's next value.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The sequence that a serial or identity column owns.
    #[serde(default)]
    pub sequence: Option<Oid>,
    /// The value of rows that are older than the column, as text; none: NULL.
    #[serde(default)]
    pub missing: Option<String>,
    /// `COMMENT ON COLUMN`.
    #[serde(default)]
    pub comment: Option<String>,
}

impl Column {
    /// Its number in the table.
    #[must_use]
    pub fn attnum(&self) -> i16 {
        self.number.unwrap_or(self.id.0)
    }

    /// A column that has a type, and nothing else.
    #[must_use]
    pub fn new(id: ColumnId, name: impl Into<String>, kind: PgType) -> Self {
        Self {
            id,
            number: None,
            name: name.into(),
            kind,
            domain: None,
            not_null: false,
            default: None,
            generated: None,
            models: Vec::new(),
            replacement: None,
            identity: None,
            sequence: None,
            missing: None,
            comment: None,
        }
    }
}

/// A model whose vectors a generated column holds, as it was when it made them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnModel {
    /// The model.
    pub model: Oid,
    /// Its version.
    pub version: u64,
    /// The checksum of its files and options.
    pub checksum: String,
}

/// An expression that will take the place of a column's once every row has its value. Until then the
/// values gather in a table of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The expression, as SQL text.
    pub generated: String,
    /// The type of its values.
    pub kind: PgType,
    /// The models that it asks.
    pub models: Vec<ColumnModel>,
    /// The table of the values that are there: the number of a row, and its value.
    pub values: TableId,
}

/// Who gives an identity column its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// `GENERATED ALWAYS`: only the sequence, unless overridden.
    Always,
    /// `GENERATED BY DEFAULT`: the sequence where the statement is silent.
    ByDefault,
}

/// A constraint of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its oid; for a key also that of its index in `pg_class`.
    pub id: Oid,
    /// Its name.
    pub name: String,
    /// What it asks.
    pub kind: ConstraintKind,
}

/// What a constraint asks of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ConstraintKind {
    /// No two rows agree in these columns, and none is NULL there.
    PrimaryKey {
        /// The key, in order.
        columns: Vec<ColumnId>,
    },
    /// No two rows agree in these columns; NULLs differ from each other, unless it says otherwise.
    Unique {
        /// The key, in order.
        columns: Vec<ColumnId>,
        /// Made by CREATE UNIQUE INDEX rather than by a constraint clause.
        #[serde(default)]
        index_only: bool,
        /// `NULLS NOT DISTINCT`
        #[serde(default)]
        nulls_not_distinct: bool,
    },
    /// An expression that must not be false.
    Check {
        /// The expression as SQL text.
        expression: String,
    },
    /// A reference to another table: recorded, not enforced.
    ForeignKey {
        /// The referencing columns.
        columns: Vec<ColumnId>,
        /// The table referred to.
        references: TableId,
        /// The columns referred to.
        referenced: Vec<ColumnId>,
        /// `ON DELETE … ON UPDATE …` as written.
        #[serde(default)]
        actions: String,
    },
}

impl ConstraintKind {
    /// Whether rows are told apart by it: a primary key or a unique constraint.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self, Self::PrimaryKey { .. } | Self::Unique { .. })
    }

    /// Whether NULL equals NULL by it.
    #[must_use]
    pub fn nulls_not_distinct(&self) -> bool {
        matches!(self, Self::Unique { nulls_not_distinct: true, .. })
    }
}

impl Table {
    /// The column of a name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The place of a column among the table's columns.
    #[must_use]
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// The column of a number.
    #[must_use]
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The column of a number that clients know.
    #[must_use]
    pub fn column_numbered(&self, attnum: i64) -> Option<&Column> {
        self.columns.iter().find(|column| i64::from(column.attnum()) == attnum)
    }

    /// The numbers of columns.
    #[must_use]
    pub fn attnums(&self, ids: &[ColumnId]) -> Vec<i64> {
        ids.iter()
            .filter_map(|id| self.column_by_id(*id))
            .map(|found| found.attnum().into())
            .collect()
    }

    /// The column of a name, or 42703 with the nearest name there is.
    ///
    /// # Errors
    /// 42703.
    pub fn expect_column(&self, name: &str) -> Result<&Column> {
        self.column(name).ok_or_else(|| {
            let error = Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" of relation \"{}\" does not exist", self.name),
            );
            match nearest(name, self.columns.iter().map(|column| column.name.as_str())) {
                Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                None => error,
            }
        })
    }

    /// The primary key, if there is one.
    #[must_use]
    pub fn primary_key(&self) -> Option<(&Constraint, &[ColumnId])> {
        self.keys().find(|(key, _)| matches!(key.kind, ConstraintKind::PrimaryKey { .. }))
    }

    /// Every unique constraint with its columns, the primary key among them.
    pub fn keys(&self) -> impl Iterator<Item = (&Constraint, &[ColumnId])> {
        self.constraints.iter().filter_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { columns } | ConstraintKind::Unique { columns, .. } => {
                Some((constraint, columns.as_slice()))
            }
            _ => None,
        })
    }

    /// Whether rows are written without what models make, which a worker adds: `embedding`.
    #[must_use]
    pub fn defers_embedding(&self) -> bool {
        self.options.get("embedding").is_some_and(|how| how == "deferred")
    }

    /// Whether a worker adds what models make where it is missing: now, or since it once was so.
    #[must_use]
    pub fn completes_embedding(&self) -> bool {
        self.options.contains_key("embedding")
    }

    /// The metric of indexes that are created without an operator class: `distance_metric`.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.options.get("distance_metric").and_then(|w| Metric::from_word(w)).unwrap_or(Metric::L2)
    }
}

/// The name nearest to `name` by spelling, if any is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|&(distance, other)| distance <= 1 + name.len().max(other.len()) / 4)
        .min()
        .map(|(_, other)| other)
}
