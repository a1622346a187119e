//! `JSON_TABLE`: rows of what a path finds, level below level. What a level finds stands beside the
//! row above it; levels side by side come one after the other.

use super::{
    asked::{Answer, Answers, Asked, is_of_path, variables},
    path::Paths,
};
use crate::{
    error::{Error, Result},
    pgtype::{PgType, style::Style},
    sql::{
        error::from_arrow,
        functions::{call::Arguments, lists},
    },
};
use arrow::{
    array::{Array, ArrayRef, ListArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::DataType,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a table has, but for its values.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) level: Level,
    /// Whether a document that the path does not fit is an error; else it has no rows.
    pub(crate) fails: bool,
}

/// The rows that a path finds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Level {
    pub(crate) path: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) nested: Vec<Level>,
}

/// A column, by its place in the table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Column {
    Ordinality(usize),
    Asked { place: usize, path: String, asked: Asked },
}

impl Layout {
    pub(crate) fn text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::internal("a table's layout").source(error))
    }

    fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::internal("a table's layout").source(error))
    }
}

/// A row: an answer for each column, nothing for those of other levels.
type Row = Vec<Option<Answer>>;

/// A document that is being read.
struct Reading<'r> {
    kinds: &'r [(String, PgType)],
    variables: Map<String, Value>,
    style: &'r Style,
    /// Whether what a path does not fit is an error.
    fails: bool,
}

impl Reading<'_> {
    /// The rows of a level under an item.
    fn rows(&self, level: &Level, item: &Value) -> Result<Vec<Row>> {
        let found = match Paths::default().found(&level.path, item, &self.variables) {
            // What the path does not fit has no rows.
            Err(error) if !self.fails && is_of_path(&error) => Vec::new(),
            found => found?,
        };
        let mut rows = Vec::new();
        for (item, number) in found.iter().zip(1..) {
            let own = self.own(level, item, number)?;
            let mut below = Vec::new();
            for nested in &level.nested {
                below.extend(self.rows(nested, item)?);
            }
            if below.is_empty() {
                below.push((0..self.kinds.len()).map(|_| None).collect());
            }
            for mut row in below {
                for (place, answer) in &own {
                    row[*place] = Some(answer.clone());
                }
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn own(&self, level: &Level, item: &Value, number: u64) -> Result<Vec<(usize, Answer)>> {
        let one = |column: &Column| match column {
            Column::Ordinality(place) => Ok((*place, Answer::Text(number.to_string()))),
            Column::Asked { place, path, asked } => {
                let found = Paths::default().found(path, item, &self.variables);
                let kind = &self.kinds[*place].1;
                Ok((*place, asked.answer(found, kind, self.style)?))
            }
        };
        level.columns.iter().map(one).collect()
    }
}

/// `(document, variables, layout, defaults of each column …)`
pub(crate) fn table(args: &Arguments<'_>) -> Result<ArrayRef> {
    let missing = || Error::internal("a table of json is a list of rows");
    let PgType::Array(element) = args.result else { return Err(missing()) };
    let kinds = element.fields().ok_or_else(missing)?;
    let style = args.context.style();
    let mut columns: Vec<Answers> =
        kinds.iter().map(|(_, kind)| Answers::new(kind, &style)).collect();
    let (mut lengths, mut layout) = (Vec::with_capacity(args.rows), None);
    for row in 0..args.rows {
        if args.arrays[0].is_null(row) || args.arrays[1].is_null(row) {
            lengths.push(0);
            continue;
        }
        if layout.is_none() {
            layout = Some(Layout::read(args.text(2).value(row))?);
        }
        let Some(layout) = &layout else { continue };
        let document = super::read(args.text(0).value(row))?;
        let variables = variables(args.text(1).value(row))?;
        let reading = Reading { kinds, variables, style: &style, fails: layout.fails };
        let made = reading.rows(&layout.level, &document)?;
        lengths.push(made.len());
        for made in made {
            for (column, answer) in columns.iter_mut().zip(made) {
                column.push(&answer.unwrap_or(Answer::Null), row)?;
            }
        }
    }
    let DataType::Struct(shape) = element.arrow() else { return Err(missing()) };
    let mut arrays = Vec::with_capacity(columns.len());
    for (place, column) in columns.into_iter().enumerate() {
        let (empty, error) = (&args.arrays[3 + 2 * place], &args.arrays[4 + 2 * place]);
        arrays.push(column.finish(empty, error)?);
    }
    let structs = StructArray::try_new(shape, arrays, None).map_err(from_arrow)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = NullBuffer::new_valid(args.rows);
    let field = lists::field(args.result)?;
    Ok(Arc::new(ListArray::new(field, offsets, Arc::new(structs), Some(nulls))))
}
