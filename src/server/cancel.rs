//! Who may cancel what: a client gets a process id and a secret key with its session, and says
//! both on a second connection when it wants the first one's statement to stop.

use crate::session::Canceller;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

/// Every session that runs.
#[derive(Debug, Default)]
pub(super) struct Registry {
    last_process_id: AtomicI32,
    entries: Arc<Mutex<HashMap<i32, Entry>>>,
}

struct Entry {
    key: Bytes,
    interrupt: Interrupt,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(..)")
    }
}

/// Stops the statement of one session, also while it waits for its client.
#[derive(Clone)]
pub(super) struct Interrupt {
    canceller: Canceller,
    waiting: Arc<Notify>,
}

impl Interrupt {
    pub(super) fn new(canceller: Canceller) -> Self {
        Self { canceller, waiting: Arc::default() }
    }

    /// Stops the statement that runs now, if any.
    pub(super) fn cancel(&self) {
        self.canceller.cancel();
        self.waiting.notify_one();
    }

    /// Returns at the next [`Interrupt::cancel`].
    pub(super) async fn cancelled(&self) {
        self.waiting.notified().await;
    }

    /// Forgets a cancel that came too late for the statement before.
    pub(super) fn clear(&self) {
        use futures::FutureExt;
        let _late = self.waiting.notified().now_or_never();
    }
}

impl Registry {
    /// A number that no session has. Positive.
    pub(super) fn process_id(&self) -> i32 {
        loop {
            let id = self.last_process_id.fetch_add(1, Relaxed).wrapping_add(1) & i32::MAX;
            if id > 0 && !self.entries.lock().contains_key(&id) {
                return id;
            }
        }
    }

    /// Lets whoever knows the key cancel, until the registration is dropped.
    pub(super) fn register(
        &self,
        process_id: i32,
        key: Bytes,
        interrupt: Interrupt,
    ) -> Registration {
        self.entries.lock().insert(process_id, Entry { key, interrupt });
        Registration { process_id, entries: Arc::clone(&self.entries) }
    }

    /// Cancels if the key is right, and says whether it was.
    pub(super) fn cancel(&self, process_id: i32, key: &[u8]) -> bool {
        let entries = self.entries.lock();
        match entries.get(&process_id) {
            Some(entry) if bool::from(entry.key.ct_eq(key)) => {
                entry.interrupt.cancel();
                true
            }
            _ => false,
        }
    }

    /// Cancels whatever runs.
    pub(super) fn cancel_all(&self) {
        self.entries.lock().values().for_each(|entry| entry.interrupt.cancel());
    }
}

/// Takes a session out of the registry when it ends.
#[derive(Debug)]
pub(super) struct Registration {
    process_id: i32,
    entries: Arc<Mutex<HashMap<i32, Entry>>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.entries.lock().remove(&self.process_id);
    }
}
