//! One connection's conversation: statements in transactions, from text to a stream of batches.
//!
//! A transport calls [`Session::parse`], [`Session::prepare`], [`Session::execute`] and sends what
//! it gets; it knows nothing of SQL. A session knows nothing of wires.
//!
//! - [`engine`]: what all sessions of a node share.
//! - [`context`]: what functions and plans may ask of their session.
//! - [`settings`]: SET, SHOW, RESET.
//! - [`statement`]: prepares and runs one statement; [`utility`] those that are not queries.
//! - [`transaction`]: BEGIN, COMMIT, savepoints, the implicit transaction.
//! - [`statements`]: what statements cost, by their forms.
//! - [`role`]: whom a session stands for and acts as.
//! - [`api_key`]: keys of HTTP clients.
//! - [`webhook`]: statements about webhooks, and what their conditions mean.
//! - [`model`]: models that make vectors of texts; [`embedding`]: vectors made behind statements.
//! - [`temporary`]: temporary relations until their end.
//! - [`running`]: a statement until its last row: span, counters, the log of slow ones.
//! - [`notify`]: what sessions tell each other.
//! - [`cursor`], [`copy`], [`explain`]: what their names say.

mod ahead;
mod api_key;
mod cache;
mod cancel;
mod concurrently;
mod context;
mod copy;
mod copy_file;
mod cursor;
mod embedding;
mod engine;
mod explain;
mod held;
mod model;
mod notify;
mod role;
mod running;
mod sequence;
pub mod settings;
mod statement;
mod statements;
mod temporary;
mod transaction;
mod utility;
mod webhook;

pub use cancel::{Canceller, Pace};
pub use copy::{CopyIn, CopyOut};
pub use embedding::EmbeddingWorker;
pub use engine::{Engine, Login, Services};
pub use notify::Notification;
pub use statement::{Given, Prepared};
pub use webhook::Conditions;

pub use crate::{
    exec::run::RowStream,
    sql::{OutputColumn, Statement},
};

use crate::{
    catalog::{Privileges, Role},
    error::{Error, Result, SqlState},
    exec::{run::PlanSlot, transaction::Transaction},
    pgtype::style::Style,
    sql::{self, Context},
    storage::reads::{ReadCounts, Reads},
};
use context::SessionContext;
use settings::Settings;
use std::{collections::HashMap, net::SocketAddr, sync::Arc};

impl Drop for Session {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// What a client says when it connects.
#[derive(Debug, Clone)]
pub struct Start {
    /// The role.
    pub role: String,
    /// The database.
    pub database: String,
    /// Settings, as names and values.
    pub parameters: Vec<(String, String)>,
    /// The number that this backend goes by.
    pub process_id: i32,
    /// From where it connects.
    pub client: Option<SocketAddr>,
}

/// Where a session stands between statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// In no transaction.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In a transaction block that failed: only its end is accepted.
    Failed,
}

