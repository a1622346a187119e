//! `pg_constraint`: keys, checks and references.

use super::{
    SystemRelation, View, domains,
    rows::{Rows, broken},
};
use crate::{
    catalog::{Constraint, ConstraintKind, Table},
    error::Result,
    ids::{ColumnId, Oid},
};
use arrow::{array::RecordBatch, compute::concat_batches};

/// The constraints of the database: a unique index that no constraint clause made is none.
pub(super) fn constraints(view: &View) -> impl Iterator<Item = (&Table, &Constraint)> {
    let tables = view.catalog.tables().filter(|table| view.sees(table.schema));
    tables.flat_map(|table| {
        let is_constraint = |constraint: &&Constraint| {
            !matches!(constraint.kind, ConstraintKind::Unique { index_only: true, .. })
        };
        table.constraints.iter().filter(is_constraint).map(|constraint| (&**table, constraint))
    })
}

/// The columns that a constraint names; of a check those whose names stand in it.
pub(super) fn columns(table: &Table, constraint: &Constraint) -> Vec<ColumnId> {
    match &constraint.kind {
        ConstraintKind::PrimaryKey { columns }
        | ConstraintKind::Unique { columns, .. }
        | ConstraintKind::ForeignKey { columns, .. } => columns.clone(),
        ConstraintKind::Check { expression } => {
            let words: Vec<_> =
                expression.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let named = table.columns.iter().filter(|column| words.contains(&column.name.as_str()));
            named.map(|column| column.id).collect()
        }
    }
}

/// The key that a reference refers to: the constraint of the other table over those columns.
pub(super) fn referenced_key<'v>(view: &'v View, kind: &ConstraintKind) -> Option<&'v Constraint> {
    let ConstraintKind::ForeignKey { references, referenced, .. } = kind else { return None };
    let other = view.catalog.table(*references)?;
    let over = |columns: &[ColumnId]| {
        columns.len() == referenced.len() && referenced.iter().all(|id| columns.contains(id))
    };
    other.keys().find(|(_, columns)| over(columns)).map(|(key, _)| key)
}

/// What a reference does on `DELETE` or `UPDATE`: `a` nothing, `r`estrict, `c`ascade, set `n`ull,
/// set `d`efault.
pub(super) fn action(actions: &str, event: &str) -> &'static str {
    let upper = actions.to_ascii_uppercase();
    let words: Vec<_> = upper.split_whitespace().collect();
    let place = words.windows(2).position(|pair| pair == ["ON", event]);
    match place.map(|place| &words[place + 2..]) {
        Some(["CASCADE", ..]) => "c",
        Some(["RESTRICT", ..]) => "r",
        Some(["SET", "NULL", ..]) => "n",
        Some(["SET", "DEFAULT", ..]) => "d",
        _ => "a",
    }
}

/// Every constraint.
pub(super) fn pg_constraint(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let rows: Vec<_> = constraints(view).collect();
    let reference = |kind: &ConstraintKind, event: &str| match kind {
        ConstraintKind::ForeignKey { actions, .. } => action(actions, event),
        _ => " ",
    };
    let of_tables = Rows::of(relation, &rows)
        .set("oid", |(_, constraint)| constraint.id)
        .set("conname", |(_, constraint)| constraint.name.as_str())
        .set("connamespace", |(table, _)| table.schema)
        .set("contype", |(_, constraint)| match constraint.kind {
            ConstraintKind::PrimaryKey { .. } => "p",
            ConstraintKind::Unique { .. } => "u",
            ConstraintKind::Check { .. } => "c",
            ConstraintKind::ForeignKey { .. } => "f",
        })
        // A reference is recorded, not enforced.
        .set("conenforced", |(_, constraint)| {
            !matches!(constraint.kind, ConstraintKind::ForeignKey { .. })
        })
        .set("convalidated", |_| true)
        .set("conrelid", |(table, _)| table.id)
        .set("conindid", |(_, constraint)| match &constraint.kind {
            kind if kind.is_key() => constraint.id,
            kind => referenced_key(view, kind).map_or(Oid(0), |key| key.id),
        })
        .set("confrelid", |(_, constraint)| match constraint.kind {
            ConstraintKind::ForeignKey { references, .. } => references,
            _ => Oid(0),
        })
        .set("confupdtype", |(_, constraint)| reference(&constraint.kind, "UPDATE"))
        .set("confdeltype", |(_, constraint)| reference(&constraint.kind, "DELETE"))
        .set("confmatchtype", |(_, constraint)| match constraint.kind {
            ConstraintKind::ForeignKey { .. } => "s",
            _ => " ",
        })
        .set("conislocal", |_| true)
        .set("connoinherit", |(_, constraint)| {
            !matches!(constraint.kind, ConstraintKind::Check { .. })
        })
        .set("conkey", |(table, constraint)| table.attnums(&columns(table, constraint)))
        .set("confkey", |(_, constraint)| match &constraint.kind {
            ConstraintKind::ForeignKey { references, referenced, .. } => {
                view.catalog.table(*references).map(|other| other.attnums(referenced))
            }
            _ => None,
        })
        .set("conbin", |(_, constraint)| match &constraint.kind {
            ConstraintKind::Check { expression } => Some(expression.as_str()),
            _ => None,
        })
        .finish()?;
    let of_domains = domains::constraints(relation, view)?;
    concat_batches(&relation.schema_ref(), [&of_tables, &of_domains]).map_err(broken)
}
