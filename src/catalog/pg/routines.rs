//! `information_schema.routines`: the functions, in the standard's words.

use super::{
    SystemRelation, View,
    functions::{KnownFunction, all},
    names::Scope,
    rows::Rows,
    types,
};
use crate::{error::Result, ids::Oid, pgtype::PgType};
use arrow::array::RecordBatch;

/// Every function; aggregates and window functions are of no kind that the standard knows.
pub(super) fn routines(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let scope = Scope { catalog: &view.catalog, database: view.database, path: &[] };
    let functions: Vec<_> = all().collect();
    let schema = |function: &KnownFunction| view.schema_name(function.schema(&scope));
    let result = |function: &KnownFunction| types::known(function.returns);
    Rows::of(relation, &functions)
        .set("specific_catalog", |_| view.database_name())
        .set("specific_schema", |function| schema(function))
        .set("specific_name", |function| format!("{}_{}", function.name, function.oid))
        .set("routine_catalog", |_| view.database_name())
        .set("routine_schema", |function| schema(function))
        .set("routine_name", |function| function.name)
        .set("routine_type", |function| (function.kind == "f").then_some("FUNCTION"))
        .set("data_type", |function| data_type(function.returns))
        .set("type_udt_catalog", |_| view.database_name())
        .set("type_udt_schema", |function| {
            result(function).map(|known| view.schema_name(scope.placed(known.schema)))
        })
        .set("type_udt_name", |function| result(function).map(|known| known.name))
        .set("dtd_identifier", |_| "0")
        .set("routine_body", |_| "EXTERNAL")
        .set("routine_definition", |function| function.name)
        .set("external_language", |_| "INTERNAL")
        .set("parameter_style", |_| "GENERAL")
        .set("is_deterministic", |f| if f.volatility == "i" { "YES" } else { "NO" })
        .set("sql_data_access", |_| "MODIFIES")
        .set("is_null_call", |f| (f.kind == "f").then_some(if f.strict { "YES" } else { "NO" }))
        .set("schema_level_routine", |_| "YES")
        .set("max_dynamic_result_sets", |_| 0)
        .set("security_type", |_| "INVOKER")
        .set("as_locator", |_| "NO")
        .set("is_udt_dependent", |_| "NO")
        .finish()
}

/// The standard's name of a result's type.
fn data_type(kind: Oid) -> String {
    match PgType::from_oid(kind.0, -1) {
        Some(PgType::Array(_)) => "ARRAY".to_owned(),
        Some(PgType::Vector(_) | PgType::Halfvec(_) | PgType::Sparsevec(_)) => {
            "USER-DEFINED".to_owned()
        }
        Some(kind) => kind.to_string(),
        None => types::known(kind).map_or_else(String::new, |known| known.name.to_owned()),
    }
}
