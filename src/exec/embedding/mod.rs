//! Vectors of rows that are there already: those that were written without ([`deferred`]), and
//! those that are to get others because their column got another expression ([`replacing`]).
//!
//! Both work in lots, each a transaction of its own, so that a crash loses at most the lot that was
//! being made, and what is left to do is found again in the rows themselves. Whoever drives them
//! is `session/embedding.rs`.

pub mod deferred;
pub mod replacing;

use super::{
    relations::Sources,
    snapshot::Snapshot,
    transaction::Transaction,
    write::{Env, over_rows},
};
use crate::{
    catalog::Table,
    error::{Error, Result},
    sql::{self, Plan, Slot},
    storage::columns::ColumnSpec,
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::concat,
    datatypes::{Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// What a lot works with.
pub struct Lot<'a> {
    /// The table as its transaction sees it.
    pub table: &'a Arc<Table>,
    /// That of a statement.
    pub env: &'a Env,
    /// A transaction of its own.
    pub transaction: &'a mut Transaction,
    /// Shows names to whoever binds expressions.
    pub see: &'a (dyn Fn(Arc<Snapshot>) + Sync),
}

impl std::fmt::Debug for Lot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lot").field("table", &self.table.name).finish_non_exhaustive()
    }
}

/// A column's expression, ready to be computed over rows that are read from storage.
struct Expression {
    slot: Slot,
    plan: Arc<Plan>,
    schema: SchemaRef,
    /// The places of the columns that it may name, and how they are read.
    sources: Vec<(usize, ColumnSpec)>,
}

impl Expression {
    fn new(
        table: &Arc<Table>,
        text: &str,
        kind: &crate::pgtype::PgType,
        env: &Env,
    ) -> Result<Self> {
        let (slot, plan) = over_rows(table, &format!("({text})::{kind}"), &env.context)?;
        let specs = super::table::column_specs(table)?;
        let named = sql::generated_sources(table, text, &env.context, &Sources)?;
        let is_named = |&(place, _): &(usize, ColumnSpec)| named.contains(&table.columns[place].id);
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let schema = Schema::new(slot.schema().fields().iter().map(nullable).collect::<Vec<_>>());
        Ok(Self {
            slot,
            plan,
            schema: Arc::new(schema),
            sources: specs.into_iter().enumerate().filter(is_named).collect(),
        })
    }

    fn specs(&self) -> Vec<ColumnSpec> {
        self.sources.iter().map(|(_, spec)| spec.clone()).collect()
    }

    /// Its value for each row, of which the sources are given.
    async fn values(&self, sources: &[ArrayRef], rows: usize, env: &Env) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (place, field) in self.schema.fields().iter().enumerate() {
            let source = self.sources.iter().position(|(named, _)| *named == place);
            columns.push(match source {
                Some(source) => Arc::clone(&sources[source]),
                None => new_null_array(field.data_type(), rows),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::internal("rows of an expression").source(error))?;
        self.slot.fill([batch]);
        let made = env.run.collect(&self.plan, &[]).await;
        self.slot.fill([]);
        let (schema, batches) = made?;
        let parts: Vec<&dyn arrow::array::Array> =
            batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        if parts.is_empty() {
            return Ok(new_null_array(schema.field(0).data_type(), 0));
        }
        Ok(concat(&parts)?)
    }
}
