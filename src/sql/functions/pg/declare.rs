//! How a function about the catalog is declared: a name, the kinds of its arguments, the type of
//! its result, and a body that answers one row at a time.
//!
//! What clients pass is coerced to the declared kinds: an oid may come as any integer, as a
//! `regclass` or as the text of a name.

use super::call::{Call, Value};
use crate::{
    error::Result,
    pgtype::{PgType, RegKind},
};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::logical_expr::Volatility;
use std::sync::Arc;

/// What an argument is, or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int4,
    Int8,
    Float8,
    Text,
    Name,
    /// The oid of a thing; as an argument also its name.
    Object(RegKind),
    /// An oid of no kind in particular.
    Oid,
    Xid,
    Timestamptz,
    Void,
    /// `text[]`
    Texts,
    /// `name[]`
    Names,
    /// `int4[]`
    Int4s,
    /// `oidvector`
    Oids,
    /// Whatever is passed.
    Any,
}

impl Kind {
    /// The type of a result.
    pub(super) fn result(self) -> PgType {
        match self {
            Self::Bool => PgType::Bool,
            Self::Int4 => PgType::Int4,
            Self::Int8 => PgType::Int8,
            Self::Float8 => PgType::Float8,
            Self::Text | Self::Any => PgType::Text,
            Self::Name => PgType::Name,
            Self::Object(kind) => PgType::Reg(kind),
            Self::Oid => PgType::Oid,
            Self::Xid => PgType::Xid,
            Self::Timestamptz => PgType::Timestamptz(None),
            Self::Void => PgType::Void,
            Self::Texts => PgType::Text.array(),
            Self::Names => PgType::Name.array(),
            Self::Int4s => PgType::Int4.array(),
            Self::Oids => PgType::Oidvector,
        }
    }

    /// The type that an argument without a type of its own is taken for.
    pub(super) fn parameter(self) -> PgType {
        match self {
            Self::Any => PgType::Unknown,
            kind => kind.result(),
        }
    }

    /// The Arrow type that an argument of some type is made; `None` where it does not fit.
    pub(super) fn coerced(self, given: &DataType) -> Option<DataType> {
        use DataType as D;
        let is_text = matches!(given, D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Null);
        let is_list =
            matches!(given, D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::Null);
        match self {
            Self::Any => Some(given.clone()),
            Self::Object(_) if is_text => Some(D::Utf8),
            Self::Object(_) | Self::Oid | Self::Xid => {
                (is_text || given.is_integer()).then_some(D::UInt32)
            }
            Self::Text | Self::Name => (!given.is_nested()).then_some(D::Utf8),
            Self::Bool => (is_text || *given == D::Boolean).then_some(D::Boolean),
            Self::Int4 => (is_text || given.is_integer()).then_some(D::Int32),
            Self::Int8 => (is_text || given.is_numeric()).then_some(D::Int64),
            Self::Float8 => (is_text || given.is_numeric()).then_some(D::Float64),
            Self::Texts | Self::Names | Self::Int4s | Self::Oids if is_list => {
                Some(self.result().arrow())
            }
            _ => None,
        }
    }
}

/// What answers one row.
pub(super) type Body = fn(&Call<'_>) -> Result<Value<'static>>;
/// What answers one row with several.
pub(super) type SetBody = fn(&Call<'_>) -> Result<Vec<Vec<Value<'static>>>>;

/// A function as it is declared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) name: &'static str,
    parameters: &'static [Kind],
    /// How many of the first parameters may be left out (`has_table_privilege([role,] …)`).
    optional_first: usize,
    /// How many of the last parameters may be left out.
    optional_last: usize,
    pub(super) volatility: Volatility,
    pub(super) is_strict: bool,
    pub(super) answer: Answer,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    One(Kind, Body),
    /// Of a type's oid and its modifier.
    OfType(fn(&PgType) -> Option<i64>),
    Set(&'static [(&'static str, Kind)], SetBody),
}

impl Function {
    /// A function that depends on the catalog and the session: stable, NULL where an argument is.
    pub(super) const fn new(
        name: &'static str,
        parameters: &'static [Kind],
        result: Kind,
        body: Body,
    ) -> Self {
        Self {
            name,
            parameters,
            optional_first: 0,
            optional_last: 0,
            volatility: Volatility::Stable,
            is_strict: true,
            answer: Answer::One(result, body),
        }
    }

    /// A function that answers rows of these columns. In a plan it is a list of structs, for an
    /// unnest to take apart.
    pub(super) const fn set(
        name: &'static str,
        parameters: &'static [Kind],
        columns: &'static [(&'static str, Kind)],
        body: SetBody,
    ) -> Self {
        let answer = Answer::Set(columns, body);
        let function = Self::new(name, parameters, Kind::Void, |_| Ok(Value::Null));
        Self { answer, ..function }
    }

    /// A number that a type and its modifier tell.
    pub(super) const fn of_type(name: &'static str, body: fn(&PgType) -> Option<i64>) -> Self {
        let function = Self::new(name, &[Kind::Oid, Kind::Int4], Kind::Int4, |_| Ok(Value::Null));
        Self { answer: Answer::OfType(body), volatility: Volatility::Immutable, ..function }
    }

    pub(super) const fn optional_first(self, optional_first: usize) -> Self {
        Self { optional_first, ..self }
    }

    pub(super) const fn optional_last(self, optional_last: usize) -> Self {
        Self { optional_last, ..self }
    }

    /// It has an effect, or another answer each time.
    pub(super) const fn volatile(self) -> Self {
        Self { volatility: Volatility::Volatile, ..self }
    }

    /// It depends on its arguments alone.
    pub(super) const fn immutable(self) -> Self {
        Self { volatility: Volatility::Immutable, ..self }
    }

    /// It looks at NULLs itself.
    pub(super) const fn nullable(self) -> Self {
        Self { is_strict: false, ..self }
    }

    /// The parameters that stand for a number of arguments; `None` where it does not fit.
    pub(super) fn parameters(&self, count: usize) -> Option<Vec<Kind>> {
        let most = self.parameters.len();
        let missing = most.checked_sub(count)?;
        let first = missing.min(self.optional_first);
        let last = missing - first;
        (last <= self.optional_last).then(|| self.parameters[first..most - last].to_vec())
    }

    /// The result, as a field that knows its type.
    pub(super) fn field(&self) -> Field {
        match self.answer {
            Answer::One(kind, _) => kind.result().field(self.name, true),
            Answer::OfType(_) => PgType::Int4.field(self.name, true),
            Answer::Set(columns, _) => {
                let item = Field::new("item", DataType::Struct(struct_fields(columns)), true);
                Field::new(self.name, DataType::List(Arc::new(item)), true)
            }
        }
    }
}

pub(super) fn struct_fields(columns: &[(&str, Kind)]) -> Fields {
    columns.iter().map(|(name, kind)| kind.result().field(name, true)).collect()
}
