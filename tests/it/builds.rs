//! CREATE INDEX and REINDEX over rows that are there: what they show, that they stop when told to,
//! what goes on meanwhile, and that a build in the background outlives its process.

use crate::support::{
    self, Running,
    process::{Process, connect},
};
use nearlake::clock::{SharedClock, SystemClock};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{fmt::Write as _, time::Duration};
use tokio_postgres::{Client, NoTls};

const DIMS: usize = 128;
/// Waiting longer than this is a failure.
const LIMIT: Duration = Duration::from_secs(120);
/// A cancelled statement is answered sooner than this.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// Vectors around some centres, always the same ones, as text.
fn texts(count: usize, seed: u64) -> Vec<String> {
    let mut random = SmallRng::seed_from_u64(1);
    let centres: Vec<f32> = (0..64 * DIMS).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut random = SmallRng::seed_from_u64(seed);
    let one = |_| {
        let centre = random.random_range(0..64) * DIMS;
        let mut text = String::from("[");
        for x in &centres[centre..centre + DIMS] {
            write!(text, "{:.2},", x + random.random_range(-0.8..0.8)).unwrap();
        }
        text.pop();
        text + "]"
    };
    (0..count).map(one).collect()
}

/// A table of so many rows.
async fn fill(client: &Client, count: usize) {
    let make = format!("CREATE TABLE t (id int PRIMARY KEY, v vector({DIMS}))");
    client.batch_execute(&make).await.unwrap();
    for (part, texts) in texts(count, 1).chunks(2000).enumerate() {
        let row = |(at, text): (usize, &String)| format!("({}, '{text}')", part * 2000 + at);
        let rows: Vec<String> = texts.iter().enumerate().map(row).collect();
        client.batch_execute(&format!("INSERT INTO t VALUES {}", rows.join(","))).await.unwrap();
    }
}

/// The builds of the moment: phase, rows, rows done.
async fn progress(client: &Client) -> Vec<(String, i64, i64)> {
    let sql = "SELECT phase, tuples_total, tuples_done, relid = 't'::regclass::oid, blocks_done <= \
               blocks_total AND tuples_done <= tuples_total FROM pg_stat_progress_create_index";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| {
            assert!(row.get::<_, bool>(3) && row.get::<_, bool>(4));
            (row.get(0), row.get(1), row.get(2))
        })
        .collect()
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits for something, looking often.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let clock: SharedClock = SystemClock::shared();
    let begun = clock.elapsed();
    while !holds().await {
        assert!(clock.elapsed().saturating_sub(begun) < LIMIT, "no {what}");
        clock.sleep(Duration::from_millis(2)).await;
    }
}

/// Neighbours by the index are those that there are, and the index says that it is well.
async fn is_right(client: &Client, name: &str) {
    let valid = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = '{name}'::regclass");
    assert!(client.query_one(&valid, &[]).await.unwrap().get::<_, bool>(0));
    let (mut found, mut wanted) = (0, 0);
    for query in texts(20, 9) {
        let sql = format!("SELECT id FROM t ORDER BY v <-> '{query}' LIMIT 10");
        let explain = client.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = explain.iter().map(|row| row.get(0)).collect();
        assert!(plan.join("\n").contains(&format!("index={name}")), "{plan:?}");
        client.batch_execute("SET enable_indexscan = off").await.unwrap();
        let exact = client.query(&sql, &[]).await.unwrap();
        client.batch_execute("SET enable_indexscan = on").await.unwrap();
        let exact: Vec<i32> = exact.iter().map(|row| row.get(0)).collect();
        let near = client.query(&sql, &[]).await.unwrap();
        wanted += exact.len();
        found += near.iter().filter(|row| exact.contains(&row.get(0))).count();
    }
    assert!(found * 100 >= wanted * 90, "{found} of {wanted}");
}

