//! Subqueries inside expressions.
//!
//! DataFusion takes EXISTS and IN in filters and scalar subqueries anywhere, of one row at most.
//! A scalar subquery that may give more rows is an aggregate that refuses the second
//! (`single_value`), elsewhere than in filters EXISTS is a count and IN asks an array. Correlated
//! ones are joined to the rows around them (`apply.rs`).

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        apply::{is_filtered, outer_columns},
        binder::{Binder, Place, build},
        expression::{binary, boolean},
        functions::aggregates,
        parse::parse_query,
        typed::{Rows, Typed},
    },
};
use datafusion::{
    common::{ScalarValue, Spans},
    functions_aggregate::{array_agg::array_agg_udaf, count::count_udaf},
    logical_expr::{
        Case, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
        expr::{AggregateFunction, Exists, InSubquery},
    },
    sql::sqlparser::{ast, tokenizer::Span},
};
use std::sync::Arc;

impl Binder<'_> {
    /// A query inside an expression: FROM's columns around it stay in sight.
    fn inner_query(&mut self, query: &ast::Query) -> Result<Rows> {
        let rows = self.in_place(Place::plain("a subquery"), |binder| binder.query(query, None))?;
        self.settle_rows(rows)
    }

    fn single_column(&mut self, query: &ast::Query) -> Result<Rows> {
        let rows = self.inner_query(query)?;
        if rows.columns.len() != 1 {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "subquery must return only one column"));
        }
        Ok(rows)
    }

    /// `(SELECT …)` as a value.
    pub(crate) fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let rows = self.single_column(query)?;
        let kind = rows.columns[0].kind.clone();
        let column = Expr::Column(rows.columns[0].column.clone());
        let joined = !outer_columns(&rows.plan).is_empty() && self.collects_subqueries();
        let plan = if gives_one_row(&rows.plan, joined) {
            rows.plan
        } else {
            let (plan, ordered) = without_limit(rows.plan);
            let function = match ordered {
                // ORDER BY … LIMIT 1 below a correlation: the first value by that order.
                Some(sorts) => Expr::AggregateFunction(AggregateFunction::new_udf(
                    datafusion::functions_aggregate::first_last::first_value_udaf(),
                    vec![column],
                    false,
                    None,
                    sorts,
                    None,
                )),
                None => aggregates::single_value(column, &kind),
            };
            let name = "value";
            let plan = LogicalPlanBuilder::from(plan)
                .aggregate(Vec::<Expr>::new(), [function.alias(name)]);
            build(plan)?
        };
        Ok(Typed::new(self.value_of(plan), kind))
    }

    /// The value of a plan of one row and one column: joined to the rows around where it is
    /// correlated with them.
    fn value_of(&mut self, plan: LogicalPlan) -> Expr {
        if !outer_columns(&plan).is_empty() && self.collects_subqueries() {
            return self.collect_subquery(plan);
        }
        Expr::ScalarSubquery(subquery(plan))
    }

    /// `ARRAY(SELECT …)`.
    pub(crate) fn array_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let rows = self.single_column(query)?;
        let element = rows.columns[0].kind.clone();
        if let PgType::Array(_) = element {
            return Err(Error::unsupported("arrays of more than one dimension are not supported"));
        }
        let kind = element.array();
        let column = Expr::Column(rows.columns[0].column.clone());
        let (plan, sorts) = ordering(rows.plan);
        let list = Expr::AggregateFunction(AggregateFunction::new_udf(
            array_agg_udaf(),
            vec![column],
            false,
            None,
            sorts,
            None,
        ));
        let plan = build(
            LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), [list.alias("array")]),
        )?;
        let value = self.value_of(plan);
        // No rows make an empty array, not NULL.
        let empty =
            ScalarValue::try_from(&kind.arrow()).map_err(crate::sql::error::from_datafusion)?;
        let empty = match empty {
            ScalarValue::List(list) => {
                let DataTypeList(field) = DataTypeList::of(&kind);
                drop(list);
                let values = arrow::array::new_empty_array(field.data_type());
                let offsets = arrow::buffer::OffsetBuffer::from_lengths([0]);
                ScalarValue::List(Arc::new(arrow::array::ListArray::new(
                    field, offsets, values, None,
                )))
            }
            other => other,
        };
        Ok(Typed::new(coalesce(value, Expr::Literal(empty, None)), kind))
    }

    /// `EXISTS (SELECT …)`.
    pub(crate) fn exists(&mut self, query: &ast::Query, negated: bool) -> Result<Typed> {
        let filter = self.place.filter;
        let rows = self.inner_query(query)?;
        if filter && (is_filtered(&rows.plan) || !self.collects_subqueries()) {
            return Ok(boolean(Expr::Exists(Exists::new(subquery(rows.plan), negated))));
        }
        let (plan, _) = without_limit(rows.plan);
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        let count = AggregateFunction::new_udf(count_udaf(), vec![one], false, None, vec![], None);
        let count = Expr::AggregateFunction(count).alias("count");
        let plan = build(LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), [count]))?;
        let zero = Expr::Literal(ScalarValue::Int64(Some(0)), None);
        let count = coalesce(self.value_of(plan), zero.clone());
        let operator = if negated { Operator::Eq } else { Operator::Gt };
        Ok(boolean(binary(count, operator, zero)))
    }

    /// `x IN (SELECT …)`.
    pub(crate) fn in_subquery(
        &mut self,
        left: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        span: Span,
    ) -> Result<Typed> {
        if let Some(row) = row_of(left) {
            let within = self.row_in_subquery(&row, query, span)?;
            return Ok(if negated { boolean(Expr::Not(Box::new(within.expr))) } else { within });
        }
        let value = self.expr(left)?;
        let filter = self.place.filter;
        let rows = self.inner_query(query)?;
        if rows.columns.len() != 1 {
            return Err(self.at(other_width(rows.columns.len(), 1), span));
        }
        if !filter || (!is_filtered(&rows.plan) && self.collects_subqueries()) {
            let array = self.array_subquery(query)?;
            let within = self.any_or_all("=", value, array, false, span)?;
            return Ok(if negated { boolean(Expr::Not(Box::new(within.expr))) } else { within });
        }
        let column =
            Typed::new(Expr::Column(rows.columns[0].column.clone()), rows.columns[0].kind.clone());
        let (value, other) = self.comparable("=", value, column, span)?;
        let rows = self.cast_rows(rows, &[other.kind], "IN")?;
        let within = InSubquery::new(Box::new(value.expr), subquery(rows.plan), negated);
        Ok(boolean(Expr::InSubquery(within)))
    }

    /// `(a, b) IN (SELECT …)`: whether a row is equal, else whether one may be.
    fn row_in_subquery(
        &mut self,
        row: &[ast::Expr],
        query: &ast::Query,
        span: Span,
    ) -> Result<Typed> {
        let columns = self.named_columns_of(row.len(), query, span)?;
        let names = columns.clone();
        let equal = ast::Expr::BinaryOp {
            left: Box::new(ast::Expr::Tuple(row.to_vec())),
            op: ast::BinaryOperator::Eq,
            right: Box::new(ast::Expr::Tuple(columns)),
        };
        let unknown = ast::Expr::IsNull(Box::new(ast::Expr::Nested(Box::new(equal.clone()))));
        let mut exists = |condition| {
            let one = ast::Expr::value(ast::Value::Boolean(true));
            let query = select_from(query, &names, one, Some(condition))?;
            Ok::<_, Error>(Box::new(self.exists(&query, false)?.expr))
        };
        let literal = |value| Box::new(Expr::Literal(ScalarValue::Boolean(value), None));
        Ok(boolean(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![
                (exists(equal)?, literal(Some(true))),
                (exists(unknown)?, literal(None)),
            ],
            else_expr: Some(literal(Some(false))),
        })))
    }

    /// `(a, b) < (SELECT c, d …)`.
    pub(crate) fn row_beside_subquery(
        &mut self,
        row: &[ast::Expr],
        op: &ast::BinaryOperator,
        query: &ast::Query,
        span: Span,
    ) -> Result<Typed> {
        let columns = self.named_columns_of(row.len(), query, span)?;
        let compared = ast::Expr::BinaryOp {
            left: Box::new(ast::Expr::Tuple(row.to_vec())),
            op: op.clone(),
            right: Box::new(ast::Expr::Tuple(columns.clone())),
        };
        let query = select_from(query, &columns, compared, None)?;
        self.scalar_subquery(&query)
    }

    /// Names for the columns of a query that is compared with a row of so many values. SQL cannot
    /// write them without quotes, so that they hide none around.
    fn named_columns_of(
        &mut self,
        width: usize,
        query: &ast::Query,
        span: Span,
    ) -> Result<Vec<ast::Expr>> {
        let given = self.inner_query(query)?.columns.len();
        if given != width {
            return Err(self.at(other_width(given, width), span));
        }
        let name = |at| ast::Ident::with_quote('"', format!("row:{at}"));
        Ok((1..=width).map(|at| ast::Expr::Identifier(name(at))).collect())
    }

    /// A subquery argument: `ARRAY(SELECT …)`.
    pub(crate) fn subquery_argument(
        &mut self,
        name: &str,
        query: &ast::Query,
        span: Span,
    ) -> Result<Typed> {
        match name {
            "array" => self.array_subquery(query),
            _ => {
                let value = self.scalar_subquery(query)?;
                self.call_named(name, vec![value], span)
            }
        }
    }
}

