//! Expressions: literals, columns, operators, CASE, subscripts. Operators are chosen in
//! `operators.rs`, functions in `calls.rs`, subqueries in `subquery.rs`.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Place},
        coerce::{Reason, at, bare, check_collation, numeric},
        functions::{
            array,
            call::{Call, call},
            text,
        },
        subquery::row_of,
        tokens::{fold, pg_type},
        typed::Typed,
    },
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Case, Expr, Like, Operator, Volatility, expr::InList},
    sql::sqlparser::{
        ast::{
            self, AccessExpr, BinaryOperator, CastKind, Spanned, Subscript, UnaryOperator, Value,
        },
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
            A::BinaryOp { left, op, right } => self.binary_expr(left, op, right, span),
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
            A::IsDistinctFrom(left, right) => self.distinct_from(left, right, false, span),
            A::IsNotDistinctFrom(left, right) => self.distinct_from(left, right, true, span),
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
            A::SimilarTo { negated, expr, pattern, .. } => {
                let text = self.text_operand(expr)?;
                let pattern = self.text_operand(pattern)?;
                let function = self.own(
                    "similar_to",
                    vec![PgType::Text, PgType::Text],
                    PgType::Bool,
                    text::similar_to,
                );
                let matched = call(function, vec![text, pattern]);
                Ok(boolean(if *negated { Expr::Not(Box::new(matched)) } else { matched }))
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
            A::AtTimeZone { timestamp, time_zone } => {
                let (zone, stamp) = (self.expr(time_zone)?, self.expr(timestamp)?);
                self.call_named("timezone", vec![zone, stamp], span)
            }
            A::Extract { field, expr, .. } => {
                let field = text_literal(&field.to_string().to_lowercase());
                let from = self.expr(expr)?;
                self.call_named("extract", vec![field, from], span)
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
            A::Tuple(_) => Err(self.at(
                Error::unsupported("a row as a value is not supported")
                    .hint("Compare rows, or name the columns one by one."),
                span,
            )),
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                Err(self
                    .at(Error::unsupported(format!("expression {text} is not supported")), span))
            }
        }
    }

    /// A type as it was written.
    pub(crate) fn data_type(&self, data_type: &ast::DataType, span: Span) -> Result<PgType> {
        pg_type(data_type).map_err(|error| self.at(error, span))
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
            _ if self.is_table_alias(&name) => self.whole_row(&name),
            _ => Err(error),
        }
    }

    /// A table's name as a value: its row, as json.
    pub(crate) fn whole_row(&mut self, table: &str) -> Result<Typed> {
        let Some(scope) = self.scopes.last() else {
            return Err(Error::internal("a row without FROM"));
        };
        let columns: Vec<Typed> = scope
            .iter()
            .filter(|column| column.table.as_deref() == Some(table))
            .flat_map(|column| {
                [text_literal(&column.name), Typed::new(column.expr.clone(), column.kind.clone())]
            })
            .collect();
        self.call_named("json_build_object", columns, Span::empty())
    }

    /// A literal.
    pub(crate) fn value(&mut self, value: &Value) -> Result<Typed> {
        let text = |text: &str| Ok(text_literal(text));
        match value {
            Value::Number(digits, _) => number(digits, false),
            Value::SingleQuotedString(s)
            | Value::EscapedStringLiteral(s)
            | Value::UnicodeStringLiteral(s)
            | Value::NationalStringLiteral(s) => text(s),
            Value::DollarQuotedString(s) => text(&s.value),
            Value::SingleQuotedByteStringLiteral(digits) => self.bit_string('b', digits),
            Value::HexStringLiteral(digits) => self.bit_string('x', digits),
            Value::Boolean(value) => {
                Ok(Typed::literal(ScalarValue::Boolean(Some(*value)), PgType::Bool))
            }
            Value::Null => Ok(Typed::literal(ScalarValue::Utf8(None), PgType::Unknown)),
            Value::Placeholder(id) => self.placeholder(id),
            other => Err(Error::unsupported(format!("literal {other} is not supported"))),
        }
    }

    /// `B'101'`, `X'1F'`.
    fn bit_string(&mut self, base: char, digits: &str) -> Result<Typed> {
        let text = text_literal(&format!("{base}{digits}"));
        self.coerce(text, &PgType::Bit(None), Reason::Explicit)
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

    /// `INTERVAL '1 day'`, `INTERVAL '1' DAY`.
    fn interval(&mut self, interval: &ast::Interval) -> Result<Typed> {
        let typed = self.expr(&interval.value)?;
        let typed = match (&interval.leading_field, typed.untyped()) {
            (Some(field), Some(Some(text))) if text.trim().parse::<f64>().is_ok() => {
                let field = interval.last_field.as_ref().unwrap_or(field);
                text_literal(&format!("{text} {field}"))
            }
            _ => typed,
        };
        self.coerce(typed, &PgType::Interval, Reason::Explicit)
    }

    fn cast(&mut self, expr: &ast::Expr, data_type: &ast::DataType, span: Span) -> Result<Typed> {
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
        let inner = Box::new(typed.expr);
        Ok(boolean(if negated { Expr::IsNotNull(inner) } else { Expr::IsNull(inner) }))
    }

    fn distinct_from(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        negated: bool,
        span: Span,
    ) -> Result<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (left, right) = self.comparable("=", left, right, span)?;
        let op = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
        Ok(boolean(binary(left.expr, op, right.expr)))
    }

    fn in_list(
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

    fn between(
        &mut self,
        expr: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
        span: Span,
    ) -> Result<Typed> {
        let value = self.expr(expr)?;
        let (low, high) = (self.expr(low)?, self.expr(high)?);
        let at_least = self.binary(">=", value.clone(), low, span)?.expr;
        let at_most = self.binary("<=", value, high, span)?.expr;
        let between = binary(at_least, Operator::And, at_most);
        Ok(boolean(if negated { Expr::Not(Box::new(between)) } else { between }))
    }

    fn text_operand(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let typed = self.expr(expr)?;
        Ok(self.coerce(typed, &PgType::Text, Reason::Implicit)?.expr)
    }

    fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&Value>,
        negated: bool,
        case_insensitive: bool,
        span: Span,
    ) -> Result<Typed> {
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
        let expr = Box::new(self.coerce(left, &PgType::Text, Reason::Implicit)?.expr);
        let pattern = Box::new(self.coerce(right, &PgType::Text, Reason::Implicit)?.expr);
        if escape_char.is_some_and(|c| c != '\\') {
            // Arrow knows the backslash alone.
            let function = self.own(
                "like_escape",
                vec![PgType::Text, PgType::Text],
                PgType::Text,
                text::like_escape,
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
        let mut results = results
            .into_iter()
            .map(|typed| Ok(Box::new(self.coerce(typed, &kind, Reason::Implicit)?.expr)))
            .collect::<Result<Vec<_>>>()?;
        let else_expr = if else_result.is_some() { results.pop() } else { None };
        let when_then_expr = whens.into_iter().map(Box::new).zip(results).collect();
        Ok(Typed::new(Expr::Case(Case { expr: None, when_then_expr, else_expr }), kind))
    }

    /// An untyped operand beside an untyped value is text.
    fn settle_like(&mut self, operand: Typed, value: &Typed) -> Result<Typed> {
        if operand.is_unknown() && value.is_unknown() { self.settle(operand) } else { Ok(operand) }
    }

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
    fn access(&mut self, root: &ast::Expr, chain: &[AccessExpr], span: Span) -> Result<Typed> {
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

    fn subscript(&mut self, value: Typed, index: Typed, span: Span) -> Result<Typed> {
        let element = match &value.kind {
            PgType::Array(element) => (**element).clone(),
            PgType::Int2vector => PgType::Int2,
            PgType::Oidvector => PgType::Oid,
            PgType::Jsonb => return self.binary("->", value, index, span),
            other => {
                let error = Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "cannot subscript type {other} because it does not support subscripting"
                    ),
                );
                return Err(at(error, self.position(span)));
            }
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

    fn unary(&mut self, op: UnaryOperator, inner: &ast::Expr, span: Span) -> Result<Typed> {
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

    fn binary_expr(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        span: Span,
    ) -> Result<Typed> {
        match op {
            BinaryOperator::And => return self.chain(left, right, Operator::And),
            BinaryOperator::Or => return self.chain(left, right, Operator::Or),
            _ => {}
        }
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
    fn powers(&mut self, expr: &ast::Expr, span: Span) -> Result<Typed> {
        let mut operands = power_operands(expr).into_iter();
        let first = operands.next().ok_or_else(|| Error::internal("a power of nothing"))?;
        let mut power = self.expr(&first)?;
        for exponent in operands {
            let exponent = self.expr(&exponent)?;
            power = self.binary("^", power, exponent, span)?;
        }
        Ok(power)
    }

    /// `x = ANY (array)` where sqlparser reads a call of a function `any`.
    fn quantified_by_call(
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
    fn chain(&mut self, left: &ast::Expr, right: &ast::Expr, op: Operator) -> Result<Typed> {
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
    fn compare_rows(
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
                for (at, (left, right)) in pairs.into_iter().enumerate().rev() {
                    let last = result.is_none();
                    let _ = at;
                    let here = self
                        .binary(if last { op } else { strict }, left.clone(), right.clone(), span)?
                        .expr;
                    result = Some(match result {
                        None => here,
                        Some(rest) => {
                            let equal = self.binary("=", left, right, span)?.expr;
                            binary(here, Operator::Or, binary(equal, Operator::And, rest))
                        }
                    });
                }
            }
            _ => {
                return Err(self.at(
                    Error::unsupported(format!("operator {op} on rows is not supported")),
                    span,
                ));
            }
        }
        result
            .map(boolean)
            .ok_or_else(|| Error::new(SqlState::SYNTAX_ERROR, "cannot compare rows of zero length"))
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

/// What a chain of `^` stands between. A sign is its first operand's: it binds closer than `^`,
/// which sqlparser sees the other way round.
fn power_operands(expr: &ast::Expr) -> Vec<ast::Expr> {
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

/// A number: the least of integer, bigint and numeric that holds it; a float where none does.
fn number(digits: &str, negative: bool) -> Result<Typed> {
    let text = format!("{}{}", if negative { "-" } else { "" }, digits.replace('_', ""));
    let float = || {
        let value: f64 = text.parse().ok()?;
        let typed = Typed::literal(ScalarValue::Float64(Some(value)), PgType::Float8);
        value.is_finite().then(|| Typed { digits: Some(text.as_str().into()), ..typed })
    };
    match decimal(digits, negative) {
        Ok((typed, true)) => Ok(typed),
        Ok((typed, false)) => Ok(Typed { digits: Some(text.as_str().into()), ..typed }),
        Err(error) => float().ok_or(error),
    }
}

/// A number, and whether it is all there.
fn decimal(digits: &str, negative: bool) -> Result<(Typed, bool)> {
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let sign = if negative { "-" } else { "" };
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let body = if radix == 10 { digits.as_str() } else { &digits[2..] };
    if let Ok(value) = i64::from_str_radix(&format!("{sign}{body}"), radix) {
        let typed = match i32::try_from(value) {
            Ok(value) => Typed::literal(ScalarValue::Int32(Some(value)), PgType::Int4),
            Err(_) => Typed::literal(ScalarValue::Int64(Some(value)), PgType::Int8),
        };
        return Ok((typed, true));
    }
    let large = u128::from_str_radix(body, radix).ok().filter(|_| radix != 10);
    let large = large.map(|value| value.to_string());
    let body = large.as_deref().unwrap_or(body);
    let (mantissa, exponent) = match body.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(i32::MAX)),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let too_long = || {
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
            .detail("A numeric holds 38 digits.")
    };
    let mut scale = i32::try_from(fraction.len()).map_err(|_| too_long())?.saturating_sub(exponent);
    let mut all = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
    if scale < 0 {
        if scale < -40 {
            return Err(too_long());
        }
        all.push_str(&"0".repeat(usize::try_from(-scale).unwrap_or(0)));
        scale = 0;
    }
    // More digits behind the point than a numeric keeps: rounded half away from zero.
    let most = i32::from(crate::pgtype::NUMERIC_ANY.1);
    let is_whole = scale <= most;
    if !is_whole {
        let cut = usize::try_from(scale - most).unwrap_or(0);
        let kept = all.len().saturating_sub(cut);
        let up = all.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5') && all.len() >= cut;
        let value: i128 =
            if kept == 0 { 0 } else { all[..kept].parse().map_err(|_| too_long())? };
        all = (value + i128::from(up)).to_string();
        scale = most;
    }
    let value: i128 =
        if all.is_empty() { 0 } else { format!("{sign}{all}").parse().map_err(|_| too_long())? };
    if value.unsigned_abs() >= 10_u128.pow(38) {
        return Err(too_long());
    }
    let value = if negative && value > 0 { -value } else { value };
    let scale = i8::try_from(scale).map_err(|_| too_long())?;
    let typed = Typed::literal(ScalarValue::Decimal128(Some(value), 38, scale), numeric(scale));
    Ok((typed, is_whole))
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
