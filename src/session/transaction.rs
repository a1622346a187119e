//! BEGIN, COMMIT, ROLLBACK, savepoints, and the implicit transaction of a statement without them.

use super::Session;
use crate::{
    error::{Error, Result, SqlState},
    exec::{
        snapshot::Snapshot,
        transaction::{Isolation, Transaction},
    },
    sql::{
        Context,
        utility::{Isolation as Level, TransactionModes},
    },
};
use std::{sync::Arc, time::Duration};
use tracing::Instrument as _;

impl Session {
    /// Several statements of one message share an implicit transaction until
    /// [`Session::commit_implicit`].
    pub fn begin_implicit_block(&mut self) {
        self.implicit_block = true;
    }

    /// Ends an implicit transaction, if one is open.
    ///
    /// # Errors
    /// Those of the commit.
    pub async fn commit_implicit(&mut self) -> Result<()> {
        self.implicit_block = false;
        if self.explicit {
            self.context.rests("idle in transaction");
            return Ok(());
        }
        let ended = self.end(true).await;
        self.context.rests("idle");
        ended
    }

    /// The statement or its message failed: an implicit transaction is gone, a block is failed.
    pub fn fail(&mut self) {
        self.implicit_block = false;
        if self.explicit {
            self.failed = true;
            self.context.rests("idle in transaction (aborted)");
        } else {
            self.abandon();
            self.context.rests("idle");
        }
    }

    /// Makes sure that there is a transaction for a statement.
    pub(super) fn open_transaction(&mut self) -> &mut Transaction {
        if self.transaction.is_none() {
            let (isolation, read_only) = self.context.with_settings(|settings| {
                let isolation = match settings.known("default_transaction_isolation") {
                    "repeatable read" | "serializable" => Isolation::RepeatableRead,
                    _ => Isolation::ReadCommitted,
                };
                (isolation, settings.is_on("default_transaction_read_only"))
            });
            let read_only = read_only || self.is_read_only;
            let (states, locks) = (Arc::clone(&self.engine.states), Arc::clone(&self.engine.locks));
            let party = self.context.party;
            let transaction = Transaction::begin(states, locks, party, isolation, read_only);
            self.context.transaction_is(Some(transaction.id()));
            self.engine.metrics.transactions_open.inc();
            self.transaction = Some(transaction);
        }
        self.transaction.as_mut().expect("a transaction was opened")
    }

