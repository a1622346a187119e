//! `sum` and `avg` of vectors.

use super::leave_types::{leave_types, refuse_distinct};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType,
        vector::{Element, check_dims, different_dimensions},
    },
    sql::functions::{
        call::external,
        sparsevec::overflow,
        vector::{Builder, Vectors},
    },
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
};

/// The aggregate, of vectors of one kind of elements.
pub(super) struct VectorFold<T> {
    averages: bool,
    signature: Signature,
    result: PgType,
    elements: PhantomData<T>,
}

impl<T: Element> VectorFold<T> {
    /// `avg` or `sum`.
    pub(super) fn udaf(averages: bool) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        let fold = Self { averages, signature, result: T::kind(None), elements: PhantomData };
        Arc::new(AggregateUDF::from(fold))
    }

    fn result(&self) -> &PgType {
        &self.result
    }
}

impl<T: Element> fmt::Debug for VectorFold<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<T> PartialEq for VectorFold<T> {
    fn eq(&self, other: &Self) -> bool {
        self.averages == other.averages
    }
}

impl<T> Eq for VectorFold<T> {}

impl<T> Hash for VectorFold<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.averages.hash(state);
    }
}

impl<T: Element> AggregateUDFImpl for VectorFold<T> {
    fn name(&self) -> &str {
        match (&self.result, self.averages) {
            (PgType::Halfvec(_), true) => "halfvec_avg",
            (PgType::Halfvec(_), false) => "halfvec_sum",
            (_, true) => "vector_avg",
            (_, false) => "vector_sum",
        }
    }

    leave_types!();

    fn accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>, DataFusionError> {
        refuse_distinct(&args)?;
        Ok(Box::new(VectorSum::<T> {
            averages: self.averages,
            count: 0,
            sums: Vec::new(),
            elements: PhantomData,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        let sums = PgType::Float8.array().field(&format!("{}[sums]", args.name), true);
        Ok(vec![
            Arc::new(Field::new(format!("{}[count]", args.name), DataType::UInt64, false)),
            Arc::new(sums),
        ])
    }
}

/// The sums so far: of an average in double precision, else in that of the elements, as pgvector
/// keeps them.
#[derive(Debug)]
struct VectorSum<T> {
    averages: bool,
    count: u64,
    sums: Vec<f64>,
    elements: PhantomData<T>,
}

impl<T: Element> VectorSum<T> {
    fn add(&mut self, vector: impl ExactSizeIterator<Item = f64>, count: u64) -> Result<()> {
        if self.count == 0 {
            self.sums = vector.collect();
            self.count = count;
            return Ok(());
        }
        if self.sums.len() != vector.len() {
            let (left, right) = (self.sums.len(), vector.len());
            return Err(if self.averages {
                let message = format!("expected {left} dimensions, not {right}");
                Error::new(SqlState::DATA_EXCEPTION, message)
            } else {
                different_dimensions(T::NAME, left, right)
            });
        }
        for (sum, value) in self.sums.iter_mut().zip(vector) {
            *sum += value;
            if !self.averages {
                *sum = f64::from(rounded::<T>(*sum)?.real());
            }
        }
        self.count += count;
        Ok(())
    }
}

/// The nearest element.
fn rounded<T: Element>(value: f64) -> Result<T> {
    #[expect(clippy::cast_possible_truncation, reason = "elements are at most single precision")]
    let element = T::near(value as f32);
    if element.is_infinite() { Err(overflow()) } else { Ok(element) }
}

impl<T: Element> Accumulator for VectorSum<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let vectors = Vectors::<T>::new(&values[0]).map_err(external)?;
        for row in 0..vectors.len() {
            if let Some(vector) = vectors.row(row) {
                self.add(vector.iter().map(|x| f64::from(x.real())), 1).map_err(external)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let counts = states[0].as_primitive::<UInt64Type>();
        let sums = states[1].as_list::<i32>();
        for row in 0..counts.len() {
            if counts.value(row) > 0 {
                let sums = sums.value(row);
                let sums = sums.as_primitive::<Float64Type>().values();
                self.add(sums.iter().copied(), counts.value(row)).map_err(external)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        let sums: Vec<ScalarValue> =
            self.sums.iter().map(|&sum| ScalarValue::Float64(Some(sum))).collect();
        let sums = ScalarValue::List(ScalarValue::new_list_nullable(&sums, &DataType::Float64));
        Ok(vec![ScalarValue::UInt64(Some(self.count)), sums])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        let mut out = Builder::<T>::new(None);
        if self.count == 0 {
            out.push_null();
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a count of rows beside an average")]
            let divisor = if self.averages { self.count as f64 } else { 1.0 };
            let vector = self.sums.iter().map(|sum| rounded(sum / divisor));
            let vector = vector.collect::<Result<Vec<T>>>().map_err(external)?;
            check_dims::<T>(vector.len()).and_then(|()| out.push(&vector)).map_err(external)?;
        }
        ScalarValue::try_from_array(&out.finish(), 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sums.capacity() * 8
    }
}
