//! The log on an object store: one object a group, and the fence that shuts an older writer out.

use super::{
    Outcome,
    record::encode_fence,
    replay::{Part, Replay},
};
use crate::{
    error::{Error, Result, SqlState},
    ids::Lsn,
    storage::{
        paths,
        store::{Created, Store},
    },
};
use bytes::Bytes;

/// Where groups become objects.
#[derive(Debug)]
pub(super) struct ObjectLog {
    store: Store,
}

impl ObjectLog {
    /// The fence:
    ///
    /// 1. list, read the last object: `next` is the first number that looks free;
    /// 2. create the fence at `next`;      lost: read what is there, go behind it, again
    /// 3. the log is what lies before the fence. Whoever else believed `next` to be free has
    ///    lost the right to write: his create collides with the fence, for ever.
    pub(super) async fn open(
        store: &Store,
        after: Lsn,
        writer: u128,
    ) -> Result<(Self, Lsn, Replay)> {
        let firsts = list(store).await?;
        let mut next = Lsn(after.0 + 1);
        if let Some(&last) = firsts.last().filter(|&&last| last >= next) {
            let part = Part::read(store, last).await?;
            let part = part.ok_or_else(|| Error::corrupt(paths::wal(last), "it is not there"))?;
            next = part.end()?;
        }
        loop {
            let fence = encode_fence(next, writer, store.clock().now_micros());
            let fence = Bytes::copy_from_slice(&fence);
            match create(store, next, fence).await? {
                Created::Won => break,
                Created::Lost(found) => next = Part::new(next, found).end()?,
            }
        }
        tracing::info!(lsn = %next, "log fenced");
        let replay = Replay::new(store, &firsts, after, next);
        Ok((Self { store: store.clone() }, Lsn(next.0 + 1), replay))
    }

    pub(super) async fn append(&mut self, first: Lsn, bytes: Bytes) -> Outcome {
        match self.store.create(&paths::wal(first), bytes).await {
            Ok(Created::Won) => Outcome::Durable,
            Ok(Created::Lost(_)) => Outcome::Fenced,
            Err(error) if error.state() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN => {
                Outcome::Unknown(error)
            }
            Err(error) => Outcome::NotWritten(error),
        }
    }
}

/// Creates a fence; an unknown outcome is no reason not to ask once more with the same bytes.
async fn create(store: &Store, lsn: Lsn, fence: Bytes) -> Result<Created> {
    match store.create(&paths::wal(lsn), fence.clone()).await {
        Err(error) if error.state() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN => {
            store.create(&paths::wal(lsn), fence).await
        }
        created => created,
    }
}

/// The numbers of the objects of the log, ascending.
pub(super) async fn list(store: &Store) -> Result<Vec<Lsn>> {
    let listed = store.list(paths::WAL).await?;
    Ok(listed.iter().filter_map(|(path, _)| path.number().map(Lsn)).collect())
}
