//! The items that a path leads to, from one step to the next.

use super::{
    methods,
    numbers::{calculated, fault, number, signed, truncated},
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::jsonpath::{Arithmetic, Expr, Path, Step},
};
use serde_json::{Map, Number, Value};

/// A path on its way through a document.
#[derive(Clone, Copy)]
pub(super) struct Walk<'w> {
    path: &'w Path,
    root: &'w Value,
    variables: &'w Map<String, Value>,
    /// What `@` is.
    current: &'w Value,
    /// What `last` is.
    last: Option<usize>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(path: &'w Path, root: &'w Value, variables: &'w Map<String, Value>) -> Self {
        Self { path, root, variables, current: root, last: None }
    }

    /// What the whole path gives: items, or one that is true, false or null for unknown.
    pub(super) fn found(self) -> Result<Vec<Value>> {
        self.items(&self.path.expr)
    }

    pub(super) fn is_strict(self) -> bool {
        self.path.strict
    }

    fn at(self, current: &'w Value) -> Self {
        Self { current, ..self }
    }

    pub(super) fn items(self, expr: &Expr) -> Result<Vec<Value>> {
        Ok(match expr {
            Expr::Root => vec![self.root.clone()],
            Expr::Current => vec![self.current.clone()],
            Expr::Last => {
                let last = self.last.ok_or_else(|| Error::internal("last of no array"))?;
                vec![Value::from(last)]
            }
            Expr::Variable(name) => match self.variables.get(name) {
                Some(value) => vec![value.clone()],
                None => {
                    let what = format!("could not find jsonpath variable \"{name}\"");
                    return Err(Error::new(SqlState::UNDEFINED_OBJECT, what));
                }
            },
            Expr::Null => vec![Value::Null],
            Expr::Bool(value) => vec![Value::Bool(*value)],
            Expr::Number(digits) => vec![number(digits)?],
            Expr::Text(text) => vec![Value::String(text.clone())],
            Expr::Steps(base, steps) => {
                let mut items = self.items(base)?;
                // Behind `**` there are all kinds of items: those that do not fit are passed over.
                let mut lenient = !self.is_strict();
                for step in steps {
                    items = self.step(&items, step, lenient)?;
                    lenient |= matches!(step, Step::Descend(..));
                }
                items
            }
            Expr::Sign(sign, inner) => {
                let items = self.unwrapped(self.items(inner)?);
                items.into_iter().map(|item| signed(*sign, item)).collect::<Result<_>>()?
            }
            Expr::Arithmetic(op, left, right) => {
                let left = self.operand(left, *op, "left")?;
                vec![calculated(*op, &left, &self.operand(right, *op, "right")?)?]
            }
            predicate => vec![match self.holds(predicate)? {
                Some(value) => Value::Bool(value),
                None => Value::Null,
            }],
        })
    }

    /// In lax mode an array stands for its elements.
    pub(super) fn unwrapped(self, items: Vec<Value>) -> Vec<Value> {
        if self.is_strict() {
            return items;
        }
        items
            .into_iter()
            .flat_map(|item| match item {
                Value::Array(list) => list,
                other => vec![other],
            })
            .collect()
    }

    fn operand(self, expr: &Expr, op: Arithmetic, side: &str) -> Result<Number> {
        match self.unwrapped(self.items(expr)?).as_slice() {
            [Value::Number(number)] => Ok(number.clone()),
            _ => Err(fault(
                b"22038",
                format!(
                    "{side} operand of jsonpath operator {} is not a single numeric value",
                    op.symbol()
                ),
            )),
        }
    }

    fn step(self, items: &[Value], step: &Step, lenient: bool) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for item in items {
            match step {
                Step::Key(key) => self.key(item, key, lenient, &mut found)?,
                Step::AnyKey => self.any_key(item, lenient, &mut found)?,
                Step::AnyElement => match item {
                    Value::Array(list) => found.extend(list.iter().cloned()),
                    other if !self.is_strict() => found.push(other.clone()),
                    _ if lenient => {}
                    _ => {
                        let what =
                            "jsonpath wildcard array accessor can only be applied to an array";
                        return Err(fault(b"22039", what));
                    }
                },
                Step::Elements(elements) => self.elements(item, elements, lenient, &mut found)?,
                Step::Descend(from, to) => descend(item, 0, (*from, *to), &mut found),
                Step::Filter(condition) => {
                    let list = match item {
                        Value::Array(list) if !self.is_strict() => list.as_slice(),
                        other => std::slice::from_ref(other),
                    };
                    for item in list {
                        if self.at(item).holds(condition)? == Some(true) {
                            found.push(item.clone());
                        }
                    }
                }
                Step::Method(method) => {
                    let list = match item {
                        Value::Array(list) if !self.is_strict() && methods::unwraps(method) => {
                            list.as_slice()
                        }
                        other => std::slice::from_ref(other),
                    };
                    for item in list {
                        methods::apply(method, item, self.is_strict(), &mut found)?;
                    }
                }
            }
        }
        Ok(found)
    }

    fn key(self, item: &Value, key: &str, lenient: bool, found: &mut Vec<Value>) -> Result<()> {
        match item {
            Value::Object(map) => match map.get(key) {
                Some(value) => found.push(value.clone()),
                None if lenient => {}
                None => {
                    let what = format!("JSON object does not contain key \"{key}\"");
                    return Err(fault(b"2203A", what));
                }
            },
            Value::Array(list) if !self.is_strict() => {
                let objects = list.iter().filter_map(Value::as_object);
                found.extend(objects.filter_map(|map| map.get(key).cloned()));
            }
            _ if lenient => {}
            _ => {
                let what = "jsonpath member accessor can only be applied to an object";
                return Err(fault(b"2203A", what));
            }
        }
        Ok(())
    }

    fn any_key(self, item: &Value, lenient: bool, found: &mut Vec<Value>) -> Result<()> {
        match item {
            Value::Object(map) => found.extend(map.values().cloned()),
            Value::Array(list) if !self.is_strict() => {
                let objects = list.iter().filter_map(Value::as_object);
                found.extend(objects.flat_map(|map| map.values().cloned()));
            }
            _ if lenient => {}
            _ => {
                let what = "jsonpath wildcard member accessor can only be applied to an object";
                return Err(fault(b"2203C", what));
            }
        }
        Ok(())
    }

    fn elements(
        self,
        item: &Value,
        elements: &[(Expr, Option<Expr>)],
        lenient: bool,
        found: &mut Vec<Value>,
    ) -> Result<()> {
        let list = match item {
            Value::Array(list) => list.as_slice(),
            other if !self.is_strict() => std::slice::from_ref(other),
            _ if lenient => return Ok(()),
            _ => {
                let what = "jsonpath array accessor can only be applied to an array";
                return Err(fault(b"22039", what));
            }
        };
        let last = list.len().checked_sub(1);
        // Of an empty array `last` is before the first.
        let walk = Self { last: Some(last.unwrap_or(0)), ..self };
        for (from, to) in elements {
            let from = walk.place(from)?;
            let to = to.as_ref().map_or(Ok(from), |to| walk.place(to))?;
            let bound = i64::try_from(list.len()).unwrap_or(i64::MAX) - 1;
            if !lenient && (from < 0 || from > to || to > bound) {
                return Err(fault(b"22033", "jsonpath array subscript is out of bounds"));
            }
            for place in from.max(0)..=to.min(bound) {
                found.extend(usize::try_from(place).ok().and_then(|at| list.get(at)).cloned());
            }
        }
        Ok(())
    }

    /// A subscript.
    fn place(self, expr: &Expr) -> Result<i64> {
        let wrong = || fault(b"22033", "jsonpath array subscript is not a single numeric value");
        match self.items(expr)?.as_slice() {
            [Value::Number(number)] => {
                let place = number.as_i64().or_else(|| truncated(number.as_f64()?));
                place.filter(|place| i32::try_from(*place).is_ok()).ok_or_else(|| {
                    fault(b"22033", "jsonpath array subscript is out of integer range")
                })
            }
            _ => Err(wrong()),
        }
    }
}

fn descend(
    item: &Value,
    level: u32,
    (from, to): (Option<u32>, Option<u32>),
    found: &mut Vec<Value>,
) {
    let is_leaf = level > 0 && !item.is_object() && !item.is_array();
    // From `last` on: the values that hold no others.
    if from.map_or(is_leaf, |from| level >= from) && to.is_none_or(|to| level <= to) {
        found.push(item.clone());
    }
    if to.is_some_and(|to| level >= to) {
        return;
    }
    match item {
        Value::Object(map) => {
            map.values().for_each(|value| descend(value, level + 1, (from, to), found));
        }
        Value::Array(list) => {
            list.iter().for_each(|value| descend(value, level + 1, (from, to), found));
        }
        _ => {}
    }
}
