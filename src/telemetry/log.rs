//! The log: events to standard error, as lines for people or as JSON, filtered by level and target. The
//! filter may change while the process runs; there is one log, as there is one standard error.

use super::trace::{self, Tracing};
use crate::{
    clock::SystemClock,
    config::{LogFormat, Otlp},
    error::{Error, Result, SqlState},
};
use parking_lot::Mutex;
use std::sync::OnceLock;
use tokio::runtime::Handle;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

/// The filter of the log that runs.
static FILTER: OnceLock<Filter> = OnceLock::new();

struct Filter {
    handle: reload::Handle<Targets, Registry>,
    texts: Mutex<Texts>,
}

struct Texts {
    /// What holds.
    now: String,
    /// What the configuration says.
    configured: String,
}

/// Sends events that pass `filter` to standard error, for the rest of the process, and spans to a
/// collector of traces where one is named, from a task of the runtime.
///
/// # Errors
/// F0000 for a filter that cannot be read; internal when a log was started before.
pub fn start_log(
    format: LogFormat,
    filter: &str,
    otlp: Option<&Otlp>,
    runtime: &Handle,
) -> Result<Option<Tracing>> {
    let (filter_layer, handle) = reload::Layer::new(targets(filter)?);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Human => fmt::layer().with_writer(std::io::stderr).boxed(),
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_current_span(true);
            layer.with_writer(std::io::stderr).boxed()
        }
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter_layer));
    let twice = |error| Error::internal("the log is started once").source(error);
    let tracing = match otlp {
        Some(otlp) => {
            let (layer, tracing) = trace::export(otlp, runtime, SystemClock::shared())?;
            registry.with(layer).try_init().map_err(twice)?;
            Some(tracing)
        }
        None => {
            registry.try_init().map_err(twice)?;
            None
        }
    };
    let texts = Texts { now: filter.to_owned(), configured: filter.to_owned() };
    let filter = Filter { handle, texts: Mutex::new(texts) };
    FILTER.set(filter).map_err(|_| Error::internal("the log is started once"))?;
    Ok(tracing)
}

/// What the configuration says of the log has changed.
///
/// # Errors
/// As [`set_log_filter`]'s.
pub fn configure_log_filter(text: &str) -> Result<()> {
    set_log_filter(Some(text))?;
    text.clone_into(&mut FILTER.get().ok_or_else(no_log)?.texts.lock().configured);
    Ok(())
}

/// Changes which events are logged from now on; `None`: as the configuration says.
///
/// # Errors
/// 22023 for a filter that cannot be read; 55000 where no log was started.
pub fn set_log_filter(text: Option<&str>) -> Result<()> {
    let filter = FILTER.get().ok_or_else(no_log)?;
    let mut texts = filter.texts.lock();
    let text = text.unwrap_or(&texts.configured).to_owned();
    let text = text.as_str();
    let targets = targets(text).map_err(|error| {
        Error::new(SqlState::INVALID_PARAMETER_VALUE, error.message()).hint(
            "A filter is a level, or target=level pairs with commas between them: \
             info,nearlake::storage=debug.",
        )
    })?;
    filter.handle.reload(targets).map_err(|_| no_log())?;
    text.clone_into(&mut texts.now);
    Ok(())
}

/// Which events are logged; `None` where no log was started.
#[must_use]
pub fn log_filter() -> Option<String> {
    FILTER.get().map(|filter| filter.texts.lock().now.clone())
}

fn targets(filter: &str) -> Result<Targets> {
    filter.parse().map_err(|error| {
        Error::new(SqlState::CONFIG_FILE_ERROR, format!("log_filter \"{filter}\": {error}"))
    })
}

fn no_log() -> Error {
    let message = "this process has no log of its own";
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}
