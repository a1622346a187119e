//! A checkpoint: memtables become segments, indexes are written, and a manifest names it all, so
//! that the log before it can go.
//!
//! 1. A picture S is taken.
//! 2. Its memtables are written as segments, its indexes as objects: nobody sees them yet.
//! 3. The segments take the place of the same rows in the newest picture.
//! 4. The manifest of S is published: recovery now starts there.
//! 5. The log up to S is released.
//!
//! A stop between any two steps loses nothing: until step 4 recovery starts at the manifest before.

use super::{
    commit::Committer,
    nearest::Summarizer,
    state::{DbState, States},
    table::column_specs,
};
use crate::{
    catalog::Table,
    error::{Error, ErrorKind, Result},
    ids::{IndexId, Lsn, TableId},
    index::{Index, IndexCheckpoint, Mark, ObjectSink, ObjectSource, PostingStore, Put, Summaries},
    storage::{
        compact::{CompactionPolicy, compact, flush},
        gc::{self, GcOptions, GcReport},
        manifest::{IndexManifest, Manifest, TableManifest, publish},
        paths::{self, ObjectPath},
        segment::SegmentStore,
        store::Store,
        table::TableState,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// Writes checkpoints. One at a time: whoever holds it is the only one.
#[derive(Debug)]
pub struct Checkpointer {
    store: Store,
    segments: SegmentStore,
    postings: Arc<PostingStore>,
    states: Arc<States>,
    committer: Committer,
    writer: u128,
    /// The number of the newest manifest, and what it contains.
    last: Mutex<Last>,
    gc: GcOptions,
    policy: CompactionPolicy,
}

#[derive(Debug, Clone, Default)]
struct Last {
    number: u64,
    lsn: Lsn,
    indexes: HashMap<IndexId, Written>,
}

/// What the newest manifest has of an index.
#[derive(Debug, Clone)]
struct Written {
    index: IndexManifest,
    /// Of which version; `None`: of that which was opened at the start.
    version: Option<Mark>,
}

impl Written {
    /// Whether this version is what was written.
    fn is_of(&self, index: &Index) -> bool {
        let said = &self.index.checkpoint;
        let says = |name: &str| said.get(name).and_then(serde_json::Value::as_u64);
        let opened = || {
            index.is_whole()
                && index.stats().unstored_bytes == 0
                && says("watermark") == Some(index.watermark().0)
                && says("clean_of").unwrap_or(0) == index.is_clean_of()
        };
        !index.is_damaged() && self.version.as_ref().map_or_else(opened, |mark| index.is(mark))
    }
}

impl Last {
    /// The versions are those of a picture, where it was written and not read.
    fn of(manifest: &Manifest, state: Option<&DbState>) -> Self {
        let indexes = manifest.indexes.iter().map(|index| {
            let of = |state: &DbState| state.indexes.get(&index.index).map(Index::mark);
            let written = Written { index: index.clone(), version: state.and_then(of) };
            (index.index, written)
        });
        Self { number: manifest.number, lsn: manifest.lsn, indexes: indexes.collect() }
    }
}

impl Checkpointer {
    /// After the manifest that the node started from.
    #[must_use]
    pub fn new(
        store: Store,
        segments: SegmentStore,
        postings: Arc<PostingStore>,
        states: Arc<States>,
        committer: Committer,
        writer: u128,
        manifest: &Manifest,
    ) -> Self {
        let last = Last::of(manifest, None);
        states.events().stored_up_to(manifest.log_from());
        Self {
            store,
            segments,
            postings,
            states,
            committer,
            writer,
            last: Mutex::new(last),
            gc: GcOptions::default(),
            policy: CompactionPolicy::default(),
        }
    }

    /// How many commits the newest manifest lacks.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.states.snapshot().lsn.0.saturating_sub(self.last.lock().lsn.0)
    }

    /// Steps 1 to 5.
    ///
    /// # Errors
    /// Those of the store; `Fenced` when another process writes here.
    pub async fn checkpoint(&self) -> Result<()> {
        // Before the picture is taken: it has at least the events that are stored by now.
        let tail = self.states.events().stored();
        let state = self.states.snapshot();
        let mut tables = HashMap::new();
        for table in state.catalog.tables() {
            let rows = self.flush(table, &state).await?;
            tables.insert(table.id, rows);
        }
        let (indexes, written) = self.write_indexes(&state).await?;
        let mut manifest = self.manifest(&state, &tables, indexes).await?;
        manifest.tail = state.catalog.has_webhooks().then_some(tail);
        while let Err(error) = publish(&self.store, &manifest).await {
            // An earlier attempt took the number, and nobody learned of it until now.
            if error.kind() != ErrorKind::Conflict {
                return Err(error);
            }
            manifest.number += 1;
        }
        for (id, checkpoint) in &written {
            if let Some(index) = state.indexes.get(id) {
                index.adopt(checkpoint, &self.postings);
            }
        }
        *self.last.lock() = Last::of(&manifest, Some(&state));
        self.committer.release(manifest.lsn).await?;
        tracing::info!(manifest = manifest.number, lsn = %manifest.lsn, "checkpoint");
        Ok(())
    }

    /// Writes a table's memtable as segments and puts them in its place; the table as of `state`
    /// with the segments.
    async fn flush(&self, table: &Arc<Table>, state: &DbState) -> Result<TableState> {
        let rows = state.table(table.id);
        if !rows.has_memtable() {
            return Ok(rows);
        }
        let flushed = flush(&self.segments, &rows, &column_specs(table)?).await?;
        let with_segments = flushed.apply(&rows);
        let (id, keys) = (table.id, rows.keys());
        let put = move |state: &DbState| {
            let rows = state.table(id);
            replaced(state, id, (rows.keys() == keys).then(|| flushed.apply(&rows)))
        };
        self.committer.rearrange(put).await?;
        Ok(with_segments)
    }

    async fn write_indexes(
        &self,
        state: &DbState,
    ) -> Result<(Vec<IndexManifest>, Vec<(IndexId, IndexCheckpoint)>)> {
        let last = self.last.lock().clone();
        let (mut indexes, mut written) = (Vec::new(), Vec::new());
        let sink = Sink(self.store.clone());
        for (&id, index) in state.indexes.iter() {
            if let Some(same) = last.indexes.get(&id).filter(|written| written.is_of(index)) {
                indexes.push(same.index.clone());
                continue;
            }
            let summarizer = self.summarizer(id, state)?;
            let summaries = summarizer.as_ref().map(|all| all as &dyn Summaries);
            let checkpoint = match index.checkpoint(&sink, summaries).await {
                Ok(checkpoint) if !index.is_damaged() => checkpoint,
                Err(error) if !index.is_damaged() => return Err(error),
                // A manifest without it has it built again after a start, if it is not before.
                _ => {
                    tracing::warn!(index = %id, "a damaged index is left out of the checkpoint");
                    continue;
                }
            };
            let objects = checkpoint.objects().map(ObjectPath::new).collect();
            let value = serde_json::to_value(&checkpoint)
                .map_err(|error| Error::internal("an index checkpoint").source(error))?;
            indexes.push(IndexManifest { index: id, checkpoint: value, objects });
            written.push((id, checkpoint));
        }
        Ok((indexes, written))
    }

    /// Tells what the rows of postings have in common in the columns that an index includes.
    fn summarizer(&self, id: IndexId, state: &DbState) -> Result<Option<Summarizer>> {
        let Some(entry) = state.catalog.index(id) else { return Ok(None) };
        let included = entry.included();
        let Some(table) = state.catalog.table(entry.table).filter(|_| !included.is_empty()) else {
            return Ok(None);
        };
        let specs = column_specs(table)?.into_iter().filter(|spec| included.contains(&spec.id));
        let held = self.states.held().iter().map(|state| state.table(table.id)).collect();
        Ok(Summarizer::new(state.table(table.id), held, specs))
    }

    async fn manifest(
        &self,
        state: &DbState,
        tables: &HashMap<TableId, TableState>,
        indexes: Vec<IndexManifest>,
    ) -> Result<Manifest> {
        let catalog = serde_json::to_value(state.catalog.as_ref())
            .map_err(|error| Error::internal("the catalog").source(error))?;
        let mut entries = Vec::new();
        for (&table, rows) in tables {
            entries.push(TableManifest {
                table,
                next_row: rows.next_row(),
                segments: rows.segments().map(|segment| segment.meta().clone()).collect(),
                deletes: rows.write_deletes(&self.segments).await?,
            });
        }
        entries.sort_by_key(|entry| entry.table);
        Ok(Manifest {
            number: self.last.lock().number + 1,
            writer: self.writer,
            time_micros: self.store.clock().now_micros(),
            lsn: state.lsn,
            tail: None,
            catalog,
            tables: entries,
            indexes,
        })
    }

    /// Merges small segments and rewrites those with many deleted rows, as far as it is worth it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn compact(&self) -> Result<u64> {
        let mut done = 0;
        for table in self.states.snapshot().catalog.tables() {
            let specs = column_specs(table)?;
            loop {
                let rows = self.states.snapshot().table(table.id);
                let Some(new) = compact(&self.segments, &rows, &specs, &self.policy).await? else {
                    break;
                };
                let (id, keys) = (table.id, rows.keys());
                let put = move |state: &DbState| {
                    let rows = state.table(id);
                    let same = rows.keys() == keys;
                    replaced(state, id, same.then(|| rows.replace(&new.rows, &new.segments)))
                };
                self.committer.rearrange(put).await?;
                done += 1;
            }
        }
        Ok(done)
    }

    /// Deletes objects that nobody needs any more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn collect(&self) -> Result<GcReport> {
        // Open segments pin themselves. A version of an index that is not published yet has the
        // objects of the one that it follows from, and no checkpoint is under way now.
        let held = self.states.held();
        let indexes = held.iter().flat_map(|state| state.indexes.values());
        let objects: HashSet<String> = indexes.flat_map(Index::stored_objects).collect();
        let pins = self.segments.pins();
        let _pin = pins.pin(objects.into_iter().map(ObjectPath::new));
        gc::collect(&self.store, self.writer, pins, &self.gc).await
    }
}

