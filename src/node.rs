//! Composition: builds the house from the ground up and takes it down from the top. The only file
//! that knows every part.
//!
//! ```text
//! start   store ─> recovery ─> commit task ─> maintenance, upkeep, builds ─> engine ─> post ─> server, namespaces, http
//! stop    server ─> http ─> namespaces ─> upkeep, builds ─> post ─> maintenance (a last checkpoint) ─> commit task ─> lock
//! ```

mod checks;
mod observe;

use crate::{
    clock::{SharedClock, SystemClock},
    config::{Config, Tls},
    embed::{self, Embedder, Hub},
    error::{Error, Result, SqlState},
    exec::{
        build::{Background, Builds, Limits},
        checkpoint::{Checkpointer, IndexObjects},
        commit::{Commit, Committer},
        events::{Origin, Post, PostParts},
        maintenance::{Maintenance, MaintenanceOptions},
        nearest::Answers,
        pressure::{Pressure, PressureOptions},
        recall::Recall,
        recovery::{Recovered, recover},
        run::Runner,
        spill::Spill,
        state::States,
        supervise::Supervisor,
        upkeep::Upkeep,
    },
    http::{self, Api, Sidecar},
    index::PostingStore,
    namespaces::Namespaces,
    scram,
    server::{self, Server},
    session::{Conditions, EmbeddingWorker, Engine, Services},
    storage::{
        columns::ColumnCache,
        lock::FolderLock,
        segment::SegmentStore,
        store::{Store, StoreOptions},
        wal::WalOptions,
    },
    telemetry::{self, Metrics},
    tls::{Encryption, Identity},
    webhook::address::Reach,
};
use checks::NodeChecks;
use datafusion::execution::{
    memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool},
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
    committer: Committer,
    encryption: Encryption,
    stop_server: CancellationToken,
    server: JoinHandle<()>,
    stop_upkeep: CancellationToken,
    upkeep: JoinHandle<()>,
    background: JoinHandle<()>,
    recall: JoinHandle<()>,
    stop_post: CancellationToken,
    post: JoinHandle<()>,
    embedding: JoinHandle<()>,
    stop_maintenance: CancellationToken,
    maintenance: JoinHandle<Result<()>>,
    /// However the node ends, its commit thread does.
    stop_commits: DropGuard,
    commits: JoinHandle<Result<()>>,
    _cpus: [Cpu; 2],
    _lock: Option<FolderLock>,
}

/// How the memory of a node is divided: shares of a hundred.
struct Shares {
    columns: u64,
    postings: u64,
    ranges: u64,
    queries: u64,
    filters: u64,
}

