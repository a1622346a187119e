//! RETURNING: a projection of changed rows.

use super::{
    images::{Images, Known, Places},
    row_scope,
};
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
pub(super) type Along = (ScopeColumn, DataType);

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
        (visible, known): (&str, Known),
        list: Option<&[ast::SelectItem]>,
        along: &[ScopeColumn],
        source: LogicalPlan,
    ) -> Result<(Option<Returning>, LogicalPlan)> {
        let places = source.schema().columns();
        let own = places.len() - along.len();
        let kinds = source.schema().fields()[own..].iter().map(|field| field.data_type().clone());
        let along: Vec<Along> = along.iter().cloned().zip(kinds).collect();
        let visible = (Some(visible), known);
        let returning = self.returning((table, mention), visible, list, &along)?;
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
        Ok((self.returning((table, mention), visible, list, &along)?, source))
    }

    /// RETURNING over changed rows and what comes along with them.
    pub(super) fn returning(
        &mut self,
        (table, mention): (&Arc<Table>, Mention),
        (alias, known): (Option<&str>, Known),
        list: Option<&[ast::SelectItem]>,
        along: &[Along],
    ) -> Result<Option<Returning>> {
        let Some(list) = list else { return Ok(None) };
        let images = Images::named(list)?;
        let of = (table, mention, alias.unwrap_or(&table.name), known);
        let keeps_old = matches!(known, Known::Upserted | Known::Updated | Known::Merged);
        if !keeps_old || !images.are_asked() {
            return self.returning_of(of, &images, along, Vec::new()).map(Some);
        }
        // What is read of the old rows shows once the list is bound.
        let all = (0..table.columns.len()).collect();
        let made = self.returning_of(of, &images, along, all)?;
        let used = named_columns(made.plan.logical())?;
        let fields = &made.input.schema().fields()[table.columns.len()..];
        let is_used = |place: &usize| used.contains(fields[*place].name());
        let some: Vec<usize> = (0..table.columns.len()).filter(is_used).collect();
        self.returning_of(of, &images, along, some).map(Some)
    }

    /// The same, given of which columns the old values are there.
    fn returning_of(
        &mut self,
        (table, mention, visible, known): (&Arc<Table>, Mention, &str, Known),
        images: &Images<'_>,
        along: &[Along],
        old: Vec<usize>,
    ) -> Result<Returning> {
        let mut taken = HashSet::new();
        let width = table.columns.len();
        let mut fields = Vec::with_capacity(width + old.len() + along.len());
        let shown = table.columns.iter().chain(old.iter().map(|&place| &table.columns[place]));
        for column in shown {
            fields.push(column.kind.field(&unique(&mut taken, &column.name), true));
        }
        for (column, kind) in along {
            fields.push(Field::new(unique(&mut taken, &column.name), kind.clone(), true));
        }
        let (input, plan) = self.slot(Arc::new(Schema::new(fields)), &table.name)?;
        let places = plan.schema().columns();
        let mut scope = row_scope(table, visible, &places);
        self.needs.offer(mention, &scope, table.columns.iter().map(|column| column.id));
        let (behind, beside) = places[width..].split_at(old.len());
        for ((column, _), place) in along.iter().zip(beside) {
            let expr = Expr::Column(place.clone());
            self.needs.offer_again(&column.expr, &expr);
            scope.push(ScopeColumn { expr, ..column.clone() });
        }
        // `*` of MERGE gives the source first.
        if known == Known::Merged {
            scope.rotate_left(width);
        }
        if images.are_asked() {
            let old: Vec<_> = old.iter().copied().zip(behind).collect();
            let has_action =
                along.first().is_some_and(|(column, _)| column.hidden == Hiding::System);
            let action = if has_action { beside.first() } else { None };
            for (place, column) in &old {
                self.needs.offer_place(mention, column, table.columns[*place].id);
            }
            let at = Places { row: &places[..width], old, action };
            let more = images.columns(table, known, &at, &scope)?;
            scope.extend(more);
        }
        let outer = std::mem::take(&mut self.scopes);
        self.scopes.push(scope);
        let rows = self.returned(plan, images.list);
        self.scopes = outer;
        let rows = self.settle_rows(rows?)?;
        let (plan, columns) = self.output(rows)?;
        Ok(Returning { input, plan: Plan::new(plan), columns, old })
    }
}

/// The names of the columns that a plan's expressions name, without their tables.
pub(super) fn named_columns(plan: &LogicalPlan) -> Result<HashSet<String>> {
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
