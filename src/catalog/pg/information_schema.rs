//! The standard's views of the catalog: `information_schema`.

use super::{
    SystemRelation, View,
    attribute::with_default,
    constraint::{action, columns as constrained, constraints, referenced_key},
    deparse,
    names::Scope,
    rows::{Rows, broken, count},
    sequence::sequences as all_sequences,
    shape::relations,
    standard_types::{data_type, maximum_length, numeric, octet_length, type_schema},
};
use crate::{
    catalog::{
        self, Column, Constraint, ConstraintKind, Domain, Identity, Sequence, Table,
        privileges::Class,
    },
    error::Result,
    ids::{ColumnId, Oid},
    pgtype::{PgType, precision},
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    compute::concat_batches,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

/// What makes the rows of a relation.
type Build = fn(&'static SystemRelation, &View) -> Result<RecordBatch>;

/// What makes the rows of a view of the standard; `None` for those that are always empty.
pub(super) fn build_of(name: &str) -> Option<Build> {
    Some(match name {
        "character_sets" => character_sets,
        "check_constraints" => check_constraints,
        "column_privileges" | "role_column_grants" => super::access::column_privileges,
        "columns" => columns,
        "constraint_column_usage" => constraint_column_usage,
        "constraint_table_usage" => constraint_table_usage,
        "domain_constraints" => super::domains::domain_constraints,
        "domain_udt_usage" => super::domains::domain_udt_usage,
        "domains" => super::domains::domains,
        "enabled_roles" => enabled_roles,
        "information_schema_catalog_name" => catalog_name,
        "key_column_usage" => key_column_usage,
        "referential_constraints" => referential_constraints,
        "role_table_grants" | "table_privileges" => super::access::table_privileges,
        "routines" => super::routines::routines,
        "schemata" => schemata,
        "sequences" => sequences,
        "table_constraints" => table_constraints,
        "tables" => tables,
        "views" => views,
        _ => return None,
    })
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

fn catalog_name(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &[()]).set("catalog_name", |()| view.database_name()).finish()
}

fn character_sets(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &[()])
        .set("character_set_name", |()| "UTF8")
        .set("character_repertoire", |()| "UCS")
        .set("form_of_use", |()| "UTF8")
        .set("default_collate_catalog", |()| view.database_name())
        .finish()
}

fn enabled_roles(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let roles = view.catalog.roles();
    let roles = roles.filter(|role| view.catalog.has_privileges_of(view.user, role.id));
    let roles: Vec<_> = roles.collect();
    Rows::of(relation, &roles).set("role_name", |role| role.name.as_str()).finish()
}

fn schemata(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let is_shown = |schema: &&Arc<catalog::Schema>| {
        let held = || Some(view.catalog.held(view.user, &view.catalog.object(schema.id)?));
        view.catalog.has_privileges_of(view.user, schema.owner)
            || held().is_some_and(|held| !held.is_empty())
    };
    let schemas: Vec<_> = view.schemas().filter(is_shown).collect();
    Rows::of(relation, &schemas)
        .set("catalog_name", |_| view.database_name())
        .set("schema_name", |schema| schema.name.as_str())
        .set("schema_owner", |schema| view.role_name(schema.owner))
        .finish()
}

/// Tables and views, the system's among them: schema, name, whether it is a table, is the user's.
fn tables(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let system = relations().map(|s| (s.schema, s.name, s.relkind == "r", false));
    let tables = view.catalog.tables().filter(|t| view.sees(t.schema) && view.shows(t.id));
    let tables = tables.map(|t| (view.schema_name(t.schema), t.name.as_str(), true, true));
    let views = view.catalog.views().filter(|v| view.sees(v.schema) && view.shows(v.id));
    let views = views.map(|v| (view.schema_name(v.schema), v.name.as_str(), false, false));
    let rows: Vec<_> = tables.chain(views).chain(system).collect();
    Rows::of(relation, &rows)
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |row| row.0)
        .set("table_name", |row| row.1)
        .set("table_type", |row| match row.2 {
            true if row.0.starts_with("pg_temp_") => "LOCAL TEMPORARY",
            true => "BASE TABLE",
            false => "VIEW",
        })
        .set("is_insertable_into", |row| yes_or_no(row.3))
        .set("is_typed", |_| "NO")
        .finish()
}

