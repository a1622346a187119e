//! What statements and functions may know of their session: settings, names, times, notices. What they
//! ask of it is in `asked`, what the catalog's relations show of the server in `live`.

mod asked;
mod live;

use super::{
    Start,
    ahead::Answered,
    cancel::Canceller,
    engine::{Engine, Peer},
    held::Held,
    notify::{Ear, Outbox},
    settings::Settings,
};
use crate::{
    catalog::Catalog,
    error::{Error, Result},
    exec::{
        locks::{Owner, Party, TransactionId},
        snapshot::Snapshot,
    },
    ids::Oid,
    pgtype::style::Style,
    sql::{ActivityRow, Context},
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

/// The part of a session that plans and other sessions may look at.
#[derive(Debug)]
pub(super) struct SessionContext {
    engine: Arc<Engine>,
    process_id: i32,
    database: Oid,
    database_name: String,
    /// The role that logged in.
    login: Oid,
    login_name: String,
    client: Option<SocketAddr>,
    began_micros: i64,
    /// Whose the session's locks are.
    pub(super) party: Party,
    pub(super) canceller: Canceller,
    /// What models answered to the statement's own texts.
    answered: Mutex<Answered>,
    /// The next that [`Context::ascending`] may give.
    ascending: Mutex<u64>,
    snapshot: ArcSwap<Snapshot>,
    state: Mutex<State>,
    /// The style of values, and of when it is.
    style: Mutex<Option<(Stamp, Style)>>,
    /// Its prepared statements and cursors.
    pub(super) held: Held,
    /// What it listens to, and what came.
    pub(super) ear: Arc<Ear>,
    /// What its transaction tells others when it commits.
    pub(super) outbox: Mutex<Outbox>,
}

/// A moment of a session: what depends on settings, role and catalog is the same at equal ones.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    generation: u64,
    user: Oid,
    catalog: Arc<Catalog>,
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        (self.generation, self.user) == (other.generation, other.user)
            && Arc::ptr_eq(&self.catalog, &other.catalog)
    }
}

#[derive(Debug)]
struct State {
    settings: Settings,
    user: Oid,
    transaction: Option<TransactionId>,
    transaction_micros: i64,
    statement_micros: i64,
    changed_micros: i64,
    activity: &'static str,
    query: Arc<str>,
    notices: Vec<Error>,
    given: HashMap<Oid, i64>,
    last_sequence: Option<Oid>,
}

impl SessionContext {
    pub(super) fn new(
        engine: Arc<Engine>,
        start: &Start,
        database: (Oid, String),
        role: (Oid, String),
        settings: Settings,
    ) -> Arc<Self> {
        let now = engine.clock.now_micros();
        let snapshot = ArcSwap::from_pointee(Snapshot::committed(engine.states.snapshot()));
        let (database, database_name) = database;
        let state = State {
            settings,
            user: role.0,
            transaction: None,
            transaction_micros: now,
            statement_micros: now,
            changed_micros: now,
            activity: "idle",
            query: "".into(),
            notices: Vec::new(),
            given: HashMap::new(),
            last_sequence: None,
        };
        let context = Arc::new(Self {
            process_id: start.process_id,
            database,
            database_name,
            login: role.0,
            login_name: role.1,
            client: start.client,
            began_micros: now,
            party: Party::next(),
            canceller: Canceller::default(),
            answered: Mutex::default(),
            ascending: Mutex::default(),
            snapshot,
            state: Mutex::new(state),
            style: Mutex::new(None),
            held: Held::default(),
            ear: Ear::of(database),
            outbox: Mutex::default(),
            engine,
        });
        // The role may be among what it starts with.
        context.change_settings(|_| ());
        context
    }

    /// Owns the locks that the session takes for itself.
    fn owner(&self) -> Owner {
        Owner { party: self.party, transaction: None }
    }

    pub(super) fn stamp(&self) -> Stamp {
        let catalog = self.catalog();
        let state = self.state.lock();
        Stamp { generation: state.settings.generation(), user: state.user, catalog }
    }

    /// Reads settings.
    pub(super) fn with_settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&self.state.lock().settings)
    }

    /// Keeps what models answered to the statement that begins, and forgets what was before.
    pub(super) fn keep_answers(&self, answered: Answered) {
        *self.answered.lock() = answered;
    }

    /// Whether the role that acts is one.
    pub(super) fn is_superuser(&self) -> bool {
        self.catalog().is_superuser(self.user())
    }

    /// Changes settings.
    pub(super) fn change_settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        let mut state = self.state.lock();
        let changed = change(&mut state.settings);
        state.user = self.acting(&state.settings);
        changed
    }

    /// The role that logged in.
    pub(super) fn login(&self) -> Oid {
        self.login
    }

    pub(super) fn see(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
    }

    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(super) fn statement_starts(&self, query: &Arc<str>) {
        let now = self.engine.clock.now_micros();
        let mut state = self.state.lock();
        state.statement_micros = now;
        state.changed_micros = now;
        state.activity = "active";
        state.query = Arc::clone(query);
    }

    /// The text of the running statement.
    pub(super) fn statement_text(&self) -> Arc<str> {
        Arc::clone(&self.state.lock().query)
    }

    pub(super) fn rests(&self, activity: &'static str) {
        let mut state = self.state.lock();
        state.changed_micros = self.engine.clock.now_micros();
        state.activity = activity;
    }

    pub(super) fn transaction_is(&self, transaction: Option<TransactionId>) {
        let mut state = self.state.lock();
        state.transaction = transaction;
        state.transaction_micros = state.statement_micros;
    }

    pub(super) fn forget_sequences(&self) {
        let mut state = self.state.lock();
        state.given.clear();
        state.last_sequence = None;
    }

    pub(super) fn take_notices(&self) -> Vec<Error> {
        std::mem::take(&mut self.state.lock().notices)
    }

    /// Whether what the transaction tells can be told.
    ///
    /// # Errors
    /// 54000.
    pub(super) fn admit_told(&self) -> Result<()> {
        self.engine.channels.admit(&self.outbox.lock())
    }

    /// The transaction has ended.
    pub(super) fn tell(&self, committed: bool) {
        let said = self.outbox.lock().take();
        if committed && !said.is_empty() {
            self.engine.channels.carry_out(&self.ear, self.process_id, said);
        }
    }

    pub(super) fn lock_timeout(&self) -> Option<Duration> {
        self.with_settings(|settings| settings.duration("lock_timeout"))
    }
}

impl Peer for SessionContext {
    fn role(&self) -> Oid {
        self.user()
    }

    fn activity_row(&self) -> ActivityRow {
        let state = self.state.lock();
        ActivityRow {
            database: self.database,
            database_name: self.database_name.clone(),
            process_id: self.process_id,
            user: self.login,
            user_name: self.login_name.clone(),
            application_name: state.settings.known("application_name").to_owned(),
            client_address: self.client.map(|client| client.ip().to_string()),
            client_port: self.client.map(|client| i32::from(client.port())),
            backend_start: self.began_micros,
            transaction_start: state.transaction.map(|_| state.transaction_micros),
            query_start: Some(state.statement_micros),
            state_change: Some(state.changed_micros),
            state: state.activity.to_owned(),
            query: state.query.to_string(),
        }
    }

    fn cancel(&self) {
        self.canceller.cancel();
    }
}

impl Drop for SessionContext {
    fn drop(&mut self) {
        self.engine.locks.release_all(self.owner());
        self.engine.channels.leave(&self.ear);
        self.engine.leave(self.process_id);
    }
}
