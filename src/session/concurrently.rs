//! CONCURRENTLY. CREATE INDEX commits the index's name first, and then waits until the index is built in
//! the background; the other statements block nobody in any case.

use super::Session;
use crate::{
    catalog::{Change, Index},
    error::{Error, Result, SqlState},
    exec::{
        build::{Builds, is_searched},
        commit::{Commit, Committer},
        run::cancelled,
        state::States,
        write::Env,
    },
    ids::IndexId,
    sql::{
        Context,
        utility::{ObjectKind, Utility},
    },
};
use std::sync::Arc;

/// What a transaction block refuses of a statement.
pub(super) fn concurrent(statement: &Utility) -> Option<&'static str> {
    match statement {
        Utility::CreateIndex(create) if create.concurrently => Some("CREATE INDEX CONCURRENTLY"),
        Utility::Drop(drop) if drop.concurrently => Some("DROP INDEX CONCURRENTLY"),
        Utility::Reindex { concurrently: true, .. } => Some("REINDEX CONCURRENTLY"),
        Utility::Reindex { object: ObjectKind::Schema, .. } => Some("REINDEX SCHEMA"),
        Utility::Reindex { object: ObjectKind::Database, .. } => Some("REINDEX DATABASE"),
        Utility::Reindex { object: ObjectKind::System, .. } => Some("REINDEX SYSTEM"),
        _ => None,
    }
}

/// The index that a statement named.
pub(super) fn named_index(changes: &[Change]) -> Option<Arc<Index>> {
    changes.iter().find_map(|change| match change {
        Change::Index(index) => Some(Arc::clone(index)),
        _ => None,
    })
}

impl Session {
    /// Commits the name of an index and waits until it is built. When the wait is cancelled or the
    /// build fails, the name is taken back. Where the client or the server goes away, the build goes
    /// on.
    pub(super) async fn build_behind(&mut self, index: &Index, env: &Env) -> Result<()> {
        let builds = Arc::clone(&env.builds);
        builds.want(index.id, self.context.process_id(), env.limits);
        let _waits = Waits { builds: Arc::clone(&builds), index: index.id };
        self.end(true).await?;
        let states = Arc::clone(&self.engine.states);
        let ended = tokio::select! {
            ended = until_built(&states, index) => ended,
            error = builds.failure(index.id) => Err(error),
            () = env.run.cancel().cancelled() => Err(cancelled()),
        };
        if ended.is_err() {
            let committer = self.engine.committer.clone();
            take_back(&committer, index.id).await?;
        }
        ended
    }
}

/// Waits until searches go by an index.
async fn until_built(states: &States, index: &Index) -> Result<()> {
    let mut changes = states.changes();
    loop {
        changes.mark_unchanged();
        let state = states.snapshot();
        let table = state.catalog.table(index.table);
        if state.catalog.index(index.id).is_none() {
            let message = format!("index \"{}\" was dropped while it was built", index.name);
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let is_searched = table.is_some_and(|table| is_searched(index, table));
        if !is_searched || state.indexes.get(&index.id).is_some_and(|built| built.is_whole()) {
            return Ok(());
        }
        drop(state);
        if changes.changed().await.is_err() {
            return Err(Error::new(SqlState::ADMIN_SHUTDOWN, "the node is stopping"));
        }
    }
}

async fn take_back(committer: &Committer, index: IndexId) -> Result<()> {
    let commit = Commit { changes: vec![Change::DropIndex(index)], ..Commit::default() };
    committer.commit(commit).await.map(drop)
}

/// A statement that waits for a build, as long as it does.
struct Waits {
    builds: Arc<Builds>,
    index: IndexId,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.builds.forget(self.index);
    }
}
