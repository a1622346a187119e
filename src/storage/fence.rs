//! One writer: a newer process shuts the older one out, of the manifest and of the log.
//!
//! ```text
//!                                          older writer A               newer writer B
//!   1 B reads the newest manifest, N       may write both
//!   2 B publishes N+1: same content,       its next manifest collides   owns the manifest
//!     B's id; lost: from 1
//!   3 B fences the log behind N+1.lsn      its next group collides      owns the log
//!   4 B replays                            has stopped                  knows all that A was told
//! ```
//!
//! Between 2 and 3 A may still commit; B replays that, since it reads the log up to its own fence. What A
//! commits is never lost, and after 3 A commits nothing. Should B stop between the steps, the next start
//! begins at 1; the state is whole after each of them.
//!
//! In a folder the lock of the folder keeps A out before 1, and the steps are the same.

#[cfg(test)]
mod tests;

use crate::{
    error::{ErrorKind, Result, SqlState},
    storage::{
        local,
        lock::FolderLock,
        manifest::{self, Manifest},
        paths,
        store::Store,
        wal::{Replay, Wal, WalOptions},
    },
};

/// What the one writer of a database holds.
#[derive(Debug)]
pub struct Writer {
    /// Differs from writer to writer; every manifest carries it.
    pub id: u128,
    /// The newest manifest, which is this writer's own.
    pub manifest: Manifest,
    /// The end of the log.
    pub wal: Wal,
    /// In a folder: no other process uses it.
    pub lock: Option<FolderLock>,
}

/// Becomes the one writer. The records of the log behind the manifest are still to be replayed.
pub async fn take_over(store: &Store, options: &WalOptions) -> Result<(Writer, Replay)> {
    let lock = match store.is_local() {
        Some(folder) => {
            let lock = FolderLock::take(folder, "data folder")?;
            local::sweep_tmp(folder).map_err(|error| {
                local::failure(format!("could not clean \"{}\"", folder.display()), error)
            })?;
            Some(lock)
        }
        None => None,
    };
    let id = paths::fresh(&**store.clock());
    let manifest = claim(store, id).await?;
    let (wal, replay) = Wal::open(store, manifest.lsn, options).await?;
    tracing::info!(manifest = manifest.number, lsn = %manifest.lsn, "database taken over");
    Ok((Writer { id, manifest, wal, lock }, replay))
}

/// Publishes the newest manifest once more, as this writer's own.
async fn claim(store: &Store, writer: u128) -> Result<Manifest> {
    loop {
        let newest = manifest::latest(store).await?.unwrap_or_default();
        let time_micros = store.clock().now_micros();
        let own = Manifest { number: newest.number + 1, writer, time_micros, ..newest };
        match manifest::publish(store, &own).await {
            Ok(()) => return Ok(own),
            // Someone else was first, or this writer was and did not learn of it: read again.
            Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Conflict) => {}
            Err(error) if error.state() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN => {}
            Err(error) => return Err(error),
        }
    }
}
