//! `sum` and `avg` of intervals: months, days and time are summed each by itself.

use super::leave_types::{leave_types, refuse_distinct};
use crate::{
    pgtype::PgType,
    sql::functions::{
        call::external,
        datetime::{divided, out_of_range},
    },
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{
        DataType, Decimal128Type, Field, FieldRef, Int64Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, UInt64Type,
    },
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
};
use std::sync::Arc;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IntervalFold {
    averages: bool,
    signature: Signature,
}

impl IntervalFold {
    /// `avg` or `sum`.
    pub(super) fn udaf(averages: bool) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Self { averages, signature }))
    }

    fn result(&self) -> &PgType {
        &PgType::Interval(None)
    }
}

impl AggregateUDFImpl for IntervalFold {
    fn name(&self) -> &str {
        if self.averages { "interval_avg" } else { "interval_sum" }
    }

    leave_types!();

    fn accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>, DataFusionError> {
        refuse_distinct(&args)?;
        Ok(Box::new(IntervalSum { averages: self.averages, ..IntervalSum::default() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        let field = |part: &str, kind| {
            Arc::new(Field::new(format!("{}[{part}]", args.name), kind, false)) as FieldRef
        };
        Ok(vec![
            field("count", DataType::UInt64),
            field("months", DataType::Int64),
            field("days", DataType::Int64),
            field("micros", DataType::Decimal128(38, 0)),
        ])
    }
}

/// The sums so far.
#[derive(Debug, Default)]
struct IntervalSum {
    averages: bool,
    count: u64,
    months: i64,
    days: i64,
    micros: i128,
}

impl Accumulator for IntervalSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        for span in values[0].as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            self.count += 1;
            self.months += i64::from(span.months);
            self.days += i64::from(span.days);
            self.micros += i128::from(span.nanoseconds / 1000);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        for span in values[0].as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            self.count -= 1;
            self.months -= i64::from(span.months);
            self.days -= i64::from(span.days);
            self.micros -= i128::from(span.nanoseconds / 1000);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let counts = states[0].as_primitive::<UInt64Type>();
        let (months, days) =
            (states[1].as_primitive::<Int64Type>(), states[2].as_primitive::<Int64Type>());
        let micros = states[3].as_primitive::<Decimal128Type>();
        for row in 0..counts.len() {
            self.count += counts.value(row);
            self.months += months.value(row);
            self.days += days.value(row);
            self.micros += micros.value(row);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        Ok(vec![
            ScalarValue::UInt64(Some(self.count)),
            ScalarValue::Int64(Some(self.months)),
            ScalarValue::Int64(Some(self.days)),
            ScalarValue::Decimal128(Some(self.micros), 38, 0),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        if self.count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let parts = (
            i32::try_from(self.months).ok(),
            i32::try_from(self.days).ok(),
            self.micros.checked_mul(1000).and_then(|nanos| i64::try_from(nanos).ok()),
        );
        let (Some(months), Some(days), Some(nanoseconds)) = parts else {
            return Err(external(out_of_range("interval")));
        };
        let sum = IntervalMonthDayNano { months, days, nanoseconds };
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let value = match self.averages {
            true => divided(sum, self.count as f64).map_err(external)?,
            false => sum,
        };
        Ok(ScalarValue::IntervalMonthDayNano(Some(value)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}
