//! MERGE: a table's rows beside those of a source, and what is to be done with each pair.
//!
//! One plan joins both and gives each pair the number of the action that takes it. An action is a plan
//! of its own over its pairs, made as INSERT and UPDATE make theirs (`actions.rs`):
//!
//! ```text
//! source   Projection: action, __row, t.*, s.*
//!            Join: t, s
//! actions  0  Update   the pairs of action 0  =>  __row, the new row
//!          1  Insert   the pairs of action 1  =>  a row
//! ```

mod actions;

use super::{
    images::Known,
    returning::{Along, named_columns},
};
use crate::{
    catalog::{Privileges, Table},
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        Merge, Plan, ROW_COLUMN, Returning,
        binder::{Binder, Place, build},
        needs::Mention,
        tokens::{fold, is_nothing},
        typed::{Hiding, Offered, ScopeColumn, Typed, unique},
    },
};
use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Column, JoinType, ScalarValue},
    logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::{
        ast::{self, MergeClauseKind, Spanned},
        tokenizer::Span,
    },
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

/// The column of a pair's action.
const ACTION_COLUMN: &str = "__action";
/// The column that is true where the source has a row.
const SOURCE_COLUMN: &str = "__source";
/// What `merge_action()` is in the scope of RETURNING.
const ACTION_WORD: &str = "merge_action()";

/// The table whose rows change, as the statement names it.
struct Target {
    table: Arc<Table>,
    mention: Mention,
    visible: String,
}

/// What stands side by side in a MERGE.
struct Sides {
    /// The columns of the table, then `tableoid` and the row's number.
    target: Vec<ScopeColumn>,
    source: Vec<ScopeColumn>,
    row: Expr,
}

/// Which rows a pair has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    Both,
    SourceAlone,
    TargetAlone,
}

/// What the actions read of the pairs, and which of it RETURNING reads afterwards.
struct Carried {
    /// Whether they read the table's columns.
    target: bool,
    /// Columns of the source, by their places there.
    source: Vec<usize>,
    along: Vec<usize>,
    /// Whether RETURNING asks for `merge_action()`.
    word: bool,
}

/// The pairs, laid out as the actions read them: behind the number of the action the fields.
struct Pairs {
    plan: LogicalPlan,
    fields: Vec<Field>,
}

