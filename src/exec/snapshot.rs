//! What one statement sees: the committed picture that it took at its start, with what its own
//! transaction did laid over it.

use super::state::DbState;
use crate::{
    catalog::Catalog,
    ids::{IndexId, RowId, TableId},
    index::Index,
    storage::table::TableState,
};
use roaring::RoaringTreemap;
use std::{collections::HashMap, sync::Arc};

/// A snapshot. Plans find theirs among the extensions of the session's configuration.
#[derive(Debug, Clone)]
pub struct Snapshot {
    state: Arc<DbState>,
    catalog: Arc<Catalog>,
    overlays: HashMap<TableId, TableState>,
    built: HashMap<IndexId, Index>,
}

impl Snapshot {
    /// A snapshot of committed state alone.
    #[must_use]
    pub fn committed(state: Arc<DbState>) -> Self {
        let catalog = Arc::clone(&state.catalog);
        Self { state, catalog, overlays: HashMap::new(), built: HashMap::new() }
    }

    /// Names alone: what a session keeps between its transactions, so that rows and indexes that
    /// others replace meanwhile need not be kept for it.
    #[must_use]
    pub fn of_names(catalog: Arc<Catalog>) -> Self {
        Self::committed(Arc::new(DbState { catalog, ..DbState::empty() }))
    }

    /// The same under a transaction's own names, rows and indexes.
    pub(super) fn under(
        state: Arc<DbState>,
        catalog: Arc<Catalog>,
        overlays: HashMap<TableId, TableState>,
        built: HashMap<IndexId, Index>,
    ) -> Self {
        Self { state, catalog, overlays, built }
    }

    /// The names.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The committed picture below.
    #[must_use]
    pub fn committed_state(&self) -> &Arc<DbState> {
        &self.state
    }

    /// The rows of a table, the transaction's own among them.
    #[must_use]
    pub fn table(&self, id: TableId) -> TableState {
        self.overlays.get(&id).cloned().unwrap_or_else(|| self.state.table(id))
    }

    /// The same without some rows of a table.
    #[must_use]
    pub fn without(&self, id: TableId, rows: &RoaringTreemap) -> Self {
        let mut less = self.clone();
        less.overlays.insert(id, self.table(id).delete(rows));
        less
    }

    /// The first row id of the transaction's own rows in a table.
    #[must_use]
    pub fn first_own_row(&self, id: TableId) -> RowId {
        self.state.table(id).next_row()
    }

    /// A vector index, if it is built.
    #[must_use]
    pub fn index(&self, id: IndexId) -> Option<&Index> {
        self.catalog.index(id)?;
        let committed = || self.state.indexes.get(&id).filter(|index| index.is_whole());
        self.built.get(&id).or_else(committed)
    }
}
