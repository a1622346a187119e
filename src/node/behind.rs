//! What goes on behind statements: checkpoints, upkeep and builds of indexes, the measuring of
//! recall.

use super::{
    cpu::{Cpus, threads},
    ground::Ground,
    setup::Setup,
};
use crate::{
    error::Result,
    exec::{
        build::{Background, Builds, Limits},
        checkpoint::Checkpointer,
        maintenance::{Maintenance, MaintenanceOptions, MaintenanceTask},
        recall::Recall,
        supervise::Supervisor,
        upkeep::Upkeep,
    },
};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// By what statements reach it, and its tasks.
pub(super) struct Behind {
    pub(super) maintenance: Maintenance,
    pub(super) builds: Arc<Builds>,
    pub(super) recall: Arc<Recall>,
    pub(super) tasks: Tasks,
}

/// The tasks behind statements.
#[derive(Debug)]
pub(super) struct Tasks {
    /// Stops all but maintenance, which has a last checkpoint to write when all others are still.
    pub(super) stop: CancellationToken,
    pub(super) upkeep: JoinHandle<()>,
    pub(super) builds: JoinHandle<()>,
    pub(super) recall: JoinHandle<()>,
    pub(super) stop_maintenance: CancellationToken,
    pub(super) maintenance: JoinHandle<Result<()>>,
}

impl Behind {
    pub(super) fn start(
        setup: &Setup,
        ground: &Ground,
        checkpointer: Checkpointer,
        cpus: &Cpus,
    ) -> Self {
        let Setup { clock, metrics, .. } = setup;
        let states = &ground.states;
        let (stop, stop_maintenance) = (CancellationToken::new(), CancellationToken::new());
        let (maintenance, task) = maintenance(setup, ground, checkpointer);
        let maintenance_task = tokio::spawn(task.run(stop_maintenance.clone()));
        let supervisor = Supervisor::new(Arc::clone(clock), Arc::clone(metrics));
        let upkeep = cpus.upkeep.handle.spawn(upkeep(setup, ground, &supervisor, &stop));
        let builds = Builds::new(
            ground.segments.clone(),
            Arc::clone(&ground.postings),
            ground.committer.clone(),
            Arc::clone(clock),
            Arc::clone(metrics),
        );
        let background = {
            let (states, committer) = (Arc::clone(states), ground.committer.clone());
            let (maintenance, clock) = (maintenance.clone(), Arc::clone(clock));
            let (builds, inner) = (Arc::clone(&builds), stop.clone());
            let background = move || {
                Background::new(
                    Arc::clone(&states),
                    committer.clone(),
                    maintenance.clone(),
                    Arc::clone(&clock),
                    Arc::clone(&builds),
                    Limits::default_of(threads()),
                )
                .run(inner.clone())
            };
            supervisor.keep("builds", stop.clone(), background)
        };
        let background = cpus.upkeep.handle.spawn(background);
        let (recall, task) =
            Recall::new(Arc::clone(states), Arc::clone(metrics), Arc::clone(clock), threads());
        let recall_task = cpus.plans.handle.spawn(task.run(stop.clone()));
        let tasks = Tasks {
            stop,
            upkeep,
            builds: background,
            recall: recall_task,
            stop_maintenance,
            maintenance: maintenance_task,
        };
        Self { maintenance, builds, recall, tasks }
    }
}

fn maintenance(
    Setup { config, clock, metrics, .. }: &Setup,
    ground: &Ground,
    checkpointer: Checkpointer,
) -> (Maintenance, MaintenanceTask) {
    let options = MaintenanceOptions {
        memtable_bytes_max: config.checkpoint_size,
        checkpoint_every: config.checkpoint_interval,
        ..MaintenanceOptions::default()
    };
    Maintenance::new(
        checkpointer,
        Arc::clone(&ground.states),
        Arc::clone(clock),
        Arc::clone(metrics),
        options,
    )
}

fn upkeep(
    Setup { clock, metrics, .. }: &Setup,
    ground: &Ground,
    supervisor: &Supervisor,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (states, committer) = (Arc::clone(&ground.states), ground.committer.clone());
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    let inner = stop.clone();
    let upkeep = move || {
        let (clock, metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
        Upkeep::new(Arc::clone(&states), committer.clone(), clock, metrics).run(inner.clone())
    };
    supervisor.clone().keep("upkeep", stop.clone(), upkeep)
}
