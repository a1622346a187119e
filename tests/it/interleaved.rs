//! Sessions beside each other: what one does to names, keys and sequences while others are at it.

use crate::support;
use std::collections::HashSet;
use tokio_postgres::{Client, error::SqlState};

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

fn code(error: &tokio_postgres::Error) -> SqlState {
    error.code().cloned().unwrap_or_else(|| panic!("not the server's: {error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_transactions_that_create_do_not_hold_up_others() {
    let node = support::start().await;
    let (one, two) = (node.client().await, node.client().await);
    one.batch_execute("BEGIN; CREATE TABLE a (id serial PRIMARY KEY)").await.unwrap();
    two.batch_execute("SET lock_timeout = '5s'; CREATE TABLE b (id serial PRIMARY KEY)")
        .await
        .unwrap();
    one.batch_execute("COMMIT").await.unwrap();
    let oids = number(&two, "SELECT count(DISTINCT oid) FROM pg_class WHERE relname IN ('a', 'b')");
    assert_eq!(oids.await, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_a_definition_undoes_another() {
    let node = support::start().await;
    let (one, two) = (node.client().await, node.client().await);
    one.batch_execute("CREATE TABLE t (a int); CREATE ROLE r; CREATE SCHEMA s").await.unwrap();

    // A table is locked by whatever rewrites its definition.
    one.batch_execute("BEGIN; COMMENT ON TABLE t IS 'x'").await.unwrap();
    let waits = two.batch_execute("SET lock_timeout = '200ms'; ALTER TABLE t ADD COLUMN b int");
    assert_eq!(code(&waits.await.unwrap_err()), SqlState::LOCK_NOT_AVAILABLE);
    one.batch_execute("COMMIT").await.unwrap();

    // What has no lock of its own is refused at the end.
    one.batch_execute("BEGIN; ALTER ROLE r SET work_mem = '1MB'").await.unwrap();
    two.batch_execute("ALTER ROLE r SET statement_timeout = '1s'").await.unwrap();
    let late = one.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(code(&late), SqlState::T_R_SERIALIZATION_FAILURE);
    let kept = "SELECT count(*) FROM pg_roles WHERE rolname = 'r'
        AND rolconfig::text LIKE '%statement_timeout=1s%'";
    assert_eq!(number(&two, kept).await, 1);

    // A transaction with one snapshot does not write back what it read before others changed it.
    one.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    assert_eq!(number(&one, "SELECT count(*) FROM t").await, 0);
    two.batch_execute("ALTER TABLE t ADD COLUMN b int").await.unwrap();
    let late = one.batch_execute("ALTER TABLE t ADD COLUMN c int").await.unwrap_err();
    assert_eq!(code(&late), SqlState::T_R_SERIALIZATION_FAILURE);
    one.batch_execute("ROLLBACK; ALTER TABLE t ADD COLUMN c int").await.unwrap();
    two.batch_execute("INSERT INTO t (a, b, c) VALUES (1, 2, 3)").await.unwrap();
    assert_eq!(number(&two, "SELECT (a + b + c)::bigint FROM t").await, 6);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_gives_no_value_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let mut seen = HashSet::new();
    for round in 0..3 {
        let node = support::start_on(&data, &[]).await;
        let mut tasks = Vec::new();
        if round == 0 {
            node.client().await.batch_execute("CREATE SEQUENCE s").await.unwrap();
        }
        for task in 0..8 {
            let client = node.client().await;
            tasks.push(tokio::spawn(async move {
                let mut values = Vec::new();
                for _ in 0..40 {
                    values.push(number(&client, "SELECT nextval('s')").await);
                    if task == 0 {
                        // A definition is committed beside the values that are given meanwhile.
                        client.batch_execute("ALTER SEQUENCE s OWNER TO postgres").await.unwrap();
                    }
                }
                values
            }));
        }
        for task in tasks {
            for value in task.await.unwrap() {
                assert!(seen.insert(value), "{value} was given twice");
            }
        }
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_added_during_a_checkpoint_is_kept() {
    let node = support::start().await;
    let (one, two) = (node.client().await, node.client().await);
    for round in 0..6 {
        let load = format!(
            "CREATE TABLE t{round} (id bigint, v text);
            INSERT INTO t{round} SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g"
        );
        one.batch_execute(&load).await.unwrap();
        let key = format!("ALTER TABLE t{round} ADD PRIMARY KEY (id)");
        let (checkpoint, key) =
            tokio::join!(two.batch_execute("CHECKPOINT"), one.batch_execute(&key));
        checkpoint.unwrap();
        key.unwrap();
        let again = one.batch_execute(&format!("INSERT INTO t{round} VALUES (7, 'y')")).await;
        assert_eq!(code(&again.unwrap_err()), SqlState::UNIQUE_VIOLATION);
        one.batch_execute(&format!("INSERT INTO t{round} VALUES (20001, 'y')")).await.unwrap();
        two.batch_execute("CHECKPOINT").await.unwrap();
        let found = format!("SELECT count(*) FROM t{round} WHERE id IN (7, 20001)");
        assert_eq!(number(&two, &found).await, 2);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_columns_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let node = support::start_on(&data, &[]).await;
    let client = node.client().await;
    let load = "CREATE TABLE bare (a int); ALTER TABLE bare DROP COLUMN a;
        INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES; CHECKPOINT;
        INSERT INTO bare DEFAULT VALUES";
    client.batch_execute(load).await.unwrap();
    node.stop().await;
    let node = support::start_on(&data, &[]).await;
    assert_eq!(number(&node.client().await, "SELECT count(*) FROM bare").await, 3);
    node.stop().await;
}
