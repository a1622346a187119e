//! Composition: builds the house from the ground up and takes it down from the top. The only place
//! that knows every part.
//!
//! ```text
//! start   store ─> recovery ─> commit task ─> maintenance, upkeep, builds ─> engine ─> post ─> server, namespaces, http
//! stop    server ─> http ─> namespaces ─> upkeep, builds ─> post ─> maintenance (a last checkpoint) ─> commit task ─> lock
//!
//!   setup     what all parts are made with          memory    how a node's memory is divided
//!   ground    the store, recovery, commits          cpu       the threads that compute
//!   behind    maintenance, upkeep, builds, recall   checks    how a node does, for the sidecar
//!   middle    the engine, webhooks, embedding       observe   what is looked at once a second
//!   doors     both servers                          password  that of the configuration
//! ```

mod behind;
mod checks;
mod cpu;
mod doors;
mod ground;
mod memory;
mod middle;
mod observe;
mod password;
mod setup;
pub mod turns;

use crate::{
    clock::SharedClock,
    config::Config,
    error::{Error, Result},
    exec::commit::Committer,
    session::Engine,
    storage::lock::FolderLock,
    telemetry,
};
use behind::{Behind, Tasks};
use cpu::Cpus;
use doors::Doors;
use ground::Ground;
use middle::Middle;
use observe::Observed;
use password::set_password;
use setup::Setup;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A node: everything that `nearlake serve` runs.
#[derive(Debug)]
pub struct Node {
    doors: Doors,
    engine: Arc<Engine>,
    committer: Committer,
    clock: SharedClock,
    /// How long requests may go on when the node stops.
    grace: Duration,
    stop_post: CancellationToken,
    post: JoinHandle<()>,
    embedding: JoinHandle<()>,
    tasks: Tasks,
    stop_commits: DropGuard,
    commits: JoinHandle<Result<()>>,
    _cpus: Cpus,
    _lock: Option<FolderLock>,
}

impl Node {
    /// Starts a node. When this returns, it serves.
    ///
    /// # Errors
    /// Of the store, of damaged objects, of addresses that are taken.
    pub async fn start(config: Config) -> Result<Self> {
        let setup = Setup::new(config);
        let (ground, checkpointer, origin) = Ground::open(&setup).await?;
        let cpus = Cpus::start()?;
        let behind = Behind::start(&setup, &ground, checkpointer, &cpus);
        let middle = Middle::start(&setup, &ground, &behind, origin, &cpus).await?;
        let (Setup { config, clock, .. }, engine) = (&setup, &middle.engine);
        set_password(config, engine, &ground.committer, clock).await?;
        let doors = Doors::open(&setup, &ground, engine).await?;
        let observed = Observed {
            metrics: Arc::clone(&setup.metrics),
            counters: Arc::clone(&doors.counters),
            http: doors.sidecar.connections(),
            engine: Arc::clone(engine),
            segments: ground.segments,
            answers: middle.answers,
            postings: ground.postings,
            queries: Arc::clone(&setup.memory.queries),
            store: ground.store,
            committer: ground.committer.clone(),
            clock: Arc::clone(clock),
        };
        tokio::spawn(observed.run(doors.stop_server.clone()));
        Ok(Self {
            doors,
            engine: middle.engine,
            committer: ground.committer,
            grace: setup.config.shutdown_timeout,
            clock: setup.clock,
            stop_post: middle.stop_post,
            post: middle.post,
            embedding: middle.embedding,
            tasks: behind.tasks,
            stop_commits: ground.stop_commits,
            commits: ground.commits,
            _cpus: cpus,
            _lock: ground.lock,
        })
    }

    /// Waits until the node can no longer do its work: the log cannot be written, or another
    /// process writes here. The cause.
    pub async fn failed(&mut self) -> Error {
        let cause = tokio::select! {
            commits = &mut self.commits => ended(commits),
            maintenance = &mut self.tasks.maintenance => ended(maintenance),
        };
        match cause {
            Ok(Err(error)) | Err(error) => error,
            Ok(Ok(())) => Error::internal("a task of the node ended"),
        }
    }

    /// Takes over what may change while a node runs, and disturbs nobody who is connected: the
    /// filter of the log, the certificate and its key, the password of `postgres`. Everything is
    /// tried; what cannot be used leaves what was before.
    ///
    /// # Errors
    /// The first fault, after the others were logged.
    pub async fn reload(&self, config: &Config) -> Result<()> {
        let filter = telemetry::configure_log_filter(&config.log_filter);
        let certificate =
            self.doors.encryption.identity().map_or(Ok(()), |identity| identity.reload());
        let password = set_password(config, &self.engine, &self.committer, &self.clock).await;
        let mut first = Ok(());
        for (what, done) in
            [("log_filter", filter), ("certificate", certificate), ("password", password)]
        {
            if let Err(error) = done {
                tracing::error!(what, %error, "not reloaded");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Where PostgreSQL clients connect.
    #[must_use]
    pub fn pg_addr(&self) -> SocketAddr {
        self.doors.pg_addr
    }

    /// Where HTTP clients connect.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.doors.sidecar.address()
    }

    /// What sessions share, for tests that look inside.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Stops: nothing new is taken, what runs may finish, what is committed is written as a
    /// checkpoint.
    ///
    /// # Errors
    /// Those of the last checkpoint; all that was committed is in the log even so.
    pub async fn stop(self) -> Result<()> {
        let Self { doors, tasks, .. } = self;
        doors.stop_server.cancel();
        ended(doors.server.await)?;
        doors.sidecar.stop(self.clock.sleep(self.grace)).await;
        doors.namespaces.stop().await;
        tasks.stop.cancel();
        for task in [tasks.upkeep, tasks.builds, tasks.recall] {
            ended(task.await)?;
        }
        self.stop_post.cancel();
        ended(self.post.await)?;
        ended(self.embedding.await)?;
        tasks.stop_maintenance.cancel();
        let checkpointed = ended(tasks.maintenance.await)?;
        drop(self.stop_commits);
        ended(self.commits.await)?.and(checkpointed)
    }
}

fn ended<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T> {
    joined.map_err(|error| Error::internal(format!("a task ended: {error}")))
}
