//! Aggregates whose arguments have the types that they are declared with: the binder has seen to it, and
//! what they give is `self.result()`.

use crate::{error::Error, sql::functions::call::external};
use datafusion::{common::DataFusionError, logical_expr::function::AccumulatorArgs};

/// DISTINCT by itself is a GROUP BY below the aggregate; beside another aggregate it would be the
/// aggregate's own affair.
pub(super) fn refuse_distinct(args: &AccumulatorArgs<'_>) -> Result<(), DataFusionError> {
    if !args.is_distinct {
        return Ok(());
    }
    let error = Error::unsupported("DISTINCT in this aggregate beside others is not supported");
    Err(external(error.hint("Aggregate the distinct values in a statement of their own.")))
}

/// What such an aggregate says of types; it has a field `signature` and a method `result`.
macro_rules! leave_types {
    () => {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
            Ok(types.to_vec())
        }

        fn return_field(&self, _: &[FieldRef]) -> Result<FieldRef, DataFusionError> {
            Ok(Arc::new(self.result().field(self.name(), true)))
        }

        fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
            Ok(self.result().arrow())
        }
    };
}
pub(super) use leave_types;
