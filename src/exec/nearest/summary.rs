//! What the rows of a chunk have in common: for each column of the index's INCLUDE, which values
//! they have there.
//!
//! A checkpoint has the chunks that it writes told so ([`Summarizer`]); a search tests them by its
//! filter before it reads them (`prune.rs`). A summary may hold too much and never too little: it is
//! of all rows of the chunk, and what it cannot tell apart it takes for the same.
//!
//! ```text
//! summary = column*
//! column  = i16 id  u8 family  u8 kind  u8 nulls  u8 count  u64 low  u64 high  u32 * count
//!           kind 0: the hashes of the values, ascending; kind 1: a Bloom filter of as many words
//! ```
//!
//! All numbers are little-endian. Low and high bound the values' keys, which ascend as the values do.

use crate::{
    error::Result,
    ids::{ColumnId, RowId},
    index::Summaries,
    storage::{columns::ColumnSpec, table::TableState},
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    },
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use twox_hash::XxHash64;

/// So many different values of a chunk are told one by one.
const VALUES_MAX: usize = 32;
/// Words of the filter where there are more, and bits set for each value.
const BLOOM_WORDS: usize = 24;
const BLOOM_BITS: u32 = 3;
const HEADER: usize = 6 + 2 * size_of::<u64>();

/// Values that are told apart alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Family {
    Bool,
    Integer,
    Date,
    Time,
    Timestamp,
    Text,
    Uuid,
}

impl Family {
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Boolean => Self::Bool,
            DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::Integer,
            DataType::Date32 => Self::Date,
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp,
            DataType::Utf8 => Self::Text,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            _ => return None,
        })
    }
}

/// A value as summaries see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Not less than that of a lesser value.
    pub(super) key: u64,
    /// The same for equal values.
    pub(super) hash: u32,
    /// Whether a value of this key is equal to it.
    pub(super) is_exact: bool,
}

impl Mark {
    fn of(key: u64, bytes: &[u8], is_exact: bool) -> Self {
        let hash = XxHash64::oneshot(0, bytes);
        #[expect(clippy::cast_possible_truncation, reason = "some of its bits are wanted")]
        let hash = (hash ^ (hash >> 32)) as u32;
        Self { key, hash, is_exact }
    }

    fn of_number(number: i64) -> Self {
        // Negative numbers come first.
        Self::of(number.cast_unsigned() ^ (1 << 63), &number.to_le_bytes(), true)
    }

    /// The order of texts and uuids is that of their bytes, of which the first make the key.
    fn of_bytes(bytes: &[u8]) -> Self {
        let mut first = [0; 8];
        let len = bytes.len().min(8);
        first[..len].copy_from_slice(&bytes[..len]);
        // Texts hold no zeros, so that one which fits shows where it ends.
        Self::of(u64::from_be_bytes(first), bytes, len < 8)
    }
}

/// The values of an array; `None` for NULL, and for all where they are of no family.
pub(super) fn marks(array: &ArrayRef) -> Option<Vec<Option<Mark>>> {
    fn numbers<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef) -> Vec<Option<Mark>> {
        let mark = |number: Option<T::Native>| number.map(|n| Mark::of_number(n.into()));
        array.as_primitive::<T>().iter().map(mark).collect()
    }
    Some(match (Family::of(array.data_type())?, array.data_type()) {
        (Family::Bool, _) => {
            let mark = |value: Option<bool>| value.map(|value| Mark::of_number(value.into()));
            array.as_boolean().iter().map(mark).collect()
        }
        (Family::Integer, DataType::Int16) => numbers::<Int16Type>(array),
        (Family::Integer, DataType::Int32) => numbers::<Int32Type>(array),
        (Family::Integer, _) => numbers::<Int64Type>(array),
        (Family::Date, _) => numbers::<Date32Type>(array),
        (Family::Time, _) => numbers::<Time64MicrosecondType>(array),
        (Family::Timestamp, _) => numbers::<TimestampMicrosecondType>(array),
        (Family::Text, _) => {
            let mark = |text: Option<&str>| text.map(|text| Mark::of_bytes(text.as_bytes()));
            array.as_string::<i32>().iter().map(mark).collect()
        }
        (Family::Uuid, _) => {
            let bytes = array.as_fixed_size_binary();
            bytes.iter().map(|bytes| bytes.map(Mark::of_bytes)).collect()
        }
    })
}

