//! What is found where, and what a damaged cache costs.

use super::*;
use crate::{
    clock::SeededClock,
    storage::{paths, store::Store},
};
use object_store::memory::InMemory;
use std::fs;

fn counts(cache: &RangeCache) -> [u64; 3] {
    let CacheCounters { memory_hits, disk_hits, misses, .. } = cache.counters();
    [memory_hits, disk_hits, misses].map(|counter| counter.load(Relaxed))
}

async fn store(cache: &RangeCache) -> (Store, ObjectPath, Vec<u8>) {
    let clock = SeededClock::shared(1);
    let store = Store::with_cache(Arc::new(InMemory::new()), clock, Some(cache.clone()));
    let path = paths::index("x");
    let bytes: Vec<u8> = (0..BLOCK_BYTES * 5 / 2).map(|i| (i % 253) as u8).collect();
    store.put(&path, bytes.clone().into()).await.unwrap();
    (store, path, bytes)
}

#[tokio::test]
async fn a_block_is_read_from_the_store_once() {
    let cache = RangeCache::open(8 << 20, None).await.unwrap();
    let (store, path, bytes) = store(&cache).await;
    let edge = BLOCK_USIZE - 3..BLOCK_USIZE + 3;
    let range = edge.start as u64..edge.end as u64;

    for expected in [[0, 0, 2], [2, 0, 2]] {
        let found = store.ranges(&path, &[range.clone(), 5..9]).await.unwrap();
        assert_eq!((&found[0][..], &found[1][..]), (&bytes[edge.clone()], &bytes[5..9]));
        assert_eq!(counts(&cache), expected);
    }

    assert_eq!(store.counters().reads.load(Relaxed), 1);
    assert_eq!(cache.counters().missed_bytes.load(Relaxed), 2 * BLOCK_BYTES);
}

#[tokio::test]
async fn a_statement_hears_which_of_its_ranges_were_near() {
    let cache = RangeCache::open(8 << 20, None).await.unwrap();
    let (store, path, bytes) = store(&cache).await;
    let end = bytes.len() as u64;
    let (first, across, last) = (5..9, BLOCK_BYTES - 3..BLOCK_BYTES + 3, end - 4..end);

    for (ranges, near, far) in [
        (vec![first.clone()], 0, 1),
        // A range is far as soon as one of its blocks is.
        (vec![first.clone(), across.clone(), 7..7], 1, 1),
        (vec![across, last.clone()], 1, 1),
        (vec![first, last], 2, 0),
    ] {
        let reads = Arc::new(reads::Reads::default());
        Arc::clone(&reads).within(store.ranges(&path, &ranges)).await.unwrap();
        assert_eq!(reads.counts(), reads::ReadCounts { near, far }, "{ranges:?}");
    }
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_found_on_the_disk_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Some((folder.path(), DISK_BYTES_MIN));
    let cache = RangeCache::open(1 << 20, disk).await.unwrap();
    let error = RangeCache::open(1 << 20, disk).await.unwrap_err();
    assert!(error.message().contains("is in use by another process"), "{error}");
    let (store, path, bytes) = store(&cache).await;
    let last = bytes.len() as u64 - 4..bytes.len() as u64;

    let found = store.ranges(&path, &[0..4, last.clone()]).await.unwrap();
    assert_eq!((&found[0][..], &found[1][..]), (&bytes[..4], &bytes[bytes.len() - 4..]));
    assert_eq!(counts(&cache), [0, 0, 2]);
    cache.0.blocks.close().await.unwrap();
    drop(store);
    drop(cache);

    let cache = RangeCache::open(1 << 20, disk).await.unwrap();
    let none = |_| async { panic!("the store was asked for what the disk has") };
    let found = cache.ranges(&path, &[0..4, last], none).await.unwrap();
    assert_eq!((&found[0][..], &found[1][..]), (&bytes[..4], &bytes[bytes.len() - 4..]));
    assert_eq!(counts(&cache), [0, 2, 0]);
}

#[tokio::test]
async fn a_damaged_cache_is_a_miss() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Some((folder.path(), DISK_BYTES_MIN));
    let cache = RangeCache::open(1 << 20, disk).await.unwrap();
    let (store, path, bytes) = store(&cache).await;
    store.ranges(&path, &[0..4, 0..1]).await.unwrap();
    cache.0.blocks.close().await.unwrap();
    drop(store);
    drop(cache);
    for file in fs::read_dir(folder.path().join("blocks")).unwrap() {
        let file = file.unwrap().path();
        let mut content = fs::read(&file).unwrap();
        // Every value, wherever the engine put it, is hit; its bookkeeping at the start is spared.
        content.iter_mut().skip(8192).step_by(97).for_each(|byte| *byte ^= 1);
        fs::write(&file, content).unwrap();
    }

    let cache = RangeCache::open(1 << 20, disk).await.unwrap();
    let again = |ranges: Vec<Range<u64>>| {
        let end = usize::try_from(ranges[0].end).unwrap();
        let bytes = Bytes::copy_from_slice(&bytes[..end]);
        async move { Ok(vec![bytes]) }
    };
    let found = cache.ranges(&path, &[0..4, 0..1], again).await.unwrap();

    assert_eq!(found[0][..], bytes[..4]);
    let [_, disk_hits, misses] = counts(&cache);
    assert_eq!((disk_hits, misses), (0, 1));
}

#[test]
fn a_block_of_a_strange_length_takes_no_memory() {
    let mut stored = vec![0; 4];
    stored.extend(u32::MAX.to_le_bytes());
    stored.extend([0; 100]);

    assert!(Block::decode(&mut &stored[..]).is_err());
}
