//! `pg_attribute`, the columns of every relation, and `pg_attrdef`, their defaults.

use super::{
    SystemRelation, View, access, deparse, index,
    names::Scope,
    rows::{Rows, broken},
    shape::relations,
    types,
};
use crate::{
    catalog::{Column, ConstraintKind, Identity, Table},
    error::Result,
    ids::{ColumnId, Oid},
    pgtype::PgType,
};
use arrow::{array::RecordBatch, compute::concat_batches};
use std::{borrow::Cow, collections::HashSet, sync::OnceLock};

/// A column of any relation.
#[derive(Debug)]
struct Attribute<'v> {
    relation: Oid,
    name: Cow<'v, str>,
    /// 0 where it was dropped.
    kind: Oid,
    /// What its values are, where that is a domain.
    base: Oid,
    length: i16,
    typmod: i32,
    is_array: bool,
    /// Of a type that a user made.
    is_own: bool,
    number: i64,
    not_null: bool,
    has_default: bool,
    has_missing: bool,
    identity: &'static str,
    generated: &'static str,
    is_dropped: bool,
}

impl<'v> Attribute<'v> {
    fn new(relation: Oid, number: i64, name: impl Into<Cow<'v, str>>, kind: &PgType) -> Self {
        Self {
            relation,
            name: name.into(),
            kind: Oid(kind.oid()),
            base: Oid(kind.oid()),
            length: kind.typlen(),
            typmod: kind.typmod(),
            is_array: matches!(kind, PgType::Array(_)),
            is_own: kind.is_user_made(),
            number,
            not_null: false,
            has_default: false,
            has_missing: false,
            identity: "",
            generated: "",
            is_dropped: false,
        }
    }
}

/// The columns of every relation of the database.
pub(super) fn pg_attribute(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let own = batch(relation, &own(view), Some(view))?;
    concat_batches(&relation.schema_ref(), [system(relation)?, &own]).map_err(broken)
}

fn system(relation: &'static SystemRelation) -> Result<&'static RecordBatch> {
    static ROWS: OnceLock<RecordBatch> = OnceLock::new();
    if let Some(rows) = ROWS.get() {
        return Ok(rows);
    }
    let attributes: Vec<_> = relations()
        .flat_map(|system| {
            (1..).zip(&system.columns).map(|(number, column)| Attribute {
                not_null: column.not_null,
                ..Attribute::new(system.oid, number, column.name, &column.kind)
            })
        })
        .collect();
    let made = batch(relation, &attributes, None)?;
    Ok(ROWS.get_or_init(|| made))
}

fn own(view: &View) -> Vec<Attribute<'_>> {
    let catalog = &view.catalog;
    let mut attributes = Vec::new();
    for table in catalog.tables().filter(|table| view.sees(table.schema)) {
        columns(table, &mut attributes);
        for (key, columns) in table.keys() {
            for (number, column) in (1..).zip(columns) {
                let Some(column) = table.column_by_id(*column) else { continue };
                attributes.push(of_column(key.id, number, column));
            }
        }
    }
    for index in catalog.indexes().filter(|index| view.sees(index.schema)) {
        let Some(table) = catalog.table(index.table) else { continue };
        for (number, key) in (1..).zip(index::keys(index, table)) {
            let (name, kind) = match key.column {
                Some(column) => (column.name.clone(), column.kind.clone()),
                None => (key.expression_name(number), PgType::Text),
            };
            attributes.push(Attribute::new(index.id, number, name, &kind));
        }
    }
    for sequence in catalog.sequences().filter(|sequence| view.sees(sequence.schema)) {
        let columns =
            [("last_value", PgType::Int8), ("log_cnt", PgType::Int8), ("is_called", PgType::Bool)];
        for (number, (name, kind)) in (1..).zip(columns) {
            let column = Attribute::new(sequence.id, number, name, &kind);
            attributes.push(Attribute { not_null: true, ..column });
        }
    }
    for made in catalog.views().filter(|made| view.sees(made.schema)) {
        for (number, (name, kind)) in (1..).zip(&made.columns) {
            attributes.push(Attribute::new(made.id, number, name.as_str(), kind));
        }
    }
    attributes
}