fn index_objects(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder.join("index")).map_or(0, |entries| entries.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_moves_and_is_cancelled_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let node = support::start_on(folder.path().to_str().unwrap(), &[]).await;
    let (client, other) = (node.client().await, node.client().await);
    let rows = 60_000;
    fill(&client, rows).await;
    assert_eq!(progress(&other).await, []);

    // Little memory, so that postings are written on the way.
    client.batch_execute("SET maintenance_work_mem = '32MB'").await.unwrap();
    let clock: SharedClock = SystemClock::shared();
    for at in ["performing k-means", "loading tuples", "settling postings"] {
        let token = client.cancel_token();
        let build = async { client.batch_execute("CREATE INDEX i ON t USING spfresh (v)").await };
        let watch = async {
            until(at, || async {
                let now = progress(&other).await;
                now.iter().any(|(phase, total, _)| {
                    phase == &format!("building index: {at}") && *total == rows as i64
                })
            })
            .await;
            let cancelled = clock.elapsed();
            token.cancel_query(NoTls).await.unwrap();
            cancelled
        };
        let (ended, cancelled) = tokio::join!(build, watch);
        let took = clock.elapsed().saturating_sub(cancelled);
        let error = ended.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57014", "{at}: {error}");
        assert!(took < CANCEL_LIMIT, "{at}: {took:?}");
        let left = "SELECT count(*) FROM pg_class WHERE relname = 'i'";
        assert_eq!(number(&client, left).await, 0);
        until("end of the build", || async { progress(&other).await.is_empty() }).await;
        until("end of its objects", || async { index_objects(folder.path()) == 0 }).await;
    }

    // The same to its end; the count of rows done rises.
    let build = async {
        client.batch_execute("CREATE INDEX i ON t USING spfresh (v)").await.unwrap();
    };
    let mut seen: Vec<i64> = Vec::new();
    let watch = async {
        let mut begun = false;
        loop {
            let now = progress(&other).await;
            begun |= !now.is_empty();
            if begun && now.is_empty() {
                break;
            }
            seen.extend(now.iter().map(|(_, _, done)| *done));
        }
    };
    tokio::join!(build, watch);
    assert!(seen.is_sorted(), "{seen:?}");
    seen.dedup();
    assert!(seen.len() > 2 && seen.last() == Some(&(rows as i64)), "{seen:?}");
    is_right(&client, "i").await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    node.stop().await;

    let node = support::start_on(folder.path().to_str().unwrap(), &[]).await;
    is_right(&node.client().await, "i").await;
    node.stop().await;
}