/// The values of `(a, b)` or `ROW(a, b)`.
pub(crate) fn row_of(expr: &ast::Expr) -> Option<Vec<ast::Expr>> {
    match expr {
        ast::Expr::Tuple(values) => Some(values.clone()),
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            let ast::FunctionArguments::List(list) = &function.args else { return None };
            let value = |arg: &ast::FunctionArg| match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            };
            list.args.iter().map(value).collect()
        }
        _ => None,
    }
}

fn other_width(given: usize, wanted: usize) -> Error {
    let what = if given < wanted { "few" } else { "many" };
    Error::new(SqlState::SYNTAX_ERROR, format!("subquery has too {what} columns"))
}

/// `SELECT item FROM (query) AS … (columns) WHERE condition`.
fn select_from(
    query: &ast::Query,
    columns: &[ast::Expr],
    item: ast::Expr,
    condition: Option<ast::Expr>,
) -> Result<ast::Query> {
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let text = format!("SELECT 0 FROM (SELECT 0) AS \"row:query\" ({})", columns.join(", "));
    let mut whole = parse_query(&text)?;
    if let ast::SetExpr::Select(select) = whole.body.as_mut() {
        // A name that none of the query's columns has.
        let alias = ast::Ident::with_quote('"', "row:value");
        select.projection = vec![ast::SelectItem::ExprWithAlias { expr: item, alias }];
        select.selection = condition;
        if let Some(ast::TableFactor::Derived { subquery, .. }) =
            select.from.first_mut().map(|from| &mut from.relation)
        {
            **subquery = query.clone();
        }
    }
    Ok(*whole)
}

