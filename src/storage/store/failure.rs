//! What a store's errors mean.

use crate::{
    error::{Error, ErrorKind, SqlState},
    storage::paths::ObjectPath,
};
use object_store::Error as E;
use std::io::ErrorKind as IoKind;

/// The error that a caller sees of a request that failed.
pub(super) fn failure(operation: &str, object: &str, error: E, is_local: bool) -> Error {
    let failed = |state, why: &str| {
        Error::new(state, format!("could not {operation} object \"{object}\": {why}"))
            .detail(error.to_string())
    };
    let failed = match (&error, io_kind(&error)) {
        (_, Some(IoKind::StorageFull | IoKind::QuotaExceeded)) => {
            failed(SqlState::DISK_FULL, "no space left on device")
        }
        (_, Some(IoKind::PermissionDenied)) | (E::PermissionDenied { .. }, _) => {
            failed(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied")
        }
        (_, Some(IoKind::ReadOnlyFilesystem)) => {
            failed(SqlState::INSUFFICIENT_PRIVILEGE, "the file system is read-only")
        }
        (E::Unauthenticated { .. }, _) => failed(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "the store does not accept the credentials",
        )
        .hint("Check GOOGLE_APPLICATION_CREDENTIALS, AWS_… or AZURE_… in the environment."),
        // What we look for was written by us.
        (E::NotFound { .. }, _) => failed(SqlState::UNDEFINED_FILE, "it does not exist")
            .of_kind(ErrorKind::Corrupt)
            .hint("Check that the bucket or container exists."),
        (E::NotSupported { .. } | E::NotImplemented { .. }, _) => {
            failed(SqlState::FEATURE_NOT_SUPPORTED, "the store does not support it")
        }
        _ if is_local => failed(SqlState::IO_ERROR, "the file system failed"),
        _ => failed(SqlState::IO_ERROR, "the store is not reachable"),
    };
    failed.source(error)
}

/// A conditional write that found the name taken, or crossed another write of it.
pub(super) fn is_taken(error: &E) -> bool {
    matches!(error, E::AlreadyExists { .. } | E::Precondition { .. })
}

pub(super) fn unknown(path: &ObjectPath) -> Error {
    let message = format!("it is not known whether object \"{path}\" was written");
    Error::new(SqlState::TRANSACTION_RESOLUTION_UNKNOWN, message)
}

/// The kind of the file system's error at the root of this one, if there is one.
pub(super) fn io_kind(error: &E) -> Option<IoKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
