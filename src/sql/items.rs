//! The SELECT list, and what names a column of it by its name or number.

use crate::{
    error::{Error, Result, SqlState},
    ids::{ColumnId, TableId},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        names::output_name,
        tokens::fold,
        typed::{Hiding, ScopeColumn, Typed},
    },
};
use datafusion::{
    logical_expr::Expr,
    sql::sqlparser::ast::{self, SelectItem, Spanned},
};

/// A column of the SELECT list.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) typed: Typed,
    pub(super) origin: Option<(TableId, ColumnId)>,
}

impl Binder<'_> {
    /// The SELECT list, `*` expanded.
    pub(super) fn items(
        &mut self,
        list: &[SelectItem],
        expected: Option<&[PgType]>,
    ) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in list {
            match item {
                SelectItem::UnnamedExpr(expr) => self.item(expr, None, expected, &mut items)?,
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.item(expr, Some(fold(alias)), expected, &mut items)?;
                }
                SelectItem::Wildcard(_) => {
                    let Some(scope) = self.scopes.last().filter(|scope| !scope.is_empty()) else {
                        return Err(Error::new(
                            SqlState::SYNTAX_ERROR,
                            "SELECT * with no tables specified is not valid",
                        ));
                    };
                    for column in scope.iter().filter(|c| c.hidden == Hiding::Not) {
                        self.needs.read(&column.expr);
                        items.push(star(column));
                    }
                }
                SelectItem::QualifiedWildcard(kind, _) => {
                    let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(Error::unsupported("expanding a row value is not supported"));
                    };
                    let span = name.span();
                    let name = self.object_name(name)?;
                    let scope = self.scopes.last().into_iter().flatten();
                    let found: Vec<Item> = scope
                        .filter(|c| c.hidden != Hiding::System)
                        .filter(|c| c.table.as_ref() == Some(&name.name))
                        .inspect(|c| self.needs.read(&c.expr))
                        .map(star)
                        .collect();
                    if found.is_empty() {
                        let error = Error::new(
                            SqlState::UNDEFINED_TABLE,
                            format!("missing FROM-clause entry for table \"{}\"", name.name),
                        );
                        return Err(self.at(error, span));
                    }
                    items.extend(found);
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::new(SqlState::SYNTAX_ERROR, "a column has one alias"));
                }
            }
        }
        Ok(items)
    }

    fn item(
        &mut self,
        expr: &ast::Expr,
        alias: Option<String>,
        expected: Option<&[PgType]>,
        items: &mut Vec<Item>,
    ) -> Result<()> {
        let typed = self.expr(expr)?;
        // An untyped literal or parameter takes the type that it is for.
        let typed = match expected.and_then(|kinds| kinds.get(items.len())) {
            Some(kind) if typed.is_unknown() => self.coerce(typed, kind, Reason::Assignment)?,
            // A parameter that nothing tells the type of is text.
            _ if typed.is_unknown() && typed.untyped().is_none() => self.settle(typed)?,
            _ => typed,
        };
        let origin = match &typed.expr {
            Expr::Column(column) => self
                .scopes
                .last()
                .and_then(|scope| {
                    scope.iter().find(|c| matches!(&c.expr, Expr::Column(other) if other == column))
                })
                .and_then(|column| column.origin),
            _ => None,
        };
        let name = alias.unwrap_or_else(|| output_name(expr));
        items.push(Item { name, typed, origin });
        Ok(())
    }

    /// An expression of ORDER BY, GROUP BY or DISTINCT ON: an output column by name or number, or
    /// an expression over FROM's columns.
    pub(super) fn order_expr(
        &mut self,
        expr: &ast::Expr,
        items: &[Item],
    ) -> Result<(Typed, Option<usize>)> {
        if let Some(place) = self.output_number(expr, items, self.place.clause)? {
            return Ok((items[place].typed.clone(), Some(place)));
        }
        if let ast::Expr::Identifier(ident) = expr {
            let name = fold(ident);
            let mut named = items.iter().enumerate().filter(|(_, item)| item.name == name);
            if let Some((place, item)) = named.next() {
                if named.any(|(_, other)| other.typed.expr != item.typed.expr) {
                    let error = Error::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("ORDER BY \"{name}\" is ambiguous"),
                    );
                    return Err(self.at(error, ident.span));
                }
                return Ok((item.typed.clone(), Some(place)));
            }
        }
        let typed = self.expr(expr)?;
        Ok((self.settle(typed)?, None))
    }

    pub(super) fn output_number(
        &self,
        expr: &ast::Expr,
        items: &[Item],
        clause: &str,
    ) -> Result<Option<usize>> {
        let ast::Expr::Value(value) = expr else { return Ok(None) };
        let ast::Value::Number(digits, _) = &value.value else { return Ok(None) };
        match digits.parse::<usize>() {
            Ok(number) if (1..=items.len()).contains(&number) => Ok(Some(number - 1)),
            _ => {
                let error = Error::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    format!("{clause} position {digits} is not in select list"),
                );
                Err(self.at(error, value.span))
            }
        }
    }
}

fn star(column: &ScopeColumn) -> Item {
    Item {
        name: column.name.clone(),
        typed: Typed::new(column.expr.clone(), column.kind.clone()),
        origin: column.origin,
    }
}
