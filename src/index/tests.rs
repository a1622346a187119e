//! The whole path, with objects in memory: build, insert, search, upkeep, checkpoint, open, damage.

#![expect(clippy::cast_possible_truncation, reason = "objects in tests are small")]

mod build;
mod cold;
mod damage;
mod faults;

use super::*;
use crate::ids::RowSet;
use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    collections::{BTreeMap, HashMap},
    ops::{ControlFlow, Range},
};

const DIMS: u32 = 24;

/// Objects by name.
#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl ObjectSink for Objects {
    async fn put(&self, bytes: Bytes) -> Result<Put> {
        let mut objects = self.0.lock();
        let name = format!("index/{:04}", objects.len());
        objects.insert(name.clone(), bytes);
        Ok(Put { name, hold: None })
    }
}

#[async_trait]
impl ObjectSource for Objects {
    async fn ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let objects = self.0.lock();
        let bytes = objects.get(object).ok_or_else(|| Error::internal("no such object"))?;
        let slice = |r: &Range<u64>| {
            let end = (r.end as usize).min(bytes.len());
            bytes.slice((r.start as usize).min(end)..end)
        };
        Ok(ranges.iter().map(slice).collect())
    }
}

/// Clusters of vectors, a twentieth of them doubles of others.
fn vectors(count: usize, seed: u64) -> Vec<f32> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut centres = SmallRng::seed_from_u64(7);
    let centres: Vec<f32> = (0..40 * DIMS).map(|_| centres.random_range(-3.0..3.0)).collect();
    let mut all: Vec<f32> = Vec::new();
    for row in 0..count {
        if row % 20 == 19 {
            let other = random.random_range(0..row) * DIMS as usize;
            all.extend_from_within(other..other + DIMS as usize);
            continue;
        }
        let centre = random.random_range(0..40) * DIMS as usize;
        let near = centres[centre..centre + DIMS as usize].iter();
        all.extend(near.map(|x| x + random.random_range(-1.0..1.0)));
    }
    all
}

fn vector(all: &[f32], row: usize) -> &[f32] {
    &all[row * DIMS as usize..][..DIMS as usize]
}

fn rows(from: usize, to: usize) -> Vec<RowId> {
    (from as u64..to as u64).map(RowId).collect()
}

