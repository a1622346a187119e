//! `SET a[2] = …`: sqlparser knows no subscripts there, so they are taken out before it reads.

use super::is;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// A column with its subscripts, by the place where the column stands.
pub(super) type Subscripted = (Location, Vec<TokenWithSpan>);

/// Takes the subscripts behind the columns that SET assigns to.
pub(super) fn take_subscripts(tokens: &mut Vec<TokenWithSpan>) -> Vec<Subscripted> {
    let (mut found, mut at) = (Vec::new(), 0);
    // The depths of parentheses and brackets at which a list of assignments goes on, innermost last.
    let (mut lists, mut depth): (Vec<usize>, usize) = (Vec::new(), 0);
    let mut begins = false;
    while let Some(token) = tokens.get(at) {
        let in_list = lists.last() == Some(&depth);
        match &token.token {
            Token::Word(word) if is(word, "SET") => {
                lists.push(depth);
                begins = true;
                at += 1;
                continue;
            }
            Token::Word(word) if in_list && is(word, "FROM") && after_distinct(tokens, at) => {}
            Token::Word(word)
                if in_list && ["WHERE", "FROM", "RETURNING"].iter().any(|end| is(word, end)) =>
            {
                lists.pop();
            }
            Token::Word(_) if begins && sees(tokens, at + 1, &Token::LBracket) => {
                if let Some(end) = behind_subscripts(tokens, at + 1) {
                    let place = token.span.start;
                    let whole = tokens[at..end].to_vec();
                    tokens.drain(at + 1..end);
                    found.push((place, whole));
                }
            }
            Token::LParen if begins => {
                take_from_columns(tokens, at, &mut found);
                depth += 1;
            }
            Token::Comma if in_list => {
                begins = true;
                at += 1;
                continue;
            }
            Token::SemiColon => lists.clear(),
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => {
                if in_list {
                    lists.pop();
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        begins = false;
        at += 1;
    }
    found
}

/// The same in `(a[2], b) = …`.
fn take_from_columns(tokens: &mut Vec<TokenWithSpan>, open: usize, found: &mut Vec<Subscripted>) {
    let mut at = open + 1;
    while let Some(TokenWithSpan { token: Token::Word(_), span }) = tokens.get(at) {
        let place = span.start;
        if let Some(end) = behind_brackets(tokens, at + 1).filter(|&end| end > at + 1) {
            found.push((place, tokens[at..end].to_vec()));
            tokens.drain(at + 1..end);
        }
        if !sees(tokens, at + 1, &Token::Comma) {
            break;
        }
        at += 2;
    }
}

/// Whether a word belongs to `IS DISTINCT FROM`.
fn after_distinct(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| tokens.get(at));
    before.is_some_and(|t| matches!(&t.token, Token::Word(word) if is(word, "DISTINCT")))
}

fn sees(tokens: &[TokenWithSpan], at: usize, wanted: &Token) -> bool {
    tokens.get(at).is_some_and(|token| token.token == *wanted)
}

/// Where subscripts end that begin at a place, if an assignment follows.
fn behind_subscripts(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    behind_brackets(tokens, at).filter(|&end| sees(tokens, end, &Token::Eq))
}

/// Where subscripts end that begin at a place.
fn behind_brackets(tokens: &[TokenWithSpan], mut at: usize) -> Option<usize> {
    while sees(tokens, at, &Token::LBracket) {
        let mut depth = 0_usize;
        loop {
            match tokens.get(at)?.token {
                Token::LBracket => depth += 1,
                Token::RBracket => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
    }
    Some(at)
}
