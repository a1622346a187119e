//! RETURNING: a projection of changed rows.

use super::row_scope;
use crate::{
    catalog::Table,
    error::Result,
    sql::{
        Plan, ROW_COLUMN, Returning,
        binder::{Binder, build},
        needs::Mention,
        typed::{Hiding, ScopeColumn, unique},
    },
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::ast,
};
use std::{collections::HashSet, sync::Arc};

/// A column of FROM or USING, with the type that it has in the plan.
type Along = (ScopeColumn, DataType);

impl Binder<'_> {
    /// What FROM or USING offers beside the table whose rows change, for RETURNING.
    pub(super) fn along(&self, wanted: bool) -> Vec<ScopeColumn> {
        let scope = self.scopes.last().filter(|_| wanted).map_or(&[][..], Vec::as_slice);
        let own = scope.iter().position(|column| column.name == ROW_COLUMN);
        let others = own.map_or(&[][..], |own| &scope[own + 1..]);
        others.iter().filter(|column| column.hidden != Hiding::System).cloned().collect()
    }

    /// RETURNING over changed rows and the columns that come along at the end of `source`, which
    /// keeps those of them that RETURNING names.
    pub(super) fn returning_along(
        &mut self,
        (table, mention): (&Arc<Table>, Mention),
        visible: &str,
        list: Option<&[ast::SelectItem]>,
        along: &[ScopeColumn],
        source: LogicalPlan,
    ) -> Result<(Option<Returning>, LogicalPlan)> {
        let places = source.schema().columns();
        let own = places.len() - along.len();
        let kinds = source.schema().fields()[own..].iter().map(|field| field.data_type().clone());
        let along: Vec<Along> = along.iter().cloned().zip(kinds).collect();
        let returning = self.returning((table, mention), Some(visible), list, &along)?;
        let Some(made) = returning.as_ref().filter(|_| !along.is_empty()) else {
            return Ok((returning, source));
        };
        let used = named_columns(made.plan.logical())?;
        let fields = made.input.schema().fields();
        let is_used = |at: usize| used.contains(fields[fields.len() - along.len() + at].name());
        let kept: Vec<usize> = (0..along.len()).filter(|&at| is_used(at)).collect();
        if kept.len() == along.len() {
            return Ok((returning, source));
        }
        let exprs = (0..own).chain(kept.iter().map(|at| own + at));
        let exprs: Vec<Expr> = exprs.map(|at| Expr::Column(places[at].clone())).collect();
        let source = build(LogicalPlanBuilder::from(source).project(exprs))?;
        let along: Vec<Along> = kept.into_iter().map(|at| along[at].clone()).collect();
        Ok((self.returning((table, mention), Some(visible), list, &along)?, source))
    }

    /// RETURNING over changed rows and what comes along with them.
    pub(super) fn returning(
        &mut self,
        (table, mention): (&Arc<Table>, Mention),
        alias: Option<&str>,
        list: Option<&[ast::SelectItem]>,
        along: &[Along],
    ) -> Result<Option<Returning>> {
        let Some(list) = list else { return Ok(None) };
        let mut taken = HashSet::new();
        let mut fields = Vec::with_capacity(table.columns.len() + along.len());
        for column in &table.columns {
            fields.push(column.kind.field(&unique(&mut taken, &column.name), true));
        }
        for (column, kind) in along {
            fields.push(Field::new(unique(&mut taken, &column.name), kind.clone(), true));
        }
        let (input, plan) = self.slot(Arc::new(Schema::new(fields)), &table.name)?;
        let visible = alias.unwrap_or(&table.name);
        let places = plan.schema().columns();
        let mut scope = row_scope(table, visible, &places);
        self.needs.offer(mention, &scope, table.columns.iter().map(|column| column.id));
        for ((column, _), place) in along.iter().zip(&places[table.columns.len()..]) {
            let expr = Expr::Column(place.clone());
            self.needs.offer_again(&column.expr, &expr);
            scope.push(ScopeColumn { expr, ..column.clone() });
        }
        let outer = std::mem::take(&mut self.scopes);
        self.scopes.push(scope);
        let rows = self.returned(plan, list);
        self.scopes = outer;
        let rows = self.settle_rows(rows?)?;
        let (plan, columns) = self.output(rows)?;
        Ok(Some(Returning { input, plan: Plan::new(plan), columns }))
    }
}

/// The names of the columns that a plan's expressions name, without their tables.
fn named_columns(plan: &LogicalPlan) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = part {
                    names.insert(column.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(crate::sql::error::from_datafusion)?;
    Ok(names)
}
