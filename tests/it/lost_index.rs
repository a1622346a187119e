//! Loss and damage of an index's objects, under a stopped server and under a running one: searches
//! go on, exactly, and the index is built again from the rows.

use crate::support::{self, Running};
use nearlake::clock::{SharedClock, SystemClock};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_postgres::Client;

/// More than are searched exactly anyway.
const ROWS: usize = 6000;
/// An index that is not built again in this time never is.
const LIMIT: Duration = Duration::from_secs(120);

/// So many that postings hold codes, in two parts.
const DIMS: usize = 64;

/// A row's vector: three numbers, over and over.
fn vector(numbers: [usize; 3]) -> String {
    let parts: Vec<String> = (0..DIMS).map(|at| numbers[at % 3].to_string()).collect();
    format!("[{}]", parts.join(","))
}

fn nearest_query() -> String {
    format!("SELECT id FROM t ORDER BY v <-> '{}' LIMIT 5", vector([40, 2, 7]))
}

/// A server's data with a table, its index, and a checkpoint of both. The answer to the query.
async fn prepare(data: &Path) -> Vec<i32> {
    let node = support::start_on(data.to_str().unwrap(), &[]).await;
    let client = node.client().await;
    let table = format!("CREATE TABLE t (id int PRIMARY KEY, v vector({DIMS}))");
    client.batch_execute(&table).await.unwrap();
    let row = |id: usize| format!("({id}, '{}')", vector([id % 89, id % 13, id % 17]));
    let rows: Vec<String> = (0..ROWS).map(row).collect();
    client.batch_execute(&format!("INSERT INTO t VALUES {}", rows.join(","))).await.unwrap();
    client.batch_execute("CREATE INDEX t_v ON t USING spfresh (v); CHECKPOINT").await.unwrap();
    client.batch_execute("SET enable_indexscan = off").await.unwrap();
    let exact = nearest(&client).await;
    node.stop().await;
    exact
}

/// A client whose searches go by the index and miss hardly ever.
async fn client(node: &Running) -> Client {
    let client = node.client().await;
    client.batch_execute("SET nearlake.recall_target = 0.999").await.unwrap();
    client
}

async fn nearest(client: &Client) -> Vec<i32> {
    client.query(&nearest_query(), &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn plan(client: &Client) -> String {
    let rows = client.query(&format!("EXPLAIN {}", nearest_query()), &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}

/// The objects of the index that begin so.
fn objects(data: &Path, magic: &[u8]) -> Vec<PathBuf> {
    let found: Vec<PathBuf> = fs::read_dir(data.join("index"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read(path).unwrap().starts_with(magic))
        .collect();
    assert!(!found.is_empty());
    found
}

/// Flips a bit in each kilobyte behind the first.
fn flip(object: &Path) {
    let mut bytes = fs::read(object).unwrap();
    for byte in bytes.iter_mut().skip(100).step_by(1024) {
        *byte ^= 1;
    }
    fs::write(object, bytes).unwrap();
}

/// Waits until searches go by the index again, asking for the right answer all the time.
async fn built_again(node: &Running, exact: &[i32]) {
    let client = client(node).await;
    let clock: SharedClock = SystemClock::shared();
    let begun = clock.elapsed();
    loop {
        assert_eq!(nearest(&client).await, exact);
        if plan(&client).await.contains("index=t_v") {
            break;
        }
        assert!(clock.elapsed().saturating_sub(begun) < LIMIT, "{}", plan(&client).await);
        clock.sleep(Duration::from_millis(50)).await;
    }
    client.batch_execute("CHECKPOINT").await.unwrap();
    assert_eq!(nearest(&client).await, exact);
    assert!(support::postings_probed(&client, &nearest_query()).await > 0);
    support::verify_index(&client, "t_v").await;
}

/// What is done to the objects of a kind, while the server is stopped or when it runs but has read
/// none of its postings yet; then the same data once more.
async fn survives(magic: &[u8], running: bool, harm: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let exact = prepare(data).await;
    let harmed = objects(data, magic);
    if !running {
        harmed.iter().for_each(|object| harm(object));
    }
    let node = support::start_on(data.to_str().unwrap(), &[]).await;
    if running {
        harmed.iter().for_each(|object| harm(object));
        let client = client(&node).await;
        assert!(plan(&client).await.contains("index=t_v"), "nobody knows yet");
        assert_eq!(nearest(&client).await, exact, "the search that finds out is answered");
    }
    built_again(&node, &exact).await;
    node.stop().await;

    let node = support::start_on(data.to_str().unwrap(), &[]).await;
    let client = client(&node).await;
    assert!(plan(&client).await.contains("index=t_v"), "what was built again was kept");
    assert_eq!(nearest(&client).await, exact);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postings_that_are_lost_while_the_server_is_stopped() {
    survives(b"NLPOST", false, |object| fs::remove_file(object).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postings_that_are_lost_under_a_running_server() {
    survives(b"NLPOST", true, |object| fs::remove_file(object).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postings_that_are_damaged_while_the_server_is_stopped() {
    survives(b"NLPOST", false, flip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postings_that_are_damaged_under_a_running_server() {
    survives(b"NLPOST", true, flip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_lost_while_the_server_is_stopped() {
    survives(b"NLPD", false, |object| fs::remove_file(object).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_damaged_while_the_server_is_stopped() {
    survives(b"NLPD", false, flip).await;
}
