//! Times: what sqlparser does not read of them, and precisions that are too large.

use super::is;
use crate::pgtype::{
    PgType,
    precision::{self, DIGITS_MAX},
};
use datafusion::sql::sqlparser::{
    ast,
    keywords::Keyword,
    tokenizer::{Span, Token, TokenWithSpan, Word},
};

/// The zone of `AT LOCAL`: a name that no user can write.
const LOCAL: &str = "local zone";

/// Makes `x AT LOCAL` an `AT TIME ZONE`, and `INTERVAL(3) 'x'` a cast.
pub(super) fn mark_times(tokens: &mut Vec<TokenWithSpan>) {
    let word = |token: &TokenWithSpan, keyword| matches!(&token.token, Token::Word(word) if is(word, keyword));
    let mut at = 0;
    while at + 1 < tokens.len() {
        if word(&tokens[at], "AT") && word(&tokens[at + 1], "LOCAL") {
            let span = tokens[at + 1].span;
            let zone =
                [("TIME", Keyword::TIME), ("ZONE", Keyword::ZONE), (LOCAL, Keyword::NoKeyword)];
            let zone = zone.map(|(value, keyword)| made(value, keyword, span));
            tokens.splice(at + 1..at + 2, zone);
        } else if word(&tokens[at], "INTERVAL")
            && let [open, digits, close, text, ..] = &tokens[at + 1..]
            && (&open.token, &close.token) == (&Token::LParen, &Token::RParen)
            && matches!(digits.token, Token::Number(..))
            && matches!(text.token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_))
        {
            // Whoever takes the text of both finds it between the first token and the last.
            let (first, last) = (tokens[at].span, text.span);
            let text = TokenWithSpan { token: text.token.clone(), span: first };
            let cast = TokenWithSpan { token: Token::DoubleColon, span: first };
            tokens.remove(at + 4);
            tokens[at + 3].span = last;
            tokens.splice(at..at, [text, cast]);
            at += 5;
        }
        at += 1;
    }
}

fn made(value: &str, keyword: Keyword, span: Span) -> TokenWithSpan {
    let word = Word { value: value.into(), quote_style: None, keyword };
    TokenWithSpan { token: Token::Word(word), span }
}

/// Whether the zone of an AT TIME ZONE is the session's, by AT LOCAL.
pub(crate) fn is_local_zone(zone: &ast::Expr) -> bool {
    matches!(zone, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value == LOCAL)
}

/// The warnings about more digits of a second than there are.
pub(crate) fn reduced_precisions(tokens: &[TokenWithSpan]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = &token.token else { continue };
        let Some([open, digits, close]) = tokens.get(at + 1..at + 4) else { continue };
        let Token::Number(digits, _) = &digits.token else { continue };
        if (&open.token, &close.token) != (&Token::LParen, &Token::RParen)
            || digits.parse().is_ok_and(|digits: u64| digits <= u64::from(DIGITS_MAX))
        {
            continue;
        }
        let zoned = tokens
            .get(at + 4)
            .is_some_and(|next| matches!(&next.token, Token::Word(word) if is(word, "WITH")));
        if word.quote_style.is_some() {
            continue;
        }
        let kind = match word.value.to_ascii_uppercase().as_str() {
            "TIME" if !zoned => PgType::Time(None),
            "LOCALTIME" => PgType::Time(None),
            "TIME" | "TIMETZ" | "CURRENT_TIME" => PgType::Timetz(None),
            "TIMESTAMP" if !zoned => PgType::Timestamp(None),
            "LOCALTIMESTAMP" => PgType::Timestamp(None),
            "TIMESTAMP" | "TIMESTAMPTZ" | "CURRENT_TIMESTAMP" => PgType::Timestamptz(None),
            "INTERVAL" | "SECOND" => PgType::Interval(None),
            _ => continue,
        };
        warnings.push(precision::reduced(&kind, digits));
    }
    warnings
}
