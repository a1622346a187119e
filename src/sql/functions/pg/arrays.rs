//! Arrays as the catalogs have them: `int2vector` and `oidvector` count from 0, others from 1.
//!
//! `array_lower` and `array_upper` tell the bounds; `generate_subscripts` and
//! `information_schema._pg_expandarray` return sets, which in a plan are lists.

use super::call::external;
use crate::{error::Error, pgtype::PgType};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Fields},
};
use datafusion::{
    common::{internal_err, plan_err},
    error::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use std::sync::Arc;

/// The functions with one answer.
pub(super) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [Question::Lower, Question::Upper].into_iter().map(Bounds::udf)
}

/// The functions that return rows.
pub(super) fn sets() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [Question::Subscripts, Question::Expand].into_iter().map(Bounds::udf)
}

/// What is asked about an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Lower,
    Upper,
    Subscripts,
    Expand,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounds {
    question: Question,
    signature: Signature,
}

impl Bounds {
    fn udf(question: Question) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Self { question, signature }))
    }

    fn result(&self, array: &Field) -> Result<Field> {
        let int = || PgType::Int4.field(self.name(), true);
        Ok(match self.question {
            Question::Lower | Question::Upper => int(),
            Question::Subscripts => PgType::Int4.array().field(self.name(), true),
            Question::Expand => {
                let Some(element) = element(array) else {
                    return plan_err!("_pg_expandarray takes an array");
                };
                let item = Field::new("item", DataType::Struct(expanded(&element)), true);
                Field::new(self.name(), DataType::List(Arc::new(item)), true)
            }
        })
    }
}

/// The type of an array's elements.
fn element(array: &Field) -> Option<PgType> {
    match PgType::of_field(array) {
        PgType::Int2vector => Some(PgType::Int2),
        PgType::Oidvector => Some(PgType::Oid),
        PgType::Array(element) => Some(*element),
        _ => None,
    }
}

/// The columns of `_pg_expandarray`: an element, and its number from 1.
fn expanded(element: &PgType) -> Fields {
    [element.field("x", true), PgType::Int4.field("n", true)].into_iter().collect()
}

impl ScalarUDFImpl for Bounds {
    fn name(&self) -> &str {
        match self.question {
            Question::Lower => "array_lower",
            Question::Upper => "array_upper",
            Question::Subscripts => "generate_subscripts",
            Question::Expand => "_pg_expandarray",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let Some(array) = types.first() else { return plan_err!("{} takes an array", self.name()) };
        Ok(self.result(&Field::new("array", array.clone(), true))?.data_type().clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(array) = arguments.arg_fields.first() else {
            return plan_err!("{} takes an array", self.name());
        };
        Ok(Arc::new(self.result(array)?))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let is_list = |t: &DataType| matches!(t, DataType::List(_));
        match (self.question, given) {
            (Question::Expand, [array]) if is_list(array) => Ok(given.to_vec()),
            (Question::Lower | Question::Upper | Question::Subscripts, [array, dimension])
                if is_list(array) && dimension.is_integer() =>
            {
                Ok(vec![array.clone(), DataType::Int32])
            }
            _ => plan_err!("function {} does not exist for these arguments", self.name()),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, Some(field)) = (arguments.number_rows, arguments.arg_fields.first()) else {
            return internal_err!("{} without an array", self.name());
        };
        let base =
            i32::from(!matches!(PgType::of_field(field), PgType::Int2vector | PgType::Oidvector));
        let array = arguments.args[0].to_array(rows)?;
        let array = array.as_list::<i32>();
        let dimensions = match arguments.args.get(1) {
            Some(dimension) => Some(cast(&dimension.to_array(rows)?, &DataType::Int32)?),
            None => None,
        };
        let dimension = |row: usize| match &dimensions {
            Some(dimensions) if dimensions.is_null(row) => None,
            Some(dimensions) => {
                Some(dimensions.as_primitive::<arrow::datatypes::Int32Type>().value(row))
            }
            None => Some(1),
        };
        // Only the first dimension has bounds, and only where there is an element.
        let length = |row: usize| {
            let is_asked = array.is_valid(row) && dimension(row) == Some(1);
            is_asked.then(|| array.value_length(row)).filter(|&length| length > 0)
        };
        Ok(ColumnarValue::Array(match self.question {
            Question::Lower => {
                Arc::new((0..rows).map(|row| length(row).map(|_| base)).collect::<Int32Array>())
            }
            Question::Upper => {
                let upper = |row| length(row).map(|length| length - 1 + base);
                Arc::new((0..rows).map(upper).collect::<Int32Array>())
            }
            Question::Subscripts => {
                let lengths: Vec<_> = (0..rows).map(|row| length(row).unwrap_or(0)).collect();
                let numbers: Int32Array =
                    lengths.iter().flat_map(|&length| base..base + length).map(Some).collect();
                let item = Arc::new(Field::new_list_field(DataType::Int32, true));
                Arc::new(ListArray::try_new(item, offsets(&lengths)?, Arc::new(numbers), None)?)
            }
            Question::Expand => expand(array, rows, &arguments.return_field)?,
        }))
    }
}

/// Each element beside its number.
fn expand(array: &ListArray, rows: usize, result: &Field) -> Result<ArrayRef> {
    let DataType::List(item) = result.data_type() else {
        return internal_err!("_pg_expandarray returns a list");
    };
    let DataType::Struct(fields) = item.data_type() else {
        return internal_err!("_pg_expandarray returns a list of structs");
    };
    let lengths: Vec<_> = (0..rows)
        .map(|row| if array.is_valid(row) { array.value_length(row) } else { 0 })
        .collect();
    let values: Vec<_> =
        (0..rows).filter(|&row| array.is_valid(row)).map(|row| array.value(row)).collect();
    let parts: Vec<&dyn Array> = values.iter().map(|values| &**values).collect();
    let x = if parts.is_empty() {
        arrow::array::new_empty_array(fields[0].data_type())
    } else {
        arrow::compute::concat(&parts)?
    };
    let n: Int32Array = lengths.iter().flat_map(|&length| 1..=length).map(Some).collect();
    let structs = StructArray::try_new(fields.clone(), vec![x, Arc::new(n)], None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets(&lengths)?, Arc::new(structs), None)?))
}

fn offsets(lengths: &[i32]) -> Result<OffsetBuffer<i32>> {
    let lengths = lengths
        .iter()
        .map(|&length| usize::try_from(length))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| external(Error::internal("a list of negative length").source(error)))?;
    Ok(OffsetBuffer::from_lengths(lengths))
}
