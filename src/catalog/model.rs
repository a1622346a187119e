//! A model: a name for files that make vectors of texts, or scores of documents.

use super::ColumnModel;
use crate::{
    embed::{Asked, Spec},
    error::{Error, Result, SqlState},
    ids::Oid,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A model that CREATE EMBEDDING MODEL made. All databases see it, as they see roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its oid.
    pub id: Oid,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// Grows whenever its vectors may become others. While columns hold vectors of it, it stays.
    pub version: u64,
    /// What it is.
    pub spec: Arc<Spec>,
}

impl Model {
    /// The model as the embedder is asked for it.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            id: self.id,
            fingerprint: self.spec.fingerprint(),
            name: self.name.clone(),
            spec: Arc::clone(&self.spec),
        }
    }

    /// What a column keeps of it.
    #[must_use]
    pub fn of_column(&self) -> ColumnModel {
        ColumnModel { model: self.id, version: self.version, checksum: self.spec.checksum() }
    }
}

impl super::Catalog {
    /// The model of a name.
    #[must_use]
    pub fn model_named(&self, name: &str) -> Option<&Arc<Model>> {
        self.models().find(|model| model.name == name)
    }

    /// The model of a name, or 42704 with the nearest name there is.
    ///
    /// # Errors
    /// 42704.
    pub fn expect_model(&self, name: &str) -> Result<&Arc<Model>> {
        self.model_named(name).ok_or_else(|| {
            let error = Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("embedding model \"{name}\" does not exist"),
            );
            match super::nearest(name, self.models().map(|model| model.name.as_str())) {
                Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                None => error.hint("CREATE EMBEDDING MODEL makes one; nearlake_models lists them."),
            }
        })
    }

    /// The columns whose vectors a model made or is making: table and column.
    pub fn columns_of_model(
        &self,
        model: Oid,
    ) -> impl Iterator<Item = (&super::Table, &super::Column)> {
        self.tables().flat_map(move |table| {
            table.columns.iter().filter_map(move |column| {
                let coming = column.replacement.iter().flat_map(|replacement| &replacement.models);
                let uses = column.models.iter().chain(coming).any(|used| used.model == model);
                uses.then_some((table.as_ref(), column))
            })
        })
    }
}
