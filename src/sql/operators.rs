//! Operators, chosen by the types of their operands as PostgreSQL chooses them.

mod collection;
pub(crate) mod number;
mod text_search;

use self::number::among_floats;
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, RegKind},
    sql::{
        binder::Binder,
        coerce::{Reason, castable, numeric, scale},
        expression::{binary, boolean, operator_name},
        functions::{
            array,
            call::{Body, Call, call},
            datetime, distance,
            text::dialect::for_operator,
            vector_functions,
        },
        typed::{Typed, bare, unmodified},
    },
    vector::Metric,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Operator, ScalarUDF, Volatility, expr::InList},
    sql::sqlparser::{ast, tokenizer::Span},
};
use half::f16;
use std::sync::Arc;

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
        if text_search::is_of_text(op, &left, &right) {
            return self.text_search_operator(op, left, right, span);
        }
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
                    let right = match right {
                        Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) => {
                            Expr::Literal(ScalarValue::Utf8(Some(for_operator(&pattern))), None)
                        }
                        other => other,
                    };
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
        let (left, right) = (self.padded_text(left)?, self.padded_text(right)?);
        Ok(make(left.expr, right.expr))
    }

    /// A text as patterns see it, `character(n)` with what pads it.
    pub(crate) fn padded_text(&mut self, typed: Typed) -> Result<Typed> {
        match typed.kind {
            PgType::Bpchar(_) => Ok(Typed { kind: PgType::Text, ..typed }),
            _ => self.coerce(typed, &PgType::Text, Reason::Implicit),
        }
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
                T::Vector(_) | T::Halfvec(_) | T::Sparsevec(_) => bare(kind),
                T::Numeric(_) => T::Numeric(None),
                T::Reg(_) => kind.clone(),
                other => unmodified(other),
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
            (T::Json | T::Record | T::Composite(_), _)
            | (_, T::Json | T::Record | T::Composite(_)) => {
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
        if let T::Bpchar(_) = kind {
            return self.comparable_padded(left, right);
        }
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

    /// Two `character(n)`, of which what pads them does not count: of one length, or without it.
    fn comparable_padded(&mut self, left: Typed, right: Typed) -> Result<(Typed, Typed)> {
        let padded = |typed: &Typed, other: &Typed| match (&typed.kind, other.untyped()) {
            (PgType::Bpchar(Some(length)), Some(Some(text))) => {
                let signs = text.trim_end_matches(' ').chars().count();
                u32::try_from(signs).is_ok_and(|signs| signs <= *length)
            }
            (kind @ PgType::Bpchar(Some(_)), None) => *kind == other.kind,
            _ => false,
        };
        if padded(&left, &right) {
            let right = self.coerce(right, &left.kind.clone(), Reason::Explicit)?;
            return Ok((left, right));
        }
        if padded(&right, &left) {
            let left = self.coerce(left, &right.kind.clone(), Reason::Explicit)?;
            return Ok((left, right));
        }
        let mut plain = |typed: Typed| {
            let typed = self.coerce(typed, &PgType::Bpchar(None), Reason::Implicit)?;
            self.coerce(typed, &PgType::Text, Reason::Implicit)
        };
        Ok((plain(left)?, plain(right)?))
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
        if let Some(compared) = self.compare_composites(op, &left, &right, span)? {
            return Ok(compared);
        }
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
        let (left, right) = (self.ordered(left), self.ordered(right));
        Ok(boolean(binary(left.expr, operator, right.expr)))
    }

    /// What a value is compared and sorted by where Arrow's order is not PostgreSQL's: an interval by
    /// its length, of which a month is 30 days.
    pub(crate) fn ordered(&self, typed: Typed) -> Typed {
        if !matches!(typed.kind, PgType::Interval(_)) {
            return typed;
        }
        let length = numeric(0);
        let function = self.own(
            "interval_length",
            vec![PgType::Interval(None)],
            length.clone(),
            datetime::parts::length,
        );
        Typed::new(call(function, vec![typed.expr]), length)
    }

    /// What a window sorts by: none of them knows the order of bytes, which carry times with a zone.
    pub(crate) fn ordered_in_window(&self, typed: Typed) -> Typed {
        if !matches!(typed.kind, PgType::Timetz(_)) {
            return typed;
        }
        let (place, kind) = (numeric(0), vec![typed.kind]);
        let function = self.own("timetz_place", kind, place.clone(), datetime::timetz::place);
        Typed::new(call(function, vec![typed.expr]), place)
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
        let is_comparison = matches!(op, "=" | "<>" | "<" | "<=" | ">" | ">=");
        // Of equal scale they compare as they are, so that a key is looked up.
        let is_scaled = matches!(element, T::Numeric(Some(_)));
        let kind = if is_comparison && is_scaled && value.kind == element {
            element.clone()
        } else if is_comparison {
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
        let function =
            array::quantified::quantified(op, all, kind, self.context).ok_or_else(|| {
                self.at(
                    Error::unsupported(format!("operator {op} with ANY or ALL is not supported")),
                    span,
                )
            })?;
        Ok(boolean(call(function, vec![value.expr, array.expr])))
    }
}
