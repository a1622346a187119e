//! What a path of SQL's own language finds in a document: `jsonb_path_query` and its kin, `@?`, `@@`.

mod items;
mod methods;
mod numbers;
mod predicates;

use self::items::Walk;
use super::{read, write};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::jsonpath::Path,
    sql::functions::{call::Arguments, lists::texts_as},
};
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A path that does not fit the document: what `silent` and filters take for nothing found.
fn is_suppressible(error: &Error) -> bool {
    error.state().to_string().starts_with("22")
}

/// Paths that are asked of one document after the other.
#[derive(Default)]
pub(super) struct Paths {
    /// The path that was read last: mostly it is the same for all rows.
    known: Option<(String, Path)>,
}

impl Paths {
    /// What a path finds.
    pub(super) fn found(
        &mut self,
        text: &str,
        document: &Value,
        variables: &Map<String, Value>,
    ) -> Result<Vec<Value>> {
        if self.known.as_ref().is_none_or(|(known, _)| known != text) {
            self.known = Some((text.to_owned(), Path::parse(text)?));
        }
        let Some((_, path)) = &self.known else { return Err(Error::internal("a path was read")) };
        Walk::new(path, document, variables).found()
    }
}

/// One call's rows: the document, the path, the variables, whether to be silent.
struct Calls<'a> {
    args: &'a Arguments<'a>,
    paths: Paths,
    silent: bool,
}

impl<'a> Calls<'a> {
    fn new(args: &'a Arguments<'a>, silent: bool) -> Self {
        Self { args, paths: Paths::default(), silent }
    }

    /// What the path finds for a row; nothing where it fails and is to be silent about that.
    fn found(&mut self, row: usize) -> Result<Option<Vec<Value>>> {
        let document = read(self.args.text(0).value(row))?;
        let variables = match self.args.arrays.get(2) {
            None => Map::new(),
            Some(variables) => match read(variables.as_string::<i32>().value(row))? {
                Value::Object(map) => map,
                _ => {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "\"vars\" argument is not an object",
                    )
                    .detail(
                        "Jsonpath parameters should be encoded as key-value pairs of \"vars\" object.",
                    ));
                }
            },
        };
        match self.paths.found(self.args.text(1).value(row), &document, &variables) {
            Ok(found) => Ok(Some(found)),
            Err(error) if self.is_silent(row) && is_suppressible(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_silent(&self, row: usize) -> bool {
        self.silent || self.args.arrays.get(3).is_some_and(|flags| flags.as_boolean().value(row))
    }

    fn tests(mut self, one: impl Fn(&mut Self, usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        let rows = (0..self.args.rows)
            .map(|row| if self.args.is_null(row) { Ok(None) } else { one(&mut self, row) });
        Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
    }

    fn exists(self) -> Result<ArrayRef> {
        self.tests(|calls, row| Ok(calls.found(row)?.map(|found| !found.is_empty())))
    }

    fn matches(self) -> Result<ArrayRef> {
        self.tests(|calls, row| match calls.found(row)?.as_deref() {
            None | Some([Value::Null]) => Ok(None),
            Some([Value::Bool(value)]) => Ok(Some(*value)),
            Some(_) if calls.is_silent(row) => Ok(None),
            Some(_) => {
                let state = SqlState::new(b"22038");
                Err(Error::new(state, "single boolean result is expected"))
            }
        })
    }
}

/// `jsonb_path_exists(jsonb, jsonpath, [variables, [silent]])`
pub(crate) fn exists(args: &Arguments<'_>) -> Result<ArrayRef> {
    Calls::new(args, false).exists()
}

/// `jsonb @? jsonpath`
pub(crate) fn exists_silently(args: &Arguments<'_>) -> Result<ArrayRef> {
    Calls::new(args, true).exists()
}

/// `jsonb_path_match(jsonb, jsonpath, [variables, [silent]])`
pub(crate) fn matches(args: &Arguments<'_>) -> Result<ArrayRef> {
    Calls::new(args, false).matches()
}

/// `jsonb @@ jsonpath`
pub(crate) fn matches_silently(args: &Arguments<'_>) -> Result<ArrayRef> {
    Calls::new(args, true).matches()
}

/// `jsonb_path_query(jsonb, jsonpath, [variables, [silent]])`
pub(crate) fn query(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut calls = Calls::new(args, false);
    let rows = (0..args.rows)
        .map(|row| {
            if args.is_null(row) {
                return Ok(None);
            }
            let found = calls.found(row)?.unwrap_or_default();
            found
                .iter()
                .map(|item| write(item, &args.kinds[0]).map(Some))
                .collect::<Result<_>>()
                .map(Some)
        })
        .collect::<Result<Vec<_>>>()?;
    texts_as(rows, args.result, args)
}

/// `jsonb_path_query_array(jsonb, jsonpath, [variables, [silent]])`
pub(crate) fn query_array(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut calls = Calls::new(args, false);
    args.texts(|row| {
        let found = calls.found(row)?.unwrap_or_default();
        write(&Value::Array(found), args.result).map(Some)
    })
}

/// `jsonb_path_query_first(jsonb, jsonpath, [variables, [silent]])`
pub(crate) fn query_first(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut calls = Calls::new(args, false);
    args.texts(|row| {
        let found = calls.found(row)?.unwrap_or_default();
        found.first().map(|item| write(item, args.result)).transpose()
    })
}
