//! pgvector's `sparsevec`: its text `{1:1.5,3:2}/5`, its binary form, and how a column carries it.
//!
//! A column carries sparse vectors as bytes whose order is pgvector's: that of the dense vectors
//! which they stand for, element by element and then by dimensions. So whatever sorts, groups,
//! joins or hashes bytes does right by them. Each element that is not zero takes [`ENTRY`] bytes,
//! by ascending index:
//!
//! | element | bytes |
//! |---|---|
//! | negative | 0, the index, 1, the complement of the float's bits |
//! | positive | 2, the complement of the index, 0, the float's bits |
//!
//! and behind the last come a 0, the dimensions, and a 0; numbers have four bytes, the highest
//! first. Where one vector has an element and the other has not, it has a zero there or has ended:
//! a negative element is less than that zero, the more so the earlier it comes, but greater than
//! the end of a vector that does not reach it; a positive one is greater than both.

use super::{
    PgType,
    faults::{bad_binary, syntax, take},
    float,
    vector::{fault, infinite, not_a_number, skip},
};
use crate::{
    error::{Error, Result, SqlState},
    vector::{SPARSE_DIMS_MAX, SPARSE_ELEMENTS_MAX},
};
use std::cmp::Ordering;

/// Bytes of an element as a column carries it.
const ENTRY: usize = 10;
/// Bytes behind the last element.
const END: usize = 6;
const NEGATIVE: u8 = 0;
const POSITIVE: u8 = 2;
/// The name of the type.
const NAME: &str = "sparsevec";

/// A sparse vector: dimensions, and the elements that are not zero with their indices from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sparse {
    /// How many dimensions.
    pub dims: u32,
    /// Where the elements are, ascending.
    pub indices: Vec<u32>,
    /// The elements.
    pub values: Vec<f32>,
}

impl Sparse {
    /// The vector that has these elements, zeros among them or not.
    #[must_use]
    pub fn of_dense(dense: &[f32]) -> Self {
        let dims = u32::try_from(dense.len()).unwrap_or(u32::MAX);
        let (indices, values) =
            (0..dims).zip(dense.iter().copied()).filter(|(_, value)| *value != 0.0).unzip();
        Self { dims, indices, values }
    }

