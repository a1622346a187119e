//! What psql, drivers and ORMs ask of the catalog, as it was recorded (`tests/data/introspection`):
//! each statement runs.

use crate::peer::Peer;
use std::path::Path;
use tokio_postgres::Client;

const SCHEMA: &str = "
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TABLE items (
        id bigserial PRIMARY KEY, name text NOT NULL DEFAULT 'none', tags text[],
        price numeric(10,2) CHECK (price >= 0), v vector(3));
    CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
    CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 3;
    CREATE SCHEMA shop;
    CREATE TABLE shop.orders (id int PRIMARY KEY, item bigint NOT NULL, note varchar(10) UNIQUE)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_ask_of_the_catalog_runs() {
    let peer = Peer::start("introspection").await;
    let client = peer.connect().await;
    client.batch_execute(SCHEMA).await.unwrap();

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/introspection");
    let (mut count, mut failed) = (0, Vec::new());
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // Some set savepoints.
        client.batch_execute("BEGIN").await.unwrap();
        for statement in text.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            let sql = sendable(&client, statement).await;
            count += 1;
            if let Err(error) = client.simple_query(&sql).await {
                let error = error.as_db_error().map_or(error.to_string(), ToString::to_string);
                failed.push(format!("{}: {error}\n{sql}\n", path.display()));
                break;
            }
        }
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    assert!(count > 200, "{count} statements were found");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    peer.stop().await;
}

/// A statement with its relations' oids, its parameters' values put in by EXECUTE.
async fn sendable(client: &Client, statement: &str) -> String {
    let (mut values, mut sql) = (Vec::new(), String::new());
    for line in statement.lines() {
        match line.strip_prefix("-- $1 = ") {
            Some(rest) => {
                let rest = format!(", ${} = {rest}", 1);
                values = rest
                    .split(", $")
                    .skip(1)
                    .map(|v| v.split_once(" = ").unwrap().1.into())
                    .collect();
            }
            None if line.starts_with("--") => {}
            None => sql.extend([line, "\n"]),
        }
    }
    if !values.is_empty() {
        let values: Vec<String> = values;
        sql = format!(
            "PREPARE recorded AS {sql}; EXECUTE recorded ({}); DEALLOCATE recorded",
            values.join(", ")
        );
    }
    for relation in ["items_id_seq", "items_pkey", "items", "orders", "cheap"] {
        let place = format!("{{{relation}}}");
        if sql.contains(&place) {
            let of = "SELECT oid FROM pg_class WHERE relname = $1";
            let oid: u32 = client.query_one(of, &[&relation]).await.unwrap().get(0);
            sql = sql.replace(&place, &oid.to_string());
        }
    }
    sql
}
