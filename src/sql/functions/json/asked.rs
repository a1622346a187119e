//! `JSON_EXISTS`, `JSON_VALUE` and `JSON_QUERY`: what a path finds, as a value of SQL, and what comes instead where
//! it finds nothing or something fails.

use super::{path::Paths, write};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType, cast::parse_text, input::ColumnBuilder, json::records, string::TooLong,
        style::Style,
    },
    sql::{error::from_arrow, functions::call::Arguments},
};
use arrow::{
    array::{Array, ArrayRef},
    compute::interleave,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question {
    Exists,
    Value,
    Query,
}

/// Whether what is found is put into an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wrapper {
    None,
    /// Where there are more values than one.
    Conditional,
    Always,
}

/// What comes instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Behaviour {
    Null,
    Error,
    True,
    False,
    EmptyArray,
    EmptyObject,
    /// An argument of the call.
    Default,
}

/// A call, but for its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) wrapper: Wrapper,
    pub(crate) omits_quotes: bool,
    pub(crate) on_empty: Behaviour,
    pub(crate) on_error: Behaviour,
    /// The column of `JSON_TABLE` that asks, for messages.
    pub(crate) column: Option<String>,
}

/// What a question comes to.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Null,
    /// A text that the type of the result reads.
    Text(String),
    /// The default for nothing found, or that for an error.
    Default(Cause),
}

/// Why something else comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Empty,
    Error,
}

impl Asked {
    pub(crate) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal("a question").source(error))
    }

    fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::internal("a question").source(error))
    }

    /// What comes of what a path found.
    pub(super) fn answer(
        &self,
        found: Result<Vec<Value>>,
        kind: &PgType,
        style: &Style,
    ) -> Result<Answer> {
        let answer = match found.and_then(|found| self.text_of(found, kind)) {
            Ok(None) if self.on_empty == Behaviour::Error => return Err(self.nothing()),
            Ok(None) => self.instead(self.on_empty, Cause::Empty, kind, style),
            Ok(Some(None)) => Ok(Answer::Null),
            Ok(Some(Some(text))) => readable(text, kind, style).map(Answer::Text),
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if self.on_error != Behaviour::Error && is_of_path(&error) => {
                self.instead(self.on_error, Cause::Error, kind, style)
            }
            answer => answer,
        }
    }

    /// The text of what was found, NULL for a value that is null; nothing where nothing was found.
    fn text_of(&self, found: Vec<Value>, kind: &PgType) -> Result<Option<Option<String>>> {
        match self.question {
            Question::Exists => Ok(Some(Some(truth(!found.is_empty(), kind).to_owned()))),
            Question::Value => self.value(found, kind),
            Question::Query => {
                let Some(item) = self.item(found)? else { return Ok(None) };
                Ok(Some(match (&item, self.omits_quotes) {
                    (Value::String(text), true) => Some(text.clone()),
                    (item, _) => {
                        let text = write(item, &PgType::Jsonb)?;
                        match kind {
                            PgType::Array(_) => records::value(&text, kind)?,
                            _ => Some(text),
                        }
                    }
                }))
            }
        }
    }

    /// The one value that is neither an array nor an object.
    fn value(&self, found: Vec<Value>, kind: &PgType) -> Result<Option<Option<String>>> {
        let not_one = |state: &'static [u8; 5]| {
            let of = match &self.column {
                Some(column) => format!("for column \"{column}\" must return single scalar item"),
                None => "in JSON_VALUE must return single scalar item".to_owned(),
            };
            Err(Error::new(SqlState::new(state), format!("JSON path expression {of}")))
        };
        match found.as_slice() {
            [] => Ok(None),
            [Value::Null] => Ok(Some(None)),
            [Value::Array(_) | Value::Object(_)] => not_one(b"2203F"),
            [item] if matches!(kind, PgType::Json | PgType::Jsonb) => {
                write(item, &PgType::Jsonb).map(|text| Some(Some(text)))
            }
            [Value::String(text)] => Ok(Some(Some(text.clone()))),
            [Value::Bool(value)] => Ok(Some(Some(if *value { "t" } else { "f" }.to_owned()))),
            [number @ Value::Number(_)] => {
                write(number, &PgType::Jsonb).map(|text| Some(Some(text)))
            }
            _ => not_one(b"22034"),
        }
    }

    /// The one item, or all in an array.
    fn item(&self, mut found: Vec<Value>) -> Result<Option<Value>> {
        let wraps = match self.wrapper {
            Wrapper::Always => !found.is_empty(),
            Wrapper::Conditional => found.len() > 1,
            Wrapper::None => false,
        };
        if wraps {
            return Ok(Some(Value::Array(found)));
        }
        if found.len() > 1 {
            let of = match &self.column {
                Some(column) => format!("for column \"{column}\""),
                None => "in JSON_QUERY".to_owned(),
            };
            let message = format!(
                "JSON path expression {of} must return single item when no wrapper is requested"
            );
            return Err(Error::new(SqlState::new(b"22034"), message)
                .hint("Use the WITH WRAPPER clause to wrap SQL/JSON items into an array."));
        }
        Ok(found.pop())
    }

    fn instead(
        &self,
        behaviour: Behaviour,
        cause: Cause,
        kind: &PgType,
        style: &Style,
    ) -> Result<Answer> {
        let text = match behaviour {
            Behaviour::Null => return Ok(Answer::Null),
            Behaviour::Default => return Ok(Answer::Default(cause)),
            Behaviour::True => truth(true, kind),
            Behaviour::False => truth(false, kind),
            Behaviour::EmptyArray if matches!(kind, PgType::Array(_)) => "{}",
            Behaviour::EmptyArray => "[]",
            Behaviour::EmptyObject => "{}",
            Behaviour::Error => return Err(Error::internal("an error is raised")),
        };
        readable(text.to_owned(), kind, style).map(Answer::Text)
    }

    fn nothing(&self) -> Error {
        let of = match &self.column {
            Some(column) => format!(" of column \"{column}\""),
            None => String::new(),
        };
        let message = format!("no SQL/JSON item found for specified path{of}");
        Error::new(SqlState::new(b"22035"), message)
    }
}

