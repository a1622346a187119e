//! Extensions: `vector`, which may be created in any database.

use super::{SystemRelation, VECTOR_VERSION, View, rows::Rows};
use crate::{catalog::POSTGRES_ROLE, error::Result, ids::Oid};
use arrow::array::RecordBatch;

/// The oid of the extension: just below that of its type.
pub(super) const VECTOR_EXTENSION: Oid = Oid(crate::pgtype::VECTOR_OID - 1);
const COMMENT: &str = "vector data type and ivfflat and hnsw access methods";

/// Those created in this database.
pub(super) fn pg_extension(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let database = view.database();
    let created: Vec<_> =
        database.and_then(|d| d.extensions.get_key_value("vector")).into_iter().collect();
    Rows::of(relation, &created)
        .set("oid", |_| VECTOR_EXTENSION)
        .set("extname", |(name, _)| name.as_str())
        .set("extowner", |_| database.map_or(POSTGRES_ROLE, |database| database.owner))
        .set("extnamespace", |(_, schema)| **schema)
        .set("extrelocatable", |_| true)
        .set("extversion", |_| VECTOR_VERSION)
        .finish()
}

/// Those that can be created.
pub(super) fn pg_available_extensions(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    Rows::of(relation, &["vector"])
        .set("name", |name| *name)
        .set("default_version", |_| VECTOR_VERSION)
        .set("installed_version", |name| is_created(view, name).then_some(VECTOR_VERSION))
        .set("comment", |_| COMMENT)
        .finish()
}

/// Those that can be created, by version.
pub(super) fn pg_available_extension_versions(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    Rows::of(relation, &["vector"])
        .set("name", |name| *name)
        .set("version", |_| VECTOR_VERSION)
        .set("installed", |name| is_created(view, name))
        .set("superuser", |_| false)
        .set("trusted", |_| true)
        .set("relocatable", |_| true)
        .set("comment", |_| COMMENT)
        .finish()
}

fn is_created(view: &View, name: &str) -> bool {
    view.database().is_some_and(|database| database.extensions.contains_key(name))
}
