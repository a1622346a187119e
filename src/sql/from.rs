//! FROM: tables, views, queries, functions and their joins.

use crate::{
    catalog::{Relation, Table, View, pg::SystemRelation},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::PgType,
    sql::{
        Hidden, ROW_COLUMN,
        apply::outer_columns,
        binder::{Binder, Named, Place, SetColumn, build, qualified},
        error::from_datafusion,
        expression::binary,
        query::{one_row, rename},
        select::unnest,
        tokens::fold,
        typed::{Hiding, Rows, RowsColumn, ScopeColumn, Typed},
    },
};
use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, JoinType, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder, Operator},
    sql::sqlparser::{
        ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor},
        tokenizer::Span,
    },
};
use std::{collections::HashSet, ops::ControlFlow, sync::Arc};

/// A plan and the columns that it offers.
pub(crate) type Offered = (LogicalPlan, Vec<ScopeColumn>);

/// The name of the ordinal column of WITH ORDINALITY.
const ORDINALITY: &str = "ordinality";

impl Binder<'_> {
    /// FROM: its parts, each with its joins, one beside the other.
    pub(crate) fn parts_of_from(&mut self, from: &[ast::TableWithJoins]) -> Result<Offered> {
        let mut all: Option<Offered> = None;
        for part in from {
            all = Some(self.joined(part, all)?);
        }
        let all = all.unwrap_or_else(|| (one_row(), Vec::new()));
        self.keep_records(&all);
        Ok(all)
    }

    /// Remembers the fields of records, which their type does not tell.
    fn keep_records(&mut self, (plan, columns): &Offered) {
        for column in columns.iter().filter(|column| column.kind == PgType::Record) {
            let Expr::Column(place) = &column.expr else { continue };
            let Ok((_, field)) = plan.schema().qualified_field_from_column(place) else { continue };
            let DataType::Struct(fields) = field.data_type() else { continue };
            let fields = fields.iter().map(|f| (f.name().clone(), PgType::of_field(f))).collect();
            self.records.insert(place.clone(), fields);
        }
    }

    fn joined(&mut self, part: &ast::TableWithJoins, left: Option<Offered>) -> Result<Offered> {
        // The parts before are in sight of a lateral one, and joins bind closer than commas.
        let mut here = match left {
            None => self.factor(&part.relation)?,
            Some(left) if part.joins.is_empty() => {
                return self.cross(left, &part.relation);
            }
            Some(left) => {
                let right = self.joined_alone(part, Some(&left))?;
                return cross_join(left, right);
            }
        };
        for join in &part.joins {
            here = self.join(here, join)?;
        }
        Ok(here)
    }

    fn joined_alone(
        &mut self,
        part: &ast::TableWithJoins,
        beside: Option<&Offered>,
    ) -> Result<Offered> {
        let pushed = beside.filter(|_| is_lateral(&part.relation));
        if pushed.is_some() {
            return Err(Error::unsupported(
                "a lateral function with joins of its own is not supported",
            )
            .hint("Write CROSS JOIN instead of the comma."));
        }
        let mut here = self.factor(&part.relation)?;
        for join in &part.joins {
            here = self.join(here, join)?;
        }
        Ok(here)
    }

    /// `left, right` and `left CROSS JOIN right`.
    fn cross(&mut self, left: Offered, right: &TableFactor) -> Result<Offered> {
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

    fn join(&mut self, left: Offered, join: &ast::Join) -> Result<Offered> {
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
    fn computed_before(&mut self, sides: &mut [LogicalPlan; 2], on: Expr) -> Result<Expr> {
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
    fn join_using(
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

    /// One part of FROM by itself.
    pub(crate) fn factor(&mut self, factor: &TableFactor) -> Result<Offered> {
        if let TableFactor::Derived { sample: Some(_), .. }
        | TableFactor::Table { sample: Some(_), args: Some(_), .. } = factor
        {
            let what = "syntax error at or near \"TABLESAMPLE\"";
            return Err(self.at(Error::new(SqlState::SYNTAX_ERROR, what), factor.span()));
        }
        if let Some(call) = set_call(factor) {
            return self.lateral_sets((one_row(), Vec::new()), &call, false);
        }
        match factor {
            TableFactor::Table {
                name,
                alias,
                sample:
                    Some(
                        ast::TableSampleKind::BeforeTableAlias(sample)
                        | ast::TableSampleKind::AfterTableAlias(sample),
                    ),
                ..
            } => self.sampled(name, alias.as_ref(), sample),
            TableFactor::Table { name, alias, .. } => self.named(name, alias.as_ref()),
            TableFactor::Derived { subquery, alias, .. } => {
                let rows = self.query(subquery, None)?;
                let rows = self.settle_rows(rows)?;
                self.aliased(rows, alias.as_ref(), "subquery")
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let (plan, columns) = self.joined(table_with_joins, None)?;
                let Some(alias) = alias else { return Ok((plan, columns)) };
                let rows = columns.into_iter().filter(|c| c.hidden == Hiding::Not).map(|column| {
                    let place = match &column.expr {
                        Expr::Column(place) => place.clone(),
                        other => Column::new_unqualified(other.schema_name().to_string()),
                    };
                    RowsColumn {
                        name: column.name,
                        kind: column.kind,
                        column: place,
                        origin: column.origin,
                    }
                });
                let rows = Rows { columns: rows.collect(), plan };
                self.aliased(rows, Some(alias), "join")
            }
            other => {
                Err(self.at(Error::unsupported("this kind of FROM is not supported"), other.span()))
            }
        }
    }

    /// A table, a view, a system relation or a part of WITH.
    fn named(
        &mut self,
        object: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Offered> {
        let name = self.object_name(object)?;
        if let [ast::ObjectNamePart::Identifier(ident)] = object.0.as_slice()
            && ident.quote_style.is_none()
            && is_reserved(&name.name)
        {
            let error = Error::new(
                SqlState::SYNTAX_ERROR,
                format!("syntax error at or near \"{}\"", ident.value),
            );
            return Err(self.at(error, ident.span));
        }
        let cte = match name.schema {
            None => self.cte(&name.name).map_err(|error| self.at(error, object.span()))?,
            Some(_) => None,
        };
        if let Some(rows) = cte {
            return self.aliased(rows, alias, &name.name);
        }
        match self.relation(&name)? {
            Named::Relation(Relation::Table(table)) => {
                let schema = self.catalog.schema(table.schema).map(|schema| schema.name.clone());
                let visible = alias.map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
                let qualifier = self.qualifier(&visible);
                let rows = self.scan(&table, Hidden::None, &qualifier)?;
                offered(rows, alias, &visible, schema, table.id)
            }
            Named::Relation(Relation::View(view)) => {
                let rows = self.view(&view)?;
                self.aliased(rows, alias, &view.name)
            }
            Named::Relation(Relation::Sequence(sequence)) => {
                let value = sequence.last.unwrap_or(sequence.start);
                let columns = [
                    ("last_value", ScalarValue::Int64(Some(value)), PgType::Int8),
                    ("log_cnt", ScalarValue::Int64(Some(0)), PgType::Int8),
                    (
                        "is_called",
                        ScalarValue::Boolean(Some(sequence.last.is_some())),
                        PgType::Bool,
                    ),
                ];
                let exprs =
                    columns.clone().map(|(name, value, _)| Expr::Literal(value, None).alias(name));
                let plan = build(LogicalPlanBuilder::from(one_row()).project(exprs))?;
                let columns = columns.into_iter().map(|(name, _, kind)| RowsColumn {
                    name: name.into(),
                    kind,
                    column: Column::new_unqualified(name),
                    origin: None,
                });
                let rows = Rows { columns: columns.collect(), plan };
                self.aliased(rows, alias, &sequence.name)
            }
            Named::System(relation) => {
                let visible =
                    alias.map_or_else(|| relation.name.to_owned(), |alias| fold(&alias.name));
                let qualifier = self.qualifier(&visible);
                let rows = self.system_rows(relation, &qualifier)?;
                offered(rows, alias, &visible, Some(relation.schema.to_owned()), relation.oid)
            }
            Named::Relation(other) => {
                let error = Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("cannot open relation \"{}\"", other.name()),
                )
                .detail("This operation is not supported for indexes.");
                Err(self.at(error, object.span()))
            }
        }
    }

    /// `TABLE name`.
    pub(crate) fn whole_table(&mut self, name: &ast::ObjectName) -> Result<Rows> {
        let (plan, columns) = self.named(name, None)?;
        let columns = columns.into_iter().filter(|c| c.hidden == Hiding::Not).map(|column| {
            let Expr::Column(place) = column.expr else {
                return Err(Error::internal("a table's columns are columns"));
            };
            Ok(RowsColumn {
                name: column.name,
                kind: column.kind,
                column: place,
                origin: column.origin,
            })
        });
        Ok(Rows { columns: columns.collect::<Result<_>>()?, plan })
    }

    /// A table's rows; with [`Hidden::RowId`] the row's number comes last.
    pub(crate) fn scan(
        &mut self,
        table: &Arc<Table>,
        hidden: Hidden,
        qualifier: &str,
    ) -> Result<Rows> {
        self.tables.insert(table.id);
        let source = self.relations.table(table, hidden);
        let plan = build(LogicalPlanBuilder::scan(qualifier, source, None))?;
        let places = plan.schema().columns();
        let columns = table
            .columns
            .iter()
            .zip(places)
            .map(|(column, place)| RowsColumn {
                name: column.name.clone(),
                kind: column.kind.clone(),
                column: place,
                origin: Some((table.id, column.id)),
            })
            .collect();
        Ok(Rows { plan, columns })
    }

    fn system_rows(&mut self, relation: &'static SystemRelation, qualifier: &str) -> Result<Rows> {
        let source = self.relations.system(relation);
        let plan = build(LogicalPlanBuilder::scan(qualifier, source, None))?;
        let columns = relation
            .columns
            .iter()
            .zip(plan.schema().columns())
            .enumerate()
            .map(|(at, (column, place))| RowsColumn {
                name: column.name.to_owned(),
                kind: column.kind.clone(),
                column: place,
                origin: i16::try_from(at + 1).ok().map(|at| (relation.oid, ColumnId(at))),
            })
            .collect();
        Ok(Rows { plan, columns })
    }

    fn view(&mut self, view: &Arc<View>) -> Result<Rows> {
        let query = super::parse::parse_query(&view.query)?;
        let rows = self.deeper(|binder| {
            binder.apart(|binder| {
                let rows = binder.query(&query, None)?;
                binder.settle_rows(rows)
            })
        })?;
        let kinds: Vec<PgType> = view.columns.iter().map(|(_, kind)| kind.clone()).collect();
        let rows = self.cast_rows(rows, &kinds, "view")?;
        let names: Vec<String> = view.columns.iter().map(|(name, _)| name.clone()).collect();
        rename(rows, &names, &view.name)
    }

    /// Rows under an alias of their own.
    pub(crate) fn aliased(
        &mut self,
        rows: Rows,
        alias: Option<&ast::TableAlias>,
        name: &str,
    ) -> Result<Offered> {
        let visible = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
        let rows = rename(rows, &alias_names(alias), &visible)?;
        let rows = self.plain_columns(rows)?;
        let qualifier = self.qualifier(&visible);
        let plan = build(LogicalPlanBuilder::from(rows.plan).alias(qualifier.as_str()))?;
        let columns = rows
            .columns
            .into_iter()
            .map(|column| ScopeColumn {
                table: Some(visible.clone()),
                schema: None,
                name: column.name,
                kind: column.kind,
                expr: qualified(&qualifier, &column.column.name),
                origin: column.origin,
                hidden: Hiding::Not,
            })
            .collect();
        Ok((plan, columns))
    }

    /// Rows whose plan has their columns and no other, each under a name of its own.
    fn plain_columns(&mut self, rows: Rows) -> Result<Rows> {
        let fields = rows.plan.schema().fields().len();
        let mut seen = HashSet::new();
        let plain = fields == rows.columns.len()
            && rows.columns.iter().all(|column| seen.insert(column.column.name.clone()))
            && rows.columns.iter().zip(rows.plan.schema().columns()).all(|(a, b)| a.column == b);
        if plain { Ok(rows) } else { self.named_columns(rows) }
    }

    /// `FROM left, LATERAL (query)`.
    fn lateral_query(
        &mut self,
        left: Offered,
        query: &ast::Query,
        alias: Option<&ast::TableAlias>,
        kind: JoinType,
        on: Option<&ast::Expr>,
    ) -> Result<Offered> {
        let (left, columns) = left;
        self.scopes.push(columns);
        let rows = self.query(query, None).and_then(|rows| self.settle_rows(rows));
        let mut columns = self.scopes.pop().unwrap_or_default();
        let rows = self.plain_columns(rows?)?;
        let visible = alias.map_or_else(|| "subquery".to_owned(), |alias| fold(&alias.name));
        let rows = rename(rows, &alias_names(alias), &visible)?;
        let always = |on: &ast::Expr| matches!(on, ast::Expr::Value(value) if value.value == ast::Value::Boolean(true));
        if !outer_columns(&rows.plan).is_empty() {
            if on.is_some_and(|on| !always(on)) && kind != JoinType::Inner {
                return Err(Error::unsupported("LEFT JOIN LATERAL takes ON true")
                    .hint("Put the condition into the query's WHERE."));
            }
            let qualifier = self.qualifier(&visible);
            let relation = datafusion::common::TableReference::bare(qualifier.as_str());
            let mut exprs = Vec::new();
            for column in rows.columns {
                let name = column.column.name.clone();
                exprs.push(
                    Expr::Column(column.column).alias_qualified(Some(relation.clone()), &name),
                );
                columns.push(ScopeColumn {
                    table: Some(visible.clone()),
                    schema: None,
                    name: column.name,
                    kind: column.kind,
                    expr: qualified(&qualifier, &name),
                    origin: column.origin,
                    hidden: Hiding::Not,
                });
            }
            let mut plan = self.lateral(left, rows.plan, exprs, kind)?;
            if let Some(on) = on.filter(|on| !always(on)) {
                self.scopes.push(columns);
                let place = Place::plain("JOIN conditions");
                let on = self.in_place(place, |binder| binder.boolean(on, "JOIN/ON"));
                columns = self.scopes.pop().unwrap_or_default();
                plan = build(LogicalPlanBuilder::from(plan).filter(on?))?;
            }
            return Ok((plan, columns));
        }
        let (right, more) = self.aliased(rows, alias, "subquery")?;
        columns.extend(more);
        let plan = match on {
            Some(on) if !(always(on) && kind == JoinType::Inner) => {
                self.scopes.push(columns);
                let place = Place::plain("JOIN conditions");
                let on = self.in_place(place, |binder| binder.boolean(on, "JOIN/ON"));
                columns = self.scopes.pop().unwrap_or_default();
                build(LogicalPlanBuilder::from(left).join_on(right, kind, [on?]))?
            }
            _ => build(LogicalPlanBuilder::from(left).cross_join(right))?,
        };
        Ok((plan, columns))
    }

    /// Functions in FROM: set-returning ones become lists beside the rows before them, which are
    /// unnested together; others are one row.
    fn lateral_sets(&mut self, left: Offered, call: &SetCall<'_>, outer: bool) -> Result<Offered> {
        let (plan, columns) = left;
        self.scopes.push(columns);
        let before = std::mem::take(&mut self.sets);
        let place = Place {
            clause: "functions in FROM",
            aggregates: false,
            windows: false,
            sets: true,
            filter: false,
        };
        let values = self.in_place(place, |binder| binder.set_values(call));
        let sets = std::mem::replace(&mut self.sets, before);
        let mut columns = self.scopes.pop().unwrap_or_default();
        let values = values?;
        let alias = call.alias.map(|alias| fold(&alias.name));
        let visible = alias.clone().unwrap_or_else(|| call.name.clone());
        let qualifier = self.qualifier(&visible);

        // Everything before keeps its place; lists and plain values come behind it.
        let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut given = call.alias.iter().flat_map(|alias| &alias.columns).map(|c| fold(&c.name));
        let mut own = Vec::new();
        let single = values.len() == 1 && !call.ordinality;
        for (place, (name, typed)) in values.into_iter().enumerate() {
            // A function with one column lends it its alias.
            let name = given.next().unwrap_or_else(|| match &alias {
                Some(alias)
                    if single || (place == 0 && call.exprs.len() == 1 && name == call.name) =>
                {
                    alias.clone()
                }
                _ => name,
            });
            let column = match &typed.expr {
                // What comes from a list is there once the list is unnested.
                of_set if names_set(of_set, &sets) => of_set.clone(),
                other => {
                    let inner = format!("{qualifier}.{place}");
                    exprs.push(other.clone().alias(&inner));
                    Expr::Column(Column::new_unqualified(inner))
                }
            };
            own.push((name, typed.kind, column));
        }
        exprs.extend(sets.iter().map(|set| set.list.clone().alias(&set.name)));
        let mut all_sets = sets.clone();
        if call.ordinality {
            let Some(first) = sets.first() else {
                return Err(Error::unsupported("WITH ORDINALITY takes a set-returning function"));
            };
            let name = format!("{qualifier}.{ORDINALITY}");
            let lists: Vec<Expr> = sets.iter().map(|set| set.list.clone()).collect();
            exprs.push(super::functions::array::ordinals(lists, self.context).alias(&name));
            let column = Expr::Column(Column::new_unqualified(name.clone()));
            own.push((given.next().unwrap_or_else(|| ORDINALITY.into()), PgType::Int8, column));
            all_sets.push(SetColumn { list: first.list.clone(), name });
        }
        let mut plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        if !all_sets.is_empty() {
            plan = unnest(plan, &all_sets, outer)?;
        }
        // Under the alias's qualifier, so that names of other parts do not meet these.
        let mut exprs: Vec<Expr> = Vec::new();
        let inner: HashSet<String> = own
            .iter()
            .filter_map(|(_, _, column)| match column {
                Expr::Column(column) => Some(column.name.clone()),
                _ => None,
            })
            .chain(sets.into_iter().map(|set| set.name))
            .collect();
        for column in plan.schema().columns() {
            if column.relation.is_some() || !inner.contains(&column.name) {
                exprs.push(Expr::Column(column));
            }
        }
        for (place, (name, kind, column)) in own.into_iter().enumerate() {
            let inner = format!("{name}:{place}");
            let relation = datafusion::common::TableReference::bare(qualifier.as_str());
            exprs.push(column.alias_qualified(Some(relation), &inner));
            columns.push(ScopeColumn {
                table: Some(visible.clone()),
                schema: None,
                name,
                kind,
                expr: qualified(&qualifier, &inner),
                origin: None,
                hidden: Hiding::Not,
            });
        }
        let plan = build(LogicalPlanBuilder::from(plan).project(exprs))?;
        Ok((plan, columns))
    }

    /// The columns of functions in FROM, by name.
    fn set_values(&mut self, call: &SetCall<'_>) -> Result<Vec<(String, Typed)>> {
        let mut all = Vec::new();
        for expr in &call.exprs {
            if let ast::Expr::Function(function) = expr
                && let Some(columns) = self.record_set(function)?
            {
                all.extend(columns);
                continue;
            }
            // `unnest(a, b)`: as many columns as arrays.
            if let ast::Expr::Function(function) = expr
                && call.name == "unnest"
                && let ast::FunctionArguments::List(list) = &function.args
                && list.args.len() > 1
            {
                for arg in &list.args {
                    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg else {
                        return Err(Error::new(SqlState::SYNTAX_ERROR, "unnest takes arrays"));
                    };
                    let value = self.expr(arg)?;
                    let typed = self.call_named("unnest", vec![value], arg.span())?;
                    all.push(("unnest".to_owned(), typed));
                }
                continue;
            }
            let typed = self.expr(expr)?;
            let typed = self.settle(typed)?;
            all.push((super::names::output_name(expr), typed));
        }
        Ok(all)
    }
}

/// A scanned relation's columns, `tableoid` and the row's number among them.
pub(crate) fn offered(
    rows: Rows,
    alias: Option<&ast::TableAlias>,
    visible: &str,
    schema: Option<String>,
    oid: Oid,
) -> Result<Offered> {
    let rows = rename(rows, &alias_names(alias), visible)?;
    let schema = schema.filter(|_| alias.is_none());
    let row = rows.plan.schema().columns().into_iter().find(|column| column.name == ROW_COLUMN);
    let mut columns: Vec<ScopeColumn> = rows
        .columns
        .into_iter()
        .map(|column| ScopeColumn {
            table: Some(visible.to_owned()),
            schema: schema.clone(),
            name: column.name,
            kind: column.kind,
            expr: Expr::Column(column.column),
            origin: column.origin,
            hidden: Hiding::Not,
        })
        .collect();
    let system = |name: &str, kind: PgType, expr: Expr| ScopeColumn {
        table: Some(visible.to_owned()),
        schema: schema.clone(),
        name: name.to_owned(),
        kind,
        expr,
        origin: None,
        hidden: Hiding::System,
    };
    let oid = Expr::Literal(ScalarValue::UInt32(Some(oid.0)), None);
    columns.push(system("tableoid", PgType::Oid, oid));
    columns.extend(row.map(|row| system(ROW_COLUMN, PgType::Int8, Expr::Column(row))));
    Ok((rows.plan, columns))
}

/// Whether PostgreSQL's grammar keeps a word to itself that sqlparser takes for a table's name.
fn is_reserved(word: &str) -> bool {
    matches!(
        word,
        "and"
            | "as"
            | "asc"
            | "check"
            | "create"
            | "cross"
            | "desc"
            | "distinct"
            | "else"
            | "end"
            | "except"
            | "fetch"
            | "for"
            | "from"
            | "full"
            | "grant"
            | "group"
            | "having"
            | "in"
            | "inner"
            | "intersect"
            | "into"
            | "is"
            | "join"
            | "left"
            | "limit"
            | "natural"
            | "not"
            | "offset"
            | "on"
            | "or"
            | "order"
            | "outer"
            | "returning"
            | "right"
            | "select"
            | "then"
            | "to"
            | "union"
            | "using"
            | "when"
            | "where"
            | "window"
            | "with"
    )
}

fn alias_names(alias: Option<&ast::TableAlias>) -> Vec<String> {
    alias.iter().flat_map(|alias| &alias.columns).map(|column| fold(&column.name)).collect()
}

/// Whether an expression is a list's element, or a field of it.
fn names_set(expr: &Expr, sets: &[SetColumn]) -> bool {
    expr.column_refs()
        .iter()
        .any(|column| column.relation.is_none() && sets.iter().any(|set| set.name == column.name))
}

/// Functions in FROM.
struct SetCall<'a> {
    exprs: Vec<ast::Expr>,
    name: String,
    alias: Option<&'a ast::TableAlias>,
    ordinality: bool,
}

fn set_call(factor: &TableFactor) -> Option<SetCall<'_>> {
    let function = |name: &ast::ObjectName, args: &[ast::FunctionArg]| {
        let list = ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: args.to_vec(),
            clauses: Vec::new(),
        };
        ast::Expr::Function(ast::Function {
            name: name.clone(),
            uses_odbc_syntax: false,
            parameters: ast::FunctionArguments::None,
            args: ast::FunctionArguments::List(list),
            filter: None,
            null_treatment: None,
            over: None,
            within_group: Vec::new(),
        })
    };
    let last = |name: &ast::ObjectName| {
        name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
    };
    Some(match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => SetCall {
            exprs: vec![function(name, &args.args)],
            name: last(name),
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        },
        TableFactor::Function { name, args, alias, with_ordinality, .. } => SetCall {
            exprs: vec![function(name, args)],
            name: last(name),
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        },
        TableFactor::TableFunction { expr: expr @ ast::Expr::Function(f), alias } => SetCall {
            exprs: vec![expr.clone()],
            name: last(&f.name),
            alias: alias.as_ref(),
            ordinality: false,
        },
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, .. } => {
            let name = ast::ObjectName::from(vec![ast::Ident::new("unnest")]);
            let exprs = array_exprs
                .iter()
                .map(|array| {
                    function(
                        &name,
                        &[ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array.clone()))],
                    )
                })
                .collect();
            SetCall {
                exprs,
                name: "unnest".into(),
                alias: alias.as_ref(),
                ordinality: *with_ordinality,
            }
        }
        _ => return None,
    })
}

/// Whether a call may depend on the rows before it. One that does not is a relation of its own:
/// its lists are made once and not beside every row.
fn names_columns(call: &SetCall<'_>) -> bool {
    let named = ast::visit_expressions(&call.exprs, |expr| match expr {
        ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::Subquery(_) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    named.is_break()
}

fn is_lateral(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: true, .. })
}

/// 42712 when both sides have a part of one name.
fn refuse_shared_alias(left: &[ScopeColumn], right: &[ScopeColumn]) -> Result<()> {
    let names: HashSet<&str> = left.iter().filter_map(|column| column.table.as_deref()).collect();
    match right.iter().filter_map(|column| column.table.as_deref()).find(|t| names.contains(t)) {
        Some(table) => Err(Error::new(
            SqlState::DUPLICATE_ALIAS,
            format!("table name \"{table}\" specified more than once"),
        )),
        None => Ok(()),
    }
}

fn cross_join(left: Offered, right: Offered) -> Result<Offered> {
    refuse_shared_alias(&left.1, &right.1)?;
    let plan = LogicalPlanBuilder::from(left.0).cross_join(right.0).and_then(|b| b.build());
    let mut columns = left.1;
    columns.extend(right.1);
    Ok((plan.map_err(from_datafusion)?, columns))
}
