//! The types of attributes, by the names that clients use, and the types of columns behind them.

use super::fault::{Answer, Fault};
use crate::{pgtype::PgType, vector::DIMS_MAX};
use std::fmt;

/// The dimensions of every sparse vector that a client declares.
const SPARSE_DIMS: u32 = crate::vector::SPARSE_DIMS_MAX;
/// Digits of the greatest unsigned number of 64 bits.
const UINT_DIGITS: u8 = 20;

/// A single value's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    String,
    Int,
    Uint,
    Float,
    Uuid,
    Datetime,
    Bool,
}

impl Scalar {
    const ALL: [Self; 7] =
        [Self::String, Self::Int, Self::Uint, Self::Float, Self::Uuid, Self::Datetime, Self::Bool];

    fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Float => "float",
            Self::Uuid => "uuid",
            Self::Datetime => "datetime",
            Self::Bool => "bool",
        }
    }

    fn column(self) -> PgType {
        match self {
            Self::String => PgType::Text,
            Self::Int => PgType::Int8,
            // The one type of SQL that has all of them.
            Self::Uint => PgType::Numeric(Some((UINT_DIGITS, 0))),
            Self::Float => PgType::Float8,
            Self::Uuid => PgType::Uuid,
            Self::Datetime => PgType::Timestamptz(None),
            Self::Bool => PgType::Bool,
        }
    }

    /// What a column of SQL holds, seen from here.
    fn of_column(kind: &PgType) -> Option<Self> {
        Some(match kind {
            PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_) | PgType::Name => Self::String,
            PgType::Int2 | PgType::Int4 | PgType::Int8 => Self::Int,
            PgType::Numeric(Some((UINT_DIGITS, 0))) => Self::Uint,
            PgType::Float4 | PgType::Float8 => Self::Float,
            PgType::Uuid => Self::Uuid,
            PgType::Timestamptz(_) | PgType::Timestamp(_) | PgType::Date => Self::Datetime,
            PgType::Bool => Self::Bool,
            _ => return None,
        })
    }

    /// Whether values have an order that `Lt` and kin know.
    pub(super) fn is_ordered(self) -> bool {
        self != Self::Bool
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Float)
    }
}

/// An attribute's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttributeType {
    /// One value.
    Scalar(Scalar),
    /// Values in a row.
    List(Scalar),
    /// A dense vector; a column of SQL may leave the dimensions open.
    Vector { dims: Option<u16>, half: bool },
    /// A vector that is mostly zeros.
    Sparse,
    /// A type of SQL that clients know no word for; its values are texts to them.
    Other,
}

impl AttributeType {
    /// The type of a name: `string`, `[]int`, `[384]f32`, `{}f16`.
    pub(super) fn parse(name: &str) -> Answer<Self> {
        let scalar = |name: &str| Scalar::ALL.into_iter().find(|scalar| scalar.name() == name);
        if let Some(scalar) = scalar(name) {
            return Ok(Self::Scalar(scalar));
        }
        if name == "{}f16" {
            return Ok(Self::Sparse);
        }
        if name.starts_with("[][") {
            return Err(Fault::unsupported(format!(
                "attributes of type {name} (late interaction) are not supported"
            )));
        }
        if let Some(scalar) = name.strip_prefix("[]").and_then(scalar) {
            return Ok(Self::List(scalar));
        }
        let dense = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        if let Some((dims, element @ ("f32" | "f16"))) = dense {
            let dims = dims.parse::<u16>().ok().filter(|&dims| usize::from(dims) <= DIMS_MAX);
            let dims = dims.filter(|&dims| dims > 0).ok_or_else(|| {
                Fault::invalid(format!(
                    "invalid attribute type \"{name}\": a vector has 1 to {DIMS_MAX} dimensions"
                ))
            })?;
            return Ok(Self::Vector { dims: Some(dims), half: element == "f16" });
        }
        Err(Fault::invalid(format!(
            "invalid attribute type \"{}\", expected one of string, int, uint, float, uuid, \
             datetime, bool, an array of these ([]string), [DIMS]f32, [DIMS]f16 or {{}}f16",
            super::names::shortened(name)
        )))
    }

    /// The type of the column behind it.
    pub(super) fn column(self) -> PgType {
        match self {
            Self::Scalar(scalar) => scalar.column(),
            Self::List(scalar) => scalar.column().array(),
            Self::Vector { dims, half: false } => PgType::Vector(dims),
            Self::Vector { dims, half: true } => PgType::Halfvec(dims),
            Self::Sparse => PgType::Sparsevec(Some(SPARSE_DIMS)),
            Self::Other => PgType::Text,
        }
    }

    /// What a column of SQL is to clients.
    pub(super) fn of_column(kind: &PgType) -> Self {
        match kind {
            PgType::Vector(dims) => Self::Vector { dims: *dims, half: false },
            PgType::Halfvec(dims) => Self::Vector { dims: *dims, half: true },
            PgType::Sparsevec(_) => Self::Sparse,
            PgType::Array(element) => Scalar::of_column(element).map_or(Self::Other, Self::List),
            scalar => Scalar::of_column(scalar).map_or(Self::Other, Self::Scalar),
        }
    }

    /// Whether it is a dense vector.
    pub(super) fn is_vector(self) -> bool {
        matches!(self, Self::Vector { .. })
    }

    /// Whether it is a vector of any kind.
    pub(super) fn is_point(self) -> bool {
        matches!(self, Self::Vector { .. } | Self::Sparse)
    }
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => f.write_str(scalar.name()),
            Self::List(scalar) => write!(f, "[]{}", scalar.name()),
            Self::Vector { dims, half } => {
                let element = if *half { "f16" } else { "f32" };
                match dims {
                    Some(dims) => write!(f, "[{dims}]{element}"),
                    None => write!(f, "[]{element}"),
                }
            }
            Self::Sparse => f.write_str("{}f16"),
            Self::Other => f.write_str("string"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_its_column_and_back() {
        let names = [
            "string",
            "int",
            "uint",
            "float",
            "uuid",
            "datetime",
            "bool",
            "[]string",
            "[]int",
            "[]uint",
            "[]float",
            "[]uuid",
            "[]datetime",
            "[]bool",
            "[3]f32",
            "[16000]f16",
            "{}f16",
        ];
        for name in names {
            let kind = AttributeType::parse(name).unwrap();
            assert_eq!(AttributeType::of_column(&kind.column()), kind);
            assert_eq!(kind.to_string(), name);
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for bad in ["", "text", "[0]f32", "[16001]f32", "[-1]f32", "[3]f64", "[]", "[x]f16"] {
            let fault = AttributeType::parse(bad).unwrap_err();
            assert!(fault.message.contains("invalid attribute type"), "{bad}: {fault}");
        }
    }
}
