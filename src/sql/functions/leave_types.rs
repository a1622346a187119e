//! Aggregates whose arguments have the types that they are declared with: the binder has seen to it, and
//! what they give is `self.result()`.

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
