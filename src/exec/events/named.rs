//! Changes of names, as webhooks are told of them.

use super::payload::quoted;
use crate::{
    catalog::{Catalog, Change, IndexKind},
    ids::{Oid, TableId},
};

/// A change of names as a `ddl` event tells of it.
pub(super) struct Named {
    object: &'static str,
    action: &'static str,
    /// With its schema, and without.
    name: String,
    pub(super) bare: String,
    pub(super) table: Option<TableId>,
    /// None: it belongs to no database.
    pub(super) database: Option<Oid>,
    pub(super) is_built_index: bool,
}

impl Named {
    /// `None` for what nobody is told of.
    pub(super) fn of(change: &Change, before: &Catalog, after: &Catalog) -> Option<Self> {
        let named = |object, existed: bool, name: &str, schema: Option<Oid>, table| {
            let schema = schema.and_then(|id| after.schema(id).or_else(|| before.schema(id)));
            if schema.is_some_and(|schema| schema.is_temporary()) {
                return None;
            }
            let bare = name.to_owned();
            let name = match schema {
                Some(schema) => format!("{}.{name}", schema.name),
                None => bare.clone(),
            };
            let database = schema.and_then(|schema| schema.database);
            let action = if existed { "alter" } else { "create" };
            Some(Self { object, action, name, bare, table, database, is_built_index: false })
        };
        let gone = |named: Option<Self>| named.map(|named| Self { action: "drop", ..named });
        match change {
            Change::Table(t) => {
                named("table", before.table(t.id).is_some(), &t.name, Some(t.schema), Some(t.id))
            }
            Change::DropTable(id) => {
                let t = before.table(*id)?;
                gone(named("table", true, &t.name, Some(t.schema), Some(t.id)))
            }
            Change::Index(i) => {
                let existed = before.index(i.id).is_some();
                let is_vector = matches!(i.kind, IndexKind::Vector { .. });
                let named = named("index", existed, &i.name, Some(i.schema), Some(i.table))?;
                Some(Self { is_built_index: is_vector && !existed, ..named })
            }
            Change::DropIndex(id) => {
                let i = before.index(*id)?;
                gone(named("index", true, &i.name, Some(i.schema), Some(i.table)))
            }
            Change::View(v) => {
                named("view", before.view(v.id).is_some(), &v.name, Some(v.schema), None)
            }
            Change::DropView(id) => {
                let v = before.view(*id)?;
                gone(named("view", true, &v.name, Some(v.schema), None))
            }
            Change::Type(t) => {
                named("type", before.type_(t.id()).is_some(), t.name(), Some(t.schema), None)
            }
            Change::DropType(id) => {
                let t = before.type_(*id)?;
                gone(named("type", true, t.name(), Some(t.schema), None))
            }
            Change::Domain(d) => {
                named("domain", before.domain(d.id).is_some(), &d.name, Some(d.schema), None)
            }
            Change::DropDomain(id) => {
                let d = before.domain(*id)?;
                gone(named("domain", true, &d.name, Some(d.schema), None))
            }
            Change::Sequence(s) => {
                named("sequence", before.sequence(s.id).is_some(), &s.name, Some(s.schema), None)
            }
            Change::DropSequence(id) => {
                let s = before.sequence(*id)?;
                gone(named("sequence", true, &s.name, Some(s.schema), None))
            }
            Change::Schema(s) => {
                let named = named("schema", before.schema(s.id).is_some(), &s.name, None, None)?;
                let is_temporary = s.is_temporary();
                (!is_temporary).then_some(Self { database: s.database, ..named })
            }
            Change::DropSchema(id) => {
                let s = before.schema(*id)?;
                let is_temporary = s.is_temporary();
                let named = gone(named("schema", true, &s.name, None, None))?;
                (!is_temporary).then_some(Self { database: s.database, ..named })
            }
            // Of roles, databases and webhooks nobody is told.
            _ => None,
        }
    }

    pub(super) fn json(&self) -> String {
        let (object, action, name) = (self.object, self.action, quoted(&self.name));
        format!("{{\"object\":\"{object}\",\"action\":\"{action}\",\"name\":{name}}}")
    }
}
