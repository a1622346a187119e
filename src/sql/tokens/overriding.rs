//! `OVERRIDING … VALUE` of INSERT: sqlparser does not know it, so it is taken out before it reads.

use super::is;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// `OVERRIDING … VALUE`: whose value an identity column gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overriding {
    /// The statement's, even where it is GENERATED ALWAYS.
    System,
    /// The sequence's, even where the statement gives one.
    User,
}

/// Takes `OVERRIDING … VALUE` out of INSERTs: sqlparser does not know it. Fails with the token
/// that must not follow.
pub(super) fn take_overriding(
    tokens: &mut Vec<TokenWithSpan>,
) -> Result<Vec<(Location, Overriding)>, TokenWithSpan> {
    let word = |token: Option<&TokenWithSpan>, keyword: &str| {
        token.is_some_and(|t| matches!(&t.token, Token::Word(word) if is(word, keyword)))
    };
    let (mut found, mut insert, mut at) = (Vec::new(), None, 0);
    while let Some(token) = tokens.get(at) {
        if word(Some(token), "INSERT") {
            insert = Some(token.span.start);
        }
        let whose = match tokens.get(at + 1) {
            next if word(next, "SYSTEM") => Some(Overriding::System),
            next if word(next, "USER") => Some(Overriding::User),
            _ => None,
        };
        if let (Some(place), Some(whose)) = (insert, whose)
            && word(Some(token), "OVERRIDING")
            && word(tokens.get(at + 2), "VALUE")
        {
            if word(tokens.get(at + 3), "DEFAULT") {
                return Err(tokens[at + 3].clone());
            }
            tokens.drain(at..at + 3);
            found.push((place, whose));
            continue;
        }
        at += 1;
    }
    Ok(found)
}
