//! What a table promises, against a model and against damage.

mod arrays;
mod damage;
mod model;

use super::*;
use crate::{
    clock::SeededClock,
    ids::{ColumnId, Oid},
    pgtype::PgType,
    storage::{
        columns::{ColumnCache, columns_of},
        compact::flush,
        keys::{KeySpec, key_hashes},
        segment::{GROUP_ROWS, SegmentWriter},
        store::Store,
    },
};
use arrow::{
    array::{AsArray, Int64Array, StringArray},
    datatypes::Int64Type,
};
use object_store::memory::InMemory;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty store in memory, and what lies in it.
fn store() -> (SegmentStore, Arc<InMemory>) {
    let objects = Arc::new(InMemory::new());
    (store_over(&objects), objects)
}

/// What lies in it, read with nothing cached.
fn store_over(objects: &Arc<InMemory>) -> SegmentStore {
    // Ids must not repeat when a store is opened again over the same objects.
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let clock = SeededClock::shared(OPENED.fetch_add(1, Ordering::Relaxed));
    let cache = Arc::new(ColumnCache::new(64 << 20));
    SegmentStore::new(Store::over(Arc::clone(objects) as _, clock), cache)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for a test")
        .block_on(future)
}

fn spec(id: i16, kind: PgType) -> ColumnSpec {
    ColumnSpec::new(ColumnId(id), kind)
}

fn batch(columns: &[ColumnSpec], arrays: Vec<ArrayRef>) -> RecordBatch {
    let rows = arrays.first().map_or(0, |array| array.len());
    batch_of(columns, arrays, rows).unwrap()
}

/// Column 1: the numbers of a range; column 2: each as text.
fn numbers(range: Range<i64>) -> RecordBatch {
    let text: StringArray = range.clone().map(|n| Some(n.to_string())).collect();
    let numbers = Int64Array::from_iter_values(range);
    batch(&number_columns(), vec![Arc::new(numbers), Arc::new(text)])
}

fn number_columns() -> Vec<ColumnSpec> {
    vec![spec(1, PgType::Int8), spec(2, PgType::Text)]
}

/// Column 1 of the live rows, by reading groups.
async fn scan(state: &TableState) -> Vec<(u64, i64)> {
    let mut rows = Vec::new();
    for group in state.groups() {
        let columns = group.columns(&number_columns()).await.unwrap();
        let (mask, ids) = (group.live_mask(), group.row_ids());
        assert_eq!(mask.is_some(), group.has_deletes());
        for at in (0..group.len()).filter(|&at| mask.as_ref().is_none_or(|mask| mask.value(at))) {
            let number = columns[0].as_primitive::<Int64Type>().value(at);
            assert_eq!(columns[1].as_string::<i32>().value(at), number.to_string());
            rows.push((ids.row(at).0, number));
        }
    }
    rows
}

async fn flushed(store: &SegmentStore, state: &TableState, columns: &[ColumnSpec]) -> TableState {
    flush(store, state, columns).await.unwrap().apply(state)
}

