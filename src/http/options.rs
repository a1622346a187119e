//! What the node decides for the sidecar: who gets in without a word, and the bounds.

use crate::tls::Encryption;
use std::time::Duration;

/// The settings of a [`super::Sidecar`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether clients may or must encrypt.
    pub encryption: Encryption,
    /// Whether everyone may ask how the node does.
    pub open_health: bool,
    /// Whether everyone may read the metrics.
    pub open_metrics: bool,
    /// The sites whose pages may talk to this port, as browsers name them: `https://example.com`.
    pub origins: Vec<String>,
    /// How many requests a key may make a second; `None`: as many as it likes.
    pub rate_max: Option<u32>,
    /// How long a request may take from its head to its answer.
    pub request_time_max: Duration,
    /// How many connections there may be at a time.
    pub connections_max: usize,
    /// The longest body, as it is sent and as it is once inflated.
    pub body_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encryption: Encryption::None,
            open_health: true,
            open_metrics: false,
            origins: Vec::new(),
            rate_max: None,
            request_time_max: Duration::from_secs(300),
            connections_max: 1000,
            body_bytes_max: 512 << 20,
        }
    }
}