fn views(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let is_shown = |made: &&Arc<catalog::View>| view.sees(made.schema) && view.shows(made.id);
    let own = view.catalog.views().filter(is_shown).map(|made| {
        let is_own = view.catalog.has_privileges_of(view.user, made.owner);
        let definition = is_own.then(|| deparse::view(made));
        (view.schema_name(made.schema), made.name.as_str(), definition)
    });
    let system = relations().filter(|s| s.relkind == "v").map(|s| (s.schema, s.name, None));
    let rows: Vec<_> = own.chain(system).collect();
    Rows::of(relation, &rows)
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |row| row.0)
        .set("table_name", |row| row.1)
        .set("view_definition", |row| row.2.clone())
        .set("check_option", |_| "NONE")
        .set("is_updatable", |_| "NO")
        .set("is_insertable_into", |_| "NO")
        .set("is_trigger_updatable", |_| "NO")
        .set("is_trigger_deletable", |_| "NO")
        .set("is_trigger_insertable_into", |_| "NO")
        .finish()
}

/// A column of a table or a view.
#[derive(Debug)]
struct Described<'v> {
    schema: &'v str,
    table: &'v str,
    name: &'v str,
    number: i64,
    kind: PgType,
    domain: Option<&'v Domain>,
    not_null: bool,
    default: Option<String>,
    identity: Option<(Identity, Option<&'v Sequence>)>,
    /// Whether the default is what generates the column.
    is_generated: bool,
    is_updatable: bool,
}

fn columns(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let own = describe(relation, view.database_name(), Some(view), &own(view))?;
    // The columns of the system's relations are the same everywhere but for the database's name.
    static ROWS: OnceLock<RecordBatch> = OnceLock::new();
    let system = match ROWS.get() {
        Some(rows) => rows,
        None => {
            let made = describe(relation, "", None, &system())?;
            ROWS.get_or_init(|| made)
        }
    };
    let name: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
        view.database_name(),
        system.num_rows(),
    )));
    let system_columns = system.columns().iter().zip(&relation.columns).map(|(array, column)| {
        let is_catalog = matches!(column.name, "table_catalog" | "udt_catalog");
        Arc::clone(if is_catalog { &name } else { array })
    });
    let system = RecordBatch::try_new(system.schema(), system_columns.collect()).map_err(broken)?;
    concat_batches(&relation.schema_ref(), [&own, &system]).map_err(broken)
}

fn system() -> Vec<Described<'static>> {
    relations()
        .flat_map(|system| {
            (1..).zip(&system.columns).map(|(number, column)| Described {
                schema: system.schema,
                table: system.name,
                name: column.name,
                number,
                kind: column.kind.clone(),
                domain: None,
                not_null: column.not_null,
                default: None,
                identity: None,
                is_generated: false,
                is_updatable: false,
            })
        })
        .collect()
}

fn own(view: &View) -> Vec<Described<'_>> {
    let path: Vec<_> = view.schemas().map(|schema| schema.id).collect();
    let scope = Scope { catalog: &view.catalog, database: view.database, path: &path };
    let mut defaults: HashMap<(Oid, ColumnId), String> = with_default(view)
        .filter_map(|(table, column)| {
            Some(((table.id, column.id), deparse::default_expression(&scope, column)?))
        })
        .collect();
    let mut described = Vec::new();
    for table in view.catalog.tables().filter(|t| view.sees(t.schema) && view.shows(t.id)) {
        let key: HashSet<_> = table.primary_key().into_iter().flat_map(|(_, key)| key).collect();
        let identity = |column: &Column| {
            let sequence = column.sequence.and_then(|id| view.catalog.sequence(id));
            column.identity.map(|identity| (identity, sequence.map(|sequence| &**sequence)))
        };
        let shown = shown_columns(view, table.id);
        let columns = table.columns.iter().filter(|column| shown(column.id));
        described.extend(columns.map(|column| Described {
            schema: view.schema_name(table.schema),
            table: &table.name,
            name: &column.name,
            number: column.attnum().into(),
            kind: column.kind.clone(),
            domain: column.domain.and_then(|id| view.catalog.domain(id)).map(|domain| &**domain),
            not_null: column.not_null || key.contains(&column.id) || column.identity.is_some(),
            default: defaults.remove(&(table.id, column.id)),
            identity: identity(column),
            is_generated: column.generated.is_some(),
            is_updatable: true,
        }));
    }
    for made in view.catalog.views().filter(|v| view.sees(v.schema) && view.shows(v.id)) {
        let shown = shown_columns(view, made.id);
        let columns = (1..).zip(&made.columns).filter(|(number, _)| {
            i16::try_from(*number).is_ok_and(|number| shown(ColumnId(number)))
        });
        described.extend(columns.map(|(number, (name, kind))| Described {
            schema: view.schema_name(made.schema),
            table: &made.name,
            name,
            number,
            kind: kind.clone(),
            domain: None,
            not_null: false,
            default: None,
            identity: None,
            is_generated: false,
            is_updatable: false,
        }));
    }
    described
}

