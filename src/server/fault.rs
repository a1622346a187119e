//! How a message, or a connection, can end badly.

use crate::error::Error;
use std::io;

/// Who is told what went wrong, and whether the connection goes on.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is told; the connection goes on.
    Error(Error),
    /// The client is told; the connection ends.
    Fatal(Error),
    /// Nobody is there to be told.
    Gone(io::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}
