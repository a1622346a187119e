//! One search, on the snapshot of its statement, and what the searches of a statement share.

use super::{
    Knobs,
    answers::Answers,
    filter::{Asked, Bound, Filter},
    prune::Prune,
    radius::Edge,
    search::{Question, Search, Way},
};
use crate::{
    catalog::Index as IndexEntry,
    exec::{
        constant::one_row,
        failure::{external, snapshot_of},
        neighbours::{Effort, Found, Neighbours},
        recall::{Band, Recall, Sample},
        snapshot::Snapshot,
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
use prometheus::HistogramTimer;
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;

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
    fn ended(&self, strategy: &str, found: &Found) {
        let Some(node) = &self.node else { return };
        #[expect(clippy::cast_precision_loss, reason = "a histogram's bucket is as near as needed")]
        let float = |count: u64| count as f64;
        node.searches.with_label_values(&[strategy]).inc();
        node.search_postings.observe(float(found.probes as u64));
        node.search_vectors.observe(float(found.scanned));
    }
}

/// What the searches of one run stand on.
pub(super) struct Base {
    pub(super) search: Arc<Search>,
    snapshot: Arc<Snapshot>,
    pub(super) rows: TableState,
    knobs: Knobs,
    pub(super) answers: Option<Arc<Answers>>,
    recall: Option<Arc<Recall>>,
    committed_end: RowId,
    /// The projected columns but for the vector.
    others: Vec<ColumnSpec>,
    /// The WHERE clause, where it is the same for all.
    filter: Option<Arc<Bound>>,
    /// What it leaves, where more than one search asks.
    matching: Option<OnceCell<Arc<RowSet>>>,
    counts: Counts,
}

/// Everything that one search needs.
pub(super) struct Work {
    pub(super) base: Arc<Base>,
    query: Query,
    pub(super) way: Way,
    pub(super) filter: Option<Arc<Bound>>,
    within: Option<Edge>,
    pub(super) beyond: Option<Edge>,
}

impl Base {
    /// For one search.
    pub(super) fn of_one(
        search: &Arc<Search>,
        config: &SessionConfig,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Arc<Self>> {
        Self::new(search, config, metrics, None)
    }

    /// For many: rows that match the same clause are looked for once.
    pub(super) fn of_many(
        search: &Arc<Search>,
        config: &SessionConfig,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Arc<Self>> {
        Self::new(search, config, metrics, Some(OnceCell::new()))
    }

    fn new(
        search: &Arc<Search>,
        config: &SessionConfig,
        metrics: &ExecutionPlanMetricsSet,
        matching: Option<OnceCell<Arc<RowSet>>>,
    ) -> Result<Arc<Self>> {
        let snapshot = snapshot_of(config)?;
        let others = search.projection.iter().filter(|&&place| place != search.place);
        let others = others.map(|&place| search.specs[place].clone()).collect();
        let same = search.filter.as_ref().filter(|filter| filter.outer().next().is_none());
        let bind = |filter: &Filter| filter.bind(&search.specs, &one_row()?).map(Arc::new);
        Ok(Arc::new(Self {
            others,
            rows: snapshot.table(search.table.id),
            knobs: Knobs::of(config),
            answers: config.get_extension(),
            recall: config.get_extension(),
            committed_end: snapshot.first_own_row(search.table.id),
            filter: same.map(bind).transpose()?,
            matching,
            counts: Counts::new(metrics, config.get_extension()),
            search: Arc::clone(search),
            snapshot,
        }))
    }

    pub(super) fn knobs(&self) -> Knobs {
        self.knobs
    }

    /// The projected columns of some rows.
    pub(super) async fn take(&self, rows: &[RowId]) -> Result<Vec<ArrayRef>> {
        let Search { projection, specs, .. } = self.search.as_ref();
        let specs: Vec<ColumnSpec> = projection.iter().map(|&place| specs[place].clone()).collect();
        let taken = self.rows.take(rows, &specs).await.map_err(external)?;
        Ok(taken.columns().to_vec())
    }
}

impl Work {
    pub(super) fn new(base: &Arc<Base>, question: Question) -> Result<Self> {
        let search = &base.search;
        let query = search.query_of(question.point);
        let filter = match (&base.filter, &search.filter) {
            (None, Some(filter)) => Some(Arc::new(filter.bind(&search.specs, &question.outer)?)),
            (same, _) => same.clone(),
        };
        Ok(Self {
            way: search.choose(&base.snapshot, base.knobs, &query),
            query,
            filter,
            within: question.within,
            beyond: question.beyond,
            base: Arc::clone(base),
        })
    }

    /// What is searched for.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// How far rows may be, and must be.
    pub(super) fn edges(&self) -> [Option<Edge>; 2] {
        [self.within, self.beyond]
    }

    /// Measures how long a search takes, until it is dropped.
    pub(super) fn timed(&self) -> Option<HistogramTimer> {
        self.base.counts.node.as_ref().map(|node| node.search_seconds.start_timer())
    }

    /// The rows that are searched for, nearest first, where none is too near.
    pub(super) async fn find(&self) -> Result<Vec<Neighbour>> {
        self.check_dimensions()?;
        if let Some(found) = self.lazily().await? {
            return Ok(self.within(found).0);
        }
        let (k, allowed) = (self.base.search.k, self.matching().await?);
        let found = match self.by_index(k, &allowed).await? {
            Some(found) => found,
            None => self.by_reading(k, &allowed).await?,
        };
        Ok(self.within(found).0)
    }

    /// Those of rows found, nearest first, that lie between the bounds, and whether none is too far.
    pub(super) fn within(&self, mut found: Vec<Neighbour>) -> (Vec<Neighbour>, bool) {
        let mut is_none_too_far = true;
        if let Some(edge) = self.within {
            let before = found.len();
            found = edge.within(found);
            is_none_too_far = found.len() == before;
        }
        if let Some(edge) = self.beyond {
            found = edge.beyond(found);
        }
        (found, is_none_too_far)
    }

    /// The k nearest of some rows by the index; `None` where there is none, or reading the rows is
    /// as well.
    pub(super) async fn by_index(
        &self,
        k: usize,
        allowed: &Arc<RowSet>,
    ) -> Result<Option<Vec<Neighbour>>> {
        let Way::Index { entry, index, target } = &self.way else { return Ok(None) };
        let rows = &self.base.rows;
        let (matching, live) = (allowed.len(), rows.live_rows());
        let search = self.neighbours(k, allowed);
        if live <= EXACT_ROWS_MAX || k as u64 > matching / 4 {
            return Ok(None);
        }
        let Some(entries_worth) = search.entries_worth(index) else { return Ok(None) };
        // Rows that need not match are found wherever they are.
        let filter = self.filter.as_ref().filter(|_| !Arc::ptr_eq(allowed, rows.live()));
        let prune = filter.and_then(|filter| Prune::of(filter.conditions(), entry.included()));
        let may_hold = |summary: &[u8]| prune.as_ref().is_none_or(|prune| prune.may_hold(summary));
        let band = Band::of(!Arc::ptr_eq(allowed, rows.live()), matching, live);
        let recall = self.base.recall.as_ref();
        let aim = recall.map_or(*target, |all| all.aim(entry.id, band, *target));
        let effort = Effort {
            recall_target: aim,
            probes_min: self.base.knobs.probes_min,
            committed_end: self.base.committed_end,
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
        let strategy = match (&self.filter, filter) {
            (None, _) => "index",
            (Some(_), Some(_)) => "filtered",
            (Some(_), None) => "lazy",
        };
        self.base.counts.ended(strategy, &found);
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
        self.base.counts.ended("exact", &found);
        Ok(found.rows)
    }

    fn elapsed(&self) -> Option<Duration> {
        Some(self.base.answers.as_ref()?.clock().elapsed())
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
        let (rows, column, query) = (&self.base.rows, self.vector(), &self.query);
        let (others, ties) = (&self.base.others, self.base.search.ties);
        Neighbours { rows, column, others, query, k, ties, allowed }
    }

    /// Whether which rows match is the same for many searches.
    pub(super) fn shares_matching(&self) -> bool {
        self.base.matching.is_some() && self.base.filter.is_some()
    }

    /// The rows that may be found.
    pub(super) async fn matching(&self) -> Result<Arc<RowSet>> {
        let matching = match (&self.filter, &self.base.matching) {
            (None, _) => Arc::clone(self.base.rows.live()),
            (Some(filter), Some(shared)) if self.shares_matching() => {
                Arc::clone(shared.get_or_try_init(|| self.asked(filter)).await?)
            }
            (Some(filter), _) => self.asked(filter).await?,
        };
        let counted = usize::try_from(matching.len()).unwrap_or(usize::MAX);
        self.base.counts.matching.add(counted);
        Ok(matching)
    }

    async fn asked(&self, filter: &Bound) -> Result<Arc<RowSet>> {
        let (base, mut asked) = (&self.base, Asked::default());
        let matching = filter.matching(&base.rows, base.answers.as_deref(), &mut asked).await?;
        base.counts.asked(asked);
        Ok(Arc::new(matching))
    }

    fn count(&self, found: &Found) {
        let counts = &self.base.counts;
        counts.probes.add(found.probes);
        counts.passed.add(found.passed);
        counts.scanned.add(usize::try_from(found.scanned).unwrap_or(usize::MAX));
    }

    /// Hands a search over to be answered a second time, exactly, if it is its turn.
    fn sample(
        &self,
        k: usize,
        (entry, target, band): (&Arc<IndexEntry>, f32, Band),
        allowed: &Arc<RowSet>,
        found: &Found,
    ) {
        let Some(recall) = &self.base.recall else { return };
        recall.offer(|| Sample {
            index: entry.id,
            name: entry.name.clone(),
            band,
            target,
            rows: self.base.rows.clone(),
            column: self.vector().clone(),
            query: self.query.clone(),
            allowed: Arc::clone(allowed),
            found: found.rows.iter().take(k).copied().collect(),
        });
    }

    fn vector(&self) -> &ColumnSpec {
        &self.base.search.specs[self.base.search.place]
    }

    pub(super) fn check_dimensions(&self) -> Result<()> {
        // Others are told of at the first row that differs.
        let declared = self.vector().kind.typmod();
        let (Ok(dims @ 1..), Some(query)) = (usize::try_from(declared), self.query.dense()) else {
            return Ok(());
        };
        if dims == query.len() || self.base.rows.live_rows() == 0 {
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
    pub(super) async fn rows_of(
        &self,
        found: &[Neighbour],
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let rows: Vec<RowId> = found.iter().map(|neighbour| neighbour.row).collect();
        let mut columns = self.base.take(&rows).await?;
        let distances: Float64Array = found.iter().map(|neighbour| neighbour.distance).collect();
        columns.push(Arc::new(distances));
        let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}
