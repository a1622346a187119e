//! CREATE.

use super::{
    domain, index::create_index, role::role_options, sequence::sequence_options, table, user_type,
    webhook,
};
use crate::{
    catalog::PG_TEMP,
    error::{Error, Result, SqlState},
    sql::{
        cursor::Cursor,
        statement::{Ast, Read},
        tokens::Source,
        utility::Utility,
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::sync::Arc;

/// From CREATE on.
pub(super) fn create(source: &Arc<Source>, cursor: &mut Cursor<'_>, read: Read) -> Result<Ast> {
    cursor.expect("CREATE")?;
    let or_replace = cursor.accept("OR REPLACE");
    let is_said = cursor.accept_one(&["LOCAL", "GLOBAL"]).is_some();
    let is_temporary = cursor.accept_one(&["TEMPORARY", "TEMP"]).is_some();
    if is_said && !is_temporary {
        return Err(cursor.unexpected());
    }
    let start = cursor.clone();
    let mut ast = create_object(source, cursor, or_replace, read)?;
    if is_temporary {
        make_temporary(&mut ast, &start)?;
    }
    Ok(ast)
}

/// What CREATE TEMPORARY makes lies in the session's own schema.
fn make_temporary(ast: &mut Ast, start: &Cursor<'_>) -> Result<()> {
    let name = match ast {
        Ast::CreateTableAs { table, .. } => &mut table.name,
        Ast::CreateView { name, .. } => name,
        Ast::Utility(utility) => match utility.as_mut() {
            Utility::CreateTable(table) => &mut table.name,
            Utility::CreateSequence { name, .. } => name,
            _ => return Err(start.unexpected()),
        },
        _ => return Err(start.unexpected()),
    };
    if name.schema.as_ref().is_some_and(|schema| schema != PG_TEMP) {
        return Err(Error::new(
            SqlState::INVALID_TABLE_DEFINITION,
            "cannot create temporary relation in non-temporary schema",
        )
        .at(name.position));
    }
    name.schema = Some(PG_TEMP.to_owned());
    Ok(())
}

fn create_object(
    source: &Arc<Source>,
    cursor: &mut Cursor<'_>,
    or_replace: bool,
    read: Read,
) -> Result<Ast> {
    let start = cursor.clone();
    // Every table is logged: UNLOGGED asks for less than it gets.
    cursor.accept("UNLOGGED");
    let word = cursor.word().unwrap_or_default();
    if or_replace && word != "VIEW" {
        return Err(match word.as_str() {
            "FUNCTION" | "PROCEDURE" | "TRIGGER" | "RULE" | "AGGREGATE" => {
                start.unsupported(&format!("CREATE {word}"))
            }
            _ => start.unexpected(),
        });
    }
    cursor.skip();
    let utility = match word.as_str() {
        "TABLE" => return table::create_table(source, cursor, read),
        "UNIQUE" => {
            cursor.expect("INDEX")?;
            create_index(cursor, true)?
        }
        "INDEX" => create_index(cursor, false)?,
        "VIEW" => return create_view(cursor, or_replace),
        "EXTENSION" => {
            let if_not_exists = cursor.if_not_exists();
            let name = cursor.identifier()?;
            cursor.accept("WITH");
            let mut schema = None;
            loop {
                if cursor.accept("SCHEMA") {
                    schema = Some(cursor.identifier()?);
                } else if cursor.accept("VERSION") {
                    cursor.value()?;
                } else if !cursor.accept("CASCADE") {
                    break;
                }
            }
            Utility::CreateExtension { name, if_not_exists, schema }
        }
        "SCHEMA" => {
            let if_not_exists = cursor.if_not_exists();
            let mut name = None;
            if !cursor.sees("AUTHORIZATION") {
                name = Some(cursor.identifier()?);
            }
            let owner =
                if cursor.accept("AUTHORIZATION") { Some(cursor.identifier()?) } else { None };
            Utility::CreateSchema { name, if_not_exists, owner }
        }
        "DATABASE" => {
            let name = cursor.identifier()?;
            cursor.accept("WITH");
            let mut options = Vec::new();
            while !cursor.is_done() {
                let option = if cursor.accept("CONNECTION LIMIT") {
                    "connection_limit".to_owned()
                } else {
                    cursor.identifier()?
                };
                cursor.accept_token(&Token::Eq);
                options.push((option, cursor.value()?));
            }
            Utility::CreateDatabase { name, options }
        }
        "ROLE" | "USER" | "GROUP" => {
            let name = cursor.identifier()?;
            cursor.accept("WITH");
            let mut options = role_options(cursor)?;
            // A user is a role that may connect.
            options.login = options.login.or(Some(word == "USER"));
            Utility::CreateRole { name, options }
        }
        "API" => {
            cursor.expect("KEY")?;
            let name = cursor.identifier()?;
            let role = if cursor.accept("FOR ROLE") { Some(cursor.identifier()?) } else { None };
            Utility::CreateApiKey { name, role }
        }
        "WEBHOOK" => webhook::create(cursor)?,
        "EMBEDDING" => {
            cursor.expect("MODEL")?;
            let if_not_exists = cursor.if_not_exists();
            let name = cursor.identifier()?;
            cursor.expect("WITH")?;
            Utility::CreateModel { name, if_not_exists, options: cursor.options()? }
        }
        "SEQUENCE" => {
            let if_not_exists = cursor.if_not_exists();
            let name = cursor.name()?;
            let (options, _) = sequence_options(cursor)?;
            Utility::CreateSequence { name, if_not_exists, options }
        }
        "MATERIALIZED" => {
            return Err(start
                .unsupported("CREATE MATERIALIZED VIEW")
                .hint("Use CREATE VIEW, or CREATE TABLE … AS."));
        }
        "TYPE" => user_type::create(cursor)?,
        "DOMAIN" => domain::create(cursor)?,
        _ if start.word().is_none() => return Err(start.unexpected()),
        _ => return Err(start.unsupported(&format!("CREATE {word}"))),
    };
    Ok(Ast::Utility(Box::new(utility)))
}

fn create_view(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Ast> {
    let name = cursor.name()?;
    let columns =
        if cursor.sees_token(&Token::LParen) { cursor.identifiers()? } else { Vec::new() };
    if cursor.accept("WITH") {
        cursor.options()?;
    }
    cursor.expect("AS")?;
    let (query, text) = cursor.query()?;
    if cursor.sees("WITH") {
        return Err(cursor.unsupported("WITH CHECK OPTION"));
    }
    Ok(Ast::CreateView { name, or_replace, columns, query, text })
}
