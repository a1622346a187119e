//! What PostgreSQL 18 and pgvector report about types, functions and operators, limited to those
//! that there are here: the rows of `facts/*.tsv`.
//!
//! A file names its columns in the first line, in the second those that are the same in every row
//! (`name=value`, or `name=@other` where it is that of another column); fields are as COPY writes
//! them, `\N` for NULL. Objects of the extension lie in
//! schema 2200 there and in that of the extension here.

use super::{
    SystemRelation, View,
    rows::{Rows, Value, broken},
};
use crate::{catalog::PUBLIC, error::Result, ids::Oid, pgtype::PgType};
use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, UInt32Array},
    datatypes::{DataType, UInt32Type},
};
use std::{collections::HashMap, sync::Arc};

/// The rows of a file of facts.
#[derive(Debug)]
pub(super) struct Facts {
    columns: HashMap<&'static str, usize>,
    same: HashMap<&'static str, &'static str>,
    rows: Vec<Vec<&'static str>>,
}

/// A row of facts: its fields by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact<'f> {
    facts: &'f Facts,
    row: &'f [&'static str],
}

impl Facts {
    /// Reads a file.
    pub(super) fn parse(text: &'static str) -> Self {
        let mut lines = text.lines();
        let names = lines.next().unwrap_or_default();
        let same = lines.next().unwrap_or_default();
        Self {
            columns: names.split('\t').enumerate().map(|(place, name)| (name, place)).collect(),
            same: same.split('\t').filter_map(|word| word.split_once('=')).collect(),
            rows: lines.map(|line| line.split('\t').collect()).collect(),
        }
    }

    /// The rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = Fact<'_>> {
        self.rows.iter().map(|row| Fact { facts: self, row })
    }

    /// All facts as rows of the relation; columns that the file does not know are nothing.
    pub(super) fn batch(&self, relation: &'static SystemRelation) -> Result<RecordBatch> {
        let facts: Vec<_> = self.iter().collect();
        let mut rows = Rows::of(relation, &facts);
        for column in &relation.columns {
            if self.columns.contains_key(column.name) || self.same.contains_key(column.name) {
                rows = rows.set(column.name, |fact| value(&column.kind, fact.field(column.name)));
            }
        }
        rows.finish()
    }
}

impl<'f> Fact<'f> {
    /// A field as text; `None` for NULL and for what the file does not tell.
    pub(super) fn field(&self, name: &str) -> Option<&'static str> {
        let field = match self.facts.columns.get(name) {
            Some(&place) => self.row[place],
            None => match self.facts.same.get(name)? {
                same if same.starts_with('@') => return self.field(&same[1..]),
                same => same,
            },
        };
        (field != "\\N").then_some(field)
    }

    /// A field that is an oid.
    pub(super) fn oid(&self, name: &str) -> Oid {
        Oid(self.field(name).and_then(|field| field.parse().ok()).unwrap_or(0))
    }

    /// A field that is a number.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.field(name).and_then(|field| field.parse().ok()).unwrap_or(0)
    }

    /// A field that is an `oidvector`.
    pub(super) fn oids(&self, name: &str) -> Vec<Oid> {
        let field = self.field(name).unwrap_or_default();
        field.split_whitespace().filter_map(|oid| oid.parse().ok().map(Oid)).collect()
    }

    /// A field that is an array of text.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        Some(elements(self.field(name)?).map(str::to_owned).collect())
    }
}

/// A value of a type from its text.
fn value(kind: &PgType, text: Option<&'static str>) -> Value<'static> {
    let Some(text) = text else { return Value::Null };
    let number = |text: &str| text.parse().unwrap_or(0);
    match kind.arrow() {
        DataType::Boolean => Value::Bool(text == "t"),
        DataType::Utf8 => Value::Text(text.into()),
        DataType::Float32 | DataType::Float64 => Value::Float(text.parse().unwrap_or(0.0)),
        DataType::List(element) if *element.data_type() == DataType::Utf8 => {
            Value::Texts(elements(text).map(str::to_owned).collect())
        }
        DataType::List(_) => {
            let words = text.trim_matches(['{', '}']).split([' ', ',']);
            Value::Ints(words.filter(|word| !word.is_empty()).map(number).collect())
        }
        _ => Value::Int(number(text)),
    }
}

/// The elements of an array as text, none of which is quoted but the empty one.
fn elements(text: &'static str) -> impl Iterator<Item = &'static str> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    inner.split(',').map(|element| if element == "\"\"" { "" } else { element })
}

/// Facts as seen from a database: the column of schemas, if there is one, names that of the
/// extension.
pub(super) fn placed(rows: &RecordBatch, column: Option<&str>, view: &View) -> Result<RecordBatch> {
    let schema = view.vector_schema();
    let (Some(column), true) = (column, schema != PUBLIC) else {
        return Ok(rows.clone());
    };
    let place = rows.schema_ref().index_of(column).map_err(broken)?;
    let schemas = rows.column(place).as_primitive::<UInt32Type>();
    let moved: UInt32Array = schemas
        .iter()
        .map(|oid| oid.map(|oid| if oid == PUBLIC.0 { schema.0 } else { oid }))
        .collect();
    let mut columns = rows.columns().to_vec();
    columns[place] = Arc::new(moved) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns).map_err(broken)
}
