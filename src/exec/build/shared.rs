//! What all builds of a node share, and those that a statement waits for.

use super::{
    Source,
    limits::Limits,
    progress::{Progress, Subject},
    work::{Room, Work},
};
use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    exec::{
        commit::Committer,
        run::{Run, cancelled},
        state::DbState,
    },
    ids::{IndexId, TableId},
    index::{Index, ObjectSink, PostingStore, Put},
    storage::{
        columns::ColumnSpec,
        keys::KeySpec,
        paths::{self, ObjectPath},
        segment::SegmentStore,
        store::Store,
        table::TableState,
    },
    telemetry::Metrics,
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Notify;

/// What all builds of a node share.
#[derive(Debug)]
pub struct Builds {
    segments: SegmentStore,
    postings: Arc<PostingStore>,
    committer: Committer,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    pub(super) progress: Arc<Progress>,
    /// What statements want of builds in the background.
    wanted: Mutex<HashMap<IndexId, Wanted>>,
    /// Told when one of these failed.
    failed: Notify,
}

/// A build in the background that a statement waits for.
#[derive(Debug)]
struct Wanted {
    process_id: i32,
    limits: Limits,
    failure: Option<Error>,
}

impl Builds {
    /// Over a node's parts.
    #[must_use]
    pub fn new(
        segments: SegmentStore,
        postings: Arc<PostingStore>,
        committer: Committer,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            segments,
            postings,
            committer,
            clock,
            metrics,
            progress: Arc::default(),
            wanted: Mutex::default(),
            failed: Notify::new(),
        })
    }

    /// How far they are.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Builds for a statement, where plans compute. What is written on the way is deleted again when
    /// the build fails or is cancelled.
    ///
    /// # Errors
    /// 57014 when cancelled; those of reading and of the core.
    pub async fn build(
        self: &Arc<Self>,
        source: Source,
        subject: Subject,
        limits: Limits,
        run: &Run,
    ) -> Result<Index> {
        let room = Held {
            sink: HeldSink {
                store: self.segments.store().clone(),
                segments: self.segments.clone(),
                object_bytes: limits.object_bytes(),
                written: Mutex::default(),
            },
            postings: Arc::clone(&self.postings),
        };
        let building = self.progress.enter(subject);
        // Cancelled too when nobody waits any more.
        let cancel = run.cancel().child_token();
        let _guard = cancel.clone().drop_guard();
        let work = async move {
            let work = Work { source, limits, building: &building, cancel: &cancel, room: &room };
            let built = work.all().await;
            if built.is_err() {
                room.sink.discard().await;
            }
            built
        };
        // Not ended with the statement: it cleans up after itself, a slice later at most.
        let task = run.spawn(work);
        self.counted(async {
            tokio::select! {
                () = run.cancel().cancelled() => Err(cancelled()),
                ended = task => ended.unwrap_or_else(|error| {
                    Err(Error::internal(format!("a build ended: {error}")))
                }),
            }
        })
        .await
    }

    /// Counts a build.
    pub(super) async fn counted<T>(&self, build: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = self.clock.elapsed();
        let ended = build.await;
        let outcome = match &ended {
            Ok(_) => "done",
            Err(error) if error.state() == SqlState::QUERY_CANCELED => "cancelled",
            Err(_) => "failed",
        };
        self.metrics.index_builds.with_label_values(&[outcome]).inc();
        let took = self.clock.elapsed().saturating_sub(begun);
        self.metrics.index_build_seconds.observe(took.as_secs_f64());
        ended
    }

    /// Writes the keys of a constraint that is to be, for all rows that are in segments, so that the
    /// commit that makes it has only those in memory left to do. Whoever asks holds the table.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub async fn prepare_key(
        &self,
        table: TableId,
        rows: &TableState,
        key: &KeySpec,
        columns: &[ColumnSpec],
    ) -> Result<()> {
        let keyed = rows.keyed_segments(&self.segments, key, columns).await?;
        if keyed.is_empty() {
            return Ok(());
        }
        let put = move |state: &DbState| {
            let state = state.clone();
            match state.catalog.table(table) {
                Some(_) => {
                    let rows = state.table(table).with_side_objects(&keyed);
                    state.with_table(table, rows)
                }
                None => state,
            }
        };
        self.committer.rearrange(put).await.map(drop)
    }

    /// A statement wants an index from the background, and with what.
    pub fn want(&self, index: IndexId, process_id: i32, limits: Limits) {
        self.wanted.lock().insert(index, Wanted { process_id, limits, failure: None });
    }

    /// It waits no more.
    pub fn forget(&self, index: IndexId) {
        self.wanted.lock().remove(&index);
    }

    /// Why the build that a statement waits for failed, once it has.
    pub async fn failure(&self, index: IndexId) -> Error {
        loop {
            let failed = self.failed.notified();
            let failure =
                self.wanted.lock().get_mut(&index).and_then(|wanted| wanted.failure.take());
            if let Some(failure) = failure {
                return failure;
            }
            failed.await;
        }
    }

    /// What is wanted of a build in the background.
    pub(super) fn wanted(&self, index: IndexId) -> Option<(i32, Limits)> {
        self.wanted.lock().get(&index).map(|wanted| (wanted.process_id, wanted.limits))
    }

    /// A build in the background failed: whoever waits for it is told.
    pub(super) fn fail(&self, index: IndexId, error: Error) {
        if let Some(wanted) = self.wanted.lock().get_mut(&index) {
            wanted.failure = Some(error);
        }
        self.failed.notify_waiters();
    }
}

/// Room for the index of a transaction: objects that only it knows, pinned as long as it reads them.
struct Held {
    sink: HeldSink,
    postings: Arc<PostingStore>,
}

#[async_trait]
impl Room for Held {
    async fn show(&self, _: &Index) -> Result<()> {
        Ok(())
    }

    async fn store(&self, index: &Index) -> Result<()> {
        index.spill(&self.sink, &self.postings).await
    }
}

struct HeldSink {
    store: Store,
    segments: SegmentStore,
    object_bytes: usize,
    written: Mutex<Vec<ObjectPath>>,
}

impl HeldSink {
    async fn discard(&self) {
        let written = std::mem::take(&mut *self.written.lock());
        for path in written {
            if let Err(error) = self.store.delete(&path).await {
                tracing::warn!(%path, %error, "an object of a cancelled build is left over");
            }
        }
    }
}

#[async_trait]
impl ObjectSink for HeldSink {
    async fn put(&self, bytes: Bytes) -> Result<Put> {
        let path = paths::index(&paths::fresh_id(self.store.clock().as_ref()));
        let pin = self.segments.pins().pin([path.clone()]);
        self.written.lock().push(path.clone());
        self.store.put(&path, bytes).await?;
        Ok(Put { name: path.as_str().to_owned(), hold: Some(Arc::new(pin)) })
    }

    fn object_bytes_max(&self) -> usize {
        self.object_bytes
    }
}
