//! COMMENT, TRUNCATE.

use super::{Ddl, drop::referring, table::owned_sequences};
use crate::{
    catalog::{Change, Database, Index, Privileges, Relation, Schema, Table, View},
    error::{Error, Result},
    sql::utility::{Name, ObjectKind},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn comment(
        &mut self,
        object: ObjectKind,
        name: &Name,
        column: Option<&str>,
        comment: Option<&str>,
    ) -> Result<&'static str> {
        self.transaction.check_writable("COMMENT")?;
        let comment = comment.map(str::to_owned);
        let change = match object {
            ObjectKind::Schema => {
                let mut schema = Schema::clone(&*self.schema_named(&name.name)?);
                self.check_owner(schema.owner, "schema", &schema.name)?;
                schema.comment = comment;
                Change::Schema(Arc::new(schema))
            }
            ObjectKind::Database => {
                let mut database = Database::clone(&*self.database(&name.name)?);
                self.check_owner(database.owner, "database", &database.name)?;
                database.comment = comment;
                Change::Database(Arc::new(database))
            }
            ObjectKind::Extension => return Ok("COMMENT"),
            ObjectKind::Type => self.comment_on_type(name, comment).await?,
            ObjectKind::Domain => self.comment_on_domain(name, comment).await?,
            ObjectKind::Table | ObjectKind::View | ObjectKind::Index | ObjectKind::Column => {
                let relation = self.expect(name)?;
                self.check_owns(&relation)?;
                match relation {
                    Relation::Table(table) => {
                        let mut table = Table::clone(&*self.lock_table(&table).await?);
                        match column {
                            None => table.comment = comment,
                            Some(column) => {
                                let id = table.expect_column(column)?.id;
                                super::table::column_mut(&mut table, id).comment = comment;
                            }
                        }
                        Change::Table(Arc::new(table))
                    }
                    Relation::View(view) if column.is_none() => {
                        Change::View(Arc::new(View { comment, ..View::clone(&view) }))
                    }
                    Relation::Index(index) => {
                        Change::Index(Arc::new(Index { comment, ..Index::clone(&index) }))
                    }
                    other => {
                        return Err(Error::unsupported(format!(
                            "comments on \"{}\" are not supported",
                            other.name()
                        )));
                    }
                }
            }
            _ => {
                return Err(Error::unsupported(
                    "comments on this kind of object are not supported",
                )
                .hint("Comment on tables, columns, views, indexes, types, domains, schemas, databases."));
            }
        };
        self.transaction.change([change]);
        Ok("COMMENT")
    }

    pub(super) async fn truncate(
        &mut self,
        names: &[Name],
        restart_identity: bool,
        cascade: bool,
    ) -> Result<&'static str> {
        self.transaction.check_writable("TRUNCATE TABLE")?;
        let mut tables = Vec::new();
        for name in names {
            let table = self.expect_table(name)?;
            self.check_any(table.id, Privileges::TRUNCATE)?;
            tables.push(self.lock_table(&table).await?);
        }
        let catalog = self.catalog();
        let mut at = 0;
        while cascade && at < tables.len() {
            for other in referring(&catalog, tables[at].id) {
                if !tables.iter().any(|table| table.id == other.id) {
                    self.notice(format!("truncate cascades to table \"{}\"", other.name));
                    self.check_any(other.id, Privileges::TRUNCATE)?;
                    tables.push(self.lock_table(other).await?);
                }
            }
            at += 1;
        }
        for table in &tables {
            let outside = |other: &&Arc<Table>| !tables.iter().any(|t| t.id == other.id);
            if let Some(other) = referring(&catalog, table.id).find(outside) {
                return Err(Error::unsupported(
                    "cannot truncate a table referenced in a foreign key constraint",
                )
                .detail(format!("Table \"{}\" references \"{}\".", other.name, table.name))
                .hint(format!(
                    "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                    other.name
                )));
            }
        }
        let sequences = tables.iter().flat_map(|table| owned_sequences(&catalog, table.id));
        for sequence in sequences.filter(|_| restart_identity) {
            self.check_owner(sequence.owner, "sequence", &sequence.name)?;
        }
        for table in &tables {
            self.transaction.truncate(table);
            if restart_identity {
                for sequence in owned_sequences(&catalog, table.id) {
                    self.env.context.set_value(sequence.id, sequence.start, false)?;
                }
            }
        }
        Ok("TRUNCATE TABLE")
    }
}
