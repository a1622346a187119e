//! Searches of what is not in memory: how often they read, how much, and what they find.

use super::*;
use crate::index::store::Want;
use std::sync::atomic::AtomicU64;

const CODED: u32 = 96;
const ROWS: usize = 12_000;

/// Objects that count how often they are asked. A round of reads asks each object once.
#[derive(Default)]
struct Counted {
    objects: Objects,
    asked: AtomicU64,
}

#[async_trait]
impl ObjectSource for Counted {
    async fn ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.objects.ranges(object, ranges).await
    }
}

fn coded_vectors(count: usize, seed: u64) -> Vec<f32> {
    let mut centres = SmallRng::seed_from_u64(3);
    let centres: Vec<f32> = (0..60 * CODED).map(|_| centres.random_range(-1.0..1.0)).collect();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut all = Vec::new();
    for _ in 0..count {
        let centre = random.random_range(0..60) * CODED as usize;
        let near = centres[centre..centre + CODED as usize].iter();
        all.extend(near.map(|x| x + random.random_range(-1.0..1.0)));
    }
    all
}

fn coded_index(all: &[f32]) -> Index {
    built_with(IndexOptions::new(Metric::L2, CODED), all)
}

/// How many of the 10 nearest rows are among the hits, on average over these queries.
fn right(index: &Index, all: &[f32], queries: &[f32], target: f32) -> f64 {
    let dims = CODED as usize;
    let mut right = 0;
    for query in queries.chunks(dims) {
        let mut out = vec![0.0; all.len() / dims];
        distances(Metric::L2, query, all, &mut out);
        let mut nearest: Vec<usize> = (0..out.len()).collect();
        nearest.sort_by(|&a, &b| out[a].total_cmp(&out[b]));
        let found = block_on(index.search(&search(query, 10, target))).unwrap();
        let hits: Vec<u64> = found.hits.iter().map(|hit| hit.row.0).collect();
        right += nearest[..10].iter().filter(|&&row| hits.contains(&(row as u64))).count();
    }
    right as f64 / (queries.len() / dims) as f64
}

#[test]
fn a_cold_search_takes_few_rounds_and_reads_little() {
    let all = coded_vectors(ROWS, 20);
    let index = coded_index(&all);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(index.checkpoint(&source.objects, None)).unwrap();
    assert_eq!(checkpoint.postings.len(), 1, "so that a round asks once");
    let queries = coded_vectors(40, 21);
    let warm = right(&index, &all, &queries, 0.9);

    let (mut cold, mut rounds_most, mut bytes) = (0.0, 0, 0);
    for query in queries.chunks(CODED as usize) {
        let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, 1 << 30);
        let opened = block_on(Index::open(&checkpoint, &store)).unwrap();
        let before = source.asked.load(Ordering::Relaxed);
        cold += right(&opened, &all, query, 0.9) / 40.0;
        rounds_most = rounds_most.max(source.asked.load(Ordering::Relaxed) - before);
        assert!(store.reads().0 <= 48, "{:?}", store.reads());
        bytes += store.reads().1;
    }

    assert!(rounds_most <= 3, "{rounds_most} rounds");
    assert!(cold >= warm - 0.3, "{cold} of 10 cold, {warm} warm");
    let whole = index.stats().bytes;
    assert!(bytes / 40 < whole / 2, "{} of {whole} bytes a search", bytes / 40);
}

#[test]
fn scans_stay_in_memory_when_records_leave_it() {
    let all = coded_vectors(ROWS, 22);
    let index = coded_index(&all);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(index.checkpoint(&source.objects, None)).unwrap();
    let scans: u64 = index
        .0
        .postings
        .iter()
        .flat_map(|(_, posting)| &posting.chunks)
        .map(|chunk| u64::from(chunk.len(posting::Part::Scan)))
        .sum();
    assert!(scans * 4 < index.stats().bytes, "{scans} bytes are scanned of {:?}", index.stats());

    // Room for the scans and a little more.
    let room = scans * 3 / 2;
    let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, room);
    index.adopt(&checkpoint, &store);

    assert!(store.resident_bytes() <= room, "{} of {room}", store.resident_bytes());
    let here = index.stats().resident_bytes;
    assert!((scans..=room).contains(&here), "{here} of {room}, scans {scans}");
    let queries = coded_vectors(60, 23);
    let found = right(&index, &all, &queries, 0.95);
    assert!(found >= 9.4, "{found} of 10");
    assert!(store.resident_bytes() <= room, "{} of {room}", store.resident_bytes());
    for (_, posting) in index.0.postings.iter() {
        let wants = posting.chunks.iter().map(Want::scan);
        assert!(wants.clone().all(|want| want.resident().is_some()), "a scan part left memory");
    }
}

