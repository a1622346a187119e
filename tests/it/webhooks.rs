//! Webhooks: what is committed arrives, signed, in order, whatever happens on the way.

use crate::{
    embed::{self, tiny::Tiny},
    support::{self, Running},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use nearlake::clock::SystemClock;
use receiver::{Receiver, Request};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};
use tokio_postgres::Client;

mod faults;
/// An endpoint that fails when told to.
mod receiver;

const PRIVATE: [&str; 2] = ["--webhook-allow-private", "on"];
/// Nothing waits long in a test.
const QUICK: &str = "backoff_min = '10ms', backoff_max = '40ms', timeout = '400ms'";

async fn node() -> (Running, Client) {
    let node = support::start_on("memory:", &PRIVATE).await;
    let client = node.client().await;
    client
        .batch_execute(
            "CREATE EXTENSION vector;
             CREATE TABLE items (id bigint PRIMARY KEY, name text, v vector(2));",
        )
        .await
        .unwrap();
    (node, client)
}

/// Creates a webhook; its secret.
async fn create(client: &Client, what: &str, receiver: &Receiver, options: &str) -> String {
    let text = format!("CREATE WEBHOOK {what} TO '{}' WITH ({options})", receiver.url());
    client.query_one(&text, &[]).await.unwrap().get(0)
}

async fn run(client: &Client, text: &str) {
    client.batch_execute(text).await.unwrap();
}

async fn code(client: &Client, text: &str) -> String {
    let error = client.batch_execute(text).await.unwrap_err();
    error.code().unwrap().code().to_owned()
}

