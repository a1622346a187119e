//! Which objects are live, and how much of the log they contain.
//!
//! A manifest is written once, numbered, created if absent; the one with the highest number is the
//! truth. So a new one replaces the old in one step, and of two writers one loses. The bytes are
//! those of `docs/format/manifest.md`.

use crate::{
    error::{Error, Result, SqlState},
    ids::{IndexId, Lsn, RowId, TableId},
    storage::{
        paths::{self, ObjectPath, ObjectRef},
        segment::SegmentMeta,
        store::{Created, Store},
    },
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"NLKMAN\x1a\n";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;

/// One picture of everything that is stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// One more than that of the manifest before it; the first is 1.
    pub number: u64,
    /// Who wrote it: 128 bits that differ from writer to writer.
    #[serde(with = "hex")]
    pub writer: u128,
    /// When it was written: microseconds since 1970.
    pub time_micros: i64,
    /// The log up to here is contained in the objects.
    pub lsn: Lsn,
    /// Up to which record webhooks' events are stored; the log behind it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Lsn>,
    /// The catalog; storage does not look into it.
    pub catalog: serde_json::Value,
    /// The tables.
    pub tables: Vec<TableManifest>,
    /// The index checkpoints.
    pub indexes: Vec<IndexManifest>,
}

/// The objects of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableManifest {
    /// The table.
    pub table: TableId,
    /// The RowId that the next new row gets.
    pub next_row: RowId,
    /// Its segments, in the order of their rows.
    pub segments: Vec<SegmentMeta>,
    /// The rows that are no more; `None`: all are.
    pub deletes: Option<ObjectRef>,
}

/// The checkpoint of one index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexManifest {
    /// The index.
    pub index: IndexId,
    /// What the index needs to open it; storage does not look into it.
    pub checkpoint: serde_json::Value,
    /// The objects that it consists of.
    pub objects: Vec<ObjectPath>,
}

impl Manifest {
    /// Every object that it names, some more than once.
    pub fn objects(&self) -> impl Iterator<Item = ObjectPath> + '_ {
        let tables = self.tables.iter().flat_map(|table| {
            let deletes = table.deletes.iter().map(|object| object.path.clone());
            table.segments.iter().flat_map(SegmentMeta::objects).chain(deletes)
        });
        tables.chain(self.indexes.iter().flat_map(|index| index.objects.iter().cloned()))
    }

    /// The log behind this is needed.
    #[must_use]
    pub fn log_from(&self) -> Lsn {
        self.tail.map_or(self.lsn, |tail| tail.min(self.lsn))
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> ObjectPath {
        paths::manifest(self.number)
    }

    fn encode(&self) -> Result<Bytes> {
        let failed = |error| Error::internal("could not write the manifest").source(error);
        let body = serde_json::to_vec(self).map_err(failed)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        Ok(bytes.into())
    }

    fn decode(number: u64, bytes: &[u8]) -> Result<Self> {
        let damaged = |why: &str| {
            Error::corrupt(format_args!("manifest \"{}\"", paths::manifest(number)), why)
                .hint("Restore the object; an older manifest may name objects that are gone.")
        };
        let (header, body) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("it is too short"))?;
        if header[..8] != MAGIC {
            return Err(damaged("it is not a manifest"));
        }
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let long = |at: usize| u64::from(word(at)) | (u64::from(word(at + 4)) << 32);
        if word(8) != VERSION {
            let message = format!(
                "manifest \"{}\" has version {}, this program reads version {VERSION}",
                paths::manifest(number),
                word(8)
            );
            return Err(
                Error::unsupported(message).hint("Use the program that wrote it, or a newer one.")
            );
        }
        if long(24) != body.len() as u64 {
            return Err(damaged("its length is wrong"));
        }
        if word(12) != crc32c::crc32c(&bytes[16..]) {
            return Err(damaged("its checksum is wrong"));
        }
        if long(16) != number {
            return Err(damaged("it has another number"));
        }
        serde_json::from_slice(body)
            .map_err(|error| damaged("its content cannot be read").source(error))
    }
}

