//! Three questions about a node, each for another asker: a supervisor that restarts it, a person,
//! a balancer that sends it clients. The answers name every check, so that nobody has to guess.

use super::State;
use async_trait::async_trait;
use axum::{Json, extract, http::StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a supervisor waits for checks that ask the store.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who knows how a node does; a node is.
#[async_trait]
pub trait Checks: Send + Sync {
    /// Every check of the node, made now or remembered from a moment ago. Returns soon, whatever
    /// the store does.
    async fn checks(&self) -> Vec<Check>;

    /// Those of which the node knows the answer without asking anyone, now.
    fn known(&self) -> Vec<Check>;
}

/// One part of a node, and how it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `wal`, `store`.
    pub name: &'static str,
    /// `Ok` with a word on how it does, or what is wrong.
    pub state: Result<String, Fault>,
}

/// What is wrong with a part of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It passes, or someone outside has to do something; a restart would not help.
    Waiting(String),
    /// Only another process can go on from here.
    Broken(String),
}

impl Check {
    /// All is well with it.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: Ok(detail.into()) }
    }

    /// It cannot serve just now.
    pub fn waiting(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, state: Err(Fault::Waiting(reason.into())) }
    }

    /// It will not serve again in this process.
    pub fn broken(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, state: Err(Fault::Broken(reason.into())) }
    }

    fn is_broken(&self) -> bool {
        matches!(self.state, Err(Fault::Broken(_)))
    }

    fn to_json(&self) -> Value {
        let (state, detail) = match &self.state {
            Ok(detail) => ("ok", detail),
            Err(Fault::Waiting(reason)) => ("waiting", reason),
            Err(Fault::Broken(reason)) => ("broken", reason),
        };
        json!({ "name": self.name, "ok": self.state.is_ok(), "state": state, "detail": detail })
    }
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn healthy(
    extract::State(state): extract::State<State>,
) -> (StatusCode, Json<Value>) {
    // What only a restart can mend is known here; a store that is away must not look like that.
    let checks = tokio::select! {
        checks = state.checks.checks() => checks,
        () = state.clock.sleep(PATIENCE) => state.checks.known(),
    };
    answer(&checks, |checks| !checks.iter().any(Check::is_broken))
}

pub(super) async fn ready(
    extract::State(state): extract::State<State>,
) -> (StatusCode, Json<Value>) {
    answer(&state.checks.checks().await, |checks| checks.iter().all(|check| check.state.is_ok()))
}

fn answer(checks: &[Check], good: impl FnOnce(&[Check]) -> bool) -> (StatusCode, Json<Value>) {
    let (code, status) = if good(checks) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    let checks: Vec<_> = checks.iter().map(Check::to_json).collect();
    (code, Json(json!({ "status": status, "checks": checks })))
}