async fn reopened(objects: &Arc<InMemory>, state: &TableState) -> Result<TableState> {
    let metas: Vec<SegmentMeta> = state.segments().map(|segment| segment.meta().clone()).collect();
    let text = serde_json::to_string(&metas).unwrap();
    let store = store_over(objects);
    let deletes = state.write_deletes(&store).await?;
    let metas = serde_json::from_str(&text).unwrap();
    TableState::open(&store, metas, deletes.as_ref(), state.next_row()).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_type_comes_back_as_it_was(seed: u64, rows in 0..200_usize, nulls in 0..4_u8) {
        let columns = arrays::columns();
        let batches: Vec<RecordBatch> = [rows, 1, rows / 3]
            .iter()
            .zip(seed..)
            .map(|(&rows, seed)| batch(&columns, arrays::random(&columns, rows, nulls, seed)))
            .collect();
        block_on(async {
            let (store, objects) = store();
            let state = batches.iter().fold(TableState::empty(), |state, rows| state.append(rows));
            let state = flushed(&store, &state, &columns).await;
            let state = reopened(&objects, &state).await.unwrap();
            let expected = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();

            let groups: Vec<Group> = state.groups().collect();
            prop_assert_eq!(groups.len(), 1);
            let arrays = groups[0].columns(&columns).await.unwrap();
            for (array, expected) in arrays.iter().zip(expected.columns()) {
                prop_assert_eq!(array.data_type(), expected.data_type());
                prop_assert_eq!(array, expected);
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_row_group_of_each_size_comes_back() {
    block_on(async {
        let (store, objects) = store();
        let rows = 2 * GROUP_ROWS as i64 + 100;
        let state = TableState::empty().append(&numbers(0..rows));
        let state = flushed(&store, &state, &number_columns()).await;
        assert_eq!(state.memtable_bytes(), 0);
        assert_eq!(state.segments().count(), 1);
        let state = reopened(&objects, &state).await.unwrap();

        let sizes: Vec<usize> = state.groups().map(|group| group.len()).collect();
        assert_eq!(sizes, [GROUP_ROWS, GROUP_ROWS, 100]);
        assert_eq!(scan(&state).await.len() as i64, rows);
        let (min, max) = state.groups().nth(1).unwrap().statistics(ColumnId(1)).unwrap();
        assert_eq!(min.as_primitive::<Int64Type>().value(0), GROUP_ROWS as i64);
        assert_eq!(max.as_primitive::<Int64Type>().value(0), 2 * GROUP_ROWS as i64 - 1);
    });
}

#[test]
fn rows_are_taken_in_any_order_and_any_number_of_times() {
    block_on(async {
        let (store, _) = store();
        let state = TableState::empty().append(&numbers(0..20_000));
        let state = flushed(&store, &state, &number_columns()).await;
        let state = state.append(&numbers(20_000..20_010));
        let rows = [20_009, 3, 16_384, 3, 8192, 20_000, 19_999, 3].map(RowId);

        let taken = state.take(&rows, &number_columns()).await.unwrap();
        let numbers: Vec<u64> = taken
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .map(|n| n.cast_unsigned())
            .collect();
        assert_eq!(numbers, rows.map(|row| row.0));
        assert_eq!(taken.column(1).as_string::<i32>().value(0), "20009");

        let none = state.take(&[], &number_columns()).await.unwrap();
        assert_eq!((none.num_rows(), none.num_columns()), (0, 2));
        let bare = state.take(&rows, &[]).await.unwrap();
        assert_eq!(bare.num_rows(), 8);
        let error = state.take(&[RowId(20_010)], &number_columns()).await.unwrap_err();
        assert_eq!(error.state().as_str(), "XX000");
    });
}

#[test]
fn few_vectors_are_read_by_their_pages() {
    block_on(async {
        const DIMS: usize = 100;
        let columns = [spec(1, PgType::Vector(Some(100)))];
        let vectors = arrays::vectors(GROUP_ROWS, DIMS, |row| (row % 5 != 0).then_some(row as f32));
        let (store, objects) = store();
        let state = TableState::empty().append(&batch(&columns, vec![Arc::clone(&vectors)]));
        let state = flushed(&store, &state, &columns).await;
        let metas: Vec<SegmentMeta> = state.segments().map(|s| s.meta().clone()).collect();

        let clock = SeededClock::shared(u64::MAX);
        let bytes = Store::over(Arc::clone(&objects) as _, clock);
        let cache = Arc::new(ColumnCache::new(64 << 20));
        let near = SegmentStore::new(bytes.clone(), cache);
        let state = TableState::open(&near, metas, None, state.next_row()).await.unwrap();
        let read = || bytes.counters().bytes_read.load(Ordering::Relaxed);
        let before = read();
        let positions = UInt32Array::from(vec![8191, 0, 1, 5, 164, 4711, 1]);
        let rows: Vec<RowId> = positions.values().iter().map(|&at| RowId(at.into())).collect();
        let taken = state.take(&rows, &columns).await.unwrap();

        let expected = arrow::compute::take(&vectors, &positions, None).unwrap();
        assert_eq!(taken.column(0), &expected);
        let cold = read() - before;
        assert!(cold < 6 * (128 << 10), "{cold} bytes were read");
        state.take(&rows, &columns).await.unwrap();
        assert_eq!(read() - before, cold);

        let whole = state.groups().next().unwrap().columns(&columns).await.unwrap();
        assert_eq!(&whole[0], &vectors);
    });
}

#[test]
fn rows_older_than_a_column_have_its_value() {
    block_on(async {
        let (store, _) = store();
        let mut columns = number_columns();
        let old = TableState::empty().append(&numbers(0..3));
        let old = flushed(&store, &old, &columns).await.append(&numbers(3..5));
        let seven: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        columns.push(ColumnSpec { missing: Some(seven), ..spec(3, PgType::Int8) });
        columns.push(spec(4, PgType::Vector(Some(2))));
        columns.remove(0);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["5"])),
            Arc::new(Int64Array::from(vec![8])),
            arrays::vectors(1, 2, |_| Some(1.0)),
        ];
        let mut state = old.append(&batch(&columns, arrays));

        for _ in 0..2 {
            let rows: Vec<RowId> = (0..6).map(RowId).collect();
            let taken = state.take(&rows, &columns).await.unwrap();
            let sevens = taken.column_by_name("c3").unwrap().as_primitive::<Int64Type>().clone();
            assert_eq!(sevens.values(), &[7, 7, 7, 7, 7, 8]);
            assert_eq!(taken.column_by_name("c4").unwrap().null_count(), 5);
            assert_eq!(taken.column_by_name("c2").unwrap().as_string::<i32>().value(4), "4");
            state = flushed(&store, &state, &columns).await;
        }
    });
}

#[test]
fn segments_of_a_large_transaction_are_numbered_when_they_are_applied() {
    block_on(async {
        let (store, objects) = store();
        let mut writer = SegmentWriter::new(&store, &number_columns(), &[]).segment_bytes(1);
        writer.append(&numbers(10..10_000)).await.unwrap();
        writer.append(&numbers(10_000..20_000)).await.unwrap();
        let segments = writer.finish().await.unwrap();
        assert_eq!(segments.len(), 3);

        let state = TableState::empty().append(&numbers(0..10)).append_segments(&segments);
        let state = state.append(&numbers(20_000..20_005));
        assert_eq!(state.next_row(), RowId(20_005));
        assert!(scan(&state).await.into_iter().eq((0..20_005_u32).map(|n| (n.into(), n.into()))));
        let state = flushed(&store, &state, &number_columns()).await;
        let state = reopened(&objects, &state).await.unwrap();
        assert!(scan(&state).await.into_iter().eq((0..20_005_u32).map(|n| (n.into(), n.into()))));
    });
}

#[test]
fn a_flush_that_comes_late_takes_only_its_own_rows() {
    block_on(async {
        let (store, _) = store();
        let early = TableState::empty().append(&numbers(0..1));
        let flushed = flush(&store, &early, &number_columns()).await.unwrap();
        // The chunk of the newest state holds rows that the flush did not see.
        let late = early.append(&numbers(1..2)).delete(&[0].into_iter().collect());
        assert_eq!(late.groups().count(), 1);

        let state = flushed.apply(&late);
        assert_eq!(scan(&state).await, [(1, 1)]);
        assert_eq!((state.live_rows(), state.deleted_rows()), (1, 1));
        assert!(state.memtable_bytes() > 0);

        let emptied = flushed.apply(&late.truncate());
        assert_eq!((emptied.live_rows(), emptied.next_row()), (0, RowId(2)));
    });
}

#[test]
fn keys_are_found_wherever_their_rows_lie() {
    block_on(async {
        let (store, objects) = store();
        let (constraint, later) = (Oid(20_000), Oid(20_001));
        let columns = number_columns();
        let state = TableState::empty().with_key(KeySpec::new(constraint, vec![ColumnId(1)]));
        let state = flushed(&store, &state.append(&numbers(0..5000)), &columns).await;
        let state = state.append(&numbers(5000..6000)).append(&numbers(10..11));
        let state = state.delete(&[17].into_iter().collect());
        let both = [columns[1].clone(), columns[0].clone()];
        let state = state
            .build_key(&store, KeySpec::new(later, vec![ColumnId(2), ColumnId(1)]), &both)
            .await
            .unwrap();

        let all = numbers(0..6100);
        let ids: Vec<u64> = hashes(&all, &columns[..1]);
        let pairs: Vec<u64> = hashes(&all, &both);
        let open = reopened(&objects, &flushed(&store, &state, &columns).await).await.unwrap();
        let open = open
            .with_key(KeySpec::new(constraint, vec![ColumnId(1)]))
            .with_key(KeySpec::new(later, vec![ColumnId(2), ColumnId(1)]));
        for state in [&state, &open] {
            for (constraint, hashes) in [(constraint, &ids), (later, &pairs)] {
                let found = state.key_candidates(constraint, hashes).await.unwrap();
                let surplus: usize = found.iter().skip(6000).map(Vec::len).sum();
                assert_eq!(surplus, 0);
                assert_eq!(found[10], [RowId(10), RowId(6000)]);
                assert_eq!(found[17], []);
                assert!(
                    (0..6000)
                        .filter(|n| ![10, 17].contains(n))
                        .all(|n| found[n] == [RowId(n as u64)])
                );
            }
        }
        let error = state.key_candidates(Oid(1), &[0]).await.unwrap_err();
        assert_eq!(error.state().as_str(), "XX000");
    });
}

fn hashes(rows: &RecordBatch, columns: &[ColumnSpec]) -> Vec<u64> {
    key_hashes(&columns_of(rows, columns).unwrap(), false).into_iter().flatten().collect()
}
