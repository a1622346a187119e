//! Operators, chosen by the types of their operands as PostgreSQL chooses them.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, RegKind},
    sql::{
        binder::Binder,
        coerce::{Reason, bare, castable, numeric, scale},
        expression::{binary, boolean, operator_name},
        functions::{
            arithmetic, array, bit,
            call::{Body, Call, call},
            datetime, distance, json, text, vector_functions,
        },
        typed::Typed,
    },
    vector::Metric,
};
use datafusion::{
    logical_expr::{Expr, Operator, ScalarUDF, Volatility, expr::InList},
    sql::sqlparser::{ast, tokenizer::Span},
};
use half::f16;
use std::sync::Arc;

/// A real beside a number of another type is double precision: PostgreSQL has no operator for the
/// two, and prefers that one.
fn among_floats(common: PgType, left: &Typed, right: &Typed) -> PgType {
    let both = left.kind == PgType::Float4 && right.kind == PgType::Float4;
    if common == PgType::Float4 && !both { PgType::Float8 } else { common }
}

/// Of two types of vectors that to which the other is cast unasked; an untyped literal is of its
/// partner's type.
fn widest(a: &PgType, b: &PgType) -> PgType {
    match castable(a, b) {
        Some(Reason::Implicit) if !matches!(b, PgType::Unknown) => bare(b),
        _ => bare(a),
    }
}

/// 42725: several functions or operators fit alike.
pub(crate) fn not_unique(message: &str, what: &str) -> Error {
    Error::new(SqlState::new(b"42725"), message).hint(format!(
        "Could not choose a best candidate {what}. You might need to add explicit type casts."
    ))
}

/// A quotient is shown with as many digits as it is computed to.
pub(crate) const QUOTIENT: PgType = PgType::Numeric(Some(crate::pgtype::NUMERIC_ANY));

