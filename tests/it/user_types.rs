//! Types that users made where SQL alone does not see them: through restarts, kills and segments, in plans, between
//! sessions.

use crate::support::{
    self, Running,
    process::{Process, connect},
};
use futures::SinkExt as _;
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

async fn start(folder: &tempfile::TempDir) -> Running {
    support::start_on(folder.path().to_str().unwrap(), &[]).await
}

/// The rows of a query, their columns joined by blanks.
async fn rows(client: &Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let values: Vec<_> = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect();
            Some(values.join(" "))
        }
        _ => None,
    });
    rows.collect()
}

const TABLE: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    COMMENT ON TYPE mood IS 'how one feels';
    CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'ok', many mood[]);
    INSERT INTO t SELECT i, (enum_range(NULL::mood))[1 + i % 3],
        CASE WHEN i % 5 > 0 THEN ARRAY['sad', 'happy']::mood[] END
        FROM generate_series(1, 3000) i";

/// Changes of the type after its rows: a label first, one between, one renamed, one that rows older than a column
/// have.
const CHANGES: &str = "ALTER TYPE mood ADD VALUE 'angry' BEFORE 'sad';
    ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok';
    ALTER TABLE t ADD COLUMN old mood DEFAULT 'ok';
    ALTER TYPE mood RENAME VALUE 'ok' TO 'so-so';
    ALTER TYPE mood RENAME TO feeling;
    INSERT INTO t (id, m) VALUES (0, 'angry'), (-1, 'fine')";

const COUNTS: &str =
    "SELECT m, count(*), count(many), min(old), max(many) FROM t GROUP BY m ORDER BY m";

