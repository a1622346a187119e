//! Calls: scalar functions, aggregates, window functions, functions that return sets.

mod aggregate;
mod hypothetical;
mod json_record;
pub(crate) mod model;
mod named;
mod record;
mod spread;
mod sql_json;

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, SetColumn},
        coerce::{Reason, numeric},
        error::from_datafusion,
        expression::{row::field_of, text_literal},
        functions::{
            self, Implementation, Signature,
            aggregates::{self},
            call::{Call, call},
            pg, windows,
        },
        operators::not_unique,
        tokens::variadic_array,
        typed::{Typed, bare, unmodified},
    },
};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Case, Expr, ReturnFieldArgs, ScalarUDF, expr::Cast},
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments},
        tokenizer::Span,
    },
};
use std::sync::Arc;

/// `NFC` and kin, as `normalize` takes them: words, no strings.
fn normal_form(arg: &FunctionArg) -> Option<String> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(form))) = arg else {
        return None;
    };
    let name = form.value.to_ascii_uppercase();
    (form.quote_style.is_none() && ["NFC", "NFD", "NFKC", "NFKD"].contains(&name.as_str()))
        .then_some(name)
}

impl Binder<'_> {
    /// A call as it was written.
    pub(crate) fn function(&mut self, function: &ast::Function, span: Span) -> Result<Typed> {
        let name = self.object_name(&function.name)?;
        if let Some(schema) = &name.schema
            && !["pg_catalog", "public", "information_schema"].contains(&schema.as_str())
            && self.catalog.schema_named(self.context.database(), schema).is_none()
        {
            let error = Error::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{schema}\" does not exist"),
            );
            return Err(self.at(error, span));
        }
        let name = name.name;
        let list = match &function.args {
            FunctionArguments::None => None,
            FunctionArguments::Subquery(query) => {
                return self.subquery_argument(&name, query, span);
            }
            FunctionArguments::List(list) => Some(list),
        };
        let args: &[FunctionArg] = list.map_or(&[], |list| &list.args);
        if sql_json::is_sql_json(&name) {
            return self.sql_json(&name, function, args, span);
        }
        if name == "merge_action" && args.is_empty() {
            return self.merge_action(span);
        }
        if name == "row" && list.is_some() {
            return self.row_call(args, span);
        }
        let is_hypothetical = hypothetical::is_rank(&name) && !function.within_group.is_empty();
        if !is_hypothetical && (function.over.is_some() || windows::is_window_only(&name)) {
            return self.windowed(&name, function, args, span);
        }
        if is_hypothetical || aggregates::is_aggregate(&name) {
            return self.aggregate_call(&name, function, args, span);
        }
        if list.is_some_and(|list| list.duplicate_treatment.is_some()) || function.filter.is_some()
        {
            let error = Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("DISTINCT or FILTER specified, but {name} is not an aggregate function"),
            );
            return Err(self.at(error, span));
        }
        if args.iter().any(|arg| !matches!(arg, FunctionArg::Unnamed(_))) {
            return self.call_with_names(&name, args, span);
        }
        if name == "normalize"
            && let [text, form] = args
            && let Some(form) = normal_form(form)
        {
            let text = self.argument(text, span)?;
            return self.call_named(&name, vec![text, text_literal(&form)], span);
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            match variadic_array(arg) {
                Some(array) => values.extend(self.spread(&name, array, span)?),
                None => values.push(self.argument(arg, span)?),
            }
        }
        self.call_named(&name, values, span)
    }

    pub(crate) fn argument(&mut self, arg: &FunctionArg, span: Span) -> Result<Typed> {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expr(expr),
            FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                let error = Error::unsupported("arguments by name are not supported here");
                Err(self.at(error, span))
            }
            _ => {
                let error = Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"*\"");
                Err(self.at(error, span))
            }
        }
    }

    /// A scalar function, or one that returns a set, of arguments that are bound.
    ///
    /// # Errors
    /// 42883.
    pub(crate) fn call_named(&mut self, name: &str, args: Vec<Typed>, span: Span) -> Result<Typed> {
        let position = self.position(span);
        let typed = self.call_unplaced(name, args, span)?;
        Ok(Typed { position: typed.position.or(position), ..typed })
    }

    fn call_unplaced(&mut self, name: &str, args: Vec<Typed>, span: Span) -> Result<Typed> {
        match (name, args.len()) {
            ("coalesce", 1..) => return self.coalesce(args),
            ("nullif", 2) => return self.nullif(args, span),
            ("greatest" | "least", 1..) => return self.extreme(name, args),
            ("current_time" | "current_timestamp" | "localtime" | "localtimestamp", 1) => {
                return self.now_with_digits(name, &args[0], span);
            }
            _ => {}
        }
        let args = match functions::embed::NAMES.contains(&name) {
            true => self.with_model(name, args, span)?,
            false => args,
        };
        if let Some(typed) = self.of_table(name, &args, span)? {
            return Ok(typed);
        }
        if let Some(function) = self.system_functions.get(name).cloned() {
            return self.system_call(&function, args, span);
        }
        let set = pg::set_functions(self.context).into_iter().find(|f| f.name() == name);
        if let Some(function) = set {
            let typed = self.system_call(&function, args, span)?;
            let element = match &typed.kind {
                PgType::Array(element) => (**element).clone(),
                _ => PgType::Record,
            };
            let set = self.set(name, typed.expr, element, span)?;
            // A record of one field is that field.
            return Ok(match set.kind.fields() {
                Some([(field, kind)]) => Typed::new(field_of(set.expr, field), kind.clone()),
                _ => set,
            });
        }
        // `int4('1')`: a type's name is a cast.
        if let [one] = args.as_slice()
            && !name.contains(' ')
            && let Some(kind) =
                PgType::from_name(name).or_else(|| self.names().user_type(None, name))
        {
            return self.coerce(one.clone(), &kind, Reason::Explicit);
        }
        Err(self.no_function(name, &args, span))
    }

    /// `function … does not exist`
    pub(crate) fn no_function(&self, name: &str, args: &[Typed], span: Span) -> Error {
        let kinds: Vec<String> = args.iter().map(|arg| bare(&arg.kind).to_string()).collect();
        let error = Error::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {name}({}) does not exist", kinds.join(", ")),
        )
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.");
        self.at(error, span)
    }

    /// A function of our table.
    fn of_table(&mut self, name: &str, args: &[Typed], span: Span) -> Result<Option<Typed>> {
        let Some(signatures) = functions::named(name) else { return Ok(None) };
        let Some(chosen) = choose(signatures, args) else {
            // Another family may have one of that name.
            if self.system_functions.contains_key(name) {
                return Ok(None);
            }
            return Err(self.no_function(name, args, span));
        };
        if is_ambiguous(signatures, chosen, args) {
            let kinds: Vec<String> = args.iter().map(|arg| bare(&arg.kind).to_string()).collect();
            let message = format!("function {name}({}) is not unique", kinds.join(", "));
            return Err(self.at(not_unique(&message, "function"), span));
        }
        let kinds = self.parameter_kinds(chosen, args)?;
        let mut exprs = Vec::with_capacity(args.len());
        let mut given = Vec::with_capacity(args.len());
        for (arg, kind) in args.iter().zip(&kinds) {
            let mut typed = self.coerce(arg.clone(), kind, Reason::Implicit)?;
            if matches!(kind, PgType::Numeric(_)) {
                typed = self.decimal(typed)?;
            }
            given.push(typed.kind);
            exprs.push(typed.expr);
        }
        let known = digits(name, args).or_else(|| self.vectors_of(name, args));
        let result = known.unwrap_or_else(|| unmodified(&chosen.result(&given)));
        let expr = match &chosen.implementation {
            Implementation::Own(body) => {
                let kind = if chosen.set { result.clone().array() } else { result.clone() };
                let function = Call::udf(name, given, kind, chosen.volatility, *body, self.context);
                call(function, exprs)
            }
            Implementation::DataFusion(function) => {
                as_type(call(function(), exprs.clone()), &function(), &given, &result)
            }
            Implementation::Distance(space, metric) => {
                let [left, right] = <[Expr; 2]>::try_from(exprs)
                    .map_err(|_| Error::internal("a distance is between two points"))?;
                functions::distance::call(*space, *metric, left, right)
            }
        };
        if chosen.set {
            return self.set(name, expr, result, span).map(Some);
        }
        Ok(Some(Typed::new(expr, result)))
    }

    /// What each argument becomes.
    fn parameter_kinds(&self, signature: &Signature, args: &[Typed]) -> Result<Vec<PgType>> {
        use functions::Parameter as P;
        let of_element = |typed: &Typed| match &typed.kind {
            PgType::Array(element) => (**element).clone(),
            PgType::Int2vector => PgType::Int2,
            PgType::Oidvector => PgType::Oid,
            other => other.clone(),
        };
        let poly: Vec<Typed> = args
            .iter()
            .enumerate()
            .filter_map(|(at, arg)| match signature.parameter(at) {
                Some(P::Element | P::Enum) => Some(arg.clone()),
                Some(P::Array) => Some(Typed::new(arg.expr.clone(), of_element(arg))),
                _ => None,
            })
            .collect();
        let element = self.common_type("function", &poly)?;
        Ok(args
            .iter()
            .enumerate()
            .map(|(at, arg)| match signature.parameter(at) {
                Some(P::Exact(kind)) => match (&arg.kind, kind) {
                    (PgType::Numeric(_), PgType::Numeric(_)) => arg.kind.clone(),
                    _ => kind.clone(),
                },
                Some(P::Element | P::Enum) => element.clone(),
                Some(P::Array) if matches!(arg.kind, PgType::Int2vector | PgType::Oidvector) => {
                    arg.kind.clone()
                }
                Some(P::Array) => element.clone().array(),
                _ if arg.is_unknown() => PgType::Text,
                _ => arg.kind.clone(),
            })
            .collect())
    }

    /// A function of `functions/pg`.
    fn system_call(
        &mut self,
        function: &Arc<ScalarUDF>,
        args: Vec<Typed>,
        span: Span,
    ) -> Result<Typed> {
        let wanted = pg::parameter_types(function, args.len());
        let mut exprs = Vec::new();
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut types: Vec<DataType> = Vec::new();
        for (at, arg) in args.into_iter().enumerate() {
            let kind = wanted.as_ref().and_then(|kinds| kinds.get(at)).cloned();
            let typed = match kind {
                Some(kind) if arg.is_unknown() && kind != PgType::Unknown => {
                    // A name for an oid is looked up when it runs: it may be that there is none.
                    match (&kind, arg.untyped()) {
                        (PgType::Reg(_), Some(Some(_))) => {
                            self.coerce(arg, &PgType::Text, Reason::Implicit)?
                        }
                        _ => self.coerce(arg, &kind, Reason::Implicit)?,
                    }
                }
                // Whatever has a text can be quoted.
                Some(kind @ PgType::Text)
                    if matches!(function.name(), "quote_literal" | "quote_nullable") =>
                {
                    self.coerce(arg, &kind, Reason::Assignment)?
                }
                _ => self.settle(arg)?,
            };
            types.push(typed.kind.arrow());
            fields.push(Arc::new(typed.kind.field("argument", true)));
            exprs.push(typed.expr);
        }
        function.coerce_types(&types).map_err(|error| self.at(from_datafusion(error), span))?;
        let scalars = vec![None; fields.len()];
        let args = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars };
        let field = function.return_field_from_args(args).map_err(from_datafusion)?;
        Ok(Typed::new(call(Arc::clone(function), exprs), PgType::of_field(&field)))
    }

    /// A list that is to become rows.
    fn set(&mut self, name: &str, list: Expr, element: PgType, span: Span) -> Result<Typed> {
        if !self.place.sets {
            let error = Error::unsupported(format!(
                "set-returning functions are not allowed in {}",
                self.place.clause
            ));
            return Err(self.at(error, span));
        }
        // The same call is the same column only within one SELECT list's item; PostgreSQL runs
        // each, in step, which comes to the same.
        let column = self.qualifier(&format!("set:{name}"));
        self.sets.push(SetColumn { list, name: column.clone() });
        let expr = Expr::Column(datafusion::common::Column::new_unqualified(column));
        Ok(Typed::new(expr, element))
    }

    // Forms that look like functions.

    /// `current_timestamp(3)`: the time with so many digits of the second.
    fn now_with_digits(&mut self, name: &str, digits: &Typed, span: Span) -> Result<Typed> {
        let Expr::Literal(ScalarValue::Int32(Some(digits)), _) = digits.expr else {
            return Err(self.no_function(name, std::slice::from_ref(digits), span));
        };
        let now = self.call_named(name, Vec::new(), span)?;
        let kind = now.kind.clone().with_modifiers(&[digits.into()])?;
        self.coerce(now, &kind, Reason::Explicit)
    }

    fn coalesce(&mut self, args: Vec<Typed>) -> Result<Typed> {
        let kind = self.common_type("COALESCE", &args)?;
        let mut exprs = args
            .into_iter()
            .map(|arg| Ok(self.shaped(arg, &kind)?.expr))
            .collect::<Result<Vec<_>>>()?;
        let last = exprs.pop();
        if exprs.is_empty() {
            return last
                .map(|expr| Typed::new(expr, kind))
                .ok_or_else(|| Error::internal("COALESCE of nothing"));
        }
        exprs.extend(last);
        let function = datafusion::functions::core::coalesce();
        Ok(Typed::new(call(function, exprs), kind))
    }

    fn nullif(&mut self, mut args: Vec<Typed>, span: Span) -> Result<Typed> {
        let (second, first) = (args.pop(), args.pop());
        let (Some(first), Some(second)) = (first, second) else {
            return Err(Error::internal("NULLIF takes two"));
        };
        let first =
            if first.is_unknown() && second.is_unknown() { self.settle(first)? } else { first };
        let first = if first.is_unknown() {
            self.coerce(first, &unmodified(&second.kind), Reason::Implicit)?
        } else {
            first
        };
        let equal = self.binary("=", first.clone(), second, span)?;
        let null = ScalarValue::try_from(&first.kind.arrow()).map_err(from_datafusion)?;
        let case = Case {
            expr: None,
            when_then_expr: vec![(Box::new(equal.expr), Box::new(Expr::Literal(null, None)))],
            else_expr: Some(Box::new(first.expr)),
        };
        Ok(Typed::new(Expr::Case(case), unmodified(&first.kind)))
    }

    fn extreme(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let kind = self.common_type(&name.to_uppercase(), &args)?;
        let exprs = args
            .into_iter()
            .map(|arg| Ok(self.shaped(arg, &kind)?.expr))
            .collect::<Result<Vec<_>>>()?;
        let function = match name {
            "greatest" => datafusion::functions::core::greatest(),
            _ => datafusion::functions::core::least(),
        };
        Ok(Typed::new(call(function, exprs), kind))
    }

    // Aggregates.
}

