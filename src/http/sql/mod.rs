//! SQL over HTTP: `POST /v1/sql` runs the statements of a text in a session of its own.
//!
//! ```text
//!   request   what may be asked                       parameters: JSON values become typed ones
//!   run       the statements one after the other      events: columns, rows, the end, a fault
//!   value     a row of Arrow becomes JSON
//!   answer    events become one document, or lines
//! ```
//!
//! A request is one session: what it sets, prepares or creates temporarily ends with it, and a
//! transaction that it leaves open is rolled back and reported. The session runs in a task that
//! watches its client: when that goes away, the statement is cancelled.

mod answer;
mod parameters;
mod request;
mod run;
mod value;

use super::{Api, body::Sent, refusal::Refusal};
use crate::{clock::SharedClock, error::Result, namespaces::Caller, session::Start};
use axum::{
    Extension, Router, extract::State, http::StatusCode, response::Response, routing::post,
};
use request::SqlRequest;
use run::{Event, Limits, Statements};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, Span};

/// So many requests run at a time; others wait.
const SESSIONS_MAX: usize = 32;
/// Answers that are held until they are whole take so much together; others wait.
const ANSWERS_BYTES_MAX: usize = 256 << 20;
/// What they are counted in.
const PAGE_BYTES: usize = 64 << 10;
/// How long a request waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How many pieces of an answer are made ahead of a client that reads slowly.
const EVENTS_AHEAD: usize = 4;
/// Backends of clients of the other wire count up from 1, those of namespaces down from the top,
/// these down from the middle.
const FIRST_PROCESS_ID: i32 = 1 << 30;

/// Where requests get their sessions.
#[derive(Debug)]
pub(super) struct Desk {
    sessions: Arc<Semaphore>,
    /// The memory of answers that are held until they are whole.
    pages: Arc<Semaphore>,
    next_process_id: AtomicI32,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            sessions: Arc::new(Semaphore::new(SESSIONS_MAX)),
            pages: Arc::new(Semaphore::new(ANSWERS_BYTES_MAX / PAGE_BYTES)),
            next_process_id: AtomicI32::new(FIRST_PROCESS_ID),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }
}

impl Desk {
    /// Cancels what runs, takes nothing new, and waits until every session is closed.
    pub(super) async fn stop(&self) {
        self.sessions.close();
        self.pages.close();
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Some permits, as soon as there are so many.
    async fn taken(
        &self,
        of: &Arc<Semaphore>,
        count: u32,
        clock: &SharedClock,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let taken = tokio::select! {
            taken = Arc::clone(of).acquire_many_owned(count) => taken,
            () = clock.sleep(WAIT_MAX) => {
                let message = "too many requests at a time; try again";
                return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
            }
        };
        taken.map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"))
    }
}

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/sql", post(run))
}

async fn run(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    sent: Sent<SqlRequest>,
) -> Result<Response, Refusal> {
    let request = &sent.value;
    request.check()?;
    let begun = api.clock.elapsed();
    let slot = api.sql.taken(&api.sql.sessions, 1, &api.clock).await?;
    if request.stream {
        let mut events = start(&api, &caller, request, slot);
        // What fails at once fails by its status too.
        return Ok(match events.recv().await {
            Some(event @ (Event::Columns(_) | Event::Rows(_) | Event::Done(_) | Event::End)) => {
                answer::lines(event, events, Arc::clone(&api.clock), begun)
            }
            failed => answer::nothing(failed, api.clock.elapsed().saturating_sub(begun)),
        });
    }
    // An answer that is one document is held until it is whole.
    let pages = u32::try_from(request.bytes_max().div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX);
    let held = api.sql.taken(&api.sql.pages, pages, &api.clock).await?;
    let answered = answer::document(start(&api, &caller, request, slot), &api.clock, begun).await;
    drop(held);
    Ok(answered)
}

/// Runs the request in a task; what it gives.
fn start(
    api: &Arc<Api>,
    caller: &Caller,
    request: &SqlRequest,
    slot: OwnedSemaphorePermit,
) -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(EVENTS_AHEAD);
    let mut settings = vec![("application_name".to_owned(), "http".to_owned())];
    if let Some(limit) = request.timeout_ms {
        settings.push(("statement_timeout".to_owned(), limit.to_string()));
    }
    let start = Start {
        role: caller.role.to_string(),
        database: request.database.clone().unwrap_or_else(|| "postgres".to_owned()),
        parameters: settings,
        process_id: api.sql.next_process_id.fetch_sub(1, Relaxed),
        client: None,
    };
    let limits = Limits { rows: request.rows_max(), bytes: request.bytes_max() };
    let statements = Statements {
        text: request.sql.clone(),
        parameters: request.params.clone(),
        read_only: request.read_only,
        limits,
        clock: Arc::clone(&api.clock),
        stopping: api.sql.stopping.clone(),
    };
    let engine = Arc::clone(&api.engine);
    let run = async move {
        statements.run(&engine, start, sender).await;
        drop(slot);
    };
    api.sql.tasks.spawn(run.instrument(Span::current()));
    events
}
