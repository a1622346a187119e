//! The log in a folder: files that groups are appended to, each group with one `fdatasync`.
//!
//! A commit must not pay for the creation of a file; that is why these are not written through the
//! store. There is no fence either: the lock of the folder keeps others out.

use super::{
    Outcome, WalOptions, objects,
    record::{self, Fault},
    replay::{Part, Replay},
};
use crate::{
    error::{Error, Result},
    ids::Lsn,
    storage::{local, paths, store::Store},
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The files of the log, the last one open.
#[derive(Debug)]
pub(super) struct FolderLog {
    root: PathBuf,
    file_bytes_max: u64,
    /// `None`: the next group begins a new file.
    file: Option<(Arc<File>, u64)>,
}

impl FolderLog {
    /// Finds the end of the log, and cuts off what a crash left half written.
    pub(super) async fn open(
        store: &Store,
        root: &Path,
        after: Lsn,
        options: &WalOptions,
    ) -> Result<(Self, Lsn, Replay)> {
        let root = root.to_path_buf();
        let folder = root.join(paths::WAL);
        local::make_folder(&root, &folder).map_err(|error| failed("make", &folder, error))?;

        let mut firsts = objects::list(store).await?;
        let mut tail = None;
        while let Some(&first) = firsts.last() {
            let part = Part::read(store, first).await?;
            let part = part.ok_or_else(|| Error::corrupt(paths::wal(first), "it is not there"))?;
            if let Some(end) = mend(&root, part)? {
                tail = Some(end);
                break;
            }
            firsts.pop();
        }
        let mut log = Self { root, file_bytes_max: options.file_bytes_max, file: None };
        let behind = Lsn(after.0 + 1);
        let next = match tail {
            // A log that ends before the manifest does goes on in a new file, for a file has no gaps.
            Some(Tail { next, .. }) if next < behind => behind,
            Some(Tail { next, path, bytes }) => {
                let file = OpenOptions::new().write(true).open(&path);
                log.file = Some((Arc::new(file.map_err(|e| failed("open", &path, e))?), bytes));
                next
            }
            None => behind,
        };
        let replay = Replay::new(store, &firsts, after, next);
        Ok((log, next, replay))
    }

    /// Where the next group begins in its file.
    pub(super) fn base(&self) -> u64 {
        match &self.file {
            Some((_, bytes)) if *bytes < self.file_bytes_max => *bytes,
            _ => 0,
        }
    }

    /// Lets the next group begin a new file.
    pub(super) fn rotate(&mut self) {
        self.file.take_if(|(_, bytes)| *bytes > 0);
    }

    /// Waits for the disk on the thread that calls: the way to another and back would take as long
    /// as the disk does.
    pub(super) async fn append(&mut self, first: Lsn, bytes: &[u8]) -> Outcome {
        let base = self.base();
        let path = file_path(&self.root, first);
        let (file, created) = match &self.file {
            Some((file, length)) if *length == base => (Ok(Arc::clone(file)), false),
            _ => (create(self.root.join(paths::WAL), path.clone()).await, true),
        };
        let file = match file {
            Ok(file) => file,
            Err(error) => return Outcome::NotWritten(failed("create", &path, error)),
        };
        if created {
            self.file = Some((Arc::clone(&file), 0));
        }
        let length = bytes.len() as u64;
        match write(&file, base, bytes) {
            Written::Synced => {
                self.file.as_mut().expect("the file that was written to").1 = base + length;
                Outcome::Durable
            }
            Written::Undone(error) => Outcome::NotWritten(failed("write", &path, error)),
            Written::Unknown(error) => Outcome::Broken(error),
        }
    }
}

enum Written {
    Synced,
    /// The file is as it was before, and that is synced.
    Undone(io::Error),
    Unknown(io::Error),
}

/// Appends and syncs. A write that fails (a full disk) is taken back, durably, lest the records
/// at its beginning come back at the next start; a sync that fails cannot be.
fn write(file: &File, base: u64, bytes: &[u8]) -> Written {
    match file.write_all_at(bytes, base) {
        Ok(()) => match file.sync_data() {
            Ok(()) => Written::Synced,
            Err(error) => Written::Unknown(error),
        },
        Err(error) => match file.set_len(base).and_then(|()| file.sync_data()) {
            Ok(()) => Written::Undone(error),
            Err(_) => Written::Unknown(error),
        },
    }
}

/// A new file whose name lasts.
async fn create(folder: PathBuf, path: PathBuf) -> io::Result<Arc<File>> {
    let created = tokio::task::spawn_blocking(move || {
        // An earlier attempt may have made the file and then failed to sync the folder.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() > 0 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        local::sync_folder(&folder)?;
        Ok(Arc::new(file))
    });
    created.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}

/// The end of the log.
struct Tail {
    next: Lsn,
    path: PathBuf,
    bytes: u64,
}

/// Cuts a torn tail off a file that nothing valid follows. `None`: nothing of it was left.
fn mend(root: &Path, mut part: Part) -> Result<Option<Tail>> {
    let (first, length) = (part.next(), part.bytes().len());
    while part.offset() < length {
        let Err(fault) = part.try_step()? else { continue };
        let offset = part.offset();
        let is_torn =
            !matches!(fault, Fault::Version(_)) && !record::any_behind(part.bytes(), offset + 1);
        if !is_torn {
            return Err(fault.in_object(part.path(), offset));
        }
        tracing::warn!(
            object = %part.path(), offset, bytes = length - offset, %fault,
            "the last record of the log is not complete and was cut off: it was never acknowledged"
        );
        break;
    }
    let (path, bytes) = (file_path(root, first), part.offset());
    if bytes == 0 {
        let folder = path.parent().unwrap_or(root);
        let removed = fs::remove_file(&path).and_then(|()| local::sync_folder(folder));
        removed.map_err(|error| failed("remove", &path, error))?;
        return Ok(None);
    }
    if bytes < length {
        let file = OpenOptions::new().write(true).open(&path);
        let cut = file.and_then(|file| file.set_len(bytes as u64).and_then(|()| file.sync_all()));
        cut.map_err(|error| failed("cut", &path, error))?;
    }
    Ok(Some(Tail { next: part.next(), path, bytes: bytes as u64 }))
}

fn file_path(root: &Path, first: Lsn) -> PathBuf {
    root.join(paths::wal(first).as_str())
}

fn failed(operation: &str, path: &Path, error: io::Error) -> Error {
    local::failure(format!("could not {operation} log file \"{}\"", path.display()), error)
}
