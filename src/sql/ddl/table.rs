//! CREATE TABLE: columns, constraints, and the query that fills it.

use super::sequence::sequence_options;
use crate::{
    catalog::{Identity, OnCommit},
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        collation::check_collation,
        cursor::Cursor,
        statement::{Ast, Read},
        tokens::Source,
        utility::{
            ColumnDefinition, CreateTable, Like, SequenceOptions, TableConstraint,
            TableConstraintKind, TypeName, Utility,
        },
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::sync::Arc;

/// After `CREATE TABLE`.
pub(super) fn create_table(
    source: &Arc<Source>,
    cursor: &mut Cursor<'_>,
    read: Read,
) -> Result<Ast> {
    let if_not_exists = cursor.if_not_exists();
    let mut table = CreateTable {
        name: cursor.name()?,
        on_commit: None,
        if_not_exists,
        columns: Vec::new(),
        constraints: Vec::new(),
        options: Vec::new(),
        like: Vec::new(),
        query: None,
    };
    if cursor.sees("PARTITION OF") || cursor.sees("OF") {
        return Err(cursor.unsupported("CREATE TABLE … OF"));
    }
    let mut names = Vec::new();
    if cursor.sees_token(&Token::LParen) {
        let mut ahead = cursor.clone();
        match ahead.identifiers() {
            // Names without types: columns of AS.
            Ok(columns) => {
                names = columns;
                *cursor = ahead;
            }
            Err(_) => elements(cursor, &mut table)?,
        }
    }
    table_tail(cursor, &mut table)?;
    if cursor.accept("AS") {
        if !table.columns.is_empty() {
            return Err(cursor.unexpected());
        }
        let (query, with_data) = query(source, cursor, read)?;
        let query = Box::new(query);
        return Ok(Ast::CreateTableAs { table: Box::new(table), names, query, with_data });
    }
    if !names.is_empty() {
        return Err(cursor.unexpected());
    }
    Ok(Ast::Utility(Box::new(Utility::CreateTable(table))))
}

fn elements(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    cursor.expect_token(&Token::LParen)?;
    if cursor.accept_token(&Token::RParen) {
        return Ok(());
    }
    cursor.list(|cursor| {
        if cursor.sees("LIKE") {
            table.like.push(like(cursor)?);
        } else if is_constraint(cursor) {
            table.constraints.push(constraint(cursor)?);
        } else {
            table.columns.push(column(cursor, &mut table.constraints)?);
        }
        Ok(())
    })?;
    cursor.expect_token(&Token::RParen)
}

/// What may follow the columns.
fn table_tail(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    loop {
        if cursor.sees("INHERITS") {
            return Err(cursor.unsupported("INHERITS"));
        } else if cursor.sees("PARTITION BY") {
            return Err(cursor
                .unsupported("PARTITION BY")
                .hint("Leave it out: a table grows without partitions."));
        } else if cursor.accept("WITH") {
            table.options.extend(cursor.options()?);
        } else if cursor.accept("WITHOUT OIDS") {
        } else if cursor.accept("USING") {
            // Every table has the one storage.
            cursor.identifier()?;
        } else if cursor.accept("TABLESPACE") {
            cursor.identifier()?;
        } else if cursor.accept("ON COMMIT") {
            table.on_commit = Some(match cursor.accept_one(&["PRESERVE", "DELETE", "DROP"]) {
                Some("DROP") => Some(OnCommit::Drop),
                Some("DELETE") if cursor.accept("ROWS") => Some(OnCommit::DeleteRows),
                Some("PRESERVE") if cursor.accept("ROWS") => None,
                _ => return Err(cursor.unexpected()),
            });
        } else {
            return Ok(());
        }
    }
}

fn like(cursor: &mut Cursor<'_>) -> Result<Like> {
    cursor.expect("LIKE")?;
    let mut like = Like {
        table: cursor.name()?,
        defaults: false,
        constraints: false,
        indexes: false,
        identity: false,
        generated: false,
        comments: false,
    };
    while let Some(word) = cursor.accept_one(&["INCLUDING", "EXCLUDING"]) {
        let on = word == "INCLUDING";
        match cursor.identifier()?.as_str() {
            "defaults" => like.defaults = on,
            "constraints" => like.constraints = on,
            "indexes" => like.indexes = on,
            "identity" => like.identity = on,
            "comments" => like.comments = on,
            "generated" => like.generated = on,
            "storage" | "compression" | "statistics" => {}
            "all" => {
                like.defaults = on;
                like.constraints = on;
                like.indexes = on;
                like.identity = on;
                like.generated = on;
                like.comments = on;
            }
            _ => return Err(cursor.unexpected()),
        }
    }
    Ok(like)
}

pub(super) fn is_constraint(cursor: &Cursor<'_>) -> bool {
    ["CONSTRAINT", "PRIMARY KEY", "FOREIGN KEY", "EXCLUDE"].iter().any(|w| cursor.sees(w))
        || ["UNIQUE", "CHECK"].iter().any(|word| {
            let mut ahead = cursor.clone();
            ahead.accept(word)
                && (ahead.sees_token(&Token::LParen)
                    || ahead.sees("NULLS")
                    || ahead.sees("USING INDEX"))
        })
}

/// A table's constraint.
pub(super) fn constraint(cursor: &mut Cursor<'_>) -> Result<TableConstraint> {
    let name = if cursor.accept("CONSTRAINT") { Some(cursor.identifier()?) } else { None };
    let kind = if cursor.accept("PRIMARY KEY") {
        not_using_index(cursor)?;
        TableConstraintKind::PrimaryKey { columns: cursor.identifiers()? }
    } else if cursor.accept("UNIQUE") {
        not_using_index(cursor)?;
        let nulls_not_distinct = nulls_not_distinct(cursor);
        TableConstraintKind::Unique { columns: cursor.identifiers()?, nulls_not_distinct }
    } else if cursor.accept("CHECK") {
        TableConstraintKind::Check { expression: cursor.expression_in_parentheses()? }
    } else if cursor.accept("FOREIGN KEY") {
        let columns = cursor.identifiers()?;
        references(cursor, columns)?
    } else if cursor.sees("EXCLUDE") {
        return Err(cursor.unsupported("EXCLUDE"));
    } else {
        return Err(cursor.unexpected());
    };
    constraint_tail(cursor)?;
    Ok(TableConstraint { name, kind })
}

fn not_using_index(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.sees("USING INDEX") {
        return Err(cursor.unsupported("a constraint USING INDEX").hint("Name the columns."));
    }
    Ok(())
}

/// `NULLS [NOT] DISTINCT`: whether NULLs equal each other.
pub(super) fn nulls_not_distinct(cursor: &mut Cursor<'_>) -> bool {
    cursor.accept("NULLS NOT DISTINCT") || {
        cursor.accept("NULLS DISTINCT");
        false
    }
}

/// `REFERENCES table [(columns)] [MATCH …] [ON DELETE …] [ON UPDATE …]`.
fn references(cursor: &mut Cursor<'_>, columns: Vec<String>) -> Result<TableConstraintKind> {
    cursor.expect("REFERENCES")?;
    let references = cursor.name()?;
    let referenced =
        if cursor.sees_token(&Token::LParen) { cursor.identifiers()? } else { Vec::new() };
    let mut actions = String::new();
    loop {
        if cursor.accept("MATCH") {
            if cursor.accept_one(&["SIMPLE", "FULL", "PARTIAL"]).is_none() {
                return Err(cursor.unexpected());
            }
        } else if let Some(event) = cursor.accept_one(&["ON DELETE", "ON UPDATE"]) {
            let words = ["CASCADE", "RESTRICT", "NO ACTION", "SET NULL", "SET DEFAULT"];
            let Some(action) = cursor.accept_one(&words) else { return Err(cursor.unexpected()) };
            if cursor.sees_token(&Token::LParen) {
                cursor.identifiers()?;
            }
            if !actions.is_empty() {
                actions.push(' ');
            }
            actions.push_str(event);
            actions.push(' ');
            actions.push_str(action);
        } else {
            return Ok(TableConstraintKind::ForeignKey {
                columns,
                references,
                referenced,
                actions,
            });
        }
    }
}

/// What may follow any constraint.
fn constraint_tail(cursor: &mut Cursor<'_>) -> Result<()> {
    loop {
        if cursor.accept("NOT DEFERRABLE")
            || cursor.accept("INITIALLY IMMEDIATE")
            || cursor.accept("NO INHERIT")
            || cursor.accept("NOT VALID")
        {
        } else if cursor.sees("DEFERRABLE") || cursor.sees("INITIALLY DEFERRED") {
            return Err(cursor.unsupported("a deferrable constraint"));
        } else if cursor.accept("INCLUDE") {
            cursor.identifiers()?;
        } else if cursor.accept("WITH") {
            cursor.options()?;
        } else if cursor.accept("USING INDEX TABLESPACE") {
            cursor.identifier()?;
        } else {
            return Ok(());
        }
    }
}

/// A column with its options; its constraints are put with the table's.
pub(super) fn column(
    cursor: &mut Cursor<'_>,
    constraints: &mut Vec<TableConstraint>,
) -> Result<ColumnDefinition> {
    let name = cursor.identifier()?;
    let serial = ["SERIAL", "SERIAL4", "BIGSERIAL", "SERIAL8", "SMALLSERIAL", "SERIAL2"]
        .iter()
        .any(|word| cursor.sees(word));
    let place = cursor.clone();
    if cursor.is_done() || cursor.sees_token(&Token::Comma) || cursor.sees_token(&Token::RParen) {
        return Err(cursor.unexpected());
    }
    let kind = cursor.type_name()?;
    if let TypeName::Known(kind) = &kind
        && matches!(kind, PgType::Unknown | PgType::Record | PgType::Composite(_) | PgType::Void)
    {
        return Err(place.here(Error::new(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("column \"{name}\" has pseudo-type {kind}"),
        )));
    }
    let mut column = ColumnDefinition {
        name,
        kind,
        not_null: serial,
        default: None,
        serial,
        identity: None,
        generated: None,
    };
    loop {
        let constraint =
            if cursor.accept("CONSTRAINT") { Some(cursor.identifier()?) } else { None };
        let own = || vec![column.name.clone()];
        let kind = if cursor.accept("NOT NULL") {
            column.not_null = true;
            continue;
        } else if cursor.accept("NULL") {
            continue;
        } else if cursor.accept("PRIMARY KEY") {
            TableConstraintKind::PrimaryKey { columns: own() }
        } else if cursor.accept("UNIQUE") {
            let nulls_not_distinct = nulls_not_distinct(cursor);
            TableConstraintKind::Unique { columns: own(), nulls_not_distinct }
        } else if cursor.accept("CHECK") {
            TableConstraintKind::Check { expression: cursor.expression_in_parentheses()? }
        } else if cursor.sees("REFERENCES") {
            references(cursor, own())?
        } else if cursor.accept("DEFAULT") {
            column.default = Some(default(cursor)?);
            continue;
        } else if cursor.accept("GENERATED") {
            generated(cursor, &mut column)?;
            continue;
        } else if cursor.accept("COLLATE") {
            let collation = cursor.name()?;
            check_collation(&collation.name)?;
            continue;
        } else if cursor.accept("STORAGE") || cursor.accept("COMPRESSION") {
            cursor.identifier()?;
            continue;
        } else if constraint.is_some() {
            return Err(cursor.unexpected());
        } else {
            return Ok(column);
        };
        constraint_tail(cursor)?;
        constraints.push(TableConstraint { name: constraint, kind });
    }
}

/// A default's text. It ends where the next clause of the column begins, which an expression's
/// grammar would take for its own (`DEFAULT 1 NOT NULL`).
pub(super) fn default(cursor: &mut Cursor<'_>) -> Result<String> {
    Ok(cursor.operand()?.1)
}

/// `GENERATED {ALWAYS|BY DEFAULT} AS IDENTITY [(options)]`, `GENERATED ALWAYS AS (…) STORED`.
fn generated(cursor: &mut Cursor<'_>, column: &mut ColumnDefinition) -> Result<()> {
    let start = cursor.clone();
    let mut ahead = cursor.clone();
    let when = ahead.accept_one(&["ALWAYS", "BY DEFAULT"]);
    if when.is_none() || !ahead.accept("AS") || !ahead.sees_token(&Token::LParen) {
        let (identity, options) = identity(cursor)?;
        column.not_null = true;
        column.identity = Some((identity, options));
        return Ok(());
    }
    let repeats = |what: &str| Error::new(SqlState::SYNTAX_ERROR, what.to_owned());
    if when == Some("BY DEFAULT") {
        let what = "for a generated column, GENERATED ALWAYS must be specified";
        return Err(start.here(repeats(what)));
    }
    if column.generated.is_some() {
        return Err(start.here(repeats("multiple generation clauses specified for one column")));
    }
    *cursor = ahead;
    column.generated = Some(cursor.expression_in_parentheses()?);
    if !cursor.accept("STORED") {
        return Err(start
            .unsupported("a generated column that is not stored")
            .hint("Write STORED behind the expression."));
    }
    Ok(())
}

pub(super) fn identity(cursor: &mut Cursor<'_>) -> Result<(Identity, SequenceOptions)> {
    let identity = match cursor.accept_one(&["ALWAYS", "BY DEFAULT"]) {
        Some("ALWAYS") => Identity::Always,
        Some(_) => Identity::ByDefault,
        None => return Err(cursor.unexpected()),
    };
    cursor.expect("AS")?;
    cursor.expect("IDENTITY")?;
    let mut options = SequenceOptions::default();
    if cursor.accept_token(&Token::LParen) {
        (options, _) = sequence_options(cursor)?;
        cursor.expect_token(&Token::RParen)?;
    }
    Ok((identity, options))
}

/// A query in CREATE TABLE … AS: any that gives rows.
fn query(source: &Arc<Source>, cursor: &mut Cursor<'_>, read: Read) -> Result<(Ast, bool)> {
    let mut tokens = cursor.rest();
    let word = |n: usize| {
        let token = tokens.len().checked_sub(n).and_then(|at| tokens.get(at));
        token.map(|token| token.token.to_string().to_ascii_uppercase()).unwrap_or_default()
    };
    let mut with_data = true;
    if word(1) == "DATA" && word(2) == "WITH" {
        tokens = &tokens[..tokens.len() - 2];
    } else if word(1) == "DATA" && word(2) == "NO" && word(3) == "WITH" {
        tokens = &tokens[..tokens.len() - 3];
        with_data = false;
    }
    match read(source, tokens)? {
        query @ (Ast::Query(_) | Ast::Execute { .. }) => Ok((query, with_data)),
        _ => Err(source.unexpected(tokens.first())),
    }
}
