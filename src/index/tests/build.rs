//! Builds: side by side, in little memory, and on from where they were.

use super::*;
use std::sync::atomic::AtomicUsize;

const ROWS: usize = 9000;

fn options() -> IndexOptions {
    IndexOptions::new(Metric::L2, DIMS)
}

fn bytes_of(index: &Index) -> Vec<(u32, Vec<u8>)> {
    let posting = |(id, posting): (u32, &Arc<posting::Posting>)| {
        let chunks = block_on(index.fetch(&posting.chunks)).unwrap();
        let bytes = chunks.iter().flat_map(|c| [c.scan_bytes(), c.record_bytes()].concat());
        (id, bytes.collect())
    };
    index.0.postings.iter().map(posting).collect()
}

fn right(index: &Index, all: &[f32]) {
    let report = verified(index);
    assert_eq!(report.faults, Vec::<String>::new());
    let queries = vectors(30, 91);
    for query in queries.chunks(DIMS as usize) {
        let found = block_on(index.search(&search(query, 10, 1.0))).unwrap();
        let hits: Vec<usize> = found.hits.iter().map(|hit| hit.row.0 as usize).collect();
        let wanted: Vec<usize> =
            exact(Metric::L2, all, query, 10, |_| true).into_iter().map(|(_, row)| row).collect();
        assert_eq!(hits, wanted);
    }
}

#[test]
fn slices_side_by_side_make_what_they_make_one_by_one() {
    let all = vectors(ROWS, 90);
    let slices = slices(options(), &all, 0);

    let together = trained(options(), &all).load(&slices).unwrap();
    let mut alone = trained(options(), &all);
    for slice in &slices {
        alone = alone.load(std::slice::from_ref(slice)).unwrap();
    }

    assert_eq!(together.watermark(), RowId(ROWS as u64));
    assert_eq!(together.stats().entries, alone.stats().entries);
    let (together, alone) = (together.loaded().unwrap(), alone.loaded().unwrap());
    assert!(bytes_of(&together) == bytes_of(&alone), "the same postings");
    assert_eq!(together.0.core.serialize().unwrap(), alone.0.core.serialize().unwrap());
    right(&finished(&together), &all);
}

#[test]
fn many_threads_train_what_one_does() {
    let all = vectors(ROWS, 94);
    let with = |threads| {
        let index = training(options(), &all).run(threads, &go_on).unwrap();
        index.0.core.serialize().unwrap()
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn slices_that_do_not_ascend_are_refused() {
    let all = vectors(2000, 92);
    let slices = slices(options(), &all, 0);
    let loaded = trained(options(), &all).load(&slices).unwrap();
    assert!(loaded.load(&slices[1..]).is_err());
    let turned = [slices[1].clone(), slices[0].clone()];
    assert!(trained(options(), &all).load(&turned).is_err());
}

/// A sink that counts, of small objects.
#[derive(Default)]
struct Small {
    objects: Arc<Objects>,
    held: Arc<AtomicUsize>,
}

/// Counts itself while it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl ObjectSink for Small {
    async fn put(&self, bytes: Bytes) -> Result<Put> {
        assert!(bytes.len() <= self.object_bytes_max());
        let Put { name, .. } = self.objects.put(bytes).await?;
        self.held.fetch_add(1, Ordering::Relaxed);
        Ok(Put { name, hold: Some(Arc::new(Counted(Arc::clone(&self.held)))) })
    }

    fn object_bytes_max(&self) -> usize {
        100 << 10
    }
}

#[test]
fn a_build_in_little_memory_makes_the_same_index() {
    let all = vectors(ROWS, 93);
    let sink = Small::default();
    let store = PostingStore::new(Arc::clone(&sink.objects) as Arc<dyn ObjectSource>, 64 << 10);
    let unstored_max = 200 << 10;

    let mut index = trained(options(), &all);
    let mut spills = 0;
    let mut make_room = |index: Index| {
        if index.stats().unstored_bytes < unstored_max {
            return index;
        }
        spills += 1;
        let index = index.tidied().unwrap();
        block_on(index.spill(&sink, &store)).unwrap();
        assert_eq!(index.stats().unstored_bytes, 0);
        assert!(index.stats().resident_bytes <= 64 << 10);
        index
    };
    for slice in slices(options(), &all, 0) {
        index = make_room(index.load(&[slice]).unwrap());
    }
    index = index.loaded().unwrap();
    while let Some(next) = block_on(index.settle(&|_| true)).unwrap() {
        index = make_room(next);
    }
    index = index.whole();

    assert!(spills > 4, "{spills} spills");
    let chunks = index.0.postings.iter().map(|(_, posting)| posting.chunks.len()).max();
    assert_eq!(chunks, Some(1), "each posting lies together");
    right(&index, &all);
    let whole = built(Metric::L2, &all);
    assert_eq!(index.stats().entries, whole.stats().entries);
    assert!(bytes_of(&index) == bytes_of(&whole), "the same postings");

    // What it does not read any more is let go; with it, everything.
    let used = index.stored_objects().len();
    assert_eq!(sink.held.load(Ordering::Relaxed), used);
    drop(index);
    assert_eq!(sink.held.load(Ordering::Relaxed), 0);
}

#[test]
fn a_build_goes_on_from_a_checkpoint_at_any_stage() {
    let all = vectors(ROWS, 94);
    let objects = Arc::new(Objects::default());
    let reopened = |index: &Index| {
        let checkpoint = block_on(index.checkpoint(&*objects, None)).unwrap();
        let json = serde_json::to_string(&checkpoint).unwrap();
        let checkpoint: IndexCheckpoint = serde_json::from_str(&json).unwrap();
        let store = PostingStore::new(Arc::clone(&objects) as Arc<dyn ObjectSource>, 1 << 20);
        let opened = block_on(Index::open(&checkpoint, &store)).unwrap();
        assert_eq!((opened.stage(), opened.watermark()), (index.stage(), index.watermark()));
        assert!(!opened.is_kin(index) && opened.is_kin(&opened.whole()));
        opened
    };

    let mut index = reopened(&trained(options(), &all));
    assert_eq!((index.stage(), index.watermark()), (Stage::Loading, RowId(0)));
    for slice in slices(options(), &all, 0) {
        index = reopened(&index.load(&[slice]).unwrap());
    }
    index = reopened(&index.loaded().unwrap());
    let mut steps = 0;
    while let Some(next) = block_on(index.settle(&|_| true)).unwrap() {
        steps += 1;
        index = if steps % 8 == 0 { reopened(&next) } else { next };
    }
    assert!(steps > 0 && !index.is_whole());
    let index = reopened(&index.whole());
    assert!(index.is_whole());
    right(&index, &all);
}

#[test]
fn an_index_of_few_rows_or_none_is_built() {
    for count in [0, 1, 7, 40] {
        let all = vectors(count, 95);
        let index = built(Metric::Cosine, &all);
        assert!(index.is_whole());
        assert_eq!(index.stats().entries > 0, count > 0);
        let inserted = index.insert(&rows(count, count + 1), &vectors(1, 96)).unwrap();
        let found = block_on(inserted.search(&search(&vectors(1, 96), 1, 0.9))).unwrap();
        assert_eq!(found.hits[0].row, RowId(count as u64));
    }
}
