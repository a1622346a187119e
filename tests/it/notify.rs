//! LISTEN and NOTIFY: who is told what, when, and by whom.

use crate::support::{self, Running};
use futures::{StreamExt as _, stream};
use nearlake::clock::SystemClock;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification, error::SqlState};

/// A client, and what it is told.
async fn listener(node: &Running) -> (Client, UnboundedReceiver<Notification>) {
    let config =
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", node.pg_addr().port());
    let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    let (tell, told) = unbounded_channel();
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = tell.send(notification);
            }
        }
    });
    (client, told)
}

/// What a client was told so far; that nothing comes is known once it was answered.
async fn told(client: &Client, from: &mut UnboundedReceiver<Notification>) -> Vec<String> {
    client.batch_execute("").await.unwrap();
    let mut all = Vec::new();
    while let Ok(notification) = from.try_recv() {
        all.push(format!("{} {}", notification.channel(), notification.payload()));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_are_told_what_committed_and_nothing_else() {
    let node = support::start().await;
    let (a, mut to_a) = listener(&node).await;
    let (b, mut to_b) = listener(&node).await;
    a.batch_execute("LISTEN news; LISTEN \"Other News\"").await.unwrap();
    let channels = "SELECT string_agg(c, ',' ORDER BY c) FROM pg_listening_channels() c";
    let listened: String = a.query_one(channels, &[]).await.unwrap().get(0);
    assert_eq!(listened, "Other News,news");

    b.batch_execute("NOTIFY news, 'one'; NOTIFY news, 'one'; NOTIFY nobody, 'x'").await.unwrap();
    b.query("SELECT pg_notify('Other News', $1)", &[&"two"]).await.unwrap();
    // It comes by itself: nothing is asked.
    let first = to_a.recv().await.unwrap();
    assert_eq!((first.channel(), first.payload()), ("news", "one"));
    let pid: i32 = b.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    assert_eq!(first.process_id(), pid);
    assert_eq!(told(&a, &mut to_a).await, ["Other News two"]);

    b.batch_execute("BEGIN; NOTIFY news, 'undone'; ROLLBACK").await.unwrap();
    b.batch_execute("NOTIFY news, 'failed'; SELECT 1 / 0").await.unwrap_err();
    b.batch_execute(
        "BEGIN; NOTIFY news, 'kept'; SAVEPOINT s; NOTIFY news, 'lost'; LISTEN news; ROLLBACK TO s;
         NOTIFY news, 'kept'; NOTIFY news, 'last'",
    )
    .await
    .unwrap();
    assert!(told(&a, &mut to_a).await.is_empty());
    // Within a block a listener is told nothing.
    a.batch_execute("BEGIN").await.unwrap();
    b.batch_execute("COMMIT").await.unwrap();
    assert!(told(&a, &mut to_a).await.is_empty());
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(told(&a, &mut to_a).await, ["news kept", "news last"]);
    assert!(told(&b, &mut to_b).await.is_empty(), "its LISTEN was taken back");

    // What came meanwhile is forgotten with the channel.
    a.batch_execute("BEGIN").await.unwrap();
    b.batch_execute("NOTIFY news, 'too late'").await.unwrap();
    a.batch_execute("UNLISTEN news; COMMIT; LISTEN news").await.unwrap();
    assert!(told(&a, &mut to_a).await.is_empty());

    // Oneself, once listening; and no more afterwards.
    b.batch_execute("BEGIN; NOTIFY mine, 'own'; LISTEN mine; COMMIT").await.unwrap();
    assert_eq!(told(&b, &mut to_b).await, ["mine own"]);
    b.batch_execute("UNLISTEN mine; NOTIFY mine, 'gone'").await.unwrap();
    b.batch_execute("LISTEN news; DISCARD ALL; NOTIFY news, 'to one'").await.unwrap_err();
    b.batch_execute("LISTEN news").await.unwrap();
    b.batch_execute("DISCARD ALL").await.unwrap();
    b.batch_execute("NOTIFY news, 'to one'").await.unwrap();
    assert!(told(&b, &mut to_b).await.is_empty());
    assert_eq!(told(&a, &mut to_a).await, ["news to one"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_is_not_told_without_end() {
    let node = support::start().await;
    let (a, mut to_a) = listener(&node).await;
    let (b, _) = listener(&node).await;
    a.batch_execute("LISTEN news").await.unwrap();
    a.batch_execute("BEGIN").await.unwrap();
    let many =
        "SELECT count(pg_notify('news', lpad(i::text, 7000, '0'))) FROM generate_series(1, 9000) i";
    b.batch_execute(many).await.unwrap();
    let usage = "SELECT pg_notification_queue_usage()";
    assert!(b.query_one(usage, &[]).await.unwrap().get::<_, f64>(0) > 0.9);
    let mut refused = None;
    for n in 0..2000 {
        let text = format!("NOTIFY news, '{n:07000}'");
        refused = b.batch_execute(&text).await.err();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), Some(&SqlState::PROGRAM_LIMIT_EXCEEDED));
    // Nothing that was accepted is lost.
    a.batch_execute("COMMIT").await.unwrap();
    assert!(told(&a, &mut to_a).await.len() > 9000);
    b.batch_execute("NOTIFY news, 'again'").await.unwrap();
    assert_eq!(told(&a, &mut to_a).await, ["news again"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_lets_nobody_stay_silent_for_longer() {
    let node = support::start().await;
    let (a, mut to_a) = listener(&node).await;
    let (b, _) = listener(&node).await;
    a.batch_execute("SET idle_session_timeout = '1s'; LISTEN news").await.unwrap();
    let (clock, mut tries) = (SystemClock::shared(), 0);
    while !a.is_closed() {
        b.batch_execute("NOTIFY news, 'x'").await.unwrap();
        clock.sleep(Duration::from_millis(100)).await;
        tries += 1;
        assert!(tries < 200, "it is still there");
    }
    assert!(to_a.recv().await.is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_is_told_everything_in_order_while_it_works() {
    let node = support::start().await;
    let mut listeners = Vec::new();
    for _ in 0..4 {
        let (client, told) = listener(&node).await;
        client.batch_execute("LISTEN many").await.unwrap();
        listeners.push((Arc::new(client), told));
    }
    let (b, _) = listener(&node).await;
    let busy: Vec<_> = listeners
        .iter()
        .map(|(client, _)| {
            let client = Arc::clone(client);
            tokio::spawn(async move {
                for _ in 0..200 {
                    client
                        .query("SELECT count(*) FROM generate_series(1, 100)", &[])
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for n in 0..500 {
        b.batch_execute(&format!("NOTIFY many, '{n}'")).await.unwrap();
    }
    for task in busy {
        task.await.unwrap();
    }
    for (_, told) in &mut listeners {
        for n in 0..500 {
            let next = tokio::time::timeout(Duration::from_secs(30), told.recv()).await;
            assert_eq!(next.unwrap().unwrap().payload(), n.to_string());
        }
    }
    // Whoever goes away is waited for by nobody.
    drop(listeners);
    b.batch_execute("NOTIFY many, 'nobody'").await.unwrap();
    let usage = "SELECT pg_notification_queue_usage()";
    let (clock, mut tries) = (SystemClock::shared(), 0);
    while b.query_one(usage, &[]).await.unwrap().get::<_, f64>(0) > 0.0 {
        tries += 1;
        assert!(tries < 500, "what nobody takes is still there");
        clock.sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}
