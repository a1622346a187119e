//! Which postings a filter leaves out: tests of their summaries, made from the filter's conditions on
//! the columns of the index's INCLUDE.
//!
//! A test understands comparisons of a column with values, lists of values, IS NULL, and what AND and
//! OR make of them; what it does not understand may be true.

use super::{
    answers::Condition,
    summary::{Family, Mark, Told, marks},
};
use crate::ids::ColumnId;
use datafusion::{
    common::ScalarValue,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, CastExpr, Column, InListExpr, IsNullExpr, Literal, NotExpr},
    },
};
use std::{any::Any, sync::Arc};

/// The tests of a filter.
#[derive(Debug)]
pub(super) struct Prune {
    tests: Vec<Test>,
    columns: Vec<ColumnId>,
}

/// What may be true of a row of a chunk.
#[derive(Debug)]
enum Test {
    OneOf(ColumnId, Family, Vec<Mark>),
    Between(ColumnId, Family, u64, u64),
    Null(ColumnId),
    Any(Vec<Test>),
    All(Vec<Test>),
}

impl Prune {
    /// What conditions say of some columns; `None` where it is nothing.
    pub(super) fn of<'a>(
        conditions: impl Iterator<Item = &'a Arc<Condition>>,
        included: &[ColumnId],
    ) -> Option<Self> {
        let test = |condition: &Arc<Condition>| {
            let reader = Reader { columns: &condition.columns, included };
            reader.test(&condition.expr)
        };
        let tests: Vec<Test> = conditions.filter_map(test).collect();
        let mut columns = Vec::new();
        tests.iter().for_each(|test| test.add_columns(&mut columns));
        columns.sort_unstable();
        columns.dedup();
        (!tests.is_empty()).then_some(Self { tests, columns })
    }

    /// The columns that are tested.
    pub(super) fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    /// Whether a chunk of this summary may hold a row that matches.
    pub(super) fn may_hold(&self, summary: &[u8]) -> bool {
        self.tests.iter().all(|test| test.may_hold(summary))
    }
}

impl Test {
    fn may_hold(&self, summary: &[u8]) -> bool {
        let told = |column: ColumnId, may: &dyn Fn(Told<'_>) -> bool| {
            Told::of(summary, column).is_none_or(may)
        };
        match self {
            Self::OneOf(column, family, values) => {
                told(*column, &|told| values.iter().any(|&value| told.may_have(*family, value)))
            }
            Self::Between(column, family, low, high) => {
                told(*column, &|told| told.may_lie(*family, *low, *high))
            }
            Self::Null(column) => told(*column, &|told| told.has_nulls()),
            Self::Any(tests) => tests.iter().any(|test| test.may_hold(summary)),
            Self::All(tests) => tests.iter().all(|test| test.may_hold(summary)),
        }
    }

    fn add_columns(&self, columns: &mut Vec<ColumnId>) {
        match self {
            Self::OneOf(column, ..) | Self::Between(column, ..) | Self::Null(column) => {
                columns.push(*column);
            }
            Self::Any(tests) | Self::All(tests) => {
                tests.iter().for_each(|test| test.add_columns(columns));
            }
        }
    }
}

/// Reads a condition.
struct Reader<'a> {
    /// By their places.
    columns: &'a [ColumnId],
    included: &'a [ColumnId],
}

impl Reader<'_> {
    /// The test that a condition makes; `None` where it may be true of any row.
    fn test(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Test> {
        let part: &dyn Any = expr.as_ref();
        if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
            return self.binary(binary);
        }
        if let Some(list) = part.downcast_ref::<InListExpr>()
            && !list.negated()
        {
            let column = self.column(list.expr())?;
            let values: Option<Vec<_>> = list.list().iter().map(literal).collect();
            return one_of(column, &values?);
        }
        if let Some(null) = part.downcast_ref::<IsNullExpr>() {
            return Some(Test::Null(self.column(null.arg())?));
        }
        if let Some(not) = part.downcast_ref::<NotExpr>() {
            return one_of(self.column(not.arg())?, &[&ScalarValue::Boolean(Some(false))]);
        }
        one_of(self.column(expr)?, &[&ScalarValue::Boolean(Some(true))])
    }

    fn binary(&self, binary: &BinaryExpr) -> Option<Test> {
        let (left, op, right) = (binary.left(), *binary.op(), binary.right());
        match op {
            // Of two that must both hold one is enough to know.
            Operator::And => {
                let tests: Vec<Test> =
                    [left, right].into_iter().filter_map(|side| self.test(side)).collect();
                return (!tests.is_empty()).then_some(Test::All(tests));
            }
            Operator::Or => return Some(Test::Any(vec![self.test(left)?, self.test(right)?])),
            _ => {}
        }
        let (column, op, value) = match literal(right) {
            Some(value) => (self.column(left)?, op, value),
            None => (self.column(right)?, op.swap()?, literal(left)?),
        };
        let between = |low: u64, high: u64| {
            let family = Family::of(&value.data_type())?;
            Some(Test::Between(column, family, low, high))
        };
        match op {
            Operator::Eq => one_of(column, &[value]),
            // Of keys that are the same the values may differ, unless the key is all of them.
            Operator::Lt | Operator::LtEq => {
                let bound = mark(value)?;
                let is_below = op == Operator::Lt && bound.is_exact;
                between(0, bound.key.saturating_sub(u64::from(is_below)))
            }
            Operator::Gt | Operator::GtEq => {
                let bound = mark(value)?;
                let is_above = op == Operator::Gt && bound.is_exact;
                between(bound.key.saturating_add(u64::from(is_above)), u64::MAX)
            }
            _ => None,
        }
    }

    /// A column that is included, be it as a longer integer.
    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<ColumnId> {
        let part: &dyn Any = expr.as_ref();
        if let Some(cast) = part.downcast_ref::<CastExpr>() {
            let is_integer = Family::of(cast.cast_type()) == Some(Family::Integer);
            return is_integer.then(|| self.integer(cast.expr())).flatten();
        }
        let column = part.downcast_ref::<Column>()?;
        let id = *self.columns.get(column.index())?;
        self.included.contains(&id).then_some(id)
    }

    /// The column below a cast to an integer: it must be one too, which its summaries' family tells.
    fn integer(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<ColumnId> {
        (expr.as_ref() as &dyn Any).is::<Column>().then(|| self.column(expr)).flatten()
    }
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    (expr.as_ref() as &dyn Any).downcast_ref::<Literal>().map(Literal::value)
}

/// `None` for NULL, to which nothing compares, and for what summaries do not know.
fn mark(value: &ScalarValue) -> Option<Mark> {
    marks(&value.to_array().ok()?)?.into_iter().next().flatten()
}

fn one_of(column: ColumnId, values: &[&ScalarValue]) -> Option<Test> {
    let family = Family::of(&values.first()?.data_type())?;
    // In a list NULL is passed over: it makes no row match.
    let known = values.iter().filter(|value| !value.is_null());
    let marks: Option<Vec<Mark>> = known.map(|value| mark(value)).collect();
    let same = values.iter().all(|value| Family::of(&value.data_type()) == Some(family));
    same.then_some(Test::OneOf(column, family, marks?))
}
