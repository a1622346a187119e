//! The log's promises, in a folder, in memory, and on a store that fails by seed.

use super::{
    record::{self, Fault},
    *,
};
use crate::{
    clock::{SeededClock, SystemClock},
    error::ErrorKind,
    ids::{Oid, RowId},
    storage::{
        faults::{FaultStore, Faults},
        store::StoreOptions,
    },
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::Schema,
};
use object_store::memory::InMemory;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use roaring::RoaringTreemap;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

fn rows(count: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let texts = (0..count).map(|i| (i % 3 > 0).then(|| format!("row {i}")));
    let texts: ArrayRef = Arc::new(StringArray::from_iter(texts));
    RecordBatch::try_from_iter_with_nullable([("c1", numbers, true), ("c4", texts, true)]).unwrap()
}

fn record(lsn: u64) -> Record {
    let change = |table, new: Option<RecordBatch>| TableChange {
        table: Oid(table),
        first_row: RowId(lsn * 1000),
        rows: new,
        segments: Vec::new(),
        deletes: RoaringTreemap::from_iter([1, 70_000, u64::from(u32::MAX) + lsn]),
        truncate: table == 3,
        told: (table == 2).then(|| rows(3)),
    };
    Record {
        lsn: Lsn(lsn),
        commit_id: u128::MAX - u128::from(lsn),
        time_micros: -7,
        catalog: format!("catalog {lsn}").into_bytes(),
        tables: vec![change(1, Some(rows(5))), change(2, None), change(3, Some(rows(0)))],
    }
}

fn small(lsn: u64, commit_id: u128) -> Record {
    let (catalog, tables) = (b"x".to_vec(), Vec::new());
    Record { lsn: Lsn(lsn), commit_id, time_micros: 0, catalog, tables }
}

fn memory() -> Store {
    Store::over(Arc::new(InMemory::new()), SeededClock::shared(1))
}

async fn folder(path: &Path) -> Store {
    let options = StoreOptions { url: path.display().to_string(), ..Default::default() };
    Store::open(&options, SystemClock::shared()).await.unwrap()
}

async fn open(store: &Store, after: u64) -> (Wal, Vec<Record>) {
    let (wal, replay) = Wal::open(store, Lsn(after), &WalOptions::default()).await.unwrap();
    (wal, all(replay).await.unwrap())
}

async fn all(mut replay: Replay) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    while let Some(record) = replay.next().await? {
        records.push(record);
    }
    Ok(records)
}

fn lsns(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.lsn.0).collect()
}

/// The files of the log, in order.
fn files(root: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(root.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = found.collect();
    found.sort();
    found
}

#[test]
fn a_record_comes_back_as_it_was() {
    for record in [record(1), small(2, 3)] {
        let mut bytes = vec![0; 13];
        record::encode(&record, 0, &mut bytes).unwrap();

        let header = record::check(&bytes, 13).unwrap();
        let decoded = record::decode(&header, &bytes[header.body(13)]).unwrap();

        assert_eq!(decoded, record);
    }
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(4));
    let empty = Arc::new(Schema::empty());
    let batch = RecordBatch::try_new_with_options(empty, Vec::new(), &options).unwrap();
    let mut record = record(1);
    record.tables[0].rows = Some(batch);

    let mut bytes = Vec::new();
    record::encode(&record, 0, &mut bytes).unwrap();
    let header = record::check(&bytes, 0).unwrap();

    assert_eq!(record::decode(&header, &bytes[header.body(0)]).unwrap(), record);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut bytes = Vec::new();
    record::encode(&record(1), 0, &mut bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            bytes[at] ^= bit;
            assert!(record::check(&bytes, 0).is_err(), "byte {at}");
            bytes[at] ^= bit;
        }
    }
    for length in 0..bytes.len() {
        assert_eq!(record::check(&bytes[..length], 0), Err(Fault::Short));
    }
}

#[test]
fn content_that_makes_no_sense_is_an_error_and_no_panic() {
    let mut bytes = Vec::new();
    record::encode(&record(1), 0, &mut bytes).unwrap();
    let header = record::check(&bytes, 0).unwrap();
    let body = &bytes[header.body(0)];
    for length in 0..body.len() {
        assert!(record::decode(&header, &body[..length]).is_err());
    }
}

