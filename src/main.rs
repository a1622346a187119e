//! Reads the command line and the settings, starts the log, and runs a node until it is told to
//! stop. Exit codes: 0 stopped as asked, 1 failed, 2 the command line or a setting is wrong.

use nearlake::{
    config::{self, Config, Request},
    error::{Error, ErrorKind, Result, SqlState},
    node::Node,
    telemetry,
};
use std::{io::Write as _, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let matches = config::command().get_matches();
    let done = match config::request(&matches, std::env::vars_os()) {
        Ok(Request::Show(config)) => show(&config),
        Ok(Request::Serve(config)) => serve(config),
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

fn serve(config: Config) -> Result<()> {
    telemetry::start_log(config.log_format, &config.log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("nearlake-io")
        // Statements are parsed and bound here, which recurses over them.
        .thread_stack_size(16 << 20)
        .build()
        .map_err(|error| Error::internal("cannot start threads").source(error))?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    // Before the node starts, so that a signal during a long replay is not lost.
    let listen = |kind| {
        signal(kind).map_err(|error| Error::internal("cannot listen for signals").source(error))
    };
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut node = tokio::select! {
        node = Node::start(config) => node?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tracing::info!(postgres = %node.pg_addr(), http = %node.http_addr(), "ready");
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        cause = node.failed() => return Err(cause),
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
