//! Records on their way from the commit task to the post: in memory, up to a bound. Behind the bound
//! the post reads the log instead.

use crate::{catalog::Catalog, storage::wal::Record};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Bytes of rows that may wait.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Records that may wait.
const WAITING_MAX: usize = 20_000;

/// A record with the names around it.
#[derive(Debug, Clone)]
pub struct Committed {
    /// What was committed.
    pub record: Record,
    /// The names before it.
    pub before: Arc<Catalog>,
    /// The names after it.
    pub after: Arc<Catalog>,
}

impl Committed {
    fn bytes(&self) -> usize {
        let rows = |table: &crate::storage::wal::TableChange| {
            let batches = table.rows.iter().chain(&table.told);
            batches.map(arrow::array::RecordBatch::get_array_memory_size).sum::<usize>()
        };
        self.record.catalog.len() + self.record.tables.iter().map(rows).sum::<usize>()
    }
}

/// Records that wait.
#[derive(Debug, Default)]
pub(super) struct Tail {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Committed>,
    bytes: usize,
    is_lost: bool,
}

/// What there is for the post.
#[derive(Debug)]
pub(super) enum Taken {
    /// Records in their order; some may have been read from the log already.
    Records(VecDeque<Committed>),
    /// There were too many: they are in the log.
    Lost,
}

impl Tail {
    pub(super) fn push(&self, records: &[Record], names: &[Arc<Catalog>]) {
        let mut waiting = self.waiting.lock();
        for (record, names) in records.iter().zip(names.windows(2)) {
            if waiting.is_lost {
                return;
            }
            let (before, after) = (Arc::clone(&names[0]), Arc::clone(&names[1]));
            let committed = Committed { record: record.clone(), before, after };
            waiting.bytes += committed.bytes();
            waiting.records.push_back(committed);
            if waiting.bytes > WAITING_BYTES_MAX || waiting.records.len() > WAITING_MAX {
                *waiting = Waiting { is_lost: true, ..Waiting::default() };
            }
        }
    }

    pub(super) fn take(&self) -> Taken {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        match waiting.is_lost {
            true => Taken::Lost,
            false => Taken::Records(waiting.records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Lsn;

    fn record(lsn: u64) -> Record {
        let (commit_id, time_micros) = (lsn.into(), 0);
        Record {
            lsn: Lsn(lsn),
            commit_id,
            time_micros,
            catalog: vec![0; 1 << 20],
            tables: Vec::new(),
        }
    }

    #[test]
    fn too_many_records_are_left_to_the_log() {
        let (tail, names) = (Tail::default(), vec![Arc::<Catalog>::default(); 2]);
        tail.push(&[record(1)], &names);
        assert!(matches!(tail.take(), Taken::Records(records) if records.len() == 1));

        for lsn in 2..60 {
            tail.push(&[record(lsn)], &names);
        }

        assert!(matches!(tail.take(), Taken::Lost));
        tail.push(&[record(60)], &names);
        assert!(matches!(tail.take(), Taken::Records(records) if records.len() == 1));
    }
}
