//! WITH: its parts, recursive ones among them, and changes of rows before which and in which it stands.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        Bound, OutputColumn, Part, With,
        binder::{Binder, Cte, build},
        reshape::rename,
        tokens::fold,
        typed::{Rows, RowsColumn, unique},
    },
};
use arrow::datatypes::{Field, Schema};
use datafusion::{
    catalog::cte_worktable::CteWorkTable,
    common::Column,
    datasource::provider_as_source,
    logical_expr::LogicalPlanBuilder,
    sql::sqlparser::{
        ast::{self, SetExpr, SetOperator, SetQuantifier},
        tokenizer::Span,
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

impl Binder<'_> {
    /// A statement that begins with WITH, SELECT or VALUES.
    pub(crate) fn top_query(&mut self, query: &ast::Query) -> Result<Bound> {
        let Some(with) = query.with.as_ref().filter(|_| has_changes(query)) else {
            return Ok(Bound::Query(self.whole_query(query)?));
        };
        self.ctes.push(HashMap::new());
        let main = self.main_statement(with, query);
        self.ctes.pop();
        let main = main?;
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return Ok(main);
        }
        let reads = std::mem::take(&mut self.reading).into_iter().collect();
        Ok(Bound::With(With { parts, main: Box::new(main), reads }))
    }

    fn main_statement(&mut self, with: &ast::With, query: &ast::Query) -> Result<Bound> {
        for cte in &with.cte_tables {
            match changed_by(&cte.query) {
                Some(change) => self.bind_change(cte, change, with.recursive)?,
                None => self.bind_cte(cte, with.recursive)?,
            }
        }
        if let Some(change) = changed_by(query) {
            return self.change(change);
        }
        if !query.locks.is_empty() {
            return Err(Error::unsupported("FOR UPDATE beside changes of rows is not supported")
                .hint("Lock the rows in a statement of their own."));
        }
        let rest = ast::Query { with: None, ..query.clone() };
        Ok(Bound::Query(self.whole_query(&rest)?))
    }

    fn change(&mut self, change: &ast::Statement) -> Result<Bound> {
        Ok(match change {
            ast::Statement::Insert(insert) => Bound::Insert(self.insert(insert)?),
            ast::Statement::Update(update) => Bound::Update(self.update(update)?),
            ast::Statement::Delete(delete) => Bound::Delete(self.delete(delete)?),
            ast::Statement::Merge(merge) => Bound::Merge(self.merge(merge)?),
            _ => return Err(Error::internal("not a change of rows")),
        })
    }

    /// `name AS (INSERT … RETURNING …)`: its rows are there once it has run.
    fn bind_change(
        &mut self,
        cte: &ast::Cte,
        change: &ast::Statement,
        recursive: bool,
    ) -> Result<()> {
        let name = fold(&cte.alias.name);
        self.refuse_known_cte(&name, cte.alias.name.span)?;
        if recursive && mentions(&cte.query, &name) {
            let error = Error::new(
                SqlState::new(b"42P19"),
                format!("recursive query \"{name}\" must not contain data-modifying statements"),
            );
            return Err(self.at(error, cte.alias.name.span));
        }
        let before = std::mem::take(&mut self.reading);
        self.ctes.push(HashMap::new());
        let bound = cte.query.with.iter().flat_map(|with| &with.cte_tables).try_for_each(|inner| {
            self.bind_cte(inner, cte.query.with.as_ref().is_some_and(|with| with.recursive))
        });
        let bound = bound.and_then(|()| self.change(change));
        self.ctes.pop();
        let change = bound?;
        let reads = std::mem::replace(&mut self.reading, before).into_iter().collect();
        let (rows, slot) = match change.columns() {
            None => (None, None),
            Some(columns) => {
                let (rows, slot) = self.returned_rows(&name, columns)?;
                let names: Vec<String> =
                    cte.alias.columns.iter().map(|column| fold(&column.name)).collect();
                (Some(rename_cte(rows, &names, &name)?), Some(slot))
            }
        };
        let part = Some(self.parts.len());
        self.parts.push(Part { change, rows: slot, reads });
        if let Some(frame) = self.ctes.last_mut() {
            frame.insert(name, Cte { rows, part });
        }
        Ok(())
    }

    /// Rows that whoever runs the statement hands in, as a relation of its outermost WITH.
    pub(crate) fn give(
        &mut self,
        name: &str,
        columns: &[OutputColumn],
    ) -> Result<crate::sql::Slot> {
        let (rows, slot) = self.returned_rows(name, columns)?;
        let given = Cte { rows: Some(rows), part: None };
        self.ctes.push(HashMap::from([(name.to_owned(), given)]));
        Ok(slot)
    }

    /// What RETURNING gives, as something to select from.
    fn returned_rows(
        &mut self,
        name: &str,
        columns: &[OutputColumn],
    ) -> Result<(Rows, crate::sql::Slot)> {
        let mut taken = HashSet::new();
        let fields: Vec<_> =
            columns.iter().map(|c| c.kind.field(&unique(&mut taken, &c.name), true)).collect();
        let (slot, plan) = self.slot(Arc::new(Schema::new(fields)), name)?;
        let places = plan.schema().columns();
        let columns = columns.iter().zip(places).map(|(column, place)| RowsColumn {
            name: column.name.clone(),
            kind: column.kind.clone(),
            column: place,
            origin: None,
        });
        Ok((Rows { columns: columns.collect(), plan }, slot))
    }

    /// A part of WITH.
    pub(crate) fn bind_cte(&mut self, cte: &ast::Cte, recursive: bool) -> Result<()> {
        let name = fold(&cte.alias.name);
        self.refuse_known_cte(&name, cte.alias.name.span)?;
        let names: Vec<String> =
            cte.alias.columns.iter().map(|column| fold(&column.name)).collect();
        let rows = match cte.query.body.as_ref() {
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right }
                if recursive && mentions(&cte.query, &name) =>
            {
                self.recursive(&name, &names, left, right, *set_quantifier)?
            }
            _ => {
                let rows = self.query(&cte.query, None)?;
                let rows = self.settle_rows(rows)?;
                rename_cte(rows, &names, &name)?
            }
        };
        if let Some(frame) = self.ctes.last_mut() {
            frame.insert(name, Cte { rows: Some(rows), part: None });
        }
        Ok(())
    }

    /// 42712 for a name that this WITH has already.
    pub(crate) fn refuse_known_cte(&self, name: &str, span: Span) -> Result<()> {
        if !self.ctes.last().is_some_and(|frame| frame.contains_key(name)) {
            return Ok(());
        }
        let error = Error::new(
            SqlState::DUPLICATE_ALIAS,
            format!("WITH query name \"{name}\" specified more than once"),
        );
        Err(self.at(error, span))
    }

    /// `WITH RECURSIVE name AS (start UNION [ALL] step)`.
    fn recursive(
        &mut self,
        name: &str,
        names: &[String],
        start: &SetExpr,
        step: &SetExpr,
        quantifier: SetQuantifier,
    ) -> Result<Rows> {
        let start = self.set_expr(start, None)?;
        let start = self.settle_rows(start)?;
        let start = rename_cte(start, names, name)?;
        // The work table's name is the plan's alone: two recursions may share SQL's.
        let table = self.qualifier(name);
        let start = self.named_columns(start)?;
        let start = self.unlabelled(start)?;
        let schema = Schema::new(
            start
                .columns
                .iter()
                .map(|c| Field::new(&c.column.name, c.kind.arrow(), true))
                .collect::<Vec<_>>(),
        );
        let work = Arc::new(CteWorkTable::new(&table, Arc::new(schema)));
        let scan = build(LogicalPlanBuilder::scan(table.as_str(), provider_as_source(work), None))?;
        let columns = start
            .columns
            .iter()
            .map(|column| RowsColumn {
                column: Column::new(Some(table.as_str()), &column.column.name),
                ..column.clone()
            })
            .collect();
        let mut frame = HashMap::new();
        let rows = Some(Rows { plan: scan, columns });
        frame.insert(name.to_owned(), Cte { rows, part: None });
        self.ctes.push(frame);
        let kinds: Vec<PgType> = start.columns.iter().map(|column| column.kind.clone()).collect();
        let step = self.set_expr(step, Some(&kinds));
        self.ctes.pop();
        let step = self.cast_rows(step?, &kinds, "UNION")?;
        let step = self.named_as(step, &start)?;
        let step = self.unlabelled(step)?;
        let distinct = !matches!(quantifier, SetQuantifier::All);
        let plan = build(LogicalPlanBuilder::from(start.plan.clone()).to_recursive_query(
            table.clone(),
            step.plan,
            distinct,
        ))?;
        Ok(Rows { plan, columns: start.columns })
    }
}

