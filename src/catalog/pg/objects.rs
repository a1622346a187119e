//! Schemas, databases, comments, and what depends on what.

use super::{
    SystemRelation, View, access,
    attribute::{default_oid, with_default},
    constraint,
    extension::VECTOR_EXTENSION,
    index::keys,
    rows::Rows,
    types::{CLASSES, FAMILIES, METHODS, OPERATORS, TYPES},
    user_types,
};
use crate::{
    catalog::{Column, ConstraintKind, POSTGRES_ROLE, UserType},
    error::Result,
    ids::{ColumnId, FIRST_OID, Oid},
};
use arrow::array::RecordBatch;

/// Oids of the catalogs themselves, as `classid` names them.
pub(super) const CLASS: Oid = Oid(1259);
const TYPE: Oid = Oid(1247);
const CONSTRAINT: Oid = Oid(2606);
const DEFAULT: Oid = Oid(2604);
const EXTENSION: Oid = Oid(3079);
const REWRITE: Oid = Oid(2618);
const NAMESPACE: Oid = Oid(2615);
const DATABASE: Oid = Oid(1262);
/// `pg_default`: where everything is.
pub(super) const DEFAULT_TABLESPACE: Oid = Oid(1663);
/// `pg_encoding_to_char(6)` is UTF8.
pub(super) const UTF8: i32 = 6;

/// The schemas of the database.
pub(super) fn pg_namespace(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let schemas: Vec<_> = view.schemas().collect();
    Rows::of(relation, &schemas)
        .set("oid", |schema| schema.id)
        .set("nspname", |schema| schema.name.as_str())
        .set("nspowner", |schema| schema.owner)
        .set("nspacl", |schema| access::shown(&view.catalog, schema.id))
        .finish()
}

/// Every database.
pub(super) fn pg_database(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let databases: Vec<_> = view.catalog.databases().collect();
    Rows::of(relation, &databases)
        .set("oid", |database| database.id)
        .set("datname", |database| database.name.as_str())
        .set("datdba", |database| database.owner)
        .set("encoding", |_| UTF8)
        .set("datlocprovider", |_| "c")
        .set("datallowconn", |_| true)
        .set("datconnlimit", |_| -1)
        .set("dattablespace", |_| DEFAULT_TABLESPACE)
        .set("datcollate", |_| "C.UTF-8")
        .set("datctype", |_| "C.UTF-8")
        .set("datacl", |database| access::shown(&view.catalog, database.id))
        .finish()
}

/// The two tablespaces that every server has.
pub(super) fn pg_tablespace(relation: &'static SystemRelation, _: &View) -> Result<RecordBatch> {
    Rows::of(relation, &[(DEFAULT_TABLESPACE, "pg_default"), (Oid(1664), "pg_global")])
        .set("oid", |(oid, _)| *oid)
        .set("spcname", |(_, name)| *name)
        .set("spcowner", |_| POSTGRES_ROLE)
        .finish()
}

/// Comments on what lies in this database: schemas, tables and their columns, views, indexes.
pub(super) fn pg_description(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    Rows::of(relation, &comments(view))
        .set("objoid", |(object, ..)| *object)
        .set("classoid", |(_, class, ..)| *class)
        .set("objsubid", |(_, _, column, _)| *column)
        .set("description", |(.., comment)| *comment)
        .finish()
}

/// Object, catalog, column (0: the object itself), comment.
type Comment<'v> = (Oid, Oid, i16, &'v str);

fn comments<'v>(view: &'v View) -> Vec<Comment<'v>> {
    let catalog = &view.catalog;
    let mut comments: Vec<Comment<'_>> = Vec::new();
    let mut add = |object: Oid, class: Oid, column: i16, comment: &'v Option<String>| {
        if let Some(comment) = comment {
            comments.push((object, class, column, comment));
        }
    };
    for schema in view.schemas() {
        add(schema.id, NAMESPACE, 0, &schema.comment);
    }
    for table in catalog.tables().filter(|table| view.sees(table.schema)) {
        add(table.id, CLASS, 0, &table.comment);
        for column in &table.columns {
            add(table.id, CLASS, column.attnum(), &column.comment);
        }
    }
    for made in catalog.views().filter(|made| view.sees(made.schema)) {
        add(made.id, CLASS, 0, &made.comment);
    }
    for made in user_types::own(view) {
        add(made.id(), TYPE, 0, &made.comment);
    }
    for domain in user_types::domains(view) {
        add(domain.id, TYPE, 0, &domain.comment);
    }
    for index in catalog.indexes().filter(|index| view.sees(index.schema)) {
        add(index.id, CLASS, 0, &index.comment);
    }
    comments
}

/// Comments on databases.
pub(super) fn pg_shdescription(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let all = view.catalog.databases();
    let commented: Vec<_> =
        all.filter_map(|database| Some((database.id, database.comment.as_deref()?))).collect();
    Rows::of(relation, &commented)
        .set("objoid", |(database, _)| *database)
        .set("classoid", |_| DATABASE)
        .set("description", |(_, comment)| *comment)
        .finish()
}

/// The rule that makes a view of a relation.
pub(super) fn pg_rewrite(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let views: Vec<_> = view.catalog.views().filter(|made| view.sees(made.schema)).collect();
    Rows::of(relation, &views)
        .set("oid", |made| made.id)
        .set("rulename", |_| "_RETURN")
        .set("ev_class", |made| made.id)
        .set("ev_type", |_| "1")
        .set("ev_enabled", |_| "O")
        .set("is_instead", |_| true)
        .set("ev_qual", |_| "<>")
        .set("ev_action", |made| made.query.as_str())
        .finish()
}

