//! Measurements, which nobody runs by accident:
//!
//! ```text
//! make embed-speed ARGS=debpkg.parquet
//! ```
//!
//! The script writes texts with the vectors that are to be compared into a file; without one the
//! texts are those of the examples. The server is beside fastembed called directly, which runs in a
//! process of its own since a process has one ONNX Runtime.

#![expect(clippy::print_stdout, reason = "a measurement is what it prints")]

use super::{numbers, one, real, start};
use crate::support::Running;
use nearlake::{
    clock::{SharedClock, SystemClock},
    node::turns,
};
use std::{process::Command, sync::Arc, time::Duration};
use tokio_postgres::{Client, Statement};
use tokio_util::sync::CancellationToken;

/// What the server must reach of what fastembed reaches, and sessions of what a batch reaches.
const RATE_MIN: f64 = 0.9;
/// How much longer point queries may take while texts are embedded.
const POINTS_MAX: f64 = 3.0;
/// The texts of the examples that are taken.
const TEXTS: usize = 512;

/// Texts, each with the vector that it has elsewhere, where the file says so.
fn given() -> Vec<(String, Option<Vec<f32>>)> {
    let Some(file) = std::env::var_os("NEARLAKE_TEST_TEXTS") else {
        return real::texts(TEXTS).into_iter().map(|text| (text, None)).collect();
    };
    let lines = std::fs::read_to_string(file).unwrap();
    let row = |line: &str| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        let vector = serde_json::from_value(row["embedding"].take()).unwrap();
        (row["text"].as_str().unwrap().to_owned(), vector)
    };
    lines.lines().map(row).collect()
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

/// MiB of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

