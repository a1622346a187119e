//! The object store: the only door to bytes that outlive the process. `build` makes one out of an
//! URL, and nothing else in Nearlake does.
//!
//! A folder, memory, GCS, S3 and Azure look alike behind it. It adds what all of them need: the
//! prefix, retries with a deadline, an answer to "did my conditional write win?" when the answer
//! was lost, a range cache, counters, and errors that name the object and the operation.
//!
//! It promises: when `put` or `create` returns, the object is durable and whole; `create` has
//! exactly one winner. It never copies, renames or appends: `object_store` 0.13.2 inverts the copy
//! modes of GCS, and S3 has no conditional copy.

mod build;
mod failure;
mod ranges;
#[cfg(test)]
mod tests;

use crate::{
    clock::{Clock, SharedClock},
    error::{Error, Result},
    storage::{cache::RangeCache, paths::ObjectPath, reads},
};
use build::Built;
use bytes::Bytes;
use failure::{failure, io_kind, is_taken, unknown};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    path::Path as Location,
};
use ranges::{coalesce, cut};
use std::{
    fmt,
    io::ErrorKind as IoKind,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Ranges of one object that lie at most this far apart are read at once: the bytes between cost
/// less than another request.
pub const COALESCE_GAP_BYTES: u64 = 64 << 10;
/// How many requests one call has under way.
const PARALLEL_MAX: usize = 16;
/// The first pause before trying again; each later one is twice as long, up to `BACKOFF_MAX`.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Where the bytes are, and how patiently they are fetched.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// A folder, `file:///…`, `memory:`, `gs://bucket/prefix`, `s3://bucket/prefix` or
    /// `az://container/prefix`.
    pub url: String,
    /// Where an emulator listens, in place of the provider's own address.
    pub endpoint: Option<String>,
    /// The folder of the disk tier of the range cache; `None`: no disk tier.
    pub cache_dir: Option<PathBuf>,
    /// The size of the memory tier of the range cache; 0: no cache.
    pub cache_memory_bytes: u64,
    /// The size of the disk tier of the range cache.
    pub cache_disk_bytes: u64,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How often a request is tried.
    pub attempts_max: u32,
    /// After this long no request is tried again.
    pub deadline: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: "./nearlake-data".into(),
            endpoint: None,
            cache_dir: None,
            cache_memory_bytes: 256 << 20,
            cache_disk_bytes: 10 << 30,
            request_timeout: Duration::from_secs(60),
            attempts_max: 8,
            deadline: Duration::from_secs(60),
        }
    }
}

/// How a conditional write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The object is ours.
    Won,
    /// Another writer was first; this is what it wrote.
    Lost(Bytes),
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub path: ObjectPath,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock: microseconds since 1970.
    pub written_micros: i64,
}

/// What went to the store and came back, since it was opened.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// Requests that wrote an object.
    pub writes: AtomicU64,
    /// Requests that read an object or a range.
    pub reads: AtomicU64,
    /// Requests that listed a folder.
    pub lists: AtomicU64,
    /// Requests that deleted an object.
    pub deletes: AtomicU64,
    /// Bytes written.
    pub bytes_written: AtomicU64,
    /// Bytes read.
    pub bytes_read: AtomicU64,
    /// Requests that were tried again.
    pub retries: AtomicU64,
    /// Requests that were given up.
    pub failures: AtomicU64,
}

/// The store of one database: a cheap handle, shared by all who read and write.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    root: Location,
    folder: Option<PathBuf>,
    clock: SharedClock,
    attempts_max: u32,
    deadline: Duration,
    cache: Option<RangeCache>,
    counters: StoreCounters,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {:?})", self.0.objects, self.0.root.as_ref())
    }
}

