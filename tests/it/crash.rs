//! The program is killed at random moments while clients write and checkpoints run. After each
//! start: every acknowledged row is there once, with its acknowledged value; what was under way is
//! there whole or not at all; there is nothing else; and the index finds what a scan finds.
//!
//! `NEARLAKE_TEST_KILLS` says how often (10), `NEARLAKE_TEST_SEED` repeats the decisions of a run.

use crate::support::{
    postings_probed,
    process::{Process, connect},
    verify_index,
};
use nearlake::clock::{SharedClock, SystemClock};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IteratorRandom as _};
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};
use tokio_postgres::{Client, error::SqlState};

/// How many clients write at a time, each to ids of its own.
const WRITERS: i64 = 4;
/// The ids of a writer begin at its number times this.
const STRIDE: i64 = 1_000_000;
/// How many rows each writer has before the first kill: with all of them more than are searched exactly
/// anyway.
const PRELOAD: i64 = 1700;
/// The rows that are searched exactly anyway.
const EXACT_ROWS_MAX: usize = 5000;
/// So many that postings hold codes.
const DIMS: usize = 64;
const FLAGS: [&str; 4] = ["--checkpoint-interval", "1s", "--checkpoint-size", "1MiB"];

/// What one writer wrote: a value for each id, and how many transactions of several statements.
#[derive(Debug, Clone, Default, PartialEq)]
struct Rows {
    values: BTreeMap<i64, i64>,
    transactions: i64,
}

/// One change of rows.
#[derive(Debug)]
enum Change {
    /// New ids.
    Insert(BTreeMap<i64, i64>),
    /// New ids, ids that are there, and ids that were deleted.
    Upsert(BTreeMap<i64, i64>),
    Update(BTreeMap<i64, i64>),
    Delete(Vec<i64>),
}

#[expect(clippy::print_stdout, reason = "what is shown when a run fails: its seed")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    let clock = SystemClock::shared();
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed: u64 = number("NEARLAKE_TEST_SEED").unwrap_or_else(|| clock.random());
    let kills = number("NEARLAKE_TEST_KILLS").unwrap_or(10);
    println!("NEARLAKE_TEST_SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();

    let (mut process, mut at) = Process::start(data, &FLAGS).await;
    let mut known = prepare(at).await;
    let mut recall = Recall::default();
    for round in 1..=kills {
        let writers: Vec<_> = (0..WRITERS)
            .zip(known)
            .map(|(writer, rows)| tokio::spawn(write(at, writer, rows, rng.random())))
            .collect();
        let keeper = tokio::spawn(checkpoint(at, rng.random(), SharedClock::clone(&clock)));
        clock.sleep(Duration::from_millis(rng.random_range(20..1200))).await;
        process.kill().await;
        let mut left = Vec::new();
        for writer in writers {
            left.push(writer.await.unwrap());
        }
        keeper.await.unwrap();

        // Now and then a start is killed too.
        while rng.random_bool(0.3) {
            let starting = Process::spawn(data, &FLAGS);
            clock.sleep(Duration::from_millis(rng.random_range(0..200))).await;
            starting.kill().await;
        }
        (process, at) = Process::start(data, &FLAGS).await;
        let client = connect(at).await.unwrap();
        known = check_rows(&client, left, round).await;
        check_keys(&client, &known, &mut rng).await;
        // It may have been lost, and is built again before it is searched.
        verify_index(&client, "t_v_idx").await;
        recall.measure(&client, &known, &mut rng).await;
    }
    process.kill().await;
    let rows: usize = known.iter().map(|rows| rows.values.len()).sum();
    let transactions: i64 = known.iter().map(|rows| rows.transactions).sum();
    println!("{kills} kills, {rows} rows, {transactions} transactions, {recall:?}");
    assert!(recall.found * 100 >= recall.wanted * 95, "{recall:?}");
    assert!(recall.by_index * 2 >= recall.searches, "searches read rows instead: {recall:?}");
}