/// Something to tell the client beside results.
#[derive(Debug)]
pub enum Event {
    /// A notice or a warning.
    Notice(Notice),
    /// A reported setting has changed.
    Parameter(&'static str, String),
    /// A prepared statement is gone; `None`: all of them.
    Deallocate(Option<String>),
}

/// A message that is no error.
#[derive(Debug)]
pub struct Notice {
    /// `NOTICE`, `WARNING` …
    pub severity: &'static str,
    /// What it says.
    pub message: Error,
}

/// What a statement gives.
#[expect(missing_debug_implementations, reason = "streams have none")]
pub enum Outcome {
    /// The statement was empty.
    Empty,
    /// It is done; its command tag.
    Done(String),
    /// Rows.
    Rows(Rows),
    /// The client sends rows.
    CopyIn(Box<CopyIn>),
    /// The client gets rows in COPY's form.
    CopyOut(CopyOut),
}

/// A result.
#[expect(missing_debug_implementations, reason = "streams have none")]
pub struct Rows {
    /// Its columns.
    pub columns: Arc<[OutputColumn]>,
    /// Its rows.
    pub stream: RowStream,
    /// Its command tag.
    pub tag: RowsTag,
    /// The statement's, for a client that takes the rows with pauses.
    pub pace: Option<Arc<Pace>>,
}

impl Rows {
    fn new(columns: Arc<[OutputColumn]>, stream: RowStream, tag: RowsTag) -> Self {
        Self { columns, stream, tag, pace: None }
    }
}

/// The command tag of a result, once its rows are counted.
#[derive(Debug, Clone)]
pub enum RowsTag {
    /// A word and the number of rows: `SELECT 3`.
    Counted(&'static str),
    /// The tag as it is: `EXPLAIN`, `SHOW`, `INSERT 0 3`.
    Fixed(String),
}

impl RowsTag {
    /// The tag after `rows` rows.
    #[must_use]
    pub fn text(&self, rows: u64) -> String {
        match self {
            Self::Counted(word) => format!("{word} {rows}"),
            Self::Fixed(tag) => tag.clone(),
        }
    }
}

/// A connection's conversation.
#[derive(Debug)]
pub struct Session {
    engine: Arc<Engine>,
    context: Arc<SessionContext>,
    transaction: Option<Transaction>,
    /// Whether BEGIN opened the transaction.
    explicit: bool,
    /// Whether several statements of one message share an implicit transaction.
    implicit_block: bool,
    failed: bool,
    /// Whether no transaction of the session may write, whatever its statements say.
    is_read_only: bool,
    prepared: HashMap<String, Arc<Prepared>>,
    cursors: cursor::Cursors,
    events: Vec<Event>,
    cache: cache::StatementCache,
    reported: HashMap<&'static str, String>,
    /// The moment of `reported` and `derived`.
    stamp: context::Stamp,
    derived: statement::Derived,
    /// How many statements were run.
    statements: u64,
    /// What the last of them read.
    reads: Arc<Reads>,
    /// Where the plan of the running statement is put for the log.
    shown_plan: Option<PlanSlot>,
}

impl Engine {
    /// A conversation for a client.
    ///
    /// # Errors
    /// 3D000, 28000, and those of the settings it starts with.
    pub fn session(self: &Arc<Self>, start: Start) -> Result<Session> {
        let catalog = self.catalog();
        let database = catalog.database_named(&start.database).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", start.database),
            )
        })?;
        let role = catalog.role_named(&start.role).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{}\" does not exist", start.role),
            )
        })?;
        catalog
            .check_any(role.id, database.id, Privileges::CONNECT)
            .map_err(|denied| denied.detail("User does not have CONNECT privilege."))?;
        let mut settings = Settings::default();
        let stored = database.settings.iter().chain(&role.settings);
        let mut refused = Vec::new();
        for (name, value) in stored {
            // Nobody is kept out by what was said of them once.
            match role::check_start(&catalog, role, name, value) {
                Ok(()) => settings.start_with(name, value)?,
                Err(error) => refused.push(Error::new(SqlState::new(b"01000"), error.message())),
            }
        }
        for (name, value) in &start.parameters {
            role::check_start(&catalog, role, name, value)?;
            settings::check_may_change(name, role.superuser)?;
            settings.start_with(name, value)?;
        }
        let names = ((database.id, database.name.clone()), (role.id, role.name.clone()));
        let context = SessionContext::new(Arc::clone(self), &start, names.0, names.1, settings);
        refused.into_iter().for_each(|refused| context.notice(refused));
        self.enter(start.process_id, Arc::<SessionContext>::downgrade(&context));
        let mut session = Session {
            engine: Arc::clone(self),
            stamp: context.stamp(),
            derived: context.with_settings(statement::Derived::of),
            context,
            transaction: None,
            explicit: false,
            implicit_block: false,
            failed: false,
            is_read_only: false,
            prepared: HashMap::new(),
            cursors: cursor::Cursors::default(),
            events: Vec::new(),
            cache: cache::StatementCache::default(),
            reported: HashMap::new(),
            statements: 0,
            reads: Arc::default(),
            shown_plan: None,
        };
        session.reported = session.reportable().collect();
        // What a superuser said of a role binds it: it may not say otherwise.
        if only_reads(role) && !role.superuser {
            session.forbid_writes();
        }
        Ok(session)
    }
}

