//! Statements that are neither queries nor changes of rows: transaction control, settings,
//! cursors, prepared statements, DDL, maintenance.

mod held;
mod set;
mod tables;

use super::{
    Outcome, OutputColumn, Rows, RowsTag, Session,
    concurrently::{concurrent, named_index},
    notify::cut,
    settings::{LOG_FILTER, Settings, check_may_change, display_name, set_log_filter},
};
use crate::{
    catalog::{Change, pg::names::Scope},
    error::{Error, Result, SqlState},
    exec::{ddl::Ddl, maintenance::Task},
    pgtype::PgType,
    sql::{
        self,
        utility::{AlterDatabase, AlterRole, AlterWebhook, TransactionModes, Utility},
    },
};
use arrow::array::RecordBatch;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The columns of the statements here that answer with rows.
pub(super) fn columns(
    session: &Session,
    statement: &Utility,
) -> Result<Option<Arc<[OutputColumn]>>> {
    match statement {
        Utility::Show(Some(name)) => Ok(Some([text_column(display_name(name))].into())),
        Utility::Show(None) => Ok(Some(["name", "setting", "description"].map(text_column).into())),
        Utility::Fetch { cursor, moves: false, .. } => session.cursors.columns(cursor).map(Some),
        Utility::CreateApiKey { .. } => Ok(Some([super::api_key::column()].into())),
        Utility::CreateWebhook(_)
        | Utility::AlterWebhook { action: AlterWebhook::RotateSecret, .. } => {
            Ok(Some([super::webhook::column()].into()))
        }
        Utility::Execute(execute) => {
            let prepared = session.prepared_named(&execute.name)?;
            Ok(prepared.columns().map(Into::into))
        }
        _ => Ok(None),
    }
}

/// Waits for `work`, no longer than until its statement is cancelled.
async fn until<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(crate::exec::run::cancelled()),
        done = work => done,
    }
}

fn text_column(name: &str) -> OutputColumn {
    OutputColumn { name: name.to_owned(), kind: PgType::Text, table: 0, column: 0 }
}

/// Runs one of them.
pub(super) async fn run(
    session: &mut Session,
    statement: &Utility,
    cancel: &CancellationToken,
) -> Result<Outcome> {
    let done = |tag: &str| Ok(Outcome::Done(tag.to_owned()));
    match statement {
        Utility::Begin(modes) => session.begin(modes).map(|tag| Outcome::Done(tag.into())),
        Utility::Commit { chain } => {
            let modes = session.modes_now();
            let tag = session.commit().await?;
            session.chain(*chain, modes)?;
            done(tag)
        }
        Utility::Rollback { chain } => {
            let modes = session.modes_now();
            let tag = session.rollback();
            session.chain(*chain, modes)?;
            done(tag)
        }
        Utility::Savepoint(name) => {
            session.block("SAVEPOINT")?.savepoint(name);
            session.context.outbox.lock().savepoint(name);
            done("SAVEPOINT")
        }
        Utility::Release(name) => {
            session.block("RELEASE SAVEPOINT")?.release_savepoint(name)?;
            session.context.outbox.lock().release(name);
            done("RELEASE")
        }
        Utility::RollbackTo(name) => {
            session.rollback_to(name)?;
            done("ROLLBACK")
        }
        Utility::SetTransaction { modes, session: false } => {
            session.set_modes(modes)?;
            done("SET")
        }
        Utility::SetTransaction { modes, session: true } => {
            session.set_defaults(modes)?;
            done("SET")
        }
        // Constraints are never deferred, which is what IMMEDIATE asks for.
        Utility::SetConstraints => done("SET CONSTRAINTS"),
        Utility::Set { name, value, local } => {
            session.set(name, value, *local)?;
            done("SET")
        }
        Utility::Reset(Some(name)) => {
            check_may_change(name, session.context.is_superuser())?;
            if name.eq_ignore_ascii_case(LOG_FILTER) {
                set_log_filter(None, false)?;
            } else {
                session.context.change_settings(|settings| settings.reset(name))?;
            }
            done("RESET")
        }
        Utility::Reset(None) => {
            session.context.change_settings(Settings::reset_all);
            done("RESET")
        }
        Utility::Show(name) => session.show(name.as_deref()).map(Outcome::Rows),
        Utility::Discard(what) => session.discard(*what).map(Outcome::Done),
        Utility::Declare(declare) => session.declare(declare, cancel).await,
        Utility::Fetch { cursor, direction, moves } => {
            let name = cursor;
            let memory = session.engine.runner.memory();
            let cursor = session.cursors.named(name)?;
            let columns = Arc::clone(&cursor.columns);
            // Rows that were on their way are lost.
            let fetched = until(cancel, cursor.fetch(*direction, memory)).await;
            if cancel.is_cancelled() {
                session.close_cursors(Some(name.as_str()))?;
            }
            let fetched = fetched?;
            if *moves {
                let rows = fetched.batches().iter().map(RecordBatch::num_rows).sum::<usize>();
                return Ok(Outcome::Done(format!("MOVE {rows}")));
            }
            let (stream, tag) = (fetched.into_stream(), RowsTag::Counted("FETCH"));
            Ok(Outcome::Rows(Rows::new(columns, stream, tag)))
        }
        Utility::Close(name) => {
            session.close_cursors(name.as_deref())?;
            done(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" })
        }
        Utility::Prepare { name, types, statement } => {
            if session.prepared.contains_key(name) {
                return Err(Error::new(
                    SqlState::DUPLICATE_PREPARED_STATEMENT,
                    format!("prepared statement \"{name}\" already exists"),
                ));
            }
            let context = session.context();
            let (catalog, path) = (context.catalog(), context.search_path());
            let scope = Scope { catalog: &catalog, database: context.database(), path: &path };
            let types = types.iter().map(|name| name.resolve(&scope).map(Some));
            let types = types.collect::<Result<Vec<Option<PgType>>>>()?;
            let statement = sql::Statement::clone(statement);
            let prepared = session.prepare(Some(statement), &types).await?;
            session.hold(name, &prepared, session.context.statement_text(), true);
            session.prepared.insert(name.clone(), prepared);
            done("PREPARE")
        }
        Utility::Execute(execute) => session.execute_prepared(execute, cancel).await,
        Utility::Deallocate(name) => {
            session.deallocate(name.as_deref())?;
            done(if name.is_some() { "DEALLOCATE" } else { "DEALLOCATE ALL" })
        }
        Utility::Listen(channel) => {
            session.context.outbox.lock().listen(channel);
            done("LISTEN")
        }
        Utility::Unlisten(channel) => {
            session.context.outbox.lock().unlisten(channel.as_deref());
            done("UNLISTEN")
        }
        Utility::Notify { channel, payload } => {
            session.context.outbox.lock().notify(cut(channel), payload)?;
            done("NOTIFY")
        }
        Utility::Lock { tables, mode, wait } => {
            session.lock_tables(tables, mode, *wait, cancel).await?;
            done("LOCK TABLE")
        }
        Utility::Vacuum { tables, .. } => {
            session.refuse_in_block("VACUUM")?;
            if session.may_maintain(tables, "vacuum")? {
                until(cancel, session.engine.maintenance().have(Task::Vacuum)).await?;
            }
            done("VACUUM")
        }
        Utility::Analyze { tables } => {
            // Row counts are always exact and searches calibrate themselves.
            session.may_maintain(tables, "analyze")?;
            done("ANALYZE")
        }
        Utility::Cluster { .. } => Err(Error::unsupported("CLUSTER is not supported")
            .hint("Rows lie in the order of their insertion.")),
        Utility::Checkpoint => {
            if !session.context.is_superuser() {
                let message = "permission denied to execute CHECKPOINT command";
                return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                    .detail("Only superusers may."));
            }
            until(cancel, session.engine.maintenance().have(Task::Checkpoint)).await?;
            done("CHECKPOINT")
        }
        Utility::CreateApiKey { name, role } => {
            session.create_api_key(name, role.as_deref(), cancel).await
        }
        Utility::CreateWebhook(_) | Utility::AlterWebhook { .. } => {
            Box::pin(session.webhook(statement, cancel)).await
        }
        Utility::CreateModel { name, if_not_exists, options } => {
            session.create_model(name, *if_not_exists, options, cancel).await
        }
        Utility::AlterModel { name, if_exists, action } => {
            session.alter_model(name, *if_exists, action, cancel).await
        }
        ddl => session.ddl(ddl, cancel).await,
    }
}

