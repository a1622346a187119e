//! How a node does, as the sidecar tells: each check by its name, with its state and the reason.
//!
//! What a check learns is remembered for a moment, so that whoever asks often costs little. Writes are
//! tried no more often than [`PROBE_EVERY`]: on a bucket each is paid for.

use crate::{
    error::Error,
    http::{Check, Checks},
    session::Engine,
    storage::{manifest, paths, store::Store},
    telemetry::Metrics,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// A check that takes longer than this has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// For how long an answer holds.
const REMEMBER: Duration = Duration::from_secs(1);
/// How often a write is tried.
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// With less than this free, the log may not find room for the next commits.
const DISK_FREE_MIN: u64 = 64 << 20;

/// The checks of a node.
pub(super) struct NodeChecks {
    store: Store,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    writer: u128,
    /// Whether a newer process was seen.
    is_followed: AtomicBool,
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When all was checked, and what was found.
    last: Option<(Duration, Vec<Check>)>,
    /// When a write was tried last, and how it went.
    probe: Option<(Duration, Check)>,
    /// The number of the newest manifest that was seen, and who wrote it.
    newest: Option<(u64, u128)>,
}

impl NodeChecks {
    pub(super) fn new(
        store: Store,
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        writer: u128,
    ) -> Arc<Self> {
        let (is_followed, known) = (AtomicBool::new(false), Default::default());
        Arc::new(Self { store, engine, metrics, writer, is_followed, known })
    }

    /// Whether the store answers, and whether this process is still the one that writes there.
    async fn store_and_fence(&self, known: &mut Known) -> [Check; 2] {
        let looked = self.in_time(async {
            let listed = self.store.list(paths::MANIFEST).await?;
            let newest = listed.iter().filter_map(|(path, _)| path.number()).max();
            if let Some(number) = newest
                && known.newest.is_none_or(|(seen, _)| seen < number)
                && let Some(manifest) = manifest::read(&self.store, number).await?
            {
                known.newest = Some((number, manifest.writer));
            }
            Ok(listed.len())
        });
        let store = match looked.await {
            // This process wrote one when it started.
            Ok(0) => Check::waiting("store", "it answers, but the manifests are gone"),
            Ok(manifests) => Check::ok("store", format!("it answers; {manifests} manifests")),
            Err(reason) => Check::waiting("store", reason),
        };
        if known.newest.is_some_and(|(_, writer)| writer != self.writer) {
            self.is_followed.store(true, Relaxed);
        }
        [store, self.fence()]
    }

    fn fence(&self) -> Check {
        let is_fenced = self.engine.log_failure().is_some_and(|failure| failure.is_fenced);
        if self.is_followed.load(Relaxed) || is_fenced {
            Check::broken("fence", "a newer process writes here")
        } else {
            Check::ok("fence", "this process is the one that writes")
        }
    }

    /// Whether the store takes writes.
    async fn writable(&self, known: &mut Known) -> Check {
        let now = self.store.clock().elapsed();
        if let Some((at, check)) = &known.probe
            && now.saturating_sub(*at) < PROBE_EVERY
            && check.state.is_ok()
        {
            return check.clone();
        }
        let path = paths::probe();
        let put = self.store.put(&path, Bytes::from_static(b"nearlake"));
        let check = match self.in_time(put).await {
            Ok(()) => Check::ok("writable", "it takes writes"),
            Err(reason) => Check::waiting("writable", reason),
        };
        known.probe = Some((now, check.clone()));
        check
    }

    fn wal(&self) -> Check {
        match self.engine.log_failure() {
            Some(failure) => {
                Check::broken("wal", format!("it cannot be written: {}", failure.reason))
            }
            None if self.engine.takes_commits() => {
                Check::ok("wal", format!("commit {}", self.engine.states().snapshot().lsn))
            }
            None => Check::broken("wal", "the node is stopping"),
        }
    }

    fn disk(&self) -> Check {
        let Some(folder) = self.store.is_local() else {
            return Check::ok("disk", "nothing that lasts is kept on one");
        };
        match disk_space(folder) {
            Some(space) if space.free_bytes < DISK_FREE_MIN => {
                let mib = space.free_bytes >> 20;
                Check::waiting(
                    "disk",
                    format!("{mib} MiB are free, less than {}", DISK_FREE_MIN >> 20),
                )
            }
            Some(space) => Check::ok("disk", format!("{} MiB are free", space.free_bytes >> 20)),
            None => Check::waiting("disk", "the system does not say what is free"),
        }
    }

    /// The reason in words where something fails or takes too long.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
        tokio::select! {
            done = work => done.map_err(|error| error.to_string()),
            () = self.store.clock().sleep(CHECK_LIMIT) => {
                Err(format!("no answer for {} s", CHECK_LIMIT.as_secs()))
            }
        }
    }
}

#[async_trait]
impl Checks for NodeChecks {
    async fn checks(&self) -> Vec<Check> {
        let mut known = self.known.lock().await;
        let now = self.store.clock().elapsed();
        if let Some((at, checks)) = &known.last
            && now.saturating_sub(*at) < REMEMBER
        {
            return checks.clone();
        }
        let [store, fence] = self.store_and_fence(&mut known).await;
        // A store that does not answer need not be asked to write too.
        let writable = match &store.state {
            Ok(_) => self.writable(&mut known).await,
            Err(_) => Check::waiting("writable", "the store does not answer"),
        };
        let checks = vec![store, writable, self.wal(), fence, self.disk()];
        for check in &checks {
            let gauge = self.metrics.check_ok.with_label_values(&[check.name]);
            gauge.set(i64::from(check.state.is_ok()));
        }
        known.last = Some((self.store.clock().elapsed(), checks.clone()));
        checks
    }

    fn known(&self) -> Vec<Check> {
        vec![self.wal(), self.fence()]
    }
}

/// What a disk has, and what of it is free to this process.
pub(super) struct DiskSpace {
    pub(super) bytes: u64,
    pub(super) free_bytes: u64,
}

/// The space of the disk with a folder.
pub(super) fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let told = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    Some(DiskSpace { bytes: bytes(told.f_blocks), free_bytes: bytes(told.f_bavail) })
}
