//! What the catalog's relations show of a server that runs, seen from a session.

use super::SessionContext;
use crate::{
    catalog::pg,
    exec::build::is_searched,
    ids::Oid,
    session::webhook,
    sql::{ActivityRow, Context, SettingRow},
};
use std::sync::Arc;

impl SessionContext {
    /// From where this session looks at the catalog's relations.
    pub(in crate::session) fn view(self: &Arc<Self>) -> pg::View {
        pg::View {
            catalog: self.catalog(),
            database: self.database,
            user: self.user(),
            live: Arc::new(LiveView(Arc::clone(self))),
        }
    }
}

/// A session as the catalog's relations see it.
#[derive(Debug)]
struct LiveView(Arc<SessionContext>);

impl pg::Live for LiveView {
    fn settings(&self) -> Vec<SettingRow> {
        self.0.settings()
    }

    fn activity(&self) -> Vec<ActivityRow> {
        self.0.activity()
    }

    fn relation_size(&self, relation: Oid) -> u64 {
        self.0.relation_size(relation)
    }

    fn live_rows(&self, table: Oid) -> u64 {
        self.0.live_rows(table)
    }

    fn embedding(&self) -> Vec<pg::EmbeddingRow> {
        self.0.engine.embedding.rows(&self.0.engine)
    }

    fn loaded_models(&self) -> Vec<Oid> {
        self.0.engine.services.embedder.loaded()
    }

    fn recall(&self) -> Vec<pg::RecallRow> {
        self.0.engine.runner.recall().rows()
    }

    fn builds(&self) -> Vec<pg::BuildRow> {
        self.0.engine.builds().progress().rows()
    }

    fn is_built(&self, index: Oid) -> bool {
        let snapshot = self.0.current();
        let catalog = snapshot.catalog();
        let Some(entry) = catalog.index(index) else { return false };
        let Some(table) = catalog.table(entry.table) else { return false };
        // One that is recorded only is as built as it ever will be.
        snapshot.index(index).is_some() || !is_searched(entry, table)
    }

    fn webhook(&self, webhook: Oid) -> pg::WebhookStat {
        webhook::stat(self.0.engine.states.events(), webhook)
    }

    fn deliveries(&self, webhook: Oid) -> Vec<pg::DeliveryRow> {
        webhook::deliveries(self.0.engine.states.events(), webhook)
    }

    fn prepared(&self) -> Vec<pg::PreparedRow> {
        self.0.held.prepared()
    }

    fn cursors(&self) -> Vec<pg::CursorRow> {
        self.0.held.cursors()
    }

    fn statements(&self) -> Vec<pg::StatementRow> {
        self.0.engine.statements.rows()
    }
}
