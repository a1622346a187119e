//! `bit_and`, `bit_or` and `bit_xor` of bit strings.

use super::leave_types::leave_types;
use crate::{
    error::Result,
    pgtype::{PgType, bit::Bits},
    sql::functions::{bit::combine, call::external},
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef},
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
pub(super) struct BitFold {
    name: &'static str,
    op: &'static str,
    signature: Signature,
}

impl BitFold {
    /// The aggregate of a name.
    pub(super) fn udaf(name: &str) -> Arc<AggregateUDF> {
        let (name, op) = match name {
            "bit_and" => ("bit_and of bits", "&"),
            "bit_or" => ("bit_or of bits", "|"),
            _ => ("bit_xor of bits", "#"),
        };
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Self { name, op, signature }))
    }

    fn result(&self) -> &PgType {
        &PgType::Bit(None)
    }
}

impl AggregateUDFImpl for BitFold {
    fn name(&self) -> &str {
        self.name
    }

    leave_types!();

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        Ok(Box::new(Folded { op: self.op, bits: None }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        Ok(vec![Arc::new(Field::new(format!("{}[bits]", args.name), DataType::Binary, true))])
    }
}

/// The bits so far.
#[derive(Debug)]
struct Folded {
    op: &'static str,
    bits: Option<Bits>,
}

impl Folded {
    fn value(&self) -> ScalarValue {
        ScalarValue::Binary(self.bits.as_ref().map(Bits::carried))
    }
}

impl Accumulator for Folded {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        for carried in values[0].as_binary::<i32>().iter().flatten() {
            let next = Bits::of_carried(carried);
            self.bits = Some(match self.bits.take() {
                Some(bits) => combine(self.op, bits, &next).map_err(external)?,
                None => next,
            });
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        Ok(vec![self.value()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        Ok(self.value())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bits.as_ref().map_or(0, |bits| bits.bytes.capacity())
    }
}
