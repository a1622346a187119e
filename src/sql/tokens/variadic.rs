//! `f(a, VARIADIC b)`: sqlparser does not know the word, and reads a call of a function of that name.

use super::is;
use datafusion::sql::sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// The function's name, which no user can write.
const MARK: &str = "variadic array";

/// Makes `VARIADIC b` at the end of arguments a call.
pub(super) fn mark_variadic(tokens: &mut Vec<TokenWithSpan>) {
    let begins = |tokens: &[TokenWithSpan], at: usize| {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        matches!(&tokens[at].token, Token::Word(word) if is(word, "VARIADIC"))
            && before.is_some_and(|t| matches!(t.token, Token::LParen | Token::Comma))
            && tokens.get(at + 1).is_some_and(|t| !matches!(t.token, Token::RParen | Token::Comma))
    };
    let mut at = 0;
    while at < tokens.len() {
        if begins(tokens, at)
            && let Some(end) = end_of_arguments(tokens, at + 1)
        {
            let word = Word { value: MARK.into(), quote_style: None, keyword: Keyword::NoKeyword };
            tokens[at].token = Token::Word(word);
            let close = TokenWithSpan { token: Token::RParen, span: tokens[end].span };
            tokens.insert(end, close);
            let open = TokenWithSpan { token: Token::LParen, span: tokens[at].span };
            tokens.insert(at + 1, open);
        }
        at += 1;
    }
}

/// The parenthesis that closes the arguments among which a token stands.
fn end_of_arguments(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen if depth == 0 => return Some(at),
            Token::RParen | Token::RBracket => depth = depth.checked_sub(1)?,
            Token::Comma if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The array of `VARIADIC array`.
pub(crate) fn variadic_array(arg: &FunctionArg) -> Option<&ast::Expr> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Function(function))) = arg else {
        return None;
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    match (function.name.0.as_slice(), list.args.as_slice()) {
        ([name], [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))])
            if name.as_ident().is_some_and(|ident| ident.value == MARK) =>
        {
            Some(array)
        }
        _ => None,
    }
}