/// A picture with another state of a table, unless the table was dropped meanwhile. `None`: it
/// has other keys by now, of which the new segments know nothing; they are written another time.
fn replaced(state: &DbState, id: TableId, table: Option<TableState>) -> DbState {
    let state = state.clone();
    match table {
        Some(table) if state.catalog.table(id).is_some() => state.with_table(id, table),
        _ => state,
    }
}

/// Index objects on their way to the store.
struct Sink(Store);

#[async_trait]
impl ObjectSink for Sink {
    async fn put(&self, bytes: Bytes) -> Result<Put> {
        let path = paths::index(&paths::fresh_id(self.0.clock().as_ref()));
        self.0.put(&path, bytes).await?;
        // Collection waits for the checkpoint, whose manifest names it.
        Ok(Put { name: path.as_str().to_owned(), hold: None })
    }
}

/// Index objects on their way from the store.
#[derive(Debug)]
pub struct IndexObjects(pub Store);

#[async_trait]
impl ObjectSource for IndexObjects {
    async fn ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.ranges(&ObjectPath::new(object), ranges).await
    }

    fn gap_max(&self) -> u64 {
        // A file is read in many places as quickly as in one.
        if self.0.is_local().is_some() { 64 << 10 } else { 3 << 20 }
    }

    fn ahead_max(&self) -> u64 {
        if self.0.is_local().is_some() { 0 } else { 4 << 20 }
    }
}
