//! What all connections of a server share, and what they count.

use super::{cancel::Registry, options::Options};
use crate::session::Engine;
use std::sync::{Arc, atomic::AtomicU64};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the connections of a server have in common.
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) options: Options,
    pub(super) counters: Arc<Counters>,
    pub(super) registry: Registry,
    /// One permit for each session that may be open.
    pub(super) slots: Arc<Semaphore>,
    /// For verifiers of roles that do not exist.
    pub(super) mock_key: [u8; 32],
    /// Cancelled when connections have to go.
    pub(super) stopping: CancellationToken,
}

/// What went through a server since it was bound.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open, whether or not they are authenticated.
    pub connections_open: AtomicU64,
    /// Connections that were accepted.
    pub connections_total: AtomicU64,
    /// Connections that were turned away: too many, or not authenticated.
    pub connections_refused_total: AtomicU64,
    /// Bytes that clients sent.
    pub received_bytes_total: AtomicU64,
    /// Bytes that clients were sent.
    pub sent_bytes_total: AtomicU64,
    /// Messages that clients sent after they were let in.
    pub messages_total: AtomicU64,
    /// Errors that clients were told.
    pub errors_total: AtomicU64,
    /// Cancel requests whose key was right.
    pub cancels_total: AtomicU64,
}
