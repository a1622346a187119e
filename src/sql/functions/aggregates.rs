//! Aggregates: DataFusion's where they do what PostgreSQL's do, and ours: the one value of a subquery; those of vectors and of bit strings have their own files.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::{Reason, numeric, scale},
        functions::{
            bit_fold::BitFold,
            call::{Body, Call, call, external},
            interval_fold::IntervalFold,
            json,
            leave_types::leave_types,
            vector_fold::VectorFold,
        },
        operators::number::QUOTIENT,
        typed::{Typed, unmodified},
    },
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    functions_aggregate::{
        array_agg::array_agg_udaf,
        average::avg_udaf,
        bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf},
        bool_and_or::{bool_and_udaf, bool_or_udaf},
        correlation::corr_udaf,
        count::count_udaf,
        covariance::{covar_pop_udaf, covar_samp_udaf},
        first_last::first_value_udaf,
        grouping::grouping_udaf,
        min_max::{max_udaf, min_udaf},
        regr::{
            regr_avgx_udaf, regr_avgy_udaf, regr_count_udaf, regr_intercept_udaf, regr_r2_udaf,
            regr_slope_udaf, regr_sxx_udaf, regr_sxy_udaf, regr_syy_udaf,
        },
        stddev::{stddev_pop_udaf, stddev_udaf},
        string_agg::string_agg_udaf,
        sum::sum_udaf,
        variance::{var_pop_udaf, var_samp_udaf},
    },
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ScalarUDF, Signature, Volatility,
        expr::{AggregateFunction, Cast},
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    sql::sqlparser::tokenizer::Span,
};
use half::f16;
use std::sync::Arc;

/// An aggregate with its arguments.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) function: Arc<AggregateUDF>,
    pub(crate) args: Vec<Expr>,
    /// The type that PostgreSQL gives.
    result: PgType,
    finish: Finish,
}

/// What is done with the value that an aggregate gives.
#[derive(Debug)]
enum Finish {
    /// Nothing: it has the layout of its type.
    Exact,
    /// DataFusion gives it in another layout.
    Cast,
    /// A function makes the result of it.
    Call(Arc<ScalarUDF>),
}

impl Aggregate {
    /// An aggregate whose value has the layout of its type.
    pub(crate) fn exact(function: Arc<AggregateUDF>, args: Vec<Expr>, result: PgType) -> Self {
        Self { function, args, result, finish: Finish::Exact }
    }

    /// The call's value, of the type that PostgreSQL gives.
    pub(crate) fn finish(&self, expr: Expr) -> Typed {
        let expr = match &self.finish {
            Finish::Exact => expr,
            Finish::Cast => Expr::Cast(Cast::new(Box::new(expr), self.result.arrow())),
            Finish::Call(function) => call(Arc::clone(function), vec![expr]),
        };
        Typed::new(expr, self.result.clone())
    }
}

/// Whether an aggregate shows the order in which it meets its values.
pub(crate) fn keeps_order(name: &str) -> bool {
    matches!(name, "array_agg" | "string_agg" | "json_agg" | "jsonb_agg")
        || matches!(name, "json_agg_strict" | "jsonb_agg_strict")
}

/// Whether a name is that of an aggregate.
pub(crate) fn is_aggregate(name: &str) -> bool {
    matches!(
        name,
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "array_agg"
            | "string_agg"
            | "bool_and"
            | "bool_or"
            | "every"
            | "bit_and"
            | "bit_or"
            | "bit_xor"
            | "stddev"
            | "stddev_samp"
            | "stddev_pop"
            | "variance"
            | "var_samp"
            | "var_pop"
            | "corr"
            | "regr_avgx"
            | "regr_avgy"
            | "regr_count"
            | "regr_intercept"
            | "regr_r2"
            | "regr_slope"
            | "regr_sxx"
            | "regr_sxy"
            | "regr_syy"
            | "covar_pop"
            | "covar_samp"
            | "percentile_cont"
            | "percentile_disc"
            | "mode"
            | "any_value"
            | "json_agg"
            | "jsonb_agg"
            | "json_agg_strict"
            | "jsonb_agg_strict"
            | "grouping"
    ) || is_object_agg(name)
}

