//! Temporary relations end with their session, however it ends.

use crate::support::process::{Process, connect};
use nearlake::clock::SystemClock;
use std::time::Duration;
use tokio_postgres::Client;

const TEMPORARY: &str = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pg\\_temp\\_%'";

async fn schemas(client: &Client) -> i64 {
    client.query_one(TEMPORARY, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_tables_end_with_their_session_and_with_the_node() {
    let clock = SystemClock::shared();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (process, at) = Process::start(data, &[]).await;
    let other = connect(at).await.unwrap();

    let owner = connect(at).await.unwrap();
    let made = "CREATE TEMP TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)";
    owner.batch_execute(made).await.unwrap();
    assert_eq!(schemas(&other).await, 1);
    drop(owner);
    let mut tries = 0;
    while schemas(&other).await > 0 {
        tries += 1;
        assert!(tries < 500, "the session's tables are still there");
        clock.sleep(Duration::from_millis(20)).await;
    }

    let owner = connect(at).await.unwrap();
    owner.batch_execute(made).await.unwrap();
    process.kill().await;
    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    assert_eq!(schemas(&client).await, 0);
    // The names are free again, whatever number the next session goes by.
    client.batch_execute(made).await.unwrap();
    process.kill().await;
}
