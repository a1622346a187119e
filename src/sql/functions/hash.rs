//! `hashtext` and kin: PostgreSQL's own hash of bytes, by which applications number advisory locks and
//! parts. It is Bob Jenkins' `lookup3`, and gives the numbers that PostgreSQL gives.

use crate::{
    error::Result,
    sql::functions::call::{Arguments, integers},
};
use arrow::array::{ArrayRef, Int32Array, Int64Array};
use std::sync::Arc;

/// The state, three words of it.
struct Mixer(u32, u32, u32);

impl Mixer {
    fn new(bytes: usize) -> Self {
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        let start = 0x9e37_79b9_u32.wrapping_add(length).wrapping_add(3_923_095);
        Self(start, start, start)
    }

    fn add(&mut self, (a, b, c): (u32, u32, u32)) {
        self.0 = self.0.wrapping_add(a);
        self.1 = self.1.wrapping_add(b);
        self.2 = self.2.wrapping_add(c);
    }

    fn mix(&mut self) {
        let Self(a, b, c) = self;
        let step = |x: &mut u32, y: &mut u32, z: &mut u32, by: u32| {
            *x = x.wrapping_sub(*z) ^ z.rotate_left(by);
            *z = z.wrapping_add(*y);
        };
        step(a, b, c, 4);
        step(b, c, a, 6);
        step(c, a, b, 8);
        step(a, b, c, 16);
        step(b, c, a, 19);
        step(c, a, b, 4);
    }

    fn finish(&mut self) {
        let Self(a, b, c) = self;
        let step = |x: &mut u32, y: &u32, by: u32| *x = (*x ^ *y).wrapping_sub(y.rotate_left(by));
        step(c, b, 14);
        step(a, c, 11);
        step(b, a, 25);
        step(c, b, 16);
        step(a, c, 4);
        step(b, a, 14);
        step(c, b, 24);
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut whole = bytes.chunks_exact(12);
        for block in &mut whole {
            self.add((word(&block[..4]), word(&block[4..8]), word(&block[8..])));
            self.mix();
        }
        // Of the last word the lowest byte is the length's.
        let rest = whole.remainder();
        let part = |from: usize, to: usize| {
            word(rest.get(from.min(rest.len())..to.min(rest.len())).unwrap_or_default())
        };
        self.add((part(0, 4), part(4, 8), part(8, 12) << 8));
        self.finish();
    }
}

/// Up to four bytes, the lowest first.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn hash(bytes: &[u8]) -> i32 {
    let mut mixer = Mixer::new(bytes.len());
    mixer.take(bytes);
    mixer.2.cast_signed()
}

fn extended(bytes: &[u8], seed: i64) -> i64 {
    let mut mixer = Mixer::new(bytes.len());
    let [high, low] = halves(seed);
    if seed != 0 {
        mixer.add((high, low, 0));
        mixer.mix();
    }
    mixer.take(bytes);
    (u64::from(mixer.1) << 32 | u64::from(mixer.2)).cast_signed()
}

fn halves(number: i64) -> [u32; 2] {
    let bytes = number.to_be_bytes();
    let half =
        |at: usize| bytes[at..at + 4].iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    [half(0), half(4)]
}

/// `hashtext(text)`
pub(crate) fn text(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.text(0);
    Ok(Arc::new(
        texts.iter().map(|text| text.map(|text| hash(text.as_bytes()))).collect::<Int32Array>(),
    ))
}

/// `hashtextextended(text, bigint)`
pub(crate) fn text_extended(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, seeds) = (args.text(0), integers(&args.arrays[1])?);
    let one = |row: usize| {
        (!args.is_null(row)).then(|| extended(texts.value(row).as_bytes(), seeds.value(row)))
    };
    Ok(Arc::new((0..args.rows).map(one).collect::<Int64Array>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_postgresql() {
        assert_eq!(hash(b"abc"), -785_388_649);
    }
}
