//! REINDEX: a vector index is built anew from the rows and takes the place of what was there. Other
//! indexes hold nothing of their own: keys are kept with the rows, recorded indexes are names.

use super::Ddl;
use crate::{
    catalog::{
        Index, Relation, Table,
        privileges::{Privileges, denied},
    },
    error::{Error, Result, SqlState},
    exec::{
        build::{Source, Subject},
        insert::lock_table,
        locks::Mode,
    },
    ids::Oid,
    sql::utility::{Name, ObjectKind},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn reindex(
        &mut self,
        object: ObjectKind,
        name: Option<&Name>,
    ) -> Result<&'static str> {
        self.transaction.check_writable("REINDEX")?;
        let indexes = match (object, name) {
            (ObjectKind::Index, Some(name)) => self.named_index(name)?,
            (ObjectKind::Table, Some(name)) => self.indexes_of_table(name)?,
            (ObjectKind::Schema, Some(name)) => {
                let schema = self.schema_named(&name.name)?;
                self.check_owner(schema.owner, "schema", &schema.name)?;
                let catalog = self.catalog();
                catalog.indexes().filter(|i| i.schema == schema.id).cloned().collect()
            }
            // The catalogs of the system are made when they are read.
            (ObjectKind::System, name) => {
                self.check_database(name)?;
                Vec::new()
            }
            (_, name) => {
                self.check_database(name)?;
                let (catalog, database) = (self.catalog(), self.env.context.database());
                if let Some(database) = catalog.database(database) {
                    self.check_owner(database.owner, "database", &database.name)?;
                }
                let is_here = |index: &&Arc<Index>| {
                    catalog.schema(index.schema).is_some_and(|s| s.database == Some(database))
                };
                catalog.indexes().filter(is_here).cloned().collect()
            }
        };
        for index in indexes {
            self.rebuild(&index).await?;
        }
        Ok("REINDEX")
    }

    /// Refuses whoever may not maintain a table.
    fn check_maintains(&mut self, table: Oid, (what, name): (&str, &str)) -> Result<()> {
        self.check_any(table, Privileges::MAINTAIN).map_err(|_| denied(what, name))
    }

    fn named_index(&mut self, name: &Name) -> Result<Vec<Arc<Index>>> {
        match self.expect(name)? {
            Relation::Index(index) => {
                self.check_maintains(index.table, ("index", &index.name))?;
                Ok(vec![index])
            }
            Relation::Key(table, place) => {
                self.check_maintains(table.id, ("index", &table.constraints[place].name))?;
                Ok(Vec::new())
            }
            other => Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{}\" is not an index", other.name()),
            )),
        }
    }

    fn indexes_of_table(&mut self, name: &Name) -> Result<Vec<Arc<Index>>> {
        let table = match self.expect(name)? {
            Relation::Table(table) => table,
            other => {
                let message = format!("\"{}\" is not a table or materialized view", other.name());
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
        };
        self.check_maintains(table.id, ("table", &table.name))?;
        let indexes: Vec<_> = self.catalog().indexes_of(table.id).cloned().collect();
        if indexes.is_empty() && table.keys().next().is_none() {
            self.notice(format!("table \"{}\" has no indexes to reindex", table.name));
        }
        Ok(indexes)
    }

    fn check_database(&self, name: Option<&Name>) -> Result<()> {
        match name {
            Some(name) if name.name != self.env.context.database_name() => Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "can only reindex the currently open database",
            )),
            _ => Ok(()),
        }
    }

    /// Builds a vector index anew. Writers go on, as they do under CREATE INDEX.
    async fn rebuild(&mut self, index: &Arc<Index>) -> Result<()> {
        let Some(table) = self.catalog().table(index.table).cloned() else { return Ok(()) };
        lock_table(&table, Mode::Shared, self.env, self.transaction).await?;
        let snapshot = self.transaction.start_statement();
        let Some(entry) = snapshot.catalog().index(index.id).cloned() else { return Ok(()) };
        let Some(table) = snapshot.catalog().table(entry.table).cloned() else { return Ok(()) };
        let Some(source) = self.source(&entry, &table, &snapshot)? else { return Ok(()) };
        let subject =
            Subject { process_id: 0, table: table.id, index: entry.id, command: "REINDEX" };
        let built = self.build(source, subject).await?;
        self.transaction.built(entry.id, built);
        Ok(())
    }

    /// The committed rows that an index is built of.
    fn source(
        &self,
        entry: &Index,
        table: &Table,
        snapshot: &crate::exec::snapshot::Snapshot,
    ) -> Result<Option<Source>> {
        let rows = snapshot.committed_state().table(table.id);
        let end = rows.next_row();
        Source::new(entry, table, rows, end)
    }
}
