//! A message's text into statements.
//!
//! Tokens come from sqlparser with PostgreSQL's dialect and are re-glued (`tokens.rs`); then the
//! first word decides. Queries and changes of rows go to sqlparser's grammar, whose nodes tell
//! their place in the text. Everything else is parsed by hand in `ddl/` and `commands.rs`:
//! their grammar is regular, and what is written there is kept as text (a default, a check) just
//! as the user wrote it.

use crate::{
    catalog::PG_TEMP,
    error::{Error, Result, SqlState},
    pgtype::copy::CopyArgument,
    sql::{
        commands,
        cursor::Cursor,
        ddl,
        statement::{Ast, CopyStatement, Statement},
        tokens::{Source, fold, table_as_select},
        utility::{CreateTable, ExplainOptions, Name},
    },
};
use datafusion::sql::sqlparser::{
    ast::{self, Spanned},
    tokenizer::{Token, TokenWithSpan},
};
use std::sync::Arc;

/// The statements of a message, in order. Positions in errors count the message's characters.
///
/// # Errors
/// 42601 where the text is no SQL, 0A000 where it is SQL that Nearlake does not know, 54001 where
/// it nests too deeply.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let source = Arc::new(Source::new(sql));
    let tokens = source.tokens()?;
    tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|tokens| !tokens.is_empty() && tokens[0].token != Token::EOF)
        .map(|tokens| Statement::of_tokens(&source, tokens, statement))
        .collect()
}

/// One expression, as a default or a check was kept.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let source = Source::new(text);
    let tokens = source.tokens()?;
    let mut cursor = Cursor::new(&source, &tokens);
    let (expression, _) = cursor.expression()?;
    cursor.finish()?;
    Ok(expression)
}

/// Checks that a text is one expression and nothing more.
///
/// # Errors
/// 42601.
pub fn check_expression(text: &str) -> Result<()> {
    parse_expression(text).map(drop)
}

/// A query, as a view was kept.
pub(crate) fn parse_query(text: &str) -> Result<Box<ast::Query>> {
    let statements = parse(text)?;
    match statements.into_iter().next().map(|statement| Arc::unwrap_or_clone(statement.ast)) {
        Some(Ast::Query(query)) => Ok(query),
        _ => Err(Error::internal("a view's text is not a query")),
    }
}

/// The statement of some tokens.
pub(crate) fn statement(source: &Arc<Source>, tokens: &[TokenWithSpan]) -> Result<Ast> {
    let mut cursor = Cursor::new(source, tokens);
    let word = cursor.word().unwrap_or_default();
    let ast = match word.as_str() {
        "SELECT" | "WITH" | "VALUES" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" => {
            rows(source, tokens)?
        }
        "TABLE" => rows(source, &table_as_select(tokens))?,
        "" if cursor.sees_token(&Token::LParen) => rows(source, tokens)?,
        "EXPLAIN" => explain(source, &mut cursor)?,
        "COPY" => copy(source, &mut cursor)?,
        "CREATE" | "ALTER" | "DROP" | "COMMENT" | "GRANT" | "REVOKE" | "REASSIGN" | "TRUNCATE"
        | "REINDEX" | "SECURITY" | "IMPORT" | "REFRESH" => {
            ddl::statement(source, &mut cursor, statement)?
        }
        _ => commands::statement(source, &mut cursor, statement)?,
    };
    if !matches!(
        word.as_str(),
        "SELECT" | "WITH" | "VALUES" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TABLE" | ""
    ) {
        cursor.finish()?;
    }
    Ok(ast)
}

/// Queries and changes of rows: sqlparser's part.
fn rows(source: &Arc<Source>, tokens: &[TokenWithSpan]) -> Result<Ast> {
    let mut cursor = Cursor::new(source, tokens);
    let (parsed, _) = cursor.parse(|parser| parser.parse_statement())?;
    cursor.finish()?;
    Ok(match parsed {
        ast::Statement::Query(query) => selected_into(source, query)?,
        ast::Statement::Insert(insert) => Ast::Insert(Box::new(insert)),
        ast::Statement::Update(update) => Ast::Update(Box::new(update)),
        ast::Statement::Delete(delete) => Ast::Delete(Box::new(delete)),
        ast::Statement::Merge(merge) => Ast::Merge(Box::new(merge)),
        _ => return Err(source.unexpected(tokens.first())),
    })
}

