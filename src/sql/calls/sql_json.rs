//! SQL/JSON: `JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS`, `JSON_OBJECT`, `IS JSON` … as `tokens/sql_json.rs` has put them,
//! their clauses among the arguments.

mod clauses;
mod table;

use self::clauses::{Clauses, Instead};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Place},
        coerce::Reason,
        expression::{boolean, text_literal},
        functions::{
            call::{Body, Call, call},
            json::{
                asked::{Asked, Behaviour, Question, Wrapper, asked},
                build, valid,
            },
        },
        tokens::sql_json::{FORMAT, JSON, TEST},
        typed::{Typed, bare},
    },
};
use datafusion::{
    common::{ScalarValue, tree_node::TreeNode},
    logical_expr::{Expr, Volatility},
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArgExpr},
        tokenizer::Span,
    },
};
use std::ops::ControlFlow;

/// Whether a call is one of SQL/JSON: no other name has a space.
pub(super) fn is_sql_json(name: &str) -> bool {
    name.starts_with("json ")
}

impl Binder<'_> {
    pub(super) fn sql_json(
        &mut self,
        name: &str,
        function: &ast::Function,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Typed> {
        let (values, clauses) = self.clauses_of(args, span)?;
        match name {
            "json exists" => self.json_question(Question::Exists, &values, &clauses, span),
            "json value" => self.json_question(Question::Value, &values, &clauses, span),
            "json query" => self.json_question(Question::Query, &values, &clauses, span),
            "json object" | "json array" => self.json_made(name, &values, &clauses, span),
            "json arrayagg" => {
                let strict = if clauses.absent.unwrap_or(true) { "_strict" } else { "" };
                let family = self.json_family(&values, &clauses, span)?;
                let made = format!("{family}_agg{strict}");
                self.json_aggregate(&made, function, &values, &clauses, span)
            }
            "json objectagg" => {
                let unique = if clauses.unique { "_unique" } else { "" };
                let strict = if clauses.absent == Some(true) { "_strict" } else { "" };
                let family = self.json_family(&values, &clauses, span)?;
                let made = format!("{family}_object_agg{unique}{strict}");
                self.json_aggregate(&made, function, &values, &clauses, span)
            }
            "json array query" => self.json_array_of(&values, &clauses, span),
            JSON => self.json_parsed(&values, &clauses, span),
            "json serialize" => {
                let [value] = values.as_slice() else { return Err(self.malformed(span)) };
                let value = self.document(value, &PgType::Json, span)?;
                let kind = clauses.returning.unwrap_or(PgType::Text);
                let text = self.coerce(value, &PgType::Text, Reason::Explicit)?;
                if !matches!(
                    kind,
                    PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_) | PgType::Bytea
                ) {
                    let message =
                        format!("cannot use type {kind} in RETURNING clause of JSON_SERIALIZE()");
                    let error = Error::new(SqlState::DATATYPE_MISMATCH, message)
                        .hint("Try returning a string type or bytea.");
                    return Err(self.at(error, span));
                }
                self.json_returned(text, &kind, span)
            }
            FORMAT => {
                let [value] = values.as_slice() else { return Err(self.malformed(span)) };
                let value = self.argument(value, span)?;
                self.coerce(value, &PgType::Json, Reason::Explicit)
            }
            _ => Err(self.malformed(span)),
        }
    }

    fn malformed(&self, span: Span) -> Error {
        self.at(Error::new(SqlState::SYNTAX_ERROR, "syntax error in a call of SQL/JSON"), span)
    }

    /// A document that a path is asked of or that is written out.
    fn document(&mut self, value: &FunctionArg, kind: &PgType, span: Span) -> Result<Typed> {
        let value = self.argument(value, span)?;
        let value = self.utf8(value)?;
        match (&value.kind, kind) {
            (PgType::Jsonb, PgType::Json) => Ok(value),
            _ => self.coerce(value, kind, Reason::Explicit),
        }
    }

    /// Bytes as the text that they are in UTF-8.
    fn utf8(&mut self, value: Typed) -> Result<Typed> {
        if value.kind != PgType::Bytea {
            return Ok(value);
        }
        let encoding = text_literal("UTF8");
        self.call_named("convert_from", vec![value, encoding], Span::empty())
    }

    /// `JSON_EXISTS`, `JSON_VALUE`, `JSON_QUERY`
    fn json_question(
        &mut self,
        question: Question,
        values: &[&FunctionArg],
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Result<Typed> {
        let [document, path] = values else { return Err(self.malformed(span)) };
        let name = clauses::name_of(question);
        let document = self.document(document, &PgType::Jsonb, span)?;
        let path = self.argument(path, span)?;
        if !matches!(path.kind, PgType::Jsonpath | PgType::Unknown | PgType::Text) {
            let message = format!(
                "JSON path expression must be of type jsonpath, not of type {}",
                bare(&path.kind)
            );
            return Err(self.at(Error::new(SqlState::DATATYPE_MISMATCH, message), span));
        }
        let path = self.coerce(path, &PgType::Jsonpath, Reason::Explicit)?;
        let variables = self.passed(&clauses.passing, span)?;
        let kind = match (&clauses.returning, question) {
            (_, Question::Exists) => PgType::Bool,
            (Some(kind), _) => kind.clone(),
            (None, Question::Value) => PgType::Text,
            (None, Question::Query) => PgType::Jsonb,
        };
        let (asked_for, empty, error) = self.question(question, clauses, &kind, None, span)?;
        let options = Typed::literal(ScalarValue::Utf8(Some(asked_for.text()?)), PgType::Text);
        let args = vec![document, path, variables, options, empty, error];
        let kinds = args.iter().map(|arg| arg.kind.clone()).collect();
        let function = Call::udf(
            &name.to_lowercase(),
            kinds,
            kind.clone(),
            Volatility::Stable,
            asked,
            self.context,
        );
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(Typed::new(call(function, args), kind))
    }

    /// What is asked, and the defaults for nothing found and for an error.
    fn question(
        &mut self,
        question: Question,
        clauses: &Clauses<'_>,
        kind: &PgType,
        column: Option<&str>,
        span: Span,
    ) -> Result<(Asked, Typed, Typed)> {
        clauses.check(question, column).map_err(|error| self.at(error, span))?;
        let usual = if question == Question::Exists { Behaviour::False } else { Behaviour::Null };
        let (on_empty, empty) = self.instead(clauses.on_empty, Behaviour::Null, kind, span)?;
        let (on_error, error) = self.instead(clauses.on_error, usual, kind, span)?;
        let asked = Asked {
            question,
            wrapper: clauses.wrapper.unwrap_or(Wrapper::None),
            omits_quotes: clauses.omits_quotes == Some(true),
            on_empty,
            on_error,
            column: column.map(str::to_owned),
        };
        Ok((asked, empty, error))
    }

    /// What comes instead, and its value where it is a default.
    fn instead(
        &mut self,
        given: Option<Instead<'_>>,
        usual: Behaviour,
        kind: &PgType,
        span: Span,
    ) -> Result<(Behaviour, Typed)> {
        let Some(given) = given else { return Ok((usual, self.nothing(kind)?)) };
        let Some(value) = given.default else { return Ok((given.behaviour, self.nothing(kind)?)) };
        let value = self.expr(value)?;
        let value = self.coerce(value, kind, Reason::Explicit)?;
        if !is_constant(&value.expr)? {
            let what = "can only specify a constant, non-aggregate function, or operator \
                        expression for DEFAULT";
            return Err(self.at(Error::new(SqlState::DATATYPE_MISMATCH, what), span));
        }
        Ok((Behaviour::Default, self.shaped(value, kind)?))
    }

    fn nothing(&self, kind: &PgType) -> Result<Typed> {
        let null =
            ScalarValue::try_from(&kind.arrow()).map_err(crate::sql::error::from_datafusion)?;
        Ok(Typed::literal(null, kind.clone()))
    }

    /// What PASSING passes, as one object.
    fn passed(&mut self, passing: &[(String, &ast::Expr)], span: Span) -> Result<Typed> {
        if passing.is_empty() {
            return Ok(Typed::literal(ScalarValue::Utf8(Some("{}".to_owned())), PgType::Jsonb));
        }
        let mut args = Vec::with_capacity(passing.len() * 2);
        for (name, value) in passing {
            args.push(Typed::literal(ScalarValue::Utf8(Some(name.clone())), PgType::Text));
            let value = self.expr(value)?;
            args.push(self.settle(value)?);
        }
        self.call_named("jsonb_build_object", args, span)
    }

    /// `JSON_OBJECT(…)`, `JSON_ARRAY(…)`
    fn json_made(
        &mut self,
        name: &str,
        values: &[&FunctionArg],
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Result<Typed> {
        let is_object = name == "json object";
        let mut args = Vec::with_capacity(values.len());
        for value in values {
            let value = self.argument(value, span)?;
            args.push(self.settle(value)?);
        }
        let absent = clauses.absent.unwrap_or(!is_object);
        let is_jsonb = match &clauses.returning {
            Some(kind) => *kind == PgType::Jsonb,
            None => args.iter().any(|arg| arg.kind == PgType::Jsonb),
        };
        let body: Body = match (is_object, absent, clauses.unique) {
            (false, true, _) => build::array_strict,
            (false, false, _) => build::array,
            (true, false, false) => build::object,
            (true, true, false) => build::object_strict,
            (true, false, true) => build::object_unique,
            (true, true, true) => build::object_unique_strict,
        };
        let family = if is_jsonb { PgType::Jsonb } else { PgType::Json };
        let kinds = args.iter().map(|arg| arg.kind.clone()).collect();
        let name = name.replace(' ', "_");
        let function =
            Call::udf(&name, kinds, family.clone(), Volatility::Stable, body, self.context);
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let made = Typed::new(call(function, args), family);
        match &clauses.returning {
            Some(kind) => self.json_returned(made, kind, span),
            None => Ok(made),
        }
    }

    /// `JSON_ARRAY(query)`, whose rows stand there as an array.
    fn json_array_of(
        &mut self,
        values: &[&FunctionArg],
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Result<Typed> {
        let [rows] = values else { return Err(self.malformed(span)) };
        let rows = self.argument(rows, span)?;
        let family = if clauses.is_jsonb() { PgType::Jsonb } else { PgType::Json };
        let kinds = vec![rows.kind.clone()];
        let (name, body): (_, Body) = ("json_array", build::array_of);
        let function =
            Call::udf(name, kinds, family.clone(), Volatility::Stable, body, self.context);
        let made = Typed::new(call(function, vec![rows.expr]), family);
        match &clauses.returning {
            Some(kind) => self.json_returned(made, kind, span),
            None => Ok(made),
        }
    }

    /// `JSON_ARRAYAGG(…)`, `JSON_OBJECTAGG(…)`: the aggregate of a name.
    fn json_aggregate(
        &mut self,
        name: &str,
        function: &ast::Function,
        values: &[&FunctionArg],
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Result<Typed> {
        let values: Vec<FunctionArg> = values.iter().copied().cloned().collect();
        let made = match function.over {
            Some(_) => self.windowed(name, function, &values, span)?,
            None => self.aggregate_call(name, function, &values, span)?,
        };
        match &clauses.returning {
            Some(kind) => self.json_returned(made, kind, span),
            None => Ok(made),
        }
    }

    /// Which json an aggregate makes, as the names of functions begin: what RETURNING says, else jsonb of
    /// jsonb.
    fn json_family(
        &mut self,
        values: &[&FunctionArg],
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Result<&'static str> {
        // What holds a query is bound once, where it stands.
        let holds_query = |value: &&FunctionArg| {
            let value = (*value).clone();
            ast::visit_expressions(&value, |expr| match expr {
                ast::Expr::Subquery(_) | ast::Expr::Exists { .. } => ControlFlow::Break(()),
                ast::Expr::InSubquery { .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .is_break()
        };
        if clauses.returning.is_none() && !values.iter().any(holds_query) {
            let place = Place::plain("an aggregate's arguments");
            for value in values {
                let value = self.in_place(place, |binder| binder.argument(value, span))?;
                if value.kind == PgType::Jsonb {
                    return Ok("jsonb");
                }
            }
        }
        Ok(if clauses.is_jsonb() { "jsonb" } else { "json" })
    }

    /// json as the type that RETURNING names.
    fn json_returned(&mut self, made: Typed, kind: &PgType, span: Span) -> Result<Typed> {
        if *kind == PgType::Bytea {
            let text = self.coerce(made, &PgType::Text, Reason::Explicit)?;
            return self.call_named("convert_to", vec![text, text_literal("UTF8")], span);
        }
        self.coerce(made, kind, Reason::Explicit)
    }

    /// `JSON(text WITH UNIQUE KEYS)`
    fn json_parsed(
        &mut self,
        values: &[&FunctionArg],
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Result<Typed> {
        let [value] = values else { return Err(self.malformed(span)) };
        let value = self.document(value, &PgType::Json, span)?;
        let value = self.coerce(value, &PgType::Json, Reason::Explicit)?;
        if !clauses.unique {
            return Ok(value);
        }
        let function = self.own("json", vec![PgType::Json], PgType::Json, valid::unique);
        Ok(Typed::new(call(function, vec![value.expr]), PgType::Json))
    }

    /// `x IS JSON …`, which stands there as `x RLIKE json test(…)`; nothing for another pattern.
    pub(crate) fn json_test(
        &mut self,
        value: &ast::Expr,
        pattern: &ast::Expr,
        negated: bool,
        span: Span,
    ) -> Result<Option<Typed>> {
        let Some(words) = clauses::words_of(pattern, TEST) else { return Ok(None) };
        let value = self.expr(value)?;
        let value = self.settle(value)?;
        if !is_document(&value.kind) && value.kind != PgType::Bytea {
            let shown = bare(&value.kind);
            let message = format!("cannot use type {shown} in IS JSON predicate");
            return Err(self.at(Error::new(SqlState::DATATYPE_MISMATCH, message), span));
        }
        let kinds = vec![value.kind.clone(), PgType::Text, PgType::Bool];
        let function = self.own("is_json", kinds, PgType::Bool, valid::is_json);
        let kind = words.first().map_or("value", String::as_str).to_owned();
        let unique = words.get(1).is_some_and(|word| word == "with");
        let args = vec![
            value.expr,
            Expr::Literal(ScalarValue::Utf8(Some(kind)), None),
            Expr::Literal(ScalarValue::Boolean(Some(unique)), None),
        ];
        let test = call(function, args);
        Ok(Some(boolean(if negated { Expr::Not(Box::new(test)) } else { test })))
    }
}

/// Whether an expression is the same for all rows.
fn is_constant(expr: &Expr) -> Result<bool> {
    let varies = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::WindowFunction(_)
        ))
    });
    varies.map(|varies| !varies).map_err(crate::sql::error::from_datafusion)
}

/// Whether a type's values are documents, or texts of some.
fn is_document(kind: &PgType) -> bool {
    matches!(
        kind,
        PgType::Json
            | PgType::Jsonb
            | PgType::Text
            | PgType::Varchar(_)
            | PgType::Bpchar(_)
            | PgType::Unknown
    )
}

/// The expression of an argument.
fn expression(arg: &FunctionArg) -> Option<&ast::Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}
