//! CREATE API KEY and DROP API KEY. A key is shown once; the catalog keeps its hash, which is enough:
//! a key has 256 random bits, and nobody guesses those.

use super::{Engine, Outcome, OutputColumn, Rows, RowsTag, Session};
use crate::{
    error::{Error, Result},
    exec::{ddl::Ddl, rows_stream},
    pgtype::PgType,
    scram,
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::Schema,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The one column of what CREATE API KEY gives.
pub(super) fn column() -> OutputColumn {
    OutputColumn { name: "api_key".to_owned(), kind: PgType::Text, table: 0, column: 0 }
}

/// What the catalog keeps of a key.
fn hash(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(key))
}

impl Engine {
    /// The role that a key was made for, if that may log in.
    #[must_use]
    pub fn role_of_api_key(&self, key: &str) -> Option<String> {
        let hash = hash(key);
        let catalog = self.catalog();
        let mut roles = catalog.roles();
        let role = roles.find(|role| role.api_keys.values().any(|known| *known == hash))?;
        if !role.login {
            return None;
        }
        Some(role.name.clone())
    }
}

impl Session {
    /// Makes a key and shows it.
    pub(super) async fn create_api_key(
        &mut self,
        name: &str,
        role: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let key = format!("nlk_{}", URL_SAFE_NO_PAD.encode(scram::secret::<32>()));
        self.open_transaction();
        let env = self.env(Vec::new(), cancel.clone());
        let context = Arc::clone(&self.context);
        let see = move |snapshot| context.see(snapshot);
        let transaction = self.transaction.as_mut().expect("a statement has a transaction");
        let role = role.map_or_else(|| env.context.user_name(), str::to_owned);
        Ddl::new(&env, transaction, &see).create_api_key(name, &role, hash(&key)).await?;
        let columns: Arc<[OutputColumn]> = [column()].into();
        let array: ArrayRef = Arc::new(StringArray::from(vec![key]));
        let schema = Arc::new(Schema::new(vec![PgType::Text.field("api_key", false)]));
        let batch = RecordBatch::try_new(schema, vec![array])
            .map_err(|error| Error::internal("a key").source(error))?;
        let tag = RowsTag::Fixed("CREATE API KEY".to_owned());
        Ok(Outcome::Rows(Rows::new(columns, rows_stream(vec![batch]), tag)))
    }
}
