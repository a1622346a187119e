//! A folder as an object store, durable when it says so.
//!
//! Reads and listings are `object_store`'s own. Writes are not, since its local store never calls
//! fsync. A write here is:
//!
//! 1. the bytes go to `tmp/<name>` and are synced;              (crash: a stray file in `tmp/`)
//! 2. the file gets its name, in one step, without replacing one where it must be new;
//! 3. the folder is synced, so that the name lasts too.         (crash before: no object, or whole)
//!
//! Nothing else writes in the folder but the log, which appends to files of its own (`wal/`), and
//! the lock.

use crate::error::{Error, Result, SqlState};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    local::LocalFileSystem, path::Path as Location,
};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Where files are written before they have their name.
const TMP: &str = "tmp";

/// An object store whose objects are the files of a folder.
#[derive(Debug)]
pub struct LocalFolder {
    files: LocalFileSystem,
    folder: Arc<PathBuf>,
    written: AtomicU64,
}

impl LocalFolder {
    /// Opens a folder, and makes it if it is not there.
    pub fn open(folder: &Path) -> Result<Self> {
        let failed =
            |error| failure(format!("could not open data folder \"{}\"", folder.display()), error);
        fs::create_dir_all(folder.join(TMP)).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        sync_folder(&folder).map_err(failed)?;
        let files = LocalFileSystem::new_with_prefix(&folder).map_err(|error| {
            let message = format!("could not open data folder \"{}\"", folder.display());
            Error::new(SqlState::IO_ERROR, message).source(error)
        })?;
        Ok(Self { files, folder: Arc::new(folder), written: AtomicU64::new(0) })
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A file system's error in our words.
pub(crate) fn failure(message: String, error: io::Error) -> Error {
    let state = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SqlState::DISK_FULL,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            SqlState::INSUFFICIENT_PRIVILEGE
        }
        _ => SqlState::IO_ERROR,
    };
    Error::new(state, format!("{message}: {error}")).source(error)
}

/// Deletes what a crashed process left half written. Only the holder of the lock may call it.
pub(crate) fn sweep_tmp(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(TMP))? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Makes the names in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it below `root`, so that they last.
pub(crate) fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    for above in folder.ancestors().skip(1) {
        sync_folder(above)?;
        if above == root {
            break;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    New,
    Replace,
}

/// The three steps of a write.
fn write(root: &Path, tmp: &Path, target: &Path, bytes: &[u8], naming: Naming) -> io::Result<()> {
    let parent = target.parent().unwrap_or(root);
    make_folder(root, parent)?;
    let staged = (|| {
        let mut file = File::create_new(tmp)?;
        file.write_all(bytes)?;
        file.sync_data()
    })();
    let named = staged.and_then(|()| match naming {
        Naming::Replace => fs::rename(tmp, target),
        // A hard link fails where the name is taken; a rename would replace.
        Naming::New => fs::hard_link(tmp, target),
    });
    if naming == Naming::New || named.is_err() {
        // The write is done or has failed; a stray file here is swept at the next start.
        let _ = fs::remove_file(tmp);
    }
    named?;
    sync_folder(parent)
}

fn store_error(location: &Location, error: io::Error) -> StoreError {
    let path = location.to_string();
    match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::AlreadyExists { path, source: Box::new(error) },
        io::ErrorKind::PermissionDenied => {
            StoreError::PermissionDenied { path, source: Box::new(error) }
        }
        _ => StoreError::Generic { store: "folder", source: Box::new(error) },
    }
}

fn unsupported(what: &str) -> StoreError {
    StoreError::NotSupported { source: format!("{what} in a data folder").into() }
}

impl fmt::Display for LocalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {}", self.folder.display())
    }
}

#[async_trait]
impl ObjectStore for LocalFolder {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let naming = match options.mode {
            PutMode::Create => Naming::New,
            PutMode::Overwrite => Naming::Replace,
            PutMode::Update(_) => return Err(unsupported("conditional replacement")),
        };
        let target = self.files.path_to_filesystem(location)?;
        let count = self.written.fetch_add(1, Relaxed);
        let name = format!("{}-{count}", std::process::id());
        let (root, tmp) = (Arc::clone(&self.folder), self.folder.join(TMP).join(name));
        let written = tokio::task::spawn_blocking(move || {
            write(&root, &tmp, &target, &Bytes::from(payload), naming)
        });
        written.await?.map_err(|error| store_error(location, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        _: &Location,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(unsupported("upload in parts"))
    }

    async fn get_opts(
        &self,
        location: &Location,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Location,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Location>>,
    ) -> BoxStream<'static, object_store::Result<Location>> {
        self.files.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&Location>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&Location>,
    ) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        _: &Location,
        _: &Location,
        _: CopyOptions,
    ) -> object_store::Result<()> {
        Err(unsupported("copying"))
    }
}
