//! Statements about objects: CREATE, ALTER, DROP, COMMENT, GRANT, TRUNCATE. Parsed by hand.
//! What PostgreSQL has and Nearlake has not is refused here, with what to do instead.

use crate::{
    catalog::PG_TEMP,
    error::{Error, Result, SqlState},
    sql::{
        commands,
        cursor::Cursor,
        parse::{Ast, statement as parse_statement},
        table_ddl,
        tokens::Source,
        utility::{
            AlterDatabase, AlterModel, AlterRelation, AlterRole, AlterSequence, CreateIndex, Drop,
            Grant, IndexKey, Name, ObjectKind, RoleOptions, SequenceOptions, SetValue, Utility,
        },
        webhook_ddl,
    },
};
use datafusion::sql::sqlparser::{ast, tokenizer::Token};
use std::sync::Arc;

/// A statement by its first word.
pub(crate) fn statement(source: &Arc<Source>, cursor: &mut Cursor<'_>) -> Result<Ast> {
    let utility = match cursor.word().as_deref() {
        Some("CREATE") => return create(source, cursor),
        Some("ALTER") => alter(cursor)?,
        Some("DROP") => drop_objects(cursor)?,
        Some("COMMENT") => comment(cursor)?,
        Some("GRANT" | "REVOKE") => grant(cursor)?,
        Some("TRUNCATE") => truncate(cursor)?,
        Some("REINDEX") => commands::reindex(cursor)?,
        Some(other) => return Err(cursor.unsupported(other)),
        None => return Err(cursor.unexpected()),
    };
    Ok(Ast::Utility(Box::new(utility)))
}

