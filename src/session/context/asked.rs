//! What statements and functions ask of their session.

use super::SessionContext;
use crate::{
    catalog::{Catalog, PG_CATALOG, PG_TEMP, Privileges, Sequence, pg, schema_in_session},
    embed::Embedding,
    error::{Error, Result, SqlState},
    exec::{
        locks::{Mode, Owner, Target},
        recall::Subject,
        run::cancelled,
        verify::verify,
    },
    ids::Oid,
    index::Check,
    pgtype::{
        datestyle::DateStyle,
        style::{IntervalStyle, Style},
    },
    session::{
        role::role_setting,
        settings::{self, LOG_FILTER, Settings, check_may_change, set_log_filter, time_zone},
        statement::knobs,
    },
    sql::{ActivityRow, AdvisoryLock, Context, IndexCheck, MeasuredRecall, SettingRow},
    telemetry,
};
use futures::FutureExt as _;
use std::{pin::pin, sync::Arc};

impl Context for SessionContext {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(self.snapshot.load().catalog())
    }

    fn database(&self) -> Oid {
        self.database
    }

    fn database_name(&self) -> String {
        self.database_name.clone()
    }

    fn user(&self) -> Oid {
        self.state.lock().user
    }

    fn user_name(&self) -> String {
        let user = self.user();
        self.catalog().role(user).map_or_else(|| user.to_string(), |role| role.name.clone())
    }

    fn session_user_name(&self) -> String {
        self.with_settings(|settings| match settings.known("session_authorization") {
            "" => self.login_name.clone(),
            role => role.to_owned(),
        })
    }

    fn search_path(&self) -> Vec<Oid> {
        let mut path = self.explicit_path();
        if !path.contains(&PG_CATALOG) {
            path.insert(0, PG_CATALOG);
        }
        // Temporary relations hide all others of their name.
        if let Some(temporary) = self.path_of(PG_TEMP)
            && !path.contains(&temporary)
        {
            path.insert(0, temporary);
        }
        path
    }

    fn explicit_path(&self) -> Vec<Oid> {
        let path = self.with_settings(|settings| settings.known("search_path").to_owned());
        names(&path).iter().filter_map(|name| self.path_of(name)).collect()
    }

    fn setting(&self, name: &str) -> Option<String> {
        if name.eq_ignore_ascii_case("is_superuser") {
            return Some(if self.is_superuser() { "on" } else { "off" }.to_owned());
        }
        if name.eq_ignore_ascii_case(LOG_FILTER)
            && let Some(filter) = telemetry::log_filter()
        {
            return Some(filter);
        }
        if name.eq_ignore_ascii_case("session_authorization") {
            return Some(self.session_user_name());
        }
        let value = self.with_settings(|settings| settings.value(name).map(str::to_owned))?;
        Some(settings::shown(name, &value))
    }

    fn set_setting(&self, name: &str, value: &str, local: bool) -> Result<String> {
        if let Some(setting) = role_setting(name) {
            self.set_role(setting, value, local)?;
            return Ok(self.setting(setting).unwrap_or_default());
        }
        check_may_change(name, self.is_superuser())?;
        if name.eq_ignore_ascii_case(LOG_FILTER) {
            return set_log_filter(Some(value), local).map(|()| value.to_owned());
        }
        self.change_settings(|settings| settings.set(name, value, local))
    }

    fn settings(&self) -> Vec<SettingRow> {
        let mut rows = self.with_settings(Settings::rows);
        let filter = rows.iter_mut().find(|row| row.name == LOG_FILTER);
        if let (Some(row), Some(now)) = (filter, telemetry::log_filter()) {
            row.source = if now == row.setting { "default" } else { "override" }.to_owned();
            row.setting = now;
        }
        rows
    }

    fn next_value(&self, sequence: Oid) -> Result<i64> {
        let value = self.engine.sequences.next(&*self.sequence(sequence)?)?;
        let mut state = self.state.lock();
        state.given.insert(sequence, value);
        state.last_sequence = Some(sequence);
        Ok(value)
    }

    fn current_value(&self, sequence: Oid) -> Result<i64> {
        let entry = self.sequence(sequence)?;
        self.state.lock().given.get(&sequence).copied().ok_or_else(|| {
            Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "currval of sequence \"{}\" is not yet defined in this session",
                    entry.name
                ),
            )
        })
    }

    fn last_value(&self) -> Result<(Oid, i64)> {
        let state = self.state.lock();
        let value = |sequence| Some((sequence, *state.given.get(&sequence)?));
        state.last_sequence.and_then(value).ok_or_else(|| {
            Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "lastval is not yet defined in this session",
            )
        })
    }

    fn set_value(&self, sequence: Oid, value: i64, called: bool) -> Result<i64> {
        let value = self.engine.sequences.set(&*self.sequence(sequence)?, value, called)?;
        if called {
            self.state.lock().given.insert(sequence, value);
        }
        Ok(value)
    }

    fn transaction_micros(&self) -> i64 {
        let state = self.state.lock();
        if state.transaction.is_some() { state.transaction_micros } else { state.statement_micros }
    }

    fn statement_micros(&self) -> i64 {
        self.state.lock().statement_micros
    }

    fn clock_micros(&self) -> i64 {
        self.engine.clock.now_micros()
    }

    fn ascending(&self, at_least: u64, count: u64) -> u64 {
        let mut next = self.ascending.lock();
        let first = at_least.max(*next);
        *next = first.saturating_add(count);
        first
    }

    fn random(&self) -> u64 {
        self.engine.clock.random()
    }

    fn time_zone(&self) -> chrono_tz::Tz {
        self.with_settings(|settings| time_zone(settings.known("timezone")))
            .unwrap_or(chrono_tz::UTC)
    }

    fn style(&self) -> Style {
        let now = Some(self.transaction_micros());
        let stamp = self.stamp();
        if let Some((known, style)) = self.style.lock().as_ref()
            && *known == stamp
        {
            return Style { now, ..style.clone() };
        }
        let mut style = Style { time_zone: self.time_zone(), ..Style::default() };
        self.with_settings(|settings| {
            let digits = settings.number("extra_float_digits");
            style.extra_float_digits = i32::try_from(digits).unwrap_or(1);
            style.bytea_escape = settings.known("bytea_output") == "escape";
            style.interval_style = match settings.known("intervalstyle") {
                "postgres_verbose" => IntervalStyle::PostgresVerbose,
                "sql_standard" => IntervalStyle::SqlStandard,
                "iso_8601" => IntervalStyle::Iso8601,
                _ => IntervalStyle::Postgres,
            };
            let dates = DateStyle::default().with(settings.known("datestyle")).unwrap_or_default();
            (style.date_form, style.date_order) = (dates.form, dates.order);
        });
        style.names = Some(Arc::new(pg::names::SessionNames {
            catalog: self.catalog(),
            database: self.database,
            path: self.search_path(),
        }));
        *self.style.lock() = Some((stamp, style.clone()));
        Style { now, ..style }
    }

    fn process_id(&self) -> i32 {
        self.process_id
    }

    fn activity(&self) -> Vec<ActivityRow> {
        self.engine.sessions().values().map(|session| session.activity_row()).collect()
    }

    fn relation_size(&self, relation: Oid) -> u64 {
        let snapshot = self.current();
        match snapshot.index(relation) {
            Some(index) => index.stats().bytes,
            None => snapshot.table(relation).bytes(),
        }
    }

    fn live_rows(&self, table: Oid) -> u64 {
        self.current().table(table).live_rows()
    }

    fn measure_recall(&self, index: Oid, k: usize, queries: usize) -> Result<MeasuredRecall> {
        self.wait(self.recall_of(index, k, queries))
    }

    fn embed(&self, model: &str, texts: Vec<Arc<str>>) -> Result<Vec<Embedding>> {
        let asked = Context::catalog(self).expect_model(model)?.asked();
        if let Some(vectors) = self.answered.lock().find(&asked, &texts) {
            return Ok(vectors);
        }
        self.wait(self.engine.services.embedder.embed(&asked, texts))
    }

    fn rerank(&self, model: &str, query: Arc<str>, documents: Vec<Arc<str>>) -> Result<Vec<f32>> {
        let asked = Context::catalog(self).expect_model(model)?.asked();
        self.wait(self.engine.services.embedder.rerank(&asked, query, documents))
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.canceller.token().is_cancelled() {
            return Err(cancelled());
        }
        Ok(())
    }

    fn forget_statements(&self) {
        self.engine.statements.reset();
    }

    fn verify_index(&self, index: Oid) -> Result<Vec<IndexCheck>> {
        let snapshot = self.current();
        let report = self.wait(verify(&snapshot, index, self.random()))?;
        let check = |check: Check| IndexCheck {
            check: check.name,
            ok: check.ok,
            measured: check.measured,
            bound: check.bound,
            detail: check.detail,
        };
        Ok(report.checks.into_iter().map(check).collect())
    }

    fn cancel_backend(&self, process_id: i32) -> Result<bool> {
        let sessions = self.engine.sessions();
        let Some(session) = sessions.get(&process_id) else { return Ok(false) };
        let (catalog, user) = (self.catalog(), self.user());
        if !catalog.has_privileges_of(user, session.role())
            || catalog.is_superuser(session.role()) && !catalog.is_superuser(user)
        {
            let message = "permission denied to cancel query";
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).detail(
                "Only roles with privileges of the role whose query is being canceled may cancel it.",
            ));
        }
        session.cancel();
        Ok(true)
    }

    fn advisory_lock(&self, request: AdvisoryLock) -> Result<bool> {
        let transaction = self.state.lock().transaction.filter(|_| request.transaction);
        let owner = Owner { party: self.party, transaction };
        let mode = if request.shared { Mode::Shared } else { Mode::Exclusive };
        let target = Target::Advisory(request.key);
        let locks = &self.engine.locks;
        if locks.try_acquire(owner, &target, mode).is_some() {
            return Ok(true);
        }
        if !request.wait {
            return Ok(false);
        }
        self.wait(locks.acquire(owner, target, mode, self.lock_timeout())).map(|_| true)
    }

    fn advisory_unlock(&self, key: i64, shared: bool) -> bool {
        let mode = if shared { Mode::Shared } else { Mode::Exclusive };
        self.engine.locks.release(self.owner(), &Target::Advisory(key), mode)
    }

    fn advisory_unlock_all(&self) {
        self.engine.locks.release_all(self.owner());
    }

    fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        // What a cancelled statement still does is not the next one's.
        self.check_cancelled()?;
        self.outbox.lock().notify(channel, payload)
    }

    fn listening_channels(&self) -> Vec<String> {
        self.ear.channels()
    }

    fn notification_queue_usage(&self) -> f64 {
        self.engine.channels.usage()
    }

    fn notice(&self, notice: Error) {
        self.state.lock().notices.push(notice);
    }
}

