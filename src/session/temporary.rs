//! The session's temporary relations: what COMMIT does to them, and their end.

use super::{Engine, Session};
use crate::{
    catalog::{Catalog, Change, OnCommit, Schema, Table, temporary_schema},
    error::Result,
    exec::{
        locks::Party,
        transaction::{Isolation, Transaction},
    },
    sql::Context,
};
use std::sync::Arc;

impl Engine {
    /// Ends what sessions of an earlier run left behind. Called before any session begins.
    ///
    /// # Errors
    /// Those of the commit.
    pub async fn drop_leftovers(&self) -> Result<()> {
        let catalog = self.catalog();
        let left = catalog.schemas().filter(|schema| schema.is_temporary());
        let changes = left.flat_map(|schema| catalog.end_of_schema(schema.id)).collect();
        self.commit_changes(changes).await
    }

    /// Drops tables that are no user's.
    pub(super) async fn drop_tables(&self, tables: Vec<crate::ids::TableId>) -> Result<()> {
        self.commit_changes(tables.into_iter().map(Change::DropTable).collect()).await
    }

    async fn commit_changes(&self, changes: Vec<Change>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let (states, locks) = (Arc::clone(&self.states), Arc::clone(&self.locks));
        let (party, isolation) = (Party::next(), Isolation::ReadCommitted);
        let mut transaction = Transaction::begin(states, locks, party, isolation, false);
        transaction.change(changes);
        transaction.commit(&self.committer).await.map(drop)
    }
}

impl Session {
    /// The client is gone: what was open is rolled back, what was temporary ends. What cannot be
    /// written any more ends at the next start.
    pub async fn close(&mut self) {
        // A function may still wait in a plan whose rows nobody reads any more.
        self.context.canceller.cancel();
        self.abandon();
        let changes = self.end_of_temporary(&self.engine.catalog());
        if let Err(error) = self.engine.commit_changes(changes).await {
            tracing::warn!(%error, "temporary relations stay until the next start");
        }
    }

    /// DISCARD TEMP.
    pub(super) fn discard_temporary(&mut self) {
        let catalog = self.open_transaction().catalog();
        let changes = self.end_of_temporary(&catalog);
        self.open_transaction().change(changes);
    }

    /// ON COMMIT of the session's temporary tables.
    pub(super) fn on_commit(&self, transaction: &mut Transaction) {
        if !transaction.has_written() {
            return;
        }
        let catalog = transaction.catalog();
        let Some(schema) = self.temporary_schema(&catalog) else { return };
        let tables: Vec<Arc<Table>> =
            catalog.tables().filter(|table| table.schema == schema.id).cloned().collect();
        for table in tables {
            match table.on_commit {
                Some(OnCommit::Drop) => transaction.change(catalog.end_of_table(table.id)),
                Some(OnCommit::DeleteRows)
                    if transaction.snapshot().table(table.id).live_rows() > 0 =>
                {
                    transaction.truncate(&table);
                }
                _ => {}
            }
        }
    }

    fn end_of_temporary(&self, catalog: &Catalog) -> Vec<Change> {
        let schema = self.temporary_schema(catalog);
        schema.map_or_else(Vec::new, |schema| catalog.end_of_schema(schema.id))
    }

    fn temporary_schema<'c>(&self, catalog: &'c Catalog) -> Option<&'c Arc<Schema>> {
        let name = temporary_schema(self.context.process_id());
        catalog.schema_named(self.context.database(), &name)
    }
}
