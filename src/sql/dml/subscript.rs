//! `SET a[2] = x`, `SET a[2:3] = y`, `SET j['key'] = z`: the old value with a part of it replaced.

use super::Place;
use crate::{
    catalog::Column as TableColumn,
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        functions::{array, call::call, json},
        typed::{Typed, bare},
    },
};
use datafusion::{
    common::ScalarValue,
    sql::sqlparser::{
        ast::{self, AccessExpr, Subscript},
        tokenizer::Span,
    },
};

impl Binder<'_> {
    /// The value of a column in which what the subscripts name is another.
    pub(super) fn replaced_part(
        &mut self,
        column: &TableColumn,
        old: Typed,
        subscripts: &[AccessExpr],
        new: Typed,
        span: Span,
    ) -> Result<Typed> {
        match (&column.kind, subscripts) {
            (PgType::Jsonb, _) => self.replaced_member(column, old, subscripts, new, span),
            (PgType::Array(element), [AccessExpr::Subscript(one)]) => {
                let element = (**element).clone();
                self.replaced_elements(column, element, old, one, new, span)
            }
            (PgType::Array(_), _) => {
                let what = "arrays of more than one dimension are not supported";
                Err(self.at(Error::unsupported(what), span))
            }
            (other, _) => {
                let what = format!(
                    "cannot subscript type {} because it does not support subscripting",
                    bare(other)
                );
                Err(self.at(Error::new(SqlState::DATATYPE_MISMATCH, what), span))
            }
        }
    }

    fn replaced_elements(
        &mut self,
        column: &TableColumn,
        element: PgType,
        old: Typed,
        subscript: &Subscript,
        new: Typed,
        span: Span,
    ) -> Result<Typed> {
        let (int, kind) = (PgType::Int4, &column.kind);
        let (name, kinds, args, body): (_, _, _, crate::sql::functions::call::Body) =
            match subscript {
                Subscript::Index { index } => {
                    let index = self.subscript_number(index)?;
                    let new = self.as_part(column, new, &element)?;
                    let kinds = vec![kind.clone(), int, element];
                    (
                        "array_set",
                        kinds,
                        vec![old.expr, index.expr, new.expr],
                        array::assign::element,
                    )
                }
                Subscript::Slice { lower_bound, upper_bound, stride: None } => {
                    let mut bound = |bound: &Option<ast::Expr>| match bound {
                        Some(bound) => self.subscript_number(bound),
                        None => Ok(Typed::literal(ScalarValue::Int32(None), PgType::Int4)),
                    };
                    let (lower, upper) = (bound(lower_bound)?, bound(upper_bound)?);
                    let omitted = [lower_bound, upper_bound].map(Option::is_none);
                    let new = self.as_part(column, new, kind)?;
                    let kinds = vec![kind.clone(), int.clone(), int, kind.clone()];
                    let args = vec![old.expr, lower.expr, upper.expr, new.expr];
                    let body: crate::sql::functions::call::Body = match omitted {
                        [false, false] => array::assign::slice,
                        _ => array::assign::open_slice,
                    };
                    ("array_set_slice", kinds, args, body)
                }
                _ => {
                    let what = "this subscript is not supported";
                    return Err(self.at(Error::unsupported(what), span));
                }
            };
        let function = self.own(name, kinds, kind.clone(), body);
        Ok(Typed::new(call(function, args), kind.clone()))
    }

    fn subscript_number(&mut self, index: &ast::Expr) -> Result<Typed> {
        let typed = self.in_place(Place::plain("UPDATE"), |binder| binder.expr(index))?;
        self.coerce(typed, &PgType::Int4, Reason::Assignment)
    }

    /// A part of a value: of its type, laid out as that type is.
    fn as_part(&mut self, column: &TableColumn, typed: Typed, kind: &PgType) -> Result<Typed> {
        let given = bare(&typed.kind);
        let position = typed.position;
        let typed = self.coerce(typed, kind, Reason::Assignment).map_err(|error| {
            if error.state() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            let what = format!(
                "subscripted assignment to \"{}\" requires type {} but expression is of type {given}",
                column.name,
                bare(kind)
            );
            let error = Error::new(SqlState::DATATYPE_MISMATCH, what)
                .hint("You will need to rewrite or cast the expression.");
            crate::sql::error::at(error, position)
        })?;
        self.shaped(typed, kind)
    }

    fn replaced_member(
        &mut self,
        column: &TableColumn,
        old: Typed,
        subscripts: &[AccessExpr],
        new: Typed,
        span: Span,
    ) -> Result<Typed> {
        let new = self.as_part(column, new, &PgType::Jsonb)?;
        let (mut kinds, mut args) = (vec![PgType::Jsonb; 2], vec![old.expr, new.expr]);
        for subscript in subscripts {
            let AccessExpr::Subscript(Subscript::Index { index }) = subscript else {
                let what = "jsonb subscript does not support slices";
                return Err(self.at(Error::new(SqlState::DATATYPE_MISMATCH, what), span));
            };
            let typed = self.in_place(Place::plain("UPDATE"), |binder| binder.expr(index))?;
            let typed = match typed.kind {
                PgType::Int2 | PgType::Int4 | PgType::Int8 => {
                    self.coerce(typed, &PgType::Int4, Reason::Assignment)?
                }
                _ => self.coerce(typed, &PgType::Text, Reason::Implicit)?,
            };
            kinds.push(typed.kind);
            args.push(typed.expr);
        }
        let function = self.own("jsonb_assign", kinds, PgType::Jsonb, json::edit::assign);
        Ok(Typed::new(call(function, args), PgType::Jsonb))
    }
}
