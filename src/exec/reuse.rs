//! Physical plans that are made once and run many times: what is kept beside a bound plan.
//!
//! A physical plan holds no rows and no snapshot: leaves find theirs when they run, parameters
//! look their values up. What it does hold is one run's state, so that each run needs a plan of
//! its own; a plan comes back, its state reset, when its run has ended well.

use super::{
    key_lookup::KeyLookupExec,
    parameter::{Parameters, is_look_up, needed_by_planner},
    snapshot::Snapshot,
    table::table_of,
    values::ValuesExec,
};
use crate::ids::TableId;
use arrow::datatypes::DataType;
use datafusion::{
    common::{
        ScalarValue,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::LogicalPlan,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{
            BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
        },
    },
    physical_plan::{ExecutionPlan, execution_plan::reset_plan_states},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// How many values of LIMIT are remembered, and how many plans wait for each.
const VARIANTS_MAX: usize = 4;
const IDLE_MAX: usize = 4;

/// A plan is made anew when a table has this many times the rows that it was made for, or as
/// many times fewer; up to so many rows do not count.
const DRIFT_MAX: u64 = 8;
const ROWS_MIN: u64 = 10_000;

/// The physical plans of one bound plan.
#[derive(Debug)]
pub(super) struct Reusable {
    /// The numbers of the parameters that the planner must know.
    needed: Vec<usize>,
    tables: Vec<TableId>,
    variants: Mutex<Vec<Variant>>,
    /// Planning is to see every parameter, each time.
    is_custom: AtomicBool,
}

/// Plans that differ in nothing.
#[derive(Debug)]
struct Variant {
    known: Vec<(usize, ScalarValue)>,
    rows: Vec<u64>,
    idle: Vec<Ready>,
}

/// A plan that is ready to run.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) parameters: Arc<Parameters>,
    /// Whether it does so little that it may run where its rows are wanted.
    pub(super) is_light: bool,
    /// Whether it calls a model, of which it is light only where the vectors are there before it runs.
    pub(super) asks: bool,
    known: Vec<(usize, ScalarValue)>,
    rows: Vec<u64>,
}

impl Reusable {
    pub(super) fn new(plan: &LogicalPlan) -> Self {
        let mut tables = Vec::new();
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                tables.extend(table_of(&scan.source).map(|table| table.id));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        Self {
            needed: needed_by_planner(plan),
            tables,
            variants: Mutex::default(),
            is_custom: AtomicBool::new(false),
        }
    }

    /// Of some parameters those that the planner must know.
    pub(super) fn known(&self, parameters: &[ScalarValue]) -> Vec<(usize, ScalarValue)> {
        let value =
            |&number: &usize| Some((number, parameters.get(number.checked_sub(1)?)?.clone()));
        self.needed.iter().filter_map(value).collect()
    }

    /// Whether planning is to see every parameter.
    pub(super) fn is_custom(&self) -> bool {
        self.is_custom.load(Relaxed)
    }

    /// From now on planning sees every parameter.
    pub(super) fn make_custom(&self) {
        self.is_custom.store(true, Relaxed);
    }

    /// A plan that was made before, if there is one that still fits.
    pub(super) fn take(&self, parameters: &[ScalarValue], snapshot: &Snapshot) -> Option<Ready> {
        let mut variants = self.variants.lock();
        if variants.is_empty() {
            return None;
        }
        let known = self.known(parameters);
        let place = variants.iter().position(|variant| variant.known == known)?;
        let now = self.rows(snapshot);
        if !variants[place].rows.iter().zip(&now).all(|(&then, &now)| is_near(then, now)) {
            variants.remove(place);
            return None;
        }
        variants[place].idle.pop()
    }

    /// A plan that was just made.
    pub(super) fn ready(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        parameters: Arc<Parameters>,
        known: Vec<(usize, ScalarValue)>,
        snapshot: &Snapshot,
    ) -> Ready {
        let is_light = is_light(plan.as_ref());
        let asks = is_light && asks(plan.as_ref());
        Ready { plan, parameters, is_light, asks, known, rows: self.rows(snapshot) }
    }

