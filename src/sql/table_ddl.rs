//! CREATE TABLE and ALTER TABLE: columns, constraints and what changes them. Parsed by hand.

use crate::{
    catalog::{Identity, OnCommit},
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        cursor::Cursor,
        ddl::{owner, query, sequence_options},
        parse::Ast,
        tokens::Source,
        utility::{
            AlterTable, AlterTableAction, ColumnDefinition, CreateTable, Like, SequenceOptions,
            TableConstraint, TableConstraintKind, Utility,
        },
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::sync::Arc;

/// After `CREATE TABLE`.
pub(super) fn create_table(source: &Arc<Source>, cursor: &mut Cursor<'_>) -> Result<Ast> {
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
        let (query, with_data) = query(source, cursor)?;
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

fn is_constraint(cursor: &Cursor<'_>) -> bool {
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
fn constraint(cursor: &mut Cursor<'_>) -> Result<TableConstraint> {
    let name = if cursor.accept("CONSTRAINT") { Some(cursor.identifier()?) } else { None };
    let kind = if cursor.accept("PRIMARY KEY") {
        not_using_index(cursor)?;
        TableConstraintKind::PrimaryKey { columns: cursor.identifiers()? }
    } else if cursor.accept("UNIQUE") {
        not_using_index(cursor)?;
        TableConstraintKind::Unique { columns: cursor.identifiers()? }
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
    if cursor.sees("NULLS NOT DISTINCT") {
        return Err(cursor.unsupported("NULLS NOT DISTINCT"));
    }
    cursor.accept("NULLS DISTINCT");
    Ok(())
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
fn column(
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
    let kind = cursor.data_type()?;
    if matches!(kind, PgType::Unknown | PgType::Record | PgType::Void) {
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
            not_using_index(cursor)?;
            TableConstraintKind::Unique { columns: own() }
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
            crate::sql::collation::check_collation(&collation.name)?;
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
fn default(cursor: &mut Cursor<'_>) -> Result<String> {
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

fn identity(cursor: &mut Cursor<'_>) -> Result<(Identity, SequenceOptions)> {
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

/// After `ALTER TABLE`.
pub(super) fn alter_table(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let if_exists = cursor.if_exists();
    let name = cursor.name()?;
    cursor.accept_token(&Token::Mul);
    let mut actions = Vec::new();
    cursor.list(|cursor| action(cursor, &mut actions))?;
    Ok(Utility::AlterTable(AlterTable { name, if_exists, actions }))
}

fn action(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterTableAction>) -> Result<()> {
    let start = cursor.clone();
    let word = cursor.word().unwrap_or_default();
    cursor.skip();
    let action = match word.as_str() {
        "ADD" if is_constraint(cursor) => AlterTableAction::AddConstraint(constraint(cursor)?),
        "ADD" => {
            cursor.accept("COLUMN");
            let if_not_exists = cursor.if_not_exists();
            let mut constraints = Vec::new();
            let column = column(cursor, &mut constraints)?;
            AlterTableAction::AddColumn { column, constraints, if_not_exists }
        }
        "DROP" if cursor.accept("CONSTRAINT") => {
            let if_exists = cursor.if_exists();
            let name = cursor.identifier()?;
            AlterTableAction::DropConstraint { name, if_exists, cascade: cascade(cursor) }
        }
        "DROP" => {
            cursor.accept("COLUMN");
            let if_exists = cursor.if_exists();
            let column = cursor.identifier()?;
            AlterTableAction::DropColumn { column, if_exists, cascade: cascade(cursor) }
        }
        "RENAME" if cursor.accept("TO") => {
            AlterTableAction::RenameTable { to: cursor.identifier()? }
        }
        "RENAME" if cursor.accept("CONSTRAINT") => {
            let from = cursor.identifier()?;
            cursor.expect("TO")?;
            AlterTableAction::RenameConstraint { from, to: cursor.identifier()? }
        }
        "RENAME" => {
            cursor.accept("COLUMN");
            let from = cursor.identifier()?;
            cursor.expect("TO")?;
            AlterTableAction::RenameColumn { from, to: cursor.identifier()? }
        }
        "ALTER" => {
            cursor.accept("COLUMN");
            let column = cursor.identifier()?;
            match alter_column(cursor, column)? {
                Some(action) => action,
                None => return Ok(()),
            }
        }
        "SET" if cursor.accept("SCHEMA") => AlterTableAction::SetSchema(cursor.identifier()?),
        "SET" if cursor.sees_token(&Token::LParen) => {
            AlterTableAction::SetOptions(cursor.options()?)
        }
        "SET" if cursor.accept_one(&["LOGGED", "UNLOGGED"]).is_some() => return Ok(()),
        "RESET" => AlterTableAction::ResetOptions(cursor.identifiers()?),
        "OWNER" => {
            cursor.expect("TO")?;
            AlterTableAction::Owner(owner(cursor)?)
        }
        // Every constraint is checked from the start.
        "VALIDATE" => {
            cursor.expect("CONSTRAINT")?;
            cursor.identifier()?;
            return Ok(());
        }
        "REPLICA" => {
            cursor.expect("IDENTITY")?;
            let _ = cursor.accept_one(&["DEFAULT", "FULL", "NOTHING"]).is_some()
                || (cursor.accept("USING INDEX") && cursor.identifier().is_ok());
            return Ok(());
        }
        "" => return Err(start.unexpected()),
        other => return Err(start.unsupported(&format!("ALTER TABLE … {other}"))),
    };
    actions.push(action);
    Ok(())
}

fn cascade(cursor: &mut Cursor<'_>) -> bool {
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    cascade
}

fn alter_column(cursor: &mut Cursor<'_>, column: String) -> Result<Option<AlterTableAction>> {
    Ok(Some(if cursor.accept("SET NOT NULL") {
        AlterTableAction::SetNotNull(column)
    } else if cursor.accept("DROP NOT NULL") {
        AlterTableAction::DropNotNull(column)
    } else if cursor.accept("SET DEFAULT") {
        AlterTableAction::SetDefault { column, default: default(cursor)? }
    } else if cursor.accept("DROP DEFAULT") {
        AlterTableAction::DropDefault(column)
    } else if cursor.accept("SET EXPRESSION AS") {
        AlterTableAction::SetExpression { column, expression: cursor.expression_in_parentheses()? }
    } else if cursor.accept("DROP EXPRESSION") {
        AlterTableAction::DropExpression { column, if_exists: cursor.if_exists() }
    } else if cursor.accept("DROP IDENTITY") {
        AlterTableAction::DropIdentity { column, if_exists: cursor.if_exists() }
    } else if cursor.accept("ADD GENERATED") {
        let (identity, options) = identity(cursor)?;
        AlterTableAction::AddIdentity { column, identity, options }
    } else if cursor.accept("SET DATA TYPE") || cursor.accept("TYPE") {
        let kind = cursor.data_type()?;
        if cursor.accept("COLLATE") {
            crate::sql::collation::check_collation(&cursor.name()?.name)?;
        }
        let using = if cursor.accept("USING") { Some(cursor.expression()?.1) } else { None };
        AlterTableAction::AlterType { column, kind, using }
    } else if cursor.accept("SET STATISTICS") {
        // There are no per-column statistics to size.
        cursor.integer()?;
        return Ok(None);
    } else if cursor.accept("SET STORAGE") || cursor.accept("SET COMPRESSION") {
        cursor.identifier()?;
        return Ok(None);
    } else {
        return Err(cursor.unexpected());
    }))
}
