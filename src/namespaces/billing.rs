//! What answers say that a request cost, in bytes of values: computed, and charged to nobody.
//!
//! A query looks at its whole namespace, as far as the one who asks can know. A write by a filter is a
//! query as well; one under a condition looks at the documents that it names.

use crate::storage::table::TableState;
use serde::Serialize;

/// What a deletion writes: the number of the row that is gone.
pub(super) const DELETION_BYTES: u64 = 8;

/// What a query read and gave.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct QueryBilling {
    pub(super) billable_logical_bytes_queried: u64,
    pub(super) billable_logical_bytes_returned: u64,
}

/// What a write wrote, and what it looked at before.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct WriteBilling {
    pub(super) billable_logical_bytes_written: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<QueryBilling>,
}

impl WriteBilling {
    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.billable_logical_bytes_written += bytes;
    }

    /// So many were looked at to know what to write.
    pub(super) fn looked_at(&mut self, bytes: u64) {
        self.query.get_or_insert_default().billable_logical_bytes_queried += bytes;
    }

    /// Ids of so many bytes are told, which come of what was looked at, if anything was.
    pub(super) fn returned(&mut self, bytes: u64) {
        if let Some(query) = &mut self.query {
            query.billable_logical_bytes_returned = bytes;
        }
    }
}

/// How large a namespace is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) documents: u64,
}

impl Size {
    pub(super) fn of(table: &TableState) -> Self {
        Self { bytes: table.bytes(), documents: table.live_rows() }
    }

    /// What so many of its documents have, about.
    pub(super) fn of_documents(self, count: usize) -> u64 {
        share(self.bytes, count as u64, self.documents)
    }
}

/// The part of some bytes that so many of all have.
pub(super) fn share(bytes: u64, count: u64, all: u64) -> u64 {
    let part = u128::from(bytes) * u128::from(count.min(all)) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_out() {
        let size = Size { bytes: 1000, documents: 10 };
        assert_eq!((size.of_documents(3), size.of_documents(30)), (300, 1000));
        assert_eq!(Size::default().of_documents(5), 0);
        assert_eq!((share(90, 2, 3), share(90, 4, 3), share(90, 0, 0)), (60, 90, 0));
        assert_eq!(share(u64::MAX, 3, 3), u64::MAX);
    }
}
