//! The top-k operator: candidates from the index, rows that the index does not have yet, exact
//! distances, and the rows themselves.
//!
//! The result is exactly min(k, matching rows) rows of the snapshot, nearest first. Which way it
//! is found depends on how many rows match the filter:
//!
//! - *exact*, over the matching rows: when there is no index, the recall target is 1, the table is
//!   small, or reading the rows that match costs less than the index is expected to;
//! - *filtered*: the matching rows are pushed into the index as a set, and postings that hold none
//!   are passed over; rows newer than the index are searched exactly beside it;
//! - *lazy*: the index gives more rows than are wanted, and the filter is asked of these alone, when
//!   asking it of all rows would cost more.
//!
//! When the index finds fewer than k (rows with NULL or NaN distances match too and sort last),
//! the exact way fills up.
//!
//! ```text
//!   search    what was planned; which index would serve
//!   work      one search: which rows match, by which way they are searched, the rows that come out
//!   join      a search for each outer row
//!   memo      what the searches of a join found, for outer rows that ask the same
//!   pieces    the rows of a search; all of them a few at a time, which is what a cursor reads
//!   pages     the lists that are read by LIMIT and OFFSET: each page goes on where one ended
//!   lazy      a run that asks the WHERE clause of the nearest rows alone
//!   filter    the WHERE clause with the values of a run ──> the matching rows
//!   answers   what conditions answered before, kept
//!   prune     which postings the WHERE clause leaves out, by their summaries
//!   summary   what the rows of a posting have in common, told at checkpoints
//!   radius    WHERE distance < r
//! ```

mod answers;
mod filter;
mod join;
mod lazy;
mod memo;
mod pages;
mod pieces;
mod prune;
mod radius;
mod search;
mod summary;
mod work;

pub use answers::Answers;
pub use pages::Pages;
pub use summary::Summarizer;

use super::{
    constant::one_row,
    failure::external,
    rows::{leaf, single_partition},
    table::column_specs,
};
use crate::{
    catalog::{Index as IndexEntry, RECALL_TARGET},
    sql::{
        near::{Bound, Near},
        nearest::{ALL, Nearest},
        nearest_join::NearestJoin,
        piecemeal::Piecemeal,
    },
};
use arrow::{compute::SortOptions, datatypes::Field};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        Expr, LogicalPlan, UserDefinedLogicalNode,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, PhysicalSortExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
    physical_planner::{ExtensionPlanner, PhysicalPlanner},
    prelude::SessionConfig,
};
use filter::Filter;
use futures::stream;
use join::NearestJoinExec;
use pieces::Pieces;
use radius::Radius;
use search::Search;
use std::{fmt, sync::Arc};
use tracing::Instrument as _;
use work::{Base, Work};

/// The settings of a session that a search obeys.
#[derive(Debug, Clone, Copy)]
pub struct Knobs {
    /// `nearlake.recall_target` where it was set: it goes before what an index says. 1 is exact.
    pub recall_target: Option<f32>,
    /// The least number of postings to read: what `hnsw.ef_search` and `ivfflat.probes` raise.
    pub probes_min: usize,
    /// `enable_indexscan`.
    pub use_index: bool,
}

impl Knobs {
    fn of(config: &SessionConfig) -> Self {
        config.get_extension::<Self>().map(|knobs| *knobs).unwrap_or_default()
    }

    /// The share of the nearest rows that a search by this index is to find.
    #[must_use]
    pub fn target(&self, entry: &IndexEntry) -> f32 {
        self.recall_target.or_else(|| entry.recall_target()).unwrap_or(RECALL_TARGET)
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self { recall_target: None, probes_min: 0, use_index: true }
    }
}

/// Makes [`NearestExec`] of [`Nearest`], and [`NearestJoinExec`] of [`NearestJoin`].
#[derive(Debug)]
pub struct NearestPlanner;

#[async_trait]
impl ExtensionPlanner for NearestPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let physical = |expr: &Expr, schema: &DFSchema| {
            planner.create_physical_expr(expr, schema, session, context)
        };
        if let Some(node) = node.as_any().downcast_ref::<Nearest>() {
            let nothing = DFSchema::empty();
            let search = search_of(&node.near, &nothing, node.projection.clone(), &physical)?;
            let search = Search { k: node.k, skip: node.skip, ties: node.ties, ..search };
            return Ok(Some(Arc::new(NearestExec::new(node, search, session.config())?)));
        }
        let Some(node) = node.as_any().downcast_ref::<NearestJoin>() else { return Ok(None) };
        let [outer, _] = inputs else {
            return Err(DataFusionError::Internal("a join lost an input".to_owned()));
        };
        let source = node.near.source.schema();
        let place = |field: &Arc<Field>| Ok(source.index_of(field.name())?);
        let projection = node.rows.schema().fields().iter().map(place).collect::<Result<_>>()?;
        let search = search_of(&node.near, node.outer.schema(), projection, &physical)?;
        let (skip, fetch) = join::counts(node)?;
        let (k, ties) = (skip.saturating_add(fetch), !node.further.is_empty());
        let search = Search { k, ties, ..search };
        let further = node.further.iter().map(|key| {
            let options = SortOptions::new(!key.asc, key.nulls_first);
            Ok(PhysicalSortExpr::new(physical(&key.expr, &node.schema)?, options))
        });
        let further = further.collect::<Result<_>>()?;
        let outer = Arc::clone(outer);
        let exec = NearestJoinExec::new(node, outer, search, further, session.config())?;
        Ok(Some(Arc::new(exec)))
    }
}

