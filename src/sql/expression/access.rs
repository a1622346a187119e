//! Arrays, and what is taken out of a value: subscripts, slices, fields.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        error::at,
        functions::{
            array,
            call::{Call, call},
        },
        tokens::fold,
        typed::Typed,
    },
};
use datafusion::{
    common::ScalarValue,
    logical_expr::Volatility,
    sql::sqlparser::{
        ast::{self, AccessExpr, Subscript},
        tokenizer::Span,
    },
};

impl Binder<'_> {
    /// `ARRAY[…]`.
    pub(crate) fn array(
        &mut self,
        elements: &[ast::Expr],
        expected: Option<&PgType>,
    ) -> Result<Typed> {
        let mut all = Vec::with_capacity(elements.len());
        for element in elements {
            all.push(match element {
                ast::Expr::Array(inner) => self.array(&inner.elem, expected)?,
                other => self.expr(other)?,
            });
        }
        let nested = all.iter().any(|typed| matches!(typed.kind, PgType::Array(_)));
        if nested {
            return Err(Error::unsupported("arrays of more than one dimension are not supported"));
        }
        let element = match expected {
            Some(kind) => kind.clone(),
            None if all.is_empty() => {
                return Err(Error::new(
                    SqlState::INDETERMINATE_DATATYPE,
                    "cannot determine type of empty array",
                )
                .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
            }
            None => self.common_type("ARRAY", &all)?,
        };
        let reason = if expected.is_some() { Reason::Explicit } else { Reason::Implicit };
        let args = all
            .into_iter()
            .map(|typed| {
                let typed = match reason {
                    Reason::Explicit => self.coerce(typed, &element, reason)?,
                    _ => typed,
                };
                // Whatever the modifiers of each, they lie in one column.
                Ok(self.shaped(typed, &element)?.expr)
            })
            .collect::<Result<Vec<_>>>()?;
        let kind = element.clone().array();
        let function = Call::udf(
            "array",
            vec![element; args.len()],
            kind.clone(),
            Volatility::Immutable,
            array::make,
            self.context,
        );
        Ok(Typed::new(call(function, args), kind))
    }

    /// Subscripts, slices and fields.
    pub(super) fn access(
        &mut self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        span: Span,
    ) -> Result<Typed> {
        // `(x).n` over a set of records: `(information_schema._pg_expandarray(x)).n`.
        if let [AccessExpr::Dot(ast::Expr::Identifier(field))] = chain {
            return self.field(root, &fold(field), span);
        }
        // Subscripts of a column whose name has several parts arrive as a chain of names.
        let mut idents = match root {
            ast::Expr::Identifier(ident) => vec![ident.clone()],
            ast::Expr::CompoundIdentifier(idents) => idents.clone(),
            _ => Vec::new(),
        };
        let mut rest = chain;
        while let ([AccessExpr::Dot(ast::Expr::Identifier(ident)), tail @ ..], false) =
            (rest, idents.is_empty())
        {
            idents.push(ident.clone());
            rest = tail;
        }
        let mut value = if idents.is_empty() { self.expr(root)? } else { self.column(&idents)? };
        for access in rest {
            value = match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    self.subscript(value, index, span)?
                }
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride: None,
                }) => {
                    self.check_slices(&value.kind, span)?;
                    let mut bound = |bound: &Option<ast::Expr>| match bound {
                        Some(bound) => self.expr_as(bound, &PgType::Int4),
                        None => Ok(Typed::literal(ScalarValue::Int32(None), PgType::Int4)),
                    };
                    let (lower, upper) = (bound(lower_bound)?, bound(upper_bound)?);
                    let function = Call::udf(
                        "array_slice",
                        vec![value.kind.clone(), PgType::Int4, PgType::Int4],
                        value.kind.clone(),
                        Volatility::Immutable,
                        array::slice,
                        self.context,
                    );
                    Typed::new(call(function, vec![value.expr, lower.expr, upper.expr]), value.kind)
                }
                _ => {
                    return Err(
                        self.at(Error::unsupported("this subscript is not supported"), span)
                    );
                }
            };
        }
        Ok(value)
    }

    fn check_slices(&self, kind: &PgType, span: Span) -> Result<()> {
        match kind {
            PgType::Array(_) => Ok(()),
            PgType::Jsonb => {
                let error = Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    "jsonb subscript does not support slices",
                );
                Err(self.at(error, span))
            }
            other => Err(self.at(no_subscripts(other), span)),
        }
    }

    pub(super) fn subscript(&mut self, value: Typed, index: Typed, span: Span) -> Result<Typed> {
        let element = match &value.kind {
            PgType::Array(element) => (**element).clone(),
            PgType::Int2vector => PgType::Int2,
            PgType::Oidvector => PgType::Oid,
            PgType::Jsonb => return self.binary("->", value, index, span),
            other => return Err(at(no_subscripts(other), self.position(span))),
        };
        let index = self.coerce(index, &PgType::Int4, Reason::Assignment)?;
        let function = Call::udf(
            "subscript",
            vec![value.kind, PgType::Int4],
            element.clone(),
            Volatility::Immutable,
            array::subscript,
            self.context,
        );
        Ok(Typed::new(call(function, vec![value.expr, index.expr]), element))
    }
}

fn no_subscripts(kind: &PgType) -> Error {
    Error::new(
        SqlState::DATATYPE_MISMATCH,
        format!("cannot subscript type {kind} because it does not support subscripting"),
    )
}
