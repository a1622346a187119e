//! The name of every object, in one place.
//!
//! ```text
//! wal/<20 digits>        one group of log records; the digits are the LSN of its first record
//! manifest/<20 digits>   what is live; the digits count manifests
//! data/<id>.parquet      a segment's rows
//! data/<id>.keys         the sorted key hashes of a segment
//! data/<id>.deletes      the deleted rows of a table
//! index/<id>             a part of an index checkpoint
//! health/probe           written now and then to learn whether the store takes writes
//! lock                   on a folder: held by the process that writes there
//! ```
//!
//! Names under `wal/` and `manifest/` sort as their numbers do. An id is 128 random bits, so that
//! no two writers, and no two attempts of one writer, ever mean different bytes by one name.

use crate::{clock::Clock, ids::Lsn};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The folder of the log.
pub const WAL: &str = "wal";
/// The folder of the manifests.
pub const MANIFEST: &str = "manifest";
/// The folder of segments and what lies beside them.
pub const DATA: &str = "data";
/// The folder of index checkpoints.
pub const INDEX: &str = "index";
/// The file that the process writing to a folder holds locked.
pub const LOCK: &str = "lock";

/// The name of one object, relative to the root of its store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectPath(Arc<str>);

impl ObjectPath {
    /// A name as it was listed or stored. The functions of this module make new ones.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>) -> Self {
        Self(path.into())
    }

    /// The name, with `/` between folder and file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last `/`.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The number that names an object of the log or a manifest; `None` for any other name.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let (folder, digits) = self.0.split_once('/')?;
        let numbered = matches!(folder, WAL | MANIFEST) && digits.len() == 20;
        (numbered && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object and its size: what a reader must know to read it from the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub path: ObjectPath,
    /// Its size.
    pub bytes: u64,
}

/// The group of log records that begins with `first`.
#[must_use]
pub fn wal(first: Lsn) -> ObjectPath {
    ObjectPath::new(format!("{WAL}/{:020}", first.0))
}

/// The manifest of this number.
#[must_use]
pub fn manifest(number: u64) -> ObjectPath {
    ObjectPath::new(format!("{MANIFEST}/{number:020}"))
}

/// The rows of a segment.
#[must_use]
pub fn segment(id: &str) -> ObjectPath {
    ObjectPath::new(format!("{DATA}/{id}.parquet"))
}

/// The key hashes of a segment.
#[must_use]
pub fn keys(id: &str) -> ObjectPath {
    ObjectPath::new(format!("{DATA}/{id}.keys"))
}

/// A set of deleted rows.
#[must_use]
pub fn deletes(id: &str) -> ObjectPath {
    ObjectPath::new(format!("{DATA}/{id}.deletes"))
}

/// A part of an index checkpoint.
#[must_use]
pub fn index(id: &str) -> ObjectPath {
    ObjectPath::new(format!("{INDEX}/{id}"))
}

/// What is written to learn whether the store takes writes. Its content means nothing.
#[must_use]
pub fn probe() -> ObjectPath {
    ObjectPath::new("health/probe")
}

/// 128 bits by which one writer, commit or object differs from all others.
#[must_use]
pub fn fresh(clock: &dyn Clock) -> u128 {
    (u128::from(clock.random()) << 64) | u128::from(clock.random())
}

/// A new id for an object: 32 hex digits.
#[must_use]
pub fn fresh_id(clock: &dyn Clock) -> String {
    format!("{:032x}", fresh(clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededClock;

    #[test]
    fn numbered_names_sort_as_their_numbers() {
        assert!(wal(Lsn(9)) < wal(Lsn(10)));
        assert_eq!(manifest(7).number(), Some(7));
        assert_eq!(wal(Lsn(u64::MAX)).number(), Some(u64::MAX));
        assert_eq!(segment("00000000000000000001").number(), None);
        assert_eq!(ObjectPath::new("wal/7").number(), None);
    }

    #[test]
    fn ids_differ_and_have_one_length() {
        let clock = SeededClock::shared(1);
        let (a, b) = (fresh_id(&*clock), fresh_id(&*clock));

        assert_ne!(a, b);
        assert_eq!((a.len(), keys(&a).file_name().len()), (32, 37));
    }
}