/// The tables, the first rows, the index.
async fn prepare(at: SocketAddr) -> Vec<Rows> {
    let client = connect(at).await.unwrap();
    let tables = format!(
        "CREATE EXTENSION vector;
         CREATE TABLE t (id bigint PRIMARY KEY, val bigint NOT NULL, v vector({DIMS}));
         CREATE TABLE done (writer bigint PRIMARY KEY, n bigint NOT NULL);"
    );
    client.batch_execute(&tables).await.unwrap();
    let mut known = Vec::new();
    for writer in 0..WRITERS {
        let mut rows = Rows::default();
        let first = Change::Insert((0..PRELOAD).map(|n| (writer * STRIDE + n, n)).collect());
        client.batch_execute(&first.sql()).await.unwrap();
        let done = format!("INSERT INTO done VALUES ({writer}, 0)");
        client.batch_execute(&done).await.unwrap();
        first.apply(&mut rows);
        known.push(rows);
    }
    client.batch_execute("CREATE INDEX ON t USING hnsw (v vector_l2_ops)").await.unwrap();
    known
}

/// Writes until the server is gone; what was acknowledged, and what it may be instead.
async fn write(at: SocketAddr, writer: i64, mut known: Rows, seed: u64) -> (Rows, Option<Rows>) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let Ok(client) = connect(at).await else { return (known, None) };
    loop {
        let mut after = known.clone();
        if rng.random_bool(0.6) {
            let change = Change::draw(&mut rng, writer, &after);
            change.apply(&mut after);
            if is_gone(client.batch_execute(&change.sql()).await) {
                return (known, Some(after));
            }
            known = after;
            continue;
        }
        if is_gone(client.batch_execute("BEGIN").await) {
            return (known, None);
        }
        for _ in 0..rng.random_range(1..4) {
            let change = Change::draw(&mut rng, writer, &after);
            change.apply(&mut after);
            if is_gone(client.batch_execute(&change.sql()).await) {
                return (known, None);
            }
        }
        after.transactions += 1;
        let done = format!("UPDATE done SET n = n + 1 WHERE writer = {writer}");
        if is_gone(client.batch_execute(&done).await) {
            return (known, None);
        }
        if rng.random_bool(0.2) {
            if is_gone(client.batch_execute("ROLLBACK").await) {
                return (known, None);
            }
        } else if is_gone(client.batch_execute("COMMIT").await) {
            return (known, Some(after));
        } else {
            known = after;
        }
    }
}

/// CHECKPOINT and VACUUM until the server is gone.
async fn checkpoint(at: SocketAddr, seed: u64, clock: SharedClock) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let Ok(client) = connect(at).await else { return };
    loop {
        clock.sleep(Duration::from_millis(rng.random_range(0..300))).await;
        let task = if rng.random_bool(0.3) { "VACUUM" } else { "CHECKPOINT" };
        if is_gone(client.batch_execute(task).await) {
            return;
        }
    }
}

/// Whether the server was gone before it answered. An error that it sent is a fault.
fn is_gone(answer: Result<(), tokio_postgres::Error>) -> bool {
    let Err(error) = answer else { return false };
    if let Some(said) = error.as_db_error() {
        panic!("{} {}: {:?}", said.code().code(), said.message(), said.detail());
    }
    true
}

impl Change {
    fn draw(rng: &mut SmallRng, writer: i64, rows: &Rows) -> Self {
        let ids = writer * STRIDE..writer * STRIDE + 2 * PRELOAD;
        let count = rng.random_range(1..8);
        let here: Vec<i64> = rows.values.keys().copied().choose_multiple(rng, count);
        let (kind, value) = (rng.random_range(0..10), rng.random_range(0..1 << 40));
        let valued = |ids: Vec<i64>| ids.into_iter().map(|id| (id, value)).collect();
        match kind {
            0..3 => {
                let free = ids.filter(|id| !rows.values.contains_key(id));
                let new = free.choose_multiple(rng, count);
                // With every id taken there is nothing to insert.
                if new.is_empty() { Self::Delete(here) } else { Self::Insert(valued(new)) }
            }
            3..6 => Self::Upsert(valued(ids.choose_multiple(rng, count))),
            6..8 => Self::Update(valued(here)),
            _ => Self::Delete(here),
        }
    }

