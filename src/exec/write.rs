//! What every change of rows has in common: the shape of rows, NOT NULL and CHECK, RETURNING.

use super::{
    locks::{Granted, Mode, Target},
    relations::Sources,
    run::Run,
    snapshot::Snapshot,
    transaction::Transaction,
};
use crate::{
    catalog::{Column, ConstraintKind, Table},
    error::{Error, Result, SqlState},
    ids::RowId,
    pgtype::{self, PgType, style::Style},
    sql::{self, Bound, Context, Hidden, OutputColumn, Plan, Query, Relations, Returning, Slot},
    storage::columns::column_name,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion::{common::ScalarValue, logical_expr::TableSource};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// What a change of rows works with, beside its transaction.
#[derive(Debug, Clone)]
pub struct Env {
    /// How its plans run.
    pub run: Run,
    /// The session, for expressions that are bound on the way.
    pub context: Arc<dyn Context>,
    /// The values of `$1`, `$2` …
    pub parameters: Vec<ScalarValue>,
    /// `lock_timeout`.
    pub lock_timeout: Option<Duration>,
    /// Where large transactions go before they commit.
    pub spill: super::spill::Spill,
    /// Where indexes are built, and with what.
    pub builds: Arc<super::build::Builds>,
    /// What a build of this statement may use.
    pub limits: super::build::Limits,
    /// The picture that all parts of a statement share; `None`: the statement has one part.
    pub shared: Option<Arc<Snapshot>>,
}

/// What a change of rows did.
#[derive(Debug)]
pub struct Written {
    /// How many rows it touched.
    pub rows: u64,
    /// What RETURNING gives.
    pub returned: Option<Vec<RecordBatch>>,
}

impl Env {
    /// The same for a snapshot taken anew.
    #[must_use]
    pub fn on(&self, snapshot: Arc<Snapshot>) -> Self {
        Self { run: self.run.on(snapshot), ..self.clone() }
    }

    /// Takes a lock for a transaction.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub async fn lock(
        &self,
        target: Target,
        mode: Mode,
        transaction: &Transaction,
    ) -> Result<Granted> {
        let (locks, owner) = (transaction.locks(), transaction.owner());
        if let Some(granted) = locks.try_acquire(owner, &target, mode) {
            return Ok(granted);
        }
        tokio::select! {
            granted = locks.acquire(owner, target, mode, self.lock_timeout) => granted,
            () = self.run.cancel().cancelled() => Err(super::run::cancelled()),
        }
    }

    /// What the running statement sees.
    pub fn picture(&self, transaction: &mut Transaction) -> Arc<Snapshot> {
        match &self.shared {
            Some(shared) => Arc::clone(shared),
            None => transaction.snapshot(),
        }
    }
}

/// The schema under which storage keeps a table's rows: columns named by number.
#[must_use]
pub fn storage_schema(table: &Table) -> SchemaRef {
    let field = |column: &Column| Field::new(column_name(column.id), column.kind.arrow(), true);
    Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()))
}

/// Rows in table order as storage keeps them.
///
/// # Errors
/// When an array is not of its column's type: a fault of the plan.
pub fn to_storage(schema: &SchemaRef, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.to_vec(), &options)
        .map_err(|error| Error::internal("rows are not of their table's types").source(error))
}

/// The checks of a table that each new row must pass.
#[derive(Debug)]
pub struct RowChecks {
    table: Arc<Table>,
    checks: Vec<Check>,
}

#[derive(Debug)]
struct Check {
    name: String,
    input: Slot,
    plan: Arc<Plan>,
}

impl RowChecks {
    /// Binds the table's CHECK expressions.
    ///
    /// # Errors
    /// When an expression no longer binds.
    pub fn new(table: &Arc<Table>, context: &Arc<dyn Context>) -> Result<Self> {
        let mut checks = Vec::new();
        for constraint in &table.constraints {
            if let ConstraintKind::Check { expression } = &constraint.kind {
                let (input, plan) = over_rows(table, &format!("({expression})"), context)?;
                checks.push(Check { name: constraint.name.clone(), input, plan });
            }
        }
        Ok(Self { table: Arc::clone(table), checks })
    }

