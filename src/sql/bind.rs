//! From a parsed statement to a bound one.

use crate::{
    catalog::{Column, PG_TEMP, Privileges},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid},
    pgtype::{
        PgType,
        copy::{self, CopyOptions},
    },
    sql::{
        Bound, Context, Copy, CopyDirection, LockWait, Locking, OutputColumn, Plan, Query,
        Relations, Slot,
        binder::{Binder, Place, build},
        coerce::Reason,
        generated::refuse_copy,
        needs::{Gathered, Needs},
        piecemeal::Piecemeal,
        query::one_row,
        statement::{Ast, CopyStatement, Statement},
        typed::{Rows, unique},
        utility::{CreateTableAs, CreateView, Declare, Execute, Utility, keeps_rows},
        with::has_changes,
    },
};
use datafusion::{
    logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, expr::Cast},
    sql::sqlparser::ast,
};
use std::{collections::HashSet, sync::Arc};

/// Gives names and types to a statement.
///
/// # Errors
/// What PostgreSQL raises for the same statement over the same catalog, with its place in the
/// message; 0A000 for what Nearlake does not do.
pub fn bind(
    statement: &Statement,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
    parameter_types: &[Option<PgType>],
) -> Result<(Bound, Needs)> {
    let source = Some(statement.source.as_ref());
    let mut binder = Binder::new(context, relations, source, parameter_types);
    let bound = binder.statement(&statement.ast)?;
    Ok((bound, binder.needs.all()))
}

/// The same for a statement that reads rows which do not lie in a table: they are the relation
/// `name`, and each run finds them in the slot.
///
/// # Errors
/// Those of [`bind`].
pub fn bind_given(
    statement: &Statement,
    (name, columns): (&str, &[OutputColumn]),
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
    parameter_types: &[Option<PgType>],
) -> Result<(Bound, Needs, Slot)> {
    let source = Some(statement.source.as_ref());
    let mut binder = Binder::new(context, relations, source, parameter_types);
    let slot = binder.give(name, columns)?;
    let bound = binder.statement(&statement.ast)?;
    Ok((bound, binder.needs.all(), slot))
}

/// The arguments of EXECUTE as a query of one row, for a statement with parameters of `types`.
///
/// # Errors
/// 42601 when their number is another, 42804 when one does not fit.
pub fn bind_arguments(
    execute: &Execute,
    types: &[PgType],
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<(Query, Needs)> {
    if execute.arguments.len() != types.len() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!("wrong number of parameters for prepared statement \"{}\"", execute.name),
        )
        .detail(format!(
            "Expected {} parameters but got {}.",
            types.len(),
            execute.arguments.len()
        )));
    }
    let mut binder = Binder::new(context, relations, None, &[]);
    let mut exprs = Vec::new();
    let mut columns = Vec::new();
    for (at, (argument, kind)) in execute.arguments.iter().zip(types).enumerate() {
        let place = Place::plain("EXECUTE parameters");
        let typed = binder.in_place(place, |binder| binder.expr(argument))?;
        let typed = binder.coerce(typed, kind, Reason::Assignment)?;
        let name = format!("${}", at + 1);
        exprs.push(Expr::Cast(Cast::new(Box::new(typed.expr), kind.arrow())).alias(&name));
        columns.push(OutputColumn { name, kind: kind.clone(), table: 0, column: 0 });
    }
    let plan = build(LogicalPlanBuilder::from(one_row()).project(exprs))?;
    let plan = Plan::new(plan);
    let query = Query {
        plan,
        columns,
        parameters: Vec::new(),
        tables: Vec::new(),
        locking: None,
        questions: Vec::new(),
    };
    Ok((query, binder.needs.all()))
}

