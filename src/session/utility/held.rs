//! Cursors and prepared statements by their names, and what DISCARD forgets of them.

use super::{run, until};
use crate::{
    catalog::pg::CursorRow,
    error::{Error, Result, SqlState},
    exec::{kept::Kept, relations::Sources},
    session::{Event, Outcome, Prepared, Session, cursor::Cursor},
    sql::{
        self, Bound, Context,
        utility::{Declare, Discard, Execute},
    },
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    pub(super) fn discard(&mut self, what: Discard) -> Result<String> {
        match what {
            Discard::All => {
                self.refuse_in_block("DISCARD ALL")?;
                self.cache.clear();
                self.deallocate(None)?;
                self.close_cursors(None)?;
                self.context.set_role("session_authorization", "", false)?;
                self.context.change_settings(|settings| settings.reset_all());
                self.context.advisory_unlock_all();
                self.context.outbox.lock().unlisten(None);
                self.discard_temporary();
                Ok("DISCARD ALL".to_owned())
            }
            Discard::Plans => {
                self.cache.clear();
                Ok("DISCARD PLANS".to_owned())
            }
            Discard::Sequences => {
                self.context.forget_sequences();
                Ok("DISCARD SEQUENCES".to_owned())
            }
            Discard::Temp => {
                self.discard_temporary();
                Ok("DISCARD TEMP".to_owned())
            }
        }
    }

    pub(super) async fn declare(
        &mut self,
        declare: &Declare,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        if !declare.hold && !self.in_block() {
            return Err(Error::new(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "DECLARE CURSOR can only be used in transaction blocks",
            ));
        }
        if declare.binary {
            return Err(Error::unsupported("BINARY cursors are not supported")
                .hint("Ask for binary results in the protocol instead."));
        }
        self.open_transaction();
        // Its rows are asked for by other statements, which may be cancelled instead of this one.
        let env = self.env(Vec::new(), CancellationToken::new());
        let keeps = declare.keeps_rows();
        let opened = async {
            let rows = self.run_query(&declare.query, &env).await?;
            match keeps {
                true => {
                    let kept = Kept::all(env.run.memory(), rows.stream).await?;
                    Ok(Cursor::kept(rows.columns, kept, declare.hold))
                }
                false => Ok(Cursor::forward(rows.columns, rows.stream)),
            }
        };
        let cursor = until(cancel, opened).await?;
        self.cursors.open(&declare.name, cursor)?;
        self.context.held.open(CursorRow {
            name: declare.name.clone(),
            statement: self.context.statement_text(),
            is_holdable: declare.hold,
            is_scrollable: keeps,
            created_at: self.context.statement_micros(),
        });
        Ok(Outcome::Done("DECLARE CURSOR".to_owned()))
    }

    pub(in crate::session) fn prepared_named(&self, name: &str) -> Result<Arc<Prepared>> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            Error::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    pub(super) async fn execute_prepared(
        &mut self,
        execute: &Execute,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let prepared = self.prepared_named(&execute.name)?;
        let bound = self.rebound(&prepared)?;
        let types = self.parameter_types(&prepared);
        let context = self.context();
        let (arguments, needs) = sql::bind_arguments(execute, &types, &context, &Sources)?;
        needs.check(&context.catalog(), context.user())?;
        self.open_transaction();
        let env = self.env(Vec::new(), cancel.clone());
        let (_, batches) = env.run.collect(&arguments.plan, &[]).await?;
        let row = batches.iter().find(|batch| batch.num_rows() == 1);
        let row = row.ok_or_else(|| Error::internal("arguments without values"))?;
        let values = row.columns().iter().take(types.len());
        let values = values.map(crate::exec::run::parameter).collect::<Result<Vec<_>>>()?;
        if let Bound::Utility(utility) = bound.as_ref() {
            return Box::pin(run(self, utility, cancel)).await;
        }
        let env = crate::exec::write::Env { parameters: values, ..env };
        self.run_held(&prepared, bound, env).await
    }

    /// CLOSE; `None` closes all.
    pub(super) fn close_cursors(&mut self, name: Option<&str>) -> Result<()> {
        self.cursors.close(name)?;
        self.context.held.retain_cursors(|name| self.cursors.has(name));
        Ok(())
    }

    pub(super) fn deallocate(&mut self, name: Option<&str>) -> Result<()> {
        let from_sql = name.is_some_and(|name| self.prepared.remove(name).is_some());
        self.forgets(name, from_sql);
        if from_sql {
            return Ok(());
        }
        // One that the protocol prepared is known to the transport only.
        if name.is_none() {
            self.prepared.clear();
        }
        self.events.push(Event::Deallocate(name.map(str::to_owned)));
        Ok(())
    }
}
