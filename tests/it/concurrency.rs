//! Two sessions at once: one holds something, the other waits for it and then finds what the
//! first one left. All answers are PostgreSQL's, unless a test says where they differ.

use crate::peer::{Peer, is_oracle};
use bytes::Bytes;
use futures::SinkExt;
use nearlake::clock::SystemClock;
use std::time::Duration;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// The rows of an answer, or the state of its error.
type Answer = Result<Vec<String>, String>;

fn refused(error: &Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |told| told.code().code().to_owned())
}

async fn ask(client: &Client, sql: &str) -> Answer {
    let messages = client.simple_query(sql).await.map_err(|error| refused(&error))?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|place| row.get(place).unwrap_or("NULL"));
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    Ok(rows.collect())
}

async fn done(client: &Client, sql: &str) {
    assert_eq!(ask(client, sql).await.map(drop), Ok(()), "{sql}");
}

fn rows(rows: &[&str]) -> Answer {
    Ok(rows.iter().map(|&row| row.to_owned()).collect())
}

fn error(state: &str) -> Answer {
    Err(state.to_owned())
}

/// What `work` gives when the other client says `then` a moment after it began.
async fn meanwhile<T>(work: impl Future<Output = T>, other: &Client, then: &str) -> T {
    let clock = SystemClock::shared();
    let both = async {
        let goes_on = async {
            // Long enough to be waiting by then; too short a time would only prove less.
            clock.sleep(Duration::from_millis(200)).await;
            done(other, then).await;
        };
        tokio::join!(work, goes_on).0
    };
    tokio::select! {
        given = both => given,
        () = clock.sleep(Duration::from_secs(60)) => panic!("it waits for ever, until {then}"),
    }
}

/// One session holds, another waits.
struct Meeting {
    /// What is there.
    before: &'static str,
    /// What the first session does in a transaction of its own.
    first: &'static str,
    /// What the second one asks meanwhile.
    second: &'static str,
    /// How the first one ends.
    end: &'static str,
    /// What the second one is told.
    answer: Answer,
    /// What is there in the end: the rows of `TABLE t ORDER BY 1, 2`.
    after: &'static [&'static str],
}

