//! Types that users made, and where they are used.
//!
//! A column holds its type whole, so that whoever reads or writes values needs no catalog for it. When a
//! type changes, the catalog gives every column that has it the new definition ([`Catalog::with`]); a change
//! of a table that was made meanwhile gets it in the same way.

use super::{Catalog, Column, Table, View};
use crate::{
    error::{Error, SqlState},
    ids::Oid,
    pgtype::PgType,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A type that a user made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserType {
    /// The schema it lies in.
    pub schema: Oid,
    /// The role that owns it.
    pub owner: Oid,
    /// `COMMENT ON TYPE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What it is: its oids, its name, its definition.
    pub kind: PgType,
}

/// A type is equal to itself alone, but its definition changes.
impl PartialEq for UserType {
    fn eq(&self, other: &Self) -> bool {
        let sides =
            |made: &Self| (made.schema, made.owner, made.comment.clone(), made.kind.written());
        sides(self) == sides(other)
    }
}

impl Eq for UserType {}

impl UserType {
    /// Its oid.
    #[must_use]
    pub fn id(&self) -> Oid {
        Oid(self.kind.oid())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            PgType::Enum(made) => &made.name,
            _ => "",
        }
    }

    /// The name of its array.
    #[must_use]
    pub fn array_name(&self) -> String {
        format!("_{}", self.name())
    }

    /// The greatest oid that belongs to it.
    pub(super) fn last_oid(&self) -> Oid {
        let labels = match &self.kind {
            PgType::Enum(made) => made.labels(),
            _ => &[],
        };
        let labels = labels.iter().map(|label| label.oid).max().unwrap_or(0);
        Oid(self.kind.oid().max(self.kind.array_oid()).max(labels))
    }
}

/// The type that a type is, or that its elements are, if a user made it.
fn own_oid(kind: &PgType) -> Option<Oid> {
    match kind.element() {
        PgType::Enum(made) => Some(Oid(made.oid)),
        _ => None,
    }
}

impl Catalog {
    /// The type of a name in a schema: one that a user made, or the array of one.
    #[must_use]
    pub fn type_named(&self, schema: Oid, name: &str) -> Option<PgType> {
        self.types().filter(|made| made.schema == schema).find_map(|made| {
            if made.name() == name {
                return Some(made.kind.clone());
            }
            (made.array_name() == name).then(|| made.kind.clone().array())
        })
    }

    /// The type of an oid: one that a user made, or the array of one.
    #[must_use]
    pub fn type_of_oid(&self, oid: u32) -> Option<PgType> {
        if let Some(made) = self.type_(Oid(oid)) {
            return Some(made.kind.clone());
        }
        let made = self.types().find(|made| made.kind.array_oid() == oid)?;
        Some(made.kind.clone().array())
    }

    /// A type with the definition that it has in this picture.
    #[must_use]
    pub fn current(&self, kind: &PgType) -> PgType {
        let Some(made) = own_oid(kind).and_then(|oid| self.type_(oid)) else { return kind.clone() };
        match kind {
            PgType::Array(_) => made.kind.clone().array(),
            _ => made.kind.clone(),
        }
    }

    /// A type as SQL that finds it from everywhere.
    #[must_use]
    pub fn type_text(&self, kind: &PgType) -> String {
        let Some(made) = own_oid(kind).and_then(|oid| self.type_(oid)) else {
            return kind.to_string();
        };
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let schema = self.schema(made.schema).map_or("", |schema| &schema.name);
        let brackets = if matches!(kind, PgType::Array(_)) { "[]" } else { "" };
        format!("{}.{}{brackets}", quoted(schema), quoted(made.name()))
    }

    /// The columns of tables that are of a type, or of an array of it.
    pub fn columns_of_type(&self, id: Oid) -> impl Iterator<Item = (&Arc<Table>, &Column)> {
        self.tables().flat_map(move |table| {
            let uses = move |column: &&Column| own_oid(&column.kind) == Some(id);
            table.columns.iter().filter(uses).map(move |column| (table, column))
        })
    }

    /// The columns of views that are of a type, or of an array of it.
    pub fn view_columns_of_type(&self, id: Oid) -> impl Iterator<Item = (&Arc<View>, &str)> {
        self.views().flat_map(move |view| {
            let uses = move |(_, kind): &&(String, PgType)| own_oid(kind) == Some(id);
            view.columns.iter().filter(uses).map(move |(name, _)| (view, name.as_str()))
        })
    }

    /// Gives every column that has a type its new definition.
    pub(super) fn spread(&mut self, id: Oid) {
        let Some(kind) = self.type_(id).map(|made| made.kind.clone()) else { return };
        let renewed = |old: &PgType| match old {
            PgType::Array(_) => kind.clone().array(),
            _ => kind.clone(),
        };
        for table in self.tables.values_mut() {
            if table.columns.iter().any(|column| uses(column, id)) {
                for column in &mut Arc::make_mut(table).columns {
                    if own_oid(&column.kind) == Some(id) {
                        column.kind = renewed(&column.kind);
                    }
                    if let Some(coming) = &mut column.replacement
                        && own_oid(&coming.kind) == Some(id)
                    {
                        coming.kind = renewed(&coming.kind);
                    }
                }
            }
        }
        for domain in self.domains.values_mut() {
            if own_oid(&domain.base) == Some(id) {
                let domain = Arc::make_mut(domain);
                domain.base = renewed(&domain.base);
            }
        }
        for view in self.views.values_mut() {
            if view.columns.iter().any(|(_, kind)| own_oid(kind) == Some(id)) {
                for (_, old) in &mut Arc::make_mut(view).columns {
                    if own_oid(old) == Some(id) {
                        *old = renewed(old);
                    }
                }
            }
        }
    }

    /// A table whose columns have the definitions of this picture.
    pub(super) fn with_current_types(&self, table: &Arc<Table>) -> Arc<Table> {
        let is_own = |column: &Column| {
            let coming = column.replacement.as_ref().map(|coming| &coming.kind);
            own_oid(&column.kind).is_some() || coming.and_then(own_oid).is_some()
        };
        if !table.columns.iter().any(is_own) {
            return Arc::clone(table);
        }
        let mut table = Table::clone(table);
        for column in &mut table.columns {
            column.kind = self.current(&column.kind);
            if let Some(coming) = &mut column.replacement {
                coming.kind = self.current(&coming.kind);
            }
        }
        Arc::new(table)
    }

    /// The same for a view.
    pub(super) fn view_with_current_types(&self, view: &Arc<View>) -> Arc<View> {
        if !view.columns.iter().any(|(_, kind)| own_oid(kind).is_some()) {
            return Arc::clone(view);
        }
        let mut view = View::clone(view);
        view.columns.iter_mut().for_each(|(_, kind)| *kind = self.current(kind));
        Arc::new(view)
    }
}

fn uses(column: &Column, id: Oid) -> bool {
    let coming = column.replacement.as_ref().map(|coming| &coming.kind);
    own_oid(&column.kind) == Some(id) || coming.and_then(own_oid) == Some(id)
}

/// A type that is not there.
#[must_use]
pub fn no_type(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}
