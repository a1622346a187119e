//! Generated columns: their values from the other columns of the row.

use crate::{
    catalog::{Column as TableColumn, Table},
    error::{Error, Result, SqlState},
    sql::{
        Context, Relations,
        binder::{Binder, Place, build},
        coerce::{Reason, bare},
        dml::{exact, has_subquery, row_scope},
        error::from_datafusion,
        parse::parse_expression,
        typed::Typed,
    },
};
use datafusion::{
    common::{
        Column,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility},
};
use std::sync::Arc;

impl Binder<'_> {
    /// Rows of a table, whose columns stand in a plan from `offset` on, with their generated
    /// columns computed.
    pub(crate) fn with_generated(
        &mut self,
        table: &Table,
        plan: LogicalPlan,
        offset: usize,
    ) -> Result<LogicalPlan> {
        if table.columns.iter().all(|column| column.generated.is_none()) {
            return Ok(plan);
        }
        let places = plan.schema().columns();
        let mut exprs: Vec<Expr> = places.iter().cloned().map(Expr::Column).collect();
        for (at, column) in table.columns.iter().enumerate() {
            if let Some(text) = &column.generated {
                let typed = self.generation(table, column, text, &places[offset..])?;
                let name = &places[offset + at].name;
                exprs[offset + at] = exact(typed, &column.kind).alias(name);
            }
        }
        build(LogicalPlanBuilder::from(plan).project(exprs))
    }

    /// The value of a generated column over a row.
    fn generation(
        &mut self,
        table: &Table,
        column: &TableColumn,
        text: &str,
        places: &[Column],
    ) -> Result<Typed> {
        let expr = parse_expression(text)?;
        let typed = self.apart(|binder| {
            binder.scopes.push(row_scope(table, &table.name, places));
            let place = Place::plain("column generation expressions");
            binder.in_place(place, |binder| binder.expr(&expr))
        })?;
        let kind = typed.kind.clone();
        self.coerce(typed, &column.kind, Reason::Assignment).map_err(|error| {
            if error.state() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" is of type {} but default expression is of type {}",
                    column.name,
                    bare(&column.kind),
                    bare(&kind)
                ),
            )
            .hint("You will need to rewrite or cast the expression.")
        })
    }

    fn check_generation(&mut self, table: &Table, column: &TableColumn, text: &str) -> Result<()> {
        let name = |column: &TableColumn| Column::new_unqualified(&column.name);
        let places: Vec<Column> = table.columns.iter().map(name).collect();
        let typed = self.generation(table, column, text, &places)?;
        if has_subquery(&typed.expr)? {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot use subquery in column generation expression",
            ));
        }
        let used = typed.expr.column_refs();
        let mut others = table.columns.iter().filter(|other| other.generated.is_some());
        if let Some(other) = others.find(|other| used.contains(&name(other))) {
            return Err(invalid(format!(
                "cannot use generated column \"{}\" in column generation expression",
                other.name
            ))
            .detail("A generated column cannot reference another generated column."));
        }
        if !is_immutable(&typed.expr)? {
            return Err(invalid("generation expression is not immutable".to_owned()));
        }
        Ok(())
    }
}

/// Checks the expressions of a table's generated columns.
///
/// # Errors
/// 42P17 for what may give another value for the same row, and those of binding.
pub fn check_generated(
    table: &Table,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<()> {
    for column in &table.columns {
        if let Some(text) = &column.generated {
            Binder::new(context, relations, None, &[]).check_generation(table, column, text)?;
        }
    }
    Ok(())
}

/// What PostgreSQL says of a column that only its expression may set.
pub(crate) fn refuse_value(column: &TableColumn, message: String) -> Result<()> {
    if column.generated.is_none() {
        return Ok(());
    }
    let detail = format!("Column \"{}\" is a generated column.", column.name);
    Err(Error::new(SqlState::new(b"428C9"), message).detail(detail))
}

/// What PostgreSQL says of a generated column in COPY.
pub(crate) fn refuse_copy(column: &TableColumn) -> Result<()> {
    if column.generated.is_none() {
        return Ok(());
    }
    let message = format!("column \"{}\" is a generated column", column.name);
    Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message)
        .detail("Generated columns cannot be used in COPY."))
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::new(b"42P17"), message)
}

pub(super) fn is_immutable(expr: &Expr) -> Result<bool> {
    let mut immutable = true;
    expr.apply(|part| {
        if let Expr::ScalarFunction(function) = part {
            immutable &= function.func.signature().volatility == Volatility::Immutable;
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(from_datafusion)?;
    Ok(immutable)
}
