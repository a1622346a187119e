//! `old` and `new` in RETURNING: the row as it was before the change, and as it is afterwards.

use crate::{
    catalog::Table,
    error::{Error, Result, SqlState},
    sql::{
        error::from_datafusion,
        tokens::{fold, returning_names},
        typed::{Hiding, ScopeColumn},
    },
};
use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{Case, Expr, lit},
    sql::sqlparser::ast::{self, SelectItem, SelectItemQualifiedWildcardKind},
};
use std::ops::ControlFlow;

/// What is known of a row besides what it is when RETURNING is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is new, and there was none.
    Inserted,
    /// It is new, and in the place of another or of none.
    Upserted,
    /// It is new, and in the place of another.
    Updated,
    /// It is old, and there is none.
    Deleted,
    /// Any of these: what comes along says which.
    Merged,
}

/// The names of both rows.
pub(super) struct Images<'l> {
    old: &'l str,
    new: &'l str,
    /// What is returned.
    pub(super) list: &'l [SelectItem],
}

/// Where the values of both rows stand in a plan.
pub(super) struct Places<'p> {
    /// Those of the changed row.
    pub(super) row: &'p [Column],
    /// Those of the old row, of some columns of the table.
    pub(super) old: Vec<(usize, &'p Column)>,
    /// What MERGE did.
    pub(super) action: Option<&'p Column>,
}

impl<'l> Images<'l> {
    /// The names that RETURNING gives, `old` and `new` where it gives none.
    ///
    /// # Errors
    /// 42601 for a name that is given twice.
    pub(super) fn named(list: &'l [SelectItem]) -> Result<Self> {
        let mut images = Self { old: "old", new: "new", list };
        let Some((names, rest)) =
            list.split_first().and_then(|(first, rest)| Some((returning_names(first)?, rest)))
        else {
            return Ok(images);
        };
        images.list = rest;
        let twice = |which: &str| {
            let message = format!("{} cannot be specified multiple times", which.to_uppercase());
            Error::new(SqlState::SYNTAX_ERROR, message)
        };
        for which in ["old", "new"] {
            let mut given = names.iter().filter(|(other, _)| *other == which);
            let Some((_, name)) = given.next() else { continue };
            if given.next().is_some() {
                return Err(twice(which));
            }
            match which {
                "old" => images.old = name,
                _ => images.new = name,
            }
        }
        if images.old == images.new {
            let message = format!("table name \"{}\" specified more than once", images.old);
            return Err(Error::new(SqlState::DUPLICATE_ALIAS, message));
        }
        Ok(images)
    }

    /// Whether either is asked for.
    pub(super) fn are_asked(&self) -> bool {
        let is_image = |ident: &ast::Ident| [self.old, self.new].contains(&fold(ident).as_str());
        let is_starred = |item: &SelectItem| match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                name.0.first().and_then(|part| part.as_ident()).is_some_and(is_image)
            }
            _ => false,
        };
        let list = self.list.to_vec();
        let named = ast::visit_expressions(&list, |expr| match expr {
            ast::Expr::Identifier(ident) if is_image(ident) => ControlFlow::Break(()),
            ast::Expr::CompoundIdentifier(idents) if idents.first().is_some_and(is_image) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        named.is_break() || self.list.iter().any(is_starred)
    }

    /// The columns of both rows, found under their names alone. A table of such a name is meant itself.
    pub(super) fn columns(
        &self,
        table: &Table,
        known: Known,
        places: &Places<'_>,
        taken: &[ScopeColumn],
    ) -> Result<Vec<ScopeColumn>> {
        let mut columns = Vec::new();
        for (name, is_old) in [(self.old, true), (self.new, false)] {
            if taken.iter().any(|column| column.table.as_deref() == Some(name)) {
                continue;
            }
            for (place, column) in table.columns.iter().enumerate() {
                let none = ScalarValue::try_from(&column.kind.arrow()).map_err(from_datafusion)?;
                let none = Expr::Literal(none, None);
                let row = Expr::Column(places.row[place].clone());
                let expr = match (known, is_old) {
                    (Known::Inserted, true) | (Known::Deleted, false) => none,
                    (Known::Merged, false) => unless_deleted(places.action, row, none),
                    (_, false) | (Known::Deleted, true) => row,
                    (_, true) => {
                        let old = places.old.iter().find(|(of, _)| *of == place);
                        match old {
                            Some((_, old)) => Expr::Column((*old).clone()),
                            // Nothing asks for it.
                            None => continue,
                        }
                    }
                };
                columns.push(ScopeColumn {
                    table: Some(name.to_owned()),
                    schema: None,
                    name: column.name.clone(),
                    kind: column.kind.clone(),
                    expr,
                    origin: Some((table.id, column.id)),
                    hidden: Hiding::Merged,
                });
            }
        }
        Ok(columns)
    }
}

/// The row, and nothing where MERGE deleted it.
fn unless_deleted(action: Option<&Column>, row: Expr, none: Expr) -> Expr {
    let Some(action) = action else { return row };
    let is_deleted = Expr::Column(action.clone()).eq(lit("DELETE"));
    Expr::Case(Case {
        expr: None,
        when_then_expr: vec![(Box::new(is_deleted), Box::new(none))],
        else_expr: Some(Box::new(row)),
    })
}
