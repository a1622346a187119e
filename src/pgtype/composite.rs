//! The text of rows: `(1,"a b",)`, where nothing between commas is NULL.

/// Quotes the field that `out` ends with, from `start` on, where it would not read back as it is.
pub(super) fn quote(out: &mut Vec<u8>, start: usize) {
    let text = &out[start..];
    let needs = text.is_empty()
        || text.iter().any(|byte| byte.is_ascii_whitespace() || b"\x0b\"\\(),".contains(byte));
    if !needs {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if byte == b'"' || byte == b'\\' {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
