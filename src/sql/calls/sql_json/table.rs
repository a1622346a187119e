//! `JSON_TABLE` in FROM: its columns, and the function that makes its rows.

use super::{
    clauses::{Clauses, arguments_of, text},
    expression,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        expression::row::field_of,
        functions::{
            call::{Call, call},
            json::{
                asked::{Behaviour, Question},
                table::{Column, Layout, Level, table},
            },
        },
        tokens::sql_json::{COLUMN, NESTED},
        typed::Typed,
    },
};
use datafusion::{
    common::ScalarValue,
    logical_expr::Volatility,
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArguments},
        tokenizer::Span,
    },
};
use std::collections::HashSet;

/// The columns so far: their names and types, and the defaults of each.
#[derive(Default)]
struct Columns {
    fields: Vec<(String, PgType)>,
    defaults: Vec<Typed>,
    names: HashSet<String>,
}

impl Binder<'_> {
    /// The columns of `JSON_TABLE`; nothing for any other function.
    pub(crate) fn json_table(
        &mut self,
        function: &ast::Function,
    ) -> Result<Option<Vec<(String, Typed)>>> {
        let name = self.object_name(&function.name)?.name;
        let FunctionArguments::List(list) = &function.args else { return Ok(None) };
        if name != "json table" {
            return Ok(None);
        }
        let span = function.name.0.first().map_or(Span::empty(), ast::Spanned::span);
        let (values, clauses) = self.clauses_of(&list.args, span)?;
        let [document, path, columns @ ..] = values.as_slice() else {
            return Err(self.malformed(span));
        };
        let Some(path) = expression(path).and_then(text) else {
            let what = "only string constants are supported in JSON_TABLE path specification";
            return Err(self.at(Error::new(SqlState::FEATURE_NOT_SUPPORTED, what), span));
        };
        let fails = match clauses.on_error.map(|instead| instead.behaviour) {
            None | Some(Behaviour::EmptyArray) => false,
            Some(Behaviour::Error) => true,
            Some(_) => {
                let error = Error::new(SqlState::SYNTAX_ERROR, "invalid ON ERROR behavior").detail(
                    "Only EMPTY [ ARRAY ] or ERROR is allowed in the top-level ON ERROR clause.",
                );
                return Err(self.at(error, span));
            }
        };
        let document = self.document(document, &PgType::Jsonb, span)?;
        let variables = self.passed(&clauses.passing, span)?;
        let mut made = Columns::default();
        let columns = columns.iter().copied();
        let level = self.json_level(path, columns, fails, &mut made, span)?;
        let layout = Layout { level, fails }.text()?;
        let Columns { fields, defaults, .. } = made;
        let row = PgType::Composite(fields.clone().into());
        let layout = Typed::literal(ScalarValue::Utf8(Some(layout)), PgType::Text);
        let args: Vec<Typed> = [document, variables, layout].into_iter().chain(defaults).collect();
        let kinds = args.iter().map(|arg| arg.kind.clone()).collect();
        let list = row.clone().array();
        let function =
            Call::udf("json_table", kinds, list, Volatility::Stable, table, self.context);
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let set = self.set("json_table", call(function, args), row, span)?;
        let field = |(name, kind): (String, PgType)| {
            let expr = field_of(set.expr.clone(), &name);
            (name, Typed::new(expr, kind))
        };
        Ok(Some(fields.into_iter().map(field).collect()))
    }

    fn json_level<'a>(
        &mut self,
        path: &str,
        columns: impl Iterator<Item = &'a FunctionArg>,
        fails: bool,
        made: &mut Columns,
        span: Span,
    ) -> Result<Level> {
        crate::pgtype::jsonpath::normalise(path).map_err(|error| self.at(error, span))?;
        let mut level = Level { path: path.to_owned(), ..Level::default() };
        // A level's own columns come before those of what is nested in it, wherever that stands.
        let mut nested = Vec::new();
        for column in columns {
            let Some(column) = expression(column) else { return Err(self.malformed(span)) };
            if let Some(args) = arguments_of(column, NESTED) {
                nested.push(args);
                continue;
            }
            let Some(args) = arguments_of(column, COLUMN) else { return Err(self.malformed(span)) };
            level.columns.push(self.json_column(args, fails, made, span)?);
        }
        for args in nested {
            let Some((path, columns)) = args.split_first() else {
                return Err(self.malformed(span));
            };
            let path = expression(path).and_then(text).unwrap_or_default();
            level.nested.push(self.json_level(path, columns.iter(), fails, made, span)?);
        }
        Ok(level)
    }

    fn json_column(
        &mut self,
        args: &[FunctionArg],
        fails: bool,
        made: &mut Columns,
        span: Span,
    ) -> Result<Column> {
        let (values, clauses) = self.clauses_of(args, span)?;
        let mut values = values.into_iter().filter_map(expression);
        let (name, what) = (values.next().and_then(text), values.next().and_then(text));
        let (Some(name), Some(what)) = (name, what) else { return Err(self.malformed(span)) };
        if !made.names.insert(name.to_owned()) {
            let message = format!("duplicate JSON_TABLE column or path name: {name}");
            return Err(self.at(Error::new(SqlState::DUPLICATE_ALIAS, message), span));
        }
        let place = made.fields.len();
        if what == "ordinality" {
            made.fields.push((name.to_owned(), PgType::Int4));
            let nothing = self.nothing(&PgType::Int4)?;
            made.defaults.extend([nothing.clone(), nothing]);
            return Ok(Column::Ordinality(place));
        }
        let kind = self.type_of(values.next(), span)?;
        let question = match what {
            "exists" => Question::Exists,
            _ if is_queried(&kind, &clauses) => Question::Query,
            _ => Question::Value,
        };
        let path = match &clauses.path {
            Some(path) => path.clone(),
            None => format!("$.{}", serde_json::Value::String(name.to_owned())),
        };
        crate::pgtype::jsonpath::normalise(&path).map_err(|error| self.at(error, span))?;
        let (mut asked, empty, error) =
            self.question(question, &clauses, &kind, Some(name), span)?;
        // Where the table fails its columns do, unless they say what they do.
        if fails && clauses.on_error.is_none() {
            asked.on_error = Behaviour::Error;
        }
        made.fields.push((name.to_owned(), kind));
        made.defaults.extend([empty, error]);
        Ok(Column::Asked { place, path, asked })
    }
}

/// Whether a column takes arrays and objects.
fn is_queried(kind: &PgType, clauses: &Clauses<'_>) -> bool {
    clauses.is_formatted
        || clauses.wrapper.is_some()
        || clauses.omits_quotes.is_some()
        || matches!(kind, PgType::Json | PgType::Jsonb | PgType::Array(_))
}
