//! Generated columns: their values from the other columns of the row.
//!
//! A value that a model makes is dear: a change that leaves what it is made of leaves it, too. In a
//! table whose option `embedding` is `deferred` it is not made here at all: the row is written
//! without, and a worker adds it.

use crate::{
    catalog::{Column as TableColumn, Table},
    error::{Error, Result, SqlState},
    ids::ColumnId,
    pgtype::PgType,
    sql::{
        Context, Relations,
        binder::{Binder, Place, build},
        calls::model::is_call_of_model,
        coerce::Reason,
        dml::{exact, has_subquery, row_scope},
        error::from_datafusion,
        parse::parse_expression,
        typed::{Typed, bare},
    },
};
use datafusion::{
    common::{
        Column, ScalarValue,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, Case, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Volatility},
};
use std::sync::Arc;

/// Rows that take the place of others: which of their columns are set, and rows beside them whose
/// values are known, so that what they are made of need not be made again.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    pub(crate) set: Vec<ColumnId>,
    /// The old row, and under ON CONFLICT that which was to be inserted.
    pub(crate) known: Vec<KnownRow>,
}

/// Where the values of such a row stand in the plan, behind everything else.
#[derive(Debug)]
pub(crate) struct KnownRow {
    pub(crate) values: Vec<(ColumnId, String)>,
    /// Whether columns that are not set have its values.
    pub(crate) is_old: bool,
}

impl Replaced {
    /// How many columns stand in the plan for their sake.
    fn width(&self) -> usize {
        self.known.iter().map(|row| row.values.len()).sum()
    }
}

impl KnownRow {
    fn value(&self, column: ColumnId) -> Option<Expr> {
        let (_, name) = self.values.iter().find(|(id, _)| *id == column)?;
        Some(Expr::Column(Column::new_unqualified(name)))
    }
}

impl Binder<'_> {
    /// Rows of a table, whose columns stand in a plan from `offset` on, with their generated
    /// columns computed. What stands in the plan for the sake of that alone is left out.
    pub(crate) fn with_generated(
        &mut self,
        table: &Table,
        plan: LogicalPlan,
        offset: usize,
        replaced: Option<&Replaced>,
    ) -> Result<LogicalPlan> {
        if table.columns.iter().all(|column| column.generated.is_none()) {
            return Ok(plan);
        }
        let places = plan.schema().columns();
        let mut exprs: Vec<Expr> = places.iter().cloned().map(Expr::Column).collect();
        let is_deferred = self.context.catalog().defers_embedding(table);
        for (at, column) in table.columns.iter().enumerate() {
            if let Some(text) = &column.generated {
                let typed = self.generation(table, column, text, &places[offset..])?;
                let typed = self.for_column(typed, column)?;
                let mut value = exact(typed, &column.kind);
                if let Some(replaced) = replaced.filter(|_| !column.models.is_empty()) {
                    value = unless_known(
                        table,
                        column,
                        value,
                        &places[offset..],
                        replaced,
                        is_deferred,
                    )?;
                } else if !column.models.is_empty() && is_deferred {
                    value = Expr::Literal(null(&column.kind)?, None);
                }
                exprs[offset + at] = value.alias(&places[offset + at].name);
            }
        }
        exprs.truncate(places.len() - replaced.map_or(0, Replaced::width));
        build(LogicalPlanBuilder::from(plan).project(exprs))
    }

    /// The value of a generated column over a row.
    fn generation(
        &mut self,
        table: &Table,
        column: &TableColumn,
        text: &str,
        places: &[Column],
    ) -> Result<Typed> {
        let typed = self.generating(table, text, places)?;
        let kind = typed.kind.clone();
        if let (PgType::Vector(Some(made)), PgType::Vector(Some(wanted))) = (&kind, &column.kind)
            && made != wanted
        {
            return Err(Error::new(
                SqlState::DATA_EXCEPTION,
                format!("expected {wanted} dimensions, not {made}"),
            )
            .hint(format!("Declare column \"{}\" as vector({made}).", column.name))
            .column(&column.name));
        }
        self.coerce(typed, &column.kind, Reason::Assignment).map_err(|error| {
            if error.state() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" is of type {} but default expression is of type {}",
                    column.name,
                    bare(&column.kind),
                    bare(&kind)
                ),
            )
            .hint("You will need to rewrite or cast the expression.")
        })
    }

    /// A generated column's expression over a row.
    fn generating(&mut self, table: &Table, text: &str, places: &[Column]) -> Result<Typed> {
        let expr = parse_expression(text)?;
        self.apart(|binder| {
            binder.scopes.push(row_scope(table, &table.name, places));
            let place = Place::plain("column generation expressions");
            binder.in_place(place, |binder| binder.expr(&expr))
        })
    }

    fn check_generation(&mut self, table: &Table, column: &TableColumn, text: &str) -> Result<()> {
        let name = |column: &TableColumn| Column::new_unqualified(&column.name);
        let places: Vec<Column> = table.columns.iter().map(name).collect();
        let typed = self.generation(table, column, text, &places)?;
        if has_subquery(&typed.expr)? {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot use subquery in column generation expression",
            ));
        }
        let used = typed.expr.column_refs();
        let mut others = table.columns.iter().filter(|other| other.generated.is_some());
        if let Some(other) = others.find(|other| used.contains(&name(other))) {
            return Err(invalid(format!(
                "cannot use generated column \"{}\" in column generation expression",
                other.name
            ))
            .detail("A generated column cannot reference another generated column."));
        }
        if !is_immutable(&typed.expr)? {
            return Err(invalid("generation expression is not immutable".to_owned()));
        }
        Ok(())
    }
}

