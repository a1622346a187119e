//! The password of the configuration.

use crate::{
    catalog::{Change, POSTGRES_ROLE, Role},
    clock::SharedClock,
    config::Config,
    error::{Error, Result, SqlState},
    exec::commit::{Commit, Committer},
    scram,
    session::Engine,
};
use std::sync::Arc;

/// It becomes that of the role `postgres`.
pub(super) async fn set_password(
    config: &Config,
    engine: &Arc<Engine>,
    committer: &Committer,
    clock: &SharedClock,
) -> Result<()> {
    let Some(password) = &config.password else { return Ok(()) };
    let catalog = engine.catalog();
    let role = catalog
        .role(POSTGRES_ROLE)
        .ok_or_else(|| Error::new(SqlState::UNDEFINED_OBJECT, "there is no role postgres"))?;
    let kept = role.verifier.as_deref().and_then(scram::Verifier::parse);
    if kept.is_some_and(|verifier| verifier.accepts(password.reveal())) {
        return Ok(());
    }
    let salt: Vec<u8> = (0..2).flat_map(|_| clock.random().to_le_bytes()).collect();
    let verifier = Some(scram::scram_verifier(password.reveal(), &salt, 4096));
    let role = Role { verifier, ..Role::clone(role) };
    let commit = Commit { changes: vec![Change::Role(Arc::new(role))], ..Commit::default() };
    committer.commit(commit).await.map(drop)
}