impl Binder<'_> {
    pub(crate) fn merge(&mut self, merge: &ast::Merge) -> Result<Merge> {
        let ast::TableFactor::Table { name, alias, .. } = &merge.table else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "MERGE takes a table's name"));
        };
        if !merge.into || merge.clauses.is_empty() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "MERGE INTO takes WHEN … THEN …"));
        }
        check_reachable(&merge.clauses)?;
        let list = match &merge.output {
            Some(ast::OutputClause::Returning { select_items, .. }) => {
                Some(select_items.as_slice())
            }
            Some(ast::OutputClause::Output { .. }) => {
                let error = Error::new(SqlState::SYNTAX_ERROR, "OUTPUT is not SQL");
                return Err(error.hint("Use RETURNING."));
            }
            None => None,
        };
        let table = self.table(&self.object_name(name)?)?;
        let visible = alias.as_ref().map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        // Whoever has nothing done may look at the table, as PostgreSQL has it.
        let wanted = match merge.clauses.iter().any(|clause| is_nothing(&clause.action)) {
            true => Privileges::SELECT,
            false => Privileges::NONE,
        };
        let mention = self.needs.mention(table.id, wanted);
        let target = Target { table, mention, visible };
        let (joined, sides) = self.sides(&target, alias.as_ref(), merge)?;
        let numbered = self.numbered(joined, &target, &sides, &merge.clauses)?;

        // What the actions and RETURNING read shows once they are bound: then they are bound again,
        // over no more than that.
        let carried = self.carried(&target, &sides, &numbered, merge, list)?;
        let pairs = laid_out(&numbered, &target, &carried)?;
        let (actions, changed) = self.merge_actions(&target, &sides, &pairs, &carried, merge)?;
        let along = sides.along(&target, &numbered, &carried.along, carried.word);
        let returning = self.merge_returning(&target, list, &along)?;
        Ok(Merge {
            table: target.table,
            source: Plan::new(pairs.plan),
            actions,
            changed,
            returning,
            parameters: self.parameter_types(),
        })
    }

    /// The table beside the source. Neither sees the other but in ON.
    fn sides(
        &mut self,
        target: &Target,
        alias: Option<&ast::TableAlias>,
        merge: &ast::Merge,
    ) -> Result<(LogicalPlan, Sides)> {
        let (left, row) = self.target_with((&target.table, target.mention), alias, &[])?;
        let own = self.scopes.pop().unwrap_or_default();
        let (right, source): Offered = self.factor(&merge.source)?;
        if source.iter().any(|column| column.table.as_deref() == Some(target.visible.as_str())) {
            let message = format!("name \"{}\" specified more than once", target.visible);
            let error = Error::new(SqlState::DUPLICATE_ALIAS, message)
                .detail("The name is used both as MERGE target table and data source.");
            return Err(self.at(error, merge.table.span()));
        }
        let mut marked: Vec<Expr> =
            right.schema().columns().into_iter().map(Expr::Column).collect();
        marked.push(Expr::Literal(ScalarValue::Boolean(Some(true)), None).alias(SOURCE_COLUMN));
        let right = build(LogicalPlanBuilder::from(right).project(marked))?;

        self.scopes.push(own.iter().chain(&source).cloned().collect());
        let place = Place::plain("JOIN conditions");
        let on = self.in_place(place, |binder| binder.boolean(&merge.on, "JOIN/ON"));
        self.scopes.pop();
        let mut both = [left, right];
        let on = self.computed_before(&mut both, on?)?;
        let [left, right] = both;
        let has = |pair| merge.clauses.iter().any(|clause| Pair::of(clause) == pair);
        let join = match (has(Pair::SourceAlone), has(Pair::TargetAlone)) {
            (true, true) => JoinType::Full,
            (true, false) => JoinType::Right,
            (false, true) => JoinType::Left,
            (false, false) => JoinType::Inner,
        };
        let plan = build(LogicalPlanBuilder::from(left).join_on(right, join, [on]))?;
        Ok((plan, Sides { target: own, source, row }))
    }

    /// The pairs with the number of the action that takes each: of those whose condition holds the
    /// first. A pair that none takes is left out.
    fn numbered(
        &mut self,
        mut plan: LogicalPlan,
        target: &Target,
        sides: &Sides,
        clauses: &[ast::MergeClause],
    ) -> Result<LogicalPlan> {
        let mut taken: Vec<(Pair, Option<Expr>, Expr)> = Vec::with_capacity(clauses.len());
        let mut number = 0;
        for clause in clauses {
            let pair = Pair::of(clause);
            let mut condition = None;
            if let Some(when) = &clause.predicate {
                self.scopes.push(sides.in_sight(pair));
                let place = Place::plain("MERGE WHEN conditions");
                let bound = self.with_subqueries(plan.clone(), |binder| {
                    binder.in_place(place, |binder| binder.boolean(when, "WHEN"))
                });
                self.scopes.pop();
                let bound = bound.map_err(|error| sides.out_of_sight(error));
                (plan, condition) = bound.map(|(plan, when, _)| (plan, Some(when)))?;
            }
            let action = (!is_nothing(&clause.action)).then_some(number);
            number += i32::from(action.is_some());
            taken.push((pair, condition, Expr::Literal(ScalarValue::Int32(action), None)));
        }
        // What one kind of pairs is asked is asked of no other.
        let of = |pair: Pair| {
            let (mut whens, mut last) = (Vec::new(), Expr::Literal(ScalarValue::Int32(None), None));
            for (_, condition, action) in taken.iter().filter(|(other, ..)| *other == pair) {
                match condition {
                    Some(condition) => whens.push((condition.clone(), action.clone())),
                    None => last = action.clone(),
                }
            }
            if whens.is_empty() { last } else { case(whens, last) }
        };
        let in_source = Expr::Column(Column::new_unqualified(SOURCE_COLUMN));
        let whens = vec![
            (sides.row.clone().is_null(), of(Pair::SourceAlone)),
            (in_source.is_null(), of(Pair::TargetAlone)),
        ];
        let mut exprs = vec![
            case(whens, of(Pair::Both)).alias(ACTION_COLUMN),
            sides.row.clone().alias(ROW_COLUMN),
        ];
        let mut names = HashSet::from([ACTION_COLUMN, ROW_COLUMN].map(str::to_owned));
        for column in sides.target[..target.width()].iter().chain(&sides.source) {
            exprs.push(column.expr.clone().alias(unique(&mut names, &column.name)));
        }
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        let action = Expr::Column(Column::new_unqualified(ACTION_COLUMN));
        build(LogicalPlanBuilder::from(plan).filter(action.is_not_null()))
    }

    /// What the actions and RETURNING read.
    fn carried(
        &mut self,
        target: &Target,
        sides: &Sides,
        numbered: &LogicalPlan,
        merge: &ast::Merge,
        list: Option<&[ast::SelectItem]>,
    ) -> Result<Carried> {
        let is_update = |clause: &ast::MergeClause| {
            matches!(clause.action, ast::MergeAction::Update(_)) && !is_nothing(&clause.action)
        };
        let all = Carried {
            target: merge.clauses.iter().any(is_update),
            source: (0..sides.source.len()).collect(),
            along: Vec::new(),
            word: false,
        };
        let pairs = laid_out(numbered, target, &all)?;
        let (actions, _) = self.merge_actions(target, sides, &pairs, &all, merge)?;
        let mut used = BTreeSet::new();
        let fields = &pairs.fields[pairs.fields.len() - sides.source.len()..];
        for action in &actions {
            let names = named_columns(action.plan.logical())?;
            used.extend((0..fields.len()).filter(|&at| names.contains(fields[at].name())));
        }
        let visible: Vec<usize> = (0..sides.source.len())
            .filter(|&at| sides.source[at].hidden != Hiding::System)
            .collect();
        let along = sides.along(target, numbered, &visible, true);
        let (mut kept, mut word) = (Vec::new(), false);
        if let Some(returning) = self.merge_returning(target, list, &along)? {
            let names = named_columns(returning.plan.logical())?;
            let fields = returning.input.schema().fields();
            let fields = &fields[fields.len() - along.len()..];
            word = names.contains(fields[0].name());
            let read = visible.iter().zip(&fields[1..]);
            kept =
                read.filter(|(_, field)| names.contains(field.name())).map(|(&at, _)| at).collect();
        }
        used.extend(&kept);
        Ok(Carried { source: used.into_iter().collect(), along: kept, word, ..all })
    }

    fn merge_returning(
        &mut self,
        target: &Target,
        list: Option<&[ast::SelectItem]>,
        along: &[Along],
    ) -> Result<Option<Returning>> {
        let of = (&target.table, target.mention);
        self.returning(of, (Some(&target.visible), Known::Merged), list, along)
    }

    /// `merge_action()`, which RETURNING of MERGE knows.
    pub(crate) fn merge_action(&mut self, span: Span) -> Result<Typed> {
        let ident = ast::Ident::with_span(span, ACTION_WORD);
        self.column(&[ident]).map_err(|_| {
            let what = "MERGE_ACTION() can only be used in the RETURNING list of a MERGE command";
            self.at(Error::new(SqlState::SYNTAX_ERROR, what), span)
        })
    }
}

