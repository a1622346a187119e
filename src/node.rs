//! Composition: builds the house from the ground up and takes it down from the top. The only file
//! that knows every part.
//!
//! ```text
//! start   store ─> recovery ─> commit task ─> maintenance, upkeep ─> engine ─> server, namespaces, http
//! stop    server ─> http ─> namespaces ─> upkeep ─> maintenance (a last checkpoint) ─> commit task ─> lock
//! ```

mod observe;

use crate::{
    clock::{SharedClock, SystemClock},
    config::{Config, Tls},
    embed::{self, Embedder, Hub},
    error::{Error, Result, SqlState},
    exec::{
        checkpoint::{Checkpointer, IndexObjects},
        commit::{Commit, Committer},
        maintenance::{Maintenance, MaintenanceOptions},
        recall::Recall,
        recovery::{Recovered, recover},
        run::Runner,
        spill::Spill,
        state::States,
        upkeep::Upkeep,
    },
    http::{self, Api, Check, Checks, Sidecar},
    index::PostingStore,
    namespaces::Namespaces,
    scram,
    server::{self, Server},
    session::{EmbeddingWorker, Engine},
    storage::{
        columns::ColumnCache,
        lock::FolderLock,
        segment::SegmentStore,
        store::{Store, StoreOptions},
        wal::WalOptions,
    },
    telemetry::Metrics,
};
use async_trait::async_trait;
use datafusion::execution::{
    memory_pool::{FairSpillPool, TrackConsumersPool},
    runtime_env::RuntimeEnvBuilder,
};
use observe::Observed;
use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A node: everything that `nearlake serve` runs.
#[derive(Debug)]
pub struct Node {
    pg_addr: SocketAddr,
    sidecar: Sidecar,
    namespaces: Arc<Namespaces>,
    /// How long requests may go on when the node stops.
    grace: Duration,
    clock: SharedClock,
    engine: Arc<Engine>,
    stop_server: CancellationToken,
    server: JoinHandle<()>,
    stop_upkeep: CancellationToken,
    upkeep: JoinHandle<()>,
    recall: JoinHandle<()>,
    embedding: JoinHandle<()>,
    stop_maintenance: CancellationToken,
    maintenance: JoinHandle<Result<()>>,
    /// However the node ends, its commit thread does.
    stop_commits: DropGuard,
    commits: JoinHandle<Result<()>>,
    _cpu: Cpu,
    _lock: Option<FolderLock>,
}

/// How the memory of a node is divided: shares of a hundred.
struct Shares {
    columns: u64,
    postings: u64,
    ranges: u64,
    queries: u64,
}

const SHARES: Shares = Shares { columns: 30, postings: 20, ranges: 5, queries: 30 };

