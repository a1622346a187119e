//! Expressions: literals, columns, operators, CASE, subscripts. Operators are chosen in
//! `operators.rs`, functions in `calls.rs`, subqueries in `subquery.rs`.

mod access;
mod literal;
mod operator;
mod predicate;
pub(crate) mod row;

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Place},
        coerce::Reason,
        collation::check_collation,
        functions::{call::call, text},
        named::type_name,
        tokens::{distinct_operand, fold, is_local_zone},
        typed::{Typed, bare, unmodified},
    },
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Case, Expr, Operator},
    sql::sqlparser::{
        ast::{self, BinaryOperator, CastKind, Spanned, UnaryOperator},
        tokenizer::Span,
    },
};

impl Binder<'_> {
    /// An expression. What it may contain tells `self.place`.
    pub(crate) fn expr(&mut self, expr: &ast::Expr) -> Result<Typed> {
        self.deeper(|binder| binder.expr_here(expr))
    }

    /// An expression whose value is true or false.
    pub(crate) fn boolean(&mut self, expr: &ast::Expr, of: &str) -> Result<Expr> {
        let typed = self.expr(expr)?;
        if !typed.is_unknown() && typed.kind != PgType::Bool {
            let error = Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {of} must be type boolean, not type {}", bare(&typed.kind)),
            );
            return Err(self.at(error, expr.span()));
        }
        Ok(self.coerce(typed, &PgType::Bool, Reason::Implicit)?.expr)
    }

    /// An expression of a type that its place asks for.
    pub(crate) fn expr_as(&mut self, expr: &ast::Expr, kind: &PgType) -> Result<Typed> {
        let typed = self.expr(expr)?;
        self.coerce(typed, kind, Reason::Implicit)
    }

    fn expr_here(&mut self, expr: &ast::Expr) -> Result<Typed> {
        use ast::Expr as A;
        // Before its span is asked for, which goes down the whole of it.
        match expr {
            A::BinaryOp { left, op: BinaryOperator::And, right } => {
                return self.chain(left, right, Operator::And);
            }
            A::BinaryOp { left, op: BinaryOperator::Or, right } => {
                return self.chain(left, right, Operator::Or);
            }
            _ => {}
        }
        self.check_depth(left_depth(expr))?;
        let span = expr.span();
        match expr {
            A::Identifier(ident) => self.identifier(ident),
            A::CompoundIdentifier(idents) => self.column(idents),
            A::Value(value) => {
                let typed = self.value(&value.value).map_err(|error| self.at(error, value.span))?;
                Ok(Typed { position: self.position(value.span), ..typed })
            }
            A::Nested(inner) => self.expr(inner),
            A::TypedString(typed) => {
                if let Some(domain) = self.domain_written(&typed.data_type) {
                    let value = self.value(&typed.value.value)?;
                    let value = Typed { position: self.position(typed.value.span), ..value };
                    return self.in_domain(value, &domain, Reason::Explicit);
                }
                let kind = match &typed.data_type {
                    // Before a string alone it is of any length.
                    ast::DataType::Bit(None) => PgType::Bit(None),
                    data_type => self.data_type(data_type, span)?,
                };
                let value = self.value(&typed.value.value)?;
                let value = Typed { position: self.position(typed.value.span), ..value };
                self.coerce(value, &kind, Reason::Explicit)
            }
            A::Interval(interval) => self.interval(interval),
            A::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
                self.cast(expr, data_type, span)
            }
            power if is_power(power) => self.powers(power, span),
            A::BinaryOp { left, op, right } => match tested(left, op, right) {
                Some(test) => self.expr(&test),
                None => self.binary_expr(left, op, right, span),
            },
            A::UnaryOp { op, expr } => self.unary(*op, expr, span),
            A::IsNull(inner) => self.is_null(inner, false),
            A::IsNotNull(inner) => self.is_null(inner, true),
            A::IsTrue(inner) => {
                Ok(boolean(Expr::IsTrue(Box::new(self.boolean(inner, "IS TRUE")?))))
            }
            A::IsNotTrue(inner) => {
                Ok(boolean(Expr::IsNotTrue(Box::new(self.boolean(inner, "IS NOT TRUE")?))))
            }
            A::IsFalse(inner) => {
                Ok(boolean(Expr::IsFalse(Box::new(self.boolean(inner, "IS FALSE")?))))
            }
            A::IsNotFalse(inner) => {
                Ok(boolean(Expr::IsNotFalse(Box::new(self.boolean(inner, "IS NOT FALSE")?))))
            }
            A::IsUnknown(inner) => {
                Ok(boolean(Expr::IsUnknown(Box::new(self.boolean(inner, "IS UNKNOWN")?))))
            }
            A::IsNotUnknown(inner) => {
                Ok(boolean(Expr::IsNotUnknown(Box::new(self.boolean(inner, "IS NOT UNKNOWN")?))))
            }
            A::InList { expr, list, negated } => self.in_list(expr, list, *negated, span),
            A::InSubquery { expr, subquery, negated } => {
                self.in_subquery(expr, subquery, *negated, span)
            }
            A::Between { expr, negated, low, high } => {
                self.between(expr, *negated, low, high, span)
            }
            A::Like { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape_char.as_ref().map(|value| &value.value);
                self.like(expr, pattern, escape, *negated, false, span)
            }
            A::ILike { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape_char.as_ref().map(|value| &value.value);
                self.like(expr, pattern, escape, *negated, true, span)
            }
            A::Like { negated, any: true, expr, pattern, escape_char: None } => {
                let op = if *negated {
                    BinaryOperator::PGNotLikeMatch
                } else {
                    BinaryOperator::PGLikeMatch
                };
                self.quantified(expr, &op, pattern, false, span)
            }
            A::ILike { negated, any: true, expr, pattern, escape_char: None } => {
                let op = if *negated {
                    BinaryOperator::PGNotILikeMatch
                } else {
                    BinaryOperator::PGILikeMatch
                };
                self.quantified(expr, &op, pattern, false, span)
            }
            A::SimilarTo { negated, expr, pattern, .. } => {
                let text = self.text_operand(expr)?;
                let pattern = self.text_operand(pattern)?;
                let function = self.own(
                    "similar_to",
                    vec![PgType::Text, PgType::Text],
                    PgType::Bool,
                    text::pattern::similar_to,
                );
                let matched = call(function, vec![text, pattern]);
                Ok(boolean(if *negated { Expr::Not(Box::new(matched)) } else { matched }))
            }
            A::RLike { negated, expr: value, pattern, .. } => {
                if let Some(other) = distinct_operand(pattern) {
                    return self.distinct_from(value, other, *negated, span);
                }
                match self.json_test(value, pattern, *negated, span)? {
                    Some(typed) => Ok(typed),
                    None => {
                        let error = Error::new(SqlState::SYNTAX_ERROR, "RLIKE is not SQL");
                        Err(self.at(error.hint("Use the operator ~."), span))
                    }
                }
            }
            A::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, false, span)
            }
            A::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, true, span)
            }
            A::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            A::Function(function) => self.function(function, span),
            A::Exists { subquery, negated } => self.exists(subquery, *negated),
            A::Subquery(query) => self.scalar_subquery(query),
            A::Array(array) => self.array(&array.elem, None),
            A::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain, span),
            A::Collate { expr, collation } => {
                let name = self.object_name(collation)?.name;
                check_collation(&name).map_err(|error| self.at(error, collation.span()))?;
                self.expr(expr)
            }
            A::AtTimeZone { timestamp, time_zone } if is_local_zone(time_zone) => {
                let stamp = self.expr(timestamp)?;
                self.call_named("timezone", vec![stamp], span)
            }
            A::AtTimeZone { timestamp, time_zone } => {
                let (zone, stamp) = (self.expr(time_zone)?, self.expr(timestamp)?);
                self.call_named("timezone", vec![zone, stamp], span)
            }
            A::Extract { field, expr, .. } => {
                let field = match field {
                    // As a string or a quoted name.
                    ast::DateTimeField::Custom(name) => text_literal(&name.value),
                    field => text_literal(&field.to_string()),
                };
                let from = self.expr(expr)?;
                self.call_named("extract", vec![field, from], span)
            }
            A::IsNormalized { expr, form, negated } => {
                let form = form.map_or_else(|| "NFC".to_owned(), |form| form.to_string());
                let args = vec![self.expr(expr)?, text_literal(&form)];
                let is = self.call_named("is_normalized", args, span)?;
                Ok(if *negated { boolean(Expr::Not(Box::new(is.expr))) } else { is })
            }
            A::Position { expr, r#in } => {
                let (part, whole) = (self.expr(expr)?, self.expr(r#in)?);
                self.call_named("position", vec![whole, part], span)
            }
            A::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expr(expr)?];
                match (substring_from, substring_for) {
                    (Some(from), _) => args.push(self.expr(from)?),
                    (None, Some(_)) => {
                        args.push(Typed::literal(ScalarValue::Int32(Some(1)), PgType::Int4))
                    }
                    (None, None) => {}
                }
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                self.call_named("substring", args, span)
            }
            A::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                }
                for what in trim_characters.iter().flatten() {
                    args.push(self.expr(what)?);
                }
                self.call_named(name, args, span)
            }
            A::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args =
                    vec![self.expr(expr)?, self.expr(overlay_what)?, self.expr(overlay_from)?];
                if let Some(length) = overlay_for {
                    args.push(self.expr(length)?);
                }
                self.call_named("overlay", args, span)
            }
            A::Ceil { expr, .. } => {
                let value = self.expr(expr)?;
                self.call_named("ceil", vec![value], span)
            }
            A::Floor { expr, .. } => {
                let value = self.expr(expr)?;
                self.call_named("floor", vec![value], span)
            }
            A::Tuple(values) => self.tuple(values),
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                Err(self
                    .at(Error::unsupported(format!("expression {text} is not supported")), span))
            }
        }
    }

    /// A type as it was written.
    pub(crate) fn data_type(&self, data_type: &ast::DataType, span: Span) -> Result<PgType> {
        let found = type_name(data_type).and_then(|name| name.resolve(&self.names()));
        found.map_err(|error| self.at(error, span))
    }

    fn identifier(&mut self, ident: &ast::Ident) -> Result<Typed> {
        let found = self.column(std::slice::from_ref(ident));
        let Err(error) = found else { return found };
        if error.state() != SqlState::UNDEFINED_COLUMN || ident.quote_style.is_some() {
            return Err(error);
        }
        // Functions that the standard calls without parentheses.
        let name = fold(ident);
        match name.as_str() {
            "current_user" | "session_user" | "user" | "current_role" | "current_catalog"
            | "current_schema" | "current_date" | "current_time" | "current_timestamp"
            | "localtime" | "localtimestamp" => self.call_named(&name, Vec::new(), ident.span),
            _ if self.is_table_alias(&name) => Ok(self.whole_row(ident)),
            _ => Err(error),
        }
    }

    /// `$n`: of its declared type, or of none yet.
    fn placeholder(&mut self, id: &str) -> Result<Typed> {
        let number = id
            .strip_prefix('$')
            .and_then(|n| n.parse::<usize>().ok())
            .filter(|&n| n > 0 && n <= 65_535);
        let Some(number) = number else {
            return Err(Error::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter {id}"),
            ));
        };
        if self.parameters.len() < number {
            self.parameters.resize(number, None);
        }
        let kind = self.parameters[number - 1].clone().unwrap_or(PgType::Unknown);
        Ok(Typed::new(super::coerce::placeholder(id, &kind), kind))
    }

    fn cast(&mut self, expr: &ast::Expr, data_type: &ast::DataType, span: Span) -> Result<Typed> {
        if let Some(domain) = self.domain_written(data_type) {
            let typed = self.expr(expr)?;
            let position = typed.position.or_else(|| self.position(span));
            return self.in_domain(Typed { position, ..typed }, &domain, Reason::Explicit);
        }
        let kind = self.data_type(data_type, span)?;
        // ARRAY[] takes its elements' type from the cast.
        if let (ast::Expr::Array(array), PgType::Array(element)) = (expr, &kind) {
            return self.array(&array.elem, Some(element));
        }
        let typed = self.expr(expr)?;
        // A literal under a cast is of that type from the start.
        let position = typed.position.or_else(|| self.position(span));
        let typed = Typed { position, ..typed };
        self.coerce(typed, &kind, Reason::Explicit)
    }

    fn is_null(&mut self, inner: &ast::Expr, negated: bool) -> Result<Typed> {
        let typed = self.expr(inner)?;
        let typed = self.settle(typed)?;
        let test = |typed: Typed| match (Box::new(typed.expr), negated) {
            (inner, true) => Expr::IsNotNull(inner),
            (inner, false) => Expr::IsNull(inner),
        };
        // A row is NULL when all of its fields are, and is not when none is.
        if let Some(fields) = self.fields_of(&typed).filter(|fields| !fields.is_empty()) {
            let all = fields.into_iter().map(test).reduce(|a, b| binary(a, Operator::And, b));
            return all.map(boolean).ok_or_else(|| Error::internal("a row without fields"));
        }
        Ok(boolean(test(typed)))
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        else_result: Option<&ast::Expr>,
    ) -> Result<Typed> {
        let operand = operand.map(|operand| self.expr(operand)).transpose()?;
        let place = Place { sets: false, ..self.place };
        let (mut whens, mut results) = (Vec::new(), Vec::new());
        self.in_place(place, |binder| {
            for when in conditions {
                whens.push(match &operand {
                    None => binder.boolean(&when.condition, "CASE/WHEN")?,
                    Some(operand) => {
                        let value = binder.expr(&when.condition)?;
                        let operand = binder.settle_like(operand.clone(), &value)?;
                        binder.binary("=", operand, value, when.condition.span())?.expr
                    }
                });
                results.push(binder.expr(&when.result)?);
            }
            if let Some(result) = else_result {
                results.push(binder.expr(result)?);
            }
            Ok(())
        })?;
        let kind = self.common_type("CASE", &results)?;
        // Where nothing else holds it is NULL, which has no modifier.
        let kind = if else_result.is_none() { unmodified(&kind) } else { kind };
        let mut results = results
            .into_iter()
            .map(|typed| Ok(Box::new(self.coerce(typed, &kind, Reason::Implicit)?.expr)))
            .collect::<Result<Vec<_>>>()?;
        let else_expr = if else_result.is_some() { results.pop() } else { None };
        let when_then_expr = whens.into_iter().map(Box::new).zip(results).collect();
        Ok(Typed::new(Expr::Case(Case { expr: None, when_then_expr, else_expr }), kind))
    }
}

