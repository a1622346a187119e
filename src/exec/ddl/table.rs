//! The parts of a table: columns with their sequences, constraints, options.

use super::{Ddl, joined_name};
use crate::{
    catalog::{
        Change, Column, Constraint, ConstraintKind, Sequence, Table,
        privileges::{Class, Privileges},
    },
    error::{Error, Result, SqlState},
    exec::write::quote,
    ids::{ColumnId, Oid, TableId},
    pgtype::PgType,
    sql::{
        MODEL_SETTING,
        utility::{ColumnDefinition, SequenceOptions, TableConstraint, TableConstraintKind},
        with_named_models,
    },
    vector::{Metric, Space},
};
use std::{collections::BTreeMap, sync::Arc};

/// The most columns that a table may have, as in PostgreSQL.
const COLUMNS_MAX: usize = 1600;

impl Ddl<'_> {
    /// Adds a column to a table that is being made or altered; the sequence that it owns, if any.
    pub(super) async fn add_column(
        &mut self,
        table: &mut Table,
        definition: &ColumnDefinition,
    ) -> Result<Option<Sequence>> {
        if table.column(&definition.name).is_some() {
            return Err(duplicate_column(&definition.name, &table.name));
        }
        if crate::sql::ROW_COLUMN == definition.name || is_system_column(&definition.name) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column name \"{}\" conflicts with a system column name", definition.name),
            ));
        }
        if table.columns.len() >= COLUMNS_MAX {
            return Err(Error::new(
                SqlState::new(b"54011"),
                format!("tables can have at most {COLUMNS_MAX} columns"),
            ));
        }
        let conflict = match definition {
            ColumnDefinition { generated: None, .. } => None,
            ColumnDefinition { identity: Some(_), .. } => Some("identity"),
            ColumnDefinition { serial: true, .. } | ColumnDefinition { default: Some(_), .. } => {
                Some("default")
            }
            _ => None,
        };
        if let Some(other) = conflict {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "both {other} and generation expression specified for column \"{}\" of table \"{}\"",
                    definition.name, table.name
                ),
            ));
        }
        let id = table.next_column;
        table.next_column = ColumnId(id.0.checked_add(1).ok_or_else(|| {
            Error::new(SqlState::new(b"54011"), "a table cannot have had so many columns")
        })?);
        let kind = self.kind_of(&definition.kind).await?;
        let mut column = Column {
            domain: self.domain_named(&definition.kind).map(|domain| domain.id),
            not_null: definition.not_null,
            default: definition.default.clone(),
            generated: definition.generated.clone(),
            ..Column::new(id, &definition.name, kind)
        };
        self.settle_models(&mut column).await?;
        let mut sequence = None;
        if definition.serial || definition.identity.is_some() {
            let options = match &definition.identity {
                Some((identity, options)) => {
                    column.identity = Some(*identity);
                    options.clone()
                }
                None => SequenceOptions::default(),
            };
            let made = self.owned_sequence(table, &mut column, &options).await?;
            sequence = Some(made);
        }
        table.columns.push(column);
        Ok(sequence)
    }

    /// The models that a generated column asks, from now on as they are now; calls that name none
    /// ask the session's.
    pub(super) async fn settle_models(&mut self, column: &mut Column) -> Result<()> {
        let Some(text) = &column.generated else {
            column.models.clear();
            return Ok(());
        };
        let default = self.env.context.setting(MODEL_SETTING);
        let (text, names) = with_named_models(text, default.as_deref())?;
        for name in &names {
            self.hold_model(name).await?;
        }
        let catalog = self.catalog();
        let models = names.iter().map(|name| Ok(catalog.expect_model(name)?.of_column()));
        column.models = models.collect::<Result<_>>()?;
        column.generated = Some(text);
        Ok(())
    }

    /// A sequence for a serial or identity column, which gets its default from it.
    pub(super) async fn owned_sequence(
        &mut self,
        table: &Table,
        column: &mut Column,
        options: &SequenceOptions,
    ) -> Result<Sequence> {
        let base = joined_name(&table.name, &column.name, "seq");
        let name = self.free_name(table.schema, &base, &[]);
        let options = SequenceOptions { kind: Some(column.kind.clone()), ..options.clone() };
        let mut sequence = self.new_sequence(table.schema, &name, &options).await?;
        sequence.owned_by = Some((table.id, column.id));
        sequence.owner = table.owner;
        let schema = Some(table.schema);
        let granted = self.grants_of_new(sequence.id, Class::Sequence, table.owner, schema);
        self.transaction.change(granted);
        column.sequence = Some(sequence.id);
        column.not_null = true;
        let schema = self.catalog().schema(table.schema).map(|s| s.name.clone());
        let full = format!("{}.{}", quote(&schema.unwrap_or_default()), quote(&name));
        column.default = Some(format!("nextval('{}'::regclass)", full.replace('\'', "''")));
        Ok(sequence)
    }

    /// A sequence by its options.
    pub(super) async fn new_sequence(
        &mut self,
        schema: Oid,
        name: &str,
        options: &SequenceOptions,
    ) -> Result<Sequence> {
        let kind = options.kind.clone().unwrap_or(PgType::Int8);
        let (least, most) = match kind {
            PgType::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            PgType::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            PgType::Int8 => (i64::MIN, i64::MAX),
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "sequence type must be smallint, integer, or bigint",
                ));
            }
        };
        let increment = options.increment.unwrap_or(1);
        let invalid = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        if increment == 0 {
            return invalid("INCREMENT must not be zero".to_owned());
        }
        let min = options.min.flatten().unwrap_or(if increment > 0 { 1 } else { least });
        let max = options.max.flatten().unwrap_or(if increment > 0 { most } else { -1 });
        if min >= max {
            return invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})"));
        }
        let start = options.start.unwrap_or(if increment > 0 { min } else { max });
        if start < min {
            return invalid(format!("START value ({start}) cannot be less than MINVALUE ({min})"));
        }
        if start > max {
            return invalid(format!(
                "START value ({start}) cannot be greater than MAXVALUE ({max})"
            ));
        }
        let (id, owner) = (self.fresh_oid(), self.env.context.user());
        let (name, cycle) = (name.to_owned(), options.cycle.unwrap_or(false));
        Ok(Sequence {
            id,
            schema,
            name,
            owner,
            owned_by: None,
            kind,
            start,
            increment,
            min,
            max,
            cycle,
            last: None,
        })
    }

    /// Adds a constraint to a table.
    pub(super) async fn add_constraint(
        &mut self,
        table: &mut Table,
        constraint: &TableConstraint,
    ) -> Result<Constraint> {
        let kind = match &constraint.kind {
            TableConstraintKind::PrimaryKey { columns } => {
                if table.primary_key().is_some() {
                    return Err(Error::new(
                        SqlState::INVALID_TABLE_DEFINITION,
                        format!(
                            "multiple primary keys for table \"{}\" are not allowed",
                            table.name
                        ),
                    ));
                }
                let columns = key_columns(table, columns)?;
                for column in &mut table.columns {
                    column.not_null |= columns.contains(&column.id);
                }
                ConstraintKind::PrimaryKey { columns }
            }
            TableConstraintKind::Unique { columns, nulls_not_distinct } => ConstraintKind::Unique {
                columns: key_columns(table, columns)?,
                index_only: false,
                nulls_not_distinct: *nulls_not_distinct,
            },
            TableConstraintKind::Check { expression } => {
                ConstraintKind::Check { expression: expression.clone() }
            }
            TableConstraintKind::ForeignKey { columns, references, referenced, actions } => {
                self.foreign_key(table, columns, references, referenced, actions)?
            }
        };
        let name = match &constraint.name {
            Some(name) => name.clone(),
            None => self.constraint_name(table, &kind),
        };
        let taken = || {
            Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
            )
        };
        if table.constraints.iter().any(|other| other.name == name) {
            return Err(taken());
        }
        if kind.is_key() {
            self.refuse_taken(table.schema, &name)?;
        }
        let made = Constraint { id: self.fresh_oid(), name, kind };
        table.constraints.push(made.clone());
        Ok(made)
    }

    fn constraint_name(&mut self, table: &Table, kind: &ConstraintKind) -> String {
        let names = |columns: &[ColumnId]| {
            let names = columns.iter().filter_map(|&id| table.column_by_id(id));
            names.map(|column| column.name.as_str()).collect::<Vec<_>>().join("_")
        };
        let base = match kind {
            ConstraintKind::PrimaryKey { .. } => joined_name(&table.name, "", "pkey"),
            ConstraintKind::Unique { columns, .. } => {
                joined_name(&table.name, &names(columns), "key")
            }
            ConstraintKind::Check { expression } => {
                // PostgreSQL names a check after its column where it has but one.
                let word = |c: &&Column| {
                    expression
                        .split(|ch: char| !ch.is_alphanumeric() && ch != '_')
                        .any(|word| word.eq_ignore_ascii_case(&c.name))
                };
                let used: Vec<&Column> = table.columns.iter().filter(word).collect();
                let column = if let [column] = used.as_slice() { &column.name } else { "" };
                joined_name(&table.name, column, "check")
            }
            ConstraintKind::ForeignKey { columns, .. } => {
                joined_name(&table.name, &names(columns), "fkey")
            }
        };
        let taken: Vec<String> = table.constraints.iter().map(|c| c.name.clone()).collect();
        self.free_name(table.schema, &base, &taken)
    }

    fn foreign_key(
        &mut self,
        table: &Table,
        columns: &[String],
        references: &crate::sql::utility::Name,
        referenced: &[String],
        actions: &str,
    ) -> Result<ConstraintKind> {
        let columns = key_columns(table, columns)?;
        let is_itself = references.name == table.name && self.find(references)?.is_none();
        let target =
            if is_itself { Arc::new(table.clone()) } else { self.expect_table(references)? };
        if !is_itself {
            self.check_any(target.id, Privileges::REFERENCES)?;
        }
        let referenced = if referenced.is_empty() {
            target.primary_key().map(|(_, columns)| columns.to_vec()).ok_or_else(|| {
                Error::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("there is no primary key for referenced table \"{}\"", target.name),
                )
            })?
        } else {
            key_columns(&target, referenced)?
        };
        if referenced.len() != columns.len() {
            return Err(Error::new(
                SqlState::new(b"42830"),
                "number of referencing and referenced columns for foreign key disagree",
            ));
        }
        self.notice("foreign keys are recorded, not enforced");
        Ok(ConstraintKind::ForeignKey {
            columns,
            references: target.id,
            referenced,
            actions: actions.to_owned(),
        })
    }
}