    /// Whether there is anything to check.
    #[must_use]
    pub fn are_any(&self) -> bool {
        !self.checks.is_empty() || self.table.columns.iter().any(|column| column.not_null)
    }

    /// Checks rows in table order.
    ///
    /// # Errors
    /// 23502, 23514.
    pub async fn check(&self, rows: &RecordBatch, env: &Env) -> Result<()> {
        for (column, values) in self.table.columns.iter().zip(rows.columns()) {
            if column.not_null && values.logical_null_count() > 0 {
                let nulls = values.logical_nulls().expect("there are nulls");
                let row = (0..values.len()).find(|&i| nulls.is_null(i)).unwrap_or(0);
                return Err(self.not_null_violation(column, rows, row));
            }
        }
        for check in &self.checks {
            check.input.fill([rows.clone()]);
            let (_, answers) = env.run.collect(&check.plan, &[]).await?;
            let mut first = 0;
            for answer in &answers {
                let passed = answer.column(0).as_boolean();
                let failed = |i: &usize| passed.is_valid(*i) && !passed.value(*i);
                if let Some(row) = (0..passed.len()).find(failed) {
                    return Err(self.check_violation(check, rows, first + row));
                }
                first += passed.len();
            }
        }
        Ok(())
    }

    fn not_null_violation(&self, column: &Column, rows: &RecordBatch, row: usize) -> Error {
        let message = format!(
            "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
            column.name, self.table.name
        );
        Error::new(SqlState::NOT_NULL_VIOLATION, message)
            .detail(self.failing_row(rows, row))
            .table(schema_name(&self.table), &self.table.name)
            .column(&column.name)
    }

    fn check_violation(&self, check: &Check, rows: &RecordBatch, row: usize) -> Error {
        let message = format!(
            "new row for relation \"{}\" violates check constraint \"{}\"",
            self.table.name, check.name
        );
        Error::new(SqlState::CHECK_VIOLATION, message)
            .detail(self.failing_row(rows, row))
            .table(schema_name(&self.table), &self.table.name)
            .constraint(&check.name)
    }

    fn failing_row(&self, rows: &RecordBatch, row: usize) -> String {
        let shown = self.table.columns.iter().zip(rows.columns()).map(|(column, values)| {
            let mut text = value_text(&column.kind, values, row);
            if text.chars().count() > 64 {
                text = text.chars().take(64).chain("...".chars()).collect();
            }
            text
        });
        format!("Failing row contains ({}).", shown.collect::<Vec<_>>().join(", "))
    }
}

/// A value as messages show it.
#[must_use]
pub fn value_text(kind: &PgType, values: &ArrayRef, row: usize) -> String {
    if values.is_null(row) {
        return "null".to_owned();
    }
    let text = pgtype::cast::text_of(kind, values, row, &Style::default());
    text.ok().flatten().unwrap_or_else(|| "?".to_owned())
}

/// The name of the schema of a table for an error's fields: only the public one is told from
/// here, others are looked up by the client.
fn schema_name(table: &Table) -> &'static str {
    if table.schema == crate::catalog::PUBLIC { "public" } else { "" }
}

/// A plan that computes an expression (SQL text) over rows of a table that its slot is filled with.
///
/// # Errors
/// Those of binding.
pub fn over_rows(
    table: &Arc<Table>,
    expression: &str,
    context: &Arc<dyn Context>,
) -> Result<(Slot, Arc<Plan>)> {
    let (slot, query) = bound_over_rows(table, expression, context)?;
    Ok((slot, query.plan))
}