/// Which columns of a relation are shown: those with which the session's role may do something.
fn shown_columns(view: &View, relation: Oid) -> impl Fn(ColumnId) -> bool {
    let object = view.catalog.object(relation);
    let all = Class::Column.all();
    let of_all = object.as_ref().is_some_and(|object| {
        !view.catalog.held(view.user, object).common(all).is_empty()
            || view.catalog.has_privileges_of(view.user, object.owner)
    });
    move |column| {
        let held = || Some(view.catalog.held_on(view.user, object.as_ref()?, column));
        of_all || held().is_some_and(|held| !held.is_empty())
    }
}

fn describe(
    relation: &'static SystemRelation,
    database: &str,
    view: Option<&View>,
    rows: &[Described<'_>],
) -> Result<RecordBatch> {
    let sequence = |column: &Described<'_>, value: fn(&Sequence) -> i64| {
        column.identity?.1.map(|sequence| value(sequence).to_string())
    };
    Rows::of(relation, rows)
        .set("table_catalog", |_| database)
        .set("table_schema", |column| column.schema)
        .set("table_name", |column| column.table)
        .set("column_name", |column| column.name)
        .set("ordinal_position", |column| column.number)
        .set("column_default", |column| column.default.as_deref().filter(|_| !column.is_generated))
        .set("is_nullable", |column| yes_or_no(!column.not_null))
        .set("data_type", |column| data_type(&column.kind))
        .set("character_maximum_length", |column| maximum_length(&column.kind))
        .set("character_octet_length", |column| octet_length(&column.kind))
        .set("numeric_precision", |column| Some(numeric(&column.kind)?.0))
        .set("numeric_precision_radix", |column| Some(numeric(&column.kind)?.1))
        .set("numeric_scale", |column| numeric(&column.kind)?.2)
        .set("datetime_precision", |column| precision::of_second(&column.kind))
        .set("interval_type", |column| column.kind.qualifier()?.interval_type())
        .set("domain_catalog", |column| column.domain.map(|_| database))
        .set("domain_schema", |column| Some(view?.schema_name(column.domain?.schema)))
        .set("domain_name", |column| Some(column.domain?.name.as_str()))
        .set("udt_catalog", |_| database)
        .set("udt_schema", |column| type_schema(view, &column.kind))
        .set("udt_name", |column| column.kind.typname())
        .set("dtd_identifier", |column| column.number.to_string())
        .set("is_self_referencing", |_| "NO")
        .set("is_identity", |column| yes_or_no(column.identity.is_some()))
        .set("identity_generation", |column| {
            column.identity.map(|(identity, _)| match identity {
                Identity::Always => "ALWAYS",
                Identity::ByDefault => "BY DEFAULT",
            })
        })
        .set("identity_start", |column| sequence(column, |s| s.start))
        .set("identity_increment", |column| sequence(column, |s| s.increment))
        .set("identity_maximum", |column| sequence(column, |s| s.max))
        .set("identity_minimum", |column| sequence(column, |s| s.min))
        .set("identity_cycle", |column| {
            yes_or_no(column.identity.and_then(|(_, sequence)| sequence).is_some_and(|s| s.cycle))
        })
        .set("is_generated", |column| if column.is_generated { "ALWAYS" } else { "NEVER" })
        .set("generation_expression", |column| {
            column.default.as_deref().filter(|_| column.is_generated)
        })
        .set("is_updatable", |column| yes_or_no(column.is_updatable))
        .finish()
}

