//! What only C reaches of the scheduler.

use super::bridge;
use std::{io, time::Duration};

/// How long this thread means to run at a time (cpp/threads.h).
pub fn set_thread_slice(slice: Duration) -> io::Result<()> {
    let nanos = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    match bridge::set_thread_slice(nanos) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
