//! Of several processes one writes, and nothing that was acknowledged is lost between them.

use super::*;
use crate::{
    clock::{SeededClock, SharedClock, SystemClock},
    ids::Lsn,
    storage::{
        faults::{FaultStore, Faults},
        store::StoreOptions,
        wal::Record,
    },
};
use object_store::memory::InMemory;
use std::sync::Arc;

fn record(lsn: Lsn, commit_id: u128) -> Record {
    Record { lsn, commit_id, time_micros: 0, catalog: Vec::new(), tables: Vec::new() }
}

async fn commit(writer: &mut Writer, commit_id: u128) -> Result<()> {
    let lsn = writer.wal.next_lsn();
    writer.wal.append(&[record(lsn, commit_id)]).await
}

async fn start(store: &Store) -> Result<(Writer, Vec<u128>)> {
    let (writer, mut replay) = take_over(store, &WalOptions::default()).await?;
    let mut commits = Vec::new();
    while let Some(record) = replay.next().await? {
        commits.push(record.commit_id);
    }
    Ok((writer, commits))
}

#[tokio::test]
async fn an_older_writer_can_neither_commit_nor_publish() {
    let store = Store::over(Arc::new(InMemory::new()), SeededClock::shared(1));
    let (mut old, _) = start(&store).await.unwrap();
    commit(&mut old, 1).await.unwrap();

    let (mut new, commits) = start(&store).await.unwrap();
    assert_eq!(commits, [1]);
    assert_eq!(commit(&mut old, 2).await.unwrap_err().kind(), ErrorKind::Fenced);
    let next = Manifest { number: old.manifest.number + 1, ..old.manifest.clone() };
    let published = manifest::publish(&store, &next).await;
    assert_eq!(published.unwrap_err().kind(), ErrorKind::Fenced);

    commit(&mut new, 3).await.unwrap();
    let covered = Lsn(new.wal.next_lsn().0 - 1);
    let next = Manifest { number: new.manifest.number + 1, lsn: covered, ..new.manifest.clone() };
    manifest::publish(&store, &next).await.unwrap();
    let (last, commits) = start(&store).await.unwrap();
    assert_eq!((commits.len(), last.manifest.lsn), (0, covered));
}

#[tokio::test]
async fn a_folder_has_one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let options = StoreOptions { url, ..Default::default() };
    let store = Store::open(&options, SystemClock::shared()).await.unwrap();
    std::fs::write(folder.path().join("tmp/left"), b"half").unwrap();

    let (mut writer, _) = start(&store).await.unwrap();
    commit(&mut writer, 1).await.unwrap();
    let other = start(&store).await.unwrap_err();

    assert_eq!(other.state(), SqlState::LOCK_FILE_EXISTS);
    assert!(!folder.path().join("tmp/left").exists());
    drop(writer);
    assert_eq!(start(&store).await.unwrap().1, [1]);
}

/// Two processes at a time, each of which believes in itself, checkpoints included.
#[tokio::test]
async fn what_was_acknowledged_survives_every_change_of_writer() {
    for seed in 0..200 {
        let clock: SharedClock = SeededClock::shared(seed);
        let dated = clock.clone();
        let inner = FaultStore::new(seed, Faults::ALL, move || dated.now_micros());
        let store = Store::over(inner.clone(), clock.clone());
        let mut writers: Vec<(Writer, Vec<u128>)> = Vec::new();
        let (mut acknowledged, mut id) = (Vec::new(), 0);
        for _ in 0..50 {
            let dice = clock.random() % 8;
            if writers.is_empty() || (dice == 0 && writers.len() < 3) {
                if let Ok((writer, replayed)) = start(&store).await {
                    // What a manifest contains is not replayed: a test's manifest carries it.
                    let mut known = contained(&writer.manifest);
                    known.extend(replayed);
                    writers.push((writer, known));
                }
                continue;
            }
            let at = usize::try_from(clock.random() % writers.len() as u64).unwrap();
            let (writer, known) = &mut writers[at];
            let done = match writer.wal.settle().await {
                Ok(settled) => {
                    let settled = settled.unwrap_or_default();
                    known.extend(settled.iter().map(|record| record.commit_id));
                    match dice {
                        1 | 2 => checkpoint(&store, writer, known).await,
                        _ => {
                            id += 1;
                            let committed = commit(writer, id).await;
                            if committed.is_ok() {
                                known.push(id);
                                acknowledged.push(id);
                            }
                            committed
                        }
                    }
                }
                Err(error) => Err(error),
            };
            if done.is_err_and(|error| error.kind() == ErrorKind::Fenced) {
                writers.swap_remove(at);
            }
        }
        inner.become_(Faults::default());
        let (writer, replayed) = start(&store).await.unwrap();
        let mut known = contained(&writer.manifest);
        known.extend(replayed);
        for id in acknowledged {
            let times = known.iter().filter(|&&known| known == id).count();
            assert_eq!(times, 1, "seed {seed}: commit {id} of {known:?}");
        }
    }
}

fn contained(manifest: &Manifest) -> Vec<u128> {
    let ids = manifest.catalog.as_array().map(Vec::as_slice).unwrap_or_default();
    ids.iter().filter_map(|id| id.as_u64().map(u128::from)).collect()
}

async fn checkpoint(store: &Store, writer: &mut Writer, known: &[u128]) -> Result<()> {
    let ids = known.iter().map(|&id| u64::try_from(id).unwrap().into()).collect();
    let next = Manifest {
        number: writer.manifest.number + 1,
        lsn: Lsn(writer.wal.next_lsn().0 - 1),
        catalog: serde_json::Value::Array(ids),
        ..writer.manifest.clone()
    };
    match manifest::publish(store, &next).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            // An attempt whose answer was lost did arrive; the next one is for the number behind it.
            writer.manifest.number += 1;
            Ok(())
        }
        published => {
            published?;
            writer.manifest = next;
            writer.wal.release(writer.manifest.lsn).await
        }
    }
}
