//! `COMMENT ON …`, read back: `obj_description`, `col_description`, `shobj_description`.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{Int4, Object, Oid as AnyOid, Text},
    },
};
use crate::{catalog::Relation, ids::Oid, pgtype::RegKind};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("obj_description", &[AnyOid, Text], Text, |call| {
        let object = call.oid(0, RegKind::Class)?;
        Ok(match call.text(1) {
            Some("pg_class") | None => relation(call, object),
            Some("pg_namespace") => {
                call.catalog.schema(object).and_then(|schema| schema.comment.clone())
            }
            Some("pg_database") => database(call, object),
            Some("pg_type") => own_type(call, object),
            Some(_) => None,
        }
        .into())
    })
    .optional_last(1),
    Function::new("shobj_description", &[AnyOid, Text], Text, |call| {
        let object = call.oid(0, RegKind::Class)?;
        let is_database = call.text(1) == Some("pg_database");
        Ok(is_database.then(|| database(call, object)).flatten().into())
    }),
    Function::new("col_description", &[Object(RegKind::Class), Int4], Text, |call| {
        let table = call.catalog.table(call.relation(0)?);
        let column = call.int(1).and_then(|number| table?.column_numbered(number));
        Ok(Value::from(column.and_then(|column| column.comment.clone())))
    }),
];

fn relation(call: &Call<'_>, oid: Oid) -> Option<String> {
    match call.catalog.relation(oid)? {
        Relation::Table(table) => table.comment.clone(),
        Relation::View(view) => view.comment.clone(),
        Relation::Index(index) => index.comment.clone(),
        Relation::Sequence(_) | Relation::Key(..) => None,
    }
}

fn own_type(call: &Call<'_>, oid: Oid) -> Option<String> {
    match call.catalog.type_(oid) {
        Some(made) => made.comment.clone(),
        None => call.catalog.domain(oid)?.comment.clone(),
    }
}

fn database(call: &Call<'_>, oid: Oid) -> Option<String> {
    call.catalog.database(oid)?.comment.clone()
}
