//! Bad input and damaged files: each is told by its SQLSTATE or its exit code, names what is wrong,
//! and costs nothing that was acknowledged.

use crate::support::{
    self,
    process::{Ended, Process, connect},
};
use bytes::Bytes;
use futures::SinkExt as _;
use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
};
use tokio_postgres::{Client, error::DbError};

/// How many rows `prepare` acknowledges, each a commit of its own.
const ROWS: i64 = 20;

/// A table with some rows, written by a process that was then killed.
async fn prepare(data: &Path, checkpoint: bool) {
    let (process, at) = Process::start(data.to_str().unwrap(), &[]).await;
    let client = connect(at).await.unwrap();
    client.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)").await.unwrap();
    for id in 0..ROWS {
        let insert = format!("INSERT INTO t VALUES ({id}, 'number {id}')");
        client.batch_execute(&insert).await.unwrap();
    }
    if checkpoint {
        client.batch_execute("CHECKPOINT").await.unwrap();
    }
    process.kill().await;
}

/// The files of a folder with this ending, in the order of their names.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    found.sort();
    found
}

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
}

/// What the server says of a statement that it refuses.
async fn refused(client: &Client, sql: &str) -> DbError {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}")).clone()
}

/// A start that fails.
async fn no_start(data: &Path, flags: &[&str]) -> Ended {
    let mut process = Process::spawn(data.to_str().unwrap(), flags);
    assert_eq!(process.ready().await, None, "it started");
    process.ended().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_end_of_the_log_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    prepare(data, false).await;
    let log = files(&data.join("wal"), "").pop().unwrap();
    let whole = fs::read(&log).unwrap();
    // The beginning of a record, as a crash in the middle of a write leaves it; and mere noise.
    for torn in [&whole[..whole.len() / 50], &[0xa5; 333], &[0; 100]] {
        fs::write(&log, [&whole, torn].concat()).unwrap();

        let (process, at) = Process::start(data.to_str().unwrap(), &[]).await;
        assert_eq!(count(&connect(at).await.unwrap()).await, ROWS);
        let said = process.kill().await.said;
        assert!(said.contains("was cut off"), "{said}");
        assert_eq!(fs::read(&log).unwrap(), whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_damaged_in_its_middle_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), false).await;
    let log = files(&folder.path().join("wal"), "").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&log, &bytes).unwrap();

    let ended = no_start(folder.path(), &[]).await;
    let name = format!("wal/{}", log.file_name().unwrap().to_str().unwrap());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.said.contains(&name) && ended.said.contains("damaged"), "{ended:?}");
    assert_eq!(fs::read(&log).unwrap(), bytes, "what is damaged is left for who repairs it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_is_named_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), true).await;
    let segment = files(&folder.path().join("data"), ".parquet").pop().unwrap();
    let good = fs::read(&segment).unwrap();
    let mut bytes = good.clone();
    for byte in bytes.iter_mut().skip(8).step_by(16) {
        *byte = !*byte;
    }
    fs::write(&segment, bytes).unwrap();

    let (process, at) = Process::start(folder.path().to_str().unwrap(), &[]).await;
    let client = connect(at).await.unwrap();
    let said = refused(&client, "UPDATE t SET name = name || '!'").await;
    let name = format!("data/{}", segment.file_name().unwrap().to_str().unwrap());
    assert_eq!(said.code().code(), "XX001", "{said:?}");
    assert!(said.message().contains(&name), "{said:?}");
    client.batch_execute("CREATE TABLE other (a int); INSERT INTO other VALUES (1)").await.unwrap();
    process.kill().await;

    fs::write(&segment, good).unwrap();
    let (process, at) = Process::start(folder.path().to_str().unwrap(), &[]).await;
    let client = connect(at).await.unwrap();
    assert_eq!(count(&client).await, ROWS);
    client.query_one("SELECT a FROM other", &[]).await.unwrap();
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (process, at) = Process::start(folder.path().to_str().unwrap(), &[]).await;

    let ended = no_start(folder.path(), &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.said.contains("is in use by another process"), "{ended:?}");
    assert!(ended.said.contains("hint: Stop the other process"), "{ended:?}");

    connect(at).await.unwrap().batch_execute("CREATE TABLE t (id int)").await.unwrap();
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_setting_is_refused_with_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nearlake.toml");
    fs::write(&file, "checkpoint_intervall = \"1s\"\n").unwrap();

    let ended = no_start(&folder.path().join("data"), &["--config", file.to_str().unwrap()]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.said.contains("checkpoint_intervall"), "{ended:?}");
    assert!(ended.said.contains("did you mean `checkpoint_interval`?"), "{ended:?}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_line_undoes_its_whole_copy() {
    let node = support::start().await;
    let client = node.client().await;
    client.batch_execute("CREATE TABLE t (id bigint, v vector(3))").await.unwrap();

    for (bad, state, message) in [
        ("3\t[1,2]", "22000", "expected 3 dimensions, not 2"),
        ("3\t[1,2,x]", "22P02", "invalid input syntax for type vector: \"[1,2,x]\""),
        ("three\t[1,2,3]", "22P02", "invalid input syntax for type bigint: \"three\""),
        ("3", "22P04", "missing data for column \"v\""),
        ("3\t[1,2,3]\t4", "22P04", "extra data after last expected column"),
    ] {
        let mut copy = pin!(client.copy_in("COPY t FROM STDIN").await.unwrap());
        let lines = format!("1\t[1,2,3]\n2\t[4,5,6]\n{bad}\n4\t[7,8,9]\n");
        // The server may end the COPY before it has taken all.
        let _ = copy.send(Bytes::from(lines)).await;
        let error = copy.finish().await.unwrap_err();
        let said = error.as_db_error().unwrap_or_else(|| panic!("{bad}: {error}"));
        assert_eq!((said.code().code(), said.message()), (state, message), "{bad}");
        let place = said.where_().unwrap_or_default();
        assert!(place.starts_with("COPY t, line 3"), "{bad}: {place}");
        assert_eq!(count(&client).await, 0, "{bad}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_values_and_names_are_told_apart() {
    let node = support::start().await;
    let client = node.client().await;
    client.batch_execute("CREATE TABLE t (id bigint, v vector(3))").await.unwrap();

    for (sql, state, message) in [
        ("INSERT INTO t VALUES (1, '[1,2]')", "22000", "expected 3 dimensions, not 2"),
        ("INSERT INTO t VALUES (1, '[1,2,3,4]')", "22000", "expected 3 dimensions, not 4"),
        (
            "INSERT INTO t VALUES (1, '[1,2')",
            "22P02",
            "invalid input syntax for type vector: \"[1,2\"",
        ),
        (
            "INSERT INTO t VALUES (1, '[1,1e40,2]')",
            "22003",
            "\"1e40\" is out of range for type vector",
        ),
        ("INSERT INTO t VALUES (1, '[1,NaN,2]')", "22000", "NaN not allowed in vector"),
        (
            "INSERT INTO t VALUES (1, '[1,Infinity,2]')",
            "22000",
            "infinite value not allowed in vector",
        ),
        ("SELECT ide FROM t", "42703", "column \"ide\" does not exist"),
        ("SELECT id FROM tt", "42P01", "relation \"tt\" does not exist"),
    ] {
        let said = refused(&client, sql).await;
        assert_eq!((said.code().code(), said.message()), (state, message), "{sql}");
    }
    let unknown = refused(&client, "SELECT ide FROM t").await;
    assert!(unknown.hint().is_some_and(|hint| hint.contains("did you mean \"id\"")), "{unknown:?}");
    assert_eq!(count(&client).await, 0);
    node.stop().await;
}

/// On a file system of a few megabytes, which only the process sees. Where that cannot be made
/// (not root), there is nothing to show.
#[expect(clippy::print_stdout, reason = "a test that was left out says so")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_only_what_did_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mount = format!("mount -t tmpfs -o size=12m none {data}");
    let may = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("left out: no file system can be mounted here");
        return;
    }
    let mut command = Command::new("unshare");
    let ballast = format!("head -c 6000000 /dev/zero > {data}/ballast");
    let script = format!("{mount} && {ballast} && exec \"$@\"");
    command.args(["-m", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_nearlake"), "serve"]);
    command.args(["--data", data, "--pg-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    command.args(["--log-format", "json"]);
    let mut process = Process::of(command);
    let at = process.ready().await.expect("it starts");
    let client = connect(at).await.unwrap();
    client.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)").await.unwrap();

    let mut rows = 0;
    let full = loop {
        let insert = "INSERT INTO t SELECT $1::bigint + n, repeat(md5(n::text), 30) \
                      FROM generate_series(0, 199) AS n";
        match client.execute(insert, &[&rows]).await {
            Ok(written) => rows += i64::try_from(written).unwrap(),
            Err(error) => break error,
        }
        assert!(rows < 100_000, "the disk is never full");
    };
    assert_eq!(full.as_db_error().map(|said| said.code().code()), Some("53100"), "{full:?}");
    assert_eq!(count(&client).await, rows, "what was acknowledged is there, and nothing else");

    fs::remove_file(format!("/proc/{}/root{data}/ballast", process.id())).unwrap();
    client.execute("INSERT INTO t VALUES (-1, 'fits again')", &[]).await.unwrap();
    assert_eq!(count(&client).await, rows + 1);
    process.kill().await;
}