fn create(source: &Arc<Source>, cursor: &mut Cursor<'_>) -> Result<Ast> {
    cursor.expect("CREATE")?;
    let or_replace = cursor.accept("OR REPLACE");
    let is_said = cursor.accept_one(&["LOCAL", "GLOBAL"]).is_some();
    let is_temporary = cursor.accept_one(&["TEMPORARY", "TEMP"]).is_some();
    if is_said && !is_temporary {
        return Err(cursor.unexpected());
    }
    let start = cursor.clone();
    let mut ast = create_object(source, cursor, or_replace)?;
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

fn create_object(source: &Arc<Source>, cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Ast> {
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
        "TABLE" => return table_ddl::create_table(source, cursor),
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
        "WEBHOOK" => webhook_ddl::create(cursor)?,
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
        "TYPE" | "DOMAIN" => {
            return Err(start
                .unsupported(&format!("CREATE {word}"))
                .hint("Use a built-in type with a CHECK constraint."));
        }
        _ if start.word().is_none() => return Err(start.unexpected()),
        _ => return Err(start.unsupported(&format!("CREATE {word}"))),
    };
    Ok(Ast::Utility(Box::new(utility)))
}

fn create_index(cursor: &mut Cursor<'_>, unique: bool) -> Result<Utility> {
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
        if_not_exists,
        concurrently,
        options: Vec::new(),
        predicate: None,
    };
    if cursor.accept("INCLUDE") {
        index.include = cursor.identifiers()?;
    }
    if cursor.accept("NULLS NOT DISTINCT") {
        return Err(cursor.unsupported("NULLS NOT DISTINCT"));
    }
    cursor.accept("NULLS DISTINCT");
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
        ast::Expr::Identifier(ident) => Some(crate::sql::tokens::fold(ident)),
        ast::Expr::Collate { expr, .. } => match expr.as_ref() {
            ast::Expr::Identifier(ident) => Some(crate::sql::tokens::fold(ident)),
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

fn role_options(cursor: &mut Cursor<'_>) -> Result<RoleOptions> {
    let mut options = RoleOptions::default();
    while let Some(word) = cursor.word() {
        cursor.skip();
        match word.as_str() {
            "SUPERUSER" => options.superuser = Some(true),
            "NOSUPERUSER" => options.superuser = Some(false),
            "LOGIN" => options.login = Some(true),
            "NOLOGIN" => options.login = Some(false),
            "ENCRYPTED" => {
                cursor.expect("PASSWORD")?;
                options.password = Some(Some(cursor.string()?));
            }
            "PASSWORD" => {
                let none = cursor.accept("NULL");
                options.password = Some(if none { None } else { Some(cursor.string()?) });
            }
            // Rights that Nearlake does not tell apart: only a superuser makes roles and databases.
            "CREATEDB" | "NOCREATEDB" | "CREATEROLE" | "NOCREATEROLE" | "INHERIT" | "NOINHERIT"
            | "REPLICATION" | "NOREPLICATION" | "BYPASSRLS" | "NOBYPASSRLS" | "CREATEUSER"
            | "NOCREATEUSER" => {}
            "CONNECTION" => {
                cursor.expect("LIMIT")?;
                cursor.integer()?;
            }
            "VALID" => {
                cursor.expect("UNTIL")?;
                return Err(cursor.unsupported("VALID UNTIL"));
            }
            _ => {
                return Err(cursor.here(Error::unsupported(format!(
                    "role option {} is not supported",
                    word.to_lowercase()
                ))));
            }
        }
    }
    Ok(options)
}

/// Options of a sequence, and RESTART with its number.
pub(super) fn sequence_options(
    cursor: &mut Cursor<'_>,
) -> Result<(SequenceOptions, Option<Option<i64>>)> {
    let (mut options, mut restart) = (SequenceOptions::default(), None);
    loop {
        if cursor.accept("AS") {
            options.kind = Some(cursor.data_type()?);
        } else if cursor.accept("INCREMENT") {
            cursor.accept("BY");
            options.increment = Some(cursor.integer()?);
        } else if cursor.accept("START") {
            cursor.accept("WITH");
            options.start = Some(cursor.integer()?);
        } else if cursor.accept("RESTART") {
            cursor.accept("WITH");
            let is_number = matches!(
                cursor.peek().map(|token| &token.token),
                Some(Token::Number(..) | Token::Minus)
            );
            restart = Some(if is_number { Some(cursor.integer()?) } else { None });
        } else if cursor.accept("NO MINVALUE") {
            options.min = Some(None);
        } else if cursor.accept("MINVALUE") {
            options.min = Some(Some(cursor.integer()?));
        } else if cursor.accept("NO MAXVALUE") {
            options.max = Some(None);
        } else if cursor.accept("MAXVALUE") {
            options.max = Some(Some(cursor.integer()?));
        } else if cursor.accept("NO CYCLE") {
            options.cycle = Some(false);
        } else if cursor.accept("CYCLE") {
            options.cycle = Some(true);
        } else if cursor.accept("CACHE") {
            // How many values are reserved at once is the sequence's own business.
            cursor.integer()?;
        } else if cursor.accept("OWNED BY NONE") {
            options.owned_by = Some(None);
        } else if cursor.accept("OWNED BY") {
            let path = cursor.name()?;
            let table = path.schema.ok_or_else(|| {
                Error::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                    .hint("Specify OWNED BY table.column or OWNED BY NONE.")
                    .at(path.position)
            })?;
            let name = Name { schema: None, name: table, position: path.position };
            options.owned_by = Some(Some((name, path.name)));
        } else if cursor.accept("SEQUENCE NAME") {
            cursor.name()?;
        } else {
            return Ok((options, restart));
        }
    }
}

fn alter(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("ALTER")?;
    let start = cursor.clone();
    let word = cursor.word().unwrap_or_default();
    cursor.skip();
    Ok(match word.as_str() {
        "TABLE" => table_ddl::alter_table(cursor)?,
        "INDEX" => {
            let if_exists = cursor.if_exists();
            let name = cursor.name()?;
            Utility::AlterIndex { name, if_exists, action: alter_relation(cursor)? }
        }
        "VIEW" => {
            let if_exists = cursor.if_exists();
            let name = cursor.name()?;
            Utility::AlterView { name, if_exists, action: alter_relation(cursor)? }
        }
        "SEQUENCE" => {
            let if_exists = cursor.if_exists();
            let name = cursor.name()?;
            let is_relation = ["RENAME", "OWNER", "SET"].iter().any(|word| cursor.sees(word));
            let action = if is_relation {
                AlterSequence::Relation(alter_relation(cursor)?)
            } else {
                let (options, restart) = sequence_options(cursor)?;
                AlterSequence::Options { options, restart }
            };
            Utility::AlterSequence { name, if_exists, action }
        }
        "EMBEDDING" => {
            cursor.expect("MODEL")?;
            let if_exists = cursor.if_exists();
            Utility::AlterModel {
                name: cursor.identifier()?,
                if_exists,
                action: alter_model(cursor)?,
            }
        }
        "SCHEMA" => {
            Utility::AlterSchema { name: cursor.identifier()?, action: alter_relation(cursor)? }
        }
        "DATABASE" => {
            let name = cursor.identifier()?;
            let action = if cursor.accept("RENAME TO") {
                AlterDatabase::Rename(cursor.identifier()?)
            } else if cursor.accept("OWNER TO") {
                AlterDatabase::Owner(owner(cursor)?)
            } else if cursor.accept("SET") {
                let (name, value) = assignment(cursor)?;
                AlterDatabase::Set { name, value }
            } else if cursor.accept("RESET") {
                AlterDatabase::Reset(reset(cursor)?)
            } else {
                return Err(cursor.unexpected());
            };
            Utility::AlterDatabase { name, action }
        }
        "ROLE" | "USER" => {
            let name = owner(cursor)?;
            if cursor.accept("IN DATABASE") {
                return Err(start.unsupported("ALTER ROLE … IN DATABASE"));
            }
            let action = if cursor.accept("RENAME TO") {
                AlterRole::Rename(cursor.identifier()?)
            } else if cursor.accept("SET") {
                let (name, value) = assignment(cursor)?;
                AlterRole::Set { name, value }
            } else if cursor.accept("RESET") {
                AlterRole::Reset(reset(cursor)?)
            } else {
                cursor.accept("WITH");
                AlterRole::Options(role_options(cursor)?)
            };
            Utility::AlterRole { name, action }
        }
        "EXTENSION" => {
            let name = cursor.identifier()?;
            cursor.expect("UPDATE")?;
            let version = if cursor.accept("TO") { Some(cursor.value()?) } else { None };
            Utility::AlterExtension { name, version }
        }
        "WEBHOOK" => webhook_ddl::alter(cursor)?,
        "" => return Err(start.unexpected()),
        other => return Err(start.unsupported(&format!("ALTER {other}"))),
    })
}

fn alter_model(cursor: &mut Cursor<'_>) -> Result<AlterModel> {
    Ok(if cursor.accept("SET") {
        AlterModel::Set(cursor.options()?)
    } else if cursor.accept("ACCEPT FILES") {
        AlterModel::AcceptFiles
    } else if cursor.accept("RENAME TO") {
        AlterModel::Rename(cursor.identifier()?)
    } else if cursor.accept("OWNER TO") {
        AlterModel::Owner(owner(cursor)?)
    } else {
        return Err(cursor.unexpected());
    })
}

fn alter_relation(cursor: &mut Cursor<'_>) -> Result<AlterRelation> {
    Ok(if cursor.accept("RENAME TO") {
        AlterRelation::Rename(cursor.identifier()?)
    } else if cursor.accept("OWNER TO") {
        AlterRelation::Owner(owner(cursor)?)
    } else if cursor.accept("SET SCHEMA") {
        AlterRelation::SetSchema(cursor.identifier()?)
    } else if cursor.accept("SET") {
        AlterRelation::SetOptions(cursor.options()?)
    } else if cursor.accept("RESET") {
        AlterRelation::ResetOptions(cursor.identifiers()?)
    } else {
        return Err(cursor.unexpected());
    })
}

/// A role's name; `current_user` and kin stay as they are written.
pub(super) fn owner(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.identifier()
}

fn assignment(cursor: &mut Cursor<'_>) -> Result<(String, SetValue)> {
    let mut name = cursor.identifier()?;
    while cursor.accept_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    if !cursor.accept_token(&Token::Eq) {
        cursor.expect("TO")?;
    }
    Ok((name, commands::set_value(cursor)?))
}

fn reset(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    Ok(if cursor.accept("ALL") { None } else { Some(cursor.identifier()?) })
}

const KINDS: [(&str, ObjectKind); 14] = [
    ("TABLE", ObjectKind::Table),
    ("VIEW", ObjectKind::View),
    ("INDEX", ObjectKind::Index),
    ("SEQUENCE", ObjectKind::Sequence),
    ("SCHEMA", ObjectKind::Schema),
    ("DATABASE", ObjectKind::Database),
    ("ROLE", ObjectKind::Role),
    ("USER", ObjectKind::Role),
    ("EXTENSION", ObjectKind::Extension),
    ("MATERIALIZED VIEW", ObjectKind::MaterializedView),
    ("TYPE", ObjectKind::Type),
    ("DOMAIN", ObjectKind::Type),
    ("FUNCTION", ObjectKind::Function),
    ("PROCEDURE", ObjectKind::Function),
];

fn object_kind(cursor: &mut Cursor<'_>) -> Option<ObjectKind> {
    KINDS.iter().find(|(words, _)| cursor.accept(words)).map(|&(_, kind)| kind)
}

fn drop_objects(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("DROP")?;
    if cursor.accept("API KEY") {
        let if_exists = cursor.if_exists();
        return Ok(Utility::DropApiKey { name: cursor.identifier()?, if_exists });
    }
    if cursor.accept("WEBHOOK") {
        return webhook_ddl::drop(cursor);
    }
    if cursor.accept("EMBEDDING MODEL") {
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        if cursor.sees("CASCADE") {
            return Err(cursor
                .unsupported("DROP EMBEDDING MODEL … CASCADE")
                .hint("Give the columns that use it another expression, or drop them, first."));
        }
        cursor.accept("RESTRICT");
        return Ok(Utility::DropModel { name, if_exists });
    }
    let start = cursor.clone();
    let Some(object) = object_kind(cursor) else {
        return Err(match cursor.word() {
            Some(word) => start.unsupported(&format!("DROP {word}")),
            None => start.unexpected(),
        });
    };
    let concurrently = object == ObjectKind::Index && cursor.accept("CONCURRENTLY");
    let if_exists = cursor.if_exists();
    let names = cursor.list(|cursor| {
        let name = cursor.name()?;
        if object == ObjectKind::Function && cursor.sees_token(&Token::LParen) {
            cursor.group()?;
        }
        Ok(name)
    })?;
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    if cursor.accept("WITH") {
        cursor.options()?;
    }
    Ok(Utility::Drop(Drop { object, names, if_exists, cascade, concurrently }))
}

fn comment(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("COMMENT ON")?;
    let start = cursor.clone();
    let (object, name, column) = if cursor.accept("COLUMN") {
        let position = cursor.position();
        let mut parts = vec![cursor.identifier()?];
        while cursor.accept_token(&Token::Period) {
            parts.push(cursor.identifier()?);
        }
        let column = parts.pop();
        let Some(name) = parts.pop() else {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "column name must be qualified").at(position)
            );
        };
        (ObjectKind::Column, Name { schema: parts.pop(), name, position }, column)
    } else if cursor.accept("CONSTRAINT") {
        let constraint = cursor.identifier()?;
        cursor.expect("ON")?;
        (ObjectKind::Constraint, cursor.name()?, Some(constraint))
    } else if let Some(object) = object_kind(cursor) {
        (object, cursor.name()?, None)
    } else {
        return Err(start.unsupported(&format!("COMMENT ON {}", start.word().unwrap_or_default())));
    };
    cursor.expect("IS")?;
    let comment = if cursor.accept("NULL") { None } else { Some(cursor.string()?) };
    Ok(Utility::Comment { object, name, column, comment })
}

