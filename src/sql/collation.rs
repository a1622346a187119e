//! Collations: text is compared by code point, whatever its collation is called.

use crate::error::{Error, Result, SqlState};

/// Whether a collation is one that sorts as Nearlake does, by code point.
///
/// # Errors
/// 42704.
pub(crate) fn check_collation(name: &str) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    let known = ["default", "c", "posix", "c.utf8", "c.utf-8", "ucs_basic", "pg_c_utf8", "unicode"];
    if known.contains(&lower.as_str())
        || lower.starts_with("en_us")
        || lower.starts_with("en-us")
        || lower.starts_with("und-")
    {
        return Ok(());
    }
    Err(Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("collation \"{name}\" for encoding \"UTF8\" does not exist"),
    )
    .hint("Text is compared by code point, as under collation \"C\"."))
}
