//! How far builds of indexes are, for `pg_stat_progress_create_index`.

use crate::{
    catalog::pg::BuildRow,
    ids::{IndexId, Oid, TableId},
};
use parking_lot::Mutex;
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU16, AtomicU64, Ordering::Relaxed},
};

/// The builds that run on a node. Each is there until it is dropped.
#[derive(Debug, Default)]
pub struct Builds(Mutex<Vec<Weak<Build>>>);

/// Whose build it is, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The backend that waits for it.
    pub process_id: i32,
    /// Its database.
    pub database: Oid,
    /// The table.
    pub table: TableId,
    /// The index.
    pub index: IndexId,
}

/// A build, and how far it is.
#[derive(Debug)]
pub struct Build {
    subject: Subject,
    /// The phase, and behind it how much of that is done in hundredths: read together, they fit.
    place: AtomicU16,
    rows: AtomicU64,
    rows_done: AtomicU64,
}

/// What a build does at the time, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Vectors are read that stand for all.
    Sampling,
    /// The centroids are learnt.
    Training,
    /// Rows are assigned to them.
    Assigning,
    /// Postings get their final size.
    Settling,
}

/// The phases in PostgreSQL's form: what the access method does follows behind a colon.
const PHASES: [&str; 4] = [
    "building index: sampling vectors",
    "building index: training centroids",
    "building index: assigning tuples",
    "building index: settling postings",
];

impl Builds {
    /// A build begins.
    pub fn begin(&self, subject: Subject) -> Arc<Build> {
        let build = Arc::new(Build {
            subject,
            place: AtomicU16::new(0),
            rows: AtomicU64::new(0),
            rows_done: AtomicU64::new(0),
        });
        let mut builds = self.0.lock();
        builds.retain(|build| build.strong_count() > 0);
        builds.push(Arc::downgrade(&build));
        build
    }

    /// How far each is.
    pub fn rows(&self) -> Vec<BuildRow> {
        self.0.lock().iter().filter_map(Weak::upgrade).map(|build| build.row()).collect()
    }
}

impl Build {
    /// So many rows are to be assigned.
    pub fn expect(&self, rows: u64) {
        self.rows.store(rows, Relaxed);
    }

    /// A phase is done to a part, from 0 to 1.
    pub fn at(&self, phase: Phase, part: f32) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (part.clamp(0.0, 1.0) * 100.0) as u8;
        self.place.store(u16::from_be_bytes([phase as u8, percent]), Relaxed);
    }

    /// So many more rows are assigned.
    pub fn assigned(&self, rows: usize) {
        let done = self.rows_done.fetch_add(rows as u64, Relaxed) + rows as u64;
        #[expect(clippy::cast_precision_loss, reason = "a part is told in hundredths")]
        self.at(Phase::Assigning, done as f32 / self.rows.load(Relaxed).max(1) as f32);
    }

    fn row(&self) -> BuildRow {
        let count = |number: &AtomicU64| i64::try_from(number.load(Relaxed)).unwrap_or(i64::MAX);
        let [phase, percent] = self.place.load(Relaxed).to_be_bytes();
        let Subject { process_id, database, table, index } = self.subject;
        BuildRow {
            process_id,
            database,
            table,
            index,
            phase: PHASES[usize::from(phase)],
            percent: i64::from(percent),
            rows: count(&self.rows),
            rows_done: count(&self.rows_done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_told_of_until_it_is_dropped() {
        let builds = Builds::default();
        let (process_id, database) = (7, Oid(5));
        let build = builds.begin(Subject { process_id, database, table: Oid(1), index: Oid(2) });

        build.expect(1000);
        build.at(Phase::Training, 0.5);
        let training = builds.rows().remove(0);
        build.assigned(250);
        let assigning = builds.rows().remove(0);
        drop(build);

        assert_eq!((training.phase, training.percent), (PHASES[1], 50));
        assert_eq!((assigning.phase, assigning.percent), (PHASES[2], 25));
        assert_eq!((assigning.rows, assigning.rows_done), (1000, 250));
        assert_eq!(builds.rows(), []);
    }
}
