//! What a node does beside answering: checkpoints by size and by time, compaction, collection of
//! garbage. One task, so that these never meet each other.

use super::{checkpoint::Checkpointer, state::States};
use crate::{
    clock::SharedClock,
    error::{Error, ErrorKind, Result, SqlState},
    telemetry::Metrics,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// When maintenance happens.
#[derive(Debug, Clone)]
pub struct MaintenanceOptions {
    /// A checkpoint is due when memtables have this many bytes.
    pub memtable_bytes_max: u64,
    /// And when this time has passed since the last, if anything was committed.
    pub checkpoint_every: Duration,
    /// How often memtables are looked at.
    pub look_every: Duration,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        Self {
            memtable_bytes_max: 256 << 20,
            checkpoint_every: Duration::from_secs(300),
            look_every: Duration::from_millis(500),
        }
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// CHECKPOINT.
    Checkpoint,
    /// VACUUM: a checkpoint, compaction, and collection.
    Vacuum,
}

/// A handle on the maintenance task.
#[derive(Debug, Clone)]
pub struct Maintenance {
    requests: mpsc::Sender<(Task, oneshot::Sender<Result<()>>)>,
}

/// The task itself, to be run by the node.
#[derive(Debug)]
pub struct MaintenanceTask {
    requests: mpsc::Receiver<(Task, oneshot::Sender<Result<()>>)>,
    checkpointer: Checkpointer,
    states: Arc<States>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    options: MaintenanceOptions,
}

impl Maintenance {
    /// A handle and its task.
    #[must_use]
    pub fn new(
        checkpointer: Checkpointer,
        states: Arc<States>,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        options: MaintenanceOptions,
    ) -> (Self, MaintenanceTask) {
        let (sender, requests) = mpsc::channel(16);
        (
            Self { requests: sender },
            MaintenanceTask { requests, checkpointer, states, clock, metrics, options },
        )
    }

    /// Has a task done and waits for it.
    ///
    /// # Errors
    /// Its own, and 57P01 when the node is stopping.
    pub async fn have(&self, task: Task) -> Result<()> {
        let stopping = |_| Error::new(SqlState::ADMIN_SHUTDOWN, "the node is stopping");
        let (reply, answer) = oneshot::channel();
        self.requests.send((task, reply)).await.map_err(|_| stopping(()))?;
        answer.await.map_err(|_| stopping(()))?
    }
}

impl MaintenanceTask {
    /// Works until it is told to stop, then writes a last checkpoint. An error is one after which
    /// the process must end: another writes here.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut last = self.clock.elapsed();
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => break,
                request = self.requests.recv() => request,
                () = self.clock.sleep(self.options.look_every) => None,
            };
            let (task, reply) = match asked {
                Some((task, reply)) => (task, Some(reply)),
                None if self.is_due(last) => (Task::Checkpoint, None),
                None => {
                    self.tell_behind();
                    continue;
                }
            };
            let done = self.perform(task).await;
            last = self.clock.elapsed();
            if let Err(error) = &done {
                tracing::error!(?task, %error, "maintenance failed");
            }
            let fenced = matches!(&done, Err(error) if error.kind() == ErrorKind::Fenced);
            if let Some(reply) = reply {
                let _ = reply.send(done);
            }
            if fenced {
                return Err(Error::fenced("a newer process writes here"));
            }
        }
        if self.checkpointer.behind() > 0 {
            self.checkpoint().await?;
        }
        Ok(())
    }

    fn is_due(&self, last: Duration) -> bool {
        let full = self.states.snapshot().memtable_bytes() >= self.options.memtable_bytes_max;
        let old = self.clock.elapsed().saturating_sub(last) >= self.options.checkpoint_every;
        full || (old && self.checkpointer.behind() > 0)
    }

    /// A checkpoint, counted.
    async fn checkpoint(&self) -> Result<()> {
        let begun = self.clock.elapsed();
        let done = self.checkpointer.checkpoint().await;
        let outcome = if done.is_ok() { "done" } else { "failed" };
        self.metrics.checkpoints.with_label_values(&[outcome]).inc();
        self.metrics.checkpoint_seconds.observe(self.since(begun));
        self.tell_behind();
        done.map(drop)
    }

    fn tell_behind(&self) {
        let behind = i64::try_from(self.checkpointer.behind()).unwrap_or(i64::MAX);
        self.metrics.checkpoint_behind.set(behind);
    }

    /// Seconds since then.
    fn since(&self, begun: Duration) -> f64 {
        self.clock.elapsed().saturating_sub(begun).as_secs_f64()
    }

    async fn perform(&self, task: Task) -> Result<()> {
        self.checkpoint().await?;
        let begun = self.clock.elapsed();
        let compacted = self.checkpointer.compact().await?;
        self.metrics.compactions.inc_by(compacted);
        self.metrics.compaction_seconds.observe(self.since(begun));
        if compacted > 0 {
            // The manifest is to name the new segments, so that the old ones become garbage.
            self.checkpoint().await?;
        }
        let begun = self.clock.elapsed();
        let collected = self.checkpointer.collect().await?;
        self.metrics.collection_seconds.observe(self.since(begun));
        self.metrics.bytes_collected.inc_by(collected.bytes);
        let objects = collected.dropped + collected.orphans + collected.manifests + collected.wal;
        self.metrics.objects_collected.inc_by(objects);
        if task == Task::Vacuum || compacted > 0 {
            tracing::info!(compacted, ?collected, "compaction and collection");
        }
        Ok(())
    }
}
