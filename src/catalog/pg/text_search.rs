//! What `pg_catalog` shows of full text.

use super::{SystemRelation, View, rows::Rows};
use crate::{
    catalog::{PG_CATALOG, POSTGRES_ROLE},
    error::Result,
    ids::Oid,
    text::Configuration,
};
use arrow::array::RecordBatch;

/// The parser that all configurations share.
const DEFAULT_PARSER: Oid = Oid(3722);

/// The configurations.
pub(super) fn pg_ts_config(relation: &'static SystemRelation, _: &View) -> Result<RecordBatch> {
    let all: Vec<_> = Configuration::all().collect();
    Rows::of(relation, &all)
        .set("oid", |configuration| Oid(configuration.oid()))
        .set("cfgname", |configuration| configuration.name())
        .set("cfgnamespace", |_| PG_CATALOG)
        .set("cfgowner", |_| POSTGRES_ROLE)
        .set("cfgparser", |_| DEFAULT_PARSER)
        .finish()
}
