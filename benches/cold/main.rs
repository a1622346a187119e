//! Cold searches: the first of a process whose table and index lie in a bucket far away.
//!
//! `make cold` makes a table of a million rows and its index in a folder, once, and then asks some
//! queries, each with nothing in memory but what a start reads: the heads of the segments, and the
//! directory of the index. Every request takes as long as it takes from a bucket
//! (`far.rs`). Told are, per query: how long it took, in how many rounds that depend on each other,
//! by how many requests, and of how many bytes; and how many of the true nearest rows were found.
//!
//! ```text
//!   make cold ARGS="--rows 1000000 --dims 384 --queries 30 --folder /tmp/nearlake-cold"
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is there to be read")]

mod data;
mod far;

use data::{Made, Mixture, columns, found_or_made};
use far::{Far, Round};
use nearlake::{
    clock::{SharedClock, SystemClock},
    error::Result,
    exec::{
        checkpoint::IndexObjects,
        neighbours::{Effort, Neighbours},
        topk::Query,
    },
    ids::RowId,
    index::{self, Index, PostingStore},
    sql::functions::points::Point,
    storage::{
        cache::RangeCache, columns::ColumnCache, segment::SegmentStore, store::Store,
        table::TableState,
    },
    vector::{Metric, Space},
};
use object_store::local::LocalFileSystem;
use std::{borrow::Cow, path::PathBuf, sync::Arc, time::Duration};

/// Nearest rows that are asked for.
const K: usize = 10;
/// The share of them that is to be found.
const RECALL_TARGET: f32 = 0.95;
/// Of memory, what keeps blocks of objects.
const CACHE_BYTES: u64 = 64 << 20;

struct Arguments {
    rows: usize,
    dims: usize,
    queries: usize,
    folder: PathBuf,
}

/// What one search took.
struct Took {
    time: Duration,
    /// From the first postings to exact distances.
    search: Vec<Round>,
    /// For a column of the rows found.
    rows: Vec<Round>,
    found: f64,
    /// Postings that were looked at, and that are when all are in memory.
    probes: [usize; 2],
}

fn main() {
    // `cargo bench` says so; `cargo test --all-targets` only wants to know that it builds.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let arguments = arguments();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    if let Err(error) = runtime.block_on(run(&arguments)) {
        eprintln!("cold: {error}");
        std::process::exit(1);
    }
}

fn arguments() -> Arguments {
    let mut arguments = Arguments {
        rows: 1_000_000,
        dims: 384,
        queries: 30,
        folder: std::env::temp_dir().join("nearlake-cold"),
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = || value.parse().unwrap_or_else(|_| usage());
        match word.as_str() {
            "--rows" => arguments.rows = number(),
            "--dims" => arguments.dims = number(),
            "--queries" => arguments.queries = number(),
            "--folder" => arguments.folder = PathBuf::from(value),
            _ => usage(),
        }
    }
    arguments
}

fn usage() -> ! {
    eprintln!("cold [--rows N] [--dims N] [--queries N] [--folder PATH]");
    std::process::exit(2)
}

async fn run(arguments: &Arguments) -> Result<()> {
    let clock: SharedClock = SystemClock::shared();
    let Arguments { rows, dims, queries, folder } = arguments;
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let local = || LocalFileSystem::new_with_prefix(folder).expect("the folder is there");
    let near = Store::over(Arc::new(local()), Arc::clone(&clock));
    let made = found_or_made(folder, &near, *rows, *dims).await?;

    let asked = Mixture::new(*dims, 3).draw(*queries);
    let asked: Vec<&[f32]> = asked.chunks_exact(*dims).collect();
    let truth = truth(&made, &asked);
    let mut took = Vec::new();
    for (number, (query, truth)) in asked.iter().zip(&truth).enumerate() {
        let far = Far::over(local(), Arc::clone(&clock), number as u64);
        took.push(cold(&made, &far, &clock, query, truth).await?);
    }
    report(&mut took);
    Ok(())
}