    /// Takes a plan back whose run has ended, unless it is of a kind that runs once.
    pub(super) fn give_back(&self, ready: Ready) {
        if self.is_custom() || !may_run_again(&ready.plan) {
            return;
        }
        let Ready { plan, parameters, is_light, asks, known, rows } = ready;
        let Ok(plan) = reset_plan_states(plan) else { return };
        parameters.set(&[]);
        let mut variants = self.variants.lock();
        let place = variants.iter().position(|variant| variant.known == known);
        let place = place.unwrap_or_else(|| {
            if variants.len() >= VARIANTS_MAX {
                variants.remove(0);
            }
            variants.push(Variant { known: known.clone(), rows: rows.clone(), idle: Vec::new() });
            variants.len() - 1
        });
        let variant = &mut variants[place];
        if variant.rows == rows && variant.idle.len() < IDLE_MAX {
            variant.idle.push(Ready { plan, parameters, is_light, asks, known, rows });
        }
    }

    fn rows(&self, snapshot: &Snapshot) -> Vec<u64> {
        self.tables.iter().map(|&table| snapshot.table(table).live_rows()).collect()
    }
}

fn is_near(then: u64, now: u64) -> bool {
    let (then, now) = (then.max(ROWS_MIN), now.max(ROWS_MIN));
    now <= then.saturating_mul(DRIFT_MAX) && then <= now.saturating_mul(DRIFT_MAX)
}

/// DataFusion's recursive queries keep what resetting does not reach.
fn may_run_again(plan: &Arc<dyn ExecutionPlan>) -> bool {
    !plan.exists(|node| Ok(node.name() == "RecursiveQueryExec")).unwrap_or(true)
}

/// Whether a plan yields a few rows by simple steps: some rows by key or of VALUES, compared and
/// projected by nothing that can take long.
fn is_light(plan: &dyn ExecutionPlan) -> bool {
    let node: &dyn Any = plan;
    let is_node_light = if let Some(lookup) = node.downcast_ref::<KeyLookupExec>() {
        lookup.is_light()
    } else if let Some(values) = node.downcast_ref::<ValuesExec>() {
        values.is_light()
    } else {
        matches!(
            plan.name(),
            "CoalesceBatchesExec"
                | "CooperativeExec"
                | "FilterExec"
                | "GlobalLimitExec"
                | "LocalLimitExec"
                | "PlaceholderRowExec"
                | "ProjectionExec"
        )
    };
    let mut are_exprs_light = true;
    let _ = plan.apply_expressions(&mut |expr| {
        are_exprs_light &= is_expr_light(expr);
        Ok(TreeNodeRecursion::Continue)
    });
    is_node_light
        && are_exprs_light
        && plan.children().into_iter().all(|child| is_light(child.as_ref()))
}

/// Whether a light plan calls a model.
fn asks(plan: &dyn ExecutionPlan) -> bool {
    let mut asks = plan.children().into_iter().any(|child| asks(child.as_ref()));
    let is_call = |part: &Arc<dyn PhysicalExpr>| {
        let part: &dyn Any = part.as_ref();
        Ok(part.downcast_ref::<ScalarFunctionExpr>().is_some_and(is_own_question))
    };
    let _ = plan.apply_expressions(&mut |expr| {
        asks |= expr.exists(is_call)?;
        Ok(TreeNodeRecursion::Continue)
    });
    asks
}

/// Whether this is a call of a model of which the text is a query's own.
fn is_own_question(function: &ScalarFunctionExpr) -> bool {
    let is_given = |arg: &Arc<dyn PhysicalExpr>| {
        let arg: &dyn Any = arg.as_ref();
        let function = arg.downcast_ref::<ScalarFunctionExpr>();
        arg.is::<Literal>() || function.is_some_and(|function| is_look_up(function.fun()))
    };
    let gives_one = !matches!(function.return_type(), DataType::List(_));
    function.name() == "embed" && gives_one && function.args().iter().all(is_given)
}

fn is_expr_light(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let heavy = expr.exists(|part| {
        let part: &dyn Any = part.as_ref();
        Ok(match part.downcast_ref::<ScalarFunctionExpr>() {
            Some(function) => {
                !(is_look_up(function.fun())
                    || matches!(function.name(), "cast" | "assign")
                    || is_own_question(function))
            }
            None => {
                !(part.is::<Column>()
                    || part.is::<Literal>()
                    || part.is::<BinaryExpr>()
                    || part.is::<CastExpr>()
                    || part.is::<IsNullExpr>()
                    || part.is::<IsNotNullExpr>()
                    || part.is::<NotExpr>()
                    || part.is::<InListExpr>())
            }
        })
    });
    !heavy.unwrap_or(true)
}