/// Checks the expressions of a table's generated columns.
///
/// # Errors
/// 42P17 for what may give another value for the same row, and those of binding.
pub fn check_generated(
    table: &Table,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<()> {
    for column in &table.columns {
        if let Some(text) = &column.generated {
            Binder::new(context, relations, None, &[]).check_generation(table, column, text)?;
        }
    }
    Ok(())
}

/// The type of what a generated column's expression gives.
///
/// # Errors
/// Those of binding.
pub fn generated_kind(
    table: &Table,
    column: &TableColumn,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<PgType> {
    let text = column.generated.as_deref().unwrap_or("NULL");
    let places: Vec<Column> =
        table.columns.iter().map(|column| Column::new_unqualified(&column.name)).collect();
    let mut binder = Binder::new(context, relations, None, &[]);
    binder.generating(table, text, &places).map(|typed| typed.kind)
}

/// The columns that an expression over a table's rows reads.
///
/// # Errors
/// Those of binding.
pub fn generated_sources(
    table: &Table,
    text: &str,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<Vec<ColumnId>> {
    let places: Vec<Column> =
        table.columns.iter().map(|column| Column::new_unqualified(&column.name)).collect();
    let typed = Binder::new(context, relations, None, &[]).generating(table, text, &places)?;
    let used = typed.expr.column_refs();
    let sources = table.columns.iter().zip(&places).filter(|(_, place)| used.contains(place));
    Ok(sources.map(|(column, _)| column.id).collect())
}

/// What PostgreSQL says of a column that only its expression may set.
pub(crate) fn refuse_value(column: &TableColumn, message: String) -> Result<()> {
    if column.generated.is_none() {
        return Ok(());
    }
    let detail = format!("Column \"{}\" is a generated column.", column.name);
    Err(Error::new(SqlState::new(b"428C9"), message).detail(detail))
}

/// What PostgreSQL says of a generated column in COPY.
pub(crate) fn refuse_copy(column: &TableColumn) -> Result<()> {
    if column.generated.is_none() {
        return Ok(());
    }
    let message = format!("column \"{}\" is a generated column", column.name);
    Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message)
        .detail("Generated columns cannot be used in COPY."))
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::new(b"42P17"), message)
}

/// A column's value, made only where no row is known that has it already.
fn unless_known(
    table: &Table,
    column: &TableColumn,
    value: Expr,
    places: &[Column],
    replaced: &Replaced,
    is_deferred: bool,
) -> Result<Expr> {
    let used = value.column_refs();
    let sources: Vec<(&TableColumn, &Column)> =
        table.columns.iter().zip(places).filter(|(_, place)| used.contains(place)).collect();
    let value = if is_deferred { Expr::Literal(null(&column.kind)?, None) } else { value };
    // `SET column = DEFAULT` asks for it anew.
    if replaced.set.contains(&column.id) {
        return Ok(value);
    }
    let mut cases = Vec::new();
    for row in replaced.known.iter().filter(|row| row.is_old || !is_deferred) {
        let Some(known) = row.value(column.id) else { continue };
        match same(&sources, replaced, row) {
            Same::Always => return Ok(known),
            Same::Where(condition) => cases.push((Box::new(condition), Box::new(known))),
            Same::Unknown => {}
        }
    }
    if cases.is_empty() {
        return Ok(value);
    }
    let (expr, else_expr) = (None, Some(Box::new(value)));
    Ok(Expr::Case(Case { expr, when_then_expr: cases, else_expr }))
}

/// When a new row has the sources of a known one.
enum Same {
    Always,
    Where(Expr),
    Unknown,
}

fn same(sources: &[(&TableColumn, &Column)], replaced: &Replaced, row: &KnownRow) -> Same {
    let mut condition: Option<Expr> = None;
    for (source, place) in sources {
        if row.is_old && !replaced.set.contains(&source.id) {
            continue;
        }
        let known = row.value(source.id).filter(|_| !source.kind.arrow().is_nested());
        let Some(known) = known else { return Same::Unknown };
        let same = Expr::BinaryExpr(BinaryExpr {
            left: Box::new(Expr::Column((*place).clone())),
            op: Operator::IsNotDistinctFrom,
            right: Box::new(known),
        });
        condition = Some(match condition {
            Some(others) => others.and(same),
            None => same,
        });
    }
    condition.map_or(Same::Always, Same::Where)
}

fn null(kind: &PgType) -> Result<ScalarValue> {
    ScalarValue::try_from(&kind.arrow()).map_err(from_datafusion)
}

pub(super) fn is_immutable(expr: &Expr) -> Result<bool> {
    let mut immutable = true;
    expr.apply(|part| {
        if let Expr::ScalarFunction(function) = part {
            // The catalog sees to it that a model stays as it is while a column has its vectors.
            immutable &= function.func.signature().volatility == Volatility::Immutable
                || is_call_of_model(part);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(from_datafusion)?;
    Ok(immutable)
}
