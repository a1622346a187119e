//! The middle floor: what statements of all doors share, and who waits on it.

use super::{
    behind::Behind,
    cpu::{Cpus, threads},
    ground::Ground,
    setup::Setup,
    turns,
};
use crate::{
    embed::{self, Embedder, Hub},
    error::Result,
    exec::{
        events::{Origin, Post, PostParts},
        nearest::Answers,
        pressure::{Pressure, PressureOptions},
        recall::Recall,
        run::Runner,
        spill::Spill,
    },
    session::{Conditions, EmbeddingWorker, Engine, Services},
    webhook::address::Reach,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use std::sync::Arc;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// From this size on a transaction's rows are written before it commits.
const SPILL_BYTES: u64 = 64 << 20;

/// What sessions share, and the tasks that act as sessions do.
pub(super) struct Middle {
    pub(super) engine: Arc<Engine>,
    pub(super) answers: Arc<Answers>,
    pub(super) stop_post: CancellationToken,
    pub(super) post: JoinHandle<()>,
    pub(super) embedding: JoinHandle<()>,
}

impl Middle {
    pub(super) async fn start(
        setup: &Setup,
        ground: &Ground,
        behind: &Behind,
        origin: Origin,
        cpus: &Cpus,
    ) -> Result<Self> {
        let Setup { config, memory, clock, metrics } = setup;
        let answers = Arc::new(Answers::new(memory.filters, Arc::clone(clock)));
        let runner = runner(setup, &cpus.plans.handle, &behind.recall, &answers)?;
        let options = PressureOptions {
            unindexed_rows_max: config.unindexed_rows_max,
            flush_bytes: config.checkpoint_size,
        };
        let pressure = Pressure::new(
            Arc::clone(&ground.states),
            Arc::clone(clock),
            Arc::clone(metrics),
            options,
        );
        let services = Services {
            spill: Spill { segments: ground.segments.clone(), bytes_max: SPILL_BYTES },
            maintenance: behind.maintenance.clone(),
            builds: Arc::clone(&behind.builds),
            embedder: embedder(setup)?,
            hub: Hub { endpoint: config.hub_endpoint.clone(), folder: config.models_dir.clone() },
        };
        let engine = Engine::new(
            Arc::clone(&ground.states),
            ground.committer.clone(),
            pressure,
            runner,
            services,
            Arc::clone(metrics),
            Arc::clone(clock),
        );
        engine.drop_leftovers().await?;
        let post = Post::new(post_parts(setup, ground, &engine), origin)?;
        let stop_post = CancellationToken::new();
        let post = cpus.plans.handle.spawn(post.run(stop_post.clone()));
        let embedding = EmbeddingWorker::new(Arc::clone(&engine)).run(behind.tasks.stop.clone());
        let embedding = cpus.plans.handle.spawn(embedding);
        Ok(Self { engine, answers, stop_post, post, embedding })
    }
}

fn runner(
    Setup { memory, metrics, .. }: &Setup,
    cpu: &Handle,
    recall: &Arc<Recall>,
    answers: &Arc<Answers>,
) -> Result<Runner> {
    let environment = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(&memory.queries))
        .build_arc()
        .map_err(crate::sql::error::from_datafusion)?;
    let (metrics, recall, answers) = (Arc::clone(metrics), Arc::clone(recall), Arc::clone(answers));
    Ok(Runner::new(environment, cpu.clone(), threads(), metrics, recall, answers))
}

fn embedder(Setup { config, clock, metrics, .. }: &Setup) -> Result<Arc<Embedder>> {
    let options = embed::Options {
        runtime: config.onnxruntime.clone(),
        threads: config.embed_threads,
        on_thread_start: turns::for_models,
        ..embed::Options::default()
    };
    Embedder::start(options, Arc::clone(metrics), Arc::clone(clock))
}

fn post_parts(setup: &Setup, ground: &Ground, engine: &Arc<Engine>) -> PostParts {
    let is_private = setup.config.webhook_allow_private;
    PostParts {
        states: Arc::clone(&ground.states),
        committer: ground.committer.clone(),
        segments: ground.segments.clone(),
        store: ground.store.clone(),
        judge: Conditions::new(Arc::clone(engine)),
        reach: if is_private { Reach::Private } else { Reach::Public },
        io: Handle::current(),
        metrics: Arc::clone(&setup.metrics),
        clock: Arc::clone(&setup.clock),
    }
}
