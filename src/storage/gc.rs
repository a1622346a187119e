//! Deletes what no retained manifest and no reader needs.
//!
//! What is live is decided by manifests and by [`Pins`], never by a listing alone:
//!
//! - *Retained* are the newest manifests, and every one that was replaced less than the retention time
//!   ago. What they name lives.
//! - *Pinned* is what this process uses or is about to name: objects of open snapshots, objects that
//!   only the log names so far, uploads under way. A pin is taken before the upload begins, and let go
//!   after a manifest names the object (or nobody ever will). What is pinned lives.
//! - *Dropped* is what an older manifest names and no retained one does: it is deleted.
//! - *Orphans* are listed, named by no manifest at all, and older than the grace period: uploads of a
//!   process that ended before it could name them. They are deleted.
//!
//! One run, in this order, so that a crash or a race at any point loses nothing:
//!
//! 1. list the objects;                     what is uploaded later is not on the list
//! 2. take the pins, then read the manifests;   what moves from a pin to a manifest is seen in one
//! 3. make sure that this writer is still the newest;
//! 4. delete dropped objects and orphans, asking the pins again for each;
//! 5. delete the manifests that named them, oldest first: until then they are found again;
//! 6. delete the log before the oldest retained manifest, oldest first, but never a fence.
//!
//! Only the writer runs it, after it has replayed the log and pinned what the log names.

#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result, SqlState},
    ids::Lsn,
    storage::{
        manifest::{self, Manifest},
        paths::{self, ObjectPath},
        pins::Pins,
        store::{Listed, Store},
        wal::HEADER_BYTES,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

/// How many objects are deleted at a time.
const PARALLEL_MAX: usize = 16;

/// How long garbage is kept.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// So many manifests are retained in any case; at least 1.
    pub manifests_min: usize,
    /// So long a replaced manifest is retained, and the log behind it.
    pub retention: Duration,
    /// So long an object that nobody names is taken for an upload under way. Longer than any
    /// upload of another process could last.
    pub orphan_grace: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            manifests_min: 2,
            retention: Duration::from_secs(60 * 60),
            orphan_grace: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl GcOptions {
    /// Whether the options make sense together.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: &str| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        match self {
            Self { manifests_min: 0, .. } => invalid("at least one manifest must be retained"),
            _ if self.orphan_grace < self.retention => {
                invalid("the orphan grace period is shorter than the retention time")
            }
            _ => Ok(()),
        }
    }
}

/// What one run deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Objects that older manifests named.
    pub dropped: u64,
    /// Objects that no manifest named.
    pub orphans: u64,
    /// Manifests.
    pub manifests: u64,
    /// Objects or files of the log.
    pub wal: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// Deletes what may be deleted now. `Fenced` when a newer writer has taken over.
pub async fn collect(
    store: &Store,
    writer: u128,
    pins: &Pins,
    options: &GcOptions,
) -> Result<GcReport> {
    options.check()?;
    let now = store.clock().now_micros();
    let mut listed = store.list_written(paths::DATA).await?;
    listed.extend(store.list_written(paths::INDEX).await?);
    let listed_wal = store.list_written(paths::WAL).await?;
    let pinned = pins.all();
    let manifests = Manifests::read(store, now, options).await?;
    if manifests.writer != writer {
        return Err(Error::fenced("a newer process writes to this database"));
    }

    let mut report = GcReport::default();
    let sizes: HashMap<&ObjectPath, u64> =
        listed.iter().map(|object| (&object.path, object.bytes)).collect();
    let is_live = |path: &ObjectPath| {
        manifests.live.contains(path) || pinned.contains(path) || pins.contains(path)
    };
    let dropped = manifests.named.iter().filter(|path| sizes.contains_key(path));
    let dropped: Vec<&ObjectPath> = dropped.filter(|path| !is_live(path)).collect();
    let orphans = listed.iter().filter(|object| {
        age(object, now) > options.orphan_grace
            && !manifests.named.contains(&object.path)
            && !is_live(&object.path)
    });
    let orphans: Vec<&ObjectPath> = orphans.map(|object| &object.path).collect();

    // The pins are asked once more when the turn of each object comes.
    let gone = dropped.iter().chain(&orphans).filter(|path| !pins.contains(path));
    delete(store, gone.copied()).await?;
    report.dropped = dropped.len() as u64;
    report.orphans = orphans.len() as u64;
    report.bytes = dropped.iter().chain(&orphans).map(|path| sizes[path]).sum();

    for (path, bytes) in &manifests.obsolete {
        store.delete(path).await?;
        report.manifests += 1;
        report.bytes += bytes;
    }
    for object in released(&listed_wal, manifests.covered, now, options) {
        store.delete(&object.path).await?;
        report.wal += 1;
        report.bytes += object.bytes;
    }
    tracing::info!(?report, "garbage collected");
    Ok(report)
}