/// What a checksum lets through is what was written; yet whatever it is, it is refused or read.
#[test]
fn any_content_is_refused_or_read() {
    let mut bytes = Vec::new();
    record::encode(&record(1), 0, &mut bytes).unwrap();
    let header = record::check(&bytes, 0).unwrap();
    let body = bytes[header.body(0)].to_vec();
    let mut random = SmallRng::seed_from_u64(11);
    let mut read = 0;
    for _ in 0..4000 {
        let mut damaged = body.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..damaged.len());
            damaged[at] = random.random();
        }
        if let Ok(record) = record::decode(&header, &damaged) {
            read += 1;
            let mut again = Vec::new();
            record::encode(&record, 0, &mut again).unwrap();
        }
    }
    assert!(read > 0, "so little damage is read now and then");
}

#[test]
fn a_copy_of_a_record_within_a_value_is_no_record() {
    let mut inner = Vec::new();
    record::encode(&small(9, 9), 0, &mut inner).unwrap();
    let outer = Record { catalog: inner, ..small(1, 1) };
    let mut bytes = Vec::new();
    record::encode(&outer, 0, &mut bytes).unwrap();

    assert!(!record::any_behind(&bytes, 1));
    assert!(record::any_behind(&bytes, 0));
}

#[tokio::test]
async fn groups_are_replayed_in_order_in_a_folder_and_on_a_store() {
    let dir = tempfile::tempdir().unwrap();
    for store in [memory(), folder(dir.path()).await] {
        let (mut wal, replayed) = open(&store, 0).await;
        assert_eq!(replayed, []);
        let mut expected = Vec::new();
        for group in [1, 3, 2] {
            let first = wal.next_lsn().0;
            let records: Vec<Record> = (first..first + group).map(record).collect();
            wal.append(&records).await.unwrap();
            expected.extend(records);
        }
        assert_eq!((wal.stats().records, wal.stats().groups), (6, 3));
        drop(wal);

        for _ in 0..3 {
            assert_eq!(open(&store, 0).await.1, expected);
        }
        let after = expected[3].lsn.0;
        assert_eq!(open(&store, after).await.1, expected[4..]);
        assert_eq!(
            open(&store, 1000).await.0.next_lsn().0,
            1001 + u64::from(store.is_local().is_none())
        );
    }
}

#[tokio::test]
async fn a_record_out_of_turn_is_refused() {
    let (mut wal, _) = open(&memory(), 0).await;
    let wrong = wal.next_lsn().0 + 1;

    let error = wal.append(&[small(wrong, 1)]).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Internal);
    let right = wal.next_lsn().0;
    wal.append(&[small(right, 1)]).await.unwrap();
}