    fn apply(&self, rows: &mut Rows) {
        match self {
            Self::Insert(new) | Self::Upsert(new) | Self::Update(new) => rows.values.extend(new),
            Self::Delete(ids) => rows.values.retain(|id, _| !ids.contains(id)),
        }
    }

    fn sql(&self) -> String {
        let row = |(&id, &value): (&i64, &i64)| format!("({id}, {value}, '{}')", text(id, value));
        let list = |rows: &BTreeMap<i64, i64>| rows.iter().map(row).collect::<Vec<_>>().join(", ");
        match self {
            Self::Insert(new) => format!("INSERT INTO t VALUES {}", list(new)),
            Self::Upsert(new) => format!(
                "INSERT INTO t VALUES {} ON CONFLICT (id) \
                 DO UPDATE SET val = excluded.val, v = excluded.v",
                list(new)
            ),
            Self::Update(new) => {
                let mut all = String::new();
                for (&id, &value) in new {
                    let v = text(id, value);
                    write!(all, "UPDATE t SET val = {value}, v = '{v}' WHERE id = {id};").unwrap();
                }
                all
            }
            Self::Delete(ids) => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                // With no ids left there is nothing to delete.
                format!("DELETE FROM t WHERE id IN ({}, -1)", ids.join(", ")).replace("(, ", "(")
            }
        }
    }
}

/// The vector of a row follows from its id and its value, so that a mixture of two versions shows. It is
/// near one of a hundred places, so that there is something to cluster.
fn vector(id: i64, value: i64) -> [f32; DIMS] {
    let seed = id.cast_unsigned().rotate_left(32) ^ value.cast_unsigned();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut place = SmallRng::seed_from_u64(rng.random_range(0..100));
    // Sixteenths: exact in binary and short in text.
    std::array::from_fn(|_| {
        f32::from(place.random_range(-128_i16..128) + rng.random_range(-32_i16..32)) / 16.0
    })
}

fn text(id: i64, value: i64) -> String {
    format!("[{}]", vector(id, value).map(|x| x.to_string()).join(","))
}

/// What each writer's rows are now: as acknowledged, or as the transaction under way left them.
async fn check_rows(client: &Client, left: Vec<(Rows, Option<Rows>)>, round: u64) -> Vec<Rows> {
    let mut found = vec![Rows::default(); left.len()];
    let slot = |writer: i64| usize::try_from(writer).expect("writers count from 0");
    for row in client.query("SELECT id, val, v::text FROM t", &[]).await.unwrap() {
        let (id, value): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(row.get::<_, &str>(2), text(id, value), "round {round}: row {id}");
        let before = found[slot(id / STRIDE)].values.insert(id, value);
        assert_eq!(before, None, "round {round}: row {id} is there twice");
    }
    for row in client.query("SELECT writer, n FROM done", &[]).await.unwrap() {
        found[slot(row.get(0))].transactions = row.get(1);
    }
    for (writer, (found, (known, perhaps))) in found.iter().zip(&left).enumerate() {
        if found == known || Some(found) == perhaps.as_ref() {
            continue;
        }
        let differs = |rows: &Rows| {
            let gone = rows.values.iter().filter(|(id, v)| found.values.get(id) != Some(v));
            let more = found.values.iter().filter(|(id, v)| rows.values.get(id) != Some(v));
            let (gone, more): (Vec<_>, Vec<_>) = (gone.collect(), more.collect());
            let counts = (rows.transactions, found.transactions);
            format!("wanted {gone:?}, found {more:?}, transactions {counts:?}")
        };
        panic!(
            "round {round}, writer {writer}: from what was acknowledged: {}; with what was under \
             way: {:?}",
            differs(known),
            perhaps.as_ref().map(differs)
        );
    }
    found
}

/// Ids are looked up by their key, and taken ids are refused.
async fn check_keys(client: &Client, known: &[Rows], rng: &mut SmallRng) {
    let all = known.iter().flat_map(|rows| &rows.values);
    for (&id, &value) in all.choose_multiple(rng, 5) {
        let row = client.query_one("SELECT val FROM t WHERE id = $1", &[&id]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), value);
        let taken = client.execute("INSERT INTO t VALUES ($1, 0)", &[&id]).await.unwrap_err();
        assert_eq!(taken.code(), Some(&SqlState::UNIQUE_VIOLATION), "{taken}");
    }
}

