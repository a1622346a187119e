//! Models: names for files that make vectors of texts.

use super::Ddl;
use crate::{
    catalog::{Change, Model},
    embed::Spec,
    error::{Error, Result, SqlState},
    exec::{
        insert::concurrent_update,
        locks::{Mode, Target},
    },
    ids::Oid,
};
use std::sync::Arc;

/// Names of models are apart from those of relations.
const NAMES: Oid = Oid(3);

impl Ddl<'_> {
    /// Whether the session may make and change models, which read files of the server.
    ///
    /// # Errors
    /// 42501 for whoever is no superuser, 25006 in a read-only transaction.
    pub fn check_may_make_models(&mut self, verb: &str) -> Result<()> {
        self.transaction.check_writable(&format!("{verb} EMBEDDING MODEL"))?;
        self.check_superuser(&format!("{} embedding model", verb.to_lowercase()))
    }

    /// Adds a model, whose files were looked at.
    ///
    /// # Errors
    /// 42710 when the name is taken.
    pub async fn create_model(
        &mut self,
        name: &str,
        if_not_exists: bool,
        spec: Spec,
    ) -> Result<()> {
        self.lock_model(name, Mode::Exclusive).await?;
        if self.catalog().model_named(name).is_some() {
            if if_not_exists {
                self.exists_already(SqlState::DUPLICATE_OBJECT, "embedding model", name);
                return Ok(());
            }
            return Err(taken(name));
        }
        let (id, owner) = (self.fresh_oid(), self.env.context.user());
        let model = Model { id, name: name.to_owned(), owner, version: 1, spec: Arc::new(spec) };
        self.transaction.change([Change::Model(Arc::new(model))]);
        Ok(())
    }

    /// Gives a model another definition. Its vectors may be others from now on, unless only the
    /// place of its files is new: then it is another version, which no column may depend on.
    ///
    /// # Errors
    /// 2BP01 where one does.
    pub async fn redefine_model(&mut self, model: &Model, spec: Spec) -> Result<()> {
        self.lock_model(&model.name, Mode::Exclusive).await?;
        // The new definition was made from what the model was then.
        let catalog = self.catalog();
        let now = catalog.expect_model(&model.name)?;
        if now.as_ref() != model {
            return Err(concurrent_update());
        }
        let mut model = Model::clone(now);
        if spec.checksum() != model.spec.checksum() {
            self.refuse_used(&model, "change")?;
            model.version += 1;
        }
        model.spec = Arc::new(spec);
        self.transaction.change([Change::Model(Arc::new(model))]);
        Ok(())
    }

    /// Gives a model another name.
    ///
    /// # Errors
    /// 42710 when the name is taken, 2BP01 where a column's expression names it.
    pub async fn rename_model(&mut self, model: &Model, to: &str) -> Result<()> {
        self.lock_model(&model.name, Mode::Exclusive).await?;
        self.lock_model(to, Mode::Exclusive).await?;
        if self.catalog().model_named(to).is_some() {
            return Err(taken(to));
        }
        let model = Model::clone(self.catalog().expect_model(&model.name)?);
        self.refuse_used(&model, "rename")?;
        let model = Model { name: to.to_owned(), ..model };
        self.transaction.change([Change::Model(Arc::new(model))]);
        Ok(())
    }

    /// Gives a model another owner.
    ///
    /// # Errors
    /// 42704 without such a role.
    pub async fn give_model(&mut self, model: &Model, owner: &str) -> Result<()> {
        self.lock_model(&model.name, Mode::Exclusive).await?;
        let owner = self.role(owner)?.id;
        let model = Model::clone(self.catalog().expect_model(&model.name)?);
        self.transaction.change([Change::Model(Arc::new(Model { owner, ..model }))]);
        Ok(())
    }

    pub(super) async fn drop_model(&mut self, name: &str, if_exists: bool) -> Result<&'static str> {
        self.check_may_make_models("DROP")?;
        self.lock_model(name, Mode::Exclusive).await?;
        if if_exists && self.catalog().model_named(name).is_none() {
            self.skipping("embedding model", name);
            return Ok("DROP EMBEDDING MODEL");
        }
        let model = Arc::clone(self.catalog().expect_model(name)?);
        self.refuse_used(&model, "drop")?;
        self.transaction.change([Change::DropModel(model.id)]);
        Ok("DROP EMBEDDING MODEL")
    }

    /// Keeps a model as it is until the transaction ends: a column is about to depend on it.
    pub(super) async fn hold_model(&mut self, name: &str) -> Result<()> {
        self.lock_model(name, Mode::Shared).await
    }

    /// Locks a model's name: from here on it is what it is, to all.
    ///
    /// # Errors
    /// 40001 under REPEATABLE READ when it is not what the transaction sees.
    async fn lock_model(&mut self, name: &str, mode: Mode) -> Result<()> {
        self.lock(Target::Name(NAMES, name.to_owned()), mode).await?;
        self.transaction.start_statement();
        let (seen, newest) = (self.catalog(), self.transaction.newest_catalog());
        if seen.model_named(name) != newest.model_named(name) {
            return Err(concurrent_update());
        }
        self.see_own_names();
        Ok(())
    }

    fn refuse_used(&mut self, model: &Model, verb: &str) -> Result<()> {
        // Also where the transaction does not see it.
        let catalog = self.transaction.newest_catalog();
        let Some((table, column)) = catalog.columns_of_model(model.id).next() else {
            return Ok(());
        };
        Err(Error::new(
            SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
            format!(
                "cannot {verb} embedding model {} because other objects depend on it",
                model.name
            ),
        )
        .detail(format!(
            "column {} of table {} holds vectors of embedding model {}",
            column.name, table.name, model.name
        ))
        .hint(
            "Make another model, and give the column an expression that asks it: ALTER TABLE … \
             ALTER COLUMN … SET EXPRESSION AS (embed(…, 'other')).",
        ))
    }
}

fn taken(name: &str) -> Error {
    Error::new(SqlState::DUPLICATE_OBJECT, format!("embedding model \"{name}\" already exists"))
}
