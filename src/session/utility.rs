//! Statements that are neither queries nor changes of rows: transaction control, settings,
//! cursors, prepared statements, DDL, maintenance.

use super::{
    Event, Outcome, OutputColumn, Rows, RowsTag, Session,
    concurrently::{concurrent, named_index},
    cursor::Cursor,
    role::role_setting,
    settings::{
        LOG_FILTER, SETTINGS, Settings, check_may_change, display_name, no_setting, set_log_filter,
        shown,
    },
};
use crate::{
    catalog::{
        Catalog, Change, Privileges,
        pg::{CursorRow, names::Scope},
    },
    error::{Error, Result, SqlState},
    exec::{
        ddl::Ddl,
        kept::Kept,
        locks::{Mode, Target},
        maintenance::Task,
        relations::Sources,
        rows_stream,
    },
    pgtype::PgType,
    sql::{
        self, Bound, Context,
        utility::{
            AlterDatabase, AlterRole, AlterWebhook, Declare, Discard, Execute, Name, SetValue,
            TransactionModes, Utility,
        },
    },
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::Schema,
};
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
            session.context.outbox.lock().notify(channel, payload)?;
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

    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    fn set_defaults(&mut self, modes: &TransactionModes) -> Result<()> {
        use sql::utility::Isolation;
        self.context.change_settings(|settings| {
            if let Some(isolation) = modes.isolation {
                let level = match isolation {
                    Isolation::ReadUncommitted => "read uncommitted",
                    Isolation::ReadCommitted => "read committed",
                    Isolation::RepeatableRead => "repeatable read",
                    Isolation::Serializable => "serializable",
                };
                settings.set("default_transaction_isolation", level, false)?;
            }
            if let Some(read_only) = modes.read_only {
                let value = if read_only { "on" } else { "off" };
                settings.set("default_transaction_read_only", value, false)?;
            }
            Ok(())
        })
    }

    fn set(&mut self, name: &str, value: &SetValue, local: bool) -> Result<()> {
        if local && !self.in_block() {
            self.context.notice(Error::new(
                SqlState::new(b"25P01"),
                "SET LOCAL can only be used in transaction blocks",
            ));
            return Ok(());
        }
        if let Some(setting) = role_setting(name) {
            let role = match value {
                SetValue::Default => String::new(),
                SetValue::Values(values) => values.concat(),
            };
            return self.context.set_role(setting, &role, local);
        }
        if name.eq_ignore_ascii_case("transaction_isolation")
            || name.eq_ignore_ascii_case("transaction_read_only")
        {
            return self.set_transaction_setting(name, value);
        }
        check_may_change(name, self.context.is_superuser())?;
        if name.eq_ignore_ascii_case(LOG_FILTER) {
            let filter = match value {
                SetValue::Default => None,
                SetValue::Values(values) => Some(values.join(", ")),
            };
            return set_log_filter(filter.as_deref(), local);
        }
        self.context.change_settings(|settings| match value {
            SetValue::Default => settings.reset(name),
            SetValue::Values(values) => settings.set(name, &values.join(", "), local).map(drop),
        })
    }

    fn set_transaction_setting(&mut self, name: &str, value: &SetValue) -> Result<()> {
        use sql::utility::Isolation;
        let SetValue::Values(values) = value else { return Ok(()) };
        let text = values.join(" ").to_ascii_lowercase();
        let mut modes = TransactionModes::default();
        if name.eq_ignore_ascii_case("transaction_isolation") {
            modes.isolation = Some(match text.as_str() {
                "read uncommitted" | "read committed" => Isolation::ReadCommitted,
                "repeatable read" => Isolation::RepeatableRead,
                _ => Isolation::Serializable,
            });
        } else {
            modes.read_only = Some(["on", "true", "1", "yes"].contains(&text.as_str()));
        }
        self.set_modes(&modes)
    }

    fn show(&self, name: Option<&str>) -> Result<Rows> {
        let rows: Vec<Vec<String>> = match name {
            Some(name) => {
                let value = self.context.setting(name).ok_or_else(|| no_setting(name))?;
                vec![vec![value]]
            }
            None => {
                let all = SETTINGS.iter().map(|setting| {
                    let value = self.context.with_settings(|s| s.known(setting.name).to_owned());
                    let value = shown(setting.name, &value);
                    vec![display_name(setting.name).to_owned(), value, setting.about.to_owned()]
                });
                all.collect()
            }
        };
        let statement = Utility::Show(name.map(str::to_owned));
        let columns = columns(self, &statement)?.expect("SHOW has columns");
        let arrays: Vec<ArrayRef> = (0..columns.len())
            .map(|place| {
                let values = rows.iter().map(|row| row[place].as_str());
                Arc::new(StringArray::from_iter_values(values)) as ArrayRef
            })
            .collect();
        let fields: Vec<_> = columns.iter().map(|c| c.kind.field(&c.name, false)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| Error::internal("settings").source(error))?;
        let tag = RowsTag::Fixed("SHOW".to_owned());
        Ok(Rows::new(columns, rows_stream(vec![batch]), tag))
    }

    fn discard(&mut self, what: Discard) -> Result<String> {
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

    async fn declare(&mut self, declare: &Declare, cancel: &CancellationToken) -> Result<Outcome> {
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

    pub(super) fn prepared_named(&self, name: &str) -> Result<Arc<super::Prepared>> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            Error::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    async fn execute_prepared(
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
    fn close_cursors(&mut self, name: Option<&str>) -> Result<()> {
        self.cursors.close(name)?;
        self.context.held.retain_cursors(|name| self.cursors.has(name));
        Ok(())
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<()> {
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

    async fn lock_tables(
        &mut self,
        names: &[Name],
        mode: &str,
        wait: bool,
        cancel: &CancellationToken,
    ) -> Result<()> {
        if !self.in_block() {
            return Err(Error::new(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "LOCK TABLE can only be used in transaction blocks",
            ));
        }
        let mode = mode.to_ascii_lowercase();
        let mut allows = Privileges::UPDATE
            .and(Privileges::DELETE)
            .and(Privileges::TRUNCATE)
            .and(Privileges::MAINTAIN);
        let mode = match mode.as_str() {
            "access share" | "row share" | "row exclusive" => {
                allows = allows.and(Privileges::INSERT);
                if mode == "access share" {
                    allows = allows.and(Privileges::SELECT);
                }
                Mode::Shared
            }
            _ => Mode::Exclusive,
        };
        let mut held = Vec::new();
        loop {
            // A lock wants no snapshot: the first statement after it sees what is there by then.
            let catalog = self.open_transaction().newest_catalog();
            let tables = self.tables_of(&catalog, names)?;
            for table in &tables {
                catalog.check_any(self.context.user(), *table, allows)?;
            }
            // While it waited the names may have become those of other tables, or of none.
            if tables == held {
                return Ok(());
            }
            let timeout = self.context.lock_timeout();
            let transaction = self.open_transaction();
            let (locks, owner) = (transaction.locks(), transaction.owner());
            for (table, name) in tables.iter().zip(names) {
                let target = Target::Table(*table);
                if wait {
                    until(cancel, locks.acquire(owner, target, mode, timeout)).await?;
                } else if locks.try_acquire(owner, &target, mode).is_none() {
                    return Err(Error::new(
                        SqlState::LOCK_NOT_AVAILABLE,
                        format!("could not obtain lock on relation \"{}\"", name.name),
                    ));
                }
            }
            held = tables;
        }
    }

    /// Whether upkeep of all of some tables may be asked for, or of the whole where none is named; a
    /// warning says of those for which it may not. All of them must be there.
    fn may_maintain(&mut self, names: &[Name], what: &str) -> Result<bool> {
        let snapshot = self.snapshot();
        let catalog = snapshot.catalog();
        let tables = self.tables_of(catalog, names)?;
        let user = self.context.user();
        let owner = catalog.database(self.context.database()).map(|database| database.owner);
        let mut may = true;
        for (table, name) in tables.into_iter().zip(names) {
            if catalog.check_any(user, table, Privileges::MAINTAIN).is_err() {
                let message = format!("permission denied to {what} \"{}\", skipping it", name.name);
                self.context.notice(Error::new(SqlState::new(b"01000"), message));
                may = false;
            }
        }
        let owns = || owner.is_some_and(|owner| catalog.has_privileges_of(user, owner));
        Ok(if names.is_empty() { owns() } else { may })
    }

    fn tables_of(&self, catalog: &Catalog, names: &[Name]) -> Result<Vec<crate::ids::Oid>> {
        let path = self.context.search_path();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let relation = match &name.schema {
                None => catalog.resolve(&path, &name.name),
                Some(schema) => {
                    let schema = catalog.schema_named(self.context.database(), schema);
                    if let Some(schema) = schema {
                        catalog.check_any(self.context.user(), schema.id, Privileges::USAGE)?;
                    }
                    schema.and_then(|schema| catalog.relation_named(schema.id, &name.name))
                }
            };
            let relation = relation
                .ok_or_else(|| catalog.no_relation(&path, &name.name, &name.to_string()))?;
            found.push(relation.id());
        }
        Ok(found)
    }
}
