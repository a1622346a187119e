//! What a statement hands to other tasks stays its own: within its span, and counted among its reads.
//!
//! Both are known to the task that runs the statement. A task that it begins knows neither unless they go
//! along; DataFusion begins many, and asks us what each is to take with it.

use crate::storage::reads::Reads;
use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::{FutureExt as _, future::BoxFuture};
use std::any::Any;
use tracing::{Instrument as _, Span};

/// A work for another task, as a part of the statement that the running task works for.
pub(super) fn errand<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let reads = Reads::current();
    async move {
        match reads {
            Some(reads) => reads.within(work).await,
            None => work.await,
        }
    }
    .in_current_span()
}

/// Makes errands of all tasks that plans begin. Doing so again changes nothing.
pub(super) fn of_plans() {
    // The only fault is that it was done before.
    let _ = set_join_set_tracer(&OfPlans);
}

struct OfPlans;

type Erased = Box<dyn Any + Send>;

impl JoinSetTracer for OfPlans {
    fn trace_future(&self, work: BoxFuture<'static, Erased>) -> BoxFuture<'static, Erased> {
        errand(work).boxed()
    }

    fn trace_block(
        &self,
        work: Box<dyn FnOnce() -> Erased + Send>,
    ) -> Box<dyn FnOnce() -> Erased + Send> {
        let (reads, span) = (Reads::current(), Span::current());
        Box::new(move || {
            span.in_scope(|| match reads {
                Some(reads) => reads.within_step(work),
                None => work(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::reads;
    use datafusion::common::runtime::{JoinSet, SpawnedTask};
    use std::sync::Arc;

    #[tokio::test]
    async fn tasks_of_a_statement_count_for_it() {
        of_plans();
        of_plans();
        let mine = Arc::new(Reads::default());
        let work = async {
            let ours = tokio::spawn(errand(async { reads::near(1) }));
            let theirs = SpawnedTask::spawn(async { reads::far(10) });
            let mut set = JoinSet::new();
            set.spawn_blocking(|| reads::near(100));
            ours.await.unwrap();
            theirs.await.unwrap();
            set.join_next().await.unwrap().unwrap();
        };
        Arc::clone(&mine).within(work).await;
        tokio::spawn(errand(async { reads::near(1000) })).await.unwrap();
        let counts = mine.counts();
        assert_eq!((counts.near, counts.far), (101, 10));
    }
}
