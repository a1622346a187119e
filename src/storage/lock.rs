//! One process per folder: an exclusive lock on the file `lock`, which the kernel gives back when
//! the process ends, however it ends.

use crate::{
    error::{Error, Result, SqlState},
    storage::{local, paths},
};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::Path,
};

/// A folder that no other process uses while this value lives.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Takes the lock or fails at once; `what` is the folder's role, as in "data folder".
    pub fn take(folder: &Path, what: &str) -> Result<Self> {
        let path = folder.join(paths::LOCK);
        let failed = |error| {
            local::failure(format!("could not lock {what} \"{}\"", folder.display()), error)
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(folder, what, &mut file)),
            Err(error) => return Err(failed(error.into())),
        }
        // The number is for people who read the file; the lock is what counts.
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // The kernel unlocks at the end of the process at the latest.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn in_use(folder: &Path, what: &str, file: &mut File) -> Error {
    let message = format!("{what} \"{}\" is in use by another process", folder.display());
    let error = Error::new(SqlState::LOCK_FILE_EXISTS, message)
        .hint("Stop the other process, or choose another folder.");
    let mut text = String::new();
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    match pid {
        Some(pid) => error.detail(format!("The other process has PID {pid}.")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_names_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path(), "data folder").unwrap();

        let error = FolderLock::take(folder.path(), "data folder").unwrap_err();
        assert_eq!(error.state(), SqlState::LOCK_FILE_EXISTS);
        assert!(error.message().ends_with("is in use by another process"), "{error}");
        let pid = std::process::id().to_string();
        assert!(error.fields().detail.as_ref().unwrap().contains(&pid));

        drop(held);
        FolderLock::take(folder.path(), "data folder").unwrap();
    }
}
