//! One type for each number, so that they cannot be mixed.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// An object identifier: what PostgreSQL's catalogs number relations, types and roles by.
    /// Ours start at 16384 and are never used twice.
    Oid(u32)
}
id! {
    /// A row, for ever: assigned at commit, ascending in its table, never used twice.
    RowId(u64)
}
id! {
    /// A column within its table (PostgreSQL's attnum): from 1, never used twice.
    ColumnId(i16)
}
id! {
    /// A place in the log: the number of a commit. The first commit is 1.
    Lsn(u64)
}

/// A table is named by its oid.
pub type TableId = Oid;
/// An index is named by its oid.
pub type IndexId = Oid;

/// The first oid that Nearlake assigns; those below are PostgreSQL's own.
pub const FIRST_OID: Oid = Oid(16384);

/// A set of rows as a dense bitmap from a base: what a search may return. Testing a row costs one
/// load, and the C++ core reads the words in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    base: u64,
    words: Vec<u64>,
    rows: u64,
}

impl RowSet {
    /// No row of `[first, end)`. The base is rounded down to a word.
    #[must_use]
    pub fn empty(first: RowId, end: RowId) -> Self {
        let base = first.0 & !63;
        let words = end.0.saturating_sub(base).div_ceil(64);
        Self { base, words: vec![0; usize::try_from(words).expect("a set fits memory")], rows: 0 }
    }

    /// Adds a row. Panics when it lies outside the range given to [`RowSet::empty`].
    pub fn insert(&mut self, row: RowId) {
        let (word, bit) = self.place(row).expect("a row within the set's range");
        self.rows += u64::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Takes a row out, if it is in.
    pub fn remove(&mut self, row: RowId) {
        if let Some((word, bit)) = self.place(row) {
            self.rows -= u64::from(self.words[word] & bit != 0);
            self.words[word] &= !bit;
        }
    }

    /// Adds all rows of `[first, end)`, which must lie within the range.
    pub fn insert_range(&mut self, first: RowId, end: RowId) {
        let mut row = first.0;
        while row < end.0 {
            let (word, _) = self.place(RowId(row)).expect("a range within the set's range");
            let from = row & 63;
            let until = (from + (end.0 - row)).min(64);
            let mask = (u64::MAX >> (64 - (until - from))) << from;
            self.rows += u64::from((mask & !self.words[word]).count_ones());
            self.words[word] |= mask;
            row += until - from;
        }
    }

    /// Whether the row is in the set.
    #[must_use]
    pub fn contains(&self, row: RowId) -> bool {
        self.place(row).is_some_and(|(word, bit)| self.words[word] & bit != 0)
    }

    /// How many rows are in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether no row is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = RowId> + '_ {
        bits(self.base, &self.words)
    }

    /// The rows from `first` on, ascending.
    pub fn iter_from(&self, first: RowId) -> impl Iterator<Item = RowId> + '_ {
        let skipped = first.0.saturating_sub(self.base) / 64;
        let words = self.words.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or(&[]);
        bits(self.base + skipped * 64, words).skip_while(move |&row| row < first)
    }

    /// The rows of `[first, end)`, ascending.
    pub fn iter_within(&self, first: RowId, end: RowId) -> impl Iterator<Item = RowId> + '_ {
        self.iter_from(first).take_while(move |&row| row < end)
    }

    /// How many rows of `[first, end)` are in the set.
    #[must_use]
    pub fn count_within(&self, first: RowId, end: RowId) -> u64 {
        let first = first.0.max(self.base) - self.base;
        let end = end.0.saturating_sub(self.base).min(self.words.len() as u64 * 64);
        if first >= end {
            return 0;
        }
        let word = |bit: u64| usize::try_from(bit / 64).expect("a set fits memory");
        let (low, high) = (word(first), word(end - 1));
        let ones = |words: &[u64]| words.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
        let below = self.words[low] & !(u64::MAX << (first % 64));
        let above = self.words[high] & !(u64::MAX >> (63 - (end - 1) % 64));
        ones(&self.words[low..=high]) - ones(&[below, above])
    }

    /// Adds a run of rows from `first` on, those whose bits are set: bit `b` of the w-th word is
    /// row `first + 64 w + b`. All of them must lie within the range.
    pub fn insert_bits(&mut self, first: RowId, bits: impl IntoIterator<Item = u64>) {
        let offset = first.0.checked_sub(self.base).expect("a run within the set's range");
        let (mut word, shift) =
            (usize::try_from(offset / 64).expect("a set fits memory"), offset % 64);
        for bits in bits {
            let high = if shift == 0 { 0 } else { bits >> (64 - shift) };
            for (word, bits) in [(word, bits << shift), (word + 1, high)] {
                if bits != 0 {
                    let held = &mut self.words[word];
                    self.rows += u64::from((bits & !*held).count_ones());
                    *held |= bits;
                }
            }
            word += 1;
        }
    }

    /// The row of bit 0 of word 0, a multiple of 64.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The bits: row `base + 64 w + b` is bit `b` of word `w`.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    fn place(&self, row: RowId) -> Option<(usize, u64)> {
        let offset = row.0.checked_sub(self.base)?;
        let word = usize::try_from(offset / 64).ok()?;
        (word < self.words.len()).then_some((word, 1 << (offset % 64)))
    }
}

/// The bits set in some words, the first bit being row `base`.
fn bits(base: u64, words: &[u64]) -> impl Iterator<Item = RowId> + '_ {
    (base..).step_by(64).zip(words).flat_map(|(base, &word)| {
        std::iter::successors(Some(word), |w| Some(w & w.wrapping_sub(1)))
            .take_while(|&w| w != 0)
            .map(move |w| RowId(base + u64::from(w.trailing_zeros())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_set_counts_what_it_holds() {
        let mut set = RowSet::empty(RowId(70), RowId(300));
        set.insert_range(RowId(100), RowId(229));
        set.insert(RowId(228));
        set.insert(RowId(299));
        set.remove(RowId(100));
        set.remove(RowId(5));

        assert_eq!(set.len(), 129);
        assert!(set.contains(RowId(101)) && set.contains(RowId(228)) && !set.contains(RowId(229)));
        let rows: Vec<u64> = set.iter().map(|r| r.0).collect();
        assert_eq!(rows, (101..229).chain([299]).collect::<Vec<_>>());
        let late: Vec<u64> = set.iter_from(RowId(227)).map(|r| r.0).collect();
        assert_eq!(late, [227, 228, 299]);
        let within: Vec<u64> = set.iter_within(RowId(227), RowId(299)).map(|r| r.0).collect();
        assert_eq!(within, [227, 228]);
        for (first, end) in [(0, 400), (101, 102), (100, 229), (128, 192), (130, 299), (299, 9)] {
            let counted = (first..end).filter(|&row| set.contains(RowId(row))).count();
            assert_eq!(set.count_within(RowId(first), RowId(end)), counted as u64);
        }
    }

    #[test]
    fn a_run_of_bits_lands_where_it_belongs() {
        for first in [64, 70, 127, 128] {
            let mut set = RowSet::empty(RowId(64), RowId(320));
            set.insert(RowId(first + 3));
            set.insert_bits(RowId(first), [0b1001, 1 << 63, 1]);
            let rows: Vec<u64> = set.iter().map(|row| row.0 - first).collect();
            assert_eq!(rows, [0, 3, 127, 128]);
            assert_eq!(set.len(), 4);
        }
    }
}
