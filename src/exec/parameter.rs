//! Plans that are made without knowing their parameters: `$1`, `$2` … stay what they are until
//! the optimiser is done, and then become functions that look their values up when they run.
//!
//! What is the same for one statement only (`now()`, `current_user`, a setting) must not be
//! computed by the optimiser either, since the plan outlives the statement: such calls are held
//! as further parameters meanwhile, and put back after.

use crate::sql::{near::Near, nearest::Nearest, nearest_join::NearestJoin};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue, plan_datafusion_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable, Extension, LogicalPlan, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Values as ValuesPlan, Volatility,
        expr::{Placeholder, ScalarFunction},
        expr_rewriter::NamePreserver,
    },
};
use parking_lot::RwLock;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::values::RowValues;

/// Where a plan finds the parameters of its present run.
#[derive(Debug, Default)]
pub(super) struct Parameters(RwLock<Arc<[ScalarValue]>>);

impl Parameters {
    /// Sets them for the run to come.
    pub(super) fn set(&self, values: &[ScalarValue]) {
        *self.0.write() = values.into();
    }

    fn get(&self, number: usize) -> Result<ScalarValue> {
        let values = self.0.read();
        values
            .get(number - 1)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("parameter ${number} has no value"))
    }
}

/// The number of `$n`.
fn number(placeholder: &Placeholder) -> Option<usize> {
    placeholder.id.strip_prefix('$')?.parse().ok()
}

/// The parameters that the planner must know: those of LIMIT and OFFSET.
pub(super) fn needed_by_planner(plan: &LogicalPlan) -> Vec<usize> {
    let mut needed = Vec::new();
    let mut need = |expr: &Expr| {
        let _ = expr.apply(|part| {
            if let Expr::Placeholder(placeholder) = part {
                needed.extend(number(placeholder));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    };
    let _ = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Limit(limit) => {
                limit.skip.iter().chain(&limit.fetch).for_each(|count| need(count));
            }
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(join) = node.as_any().downcast_ref::<NearestJoin>() {
                    join.skip.iter().chain([&join.fetch]).for_each(&mut need);
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Calls that were taken out of a plan while it was optimised.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Expr>);

/// The plan with the parameters that the planner must know, and with no call left that the
/// optimiser would compute for good.
pub(super) fn hold(
    plan: &LogicalPlan,
    known: &[(usize, ScalarValue)],
) -> Result<(LogicalPlan, Held)> {
    let mut held = Held::default();
    let plan = rewrite(plan.clone(), &mut |part| {
        match &part {
            Expr::Placeholder(placeholder) => {
                let number = number(placeholder);
                if let Some((_, value)) = known.iter().find(|(known, _)| Some(*known) == number) {
                    return Ok(Transformed::yes(Expr::Literal(value.clone(), None)));
                }
            }
            Expr::ScalarFunction(function)
                if function.func.signature().volatility == Volatility::Stable
                    && stands_alone(&part) =>
            {
                let (_, field) = part.to_field(&DFSchema::empty())?;
                held.0.push(part);
                let id = format!("$held{}", held.0.len());
                let placeholder = Placeholder::new_with_field(id, Some(field));
                let held = Expr::Placeholder(placeholder);
                return Ok(Transformed::new(held, true, TreeNodeRecursion::Jump));
            }
            _ => {}
        }
        Ok(Transformed::no(part))
    })?;
    Ok((plan, held))
}

/// Whether an expression needs no row.
fn stands_alone(expr: &Expr) -> bool {
    let needs = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
        ))
    });
    !expr.is_volatile() && !needs.unwrap_or(true)
}

impl Held {
    /// The optimised plan with everything back in place, and parameters that look their values
    /// up.
    pub(super) fn release(
        &self,
        plan: LogicalPlan,
        parameters: &Arc<Parameters>,
    ) -> Result<LogicalPlan> {
        let mut put_back = |part: Expr| {
            let Expr::Placeholder(placeholder) = &part else { return Ok(Transformed::no(part)) };
            Ok(Transformed::yes(self.value_of(placeholder, parameters)?))
        };
        let plan = rewrite(plan, &mut put_back)?;
        let plan = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Extension(Extension { node }) => {
                let Some(nearest) = node.as_any().downcast_ref::<Nearest>() else {
                    return Ok(Transformed::no(LogicalPlan::Extension(Extension { node })));
                };
                let map = |expr: &Expr| Ok(expr.clone().transform_down(&mut put_back)?.data);
                let filters = nearest.near.filters.iter().map(map).collect::<Result<_>>()?;
                let near = Near { filters, ..nearest.near.clone() };
                let node = Arc::new(Nearest { near, ..nearest.clone() });
                Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
            }
            // DataFusion computes these when it plans.
            LogicalPlan::Values(ValuesPlan { schema, values }) => {
                let node = Arc::new(RowValues { schema, values });
                Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(plan.data)
    }

    fn value_of(&self, placeholder: &Placeholder, parameters: &Arc<Parameters>) -> Result<Expr> {
        if let Some(held) = placeholder.id.strip_prefix("$held") {
            let held = held.parse::<usize>().ok().and_then(|place| self.0.get(place - 1));
            let held = held.ok_or_else(|| plan_datafusion_err!("a held call is lost"))?.clone();
            // Its arguments may be parameters.
            return Ok(held
                .transform_up(|part| match &part {
                    Expr::Placeholder(inner) => {
                        Ok(Transformed::yes(self.value_of(inner, parameters)?))
                    }
                    _ => Ok(Transformed::no(part)),
                })?
                .data);
        }
        let (Some(number), Some(field)) = (number(placeholder), &placeholder.field) else {
            return Err(plan_datafusion_err!("parameter {} has no type", placeholder.id));
        };
        let look_up = LookUp {
            number,
            name: placeholder.id.clone(),
            kind: field.data_type().clone(),
            parameters: Arc::clone(parameters),
            signature: Signature::nullary(Volatility::Stable),
        };
        let function = Arc::new(ScalarUDF::from(look_up));
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function, Vec::new())))
    }
}

/// Every expression of a plan, subqueries' too, changed from the top down; columns keep their
/// names.
fn rewrite(
    plan: LogicalPlan,
    change: &mut impl FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_down(&mut *change)?;
            Ok(if changed.transformed {
                changed.update_data(|expr| name.restore(expr))
            } else {
                changed
            })
        })
    })?;
    Ok(rewritten.data)
}

/// `$1` of a plan that is planned already.
#[derive(Debug)]
struct LookUp {
    number: usize,
    name: String,
    kind: DataType,
    parameters: Arc<Parameters>,
    signature: Signature,
}

/// Whether a function is a parameter's.
pub(super) fn is_look_up(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<LookUp>().is_some()
}

impl PartialEq for LookUp {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && Arc::ptr_eq(&self.parameters, &other.parameters)
    }
}

impl Eq for LookUp {}

impl Hash for LookUp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl ScalarUDFImpl for LookUp {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(arrow::datatypes::Field::new(&self.name, self.kind.clone(), true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.parameters.get(self.number)?))
    }
}
