//! Types by their names: how SQL writes them, with what in parentheses.

use super::{
    PgType, bit,
    interval::{Fields, Qualifier},
    precision::kept,
};
use crate::error::{Error, Result, SqlState};
use std::borrow::Cow;

impl PgType {
    /// The name in `pg_type`: `int4`, `_int4`.
    #[must_use]
    pub fn typname(&self) -> String {
        match self {
            Self::Array(element) => format!("_{}", element.row().0),
            scalar => scalar.row().0.to_owned(),
        }
    }

    /// The type of a name without a modifier, in any of PostgreSQL's spellings (`int`, `int4`,
    /// `integer`, `_int4`, `int4[]`, `double precision`); `None` where there is none such.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        if let Some(element) = name.strip_suffix("[]") {
            return Self::from_name(element).map(|element| match element {
                // However many brackets: PostgreSQL does not tell arrays of arrays from arrays.
                array @ Self::Array(_) => array,
                scalar => scalar.array(),
            });
        }
        let lower = name.to_ascii_lowercase();
        if let Some(element) = lower.strip_prefix('_')
            && let Some(scalar) = Self::SCALARS.iter().find(|s| s.row().0 == element)
        {
            return Some(scalar.clone().array());
        }
        let canonical = match lower.as_str() {
            "int" | "serial" | "serial4" => "int4",
            "bigserial" | "serial8" => "int8",
            "smallserial" | "serial2" => "int2",
            "float" => "float8",
            "decimal" | "dec" => "numeric",
            "char varying" => "varchar",
            // A bare `char` is `character(1)`; only the quoted one is the one-byte type.
            "char" | "character" | "bpchar" => return Some(Self::Bpchar(None)),
            "\"char\"" => return Some(Self::Char),
            other => other,
        };
        if let Some(fields) = canonical.strip_prefix("interval ") {
            let fields = Fields::named(fields.trim_start())?;
            return Some(Self::Interval(Some(Qualifier { fields: Some(fields), precision: None })));
        }
        Self::SCALARS
            .iter()
            .find(|scalar| scalar.row().0 == canonical || scalar.row().1 == canonical)
            .cloned()
    }

    /// Reads what [`PgType::to_string`] wrote, and any spelling with a modifier that PostgreSQL
    /// takes: `numeric(10,2)`, `varchar(20)[]`, `vector(384)`.
    ///
    /// # Errors
    /// 42704 when there is no such type, 22023 when the modifier does not fit it.
    pub fn parse(name: &str) -> Result<Self> {
        let unknown =
            || Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"));
        let text = name.trim();
        if let Some(element) = text.strip_suffix("[]") {
            let element = Self::parse(element)?;
            return Ok(if let Self::Array(_) = element { element } else { element.array() });
        }
        let Some((base, rest)) = text.split_once('(') else {
            return Self::from_name(text).ok_or_else(unknown);
        };
        let (arguments, tail) = rest.split_once(')').ok_or_else(unknown)?;
        let base = Self::from_name(&format!("{}{tail}", base.trim_end())).ok_or_else(unknown)?;
        let arguments = arguments.split(',').map(modifier).collect::<Result<Vec<_>>>()?;
        base.with_modifiers(&arguments)
    }

    /// This type with the modifiers written in parentheses behind its name.
    ///
    /// # Errors
    /// 22023 when a modifier is out of bounds, 42601 when the type takes none.
    pub fn with_modifiers(self, modifiers: &[i64]) -> Result<Self> {
        let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
        match (self, modifiers) {
            (kind, []) => Ok(kind),
            (Self::Numeric(_), &[precision]) => Self::Numeric(None).with_modifiers(&[precision, 0]),
            (Self::Numeric(_), &[precision, scale]) => {
                if !(1..=1000).contains(&precision) {
                    return Err(invalid(format!(
                        "NUMERIC precision {precision} must be between 1 and 1000"
                    )));
                }
                match (u8::try_from(precision), i8::try_from(scale)) {
                    (Ok(p), Ok(s)) if p <= 38 && s >= 0 && s.unsigned_abs() <= p => {
                        Ok(Self::Numeric(Some((p, s))))
                    }
                    _ => Err(Error::unsupported(format!(
                        "numeric({precision},{scale}) is not supported"
                    ))
                    .hint(
                        "Use a precision of at most 38 and a scale between 0 and the precision.",
                    )),
                }
            }
            (kind @ (Self::Varchar(_) | Self::Bpchar(_)), &[length]) => {
                let name = kind.typname();
                if length < 1 {
                    return Err(invalid(format!("length for type {name} must be at least 1")));
                }
                let length = u32::try_from(length).ok().filter(|&n| n <= 10_485_760);
                let length = length.ok_or_else(|| {
                    invalid(format!("length for type {name} cannot exceed 10485760"))
                })?;
                Ok(match kind {
                    Self::Varchar(_) => Self::Varchar(Some(length)),
                    _ => Self::Bpchar(Some(length)),
                })
            }
            (kind @ (Self::Vector(_) | Self::Halfvec(_)), &[dims]) => {
                if dims < 1 {
                    return Err(invalid(format!("dimensions for type {kind} must be at least 1")));
                }
                let dims = u16::try_from(dims)
                    .ok()
                    .filter(|&dims| usize::from(dims) <= crate::vector::DIMS_MAX)
                    .ok_or_else(|| {
                        let name = kind.typname();
                        invalid(format!("dimensions for type {name} cannot exceed 16000"))
                    })?;
                Ok(match kind {
                    Self::Vector(_) => Self::Vector(Some(dims)),
                    _ => Self::Halfvec(Some(dims)),
                })
            }
            (Self::Sparsevec(_), &[dims]) => Self::sparsevec(dims),
            (kind @ (Self::Bit(_) | Self::Varbit(_)), &[length]) => {
                let name = kind.typname();
                if length < 1 {
                    return Err(invalid(format!("length for type {name} must be at least 1")));
                }
                let length = u32::try_from(length).ok().filter(|&n| n <= bit::LENGTH_MAX);
                let length = length.ok_or_else(|| {
                    invalid(format!("length for type {name} cannot exceed {}", bit::LENGTH_MAX))
                })?;
                Ok(match kind {
                    Self::Bit(_) => Self::Bit(Some(length)),
                    _ => Self::Varbit(Some(length)),
                })
            }
            (kind @ Self::Time(_), &[digits]) => Ok(Self::Time(Some(kept(&kind, digits)?))),
            (kind @ Self::Timetz(_), &[digits]) => Ok(Self::Timetz(Some(kept(&kind, digits)?))),
            (kind @ Self::Timestamp(_), &[digits]) => {
                Ok(Self::Timestamp(Some(kept(&kind, digits)?)))
            }
            (kind @ Self::Timestamptz(_), &[digits]) => {
                Ok(Self::Timestamptz(Some(kept(&kind, digits)?)))
            }
            (kind @ Self::Interval(_), &[digits]) => {
                let fields = kind.qualifier().and_then(|qualifier| qualifier.fields);
                if fields.is_some_and(|fields| !fields.has_second()) {
                    let message = "syntax error at or near \"(\"";
                    return Err(Error::new(SqlState::SYNTAX_ERROR, message));
                }
                let precision = Some(kept(&kind, digits)?);
                Ok(Self::Interval(Some(Qualifier { fields, precision })))
            }
            (
                Self::Vector(_)
                | Self::Halfvec(_)
                | Self::Sparsevec(_)
                | Self::Bit(_)
                | Self::Varbit(_)
                | Self::Time(_)
                | Self::Timetz(_)
                | Self::Timestamp(_)
                | Self::Timestamptz(_),
                _,
            ) => Err(invalid("invalid type modifier".to_owned())),
            (Self::Float8, &[digits]) => match digits {
                1..=24 => Ok(Self::Float4),
                25..=53 => Ok(Self::Float8),
                ..1 => Err(invalid("precision for type float must be at least 1 bit".into())),
                _ => Err(invalid("precision for type float must be less than 54 bits".into())),
            },
            (Self::Array(element), modifiers) => Ok(element.with_modifiers(modifiers)?.array()),
            (kind, _) => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("type modifier is not allowed for type \"{kind}\""),
            )),
        }
    }
}

/// The name of a type that a user made, as messages show it.
pub(super) fn quoted(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.into();
    }
    format!("\"{}\"", name.replace('"', "\"\"")).into()
}

/// A modifier as it is written behind a type's name.
///
/// # Errors
/// 22P02 where it is no integer.
pub(crate) fn modifier(text: &str) -> Result<i64> {
    let text = text.trim();
    let bare = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
    bare.parse().map_err(|_| {
        let message = format!("invalid input syntax for type integer: \"{bare}\"");
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    })
}
