//! Arguments by name: `make_interval(days => 3)`.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{binder::Binder, tokens::fold, typed::Typed},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::Expr,
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArgExpr},
        tokenizer::Span,
    },
};

/// The names of a function's parameters, and what each is where it is left out.
struct Names {
    function: &'static str,
    parameters: &'static [(&'static str, Default)],
}

/// What a parameter is without an argument.
#[derive(Clone, Copy)]
enum Default {
    None,
    Zero,
    ZeroDouble,
    True,
}

/// Functions whose parameters have names that are worth writing.
const NAMED: &[Names] = &[
    Names {
        function: "make_interval",
        parameters: &[
            ("years", Default::Zero),
            ("months", Default::Zero),
            ("weeks", Default::Zero),
            ("days", Default::Zero),
            ("hours", Default::Zero),
            ("mins", Default::Zero),
            ("secs", Default::ZeroDouble),
        ],
    },
    Names {
        function: "make_date",
        parameters: &[("year", Default::None), ("month", Default::None), ("day", Default::None)],
    },
    Names {
        function: "make_time",
        parameters: &[("hour", Default::None), ("min", Default::None), ("sec", Default::None)],
    },
    Names {
        function: "make_timestamp",
        parameters: &[
            ("year", Default::None),
            ("month", Default::None),
            ("mday", Default::None),
            ("hour", Default::None),
            ("min", Default::None),
            ("sec", Default::None),
        ],
    },
    Names {
        function: "jsonb_set",
        parameters: &[
            ("jsonb_in", Default::None),
            ("path", Default::None),
            ("replacement", Default::None),
            ("create_if_missing", Default::True),
        ],
    },
];

impl Binder<'_> {
    /// A call some of whose arguments have names: those come after the ones without.
    pub(super) fn call_with_names(
        &mut self,
        function: &str,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Typed> {
        let Some(known) = NAMED.iter().find(|known| known.function == function) else {
            let message = format!("arguments of function {function} by name are not supported");
            let error = Error::unsupported(message).hint("Give them by place.");
            return Err(self.at(error, span));
        };
        let mut values: Vec<Option<Typed>> = vec![None; known.parameters.len()];
        let mut names_begun = false;
        for (at, arg) in args.iter().enumerate() {
            let (place, value) = match (argument_name(arg), value_of(arg)) {
                (Some(name), Some(value)) => {
                    names_begun = true;
                    let place = known.parameters.iter().position(|(known, _)| *known == name);
                    (place.ok_or_else(|| self.no_function(function, &[], span))?, value)
                }
                (None, Some(value)) if !names_begun && at < values.len() => (at, value),
                _ => {
                    let message = "positional argument cannot follow named argument";
                    return Err(self.at(Error::new(SqlState::SYNTAX_ERROR, message), span));
                }
            };
            if values[place].is_some() {
                let name = known.parameters[place].0;
                let message = format!("argument name \"{name}\" used more than once");
                return Err(self.at(Error::new(SqlState::SYNTAX_ERROR, message), span));
            }
            values[place] = Some(self.expr(value)?);
        }
        let mut all = Vec::with_capacity(values.len());
        for (value, (_, default)) in values.into_iter().zip(known.parameters) {
            let value = value.or_else(|| default.value());
            all.push(value.ok_or_else(|| self.no_function(function, &[], span))?);
        }
        self.call_named(function, all, span)
    }
}

impl Default {
    fn value(self) -> Option<Typed> {
        let (value, kind) = match self {
            Self::None => return None,
            Self::Zero => (ScalarValue::Int32(Some(0)), PgType::Int4),
            Self::ZeroDouble => (ScalarValue::Float64(Some(0.0)), PgType::Float8),
            Self::True => (ScalarValue::Boolean(Some(true)), PgType::Bool),
        };
        Some(Typed::new(Expr::Literal(value, None), kind))
    }
}

/// The name of an argument that has one.
fn argument_name(arg: &FunctionArg) -> Option<String> {
    match arg {
        FunctionArg::Named { name, .. } => Some(fold(name)),
        FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), .. } => Some(fold(name)),
        _ => None,
    }
}

fn value_of(arg: &FunctionArg) -> Option<&ast::Expr> {
    match arg {
        FunctionArg::Named { arg: FunctionArgExpr::Expr(value), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(value), .. }
        | FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
        _ => None,
    }
}