fn grant(cursor: &mut Cursor<'_>) -> Result<Utility> {
    let revoke = cursor.accept_one(&["GRANT", "REVOKE"]) == Some("REVOKE");
    if revoke {
        let _ = cursor.accept("GRANT OPTION FOR") || cursor.accept("ADMIN OPTION FOR");
    }
    let privileges = cursor.list(|cursor| {
        let mut name = cursor.identifier()?;
        if name == "all" {
            cursor.accept("PRIVILEGES");
        }
        if cursor.sees_token(&Token::LParen) {
            name = format!("{name} ({})", cursor.identifiers()?.join(", "));
        }
        Ok(name)
    })?;
    let (mut object, mut names) = (None, Vec::new());
    if cursor.accept("ON") {
        if cursor.accept("ALL") {
            cursor.skip();
            cursor.expect("IN SCHEMA")?;
            object = Some(ObjectKind::Schema);
        } else {
            object = Some(object_kind(cursor).unwrap_or(ObjectKind::Table));
        }
        names = cursor.list(|cursor| {
            let name = cursor.name()?;
            if cursor.sees_token(&Token::LParen) {
                cursor.group()?;
            }
            Ok(name)
        })?;
    }
    cursor.expect(if revoke { "FROM" } else { "TO" })?;
    let roles = cursor.list(|cursor| {
        cursor.accept("GROUP");
        cursor.identifier()
    })?;
    let _ = cursor.accept("WITH GRANT OPTION")
        || cursor.accept("WITH ADMIN OPTION")
        || cursor.accept("CASCADE")
        || cursor.accept("RESTRICT");
    if cursor.accept("GRANTED BY") {
        cursor.identifier()?;
    }
    Ok(Utility::Grant(Grant { revoke, privileges, object, names, roles }))
}

fn truncate(cursor: &mut Cursor<'_>) -> Result<Utility> {
    cursor.expect("TRUNCATE")?;
    cursor.accept("TABLE");
    let tables = cursor.list(|cursor| {
        cursor.accept("ONLY");
        let name = cursor.name()?;
        cursor.accept_token(&Token::Mul);
        Ok(name)
    })?;
    let restart_identity = cursor.accept("RESTART IDENTITY");
    if !restart_identity {
        cursor.accept("CONTINUE IDENTITY");
    }
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    Ok(Utility::Truncate { tables, restart_identity, cascade })
}

/// A query in CREATE TABLE … AS: any that gives rows.
pub(super) fn query(source: &Arc<Source>, cursor: &mut Cursor<'_>) -> Result<(Ast, bool)> {
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
    match parse_statement(source, tokens)? {
        query @ (Ast::Query(_) | Ast::Execute { .. }) => Ok((query, with_data)),
        _ => Err(source.unexpected(tokens.first())),
    }
}
