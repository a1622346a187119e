//! Glob patterns as regular expressions: `?`, `*`, `**`, `[a-z]`, `[!a-z]`, `{a,b}`, `\` before a
//! character that stands for itself. `*` runs over `/` too.

use super::fault::{Answer, Fault};

/// The regular expression of a pattern that has to fit the whole text.
pub(super) fn regex(pattern: &str, ignore_case: bool) -> Answer<String> {
    let mut out = String::from(if ignore_case { "(?is)^(?:" } else { "(?s)^(?:" });
    let mut chars = pattern.chars().peekable();
    let mut braces = 0_usize;
    while let Some(char) = chars.next() {
        match char {
            '?' => out.push('.'),
            '*' => {
                while chars.next_if_eq(&'*').is_some() {}
                out.push_str(".*");
            }
            '[' => class(&mut chars, &mut out)?,
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            '}' => return Err(bad("a } without its {")),
            ',' if braces > 0 => out.push('|'),
            '\\' => {
                let next = chars.next().ok_or_else(|| bad("nothing behind the last \\"))?;
                push_literal(next, &mut out);
            }
            other => push_literal(other, &mut out),
        }
    }
    if braces > 0 {
        return Err(bad("a { without its }"));
    }
    out.push_str(")$");
    check(&out)?;
    Ok(out)
}

/// Refuses what is no regular expression, or one that takes too much.
pub(super) fn check(regex: &str) -> Answer<()> {
    const COMPILED_BYTES_MAX: usize = 1 << 20;
    let built = regex::RegexBuilder::new(regex).size_limit(COMPILED_BYTES_MAX).build();
    built.map(drop).map_err(|error| Fault::invalid(format!("invalid pattern: {error}")))
}

/// `[a-z]` behind its bracket.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Answer<()> {
    out.push('[');
    if chars.next_if(|&char| matches!(char, '!' | '^')).is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        match chars.next().ok_or_else(|| bad("a [ without its ]"))? {
            ']' if !first => break,
            '-' if !first && chars.peek().is_some_and(|&next| next != ']') => out.push('-'),
            char => {
                out.push('\\');
                if char.is_ascii_alphanumeric() || !char.is_ascii() {
                    out.pop();
                }
                out.push(char);
            }
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

fn push_literal(char: char, out: &mut String) {
    out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
}

fn bad(why: &str) -> Fault {
    Fault::invalid(format!("invalid glob pattern: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fits(pattern: &str, text: &str) -> bool {
        regex::Regex::new(&regex(pattern, false).unwrap()).unwrap().is_match(text)
    }

    #[test]
    fn patterns_fit_whole_texts() {
        for (pattern, yes, no) in [
            ("*.rs", "src/a.rs", "a.rst"),
            ("a?c", "abc", "ac"),
            ("**/x", "a/b/x", "a/b/y"),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("[]]", "]", "["),
            ("[a-]", "-", "b"),
            ("{ab,c*}d", "cccd", "abcd"),
            ("\\*", "*", "a"),
            ("a.b", "a.b", "axb"),
            ("*", "two\nlines", "\u{0}never"),
        ] {
            assert!(fits(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !fits(pattern, no), "{pattern} {no}");
        }
        assert!(regex::Regex::new(&regex("ÄB*", true).unwrap()).unwrap().is_match("äbc"));
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["[a", "{a", "a}", "\\", "[z-a]"] {
            assert!(regex(pattern, false).is_err(), "{pattern}");
        }
    }
}
