//! `pg_tables`, `pg_views` and `pg_indexes`: PostgreSQL's views of its catalogs by name.

use super::{SystemRelation, View, deparse, names::Scope, rows::Rows, shape::relations};
use crate::{
    catalog::{POSTGRES_ROLE, Table},
    error::Result,
};
use arrow::array::RecordBatch;
use std::collections::HashSet;

/// Schema, name, owner, and whether it has indexes.
type TableRow<'v> = (&'v str, &'v str, &'v str, bool);

/// Every table, the system's among them.
pub(super) fn pg_tables(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let indexed: HashSet<_> = view.catalog.indexes().map(|index| index.table).collect();
    let system = relations().filter(|system| system.relkind == "r");
    let system =
        system.map(|system| (system.schema, system.name, view.role_name(POSTGRES_ROLE), false));
    let own = view.catalog.tables().filter(|table| view.sees(table.schema)).map(|table| {
        let has_index = indexed.contains(&table.id) || table.keys().next().is_some();
        let schema = view.schema_name(table.schema);
        (schema, table.name.as_str(), view.role_name(table.owner), has_index)
    });
    let rows: Vec<TableRow<'_>> = own.chain(system).collect();
    Rows::of(relation, &rows)
        .set("schemaname", |row| row.0)
        .set("tablename", |row| row.1)
        .set("tableowner", |row| row.2)
        .set("hasindexes", |row| row.3)
        .set("hasrules", |_| false)
        .set("hastriggers", |_| false)
        .set("rowsecurity", |_| false)
        .finish()
}

/// Every view; what defines one of the system's is the server itself.
pub(super) fn pg_views(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let system = relations().filter(|system| system.relkind == "v");
    let system =
        system.map(|system| (system.schema, system.name, view.role_name(POSTGRES_ROLE), None));
    let own = view.catalog.views().filter(|made| view.sees(made.schema)).map(|made| {
        let schema = view.schema_name(made.schema);
        (schema, made.name.as_str(), view.role_name(made.owner), Some(deparse::view(made)))
    });
    let rows: Vec<_> = own.chain(system).collect();
    Rows::of(relation, &rows)
        .set("schemaname", |row| row.0)
        .set("viewname", |row| row.1)
        .set("viewowner", |row| row.2)
        .set("definition", |row| row.3.clone())
        .finish()
}

/// An index under its names: schema, table, index.
#[derive(Debug)]
pub(super) struct NamedIndex<'v> {
    /// Its oid.
    pub(super) id: crate::ids::Oid,
    /// The table.
    pub(super) table: &'v Table,
    /// Its name.
    pub(super) name: &'v str,
    /// Its definition.
    definition: String,
}

/// The indexes of the database, those of keys among them.
pub(super) fn indexes(view: &View) -> Vec<NamedIndex<'_>> {
    let scope = Scope { catalog: &view.catalog, database: view.database, path: &[] };
    let tables = view.catalog.tables().filter(|table| view.sees(table.schema));
    let of_keys = tables.flat_map(|table| {
        table.keys().map(move |(key, _)| NamedIndex {
            id: key.id,
            table,
            name: &key.name,
            definition: deparse::key_index(&scope, table, key),
        })
    });
    let made = view.catalog.indexes().filter(|index| view.sees(index.schema)).filter_map(|index| {
        let table = view.catalog.table(index.table)?;
        let definition = deparse::made_index(&scope, index, table);
        Some(NamedIndex { id: index.id, table, name: &index.name, definition })
    });
    of_keys.chain(made).collect()
}

/// Every index with its definition.
pub(super) fn pg_indexes(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &indexes(view))
        .set("schemaname", |index| view.schema_name(index.table.schema))
        .set("tablename", |index| index.table.name.as_str())
        .set("indexname", |index| index.name)
        .set("indexdef", |index| index.definition.as_str())
        .finish()
}