impl Target {
    fn width(&self) -> usize {
        self.table.columns.len()
    }
}

impl Pair {
    fn of(clause: &ast::MergeClause) -> Self {
        match clause.clause_kind {
            MergeClauseKind::Matched => Self::Both,
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Self::SourceAlone,
            MergeClauseKind::NotMatchedBySource => Self::TargetAlone,
        }
    }
}

impl Sides {
    /// What a clause for such pairs may name.
    fn in_sight(&self, pair: Pair) -> Vec<ScopeColumn> {
        match pair {
            Pair::Both => self.target.iter().chain(&self.source).cloned().collect(),
            Pair::SourceAlone => self.source.clone(),
            Pair::TargetAlone => self.target.clone(),
        }
    }

    /// What RETURNING may read beside the changed rows.
    fn along(
        &self,
        target: &Target,
        numbered: &LogicalPlan,
        places: &[usize],
        word: bool,
    ) -> Vec<Along> {
        let fields = &numbered.schema().fields()[2 + target.width()..];
        let word = word.then(|| (action_word(), DataType::Utf8));
        let columns = places.iter().map(|&at| {
            let kind = fields[at].data_type().clone();
            (self.source[at].clone(), kind)
        });
        word.into_iter().chain(columns).collect()
    }

    /// What PostgreSQL says of a side that a clause does not see.
    fn out_of_sight(&self, error: Error) -> Error {
        let name = error.message().strip_prefix("missing FROM-clause entry for table \"");
        let Some(name) = name.and_then(|rest| rest.strip_suffix('"')) else { return error };
        let mut columns = self.target.iter().chain(&self.source);
        if !columns.any(|column| column.table.as_deref() == Some(name)) {
            return error;
        }
        let message = format!("invalid reference to FROM-clause entry for table \"{name}\"");
        let detail = format!(
            "There is an entry for table \"{name}\", but it cannot be referenced from this part of \
             the query."
        );
        let told = Error::new(SqlState::UNDEFINED_TABLE, message).detail(detail);
        crate::sql::error::at(told, error.fields().position)
    }
}

