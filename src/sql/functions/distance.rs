//! Distances between points: the function that the operators `<->`, `<#>`, `<=>`, `<+>`, `<~>` and
//! `<%>` are, one for each metric of each space.

use crate::{
    error::{Error, Result},
    sql::functions::{call::external, points::Points},
    vector::{Metric, Space},
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

/// The distance function of a metric, over two expressions that are points of a space.
#[must_use]
pub fn call(space: Space, metric: Metric, left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function(space, metric), vec![left, right]))
}

/// The space, the metric and the operands, if an expression is a distance.
#[must_use]
pub fn as_distance(expr: &Expr) -> Option<(Space, Metric, &Expr, &Expr)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let distance = func.inner().downcast_ref::<Distance>()?;
    let [left, right] = args.as_slice() else { return None };
    Some((distance.space, distance.metric, left, right))
}

/// The distance function of a metric of a space.
#[must_use]
pub fn function(space: Space, metric: Metric) -> Arc<ScalarUDF> {
    type Row = (Space, Metric, Arc<ScalarUDF>);
    static FUNCTIONS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let all = Space::ALL.into_iter().flat_map(|s| s.metrics().map(move |m| (s, m)));
        all.map(|(s, m)| (s, m, Arc::new(ScalarUDF::from(Distance::new(s, m))))).collect()
    });
    let found = FUNCTIONS.iter().find(|row| (row.0, row.1) == (space, metric));
    Arc::clone(&found.expect("the binder asks for metrics of the space").2)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Distance {
    space: Space,
    metric: Metric,
    signature: Signature,
}

impl Distance {
    fn new(space: Space, metric: Metric) -> Self {
        Self { space, metric, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Distance {
    fn name(&self) -> &str {
        match self.metric {
            Metric::L2 => "l2_distance",
            Metric::InnerProduct => "negative_inner_product",
            Metric::Cosine => "cosine_distance",
            Metric::L1 => "l1_distance",
            Metric::Hamming => "hamming_distance",
            Metric::Jaccard => "jaccard_distance",
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
        let [left, right] = <[ColumnarValue; 2]>::try_from(args.args)
            .map_err(|_| external(Error::internal("a distance is between two points")))?;
        let made = match (left, right) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let (left, right) = (left.to_array()?, right.to_array()?);
                let made: ArrayRef = Arc::new(self.pairs(&left, &right).map_err(external)?);
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
            }
            (ColumnarValue::Array(column), ColumnarValue::Scalar(query))
            | (ColumnarValue::Scalar(query), ColumnarValue::Array(column)) => {
                self.to_one(&column, &query.to_array()?).map_err(external)?
            }
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => {
                self.pairs(&left, &right).map_err(external)?
            }
        };
        Ok(ColumnarValue::Array(Arc::new(made)))
    }
}

impl Distance {
    /// How far each of a column's points is from one; NULL where there is none.
    fn to_one(&self, column: &ArrayRef, query: &ArrayRef) -> Result<Float64Array> {
        let Some(query) = Points::new(self.space, query)?.point(0) else {
            return Ok(Float64Array::new_null(column.len()));
        };
        let points = Points::new(self.space, column)?;
        let rows = (0..column.len()).map(|row| points.distance(self.metric, row, &query));
        rows.collect()
    }

    fn pairs(&self, left: &ArrayRef, right: &ArrayRef) -> Result<Float64Array> {
        let (a, b) = (Points::new(self.space, left)?, Points::new(self.space, right)?);
        let mut out = Float64Builder::with_capacity(left.len());
        for row in 0..left.len() {
            out.append_option(match b.point(row) {
                Some(point) => a.distance(self.metric, row, &point)?,
                None => None,
            });
        }
        Ok(out.finish())
    }
}
