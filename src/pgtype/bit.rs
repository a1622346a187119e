//! `bit(n)` and `bit varying(n)`: their text `101` or `X1F`, their binary form, and how a column
//! carries them.
//!
//! A column carries bit strings as bytes whose order is the order of bit strings, so that whatever
//! sorts, groups, joins or hashes bytes does right by them: blocks of [`BLOCK`] bytes, the last
//! filled up with zeros, and behind each block how many of its bits are taken, or 255 where
//! another block follows. The empty string has no block. Bit strings of one length differ only in
//! their bits, so that distances are counted over the carried bytes as they are.

use super::{
    faults::{bad_binary, take},
    string::TooLong,
};
use crate::error::{Error, Result, SqlState};

/// Bytes of a block.
pub const BLOCK: usize = 16;
/// Bits of a block.
const BLOCK_BITS: usize = BLOCK * 8;
/// Behind a block: another follows.
const CONTINUES: u8 = 0xff;
/// The longest that a type may declare.
pub const LENGTH_MAX: u32 = 83_886_080;

/// A bit string: the first bit is the highest of the first byte; bits beyond the length are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    /// The bits.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub length: usize,
}

impl Bits {
    /// So many zeros.
    #[must_use]
    pub fn zeros(length: usize) -> Self {
        Self { bytes: vec![0; length.div_ceil(8)], length }
    }

    /// The bits of a sequence.
    pub fn collect(bits: impl Iterator<Item = bool>) -> Self {
        let mut made = Self::default();
        for bit in bits {
            if made.length.is_multiple_of(8) {
                made.bytes.push(0);
            }
            made.length += 1;
            made.set(made.length - 1, bit);
        }
        made
    }

    /// The bit string that a column carries.
    #[must_use]
    pub fn of_carried(carried: &[u8]) -> Self {
        let length = length(carried);
        let blocks = carried.chunks_exact(BLOCK + 1);
        let mut bytes: Vec<u8> = blocks.flat_map(|block| &block[..BLOCK]).copied().collect();
        bytes.truncate(length.div_ceil(8));
        Self { bytes, length }
    }

    /// As a column carries it.
    #[must_use]
    pub fn carried(&self) -> Vec<u8> {
        let blocks = self.length.div_ceil(BLOCK_BITS);
        let mut out = Vec::with_capacity(blocks * (BLOCK + 1));
        for (at, block) in self.bytes.chunks(BLOCK).enumerate() {
            out.extend_from_slice(block);
            out.resize((at + 1) * (BLOCK + 1) - 1, 0);
            let taken = self.length - at * BLOCK_BITS;
            out.push(match u8::try_from(taken) {
                Ok(taken) if usize::from(taken) <= BLOCK_BITS => taken,
                _ => CONTINUES,
            });
        }
        out
    }

    /// A bit, which must be there.
    #[must_use]
    pub fn bit(&self, at: usize) -> bool {
        self.bytes[at / 8] & (0x80 >> (at % 8)) != 0
    }

    /// Changes a bit, which must be there.
    pub fn set(&mut self, at: usize, bit: bool) {
        let mask = 0x80 >> (at % 8);
        if bit {
            self.bytes[at / 8] |= mask;
        } else {
            self.bytes[at / 8] &= !mask;
        }
    }

    /// Every bit in turn.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.length).map(|at| self.bit(at))
    }

    /// How many bits are 1.
    #[must_use]
    pub fn ones(&self) -> u64 {
        self.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    /// The bits of a stretch that lies within.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        Self::collect((from..to).map(|at| self.bit(at)))
    }

    /// This many bits: cut, or filled up with zeros, at the end.
    #[must_use]
    pub fn resized(mut self, length: usize) -> Self {
        self.bytes.resize(length.div_ceil(8), 0);
        self.length = length;
        self.clear_rest();
        self
    }

    /// Both, one after the other.
    #[must_use]
    pub fn followed_by(&self, other: &Self) -> Self {
        if self.length.is_multiple_of(8) {
            let bytes = [self.bytes.as_slice(), &other.bytes].concat();
            return Self { bytes, length: self.length + other.length };
        }
        Self::collect(self.iter().chain(other.iter()))
    }

    /// The bits beyond the length as 0.
    pub fn clear_rest(&mut self) {
        let rest = self.length % 8;
        if let (Some(last), 1..) = (self.bytes.last_mut(), rest) {
            *last &= 0xff << (8 - rest);
        }
    }

    /// Appends `101`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.iter().map(|bit| if bit { b'1' } else { b'0' }));
    }

    /// Appends the binary form.
    pub(super) fn write_binary(&self, out: &mut Vec<u8>) -> Result<()> {
        let length = i32::try_from(self.length).map_err(|_| bad_binary())?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.bytes);
        Ok(())
    }
}

