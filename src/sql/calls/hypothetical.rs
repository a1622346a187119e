//! The rank that a row would have among those of a group: `rank(3) WITHIN GROUP (ORDER BY x)`. It is a
//! count of the rows before it.

use crate::{
    error::{Error, Result},
    pgtype::PgType,
    sql::{binder::Binder, coerce::Reason, expression::binary, typed::Typed},
};
use datafusion::{
    common::ScalarValue,
    functions_aggregate::count::count_udaf,
    logical_expr::{Case, Expr, Operator, expr::AggregateFunction},
    sql::sqlparser::{
        ast::{self, FunctionArg},
        tokenizer::Span,
    },
};

/// Whether a name is that of a rank, which WITHIN GROUP makes a hypothetical one.
pub(super) fn is_rank(name: &str) -> bool {
    matches!(name, "rank" | "dense_rank" | "percent_rank" | "cume_dist")
}

impl Binder<'_> {
    /// The place that a row of the direct arguments would have.
    pub(super) fn hypothetical(
        &mut self,
        name: &str,
        function: &ast::Function,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Typed> {
        if function.over.is_some() {
            let what = format!("OVER is not supported for hypothetical-set aggregate {name}");
            return Err(self.at(Error::unsupported(what), span));
        }
        if args.len() != function.within_group.len() {
            let (given, wanted) = (args.len(), function.within_group.len());
            let mut all = Vec::with_capacity(given + wanted);
            for arg in args {
                all.push(self.argument(arg, span)?);
            }
            for by in &function.within_group {
                all.push(self.expr(&by.expr)?);
            }
            let error = self.no_function(name, &all, span)
            .hint(format!(
                "To use the hypothetical-set aggregate {name}, the number of hypothetical direct arguments (here {given}) must match the number of ordering columns (here {wanted})."
            ));
            return Err(self.at(error, span));
        }
        let filter = function.filter.as_ref();
        let filter = filter.map(|filter| self.boolean(filter, "FILTER")).transpose()?;
        let mut values = Vec::new();
        let mut keys = Vec::new();
        for (arg, by) in args.iter().zip(&function.within_group) {
            let (value, row) = (self.expr(&by.expr)?, self.argument(arg, span)?);
            let (value, row) = self.comparable("<", value, row, span)?;
            values.push(value.clone());
            let is_descending = by.options.asc == Some(false);
            let op = if is_descending { ">" } else { "<" };
            let before = self.binary(op, value.clone(), row.clone(), span)?.expr;
            // NULL beside a value comes before or behind it, as the order says.
            let (value, row) = (Box::new(value.expr), Box::new(row.expr));
            let beside_null = if by.options.nulls_first.unwrap_or(is_descending) {
                [Expr::IsNull(value.clone()), Expr::IsNotNull(row.clone())]
            } else {
                [Expr::IsNotNull(value.clone()), Expr::IsNull(row.clone())]
            };
            let [first, second] = beside_null;
            let before = binary(before, Operator::Or, binary(first, Operator::And, second));
            keys.push((before, binary(*value, Operator::IsNotDistinctFrom, *row)));
        }
        let peer = keys.iter().map(|(_, equal)| equal.clone());
        let peer = peer.reduce(|all, one| binary(all, Operator::And, one));
        let before = keys.into_iter().rev().fold(None, |rest, (before, equal)| {
            Some(match rest {
                None => before,
                Some(rest) => binary(before, Operator::Or, binary(equal, Operator::And, rest)),
            })
        });
        let (Some(before), Some(peer)) = (before, peer) else {
            return Err(Error::internal("WITHIN GROUP has keys"));
        };
        let also = |condition: Expr| match &filter {
            Some(filter) => binary(filter.clone(), Operator::And, condition),
            None => condition,
        };
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        let rows = |condition| count(one.clone(), false, condition);
        let next = |binder: &mut Self, places: Typed| {
            let one = Typed::new(one.clone(), PgType::Int8);
            binder.binary("+", places, one, span)
        };
        match name {
            "rank" => next(self, rows(Some(also(before)))),
            "dense_rank" => {
                let row = self.row(values)?;
                let distinct = count(row.expr, true, Some(also(before)));
                next(self, distinct)
            }
            "percent_rank" => {
                let (part, all) = (rows(Some(also(before))), rows(filter.clone()));
                let share = self.share(part, all.clone(), span)?;
                // Of no rows it is the first.
                let none =
                    Typed::new(Expr::Literal(ScalarValue::Int64(Some(0)), None), PgType::Int8);
                let is_empty = self.binary("=", all, none, span)?.expr;
                let zero = Expr::Literal(ScalarValue::Float64(Some(0.0)), None);
                let case = Case {
                    expr: None,
                    when_then_expr: vec![(Box::new(is_empty), Box::new(zero))],
                    else_expr: Some(Box::new(share.expr)),
                };
                Ok(Typed::new(Expr::Case(case), PgType::Float8))
            }
            _ => {
                let up_to = binary(before, Operator::Or, peer);
                let (part, all) = (rows(Some(also(up_to))), rows(filter.clone()));
                let (part, all) = (next(self, part)?, next(self, all)?);
                self.share(part, all, span)
            }
        }
    }

    fn share(&mut self, part: Typed, all: Typed, span: Span) -> Result<Typed> {
        let part = self.coerce(part, &PgType::Float8, Reason::Implicit)?;
        let all = self.coerce(all, &PgType::Float8, Reason::Implicit)?;
        self.binary("/", part, all, span)
    }
}

fn count(value: Expr, distinct: bool, filter: Option<Expr>) -> Typed {
    let filter = filter.map(Box::new);
    let counted =
        AggregateFunction::new_udf(count_udaf(), vec![value], distinct, filter, vec![], None);
    Typed::new(Expr::AggregateFunction(counted), PgType::Int8)
}