    /// All elements, the zeros among them.
    #[must_use]
    pub fn dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.dims as usize];
        for (&index, &value) in self.indices.iter().zip(&self.values) {
            dense[index as usize] = value;
        }
        dense
    }

    /// The vector that a column carries.
    #[must_use]
    pub fn of_carried(carried: &[u8]) -> Self {
        let (indices, values) = entries(carried).unzip();
        Self { dims: dims(carried), indices, values }
    }

    /// As a column carries it.
    #[must_use]
    pub fn carried(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.indices.len() * ENTRY + END);
        for (&index, &value) in self.indices.iter().zip(&self.values) {
            let (tag, index, mark, bits) = if value < 0.0 {
                (NEGATIVE, index, 1, !value.to_bits())
            } else {
                (POSITIVE, !index, 0, value.to_bits())
            };
            out.push(tag);
            out.extend_from_slice(&index.to_be_bytes());
            out.push(mark);
            out.extend_from_slice(&bits.to_be_bytes());
        }
        out.push(NEGATIVE);
        out.extend_from_slice(&self.dims.to_be_bytes());
        out.push(0);
        out
    }

    /// Appends the text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (&index, &value)) in self.indices.iter().zip(&self.values).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            super::integer::write(i64::from(index) + 1, out);
            out.push(b':');
            float::write_f32(value, 1, out);
        }
        out.extend_from_slice(b"}/");
        super::integer::write(i64::from(self.dims), out);
    }

    /// Appends the binary form.
    pub(super) fn write_binary(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.indices.len()).expect("no more than dimensions");
        for number in [self.dims, count, 0].iter().chain(&self.indices) {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for value in &self.values {
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// The dimensions of the vector that a column carries.
#[must_use]
pub fn dims(carried: &[u8]) -> u32 {
    let end = carried.len().saturating_sub(END - 1);
    carried.get(end..end + 4).map_or(0, number)
}

/// The elements of the vector that a column carries: index and value.
pub fn entries(carried: &[u8]) -> impl Iterator<Item = (u32, f32)> + '_ {
    carried.chunks_exact(ENTRY).map(|entry| {
        let (index, bits) = (number(&entry[1..5]), number(&entry[6..]));
        if entry[0] == NEGATIVE {
            (index, f32::from_bits(!bits))
        } else {
            (!index, f32::from_bits(bits))
        }
    })
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Reads the text.
pub(super) fn parse(text: &str, expected: Option<u32>) -> Result<Sparse> {
    let bad = || syntax(NAME, text);
    let bytes = text.as_bytes();
    check_elements(bytes.iter().filter(|&&byte| byte == b',').count() + 1)?;
    let mut elements: Vec<(i64, f32)> = Vec::new();
    let mut at = skip(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return Err(bad().detail("Vector contents must start with \"{\"."));
    }
    at = skip(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        at += 1;
    } else {
        loop {
            let (index, end) = whole(bytes, at).ok_or_else(bad)?;
            at = skip(bytes, end);
            if bytes.get(at) != Some(&b':') {
                return Err(bad());
            }
            at = skip(bytes, at + 1);
            let (value, length) = float::scan_f32(&bytes[at..]).ok_or_else(bad)?;
            let number = &text[at..at + length];
            if float::is_lost(f64::from(value), number) {
                return Err(float::beyond(number, NAME));
            }
            check_element(value)?;
            if value != 0.0 {
                elements.push((index - 1, value));
            }
            at = skip(bytes, at + length);
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b'}') => break,
                _ => return Err(bad()),
            }
        }
        at += 1;
    }
    at = skip(bytes, at);
    if bytes.get(at) != Some(&b'/') {
        return Err(bad().detail("Unexpected end of input."));
    }
    let (dims, end) = whole(bytes, at + 1).ok_or_else(bad)?;
    if skip(bytes, end) != bytes.len() {
        return Err(bad().detail("Junk after closing."));
    }
    let dims = check_dims(dims)?;
    check_expected(expected, dims)?;
    elements.sort_by_key(|(index, _)| *index);
    let mut made = Sparse { dims, ..Sparse::default() };
    for (index, value) in elements {
        made.indices.push(check_index(index, dims, made.indices.last())?);
        made.values.push(value);
    }
    Ok(made)
}

/// A whole number as C's `strtol` reads it, held to the range of an `integer`; where it ends.
fn whole(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut at = skip(bytes, at);
    let negative = bytes.get(at) == Some(&b'-');
    at += usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
    let start = at;
    let mut value = 0_i64;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        value = (value * 10 + i64::from(digit - b'0')).min(i64::from(i32::MAX));
        at += 1;
    }
    (at > start).then_some((if negative { -value } else { value }, at))
}

/// Reads the binary form.
pub(super) fn parse_binary(mut bytes: &[u8], expected: Option<u32>) -> Result<Sparse> {
    let mut next = || take(&mut bytes).map(i32::from_be_bytes);
    let (dims, count, unused) = (next()?, next()?, next()?);
    let dims = check_dims(i64::from(dims))?;
    let count = usize::try_from(count)
        .map_err(|_| fault("sparsevec cannot have negative number of elements"))?;
    check_elements(count)?;
    if count > dims as usize {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "sparsevec cannot have more elements than dimensions",
        ));
    }
    check_expected(expected, dims)?;
    if unused != 0 {
        return Err(fault(format!("expected unused to be 0, not {unused}")));
    }
    let mut made = Sparse { dims, ..Sparse::default() };
    for _ in 0..count {
        let index = i32::from_be_bytes(take(&mut bytes)?);
        made.indices.push(check_index(i64::from(index), dims, made.indices.last())?);
    }
    for _ in 0..count {
        let value = f32::from_be_bytes(take(&mut bytes)?);
        check_element(value)?;
        if value == 0.0 {
            return Err(fault("binary representation of sparsevec cannot contain zero values"));
        }
        made.values.push(value);
    }
    if bytes.is_empty() { Ok(made) } else { Err(bad_binary()) }
}