/// Of the rows that are among the nearest, how many the index found.
#[derive(Debug, Default)]
struct Recall {
    wanted: usize,
    found: usize,
    /// Searches of so many rows that the index should answer, and those that it did.
    searches: usize,
    by_index: usize,
}

impl Recall {
    async fn measure(&mut self, client: &Client, known: &[Rows], rng: &mut SmallRng) {
        let all: BTreeMap<i64, i64> = known.iter().flat_map(|rows| rows.values.clone()).collect();
        for _ in 0..4 {
            let query = vector(rng.random_range(0..STRIDE), -1);
            let distance = |id: &i64| {
                let pairs = query.iter().zip(vector(*id, all[id]));
                pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
            };
            let mut exact: Vec<f64> = all.keys().map(distance).collect();
            exact.sort_by(f64::total_cmp);
            exact.truncate(10);
            for index in ["off", "on"] {
                let set = format!("SET enable_indexscan = {index}");
                client.batch_execute(&set).await.unwrap();
                let near: Vec<f64> = nearest(client, &query).await.iter().map(distance).collect();
                assert_eq!(near.len(), exact.len(), "index {index}");
                assert!(near.is_sorted(), "index {index}: {near:?}");
                let reach = exact.last().copied().unwrap_or_default() + 1e-4;
                let found = near.iter().filter(|&&distance| distance <= reach).count();
                if index == "off" {
                    assert_eq!(found, exact.len(), "a scan found {near:?} and not {exact:?}");
                } else {
                    self.wanted += exact.len();
                    self.found += found;
                    if all.len() > EXACT_ROWS_MAX {
                        self.searches += 1;
                        self.by_index += usize::from(probes_postings(client, &query).await);
                    }
                }
            }
        }
    }
}

fn nearest_to(query: &[f32; DIMS]) -> String {
    let query = query.map(|x| x.to_string()).join(",");
    format!("SELECT id FROM t ORDER BY v <-> '[{query}]' LIMIT 10")
}

async fn nearest(client: &Client, query: &[f32; DIMS]) -> Vec<i64> {
    client.query(&nearest_to(query), &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn probes_postings(client: &Client, query: &[f32; DIMS]) -> bool {
    postings_probed(client, &nearest_to(query)).await > 0
}

/// A transaction that is larger than memory should hold is written as segments before it commits;
/// the log then only names them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let large =
        "INSERT INTO t SELECT n, repeat(md5(n::text), 100) FROM generate_series(1, 30000) n";
    let segments = || {
        let entries = std::fs::read_dir(folder.path().join("data")).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).count()
    };

    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    client.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, text text)").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(large).await.unwrap();
    assert_ne!(segments(), 0, "it was not written before its commit");
    process.kill().await;

    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    let found = "SELECT count(*), sum(id)::bigint, sum(length(text))::bigint FROM t";
    assert_eq!(client.query_one(found, &[]).await.unwrap().get::<_, i64>(0), 0);
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(large).await.unwrap();
    client.batch_execute("DELETE FROM t WHERE id % 3 = 0").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (3, 'three')").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    process.kill().await;

    // Multiples of 3 up to 30,000 are gone, and 3 came back.
    let kept = (20_001, 30_000 * 30_001 / 2 - 3 * 10_000 * 10_001 / 2 + 3, 20_000 * 3200 + 5);
    for _ in 0..2 {
        let (process, at) = Process::start(data, &[]).await;
        let client = connect(at).await.unwrap();
        let row = client.query_one(found, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), kept);
        let taken = client.batch_execute("INSERT INTO t VALUES (29999, '')").await.unwrap_err();
        assert_eq!(taken.code(), Some(&SqlState::UNIQUE_VIOLATION), "{taken}");
        client.batch_execute("VACUUM").await.unwrap();
        let row = client.query_one(found, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), kept);
        process.kill().await;
    }
}
