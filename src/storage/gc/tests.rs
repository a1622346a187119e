//! Nothing live is ever deleted, and what is not goes in the end.

use super::*;
use crate::{
    clock::{SeededClock, SharedClock},
    error::ErrorKind,
    ids::{ColumnId, Oid},
    pgtype::PgType,
    storage::{
        columns::{ColumnCache, ColumnSpec, batch_of},
        faults::{FaultStore, Faults, peek},
        manifest::IndexManifest,
        pins::Pin,
        segment::{Segment, SegmentStore, SegmentWriter},
        wal::{Record, WalOptions},
    },
};
use arrow::array::{ArrayRef, Int64Array};
use bytes::Bytes;
use std::sync::Arc;

const HOUR: Duration = Duration::from_secs(3600);

fn world(seed: u64, faults: Faults) -> (SharedClock, Arc<FaultStore>, Store) {
    let clock = SeededClock::shared(seed);
    let dated = clock.clone();
    let inner = FaultStore::new(seed, faults, move || dated.now_micros());
    (clock.clone(), inner.clone(), Store::over(inner, clock))
}

fn manifest(number: u64, writer: u128, clock: &SharedClock, names: &[&ObjectPath]) -> Manifest {
    let objects = names.iter().map(|&name| name.clone()).collect();
    let index = IndexManifest { index: Oid(1), checkpoint: serde_json::Value::Null, objects };
    let time_micros = clock.now_micros();
    Manifest { number, writer, time_micros, indexes: vec![index], ..Default::default() }
}

async fn put(store: &Store, name: &ObjectPath) {
    store.put(name, Bytes::from_static(b"bytes")).await.unwrap();
}

async fn names(store: &Store) -> Vec<String> {
    let mut names = Vec::new();
    for folder in [paths::DATA, paths::INDEX, paths::MANIFEST, paths::WAL] {
        let listed = store.list(folder).await.unwrap();
        names.extend(listed.into_iter().map(|(path, _)| path.to_string()));
    }
    names
}

#[tokio::test]
async fn what_was_dropped_goes_after_the_retention_time() {
    let (clock, _, store) = world(1, Faults::default());
    let (a, b) = (paths::segment("a"), paths::segment("b"));
    put(&store, &a).await;
    put(&store, &b).await;
    let (options, pins) = (GcOptions { manifests_min: 1, ..Default::default() }, Pins::default());
    manifest::publish(&store, &manifest(1, 7, &clock, &[&a, &b])).await.unwrap();
    clock.sleep(HOUR * 3).await;
    manifest::publish(&store, &manifest(2, 7, &clock, &[&b])).await.unwrap();

    clock.sleep(HOUR / 2).await;
    assert_eq!(collect(&store, 7, &pins, &options).await.unwrap(), GcReport::default());
    clock.sleep(HOUR).await;
    let pin = pins.pin([a.clone()]);
    let report = collect(&store, 7, &pins, &options).await.unwrap();
    assert_eq!((report.dropped, report.manifests), (0, 1));
    assert!(names(&store).await.contains(&a.to_string()));
    drop(pin);
    clock.sleep(HOUR * 24).await;
    let report = collect(&store, 7, &pins, &options).await.unwrap();
    assert_eq!((report.orphans, report.bytes), (1, 5));
    assert_eq!(names(&store).await, [b.to_string(), paths::manifest(2).to_string()]);
}

#[tokio::test]
async fn a_segment_stays_while_it_is_open() {
    let (clock, _, store) = world(1, Faults::default());
    let segments = SegmentStore::new(store.clone(), Arc::new(ColumnCache::new(1 << 20)));
    manifest::publish(&store, &manifest(1, 7, &clock, &[])).await.unwrap();
    let columns = [ColumnSpec::new(ColumnId(1), PgType::Int8)];
    let mut writer = SegmentWriter::new(&segments, &columns, &[]);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    writer.append(&batch_of(&columns, vec![numbers], 10).unwrap()).await.unwrap();
    let written = writer.finish().await.unwrap();
    let options = GcOptions::default();

    clock.sleep(HOUR * 48).await;
    let report = collect(&store, 7, segments.pins(), &options).await.unwrap();
    assert_eq!(report.orphans, 0);
    let reopened = Segment::open(&segments, written[0].meta().clone()).await.unwrap();
    drop(written);
    let report = collect(&store, 7, segments.pins(), &options).await.unwrap();
    assert_eq!(report.orphans, 0);
    drop(reopened);
    let report = collect(&store, 7, segments.pins(), &options).await.unwrap();
    assert_eq!(report.orphans, 2);
}