/// Whether a role is one that only reads.
fn only_reads(role: &Role) -> bool {
    let said = role.settings.get("default_transaction_read_only");
    said.is_some_and(|value| matches!(value.as_str(), "on" | "true" | "yes" | "1"))
}

impl Session {
    /// Where the session stands.
    #[must_use]
    pub fn status(&self) -> TransactionStatus {
        match (self.explicit, self.failed) {
            (false, _) => TransactionStatus::Idle,
            (true, false) => TransactionStatus::InTransaction,
            (true, true) => TransactionStatus::Failed,
        }
    }

    /// Lets no transaction of the session write from now on, whatever its statements say.
    pub fn forbid_writes(&mut self) {
        self.is_read_only = true;
    }

    /// What stops the running statement from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.context.canceller.clone()
    }

    /// The columns of a cursor that DECLARE opened: to the protocol it is a portal of that name.
    #[must_use]
    pub fn cursor_columns(&self, name: &str) -> Option<Arc<[OutputColumn]>> {
        self.cursors.columns(name).ok()
    }

    /// What the last statement read, up to the row that it gave last.
    #[must_use]
    pub fn reads(&self) -> ReadCounts {
        self.reads.counts()
    }

    /// How values are written for this client.
    #[must_use]
    pub fn style(&self) -> Style {
        self.context.style()
    }

    /// What the client is told of settings when it connects.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters: Vec<_> = self.reportable().collect();
        parameters.sort_unstable();
        parameters
    }

    /// What happened since the last call, to be told before the next answer.
    pub fn take_events(&mut self) -> Vec<Event> {
        let notices = self.context.take_notices();
        let least = self.context.with_settings(|s| match s.known("client_min_messages") {
            "error" => 3,
            "warning" => 2,
            _ => 1,
        });
        for notice in notices {
            let (severity, rank) = match notice.state().class() {
                // A fault of a value that is told and not raised has been mended.
                "01" | "22" => ("WARNING", 2),
                _ => ("NOTICE", 1),
            };
            if rank < least {
                continue;
            }
            self.events.push(Event::Notice(Notice { severity, message: notice }));
        }
        self.settle();
        std::mem::take(&mut self.events)
    }

    /// What the session was told on channels that it listens to: nothing within a transaction block.
    pub fn take_notifications(&mut self) -> impl Iterator<Item = Notification> {
        let is_idle = self.status() == TransactionStatus::Idle;
        let told = is_idle.then(|| self.engine.channels.take(&self.context.ear));
        told.into_iter().flatten()
    }

    /// Until it may have been told something.
    pub fn is_told(&self) -> impl Future<Output = ()> + Send + use<> {
        let ear = Arc::clone(&self.context.ear);
        async move { ear.came().await }
    }

    /// Takes notice of settings, role and names that changed.
    fn settle(&mut self) {
        let stamp = self.context.stamp();
        if self.stamp == stamp {
            return;
        }
        self.stamp = stamp;
        self.derived = self.context.with_settings(statement::Derived::of);
        let now: HashMap<&'static str, String> = self.reportable().collect();
        for (name, value) in &now {
            if self.reported.get(name) != Some(value) {
                self.events.push(Event::Parameter(name, value.clone()));
            }
        }
        self.reported = now;
    }

    /// The statements of a message.
    ///
    /// # Errors
    /// 42601.
    pub fn parse(&mut self, text: &str) -> Result<Vec<Statement>> {
        if let Some(statement) = self.cache.parsed(text) {
            return Ok(vec![statement]);
        }
        let statements = sql::parse(text)?;
        self.cache.remember(text, &statements);
        Ok(statements)
    }

    /// What the session lets functions ask.
    fn context(&self) -> Arc<dyn Context> {
        Arc::clone(&self.context) as Arc<dyn Context>
    }

    fn reportable(&self) -> impl Iterator<Item = (&'static str, String)> {
        let declared = settings::SETTINGS.iter().filter(|setting| setting.reported);
        let names = declared.map(|setting| setting.name);
        names.chain(["is_superuser", "session_authorization"]).map(|name| {
            let value = self.context.setting(name).unwrap_or_default();
            (settings::display_name(name), value)
        })
    }
}
