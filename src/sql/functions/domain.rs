//! What a domain asks of values: a function that gives back the column that it got, or refuses it.
//!
//! The rules are bound over one column, VALUE, and run apart from the expression that makes the values,
//! which is so computed once, whatever it is and however often a rule names VALUE.

use crate::{
    error::{Error, Result, SqlState},
    sql::{error::from_datafusion, functions::call::external},
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Field, FieldRef, Schema},
};
use datafusion::{
    common::{DFSchema, DataFusionError},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility,
    },
    optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext},
    physical_expr::{PhysicalExpr, create_physical_expr},
};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The column that rules are bound over.
pub(crate) const VALUE: &str = "value";

/// What a domain asks, by itself and by those that it is made of.
#[derive(Debug, PartialEq)]
pub(crate) struct Rules {
    /// The domain, as messages name it.
    pub(crate) domain: String,
    /// Whether NULL is refused.
    pub(crate) not_null: bool,
    /// Each with its name, over [`VALUE`].
    pub(crate) checks: Vec<(String, Expr)>,
}

/// The function: the rules, and how each is run.
#[derive(Debug)]
struct Obey {
    kind: DataType,
    rules: Rules,
    tests: Vec<Arc<dyn PhysicalExpr>>,
    schema: Arc<Schema>,
    signature: Signature,
}

/// A function that refuses values which do not obey.
///
/// # Errors
/// Where a rule cannot be run by itself.
pub(crate) fn obey(kind: DataType, rules: Rules) -> Result<Arc<ScalarUDF>> {
    let schema = Arc::new(Schema::new(vec![Field::new(VALUE, kind.clone(), true)]));
    let named = DFSchema::try_from(Arc::clone(&schema)).map_err(from_datafusion)?;
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    let ready = |(_, expr): &(String, Expr)| {
        let expr = simplifier.coerce(expr.clone(), &named)?;
        create_physical_expr(&expr, &named, &Default::default(), &Default::default())
    };
    let tests = rules.checks.iter().map(ready).collect::<Result<_, DataFusionError>>();
    let tests = tests.map_err(from_datafusion)?;
    // A fault is the statement's, not the plan's: nothing may compute it beforehand.
    let signature = Signature::user_defined(Volatility::Stable);
    Ok(Arc::new(ScalarUDF::from(Obey { kind, rules, tests, schema, signature })))
}

impl Obey {
    fn check(&self, batch: &RecordBatch) -> Result<()> {
        let Rules { domain, not_null, checks } = &self.rules;
        if *not_null && batch.column(0).logical_null_count() > 0 {
            let message = format!("domain {domain} does not allow null values");
            return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message));
        }
        for ((name, _), test) in checks.iter().zip(&self.tests) {
            let answer = test
                .evaluate(batch)
                .and_then(|answer| answer.into_array(batch.num_rows()))
                .map_err(from_datafusion)?;
            if answer.as_boolean().iter().any(|passed| passed == Some(false)) {
                let message =
                    format!("value for domain {domain} violates check constraint \"{name}\"");
                return Err(Error::new(SqlState::CHECK_VIOLATION, message).constraint(name));
            }
        }
        Ok(())
    }
}

impl PartialEq for Obey {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.rules) == (&other.kind, &other.rules)
    }
}

impl Eq for Obey {}

impl Hash for Obey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.rules.domain.hash(state);
    }
}

impl ScalarUDFImpl for Obey {
    fn name(&self) -> &str {
        "obey"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.kind.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        Ok(Arc::new(Field::new(self.name(), self.kind.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let value = args.args.into_iter().next();
        let value = value.ok_or_else(|| external(Error::internal("a rule without a value")))?;
        let is_scalar = matches!(value, ColumnarValue::Scalar(_));
        let array = value.clone().into_array(if is_scalar { 1 } else { args.number_rows })?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![array])?;
        self.check(&batch).map_err(external)?;
        Ok(value)
    }
}
