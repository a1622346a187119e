//! Domains beside `pg_type`: their rules in `pg_constraint`, and the standard's views of them.

use super::{
    SystemRelation, View,
    rows::Rows,
    standard_types::{data_type, maximum_length, numeric, octet_length, type_schema},
    user_types::domains as own,
};
use crate::{
    catalog::{Domain, DomainCheck},
    error::Result,
    pgtype::precision,
};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// The rules of the database's domains.
pub(super) fn checks(view: &View) -> impl Iterator<Item = (&Domain, &DomainCheck)> {
    own(view).flat_map(|domain| domain.checks.iter().map(move |check| (&**domain, check)))
}

/// Those of them that `pg_constraint` shows.
pub(super) fn constraints(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let rows: Vec<_> = checks(view).collect();
    Rows::of(relation, &rows)
        .set("oid", |(_, check)| check.id)
        .set("conname", |(_, check)| check.name.as_str())
        .set("connamespace", |(domain, _)| domain.schema)
        .set("contype", |_| "c")
        .set("conenforced", |_| true)
        .set("convalidated", |_| true)
        .set("contypid", |(domain, _)| domain.id)
        .set("confupdtype", |_| " ")
        .set("confdeltype", |_| " ")
        .set("confmatchtype", |_| " ")
        .set("conislocal", |_| true)
        .set("conbin", |(_, check)| check.expression.as_str())
        .finish()
}

/// `information_schema.domains`
pub(super) fn domains(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let rows: Vec<&Arc<Domain>> = own(view).collect();
    Rows::of(relation, &rows)
        .set("domain_catalog", |_| view.database_name())
        .set("domain_schema", |domain| view.schema_name(domain.schema))
        .set("domain_name", |domain| domain.name.as_str())
        .set("data_type", |domain| data_type(&domain.base))
        .set("character_maximum_length", |domain| maximum_length(&domain.base))
        .set("character_octet_length", |domain| octet_length(&domain.base))
        .set("numeric_precision", |domain| numeric(&domain.base)?.0)
        .set("numeric_precision_radix", |domain| Some(numeric(&domain.base)?.1))
        .set("numeric_scale", |domain| numeric(&domain.base)?.2)
        .set("datetime_precision", |domain| precision::of_second(&domain.base))
        .set("interval_type", |domain| domain.base.qualifier()?.interval_type())
        .set("domain_default", |domain| domain.default.as_deref())
        .set("udt_catalog", |_| view.database_name())
        .set("udt_schema", |domain| type_schema(Some(view), &domain.base))
        .set("udt_name", |domain| domain.base.typname())
        .set("dtd_identifier", |_| "1")
        .finish()
}

/// `information_schema.domain_constraints`
pub(super) fn domain_constraints(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let rows: Vec<_> = checks(view).collect();
    Rows::of(relation, &rows)
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(domain, _)| view.schema_name(domain.schema))
        .set("constraint_name", |(_, check)| check.name.as_str())
        .set("domain_catalog", |_| view.database_name())
        .set("domain_schema", |(domain, _)| view.schema_name(domain.schema))
        .set("domain_name", |(domain, _)| domain.name.as_str())
        .set("is_deferrable", |_| "NO")
        .set("initially_deferred", |_| "NO")
        .finish()
}

/// `information_schema.domain_udt_usage`
pub(super) fn domain_udt_usage(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let rows: Vec<&Arc<Domain>> = own(view).collect();
    Rows::of(relation, &rows)
        .set("udt_catalog", |_| view.database_name())
        .set("udt_schema", |domain| type_schema(Some(view), &domain.base))
        .set("udt_name", |domain| domain.base.typname())
        .set("domain_catalog", |_| view.database_name())
        .set("domain_schema", |domain| view.schema_name(domain.schema))
        .set("domain_name", |domain| domain.name.as_str())
        .finish()
}
