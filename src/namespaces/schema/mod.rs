//! What clients declare of attributes, and the DDL by which a namespace becomes that.
//!
//! ```text
//!   declared    JSON ──> declarations             change    declarations ──> a shape, and what is wrong with it
//!   shown       a shape ──> JSON                  statements    a shape ──> DDL
//! ```

mod change;
mod declared;
mod shown;
mod statements;

pub(super) use change::{Change, Wanted, change, copied};
pub(super) use declared::declared;
pub(super) use shown::shown;
pub(super) use statements::set_options;
