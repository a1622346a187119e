//! Reads the log from a place to its end, record by record; holds a few objects at a time.

use super::record::{self, Fault, Header, Kind, Record};
use crate::{
    error::{Error, Result},
    ids::Lsn,
    storage::{
        paths::{self, ObjectPath},
        store::Store,
    },
};
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::fmt;

/// How many objects are read ahead, so that a long tail is not one round trip after another.
const READ_AHEAD: usize = 8;

/// The records of the log behind a place, in order.
pub struct Replay {
    store: Store,
    /// The objects of the listing. It may be behind the truth: the chain of numbers is the truth.
    listed: BoxStream<'static, Result<Option<Part>>>,
    /// An object of the listing that lies further on than what is wanted next.
    ahead: Option<Part>,
    part: Option<Part>,
    next: Lsn,
    end: Lsn,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({}..{})", self.next, self.end)
    }
}

impl Replay {
    /// Of the log from `after` (not included) to `end` (not included); `firsts` are the numbers of the
    /// listed objects, ascending.
    pub(super) fn new(store: &Store, firsts: &[Lsn], after: Lsn, end: Lsn) -> Self {
        let next = Lsn(after.0 + 1);
        // The object that contains `next` is the last that does not begin behind it.
        let begin = firsts.partition_point(|&first| first <= next).saturating_sub(1);
        let firsts = firsts[begin..].iter().copied().filter(|&first| first < end);
        let firsts: Vec<Lsn> = firsts.collect();
        let read_ahead = if store.is_local().is_some() { 1 } else { READ_AHEAD };
        let from = store.clone();
        let listed = stream::iter(firsts)
            .map(move |first| {
                let store = from.clone();
                async move { Part::read(&store, first).await }
            })
            .buffered(read_ahead)
            .boxed();
        Self { store: store.clone(), listed, ahead: None, part: None, next, end }
    }

    /// The next record; `None` at the end. An error names the damaged object.
    pub async fn next(&mut self) -> Result<Option<Record>> {
        while self.next < self.end {
            let Some(part) = &mut self.part else {
                self.part = Some(self.advance().await?);
                continue;
            };
            let Some(header) = part.step()? else {
                self.part = None;
                continue;
            };
            if header.lsn < self.next {
                continue;
            }
            self.next = Lsn(header.lsn.0 + 1);
            if header.kind == Kind::Commit {
                return part.decode(&header).map(Some);
            }
        }
        Ok(None)
    }

    /// The object that contains the next record: from the listing, or else by its name.
    async fn advance(&mut self) -> Result<Part> {
        while self.ahead.is_none() {
            match self.listed.next().await.transpose()? {
                Some(Some(part)) => self.ahead = Some(part),
                Some(None) => {}
                None => break,
            }
        }
        if let Some(part) = self.ahead.take_if(|part| part.next <= self.next) {
            return Ok(part);
        }
        let named = Part::read(&self.store, self.next).await?;
        named.ok_or_else(|| {
            let message = format!("record {} is missing, before record {}", self.next, self.end);
            Error::corrupt("the log", message)
        })
    }
}

/// One object or file of the log, read up to an offset.
pub(super) struct Part {
    path: ObjectPath,
    bytes: Bytes,
    offset: usize,
    /// The record that `offset` must begin with: what follows it, and its place in the bytes.
    next: Lsn,
    body: std::ops::Range<usize>,
}

impl Part {
    pub(super) fn new(first: Lsn, bytes: Bytes) -> Self {
        Self { path: paths::wal(first), bytes, offset: 0, next: first, body: 0..0 }
    }

    pub(super) async fn read(store: &Store, first: Lsn) -> Result<Option<Self>> {
        Ok(store.get(&paths::wal(first)).await?.map(|bytes| Self::new(first, bytes)))
    }

    pub(super) fn path(&self) -> &ObjectPath {
        &self.path
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where the next record begins; behind a fault, where the fault is.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The number that follows those that were read.
    pub(super) fn next(&self) -> Lsn {
        self.next
    }

    /// The next record, checked; `None` at the end of the object.
    pub(super) fn step(&mut self) -> Result<Option<Header>> {
        if self.offset == self.bytes.len() && !self.bytes.is_empty() {
            return Ok(None);
        }
        let header = self.try_step()?;
        header.map(Some).map_err(|fault| fault.in_object(&self.path, self.offset))
    }

    /// As `step`, for one who can make something of a fault.
    pub(super) fn try_step(&mut self) -> Result<Result<Header, Fault>> {
        let header = match record::check(&self.bytes, self.offset) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        if header.lsn != self.next {
            return Err(Error::corrupt(
                format_args!("log object \"{}\"", self.path),
                format_args!("record {} stands where {} belongs", header.lsn, self.next),
            ));
        }
        self.body = header.body(self.offset);
        self.offset = self.body.end;
        self.next = Lsn(header.lsn.0 + 1);
        Ok(Ok(header))
    }

    /// Reads the commit that was stepped over last.
    fn decode(&self, header: &Header) -> Result<Record> {
        record::decode(header, &self.bytes[self.body.clone()])
            .map_err(|error| error.context(format!("log object \"{}\"", self.path)))
    }

    /// Steps to the end; gives the number that follows.
    pub(super) fn end(mut self) -> Result<Lsn> {
        while self.step()?.is_some() {}
        Ok(self.next)
    }
}

/// Every commit of one object.
pub(super) fn decode_all(path: &ObjectPath, bytes: &Bytes) -> Result<Vec<Record>> {
    let first = path.number().expect("an object of the log has a number");
    let mut part = Part::new(Lsn(first), bytes.clone());
    let mut records = Vec::new();
    while let Some(header) = part.step()? {
        if header.kind == Kind::Commit {
            records.push(part.decode(&header)?);
        }
    }
    Ok(records)
}
