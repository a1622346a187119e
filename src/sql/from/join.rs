//! Joins: their conditions, USING and NATURAL.

use super::lateral::{names_columns, set_call};
use crate::{
    error::{Error, Result, SqlState},
    sql::{
        binder::{Binder, Place, build},
        error::from_datafusion,
        expression::binary,
        typed::{Hiding, Offered, ScopeColumn, Typed},
    },
};
use datafusion::{
    common::{
        Column, JoinType,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder, Operator},
    sql::sqlparser::{
        ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor},
        tokenizer::Span,
    },
};
use std::collections::HashSet;

impl Binder<'_> {
    pub(super) fn join(&mut self, left: Offered, join: &ast::Join) -> Result<Offered> {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => (JoinType::Inner, on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinType::Left, on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinType::Right, on),
            JoinOperator::FullOuter(on) => (JoinType::Full, on),
            JoinOperator::CrossJoin(_) => return self.cross(left, &join.relation),
            other => return Err(Error::unsupported(format!("join {other:?} is not supported"))),
        };
        if let Some(call) = set_call(&join.relation) {
            // Only a condition that is always true leaves the lists as they are.
            let always = matches!(constraint, JoinConstraint::On(ast::Expr::Value(value)) if value.value == ast::Value::Boolean(true));
            if always && matches!(kind, JoinType::Inner | JoinType::Left) {
                return self.lateral_sets(left, &call, kind == JoinType::Left);
            }
        }
        if let TableFactor::Derived { lateral: true, subquery, alias, .. } = &join.relation {
            let JoinConstraint::On(on) = constraint else {
                return Err(Error::unsupported("JOIN LATERAL takes ON"));
            };
            return self.lateral_query(left, subquery, alias.as_ref(), kind, Some(on));
        }
        let right = self.factor(&join.relation)?;
        match constraint {
            JoinConstraint::On(condition) => {
                let (left, mut columns) = left;
                let (right, more) = right;
                refuse_shared_alias(&columns, &more)?;
                columns.extend(more);
                self.scopes.push(columns);
                let place = Place::plain("JOIN conditions");
                let on = self.in_place(place, |binder| binder.boolean(condition, "JOIN/ON"));
                let columns = self.scopes.pop().unwrap_or_default();
                let mut sides = [left, right];
                let on = self.computed_before(&mut sides, on?)?;
                let [left, right] = sides;
                let plan = build(LogicalPlanBuilder::from(left).join_on(right, kind, [on]))?;
                Ok((plan, columns))
            }
            JoinConstraint::Using(names) => {
                let names = names
                    .iter()
                    .map(|name| Ok((self.object_name(name)?.name, name.span())))
                    .collect::<Result<Vec<_>>>()?;
                self.join_using(left, right, kind, names)
            }
            JoinConstraint::Natural => {
                let visible = |columns: &[ScopeColumn]| -> Vec<String> {
                    columns
                        .iter()
                        .filter(|c| c.hidden == Hiding::Not)
                        .map(|c| c.name.clone())
                        .collect()
                };
                let others: HashSet<String> = visible(&right.1).into_iter().collect();
                let shared = visible(&left.1).into_iter().filter(|name| others.contains(name));
                let shared = shared.map(|name| (name, Span::empty())).collect();
                self.join_using(left, right, kind, shared)
            }
            JoinConstraint::None => {
                Err(Error::new(SqlState::SYNTAX_ERROR, "a join needs ON or USING"))
            }
        }
    }

    /// A join's condition, its correlated subqueries computed beside the rows of the side that
    /// they are about: DataFusion knows them in projections and not in joins.
    pub(crate) fn computed_before(
        &mut self,
        sides: &mut [LogicalPlan; 2],
        on: Expr,
    ) -> Result<Expr> {
        let on = on.transform(|part| {
            let Expr::ScalarSubquery(subquery) = &part else { return Ok(Transformed::no(part)) };
            let about = |side: &LogicalPlan| {
                subquery.outer_ref_columns.iter().all(|outer| match outer {
                    Expr::OuterReferenceColumn(_, column) => side.schema().has_column(column),
                    _ => false,
                })
            };
            let Some(side) = sides.iter_mut().find(|side| about(side)) else {
                return Ok(Transformed::no(part));
            };
            if subquery.outer_ref_columns.is_empty() {
                return Ok(Transformed::no(part));
            }
            let name = self.qualifier("subquery");
            let mut exprs: Vec<Expr> =
                side.schema().columns().into_iter().map(Expr::Column).collect();
            exprs.push(part.alias(&name));
            *side = LogicalPlanBuilder::from(side.clone()).project(exprs)?.build()?;
            let column = Expr::Column(Column::new_unqualified(name));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        Ok(on.map_err(from_datafusion)?.data)
    }

    /// `JOIN … USING (names)`: the named columns come first, once.
    pub(super) fn join_using(
        &mut self,
        left: Offered,
        right: Offered,
        kind: JoinType,
        names: Vec<(String, Span)>,
    ) -> Result<Offered> {
        let find = |side: &str, columns: &[ScopeColumn], name: &str| {
            let mut found = columns.iter().filter(|c| c.name == name && c.hidden == Hiding::Not);
            match (found.next(), found.next()) {
                (Some(column), None) => Ok(column.clone()),
                (Some(_), Some(_)) => Err(Error::new(
                    SqlState::AMBIGUOUS_COLUMN,
                    format!("common column name \"{name}\" appears more than once in {side} table"),
                )),
                (None, _) => Err(Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{name}\" specified in USING clause does not exist in {side} table"
                    ),
                )),
            }
        };
        refuse_shared_alias(&left.1, &right.1)?;
        let (mut merged, mut on) = (Vec::new(), Vec::new());
        for (name, span) in &names {
            let a = find("left", &left.1, name).map_err(|error| self.at(error, *span))?;
            let b = find("right", &right.1, name).map_err(|error| self.at(error, *span))?;
            self.needs.read(&a.expr);
            self.needs.read(&b.expr);
            let typed = |column: &ScopeColumn| Typed::new(column.expr.clone(), column.kind.clone());
            let (x, y) = self.comparable("=", typed(&a), typed(&b), *span)?;
            on.push(binary(x.expr.clone(), Operator::Eq, y.expr.clone()));
            let (expr, kind) = match kind {
                JoinType::Right => (b.expr, b.kind),
                JoinType::Full => {
                    let case = Case {
                        expr: None,
                        when_then_expr: vec![(
                            Box::new(Expr::IsNotNull(Box::new(x.expr.clone()))),
                            Box::new(x.expr),
                        )],
                        else_expr: Some(Box::new(y.expr)),
                    };
                    (Expr::Case(case), x.kind)
                }
                _ => (a.expr, a.kind),
            };
            merged.push(ScopeColumn {
                table: None,
                schema: None,
                name: name.clone(),
                kind,
                expr,
                origin: None,
                hidden: Hiding::Not,
            });
        }
        let hide = |mut column: ScopeColumn| {
            if names.iter().any(|(name, _)| *name == column.name) && column.hidden == Hiding::Not {
                column.hidden = Hiding::Merged;
            }
            column
        };
        merged.extend(left.1.into_iter().map(hide));
        merged.extend(right.1.into_iter().map(hide));
        let plan = if on.is_empty() {
            build(LogicalPlanBuilder::from(left.0).cross_join(right.0))?
        } else {
            build(LogicalPlanBuilder::from(left.0).join_on(right.0, kind, on))?
        };
        Ok((plan, merged))
    }

    /// `left, right` and `left CROSS JOIN right`.
    pub(super) fn cross(&mut self, left: Offered, right: &TableFactor) -> Result<Offered> {
        if let Some(call) = set_call(right)
            && names_columns(&call)
        {
            return self.lateral_sets(left, &call, false);
        }
        if let TableFactor::Derived { lateral: true, subquery, alias, .. } = right {
            return self.lateral_query(left, subquery, alias.as_ref(), JoinType::Inner, None);
        }
        let right = self.factor(right)?;
        cross_join(left, right)
    }
}

/// 42712 when both sides have a part of one name.
pub(super) fn refuse_shared_alias(left: &[ScopeColumn], right: &[ScopeColumn]) -> Result<()> {
    let names: HashSet<&str> = left.iter().filter_map(|column| column.table.as_deref()).collect();
    match right.iter().filter_map(|column| column.table.as_deref()).find(|t| names.contains(t)) {
        Some(table) => Err(Error::new(
            SqlState::DUPLICATE_ALIAS,
            format!("table name \"{table}\" specified more than once"),
        )),
        None => Ok(()),
    }
}

pub(super) fn cross_join(left: Offered, right: Offered) -> Result<Offered> {
    refuse_shared_alias(&left.1, &right.1)?;
    let plan = LogicalPlanBuilder::from(left.0).cross_join(right.0).and_then(|b| b.build());
    let mut columns = left.1;
    columns.extend(right.1);
    Ok((plan.map_err(from_datafusion)?, columns))
}
