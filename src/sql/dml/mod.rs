//! INSERT, UPDATE, DELETE, MERGE and COPY FROM: plans whose rows storage can take as they are.

mod change;
mod copy;
mod images;
mod insert;
mod merge;
mod returning;
mod subscript;

use crate::{
    catalog::{Column as TableColumn, Table},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::PgType,
    sql::{
        Slot,
        binder::{Binder, Place, build},
        coerce::Reason,
        functions::call::{Arguments, Call, call},
        parse::parse_expression,
        tokens::Overriding,
        typed::{Hiding, ScopeColumn, Typed, bare},
    },
};
use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::{SchemaRef, UInt32Type},
};
use datafusion::{
    common::{Column, ScalarValue, tree_node::TreeNode},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility, expr::Cast},
    sql::sqlparser::ast,
};
use std::sync::Arc;

impl Binder<'_> {
    /// An expression for each column of the table: what is given, else the default.
    fn full_row(
        &mut self,
        table: &Arc<Table>,
        targets: &[ColumnId],
        given: Vec<Typed>,
    ) -> Result<Vec<Expr>> {
        let mut exprs = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let is_ignored = column.identity.is_some() && self.overriding == Some(Overriding::User);
            let place = targets.iter().position(|id| *id == column.id && !is_ignored);
            let typed = match place.and_then(|at| given.get(at)) {
                Some(typed) => self.assign(typed.clone(), column)?,
                None => self.default(table, column)?,
            };
            // What is generated is looked at once it is there.
            let typed = match column.generated {
                None => self.for_column(typed, column)?,
                Some(_) => typed,
            };
            exprs.push(exact(typed, &column.kind).alias(&column.name));
        }
        Ok(exprs)
    }

    /// A value for a column.
    fn assign(&mut self, typed: Typed, column: &TableColumn) -> Result<Typed> {
        let kind = typed.kind.clone();
        let position = typed.position;
        self.coerce(typed, &column.kind, Reason::Assignment).map_err(|error| {
            if error.state() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            let error = Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" is of type {} but expression is of type {}",
                    column.name,
                    bare(&column.kind),
                    bare(&kind)
                ),
            )
            .hint("You will need to rewrite or cast the expression.");
            crate::sql::error::at(error, position)
        })
    }

    /// The value of a column that the statement is silent about.
    pub(crate) fn default(&mut self, table: &Table, column: &TableColumn) -> Result<Typed> {
        if let Some(sequence) = column.sequence
            && (column.identity.is_some() || column.default.is_none())
        {
            let next = self.next_value(sequence)?;
            return self.coerce(next, &column.kind, Reason::Assignment);
        }
        // What is generated is computed once the rest of the row is there.
        let of_domain = || {
            let domain = self.catalog.domain(column.domain?)?;
            self.catalog.default_of_domain(domain)
        };
        let text = column.default.clone().or_else(of_domain);
        let Some(text) = text.filter(|_| column.generated.is_none()) else {
            let null = ScalarValue::try_from(&column.kind.arrow())
                .map_err(crate::sql::error::from_datafusion)?;
            return Ok(Typed::literal(null, column.kind.clone()));
        };
        let expr = parse_expression(&text)?;
        let typed = self.apart(|binder| {
            let place = Place::plain("DEFAULT expressions");
            binder.in_place(place, |binder| binder.expr(&expr))
        })?;
        self.assign(typed, column).map_err(|error| {
            error.context(format!("default of column \"{}\" of \"{}\"", column.name, table.name))
        })
    }

    /// The next value of an identity column, which whoever may insert may have: it has no name by
    /// which it could be called.
    fn next_value(&mut self, sequence: Oid) -> Result<Typed> {
        let next = |args: &Arguments<'_>| {
            let oids = args.arrays[0].as_primitive::<UInt32Type>();
            let next = |row| args.context.next_value(Oid(oids.value(row)));
            let values = (0..args.rows).map(next).collect::<Result<Vec<i64>>>()?;
            Ok(Arc::new(Int64Array::from(values)) as ArrayRef)
        };
        let function = Call::udf(
            "nextval",
            vec![PgType::Oid],
            PgType::Int8,
            Volatility::Volatile,
            next,
            self.context,
        );
        let oid = Expr::Literal(ScalarValue::UInt32(Some(sequence.0)), None);
        Ok(Typed::new(call(function, vec![oid]), PgType::Int8))
    }

    pub(crate) fn slot(&mut self, schema: SchemaRef, name: &str) -> Result<(Slot, LogicalPlan)> {
        let (slot, source) = self.relations.slot(schema);
        let qualifier = self.qualifier(name);
        let plan = build(LogicalPlanBuilder::scan(qualifier.as_str(), source, None))?;
        Ok((slot, plan))
    }
}

/// A table's columns under a name, as a plan offers them.
pub(crate) fn row_scope(table: &Table, visible: &str, places: &[Column]) -> Vec<ScopeColumn> {
    let columns = table.columns.iter().zip(places);
    columns
        .map(|(column, place)| ScopeColumn {
            table: Some(visible.to_owned()),
            schema: None,
            name: column.name.clone(),
            kind: column.kind.clone(),
            expr: Expr::Column(place.clone()),
            origin: Some((table.id, column.id)),
            hidden: Hiding::Not,
        })
        .collect()
}

pub(in crate::sql) fn has_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))
    })
    .map_err(crate::sql::error::from_datafusion)
}

fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

fn column_of(table: &Table, id: ColumnId) -> Result<&TableColumn> {
    table.column_by_id(id).ok_or_else(|| Error::internal("a target is a column of its table"))
}

/// The value in the very layout of its column.
pub(crate) fn exact(typed: Typed, kind: &PgType) -> Expr {
    if typed.kind.arrow() == kind.arrow() {
        return typed.expr;
    }
    Expr::Cast(Cast::new(Box::new(typed.expr), kind.arrow()))
}
