//! Operators before one operand or between two, by the precedence that PostgreSQL gives them.

use super::{boolean, is_power, literal::number, operator_name};
use crate::{
    error::{Error, Result},
    pgtype::PgType,
    sql::{binder::Binder, coerce::Reason, subquery::row_of, typed::Typed},
};
use datafusion::{
    logical_expr::Expr,
    sql::sqlparser::{
        ast::{self, BinaryOperator, UnaryOperator, Value},
        tokenizer::Span,
    },
};

impl Binder<'_> {
    pub(super) fn unary(
        &mut self,
        op: UnaryOperator,
        inner: &ast::Expr,
        span: Span,
    ) -> Result<Typed> {
        match op {
            UnaryOperator::Not => {
                // NOT EXISTS and NOT IN are what the optimiser knows by name.
                Ok(boolean(match self.boolean(inner, "NOT")? {
                    Expr::Exists(mut exists) => {
                        exists.negated = !exists.negated;
                        Expr::Exists(exists)
                    }
                    Expr::InSubquery(mut within) => {
                        within.negated = !within.negated;
                        Expr::InSubquery(within)
                    }
                    other => Expr::Not(Box::new(other)),
                }))
            }
            UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = inner
                    && let Value::Number(digits, _) = &value.value
                {
                    return Ok(Typed {
                        position: self.position(value.span),
                        ..number(digits, true)?
                    });
                }
                let typed = self.expr(inner)?;
                self.negate(typed, span)
            }
            UnaryOperator::Plus => {
                let typed = self.expr(inner)?;
                let kind = if typed.is_unknown() { PgType::Float8 } else { typed.kind.clone() };
                self.coerce(typed, &kind, Reason::Implicit)
            }
            UnaryOperator::BitwiseNot => {
                let typed = self.expr(inner)?;
                self.call_named("bitnot", vec![typed], span)
            }
            UnaryOperator::PGPrefixFactorial => {
                let typed = self.expr(inner)?;
                self.call_named("tsquery_not", vec![typed], span)
            }
            UnaryOperator::PGAbs => {
                let typed = self.expr(inner)?;
                self.call_named("abs", vec![typed], span)
            }
            UnaryOperator::PGSquareRoot => {
                let typed = self.expr(inner)?;
                self.call_named("sqrt", vec![typed], span)
            }
            UnaryOperator::PGCubeRoot => {
                let typed = self.expr(inner)?;
                self.call_named("cbrt", vec![typed], span)
            }
            other => {
                Err(self.at(Error::unsupported(format!("operator {other} is not supported")), span))
            }
        }
    }

    pub(super) fn binary_expr(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        span: Span,
    ) -> Result<Typed> {
        let name = operator_name(op);
        match (row_of(left), right, row_of(right)) {
            (Some(a), _, Some(b)) => return self.compare_rows(&a, &name, &b, span),
            (Some(row), ast::Expr::Subquery(query), _) => {
                return self.row_beside_subquery(&row, op, query, span);
            }
            _ => {}
        }
        if let Some(quantified) = self.quantified_by_call(left, op, right, span)? {
            return Ok(quantified);
        }
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        self.binary(&name, left, right, span)
    }

    /// `a ^ b ^ c`, from the left.
    pub(super) fn powers(&mut self, expr: &ast::Expr, span: Span) -> Result<Typed> {
        let mut operands = power_operands(expr).into_iter();
        let first = operands.next().ok_or_else(|| Error::internal("a power of nothing"))?;
        let mut power = self.expr(&first)?;
        for exponent in operands {
            let exponent = self.expr(&exponent)?;
            power = self.binary("^", power, exponent, span)?;
        }
        Ok(power)
    }
}

/// What a chain of `^` stands between. A sign is its first operand's: it binds closer than `^`,
/// which sqlparser sees the other way round.
pub(super) fn power_operands(expr: &ast::Expr) -> Vec<ast::Expr> {
    match expr {
        ast::Expr::BinaryOp { left, op: BinaryOperator::PGExp, right } => {
            let mut operands = power_operands(left);
            operands.extend(power_operands(right));
            operands
        }
        ast::Expr::UnaryOp { op, expr: inner } if is_power(expr) => {
            let mut operands = power_operands(inner);
            if let Some(first) = operands.first_mut() {
                *first = ast::Expr::UnaryOp { op: *op, expr: Box::new(first.clone()) };
            }
            operands
        }
        other => vec![other.clone()],
    }
}