fn go_on(_: f32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn trained(options: IndexOptions, all: &[f32]) -> Index {
    training(options, all).run(1, &go_on).unwrap()
}

/// All rows are the sample, which comes in two pieces.
fn training(options: IndexOptions, all: &[f32]) -> Training {
    let count = all.len() / options.dims as usize;
    let mut training = Training::begin(options, count as u64, count as u64).unwrap();
    let (some, others) = all.split_at(count / 3 * options.dims as usize);
    training.add_sample(some).unwrap();
    training.add_sample(others).unwrap();
    training
}

/// The rows from `from` on, as slices of a thousand.
fn slices(options: IndexOptions, all: &[f32], from: usize) -> Vec<Slice> {
    let dims = options.dims as usize;
    let count = all.len() / dims;
    let slice = |from: usize| {
        let to = (from + 1000).min(count);
        Slice { rows: rows(from, to), vectors: all[from * dims..to * dims].to_vec() }
    };
    (from..count).step_by(1000).map(slice).collect()
}

/// What a build does once all is loaded.
fn finished(index: &Index) -> Index {
    let mut index = index.loaded().unwrap();
    while let Some(next) = block_on(index.settle(&|_| true)).unwrap() {
        index = next;
    }
    index.whole()
}

fn built_with(options: IndexOptions, all: &[f32]) -> Index {
    finished(&trained(options, all).load(&slices(options, all, 0)).unwrap())
}

fn built(metric: Metric, all: &[f32]) -> Index {
    built_with(IndexOptions::new(metric, DIMS), all)
}

/// One step of what a posting's size asks for, or of a pass over all of them in search of dead rows.
async fn maintain(index: &Index, live: &(dyn Fn(RowId) -> bool + Sync)) -> Result<Option<Index>> {
    if let Some(next) = index.settle(live).await? {
        return Ok(Some(next));
    }
    let mut sweep = index.sweep(0)?;
    loop {
        match index.sweep_on(&mut sweep, live).await? {
            Swept::Looked => {}
            Swept::Rebuilt(next) => return Ok(Some(next)),
            Swept::Done(next) => {
                return Ok((next.left_out().len() < index.left_out().len()).then_some(next));
            }
        }
    }
}

fn settled(mut index: Index, live: impl Fn(RowId) -> bool + Sync) -> Index {
    while let Some(next) = block_on(maintain(&index, &live)).unwrap() {
        index = next;
    }
    index
}

/// What is found of an index all of whose rows are live.
fn verified(index: &Index) -> Report {
    verified_by(index, |_| true, &HashMap::new())
}

fn verified_by(
    index: &Index,
    live: impl Fn(RowId) -> bool + Sync,
    sample: &HashMap<RowId, Vec<f32>>,
) -> Report {
    block_on(index.verify(&live, sample)).unwrap().report()
}

/// The k nearest by brute force among rows that `is_allowed` takes.
fn exact(
    metric: Metric,
    all: &[f32],
    query: &[f32],
    k: usize,
    is_allowed: impl Fn(usize) -> bool,
) -> Vec<(f64, usize)> {
    let mut out = vec![0.0; all.len() / DIMS as usize];
    distances(metric, query, all, &mut out);
    let mut found: Vec<(f64, usize)> = out
        .into_iter()
        .enumerate()
        .filter(|&(row, _)| is_allowed(row))
        .map(|(r, d)| (d, r))
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    found.truncate(k);
    found
}

fn search<'a>(query: &'a [f32], k: usize, recall_target: f32) -> Search<'a> {
    let below = RowId(u64::MAX >> 1);
    let entries_worth = u64::MAX;
    let (allowed, may_hold) = (None, None);
    Search { query, k, recall_target, probes_min: 0, allowed, below, entries_worth, may_hold }
}

/// The share of the true k nearest that is found, over many queries.
fn recall(
    index: &Index,
    metric: Metric,
    all: &[f32],
    target: f32,
    allowed: Option<&RowSet>,
) -> f64 {
    let queries = vectors(100, 4711);
    let (mut right, mut wanted) = (0, 0);
    for q in 0..100 {
        let query = vector(&queries, q);
        let truth = exact(metric, all, query, 10, |row| {
            allowed.is_none_or(|a| a.contains(RowId(row as u64)))
        });
        let found =
            block_on(index.search(&Search { allowed, ..search(query, 10, target) })).unwrap();
        assert_eq!(found.hits.len(), truth.len());
        assert!(found.hits.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
        let worst = truth.last().unwrap().0 + 1e-4;
        right += found.hits.iter().filter(|hit| f64::from(hit.distance) <= worst).count();
        wanted += truth.len();
    }
    right as f64 / wanted as f64
}

#[test]
fn a_built_index_finds_what_it_is_asked_for_by_every_metric() {
    let all = vectors(6000, 1);
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let index = built(metric, &all);
        assert_eq!(index.watermark(), RowId(6000));
        assert!(index.stats().calibrated_entries > 0, "{:?}", index.stats());
        let sample = (0..6000).step_by(37).map(|at| (RowId(at as u64), vector(&all, at).to_vec()));
        let report = verified_by(&index, |_| true, &sample.collect());
        assert!(report.is_ok() && report.odd_rows.is_empty(), "{report:?}");
        assert_eq!(report.rows, 6000);
        assert!((recall(&index, metric, &all, 1.0, None) - 1.0).abs() < 1e-9, "{metric}");
        let share = recall(&index, metric, &all, 0.95, None);
        assert!(share >= 0.95, "{metric}: {share}");
    }
}

