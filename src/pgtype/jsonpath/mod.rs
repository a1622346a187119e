//! `jsonpath`: paths into json in SQL's own language. A path is read into a tree, and kept as the text
//! that PostgreSQL makes of it: keys in quotes, no more parentheses than needed.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;
mod write;

use crate::error::Result;

/// A path.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Whether a part that does not fit is an error.
    pub strict: bool,
    /// What it computes.
    pub expr: Expr,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// 42601 where it is none.
    pub fn parse(text: &str) -> Result<Self> {
        parser::parse(text)
    }
}

/// The text of a path as it is kept.
///
/// # Errors
/// Those of [`Path::parse`].
pub fn normalise(text: &str) -> Result<String> {
    Ok(Path::parse(text)?.to_string())
}

/// A part of a path: what gives items, and what is true or false of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `$`
    Root,
    /// `@`
    Current,
    /// `last`
    Last,
    /// `$name`
    Variable(String),
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// `"text"`
    Text(String),
    /// A value, and the steps from it.
    Steps(Box<Expr>, Vec<Step>),
    /// `-x`, `+x`
    Sign(Sign, Box<Expr>),
    /// `x + y`
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `x == y`
    Compare(Compare, Box<Expr>, Box<Expr>),
    /// `x && y`
    And(Box<Expr>, Box<Expr>),
    /// `x || y`
    Or(Box<Expr>, Box<Expr>),
    /// `!(x)`
    Not(Box<Expr>),
    /// `(x) is unknown`
    IsUnknown(Box<Expr>),
    /// `exists (x)`
    Exists(Box<Expr>),
    /// `x starts with y`
    StartsWith(Box<Expr>, Box<Expr>),
    /// `x like_regex "pattern" flag "i"`
    LikeRegex(Box<Expr>, String, String),
}

impl Expr {
    /// Whether it is true, false or unknown rather than items.
    #[must_use]
    pub fn is_predicate(&self) -> bool {
        matches!(
            self,
            Self::Compare(..)
                | Self::And(..)
                | Self::Or(..)
                | Self::Not(_)
                | Self::IsUnknown(_)
                | Self::Exists(_)
                | Self::StartsWith(..)
                | Self::LikeRegex(..)
        )
    }
}

/// A step from an item to others.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `.key`
    Key(String),
    /// `.*`
    AnyKey,
    /// `[*]`
    AnyElement,
    /// `[0, 2 to last]`
    Elements(Vec<(Expr, Option<Expr>)>),
    /// `.**{1 to last}`; `None` is the last level.
    Descend(Option<u32>, Option<u32>),
    /// `?(…)`
    Filter(Expr),
    /// `.size()`
    Method(Method),
}

/// What is computed of an item.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Method {
    Abs,
    Bigint,
    Boolean,
    Ceiling,
    Decimal(Option<(String, Option<String>)>),
    Double,
    Floor,
    Integer,
    Keyvalue,
    Number,
    Size,
    String,
    Type,
    /// `datetime`, `date`, `time`, `time_tz`, `timestamp` and `timestamp_tz`, with a template or a
    /// precision.
    Moment(&'static str, Option<Argument>),
}

impl Method {
    /// As it is written.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Bigint => "bigint",
            Self::Boolean => "boolean",
            Self::Ceiling => "ceiling",
            Self::Decimal(_) => "decimal",
            Self::Double => "double",
            Self::Floor => "floor",
            Self::Integer => "integer",
            Self::Keyvalue => "keyvalue",
            Self::Number => "number",
            Self::Size => "size",
            Self::String => "string",
            Self::Type => "type",
            Self::Moment(name, _) => name,
        }
    }
}

/// The argument of a method about moments.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A template.
    Text(String),
    /// A precision.
    Number(String),
}

/// An operator in front of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the operator of its name")]
pub enum Sign {
    Plus,
    Minus,
}

/// An operator between numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the operator of its name")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    /// As it is written.
    #[must_use]
    pub fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
            Self::Modulo => '%',
        }
    }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the operator of its name")]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    /// As it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}