/// A condition.
pub(crate) fn boolean(expr: Expr) -> Typed {
    Typed::new(expr, PgType::Bool)
}

pub(crate) fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// A string without a type.
pub(crate) fn text_literal(text: &str) -> Typed {
    Typed::literal(ScalarValue::Utf8(Some(text.to_owned())), PgType::Unknown)
}

/// PostgreSQL's name of an operator.
pub(crate) fn operator_name(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::NotEq => "<>".into(),
        BinaryOperator::PGOverlap => "&&".into(),
        BinaryOperator::PGLikeMatch => "~~".into(),
        BinaryOperator::PGILikeMatch => "~~*".into(),
        BinaryOperator::PGNotLikeMatch => "!~~".into(),
        BinaryOperator::PGNotILikeMatch => "!~~*".into(),
        other => other.to_string(),
    }
}

/// Whether an expression is a chain of `^`, perhaps with a sign in front.
fn is_power(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::BinaryOp { op, .. } => *op == BinaryOperator::PGExp,
        ast::Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
            is_power(expr)
        }
        _ => false,
    }
}

/// How often something stands on the left of an expression: it nests without a parenthesis.
fn left_depth(expr: &ast::Expr) -> usize {
    use ast::Expr as A;

    fn left<'e>(expr: &&'e ast::Expr) -> Option<&'e ast::Expr> {
        match *expr {
            A::BinaryOp { left, .. } => Some(left.as_ref()),
            A::Cast { expr, .. }
            | A::Collate { expr, .. }
            | A::AtTimeZone { timestamp: expr, .. }
            | A::InList { expr, .. }
            | A::Between { expr, .. }
            | A::Like { expr, .. }
            | A::ILike { expr, .. }
            | A::IsNull(expr)
            | A::IsNotNull(expr)
            | A::IsTrue(expr)
            | A::IsNotTrue(expr)
            | A::IsFalse(expr)
            | A::IsNotFalse(expr)
            | A::RLike { expr, .. } => Some(expr.as_ref()),
            _ => None,
        }
    }
    std::iter::successors(Some(expr), left).count()
}

/// `a < b IS DISTINCT FROM c` and `a = b IS JSON` test the comparison. They stand there as RLIKE, which
/// binds closer.
fn tested(left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Option<ast::Expr> {
    use BinaryOperator as B;
    if !matches!(op, B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq) {
        return None;
    }
    let mut test = right.clone();
    if !matches!(test, ast::Expr::RLike { .. }) {
        return None;
    }
    // What is tested twice is compared first.
    let mut value = &mut test;
    while let ast::Expr::RLike { expr, .. } = value {
        value = expr;
    }
    let compared = std::mem::replace(value, ast::Expr::Value(ast::Value::Null.into()));
    *value = ast::Expr::BinaryOp {
        left: Box::new(left.clone()),
        op: op.clone(),
        right: Box::new(compared),
    };
    Some(test)
}
