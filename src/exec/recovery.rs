//! The way back after a stop: the newest manifest, then the log behind it, record by record.

use super::{
    apply::{apply, keyed},
    state::DbState,
};
use crate::{
    catalog::Catalog,
    error::{Error, Result},
    index::{Index, IndexCheckpoint, PostingStore},
    storage::{
        fence::{Writer, take_over},
        manifest::Manifest,
        segment::SegmentStore,
        store::Store,
        table::TableState,
        wal::WalOptions,
    },
};
use std::{collections::HashMap, sync::Arc};

/// What a start found.
#[derive(Debug)]
pub struct Recovered {
    /// The picture as of the last durable commit.
    pub state: DbState,
    /// The log to append to, the manifest that it started from, and the lock on the folder.
    pub writer: Writer,
    /// How many records of the log were applied.
    pub replayed: u64,
}

/// Shuts out older writers and rebuilds the picture.
///
/// # Errors
/// XX001 when something that is needed is damaged; F0001 when another process has the folder.
pub async fn recover(
    store: &Store,
    segments: &SegmentStore,
    postings: &Arc<PostingStore>,
    options: &WalOptions,
) -> Result<Recovered> {
    let (writer, mut replay) = take_over(store, options).await?;
    let mut state = match &writer.manifest.catalog {
        // The manifest of a store that was empty names nothing.
        serde_json::Value::Null => DbState { lsn: writer.manifest.lsn, ..DbState::empty() },
        _ => open(&writer.manifest, segments, postings).await?,
    };
    let mut replayed = 0;
    while let Some(record) = replay.next().await? {
        state = apply(segments, &state, &record).await?;
        replayed += 1;
    }
    Ok(Recovered { state, writer, replayed })
}

async fn open(
    manifest: &Manifest,
    segments: &SegmentStore,
    postings: &Arc<PostingStore>,
) -> Result<DbState> {
    let catalog: Catalog = serde_json::from_value(manifest.catalog.clone())
        .map_err(|error| Error::corrupt(manifest.path().as_str(), format!("catalog: {error}")))?;
    let mut tables = HashMap::new();
    for entry in &manifest.tables {
        let (listed, deletes) = (entry.segments.clone(), entry.deletes.as_ref());
        let rows = TableState::open(segments, listed, deletes, entry.next_row).await?;
        tables.insert(entry.table, rows);
    }
    let mut indexes = HashMap::new();
    for entry in &manifest.indexes {
        match open_index(&entry.checkpoint, postings).await {
            Ok(index) => drop(indexes.insert(entry.index, index)),
            // An index can always be built again from the rows.
            Err(error) => {
                tracing::warn!(index = %entry.index, %error, "an index is built again");
            }
        }
    }
    Ok(DbState {
        lsn: manifest.lsn,
        tables: Arc::new(keyed(&catalog, tables)),
        catalog: Arc::new(catalog),
        indexes: Arc::new(indexes),
    })
}

async fn open_index(checkpoint: &serde_json::Value, postings: &Arc<PostingStore>) -> Result<Index> {
    let checkpoint: IndexCheckpoint = serde_json::from_value(checkpoint.clone())
        .map_err(|error| Error::corrupt("an index checkpoint", error))?;
    Index::open(&checkpoint, postings).await
}
