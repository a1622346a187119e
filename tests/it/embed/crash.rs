//! Killed while vectors are made: what is left to do is done after the start, and no row ends with a
//! vector of another model than its column's.

use super::{
    check_refusal, near, one, refused, replaced, run, settled, tiny::Tiny, tiny_model, vector, venv,
};
use crate::support::process::{Process, connect};
use nearlake::clock::{SharedClock, SystemClock};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use std::{net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tokio_postgres::Client;

const KILLS: u32 = 4;
/// What rows say; the last of it came after a kill.
const TEXTS: [&str; 4] = ["cat red", "dog red", "boat red", "night ship"];

/// What outlives a kill: the data, and the models.
struct Lasting {
    data: TempDir,
    models: TempDir,
}

impl Lasting {
    fn new() -> Self {
        let folder = || tempfile::tempdir().unwrap();
        Self { data: folder(), models: folder() }
    }

    /// Starts a server over it.
    async fn start(&self) -> (Process, SocketAddr) {
        let venv = venv();
        let flags = ["--onnxruntime", venv.to_str().unwrap(), "--checkpoint-interval", "1s"];
        Process::start(self.data.path().to_str().unwrap(), &flags).await
    }

    /// Makes a tiny model known.
    async fn teach(&self, client: &Client, name: &str, tiny: &Tiny) {
        run(client, &tiny_model(self.models.path(), name, tiny, "")).await;
    }
}

#[expect(clippy::print_stdout, reason = "what is shown when a run fails: its seed")]
fn dice(clock: &SharedClock) -> SmallRng {
    let given = std::env::var("NEARLAKE_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let seed: u64 = given.unwrap_or_else(|| clock.random());
    println!("NEARLAKE_TEST_SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deferred_vectors_are_made_after_every_kill() {
    let clock = SystemClock::shared();
    let mut rng = dice(&clock);
    let lasting = Lasting::new();
    let tiny = Tiny::new(20, 8);
    let (mut process, mut at) = lasting.start().await;
    let client = connect(at).await.unwrap();
    lasting.teach(&client, "m", &tiny).await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, b text,
           v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED) WITH (embedding = deferred)",
    )
    .await;
    let (mut rows, mut interrupted) = (0, 0);
    for _ in 0..KILLS {
        let client = connect(at).await.unwrap();
        let sql = format!(
            "INSERT INTO t SELECT n, (ARRAY['cat','dog','boat'])[n % 3 + 1] || ' red' FROM generate_series({}, {}) n",
            rows + 1,
            rows + 3000
        );
        run(&client, &sql).await;
        rows += 3000;
        clock.sleep(Duration::from_millis(rng.random_range(0..300))).await;
        let waited = one(&client, "SELECT (count(*) - count(v))::text FROM t").await;
        process.kill().await;
        interrupted += u32::from(waited != "0");
        (process, at) = lasting.start().await;
    }
    assert!(interrupted > 0, "every kill came too late");
    let client = connect(at).await.unwrap();
    assert_eq!(one(&client, "SELECT count(*)::text FROM t").await, rows.to_string());
    settled(&client, "t", rows).await;
    check_vectors(&client, &TEXTS[..3], &tiny).await;
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_goes_on_after_every_kill() {
    let clock = SystemClock::shared();
    let mut rng = dice(&clock);
    let lasting = Lasting::new();
    let models = [Tiny::new(21, 8), Tiny::new(22, 12)];
    let (mut process, mut at) = lasting.start().await;
    let client = connect(at).await.unwrap();
    for (name, model) in ["m0", "m1"].iter().zip(&models) {
        lasting.teach(&client, name, model).await;
    }
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm0')) STORED);
         CREATE INDEX ON t USING spfresh (v vector_cosine_ops);
         INSERT INTO t SELECT n, (ARRAY['cat','dog','boat'])[n % 3 + 1] || ' red' FROM generate_series(1, 6000) n",
    )
    .await;
    drop(client);
    let mut interrupted = 0;
    for kill in 0..KILLS {
        let client = connect(at).await.unwrap();
        if kill == 0 {
            run(&client, "ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'm1'))").await;
        }
        let insert = format!("INSERT INTO t VALUES ({}, 'night ship')", 10_000 + kill);
        run(&client, &insert).await;
        // The first kill comes at once, so that one at least finds the work under way.
        let rest = if kill == 0 { 0 } else { rng.random_range(0..400) };
        clock.sleep(Duration::from_millis(rest)).await;
        interrupted += u32::from(is_replacing(&client).await);
        process.kill().await;
        (process, at) = lasting.start().await;
        let client = connect(at).await.unwrap();
        // Whichever of the two it is, it is that of every row.
        let dims =
            one(&client, "SELECT string_agg(DISTINCT vector_dims(v)::text, ',') FROM t").await;
        let model = &models[usize::from(dims == "12")];
        assert_eq!(dims, model.dims.to_string());
        check_vectors(&client, &TEXTS, model).await;
    }
    assert!(interrupted > 0, "every kill came too late");
    let client = connect(at).await.unwrap();
    replaced(&client).await;
    let count = "SELECT count(*) || ' ' || count(v) || ' ' || min(vector_dims(v)) FROM t";
    assert_eq!(one(&client, count).await, format!("{0} {0} 12", 6000 + KILLS));
    check_vectors(&client, &TEXTS, &models[1]).await;
    process.kill().await;
}

/// Deferred rows wait, and the same column is given another model: one worker does both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_column_goes_over_to_another_model_after_a_kill() {
    let clock = SystemClock::shared();
    let mut rng = dice(&clock);
    let lasting = Lasting::new();
    let models = [Tiny::new(24, 8), Tiny::new(25, 12)];
    let (process, at) = lasting.start().await;
    let client = connect(at).await.unwrap();
    for (name, model) in ["m0", "m1"].iter().zip(&models) {
        lasting.teach(&client, name, model).await;
    }
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm0')) STORED)
           WITH (embedding = deferred);
         CREATE INDEX ON t USING spfresh (v vector_cosine_ops);
         INSERT INTO t SELECT n, (ARRAY['cat','dog','boat'])[n % 3 + 1] || ' red' FROM generate_series(1, 2500) n;
         ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'm1'))",
    )
    .await;
    assert!(is_replacing(&client).await);
    clock.sleep(Duration::from_millis(rng.random_range(0..400))).await;
    process.kill().await;

    let (process, at) = lasting.start().await;
    let client = connect(at).await.unwrap();
    run(&client, "INSERT INTO t SELECT n, 'night ship' FROM generate_series(3001, 3400) n").await;
    replaced(&client).await;
    settled(&client, "t", 2900).await;
    check_vectors(&client, &TEXTS, &models[1]).await;
    process.kill().await;
}

