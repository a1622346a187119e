//! CREATE INDEX.

use crate::{
    error::Result,
    sql::{
        cursor::Cursor,
        ddl::table::nulls_not_distinct,
        tokens::fold,
        utility::{CreateIndex, IndexKey, Utility},
    },
};
use datafusion::sql::sqlparser::{ast, tokenizer::Token};

/// From INDEX on.
pub(super) fn create_index(cursor: &mut Cursor<'_>, unique: bool) -> Result<Utility> {
    let concurrently = cursor.accept("CONCURRENTLY");
    let if_not_exists = cursor.if_not_exists();
    let name = if cursor.sees("ON") { None } else { Some(cursor.name()?.name) };
    cursor.expect("ON")?;
    let table = cursor.name()?;
    let method = if cursor.accept("USING") { cursor.identifier()? } else { "btree".into() };
    let keys = cursor.parenthesised(index_key)?;
    let mut index = CreateIndex {
        name,
        table,
        method,
        keys,
        include: Vec::new(),
        unique,
        nulls_not_distinct: false,
        if_not_exists,
        concurrently,
        options: Vec::new(),
        predicate: None,
    };
    if cursor.accept("INCLUDE") {
        index.include = cursor.identifiers()?;
    }
    index.nulls_not_distinct = nulls_not_distinct(cursor);
    if cursor.accept("WITH") {
        index.options = cursor.options()?;
    }
    if cursor.accept("TABLESPACE") {
        cursor.identifier()?;
    }
    if cursor.accept("WHERE") {
        index.predicate = Some(cursor.expression()?.1);
    }
    Ok(Utility::CreateIndex(index))
}

fn index_key(cursor: &mut Cursor<'_>) -> Result<IndexKey> {
    let (expression, mut text) = cursor.expression()?;
    let column = match &expression {
        ast::Expr::Identifier(ident) => Some(fold(ident)),
        ast::Expr::Collate { expr, .. } => match expr.as_ref() {
            ast::Expr::Identifier(ident) => Some(fold(ident)),
            _ => None,
        },
        _ => None,
    };
    let mut operator_class = None;
    if !["ASC", "DESC", "NULLS"].iter().any(|word| cursor.sees(word))
        && !cursor.sees_token(&Token::Comma)
        && !cursor.sees_token(&Token::RParen)
    {
        operator_class = Some(cursor.name()?.name);
        if cursor.sees_token(&Token::LParen) {
            cursor.options()?;
        }
    }
    if cursor.accept_one(&["ASC", "DESC"]) == Some("DESC") {
        text.push_str(" DESC");
    }
    if let Some(nulls) = cursor.accept_one(&["NULLS FIRST", "NULLS LAST"]) {
        text.push(' ');
        text.push_str(nulls);
    }
    Ok(IndexKey { column, text, operator_class })
}