impl Node {
    /// Starts a node. When this returns, it serves.
    ///
    /// # Errors
    /// Of the store, of damaged objects, of addresses that are taken.
    pub async fn start(config: Config) -> Result<Self> {
        let clock = SystemClock::shared();
        let metrics = Arc::new(Metrics::default());
        let share = |percent: u64| config.memory / 100 * percent;
        let store =
            Store::open(&store_options(&config, share(SHARES.ranges)), Arc::clone(&clock)).await?;
        let columns = usize::try_from(share(SHARES.columns)).unwrap_or(usize::MAX);
        let segments = SegmentStore::new(store.clone(), Arc::new(ColumnCache::new(columns)));
        let postings =
            PostingStore::new(Arc::new(IndexObjects(store.clone())), share(SHARES.postings));

        let recovered = recover(&store, &segments, &postings, &WalOptions::default()).await?;
        let Recovered { state, writer, replayed } = recovered;
        tracing::info!(lsn = %state.lsn, replayed, "recovered");
        let states = Arc::new(States::new(state));
        let (committer, commit_task) = Committer::new(
            Arc::clone(&states),
            segments.clone(),
            writer.wal,
            Arc::clone(&clock),
            Arc::clone(&metrics),
        );
        let stop_commits = CancellationToken::new();
        let commits = commit_task.run(stop_commits.clone());
        let runtime = Handle::current();
        let commits = tokio::task::spawn_blocking(move || runtime.block_on(commits));

        let checkpointer = Checkpointer::new(
            store.clone(),
            segments.clone(),
            Arc::clone(&postings),
            Arc::clone(&states),
            committer.clone(),
            writer.id,
            &writer.manifest,
        );
        let options = MaintenanceOptions {
            memtable_bytes_max: config.checkpoint_size,
            checkpoint_every: config.checkpoint_interval,
            ..MaintenanceOptions::default()
        };
        let (maintenance, maintenance_task) = Maintenance::new(
            checkpointer,
            Arc::clone(&states),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            options,
        );
        let (stop_maintenance, stop_upkeep) = (CancellationToken::new(), CancellationToken::new());
        let maintenance_handle = tokio::spawn(maintenance_task.run(stop_maintenance.clone()));

        let cpu = Cpu::start()?;
        let upkeep = Upkeep::new(Arc::clone(&states), committer.clone(), Arc::clone(&clock));
        let upkeep = cpu.handle.spawn(upkeep.run(stop_upkeep.clone()));

        let (recall, recall_task) =
            Recall::new(Arc::clone(&states), Arc::clone(&metrics), Arc::clone(&clock), threads());
        let recall_task = cpu.handle.spawn(recall_task.run(stop_upkeep.clone()));

        let runner = runner(share(SHARES.queries), &cpu.handle, &metrics, recall)?;
        let observed_segments = segments.clone();
        let spill = Spill { segments, bytes_max: SPILL_BYTES };
        let models = (embedder(&config, &metrics, &clock)?, hub(&config));
        let engine = Engine::new(
            Arc::clone(&states),
            committer.clone(),
            (runner, spill),
            maintenance,
            models,
            Arc::clone(&metrics),
            Arc::clone(&clock),
        );
        engine.drop_leftovers().await?;
        let embedding = EmbeddingWorker::new(Arc::clone(&engine));
        let embedding = cpu.handle.spawn(embedding.run(stop_upkeep.clone()));
        set_password(&config, &engine, &committer, &clock).await?;

        let options = server::Options {
            access: server::Access { require_password: engine.has_password() },
            connections_max: config.max_connections,
            authentication_timeout: config.auth_timeout,
            shutdown_grace: config.shutdown_timeout,
            tls: tls(&config)?,
            clock: Arc::clone(&clock),
            ..server::Options::default()
        };
        let server = Server::bind(config.pg_listen, options, Arc::clone(&engine)).await?;
        let pg_addr = server.local_addr();
        let stop_server = CancellationToken::new();
        metrics.memory_limit_bytes.set(i64::try_from(config.memory).unwrap_or(i64::MAX));
        let observed = Observed {
            metrics: Arc::clone(&metrics),
            counters: server.counters(),
            engine: Arc::clone(&engine),
            segments: observed_segments,
            store: store.clone(),
            committer: committer.clone(),
            clock: Arc::clone(&clock),
        };
        tokio::spawn(observed.run(stop_server.clone()));
        let server = tokio::spawn(server.run(stop_server.clone()));

        let checks = Arc::new(NodeChecks { store, engine: Arc::clone(&engine) });
        let namespaces =
            Namespaces::new(Arc::clone(&engine), Arc::clone(&metrics), Arc::clone(&clock));
        let api = Some(Api::new(Arc::clone(&namespaces), Arc::clone(&engine), Arc::clone(&clock)));
        let state = http::State { checks, metrics, api };
        let sidecar = Sidecar::start(config.http_listen, state).await?;
        Ok(Self {
            pg_addr,
            sidecar,
            namespaces,
            grace: config.shutdown_timeout,
            clock,
            engine,
            stop_server,
            server,
            stop_upkeep,
            upkeep,
            recall: recall_task,
            embedding,
            stop_maintenance,
            maintenance: maintenance_handle,
            stop_commits: stop_commits.drop_guard(),
            commits,
            _cpu: cpu,
            _lock: writer.lock,
        })
    }

    /// Waits until the node can no longer do its work: the log cannot be written, or another
    /// process writes here. The cause.
    pub async fn failed(&mut self) -> Error {
        let cause = tokio::select! {
            commits = &mut self.commits => ended(commits),
            maintenance = &mut self.maintenance => ended(maintenance),
        };
        match cause {
            Ok(Err(error)) | Err(error) => error,
            Ok(Ok(())) => Error::internal("a task of the node ended"),
        }
    }

    /// Where PostgreSQL clients connect.
    #[must_use]
    pub fn pg_addr(&self) -> SocketAddr {
        self.pg_addr
    }

    /// Where HTTP clients connect.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.sidecar.address()
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
        self.stop_server.cancel();
        ended(self.server.await)?;
        self.sidecar.stop(self.clock.sleep(self.grace)).await;
        self.namespaces.stop().await;
        self.stop_upkeep.cancel();
        ended(self.upkeep.await)?;
        ended(self.recall.await)?;
        ended(self.embedding.await)?;
        self.stop_maintenance.cancel();
        let checkpointed = ended(self.maintenance.await)?;
        drop(self.stop_commits);
        ended(self.commits.await)?.and(checkpointed)
    }
}

