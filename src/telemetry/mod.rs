//! What a node says about itself: the log, and the counters.
//!
//! Floors are handed [`Metrics`] and count in it; it reads nothing from them. The log is for events
//! and not for prose: `info!(segment = %id, rows, "segment sealed")`.

pub mod metrics;

use crate::{
    config::LogFormat,
    error::{Error, Result, SqlState},
};
pub use metrics::Metrics;
use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Sends events that pass `filter` to standard error, for the rest of the process.
///
/// # Errors
/// F0000 for a filter that cannot be read; internal when a log was started before.
pub fn start_log(format: LogFormat, filter: &str) -> Result<()> {
    let filter: Targets = filter.parse().map_err(|error| {
        Error::new(SqlState::CONFIG_FILE_ERROR, format!("log_filter \"{filter}\": {error}"))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Human => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init(),
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_current_span(true);
            registry.with(layer.with_writer(std::io::stderr)).try_init()
        }
    };
    started.map_err(|error| Error::internal("the log is started once").source(error))
}
