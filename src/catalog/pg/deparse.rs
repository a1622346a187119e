//! Definitions as SQL: what `pg_get_indexdef`, `pg_get_constraintdef`, `pg_get_viewdef` and
//! `pg_get_expr` answer, in PostgreSQL's words.

use super::{
    index::keys,
    names::{Scope, quote_ident},
    types,
};
use crate::{
    catalog::{Column, Constraint, ConstraintKind, Index, IndexKind, Relation, Table, View},
    ids::{ColumnId, Oid},
};
use std::fmt::Write;

/// `CREATE INDEX …` of an index; `None` where there is no index of that oid.
#[must_use]
pub fn index(scope: &Scope<'_>, oid: Oid) -> Option<String> {
    match scope.catalog.relation(oid)? {
        Relation::Index(index) => {
            let table = scope.catalog.table(index.table)?;
            Some(made_index(scope, &index, table))
        }
        Relation::Key(table, place) => Some(key_index(scope, &table, &table.constraints[place])),
        _ => None,
    }
}

/// One column of an index, without operator class and order; number 0 is the whole definition.
#[must_use]
pub fn index_column(scope: &Scope<'_>, oid: Oid, number: i32) -> Option<String> {
    if number == 0 {
        return index(scope, oid);
    }
    let place = usize::try_from(number - 1).ok()?;
    match scope.catalog.relation(oid)? {
        Relation::Index(index) => {
            let table = scope.catalog.table(index.table)?;
            let key = keys(&index, table).into_iter().nth(place)?;
            Some(match key.column {
                Some(column) => quote_ident(&column.name).into_owned(),
                None => key.text,
            })
        }
        Relation::Key(table, constraint) => {
            let (ConstraintKind::PrimaryKey { columns } | ConstraintKind::Unique { columns, .. }) =
                &table.constraints[constraint].kind
            else {
                return None;
            };
            let column = table.column_by_id(*columns.get(place)?)?;
            Some(quote_ident(&column.name).into_owned())
        }
        _ => None,
    }
}

/// The index of a key.
pub(super) fn key_index(scope: &Scope<'_>, table: &Table, key: &Constraint) -> String {
    let (ConstraintKind::PrimaryKey { columns } | ConstraintKind::Unique { columns, .. }) =
        &key.kind
    else {
        return String::new();
    };
    format!(
        "CREATE UNIQUE INDEX {} ON {} USING btree ({}){}",
        quote_ident(&key.name),
        qualified(scope, table),
        names(table, columns),
        if key.kind.nulls_not_distinct() { " NULLS NOT DISTINCT" } else { "" }
    )
}

/// An index that CREATE INDEX made.
pub(super) fn made_index(scope: &Scope<'_>, index: &Index, table: &Table) -> String {
    let method = types::method(&index.method);
    let all = keys(index, table);
    let own = all.iter().filter(|key| !key.included).map(|key| match (&key.column, &key.class) {
        (Some(column), Some(class)) if matches!(index.kind, IndexKind::Vector { .. }) => {
            let name = quote_ident(&column.name);
            let known = types::class_named(method, class).and_then(types::class_name);
            if known.is_some_and(|(_, is_default)| is_default) {
                return name.into_owned();
            }
            format!("{name} {class}")
        }
        _ => key.text.clone(),
    });
    let mut sql = format!(
        "CREATE INDEX {} ON {} USING {} ({})",
        quote_ident(&index.name),
        qualified(scope, table),
        quote_ident(&index.method),
        own.collect::<Vec<_>>().join(", ")
    );
    let included: Vec<_> =
        all.iter().filter(|key| key.included).map(|key| key.text.as_str()).collect();
    // Writing to a String cannot fail.
    if !included.is_empty() {
        let _ = write!(sql, " INCLUDE ({})", included.join(", "));
    }
    if !index.options.is_empty() {
        let option = |(name, value): (&String, &String)| {
            format!("{}='{}'", quote_ident(name), value.replace('\'', "''"))
        };
        let options: Vec<_> = index.options.iter().map(option).collect();
        let _ = write!(sql, " WITH ({})", options.join(", "));
    }
    if let IndexKind::Recorded { predicate: Some(predicate), .. } = &index.kind {
        let _ = write!(sql, " WHERE {}", enclosed(predicate));
    }
    sql
}

/// The definition of a constraint; `None` where there is none of that oid.
#[must_use]
pub fn constraint(scope: &Scope<'_>, oid: Oid) -> Option<String> {
    let of_table = scope
        .catalog
        .tables()
        .find_map(|table| Some((table, table.constraints.iter().find(|c| c.id == oid)?)));
    if let Some((table, constraint)) = of_table {
        return Some(table_constraint(scope, table, constraint));
    }
    let mut of_domains = scope.catalog.domains().flat_map(|domain| &domain.checks);
    of_domains.find(|rule| rule.id == oid).map(|rule| check(&rule.expression))
}

