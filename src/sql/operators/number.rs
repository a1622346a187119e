//! Operators of numbers, dates and bits.

use super::widest;
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::{Reason, castable, numeric, scale},
        expression::binary,
        functions::{
            arithmetic, bit,
            call::{Call, call},
            datetime, json, vector_functions,
        },
        typed::{Typed, bare, unmodified},
    },
};
use datafusion::{
    logical_expr::{Operator, Volatility},
    sql::sqlparser::tokenizer::Span,
};
use half::f16;

impl Binder<'_> {
    pub(super) fn arithmetic(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
        use PgType as T;
        // An untyped literal is of its partner's type, but beside a date it is an interval where
        // there is no such operator.
        let (mut left, mut right) = (left, right);
        let given = (left.kind.clone(), right.kind.clone());
        if left.is_unknown() != right.is_unknown() {
            let known = if left.is_unknown() { &right.kind } else { &left.kind };
            let kind = match (known, op) {
                (T::Timestamp(_) | T::Timestamptz(_) | T::Date, "+") => T::Interval(None),
                // A time has no other operator, so that the literal cannot be one.
                (T::Timetz(_), "+" | "-") => T::Interval(None),
                (T::Interval(_), "*" | "/") => T::Float8,
                (T::Vector(_) | T::Halfvec(_), _) => bare(known),
                (T::Jsonb, "-") => T::Text,
                (T::Numeric(_), _) => T::Numeric(None),
                (kind, _) => unmodified(kind),
            };
            if left.is_unknown() {
                left = self.coerce(left, &kind, Reason::Implicit)?;
            } else {
                right = self.coerce(right, &kind, Reason::Implicit)?;
            }
        }
        let kinds = (left.kind.clone(), right.kind.clone());
        if let (T::Vector(_) | T::Halfvec(_), T::Vector(_) | T::Halfvec(_)) = (&kinds.0, &kinds.1) {
            let kind = widest(&kinds.0, &kinds.1);
            let body = match kind {
                T::Vector(_) => vector_functions::operator::<f32>(op),
                _ => vector_functions::operator::<f16>(op),
            };
            let body = body.ok_or_else(|| self.no_operator(op, &given.0, &given.1, span))?;
            let left = self.coerce(left, &kind, Reason::Implicit)?;
            let right = self.coerce(right, &kind, Reason::Implicit)?;
            let name = format!("{kind} {op}");
            let function = self.own(&name, vec![left.kind, right.kind], kind.clone(), body);
            return Ok(Typed::new(call(function, vec![left.expr, right.expr]), kind));
        }
        let is_key = match &kinds.1 {
            T::Int2 | T::Int4 => true,
            T::Array(element) => element.is_textual(),
            kind => kind.is_textual(),
        };
        if let (T::Jsonb, "-", true) = (&kinds.0, op, is_key) {
            let function = Call::udf(
                "jsonb_delete",
                vec![kinds.0, kinds.1],
                T::Jsonb,
                Volatility::Immutable,
                json::edit::delete,
                self.context,
            );
            return Ok(Typed::new(call(function, vec![left.expr, right.expr]), T::Jsonb));
        }
        let is_number = |kind: &T| {
            matches!(kind, T::Int2 | T::Int4 | T::Int8 | T::Float4 | T::Float8 | T::Numeric(_))
        };
        if is_number(&kinds.0) && is_number(&kinds.1) {
            return self.number_arithmetic(op, left, right);
        }
        if let Some((a, b, result, body)) = datetime::operators::operator(op, &kinds.0, &kinds.1) {
            let left = self.coerce(left, &a, Reason::Implicit)?;
            let right = self.coerce(right, &b, Reason::Implicit)?;
            let name = format!("{a} {op} {b}");
            let function = Call::udf(
                &name,
                vec![a, b],
                result.clone(),
                Volatility::Stable,
                body,
                self.context,
            );
            return Ok(Typed::new(call(function, vec![left.expr, right.expr]), result));
        }
        Err(self.no_operator(op, &given.0, &given.1, span))
    }

    pub(super) fn number_arithmetic(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed> {
        use PgType as T;
        let both = [left.clone(), right.clone()];
        let mut kind = self.common_type("arithmetic", &both)?;
        kind = among_floats(kind, &left, &right);
        if op == "^" {
            kind = if matches!(kind, T::Numeric(_)) { T::Numeric(None) } else { T::Float8 };
        }
        if matches!(kind, T::Float4) && op == "%" {
            kind = T::Float8;
        }
        if let T::Numeric(_) = kind {
            // The digits that each side has decide those of the result.
            let left = self.decimal(left)?;
            let right = self.decimal(right)?;
            let (a, b) = (scale(&left.kind), scale(&right.kind));
            let result = match op {
                "*" => numeric(a.saturating_add(b)),
                "/" | "^" => QUOTIENT,
                _ => numeric(a.max(b)),
            };
            let body = arithmetic::numeric_operator(op);
            let function = self.own(
                &format!("numeric {op}"),
                vec![left.kind, right.kind],
                result.clone(),
                body,
            );
            return Ok(Typed::new(call(function, vec![left.expr, right.expr]), result));
        }
        let left = self.coerce(left, &kind, Reason::Implicit)?;
        let right = self.coerce(right, &kind, Reason::Implicit)?;
        let body = arithmetic::operator(op);
        let function = self.own(&format!("{kind} {op}"), vec![kind.clone(); 2], kind.clone(), body);
        Ok(Typed::new(call(function, vec![left.expr, right.expr]), kind))
    }

    /// A number as a decimal of its own scale.
    pub(crate) fn decimal(&mut self, typed: Typed) -> Result<Typed> {
        match typed.kind {
            PgType::Numeric(_) => Ok(typed),
            PgType::Int2 | PgType::Int4 | PgType::Int8 => {
                self.coerce(typed, &numeric(0), Reason::Implicit)
            }
            _ => self.coerce(typed, &PgType::Numeric(None), Reason::Assignment),
        }
    }

    /// Unary minus.
    pub(crate) fn negate(&mut self, typed: Typed, span: Span) -> Result<Typed> {
        let typed = if typed.is_unknown() {
            self.coerce(typed, &PgType::Float8, Reason::Implicit)?
        } else {
            typed
        };
        let kind = typed.kind.clone();
        match kind {
            PgType::Int2
            | PgType::Int4
            | PgType::Int8
            | PgType::Float4
            | PgType::Float8
            | PgType::Numeric(_) => {
                let function = self.own("-", vec![kind.clone()], kind.clone(), arithmetic::negate);
                Ok(Typed::new(call(function, vec![typed.expr]), kind))
            }
            PgType::Interval(_) => {
                let (name, kind) = ("interval_negate", PgType::Interval(None));
                let body = datetime::operators::negated;
                let function = self.own(name, vec![kind.clone()], kind.clone(), body);
                Ok(Typed::new(call(function, vec![typed.expr]), kind))
            }
            other => {
                let error = Error::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!("operator does not exist: - {}", bare(&other)),
                )
                .hint("No operator matches the given name and argument type. You might need to add an explicit type cast.");
                Err(self.at(error, span))
            }
        }
    }

    pub(super) fn bits(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
        let is_bits = |typed: &Typed| matches!(typed.kind, PgType::Bit(_) | PgType::Varbit(_));
        if (is_bits(&left) || is_bits(&right))
            && let Some((name, body)) = bit::operator(op)
        {
            let first = PgType::Bit(None);
            let second = if matches!(op, "<<" | ">>") { PgType::Int4 } else { PgType::Bit(None) };
            let fits = |from: &PgType, to| castable(from, to) == Some(Reason::Implicit);
            if !fits(&left.kind, &first) || !fits(&right.kind, &second) {
                return Err(self.no_operator(op, &left.kind, &right.kind, span));
            }
            let left = self.coerce(left, &first, Reason::Implicit)?;
            let right = self.coerce(right, &second, Reason::Implicit)?;
            let function = self.own(name, vec![left.kind, right.kind], first.clone(), body);
            return Ok(Typed::new(call(function, vec![left.expr, right.expr]), first));
        }
        let both = [left.clone(), right.clone()];
        let kind = match self.common_type(op, &both) {
            Ok(kind @ (PgType::Int2 | PgType::Int4 | PgType::Int8)) => kind,
            _ => return Err(self.no_operator(op, &left.kind, &right.kind, span)),
        };
        let operator = match op {
            "&" => Operator::BitwiseAnd,
            "|" => Operator::BitwiseOr,
            "#" => Operator::BitwiseXor,
            "<<" => Operator::BitwiseShiftLeft,
            _ => Operator::BitwiseShiftRight,
        };
        let left = self.coerce(left, &kind, Reason::Implicit)?;
        let right = self.coerce(right, &kind, Reason::Implicit)?;
        Ok(Typed::new(binary(left.expr, operator, right.expr), kind))
    }
}

/// A real beside a number of another type is double precision: PostgreSQL has no operator for the
/// two, and prefers that one.
pub(super) fn among_floats(common: PgType, left: &Typed, right: &Typed) -> PgType {
    let both = left.kind == PgType::Float4 && right.kind == PgType::Float4;
    if common == PgType::Float4 && !both { PgType::Float8 } else { common }
}

/// A quotient is shown with as many digits as it is computed to.
pub(crate) const QUOTIENT: PgType = PgType::Numeric(Some(crate::pgtype::NUMERIC_ANY));
