//! Many ranges of one object as few requests.

use bytes::Bytes;
use std::ops::Range;

/// Joins ranges that lie at most `gap` apart; the result ascends and covers every range.
pub(super) fn coalesce(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|r| r.start < r.end).cloned().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// One range out of the merged ones that were read; short where the object was.
pub(super) fn cut(merged: &[Range<u64>], found: &[Bytes], range: &Range<u64>) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let at = merged.partition_point(|m| m.end < range.end);
    let bytes = &found[at];
    let place = |offset: u64| {
        let offset = offset - merged[at].start;
        usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len())
    };
    bytes.slice(place(range.start)..place(range.end))
}
