//! Rows as values: `ROW(a, b)`, `(a, b)`, a table's name for its row; how they compare.
//!
//! A row is a struct, whose fields its type knows. Two rows are compared field by field, so that the
//! optimiser sees comparisons of columns.

use super::{binary, boolean};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        functions::{
            call::{Call, call},
            row,
        },
        tokens::fold,
        typed::{Hiding, Typed},
    },
};
use datafusion::{
    common::ScalarValue,
    functions::core::get_field,
    logical_expr::{Case, Expr, Operator, Volatility},
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArgExpr},
        tokenizer::Span,
    },
};

/// The name of the function that makes a row.
const ROW: &str = "row";

impl Binder<'_> {
    /// `(a, b)`.
    pub(super) fn tuple(&mut self, values: &[ast::Expr]) -> Result<Typed> {
        let mut parts = Vec::with_capacity(values.len());
        for value in values {
            parts.push(self.expr(value)?);
        }
        self.row(parts)
    }

    /// `ROW(a, t.*)`.
    pub(crate) fn row_call(&mut self, args: &[FunctionArg], span: Span) -> Result<Typed> {
        let mut parts = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                    let name = self.object_name(name)?.name;
                    if !self.is_table_alias(&name) {
                        let error = Error::new(
                            SqlState::UNDEFINED_TABLE,
                            format!("missing FROM-clause entry for table \"{name}\""),
                        );
                        return Err(self.at(error, span));
                    }
                    parts.extend(self.columns_of(&name).into_iter().map(|(_, typed)| typed));
                }
                other => parts.push(self.argument(other, span)?),
            }
        }
        self.row(parts)
    }

    /// A row of some values, whose fields are `f1`, `f2` …
    pub(crate) fn row(&mut self, parts: Vec<Typed>) -> Result<Typed> {
        let mut named = Vec::with_capacity(parts.len());
        for (at, part) in parts.into_iter().enumerate() {
            named.push((format!("f{}", at + 1), self.settle(part)?));
        }
        Ok(self.composite(named))
    }

    fn composite(&self, parts: Vec<(String, Typed)>) -> Typed {
        let (mut fields, mut kinds, mut args) = (Vec::new(), Vec::new(), Vec::new());
        for (name, typed) in parts {
            fields.push((name, typed.kind.clone()));
            kinds.push(typed.kind);
            args.push(typed.expr);
        }
        let kind = PgType::Composite(fields.into());
        let function =
            Call::udf(ROW, kinds, kind.clone(), Volatility::Immutable, row::make, self.context);
        Typed::new(call(function, args), kind)
    }

    /// The columns that FROM offers under a name.
    fn columns_of(&mut self, table: &str) -> Vec<(String, Typed)> {
        let has = |scope: &&Vec<_>| {
            let mut columns = scope.iter();
            columns.any(|c: &crate::sql::typed::ScopeColumn| c.table.as_deref() == Some(table))
        };
        let scope = self.scopes.iter().rev().find(has);
        let columns = scope.into_iter().flatten();
        let names: Vec<String> = columns
            .filter(|column| {
                column.table.as_deref() == Some(table) && column.hidden != Hiding::System
            })
            .map(|column| column.name.clone())
            .collect();
        names
            .into_iter()
            .filter_map(|name| {
                let idents =
                    [ast::Ident::with_quote('"', table), ast::Ident::with_quote('"', &name)];
                Some((name, self.column(&idents).ok()?))
            })
            .collect()
    }

    /// A table's name as a value: its row; NULL where an outer join found none.
    pub(super) fn whole_row(&mut self, table: &ast::Ident) -> Typed {
        let columns = self.columns_of(&fold(table));
        let nothing = columns
            .iter()
            .map(|(_, typed)| Expr::IsNull(Box::new(typed.expr.clone())))
            .reduce(|all, one| binary(all, Operator::And, one));
        let whole = self.composite(columns);
        let (Some(nothing), Ok(null)) = (nothing, ScalarValue::try_from(&whole.kind.arrow()))
        else {
            return whole;
        };
        let case = Case {
            expr: None,
            when_then_expr: vec![(Box::new(nothing), Box::new(Expr::Literal(null, None)))],
            else_expr: Some(Box::new(whole.expr)),
        };
        Typed::new(Expr::Case(case), whole.kind)
    }

    /// The fields of a row: what it was made of, where that is in sight.
    pub(crate) fn fields_of(&self, typed: &Typed) -> Option<Vec<Typed>> {
        let fields = typed.kind.fields()?;
        if let Some(args) = made_of(&typed.expr) {
            let parts = args.iter().zip(fields);
            return Some(
                parts.map(|(arg, (_, kind))| Typed::new(arg.clone(), kind.clone())).collect(),
            );
        }
        let field = |(name, kind): &(String, PgType)| {
            Typed::new(field_of(typed.expr.clone(), name), kind.clone())
        };
        Some(fields.iter().map(field).collect())
    }

    /// `row op row`, both as values; nothing where one of them is none.
    pub(crate) fn compare_composites(
        &mut self,
        op: &str,
        left: &Typed,
        right: &Typed,
        span: Span,
    ) -> Result<Option<Typed>> {
        let (Some(a), Some(b)) = (self.fields_of(left), self.fields_of(right)) else {
            return Ok(None);
        };
        let both_made = made_of(&left.expr).is_some() && made_of(&right.expr).is_some();
        let pairs = self.paired(a, b, both_made, span)?;
        // Rows that are there already take NULLs for equal, as an index over them would.
        match op {
            _ if both_made => self.compare_pairs(op, pairs, span).map(Some),
            "=" | "<>" => self.distinct_rows(pairs, op == "=", span).map(Some),
            _ => self.order_rows_by_fields(op, pairs, span).map(Some),
        }
    }

    /// The fields of two rows, side by side.
    pub(super) fn paired(
        &self,
        left: Vec<Typed>,
        right: Vec<Typed>,
        made: bool,
        span: Span,
    ) -> Result<Vec<(Typed, Typed)>> {
        if left.len() == right.len() {
            return Ok(left.into_iter().zip(right).collect());
        }
        let error = if made {
            Error::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions")
        } else {
            let what = "cannot compare record types with different numbers of columns";
            Error::new(SqlState::DATATYPE_MISMATCH, what)
        };
        Err(self.at(error, span))
    }

    /// `IS [NOT] DISTINCT FROM`, field by field.
    pub(super) fn distinct_rows(
        &mut self,
        pairs: Vec<(Typed, Typed)>,
        negated: bool,
        span: Span,
    ) -> Result<Typed> {
        let (op, join) = match negated {
            true => (Operator::IsNotDistinctFrom, Operator::And),
            false => (Operator::IsDistinctFrom, Operator::Or),
        };
        let mut all: Option<Expr> = None;
        for (left, right) in pairs {
            let (left, right) = self.comparable("=", left, right, span)?;
            let one = binary(left.expr, op, right.expr);
            all = Some(match all {
                Some(all) => binary(all, join, one),
                None => one,
            });
        }
        let all = all.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(negated)), None));
        Ok(boolean(all))
    }

    /// `<` and its kin, of which NULL is greater than every value and equal to itself.
    fn order_rows_by_fields(
        &mut self,
        op: &str,
        pairs: Vec<(Typed, Typed)>,
        span: Span,
    ) -> Result<Typed> {
        let mut result = Expr::Literal(ScalarValue::Boolean(Some(op.ends_with('='))), None);
        for (left, right) in pairs.into_iter().rev() {
            let (left, right) = self.comparable("<", left, right, span)?;
            let (less, greater) = match op.starts_with('<') {
                true => (&left, &right),
                false => (&right, &left),
            };
            let before = self.binary("<", less.clone(), greater.clone(), span)?.expr;
            let beside_null = binary(
                Expr::IsNotNull(Box::new(less.expr.clone())),
                Operator::And,
                Expr::IsNull(Box::new(greater.expr.clone())),
            );
            // What NULL makes unknown is false.
            let before = Expr::IsTrue(Box::new(binary(before, Operator::Or, beside_null)));
            let equal = binary(left.expr, Operator::IsNotDistinctFrom, right.expr);
            result = binary(before, Operator::Or, binary(equal, Operator::And, result));
        }
        Ok(boolean(result))
    }

    /// `row op row`, of fields side by side.
    pub(super) fn compare_pairs(
        &mut self,
        op: &str,
        pairs: Vec<(Typed, Typed)>,
        span: Span,
    ) -> Result<Typed> {
        let mut result: Option<Expr> = None;
        match op {
            "=" | "<>" => {
                let join = if op == "=" { Operator::And } else { Operator::Or };
                for (left, right) in pairs {
                    let one = self.binary(op, left, right, span)?.expr;
                    result = Some(match result {
                        Some(result) => binary(result, join, one),
                        None => one,
                    });
                }
            }
            "<" | "<=" | ">" | ">=" => {
                let strict = &op[..1];
                for (left, right) in pairs.into_iter().rev() {
                    let here = if result.is_none() { op } else { strict };
                    let here = self.binary(here, left.clone(), right.clone(), span)?.expr;
                    result = Some(match result {
                        None => here,
                        Some(rest) => {
                            let equal = self.binary("=", left, right, span)?.expr;
                            binary(here, Operator::Or, binary(equal, Operator::And, rest))
                        }
                    });
                }
            }
            _ if op.eq_ignore_ascii_case("overlaps") && pairs.len() == 2 => {
                let [(a, c), (b, d)] = <[(Typed, Typed); 2]>::try_from(pairs)
                    .map_err(|_| Error::internal("a period has two bounds"))?;
                let (b, d) = (self.bound(&a, b, span)?, self.bound(&c, d, span)?);
                return self.call_named("overlaps", vec![a, b, c, d], span);
            }
            _ => {
                return Err(self.at(
                    Error::unsupported(format!("operator {op} on rows is not supported")),
                    span,
                ));
            }
        }
        result.map(boolean).ok_or_else(|| {
            let what = "cannot compare rows of zero length";
            self.at(Error::new(SqlState::FEATURE_NOT_SUPPORTED, what), span)
        })
    }

    /// The other bound of a period, which may be given by its length.
    fn bound(&mut self, start: &Typed, other: Typed, span: Span) -> Result<Typed> {
        if matches!(other.kind, PgType::Interval(_)) {
            self.binary("+", start.clone(), other, span)
        } else {
            Ok(other)
        }
    }
}

/// What a row is made of, where the call that makes it is in sight.
fn made_of(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::ScalarFunction(function) if function.func.name() == ROW => Some(&function.args),
        _ => None,
    }
}

/// A field of a struct.
pub(crate) fn field_of(record: Expr, field: &str) -> Expr {
    let name = Expr::Literal(ScalarValue::Utf8(Some(field.to_owned())), None);
    call(get_field(), vec![record, name])
}
