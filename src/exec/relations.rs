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
    execution::TaskContext,
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
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let relation = self.relation;
        let rows = move |context: &TaskContext| {
            let config = context.session_config();
            let viewpoint = config.get_extension::<Viewpoint>().ok_or_else(|| {
                DataFusionError::Internal("a plan runs without a viewpoint".to_owned())
            })?;
            let catalog = Arc::clone(snapshot_of(config)?.catalog());
            let view = View { catalog, ..viewpoint.0.clone() };
            Ok([relation.rows(&view).map_err(external)?].into())
        };
        rows_exec(relation.name, rows, &self.schema(), projection)
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
        let slot = self.0.clone();
        rows_exec("slot", move |_| Ok(slot.batches()), self.0.schema(), projection)
    }
}

fn rows_exec(
    label: &'static str,
    rows: impl Fn(&TaskContext) -> Result<Arc<[RecordBatch]>> + Send + Sync + 'static,
    schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(Arc::new(RowsExec::new(label, schema, projection, Arc::new(rows))?))
}
