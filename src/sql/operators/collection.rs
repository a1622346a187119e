//! Operators of what holds several values: text, arrays, JSON.

use super::widest;
use crate::{
    error::{Error, Result},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        expression::{binary, boolean},
        functions::{
            array, bit,
            call::{Body, call},
            json, text, vector_functions,
        },
        typed::Typed,
    },
};
use datafusion::{logical_expr::Operator, sql::sqlparser::tokenizer::Span};
use half::f16;

impl Binder<'_> {
    pub(super) fn concatenation(&mut self, left: Typed, right: Typed, span: Span) -> Result<Typed> {
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

    pub(super) fn array_concatenation(
        &mut self,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
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

    pub(super) fn containment(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
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

    pub(super) fn json_operator(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
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
            "#-" if json == T::Jsonb => (T::Text.array(), T::Jsonb, json::edit::delete_path),
            "@?" if json == T::Jsonb => (T::Jsonpath, T::Bool, json::path::exists_silently),
            "@@" if json == T::Jsonb => (T::Jsonpath, T::Bool, json::path::matches_silently),
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
}