/// All rows with a text have the vector that the model makes of it.
async fn check_vectors(client: &Client, texts: &[&str], model: &Tiny) {
    for text in texts {
        let all = format!("SELECT DISTINCT v::text FROM t WHERE b = '{text}'");
        near(&vector(client, &all).await, &model.vector(text));
    }
}

async fn is_replacing(client: &Client) -> bool {
    let phase =
        "SELECT (count(*) > 0)::text FROM nearlake_stat_embedding WHERE phase = 'replacing'";
    one(client, phase).await == "true"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_runtime_a_server_starts_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny::new(23, 8);
    let broken = folder.path().join("libonnxruntime.so");
    std::fs::write(&broken, "no library").unwrap();
    for (runtime, word) in [
        ("/no/such/folder", "there is no ONNX Runtime"),
        (broken.to_str().unwrap(), "cannot be loaded"),
    ] {
        let (process, at) = Process::start("memory:", &["--onnxruntime", runtime]).await;
        let client = connect(at).await.unwrap();
        run(&client, &tiny_model(folder.path(), "m", &tiny, "")).await;
        run(
            &client,
            "CREATE TABLE t (b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)",
        )
        .await;
        for _ in 0..2 {
            let refusal = refused(&client, "INSERT INTO t VALUES ('cat')").await;
            check_refusal(&refusal, "58P01", word);
            assert!(refusal.2.contains("pip install onnxruntime"), "{refusal:?}");
        }
        assert_eq!(one(&client, "SELECT count(*)::text FROM t").await, "0");
        process.kill().await;
    }
}