/// The type of an expression over a table's rows.
///
/// # Errors
/// Those of binding.
pub fn type_over_rows(
    table: &Arc<Table>,
    expression: &str,
    context: &Arc<dyn Context>,
) -> Result<PgType> {
    let (_, query) = bound_over_rows(table, expression, context)?;
    Ok(query.columns.first().map_or(PgType::Unknown, |column| column.kind.clone()))
}

fn bound_over_rows(
    table: &Arc<Table>,
    expression: &str,
    context: &Arc<dyn Context>,
) -> Result<(Slot, Query)> {
    let schema = context
        .catalog()
        .schema(table.schema)
        .map(|schema| schema.name.clone())
        .ok_or_else(|| Error::internal("a table without a schema"))?;
    let text = format!("SELECT {expression} FROM {}.{}", quote(&schema), quote(&table.name));
    let relations = Slotted { table: table.id, slot: Mutex::new(None) };
    let statement = sql::parse(&text)?.remove(0);
    let (Bound::Query(query), needs) = sql::bind(&statement, context, &relations, &[])? else {
        return Err(Error::internal("an expression is not a query"));
    };
    // The rows are handed in; what else the expression reads is not.
    needs.check_but(table.id, &context.catalog(), context.user())?;
    let slot = relations.slot.into_inner();
    slot.map(|slot| (slot, query)).ok_or_else(|| Error::internal("no slot in a plan"))
}

/// An identifier as SQL text.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Relations under which one table is a slot.
struct Slotted {
    table: crate::ids::TableId,
    slot: Mutex<Option<Slot>>,
}

impl Relations for Slotted {
    fn table(&self, table: &Arc<Table>, hidden: Hidden) -> Arc<dyn TableSource> {
        if table.id != self.table {
            return Sources.table(table, hidden);
        }
        let schema = Arc::new(Schema::new(super::table::fields(table)));
        let (slot, source) = Sources.slot(schema);
        *self.slot.lock() = Some(slot);
        source
    }

    fn system(
        &self,
        relation: &'static crate::catalog::pg::SystemRelation,
    ) -> Arc<dyn TableSource> {
        Sources.system(relation)
    }

    fn slot(&self, schema: SchemaRef) -> (Slot, Arc<dyn TableSource>) {
        Sources.slot(schema)
    }
}

/// The rows that RETURNING gives of the changed rows. Its subqueries see what the statement saw.
///
/// # Errors
/// Those of its expressions.
pub async fn returned(
    returning: Option<&Returning>,
    changed: &[RecordBatch],
    picture: Arc<Snapshot>,
    env: &Env,
) -> Result<Option<Vec<RecordBatch>>> {
    let Some(returning) = returning else { return Ok(None) };
    let schema = returning.input.schema();
    let rows: Vec<RecordBatch> = changed
        .iter()
        .map(|batch| to_storage(schema, batch.columns(), batch.num_rows()))
        .collect::<Result<_>>()?;
    returning.input.fill(rows);
    let (_, batches) = env.on(picture).run.collect(&returning.plan, &env.parameters).await?;
    returning.input.fill([]);
    Ok(Some(batches))
}

/// What RETURNING reads of rows as they were before their change.
///
/// # Errors
/// Those of reading.
pub async fn old_columns(
    returning: Option<&Returning>,
    table: &Table,
    rows: &[RowId],
    snapshot: &Snapshot,
) -> Result<Vec<ArrayRef>> {
    let Some(returning) = returning.filter(|returning| !returning.old.is_empty()) else {
        return Ok(Vec::new());
    };
    let specs = super::table::column_specs(table)?;
    let specs: Vec<_> = returning.old.iter().map(|&place| specs[place].clone()).collect();
    let old = snapshot.table(table.id).take(rows, &specs).await?;
    Ok(old.columns().to_vec())
}

/// What RETURNING's rows look like to the client.
#[must_use]
pub fn returning_columns(returning: Option<&Returning>) -> Option<Arc<[OutputColumn]>> {
    returning.map(|returning| returning.columns.clone().into())
}