/// The newest manifest; `None` where there has been none. A damaged newest one is an error that
/// names it: an older one would bring back what has been deleted since, and lose the rest.
pub async fn latest(store: &Store) -> Result<Option<Manifest>> {
    let listed = store.list(paths::MANIFEST).await?;
    let newest = listed.iter().filter_map(|(path, _)| path.number()).max();
    let mut found = match newest {
        Some(number) => Some(read(store, number).await?.ok_or_else(|| {
            Error::corrupt(paths::manifest(number), "it was listed and is not there")
        })?),
        None => None,
    };
    // A listing may be behind; numbers have no gaps at the end.
    loop {
        let number = found.as_ref().map_or(0, |manifest| manifest.number) + 1;
        match read(store, number).await? {
            Some(newer) => found = Some(newer),
            None => return Ok(found),
        }
    }
}

/// The manifest of a number, if it is there.
pub async fn read(store: &Store, number: u64) -> Result<Option<Manifest>> {
    let bytes = store.get(&paths::manifest(number)).await?;
    bytes.map(|bytes| Manifest::decode(number, &bytes)).transpose()
}

/// Makes this manifest the newest. `Fenced` when another writer has taken its number; `Conflict`
/// when this writer has, with other content, in an attempt whose outcome it did not learn.
pub async fn publish(store: &Store, manifest: &Manifest) -> Result<()> {
    let found = match store.create(&manifest.path(), manifest.encode()?).await? {
        Created::Won => return Ok(()),
        Created::Lost(found) => Manifest::decode(manifest.number, &found)?,
    };
    if found.writer == manifest.writer {
        let message = format!("manifest {} was published by an earlier attempt", found.number);
        return Err(Error::new(SqlState::OBJECT_IN_USE, message)
            .hint("Publish again under the next number."));
    }
    Err(Error::fenced("a newer process writes to this database")
        .detail(format!("Manifest {} was published by another writer.", manifest.number))
        .hint("Stop this process."))
}

/// 128 bits as hex digits: JSON's numbers do not reach that far.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &u128, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{id:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SeededClock, error::ErrorKind};
    use object_store::memory::InMemory;
    use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
    use std::sync::Arc;

    fn store() -> Store {
        Store::over(Arc::new(InMemory::new()), SeededClock::shared(1))
    }

    fn manifest(number: u64, writer: u128) -> Manifest {
        Manifest { number, writer, lsn: Lsn(number * 10), ..Default::default() }
    }

    #[tokio::test]
    async fn the_highest_number_is_the_truth() {
        let store = store();
        assert_eq!(latest(&store).await.unwrap(), None);

        for number in 1..=12 {
            publish(&store, &manifest(number, u128::MAX - 1)).await.unwrap();
        }

        assert_eq!(latest(&store).await.unwrap(), Some(manifest(12, u128::MAX - 1)));
    }

    #[tokio::test]
    async fn of_two_writers_one_loses() {
        let store = store();
        publish(&store, &manifest(1, 7)).await.unwrap();

        publish(&store, &manifest(1, 7)).await.unwrap();
        let other = publish(&store, &manifest(1, 8)).await.unwrap_err();
        let changed = Manifest { lsn: Lsn(99), ..manifest(1, 7) };
        let again = publish(&store, &changed).await.unwrap_err();

        assert_eq!((other.kind(), again.kind()), (ErrorKind::Fenced, ErrorKind::Conflict));
    }

    /// What a checksum lets through is what was written; yet whatever it is, it is refused or read.
    #[test]
    fn any_content_is_refused_or_read() {
        let good = manifest(2, 7).encode().unwrap();
        let mut random = SmallRng::seed_from_u64(12);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut damaged = good.to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(HEADER_BYTES..damaged.len());
                damaged[at] = random.random();
            }
            let crc = crc32c::crc32c(&damaged[16..]);
            damaged[12..16].copy_from_slice(&crc.to_le_bytes());
            match Manifest::decode(2, &damaged) {
                Ok(manifest) => {
                    read += 1;
                    manifest.encode().unwrap();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }
        assert!(read > 0, "so little damage is read now and then");
    }

    #[tokio::test]
    async fn a_damaged_newest_manifest_is_never_passed_over() {
        let good = manifest(2, 7).encode().unwrap();
        for at in 0..good.len() {
            let store = store();
            publish(&store, &manifest(1, 7)).await.unwrap();
            let mut bad = good.to_vec();
            bad[at] ^= 0x10;
            store.put(&paths::manifest(2), bad.into()).await.unwrap();

            let error = latest(&store).await.unwrap_err();
            assert!(error.message().contains(paths::manifest(2).as_str()), "byte {at}: {error}");
        }
        for length in [0, 10, good.len() - 1] {
            assert!(Manifest::decode(2, &good[..length]).is_err());
        }
    }
}
