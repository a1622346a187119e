//! Types that users made, as `pg_type` and `pg_enum` show them.

use super::{
    SystemRelation, View, access,
    rows::Rows,
    types::{self, system_types},
};
use crate::{
    catalog::{Domain, UserType},
    error::Result,
    ids::Oid,
    pgtype::{PgType, enumeration::Label},
};
use arrow::{array::RecordBatch, compute::concat_batches};
use std::{borrow::Cow, sync::Arc};

/// Functions by the numbers that PostgreSQL has for them: how values of a type come and go.
struct Functions {
    input: Oid,
    output: Oid,
    receive: Oid,
    send: Oid,
}

const OF_ENUMS: Functions =
    Functions { input: Oid(3506), output: Oid(3507), receive: Oid(3532), send: Oid(3533) };
const OF_ARRAYS: Functions =
    Functions { input: Oid(750), output: Oid(751), receive: Oid(2400), send: Oid(2401) };
const DOMAIN_INPUT: Oid = Oid(2597);
const DOMAIN_RECEIVE: Oid = Oid(2598);
const ARRAY_ANALYZE: Oid = Oid(3816);
const ARRAY_SUBSCRIPTS: Oid = Oid(6179);

/// A row of `pg_type`.
struct TypeRow<'v> {
    id: Oid,
    array: Oid,
    name: Cow<'v, str>,
    schema: Oid,
    owner: Oid,
    functions: Functions,
    length: i16,
    by_value: bool,
    align: &'static str,
    storage: &'static str,
    collation: Oid,
    kind: &'static str,
    category: String,
    /// Of an array.
    element: Option<Oid>,
    domain: Option<&'v Domain>,
}

impl<'v> TypeRow<'v> {
    fn of_enum(made: &'v UserType) -> Self {
        Self {
            id: made.id(),
            array: Oid(made.kind.array_oid()),
            name: made.name().into(),
            schema: made.schema,
            owner: made.owner,
            functions: OF_ENUMS,
            length: made.kind.typlen(),
            by_value: true,
            align: "i",
            storage: "p",
            collation: Oid(0),
            kind: "e",
            category: "E".to_owned(),
            element: None,
            domain: None,
        }
    }

    /// A domain comes as its type does, and goes so too.
    fn of_domain(domain: &'v Domain) -> Self {
        let base = Oid(domain.base.oid());
        let known = types::known(base);
        let functions = Functions {
            input: DOMAIN_INPUT,
            output: known.map_or(OF_ENUMS.output, |known| known.output),
            receive: DOMAIN_RECEIVE,
            send: known.map_or(OF_ENUMS.send, |known| known.send),
        };
        Self {
            id: domain.id,
            array: domain.array,
            name: domain.name.as_str().into(),
            schema: domain.schema,
            owner: domain.owner,
            functions,
            length: domain.base.typlen(),
            by_value: known.is_none_or(|known| known.by_value),
            align: known.map_or("i", |known| known.align),
            storage: known.map_or("p", |known| known.storage),
            collation: known.map_or(Oid(0), |known| known.collation),
            kind: "d",
            category: domain.base.category().to_string(),
            element: None,
            domain: Some(domain),
        }
    }

    /// The row of its array.
    fn array(&self) -> Self {
        Self {
            id: self.array,
            array: Oid(0),
            name: format!("_{}", self.name).into(),
            functions: OF_ARRAYS,
            length: -1,
            by_value: false,
            align: if self.align == "d" { "d" } else { "i" },
            storage: "x",
            kind: "b",
            category: "A".to_owned(),
            element: Some(self.id),
            domain: None,
            ..*self
        }
    }
}

/// The types of the database that users made.
pub(super) fn own(view: &View) -> impl Iterator<Item = &Arc<UserType>> {
    view.catalog.types().filter(|made| view.sees(made.schema))
}

/// The domains of the database.
pub(super) fn domains(view: &View) -> impl Iterator<Item = &Arc<Domain>> {
    view.catalog.domains().filter(|domain| view.sees(domain.schema))
}

/// Every type, arrays and pseudo-types among them.
pub(super) fn pg_type(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let system = system_types(relation, view)?;
    let enums = own(view).map(|made| TypeRow::of_enum(made));
    let domains = domains(view).map(|domain| TypeRow::of_domain(domain));
    let rows: Vec<_> = enums.chain(domains).flat_map(|row| [row.array(), row]).collect();
    if rows.is_empty() {
        return Ok(system);
    }
    // What a domain is made of: the next one, where it is made of one.
    let base = |domain: &Domain| domain.parent.unwrap_or(Oid(domain.base.oid()));
    let own = Rows::of(relation, &rows)
        .set("oid", |row| row.id)
        .set("typname", |row| row.name.as_ref())
        .set("typnamespace", |row| row.schema)
        .set("typowner", |row| row.owner)
        .set("typlen", |row| row.length)
        .set("typbyval", |row| row.by_value)
        .set("typtype", |row| row.kind)
        .set("typcategory", |row| row.category.as_str())
        .set("typisdefined", |_| true)
        .set("typdelim", |_| ",")
        .set("typsubscript", |row| row.element.map_or(Oid(0), |_| ARRAY_SUBSCRIPTS))
        .set("typelem", |row| row.element.unwrap_or(Oid(0)))
        .set("typarray", |row| row.array)
        .set("typinput", |row| row.functions.input)
        .set("typoutput", |row| row.functions.output)
        .set("typreceive", |row| row.functions.receive)
        .set("typsend", |row| row.functions.send)
        .set("typanalyze", |row| row.element.map_or(Oid(0), |_| ARRAY_ANALYZE))
        .set("typalign", |row| row.align)
        .set("typstorage", |row| row.storage)
        .set("typnotnull", |row| row.domain.is_some_and(|domain| domain.not_null))
        .set("typbasetype", |row| row.domain.map_or(Oid(0), base))
        .set("typtypmod", |row| {
            let made_of_type = row.domain.filter(|domain| domain.parent.is_none());
            made_of_type.map_or(-1, |domain| domain.base.typmod())
        })
        .set("typcollation", |row| row.collation)
        .set("typacl", |row| match row.element {
            None => access::shown(&view.catalog, row.id),
            Some(_) => None,
        })
        .set("typdefaultbin", |row| row.domain.and_then(|domain| domain.default.clone()))
        .set("typdefault", |row| row.domain.and_then(|domain| domain.default.clone()))
        .finish()?;
    concat_batches(&relation.schema_ref(), [&system, &own]).map_err(super::rows::broken)
}

/// The labels of enumerations, in order.
pub(super) fn pg_enum(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let labels: Vec<(Oid, &Label)> = own(view)
        .filter_map(|made| match &made.kind {
            PgType::Enum(kind) => Some((made.id(), kind)),
            _ => None,
        })
        .flat_map(|(id, kind)| kind.labels().iter().map(move |label| (id, label)))
        .collect();
    Rows::of(relation, &labels)
        .set("oid", |(_, label)| Oid(label.oid))
        .set("enumtypid", |(id, _)| *id)
        .set("enumsortorder", |(_, label)| label.sort_order())
        .set("enumlabel", |(_, label)| label.name.as_str())
        .finish()
}
