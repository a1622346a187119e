//! LOCK TABLE, and which tables a statement of maintenance means.

use super::until;
use crate::{
    catalog::{Catalog, Privileges},
    error::{Error, Result, SqlState},
    exec::locks::{Mode, Target},
    ids::Oid,
    session::Session,
    sql::{Context, utility::Name},
};
use tokio_util::sync::CancellationToken;

impl Session {
    pub(super) async fn lock_tables(
        &mut self,
        names: &[Name],
        mode: &str,
        wait: bool,
        cancel: &CancellationToken,
    ) -> Result<()> {
        if !self.in_block() {
            return Err(Error::new(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "LOCK TABLE can only be used in transaction blocks",
            ));
        }
        let mode = mode.to_ascii_lowercase();
        let mut allows = Privileges::UPDATE
            .and(Privileges::DELETE)
            .and(Privileges::TRUNCATE)
            .and(Privileges::MAINTAIN);
        let mode = match mode.as_str() {
            "access share" | "row share" | "row exclusive" => {
                allows = allows.and(Privileges::INSERT);
                if mode == "access share" {
                    allows = allows.and(Privileges::SELECT);
                }
                Mode::Shared
            }
            _ => Mode::Exclusive,
        };
        let mut held = Vec::new();
        loop {
            // A lock wants no snapshot: the first statement after it sees what is there by then.
            let catalog = self.open_transaction().newest_catalog();
            let tables = self.tables_of(&catalog, names)?;
            for table in &tables {
                catalog.check_any(self.context.user(), *table, allows)?;
            }
            // While it waited the names may have become those of other tables, or of none.
            if tables == held {
                return Ok(());
            }
            let timeout = self.context.lock_timeout();
            let transaction = self.open_transaction();
            let (locks, owner) = (transaction.locks(), transaction.owner());
            for (table, name) in tables.iter().zip(names) {
                let target = Target::Table(*table);
                if wait {
                    until(cancel, locks.acquire(owner, target, mode, timeout)).await?;
                } else if locks.try_acquire(owner, &target, mode).is_none() {
                    return Err(Error::new(
                        SqlState::LOCK_NOT_AVAILABLE,
                        format!("could not obtain lock on relation \"{}\"", name.name),
                    ));
                }
            }
            held = tables;
        }
    }

    /// Whether upkeep of all of some tables may be asked for, or of the whole where none is named; a
    /// warning says of those for which it may not. All of them must be there.
    pub(super) fn may_maintain(&mut self, names: &[Name], what: &str) -> Result<bool> {
        let snapshot = self.snapshot();
        let catalog = snapshot.catalog();
        let tables = self.tables_of(catalog, names)?;
        let user = self.context.user();
        let owner = catalog.database(self.context.database()).map(|database| database.owner);
        let mut may = true;
        for (table, name) in tables.into_iter().zip(names) {
            if catalog.check_any(user, table, Privileges::MAINTAIN).is_err() {
                let message = format!("permission denied to {what} \"{}\", skipping it", name.name);
                self.context.notice(Error::new(SqlState::new(b"01000"), message));
                may = false;
            }
        }
        let owns = || owner.is_some_and(|owner| catalog.has_privileges_of(user, owner));
        Ok(if names.is_empty() { owns() } else { may })
    }

    pub(super) fn tables_of(&self, catalog: &Catalog, names: &[Name]) -> Result<Vec<Oid>> {
        let path = self.context.search_path();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let relation = match &name.schema {
                None => catalog.resolve(&path, &name.name),
                Some(schema) => {
                    let schema = catalog.schema_named(self.context.database(), schema);
                    if let Some(schema) = schema {
                        catalog.check_any(self.context.user(), schema.id, Privileges::USAGE)?;
                    }
                    schema.and_then(|schema| catalog.relation_named(schema.id, &name.name))
                }
            };
            let relation = relation
                .ok_or_else(|| catalog.no_relation(&path, &name.name, &name.to_string()))?;
            found.push(relation.id());
        }
        Ok(found)
    }
}
