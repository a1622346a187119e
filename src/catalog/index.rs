//! An index: which columns, which method was asked for, which options.

use crate::{
    ids::{ColumnId, IndexId, Oid, TableId},
    vector::Metric,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The share of the true nearest rows that a search is to find where nobody says another.
pub const RECALL_TARGET: f32 = 0.95;
/// The option of a vector index by which it is said.
pub const RECALL_TARGET_OPTION: &str = "recall_target";
/// The option by which second copies are placed.
pub const SPILL_OPTION: &str = "spill";
/// The option of how many bits of each coordinate postings keep.
pub const CODE_BITS_OPTION: &str = "code_bits";

/// An index that CREATE INDEX made. (The index of a key belongs to its constraint.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its oid.
    pub id: IndexId,
    /// The table whose rows it finds.
    pub table: TableId,
    /// The schema: always the table's.
    pub schema: Oid,
    /// Its name.
    pub name: String,
    /// The access method asked for: `spfresh`, `hnsw`, `ivfflat`, `btree` …
    pub method: String,
    /// What it is.
    pub kind: IndexKind,
    /// `WITH (…)` as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// `COMMENT ON INDEX`.
    #[serde(default)]
    pub comment: Option<String>,
}

/// What an index does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum IndexKind {
    /// An SPFresh index over a vector column.
    Vector {
        /// The column.
        column: ColumnId,
        /// What nearness means.
        metric: Metric,
        /// `INCLUDE (…)`: columns that filters name.
        #[serde(default)]
        include: Vec<ColumnId>,
    },
    /// Recorded for tools that create and list it; scans are fast without it.
    Recorded {
        /// The columns or expressions, as SQL text.
        keys: Vec<String>,
        /// `WHERE …`, as SQL text.
        #[serde(default)]
        predicate: Option<String>,
    },
}

impl Index {
    /// The columns of INCLUDE: those that filters name.
    #[must_use]
    pub fn included(&self) -> &[ColumnId] {
        match &self.kind {
            IndexKind::Vector { include, .. } => include,
            IndexKind::Recorded { .. } => &[],
        }
    }

    /// The share of the true nearest rows that searches by this index are to find, where it says
    /// one: `WITH (recall_target = …)`.
    #[must_use]
    pub fn recall_target(&self) -> Option<f32> {
        self.options.get(RECALL_TARGET_OPTION)?.parse().ok()
    }
}
