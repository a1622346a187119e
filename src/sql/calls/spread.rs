//! `VARIADIC array`: the elements of an array as arguments.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        error::from_datafusion,
        functions,
        typed::{Typed, bare},
    },
};
use arrow::array::Array;
use datafusion::{
    common::ScalarValue,
    logical_expr::Expr,
    sql::sqlparser::{ast, tokenizer::Span},
};

impl Binder<'_> {
    /// The elements of an array that is there when the statement is bound.
    pub(super) fn spread(
        &mut self,
        name: &str,
        array: &ast::Expr,
        span: Span,
    ) -> Result<Vec<Typed>> {
        let typed = self.expr(array)?;
        let typed = match typed.kind {
            PgType::Unknown => self.coerce(typed, &PgType::Text.array(), Reason::Implicit)?,
            _ => typed,
        };
        let PgType::Array(element) = &typed.kind else {
            let what = "VARIADIC argument must be an array";
            return Err(self.at(Error::new(SqlState::DATATYPE_MISMATCH, what), span));
        };
        let takes_any_number = functions::named(name)
            .is_some_and(|signatures| signatures.iter().any(functions::Signature::is_variadic));
        if !takes_any_number {
            return Err(self.no_function(name, std::slice::from_ref(&typed), span));
        }
        let element = bare(element);
        match &typed.expr {
            Expr::ScalarFunction(function) if function.func.name() == "array" => {
                let elements = function.args.iter();
                Ok(elements.map(|arg| Typed::new(arg.clone(), element.clone())).collect())
            }
            Expr::Literal(ScalarValue::List(list), _) if list.is_valid(0) => {
                let values = list.value(0);
                let value = |at| {
                    let value =
                        ScalarValue::try_from_array(&values, at).map_err(from_datafusion)?;
                    Ok(Typed::literal(value, element.clone()))
                };
                (0..values.len()).map(value).collect()
            }
            _ => {
                let error = Error::unsupported("VARIADIC takes ARRAY[…] or a constant here")
                    .hint("Use array_to_string, or write the arguments one by one.");
                Err(self.at(error, span))
            }
        }
    }
}
