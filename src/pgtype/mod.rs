//! PostgreSQL's types: their oids and names, the Arrow type that carries each, and their text and
//! binary forms.
//!
//! A [`PgType`] travels with a column as metadata of its Arrow field ([`PgType::field`],
//! [`PgType::of_field`]); an expression that loses the metadata keeps the type that its Arrow type
//! alone tells ([`PgType::of_arrow`]), which is the same for all but json, uuid's kin and the like.

mod array;
pub mod bit;
mod bytea;
pub mod cast;
mod composite;
pub mod copy;
pub mod datestyle;
pub mod datetime;
pub mod enumeration;
mod faults;
mod float;
pub mod input;
mod integer;
pub mod interval;
pub mod json;
pub mod jsonpath;
pub(crate) mod name;
mod numeric;
pub mod output;
pub mod precision;
mod shape;
pub mod sparsevec;
pub mod string;
pub mod style;
pub mod vector;
mod written;

#[cfg(test)]
mod facts;
#[cfg(test)]
mod roundtrip;

pub use enumeration::Enum;
pub use faults::text_of_bytes;

use crate::vector::Space;
use interval::Qualifier;
use std::{fmt, sync::Arc};

/// The key of the field metadata that holds the type, as [`PgType::written`] gives it.
pub const TYPE_KEY: &str = "pg.type";

/// Precision and scale of a `numeric` without a type modifier.
pub const NUMERIC_ANY: (u8, i8) = (38, 16);

