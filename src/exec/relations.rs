//! How relations become sources of plans: tables, the catalog's own relations, and slots that a
//! statement fills between two plans.

use super::{
    failure::{external, snapshot_of},
    rows::RowsExec,
    table::TableScan,
};
use crate::{
    catalog::{
        Table,
        pg::{SystemRelation, View},
    },
    sql::{Hidden, Relations, Slot},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result},
    datasource::{TableType, provider_as_source},
    logical_expr::{Expr, TableSource},
    physical_plan::ExecutionPlan,
};
use std::sync::Arc;

/// Makes sources of the providers of this floor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources;

impl Relations for Sources {
    fn table(&self, table: &Arc<Table>, hidden: Hidden) -> Arc<dyn TableSource> {
        let scan = TableScan::new(Arc::clone(table), hidden == Hidden::RowId);
        provider_as_source(Arc::new(scan))
    }

    fn system(&self, relation: &'static SystemRelation) -> Arc<dyn TableSource> {
        provider_as_source(Arc::new(SystemScan { relation }))
    }

    fn slot(&self, schema: SchemaRef) -> (Slot, Arc<dyn TableSource>) {
        let slot = Slot::new(schema);
        (slot.clone(), provider_as_source(Arc::new(SlotScan(slot))))
    }
}

/// From where the running statement looks at the catalog's own relations.
#[derive(Debug)]
pub struct Viewpoint(pub View);

/// A relation of `pg_catalog` or `information_schema`, made when it is read.
#[derive(Debug)]
struct SystemScan {
    relation: &'static SystemRelation,
}

#[async_trait]
impl TableProvider for SystemScan {
    fn schema(&self) -> SchemaRef {
        self.relation.schema_ref()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let viewpoint = session.config().get_extension::<Viewpoint>().ok_or_else(|| {
            DataFusionError::Internal("a plan runs without a viewpoint".to_owned())
        })?;
        let view = View {
            catalog: Arc::clone(snapshot_of(session.config())?.catalog()),
            ..viewpoint.0.clone()
        };
        let rows = self.relation.rows(&view).map_err(external)?;
        rows_exec(self.relation.name, &[rows], self.schema(), projection)
    }
}

/// What a slot is filled with when the plan is made to run.
#[derive(Debug)]
struct SlotScan(Slot);

#[async_trait]
impl TableProvider for SlotScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rows_exec("slot", &self.0.batches(), self.schema(), projection)
    }
}

fn rows_exec(
    label: &str,
    batches: &[RecordBatch],
    schema: SchemaRef,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(projection) = projection else {
        return Ok(Arc::new(RowsExec::new(label, schema, batches.to_vec())));
    };
    let schema = Arc::new(schema.project(projection)?);
    let batches =
        batches.iter().map(|batch| batch.project(projection)).collect::<Result<_, _>>()?;
    Ok(Arc::new(RowsExec::new(label, schema, batches)))
}
