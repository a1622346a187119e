//! pgvector's `vector` and `halfvec`: their text `[1,2,3]` and their binary form, with pgvector's
//! checks and words. The two are one but for their [`Element`].

use super::{
    PgType,
    faults::{bad_binary, is_space, syntax, take, too_short},
    float,
};
use crate::{
    error::{Error, Result, SqlState},
    vector::DIMS_MAX,
};
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType, Float16Type, Float32Type};
use half::f16;
use std::fmt;

/// What a dense vector is made of: single precision in `vector`, half precision in `halfvec`.
pub trait Element: ArrowNativeType + fmt::Debug {
    /// Arrow's type of it.
    type Arrow: ArrowPrimitiveType<Native = Self>;
    /// The name of the type of vectors.
    const NAME: &'static str;
    /// Bytes of one.
    const BYTES: usize;
    /// Zero.
    const ZERO: Self;
    /// The type of vectors of some dimensions.
    fn kind(dims: Option<u16>) -> PgType;
    /// The nearest to a real; infinite where there is none near.
    fn near(value: f32) -> Self;
    /// As a real.
    fn real(self) -> f32;
    /// Whether it is an infinity, of which [`Element::real`] makes no sense.
    fn is_infinite(self) -> bool;
    /// Appends the binary form of each, big-endian.
    fn write(values: &[Self], out: &mut Vec<u8>);
    /// Appends what these bytes are the binary forms of. What is left over is left out.
    fn read(bytes: &[u8], out: &mut Vec<Self>);
}

impl Element for f32 {
    type Arrow = Float32Type;
    const NAME: &'static str = "vector";
    const BYTES: usize = 4;
    const ZERO: Self = 0.0;

    fn kind(dims: Option<u16>) -> PgType {
        PgType::Vector(dims)
    }

    fn near(value: f32) -> Self {
        value
    }

    fn real(self) -> f32 {
        self
    }

    fn is_infinite(self) -> bool {
        self.is_infinite()
    }

    fn write(values: &[Self], out: &mut Vec<u8>) {
        let begin = out.len();
        out.resize(begin + values.len() * Self::BYTES, 0);
        let (places, _) = out[begin..].as_chunks_mut();
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.to_be_bytes();
        }
    }

    fn read(bytes: &[u8], out: &mut Vec<Self>) {
        let (values, _) = bytes.as_chunks();
        out.extend(values.iter().map(|value| Self::from_be_bytes(*value)));
    }
}

impl Element for f16 {
    type Arrow = Float16Type;
    const NAME: &'static str = "halfvec";
    const BYTES: usize = 2;
    const ZERO: Self = Self::ZERO;

    fn kind(dims: Option<u16>) -> PgType {
        PgType::Halfvec(dims)
    }

    fn near(value: f32) -> Self {
        Self::from_f32(value)
    }

    /// Without a branch, so that loops over vectors are vectorised. A vector's elements are finite:
    /// shifting the bits into place makes 2^-112 of the value, also where it is subnormal.
    fn real(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let size = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
        f32::from_bits(size.to_bits() | ((bits & 0x8000) << 16))
    }

    fn is_infinite(self) -> bool {
        self.is_infinite()
    }

    fn write(values: &[Self], out: &mut Vec<u8>) {
        let begin = out.len();
        out.resize(begin + values.len() * Self::BYTES, 0);
        let (places, _) = out[begin..].as_chunks_mut();
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.to_be_bytes();
        }
    }

    fn read(bytes: &[u8], out: &mut Vec<Self>) {
        let (values, _) = bytes.as_chunks();
        out.extend(values.iter().map(|value| Self::from_be_bytes(*value)));
    }
}

/// Reads a vector's text and appends its elements; tells how many they are.
pub(super) fn parse<T: Element>(
    text: &str,
    expected: Option<u16>,
    out: &mut Vec<T>,
) -> Result<usize> {
    let bad = || syntax(T::NAME, text);
    let bytes = text.as_bytes();
    let start = out.len();
    let mut at = skip(bytes, 0);
    if bytes.get(at) != Some(&b'[') {
        return Err(bad().detail("Vector contents must start with \"[\"."));
    }
    at = skip(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Err(check_dims::<T>(0).expect_err("no dimensions are too few"));
    }
    loop {
        if out.len() - start == DIMS_MAX {
            return Err(check_dims::<T>(DIMS_MAX + 1).expect_err("too many"));
        }
        at = skip(bytes, at);
        let (value, length) = float::scan_f32(&bytes[at..]).ok_or_else(bad)?;
        let number = &text[at..at + length];
        let element = T::near(value);
        let is_word = number.contains(['n', 'N']);
        if !is_word && element.is_infinite() {
            return Err(float::beyond(number, T::NAME));
        }
        check_element(element)?;
        out.push(element);
        at = skip(bytes, at + length);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') => break,
            _ => return Err(bad()),
        }
    }
    if skip(bytes, at + 1) != bytes.len() {
        return Err(bad().detail("Junk after closing right brace."));
    }
    let dims = out.len() - start;
    check_expected(expected, dims)?;
    Ok(dims)
}

