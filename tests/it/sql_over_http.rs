//! SQL over HTTP: what comes back, within which bounds, and what is left behind when the client
//! goes away. And what statements cost, which the console shows.

use crate::{
    clock::{SharedClock, SystemClock},
    support::{self, Running},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::Client;

/// A request that was sent, and of which nothing was read yet. The answer is the connection's last.
async fn sent(at: SocketAddr, path: &str, method: &str, body: &Value) -> TcpStream {
    sent_by(at, path, method, body, "Connection: close\r\n").await
}

async fn sent_by(
    at: SocketAddr,
    path: &str,
    method: &str,
    body: &Value,
    headers: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// The status and the body of an answer.
async fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    (status, if is_chunked { unchunked(body) } else { body.to_owned() })
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &rest[..size];
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

async fn ask(at: SocketAddr, body: Value) -> (u16, Value) {
    let (status, text) = answer(sent(at, "/v1/sql", "POST", &body).await).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The answer to statements that succeed.
async fn done(at: SocketAddr, body: Value) -> Value {
    let (status, told) = ask(at, body).await;
    assert_eq!(status, 200, "{told}");
    told
}

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Waits until a query gives a number.
async fn until(client: &Client, query: &str, wanted: i64) {
    let clock: SharedClock = SystemClock::shared();
    let began = clock.elapsed();
    while number(client, query).await != wanted {
        assert!(clock.elapsed() - began < Duration::from_secs(30), "{query} is not {wanted}");
        clock.sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_have_types_and_values_of_json() {
    let node = support::start().await;
    let at = node.http_addr();
    let told = done(
        at,
        json!({
            "sql": "SELECT $1::bigint + 1 AS n, $2::text AS t, $3::vector AS v, NULL::int AS nothing, \
                    true AS b, 1.50::numeric(4, 2) AS x, '{\"a\": 1}'::jsonb AS j, 'NaN'::float8 AS f, \
                    $4::text[] AS l",
            "params": [41, "a\"b", [1, 0.5, -2], ["x", null]],
        }),
    )
    .await;
    let result = &told["results"][0];
    assert_eq!(
        result["rows"],
        json!([[42, "a\"b", [1, 0.5, -2], null, true, "1.50", { "a": 1 }, "NaN", "{x,NULL}"]])
    );
    assert_eq!(result["columns"][0], json!({ "name": "n", "type": "bigint", "oid": 20 }));
    assert_eq!(result["columns"][2]["type"], "vector");
    assert_eq!((&result["tag"], &result["truncated"]), (&json!("SELECT 1"), &json!(false)));
    assert!(result["elapsed_ms"].as_f64().unwrap() <= told["elapsed_ms"].as_f64().unwrap());
    // Nothing is a statement too.
    assert_eq!(done(at, json!({ "sql": " ; -- \n" })).await["results"][0]["tag"], Value::Null);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_statements_are_one_transaction() {
    let node = support::start().await;
    let (at, client) = (node.http_addr(), node.client().await);
    let told = done(
        at,
        json!({ "sql": "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2); \
                        DROP TABLE IF EXISTS nowhere; TABLE t" }),
    )
    .await;
    let tags: Vec<&str> = told["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["tag"].as_str().unwrap())
        .collect();
    assert_eq!(tags, ["CREATE TABLE", "INSERT 0 2", "DROP TABLE", "SELECT 2"]);
    assert_eq!(told["results"][2]["notices"][0]["severity"], "NOTICE");

    // The place is that in the whole text, and nothing stays of what came before.
    let sql = "INSERT INTO t VALUES (3);\nSELECT b FROM t";
    let (status, told) = ask(at, json!({ "sql": sql })).await;
    assert_eq!(status, 400);
    assert_eq!((&told["sqlstate"], &told["position"]), (&json!("42703"), &json!(34)));
    assert_eq!((&told["statement"], &told["status"]), (&json!(1), &json!("error")));
    assert_eq!(told["results"][0]["tag"], "INSERT 0 1");
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 2);

    let (status, told) = ask(at, json!({ "sql": "INSERT INTO t VALUES (1)" })).await;
    assert_eq!((status, &told["sqlstate"]), (400, &json!("23505")));
    assert_eq!(told["constraint"], "t_pkey");
    assert!(told["detail"].as_str().unwrap().contains("already exists"));

    // A transaction of its own must end; what is left open is said to be, and is not kept.
    done(at, json!({ "sql": "BEGIN; INSERT INTO t VALUES (3); COMMIT" })).await;
    let (status, told) = ask(at, json!({ "sql": "BEGIN; INSERT INTO t VALUES (4)" })).await;
    assert_eq!((status, &told["sqlstate"]), (400, &json!("25001")));
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 3);
    let (status, told) = ask(at, json!({ "sql": "SELECT $1; SELECT 2", "params": [1] })).await;
    assert_eq!((status, &told["sqlstate"]), (400, &json!("42601")));
    for copy in ["COPY t FROM STDIN", "COPY t TO STDOUT"] {
        let (status, told) = ask(at, json!({ "sql": copy })).await;
        assert_eq!((status, &told["sqlstate"]), (501, &json!("0A000")), "{told}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_only_reads_cannot_write_by_any_words() {
    let node = support::start().await;
    let at = node.http_addr();
    done(at, json!({ "sql": "CREATE TABLE t (a int)" })).await;
    for sql in [
        "INSERT INTO t VALUES (1)",
        "SET default_transaction_read_only = off; INSERT INTO t VALUES (1)",
        "SET transaction_read_only = off; INSERT INTO t VALUES (1)",
        "BEGIN READ WRITE; INSERT INTO t VALUES (1); COMMIT",
        "COMMIT; INSERT INTO t VALUES (1)",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; INSERT INTO t VALUES (1)",
        "SELECT set_config('transaction_read_only', 'off', false); INSERT INTO t VALUES (1)",
        "CREATE TABLE u (a int)",
        "DO $$ $$; INSERT INTO t VALUES (1)",
        "PREPARE p AS INSERT INTO t VALUES (1); EXECUTE p",
    ] {
        let (status, told) = ask(at, json!({ "sql": sql, "read_only": true })).await;
        assert!(status >= 400, "{sql}: {told}");
    }
    let told = done(at, json!({ "sql": "SELECT count(*) FROM t", "read_only": true })).await;
    assert_eq!(told["results"][0]["rows"], json!([[0]]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_bounded_and_say_so() {
    let node = support::start().await;
    let at = node.http_addr();
    let series = "SELECT g, repeat('x', 100) FROM generate_series(1, 5000) AS g";
    let told = done(at, json!({ "sql": series })).await;
    assert_eq!(told["results"][0]["rows"].as_array().unwrap().len(), 1000);
    assert_eq!(told["results"][0]["truncated"], true);
    let told = done(at, json!({ "sql": series, "max_rows": 5000 })).await;
    assert_eq!(
        (&told["results"][0]["truncated"], &told["results"][0]["row_count"]),
        (&json!(false), &json!(5000))
    );
    let told = done(at, json!({ "sql": series, "max_bytes": 2000 })).await;
    let rows = told["results"][0]["rows"].as_array().unwrap().len();
    assert!((15..20).contains(&rows) && told["results"][0]["truncated"] == true, "{rows}");
    let told = done(at, json!({ "sql": series, "max_rows": 0 })).await;
    assert_eq!(told["results"][0]["rows"], json!([]));

    for wrong in [
        json!({ "timeout_ms": 0 }),
        json!({ "max_bytes": 1 << 30 }),
        json!({ "sql": 1 }),
        json!({ "other": 1 }),
    ] {
        let mut body = json!({ "sql": "SELECT 1" });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let (status, told) = ask(at, body).await;
        assert!((400..500).contains(&status), "{told}");
    }
    let (status, told) = ask(at, json!({ "sql": "SELECT pg_sleep(60)", "timeout_ms": 50 })).await;
    assert_eq!((status, &told["sqlstate"]), (408, &json!("57014")));
    assert_eq!(told["error"], "canceling statement due to statement timeout");
    let (status, _) = ask(at, json!({ "sql": "SELECT 1", "database": "nowhere" })).await;
    assert_eq!(status, 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_come_while_they_are_made() {
    let node = support::start().await;
    let at = node.http_addr();
    let lines = async |sql: &str| {
        let body = json!({ "sql": sql, "stream": true });
        let (status, text) = answer(sent(at, "/v1/sql", "POST", &body).await).await;
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (status, lines.collect::<Vec<Value>>())
    };
    let (status, told) =
        lines("SELECT g, '{\"a\":\n1}'::json FROM generate_series(1, 20000) AS g; SELECT 2").await;
    assert_eq!(status, 200);
    assert_eq!(told[0]["columns"][0]["name"], "g");
    let first = told.iter().take_while(|line| line.get("tag").is_none());
    let rows: Vec<&Value> = first.filter_map(|line| line["rows"].as_array()).flatten().collect();
    assert_eq!(
        (rows.len(), &rows[19_999][0], &rows[0][1]),
        (20_000, &json!(20_000), &json!({ "a": 1 }))
    );
    assert!(told.iter().filter(|line| line.get("rows").is_some()).count() > 5);
    assert_eq!(told.last().unwrap()["status"], "OK");

    // A fault at once has a status; one in the middle is the last line.
    let (status, told) = lines("SELECT nope").await;
    assert_eq!((status, &told[0]["sqlstate"]), (400, &json!("42703")));
    let (status, told) = lines("SELECT 1; SELECT 1 / 0").await;
    assert_eq!((status, told.len()), (200, 5));
    assert_eq!((&told[2]["tag"], &told[4]["sqlstate"]), (&json!("SELECT 1"), &json!("22012")));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let node = support::start().await;
    let (at, client) = (node.http_addr(), node.client().await);
    let running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'http'";
    for body in [
        json!({ "sql": "CREATE TEMP TABLE mine (a int)" }),
        json!({ "sql": "CREATE TEMP TABLE mine AS SELECT g FROM generate_series(1, 3) AS g; SELECT pg_sleep(60)" }),
        json!({ "sql": "SELECT pg_sleep(60)", "stream": true }),
        json!({ "sql": "SELECT * FROM generate_series(1, 4000000) AS g", "stream": true }),
    ] {
        let is_short = body["sql"].as_str().unwrap().ends_with("(a int)");
        if is_short {
            answer(sent(at, "/v1/sql", "POST", &body).await).await;
        } else {
            let stream = sent_by(at, "/v1/sql", "POST", &body, "").await;
            until(&client, running, 1).await;
            drop(stream);
        }
        until(&client, running, 0).await;
        until(&client, "SELECT count(*) FROM pg_class WHERE relname = 'mine'", 0).await;
    }
    // Whenever it goes: before the statement runs, between its head and its first row, in a function.
    let body = json!({ "sql": "SELECT pg_sleep(60)", "stream": true });
    let clock: SharedClock = SystemClock::shared();
    for delay in 0..60 {
        let stream = sent_by(at, "/v1/sql", "POST", &body, "").await;
        clock.sleep(Duration::from_micros(delay * 300)).await;
        drop(stream);
    }
    until(&client, running, 0).await;
    // What is stopped goes too.
    let stream = sent(at, "/v1/sql", "POST", &json!({ "sql": "SELECT pg_sleep(60)" })).await;
    until(&client, running, 1).await;
    drop(client);
    stop_soon(node).await;
    drop(stream);
}

/// Stops a node whose requests would go on for a minute.
async fn stop_soon(node: Running) {
    let clock: SharedClock = SystemClock::shared();
    let began = clock.elapsed();
    node.stop().await;
    assert!(clock.elapsed() - began < Duration::from_secs(40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_statements_cost_is_kept_by_their_forms() {
    let node = support::start().await;
    let client = node.client().await;
    client.batch_execute("CREATE TABLE t (a int, b text)").await.unwrap();
    client.batch_execute("SELECT nearlake_stat_statements_reset()").await.unwrap();
    for n in 0..3 {
        client
            .batch_execute(&format!("INSERT INTO t VALUES ({n}, 'x'), ({n}, 'y')"))
            .await
            .unwrap();
        client.query("SELECT a FROM t WHERE b = $1 AND a < 100", &[&"x"]).await.unwrap();
    }
    client.batch_execute("select A from T where B = 'x'").await.unwrap();
    client.batch_execute("SELECT a / 0 FROM t WHERE b = 'x'").await.unwrap_err();
    client
        .batch_execute("CREATE ROLE reader LOGIN; ALTER ROLE reader PASSWORD 'secret'")
        .await
        .unwrap();
    let rows = client
        .query(
            "SELECT query, kind, calls, errors, rows, total_exec_time > 0, min_exec_time <= mean_exec_time
             FROM nearlake_stat_statements WHERE query NOT LIKE '%nearlake%' ORDER BY query",
            &[],
        )
        .await
        .unwrap();
    let told: Vec<(String, String, i64, i64, i64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
        .collect();
    let of = |text: &str| {
        told.iter().find(|row| row.0 == text).unwrap_or_else(|| panic!("{text}: {told:?}"))
    };
    let insert = of("INSERT INTO t VALUES ($1, $2) /*, ... */");
    assert_eq!((insert.1.as_str(), insert.2, insert.4), ("insert", 3, 6));
    let select = of("SELECT a FROM t WHERE b = $1 AND a < $2");
    assert_eq!((select.1.as_str(), select.2, select.3, select.4), ("select", 3, 0, 6));
    let failed = of("SELECT a / $1 FROM t WHERE b = $2");
    assert_eq!((failed.2, failed.3), (0, 1));
    of("ALTER ROLE reader PASSWORD $1");

    // Others see figures, and not what was asked.
    let (host, port) = (node.pg_addr().ip(), node.pg_addr().port());
    let url = format!("host={host} port={port} user=reader password=secret dbname=postgres");
    let (reader, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let hidden =
        "SELECT count(*) FROM nearlake_stat_statements WHERE query = '<insufficient privilege>'";
    assert!(number(&reader, hidden).await > 3);
    let denied = reader.batch_execute("SELECT nearlake_stat_statements_reset()").await.unwrap_err();
    assert_eq!(denied.code().unwrap().code(), "42501");
    drop((client, reader));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_configured_in_one_place() {
    let node = support::start().await;
    let (at, client) = (node.http_addr(), node.client().await);
    let path = "/v1/namespaces/items/config";
    let put = async |method: &str, body: Value| {
        let (status, text) = answer(sent(at, path, method, &body).await).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    assert_eq!(put("PUT", json!({ "distance_metric": "cosine_distance" })).await.0, 404);
    let (status, told) = put(
        "PUT",
        json!({
            "distance_metric": "cosine_distance", "recall_target": 0.9, "comment": "what we sell",
            "schema": { "id": "uint", "vector": "[3]f32", "shop": "int" },
        }),
    )
    .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["distance_metric"], "cosine_distance");
    assert_eq!(told["recall_target"], json!({ "vector": 0.9 }));
    assert_eq!((&told["comment"], &told["read_only"]), (&json!("what we sell"), &json!(false)));
    client
        .batch_execute("INSERT INTO namespaces.items VALUES (1, '[1,0,0]', 7), (2, '[0,1,0]', 8)")
        .await
        .unwrap();

    // Another metric: the index is another one, and the target stays.
    let (status, told) = put("POST", json!({ "distance_metric": "euclidean_squared" })).await;
    assert_eq!((status, &told["distance_metric"]), (200, &json!("euclidean_squared")), "{told}");
    assert_eq!(told["schema"]["vector"]["ann"]["distance_metric"], "euclidean_squared");
    let definition: String = client
        .query_one("SELECT indexdef FROM pg_indexes WHERE tablename = 'items' AND indexdef LIKE '%spfresh%'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(
        definition.contains("vector_l2_ops") && definition.contains("recall_target"),
        "{definition}"
    );
    let (_, told) =
        put("POST", json!({ "recall_target": { "vector": null }, "comment": null })).await;
    assert_eq!(
        (&told["recall_target"], &told["comment"]),
        (&json!({ "vector": null }), &Value::Null)
    );

    for wrong in [
        json!({ "recall_target": 0.1 }),
        json!({ "recall_target": { "shop": 0.9 } }),
        json!({ "distance_metric": "near" }),
        json!({ "schema": { "shop": "string" } }),
        json!({ "other": 1 }),
    ] {
        let (status, told) = put("PUT", wrong.clone()).await;
        assert!(status == 400 || status == 422, "{wrong}: {told}");
    }
    assert_eq!(put("PUT", json!({ "read_only": true })).await.1["read_only"], true);
    assert_eq!(put("PUT", json!({ "comment": "x" })).await.0, 403);
    assert_eq!(put("PUT", json!({ "read_only": false, "comment": "x" })).await.1["comment"], "x");
    drop(client);
    node.stop().await;
}