impl Binder<'_> {
    fn statement(&mut self, statement: &Ast) -> Result<Bound> {
        Ok(match statement {
            Ast::Query(query) => self.top_query(query)?,
            Ast::Insert(insert) => Bound::Insert(self.insert(insert)?),
            Ast::Update(update) => Bound::Update(self.update(update)?),
            Ast::Delete(delete) => Bound::Delete(self.delete(delete)?),
            Ast::Merge(merge) => Bound::Merge(self.merge(merge)?),
            Ast::Explain(options, inner) => {
                let query = match inner.as_ref() {
                    Ast::CreateTableAs { query, .. } => self.statement(query)?,
                    Ast::Declare { query, scroll, hold, .. } => {
                        Bound::Query(self.cursor_query(query, keeps_rows(*scroll, *hold))?)
                    }
                    inner => self.statement(inner)?,
                };
                Bound::Explain { options: *options, query: Box::new(query) }
            }
            Ast::Copy(copy) => Bound::Copy(self.copy(copy)?),
            Ast::CreateTableAs { table, names, query, with_data } => {
                let Ast::Query(query) = query.as_ref() else {
                    return Err(Error::unsupported("CREATE TABLE … AS EXECUTE is not supported")
                        .hint("Write the query into the statement."));
                };
                if has_changes(query) {
                    return Err(Error::unsupported(
                        "CREATE TABLE AS with changes of rows in WITH is not supported",
                    )
                    .hint("Create the table, then INSERT into it from the WITH."));
                }
                let mut query = self.whole_query(query)?;
                if names.len() > query.columns.len() {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "too many column names were specified",
                    ));
                }
                for (column, name) in query.columns.iter_mut().zip(names) {
                    column.name.clone_from(name);
                }
                refuse_duplicates(query.columns.iter().map(|column| column.name.as_str()))?;
                let mut table = table.as_ref().clone();
                table.query = Some(CreateTableAs { query: Box::new(query), with_data: *with_data });
                Bound::Utility(Utility::CreateTable(table))
            }
            Ast::CreateView { name, or_replace, columns, query, text } => {
                refuse_changes(query, "views")?;
                let bound = self.whole_query(query)?;
                // Its owner may read what is in it when it is read, or may not.
                self.needs = Gathered::default();
                if !bound.parameters.is_empty() {
                    return Err(Error::new(
                        SqlState::UNDEFINED_PARAMETER,
                        "there is no parameter $1",
                    ));
                }
                let mut named = columns.iter();
                let columns: Vec<(String, PgType)> = bound
                    .columns
                    .into_iter()
                    .map(|c| (named.next().cloned().unwrap_or(c.name), c.kind))
                    .collect();
                if named.next().is_some() {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "CREATE VIEW specifies more column names than columns",
                    ));
                }
                refuse_duplicates(columns.iter().map(|(name, _)| name.as_str()))?;
                let mut name = name.clone();
                let mut tables = self.tables.iter().filter_map(|&id| self.catalog.table(id));
                if name.schema.as_deref() != Some(PG_TEMP)
                    && tables.any(|table| self.catalog.is_temporary(table.schema))
                {
                    let message = format!("view \"{}\" will be a temporary view", name.name);
                    self.context.notice(Error::new(SqlState::new(b"00000"), message));
                    name.schema = Some(PG_TEMP.to_owned());
                }
                let is_temporary = name.schema.as_deref() == Some(PG_TEMP);
                let stays = |id: &Oid| is_temporary || !self.catalog.is_temporary(*id);
                Bound::Utility(Utility::CreateView(CreateView {
                    path: self.path.iter().copied().filter(stays).collect(),
                    name,
                    or_replace: *or_replace,
                    columns,
                    query: text.clone(),
                }))
            }
            Ast::Declare { name, query, scroll, hold, binary } => {
                refuse_changes(query, "DECLARE CURSOR")?;
                Bound::Utility(Utility::Declare(Declare {
                    name: name.clone(),
                    query: Box::new(self.cursor_query(query, keeps_rows(*scroll, *hold))?),
                    scroll: *scroll,
                    hold: *hold,
                    binary: *binary,
                }))
            }
            Ast::Execute { name, arguments } => Bound::Utility(Utility::Execute(Execute {
                name: name.clone(),
                arguments: arguments.clone(),
            })),
            Ast::Utility(utility) => Bound::Utility(utility.as_ref().clone()),
        })
    }

    /// A query whose rows go to the client.
    pub(crate) fn whole_query(&mut self, query: &ast::Query) -> Result<Query> {
        let rows = self.query(query, None)?;
        let rows = self.settle_rows(rows)?;
        let locking = self.locking(query)?;
        self.finished(rows, locking)
    }

    /// The query of a cursor, which reads it all at once or goes through it row by row.
    fn cursor_query(&mut self, query: &ast::Query, at_once: bool) -> Result<Query> {
        let query = self.whole_query(query)?;
        if at_once {
            return Ok(query);
        }
        let node = Arc::new(Piecemeal { input: query.plan.logical().clone() });
        let plan = Plan::new(LogicalPlan::Extension(Extension { node }));
        Ok(Query { plan, ..query })
    }

    fn finished(&mut self, rows: Rows, locking: Option<Locking>) -> Result<Query> {
        let (plan, columns) = self.output(rows)?;
        Ok(Query {
            plan: Plan::new(plan),
            columns,
            parameters: self.parameter_types(),
            tables: self.tables.iter().copied().collect(),
            locking,
            questions: self.questions.clone(),
        })
    }

    /// Rows as the client sees them: columns of just the Arrow types that their types have.
    pub(crate) fn output(&mut self, rows: Rows) -> Result<(LogicalPlan, Vec<OutputColumn>)> {
        let attnum = |(table, column): (Oid, ColumnId)| {
            let found = self.catalog.table(table).and_then(|table| table.column_by_id(column));
            found.map_or(column.0, Column::attnum)
        };
        let columns: Vec<OutputColumn> = rows
            .columns
            .iter()
            .map(|column| OutputColumn {
                name: column.name.clone(),
                kind: column.kind.clone(),
                table: column.origin.map_or(0, |(table, _)| table.0),
                column: column.origin.map_or(0, attnum),
            })
            .collect();
        let schema = Arc::clone(rows.plan.schema());
        let fits = rows.columns.len() == schema.fields().len()
            && rows.columns.iter().zip(schema.columns()).zip(schema.fields()).all(
                |((c, place), field)| c.column == place && *field.data_type() == c.kind.arrow(),
            );
        if fits {
            return Ok((rows.plan, columns));
        }
        let mut taken = HashSet::new();
        let exprs = rows
            .columns
            .iter()
            .map(|column| {
                let expr = Expr::Column(column.column.clone());
                let same = schema
                    .maybe_index_of_column(&column.column)
                    .is_some_and(|at| *schema.field(at).data_type() == column.kind.arrow());
                let name = unique(&mut taken, &column.name);
                let expr = if same {
                    expr
                } else {
                    Expr::Cast(Cast::new(Box::new(expr), column.kind.arrow()))
                };
                expr.alias(name)
            })
            .collect::<Vec<_>>();
        let plan = build(LogicalPlanBuilder::from(rows.plan).project(exprs))?;
        Ok((plan, columns))
    }

    /// FOR UPDATE and kin: of a query over one table and no more.
    fn locking(&mut self, query: &ast::Query) -> Result<Option<Locking>> {
        let Some(lock) = query.locks.first() else { return Ok(None) };
        let refused = || {
            Error::unsupported("FOR UPDATE is supported over one table, without joins, groups or sets")
                .hint("Lock the rows in a statement of their own: SELECT … FROM one_table WHERE … FOR UPDATE.")
        };
        let ast::SetExpr::Select(select) = query.body.as_ref() else { return Err(refused()) };
        let [from] = select.from.as_slice() else { return Err(refused()) };
        let ast::TableFactor::Table { name, alias, args: None, .. } = &from.relation else {
            return Err(refused());
        };
        let plain = from.joins.is_empty()
            && select.distinct.is_none()
            && select.having.is_none()
            && matches!(&select.group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
        if !plain {
            return Err(refused());
        }
        let name = self.object_name(name)?;
        let table = match self.relation(&name)? {
            super::binder::Named::Relation(crate::catalog::Relation::Table(table)) => table,
            _ => return Ok(None),
        };
        if let Some(of) = &lock.of {
            let of = self.object_name(of)?;
            let visible = alias.as_ref().map_or(&table.name, |alias| &alias.name.value);
            if !of.name.eq_ignore_ascii_case(visible) {
                let error = Error::new(
                    SqlState::UNDEFINED_TABLE,
                    format!(
                        "relation \"{}\" in FOR UPDATE clause not found in FROM clause",
                        of.name
                    ),
                );
                return Err(error);
            }
        }
        let limited = query.limit_clause.is_some() || query.fetch.is_some();
        let rows = self.rows_to_lock(&table, alias.as_ref(), select, query, limited)?;
        Ok(Some(Locking {
            table,
            rows: Plan::new(rows),
            shared: lock.lock_type == ast::LockType::Share,
            wait: match lock.nonblock {
                None => LockWait::Wait,
                Some(ast::NonBlock::Nowait) => LockWait::NoWait,
                Some(ast::NonBlock::SkipLocked) => LockWait::SkipLocked,
            },
        }))
    }

    fn copy(&mut self, statement: &CopyStatement) -> Result<Copy> {
        let direction = match (&statement.table, &statement.query) {
            (Some((name, columns)), _) if !statement.to => {
                self.copy_in(name, columns, statement.predicate.as_ref())?
            }
            (Some((name, columns)), _) => {
                CopyDirection::Out { query: self.copy_table(name, columns)? }
            }
            (None, Some(query)) => {
                let Ast::Query(query) = query.as_ref() else {
                    return Err(Error::unsupported(
                        "COPY of INSERT, UPDATE or DELETE is not supported",
                    )
                    .hint("Run the statement with RETURNING."));
                };
                if has_changes(query) {
                    return Err(Error::unsupported(
                        "COPY of changes of rows in WITH is not supported",
                    )
                    .hint("Run the statement by itself; it gives its rows."));
                }
                CopyDirection::Out { query: self.whole_query(query)? }
            }
            (None, None) => return Err(Error::internal("COPY of nothing")),
        };
        let way = if statement.to { copy::CopyDirection::To } else { copy::CopyDirection::From };
        let options = CopyOptions::parse(way, &statement.options)?;
        Ok(Copy { direction, options, file: statement.file.clone() })
    }

    fn copy_table(&mut self, name: &super::utility::Name, columns: &[String]) -> Result<Query> {
        let table = self.table(name)?;
        let mention = self.needs.mention(table.id, Privileges::SELECT);
        let qualifier = self.qualifier(&table.name);
        let rows = self.scan(&table, super::Hidden::None, &qualifier)?;
        let generated = table.columns.iter().any(|column| column.generated.is_some());
        let all: Vec<String>;
        let columns = match columns {
            [] if !generated => {
                self.needs.select(mention, table.columns.iter().map(|column| column.id));
                return self.finished(rows, None);
            }
            [] => {
                let given = table.columns.iter().filter(|column| column.generated.is_none());
                all = given.map(|column| column.name.clone()).collect();
                all.as_slice()
            }
            columns => columns,
        };
        refuse_duplicates(columns.iter().map(String::as_str))?;
        let mut chosen = Vec::new();
        for name in columns {
            let column = table.expect_column(name)?;
            self.needs.select(mention, [column.id]);
            refuse_copy(column)?;
            let found = rows.columns.iter().find(|c| c.origin == Some((table.id, column.id)));
            chosen.extend(found.cloned());
        }
        self.finished(Rows { plan: rows.plan, columns: chosen }, None)
    }
}

/// 0A000 for changes of rows in the WITH of what is run again and again.
fn refuse_changes(query: &ast::Query, what: &str) -> Result<()> {
    if !has_changes(query) {
        return Ok(());
    }
    Err(Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("{what} must not contain data-modifying statements in WITH"),
    ))
}

/// 42701 when a name is there twice.
pub(crate) fn refuse_duplicates<'n>(names: impl Iterator<Item = &'n str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
    }
    Ok(())
}