/// Whether an aggregate makes an object of pairs.
fn is_object_agg(name: &str) -> bool {
    let known = ["json_object_agg", "jsonb_object_agg"];
    let rest = known.iter().find_map(|known| name.strip_prefix(known));
    rest.is_some_and(|rest| ["", "_strict", "_unique", "_unique_strict"].contains(&rest))
}

impl Binder<'_> {
    /// The aggregate of a name for some arguments.
    pub(crate) fn aggregate_of(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        star: bool,
        span: Span,
    ) -> Result<Aggregate> {
        use PgType as T;
        let missing = |binder: &Self, args: &[Typed]| binder.no_function(name, args, span);
        let plain = |function: Arc<AggregateUDF>, args: Vec<Expr>, result: T| Aggregate {
            function,
            args,
            result,
            finish: Finish::Exact,
        };
        let cast = |function: Arc<AggregateUDF>, args: Vec<Expr>, result: T| Aggregate {
            function,
            args,
            result,
            finish: Finish::Cast,
        };
        if name == "count" && args.is_empty() {
            if !star {
                let error = Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    "count(*) must be used to call a parameterless aggregate function",
                );
                return Err(self.at(error, span));
            }
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            return Ok(plain(count_udaf(), vec![one], T::Int8));
        }
        let mut settled = Vec::with_capacity(args.len());
        for arg in args {
            settled.push(self.settle(arg)?);
        }
        let args = settled;
        let Some(first) = args.first().cloned() else { return Err(missing(self, &args)) };
        let kind = first.kind.clone();
        Ok(match (name, args.len()) {
            ("count", 1) => plain(count_udaf(), vec![first.expr], T::Int8),
            ("sum", 1) => match &kind {
                T::Int2 | T::Int4 => {
                    let arg = self.coerce(first, &T::Int8, Reason::Implicit)?;
                    plain(sum_udaf(), vec![arg.expr], T::Int8)
                }
                T::Int8 | T::Numeric(_) => {
                    let wide = numeric(scale(&kind));
                    let arg = self.shaped(first, &wide)?;
                    cast(sum_udaf(), vec![arg.expr], wide)
                }
                T::Float4 | T::Float8 => cast(sum_udaf(), vec![first.expr], kind),
                T::Interval(_) => {
                    plain(IntervalFold::udaf(false), vec![first.expr], T::Interval(None))
                }
                T::Vector(_) => {
                    plain(VectorFold::<f32>::udaf(false), vec![first.expr], T::Vector(None))
                }
                T::Halfvec(_) => {
                    plain(VectorFold::<f16>::udaf(false), vec![first.expr], T::Halfvec(None))
                }
                _ => return Err(missing(self, &args)),
            },
            ("avg", 1) => match &kind {
                T::Int2 | T::Int4 | T::Int8 | T::Numeric(_) => {
                    // DataFusion's average has four digits more than what it averages.
                    let wide = T::Numeric(Some((38, scale(&kind).max(12))));
                    let arg = self.shaped(first, &numeric_of(&wide))?;
                    cast(avg_udaf(), vec![arg.expr], QUOTIENT)
                }
                T::Float4 | T::Float8 => {
                    let arg = self.coerce(first, &T::Float8, Reason::Implicit)?;
                    plain(avg_udaf(), vec![arg.expr], T::Float8)
                }
                T::Interval(_) => {
                    plain(IntervalFold::udaf(true), vec![first.expr], T::Interval(None))
                }
                T::Vector(_) => {
                    plain(VectorFold::<f32>::udaf(true), vec![first.expr], T::Vector(None))
                }
                T::Halfvec(_) => {
                    plain(VectorFold::<f16>::udaf(true), vec![first.expr], T::Halfvec(None))
                }
                _ => return Err(missing(self, &args)),
            },
            ("min" | "max", 1) => {
                let has_none = matches!(
                    kind,
                    T::Bool | T::Json | T::Jsonb | T::Record | T::Composite(_) | T::Varbit(_)
                );
                if has_none || kind.space().is_some() {
                    return Err(missing(self, &args));
                }
                let function = if name == "min" { min_udaf() } else { max_udaf() };
                cast(function, vec![first.expr], unmodified(&kind))
            }
            ("array_agg", 1) => match kind {
                T::Array(_) => {
                    return Err(self.at(
                        Error::unsupported("arrays of more than one dimension are not supported"),
                        span,
                    ));
                }
                kind => cast(array_agg_udaf(), vec![first.expr], kind.array()),
            },
            ("string_agg", 2) => {
                let mut exprs = Vec::new();
                for arg in args {
                    exprs.push(self.coerce(arg, &T::Text, Reason::Implicit)?.expr);
                }
                cast(string_agg_udaf(), exprs, T::Text)
            }
            ("bool_and" | "every", 1) => {
                let arg = self.coerce(first, &T::Bool, Reason::Implicit)?;
                plain(bool_and_udaf(), vec![arg.expr], T::Bool)
            }
            ("bool_or", 1) => {
                let arg = self.coerce(first, &T::Bool, Reason::Implicit)?;
                plain(bool_or_udaf(), vec![arg.expr], T::Bool)
            }
            ("bit_and" | "bit_or" | "bit_xor", 1)
                if matches!(kind, T::Int2 | T::Int4 | T::Int8) =>
            {
                let function = match name {
                    "bit_and" => bit_and_udaf(),
                    "bit_or" => bit_or_udaf(),
                    _ => bit_xor_udaf(),
                };
                plain(function, vec![first.expr], kind)
            }
            ("bit_and" | "bit_or" | "bit_xor", 1) if matches!(kind, T::Bit(_) | T::Varbit(_)) => {
                plain(BitFold::udaf(name), vec![first.expr], T::Bit(None))
            }
            ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", 1) => {
                let result =
                    if matches!(kind, T::Float4 | T::Float8) { T::Float8 } else { QUOTIENT };
                let arg = self.coerce(first, &T::Float8, Reason::Implicit)?;
                let function = match name {
                    "stddev" | "stddev_samp" => stddev_udaf(),
                    "stddev_pop" => stddev_pop_udaf(),
                    "var_pop" => var_pop_udaf(),
                    _ => var_samp_udaf(),
                };
                cast(function, vec![arg.expr], result)
            }
            (_, 2) if name.starts_with("regr_") => {
                let mut exprs = Vec::new();
                for arg in args {
                    exprs.push(self.coerce(arg, &T::Float8, Reason::Implicit)?.expr);
                }
                let function = match name {
                    "regr_avgx" => regr_avgx_udaf(),
                    "regr_avgy" => regr_avgy_udaf(),
                    "regr_count" => regr_count_udaf(),
                    "regr_intercept" => regr_intercept_udaf(),
                    "regr_r2" => regr_r2_udaf(),
                    "regr_slope" => regr_slope_udaf(),
                    "regr_sxx" => regr_sxx_udaf(),
                    "regr_sxy" => regr_sxy_udaf(),
                    _ => regr_syy_udaf(),
                };
                cast(function, exprs, if name == "regr_count" { T::Int8 } else { T::Float8 })
            }
            ("corr" | "covar_pop" | "covar_samp", 2) => {
                let mut exprs = Vec::new();
                for arg in args {
                    exprs.push(self.coerce(arg, &T::Float8, Reason::Implicit)?.expr);
                }
                let function = match name {
                    "corr" => corr_udaf(),
                    "covar_pop" => covar_pop_udaf(),
                    _ => covar_samp_udaf(),
                };
                plain(function, exprs, T::Float8)
            }
            ("grouping", _) => {
                let args = args.into_iter().map(|arg| arg.expr).collect();
                plain(grouping_udaf(), args, T::Int4)
            }
            ("any_value", 1) => cast(first_value_udaf(), vec![first.expr], kind),
            ("json_agg" | "jsonb_agg", 1) => self.collected(first, name, json::build::agg),
            ("json_agg_strict" | "jsonb_agg_strict", 1) => {
                self.collected(first, name, json::build::agg_strict)
            }
            (_, 2) if is_object_agg(name) => {
                let pair = self.row(args)?;
                let body: Body = match name.split_once("_object_agg") {
                    Some((_, "_strict")) => json::build::object_agg_strict,
                    Some((_, "_unique")) => json::build::object_agg_unique,
                    Some((_, "_unique_strict")) => json::build::object_agg_unique_strict,
                    _ => json::build::object_agg,
                };
                self.collected(pair, name, body)
            }
            _ => return Err(missing(self, &args)),
        })
    }

    /// An aggregate of json: the values in their order, and what is made of them at the end.
    fn collected(&self, value: Typed, name: &str, body: Body) -> Aggregate {
        let result = if name.starts_with("jsonb") { PgType::Jsonb } else { PgType::Json };
        let list = value.kind.array();
        let made = Call::udf(name, vec![list], result.clone(), STABLE, body, self.context);
        let (function, args) = (array_agg_udaf(), vec![value.expr]);
        Aggregate { function, args, result, finish: Finish::Call(made) }
    }
}

