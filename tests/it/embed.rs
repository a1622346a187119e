//! Text becomes vectors: models, `embed()`, generated columns, the worker behind them, HTTP.
//!
//! Most tests ask tiny models that they write themselves; `real.rs` asks all-MiniLM-L6-v2.

/// Killed while vectors are made.
mod crash;
/// Vectors that come behind the statement.
mod deferred;
/// `embed()` and `rerank()` in a query.
mod function;
/// Columns of vectors, written with their texts.
mod generated;
/// Over HTTP, both ways.
mod http;
/// How models are declared, and what depends on them.
mod models;
/// The real model, beside Python's.
mod real;
/// A column goes over to another model.
mod replaced;
/// Measurements.
mod speed;
/// Models of a few KB.
pub(crate) mod tiny;

pub(crate) use real::model;

use crate::support::{self, Running};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tiny::Tiny;
use tokio_postgres::{Client, SimpleQueryMessage};

/// The virtual environment, whose onnxruntime runs the models.
pub(crate) fn venv() -> PathBuf {
    let venv = std::env::var_os("NEARLAKE_VENV")
        .expect("NEARLAKE_VENV names the virtual environment; run the tests by `make test`");
    let venv = PathBuf::from(venv);
    assert!(
        venv.join("bin/python").exists(),
        "{} has no Python: pip could not deliver what scripts/requirements.txt lists",
        venv.display()
    );
    venv
}

/// A node in memory that finds the runtime.
async fn start() -> Running {
    start_on("memory:").await
}

async fn start_on(data: &str) -> Running {
    support::start_on(data, &["--onnxruntime", venv().to_str().unwrap()]).await
}

/// A node that knows tiny models by these names, a client of it, and the folder that they are in.
async fn taught(models: &[(&str, &Tiny)]) -> (Running, Client, TempDir) {
    let (node, folder) = (start().await, tempfile::tempdir().unwrap());
    let client = node.client().await;
    for (name, tiny) in models {
        run(&client, &tiny_model(folder.path(), name, tiny, "")).await;
    }
    (node, client, folder)
}

/// Runs statements that have to succeed.
async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The error's code, message and hint.
async fn refused(client: &Client, sql: &str) -> (String, String, String) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    let hint = error.hint().unwrap_or_default().to_owned();
    (error.code().code().to_owned(), error.message().to_owned(), hint)
}

#[track_caller]
fn check_refusal((code, message, hint): &(String, String, String), state: &str, word: &str) {
    assert_eq!(code, state, "{message}");
    assert!(message.contains(word), "`{word}` is not in: {message}");
    assert!(!hint.is_empty(), "no hint: {message}");
}

/// Values of one column as text.
async fn column(client: &Client, sql: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for message in client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    {
        if let SimpleQueryMessage::Row(row) = message {
            values.push(row.get(0).map(str::to_owned));
        }
    }
    values
}

async fn one(client: &Client, sql: &str) -> String {
    let mut values = column(client, sql).await;
    assert_eq!(values.len(), 1, "{sql}");
    values.remove(0).unwrap_or_else(|| panic!("{sql} gave NULL"))
}

/// The vector that a query gives.
async fn vector(client: &Client, sql: &str) -> Vec<f32> {
    numbers(&one(client, sql).await)
}

fn numbers(text: &str) -> Vec<f32> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    inner.split(',').map(|number| number.parse().unwrap()).collect()
}

#[track_caller]
fn near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    let far = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-5, "{actual:?} is not {expected:?}");
}

/// A folder with a tiny model, and the statement that makes it known.
pub(crate) fn tiny_model(folder: &Path, name: &str, tiny: &Tiny, options: &str) -> String {
    let path = tiny.write(&folder.join(name));
    let path = path.display();
    format!("CREATE EMBEDDING MODEL {name} WITH (path = '{path}'{options})")
}

/// Waits until as many rows have vectors.
async fn settled(client: &Client, table: &str, rows: u64) {
    eventually(client, &format!("SELECT count(v)::text FROM {table}"), &rows.to_string()).await;
}

/// Waits until no column waits for its replacement.
async fn replaced(client: &Client) {
    let waiting = "SELECT count(*)::text FROM nearlake_stat_embedding WHERE phase = 'replacing'";
    eventually(client, waiting, "0").await;
}

/// Waits until a query gives what begins so.
async fn eventually(client: &Client, sql: &str, expected: &str) {
    let clock = nearlake::clock::SystemClock::shared();
    let mut given = String::new();
    for _ in 0..600 {
        given = one(client, sql).await;
        if given == expected || (expected.len() > 20 && given.starts_with(expected)) {
            return;
        }
        clock.sleep(std::time::Duration::from_millis(50)).await;
    }
    let state =
        "SELECT concat_ws(' ', phase, rows_pending, last_error) FROM nearlake_stat_embedding";
    panic!("{sql} gives {given}, not {expected}: {:?}", column(client, state).await);
}

/// What the node has counted.
async fn metric(node: &Running, name: &str) -> f64 {
    let text = http::get(node.http_addr(), "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
}

/// How many texts it made vectors of.
async fn texts(node: &Running) -> f64 {
    metric(node, "nearlake_embed_texts_total").await
}
