//! What webhooks are told: from the log into the outbox, in order, each event once.
//!
//! ```text
//!   commit ──> committed ──┐
//!              (or the log)│     draft            outbox
//!   recall ──> alarms ─────┼──> Post ──> events ──> one commit: events, the cursor, what was delivered
//!   sessions ─> orders ────┤                          │
//!   couriers ─> reports ───┘ <── letters ── desks <───┘
//! ```
//!
//! [`Events`] is where all of them meet; it belongs to the pictures ([`States`](super::state::States)).
//! [`Post`] is the one task that writes the outbox. What it promises is in
//! `docs/adr/0008-webhook-outbox.md`: an event is stored, or counted in a gap, before the log behind it may
//! be collected; what is stored is sent in the order of commits until it is delivered or dead.

mod audience;
mod committed;
mod desk;
mod draft;
mod named;
mod outbox;
mod payload;
mod post;
mod told;

pub use committed::Committed;
pub use desk::{Brief, DeskView};
pub use draft::Judge;
pub use post::{Origin, Parts as PostParts, Post};
pub(super) use told::told;

use crate::{
    catalog::Catalog,
    error::{Error, Result, SqlState},
    ids::{Lsn, Oid},
    storage::wal::Record,
    webhook::{History, address::Reach},
};
use committed::Tail;
use desk::Desks;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, mpsc, oneshot};

/// So many alarms may wait; more are dropped, since they repeat themselves.
const ALARMS_MAX: usize = 256;
/// So many orders may wait.
const ORDERS_MAX: usize = 64;

/// Where those who have something to tell, those who write it down and those who look on meet.
#[derive(Debug)]
pub struct Events {
    tail: Tail,
    alarms: Mutex<VecDeque<Alarm>>,
    /// Tells the post that something waits.
    ready: Notify,
    /// Up to which commit events are stored.
    stored: AtomicU64,
    desks: Desks,
    history: Arc<History>,
    reach: OnceLock<Reach>,
    orders: mpsc::Sender<(Order, oneshot::Sender<Result<u64>>)>,
    /// Until the post takes it.
    taken: Mutex<Option<Orders>>,
}

/// The other end of the orders.
type Orders = mpsc::Receiver<(Order, oneshot::Sender<Result<u64>>)>;

/// Measured recall is below its target.
#[derive(Debug, Clone)]
pub struct Alarm {
    /// The index.
    pub index: Oid,
    /// How many of the rows filters left.
    pub filter: &'static str,
    /// The share of the true nearest rows that searches were to find.
    pub target: f64,
    /// The share that they found, with the interval of 95 percent confidence.
    pub measured: (f64, f64, f64),
    /// How many were looked at.
    pub samples: usize,
}

/// What a session orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// An event that only says that events arrive.
    Test {
        /// Which webhook.
        webhook: Oid,
    },
    /// Dead letters are to be sent again.
    Replay {
        /// Which webhook.
        webhook: Oid,
        /// Which event; none: all of them.
        event: Option<String>,
    },
    /// Dead letters are to be forgotten.
    Forget {
        /// Which webhook.
        webhook: Oid,
        /// Which event; none: all of them.
        event: Option<String>,
    },
}

impl Events {
    /// After a commit.
    #[must_use]
    pub fn new(lsn: Lsn) -> Self {
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        Self {
            tail: Tail::default(),
            alarms: Mutex::default(),
            ready: Notify::new(),
            stored: AtomicU64::new(lsn.0),
            desks: Desks::default(),
            history: Arc::default(),
            reach: OnceLock::new(),
            orders,
            taken: Mutex::new(Some(taken)),
        }
    }

    /// Records were committed; `names` are those before the first and after each.
    pub(super) fn committed(&self, records: &[Record], names: &[Arc<Catalog>]) {
        self.tail.push(records, names);
        self.ready.notify_one();
    }

    /// Recall fell below its target.
    pub(super) fn alarm(&self, alarm: Alarm) {
        let mut alarms = self.alarms.lock();
        if alarms.len() < ALARMS_MAX {
            alarms.push_back(alarm);
        }
        drop(alarms);
        self.ready.notify_one();
    }

    /// Up to which commit events are stored: the log behind it is needed.
    #[must_use]
    pub fn stored(&self) -> Lsn {
        Lsn(self.stored.load(Ordering::Acquire))
    }

    pub(super) fn stored_up_to(&self, lsn: Lsn) {
        self.stored.store(lsn.0, Ordering::Release);
    }

    /// Where webhooks may go.
    #[must_use]
    pub fn reach(&self) -> Reach {
        *self.reach.get().unwrap_or(&Reach::Public)
    }

    /// What couriers did lately.
    #[must_use]
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// What waits for a webhook.
    #[must_use]
    pub fn desk(&self, webhook: Oid) -> DeskView {
        self.desks.view(webhook)
    }

    /// Has an order done; how many events it was about. It does not wait for the end of the
    /// session's transaction.
    ///
    /// # Errors
    /// 42704 without such a webhook or event; 57P01 when the node is stopping.
    pub async fn order(&self, order: Order) -> Result<u64> {
        let stopping = || Error::new(SqlState::ADMIN_SHUTDOWN, "the node is stopping");
        let (reply, answer) = oneshot::channel();
        self.orders.send((order, reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}