/// `SELECT … INTO [TEMPORARY] table`, which is CREATE TABLE AS; any other query as it is.
fn selected_into(source: &Arc<Source>, mut query: Box<ast::Query>) -> Result<Ast> {
    let into = match query.body.as_mut() {
        ast::SetExpr::Select(select) => select.into.take(),
        _ => None,
    };
    let Some(into) = into else { return Ok(Ast::Query(query)) };
    let place = into.name.span().start;
    let mut parts: Vec<String> =
        into.name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let name = parts.pop().unwrap_or_default();
    let schema = match into.temporary {
        true if parts.is_empty() => Some(PG_TEMP.to_owned()),
        true => {
            let what = "cannot create temporary relation in non-temporary schema";
            let error = Error::new(SqlState::INVALID_TABLE_DEFINITION, what);
            return Err(source.at(error, place));
        }
        false => parts.pop(),
    };
    let table = CreateTable {
        name: Name { schema, name, position: source.position(place).unwrap_or(0) },
        on_commit: None,
        if_not_exists: false,
        columns: Vec::new(),
        constraints: Vec::new(),
        options: Vec::new(),
        like: Vec::new(),
        query: None,
    };
    Ok(Ast::CreateTableAs {
        table: Box::new(table),
        names: Vec::new(),
        query: Box::new(Ast::Query(query)),
        with_data: true,
    })
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [(options)] statement`.
fn explain(source: &Arc<Source>, cursor: &mut Cursor<'_>) -> Result<Ast> {
    use crate::sql::utility::ExplainFormat;
    cursor.expect("EXPLAIN")?;
    let mut options = ExplainOptions { costs: true, timing: true, ..ExplainOptions::default() };
    let is_list = cursor.sees_token(&Token::LParen) && {
        let mut ahead = cursor.clone();
        ahead.skip();
        let query = ["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "TABLE"];
        !ahead.sees_token(&Token::LParen) && !query.iter().any(|word| ahead.sees(word))
    };
    if is_list {
        cursor.parenthesised(|cursor| {
            let place = cursor.location();
            let name = cursor.identifier()?;
            let on = |cursor: &mut Cursor<'_>| cursor.boolean().unwrap_or(true);
            match name.as_str() {
                "analyze" => options.analyze = on(cursor),
                "verbose" => options.verbose = on(cursor),
                "costs" => options.costs = on(cursor),
                "buffers" => options.buffers = on(cursor),
                "timing" => options.timing = on(cursor),
                "summary" => options.summary = on(cursor),
                "settings" | "wal" | "generic_plan" | "memory" => {
                    on(cursor);
                }
                "format" => {
                    options.format = match cursor.value()?.to_ascii_lowercase().as_str() {
                        "text" => ExplainFormat::Text,
                        "json" => ExplainFormat::Json,
                        other => {
                            return Err(Error::unsupported(format!(
                                "EXPLAIN format {other} is not supported"
                            ))
                            .hint("Use FORMAT TEXT or FORMAT JSON."));
                        }
                    }
                }
                other => {
                    let error = Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!("unrecognized EXPLAIN option \"{other}\""),
                    );
                    return Err(source.at(error, place));
                }
            }
            Ok(())
        })?;
    } else {
        options.analyze = cursor.accept("ANALYZE") || cursor.accept("ANALYSE");
        options.verbose = cursor.accept("VERBOSE");
    }
    let place = cursor.location();
    let inner = statement(source, cursor.rest())?;
    match inner {
        Ast::Query(_)
        | Ast::Insert(_)
        | Ast::Update(_)
        | Ast::Delete(_)
        | Ast::Merge(_)
        | Ast::Declare { .. }
        | Ast::CreateTableAs { .. } => Ok(Ast::Explain(options, Box::new(inner))),
        _ => Err(source.at(
            Error::new(SqlState::SYNTAX_ERROR, "EXPLAIN explains queries and changes of rows"),
            place,
        )),
    }
}

/// `COPY table [(columns)] FROM STDIN|'file' …`, `COPY table|(query) TO STDOUT|'file' …`.
fn copy(source: &Arc<Source>, cursor: &mut Cursor<'_>) -> Result<Ast> {
    cursor.expect("COPY")?;
    let mut options = Vec::new();
    if cursor.accept("BINARY") {
        options.push(("format".to_owned(), CopyArgument::Text("binary".to_owned())));
    }
    let (mut table, mut query) = (None, None);
    if cursor.sees_token(&Token::LParen) {
        query = Some(Box::new(statement(source, cursor.group()?)?));
    } else {
        let name = cursor.name()?;
        let columns =
            if cursor.sees_token(&Token::LParen) { cursor.identifiers()? } else { Vec::new() };
        table = Some((name, columns));
    }
    let to = match cursor.accept_one(&["FROM", "TO"]) {
        Some(word) if query.is_none() || word == "TO" => word == "TO",
        _ => return Err(cursor.unexpected()),
    };
    let file = match cursor.accept_one(&["STDIN", "STDOUT"]) {
        Some(_) => None,
        None if cursor.sees("PROGRAM") => {
            return Err(cursor.unsupported("COPY with a program").hint(format!(
                "Use COPY … {}; psql's \\copy runs programs of the client.",
                if to { "TO STDOUT" } else { "FROM STDIN" }
            )));
        }
        None => Some(cursor.string()?),
    };
    let parenthesised = cursor.accept("WITH") && cursor.sees_token(&Token::LParen)
        || cursor.sees_token(&Token::LParen);
    if parenthesised {
        options.extend(cursor.parenthesised(|cursor| {
            let name = cursor.identifier()?;
            let value = if cursor.sees_token(&Token::LParen) {
                CopyArgument::List(cursor.identifiers()?)
            } else if cursor.accept_token(&Token::Mul) {
                CopyArgument::All
            } else if cursor.sees_token(&Token::Comma) || cursor.sees_token(&Token::RParen) {
                CopyArgument::None
            } else {
                CopyArgument::Text(cursor.value()?)
            };
            Ok((name, value))
        })?);
    } else {
        old_copy_options(cursor, &mut options)?;
    }
    let predicate = if !to && cursor.accept("WHERE") { Some(cursor.expression()?.0) } else { None };
    Ok(Ast::Copy(CopyStatement { table, query, to, file, options, predicate }))
}

/// The options of before 9.0: `CSV HEADER DELIMITER AS ';'`.
fn old_copy_options(
    cursor: &mut Cursor<'_>,
    options: &mut Vec<(String, CopyArgument)>,
) -> Result<()> {
    while !cursor.is_done() && !cursor.sees("WHERE") {
        let option = if let Some(word) = cursor.accept_one(&["BINARY", "CSV"]) {
            ("format".to_owned(), CopyArgument::Text(word.to_lowercase()))
        } else if let Some(word) =
            cursor.accept_one(&["DELIMITER", "DELIMITERS", "NULL", "QUOTE", "ESCAPE", "ENCODING"])
        {
            cursor.accept("AS");
            (word.trim_end_matches('S').to_lowercase(), CopyArgument::Text(cursor.string()?))
        } else if let Some(word) = cursor.accept_one(&["HEADER", "FREEZE"]) {
            (word.to_lowercase(), CopyArgument::None)
        } else if cursor.accept("FORCE") {
            let name = match cursor.accept_one(&["QUOTE", "NOT NULL", "NULL"]) {
                Some(word) => format!("force_{}", word.to_lowercase().replace(' ', "_")),
                None => return Err(cursor.unexpected()),
            };
            let columns = if cursor.accept_token(&Token::Mul) {
                CopyArgument::All
            } else {
                CopyArgument::List(cursor.list(Cursor::identifier)?)
            };
            (name, columns)
        } else {
            return Err(cursor.unexpected());
        };
        options.push(option);
    }
    Ok(())
}