/// The columns of a table; those that were dropped stand as PostgreSQL leaves them.
fn columns<'v>(table: &'v Table, attributes: &mut Vec<Attribute<'v>>) {
    let key: HashSet<ColumnId> = table
        .constraints
        .iter()
        .filter_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { columns } => Some(columns.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect();
    for number in 1..table.next_column.0 {
        let Some(column) = table.column_numbered(number.into()) else {
            if table.column_by_id(ColumnId(number)).is_some() {
                continue;
            }
            let name = format!("........pg.dropped.{number}........");
            let dropped = Attribute::new(table.id, number.into(), name, &PgType::Unknown);
            attributes.push(Attribute { kind: Oid(0), base: Oid(0), is_dropped: true, ..dropped });
            continue;
        };
        attributes.push(Attribute {
            not_null: column.not_null || key.contains(&column.id) || column.identity.is_some(),
            has_default: has_default(column),
            has_missing: column.missing.is_some(),
            identity: match column.identity {
                Some(Identity::Always) => "a",
                Some(Identity::ByDefault) => "d",
                None => "",
            },
            generated: if column.generated.is_some() { "s" } else { "" },
            ..of_column(table.id, number.into(), column)
        });
    }
}

/// A column of a table, in the table or in a key.
fn of_column(relation: Oid, number: i64, column: &Column) -> Attribute<'_> {
    let attribute = Attribute::new(relation, number, column.name.as_str(), &column.kind);
    match column.domain {
        Some(kind) => Attribute { kind, typmod: -1, ..attribute },
        None => attribute,
    }
}

fn batch(
    relation: &'static SystemRelation,
    rows: &[Attribute<'_>],
    view: Option<&View>,
) -> Result<RecordBatch> {
    let fact = |attribute: &Attribute<'_>| types::known(attribute.base);
    Rows::of(relation, rows)
        .set("attrelid", |column| column.relation)
        .set("attname", |column| column.name.as_ref())
        .set("atttypid", |column| column.kind)
        .set("attlen", |column| column.length)
        .set("attnum", |column| column.number)
        .set("atttypmod", |column| column.typmod)
        .set("attndims", |column| i16::from(column.is_array))
        .set("attbyval", |column| {
            fact(column).map_or(column.is_own && !column.is_array, |known| known.by_value)
        })
        .set("attalign", |column| fact(column).map_or("i", |known| known.align))
        .set("attstorage", |column| {
            let own = if column.is_array { "x" } else { "p" };
            fact(column).map_or(own, |known| known.storage)
        })
        .set("attnotnull", |column| column.not_null)
        .set("atthasdef", |column| column.has_default)
        .set("atthasmissing", |column| column.has_missing)
        .set("attidentity", |column| column.identity)
        .set("attgenerated", |column| column.generated)
        .set("attisdropped", |column| column.is_dropped)
        .set("attislocal", |_| true)
        .set("attacl", |column| {
            let catalog = &view?.catalog;
            let found = catalog.table(column.relation)?.column_numbered(column.number)?;
            access::shown_of_column(catalog, column.relation, found.id)
        })
        .set("attcollation", |column| fact(column).map_or(Oid(0), |known| known.collation))
        .finish()
}

/// Whether a column has a row in `pg_attrdef`, its default or its generation: identity is told by `attidentity` instead.
fn has_default(column: &Column) -> bool {
    column.generated.is_some()
        || column.identity.is_none() && (column.default.is_some() || column.sequence.is_some())
}

/// The oid of a column's default in `pg_attrdef`: made of the table's and the column's number, in
/// the half of the numbers that no catalog reaches.
pub(super) fn default_oid(table: Oid, column: ColumnId) -> Oid {
    let column = u32::from(column.0.unsigned_abs());
    Oid(0x8000_0000 | table.0.wrapping_mul(2048).wrapping_add(column))
}

/// The columns of the database that have a default.
pub(super) fn with_default(view: &View) -> impl Iterator<Item = (&Table, &Column)> {
    let tables = view.catalog.tables().filter(|table| view.sees(table.schema));
    tables.flat_map(|table| {
        table.columns.iter().filter(|column| has_default(column)).map(|column| (&**table, column))
    })
}

/// The default of every column that has one; `adbin` is its text.
pub(super) fn pg_attrdef(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let path: Vec<_> = view.schemas().map(|schema| schema.id).collect();
    let scope = Scope { catalog: &view.catalog, database: view.database, path: &path };
    let rows: Vec<_> = with_default(view).collect();
    Rows::of(relation, &rows)
        .set("oid", |(table, column)| default_oid(table.id, column.id))
        .set("adrelid", |(table, _)| table.id)
        .set("adnum", |(_, column)| i64::from(column.attnum()))
        .set("adbin", |(_, column)| deparse::default_expression(&scope, column))
        .finish()
}