/// The pairs, with what is carried of them.
fn laid_out(numbered: &LogicalPlan, target: &Target, carried: &Carried) -> Result<Pairs> {
    let (own, width) = (2, target.width());
    let mut places = vec![0, 1];
    if carried.target {
        places.extend(own..own + width);
    }
    places.extend(carried.source.iter().map(|at| own + width + at));
    let columns = numbered.schema().columns();
    let exprs = places.iter().map(|&place| Expr::Column(columns[place].clone()));
    let plan = build(LogicalPlanBuilder::from(numbered.clone()).project(exprs))?;
    let fields = plan.schema().fields().iter().skip(1);
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Ok(Pairs { plan, fields })
}

/// A WHEN behind one that takes all pairs of its kind is never asked.
fn check_reachable(clauses: &[ast::MergeClause]) -> Result<()> {
    let takes_all = |before: &[ast::MergeClause], pair| {
        before.iter().any(|clause| clause.predicate.is_none() && Pair::of(clause) == pair)
    };
    let lost = |at: &usize| takes_all(&clauses[..*at], Pair::of(&clauses[*at]));
    match (0..clauses.len()).find(lost) {
        Some(_) => {
            let what = "unreachable WHEN clause specified after unconditional WHEN clause";
            Err(Error::new(SqlState::SYNTAX_ERROR, what))
        }
        None => Ok(()),
    }
}

/// The column that `merge_action()` is.
fn action_word() -> ScopeColumn {
    ScopeColumn {
        table: None,
        schema: None,
        name: ACTION_WORD.to_owned(),
        kind: PgType::Text,
        expr: Expr::Literal(ScalarValue::Utf8(None), None),
        origin: None,
        hidden: Hiding::System,
    }
}

fn case(whens: Vec<(Expr, Expr)>, last: Expr) -> Expr {
    let whens = whens.into_iter().map(|(when, then)| (Box::new(when), Box::new(then)));
    let (expr, when_then_expr, else_expr) = (None, whens.collect(), Some(Box::new(last)));
    Expr::Case(Case { expr, when_then_expr, else_expr })
}
