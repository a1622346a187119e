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

/// Every session that runs.
#[derive(Debug, Default)]
pub(super) struct Registry {
    last_process_id: AtomicI32,
    entries: Arc<Mutex<HashMap<i32, Entry>>>,
}

struct Entry {
    key: Bytes,
    canceller: Canceller,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(..)")
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
        canceller: Canceller,
    ) -> Registration {
        self.entries.lock().insert(process_id, Entry { key, canceller });
        Registration { process_id, entries: Arc::clone(&self.entries) }
    }

    /// Cancels if the key is right, and says whether it was.
    pub(super) fn cancel(&self, process_id: i32, key: &[u8]) -> bool {
        let entries = self.entries.lock();
        match entries.get(&process_id) {
            Some(entry) if bool::from(entry.key.ct_eq(key)) => {
                entry.canceller.cancel();
                true
            }
            _ => false,
        }
    }

    /// Cancels whatever runs.
    pub(super) fn cancel_all(&self) {
        self.entries.lock().values().for_each(|entry| entry.canceller.cancel());
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