/// Changes rows near a place of their own and looks at once whether searches see it.
async fn write_and_look(node: &Running, writer: i32, stop: &std::sync::atomic::AtomicBool) -> i32 {
    let client = node.client().await;
    let far = |n: i32| {
        let mut text = format!("[{},{}", 1000 * (writer + 1), n);
        text += &",0".repeat(DIMS - 2);
        text + "]"
    };
    let mut done = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let id = 1_000_000 * (writer + 1) + done;
        let near = format!("SELECT id FROM t ORDER BY v <-> '{}' LIMIT 1", far(done));
        client
            .batch_execute(&format!("INSERT INTO t VALUES ({id}, '{}')", far(done)))
            .await
            .unwrap();
        assert_eq!(client.query_one(&near, &[]).await.unwrap().get::<_, i32>(0), id);
        if done % 2 == 1 {
            client.batch_execute(&format!("DELETE FROM t WHERE id = {id}")).await.unwrap();
            assert_ne!(client.query_one(&near, &[]).await.unwrap().get::<_, i32>(0), id);
        }
        done += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_and_go_during_a_build_are_seen_at_once() {
    let node = support::start().await;
    let client = node.client().await;
    fill(&client, 8000).await;
    let builds = [
        "CREATE INDEX i ON t USING spfresh (v)",
        "REINDEX INDEX i",
        "DROP INDEX i",
        "CREATE INDEX CONCURRENTLY i ON t USING spfresh (v)",
        "REINDEX TABLE CONCURRENTLY t",
    ];
    let stop = std::sync::atomic::AtomicBool::new(false);
    let build = async {
        for sql in builds {
            client.batch_execute(sql).await.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let ((), first, second) =
        tokio::join!(build, write_and_look(&node, 0, &stop), write_and_look(&node, 1, &stop));
    assert!(first > 2 && second > 2, "{first} and {second} changes were made meanwhile");
    is_right(&client, "i").await;
    let rows = number(&client, "SELECT count(*) FROM t").await;
    assert_eq!(rows, 8000 + i64::from(first - first / 2) + i64::from(second - second / 2));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_build_in_the_background_takes_its_name_back() {
    let node = support::start().await;
    let (client, other) = (node.client().await, node.client().await);
    fill(&client, 8000).await;
    let token = client.cancel_token();
    let sql = "CREATE INDEX CONCURRENTLY i ON t USING spfresh (v)";
    let build = async { client.batch_execute(sql).await };
    let cancel = async {
        until("build", || async {
            let now = progress(&other).await;
            now.iter().any(|(phase, ..)| phase != "initializing")
        })
        .await;
        // Everybody sees the name, and that it is no use yet.
        let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass";
        assert!(!other.query_one(valid, &[]).await.unwrap().get::<_, bool>(0));
        token.cancel_query(NoTls).await.unwrap();
    };
    let (ended, ()) = tokio::join!(build, cancel);
    assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
    assert_eq!(number(&other, "SELECT count(*) FROM pg_class WHERE relname = 'i'").await, 0);
    until("end of the build", || async { progress(&other).await.is_empty() }).await;
    client.batch_execute(sql).await.unwrap();
    is_right(&client, "i").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_in_the_background_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    fill(&client, 60_000).await;

    // Once while rows are loaded, once while postings are settled, each time after a checkpoint.
    let settings = "SET maintenance_work_mem = '32MB'";
    client.batch_execute(settings).await.unwrap();
    let other = connect(at).await.unwrap();
    let build = tokio::spawn(async move {
        let sql = "CREATE INDEX CONCURRENTLY i ON t USING spfresh (v)";
        client.batch_execute(sql).await
    });
    until("loading", || async {
        let now = progress(&other).await;
        now.iter().any(|(phase, _, done)| phase.ends_with("loading tuples") && *done > 0)
    })
    .await;
    process.kill().await;
    assert!(build.await.unwrap().is_err());

    let (process, at) = Process::start(data, &[]).await;
    let other = connect(at).await.unwrap();
    until("settling", || async {
        let sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass";
        let whole = other.query_one(sql, &[]).await.unwrap().get::<_, bool>(0);
        let now = progress(&other).await;
        whole || now.iter().any(|(phase, ..)| phase.ends_with("settling postings"))
    })
    .await;
    let said = process.kill().await.said;
    assert!(said.contains("a build goes on") && !said.contains("a build begins"), "{said}");

    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    until("index", || async {
        let sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass";
        client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0)
    })
    .await;
    is_right(&client, "i").await;
    let said = process.kill().await.said;
    assert!(!said.contains("a build begins"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_rows_in_segments_is_made_before_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let node = support::start_on(data, &[]).await;
    let client = node.client().await;
    client
        .batch_execute(
            "CREATE TABLE t (id int, name text);
             INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 30000) i;
             CHECKPOINT;
             INSERT INTO t SELECT i, 'n' || i FROM generate_series(30001, 30100) i;",
        )
        .await
        .unwrap();
    // One that is taken back leaves nothing in the way of the next.
    client.batch_execute("BEGIN; ALTER TABLE t ADD PRIMARY KEY (name); ROLLBACK").await.unwrap();
    client.batch_execute("ALTER TABLE t ADD PRIMARY KEY (id)").await.unwrap();
    let twice = |id: i32| format!("INSERT INTO t VALUES ({id}, 'twice')");
    for round in 0..2 {
        let client = node.client().await;
        for id in [1, 8193, 30000, 30001, 30100] {
            let error = client.batch_execute(&twice(id)).await.unwrap_err();
            assert_eq!(error.code().unwrap().code(), "23505", "{id}, {round}");
        }
        client.batch_execute("CHECKPOINT").await.unwrap();
    }
    node.stop().await;

    let node = support::start_on(data, &[]).await;
    let client = node.client().await;
    let error = client.batch_execute(&twice(12345)).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "23505");
    client.batch_execute(&twice(40000)).await.unwrap();
    node.stop().await;
}
