//! The table and the index that are searched: made once, in a folder, and found there later.

use arrow::{
    array::{ArrayRef, FixedSizeListArray, Float32Array, Int32Array, RecordBatch},
    datatypes::{Field, Schema},
};
use async_trait::async_trait;
use bytes::Bytes;
use nearlake::{
    error::Result,
    ids::{ColumnId, RowId},
    index::{Index, IndexCheckpoint, IndexOptions, ObjectSink, PostingStore, Put, Slice, Training},
    pgtype::PgType,
    storage::{
        columns::{ColumnCache, ColumnSpec},
        compact::flush,
        paths,
        segment::{SegmentMeta, SegmentStore},
        store::Store,
        table::TableState,
    },
    vector::Metric,
};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use std::{ops::ControlFlow, path::Path, sync::Arc};

/// Rows that are written as one segment.
const SEGMENT_ROWS: usize = 65_536;
/// Vectors that the centroids are trained on.
const SAMPLE_ROWS: usize = 131_072;
/// What the build may hold in memory beyond that.
const UNSTORED_BYTES: u64 = 512 << 20;
/// The mixture: groups of topics, topics, and directions in which a group's vectors vary.
const GROUPS: usize = 48;
const TOPICS: usize = 4000;
const DIRECTIONS: usize = 20;

/// What is in the folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) rows: usize,
    pub(crate) dims: usize,
    pub(crate) segments: Vec<SegmentMeta>,
    pub(crate) index: IndexCheckpoint,
}

/// The columns: a number and a vector.
pub(crate) fn columns(dims: usize) -> [ColumnSpec; 2] {
    let dims = u16::try_from(dims).expect("dimensions of a vector");
    let (id, vector) = (PgType::Int4, PgType::Vector(Some(dims)));
    [ColumnSpec::new(ColumnId(1), id), ColumnSpec::new(ColumnId(2), vector)]
}

/// A Gaussian mixture with structure: topics lie in groups, and a vector strays from its topic mostly
/// in its group's few directions. Of length one.
pub(crate) struct Mixture {
    dims: usize,
    topics: Vec<f32>,
    directions: Vec<f32>,
    random: SmallRng,
}

impl Mixture {
    pub(crate) fn new(dims: usize, seed: u64) -> Self {
        // The same mixture for every seed of draws.
        let mut random = SmallRng::seed_from_u64(20_261_130);
        let mut normals = |count: usize, scale: f32| -> Vec<f32> {
            (0..count).map(|_| normal(&mut random) * scale).collect()
        };
        let groups = normals(GROUPS * dims, 1.0);
        let mut topics = normals(TOPICS * dims, 0.9);
        for (topic, row) in topics.chunks_exact_mut(dims).enumerate() {
            let group = &groups[topic % GROUPS * dims..][..dims];
            row.iter_mut().zip(group).for_each(|(x, g)| *x += g);
        }
        let directions = normals(GROUPS * DIRECTIONS * dims, 0.25);
        Self { dims, topics, directions, random: SmallRng::seed_from_u64(seed) }
    }

    pub(crate) fn draw(&mut self, count: usize) -> Vec<f32> {
        let mut all = Vec::with_capacity(count * self.dims);
        for _ in 0..count {
            // Some topics are much talked about.
            let share: f32 = self.random.random();
            #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "in 0..1")]
            #[expect(clippy::cast_precision_loss, reason = "a few thousand topics")]
            let topic = ((share * share * TOPICS as f32) as usize).min(TOPICS - 1);
            let from = all.len();
            all.extend_from_slice(&self.topics[topic * self.dims..][..self.dims]);
            let group = topic % GROUPS * DIRECTIONS;
            for direction in group..group + DIRECTIONS {
                let z = normal(&mut self.random);
                let row = &self.directions[direction * self.dims..][..self.dims];
                all[from..].iter_mut().zip(row).for_each(|(x, d)| *x += z * d);
            }
            let mut length = 0.0;
            for x in &mut all[from..] {
                *x += self.random.random_range(-0.6..0.6);
                length += *x * *x;
            }
            let length = length.sqrt();
            all[from..].iter_mut().for_each(|x| *x /= length);
        }
        all
    }
}

/// About normal: the sum of four uniform numbers, of deviation one.
fn normal(random: &mut SmallRng) -> f32 {
    (0..4).map(|_| random.random_range(-1.0..1.0_f32)).sum::<f32>() * 0.866
}

struct Sink(Store);