/// Makes an expression over some columns physical.
type Physical<'a> = dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>> + Sync + 'a;

/// The search for all rows, over the columns of outer rows.
fn search_of(
    near: &Near,
    outer: &DFSchema,
    projection: Vec<usize>,
    physical: &Physical<'_>,
) -> Result<Search> {
    let Near { table, source, name, column, .. } = near;
    let place = table
        .position(*column)
        .ok_or_else(|| DataFusionError::Internal(format!("no column {column} to search")))?;
    let space = table.columns[place]
        .kind
        .space()
        .ok_or_else(|| DataFusionError::Internal(format!("no points in column {column}")))?;
    let radius = |bound: &Option<Bound>| {
        let radius = |Bound { distance, inclusive }: &Bound| {
            let distance = physical(distance, outer)?;
            Ok::<_, DataFusionError>(Radius { distance, inclusive: *inclusive })
        };
        bound.as_ref().map(radius).transpose()
    };
    // The table's columns, and behind them the outer ones.
    let full = DFSchema::try_from_qualified_schema(name.clone(), source.schema().as_ref())?;
    let full = full.join(outer)?;
    let predicates = near.filters.iter().map(|filter| physical(filter, &full));
    Ok(Search {
        space,
        specs: column_specs(table).map_err(external)?,
        table: Arc::clone(table),
        place,
        projection,
        metric: near.metric,
        query: physical(&near.query, outer)?,
        k: ALL,
        skip: 0,
        ties: false,
        within: radius(&near.within)?,
        beyond: radius(&near.beyond)?,
        filter: Filter::new(predicates.collect::<Result<_>>()?, &source.schema())?,
    })
}

/// Where nothing goes on as it is read, [`Piecemeal`] is what it stands on.
#[derive(Debug)]
pub struct PiecemealPlanner;

#[async_trait]
impl ExtensionPlanner for PiecemealPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(node.as_any().downcast_ref::<Piecemeal>().and_then(|_| inputs.first().cloned()))
    }
}

/// The physical top-k operator. What it searches, and how, is settled when it runs.
#[derive(Debug, Clone)]
pub struct NearestExec {
    search: Arc<Search>,
    /// The way that it would go now, for EXPLAIN.
    way: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl NearestExec {
    fn new(node: &Nearest, search: Search, config: &SessionConfig) -> Result<Self> {
        Ok(Self {
            way: search.way(config)?,
            search: Arc::new(search),
            properties: single_partition(Arc::new(node.schema.as_arrow().clone())),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for NearestExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Search { table, place, metric, k, skip, ties, within, beyond, filter, .. } =
            self.search.as_ref();
        let (name, column, way) = (&table.name, &table.columns[*place].name, &self.way);
        write!(f, "NearestExec: table={name}, column={column}, metric={metric}, ")?;
        match *k {
            ALL => f.write_str("k=all, as they are fetched")?,
            k => write!(f, "k={k}")?,
        }
        if *ties {
            f.write_str(" and ties")?;
        }
        if *skip > 0 {
            write!(f, ", skip={skip}")?;
        }
        if let Some(Radius { distance, inclusive }) = within {
            write!(f, ", distance {} {distance}", if *inclusive { "<=" } else { "<" })?;
        }
        if let Some(Radius { distance, inclusive }) = beyond {
            write!(f, ", distance {} {distance}", if *inclusive { ">=" } else { ">" })?;
        }
        write!(f, ", {way}")?;
        if let Some(filter) = filter {
            write!(f, ", filter={}", filter.shown())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for NearestExec {
    leaf!("NearestExec");

    fn apply_expressions(
        &self,
        see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let Search { query, within, beyond, .. } = self.search.as_ref();
        let bounds = within.iter().chain(beyond).map(|radius| &radius.distance);
        let mut seen = see(query)?;
        for bound in bounds {
            if seen == TreeNodeRecursion::Stop {
                break;
            }
            seen = see(bound)?;
        }
        Ok(seen)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // The query vector may come from a subquery, which has run by the time of the first poll.
        let (search, schema, metrics) =
            (Arc::clone(&self.search), self.schema(), self.metrics.clone());
        if search.k == ALL {
            let pieces = Pieces::new(search, context, schema, metrics);
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), pieces.stream())));
        }
        let batch = stream::once(
            async move {
                let base = Base::of_one(&search, context.session_config(), &metrics)?;
                let question = search.questions(&one_row()?)?.at(0)?;
                let work = Arc::new(Work::new(&base, question)?);
                let pages = context.session_config().get_extension::<Pages>();
                let page = pages::find(&work, context.memory_pool(), pages.as_deref()).await?;
                work.rows_of(&page, &schema).await
            }
            .instrument(tracing::debug_span!("search")),
        );
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batch)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