/// A summary in the making: what is known of one column.
#[derive(Debug, Default)]
struct Values {
    nulls: bool,
    keys: Option<(u64, u64)>,
    hashes: BTreeSet<u32>,
}

impl Values {
    fn add(&mut self, mark: Option<Mark>) {
        let Some(Mark { key, hash, .. }) = mark else {
            self.nulls = true;
            return;
        };
        let (low, high) = self.keys.unwrap_or((key, key));
        self.keys = Some((low.min(key), high.max(key)));
        self.hashes.insert(hash);
    }

    fn write(&self, column: ColumnId, family: Family, summary: &mut Vec<u8>) {
        let is_listed = self.hashes.len() <= VALUES_MAX;
        let words: Vec<u32> = if is_listed {
            self.hashes.iter().copied().collect()
        } else {
            let mut words = vec![0; BLOOM_WORDS];
            for (word, bit) in self.hashes.iter().flat_map(|&hash| bloom_places(hash)) {
                words[word] |= bit;
            }
            words
        };
        // Where there is no value no key lies between.
        let (low, high) = self.keys.unwrap_or((u64::MAX, 0));
        summary.extend_from_slice(&column.0.to_le_bytes());
        let count = u8::try_from(words.len()).expect("there are few words");
        summary.extend([family as u8, u8::from(!is_listed), u8::from(self.nulls), count]);
        summary.extend_from_slice(&low.to_le_bytes());
        summary.extend_from_slice(&high.to_le_bytes());
        summary.extend(words.into_iter().flat_map(u32::to_le_bytes));
    }
}

fn bloom_places(hash: u32) -> impl Iterator<Item = (usize, u32)> {
    let bits = u32::try_from(BLOOM_WORDS * 32).expect("the filter is small");
    (0..BLOOM_BITS).map(move |turn| {
        let place = hash.rotate_left(turn * 11).wrapping_mul(0x9E37_79B1) % bits;
        ((place / 32) as usize, 1 << (place % 32))
    })
}

/// What a summary tells of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    family: u8,
    is_bloom: bool,
    nulls: bool,
    low: u64,
    high: u64,
    words: &'a [[u8; 4]],
}

impl<'a> Told<'a> {
    /// What a summary tells of a column; `None` where it tells nothing, or what no summary does: then
    /// anything may be there.
    pub(super) fn of(mut summary: &'a [u8], column: ColumnId) -> Option<Self> {
        loop {
            let (header, rest) = summary.split_first_chunk::<HEADER>()?;
            let (words, rest) = rest.split_at_checked(4 * usize::from(header[5]))?;
            if header[..2] != column.0.to_le_bytes() {
                summary = rest;
                continue;
            }
            let number =
                |at: usize| header[at..].first_chunk().map(|&bytes| u64::from_le_bytes(bytes));
            let told = Self {
                family: header[2],
                is_bloom: header[3] != 0,
                nulls: header[4] != 0,
                low: number(6)?,
                high: number(14)?,
                words: words.as_chunks().0,
            };
            let is_known = header[2] <= Family::Uuid as u8 && header[3] <= 1 && header[4] <= 1;
            return Some(told).filter(|told| is_known && told.is_sound());
        }
    }

    /// Whether its parts go together.
    fn is_sound(&self) -> bool {
        if self.is_bloom {
            return self.words.len() == BLOOM_WORDS && self.low <= self.high;
        }
        let hashes = self.words.iter().map(|&bytes| u32::from_le_bytes(bytes));
        let has_bounds = match self.words.is_empty() {
            true => (self.low, self.high) == (u64::MAX, 0),
            false => self.low <= self.high,
        };
        has_bounds && self.words.len() <= VALUES_MAX && hashes.is_sorted_by(|a, b| a < b)
    }

    pub(super) fn has_nulls(&self) -> bool {
        self.nulls
    }

    /// Whether a value like this one may be among the rows'.
    pub(super) fn may_have(&self, family: Family, mark: Mark) -> bool {
        if self.family != family as u8 {
            return true;
        }
        if !(self.low..=self.high).contains(&mark.key) {
            return false;
        }
        let word =
            |at: usize| self.words.get(at).map_or(u32::MAX, |&bytes| u32::from_le_bytes(bytes));
        if self.is_bloom {
            return bloom_places(mark.hash).all(|(at, bit)| word(at) & bit != 0);
        }
        let hash = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        self.words.binary_search_by_key(&mark.hash, hash).is_ok()
    }