/// Checks the options of a table's `WITH (…)`.
pub(super) fn table_options(options: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut checked = BTreeMap::new();
    for (name, value) in options {
        let value = match name.to_ascii_lowercase().as_str() {
            "distance_metric" => {
                let metric = Metric::from_word(value).ok_or_else(|| {
                    let words: Vec<&str> = Space::Vector.metrics().map(Metric::word).collect();
                    Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"distance_metric\": \"{value}\""),
                    )
                    .hint(format!("Available values: {}.", words.join(", ")))
                })?;
                metric.word().to_owned()
            }
            // What clients of the JSON API declared; whoever serves them knows its form.
            "namespace" => {
                let is_object =
                    serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(value);
                is_object.map_err(|error| {
                    Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"namespace\": {error}"),
                    )
                })?;
                value.clone()
            }
            // The name by which clients of the JSON API find a table that lies in another schema.
            "namespace_name" => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                if value.is_empty() || value.len() > 128 || !value.bytes().all(fits) {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"namespace_name\": \"{value}\""),
                    )
                    .hint("It has 1 to 128 characters out of A-Z a-z 0-9 - _ ."));
                }
                value.clone()
            }
            "embedding" => match value.to_ascii_lowercase().as_str() {
                how @ ("inline" | "deferred") => how.to_owned(),
                _ => {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"embedding\": \"{value}\""),
                    )
                    .hint("Available values: inline, deferred."));
                }
            },
            // Storage parameters of PostgreSQL's heap that ask for nothing that matters here.
            "fillfactor" | "autovacuum_enabled" | "toast_tuple_target" => value.clone(),
            name if name.starts_with("autovacuum_") || name.starts_with("toast.") => value.clone(),
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unrecognized parameter \"{name}\""),
                )
                .hint(
                    "Available options: distance_metric, embedding, namespace, namespace_name.",
                ));
            }
        };
        checked.insert(name.to_ascii_lowercase(), value);
    }
    Ok(checked)
}