/// Who needs whom.
#[derive(Debug)]
struct Dependency {
    class: Oid,
    object: Oid,
    on_class: Oid,
    on: Oid,
    on_column: i16,
    /// `a`utomatic, `i`nternal, `n`ormal, `e`xtension.
    kind: &'static str,
}

/// Indexes and constraints of tables, sequences of columns, defaults, members of the extension.
pub(super) fn pg_depend(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &dependencies(view))
        .set("classid", |dependency| dependency.class)
        .set("objid", |dependency| dependency.object)
        .set("refclassid", |dependency| dependency.on_class)
        .set("refobjid", |dependency| dependency.on)
        .set("refobjsubid", |dependency| dependency.on_column)
        .set("deptype", |dependency| dependency.kind)
        .finish()
}

fn dependencies(view: &View) -> Vec<Dependency> {
    let catalog = &view.catalog;
    let mut all = Vec::new();
    let of_column = |class, object, table: Oid, column: ColumnId, kind| Dependency {
        class,
        object,
        on_class: CLASS,
        on: table,
        on_column: catalog
            .table(table)
            .and_then(|table| table.column_by_id(column))
            .map_or(0, Column::attnum),
        kind,
    };
    for table in catalog.tables().filter(|table| view.sees(table.schema)) {
        for (key, columns) in table.keys() {
            if matches!(key.kind, ConstraintKind::Unique { index_only: true, .. }) {
                all.extend(columns.iter().map(|&c| of_column(CLASS, key.id, table.id, c, "a")));
            } else {
                let (on_class, on) = (CONSTRAINT, key.id);
                let kind = "i";
                all.push(Dependency {
                    class: CLASS,
                    object: key.id,
                    on_class,
                    on,
                    on_column: 0,
                    kind,
                });
            }
        }
        for column in &table.columns {
            if let Some(sequence) = column.sequence {
                let kind = if column.identity.is_some() { "i" } else { "a" };
                all.push(of_column(CLASS, sequence, table.id, column.id, kind));
            }
        }
    }
    for (table, made) in constraint::constraints(view) {
        let columns = constraint::columns(table, made);
        all.extend(columns.iter().map(|&c| of_column(CONSTRAINT, made.id, table.id, c, "a")));
        if let ConstraintKind::ForeignKey { references, referenced, .. } = &made.kind {
            let to = |&column: &ColumnId| of_column(CONSTRAINT, made.id, *references, column, "n");
            all.extend(referenced.iter().map(to));
        }
    }
    for (table, column) in with_default(view) {
        let default = default_oid(table.id, column.id);
        all.push(of_column(DEFAULT, default, table.id, column.id, "a"));
        if let Some(sequence) = column.sequence {
            all.push(of_column(DEFAULT, default, sequence, ColumnId(0), "n"));
        }
    }
    for index in catalog.indexes().filter(|index| view.sees(index.schema)) {
        let Some(table) = catalog.table(index.table) else { continue };
        let columns = keys(index, table).into_iter().filter_map(|key| key.column);
        all.extend(columns.map(|c| of_column(CLASS, index.id, table.id, c.id, "a")));
    }
    all.extend(user_types::own(view).flat_map(|made| uses_of_type(view, made)));
    for domain in user_types::domains(view) {
        let on = |class, object, kind| Dependency {
            class,
            object,
            on_class: TYPE,
            on: domain.id,
            on_column: 0,
            kind,
        };
        all.push(on(TYPE, domain.array, "i"));
        all.extend(domain.checks.iter().map(|check| on(CONSTRAINT, check.id, "a")));
        let tables = catalog.tables().filter(|table| view.sees(table.schema));
        let is_of = |column: &&Column| column.domain == Some(domain.id);
        let columns = tables.flat_map(|t| t.columns.iter().filter(is_of).map(|_| t.id));
        all.extend(columns.map(|table| on(CLASS, table, "n")));
    }
    for made in catalog.views().filter(|made| view.sees(made.schema)) {
        all.push(of_column(REWRITE, made.id, made.id, ColumnId(0), "i"));
    }
    if view.database().is_some_and(|database| database.extensions.contains_key("vector")) {
        all.extend(members());
    }
    all
}

/// The array of a type, which goes with it, and the columns that are of the one or the other.
fn uses_of_type(view: &View, made: &UserType) -> Vec<Dependency> {
    let (id, array) = (made.id(), Oid(made.kind.array_oid()));
    let on = |class, object, on, kind| Dependency {
        class,
        object,
        on_class: TYPE,
        on,
        on_column: 0,
        kind,
    };
    let mut all = vec![on(TYPE, array, id, "i")];
    let columns = view.catalog.columns_of_type(id).filter(|(_, column)| column.domain.is_none());
    all.extend(columns.map(|(t, column)| on(CLASS, t.id, Oid(column.kind.oid()), "n")));
    all
}

/// What belongs to the extension.
fn members() -> impl Iterator<Item = Dependency> {
    let catalogs = [
        (TYPE, &TYPES),
        (Oid(1255), &super::functions::FUNCTIONS),
        (Oid(2617), &OPERATORS),
        (Oid(2616), &CLASSES),
        (Oid(2753), &FAMILIES),
        (Oid(2601), &METHODS),
    ];
    catalogs.into_iter().flat_map(|(class, facts)| {
        let oids = facts.iter().map(|fact| fact.oid("oid"));
        oids.filter(|&oid| oid >= FIRST_OID).map(move |object| Dependency {
            class,
            object,
            on_class: EXTENSION,
            on: VECTOR_EXTENSION,
            on_column: 0,
            kind: "e",
        })
    })
}
