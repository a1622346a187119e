//! Upkeep over a store that fails now and then: an error, no damage, and nothing lost.

use super::*;
use std::sync::atomic::AtomicU32;

/// Objects that are away for as many reads as it is told.
#[derive(Default)]
struct Flaky {
    objects: Objects,
    away: AtomicU32,
}

#[async_trait]
impl ObjectSource for Flaky {
    async fn ranges(&self, object: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let away = |left: u32| left.checked_sub(1);
        if self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, away).is_ok() {
            return Err(Error::new(SqlState::IO_ERROR, "the store is away"));
        }
        self.objects.ranges(object, ranges).await
    }
}

/// Hazard 6 of other implementations: an input or output error ended the process, or the upkeep of
/// the index for good. Here every step fails again and again before it succeeds.
#[test]
fn a_store_that_is_away_costs_an_index_nothing_but_time() {
    let all = vectors(3000, 40);
    let source = Arc::new(Flaky::default());
    let built = built(Metric::L2, &all[..2000 * DIMS as usize]);
    let checkpoint = block_on(built.checkpoint(&source.objects, None)).unwrap();
    // A store that remembers little, so that each step reads.
    let store = PostingStore::new(Arc::clone(&source) as Arc<dyn ObjectSource>, 1);
    let mut index = block_on(Index::open(&checkpoint, &store)).unwrap();
    index = index.insert(&rows(2000, 3000), &all[2000 * DIMS as usize..]).unwrap();
    let live = |row: RowId| row.0 > 700;
    let (mut steps, mut failures) = (0, 0);
    loop {
        source.away.store(u32::from(steps % 3 == 0), Ordering::Relaxed);
        let step = block_on(async {
            match maintain(&index, &live).await? {
                Some(next) => Ok(Some(next)),
                None => index.tend(&live).await,
            }
        });
        match step {
            Ok(Some(next)) => (index, steps) = (next, steps + 1),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.state(), SqlState::IO_ERROR);
                assert!(!index.is_damaged(), "what is away is not damaged");
                source.away.store(0, Ordering::Relaxed);
                failures += 1;
                let next = block_on(maintain(&index, &live)).unwrap();
                index = next.unwrap_or(index);
                steps += 1;
            }
        }
    }
    assert!(failures > 3 && steps > failures, "{failures} of {steps}");
    let sample = (800..3000).step_by(31).map(|at| (RowId(at as u64), vector(&all, at).to_vec()));
    let report = verified_by(&index, live, &sample.collect());
    assert!(report.is_ok() && report.rows == 2299, "{report:?}");
}

#[test]
fn tending_comes_to_rest_and_leaves_every_row_with_its_nearest_centroid() {
    let all = vectors(5000, 41);
    let mut index = Index::empty(IndexOptions::new(Metric::L2, DIMS)).unwrap();
    for from in (0..5000).step_by(250) {
        let (first, end) = (from * DIMS as usize, (from + 250) * DIMS as usize);
        index = index.insert(&rows(from, from + 250), &all[first..end]).unwrap();
        while let Some(next) = block_on(index.settle(&|_| true)).unwrap() {
            index = next;
        }
    }
    assert!(index.wants_tending());
    let mut steps = 0;
    loop {
        let step = block_on(async {
            match index.settle(&|_| true).await? {
                Some(next) => Ok(Some(next)),
                None => index.tend(&|_| true).await,
            }
        });
        let Some(next): Option<Index> = step.unwrap() else { break };
        index = next;
        steps += 1;
        assert!(steps < 5000, "it does not come to rest");
    }
    assert!(!index.wants_tending());
    let report = verified(&index);
    assert!(report.is_ok() && report.rows == 5000, "{report:?}");
    let misplaced = report.checks.iter().find(|check| check.name == "nearest_partition").unwrap();
    assert!(misplaced.measured <= 0.001, "{misplaced:?}");
    assert!(recall(&index, Metric::L2, &all, 0.95, None) >= 0.95);
}