/// How many bits the bit string has that a column carries.
#[must_use]
pub fn length(carried: &[u8]) -> usize {
    match carried.last() {
        Some(&taken) => (carried.len() / (BLOCK + 1) - 1) * BLOCK_BITS + usize::from(taken),
        None => 0,
    }
}

/// What a declared length asks of a bit string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Nothing.
    Any,
    /// `bit(n)`: just as many.
    Exact(u32),
    /// `bit varying(n)`: no more.
    Most(u32),
}

impl Length {
    /// Checks a number of bits.
    ///
    /// # Errors
    /// 22026 or 22001, in PostgreSQL's words.
    fn check(self, found: usize) -> Result<()> {
        match self {
            Self::Exact(wanted) if found as u64 != u64::from(wanted) => Err(Error::new(
                SqlState::new(b"22026"),
                format!("bit string length {found} does not match type bit({wanted})"),
            )),
            Self::Most(most) if found as u64 > u64::from(most) => Err(Error::new(
                SqlState::STRING_DATA_RIGHT_TRUNCATION,
                format!("bit string too long for type bit varying({most})"),
            )),
            _ => Ok(()),
        }
    }

    /// A bit string of this length: cut or filled up where the user asked for the type.
    ///
    /// # Errors
    /// 22026 or 22001, in PostgreSQL's words.
    pub fn apply(self, bits: Bits, too_long: TooLong) -> Result<Bits> {
        let wanted = match self {
            Self::Exact(wanted) => wanted as usize,
            Self::Most(most) if bits.length > most as usize => most as usize,
            _ => return Ok(bits),
        };
        match too_long {
            TooLong::Cut => Ok(bits.resized(wanted)),
            TooLong::Refuse => self.check(bits.length).map(|()| bits),
        }
    }
}

/// Reads the text.
pub(super) fn parse(text: &str, wanted: Length, too_long: TooLong) -> Result<Bits> {
    let (digits, hexadecimal) = match text.as_bytes().first() {
        Some(b'x' | b'X') => (&text[1..], true),
        Some(b'b' | b'B') => (&text[1..], false),
        _ => (text, false),
    };
    // The length is looked at before the digits are.
    if too_long == TooLong::Refuse {
        wanted.check(digits.len() * if hexadecimal { 4 } else { 1 })?;
    }
    let no_digit = |digit: char, base: &str| {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("\"{digit}\" is not a valid {base} digit"),
        )
    };
    let mut bits = Bits::default();
    if hexadecimal {
        for (at, digit) in digits.chars().enumerate() {
            let value = digit.to_digit(16).ok_or_else(|| no_digit(digit, "hexadecimal"))?;
            let value = u8::try_from(value).expect("four bits");
            if at % 2 == 0 {
                bits.bytes.push(value << 4);
            } else if let Some(last) = bits.bytes.last_mut() {
                *last |= value;
            }
            bits.length += 4;
        }
    } else {
        let digit = |digit| match digit {
            '0' => Ok(false),
            '1' => Ok(true),
            other => Err(no_digit(other, "binary")),
        };
        let all = digits.chars().map(digit).collect::<Result<Vec<bool>>>()?;
        bits = Bits::collect(all.into_iter());
    }
    wanted.apply(bits, too_long)
}

/// Reads the binary form.
pub(super) fn parse_binary(mut bytes: &[u8], wanted: Length) -> Result<Bits> {
    let length = i32::from_be_bytes(take(&mut bytes)?);
    let length = usize::try_from(length).map_err(|_| {
        Error::new(SqlState::INVALID_BINARY_REPRESENTATION, "invalid length in external bit string")
    })?;
    wanted.check(length)?;
    let size = length.div_ceil(8);
    if bytes.len() < size {
        return Err(super::faults::too_short());
    }
    if bytes.len() > size {
        return Err(bad_binary());
    }
    let mut bits = Bits { bytes: bytes.to_vec(), length };
    bits.clear_rest();
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn carried_bytes_sort_as_bit_strings_do(
            a in vec(any::<bool>(), 0..300),
            b in vec(any::<bool>(), 0..300),
            shared in 0..260_usize,
        ) {
            // Most pairs have a beginning in common.
            let b: Vec<bool> = a.iter().take(shared).copied().chain(b).collect();
            let (x, y) = (Bits::collect(a.iter().copied()), Bits::collect(b.iter().copied()));
            // PostgreSQL: bytes as far as both have them, then the number of bits.
            let shorter = x.bytes.len().min(y.bytes.len());
            let order = x.bytes[..shorter].cmp(&y.bytes[..shorter]).then(x.length.cmp(&y.length));
            prop_assert_eq!(x.carried().cmp(&y.carried()), order);
            prop_assert_eq!(length(&x.carried()), a.len());
            prop_assert_eq!(&Bits::of_carried(&x.carried()), &x);
            let both: Vec<bool> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(x.followed_by(&y).iter().collect::<Vec<_>>(), both);
        }
    }
}