/// Values are written in the session's style.
const STABLE: Volatility = Volatility::Stable;

fn numeric_of(kind: &PgType) -> PgType {
    kind.clone()
}

/// The one value of a subquery's rows; 21000 when there are more.
pub(crate) fn single_value(value: Expr, kind: &PgType) -> Expr {
    let function = Arc::new(AggregateUDF::from(Single::new(kind.clone())));
    Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![value],
        false,
        None,
        vec![],
        None,
    ))
}

// The value of a subquery.

#[derive(Debug, PartialEq, Eq, Hash)]
struct Single {
    kind: PgType,
    signature: Signature,
}

impl Single {
    fn new(kind: PgType) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn result(&self) -> &PgType {
        &self.kind
    }
}

impl AggregateUDFImpl for Single {
    fn name(&self) -> &str {
        "single_value"
    }

    leave_types!();

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let none = ScalarValue::try_from(&self.kind.arrow())?;
        Ok(Box::new(SingleValue { rows: 0, value: none }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        Ok(vec![
            Arc::new(Field::new(format!("{}[rows]", args.name), DataType::UInt64, false)),
            Arc::new(Field::new(format!("{}[value]", args.name), self.kind.arrow(), true)),
        ])
    }
}

#[derive(Debug)]
struct SingleValue {
    rows: u64,
    value: ScalarValue,
}

impl SingleValue {
    fn add(
        &mut self,
        rows: u64,
        value: impl FnOnce() -> Result<ScalarValue, DataFusionError>,
    ) -> Result<(), DataFusionError> {
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows;
        if self.rows > 1 {
            return Err(external(Error::new(
                SqlState::CARDINALITY_VIOLATION,
                "more than one row returned by a subquery used as an expression",
            )));
        }
        self.value = value()?;
        Ok(())
    }
}

impl Accumulator for SingleValue {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let rows = u64::try_from(values[0].len()).unwrap_or(u64::MAX);
        self.add(rows, || ScalarValue::try_from_array(&values[0], 0))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let rows = states[0].as_primitive::<arrow::datatypes::UInt64Type>();
        for row in 0..rows.len() {
            self.add(rows.value(row), || ScalarValue::try_from_array(&states[1], row))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        Ok(vec![ScalarValue::UInt64(Some(self.rows)), self.value.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size()
    }
}
