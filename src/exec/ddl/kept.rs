//! Expressions that the catalog keeps as text, and what may not change while they say what they say.
//!
//! Whether a text names something is told by its words. So a text may be taken for naming what it does
//! not, and then it stands in the way; nothing is dropped because of its words.

use super::Ddl;
use crate::{
    catalog::{Catalog, ConstraintKind, IndexKind, Table, UserType, View},
    error::{Error, Result, SqlState},
    exec::write::quote,
    ids::Oid,
    pgtype::PgType,
};
use std::sync::Arc;

/// An expression that the catalog keeps.
struct Kept<'c> {
    /// What has it.
    what: String,
    text: &'c str,
    place: Place<'c>,
}

/// Where a kept expression stands.
enum Place<'c> {
    /// The default of a column of this type.
    Default(&'c PgType),
    /// A check, a generated column, an index or a webhook of this table.
    Table(Oid),
    View,
    /// A rule or the default of a domain of this type.
    Domain(&'c PgType),
}

/// Every expression that is kept in a database.
fn kept(catalog: &Catalog, database: Option<Oid>) -> Vec<Kept<'_>> {
    let mut all = Vec::new();
    let mut add = |what: String, text, place| all.push(Kept { what, text, place });
    let is_here =
        |schema: Oid| catalog.schema(schema).is_some_and(|schema| schema.database == database);
    for table in catalog.tables().filter(|table| is_here(table.schema)) {
        let of_table = || Place::Table(table.id);
        for constraint in &table.constraints {
            if let ConstraintKind::Check { expression } = &constraint.kind {
                add(format!("constraint \"{}\"", constraint.name), expression.as_str(), of_table());
            }
        }
        for column in &table.columns {
            let replacement = column.replacement.as_ref().map(|new| &new.generated);
            for text in column.generated.iter().chain(replacement) {
                add(format!("column \"{}\"", column.name), text, of_table());
            }
            if let Some(text) = &column.default {
                let what = format!("default of column \"{}\"", column.name);
                add(what, text, Place::Default(&column.kind));
            }
        }
        for index in catalog.indexes_of(table.id) {
            if let IndexKind::Recorded { keys, predicate, .. } = &index.kind {
                for text in keys.iter().chain(predicate) {
                    add(format!("index \"{}\"", index.name), text, of_table());
                }
            }
        }
        for webhook in catalog.webhooks_of(table) {
            if let Some(condition) = &webhook.condition {
                add(format!("webhook \"{}\"", webhook.name), &condition.text, of_table());
            }
        }
    }
    for view in catalog.views().filter(|view| is_here(view.schema)) {
        add(format!("view \"{}\"", view.name), &view.query, Place::View);
    }
    for domain in catalog.domains().filter(|domain| is_here(domain.schema)) {
        let checks = domain.checks.iter().map(|check| &check.expression);
        for text in checks.chain(&domain.default) {
            add(format!("domain \"{}\"", domain.name), text, Place::Domain(&domain.base));
        }
    }
    all
}

impl Ddl<'_> {
    /// What of a schema's database keeps an expression that names something.
    pub(super) fn kept_naming(&mut self, schema: Oid, name: &str) -> Option<String> {
        let catalog = self.catalog();
        let database = catalog.schema(schema).and_then(|schema| schema.database);
        let all = kept(&catalog, database);
        all.into_iter().find(|kept| names_word(kept.text, name)).map(|kept| kept.what)
    }

    /// Refuses to drop a type that something names. What goes with it has gone already.
    pub(super) fn refuse_named(&mut self, (schema, name): (Oid, &str), shown: &str) -> Result<()> {
        let Some(what) = self.kept_naming(schema, name) else { return Ok(()) };
        let message = format!("cannot drop type {shown} because other objects depend on it");
        Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .detail(format!("An expression of {what} names \"{name}\"."))
            .hint("Drop that first; CASCADE does not."))
    }

    /// Refuses a change that would make a text untrue which the catalog keeps, but for defaults of
    /// columns of the type.
    pub(super) fn refuse_kept(
        &mut self,
        made: &UserType,
        what: &str,
        says: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let catalog = self.catalog();
        let database = catalog.schema(made.schema).and_then(|schema| schema.database);
        let tables: Vec<&Arc<Table>> =
            catalog.columns_of_type(made.id()).map(|(table, _)| table).collect();
        let views = reading(&catalog, &tables);
        let speaks_of_it = |kept: &Kept<'_>| match kept.place {
            Place::Default(kind) if kind.element() == &made.kind => false,
            Place::Domain(base) if base.element() == &made.kind => true,
            Place::Table(id) if tables.iter().any(|table| table.id == id) => true,
            Place::View if views.iter().any(|view| view.query == kept.text) => true,
            _ => names_word(kept.text, made.name()),
        };
        let mut all = kept(&catalog, database).into_iter();
        match all.find(|kept| says(kept.text) && speaks_of_it(kept)) {
            Some(kept) => Err(refused(what, &kept.what)),
            None => Ok(()),
        }
    }
}

/// The views that read some tables, through others too.
fn reading<'c>(catalog: &'c Catalog, tables: &[&Arc<Table>]) -> Vec<&'c Arc<View>> {
    let mut found: Vec<&Arc<View>> = Vec::new();
    loop {
        let reads = |view: &&Arc<View>| {
            let names = tables.iter().map(|table| &table.name);
            let mut names = names.chain(found.iter().map(|view| &view.name));
            found.iter().all(|known| known.id != view.id)
                && names.any(|name| names_word(&view.query, name))
        };
        let more: Vec<_> = catalog.views().filter(reads).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The catalog keeps expressions as text: what they name cannot take another name.
pub(super) fn refused(what: &str, by: &str) -> Error {
    Error::unsupported(format!("cannot rename {what} since {by} uses it"))
        .hint("Drop what uses it first, and make it again afterwards.")
}

/// Whether an expression's text names an identifier. It may be so where it does not: a word of a
/// literal, or in another case.
pub(super) fn names_word(expression: &str, name: &str) -> bool {
    if expression.contains(&quote(name)) {
        return true;
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    expression.split(|c: char| !is_part(c)).any(|word| word.eq_ignore_ascii_case(name))
}
