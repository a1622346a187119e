//! What ALTER may do to relations of every kind, and to types.

use super::role::owner;
use crate::{
    error::Result,
    sql::{cursor::Cursor, utility::AlterRelation},
};

/// What stands behind the name.
pub(super) fn alter_relation(cursor: &mut Cursor<'_>) -> Result<AlterRelation> {
    Ok(if cursor.accept("RENAME TO") {
        AlterRelation::Rename(cursor.identifier()?)
    } else if cursor.accept("OWNER TO") {
        AlterRelation::Owner(owner(cursor)?)
    } else if cursor.accept("SET SCHEMA") {
        AlterRelation::SetSchema(cursor.identifier()?)
    } else if cursor.accept("SET") {
        AlterRelation::SetOptions(cursor.options()?)
    } else if cursor.accept("RESET") {
        AlterRelation::ResetOptions(cursor.identifiers()?)
    } else {
        return Err(cursor.unexpected());
    })
}
