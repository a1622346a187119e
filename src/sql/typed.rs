//! An expression together with its PostgreSQL type, and the columns that a part of a query offers.

use crate::{
    ids::{ColumnId, TableId},
    pgtype::PgType,
};
use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{Expr, LogicalPlan},
};
use std::sync::Arc;

/// The type without its modifier; a numeric keeps its scale.
pub(crate) fn bare(kind: &PgType) -> PgType {
    match kind {
        PgType::Varchar(_) => PgType::Varchar(None),
        PgType::Bpchar(_) => PgType::Bpchar(None),
        PgType::Vector(_) => PgType::Vector(None),
        PgType::Halfvec(_) => PgType::Halfvec(None),
        PgType::Sparsevec(_) => PgType::Sparsevec(None),
        PgType::Bit(_) => PgType::Bit(None),
        PgType::Varbit(_) => PgType::Varbit(None),
        PgType::Numeric(_) => PgType::Numeric(None),
        PgType::Time(_) => PgType::Time(None),
        PgType::Timetz(_) => PgType::Timetz(None),
        PgType::Timestamp(_) => PgType::Timestamp(None),
        PgType::Timestamptz(_) => PgType::Timestamptz(None),
        PgType::Interval(_) => PgType::Interval(None),
        PgType::Array(element) => bare(element).array(),
        other => other.clone(),
    }
}

/// The type without its modifier, where values of both are carried alike.
pub(crate) fn unmodified(kind: &PgType) -> PgType {
    let plain = bare(kind);
    if plain.arrow() == kind.arrow() { plain } else { kind.clone() }
}

/// Whether two types are the same but for their modifiers.
pub(crate) fn same(a: &PgType, b: &PgType) -> bool {
    a.oid() == b.oid()
}

/// An expression and its type. [`PgType::Unknown`] is the type of a string without one, of NULL,
/// and of a parameter before something tells.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) kind: PgType,
    /// The character of the text at which it stands.
    pub(crate) position: Option<usize>,
    /// The text of a number that its type does not hold to the last digit.
    pub(crate) digits: Option<Arc<str>>,
}

impl Typed {
    pub(crate) fn new(expr: Expr, kind: PgType) -> Self {
        Self { expr, kind, position: None, digits: None }
    }

    pub(crate) fn literal(value: ScalarValue, kind: PgType) -> Self {
        Self::new(Expr::Literal(value, None), kind)
    }

    /// The text of a string without a type; `None` for NULL; nothing for anything else.
    pub(crate) fn untyped(&self) -> Option<Option<&str>> {
        match (&self.kind, &self.expr) {
            (PgType::Unknown, Expr::Literal(ScalarValue::Utf8(text), _)) => Some(text.as_deref()),
            _ => None,
        }
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.kind == PgType::Unknown
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.expr, Expr::Literal(value, _) if value.is_null())
    }
}

/// A plan and the columns that it offers.
pub(crate) type Offered = (LogicalPlan, Vec<ScopeColumn>);

/// A column that FROM offers.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// The alias of its table.
    pub(crate) table: Option<String>,
    /// The schema of its table, where the table was named without an alias.
    pub(crate) schema: Option<String>,
    /// The name it is found by.
    pub(crate) name: String,
    pub(crate) kind: PgType,
    /// What it is in the plan.
    pub(crate) expr: Expr,
    /// The table's column that it is.
    pub(crate) origin: Option<(TableId, ColumnId)>,
    /// `*` and the bare name pass it by: a column that USING merged, a system column.
    pub(crate) hidden: Hiding,
}

/// How a column hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hiding {
    Not,
    /// Merged by USING: found under its table's name alone.
    Merged,
    /// `ctid`, `xmin` …: found by name, not among `*`.
    System,
}

/// A part of a query that gives rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<RowsColumn>,
}

/// A column of [`Rows`].
#[derive(Debug, Clone)]
pub(crate) struct RowsColumn {
    /// The name that SQL sees; several columns may share one.
    pub(crate) name: String,
    pub(crate) kind: PgType,
    /// What the plan's schema calls it.
    pub(crate) column: Column,
    pub(crate) origin: Option<(TableId, ColumnId)>,
}

/// A name for a column of a plan, where every name is there once.
pub(crate) fn unique(taken: &mut std::collections::HashSet<String>, name: &str) -> String {
    if taken.insert(name.to_owned()) {
        return name.to_owned();
    }
    let mut number = 2;
    loop {
        let next = format!("{name}:{number}");
        if taken.insert(next.clone()) {
            return next;
        }
        number += 1;
    }
}
