//! Statements about objects: CREATE, ALTER, DROP, COMMENT, GRANT, TRUNCATE. Parsed by hand.
//! What PostgreSQL has and Nearlake has not is refused here, with what to do instead.
//!
//! ```text
//!   create     CREATE of any kind            alter      ALTER of any kind
//!   objects    what names objects by their kind: DROP, COMMENT, TRUNCATE
//!   grant      who may what: GRANT, REVOKE, default privileges, what a role owns
//!   table, alter_table, index, sequence, user_type, domain, role, webhook      the kinds that have much to say
//! ```

mod alter;
mod alter_table;
mod create;
mod domain;
mod grant;
mod index;
mod objects;
mod relation;
mod role;
mod sequence;
mod table;
mod user_type;
mod webhook;

use crate::{
    error::Result,
    sql::{
        commands,
        cursor::Cursor,
        statement::{Ast, Read},
        tokens::Source,
    },
};
use std::sync::Arc;

/// A statement by its first word.
pub(crate) fn statement(source: &Arc<Source>, cursor: &mut Cursor<'_>, read: Read) -> Result<Ast> {
    let utility = match cursor.word().as_deref() {
        Some("CREATE") => return create::create(source, cursor, read),
        Some("ALTER") => alter::alter(cursor)?,
        Some("DROP") => objects::drop_objects(cursor)?,
        Some("COMMENT") => objects::comment(cursor)?,
        Some("GRANT" | "REVOKE") => grant::grant(cursor)?,
        Some("REASSIGN") => grant::reassign_owned(cursor)?,
        Some("TRUNCATE") => objects::truncate(cursor)?,
        Some("REINDEX") => commands::reindex(cursor)?,
        Some(other) => return Err(cursor.unsupported(other)),
        None => return Err(cursor.unexpected()),
    };
    Ok(Ast::Utility(Box::new(utility)))
}