pub(super) fn key_columns(table: &Table, names: &[String]) -> Result<Vec<ColumnId>> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = table.column(name).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in key does not exist"),
            )
        })?;
        if columns.contains(&column.id) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in constraint"),
            ));
        }
        columns.push(column.id);
    }
    Ok(columns)
}

pub(super) fn duplicate_column(name: &str, table: &str) -> Error {
    Error::new(
        SqlState::DUPLICATE_COLUMN,
        format!("column \"{name}\" of relation \"{table}\" already exists"),
    )
}

fn is_system_column(name: &str) -> bool {
    ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"].contains(&name)
}

/// What depends on a table by its columns' sequences.
pub(super) fn owned_sequences(
    catalog: &crate::catalog::Catalog,
    table: TableId,
) -> impl Iterator<Item = &Arc<Sequence>> {
    catalog.sequences().filter(move |s| s.owned_by.is_some_and(|(owner, _)| owner == table))
}

/// Puts what a new table consists of: itself and its sequences.
pub(super) fn put_table(table: Table, sequences: Vec<Sequence>) -> Vec<Change> {
    let mut changes: Vec<Change> =
        sequences.into_iter().map(|sequence| Change::Sequence(Arc::new(sequence))).collect();
    changes.push(Change::Table(Arc::new(table)));
    changes
}

pub(super) fn column_mut(table: &mut Table, id: ColumnId) -> &mut Column {
    let column = table.columns.iter_mut().find(|column| column.id == id);
    column.expect("the column was found in this table")
}

pub(super) fn no_constraint(table: &Table, name: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name),
    )
}
