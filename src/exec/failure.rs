//! Errors and the snapshot on their way through DataFusion.

use super::snapshot::Snapshot;
use crate::error::Error;
use datafusion::{common::DataFusionError, prelude::SessionConfig};
use std::sync::Arc;

/// An error of ours inside one of DataFusion's; `sql::error` takes it out again unchanged.
#[must_use]
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The snapshot that the running statement reads.
///
/// # Errors
/// When a plan is run outside a statement.
pub(super) fn snapshot_of(config: &SessionConfig) -> Result<Arc<Snapshot>, DataFusionError> {
    config
        .get_extension::<Snapshot>()
        .ok_or_else(|| DataFusionError::Internal("a plan runs without a snapshot".to_owned()))
}
