//! The shape of every system relation: its columns as PostgreSQL 18 has them, and Nearlake's own.

use crate::{
    catalog::{INFORMATION_SCHEMA, PG_CATALOG},
    ids::Oid,
    pgtype::PgType,
};
use arrow::datatypes::{Schema, SchemaRef};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub struct SystemRelation {
    /// Its oid, PostgreSQL's own; ours are from 9900 on, which PostgreSQL leaves to others.
    pub oid: Oid,
    /// `pg_catalog` or `information_schema`.
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `pg_class.relkind`: `r` (a table) or `v` (a view).
    pub relkind: &'static str,
    /// Its columns, in order.
    pub columns: Vec<SystemColumn>,
    arrow: SchemaRef,
}

/// A column of a [`SystemRelation`].
#[derive(Debug)]
pub struct SystemColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: PgType,
    /// Whether it is never NULL.
    pub not_null: bool,
}

impl SystemRelation {
    /// The oid of its schema.
    #[must_use]
    pub fn schema_oid(&self) -> Oid {
        if self.schema == "pg_catalog" { PG_CATALOG } else { INFORMATION_SCHEMA }
    }

    /// Its columns as Arrow fields that know their types.
    #[must_use]
    pub fn schema_ref(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }
}

/// Every system relation, by schema and name.
pub fn relations() -> impl Iterator<Item = &'static SystemRelation> {
    RELATIONS.list.iter()
}

/// The system relation of a name.
#[must_use]
pub fn lookup(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    RELATIONS.by_name.get(&(schema, name)).map(|&place| &RELATIONS.list[place])
}

/// The system relation of an oid.
#[must_use]
pub fn relation(oid: Oid) -> Option<&'static SystemRelation> {
    RELATIONS.by_oid.get(&oid).map(|&place| &RELATIONS.list[place])
}

struct Relations {
    list: Vec<SystemRelation>,
    by_name: HashMap<(&'static str, &'static str), usize>,
    by_oid: HashMap<Oid, usize>,
}

static RELATIONS: LazyLock<Relations> = LazyLock::new(|| {
    let postgres = include_str!("facts/shapes.tsv").lines();
    let own = include_str!("facts/nearlake.tsv").lines();
    let list: Vec<_> = postgres.chain(own).map(parse).collect();
    let by_name = list.iter().enumerate().map(|(i, r)| ((r.schema, r.name), i)).collect();
    let by_oid = list.iter().enumerate().map(|(i, r)| (r.oid, i)).collect();
    Relations { list, by_name, by_oid }
});

/// Columns that were renamed after PostgreSQL 16. psql 15 and 16 ask for the old names whatever
/// the server's version (`\l`, `\dO`); they stand last, always NULL.
const RENAMED: [(&str, &str); 2] =
    [("pg_database", "daticulocale"), ("pg_collation", "colliculocale")];

/// A line of `shapes.tsv` or `nearlake.tsv`: schema, name, oid, relkind, and for each column its name, its type and
/// `!` where it is not null.
fn parse(line: &'static str) -> SystemRelation {
    let mut words = line.split('\t');
    let mut word = || words.next().expect("a shape names its relation");
    let (schema, name, oid, relkind) = (word(), word(), word(), word());
    let mut columns: Vec<_> = words
        .map(|column| {
            let (name, kind) = column.split_once(' ').expect("a column has a type");
            let (kind, not_null) = match kind.strip_suffix('!') {
                Some(kind) => (kind, true),
                None => (kind, false),
            };
            let kind = PgType::from_name(kind).expect("shapes name types that there are");
            SystemColumn { name, kind, not_null }
        })
        .collect();
    let renamed = RENAMED.iter().filter(|(relation, _)| *relation == name);
    columns.extend(renamed.map(|&(_, name)| SystemColumn {
        name,
        kind: PgType::Text,
        not_null: false,
    }));
    let fields: Vec<_> = columns.iter().map(|c| c.kind.field(c.name, !c.not_null)).collect();
    SystemRelation {
        oid: Oid(oid.parse().expect("an oid is a number")),
        schema,
        name,
        relkind,
        columns,
        arrow: Arc::new(Schema::new(fields)),
    }
}
