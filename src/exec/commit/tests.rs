//! What becomes of commits when the store does not answer.

use super::*;
use crate::{
    catalog::{POSTGRES_ROLE, Role},
    clock::SeededClock,
    storage::{
        columns::ColumnCache,
        faults::{FaultStore, Faults},
        store::Store,
        wal::WalOptions,
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LOST: Faults = Faults {
    refused: 0.0,
    burst_max: 0,
    answer_lost: 1.0,
    late: 0.0,
    conflict: 0.0,
    stale_list: 0.0,
};

/// A commit task over a store that fails when told to.
struct World {
    clock: SharedClock,
    objects: Arc<FaultStore>,
    store: Store,
    committer: Committer,
    states: Arc<States>,
    task: JoinHandle<Result<()>>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let clock = SeededClock::shared(seed);
        let dated = SharedClock::clone(&clock);
        let objects = FaultStore::new(seed, Faults::default(), move || dated.now_micros());
        let store = Store::over(Arc::clone(&objects) as _, SharedClock::clone(&clock));
        let segments = SegmentStore::new(store.clone(), Arc::new(ColumnCache::new(1 << 20)));
        let (wal, _) = Wal::open(&store, Lsn(0), &WalOptions::default()).await.unwrap();
        // The fence took a number.
        let state = DbState { lsn: Lsn(wal.next_lsn().0 - 1), ..DbState::empty() };
        let states = Arc::new(States::new(state));
        let metrics = Arc::new(Metrics::default());
        let (committer, task) =
            Committer::new(Arc::clone(&states), segments, wal, SharedClock::clone(&clock), metrics);
        let task = tokio::spawn(task.run(CancellationToken::new()));
        Self { clock, objects, store, committer, states, task }
    }

    /// Commits that the role `postgres` has this verifier.
    fn commit(&self, verifier: &str) -> JoinHandle<Result<Lsn>> {
        let state = self.states.snapshot();
        let role = state.catalog.role(POSTGRES_ROLE).unwrap();
        let role = Role { verifier: Some(verifier.into()), ..Role::clone(role) };
        let commit = Commit { changes: vec![Change::Role(Arc::new(role))], ..Commit::default() };
        let committer = self.committer.clone();
        tokio::spawn(async move { committer.commit(commit).await })
    }

    fn verifier(&self) -> Option<String> {
        let state = self.states.snapshot();
        state.catalog.role(POSTGRES_ROLE).unwrap().verifier.clone()
    }

    async fn logged(&self) -> usize {
        let (_, mut replay) = Wal::open(&self.store, Lsn(0), &WalOptions::default()).await.unwrap();
        let mut records = 0;
        while replay.next().await.unwrap().is_some() {
            records += 1;
        }
        records
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_waits_until_it_is_known() {
    for faults in [LOST, Faults { refused: 1.0, burst_max: 1, answer_lost: 0.0, ..LOST }] {
        let world = World::new(1).await;
        world.commit("one").await.unwrap().unwrap();

        world.objects.become_(faults);
        let second = world.commit("two");
        let third = world.commit("three");
        let began = world.clock.elapsed();
        while world.clock.elapsed() - began < Duration::from_secs(30) {
            world.clock.sleep(Duration::from_millis(100)).await;
        }
        assert!(!second.is_finished() && !third.is_finished());
        assert_eq!(world.verifier().as_deref(), Some("one"), "not durable, not seen");
        world.objects.become_(Faults::default());

        let (second, third) = (second.await.unwrap().unwrap(), third.await.unwrap().unwrap());
        assert_eq!(third.0, second.0 + 1);
        world.commit("four").await.unwrap().unwrap();
        assert_eq!(world.verifier().as_deref(), Some("four"));
        assert_eq!(world.logged().await, 4);
    }
}

#[tokio::test]
async fn a_commit_that_stays_unknown_ends_the_task() {
    let world = World::new(2).await;
    world.objects.become_(LOST);

    let error = world.commit("one").await.unwrap().unwrap_err();
    assert_eq!(error.state(), SqlState::TRANSACTION_RESOLUTION_UNKNOWN);
    world.task.await.unwrap().unwrap_err();
    assert!(!world.committer.is_open());
}

#[tokio::test]
async fn who_is_shut_out_commits_nothing_more() {
    let world = World::new(3).await;
    assert_eq!(world.logged().await, 0);

    let error = world.commit("one").await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    world.task.await.unwrap().unwrap_err();
    assert_eq!(world.states.snapshot().lsn, Lsn(1), "nothing was published");
}
