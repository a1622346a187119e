//! What goes on behind requests: tasks that nobody waits for, operations that clients ask about
//! later, and when tables changed.

use super::fault::{Answer, Fault, FaultKind};
use crate::{clock::SharedClock, ids::TableId, session::Engine, storage::table::TableState};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// So many tasks run at a time.
const TASKS_MAX: usize = 64;
/// Changes are looked for no more often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So many operations are remembered after their end.
const ENDED_MAX: usize = 1024;

/// Tasks by name, of which each runs once at a time.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: Arc<Mutex<HashSet<String>>>,
    set: Mutex<JoinSet<()>>,
}

impl Tasks {
    /// Starts a task unless it runs already, or too many do.
    pub(super) fn start(
        &self,
        name: String,
        task: impl Future<Output = Answer<()>> + Send + 'static,
    ) -> Beginning {
        let mut set = self.set.lock();
        while set.try_join_next().is_some() {}
        let mut names = self.running.lock();
        if names.contains(&name) {
            return Beginning::Runs;
        }
        if set.len() >= TASKS_MAX {
            return Beginning::TooMany;
        }
        names.insert(name.clone());
        drop(names);
        let running = Arc::clone(&self.running);
        set.spawn(async move {
            let ended = Ended { name, running };
            if let Err(fault) = task.await {
                tracing::warn!(task = %ended.name, %fault, "a task of the JSON API failed");
            }
        });
        Beginning::Begun
    }

    /// Ends them all.
    pub(super) async fn stop(&self) {
        let mut set = std::mem::take(&mut *self.set.lock());
        set.shutdown().await;
    }
}

/// What became of a wish to start a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It runs.
    Begun,
    /// It ran already.
    Runs,
    /// It does not run, since too many others do.
    TooMany,
}

/// Forgets a task's name, however it ends.
struct Ended {
    name: String,
    running: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.running.lock().remove(&self.name);
    }
}

/// Operations that clients ask about.
#[derive(Debug, Default)]
pub(super) struct Operations<T> {
    known: Mutex<Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    by_token: HashMap<String, Operation<T>>,
    ended: VecDeque<String>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { by_token: HashMap::new(), ended: VecDeque::new() }
    }
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Operation<T> {
    pub(super) namespace: String,
    pub(super) started_micros: i64,
    /// When, and how.
    pub(super) ended: Option<(i64, Result<T, Fault>)>,
}

impl<T: Clone> Operations<T> {
    /// A new one.
    pub(super) fn begin(&self, clock: &SharedClock, namespace: &str) -> String {
        let token = format!("{:016x}{:016x}", clock.random(), clock.random());
        let operation = Operation {
            namespace: namespace.to_owned(),
            started_micros: clock.now_micros(),
            ended: None,
        };
        self.known.lock().by_token.insert(token.clone(), operation);
        token
    }

    /// It is over.
    pub(super) fn end(&self, clock: &SharedClock, token: &str, outcome: Result<T, Fault>) {
        let mut known = self.known.lock();
        if let Some(operation) = known.by_token.get_mut(token) {
            operation.ended = Some((clock.now_micros(), outcome));
            known.ended.push_back(token.to_owned());
        }
        if known.ended.len() > ENDED_MAX
            && let Some(oldest) = known.ended.pop_front()
        {
            known.by_token.remove(&oldest);
        }
    }

    /// How it stands.
    pub(super) fn get(&self, namespace: &str, token: &str) -> Answer<Operation<T>> {
        let known = self.known.lock();
        let found = known.by_token.get(token).filter(|known| known.namespace == namespace);
        found.cloned().ok_or_else(|| {
            Fault::new(FaultKind::NotFound, "there is no operation of this token, or no longer")
        })
    }
}

/// When each table was changed last, as far as it was seen since the start.
#[derive(Debug)]
pub(super) struct Changes {
    started_micros: i64,
    last: Mutex<HashMap<TableId, Seen>>,
}

#[derive(Debug)]
struct Seen {
    picture: Fingerprint,
    micros: i64,
}

/// What is different after every change of a table's rows.
type Fingerprint = (u64, u64);

fn fingerprint(table: &TableState) -> Fingerprint {
    // New rows raise the one, deleted ones lower the other.
    (table.next_row().0, table.live_rows())
}

impl Changes {
    pub(super) fn new(started_micros: i64) -> Self {
        Self { started_micros, last: Mutex::default() }
    }

    /// Watches until told to stop.
    pub(super) async fn watch(
        this: Weak<Self>,
        engine: Arc<Engine>,
        clock: SharedClock,
        stop: CancellationToken,
    ) {
        let mut news = engine.states().changes();
        if let Some(changes) = this.upgrade() {
            let state = engine.states().snapshot();
            changes.look(&state.tables, changes.started_micros);
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = news.changed() => if changed.is_err() { return },
            }
            let Some(changes) = this.upgrade() else { return };
            let state = engine.states().snapshot();
            changes.look(&state.tables, clock.now_micros());
            drop((changes, state));
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn look(&self, tables: &HashMap<TableId, TableState>, now: i64) {
        let mut last = self.last.lock();
        last.retain(|id, _| tables.contains_key(id));
        for (id, table) in tables {
            let picture = fingerprint(table);
            let seen = last.entry(*id).or_insert(Seen { picture, micros: now });
            if seen.picture != picture {
                *seen = Seen { picture, micros: now };
            }
        }
    }

    /// When a table was changed last: what was before the start of the server counts as then.
    pub(super) fn last(&self, id: TableId, table: &TableState, created_micros: i64) -> i64 {
        let seen = self.last.lock().get(&id).map(|seen| seen.micros);
        let never = table.next_row().0 == 0;
        match seen {
            Some(micros) => micros.max(created_micros),
            None if never => created_micros,
            None => created_micros.max(self.started_micros),
        }
    }
}