#[test]
fn an_inserted_index_finds_as_much_with_fewer_rows_read() {
    let all = vectors(6000, 2);
    let mut index = Index::empty(IndexOptions::new(Metric::L2, DIMS)).unwrap();
    let mut from = 0;
    for batch in [1, 1, 1, 7, 50, 600, 40, 2000, 3000, 299, 1].iter().copied() {
        let to = from + batch;
        index =
            index.insert(&rows(from, to), &all[from * DIMS as usize..to * DIMS as usize]).unwrap();
        from = to;
        while let Some(next) = block_on(index.settle(&|_| true)).unwrap() {
            index = next;
        }
    }
    assert_eq!(from, 6000);

    let report = verified(&index);
    assert_eq!(
        (report.faults.len(), report.odd_rows.len(), report.rows),
        (0, 0, 6000),
        "{report:?}"
    );
    assert!(report.posting_entries_max <= 256);
    assert!(recall(&index, Metric::L2, &all, 0.95, None) >= 0.95);
    let query = vectors(1, 3);
    let found = block_on(index.search(&search(&query, 10, 0.9))).unwrap();
    assert!(found.scanned < 4000, "{found:?}");
}

#[test]
fn a_filter_widens_a_search_until_k_are_found() {
    let all = vectors(6000, 4);
    let index = built(Metric::L2, &all);
    for keep in [2, 10, 100, 1500] {
        let mut allowed = RowSet::empty(RowId(0), RowId(6000));
        (0..6000).filter(|row| row % keep == 1).for_each(|row| allowed.insert(RowId(row)));
        let share = recall(&index, Metric::L2, &all, 0.95, Some(&allowed));
        assert!(share >= 0.95, "one of {keep}: {share}");
    }
    let query = vector(&all, 0);
    let below = Search { below: RowId(3), ..search(query, 10, 0.9) };
    let found = block_on(index.search(&below)).unwrap();
    assert_eq!(
        found.hits.iter().map(|hit| hit.row.0).collect::<std::collections::BTreeSet<_>>(),
        [0, 1, 2].into()
    );
}

#[test]
fn dead_rows_are_collected_and_nothing_else_is_lost() {
    let all = vectors(6000, 5);
    let index = built(Metric::L2, &all);
    let live = |row: RowId| !row.0.is_multiple_of(3) || row.0 > 5000;

    let kept = settled(index.clone(), live);

    let report = verified_by(&kept, live, &HashMap::new());
    assert!(report.is_ok() && report.odd_rows.is_empty(), "{report:?}");
    let mut allowed = RowSet::empty(RowId(0), RowId(6000));
    (0..6000).map(RowId).filter(|&row| live(row)).for_each(|row| allowed.insert(row));
    assert_eq!(report.rows, allowed.len());
    assert!((recall(&kept, Metric::L2, &all, 1.0, Some(&allowed)) - 1.0).abs() < 1e-9);
    assert_eq!(verified(&index).rows, 6000, "the version before is as it was");

    let nothing = settled(kept, |_| false);
    assert_eq!(nothing.stats().entries, 0);
    let found = block_on(nothing.search(&search(vector(&all, 1), 5, 0.9))).unwrap();
    assert!(found.hits.is_empty());
    let again = nothing.insert(&rows(7000, 7100), &all[..100 * DIMS as usize]).unwrap();
    assert_eq!(verified(&settled(again, |_| true)).rows, 100);
}

#[test]
fn equal_vectors_stay_together_and_all_are_found() {
    let one = vectors(1, 6);
    let many = one.repeat(2000);
    let index = Index::empty(IndexOptions::new(Metric::Cosine, DIMS)).unwrap();
    let index = settled(index.insert(&rows(0, 2000), &many).unwrap(), |_| true);

    let found = block_on(index.search(&search(&one, 2000, 0.9))).unwrap();

    assert_eq!(found.hits.len(), 2000);
    assert!(found.hits.iter().enumerate().all(|(i, hit)| hit.row.0 == i as u64));
    assert_eq!(verified(&index).odd_rows, vec![]);
}

#[test]
fn vectors_without_a_place_are_named() {
    let mut all = vectors(10, 7);
    all[DIMS as usize..2 * DIMS as usize].fill(0.0);
    all[5 * DIMS as usize] = 1e25;
    let cosine = Index::empty(IndexOptions::new(Metric::Cosine, DIMS)).unwrap();
    let cosine = cosine.insert(&rows(0, 10), &all).unwrap();
    assert_eq!(cosine.left_out(), [RowId(1), RowId(5)]);
    assert!(!cosine.has_place(vector(&all, 1)) && cosine.has_place(vector(&all, 2)));
    assert_eq!(cosine.advance(RowId(20)).watermark(), RowId(20));
    let found = block_on(cosine.search(&search(vector(&all, 0), 10, 1.0))).unwrap();
    assert_eq!(found.hits.len(), 8);
    assert_eq!(settled(cosine, |row| row.0 != 1).left_out(), [RowId(5)]);
}

