//! The shape of every system relation: its columns as PostgreSQL 18 has them, and what makes its
//! rows.

use super::{
    View, attribute, class, constraint, extension, functions, index, information_schema, objects,
    roles, rows::Rows, sequence, settings, stat, types, views,
};
use crate::{
    catalog::{INFORMATION_SCHEMA, PG_CATALOG},
    error::Result,
    ids::Oid,
    pgtype::PgType,
};
use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub struct SystemRelation {
    /// Its oid, PostgreSQL's own.
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
    build: Build,
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

/// What makes the rows of a relation.
type Build = fn(&'static SystemRelation, &View) -> Result<RecordBatch>;

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

    /// Its rows as seen from a database.
    ///
    /// # Errors
    /// XX000, should a value not fit its column.
    pub fn rows(&'static self, view: &View) -> Result<RecordBatch> {
        (self.build)(self, view)
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
    let list: Vec<_> = include_str!("facts/shapes.tsv").lines().map(parse).collect();
    let by_name = list.iter().enumerate().map(|(i, r)| ((r.schema, r.name), i)).collect();
    let by_oid = list.iter().enumerate().map(|(i, r)| (r.oid, i)).collect();
    Relations { list, by_name, by_oid }
});

/// Columns that were renamed after PostgreSQL 16. psql 15 and 16 ask for the old names whatever
/// the server's version (`\l`, `\dO`); they stand last, always NULL.
const RENAMED: [(&str, &str); 2] =
    [("pg_database", "daticulocale"), ("pg_collation", "colliculocale")];

/// A line of `shapes.tsv`: schema, name, oid, relkind, and for each column its name, its type and
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
        build: build_of(schema, name),
    }
}

/// What makes the rows of a relation; a relation without any is always empty.
fn build_of(schema: &str, name: &str) -> Build {
    match (schema, name) {
        ("pg_catalog", "pg_namespace") => objects::pg_namespace,
        ("pg_catalog", "pg_description") => objects::pg_description,
        ("pg_catalog", "pg_shdescription") => objects::pg_shdescription,
        ("pg_catalog", "pg_database") => objects::pg_database,
        ("pg_catalog", "pg_tablespace") => objects::pg_tablespace,
        ("pg_catalog", "pg_depend") => objects::pg_depend,
        ("pg_catalog", "pg_rewrite") => objects::pg_rewrite,
        ("pg_catalog", "pg_class") => class::pg_class,
        ("pg_catalog", "pg_attribute") => attribute::pg_attribute,
        ("pg_catalog", "pg_attrdef") => attribute::pg_attrdef,
        ("pg_catalog", "pg_index") => index::pg_index,
        ("pg_catalog", "pg_constraint") => constraint::pg_constraint,
        ("pg_catalog", "pg_sequence") => sequence::pg_sequence,
        ("pg_catalog", "pg_sequences") => sequence::pg_sequences,
        ("pg_catalog", "pg_type") => types::pg_type,
        ("pg_catalog", "pg_operator") => types::pg_operator,
        ("pg_catalog", "pg_opclass") => types::pg_opclass,
        ("pg_catalog", "pg_opfamily") => types::pg_opfamily,
        ("pg_catalog", "pg_am") => types::pg_am,
        ("pg_catalog", "pg_amop") => types::pg_amop,
        ("pg_catalog", "pg_amproc") => types::pg_amproc,
        ("pg_catalog", "pg_cast") => types::pg_cast,
        ("pg_catalog", "pg_collation") => types::pg_collation,
        ("pg_catalog", "pg_proc") => functions::pg_proc,
        ("pg_catalog", "pg_aggregate") => functions::pg_aggregate,
        ("pg_catalog", "pg_language") => functions::pg_language,
        ("pg_catalog", "pg_extension") => extension::pg_extension,
        ("pg_catalog", "pg_available_extensions") => extension::pg_available_extensions,
        ("pg_catalog", "pg_available_extension_versions") => {
            extension::pg_available_extension_versions
        }
        ("pg_catalog", "pg_authid") => roles::pg_authid,
        ("pg_catalog", "pg_roles") => roles::pg_roles,
        ("pg_catalog", "pg_user" | "pg_shadow") => roles::pg_user,
        ("pg_catalog", "pg_group") => roles::pg_group,
        ("pg_catalog", "pg_db_role_setting") => roles::pg_db_role_setting,
        ("pg_catalog", "pg_settings") => settings::pg_settings,
        ("pg_catalog", "pg_timezone_names") => settings::pg_timezone_names,
        ("pg_catalog", "pg_tables") => views::pg_tables,
        ("pg_catalog", "pg_views") => views::pg_views,
        ("pg_catalog", "pg_indexes") => views::pg_indexes,
        ("pg_catalog", "pg_stat_activity") => stat::pg_stat_activity,
        ("pg_catalog", "pg_stat_database") => stat::pg_stat_database,
        ("pg_catalog", "pg_stat_all_tables" | "pg_stat_user_tables") => stat::tables,
        ("pg_catalog", "pg_stat_all_indexes" | "pg_stat_user_indexes") => stat::indexes,
        ("pg_catalog", "pg_statio_all_tables" | "pg_statio_user_tables") => stat::tables,
        ("pg_catalog", "pg_statio_all_indexes" | "pg_statio_user_indexes") => stat::indexes,
        ("pg_catalog", "pg_statio_all_sequences" | "pg_statio_user_sequences") => {
            stat::sequences_read
        }
        ("information_schema", name) => information_schema::build_of(name).unwrap_or(empty),
        _ => empty,
    }
}

/// No rows: Nearlake has nothing of the kind.
fn empty(relation: &'static SystemRelation, _: &View) -> Result<RecordBatch> {
    Rows::<()>::of(relation, &[]).finish()
}
