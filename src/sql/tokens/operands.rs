//! Operands that sqlparser does not read as they are written. What belongs to one is found beforehand, and put
//! into a call that no user can write.
//!
//! - `a IS DISTINCT FROM b AND c`, of which it takes all that follows for the operand:
//!   `a RLIKE distinct from(b) AND c`
//! - `a BETWEEN SYMMETRIC b AND c`: `a BETWEEN between symmetric(b) AND c`

use super::{NESTING_MAX, sees};
use datafusion::sql::sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments},
    dialect::{Dialect as _, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Span, Token, TokenWithSpan, Word},
};
use std::ops::Range;

/// The calls' names.
const DISTINCT: &str = "distinct from";
const SYMMETRIC: &str = "between symmetric";

/// So many tokens are looked at first: most operands are short.
const OPERAND_TOKENS: usize = 32;

/// Marks the operands behind `IS DISTINCT FROM`, the last first, so that those within others are done
/// before these.
pub(super) fn mark_distinct(tokens: &mut Vec<TokenWithSpan>) {
    for at in (0..tokens.len()).rev() {
        let negated = sees(tokens, at, &["IS", "NOT", "DISTINCT", "FROM"]);
        if !negated && !sees(tokens, at, &["IS", "DISTINCT", "FROM"]) {
            continue;
        }
        let begin = at + if negated { 4 } else { 3 };
        let rlike = [Token::make_keyword("NOT"), Token::make_keyword("RLIKE")];
        let said = &rlike[usize::from(!negated)..];
        enclose(tokens, at..begin, said, DISTINCT, Precedence::Is);
    }
}

/// The same for the first bound of `BETWEEN SYMMETRIC`. `ASYMMETRIC` says nothing.
pub(super) fn mark_symmetric(tokens: &mut Vec<TokenWithSpan>) {
    for at in (0..tokens.len()).rev() {
        if sees(tokens, at, &["BETWEEN", "ASYMMETRIC"]) {
            tokens.remove(at + 1);
        } else if sees(tokens, at, &["BETWEEN", "SYMMETRIC"]) {
            enclose(tokens, at + 1..at + 2, &[], SYMMETRIC, Precedence::Between);
        }
    }
}

/// Puts the operand behind these tokens into a call, and what is `said` before it for them.
fn enclose(
    tokens: &mut Vec<TokenWithSpan>,
    marked: Range<usize>,
    said: &[Token],
    call: &str,
    precedence: Precedence,
) {
    let Some(length) = operand_length(&tokens[marked.end..], precedence) else { return };
    let span = tokens[marked.start].span;
    let word = Word { value: call.into(), quote_style: None, keyword: Keyword::NoKeyword };
    let end = tokens[marked.end + length - 1].span.end;
    let close = TokenWithSpan { token: Token::RParen, span: Span::new(end, end) };
    tokens.insert(marked.end + length, close);
    let said = said.iter().cloned().chain([Token::Word(word), Token::LParen]);
    tokens.splice(marked, said.map(|token| TokenWithSpan { token, span }));
}

/// How many tokens an operand has; nothing where there is none.
fn operand_length(tokens: &[TokenWithSpan], precedence: Precedence) -> Option<usize> {
    let dialect = PostgreSqlDialect {};
    let mut looked_at = OPERAND_TOKENS.min(tokens.len());
    loop {
        let some = tokens[..looked_at].to_vec();
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(some);
        let parsed = parser.parse_subexpr(dialect.prec_value(precedence));
        let length = parser.index().min(looked_at);
        // It may go on behind what was looked at.
        if looked_at == tokens.len() || parsed.is_ok() && length < looked_at {
            return parsed.is_ok().then_some(length);
        }
        looked_at = (looked_at * 2).min(tokens.len());
    }
}

/// What is compared with something by `IS DISTINCT FROM`.
pub(crate) fn distinct_operand(pattern: &ast::Expr) -> Option<&ast::Expr> {
    enclosed(pattern, DISTINCT)
}

/// The first bound of `BETWEEN SYMMETRIC`.
pub(crate) fn symmetric_bound(low: &ast::Expr) -> Option<&ast::Expr> {
    enclosed(low, SYMMETRIC)
}

/// What stands in such a call.
fn enclosed<'a>(expr: &'a ast::Expr, call: &str) -> Option<&'a ast::Expr> {
    let ast::Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match (function.name.0.as_slice(), list.args.as_slice()) {
        ([name], [FunctionArg::Unnamed(FunctionArgExpr::Expr(operand))])
            if name.as_ident().is_some_and(|i| i.value == call && i.quote_style.is_none()) =>
        {
            Some(operand)
        }
        _ => None,
    }
}
