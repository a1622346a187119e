//! PostgreSQL's regular expressions in the words of the crate that runs them.

use std::borrow::Cow;

/// The same expression: escapes and brackets that only PostgreSQL knows are written in another way.
pub(crate) fn translated(pattern: &str) -> Cow<'_, str> {
    let is_plain = !pattern.contains(['\\', '[']) && !pattern.starts_with("(?n)");
    if is_plain {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    if let Some(tail) = rest.strip_prefix("(?n)") {
        out.push_str("(?m)");
        rest = tail;
    }
    while let Some(at) = rest.find(['\\', '[']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = [("[[:<:]]", r"\b{start}"), ("[[:>:]]", r"\b{end}")]
            .into_iter()
            .chain([(r"\y", r"\b"), (r"\Y", r"\B"), (r"\m", r"\b{start}"), (r"\M", r"\b{end}")])
            .chain([(r"\Z", r"\z")]);
        let found = known.into_iter().find(|(theirs, _)| rest.starts_with(theirs));
        let length = if let Some((theirs, ours)) = found {
            out.push_str(ours);
            theirs.len()
        } else if let Some(tail) = rest.strip_prefix('\\') {
            // An escape that both know, of two signs.
            let length = 1 + tail.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..length]);
            length
        } else {
            brackets(rest, &mut out)
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Brackets, in which `[`, `&&`, `--` and `~~` stand for themselves. Returns how long they are.
fn brackets(text: &str, out: &mut String) -> usize {
    let mut signs = text.char_indices().peekable();
    signs.next();
    out.push('[');
    if signs.next_if(|(_, sign)| *sign == '^').is_some() {
        out.push('^');
    }
    // The first sign is one of the set, even `]`.
    let mut is_first = true;
    while let Some((at, sign)) = signs.next() {
        match sign {
            ']' if !is_first => {
                out.push(']');
                return at + 1;
            }
            '[' if text[at..].starts_with("[:") => {
                let Some(end) = text[at..].find(":]") else { break };
                out.push_str(&text[at..at + end + 2]);
                while signs.next_if(|(next, _)| *next < at + end + 2).is_some() {}
            }
            '\\' => {
                out.push('\\');
                out.extend(signs.next().map(|(_, sign)| sign));
            }
            '[' | ']' | '&' | '~' => out.extend(['\\', sign]),
            other => out.push(other),
        }
        is_first = false;
    }
    text.len()
}

/// The expression as an operator has it, whose dot takes a new line.
pub(crate) fn for_operator(pattern: &str) -> String {
    let translated = translated(pattern);
    if translated.contains('.') && !translated.starts_with("(?") {
        format!("(?s){translated}")
    } else {
        translated.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_postgres_knows_is_said_otherwise() {
        assert_eq!(translated(r"^ab\.c\d+$"), r"^ab\.c\d+$");
        assert_eq!(translated(r"\yword\y"), r"\bword\b");
        assert_eq!(translated(r"\mx\M\Z"), r"\b{start}x\b{end}\z");
        assert_eq!(translated("[[:<:]]a[[:>:]]"), r"\b{start}a\b{end}");
        assert_eq!(translated("[[:alpha:]_]"), "[[:alpha:]_]");
        assert_eq!(translated("[]a[]"), r"[\]a\[]");
        assert_eq!(translated("[a&&b]"), r"[a\&\&b]");
        assert_eq!(translated("[^]]"), r"[^\]]");
        assert_eq!(for_operator("a.b"), "(?s)a.b");
    }
}