/// A type as SQL names it, with its modifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PgType {
    /// `boolean`.
    Bool,
    /// `bytea`.
    Bytea,
    /// `"char"`: one byte.
    Char,
    /// `name`: an identifier.
    Name,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`, or `numeric(precision, scale)`.
    Numeric(Option<(u8, i8)>),
    /// `text`.
    Text,
    /// `character varying`, with its limit in characters.
    Varchar(Option<u32>),
    /// `character`, with its length.
    Bpchar(Option<u32>),
    /// `date`.
    Date,
    /// `time without time zone`, with the digits of the second where declared.
    Time(Option<u8>),
    /// `time with time zone`, likewise.
    Timetz(Option<u8>),
    /// `timestamp without time zone`, likewise.
    Timestamp(Option<u8>),
    /// `timestamp with time zone`, likewise.
    Timestamptz(Option<u8>),
    /// `interval`, with its fields and digits where declared.
    Interval(Option<Qualifier>),
    /// `uuid`.
    Uuid,
    /// `json`, kept as it was written.
    Json,
    /// `jsonb`, normalised.
    Jsonb,
    /// `jsonpath`: a path into json.
    Jsonpath,
    /// `tsvector`: the lexemes of a text.
    Tsvector,
    /// `tsquery`: which lexemes are looked for.
    Tsquery,
    /// `oid`.
    Oid,
    /// `regclass`, `regtype` and kin: an oid that is written as a name.
    Reg(RegKind),
    /// `xid`.
    Xid,
    /// `void`: what a function returns that returns nothing.
    Void,
    /// `unknown`: a literal or a parameter whose type nothing tells.
    Unknown,
    /// `record`: a row of whatever fields.
    Record,
    /// `record`, with the names and types of its fields.
    Composite(Arc<[(String, PgType)]>),
    /// `vector`, with its dimensions where declared.
    Vector(Option<u16>),
    /// `halfvec`, with its dimensions where declared.
    Halfvec(Option<u16>),
    /// `sparsevec`, with its dimensions where declared.
    Sparsevec(Option<u32>),
    /// `bit`, with its length in bits.
    Bit(Option<u32>),
    /// `bit varying`, with its limit in bits.
    Varbit(Option<u32>),
    /// `int2vector`: an array of `smallint` that counts from 0.
    Int2vector,
    /// `oidvector`.
    Oidvector,
    /// What CREATE TYPE … AS ENUM made.
    Enum(Arc<Enum>),
    /// An array.
    Array(Box<PgType>),
}

/// What a `reg…` type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegKind {
    /// A relation.
    Class,
    /// A type.
    Type,
    /// A function.
    Proc,
    /// A schema.
    Namespace,
    /// An operator.
    Operator,
    /// A role.
    Role,
    /// A text search configuration.
    Config,
}

/// Oids of the vector types: stable, above PostgreSQL's own range's start for extensions.
pub const VECTOR_OID: u32 = 16385;
/// The oid of `vector[]`.
pub const VECTOR_ARRAY_OID: u32 = 16386;
/// The oid of `halfvec`.
pub const HALFVEC_OID: u32 = 16425;
/// The oid of `halfvec[]`.
pub const HALFVEC_ARRAY_OID: u32 = 16426;
/// The oid of `sparsevec`.
pub const SPARSEVEC_OID: u32 = 16427;
/// The oid of `sparsevec[]`.
pub const SPARSEVEC_ARRAY_OID: u32 = 16428;

/// Whether a type belongs to the extension `vector`.
#[must_use]
pub fn is_of_extension(oid: u32) -> bool {
    [VECTOR_OID, VECTOR_ARRAY_OID].contains(&oid)
        || (HALFVEC_OID..=SPARSEVEC_ARRAY_OID).contains(&oid)
}

/// One row of the table of types: name in `pg_type`, the SQL standard's name, oid, array oid.
struct Row<'t>(&'t str, &'t str, u32, u32);

impl PgType {
    /// Every type that is not an array, without modifiers.
    pub const SCALARS: [Self; 44] = [
        Self::Bool,
        Self::Bytea,
        Self::Char,
        Self::Name,
        Self::Int8,
        Self::Int2,
        Self::Int2vector,
        Self::Int4,
        Self::Reg(RegKind::Proc),
        Self::Text,
        Self::Oid,
        Self::Xid,
        Self::Oidvector,
        Self::Json,
        Self::Float4,
        Self::Float8,
        Self::Unknown,
        Self::Bpchar(None),
        Self::Varchar(None),
        Self::Date,
        Self::Time(None),
        Self::Timestamp(None),
        Self::Timestamptz(None),
        Self::Interval(None),
        Self::Timetz(None),
        Self::Bit(None),
        Self::Varbit(None),
        Self::Numeric(None),
        Self::Reg(RegKind::Class),
        Self::Reg(RegKind::Type),
        Self::Reg(RegKind::Operator),
        Self::Reg(RegKind::Namespace),
        Self::Reg(RegKind::Role),
        Self::Record,
        Self::Void,
        Self::Uuid,
        Self::Tsvector,
        Self::Tsquery,
        Self::Reg(RegKind::Config),
        Self::Jsonb,
        Self::Jsonpath,
        Self::Vector(None),
        Self::Halfvec(None),
        Self::Sparsevec(None),
    ];

    /// `type[]`.
    #[must_use]
    pub fn array(self) -> Self {
        Self::Array(Box::new(self))
    }

    fn row(&self) -> Row<'_> {
        match self {
            Self::Bool => Row("bool", "boolean", 16, 1000),
            Self::Bytea => Row("bytea", "bytea", 17, 1001),
            Self::Char => Row("char", "\"char\"", 18, 1002),
            Self::Name => Row("name", "name", 19, 1003),
            Self::Int8 => Row("int8", "bigint", 20, 1016),
            Self::Int2 => Row("int2", "smallint", 21, 1005),
            Self::Int2vector => Row("int2vector", "int2vector", 22, 1006),
            Self::Int4 => Row("int4", "integer", 23, 1007),
            Self::Reg(RegKind::Proc) => Row("regproc", "regproc", 24, 1008),
            Self::Text => Row("text", "text", 25, 1009),
            Self::Oid => Row("oid", "oid", 26, 1028),
            Self::Xid => Row("xid", "xid", 28, 1011),
            Self::Oidvector => Row("oidvector", "oidvector", 30, 1013),
            Self::Json => Row("json", "json", 114, 199),
            Self::Float4 => Row("float4", "real", 700, 1021),
            Self::Float8 => Row("float8", "double precision", 701, 1022),
            Self::Unknown => Row("unknown", "unknown", 705, 0),
            Self::Bpchar(_) => Row("bpchar", "character", 1042, 1014),
            Self::Varchar(_) => Row("varchar", "character varying", 1043, 1015),
            Self::Date => Row("date", "date", 1082, 1182),
            Self::Time(_) => Row("time", "time without time zone", 1083, 1183),
            Self::Timestamp(_) => Row("timestamp", "timestamp without time zone", 1114, 1115),
            Self::Timestamptz(_) => Row("timestamptz", "timestamp with time zone", 1184, 1185),
            Self::Interval(_) => Row("interval", "interval", 1186, 1187),
            Self::Timetz(_) => Row("timetz", "time with time zone", 1266, 1270),
            Self::Numeric(_) => Row("numeric", "numeric", 1700, 1231),
            Self::Reg(RegKind::Operator) => Row("regoperator", "regoperator", 2204, 2209),
            Self::Reg(RegKind::Class) => Row("regclass", "regclass", 2205, 2210),
            Self::Reg(RegKind::Type) => Row("regtype", "regtype", 2206, 2211),
            Self::Reg(RegKind::Namespace) => Row("regnamespace", "regnamespace", 4089, 4090),
            Self::Reg(RegKind::Role) => Row("regrole", "regrole", 4096, 4097),
            Self::Record | Self::Composite(_) => Row("record", "record", 2249, 2287),
            Self::Void => Row("void", "void", 2278, 0),
            Self::Uuid => Row("uuid", "uuid", 2950, 2951),
            Self::Tsvector => Row("tsvector", "tsvector", 3614, 3643),
            Self::Tsquery => Row("tsquery", "tsquery", 3615, 3645),
            Self::Reg(RegKind::Config) => Row("regconfig", "regconfig", 3734, 3735),
            Self::Jsonb => Row("jsonb", "jsonb", 3802, 3807),
            Self::Jsonpath => Row("jsonpath", "jsonpath", 4072, 4073),
            Self::Vector(_) => Row("vector", "vector", VECTOR_OID, VECTOR_ARRAY_OID),
            Self::Halfvec(_) => Row("halfvec", "halfvec", HALFVEC_OID, HALFVEC_ARRAY_OID),
            Self::Sparsevec(_) => Row("sparsevec", "sparsevec", SPARSEVEC_OID, SPARSEVEC_ARRAY_OID),
            Self::Bit(_) => Row("bit", "bit", 1560, 1561),
            Self::Varbit(_) => Row("varbit", "bit varying", 1562, 1563),
            Self::Enum(made) => Row(&made.name, &made.name, made.oid, made.array_oid),
            Self::Array(element) => {
                let Row(_, _, _, array) = element.row();
                Row("", "", array, 0)
            }
        }
    }

    /// The type's own oid.
    #[must_use]
    pub fn oid(&self) -> u32 {
        self.row().2
    }

    /// The SQL standard's name where it has one, without a modifier.
    #[must_use]
    pub fn standard_name(&self) -> &str {
        self.row().1
    }

    /// The oid of the array of this type; 0 where there is none.
    #[must_use]
    pub fn array_oid(&self) -> u32 {
        self.row().3
    }

    /// The modifier as the wire and `pg_attribute` have it; -1 where there is none.
    #[must_use]
    pub fn typmod(&self) -> i32 {
        let signed = |n: u32| i32::try_from(n).unwrap_or(-1);
        match self {
            Self::Numeric(Some((precision, scale))) => {
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
            }
            Self::Varchar(Some(n)) | Self::Bpchar(Some(n)) => signed(n + 4),
            Self::Vector(Some(dims)) | Self::Halfvec(Some(dims)) => i32::from(*dims),
            Self::Sparsevec(Some(n)) | Self::Bit(Some(n)) | Self::Varbit(Some(n)) => signed(*n),
            Self::Time(Some(digits))
            | Self::Timetz(Some(digits))
            | Self::Timestamp(Some(digits))
            | Self::Timestamptz(Some(digits)) => i32::from(*digits),
            Self::Interval(Some(qualifier)) => qualifier.typmod(),
            Self::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// `pg_type.typlen`: bytes of the binary form, -1 where they vary.
    #[must_use]
    pub fn typlen(&self) -> i16 {
        match self {
            Self::Bool | Self::Char => 1,
            Self::Int2 => 2,
            Self::Int4 | Self::Float4 | Self::Date | Self::Oid | Self::Reg(_) | Self::Xid => 4,
            Self::Void | Self::Enum(_) => 4,
            Self::Int8 | Self::Float8 => 8,
            Self::Time(_) | Self::Timestamp(_) | Self::Timestamptz(_) => 8,
            Self::Timetz(_) => 12,
            Self::Interval(_) | Self::Uuid => 16,
            Self::Name => 64,
            Self::Unknown => -2,
            _ => -1,
        }
    }

    /// The type of an oid and a modifier (-1: none), if it is one of those that are always there; the catalog
    /// knows the others.
    #[must_use]
    pub fn from_oid(oid: u32, typmod: i32) -> Option<Self> {
        let found = Self::SCALARS.iter().find_map(|scalar| {
            if scalar.oid() == oid {
                Some(scalar.clone())
            } else if oid != 0 && scalar.array_oid() == oid {
                Some(scalar.clone().array())
            } else {
                None
            }
        })?;
        Some(found.with_typmod(typmod))
    }

    /// This type under another modifier; those that take none stay as they are.
    #[must_use]
    pub fn with_typmod(self, typmod: i32) -> Self {
        let length = || u32::try_from(typmod - 4).ok().filter(|_| typmod >= 4);
        let bare = || u32::try_from(typmod).ok().filter(|&n| n > 0);
        let digits = || u8::try_from(typmod).ok().filter(|&n| n <= precision::DIGITS_MAX);
        match self {
            Self::Numeric(_) => Self::Numeric((typmod >= 4).then(|| {
                let packed = typmod - 4;
                // The scale is a signed number of eleven bits.
                let scale = ((packed & 0x7ff) ^ 1024) - 1024;
                (u8::try_from(packed >> 16).unwrap_or(38), i8::try_from(scale).unwrap_or(0))
            })),
            Self::Varchar(_) => Self::Varchar(length()),
            Self::Bpchar(_) => Self::Bpchar(length()),
            Self::Vector(_) => Self::Vector(u16::try_from(typmod).ok().filter(|&dims| dims > 0)),
            Self::Halfvec(_) => Self::Halfvec(u16::try_from(typmod).ok().filter(|&dims| dims > 0)),
            Self::Sparsevec(_) => Self::Sparsevec(bare()),
            Self::Bit(_) => Self::Bit(bare()),
            Self::Varbit(_) => Self::Varbit(bare()),
            Self::Time(_) => Self::Time(digits()),
            Self::Timetz(_) => Self::Timetz(digits()),
            Self::Timestamp(_) => Self::Timestamp(digits()),
            Self::Timestamptz(_) => Self::Timestamptz(digits()),
            Self::Interval(_) => Self::Interval(Qualifier::of_typmod(typmod)),
            Self::Array(element) => element.with_typmod(typmod).array(),
            other => other,
        }
    }

    /// Whether values are text: the types of PostgreSQL's string category.
    #[must_use]
    pub fn is_textual(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_) | Self::Bpchar(_) | Self::Name | Self::Unknown)
    }

    /// What an array holds; any other type as it is.
    #[must_use]
    pub fn element(&self) -> &Self {
        match self {
            Self::Array(element) => element,
            scalar => scalar,
        }
    }

    /// Whether a user made it, or what it is an array of.
    #[must_use]
    pub fn is_user_made(&self) -> bool {
        matches!(self.element(), Self::Enum(_))
    }

    /// The fields of a row, where they are known.
    #[must_use]
    pub fn fields(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Composite(fields) => Some(fields),
            _ => None,
        }
    }

    /// The kind of points that values are, if there are distances between them.
    #[must_use]
    pub fn space(&self) -> Option<Space> {
        match self {
            Self::Vector(_) => Some(Space::Vector),
            Self::Halfvec(_) => Some(Space::Halfvec),
            Self::Sparsevec(_) => Some(Space::Sparsevec),
            Self::Bit(_) => Some(Space::Bit),
            _ => None,
        }
    }

    /// The type of a kind of points, without a modifier.
    #[must_use]
    pub fn of_space(space: Space) -> Self {
        match space {
            Space::Vector => Self::Vector(None),
            Space::Halfvec => Self::Halfvec(None),
            Space::Sparsevec => Self::Sparsevec(None),
            Space::Bit => Self::Bit(None),
        }
    }

    /// What the modifier asks of a bit string.
    #[must_use]
    pub fn bit_length(&self) -> bit::Length {
        match self {
            Self::Bit(Some(length)) => bit::Length::Exact(*length),
            Self::Varbit(Some(most)) => bit::Length::Most(*most),
            _ => bit::Length::Any,
        }
    }

    /// What the modifier asks of an interval.
    #[must_use]
    pub fn qualifier(&self) -> Option<Qualifier> {
        match self {
            Self::Interval(qualifier) => *qualifier,
            _ => None,
        }
    }

    /// `pg_type.typcategory`.
    #[must_use]
    pub fn category(&self) -> char {
        match self {
            Self::Bool => 'B',
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Float4 | Self::Float8 => 'N',
            Self::Numeric(_) | Self::Oid | Self::Reg(_) => 'N',
            Self::Text | Self::Varchar(_) | Self::Bpchar(_) | Self::Name => 'S',
            Self::Date | Self::Time(_) | Self::Timetz(_) => 'D',
            Self::Timestamp(_) | Self::Timestamptz(_) => 'D',
            Self::Interval(_) => 'T',
            Self::Char => 'Z',
            Self::Unknown => 'X',
            Self::Record | Self::Composite(_) | Self::Void => 'P',
            Self::Array(_) | Self::Int2vector | Self::Oidvector => 'A',
            Self::Bit(_) | Self::Varbit(_) => 'V',
            Self::Bytea | Self::Uuid | Self::Json | Self::Jsonb | Self::Jsonpath | Self::Xid => 'U',
            Self::Tsvector | Self::Tsquery => 'U',
            Self::Vector(_) | Self::Halfvec(_) | Self::Sparsevec(_) => 'U',
            Self::Enum(_) => 'E',
        }
    }
}

/// The name as `format_type` writes it: `numeric(10,2)`, `character varying(20)[]`, `vector(3)`.
impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(element) => write!(f, "{element}[]"),
            Self::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Self::Varchar(Some(n)) => write!(f, "character varying({n})"),
            Self::Bpchar(Some(n)) => write!(f, "character({n})"),
            Self::Vector(Some(dims)) => write!(f, "vector({dims})"),
            Self::Halfvec(Some(dims)) => write!(f, "halfvec({dims})"),
            Self::Sparsevec(Some(dims)) => write!(f, "sparsevec({dims})"),
            Self::Bit(Some(length)) => write!(f, "bit({length})"),
            Self::Varbit(Some(most)) => write!(f, "bit varying({most})"),
            Self::Time(Some(digits)) => write!(f, "time({digits}) without time zone"),
            Self::Timetz(Some(digits)) => write!(f, "time({digits}) with time zone"),
            Self::Timestamp(Some(digits)) => write!(f, "timestamp({digits}) without time zone"),
            Self::Timestamptz(Some(digits)) => write!(f, "timestamp({digits}) with time zone"),
            Self::Interval(Some(qualifier)) => write!(f, "interval{qualifier}"),
            Self::Enum(made) => f.write_str(&name::quoted(&made.name)),
            scalar => f.write_str(scalar.row().1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_oids_and_fields_lead_back_to_the_type() {
        let with_modifiers = [
            PgType::Numeric(Some((10, 2))),
            PgType::Varchar(Some(20)),
            PgType::Bpchar(Some(3)),
            PgType::Vector(Some(384)),
            PgType::Halfvec(Some(384)),
            PgType::Sparsevec(Some(1_000_000_000)),
            PgType::Bit(Some(64)),
            PgType::Varbit(Some(1)),
            PgType::Bit(Some(5)).array(),
            PgType::Varchar(Some(7)).array(),
            PgType::Time(Some(0)),
            PgType::Timetz(Some(6)),
            PgType::Timestamp(Some(3)),
            PgType::Timestamptz(Some(3)).array(),
            PgType::parse("interval day to second(3)").unwrap(),
            PgType::parse("interval(6)").unwrap().array(),
            PgType::parse("interval year").unwrap(),
        ];
        for kind in PgType::SCALARS.iter().chain(&with_modifiers) {
            assert_eq!(PgType::from_oid(kind.oid(), kind.typmod()).as_ref(), Some(kind));
            assert_eq!(&PgType::parse(&kind.to_string()).unwrap(), kind, "{kind}");
            assert_eq!(&PgType::of_field(&kind.field("c", true)), kind);
        }
        assert_eq!(PgType::parse("timestamp with time zone[]").unwrap().oid(), 1185);
        assert_eq!(PgType::from_name("_text"), Some(PgType::Text.array()));
    }

    #[test]
    fn modifiers_are_checked_as_postgres_does() {
        let error = |name: &str| PgType::parse(name).unwrap_err().message().to_owned();
        assert_eq!(error("vector(0)"), "dimensions for type vector must be at least 1");
        assert_eq!(error("vector(16001)"), "dimensions for type vector cannot exceed 16000");
        assert_eq!(error("numeric(0)"), "NUMERIC precision 0 must be between 1 and 1000");
        assert_eq!(error("nonsense"), "type \"nonsense\" does not exist");
        assert_eq!(
            error("timestamptz(-1)"),
            "TIMESTAMP(-1) WITH TIME ZONE precision must not be negative"
        );
        assert_eq!(error("time(1,2)"), "invalid type modifier");
        assert_eq!(error("interval day(3)"), "syntax error at or near \"(\"");
        assert_eq!(PgType::parse("timestamp(9)").unwrap(), PgType::Timestamp(Some(6)));
    }
}