/// A text that its type is known to read.
fn readable(text: String, kind: &PgType, style: &Style) -> Result<String> {
    match kind {
        PgType::Text => {}
        kind => drop(parse_text(kind, &text, style)?),
    }
    Ok(text)
}

/// What a column that asks whether there is something shows.
fn truth(value: bool, kind: &PgType) -> &'static str {
    match (kind, value) {
        (PgType::Int2 | PgType::Int4 | PgType::Int8, true) => "1",
        (PgType::Int2 | PgType::Int4 | PgType::Int8, false) => "0",
        (_, true) => "true",
        (_, false) => "false",
    }
}

/// What ON ERROR catches: faults of the data and of the path's way through it.
pub(super) fn is_of_path(error: &Error) -> bool {
    error.state().class() == "22" || error.state() == SqlState::FEATURE_NOT_SUPPORTED
}

/// A column of answers, as it grows.
pub(super) struct Answers {
    texts: ColumnBuilder,
    /// Of each answer where its value stands: among the texts, or in a row of a default.
    places: Vec<(usize, usize)>,
}

impl Answers {
    pub(super) fn new(kind: &PgType, style: &Style) -> Self {
        let texts = ColumnBuilder::new(kind, style).too_long(TooLong::Cut);
        Self { texts, places: Vec::new() }
    }

    pub(super) fn push(&mut self, answer: &Answer, row: usize) -> Result<()> {
        self.places.push(match answer {
            Answer::Default(Cause::Empty) => (1, row),
            Answer::Default(Cause::Error) => (2, row),
            Answer::Null => {
                self.texts.push_null()?;
                (0, self.texts.len() - 1)
            }
            Answer::Text(text) => {
                self.texts.push_text(text)?;
                (0, self.texts.len() - 1)
            }
        });
        Ok(())
    }

    /// The column, given what the defaults are in each row.
    pub(super) fn finish(mut self, empty: &ArrayRef, error: &ArrayRef) -> Result<ArrayRef> {
        let texts = self.texts.finish();
        if self.places.iter().all(|(of, _)| *of == 0) {
            return Ok(texts);
        }
        let sources = [texts.as_ref(), empty.as_ref(), error.as_ref()];
        interleave(&sources, &self.places).map_err(from_arrow)
    }
}

/// `(document, path, variables, question, default for nothing, default for an error)`
pub(crate) fn asked(args: &Arguments<'_>) -> Result<ArrayRef> {
    let style = args.context.style();
    let mut answers = Answers::new(args.result, &style);
    let (mut paths, mut question) = (Paths::default(), None);
    for row in 0..args.rows {
        if args.arrays[..3].iter().any(|array| array.is_null(row)) {
            answers.push(&Answer::Null, row)?;
            continue;
        }
        if question.is_none() {
            question = Some(Asked::read(args.text(3).value(row))?);
        }
        let Some(asked) = &question else { continue };
        let variables = variables(args.text(2).value(row))?;
        let document = super::read(args.text(0).value(row))?;
        let found = paths.found(args.text(1).value(row), &document, &variables);
        answers.push(&asked.answer(found, args.result, &style)?, row)?;
    }
    answers.finish(&args.arrays[4], &args.arrays[5])
}

/// What PASSING passes.
pub(super) fn variables(text: &str) -> Result<Map<String, Value>> {
    match super::read(text)? {
        Value::Object(map) => Ok(map),
        _ => Err(Error::internal("variables are an object")),
    }
}
