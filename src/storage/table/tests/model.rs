//! Random histories of a table, against a map of its rows.

use super::*;
use crate::storage::compact::{CompactionPolicy, Flushed, Replacement, compact};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// What a table holds: value by row id.
type Model = BTreeMap<u64, i64>;

const KEY: Oid = Oid(30_000);

struct History {
    store: SegmentStore,
    objects: Arc<InMemory>,
    rng: SmallRng,
    state: TableState,
    model: Model,
    next_value: i64,
    /// Earlier states, and what they held.
    snapshots: Vec<(TableState, Model)>,
    /// A flush and a compaction that were made of an earlier state and are not yet applied.
    flushed: Option<Flushed>,
    compacted: Option<Replacement>,
}

impl History {
    fn new(seed: u64) -> Self {
        let (store, objects) = store();
        Self {
            store,
            objects,
            rng: SmallRng::seed_from_u64(seed),
            state: TableState::empty().with_key(KeySpec::new(KEY, vec![ColumnId(1)])),
            model: Model::new(),
            next_value: 0,
            snapshots: Vec::new(),
            flushed: None,
            compacted: None,
        }
    }

    async fn step(&mut self) {
        let policy = CompactionPolicy { neighbours_min: 2, ..CompactionPolicy::default() };
        let columns = number_columns();
        match self.rng.random_range(0..100) {
            0..45 => {
                let rows = if self.rng.random() { 1 } else { self.rng.random_range(1..300) };
                self.append(rows);
            }
            45..48 => {
                let rows = i64::from(self.rng.random_range(1..200));
                let keys = self.state.keys();
                let mut writer = SegmentWriter::new(&self.store, &columns, &keys);
                let batch = numbers(self.next_value..self.next_value + rows);
                writer.append(&batch).await.unwrap();
                let segments = writer.finish().await.unwrap();
                let first = self.state.next_row().0;
                self.state = self.state.append_segments(&segments);
                self.added(first, rows);
            }
            48..68 => {
                let part = self.rng.random_range(1..20);
                let rng = &mut self.rng;
                let gone: RoaringTreemap =
                    self.model.keys().copied().filter(|_| rng.random_range(0..part) == 0).collect();
                self.state = self.state.delete(&gone);
                self.model.retain(|row, _| !gone.contains(*row));
            }
            68..76 => {
                self.flushed = Some(flush(&self.store, &self.state, &columns).await.unwrap());
            }
            76..84 => {
                if let Some(flushed) = self.flushed.take() {
                    self.state = flushed.apply(&self.state);
                }
            }
            84..88 => {
                self.compacted =
                    compact(&self.store, &self.state, &columns, &policy).await.unwrap();
            }
            88..92 => {
                if let Some(compacted) = self.compacted.take() {
                    self.state = self.state.replace(&compacted.rows, &compacted.segments);
                }
            }
            92..93 => {
                self.state = self.state.truncate();
                self.model.clear();
            }
            93..95 => self.restart().await,
            _ => self.snapshots.push((self.state.clone(), self.model.clone())),
        }
    }

    fn append(&mut self, rows: i64) {
        let batch = numbers(self.next_value..self.next_value + rows);
        let first = self.state.next_row().0;
        self.state = self.state.append(&batch);
        self.added(first, rows);
    }

    fn added(&mut self, first: u64, rows: i64) {
        self.model.extend((first..).zip(self.next_value..self.next_value + rows));
        self.next_value += rows;
    }

    /// What is in segments is read back from them.
    async fn restart(&mut self) {
        let state = flushed(&self.store, &self.state, &number_columns()).await;
        (self.flushed, self.compacted) = (None, None);
        let open = reopened(&self.objects, &state).await.unwrap();
        self.state = open.with_key(KeySpec::new(KEY, vec![ColumnId(1)]));
    }

    async fn check(&mut self) {
        let snapshots = self.snapshots.iter().map(|(state, model)| (state, model));
        for (state, model) in snapshots.chain([(&self.state, &self.model)]) {
            let expected: Vec<(u64, i64)> = model.iter().map(|(&row, &n)| (row, n)).collect();
            assert_eq!(scan(state).await, expected);
            assert_eq!(state.live_rows(), model.len() as u64);
            assert!(state.live().iter().map(|row| row.0).eq(model.keys().copied()));
            assert_eq!(state.live().len(), state.live_rows());

            let mut wanted: Vec<RowId> = model.keys().map(|&row| RowId(row)).collect();
            wanted.reverse();
            wanted.truncate(50);
            let taken = state.take(&wanted, &number_columns()).await.unwrap();
            let taken = taken.column(0).as_primitive::<Int64Type>().values().to_vec();
            assert!(taken.iter().eq(wanted.iter().map(|row| &model[&row.0])));

            let hashes = hashes(&numbers(0..self.next_value), &number_columns()[..1]);
            let found = state.key_candidates(KEY, &hashes).await.unwrap();
            let rows: BTreeMap<i64, u64> = model.iter().map(|(&row, &n)| (n, row)).collect();
            for (value, found) in (0..).zip(found) {
                let row = rows.get(&value).map(|&row| RowId(row));
                assert!(row.is_none_or(|row| found.contains(&row)), "value {value}");
                assert!(found.iter().all(|&row| state.is_live(row)));
            }
        }
    }
}

#[test]
fn a_table_is_what_was_done_to_it() {
    for seed in 0..12 {
        block_on(async {
            let mut history = History::new(seed);
            for step in 0..150 {
                history.step().await;
                // Now and then, so that the set of live rows is sometimes derived over many steps.
                if step % 10 == 0 {
                    let _ = history.state.live();
                }
            }
            history.check().await;
        });
    }
}

#[test]
fn compaction_ends_with_few_segments_and_no_deleted_rows() {
    block_on(async {
        let (store, _) = store();
        let mut state = TableState::empty();
        for part in 0..40 {
            state = state.append(&numbers(part * 100..part * 100 + 100));
            state = flushed(&store, &state, &number_columns()).await;
        }
        let gone: RoaringTreemap = (0..4000).filter(|row| row % 2 == 0).collect();
        let before = state.delete(&gone);
        let mut state = before.clone();
        let mut written = 0;
        let policy = CompactionPolicy::default();
        while let Some(new) = compact(&store, &state, &number_columns(), &policy).await.unwrap() {
            state = state.replace(&new.rows, &new.segments);
            written += 1;
        }

        assert!(state.segments().count() <= 3, "{} segments", state.segments().count());
        assert!(written <= 60, "{written} compactions");
        assert_eq!((state.live_rows(), state.deleted_rows()), (2000, 0));
        assert_eq!(scan(&state).await, scan(&before).await);

        let empty = state.delete(&(0..4000).collect());
        let new = compact(&store, &empty, &number_columns(), &policy).await.unwrap().unwrap();
        assert_eq!(new.segments.len(), 0);
        assert_eq!(empty.replace(&new.rows, &new.segments).live_rows(), 0);
    });
}
