//! What statements cost: one entry for each form of statement, role and database, for
//! `nearlake_stat_statements`. It is kept in memory, so a restart begins anew.

use crate::{catalog::pg::StatementRow, ids::Oid, sql::Form, telemetry::Metrics};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// So many entries are kept.
const ENTRIES_MAX: usize = 2000;
/// So many of them, those that ran longest ago, make room for new ones together.
const FORGOTTEN_TOGETHER: usize = ENTRIES_MAX / 20;

/// The entries of a node.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    /// How many runs were recorded: the time of [`Entry::last_run`].
    runs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    user: Oid,
    database: Oid,
    form: i64,
}

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    kind: &'static str,
    calls: i64,
    errors: i64,
    rows: i64,
    total_ms: f64,
    min_ms: f64,
    max_ms: f64,
    mean_ms: f64,
    /// The sum of the squares of the differences from the mean.
    spread: f64,
    last_call_micros: i64,
    last_run: u64,
}

/// One run of a statement.
#[derive(Debug)]
pub(super) struct RunOf<'s> {
    pub(super) user: Oid,
    pub(super) database: Oid,
    pub(super) form: &'s Form,
    pub(super) kind: &'static str,
    pub(super) took: Duration,
    pub(super) rows: u64,
    pub(super) failed: bool,
    pub(super) now_micros: i64,
}

impl Statements {
    /// Counts a run.
    pub(super) fn record(&self, run: &RunOf<'_>, metrics: &Metrics) {
        let key = Key { user: run.user, database: run.database, form: run.form.id };
        let mut kept = self.0.lock();
        kept.runs += 1;
        let last_run = kept.runs;
        if kept.entries.len() >= ENTRIES_MAX && !kept.entries.contains_key(&key) {
            kept.forget(FORGOTTEN_TOGETHER);
            metrics.statement_forms_forgotten.inc_by(FORGOTTEN_TOGETHER as u64);
        }
        let entry = kept.entries.entry(key).or_insert_with(|| Entry::new(run));
        entry.count(run);
        entry.last_run = last_run;
    }

    /// Every entry.
    pub(super) fn rows(&self) -> Vec<StatementRow> {
        self.0.lock().entries.iter().map(|(key, entry)| entry.row(*key)).collect()
    }

    /// Forgets all.
    pub(super) fn reset(&self) {
        self.0.lock().entries.clear();
    }
}

impl Kept {
    /// Forgets the entries that ran longest ago.
    fn forget(&mut self, count: usize) {
        let mut runs: Vec<u64> = self.entries.values().map(|entry| entry.last_run).collect();
        let (_, &mut oldest_kept, _) = runs.select_nth_unstable(count);
        self.entries.retain(|_, entry| entry.last_run >= oldest_kept);
    }
}

impl Entry {
    fn new(run: &RunOf<'_>) -> Self {
        Self {
            text: Arc::clone(&run.form.text),
            kind: run.kind,
            calls: 0,
            errors: 0,
            rows: 0,
            total_ms: 0.0,
            min_ms: 0.0,
            max_ms: 0.0,
            mean_ms: 0.0,
            spread: 0.0,
            last_call_micros: 0,
            last_run: 0,
        }
    }

    /// A run that failed tells nothing of what one costs, and is counted apart.
    fn count(&mut self, run: &RunOf<'_>) {
        self.last_call_micros = run.now_micros;
        if run.failed {
            self.errors += 1;
            return;
        }
        let ms = run.took.as_secs_f64() * 1000.0;
        self.calls += 1;
        self.rows = self.rows.saturating_add(i64::try_from(run.rows).unwrap_or(i64::MAX));
        self.total_ms += ms;
        self.min_ms = if self.calls == 1 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        // Welford's recurrence: no sum of squares that would lose the digits.
        let before = ms - self.mean_ms;
        #[expect(clippy::cast_precision_loss, reason = "2^53 calls are not made")]
        let calls = self.calls as f64;
        self.mean_ms += before / calls;
        self.spread += before * (ms - self.mean_ms);
    }

    fn row(&self, key: Key) -> StatementRow {
        #[expect(clippy::cast_precision_loss, reason = "2^53 calls are not made")]
        let calls = self.calls.max(1) as f64;
        StatementRow {
            user: key.user,
            database: key.database,
            form: key.form,
            text: Arc::clone(&self.text),
            kind: self.kind,
            calls: self.calls,
            errors: self.errors,
            rows: self.rows,
            total_ms: self.total_ms,
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            mean_ms: self.mean_ms,
            deviation_ms: (self.spread / calls).sqrt(),
            last_call_micros: self.last_call_micros,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(form: &Form, ms: u64, failed: bool) -> RunOf<'_> {
        RunOf {
            user: Oid(1),
            database: Oid(2),
            form,
            kind: "select",
            took: Duration::from_millis(ms),
            rows: 3,
            failed,
            now_micros: 7,
        }
    }

    fn form(id: i64) -> Form {
        Form { id, text: format!("SELECT {id}").into() }
    }

    #[test]
    fn runs_of_one_form_add_up_and_failures_stand_apart() {
        let (statements, metrics, form) = (Statements::default(), Metrics::default(), form(1));

        for ms in [2, 4, 6] {
            statements.record(&run(&form, ms, false), &metrics);
        }
        statements.record(&run(&form, 1000, true), &metrics);

        let rows = statements.rows();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.calls, row.errors, row.rows), (3, 1, 9));
        assert_eq!((row.min_ms, row.max_ms, row.total_ms), (2.0, 6.0, 12.0));
        assert!((row.mean_ms - 4.0).abs() < 1e-9);
        assert!((row.deviation_ms - (8.0_f64 / 3.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn what_ran_longest_ago_makes_room() {
        let (statements, metrics) = (Statements::default(), Metrics::default());
        let most = i64::try_from(ENTRIES_MAX).unwrap();

        for id in 0..most {
            statements.record(&run(&form(id), 1, false), &metrics);
        }
        statements.record(&run(&form(0), 1, false), &metrics);
        statements.record(&run(&form(most), 1, false), &metrics);

        let ids: Vec<i64> = statements.rows().iter().map(|row| row.form).collect();
        assert_eq!(ids.len(), ENTRIES_MAX - FORGOTTEN_TOGETHER + 1);
        assert!(ids.contains(&0) && ids.contains(&most) && !ids.contains(&1));
        assert_eq!(metrics.statement_forms_forgotten.get(), FORGOTTEN_TOGETHER as u64);
    }
}