/// One search by a process that has read nothing else.
async fn cold(
    made: &Made,
    far: &Arc<Far>,
    clock: &SharedClock,
    query: &[f32],
    truth: &[u64],
) -> Result<Took> {
    let cache = RangeCache::open(CACHE_BYTES, None).await?;
    let store = Store::with_cache(Arc::clone(far) as _, Arc::clone(clock), Some(cache));
    let segments = SegmentStore::new(store.clone(), Arc::new(ColumnCache::new(256 << 20)));
    let postings = PostingStore::new(Arc::new(IndexObjects(store)), 256 << 20);
    let end = RowId(made.rows as u64);
    let rows = TableState::open(&segments, made.segments.clone(), None, end).await?;
    let index = Index::open(&made.index, &postings).await?;
    let [id, vector] = columns(made.dims);
    let allowed = Arc::clone(rows.live());
    let point = Some(Point::Dense(Cow::Owned(query.to_vec())));
    let query = Query { space: Space::Vector, metric: Metric::L2, point };
    far.take();

    let begun = clock.elapsed();
    let neighbours = Neighbours {
        rows: &rows,
        column: &vector,
        others: std::slice::from_ref(&id),
        query: &query,
        k: K,
        ties: false,
        allowed: &allowed,
    };
    let effort = Effort {
        recall_target: RECALL_TARGET,
        probes_min: 0,
        committed_end: end,
        entries_worth: u64::MAX,
        may_hold: None,
    };
    let found = neighbours.by_index(&index, effort).await?.expect("the index answers");
    let search = far.take();
    let nearest: Vec<RowId> = found.rows.iter().map(|found| found.row).collect();
    rows.take(&nearest, std::slice::from_ref(&id)).await?;
    let of_rows = far.take();
    let time = clock.elapsed().saturating_sub(begun);
    let again = neighbours.by_index(&index, effort).await?.expect("the index answers");
    let probes = [found.probes, again.probes];

    let right = nearest.iter().filter(|row| truth.contains(&row.0)).count();
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let found = right as f64 / K as f64;
    Ok(Took { time, search, rows: of_rows, found, probes })
}

/// The true nearest rows of each query.
fn truth(made: &Made, queries: &[&[f32]]) -> Vec<Vec<u64>> {
    const AT_ONCE: usize = 16_384;
    let mut mixture = Mixture::new(made.dims, 1);
    let mut best: Vec<Vec<(f64, u64)>> = vec![Vec::new(); queries.len()];
    let mut distances = Vec::new();
    for from in (0..made.rows).step_by(AT_ONCE) {
        let count = AT_ONCE.min(made.rows - from);
        let vectors = mixture.draw(count);
        for (query, best) in queries.iter().zip(&mut best) {
            distances.resize(count, 0.0);
            index::distances(Metric::L2, query, &vectors, &mut distances);
            best.extend(distances.iter().copied().zip(from as u64..));
            best.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            best.truncate(K);
        }
    }
    best.into_iter().map(|best| best.into_iter().map(|(_, row)| row).collect()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn report(took: &mut [Took]) {
    took.sort_by_key(|took| took.time);
    let count = took.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Took) -> f64| took.iter().map(of).sum::<f64>() / count;
    let at = |share: f64| {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "in range")]
        let place = ((took.len() as f64 * share) as usize).min(took.len() - 1);
        took[place].time.as_millis()
    };
    let sum = |rounds: &[Round], of: fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let line = |name: &str, of: &dyn Fn(&Took) -> u64| {
        let most = took.iter().map(of).max().unwrap_or(0);
        println!("| {name} | {:.1} | {most} |", mean(&|took| of(took) as f64));
    };
    println!("| {} cold searches | mean | most |", took.len());
    println!("|---|---|---|");
    line("rounds, postings to exact distances", &|took| took.search.len() as u64);
    line("GETs of these", &|took| sum(&took.search, |round| round.gets));
    line("KiB of these", &|took| sum(&took.search, |round| round.bytes) >> 10);
    for round in 0..took.iter().map(|took| took.search.len()).max().unwrap_or(0) {
        let of = |took: &Took| took.search.get(round).copied().unwrap_or_default();
        let name = |what: &str| format!("round {}: {what}", round + 1);
        line(&name("GETs"), &|took| of(took).gets);
        line(&name("KiB"), &|took| of(took).bytes >> 10);
        line(&name("ms"), &|took| u64::try_from(of(took).time.as_millis()).unwrap_or(u64::MAX));
    }
    line("rounds for a column of the rows found", &|took| took.rows.len() as u64);
    line("postings looked at", &|took| took.probes[0] as u64);
    line("postings looked at, all in memory", &|took| took.probes[1] as u64);
    println!("| milliseconds, p50 and p90 | {} | {} |", at(0.5), at(0.9));
    println!("| recall@{K} | {:.3} | |", mean(&|took| took.found));
}