/// The change of rows that a query is, if it is one.
fn changed_by(query: &ast::Query) -> Option<&ast::Statement> {
    match query.body.as_ref() {
        SetExpr::Insert(change)
        | SetExpr::Update(change)
        | SetExpr::Delete(change)
        | SetExpr::Merge(change) => Some(change),
        _ => None,
    }
}

/// Whether a query is a change of rows or has one in its WITH.
pub(crate) fn has_changes(query: &ast::Query) -> bool {
    let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
    changed_by(query).is_some() || ctes.into_iter().any(|cte| changed_by(&cte.query).is_some())
}

/// The rows of a part of WITH under the names that it gives its columns.
fn rename_cte(rows: Rows, names: &[String], name: &str) -> Result<Rows> {
    let columns = rows.columns.len();
    if names.len() <= columns {
        return rename(rows, names, name);
    }
    let given = names.len();
    Err(Error::new(
        SqlState::INVALID_COLUMN_REFERENCE,
        format!(
            "WITH query \"{name}\" has {columns} columns available but {given} columns specified"
        ),
    ))
}

/// Whether a query names a relation.
fn mentions(query: &ast::Query, name: &str) -> bool {
    // Its own text tells: a name that is only a column's costs no more than a work table.
    let text = query.to_string().to_lowercase();
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && !part(after)
    })
}
