//! What WHEN does with its pairs: INSERT, UPDATE and DELETE over a slot that they are put in.

use super::{Carried, Pair, Pairs, Sides, Target, action_word};
use crate::{
    catalog::Privileges,
    error::{Error, Result, SqlState},
    ids::ColumnId,
    sql::{
        MergeAction, MergeKind, Plan, ROW_COLUMN,
        binder::{Binder, Place, build},
        dml::{column_of, is_default},
        tokens::{inserts_defaults, is_nothing},
        typed::{ScopeColumn, Typed, unique},
    },
};
use arrow::datatypes::Schema;
use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::{
        ast::{self, Spanned},
        tokenizer::Span,
    },
};
use std::{collections::HashSet, sync::Arc};

impl Binder<'_> {
    /// The plans of the actions, and the columns that SET names.
    pub(super) fn merge_actions(
        &mut self,
        target: &Target,
        sides: &Sides,
        pairs: &Pairs,
        carried: &Carried,
        merge: &ast::Merge,
    ) -> Result<(Vec<MergeAction>, Vec<ColumnId>)> {
        let (mut actions, mut changed) = (Vec::new(), Vec::new());
        for clause in merge.clauses.iter().filter(|clause| !is_nothing(&clause.action)) {
            let (input, plan) = self.slot(Arc::new(Schema::new(pairs.fields.clone())), "merge")?;
            let places = plan.schema().columns();
            let row = Expr::Column(places[0].clone());
            let width = if carried.target { target.width() } else { 0 };
            let own = self.moved(&sides.target[..width], &places[1..]);
            let source: Vec<ScopeColumn> =
                carried.source.iter().map(|&at| sides.source[at].clone()).collect();
            let source = self.moved(&source, &places[1 + width..]);
            let (kind, word) = match &clause.action {
                ast::MergeAction::Insert(_) => (MergeKind::Insert, "INSERT"),
                ast::MergeAction::Update(_) => (MergeKind::Update, "UPDATE"),
                ast::MergeAction::Delete { .. } => (MergeKind::Delete, "DELETE"),
            };
            let mut along = Vec::new();
            if carried.word {
                let word = Expr::Literal(ScalarValue::Utf8(Some(word.to_owned())), None);
                along.push(ScopeColumn { expr: word, ..action_word() });
            }
            let beside = carried.source.iter().zip(&source);
            let beside = beside.filter(|(at, _)| carried.along.contains(at));
            along.extend(beside.map(|(_, column)| column.clone()));
            let made = match &clause.action {
                ast::MergeAction::Insert(insert) => {
                    self.scopes.push(source);
                    let made = self.merge_insert(target, plan, insert, &along);
                    self.scopes.pop();
                    made
                }
                ast::MergeAction::Update(update) => {
                    let mut scope = own;
                    if Pair::of(clause) == Pair::Both {
                        scope.extend(source);
                    }
                    self.scopes.push(scope);
                    let made = self.merge_update(target, (plan, row), update, &along);
                    self.scopes.pop();
                    made.map(|(plan, set)| {
                        changed.extend(set);
                        plan
                    })
                }
                ast::MergeAction::Delete { .. } => {
                    self.needs.want(target.mention, Privileges::DELETE);
                    let exprs = vec![row.alias(ROW_COLUMN)];
                    let exprs = with_along(exprs, HashSet::from([ROW_COLUMN.to_owned()]), &along);
                    build(LogicalPlanBuilder::from(plan).project(exprs))
                }
            };
            let made = made.map_err(|error| sides.out_of_sight(error))?;
            actions.push(MergeAction { kind, input, plan: Plan::new(made) });
        }
        Ok((actions, changed))
    }

    /// `__row` and whole new rows from the pairs, with what comes along behind them.
    fn merge_update(
        &mut self,
        target: &Target,
        (plan, row): (LogicalPlan, Expr),
        update: &ast::MergeUpdateExpr,
        along: &[ScopeColumn],
    ) -> Result<(LogicalPlan, Vec<ColumnId>)> {
        if let Some(condition) =
            update.update_predicate.as_ref().or(update.delete_predicate.as_ref())
        {
            return Err(self.misplaced_condition(condition));
        }
        self.changed_row(
            (&target.table, target.mention),
            (&target.visible, None),
            (plan, row),
            &update.assignments,
            None,
            along,
        )
    }

    /// Whole rows from the pairs, with what comes along behind them.
    fn merge_insert(
        &mut self,
        target: &Target,
        plan: LogicalPlan,
        insert: &ast::MergeInsertExpr,
        along: &[ScopeColumn],
    ) -> Result<LogicalPlan> {
        if let Some(condition) = &insert.insert_predicate {
            return Err(self.misplaced_condition(condition));
        }
        let Target { table, mention, .. } = target;
        self.needs.want(*mention, Privileges::INSERT);
        let place = insert.insert_token.0.span.start;
        self.overriding = self.source.and_then(|source| source.overriding(place));
        let mut targets = Vec::new();
        let mut values: &[ast::Expr] = &[];
        if !inserts_defaults(insert) {
            values = match &insert.kind {
                ast::MergeInsertKind::Values(values) if values.rows.len() == 1 => {
                    &values.rows[0].content
                }
                _ => {
                    let what = "an INSERT of MERGE takes one row of VALUES";
                    return Err(Error::new(SqlState::SYNTAX_ERROR, what));
                }
            };
            targets = self.targets(table, &insert.columns)?;
            let span = values.first().map_or(Span::empty(), |value| value.span());
            self.check_width(values.len(), targets.len(), !insert.columns.is_empty(), span)?;
            targets.truncate(values.len());
        }
        self.needs.insert(*mention, targets.iter().copied());
        let (plan, given, _) = self.with_subqueries(plan, |binder| {
            let value = |(value, id): (&ast::Expr, &ColumnId)| {
                let column = column_of(table, *id)?;
                if is_default(value) {
                    return binder.default(table, column);
                }
                binder.refuse_generated(table, *id)?;
                let typed = binder.in_place(Place::plain("VALUES"), |b| b.expr(value))?;
                binder.assign(typed, column)
            };
            values.iter().zip(&targets).map(value).collect::<Result<Vec<Typed>>>()
        })?;
        let exprs = self.full_row(table, &targets, given)?;
        let taken = table.columns.iter().map(|column| column.name.clone()).collect();
        let exprs = with_along(exprs, taken, along);
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        self.with_generated(table, plan, 0, None)
    }

    /// Columns of a plan where another offers them.
    fn moved(&mut self, columns: &[ScopeColumn], places: &[Column]) -> Vec<ScopeColumn> {
        let moved = columns.iter().zip(places).map(|(column, place)| {
            let expr = Expr::Column(place.clone());
            self.needs.offer_again(&column.expr, &expr);
            ScopeColumn { expr, ..column.clone() }
        });
        moved.collect()
    }

    fn misplaced_condition(&self, condition: &ast::Expr) -> Error {
        let error = Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"WHERE\"");
        self.at(error.hint("Conditions of MERGE stand behind WHEN … AND."), condition.span())
    }
}

/// Columns of a projection with what comes along behind them.
fn with_along(
    mut exprs: Vec<Expr>,
    mut taken: HashSet<String>,
    along: &[ScopeColumn],
) -> Vec<Expr> {
    for column in along {
        exprs.push(column.expr.clone().alias(unique(&mut taken, &column.name)));
    }
    exprs
}