impl Store {
    /// Opens the store that `options.url` names; a folder is made if it is not there.
    ///
    /// Credentials come from the environment, by each provider's usual names
    /// (`GOOGLE_APPLICATION_CREDENTIALS`, `AWS_…`, `AZURE_…`).
    pub async fn open(options: &StoreOptions, clock: SharedClock) -> Result<Self> {
        let Built { objects, root, folder } = build::build(options)?;
        // A folder has the page cache, memory is memory: only what is far needs to be kept near.
        let near = folder.is_some() || options.url.starts_with("memory:");
        let cache = match options.cache_memory_bytes {
            0 => None,
            _ if near => None,
            memory => {
                let disk = options.cache_dir.as_deref().map(|dir| (dir, options.cache_disk_bytes));
                Some(RangeCache::open(memory, disk).await?)
            }
        };
        Ok(Self(Arc::new(Inner {
            objects,
            root,
            folder,
            clock,
            attempts_max: options.attempts_max.max(1),
            deadline: options.deadline,
            cache,
            counters: StoreCounters::default(),
        })))
    }

    /// A store over one that the caller made: memory, or one that fails by seed.
    #[must_use]
    pub fn over(objects: Arc<dyn ObjectStore>, clock: SharedClock) -> Self {
        Self::with_cache(objects, clock, None)
    }

    /// A store over one that the caller made, with a range cache.
    #[must_use]
    pub fn with_cache(
        objects: Arc<dyn ObjectStore>,
        clock: SharedClock,
        cache: Option<RangeCache>,
    ) -> Self {
        let StoreOptions { attempts_max, deadline, .. } = StoreOptions::default();
        let (root, counters) = (Location::default(), StoreCounters::default());
        let inner =
            Inner { objects, root, folder: None, clock, attempts_max, deadline, cache, counters };
        Self(Arc::new(inner))
    }

    /// Writes an immutable object. Its name is fresh, so that writing it twice does no harm.
    pub async fn put(&self, path: &ObjectPath, bytes: Bytes) -> Result<()> {
        let location = self.location(path);
        let size = bytes.len();
        let payload = PutPayload::from_bytes(bytes);
        self.retry("write", path.as_str(), || {
            self.0.counters.writes.fetch_add(1, Relaxed);
            self.0.objects.put(&location, payload.clone())
        })
        .await?;
        self.0.counters.bytes_written.fetch_add(size as u64, Relaxed);
        Ok(())
    }

    /// Writes an object if none has its name; of all who try, one wins.
    ///
    /// `bytes` must differ from what any other writer, and any other attempt, could write (they
    /// carry a commit or writer id): where an answer was lost, the object is read back, and it
    /// is ours if it is equal byte for byte. Fails with `TRANSACTION_RESOLUTION_UNKNOWN` when
    /// the bytes may or may not be there; calling again with the same bytes finds out.
    pub async fn create(&self, path: &ObjectPath, bytes: Bytes) -> Result<Created> {
        let location = self.location(path);
        let mut attempts = Attempts::new(self);
        let mut is_known = true;
        loop {
            self.0.counters.writes.fetch_add(1, Relaxed);
            let options = PutOptions::from(PutMode::Create);
            let payload = PutPayload::from_bytes(bytes.clone());
            let error = match self.0.objects.put_opts(&location, payload, options).await {
                Ok(_) => {
                    self.0.counters.bytes_written.fetch_add(bytes.len() as u64, Relaxed);
                    return Ok(Created::Won);
                }
                Err(error) => error,
            };
            if is_taken(&error) {
                match self.get(path).await {
                    Ok(Some(found)) if found == bytes => return Ok(Created::Won),
                    Ok(Some(found)) => return Ok(Created::Lost(found)),
                    // S3 answers 409 while another write of the name is under way.
                    Ok(None) => {}
                    Err(error) => return Err(unknown(path).source(error)),
                }
            } else if self.is_transient(&error) {
                is_known = false;
            } else if is_known {
                return Err(self.failed("create", path.as_str(), error));
            }
            if !attempts.again().await {
                self.0.counters.failures.fetch_add(1, Relaxed);
                return Err(unknown(path).source(error));
            }
        }
    }

