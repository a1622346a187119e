//! `THEN DO NOTHING` and `THEN INSERT DEFAULT VALUES` of MERGE: sqlparser does not know them, and reads an
//! action upon a column that no table has.

use super::sees;
use datafusion::sql::sqlparser::{
    ast,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// The columns' names, which no user can write without quotes.
const NOTHING: &str = "do nothing";
const DEFAULTS: &str = "default values";

/// Puts such actions into words that sqlparser knows.
pub(super) fn mark_merge(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        if sees(tokens, at, &["THEN", "DO", "NOTHING"])
            && let Some(inserts) = inserts_only(tokens, at)
        {
            let span = tokens[at + 1].span;
            let action = if inserts { insert(NOTHING) } else { update(NOTHING) };
            let action = action.into_iter().map(|token| TokenWithSpan { token, span });
            tokens.splice(at + 1..at + 3, action);
        } else if sees(tokens, at, &["THEN", "INSERT", "DEFAULT", "VALUES"]) {
            let span = tokens[at + 1].span;
            let action = insert(DEFAULTS).into_iter().map(|token| TokenWithSpan { token, span });
            tokens.splice(at + 1..at + 4, action);
        }
        at += 1;
    }
}

/// Whether an action of MERGE is `DO NOTHING`.
pub(crate) fn is_nothing(action: &ast::MergeAction) -> bool {
    match action {
        ast::MergeAction::Insert(insert) => is_marked(&insert.columns, NOTHING),
        ast::MergeAction::Update(update) => match update.assignments.as_slice() {
            [ast::Assignment { target: ast::AssignmentTarget::ColumnName(name), .. }] => {
                is_marked(std::slice::from_ref(name), NOTHING)
            }
            _ => false,
        },
        ast::MergeAction::Delete { .. } => false,
    }
}

/// Whether an INSERT of MERGE is `INSERT DEFAULT VALUES`.
pub(crate) fn inserts_defaults(insert: &ast::MergeInsertExpr) -> bool {
    is_marked(&insert.columns, DEFAULTS)
}

fn is_marked(columns: &[ast::ObjectName], mark: &str) -> bool {
    let [column] = columns else { return false };
    let ident = column.0.first().and_then(|part| part.as_ident());
    ident.is_some_and(|ident| ident.quote_style.is_none() && ident.value == mark)
}

/// Whether the WHEN before a THEN is one that may INSERT and do nothing else; `None`: there is no such
/// WHEN.
fn inserts_only(tokens: &[TokenWithSpan], then: usize) -> Option<bool> {
    (0..then).rev().find_map(|at| {
        if sees(tokens, at, &["WHEN", "MATCHED"]) {
            return Some(false);
        }
        sees(tokens, at, &["WHEN", "NOT", "MATCHED"])
            .then(|| !sees(tokens, at + 3, &["BY", "SOURCE"]))
    })
}

/// `INSERT (mark) VALUES (NULL)`
fn insert(mark: &str) -> Vec<Token> {
    let (open, close) = (Token::LParen, Token::RParen);
    vec![
        Token::make_keyword("INSERT"),
        open.clone(),
        name(mark),
        close.clone(),
        Token::make_keyword("VALUES"),
        open,
        Token::make_keyword("NULL"),
        close,
    ]
}

/// `UPDATE SET mark = NULL`
fn update(mark: &str) -> Vec<Token> {
    let words = ["UPDATE", "SET"].map(Token::make_keyword);
    words.into_iter().chain([name(mark), Token::Eq, Token::make_keyword("NULL")]).collect()
}

fn name(mark: &str) -> Token {
    Token::Word(Word { value: mark.into(), quote_style: None, keyword: Keyword::NoKeyword })
}