/// What the manifests say.
#[derive(Default)]
struct Manifests {
    /// Who wrote the newest one; 0: there is none.
    writer: u128,
    /// Named by a retained one.
    live: HashSet<ObjectPath>,
    /// Named by any.
    named: BTreeSet<ObjectPath>,
    /// No longer retained, oldest first, with sizes.
    obsolete: Vec<(ObjectPath, u64)>,
    /// All retained ones, and webhooks, are done with the log up to here.
    covered: Lsn,
}

impl Manifests {
    async fn read(store: &Store, now: i64, options: &GcOptions) -> Result<Self> {
        // A listing may be behind at either end; the numbers between have no gaps.
        let Some(newest) = manifest::latest(store).await? else {
            return Ok(Self::default());
        };
        let listed = store.list(paths::MANIFEST).await?;
        let sizes: HashMap<ObjectPath, u64> = listed.into_iter().collect();
        let oldest = sizes.keys().filter_map(ObjectPath::number).min();
        let older = oldest.unwrap_or(newest.number)..newest.number;
        let reads = older.map(|number| manifest::read(store, number));
        let mut found: Vec<Option<Manifest>> =
            stream::iter(reads).buffered(PARALLEL_MAX).try_collect().await?;
        let writer = newest.writer;
        found.push(Some(newest));

        let mut all = Self { writer, covered: Lsn(u64::MAX), ..Self::default() };
        let mut replaced_micros = i64::MAX;
        let mut retained = 0;
        for manifest in found.into_iter().flatten().rev() {
            let replaced = now.saturating_sub(replaced_micros);
            let is_recent = u64::try_from(replaced)
                .is_ok_and(|micros| Duration::from_micros(micros) <= options.retention);
            if retained < options.manifests_min || is_recent || replaced < 0 {
                retained += 1;
                all.covered = all.covered.min(manifest.log_from());
                all.live.extend(manifest.objects());
            } else {
                let bytes = sizes.get(&manifest.path()).copied().unwrap_or_default();
                all.obsolete.push((manifest.path(), bytes));
            }
            all.named.extend(manifest.objects());
            replaced_micros = manifest.time_micros;
        }
        all.obsolete.reverse();
        Ok(all)
    }
}

async fn delete<'a>(store: &Store, objects: impl Iterator<Item = &'a ObjectPath>) -> Result<()> {
    stream::iter(objects.map(Ok))
        .try_for_each_concurrent(PARALLEL_MAX, |path| store.delete(path))
        .await
}

/// The objects of the log that hold nothing behind `covered`: the next one begins there or before.
/// A fence is 64 bytes long and nothing else is; it stays, since the writer that it shut out may
/// yet come back.
fn released<'a>(
    listed: &'a [Listed],
    covered: Lsn,
    now: i64,
    options: &'a GcOptions,
) -> impl Iterator<Item = &'a Listed> {
    let next = listed.iter().skip(1).map(|object| object.path.number());
    let ended = listed
        .iter()
        .zip(next)
        .filter(move |(_, next)| next.is_some_and(|next| next <= covered.0.saturating_add(1)));
    ended.map(|(object, _)| object).filter(move |object| {
        object.bytes != HEADER_BYTES as u64 && age(object, now) > options.retention
    })
}

fn age(object: &Listed, now: i64) -> Duration {
    let micros = now.saturating_sub(object.written_micros);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