async fn check(client: &Client) {
    let expected = [
        "angry 1 0 so-so NULL",
        "sad 1000 800 so-so {sad,happy}",
        "so-so 1000 800 so-so {sad,happy}",
        "fine 1 0 so-so NULL",
        "happy 1000 800 so-so {sad,happy}",
    ];
    assert_eq!(rows(client, COUNTS).await, expected);
    let few = rows(client, "SELECT id FROM t WHERE m < 'so-so' ORDER BY m, id LIMIT 3").await;
    assert_eq!(few, ["0", "3", "6"]);
    assert_eq!(rows(client, "SELECT count(*) FROM t WHERE m > 'so-so'").await, ["1001"]);
    let comment = rows(client, "SELECT obj_description('feeling'::regtype, 'pg_type')").await;
    assert_eq!(comment, ["how one feels"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enum_survives_the_log_the_manifest_and_the_segments() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let client = node.client().await;
    client.batch_execute(TABLE).await.unwrap();
    // The rows are in a segment before the type changes.
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute(CHANGES).await.unwrap();
    check(&client).await;
    node.stop().await;

    let node = start(&folder).await;
    let client = node.client().await;
    check(&client).await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute("VACUUM t").await.unwrap();
    check(&client).await;
    node.stop().await;

    let node = start(&folder).await;
    let client = node.client().await;
    check(&client).await;
    client.batch_execute("INSERT INTO t (id) VALUES (-2)").await.unwrap();
    assert_eq!(rows(&client, "SELECT m FROM t WHERE id = -2").await, ["so-so"]);
    // Its oid is not given to anything else.
    client.batch_execute("CREATE TYPE other AS ENUM ('a')").await.unwrap();
    let oids = "SELECT count(DISTINCT oid), count(*) FROM pg_type WHERE typtype = 'e' OR typelem IN
        (SELECT oid FROM pg_type WHERE typtype = 'e')";
    assert_eq!(rows(&client, oids).await, ["4 4"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_the_types_that_were_committed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    client.batch_execute(TABLE).await.unwrap();
    client.batch_execute(CHANGES).await.unwrap();
    let open = connect(at).await.unwrap();
    open.batch_execute(
        "BEGIN; CREATE TYPE lost AS ENUM ('a'); ALTER TYPE feeling ADD VALUE 'lost'",
    )
    .await
    .unwrap();
    process.kill().await;

    let (process, at) = Process::start(data, &[]).await;
    let client = connect(at).await.unwrap();
    check(&client).await;
    assert_eq!(rows(&client, "SELECT typname FROM pg_type WHERE typtype = 'e'").await, ["feeling"]);
    let lost = client.simple_query("SELECT 'lost'::feeling").await.unwrap_err();
    assert_eq!(lost.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_on_an_enum_compares_numbers_and_finds_keys() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let client = node.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let keyed = "CREATE TABLE k (m mood PRIMARY KEY); INSERT INTO k VALUES ('ok')";
    client.batch_execute(keyed).await.unwrap();
    let plan = rows(&client, "EXPLAIN SELECT * FROM k WHERE m = 'ok'").await.join("\n");
    assert!(plan.contains("KeyLookupExec: table=k"), "{plan}");
    // The second of three labels has the second place.
    let plan = rows(&client, "EXPLAIN SELECT * FROM t WHERE m >= 'ok'").await.join("\n");
    assert!(plan.contains(&format!("m@1 >= {}", 2_i64 << 44)), "{plan}");
    assert!(!plan.contains("cast"), "{plan}");
    node.stop().await;
}

/// Another type for a column of a table with rows, and what is asked of the values that it makes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_changes_its_type_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let client = node.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let change = "ALTER TABLE t ALTER COLUMN m DROP DEFAULT;
        ALTER TABLE t ALTER COLUMN m SET NOT NULL;
        CREATE TYPE other AS ENUM ('happy', 'ok', 'sad');
        ALTER TABLE t ALTER COLUMN m TYPE other USING m::text::other";
    client.batch_execute(change).await.unwrap();
    let counts = "SELECT m, count(*) FROM t GROUP BY m ORDER BY m";
    assert_eq!(rows(&client, counts).await, ["happy 1000", "ok 1000", "sad 1000"]);
    node.stop().await;

    let node = start(&folder).await;
    let client = node.client().await;
    assert_eq!(rows(&client, counts).await, ["happy 1000", "ok 1000", "sad 1000"]);
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute("VACUUM t").await.unwrap();
    assert_eq!(rows(&client, counts).await, ["happy 1000", "ok 1000", "sad 1000"]);
    let null = client.batch_execute("INSERT INTO t VALUES (0, NULL)").await.unwrap_err();
    assert_eq!(null.code(), Some(&SqlState::NOT_NULL_VIOLATION));
    let nulls = "ALTER TABLE t ALTER COLUMN m TYPE text USING nullif(m::text, 'ok')";
    let nulls = client.batch_execute(nulls).await.unwrap_err();
    assert_eq!(nulls.code(), Some(&SqlState::NOT_NULL_VIOLATION));
    assert_eq!(rows(&client, counts).await, ["happy 1000", "ok 1000", "sad 1000"]);
    node.stop().await;
}

/// The rules of a domain hold after a restart and for COPY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let client = node.client().await;
    let made = "CREATE DOMAIN odd AS int DEFAULT 1 NOT NULL CHECK (VALUE % 2 = 1);
        CREATE TABLE t (id int PRIMARY KEY, n odd); INSERT INTO t VALUES (1, 7); INSERT INTO t (id) VALUES (2)";
    client.batch_execute(made).await.unwrap();
    node.stop().await;

    let node = start(&folder).await;
    let client = node.client().await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    assert_eq!(rows(&client, "SELECT n FROM t ORDER BY id").await, ["7", "1"]);
    for (statement, state) in [
        ("INSERT INTO t VALUES (3, 2)", SqlState::CHECK_VIOLATION),
        ("UPDATE t SET n = NULL", SqlState::NOT_NULL_VIOLATION),
        ("ALTER DOMAIN odd ADD CHECK (VALUE < 5)", SqlState::CHECK_VIOLATION),
    ] {
        let refused = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refused.code(), Some(&state), "{statement}");
    }
    let mut copy =
        std::pin::pin!(client.copy_in::<_, bytes::Bytes>("COPY t FROM STDIN").await.unwrap());
    copy.as_mut().send(bytes::Bytes::from_static(b"4\t9\n5\t8\n")).await.unwrap();
    let refused = copy.finish().await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION));
    assert_eq!(rows(&client, "SELECT count(*) FROM t").await, ["2"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_in_use_waits_for_who_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let (one, two) = (node.client().await, node.client().await);
    one.batch_execute("CREATE TYPE mood AS ENUM ('sad')").await.unwrap();
    one.batch_execute("BEGIN; CREATE TABLE t (m mood)").await.unwrap();
    two.batch_execute("SET lock_timeout = '100ms'").await.unwrap();
    let waits = two.batch_execute("DROP TYPE mood").await.unwrap_err();
    assert_eq!(waits.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    one.batch_execute("COMMIT").await.unwrap();
    let used = two.batch_execute("DROP TYPE mood").await.unwrap_err();
    assert_eq!(used.code(), Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST));
    let detail = used.as_db_error().and_then(|error| error.detail());
    assert_eq!(detail, Some("column m of table t depends on type mood"));
    two.batch_execute("DROP TABLE t; DROP TYPE mood").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_prepared_before_knows_the_labels_that_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let (one, two) = (node.client().await, node.client().await);
    one.batch_execute(TABLE).await.unwrap();
    one.batch_execute("PREPARE q (mood) AS SELECT id, m FROM t WHERE m = $1 ORDER BY id")
        .await
        .unwrap();
    assert_eq!(rows(&one, "EXECUTE q ('ok')").await.len(), 1000);
    let typed = one.prepare("SELECT $1::mood < m FROM t WHERE id = 5000").await.unwrap();
    assert_eq!(typed.params()[0].name(), "mood");
    two.batch_execute(CHANGES).await.unwrap();
    two.batch_execute("INSERT INTO t (id, m) VALUES (5000, 'fine')").await.unwrap();
    assert_eq!(rows(&one, "EXECUTE q ('fine')").await, ["-1 fine", "5000 fine"]);
    node.stop().await;
}
