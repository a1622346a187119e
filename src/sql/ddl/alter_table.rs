//! ALTER TABLE: what changes of a table, its columns and constraints.

use super::{
    role::owner,
    table::{column, constraint, default, identity, is_constraint},
};
use crate::{
    error::Result,
    sql::{
        collation::check_collation,
        cursor::Cursor,
        utility::{AlterTable, AlterTableAction, Utility},
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;

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
        let kind = cursor.type_name()?;
        if cursor.accept("COLLATE") {
            check_collation(&cursor.name()?.name)?;
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
