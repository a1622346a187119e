//! `a IS DISTINCT FROM b AND c`: sqlparser takes all that follows for what `a` is compared with. What
//! belongs to it is found beforehand, and put into a call that no user can write:
//! `a RLIKE distinct from(b) AND c`.

use super::{NESTING_MAX, sees};
use datafusion::sql::sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments},
    dialect::{Dialect as _, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Span, Token, TokenWithSpan, Word},
};

/// The call's name.
const MARK: &str = "distinct from";

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
        let Some(length) = operand_length(&tokens[begin..]) else { continue };
        let span = tokens[at].span;
        let word = Word { value: MARK.into(), quote_style: None, keyword: Keyword::NoKeyword };
        let mut said = vec![Token::make_keyword("RLIKE"), Token::Word(word), Token::LParen];
        if negated {
            said.insert(0, Token::make_keyword("NOT"));
        }
        let end = tokens[begin + length - 1].span.end;
        let close = TokenWithSpan { token: Token::RParen, span: Span::new(end, end) };
        tokens.insert(begin + length, close);
        let said = said.into_iter().map(|token| TokenWithSpan { token, span });
        tokens.splice(at..begin, said);
    }
}

/// How many tokens an operand has; nothing where there is none.
fn operand_length(tokens: &[TokenWithSpan]) -> Option<usize> {
    let dialect = PostgreSqlDialect {};
    let mut looked_at = OPERAND_TOKENS.min(tokens.len());
    loop {
        let some = tokens[..looked_at].to_vec();
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(some);
        let parsed = parser.parse_subexpr(dialect.prec_value(Precedence::Is));
        let length = parser.index().min(looked_at);
        // It may go on behind what was looked at.
        if looked_at == tokens.len() || parsed.is_ok() && length < looked_at {
            return parsed.is_ok().then_some(length);
        }
        looked_at = (looked_at * 2).min(tokens.len());
    }
}

/// What stands in the call.
pub(crate) fn distinct_operand(pattern: &ast::Expr) -> Option<&ast::Expr> {
    let ast::Expr::Function(function) = pattern else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match (function.name.0.as_slice(), list.args.as_slice()) {
        ([name], [FunctionArg::Unnamed(FunctionArgExpr::Expr(operand))])
            if name.as_ident().is_some_and(|i| i.value == MARK && i.quote_style.is_none()) =>
        {
            Some(operand)
        }
        _ => None,
    }
}