#[test]
fn an_index_comes_near_before_it_is_searched() {
    let all = coded_vectors(ROWS, 26);
    let index = coded_index(&all);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(index.checkpoint(&source.objects, None)).unwrap();
    let open = |bytes_max| {
        let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, bytes_max);
        (block_on(Index::open(&checkpoint, &store)).unwrap(), store)
    };
    let query = &all[..CODED as usize];

    let (near, store) = open(1 << 30);
    let (chunks, far) = near.chunks();
    assert_eq!((chunks > 30, far), (true, chunks));
    assert_eq!(block_on(near.search(&search(query, 10, 0.9))).unwrap().resident, 0);
    let left = near.chunks().1;
    assert!(left < chunks && left > 0, "{left} of {chunks}");
    assert_eq!(block_on(near.bring_near()).unwrap(), left);
    assert_eq!(near.chunks(), (chunks, 0));
    assert_eq!(block_on(near.bring_near()).unwrap(), 0);
    let found = block_on(near.search(&search(query, 10, 0.9))).unwrap();
    assert!(found.resident >= found.probes, "{} of {}", found.resident, found.probes);
    assert!(store.resident_bytes() < index.stats().bytes / 2, "the records stay where they are");

    // Where there is no room for all, what comes near stays, and nothing is read to be thrown away.
    let (small, store) = open(64 << 10);
    let brought = block_on(small.bring_near()).unwrap();
    assert!(brought > 0 && brought < chunks, "{brought} of {chunks}");
    assert_eq!(small.chunks(), (chunks, chunks - brought));
    assert!(store.resident_bytes() <= 64 << 10);
    assert_eq!(block_on(small.bring_near()).unwrap(), 0);
}

#[test]
fn short_vectors_come_near_as_they_are() {
    let all = vectors(4000, 27);
    let index = built(Metric::L2, &all);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(index.checkpoint(&source.objects, None)).unwrap();
    let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, 1 << 30);
    let near = block_on(Index::open(&checkpoint, &store)).unwrap();
    let (chunks, far) = near.chunks();
    assert_eq!(far, chunks);
    assert_eq!(block_on(near.bring_near()).unwrap(), chunks);
    assert_eq!(near.chunks(), (chunks, 0));
    let query = &all[..near.options().dims as usize];
    assert!(!block_on(near.search(&search(query, 10, 1.0))).unwrap().waited);
}

#[test]
fn an_exact_search_finds_all_of_what_is_cold() {
    let all = coded_vectors(2000, 24);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(coded_index(&all).checkpoint(&source.objects, None)).unwrap();
    let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, 1 << 30);
    let opened = block_on(Index::open(&checkpoint, &store)).unwrap();
    let found = right(&opened, &all, &coded_vectors(20, 25), 1.0);
    assert!((found - 10.0).abs() < 1e-9, "{found} of 10");
}

#[test]
fn damage_of_either_part_is_found_and_remembered() {
    let all = coded_vectors(3000, 26);
    let index = coded_index(&all);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(index.checkpoint(&source.objects, None)).unwrap();
    let object = checkpoint.postings[0].name.clone();
    let whole = source.objects.0.lock()[&object].clone();
    let query = coded_vectors(1, 27);
    // Scan parts come first, records last.
    for at in [100, whole.len() - 100] {
        let mut bytes = whole.to_vec();
        for byte in bytes.iter_mut().skip(at % 4096).step_by(4096) {
            *byte ^= 1;
        }
        source.objects.0.lock().insert(object.clone(), bytes.into());
        let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, 1 << 30);
        let opened = block_on(Index::open(&checkpoint, &store)).unwrap();
        assert!(!opened.is_damaged());
        let error = block_on(opened.search(&search(&query, 10, 0.9))).unwrap_err();
        assert_eq!(error.state(), SqlState::DATA_CORRUPTED);
        assert!(opened.is_damaged() && opened.advance(RowId(9000)).is_damaged());
    }
}

#[test]
fn a_pass_over_a_cold_index_reads_many_postings_at_a_time() {
    let all = coded_vectors(ROWS, 28);
    let source = Arc::new(Counted::default());
    let checkpoint = block_on(coded_index(&all).checkpoint(&source.objects, None)).unwrap();
    let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, 1 << 30);
    let opened = block_on(Index::open(&checkpoint, &store)).unwrap();
    let mut sweep = opened.sweep(7).unwrap();
    let swept = loop {
        match block_on(opened.sweep_on(&mut sweep, &|_| true)).unwrap() {
            Swept::Looked => {}
            Swept::Rebuilt(_) => panic!("nothing is dead"),
            Swept::Done(swept) => break swept,
        }
    };
    let (postings, asked) = (swept.stats().postings, source.asked.load(Ordering::Relaxed));
    // One of them is the directory.
    assert!(postings > 100 && asked <= 2 + u64::from(postings) / 200, "{asked} of {postings}");

    // What a checkpoint says of it is there after a start; before it was said, nothing was known.
    let checkpoint = block_on(swept.checkpoint(&source.objects, None)).unwrap();
    let mut json = serde_json::to_value(&checkpoint).unwrap();
    let again: IndexCheckpoint = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(block_on(Index::open(&again, &store)).unwrap().is_clean_of(), 7);
    json.as_object_mut().unwrap().remove("clean_of");
    let old: IndexCheckpoint = serde_json::from_value(json).unwrap();
    assert_eq!(block_on(Index::open(&old, &store)).unwrap().is_clean_of(), 0);
}