/// The definition of a constraint of a table.
pub(super) fn table_constraint(
    scope: &Scope<'_>,
    table: &Table,
    constraint: &Constraint,
) -> String {
    match &constraint.kind {
        ConstraintKind::PrimaryKey { columns } => {
            format!("PRIMARY KEY ({})", names(table, columns))
        }
        ConstraintKind::Unique { columns, nulls_not_distinct, .. } => {
            let nulls = if *nulls_not_distinct { "NULLS NOT DISTINCT " } else { "" };
            format!("UNIQUE {nulls}({})", names(table, columns))
        }
        ConstraintKind::Check { expression } => check(expression),
        ConstraintKind::ForeignKey { columns, references, referenced, actions } => {
            let other = scope.catalog.table(*references);
            let to = match other {
                Some(other) => {
                    let name = scope.class(*references).unwrap_or_else(|| references.to_string());
                    format!("{name}({})", names(other, referenced))
                }
                None => references.to_string(),
            };
            let actions = actions.trim();
            let space = if actions.is_empty() { "" } else { " " };
            format!("FOREIGN KEY ({}) REFERENCES {to}{space}{actions}", names(table, columns))
        }
    }
}

/// `CHECK (…)` around an expression.
fn check(expression: &str) -> String {
    let expression = expression.trim();
    let inner = if is_call(expression) { expression.to_owned() } else { enclosed(expression) };
    format!("CHECK ({inner})")
}

/// The query of a view, as PostgreSQL gives it: with a space before and a semicolon behind.
#[must_use]
pub fn view(view: &View) -> String {
    format!(" {};", view.query.trim().trim_end_matches(';').trim_end())
}

/// The default of a column, or what generates it. A literal says its type, as it does in PostgreSQL.
#[must_use]
pub fn default_expression(scope: &Scope<'_>, column: &Column) -> Option<String> {
    if let Some(generated) = &column.generated {
        return Some(format!("({})", generated.trim()));
    }
    // A sequence is named as the reader would name it.
    let counts = |default: &&String| column.sequence.is_some() && default.starts_with("nextval(");
    if let Some(default) = column.default.as_ref().filter(|default| !counts(default)) {
        let default = default.trim();
        let bare = crate::pgtype::PgType::from_oid(column.kind.oid(), -1);
        return Some(match bare {
            Some(kind) if is_text_literal(default) => match kind {
                crate::pgtype::PgType::Bpchar(_) => format!("{default}::bpchar"),
                kind => format!("{default}::{kind}"),
            },
            None if is_text_literal(default) => {
                match scope.type_name(Oid(column.kind.oid()), None) {
                    Some(own) => format!("{default}::{own}"),
                    None => default.to_owned(),
                }
            }
            _ => default.to_owned(),
        });
    }
    let name = scope.class(column.sequence?)?;
    Some(format!("nextval('{}'::regclass)", name.replace('\'', "''")))
}

/// A qualified name of a table.
fn qualified(scope: &Scope<'_>, table: &Table) -> String {
    let schema = scope.catalog.schema(table.schema).map_or("", |schema| &schema.name);
    format!("{}.{}", quote_ident(schema), quote_ident(&table.name))
}

/// Names of columns, in order.
fn names(table: &Table, columns: &[ColumnId]) -> String {
    let name = |&id: &ColumnId| table.column_by_id(id).map(|column| quote_ident(&column.name));
    columns.iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

/// Whether a text is one string literal and nothing else.
fn is_text_literal(text: &str) -> bool {
    let inner = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inner.is_some_and(|inner| !inner.replace("''", "").contains('\''))
}

/// An expression within parentheses: those that it has, or new ones.
pub(super) fn enclosed(expression: &str) -> String {
    let expression = expression.trim();
    if expression.starts_with('(') && closing(expression) == Some(expression.len() - 1) {
        return expression.to_owned();
    }
    format!("({expression})")
}

/// Whether an expression is the call of a function and nothing else.
fn is_call(expression: &str) -> bool {
    let Some(start) = expression.find('(').filter(|&start| start > 0) else { return false };
    let is_name = expression[..start].chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    is_name && closing(&expression[start..]) == Some(expression.len() - start - 1)
}

/// Where the parenthesis closes with which a text begins.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (place, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(place);
                }
            }
            _ => {}
        }
    }
    None
}
