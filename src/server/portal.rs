//! Portals: statements that have their values and give their rows as they are asked for.

use super::{message::Format, rows::Cursor};
use crate::session::Prepared;
use arrow::array::ArrayRef;
use std::sync::Arc;

/// A statement with its values.
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) formats: Vec<Format>,
    pub(super) state: State,
}

/// How far it has come.
pub(super) enum State {
    /// It has its values.
    Bound(Vec<ArrayRef>),
    /// Rows may be left.
    Open(Box<Cursor>),
    /// Every row was sent; asked again there are none.
    Exhausted(Box<Cursor>),
    /// It gave no rows and cannot be run twice.
    Done,
}
