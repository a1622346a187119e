//! `pg_…_is_visible`: whether the search path finds a thing under its name alone.

use super::{
    call::Value,
    declare::{
        Function,
        Kind::{Bool, Oid as AnyOid},
    },
};
use crate::{
    catalog::pg::{functions, names},
    pgtype::RegKind,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("pg_table_is_visible", &[AnyOid], Bool, |call| {
        let oid = call.relation(0)?;
        let relation = names::relation_name(call.catalog, oid);
        Ok(relation.map(|relation| call.scope.is_class_visible(oid, &relation)).into())
    }),
    Function::new("pg_type_is_visible", &[AnyOid], Bool, |call| {
        Ok(call.scope.is_type_visible(call.oid(0, RegKind::Type)?).into())
    }),
    Function::new("pg_function_is_visible", &[AnyOid], Bool, |call| {
        let function = functions::known(call.oid(0, RegKind::Proc)?);
        let schema = function.map(|function| function.schema(&call.scope));
        Ok(schema.map(|schema| call.scope.path.contains(&schema)).into())
    }),
];

/// What is visible wherever it lies: PostgreSQL's own, and the extension's while its schema is on
/// the path.
pub(super) const ALWAYS: &[Function] = &[
    visible("pg_operator_is_visible"),
    visible("pg_opclass_is_visible"),
    visible("pg_opfamily_is_visible"),
    visible("pg_collation_is_visible"),
    none("pg_conversion_is_visible"),
    none("pg_statistics_obj_is_visible"),
    none("pg_ts_config_is_visible"),
    none("pg_ts_dict_is_visible"),
    none("pg_ts_parser_is_visible"),
    none("pg_ts_template_is_visible"),
];

const fn visible(name: &'static str) -> Function {
    Function::new(name, &[AnyOid], Bool, |call| {
        let oid = call.oid(0, RegKind::Class)?;
        let schema = names::vector_schema(call.catalog, call.scope.database);
        let is_own = oid < crate::ids::FIRST_OID;
        Ok((is_own || call.scope.path.contains(&schema)).into())
    })
}

/// There is nothing of the kind: NULL, as PostgreSQL has it for an oid that is not there.
const fn none(name: &'static str) -> Function {
    Function::new(name, &[AnyOid], Bool, |_| Ok(Value::Null))
}
