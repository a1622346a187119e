//! What goes wrong on the way: endpoints that fail, kills, restarts, an outbox that is full.

use super::{
    PRIVATE, QUICK, code, create, node,
    receiver::{Deed, Receiver, Request},
    run, said_by, script, text, types, until,
};
use crate::support::{
    fakegcs::FakeGcs,
    process::{Process, connect},
};
use nearlake::clock::SystemClock;
use serde_json::{Value, json};
use std::{collections::BTreeSet, io::Write as _, time::Duration};
use tokio_postgres::Client;

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
