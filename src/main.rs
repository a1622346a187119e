//! Reads the command line and the settings, starts the log, and runs a node until it is told to
//! stop. Exit codes: 0 stopped as asked, 1 failed, 2 the command line or a setting is wrong.

use nearlake::{
    config::{self, Config, Request},
    error::{Error, ErrorKind, Result, SqlState},
    node::{Node, turns},
    telemetry,
};
use std::{io::Write as _, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let matches = config::command().get_matches();
    let done = match config::request(&matches, std::env::vars_os()) {
        Ok(Request::Show(config)) => show(&config),
        Ok(Request::Serve(config)) => {
            serve(config, || config::request(&matches, std::env::vars_os()))
        }
        Err(error) => Err(error),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    explain(&error);
    let is_setting = error.state() == SqlState::CONFIG_FILE_ERROR;
    if is_setting { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// The effective settings as a file that `--config` reads.
fn show(config: &Config) -> Result<()> {
    let mut text = String::new();
    for (setting, value) in config.effective() {
        let comment = if value.is_empty() || setting.flag.is_none() { "# " } else { "" };
        text += &format!("{comment}{} = {}\n", setting.name, toml::Value::from(value));
    }
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| {
        Error::new(SqlState::IO_ERROR, format!("cannot write the settings: {error}"))
    })
}

fn serve(config: Config, again: impl Fn() -> Result<Request>) -> Result<()> {
    turns::for_answers();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("nearlake-io")
        // Statements are parsed and bound here, which recurses over them.
        .thread_stack_size(16 << 20)
        .build()
        .map_err(|error| Error::internal("cannot start threads").source(error))?;
    let otlp = config.otlp();
    let tracing = telemetry::start_log(
        config.log_format,
        &config.log_filter,
        otlp.as_ref(),
        runtime.handle(),
    )?;
    let ended = runtime.block_on(run(config, again));
    if let Some(tracing) = tracing {
        runtime.block_on(tracing.finish());
    }
    ended
}

/// Settings that take effect without a restart.
const RELOADED: [&str; 3] = ["log_filter", "password", "password_file"];

/// Reads the settings again, from where they were read the first time.
async fn reload(node: &Node, started: &Config, again: impl Fn() -> Result<Request>) {
    let reloaded = match again() {
        Ok(Request::Serve(config) | Request::Show(config)) => {
            for ((setting, before), (_, now)) in started.effective().zip(config.effective()) {
                if before != now && !RELOADED.contains(&setting.name) {
                    tracing::warn!(setting = setting.name, before, now, "waits for a restart");
                }
            }
            node.reload(&config).await
        }
        Err(error) => Err(error),
    };
    match reloaded {
        Ok(()) => tracing::info!("settings, certificate and password read again"),
        Err(error) => tracing::error!(%error, "the settings were not all read again"),
    }
}

async fn run(config: Config, again: impl Fn() -> Result<Request>) -> Result<()> {
    // Before the node starts, so that a signal during a long replay is not lost.
    let listen = |kind| {
        signal(kind).map_err(|error| Error::internal("cannot listen for signals").source(error))
    };
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hangup = listen(SignalKind::hangup())?;
    let started = config.clone();
    let mut node = tokio::select! {
        node = Node::start(config) => node?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tracing::info!(postgres = %node.pg_addr(), http = %node.http_addr(), "ready");
    let signal = loop {
        tokio::select! {
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            _ = hangup.recv() => reload(&node, &started, &again).await,
            cause = node.failed() => return Err(cause),
        }
    };
    tracing::info!(signal, "stopping");
    node.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Says on standard error what went wrong, and what to do about it.
fn explain(error: &Error) {
    let mut text = format!("nearlake: {}\n", error.message());
    if let Some(detail) = &error.fields().detail {
        text += &format!("  {detail}\n");
    }
    if let Some(hint) = &error.fields().hint {
        text += &format!("  hint: {hint}\n");
    }
    if error.kind() == ErrorKind::Internal {
        text += &format!("  this is a fault of Nearlake itself: {error:?}\n");
    }
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