#[tokio::test]
async fn an_upload_that_nobody_named_goes_after_the_grace_period() {
    let (clock, _, store) = world(1, Faults::default());
    let pins = Pins::default();
    manifest::publish(&store, &manifest(1, 7, &clock, &[])).await.unwrap();
    put(&store, &paths::index("x")).await;
    put(&store, &paths::segment("under-way")).await;
    let _pin = pins.pin([paths::segment("under-way")]);

    clock.sleep(HOUR * 23).await;
    assert_eq!(collect(&store, 7, &pins, &GcOptions::default()).await.unwrap().orphans, 0);
    clock.sleep(HOUR * 2).await;
    assert_eq!(collect(&store, 7, &pins, &GcOptions::default()).await.unwrap().orphans, 1);
    assert_eq!(names(&store).await.len(), 2);
}

#[tokio::test]
async fn the_log_before_the_oldest_retained_manifest_goes_but_for_fences() {
    let (clock, _, store) = world(1, Faults::default());
    let (mut writer, _) =
        crate::storage::fence::take_over(&store, &WalOptions::default()).await.unwrap();
    for _ in 0..5 {
        let lsn = writer.wal.next_lsn();
        let (catalog, tables) = (Vec::new(), Vec::new());
        let record = Record { lsn, commit_id: 1, time_micros: 0, catalog, tables };
        writer.wal.append(&[record]).await.unwrap();
    }
    clock.sleep(HOUR * 2).await;
    let lsn = Lsn(4);
    let own = Manifest { lsn, ..manifest(2, writer.id, &clock, &[]) };
    manifest::publish(&store, &own).await.unwrap();
    let options = GcOptions { manifests_min: 1, ..Default::default() };
    clock.sleep(HOUR * 2).await;

    let report = collect(&store, writer.id, &Pins::default(), &options).await.unwrap();

    assert_eq!((report.wal, report.manifests), (3, 1));
    let kept = [paths::manifest(2), paths::wal(Lsn(1)), paths::wal(Lsn(5)), paths::wal(Lsn(6))];
    assert_eq!(names(&store).await, kept.map(|path| path.to_string()));
}

#[tokio::test]
async fn a_writer_that_was_replaced_deletes_nothing() {
    let (clock, _, store) = world(1, Faults::default());
    put(&store, &paths::segment("new")).await;
    manifest::publish(&store, &manifest(1, 7, &clock, &[])).await.unwrap();
    manifest::publish(&store, &manifest(2, 8, &clock, &[])).await.unwrap();
    clock.sleep(HOUR * 48).await;

    let error = collect(&store, 7, &Pins::default(), &GcOptions::default()).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(names(&store).await.len(), 3);
}

/// One process: what it uploads, names and reads.
struct Process {
    pins: Pins,
    id: u128,
    newest: Manifest,
    uploads: Vec<(ObjectPath, Pin)>,
    snapshots: Vec<(Vec<ObjectPath>, Pin)>,
}

impl Process {
    async fn start(store: &Store) -> Result<Self> {
        let (writer, _) = crate::storage::fence::take_over(store, &WalOptions::default()).await?;
        Ok(Self {
            pins: Pins::default(),
            id: writer.id,
            newest: writer.manifest,
            uploads: Vec::new(),
            snapshots: Vec::new(),
        })
    }

