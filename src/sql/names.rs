//! The names that PostgreSQL gives to columns without an alias.

use crate::sql::{
    named::{TypeName, type_name},
    tokens::{fold, sql_json::JSON},
};
use datafusion::sql::sqlparser::ast::{self, AccessExpr, Expr};

/// The name of an expression's column.
pub(crate) fn output_name(expr: &Expr) -> String {
    name(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// The name and how sure it is: 2 for a name that was written, 1 for one that the form suggests.
fn name(expr: &Expr) -> Option<(String, u8)> {
    let sure = |name: &str| Some((name.to_owned(), 2));
    let weak = |name: &str| Some((name.to_owned(), 1));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), 2)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (fold(ident), 2)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name(inner),
        Expr::Function(function) => {
            let last = function.name.0.last().and_then(|part| part.as_ident()).map(fold)?;
            Some((visible_name(last), 2))
        }
        Expr::Cast { expr, data_type, .. } => match name(expr) {
            Some((name, 2)) => Some((name, 2)),
            other => typname(data_type).map(|name| (name, 1)).or(other),
        },
        Expr::TypedString(typed) => typname(&typed.data_type).map(|name| (name, 1)),
        Expr::Interval(_) => weak("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(name) {
            Some((name, 2)) => Some((name, 2)),
            _ => weak("case"),
        },
        Expr::Array(_) => sure("array"),
        Expr::Exists { negated: false, .. } => sure("exists"),
        Expr::Subquery(query) => match query.body.as_ref() {
            ast::SetExpr::Select(select) => match select.projection.first()? {
                ast::SelectItem::UnnamedExpr(expr) => name(expr),
                ast::SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), 2)),
                _ => None,
            },
            _ => None,
        },
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some((fold(ident), 2)),
                _ => None,
            });
            field.or_else(|| name(root))
        }
        Expr::AtTimeZone { .. } => sure("timezone"),
        Expr::Extract { .. } => sure("extract"),
        Expr::Position { .. } => sure("position"),
        Expr::Substring { shorthand: true, .. } => sure("substr"),
        Expr::Substring { .. } => sure("substring"),
        Expr::Overlay { .. } => sure("overlay"),
        Expr::Ceil { .. } => sure("ceil"),
        Expr::Floor { .. } => sure("floor"),
        Expr::Trim { trim_where, .. } => sure(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Tuple(_) => sure("row"),
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => sure("overlaps"),
        _ => None,
    }
}

/// The name of a function: those of SQL/JSON have a space for what is written with a line below.
pub(crate) fn visible_name(name: String) -> String {
    match name.as_str() {
        JSON => "json".to_owned(),
        "json array query" => "json_array".to_owned(),
        _ if name.starts_with("json ") => name.replace(' ', "_"),
        _ => name,
    }
}

/// The name of a type, of an array that of its elements.
fn typname(data_type: &ast::DataType) -> Option<String> {
    Some(match type_name(data_type).ok()? {
        TypeName::Known(kind) => kind.element().typname(),
        TypeName::Named { name, .. } => name.name,
    })
}

/// The names that an alias gives to columns.
pub(crate) fn alias_names(alias: Option<&ast::TableAlias>) -> Vec<String> {
    alias.iter().flat_map(|alias| &alias.columns).map(|column| fold(&column.name)).collect()
}