#[tokio::test]
async fn a_fenced_writer_cannot_append() {
    let store = memory();
    let (mut old, _) = open(&store, 0).await;
    old.append(&[small(2, 1)]).await.unwrap();

    let (mut new, replayed) = open(&store, 0).await;
    assert_eq!(lsns(&replayed), [2]);
    for _ in 0..2 {
        let error = old.append(&[small(3, 2)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
    }
    new.append(&[small(4, 3)]).await.unwrap();

    assert_eq!(lsns(&open(&store, 0).await.1), [2, 4]);
}

#[tokio::test]
async fn a_writer_is_fenced_even_after_the_log_around_the_fence_is_gone() {
    let store = memory();
    let (mut old, _) = open(&store, 0).await;
    old.append(&[small(2, 1)]).await.unwrap();
    let (mut new, _) = open(&store, 0).await;
    new.append(&[small(4, 2)]).await.unwrap();
    for lsn in [2, 4] {
        store.delete(&paths::wal(Lsn(lsn))).await.unwrap();
    }

    let error = old.append(&[small(3, 3)]).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn a_file_is_rotated_by_size_and_at_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(dir.path()).await;
    let options = WalOptions { file_bytes_max: 150 };
    let (mut wal, _) = Wal::open(&store, Lsn(0), &options).await.unwrap();
    for lsn in 1..=6 {
        wal.append(&[small(lsn, 1)]).await.unwrap();
    }
    assert_eq!(files(dir.path()).len(), 2);
    wal.release(Lsn(6)).await.unwrap();
    wal.release(Lsn(6)).await.unwrap();
    wal.append(&[small(7, 1)]).await.unwrap();
    assert!(wal.release(Lsn(8)).await.is_err());

    let names = files(dir.path());
    assert_eq!(names.len(), 3);
    fs::remove_file(&names[0]).unwrap();
    assert_eq!(lsns(&open(&store, 6).await.1), [7]);
    let (_, replay) = Wal::open(&store, Lsn(0), &options).await.unwrap();
    let error = all(replay).await.unwrap_err();
    assert_eq!(error.message(), "the log is damaged: record 1 is missing, before record 8");
}

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(dir.path()).await;
    let (mut wal, _) = open(&store, 0).await;
    for lsn in 1..=2 {
        wal.append(&[record(lsn)]).await.unwrap();
    }
    let path = files(dir.path()).remove(0);
    let kept = fs::metadata(&path).unwrap().len();
    wal.append(&[small(3, 1), small(4, 1)]).await.unwrap();
    drop(wal);
    let whole = fs::read(&path).unwrap();
    let first_end = kept + (whole.len() as u64 - kept) / 2;

    for length in kept..whole.len() as u64 {
        for noise in [0, 1, 200_usize] {
            let mut torn = whole[..usize::try_from(length).unwrap()].to_vec();
            torn.extend(vec![0xAB; noise]);
            fs::write(&path, &torn).unwrap();

            let (mut wal, replayed) = open(&store, 0).await;
            let expected: &[u64] = if length < first_end { &[1, 2] } else { &[1, 2, 3] };
            assert_eq!(lsns(&replayed), expected, "{length}");
            let end = if length < first_end { kept } else { first_end };
            assert_eq!(fs::metadata(&path).unwrap().len(), end);

            let next = wal.next_lsn().0;
            wal.append(&[small(next, 8)]).await.unwrap();
            assert_eq!(lsns(&open(&store, 0).await.1).last(), Some(&next));
        }
    }
}

#[tokio::test]
async fn a_file_torn_at_its_first_record_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(dir.path()).await;
    let (mut wal, _) = open(&store, 0).await;
    wal.append(&[small(1, 1)]).await.unwrap();
    wal.release(Lsn(1)).await.unwrap();
    wal.append(&[small(2, 1)]).await.unwrap();
    let path = files(dir.path()).remove(1);
    fs::write(&path, &fs::read(&path).unwrap()[..40]).unwrap();

    let (mut wal, replayed) = open(&store, 0).await;
    assert_eq!(lsns(&replayed), [1]);
    wal.append(&[small(2, 5)]).await.unwrap();
    assert_eq!(open(&store, 1).await.1, [small(2, 5)]);
}

#[tokio::test]
async fn damage_before_a_valid_record_is_not_taken_for_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(dir.path()).await;
    let (mut wal, _) = open(&store, 0).await;
    for lsn in 1..=3 {
        wal.append(&[small(lsn, 1)]).await.unwrap();
    }
    drop(wal);
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() / 3 * 2 {
        let mut bad = whole.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).unwrap();

        let error = Wal::open(&store, Lsn(0), &WalOptions::default()).await.unwrap_err();

        let name = paths::wal(Lsn(1));
        assert!(error.message().contains(name.as_str()), "byte {at}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
}

#[tokio::test]
async fn any_damage_of_an_object_is_reported() {
    let store = memory();
    let (mut wal, _) = open(&store, 0).await;
    wal.append(&[small(2, 1)]).await.unwrap();
    wal.append(&[small(3, 1)]).await.unwrap();
    for (lsn, kind) in [(2, ErrorKind::Corrupt), (3, ErrorKind::Corrupt)] {
        let path = paths::wal(Lsn(lsn));
        let good = store.get(&path).await.unwrap().unwrap();
        store.put(&path, good.slice(..good.len() - 1)).await.unwrap();

        let error = match Wal::open(&store, Lsn(0), &WalOptions::default()).await {
            Ok((_, replay)) => all(replay).await.unwrap_err(),
            Err(error) => error,
        };

        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(path.as_str()), "{error}");
        store.put(&path, good).await.unwrap();
    }
}

