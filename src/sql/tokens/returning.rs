//! `RETURNING WITH (OLD AS o, NEW AS n) …`: sqlparser does not know the names, and reads a call in front of
//! what is returned.

use super::sees;
use datafusion::sql::sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// The call's name, which no user can write.
const MARK: &str = "returning names";

/// Puts the names that RETURNING gives to rows into a call.
pub(super) fn mark_names(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        if sees(tokens, at, &["RETURNING", "WITH"])
            && let Some((names, end)) = names(tokens, at + 2)
        {
            let span = tokens[at + 1].span;
            let word = Word { value: MARK.into(), quote_style: None, keyword: Keyword::NoKeyword };
            let mut call = vec![Token::Word(word), Token::LParen];
            for (place, name) in names.into_iter().enumerate() {
                call.extend((place > 0).then_some(Token::Comma));
                call.push(Token::SingleQuotedString(name));
            }
            call.extend([Token::RParen, Token::Comma]);
            tokens.splice(at + 1..end, call.into_iter().map(|token| TokenWithSpan { token, span }));
        }
        at += 1;
    }
}

/// `(OLD AS o, NEW AS n)`: which row, and its name, in turn; the place behind it.
fn names(tokens: &[TokenWithSpan], mut at: usize) -> Option<(Vec<String>, usize)> {
    let mut names = Vec::new();
    let mut before = Token::LParen;
    loop {
        if tokens.get(at)?.token != before {
            return None;
        }
        let which =
            ["OLD", "NEW"].into_iter().find(|which| sees(tokens, at + 1, &[*which, "AS"]))?;
        let Token::Word(name) = &tokens.get(at + 3)?.token else { return None };
        names.push(which.to_lowercase());
        names.push(match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_lowercase(),
        });
        at += 4;
        if tokens.get(at)?.token == Token::RParen {
            return Some((names, at + 1));
        }
        before = Token::Comma;
    }
}

/// The names that RETURNING gives: which row, and its name, in turn.
pub(crate) fn returning_names(item: &ast::SelectItem) -> Option<Vec<(&str, &str)>> {
    let ast::SelectItem::UnnamedExpr(ast::Expr::Function(function)) = item else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let [name] = function.name.0.as_slice() else { return None };
    name.as_ident().filter(|name| name.value == MARK && name.quote_style.is_none())?;
    let texts: Vec<&str> = list.args.iter().filter_map(text).collect();
    Some(texts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn text(arg: &FunctionArg) -> Option<&str> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Value(value))) => {
            match &value.value {
                ast::Value::SingleQuotedString(text) => Some(text),
                _ => None,
            }
        }
        _ => None,
    }
}
