//! Predicates: IS DISTINCT FROM, IN, BETWEEN, LIKE, ANY, rows compared.

use super::{binary, boolean};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        functions::{call::call, text},
        subquery::row_of,
        tokens::symmetric_bound,
        typed::Typed,
    },
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Like, Operator, expr::InList},
    sql::sqlparser::{
        ast::{self, BinaryOperator, Value},
        tokenizer::Span,
    },
};

impl Binder<'_> {
    pub(super) fn distinct_from(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        negated: bool,
        span: Span,
    ) -> Result<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        if let (Some(left), Some(right)) = (self.fields_of(&left), self.fields_of(&right)) {
            let pairs = self.paired(left, right, true, span)?;
            return self.distinct_rows(pairs, negated, span);
        }
        let (left, right) = self.comparable("=", left, right, span)?;
        let op = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
        Ok(boolean(binary(left.expr, op, right.expr)))
    }

    pub(super) fn in_list(
        &mut self,
        expr: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        span: Span,
    ) -> Result<Typed> {
        if row_of(expr).is_some() {
            let mut any: Option<Expr> = None;
            for row in list {
                let equal = self.binary_expr(expr, &BinaryOperator::Eq, row, span)?.expr;
                any = Some(match any {
                    Some(any) => binary(any, Operator::Or, equal),
                    None => equal,
                });
            }
            let any = any.unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(Some(false)), None));
            return Ok(boolean(if negated { Expr::Not(Box::new(any)) } else { any }));
        }
        let mut all = vec![self.expr(expr)?];
        for item in list {
            all.push(self.expr(item)?);
        }
        let kind = match self.common_type("IN", &all) {
            Ok(kind) => kind,
            // The items have a type of their own, with which the value may be comparable.
            Err(_) => {
                let (value, items) = (all[0].clone(), &all[1..]);
                let kind = self.common_type("IN", items)?;
                let item = Typed::new(items[0].expr.clone(), kind);
                self.comparable("=", value, item, span)?.0.kind
            }
        };
        let mut all = all
            .into_iter()
            .map(|typed| Ok(self.coerce(typed, &kind, Reason::Implicit)?.expr))
            .collect::<Result<Vec<_>>>()?;
        let value = Box::new(all.remove(0));
        Ok(boolean(Expr::InList(InList::new(value, all, negated))))
    }

    pub(super) fn between(
        &mut self,
        expr: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
        span: Span,
    ) -> Result<Typed> {
        let value = self.expr(expr)?;
        let symmetric = symmetric_bound(low);
        let (low, high) = (self.expr(symmetric.unwrap_or(low))?, self.expr(high)?);
        let mut between = self.within(value.clone(), low.clone(), high.clone(), span)?;
        if symmetric.is_some() {
            between = binary(between, Operator::Or, self.within(value, high, low, span)?);
        }
        Ok(boolean(if negated { Expr::Not(Box::new(between)) } else { between }))
    }

    fn within(&mut self, value: Typed, low: Typed, high: Typed, span: Span) -> Result<Expr> {
        let at_least = self.binary(">=", value.clone(), low, span)?.expr;
        let at_most = self.binary("<=", value, high, span)?.expr;
        Ok(binary(at_least, Operator::And, at_most))
    }

    pub(super) fn text_operand(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let typed = self.expr(expr)?;
        Ok(self.coerce(typed, &PgType::Text, Reason::Implicit)?.expr)
    }

    pub(super) fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&Value>,
        negated: bool,
        case_insensitive: bool,
        span: Span,
    ) -> Result<Typed> {
        // `LIKE ALL (array)` is read as a call of a function `all`.
        let op = match (negated, case_insensitive) {
            (false, false) => BinaryOperator::PGLikeMatch,
            (true, false) => BinaryOperator::PGNotLikeMatch,
            (false, true) => BinaryOperator::PGILikeMatch,
            (true, true) => BinaryOperator::PGNotILikeMatch,
        };
        if escape.is_none()
            && let Some(quantified) = self.quantified_by_call(expr, &op, pattern, span)?
        {
            return Ok(quantified);
        }
        let (left, right) = (self.expr(expr)?, self.expr(pattern)?);
        let escape_char = match escape {
            None => None,
            Some(Value::SingleQuotedString(text)) if text.chars().count() <= 1 => {
                text.chars().next()
            }
            Some(_) => {
                let error = Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                    .hint("Escape string must be empty or one character.");
                return Err(self.at(error, span));
            }
        };
        self.like_typed(left, right, escape_char, negated, case_insensitive, span)
    }

    pub(crate) fn like_typed(
        &mut self,
        left: Typed,
        right: Typed,
        escape_char: Option<char>,
        negated: bool,
        case_insensitive: bool,
        span: Span,
    ) -> Result<Typed> {
        let name = match (negated, case_insensitive) {
            (false, false) => "~~",
            (true, false) => "!~~",
            (false, true) => "~~*",
            (true, true) => "!~~*",
        };
        for (typed, other) in [(&left, &right), (&right, &left)] {
            if !typed.is_unknown() && !typed.kind.is_textual() && typed.kind != PgType::Char {
                return Err(self.no_operator(name, &left.kind.clone(), &other.kind.clone(), span));
            }
        }
        let expr = Box::new(self.padded_text(left)?.expr);
        let pattern = Box::new(self.padded_text(right)?.expr);
        if escape_char.is_some_and(|c| c != '\\') {
            // Arrow knows the backslash alone.
            let function = self.own(
                "like_escape",
                vec![PgType::Text, PgType::Text],
                PgType::Text,
                text::pattern::like_escape,
            );
            let escape = Expr::Literal(ScalarValue::Utf8(escape_char.map(String::from)), None);
            let pattern = Box::new(call(function, vec![*pattern, escape]));
            return Ok(boolean(Expr::Like(Like {
                negated,
                expr,
                pattern,
                escape_char: None,
                case_insensitive,
            })));
        }
        Ok(boolean(Expr::Like(Like {
            negated,
            expr,
            pattern,
            escape_char: None,
            case_insensitive,
        })))
    }

    /// An untyped operand beside an untyped value is text.
    pub(super) fn settle_like(&mut self, operand: Typed, value: &Typed) -> Result<Typed> {
        if operand.is_unknown() && value.is_unknown() { self.settle(operand) } else { Ok(operand) }
    }

    /// `x = ANY (array)` where sqlparser reads a call of a function `any`.
    pub(super) fn quantified_by_call(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        span: Span,
    ) -> Result<Option<Typed>> {
        let ast::Expr::Function(function) = right else { return Ok(None) };
        let name = function.name.to_string().to_ascii_lowercase();
        if !["any", "some", "all"].contains(&name.as_str()) {
            return Ok(None);
        }
        let ast::FunctionArguments::List(list) = &function.args else { return Ok(None) };
        let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array))] = list.args.as_slice()
        else {
            return Ok(None);
        };
        self.quantified(left, op, array, name == "all", span).map(Some)
    }

    /// AND and OR chains may be thousands long: they are walked, not descended.
    pub(super) fn chain(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        op: Operator,
    ) -> Result<Typed> {
        let wanted = if op == Operator::And { BinaryOperator::And } else { BinaryOperator::Or };
        let of = if op == Operator::And { "AND" } else { "OR" };
        let mut operands = vec![right];
        let mut rest = left;
        while let ast::Expr::BinaryOp { left, op, right } = rest {
            if *op != wanted {
                break;
            }
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        let mut all = Vec::with_capacity(operands.len());
        for operand in operands.into_iter().rev() {
            all.push(self.boolean(operand, of)?);
        }
        // A balanced tree, so that nothing after this descends far.
        while all.len() > 1 {
            let mut pairs = all.into_iter();
            let mut halved = Vec::new();
            while let Some(first) = pairs.next() {
                halved.push(match pairs.next() {
                    Some(second) => binary(first, op, second),
                    None => first,
                });
            }
            all = halved;
        }
        all.pop().map(boolean).ok_or_else(|| Error::internal("a chain of no operands"))
    }

    /// `(a, b) < (c, d)`.
    pub(super) fn compare_rows(
        &mut self,
        left: &[ast::Expr],
        op: &str,
        right: &[ast::Expr],
        span: Span,
    ) -> Result<Typed> {
        if left.len() != right.len() {
            return Err(self.at(
                Error::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"),
                span,
            ));
        }
        let mut pairs = Vec::new();
        for (left, right) in left.iter().zip(right) {
            pairs.push((self.expr(left)?, self.expr(right)?));
        }
        self.compare_pairs(op, pairs, span)
    }
}
