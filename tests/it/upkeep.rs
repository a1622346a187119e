//! What becomes of an index while rows come and go: it is what its table wants it to be, and writers
//! wait for it when it is far behind.

use crate::support::{self, Running, verify_index};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::{Client, error::SqlState};

const DIMS: usize = 64;

/// Rows `from` to `to`, each with a vector that follows from its id.
async fn insert(client: &Client, from: usize, to: usize) {
    let number = |id: usize, at: usize| (id * 7919 + at * 104_729 + id * id % 977 * at) % 1000;
    let vector = |id: usize| {
        let parts: Vec<String> = (0..DIMS).map(|at| number(id, at).to_string()).collect();
        format!("({id}, '[{}]')", parts.join(","))
    };
    for first in (from..to).step_by(2000) {
        let rows: Vec<String> = (first..to.min(first + 2000)).map(vector).collect();
        client.batch_execute(&format!("INSERT INTO t VALUES {}", rows.join(","))).await.unwrap();
    }
}

async fn indexed(node: &Running, rows: usize) -> Client {
    let client = node.client().await;
    let table = format!("CREATE TABLE t (id int PRIMARY KEY, v vector({DIMS}))");
    client.batch_execute(&table).await.unwrap();
    insert(&client, 0, rows).await;
    client.batch_execute("CREATE INDEX t_v ON t USING spfresh (v vector_l2_ops)").await.unwrap();
    client
}

/// The sum of a metric over its labels that begin so.
async fn metric(node: &Running, name: &str) -> f64 {
    let mut stream = tokio::net::TcpStream::connect(node.http_addr()).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let lines = answer.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_sound_after_whatever_was_done_to_its_table() {
    let node = support::start().await;
    let client = indexed(&node, 6000).await;
    verify_index(&client, "t_v").await;
    client.batch_execute("UPDATE t SET id = id + 100000 WHERE id % 3 = 0").await.unwrap();
    client.batch_execute("DELETE FROM t WHERE id % 7 = 1").await.unwrap();
    client.batch_execute("UPDATE t SET v = NULL WHERE id % 11 = 1").await.unwrap();
    insert(&client, 200_000, 202_000).await;
    verify_index(&client, "t_v").await;
    for statement in ["CHECKPOINT", "DELETE FROM t", "VACUUM"] {
        client.batch_execute(statement).await.unwrap();
    }
    insert(&client, 300_000, 300_100).await;
    verify_index(&client, "t_v").await;
    // In a transaction, rows of its own are not the index's yet.
    client.batch_execute("BEGIN").await.unwrap();
    insert(&client, 400_000, 400_100).await;
    verify_index(&client, "t_v").await;
    client.batch_execute("ROLLBACK").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_verified_is_said_clearly() {
    let node = support::start().await;
    let client = indexed(&node, 10).await;
    client.batch_execute("CREATE INDEX t_l1 ON t USING hnsw (v vector_l1_ops)").await.unwrap();
    let refused = async |name: &str| {
        let query = format!("SELECT * FROM nearlake_verify_index('{name}')");
        let error = client.query(&query, &[]).await.unwrap_err();
        error.code().cloned().unwrap()
    };
    assert_eq!(refused("nowhere").await, SqlState::UNDEFINED_TABLE);
    assert_eq!(refused("t").await, SqlState::WRONG_OBJECT_TYPE);
    assert_eq!(refused("t_pkey").await, SqlState::WRONG_OBJECT_TYPE);
    assert_eq!(refused("t_l1").await, SqlState::FEATURE_NOT_SUPPORTED);
    verify_index(&client, "t_v").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_wait_for_an_index_that_is_far_behind() {
    let node = support::start_on("memory:", &["--unindexed-rows-max", "1000"]).await;
    let client = indexed(&node, 6000).await;
    assert_eq!(metric(&node, "nearlake_commits_held_total").await, 0.0);
    // So many that they are taken in for about a second, and nothing but a commit to be done meanwhile.
    client.batch_execute("BEGIN").await.unwrap();
    let many = "INSERT INTO t SELECT 6000 + g * 6000 + id, v FROM t, generate_series(0, 6) g";
    client.batch_execute(many).await.unwrap();
    let other = node.client().await;
    other.batch_execute("BEGIN").await.unwrap();
    other.batch_execute("INSERT INTO t SELECT 1000000, v FROM t WHERE id = 1").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(metric(&node, "nearlake_commits_held_total{by=\"index\"}").await, 1.0);
    // What adds no rows does not wait.
    client.batch_execute("DELETE FROM t WHERE id = 3").await.unwrap();
    assert_eq!(metric(&node, "nearlake_commits_held_total").await, 1.0);
    verify_index(&client, "t_v").await;
    node.stop().await;
}