async fn text(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Waits until a query gives a text.
async fn until(client: &Client, query: &str, wanted: &str) {
    let clock = SystemClock::shared();
    let mut found = String::new();
    for _ in 0..3000 {
        found = text(client, query).await;
        if found == wanted {
            return;
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
    panic!("{query} gives {found}, not {wanted}");
}

/// What a request is signed with, by a secret's text.
fn signature(request: &Request, secret: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let (id, time) = (&request.headers["webhook-id"], &request.headers["webhook-timestamp"]);
    mac.update(format!("{id}.{time}.{}", request.body).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// A payload without what differs from run to run.
fn told(event: &Value) -> Value {
    let mut event = event.clone();
    for volatile in ["id", "commit", "time", "version", "database", "webhook"] {
        event.as_object_mut().unwrap().remove(volatile).unwrap();
    }
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_arrives_signed_and_in_order() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    run(&client, "INSERT INTO items VALUES (1, 'before', NULL)").await;
    let what = "w ON items WHEN (insert, update, delete, truncate)";
    let secret = create(&client, what, &receiver, QUICK).await;

    run(&client, "INSERT INTO items VALUES (2, 'b', '[1,0.5]'), (3, NULL, NULL)").await;
    run(&client, "UPDATE items SET name = 'c' WHERE id = 2").await;
    run(&client, "UPDATE items SET id = 4 WHERE id = 3").await;
    run(&client, "DELETE FROM items WHERE id IN (1, 4)").await;
    run(&client, "BEGIN; INSERT INTO items VALUES (9, 'no', NULL); ROLLBACK").await;
    run(
        &client,
        "BEGIN; INSERT INTO items VALUES (5, 'e', NULL), (6, 'f', NULL); DELETE FROM items WHERE id = 5;
         UPDATE items SET name = 'g'; UPDATE items SET name = 'h' WHERE id = 2; COMMIT",
    )
    .await;
    run(
        &client,
        "INSERT INTO items VALUES (2, 'i', NULL), (7, 'j', NULL)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    .await;
    run(&client, "TRUNCATE items").await;

    let events = receiver.wait_until("a truncation", |e| types(e).contains(&"truncate")).await;
    let table = json!({ "schema": "public", "name": "items" });
    let wanted = [
        json!({ "type": "insert", "table": table, "count": 2, "rows": [
            { "new": { "id": 2, "name": "b", "v": [1, 0.5] } },
            { "new": { "id": 3, "name": null, "v": null } } ] }),
        json!({ "type": "update", "table": table, "count": 1, "rows": [
            { "old": { "id": 2 }, "new": { "id": 2, "name": "c", "v": [1, 0.5] } } ] }),
        json!({ "type": "update", "table": table, "count": 1, "rows": [
            { "old": { "id": 3 }, "new": { "id": 4, "name": null, "v": null } } ] }),
        json!({ "type": "delete", "table": table, "count": 2, "rows": [
            { "old": { "id": 1 } }, { "old": { "id": 4 } } ] }),
        json!({ "type": "insert", "table": table, "count": 1, "rows": [
            { "new": { "id": 6, "name": "g", "v": null } } ] }),
        json!({ "type": "update", "table": table, "count": 1, "rows": [
            { "old": { "id": 2 }, "new": { "id": 2, "name": "h", "v": [1, 0.5] } } ] }),
        json!({ "type": "insert", "table": table, "count": 1, "rows": [
            { "new": { "id": 7, "name": "j", "v": null } } ] }),
        json!({ "type": "update", "table": table, "count": 1, "rows": [
            { "old": { "id": 2 }, "new": { "id": 2, "name": "i", "v": [1, 0.5] } } ] }),
        json!({ "type": "truncate", "table": table }),
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), wanted);
    let commits: Vec<u64> = events.iter().map(|e| e["commit"].as_u64().unwrap()).collect();
    assert!(commits.is_sorted(), "{commits:?}");
    assert_eq!(events[0]["database"], "postgres");
    for request in receiver.requests() {
        assert_eq!(request.headers["webhook-signature"], signature(&request, &secret));
        assert_eq!(request.headers["content-type"], "application/json");
    }
    assert_eq!(receiver.counts().1, 1, "one request at a time");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_chooses_rows() {
    let (node, client) = node().await;
    let (near, dear) = (Receiver::start().await, Receiver::start().await);
    run(&client, "INSERT INTO items VALUES (1, 'one', '[1,0]')").await;
    create(&client, "near ON items WHEN (insert) WHERE v <-> '[1,1]' < 0.5", &near, QUICK).await;
    let what = "dear ON items WHEN (update, delete) WHERE length(name) > 3";
    create(&client, what, &dear, &format!("{QUICK}, old_rows = 'all', rows = 'keys'")).await;

    run(
        &client,
        "INSERT INTO items SELECT i, 'n' || i, ARRAY[i / 1000.0, 1]::vector
         FROM generate_series(2, 10000) AS g(i)",
    )
    .await;
    run(&client, "UPDATE items SET name = 'long one' WHERE id = 1").await;
    run(&client, "DELETE FROM items WHERE id IN (1, 2)").await;

    let events = near.wait_until("all that are near", |events| {
        events.iter().map(|event| event["count"].as_u64().unwrap()).sum::<u64>() >= 999
    });
    let events = events.await;
    let rows = events.iter().flat_map(|event| event["rows"].as_array().unwrap());
    let ids: Vec<u64> = rows.map(|row| row["new"]["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (501..1500).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["count"].as_u64().unwrap() <= 100));
    let events = dear.wait_for(2).await;
    assert_eq!(
        events.iter().map(|event| event["rows"].clone()).collect::<Vec<_>>(),
        [
            json!([{ "old": { "id": 1, "name": "one", "v": [1, 0] }, "new": { "id": 1 } }]),
            json!([{ "old": { "id": 1, "name": "long one", "v": [1, 0] } }]),
        ]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_is_checked_when_it_is_made_and_kept_safe() {
    let (node, client) = node().await;
    let url = "TO 'http://127.0.0.1:1/'";
    for (condition, wanted) in [
        ("nothing = 1", "42703"),
        ("name", "42804"),
        ("id + 1", "42804"),
        ("name = now()::text", "42P17"),
        ("random() < 0.5", "42P17"),
        ("id IN (SELECT 1)", "0A000"),
        ("count(*) > 1", "42803"),
    ] {
        let text = format!("CREATE WEBHOOK w ON items WHEN (insert) WHERE {condition} {url}");
        assert_eq!(code(&client, &text).await, wanted, "{condition}");
    }
    let whole = format!("CREATE WEBHOOK w ON DATABASE WHEN (insert) WHERE id = 1 {url}");
    assert_eq!(code(&client, &whole).await, "0A000");

    let receiver = Receiver::start().await;
    create(&client, "w ON items WHEN (insert) WHERE 10 / id > 1", &receiver, QUICK).await;
    for text in ["ALTER TABLE items RENAME id TO k", "ALTER TABLE items ALTER id TYPE text"] {
        assert_eq!(code(&client, text).await, "0A000", "{text}");
    }
    assert_eq!(code(&client, "ALTER TABLE items DROP COLUMN id").await, "2BP01");
    run(&client, "INSERT INTO items VALUES (0, 'zero', NULL), (1, 'one', NULL)").await;
    run(&client, "INSERT INTO items VALUES (2, 'two', NULL)").await;

    let events = receiver.wait_for(2).await;
    assert_eq!(types(&events), ["gap", "insert"]);
    assert_eq!(events[0]["reason"], "condition");
    assert_eq!(events[0]["lost"], json!({ "rows": 2 }));
    run(&client, "ALTER TABLE items DROP COLUMN id CASCADE").await;
    assert_eq!(text(&client, "SELECT count(*)::text FROM nearlake_webhooks").await, "0");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_tells_of_all_its_tables_and_names() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    create(&client, "w ON DATABASE WHEN (insert, ddl, index_built)", &receiver, QUICK).await;

    run(&client, "CREATE TABLE other (id int, v vector(2))").await;
    run(&client, "CREATE TEMP TABLE own (id int); INSERT INTO own VALUES (1)").await;
    run(&client, "INSERT INTO other SELECT i, '[1,2]' FROM generate_series(1, 200) AS g(i)").await;
    run(&client, "CREATE INDEX other_v ON other USING hnsw (v vector_l2_ops)").await;
    run(&client, "ALTER TABLE other ADD COLUMN more text").await;
    run(&client, "DROP TABLE other").await;

    let events = receiver.wait_until("the drop", |events| {
        events.last().is_some_and(|event| event["changes"].to_string().contains("drop"))
    });
    let events = events.await;
    let wanted = ["ddl", "insert", "insert", "ddl", "index_built", "ddl", "ddl"];
    assert_eq!(types(&events), wanted, "{events:?}");
    let created = json!([{ "object": "table", "action": "create", "name": "public.other" }]);
    assert_eq!(events[0]["changes"], created);
    assert_eq!(events[4]["index"], "other_v");
    assert_eq!(events[6]["changes"][1]["object"], "table", "{:?}", events[6]);
    node.stop().await;
}

/// A script of `tests/clients`.
fn script(name: &str) -> Command {
    let mut command = Command::new(crate::clients::python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name));
    command
}

/// What a script says that ends well.
fn said_by(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_secrets_live_while_one_is_replaced() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    let old = create(&client, "w ON items WHEN (insert)", &receiver, QUICK).await;
    run(&client, "INSERT INTO items VALUES (1)").await;
    receiver.wait_for(1).await;

    let new: String = client.query_one("ALTER WEBHOOK w ROTATE SECRET", &[]).await.unwrap().get(0);
    run(&client, "INSERT INTO items VALUES (2)").await;
    receiver.wait_for(2).await;
    run(&client, "ALTER WEBHOOK w SET (secret_overlap = '0')").await;
    let newest: String =
        client.query_one("ALTER WEBHOOK w ROTATE SECRET", &[]).await.unwrap().get(0);
    run(&client, "INSERT INTO items VALUES (3)").await;
    receiver.wait_for(3).await;

    let requests = receiver.requests();
    let signed = |at: usize| requests[at].headers["webhook-signature"].clone();
    let by = |at: usize, secret: &str| signature(&requests[at], secret);
    assert_eq!(signed(0), by(0, &old));
    assert_eq!(signed(1), format!("{} {}", by(1, &new), by(1, &old)));
    assert_eq!(signed(2), by(2, &newest));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_rights_and_transactions_are_as_in_other_ddl() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    let create_w = format!("CREATE WEBHOOK w ON items WHEN (insert) TO '{}'", receiver.url());
    run(&client, &format!("BEGIN; {create_w}; ROLLBACK; INSERT INTO items VALUES (1)")).await;
    run(&client, &create_w).await;
    assert_eq!(code(&client, &create_w).await, "42710");
    run(&client, &create_w.replace("WEBHOOK w", "WEBHOOK IF NOT EXISTS w")).await;
    for (statement, wanted) in [
        ("DROP WEBHOOK nothing", "42704"),
        ("ALTER WEBHOOK nothing ENABLE", "42704"),
        ("CREATE WEBHOOK x ON nothing WHEN (insert) TO 'http://127.0.0.1/'", "42P01"),
        ("CREATE WEBHOOK x ON items WHEN (inserts) TO 'http://127.0.0.1/'", "22023"),
        ("CREATE WEBHOOK x ON items WHEN () TO 'http://127.0.0.1/'", "42601"),
        ("CREATE WEBHOOK x ON items WHEN (insert) TO 'nothing'", "22023"),
        ("CREATE WEBHOOK x ON items WHEN (insert) TO 'http://8.8.8.8/'", "42501"),
        ("ALTER WEBHOOK w SET (timeot = '1s')", "22023"),
        ("ALTER WEBHOOK w SET (timeout = '1d')", "22023"),
        ("ALTER WEBHOOK w RESET (timeot)", "22023"),
        ("BEGIN; ALTER WEBHOOK w TEST", "25001"),
        (
            "ROLLBACK; CREATE WEBHOOK x ON items WHEN (insert) TO 'https://a.example/' WITH (secret = 'x')",
            "22023",
        ),
    ] {
        assert_eq!(code(&client, statement).await, wanted, "{statement}");
    }
    run(&client, "CREATE ROLE guest LOGIN; SET ROLE guest").await;
    for statement in
        [&create_w.replace("WEBHOOK w", "WEBHOOK x"), "DROP WEBHOOK w", "ALTER WEBHOOK w TEST"]
    {
        assert_eq!(code(&client, statement).await, "42501", "{statement}");
    }
    run(&client, "RESET ROLE").await;

    run(&client, "ALTER WEBHOOK w RENAME TO v; ALTER WEBHOOK v DISABLE").await;
    run(&client, "INSERT INTO items VALUES (2)").await;
    run(&client, "ALTER WEBHOOK v ENABLE; ALTER WEBHOOK v WHEN (delete) WHERE id = 2").await;
    run(&client, "INSERT INTO items VALUES (3); DELETE FROM items").await;
    // A test is told at once, a change when the log has been looked at.
    receiver.wait_for(1).await;
    run(&client, "ALTER WEBHOOK v TEST").await;
    let events = receiver.wait_for(2).await;
    assert_eq!(types(&events), ["delete", "test"]);
    assert_eq!(events[0]["rows"], json!([{ "old": { "id": 2 } }]));
    assert_eq!(events[0]["webhook"], "v");

    run(&client, "DROP TABLE items").await;
    assert_eq!(text(&client, "SELECT count(*)::text FROM nearlake_webhooks").await, "0");
    run(&client, "DROP WEBHOOK IF EXISTS v").await;
    let hidden = "SELECT count(*)::text FROM pg_class WHERE relname = 'outbox'";
    assert_eq!(text(&client, hidden).await, "0");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let node = support::start_on("memory:", &[]).await;
    let client = node.client().await;
    run(&client, "CREATE TABLE t (id int)").await;
    let create = |url: &str| format!("CREATE WEBHOOK w ON t WHEN (insert) TO '{url}'");
    for (url, wanted) in [
        ("http://example.com/", "22023"),
        ("https://127.0.0.1/", "42501"),
        ("https://169.254.169.254/latest/", "42501"),
        ("https://[::ffff:10.0.0.1]/", "42501"),
        ("https://2130706433/", "42501"),
    ] {
        assert_eq!(code(&client, &create(url)).await, wanted, "{url}");
    }

    // A name is looked up at every delivery.
    run(&client, &create("https://localhost:1/")).await;
    run(&client, "INSERT INTO t VALUES (1)").await;
    let refused = "SELECT (coalesce(last_error, '') LIKE '%private address%')::text
                   FROM nearlake_webhooks";
    until(&client, refused, "true").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_transactions_are_told_of_row_by_row() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    let options = format!("{QUICK}, rows = 'keys', rows_max = 10000");
    run(&client, "CREATE TABLE big (id bigint PRIMARY KEY, pad text)").await;
    create(&client, "w ON big WHEN (insert, update, delete)", &receiver, &options).await;

    // Beyond 64 MiB a transaction is written as segments before it commits.
    run(
        &client,
        "BEGIN; INSERT INTO big SELECT i, repeat('x', 4000) FROM generate_series(1, 20000) AS g(i);
         DELETE FROM big WHERE id % 1000 = 0; UPDATE big SET pad = 'y' WHERE id <= 3; COMMIT",
    )
    .await;
    run(&client, "UPDATE big SET pad = 'z' WHERE id > 19990").await;

    let count = |events: &[Value]| -> u64 {
        events.iter().map(|event| event["count"].as_u64().unwrap()).sum()
    };
    let events = receiver.wait_until("all rows", |events| count(events) >= 19_980 + 9).await;
    let of = |kind: &str| -> Vec<u64> {
        let events = events.iter().filter(|event| event["type"] == kind);
        let rows = events.flat_map(|event| event["rows"].as_array().unwrap());
        rows.map(|row| row["new"]["id"].as_u64().unwrap()).collect()
    };
    let mut inserted = of("insert");
    inserted.sort_unstable();
    assert_eq!(inserted, (1..=20_000).filter(|id| id % 1000 != 0).collect::<Vec<_>>());
    assert_eq!(of("update"), (19_991..20_000).collect::<Vec<_>>());
    node.stop().await;
}

/// Receivers of their own, in Python, with the library that most people use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standardwebhooks_verifies_what_arrives() {
    let node = support::start_on("memory:", &PRIVATE).await;
    let mut command = script("webhook_story.py");
    command
        .env("PGHOST", node.pg_addr().ip().to_string())
        .env("PGPORT", node.pg_addr().port().to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "postgres")
        .env("NEARLAKE_HTTP", format!("http://{}", node.http_addr()));
    let said = tokio::task::spawn_blocking(move || said_by(command)).await.unwrap();
    assert!(said.trim_end().ends_with("ok"), "{said}");
    node.stop().await;
}

/// A vector that comes later is an update of its row; another model in a column's place is nobody's
/// change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_that_a_worker_adds_are_told_as_updates() {
    let (folder, venv) = (tempfile::tempdir().unwrap(), embed::venv());
    let flags = [&PRIVATE[..], &["--onnxruntime", venv.to_str().unwrap()]].concat();
    let node = support::start_on("memory:", &flags).await;
    let (client, receiver) = (node.client().await, Receiver::start().await);
    for (name, dims) in [("m", 2), ("n", 2), ("wide", 3)] {
        let tiny = Tiny::new(60, dims);
        run(&client, &embed::tiny_model(folder.path(), name, &tiny, "")).await;
    }
    run(
        &client,
        "CREATE TABLE items (id bigint PRIMARY KEY, b text, v vector(2) GENERATED ALWAYS AS (embed(b, 'm')) STORED)
           WITH (embedding = deferred)",
    )
    .await;
    create(&client, "w ON items WHEN (insert, update, delete, truncate)", &receiver, QUICK).await;
    create(&client, "reads ON items WHEN (insert) WHERE v <-> '[1,1]' < 0", &receiver, QUICK).await;

    run(&client, "INSERT INTO items VALUES (1, 'cat'), (2, 'dog')").await;
    until(&client, "SELECT count(v)::text FROM items", "2").await;
    assert_eq!(
        code(&client, "ALTER TABLE items ALTER COLUMN v SET EXPRESSION AS (embed(b, 'wide'))")
            .await,
        "0A000"
    );
    run(&client, "ALTER TABLE items ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))").await;
    let waiting = "SELECT count(*)::text FROM nearlake_stat_embedding WHERE phase = 'replacing'";
    until(&client, waiting, "0").await;
    run(&client, "TRUNCATE items").await;

    let events = receiver.wait_until("a truncation", |e| types(e).contains(&"truncate")).await;
    let ids = |kind: &str| -> BTreeSet<u64> {
        let events = events.iter().filter(|event| event["type"] == kind);
        let rows = events.flat_map(|event| event["rows"].as_array().unwrap());
        rows.map(|row| row["new"]["id"].as_u64().unwrap()).collect()
    };
    let mut kinds = types(&events);
    kinds.dedup();
    assert_eq!(kinds, ["insert", "update", "truncate"]);
    assert_eq!((ids("insert"), ids("update")), ([1, 2].into(), [1, 2].into()));
    node.stop().await;
}
