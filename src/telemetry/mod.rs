//! What a node says about itself: the log, traces, and the counters.
//!
//! Floors are handed [`Metrics`] and count in it; it reads nothing from them. The log is for events
//! and not for prose: `info!(segment = %id, rows, "segment sealed")`. Spans follow the journey:
//! `request`, `statement`, and within it `plan`, `search`, `commit`.

mod log;
pub mod metrics;
mod process;
mod trace;

pub use log::{configure_log_filter, log_filter, set_log_filter, start_log};
pub use metrics::Metrics;
pub use trace::{Traceparent, Tracing};
