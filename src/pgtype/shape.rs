//! Types and Arrow: in which array a type's values lie.

use super::{NUMERIC_ANY, PgType, TYPE_KEY};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use std::sync::Arc;

impl PgType {
    /// The Arrow type that carries values of this type.
    #[must_use]
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Bytea => DataType::Binary,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric(modifier) => {
                let (precision, scale) = modifier.unwrap_or(NUMERIC_ANY);
                DataType::Decimal128(precision, scale)
            }
            Self::Char | Self::Name | Self::Text | Self::Varchar(_) | Self::Bpchar(_) => {
                DataType::Utf8
            }
            Self::Json | Self::Jsonb | Self::Jsonpath => DataType::Utf8,
            Self::Tsvector | Self::Tsquery => DataType::Utf8,
            Self::Unknown | Self::Record => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Oid | Self::Reg(_) | Self::Xid => DataType::UInt32,
            // The places of labels.
            Self::Enum(_) => DataType::Int64,
            Self::Void => DataType::Null,
            Self::Vector(Some(dims)) => {
                DataType::new_fixed_size_list(DataType::Float32, i32::from(*dims), true)
            }
            Self::Vector(None) => DataType::List(Arc::new(vector_element(DataType::Float32))),
            Self::Halfvec(Some(dims)) => {
                DataType::new_fixed_size_list(DataType::Float16, i32::from(*dims), true)
            }
            Self::Halfvec(None) => DataType::List(Arc::new(vector_element(DataType::Float16))),
            // Bytes that sort as their values do.
            Self::Sparsevec(_) | Self::Bit(_) | Self::Varbit(_) | Self::Timetz(_) => {
                DataType::Binary
            }
            Self::Int2vector => list(&Self::Int2),
            Self::Oidvector => list(&Self::Oid),
            Self::Array(element) => list(element),
            Self::Composite(fields) => {
                DataType::Struct(fields.iter().map(|(name, kind)| kind.field(name, true)).collect())
            }
        }
    }

    /// An Arrow field of this type, which remembers the type.
    #[must_use]
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        Field::new(name, self.arrow(), nullable)
            .with_metadata([(TYPE_KEY.to_owned(), self.written())].into())
    }

    /// The type of a field: what its metadata says where that agrees with its Arrow type, else
    /// what the Arrow type tells.
    #[must_use]
    pub fn of_field(field: &Field) -> Self {
        let named = field.metadata().get(TYPE_KEY).and_then(|text| Self::read(text).ok());
        match named {
            Some(named) if named.arrow() == *field.data_type() => named,
            _ => Self::of_arrow(field.data_type()),
        }
    }

    /// The type that an Arrow type alone tells.
    #[must_use]
    pub fn of_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Text,
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt64 => Self::Int8,
            DataType::UInt32 => Self::Oid,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => {
                Self::Numeric(((*p, *s) != NUMERIC_ANY).then_some((*p, *s)))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time(None),
            DataType::Timestamp(_, None) => Self::Timestamp(None),
            DataType::Timestamp(_, Some(_)) => Self::Timestamptz(None),
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval(None),
            DataType::FixedSizeList(element, dims) if *element.data_type() == DataType::Float32 => {
                Self::Vector(u16::try_from(*dims).ok())
            }
            DataType::FixedSizeList(element, dims) if *element.data_type() == DataType::Float16 => {
                Self::Halfvec(u16::try_from(*dims).ok())
            }
            DataType::List(element) if !element.is_nullable() => match element.data_type() {
                DataType::Float32 => Self::Vector(None),
                DataType::Float16 => Self::Halfvec(None),
                _ => Self::of_field(element).array(),
            },
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::FixedSizeList(element, _) => match Self::of_field(element) {
                array @ Self::Array(_) => array,
                scalar => scalar.array(),
            },
            DataType::Dictionary(_, value) => Self::of_arrow(value),
            DataType::Struct(fields) => Self::Composite(
                fields.iter().map(|field| (field.name().clone(), Self::of_field(field))).collect(),
            ),
            _ => Self::Text,
        }
    }
}

/// The element of a vector without declared dimensions: never null, which tells it from `real[]`.
pub(super) fn vector_element(kind: DataType) -> Field {
    Field::new("element", kind, false)
}

/// The element carries no metadata: Arrow compares it as part of the type, and DataFusion makes
/// lists without any. The array's own field names the element's type.
pub(super) fn list(element: &PgType) -> DataType {
    DataType::new_list(element.arrow(), true)
}