impl Session {
    async fn ddl(&mut self, statement: &Utility, cancel: &CancellationToken) -> Result<Outcome> {
        if let Some(what) = concurrent(statement) {
            self.refuse_in_block(what)?;
        }
        if let Utility::CreateDatabase { .. } = statement {
            self.refuse_in_block("CREATE DATABASE")?;
        }
        if let Utility::Drop(drop) = statement
            && drop.object == sql::utility::ObjectKind::Database
        {
            self.refuse_in_block("DROP DATABASE")?;
        }
        // What a role may not set it may not have itself start with.
        if let Utility::AlterRole { action: AlterRole::Set { name, .. }, .. }
        | Utility::AlterRole { action: AlterRole::Reset(Some(name)), .. }
        | Utility::AlterDatabase { action: AlterDatabase::Set { name, .. }, .. }
        | Utility::AlterDatabase { action: AlterDatabase::Reset(Some(name)), .. } = statement
        {
            check_may_change(name, self.context.is_superuser())?;
        }
        self.open_transaction();
        let env = self.env(Vec::new(), cancel.clone());
        let context = Arc::clone(&self.context);
        let see = move |snapshot| context.see(snapshot);
        let transaction = self.transaction.as_mut().expect("a statement has a transaction");
        let mark = transaction.mark();
        let ran = Ddl::new(&env, transaction, &see).run(statement).await;
        match ran {
            Ok(Some(tag)) => {
                for change in transaction.changes_mut() {
                    if let Change::DropSequence(id) = change {
                        self.engine.sequences.forget(*id);
                    }
                }
                if let Utility::CreateIndex(create) = statement
                    && create.concurrently
                    && let Some(index) = named_index(transaction.changes_mut())
                {
                    self.build_behind(&index, &env).await?;
                }
                Ok(Outcome::Done(tag))
            }
            Ok(None) => Err(Error::internal("a statement that nobody runs")),
            Err(error) => {
                transaction.undo_to(mark);
                Err(error)
            }
        }
    }

    fn modes_now(&self) -> TransactionModes {
        use crate::{exec::transaction::Isolation, sql::utility::Isolation as Level};
        let isolation = self.transaction.as_ref().map(|t| match t.isolation() {
            Isolation::ReadCommitted => Level::ReadCommitted,
            Isolation::RepeatableRead => Level::RepeatableRead,
        });
        let read_only = self.transaction.as_ref().map(|t| t.is_read_only());
        TransactionModes { isolation, read_only, deferrable: None }
    }

    fn chain(&mut self, chain: bool, modes: TransactionModes) -> Result<()> {
        if chain {
            self.begin(&modes)?;
        }
        Ok(())
    }
}
