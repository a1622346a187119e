//! Names: which there may be, and how they stand in SQL.

use super::fault::{Answer, Fault};

/// The schema whose tables are namespaces.
pub(super) const SCHEMA: &str = "namespaces";
/// The column that identifies a document.
pub(super) const ID: &str = "id";
/// The attribute that holds vectors where nothing is declared.
pub(super) const VECTOR: &str = "vector";
/// The longest name of a namespace or an attribute, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Refuses what cannot be the name of a namespace.
pub(super) fn check_namespace(name: &str) -> Answer<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Fault::invalid(format!(
        "invalid namespace name: it has 1 to {NAME_BYTES_MAX} characters out of A-Z a-z 0-9 - _ ."
    )))
}

/// Refuses what cannot be the name of an attribute.
pub(super) fn check_attribute(name: &str) -> Answer<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Fault::invalid(format!(
            "invalid attribute name \"{}\": it has 1 to {NAME_BYTES_MAX} bytes",
            shortened(name)
        )));
    }
    if name.starts_with('$') {
        return Err(Fault::invalid(format!(
            "invalid attribute name \"{name}\": names that begin with $ are reserved"
        )));
    }
    if name.contains('\0') {
        return Err(Fault::invalid("invalid attribute name: it holds a character of code 0"));
    }
    Ok(())
}

/// The front of a text, for messages.
pub(super) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A name as SQL writes it, whatever characters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it. DDL takes no parameters, so options are written so.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names_in_sql() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn names_have_bounds() {
        assert!(check_namespace("A-z_0.9").is_ok());
        assert!(check_namespace(&"n".repeat(128)).is_ok());
        for bad in ["", "a b", "ä", "a/b", &"n".repeat(129)] {
            assert!(check_namespace(bad).is_err(), "{bad}");
        }
        assert!(check_attribute("any thing, \"really\"").is_ok());
        for bad in ["", "$dist", "a\0b", &"n".repeat(129)] {
            assert!(check_attribute(bad).is_err(), "{bad}");
        }
    }
}
