//! The clauses of a call of SQL/JSON, taken from among its arguments.

use super::expression;
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        functions::json::asked::{Behaviour, Question, Wrapper},
        tokens::sql_json::CLAUSE,
    },
};
use datafusion::sql::sqlparser::{
    ast::{self, FunctionArg, FunctionArguments},
    tokenizer::Span,
};

/// What a call's clauses say.
#[derive(Debug, Default)]
pub(super) struct Clauses<'a> {
    pub(super) returning: Option<PgType>,
    /// RETURNING … FORMAT JSON.
    pub(super) is_formatted: bool,
    pub(super) passing: Vec<(String, &'a ast::Expr)>,
    pub(super) wrapper: Option<Wrapper>,
    pub(super) omits_quotes: Option<bool>,
    pub(super) on_empty: Option<Instead<'a>>,
    pub(super) on_error: Option<Instead<'a>>,
    pub(super) unique: bool,
    /// Whether what is NULL is left out.
    pub(super) absent: Option<bool>,
    /// The path of a column.
    pub(super) path: Option<String>,
}

/// What comes where nothing is found or something fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instead<'a> {
    pub(super) behaviour: Behaviour,
    pub(super) default: Option<&'a ast::Expr>,
}

impl Binder<'_> {
    /// A call's values, and its clauses.
    pub(super) fn clauses_of<'a>(
        &self,
        args: &'a [FunctionArg],
        span: Span,
    ) -> Result<(Vec<&'a FunctionArg>, Clauses<'a>)> {
        let (mut values, mut clauses) = (Vec::new(), Clauses::default());
        for arg in args {
            match expression(arg).and_then(|expr| arguments_of(expr, CLAUSE)) {
                None => values.push(arg),
                Some(said) => {
                    let said: Vec<&ast::Expr> = said.iter().filter_map(expression).collect();
                    self.take(&mut clauses, &said, span)?;
                }
            }
        }
        Ok((values, clauses))
    }

    fn take<'a>(
        &self,
        clauses: &mut Clauses<'a>,
        said: &[&'a ast::Expr],
        span: Span,
    ) -> Result<()> {
        let Some((Some(name), said)) = said.split_first().map(|(name, rest)| (text(name), rest))
        else {
            return Err(self.malformed(span));
        };
        let word = said.first().and_then(|word| text(word)).unwrap_or_default();
        match name {
            "returning" => clauses.returning = Some(self.type_of(said.first().copied(), span)?),
            "format" => clauses.is_formatted = true,
            "passing" => {
                let [value, name] = said else { return Err(self.malformed(span)) };
                clauses.passing.push((text(name).unwrap_or_default().to_owned(), value));
            }
            "wrapper" => {
                clauses.wrapper = Some(match word {
                    "none" => Wrapper::None,
                    "conditional" => Wrapper::Conditional,
                    _ => Wrapper::Always,
                });
            }
            "quotes" => clauses.omits_quotes = Some(word == "omit"),
            "unique" => clauses.unique = word == "with",
            "nulls" => clauses.absent = Some(word == "absent"),
            "path" => clauses.path = Some(word.to_owned()),
            "empty" | "error" => {
                let behaviour = match word {
                    "error" => Behaviour::Error,
                    "true" => Behaviour::True,
                    "false" => Behaviour::False,
                    "empty array" => Behaviour::EmptyArray,
                    "empty object" => Behaviour::EmptyObject,
                    "default" => Behaviour::Default,
                    _ => Behaviour::Null,
                };
                let instead = Instead { behaviour, default: said.get(1).copied() };
                match name {
                    "empty" => clauses.on_empty = Some(instead),
                    _ => clauses.on_error = Some(instead),
                }
            }
            _ => return Err(self.malformed(span)),
        }
        Ok(())
    }

    /// The type of `CAST(NULL AS type)`.
    pub(super) fn type_of(&self, cast: Option<&ast::Expr>, span: Span) -> Result<PgType> {
        match cast {
            Some(ast::Expr::Cast { data_type, .. }) => self.data_type(data_type, span),
            _ => Err(self.malformed(span)),
        }
    }
}

impl Clauses<'_> {
    pub(super) fn is_jsonb(&self) -> bool {
        self.returning == Some(PgType::Jsonb)
    }

    /// Whether a question may have these clauses.
    ///
    /// # Errors
    /// 42601.
    pub(super) fn check(&self, question: Question, column: Option<&str>) -> Result<()> {
        use Behaviour::{Default, EmptyArray, EmptyObject, False, True};
        let syntax = |message: String| Error::new(SqlState::SYNTAX_ERROR, message);
        if self.wrapper.is_some_and(|wrapper| wrapper != Wrapper::None)
            && self.omits_quotes.is_some()
        {
            let message =
                "SQL/JSON QUOTES behavior must not be specified when WITH WRAPPER is used";
            return Err(syntax(message.to_owned()));
        }
        if question == Question::Value && self.is_formatted {
            let message = "cannot specify FORMAT JSON in RETURNING clause of JSON_VALUE()";
            return Err(syntax(message.to_owned()));
        }
        for (given, when) in [(self.on_empty, "ON EMPTY"), (self.on_error, "ON ERROR")] {
            let Some(Instead { behaviour, .. }) = given else { continue };
            let refused = match question {
                Question::Exists => matches!(behaviour, EmptyArray | EmptyObject | Default),
                Question::Value => matches!(behaviour, True | False | EmptyArray | EmptyObject),
                Question::Query => matches!(behaviour, True | False),
            };
            if !refused {
                continue;
            }
            let (allowed, name) = match question {
                Question::Exists => ("ERROR, TRUE, FALSE, or UNKNOWN", "EXISTS columns"),
                Question::Value => ("ERROR, NULL, or DEFAULT expression", "scalar columns"),
                Question::Query => (
                    "ERROR, NULL, EMPTY ARRAY, EMPTY OBJECT, or DEFAULT expression",
                    "formatted columns",
                ),
            };
            return Err(match column {
                None => syntax(format!("invalid {when} behavior")).detail(format!(
                    "Only {allowed} is allowed in {when} for {}.",
                    name_of(question)
                )),
                Some(column) => syntax(format!("invalid {when} behavior for column \"{column}\""))
                    .detail(format!("Only {allowed} is allowed in {when} for {name}.")),
            });
        }
        Ok(())
    }
}

/// The name of a question, as messages have it.
pub(super) fn name_of(question: Question) -> &'static str {
    match question {
        Question::Exists => "JSON_EXISTS()",
        Question::Value => "JSON_VALUE()",
        Question::Query => "JSON_QUERY()",
    }
}

/// The arguments of a call of a name.
pub(super) fn arguments_of<'e>(expr: &'e ast::Expr, name: &str) -> Option<&'e [FunctionArg]> {
    let ast::Expr::Function(function) = expr else { return None };
    let [part] = function.name.0.as_slice() else { return None };
    let ident = part.as_ident().filter(|ident| ident.quote_style.is_none())?;
    match &function.args {
        FunctionArguments::List(list) if ident.value == name => Some(&list.args),
        _ => None,
    }
}

/// The words of a call of a name.
pub(super) fn words_of(expr: &ast::Expr, name: &str) -> Option<Vec<String>> {
    let args = arguments_of(expr, name)?.iter();
    Some(args.filter_map(expression).filter_map(text).map(str::to_owned).collect())
}

/// The text of a literal.
pub(super) fn text(expr: &ast::Expr) -> Option<&str> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