    /// Whether a value may have a key between these, both of them included.
    pub(super) fn may_lie(&self, family: Family, low: u64, high: u64) -> bool {
        let has_values = self.low <= self.high;
        self.family != family as u8 || (has_values && self.low <= high && low <= self.high)
    }
}

/// Tells chunks what their rows have in common.
#[derive(Debug)]
pub struct Summarizer {
    rows: TableState,
    /// The table's earlier states that someone still reads.
    held: Vec<TableState>,
    columns: Vec<(ColumnSpec, Family)>,
}

impl Summarizer {
    /// For some columns of a table; `None` where none of them can be summarized.
    #[must_use]
    pub fn new(
        rows: TableState,
        held: Vec<TableState>,
        specs: impl Iterator<Item = ColumnSpec>,
    ) -> Option<Self> {
        let columns: Vec<_> = specs
            .filter_map(|spec| {
                let family = Family::of(&spec.kind.arrow())?;
                Some((spec, family))
            })
            .collect();
        (!columns.is_empty()).then_some(Self { rows, held, columns })
    }
}

#[async_trait]
impl Summaries for Summarizer {
    async fn of(&self, chunks: &[Vec<RowId>]) -> Result<Vec<Option<Box<[u8]>>>> {
        // A row that was deleted and dropped nobody can find any more, but who reads an earlier state.
        let is_found_yet = |row: RowId| self.held.iter().any(|state| state.is_live(row));
        let mut wanted: Vec<RowId> = Vec::new();
        let mut summarized = Vec::with_capacity(chunks.len());
        for rows in chunks {
            let before = wanted.len();
            wanted.extend(rows.iter().filter(|&&row| self.rows.has(row)));
            let is_known = wanted.len() - before == rows.len()
                || !rows.iter().any(|&row| !self.rows.has(row) && is_found_yet(row));
            summarized.push((before..wanted.len(), is_known));
        }
        let specs: Vec<ColumnSpec> = self.columns.iter().map(|(spec, _)| spec.clone()).collect();
        let taken = match self.rows.take(&wanted, &specs).await {
            Ok(taken) => taken,
            // The index is right without them.
            Err(error) => {
                tracing::warn!(%error, "postings are stored without summaries");
                return Ok(vec![None; chunks.len()]);
            }
        };
        let mut summaries = vec![Vec::new(); chunks.len()];
        for ((spec, family), array) in self.columns.iter().zip(taken.columns()) {
            let Some(marks) = marks(array) else { continue };
            for (summary, (range, _)) in summaries.iter_mut().zip(&summarized) {
                let mut values = Values::default();
                marks[range.clone()].iter().for_each(|&mark| values.add(mark));
                values.write(spec.id, *family, summary);
            }
            tokio::task::consume_budget().await;
        }
        let known = summaries.into_iter().zip(summarized);
        Ok(known.map(|(summary, (_, is_known))| is_known.then(|| summary.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Int32Array, Int64Array, StringArray};
    use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
    use std::sync::Arc;

    fn summarized(array: ArrayRef) -> Vec<u8> {
        let mut values = Values::default();
        marks(&array).unwrap().into_iter().for_each(|mark| values.add(mark));
        let mut summary = Vec::new();
        // Another column comes first, so that it must be passed over.
        Values::default().write(ColumnId(1), Family::Bool, &mut summary);
        values.write(ColumnId(2), Family::of(array.data_type()).unwrap(), &mut summary);
        summary
    }

    fn mark(array: ArrayRef) -> Mark {
        marks(&array).unwrap()[0].unwrap()
    }

    #[test]
    fn what_is_there_is_never_denied() {
        for count in [1, 5, 32, 33, 100, 1000_i64] {
            let values = || (0..count).map(|n| (n - 3) * 7919);
            let summary = summarized(Arc::new(Int64Array::from_iter_values(values())));
            let told = Told::of(&summary, ColumnId(2)).unwrap();
            for value in values() {
                let mark = mark(Arc::new(Int64Array::from(vec![value])));
                assert!(told.may_have(Family::Integer, mark), "{value} of {count}");
                assert!(told.may_lie(Family::Integer, mark.key, mark.key));
                // Of another family nothing is known.
                assert!(told.may_have(Family::Date, mark));
            }
            assert!(!told.has_nulls());
        }
    }

    #[test]
    fn what_is_not_there_is_mostly_denied() {
        for (count, wrong_max) in [(20_i32, 0), (100, 150)] {
            let values = Int32Array::from_iter_values((0..count).map(|n| n * 10));
            let summary = summarized(Arc::new(values));
            let told = Told::of(&summary, ColumnId(2)).unwrap();
            let absent = |n: i32| mark(Arc::new(Int32Array::from(vec![n * 10 + 1])));
            let wrong = (0..1000).filter(|&n| told.may_have(Family::Integer, absent(n % count)));
            assert!(wrong.count() <= wrong_max, "{count}");
            let beyond = mark(Arc::new(Int32Array::from(vec![count * 10])));
            assert!(!told.may_lie(Family::Integer, beyond.key, u64::MAX));
        }
        assert!(Told::of(&[], ColumnId(2)).is_none());
    }

    /// The bytes of what was told of column 2, written once more.
    fn written(told: &Told<'_>) -> Vec<u8> {
        let mut bytes = ColumnId(2).0.to_le_bytes().to_vec();
        let count = u8::try_from(told.words.len()).unwrap();
        bytes.extend([told.family, u8::from(told.is_bloom), u8::from(told.nulls), count]);
        bytes.extend_from_slice(&told.low.to_le_bytes());
        bytes.extend_from_slice(&told.high.to_le_bytes());
        bytes.extend(told.words.as_flattened());
        bytes
    }

    #[test]
    fn bytes_that_are_no_summary_tell_nothing() {
        let mut random = SmallRng::seed_from_u64(31);
        let mut told_count = 0;
        for count in [0, 1, 7, 32, 33, 400_i64] {
            let whole = summarized(Arc::new(Int64Array::from_iter_values(0..count)));
            for _ in 0..2000 {
                let mut bytes = whole.clone();
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..bytes.len());
                    match random.random_range(0..4) {
                        0 => bytes[at] = random.random(),
                        1 => bytes[at] ^= 1 << random.random_range(0..8),
                        2 => bytes.truncate(at.max(1)),
                        _ => bytes.insert(at, random.random()),
                    }
                }
                let Some(told) = Told::of(&bytes, ColumnId(2)) else { continue };
                told_count += 1;
                // All that it tells is in its bytes, and these are as they are written.
                let again = written(&told);
                assert!(bytes.windows(again.len()).any(|part| part == again), "{bytes:?}");
                assert!(told.is_sound() && told.words.len() <= VALUES_MAX.max(BLOOM_WORDS));
            }
            for len in 0..whole.len() {
                assert!(Told::of(&whole[..len], ColumnId(2)).is_none(), "cut short");
            }
        }
        assert!(told_count > 1000, "most changes are of values: {told_count}");
    }

    #[test]
    fn texts_booleans_and_nulls_are_told_apart() {
        let texts = StringArray::from(vec![Some("anna"), None, Some("berta is longer than a key")]);
        let summary = summarized(Arc::new(texts));
        let told = Told::of(&summary, ColumnId(2)).unwrap();
        let text = |text: &str| mark(Arc::new(StringArray::from(vec![text])));
        assert!(told.has_nulls() && told.may_have(Family::Text, text("anna")));
        assert!(!told.may_have(Family::Text, text("berta is")));
        assert!(told.may_lie(Family::Text, text("b").key, u64::MAX));
        assert!(!told.may_lie(Family::Text, text("c").key, u64::MAX));

        let summary = summarized(Arc::new(BooleanArray::from(vec![true, true])));
        let told = Told::of(&summary, ColumnId(2)).unwrap();
        assert!(told.may_have(Family::Bool, mark(Arc::new(BooleanArray::from(vec![true])))));
        assert!(!told.may_have(Family::Bool, mark(Arc::new(BooleanArray::from(vec![false])))));
        let nothing = Told::of(&summary, ColumnId(1)).unwrap();
        assert!(!nothing.may_lie(Family::Bool, 0, u64::MAX));
    }
}