/// The scale of a result that a literal argument tells: `round(x, 2)`, `extract(year from x)`.
fn digits(name: &str, args: &[Typed]) -> Option<PgType> {
    match (name, args) {
        (
            "round" | "trunc",
            [_, Typed { expr: Expr::Literal(ScalarValue::Int32(Some(digits)), _), .. }],
        ) => Some(numeric(i8::try_from((*digits).clamp(0, 16)).ok()?)),
        ("sign", [Typed { kind: PgType::Numeric(_), .. }]) => Some(numeric(0)),
        ("extract", [field, value]) => {
            Some(numeric(functions::datetime::parts::digits(field.untyped()??, &value.kind)))
        }
        _ => None,
    }
}

/// DataFusion's function's result as the type that PostgreSQL's gives.
fn as_type(expr: Expr, function: &ScalarUDF, given: &[PgType], result: &PgType) -> Expr {
    let fields: Vec<FieldRef> =
        given.iter().map(|kind| Arc::new(kind.field("argument", true))).collect();
    let scalars = vec![None; fields.len()];
    let args = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars };
    match function.return_field_from_args(args) {
        Ok(field) if *field.data_type() == result.arrow() => expr,
        _ => Expr::Cast(Cast::new(Box::new(expr), result.arrow())),
    }
}

/// The function that fits best: most arguments of its very types, then preferred types, then the
/// order of the table.
pub(crate) fn choose<'s>(signatures: &'s [Signature], args: &[Typed]) -> Option<&'s Signature> {
    signatures
        .iter()
        .filter_map(|signature| Some((signature, signature.fit(args)?)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(signature, _)| signature)
}

/// Whether functions of two types of vectors fit alike, so that it is not clear which is meant. Among
/// PostgreSQL's own types the order of the table decides, which follows its preferences.
fn is_ambiguous(signatures: &[Signature], chosen: &Signature, args: &[Typed]) -> bool {
    let of_vectors = |signature: &Signature, at: usize| match signature.parameter(at) {
        Some(functions::Parameter::Exact(kind)) => kind.space(),
        _ => None,
    };
    let fit = chosen.fit(args);
    signatures.iter().filter(|other| other.fit(args) == fit).any(|other| {
        (0..args.len()).any(|at| {
            let (a, b) = (of_vectors(chosen, at), of_vectors(other, at));
            a.is_some() && b.is_some() && a != b
        })
    })
}