fn sequences(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    // That of an identity column is the column's own affair.
    let of_identity: HashSet<_> = view
        .catalog
        .tables()
        .flat_map(|table| &table.columns)
        .filter(|column| column.identity.is_some())
        .filter_map(|column| column.sequence)
        .collect();
    let mut rows = all_sequences(view);
    rows.retain(|sequence| !of_identity.contains(&sequence.id));
    Rows::of(relation, &rows)
        .set("sequence_catalog", |_| view.database_name())
        .set("sequence_schema", |sequence| view.schema_name(sequence.schema))
        .set("sequence_name", |sequence| sequence.name.as_str())
        .set("data_type", |sequence| data_type(&sequence.kind))
        .set("numeric_precision", |sequence| numeric(&sequence.kind)?.0)
        .set("numeric_precision_radix", |_| 2)
        .set("numeric_scale", |_| 0)
        .set("start_value", |sequence| sequence.start.to_string())
        .set("minimum_value", |sequence| sequence.min.to_string())
        .set("maximum_value", |sequence| sequence.max.to_string())
        .set("increment", |sequence| sequence.increment.to_string())
        .set("cycle_option", |sequence| yes_or_no(sequence.cycle))
        .finish()
}

fn table_constraints(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let rows: Vec<_> = constraints(view).collect();
    Rows::of(relation, &rows)
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(table, _)| view.schema_name(table.schema))
        .set("constraint_name", |(_, constraint)| constraint.name.as_str())
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |(table, _)| view.schema_name(table.schema))
        .set("table_name", |(table, _)| table.name.as_str())
        .set("constraint_type", |(_, constraint)| match constraint.kind {
            ConstraintKind::PrimaryKey { .. } => "PRIMARY KEY",
            ConstraintKind::Unique { .. } => "UNIQUE",
            ConstraintKind::Check { .. } => "CHECK",
            ConstraintKind::ForeignKey { .. } => "FOREIGN KEY",
        })
        .set("is_deferrable", |_| "NO")
        .set("initially_deferred", |_| "NO")
        .set("enforced", |(_, constraint)| {
            yes_or_no(!matches!(constraint.kind, ConstraintKind::ForeignKey { .. }))
        })
        .set("nulls_distinct", |(_, constraint)| {
            let is_unique = matches!(constraint.kind, ConstraintKind::Unique { .. });
            is_unique.then(|| yes_or_no(!constraint.kind.nulls_not_distinct()))
        })
        .finish()
}

fn check_constraints(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let of_tables = constraints(view).filter_map(|(table, constraint)| match &constraint.kind {
        ConstraintKind::Check { expression } => Some((table.schema, &constraint.name, expression)),
        _ => None,
    });
    let of_domains = super::domains::checks(view);
    let of_domains =
        of_domains.map(|(domain, check)| (domain.schema, &check.name, &check.expression));
    let checks: Vec<_> = of_tables
        .chain(of_domains)
        .map(|(schema, name, expression)| (schema, name.as_str(), deparse::enclosed(expression)))
        .collect();
    Rows::of(relation, &checks)
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(schema, ..)| view.schema_name(*schema))
        .set("constraint_name", |(_, name, _)| *name)
        .set("check_clause", |(.., clause)| clause.as_str())
        .finish()
}

/// A column of a constraint, counted from 1.
type Use<'v> = (&'v Table, &'v Constraint, i64, &'v Column);

