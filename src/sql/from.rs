//! FROM: tables, views, queries, functions and their joins.

mod join;
mod lateral;

use crate::{
    catalog::{PG_CATALOG, Privileges, Relation, Table, View, pg::SystemRelation},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::PgType,
    sql::{
        Hidden, ROW_COLUMN,
        binder::{Binder, Named, build, qualified},
        names::alias_names,
        query::one_row,
        reshape::rename,
        tokens::fold,
        typed::{Hiding, Offered, Rows, RowsColumn, ScopeColumn},
    },
};
use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{Expr, LogicalPlanBuilder},
    sql::sqlparser::ast::{self, Spanned, TableFactor},
};
use join::cross_join;
use lateral::{is_lateral, set_call};
use std::{collections::HashSet, sync::Arc};

impl Binder<'_> {
    /// FROM: its parts, each with its joins, one beside the other.
    pub(crate) fn parts_of_from(&mut self, from: &[ast::TableWithJoins]) -> Result<Offered> {
        let mut all: Option<Offered> = None;
        for part in from {
            all = Some(self.joined(part, all)?);
        }
        let all = all.unwrap_or_else(|| (one_row(), Vec::new()));
        Ok(all)
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
                let inner: Vec<Column> = rows.columns.iter().map(|c| c.column.clone()).collect();
                let offered = self.aliased(rows, Some(alias), "join")?;
                for (inner, column) in inner.into_iter().zip(&offered.1) {
                    self.needs.offer_again(&Expr::Column(inner), &column.expr);
                }
                Ok(offered)
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
                let offered = offered(rows, alias, &visible, schema, table.id)?;
                let mention = self.needs.mention(table.id, Privileges::SELECT);
                self.needs.offer(mention, &offered.1, table.columns.iter().map(|c| c.id));
                Ok(offered)
            }
            Named::Relation(Relation::View(view)) => {
                let mention = self.needs.mention(view.id, Privileges::SELECT);
                let rows = self.view(&view)?;
                let offered = self.aliased(rows, alias, &view.name)?;
                self.needs.offer(mention, &offered.1, (1..).map(ColumnId));
                Ok(offered)
            }
            Named::Relation(Relation::Sequence(sequence)) => {
                self.needs.mention(sequence.id, Privileges::SELECT);
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
                self.needs.mention(relation.oid, Privileges::SELECT);
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
        columns.iter().for_each(|column| self.needs.read(&column.expr));
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
        if hidden == Hidden::None {
            self.remember_scan(qualifier, table);
        }
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
        let rows = self.as_owner_of(view, |binder| {
            let rows = binder.query(&query, None)?;
            binder.settle_rows(rows)
        })?;
        let kinds: Vec<PgType> = view.columns.iter().map(|(_, kind)| kind.clone()).collect();
        let rows = self.cast_rows(rows, &kinds, "view")?;
        let names: Vec<String> = view.columns.iter().map(|(name, _)| name.clone()).collect();
        rename(rows, &names, &view.name)
    }

    /// Binds a view's text: by the names that its owner saw, with its owner's rights.
    fn as_owner_of<T>(
        &mut self,
        view: &View,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let path = match view.path.as_slice() {
            [] => {
                let public = self.catalog.schema_named(self.context.database(), "public");
                let public = public.map(|schema| schema.id);
                [PG_CATALOG, view.schema].into_iter().chain(public).collect()
            }
            path => path.to_vec(),
        };
        let path = std::mem::replace(&mut self.path, path);
        let role = self.needs.role.replace(view.owner);
        let bound = self.deeper(|binder| binder.apart(bind));
        self.path = path;
        self.needs.role = role;
        bound
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
