//! What all sessions of a node share.

use super::{embedding::Progress, notify::Channels, sequence::Sequences, statements::Statements};
use crate::{
    catalog::{Catalog, pg::ActivityRow},
    clock::SharedClock,
    embed::{Embedder, Hub},
    error::{Error, Result, SqlState},
    exec::{
        build::Builds,
        commit::{Committer, Failure},
        locks::Locks,
        maintenance::Maintenance,
        pressure::Pressure,
        run::Runner,
        spill::Spill,
        state::States,
    },
    ids::Oid,
    telemetry::Metrics,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// A session as the others see it.
pub(super) trait Peer: std::fmt::Debug + Send + Sync {
    /// Whose rights it has at present.
    fn role(&self) -> Oid;
    /// Its row of `pg_stat_activity`.
    fn activity_row(&self) -> ActivityRow;
    /// Ends the statement that it runs.
    fn cancel(&self);
}

/// The shared part of all sessions: state, locks, the commit task, where plans run.
#[derive(Debug)]
pub struct Engine {
    pub(super) states: Arc<States>,
    pub(super) locks: Arc<Locks>,
    pub(super) committer: Committer,
    pub(super) pressure: Pressure,
    pub(super) runner: Runner,
    pub(super) services: Services,
    pub(super) clock: SharedClock,
    pub(super) sequences: Sequences,
    pub(super) metrics: Arc<Metrics>,
    pub(super) statements: Statements,
    pub(super) embedding: Progress,
    pub(super) channels: Channels,
    /// Whether a superuser had a password at any time since the start.
    has_password: AtomicBool,
    sessions: Mutex<BTreeMap<i32, Weak<dyn Peer>>>,
}

/// What sessions ask of a node beside plans and commits.
#[derive(Debug)]
pub struct Services {
    /// Where large transactions go before they commit.
    pub spill: Spill,
    /// Flushes, merges and collects on demand: CHECKPOINT and VACUUM.
    pub maintenance: Maintenance,
    /// Where indexes are built.
    pub builds: Arc<Builds>,
    /// What makes vectors of texts.
    pub embedder: Arc<Embedder>,
    /// Where models are fetched from by name.
    pub hub: Hub,
}

/// What a role's login needs.
#[derive(Debug, Clone)]
pub struct Login {
    /// The SCRAM-SHA-256 verifier of its password, if it has one.
    pub verifier: Option<String>,
    /// Whether it may connect.
    pub can_login: bool,
    /// Whether every check is waived.
    pub superuser: bool,
}

impl Engine {
    /// Over a node's parts.
    #[must_use]
    pub fn new(
        states: Arc<States>,
        committer: Committer,
        pressure: Pressure,
        runner: Runner,
        services: Services,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Arc<Self> {
        Arc::new(Self {
            locks: Locks::new(Arc::clone(&clock)),
            sequences: Sequences::new(Arc::clone(&states), committer.clone()),
            has_password: AtomicBool::new(false),
            sessions: Mutex::default(),
            statements: Statements::default(),
            metrics,
            embedding: Progress::default(),
            channels: Channels::default(),
            states,
            committer,
            pressure,
            runner,
            services,
            clock,
        })
    }

    /// How a role logs in.
    ///
    /// # Errors
    /// 28000 when there is no such role.
    pub fn login(&self, role: &str) -> Result<Login> {
        let catalog = self.catalog();
        let role = catalog.role_named(role).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{role}\" does not exist"),
            )
        })?;
        Ok(Login {
            verifier: role.verifier.clone(),
            can_login: role.login,
            superuser: role.superuser,
        })
    }

    /// Whether clients have to know their role's password, on every port: as soon as a superuser has
    /// one. To take it away opens no door before the next start.
    #[must_use]
    pub fn requires_password(&self) -> bool {
        if !self.has_password.load(Relaxed) {
            let catalog = self.catalog();
            let mut superusers = catalog.roles().filter(|role| role.superuser);
            if !superusers.any(|role| role.verifier.is_some()) {
                return false;
            }
            self.has_password.store(true, Relaxed);
        }
        true
    }

    /// Whether the log can still be written.
    #[must_use]
    pub fn takes_commits(&self) -> bool {
        self.committer.is_open() && self.committer.failure().is_none()
    }

    /// Why the log can no longer be written; `None` where it can, or the node is stopping.
    #[must_use]
    pub fn log_failure(&self) -> Option<&Failure> {
        self.committer.failure()
    }

    /// Counts an error that a client is told.
    pub fn count_error(&self, state: SqlState) {
        self.metrics.errors.with_label_values(&[state.class()]).inc();
    }

    /// The committed names of now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.states.snapshot().catalog)
    }

    /// The committed state of now, for counters.
    #[must_use]
    pub fn states(&self) -> &Arc<States> {
        &self.states
    }

    /// Flushes, merges and collects on demand: CHECKPOINT and VACUUM.
    #[must_use]
    pub fn maintenance(&self) -> &Maintenance {
        &self.services.maintenance
    }

    /// The builds of indexes.
    #[must_use]
    pub fn builds(&self) -> &Arc<Builds> {
        &self.services.builds
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.lock().len()
    }

    pub(super) fn enter(&self, process_id: i32, session: Weak<dyn Peer>) {
        self.sessions.lock().insert(process_id, session);
    }

    pub(super) fn leave(&self, process_id: i32) {
        self.sessions.lock().remove(&process_id);
    }

    /// All sessions by their process ids.
    pub(super) fn sessions(&self) -> BTreeMap<i32, Arc<dyn Peer>> {
        let sessions = self.sessions.lock();
        sessions.iter().filter_map(|(&id, session)| Some((id, session.upgrade()?))).collect()
    }
}