impl Binder<'_> {
    /// A function of ours that gives the same for the same arguments.
    pub(crate) fn own(
        &self,
        name: &str,
        args: Vec<PgType>,
        result: PgType,
        body: Body,
    ) -> Arc<ScalarUDF> {
        Call::udf(name, args, result, Volatility::Immutable, body, self.context)
    }

    /// Applies an operator.
    ///
    /// # Errors
    /// 42883 where there is none for these types.
    pub(crate) fn binary(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
        match op {
            "=" | "<>" | "<" | "<=" | ">" | ">=" => self.comparison(op, left, right, span),
            "+" | "-" | "*" | "/" | "%" | "^" => self.arithmetic(op, left, right, span),
            "||" => self.concatenation(left, right, span),
            "~" | "~*" | "!~" | "!~*" => {
                let operator = match op {
                    "~" => Operator::RegexMatch,
                    "~*" => Operator::RegexIMatch,
                    "!~" => Operator::RegexNotMatch,
                    _ => Operator::RegexNotIMatch,
                };
                self.on_text(op, left, right, span, |left, right| {
                    boolean(binary(left, operator, right))
                })
            }
            "~~" | "!~~" | "~~*" | "!~~*" => {
                self.like_typed(left, right, None, op.starts_with('!'), op.ends_with('*'), span)
            }
            "^@" => self.call_named("starts_with", vec![left, right], span),
            "<->" | "<#>" | "<=>" | "<+>" | "<~>" | "<%>" => {
                let Some(metric) = Metric::from_operator(op) else {
                    return Err(Error::internal("an operator without a metric"));
                };
                self.distance(op, metric, left, right, span)
            }
            "@>" | "<@" | "&&" => self.containment(op, left, right, span),
            "->" | "->>" | "#>" | "#>>" | "?" | "?|" | "?&" | "#-" | "@?" | "@@" => {
                self.json_operator(op, left, right, span)
            }
            "&" | "|" | "#" | "<<" | ">>" => self.bits(op, left, right, span),
            _ => Err(self.no_operator(op, &left.kind, &right.kind, span)),
        }
    }

    /// `operator does not exist: …`
    pub(crate) fn no_operator(&self, op: &str, left: &PgType, right: &PgType, span: Span) -> Error {
        let error = Error::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("operator does not exist: {} {op} {}", bare(left), bare(right)),
        )
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.");
        self.at(error, span)
    }

    fn on_text(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
        make: impl FnOnce(Expr, Expr) -> Typed,
    ) -> Result<Typed> {
        let is_text = |typed: &Typed| {
            typed.is_unknown() || typed.kind.is_textual() || typed.kind == PgType::Char
        };
        if !is_text(&left) || !is_text(&right) {
            return Err(self.no_operator(op, &left.kind, &right.kind, span));
        }
        let left = self.coerce(left, &PgType::Text, Reason::Implicit)?;
        let right = self.coerce(right, &PgType::Text, Reason::Implicit)?;
        Ok(make(left.expr, right.expr))
    }

    /// Both operands of a comparison as one type.
    pub(crate) fn comparable(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<(Typed, Typed)> {
        use PgType as T;
        let kind = match (&left.kind, &right.kind) {
            (T::Unknown, T::Unknown) => T::Text,
            // A name beside a literal: the literal is text as it stands.
            (T::Unknown, kind) | (kind, T::Unknown) => match kind {
                T::Varchar(_) | T::Name => T::Text,
                T::Bpchar(_) => T::Bpchar(None),
                T::Vector(_) | T::Halfvec(_) | T::Sparsevec(_) | T::Bit(_) | T::Varbit(_) => {
                    bare(kind)
                }
                T::Numeric(_) => T::Numeric(None),
                T::Reg(_) => kind.clone(),
                other => other.clone(),
            },
            (T::Oid | T::Reg(_) | T::Xid, T::Oid | T::Reg(_) | T::Xid) => T::Oid,
            (T::Oid | T::Reg(_) | T::Xid, T::Int2 | T::Int4)
            | (T::Int2 | T::Int4, T::Oid | T::Reg(_) | T::Xid) => T::Oid,
            (T::Oid | T::Reg(_), T::Int8) | (T::Int8, T::Oid | T::Reg(_)) => T::Int8,
            (T::Reg(kind @ RegKind::Class), other) | (other, T::Reg(kind @ RegKind::Class))
                if other.is_textual() =>
            {
                T::Reg(*kind)
            }
            (T::Char, other) | (other, T::Char) if other.is_textual() => T::Text,
            (
                T::Vector(_) | T::Halfvec(_) | T::Sparsevec(_),
                T::Vector(_) | T::Halfvec(_) | T::Sparsevec(_),
            ) => widest(&left.kind, &right.kind),
            (T::Int2vector | T::Oidvector, T::Int2vector | T::Oidvector) => left.kind.clone(),
            (T::Json, _) | (_, T::Json) | (T::Record, _) | (_, T::Record) => {
                return Err(self.no_operator(op, &left.kind, &right.kind, span));
            }
            _ => {
                let both = [left.clone(), right.clone()];
                let kind = self
                    .common_type("comparison", &both)
                    .map_err(|_| self.no_operator(op, &left.kind, &right.kind, span))?;
                among_floats(kind, &left, &right)
            }
        };
        // Arrow compares decimals of one shape.
        let kind = match kind {
            T::Numeric(_) => {
                let of = |typed: &Typed, other: &Typed| match typed.kind {
                    T::Numeric(_) => scale(&typed.kind),
                    T::Unknown => scale(&other.kind).max(crate::pgtype::NUMERIC_ANY.1),
                    _ => 0,
                };
                let kind = numeric(of(&left, &right).max(of(&right, &left)));
                return Ok((self.shaped(left, &kind)?, self.shaped(right, &kind)?));
            }
            other => other,
        };
        Ok((self.coerce_comparable(left, &kind)?, self.coerce_comparable(right, &kind)?))
    }

    fn coerce_comparable(&mut self, typed: Typed, kind: &PgType) -> Result<Typed> {
        let reason = match (&typed.kind, kind) {
            (PgType::Oid | PgType::Reg(_), PgType::Int8) => Reason::Assignment,
            _ => Reason::Implicit,
        };
        // An undeclared vector is laid out in its own way.
        if matches!(kind, PgType::Vector(None) | PgType::Halfvec(None)) {
            return self.shaped(typed, kind);
        }
        self.coerce(typed, kind, reason)
    }

    /// The expression in exactly the layout of a type.
    pub(crate) fn shaped(&mut self, typed: Typed, kind: &PgType) -> Result<Typed> {
        let typed = self.coerce(typed, kind, Reason::Implicit)?;
        if typed.kind.arrow() == kind.arrow() {
            return Ok(typed);
        }
        self.coerce(typed, kind, Reason::Assignment)
    }

    fn comparison(&mut self, op: &str, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        let (left, right) = self.comparable(op, left, right, span)?;
        let operator = match op {
            "=" => Operator::Eq,
            "<>" => Operator::NotEq,
            "<" => Operator::Lt,
            "<=" => Operator::LtEq,
            ">" => Operator::Gt,
            _ => Operator::GtEq,
        };
        let own = match left.kind {
            PgType::Vector(_) => Some(vector_functions::comparison::<f32>(op)),
            PgType::Halfvec(_) => Some(vector_functions::comparison::<f16>(op)),
            _ => None,
        };
        if let Some(body) = own {
            let name = format!("{} {op}", left.kind.typname());
            let function = self.own(&name, vec![left.kind, right.kind], PgType::Bool, body);
            return Ok(boolean(call(function, vec![left.expr, right.expr])));
        }
        Ok(boolean(binary(left.expr, operator, right.expr)))
    }

    fn arithmetic(&mut self, op: &str, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        use PgType as T;
        // An untyped literal is of its partner's type, but beside a date it is an interval where
        // there is no such operator.
        let (mut left, mut right) = (left, right);
        let given = (left.kind.clone(), right.kind.clone());
        if left.is_unknown() != right.is_unknown() {
            let known = if left.is_unknown() { &right.kind } else { &left.kind };
            let kind = match (known, op) {
                (T::Timestamp | T::Timestamptz, "+") | (T::Date, "+") => T::Interval,
                (T::Interval, "*" | "/") => T::Float8,
                (T::Vector(_) | T::Halfvec(_), _) => bare(known),
                (T::Jsonb, "-") => T::Text,
                (T::Numeric(_), _) => T::Numeric(None),
                (kind, _) => kind.clone(),
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
        if let (T::Jsonb, "-") = (&kinds.0, op) {
            let function = Call::udf(
                "jsonb_delete",
                vec![kinds.0, kinds.1],
                T::Jsonb,
                Volatility::Immutable,
                json::delete,
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
        if let Some((a, b, result, body)) = datetime::operator(op, &kinds.0, &kinds.1) {
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

    fn number_arithmetic(&mut self, op: &str, left: Typed, right: Typed) -> Result<Typed> {
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
            | PgType::Numeric(_)
            | PgType::Interval => {
                let function = self.own("-", vec![kind.clone()], kind.clone(), arithmetic::negate);
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

    fn concatenation(&mut self, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        use PgType as T;
        let is_array = |typed: &Typed| matches!(typed.kind, T::Array(_));
        if is_array(&left) || is_array(&right) {
            return self.array_concatenation(left, right, span);
        }
        match (&left.kind, &right.kind) {
            (T::Vector(_) | T::Halfvec(_), T::Vector(_) | T::Halfvec(_) | T::Unknown)
            | (T::Unknown, T::Vector(_) | T::Halfvec(_)) => {
                let kind = widest(&left.kind, &right.kind);
                let left = self.coerce(left, &kind, Reason::Implicit)?;
                let right = self.coerce(right, &kind, Reason::Implicit)?;
                let body: Body = match kind {
                    T::Vector(_) => vector_functions::concat::<f32>,
                    _ => vector_functions::concat::<f16>,
                };
                let name = format!("{kind}_concat");
                let function = self.own(&name, vec![left.kind, right.kind], kind.clone(), body);
                Ok(Typed::new(call(function, vec![left.expr, right.expr]), kind))
            }
            (T::Bit(_) | T::Varbit(_), T::Bit(_) | T::Varbit(_) | T::Unknown)
            | (T::Unknown, T::Bit(_) | T::Varbit(_)) => {
                let kind = T::Varbit(None);
                let left = self.coerce(left, &kind, Reason::Implicit)?;
                let right = self.coerce(right, &kind, Reason::Implicit)?;
                let function = self.own("bitcat", vec![kind.clone(); 2], kind.clone(), bit::concat);
                Ok(Typed::new(call(function, vec![left.expr, right.expr]), kind))
            }
            (T::Jsonb, T::Jsonb | T::Unknown) | (T::Unknown, T::Jsonb) => {
                let left = self.coerce(left, &T::Jsonb, Reason::Implicit)?;
                let right = self.coerce(right, &T::Jsonb, Reason::Implicit)?;
                let function = self.own("jsonb_concat", vec![T::Jsonb; 2], T::Jsonb, json::concat);
                Ok(Typed::new(call(function, vec![left.expr, right.expr]), T::Jsonb))
            }
            (T::Bytea, T::Bytea | T::Unknown) | (T::Unknown, T::Bytea) => {
                let left = self.coerce(left, &T::Bytea, Reason::Implicit)?;
                let right = self.coerce(right, &T::Bytea, Reason::Implicit)?;
                let function =
                    self.own("byteacat", vec![T::Bytea; 2], T::Bytea, text::concat_bytes);
                Ok(Typed::new(call(function, vec![left.expr, right.expr]), T::Bytea))
            }
            (a, b) => {
                let is_text = |kind: &T| kind.is_textual();
                if !is_text(a) && !is_text(b) {
                    return Err(self.no_operator("||", &left.kind, &right.kind, span));
                }
                let left = self.coerce(left, &T::Text, Reason::Assignment)?;
                let right = self.coerce(right, &T::Text, Reason::Assignment)?;
                Ok(Typed::new(binary(left.expr, Operator::StringConcat, right.expr), T::Text))
            }
        }
    }

    fn array_concatenation(&mut self, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        use PgType as T;
        let element = |typed: &Typed| match &typed.kind {
            T::Array(element) => (**element).clone(),
            other => other.clone(),
        };
        let both = [
            Typed::new(left.expr.clone(), element(&left)),
            Typed::new(right.expr.clone(), element(&right)),
        ];
        let kind = self
            .common_type("||", &both)
            .map_err(|_| self.no_operator("||", &left.kind, &right.kind, span))?;
        let array = kind.clone().array();
        let mut side = |typed: Typed, partner_is_array: bool| match (&typed.kind, partner_is_array)
        {
            // An untyped literal beside an array is an array.
            (T::Array(_), _) | (T::Unknown, true) => self.coerce(typed, &array, Reason::Implicit),
            _ => {
                let one = self.coerce(typed, &kind, Reason::Implicit)?;
                let function = self.own("array", vec![kind.clone()], array.clone(), array::make);
                Ok(Typed::new(call(function, vec![one.expr]), array.clone()))
            }
        };
        let (left_is, right_is) =
            (matches!(left.kind, T::Array(_)), matches!(right.kind, T::Array(_)));
        let left = side(left, right_is)?;
        let right = side(right, left_is)?;
        let function = self.own("array_cat", vec![array.clone(); 2], array.clone(), array::concat);
        Ok(Typed::new(call(function, vec![left.expr, right.expr]), array))
    }

    pub(crate) fn distance(
        &mut self,
        op: &str,
        metric: Metric,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
        let no_operator = |binder: &Self| binder.no_operator(op, &left.kind, &right.kind, span);
        let kind = match (&left.kind, &right.kind) {
            (PgType::Unknown, PgType::Unknown) if metric.is_of_bits() => PgType::Bit(None),
            (PgType::Unknown, PgType::Unknown) => {
                return Err(self.at(
                    not_unique(
                        &format!("operator is not unique: unknown {op} unknown"),
                        "operator",
                    ),
                    span,
                ));
            }
            (PgType::Varbit(_), PgType::Varbit(_) | PgType::Bit(_) | PgType::Unknown)
            | (PgType::Bit(_) | PgType::Unknown, PgType::Varbit(_)) => PgType::Bit(None),
            (left, right) => widest(left, right),
        };
        let Some(space) = kind.space() else { return Err(no_operator(self)) };
        let fits =
            |kind: &PgType| castable(kind, &PgType::of_space(space)) == Some(Reason::Implicit);
        if !space.metrics().any(|m| m == metric) || !fits(&left.kind) || !fits(&right.kind) {
            return Err(no_operator(self));
        }
        let left = self.coerce(left, &kind, Reason::Implicit)?;
        let right = self.coerce(right, &kind, Reason::Implicit)?;
        Ok(Typed::new(distance::call(space, metric, left.expr, right.expr), PgType::Float8))
    }

    fn containment(&mut self, op: &str, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        use PgType as T;
        let (left, right, op) = if op == "<@" { (right, left, "@>") } else { (left, right, op) };
        match (&left.kind, &right.kind) {
            (T::Jsonb, T::Jsonb | T::Unknown) | (T::Unknown, T::Jsonb) if op == "@>" => {
                let left = self.coerce(left, &T::Jsonb, Reason::Implicit)?;
                let right = self.coerce(right, &T::Jsonb, Reason::Implicit)?;
                let function =
                    self.own("jsonb_contains", vec![T::Jsonb; 2], T::Bool, json::contains);
                Ok(boolean(call(function, vec![left.expr, right.expr])))
            }
            (T::Array(_), T::Array(_) | T::Unknown) | (T::Unknown, T::Array(_)) => {
                let both = [left.clone(), right.clone()];
                let kind = self
                    .common_type(op, &both)
                    .map_err(|_| self.no_operator(op, &left.kind, &right.kind, span))?;
                let left = self.coerce(left, &kind, Reason::Implicit)?;
                let right = self.coerce(right, &kind, Reason::Implicit)?;
                let (name, body): (_, Body) = match op {
                    "@>" => ("array_contains", array::contains),
                    _ => ("array_overlaps", array::overlaps),
                };
                let function = self.own(name, vec![kind.clone(); 2], T::Bool, body);
                Ok(boolean(call(function, vec![left.expr, right.expr])))
            }
            _ => Err(self.no_operator(op, &left.kind, &right.kind, span)),
        }
    }

    fn json_operator(&mut self, op: &str, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        use PgType as T;
        let left =
            if left.is_unknown() { self.coerce(left, &T::Jsonb, Reason::Implicit)? } else { left };
        let json = left.kind.clone();
        if !matches!(json, T::Json | T::Jsonb) {
            return Err(self.no_operator(op, &left.kind, &right.kind, span));
        }
        let (want, result, body): (T, T, Body) = match op {
            "->" | "->>" => {
                let by_number = matches!(right.kind, T::Int2 | T::Int4 | T::Int8);
                let want = if by_number { T::Int4 } else { T::Text };
                let result = if op == "->" { json.clone() } else { T::Text };
                (
                    want,
                    result,
                    match (op, by_number) {
                        ("->", false) => json::field,
                        ("->", true) => json::element,
                        (_, false) => json::field_text,
                        (_, true) => json::element_text,
                    },
                )
            }
            "#>" => (T::Text.array(), json.clone(), json::path),
            "#>>" => (T::Text.array(), T::Text, json::path_text),
            "?" => (T::Text, T::Bool, json::has_key),
            "?|" => (T::Text.array(), T::Bool, json::has_any_key),
            "?&" => (T::Text.array(), T::Bool, json::has_all_keys),
            _ => {
                return Err(self.at(
                    Error::unsupported(format!("operator {op} on json is not supported")),
                    span,
                ));
            }
        };
        let reason = if want == T::Int4 { Reason::Assignment } else { Reason::Implicit };
        let right = self.coerce(right, &want, reason)?;
        let function = self.own(&format!("json {op}"), vec![json, want], result.clone(), body);
        Ok(Typed::new(call(function, vec![left.expr, right.expr]), result))
    }

    fn bits(&mut self, op: &str, left: Typed, right: Typed, span: Span) -> Result<Typed> {
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

    /// `x op ANY (array)`, `x op ALL (array)`, and the same over a query.
    pub(crate) fn quantified(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        all: bool,
        span: Span,
    ) -> Result<Typed> {
        let name = operator_name(op);
        let right = match right {
            ast::Expr::Nested(inner) => inner.as_ref(),
            other => other,
        };
        if let ast::Expr::Subquery(query) = right {
            return match (name.as_str(), all) {
                ("=", false) => self.in_subquery(left, query, false, span),
                ("<>", true) => self.in_subquery(left, query, true, span),
                _ => {
                    let value = self.expr(left)?;
                    let array = self.array_subquery(query)?;
                    self.any_or_all(&name, value, array, all, span)
                }
            };
        }
        if let (ast::Expr::Array(list), "=" | "<>") = (right, name.as_str())
            && all == (name == "<>")
            && !list.elem.is_empty()
        {
            let in_list = ast::Expr::InList {
                expr: Box::new(left.clone()),
                list: list.elem.clone(),
                negated: all,
            };
            return self.expr(&in_list);
        }
        let value = self.expr(left)?;
        let array = self.expr(right)?;
        self.any_or_all(&name, value, array, all, span)
    }

    pub(crate) fn any_or_all(
        &mut self,
        op: &str,
        value: Typed,
        array: Typed,
        all: bool,
        span: Span,
    ) -> Result<Typed> {
        use PgType as T;
        // An untyped array holds what is on the other side, an untyped value what the array holds.
        let array = if array.is_unknown() {
            let element = if value.is_unknown() { T::Text } else { bare(&value.kind) };
            self.coerce(array, &element.array(), Reason::Implicit)?
        } else {
            array
        };
        let element = match &array.kind {
            T::Array(element) => (**element).clone(),
            T::Int2vector => T::Int2,
            T::Oidvector => T::Oid,
            _ => {
                let error = Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    "op ANY/ALL (array) requires array on right side",
                );
                return Err(self.at(error, span));
            }
        };
        let probe = Typed::new(array.expr.clone(), element.clone());
        let kind = if matches!(op, "=" | "<>" | "<" | "<=" | ">" | ">=") {
            let (value, _) = self.comparable(op, value.clone(), probe, span)?;
            value.kind
        } else if castable(&element, &T::Text) == Some(Reason::Implicit) {
            T::Text
        } else {
            return Err(self.no_operator(op, &value.kind, &array.kind, span));
        };
        let value = self.shaped(value, &kind)?;
        let array = if element == kind {
            array
        } else {
            self.coerce(array, &kind.clone().array(), Reason::Explicit)?
        };
        // A list that is there already is one that the optimiser can look into.
        if op == "="
            && !all
            && let Expr::ScalarFunction(function) = &array.expr
            && function.func.name() == "array"
        {
            return Ok(boolean(Expr::InList(InList::new(
                Box::new(value.expr),
                function.args.clone(),
                false,
            ))));
        }
        let function = array::quantified(op, all, kind, self.context).ok_or_else(|| {
            self.at(
                Error::unsupported(format!("operator {op} with ANY or ALL is not supported")),
                span,
            )
        })?;
        Ok(boolean(call(function, vec![value.expr, array.expr])))
    }
}
