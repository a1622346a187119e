//! Measurements, which nobody runs by accident:
//!
//! ```text
//! NEARLAKE_TEST_TEXTS=FILE cargo test --test it -- --ignored --nocapture embed::speed::as_fast
//! ```
//!
//! Texts come from a file, one a line. The server is beside fastembed called directly, which runs
//! in a process of its own since a process has one ONNX Runtime.

#![expect(clippy::print_stdout, reason = "a measurement is what it prints")]

use super::{one, real, start};
use crate::support::Running;
use nearlake::clock::{SharedClock, SystemClock};
use std::{process::Command, sync::Arc, time::Duration};
use tokio_postgres::Client;

/// The texts, as many as asked for.
fn texts() -> Vec<String> {
    let count = std::env::var("NEARLAKE_TEST_COUNT").map_or(512, |count| count.parse().unwrap());
    real::texts(count)
}

async fn minilm(node: &Running) -> Client {
    let client = node.client().await;
    let model = real::model();
    let make = format!(
        "CREATE EMBEDDING MODEL minilm WITH (path = '{}', overflow = truncate)",
        model.display()
    );
    client.batch_execute(&make).await.unwrap();
    client.query_one("SELECT embed('warm', 'minilm')::text", &[]).await.unwrap();
    client
}

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

/// The other side of [`as_fast_as_fastembed_itself`].
#[test]
#[ignore = "a measurement"]
fn fastembed_itself() {
    use fastembed::{
        InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
    };
    let (clock, folder, texts) = (SystemClock::shared(), real::model(), texts());
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let library = real::runtime();
    let environment = ort::init_from(&library).unwrap().build().unwrap();
    let files = TokenizerFiles {
        tokenizer_file: read("tokenizer.json"),
        config_file: read("config.json"),
        special_tokens_map_file: read("special_tokens_map.json"),
        tokenizer_config_file: read("tokenizer_config.json"),
    };
    let model =
        UserDefinedEmbeddingModel::new(read("model.onnx"), files).with_pooling(Pooling::Mean);
    let options = InitOptionsUserDefined::new().with_environment(environment).with_max_length(256);
    let mut model = TextEmbedding::try_new_from_user_defined(model, options).unwrap();
    model.embed(["warm"], None).unwrap();
    let (begun, spent) = (clock.elapsed(), cpu());
    let made = model.embed(&texts, Some(32)).unwrap();
    assert_eq!(made.len(), texts.len());
    let (took, cpu) = (clock.elapsed() - begun, cpu() - spent);
    println!("direct {} {}", took.as_millis(), cpu.as_millis());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn as_fast_as_fastembed_itself() {
    let (node, clock, texts) = (start().await, SystemClock::shared(), texts());
    let client = minilm(&node).await;
    client
        .batch_execute("CREATE TABLE t (b text, v vector(384) GENERATED ALWAYS AS (embed(b, 'minilm')) STORED)")
        .await
        .unwrap();
    let (mut own, mut direct) = ([0, 0], [0, 0]);
    for _ in 0..2 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["embed::speed::fastembed_itself", "--exact", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let line =
            output.lines().find_map(|line| line.split("direct ").nth(1)).expect("it measured");
        for (sum, number) in direct.iter_mut().zip(line.split(' ')) {
            *sum += number.parse::<u128>().unwrap();
        }
        let (begun, spent) = (clock.elapsed(), cpu());
        client.execute("INSERT INTO t SELECT unnest($1::text[])", &[&texts]).await.unwrap();
        own[0] += (clock.elapsed() - begun).as_millis();
        own[1] += (cpu() - spent).as_millis();
    }
    let rate = |millis: u128| 2000.0 * texts.len() as f64 / millis as f64;
    println!(
        "{} texts twice: {:.1} texts/s inside, {:.1} directly: {:.3}; per second of CPU {:.1} and {:.1}: {:.3}; {} MiB resident",
        texts.len(),
        rate(own[0]),
        rate(direct[0]),
        rate(own[0]) / rate(direct[0]),
        rate(own[1]),
        rate(direct[1]),
        rate(own[1]) / rate(direct[1]),
        resident(),
    );
    assert_eq!(one(&client, "SELECT count(v)::text FROM t").await, (2 * texts.len()).to_string());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn sessions_together_are_as_fast_as_one_batch() {
    const SESSIONS: usize = 64;
    let (node, clock) = (start().await, SystemClock::shared());
    let client = minilm(&node).await;
    client.batch_execute("CREATE TABLE p (id int PRIMARY KEY, n int); INSERT INTO p SELECT n, n FROM generate_series(1, 10000) n").await.unwrap();
    let node = Arc::new(node);
    let text =
        |round: usize, n: usize| format!("how do i sail boat number {n} across sea number {round}");

    let idle = points(&node, &clock, Duration::from_secs(3)).await;
    let mut rates = [Vec::new(), Vec::new()];
    let mut busy = Vec::new();
    for round in 0..3 {
        let batch: Vec<String> = (0..SESSIONS * 12).map(|n| text(round, n)).collect();
        let begun = clock.elapsed();
        client
            .query_one("SELECT cardinality(embed($1::text[], 'minilm'))", &[&batch])
            .await
            .unwrap();
        rates[0].push(batch.len() as f64 / (clock.elapsed() - begun).as_secs_f64());

        let begun = clock.elapsed();
        let mut sessions = Vec::new();
        for session in 0..SESSIONS {
            let client = node.client().await;
            sessions.push(tokio::spawn(async move {
                let statement = client.prepare("SELECT embed($1, 'minilm')").await.unwrap();
                for n in 0..12 {
                    let asked = text(round + 100, session * 12 + n);
                    client.query_one(&statement, &[&asked]).await.unwrap();
                }
            }));
        }
        let watched = Arc::clone(&node);
        let watch = SharedClock::clone(&clock);
        let during =
            tokio::spawn(async move { points(&watched, &watch, Duration::from_secs(4)).await });
        for session in sessions {
            session.await.unwrap();
        }
        rates[1].push((SESSIONS * 12) as f64 / (clock.elapsed() - begun).as_secs_f64());
        busy.push(during.await.unwrap());
    }
    let sum = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    println!(
        "short texts/s: one batch {:.1}, 64 sessions {:.1}: {:.3}; p99 of point queries idle {idle:?}, meanwhile {busy:?}",
        sum(&rates[0]),
        sum(&rates[1]),
        sum(&rates[1]) / sum(&rates[0])
    );
}

/// The 99th percentile of point queries for a while.
async fn points(node: &Running, clock: &SharedClock, time: Duration) -> Duration {
    let client = node.client().await;
    let statement = client.prepare("SELECT n FROM p WHERE id = $1").await.unwrap();
    let (begun, mut times, mut id) = (clock.elapsed(), Vec::new(), 0_i32);
    while clock.elapsed() - begun < time {
        id = id % 10_000 + 1;
        let started = clock.elapsed();
        client.query_one(&statement, &[&id]).await.unwrap();
        times.push(clock.elapsed() - started);
        clock.sleep(Duration::from_millis(1)).await;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