    /// Reads a whole object; `None` when it is not there.
    pub async fn get(&self, path: &ObjectPath) -> Result<Option<Bytes>> {
        let location = &self.location(path);
        let read = || async move {
            self.0.counters.reads.fetch_add(1, Relaxed);
            match self.0.objects.get(location).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let bytes = self.retry("read", path.as_str(), read).await?;
        let size = bytes.as_ref().map_or(0, Bytes::len);
        self.0.counters.bytes_read.fetch_add(size as u64, Relaxed);
        Ok(bytes)
    }

    /// Reads parts of an object, each as long as was asked for, through the cache. Parts that
    /// lie close together are read at once, parts that do not at the same time.
    pub async fn ranges(&self, path: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let found = match &self.0.cache {
            Some(cache) => cache.ranges(path, ranges, |missing| self.fetch(path, missing)).await,
            None => {
                reads::far(ranges.iter().filter(|range| range.start < range.end).count());
                match self.0.folder {
                    Some(_) => self.pread(path, ranges).await,
                    None => self.fetch_coalesced(path, ranges).await,
                }
            }
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(self.cut_off(path, ranges).await.unwrap_or(error)),
        };
        for (range, bytes) in ranges.iter().zip(&found) {
            let wanted = range.end.saturating_sub(range.start);
            if bytes.len() as u64 != wanted {
                return Err(Error::corrupt(
                    path,
                    format_args!("it ends within bytes {} to {}", range.start, range.end),
                ));
            }
        }
        Ok(found)
    }

    /// Why parts could not be read, if that is since the object is shorter than it was: stores have
    /// no word of their own for a part that begins behind the end.
    async fn cut_off(&self, path: &ObjectPath, ranges: &[Range<u64>]) -> Option<Error> {
        self.0.counters.reads.fetch_add(1, Relaxed);
        let size = self.0.objects.head(&self.location(path)).await.ok()?.size;
        let range = ranges.iter().find(|range| range.end > size)?;
        let what =
            format_args!("it ends before bytes {} to {}", range.start, range.end).to_string();
        Some(Error::corrupt(path, what))
    }

    /// The objects of a folder and their sizes, in the order of their names.
    pub async fn list(&self, folder: &str) -> Result<Vec<(ObjectPath, u64)>> {
        let listed = self.list_written(folder).await?;
        Ok(listed.into_iter().map(|object| (object.path, object.bytes)).collect())
    }

    /// The objects of a folder with the time at which each was written.
    pub async fn list_written(&self, folder: &str) -> Result<Vec<Listed>> {
        let prefix = &self.0.root.clone().join(folder);
        let list = || async move {
            self.0.counters.lists.fetch_add(1, Relaxed);
            self.0.objects.list(Some(prefix)).try_collect::<Vec<_>>().await
        };
        let found = self.retry("list", folder, list).await?;
        let mut listed: Vec<Listed> = found
            .into_iter()
            .filter_map(|meta| {
                let path = match self.0.root.as_ref() {
                    "" => meta.location.as_ref(),
                    root => meta.location.as_ref().strip_prefix(root)?.strip_prefix('/')?,
                };
                let written_micros = meta.last_modified.timestamp_micros();
                Some(Listed { path: ObjectPath::new(path), bytes: meta.size, written_micros })
            })
            .collect();
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listed)
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, path: &ObjectPath) -> Result<()> {
        let location = &self.location(path);
        let delete = || async move {
            self.0.counters.deletes.fetch_add(1, Relaxed);
            match self.0.objects.delete(location).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                done => done,
            }
        };
        self.retry("delete", path.as_str(), delete).await
    }

    /// The folder in which the objects are files, if they are.
    #[must_use]
    pub fn is_local(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// The clock by which this store waits and from which ids are drawn.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// What went to the store and came back.
    #[must_use]
    pub fn counters(&self) -> &StoreCounters {
        &self.0.counters
    }

    /// The range cache, where there is one.
    #[must_use]
    pub fn cache(&self) -> Option<&RangeCache> {
        self.0.cache.as_ref()
    }

    fn location(&self, path: &ObjectPath) -> Location {
        path.as_str().split('/').fold(self.0.root.clone(), |root, part| root.join(part))
    }

    /// Reads ranges, each by a request; one that reaches over the object's end comes back short.
    async fn fetch(&self, path: &ObjectPath, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let location = &self.location(path);
        let reads = ranges.into_iter().map(|range| async move {
            let range = &range;
            let read = || async move {
                self.0.counters.reads.fetch_add(1, Relaxed);
                let range = Some(GetRange::Bounded(range.clone()));
                let options = GetOptions { range, ..GetOptions::default() };
                self.0.objects.get_opts(location, options).await?.bytes().await
            };
            let bytes = self.retry("read", path.as_str(), read).await?;
            self.0.counters.bytes_read.fetch_add(bytes.len() as u64, Relaxed);
            Ok(bytes)
        });
        stream::iter(reads).buffered(PARALLEL_MAX).try_collect().await
    }

    async fn fetch_coalesced(
        &self,
        path: &ObjectPath,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let merged = coalesce(ranges, COALESCE_GAP_BYTES);
        let found = self.fetch(path, merged.clone()).await?;
        Ok(ranges.iter().map(|range| cut(&merged, &found, range)).collect())
    }

    /// Reads ranges of a file: one hop to a thread that may block, for all of them.
    async fn pread(&self, path: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let location = &self.location(path);
        let read = || async move {
            self.0.counters.reads.fetch_add(1, Relaxed);
            self.0.objects.get_ranges(location, ranges).await
        };
        let found = self.retry("read", path.as_str(), read).await?;
        let size: usize = found.iter().map(Bytes::len).sum();
        self.0.counters.bytes_read.fetch_add(size as u64, Relaxed);
        Ok(found)
    }

    /// Does an operation that may be done twice, until it succeeds or fails for good.
    async fn retry<T, F>(
        &self,
        operation: &str,
        object: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut attempts = Attempts::new(self);
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) if self.is_transient(&error) && attempts.again().await => {
                    tracing::debug!(operation, object, %error, "store request tried again");
                }
                Err(error) => return Err(self.failed(operation, object, error)),
            }
        }
    }

    /// Whether the same request may succeed later. A file system means what it says.
    fn is_transient(&self, error: &object_store::Error) -> bool {
        use object_store::Error as E;
        self.0.folder.is_none()
            && match error {
                E::Generic { .. } => io_kind(error) != Some(IoKind::StorageFull),
                // A conditional write that crossed another: S3's 409, GCS's 412.
                E::Precondition { .. } | E::AlreadyExists { .. } => true,
                _ => false,
            }
    }

    /// The error that the caller sees: which object, which operation, and what to do.
    fn failed(&self, operation: &str, object: &str, error: object_store::Error) -> Error {
        self.0.counters.failures.fetch_add(1, Relaxed);
        failure(operation, object, error, self.is_local().is_some())
    }
}

/// The tries of one request: how many, since when.
struct Attempts<'a> {
    store: &'a Inner,
    tried: u32,
    start: Duration,
}

impl<'a> Attempts<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store: &store.0, tried: 0, start: store.0.clock.elapsed() }
    }

    /// Waits for the next try, or says that there is none.
    async fn again(&mut self) -> bool {
        self.tried += 1;
        let spent = self.store.clock.elapsed().saturating_sub(self.start);
        if self.tried >= self.store.attempts_max || spent >= self.store.deadline {
            return false;
        }
        let pause = (BACKOFF * 2_u32.saturating_pow(self.tried - 1)).min(BACKOFF_MAX);
        self.store.counters.retries.fetch_add(1, Relaxed);
        self.store.clock.sleep(jittered(pause, &*self.store.clock)).await;
        true
    }
}

/// Between half of a pause and all of it, so that those who failed together return apart.
fn jittered(pause: Duration, clock: &dyn Clock) -> Duration {
    let half = pause / 2;
    let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_micros(clock.random() % span)
}