#[test]
fn wrong_dimensions_are_refused_in_pgvectors_words() {
    let index = Index::empty(IndexOptions::new(Metric::L2, 384)).unwrap();
    let error = index.insert(&rows(0, 1), &[1.0, 2.0, 3.0]).unwrap_err();
    assert_eq!(
        (error.state(), error.message()),
        (SqlState::DATA_EXCEPTION, "expected 384 dimensions, not 3")
    );
    let error = block_on(index.search(&search(&[1.0, 2.0, 3.0], 1, 0.9))).unwrap_err();
    assert_eq!(
        (error.state(), error.message()),
        (SqlState::DATA_EXCEPTION, "expected 384 dimensions, not 3")
    );
    let error = IndexOptions::new(Metric::L1, 3).check().unwrap_err();
    assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);
    let tight = IndexOptions { posting_max: 130, ..IndexOptions::new(Metric::L2, 3) };
    assert_eq!(tight.check().unwrap_err().state(), SqlState::INVALID_PARAMETER_VALUE);
}

#[test]
fn a_build_can_be_cancelled() {
    let all = vectors(2000, 8);
    let stop = |_: f32| ControlFlow::Break(());
    let options = IndexOptions::new(Metric::L2, DIMS);
    let error = training(options, &all).run(2, &stop).unwrap_err();
    assert_eq!(error.state(), SqlState::QUERY_CANCELED);
}

#[test]
fn a_checkpoint_opens_to_the_same_answers_reading_only_what_it_needs() {
    let all = vectors(6000, 9);
    let index = built(Metric::L2, &all);
    let objects = Arc::new(Objects::default());
    let checkpoint = block_on(index.checkpoint(&*objects, None)).unwrap();
    let json = serde_json::to_string(&checkpoint).unwrap();
    let checkpoint: IndexCheckpoint = serde_json::from_str(&json).unwrap();

    let store = PostingStore::new(Arc::clone(&objects) as Arc<dyn ObjectSource>, 100_000);
    let opened = block_on(Index::open(&checkpoint, &store)).unwrap();

    assert_eq!(store.reads(), (0, 0));
    assert_eq!(verified(&opened), verified(&index));
    assert_eq!(opened.watermark(), RowId(6000));
    let queries = vectors(20, 10);
    for q in 0..20 {
        let request = search(vector(&queries, q), 10, 1.0);
        let was = block_on(index.search(&request)).unwrap();
        assert_eq!(block_on(opened.search(&request)).unwrap().hits, was.hits);
    }
    assert!(store.resident_bytes() <= 100_000, "{}", store.resident_bytes());
    assert!(store.reads().0 > 20);
}

#[test]
fn a_second_checkpoint_writes_what_changed_and_drops_what_is_garbage() {
    let all = vectors(6000, 11);
    let index = built(Metric::L2, &all);
    let objects = Arc::new(Objects::default());
    let store = PostingStore::new(Arc::clone(&objects) as Arc<dyn ObjectSource>, 1 << 20);
    let first = block_on(index.checkpoint(&*objects, None)).unwrap();
    index.adopt(&first, &store);
    assert!(index.stats().resident_bytes <= 1 << 20);
    assert_eq!(index.stats().unstored_bytes, 0);

    let index =
        settled(index.insert(&rows(6000, 6100), &all[..100 * DIMS as usize]).unwrap(), |_| true);
    let second = block_on(index.checkpoint(&*objects, None)).unwrap();
    assert_eq!(second.postings[0], first.postings[0], "what is unchanged is kept");
    let small: u64 = second.postings[1..].iter().map(|object| object.len).sum();
    assert!(small < first.postings[0].len / 2, "{second:?}");
    index.adopt(&second, &store);

    let index = settled(index, |row| row.0 >= 5000);
    let third = block_on(index.checkpoint(&*objects, None)).unwrap();
    assert!(!third.objects().any(|name| name == first.postings[0].name), "garbage is left behind");
    let opened = block_on(Index::open(&third, &store)).unwrap();
    assert_eq!(verified(&opened), verified(&index));
    let found = block_on(opened.search(&search(vector(&all, 5500), 3, 1.0))).unwrap();
    assert_eq!(found.hits[0].row, RowId(5500));
}

