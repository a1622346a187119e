//! What makes the rows of every system relation.

use super::{
    SystemRelation, View, access, attribute, class, constraint, extension, functions, index,
    information_schema, models, objects, roles, rows::Rows, sequence, settings, stat, text_search,
    types, user_types, views, webhooks,
};
use crate::error::Result;
use arrow::array::RecordBatch;

/// What makes the rows of a relation.
type Build = fn(&'static SystemRelation, &View) -> Result<RecordBatch>;

impl SystemRelation {
    /// Its rows as seen from a database.
    ///
    /// # Errors
    /// XX000, should a value not fit its column.
    pub fn rows(&'static self, view: &View) -> Result<RecordBatch> {
        build_of(self.schema, self.name)(self, view)
    }
}

/// What makes the rows of a relation; a relation without any is always empty.
fn build_of(schema: &str, name: &str) -> Build {
    match (schema, name) {
        ("pg_catalog", "pg_namespace") => objects::pg_namespace,
        ("pg_catalog", "pg_description") => objects::pg_description,
        ("pg_catalog", "pg_shdescription") => objects::pg_shdescription,
        ("pg_catalog", "pg_database") => objects::pg_database,
        ("pg_catalog", "pg_tablespace") => objects::pg_tablespace,
        ("pg_catalog", "pg_depend") => objects::pg_depend,
        ("pg_catalog", "pg_rewrite") => objects::pg_rewrite,
        ("pg_catalog", "pg_class") => class::pg_class,
        ("pg_catalog", "pg_attribute") => attribute::pg_attribute,
        ("pg_catalog", "pg_attrdef") => attribute::pg_attrdef,
        ("pg_catalog", "pg_index") => index::pg_index,
        ("pg_catalog", "pg_constraint") => constraint::pg_constraint,
        ("pg_catalog", "pg_sequence") => sequence::pg_sequence,
        ("pg_catalog", "pg_sequences") => sequence::pg_sequences,
        ("pg_catalog", "pg_type") => user_types::pg_type,
        ("pg_catalog", "pg_enum") => user_types::pg_enum,
        ("pg_catalog", "pg_operator") => types::pg_operator,
        ("pg_catalog", "pg_opclass") => types::pg_opclass,
        ("pg_catalog", "pg_opfamily") => types::pg_opfamily,
        ("pg_catalog", "pg_am") => types::pg_am,
        ("pg_catalog", "pg_amop") => types::pg_amop,
        ("pg_catalog", "pg_amproc") => types::pg_amproc,
        ("pg_catalog", "pg_cast") => types::pg_cast,
        ("pg_catalog", "pg_collation") => types::pg_collation,
        ("pg_catalog", "pg_proc") => functions::pg_proc,
        ("pg_catalog", "pg_aggregate") => functions::pg_aggregate,
        ("pg_catalog", "pg_ts_config") => text_search::pg_ts_config,
        ("pg_catalog", "pg_language") => functions::pg_language,
        ("pg_catalog", "pg_extension") => extension::pg_extension,
        ("pg_catalog", "pg_available_extensions") => extension::pg_available_extensions,
        ("pg_catalog", "pg_available_extension_versions") => {
            extension::pg_available_extension_versions
        }
        ("pg_catalog", "pg_auth_members") => access::pg_auth_members,
        ("pg_catalog", "pg_default_acl") => access::pg_default_acl,
        ("pg_catalog", "pg_authid") => roles::pg_authid,
        ("pg_catalog", "pg_roles") => roles::pg_roles,
        ("pg_catalog", "pg_user" | "pg_shadow") => roles::pg_user,
        ("pg_catalog", "pg_group") => roles::pg_group,
        ("pg_catalog", "nearlake_models") => models::nearlake_models,
        ("pg_catalog", "nearlake_stat_embedding") => models::nearlake_stat_embedding,
        ("pg_catalog", "nearlake_api_keys") => roles::nearlake_api_keys,
        ("pg_catalog", "pg_db_role_setting") => roles::pg_db_role_setting,
        ("pg_catalog", "pg_settings") => settings::pg_settings,
        ("pg_catalog", "pg_timezone_names") => settings::pg_timezone_names,
        ("pg_catalog", "pg_tables") => views::pg_tables,
        ("pg_catalog", "pg_views") => views::pg_views,
        ("pg_catalog", "pg_indexes") => views::pg_indexes,
        ("pg_catalog", "pg_prepared_statements") => stat::pg_prepared_statements,
        ("pg_catalog", "pg_cursors") => stat::pg_cursors,
        ("pg_catalog", "pg_stat_activity") => stat::pg_stat_activity,
        ("pg_catalog", "pg_stat_progress_create_index") => stat::pg_stat_progress_create_index,
        ("pg_catalog", "pg_stat_database") => stat::pg_stat_database,
        ("pg_catalog", "pg_stat_all_tables" | "pg_stat_user_tables") => stat::tables,
        ("pg_catalog", "pg_stat_all_indexes" | "pg_stat_user_indexes") => stat::indexes,
        ("pg_catalog", "pg_statio_all_tables" | "pg_statio_user_tables") => stat::tables,
        ("pg_catalog", "pg_statio_all_indexes" | "pg_statio_user_indexes") => stat::indexes,
        ("pg_catalog", "nearlake_webhooks") => webhooks::nearlake_webhooks,
        ("pg_catalog", "nearlake_webhook_deliveries") => webhooks::nearlake_webhook_deliveries,
        ("pg_catalog", "nearlake_stat_recall") => stat::nearlake_stat_recall,
        ("pg_catalog", "nearlake_stat_statements") => stat::nearlake_stat_statements,
        ("pg_catalog", "pg_statio_all_sequences" | "pg_statio_user_sequences") => {
            stat::sequences_read
        }
        ("information_schema", name) => information_schema::build_of(name).unwrap_or(empty),
        _ => empty,
    }
}

/// No rows: Nearlake has nothing of the kind.
fn empty(relation: &'static SystemRelation, _: &View) -> Result<RecordBatch> {
    Rows::<()>::of(relation, &[]).finish()
}
