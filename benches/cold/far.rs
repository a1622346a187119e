//! A store that is far away: a folder whose objects arrive as slowly as those of a bucket, and that
//! counts what is asked of it.

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use nearlake::clock::SharedClock;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, local::LocalFileSystem,
    path::Path,
};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use std::{fmt, sync::Arc, time::Duration};

/// How long a request takes to begin: half of them this long …
const P50_MS: f64 = 60.0;
/// … and one in a hundred this long.
const P99_MS: f64 = 120.0;
/// The deviation of a normal of which one in a hundred lies above: log-normal latencies.
const P99_DEVIATIONS: f64 = 2.326;
/// Bytes of one answer come at this rate.
const BYTES_PER_SECOND: f64 = 80e6;

/// Requests that do not depend on each other: those that begin while others are under way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// Requests.
    pub(crate) gets: u64,
    /// Bytes of their answers.
    pub(crate) bytes: u64,
    /// From the first request to the last answer.
    pub(crate) time: Duration,
}

/// The store.
pub(crate) struct Far {
    folder: LocalFileSystem,
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    random: SmallRng,
    rounds: Vec<Round>,
    /// When the last round began.
    begun: Duration,
    under_way: u64,
}

impl Far {
    /// Over a folder; latencies follow from the seed.
    pub(crate) fn over(folder: LocalFileSystem, clock: SharedClock, seed: u64) -> Arc<Self> {
        let random = SmallRng::seed_from_u64(seed);
        let state = State { random, rounds: Vec::new(), begun: clock.elapsed(), under_way: 0 };
        Arc::new(Self { folder, clock, state: Mutex::new(state) })
    }

    /// What was asked since the last time.
    pub(crate) fn take(&self) -> Vec<Round> {
        std::mem::take(&mut self.state.lock().rounds)
    }

    fn begin(&self) -> Duration {
        let mut state = self.state.lock();
        if state.under_way == 0 || state.rounds.is_empty() {
            state.begun = self.clock.elapsed();
            state.rounds.push(Round::default());
        }
        state.under_way += 1;
        state.round().gets += 1;
        let (a, b): (f64, f64) = (state.random.random(), state.random.random());
        let normal = (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        let sigma = (P99_MS / P50_MS).ln() / P99_DEVIATIONS;
        Duration::from_secs_f64(P50_MS / 1000.0 * (sigma * normal).exp())
    }

    fn end(&self, bytes: u64) {
        let mut state = self.state.lock();
        let time = self.clock.elapsed().saturating_sub(state.begun);
        state.under_way -= 1;
        let round = state.round();
        round.bytes += bytes;
        round.time = time;
    }
}

impl State {
    fn round(&mut self) -> &mut Round {
        self.rounds.last_mut().expect("a request begins a round where there is none")
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Far")
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder far away")
    }
}

#[async_trait]
impl ObjectStore for Far {
    async fn put_opts(&self, path: &Path, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.folder.put_opts(path, payload, o).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.folder.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let latency = self.begin();
        let found = self.folder.get_opts(path, options).await;
        let bytes = found.as_ref().map_or(0, |found| found.range.end - found.range.start);
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        let transfer = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        self.clock.sleep(latency + transfer).await;
        self.end(bytes);
        found
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.folder.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.folder.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.folder.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.folder.copy_opts(from, to, options).await
    }
}
