//! Temporary relations: ordinary ones in a schema that is one session's alone.
//!
//! The schema is `pg_temp_<process id>`, to its session also `pg_temp`; it is made when its first
//! relation is, and goes with the session. What a node left behind when it stopped goes at the
//! next start, before anyone connects.

use super::{Catalog, Change, Schema, Table};
use crate::ids::Oid;
use std::borrow::Cow;

/// The name under which a session finds its temporary schema.
pub const PG_TEMP: &str = "pg_temp";

const PREFIX: &str = "pg_temp_";

/// The name of a session's temporary schema.
#[must_use]
pub fn temporary_schema(process_id: i32) -> String {
    format!("{PREFIX}{process_id}")
}

/// The name that a schema's name stands for in a session.
#[must_use]
pub fn schema_in_session(name: &str, process_id: i32) -> Cow<'_, str> {
    match name {
        PG_TEMP => Cow::Owned(temporary_schema(process_id)),
        name => Cow::Borrowed(name),
    }
}

/// Whether a schema of a name is a session's temporary one.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX)
}

impl Schema {
    /// Whether it is a session's temporary schema.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        is_temporary(&self.name)
    }
}

impl Catalog {
    /// Whether a schema is a session's temporary one.
    #[must_use]
    pub fn is_temporary(&self, schema: Oid) -> bool {
        self.schema(schema).is_some_and(|schema| schema.is_temporary())
    }

    /// Whether rows of a table are written without what models make. A session's own tables have
    /// no worker that would add it.
    #[must_use]
    pub fn defers_embedding(&self, table: &Table) -> bool {
        table.defers_embedding() && !self.is_temporary(table.schema)
    }

    /// The changes that end a schema and all that lies in it.
    #[must_use]
    pub fn end_of_schema(&self, schema: Oid) -> Vec<Change> {
        let mut changes = Vec::new();
        let views = self.views().filter(|view| view.schema == schema);
        changes.extend(views.map(|view| Change::DropView(view.id)));
        for table in self.tables().filter(|table| table.schema == schema) {
            changes.extend(self.end_of_table(table.id));
        }
        let sequences = self.sequences().filter(|sequence| sequence.schema == schema);
        changes.extend(sequences.map(|sequence| Change::DropSequence(sequence.id)));
        let types = self.types().filter(|made| made.schema == schema);
        changes.extend(types.map(|made| Change::DropType(made.id())));
        let domains = self.domains().filter(|domain| domain.schema == schema);
        changes.extend(domains.map(|domain| Change::DropDomain(domain.id)));
        changes.push(Change::DropSchema(schema));
        changes
    }

    /// The changes that end a table with its indexes and sequences.
    #[must_use]
    pub fn end_of_table(&self, table: Oid) -> Vec<Change> {
        let indexes = self.indexes_of(table).map(|index| Change::DropIndex(index.id));
        let owned = |owner: Option<(Oid, _)>| owner.is_some_and(|(owner, _)| owner == table);
        let sequences = self.sequences().filter(move |sequence| owned(sequence.owned_by));
        let sequences = sequences.map(|sequence| Change::DropSequence(sequence.id));
        indexes.chain(sequences).chain([Change::DropTable(table)]).collect()
    }
}