    /// BEGIN.
    pub(super) fn begin(&mut self, modes: &TransactionModes) -> Result<&'static str> {
        if self.explicit {
            self.context.notice(Error::new(
                SqlState::new(b"25001"),
                "there is already a transaction in progress",
            ));
        }
        self.open_transaction();
        self.explicit = true;
        self.set_modes(modes)?;
        Ok("BEGIN")
    }

    /// SET TRANSACTION.
    pub(super) fn set_modes(&mut self, modes: &TransactionModes) -> Result<()> {
        let may_only_read = self.is_read_only;
        let transaction = self.open_transaction();
        if let Some(level) = modes.isolation {
            let isolation = match level {
                Level::ReadUncommitted | Level::ReadCommitted => Isolation::ReadCommitted,
                Level::RepeatableRead => Isolation::RepeatableRead,
                Level::Serializable => {
                    return Err(Error::unsupported("SERIALIZABLE is not supported")
                        .hint("Use REPEATABLE READ, which is snapshot isolation."));
                }
            };
            transaction.set_isolation(isolation)?;
        }
        if let Some(read_only) = modes.read_only {
            if may_only_read && !read_only {
                return Err(Error::new(
                    SqlState::READ_ONLY_SQL_TRANSACTION,
                    "cannot set transaction read-write mode in a read-only session",
                ));
            }
            transaction.set_read_only(read_only);
        }
        if modes.deferrable == Some(true) {
            return Err(Error::unsupported("DEFERRABLE transactions are not supported"));
        }
        let (isolation, read_only) = (transaction.isolation(), transaction.is_read_only());
        self.context.change_settings(|settings| {
            let level = match isolation {
                Isolation::ReadCommitted => "read committed",
                Isolation::RepeatableRead => "repeatable read",
            };
            settings.set("transaction_isolation", level, true)?;
            let read_only = if read_only { "on" } else { "off" };
            settings.set("transaction_read_only", read_only, true).map(drop)
        })
    }

    /// COMMIT: a failed transaction is rolled back, and says so by its tag.
    pub(super) async fn commit(&mut self) -> Result<&'static str> {
        if !self.explicit {
            self.warn_no_transaction();
        }
        let failed = self.failed;
        self.explicit = false;
        if failed {
            self.abandon();
            return Ok("ROLLBACK");
        }
        self.end(true).await?;
        Ok("COMMIT")
    }

    /// ROLLBACK.
    pub(super) fn rollback(&mut self) -> &'static str {
        if !self.explicit {
            self.warn_no_transaction();
        }
        self.explicit = false;
        self.abandon();
        "ROLLBACK"
    }

    fn warn_no_transaction(&self) {
        self.context
            .notice(Error::new(SqlState::new(b"01000"), "there is no transaction in progress"));
    }

    /// SAVEPOINT, RELEASE and ROLLBACK TO want a block.
    pub(super) fn block(&mut self, statement: &str) -> Result<&mut Transaction> {
        if !self.explicit && !self.implicit_block {
            return Err(Error::new(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                format!("{statement} can only be used in transaction blocks"),
            ));
        }
        Ok(self.open_transaction())
    }

    /// ROLLBACK TO: a failed block is taken up again.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<()> {
        self.block("ROLLBACK TO SAVEPOINT")?.rollback_to(name)?;
        self.context.outbox.lock().rollback_to(name);
        self.failed = false;
        Ok(())
    }

    /// How long the client may stay silent where the session stands, and what it is told then.
    #[must_use]
    pub fn idle_limit(&self) -> Option<(Duration, Error)> {
        let (setting, state, message) = if self.explicit {
            (
                "idle_in_transaction_session_timeout",
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            )
        } else {
            (
                "idle_session_timeout",
                SqlState::new(b"57P05"),
                "terminating connection due to idle-session timeout",
            )
        };
        let limit = self.context.with_settings(|settings| settings.duration(setting))?;
        Some((limit, Error::new(state, message)))
    }

    /// Whether a block is open.
    pub(super) fn in_block(&self) -> bool {
        self.explicit
    }

    /// What CREATE DATABASE and kin refuse.
    pub(super) fn refuse_in_block(&self, statement: &str) -> Result<()> {
        if self.explicit || self.implicit_block {
            return Err(Error::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                format!("{statement} cannot run inside a transaction block"),
            ));
        }
        Ok(())
    }

    pub(super) async fn end(&mut self, commit: bool) -> Result<()> {
        self.failed = false;
        self.cursors.end_transaction(commit);
        self.context.held.retain_cursors(|name| self.cursors.has(name));
        self.context.transaction_is(None);
        let Some(mut transaction) = self.transaction.take() else {
            let admitted = if commit { self.context.admit_told() } else { Ok(()) };
            self.context.change_settings(|settings| settings.end_transaction(admitted.is_ok()));
            self.context.tell(commit && admitted.is_ok());
            return admitted;
        };
        if commit {
            self.on_commit(&mut transaction);
        }
        self.engine.sequences.carry(transaction.changes_mut());
        let stop = self.context.canceller.token();
        let commit = async {
            self.context.admit_told()?;
            self.engine.pressure.admit(&transaction.growing(), &stop).await?;
            transaction.commit(&self.engine.committer).await
        };
        let ended = commit.instrument(tracing::debug_span!("commit")).await;
        self.engine.metrics.transactions_open.dec();
        let outcome = if ended.is_ok() { "commit" } else { "rollback" };
        self.engine.metrics.transactions.with_label_values(&[outcome]).inc();
        self.context.change_settings(|settings| settings.end_transaction(ended.is_ok()));
        self.context.tell(ended.is_ok());
        self.let_go();
        ended.map(drop)
    }

    /// Keeps nothing of what the transaction saw but names.
    fn let_go(&self) {
        let names = Arc::clone(&self.engine.states.snapshot().catalog);
        self.context.see(Arc::new(Snapshot::of_names(names)));
    }

    /// Rolls the open transaction back.
    pub(super) fn abandon(&mut self) {
        self.failed = false;
        self.cursors.end_transaction(false);
        self.context.held.retain_cursors(|name| self.cursors.has(name));
        self.context.transaction_is(None);
        if self.transaction.take().is_some() {
            self.engine.metrics.transactions_open.dec();
            self.engine.metrics.transactions.with_label_values(&["rollback"]).inc();
        }
        self.context.change_settings(|settings| settings.end_transaction(false));
        self.context.tell(false);
        self.let_go();
    }
}
