//! The bytes of one record, after `docs/format/wal.md`.
//!
//! Encoding puts a checksum over every byte, decoding checks it before it trusts a length. What is
//! read here is either exactly what was written, or a [`Fault`] that says what is wrong with it.

use crate::{
    error::{Error, Result, SqlState},
    ids::{Lsn, Oid, RowId, TableId},
    storage::{paths::ObjectPath, segment::SegmentMeta},
};
use arrow::{
    array::RecordBatch,
    buffer::Buffer,
    ipc::{reader::StreamDecoder, writer::StreamWriter},
};
use roaring::RoaringTreemap;
use std::{fmt, ops::Range, panic::catch_unwind};

/// The length of a record's header, and of a whole fence.
pub const HEADER_BYTES: usize = 64;
/// The longest body.
pub const BODY_BYTES_MAX: usize = 1 << 30;

const MAGIC: [u8; 8] = *b"NLKWAL\x1a\n";
const VERSION: u16 = 1;
const HAS_ROWS: u8 = 1;
const TRUNCATES: u8 = 2;
const HAS_TOLD: u8 = 4;

/// One commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its number: one more than that of the record before it.
    pub lsn: Lsn,
    /// 128 bits by which this attempt to commit differs from all others.
    pub commit_id: u128,
    /// When it was committed: microseconds since 1970.
    pub time_micros: i64,
    /// Changes of the catalog; storage does not look into them. May be empty.
    pub catalog: Vec<u8>,
    /// Changes of tables.
    pub tables: Vec<TableChange>,
}

/// What one commit does to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableChange {
    /// The table.
    pub table: TableId,
    /// The RowId of the first new row; the others follow it, those of `rows` before those of
    /// `segments`.
    pub first_row: RowId,
    /// New rows, columns named `c<column id>`.
    pub rows: Option<RecordBatch>,
    /// New rows that were written as segments before the commit.
    pub segments: Vec<SegmentMeta>,
    /// Rows that are no more.
    pub deletes: RoaringTreemap,
    /// Whether the table is emptied before the rest of this change happens.
    pub truncate: bool,
    /// What webhooks are told of the rows that are no more: [`TOLD_ROW`], [`TOLD_NEW`], old values.
    pub told: Option<RecordBatch>,
}

/// The column of [`TableChange::told`] that names the row that is no more.
pub const TOLD_ROW: &str = "row";
/// The one that says which row took its place: the offset from the first of the new rows, or NULL.
pub const TOLD_NEW: &str = "new";

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit = 1,
    Fence = 2,
}

/// A record's header, once it was found to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) lsn: Lsn,
    pub(crate) commit_id: u128,
    time_micros: i64,
    position: u64,
    body_bytes: u32,
    body_crc: u32,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Short,
    Magic,
    Version(u16),
    HeaderChecksum,
    Position(u64),
    Kind(u8),
    Length(u32),
    BodyChecksum,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the record is not complete"),
            Self::Magic => f.write_str("there is no record"),
            Self::Version(version) => write!(f, "the record has version {version}"),
            Self::HeaderChecksum => f.write_str("the checksum of the header is wrong"),
            Self::Position(position) => write!(f, "the record belongs at offset {position}"),
            Self::Kind(kind) => write!(f, "the record is of unknown kind {kind}"),
            Self::Length(length) => write!(f, "the record is {length} bytes long"),
            Self::BodyChecksum => f.write_str("the checksum of the record is wrong"),
        }
    }
}

impl Fault {
    /// The error that a caller sees.
    pub(crate) fn in_object(&self, path: &ObjectPath, offset: usize) -> Error {
        match self {
            Self::Version(version) => Error::unsupported(format!(
                "log object \"{path}\" has a record of version {version}, this program reads \
                 version {VERSION}"
            ))
            .hint("Use the program that wrote it, or a newer one."),
            _ => Error::corrupt(
                format_args!("log object \"{path}\""),
                format_args!("at offset {offset}: {self}"),
            ),
        }
    }
}

