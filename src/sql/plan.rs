//! A bound plan, and room for what its runner makes of it.

use datafusion::logical_expr::LogicalPlan;
use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

/// A logical plan that may run many times, each time with other parameters and on another
/// snapshot. Whoever runs it may keep beside it what the next run need not make again; that goes
/// when the plan goes, and so never outlives the names that the plan was bound to.
pub struct Plan {
    logical: LogicalPlan,
    kept: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Plan {
    /// A plan that has not run yet.
    #[must_use]
    pub fn new(logical: LogicalPlan) -> Arc<Self> {
        Arc::new(Self { logical, kept: OnceLock::new() })
    }

    /// The plan itself, not optimised.
    #[must_use]
    pub fn logical(&self) -> &LogicalPlan {
        &self.logical
    }

    /// What is kept beside the plan, made when it is first asked for. Each plan has one runner,
    /// which always asks for the same type.
    ///
    /// # Panics
    /// When another type was kept before.
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce(&LogicalPlan) -> T) -> Arc<T> {
        let kept = self.kept.get_or_init(|| Arc::new(make(&self.logical)));
        Arc::downcast(Arc::clone(kept)).expect("a plan has one runner")
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.logical.fmt(f)
    }
}