fn key_column_usage(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let is_check = |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { .. });
    let used: Vec<Use<'_>> = constraints(view)
        .filter(|(_, constraint)| !is_check(&constraint.kind))
        .flat_map(|(table, constraint)| {
            let columns = (1..).zip(constrained(table, constraint));
            columns.filter_map(move |(number, id)| {
                Some((table, constraint, number, table.column_by_id(id)?))
            })
        })
        .collect();
    Rows::of(relation, &used)
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(table, ..)| view.schema_name(table.schema))
        .set("constraint_name", |(_, constraint, ..)| constraint.name.as_str())
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |(table, ..)| view.schema_name(table.schema))
        .set("table_name", |(table, ..)| table.name.as_str())
        .set("column_name", |(.., column)| column.name.as_str())
        .set("ordinal_position", |(_, _, number, _)| *number)
        .set("position_in_unique_constraint", |(_, constraint, number, _)| {
            position_in_key(view, &constraint.kind, *number)
        })
        .finish()
}

/// The place in the key referred to of the column that a reference's column stands for.
fn position_in_key(view: &View, kind: &ConstraintKind, number: i64) -> Option<i64> {
    let ConstraintKind::ForeignKey { referenced, references, .. } = kind else { return None };
    let column = referenced.get(usize::try_from(number - 1).ok()?)?;
    let key = referenced_key(view, kind)?;
    let columns = constrained(view.catalog.table(*references)?, key);
    Some(count(columns.iter().position(|id| id == column)?) + 1)
}

/// The tables and columns that constraints speak of: for a reference those referred to.
fn usage(view: &View) -> impl Iterator<Item = (&Table, &Constraint, &Table, Vec<ColumnId>)> {
    constraints(view).map(|(table, constraint)| match &constraint.kind {
        ConstraintKind::ForeignKey { references, referenced, .. } => {
            let other = view.catalog.table(*references).map_or(table, |other| &**other);
            (table, constraint, other, referenced.clone())
        }
        _ => (table, constraint, table, constrained(table, constraint)),
    })
}

fn constraint_column_usage(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let used: Vec<_> = usage(view)
        .flat_map(|(table, constraint, of, columns)| {
            columns
                .into_iter()
                .filter_map(move |id| Some((table, constraint, of, of.column_by_id(id)?)))
        })
        .collect();
    Rows::of(relation, &used)
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |(_, _, of, _)| view.schema_name(of.schema))
        .set("table_name", |(_, _, of, _)| of.name.as_str())
        .set("column_name", |(.., column)| column.name.as_str())
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(table, ..)| view.schema_name(table.schema))
        .set("constraint_name", |(_, constraint, ..)| constraint.name.as_str())
        .finish()
}

fn constraint_table_usage(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let is_check = |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { .. });
    let used: Vec<_> = usage(view).filter(|(_, made, ..)| !is_check(&made.kind)).collect();
    Rows::of(relation, &used)
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |(_, _, of, _)| view.schema_name(of.schema))
        .set("table_name", |(_, _, of, _)| of.name.as_str())
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(table, ..)| view.schema_name(table.schema))
        .set("constraint_name", |(_, constraint, ..)| constraint.name.as_str())
        .finish()
}

fn referential_constraints(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let rule = |actions: &str, event: &str| match action(actions, event) {
        "c" => "CASCADE",
        "r" => "RESTRICT",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        _ => "NO ACTION",
    };
    let references: Vec<_> = constraints(view)
        .filter_map(|(table, constraint)| match &constraint.kind {
            ConstraintKind::ForeignKey { references, actions, .. } => {
                let other = view.catalog.table(*references)?;
                let key = referenced_key(view, &constraint.kind);
                Some((table, constraint, other, key, actions.as_str()))
            }
            _ => None,
        })
        .collect();
    Rows::of(relation, &references)
        .set("constraint_catalog", |_| view.database_name())
        .set("constraint_schema", |(table, ..)| view.schema_name(table.schema))
        .set("constraint_name", |(_, constraint, ..)| constraint.name.as_str())
        .set("unique_constraint_catalog", |row| row.3.map(|_| view.database_name()))
        .set("unique_constraint_schema", |row| row.3.map(|_| view.schema_name(row.2.schema)))
        .set("unique_constraint_name", |row| row.3.map(|key| key.name.as_str()))
        .set("match_option", |_| "NONE")
        .set("update_rule", |row| rule(row.4, "UPDATE"))
        .set("delete_rule", |row| rule(row.4, "DELETE"))
        .finish()
}
