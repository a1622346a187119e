//! What the node decides for the server: encryption, and the bounds.

use crate::{
    clock::{SharedClock, SystemClock},
    error::{Error, Result, SqlState},
    tls::Encryption,
};
use std::{path::PathBuf, time::Duration};

/// The settings of a [`super::Server`], and every bound that it keeps.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether clients may or must encrypt.
    pub encryption: Encryption,
    /// A socket file beside the TCP port.
    pub unix_socket: Option<PathBuf>,
    /// Sessions at a time.
    pub connections_max: usize,
    /// The longest statement, parameter list or piece of COPY.
    pub message_bytes_max: usize,
    /// Named prepared statements of one connection.
    pub statements_max: usize,
    /// Named portals of one transaction.
    pub portals_max: usize,
    /// From the first byte until a client is let in.
    pub authentication_timeout: Duration,
    /// How long statements may go on once the server is asked to stop.
    pub shutdown_grace: Duration,
    /// The silence after which TCP asks whether the client is still there.
    pub keepalive_idle: Duration,
    /// How long sent bytes may stay unacknowledged before TCP gives the client up.
    pub unacknowledged_max: Duration,
    /// Time.
    pub clock: SharedClock,
}

/// PostgreSQL's bound: one byte less than the largest piece of memory it allocates.
const MESSAGE_BYTES_MAX: usize = (1 << 30) - 1;

impl Default for Options {
    fn default() -> Self {
        Self {
            encryption: Encryption::None,
            unix_socket: None,
            connections_max: 100,
            message_bytes_max: MESSAGE_BYTES_MAX,
            statements_max: 10_000,
            portals_max: 10_000,
            authentication_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(10),
            keepalive_idle: Duration::from_secs(60),
            unacknowledged_max: Duration::from_secs(600),
            clock: SystemClock::shared(),
        }
    }
}

impl Options {
    /// Whether every bound leaves room to work.
    ///
    /// # Errors
    /// 22023, naming the option.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        if self.connections_max == 0 {
            return invalid("connections_max must be at least 1".into());
        }
        if !(10_000..=MESSAGE_BYTES_MAX).contains(&self.message_bytes_max) {
            return invalid(format!(
                "message_bytes_max must be between 10000 and {MESSAGE_BYTES_MAX}"
            ));
        }
        if self.statements_max == 0 || self.portals_max == 0 {
            return invalid("statements_max and portals_max must be at least 1".into());
        }
        if self.keepalive_idle < Duration::from_secs(6) {
            return invalid("keepalive_idle must be at least 6 s".into());
        }
        Ok(())
    }
}
