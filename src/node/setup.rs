//! What every part of a node is made with.

use super::memory::Memory;
use crate::{
    clock::{SharedClock, SystemClock},
    config::Config,
    telemetry::Metrics,
};
use std::sync::Arc;

/// The configuration, and what is told and counted by.
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) memory: Memory,
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Metrics>,
}

impl Setup {
    pub(super) fn new(config: Config) -> Self {
        let metrics = Arc::new(Metrics::default());
        let limit = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.memory_limit_bytes.set(i64::try_from(config.memory).unwrap_or(i64::MAX));
        metrics.connections_limit.set(limit(config.max_connections));
        Self { memory: Memory::of(config.memory), config, clock: SystemClock::shared(), metrics }
    }
}
