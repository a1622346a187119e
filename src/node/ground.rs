//! The ground floor: the store, what was recovered from it, and the task that commits.

use super::setup::Setup;
use crate::{
    error::Result,
    exec::{
        checkpoint::{Checkpointer, IndexObjects},
        commit::Committer,
        events::Origin,
        recovery::{Recovered, recover},
        state::States,
    },
    index::PostingStore,
    storage::{
        columns::ColumnCache,
        lock::FolderLock,
        segment::SegmentStore,
        store::{Store, StoreOptions},
        wal::WalOptions,
    },
};
use std::sync::Arc;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is stored, and the one who writes it.
pub(super) struct Ground {
    pub(super) store: Store,
    pub(super) segments: SegmentStore,
    pub(super) postings: Arc<PostingStore>,
    pub(super) states: Arc<States>,
    pub(super) committer: Committer,
    /// However the node ends, its commit thread does.
    pub(super) stop_commits: DropGuard,
    pub(super) commits: JoinHandle<Result<()>>,
    /// What this process is known by as the writer.
    pub(super) writer: u128,
    pub(super) lock: Option<FolderLock>,
}

impl Ground {
    /// Opens the store, shuts older writers out and replays the log. Also who writes checkpoints, and
    /// from where on webhooks are told.
    pub(super) async fn open(setup: &Setup) -> Result<(Self, Checkpointer, Origin)> {
        let Setup { clock, metrics, memory, .. } = setup;
        let store = Store::open(&store_options(setup), Arc::clone(clock)).await?;
        let columns = Arc::new(ColumnCache::new(memory.columns));
        let segments = SegmentStore::new(store.clone(), columns);
        let postings = PostingStore::new(Arc::new(IndexObjects(store.clone())), memory.postings);

        let recovered = recover(&store, &segments, &postings, &WalOptions::default()).await?;
        let Recovered { state, writer, replayed } = recovered;
        let origin = Origin::of(&writer.manifest)?;
        tracing::info!(lsn = %state.lsn, replayed, "recovered");
        let states = Arc::new(States::new(state));
        let (committer, task) = Committer::new(
            Arc::clone(&states),
            segments.clone(),
            writer.wal,
            Arc::clone(clock),
            Arc::clone(metrics),
        );
        let stop = CancellationToken::new();
        let (runtime, task) = (Handle::current(), task.run(stop.clone()));
        let commits = tokio::task::spawn_blocking(move || runtime.block_on(task));
        let checkpointer = Checkpointer::new(
            store.clone(),
            segments.clone(),
            Arc::clone(&postings),
            Arc::clone(&states),
            committer.clone(),
            writer.id,
            &writer.manifest,
        );
        let ground = Self {
            store,
            segments,
            postings,
            states,
            committer,
            stop_commits: stop.drop_guard(),
            commits,
            writer: writer.id,
            lock: writer.lock,
        };
        Ok((ground, checkpointer, origin))
    }
}

fn store_options(Setup { config, memory, .. }: &Setup) -> StoreOptions {
    StoreOptions {
        url: config.data.clone(),
        endpoint: config.store_endpoint.clone(),
        cache_dir: config.cache_dir(),
        cache_memory_bytes: memory.ranges,
        cache_disk_bytes: config.cache_size,
        ..StoreOptions::default()
    }
}