const SHARES: Shares = Shares { columns: 30, postings: 20, ranges: 5, queries: 30, filters: 2 };

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
        let origin = Origin::of(&writer.manifest)?;
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

        let cpu = Cpu::start("nearlake-cpu", threads())?;
        let upkeep_cpu = Cpu::start("nearlake-upkeep", UPKEEP_THREADS)?;
        let supervisor = Supervisor::new(Arc::clone(&clock), Arc::clone(&metrics));
        let upkeep = {
            let (states, committer) = (Arc::clone(&states), committer.clone());
            let (clock, metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
            let stop = stop_upkeep.clone();
            let upkeep = move || {
                let (clock, metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
                Upkeep::new(Arc::clone(&states), committer.clone(), clock, metrics)
                    .run(stop.clone())
            };
            supervisor.clone().keep("upkeep", stop_upkeep.clone(), upkeep)
        };
        let upkeep = upkeep_cpu.handle.spawn(upkeep);
        let builds = Builds::new(
            segments.clone(),
            Arc::clone(&postings),
            committer.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        );
        let background = {
            let (states, committer) = (Arc::clone(&states), committer.clone());
            let (maintenance, clock) = (maintenance.clone(), Arc::clone(&clock));
            let (builds, stop) = (Arc::clone(&builds), stop_upkeep.clone());
            let background = move || {
                Background::new(
                    Arc::clone(&states),
                    committer.clone(),
                    maintenance.clone(),
                    Arc::clone(&clock),
                    Arc::clone(&builds),
                    Limits::default_of(threads()),
                )
                .run(stop.clone())
            };
            supervisor.keep("builds", stop_upkeep.clone(), background)
        };
        let background = upkeep_cpu.handle.spawn(background);

        let (recall, recall_task) =
            Recall::new(Arc::clone(&states), Arc::clone(&metrics), Arc::clone(&clock), threads());
        let recall_task = cpu.handle.spawn(recall_task.run(stop_upkeep.clone()));

        let answers = usize::try_from(share(SHARES.filters)).unwrap_or(usize::MAX);
        let answers = Arc::new(Answers::new(answers, Arc::clone(&clock)));
        let queries = query_memory(share(SHARES.queries));
        let runner =
            runner(Arc::clone(&queries), &cpu.handle, &metrics, recall, Arc::clone(&answers))?;
        let pressure = Pressure::new(
            Arc::clone(&states),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            PressureOptions {
                unindexed_rows_max: config.unindexed_rows_max,
                flush_bytes: config.checkpoint_size,
            },
        );
        let observed_segments = segments.clone();
        let spill = Spill { segments, bytes_max: SPILL_BYTES };
        let embedder = embedder(&config, &metrics, &clock)?;
        let engine = Engine::new(
            Arc::clone(&states),
            committer.clone(),
            pressure,
            runner,
            Services { spill, maintenance, builds, embedder, hub: hub(&config) },
            Arc::clone(&metrics),
            Arc::clone(&clock),
        );
        engine.drop_leftovers().await?;
        let stop_post = CancellationToken::new();
        let parts = PostParts {
            states: Arc::clone(&states),
            committer: committer.clone(),
            segments: observed_segments.clone(),
            store: store.clone(),
            judge: Conditions::new(Arc::clone(&engine)),
            reach: if config.webhook_allow_private { Reach::Private } else { Reach::Public },
            io: Handle::current(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
        };
        let post = cpu.handle.spawn(Post::new(parts, origin)?.run(stop_post.clone()));
        let embedding = EmbeddingWorker::new(Arc::clone(&engine));
        let embedding = cpu.handle.spawn(embedding.run(stop_upkeep.clone()));
        set_password(&config, &engine, &committer, &clock).await?;

        let encryption = encryption(&config)?;
        let options = server::Options {
            connections_max: config.max_connections,
            authentication_timeout: config.auth_timeout,
            shutdown_grace: config.shutdown_timeout,
            encryption: encryption.clone(),
            clock: Arc::clone(&clock),
            ..server::Options::default()
        };
        let server = Server::bind(config.pg_listen, options, Arc::clone(&engine)).await?;
        let pg_addr = server.local_addr();
        let stop_server = CancellationToken::new();
        tell_limits(&metrics, &config);
        let counters = server.counters();
        let server = tokio::spawn(server.run(stop_server.clone()));

        let checks =
            NodeChecks::new(store.clone(), Arc::clone(&engine), Arc::clone(&metrics), writer.id);
        let namespaces = Namespaces::new(Arc::clone(&engine), Arc::clone(&clock));
        let options = http_options(&config, &encryption);
        let api = Api::new(
            Arc::clone(&namespaces),
            Arc::clone(&engine),
            Arc::clone(&clock),
            options.clone(),
        );
        let state = http::State {
            checks,
            metrics: Arc::clone(&metrics),
            api: Some(api),
            clock: Arc::clone(&clock),
        };
        let sidecar = Sidecar::start(config.http_listen, state, &options).await?;
        let observed = Observed {
            metrics,
            counters,
            http: sidecar.connections(),
            engine: Arc::clone(&engine),
            segments: observed_segments,
            answers,
            postings,
            queries,
            store,
            committer: committer.clone(),
            clock: Arc::clone(&clock),
        };
        tokio::spawn(observed.run(stop_server.clone()));
        Ok(Self {
            pg_addr,
            sidecar,
            namespaces,
            grace: config.shutdown_timeout,
            clock,
            engine,
            committer,
            encryption,
            stop_server,
            server,
            stop_upkeep,
            upkeep,
            background,
            recall: recall_task,
            stop_post,
            post,
            embedding,
            stop_maintenance,
            maintenance: maintenance_handle,
            stop_commits: stop_commits.drop_guard(),
            commits,
            _cpus: [cpu, upkeep_cpu],
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

    /// Takes over what may change while a node runs, and disturbs nobody who is connected: the
    /// filter of the log, the certificate and its key, the password of `postgres`. Everything is
    /// tried; what cannot be used leaves what was before.
    ///
    /// # Errors
    /// The first fault, after the others were logged.
    pub async fn reload(&self, config: &Config) -> Result<()> {
        let filter = telemetry::configure_log_filter(&config.log_filter);
        let certificate = self.encryption.identity().map_or(Ok(()), |identity| identity.reload());
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
        ended(self.background.await)?;
        ended(self.recall.await)?;
        self.stop_post.cancel();
        ended(self.post.await)?;
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

/// Threads for upkeep and builds: one step of an index that takes long keeps neither the others nor the
/// builds waiting.
const UPKEEP_THREADS: usize = 3;

/// Plans compute on threads of their own, so that a heavy one never keeps a connection waiting; so
/// does the upkeep of indexes, so that it never keeps a plan waiting.
/// Whoever drops them does not wait for what still runs on them.
#[derive(Debug)]
struct Cpu {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Cpu {
    fn start(name: &str, threads: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
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

/// The memory that running statements share.
fn query_memory(bytes: u64) -> Arc<dyn MemoryPool> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let consumers = NonZeroUsize::new(3).expect("three is not zero");
    Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), consumers))
}

fn runner(
    memory: Arc<dyn MemoryPool>,
    cpu: &Handle,
    metrics: &Arc<Metrics>,
    recall: Arc<Recall>,
    answers: Arc<Answers>,
) -> Result<Runner> {
    let environment = RuntimeEnvBuilder::new()
        .with_memory_pool(memory)
        .build_arc()
        .map_err(crate::sql::error::from_datafusion)?;
    Ok(Runner::new(environment, cpu.clone(), threads(), Arc::clone(metrics), recall, answers))
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

/// What clients find that ask for encryption, on both ports.
fn encryption(config: &Config) -> Result<Encryption> {
    let read = |cert, key| Identity::read(cert, key).map(Arc::new);
    Ok(match config.tls() {
        Tls::Off => Encryption::None,
        Tls::Offered { cert, key } => Encryption::Offered(read(cert, key)?),
        Tls::Required { cert, key } => Encryption::Required(read(cert, key)?),
    })
}

fn http_options(config: &Config, encryption: &Encryption) -> http::Options {
    let http = &config.http;
    http::Options {
        encryption: encryption.clone(),
        open_health: http.open_health,
        open_metrics: http.open_metrics,
        origins: http.origins.clone(),
        rate_max: (http.rate_limit > 0).then_some(http.rate_limit),
        request_time_max: http.timeout,
        connections_max: http.max_connections,
        body_bytes_max: usize::try_from(http.max_body).unwrap_or(usize::MAX),
    }
}

/// What metrics are compared with.
fn tell_limits(metrics: &Metrics, config: &Config) {
    metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    metrics.memory_limit_bytes.set(i64::try_from(config.memory).unwrap_or(i64::MAX));
    metrics.connections_limit.set(i64::try_from(config.max_connections).unwrap_or(i64::MAX));
}
