//! Vectors on their way in: arrays of numbers, base64, and maps from dimension to weight.

use super::{
    fault::{Answer, Fault},
    json::unexpected,
    names::shortened,
};
use crate::vector::SPARSE_DIMS_MAX;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::fmt::Write as _;

/// The most elements of a sparse vector that are not zero.
const SPARSE_ELEMENTS_MAX: usize = 1024;

/// The numbers of one dense vector after the other, in the same memory.
#[derive(Debug, Default)]
pub(super) struct Floats {
    pub(super) values: Vec<f32>,
    bytes: Vec<u8>,
}

impl Floats {
    /// Reads an array, or base64 of little-endian single precision.
    pub(super) fn read(&mut self, value: &Value) -> Answer<()> {
        self.values.clear();
        match value {
            Value::Array(values) => {
                for value in values {
                    let number = value.as_f64().ok_or_else(|| unexpected(value, "a number"))?;
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "vectors are single precision"
                    )]
                    self.values.push(number as f32);
                }
                Ok(())
            }
            Value::String(text) => self.decode(text),
            other => Err(unexpected(other, "a vector: an array of numbers, or base64")),
        }
    }

    fn decode(&mut self, text: &str) -> Answer<()> {
        self.bytes.clear();
        STANDARD
            .decode_vec(text, &mut self.bytes)
            .map_err(|error| Fault::invalid(format!("invalid base64 of a vector: {error}")))?;
        let (floats, rest) = self.bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Fault::invalid(format!(
                "invalid base64 of a vector: {} bytes are not whole numbers of 4 bytes",
                self.bytes.len()
            )));
        }
        self.values.extend(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    }
}

/// The numbers of a dense vector: an array, or base64 of little-endian single precision.
pub(super) fn floats(value: &Value) -> Answer<Vec<f32>> {
    let mut floats = Floats::default();
    floats.read(value)?;
    Ok(floats.values)
}

/// Refuses a dense vector of other dimensions, and numbers that no distance can be told of.
pub(super) fn check_vector(floats: &[f32], dims: Option<u16>) -> Answer<()> {
    if let Some(dims) = dims
        && floats.len() != usize::from(dims)
    {
        return Err(Fault::invalid(format!(
            "invalid vector: expected {dims} dimensions, got {}",
            floats.len()
        )));
    }
    if !floats.iter().all(|float| float.is_finite()) {
        return Err(Fault::invalid("invalid vector: its numbers must be finite"));
    }
    Ok(())
}

/// A sparse vector as pgvector writes it, which counts dimensions from 1.
pub(super) fn sparse(value: &Value, out: &mut String) -> Answer<()> {
    let Value::Object(elements) = value else {
        return Err(unexpected(value, "a sparse vector: a map from dimension to weight"));
    };
    if elements.len() > SPARSE_ELEMENTS_MAX {
        return Err(Fault::invalid(format!(
            "invalid sparse vector: {} elements, more than {SPARSE_ELEMENTS_MAX}",
            elements.len()
        )));
    }
    let mut ordered = Vec::with_capacity(elements.len());
    for (dimension, weight) in elements {
        let place = dimension.parse::<u32>().ok().filter(|&at| at < SPARSE_DIMS_MAX);
        let place = place.ok_or_else(|| {
            Fault::invalid(format!(
                "invalid sparse vector: \"{}\" is no dimension below {}",
                shortened(dimension),
                SPARSE_DIMS_MAX
            ))
        })?;
        let weight = weight.as_f64().ok_or_else(|| unexpected(weight, "a number"))?;
        if weight != 0.0 {
            ordered.push((place, weight));
        }
    }
    ordered.sort_unstable_by_key(|&(place, _)| place);
    if ordered.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Fault::invalid("invalid sparse vector: a dimension is there twice"));
    }
    out.push('{');
    for (at, (place, weight)) in ordered.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}:{weight:?}", place + 1);
    }
    let _ = write!(out, "}}/{}", SPARSE_DIMS_MAX);
    Ok(())
}