/// Appends a commit to `out`, whose first byte lies at the start of the object or file when
/// `base` is 0, and `base` bytes behind it otherwise.
pub(crate) fn encode(record: &Record, base: u64, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    encode_body(record, out)?;
    let body = &out[start + HEADER_BYTES..];
    let length = u32::try_from(body.len()).ok().filter(|&n| n as usize <= BODY_BYTES_MAX);
    let header = Header {
        kind: Kind::Commit,
        lsn: record.lsn,
        commit_id: record.commit_id,
        time_micros: record.time_micros,
        position: base + start as u64,
        body_bytes: length.ok_or_else(|| too_large(body.len()))?,
        body_crc: crc32c::crc32c(body),
    };
    out[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
    Ok(())
}

/// The bytes of a fence: an object of its own.
pub(crate) fn encode_fence(lsn: Lsn, writer: u128, time_micros: i64) -> [u8; HEADER_BYTES] {
    let (kind, commit_id, position, body_bytes, body_crc) = (Kind::Fence, writer, 0, 0, 0);
    Header { kind, lsn, commit_id, time_micros, position, body_bytes, body_crc }.encode()
}

fn too_large(bytes: usize) -> Error {
    let message = format!("the transaction is too large: its log record has {bytes} bytes");
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        .detail(format!("A log record has at most {BODY_BYTES_MAX} bytes."))
        .hint("Commit fewer rows at a time.")
}

fn encode_body(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    sized(out, |out| {
        out.extend_from_slice(&record.catalog);
        Ok(())
    })?;
    let tables = u32::try_from(record.tables.len()).map_err(|_| too_large(usize::MAX))?;
    out.extend_from_slice(&tables.to_le_bytes());
    for change in &record.tables {
        out.extend_from_slice(&change.table.0.to_le_bytes());
        out.extend_from_slice(&change.first_row.0.to_le_bytes());
        let flag = |bit, is_set| if is_set { bit } else { 0 };
        let truncates = flag(TRUNCATES, change.truncate);
        let told = flag(HAS_TOLD, change.told.is_some());
        out.push(flag(HAS_ROWS, change.rows.is_some()) | truncates | told);
        sized(out, |out| match &change.rows {
            Some(rows) => encode_rows(rows, out),
            None => Ok(()),
        })?;
        sized(out, |out| {
            serde_json::to_writer(out, &change.segments).map_err(|error| {
                Error::internal("could not write segments to the log").source(error)
            })
        })?;
        sized(out, |out| match change.deletes.is_empty() {
            true => Ok(()),
            false => change.deletes.serialize_into(out).map_err(|error| {
                Error::internal("could not write deletes to the log").source(error)
            }),
        })?;
        if let Some(told) = &change.told {
            sized(out, |out| encode_rows(told, out))?;
        }
    }
    Ok(())
}

/// Writes a part with its length before it.
fn sized(out: &mut Vec<u8>, part: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    part(out)?;
    let length = out.len() - start - 4;
    if length > BODY_BYTES_MAX {
        return Err(too_large(length));
    }
    let length = u32::try_from(length).expect("BODY_BYTES_MAX fits 32 bits");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn encode_rows(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let failed = |error| Error::internal("could not write rows to the log").source(error);
    let bytes = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    // Nearly all of it; the rest of the record is small.
    out.reserve(bytes.sum::<std::result::Result<usize, _>>().map_err(failed)?);
    let mut writer = StreamWriter::try_new(out, &rows.schema()).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.finish().map_err(failed)
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.kind as u8;
        bytes[16..24].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.commit_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.time_micros.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.position.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Where the body lies in the bytes in which this header was found at `offset`.
    pub(crate) fn body(&self, offset: usize) -> Range<usize> {
        let start = offset + HEADER_BYTES;
        start..start + self.body_bytes as usize
    }
}

/// Checks the record at an offset: header, place, and every byte of the body.
pub(crate) fn check(bytes: &[u8], offset: usize) -> Result<Header, Fault> {
    let header = bytes.get(offset..offset + HEADER_BYTES);
    let header: [u8; HEADER_BYTES] =
        header.and_then(|bytes| bytes.try_into().ok()).ok_or(Fault::Short)?;
    if header[..8] != MAGIC {
        return Err(Fault::Magic);
    }
    let mut blank = header;
    blank[12..16].fill(0);
    if crc32c::crc32c(&blank) != u32::from_le_bytes(part(&header, 12)) {
        return Err(Fault::HeaderChecksum);
    }
    let version = u16::from_le_bytes(part(&header, 8));
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let kind = match header[10] {
        1 => Kind::Commit,
        2 => Kind::Fence,
        other => return Err(Fault::Kind(other)),
    };
    let header = Header {
        kind,
        lsn: Lsn(u64::from_le_bytes(part(&header, 16))),
        commit_id: u128::from_le_bytes(part(&header, 24)),
        time_micros: i64::from_le_bytes(part(&header, 40)),
        position: u64::from_le_bytes(part(&header, 48)),
        body_bytes: u32::from_le_bytes(part(&header, 56)),
        body_crc: u32::from_le_bytes(part(&header, 60)),
    };
    if header.position != offset as u64 {
        return Err(Fault::Position(header.position));
    }
    if header.body_bytes as usize > BODY_BYTES_MAX {
        return Err(Fault::Length(header.body_bytes));
    }
    let body = bytes.get(header.body(offset)).ok_or(Fault::Short)?;
    if crc32c::crc32c(body) != header.body_crc {
        return Err(Fault::BodyChecksum);
    }
    Ok(header)
}

fn part<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes")
}

/// Whether a valid record begins anywhere at or behind an offset.
pub(crate) fn any_behind(bytes: &[u8], mut offset: usize) -> bool {
    while let Some(rest) = bytes.get(offset..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let Some(next) = rest.iter().position(|&byte| byte == MAGIC[0]) else { return false };
        if check(bytes, offset + next).is_ok() {
            return true;
        }
        offset += next + 1;
    }
    false
}

/// Reads the body of a commit whose checksum was found to be right.
pub(crate) fn decode(header: &Header, body: &[u8]) -> Result<Record> {
    let mut body = Body(body);
    let catalog = body.sized()?.to_vec();
    let tables = u32::from_le_bytes(body.array()?);
    let tables = (0..tables).map(|_| decode_table(&mut body)).collect::<Result<_>>()?;
    if !body.0.is_empty() {
        return Err(strange("bytes are left over"));
    }
    let Header { lsn, commit_id, time_micros, .. } = *header;
    Ok(Record { lsn, commit_id, time_micros, catalog, tables })
}

fn decode_table(body: &mut Body<'_>) -> Result<TableChange> {
    let table = Oid(u32::from_le_bytes(body.array()?));
    let first_row = RowId(u64::from_le_bytes(body.array()?));
    let [flags] = body.array()?;
    if flags & !(HAS_ROWS | TRUNCATES | HAS_TOLD) != 0 {
        let message =
            format!("a log record has the flags {flags}, which this program does not know");
        return Err(
            Error::unsupported(message).hint("Use the program that wrote it, or a newer one.")
        );
    }
    let rows = body.sized()?;
    let rows = if flags & HAS_ROWS == 0 { None } else { Some(decode_rows(rows)?) };
    let segments = serde_json::from_slice(body.sized()?)
        .map_err(|error| strange("segments cannot be read").source(error))?;
    let deletes = match body.sized()? {
        [] => RoaringTreemap::new(),
        bytes => RoaringTreemap::deserialize_from(bytes)
            .map_err(|error| strange("deletes cannot be read").source(error))?,
    };
    let truncate = flags & TRUNCATES != 0;
    let told = if flags & HAS_TOLD == 0 { None } else { Some(decode_rows(body.sized()?)?) };
    Ok(TableChange { table, first_row, rows, segments, deletes, truncate, told })
}

fn decode_rows(bytes: &[u8]) -> Result<RecordBatch> {
    let failed = |error| strange("rows cannot be read").source(error);
    // This decoder takes what there is: it makes no room for what a message says of its length. It
    // panics where a buffer is said to lie outside of the message.
    catch_unwind(|| {
        let rows = StreamDecoder::new().decode(&mut Buffer::from(bytes)).map_err(failed)?;
        rows.ok_or_else(|| strange("rows are missing"))
    })
    .unwrap_or_else(|_| Err(strange("rows cannot be read")))
}

/// The checksum is right and yet the content makes no sense.
fn strange(what: &str) -> Error {
    Error::corrupt("log record", what)
}

/// The part of a body that is still to be read.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(|| strange("it is too short"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn sized(&mut self) -> Result<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (part, rest) =
            self.0.split_at_checked(length).ok_or_else(|| strange("it is too short"))?;
        self.0 = rest;
        Ok(part)
    }
}
