//! One run of a search, on the snapshot of its statement.

use super::{
    Knobs,
    answers::Answers,
    filter::{Asked, Bound},
    prune::Prune,
    search::{Search, Way},
};
use crate::{
    catalog::Index as IndexEntry,
    exec::{
        failure::{external, snapshot_of},
        neighbours::{Effort, Found, Neighbours},
        recall::{Band, Recall, Sample},
        topk::{Neighbour, Query},
    },
    ids::{RowId, RowSet},
    index::{Index, MayHold, Unit},
    pgtype::vector::different_dimensions,
    storage::{columns::ColumnSpec, table::TableState},
    telemetry::Metrics,
};
use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    common::Result,
    physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder},
    prelude::SessionConfig,
};
use std::{sync::Arc, time::Duration};

/// Up to this many rows a table is searched exactly even where there is an index: an answer that
/// is right takes no time to speak of.
const EXACT_ROWS_MAX: u64 = 5_000;

/// What a run counts, for EXPLAIN ANALYZE.
#[derive(Debug, Clone)]
struct Counts {
    matching: Count,
    kept: Count,
    evaluated: Count,
    scanned: Count,
    probes: Count,
    passed: Count,
    node: Option<Arc<Metrics>>,
}

impl Counts {
    fn new(metrics: &ExecutionPlanMetricsSet, node: Option<Arc<Metrics>>) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, 0);
        Self {
            matching: counter("rows_matching"),
            kept: counter("filter_groups_kept"),
            evaluated: counter("filter_groups_evaluated"),
            scanned: counter("vectors_scanned"),
            probes: counter("postings_probed"),
            passed: counter("postings_skipped"),
            node,
        }
    }

    fn asked(&self, Asked { kept, evaluated }: Asked) {
        self.kept.add(kept);
        self.evaluated.add(evaluated);
    }

    /// A search ended: the node's counters learn of it.
    fn ended(&self, strategy: &str) {
        let Some(node) = &self.node else { return };
        #[expect(clippy::cast_precision_loss, reason = "a histogram's bucket is as near as needed")]
        let float = |count: &Count| count.value() as f64;
        node.searches.with_label_values(&[strategy]).inc();
        node.search_postings.observe(float(&self.probes));
        node.search_vectors.observe(float(&self.scanned));
    }
}

/// Everything that one run needs.
pub(super) struct Work {
    pub(super) search: Arc<Search>,
    pub(super) rows: TableState,
    query: Query,
    pub(super) way: Way,
    pub(super) filter: Option<Bound>,
    pub(super) answers: Option<Arc<Answers>>,
    probes_min: usize,
    recall: Option<Arc<Recall>>,
    committed_end: RowId,
    /// The projected columns but for the vector.
    others: Vec<ColumnSpec>,
    schema: SchemaRef,
    counts: Counts,
}

