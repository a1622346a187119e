//! The join: for each outer row a search, through the same code as a search by itself.
//!
//! Outer rows are taken some at a time. Those of them that ask the same, and that ask what was
//! asked a moment ago, share one search; the others search side by side, as many at once as a plan
//! has partitions. What comes out is in the order of the outer rows, each with its rows nearest
//! first, and is put together a batch at a time.

use super::{
    memo::{Memo, Nearest},
    pieces,
    search::{Question, Search},
    work::{Base, Work},
};
use crate::{
    error::{Error, SqlState},
    exec::{failure::external, rows::single_partition, topk::Neighbour},
    ids::RowId,
    sql::nearest_join::NearestJoin,
};
use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions, UInt32Array,
        new_null_array,
    },
    compute::take,
    datatypes::SchemaRef,
    row::{RowConverter, SortField},
};
use datafusion::{
    common::{DataFusionError, Result, runtime::SpawnedTask, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    },
    physical_expr::{Distribution, PhysicalExpr, PhysicalSortExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
        metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
    prelude::SessionConfig,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};
use tracing::Instrument as _;

/// Outer rows that are searched for at a time.
const OUTER_ROWS: usize = 256;
/// About how many rows their searches may find together: with a high LIMIT they are fewer.
const FOUND_MAX: usize = 1 << 20;
/// Rows of a batch that comes out.
const BATCH: usize = 4096;

/// A join as it was planned.
#[derive(Debug)]
struct Join {
    search: Arc<Search>,
    skip: usize,
    fetch: usize,
    /// What orders rows at the same distance, over the rows that come out.
    further: Vec<PhysicalSortExpr>,
    /// The outer columns that the filter and the further keys name: two outer rows that ask for the
    /// same vector may differ by them.
    named: Vec<usize>,
    /// Whether an outer row without any rows comes too.
    is_left: bool,
    schema: SchemaRef,
}

/// The physical join. What it searches, and how, is settled when it runs.
#[derive(Debug, Clone)]
pub(super) struct NearestJoinExec {
    outer: Arc<dyn ExecutionPlan>,
    join: Arc<Join>,
    /// The way that its searches would go now, for EXPLAIN.
    way: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// How many rows are passed over and how many follow, for each outer row.
pub(super) fn counts(node: &NearestJoin) -> Result<(usize, usize)> {
    let count = |count: i64, state, clause| {
        usize::try_from(count)
            .map_err(|_| external(Error::new(state, format!("{clause} must not be negative"))))
    };
    let (skip, fetch) = node.counts()?;
    let skip = count(skip, SqlState::INVALID_ROW_COUNT_IN_OFFSET_CLAUSE, "OFFSET")?;
    let fetch = match fetch {
        Some(fetch) => count(fetch, SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, "LIMIT")?,
        None => usize::MAX,
    };
    Ok((skip, fetch))
}

impl NearestJoinExec {
    pub(super) fn new(
        node: &NearestJoin,
        outer: Arc<dyn ExecutionPlan>,
        search: Search,
        further: Vec<PhysicalSortExpr>,
        config: &SessionConfig,
    ) -> Result<Self> {
        let (skip, fetch) = counts(node)?;
        let width = outer.schema().fields().len();
        let mut named: Vec<usize> = search.filter.iter().flat_map(|f| f.outer()).collect();
        for key in &further {
            let columns = datafusion::physical_expr::utils::collect_columns(&key.expr);
            named.extend(columns.iter().map(|column| column.index()).filter(|&at| at < width));
        }
        named.sort_unstable();
        named.dedup();
        let schema: SchemaRef = Arc::new(node.schema.as_arrow().clone());
        let join = Join {
            search: Arc::new(search),
            skip,
            fetch,
            further,
            named,
            is_left: node.found.is_some(),
            schema: Arc::clone(&schema),
        };
        Ok(Self {
            way: join.search.ways(config)?,
            outer,
            join: Arc::new(join),
            properties: single_partition(schema),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for NearestJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Join { search, skip, fetch, further, is_left, .. } = self.join.as_ref();
        let Search { table, place, metric, within, beyond, filter, .. } = search.as_ref();
        let (name, column, way) = (&table.name, &table.columns[*place].name, &self.way);
        f.write_str("NearestJoinExec: ")?;
        if *is_left {
            f.write_str("left, ")?;
        }
        write!(f, "table={name}, column={column}, metric={metric}, ")?;
        match *fetch {
            usize::MAX => f.write_str("k=all")?,
            k => write!(f, "k={k}")?,
        }
        if *skip > 0 {
            write!(f, ", offset={skip}")?;
        }
        if !further.is_empty() {
            let further: Vec<String> = further.iter().map(ToString::to_string).collect();
            write!(f, ", then by [{}]", further.join(", "))?;
        }
        for (radius, signs) in [(within, ["<", "<="]), (beyond, [">", ">="])] {
            let Some(radius) = radius else { continue };
            let sign = signs[usize::from(radius.inclusive)];
            write!(f, ", distance {sign} {}", radius.distance)?;
        }
        write!(f, ", {way}")?;
        if let Some(filter) = filter {
            write!(f, ", filter={}", filter.shown())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for NearestJoinExec {
    fn name(&self) -> &'static str {
        "NearestJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.outer]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let Join { search, further, .. } = self.join.as_ref();
        let bounds = search.within.iter().chain(&search.beyond).map(|radius| &radius.distance);
        let further = further.iter().map(|key| &key.expr);
        for expr in [&search.query].into_iter().chain(bounds).chain(further) {
            if see(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (outer, metrics) = (children.swap_remove(0), ExecutionPlanMetricsSet::new());
        Ok(Arc::new(Self { outer, metrics, ..self.as_ref().clone() }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let outer = self.outer.execute(partition, Arc::clone(&context))?;
        let run = Run {
            join: Arc::clone(&self.join),
            memory: MemoryConsumer::new("nearest join").register(context.memory_pool()),
            counted: Counted::new(&self.metrics),
            metrics: self.metrics.clone(),
            context,
            outer,
            batch: None,
            searcher: None,
            memo: Memo::default(),
            block: None,
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), run.stream())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What a run counts, for EXPLAIN ANALYZE, beside what its searches do.
struct Counted {
    outer_rows: Count,
    searches: Count,
    shared: Count,
    baseline: BaselineMetrics,
}

impl Counted {
    fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, 0);
        Self {
            outer_rows: counter("outer_rows"),
            searches: counter("searches"),
            shared: counter("searches_shared"),
            baseline: BaselineMetrics::new(metrics, 0),
        }
    }
}

/// A run.
struct Run {
    join: Arc<Join>,
    context: Arc<TaskContext>,
    metrics: ExecutionPlanMetricsSet,
    counted: Counted,
    memory: MemoryReservation,
    outer: SendableRecordBatchStream,
    /// Outer rows that were not searched for yet.
    batch: Option<RecordBatch>,
    /// There once the first outer rows are: a subquery of the filter has run by then.
    searcher: Option<Arc<Searcher>>,
    memo: Memo,
    /// Outer rows whose rows were found and are on their way out.
    block: Option<Block>,
}

/// Outer rows, and the pairs of one of them and a row that was found for it.
struct Block {
    outer: RecordBatch,
    pairs: VecDeque<Pair>,
}

/// The place of an outer row, and what was found for it; `None` where nothing was.
type Pair = (u32, Option<Neighbour>);

impl Run {
    fn stream(self) -> impl Stream<Item = Result<RecordBatch>> {
        stream::try_unfold(self, |mut run| async move {
            Ok(run.next().await?.map(|batch| (batch, run)))
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let (Some(block), Some(searcher)) = (&mut self.block, &self.searcher) {
                let count = block.pairs.len().min(BATCH);
                if count > 0 {
                    let pairs: Vec<Pair> = block.pairs.drain(..count).collect();
                    let batch = searcher.put_together(&block.outer, &pairs).await?;
                    self.counted.baseline.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                self.block = None;
            }
            let Some(outer) = self.outer_rows().await? else { return Ok(None) };
            self.block = Some(self.search(outer).await?);
        }
    }

    /// The next outer rows.
    async fn outer_rows(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.batch.take().filter(|batch| batch.num_rows() > 0) {
                let searcher = self.searcher()?;
                let count = searcher.outer_rows_at_a_time().min(batch.num_rows());
                self.batch = Some(batch.slice(count, batch.num_rows() - count));
                self.counted.outer_rows.add(count);
                return Ok(Some(batch.slice(0, count)));
            }
            match self.outer.next().await {
                Some(batch) => self.batch = Some(batch?),
                None => return Ok(None),
            }
        }
    }

    fn searcher(&mut self) -> Result<Arc<Searcher>> {
        if let Some(searcher) = &self.searcher {
            return Ok(Arc::clone(searcher));
        }
        let config = self.context.session_config();
        let searcher = Arc::new(Searcher {
            base: Base::of_many(&self.join.search, config, &self.metrics)?,
            join: Arc::clone(&self.join),
            pool: Arc::clone(self.context.memory_pool()),
        });
        self.searcher = Some(Arc::clone(&searcher));
        Ok(searcher)
    }

    /// The rows of some outer rows.
    async fn search(&mut self, outer: RecordBatch) -> Result<Block> {
        let searcher = self.searcher()?;
        let questions = self.join.search.questions(&outer)?;
        let mut columns = questions.columns();
        columns.extend(self.join.named.iter().map(|&at| Arc::clone(outer.column(at))));
        let keys = self.memo.keys(&columns)?;
        let key = |row: usize| keys.as_ref().map(|keys| keys.row(row).data());

        // The rows whose questions are new, and for each row where its answer comes from.
        let (mut asking, mut new) = (Vec::new(), HashMap::new());
        let mut answers: Vec<std::result::Result<Nearest, usize>> = Vec::new();
        for row in 0..outer.num_rows() {
            let known = key(row).and_then(|key| self.memo.get(key));
            let asked = key(row).and_then(|key| new.get(key).copied());
            answers.push(match (known, asked) {
                (Some(found), _) => Ok(Arc::clone(found)),
                (None, Some(place)) => Err(place),
                (None, None) => {
                    let place = asking.len();
                    new.extend(key(row).map(|key| (key, place)));
                    asking.push(row);
                    Err(place)
                }
            });
        }
        self.counted.searches.add(asking.len());
        self.counted.shared.add(outer.num_rows() - asking.len());

        let at_once = self.context.session_config().target_partitions().max(1);
        let asked: Vec<Question> =
            asking.iter().map(|&row| questions.at(row)).collect::<Result<_>>()?;
        let searches = asked.into_iter().map(|question| {
            let searcher = Arc::clone(&searcher);
            let search = async move { searcher.nearest(question).await };
            // In a task of its own, so that it computes beside the others.
            async move {
                let ended = SpawnedTask::spawn(search).join_unwind().await;
                ended.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
            }
        });
        let span = tracing::debug_span!("search", searches = asking.len());
        let found = stream::iter(searches).buffered(at_once).try_collect::<Vec<Nearest>>();
        let found = found.instrument(span).await?;

        for (&row, found) in asking.iter().zip(&found) {
            if let Some(key) = key(row) {
                self.memo.remember(key, found);
            }
        }
        let mut pairs = VecDeque::new();
        for (place, answer) in (0..).zip(answers) {
            let nearest = answer.unwrap_or_else(|place| Arc::clone(&found[place]));
            if nearest.is_empty() && self.join.is_left {
                pairs.push_back((place, None));
            }
            pairs.extend(nearest.iter().map(|neighbour| (place, Some(*neighbour))));
        }
        self.memory.try_resize(self.memo.bytes() + pairs.len() * size_of::<Pair>())?;
        Ok(Block { outer, pairs })
    }
}

/// What searches for an outer row.
struct Searcher {
    base: Arc<Base>,
    join: Arc<Join>,
    pool: Arc<dyn MemoryPool>,
}

impl Searcher {
    fn outer_rows_at_a_time(&self) -> usize {
        let live = usize::try_from(self.base.rows.live_rows()).unwrap_or(usize::MAX);
        let found = self.join.search.k.min(live).max(1);
        (FOUND_MAX / found).clamp(1, OUTER_ROWS)
    }

    /// The rows of one outer row.
    async fn nearest(&self, question: Question) -> Result<Nearest> {
        let Join { skip, fetch, further, .. } = self.join.as_ref();
        if *fetch == 0 {
            return Ok(Arc::new([]));
        }
        let outer = question.outer.clone();
        let work = Arc::new(Work::new(&self.base, question)?);
        let mut found = pieces::find(&work, &self.pool).await?;
        if !further.is_empty() {
            found = self.by_further_keys(&outer, found).await?;
        }
        Ok(found.into_iter().skip(*skip).take(*fetch).collect())
    }

    /// Rows found, those at the same distance in the order of the further keys.
    async fn by_further_keys(
        &self,
        outer: &RecordBatch,
        found: Vec<Neighbour>,
    ) -> Result<Vec<Neighbour>> {
        let ties = |pair: &[Neighbour]| pair[0].nearness(&pair[1]) == Ordering::Equal;
        if !found.windows(2).any(ties) {
            return Ok(found);
        }
        let pairs: Vec<Pair> = found.iter().map(|neighbour| (0, Some(*neighbour))).collect();
        let rows = self.put_together(outer, &pairs).await?;
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for PhysicalSortExpr { expr, options } in &self.join.further {
            let column = expr.evaluate(&rows)?.into_array(rows.num_rows())?;
            fields.push(SortField::new_with_options(column.data_type().clone(), *options));
            columns.push(column);
        }
        let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|&a, &b| {
            found[a].nearness(&found[b]).then_with(|| keys.row(a).cmp(&keys.row(b)))
        });
        Ok(order.into_iter().map(|place| found[place]).collect())
    }

    /// Outer rows beside what was found for them.
    async fn put_together(&self, outer: &RecordBatch, pairs: &[Pair]) -> Result<RecordBatch> {
        let places = UInt32Array::from_iter_values(pairs.iter().map(|(place, _)| *place));
        let taken = outer.columns().iter().map(|column| take(column, &places, None));
        let mut columns = taken.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        let found: Vec<RowId> = pairs.iter().filter_map(|(_, found)| Some((*found)?.row)).collect();
        let rows = self.base.take(&found).await?;
        if found.len() == pairs.len() {
            columns.extend(rows);
        } else if found.is_empty() {
            columns.extend(rows.iter().map(|rows| new_null_array(rows.data_type(), pairs.len())));
        } else {
            // Where nothing was found, NULL.
            let mut places = 0..;
            let places = pairs.iter().map(|(_, found)| found.and_then(|_| places.next()));
            let places: UInt32Array = places.collect();
            for rows in &rows {
                columns.push(take(rows, &places, None)?);
            }
        }
        let distances: Float64Array =
            pairs.iter().map(|(_, found)| found.and_then(|found| found.distance)).collect();
        columns.push(Arc::new(distances));
        if self.join.is_left {
            let is_found = pairs.iter().map(|(_, found)| Some(found.is_some()));
            columns.push(Arc::new(is_found.collect::<BooleanArray>()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        let schema = Arc::clone(&self.join.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}
