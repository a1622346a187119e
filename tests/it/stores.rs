//! The program on object stores: what was acknowledged is read again after a kill, whatever the
//! store refused and whichever answers were lost on the way.

use crate::{
    clock::SystemClock,
    storage::store::{Store, StoreOptions},
    support::{
        conformance,
        fakegcs::FakeGcs,
        process::{AZURE_ACCOUNT, Process, connect},
    },
};
use emulators::Emulator;
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};
use tokio_postgres::Client;

/// Other people's stores, as programs of this machine.
mod emulators;

/// Rows by id; the vector of a row follows from both.
type Rows = BTreeMap<i64, i64>;

/// Create, load, index, change, kill, read; and once more from what the first start left.
async fn story(data: &str, endpoint: &str) {
    let cache = tempfile::tempdir().unwrap();
    let flags = ["--store-endpoint", endpoint, "--cache-dir", cache.path().to_str().unwrap()];
    let (process, at) = Process::start(data, &flags).await;
    let client = connect(at).await.unwrap();
    client
        .batch_execute(
            "CREATE EXTENSION vector;
             CREATE TABLE t (id bigint PRIMARY KEY, val bigint NOT NULL, v vector(3));",
        )
        .await
        .unwrap();
    let mut rows = Rows::new();
    for batch in 0..20 {
        upsert(&client, &mut rows, batch * 20..batch * 20 + 20, 0).await;
    }
    client.batch_execute("CREATE INDEX ON t USING hnsw (v vector_l2_ops)").await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    for value in 1..8 {
        upsert(&client, &mut rows, value * 30..value * 30 + 50, value).await;
    }
    client.batch_execute("DELETE FROM t WHERE id BETWEEN 100 AND 120").await.unwrap();
    rows.retain(|id, _| !(100..=120).contains(id));
    client.batch_execute("BEGIN; DELETE FROM t; INSERT INTO t VALUES (-1, 0)").await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    check(&client, &rows).await;
    process.kill().await;

    // From the checkpoint and the log; then from a checkpoint of that.
    for task in ["CHECKPOINT", "VACUUM"] {
        let (process, at) = Process::start(data, &flags).await;
        let client = connect(at).await.unwrap();
        check(&client, &rows).await;
        client.batch_execute(task).await.unwrap();
        upsert(&client, &mut rows, 1000..1010, 9).await;
        check(&client, &rows).await;
        process.kill().await;
    }
}

async fn upsert(client: &Client, rows: &mut Rows, ids: std::ops::Range<i64>, value: i64) {
    let new = ids.map(|id| {
        rows.insert(id, value);
        format!("({id}, {value}, '{}')", vector(id, value))
    });
    let new: Vec<String> = new.collect();
    let sql = format!(
        "INSERT INTO t VALUES {} ON CONFLICT (id) DO UPDATE SET val = excluded.val, v = excluded.v",
        new.join(", ")
    );
    client.batch_execute(&sql).await.unwrap();
}

fn vector(id: i64, value: i64) -> String {
    format!("[{id},{value},{}]", id % 7)
}

async fn check(client: &Client, rows: &Rows) {
    let found = client.query("SELECT id, val, v::text FROM t ORDER BY id", &[]).await.unwrap();
    let found: Vec<(i64, i64, String)> =
        found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let wanted: Vec<_> = rows.iter().map(|(&id, &val)| (id, val, vector(id, val))).collect();
    assert_eq!(found, wanted);

    let nearest = "SELECT v <-> '[150,3,2]' FROM t ORDER BY v <-> '[150,3,2]' LIMIT 10";
    let mut answers = Vec::new();
    for index in ["on", "off"] {
        client.batch_execute(&format!("SET enable_indexscan = {index}")).await.unwrap();
        let near = client.query(nearest, &[]).await.unwrap();
        answers.push(near.iter().map(|row| row.get::<_, f64>(0)).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_gcs() {
    let gcs = FakeGcs::start().await;
    let (url, endpoint) = ("gs://other/conformance".into(), Some(gcs.url.clone()));
    let options = StoreOptions { url, endpoint, ..Default::default() };
    conformance::check(Store::open(&options, SystemClock::shared()).await.unwrap()).await;
    story("gs://bucket/some/prefix", &gcs.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_gcs_that_refuses_and_loses_answers() {
    let gcs = FakeGcs::start().await;
    gcs.knobs.refuse_every.store(7, Relaxed);
    gcs.knobs.lose_answer_every.store(5, Relaxed);
    story("gs://bucket", &gcs.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_s3() {
    let moto = Emulator::moto().await;
    moto.create("/bucket", &[]).await;
    story("s3://bucket/prefix", &format!("http://{}", moto.at)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_azure() {
    let azurite = Emulator::azurite().await;
    let path = format!("/{}/container?restype=container", AZURE_ACCOUNT);
    azurite.create(&path, &emulators::azure_headers()).await;
    let endpoint = format!("http://{}/{}", azurite.at, AZURE_ACCOUNT);
    story("az://container/prefix", &endpoint).await;
}
