//! NOTIFY: checked as PostgreSQL does. Nobody can LISTEN yet, so that nobody is told.

use crate::error::{Error, Result, SqlState};

/// The bytes of a channel's name, at most.
const CHANNEL_MAX: usize = 63;
/// The bytes of a payload, at most.
const PAYLOAD_MAX: usize = 8000;

/// Checks a notification.
///
/// # Errors
/// 22023.
pub(super) fn check(channel: &str, payload: &str) -> Result<()> {
    let invalid = |message| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    if channel.is_empty() {
        return invalid("channel name cannot be empty");
    }
    if channel.len() > CHANNEL_MAX {
        return invalid("channel name too long");
    }
    if payload.len() >= PAYLOAD_MAX {
        return invalid("payload string too long");
    }
    Ok(())
}
