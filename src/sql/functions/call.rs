//! One kind of scalar function for DataFusion: PostgreSQL's types of its arguments and its result,
//! and a body that works on whole columns.

use crate::{
    error::{Error, Result},
    pgtype::PgType,
    sql::{Context, error::from_arrow},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility, expr::ScalarFunction,
    },
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What a function does with a batch.
pub(crate) type Body = fn(&Arguments<'_>) -> Result<ArrayRef>;

/// A call's columns, all of the same length.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    pub(crate) arrays: Vec<ArrayRef>,
    pub(crate) kinds: &'a [PgType],
    pub(crate) result: &'a PgType,
    pub(crate) rows: usize,
    pub(crate) context: &'a Arc<dyn Context>,
}

impl Arguments<'_> {
    /// Whether any argument is NULL in a row.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.arrays.iter().any(|array| array.is_null(row))
    }

    /// An argument of a text type.
    pub(crate) fn text(&self, argument: usize) -> &StringArray {
        self.arrays[argument].as_string()
    }

    /// A text for each row, NULL where an argument is NULL.
    pub(crate) fn texts(
        &self,
        mut one: impl FnMut(usize) -> Result<Option<String>>,
    ) -> Result<ArrayRef> {
        let rows = (0..self.rows).map(|row| if self.is_null(row) { Ok(None) } else { one(row) });
        Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
    }
}

/// A function with its types, as one call site chose it.
#[derive(Clone)]
pub(crate) struct Call {
    name: String,
    arguments: Vec<PgType>,
    result: PgType,
    signature: Signature,
    body: Body,
    context: Arc<dyn Context>,
}

impl Call {
    pub(crate) fn udf(
        name: &str,
        arguments: Vec<PgType>,
        result: PgType,
        volatility: Volatility,
        body: Body,
        context: &Arc<dyn Context>,
    ) -> Arc<ScalarUDF> {
        // The binder chose the types: DataFusion is to leave them as they are.
        let signature = Signature::user_defined(volatility);
        let context = Arc::clone(context);
        Arc::new(ScalarUDF::from(Self {
            name: name.into(),
            arguments,
            result,
            signature,
            body,
            context,
        }))
    }
}

/// A call's expression.
pub(crate) fn call(function: Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?}) -> {}", self.name, self.arguments, self.result)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.arguments == other.arguments && self.result == other.result
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.arguments.hash(state);
        self.result.hash(state);
    }
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        // The binder knows the type; in plans that are joined by position labels only get in
        // each other's way.
        Ok(Arc::new(Field::new(&self.name, self.result.arrow(), true)))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String, DataFusionError> {
        let args: Vec<_> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        // Two casts of one thing differ in their result alone.
        Ok(match self.name.as_str() {
            "cast" | "assign" => format!("{}({} as {})", self.name, args.join(","), self.result),
            name => format!("{name}({})", args.join(",")),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = self.signature.volatility != Volatility::Volatile
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays =
            args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>, _>>()?;
        let arguments = Arguments {
            arrays,
            kinds: &self.arguments,
            result: &self.result,
            rows,
            context: &self.context,
        };
        let made = (self.body)(&arguments).map_err(external)?;
        Ok(if is_constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)
        } else {
            ColumnarValue::Array(made)
        })
    }
}

/// Our error on its way through DataFusion.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A column as 64-bit integers.
pub(crate) fn integers(array: &ArrayRef) -> Result<Int64Array> {
    let wide = cast_with_options(array, &DataType::Int64, &CastOptions::default());
    Ok(wide.map_err(from_arrow)?.as_primitive::<Int64Type>().clone())
}
