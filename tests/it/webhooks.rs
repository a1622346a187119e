//! Webhooks: what is committed arrives, signed, in order, whatever happens on the way.

use crate::{
    embed::{self, tiny::Tiny},
    support::{
        self, Running,
        fakegcs::FakeGcs,
        process::{Process, connect},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use nearlake::clock::SystemClock;
use receiver::{Deed, Receiver, Request};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{collections::BTreeSet, io::Write as _, path::Path, process::Command, time::Duration};
use tokio_postgres::Client;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_endpoint_lose_nothing_and_keep_the_order() {
    let (node, client) = node().await;
    let receiver = Receiver::unreliable(7).await;
    create(
        &client,
        "w ON items WHEN (insert)",
        &receiver,
        &format!("{QUICK}, attempts_max = 1000, rows_max = 10"),
    )
    .await;

    for first in (0..3000).step_by(15) {
        let values = format!("generate_series({first}, {first} + 14) AS g(i)");
        run(&client, &format!("INSERT INTO items SELECT i, 'n', '[1,2]' FROM {values}")).await;
    }

    let events = receiver.wait_for(400).await;
    let rows = events.iter().flat_map(|event| event["rows"].as_array().unwrap());
    let ids: Vec<u64> = rows.map(|row| row["new"]["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..3000).collect::<Vec<_>>());
    assert_eq!(events.len(), 400);
    let (requests, busiest) = receiver.counts();
    assert!(requests > 400, "it did fail: {requests} requests");
    assert!(receiver.requests().len() > 400, "some came twice");
    assert_eq!(busiest, 1);
    node.stop().await;
}

/// 100,000 rows while the endpoint fails and the program is killed again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_between_commit_and_delivery_lose_nothing() {
    const ROWS: u64 = 100_000;
    const KILLS: u64 = 8;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let flags = [&PRIVATE[..], &["--checkpoint-interval", "1s"]].concat();
    let receiver = Receiver::unreliable(11).await;
    let clock = SystemClock::shared();
    let mut secret = String::new();
    for round in 0..=KILLS {
        let (process, at) = Process::start(data, &flags).await;
        let client = connect(at).await.unwrap();
        if round == 0 {
            run(&client, "CREATE TABLE t (id bigint PRIMARY KEY, n bigint)").await;
            let options = format!("{QUICK}, attempts_max = 1000, rows_max = 200");
            secret = create(&client, "w ON t WHEN (insert)", &receiver, &options).await;
        }
        let next = "SELECT coalesce(max(id) + 1, 0)::text FROM t";
        let mut next: u64 = text(&client, next).await.parse().unwrap();
        while next < ROWS * (round + 1) / (KILLS + 1) {
            // Commits of 1 to 500 rows.
            let rows = [1, 7, 50, 500][usize::try_from(next % 4).unwrap()].min(ROWS - next);
            let values = format!("generate_series({next}, {next} + {rows} - 1) AS g(i)");
            run(&client, &format!("INSERT INTO t SELECT i, i FROM {values}")).await;
            next += rows;
        }
        if round == KILLS {
            until(&client, "SELECT waiting::text FROM nearlake_webhooks", "0").await;
            check_all(&client, &receiver).await;
            check_signatures(receiver.requests(), secret).await;
            process.kill().await;
            break;
        }
        // One more commit, of which nobody knows; then a start that is killed as well.
        let last = client.batch_execute("INSERT INTO t SELECT max(id) + 1, 0 FROM t");
        tokio::select! {
            _ = last => {}
            () = clock.sleep(Duration::from_millis(round * 2)) => {}
        }
        process.kill().await;
        let starting = Process::spawn(data, &flags);
        clock.sleep(Duration::from_millis(round * 40)).await;
        starting.kill().await;
    }
}

/// Every row was told of once (but for repeated deliveries), in the order of commits.
async fn check_all(client: &Client, receiver: &Receiver) {
    let events = receiver.events();
    let mut ids = BTreeSet::new();
    for row in events.iter().flat_map(|event| event["rows"].as_array().unwrap()) {
        assert!(ids.insert(row["new"]["id"].as_u64().unwrap()), "told twice: {row}");
    }
    let count = text(client, "SELECT count(*)::text FROM t").await;
    assert_eq!(ids.len().to_string(), count);
    assert_eq!(ids.last(), Some(&(ids.len() as u64 - 1)), "no row between is missing");
    assert!(ids.len() >= 100_000);
    let commits: Vec<u64> = events.iter().map(|e| e["commit"].as_u64().unwrap()).collect();
    assert!(commits.is_sorted(), "events come in the order of commits");
    assert_eq!(text(client, "SELECT lost::text FROM nearlake_webhooks").await, "0");
    assert!(receiver.requests().len() > events.len(), "some events came twice");
}

/// Each request is signed as this secret says, by the library that receivers use.
async fn check_signatures(requests: Vec<Request>, secret: String) {
    let lines: String = requests
        .iter()
        .map(|Request { headers, body }| {
            let header = |name| &headers[name];
            let [id, time] = [header("webhook-id"), header("webhook-timestamp")];
            format!("{}\n", json!([id, time, header("webhook-signature"), body]))
        })
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    let mut command = script("webhook_signatures.py");
    command.arg(file.path()).env("SECRET", secret);
    let said = tokio::task::spawn_blocking(move || said_by(command)).await.unwrap();
    assert_eq!(said.trim_end(), format!("{} ok", requests.len()));
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
async fn what_waits_survives_a_restart_on_an_object_store() {
    let gcs = FakeGcs::start().await;
    let (data, endpoint) = ("gs://bucket/prefix", gcs.url.clone());
    let cache = tempfile::tempdir().unwrap();
    let flags = [
        &PRIVATE[..],
        &["--store-endpoint", &endpoint, "--cache-dir", cache.path().to_str().unwrap()],
    ]
    .concat();
    let receiver = Receiver::start().await;
    receiver.always(Deed::Refuse(503));
    let (process, at) = Process::start(data, &flags).await;
    let client = connect(at).await.unwrap();
    run(&client, "CREATE TABLE t (id bigint PRIMARY KEY)").await;
    let options = format!("{QUICK}, attempts_max = 1000");
    create(&client, "w ON t WHEN (insert, delete)", &receiver, &options).await;
    for id in 0..20 {
        run(&client, &format!("INSERT INTO t VALUES ({id})")).await;
    }
    process.kill().await;

    let (process, at) = Process::start(data, &flags).await;
    let client = connect(at).await.unwrap();
    run(&client, "DELETE FROM t WHERE id < 3").await;
    run(&client, "VACUUM").await;
    process.kill().await;
    let (process, _at) = Process::start(data, &flags).await;
    receiver.always(Deed::Take);

    let events = receiver.wait_for(21).await;
    let last = &events[20];
    assert_eq!(types(&events[..20]), ["insert"; 20]);
    assert_eq!(last["rows"], json!([0, 1, 2].map(|id| json!({ "old": { "id": id } }))));
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_is_paused_and_comes_back() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    receiver.always(Deed::Refuse(302));
    let options = format!("{QUICK}, attempts_max = 2, pause_after = 2, probe_every = '100ms'");
    create(&client, "w ON items WHEN (insert)", &receiver, &options).await;
    for id in 0..5 {
        run(&client, &format!("INSERT INTO items VALUES ({id})")).await;
    }

    until(&client, "SELECT status FROM nearlake_webhooks", "paused").await;
    let reason = text(&client, "SELECT reason FROM nearlake_webhooks").await;
    assert!(reason.contains("302") && reason.contains("redirects are not followed"), "{reason}");
    assert_eq!(
        text(&client, "SELECT dead::text || ' ' || waiting::text FROM nearlake_webhooks").await,
        "2 3"
    );
    let dead = "SELECT string_agg(attempts::text, ',') FROM nearlake_webhook_deliveries
                WHERE state = 'dead'";
    assert_eq!(text(&client, dead).await, "2,2");

    receiver.always(Deed::Take);
    until(&client, "SELECT status FROM nearlake_webhooks", "enabled").await;
    let events = receiver.wait_for(3).await;
    let id = |event: &Value| event["rows"][0]["new"]["id"].as_u64().unwrap();
    assert_eq!(events.iter().map(id).collect::<Vec<_>>(), [2, 3, 4]);

    let first = "SELECT event_id FROM nearlake_webhook_deliveries WHERE state = 'dead' LIMIT 1";
    let event = text(&client, first).await;
    run(&client, &format!("ALTER WEBHOOK w REPLAY '{event}'")).await;
    let events = receiver.wait_for(4).await;
    assert_eq!((id(&events[3]), events[3]["id"].as_str().unwrap()), (0, event.as_str()));
    run(&client, "ALTER WEBHOOK w FORGET ALL").await;
    until(&client, "SELECT dead::text FROM nearlake_webhooks", "0").await;
    let again = format!("ALTER WEBHOOK w REPLAY '{event}'");
    assert_eq!(code(&client, &again).await, "42704");

    receiver.always(Deed::Refuse(410));
    run(&client, "INSERT INTO items VALUES (6)").await;
    until(&client, "SELECT status FROM nearlake_webhooks", "paused").await;
    receiver.always(Deed::Take);
    run(&client, "ALTER WEBHOOK w ENABLE").await;
    receiver.wait_for(5).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_says_what_is_lost_and_never_stops_writers() {
    let (node, client) = node().await;
    let receiver = Receiver::start().await;
    receiver.always(Deed::Hang);
    let options = format!("{QUICK}, attempts_max = 1000, outbox_events_max = 10");
    create(&client, "w ON items WHEN (insert)", &receiver, &options).await;
    for id in 0..40 {
        run(&client, &format!("INSERT INTO items VALUES ({id})")).await;
    }
    until(&client, "SELECT lost::text FROM nearlake_webhooks", "30").await;
    run(&client, "CHECKPOINT").await;

    receiver.always(Deed::Take);
    let events = receiver.wait_until("a gap", |events| types(events).contains(&"gap")).await;
    let gap = events.last().unwrap();
    assert_eq!(types(&events[..10]), ["insert"; 10]);
    assert_eq!(
        (gap["reason"].as_str(), gap["lost"]["events"].as_u64()),
        (Some("overflow"), Some(30))
    );
    let (first, last) = (&gap["lost"]["first_commit"], &gap["lost"]["last_commit"]);
    assert!(first.as_u64() > events[9]["commit"].as_u64() && last.as_u64() > first.as_u64());
    let dead = "SELECT type || ' ' || error FROM nearlake_webhook_deliveries WHERE state = 'dead'";
    assert_eq!(text(&client, dead).await, "gap the outbox was full");

    run(&client, "INSERT INTO items VALUES (100)").await;
    let events = receiver.wait_for(12).await;
    assert_eq!(events[11]["rows"][0]["new"]["id"], 100);
    node.stop().await;
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
