//! Aggregates, ordered sets and window functions.

use super::hypothetical::is_rank;
use crate::{
    error::{Error, Result, SqlState},
    sql::{
        binder::{Binder, Place},
        error::from_datafusion,
        functions::{
            aggregates::{self, Aggregate},
            ordered_set::is_ordered_set,
            windows,
        },
        order::sort,
        tokens::fold,
        typed::Typed,
    },
};
use datafusion::{
    logical_expr::{
        Expr, WindowFrame, WindowFunctionDefinition,
        expr::{
            AggregateFunction, AggregateFunctionParams, Cast, NullTreatment, WindowFunction,
            WindowFunctionParams,
        },
    },
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments},
        tokenizer::Span,
    },
};
use std::sync::Arc;

impl Binder<'_> {
    pub(super) fn aggregate_call(
        &mut self,
        name: &str,
        function: &ast::Function,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Typed> {
        if !self.place.aggregates {
            let error = Error::new(
                SqlState::GROUPING_ERROR,
                format!("aggregate functions are not allowed in {}", self.place.clause),
            );
            return Err(self.at(error, span));
        }
        let place = Place::plain("an aggregate's arguments");
        if is_rank(name) {
            return self.in_place(place, |binder| binder.hypothetical(name, function, args, span));
        }
        let (aggregate, params) =
            self.in_place(place, |binder| binder.aggregate_parts(name, function, args, span))?;
        let expr =
            Expr::AggregateFunction(AggregateFunction { func: aggregate.function.clone(), params });
        Ok(aggregate.finish(expr))
    }

    pub(super) fn aggregate_parts(
        &mut self,
        name: &str,
        function: &ast::Function,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<(Aggregate, AggregateFunctionParams)> {
        let star = matches!(args, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        if is_ordered_set(name) || !function.within_group.is_empty() {
            return self.ordered_set_parts(name, function, args, span);
        }
        let mut values = Vec::new();
        if !star {
            for arg in args {
                values.push(self.argument(arg, span)?);
            }
        }
        let (mut distinct, mut order_by, mut null_treatment) = (false, Vec::new(), None);
        if let FunctionArguments::List(list) = &function.args {
            distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
            for clause in &list.clauses {
                match clause {
                    FunctionArgumentClause::OrderBy(order) => {
                        for by in order {
                            let typed = self.expr(&by.expr)?;
                            let typed = self.settle(typed)?;
                            order_by.push(sort(typed.expr, &by.options));
                        }
                    }
                    FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                        null_treatment = Some(nulls(*treatment));
                    }
                    _ => {
                        return Err(self.at(
                            Error::unsupported("this clause of a call is not supported"),
                            span,
                        ));
                    }
                }
            }
        }
        let filter = match &function.filter {
            Some(filter) => Some(Box::new(self.boolean(filter, "FILTER")?)),
            None => None,
        };
        let aggregate = self.aggregate_of(name, values, star, span)?;
        let args = aggregate.args.clone();
        // What is told apart is sorted for it.
        if distinct && order_by.is_empty() && aggregates::keeps_order(name) {
            order_by.extend(args.first().map(|arg| arg.clone().sort(true, false)));
        }
        let params = AggregateFunctionParams { args, distinct, filter, order_by, null_treatment };
        Ok((aggregate, params))
    }

    /// `percentile_disc(0.5) WITHIN GROUP (ORDER BY x)`.
    pub(super) fn ordered_set_parts(
        &mut self,
        name: &str,
        function: &ast::Function,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<(Aggregate, AggregateFunctionParams)> {
        if function.over.is_some() {
            let error = Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("OVER is not supported for ordered-set aggregate {name}"),
            );
            return Err(self.at(error, span));
        }
        if !is_ordered_set(name) {
            let error = Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP"),
            );
            return Err(self.at(error, span));
        }
        if let FunctionArguments::List(list) = &function.args {
            if matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct)) {
                let error =
                    Error::new(SqlState::SYNTAX_ERROR, "cannot use DISTINCT with WITHIN GROUP");
                return Err(self.at(error, span));
            }
            if !list.clauses.is_empty() {
                let error = Error::new(
                    SqlState::SYNTAX_ERROR,
                    "cannot use multiple ORDER BY clauses with WITHIN GROUP",
                );
                return Err(self.at(error, span));
            }
        }
        let mut direct = Vec::with_capacity(args.len());
        for arg in args {
            direct.push(self.argument(arg, span)?);
        }
        let Some((by, more)) = function.within_group.split_first() else {
            let all = if name == "mode" { 1 } else { 2 };
            if direct.len() != all {
                return Err(self.no_function(name, &direct, span));
            }
            let error = Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("WITHIN GROUP is required for ordered-set aggregate {name}"),
            );
            return Err(self.at(error, span));
        };
        let value = self.expr(&by.expr)?;
        if !more.is_empty() {
            direct.push(value);
            for by in more {
                direct.push(self.expr(&by.expr)?);
            }
            return Err(self.no_function(name, &direct, span));
        }
        let filter = match &function.filter {
            Some(filter) => Some(Box::new(self.boolean(filter, "FILTER")?)),
            None => None,
        };
        let descending = by.options.asc == Some(false);
        let aggregate = self.ordered_set(name, direct, value, descending, span)?;
        let params = AggregateFunctionParams {
            args: aggregate.args.clone(),
            distinct: false,
            filter,
            order_by: Vec::new(),
            null_treatment: None,
        };
        Ok((aggregate, params))
    }

    pub(super) fn windowed(
        &mut self,
        name: &str,
        function: &ast::Function,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Typed> {
        let Some(over) = &function.over else {
            let error = Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("window function {name} requires an OVER clause"),
            );
            return Err(self.at(error, span));
        };
        if !self.place.windows {
            let error = Error::new(
                SqlState::new(b"42P20"),
                format!("window functions are not allowed in {}", self.place.clause),
            );
            return Err(self.at(error, span));
        }
        let spec = match over {
            ast::WindowType::WindowSpec(spec) => spec.clone(),
            ast::WindowType::NamedWindow(ident) => self.named_window(ident)?,
        };
        let spec = match &spec.window_name {
            Some(ident) => {
                let base = self.named_window(ident)?;
                ast::WindowSpec {
                    partition_by: base.partition_by,
                    order_by: if spec.order_by.is_empty() { base.order_by } else { spec.order_by },
                    ..spec
                }
            }
            None => spec,
        };
        // An aggregate may be in a window's arguments: sum(sum(x)) OVER ().
        let place = Place { windows: false, sets: false, ..self.place };
        self.in_place(place, |binder| {
            let mut partition_by = Vec::new();
            for expr in &spec.partition_by {
                let typed = binder.expr(expr)?;
                partition_by.push(binder.settle(typed)?.expr);
            }
            let mut order_by = Vec::new();
            for by in &spec.order_by {
                let typed = binder.expr(&by.expr)?;
                let typed = binder.settle(typed)?;
                order_by.push(sort(binder.ordered_in_window(typed).expr, &by.options));
            }
            let window_frame = match &spec.window_frame {
                Some(frame) => {
                    let frame = WindowFrame::try_from(frame.clone()).map_err(from_datafusion)?;
                    frame.regularize_order_bys(&mut order_by).map_err(from_datafusion)?;
                    frame
                }
                None => WindowFrame::new((!order_by.is_empty()).then_some(false)),
            };
            let make = |fun, params: AggregateFunctionParams| {
                Expr::WindowFunction(Box::new(WindowFunction {
                    fun,
                    params: WindowFunctionParams {
                        args: params.args,
                        partition_by,
                        order_by,
                        window_frame,
                        filter: params.filter,
                        null_treatment: params.null_treatment,
                        distinct: params.distinct,
                    },
                }))
            };
            if aggregates::is_aggregate(name) && !windows::is_window(name) {
                let (aggregate, params) = binder.aggregate_parts(name, function, args, span)?;
                let error = match () {
                    () if params.distinct => "DISTINCT is not implemented for window functions",
                    () if !params.order_by.is_empty() => {
                        "aggregate ORDER BY is not implemented for window functions"
                    }
                    () => "",
                };
                if !error.is_empty() {
                    return Err(binder.at(Error::unsupported(error), span));
                }
                let fun = WindowFunctionDefinition::AggregateUDF(Arc::clone(&aggregate.function));
                let expr = make(fun, params);
                return Ok(aggregate.finish(expr));
            }
            let mut values = Vec::new();
            for arg in args {
                values.push(binder.argument(arg, span)?);
            }
            let Some(window) = windows::window(binder, name, values)? else {
                return Err(binder.no_function(name, &[], span));
            };
            let null_treatment = function.null_treatment.map(nulls);
            let params = AggregateFunctionParams {
                args: window.args,
                distinct: false,
                filter: None,
                order_by: Vec::new(),
                null_treatment,
            };
            let expr = make(WindowFunctionDefinition::WindowUDF(window.function), params);
            let cast = Expr::Cast(Cast::new(Box::new(expr), window.result.arrow()));
            Ok(Typed::new(cast, window.result))
        })
    }

    pub(super) fn named_window(&self, ident: &ast::Ident) -> Result<ast::WindowSpec> {
        let name = fold(ident);
        self.windows.get(&name).cloned().ok_or_else(|| {
            let error =
                Error::new(SqlState::UNDEFINED_OBJECT, format!("window \"{name}\" does not exist"));
            self.at(error, ident.span)
        })
    }
}

pub(super) fn nulls(treatment: ast::NullTreatment) -> NullTreatment {
    match treatment {
        ast::NullTreatment::IgnoreNulls => NullTreatment::IgnoreNulls,
        ast::NullTreatment::RespectNulls => NullTreatment::RespectNulls,
    }
}