#[tokio::test]
async fn an_object_that_is_missing_in_the_middle_is_reported() {
    let store = memory();
    let (mut wal, _) = open(&store, 0).await;
    for lsn in 2..=5 {
        wal.append(&[small(lsn, 1)]).await.unwrap();
    }
    store.delete(&paths::wal(Lsn(4))).await.unwrap();

    let (_, replay) = Wal::open(&store, Lsn(0), &WalOptions::default()).await.unwrap();
    let error = all(replay).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("record 4 is missing"), "{error}");
}

#[tokio::test]
async fn a_newer_version_is_not_taken_for_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = folder(dir.path()).await;
    let (mut wal, _) = open(&store, 0).await;
    wal.append(&[small(1, 1)]).await.unwrap();
    let path = files(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    bytes[12..16].fill(0);
    let crc = crc32c::crc32c(&bytes[..HEADER_BYTES]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &bytes).unwrap();

    let error = Wal::open(&store, Lsn(0), &WalOptions::default()).await.unwrap_err();

    assert!(error.message().contains("has a record of version 9"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// A model of the log under faults. Writers come and go, several believe to be the one; what was
/// acknowledged is replayed, in order, once; what was not is replayed only if its outcome was unknown.
#[tokio::test]
async fn what_was_acknowledged_is_replayed_whatever_the_store_does() {
    for seed in 0..400 {
        let clock = SeededClock::shared(seed);
        let dated = {
            let clock = clock.clone();
            move || clock.now_micros()
        };
        let inner = FaultStore::new(seed, Faults::ALL, dated);
        let store = Store::over(inner.clone(), clock.clone());

        let mut writers: Vec<Wal> = Vec::new();
        let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
        let mut commit_id = 0;
        for _ in 0..40 {
            let dice = clock.random() % 10;
            if dice == 0 || writers.is_empty() {
                let opened = Wal::open(&store, Lsn(0), &WalOptions::default()).await;
                writers.extend(opened.ok().map(|(wal, _)| wal));
                continue;
            }
            let at = usize::try_from(clock.random()).unwrap_or(usize::MAX) % writers.len();
            let wal = &mut writers[at];
            match wal.settle().await {
                Ok(None) => {}
                Ok(Some(settled)) => {
                    for record in settled {
                        unknown.retain(|&id| id != record.commit_id);
                        acknowledged.push((record.lsn.0, record.commit_id));
                    }
                }
                Err(error) => {
                    if error.kind() == ErrorKind::Fenced {
                        writers.swap_remove(at);
                    }
                    continue;
                }
            }
            let first = wal.next_lsn().0;
            let group: Vec<Record> = (0..1 + clock.random() % 3)
                .map(|i| {
                    commit_id += 1;
                    small(first + i, commit_id)
                })
                .collect();
            match wal.append(&group).await {
                Ok(()) => acknowledged.extend(group.iter().map(|r| (r.lsn.0, r.commit_id))),
                Err(error) if error.state() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN => {
                    unknown.extend(group.iter().map(|r| r.commit_id));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Fenced, "seed {seed}: {error:?}");
                    writers.swap_remove(at);
                }
            }
        }
        inner.become_(Faults::default());
        let (_, replayed) = open(&store, 0).await;
        inner.deliver_late().await;
        let (_, again) = open(&store, 0).await;

        assert_eq!(replayed, again, "seed {seed}");
        let replayed: Vec<_> = replayed.iter().map(|r| (r.lsn.0, r.commit_id)).collect();
        assert!(replayed.is_sorted(), "seed {seed}");
        let sure: Vec<_> =
            replayed.iter().copied().filter(|(_, id)| !unknown.contains(id)).collect();
        assert_eq!(sure, acknowledged, "seed {seed}");
    }
}