#[async_trait]
impl ObjectSink for Sink {
    async fn put(&self, bytes: Bytes) -> Result<Put> {
        let path = paths::index(&paths::fresh_id(self.0.clock().as_ref()));
        self.0.put(&path, bytes).await?;
        Ok(Put { name: path.as_str().to_owned(), hold: None })
    }
}

/// What the folder has, made if it is not there.
pub(crate) async fn found_or_made(
    folder: &Path,
    store: &Store,
    rows: usize,
    dims: usize,
) -> Result<Made> {
    let note = folder.join("cold.json");
    let read = std::fs::read(&note).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(made) = read.filter(|made: &Made| (made.rows, made.dims) == (rows, dims)) {
        return Ok(made);
    }
    eprintln!("making {rows} vectors of {dims} dimensions in {}", folder.display());
    let segments = SegmentStore::new(store.clone(), Arc::new(ColumnCache::new(64 << 20)));
    let table = fill(&segments, rows, dims).await?;
    eprintln!("building the index");
    let index = build(store, rows, dims).await?;
    let made = Made {
        rows,
        dims,
        segments: table.segments().map(|segment| segment.meta().clone()).collect(),
        index: index.checkpoint(&Sink(store.clone()), None).await?,
    };
    let bytes = serde_json::to_vec(&made).expect("it is plain");
    std::fs::write(&note, bytes).expect("the folder can be written");
    Ok(made)
}

async fn fill(segments: &SegmentStore, rows: usize, dims: usize) -> Result<TableState> {
    let specs = columns(dims);
    let mut mixture = Mixture::new(dims, 1);
    let mut table = TableState::empty();
    for from in (0..rows).step_by(SEGMENT_ROWS) {
        let count = SEGMENT_ROWS.min(rows - from);
        let first = i32::try_from(from).expect("few rows");
        let last = i32::try_from(from + count).expect("few rows");
        let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(first..last));
        let values: ArrayRef = Arc::new(Float32Array::from(mixture.draw(count)));
        let element = match specs[1].kind.arrow() {
            arrow::datatypes::DataType::FixedSizeList(element, _) => element,
            other => unreachable!("a vector is {other}"),
        };
        let size = i32::try_from(dims).expect("dimensions of a vector");
        let vectors: ArrayRef = Arc::new(FixedSizeListArray::try_new(element, size, values, None)?);
        let fields: Vec<Field> = specs.iter().map(ColumnSpec::field).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![ids, vectors])?;
        let full = table.append(&batch);
        table = flush(segments, &full, &specs).await?.apply(&full);
    }
    Ok(table)
}

async fn build(store: &Store, rows: usize, dims: usize) -> Result<Index> {
    let objects = Arc::new(nearlake::exec::checkpoint::IndexObjects(store.clone()));
    let postings = PostingStore::new(objects, 2 << 30);
    let sink = Sink(store.clone());
    let options = IndexOptions::new(Metric::L2, u32::try_from(dims).expect("dimensions"));
    // Drawn of the same mixture, so that the vectors need not be read back.
    let sample_rows = SAMPLE_ROWS.min(rows);
    let mut training = Training::begin(options, rows as u64, sample_rows as u64)?;
    training.add_sample(&Mixture::new(dims, 2).draw(sample_rows))?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut index = training.run(threads, &|_| ControlFlow::Continue(()))?;
    let mut mixture = Mixture::new(dims, 1);
    let mut from = 0;
    while from < rows {
        let mut slices = Vec::new();
        for _ in 0..threads {
            let count = index.slice_rows().min(rows - from);
            let vectors = mixture.draw(count);
            let rows = (from as u64..(from + count) as u64).map(RowId).collect();
            from += count;
            slices.push(Slice { rows, vectors });
        }
        slices.retain(|slice| !slice.rows.is_empty());
        index = room(index.load(&slices)?, &sink, &postings).await?;
    }
    index = index.loaded()?;
    let mut steps = 0_u32;
    while let Some(next) = index.settle(&|_| true).await? {
        index = next;
        steps += 1;
        if steps.is_multiple_of(256) {
            index = room(index, &sink, &postings).await?;
        }
    }
    Ok(index.whole())
}

async fn room(index: Index, sink: &Sink, postings: &Arc<PostingStore>) -> Result<Index> {
    if index.stats().unstored_bytes < UNSTORED_BYTES {
        return Ok(index);
    }
    let index = index.tidied()?;
    index.spill(sink, postings).await?;
    Ok(index)
}
