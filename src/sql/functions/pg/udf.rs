//! A declared function in DataFusion's terms.

use super::{
    call::{Call, Value, external, read},
    declare::{Answer, Function, Kind, struct_fields},
};
use crate::{
    catalog::pg::{names::Scope, rows},
    error::{Error, Result, SqlState},
    pgtype::{PgType, RegKind},
    sql::Context,
};
use arrow::{
    array::{Array, ArrayRef, ListArray, NullArray, StructArray},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A declared function in DataFusion's terms, with the session whose function it is.
pub(super) struct PgFunction {
    function: &'static Function,
    context: Arc<dyn Context>,
    signature: Signature,
}

impl PgFunction {
    pub(super) fn udf(function: &'static Function, context: &Arc<dyn Context>) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(function.volatility);
        let context = Arc::clone(context);
        Arc::new(ScalarUDF::new_from_impl(Self { function, context, signature }))
    }

    /// The types that a number of arguments are taken for where they have none of their own.
    pub(super) fn parameter_types(&self, count: usize) -> Option<Vec<PgType>> {
        let kinds = self.function.parameters(count)?;
        Some(kinds.into_iter().map(Kind::parameter).collect())
    }
}

impl fmt::Debug for PgFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for PgFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for PgFunction {}

impl Hash for PgFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for PgFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.function.field().data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        Ok(Arc::new(self.function.field()))
    }

    fn coerce_types(&self, given: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let misfit = || self.misfit(given);
        let kinds = self.function.parameters(given.len()).ok_or_else(misfit)?;
        kinds
            .iter()
            .zip(given)
            .map(|(kind, given)| kind.coerced(given).ok_or_else(misfit))
            .collect()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let is_volatile = self.function.volatility == Volatility::Volatile;
        let is_scalar = arguments.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        // The same arguments have the same answer, unless the answer changes by itself.
        let one = is_scalar && !is_volatile;
        let rows = if one { 1 } else { arguments.number_rows };
        let array = self.answer(&arguments.args, rows)?;
        if one {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl PgFunction {
    /// The error of arguments that the function does not take.
    fn misfit(&self, given: &[DataType]) -> DataFusionError {
        let types: Vec<_> = given.iter().map(|t| PgType::of_arrow(t).to_string()).collect();
        let shown = format!("function {}({}) does not exist", self.function.name, types.join(", "));
        external(Error::new(SqlState::UNDEFINED_FUNCTION, shown).hint(
            "No function matches the given name and argument types. \
             You might need to add explicit type casts.",
        ))
    }

    fn answer(&self, arguments: &[ColumnarValue], rows: usize) -> DataFusionResult<ArrayRef> {
        let Some(kinds) = self.function.parameters(arguments.len()) else {
            let given: Vec<_> = arguments.iter().map(ColumnarValue::data_type).collect();
            return Err(self.misfit(&given));
        };
        let arguments = arguments
            .iter()
            .zip(&kinds)
            .map(|(argument, kind)| {
                let array = argument.to_array(rows)?;
                match kind.coerced(array.data_type()) {
                    Some(wanted) if wanted != *array.data_type() => Ok(cast(&array, &wanted)?),
                    _ => Ok(array),
                }
            })
            .collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        let catalog = self.context.catalog();
        let path = self.context.search_path();
        let scope = Scope { catalog: &catalog, database: self.context.database(), path: &path };
        let row = |row: usize| -> Result<Option<Call<'_>>> {
            let values = arguments.iter().map(|a| read(a, row)).collect::<Result<Vec<_>>>()?;
            let is_null = values.iter().any(|value| matches!(value, Value::Null));
            let context = &*self.context;
            let call = Call { name: self.function.name, scope, catalog: &catalog, context, values };
            Ok((!(is_null && self.function.is_strict)).then_some(call))
        };
        match self.function.answer {
            Answer::One(kind, body) => {
                let answers = (0..rows)
                    .map(|i| row(i)?.map_or(Ok(Value::Null), |call| body(&call)))
                    .collect::<Result<Vec<_>>>()
                    .map_err(external)?;
                if kind == Kind::Void {
                    return Ok(Arc::new(NullArray::new(rows)));
                }
                rows::array(&kind.result(), answers.into_iter()).map_err(external)
            }
            Answer::OfType(body) => {
                let answers = (0..rows).map(|i| {
                    let Some(call) = row(i)? else { return Ok(Value::Null) };
                    let oid = call.oid(0, RegKind::Type)?;
                    let typmod = call.int(1).and_then(|n| i32::try_from(n).ok()).unwrap_or(-1);
                    Ok(PgType::from_oid(oid.0, typmod).as_ref().and_then(body).into())
                });
                let answers = answers.collect::<Result<Vec<_>>>().map_err(external)?;
                rows::array(&PgType::Int4, answers.into_iter()).map_err(external)
            }
            Answer::Set(columns, body) => {
                let answers = (0..rows)
                    .map(|i| row(i)?.map_or(Ok(Vec::new()), |call| body(&call)))
                    .collect::<Result<Vec<_>>>()
                    .map_err(external)?;
                lists(columns, answers)
            }
        }
    }
}

/// Lists of structs, one a row.
fn lists(
    columns: &[(&str, Kind)],
    answers: Vec<Vec<Vec<Value<'static>>>>,
) -> DataFusionResult<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(answers.iter().map(Vec::len));
    let mut rows: Vec<_> = answers.into_iter().flatten().map(Vec::into_iter).collect();
    let fields = struct_fields(columns);
    let arrays = columns
        .iter()
        .map(|(_, kind)| {
            let column = rows.iter_mut().map(|row| row.next().unwrap_or(Value::Null));
            rows::array(&kind.result(), column).map_err(external)
        })
        .collect::<DataFusionResult<Vec<_>>>()?;
    let structs = StructArray::try_new_with_length(fields, arrays, None, rows.len())?;
    let item = Arc::new(Field::new("item", structs.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(structs), None)?))
}
