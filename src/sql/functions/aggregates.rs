//! Aggregates: DataFusion's where they do what PostgreSQL's do, and ours: json, and the one value of a
//! subquery; those of vectors and of bit strings have their own files.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, style::Style},
    sql::{
        Context,
        binder::Binder,
        coerce::{Reason, numeric, scale},
        functions::{
            bit_fold::BitFold, call::external, json, leave_types::leave_types,
            vector_fold::VectorFold,
        },
        operators::number::QUOTIENT,
        typed::Typed,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
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
        min_max::{max_udaf, min_udaf},
        stddev::{stddev_pop_udaf, stddev_udaf},
        string_agg::string_agg_udaf,
        sum::sum_udaf,
        variance::{var_pop_udaf, var_samp_udaf},
    },
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
        expr::{AggregateFunction, Cast},
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    sql::sqlparser::tokenizer::Span,
};
use half::f16;
use serde_json::Value;
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// An aggregate with its arguments.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) function: Arc<AggregateUDF>,
    pub(crate) args: Vec<Expr>,
    /// The type that PostgreSQL gives.
    result: PgType,
    /// Whether what DataFusion gives has another layout.
    cast: bool,
}

impl Aggregate {
    /// An aggregate whose value has the layout of its type.
    pub(crate) fn exact(function: Arc<AggregateUDF>, args: Vec<Expr>, result: PgType) -> Self {
        Self { function, args, result, cast: false }
    }

    /// The call's value, of the type that PostgreSQL gives.
    pub(crate) fn finish(&self, expr: Expr) -> Typed {
        let expr = if self.cast {
            Expr::Cast(Cast::new(Box::new(expr), self.result.arrow()))
        } else {
            expr
        };
        Typed::new(expr, self.result.clone())
    }
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
            | "covar_pop"
            | "covar_samp"
            | "percentile_cont"
            | "percentile_disc"
            | "mode"
            | "any_value"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
    )
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
            cast: false,
        };
        let cast = |function: Arc<AggregateUDF>, args: Vec<Expr>, result: T| Aggregate {
            function,
            args,
            result,
            cast: true,
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
                T::Interval => {
                    return Err(self.at(Error::unsupported("sum(interval) is not supported"), span));
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
                T::Interval => {
                    return Err(self.at(Error::unsupported("avg(interval) is not supported"), span));
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
                let has_none =
                    matches!(kind, T::Bool | T::Json | T::Jsonb | T::Record | T::Varbit(_));
                if has_none || kind.space().is_some() {
                    return Err(missing(self, &args));
                }
                let function = if name == "min" { min_udaf() } else { max_udaf() };
                cast(function, vec![first.expr], kind)
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
            ("any_value", 1) => cast(first_value_udaf(), vec![first.expr], kind),
            ("json_agg" | "jsonb_agg", 1) | ("json_object_agg" | "jsonb_object_agg", 2) => {
                let result = if name.starts_with("jsonb") { T::Jsonb } else { T::Json };
                let function = JsonFold::udaf(&args, result.clone(), self.context);
                plain(function, args.into_iter().map(|arg| arg.expr).collect(), result)
            }
            _ => return Err(missing(self, &args)),
        })
    }
}

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

// json.

#[derive(Clone)]
struct JsonFold {
    kinds: Vec<PgType>,
    result: PgType,
    signature: Signature,
    context: Arc<dyn Context>,
}

impl JsonFold {
    fn udaf(args: &[Typed], result: PgType, context: &Arc<dyn Context>) -> Arc<AggregateUDF> {
        let kinds = args.iter().map(|arg| arg.kind.clone()).collect();
        let signature = Signature::user_defined(Volatility::Stable);
        Arc::new(AggregateUDF::from(Self {
            kinds,
            result,
            signature,
            context: Arc::clone(context),
        }))
    }

    fn result(&self) -> &PgType {
        &self.result
    }
}

impl fmt::Debug for JsonFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json_agg({:?})", self.kinds)
    }
}

impl PartialEq for JsonFold {
    fn eq(&self, other: &Self) -> bool {
        self.kinds == other.kinds && self.result == other.result
    }
}

impl Eq for JsonFold {}

impl Hash for JsonFold {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kinds.hash(state);
        self.result.hash(state);
    }
}

impl AggregateUDFImpl for JsonFold {
    fn name(&self) -> &str {
        match (self.kinds.len(), &self.result) {
            (1, PgType::Jsonb) => "jsonb_agg",
            (1, _) => "json_agg",
            (_, PgType::Jsonb) => "jsonb_object_agg",
            _ => "json_object_agg",
        }
    }

    leave_types!();

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let style = self.context.style();
        Ok(Box::new(JsonParts { fold: self.clone(), style, parts: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        Ok(vec![Arc::new(PgType::Text.array().field(&format!("{}[parts]", args.name), true))])
    }
}

#[derive(Debug)]
struct JsonParts {
    fold: JsonFold,
    style: Style,
    parts: Vec<String>,
}

impl Accumulator for JsonParts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let columns = values
            .iter()
            .zip(&self.fold.kinds)
            .map(|(array, kind)| json::values_of(array, kind, &self.style))
            .collect::<Result<Vec<_>>>()
            .map_err(external)?;
        for row in 0..values[0].len() {
            let value = &columns[columns.len() - 1][row];
            self.parts.push(match columns.len() {
                1 => value.to_string(),
                _ => {
                    let key = match &columns[0][row] {
                        Value::String(text) => Value::String(text.clone()),
                        Value::Null => {
                            return Err(external(Error::new(
                                SqlState::NULL_VALUE_NOT_ALLOWED,
                                "field name must not be null",
                            )));
                        }
                        other => Value::String(other.to_string()),
                    };
                    format!("{key} : {value}")
                }
            });
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let lists = states[0].as_list::<i32>();
        for row in 0..lists.len() {
            if lists.is_valid(row) {
                let list = lists.value(row);
                let texts: &StringArray = list.as_string();
                self.parts.extend(texts.iter().flatten().map(str::to_owned));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        let parts: Vec<ScalarValue> =
            self.parts.iter().map(|part| ScalarValue::Utf8(Some(part.clone()))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&parts, &DataType::Utf8))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        if self.parts.is_empty() {
            return Ok(ScalarValue::Utf8(None));
        }
        let joined = self.parts.join(", ");
        let text = match self.fold.kinds.len() {
            1 => format!("[{joined}]"),
            _ => format!("{{ {joined} }}"),
        };
        let text = match self.fold.result {
            PgType::Jsonb => crate::pgtype::json::normalise(&text).map_err(external)?,
            _ => text,
        };
        Ok(ScalarValue::Utf8(Some(text)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.parts.iter().map(|part| part.capacity() + 24).sum::<usize>()
    }
}