    /// Names what was uploaded, drops some of what was named.
    async fn publish(&mut self, store: &Store, clock: &SharedClock) -> Result<()> {
        let mut names: Vec<ObjectPath> = self.newest.objects().collect();
        names.retain(|_| !clock.random().is_multiple_of(3));
        names.extend(self.uploads.iter().map(|(name, _)| name.clone()));
        let names: Vec<&ObjectPath> = names.iter().collect();
        let mut next = manifest(self.newest.number + 1, self.id, clock, &names);
        loop {
            match manifest::publish(store, &next).await {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Conflict => next.number += 1,
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
        self.newest = next;
        self.uploads.clear();
        Ok(())
    }
}

#[tokio::test]
async fn nothing_live_is_deleted_in_any_interleaving() {
    let options = GcOptions { manifests_min: 2, retention: HOUR, orphan_grace: HOUR * 6 };
    for seed in 0..150 {
        let faults = Faults { late: 0.0, ..Faults::ALL };
        let (clock, inner, store) = world(seed, faults);
        let mut process = Process::start(&store).await.unwrap();
        let (mut count, mut deleted) = (0, 0);
        for _ in 0..120 {
            match clock.random() % 12 {
                0..=3 => {
                    count += 1;
                    let name = paths::index(&format!("{count:04}"));
                    let pin = process.pins.pin([name.clone()]);
                    // A crash in the middle: the object is there, and nobody knows.
                    let is_crash = clock.random() % 8 == 0;
                    let uploaded = store.put(&name, Bytes::from_static(b"bytes")).await;
                    if is_crash {
                        process = Process::start(&store).await.unwrap();
                    } else if uploaded.is_ok() {
                        process.uploads.push((name, pin));
                    }
                }
                4 | 5 => process.publish(&store, &clock).await.unwrap(),
                6 => {
                    let names: Vec<ObjectPath> = process.newest.objects().collect();
                    let pin = process.pins.pin(names.clone());
                    process.snapshots.push((names, pin));
                }
                7 if !process.snapshots.is_empty() => {
                    process.snapshots.swap_remove(0);
                }
                // The collector runs while objects are uploaded and a manifest is published.
                8 | 9 => {
                    count += 1;
                    let name = paths::index(&format!("{count:04}"));
                    let pin = process.pins.pin([name.clone()]);
                    let (pins, id) = (process.pins.clone(), process.id);
                    let upload_and_publish = async {
                        let uploaded = store.put(&name, Bytes::from_static(b"bytes")).await;
                        if uploaded.is_ok() {
                            process.uploads.push((name, pin));
                        }
                        process.publish(&store, &clock).await
                    };
                    let (collected, published) =
                        tokio::join!(collect(&store, id, &pins, &options), upload_and_publish);
                    published.unwrap();
                    if let Ok(report) = collected {
                        deleted += report.dropped + report.orphans;
                    }
                }
                _ => clock.sleep(HOUR / 2 * u32::try_from(clock.random() % 9).unwrap()).await,
            }
            let live = process.newest.objects().collect::<Vec<_>>();
            let read = process.snapshots.iter().flat_map(|(names, _)| names.clone());
            let held = process.uploads.iter().map(|(name, _)| name.clone());
            for name in live.into_iter().chain(read).chain(held) {
                assert!(peek(&inner, name.as_str()).await.is_some(), "seed {seed}: {name} is gone");
            }
        }
        assert!(deleted > 0, "seed {seed}: the collector found something to do");

        inner.become_(Faults::default());
        process.uploads.clear();
        process.snapshots.clear();
        for _ in 0..2 {
            clock.sleep(HOUR * 7).await;
            process.publish(&store, &clock).await.unwrap();
        }
        clock.sleep(HOUR * 7).await;
        collect(&store, process.id, &process.pins, &options).await.unwrap();
        let retained = manifest::read(&store, process.newest.number - 1).await.unwrap();
        let mut live: Vec<String> = process.newest.objects().map(|name| name.to_string()).collect();
        live.extend(retained.iter().flat_map(Manifest::objects).map(|name| name.to_string()));
        live.sort();
        live.dedup();
        let left = store.list(paths::INDEX).await.unwrap();
        let left: Vec<String> = left.into_iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(left, live, "seed {seed}");
    }
}