impl Work {
    pub(super) fn new(
        search: &Arc<Search>,
        config: &SessionConfig,
        schema: SchemaRef,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Self> {
        let (snapshot, knobs) = (snapshot_of(config)?, Knobs::of(config));
        let query = Query { space: search.space, metric: search.metric, point: search.point()? };
        let filter = search.filter.as_ref();
        let others = search.projection.iter().filter(|&&place| place != search.place);
        let others = others.map(|&place| search.specs[place].clone()).collect();
        Ok(Self {
            others,
            way: search.choose(&snapshot, knobs, &query),
            rows: snapshot.table(search.table.id),
            filter: filter.map(|filter| filter.bind(&search.specs)).transpose()?,
            answers: config.get_extension(),
            search: Arc::clone(search),
            query,
            probes_min: knobs.probes_min,
            recall: config.get_extension(),
            committed_end: snapshot.first_own_row(search.table.id),
            schema,
            counts: Counts::new(metrics, config.get_extension()),
        })
    }

    pub(super) async fn run(self) -> Result<RecordBatch> {
        let _timed = self.counts.node.as_ref().map(|node| node.search_seconds.start_timer());
        self.check_dimensions()?;
        if let Some(found) = self.lazily().await? {
            return self.rows_of(&self.within(found)?.0).await;
        }
        let allowed = self.matching().await?;
        let found = match self.by_index(self.search.k, &allowed).await? {
            Some(found) => found,
            None => self.by_reading(self.search.k, &allowed).await?,
        };
        let (found, _) = self.within(found)?;
        self.rows_of(&found).await
    }

    /// Those of rows found, nearest first, that lie between the bounds, and whether none is too far.
    pub(super) fn within(&self, mut found: Vec<Neighbour>) -> Result<(Vec<Neighbour>, bool)> {
        let mut is_none_too_far = true;
        if let Some(radius) = &self.search.within {
            let before = found.len();
            found = radius.within(found)?;
            is_none_too_far = found.len() == before;
        }
        if let Some(radius) = &self.search.beyond {
            found = radius.beyond(found)?;
        }
        Ok((found, is_none_too_far))
    }

    /// The k nearest of some rows by the index; `None` where there is none, or reading the rows is
    /// as well.
    pub(super) async fn by_index(
        &self,
        k: usize,
        allowed: &Arc<RowSet>,
    ) -> Result<Option<Vec<Neighbour>>> {
        let Way::Index { entry, index, target } = &self.way else { return Ok(None) };
        let (matching, live) = (allowed.len(), self.rows.live_rows());
        let search = self.neighbours(k, allowed);
        if live <= EXACT_ROWS_MAX || k as u64 > matching / 4 {
            return Ok(None);
        }
        let Some(entries_worth) = search.entries_worth(index) else { return Ok(None) };
        // Rows that need not match are found wherever they are.
        let filter = self.filter.as_ref().filter(|_| !Arc::ptr_eq(allowed, self.rows.live()));
        let prune = filter.and_then(|filter| Prune::of(filter.conditions(), entry.included()));
        let may_hold = |summary: &[u8]| prune.as_ref().is_none_or(|prune| prune.may_hold(summary));
        let band = Band::of(!Arc::ptr_eq(allowed, self.rows.live()), matching, live);
        let aim = self.recall.as_ref().map_or(*target, |all| all.aim(entry.id, band, *target));
        let effort = Effort {
            recall_target: aim,
            probes_min: self.probes_min,
            committed_end: self.committed_end,
            entries_worth,
            may_hold: prune.is_some().then_some(MayHold(&may_hold)),
        };
        let begun = self.elapsed();
        let Some(found) = search.by_index(index, effort).await.map_err(external)? else {
            return Ok(None);
        };
        self.learn(index, Unit::Entry, (found.entries, found.was_far), begun);
        self.sample(k, (entry, *target, band), allowed, &found);
        self.count(&found);
        self.counts.ended(match (&self.filter, filter) {
            (None, _) => "index",
            (Some(_), Some(_)) => "filtered",
            (Some(_), None) => "lazy",
        });
        Ok(Some(found.rows))
    }

    /// The k nearest of some rows, by reading them.
    pub(super) async fn by_reading(
        &self,
        k: usize,
        allowed: &Arc<RowSet>,
    ) -> Result<Vec<Neighbour>> {
        let begun = self.elapsed();
        let found = self.neighbours(k, allowed).by_reading().await.map_err(external)?;
        if let Way::Index { index, .. } = &self.way {
            self.learn(index, Unit::Vector, (found.scanned, found.was_far), begun);
        }
        self.count(&found);
        self.counts.ended("exact");
        Ok(found.rows)
    }

    fn elapsed(&self) -> Option<Duration> {
        Some(self.answers.as_ref()?.clock().elapsed())
    }

    /// What was measured since then, unless something had to be read for it.
    fn learn(
        &self,
        index: &Index,
        unit: Unit,
        (count, was_far): (u64, bool),
        begun: Option<Duration>,
    ) {
        if let (Some(begun), Some(now), false) = (begun, self.elapsed(), was_far) {
            index.learn_pace(unit, count, now.saturating_sub(begun));
        }
    }

    fn neighbours<'a>(&'a self, k: usize, allowed: &'a RowSet) -> Neighbours<'a> {
        let (rows, column, query) = (&self.rows, self.vector(), &self.query);
        let (others, ties) = (&self.others, self.search.ties);
        Neighbours { rows, column, others, query, k, ties, allowed }
    }

    /// The rows that may be found.
    pub(super) async fn matching(&self) -> Result<Arc<RowSet>> {
        let matching = match &self.filter {
            None => Arc::clone(self.rows.live()),
            Some(filter) => {
                let (answers, mut asked) = (self.answers.as_deref(), Asked::default());
                let matching = filter.matching(&self.rows, answers, &mut asked).await?;
                self.counts.asked(asked);
                Arc::new(matching)
            }
        };
        self.counts.matching.add(usize::try_from(matching.len()).unwrap_or(usize::MAX));
        Ok(matching)
    }

    fn count(&self, found: &Found) {
        self.counts.probes.add(found.probes);
        self.counts.passed.add(found.passed);
        self.counts.scanned.add(usize::try_from(found.scanned).unwrap_or(usize::MAX));
    }

    /// Hands a search over to be answered a second time, exactly, if it is its turn.
    fn sample(
        &self,
        k: usize,
        (entry, target, band): (&Arc<IndexEntry>, f32, Band),
        allowed: &Arc<RowSet>,
        found: &Found,
    ) {
        let Some(recall) = &self.recall else { return };
        recall.offer(|| Sample {
            index: entry.id,
            name: entry.name.clone(),
            band,
            target,
            rows: self.rows.clone(),
            column: self.vector().clone(),
            query: self.query.clone(),
            allowed: Arc::clone(allowed),
            found: found.rows.iter().take(k).copied().collect(),
        });
    }

    fn vector(&self) -> &ColumnSpec {
        &self.search.specs[self.search.place]
    }

    pub(super) fn check_dimensions(&self) -> Result<()> {
        // Others are told of at the first row that differs.
        let declared = self.vector().kind.typmod();
        let (Ok(dims @ 1..), Some(query)) = (usize::try_from(declared), self.query.dense()) else {
            return Ok(());
        };
        if dims == query.len() || self.rows.live_rows() == 0 {
            return Ok(());
        }
        let name = self.query.space.name();
        // As pgvector tells it: its index sees the query first.
        Err(external(match self.way {
            Way::Index { .. } => different_dimensions(name, query.len(), dims),
            Way::Exact(_) => different_dimensions(name, dims, query.len()),
        }))
    }

    /// The projected columns of the rows found, and their distances.
    pub(super) async fn rows_of(&self, found: &[Neighbour]) -> Result<RecordBatch> {
        let rows: Vec<RowId> = found.iter().map(|neighbour| neighbour.row).collect();
        let specs: Vec<ColumnSpec> =
            self.search.projection.iter().map(|&place| self.search.specs[place].clone()).collect();
        let taken = self.rows.take(&rows, &specs).await.map_err(external)?;
        let mut columns: Vec<ArrayRef> = taken.columns().to_vec();
        let distances: Float64Array = found.iter().map(|neighbour| neighbour.distance).collect();
        columns.push(Arc::new(distances));
        let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}
