//! `pg_class`: every relation, those of the system and the indexes of keys among them.

use super::{
    SystemRelation, View, access, index,
    rows::{Rows, broken, count},
    shape::relations,
    types,
};
use crate::{
    catalog::{ConstraintKind, POSTGRES_ROLE, Table},
    error::Result,
    ids::Oid,
};
use arrow::{array::RecordBatch, compute::concat_batches};
use std::{
    collections::{BTreeMap, HashSet},
    sync::OnceLock,
};

/// PostgreSQL's page: what `relpages` counts in.
const PAGE_BYTES: u64 = 8192;
/// The access method of tables.
const HEAP: Oid = Oid(2);

/// A relation.
#[derive(Debug)]
struct Class<'v> {
    oid: Oid,
    name: &'v str,
    schema: Oid,
    owner: Oid,
    method: Oid,
    relkind: &'static str,
    columns: i64,
    checks: i64,
    has_index: bool,
    has_rules: bool,
    rows: f64,
    bytes: u64,
    options: Option<Vec<String>>,
}

impl<'v> Class<'v> {
    fn new(oid: Oid, name: &'v str, schema: Oid, owner: Oid, relkind: &'static str) -> Self {
        Self {
            oid,
            name,
            schema,
            owner,
            relkind,
            method: Oid(0),
            columns: 0,
            checks: 0,
            has_index: false,
            has_rules: false,
            rows: 0.0,
            bytes: 0,
            options: None,
        }
    }

    /// Whether it has rows of its own in the store.
    fn is_stored(&self) -> bool {
        self.relkind != "v"
    }
}

/// Every relation of the database.
pub(super) fn pg_class(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let own = batch(relation, &own(view), Some(view))?;
    concat_batches(&relation.schema_ref(), [system(relation)?, &own]).map_err(broken)
}

/// The relations of the system: the same for everybody.
fn system(relation: &'static SystemRelation) -> Result<&'static RecordBatch> {
    static ROWS: OnceLock<RecordBatch> = OnceLock::new();
    if let Some(rows) = ROWS.get() {
        return Ok(rows);
    }
    let classes: Vec<_> = relations()
        .map(|system| Class {
            columns: count(system.columns.len()),
            method: if system.relkind == "r" { HEAP } else { Oid(0) },
            has_rules: system.relkind == "v",
            ..Class::new(
                system.oid,
                system.name,
                system.schema_oid(),
                POSTGRES_ROLE,
                system.relkind,
            )
        })
        .collect();
    let made = batch(relation, &classes, None)?;
    Ok(ROWS.get_or_init(|| made))
}

/// The relations that statements made.
fn own(view: &View) -> Vec<Class<'_>> {
    let catalog = &view.catalog;
    let mut classes = Vec::new();
    let indexed: HashSet<Oid> = catalog.indexes().map(|index| index.table).collect();
    for table in catalog.tables().filter(|table| view.sees(table.schema)) {
        #[expect(clippy::cast_precision_loss, reason = "an estimate of rows will do")]
        let rows = view.live.live_rows(table.id) as f64;
        let is_check = |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { .. });
        classes.push(Class {
            method: HEAP,
            columns: attributes(table),
            checks: count(table.constraints.iter().filter(|c| is_check(&c.kind)).count()),
            has_index: indexed.contains(&table.id) || table.keys().next().is_some(),
            rows,
            bytes: view.live.relation_size(table.id),
            options: reloptions(&table.options),
            ..Class::new(table.id, &table.name, table.schema, table.owner, "r")
        });
        for (key, columns) in table.keys() {
            classes.push(Class {
                method: types::method("btree"),
                columns: count(columns.len()),
                rows,
                ..Class::new(key.id, &key.name, table.schema, table.owner, "i")
            });
        }
    }
    for index in catalog.indexes().filter(|index| view.sees(index.schema)) {
        let table = catalog.table(index.table);
        #[expect(clippy::cast_precision_loss, reason = "an estimate of rows will do")]
        let rows = view.live.live_rows(index.table) as f64;
        classes.push(Class {
            method: types::method(&index.method),
            columns: table.map_or(0, |table| count(index::keys(index, table).len())),
            rows,
            bytes: view.live.relation_size(index.id),
            options: reloptions(&index.options),
            ..Class::new(
                index.id,
                &index.name,
                index.schema,
                table.map_or(POSTGRES_ROLE, |table| table.owner),
                "i",
            )
        });
    }
    for sequence in catalog.sequences().filter(|sequence| view.sees(sequence.schema)) {
        classes.push(Class {
            columns: 3,
            rows: 1.0,
            bytes: PAGE_BYTES,
            ..Class::new(sequence.id, &sequence.name, sequence.schema, sequence.owner, "S")
        });
    }
    for made in catalog.views().filter(|made| view.sees(made.schema)) {
        classes.push(Class {
            columns: count(made.columns.len()),
            has_rules: true,
            ..Class::new(made.id, &made.name, made.schema, made.owner, "v")
        });
    }
    classes
}

fn batch(
    relation: &'static SystemRelation,
    classes: &[Class<'_>],
    view: Option<&View>,
) -> Result<RecordBatch> {
    let is_temporary = |schema| view.is_some_and(|view| view.catalog.is_temporary(schema));
    Rows::of(relation, classes)
        .set("oid", |class| class.oid)
        .set("relname", |class| class.name)
        .set("relnamespace", |class| class.schema)
        .set("relowner", |class| class.owner)
        .set("relam", |class| class.method)
        .set("relfilenode", |class| if class.is_stored() { class.oid } else { Oid(0) })
        .set("relpages", |class| {
            i32::try_from(class.bytes.div_ceil(PAGE_BYTES)).unwrap_or(i32::MAX)
        })
        .set("reltuples", |class| class.rows)
        .set("relhasindex", |class| class.has_index)
        .set("relpersistence", |class| if is_temporary(class.schema) { "t" } else { "p" })
        .set("relkind", |class| class.relkind)
        .set("relnatts", |class| class.columns)
        .set("relchecks", |class| class.checks)
        .set("relhasrules", |class| class.has_rules)
        .set("relispopulated", |_| true)
        .set("relreplident", |class| match class.relkind {
            "r" if class.schema.0 >= crate::catalog::PUBLIC.0 => "d",
            _ => "n",
        })
        .set("relacl", |class| access::shown(&view?.catalog, class.oid))
        .set("reloptions", |class| class.options.clone())
        .finish()
}

/// The number of a table's columns by PostgreSQL's count, which keeps dropped ones.
pub(super) fn attributes(table: &Table) -> i64 {
    i64::from(table.next_column.0) - 1
}

/// `WITH (…)` as an array of `name=value`; NULL where there is none.
pub(super) fn reloptions(options: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let options: Vec<_> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!options.is_empty()).then_some(options)
}
