//! The directory of a checkpoint, as bytes and back: `docs/format/index.md`.
//!
//! It holds the core's version (options, centroids, the stop rule) and for each posting where the two
//! parts of its chunks are stored. All numbers are little-endian; a varint is LEB128.

use super::{
    ffi,
    posting::{Chunk, Location, Object, Part, Posting, Postings, ROW_END, Stored},
};
use crate::{error::Result, ids::RowId};
use std::{collections::HashMap, sync::Arc};

const MAGIC: &[u8; 4] = b"NLPD";
const FORMAT: u64 = 3;

/// What a directory says.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) core: ffi::Version,
    pub(super) postings: Postings,
    pub(super) left_out: Vec<RowId>,
}

/// A directory in which each chunk is stored where `stored` says, in the order of the postings and
/// their chunks.
pub(super) fn write(
    core: &ffi::Version,
    postings: &Postings,
    stored: &[Stored],
    objects: &[Arc<Object>],
    left_out: &[RowId],
) -> Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    put(&mut bytes, FORMAT);
    let version = core.serialize()?;
    put(&mut bytes, version.len() as u64);
    bytes.extend_from_slice(&version);

    put(&mut bytes, objects.len() as u64);
    for object in objects {
        put(&mut bytes, object.name.len() as u64);
        bytes.extend_from_slice(object.name.as_bytes());
        put(&mut bytes, object.len);
    }

    let mut stored = stored.iter();
    let number_of: HashMap<*const Object, u64> = objects.iter().map(Arc::as_ptr).zip(0..).collect();
    put(&mut bytes, postings.iter().count() as u64);
    for (id, posting) in postings.iter() {
        put(&mut bytes, u64::from(id));
        put(&mut bytes, posting.chunks.len() as u64);
        for (chunk, stored) in posting.chunks.iter().zip(stored.by_ref()) {
            put(&mut bytes, u64::from(chunk.entries()));
            for part in [Part::Scan, Part::Records] {
                let location = stored.part(part);
                put(&mut bytes, number_of[&Arc::as_ptr(&location.object)]);
                put(&mut bytes, location.offset);
                put(&mut bytes, u64::from(location.len));
                bytes.extend_from_slice(&location.crc.to_le_bytes());
            }
            // One more than its length: 0 for none.
            let summary = chunk.summary();
            put(&mut bytes, summary.map_or(0, |summary| summary.len() as u64 + 1));
            bytes.extend_from_slice(summary.unwrap_or_default());
        }
    }

    put(&mut bytes, left_out.len() as u64);
    for row in left_out {
        put(&mut bytes, row.0);
    }
    Ok(bytes)
}

/// Reads a directory whose checksum was right. The fault, where it cannot be one.
pub(super) fn read(bytes: &[u8]) -> Result<Directory, String> {
    let mut reader = Reader(bytes);
    if reader.take(4)? != MAGIC {
        return Err("it does not begin as an index directory".into());
    }
    let format = reader.number()?;
    if format != FORMAT {
        return Err(format!("its format is {format}, which is not known here"));
    }
    let version = reader.count(1)?;
    let core = ffi::Version::open(reader.take(version)?).map_err(|e| e.message().to_owned())?;

    let mut objects = Vec::new();
    for _ in 0..reader.count(2)? {
        let name = reader.count(1)?;
        let name = std::str::from_utf8(reader.take(name)?).map_err(|e| e.to_string())?.to_owned();
        objects.push(Arc::new(Object::new(name, reader.number()?, None)));
    }

    let mut postings = Postings::default();
    for _ in 0..reader.count(2)? {
        let id = reader.number()?;
        let id = u32::try_from(id).ok().filter(|&id| core.in_use(id));
        let id = id.ok_or("it has a posting without a centroid")?;
        let mut chunks = Vec::new();
        for _ in 0..reader.count(16)? {
            chunks.push(read_chunk(&mut reader, id, &objects)?);
        }
        let entries: u64 = chunks.iter().map(|chunk: &Arc<Chunk>| u64::from(chunk.entries())).sum();
        if entries != u64::from(core.entries_of(id)) || postings.get(id).is_some() {
            return Err(format!("it counts the entries of posting {id} in two ways"));
        }
        postings.set(id, Some(Posting { chunks }));
    }
    let mut left_out: Vec<RowId> = Vec::new();
    for _ in 0..reader.count(1)? {
        let row = RowId(reader.number()?);
        if row.0 >= ROW_END || left_out.last().is_some_and(|&before| before >= row) {
            return Err("the rows that it leaves out do not ascend".into());
        }
        left_out.push(row);
    }
    if !reader.0.is_empty() {
        return Err("it goes on behind its end".into());
    }
    let known: usize = (0..core.capacity()).filter(|&id| postings.get(id).is_some()).count();
    let full = (0..core.capacity()).filter(|&id| core.entries_of(id) > 0).count();
    if known < full {
        return Err("it lacks postings".into());
    }
    check_apart(&postings)?;
    Ok(Directory { core, postings, left_out })
}

/// Parts that lie in one place would lose the rows of the other.
fn check_apart(postings: &Postings) -> Result<(), String> {
    let stored =
        postings.iter().flat_map(|(_, posting)| &posting.chunks).filter_map(|c| c.stored());
    let mut places: Vec<(*const Object, u64, u64)> = stored
        .flat_map(|Stored { scan, records }| [scan, records])
        .map(|place| {
            (Arc::as_ptr(&place.object), place.offset, place.offset + u64::from(place.len))
        })
        .filter(|(_, from, to)| from < to)
        .collect();
    places.sort_unstable();
    match places.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1) {
        true => Ok(()),
        false => Err("it has two parts in one place".into()),
    }
}

fn read_chunk(
    reader: &mut Reader<'_>,
    posting: u32,
    objects: &[Arc<Object>],
) -> Result<Arc<Chunk>, String> {
    let entries = u32::try_from(reader.number()?).map_err(|e| e.to_string())?;
    let scan = read_location(reader, objects)?;
    let records = read_location(reader, objects)?;
    let summary = match reader.number()?.checked_sub(1) {
        None => None,
        Some(len) => {
            let len = usize::try_from(len).map_err(|e| e.to_string())?;
            Some(reader.take(len)?.into())
        }
    };
    Ok(Chunk::at(posting, Stored { scan, records }, entries, summary))
}

fn read_location(reader: &mut Reader<'_>, objects: &[Arc<Object>]) -> Result<Location, String> {
    let object = usize::try_from(reader.number()?).ok().and_then(|at| objects.get(at));
    let object = object.ok_or("it names an object that it does not list")?;
    let offset = reader.number()?;
    let len = u32::try_from(reader.number()?).map_err(|e| e.to_string())?;
    let crc = reader.take(4)?;
    let crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
    if offset.checked_add(u64::from(len)).is_none_or(|end| end > object.len) {
        return Err(format!("it has a posting outside of {}", object.name));
    }
    Ok(Location { object: Arc::clone(object), offset, len, crc })
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7F) as u8);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("it has a number that is too large".into())
    }

    /// A count of things of at least `least` bytes each: no more than there are bytes for.
    fn count(&mut self, least: usize) -> Result<usize, String> {
        let count = self.number()?;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.0.len() / least)
            .ok_or_else(|| "it is cut short".into())
    }
}
