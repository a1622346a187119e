//! The log: what it contains is committed, and nothing else is.
//!
//! ```text
//!   Wal::append -> record (bytes) -> folder: one file, appended and synced     durable
//!                                    objects: one object a group, created      durable
//!   Wal::open   -> fence, then Replay: every record behind the manifest, in order
//! ```
//!
//! It promises: when [`Wal::append`] returns, the group survives the loss of the process and, as far
//! as the store promises it, of the machine. Records come back in order, each once, whole, or as
//! an error that names the damaged object. A writer that was replaced by a newer one gets
//! [`ErrorKind::Fenced`](crate::error::ErrorKind::Fenced) and has written nothing. The bytes are
//! those of `docs/format/wal.md`.
//!
//! Where it cannot be known whether a group is durable, the error is
//! `TRANSACTION_RESOLUTION_UNKNOWN`. On an object store [`Wal::settle`] finds out, by writing the
//! same bytes to the same name again; in a folder only the next start does.

mod folder;
mod objects;
mod record;
mod replay;
#[cfg(test)]
mod tests;

use crate::{
    clock::SharedClock,
    error::{Error, Result, SqlState},
    ids::Lsn,
    storage::{paths, store::Store},
};
use bytes::Bytes;
use folder::FolderLog;
use objects::ObjectLog;
pub use record::{BODY_BYTES_MAX, HEADER_BYTES, Record, TOLD_NEW, TOLD_ROW, TableChange};
pub use replay::Replay;

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// In a folder: at this size a file is full and the next one begins.
    pub file_bytes_max: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { file_bytes_max: 64 << 20 }
    }
}

/// What this writer appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalStats {
    /// Commits.
    pub records: u64,
    /// Groups of commits: each was one write and one sync, or one object.
    pub groups: u64,
    /// Bytes of the groups.
    pub bytes: u64,
    /// Time from handing a group over until it was durable, summed over the groups.
    pub append_micros: u64,
    /// The log up to here was released by a checkpoint.
    pub released: Lsn,
}

/// The end of the log, where one writer appends.
#[derive(Debug)]
pub struct Wal {
    log: Log,
    writer: u128,
    clock: SharedClock,
    next: Lsn,
    state: State,
    stats: WalStats,
}

#[derive(Debug)]
enum Log {
    Folder(FolderLog),
    Objects(ObjectLog),
}

/// ```text
///   Ready --append--> InDoubt --durable--> Ready
///                        |----not known--> InDoubt --settle--> Ready
///                        |----other writer-> Fenced
///                        '----sync failed-> Broken
/// ```
#[derive(Debug)]
enum State {
    Ready,
    /// Handed over, outcome not known. Also after an append that was dropped half way.
    InDoubt(Group),
    Fenced,
    Broken,
}

/// Records that become durable together.
#[derive(Debug, Clone)]
struct Group {
    first: Lsn,
    records: u64,
    bytes: Bytes,
}

impl Wal {
    /// Shuts out older writers, and opens the log to read what lies behind `after` (which the
    /// manifest contains) and to append.
    ///
    /// In a folder the caller holds its [`FolderLock`](crate::storage::lock::FolderLock).
    pub async fn open(store: &Store, after: Lsn, options: &WalOptions) -> Result<(Self, Replay)> {
        let clock = store.clock().clone();
        let writer = paths::fresh(&*clock);
        let (log, next, replay) = match store.is_local() {
            Some(root) => {
                let root = root.to_path_buf();
                let (log, next, replay) = FolderLog::open(store, &root, after, options).await?;
                (Log::Folder(log), next, replay)
            }
            None => {
                let (log, next, replay) = ObjectLog::open(store, after, writer).await?;
                (Log::Objects(log), next, replay)
            }
        };
        let (state, stats) = (State::Ready, WalStats { released: after, ..Default::default() });
        Ok((Self { log, writer, clock, next, state, stats }, replay))
    }

    /// The number of the next commit.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The 128 bits by which this writer differs from all others; its fence carries them.
    #[must_use]
    pub fn writer(&self) -> u128 {
        self.writer
    }