struct DataTypeList(arrow::datatypes::FieldRef);

impl DataTypeList {
    fn of(kind: &PgType) -> Self {
        match kind.arrow() {
            arrow::datatypes::DataType::List(field) => Self(field),
            other => Self(Arc::new(arrow::datatypes::Field::new_list_field(other, true))),
        }
    }
}

fn coalesce(value: Expr, other: Expr) -> Expr {
    Expr::Case(Case {
        expr: None,
        when_then_expr: vec![(Box::new(Expr::IsNotNull(Box::new(value.clone()))), Box::new(value))],
        else_expr: Some(Box::new(other)),
    })
}

/// The plan as a subquery, with what it takes from around it.
fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }
}

/// Whether a plan gives one row and no more: an aggregate without groups, a literal.
fn gives_one_row(plan: &LogicalPlan, joined: bool) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input, joined),
        LogicalPlan::SubqueryAlias(alias) => gives_one_row(&alias.input, joined),
        LogicalPlan::Sort(sort) => gives_one_row(&sort.input, joined),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Limit(limit) => {
            let one = matches!(
                limit.fetch.as_deref(),
                Some(Expr::Literal(ScalarValue::Int64(Some(0 | 1)), _))
            );
            // DataFusion does not take a limit apart from its correlation.
            one && (joined || limit.input.all_out_ref_exprs().is_empty())
        }
        _ => false,
    }
}

/// A plan without the LIMIT 1 around it, and the order that told which row is first.
fn without_limit(
    plan: LogicalPlan,
) -> (LogicalPlan, Option<Vec<datafusion::logical_expr::expr::Sort>>) {
    let LogicalPlan::Limit(limit) = &plan else { return (plan, None) };
    let one = matches!(limit.fetch.as_deref(), Some(Expr::Literal(ScalarValue::Int64(Some(1)), _)));
    if !one || limit.skip.is_some() || limit.input.all_out_ref_exprs().is_empty() {
        return (plan, None);
    }
    let input = limit.input.as_ref().clone();
    let (plan, sorts) = ordering(input);
    (plan, Some(sorts))
}

/// The order of a plan's rows, in terms of its columns.
pub(super) fn ordering(
    plan: LogicalPlan,
) -> (LogicalPlan, Vec<datafusion::logical_expr::expr::Sort>) {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.input.as_ref().clone(), sort.expr),
        // Sort keys that are not among the columns: the projection above only hides them.
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Sort(sort)
                if sort.fetch.is_none()
                    && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
            {
                (sort.input.as_ref().clone(), sort.expr.clone())
            }
            _ => (LogicalPlan::Projection(projection), Vec::new()),
        },
        other => (other, Vec::new()),
    }
}
