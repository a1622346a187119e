//! A store that fails by seed: what a client of a real one has to live with, again and again.
//!
//! Every operation draws from the seed what befalls it. A run repeats itself exactly as long as the
//! operations come in the same order. The objects themselves are in memory and always whole.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// How probable each misfortune is, from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// 503: nothing happened. Comes in bursts of up to `burst_max`.
    pub(crate) refused: f64,
    /// The longest burst of 503s.
    pub(crate) burst_max: u32,
    /// A write happened, and the answer was lost.
    pub(crate) answer_lost: f64,
    /// A write was taken for lost, and happens later, between other operations.
    pub(crate) late: f64,
    /// 409 or 412 for a conditional write that nothing stood in the way of.
    pub(crate) conflict: f64,
    /// A listing that has not heard of an object yet: of the newest one.
    pub(crate) stale_list: f64,
}

impl Faults {
    /// All of them, so often that every run meets each, and so seldom that retries get through.
    pub(crate) const ALL: Self = Self {
        refused: 0.05,
        burst_max: 3,
        answer_lost: 0.08,
        late: 0.04,
        conflict: 0.04,
        stale_list: 0.2,
    };
}

/// An object store in memory that fails by seed.
pub(crate) struct FaultStore {
    objects: InMemory,
    now_micros: Box<dyn Fn() -> i64 + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    rng: SmallRng,
    faults: Faults,
    burst: u32,
    late: Vec<(Path, PutPayload, PutMode)>,
    /// When each object was written, by the clock of the simulation; and the newest one.
    written: BTreeMap<Path, i64>,
    newest: Option<Path>,
}

/// What befalls a write.
enum Fate {
    Served,
    Refused,
    AnswerLost,
    Late,
    Conflict,
}

impl FaultStore {
    /// A store whose misfortunes follow from `seed`, and whose objects are dated by `now_micros`.
    pub(crate) fn new(
        seed: u64,
        faults: Faults,
        now_micros: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Arc<Self> {
        let rng = SmallRng::seed_from_u64(seed);
        let (written, late) = (BTreeMap::new(), Vec::new());
        let state = State { rng, faults, burst: 0, late, written, newest: None };
        let now_micros = Box::new(now_micros);
        Arc::new(Self { objects: InMemory::new(), now_micros, state: Mutex::new(state) })
    }

    /// From now on other misfortunes; `Faults::default()` is none.
    pub(crate) fn become_(&self, faults: Faults) {
        let mut state = self.state.lock();
        (state.faults, state.burst) = (faults, 0);
    }

    /// Lets every write that was taken for lost happen now.
    pub(crate) async fn deliver_late(&self) {
        let late = std::mem::take(&mut self.state.lock().late);
        for (path, payload, mode) in late {
            // A conditional write that comes too late fails, as it should.
            let _ = self.write(&path, payload, mode.into()).await;
        }
    }

    async fn write(&self, path: &Path, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        let written = self.objects.put_opts(path, payload, o).await?;
        let mut state = self.state.lock();
        state.written.insert(path.clone(), (self.now_micros)());
        state.newest = Some(path.clone());
        Ok(written)
    }

    fn is_refused(&self) -> bool {
        let mut state = self.state.lock();
        let State { rng, faults, burst, .. } = &mut *state;
        if *burst == 0 && rng.random_bool(faults.refused) {
            *burst = rng.random_range(1..=faults.burst_max.max(1));
        }
        let is_refused = *burst > 0;
        *burst = burst.saturating_sub(1);
        is_refused
    }

    fn fate(&self, mode: &PutMode) -> Fate {
        if self.is_refused() {
            return Fate::Refused;
        }
        let mut state = self.state.lock();
        let State { rng, faults, .. } = &mut *state;
        let dice: f64 = rng.random();
        let conflict = if *mode == PutMode::Overwrite { 0.0 } else { faults.conflict };
        match dice {
            d if d < faults.answer_lost => Fate::AnswerLost,
            d if d < faults.answer_lost + faults.late => Fate::Late,
            d if d < faults.answer_lost + faults.late + conflict => Fate::Conflict,
            _ => Fate::Served,
        }
    }

    /// Perhaps one of the writes that were taken for lost happens now.
    async fn perhaps_deliver(&self) {
        let late = {
            let mut state = self.state.lock();
            match state.late.len() {
                0 => None,
                _ if !state.rng.random_bool(0.2) => None,
                n => {
                    let at = state.rng.random_range(0..n);
                    Some(state.late.swap_remove(at))
                }
            }
        };
        if let Some((path, payload, mode)) = late {
            let _ = self.write(&path, payload, mode.into()).await;
        }
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let written = self.state.lock().written.get(&meta.location).copied();
        if let Some(date) = written.and_then(chrono::DateTime::from_timestamp_micros) {
            meta.last_modified = date;
        }
        meta
    }
}

fn unavailable(what: &'static str) -> Error {
    Error::Generic { store: "faults", source: what.into() }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("store that fails by seed")
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        tokio::task::yield_now().await;
        self.perhaps_deliver().await;
        match self.fate(&options.mode) {
            Fate::Served => self.write(path, payload, options).await,
            Fate::Refused => Err(unavailable("503 before the write")),
            Fate::AnswerLost => {
                let _ = self.write(path, payload, options).await;
                Err(unavailable("the answer was lost"))
            }
            Fate::Late => {
                let mut state = self.state.lock();
                state.late.push((path.clone(), payload, options.mode));
                Err(unavailable("the request was lost for now"))
            }
            Fate::Conflict => {
                let source = "409 while another write is under way".into();
                Err(Error::AlreadyExists { path: path.to_string(), source })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        tokio::task::yield_now().await;
        if self.is_refused() {
            return Err(unavailable("503"));
        }
        let mut found = self.objects.get_opts(path, options).await?;
        found.meta = self.dated(found.meta);
        Ok(found)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.is_refused() {
            true => futures::stream::once(async { Err(unavailable("503")) }).boxed(),
            false => self.objects.delete_stream(paths),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.is_refused() {
            return futures::stream::once(async { Err(unavailable("503")) }).boxed();
        }
        let hidden = {
            let mut state = self.state.lock();
            let State { rng, faults, newest, .. } = &mut *state;
            newest.clone().filter(|_| rng.random_bool(faults.stale_list))
        };
        let written = self.state.lock().written.clone();
        let listed = self.objects.list(prefix).filter_map(move |found| {
            let found = match found {
                Ok(meta) if Some(&meta.location) == hidden.as_ref() => None,
                Ok(mut meta) => {
                    let date = written.get(&meta.location).copied();
                    if let Some(date) = date.and_then(chrono::DateTime::from_timestamp_micros) {
                        meta.last_modified = date;
                    }
                    Some(Ok(meta))
                }
                Err(error) => Some(Err(error)),
            };
            std::future::ready(found)
        });
        listed.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

/// What a store without any faults would hold under a name, whatever happened on the way.
pub(crate) async fn peek(store: &FaultStore, path: &str) -> Option<Bytes> {
    let found = store.objects.get(&Path::from(path)).await.ok()?;
    found.bytes().await.ok()
}
