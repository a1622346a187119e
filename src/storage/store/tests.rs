//! Every store passes one suite; then what only some of them do.

use super::*;
use crate::{
    clock::{SeededClock, SystemClock},
    error::{ErrorKind, SqlState},
    storage::{
        conformance,
        faults::{FaultStore, Faults, peek},
        paths,
    },
};
use object_store::memory::InMemory;

fn dated(clock: &SharedClock) -> impl Fn() -> i64 + Send + Sync + 'static {
    let clock = clock.clone();
    move || clock.now_micros()
}

#[tokio::test]
async fn memory_conforms() {
    let options = StoreOptions { url: "memory:".into(), ..Default::default() };
    conformance::check(Store::open(&options, SeededClock::shared(1)).await.unwrap()).await;
}

#[tokio::test]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("a b/ü").display().to_string();
    let options = StoreOptions { url, ..Default::default() };

    let store = Store::open(&options, SystemClock::shared()).await.unwrap();
    conformance::check(store.clone()).await;

    let tmp = store.is_local().unwrap().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_that_fails_conforms() {
    for seed in 0..200 {
        let clock = SeededClock::shared(seed);
        let faults = Faults { stale_list: 0.0, ..Faults::ALL };
        let inner = FaultStore::new(seed, faults, dated(&clock));
        conformance::check(Store::over(inner, clock)).await;
    }
}

#[tokio::test]
async fn a_cached_store_conforms() {
    let cache = RangeCache::open(4 << 20, None).await.unwrap();
    let store = Store::with_cache(Arc::new(InMemory::new()), SeededClock::shared(1), Some(cache));
    conformance::check(store).await;
}

#[tokio::test]
async fn of_many_creators_one_wins_whatever_happens_on_the_way() {
    for seed in 0..300 {
        let clock = SeededClock::shared(seed);
        let inner = FaultStore::new(seed, Faults::ALL, dated(&clock));
        let store = Store::over(inner.clone(), clock);
        let path = paths::manifest(1);

        let creators = (0..5_u8).map(|id| {
            let (store, path) = (store.clone(), path.clone());
            async move { (id, store.create(&path, Bytes::from(vec![id; 9])).await) }
        });
        let outcomes = futures::future::join_all(creators).await;
        inner.deliver_late().await;

        let there = peek(&inner, path.as_str()).await.unwrap();
        for (id, outcome) in outcomes {
            match outcome {
                Ok(Created::Won) => assert_eq!(there[0], id, "seed {seed}"),
                Ok(Created::Lost(found)) => {
                    assert_eq!(found, there, "seed {seed}");
                    assert_ne!(there[0], id, "seed {seed}");
                }
                Err(error) => {
                    let state = error.state();
                    assert_eq!(state, SqlState::TRANSACTION_RESOLUTION_UNKNOWN, "seed {seed}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_named_after_the_deadline() {
    let clock = SeededClock::shared(1);
    let faults = Faults { refused: 1.0, burst_max: 1, ..Default::default() };
    let store = Store::over(FaultStore::new(1, faults, dated(&clock)), clock.clone());
    let path = paths::segment("x");

    let error = store.get(&path).await.unwrap_err();
    assert_eq!((error.kind(), error.state()), (ErrorKind::Unavailable, SqlState::IO_ERROR));
    assert_eq!(
        error.message(),
        "could not read object \"data/x.parquet\": the store is not reachable"
    );
    assert_eq!(store.counters().retries.load(Relaxed), 7);
    assert!(clock.elapsed() < StoreOptions::default().deadline);

    let error = store.create(&path, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.state(), SqlState::TRANSACTION_RESOLUTION_UNKNOWN);
}

#[tokio::test]
async fn near_ranges_are_read_at_once() {
    let store = Store::over(Arc::new(InMemory::new()), SeededClock::shared(1));
    let path = paths::index("x");
    store.put(&path, Bytes::from(vec![7; 1 << 20])).await.unwrap();

    let ranges = [0..10, 70_000..70_001, 60_000..60_100, 900_000..900_005];
    let found = store.ranges(&path, &ranges).await.unwrap();

    assert_eq!(found.iter().map(Bytes::len).collect::<Vec<_>>(), [10, 1, 100, 5]);
    assert_eq!(store.counters().reads.load(Relaxed), 2);
}

#[tokio::test]
async fn a_location_that_makes_no_sense_is_explained() {
    for (url, why) in [
        ("gs://", "it names no bucket"),
        ("ftp://host/x", "unknown scheme \"ftp\""),
        ("file://host/x", "not the path of a folder"),
    ] {
        let options = StoreOptions { url: url.into(), ..Default::default() };
        let error = Store::open(&options, SeededClock::shared(1)).await.unwrap_err();
        assert_eq!(error.message(), format!("invalid data location \"{url}\": {why}"));
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("file://{}/below", file.path().display());
    let options = StoreOptions { url, ..Default::default() };

    let error = Store::open(&options, SeededClock::shared(1)).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().starts_with("could not open data folder"), "{error}");
}
