//! What a write answers.

use super::{billing::WriteBilling, cell::Cell, request::Write};
use serde::Serialize;

/// What the answer to a write says.
#[derive(Debug, Default, Serialize)]
pub struct WriteAnswer {
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) rows_affected: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_upserted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_patched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_deleted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_remaining: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) upserted_ids: Vec<Cell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) patched_ids: Vec<Cell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deleted_ids: Vec<Cell>,
    pub(super) billing: WriteBilling,
    pub(super) performance: WritePerformance,
}

/// The word that says that all went well.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) enum Status {
    /// It did.
    #[default]
    #[serde(rename = "OK")]
    Ok,
}

/// How a write went.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct WritePerformance {
    pub(super) server_total_ms: u64,
}

impl WriteAnswer {
    pub(super) fn upserted(&mut self, count: u64, ids: Vec<Cell>) {
        *self.rows_upserted.get_or_insert(0) += count;
        self.upserted_ids.extend(ids);
    }

    pub(super) fn patched(&mut self, count: u64, ids: Vec<Cell>) {
        *self.rows_patched.get_or_insert(0) += count;
        self.patched_ids.extend(ids);
    }

    pub(super) fn deleted(&mut self, count: u64, ids: Vec<Cell>) {
        *self.rows_deleted.get_or_insert(0) += count;
        self.deleted_ids.extend(ids);
    }

    pub(super) fn finish(&mut self, write: &Write) {
        let ids = self.upserted_ids.iter().chain(&self.patched_ids).chain(&self.deleted_ids);
        self.billing.returned(ids.map(Cell::logical_bytes).sum());
        // Whatever a filter finds is changed at once.
        let partial = (write.delete_by_filter.is_some() && write.delete_by_filter_allow_partial)
            || (write.patch_by_filter.is_some() && write.patch_by_filter_allow_partial);
        self.rows_remaining = partial.then_some(false);
        self.sum_up();
    }

    pub(super) fn sum_up(&mut self) {
        let parts = [
            ("upserted", self.rows_upserted),
            ("patched", self.rows_patched),
            ("deleted", self.rows_deleted),
        ];
        self.rows_affected = parts.iter().filter_map(|(_, count)| *count).sum();
        let said: Vec<String> = parts
            .iter()
            .filter_map(|(word, count)| Some(format!("{} rows {word}", (*count)?)))
            .collect();
        self.message = if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") };
    }
}
