//! The same story (create, insert, COPY, read, update, delete, nearest) told through every driver:
//! `tests/clients` holds the scripts, the one in Rust is here. Each says `ok` at its end.

use crate::peer::Peer;
use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use std::{
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};
use tokio_postgres::{
    Client, NoTls, binary_copy::BinaryCopyInWriter, error::SqlState, types::Type,
};

/// Runs a script of `tests/clients` and wants its `ok`.
async fn run(script: &str, program: impl AsRef<std::ffi::OsStr>) {
    run_with(script, program, &[]).await;
}

/// The same beside a node with more flags.
async fn run_with(script: &str, program: impl AsRef<std::ffi::OsStr>, flags: &[&str]) {
    let name = script.split('.').next().expect("split gives one piece at least");
    let peer = Peer::start_with(&format!("client_{name}"), flags).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = peer.command(program);
    command.arg(folder.join(script)).current_dir(&folder);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("the program is installed; `make setup` does it");
    peer.stop().await;

    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let good = output.status.success() && said.trim_end().ends_with("ok");
    assert!(good, "{script}: {}\n{said}\n{complained}", output.status);
}

/// The Python that has the drivers.
pub(crate) fn python() -> PathBuf {
    let venv = std::env::var_os("NEARLAKE_VENV")
        .expect("NEARLAKE_VENV names the virtual environment; run the tests by `make test`");
    let python = PathBuf::from(venv).join("bin/python");
    assert!(python.exists(), "{} is missing; `make setup` makes it", python.display());
    python
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql() {
    run("psql.sh", "bash").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psycopg() {
    run("psycopg_story.py", python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asyncpg() {
    run("asyncpg_story.py", python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlalchemy() {
    run("sqlalchemy_story.py", python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_users() {
    run("types_story.py", python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_postgres() {
    run("node_story.js", "node").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jdbc_metadata() {
    run("jdbc_metadata.py", python()).await;
}

/// The JSON API of namespaces: no database of PostgreSQL has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turbopuffer() {
    if !crate::peer::is_oracle() {
        run("turbopuffer_story.py", python()).await;
    }
}

/// The console in Chromium, which looks at a webhook's deliveries to this machine too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn console() {
    if !crate::peer::is_oracle() {
        run_with("console_story.js", "node", &["--webhook-allow-private", "on"]).await;
    }
}

/// Requests of every kind that the OpenAPI document allows, and some that it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi() {
    if !crate::peer::is_oracle() {
        run("schemathesis_story.py", python()).await;
    }
}

/// Metrics as Prometheus' own parser reads them, and the dashboard and the rules that use them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics() {
    if !crate::peer::is_oracle() {
        run("metrics_story.py", python()).await;
    }
}

/// The story through tokio-postgres: always the extended protocol, always binary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_postgres() {
    let peer = Peer::start("client_tokio_postgres").await;
    let mut client = peer.connect().await;

    client.batch_execute("CREATE EXTENSION vector").await.unwrap();
    client
        .batch_execute("CREATE TABLE items (id bigint PRIMARY KEY, name text, embedding vector(3))")
        .await
        .unwrap();
    insert_and_copy(&mut client).await;
    read_in_portals(&mut client).await;
    nearest(&client).await;
    faults(&client).await;

    peer.stop().await;
}

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM items", &[]).await.unwrap().get(0)
}

async fn insert_and_copy(client: &mut Client) {
    let insert = "INSERT INTO items VALUES ($1, $2, $3::real[]::vector)";
    let insert = client.prepare(insert).await.unwrap();
    assert_eq!(insert.params(), [Type::INT8, Type::TEXT, Type::FLOAT4_ARRAY]);
    for id in 0..10_i64 {
        let vector = vec![f32::from(u8::try_from(id).unwrap()), 0.0, 0.0];
        let done = client.execute(&insert, &[&id, &format!("n{id}"), &vector]).await.unwrap();
        assert_eq!(done, 1);
    }

    let transaction = client.transaction().await.unwrap();
    let sink =
        transaction.copy_in("COPY items (id, name) FROM STDIN (FORMAT binary)").await.unwrap();
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT8, Type::TEXT]);
    let mut writer = pin!(writer);
    for id in 10..500_i64 {
        writer.as_mut().write(&[&id, &format!("copied {id}")]).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), 490);
    transaction.commit().await.unwrap();
    assert_eq!(count(client).await, 500);

    let mut sink = pin!(client.copy_in("COPY items FROM STDIN").await.unwrap());
    for id in 500..600 {
        sink.send(Bytes::from(format!("{id}\tt\t[{id},0,0]\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 100);

    let out = client.copy_out("COPY items (id, embedding) TO STDOUT").await.unwrap();
    let text: Vec<Bytes> = out.try_collect().await.unwrap();
    let text = String::from_utf8(text.concat()).unwrap();
    assert_eq!(text.lines().count(), 600);
    assert!(text.contains("42\t\\N\n") && text.contains("7\t[7,0,0]\n"), "{text}");
}

/// One portal, read in pieces: the server keeps the rest.
async fn read_in_portals(client: &mut Client) {
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM items ORDER BY id", &[]).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 70).await.unwrap();
        if rows.is_empty() {
            break;
        }
        seen.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    assert_eq!(seen, (0..600).collect::<Vec<_>>());
    transaction.rollback().await.unwrap();
}

async fn nearest(client: &Client) {
    client
        .batch_execute("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)")
        .await
        .unwrap();
    let sql = "SELECT id, embedding <-> $1::real[]::vector FROM items WHERE id < $2
               ORDER BY embedding <-> $1::real[]::vector LIMIT $3";
    let rows = client.query(sql, &[&vec![550.2_f32, 0.0, 0.0], &560_i64, &3_i64]).await.unwrap();
    let found: Vec<(i64, f64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), [550, 551, 549]);
    assert!((found[0].1 - 0.2).abs() < 1e-4, "{found:?}");

    let deleted = client.execute("DELETE FROM items WHERE id = $1", &[&550_i64]).await.unwrap();
    assert_eq!(deleted, 1);
    let rows = client.query(sql, &[&vec![550.2_f32, 0.0, 0.0], &560_i64, &1_i64]).await.unwrap();
    assert_eq!(rows[0].get::<_, i64>(0), 551);
}

async fn faults(client: &Client) {
    let before = count(client).await;
    let twice = client.execute("INSERT INTO items (id) VALUES ($1)", &[&1_i64]).await.unwrap_err();
    assert_eq!(twice.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(twice.as_db_error().unwrap().constraint(), Some("items_pkey"));

    let mut sink = Box::pin(client.copy_in("COPY items FROM STDIN").await.unwrap());
    sink.send(Bytes::from_static(b"9000\tx\t[1,2,3]\n9001\tx\t[1,2]\n")).await.unwrap();
    let bad = sink.as_mut().finish().await.unwrap_err();
    assert_eq!(bad.code(), Some(&SqlState::DATA_EXCEPTION));
    assert!(bad.as_db_error().unwrap().where_().unwrap().contains("line 2"));

    // A COPY that the client gives up copies nothing.
    let mut sink = Box::pin(client.copy_in("COPY items FROM STDIN").await.unwrap());
    sink.send(Bytes::from_static(b"9000\tx\t[1,2,3]\n")).await.unwrap();
    drop(sink);
    assert_eq!(count(client).await, before);

    let cancel = client.cancel_token();
    let slow = client.simple_query("SELECT pg_sleep(30)");
    let (slow, ()) = tokio::join!(slow, async {
        // Once the statement runs; a request that comes before it finds nothing to stop.
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(300)))
            .await
            .unwrap();
        cancel.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(slow.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert_eq!(count(client).await, before);
}
