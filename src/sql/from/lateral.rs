//! What is computed for each row of its left side: LATERAL queries and functions that return sets.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        apply::outer_columns,
        binder::{Binder, Place, SetColumn, build, qualified},
        names::{alias_names, visible_name},
        reshape::rename,
        select::unnest,
        tokens::fold,
        typed::{Hiding, Offered, ScopeColumn, Typed},
    },
};
use datafusion::{
    common::{Column, JoinType},
    logical_expr::{Expr, LogicalPlanBuilder},
    sql::sqlparser::ast::{self, Spanned, TableFactor},
};
use std::{collections::HashSet, ops::ControlFlow};

/// The name of the ordinal column of WITH ORDINALITY.
const ORDINALITY: &str = "ordinality";

impl Binder<'_> {
    /// `FROM left, LATERAL (query)`.
    pub(super) fn lateral_query(
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
    pub(super) fn lateral_sets(
        &mut self,
        left: Offered,
        call: &SetCall<'_>,
        outer: bool,
    ) -> Result<Offered> {
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
        // The columns of JSON_TABLE have names of their own.
        let single = values.len() == 1 && !call.ordinality && call.name != "json_table";
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
            exprs.push(crate::sql::functions::array::ordinals(lists, self.context).alias(&name));
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
    pub(super) fn set_values(&mut self, call: &SetCall<'_>) -> Result<Vec<(String, Typed)>> {
        let mut all = Vec::new();
        for expr in &call.exprs {
            if let ast::Expr::Function(function) = expr
                && let Some(columns) = self.json_record(function, call.alias)?
            {
                let columns_declared = call.alias.is_some_and(|alias| {
                    alias.columns.iter().any(|column| column.data_type.is_some())
                });
                if call.ordinality && columns_declared {
                    let what = "WITH ORDINALITY cannot be used with a column definition list";
                    return Err(Error::new(SqlState::SYNTAX_ERROR, what));
                }
                all.extend(columns);
                continue;
            }
            if let ast::Expr::Function(function) = expr
                && let Some(columns) = self.json_table(function)?
            {
                all.extend(columns);
                continue;
            }
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
            all.push((crate::sql::names::output_name(expr), typed));
        }
        Ok(all)
    }
}

/// Whether an expression is a list's element, or a field of it.
pub(super) fn names_set(expr: &Expr, sets: &[SetColumn]) -> bool {
    expr.column_refs()
        .iter()
        .any(|column| column.relation.is_none() && sets.iter().any(|set| set.name == column.name))
}

/// Functions in FROM.
pub(super) struct SetCall<'a> {
    exprs: Vec<ast::Expr>,
    name: String,
    alias: Option<&'a ast::TableAlias>,
    ordinality: bool,
}

pub(super) fn set_call(factor: &TableFactor) -> Option<SetCall<'_>> {
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
        let last = name.0.last().and_then(|part| part.as_ident()).map(fold);
        last.map(visible_name).unwrap_or_default()
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
pub(super) fn names_columns(call: &SetCall<'_>) -> bool {
    let named = ast::visit_expressions(&call.exprs, |expr| match expr {
        ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::Subquery(_) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    named.is_break()
}

pub(super) fn is_lateral(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: true, .. })
}