async fn check(name: &str, meetings: Vec<Meeting>) {
    let peer = Peer::start(name).await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    for meeting in meetings {
        let Meeting { before, first: holds, second: asks, end, answer, after } = meeting;
        done(&first, &format!("DROP TABLE IF EXISTS t; {before}")).await;
        done(&first, "BEGIN").await;
        done(&first, holds).await;
        let told = meanwhile(ask(&second, asks), &first, end).await;
        assert_eq!(told, answer, "{holds}; {asks}; {end}");
        let _ = ask(&second, "ROLLBACK").await;
        let left = ask(&first, "TABLE t ORDER BY 1, 2").await.unwrap_or_default();
        assert_eq!(left, after, "{holds}; {asks}; {end}");
    }
    drop((first, second));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_rows_obeys_the_table_that_it_waited_for() {
    let before = "CREATE TABLE t (x int, y int); INSERT INTO t VALUES (1, 1)";
    let empty = "CREATE TABLE t (x int, y int)";
    let meeting = |before, first, second, answer, after| Meeting {
        before,
        first,
        second,
        end: "COMMIT",
        answer,
        after,
    };
    check(
        "concurrency_ddl",
        vec![
            meeting(
                before,
                "ALTER TABLE t ADD UNIQUE (x)",
                "INSERT INTO t VALUES (1, 2)",
                error("23505"),
                &["1|1"],
            ),
            meeting(
                before,
                "ALTER TABLE t ALTER x SET NOT NULL",
                "UPDATE t SET x = NULL",
                error("23502"),
                &["1|1"],
            ),
            meeting(
                before,
                "ALTER TABLE t ADD CHECK (x < 5)",
                "WITH made AS (INSERT INTO t VALUES (7, 7) RETURNING x) SELECT x FROM made",
                error("23514"),
                &["1|1"],
            ),
            meeting(before, "DROP TABLE t", "INSERT INTO t VALUES (2, 2)", error("42P01"), &[]),
            meeting(before, "DROP TABLE t", "DELETE FROM t", error("42P01"), &[]),
            meeting(
                before,
                "DROP TABLE t; CREATE TABLE t (x int PRIMARY KEY, y text)",
                "INSERT INTO t VALUES (2, '5') RETURNING x",
                rows(&["2"]),
                &["2|5"],
            ),
            meeting(
                empty,
                "ALTER TABLE t ALTER y TYPE text USING y::text",
                "INSERT INTO t VALUES (2, 3)",
                rows(&[]),
                &["2|3"],
            ),
            meeting(
                before,
                "ALTER TABLE t ADD z int DEFAULT 9",
                "UPDATE t SET y = 5 RETURNING x",
                rows(&["1"]),
                &["1|5|9"],
            ),
            meeting(
                before,
                "ALTER TABLE t ADD UNIQUE (x)",
                "PREPARE put AS INSERT INTO t VALUES ($1, 4); EXECUTE put(1)",
                error("23505"),
                &["1|1"],
            ),
            meeting(
                before,
                "LOCK TABLE t IN ACCESS EXCLUSIVE MODE; UPDATE t SET y = y + 1",
                "UPDATE t SET y = y + 1 RETURNING y",
                rows(&["3"]),
                &["1|3"],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_sees_the_row_that_it_waited_for_as_it_is_now() {
    let before = "CREATE TABLE t (x int PRIMARY KEY, y int); INSERT INTO t VALUES (1, 1)";
    let merge = "MERGE INTO t USING (VALUES (1, 10)) s (k, n) ON x = k \
                 WHEN MATCHED AND y > 5 THEN DELETE \
                 WHEN MATCHED THEN UPDATE SET y = y + n \
                 WHEN NOT MATCHED THEN INSERT VALUES (k, n) RETURNING merge_action(), y";
    let meeting = |first, second, answer, after| Meeting {
        before,
        first,
        second,
        end: "COMMIT",
        answer,
        after,
    };
    check(
        "concurrency_merge",
        vec![
            meeting("UPDATE t SET y = 2", merge, rows(&["UPDATE|12"]), &["1|12"]),
            meeting("UPDATE t SET y = 6", merge, rows(&["DELETE|6"]), &[]),
            meeting("DELETE FROM t", merge, rows(&["INSERT|10"]), &["1|10"]),
            meeting(
                "INSERT INTO t VALUES (2, 2)",
                "MERGE INTO t USING (SELECT 2) s (k) ON x = k \
                 WHEN NOT MATCHED THEN INSERT VALUES (k, 0)",
                error("23505"),
                &["1|1", "2|2"],
            ),
            meeting(
                "UPDATE t SET y = 2",
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM t; \
                 MERGE INTO t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
                error("40001"),
                &["1|2"],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_copy_obey_the_table_that_it_waited_for() {
    let peer = Peer::start("concurrency_copy").await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    let copy = async |lines: &'static [u8]| {
        let begun = second.copy_in("COPY t FROM STDIN").await.map_err(|error| refused(&error))?;
        let mut rows = Box::pin(begun);
        rows.send(Bytes::from_static(lines)).await.map_err(|error| refused(&error))?;
        rows.as_mut().finish().await.map_err(|error| refused(&error))
    };

    done(&first, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)").await;
    done(&first, "BEGIN; ALTER TABLE t ADD UNIQUE (x)").await;
    let told = meanwhile(copy(b"2\n1\n"), &first, "COMMIT").await;
    assert_eq!(told, Err("23505".to_owned()));
    assert_eq!(ask(&first, "TABLE t").await, rows(&["1"]));

    done(&first, "BEGIN; ALTER TABLE t ADD y int DEFAULT 4").await;
    let told = meanwhile(copy(b"2\t3\n"), &first, "COMMIT").await;
    assert_eq!(told, Ok(1));
    assert_eq!(ask(&first, "TABLE t ORDER BY x").await, rows(&["1|4", "2|3"]));

    done(&first, "BEGIN; DROP TABLE t").await;
    let told = meanwhile(copy(b"2\t3\n"), &first, "COMMIT").await;
    assert_eq!(told, Err("42P01".to_owned()));

    drop((first, second));
    peer.stop().await;
}

/// PostgreSQL looks names up anew for every statement. A snapshot here has its names with it, so
/// that a table which changed since is one more thing that another was first at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_older_than_the_table_writes_nothing_into_it() {
    let peer = Peer::start("concurrency_snapshot").await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1";
    for (change, write, oracle, here) in [
        ("ALTER TABLE t ADD UNIQUE (x)", "INSERT INTO t VALUES (1)", "23505", "40001"),
        ("ALTER TABLE t ALTER x SET NOT NULL", "INSERT INTO t VALUES (NULL)", "23502", "40001"),
        ("DROP TABLE t", "INSERT INTO t VALUES (1)", "42P01", "42P01"),
    ] {
        done(&first, "DROP TABLE IF EXISTS t; CREATE TABLE t (x int)").await;
        done(&first, "INSERT INTO t VALUES (1)").await;
        done(&second, begin).await;
        done(&first, change).await;
        let state = if is_oracle() { oracle } else { here };
        assert_eq!(ask(&second, write).await, error(state), "{change}");
        done(&second, "ROLLBACK").await;
    }
    drop((first, second));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_waits_for_the_row_of_its_key_and_looks_again() {
    let before = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 10)";
    let upsert = "INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 100";
    let repeatable = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1";
    let meeting =
        |first, second, end, answer, after| Meeting { before, first, second, end, answer, after };
    check(
        "concurrency_keys",
        vec![
            meeting("UPDATE t SET n = n + 1", upsert, "COMMIT", rows(&[]), &["1|111"]),
            meeting("UPDATE t SET n = n + 1", upsert, "ROLLBACK", rows(&[]), &["1|110"]),
            meeting("DELETE FROM t", upsert, "COMMIT", rows(&[]), &["1|1"]),
            meeting("UPDATE t SET id = 2", upsert, "COMMIT", rows(&[]), &["1|1", "2|10"]),
            meeting(
                "DELETE FROM t; INSERT INTO t VALUES (1, 20)",
                upsert,
                "COMMIT",
                rows(&[]),
                &["1|120"],
            ),
            meeting(
                "DELETE FROM t",
                "INSERT INTO t VALUES (1, 1) ON CONFLICT DO NOTHING RETURNING n",
                "COMMIT",
                rows(&["1"]),
                &["1|1"],
            ),
            meeting(
                "UPDATE t SET n = 11",
                "INSERT INTO t VALUES (1, 1) ON CONFLICT DO NOTHING RETURNING n",
                "COMMIT",
                rows(&[]),
                &["1|11"],
            ),
            meeting("DELETE FROM t", "INSERT INTO t VALUES (1, 1)", "COMMIT", rows(&[]), &["1|1"]),
            meeting(
                "DELETE FROM t",
                "INSERT INTO t VALUES (1, 1)",
                "ROLLBACK",
                error("23505"),
                &["1|10"],
            ),
            meeting(
                "INSERT INTO t VALUES (2, 20)",
                "INSERT INTO t VALUES (3, 30), (2, 1)",
                "COMMIT",
                error("23505"),
                &["1|10", "2|20"],
            ),
            meeting(
                "DELETE FROM t; INSERT INTO t VALUES (3, 30)",
                "INSERT INTO t VALUES (1, 1), (3, 1), (4, 1) ON CONFLICT (id) DO NOTHING",
                "COMMIT",
                rows(&[]),
                &["1|1", "3|30", "4|1"],
            ),
            // Under REPEATABLE READ another was first.
            meeting(
                "UPDATE t SET n = n + 1",
                "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO t VALUES (1, 1) \
                 ON CONFLICT (id) DO UPDATE SET n = t.n + 100",
                "COMMIT",
                error("40001"),
                &["1|11"],
            ),
            meeting(
                "UPDATE t SET n = n + 1",
                "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO t VALUES (1, 1) \
                 ON CONFLICT DO NOTHING",
                "COMMIT",
                error("40001"),
                &["1|11"],
            ),
        ],
    )
    .await;

    let peer = Peer::start("concurrency_keys").await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    done(&first, before).await;

    // A row that was not there when the transaction began its snapshot.
    done(&second, repeatable).await;
    done(&first, "INSERT INTO t VALUES (2, 20)").await;
    let unseen = "INSERT INTO t VALUES (2, 1) ON CONFLICT DO NOTHING";
    assert_eq!(ask(&second, unseen).await, error("40001"));
    done(&second, "ROLLBACK").await;

    // Whoever waits for a row keeps no key of it from the one that it waits for.
    done(&first, "BEGIN; UPDATE t SET n = n + 1 WHERE id = 1").await;
    let again = format!("{upsert}; COMMIT");
    assert_eq!(meanwhile(ask(&second, upsert), &first, &again).await, rows(&[]));
    assert_eq!(ask(&first, "SELECT n FROM t WHERE id = 1").await, rows(&["211"]));

    // An update that takes the key of a row which is being deleted.
    done(&first, "BEGIN; DELETE FROM t WHERE id = 1").await;
    let taking = "UPDATE t SET id = 1 WHERE id = 2 RETURNING n";
    assert_eq!(meanwhile(ask(&second, taking), &first, "COMMIT").await, rows(&["20"]));

    drop((first, second));
    peer.stop().await;
}

/// What `work` gives, soon.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::select! {
        given = work => given,
        () = SystemClock::shared().sleep(Duration::from_secs(20)) => panic!("it waits too long"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_locked_for_reading_are_waited_for_skipped_or_refused() {
    let peer = Peer::start("concurrency_rows").await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    done(&first, "CREATE TABLE t (id int, n int)").await;
    done(&first, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)").await;
    let next = "SELECT id FROM t ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED";

    done(&first, "BEGIN").await;
    assert_eq!(ask(&first, next).await, rows(&["1", "2"]));
    assert_eq!(ask(&first, next).await, rows(&["1", "2"]), "own locks are not in the way");
    done(&second, "BEGIN").await;
    assert_eq!(soon(ask(&second, next)).await, rows(&["3", "4"]));
    let none = "SELECT id FROM t WHERE id < 3 FOR SHARE SKIP LOCKED";
    assert_eq!(soon(ask(&second, none)).await, rows(&[]));
    let now = "SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT";
    assert_eq!(soon(ask(&second, now)).await, error("55P03"));
    done(&first, "ROLLBACK").await;
    done(&second, "ROLLBACK").await;

    let share = "SELECT id FROM t WHERE id = 1 FOR SHARE";
    for client in [&first, &second] {
        done(client, "BEGIN").await;
        assert_eq!(soon(ask(client, share)).await, rows(&["1"]));
    }
    assert_eq!(soon(ask(&second, now)).await, error("55P03"));
    done(&second, "ROLLBACK").await;
    let changed = ask(&second, "UPDATE t SET n = n + 1 WHERE id = 1 RETURNING n");
    assert_eq!(meanwhile(changed, &first, "COMMIT").await, rows(&["2"]));

    drop((first, second));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advisory_locks_belong_to_sessions_and_are_counted() {
    let peer = Peer::start("concurrency_advisory").await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    let attempt = "SELECT pg_try_advisory_lock(1)";

    done(&first, "SELECT pg_advisory_lock(1)").await;
    done(&first, "BEGIN").await;
    soon(done(&first, "SELECT pg_advisory_xact_lock(1)")).await;
    assert_eq!(ask(&first, "SELECT pg_advisory_unlock(1)").await, rows(&["t"]));
    assert_eq!(ask(&first, "SELECT pg_advisory_unlock(1)").await, rows(&["f"]));
    assert_eq!(ask(&second, attempt).await, rows(&["f"]), "the transaction holds it");
    done(&first, "COMMIT").await;
    assert_eq!(ask(&second, attempt).await, rows(&["t"]));
    assert_eq!(ask(&second, attempt).await, rows(&["t"]));

    let unlock = "SELECT pg_advisory_unlock(1)";
    assert_eq!(ask(&second, unlock).await, rows(&["t"]));
    assert_eq!(ask(&first, attempt).await, rows(&["f"]), "it was taken twice");
    assert_eq!(ask(&second, unlock).await, rows(&["t"]));
    assert_eq!(ask(&first, attempt).await, rows(&["t"]));

    // A circle of a row and an advisory lock: one of both is told.
    done(&first, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await;
    let step = async |client: &Client, sql: &str| {
        let told = ask(client, sql).await;
        if told.is_err() {
            done(client, "ROLLBACK").await;
        }
        told
    };
    done(&first, "BEGIN; UPDATE t SET n = 2").await;
    done(&second, "SELECT pg_advisory_lock(7)").await;
    done(&second, "BEGIN; SELECT pg_advisory_xact_lock(8)").await;
    let (one, other) = soon(async {
        tokio::join!(step(&second, "UPDATE t SET n = 3"), async {
            SystemClock::shared().sleep(Duration::from_millis(200)).await;
            step(&first, "SELECT pg_advisory_xact_lock(8)").await
        })
    })
    .await;
    let told: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(told, ["40P01"]);

    drop((first, second));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_waits_can_be_cancelled() {
    let peer = Peer::start("concurrency_cancel").await;
    let (first, second) = (peer.connect().await, peer.connect().await);
    done(&first, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await;

    done(&second, "BEGIN; DECLARE c CURSOR FOR SELECT pg_sleep(60)").await;
    done(&second, "SET LOCAL statement_timeout = '200ms'").await;
    assert_eq!(soon(ask(&second, "FETCH c")).await, error("57014"));
    done(&second, "ROLLBACK").await;

    done(&first, "BEGIN; LOCK TABLE t").await;
    done(&second, "BEGIN; SET LOCAL statement_timeout = '200ms'").await;
    assert_eq!(soon(ask(&second, "LOCK TABLE t")).await, error("57014"));
    done(&second, "ROLLBACK").await;
    done(&second, "BEGIN").await;
    assert_eq!(soon(ask(&second, "LOCK TABLE t NOWAIT")).await, error("55P03"));
    done(&second, "ROLLBACK; BEGIN").await;
    let gone = meanwhile(ask(&second, "LOCK TABLE t"), &first, "DROP TABLE t; COMMIT").await;
    assert_eq!(gone, error("42P01"));

    drop((first, second));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_result_that_is_read_in_pieces_stops_between_them() {
    let peer = Peer::start("concurrency_pieces").await;
    let mut client = peer.connect().await;
    let clock = SystemClock::shared();
    done(&client, "SET statement_timeout = '3s'").await;
    let transaction = client.transaction().await.unwrap();
    let many = transaction.prepare("SELECT generate_series(1, 100000)").await.unwrap();
    let portal = transaction.bind(&many, &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 10).await.unwrap().len(), 10);

    clock.sleep(Duration::from_millis(2500)).await;
    let slept = transaction.simple_query("SELECT pg_sleep(1)").await;
    assert_eq!(slept.map(drop).map_err(|error| refused(&error)), Ok(()));
    assert_eq!(transaction.query_portal(&portal, 0).await.unwrap().len(), 99_990);

    drop(transaction);
    drop(client);
    peer.stop().await;
}
