//! Rights beyond one session: of others' prepared statements, of keys over HTTP, after a restart.
//! What each statement asks is in `tests/slt/privileges.slt`.

use crate::support;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_postgres::{Client, error::SqlState};

async fn state(client: &Client, sql: &str) -> SqlState {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.code().expect("the server refused it").clone()
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// What a client asks over HTTP with a key.
struct Asker {
    at: std::net::SocketAddr,
    key: String,
}

impl Asker {
    async fn ask(&self, method: reqwest::Method, path: &str, body: Value) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.clone(), format!("http://{}{path}", self.at));
        let request = request.bearer_auth(&self.key);
        let request = match method {
            reqwest::Method::GET => request,
            _ => request.header("content-type", "application/json").body(body.to_string()),
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> StatusCode {
        self.ask(reqwest::Method::POST, path, body).await.0
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(reqwest::Method::GET, path, Value::Null).await
    }
}

async fn asker(node: &support::Running, sql: &Client, role: &str) -> Asker {
    let key = format!("CREATE API KEY {role}_key FOR ROLE {role}");
    let key: String = sql.query_one(&key, &[]).await.unwrap().get(0);
    Asker { at: node.http_addr(), key }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_right_is_gone_for_statements_that_are_prepared() {
    let node = support::start().await;
    let owner = node.client().await;
    let load = "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1), (2);
        CREATE ROLE reader LOGIN; GRANT SELECT ON t TO reader";
    owner.batch_execute(load).await.unwrap();
    let reader = node.client_as("reader").await;

    let point = reader.prepare("SELECT id FROM t WHERE id = $1").await.unwrap();
    let count = reader.prepare("SELECT count(*) FROM t").await.unwrap();
    let write = reader.prepare("INSERT INTO t VALUES ($1)").await.unwrap();

    for _ in 0..3 {
        assert_eq!(reader.query(&point, &[&1_i64]).await.unwrap().len(), 1);
        assert_eq!(reader.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), 2);
        let denied = reader.execute(&write, &[&3_i64]).await.unwrap_err();
        assert_eq!(denied.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
        let denied = denied.as_db_error().unwrap();
        assert_eq!(denied.message(), "permission denied for table t");
    }
    owner.batch_execute("REVOKE SELECT ON t FROM reader").await.unwrap();
    for statement in [&point, &count] {
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            if statement.params().is_empty() { &[] } else { &[&1_i64] };
        let denied = reader.query(statement, parameters).await.unwrap_err();
        assert_eq!(denied.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    }
    owner.batch_execute("GRANT INSERT ON t TO PUBLIC").await.unwrap();
    assert_eq!(reader.execute(&write, &[&3_i64]).await.unwrap(), 1);

    // By membership, and by being one who needs no rights.
    owner.batch_execute("CREATE ROLE staff; GRANT SELECT ON t TO staff").await.unwrap();
    owner.batch_execute("GRANT staff TO reader").await.unwrap();
    assert_eq!(reader.query(&point, &[&1_i64]).await.unwrap().len(), 1);
    owner.batch_execute("REVOKE staff FROM reader").await.unwrap();
    assert!(reader.query(&point, &[&1_i64]).await.is_err());
    owner.batch_execute("ALTER ROLE reader SUPERUSER").await.unwrap();
    assert_eq!(reader.query(&point, &[&1_i64]).await.unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_one_role_serves_no_other() {
    let node = support::start().await;
    let client = node.client().await;
    let load = "CREATE TABLE t (id bigint); INSERT INTO t VALUES (1);
        CREATE ROLE may; CREATE ROLE may_not; GRANT SELECT ON t TO may";
    client.batch_execute(load).await.unwrap();
    let rows = client.prepare("SELECT id FROM t").await.unwrap();

    for _ in 0..2 {
        assert_eq!(client.query(&rows, &[]).await.unwrap().len(), 1);
        client.batch_execute("SET ROLE may").await.unwrap();
        assert_eq!(client.query(&rows, &[]).await.unwrap().len(), 1);
        client.batch_execute("SET ROLE may_not").await.unwrap();
        assert!(client.query(&rows, &[]).await.is_err());
        assert_eq!(state(&client, "SELECT id FROM t").await, SqlState::INSUFFICIENT_PRIVILEGE);
        client.batch_execute("RESET ROLE").await.unwrap();
    }
    // The right ends with the part of the transaction that has it.
    client.batch_execute("BEGIN; SET LOCAL ROLE may").await.unwrap();
    assert_eq!(client.query(&rows, &[]).await.unwrap().len(), 1);
    client.batch_execute("SET LOCAL ROLE may_not").await.unwrap();
    assert!(client.query(&rows, &[]).await.is_err());
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(client.query(&rows, &[]).await.unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_and_checks_read_nothing_that_their_role_may_not() {
    let node = support::start().await;
    let client = node.client().await;
    let load = "CREATE TABLE secret (s int); INSERT INTO secret VALUES (42);
        CREATE ROLE spy; CREATE SCHEMA spy AUTHORIZATION spy";
    client.batch_execute(load).await.unwrap();
    client.batch_execute("SET ROLE spy; PREPARE echo AS SELECT $1::int").await.unwrap();

    for attempt in [
        "EXECUTE echo((SELECT s FROM secret))",
        "CREATE TABLE t (a int DEFAULT (SELECT s FROM secret))",
        "CREATE TABLE t (a int CHECK (a < (SELECT s FROM secret)))",
        "CREATE TABLE t AS SELECT * FROM secret",
        "CREATE TABLE t (LIKE secret)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM secret",
        "COPY (SELECT * FROM secret) TO STDOUT",
        "SELECT * FROM pg_authid",
        "EXPLAIN ANALYZE SELECT * FROM secret",
        "SELECT * FROM secret TABLESAMPLE BERNOULLI (100)",
        "WITH gone AS (DELETE FROM secret RETURNING s) SELECT * FROM gone",
    ] {
        assert!(client.batch_execute(attempt).await.is_err(), "{attempt}");
    }
    client.batch_execute("CREATE TABLE spy.t (a int); INSERT INTO spy.t VALUES (1)").await.unwrap();
    for attempt in [
        "ALTER TABLE spy.t ALTER COLUMN a TYPE text USING (SELECT s::text FROM secret)",
        "ALTER TABLE spy.t ADD CHECK (a <> (SELECT s FROM secret))",
        "ALTER TABLE spy.t ADD FOREIGN KEY (a) REFERENCES secret (s)",
        "UPDATE spy.t SET a = (SELECT s FROM secret)",
        "INSERT INTO spy.t SELECT s FROM secret",
    ] {
        assert!(client.batch_execute(attempt).await.is_err(), "{attempt}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_a_role_has_the_rights_of_the_role() {
    let node = support::start().await;
    let sql = node.client().await;
    sql.batch_execute("CREATE ROLE app LOGIN; CREATE ROLE other LOGIN").await.unwrap();
    let (app, other) = (asker(&node, &sql, "app").await, asker(&node, &sql, "other").await);
    let document = json!({ "upsert_rows": [{ "id": 1, "shop": 7 }] });
    let query = json!({ "rank_by": ["id", "asc"], "limit": 1 });

    // The first namespace makes the schema, which takes a right.
    assert_eq!(app.post("/v2/namespaces/items", document.clone()).await, 403);
    sql.batch_execute("CREATE SCHEMA namespaces; GRANT USAGE, CREATE ON SCHEMA namespaces TO app")
        .await
        .unwrap();
    assert_eq!(app.post("/v2/namespaces/items", document.clone()).await, 200);
    assert_eq!(app.post("/v2/namespaces/items/query", query.clone()).await, 200);
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'items'";
    assert_eq!(sql.query_one(owner, &[]).await.unwrap().get::<_, String>(0), "app");

    // Another key sees nothing of it, by whatever way it asks.
    sql.batch_execute("GRANT USAGE ON SCHEMA namespaces TO other").await.unwrap();
    assert_eq!(other.post("/v2/namespaces/items/query", query.clone()).await, 403);
    assert_eq!(other.post("/v2/namespaces/items", document.clone()).await, 403);
    assert_eq!(other.post("/v2/namespaces/more", document.clone()).await, 403);
    assert_eq!(other.get("/v1/namespaces/items/schema").await.0, 403);
    assert_eq!(other.get("/v2/namespaces/items/metadata").await.0, 403);
    assert_eq!(other.get("/v1/namespaces/items/hint_cache_warm").await.0, 403);
    assert_eq!(other.get("/v1/namespaces").await.1["namespaces"], json!([]));
    let copy = json!({ "copy_from_namespace": "items" });
    assert_eq!(other.post("/v2/namespaces/copy", copy).await, 403);
    let select = json!({ "sql": "SELECT * FROM namespaces.items" });
    assert_eq!(other.post("/v1/sql", select.clone()).await, 403);
    let deleted = other.ask(reqwest::Method::DELETE, "/v2/namespaces/items", json!({})).await;
    assert_eq!(deleted.0, 403);

    sql.batch_execute("GRANT SELECT ON namespaces.items TO other").await.unwrap();
    assert_eq!(other.post("/v2/namespaces/items/query", query.clone()).await, 200);
    assert_eq!(other.post("/v1/sql", select.clone()).await, 200);
    assert_eq!(other.get("/v2/namespaces/items/metadata").await.0, 200);
    assert_eq!(other.get("/v1/namespaces").await.1["namespaces"], json!([{ "id": "items" }]));
    assert_eq!(other.post("/v2/namespaces/items", document).await, 403);
    let more = json!({ "upsert_rows": [{ "id": 2, "more": true }] });
    assert_eq!(other.post("/v2/namespaces/items", more.clone()).await, 403);
    assert_eq!(app.post("/v2/namespaces/items", more).await, 200);

    // The sessions of keys are kept; what they were allowed is not.
    sql.batch_execute("REVOKE SELECT ON namespaces.items FROM other").await.unwrap();
    assert_eq!(other.post("/v2/namespaces/items/query", query).await, 403);
    assert_eq!(other.post("/v1/sql", select).await, 403);
    assert_eq!(number(&sql, "SELECT count(*) FROM namespaces.items").await, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_lets_in_whom_it_is_open_to() {
    let node = support::start().await;
    let sql = node.client().await;
    sql.batch_execute("CREATE ROLE guest LOGIN").await.unwrap();
    drop(node.client_as("guest").await);
    sql.batch_execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC").await.unwrap();

    let (host, port) = (node.pg_addr().ip(), node.pg_addr().port());
    let url = format!("host={host} port={port} user=guest dbname=postgres");
    let refused = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.err().unwrap();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(refused.message(), "permission denied for database postgres");

    sql.batch_execute("GRANT CONNECT ON DATABASE postgres TO guest").await.unwrap();
    let guest = node.client_as("guest").await;
    guest.batch_execute("CREATE TEMP TABLE own (a int)").await.unwrap();
    sql.batch_execute("REVOKE TEMP ON DATABASE postgres FROM PUBLIC").await.unwrap();
    let other = node.client_as("guest").await;
    assert_eq!(
        state(&other, "CREATE TEMP TABLE own (a int)").await,
        SqlState::INSUFFICIENT_PRIVILEGE
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_outlast_a_restart_and_go_with_their_object() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let shown = "SELECT coalesce(relacl::text, '') FROM pg_class WHERE relname = 't'";
    let node = support::start_on(&data, &[]).await;
    let sql = node.client().await;
    let load = "CREATE ROLE a LOGIN; CREATE ROLE b; CREATE TABLE t (id int, s int);
        INSERT INTO t VALUES (1, 2); GRANT b TO a WITH ADMIN OPTION;
        GRANT SELECT (id) ON t TO b; GRANT INSERT ON t TO a WITH GRANT OPTION;
        CREATE VIEW v AS SELECT s FROM t; GRANT SELECT ON v TO PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO b";
    sql.batch_execute(load).await.unwrap();
    let before: String = sql.query_one(shown, &[]).await.unwrap().get(0);
    assert_eq!(before, "{postgres=arwdDxtm/postgres,a=a*/postgres}");
    // Some of it is in the manifest, some in the log behind it.
    sql.batch_execute("CHECKPOINT; GRANT DELETE ON t TO b").await.unwrap();
    drop(sql);
    node.stop().await;

    let node = support::start_on(&data, &[]).await;
    let (sql, a) = (node.client().await, node.client_as("a").await);
    let after: String = sql.query_one(shown, &[]).await.unwrap().get(0);
    assert_eq!(after, "{postgres=arwdDxtm/postgres,a=a*/postgres,b=d/postgres}");
    a.batch_execute("SELECT id FROM t; INSERT INTO t VALUES (3, 4); DELETE FROM t").await.unwrap();
    a.batch_execute("SELECT * FROM v; GRANT INSERT ON t TO b; SET ROLE b").await.unwrap();
    a.batch_execute("RESET ROLE").await.unwrap();
    assert_eq!(state(&a, "SELECT s FROM t").await, SqlState::INSUFFICIENT_PRIVILEGE);
    sql.batch_execute("CREATE TABLE later (a int)").await.unwrap();
    a.batch_execute("SELECT * FROM later").await.unwrap();

    // A table of the same name is another one.
    sql.batch_execute("DROP TABLE t CASCADE; CREATE TABLE t (id int, s int)").await.unwrap();
    assert_eq!(state(&a, "INSERT INTO t VALUES (1, 2)").await, SqlState::INSUFFICIENT_PRIVILEGE);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_makes_roles_and_databases_where_it_may() {
    let node = support::start().await;
    let sql = node.client().await;
    sql.batch_execute("CREATE ROLE boss CREATEROLE CREATEDB; CREATE ROLE elder").await.unwrap();
    sql.batch_execute("SET ROLE boss").await.unwrap();

    sql.batch_execute("CREATE ROLE younger LOGIN PASSWORD 'x' IN ROLE boss").await.unwrap_err();
    sql.batch_execute("CREATE ROLE younger LOGIN PASSWORD 'x'").await.unwrap();
    sql.batch_execute("ALTER ROLE younger NOLOGIN; GRANT younger TO elder").await.unwrap();
    for words in [
        "CREATE ROLE high SUPERUSER",
        "ALTER ROLE younger SUPERUSER",
        "ALTER ROLE elder LOGIN",
        "ALTER ROLE postgres PASSWORD 'mine'",
        "DROP ROLE elder",
        "GRANT postgres TO boss",
        "GRANT elder TO younger",
        "SET SESSION AUTHORIZATION DEFAULT; SET ROLE boss; ALTER ROLE boss SUPERUSER",
        "CREATE API KEY k",
        "CREATE EMBEDDING MODEL m WITH (path = '/tmp')",
    ] {
        assert_eq!(state(&sql, words).await, SqlState::INSUFFICIENT_PRIVILEGE, "{words}");
    }
    sql.batch_execute("CREATE DATABASE own").await.unwrap();
    sql.batch_execute("DROP DATABASE own").await.unwrap();
    sql.batch_execute("DROP ROLE younger").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_becomes_no_role_that_it_may_not_be() {
    let node = support::start().await;
    let sql = node.client().await;
    let load = "CREATE ROLE guest LOGIN; CREATE ROLE staff; CREATE TABLE t (a int)";
    sql.batch_execute(load).await.unwrap();
    let guest = node.client_as("guest").await;
    for words in [
        "SET ROLE postgres",
        "SET \"role\" = 'postgres'",
        "SET LOCAL ROLE staff; BEGIN; SET LOCAL ROLE staff",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT set_config('ROLE', 'staff', true)",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER ROLE guest SET log_min_duration_statement = 0",
    ] {
        assert_eq!(state(&guest, words).await, SqlState::INSUFFICIENT_PRIVILEGE, "{words}");
        guest.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(state(&guest, "TABLE t").await, SqlState::INSUFFICIENT_PRIVILEGE, "{words}");
    }

    // Nor from its start, whoever said so.
    let who = "SELECT current_user::text || ' ' || session_user::text";
    guest.batch_execute("ALTER ROLE guest SET role = 'postgres'").await.unwrap();
    let again = node.client_as("guest").await;
    again.batch_execute("SET application_name = 'x'").await.unwrap();
    assert_eq!(again.query_one(who, &[]).await.unwrap().get::<_, String>(0), "guest guest");
    let (host, port) = (node.pg_addr().ip(), node.pg_addr().port());
    let url = format!("host={host} port={port} user=guest dbname=postgres");
    for options in ["-c role=postgres", "-c session_authorization=postgres"] {
        let url = format!("{url} options='{options}'");
        let refused = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.err().unwrap();
        assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{options}");
    }
    sql.batch_execute("GRANT staff TO guest; ALTER ROLE guest SET role = 'staff'").await.unwrap();
    let member = node.client_as("guest").await;
    assert_eq!(member.query_one(who, &[]).await.unwrap().get::<_, String>(0), "staff guest");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_is_not_told() {
    let node = support::start().await;
    let sql = node.client().await;
    let load = "CREATE ROLE guest LOGIN; CREATE TABLE items (id int PRIMARY KEY, v vector(2));
        INSERT INTO items VALUES (1, '[1,2]'), (2, '[3,4]');
        CREATE INDEX items_v ON items USING spfresh (v vector_l2_ops)";
    sql.batch_execute(load).await.unwrap();
    let guest = node.client_as("guest").await;

    let hidden = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres'
        AND query = '<insufficient privilege>'";
    assert_eq!(number(&guest, hidden).await, 1);
    for asked in [
        "SELECT * FROM nearlake_recall('items_v')",
        "SELECT * FROM nearlake_verify_index('items_v')",
        "REINDEX INDEX items_v",
        "REINDEX TABLE items",
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        "CREATE WEBHOOK w ON items WHEN (insert) TO 'https://a.example/'",
    ] {
        assert_eq!(state(&guest, asked).await, SqlState::INSUFFICIENT_PRIVILEGE, "{asked}");
    }
    sql.batch_execute("GRANT SELECT, MAINTAIN ON items TO guest").await.unwrap();
    let asked = "SELECT * FROM nearlake_verify_index('items_v'); REINDEX INDEX items_v;
        SELECT * FROM nearlake_recall('items_v', 1, 1); VACUUM items; ANALYZE items";
    for asked in asked.split(';') {
        guest.batch_execute(asked).await.unwrap();
    }
    node.stop().await;
}