fn check_element(value: f32) -> Result<()> {
    if value.is_nan() {
        Err(not_a_number(NAME))
    } else if value.is_infinite() {
        Err(infinite(NAME))
    } else {
        Ok(())
    }
}

fn check_elements(count: usize) -> Result<()> {
    if count <= SPARSE_ELEMENTS_MAX {
        return Ok(());
    }
    Err(Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("sparsevec cannot have more than {SPARSE_ELEMENTS_MAX} non-zero elements"),
    ))
}

fn check_index(index: i64, dims: u32, last: Option<&u32>) -> Result<u32> {
    let index = u32::try_from(index).ok().filter(|&index| index < dims);
    let index = index.ok_or_else(|| fault("sparsevec index out of bounds"))?;
    match last.map(|last| index.cmp(last)) {
        Some(Ordering::Less) => Err(fault("sparsevec indices must be in ascending order")),
        Some(Ordering::Equal) => Err(fault("sparsevec indices must not contain duplicates")),
        _ => Ok(index),
    }
}

/// Refuses a number of dimensions that no sparse vector can have.
///
/// # Errors
/// 22000 where there are none, 54000 where there are more than [`SPARSE_DIMS_MAX`].
pub fn check_dims(dims: i64) -> Result<u32> {
    match u32::try_from(dims) {
        Ok(dims @ 1..=SPARSE_DIMS_MAX) => Ok(dims),
        Ok(0) | Err(_) if dims <= 0 => Err(fault("sparsevec must have at least 1 dimension")),
        _ => Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("sparsevec cannot have more than {SPARSE_DIMS_MAX} dimensions"),
        )),
    }
}

/// Refuses a sparse vector whose dimensions are not those declared.
///
/// # Errors
/// 22000, in pgvector's words.
pub fn check_expected(expected: Option<u32>, dims: u32) -> Result<()> {
    match expected {
        Some(expected) if expected != dims => {
            Err(fault(format!("expected {expected} dimensions, not {dims}")))
        }
        _ => Ok(()),
    }
}

/// The elements of a dense vector, for one that is to be sparse.
///
/// # Errors
/// 22000 where there is NaN or an infinity, or there are no elements.
pub fn of_elements(dense: &[f32], expected: Option<u32>) -> Result<Sparse> {
    let dims = check_dims(i64::try_from(dense.len()).unwrap_or(i64::MAX))?;
    check_expected(expected, dims)?;
    dense.iter().try_for_each(|&value| check_element(value))?;
    Ok(Sparse::of_dense(dense))
}

impl PgType {
    /// `sparsevec` with its dimensions checked.
    pub(super) fn sparsevec(dims: i64) -> Result<Self> {
        let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
        match u32::try_from(dims) {
            Ok(dims @ 1..=SPARSE_DIMS_MAX) => Ok(Self::Sparsevec(Some(dims))),
            _ if dims < 1 => {
                Err(invalid("dimensions for type sparsevec must be at least 1".to_owned()))
            }
            _ => Err(invalid(format!(
                "dimensions for type sparsevec cannot exceed {SPARSE_DIMS_MAX}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::select};

    fn dense() -> impl Strategy<Value = Vec<f32>> {
        vec(select(vec![0.0, 0.0, 1.0, -1.0, 2.5, -2.5]), 1..6)
    }

    proptest! {
        #[test]
        fn carried_bytes_sort_as_dense_vectors_do(a in dense(), b in dense()) {
            let (x, y) = (Sparse::of_dense(&a), Sparse::of_dense(&b));
            let elements = a.iter().zip(&b).map(|(x, y)| x.total_cmp(y));
            let order = elements.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()));
            prop_assert_eq!(x.carried().cmp(&y.carried()), order);
            prop_assert_eq!(Sparse::of_carried(&x.carried()), x.clone());
            prop_assert_eq!(x.dense(), a);
        }
    }
}
