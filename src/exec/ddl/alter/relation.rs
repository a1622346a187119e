//! ALTER INDEX, VIEW, SEQUENCE and SCHEMA.

use super::super::{Ddl, index::options};
use crate::{
    catalog::{Change, Index, Relation, Schema, Sequence, Table, View},
    error::{Error, Result, SqlState},
    ids::Oid,
    sql::utility::{AlterRelation, AlterSequence, Name},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(in crate::exec::ddl) async fn alter_index(
        &mut self,
        name: &Name,
        if_exists: bool,
        action: &AlterRelation,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER INDEX")?;
        let relation = match self.find(name)? {
            None if if_exists => {
                self.skipping("relation", &name.name);
                return Ok("ALTER INDEX");
            }
            None => self.expect(name)?,
            Some(relation) => relation,
        };
        self.check_owns(&relation)?;
        match (relation, action) {
            (Relation::Index(index), AlterRelation::Rename(to)) => {
                self.lock_name(index.schema, to).await?;
                self.refuse_taken(index.schema, to)?;
                let index = Index { name: to.clone(), ..Index::clone(&index) };
                self.transaction.change([Change::Index(Arc::new(index))]);
            }
            (Relation::Key(table, place), AlterRelation::Rename(to)) => {
                let from = table.constraints[place].name.clone();
                let mut table = Table::clone(&*self.lock_table(&table).await?);
                self.rename_constraint(&mut table, &from, to)?;
            }
            (Relation::Index(index), AlterRelation::SetOptions(options)) => {
                let mut index = Index::clone(&index);
                index.options.extend(options::checked(&index.method, options)?);
                self.transaction.change([Change::Index(Arc::new(index))]);
            }
            (Relation::Index(index), AlterRelation::ResetOptions(names)) => {
                let mut index = Index::clone(&index);
                index.options.retain(|option, _| !names.contains(option));
                self.transaction.change([Change::Index(Arc::new(index))]);
            }
            (Relation::Index(_) | Relation::Key(..), _) => {
                return Err(Error::unsupported("this form of ALTER INDEX is not supported")
                    .hint("An index belongs to its table's owner and schema."));
            }
            (other, _) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is not an index", other.name()),
                ));
            }
        }
        Ok("ALTER INDEX")
    }

    pub(in crate::exec::ddl) async fn alter_view(
        &mut self,
        name: &Name,
        if_exists: bool,
        action: &AlterRelation,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER VIEW")?;
        let mut view = match self.find(name)? {
            None if if_exists => {
                self.skipping("relation", &name.name);
                return Ok("ALTER VIEW");
            }
            Some(Relation::View(view)) => View::clone(&view),
            Some(other) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is not a view", other.name()),
                ));
            }
            None => return self.expect(name).map(|_| "ALTER VIEW"),
        };
        self.check_owner(view.owner, "view", &view.name)?;
        let placed = self.altered(view.schema, &view.name, view.owner, action).await?;
        self.hand_over_grants(view.id, view.owner, placed.2);
        (view.schema, view.name, view.owner) = placed;
        self.transaction.change([Change::View(Arc::new(view))]);
        Ok("ALTER VIEW")
    }

    /// The schema, name and owner of a relation after a change of them.
    pub(super) async fn altered(
        &mut self,
        schema: Oid,
        name: &str,
        owner: Oid,
        action: &AlterRelation,
    ) -> Result<(Oid, String, Oid)> {
        match action {
            AlterRelation::Rename(to) => {
                self.check_creates_in(schema)?;
                self.lock_name(schema, to).await?;
                self.refuse_taken(schema, to)?;
                Ok((schema, to.clone(), owner))
            }
            AlterRelation::SetSchema(to) => {
                let to = self.schema_named(to)?.id;
                self.check_creates_in(to)?;
                self.lock_name(to, name).await?;
                self.refuse_taken(to, name)?;
                Ok((to, name.to_owned(), owner))
            }
            AlterRelation::Owner(owner) => {
                let owner = self.new_owner(owner, Some(schema))?.id;
                Ok((schema, name.to_owned(), owner))
            }
            AlterRelation::SetOptions(_) | AlterRelation::ResetOptions(_) => {
                Err(Error::unsupported("options of this kind of relation are not supported"))
            }
        }
    }

    pub(in crate::exec::ddl) async fn alter_sequence(
        &mut self,
        name: &Name,
        if_exists: bool,
        action: &AlterSequence,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER SEQUENCE")?;
        let mut sequence = match self.find(name)? {
            None if if_exists => {
                self.skipping("relation", &name.name);
                return Ok("ALTER SEQUENCE");
            }
            Some(Relation::Sequence(sequence)) => Sequence::clone(&sequence),
            Some(other) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is not a sequence", other.name()),
                ));
            }
            None => return self.expect(name).map(|_| "ALTER SEQUENCE"),
        };
        self.check_owner(sequence.owner, "sequence", &sequence.name)?;
        match action {
            AlterSequence::Relation(action) => {
                if sequence.owned_by.is_some() && matches!(action, AlterRelation::Owner(_)) {
                    return Err(Error::unsupported(
                        "cannot change owner of a sequence of a column",
                    )
                    .hint("Its owner is that of the table: ALTER TABLE … OWNER TO."));
                }
                let placed =
                    self.altered(sequence.schema, &sequence.name, sequence.owner, action).await?;
                self.hand_over_grants(sequence.id, sequence.owner, placed.2);
                (sequence.schema, sequence.name, sequence.owner) = placed;
            }
            AlterSequence::Options { options, restart } => {
                sequence.increment = options.increment.unwrap_or(sequence.increment);
                sequence.min = options.min.flatten().unwrap_or(sequence.min);
                sequence.max = options.max.flatten().unwrap_or(sequence.max);
                sequence.start = options.start.unwrap_or(sequence.start);
                sequence.cycle = options.cycle.unwrap_or(sequence.cycle);
                if options.owned_by.is_some() {
                    sequence.owned_by = self.owner_column(options, sequence.owner)?;
                }
                let restart = restart.map(|to| to.unwrap_or(sequence.start));
                if let Some(value) = restart {
                    self.env.context.set_value(sequence.id, value, false)?;
                    sequence.last = value.checked_sub(sequence.increment);
                }
            }
        }
        self.transaction.change([Change::Sequence(Arc::new(sequence))]);
        Ok("ALTER SEQUENCE")
    }

    pub(in crate::exec::ddl) async fn alter_schema(
        &mut self,
        name: &str,
        action: &AlterRelation,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER SCHEMA")?;
        let mut schema = Schema::clone(&*self.schema_named(name)?);
        let Some(database) = schema.database else {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for schema {name}"),
            ));
        };
        self.check_owner(schema.owner, "schema", name)?;
        match action {
            AlterRelation::Rename(to) => {
                self.check_creates_schemas()?;
                self.lock_name(database, to).await?;
                if self.catalog().schema_named(database, to).is_some() {
                    return Err(Error::new(
                        SqlState::DUPLICATE_SCHEMA,
                        format!("schema \"{to}\" already exists"),
                    ));
                }
                schema.name.clone_from(to);
            }
            AlterRelation::Owner(owner) => {
                self.check_creates_schemas()?;
                let owner = self.new_owner(owner, None)?.id;
                self.hand_over_grants(schema.id, schema.owner, owner);
                schema.owner = owner;
            }
            _ => return Err(Error::unsupported("this form of ALTER SCHEMA is not supported")),
        }
        self.transaction.change([Change::Schema(Arc::new(schema))]);
        Ok("ALTER SCHEMA")
    }
}
