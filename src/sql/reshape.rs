//! Rows of a query under other names, and as other types.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, build},
        functions::call::call,
        typed::{Rows, RowsColumn, Typed, bare, unique},
    },
};
use datafusion::{
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use std::{collections::HashSet, sync::Arc};

impl Binder<'_> {
    /// Columns that are still untyped become text.
    pub(crate) fn settle_rows(&mut self, rows: Rows) -> Result<Rows> {
        if rows.columns.iter().all(|column| column.kind != PgType::Unknown) {
            return Ok(rows);
        }
        let columns = rows.columns.into_iter().map(|column| match column.kind {
            PgType::Unknown => RowsColumn { kind: PgType::Text, ..column },
            _ => column,
        });
        Ok(Rows { plan: rows.plan, columns: columns.collect() })
    }

    /// Columns as other types.
    pub(crate) fn cast_rows(&mut self, rows: Rows, kinds: &[PgType], what: &str) -> Result<Rows> {
        let same = rows.columns.iter().zip(kinds).all(|(column, kind)| column.kind == *kind);
        if same {
            return Ok(rows);
        }
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        let mut taken = HashSet::new();
        for (column, kind) in rows.columns.into_iter().zip(kinds) {
            let typed = Typed::new(Expr::Column(column.column.clone()), column.kind.clone());
            let typed = self.shaped(typed, kind).map_err(|_| {
                Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "{what} types {} and {} cannot be matched",
                        bare(&column.kind),
                        bare(kind)
                    ),
                )
            })?;
            let name = unique(&mut taken, &column.name);
            exprs.push(typed.expr.alias(&name));
            columns.push(RowsColumn {
                column: Column::new_unqualified(name),
                kind: kind.clone(),
                ..column
            });
        }
        let plan = build(LogicalPlanBuilder::from(rows.plan).project(exprs))?;
        Ok(Rows { plan, columns })
    }

    /// Columns without qualifiers, each name there once.
    pub(crate) fn named_columns(&mut self, rows: Rows) -> Result<Rows> {
        let mut taken = HashSet::new();
        let names: Vec<String> = rows.columns.iter().map(|c| unique(&mut taken, &c.name)).collect();
        project_as(rows, &names)
    }

    /// Columns whose fields say nothing but their Arrow type: both parts of a recursion must be
    /// alike in all that a field says.
    pub(super) fn unlabelled(&mut self, rows: Rows) -> Result<Rows> {
        let plan = self.without_labels(rows.plan)?;
        Ok(Rows { plan, ..rows })
    }

    /// The plan with fields that say nothing but their Arrow type.
    pub(crate) fn without_labels(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let exprs: Vec<Expr> = plan
            .schema()
            .iter()
            .map(|(qualifier, field)| {
                let kind = PgType::of_field(field);
                let plain = self
                    .own("plain", vec![kind.clone()], kind, |args| Ok(Arc::clone(&args.arrays[0])));
                let column = Expr::Column(Column::from((qualifier, field)));
                call(plain, vec![column]).alias(field.name())
            })
            .collect();
        build(LogicalPlanBuilder::from(plan).project(exprs))
    }

    /// Columns under the names of another's.
    pub(super) fn named_as(&mut self, rows: Rows, other: &Rows) -> Result<Rows> {
        let names: Vec<String> = other.columns.iter().map(|c| c.column.name.clone()).collect();
        project_as(rows, &names)
    }
}

fn project_as(rows: Rows, names: &[String]) -> Result<Rows> {
    let done = rows
        .columns
        .iter()
        .zip(names)
        .all(|(c, name)| c.column.relation.is_none() && c.column.name == *name)
        && rows.plan.schema().fields().len() == rows.columns.len();
    if done {
        return Ok(rows);
    }
    let exprs: Vec<Expr> = rows
        .columns
        .iter()
        .zip(names)
        .map(|(column, name)| Expr::Column(column.column.clone()).alias(name))
        .collect();
    let plan = build(LogicalPlanBuilder::from(rows.plan).project(exprs))?;
    let columns = rows
        .columns
        .into_iter()
        .zip(names)
        .map(|(column, name)| RowsColumn {
            column: Column::new_unqualified(name.clone()),
            ..column
        })
        .collect();
    Ok(Rows { plan, columns })
}

/// Columns under the names that an alias gives them.
pub(crate) fn rename(rows: Rows, names: &[String], alias: &str) -> Result<Rows> {
    if names.len() > rows.columns.len() {
        return Err(Error::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            format!(
                "table \"{alias}\" has {} columns available but {} columns specified",
                rows.columns.len(),
                names.len()
            ),
        ));
    }
    let mut columns = rows.columns;
    for (column, name) in columns.iter_mut().zip(names) {
        column.name.clone_from(name);
    }
    Ok(Rows { plan: rows.plan, columns })
}