/// The other side of [`measured_beside_fastembed_itself`].
#[test]
#[ignore = "a measurement"]
fn fastembed_itself() {
    use fastembed::{
        InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
    };
    let (clock, folder) = (SystemClock::shared(), real::model());
    let texts: Vec<String> = given().into_iter().map(|(text, _)| text).collect();
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
    println!("direct {} {} {}", took.as_millis(), cpu.as_millis(), resident());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measured_beside_fastembed_itself() {
    let (node, clock, given) = (start().await, SystemClock::shared(), given());
    let texts: Vec<&str> = given.iter().map(|(text, _)| text.as_str()).collect();
    let client = minilm(&node).await;
    client
        .batch_execute("CREATE TABLE t (n bigint, b text, v vector(384) GENERATED ALWAYS AS (embed(b, 'minilm')) STORED)")
        .await
        .unwrap();
    let (mut own, mut direct, mut memory) = ([0, 0], [0, 0], 0);
    for _ in 0..2 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["embed::speed::fastembed_itself", "--exact", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let line =
            output.lines().find_map(|line| line.split("direct ").nth(1)).expect("it measured");
        let told: Vec<u128> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        direct = [direct[0] + told[0], direct[1] + told[1]];
        memory = told[2];
        client.batch_execute("TRUNCATE t").await.unwrap();
        let (begun, spent) = (clock.elapsed(), cpu());
        let insert = "INSERT INTO t SELECT n, b FROM unnest($1::text[]) WITH ORDINALITY AS x(b, n)";
        client.execute(insert, &[&texts]).await.unwrap();
        own[0] += (clock.elapsed() - begun).as_millis();
        own[1] += (cpu() - spent).as_millis();
    }
    let rate = |millis: u128| 2000.0 * texts.len() as f64 / millis as f64;
    let ratio = rate(own[0]) / rate(direct[0]);
    println!(
        "{} texts twice: {:.1} texts/s inside, {:.1} directly: {ratio:.3}; per second of CPU {:.1} and {:.1}: \
         {:.3}; {} MiB resident, {memory} directly",
        texts.len(),
        rate(own[0]),
        rate(direct[0]),
        rate(own[1]),
        rate(direct[1]),
        rate(own[1]) / rate(direct[1]),
        resident(),
    );
    assert_eq!(one(&client, "SELECT count(v)::text FROM t").await, texts.len().to_string());
    let made = client.query("SELECT v::text FROM t ORDER BY n", &[]).await.unwrap();
    let near: Vec<f64> = made
        .iter()
        .zip(&given)
        .filter_map(|(row, (_, known))| Some(real::cosine(&numbers(row.get(0)), known.as_ref()?)))
        .collect();
    if !near.is_empty() {
        let mean = near.iter().sum::<f64>() / near.len() as f64;
        let least = near.iter().copied().fold(1.0, f64::min);
        println!("cosine to the stored vectors: mean {mean:.5}, least {least:.5}");
    }
    node.stop().await;
    assert!(ratio >= RATE_MIN, "{ratio:.3}");
}

/// Threads take turns as those of the program do, clients' too.
#[test]
#[ignore = "a measurement"]
fn measured_in_many_sessions_beside_one_batch() {
    turns::for_answers();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(many_sessions_beside_one_batch());
}

async fn many_sessions_beside_one_batch() {
    const SESSIONS: usize = 64;
    const EACH: usize = 24;
    let (node, clock) = (start().await, SystemClock::shared());
    let client = minilm(&node).await;
    client.batch_execute("CREATE TABLE p (id int PRIMARY KEY, n int); INSERT INTO p SELECT n, n FROM generate_series(1, 10000) n").await.unwrap();
    let node = Arc::new(node);
    let text =
        |round: usize, n: usize| format!("how do i sail boat number {n} across sea number {round}");

    // Connected before anything is measured: who comes costs more than who asks.
    let sessions = sessions(&node, SESSIONS).await;
    let end = CancellationToken::new();
    let idle = tokio::spawn(points(Arc::clone(&node), clock.clone(), end.clone()));
    clock.sleep(Duration::from_secs(5)).await;
    end.cancel();
    let mut idle = idle.await.unwrap();
    let (mut rates, mut busy) = ([0.0, 0.0], Vec::new());
    for round in 0..3 {
        let batch: Vec<String> = (0..SESSIONS * EACH).map(|n| text(round, n)).collect();
        let begun = clock.elapsed();
        client
            .query_one("SELECT cardinality(embed($1::text[], 'minilm'))", &[&batch])
            .await
            .unwrap();
        rates[0] += batch.len() as f64 / (clock.elapsed() - begun).as_secs_f64();

        // Without point queries, which would take of what the batch had for itself.
        let begun = clock.elapsed();
        ask(&sessions, EACH, move |n| text(round + 100, n)).await;
        rates[1] += (SESSIONS * EACH) as f64 / (clock.elapsed() - begun).as_secs_f64();

        let end = CancellationToken::new();
        let meanwhile = tokio::spawn(points(Arc::clone(&node), clock.clone(), end.clone()));
        ask(&sessions, EACH, move |n| text(round + 200, n)).await;
        end.cancel();
        busy.extend(meanwhile.await.unwrap());
    }
    let (ratio, idle, busy) = (rates[1] / rates[0], p99(&mut idle), p99(&mut busy));
    let slower = busy.as_secs_f64() / idle.as_secs_f64();
    println!(
        "short texts/s: one batch {:.1}, {SESSIONS} sessions {:.1}: {ratio:.3}; p99 of point queries idle {idle:?}, \
         meanwhile {busy:?}: {slower:.2}",
        rates[0] / 3.0,
        rates[1] / 3.0,
    );
    assert!(ratio >= RATE_MIN, "{ratio:.3}");
    assert!(slower <= POINTS_MAX, "{slower:.2}");
}

/// A session that is ready to ask for vectors.
type Session = Arc<(Client, Statement)>;

async fn sessions(node: &Running, count: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let client = node.client().await;
        let statement = client.prepare("SELECT embed($1, 'minilm')").await.unwrap();
        sessions.push(Arc::new((client, statement)));
    }
    sessions
}

/// Each session asks for so many texts one after the other.
async fn ask(
    sessions: &[Session],
    each: usize,
    text: impl Fn(usize) -> String + Copy + Send + 'static,
) {
    let mut asking = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        let session = Arc::clone(session);
        asking.push(tokio::spawn(async move {
            let (client, statement) = &*session;
            for n in 0..each {
                let asked = text(number * each + n);
                client.query_one(statement, &[&asked]).await.unwrap();
            }
        }));
    }
    for session in asking {
        session.await.unwrap();
    }
}

/// How long point queries take, until the end.
async fn points(node: Arc<Running>, clock: SharedClock, end: CancellationToken) -> Vec<Duration> {
    let client = node.client().await;
    let statement = client.prepare("SELECT n FROM p WHERE id = $1").await.unwrap();
    let (mut times, mut id) = (Vec::new(), 0_i32);
    while !end.is_cancelled() {
        id = id % 10_000 + 1;
        let started = clock.elapsed();
        client.query_one(&statement, &[&id]).await.unwrap();
        times.push(clock.elapsed() - started);
        clock.sleep(Duration::from_millis(1)).await;
    }
    times
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
