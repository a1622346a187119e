//! The DDL by which a namespace becomes what it is to be.

use crate::{
    catalog::RECALL_TARGET_OPTION,
    namespaces::{
        attribute::{AttributeType, Scalar},
        fault::{Answer, Fault},
        names::{ID, SCHEMA, literal, quoted},
        shape::{Attribute, OPTION, Shape, VectorIndex},
    },
    vector::{Metric, Space},
};
use serde_json::json;

/// Creates the table, and the schema with the first.
pub(super) fn create(shape: &Shape) -> Answer<Vec<String>> {
    let id = shape.id().filter(|id| id.name == ID).ok_or_else(|| {
        Fault::invalid("an empty namespace needs the type of `id` declared in `schema`")
    })?;
    check_id(id.kind)?;
    let columns: Vec<String> = shape
        .attributes
        .iter()
        .map(|attribute| {
            let key = if attribute.name == ID { " PRIMARY KEY" } else { "" };
            format!("{}{key}", column(shape, attribute))
        })
        .collect();
    let table =
        format!("CREATE TABLE {} ({}) WITH ({})", shape.sql(), columns.join(", "), options(shape));
    // Who may make tables in the schema need not be one who may make schemas.
    let schema = (!shape.has_schema).then(|| format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}"));
    Ok(schema.into_iter().chain([table]).collect())
}

/// Adds columns, and changes what was declared.
pub(super) fn alter(shape: &Shape, before: &Shape) -> Vec<String> {
    let table = shape.sql();
    let new = shape.attributes.iter().filter(|new| before.attribute(&new.name).is_none());
    let mut statements: Vec<String> = new
        .map(|attribute| format!("ALTER TABLE {table} ADD COLUMN {}", column(shape, attribute)))
        .collect();
    if shape.settings != before.settings || shape.metric != before.metric {
        statements.push(set_options(shape));
    }
    statements
}

/// Writes what the catalog keeps of a namespace.
pub(in crate::namespaces) fn set_options(shape: &Shape) -> String {
    format!("ALTER TABLE {} SET ({})", shape.sql(), options(shape))
}

/// Builds the indexes that are not there yet.
pub(super) fn build(shape: &Shape) -> Vec<String> {
    let indexed = shape.attributes.iter().filter_map(|attribute| {
        let index = attribute.index.as_ref().filter(|index| index.id.is_none())?;
        let half = matches!(attribute.kind, AttributeType::Vector { half: true, .. });
        let space = if half { Space::Halfvec } else { Space::Vector };
        let target = index.recall_target;
        let with = target.map(|target| format!(" WITH ({RECALL_TARGET_OPTION} = {target})"));
        Some(format!(
            "CREATE INDEX ON {} USING spfresh ({} {}){}",
            shape.sql(),
            quoted(&attribute.name),
            space.operator_class(index.metric),
            with.unwrap_or_default()
        ))
    });
    indexed.collect()
}

/// Drops an index, which is to be built anew by another metric.
pub(super) fn rebuilt(index: &mut VectorIndex, metric: Metric) -> String {
    (index.id, index.metric) = (None, metric);
    format!("DROP INDEX {}", index.sql())
}

/// A column as SQL declares it.
fn column(shape: &Shape, attribute: &Attribute) -> String {
    let generation = shape.generation(&attribute.name);
    let generation = generation.map(|made| format!(" GENERATED ALWAYS AS ({made}) STORED"));
    let name = quoted(&attribute.name);
    format!("{name} {}{}", attribute.column, generation.unwrap_or_default())
}

/// Refuses types that no id can have.
fn check_id(kind: AttributeType) -> Answer<()> {
    match kind {
        AttributeType::Scalar(Scalar::String | Scalar::Int | Scalar::Uint | Scalar::Uuid) => Ok(()),
        other => Err(Fault::invalid(format!(
            "the type of `id` is uint, int, uuid or string, not {other}"
        ))),
    }
}

fn options(shape: &Shape) -> String {
    let settings = json!(shape.settings).to_string();
    let metric = shape.metric.map(|metric| format!("distance_metric = '{}', ", metric.word()));
    format!("{}{OPTION} = {}", metric.unwrap_or_default(), literal(&settings))
}