/// Reads a vector's binary form and appends its elements; tells how many they are.
pub(super) fn parse_binary<T: Element>(
    mut bytes: &[u8],
    expected: Option<u16>,
    out: &mut Vec<T>,
) -> Result<usize> {
    let dims = i16::from_be_bytes(take(&mut bytes)?);
    let unused = i16::from_be_bytes(take(&mut bytes)?);
    let dims = usize::try_from(dims).unwrap_or(0);
    check_dims::<T>(dims)?;
    check_expected(expected, dims)?;
    if unused != 0 {
        return Err(fault(format!("expected unused to be 0, not {unused}")));
    }
    let Some((values, rest)) = bytes.split_at_checked(dims * T::BYTES) else {
        return Err(too_short());
    };
    let begin = out.len();
    T::read(values, out);
    out[begin..].iter().try_for_each(|&value| check_element(value))?;
    if rest.is_empty() { Ok(dims) } else { Err(bad_binary()) }
}

/// Appends reals as elements; tells how many they are.
pub(super) fn from_reals<T: Element>(
    reals: &[f32],
    expected: Option<u16>,
    out: &mut Vec<T>,
) -> Result<usize> {
    check_dims::<T>(reals.len())?;
    check_expected(expected, reals.len())?;
    let begin = out.len();
    out.extend(reals.iter().map(|&real| T::near(real)));
    out[begin..].iter().try_for_each(|&value| check_element(value))?;
    Ok(reals.len())
}

/// Writes `[1,2,3]`.
pub(super) fn write<T: Element>(values: &[T], out: &mut Vec<u8>) {
    out.reserve(values.len() * 12 + 2);
    out.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        float::write_f32(value.real(), 1, out);
    }
    out.push(b']');
}

/// Writes the binary form.
pub(super) fn write_binary<T: Element>(values: &[T], out: &mut Vec<u8>) -> Result<()> {
    check_dims::<T>(values.len())?;
    let dims = i16::try_from(values.len()).map_err(|_| bad_binary())?;
    out.extend_from_slice(&dims.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    T::write(values, out);
    Ok(())
}

/// The element nearest to a real that was computed or comes from elsewhere.
///
/// # Errors
/// 22003 where it is too large, in pgvector's words.
pub fn narrow<T: Element>(value: f32) -> Result<T> {
    let element = T::near(value);
    if value.is_finite() && element.is_infinite() {
        let mut shown = Vec::new();
        float::write_f32(value, 1, &mut shown);
        return Err(float::beyond(&String::from_utf8_lossy(&shown), T::NAME));
    }
    Ok(element)
}

/// Refuses the elements that no distance can be told of.
///
/// # Errors
/// 22000, in pgvector's words.
pub fn check_element<T: Element>(value: T) -> Result<()> {
    if value.partial_cmp(&value).is_none() {
        Err(not_a_number(T::NAME))
    } else if value.is_infinite() {
        Err(infinite(T::NAME))
    } else {
        Ok(())
    }
}

/// 22000: NaN in a vector of a type.
pub(super) fn not_a_number(kind: &str) -> Error {
    fault(format!("NaN not allowed in {kind}"))
}

/// 22000: an infinity in a vector of a type.
pub(super) fn infinite(kind: &str) -> Error {
    fault(format!("infinite value not allowed in {kind}"))
}

/// Refuses a number of dimensions that no vector can have.
///
/// # Errors
/// 22000 where there are none, 54000 where there are more than [`DIMS_MAX`].
pub fn check_dims<T: Element>(dims: usize) -> Result<()> {
    match dims {
        0 => Err(fault(format!("{} must have at least 1 dimension", T::NAME))),
        1..=DIMS_MAX => Ok(()),
        _ => Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("{} cannot have more than {DIMS_MAX} dimensions", T::NAME),
        )),
    }
}

/// 22000: two vectors of a type that do not go together.
#[must_use]
pub fn different_dimensions(kind: &str, left: usize, right: usize) -> Error {
    fault(format!("different {kind} dimensions {left} and {right}"))
}

/// Refuses a vector whose dimensions are not those declared.
///
/// # Errors
/// 22000, in pgvector's words.
pub fn check_expected(expected: Option<u16>, dims: usize) -> Result<()> {
    match expected {
        Some(expected) if usize::from(expected) != dims => {
            Err(fault(format!("expected {expected} dimensions, not {dims}")))
        }
        _ => Ok(()),
    }
}

/// 22000, with a message.
pub(crate) fn fault(message: impl Into<String>) -> Error {
    Error::new(SqlState::DATA_EXCEPTION, message)
}

/// Past white space.
pub(super) fn skip(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&byte| is_space(byte)) {
        at += 1;
    }
    at
}