#[test]
fn damage_is_told_with_its_object_and_never_served() {
    let all = vectors(3000, 12);
    let index = built(Metric::L2, &all);
    let objects = Arc::new(Objects::default());
    let checkpoint = block_on(index.checkpoint(&*objects, None)).unwrap();
    let mut random = SmallRng::seed_from_u64(13);
    for object in checkpoint.objects() {
        let whole = objects.0.lock()[object].clone();
        for turn in 0..30 {
            let mut bytes = whole.to_vec();
            // Behind the header of 64 bytes, which nobody reads again.
            let at = random.random_range(64..bytes.len());
            if turn % 3 == 0 {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << random.random_range(0..8);
            }
            objects.0.lock().insert(object.to_owned(), bytes.into());
            let store = PostingStore::new(Arc::clone(&objects) as Arc<dyn ObjectSource>, 1 << 30);
            let outcome = block_on(async {
                let opened = Index::open(&checkpoint, &store).await?;
                opened.search(&search(vector(&all, 0), 3000, 1.0)).await
            });
            let error = outcome.unwrap_err();
            assert_eq!(error.state(), SqlState::DATA_CORRUPTED);
            assert!(error.message().contains(object), "{error}");
        }
        objects.0.lock().insert(object.to_owned(), whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_go_on_while_an_index_is_changed() {
    let all = Arc::new(vectors(4000, 16));
    let latest = Arc::new(Mutex::new(built(Metric::L2, &all[..2000 * DIMS as usize])));
    let searcher = tokio::spawn({
        let (all, latest) = (Arc::clone(&all), Arc::clone(&latest));
        async move {
            let mut searched = 0;
            loop {
                let index = latest.lock().clone();
                for row in (0..2000).step_by(97) {
                    let found = index.search(&search(vector(&all, row), 1, 1.0)).await.unwrap();
                    assert_eq!(found.hits[0].distance, 0.0);
                    searched += 1;
                }
                if index.watermark() == RowId(4000) {
                    return searched;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    for from in (2000..4000).step_by(50) {
        let mut index = latest.lock().clone();
        index = index
            .insert(&rows(from, from + 50), &all[from * DIMS as usize..(from + 50) * DIMS as usize])
            .unwrap();
        while let Some(next) = maintain(&index, &|_| true).await.unwrap() {
            index = next;
            *latest.lock() = index.clone();
            tokio::task::yield_now().await;
        }
        *latest.lock() = index;
    }
    assert!(searcher.await.unwrap() > 0);
    let last = latest.lock().clone();
    let report = last.verify(&|_| true, &HashMap::new()).await.unwrap().report();
    assert!(report.is_ok() && report.rows == 4000, "{report:?}");
}

#[test]
fn the_kernels_give_what_pgvector_gives() {
    let mut out = [0.0; 3];
    let vectors = [3.0, 4.0, 0.0, 0.0, 1.0, 0.0];
    distances(Metric::L2, &[0.0, 0.0], &vectors, &mut out);
    assert_eq!(out, [5.0, 0.0, 1.0]);
    distances(Metric::InnerProduct, &[1.0, 2.0], &vectors, &mut out);
    assert_eq!(out, [-11.0, 0.0, -1.0]);
    distances(Metric::Cosine, &[1.0, 0.0], &vectors, &mut out);
    assert!((out[0] - 0.4).abs() < 1e-7 && out[1].is_nan() && out[2] == 0.0, "{out:?}");
    distances(Metric::L1, &[1.0, 1.0], &vectors, &mut out);
    assert_eq!(out, [5.0, 2.0, 1.0]);
}