impl SessionContext {
    /// Waits in a function of a running plan, until the statement is cancelled. The thread leaves
    /// the runtime meanwhile, which goes on with another in its place.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        if let Some(done) = work.as_mut().now_or_never() {
            return done;
        }
        let cancel = self.canceller.token();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                tokio::select! {
                    done = work => done,
                    () = cancel.cancelled() => Err(cancelled()),
                }
            })
        })
    }

    /// Measures an index on the rows that the running statement sees.
    async fn recall_of(&self, index: Oid, k: usize, queries: usize) -> Result<MeasuredRecall> {
        let snapshot = self.current();
        let subject = Subject::of(&snapshot, index)?;
        let knobs = self.with_settings(knobs);
        let target = knobs.target(&subject.entry);
        let recent = self.engine.runner.recall().recent(index, queries / 2);
        let measured = subject.measure(knobs, (k, queries), recent, self.random()).await?;
        let known = measured.estimate;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(MeasuredRecall {
            // As it was written, not as single precision has it.
            target: (f64::from(target) * 1000.0).round() / 1000.0,
            recall: known.map(|known| known.recall),
            low: known.map(|known| known.low),
            high: known.map(|known| known.high),
            samples: known.map_or(0, |known| count(known.queries)),
            live_samples: count(measured.recent),
        })
    }

    fn sequence(&self, id: Oid) -> Result<Arc<Sequence>> {
        self.catalog().sequence(id).cloned().ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_TABLE, format!("there is no sequence with oid {id}"))
        })
    }

    fn path_of(&self, name: &str) -> Option<Oid> {
        let catalog = self.catalog();
        let name = match name {
            "$user" => self.user_name(),
            name => schema_in_session(name, self.process_id).into_owned(),
        };
        let schema = catalog.schema_named(self.database, &name)?.id;
        // What a role may not look into it does not find things in.
        catalog.check_any(self.user(), schema, Privileges::USAGE).ok()?;
        Some(schema)
    }
}

/// The names of a list setting: `"$user", public`.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut chars = list.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            char if char.is_whitespace() && !quoted => {}
            char if quoted => name.push(char),
            char => name.extend(char.to_lowercase()),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}
