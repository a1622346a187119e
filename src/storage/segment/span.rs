//! Ranges of an object's bytes that are read as one, and checked.

use crate::{
    error::{Error, Result},
    storage::paths::ObjectPath,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A range of bytes that is read as one, and its CRC32C.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

impl Span {
    pub(super) fn of(at: u64, bytes: &[u8]) -> Self {
        Self { at, bytes: bytes.len() as u64, crc: crc32c::crc32c(bytes) }
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.at..self.at + self.bytes
    }

    /// The bytes, if they are what was written.
    pub(super) fn check(&self, bytes: &Bytes, object: &ObjectPath) -> Result<()> {
        if bytes.len() as u64 == self.bytes && crc32c::crc32c(bytes) == self.crc {
            return Ok(());
        }
        let (from, until) = (self.at, self.at + self.bytes);
        Err(Error::corrupt(object, format_args!("the checksum of bytes {from} to {until} differs")))
    }
}
