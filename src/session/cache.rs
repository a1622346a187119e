//! The statements that a session parsed and prepared before. Drivers send the same few texts over
//! and over, many of them without a name.

use super::{Prepared, Statement};
use crate::pgtype::PgType;
use std::{collections::HashMap, sync::Arc};

/// How many texts are kept; the one that was not used for longest goes first.
const TEXTS_MAX: usize = 64;

/// Longer texts are mostly data, and come once.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// Messages of one statement, by their text.
#[derive(Debug, Default)]
pub(super) struct StatementCache {
    texts: HashMap<Box<str>, Known>,
    /// Counts the uses.
    clock: u64,
}

#[derive(Debug)]
struct Known {
    statement: Statement,
    /// By the types that the client declared.
    prepared: Vec<(Vec<Option<PgType>>, Arc<Prepared>)>,
    used: u64,
}

impl StatementCache {
    /// The statement of a text that was parsed before.
    pub(super) fn parsed(&mut self, text: &str) -> Option<Statement> {
        self.clock += 1;
        let known = self.texts.get_mut(text)?;
        known.used = self.clock;
        Some(known.statement.clone())
    }

    /// Remembers what a text is.
    pub(super) fn remember(&mut self, text: &str, statements: &[Statement]) {
        let [statement] = statements else { return };
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.texts.len() >= TEXTS_MAX
            && let Some(oldest) = self.texts.iter().min_by_key(|(_, known)| known.used)
        {
            let oldest = oldest.0.clone();
            self.texts.remove(&oldest);
        }
        let (statement, used) = (statement.clone(), self.clock);
        self.texts.insert(text.into(), Known { statement, prepared: Vec::new(), used });
    }

    /// What was prepared of a statement before, for the same declared types.
    pub(super) fn prepared(
        &self,
        statement: &Statement,
        types: &[Option<PgType>],
    ) -> Option<Arc<Prepared>> {
        let known = self.texts.get(statement.message())?;
        let (_, prepared) = known.prepared.iter().find(|(declared, _)| declared == types)?;
        Some(Arc::clone(prepared))
    }

    /// Remembers what was prepared of a statement, if its text is remembered.
    pub(super) fn keep(
        &mut self,
        statement: &Statement,
        types: &[Option<PgType>],
        prepared: &Arc<Prepared>,
    ) {
        if let Some(known) = self.texts.get_mut(statement.message()) {
            known.prepared.retain(|(declared, _)| declared != types);
            known.prepared.truncate(3);
            known.prepared.insert(0, (types.to_vec(), Arc::clone(prepared)));
        }
    }

    /// DISCARD PLANS.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
    }
}
