//! Distances between vectors: the function that the operators `<->`, `<#>`, `<=>` and `<+>` are,
//! one for each metric, and the arithmetic under it.
//!
//! [`distances`] is where a column meets one query vector; [`distance`] is one pair. Both compute
//! in single precision as pgvector does.

use crate::{
    error::{Error, Result, SqlState},
    sql::functions::{call::external, vector::Vectors},
    vector::Metric,
};
use arrow::{
    array::{Array, ArrayRef, Float64Array, Float64Builder},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility, expr::ScalarFunction,
    },
};
use std::sync::{Arc, LazyLock};

/// How far two vectors of the same dimensions are apart.
#[must_use]
pub fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    match metric {
        Metric::L2 => f64::from(sum(a, b, |x, y| (x - y) * (x - y))).sqrt(),
        Metric::InnerProduct => -f64::from(sum(a, b, |x, y| x * y)),
        Metric::L1 => f64::from(sum(a, b, |x, y| (x - y).abs())),
        Metric::Cosine => {
            let dot = f64::from(sum(a, b, |x, y| x * y));
            let norms = f64::from(sum(a, a, |x, y| x * y)) * f64::from(sum(b, b, |x, y| x * y));
            1.0 - (dot / norms.sqrt()).clamp(-1.0, 1.0)
        }
    }
}

/// How far each of a column's vectors is from one; NULL where there is none.
///
/// # Errors
/// 22000 where dimensions differ.
pub fn distances(metric: Metric, column: &ArrayRef, query: &[f32]) -> Result<Float64Array> {
    let vectors = Vectors::new(column)?;
    let mut out = Float64Builder::with_capacity(column.len());
    for row in 0..vectors.len() {
        match vectors.row(row) {
            Some(vector) => {
                check_dims(vector, query)?;
                out.append_value(distance(metric, vector, query));
            }
            None => out.append_null(),
        }
    }
    Ok(out.finish())
}

/// Eight sums side by side, so that the compiler can keep them in one register.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 =
        a_parts.remainder().iter().zip(b_parts.remainder()).map(|(&x, &y)| term(x, y)).sum();
    for (x, y) in a_parts.zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    sums.iter().sum::<f32>() + tail
}

fn check_dims(a: &[f32], b: &[f32]) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(Error::new(
        SqlState::DATA_EXCEPTION,
        format!("different vector dimensions {} and {}", a.len(), b.len()),
    ))
}

/// The distance function of a metric, over two expressions that are vectors.
#[must_use]
pub fn call(metric: Metric, left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function(metric), vec![left, right]))
}

/// The metric and the operands, if an expression is a distance.
#[must_use]
pub fn as_distance(expr: &Expr) -> Option<(Metric, &Expr, &Expr)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let distance = func.inner().downcast_ref::<Distance>()?;
    let [left, right] = args.as_slice() else { return None };
    Some((distance.metric, left, right))
}

/// The distance function of a metric.
#[must_use]
pub fn function(metric: Metric) -> Arc<ScalarUDF> {
    static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        Metric::ALL.iter().map(|&metric| Arc::new(ScalarUDF::from(Distance::new(metric)))).collect()
    });
    let place = Metric::ALL.iter().position(|&other| other == metric).unwrap_or(0);
    Arc::clone(&FUNCTIONS[place])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Distance {
    metric: Metric,
    signature: Signature,
}

impl Distance {
    fn new(metric: Metric) -> Self {
        Self { metric, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Distance {
    fn name(&self) -> &str {
        match self.metric {
            Metric::L2 => "l2_distance",
            Metric::InnerProduct => "negative_inner_product",
            Metric::Cosine => "cosine_distance",
            Metric::L1 => "l1_distance",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let rows = args.number_rows;
        let [left, right] = <[ColumnarValue; 2]>::try_from(args.args)
            .map_err(|_| external(Error::internal("a distance is between two vectors")))?;
        let made = match (left, right) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let (left, right) = (left.to_array()?, right.to_array()?);
                let made: ArrayRef = Arc::new(pairs(self.metric, &left, &right).map_err(external)?);
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
            }
            (ColumnarValue::Array(column), ColumnarValue::Scalar(query))
            | (ColumnarValue::Scalar(query), ColumnarValue::Array(column)) => {
                let query = query.to_array()?;
                let query = Vectors::new(&query).map_err(external)?;
                match query.row(0) {
                    Some(query) => distances(self.metric, &column, query).map_err(external)?,
                    None => Float64Array::new_null(rows),
                }
            }
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => {
                pairs(self.metric, &left, &right).map_err(external)?
            }
        };
        Ok(ColumnarValue::Array(Arc::new(made)))
    }
}

fn pairs(metric: Metric, left: &ArrayRef, right: &ArrayRef) -> Result<Float64Array> {
    let (a, b) = (Vectors::new(left)?, Vectors::new(right)?);
    let mut out = Float64Builder::with_capacity(a.len());
    for row in 0..a.len() {
        match (a.row(row), b.row(row)) {
            (Some(a), Some(b)) => {
                check_dims(a, b)?;
                out.append_value(distance(metric, a, b));
            }
            _ => out.append_null(),
        }
    }
    Ok(out.finish())
}
