//! What every store promises, whatever it is made of. Given an empty one.

use crate::{
    error::Result,
    storage::{
        paths,
        store::{Created, Store},
    },
};
use bytes::Bytes;

/// Checks every operation of a store, from an empty one on.
pub(crate) async fn check(store: Store) {
    // The operations run as they do in a server: on any thread.
    tokio::spawn(check_all(store)).await.unwrap();
}

async fn check_all(store: Store) {
    what_was_put_is_read(&store).await;
    a_name_is_created_once(&store).await;
    what_is_deleted_is_gone(&store).await;
}

async fn what_was_put_is_read(store: &Store) {
    let path = paths::segment("a");
    assert_eq!(store.get(&path).await.unwrap(), None);
    assert_eq!(store.list(paths::DATA).await.unwrap(), []);

    let bytes: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
    store.put(&path, Bytes::from(bytes.clone())).await.unwrap();
    store.put(&path, Bytes::from(bytes.clone())).await.unwrap();
    store.put(&paths::keys("a"), Bytes::new()).await.unwrap();

    assert_eq!(store.get(&path).await.unwrap().unwrap(), bytes);
    assert_eq!(store.get(&paths::keys("a")).await.unwrap().unwrap(), Bytes::new());
    let listed = store.list(paths::DATA).await.unwrap();
    assert_eq!(listed, [(paths::keys("a"), 0), (path.clone(), 700_000)]);

    let ranges = [699_999..700_000, 0..3, 5..5, 262_143..262_146, 100..600_000];
    for _ in 0..2 {
        let found = store.ranges(&path, &ranges).await.unwrap();
        for (range, found) in ranges.iter().zip(found) {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert_eq!(found, bytes[range]);
        }
    }
    assert!(store.ranges(&path, &[]).await.unwrap().is_empty());
    assert!(store.ranges(&path, std::slice::from_ref(&(699_999..700_001))).await.is_err());
    assert!(store.ranges(&paths::segment("b"), std::slice::from_ref(&(0..1))).await.is_err());
}

async fn a_name_is_created_once(store: &Store) {
    let (path, ours) = (paths::manifest(1), Bytes::from_static(b"ours"));
    let create = |bytes: &'static [u8]| store.create(&path, Bytes::from_static(bytes));

    assert_eq!(settled(|| create(b"ours")).await, Created::Won);
    assert_eq!(settled(|| create(b"theirs")).await, Created::Lost(ours.clone()));
    assert_eq!(settled(|| create(b"ours")).await, Created::Won);
    assert_eq!(store.get(&path).await.unwrap(), Some(ours));

    let racers = (0..8_u8).map(|id| {
        let (store, path, bytes) = (store.clone(), paths::manifest(2), Bytes::from(vec![id; 5]));
        async move { settled(|| store.create(&path, bytes.clone())).await == Created::Won }
    });
    let won = futures::future::join_all(racers).await;
    assert_eq!(won.into_iter().filter(|&won| won).count(), 1);
    let names: Vec<_> = store.list(paths::MANIFEST).await.unwrap();
    assert_eq!(names, [(paths::manifest(1), 4), (paths::manifest(2), 5)]);
}

/// Creates until it is known how it ended: the same bytes under the same name.
async fn settled<F: Future<Output = Result<Created>>>(create: impl Fn() -> F) -> Created {
    loop {
        if let Ok(created) = create().await {
            return created;
        }
    }
}

async fn what_is_deleted_is_gone(store: &Store) {
    store.delete(&paths::segment("a")).await.unwrap();
    store.delete(&paths::segment("a")).await.unwrap();
    store.delete(&paths::keys("a")).await.unwrap();

    assert_eq!(store.get(&paths::segment("a")).await.unwrap(), None);
    assert_eq!(store.list(paths::DATA).await.unwrap(), []);
}