/// From this size on a transaction's rows are written before it commits.
const SPILL_BYTES: u64 = 64 << 20;

fn ended<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T> {
    joined.map_err(|error| Error::internal(format!("a task ended: {error}")))
}

fn store_options(config: &Config, cache_memory_bytes: u64) -> StoreOptions {
    StoreOptions {
        url: config.data.clone(),
        endpoint: config.store_endpoint.clone(),
        cache_dir: config.cache_dir(),
        cache_memory_bytes,
        cache_disk_bytes: config.cache_size,
        ..StoreOptions::default()
    }
}

/// Plans compute on threads of their own, so that a heavy one never keeps a connection waiting.
/// Whoever drops them does not wait for what still runs on them.
#[derive(Debug)]
struct Cpu {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Cpu {
    fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads())
            .thread_name("nearlake-cpu")
            // Planning recurses over the plan.
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .map_err(|error| Error::internal("cannot start threads").source(error))?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runner(
    memory: u64,
    cpu: &Handle,
    metrics: &Arc<Metrics>,
    recall: Arc<Recall>,
) -> Result<Runner> {
    let bytes = usize::try_from(memory).unwrap_or(usize::MAX);
    let consumers = NonZeroUsize::new(3).expect("three is not zero");
    let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), consumers);
    let environment = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .build_arc()
        .map_err(crate::sql::error::from_datafusion)?;
    Ok(Runner::new(environment, cpu.clone(), threads(), Arc::clone(metrics), recall))
}

/// Models share what memory is left beside the shares of the rest.
fn embedder(config: &Config, metrics: &Arc<Metrics>, clock: &SharedClock) -> Result<Arc<Embedder>> {
    let options = embed::Options {
        runtime: config.onnxruntime.clone(),
        threads: config.embed_threads,
        ..embed::Options::default()
    };
    Embedder::start(options, Arc::clone(metrics), Arc::clone(clock))
}

fn hub(config: &Config) -> Hub {
    Hub { endpoint: config.hub_endpoint.clone(), folder: config.models_dir.clone() }
}

/// How many threads compute at a time.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, NonZeroUsize::get)
}

/// The password of the configuration becomes that of the role `postgres`.
async fn set_password(
    config: &Config,
    engine: &Arc<Engine>,
    committer: &Committer,
    clock: &SharedClock,
) -> Result<()> {
    use crate::catalog::{Change, POSTGRES_ROLE, Role};
    let Some(password) = &config.password else { return Ok(()) };
    let catalog = engine.catalog();
    let role = catalog
        .role(POSTGRES_ROLE)
        .ok_or_else(|| Error::new(SqlState::UNDEFINED_OBJECT, "there is no role postgres"))?;
    let kept = role.verifier.as_deref().and_then(scram::Verifier::parse);
    if kept.is_some_and(|verifier| verifier.accepts(password.reveal())) {
        return Ok(());
    }
    let salt: Vec<u8> = (0..2).flat_map(|_| clock.random().to_le_bytes()).collect();
    let verifier = Some(scram::scram_verifier(password.reveal(), &salt, 4096));
    let role = Role { verifier, ..Role::clone(role) };
    let commit = Commit { changes: vec![Change::Role(Arc::new(role))], ..Commit::default() };
    committer.commit(commit).await.map(drop)
}

fn tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>> {
    match config.tls() {
        Tls::Off => Ok(None),
        Tls::Offered { cert, key } => server::tls::read(cert, key).map(Some),
        Tls::Required { .. } => Err(Error::unsupported("clients cannot be made to use TLS yet")
            .hint("Use tls = auto, which offers it.")),
    }
}

/// How the node does, as the sidecar tells.
struct NodeChecks {
    store: Store,
    engine: Arc<Engine>,
}

/// A check that takes longer than this has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

#[async_trait]
impl Checks for NodeChecks {
    async fn checks(&self) -> Vec<Check> {
        let store = tokio::select! {
            listed = self.store.list("manifest") => match listed {
                Ok(listed) => Check::ok("store", format!("{} manifests", listed.len())),
                Err(error) => Check::waiting("store", error.to_string()),
            },
            () = self.store.clock().sleep(CHECK_LIMIT) => {
                Check::waiting("store", "it does not answer")
            }
        };
        let log = if self.engine.takes_commits() {
            Check::ok("wal", format!("commit {}", self.engine.states().snapshot().lsn))
        } else {
            Check::broken("wal", "the log cannot be written: restart the process")
        };
        vec![store, log]
    }
}
