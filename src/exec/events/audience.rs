//! Who is told of a table's rows, and which of their columns.

use super::payload::Rendered;
use crate::{
    catalog::{
        Table, Webhook,
        webhook::{Carried, EventKind, Terms, carried_columns},
    },
    error::{Error, Result},
    ids::ColumnId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A webhook that is told of a table's rows, and its events in the making.
pub(super) struct Audience {
    pub(super) webhook: Arc<Webhook>,
    pub(super) rows: BTreeSet<ColumnId>,
    pub(super) old: BTreeSet<ColumnId>,
    pub(super) terms: Terms,
    pub(super) open: BTreeMap<EventKind, Open>,
    /// Rows whose condition failed, and how.
    pub(super) failed: Option<(u64, Error)>,
}

/// The rows of an event that is not closed yet.
#[derive(Default)]
pub(super) struct Open {
    pub(super) count: usize,
    pub(super) rows: String,
}

impl Audience {
    pub(super) fn new(webhook: &Arc<Webhook>, table: &Table) -> Result<Self> {
        let terms = webhook.terms()?;
        Ok(Self {
            rows: carried_columns(terms.rows, table),
            old: carried_columns(terms.old_rows, table),
            webhook: Arc::clone(webhook),
            terms,
            open: BTreeMap::new(),
            failed: None,
        })
    }

    pub(super) fn wants(&self, kind: EventKind) -> bool {
        self.webhook.wants(kind, self.webhook.table.unwrap_or_default())
    }

    /// The member `old` of a row; nothing where it is not asked for.
    pub(super) fn old_json(&self, rendered: &Rendered<'_>, at: usize) -> String {
        match self.terms.old_rows {
            Carried::Nothing => String::new(),
            _ => format!("\"old\":{}", rendered.row(at, &self.old)),
        }
    }
}
