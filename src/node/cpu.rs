//! The threads that compute, apart from those that answer.

use super::turns;
use crate::error::{Error, Result};
use std::num::NonZeroUsize;
use tokio::runtime::{Handle, Runtime};

/// Threads for upkeep and builds: one step of an index that takes long keeps neither the others nor the
/// builds waiting.
const UPKEEP_THREADS: usize = 3;

/// Plans compute on threads of their own, so that a heavy one never keeps a connection waiting; so
/// does the upkeep of indexes, so that it never keeps a plan waiting.
#[derive(Debug)]
pub(super) struct Cpus {
    pub(super) plans: Cpu,
    pub(super) upkeep: Cpu,
}

impl Cpus {
    pub(super) fn start() -> Result<Self> {
        Ok(Self {
            plans: Cpu::start("nearlake-cpu", threads(), || {})?,
            upkeep: Cpu::start("nearlake-upkeep", UPKEEP_THREADS, turns::for_upkeep)?,
        })
    }
}

/// Threads of one kind. Whoever drops them does not wait for what still runs on them.
#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) handle: Handle,
    runtime: Option<Runtime>,
}
impl Cpu {
    fn start(name: &str, threads: usize, on_thread_start: fn()) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .on_thread_start(on_thread_start)
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
/// How many threads compute at a time.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, NonZeroUsize::get)
}