    /// What this writer appended.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.stats
    }

    /// Appends one group. Its records have the numbers from [`Wal::next_lsn`] on.
    ///
    /// Durable when it returns. Nothing is appended when it fails, except with
    /// `TRANSACTION_RESOLUTION_UNKNOWN` (see [`Wal::settle`]) and `Internal`, after which the
    /// process must end.
    pub async fn append(&mut self, records: &[Record]) -> Result<()> {
        self.check_ready()?;
        if records.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let base = self.base();
        for (record, lsn) in records.iter().zip(self.next.0..) {
            if record.lsn.0 != lsn {
                let message = format!("record {} was to be appended as {lsn}", record.lsn);
                return Err(Error::internal(message));
            }
            record::encode(record, base, &mut bytes)?;
        }
        let (first, records) = (self.next, records.len() as u64);
        self.write(Group { first, records, bytes: bytes.into() }).await
    }

    /// Finds out about a group whose outcome was not known: writes it again under its name, and
    /// gives its records, which are durable now and which the caller applies. `None` when no
    /// group is in doubt. Until this succeeds nothing can be appended.
    pub async fn settle(&mut self) -> Result<Option<Vec<Record>>> {
        let group = match (&self.state, &self.log) {
            (State::InDoubt(group), Log::Objects(_)) => group.clone(),
            _ => return self.check_ready().map(|()| None),
        };
        let records = replay::decode_all(&paths::wal(group.first), &group.bytes)?;
        let path = paths::wal(group.first);
        match self.write(group.clone()).await {
            Ok(()) => Ok(Some(records)),
            Err(error) if matches!(self.state, State::Ready) => {
                // This attempt wrote nothing; what became of those before it is still not known.
                self.state = State::InDoubt(group);
                let message = format!("it is not known whether object \"{path}\" was written");
                let unknown = SqlState::TRANSACTION_RESOLUTION_UNKNOWN;
                Err(Error::new(unknown, message).source(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The checkpoint contains the log up to `covered`; what lies before is garbage once no retained
    /// manifest needs it (see `gc`). In a folder the next group begins a new file, so that the
    /// present one can be collected whole.
    pub async fn release(&mut self, covered: Lsn) -> Result<()> {
        if covered >= self.next {
            let message = format!("log {covered} was to be released before it was written");
            return Err(Error::internal(message));
        }
        self.stats.released = self.stats.released.max(covered);
        if let Log::Folder(log) = &mut self.log {
            log.rotate();
        }
        Ok(())
    }

    fn check_ready(&self) -> Result<()> {
        match (&self.state, &self.log) {
            (State::Ready, _) => Ok(()),
            (State::InDoubt(group), Log::Objects(_)) => Err(Error::new(
                SqlState::IO_ERROR,
                format!("the log waits to know whether commit {} is durable", group.first),
            )),
            (State::InDoubt(_) | State::Broken, _) => Err(broken()),
            (State::Fenced, _) => Err(fenced()),
        }
    }

    /// Where the next group begins in its object or file.
    fn base(&self) -> u64 {
        match &self.log {
            Log::Folder(log) => log.base(),
            Log::Objects(_) => 0,
        }
    }

    /// Hands a group over. Should this future be dropped, the group stays in doubt.
    async fn write(&mut self, group: Group) -> Result<()> {
        let start = self.clock.elapsed();
        self.state = State::InDoubt(group.clone());
        let outcome = match &mut self.log {
            Log::Folder(log) => log.append(group.first, &group.bytes).await,
            Log::Objects(log) => log.append(group.first, group.bytes.clone()).await,
        };
        match outcome {
            Outcome::Durable => {
                self.state = State::Ready;
                self.next = Lsn(group.first.0 + group.records);
                self.stats.records += group.records;
                self.stats.groups += 1;
                self.stats.bytes += group.bytes.len() as u64;
                let spent = self.clock.elapsed().saturating_sub(start).as_micros();
                self.stats.append_micros += u64::try_from(spent).unwrap_or(u64::MAX);
                Ok(())
            }
            Outcome::NotWritten(error) => {
                self.state = State::Ready;
                Err(error)
            }
            Outcome::Unknown(error) => Err(error),
            Outcome::Fenced => {
                self.state = State::Fenced;
                Err(fenced())
            }
            Outcome::Broken(error) => {
                self.state = State::Broken;
                Err(broken().source(error))
            }
        }
    }
}

/// Reads the log behind `after` up to `end`, both of which are durable, while others append.
///
/// # Errors
/// Those of the store.
pub async fn read(store: &Store, after: Lsn, end: Lsn) -> Result<Replay> {
    let firsts = objects::list(store).await?;
    Ok(Replay::new(store, &firsts, after, Lsn(end.0 + 1)))
}

/// How handing over a group ended.
enum Outcome {
    Durable,
    /// Certainly not written; the log is as it was.
    NotWritten(Error),
    Unknown(Error),
    /// Another writer has the name.
    Fenced,
    /// What is on the disk cannot be known any more.
    Broken(std::io::Error),
}

fn fenced() -> Error {
    Error::fenced("a newer process writes to this database")
        .detail("The next number of the log was taken by another writer.")
        .hint("Stop this process.")
}

fn broken() -> Error {
    Error::internal("could not make the log durable").detail(
        "What the disk holds is not known any more; the process must end and read the log again.",
    )
}
